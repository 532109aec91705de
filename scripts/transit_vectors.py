#!/usr/bin/env python3
"""Known answers for transit, made by an implementation that shares no code with ours: Python's `cryptography`.

usage: transit_vectors.py > transit/tests/vectors/known_answers.json

What is computed is written in Vault's transit pages alone: HKDF derivation for AEAD and Ed25519 keys, convergent encryption
version 3, the layouts of ciphertexts, and import blobs. Keys, nonces and texts come from SHAKE-256 of their names, so
every run writes the same file; only the OAEP half of an import blob is random, so the blobs' second half is given and the
test checks that blob against its wrapping key. `transit/tests/known_answers.rs` holds the engine against the file.
"""

import base64
import hashlib
import hmac
import json

from cryptography.hazmat.primitives import cmac, hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TEXTS = (b"", b"x", b"the quick brown fox", bytes(range(256)) * 5)
CONTEXTS = (b"a", b"tenant 1", b"\0" * 32, bytes(range(200)))


def fixed(size, label):
    return hashlib.shake_256(label.encode()).digest(size)


def b64(data):
    return base64.b64encode(data).decode()


def rotated(value, bits):
    return ((value << bits) | (value >> (32 - bits))) & 0xFFFFFFFF


def hchacha20(key, nonce):
    """draft-irtf-cfrg-xchacha §2.2: the ChaCha20 permutation without the final addition."""
    words = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574]
    words += [int.from_bytes(key[at : at + 4], "little") for at in range(0, 32, 4)]
    words += [int.from_bytes(nonce[at : at + 4], "little") for at in range(0, 16, 4)]

    def quarter(a, b, c, d):
        for one, two, three, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            words[one] = (words[one] + words[two]) & 0xFFFFFFFF
            words[three] = rotated(words[three] ^ words[one], bits)

    for _ in range(10):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for diagonal in range(4):
            quarter(diagonal, 4 + (diagonal + 1) % 4, 8 + (diagonal + 2) % 4, 12 + (diagonal + 3) % 4)
    return b"".join(word.to_bytes(4, "little") for word in words[:4] + words[12:])


def xchacha20(key, nonce, text, associated):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], text, associated)


# type: (key bytes, nonce bytes, seal)
AEAD = {
    "aes128-gcm96": (16, 12, lambda key, nonce, text, associated: AESGCM(key).encrypt(nonce, text, associated)),
    "aes256-gcm96": (32, 12, lambda key, nonce, text, associated: AESGCM(key).encrypt(nonce, text, associated)),
    "chacha20-poly1305": (32, 12, lambda key, nonce, text, associated: ChaCha20Poly1305(key).encrypt(nonce, text, associated)),
    "xchacha20-poly1305": (32, 24, xchacha20),
}


# OpenBao's numbers of the types, as backups spell them.
NUMBERS = {"aes128-gcm96": 8, "aes256-gcm96": 0, "chacha20-poly1305": 5, "xchacha20-poly1305": 11, "ed25519": 2}


def derived(key, context, size):
    return HKDF(hashes.SHA256(), size, None, context).derive(key)


def backup(kind, key, convergent=False, public_key=""):
    """A backup of a derived key as OpenBao 2.7 writes it: import would give such a key the older derivation."""
    version = {
        "key": b64(key), "hmac_key": b64(fixed(32, f"hmac {kind}")), "time": "2026-11-21T00:00:00Z", "creation_time": 1795219200,
        "convergent_version": 3 if convergent else 0, "public_key": public_key,
    }  # fmt: skip
    nothing = {"key": None, "hmac_key": None, "time": "0001-01-01T00:00:00Z", "creation_time": 0, "convergent_version": 0, "public_key": ""}
    policy = {
        "name": kind, "keys": {"1": version}, "derived": True, "kdf": 1, "convergent_encryption": convergent, "exportable": True,
        "min_decryption_version": 1, "min_encryption_version": 0, "latest_version": 1, "archive_version": 1, "archive_min_version": 0,
        "min_available_version": 0, "deletion_allowed": False, "convergent_version": -1 if convergent else 0, "type": NUMBERS[kind],
        "backup_info": {"time": "2026-11-21T00:00:00Z", "version": 1}, "restore_info": None, "allow_plaintext_backup": True,
        "version_template": "", "storage_prefix": "", "auto_rotate_period": 0, "Imported": False, "AllowImportedKeyRotation": False,
        "soft_deleted": False,
    }  # fmt: skip
    return b64(json.dumps({"policy": policy, "archived_keys": {"keys": [nothing, version]}}).encode())


def sealed(version, nonce, body):
    return f"vault:v{version}:{b64(nonce + body)}"


def layouts():
    """Ciphertexts of plain keys: prefix, nonce, body, tag."""
    for kind, (key_size, nonce_size, seal) in AEAD.items():
        key = fixed(key_size, f"layout {kind}")
        for number, text in enumerate(TEXTS):
            for associated in (b"", b"associated"):
                nonce = fixed(nonce_size, f"layout nonce {kind} {number} {associated}")
                yield {
                    "type": kind, "key": b64(key), "plaintext": b64(text), "associated_data": b64(associated),
                    "ciphertext": sealed(1, nonce, seal(key, nonce, text, associated)),
                }  # fmt: skip


