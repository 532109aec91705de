#!/usr/bin/env python3
"""ACME on two `chancery server` processes with one PostgreSQL database: acme_two_nodes.py CHANCERY SHIM

An account, an order, a challenge and a finalize each on another server; a nonce is good on the server that gave it and nowhere
else; what a server that lives is working on nobody else touches; what a server that was killed was working on, a challenge
and a certificate, the other takes over within a minute; no order gets two certificates.

SHIM is the pass-through PKCS#11 module (package chancery-pkcs11-shim). Needs PyPI cryptography, softhsm2-util, PostgreSQL.
"""

import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "crash"), str(HERE.parent / "interop/acme")]
from acme_protocol import Again, Client, Terminal, b64, certificate_request, leaf  # noqa: E402
from cert_manager import SOFTHSM, Shim  # noqa: E402
from stub import Zone, serve_dns  # noqa: E402
from two_nodes import Cluster, check, pair, within_bound  # noqa: E402

SHIM = os.path.abspath(sys.argv[2])
#: What a server that died was working on is given up after 30 s; the rest is what clients wait between two looks, and load.
TAKEN_OVER = 50


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Balanced(Client):
    """A client whose requests go where the test says, whatever their URLs say: as if a load balancer stood in front."""

    def __init__(self, directory, node):
        super().__init__(directory)
        self.node = node

    def send(self, method, url, body=None):
        path = url.split("/v1/", 1)[1]
        return super().send(method, f"http://127.0.0.1:{self.node.port}/v1/{path}", body)

    def at(self, node):
        self.node = node
        return self


class Order:
    def __init__(self, client, name):
        self.client, self.name = client, name
        self.key, self.request = certificate_request([name])
        self.url, order = client.authorize_order([name])
        self.finalize, (self.authorization,) = order["finalize"], order["authorizations"]

    def answer(self):
        """Says that the challenge is there to be looked at."""
        _, authorization = self.client.read(self.authorization)
        challenge = next(found for found in authorization["challenges"] if found["type"] == "dns-01")
        self.client.accept(challenge)
        return challenge

    def show(self, zone):
        """Shows control of the name."""
        _, authorization = self.client.read(self.authorization)
        challenge = next(found for found in authorization["challenges"] if found["type"] == "dns-01")
        zone.add(f"_acme-challenge.{self.name}", self.client.dns_record(challenge["token"]))

    def status(self):
        return self.client.read(self.url)[1]["status"]

    def certificate(self):
        made = leaf(self.client.create_order_cert(self.url, self.finalize, self.request))
        check(made.public_key() == self.key.public_key(), "the certificate is for another key")
        return made.serial_number


def until(what, attempt, patience):
    began = time.monotonic()
    while not attempt():
        check(time.monotonic() - began < patience, f"{what}: not after {patience} s")
        time.sleep(0.5)
    print(f"  {what} after {time.monotonic() - began:.0f} s", flush=True)


