#!/usr/bin/env python3
"""Counts the instructions of what is pure, and holds them against benches/instructions.toml.

Usage: instructions.py [--print | --update]. `--print` only tells the counts, `--update` writes them down. A count more than 5 % above
what is written down fails, and so does one more than 10 % below it, so that what was won is written down too. Another compiler
makes other instructions: with another one than the file names the counts are told and nothing is judged.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE = ROOT / "benches/instructions.toml"
ABOVE, BELOW = 1.05, 0.90


def program():
    """What is counted, built as the program is; only that its symbols stay, for callgrind to know what to count."""
    words = ["cargo", "rustc", "--quiet", "--release", "-p", "instructions", "--message-format=json", "--", "-C", "strip=debuginfo"]
    lines = subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    built = [json.loads(line) for line in lines if line.startswith("{")]
    return next(one["executable"] for one in built if one.get("target", {}).get("name") == "instructions" and one.get("executable"))


def count(executable, name, folder):
    # The same addresses each time, and no environment: both move what is copied, and so how.
    words = ["setarch", "-R", "valgrind", "--tool=callgrind", "--toggle-collect=*counted*", f"--callgrind-out-file={folder}/out",
             executable, name]
    ran = subprocess.run(words, env={"PATH": "/usr/bin:/bin"}, stderr=subprocess.PIPE, text=True)
    found = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode or not found or found[1] == "0":
        sys.exit(f"{name}: nothing was counted: {ran.stderr[-400:]}")
    return int(found[1])


def main():
    rustc = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[1]
    known = tomllib.loads(FILE.read_text()) if FILE.exists() else {"rustc": rustc, "instructions": {}}
    source = (ROOT / "benches/instructions/main.rs").read_text()
    names = re.findall(r'^    \("([a-z0-9-]+)", ', source, re.M)
    executable = program()
    with tempfile.TemporaryDirectory() as folder:
        counts = {name: count(executable, name, folder) for name in names}
    if "--update" in sys.argv:
        lines = ["# Instructions of a thousand of each. Written by `.ci/instructions.py --update`.", f'rustc = "{rustc}"', "",
                 "[instructions]"]
        FILE.write_text("\n".join(lines + [f"{name} = {number}" for name, number in counts.items()]) + "\n")
    failed = False
    for name, number in counts.items():
        before = known["instructions"].get(name)
        if "--print" in sys.argv or "--update" in sys.argv:
            print(f"{name:<20}{number:>14,}")
            continue
        if before is None:
            print(f"{name:<20}{number:>14,}  is not written down: `.ci/instructions.py --update`")
            failed = True
            continue
        ratio = number / before
        wrong = "too many" if ratio > ABOVE else "fewer: `.ci/instructions.py --update` writes it down" if ratio < BELOW else ""
        print(f"{name:<20}{number:>14,}  {ratio:.4f} of {before:,}  {wrong}")
        failed = failed or bool(wrong)
    if not {"--print", "--update"} & set(sys.argv) and rustc != known["rustc"]:
        print(f"not judged: the counts written down are of rustc {known['rustc']}, this is {rustc}")
        failed = False
    sys.exit(failed)


if __name__ == "__main__":
    main()
