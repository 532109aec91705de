#!/usr/bin/env python3
"""Writes pkcs8.json: private keys broken on purpose, and what OpenBao answered to the import of each.

Needs `bao server -dev -dev-root-token-id=root` at $BAO_ADDR and the PyPI packages `cryptography` and `requests`.
A vector has the type it is imported as, a name, the key (base64 of the DER) and the answer: null, or the text of the
error. `ours` stands where this engine answers something else; docs/deviations.md says why.
"""

import base64
import json
import math
import os
import pathlib
import secrets

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

ADDRESS = os.environ.get("BAO_ADDR", "http://127.0.0.1:8200") + "/v1/"
HEADERS = {"X-Vault-Token": "root"}
EMBEDDED_RSA = "error importing key: error parsing asymmetric key: x509: failed to parse RSA private key embedded in PKCS#8: "


def tlv(tag, content):
    length = len(content)
    if length < 128:
        head = bytes([length])
    else:
        digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
        head = bytes([0x80 | len(digits)]) + digits
    return bytes([tag]) + head + content


def integer(number):
    return tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def sequence(*parts):
    return tlv(0x30, b"".join(parts))


def identifier(text):
    first, second, *rest = map(int, text.split("."))
    content = bytes([40 * first + second])
    for arc in rest:
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(0x80 | arc & 0x7F)
        content += bytes(reversed(digits))
    return tlv(6, content)


NULL = tlv(5, b"")
RSA, PSS = identifier("1.2.840.113549.1.1.1"), identifier("1.2.840.113549.1.1.10")
EC, P256, P384 = identifier("1.2.840.10045.2.1"), identifier("1.2.840.10045.3.1.7"), identifier("1.3.132.0.34")
SECP256K1, ED25519 = identifier("1.3.132.0.10"), identifier("1.3.101.112")
ML_DSA_44, ML_DSA_65 = identifier("2.16.840.1.101.3.4.3.17"), identifier("2.16.840.1.101.3.4.3.18")
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def pkcs8(algorithm, key, version=0, more=b""):
    return sequence(integer(version), algorithm, tlv(4, key), more)


