"""sign, verify, hmac with all their options; the two of `verify`'s forms; batches of each."""

import hashlib

from transit_blobs import b64
from transit_keys import AEAD, ECDSA, HASHES, ML_DSA
from transit_step import BASE64, CONTEXT, KEY_VERSIONS, OTHER_CONTEXT, TEXT, flipped, read, spoiled, write

RSA = "rsa-2048"
SIGNERS = (*ECDSA, "ed25519", RSA, *ML_DSA)
DIGEST = b64(hashlib.sha256(b"the quick brown fox").digest())
# The length of a DER signature varies.
VARIES = ("signature",)


def signed(name="signature"):
    return {name: "data.signature"}


def pair(name, key, options, text=TEXT, url=""):
    """Signs, verifies, and verifies over another text."""
    opaque = VARIES if "ecdsa" in key else ()
    yield write(f"{name}-sign", f"sign/{key}{url}", {"input": text, **options}, opaque=opaque, save=signed())
    yield write(f"{name}-verify", f"verify/{key}{url}", {"input": text, "signature": "<<signature>>", **options})
    other = b64(bytes(32)) if options.get("prehashed") else b64(b"another")
    yield write(f"{name}-other", f"verify/{key}{url}", {"input": other, "signature": "<<signature>>", **options})


def every_signature():
    for key in SIGNERS:
        yield from pair(f"sign/{key}", key, {})
        for algorithm in (*HASHES, "none"):
            yield from pair(f"sign/{key}-{algorithm}", key, {"hash_algorithm": algorithm})
            digest = b64(hashlib.new(algorithm.replace("sha2-", "sha").replace("-", "_"), b"x").digest()) if algorithm != "none" else DIGEST
            yield from pair(f"sign/{key}-{algorithm}-prehashed", key, {"hash_algorithm": algorithm, "prehashed": True}, digest)
        yield from pair(f"sign/{key}-jws", key, {"marshaling_algorithm": "jws"})
        yield from pair(f"sign/{key}-url", key, {}, url="/sha2-512")
        yield from pair(f"sign/{key}-algorithm", key, {"algorithm": "sha2-384"})
        yield from pair(f"sign/{key}-url-wins", key, {"algorithm": "sha2-384", "hash_algorithm": "sha2-224"}, url="/sha2-512")
        yield from pair(f"sign/{key}-member-wins", key, {"algorithm": "sha2-384", "hash_algorithm": "sha2-224"})
        yield from pair(f"sign/{key}-wrong-digest", key, {"prehashed": True}, b64(b"short"))
        yield from pair(f"sign/{key}-empty", key, {}, "")
        for name, options in (
            ("unknown-hash", {"hash_algorithm": "md5"}), ("upper-hash", {"hash_algorithm": "SHA2-256"}), ("number-hash", {"hash_algorithm": 5}),
            ("unknown-marshaling", {"marshaling_algorithm": "xml"}), ("unknown-scheme", {"signature_algorithm": "dsa"}),
            ("prehashed-word", {"prehashed": "maybe"}), ("context", {"context": CONTEXT}), ("bad-context", {"context": "!"}),
            ("url-unknown", None), ("no-input", {"input": None}), ("url-empty", {}),
        ):  # fmt: skip
            url = {"url-unknown": "/md5", "url-empty": "/"}.get(name, "")
            yield from pair(f"sign/{key}-{name}", key, options or {}, url=url)


