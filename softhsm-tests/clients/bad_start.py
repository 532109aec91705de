#!/usr/bin/env python3
"""A server that cannot start says why in one clear line with a fix, ends with a non-zero status and touches no data.

Each case breaks one thing of a working installation, starts `chancery server`, and looks at the status, the words and
what the database holds.

usage: bad_start.py CHANCERY
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

CHANCERY = os.path.abspath(sys.argv[1])
MODULE = next((p for p in ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so") if os.path.exists(p)), None)
if MODULE is None:
    sys.exit("bad_start: libsofthsm2.so not found; run ./x setup")


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Installation:
    """A token, a configuration and an initialised database."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "tokens").mkdir()
        (self.folder / "softhsm2.conf").write_text(f"directories.tokendir = {self.folder}/tokens\nlog.level = ERROR\n")
        self.env = dict(os.environ, SOFTHSM2_CONF=str(self.folder / "softhsm2.conf"), TEST_PIN="271828")
        for label in ("good", "other"):
            subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "314159", "--pin", "271828"],
                           env=self.env, check=True, stdout=subprocess.DEVNULL)
        self.port = free_port()
        self.database = self.folder / "chancery.db"
        self.config = self.folder / "chancery.toml"
        self.text = f"""
[listener.plain]
address = "127.0.0.1:{self.port}"
[storage]
url = "sqlite:{self.database}"
[hsm]
module = "{MODULE}"
token = "good"
pin = "env:TEST_PIN"
[seal]
type = "pkcs11"
"""
        self.config.write_text(self.text)

    def spawn(self, **env):
        return subprocess.Popen([CHANCERY, "server", "--config", str(self.config)], env={**self.env, **env},
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def initialise(self):
        server = self.spawn()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/sys/init", method="PUT",
                                         data=b'{"recovery_shares":1,"recovery_threshold":1}')
        for _ in range(200):
            try:
                urllib.request.urlopen(request).read()
                break
            except OSError:
                assert server.poll() is None, server.stderr.read()
                time.sleep(0.05)
        server.terminate()
        server.wait(20)

    def digest(self):
        """What the database holds. Not its files: opening one may fold its write-ahead log into it."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            return hashlib.sha256("".join(database.iterdump()).encode()).hexdigest()


def refused(installation, name, words, **env):
    before = installation.digest()
    server = installation.spawn(**env)
    try:
        out, err = server.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        server.kill()
        sys.exit(f"bad_start: {name}: the server started all the same")
    said = [line for line in err.splitlines() if line.startswith("error:")]
    assert server.returncode != 0, f"{name}: exit status 0"
    assert len(said) == 1, f"{name}: not one error line:\n{out}{err}"
    assert "  do:" in err or ";" in err.split("why:")[-1], f"{name}: no fix:\n{err}"
    for word in words:
        assert word.lower() in err.lower(), f"{name}: {word!r} is not named:\n{err}"
    assert "271828" not in err and "000000" not in err, f"{name}: the PIN is shown"
    assert installation.digest() == before, f"{name}: the database was touched"
    print(f"  ok  {name}\n" + "".join(f"        {line}\n" for line in err.splitlines() if not line.startswith("{")), end="")


def main():
    with tempfile.TemporaryDirectory(prefix="chancery-bad-start-") as folder:
        here = Installation(folder)
        here.initialise()
        good = here.text

        def broken(name, text, words, **env):
            here.config.write_text(text)
            refused(here, name, words, **env)
            here.config.write_text(good)

        broken("missing module", good.replace(MODULE, "/nonexistent/libhsm.so"), ["/nonexistent/libhsm.so"])
        broken("a module that is none", good.replace(MODULE, "/etc/hostname"), ["/etc/hostname"])
        broken("wrong PIN", good, ["PIN"], TEST_PIN="000000")
        broken("missing token", good.replace('"good"', '"nowhere"'), ["nowhere"])
        broken("another token", good.replace('"good"', '"other"'), ["key"])
        broken("misspelt setting", good.replace("[storage]", "[storrage]"), ["storrage", "storage"])
        broken("not TOML", good + "\n[[[", [str(here.config)])
        with contextlib.closing(socket.socket()) as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            squatter.bind(("127.0.0.1", here.port))
            squatter.listen()
            refused(here, "occupied port", [str(here.port)])
        kept = here.folder / "kept.db"
        shutil.copy(here.database, kept)
        with contextlib.closing(sqlite3.connect(here.database)) as database:
            (table,) = database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'schema%'").fetchone()
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            first = [99 if column == "version" else 0 for column in columns]
            database.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(columns))})", first)
            database.commit()
        refused(here, "newer database", ["newer"])
        here.config.unlink()
        refused(here, "missing configuration", [str(here.config)])
    print("bad start: all refused, nothing touched")


main()
