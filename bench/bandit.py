"""One decision after the other on the same contexts and rewards, one core: ours, Vowpal Wabbit, `contextualbandits`.

`lingxi simulate --stream` writes what simulated shoppers see and would click on. Stream "goods" has ten candidates with a dozen
features each: ours against Vowpal Wabbit's `--cb_explore_adf` with SquareCB and cover, the same features. Stream "arms" has ten
fixed goods and a row about the shopper: ours against `contextualbandits`, which knows no features of actions. Each seed is a
world of its own, shoppers, goods and all; on each of them every program plays once from nothing, and all answer each decision and
learn from it before the next one, as a shop that serves does. Text for Vowpal Wabbit is written before the clock starts. The ratio
is decisions a second, ours over the peer's, by medians over the seeds. Rewards are compared seed by seed: the mean difference and its
Student's t interval stand in the result, and a reward below the peer's by more than chance ends the bench.

`python bench/bandit.py` (inside the environment) plays every setting of GRID, each program over a grid of its own, on other seeds than
those that are measured: settings are to be chosen by it.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import ours

DECISIONS, ACTIONS = 10_000, 10
# What is measured are the worlds of MEASURED; every program plays the best of its own grid on those of TUNED.
TUNED, MEASURED = (101, 102, 103), (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
POLICY = {"kind": "lin-ucb", "alpha": 0.05, "ridge": 0.1}
ARMS_POLICY = {"kind": "lin-ucb", "alpha": 0.5, "ridge": 0.1}
WABBITS = {"squarecb": "--squarecb --gamma_scale 100", "cover": "--cover 4 --epsilon 0"}
ARMS_PEERS = {"LinUCB": {"alpha": 0.5}, "LinTS": {"v_sq": 0.1}}
# What was tried: 14 and 6 settings of ours, 15, 12, 6 and 5 of theirs.
GRID = {
    "goods": [{"kind": "lin-ucb", "alpha": a, "ridge": r} for a in (0.0, 0.05, 0.1, 0.2) for r in (0.1, 1.0)]
    + [{"kind": "square-cb", "gamma": g, "exponent": e} for g in (100.0, 300.0, 1000.0) for e in (0.25, 0.5)],
    "arms": [{"kind": "lin-ucb", "alpha": a, "ridge": r} for a in (0.2, 0.5, 1.0) for r in (0.1, 1.0)],
    "squarecb": [f"--squarecb --gamma_scale {g} {q}" for g in (10, 100, 500, 2000, 10000) for q in ("", "-l 0.1", "-q aa")],
    "cover": [f"--cover {n} --epsilon {e} {q}" for n in (4, 16) for e in (0, 0.02) for q in ("", "-l 0.1", "-q aa")],
    "LinUCB": [{"alpha": a} for a in (0.1, 0.2, 0.5, 0.7, 1.0, 2.0)],
    "LinTS": [{"v_sq": v} for v in (0.01, 0.03, 0.1, 0.3, 1.0)],
}


def program(say) -> pathlib.Path:
    say("building the program ...")
    command = ["cargo", "build", "--release", "-q", "--message-format=json"]
    out = subprocess.run(command, cwd=ours.ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return pathlib.Path(next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "lingxi"))


def stream(lingxi: pathlib.Path, folder: pathlib.Path, seed: int, decisions: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows `[decision, action, features and reward]` of both streams."""
    command = [lingxi, "simulate", "scientific", "--data", ours.data("scientific"), "--seed", str(seed)]
    command += ["--stream", folder, "--decisions", str(decisions)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    goods = np.fromfile(folder / "goods.f32", np.float32).reshape(decisions, ACTIONS, -1)
    return goods, np.fromfile(folder / "arms.f32", np.float32).reshape(decisions, ACTIONS, -1)


class Wabbit:
    """Vowpal Wabbit on stream "goods": text first, then predict, draw and learn."""

    def __init__(self, goods: np.ndarray, options: str):
        self.options = f"--cb_explore_adf {options} --quiet --random_seed 1 --cb_type mtr"
        names = [f"f{i}" for i in range(goods.shape[2] - 1)]
        self.texts = [
            ["|a " + " ".join(f"{name}:{x:.6g}" for name, x in zip(names, row[:-1])) for row in decision] for decision in goods
        ]
        self.rewards = goods[:, :, -1]

    def play(self) -> dict:
        from vowpalwabbit import pyvw

        vw, draw = pyvw.Workspace(self.options), np.random.default_rng(1)
        uniform, total = draw.random(len(self.texts)), 0.0
        started = time.perf_counter()
        for turn, texts in enumerate(self.texts):
            probabilities = vw.predict(texts)
            left, action = uniform[turn], 0
            for action, p in enumerate(probabilities):
                left -= p
                if left <= 0:
                    break
            reward = float(self.rewards[turn, action])
            total += reward
            labelled = texts.copy()
            labelled[action] = f"0:{-reward}:{max(probabilities[action], 1e-6)} {texts[action]}"
            vw.learn(labelled)
        seconds = time.perf_counter() - started
        vw.finish()
        return {"reward": total / len(self.texts), "seconds": seconds}


class ContextualBandits:
    """`contextualbandits` on stream "arms": chooses and learns one decision after the other, as the others do."""

    def __init__(self, arms: np.ndarray, name: str, options: dict):
        self.contexts, self.rewards = arms[:, 0, :-1].astype(np.float64), arms[:, :, -1]
        self.name, self.options = name, options

    def play(self) -> dict:
        from contextualbandits import online

        policy = getattr(online, self.name)(nchoices=ACTIONS, fit_intercept=False, random_state=1, njobs=1, **self.options)
        draw, total = np.random.default_rng(1), 0.0
        started = time.perf_counter()
        for turn in range(len(self.contexts)):
            x = self.contexts[turn : turn + 1]
            action = int(policy.predict(x)[0]) if turn else int(draw.integers(ACTIONS))
            reward = self.rewards[turn, action]
            total += reward
            policy.partial_fit(x, np.array([action]), np.array([reward]))
        return {"reward": float(total / len(self.contexts)), "seconds": time.perf_counter() - started}


def crossed(arms: np.ndarray) -> np.ndarray:
    """The same rows for a policy with one model for all goods: the shopper's row in the place of each arm."""
    decisions, _, width = arms.shape
    rows = np.zeros((decisions, ACTIONS, ACTIONS * (width - 1) + 1), np.float32)
    for arm in range(ACTIONS):
        rows[:, arm, arm * (width - 1) : (arm + 1) * (width - 1)] = arms[:, arm, :-1]
        rows[:, arm, -1] = arms[:, arm, -1]
    return rows


class Ours:
    """A policy of ours on one stream."""

    def __init__(self, bandit: pathlib.Path, path: pathlib.Path, width: int, policy: dict):
        self.command = ["taskset", "-c", "0", bandit, path, ACTIONS, width, json.dumps(policy)]

    def play(self) -> dict:
        program = ours.Program(*self.command)
        try:
            return program.ask()
        finally:
            program.close()


def worlds(lingxi: pathlib.Path, folder: pathlib.Path, seeds, decisions: int):
    """Streams of each seed, one at a time: where ours are, and what peers get."""
    for seed in seeds:
        goods, arms = stream(lingxi, folder, seed, decisions)
        rows = crossed(arms)
        rows.tofile(folder / "crossed.f32")
        yield seed, goods, arms, goods.shape[2] - 1, rows.shape[2] - 1


def compare(case: str, name: str, mine: list, theirs: list) -> dict:
    """Medians of seconds; rewards world by world, with the interval of their mean difference."""
    from scipy import stats

    seconds = [statistics.median(run["seconds"] for run in runs) for runs in (mine, theirs)]
    rewards = [np.array([run["reward"] for run in runs]) for runs in (mine, theirs)]
    more = rewards[0] - rewards[1]
    half = stats.t.ppf(0.975, len(more) - 1) * more.std(ddof=1) / np.sqrt(len(more)) if len(more) > 1 else float("inf")
    assert more.mean() + half >= 0, f"{case}: our reward {rewards[0].mean():.4f}, {name}'s {rewards[1].mean():.4f}, more than chance"
    line = ours.case(f"{case}, {name}", *seconds, name, "s a stream")
    return line | {
        "reward": rewards[0].mean(),
        "peer_reward": rewards[1].mean(),
        "reward_difference": more.mean(),
        "interval": [more.mean() - half, more.mean() + half],
        "worlds": len(more),
    }


def run(quick: bool, say) -> list:
    lingxi, bandit = program(say), ours.build_example("lingxi-decide", "bandit")
    decisions, seeds = (DECISIONS // 4, MEASURED[:2]) if quick else (DECISIONS, MEASURED)
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for seed, goods, arms, width, wide in worlds(lingxi, folder, seeds, decisions):
            players = {("ten goods", "ours"): Ours(bandit, folder / "goods.f32", width, POLICY)}
            players |= {("ten goods", f"Vowpal Wabbit {name}"): Wabbit(goods, options) for name, options in WABBITS.items()}
            players |= {("ten arms", "ours"): Ours(bandit, folder / "crossed.f32", wide, ARMS_POLICY)}
            peers = ARMS_PEERS.items()
            players |= {("ten arms", f"contextualbandits {name}"): ContextualBandits(arms, name, of) for name, of in peers}
            got = {who: player.play() for who, player in players.items()}
            for who, result in got.items():
                runs.setdefault(who, []).append(result)
            say(f"  world {seed}: " + "; ".join(f"{name} {r['reward']:.4f} ({r['seconds']:.2f} s)" for (_, name), r in got.items()))
    cases = [compare(case, name, runs[case, "ours"], got) for (case, name), got in runs.items() if name != "ours"]
    for case in cases:
        low, high = case["interval"]
        say(f"  {case['case']}: reward {case['reward']:.4f}, theirs {case['peer_reward']:.4f}, more by {case['reward_difference']:+.4f} [{low:+.4f}, {high:+.4f}]")
    return cases


def tune(say) -> None:
    """Mean reward of every setting of every program over the worlds of TUNED, the best last."""
    lingxi, bandit = program(say), ours.build_example("lingxi-decide", "bandit")
    rewards = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for seed, goods, arms, width, wide in worlds(lingxi, folder, TUNED, DECISIONS):
            make = {
                "goods": lambda policy: Ours(bandit, folder / "goods.f32", width, policy),
                "arms": lambda policy: Ours(bandit, folder / "crossed.f32", wide, policy),
                "squarecb": lambda options: Wabbit(goods, options),
                "cover": lambda options: Wabbit(goods, options),
                "LinUCB": lambda options: ContextualBandits(arms, "LinUCB", options),
                "LinTS": lambda options: ContextualBandits(arms, "LinTS", options),
            }
            for name, settings in GRID.items():
                for setting in settings:
                    rewards.setdefault((name, str(setting)), []).append(make[name](setting).play()["reward"])
                say(f"  world {seed}: {name} done")
    for name in GRID:
        of = [(statistics.mean(got), setting) for (other, setting), got in rewards.items() if other == name]
        for reward, setting in sorted(of):
            say(f"{name}: {reward:.4f} {setting}")


if __name__ == "__main__":
    import sys

    tune(lambda line: print(line, file=sys.stderr, flush=True))
