"""Transit keys: made, shown, listed, deleted; hashes and random bytes, which need none."""

from transit_step import BASE64, TEXT, lists, read, remove, write

AEAD = ("aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305")
ECDSA = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521")
ML_DSA = ("mldsa-44", "mldsa-65", "mldsa-87")
TYPES = (*AEAD, *ECDSA, "ed25519", "rsa-2048", "rsa-3072", "rsa-4096", *ML_DSA)
HASHES = (
    "sha1", "sha2-224", "sha2-256", "sha2-384", "sha2-512", "sha3-224", "sha3-256", "sha3-384", "sha3-512",
)  # fmt: skip


def creation():
    yield lists("keys/list-none", "keys")
    yield read("keys/list-none-query", "keys?list=true")
    yield write("keys/default", "keys/default")
    for name in TYPES:
        yield write(f"keys/make-{name}", f"keys/{name}", {"type": name}, opaque=("public_key",))
        yield read(f"keys/read-{name}", f"keys/{name}", opaque=("public_key",))
        yield write(f"keys/again-{name}", f"keys/{name}", {"type": name}, opaque=("public_key",))
        yield write(f"keys/derived-{name}", f"keys/derived-{name}", {"type": name, "derived": True}, opaque=("public_key",))
        yield write(f"keys/convergent-{name}", f"keys/convergent-{name}",
                    {"type": name, "derived": True, "convergent_encryption": True}, opaque=("public_key",))  # fmt: skip
        yield read(f"keys/read-convergent-{name}", f"keys/convergent-{name}", opaque=("public_key",))
    yield write("keys/again-other-type", "keys/aes256-gcm96", {"type": "rsa-2048"})
    yield write("keys/again-other-options", "keys/aes256-gcm96", {"exportable": True, "derived": True})
    yield read("keys/again-unchanged", "keys/aes256-gcm96")
    for size in (16, 31, 32, 64, 512, 513, 0, -1, "48", "x", 1.5, 2**40):
        yield write(f"keys/hmac-{size}", f"keys/hmac-{size}", {"type": "hmac", "key_size": size})
    yield read("keys/hmac-read", "keys/hmac-64")
    yield write("keys/hmac-no-size", "keys/hmac-no-size", {"type": "hmac"})
    yield write("keys/hmac-derived", "keys/hmac-derived", {"type": "hmac", "key_size": 32, "derived": True})
    yield write("keys/size-for-aes", "keys/size-for-aes", {"type": "aes256-gcm96", "key_size": 32})
    for name, body in (
        ("unknown-type", {"type": "nonsense"}), ("upper-type", {"type": "AES256-GCM96"}), ("empty-type", {"type": ""}),
        ("number-type", {"type": 5}), ("null-type", {"type": None}), ("list-type", {"type": ["aes256-gcm96"]}),
        ("convergent-alone", {"convergent_encryption": True}), ("derived-text", {"derived": "true"}),
        ("derived-number", {"derived": 1}), ("derived-word", {"derived": "maybe"}), ("exportable", {"exportable": True}),
        ("backup", {"allow_plaintext_backup": True}), ("both", {"exportable": "1", "allow_plaintext_backup": "t"}),
        ("rotate-hour", {"auto_rotate_period": "1h"}), ("rotate-seconds", {"auto_rotate_period": 7200}),
        ("rotate-text-seconds", {"auto_rotate_period": "7200"}), ("rotate-days", {"auto_rotate_period": "30d"}),
        ("rotate-zero", {"auto_rotate_period": 0}), ("rotate-short", {"auto_rotate_period": "59m"}),
        ("rotate-negative", {"auto_rotate_period": -3600}), ("rotate-word", {"auto_rotate_period": "soon"}),
        ("rotate-fraction", {"auto_rotate_period": "1.5h"}), ("unknown-member", {"nonsense": 1}),
        ("context", {"context": "YQ=="}), ("external-missing", {"type": "external-key"}),
        ("external-ref-on-aes", {"external_key_ref": "a:b"}),
    ):  # fmt: skip
        yield write(f"keys/make-{name}", f"keys/odd-{name}", body)
        yield read(f"keys/read-{name}", f"keys/odd-{name}")
    for name in ("With.Dots", "with-dash", "under_score", "UPPER", "1", "a b", "ä", "-", ".", "a:b", "a@b", "x" * 300):
        yield write(f"keys/name-{name[:20]}", f"keys/{name}", body_compared=name != ".")
        yield read(f"keys/name-read-{name[:20]}", f"keys/{name}", body_compared=name != ".")


