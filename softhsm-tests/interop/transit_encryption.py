"""encrypt, decrypt, rewrap, datakey: texts, batches, contexts, associated data, versions, and everything malformed."""

from transit_keys import AEAD
from transit_step import (
    ASSOCIATED, BASE64, CONTEXT, KEY_VERSIONS, OTHER_CONTEXT, TEXT, cut, flipped, parted, read, spoiled, write,
)  # fmt: skip

RSA = ("rsa-2048", "rsa-3072", "rsa-4096")
CODES = (("200", 200), ("207", 207), ("text", "202"), ("zero", 0), ("low", 99), ("high", 600), ("word", "many"), ("negative", -1))


def sealed(name):
    return {name: "data.ciphertext"}


def every_cipher():
    """What one cipher does with texts and associated data, whole and spoiled."""
    for kind in (*AEAD, *RSA):
        yield write(f"cipher/{kind}", f"encrypt/{kind}", {"plaintext": TEXT}, save=sealed("text"), derive=spoiled(
            "text", nonce=lambda text: flipped(text, 0), middle=lambda text: flipped(text, 30), tag=lambda text: flipped(text, -1),
            longer=lambda text: text[:-4].rstrip("=") + "AAAA", none=lambda text: cut(text, 0), short=lambda text: cut(text, 11),
            only_nonce=lambda text: cut(text, 12), almost=lambda text: cut(text, 27), only_tag=lambda text: cut(text, 28),
            last=lambda text: cut(text, -1), zero=lambda text: text.replace("v1", "v0", 1),
            future=lambda text: text.replace("v1", "v2", 1), negative=lambda text: text.replace("v1", "v-1", 1),
            huge=lambda text: text.replace("v1", "v" + "9" * 30, 1), word=lambda text: text.replace("v1", "vx", 1),
            nothing=lambda text: text.replace("v1", "v", 1), padded=lambda text: text.replace("v1", "v01", 1),
            plus=lambda text: text.replace("v1", "v+1", 1), upper=lambda text: text.replace("vault", "VAULT", 1),
            bare=lambda text: text.split(":")[2], two=lambda text: ":".join(text.split(":")[:2]),
            url=lambda text: text.replace("+", "-").replace("/", "_") + "-", more=lambda text: text + ":AAAA",
            spaced=lambda text: text + " ", lines=lambda text: text[:20] + "\n" + text[20:], unpadded=lambda text: text.rstrip("=") + "A",
        ))  # fmt: skip
        yield write(f"cipher/{kind}-opens", f"decrypt/{kind}", {"ciphertext": "<<text>>"}, exact=("plaintext",))
        for spoil in ("nonce", "middle", "tag", "longer", "none", "short", "only_nonce", "almost", "only_tag", "last", "zero", "future",
                      "negative", "huge", "word", "nothing", "padded", "plus", "upper", "bare", "two", "url", "more", "spaced", "lines",
                      "unpadded"):  # fmt: skip
            yield write(f"cipher/{kind}-{spoil}", f"decrypt/{kind}", {"ciphertext": f"<<{spoil}>>"})
            if kind in ("aes256-gcm96", "rsa-2048"):
                yield write(f"cipher/{kind}-rewrap-{spoil}", f"rewrap/{kind}", {"ciphertext": f"<<{spoil}>>"})
        yield write(f"cipher/{kind}-associated", f"encrypt/{kind}", {"plaintext": TEXT, "associated_data": ASSOCIATED},
                    save=sealed("bound"))  # fmt: skip
        yield write(f"cipher/{kind}-associated-right", f"decrypt/{kind}", {"ciphertext": "<<bound>>", "associated_data": ASSOCIATED},
                    exact=("plaintext",))  # fmt: skip
        yield write(f"cipher/{kind}-associated-wrong", f"decrypt/{kind}", {"ciphertext": "<<bound>>", "associated_data": TEXT})
        yield write(f"cipher/{kind}-associated-missing", f"decrypt/{kind}", {"ciphertext": "<<bound>>"})
        yield write(f"cipher/{kind}-associated-extra", f"decrypt/{kind}", {"ciphertext": "<<text>>", "associated_data": ASSOCIATED})
        yield write(f"cipher/{kind}-empty", f"encrypt/{kind}", {"plaintext": ""}, save=sealed("empty"))
        yield write(f"cipher/{kind}-empty-opens", f"decrypt/{kind}", {"ciphertext": "<<empty>>"}, exact=("plaintext",))
        yield write(f"cipher/{kind}-300-bytes", f"encrypt/{kind}", {"plaintext": "A" * 400})
        yield write(f"cipher/{kind}-600-bytes", f"encrypt/{kind}", {"plaintext": "A" * 800})
        yield write(f"cipher/{kind}-nonce", f"encrypt/{kind}", {"plaintext": TEXT, "nonce": "AAAAAAAAAAAAAAAA"})
        yield write(f"cipher/{kind}-context", f"encrypt/{kind}", {"plaintext": TEXT, "context": CONTEXT})
    yield write("cipher/rsa-padding", "encrypt/rsa-2048", {"plaintext": TEXT, "padding_scheme": "oaep"})
    for kind in ("ecdsa-p256", "ed25519", "hmac-32", "mldsa-44"):
        yield write(f"cipher/{kind}-cannot", f"encrypt/{kind}", {"plaintext": TEXT})
        yield write(f"cipher/{kind}-cannot-open", f"decrypt/{kind}", {"ciphertext": "<<text>>"})
        yield write(f"cipher/{kind}-cannot-rewrap", f"rewrap/{kind}", {"ciphertext": "<<text>>"})
        yield write(f"cipher/{kind}-cannot-datakey", f"datakey/plaintext/{kind}", {})


