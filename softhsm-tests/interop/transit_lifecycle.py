"""config, rotate, trim, soft deletion and restoring: the bounds of versions and what old ciphertexts do at each."""

from transit_step import CONTEXT, TEXT, read, remove, spoiled, write

NUMBERS = (-1, 0, 1, 2, 3, 4, 99, "2", "x", "", None, 2**63, 1.5, True, [1])


def bounds():
    yield write("bounds/key", "keys/bounds", {"type": "aes256-gcm96"})
    for version in (1, 2, 3, 4):
        yield write(f"bounds/encrypt-{version}", "encrypt/bounds", {"plaintext": TEXT}, save={f"old{version}": "data.ciphertext"})
        yield write(f"bounds/hmac-{version}", "hmac/bounds", {"input": TEXT}, save={f"mac{version}": "data.hmac"})
        if version < 4:
            yield write(f"bounds/rotate-{version}", "keys/bounds/rotate")
    yield read("bounds/read", "keys/bounds")
    for member in ("min_decryption_version", "min_encryption_version"):
        for number in NUMBERS:
            yield write(f"bounds/{member}-{number}", "keys/bounds/config", {member: number})
            yield read(f"bounds/{member}-{number}-read", "keys/bounds")
        yield write(f"bounds/{member}-back", "keys/bounds/config", {"min_decryption_version": 1, "min_encryption_version": 0})
    for low, high in ((2, 1), (3, 3), (2, 4), (4, 2), (0, 0), (5, 5), (1, 5)):
        yield write(f"bounds/both-{low}-{high}", "keys/bounds/config", {"min_decryption_version": low, "min_encryption_version": high})
        yield read(f"bounds/both-{low}-{high}-read", "keys/bounds")
    yield write("bounds/set", "keys/bounds/config", {"min_decryption_version": 2, "min_encryption_version": 3})
    for version in (1, 2, 3, 4):
        yield write(f"bounds/old-{version}", "decrypt/bounds", {"ciphertext": f"<<old{version}>>"}, exact=("plaintext",))
        yield write(f"bounds/mac-{version}", "verify/bounds", {"input": TEXT, "hmac": f"<<mac{version}>>"})
        yield write(f"bounds/rewrap-{version}", "rewrap/bounds", {"ciphertext": f"<<old{version}>>"})
        yield write(f"bounds/with-{version}", "encrypt/bounds", {"plaintext": TEXT, "key_version": version})
        yield write(f"bounds/hmac-with-{version}", "hmac/bounds", {"input": TEXT, "key_version": version})
        yield write(f"bounds/rewrap-with-{version}", "rewrap/bounds", {"ciphertext": "<<old4>>", "key_version": version})
        yield write(f"bounds/datakey-with-{version}", "datakey/wrapped/bounds", {"key_version": version})
    yield write("bounds/old-batch", "decrypt/bounds", {"batch_input": [{"ciphertext": f"<<old{version}>>"} for version in (1, 2, 3, 4)]},
                exact=("plaintext",))  # fmt: skip
    yield read("bounds/export-early", "export/encryption-key/bounds")


def configuration():
    yield write("config/key", "keys/config", {"type": "aes256-gcm96"})
    for name, body in (
        ("nothing", {}), ("unknown-member", {"nonsense": 1}), ("exportable", {"exportable": True}), ("exportable-off", {"exportable": False}),
        ("exportable-word", {"exportable": "maybe"}), ("backup", {"allow_plaintext_backup": True}),
        ("backup-off", {"allow_plaintext_backup": False}), ("deletion", {"deletion_allowed": True}), ("deletion-off", {"deletion_allowed": False}),
        ("deletion-word", {"deletion_allowed": "maybe"}), ("rotate", {"auto_rotate_period": "1h"}), ("rotate-short", {"auto_rotate_period": "1s"}),
        ("rotate-zero", {"auto_rotate_period": 0}), ("rotate-number", {"auto_rotate_period": 86400}),
        ("rotate-negative", {"auto_rotate_period": -1}), ("rotate-word", {"auto_rotate_period": "soon"}),
        ("rotate-null", {"auto_rotate_period": None}), ("type", {"type": "rsa-2048"}), ("null", {"min_decryption_version": None}),
        ("good-and-bad", {"deletion_allowed": True, "min_decryption_version": 9}),
    ):  # fmt: skip
        yield write(f"config/{name}", "keys/config/config", body)
        yield read(f"config/{name}-read", "keys/config")
    yield write("config/absent", "keys/absent/config", {"deletion_allowed": True})
    yield write("config/not-json", "keys/config/config", raw="{")
    yield write("config/rotate-absent", "keys/absent/rotate")
    yield write("config/rotate-nonsense", "keys/config/rotate", {"nonsense": 1})
    yield write("config/rotate-reference", "keys/config/rotate", {"external_key_ref": "a:b"})


