"""Our side of a bench: programs of this workspace, built for release, and the rules that all benches share."""

import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
THREADS = min(2, os.cpu_count() or 1)


# Absolute from the start, since a bench may change its folder.
DATA = pathlib.Path(os.environ["LINGXI_DATA"]).resolve() if os.environ.get("LINGXI_DATA") else None


def data(name: str) -> pathlib.Path:
    """A folder of LINGXI_DATA; ends the program with a clear word where it is not there."""
    if DATA is None or not (DATA / name).is_dir():
        sys.exit(f"bench: set LINGXI_DATA to the folder that holds {name}/ (got {DATA})")
    return DATA / name


def build_example(package: str, example: str) -> pathlib.Path:
    """Builds an example and returns its path."""
    command = ["cargo", "build", "--release", "-q", "-p", package, "--example", example, "--message-format=json"]
    built = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    return pathlib.Path(next(m["executable"] for m in reversed(messages) if m.get("executable")))


class Program:
    """A running program that answers each line with one line of JSON."""

    def __init__(self, *command):
        env = {**os.environ, "RAYON_NUM_THREADS": str(THREADS)}
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def ask(self) -> dict:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def in_turns(ours, theirs, runs: int, say) -> tuple[float, float]:
    """Median seconds of each, measured A B A B after one round that warms both and is thrown away. What else the machine
    does then falls on both."""
    ours(), theirs()
    a, b = [], []
    for turn in range(runs):
        a.append(ours())
        b.append(theirs())
        say(f"  run {turn + 1} of {runs}: ours {a[-1]:.3f} s, peer {b[-1]:.3f} s")
    return statistics.median(a), statistics.median(b)


def case(name: str, ours: float, peer: float, peer_name: str, unit: str = "s") -> dict:
    """A case of the result; both figures are times, so the ratio is how many times faster ours is."""
    return {"case": name, "ratio": peer / ours, "ours": ours, "peer": peer, "peer_name": peer_name, "unit": unit}
