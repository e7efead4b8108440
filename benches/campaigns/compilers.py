"""The counters of each compiler that docs/fuzzing.md names, on one server: seen by themselves, and good enough to find what they lead to."""

import re
import shutil
import subprocess

from common import Failed, Skipped, fuzz, harness, median, rounds, table
from inside import ASKS, LADDER, SCENARIO, written

# Debian's afl++, gcc and clang. `RUNTIME` is where the object of our runtime goes.
BUILDS = {
    "afl-clang-fast": ["-O1"],
    "afl-gcc-fast": ["-O1"],
    "afl-gcc": ["-O1"],
    "gcc": ["-O1", "-fsanitize-coverage=trace-pc", "RUNTIME"],
    "clang": ["-O1", "-fsanitize-coverage=trace-pc-guard", "RUNTIME"],
    "clang, its profile": ["-O1", "-fprofile-instr-generate"],
}


class Broken(Exception):
    """A compiler that cannot do what it is for here."""


def build(compiler, options, folder):
    """The server, and the runtime beside it where the compiler has none of its own."""
    server = folder / "ladder"
    command = compiler.split(",")[0]
    if "RUNTIME" in options:
        code, text = harness(["fuzz", "--runtime"])
        if code != 0:
            raise Failed(text)
        (folder / "runtime.c").write_text(text)
        # Its own edges are not the server's.
        subprocess.run(["gcc", "-O2", "-c", folder / "runtime.c", "-o", folder / "runtime.o"], check=True)
    options = [str(folder / "runtime.o") if option == "RUNTIME" else option for option in options]
    done = subprocess.run([command, *options, str(LADDER), "-o", str(server)], capture_output=True, text=True)
    if done.returncode != 0:
        text = re.sub(r"\x1b\S*?[A-Za-z]", "", done.stdout + done.stderr)
        raise Broken(next((line for line in text.splitlines() if "ABORT" in line or "error" in line), "it says nothing"))
    return server


def compilers(arguments):
    rows = []
    for compiler, options in BUILDS.items():
        if shutil.which(compiler.split(",")[0]) is None:
            rows.append([compiler, "not installed", "-", "-", "-", "-"])
            continue

        def once(seed, folder):
            server = build(compiler, options, folder)
            scenario = written(folder, SCENARIO.format(program=server, more="", steps=ASKS))
            campaign = fuzz(scenario, folder / "out", seed=seed, seconds=arguments.seconds)
            if campaign.json["edges"] == 0:
                raise Failed(f"no edge of what `{compiler}` built was seen:\n{campaign.text[-1000:]}")
            return campaign

        try:
            campaigns = rounds(arguments, once)
        except Broken as why:
            rows.append([compiler, f"does not compile: {why}", "-", "-", "-", "-"])
            continue
        found = [campaign.findings[0] for campaign in campaigns if campaign.findings]
        rows.append([
            compiler,
            median([campaign.json["edges"] for campaign in campaigns]),
            campaigns[0].json.get("edges_total", "unknown"),
            median([campaign.rate for campaign in campaigns]),
            f"{len(found)} of {len(campaigns)}",
            median([finding["cases"] for finding in found]),
        ])
    if all(row[2] == "-" for row in rows):
        raise Skipped("there is no compiler of these")
    table(["built with", "edges", "of", "cases/s", "six letters found", "after cases"], rows)
