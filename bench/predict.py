"""Foretold probabilities: ours against LightGBM and scikit-learn's logistic regression, on the same rows, columns and parts.

`lingxi predict NAME --export` writes rows, answers, parts and its own probabilities of the test rows; each peer is fitted on the
training rows, chosen on the validation rows, and foretells the test rows once. LightGBM stops early on validation; a small grid of
leaves, rate and least rows of a leaf is chosen there too. Whole shoppers are drawn again for the intervals, the same for both, so
that differences are paired. The ratio of a case is the peer's log-loss over ours (and ours ROC-AUC over the peer's): 1 or more is
at least equal.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import time

import lightgbm
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

import ours

TASKS = ["obp", "retailrocket", "completejourney"]
GRID = [(leaves, rate, least) for leaves in (7, 15, 31) for rate in (0.02, 0.05) for least in (20, 100)]
DRAWS = 1000


def program() -> pathlib.Path:
    """The release program: the one that LINGXI_PROGRAM names, or built here."""
    named = os.environ.get("LINGXI_PROGRAM")
    if named:
        return pathlib.Path(named)
    subprocess.run(["cargo", "build", "--release", "-q"], cwd=ours.ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ours.ROOT / "target")
    return target / "release" / "lingxi"


def foretold_by_ours(name: str, folder: str) -> tuple[dict, pd.DataFrame]:
    """Our result line, and the rows that it was measured on."""
    command = [program(), "predict", name, "--export", folder, "--json"]
    if name == "retailrocket":
        command += ["--data", ours.data(name)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(out.strip().splitlines()[-1]), pd.read_csv(pathlib.Path(folder) / "rows.csv")


def by_lightgbm(x: dict, y: dict, say) -> tuple[np.ndarray, float]:
    """Probabilities of the test rows, and seconds of the chosen fit."""
    best = None
    for leaves, rate, least in GRID:
        started = time.perf_counter()
        model = lightgbm.LGBMClassifier(
            n_estimators=2000, num_leaves=leaves, learning_rate=rate, min_child_samples=least, subsample=0.8, subsample_freq=1,
            colsample_bytree=0.8, reg_lambda=1.0, random_state=1, n_jobs=ours.THREADS, verbose=-1, deterministic=True, force_row_wise=True,
        )
        stop = lightgbm.early_stopping(50, verbose=False)
        model.fit(x["train"], y["train"], eval_set=[(x["valid"], y["valid"])], eval_metric="binary_logloss", callbacks=[stop])
        seconds = time.perf_counter() - started
        loss = log_loss(y["valid"], model.predict_proba(x["valid"])[:, 1], labels=[0, 1])
        if best is None or loss < best[0]:
            best = (loss, model, seconds, (leaves, rate, least))
    say(f"  LightGBM: {best[3]}, {best[1].best_iteration_} trees, validation {best[0]:.5f}")
    return best[1].predict_proba(x["test"])[:, 1], best[2]


def by_regression(x: dict, y: dict, say) -> tuple[np.ndarray, float]:
    """The same by logistic regression on standardised columns."""
    scale = StandardScaler().fit(x["train"])
    of, best = {part: scale.transform(rows) for part, rows in x.items()}, None
    for strength in (0.001, 0.01, 0.1, 1.0):
        started = time.perf_counter()
        model = LogisticRegression(C=strength, max_iter=2000).fit(of["train"], y["train"])
        seconds = time.perf_counter() - started
        loss = log_loss(y["valid"], model.predict_proba(of["valid"])[:, 1], labels=[0, 1])
        if best is None or loss < best[0]:
            best = (loss, model, seconds, strength)
    say(f"  scikit-learn: C = {best[3]}, validation {best[0]:.5f}")
    return best[1].predict_proba(of["test"])[:, 1], best[2]


def paired(came: np.ndarray, shopper: np.ndarray, own: np.ndarray, peer: np.ndarray, draws: int) -> dict:
    """ROC-AUC and log-loss of ours less the peer's, with the middle 95% over draws of shoppers."""
    rng = np.random.default_rng(1)
    _, number = np.unique(shopper, return_inverse=True)
    differences = []
    for _ in range(draws):
        weight = np.bincount(rng.integers(0, number.max() + 1, number.max() + 1), minlength=number.max() + 1)[number]
        if len(np.unique(came[weight > 0])) < 2:
            continue
        auc = [roc_auc_score(came, p, sample_weight=weight) for p in (own, peer)]
        loss = [log_loss(came, p, sample_weight=weight, labels=[0, 1]) for p in (own, peer)]
        differences.append((auc[0] - auc[1], loss[0] - loss[1]))
    low, high = np.percentile(differences, [2.5, 97.5], axis=0)
    return {"auc": [low[0], high[0]], "log_loss": [low[1], high[1]]}


def of_task(name: str, quick: bool, say) -> list:
    with tempfile.TemporaryDirectory() as folder:
        line, rows = foretold_by_ours(name, folder)
    columns = [c for c in rows.columns if c not in ("part", "shopper", "came") and not c.startswith("ours")]
    part = {part: rows[rows.part == part] for part in ("train", "valid", "test")}
    x = {name: of[columns].to_numpy(np.float32) for name, of in part.items()}
    y = {name: of.came.to_numpy() for name, of in part.items()}
    own, shopper = part["test"].ours.to_numpy(), part["test"].shopper.to_numpy()
    model, ours_seconds = line["result"]["model"], line["result"]["fit_seconds"]
    say(f"{name}: {[len(of) for of in part.values()]} rows, {[int(of.sum()) for of in y.values()]} came true; ours is {model}")
    cases = []
    for peer_name, peer in (("LightGBM", by_lightgbm), ("scikit-learn logistic regression", by_regression)):
        theirs, seconds = peer(x, y, say)
        auc = [roc_auc_score(y["test"], p) for p in (own, theirs)]
        loss = [log_loss(y["test"], p, labels=[0, 1]) for p in (own, theirs)]
        between = paired(y["test"], shopper, own, theirs, 100 if quick else DRAWS)
        for metric, values, ratio in (("log_loss", loss, loss[1] / loss[0]), ("auc", auc, auc[0] / auc[1])):
            low, high = between[metric]
            say(f"  {metric}: ours {values[0]:.5f}, {peer_name} {values[1]:.5f}, difference [{low:+.5f}, {high:+.5f}]")
            cases.append({
                "case": f"{name} {metric} against {peer_name}", "ratio": ratio, "ours": values[0], "peer": values[1],
                "peer_name": peer_name, "unit": "nats" if metric == "log_loss" else "area", "difference": [low, high],
                "seconds": [ours_seconds, seconds], "model": model,
            })
        say(f"  fitting: ours {ours_seconds:.1f} s, {peer_name} {seconds:.1f} s (the chosen fit of its grid)")
    return cases


def run(quick: bool, say) -> list:
    return [case for name in TASKS for case in of_task(name, quick, say)]
