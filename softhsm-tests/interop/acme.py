#!/usr/bin/env python3
"""Real ACME clients against a development server: each issues over every challenge it can answer, for a wildcard and an address
where it can, with an external account key, renews and revokes; a fifth of the good nonces is refused.

usage: acme.py CHANCERY [--check] [--only CLIENT] [--nonce-reject PERCENT]

Certificates are judged by openssl; a revocation must be in the CRL. Writes the table of docs/interop.md unless --check is given.
Needs what `./x interop acme` installs; ACME_NODE (a folder with acme-client) and ACME_INSTANT (the built client).
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "acme")]
from clients import ADDRESS, CLIENTS, DNS, IMPATIENT, Failed, Place, version  # noqa: E402
from peers import Api, free_port  # noqa: E402
from stub import Zone, serve_dns, serve_orders  # noqa: E402

REPORT = HERE.parent.parent / "docs/interop.md"
HEAD = "## ACME clients\n"
NAMES = ("http", "tls", "dns", "orders")


def openssl(*command):
    done = subprocess.run(["openssl", *map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"openssl {command[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def judge(place, names, authority):
    """openssl: the chain leads to the root, the names are those asked for."""
    verified = openssl("verify", "-CAfile", authority, "-untrusted", place.certificate, place.certificate)
    text = openssl("x509", "-in", place.certificate, "-noout", "-ext", "subjectAltName", "-serial")
    found = {part.strip().split(":", 1)[1] for part in text.split("\n")[1].split(",")}
    if ": OK" not in verified or found != set(names):
        raise Failed(f"openssl sees {sorted(found)}, asked were {names}: {verified}")
    return text.rsplit("serial=", 1)[1].strip().lower()


def is_revoked(api, serial):
    parted = ":".join(serial[at : at + 2] for at in range(0, len(serial), 2))
    return api.call("GET", f"pki/cert/{parted}")["data"].get("revocation_time", 0) > 0


def cases(client):
    """(column, challenge, names, with an external account key)"""
    _, _, _, challenges, address, abilities = client
    for challenge in challenges:
        yield challenge, challenge, ["a.test", "b.a.test"] if client[0] != "Caddy" else ["a.test"], False
    if DNS in challenges:
        yield "wildcard", DNS, ["*.w.test"], False
    if address:
        yield "IP", address, [ADDRESS], False
    if "EAB" in abilities:
        yield "EAB", challenges[0], ["e.test"], True


class Run:
    def __init__(self, options, ports):
        self.options, self.ports = options, ports
        self.api = Api("Chancery", os.environ["VAULT_ADDR"], os.environ["VAULT_TOKEN"])
        self.authority = os.environ["VAULT_CACERT"]
        self.directory = os.environ["CHANCERY_ACME_DIRECTORY"]
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="chancery-acme-"))
        self.results = {}

    def prepare(self):
        chain = self.api.call("GET", "pki/cert/ca_chain")["data"]
        (self.root / "roots.pem").write_text(chain.get("ca_chain") or chain["certificate"])
        # A certificate of a minute, so that Caddy renews while we look.
        role = {"allow_any_name": True, "key_type": "any", "allow_ip_sans": True, "enforce_hostnames": True, "ttl": "60s", "max_ttl": "60s",
                "no_store": False, "require_cn": False, "not_before_duration": "10s"}  # fmt: skip
        self.api.call("POST", "pki/roles/minute", role)

    def case(self, client, column, challenge, names, bound):
        name, function, _, _, _, abilities = client
        self.api.call("POST", "pki/config/acme", {"eab_policy": "always-required" if bound else "not-required"})
        prefix = self.directory.removesuffix("acme/directory")
        directory = f"{prefix}roles/minute/acme/directory" if name == "Caddy" else self.directory
        path = directory.split("/v1/", 1)[1].removesuffix("directory") + "new-eab"
        binding = self.api.call("POST", path, {})["data"] if bound else None
        folder = self.root / f"{name.split()[0]}-{column}"
        place = Place(directory, self.authority, self.ports, folder, binding)
        began = time.monotonic()
        function(place, challenge, names)
        serial = judge(place, names, self.root / "roots.pem")
        if "revoke" in abilities and not is_revoked(self.api, serial):
            raise Failed(f"{serial} is not revoked")
        print(f"  ok      {name:18} {column:12} {time.monotonic() - began:6.1f} s  {', '.join(names)}", flush=True)

    def everything(self):
        self.prepare()
        for client in CLIENTS:
            impatient = self.options.nonce_reject == 0
            if (client[0] in IMPATIENT) != impatient or (self.options.only and self.options.only not in client[0]):
                continue
            row = self.results.setdefault(client[0], {})
            for column, challenge, names, bound in cases(client):
                try:
                    self.case(client, column, challenge, names, bound)
                    row[column] = True
                except (Failed, OSError, StopIteration, subprocess.TimeoutExpired) as error:
                    row[column] = False
                    print(f"  FAILED  {client[0]:18} {column:12} {error or traceback.format_exc()}", flush=True)
        shutil.rmtree(self.root, ignore_errors=True)
        return self.results


def own_version(name):
    return {"acme-client (npm)": os.environ.get("ACME_NODE_VERSION", ""), "instant-acme": os.environ.get("ACME_INSTANT_VERSION", "")}[name]


def table(results):
    columns = ["http-01", "dns-01", "tls-alpn-01", "wildcard", "IP", "EAB"]
    lines = [f"| client | version | {' | '.join(columns)} | renewed | revoked |", "|---|---|" + "---|" * 8]
    for name, _, package, _, _, abilities in CLIENTS:
        row = results.get(name, {})
        all_passed = row and all(row.values())
        cells = [{True: "yes", False: "**no**", None: "–"}[row.get(column)] for column in columns]
        cells += [("yes" if all_passed else "**no**") if ability in abilities else "–" for ability in ("renew", "revoke")]
        lines.append(f"| {name} | {version(package) if package else own_version(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def report(options, results):
    return f"""{HEAD}