def trimming():
    yield write("trim/early", "keys/bounds/trim", {"min_available_version": 1})
    yield write("trim/key", "keys/trim")
    for version in (1, 2, 3, 4):
        yield write(f"trim/encrypt-{version}", "encrypt/trim", {"plaintext": TEXT}, save={f"old{version}": "data.ciphertext"})
        yield write(f"trim/rotate-{version}", "keys/trim/rotate")
    for number in NUMBERS:
        yield write(f"trim/unset-{number}", "keys/trim/trim", {"min_available_version": number})
    yield write("trim/nothing", "keys/trim/trim", {})
    yield write("trim/minimum", "keys/trim/config", {"min_decryption_version": 3})
    yield write("trim/half-set", "keys/trim/trim", {"min_available_version": 2})
    yield write("trim/minima", "keys/trim/config", {"min_decryption_version": 3, "min_encryption_version": 4})
    for number in (5, 4, 99, -1, "x", 0, None):
        yield write(f"trim/set-{number}", "keys/trim/trim", {"min_available_version": number})
    yield write("trim/two", "keys/trim/trim", {"min_available_version": 2})
    yield read("trim/two-read", "keys/trim")
    for number in (1, 2, 3, 4):
        yield write(f"trim/again-{number}", "keys/trim/trim", {"min_available_version": number})
        yield read(f"trim/again-{number}-read", "keys/trim")
    for low in (0, 1, 2, 3, 4):
        yield write(f"trim/below-{low}", "keys/trim/config", {"min_decryption_version": low})
        yield write(f"trim/below-encryption-{low}", "keys/trim/config", {"min_encryption_version": low})
        yield read(f"trim/below-{low}-read", "keys/trim")
    for version in (1, 2, 3, 4):
        yield write(f"trim/old-{version}", "decrypt/trim", {"ciphertext": f"<<old{version}>>"}, exact=("plaintext",))
    yield write("trim/absent", "keys/absent/trim", {"min_available_version": 1})
    yield write("trim/rotate", "keys/trim/rotate")
    yield read("trim/rotated", "keys/trim")


