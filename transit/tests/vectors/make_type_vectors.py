#!/usr/bin/env python3
"""Makes types.json: keys and ciphertexts of the types and versions that OpenBao cannot make, built with the Python
package `cryptography` (48 with OpenSSL 3.5 or newer, for ML-KEM and implicit rejection).

Run: python3 -m venv venv && venv/bin/pip install cryptography && venv/bin/python make_type_vectors.py > types.json
Nothing here comes from this repository's code. ML-KEM and PKCS#1 v1.5 encryption are randomised, so each run gives
other ciphertexts; the keys are fixed throw-away keys.
"""

import base64
import hashlib
import hmac
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import mlkem, padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

RSA_KEY = """
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCiEMbfowb1GqoO3xJ/Q+UPQ7P08geWCp5aFRRGIKgYQEZC9tqkNN1fUI5BmSv0H+RclC
hsGOCzuZoCO9n+lViJqUPOiaVRBnoOVyu1W1UGPOVvpDDyK5gffp/94RCgOfd+f4kZU7ZYXHoqP2AnzDm8z/1pzSiHXBL6XAfeTLT1UGByvTRWeOTFtLpW
qUzsHOlXPOZp49QyVsXss0T+0Sq2Q5OAOMRG9WAWoMHpAUj6Bgqt6lgwDGa+GES4ZPskbG6baTpCXXK4BkICbtCl/DGlvl9lGER/BIA3hvSf868yWUc3FY
OFD+RnaeRvmsJaEKLSpFNRK1iJw8ohWWsg7kf7AgMBAAECggEAARN8cT1gt/LtNdERtd+ftJS+AVPewgZ1sQ0acobCpvqSR4fibBxfwJjFK7ar0zX9AF0J
fFeZR7LlTLt/VztATcBeeg9xlhKlb9VGAzEaj5fgQXgFIoPbQZDyg1nhuuFM/T2Kjaz/yna+vEC/JN8sc6Or6pkZT6DIYs+GoS7ANYVy50dpnKX6Owff3o
Vyl8jjYAuUhR2L4JSziEI666B7BrZ8IgTonVOft6eN0jIlekHkffHaYv+Tg04hoVuxWxPjArA4X0YPNGRb92Ppm/PgL+75j3WwjZSQHkDCLk49AKfpt0gP
XS17xmN54qZLbmh8BwIANTFOgVvXf6htTh4wWQKBgQDOlT6W0dPtRWwmsXfkY4iL/91KgQcecq0X96aqfjJedPUc6umnnzu/YgcAwQDY8CHvt4bR0z+pHS
BRxA8MW2Wf1jIR5YGk0IApT2ffO4TPR878/Pt6ANTyH2rKvMC+YaxBCdfM5JKLzkH4miMRZICOfzkkzYactaOQ0Lof5uF6mQKBgQDI1V3ukSRNe7YnXW63
6agsjZ6dXQIrCSbRklufMdlW+bnRLQ+Y1woZI6A9bjjomDu137urgvY1N632MjWMrW5LDKditEIth01pJZ3vb6vz+wI2hS7sD+m6IJ1UgAXzuIIOl6fP+q
8ug3AeWh3uULKhOTk/Q7ViHdlSakGVOcJnswKBgBhfW0cH8mzn596YyYBUjeOWiFEl7+UTuoA9Y5hx0xd5zQFgZbi0/KOTuSfJnYP6sMZLbMiMl9In8Yw0
CWJ31gGJj9a0sRr0zmoRSDv6Fa0u16jZYAIA3x7BviO1KThM5bm2o5M01GVSLE5cQQ7oQJKPR/qjlOIgO+/18D+bSbbhAoGBAKAnNl7Ws6JucxX1NiPHWu
scjE5lKyNyitg45IOQ1wa64mlii7uQUGc3t8MFMLCbJZKlthzRtNE/c6SO6ZEjhH6ouprFsLhp21tsOgQEg5Vup5ceogpxritVcuE9roFqs5w7aAE8oZJw
EmrB5nhzNd/HqFVBA1YZA4LrZR1BEDxtAoGAEZKXKo1iG0bM0XGXIp+ZyjocK++TVpQzaRSb1uIliu180JMZYRHDzlVKWnPJnUVCa3CBpUXqfuPFOWU02j
Eay/qRrUcZqfqZGsRvtT2J9xvV0Z1/COBLLhHDEVJjUnELumoQe4IPo6du/orwQ+pK0N4wU5eVjw6K4aWi00pYo30=
"""


def b64(data):
    return base64.b64encode(data).decode()


def hkdf(key, info, length):
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(key)


def counter(key, context, length):
    """SP 800-108 in counter mode as Vault ran it: one round counted from zero, 256 bits asked for."""
    return hmac.new(key, b"\0\0\0\0" + context + (256).to_bytes(4, "big"), hashlib.sha256).digest()[:length]