def malformed():
    """Members of the wrong kind, on a key with three versions."""
    yield write("malformed/key", "keys/texts")
    yield write("malformed/rotate", "keys/texts/rotate")
    yield write("malformed/rotate-again", "keys/texts/rotate")
    yield write("malformed/encrypt", "encrypt/texts", {"plaintext": TEXT}, save=sealed("text"))
    for name, text in BASE64:
        for member in ("plaintext", "associated_data", "context", "nonce"):
            body = {"plaintext": TEXT, member: text}
            yield write(f"malformed/{member}-{name}", "encrypt/texts", body)
            yield write(f"malformed/{member}-{name}-batch", "encrypt/texts", {"batch_input": [{"plaintext": TEXT}, body]})
        yield write(f"malformed/ciphertext-{name}", "decrypt/texts", {"ciphertext": text})
        prefixed = f"vault:v1:{text}" if isinstance(text, str) else text
        yield write(f"malformed/payload-{name}", "decrypt/texts", {"ciphertext": prefixed})
        yield write(f"malformed/payload-{name}-batch", "decrypt/texts", {"batch_input": [{"ciphertext": prefixed}]})
        yield write(f"malformed/payload-{name}-rewrap", "rewrap/texts", {"batch_input": [{"ciphertext": prefixed}]})
        yield write(f"malformed/associated-{name}-open", "decrypt/texts", {"ciphertext": "<<text>>", "associated_data": text})
    for name, version in KEY_VERSIONS:
        yield write(f"malformed/version-{name}", "encrypt/texts", {"plaintext": TEXT, "key_version": version})
        yield write(f"malformed/version-{name}-batch", "encrypt/texts", {"batch_input": [{"plaintext": TEXT, "key_version": version}]})
        yield write(f"malformed/version-{name}-rewrap", "rewrap/texts", {"ciphertext": "<<text>>", "key_version": version})
        yield write(f"malformed/version-{name}-datakey", "datakey/wrapped/texts", {"key_version": version})
    for operation, member in (("encrypt", "plaintext"), ("decrypt", "ciphertext"), ("rewrap", "ciphertext")):
        good = TEXT if operation == "encrypt" else "<<text>>"
        yield write(f"malformed/{operation}-nothing", f"{operation}/texts", {})
        yield write(f"malformed/{operation}-unknown-key", f"{operation}/absent-key-{operation}" if operation != "encrypt" else
                    "decrypt/absent", {member: good})  # fmt: skip
        yield write(f"malformed/{operation}-not-json", f"{operation}/texts", raw="{")
        yield write(f"malformed/{operation}-array", f"{operation}/texts", raw="[]")
        yield write(f"malformed/{operation}-text", f"{operation}/texts", raw='"a"')
        yield write(f"malformed/{operation}-no-body", f"{operation}/texts", raw="")
        yield write(f"malformed/{operation}-trailing", f"{operation}/texts", raw='{"%s":"AAAA"} x' % member)
        yield write(f"malformed/{operation}-twice", f"{operation}/texts", raw='{"%s":"AAAA","%s":"!!!!"}' % (member, member))
        yield write(f"malformed/{operation}-case", f"{operation}/texts", {member.upper(): good})
        yield write(f"malformed/{operation}-unknown-member", f"{operation}/texts", {member: good, "nonsense": {"a": [1]}})


