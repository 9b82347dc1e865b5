"""Events in: over HTTP with one sync for many (against SQLite from Python), and 10 million rows from Parquet (against polars).

Over HTTP the server has one core and the load another, and an event counts once it is on disk. The peer writes the same
events into the same table with the same sync, one transaction a request, with no HTTP in between. From Parquet both read the
same file, drop rows without shopper, item or time, drop exact repetitions, turn names into dense numbers and sort by shopper
and time; both end with the same numbers of events, shoppers and items.
"""

import json
import os
import pathlib
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

import ours
import serving

ROWS, QUICK_ROWS = 10_000_000, 2_000_000

SOURCE = """
[[events]]
path = "events.parquet"
columns = { user = "user_id", item = "item_id", at = "time", kind = "event", quantity = "quantity" }
[clean]
off = ["near_duplicate"]
"""

# Run by its own process, so that its threads are counted from the start and its memory is its own.
PEER = """
import json, sys, time
import polars as pl
def read(path):
    rows = pl.scan_parquet(path).drop_nulls(["user_id", "item_id", "time"])
    rows = rows.with_columns(pl.col("time").dt.epoch("s"), pl.col("quantity").fill_null(1).cast(pl.Float32))
    rows = rows.unique(maintain_order=True).collect()
    dense = pl.col("user_id", "item_id").cast(pl.Categorical).to_physical()
    return rows.with_columns(dense).sort("user_id", "time", maintain_order=True)
for _ in sys.stdin:
    start = time.perf_counter()
    rows = read(sys.argv[1])
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "events": rows.height, "users": rows["user_id"].n_unique(),
                      "items": rows["item_id"].n_unique()}), flush=True)
"""


def write_log(path: pathlib.Path, rows: int) -> None:
    """A year of a shop: a few shoppers and goods have most events, names are text, a few rows are broken or sent twice."""
    import numpy as np
    import polars as pl

    draw = np.random.default_rng(1)
    shopper = (draw.random(rows) ** 2 * 1_000_000).astype(np.int64)
    item = (draw.random(rows) ** 3 * 100_000).astype(np.int64)
    log = pl.DataFrame(
        {
            "user_id": shopper,
            "item_id": item,
            "time": draw.integers(1_600_000_000, 1_631_536_000, rows) * 1000,
            "event": draw.choice(4, rows, p=[0.8, 0.1, 0.05, 0.05]),
            "quantity": draw.integers(1, 4, rows),
        }
    )
    kinds = pl.Series(["view", "cart", "buy", "click"])
    log = log.with_columns(
        pl.format("user-{}", pl.col("user_id").cast(pl.String).str.zfill(7)).alias("user_id"),
        pl.format("item-{}", pl.col("item_id").cast(pl.String).str.zfill(6)).alias("item_id"),
        pl.col("time").cast(pl.Datetime("ms")),
        pl.Series("event", kinds.gather(log["event"])),
    )
    broken = pl.Series(draw.random(rows) < 0.002)
    log = log.with_columns(pl.when(~broken).then(pl.col("user_id")).alias("user_id"))
    again = log.gather(draw.integers(0, rows, rows // 100))
    pl.concat([log, again]).write_parquet(path, compression="snappy", row_group_size=1_000_000, statistics=False)


def from_parquet(quick: bool, say) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_log(folder / "events.parquet", QUICK_ROWS if quick else ROWS)
        (folder / "source.toml").write_text(SOURCE)
        program = ours.build_example("lingxi", "ingest_timed")
        mine = ours.Program(program, folder / "source.toml", folder)
        os.environ["POLARS_MAX_THREADS"] = str(ours.THREADS)
        peer = ours.Program(sys.executable, "-c", PEER, folder / "events.parquet")
        a, b = mine.ask(), peer.ask()
        for name in ("events", "users", "items"):
            assert a[name] == b[name], f"{name}: ours {a[name]}, polars {b[name]}"
        say(f"  {a['rows']} rows: both kept {a['events']} events of {a['users']} shoppers on {a['items']} goods")
        runs = 3 if quick else 5
        times = ours.in_turns(lambda: mine.ask()["seconds"], lambda: peer.ask()["seconds"], runs, say)
        peak = mine.ask()["peak_mb"]
        mine.close(), peer.close()
    say(f"  ours {a['rows'] / times[0] / 1e6:.2f} million rows/s (peak {peak} MB), polars {a['rows'] / times[1] / 1e6:.2f}")
    case = ours.case(f"parse and clean {a['rows']} Parquet rows, 2 cores", *times, "polars")
    return case | {"rows_per_second": a["rows"] / times[0], "peak_mb": peak}


def row(draw: random.Random) -> dict:
    kind = draw.choice(["view", "view", "view", "cart", "buy"])
    return {"FeedbackType": kind, "UserId": str(draw.randint(1, 2500)), "ItemId": str(draw.randint(25_000, 18_000_000))}


def sqlite_seconds(folder: str, batches: list[list[dict]]) -> float:
    """Seconds an event, one transaction a batch."""
    path = pathlib.Path(folder) / "peer.sqlite"
    path.unlink(missing_ok=True)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, user TEXT, item TEXT, kind TEXT, value REAL, at INTEGER)")
    db.execute("CREATE INDEX events_of_user ON events (user, at)")
    start, count = time.perf_counter(), 0
    for batch in batches:
        db.execute("BEGIN IMMEDIATE")
        rows = [(e["UserId"], e["ItemId"], e["FeedbackType"], 1.0, int(time.time())) for e in batch]
        db.executemany("INSERT INTO events (user, item, kind, value, at) VALUES (?, ?, ?, ?, ?)", rows)
        db.execute("COMMIT")
        count += len(batch)
        if time.perf_counter() - start > 3:
            break
    seconds = time.perf_counter() - start
    db.close()
    return seconds / count


def over_http(quick: bool, say) -> list:
    program, load_program, _ = serving.built(say)
    draw, cases = random.Random(1), []
    with tempfile.TemporaryDirectory() as folder, serving.shop(program, 18113, folder) as shop:
        for size, connections in ((1, 256), (100, 16)):
            batches = [[row(draw) for _ in range(size)] for _ in range(20_000 // size)]
            load = serving.Load(load_program, [f"POST /api/feedback {json.dumps(batch)}" for batch in batches])
            mine, theirs = [], []
            for turn in range(3 if quick else 5):
                got = load.run(shop.at, 2 if quick else 4, connections)
                assert set(got["answered"]) == {"200"}, got["answered"]
                mine.append(1 / (got["goodput"] * size))
                theirs.append(sqlite_seconds(folder, batches))
                say(f"  {size} a request: ours {1 / mine[-1]:.0f} events/s (p99 {got['p99_ms']:.1f} ms), SQLite {1 / theirs[-1]:.0f}")
            a, b = statistics.median(mine), statistics.median(theirs)
            name = f"acknowledged events over HTTP, {size} a request, one core"
            case = ours.case(name, a * 1e6, b * 1e6, "SQLite from Python, one transaction a request", "us an event")
            cases.append(case | {"events_per_second": 1 / a})
    return cases


def run(quick: bool, say) -> list:
    return [*over_http(quick, say), from_parquet(quick, say)]
