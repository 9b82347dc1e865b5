"""Full-catalogue evaluation of given vectors: `evaluate_vectors` against RecBole 1.2.1's own full-sort evaluation.

Both get the same float32 vectors (a truncated SVD of the training matrix, d = 64) and the same log (Amazon Beauty,
leave-one-out), rank all items with seen ones masked, and report seven metrics at 5, 10 and 20. Theirs is
`Trainer.evaluate` with RecBole's loader, collector and evaluator and its BPR model, whose embeddings are replaced. The
clock covers scoring, masking, selection and metrics, and neither reading nor building of loaders. RecBole's default
batch is one shopper at this catalogue size; it gets the fastest of several batch sizes instead.
"""

import json
import logging
import math
import os
import pathlib
import tempfile
import time

import numpy as np
import ours
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.model.general_recommender import BPR
from recbole.trainer import Trainer
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import svds

DIM, KS = 64, [5, 10, 20]
# RecBole's name of each metric; its MRR, MAP and NDCG are defined as ours.
METRICS = {"hr": "Hit", "recall": "Recall", "precision": "Precision", "ndcg": "NDCG", "mrr": "MRR", "map": "MAP"}
# Equal scores (goods bought by the same shoppers) have no set order in PyTorch, and sums of products in another order swap
# near ties: a few cases in ten thousand.
TOLERANCE = 1e-4
SHOPPERS_A_BATCH = [64, 256, 1024]


def peer(name: str, folder: pathlib.Path):
    """RecBole's settings, the whole log, the training part, a test loader by batch size, and the model."""
    settings = {
        "data_path": str(folder.parent),
        "load_col": {"inter": ["user_id", "item_id", "position"]},
        "TIME_FIELD": "position",
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "metrics": list(METRICS.values()),
        "topk": KS,
        "valid_metric": "NDCG@10",
        "metric_decimal_place": 12,
        "embedding_size": DIM,
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
        "checkpoint_dir": tempfile.mkdtemp(),
    }
    logging.disable(logging.WARNING)
    config = Config(model="BPR", dataset=name, config_dict=settings)
    dataset = create_dataset(config)
    train, _, test = data_preparation(config, dataset)

    def loader(shoppers: int):
        config["eval_batch_size"] = shoppers * dataset.item_num
        return FullSortEvalDataLoader(config, test._dataset, test._sampler)

    return config, dataset, train.dataset, loader, BPR(config, train.dataset)


def vectors(train) -> tuple[np.ndarray, np.ndarray]:
    """Truncated SVD of the training matrix, its rows and columns scaled by their degree and the items' scale given back:
    a plain spectral model, so that the figures compared are those of a recommender."""
    users, items = (np.asarray(train.inter_feat[name]) for name in ("user_id", "item_id"))
    matrix = csr_matrix((np.ones(len(users)), (users, items)), (train.user_num, train.item_num))
    by_user, by_item = (np.maximum(np.asarray(matrix.sum(axis)).ravel(), 1) ** 0.5 for axis in (1, 0))
    left, sigma, right = svds((diags(1 / by_user) @ matrix @ diags(1 / by_item)).tocsr(), k=DIM, random_state=1)
    return (left * sigma).astype(np.float32), np.ascontiguousarray(right.T * by_item[:, None], dtype=np.float32)


def write(folder: pathlib.Path, dataset, users: np.ndarray, items: np.ndarray) -> None:
    """Our input; RecBole's id 0 is padding and stays out."""
    log = dataset.inter_feat
    columns = [np.asarray(log[name]) for name in ("user_id", "item_id", "position")]
    order = np.lexsort((columns[2], columns[0]))
    sequences = [[] for _ in range(dataset.user_num - 1)]
    for user, item in zip(columns[0][order], columns[1][order]):
        sequences[user - 1].append(int(item) - 1)
    (folder / "sequences.json").write_text(json.dumps(sequences))
    users[1:].tofile(folder / "users.f32")
    items[1:].tofile(folder / "items.f32")


def compare(a: dict, b: dict, say) -> None:
    """Refuses to go on unless both found the same figures."""
    for name, theirs in METRICS.items():
        for k in KS:
            x, y = a[f"{name}@{k}"], b[f"{theirs.lower()}@{k}"]
            assert math.isclose(x, y, abs_tol=TOLERANCE), f"{name}@{k}: ours {x}, RecBole {y}"
    shown = ["hr@10", "recall@10", "precision@10", "ndcg@10", "mrr@10", "map@10"]
    pairs = [f"{m} {a[m]:.6f} = {b[METRICS[m[:-3]].lower() + '@10']:.6f}" for m in shown]
    say("  same figures (ours = RecBole's): " + ", ".join(pairs))


def one_case(name: str, runs: int, say) -> dict:
    config, dataset, train, loader, model = peer(name, ours.data(name))
    users, items = vectors(train)
    with torch.no_grad():
        model.user_embedding.weight.copy_(torch.from_numpy(users))
        model.item_embedding.weight.copy_(torch.from_numpy(items))
    trainer = Trainer(config, model)

    def timed(test) -> tuple[float, dict]:
        start = time.perf_counter()
        result = trainer.evaluate(test, load_best_model=False, show_progress=False)
        return time.perf_counter() - start, result

    with tempfile.TemporaryDirectory() as folder:
        write(pathlib.Path(folder), dataset, users, items)
        program = ours.Program(ours.build_example("lingxi-eval", "evaluate_vectors"), folder)
        tried = {}
        for shoppers in SHOPPERS_A_BATCH:
            test = loader(shoppers)
            tried[shoppers] = (timed(test)[0], test)
            say(f"  RecBole with {shoppers} shoppers a batch: {tried[shoppers][0]:.2f} s")
        shoppers = min(tried, key=lambda s: tried[s][0])
        test = tried[shoppers][1]
        compare(program.ask()["metrics"], timed(test)[1], say)
        times = ours.in_turns(lambda: program.ask()["seconds"], lambda: timed(test)[0], runs, say)
        program.close()
    shape = f"{name}: {dataset.user_num - 1} shoppers x {dataset.item_num - 1} items, d = {DIM}"
    return ours.case(shape, *times, f"RecBole 1.2.1, {shoppers} shoppers a batch")


def run(quick: bool, say) -> list:
    torch.set_num_threads(ours.THREADS)
    os.chdir(tempfile.mkdtemp(prefix="lingxi-bench-"))  # RecBole leaves logs where it runs
    say(f"{ours.THREADS} threads each; PyTorch {torch.__version__}")
    return [one_case("beauty", 3 if quick else 7, say)]
