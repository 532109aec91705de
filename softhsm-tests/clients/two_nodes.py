#!/usr/bin/env python3
"""Two `chancery server` processes on one PostgreSQL database and one token: two_nodes.py CHANCERY

What one of them changes works on the other within the bound that docs/operations.md states; what either acknowledged
survives `kill -9` of a server and of the database; CRL numbers never step back and no revocation is lost, whoever revokes
and whoever rebuilds.

The token is SoftHSM 2.6.1. It breaks when two threads or processes create objects at the same time, so everything that
makes a key in the token happens on one server while the other does not; signing with keys goes on from both at once.
Needs PyPI cryptography (to read CRLs), a built `chancery`, softhsm2-util and PostgreSQL.
"""

import base64
import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from cryptography import x509

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from with_postgres import Cluster  # noqa: E402

CHANCERY = sys.argv[1]
PORTS = [int(port) for port in os.environ.get("TWO_NODES_PORTS", "19510,19511").split(",")]
MODULE = next(p for p in ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so") if os.path.exists(p))
# The bound of docs/operations.md, and what a loaded machine may add to it.
BOUND, SLACK = 1.0, 1.5
LOAD_SECONDS = float(os.environ.get("TWO_NODES_LOAD", "6"))


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status} {body[:300]}")
        self.status, self.body = status, body


def check(condition, text):
    if not condition:
        raise SystemExit(f"two_nodes.py: {text}")


