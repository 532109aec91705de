#!/usr/bin/env python3
"""Differential harness: one stream of requests, two servers, every answer compared.

A reference OpenBao and Chancery get the same requests, valid and wrong, in the same order. Status and normalised JSON
are compared: key sets, types, and every scalar that is not bound to differ (ids, tokens, times). A difference that
`openbao-deviations.json` does not explain fails the run.

    openbao.py --reference PATH-TO-BAO --candidate PATH-TO-CHANCERY      starts both on free ports of the loopback
    openbao.py --reference-url URL --candidate-url URL                    both run already, neither is initialised
    openbao.py --reference PATH-TO-BAO --record FILE                      writes the reference's transcript, compares nothing

The requests stand in `openbao_stream.py`, `transit_*.py` and `pki_*.py`; Python's `cryptography` makes the keys that are imported.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from openbao_step import OPAQUE_KEYS  # noqa: E402
from openbao_stream import steps  # noqa: E402
from pki_step import described  # noqa: E402

REFERENCE_CONFIG = """
storage "inmem" {{}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_disable = true
  disable_unauthed_rekey_endpoints = false
  disable_unauthed_generate_root_endpoints = false
}}
api_addr = "http://127.0.0.1:{port}"
unsafe_allow_api_audit_creation = true
"""

CANDIDATE_CONFIG = """
storage "inmem" {{}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_disable = true
}}
api_addr = "http://127.0.0.1:{port}"
default_lease_ttl = "768h"
max_lease_ttl = "768h"
"""

# Scalars that name a moment, a random value or a build: only their type is compared.
OPAQUE_TEXT = [
    re.compile(pattern)
    for pattern in (
        r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$",
        r"^(hvs|hvb|hvr|s|b|r)\.[A-Za-z0-9_-]{20,}$",
        r"^[0-9a-f]{32,}$",
        r"^hmac-sha256:[0-9a-f]{64}$",
    )
]
# Ids quoted inside of texts.
QUOTED_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Ciphertexts, HMACs and signatures: the version and the length are compared.
ENVELOPE = re.compile(r"(vault:v[^:]*:)[A-Za-z0-9+/=_-]+$")
ACCESSOR = re.compile(r"^[a-z-]+_[0-9a-f]{8}$")
HEADERS_COMPARED = ("content-type", "cache-control", "allow")


class Server:
    """One server under the stream, with the variables captured from its own answers."""

    def __init__(self, name, address):
        self.name = name
        self.host, self.port = address
        self.variables = {}
        self.process = None
        self.home = None

    def start(self, binary, config):
        self.home = tempfile.mkdtemp(prefix=f"interop-{self.name}-")
        path = os.path.join(self.home, "server.hcl")
        with open(path, "w", encoding="utf-8") as file:
            file.write(config.format(port=self.port))
        log = open(os.path.join(self.home, "server.log"), "wb")  # noqa: SIM115 - lives as long as the process
        environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        environment["HOME"] = self.home
        self.process = subprocess.Popen(
            [binary, "server", f"--config={path}"], stdout=log, stderr=log, cwd=self.home, env=environment
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection((self.host, self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        with open(os.path.join(self.home, "server.log"), encoding="utf-8", errors="replace") as file:
            sys.stderr.write(file.read())
        raise SystemExit(f"{self.name} did not open port {self.port} within 30 s")

    def stop(self, keep):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.home and not keep:
            shutil.rmtree(self.home, ignore_errors=True)

    def fill(self, value):
        """Puts captured variables in the place of `<<name>>`."""
        if isinstance(value, str):
            return re.sub(r"<<(\w+)>>", lambda match: str(self.variables.get(match.group(1), "unset")), value)
        if isinstance(value, dict):
            return {self.fill(key): self.fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return value

    def send(self, step):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        headers = {"X-Vault-Request": "true", **self.fill(step.headers)}
        if step.token:
            headers["X-Vault-Token"] = self.fill(f"<<{step.token}>>")
        body = step.raw.encode() if step.raw is not None else None
        if step.body is not None:
            body = json.dumps(self.fill(step.body)).encode()
        path = urllib.parse.quote("/v1/" + self.fill(step.path), safe="/?&=%:.+*~-_,")
        try:
            connection.request(step.method, path, body=body, headers=headers)
            answer = connection.getresponse()
            payload = answer.read()
        except http.client.RemoteDisconnected:
            # A server that drops the connection has answered too: with status 0.
            return Answer(0, {}, b"")
        finally:
            connection.close()
        return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, payload)

    def run(self, step):
        if step.wait:
            time.sleep(step.wait)
        answer = self.send(step)
        for name, places in step.save.items():
            for place in (places,) if isinstance(places, str) else places:
                value = answer.at(place)
                if value is not None:
                    self.variables[name] = value
        for name, make in step.derive.items():
            self.variables[name] = make(self.variables)
        return answer


class Answer:
    """Status, headers and JSON of one answer."""

    def __init__(self, status, headers, payload):
        self.status = status
        self.headers = headers
        self.payload = payload
        self.json = None
        if payload:
            try:
                self.json = json.loads(payload)
            except ValueError:
                self.json = {"<text>": payload.decode("utf-8", "replace")}

    def at(self, place):
        value = self.json
        for part in place.split("."):
            if isinstance(value, list):
                value = value[int(part)] if int(part) < len(value) else None
            elif isinstance(value, dict):
                value = value.get(part)
            else:
                return None
        return value


def normalised(value, step, key=""):
    """What of `value` must be the same on both servers."""
    if isinstance(value, dict):
        items = {name: normalised(item, step, name) for name, item in value.items() if name not in step.skip}
        # Members named by ids of the server's choosing are compared without them.
        if items and all(QUOTED_ID.fullmatch(name) for name in items):
            return sorted(items.values(), key=lambda item: json.dumps(item, sort_keys=True))
        return items
    if key == "warnings" and step.without and isinstance(value, list):
        value = [text for text in value if not step.without.search(text)] or None
    if isinstance(value, list):
        items = [normalised(item, step, key) for item in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True)) if key in step.unordered else items
    if key in step.exact:
        return value
    if key in step.described and isinstance(value, str):
        return described(value)
    if key in OPAQUE_KEYS or key in step.opaque:
        return f"<{type(value).__name__}>"
    if isinstance(value, str):
        envelope = ENVELOPE.match(value)
        if envelope or key in step.sized:
            prefix = envelope.group(1) if envelope else ""
            return f"{prefix}<{len(value) - len(prefix)} characters>"
        if any(pattern.match(value) for pattern in OPAQUE_TEXT):
            return "<opaque>"
        if ACCESSOR.match(value):
            return value.rsplit("_", 1)[0] + "_<accessor>"
        return QUOTED_ID.sub("<id>", value)
    return value


def differences(left, right, place=""):
    """Each place at which two normalised values differ, with what stands there."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            below = f"{place}.{key}" if place else key
            if key not in right:
                yield below, left[key], "(missing)"
            elif key not in left:
                yield below, "(missing)", right[key]
            else:
                yield from differences(left[key], right[key], below)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right)):
            yield from differences(one, other, f"{place}[{index}]")
    elif left != right or type(left) is not type(right):
        yield place or "(body)", left, right


