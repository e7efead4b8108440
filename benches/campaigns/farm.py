"""The planted bugs of docs/farm.md, and the servers without any."""

import re
import time
from pathlib import Path

from common import ROOT, Failed, fuzz, harness, median, rounds, table

WIRES = {wire: f"scenarios/farm/{wire}.toml" for wire in ("binary", "datagrams", "text")}

# Servers without a bug: those of the farm, and a scenario of each other kind of protocol.
SOUND = {
    **{f"flawed, {wire}": (path, []) for wire, path in WIRES.items()},
    **{name: (f"scenarios/{name}.toml", []) for name in ("dns", "kv", "lines", "resp", "smtp", "udp-echo")},
}
# Not `utf8`: it answers what a read brings, so that cuts are answered otherwise on purpose.



def flaws(only=""):
    """The rows of the page: name, wire, what finds it."""
    page = (ROOT / "docs/farm.md").read_text()
    for line in page.splitlines():
        if line.startswith("| `"):
            name, _, wire, found, most = [cell.strip() for cell in line.strip("|").split("|")]
            if only in name:
                yield name.strip("`"), wire, found, most


def limit(found):
    """The kind and the number of cases of a row that fuzzing finds."""
    match = re.match(r"`fuzz`: ([a-z-]+), (\d+) cases", found)
    return match and (match[1], int(match[2]))


def farm(arguments):
    rows = []
    for name, wire, found, most in flaws(arguments.only):
        variable = ["--var", f"flaw={name}"]
        if limit(found) or found.startswith("no"):
            kind = limit(found)[0] if limit(found) else None

            def once(seed, folder):
                campaign = fuzz(WIRES[wire], folder, *variable, seed=seed, seconds=arguments.seconds)
                wanted = [finding for finding in campaign.findings if kind in (None, finding["kind"])]
                return wanted[0] if wanted else None

            results = rounds(arguments, once)
            hits = [finding for finding in results if finding]
            size = ", ".join(median([hit[key] for hit in hits]) for key in ("connections", "messages", "bytes"))
            cells = [median([hit["cases"] for hit in hits]), median([hit["seconds"] for hit in hits], 1)]
            verdicts = ", ".join(sorted({hit["verdict"] for hit in hits}))
        else:
            property = found.split("`")[3]

            def once(seed, folder):
                began = time.monotonic()
                options = ["--property", property, "--seed", seed, "--time", f"{arguments.seconds}s", "--out", folder]
                _, text = harness(["prop", WIRES[wire], *variable, *options], arguments.seconds + 180)
                size = re.search(r"smallest\s+([\d,]+) connections?, ([\d,]+) messages?, ([\d,]+) bytes?", text)
                happens = re.search(r"happens\s+(each time|sometimes, about \d+ %)", text)
                verdict = happens[1] if happens else "-"
                return (time.monotonic() - began, size, verdict) if size else None

            results = rounds(arguments, once)
            hits = [hit for hit in results if hit]
            number = lambda hit, at: int(hit[1][at].replace(",", ""))
            size = ", ".join(median([number(hit, at) for hit in hits]) for at in (1, 2, 3))
            cells = ["-", median([hit[0] for hit in hits], 1)]
            verdicts = ", ".join(sorted({hit[2] for hit in hits}))
        rows.append([f"`{name}`", found.split(":")[0], f"{len(hits)} of {len(results)}", *cells, size, most or "-", verdicts])
    table(["flaw", "by", "found", "cases", "seconds", "smallest", "at most", "it comes"], rows)


def sound(arguments):
    rows = []
    accused = 0
    for name, (scenario, options) in SOUND.items():
        if arguments.only not in name:
            continue
        results = []

        def once(seed, folder):
            return fuzz(scenario, folder, *options, "--keep-going", seed=seed, cases=arguments.cases)

        # A round of so many cases takes as long as it takes; one is enough unless more are asked for by name.
        count = arguments.rounds if arguments.cases < 100_000 else 1
        for seed in range(1, count + 1):
            results += rounds(type(arguments)(rounds=1), lambda _, folder: once(seed, folder))
        found = [finding["bucket"] for campaign in results for finding in campaign.findings]
        accused += len(found)
        total = sum(campaign.json["cases"] for campaign in results)
        rows.append([name, f"{total:,}", median([campaign.rate for campaign in results]), ", ".join(found) or "silent"])
    table(["server", "cases", "cases/s", "findings"], rows)
    if accused:
        raise Failed(f"{accused} findings on servers that are sound")


def replays(arguments):
    rows = []
    wrong = 0
    for name, wire, found, _ in flaws(arguments.only):
        if not limit(found):
            continue

        def once(seed, folder):
            campaign = fuzz(WIRES[wire], folder, "--var", f"flaw={name}", seed=seed, seconds=arguments.seconds)
            for finding in campaign.findings:
                repro = Path(finding["path"]) / "repro.toml"
                failed = 0
                for _ in range(20):
                    failed += harness(["run", repro, "--out", folder / "played"], 120)[0] in (1, 6)
                return finding["verdict"], failed
            return None

        results = [result for result in rounds(arguments, once) if result]
        called = [failed for verdict, failed in results if verdict == "deterministic"]
        short = [failed for failed in called if failed < 20]
        wrong += len(short)
        failed = " ".join(f"{failed}/20" for _, failed in results)
        rows.append([f"`{name}`", len(results), len(called), failed or "-", len(short)])
    table(["flaw", "findings", "called deterministic", "failed when played again", "of these wrongly"], rows)
    if wrong:
        raise Failed(f"{wrong} findings are called deterministic and do not come each time")