def batches():
    for operation, member in (("encrypt", "plaintext"), ("decrypt", "ciphertext"), ("rewrap", "ciphertext")):
        good, bad = (TEXT, "!!") if operation == "encrypt" else ("<<text>>", "vault:v1:!!")
        path, tag = f"{operation}/texts", f"batch/{operation}"
        mixed = [{member: good, "reference": "first"}, {member: bad, "reference": "second"}, {member: good}]
        yield write(f"{tag}-good", path, {"batch_input": [{member: good}, {member: good, "reference": "r"}]}, exact=("plaintext",))
        yield write(f"{tag}-mixed", path, {"batch_input": mixed})
        yield write(f"{tag}-all-bad", path, {"batch_input": [{member: bad}, {member: bad}]})
        for name, code in CODES:
            yield write(f"{tag}-code-{name}", path, {"batch_input": mixed, "partial_failure_response_code": code})
            yield write(f"{tag}-code-{name}-all-bad", path, {"batch_input": [{member: bad}], "partial_failure_response_code": code})
            yield write(f"{tag}-code-{name}-good", path, {"batch_input": [{member: good}], "partial_failure_response_code": code})
        for name, batch in (
            ("empty", []), ("null", None), ("object", {}), ("text", "[]"), ("number", 5), ("of-texts", ["a"]), ("of-null", [None]),
            ("of-lists", [[]]), ("of-empty", [{}]), ("one-empty", [{member: good}, {}]), ("null-member", [{member: None}]),
            ("number-member", [{member: 5}]), ("list-member", [{member: ["a"]}]), ("boolean-member", [{member: True}]),
            ("empty-member", [{member: ""}]), ("unknown-member", [{member: good, "x": 1}]), ("upper-member", [{member.upper(): good}]),
            ("number-reference", [{member: good, "reference": 5}]), ("null-reference", [{member: good, "reference": None}]),
            ("object-reference", [{member: good, "reference": {}}]), ("long-reference", [{member: good, "reference": "r" * 5000}]),
            ("odd-reference", [{member: good, "reference": "\"\\\n\u0000<>&\u2028ä"}]),
            ("context", [{member: good, "context": CONTEXT}]), ("mixed-context", [{member: good, "context": CONTEXT}, {member: good}]),
            ("associated", [{member: good, "associated_data": ASSOCIATED}]), ("nonce", [{member: good, "nonce": "AAAA"}]),
        ):  # fmt: skip
            yield write(f"{tag}-{name}", path, {"batch_input": batch}, exact=("plaintext",))
        yield write(f"{tag}-and-single", path, {"batch_input": [{member: good}], member: good}, exact=("plaintext",))
        yield write(f"{tag}-and-bad-single", path, {"batch_input": [{member: good}], member: bad}, exact=("plaintext",))
        yield write(f"{tag}-outer-context", path, {"batch_input": [{member: good}], "context": CONTEXT})
        yield write(f"{tag}-outer-version", path, {"batch_input": [{member: good}], "key_version": 1})
        yield write(f"{tag}-many", path, {"batch_input": [{member: good, "reference": str(number)} for number in range(300)]},
                    exact=("plaintext",))  # fmt: skip
    yield write("batch/rsa-associated", "encrypt/rsa-2048", {"batch_input": [
        {"plaintext": TEXT, "associated_data": ASSOCIATED}, {"plaintext": TEXT}]})  # fmt: skip
    yield write("batch/rsa-too-long", "encrypt/rsa-2048", {"batch_input": [{"plaintext": "A" * 800}, {"plaintext": TEXT}]})
    yield write("batch/unknown-key", "decrypt/absent", {"batch_input": [{"ciphertext": "<<text>>"}]})
    yield write("batch/wrong-key", "decrypt/aes256-gcm96", {"batch_input": [{"ciphertext": "<<text>>"}]})
    yield write("batch/signing-key", "encrypt/ed25519", {"batch_input": [{"plaintext": TEXT}]})


