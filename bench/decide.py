"""A slate of ten from 500 candidates, re-ranked, on one core: ours against the same algorithms in numpy.

MMR and greedy DPP get the same scores and the same 384-dimensional vectors. Both start from the scores and the vectors of the
candidates; the peers are the published algorithms (Chen et al. 2018 with its kernel as one matrix product; MMR with one product
a place) as vectorised as numpy allows. Both must choose the same ten goods. The last case holds everything that a recipe can
ask for (DPP, boosts, brand shares, group parity, two caps, a price range, SquareCB with learning) against the budget of 2 ms.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import pathlib
import statistics
import tempfile
import time

import numpy as np
import ours

CANDIDATES, DIM, PLACES, STRENGTH, BUDGET = 500, 384, 10, 0.5, 2.0


def candidates(folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Goods in clusters, as texts of one shop are, with scores and brands."""
    draw = np.random.default_rng(1)
    centres = draw.normal(size=(40, DIM))
    vectors = centres[draw.integers(40, size=CANDIDATES)] + 0.8 * draw.normal(size=(CANDIDATES, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    scores = -np.sort(-draw.gamma(2.0, size=CANDIDATES)).astype(np.float32)
    vectors.tofile(folder / "vectors.f32")
    scores.tofile(folder / "scores.f32")
    draw.integers(60, size=CANDIDATES).astype(np.float32).tofile(folder / "brands.f32")
    return vectors, scores


def mmr(vectors: np.ndarray, scores: np.ndarray) -> list[int]:
    """Scores in their standard deviations, less STRENGTH times the greatest cosine to what is chosen."""
    worth, most = scores / scores.std(), np.zeros(len(scores), np.float32)
    chosen, open_ = [], np.ones(len(scores), bool)
    for _ in range(PLACES):
        best = int(np.argmax(np.where(open_, worth - STRENGTH * most, -np.inf)))
        chosen.append(best)
        open_[best] = False
        most = np.maximum(most, vectors @ vectors[best])
    return chosen


def fast_map_dpp(vectors: np.ndarray, scores: np.ndarray) -> list[int]:
    """Greedy MAP inference of 1709.05135, algorithm 1: incremental Cholesky factors over the kernel q_i q_j cos_ij."""
    quality = np.exp(scores / scores.std() / STRENGTH / 2)
    kernel = quality[:, None] * (vectors @ vectors.T) * quality[None, :]
    factors, left = np.zeros((PLACES, len(scores))), np.copy(np.diag(kernel))
    chosen = [int(np.argmax(left))]
    while len(chosen) < PLACES:
        k, last = len(chosen) - 1, chosen[-1]
        e = (kernel[last] - factors[:k, last] @ factors[:k]) / np.sqrt(left[last])
        factors[k] = e
        left -= np.square(e)
        left[last] = -np.inf
        chosen.append(int(np.argmax(left)))
    return chosen


def run(quick: bool, say) -> list:
    binary, slates, rounds = ours.build_example("lingxi-decide", "rerank"), 100 if quick else 400, 3 if quick else 5
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        vectors, scores = candidates(folder)
        for kind, peer, name in (("mmr", mmr, "numpy MMR"), ("dpp", fast_map_dpp, "numpy fast_map_dpp")):
            program = ours.Program("taskset", "-c", "0", binary, folder, kind, slates)
            mine, theirs = program.ask()["slate"], peer(vectors, scores)
            assert mine == theirs, f"{kind}: ours {mine}, the peer's {theirs}"

            def peer_seconds() -> float:
                started = time.perf_counter()
                for _ in range(slates):
                    peer(vectors, scores)
                return (time.perf_counter() - started) / slates

            a, b = ours.in_turns(lambda: program.ask()["seconds"], peer_seconds, rounds, lambda _: None)
            program.close()
            say(f"  {kind}: the same ten goods; ours {1e3 * a:.3f} ms, numpy {1e3 * b:.3f} ms")
            cases.append(ours.case(f"{kind}, 10 of {CANDIDATES}, one core", 1e3 * a, 1e3 * b, name, "ms a slate"))
        program = ours.Program("taskset", "-c", "0", binary, folder, "all", slates)
        program.ask()
        mine = statistics.median(1e3 * program.ask()["seconds"] for _ in range(rounds))
        program.close()
    cases.append(ours.case(f"everything, 10 of {CANDIDATES}, one core", mine, BUDGET, "the budget", "ms a slate"))
    return cases
