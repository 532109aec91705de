#!/usr/bin/env python3
"""cert-manager's calls, in its order and by its rules, against a server whose HSM is slow, full, lost and back.

An order is lost for good where cert-manager marks it errored: any 4xx but badNonce, an order that is invalid, one that is still
`processing` when nobody asks again. 5xx and broken connections go back to the work queue. No order may be lost for a fault that
passes: not when C_Sign fails for seconds, not when sessions are all busy, not when the controller restarts in the middle and
finalizes a second time, not when the server itself restarts.

usage: cert_manager.py CHANCERY SHIM [--orders N]

SHIM is the pass-through PKCS#11 module (package chancery-pkcs11-shim), told over its socket what to break.
"""

import argparse
import concurrent.futures
import contextlib
import os
import pathlib
import random
import re
import socket
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "crash"), str(HERE.parent / "interop/acme")]
from acme_protocol import Again, Client, Restarted, Terminal, certificate_request, leaf  # noqa: E402
from kill9 import SOFTHSM, Server  # noqa: E402
from stub import Zone, serve_dns  # noqa: E402

#: cert-manager waits 5 s, then twice as long each time, up to half an hour. Here a tenth of it, up to 4 s.
FIRST_DELAY, LONGEST_DELAY = 0.5, 4.0


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Shim:
    def __init__(self, path):
        self.path = path

    def order(self, text):
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(self.path)
            control.sendall(f"{text}\n".encode())
            answer = control.makefile().readline().strip()
        assert answer == "ok" or answer.isdigit(), f"{text}: {answer}"
        return answer


