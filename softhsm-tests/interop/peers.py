"""A Vault-compatible server as the interop programs see it: an API over HTTP, and a real OpenBao to start."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status = status


class Api:
    """One server's transit mount, spoken to in JSON."""

    def __init__(self, name, address, token, mount="transit"):
        self.name, self.address, self.token, self.mount = name, address.rstrip("/"), token, mount

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/v1/{path}", data, {"X-Vault-Token": self.token}, method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                payload = answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(error.code, f"{self.name} {method} {path}: {error.read().decode(errors='replace')[:500]}") from None
        return json.loads(payload) if payload else {}

    def write(self, path, body=None):
        return (self.call("POST", f"{self.mount}/{path}", body or {}) or {}).get("data") or {}

    def read(self, path):
        return self.call("GET", f"{self.mount}/{path}")["data"]

    def delete(self, path):
        self.call("DELETE", f"{self.mount}/{path}")


def free_port():
    """A free port whose successor is free too: OpenBao's cluster listener takes it."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def environment(home):
    """The process's own environment without what would lead a client to another server."""
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith(("VAULT_", "BAO_", "CHANCERY_")) and not key.lower().endswith("_proxy")}  # fmt: skip
    return {**kept, "HOME": home}


@contextlib.contextmanager
def process(command, home, port, **more):
    """Runs a server until the block ends; the block begins when the port is open."""
    log = os.path.join(home, f"{os.path.basename(command[0])}-{port}.log")
    with open(log, "ab") as file:
        child = subprocess.Popen(command, stdout=file, stderr=file, cwd=home, env={**environment(home), **more})
    try:
        deadline = time.monotonic() + 60
        while True:
            if child.poll() is not None or time.monotonic() > deadline:
                with open(log, encoding="utf-8", errors="replace") as file:
                    raise SystemExit(f"{command[0]} did not open port {port}:\n{file.read()[-4000:]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@contextlib.contextmanager
def openbao(binary):
    """An OpenBao development server with a transit mount."""
    home, port = tempfile.mkdtemp(prefix="openbao-"), free_port()
    command = [binary, "server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token", f"-dev-listen-address=127.0.0.1:{port}"]
    try:
        with process(command, home, port):
            api = Api("OpenBao", f"http://127.0.0.1:{port}", "root")
            deadline = time.monotonic() + 30
            while True:
                try:
                    api.call("POST", "sys/mounts/transit", {"type": "transit"})
                    break
                except (Refused, OSError):
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
            yield api
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Facts:
    """What was found true. The first thing found false ends the program."""

    def __init__(self, title):
        self.title, self.count = title, 0

    def hold(self, truth, text):
        if not truth:
            raise SystemExit(f"{self.title}: not so: {text}")
        self.count += 1

    def refused(self, call, text):
        try:
            call()
        except Refused as error:
            # OpenBao tells many a caller's mistake with 500.
            self.hold(error.status < 500 or "OpenBao" in str(error), f"{text}: {error}")
            return
        raise SystemExit(f"{self.title}: not refused: {text}")

    def section(self, text):
        print(f"  ok  {text} ({self.count} facts so far)", flush=True)

    def close(self):
        print(f"{self.title}: {self.count} facts hold")