class Node:
    def __init__(self, name, port, config, environment, log):
        self.name, self.port, self.config, self.environment = name, port, config, environment
        self.log = open(log, "ab")
        self.process = None
        self.token = None

    def start(self):
        began = time.monotonic()
        self.process = subprocess.Popen([CHANCERY, "server", "--config", self.config], env=self.environment, stdout=self.log, stderr=self.log)
        while True:
            check(self.process.poll() is None, f"{self.name} ended at its start; see its log:\n{open(self.log.name).read()[-3000:]}")
            try:
                status, _ = self.raw("GET", "sys/health?sealedcode=299&uninitcode=298", token=None)
                if status == 200:
                    return self
            except OSError:
                pass
            check(time.monotonic() - began < 60, f"{self.name} did not come up:\n{open(self.log.name).read()[-3000:]}")
            time.sleep(0.1)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            check(self.process.wait(30) == 0, f"{self.name} did not end well")

    def raw(self, method, path, body=None, token="", timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"X-Vault-Request": "true"}
            if token is not None:
                headers["X-Vault-Token"] = token or self.token
            connection.request(method, f"/v1/{path}", json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def call(self, method, path, body=None, token=""):
        status, answer = self.raw(method, path, body, token)
        if status >= 300:
            raise Refused(status, answer.decode(errors="replace"))
        return json.loads(answer) if answer else {}

    def read(self, path, token=""):
        return self.call("GET", path, None, token)

    def write(self, path, body=None, token=""):
        return self.call("POST", path, body or {}, token)


def within_bound(what, attempt):
    """`attempt` must come true within the bound; says how long it took."""
    began = time.monotonic()
    while not attempt():
        check(time.monotonic() - began < BOUND + SLACK, f"{what}: not seen after {time.monotonic() - began:.1f} s")
        time.sleep(0.02)
    took = time.monotonic() - began
    print(f"  {what}: seen after {took * 1000:.0f} ms")


def refused(node, method, path, body=None, token="", status=403):
    try:
        node.call(method, path, body, token)
        return False
    except Refused as error:
        check(error.status == status, f"{path}: {error}")
        return True


def crl(node):
    status, der = node.raw("GET", "pki/crl", token=None)
    if status != 200:
        raise Refused(status, der.decode(errors="replace"))
    listed = x509.load_der_x509_crl(der)
    number = listed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return number, {entry.serial_number for entry in listed}, der


def serial_number(text):
    return int(text.replace(":", ""), 16)


# ------------------------------------------------------------------------------------------------------------- cases


def changes_are_seen(one, other):
    one.write("sys/mounts/transit", {"type": "transit"})
    within_bound("a new mount", lambda: any(key == "transit/" for key in other.read("sys/mounts")["data"]))
    one.write("sys/mounts/secret", {"type": "kv-v2"})
    one.write("sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
    within_bound("more mounts", lambda: {"pki/", "secret/"} <= set(other.read("sys/mounts")["data"]))

    one.call("PUT", "sys/policies/acl/app", {"policy": 'path "secret/data/app" { capabilities = ["read"] }'})
    one.write("secret/data/app", {"data": {"a": "1"}})
    token = one.write("auth/token/create", {"policies": ["app"]})["auth"]["client_token"]
    check(other.read("secret/data/app", token)["data"]["data"] == {"a": "1"}, "the token of one server works on the other")
    check(refused(other, "POST", "secret/data/app", {"data": {}}, token), "the policy holds")
    one.call("PUT", "sys/policies/acl/app", {"policy": 'path "secret/data/app" { capabilities = ["read", "update"] }'})
    within_bound("a changed policy", lambda: not refused(other, "POST", "secret/data/app", {"data": {"a": "2"}}, token))
    other.call("DELETE", "sys/policies/acl/app")
    within_bound("a deleted policy", lambda: refused(one, "GET", "secret/data/app", None, token))

    # The request reads nothing of the token but what is in the other server's memory.
    one.call("PUT", "sys/policies/acl/reader", {"policy": 'path "secret/data/app" { capabilities = ["read"] }'})
    for node, elsewhere in ((one, other), (other, one)) * 3:
        token = node.write("auth/token/create", {"policies": ["reader"]})["auth"]["client_token"]
        for _ in range(3):
            elsewhere.read("secret/data/app", token)
        node.write("auth/token/revoke", {"token": token})
        check(refused(node, "GET", "secret/data/app", None, token), "revoked where it was revoked")
        within_bound("a revoked token", lambda: refused(elsewhere, "GET", "secret/data/app", None, token))

    one.write("transit/keys/k")
    plaintext = base64.b64encode(b"hello").decode()
    first = other.write("transit/encrypt/k", {"plaintext": plaintext})["data"]["ciphertext"]
    check(first.startswith("vault:v1:"), first)
    one.write("transit/keys/k/rotate")
    within_bound("a rotated transit key", lambda: other.write("transit/encrypt/k", {"plaintext": plaintext})["data"]["ciphertext"].startswith("vault:v2:"))
    check(one.write("transit/decrypt/k", {"ciphertext": first})["data"]["plaintext"] == plaintext, "old versions decrypt")
    one.write("transit/keys/k/config", {"min_decryption_version": 2})
    within_bound("a raised minimum version", lambda: refused(other, "POST", "transit/decrypt/k", {"ciphertext": first}, status=400))

    before = one.read("sys/key-status")["data"]["term"]
    one.write("sys/rotate")
    within_bound("a rotated barrier key", lambda: other.read("sys/key-status")["data"]["term"] == before + 1)
    other.write("secret/data/after-rotation", {"data": {"by": "other"}})
    check(one.read("secret/data/after-rotation")["data"]["data"] == {"by": "other"}, "written under the new key, read by the first")

    # Two servers that mount at the same path at the same time: one wins.
    outcomes = []

    def mount(node):
        try:
            node.write("sys/mounts/same", {"type": "kv"})
            outcomes.append("mounted")
        except Refused as error:
            outcomes.append(error.status)

    for _ in range(3):
        outcomes.clear()
        threads = [threading.Thread(target=mount, args=(node,)) for node in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(outcomes.count("mounted") == 1, f"two mounts at one path: {outcomes}")
        within_bound("the one mount", lambda: all("same/" in node.read("sys/mounts")["data"] for node in (one, other)))
        other.call("DELETE", "sys/mounts/same")
        within_bound("its removal", lambda: refused(one, "GET", "same/x", status=404) and "same/" not in one.read("sys/mounts")["data"])


def issue(node, name="a.example.com"):
    return node.write("pki/issue/web", {"common_name": name, "ttl": "1h"})["data"]


def certificates_and_crls(one, other):
    one.write("pki/root/generate/internal", {"common_name": "Two Nodes Root", "key_type": "ec", "key_bits": 256, "ttl": "8760h"})
    one.write("pki/roles/web", {"allowed_domains": "example.com", "allow_subdomains": True, "key_type": "ec", "key_bits": 256, "max_ttl": "24h"})
    within_bound("a new authority", lambda: issue_works(other))
    made = issue(one)
    check(other.read(f"pki/cert/{made['serial_number']}")["data"]["certificate"].strip() == made["certificate"].strip(), "the certificate of one is known to the other")
    other.write("pki/revoke", {"serial_number": made["serial_number"]})
    within_bound("a revocation in the CRL", lambda: serial_number(made["serial_number"]) in crl(one)[1])


def issue_works(node):
    try:
        issue(node)
        return True
    except Refused as error:
        check(error.status in (400, 404, 500, 503), str(error))
        return False


class Load:
    """Threads that issue, revoke, write and rebuild on several servers, and remember what was acknowledged."""

    def __init__(self, nodes, watch=True):
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.issued, self.revoked, self.written = {}, set(), {}
        # Of each CRL number the list that had it, and when it was first seen anywhere.
        self.lists, self.first_seen, self.readings, self.late = {}, {}, 0, 0.0
        self.failures = {}
        self.backward = []
        self.threads = []
        for node in nodes:
            self.threads += [threading.Thread(target=self.certify, args=(node,)) for _ in range(2)]
            self.threads.append(threading.Thread(target=self.store, args=(node,)))
            if watch:
                self.threads.append(threading.Thread(target=self.rotate, args=(node,)))
                self.threads.append(threading.Thread(target=self.observe, args=(node,)))
        for thread in self.threads:
            thread.start()

    def guarded(self, work):
        try:
            return work()
        except (Refused, OSError, http.client.HTTPException) as error:
            with self.lock:
                key = getattr(error, "status", type(error).__name__)
                self.failures[key] = self.failures.get(key, 0) + 1
            time.sleep(0.02)
            return None

    def certify(self, node):
        while not self.stop.is_set():
            made = self.guarded(lambda: issue(node))
            if made is None:
                continue
            serial = made["serial_number"]
            with self.lock:
                self.issued[serial] = made["certificate"]
            if secrets.randbelow(2) and self.guarded(lambda: node.write("pki/revoke", {"serial_number": serial})) is not None:
                with self.lock:
                    self.revoked.add(serial)

    def store(self, node):
        count = 0
        while not self.stop.is_set():
            count += 1
            key = f"{node.name}-{count}-{secrets.token_hex(4)}"
            if self.guarded(lambda: node.write(f"secret/data/{key}", {"data": {"n": count}})) is not None:
                with self.lock:
                    self.written[key] = count

    def rotate(self, node):
        while not self.stop.is_set():
            self.guarded(lambda: node.read("pki/crl/rotate"))
            time.sleep(0.05)

    def observe(self, node):
        """A server's numbers never go back, one number is one list, and no server is behind another by more than the bound."""
        last = 0
        while not self.stop.is_set():
            asked = time.monotonic()
            seen = self.guarded(lambda: crl(node))
            if seen is None:
                continue
            number, _, der = seen
            now = time.monotonic()
            with self.lock:
                self.readings += 1
                if number < last:
                    self.backward.append(f"{node.name}: {number} after {last}")
                if self.lists.setdefault(number, der) != der:
                    self.backward.append(f"{node.name}: another list with number {number}")
                self.first_seen.setdefault(number, now)
                newer = [at for other, at in self.first_seen.items() if other > number]
                self.late = max(self.late, asked - min(newer, default=asked))
            last = number

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
            check(not thread.is_alive(), "a request hangs")

    def kept_by(self, node):
        for serial, certificate in self.issued.items():
            stored = node.read(f"pki/cert/{serial}")["data"]
            check(stored["certificate"].strip() == certificate.strip(), f"{serial} is not the certificate that was handed out")
        for serial in self.revoked:
            check(node.read(f"pki/cert/{serial}")["data"]["revocation_time"] > 0, f"the revocation of {serial} is lost")
        for key, count in self.written.items():
            check(node.read(f"secret/data/{key}")["data"]["data"] == {"n": count}, f"secret/{key} is lost")


def load_by_both(one, other):
    load = Load([one, other])
    time.sleep(LOAD_SECONDS)
    load.end()
    check(not load.failures, f"requests failed under load: {load.failures}")
    check(not load.backward, f"CRL numbers stepped back: {load.backward[:5]}")
    check(load.late < BOUND + SLACK, f"a list was handed out {load.late:.1f} s after its successor")
    check(len(load.revoked) > 10 and len(load.lists) > 3, f"too little happened: {len(load.revoked)} revocations, CRL numbers {sorted(load.lists)}")
    revoked = {serial_number(serial) for serial in load.revoked}
    for node in (one, other):
        within_bound("every revocation in the CRL", lambda: revoked <= crl(node)[1])
        load.kept_by(node)
    print(f"  {len(load.issued)} certificates, {len(load.revoked)} revocations, {len(load.written)} secrets by both; "
          f"CRL numbers {min(load.lists)} to {max(load.lists)} in {load.readings} readings, at most {load.late * 1000:.0f} ms behind")


def kill_a_server_under_load(one, other, cluster):
    load = Load([one, other], watch=False)
    time.sleep(LOAD_SECONDS / 2)
    epoch = int(cluster.sql("SELECT epoch FROM job_leases", "chancery"))
    one.kill()
    killed = time.monotonic()
    time.sleep(LOAD_SECONDS / 3)
    load.end()
    load.kept_by(other)
    print(f"  killed {one.name}: {len(load.issued)} certificates, {len(load.revoked)} revocations, {len(load.written)} secrets are all there")
    while int(cluster.sql("SELECT epoch FROM job_leases", "chancery")) == epoch:
        check(time.monotonic() - killed < 50, "nobody took the background jobs over")
        time.sleep(0.5)
    print(f"  the other server took the background jobs over {time.monotonic() - killed:.0f} s later")
    one.start()
    load.kept_by(one)


def kill_the_database_under_load(one, other, cluster):
    load = Load([one, other], watch=False)
    time.sleep(LOAD_SECONDS / 3)
    cluster.stop("immediate")
    time.sleep(1.5)
    for node in (one, other):
        began = time.monotonic()
        status, _ = node.raw("GET", "secret/data/app")
        check(status == 503, f"{node.name} answers {status} without a database")
        check(time.monotonic() - began < 20, f"{node.name} took {time.monotonic() - began:.1f} s to say so")
    cluster.start()
    began = time.monotonic()
    for node in (one, other):
        while refused_for_now(node):
            check(time.monotonic() - began < 30, f"{node.name} does not come back")
            time.sleep(0.1)
    print(f"  both serve again {time.monotonic() - began:.1f} s after the database")
    time.sleep(1)
    load.end()
    check(set(load.failures) <= {503, 500}, f"answers without a database: {load.failures}")
    for node in (one, other):
        load.kept_by(node)
    print(f"  {len(load.issued)} certificates, {len(load.revoked)} revocations, {len(load.written)} secrets are all there; answers meanwhile: {load.failures}")


def refused_for_now(node):
    status, _ = node.raw("GET", "sys/mounts")
    return status != 200


def main():
    work = Path(tempfile.mkdtemp(prefix="chancery-two-nodes-"))
    nodes = []
    try:
        with Cluster() as cluster:
            run(work, cluster, nodes)
    except BaseException:
        for node in nodes:
            print(f"--- log of {node.name}\n{Path(node.log.name).read_text()[-4000:]}", file=sys.stderr)
        raise
    finally:
        for node in nodes:
            if node.process and node.process.poll() is None:
                node.process.kill()
        shutil.rmtree(work, ignore_errors=True)
    print("two servers, one database: all held")


def pair(work, cluster, nodes, ports, module=MODULE, variables=lambda name: {}):
    """Two servers on the database, with one token; what is in `nodes` is stopped by the caller. `variables` are those of a server."""
    cluster.sql("CREATE DATABASE chancery TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'")
    tokens = work / "tokens"
    tokens.mkdir()
    (work / "softhsm2.conf").write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    environment = dict(os.environ, SOFTHSM2_CONF=str(work / "softhsm2.conf"))
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "two", "--so-pin", "314159", "--pin", "271828"],
                   env=environment, check=True, stdout=subprocess.DEVNULL)
    for name, text in (("pin", "271828"), ("database-password", cluster.password)):
        (work / name).write_text(text)
        (work / name).chmod(0o600)

    def init(name, port, *more):
        done = subprocess.run([CHANCERY, "init", "--dir", work / name, "--module", module, "--token", "two", "--pin-file", work / "pin",
                               "--listen", f"127.0.0.1:{port}", "--storage", cluster.url("chancery"), "--storage-password-file", work / "database-password",
                               "--non-interactive", "--format", "json", *more], env=environment | variables(name), capture_output=True, text=True)
        check(done.returncode == 0, f"init failed: {done.stdout}{done.stderr}")
        configuration = work / name / "chancery.toml"
        check(cluster.password not in configuration.read_text() + done.stdout + done.stderr, "the password is shown")
        # Checkpoints early, so that the key that signs them is made while one server is alone with the token.
        with configuration.open("a") as file:
            file.write('\n[checkpoint]\nlines = 3\nevery = "1s"\n')
        return done, configuration

    done, first = init("one", ports[0])
    root = json.loads(done.stdout)["root_token"]
    _, second = init("other", ports[1], "--join")
    one = Node("one", ports[0], first, environment | variables("one"), work / "one.log")
    other = Node("other", ports[1], second, environment | variables("other"), work / "other.log")
    nodes += [one, other]
    one.token = other.token = root
    one.start()
    for _ in range(5):
        one.read("sys/mounts")
    time.sleep(2.5)
    other.start()
    return one, other


def run(work, cluster, nodes):
    one, other = pair(work, cluster, nodes, PORTS)
    for node in (one, other):
        doctor = subprocess.run([CHANCERY, "doctor", "--config", node.config], env=node.environment, capture_output=True, text=True)
        check("ok    database: chancery on 127.0.0.1" in doctor.stdout, f"doctor: {doctor.stdout}{doctor.stderr}")

    for name, case in (
        ("what one changes the other sees", lambda: changes_are_seen(one, other)),
        ("certificates and CRLs of one authority", lambda: certificates_and_crls(one, other)),
        ("both issue, revoke and rebuild at once", lambda: load_by_both(one, other)),
        ("kill -9 of a server under load", lambda: kill_a_server_under_load(one, other, cluster)),
        ("kill of the database under load", lambda: kill_the_database_under_load(one, other, cluster)),
    ):
        print(f"{name}", flush=True)
        case()
    for node in (one, other):
        node.stop()
        audit = work / node.name / "audit.jsonl"
        done = subprocess.run([CHANCERY, "audit", "verify", audit], capture_output=True, text=True)
        check(done.returncode == 0, f"the audit log of {node.name}: {done.stdout}{done.stderr}")
        check(cluster.password not in audit.read_text() + Path(node.log.name).read_text(), "the database password is in a log")


if __name__ == "__main__":
    main()
