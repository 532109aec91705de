"""What all transit families share: shorter steps below `transit/`, and ways to spoil a text."""

import base64

from openbao_step import Step

# A symmetric key's `keys` maps version to unix seconds.
VERSIONS = tuple(str(number) for number in range(1, 30))
TEXT = base64.b64encode(b"the quick brown fox").decode()
CONTEXT = base64.b64encode(b"context one").decode()
OTHER_CONTEXT = base64.b64encode(b"context two").decode()
ASSOCIATED = base64.b64encode(b"associated").decode()

# Texts that are not standard base64 with padding, or only just are.
BASE64 = (
    ("char", "!!!!"),
    ("char-late", "YWJj!A=="),
    ("no-padding", "YWI"),
    ("half-padding", "YQ="),
    ("too-much-padding", "YWI=="),
    ("padding-inside", "YQ==YQ=="),
    ("only-padding", "===="),
    ("one-char", "A"),
    ("url-safe", "-_-_"),
    ("space", "YW Jj"),
    ("newline", "YW\nJj"),
    ("carriage-return", "YWJj\r\n"),
    ("tab", "YWJj\t"),
    ("stray-bits", "YR=="),
    ("nul", "YWJj\0"),
    ("unicode", "ÄÄÄÄ"),
    ("number", 1234),
    ("boolean", True),
    ("null", None),
    ("list", ["YQ=="]),
    ("object", {"a": 1}),
)

# Key versions as clients may spell them.
KEY_VERSIONS = (
    ("zero", 0), ("one", 1), ("text", "1"), ("empty", ""), ("future", 99), ("negative", -1), ("huge", 2**31), ("wider", 2**63),
    ("widest", 10**40), ("fraction", 1.5), ("whole-float", 1.0), ("word", "latest"), ("v", "v1"), ("boolean", True), ("null", None),
    ("hex", "0x1"), ("list", [1]),
)  # fmt: skip


def step(method, name, path, body=None, opaque=(), **more):
    return Step(f"transit-{name}", method, f"transit/{path}", body, opaque=(*VERSIONS, *opaque), **more)


def write(name, path, body=None, **more):
    return step("POST", name, path, {} if body is None and "raw" not in more else body, **more)


def read(name, path, **more):
    return step("GET", name, path, **more)


def remove(name, path, **more):
    return step("DELETE", name, path, **more)


def lists(name, path, **more):
    return step("LIST", name, path, **more)


def parted(text):
    """Prefix and payload of `vault:vN:base64`."""
    prefix, _, payload = text.rpartition(":")
    return prefix + ":", base64.b64decode(payload + "=" * (-len(payload) % 4))


def joined(prefix, payload):
    return prefix + base64.b64encode(payload).decode()


def flipped(text, at):
    """The text with one bit of its payload changed."""
    prefix, payload = parted(text)
    changed = bytearray(payload)
    changed[at] ^= 1
    return joined(prefix, bytes(changed))


def cut(text, size):
    prefix, payload = parted(text)
    return joined(prefix, payload[:size])


def spoiled(source, **ways):
    """A `derive` table: each name is what its way makes of the variable `source`."""
    return {name: (lambda variables, way=way: way(variables[source]) if source in variables else "unset") for name, way in ways.items()}
