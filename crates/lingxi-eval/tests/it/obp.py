"""Prints what PyPI's obp says of made-up logs, as JSON on one line: inputs and values.

Usage: python obp.py DIR_OF_OBP_0_4_1 DIR_OF_OBP_0_5_7

Of obp only the modules with estimators are loaded, not its packages, which would import torch, pandas and plotting
libraries. obp names `torch.Tensor` in annotations and isinstance tests; nothing here is a tensor, so a
class of that name is enough.
"""

import importlib
import json
import pathlib
import sys
import types

import numpy as np


class Tensor:
    """No array is one."""


def load(directory):
    """The estimator modules of the obp in `directory`."""
    for name in [name for name in sys.modules if name == "obp" or name.startswith("obp.")]:
        del sys.modules[name]
    sys.modules["torch"] = types.SimpleNamespace(Tensor=Tensor, tensor=Tensor)
    root = pathlib.Path(directory) / "obp"
    for name, path in [("obp", root), ("obp.ope", root / "ope"), ("obp.policy", root / "policy")]:
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    names = ["estimators", "estimators_slate"]
    names += ["estimators_tuning"] if (root / "ope/estimators_tuning.py").exists() else []
    return {name: importlib.import_module(f"obp.ope.{name}") for name in names}


def rounds(random, n=200, actions=5, positions=3):
    """A log of single actions at positions, an evaluation policy, and a reward model."""
    logging = random.dirichlet(np.full(actions, 0.8), size=(n, positions)).transpose(0, 2, 1) * 0.9 + 0.1 / actions
    target = random.dirichlet(np.full(actions, 0.4), size=(n, positions)).transpose(0, 2, 1)
    position = random.integers(positions, size=n)
    action = np.array([random.choice(actions, p=logging[i, :, position[i]]) for i in range(n)])
    truth = random.uniform(0.05, 0.6, size=(n, actions, positions))
    reward = random.binomial(1, truth[np.arange(n), action, position])
    model = np.clip(truth + random.normal(0, 0.1, size=truth.shape), 0.01, 0.99)
    return {
        "reward": reward,
        "action": action,
        "position": position,
        "pscore": logging[np.arange(n), action, position],
        "action_dist": target,
        "estimated_rewards_by_reg_model": model,
    }


def slates(random, n=100, length=4, actions=5):
    """Slates with the chance of each place given the places above, and a model of what is still to come."""
    logged, target = random.uniform(0.1, 0.9, size=(2, n, length))
    dist = random.dirichlet(np.ones(actions), size=(n, length))
    return {
        "slate_id": np.repeat(np.arange(n), length),
        "position": np.tile(np.arange(length), n),
        "action": random.integers(actions, size=n * length),
        "reward": random.binomial(1, 0.3, size=n * length).astype(float),
        "logged": logged,
        "target": target,
        "dist": dist,
        "q_hat": random.uniform(0, 1, size=(n, length, actions)),
    }


def single(old, log):
    """What 0.4.1 says of single actions."""
    e = old["estimators"]
    makers = {
        "dm": e.DirectMethod(),
        "ips": e.InverseProbabilityWeighting(),
        "snips": e.SelfNormalizedInverseProbabilityWeighting(),
        "dr": e.DoublyRobust(),
        "sndr": e.SelfNormalizedDoublyRobust(),
    }
    makers |= {f"switch-dr@{tau}": e.SwitchDoublyRobust(tau=tau) for tau in [0.5, 1.0, 5.0, 1e9]}
    makers |= {f"dr-os@{lam}": e.DoublyRobustWithShrinkage(lambda_=lam) for lam in [0.5, 1.0, 10.0, 500.0]}
    return {name: float(maker.estimate_policy_value(**log)) for name, maker in makers.items()}


def tuned(new, log):
    """What 0.5.7 says with parameters chosen by SLOPE, and with clipped weights."""
    e, t = new["estimators"], new["estimators_tuning"]
    lambdas = [0.5, 1.0, 2.0, 5.0, 10.0, 50.0, np.inf]
    makers = {
        "slope-switch-dr": t.SwitchDoublyRobustTuning(lambdas=list(lambdas)),
        "slope-dr-os": t.DoublyRobustWithShrinkageTuning(lambdas=list(lambdas)),
        "ips-clipped@2.0": e.InverseProbabilityWeighting(lambda_=2.0),
        "dr-clipped@2.0": e.DoublyRobust(lambda_=2.0),
    }
    return {name: float(maker.estimate_policy_value(**log)) for name, maker in makers.items()}


def lists(old, new, log):
    """What both say of slates."""
    n, length = log["logged"].shape
    together = lambda p: np.repeat(p.prod(axis=1), length)
    so_far = lambda p: p.cumprod(axis=1).flatten()
    shared = {"slate_id": log["slate_id"], "position": log["position"], "reward": log["reward"]}
    cascade = {
        "pscore_cascade": so_far(log["logged"]),
        "evaluation_policy_pscore_cascade": so_far(log["target"]),
    }
    s, c = old["estimators_slate"], new["estimators_slate"]
    actions = log["q_hat"].shape[2]
    values = {
        "sips": s.SlateStandardIPS(len_list=length).estimate_policy_value(
            **shared, pscore=together(log["logged"]), evaluation_policy_pscore=together(log["target"])
        ),
        "iips": s.SlateIndependentIPS(len_list=length).estimate_policy_value(
            **shared,
            pscore_item_position=log["logged"].flatten(),
            evaluation_policy_pscore_item_position=log["target"].flatten(),
        ),
        "rips": s.SlateRewardInteractionIPS(len_list=length).estimate_policy_value(**shared, **cascade),
        "cascade-dr": c.SlateCascadeDoublyRobust(len_list=length, n_unique_action=actions).estimate_policy_value(
            **shared,
            **cascade,
            action=log["action"],
            q_hat=log["q_hat"].flatten(),
            evaluation_policy_action_dist=log["dist"].flatten(),
        ),
    }
    return {name: float(value) for name, value in values.items()}


def main():
    random = np.random.default_rng(7)
    log, lists_log = rounds(random), slates(random)
    old = load(sys.argv[1])
    values = single(old, log)
    new = load(sys.argv[2])
    values |= tuned(new, log) | lists(old, new, lists_log)
    short = lambda array: np.asarray(array).flatten().tolist()
    print(
        json.dumps(
            {
                "actions": int(log["action_dist"].shape[1]),
                "positions": int(log["action_dist"].shape[2]),
                "rounds": {name: short(array) for name, array in log.items()},
                "length": int(lists_log["logged"].shape[1]),
                "slates": {name: short(array) for name, array in lists_log.items()},
                "values": values,
            }
        )
    )


main()