def rsa_options():
    for scheme in ("pss", "pkcs1v15"):
        for algorithm in (*HASHES, "none"):
            yield from pair(f"rsa/{scheme}-{algorithm}", RSA, {"signature_algorithm": scheme, "hash_algorithm": algorithm})
            length = 32 if algorithm == "none" else hashlib.new(algorithm.replace("sha2-", "sha").replace("-", "_")).digest_size
            yield from pair(f"rsa/{scheme}-{algorithm}-prehashed", RSA, {
                "signature_algorithm": scheme, "hash_algorithm": algorithm, "prehashed": True}, b64(b"d" * length))  # fmt: skip
        for salt in ("auto", "hash", "0", 0, 1, "20", 32, 64, 222, 223, 1000, -1, -2, "-1", "max", "", None, 1.5, True):
            yield from pair(f"rsa/{scheme}-salt-{salt}", RSA, {"signature_algorithm": scheme, "salt_length": salt})
    yield write("rsa/salt-made", f"sign/{RSA}", {"input": TEXT, "salt_length": "hash"}, save=signed())
    for salt in ("auto", "hash", 32, 31, 20):
        yield write(f"rsa/salt-read-{salt}", f"verify/{RSA}", {"input": TEXT, "signature": "<<signature>>", "salt_length": salt})
    yield write("rsa/scheme-differs", f"verify/{RSA}", {"input": TEXT, "signature": "<<signature>>", "signature_algorithm": "pkcs1v15"})
    for name, digest in (("long", b"x" * 246), ("longest", b"x" * 245), ("empty", b"")):
        yield from pair(f"rsa/none-{name}", RSA, {
            "signature_algorithm": "pkcs1v15", "hash_algorithm": "none", "prehashed": True}, b64(digest))  # fmt: skip


def spoiled_signatures():
    for key in (*SIGNERS, "hmac-32"):
        operation, member = ("hmac", "hmac") if key == "hmac-32" else ("sign", "signature")
        opaque = VARIES if "ecdsa" in key else ()
        yield write(f"spoil/{key}", f"{operation}/{key}", {"input": TEXT}, opaque=opaque, save={"text": f"data.{member}"}, derive=spoiled(
            "text", first=lambda text: flipped(text, 0), last=lambda text: flipped(text, -1), v0=lambda text: text.replace("v1", "v0", 1),
            v2=lambda text: text.replace("v1", "v2", 1), negative=lambda text: text.replace("v1", "v-1", 1),
            huge=lambda text: text.replace("v1", "v" + "9" * 30, 1), word=lambda text: text.replace("v1", "vx", 1),
            bare=lambda text: text.split(":")[2], upper=lambda text: text.replace("vault", "VAULT", 1),
            two=lambda text: ":".join(text.split(":")[:2]), empty=lambda text: ":".join(text.split(":")[:2]) + ":",
            not64=lambda text: text[:12] + "!!!!", shorter=lambda text: text[:-8], more=lambda text: text + "AAAA",
            url=lambda text: text[:12] + "-_" + text[14:],
        ))  # fmt: skip
        for spoil in ("text", "first", "last", "v0", "v2", "negative", "huge", "word", "bare", "upper", "two", "empty", "not64", "shorter",
                      "more", "url"):  # fmt: skip
            yield write(f"spoil/{key}-{spoil}", f"verify/{key}", {"input": TEXT, member: f"<<{spoil}>>"})
            yield write(f"spoil/{key}-{spoil}-batch", f"verify/{key}", {"batch_input": [
                {"input": TEXT, member: f"<<{spoil}>>", "reference": "r"}]})  # fmt: skip
        # The base64 of an ECDSA signature in DER is base64url as well, or is not, as chance has it.
        if not key.startswith("ecdsa"):
            yield write(f"spoil/{key}-jws", f"verify/{key}", {"input": TEXT, member: "<<text>>", "marshaling_algorithm": "jws"})
        yield write(f"spoil/{key}-as-other", f"verify/{key}", {"input": TEXT, "hmac" if member == "signature" else "signature": "<<text>>"})
    for name, body in (
        ("neither", {"input": TEXT}), ("both", {"input": TEXT, "signature": "<<text>>", "hmac": "<<text>>"}),
        ("empty-signature", {"input": TEXT, "signature": ""}), ("number-signature", {"input": TEXT, "signature": 5}),
        ("null-signature", {"input": TEXT, "signature": None}), ("no-input", {"signature": "<<text>>"}),
    ):  # fmt: skip
        for key in ("ecdsa-p256", RSA, "hmac-32", "aes256-gcm96"):
            yield write(f"spoil/{name}-{key}", f"verify/{key}", body)


