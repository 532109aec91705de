#!/usr/bin/env python3
"""kill -9 in a loop under issue + encrypt + token load; nothing acknowledged may be lost.

Each round starts the server, loads it from several threads, journals every acknowledged answer, kills the server
with SIGKILL at a random moment, starts it again and checks the journal:

* every certificate that was handed out is in the inventory, byte for byte,
* every ciphertext decrypts to what was encrypted,
* every token is known, every acknowledged key rotation happened,
* the server answered again within the limit,
* the audit log's chain verifies and holds an entry for every acknowledged request.

Needs: a built `chancery`, softhsm2-util. Python standard library only. Prints its seed; exit status 0 means all held.
"""

import argparse
import base64
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

SOFTHSM = next(
    (p for p in ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so") if os.path.exists(p)), None
)


class Failure(Exception):
    pass


class Server:
    """One `chancery server` process on a private token, database and audit log."""

    def __init__(self, binary, work, port):
        self.binary, self.work, self.port = binary, work, port
        self.process = None
        self.token = None
        tokens = work / "tokens"
        tokens.mkdir()
        conf = work / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.env = dict(os.environ, SOFTHSM2_CONF=str(conf), CHANCERY_TEST_PIN="271828")
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", "crash", "--so-pin", "314159", "--pin", "271828"],
            env=self.env, check=True, stdout=subprocess.DEVNULL,
        )
        self.audit = work / "audit" / "audit.jsonl"
        self.audit.parent.mkdir()
        (work / "chancery.toml").write_text(
            f"""
[listener.plain]
address = "127.0.0.1:{port}"

[storage]
url = "sqlite:{work}/chancery.db"

[hsm]
module = "{SOFTHSM}"
token = "crash"
pin = "env:CHANCERY_TEST_PIN"
sessions = 4

[seal]
type = "pkcs11"

[audit.file]
path = "{self.audit}"
"""
        )

    def start(self):
        started = time.monotonic()
        log = open(self.work / "server.log", "ab")
        self.process = subprocess.Popen(
            [self.binary, "server", "--config", str(self.work / "chancery.toml")], env=self.env, stdout=log, stderr=log
        )
        while True:
            if self.process.poll() is not None:
                raise Failure(f"server exited with {self.process.returncode}; see {self.work}/server.log")
            try:
                status, _ = self.call("GET", "sys/health", timeout=1)
                if status in (200, 501):
                    return time.monotonic() - started
            except OSError:
                pass
            if time.monotonic() - started > 20:
                raise Failure("server did not answer within 20 s")
            time.sleep(0.01)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def call(self, method, path, body=None, token=None, timeout=30, connection=None):
        own = connection is None
        if own:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"X-Vault-Request": "true"}
            if token or self.token:
                headers["X-Vault-Token"] = token or self.token
            connection.request(method, "/v1/" + path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if text else None
        finally:
            if own:
                connection.close()

    def must(self, method, path, body=None):
        status, answer = self.call(method, path, body)
        if status not in (200, 204):
            raise Failure(f"{method} {path}: {status} {answer}")
        return answer


class Journal:
    """What the server acknowledged."""

    def __init__(self):
        self.lock = threading.Lock()
        self.certificates, self.ciphertexts, self.tokens, self.requests = [], [], [], []
        self.version = 1

    def counts(self):
        return f"{len(self.certificates)} certificates, {len(self.ciphertexts)} ciphertexts, {len(self.tokens)} tokens, key version {self.version}"


def load(server, journal, stop, seed):
    """One client thread: a random mix until the connection breaks."""
    rng = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        while not stop.is_set():
            kind = rng.choices(("issue", "encrypt", "token", "rotate"), (4, 8, 3, 1))[0]
            if kind == "issue":
                name = f"n{rng.getrandbits(40)}.crash.test"
                status, answer = server.call("POST", "pki/issue/web", {"common_name": name}, connection=connection)
            elif kind == "encrypt":
                plain = base64.b64encode(rng.randbytes(32)).decode()
                status, answer = server.call("POST", "transit/encrypt/app", {"plaintext": plain}, connection=connection)
            elif kind == "token":
                status, answer = server.call("POST", "auth/token/create", {"policies": ["default"], "ttl": "2h"}, connection=connection)
            else:
                status, answer = server.call("POST", "transit/keys/app/rotate", {}, connection=connection)
            if status == 503:
                continue
            if status != 200:
                raise Failure(f"{kind}: {status} {answer}")
            with journal.lock:
                journal.requests.append(answer["request_id"])
                if kind == "issue":
                    journal.certificates.append((answer["data"]["serial_number"], answer["data"]["certificate"]))
                elif kind == "encrypt":
                    journal.ciphertexts.append((plain, answer["data"]["ciphertext"]))
                elif kind == "token":
                    journal.tokens.append(answer["auth"]["client_token"])
                else:
                    journal.version = max(journal.version, answer["data"]["latest_version"])
    except (OSError, http.client.HTTPException, json.JSONDecodeError):
        pass  # the kill
    finally:
        connection.close()


def check(server, journal):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for serial, pem in journal.certificates:
        status, answer = server.call("GET", f"pki/cert/{serial}", connection=connection)
        if status != 200 or answer["data"]["certificate"].strip() != pem.strip():
            raise Failure(f"certificate {serial} was handed out but the inventory answers {status}")
    batch = [{"ciphertext": ciphertext} for _, ciphertext in journal.ciphertexts]
    for start in range(0, len(batch), 500):
        status, answer = server.call("POST", "transit/decrypt/app", {"batch_input": batch[start:start + 500]}, connection=connection)
        if status != 200:
            raise Failure(f"decrypt: {status} {answer}")
        for (plain, _), result in zip(journal.ciphertexts[start:start + 500], answer["data"]["batch_results"]):
            if result.get("plaintext") != plain:
                raise Failure(f"a ciphertext does not decrypt: {result.get('error')}")
    for token in journal.tokens:
        status, answer = server.call("POST", "auth/token/lookup", {"token": token}, connection=connection)
        if status != 200:
            raise Failure(f"a token that was handed out is not known: {status} {answer}")
    key = server.must("GET", "transit/keys/app")
    if key["data"]["latest_version"] < journal.version:
        raise Failure(f"rotation to version {journal.version} was acknowledged, the key is at {key['data']['latest_version']}")
    connection.close()


def check_audit(server, requests):
    verdict = subprocess.run([server.binary, "audit", "verify", str(server.audit)], env=server.env, capture_output=True, text=True)
    if verdict.returncode != 0:
        raise Failure(f"audit verify: {verdict.stdout}{verdict.stderr}")
    seen = set()
    with open(server.audit, encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry.get("type") == "response":
                seen.add(entry["request"]["id"])
    missing = [request for request in requests if request not in seen]
    if missing:
        raise Failure(f"{len(missing)} acknowledged requests have no audit entry, such as {missing[0]}")


def setup(server):
    status, answer = server.call("PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
    if status != 200:
        raise Failure(f"sys/init: {status} {answer}")
    server.token = answer["root_token"]
    server.must("POST", "sys/mounts/transit", {"type": "transit"})
    server.must("POST", "sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
    server.must("POST", "transit/keys/app", {})
    server.must("POST", "pki/root/generate/internal", {"common_name": "Crash Root", "key_type": "ec", "key_bits": 256, "ttl": "8760h"})
    server.must("POST", "pki/roles/web", {"allow_any_name": True, "key_type": "ec", "key_bits": 256, "max_ttl": "72h"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--threads", type=int, default=6)
    parser.add_argument("--limit", type=float, default=2.0, help="seconds until the server must answer again")
    parser.add_argument("--port", type=int, default=18230)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    if SOFTHSM is None:
        sys.exit("kill9: libsofthsm2.so not found; run ./x setup")
    rng = random.Random(options.seed)
    print(f"kill9: {options.rounds} rounds, seed {options.seed}", flush=True)
    slowest, everything = 0.0, Journal()
    with tempfile.TemporaryDirectory(prefix="chancery-kill9-") as folder:
        server = Server(os.path.abspath(options.binary), pathlib.Path(folder), options.port)
        try:
            server.start()
            setup(server)
            for round_number in range(1, options.rounds + 1):
                journal, stop = Journal(), threading.Event()
                failures = []

                def work(seed):
                    try:
                        load(server, journal, stop, seed)
                    except Failure as failure:
                        failures.append(failure)

                threads = [threading.Thread(target=work, args=(rng.getrandbits(32),)) for _ in range(options.threads)]
                for thread in threads:
                    thread.start()
                time.sleep(rng.uniform(0.05, 0.9))
                server.kill()
                stop.set()
                for thread in threads:
                    thread.join()
                if failures:
                    raise failures[0]
                back = server.start()
                slowest = max(slowest, back)
                if back > options.limit:
                    raise Failure(f"the server needed {back:.2f} s to answer again")
                check(server, journal)
                check_audit(server, journal.requests)
                for name in ("certificates", "ciphertexts", "tokens", "requests"):
                    getattr(everything, name).extend(getattr(journal, name))
                everything.version = max(everything.version, journal.version)
                if round_number % 10 == 0:
                    print(f"kill9: round {round_number}: {everything.counts()}; slowest restart {slowest:.2f} s", flush=True)
            check(server, everything)
            check_audit(server, everything.requests)
            print(f"kill9: passed: {options.rounds} kills, {everything.counts()}, 0 lost; slowest restart {slowest:.2f} s")
        except Failure as failure:
            print(f"kill9: FAILED (seed {options.seed}): {failure}", file=sys.stderr)
            log = pathlib.Path(folder) / "server.log"
            if log.exists():
                print(log.read_text(errors="replace")[-3000:], file=sys.stderr)
            sys.exit(1)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
