"""One LightGCN epoch: ours against RecBole 1.2.1 and against the shortest PyTorch (torch.sparse with autograd).

All three train the same model (d = 64, 3 layers, BPR with one drawn item a pair, Adam, batch 2,048) on the same pairs
(Amazon Beauty without each shopper's last two events; with LINGXI_BENCH_ML1M=1 also MovieLens-1M, minutes an epoch for the peers).
The clock covers one epoch, drawing of negatives included. Every round is an epoch of each, one after the other. The bench
refuses to report unless, after the same number of epochs, our mean loss is at most 5% above the best peer's.
"""

import json
import logging
import os
import pathlib
import tempfile
import time

import numpy as np
import ours
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import LightGCN
from recbole.trainer import Trainer

# The spread is about that of Xavier's start at these sizes, which RecBole takes.
DIM, LAYERS, BATCH, RATE, SPREAD = 64, 3, 2048, 1e-3, 0.02


def pairs_of(name: str) -> np.ndarray:
    """Distinct training pairs `[pairs, 2]` with ids from 0."""
    folder = ours.data(name)
    file = folder / (f"{name}.train.inter" if name == "ml1m" else f"{name}.inter")
    rows = np.genfromtxt(file, skip_header=1, dtype=np.float64)
    if name != "ml1m":
        # Leave-one-out: the last two events of each shopper stay out.
        rows = rows[np.lexsort((rows[:, 2], rows[:, 0]))]
        last = np.r_[rows[1:, 0] != rows[:-1, 0], True]
        rows = rows[~(last | np.r_[last[1:], False])]
    _, users = np.unique(rows[:, 0], return_inverse=True)
    _, items = np.unique(rows[:, 1], return_inverse=True)
    return np.unique(np.stack([users, items], 1), axis=0)


def recbole_trainer(pairs: np.ndarray):
    """RecBole's trainer on these pairs: a function that runs one epoch and returns its mean loss, the model, and the rows of the
    model's shoppers and items in the order of ours."""
    folder = pathlib.Path(tempfile.mkdtemp()) / "pairs"
    folder.mkdir()
    lines = ["user_id:token\titem_id:token", *(f"{u}\t{i}" for u, i in pairs)]
    (folder / "pairs.inter").write_text("\n".join(lines) + "\n")
    # RecBole wants a validation part: one pair in ten thousand, by its own draw.
    settings = {
        "data_path": str(folder.parent),
        "load_col": {"inter": ["user_id", "item_id"]},
        "eval_args": {"split": {"RS": [0.9998, 0.0001, 0.0001]}, "order": "RO", "group_by": None, "mode": "full"},
        "embedding_size": DIM,
        "n_layers": LAYERS,
        "reg_weight": 1e-5,
        "learning_rate": RATE,
        "train_batch_size": BATCH,
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
        "checkpoint_dir": tempfile.mkdtemp(),
    }
    logging.disable(logging.WARNING)
    config = Config(model="LightGCN", dataset="pairs", config_dict=settings)
    train, _, _ = data_preparation(config, create_dataset(config))
    data = train.dataset
    model = LightGCN(config, data)
    trainer = Trainer(config, model)
    epoch = iter(range(1_000_000))
    tokens = [[str(i) for i in range(pairs[:, column].max() + 1)] for column in (0, 1)]
    rows = [[data.field2token_id[field].get(token, 0) for token in of] for field, of in zip(("user_id", "item_id"), tokens)]
    return lambda: trainer._train_epoch(train, next(epoch), show_progress=False) / len(train), model, rows