def contexts():
    for kind in AEAD:
        for form in ("derived", "convergent"):
            path, tag = f"{form}-{kind}", f"context/{form}-{kind}"
            yield write(f"{tag}-missing", f"encrypt/{path}", {"plaintext": TEXT})
            yield write(f"{tag}-empty", f"encrypt/{path}", {"plaintext": TEXT, "context": ""})
            yield write(f"{tag}-bad", f"encrypt/{path}", {"plaintext": TEXT, "context": "!!!"})
            yield write(f"{tag}-number", f"encrypt/{path}", {"plaintext": TEXT, "context": 1234})
            yield write(f"{tag}-good", f"encrypt/{path}", {"plaintext": TEXT, "context": CONTEXT}, save=sealed("derived"))
            yield write(f"{tag}-again", f"encrypt/{path}", {"plaintext": TEXT, "context": CONTEXT}, save=sealed("again"), derive={
                "equal": lambda variables: "the same" if variables["derived"] == variables["again"] else "another"})  # fmt: skip
            # A convergent key makes the same ciphertext twice, another key does not: the path tells which.
            yield write(f"{tag}-is-<<equal>>", f"hash?<<equal>>={form}", {"input": TEXT})
            yield write(f"{tag}-opens", f"decrypt/{path}", {"ciphertext": "<<derived>>", "context": CONTEXT}, exact=("plaintext",))
            yield write(f"{tag}-other", f"decrypt/{path}", {"ciphertext": "<<derived>>", "context": OTHER_CONTEXT})
            yield write(f"{tag}-without", f"decrypt/{path}", {"ciphertext": "<<derived>>"})
            yield write(f"{tag}-rewrap", f"rewrap/{path}", {"ciphertext": "<<derived>>", "context": CONTEXT})
            yield write(f"{tag}-rewrap-other", f"rewrap/{path}", {"ciphertext": "<<derived>>", "context": OTHER_CONTEXT})
            yield write(f"{tag}-rewrap-without", f"rewrap/{path}", {"ciphertext": "<<derived>>"})
            yield write(f"{tag}-nonce", f"encrypt/{path}", {"plaintext": TEXT, "context": CONTEXT, "nonce": "AAAAAAAAAAAAAAAA"})
            yield write(f"{tag}-associated", f"encrypt/{path}",
                        {"plaintext": TEXT, "context": CONTEXT, "associated_data": ASSOCIATED}, save=sealed("bound"))  # fmt: skip
            yield write(f"{tag}-associated-opens", f"decrypt/{path}",
                        {"ciphertext": "<<bound>>", "context": CONTEXT, "associated_data": ASSOCIATED})  # fmt: skip
            yield write(f"{tag}-associated-wrong", f"decrypt/{path}",
                        {"ciphertext": "<<bound>>", "context": CONTEXT, "associated_data": TEXT})  # fmt: skip
            yield write(f"{tag}-batch", f"encrypt/{path}", {"batch_input": [
                {"plaintext": TEXT, "context": CONTEXT}, {"plaintext": TEXT, "context": OTHER_CONTEXT}]})  # fmt: skip
            yield write(f"{tag}-batch-mixed", f"encrypt/{path}", {"batch_input": [
                {"plaintext": TEXT, "context": CONTEXT}, {"plaintext": TEXT}]})  # fmt: skip
            yield write(f"{tag}-batch-none", f"encrypt/{path}", {"batch_input": [{"plaintext": TEXT}]})
            yield write(f"{tag}-batch-bad", f"encrypt/{path}", {"batch_input": [{"plaintext": TEXT, "context": "!"}]})
            yield write(f"{tag}-batch-outer", f"encrypt/{path}", {"batch_input": [{"plaintext": TEXT}], "context": CONTEXT})
            yield write(f"{tag}-datakey", f"datakey/wrapped/{path}", {"context": CONTEXT})
            yield write(f"{tag}-datakey-without", f"datakey/wrapped/{path}", {})


