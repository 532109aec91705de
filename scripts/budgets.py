#!/usr/bin/env python3
"""Size budgets: files, functions, parameters. Prints where we stand; fails on anything above a hard limit.

Counted is non-test Rust as rustfmt lays it out: code lines (neither blank nor comment) before the inline test module;
a function runs from its `fn` to the closing brace in the same column.
"""

import re
import subprocess
import sys
from pathlib import Path

FILE_LINES = 600
FUNCTION_LINES = 80
PARAMETERS = 5
# Where we want to be; printed, not enforced.
AIMS = {"file median": 160, "file p90": 400, "function p99": 50}

FN = re.compile(r"^(\s*)(?:pub(?:\([a-z: ]+\))? )?(?:default )?(?:const )?(?:async )?(?:unsafe )?(?:extern \"C\" )?fn (\w+)")


def sources():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.rs"], check=True, capture_output=True, text=True
    )
    for name in listed.stdout.split():
        path = Path(name)
        is_test = path.name == "tests.rs" or {"tests", "benches", "fuzz"} & set(path.parts[:-1])
        if path.exists() and not is_test:
            yield path


def production_lines(path):
    lines = []
    for line in path.read_text().splitlines():
        if line == "#[cfg(test)]":
            break
        lines.append(line)
    return lines


def is_code(line):
    stripped = line.strip()
    return bool(stripped) and not stripped.startswith("//")


def functions(lines):
    """(name, code lines, parameter count) of each function."""
    for start, line in enumerate(lines):
        match = FN.match(line)
        if not match:
            continue
        indent, name = match.groups()
        length = 0
        signature = []
        for body in lines[start:]:
            if is_code(body):
                length += 1
            if "{" not in "".join(signature):
                signature.append(body)
            ended = body == indent + "}" or (body.startswith(indent) and body is line and body.endswith(("}", ";")))
            if ended or body == indent + ");" or body.startswith(indent + ") -> ") and body.endswith(";"):
                break
        yield name, length, parameters(" ".join(signature))


def parameters(signature):
    """Counts the top-level commas between a function's parentheses; `self` is not counted."""
    opened = signature.find("(", signature.find("fn "))
    depth = angle = 0
    items, item = [], ""
    for index in range(opened, len(signature)):
        char = signature[index]
        if char in "([{":
            depth += 1
            if depth == 1:
                continue
        if char in ")]}":
            depth -= 1
            if depth == 0:
                break
        angle += (char == "<") - (char == ">" and signature[index - 1] not in "-=")
        if char == "," and depth == 1 and angle == 0:
            items.append(item)
            item = ""
        else:
            item += char
    items.append(item)
    named = [item.strip() for item in items if item.strip()]
    return sum(not re.fullmatch(r"(&('\w+ )?)?(mut )?self(: .*)?", item) for item in named)


def quantile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0


def main():
    offenders, file_lengths, function_lengths = [], [], []
    for path in sources():
        lines = production_lines(path)
        count = sum(map(is_code, lines))
        file_lengths.append(count)
        if count > FILE_LINES:
            offenders.append(f"{path}: {count} code lines, the limit is {FILE_LINES}")
        for name, length, arity in functions(lines):
            function_lengths.append(length)
            if length > FUNCTION_LINES:
                offenders.append(f"{path}: fn {name} has {length} lines, the limit is {FUNCTION_LINES}")
            if arity > PARAMETERS:
                offenders.append(f"{path}: fn {name} has {arity} parameters, the limit is {PARAMETERS}")
    measured = {
        "file median": quantile(file_lengths, 0.5),
        "file p90": quantile(file_lengths, 0.9),
        "function p99": quantile(function_lengths, 0.99),
    }
    for name, value in measured.items():
        aim = AIMS[name]
        print(f"  {name:13} {value:4} lines (aim {aim}{'' if value <= aim else ', above it'})")
    print(f"  {len(file_lengths)} files, longest {max(file_lengths, default=0)}; "
          f"{len(function_lengths)} functions, longest {max(function_lengths, default=0)}")
    for offender in offenders:
        print(f"over budget: {offender}", file=sys.stderr)
    return 1 if offenders else 0


if __name__ == "__main__":
    sys.exit(main())