class Plain(torch.nn.Module):
    """LightGCN as one would write it: sparse products with autograd."""

    def __init__(self, pairs: np.ndarray, layout: str):
        super().__init__()
        self.users, self.items = int(pairs[:, 0].max()) + 1, int(pairs[:, 1].max()) + 1
        nodes = self.users + self.items
        ends = np.concatenate([pairs + [0, self.users], (pairs + [0, self.users])[:, ::-1]]).T
        degree = np.bincount(ends[0], minlength=nodes).astype(np.float32)
        values = torch.from_numpy(1 / np.sqrt(degree[ends[0]] * degree[ends[1]]))
        graph = torch.sparse_coo_tensor(torch.from_numpy(ends.copy()), values, (nodes, nodes)).coalesce()
        self.graph = graph.to_sparse_csr() if layout == "csr" else graph
        self.start = torch.nn.Parameter(torch.empty(nodes, DIM).uniform_(-SPREAD, SPREAD))
        self.pairs = torch.from_numpy(pairs)
        self.adam = torch.optim.Adam(self.parameters(), lr=RATE)

    def epoch(self) -> float:
        order, losses = torch.randperm(len(self.pairs)), []
        for batch in order.split(BATCH):
            users, items = self.pairs[batch].T
            drawn = torch.randint(self.items, (len(batch),))
            layer = total = self.start
            for _ in range(LAYERS):
                layer = torch.sparse.mm(self.graph, layer)
                total = total + layer
            of_users, of_items = (total / (LAYERS + 1)).split([self.users, self.items])
            margin = (of_users[users] * (of_items[items] - of_items[drawn])).sum(1)
            loss = torch.nn.functional.softplus(-margin).mean()
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()
            losses.append(loss.item())
        return float(np.mean(losses))


def fastest_plain(pairs: np.ndarray, say) -> tuple[str, Plain]:
    """The layout of torch.sparse whose forward and backward is fastest here."""
    tried = {}
    for layout in ("coo", "csr"):
        try:
            model = Plain(pairs, layout)
            start = time.perf_counter()
            for _ in range(2):
                torch.sparse.mm(model.graph, model.start).sum().backward()
            tried[layout] = (time.perf_counter() - start, model)
            say(f"  torch.sparse as {layout}: {tried[layout][0] / 2:.4f} s a product, forward and backward")
        except RuntimeError as why:
            say(f"  torch.sparse as {layout}: {str(why).splitlines()[0]}")
    layout = min(tried, key=lambda name: tried[name][0])
    return layout, tried[layout][1]


def one_data_set(name: str, runs: int, say) -> list:
    pairs = pairs_of(name)
    say(f"{name}: {pairs[:, 0].max() + 1} shoppers, {pairs[:, 1].max() + 1} items, {len(pairs)} pairs")
    layout, plain = fastest_plain(pairs, say)
    theirs = {"RecBole 1.2.1": recbole_trainer(pairs)[0], f"torch.sparse ({layout}), autograd": plain.epoch}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        pairs.astype("<u4").tofile(folder / "pairs.u32")
        training = {"loss": "bpr", "batch": BATCH, "learning_rate": RATE, "decay": 0.0, "held_out": 0.0}
        config = {"dim": DIM, "layers": LAYERS, "spread": SPREAD, "training": training}
        (folder / "lightgcn.json").write_text(json.dumps(config))
        program = ours.Program(ours.build_example("lingxi-behaviour", "lightgcn"), folder)
        seconds, losses = {"ours": []} | {peer: [] for peer in theirs}, {}
        for turn in range(runs + 1):  # the first round warms all and is thrown away
            answer = program.ask()
            seconds["ours"].append(answer["seconds"])
            losses["ours"] = answer["loss"]
            for peer, epoch in theirs.items():
                start = time.perf_counter()
                losses[peer] = epoch()
                seconds[peer].append(time.perf_counter() - start)
            say(f"  round {turn} of {runs}: " + ", ".join(f"{who} {s[-1]:.2f} s, loss {losses[who]:.4f}" for who, s in seconds.items()))
        program.close()
    best = min(loss for who, loss in losses.items() if who != "ours")
    assert losses["ours"] <= 1.05 * best, f"after {runs + 1} epochs our loss is {losses['ours']:.4f}, the best peer's {best:.4f}"
    middle = {who: float(np.median(s[1:])) for who, s in seconds.items()}
    shape = f"LightGCN epoch, {name}, {len(pairs)} pairs, d = {DIM}, {LAYERS} layers, batch {BATCH}"
    return [ours.case(shape, middle["ours"], middle[peer], peer) for peer in theirs]


def run(quick: bool, say) -> list:
    torch.set_num_threads(ours.THREADS)
    torch.manual_seed(1)
    os.chdir(tempfile.mkdtemp(prefix="lingxi-bench-"))  # RecBole leaves logs where it runs
    say(f"{ours.THREADS} threads each; PyTorch {torch.__version__}")
    names = ["beauty"] + (["ml1m"] if os.environ.get("LINGXI_BENCH_ML1M") else [])
    return [case for name in names for case in one_data_set(name, 1 if quick else 3, say)]
