#!/usr/bin/env python3
"""Opens a sealed file (docs/file-format.md) with its data key, by nothing but Python's `cryptography`.

usage: open_sealed_file.py FILE < DATA_KEY_IN_BASE64 > CONTENT
"""

import base64
import hmac
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def split(file):
    """(binding, mount, key name, wrapped data key, body)"""
    binding, rest = file[:78], file[78:]
    if binding[:10] != b"\x89CHNE\r\n\x1a\x01\x01":
        raise ValueError("not a sealed file of version 1")
    fields = []
    for width in (1, 1, 2):
        length = int.from_bytes(rest[:width], "big")
        fields.append(rest[width:width + length].decode())
        rest = rest[width + length:]
    return binding, *fields, rest


def unseal(file, data_key):
    binding, _, _, _, body = split(file)
    size = int.from_bytes(binding[10:14], "big") + 16
    derived = HKDF(SHA256(), 64, binding[14:46], b"chancery envelope v1").derive(data_key)
    if not hmac.compare_digest(derived[32:], binding[46:]):
        raise ValueError("another data key")
    segments = [body[at:at + size] for at in range(0, len(body), size)]
    for index, segment in enumerate(segments):
        nonce = bytes(7) + index.to_bytes(4, "big") + bytes([index == len(segments) - 1])
        yield AESGCM(derived[:32]).decrypt(nonce, segment, binding)


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as sealed:
        for part in unseal(sealed.read(), base64.b64decode(sys.stdin.read())):
            sys.stdout.buffer.write(part)
