"""The same model on the same target: this project and boofuzz from PyPI."""

import json
import subprocess
import sys
import venv
from pathlib import Path

from common import ENV, HARNESS, ROOT, Failed, fuzz, median, rounds, table

VERSION = "0.4.2"
VENV = ROOT / "target/campaigns/boofuzz"


def python():
    """A Python that has boofuzz, installed where what is built goes."""
    program = VENV / "bin/python"
    if not (VENV / "has").exists():
        venv.create(VENV, with_pip=True, clear=True)
        install = [program, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"boofuzz=={VERSION}"]
        if subprocess.run(list(map(str, install))).returncode != 0:
            raise Failed(f"boofuzz {VERSION} cannot be installed")
        (VENV / "has").touch()
    return str(program)


def boofuzz(arguments):
    scenario = Path(__file__).parent / "kv.toml"
    own = rounds(arguments, lambda seed, folder: fuzz(scenario, folder, "--keep-going", seed=seed, seconds=arguments.seconds))

    def once(seed, folder):
        server = subprocess.Popen([HARNESS, "serve", "kv"], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            port = server.stdout.readline().strip().rsplit(":", 1)[1]
            command = [python(), str(Path(__file__).parent / "kv_boofuzz.py"), port, str(arguments.seconds)]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=arguments.seconds + 120)
            if done.returncode != 0:
                raise Failed(f"boofuzz: {done.stderr[-1000:]}")
            return json.loads(done.stdout.splitlines()[-1])
        finally:
            server.terminate()
            server.wait()

    theirs = rounds(arguments, once)
    rate = lambda result: result["cases"] / result["seconds"]
    rows = [
        ["harness fuzz", median([campaign.rate for campaign in own]), median([c.json["messages"] / c.json["seconds"] for c in own])],
        [f"boofuzz {VERSION}", median([rate(result) for result in theirs]), median([r["messages"] / r["seconds"] for r in theirs])],
    ]
    table(["on `kv` over TCP, one worker", "cases/s", "messages/s"], rows)
    times = sorted(campaign.rate for campaign in own)[len(own) // 2] / sorted(map(rate, theirs))[len(theirs) // 2]
    print(f"\nratio of the medians: {times:.1f}; against 638 cases/s: {float(rows[0][1].replace(',', '')) / 638:.1f}", file=sys.stdout)