# Derived and convergent keys of old Vaults.
legacy = []
for name, cipher, size in [("aes256-gcm96", AESGCM, 32), ("chacha20-poly1305", ChaCha20Poly1305, 32)]:
    for kdf, derive in [("hkdf_sha256", hkdf), ("hmac_sha256_counter", counter)]:
        for version in [None, "v1", "v2"]:
            key = hashlib.sha512(f"{name} {kdf} {version}".encode()).digest()[:size]
            context, text = b"some context", b"hello"
            nonce = hashlib.sha256(f"nonce {name} {version}".encode()).digest()[:12]
            if version == "v2":
                nonce = hmac.new(context, text, hashlib.sha256).digest()[:12]
            sealed = cipher(derive(key, context, size)).encrypt(nonce, text, None)
            legacy.append({
                "type": name, "kdf": kdf, "convergent_version": version, "key": b64(key), "context": b64(context),
                "nonce": b64(nonce) if version == "v1" else "", "plaintext": b64(text),
                "ciphertext": "vault:v1:" + b64(sealed if version == "v1" else nonce + sealed)})

# FIPS 203, key generation (algorithms 13 and 16), for the form of a decapsulation key that has all of it.
Q, N = 3329, 256
ZETAS = [pow(17, int(f"{i:07b}"[::-1], 2), Q) for i in range(128)]


def ntt(f):
    f, at, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta, at = ZETAS[at], at + 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def multiply(f, g):
    h = [0] * N
    for i in range(128):
        gamma = pow(17, 2 * int(f"{i:07b}"[::-1], 2) + 1, Q)
        a, b, c, d = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        h[2 * i], h[2 * i + 1] = (a * c + b * d * gamma) % Q, (a * d + b * c) % Q
    return h


def sample_ntt(seed):
    stream, at, out = hashlib.shake_128(seed).digest(4096), 0, []
    while len(out) < N:
        a, b, c = stream[at:at + 3]
        at += 3
        out += [d for d in (a + 256 * (b % 16), b // 16 + 16 * c) if d < Q]
    return out[:N]


def sample_cbd(eta, seed):
    bits = [byte >> i & 1 for byte in hashlib.shake_256(seed).digest(64 * eta) for i in range(8)]
    return [(sum(bits[2 * i * eta:(2 * i + 1) * eta]) - sum(bits[(2 * i + 1) * eta:(2 * i + 2) * eta])) % Q
            for i in range(N)]


def encode(f):
    return sum(c << 12 * i for i, c in enumerate(f)).to_bytes(384, "little")


def expand(seed, k):
    d, z = seed[:32], seed[32:]
    g = hashlib.sha3_512(d + bytes([k])).digest()
    rho, sigma = g[:32], g[32:]
    s = [ntt(sample_cbd(2, sigma + bytes([i]))) for i in range(k)]
    e = [ntt(sample_cbd(2, sigma + bytes([k + i]))) for i in range(k)]
    public = b""
    for i in range(k):
        row = e[i]
        for j in range(k):
            row = [(x + y) % Q for x, y in zip(row, multiply(sample_ntt(rho + bytes([j, i])), s[j]))]
        public += encode(row)
    public += rho
    return b"".join(map(encode, s)) + public + hashlib.sha3_256(public).digest() + z, public


kem = []
for name, maker, k in [("ml-kem-768", mlkem.MLKEM768PrivateKey, 3), ("ml-kem-1024", mlkem.MLKEM1024PrivateKey, 4)]:
    seed = hashlib.sha512(name.encode()).digest()
    key, public = expand(seed, k)
    theirs = maker.from_seed_bytes(seed).public_key()
    assert theirs.public_bytes_raw() == public, "our expansion differs from the library's"
    for text, associated in [(bytes(range(32)), b""), (b"hello", b"place")]:
        first, second = theirs.encapsulate()
        secret, ciphertext = (first, second) if len(first) == 32 else (second, first)
        nonce = hashlib.sha256(f"nonce {name} {len(text)}".encode()).digest()[:12]
        message_key = hkdf(secret, b"chancery transit " + name.encode(), 32)
        sealed = ciphertext + nonce + AESGCM(message_key).encrypt(nonce, text, associated or None)
        kem.append({
            "type": name, "key": b64(key), "public_key": b64(public), "associated_data": b64(associated),
            "plaintext": b64(text), "ciphertext": "vault:v1:" + b64(sealed)})

# PKCS#1 v1.5: OpenSSL answers bad padding with a message of its own making, always the same for a key and ciphertext.
der = base64.b64decode(RSA_KEY)
rsa = serialization.load_der_private_key(der, None)
pkcs1 = []
for number in range(12):
    text = bytes(range(number))
    sealed = bytearray(rsa.public_key().encrypt(text, padding.PKCS1v15()))
    if number % 3:
        sealed[200] ^= number
    pkcs1.append({
        "type": "rsa-2048", "key": b64(der), "damaged": bool(number % 3), "ciphertext": "vault:v1:" + b64(sealed),
        "plaintext": b64(rsa.decrypt(bytes(sealed), padding.PKCS1v15()))})

print(json.dumps({"legacy": legacy, "kem": kem, "pkcs1": pkcs1}, indent=1))
