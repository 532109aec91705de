#!/usr/bin/env python3
"""Runs the commands that the documentation shows, so that it cannot rot.

usage: documented_commands.py CHANCERY FILE.md...

A fenced block that opens with ```console run is executed: lines that begin with "$ " are commands, a line ending in a
backslash goes on, every other line is expected output, where "…" stands for any text. All blocks of one file share a shell
in an empty directory inside `chancery dev -- `, so VAULT_ADDR, VAULT_TOKEN and their twins are set as a reader would have them.
A block that opens with ```LANGUAGE file NAME is written into that directory beforehand.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"^```console run\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"^```\w+ file (\S+)\n(.*?)^```$", re.M | re.S)
MARK = "@@chancery-documented-command@@"


def commands(text):
    """[(command, [expected line])] of every marked block."""
    found = []
    for block in BLOCK.findall(text):
        continued = False
        for line in block.splitlines():
            if continued:
                found[-1][0] += "\n" + line
            elif line.startswith("$ "):
                found.append([line[2:], []])
            elif found and line.strip():
                found[-1][1].append(line)
                continue
            continued = line.endswith("\\")
    return found


def pattern(line):
    return re.compile(".*".join(re.escape(part) for part in line.rstrip().split("…")) + r"\s*")


def run(chancery, steps, files):
    script = "set -euo pipefail\n" + "".join(f"echo '{MARK}'\n{command}\n" for command, _ in steps)
    environment = dict(os.environ, PATH=f"{chancery.parent}:{os.environ['PATH']}")
    with tempfile.TemporaryDirectory(prefix="chancery-docs-") as directory:
        environment["HOME"] = directory
        for name, content in files:
            Path(directory, name).write_text(content)
        Path(directory, "script.sh").write_text(script)
        return subprocess.run(
            [chancery, "dev", "--port", "0", "--", "bash", "script.sh"],
            cwd=directory, env=environment, capture_output=True, text=True, timeout=300,
        )


def check(chancery, path):
    text = Path(path).read_text()
    steps = commands(text)
    if not steps:
        return True
    done = run(chancery, steps, FILE.findall(text))
    outputs = [part.strip("\n").splitlines() for part in done.stdout.split(MARK + "\n")[1:]]
    good = True
    for (command, expected), output in zip(steps, outputs):
        for line in expected:
            if not any(pattern(line).fullmatch(actual) for actual in output):
                print(f"{path}: after\n    $ {command}\nthe documentation shows\n    {line}\nbut the output was\n    "
                      + "\n    ".join(output), file=sys.stderr)
                good = False
    if done.returncode != 0:
        failed = steps[len(outputs) - 1][0] if outputs else "chancery dev"
        print(f"{path}: this command failed with {done.returncode}:\n    $ {failed}\n{done.stderr}", file=sys.stderr)
        good = False
    print(f"  {path}: {len(outputs)} of {len(steps)} commands ran{'' if good else ', NOT as documented'}")
    return good


def main():
    chancery = Path(sys.argv[1]).resolve()
    results = [check(chancery, path) for path in sys.argv[2:]]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