def compare(step, left, right):
    found = []
    if left.status != right.status:
        found.append(("status", left.status, right.status))
    for header in HEADERS_COMPARED:
        if left.headers.get(header) != right.headers.get(header):
            found.append((f"header {header}", left.headers.get(header), right.headers.get(header)))
    if step.body_compared and step.method != "HEAD":
        one, other = normalised(left.json, step), normalised(right.json, step)
        if (left.status < 400) == (right.status < 400):
            found.extend(differences(one, other))
        else:
            # One refused, the other did not: what they say has no common shape.
            found.append(("outcome", said(one), said(other)))
    return found


def said(body):
    """What an answer is about: its errors, or else its data."""
    return (body.get("errors") or body.get("data") or body) if isinstance(body, dict) else body


# How OpenBao frames the text of an error that it gives status 500 or 404.
FRAME = re.compile(r"^1 error occurred:\n\t\* (.*)\n\n$", re.DOTALL)


def text_of(value):
    return value if isinstance(value, str) else json.dumps(value)


def unframed(value):
    framed = FRAME.match(value) if isinstance(value, str) else None
    return framed.group(1) if framed else value


class AllowList:
    """Intended differences; each entry needs a reason and must be used.

    An entry matches by `step` and `place` (patterns), `reference` and `candidate` (values), `reference_like` and
    `candidate_like` (patterns); with `same_text` both must say the same but for OpenBao's frame around it.
    """

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.entries = json.load(file)["deviations"]
        for entry in self.entries:
            if not entry.get("reason"):
                raise SystemExit(f"{path}: entry without a reason: {entry}")
            entry["used"] = 0
            entry["step_pattern"] = re.compile(entry.get("step", ".*"))
            entry["place_pattern"] = re.compile(entry.get("place", ".*"))

    def reason(self, step, difference):
        place, left, right = difference
        for entry in self.entries:
            if not entry["step_pattern"].fullmatch(step.name) or not entry["place_pattern"].fullmatch(place):
                continue
            if "reference" in entry and entry["reference"] != left:
                continue
            if "candidate" in entry and entry["candidate"] != right:
                continue
            if not all(re.fullmatch(entry[name], text_of(value), re.DOTALL) for name, value in
                       (("reference_like", left), ("candidate_like", right)) if name in entry):  # fmt: skip
                continue
            if entry.get("same_text") and unframed(left) != unframed(right):
                continue
            entry["used"] += 1
            return entry["reason"]
        return None

    def unused(self):
        return [entry for entry in self.entries if not entry["used"]]


