"""Key revocation lists judged by `ssh-keygen`: 10,000 random queries about a list of ours, and about one it writes itself.

The CA's key is made here and brought to the server, so that certificates with any serial number and key id can be made.
"""

import base64
import hashlib
import os
import random
import struct
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

QUERIES = 10_000
AT_ONCE = 500
NAMES = {0x20: "list", 0x21: "range", 0x22: "bitmap", 0x23: "key id"}


def string(value):
    return struct.pack(">I", len(value)) + value


def take(data):
    length = struct.unpack(">I", data[:4])[0]
    return data[4 : 4 + length], data[4 + length :]


def sections(krl):
    """{kind of section: how many}, by a reader that shares nothing with the writer."""
    assert krl[:8] == b"SSHKRL\n\0" and struct.unpack(">I", krl[8:12]) == (1,), krl[:12]
    rest = krl[36:]
    for _ in ("reserved", "comment"):
        _, rest = take(rest)
    found = {}
    while rest:
        kind, (body, rest) = rest[0], take(rest[1:])
        if kind == 1:
            for _ in ("CA key", "reserved"):
                _, body = take(body)
            while body:
                name = NAMES[body[0]]
                _, body = take(body[1:])
                found[name] = found.get(name, 0) + 1
        else:
            name = {2: "key", 5: "fingerprint"}[kind]
            found[name] = found.get(name, 0) + 1
    return found