class World:
    """The server, its token behind the shim, and the DNS."""

    def __init__(self, binary, shim, folder):
        self.dns, self.zone = free_port(), Zone()
        serve_dns(self.zone, self.dns)
        self.server = Server(os.path.abspath(binary), pathlib.Path(folder), free_port())
        config = pathlib.Path(folder) / "chancery.toml"
        config.write_text(re.sub(r'module = "[^"]*"', f'module = "{os.path.abspath(shim)}"', config.read_text()))
        self.control = str(pathlib.Path(folder) / "shim.sock")
        self.server.env |= {"CHANCERY_SHIM_MODULE": SOFTHSM, "CHANCERY_SHIM_CONTROL": self.control}
        self.shim = Shim(self.control)
        self.base = f"http://127.0.0.1:{self.server.port}/v1/pki"

    def start(self):
        pathlib.Path(self.control).unlink(missing_ok=True)
        self.server.start()

    def restart(self):
        self.server.stop()
        self.start()

    def setup(self):
        must = self.server.must
        _, answer = self.server.call("PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
        self.server.token = answer["root_token"]
        must("POST", "sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
        must("POST", "pki/root/generate/internal", {"common_name": "Root", "key_type": "ec", "key_bits": 256, "ttl": "8760h"})
        must("POST", "pki/config/cluster", {"path": self.base})
        must("POST", "pki/config/acme", {"enabled": True, "dns_resolver": f"127.0.0.1:{self.dns}"})


class Order:
    """One Order resource, and what its controller knows of it."""

    def __init__(self, world, client, name, restarts):
        self.world, self.client, self.names = world, client, [name]
        self.key, self.request = certificate_request(self.names)
        self.url = self.finalize = self.certificate = None
        self.ready, self.restarts, self.accepted = False, restarts, set()
        self.errored, self.requeued = None, 0

    def leave(self):
        """Whether the controller goes away now."""
        self.restarts -= 1
        return self.restarts >= 0

    def sync(self):
        client = self.client
        if self.url is None:
            self.url, order = client.authorize_order(self.names)
            self.finalize, self.authorizations = order["finalize"], order["authorizations"]
        if not self.ready:
            for url in self.authorizations:
                self.challenge(url)
            _, order = client.read(self.url)
            # cm#2868: authorization and order become ready together.
            if order["status"] not in ("ready", "processing", "valid"):
                raise Terminal(0, {"type": "order", "detail": f"authorizations are valid, the order is {order['status']}: {order.get('error')}"})
            self.ready = True
        # What it knows is stored; it does not look again before it finalizes.
        self.certificate = client.create_order_cert(self.url, self.finalize, self.request, self.leave)

    def challenge(self, url):
        client = self.client
        _, authorization = client.read(url)
        if authorization["status"] == "pending":
            challenge = next(found for found in authorization["challenges"] if found["type"] == "dns-01")
            if url not in self.accepted:
                self.world.zone.add(f"_acme-challenge.{self.names[0]}", client.dns_record(challenge["token"]))
                client.accept(challenge)
                self.accepted.add(url)
            authorization = client.wait(url, ("valid", "invalid"), 120)
        if authorization["status"] != "valid":
            raise Terminal(0, {"type": "authorization", "detail": str(authorization)})

    def run(self, patience=100):
        """The work queue."""
        delay, deadline = FIRST_DELAY, time.monotonic() + patience
        while self.certificate is None:
            try:
                self.sync()
            except Restarted:
                continue
            except Again as reason:
                self.requeued += 1
                if time.monotonic() > deadline:
                    self.errored = f"still failing after {patience} s: {reason}"
                    return self
                time.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
            except (Terminal, TimeoutError, AssertionError) as reason:
                self.errored = f"{type(reason).__name__}: {reason}"
                return self
        return self


def during(world, orders, trouble):
    """Runs the orders while `trouble` happens beside them."""
    beside = threading.Thread(target=trouble)
    beside.start()
    with concurrent.futures.ThreadPoolExecutor(len(orders)) as pool:
        done = list(pool.map(Order.run, orders))
    beside.join()
    world.shim.order("delay 0")
    world.shim.order("reset")
    return done


def scenarios(world):
    shim = world.shim.order

    def lost(code, seconds):
        def trouble():
            time.sleep(0.1)
            for function in ("C_SignInit", "C_Sign"):
                shim(f"fail {function} {code} 1000000")
            time.sleep(seconds)
            shim("reset")

        return trouble

    def slow():
        shim("delay 60000")
        time.sleep(4)
        shim("delay 0")

    def server_restarts():
        time.sleep(0.4)
        world.restart()

    def lost_over_a_restart():
        shim("fail C_Sign 0x30 1000000")
        time.sleep(1.5)
        world.restart()

    return [
        ("nothing wrong", 0, lambda: None),
        ("slow: 60 ms for every call to the token", 0, slow),
        ("slow, and the controller restarts while it waits", 2, slow),
        ("lost: CKR_DEVICE_REMOVED for 4 s", 0, lost("0x32", 4)),
        ("lost: CKR_DEVICE_ERROR for 3 s, and the controller restarts", 2, lost("0x30", 3)),
        ("full: CKR_SESSION_COUNT for 3 s", 1, lost("0xb1", 3)),
        ("out of memory: CKR_DEVICE_MEMORY for 2 s", 0, lost("0x31", 2)),
        ("the server restarts", 1, server_restarts),
        ("the token is lost, and the server restarts", 1, lost_over_a_restart),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chancery")
    parser.add_argument("shim")
    parser.add_argument("--orders", type=int, default=8, help="at once, in each scenario")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    if SOFTHSM is None:
        sys.exit("cert_manager: libsofthsm2.so not found; run ./x setup")
    random.seed(options.seed)
    serials, failed, total = set(), [], 0
    with tempfile.TemporaryDirectory(prefix="chancery-cm-") as folder:
        world = World(options.chancery, options.shim, folder)
        try:
            world.start()
            world.setup()
            client = Client(f"{world.base}/acme/directory")
            client.discover()
            client.register()
            first = client.account
            client.register()
            assert client.account == first, "a key has one account"
            for number, (title, restarts, trouble) in enumerate(scenarios(world)):
                began = time.monotonic()
                orders = [Order(world, client, f"s{number}-{at}.cm.test", restarts) for at in range(options.orders)]
                for order in during(world, orders, trouble):
                    total += 1
                    if order.errored:
                        failed.append(f"{title}: {order.names[0]}: {order.errored}")
                        continue
                    certificate = leaf(order.certificate)
                    assert certificate.public_key() == order.key.public_key(), "the certificate is for another key"
                    assert certificate.serial_number not in serials, "a serial number twice"
                    serials.add(certificate.serial_number)
                requeued = sum(order.requeued for order in orders)
                print(f"  {time.monotonic() - began:5.1f} s  {title}: {len(orders)} orders, {requeued} times back to the queue", flush=True)
        finally:
            world.server.stop()
            if failed:
                print((pathlib.Path(folder) / "server.log").read_text(errors="replace")[-3000:], file=sys.stderr)
    for failure in failed:
        print(f"cert_manager: ERRORED: {failure}", file=sys.stderr)
    print(f"cert_manager: {total} orders, {len(failed)} errored, {len(client.calls)} calls (seed {options.seed})")
    return 1 if failed or not total else 0


if __name__ == "__main__":
    sys.exit(main())