def free_port():
    """A free port whose successor is free too: the reference's cluster listener takes it."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def address_of(url):
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port or 8200


def short(value, width=110):
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= width else text[: width - 1] + "…"


def record(server, path, part):
    with open(path, "w", encoding="utf-8") as file:
        for step in steps(part):
            answer = server.run(step)
            request = server.fill(step.body) if step.raw is None else step.raw
            file.write(f"### {step.name}: {step.method} {server.fill(step.path)} [{step.token}] {step.headers or ''}\n")
            if request is not None:
                file.write(f"> {json.dumps(request)}\n")
            headers = {key: answer.headers[key] for key in HEADERS_COMPARED if key in answer.headers}
            file.write(f"< {answer.status} {json.dumps(headers)}\n")
            if answer.payload:
                file.write(f"{answer.payload.decode('utf-8', 'replace').rstrip()}\n")
            file.write("\n")


def run(reference, candidate, allowed, part, only):
    rows, unexplained = [], 0
    for step in steps(part):
        left, right = reference.run(step), candidate.run(step)
        if only and not re.search(only, step.name):
            continue
        found = compare(step, left, right)
        explained = [(difference, allowed.reason(step, difference)) for difference in found]
        open_ones = [difference for difference, reason in explained if reason is None]
        unexplained += len(open_ones)
        verdict = "DIFFERS" if open_ones else ("allowed" if found else "same")
        rows.append((verdict, step, left.status, right.status, explained))
    return rows, unexplained


def show(rows, unexplained, allowed, verbose, partial):
    for verdict, step, left, right, explained in rows:
        if verdict == "same" and not verbose:
            continue
        print(f"{verdict:8} {step.name:44} {left:>4} {right:>4}  {step.method} {step.path}")
        for (place, one, other), reason in explained:
            if reason is None:
                print(f"           {place}: reference {short(one)} | candidate {short(other)}")
            elif verbose:
                print(f"           {place}: allowed: {reason}")
    for entry in [] if partial else allowed.unused():
        print(f"unused    deviation never met: step {entry.get('step', '.*')!r} place {entry.get('place', '.*')!r}")
    counts = {verdict: sum(1 for row in rows if row[0] == verdict) for verdict in ("same", "allowed", "DIFFERS")}
    families = {}
    for verdict, step, *_ in rows:
        families.setdefault(step.name.split("/")[0], {"same": 0, "allowed": 0, "DIFFERS": 0})[verdict] += 1
    print(f"\n{'family':20} {'same':>6} {'allowed':>8} {'differs':>8}")
    for family, tally in families.items():
        print(f"{family:20} {tally['same']:6} {tally['allowed']:8} {tally['DIFFERS']:8}")
    print(
        f"\n{len(rows)} requests: {counts['same']} the same, {counts['allowed']} with intended differences, "
        f"{counts['DIFFERS']} with {unexplained} unexplained differences"
    )


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", help="OpenBao binary")
    parser.add_argument("--candidate", help="Chancery binary")
    parser.add_argument("--reference-url", help="address of a fresh, uninitialised OpenBao")
    parser.add_argument("--candidate-url", help="address of a fresh, uninitialised Chancery")
    parser.add_argument("--deviations", default=os.path.join(HERE, "openbao-deviations.json"))
    parser.add_argument("--record", help="write the reference's transcript here and stop")
    parser.add_argument("--only", help="compare only steps whose name matches this pattern (all are still sent)")
    parser.add_argument("--part", choices=("system", "transit", "ssh", "pki"), help="send only this part of the stream")
    parser.add_argument("--keep", action="store_true", help="keep the servers' directories")
    parser.add_argument("-v", "--verbose", action="store_true", help="show equal answers and allowed differences too")
    return parser.parse_args()


def launched(name, binary, url, config):
    server = Server(name, address_of(url) if url else ("127.0.0.1", free_port()))
    if not url:
        if not binary:
            raise SystemExit(f"give --{name} or --{name}-url")
        server.start(binary, config)
    return server


def main():
    arguments = parsed_arguments()
    allowed = AllowList(arguments.deviations) if not arguments.record else None
    servers = []
    try:
        reference = launched("reference", arguments.reference, arguments.reference_url, REFERENCE_CONFIG)
        servers.append(reference)
        if arguments.record:
            record(reference, arguments.record, arguments.part)
            return 0
        candidate = launched("candidate", arguments.candidate, arguments.candidate_url, CANDIDATE_CONFIG)
        servers.append(candidate)
        rows, unexplained = run(reference, candidate, allowed, arguments.part, arguments.only)
        show(rows, unexplained, allowed, arguments.verbose, bool(arguments.only or arguments.part))
        return 1 if unexplained else 0
    finally:
        for server in servers:
            server.stop(arguments.keep)


if __name__ == "__main__":
    sys.exit(main())
