#!/usr/bin/env python3
"""Certificates over random roles and requests, judged by five strangers: pkilint, openssl, GnuTLS, Python's `cryptography`
and Java's PKIX.

Run it as `chancery dev -- python certificates.py [--count 10000] [--seed N]`; it takes VAULT_ADDR and VAULT_TOKEN from
there. The same seed makes the same roles and requests. A request may be refused, which is counted; whatever is issued
must be without an error under pkilint and be accepted by every verifier. The exit code is 0 only then.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import random
import sys
import tempfile
import time

import requests

import judges
import requesting

PARSER = argparse.ArgumentParser(description=__doc__.splitlines()[0])
PARSER.add_argument("--count", type=int, default=10_000, help="how many certificates are issued")
PARSER.add_argument("--seed", type=int, default=20_261_129)
PARSER.add_argument("--per-role", type=int, default=25, help="how many requests each role gets")
OPTIONS = PARSER.parse_args()

ADDRESS, TOKEN = os.environ["VAULT_ADDR"], os.environ["VAULT_TOKEN"]
SESSION = requests.Session()
SESSION.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=8))
SESSION.headers["X-Vault-Token"] = TOKEN

# Every kind of key a CA can have, and how it signs.
ISSUERS = [
    ("p256", {"key_type": "ec", "key_bits": 256}),
    ("p384", {"key_type": "ec", "key_bits": 384}),
    ("rsa", {"key_type": "rsa", "key_bits": 2048}),
    ("pss", {"key_type": "rsa", "key_bits": 3072, "use_pss": True}),
]


def write(path, body):
    answer = SESSION.post(f"{ADDRESS}/v1/{path}", json=body)
    return answer.status_code, answer.json() if answer.content else {}


def must(path, body):
    status, answer = write(path, body)
    assert status in (200, 204), f"{path}: {status} {answer}"
    return answer.get("data") or {}


def authorities():
    """A root, and below it an intermediate of each kind, all in one mount."""
    must("sys/mounts/proof", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
    must("proof/config/urls", {
        "issuing_certificates": "http://pki.example.com/ca.der",
        "crl_distribution_points": "http://pki.example.com/ca.crl",
        "ocsp_servers": "http://ocsp.example.com/",
    })
    root = must("proof/root/generate/internal", {
        "common_name": "Proof Root", "organization": "Chancery", "country": "DE", "key_type": "ec", "key_bits": 384,
        "ttl": "87600h", "issuer_name": "root",
    })["certificate"]
    below = {}
    for name, key in ISSUERS:
        csr = must("proof/intermediate/generate/internal", {"common_name": f"Proof {name}", "key_name": name, **key})
        signed = must("proof/root/sign-intermediate", {
            "csr": csr["csr"], "common_name": f"Proof {name}", "organization": "Chancery", "ttl": "43800h",
            "max_path_length": 0,
        })
        imported = must("proof/intermediate/set-signed", {"certificate": signed["certificate"]})
        must(f"proof/issuer/{imported['imported_issuers'][0]}", {"issuer_name": name})
        below[name] = signed["certificate"]
    return root, below


def issued(dice, keys):
    """Certificates with their issuer's name, until there are enough."""
    counts, number = collections.Counter(), 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        while counts["issued"] < OPTIONS.count:
            number += 1
            role = requesting.role(dice, [name for name, _ in ISSUERS])
            status, answer = write(f"proof/roles/r{number}", role)
            if status not in (200, 204):
                counts["roles refused"] += 1
                continue
            orders = [requesting.request(dice, role, keys) for _ in range(OPTIONS.per_role)]
            answers = pool.map(lambda order: write(f"proof/{order[0]}/r{number}", order[1]), orders)
            for (door, order), (status, answer) in zip(orders, answers):
                if status == 200:
                    counts["issued"] += 1
                    yield role["issuer_ref"], answer["data"]["certificate"]
                elif status == 400:
                    counts["requests refused"] += 1
                    reason = " ".join(answer["errors"])
                    counts["because: " + requesting.kind_of(reason)] += 1
                else:
                    sys.exit(f"{door} {role} {order}: {status} {answer}")
    print(f"  {number} roles, {counts['issued']} certificates, {counts['requests refused']} requests refused")
    for reason, count in sorted(counts.items()):
        if reason.startswith("because"):
            print(f"    {count:6} {reason}")


def main():
    began = time.monotonic()
    print(f"seed {OPTIONS.seed}")
    dice = random.Random(OPTIONS.seed)
    root, below = authorities()
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        (place / "root.pem").write_text(root + "\n")
        for name, certificate in below.items():
            (place / f"{name}.pem").write_text(certificate + "\n")
        leaves = collections.defaultdict(list)
        count = 0
        for issuer, certificate in issued(dice, requesting.Keys(dice)):
            path = place / issuer / f"{count}.pem"
            path.parent.mkdir(exist_ok=True)
            path.write_text(certificate + "\n")
            leaves[issuer].append(path)
            count += 1
        print(f"  made in {time.monotonic() - began:.0f} s")
        wrong = 0
        for judge in (judges.pkilint, judges.openssl, judges.gnutls, judges.cryptography, judges.java):
            began = time.monotonic()
            judged, complaints = judge(place, leaves)
            print(f"  {judge.__name__:12} {judged:6} judged, {len(complaints)} refused, {time.monotonic() - began:.0f} s")
            for complaint in complaints[:10]:
                print(f"      {complaint}")
            wrong += len(complaints)
            # The verifiers see each leaf; the linter sees the CA certificates too.
            expected = count + (len(below) + 1 if judge is judges.pkilint else 0)
            if judged != expected:
                print(f"      judged {judged} of {expected}")
                wrong += 1
    print(f"{count} certificates, {wrong} complaints")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
