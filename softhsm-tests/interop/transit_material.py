"""Keys that come and go: import, wrapping key, export, BYOK export, backup, restore, requests, certificates, agreement."""

import base64
import json

from transit_blobs import (
    HASHES, b64, fixed, hostile_pkcs8, pkcs8, public_pem, wrapped,
)  # fmt: skip
from transit_keys import AEAD, TYPES
from transit_step import CONTEXT, TEXT, read, remove, write

SYMMETRIC = {"aes128-gcm96": 16, "aes256-gcm96": 32, "chacha20-poly1305": 32, "xchacha20-poly1305": 32, "hmac": 48}
ASYMMETRIC = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048")


def blob_of(target, hash_function="SHA256"):
    """A `derive` table: `blob` is `target` wrapped for the server's own key."""
    return {"blob": lambda variables: wrapped(variables["wrapping"], target, hash_function) if "wrapping" in variables else "unset"}


def import_of(name, key, body, target, hash_function="SHA256", path="import", **more):
    """The blob is made while reading the wrapping key, then sent."""
    yield read(f"{name}-wrapping", "wrapping_key", opaque=("public_key",), save={"wrapping": "data.public_key"},
               derive=blob_of(target, hash_function))  # fmt: skip
    yield write(name, f"keys/{key}/{path}", {"ciphertext": "<<blob>>", **body}, **more)


def imports():
    yield write("import/wrapping-post", "wrapping_key", {})
    for kind in (*SYMMETRIC, *ASYMMETRIC):
        key = f"imported-{kind}"
        target = fixed(SYMMETRIC[kind], kind) if kind in SYMMETRIC else pkcs8(kind)
        yield from import_of(f"import/{kind}", key, {"type": kind, "exportable": True, "allow_plaintext_backup": True}, target)
        yield read(f"import/{kind}-read", f"keys/{key}", exact=("public_key",))
        yield write(f"import/{kind}-again", f"keys/{key}/import", {"type": kind, "ciphertext": "<<blob>>"})
        yield write(f"import/{kind}-rotate", f"keys/{key}/rotate")
        yield write(f"import/{kind}-hmac", f"hmac/{key}", {"input": TEXT}, opaque=() if kind == "hmac" else ("hmac",),
                    exact=("hmac",) if kind == "hmac" else ())  # fmt: skip
        for form in ("encryption-key", "signing-key", "hmac-key", "public-key", "certificate-chain"):
            exact = () if form == "hmac-key" and kind != "hmac" else VERSION_KEYS
            yield read(f"import/{kind}-export-{form}", f"export/{form}/{key}", opaque=() if exact else VERSION_KEYS, exact=exact)
        yield from import_of(f"import/{kind}-version", key, {}, fixed(SYMMETRIC[kind], "two") if kind in SYMMETRIC else target,
                             path="import_version")  # fmt: skip
        yield read(f"import/{kind}-version-read", f"keys/{key}", exact=("public_key",))
    for hash_function in (*HASHES, "MD5", "sha256", "sha-256", "", "SHA3-256"):
        wrapping = hash_function if hash_function in HASHES else "SHA256"
        yield from import_of(f"import/hash-{hash_function}", f"hash-{hash_function or 'empty'}", {"hash_function": hash_function},
                             fixed(32), wrapping)  # fmt: skip
    yield from import_of("import/hash-differs", "hash-differs", {"hash_function": "SHA1"}, fixed(32))
    for name, body in (
        ("default-type", {}), ("unknown-type", {"type": "nonsense"}), ("derived", {"derived": True}), ("derived-context", {"derived": True, "context": CONTEXT}),
        ("allow-rotation", {"allow_rotation": True}), ("rotation-period", {"allow_rotation": True, "auto_rotate_period": "1h"}),
        ("period-without", {"auto_rotate_period": "1h"}), ("convergent", {"derived": True, "convergent_encryption": True}),
        ("wrong-size", {"type": "aes128-gcm96"}), ("as-rsa", {"type": "rsa-2048"}), ("as-ed25519", {"type": "ed25519"}),
        ("as-hmac", {"type": "hmac"}), ("as-mldsa", {"type": "mldsa-44"}), ("with-public", {"public_key": "nonsense"}),
        ("external", {"type": "external-key"}),
    ):  # fmt: skip
        yield from import_of(f"import/{name}", f"import-{name}", body, fixed(32))
        yield read(f"import/{name}-read", f"keys/import-{name}", opaque=("public_key",))
    yield write("import/allow-rotation-rotate", "keys/import-allow-rotation/rotate")
    yield from import_of("import/then-version", "import-allow-rotation", {}, fixed(32, "third"), path="import_version")
    for size in (0, 1, 15, 16, 17, 31, 33, 64):
        yield from import_of(f"import/aes-{size}", f"import-aes-{size}", {"type": "aes256-gcm96"}, fixed(size) or b"")
    for size in (16, 31, 32, 512, 513):
        yield from import_of(f"import/hmac-{size}", f"import-hmac-{size}", {"type": "hmac"}, fixed(size))
    for name, text in (("empty", ""), ("not-base64", "!!!"), ("short", b64(b"x" * 100)), ("only-rsa", b64(b"x" * 512)),
                       ("random", b64(fixed(512 + 40, "random"))), ("number", 5), ("null", None)):  # fmt: skip
        yield write(f"import/blob-{name}", f"keys/blob-{name}/import", {"ciphertext": text, "type": "aes256-gcm96"})
        yield read(f"import/blob-{name}-read", f"keys/blob-{name}")
    yield write("import/nothing", "keys/nothing/import", {})
    yield read("import/nothing-read", "keys/nothing")


