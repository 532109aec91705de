#!/usr/bin/env python3
"""What OpenBao made, Chancery opens, and the other way round: ciphertexts, signatures, HMACs under keys that moved.

usage, with Chancery's address and token in VAULT_ADDR and VAULT_TOKEN:
    chancery dev --port 0 -- cross.py --reference PATH-TO-BAO

A key travels by three roads, each in both directions: backup and restore; export, then import of a blob made by Python's
`cryptography`; and byok-export to the other server's wrapping key, where neither server's caller ever sees the key.
"""

import argparse
import base64
import hashlib
import os

from peers import Api, Facts, openbao
from transit_blobs import b64, wrapped

AEAD = ("aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305")
ECDSA = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521")
RSA = ("rsa-2048", "rsa-3072", "rsa-4096")
ML_DSA = ("mldsa-44", "mldsa-65", "mldsa-87")
HASHES = ("sha1", "sha2-224", "sha2-256", "sha2-384", "sha2-512", "sha3-224", "sha3-256", "sha3-384", "sha3-512")
TEXT, CONTEXT, ASSOCIATED = b64(b"the quick brown fox"), b64(b"tenant 1"), b64(b"associated")
FORMS = {"hmac": "hmac-key"}


class Key:
    """A kind of key and what it can do."""

    def __init__(self, kind, form="plain"):
        self.kind, self.form = kind, form
        self.encrypts = kind in AEAD or kind in RSA
        self.signs = kind in (*ECDSA, *RSA, *ML_DSA, "ed25519")
        self.context = {} if form == "plain" else {"context": CONTEXT}

    def name(self, road):
        return f"{road}-{self.kind}-{self.form}"

    def options(self):
        made = {"type": self.kind, "exportable": True, "allow_plaintext_backup": True}
        if self.kind == "hmac":
            made["key_size"] = 48
        if self.form != "plain":
            made["derived"] = True
        if self.form == "convergent":
            made["convergent_encryption"] = True
        return made


