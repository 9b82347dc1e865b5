"""A text to the ten nearest of 92,334 goods, on one core: `/api/search` against sentence-transformers with hnswlib.

Both encode each query with the same weights (all-MiniLM-L6-v2) and search an HNSW index over the same vectors with the same
number of links and width. Ours answers over HTTP, the peer is called in its own process. Both must find equally near goods.
"""

import glob
import json
import os
import pathlib
import random
import statistics
import sys
import tempfile
import urllib.parse
import urllib.request

import numpy as np
import ours
import serving
from safetensors.numpy import load_file

DIM, LINKS, WIDTH, BEST, TOLERANCE = 384, 16, 256, 10, 2e-3

PEER = """
import json, sys, time
import hnswlib, numpy as np, torch
from sentence_transformers import SentenceTransformer
torch.set_num_threads(1)
vectors, queries = np.load(sys.argv[1]), json.load(open(sys.argv[2]))
model = SentenceTransformer(sys.argv[3], device="cpu")
index = hnswlib.Index(space="ip", dim=vectors.shape[1])
index.init_index(len(vectors), M=int(sys.argv[4]), ef_construction=128, random_seed=1)
index.set_num_threads(1)
index.add_items(vectors)
index.set_ef(int(sys.argv[5]))
def search(text):
    query = model.encode([text], normalize_embeddings=True, show_progress_bar=False)
    return index.knn_query(query, k=10)
def ask():
    best = [[1 - float(d) for d in search(text)[1][0]] for text in queries[:200]]
    waits, start = [], time.perf_counter()
    while time.perf_counter() - start < float(sys.argv[6]):
        begun = time.perf_counter()
        search(queries[len(waits) % len(queries)])
        waits.append(time.perf_counter() - begun)
    return {"ms": 1e3 * sum(waits) / len(waits), "p50_ms": 1e3 * float(np.median(waits)), "best": best}
for _ in sys.stdin:
    print(json.dumps(ask()), flush=True)
"""


def catalogue() -> np.ndarray:
    """The distinct vectors of the demo's goods, as our index holds them."""
    cache = serving.assets().parent.parent / "artefacts" / "index" / "*" / "hnsw.safetensors"
    for path in sorted(glob.glob(str(cache)), key=os.path.getmtime, reverse=True):
        vectors = load_file(path)["vectors"]
        if vectors.shape[1] == DIM:
            return vectors
    sys.exit(f"bench: no index of the demo's texts below {cache}")


def queries() -> list[str]:
    """What people type: one to three words of the shop's own product names, in any order."""
    import polars as pl

    names = pl.read_parquet(serving.assets() / "products.parquet")["product_type"].drop_nulls().unique().sort()
    draw, texts = random.Random(1), []
    for name in draw.choices(names.to_list(), k=2_000):
        words = [word for word in name.lower().replace("/", " ").split() if word.isalpha()] or ["milk"]
        texts.append(" ".join(draw.sample(words, min(len(words), draw.randint(1, 3)))))
    return texts


def cosines(at: str, text: str) -> list[float]:
    """How near our two hundred best are; goods with one text have one vector, so that some are equal."""
    with urllib.request.urlopen(f"http://{at}/api/search?n=200&q={urllib.parse.quote(text)}") as answer:
        return [near["Score"] for near in json.load(answer)]


def compare(at: str, texts: list[str], theirs: list[list[float]], say) -> None:
    """Refuses to go on unless ours finds goods as near as the peer's best and tenth best, within rounding."""
    reached = 0
    for text, best in zip(texts, theirs):
        mine = cosines(at, text)
        reached += mine[0] > best[0] - TOLERANCE and sum(near > best[-1] - TOLERANCE for near in mine) >= BEST
    share = reached / len(theirs)
    say(f"  ours finds goods as near as the peer's best and tenth best for {share:.1%} of {len(theirs)} queries")
    assert share > 0.98, f"only {share:.1%} agree"


def run(quick: bool, say) -> list:
    program, load_program, _ = serving.built(say)
    texts, seconds, rounds = queries(), 2 if quick else 4, 3 if quick else 5
    load = serving.Load(load_program, [f"GET /api/search?n={BEST}&q={urllib.parse.quote_plus(text)}" for text in texts])
    with tempfile.TemporaryDirectory() as folder, serving.shop(program, 18114, folder) as shop:
        folder = pathlib.Path(folder)
        np.save(folder / "vectors.npy", catalogue())
        (folder / "queries.json").write_text(json.dumps(texts))
        model = serving.assets().parent / "all-MiniLM-L6-v2"
        command = [sys.executable, "-c", PEER, folder / "vectors.npy", folder / "queries.json", model, LINKS, WIDTH, seconds]
        peer = ours.Program(*serving.pinned(serving.SERVER_CORE, *command))
        compare(shop.at, texts[:200], peer.ask()["best"], say)
        mine, alone, theirs = [], [], []
        for turn in range(rounds):
            mine.append(load.run(shop.at, seconds, 4))
            alone.append(load.run(shop.at, seconds, 1))
            theirs.append(peer.ask())
            line = f"ours {mine[-1]['goodput']:.0f}/s, alone p50 {alone[-1]['p50_ms']:.2f} p99 {alone[-1]['p99_ms']:.2f} ms"
            say(f"  round {turn + 1} of {rounds}: {line}; peer {1e3 / theirs[-1]['ms']:.0f}/s, p50 {theirs[-1]['p50_ms']:.2f} ms")
        peer.close()
    a, b = statistics.median(1e3 / got["goodput"] for got in mine), statistics.median(got["ms"] for got in theirs)
    case = ours.case("search, 10 of 92,334 goods, one core", a, b, "sentence-transformers + hnswlib", "ms a search")
    latency = {name: statistics.median(got[name] for got in alone) for name in ("p50_ms", "p99_ms")}
    return [case | {"searches_per_second": 1e3 / a} | latency]
