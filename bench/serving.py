"""A server of the demo's shop on one core and the load generator on another, for the benches that ask over HTTP."""

import json
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.request

import ours

SERVER_CORE, LOAD_CORE = "0", "1"
RECIPE = ours.ROOT / "recipes" / "completejourney.toml"


def pinned(core: str, *command) -> list:
    return ["taskset", "-c", core, *map(str, command)]


def built(say) -> tuple[pathlib.Path, pathlib.Path, pathlib.Path]:
    """The program, the load generator and the empty handler; and the demo's shop on the shelf."""
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("bench: the server and its load need a core each, and this machine has one")
    load, empty = (ours.build_example("lingxi", name) for name in ("load", "empty"))
    command = ["cargo", "build", "--release", "-q", "-p", "lingxi", "--message-format=json"]
    out = subprocess.run(command, cwd=ours.ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = (json.loads(line).get("executable") for line in out.splitlines() if line.startswith("{"))
    program = pathlib.Path(next(path for path in found if path))
    say("building the demo's shop, or taking it from the shelf ...")
    subprocess.run([program, "demo", "--no-serve", "--json"], check=True, stdout=subprocess.DEVNULL)
    return program, load, empty


def assets() -> pathlib.Path:
    """Where the demo's files lie."""
    cache = pathlib.Path(os.environ.get("LINGXI_CACHE") or pathlib.Path.home() / ".cache" / "lingxi")
    return cache / "assets" / "completejourney"


class Server:
    """A process that listens; stopped with SIGTERM when the block ends."""

    def __init__(self, port: int, *command):
        self.at = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(pinned(SERVER_CORE, *command), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://{self.at}/health/ready", timeout=1).read()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise SystemExit(f"bench: the server at {self.at} did not start")
                time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)


def shop(program: pathlib.Path, port: int, folder: str) -> Server:
    """The demo's shop with an empty store."""
    store = pathlib.Path(folder) / f"store-{port}.sqlite"
    return Server(port, program, "serve", "--recipe", RECIPE, "--data", assets(), "--addr", f"127.0.0.1:{port}", "--store", store)


class Load:
    """Sends requests, one a line."""

    def __init__(self, program: pathlib.Path, lines: list[str]):
        self.program = program
        self.file = tempfile.NamedTemporaryFile("w", suffix=".txt")
        self.file.write("\n".join(lines) + "\n")
        self.file.flush()

    def run(self, at: str, seconds: float, connections: int, rate: float | None = None) -> dict:
        command = [self.program, at, self.file.name, "--seconds", seconds, "--connections", connections]
        if rate:
            command += ["--rate", rate]
        out = subprocess.run(pinned(LOAD_CORE, *command), check=True, stdout=subprocess.PIPE, text=True).stdout
        got = json.loads(out)
        if got["broken"]:
            raise SystemExit(f"bench: {got['broken']} requests got no answer: {got}")
        return got
