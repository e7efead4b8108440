"""Old crates with bugs that are known, each in a small server: `crates/` has the servers and what clients say to them."""

import os
import re
import subprocess
from pathlib import Path

from common import ENV, ROOT, Failed, fuzz, harness, median, program, rounds, table

HERE = Path(__file__).parent / "crates"
BUILT = ROOT / "target/campaigns/crates"

# What each is built with. A target of its own keeps the counters out of what only helps to build it.
BUILDS = {"plain": "", "llvm": "-Cinstrument-coverage"}

# Which crate, its bug, and which finding that is: its kind, and what the server has written or the finding is called. Others that are
# found are told apart from it.
CRATES = {
    "h2": ("0.3.16", "RUSTSEC-2023-0034", "leak", "memory"),
    "quinn-proto": ("0.8.0", "quinn #1334", "crash", "advance out of bounds"),
    "rustls": ("0.23.17", "RUSTSEC-2024-0399", "panic", r"msgs/deframer/"),
    "trust-dns-proto": ("0.4.2", "RUSTSEC-2018-0007", "crash", "has overflowed its stack"),
    "trust-dns-server": ("0.17.0", "RUSTSEC-2023-0041", None, r"expect_silence failed"),
    "tungstenite": ("0.20.0", "RUSTSEC-2023-0065", "hang", "busy"),
}


def build(how):
    """Builds all of them; the folder of the programs."""
    program("cargo")
    host = re.search(r"host: (\S+)", subprocess.run([program("rustc"), "-vV"], capture_output=True, text=True).stdout)[1]
    folder = BUILT / how
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", HERE / "Cargo.toml"]
    command += ["--target", host, "--target-dir", folder]
    environment = os.environ | {"RUSTFLAGS": BUILDS[how]}
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"the servers do not build:\n{done.stderr[-2000:]}")
    return folder / host / "release"


def is_it(finding, kind, words):
    """Whether a finding is the bug that is looked for."""
    written = Path(finding["path"]) / "stderr.txt"
    text = finding["bucket"] + "\n" + (written.read_text(errors="replace") if written.exists() else "")
    return finding["kind"] == kind and re.search(words, text) is not None


def expects(name, server, words):
    """What no fuzzing tells: whether the scenario, which says what is right, holds."""
    code, text = harness(["run", HERE / f"{name}.toml", "--var", f"program={server}"], 60)
    return code == 1 and re.search(words, text) is not None


def measured(arguments):
    """The rows of the table, each when it is known."""
    # No server that ends leaves its counters behind, and no panic takes a tenth of a second to say where it came from.
    ENV.update(LLVM_PROFILE_FILE=os.devnull, RUST_BACKTRACE="0")
    for how in BUILDS:
        folder = build(how)
        for name, (version, bug, kind, words) in CRATES.items():
            # What is told without a campaign is told without counters.
            if arguments.only not in name or (kind is None and how != "plain"):
                continue
            server = folder / name
            about = [f"{name} {version}", bug, how]
            if kind is None:
                hits = rounds(arguments, lambda seed, folder: expects(name, server, words))
                yield [*about, f"{sum(hits)} of {len(hits)}, by `run`", *["-"] * 6]
                continue

            def once(seed, folder):
                options = ["--keep-going", "--var", f"program={server}"]
                campaign = fuzz(HERE / f"{name}.toml", folder / "out", *options, seed=seed, seconds=arguments.seconds)
                found = [finding for finding in campaign.findings if is_it(finding, kind, words)]
                return campaign, found[0] if found else None

            results = rounds(arguments, once)
            hits = [hit for _, hit in results if hit]
            others = {finding["bucket"] for campaign, hit in results for finding in campaign.findings if finding != hit}
            yield [
                *about,
                f"{len(hits)} of {len(results)}",
                median([hit["cases"] for hit in hits]),
                median([hit["seconds"] for hit in hits], 1),
                median([campaign.rate for campaign, _ in results]),
                ", ".join(median([hit[key] for hit in hits]) for key in ("connections", "messages", "bytes")),
                ", ".join(sorted({hit["verdict"] for hit in hits})) or "-",
                ", ".join(sorted(others)) or "-",
            ]


def crates(arguments):
    size = "connections, messages, bytes"
    head = ["crate", "bug", "built", "found", "after cases", "after s", "cases/s", size, "verdict", "also found"]
    table(head, measured(arguments))