def reading():
    for path in ("keys", "keys?after=ed25519", "keys?limit=3", "keys?after=ed25519&limit=2", "keys?limit=0", "keys?limit=-1",
                 "keys?limit=x", "keys?after=zzzzzz", "keys?limit=100000", "keys/"):  # fmt: skip
        yield lists(f"read/list-{path}", path, unordered=())
    yield read("read/list-get", "keys?list=true&limit=2")
    yield read("read/list-plain-get", "keys")
    yield read("read/absent", "keys/absent")
    yield read("read/derived-ed25519", "keys/derived-ed25519", opaque=("public_key",))
    yield read("read/derived-ed25519-context", "keys/derived-ed25519?context=YWJj", opaque=("public_key",))
    yield read("read/derived-ed25519-bad-context", "keys/derived-ed25519?context=!!!")
    yield read("read/derived-aes-context", "keys/derived-aes256-gcm96?context=YWJj")
    yield read("read/context-on-plain", "keys/ed25519?context=YWJj", opaque=("public_key",))
    yield read("read/context-twice", "keys/ed25519?context=YWJj&context=YQ==", opaque=("public_key",))
    yield write("read/unknown-below", "keys/aes256-gcm96/nonsense")
    yield read("read/config-by-get", "keys/aes256-gcm96/config")
    yield remove("read/encrypt-by-delete", "encrypt/aes256-gcm96")
    yield read("read/encrypt-by-get", "encrypt/aes256-gcm96")
    yield read("read/unknown-path", "nonsense")
    yield write("read/empty-name", "keys/")
    yield write("read/not-json", "keys/raw", raw="{")
    yield write("read/empty-body", "keys/empty-body", raw="")
    yield write("read/json-array", "keys/raw-array", raw="[]")


def deletion():
    yield remove("delete/refused", "keys/default")
    yield remove("delete/absent", "keys/absent")
    yield write("delete/allow", "keys/default/config", {"deletion_allowed": True})
    yield remove("delete/done", "keys/default")
    yield read("delete/gone", "keys/default")
    yield remove("delete/again", "keys/default")
    yield write("delete/encrypt-gone", "decrypt/default", {"ciphertext": "vault:v1:" + "A" * 40})
    yield write("delete/made-again", "keys/default")
    yield read("delete/new-version", "keys/default")


def hashing():
    for algorithm in (*HASHES, "none", "md5", "SHA2-256", "sha2-512/256"):
        for form in ("hex", "base64"):
            yield write(f"hash/{algorithm}-{form}", f"hash/{algorithm}", {"input": TEXT, "format": form}, exact=("sum",))
        yield write(f"hash/{algorithm}-member", "hash", {"input": TEXT, "algorithm": algorithm}, exact=("sum",))
    yield write("hash/default", "hash", {"input": TEXT}, exact=("sum",))
    yield write("hash/url-wins", "hash/sha2-512", {"input": TEXT, "algorithm": "sha2-256"}, exact=("sum",))
    yield write("hash/empty", "hash", {"input": ""}, exact=("sum",))
    yield write("hash/no-input", "hash", {})
    yield write("hash/format", "hash", {"input": TEXT, "format": "octal"})
    yield write("hash/format-upper", "hash", {"input": TEXT, "format": "HEX"})
    for name, text in BASE64:
        yield write(f"hash/base64-{name}", "hash", {"input": text}, exact=("sum",))


def random_bytes():
    for path in ("random", "random/16", "random/platform", "random/platform/16", "random/seal/16", "random/all/16", "random/0",
                 "random/-1", "random/x", "random/nonsense/16", "random/131072", "random/131073", "random/99999999999999999999",
                 "random/platform/0", "random/platform/x"):  # fmt: skip
        yield write(f"random/{path}", path)
        yield write(f"random/{path}-hex", path, {"format": "hex"})
    for name, body in (
        ("bytes", {"bytes": 8}), ("bytes-text", {"bytes": "8"}), ("bytes-zero", {"bytes": 0}), ("bytes-negative", {"bytes": -8}),
        ("bytes-word", {"bytes": "many"}), ("format", {"format": "octal"}), ("source", {"source": "seal"}),
        ("source-unknown", {"source": "dice"}),
    ):  # fmt: skip
        yield write(f"random/{name}", "random", body)
    yield write("random/url-wins", "random/16", {"bytes": 8})
    yield read("random/by-get", "random/16")


FAMILIES = (creation, reading, deletion, hashing, random_bytes)
