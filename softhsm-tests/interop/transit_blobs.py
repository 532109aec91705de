"""Keys, import blobs and hostile encodings for the transit families, made by Python's `cryptography`.

Every function gives base64 or PEM text as the API takes it. Keys are made once a run, so both servers get the same.
"""

import base64
import functools
import hashlib

from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519

HASHES = {
    "SHA1": hashes.SHA1, "SHA224": hashes.SHA224, "SHA256": hashes.SHA256, "SHA384": hashes.SHA384, "SHA512": hashes.SHA512,
}  # fmt: skip
EPHEMERAL = hashlib.sha256(b"the ephemeral key of every blob").digest()


def b64(data):
    return base64.b64encode(data).decode()


def fixed(size, label="key"):
    """`size` bytes that are the same in every run."""
    return hashlib.shake_256(label.encode()).digest(size)


@functools.cache
def private_key(kind):
    """The run's private key of a type, spelled as transit spells it."""
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(fixed(32, "ed25519"))
    if kind.startswith("rsa-"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("rsa-")))
    curve = {"p224": ec.SECP224R1, "p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1, "p256k": ec.SECP256K1}
    return ec.derive_private_key(int.from_bytes(fixed(24, kind), "big"), curve[kind.removeprefix("ecdsa-")]())


def pkcs8(kind):
    return private_key(kind).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(kind):
    return private_key(kind).public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()  # fmt: skip


def wrapped(wrapping_key, target, hash_function="SHA256", ephemeral=EPHEMERAL):
    """An import blob: RSA-OAEP over an AES key, then AES-KWP (RFC 5649) over the target key."""
    algorithm = HASHES[hash_function]()
    key = serialization.load_pem_public_key(wrapping_key.encode())
    oaep = padding.OAEP(padding.MGF1(algorithm), algorithm, None)
    # RFC 5649 wraps no empty key: its blob is the first half alone.
    return b64(key.encrypt(ephemeral, oaep) + (keywrap.aes_key_wrap_with_padding(ephemeral, target) if target else b""))


def unwrapped(private, blob, hash_function="SHA256"):
    """The target key of a blob that was made for `private`."""
    algorithm = HASHES[hash_function]()
    raw = base64.b64decode(blob)
    size = private.key_size // 8
    ephemeral = private.decrypt(raw[:size], padding.OAEP(padding.MGF1(algorithm), algorithm, None))
    return keywrap.aes_key_unwrap_with_padding(ephemeral, raw[size:])


# ------------------------------------------------------------------------------------------- DER that no library writes


def der(tag, *parts):
    body = b"".join(parts)
    size = len(body)
    length = bytes([size]) if size < 128 else (lambda raw: bytes([0x80 | len(raw)]) + raw)(size.to_bytes((size.bit_length() + 7) // 8, "big"))
    return bytes([tag]) + length + body


def integer(value):
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


RSA_ALGORITHM = der(0x30, bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("0500"))
EC_OID = bytes.fromhex("06072a8648ce3d0201")
P256_OID = bytes.fromhex("06082a8648ce3d030107")


def pkcs8_of(algorithm, key):
    return der(0x30, integer(0), algorithm, der(4, key))


def rsa_pkcs8(n, e, d, p, q):
    crt = (d % (p - 1), d % (q - 1), pow(q, -1, p))
    return pkcs8_of(RSA_ALGORITHM, der(0x30, *(integer(value) for value in (0, n, e, d, p, q, *crt))))


def small_factor_rsa():
    """2048 bits, but one factor is 3."""
    q = 2**2046 + 4147  # the first prime above that leaves 2 when divided by 3, so 65537 has an inverse
    n, phi = 3 * q, 2 * (q - 1)
    return rsa_pkcs8(n, 65537, pow(65537, -1, phi), q, 3)


@functools.cache
def hostile_pkcs8():
    """Encodings of private keys that must be refused: (name, type asked for, DER)."""
    numbers = private_key("rsa-2048").private_numbers()
    n, e, d, p, q = numbers.public_numbers.n, numbers.public_numbers.e, numbers.d, numbers.p, numbers.q
    good_rsa, good_ec, good_ed = pkcs8("rsa-2048"), pkcs8("ecdsa-p256"), pkcs8("ed25519")
    sec1 = private_key("ecdsa-p256").private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    pkcs1 = private_key("rsa-2048").private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    montgomery = x25519.X25519PrivateKey.from_private_bytes(fixed(32, "x25519")).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    encrypted = private_key("ecdsa-p256").private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    p256 = der(0x30, EC_OID, P256_OID)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    scalar = lambda value: pkcs8_of(p256, der(0x30, integer(1), der(4, value.to_bytes(32, "big"))))  # noqa: E731
    wrong_point = good_ec[:-1] + bytes([good_ec[-1] ^ 1])
    return (
        ("empty", "rsa-2048", b""),
        ("garbage", "rsa-2048", fixed(100, "garbage")),
        ("rsa-exponent-one", "rsa-2048", rsa_pkcs8(n, 1, 1, p, q)),
        ("rsa-exponent-even", "rsa-2048", rsa_pkcs8(n, 65536, d, p, q)),
        ("rsa-exponent-zero", "rsa-2048", rsa_pkcs8(n, 0, d, p, q)),
        ("rsa-wrong-d", "rsa-2048", rsa_pkcs8(n, e, d + 2, p, q)),
        ("rsa-wrong-modulus", "rsa-2048", rsa_pkcs8(n + 2, e, d, p, q)),
        ("rsa-small-factor", "rsa-2048", small_factor_rsa()),
        ("rsa-1024", "rsa-2048", pkcs8("rsa-1024")),
        ("rsa-as-3072", "rsa-3072", good_rsa),
        ("rsa-truncated", "rsa-2048", good_rsa[:-1]),
        ("rsa-trailing", "rsa-2048", good_rsa + b"\0"),
        ("rsa-pkcs1", "rsa-2048", pkcs1),
        ("ec-sec1", "ecdsa-p256", sec1),
        ("ec-encrypted", "ecdsa-p256", encrypted),
        ("ec-zero", "ecdsa-p256", scalar(0)),
        ("ec-order", "ecdsa-p256", scalar(order)),
        ("ec-above-order", "ecdsa-p256", scalar(order + 1)),
        ("ec-wrong-point", "ecdsa-p256", wrong_point),
        ("ec-p224", "ecdsa-p256", pkcs8("ecdsa-p224")),
        ("ec-p256k", "ecdsa-p256", pkcs8("ecdsa-p256k")),
        ("ec-as-p384", "ecdsa-p384", good_ec),
        ("ec-as-rsa", "rsa-2048", good_ec),
        ("rsa-as-ec", "ecdsa-p256", good_rsa),
        ("ed25519-short", "ed25519", good_ed[:-1]),
        ("ed25519-raw", "ed25519", fixed(32, "ed25519")),
        ("ed25519-as-ec", "ecdsa-p256", good_ed),
        ("x25519", "ed25519", montgomery),
    )