def derivations():
    """Ciphertexts of derived keys: HKDF-SHA256, no salt, the context as info."""
    for kind, (key_size, nonce_size, seal) in AEAD.items():
        key = fixed(key_size, f"derived {kind}")
        answers = []
        for context in CONTEXTS:
            nonce = fixed(nonce_size, f"derived nonce {kind} {context}")
            text = b"text under " + context
            ciphertext = sealed(1, nonce, seal(derived(key, context, key_size), nonce, text, b""))
            answers.append({"context": b64(context), "plaintext": b64(text), "ciphertext": ciphertext})
        yield {"type": kind, "backup": backup(kind, key), "answers": answers}


def imported_derivations():
    """The same of imported keys, which have the older derivation: SP 800-108 counter mode with HMAC-SHA256, one block."""
    for kind, (key_size, nonce_size, seal) in AEAD.items():
        if key_size != 32:
            continue
        key = fixed(key_size, f"imported {kind}")
        for context in CONTEXTS:
            nonce = fixed(nonce_size, f"imported nonce {kind} {context}")
            block = hmac.digest(key, bytes(4) + context + (256).to_bytes(4, "big"), "sha256")
            yield {
                "type": kind, "key": b64(key), "context": b64(context), "plaintext": b64(b"text"),
                "ciphertext": sealed(1, nonce, seal(block, nonce, b"text", b"")),
            }  # fmt: skip


def ed25519_derivations():
    """Derived Ed25519: HKDF over the 64 bytes seed || public key gives the seed of the context's key."""
    root = ed25519.Ed25519PrivateKey.from_private_bytes(fixed(32, "ed25519"))
    stored = fixed(32, "ed25519") + root.public_key().public_bytes_raw()
    answers = []
    for context in CONTEXTS:
        child = ed25519.Ed25519PrivateKey.from_private_bytes(derived(stored, context, 32))
        answers.append({
            "context": b64(context), "public_key": b64(child.public_key().public_bytes_raw()), "input": b64(b"text"),
            "signature": f"vault:v1:{b64(child.sign(b'text'))}",
        })  # fmt: skip
    yield {"type": "ed25519", "backup": backup("ed25519", stored, False, b64(root.public_key().public_bytes_raw())), "answers": answers}


def convergent():
    """Version 3: HKDF gives key and 32-byte MAC key at once; the nonce is the head of HMAC-SHA256 over the text."""
    for kind, (key_size, nonce_size, seal) in AEAD.items():
        key = fixed(key_size, f"convergent {kind}")
        answers = []
        for context in CONTEXTS:
            for text in TEXTS[1:]:
                material = derived(key, context, key_size + 32)
                inner, mac_key = material[:key_size], material[key_size:]
                nonce = hmac.digest(mac_key, text, "sha256")[:nonce_size]
                ciphertext = sealed(1, nonce, seal(inner, nonce, text, b""))
                answers.append({"context": b64(context), "plaintext": b64(text), "ciphertext": ciphertext})
        yield {"type": kind, "backup": backup(kind, key, True), "answers": answers}


def wrapped_targets():
    """AES-KWP (RFC 5649) halves of import blobs, with the ephemeral key that the test puts into the OAEP half."""
    ephemeral = fixed(32, "ephemeral")
    targets = [(kind, fixed(size, f"import {kind}")) for kind, (size, _, _) in AEAD.items()]
    targets += [("hmac", fixed(size, f"import hmac {size}")) for size in (32, 33, 47, 64, 511, 512)]
    for kind, curve, scalar in (("ecdsa-p256", ec.SECP256R1(), 31), ("ecdsa-p384", ec.SECP384R1(), 47), ("ecdsa-p521", ec.SECP521R1(), 65)):
        private = ec.derive_private_key(int.from_bytes(fixed(scalar, kind), "big"), curve)
        targets.append((kind, private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())))  # fmt: skip
    for kind, target in targets:
        yield {
            "type": kind, "target": b64(target), "ephemeral": b64(ephemeral),
            "wrapped": b64(keywrap.aes_key_wrap_with_padding(ephemeral, target)),
        }  # fmt: skip


def macs():
    names = {
        "sha1": "sha1", "sha2-224": "sha224", "sha2-256": "sha256", "sha2-384": "sha384", "sha2-512": "sha512",
        "sha3-224": "sha3_224", "sha3-256": "sha3_256", "sha3-384": "sha3_384", "sha3-512": "sha3_512",
    }  # fmt: skip
    key = fixed(48, "hmac")
    for algorithm, name in names.items():
        for text in TEXTS:
            mac = f"vault:v1:{b64(hmac.digest(key, text, name))}"
            yield {"type": "hmac", "key": b64(key), "algorithm": algorithm, "input": b64(text), "hmac": mac}


def cmacs():
    for kind, size in (("aes128-cmac", 16), ("aes256-cmac", 32)):
        key = fixed(size, kind)
        for text in TEXTS[1:]:
            maker = cmac.CMAC(algorithms.AES(key))
            maker.update(text)
            yield {"type": kind, "key": b64(key), "input": b64(text), "cmac": f"vault:v1:{b64(maker.finalize())}"}


def main():
    families = (layouts, derivations, imported_derivations, ed25519_derivations, convergent, wrapped_targets, macs, cmacs)
    print(json.dumps({family.__name__: list(family()) for family in families}, indent=1))


if __name__ == "__main__":
    main()
