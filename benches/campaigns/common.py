"""What the rows share: the program, a campaign, a median, a table."""

import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HARNESS = os.environ.get("HARNESS") or str(ROOT / "target/release/harness")

# Where campaigns and what their servers serve lie, unless TMPDIR says otherwise: what a disk takes is not what is measured. A
# server that makes and removes folders on one is several times as slow.
MEMORY = "/dev/shm" if "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK) else None

# Nothing of whoever calls this decides what is measured.
ENV = {name: value for name, value in os.environ.items() if not name.startswith("HARNESS")}


class Skipped(Exception):
    """Something is missing that a row needs."""


class Failed(Exception):
    """A row is not what it should be."""


def check():
    if not os.access(HARNESS, os.X_OK):
        raise SystemExit(f"there is no program `{HARNESS}`: `cargo build --release` builds it, and HARNESS names another")


def needed(variable, what):
    """The path that a variable holds."""
    path = os.environ.get(variable)
    if not path:
        raise Skipped(f"{variable} is to hold the path of {what} that is built already")
    if not os.access(path, os.X_OK):
        raise Failed(f"{variable} is no program: {path}")
    return str(Path(path).resolve())


def program(name):
    if shutil.which(name) is None:
        raise Skipped(f"there is no `{name}`")
    return name


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Campaign:
    """What a campaign has left."""

    def __init__(self, code, text, folder):
        path = folder / "campaign.json"
        if not path.exists():
            raise Failed(f"the campaign ended with {code}:\n{text[-2000:]}")
        self.code, self.text, self.folder = code, text, folder
        self.json = json.loads(path.read_text())
        self.findings = self.json["findings"]

    @property
    def rate(self):
        return self.json["cases"] / max(self.json["seconds"], 1e-3)

    @property
    def session_rate(self):
        return self.json["sessions"] / max(self.json["seconds"], 1e-3)


def harness(arguments, limit=None):
    command = [HARNESS, *map(str, arguments)]
    try:
        done = subprocess.run(command, cwd=ROOT, env=ENV, capture_output=True, text=True, errors="replace", timeout=limit)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"`{' '.join(command)}` did not end within {limit} s") from late
    return done.returncode, done.stdout + done.stderr


def fuzz(scenario, folder, *options, seed=1, seconds=None, cases=None):
    """A campaign in a folder of its own."""
    arguments = ["fuzz", scenario, "--out", folder, "--seed", seed, *options]
    if seconds is not None:
        arguments += ["--time", f"{seconds}s"]
    if cases is not None:
        arguments += ["--cases", cases]
    # What was found when the time is over is still made small.
    code, text = harness(arguments, None if seconds is None else seconds + 180)
    return Campaign(code, text, Path(folder))


def rounds(arguments, once):
    """What `once` gives in each round, with a seed and a folder of its own."""
    results = []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory(prefix="campaign-", dir=MEMORY) as folder:
            results.append(once(number + 1, Path(folder)))
    return results


def median(values, digits=0):
    """The median as text, `-` of nothing."""
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    middle = statistics.median(values)
    return f"{middle:,.{digits}f}" if digits or middle < 1e15 else str(middle)


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