Written by `./x interop acme`: each client as its package has it, against a development server that refuses {options.nonce_reject} % of good
nonces. Every certificate is verified by openssl, every revocation is looked up. A dash: the client cannot do it. Caddy's
renewal is its own, of certificates that live a minute; acme-tiny's is a second run.
{", ".join(sorted(IMPATIENT))} runs without refusals, as it does not try again after `badNonce`, and without an external account key, as it
pads those of Vault's length with blanks.

{table(results)}
"""


def run_inside(options, reject, folder):
    """One server, and this program once more with the server in its environment."""
    ports = {name: free_port() for name in NAMES}
    found = pathlib.Path(folder) / f"results-{reject}.json"
    again = [sys.executable, __file__, options.chancery, "--inside", ",".join(str(ports[name]) for name in NAMES),
             "--nonce-reject", str(reject), "--results", str(found)]  # fmt: skip
    again += ["--only", options.only] if options.only else []
    command = [options.chancery, "dev", "--port", "0", "--acme-http-port", str(ports["http"]), "--acme-tls-port", str(ports["tls"]),
               "--acme-resolver", f"{ADDRESS}:{ports['dns']}", "--acme-allow-private", "--acme-nonce-reject", str(reject), "--", *again]  # fmt: skip
    subprocess.run(command, check=False)
    if not found.exists():
        sys.exit("acme: the run inside the server did not end; its words are above")
    return json.loads(found.read_text())


def inside(options):
    ports = dict(zip(NAMES, map(int, options.inside.split(",")), strict=True))
    zone = Zone()
    serve_dns(zone, ports["dns"])
    serve_orders(zone, ports["orders"])
    pathlib.Path(options.results).write_text(json.dumps(Run(options, ports).everything()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chancery")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--nonce-reject", type=int, default=20)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--results", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is not None:
        return inside(options)
    with tempfile.TemporaryDirectory(prefix="chancery-acme-") as folder:
        results = run_inside(options, options.nonce_reject, folder) | run_inside(options, 0, folder)
    print(table(results))
    cases_run = sum(map(len, results.values()))
    failed = sum(not passed for row in results.values() for passed in row.values())
    if not options.check and not options.only:
        # Before hvac's section, which that program rewrites to the end of the page.
        text = REPORT.read_text()
        before, ours, after = text.partition(HEAD)
        if ours:
            behind = after[after.index("\n## ") + 1 :]
        else:
            before, hvac, after = text.partition("## hvac\n")
            behind = hvac + after
        REPORT.write_text(f"{before}{report(options, results)}\n{behind}")
        print(f"written: {REPORT}")
    print(f"acme: {cases_run} cases, {failed} failed")
    return 1 if failed or not cases_run else 0


if __name__ == "__main__":
    sys.exit(main())
