"""Independent figures for the agreement test: ranx and scikit-learn on a random case set, printed as JSON.

Run by the slow test in its own virtual environment; its output is committed as reference.json. Definitions that differ:
ranx divides average precision by all R relevant items, lingxi by min(R, k), the best that a list of k can hold; per case
the two differ by exactly that factor, which is applied here. Coverage, Gini, novelty and popularity exist in neither
library, so they are written out with numpy, the plainest way.
"""

import json

import warnings

import numpy as np
from ranx import Qrels, Run, evaluate
from sklearn.metrics import mean_absolute_error, mean_squared_error, roc_auc_score
from sklearn.metrics.pairwise import cosine_distances

# ranx counts in unsigned numbers, which numba remarks on.
warnings.filterwarnings("ignore", category=Warning)
CASES, ITEMS, DIM, KS = 40, 60, 5, [1, 5, 10]
rng = np.random.default_rng(20)

# One decimal scale with distinct values per row: ranx leaves the order of ties open.
scores = np.argsort(rng.random((CASES, ITEMS)), axis=1).astype(np.float32) / 8 - 3
masked = [sorted(rng.choice(ITEMS, rng.integers(0, 9), replace=False).tolist()) for _ in range(CASES)]
relevant, grades = [], []
for case in range(CASES):
    free = [i for i in range(ITEMS) if i not in masked[case]]
    n = int(rng.integers(1, 14))
    # Mostly items that score well, so that the figures are not all small.
    weight = np.exp(scores[case, free].astype(float))
    relevant.append(sorted(rng.choice(free, n, replace=False, p=weight / weight.sum()).tolist()))
    grades.append(rng.integers(1, 5, n).tolist())
vectors = rng.normal(size=(ITEMS, DIM)).astype(np.float32)
counts = rng.integers(0, 50, ITEMS)
predicted, truth = rng.uniform(1, 5, 100).astype(np.float32), rng.integers(1, 6, 100).astype(np.float32)

candidates = [[i for i in range(ITEMS) if i not in masked[c]] for c in range(CASES)]
run = Run({f"q{c:02}": {f"d{i}": float(scores[c, i]) for i in candidates[c]} for c in range(CASES)})


def qrels(value):
    return Qrels({f"q{c:02}": {f"d{i}": value(c, j) for j, i in enumerate(relevant[c])} for c in range(CASES)})


figures = {}
names = {"hr": "hit_rate", "recall": "recall", "precision": "precision", "mrr": "mrr", "map": "map", "f1": "f1"}
for k in KS:
    binary = evaluate(qrels(lambda c, j: 1), run, [f"{n}@{k}" for n in [*names.values(), "ndcg"]], return_mean=False)
    for ours, theirs in names.items():
        figures[f"{ours}@{k}"] = np.array(binary[f"{theirs}@{k}"])
    figures[f"ndcg@{k}"] = np.array(binary[f"ndcg@{k}"])
    figures[f"map@{k}"] *= [len(r) / min(len(r), k) for r in relevant]
    figures[f"graded_ndcg@{k}"] = np.array(evaluate(qrels(lambda c, j: grades[c][j]), run, f"ndcg@{k}", return_mean=False))

    lists = [sorted(candidates[c], key=lambda i: -scores[c, i])[:k] for c in range(CASES)]
    share = (counts + 1) / (counts.sum() + ITEMS)
    figures[f"novelty@{k}"] = np.array([np.mean(-np.log2(share[top])) for top in lists])
    figures[f"popularity@{k}"] = np.array([counts[top].mean() for top in lists])
    distances = [cosine_distances(vectors[top].astype(float))[np.triu_indices(k, 1)] for top in lists]
    figures[f"ild@{k}"] = np.array([d.mean() if k > 1 else 0.0 for d in distances])
    shown = np.bincount(np.concatenate(lists), minlength=ITEMS)
    figures[f"coverage@{k}"] = np.array([(shown > 0).mean()])
    figures[f"gini@{k}"] = np.array([np.abs(shown[:, None] - shown[None]).sum() / (2 * ITEMS**2 * shown.mean())])

figures["auc"] = np.array(
    [roc_auc_score(np.isin(candidates[c], relevant[c]), scores[c, candidates[c]]) for c in range(CASES)]
)
figures["mae"] = np.array([mean_absolute_error(truth, predicted)])
figures["rmse"] = np.array([mean_squared_error(truth, predicted) ** 0.5])

print(
    json.dumps(
        {
            "items": ITEMS,
            "dim": DIM,
            "ks": KS,
            "scores": scores.ravel().tolist(),
            "masked": masked,
            "relevant": relevant,
            "grades": grades,
            "vectors": [float(f"{x:.9g}") for x in vectors.ravel()],
            "counts": counts.tolist(),
            "predicted": [float(f"{x:.9g}") for x in predicted],
            "truth": truth.tolist(),
            "figures": {name: [round(float(x), 12) for x in values] for name, values in figures.items()},
        }
    )
)
