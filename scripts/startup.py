#!/usr/bin/env python3
"""How long a whole server takes from its start to its first answers, with few and with many certificates.

usage: startup.py CHANCERY FILL_INVENTORY [--certificates 1000000] [--revoked 100000] [--starts 3] [--port 8388]

CHANCERY is the binary, FILL_INVENTORY the example of that name (`cargo build -p chancery-store --example fill_inventory`).
The state is that of a development server: SQLite, SoftHSM, an audit file, the seal in the token. Each start is timed until
`sys/health` says 200, until a certificate is issued, and until the CRL with everything revoked is fetched.
"""

import argparse
import json
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE = 300


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chancery", type=pathlib.Path)
    parser.add_argument("fill", type=pathlib.Path)
    parser.add_argument("--certificates", type=int, default=1_000_000)
    parser.add_argument("--revoked", type=int, default=100_000)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--port", type=int, default=8388)
    return parser.parse_args()


def prepare(chancery, folder, port):
    """A development server's state with one certificate, and a configuration that serves it on one plain port."""
    state = folder / "state"
    subprocess.run(
        [chancery, "dev", "--port", "0", "--no-store", "--persist", state, "--", chancery, "write", "pki/issue/web",
         "common_name=first.dev.test"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    configuration = state / "chancery.toml"
    text = configuration.read_text()
    text = re.sub(r"listener\.plain = .*", f'listener.plain = {{ address = "127.0.0.1:{port}" }}', text)
    text = re.sub(r"listener\.tls = .*\n", "", text)
    configuration.write_text(text)
    return state


def ask(port, path, body=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/{path}", headers={"X-Vault-Token": "root"},
        data=None if body is None else json.dumps(body).encode(), method="GET" if body is None else "POST",
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read()


def is_healthy(port):
    try:
        ask(port, "sys/health")
        return True
    except (urllib.error.URLError, ConnectionError):
        return False


def start(chancery, state, port):
    """Seconds until health, until a certificate, until the CRL; and the bytes of the CRL."""
    with open(state / "server.log", "ab") as log:
        began = time.monotonic()
        server = subprocess.Popen(
            [chancery, "server", "--config", state / "chancery.toml"], stdout=log, stderr=log,
            env={"SOFTHSM2_CONF": str(state / "softhsm2.conf"), "PATH": "/usr/bin:/bin"},
        )
        try:
            while not is_healthy(port):
                if server.poll() is not None or time.monotonic() - began > PATIENCE:
                    raise SystemExit(f"the server does not start:\n{(state / 'server.log').read_text()[-3000:]}")
                time.sleep(0.002)
            healthy = time.monotonic() - began
            ask(port, "pki/issue/web", {"common_name": "a.dev.test", "ttl": "1h"})
            issued = time.monotonic() - began
            fetching = time.monotonic()
            crl = ask(port, "pki/crl")
            fetched = time.monotonic() - fetching
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)
    return healthy, issued, fetched, len(crl)


def report(name, chancery, state, arguments):
    timed = [start(chancery, state, arguments.port) for _ in range(arguments.starts)]
    healthy, issued, fetched = (max(one[column] for one in timed) for column in range(3))
    size = timed[-1][3]
    print(f"| {name} | {healthy:.2f} s | {issued:.2f} s | {fetched * 1000:.0f} ms | {size:,} B |", flush=True)


def main():
    options = arguments()
    chancery, fill = options.chancery.resolve(), options.fill.resolve()
    with tempfile.TemporaryDirectory() as folder:
        state = prepare(chancery, pathlib.Path(folder), options.port)
        print(f"slowest of {options.starts} starts\n")
        print("| certificates | until `sys/health` says 200 | until one is issued | CRL fetched in | CRL |\n|---|---:|---:|---:|---:|")
        report("1", chancery, state, options)
        filled = subprocess.run(
            [fill, state / "chancery.db", str(options.certificates), str(options.revoked)],
            check=True, stdout=subprocess.PIPE, text=True,
        )
        report(f"{options.certificates:,}, {options.revoked:,} of them revoked", chancery, state, options)
        print(f"\n{filled.stdout.strip()}")


if __name__ == "__main__":
    main()