def hmacs():
    for key in ("aes256-gcm96", "ed25519", RSA, "hmac-32", "hmac-512", "derived-aes256-gcm96", "mldsa-44"):
        for algorithm in (*HASHES, "none", "md5"):
            yield write(f"hmac/{key}-{algorithm}", f"hmac/{key}/{algorithm}", {"input": TEXT}, save={"mac": "data.hmac"})
            yield write(f"hmac/{key}-{algorithm}-verify", f"verify/{key}/{algorithm}", {"input": TEXT, "hmac": "<<mac>>"})
            yield write(f"hmac/{key}-{algorithm}-other", f"verify/{key}/{algorithm}", {"input": b64(b"other"), "hmac": "<<mac>>"})
        yield write(f"hmac/{key}-member", f"hmac/{key}", {"input": TEXT, "algorithm": "sha2-512"}, save={"mac": "data.hmac"})
        yield write(f"hmac/{key}-member-verify", f"verify/{key}", {"input": TEXT, "hmac": "<<mac>>", "algorithm": "sha2-512"})
        yield write(f"hmac/{key}-member-verify-hash", f"verify/{key}", {"input": TEXT, "hmac": "<<mac>>", "hash_algorithm": "sha2-512"})
        yield write(f"hmac/{key}-hash-member", f"hmac/{key}", {"input": TEXT, "hash_algorithm": "sha2-512"})
    for key in (*AEAD, *ECDSA, *ML_DSA):
        yield write(f"hmac/{key}", f"hmac/{key}", {"input": TEXT})
    for name, text in BASE64:
        yield write(f"hmac/base64-{name}", "hmac/texts", {"input": text})
        yield write(f"hmac/base64-{name}-batch", "hmac/texts", {"batch_input": [{"input": text}]})
        yield write(f"sign/base64-{name}", "sign/ed25519", {"input": text})
        yield write(f"sign/base64-{name}-batch", "sign/ed25519", {"batch_input": [{"input": text}]})
        yield write(f"verify/base64-{name}", "verify/ed25519", {"input": text, "signature": "vault:v1:AAAA"})
    for name, version in KEY_VERSIONS:
        yield write(f"hmac/version-{name}", "hmac/texts", {"input": TEXT, "key_version": version})
        yield write(f"sign/version-{name}", "sign/ed25519", {"input": TEXT, "key_version": version})
    for operation in ("hmac", "sign", "verify"):
        yield write(f"{operation}/absent", f"{operation}/absent", {"input": TEXT, "signature": "vault:v1:AAAA"})
        yield write(f"{operation}/nothing", f"{operation}/ed25519", {})
        yield write(f"{operation}/not-json", f"{operation}/ed25519", raw="{")
        yield read(f"{operation}/by-get", f"{operation}/ed25519")
    yield write("sign/aes", "sign/aes256-gcm96", {"input": TEXT})
    yield write("sign/hmac", "sign/hmac-32", {"input": TEXT})


