#!/usr/bin/env python3
"""Runs the hvac project's own integration tests, unmodified, against our binary under the name `vault`.

usage: hvac.py CHANCERY HVAC-SDIST.tar.gz [--check] [--jobs N] [TEST-FILE...]

Prints a pass table and writes docs/interop.md (not with --check). Every failure needs a reason in hvac_reasons.json; one
without a reason, or a reason for a test that passes, makes the exit code 1.
"""

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent.parent / "docs" / "interop.md"
API = "tests/integration_tests/api"
AREAS = {
    "system backend": [
        f"{API}/system_backend/test_{name}.py"
        for name in ("init", "seal", "key", "health", "leader", "mount", "auth", "policy", "policies", "wrapping", "lease", "audit")
    ] + ["tests/integration_tests/v1/test_system_backend.py"],
    "token": [f"{API}/auth_methods/test_token.py"],
    "approle": [f"{API}/auth_methods/test_approle.py", "tests/integration_tests/v1/test_approle.py"],
    "userpass, policies, wrapping (v1 suite)": ["tests/integration_tests/v1/test_integration.py"],
    "kv": [f"{API}/secrets_engines/test_kv_v1.py", f"{API}/secrets_engines/test_kv_v2.py"],
    "transit": [f"{API}/secrets_engines/test_transit.py"],
    "pki": [f"{API}/secrets_engines/test_pki.py"],
    "ssh": [f"{API}/secrets_engines/test_ssh.py"],
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chancery", type=Path)
    parser.add_argument("sdist", type=Path)
    parser.add_argument("--check", action="store_true", help="compare with the reasons, leave docs/interop.md alone")
    parser.add_argument("--jobs", default=str(min(4, os.cpu_count() or 1)))
    parser.add_argument("--output", action="store_true", help="show pytest's own output")
    parser.add_argument("tests", nargs="*")
    return parser.parse_intermixed_args()


def run(chancery, suite, tests, jobs, output):
    """pytest over `tests`; gives {test id: (outcome, first line of the message)}."""
    binaries = suite.parent / "bin"
    binaries.mkdir()
    (binaries / "vault").symlink_to(chancery.resolve())
    home = suite.parent / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("VAULT_", "BAO_", "CHANCERY_"))}
    environment.update(PATH=f"{binaries}:{environment['PATH']}", HOME=str(home), PYTHONPATH=str(suite))
    results = suite.parent / "results.xml"
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", "-q", "--tb=short",
               f"--junit-xml={results}", "-n", jobs, "--dist", "loadfile", *tests]
    done = subprocess.run(command, cwd=suite, env=environment, capture_output=not output, text=True, timeout=3000)
    if not results.exists():
        sys.exit(f"pytest did not run:\n{done.stdout}\n{done.stderr}")
    return dict(outcomes(results))


def outcomes(results):
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        module = case.get("classname").rsplit(".", 1)[0].replace(".", "/") + ".py"
        name = f"{module}::{case.get('classname').rsplit('.', 1)[1]}::{case.get('name')}"
        for outcome, tag in (("failed", "failure"), ("failed", "error"), ("skipped", "skipped")):
            found = case.find(tag)
            if found is not None:
                yield name, (outcome, (found.get("message") or "").strip().split("\n")[0])
                break
        else:
            yield name, ("passed", "")


def area_of(name):
    return next(area for area, files in AREAS.items() if name.split("::")[0] in files)


def table(found):
    counts = defaultdict(lambda: defaultdict(int))
    for name, (outcome, _) in found.items():
        counts[area_of(name)][outcome] += 1
    lines = ["| area | passed | failed | skipped by hvac |", "|---|---:|---:|---:|"]
    for area in AREAS:
        if area in counts:
            row = counts[area]
            lines.append(f"| {area} | {row['passed']} | {row['failed']} | {row['skipped']} |")
    total = defaultdict(int)
    for row in counts.values():
        for outcome, count in row.items():
            total[outcome] += count
    lines.append(f"| **all** | {total['passed']} | {total['failed']} | {total['skipped']} |")
    return "\n".join(lines)


def reason_for(name, reasons):
    return next((reasons[pattern] for pattern in reasons if fnmatch.fnmatchcase(name, glob(pattern))), None)


def glob(pattern):
    """Brackets of parameterised test names are meant literally."""
    return pattern.replace("[", "[[]")


def report(found, reasons, version):
    failures = sorted(name for name, (outcome, _) in found.items() if outcome == "failed")
    skipped = sorted((name, why) for name, (outcome, why) in found.items() if outcome == "skipped")
    lines = [
        "## hvac", "",
        f"Written by `./x interop hvac`: the integration tests that ship in hvac {version}'s source distribution, unmodified,",
        "with our binary on the path under the name `vault`. `./x test` fails when a test fails that has no reason here.", "",
        table(found), "",
    ]
    if failures:
        lines += ["### What fails, and why", "", "| test | reason |", "|---|---|"]
        for name in failures:
            lines.append(f"| `{short(name)}` | {reason_for(name, reasons) or '**no reason yet:** ' + found[name][1].replace('|', '/')} |")
        lines.append("")
    if skipped:
        lines += ["### What hvac skips by itself", ""]
        by_reason = defaultdict(list)
        for name, why in skipped:
            by_reason[why].append(short(name))
        for why, names in sorted(by_reason.items()):
            lines.append(f"- {why}: {len(names)} ({', '.join(f'`{name}`' for name in names[:4])}{' …' if len(names) > 4 else ''})")
        lines.append("")
    return "\n".join(lines)


def short(name):
    file, _, test = name.split("::")
    return f"{Path(file).stem}::{test}"


def main():
    options = arguments()
    reasons = json.loads((HERE / "hvac_reasons.json").read_text())
    tests = options.tests or [file for files in AREAS.values() for file in files]
    with tempfile.TemporaryDirectory(prefix="chancery-hvac-") as directory:
        with tarfile.open(options.sdist) as archive:
            archive.extractall(directory, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(directory)
        suite = next(Path(directory).glob("hvac-*"))
        version = suite.name.removeprefix("hvac-")
        (suite / "tests/config_files/generated").mkdir(exist_ok=True)
        found = run(options.chancery, suite, tests, options.jobs, options.output)
    print(table(found))
    failures = [name for name, (outcome, _) in found.items() if outcome == "failed"]
    unexplained = [name for name in failures if reason_for(name, reasons) is None]
    for name in sorted(unexplained):
        print(f"no reason for: {name}\n    {found[name][1]}", file=sys.stderr)
    # Only a whole run can tell that a reason has become idle.
    idle = [] if options.tests else [
        pattern for pattern in reasons if not any(fnmatch.fnmatchcase(name, glob(pattern)) for name in failures)
    ]
    for pattern in idle:
        print(f"this reason explains nothing any more: {pattern}", file=sys.stderr)
    if not options.check and not options.tests:
        # The pages before this section are written by hand.
        by_hand = REPORT.read_text().split("## hvac\n")[0]
        REPORT.write_text(by_hand + report(found, reasons, version))
        print(f"written: {REPORT.relative_to(Path.cwd()) if REPORT.is_relative_to(Path.cwd()) else REPORT}")
    return 1 if unexplained or idle else 0


if __name__ == "__main__":
    sys.exit(main())
