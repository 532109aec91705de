#!/usr/bin/env python3
"""Makes layout.json: ciphertexts, signatures and HMACs in the wire's forms, built with the Python package `cryptography`.

Run: python3 -m venv venv && venv/bin/pip install cryptography && venv/bin/python make_layout_vectors.py > layout.json
Nothing here comes from this repository's code, so the vectors prove the layout and not just that two halves agree.
All inputs are fixed; the output is the same on every run (Ed25519 and PKCS#1 v1.5 signatures are deterministic).
"""

import base64
import hashlib
import hmac
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def b64(data):
    return base64.b64encode(data).decode()


def derive(key, context, length):
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=context).derive(key)


ciphers = []
for name, cipher, size in [("aes128-gcm96", AESGCM, 16), ("aes256-gcm96", AESGCM, 32), ("chacha20-poly1305", ChaCha20Poly1305, 32)]:
    for number, (text, associated) in enumerate([(b"", b""), (b"hello", b""), (bytes(range(256)), b"place"), (b"x" * 200, b"y" * 20)]):
        key = hashlib.sha512(f"{name} {number}".encode()).digest()[:size]
        nonce = hashlib.sha256(f"nonce {name} {number}".encode()).digest()[:12]
        sealed = nonce + cipher(key).encrypt(nonce, text, associated or None)
        ciphers.append({
            "type": name, "key": b64(key), "derived": False, "convergent": False, "context": "",
            "associated_data": b64(associated), "plaintext": b64(text), "ciphertext": "vault:v1:" + b64(sealed),
        })
        context = f"context {number}".encode()
        derived = derive(key, context, size)
        sealed = nonce + cipher(derived).encrypt(nonce, text, associated or None)
        ciphers.append({
            "type": name, "key": b64(key), "derived": True, "convergent": False, "context": b64(context),
            "associated_data": b64(associated), "plaintext": b64(text), "ciphertext": "vault:v1:" + b64(sealed),
        })
        # Convergent, version 3: cipher key and 32-byte nonce key from one HKDF output.
        both = derive(key, context, size + 32)
        nonce3 = hmac.new(both[size:], text, hashlib.sha256).digest()[:12]
        sealed = nonce3 + cipher(both[:size]).encrypt(nonce3, text, associated or None)
        ciphers.append({
            "type": name, "key": b64(key), "derived": True, "convergent": True, "context": b64(context),
            "associated_data": b64(associated), "plaintext": b64(text), "ciphertext": "vault:v1:" + b64(sealed),
        })

raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
seed = hashlib.sha256(b"ed25519 seed").digest()
plain = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
public = plain.public_key().public_bytes(*raw)
signatures = [{
    "derived": False, "seed": b64(seed), "context": "", "input": b64(b"hello"), "public_key": b64(public),
    "signature": "vault:v1:" + b64(plain.sign(b"hello")),
}]
child = ed25519.Ed25519PrivateKey.from_private_bytes(derive(seed + public, b"context", 32))
signatures.append({
    "derived": True, "seed": b64(seed), "context": b64(b"context"), "input": b64(b"hello"),
    "public_key": b64(child.public_key().public_bytes(*raw)), "signature": "vault:v1:" + b64(child.sign(b"hello")),
})

macs = []
for wire, name in [("sha1", "sha1"), ("sha2-224", "sha224"), ("sha2-256", "sha256"), ("sha2-384", "sha384"), ("sha2-512", "sha512"),
                   ("sha3-256", "sha3_256"), ("sha3-384", "sha3_384"), ("sha3-512", "sha3_512")]:
    for size in (32, 200):
        key = hashlib.shake_256(f"{wire} {size}".encode()).digest(size)
        code = hmac.new(key, b"hello", name).digest()
        macs.append({"hash": wire, "key": b64(key), "input": b64(b"hello"), "hmac": "vault:v1:" + b64(code)})

print(json.dumps({"ciphers": ciphers, "ed25519": signatures, "hmac": macs}, indent=1))