def set_up(one, other, dns):
    one.write("sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
    one.write("pki/root/generate/internal", {"common_name": "Two Nodes", "key_type": "ec", "key_bits": 256, "ttl": "8760h"})
    # Where the load balancer would be; nobody is there, and no server looks.
    one.write("pki/config/cluster", {"path": "http://acme.two.test/v1/pki"})
    one.write("pki/config/acme", {"enabled": True, "dns_resolver": f"127.0.0.1:{dns}"})
    within_bound("a directory", lambda: other.raw("GET", "pki/acme/directory", token=None)[0] == 200)
    client = Balanced("http://acme.two.test/v1/pki/acme/directory", one)
    client.discover()
    client.register()
    return client


def nonces_are_their_servers_own(client, one, other):
    client.at(one).nonces.clear()
    nonce = client.nonce()
    client.nonces.append(nonce)
    client.at(other).calls.clear()
    client.read(client.account)
    statuses = [status for _, status in client.calls]
    check(statuses == [400, 200], f"with the nonce of another server: {statuses}, not badNonce and then 200")
    # The other server did not use it up, and the first takes it once.
    for expected in (200, 400):
        client.at(one).nonces[:] = [nonce]
        client.calls.clear()
        client.read(client.account)
        check(client.calls[0][1] == expected, f"its own server answers {client.calls[0][1]}, not {expected}")


def each_step_elsewhere(client, zone, one, other):
    order = Order(client.at(one), "steps.two.test")
    client.at(other)
    order.show(zone)
    client.at(one)
    order.answer()
    client.at(other)
    until("ready on the other server", lambda: order.status() == "ready", 10)
    serial = order.certificate()
    client.at(one)
    check(order.status() == "valid", "the order is valid on the first server")
    check(order.certificate() == serial, "both hand out the same certificate")
    again = Order(client.at(one), "steps.two.test")
    check(again.status() == "ready", "control that was shown to one server counts on the other")
    return serial


def accounts_are_one(client, one, other):
    guest = Balanced(client.directory_url, one)
    guest.discover()
    guest.register()
    first = guest.account
    guest.at(other).register()
    check(guest.account == first, "a key has one account, wherever it registers")
    guest.at(one).post(first, {"contact": ["mailto:other@a.test"]})
    check(guest.at(other).read(first)[1]["contact"] == ["mailto:other@a.test"], "contacts changed on one server are seen on the other")
    guest.at(other).post(first, {"status": "deactivated"})
    try:
        guest.at(one).read(first)
        check(False, "an account that was deactivated on the other server still works")
    except Terminal as refusal:
        check(refusal.status == 401, f"deactivated elsewhere: {refusal}")


def a_dead_servers_work_is_taken_over(client, zone, one, other, shim):
    order = Order(client.at(one), "dead.two.test")
    order.show(zone)
    order.answer()
    until("ready", lambda: order.status() == "ready", 10)
    shim.order("fail C_SignInit 0x30 1000000")
    shim.order("fail C_Sign 0x30 1000000")
    headers, data = client.post(order.finalize, {"csr": b64(order.request)})
    check(json.loads(data)["status"] == "processing", f"finalize without a token: {data}")
    # The other server has the token, and would be done at once; but the first is at it, and says so.
    client.at(other)
    began = time.monotonic()
    while time.monotonic() - began < 36:
        check(order.status() == "processing", "what a server that lives is working on was taken from it")
        time.sleep(2)
    waiting = Order(client.at(one), "silent.two.test")
    waiting.answer()
    _, authorization = client.read(waiting.authorization)
    statuses = {challenge["type"]: challenge["status"] for challenge in authorization["challenges"]}
    check(statuses["dns-01"] == "processing", f"the challenge is {statuses}")
    one.kill()
    client.at(other)
    waiting.show(zone)
    until("the certificate the dead server was making", lambda: order.status() == "valid", TAKEN_OVER)
    until("the challenge the dead server was looking into", lambda: waiting.status() == "ready", TAKEN_OVER)
    shim_off(one)
    one.start()
    client.at(one)
    return [order.certificate(), waiting.certificate()]


def shim_off(node):
    """The shim was told what to break, not the server: a new process breaks nothing."""
    Path(node.environment["CHANCERY_SHIM_CONTROL"]).unlink(missing_ok=True)


def run(work, cluster, nodes):
    ports = [int(port) for port in os.environ["TWO_NODES_PORTS"].split(",")] if "TWO_NODES_PORTS" in os.environ else [free_port(), free_port()]
    dns, zone = free_port(), Zone()
    serve_dns(zone, dns)

    def variables(name):
        control = work / f"{name}.sock"
        # The process before left its socket there.
        control.unlink(missing_ok=True)
        return {"CHANCERY_SHIM_MODULE": SOFTHSM, "CHANCERY_SHIM_CONTROL": str(control)}

    one, other = pair(work, cluster, nodes, ports, SHIM, variables)
    client = set_up(one, other, dns)
    print("nonces", flush=True)
    nonces_are_their_servers_own(client, one, other)
    print("each step of an order on another server", flush=True)
    serials = [each_step_elsewhere(client, zone, one, other)]
    print("accounts", flush=True)
    accounts_are_one(client, one, other)
    print("a server is killed while it looks into a challenge and makes a certificate", flush=True)
    serials += a_dead_servers_work_is_taken_over(client, zone, one, other, Shim(str(work / "one.sock")))
    check(len(set(serials)) == len(serials), "a serial number twice")
    listed = {int(serial.replace(":", ""), 16) for serial in one.call("LIST", "pki/certs")["data"]["keys"]}
    check(set(serials) <= listed, "a certificate that was handed out is not in the inventory")
    check(len(listed) == len(serials) + 1, f"{len(listed) - 1} certificates for {len(serials)} orders")


def main():
    work = Path(tempfile.mkdtemp(prefix="chancery-acme-two-"))
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
    print("ACME on two servers: all held")


if __name__ == "__main__":
    try:
        main()
    except Again as reason:
        sys.exit(f"acme_two_nodes.py: {reason}")