KEYS = (
    *(Key(kind, form) for kind in AEAD for form in ("plain", "derived", "convergent")),
    *(Key(kind) for kind in (*ECDSA, *RSA, *ML_DSA, "hmac")), Key("ed25519"), Key("ed25519", "derived"),
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------- the three roads


def by_backup(source, target, key, name):
    target.write("restore", {"backup": source.read(f"backup/{name}")["backup"]})


def by_export(source, target, key, name):
    form = FORMS.get(key.kind) or ("encryption-key" if key.kind in AEAD else "signing-key")
    coding = "" if key.kind in AEAD or key.kind == "hmac" else "?format=der"
    exported = source.read(f"export/{form}/{name}{coding}")["keys"]
    wrapping = target.read("wrapping_key")["public_key"]
    blobs = {version: wrapped(wrapping, base64.b64decode(text)) for version, text in exported.items()}
    take_in(target, key, name, blobs)


def by_byok(source, target, key, name):
    carrier = f"carrier-{target.name}".lower()
    try:
        source.read(f"keys/{carrier}")
    except Exception:  # noqa: BLE001 - it is not there yet
        source.write(f"keys/{carrier}/import", {"type": "rsa-4096", "public_key": target.read("wrapping_key")["public_key"]})
    take_in(target, key, name, source.read(f"byok-export/{carrier}/{name}")["keys"])


def take_in(target, key, name, blobs):
    options = {**key.options(), "allow_rotation": True}
    for name_of_option in ("key_size", "convergent_encryption"):
        options.pop(name_of_option, None)
    for version in sorted(blobs, key=int):
        path = "import" if version == "1" else "import_version"
        target.write(f"keys/{name}/{path}", {"ciphertext": blobs[version], **(options if version == "1" else {})})


# ------------------------------------------------------------------------------------------------ what is made and tried


# Chancery signs with these only (docs/deviations.md); it verifies all, so OpenBao's signatures are tried with every hash.
SIGNED_WITH_RSA = ("sha2-256", "sha2-384", "sha2-512", "none")
# What stands before a SHA-256 digest in PKCS#1 v1.5 (RFC 8017 §9.2, note 1).
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def makings(server, key, name):
    """Everything the key can make: (what, path of the trial, its body, member of the answer, what it must be)."""
    if key.encrypts:
        for bound in ({}, {"associated_data": ASSOCIATED}) if key.kind in AEAD else ({},):
            body = {"plaintext": TEXT, **key.context, **bound}
            text = server.write(f"encrypt/{name}", body)["ciphertext"]
            yield "ciphertext", f"decrypt/{name}", {"ciphertext": text, **key.context, **bound}, "plaintext", TEXT
    if key.signs:
        for options in signature_options(key):
            if server.name == "Chancery" and key.kind in RSA and options.get("hash_algorithm", "sha2-256") not in SIGNED_WITH_RSA:
                continue
            input_of = {"input": digest_for(options), **options, **key.context}
            signature = server.write(f"sign/{name}", input_of)["signature"]
            yield "signature", f"verify/{name}", {**input_of, "signature": signature}, "valid", True
            if not options.get("prehashed"):
                yield "signature of another text", f"verify/{name}", {**input_of, "input": b64(b"no"), "signature": signature}, "valid", False


def hmac_makings(server, key, name):
    for algorithm in HASHES:
        body = {"input": TEXT, "algorithm": algorithm}
        mac = server.write(f"hmac/{name}", body)["hmac"]
        yield "HMAC", f"verify/{name}", {**body, "hmac": mac}, "valid", True


def signature_options(key):
    if key.kind in ECDSA:
        return [{"hash_algorithm": name, "marshaling_algorithm": form} for name in HASHES for form in ("asn1", "jws")] + [
            {"hash_algorithm": "sha2-256", "prehashed": True}]  # fmt: skip
    if key.kind in RSA:
        hashes = HASHES if key.kind == "rsa-2048" else ("sha2-256",)
        plain = [{"hash_algorithm": name, "signature_algorithm": scheme} for name in hashes for scheme in ("pss", "pkcs1v15")]
        salts = [{"signature_algorithm": "pss", "salt_length": length} for length in ("hash", "auto", "20")]
        none = [{"hash_algorithm": "none", "signature_algorithm": "pkcs1v15", "prehashed": True}]
        return plain + salts + none + [{"hash_algorithm": "sha2-256", "prehashed": True, "signature_algorithm": "pkcs1v15"}]
    return [{}]


def digest_for(options):
    if not options.get("prehashed"):
        return TEXT
    digest = hashlib.sha256(b"prehashed").digest()
    return b64(DIGEST_INFO + digest if options.get("hash_algorithm") == "none" else digest)


def travel(facts, source, target, key, road, carry):
    """Makes a key of two versions at the source, brings it over, and tries each one's makings at the other."""
    name = f"{key.name(road)}-from-{source.name}".lower()
    with_hmacs = carry is by_backup or key.kind == "hmac"
    source.write(f"keys/{name}", key.options())
    made = list(makings(source, key, name)) + (list(hmac_makings(source, key, name)) if with_hmacs else [])
    source.write(f"keys/{name}/rotate")
    made += list(makings(source, key, name))
    carry(source, target, key, name)
    shown, original = target.read(f"keys/{name}"), source.read(f"keys/{name}")
    for member in ("type", "derived", "latest_version", "exportable", "supports_encryption", "supports_signing"):
        facts.hold(shown[member] == original[member], f"{name}: {member} is {shown[member]}, was {original[member]}")
    try_all(facts, source, target, name, made)
    if target.name == "OpenBao" and key.kind in ML_DSA and carry is by_backup:
        # OpenBao 2.7.2 verifies with a restored ML-DSA key but drops the connection when asked to sign (a nil pointer).
        return
    back = list(makings(target, key, name)) + (list(hmac_makings(target, key, name)) if with_hmacs else [])
    try_all(facts, target, source, name, back)
    if key.form == "convergent":
        body = {"plaintext": TEXT, **key.context}
        one, other = (server.write(f"encrypt/{name}", body)["ciphertext"] for server in (source, target))
        facts.hold(one == other, f"{name}: both make the same convergent ciphertext")
    if key.form == "derived" and key.signs:
        body = {"input": TEXT, **key.context}
        one, other = (server.write(f"sign/{name}", body) for server in (source, target))
        facts.hold((one["signature"], one["public_key"]) == (other["signature"], other["public_key"]), f"{name}: the same derived key")


def try_all(facts, maker, judge, name, made):
    for what, path, body, member, expected in made:
        found = judge.write(path, body).get(member)
        facts.hold(found == expected, f"{name}: {what} of {maker.name} at {judge.name}, {path}: {member} is {found!r}")


def spoiled(facts, source, target):
    """What crosses unharmed is refused when harmed, so the trials above say something."""
    key, name = Key("aes256-gcm96"), f"spoiled-from-{source.name}".lower()
    source.write(f"keys/{name}", key.options())
    text = source.write(f"encrypt/{name}", {"plaintext": TEXT})["ciphertext"]
    backup = source.read(f"backup/{name}")["backup"]
    target.write("restore", {"backup": backup})
    facts.refused(lambda: target.write("restore", {"backup": backup}), "a second restore without force")
    facts.refused(lambda: target.write(f"decrypt/{name}", {"ciphertext": text[:-6] + "AAAA=="}), "a changed ciphertext")
    facts.refused(lambda: target.write(f"decrypt/{name}", {"ciphertext": text, "associated_data": ASSOCIATED}), "other associated data")
    facts.hold(target.write(f"decrypt/{name}", {"ciphertext": text})["plaintext"] == TEXT, "the unharmed one opens")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", required=True, help="OpenBao binary")
    parser.add_argument("--only", default="", help="only keys or roads whose name has this in it")
    arguments = parser.parse_args()
    ours = Api("Chancery", os.environ["VAULT_ADDR"], os.environ["VAULT_TOKEN"], "crossing")
    ours.call("POST", "sys/mounts/crossing", {"type": "transit"})
    facts = Facts("crossing")
    with openbao(arguments.reference) as theirs:
        for source, target in ((theirs, ours), (ours, theirs)):
            for road, carry in (("backup", by_backup), ("export", by_export), ("byok", by_byok)):
                for key in KEYS:
                    # OpenBao imports no convergent keys and gives imported derived ones an older derivation, so these go by
                    # backup alone; big RSA keys take seconds to make and need no second road.
                    if carry is not by_backup and (key.form != "plain" or key.kind in ("rsa-3072", "rsa-4096")):
                        continue
                    if arguments.only in key.name(road):
                        travel(facts, source, target, key, road, carry)
                facts.section(f"from {source.name} to {target.name} by {road}")
            if not arguments.only:
                spoiled(facts, source, target)
    facts.close()


if __name__ == "__main__":
    main()