VERSION_KEYS = tuple(str(number) for number in range(1, 10))


def hostile_imports():
    for name, kind, encoding in hostile_pkcs8():
        yield from import_of(f"hostile/{name}", f"hostile-{name}", {"type": kind}, encoding)
        yield read(f"hostile/{name}-read", f"keys/hostile-{name}", opaque=("public_key",))


def public_imports():
    for kind in ASYMMETRIC:
        key = f"public-{kind}"
        yield write(f"public/{kind}", f"keys/{key}/import", {"type": kind, "public_key": public_pem(kind)})
        yield read(f"public/{kind}-read", f"keys/{key}", exact=("public_key",))
        yield write(f"public/{kind}-sign", f"sign/{key}", {"input": TEXT})
        yield write(f"public/{kind}-encrypt", f"encrypt/{key}", {"plaintext": TEXT}, save={"text": "data.ciphertext"})
        yield write(f"public/{kind}-decrypt", f"decrypt/{key}", {"ciphertext": "<<text>>"})
        yield write(f"public/{kind}-verify", f"verify/{key}", {"input": TEXT, "signature": "vault:v1:AAAA"})
        yield write(f"public/{kind}-hmac", f"hmac/{key}", {"input": TEXT}, opaque=("hmac",))
        yield read(f"public/{kind}-export", f"export/signing-key/{key}")
        yield read(f"public/{kind}-export-public", f"export/public-key/{key}", exact=VERSION_KEYS)
        yield write(f"public/{kind}-rotate", f"keys/{key}/rotate")
        yield from import_of(f"public/{kind}-wrong-private", key, {"version": 1}, pkcs8("ecdsa-p256" if kind != "ecdsa-p256" else "ed25519"),
                             path="import_version")  # fmt: skip
        yield from import_of(f"public/{kind}-private", key, {"version": 1}, pkcs8(kind), path="import_version")
        yield from import_of(f"public/{kind}-private-again", key, {"version": 1}, pkcs8(kind), path="import_version")
        yield write(f"public/{kind}-sign-now", f"sign/{key}", {"input": TEXT}, opaque=("signature",))
        yield write(f"public/{kind}-second", f"keys/{key}/import_version", {"public_key": public_pem(kind)})
        yield read(f"public/{kind}-read-again", f"keys/{key}", exact=("public_key",))
    for name, body in (
        ("for-aes", {"type": "aes256-gcm96", "public_key": public_pem("rsa-2048")}), ("for-hmac", {"type": "hmac", "public_key": public_pem("rsa-2048")}),
        ("other-type", {"type": "ecdsa-p384", "public_key": public_pem("ecdsa-p256")}), ("not-pem", {"type": "rsa-2048", "public_key": "nonsense"}),
        ("empty", {"type": "rsa-2048", "public_key": ""}), ("bad-pem", {"type": "rsa-2048", "public_key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}),
        ("two-pems", {"type": "ecdsa-p256", "public_key": public_pem("ecdsa-p256") * 2}),
        ("small-rsa", {"type": "rsa-2048", "public_key": public_pem("rsa-1024")}), ("odd-curve", {"type": "ecdsa-p256", "public_key": public_pem("ecdsa-p224")}),
        ("version-of-absent", None),
    ):  # fmt: skip
        yield write(f"public/{name}", f"keys/odd-public-{name}/import" + ("_version" if body is None else ""), body or {"public_key": public_pem("rsa-2048")})
        yield read(f"public/{name}-read", f"keys/odd-public-{name}")


def exports():
    types = ("encryption-key", "signing-key", "hmac-key", "public-key", "certificate-chain", "nonsense")
    for kind in (*TYPES, "hmac"):
        key = f"out-{kind}"
        yield write(f"export/make-{kind}", f"keys/{key}", {"type": kind, "exportable": True, "key_size": 32 if kind == "hmac" else 0},
                    opaque=("public_key",))  # fmt: skip
        if kind in ("aes256-gcm96", "ecdsa-p256"):
            yield write(f"export/rotate-{kind}", f"keys/{key}/rotate", opaque=("public_key",))
        for form in types:
            sized = () if kind.startswith(("rsa", "ecdsa")) else VERSION_KEYS
            yield read(f"export/{kind}-{form}", f"export/{form}/{key}", sized=sized, opaque=() if sized else VERSION_KEYS)
            for coding in ("raw", "der", "pem", "x"):
                if kind not in ("rsa-3072", "rsa-4096", "ecdsa-p384"):
                    yield read(f"export/{kind}-{form}-{coding}", f"export/{form}/{key}?format={coding}", opaque=VERSION_KEYS)
    for version in ("1", "2", "3", "0", "-1", "latest", "v1", "x", "99999999999999999999"):
        yield read(f"export/version-{version}", f"export/encryption-key/out-aes256-gcm96/{version}", sized=VERSION_KEYS)
        yield read(f"export/public-version-{version}", f"export/public-key/out-ecdsa-p256/{version}", opaque=VERSION_KEYS)
    for form in types:
        yield read(f"export/refused-{form}", f"export/{form}/aes256-gcm96")
        yield read(f"export/refused-signer-{form}", f"export/{form}/ecdsa-p256", opaque=VERSION_KEYS)
        yield read(f"export/refused-ed25519-{form}", f"export/{form}/ed25519", opaque=VERSION_KEYS)
        yield read(f"export/absent-{form}", f"export/{form}/absent")
        yield read(f"export/derived-{form}", f"export/{form}/derived-ed25519", opaque=VERSION_KEYS)
    yield write("export/by-post", "export/encryption-key/out-aes256-gcm96")


def byok_exports():
    yield write("byok/destination", "keys/destination/import", {"type": "rsa-2048", "public_key": public_pem("rsa-2048")})
    for kind in (*AEAD, "ecdsa-p256", "ed25519", "rsa-2048", "hmac", "mldsa-44"):
        yield read(f"byok/{kind}", f"byok-export/destination/out-{kind}", opaque=VERSION_KEYS)
        yield read(f"byok/{kind}-plain", f"byok-export/destination/{kind}", opaque=VERSION_KEYS)
    for version in ("1", "2", "9", "0", "latest", "x", "-1"):
        yield read(f"byok/version-{version}", f"byok-export/destination/out-aes256-gcm96/{version}", opaque=VERSION_KEYS)
    for name in ("SHA1", "SHA256", "SHA512", "sha256", "MD5", ""):
        yield read(f"byok/hash-{name}", f"byok-export/destination/out-aes256-gcm96?hash={name}", opaque=VERSION_KEYS)
    yield read("byok/to-aes", "byok-export/aes256-gcm96/out-aes256-gcm96")
    yield read("byok/to-absent", "byok-export/absent/out-aes256-gcm96")
    yield read("byok/of-absent", "byok-export/destination/absent")
    yield read("byok/to-itself", "byok-export/out-rsa-2048/out-rsa-2048", opaque=VERSION_KEYS)


def backups():
    for kind in ("aes256-gcm96", "ecdsa-p256", "ed25519", "rsa-2048", "hmac", "mldsa-44", "derived", "convergent"):
        key = f"backup-{kind}"
        body = {"type": kind, "exportable": True, "allow_plaintext_backup": True, "key_size": 32 if kind == "hmac" else 0}
        if kind in ("derived", "convergent"):
            body = {**body, "type": "aes256-gcm96", "derived": True, "convergent_encryption": kind == "convergent"}
        yield write(f"backup/make-{kind}", f"keys/{key}", body, opaque=("public_key",))
        yield write(f"backup/rotate-{kind}", f"keys/{key}/rotate", opaque=("public_key",))
        yield read(f"backup/{kind}", f"backup/{key}", opaque=("backup",), save={"backup": "data.backup"})
        yield read(f"backup/{kind}-read", f"keys/{key}", opaque=("public_key",), skip=("time",))
        yield write(f"backup/{kind}-restore-existing", "restore", {"backup": "<<backup>>"})
        yield write(f"backup/{kind}-restore-named", f"restore/{key}-copy", {"backup": "<<backup>>"})
        yield read(f"backup/{kind}-restored", f"keys/{key}-copy", opaque=("public_key",), skip=("time",))
        yield write(f"backup/{kind}-restore-force", "restore", {"backup": "<<backup>>", "force": True})
        yield write(f"backup/{kind}-restore-again", f"restore/{key}-copy", {"backup": "<<backup>>"})
        yield write(f"backup/{kind}-restore-again-force", f"restore/{key}-copy", {"backup": "<<backup>>", "force": "true"})
    yield read("backup/not-exportable", "backup/aes256-gcm96")
    yield read("backup/not-allowed", "backup/out-aes256-gcm96")
    yield read("backup/absent", "backup/absent")
    spoiled = {
        "empty": "", "not-base64": "!!!", "not-json": b64(b"nonsense"), "array": b64(b"[]"), "object": b64(b"{}"),
        "no-policy": b64(b'{"archived_keys":null}'), "null-policy": b64(b'{"policy":null}'), "number": 5, "null": None,
        "no-keys": b64(json.dumps({"policy": {"name": "x", "type": 0, "keys": {}, "latest_version": 1}}).encode()),
        "bad-type": b64(json.dumps({"policy": {"name": "x", "type": 99, "keys": {"1": {"key": "AAAA"}}, "latest_version": 1}}).encode()),
        "slash-name": b64(json.dumps({"policy": {"name": "a/b", "type": 0, "keys": {"1": {"key": b64(fixed(32))}}, "latest_version": 1}}).encode()),
        "short-key": b64(json.dumps({"policy": {"name": "short", "type": 0, "keys": {"1": {"key": b64(fixed(31))}}, "latest_version": 1}}).encode()),
    }
    for name, text in spoiled.items():
        yield write(f"backup/restore-{name}", "restore", {"backup": text})
        yield write(f"backup/restore-named-{name}", f"restore/bad-{name}", {"backup": text})
        yield read(f"backup/restore-named-{name}-read", f"keys/bad-{name}")
    yield write("backup/restore-nothing", "restore", {})
    yield write("backup/restore-force-word", "restore", {"backup": "<<backup>>", "force": "maybe"})
    yield write("backup/restore-slashes", "restore/a/b", {"backup": "<<backup>>"})


# A request of the key `imported-ecdsa-p256`'s own making is compared by its shape only: signatures are random.
def certificates():
    for key in ("ecdsa-p256", "ed25519", "rsa-2048", "aes256-gcm96", "hmac-32", "mldsa-44", "derived-ed25519", "absent"):
        yield write(f"csr/{key}", f"keys/{key}/csr", {}, opaque=("csr",))
    for name, body in (
        ("version", {"version": 1}), ("version-text", {"version": "1"}), ("version-zero", {"version": 0}), ("version-future", {"version": 9}),
        ("version-negative", {"version": -1}), ("version-word", {"version": "x"}), ("not-pem", {"csr": "nonsense"}), ("empty", {"csr": ""}),
        ("bad-pem", {"csr": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"}),
        ("wrong-pem", {"csr": public_pem("ecdsa-p256")}), ("template", {"csr": template()}),
    ):  # fmt: skip
        yield write(f"csr/{name}", "keys/ecdsa-p256/csr", body, opaque=("csr",))
    good, other = chain("ecdsa-p256"), chain("ecdsa-p384")
    for name, body in (
        ("nothing", {}), ("empty", {"certificate_chain": ""}), ("not-pem", {"certificate_chain": "nonsense"}),
        ("other-key", {"certificate_chain": other}), ("other-version", {"certificate_chain": good, "version": 9}),
        ("no-leaf-first", {"certificate_chain": "".join(reversed(parts(good)))}), ("bad-der", {"certificate_chain": broken(good)}),
        ("key-as-chain", {"certificate_chain": public_pem("ecdsa-p256")}), ("leaf-only", {"certificate_chain": parts(good)[0]}),
        ("good", {"certificate_chain": good}), ("version", {"certificate_chain": good, "version": 1}),
    ):  # fmt: skip
        yield write(f"chain/{name}", "keys/imported-ecdsa-p256/set-certificate", body)
        yield read(f"chain/{name}-read", "keys/imported-ecdsa-p256", exact=("public_key",))
    yield read("chain/export", "export/certificate-chain/imported-ecdsa-p256")
    yield write("chain/aes", "keys/aes256-gcm96/set-certificate", {"certificate_chain": good})
    yield write("chain/absent", "keys/absent/set-certificate", {"certificate_chain": good})
    yield write("chain/derived", "keys/derived-ed25519/set-certificate", {"certificate_chain": good})


def agreements():
    base = {"base_key_name": "imported-ecdsa-p256", "peer_public_key": public_pem("ecdsa-p256")}
    yield write("agree/good", "derive-key/agreed", base)
    yield read("agree/good-read", "keys/agreed")
    for name, body in (
        ("nothing", {}), ("version", {**base, "base_key_version": 1}), ("version-future", {**base, "base_key_version": 99}),
        ("version-negative", {**base, "base_key_version": -1}), ("no-base", {**base, "base_key_name": None}),
        ("absent-base", {**base, "base_key_name": "absent"}), ("aes-base", {**base, "base_key_name": "aes256-gcm96"}),
        ("rsa-base", {**base, "base_key_name": "rsa-2048"}), ("ed25519-base", {**base, "base_key_name": "ed25519"}),
        ("no-peer", {**base, "peer_public_key": None}), ("bad-peer", {**base, "peer_public_key": "nonsense"}),
        ("other-curve", {**base, "peer_public_key": public_pem("ecdsa-p384")}), ("rsa-peer", {**base, "peer_public_key": public_pem("rsa-2048")}),
        ("to-aes128", {**base, "derived_key_type": "aes128-gcm96"}), ("to-chacha", {**base, "derived_key_type": "chacha20-poly1305"}),
        ("to-xchacha", {**base, "derived_key_type": "xchacha20-poly1305"}), ("to-hmac", {**base, "derived_key_type": "hmac"}),
        ("to-rsa", {**base, "derived_key_type": "rsa-2048"}), ("to-nonsense", {**base, "derived_key_type": "nonsense"}),
        ("to-empty", {**base, "derived_key_type": ""}), ("ecdh", {**base, "key_derivation_algorithm": "ecdh"}),
        ("nonsense-algorithm", {**base, "key_derivation_algorithm": "nonsense"}),
    ):  # fmt: skip
        yield write(f"agree/{name}", f"derive-key/agreed-{name}", body)
        yield read(f"agree/{name}-read", f"keys/agreed-{name}")
    yield write("agree/taken", "derive-key/agreed", base)
    yield write("agree/p521", "derive-key/agreed-p521", {"base_key_name": "imported-ecdsa-p521", "peer_public_key": public_pem("ecdsa-p521")})


def caching():
    yield read("cache/read", "cache-config")
    for size in (0, 10, 9, 1, -1, 100, "45", "x", None, 2**40):
        yield write(f"cache/{size}", "cache-config", {"size": size})
        yield read(f"cache/{size}-read", "cache-config")
    yield write("cache/nothing", "cache-config", {})
    yield remove("cache/delete", "cache-config")


# ------------------------------------------------------------------------------------------------- X.509 to hand around


def chain(kind):
    """A leaf for the run's key of a type, and the CA that signed it, as PEM."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID
    from transit_blobs import private_key

    def certificate(subject, public, issuer, signer, authority):
        name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])  # noqa: E731
        builder = (
            x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(public).serial_number(7)
            .not_valid_before(datetime.datetime(2026, 1, 1)).not_valid_after(datetime.datetime(2046, 1, 1))
            .add_extension(x509.BasicConstraints(authority, None), True)
        )  # fmt: skip
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    authority = private_key("rsa-2048")
    leaf = certificate("leaf", private_key(kind).public_key(), "authority", authority, False)
    return leaf + certificate("authority", authority.public_key(), "authority", authority, True)


def parts(pem):
    end = "-----END CERTIFICATE-----\n"
    return [part + end for part in pem.split(end) if part]


def broken(pem):
    lines = parts(pem)[0].splitlines()
    return "\n".join([lines[0], base64.b64encode(b"not a certificate").decode(), lines[-1]])


def template():
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID
    from transit_blobs import private_key

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "template")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(private_key("ecdsa-p384"), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


FAMILIES = (imports, hostile_imports, public_imports, exports, byok_exports, backups, certificates, agreements, caching)
