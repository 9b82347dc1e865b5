#!/usr/bin/env python3
"""Ours against the peers: python3 bench/bench.py NAME [--quick] [--json]

Each NAME is a module beside this file (time-to-quality is time_to_quality.py) with a function `run(quick, say) -> list of cases`. This entry needs no package: it
makes a virtual environment of pinned peers (bench/requirements.txt) once, in $LINGXI_CACHE or ~/.cache/lingxi, and runs
the module in it. A module runs ours and theirs in turns in one process tree, takes medians, and refuses to report when both
did not do the same work to the same quality. With --json the last line is
{"command":"bench","name":NAME,"ratio":smallest case ratio,"cases":[{"case","ratio","ours","peer","peer_name","unit"}]}.
"""

import argparse
import hashlib
import importlib
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
NAMES = sorted(path.stem.replace("_", "-") for path in HERE.glob("*.py") if path.stem not in ("bench", "ours", "serving"))


def environment() -> pathlib.Path:
    """The Python of the environment with the peers, made anew when the pins change."""
    cache = pathlib.Path(os.environ.get("LINGXI_CACHE") or pathlib.Path.home() / ".cache" / "lingxi")
    pins = HERE / "requirements.txt"
    venv, digest = cache / "bench-venv", hashlib.sha256(pins.read_bytes()).hexdigest()
    python, ready = venv / "bin" / "python", venv / "ready"
    if not ready.exists() or ready.read_text() != digest:
        print(f"installing the peers into {venv} (once, some minutes and 7 GB) ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        # The list is complete, and some peers ask for old releases of what they do not use here: hence --no-deps.
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "-r", pins], check=True)
        ready.write_text(digest)
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--quick", action="store_true", help="fewer runs: a look, not a figure to quote")
    parser.add_argument("--json", action="store_true", help="print the result as one last line of JSON")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.inside:
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
        command = [environment(), __file__, *sys.argv[1:], "--inside"]
        return subprocess.run(command).returncode

    sys.argv = sys.argv[:1]  # some peers read the command line
    sys.path.insert(0, str(HERE))

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    cases = importlib.import_module(args.name.replace("-", "_")).run(args.quick, say)
    ratio = min(case["ratio"] for case in cases)
    for case in cases:
        print(
            f"{case['case']}: ours {case['ours']:.4g} {case['unit']}, {case['peer_name']} {case['peer']:.4g} "
            f"{case['unit']}, ratio {case['ratio']:.2f}"
        )
    if args.json:
        print(json.dumps({"command": "bench", "name": args.name, "ratio": ratio, "cases": cases}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
