"""What is measured on servers of this project: ablations, and how fast a target comes back."""

import statistics
import subprocess
from pathlib import Path

from common import ROOT, Failed, fuzz, harness, median, program, rounds, table

LADDER = Path(__file__).parent / "ladder.c"

SCENARIO = """
[target.server]
command = ["{program}", "${{server.port}}"{more}]
address = "tcp://127.0.0.1:${{server.port}}"

[actor.client]
connect = "server"
framing = "line"

[[case]]
name = "asks"
steps = [{steps}]
"""

ASKS = '{ send = "KEY none" }, { expect = "no" }, { send = "ECHO x" }, { expect = "ok" }'

# The same server and the same flaw, with less and less that is known of it.
KNOWN = {
    "description": None,
    "recorded session": """
[vars]
flaw = "none"
[target]
builtin = "flawed"
settings = { flaw = "${flaw}", wire = "binary" }
[[case]]
name = "as it was recorded"
steps = [
  { send = { hex = "464c 07 0007 000b 06 636f6c6f7572 626c7565 PUT" } },
  { expect = { hex = "464c 80 0007 0001 00 ????????" } },
  { send = { hex = "464c 04 0008 0006 636f6c6f7572 GET" } },
  { expect = { hex = "464c 80 0008 0005 00 626c7565 ????????" } },
]
""",
    "nothing": """
[vars]
flaw = "none"
[target]
builtin = "flawed"
settings = { flaw = "${flaw}", wire = "binary" }
[[case]]
name = "says something"
steps = [{ send = { raw = "hello\\n" } }]
""",
}


def recorded(text):
    """The session with its checksums."""
    import binascii

    for name, body in (("PUT", "464c070007000b06636f6c6f7572626c7565"), ("GET", "464c0400080006636f6c6f7572")):
        text = text.replace(name, f"{binascii.crc32(bytes.fromhex(body)):08x}")
    return text


def build(folder, coverage):
    """The server of lines, with counters or without."""
    program("gcc")
    gcc = lambda *options: subprocess.run(["gcc", "-O1", *map(str, options)], check=True)
    server = folder / "ladder"
    if not coverage:
        gcc(LADDER, "-o", server)
        return server
    runtime = folder / "runtime.c"
    code, text = harness(["fuzz", "--runtime"])
    if code != 0:
        raise Failed(text)
    runtime.write_text(text)
    gcc("-fsanitize-coverage=trace-pc", "-c", LADDER, "-o", folder / "ladder.o")
    gcc(folder / "ladder.o", runtime, "-o", server)
    return server


def written(folder, text):
    scenario = folder / "scenario.toml"
    scenario.write_text(text)
    return scenario


def row(what, how, campaigns):
    """A line of the table of ablations."""
    hits = [campaign.findings[0] for campaign in campaigns if campaign.findings]
    return [
        what,
        how,
        f"{len(hits)} of {len(campaigns)}",
        median([hit["cases"] for hit in hits]),
        median([hit["seconds"] for hit in hits], 1),
        median([campaign.rate for campaign in campaigns]),
        median([campaign.json["edges"] for campaign in campaigns]),
    ]


def ablations(arguments):
    rows = []
    for flaw in ("checksum", "length-lies", "length-overflow", "magic"):
        for how, text in KNOWN.items():

            def once(seed, folder):
                scenario = "scenarios/farm/binary.toml" if text is None else written(folder, recorded(text))
                options = ["--var", f"flaw={flaw}"]
                return fuzz(scenario, folder / "out", *options, seed=seed, seconds=arguments.seconds)

            rows.append(row(f"known of the protocol (`{flaw}`)", how, rounds(arguments, once)))
    for how, coverage, options in (
        ("coverage", True, []),
        ("answers", True, ["--coverage", "off"]),
        ("nothing", True, ["--coverage", "off", "--feedback", "off"]),
    ):

        def once(seed, folder):
            server = build(folder, coverage)
            scenario = written(folder, SCENARIO.format(program=server, more="", steps=ASKS))
            return fuzz(scenario, folder / "out", *options, seed=seed, seconds=arguments.seconds)

        rows.append(row("feedback (six letters, one after the other)", how, rounds(arguments, once)))
    for what, how, options in (
        ("quiescence (`state-confusion`)", "on", []),
        ("quiescence (`state-confusion`)", "off", ["--quiescence", "off"]),
        ("a target for (`state-confusion`)", "the campaign", []),
        ("a target for (`state-confusion`)", "each case", ["--isolate", "case"]),
    ):

        def once(seed, folder):
            options_of_all = ["--var", "flaw=state-confusion", *options]
            return fuzz("scenarios/farm/text.toml", folder, *options_of_all, seed=seed, seconds=arguments.seconds)

        rows.append(row(what, how, rounds(arguments, once)))
    for what, how, options in (
        ("quiescence (no flaw)", "on", []),
        ("quiescence (no flaw)", "off", ["--quiescence", "off"]),
        ("one processor for both (no flaw)", "on", []),
        ("one processor for both (no flaw)", "off", ["--affinity", "off"]),
        ("a target for (no flaw)", "the campaign", []),
        ("a target for (no flaw)", "each case", ["--isolate", "case"]),
    ):

        def once(seed, folder):
            return fuzz("scenarios/farm/text.toml", folder, *options, seed=seed, seconds=arguments.seconds)

        rows.append(row(what, how, rounds(arguments, once)))
    table(["of what", "with", "found", "after cases", "after seconds", "cases/s", "edges"], rows)


def death(arguments):
    def once(seed, folder):
        journal = folder / "journal"
        server = build(folder, False)
        steps = '{ send = "ECHO x" }, { expect = "ok" }, { send = "DIF" }, { expect = "what" }'
        words = folder / "words"
        words.write_text('"DIE"\n')
        scenario = written(folder, SCENARIO.format(program=server, more=f', "{journal}"', steps=steps))
        options = ["--keep-going", "--shrink-budget", "1s", "--dictionary", words]
        fuzz(scenario, folder / "out", *options, seed=seed, seconds=arguments.seconds)
        lines = [line.split() for line in journal.read_text().splitlines()]
        pairs = zip(lines, lines[1:])
        # While a finding is looked into it dies as well, and comes back for what is played next.
        return [(int(b[1]) - int(a[1])) / 1e6 for a, b in pairs if (a[0], b[0]) == ("dies", "hears")]

    results = [times for times in rounds(arguments, once) if times]
    if not results:
        raise Failed("it never died")
    slow = lambda times: sorted(times)[int(len(times) * 0.95)]
    rows = [[
        median([len(times) for times in results]),
        median([statistics.median(times) for times in results], 1),
        median([slow(times) for times in results], 1),
        "yes" if statistics.median(statistics.median(times) for times in results) < 50 else "no",
    ]]
    table(["deaths", "to the next case, ms", "95th percentile, ms", "below 50 ms"], rows)


def reduction(arguments):
    program("cargo")
    # Every count is the same each time: one round is enough, on whatever machine.
    command = ["cargo", "test", "--quiet", "--package", "benches", "--bench", "reduction"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    print("\n".join(line for line in done.stdout.splitlines() if line.startswith("|")), flush=True)
    if done.returncode != 0:
        raise Failed(done.stderr[-2000:])