def data_keys():
    for name, body in (
        ("default", {}), ("128", {"bits": 128}), ("256", {"bits": 256}), ("512", {"bits": "512"}), ("64", {"bits": 64}),
        ("zero", {"bits": 0}), ("negative", {"bits": -1}), ("word", {"bits": "x"}), ("associated", {"associated_data": ASSOCIATED}),
        ("bad-associated", {"associated_data": "!"}), ("context", {"context": CONTEXT}), ("bad-context", {"context": "!"}),
        ("nonce", {"nonce": "AAAA"}), ("version", {"key_version": 2}),
    ):  # fmt: skip
        for form in ("plaintext", "wrapped"):
            yield write(f"datakey/{form}-{name}", f"datakey/{form}/texts", body, save=sealed("datakey"), sized=("plaintext",))
    yield write("datakey/opens", "decrypt/texts", {"ciphertext": "<<datakey>>"}, sized=("plaintext",))
    yield write("datakey/form", "datakey/nonsense/texts", {})
    yield write("datakey/absent", "datakey/plaintext/absent", {})
    yield write("datakey/rsa", "datakey/plaintext/rsa-2048", {}, sized=("plaintext",))
    yield write("datakey/rsa-associated", "datakey/plaintext/rsa-2048", {"associated_data": ASSOCIATED})
    yield write("datakey/hmac", "datakey/plaintext/hmac-32", {})
    yield read("datakey/by-get", "datakey/plaintext/texts")


def upserts():
    for name, body in (
        ("plain", {}), ("context", {"context": CONTEXT}), ("type", {"type": "chacha20-poly1305"}), ("rsa", {"type": "rsa-2048"}),
        ("ecdsa", {"type": "ecdsa-p256"}), ("hmac", {"type": "hmac"}), ("unknown", {"type": "nonsense"}), ("empty-type", {"type": ""}),
        ("null-type", {"type": None}), ("xchacha", {"type": "xchacha20-poly1305"}),
        ("convergent", {"convergent_encryption": True, "context": CONTEXT}), ("convergent-alone", {"convergent_encryption": True}),
        ("bad-text", {"plaintext": "!!"}), ("no-text", {"plaintext": None}), ("bad-context", {"context": "!!"}), ("version", {"key_version": 2}),
        ("associated", {"associated_data": ASSOCIATED}),
    ):  # fmt: skip
        yield write(f"upsert/{name}", f"encrypt/upsert-{name}", {"plaintext": TEXT, **body})
        yield read(f"upsert/{name}-read", f"keys/upsert-{name}", opaque=("public_key",))
        yield write(f"upsert/{name}-batch", f"encrypt/upsert-batch-{name}", {"batch_input": [{"plaintext": TEXT, **body}], **body})
        yield read(f"upsert/{name}-batch-read", f"keys/upsert-batch-{name}", opaque=("public_key",))
    yield read("upsert/config", "config/keys")
    for name, value in (("word", "maybe"), ("number", 1), ("off", False), ("on", "true")):
        yield write(f"upsert/disable-{name}", "config/keys", {"disable_upsert": value})
        yield read(f"upsert/disable-{name}-read", "config/keys")
    yield write("upsert/disable-nothing", "config/keys", {})
    yield write("upsert/refused", "encrypt/upsert-refused", {"plaintext": TEXT})
    yield read("upsert/refused-read", "keys/upsert-refused")
    yield write("upsert/known-key", "encrypt/texts", {"plaintext": TEXT})
    yield write("upsert/enable", "config/keys", {"disable_upsert": False})
    yield write("upsert/policy", "nonsense/upsert", {})


FAMILIES = (every_cipher, malformed, batches, contexts, data_keys, upserts)
assert parted("vault:v1:AAAA") == ("vault:v1:", b"\0\0\0")