def soft_deletion():
    yield write("soft/key", "keys/soft", {"type": "aes256-gcm96", "exportable": True, "allow_plaintext_backup": True})
    yield write("soft/signer", "keys/soft-signer", {"type": "ed25519"}, opaque=("public_key",))
    yield write("soft/encrypt", "encrypt/soft", {"plaintext": TEXT}, save={"text": "data.ciphertext"})
    yield write("soft/sign", "sign/soft-signer", {"input": TEXT}, save={"signature": "data.signature"})
    yield remove("soft/absent", "keys/absent/soft-delete")
    yield write("soft/restore-absent", "keys/absent/soft-delete-restore")
    yield write("soft/restore-live", "keys/soft/soft-delete-restore")
    yield write("soft/by-post", "keys/soft/soft-delete")
    for key in ("soft", "soft-signer"):
        yield remove(f"soft/delete-{key}", f"keys/{key}/soft-delete", opaque=("public_key",))
        yield remove(f"soft/delete-{key}-again", f"keys/{key}/soft-delete", opaque=("public_key",))
        yield read(f"soft/read-{key}", f"keys/{key}", opaque=("public_key",))
    for name, path, body in (
        ("encrypt", "encrypt/soft", {"plaintext": TEXT}), ("encrypt-batch", "encrypt/soft", {"batch_input": [{"plaintext": TEXT}]}),
        ("decrypt", "decrypt/soft", {"ciphertext": "<<text>>"}), ("decrypt-batch", "decrypt/soft", {"batch_input": [{"ciphertext": "<<text>>"}]}),
        ("rewrap", "rewrap/soft", {"ciphertext": "<<text>>"}), ("rewrap-batch", "rewrap/soft", {"batch_input": [{"ciphertext": "<<text>>"}]}),
        ("datakey", "datakey/plaintext/soft", {}), ("hmac", "hmac/soft", {"input": TEXT}),
        ("hmac-batch", "hmac/soft", {"batch_input": [{"input": TEXT}]}), ("sign", "sign/soft-signer", {"input": TEXT}),
        ("sign-batch", "sign/soft-signer", {"batch_input": [{"input": TEXT}]}),
        ("verify", "verify/soft-signer", {"input": TEXT, "signature": "<<signature>>"}),
        ("verify-batch", "verify/soft-signer", {"batch_input": [{"input": TEXT, "signature": "<<signature>>"}]}),
        ("rotate", "keys/soft/rotate", {}), ("config", "keys/soft/config", {"deletion_allowed": True}),
        ("trim", "keys/soft/trim", {"min_available_version": 1}), ("make", "keys/soft", {}), ("bad-text", "encrypt/soft", {"plaintext": "!"}),
        ("csr", "keys/soft-signer/csr", {}), ("import-version", "keys/soft/import_version", {"ciphertext": "AAAA"}),
    ):  # fmt: skip
        yield write(f"soft/then-{name}", path, body, opaque=("public_key",))
    yield read("soft/then-export", "export/encryption-key/soft")
    yield read("soft/then-backup", "backup/soft")
    yield remove("soft/then-delete", "keys/soft")
    yield write("soft/restore", "keys/soft/soft-delete-restore")
    yield write("soft/restore-again", "keys/soft/soft-delete-restore")
    yield read("soft/restored", "keys/soft")
    yield write("soft/decrypts-again", "decrypt/soft", {"ciphertext": "<<text>>"}, exact=("plaintext",))
    yield write("soft/allow", "keys/soft/config", {"deletion_allowed": True})
    yield remove("soft/delete-last", "keys/soft/soft-delete")
    yield remove("soft/delete-for-good", "keys/soft")
    yield read("soft/gone", "keys/soft")


def old_signatures():
    for kind in ("ecdsa-p256", "ed25519", "rsa-2048"):
        opaque, key = ("public_key", *(("signature",) if kind == "ecdsa-p256" else ())), f"aging-{kind}"
        yield write(f"aging/{kind}", f"keys/{key}", {"type": kind}, opaque=opaque)
        yield write(f"aging/{kind}-sign", f"sign/{key}", {"input": TEXT}, opaque=opaque, save={"one": "data.signature"},
                    derive=spoiled("one", relabelled=lambda text: text.replace("v1", "v2", 1)))  # fmt: skip
        yield write(f"aging/{kind}-rotate", f"keys/{key}/rotate", opaque=opaque)
        yield write(f"aging/{kind}-sign-two", f"sign/{key}", {"input": TEXT}, opaque=opaque, save={"two": "data.signature"})
        yield write(f"aging/{kind}-sign-old", f"sign/{key}", {"input": TEXT, "key_version": 1}, opaque=opaque)
        yield write(f"aging/{kind}-context", f"sign/{key}", {"input": TEXT, "context": CONTEXT}, opaque=opaque)
        for name in ("one", "two", "relabelled"):
            yield write(f"aging/{kind}-verify-{name}", f"verify/{key}", {"input": TEXT, "signature": f"<<{name}>>"})
        yield write(f"aging/{kind}-config", f"keys/{key}/config", {"min_decryption_version": 2}, opaque=opaque)
        yield write(f"aging/{kind}-too-old", f"verify/{key}", {"input": TEXT, "signature": "<<one>>"})
        yield write(f"aging/{kind}-too-old-batch", f"verify/{key}", {"batch_input": [{"input": TEXT, "signature": "<<one>>"}]})
        yield write(f"aging/{kind}-sign-too-old", f"sign/{key}", {"input": TEXT, "key_version": 1}, opaque=opaque)
        yield read(f"aging/{kind}-read", f"keys/{key}", opaque=opaque)


FAMILIES = (bounds, configuration, trimming, soft_deletion, old_signatures)
