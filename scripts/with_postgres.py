#!/usr/bin/env python3
"""Runs a command beside a private PostgreSQL that is gone afterwards: scripts/with_postgres.py [--port N] COMMAND...

The command finds CHANCERY_TEST_POSTGRES (a URL without a password) and CHANCERY_TEST_POSTGRES_PASSWORD. The server listens
on the loopback address only, keeps what it acknowledges (fsync is on), and demands the password. As root it runs as the
user `postgres`, because it refuses to run as root. Other scripts use the class `Cluster`.
"""

import glob
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """A server of its own: started, stopped, killed and started again at will."""

    def __init__(self, port=None, options=""):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))
        self.bin = found[-1] if found else os.path.dirname(shutil.which("initdb") or "")
        if not self.bin:
            sys.exit("PostgreSQL is not installed (apt-get install postgresql, or ./x setup)")
        self.user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        self.port = port or free_port()
        self.password = secrets.token_hex(12)
        self.options = options
        self.data = Path(tempfile.mkdtemp(prefix="chancery-postgres-"))
        try:
            password = self.data / "password"
            password.write_text(self.password)
            password.chmod(0o600)
            if self.user:
                shutil.chown(self.data, "postgres", "postgres")
                shutil.chown(password, "postgres", "postgres")
            self.tool("initdb", "-D", self.data / "db", "-U", "owner", "--auth=scram-sha-256", f"--pwfile={password}",
                      "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
            self.start()
        except BaseException:
            shutil.rmtree(self.data, ignore_errors=True)
            raise

    def tool(self, name, *arguments, check=True):
        done = subprocess.run([f"{self.bin}/{name}", *map(str, arguments)], cwd=self.data, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, **self.user)
        if check and done.returncode != 0:
            log = self.data / "log"
            raise SystemExit(f"{name} failed:\n{done.stdout}\n{log.read_text() if log.exists() else ''}")
        return done

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200 {self.options}"
        # The server inherits nothing of ours to write to, or whoever reads our output would wait for its end.
        subprocess.run([f"{self.bin}/pg_ctl", "-D", self.data / "db", "-w", "-l", self.data / "log", "-o", options, "start"],
                       cwd=self.data, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self.user)

    def stop(self, how="fast"):
        self.tool("pg_ctl", "-D", self.data / "db", "-w", "-m", how, "stop")

    def close(self):
        self.tool("pg_ctl", "-D", self.data / "db", "-w", "-m", "immediate", "stop", check=False)
        shutil.rmtree(self.data, ignore_errors=True)

    def sql(self, text, database="postgres"):
        done = subprocess.run([f"{self.bin}/psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "owner", "-d", database, "-XAtq",
                               "-v", "ON_ERROR_STOP=1"], input=text, capture_output=True, text=True, env={**os.environ, "PGPASSWORD": self.password})
        if done.returncode != 0:
            raise SystemExit(f"psql: {done.stderr}")
        return done.stdout.strip()

    def url(self, database="postgres", port=None):
        return f"postgres://owner@127.0.0.1:{port or self.port}/{database}"

    def environment(self):
        return {**os.environ, "CHANCERY_TEST_POSTGRES": self.url(), "CHANCERY_TEST_POSTGRES_PASSWORD": self.password}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main():
    words = sys.argv[1:]
    port = None
    if words[:1] == ["--port"]:
        port, words = int(words[1]), words[2:]
    if not words:
        sys.exit(__doc__)
    with Cluster(port) as cluster:
        return subprocess.run(words, env=cluster.environment()).returncode


if __name__ == "__main__":
    sys.exit(main())
