#!/usr/bin/env python3
"""`chancery transit encrypt|decrypt|rewrap` and the key commands against a server, judged by Python's `cryptography`.

usage: CHANCERY_ADDR=… CHANCERY_TOKEN=… sealed_files.py CHANCERY        (any address that speaks the API, OpenBao's too)

Every file is opened twice: by the command line, and by scripts/open_sealed_file.py, which shares no code with it.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

ROOT = Path(__file__).resolve().parents[2]
OPEN = ROOT / "scripts" / "open_sealed_file.py"
sys.path.insert(0, str(OPEN.parent))
import open_sealed_file  # noqa: E402

CHANCERY = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
SEGMENT = 65536
checks = 0


def check(fact, what):
    global checks
    checks += 1
    if not fact:
        raise AssertionError(what)


def chancery(*words, code=0, **options):
    done = subprocess.run([CHANCERY, *map(str, words)], capture_output=True, timeout=300, **options)
    check(done.returncode == code, f"{words} exited with {done.returncode}, not {code}: {done.stderr.decode()}")
    return done


def answer(*words, **options):
    return json.loads(chancery(*words, "--format", "json", **options).stdout)


def data_key(file, key):
    """The data key in base64, by a decryption of its wrapped form."""
    wrapped = open_sealed_file.split(Path(file).read_bytes())[3]
    return answer("write", f"transit/decrypt/{key}", f"ciphertext={wrapped}")["data"]["plaintext"]


def by_python(file, key):
    return subprocess.run([sys.executable, OPEN, file], input=data_key(file, key).encode(), capture_output=True, check=True).stdout


def every_size_opens_with_both_programs(home):
    for size in (0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT, 1_000_003):
        plain = home / f"plain-{size}"
        plain.write_bytes(os.urandom(size))
        done = answer("transit", "encrypt", plain, "-k", "files")
        sealed = Path(f"{plain}.enc")
        check(done["bytes"] == size and done["key_version"] == 1, done)
        check(plain.read_bytes()[:64] not in sealed.read_bytes() or size < 16, "plaintext in the sealed file")
        check(by_python(sealed, "files") == plain.read_bytes(), f"Python reads {size} bytes otherwise")
        back = home / "back"
        chancery("transit", "decrypt", sealed, "-o", back, "--force")
        check(back.read_bytes() == plain.read_bytes(), f"{size} bytes came back otherwise")
        check(back.stat().st_mode & 0o077 == 0, "others can read the plaintext")


def pipes_work(home):
    size = 50 << 20
    script = (f"head -c {size} /dev/zero | '{CHANCERY}' transit encrypt - -k files | tee '{home}/piped' "
              f"| '{CHANCERY}' transit decrypt - | cmp - <(head -c {size} /dev/zero)")
    done = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, timeout=300)
    check(done.returncode == 0, done.stderr)
    check(by_python(home / "piped", "files") == bytes(size), "Python reads the piped file otherwise")


def peak(*words):
    """The most memory a command ever held, KiB."""
    measure = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
               "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    done = subprocess.run([sys.executable, "-c", measure, *map(str, words)], capture_output=True, text=True, timeout=300)
    check(done.returncode == 0, done.stderr)
    return int(done.stdout)


def memory_does_not_grow_with_the_file(home):
    peaks = []
    for size in (1 << 20, 300 << 20):
        plain, back = home / "zeros", home / "back"
        with plain.open("wb") as file:
            file.truncate(size)
        peaks.append((peak(CHANCERY, "transit", "encrypt", plain, "-k", "files", "--force"),
                      peak(CHANCERY, "transit", "decrypt", f"{plain}.enc", "-o", back, "--force")))
        check(back.stat().st_size == size, "the size")
    (small, small_back), (large, large_back) = peaks
    print(f"  peak memory, KiB: encrypt 1 MiB {small}, 300 MiB {large}; decrypt {small_back}, {large_back}")
    check(large < small + 4096 and large_back < small_back + 4096, f"memory grows: {peaks}")


def damaged_files_are_refused_and_leave_nothing(home):
    plain, sealed, out = home / "d", home / "d.enc", home / "d.out"
    plain.write_bytes(os.urandom(3 * SEGMENT + 5))
    chancery("transit", "encrypt", plain, "-k", "files")
    whole = sealed.read_bytes()
    body = len(whole) - (3 * (SEGMENT + 16) + 5 + 16)
    segment = lambda index: whole[body + index * (SEGMENT + 16):body + (index + 1) * (SEGMENT + 16)]  # noqa: E731
    flip = lambda at: whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:]  # noqa: E731
    damages = {
        "cut behind a segment": whole[:body + SEGMENT + 16],
        "cut inside a segment": whole[:-1],
        "no body": whole[:body],
        "extended": whole + b"\0",
        "moved": whole[:body] + segment(1) + segment(0) + whole[body + 2 * (SEGMENT + 16):],
        "salt": flip(20), "commitment": flip(50), "segment size": whole[:10] + (32768).to_bytes(4, "big") + whole[14:],
        "first segment": flip(body), "last tag": flip(len(whole) - 1), "not ours": b"PK\x03\x04" + whole[4:],
    }
    for what, bytes_ in damages.items():
        sealed.write_bytes(bytes_)
        done = chancery("transit", "decrypt", sealed, "-o", out, code=1)
        check(b"why:" in done.stderr and b"do:" in done.stderr, f"{what}: {done.stderr}")
        check(not out.exists() and not list(home.glob(".chancery-*")), f"{what}: something was left behind")
        streamed = chancery("transit", "decrypt", sealed, "-o", "-", code=1).stdout
        check(plain.read_bytes().startswith(streamed), f"{what}: released what was not verified")
    sealed.write_bytes(whole)
    mine = home / "mine"
    mine.write_text("mine")
    chancery("transit", "decrypt", sealed, "-o", mine, code=1)
    check(mine.read_text() == "mine", "a file was overwritten unasked")


def a_killed_run_leaves_nothing(home):
    whole = home.parent / "whole"
    chancery("transit", "encrypt", "-", "-k", "files", "-o", whole, input=bytes(10 * SEGMENT))
    for words, content in ((["encrypt", "-", "-k", "files"], bytes(10 * SEGMENT)), (["decrypt", "-"], whole.read_bytes()[:-1])):
        for replace in ([], ["--force"]):
            run = subprocess.Popen([CHANCERY, "transit", *words, "-o", home / "out", *replace], stdin=subprocess.PIPE)
            run.stdin.write(content)
            run.stdin.flush()
            check(run.poll() is None, "it waits for more")
            run.kill()
            run.wait()
            check(list(home.iterdir()) == [], f"{words}: left behind {list(home.iterdir())}")
    (home / "out").write_text("old")
    chancery("transit", "decrypt", whole, "-o", home / "out", "--force")
    check([path.name for path in home.iterdir()] == ["out"] and (home / "out").stat().st_size == 10 * SEGMENT, "replaced")


def a_rewrap_changes_the_header_only(home):
    plain, sealed = home / "r", home / "r.enc"
    plain.write_bytes(os.urandom(SEGMENT * 2))
    chancery("transit", "encrypt", plain, "-k", "files")
    sealed.chmod(0o640)
    before = sealed.read_bytes()
    check(answer("transit", "rewrap", sealed)[0]["new_version"] == 1, "nothing to do")
    check(sealed.read_bytes() == before, "a file at the newest version was written")
    chancery("transit", "key", "rotate", "files")
    link = home / "link.enc"
    link.symlink_to(sealed)
    row = answer("transit", "rewrap", link)[0]
    check((row["old_version"], row["new_version"]) == (1, 2), row)
    after = sealed.read_bytes()
    check(link.is_symlink() and sealed.stat().st_mode & 0o777 == 0o640, "the link or the mode was lost")
    check(after[:78] == before[:78] and after[-2 * (SEGMENT + 16):] == before[-2 * (SEGMENT + 16):], "more than the key changed")
    check(b"vault:v2:" in after and b"vault:v1:" not in after, "the wrapped key")
    check(by_python(sealed, "files") == plain.read_bytes(), "Python, after the rewrap")
    chancery("transit", "key", "config", "files", "--min-decryption-version", "2")
    chancery("transit", "decrypt", sealed, "-o", home / "r.back")
    check((home / "r.back").read_bytes() == plain.read_bytes(), "the old version is gone and the file opens")
    stale = home / "stale.enc"
    stale.write_bytes(before)
    check(b"why:" in chancery("transit", "decrypt", stale, "-o", home / "s", code=2).stderr, "too old a version")
    mixed = chancery("transit", "rewrap", stale, sealed, "--format", "json", code=2)
    check([row["file"] for row in json.loads(mixed.stdout)] == [str(sealed)], "the good file is done all the same")
    chancery("transit", "key", "config", "files", "--min-decryption-version", "1")
    check(b"--mount" in chancery("transit", "decrypt", sealed, "-o", home / "m", "--mount", "other", code=1).stderr, "a foreign mount")


def derived_keys_take_a_context(home):
    plain = home / "c"
    plain.write_text("context")
    chancery("transit", "key", "create", "derived", "--derived")
    context = base64.b64encode(b"tenant").decode()
    chancery("transit", "encrypt", plain, "-k", "derived", "--context", context)
    chancery("transit", "decrypt", f"{plain}.enc", "-o", home / "c.no", code=2)
    chancery("transit", "decrypt", f"{plain}.enc", "-o", home / "c.out", "--context", context)
    check((home / "c.out").read_text() == "context", "a derived key")


def keys_of_ones_own(home):
    """Each kind of key in each form people have; what it decrypts or verifies is judged outside."""
    raw = os.urandom(32)
    forms = {"raw": raw, "base64": base64.b64encode(raw) + b"\n", "hex": raw.hex().encode()}
    for form, content in forms.items():
        done = chancery("transit", "import", f"own-{form}", "-", "-t", "aes256-gcm96", "--exportable", input=content)
        check(b"Success" in done.stdout, done)
        keys = answer("transit", "export", "encryption-key", f"own-{form}")["data"]["keys"]
        check(base64.b64decode(keys["1"]) == raw, f"{form}: another key arrived")
    pairs = {
        "rsa-2048": (rsa.generate_private_key(65537, 2048), PrivateFormat.TraditionalOpenSSL),
        "ecdsa-p256": (ec.generate_private_key(ec.SECP256R1()), PrivateFormat.TraditionalOpenSSL),
        "ecdsa-p384": (ec.generate_private_key(ec.SECP384R1()), PrivateFormat.PKCS8),
        "ecdsa-p521": (ec.generate_private_key(ec.SECP521R1()), PrivateFormat.TraditionalOpenSSL),
    }
    for number, (kind, (key, form)) in enumerate(pairs.items()):
        file = home / f"{kind}.pem"
        file.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))
        hash_ = ["sha1", "sha256", "sha384", "sha512"][number]
        chancery("transit", "import", f"own-{kind}", file, "-t", kind, "--hash", hash_)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().strip()
        read = answer("transit", "key", "show", f"own-{kind}")["data"]
        check(read["keys"]["1"]["public_key"].strip() == public, f"{kind}: another public key")
        signed = chancery("transit", "sign", f"own-{kind}", file, "--hash-here").stdout.strip()
        chancery("transit", "verify", f"own-{kind}", file, "--signature", signed.decode())
        done = chancery("transit", "verify", f"own-{kind}", OPEN, "--signature", signed.decode(), code=4)
        check(b"NOT valid" in done.stdout, done)
    file = home / "next.pem"
    file.write_bytes(ec.generate_private_key(ec.SECP384R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    chancery("transit", "import", "own-ecdsa-p384", file, "-t", "ecdsa-p384", "--version")
    check(answer("transit", "key", "show", "own-ecdsa-p384")["data"]["latest_version"] == 2, "a second version")
    refused = chancery("transit", "import", "short", "-", "-t", "aes256-gcm96", input=b"short", code=1)
    check(b"32 bytes" in refused.stderr, refused.stderr)


def the_other_commands(home):
    chancery("transit", "key", "create", "k", "-t", "aes256-gcm96", "--exportable", "--allow-plaintext-backup")
    check("k" in answer("transit", "key", "list"), "the list")
    for _ in range(2):
        chancery("transit", "key", "rotate", "k")
    check(b"Version" in chancery("transit", "key", "show", "k").stdout, "the table of versions")
    wrapped = answer("transit", "datakey", "k", "--bits", "128")["data"]
    check("plaintext" not in wrapped and wrapped["ciphertext"].startswith("vault:v3:"), wrapped)
    file = home / "h"
    file.write_text("content")
    mac = chancery("transit", "hmac", "k", file).stdout.decode().strip()
    chancery("transit", "verify", "k", file, "--hmac", mac)
    chancery("transit", "verify", "k", OPEN, "--hmac", mac, code=4)
    backup = home / "k.backup"
    chancery("transit", "backup", "k", "-o", backup)
    check(backup.stat().st_mode & 0o077 == 0, "others can read the backup")
    chancery("transit", "backup", "k", "-o", backup, code=1)
    chancery("transit", "restore", backup, "--name", "k2")
    check(answer("transit", "export", "encryption-key", "k")["data"]["keys"] ==
          answer("transit", "export", "encryption-key", "k2")["data"]["keys"], "the restored key is another one")
    chancery("transit", "restore", backup, code=2)
    chancery("transit", "key", "config", "k", "--min-decryption-version", "2", "--min-encryption-version", "2")
    chancery("transit", "key", "trim", "k", "--min-available-version", "2", code=1)
    chancery("transit", "key", "trim", "k", "--min-available-version", "2", "--yes")
    check(sorted(answer("transit", "key", "show", "k")["data"]["keys"]) == ["2", "3"], "trimmed")
    refused = chancery("transit", "key", "delete", "k", "--yes", code=2)
    check(b"--deletion-allowed" in refused.stderr, refused.stderr)
    chancery("transit", "key", "config", "k", "--deletion-allowed")
    chancery("transit", "key", "delete", "k", "--yes")
    check("k" not in answer("transit", "key", "list"), "deleted")


def main():
    mounts = answer("secrets", "list")
    if "transit/" not in mounts.get("data", mounts):
        chancery("secrets", "enable", "transit")
    chancery("transit", "key", "create", "files")
    with tempfile.TemporaryDirectory(prefix="chancery-sealed-") as home:
        for part in (
            every_size_opens_with_both_programs, pipes_work, memory_does_not_grow_with_the_file,
            damaged_files_are_refused_and_leave_nothing,
            a_killed_run_leaves_nothing, a_rewrap_changes_the_header_only, derived_keys_take_a_context, keys_of_ones_own, the_other_commands,
        ):
            before = checks
            place = Path(home, part.__name__)
            place.mkdir()
            part(place)
            print(f"  {part.__name__.replace('_', ' ')}: {checks - before} checks")
    print(f"sealed files and key commands: {checks} checks passed")


if __name__ == "__main__":
    main()