def signing_batches():
    for key in ("ed25519", "ecdsa-p256", RSA, "mldsa-44"):
        opaque = VARIES if "ecdsa" in key else ()
        yield write(f"batch-sign/{key}", f"sign/{key}", {"batch_input": [
            {"input": TEXT, "reference": "a"}, {"input": "!!", "reference": "b"}, {}, {"input": ""}]}, opaque=opaque,
            save={"one": "data.batch_results.0.signature"})  # fmt: skip
        yield write(f"batch-sign/{key}-verify", f"verify/{key}", {"batch_input": [
            {"input": TEXT, "signature": "<<one>>", "reference": "a"}, {"input": b64(b"x"), "signature": "<<one>>"},
            {"input": TEXT, "signature": "vault:v1:!!", "reference": "c"}, {"input": TEXT, "signature": ""}, {"input": TEXT}]})  # fmt: skip
    yield write("batch-hmac/good", "hmac/texts", {"batch_input": [
        {"input": TEXT, "reference": "a"}, {"input": "!!", "reference": "b"}, {}]}, save={"one": "data.batch_results.0.hmac"})  # fmt: skip
    yield write("batch-hmac/verify", "verify/texts", {"batch_input": [
        {"input": TEXT, "hmac": "<<one>>"}, {"input": b64(b"x"), "hmac": "<<one>>", "reference": "r"}]})  # fmt: skip
    yield write("batch-hmac/mixed", "verify/ed25519", {"batch_input": [
        {"input": TEXT, "hmac": "<<one>>"}, {"input": TEXT, "signature": "<<one>>"}]})  # fmt: skip
    for operation, item in (("sign", {"input": TEXT}), ("hmac", {"input": TEXT}), ("verify", {"input": TEXT, "hmac": "<<one>>"})):
        for name, batch in (
            ("empty", []), ("null", None), ("object", {}), ("text", "[]"), ("of-texts", ["a"]), ("of-null", [None]), ("of-empty", [{}]),
            ("number-input", [{**item, "input": 5}]), ("null-input", [{**item, "input": None}]), ("list-input", [{**item, "input": []}]),
            ("unknown-member", [{**item, "x": 1}]), ("number-reference", [{**item, "reference": 5}]),
            ("version", [{**item, "key_version": 1}]), ("future", [{**item, "key_version": 9}]), ("negative", [{**item, "key_version": -9}]),
        ):  # fmt: skip
            yield write(f"batch-{operation}/{name}", f"{operation}/ed25519", {"batch_input": batch})
        yield write(f"batch-{operation}/and-single", f"{operation}/ed25519", {**item, "batch_input": [item]})
        for code in (207, 200, "x"):
            yield write(f"batch-{operation}/code-{code}", f"{operation}/ed25519", {
                "batch_input": [item, {**item, "input": "!"}], "partial_failure_response_code": code})  # fmt: skip


def derived_signatures():
    key = "derived-ed25519"
    yield write("derived/sign", f"sign/{key}", {"input": TEXT, "context": CONTEXT}, opaque=("public_key",), save=signed())
    yield write("derived/verify", f"verify/{key}", {"input": TEXT, "context": CONTEXT, "signature": "<<signature>>"})
    yield write("derived/other", f"verify/{key}", {"input": TEXT, "context": OTHER_CONTEXT, "signature": "<<signature>>"})
    yield write("derived/without", f"sign/{key}", {"input": TEXT})
    yield write("derived/verify-without", f"verify/{key}", {"input": TEXT, "signature": "<<signature>>"})
    yield write("derived/bad-context", f"sign/{key}", {"input": TEXT, "context": "!"})
    yield write("derived/verify-bad-context", f"verify/{key}", {"input": TEXT, "context": "!", "signature": "<<signature>>"})
    yield write("derived/batch", f"sign/{key}", {"batch_input": [
        {"input": TEXT, "context": CONTEXT}, {"input": TEXT, "context": OTHER_CONTEXT, "reference": "r"}]},
        opaque=("publickey", "public_key"), save={"signature": "data.batch_results.1.signature"})  # fmt: skip
    yield write("derived/batch-verify", f"verify/{key}", {"batch_input": [
        {"input": TEXT, "context": CONTEXT, "signature": "<<signature>>"},
        {"input": TEXT, "context": OTHER_CONTEXT, "signature": "<<signature>>"}]})  # fmt: skip
    yield write("derived/batch-mixed", f"sign/{key}", {"batch_input": [{"input": TEXT, "context": CONTEXT}, {"input": TEXT}]},
                opaque=("publickey", "public_key"))  # fmt: skip
    yield write("derived/hmac", f"hmac/{key}", {"input": TEXT})
    yield write("derived/encrypt", f"encrypt/{key}", {"plaintext": TEXT, "context": CONTEXT})


FAMILIES = (every_signature, rsa_options, spoiled_signatures, hmacs, signing_batches, derived_signatures)