class Authority:
    def __init__(self):
        self.private = Ed25519PrivateKey.generate()
        self.blob = self.key_blob(self.private)
        self.line = "ssh-ed25519 " + base64.b64encode(self.blob).decode()
        self.pem = self.private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()

    @staticmethod
    def key_blob(private):
        return string(b"ssh-ed25519") + string(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def certificate(self, key, serial, key_id):
        """A certificate for the key, as PROTOCOL.certkeys has it."""
        body = string(b"ssh-ed25519-cert-v01@openssh.com") + string(os.urandom(32)) + key[15:] + struct.pack(">QI", serial, 1)
        body += string(key_id.encode()) + string(string(b"x")) + struct.pack(">QQ", 0, 2**64 - 1) + string(b"") * 3 + string(self.blob)
        return body + string(string(b"ssh-ed25519") + string(self.private.sign(body)))


def compare(home, api, mount, check):
    random.seed(int(os.environ.get("SSH_LISTS_SEED", "20261129")))
    authority, stranger = Authority(), Authority()
    name = mount("ssh-lists")
    api("POST", f"{name}/config/ca", {"private_key": authority.pem, "public_key": authority.line})
    keys = [Authority.key_blob(Ed25519PrivateKey.generate()) for _ in range(40)]
    ids = [f"person {number} <p{number}@example.com>" for number in range(40)]
    revoked = Revoked(authority, keys, ids)
    for body in revoked.requests:
        api("POST", f"{name}/revoke", body)
    ours, theirs = home / "ours", home / "theirs"
    ours.write_bytes(api("GET", f"{name}/krl", token=None))
    kinds = sections(ours.read_bytes())
    check(set(kinds) == {"list", "range", "bitmap", "key id", "key", "fingerprint"}, f"the list lacks a kind of section: {kinds}")
    (home / "ca.pub").write_text(authority.line + "\n")
    (home / "spec").write_text(revoked.specification)
    done = subprocess.run(["ssh-keygen", "-q", "-k", "-s", home / "ca.pub", "-f", theirs, home / "spec"], capture_output=True, text=True)
    check(done.returncode == 0, f"ssh-keygen -k: {done.stderr}")

    folder = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else home
    with_prefix = folder / f"chancery-lists-{os.getpid()}"
    with_prefix.mkdir()
    try:
        expected = {}
        for number in range(QUERIES):
            path = with_prefix / f"{number}.pub"
            kind, blob, answer = revoked.question(stranger)
            path.write_text(f"{kind} {base64.b64encode(blob).decode()}\n")
            expected[str(path)] = answer
        share = sum(expected.values()) / QUERIES
        check(0.2 < share < 0.8, f"{share:.0%} of the queries are about something revoked: they prove little")
        for krl in (ours, theirs):
            for path, answer in asked(krl, list(expected)):
                check(answer == expected[path], f"{krl.name}: {path} revoked {answer}, expected {expected[path]}: {Path(path).read_text()}")
    finally:
        for path in with_prefix.iterdir():
            path.unlink()
        with_prefix.rmdir()
    return QUERIES


def asked(krl, paths):
    for start in range(0, len(paths), AT_ONCE):
        done = subprocess.run(["ssh-keygen", "-Q", "-f", krl, *paths[start : start + AT_ONCE]], capture_output=True, text=True)
        lines = done.stdout.splitlines()
        assert len(lines) == len(paths[start : start + AT_ONCE]), f"{done.stdout[:500]}{done.stderr[:500]}"
        for line in lines:
            path, _, verdict = line.rpartition(": ")
            yield path.split(" (")[0], {"REVOKED": True, "ok": False}[verdict]


class Revoked:
    """What is revoked, said in three ways: to the API, to `ssh-keygen -k`, and to ourselves."""

    def __init__(self, authority, keys, ids):
        self.authority, self.keys, self.all_ids = authority, keys, ids
        self.requests, lines, self.ranges = [], [], []
        for _ in range(60):
            self.add(random.randrange(1, 2**64), 0)
        for _ in range(20):
            self.add(random.randrange(1, 2**63), random.randrange(1, 2**30))
        for _ in range(2):
            start = random.randrange(2**20, 2**40)
            for _ in range(120):
                self.add(start + random.randrange(0, 900), 0)
        self.add(1, 500)
        self.add(2**64 - 3, 2)
        for first, last in self.ranges:
            if first == last:
                self.requests.append({"serial_number": f"{first:x}", "issuer_ref": "default"})
                lines.append(f"serial: {first}")
            else:
                self.requests.append({"first_serial_number": f"{first:x}", "last_serial_number": f"{last:x}"})
                lines.append(f"serial: {first}-{last}")
        self.ids = set(ids[:20])
        for key_id in sorted(self.ids):
            self.requests.append({"key_id": key_id})
            lines.append(f"id: {key_id}")
        self.revoked_keys = set(keys[:20])
        for number, key in enumerate(keys[:20]):
            line = "ssh-ed25519 " + base64.b64encode(key).decode()
            if number < 10:
                self.requests.append({"public_key": line})
                lines.append(f"key: {line}")
            else:
                fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
                self.requests.append({"fingerprint": fingerprint})
                lines.append(f"hash: {fingerprint}")
        self.specification = "\n".join(lines) + "\n"

    def add(self, first, more):
        self.ranges.append((first, min(first + more, 2**64 - 1)))

    def question(self, stranger):
        """A key or a certificate, and whether it is revoked."""
        key = random.choice(self.keys) if random.random() < 0.2 else self.keys[random.randrange(20, 40)]
        if random.random() < 0.1:
            return "ssh-ed25519", key, key in self.revoked_keys
        first, last = random.choice(self.ranges)
        serial = random.choice((
            first, last, random.randint(first, last), max(first - 1, 1), min(last + 1, 2**64 - 1),
            max(1, min(2**64 - 1, first + random.randint(-1000, 1000))), random.randrange(1, 2**64),
        ))  # fmt: skip
        key_id = random.choice(self.all_ids) if random.random() < 0.3 else f"nobody {random.random()}"
        issuer = self.authority if random.random() < 0.8 else stranger
        answer = key in self.revoked_keys
        if issuer is self.authority:
            answer = answer or key_id in self.ids or any(low <= serial <= high for low, high in self.ranges)
        return "ssh-ed25519-cert-v01@openssh.com", issuer.certificate(key, serial, key_id), answer