def is_prime(number):
    if any(number % small == 0 for small in (3, 5, 7, 11, 13, 17, 19, 23)):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(12):
        power = pow(secrets.randbelow(number - 3) + 2, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def prime(bits, start=None):
    number = start or secrets.randbits(bits) | 3 << (bits - 2) | 1
    while not is_prime(number) or math.gcd(number - 1, 65537 * 3) != 1:
        number += 2
    return number


def numbers(p, q, e=65537):
    return p * q, e, pow(e, -1, (p - 1) * (q - 1)), p, q


def pkcs1(n, e, d, p, q, dp=None, dq=None, coefficient=None, version=0, more=b""):
    dp = d % (p - 1) if dp is None and p > 1 else dp or 0
    dq = d % (q - 1) if dq is None and q > 1 else dq or 0
    if coefficient is None:
        coefficient = pow(q, -1, p) if math.gcd(p, q) == 1 else 0
    return sequence(*map(integer, (version, n, e, d, p, q, dp, dq, coefficient)), more)


def rsa_key(*arguments, **options):
    return pkcs8(sequence(RSA, NULL), pkcs1(*arguments, **options))


def sec1(scalar, parameters=None, public=None, version=1):
    parts = [integer(version), tlv(4, scalar)]
    if parameters:
        parts.append(tlv(0xA0, parameters))
    if public is not None:
        parts.append(tlv(0xA1, tlv(3, b"\0" + public)))
    return sequence(*parts)


def ec_key(scalar, curve=P256, **options):
    scalar = scalar if isinstance(scalar, bytes) else scalar.to_bytes(32, "big")
    return pkcs8(sequence(EC, curve), sec1(scalar, **options))


def der(key):
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def rsa_cases():
    good = rsa.generate_private_key(65537, 2048)
    private = good.private_numbers()
    n, d, p, q = private.public_numbers.n, private.d, private.p, private.q
    near = prime(1024)
    small = EMBEDDED_RSA + "crypto/rsa: a prime factor of the modulus is too small"
    composite = EMBEDDED_RSA + "crypto/rsa: a factor of the modulus is not prime"
    ours = "ours"
    yield "good", der(good)
    yield "bytes behind it", der(good) + b"\0\0\0"
    yield "bytes behind the inner key", pkcs8(sequence(RSA, NULL), pkcs1(n, 65537, d, p, q) + NULL)
    yield "truncated", der(good)[:-1], {ours: MALFORMED}
    yield "PKCS#1", pkcs1(n, 65537, d, p, q)
    yield "RSA-PSS", pkcs8(sequence(PSS), pkcs1(n, 65537, d, p, q))
    yield "no parameters", pkcs8(sequence(RSA), pkcs1(n, 65537, d, p, q))
    yield "attributes", pkcs8(sequence(RSA, NULL), pkcs1(n, 65537, d, p, q), more=tlv(0xA0, b""))
    yield "exponent 1", rsa_key(n, 1, 1, p, q)
    yield "exponent 2", rsa_key(n, 2, d, p, q)
    yield "exponent 3", rsa_key(*numbers(prime(1024), prime(1024), 3))
    yield "exponent 0", rsa_key(n, 0, d, p, q)
    yield "exponent -3", rsa_key(n, -3, d, p, q)
    yield "exponent 65536", rsa_key(n, 65536, d, p, q)
    yield "exponent 2^33 + 1", rsa_key(n, 2**33 + 1, d, p, q)
    yield "exponent 2^70 + 1", rsa_key(n, 2**70 + 1, d, p, q)
    yield "even modulus", rsa_key(n + 1, 65537, d, p, q)
    yield "negative modulus", rsa_key(-n, 65537, d, p, q)
    yield "modulus not p q", rsa_key(n + 2, 65537, d, p, q)
    yield "wrong private exponent", rsa_key(n, 65537, d + 2, p, q)
    yield "private exponent 0", rsa_key(n, 65537, 0, p, q)
    yield "private exponent 1", rsa_key(n, 65537, 1, p, q)
    yield "wrong dP", rsa_key(n, 65537, d, p, q, dp=5)
    yield "wrong coefficient", rsa_key(n, 65537, d, p, q, coefficient=5)
    yield "one prime twice", rsa_key(p * p, 65537, pow(65537, -1, (p - 1) ** 2), p, p)
    yield "p = 1", rsa_key(n, 65537, d, 1, n)
    yield "a prime of 64 bits", rsa_key(*numbers(prime(64), prime(1984))), {ours: small}
    yield "p divided by 3", rsa_key(*numbers(3 * prime(1023), prime(1024))), {ours: composite}
    yield "p composite", rsa_key(*numbers(prime(512) * prime(512), prime(1024))), {ours: composite}
    yield "close primes", rsa_key(*numbers(near, prime(1024, near + 2)))
    yield "1024 bits", der(rsa.generate_private_key(65537, 1024))
    yield "512 bits", rsa_key(*numbers(prime(256), prime(256)))
    yield "2056 bits", rsa_key(*numbers(prime(1028), prime(1028)))
    yield "modulus 15", rsa_key(15, 3, 3, 3, 5)
    yield "3072 bits", der(rsa.generate_private_key(65537, 3072))


def ec_cases():
    good = ec.generate_private_key(ec.SECP256R1())
    scalar = good.private_numbers().private_value
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    other = other.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    explicit = sequence(integer(1), sequence(identifier("1.2.840.10045.1.1"), integer(2**256 - 189)))
    yield "good", der(good)
    yield "no public half", ec_key(scalar)
    yield "another's public half", ec_key(scalar, public=other)
    yield "a public half that is no point", ec_key(scalar, public=b"xx")
    yield "another curve inside", ec_key(scalar, parameters=P384)
    yield "scalar 0", ec_key(0)
    yield "scalar n", ec_key(ORDER)
    yield "scalar n - 1", ec_key(ORDER - 1)
    yield "scalar 2^256 - 1", ec_key(2**256 - 1)
    yield "short scalar", ec_key((scalar >> 200).to_bytes(7, "big"))
    yield "scalar behind zeros", ec_key(bytes(8) + scalar.to_bytes(32, "big"))
    yield "long scalar", ec_key(b"\1" * 40)
    yield "empty scalar", ec_key(b"")
    yield "explicit curve", ec_key(scalar, curve=explicit)
    yield "no curve", pkcs8(sequence(EC), sec1(scalar.to_bytes(32, "big")))
    yield "secp256k1", ec_key(scalar, curve=SECP256K1)
    yield "SEC 1", sec1(scalar.to_bytes(32, "big"), parameters=P256)
    yield "version 2 inside", ec_key(scalar, version=2)
    yield "bytes behind it", der(good) + b"\0"
    yield "unknown algorithm", pkcs8(sequence(identifier("1.2.3.4")), b"x")


def ed25519_cases():
    algorithm = sequence(ED25519)
    yield "good", der(ed25519.Ed25519PrivateKey.generate())
    yield "31 bytes", pkcs8(algorithm, tlv(4, b"x" * 31))
    yield "64 bytes", pkcs8(algorithm, tlv(4, b"x" * 64))
    yield "parameters", pkcs8(sequence(ED25519, NULL), tlv(4, b"x" * 32))
    yield "a public half", pkcs8(algorithm, tlv(4, b"x" * 32), 1, tlv(0x81, b"\0" + b"y" * 32))
    yield "bytes behind the seed", pkcs8(algorithm, tlv(4, b"x" * 32) + b"\0")
    yield "bare seed", b"x" * 32, {"ours": MALFORMED}


def ml_dsa_cases():
    algorithm = sequence(ML_DSA_44)
    yield "seed", pkcs8(algorithm, tlv(0x80, b"x" * 32))
    yield "seed of 31 bytes", pkcs8(algorithm, tlv(0x80, b"x" * 31))
    yield "expanded", pkcs8(algorithm, tlv(4, b"x" * 2560))
    yield "seed and expanded", pkcs8(algorithm, sequence(tlv(4, b"x" * 32), tlv(4, b"x" * 2560)))
    yield "another set", pkcs8(sequence(ML_DSA_65), tlv(0x80, b"x" * 32))
    yield "parameters", pkcs8(sequence(ML_DSA_44, NULL), tlv(0x80, b"x" * 32))


MALFORMED = "error importing key: error parsing asymmetric key: asn1: structure error"


def call(method, path, body=None):
    return requests.request(method, ADDRESS + path, headers=HEADERS, json=body, timeout=30)


def main():
    call("POST", "sys/mounts/pkcs8", {"type": "transit"})
    wrapping_key = call("GET", "pkcs8/wrapping_key").json()["data"]["public_key"]
    wrapping_key = serialization.load_pem_public_key(wrapping_key.encode())
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    cases = {"rsa-2048": rsa_cases, "ecdsa-p256": ec_cases, "ed25519": ed25519_cases, "mldsa-44": ml_dsa_cases}
    vectors = []
    for key_type, generate in cases.items():
        for name, key, *more in generate():
            secret = os.urandom(32)
            blob = wrapping_key.encrypt(secret, oaep) + aes_key_wrap_with_padding(secret, key)
            body = {"type": key_type, "ciphertext": base64.b64encode(blob).decode()}
            reply = call("POST", f"pkcs8/keys/v{len(vectors)}/import", body)
            answer = None
            if reply.status_code != 204:
                answer = reply.json()["errors"][0].removeprefix("1 error occurred:\n\t* ").removesuffix("\n\n")
            vector = {"type": key_type, "name": name, "pkcs8": base64.b64encode(key).decode(), "answer": answer}
            vectors.append(vector | (more[0] if more else {}))
    text = json.dumps(vectors, indent=1) + "\n"
    pathlib.Path(__file__).with_name("pkcs8.json").write_text(text)
    print(len(vectors), "vectors")


if __name__ == "__main__":
    main()
