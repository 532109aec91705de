#!/usr/bin/env python3
"""kill -9 in a loop while ACME orders are on their way.

Each round starts orders from several threads, kills the server with SIGKILL at a random moment, starts it again, and lets every
order go on by cert-manager's rules. Then:

* every order ends valid, none is stuck and none is invalid,
* every certificate of the inventory belongs to exactly one valid order, and every valid order has its certificate,
* no serial number is there twice,
* the audit log's chain verifies.

usage: acme_kill9.py CHANCERY [--rounds N]
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "clients"), str(HERE.parent / "interop/acme")]
from acme_protocol import Client, leaf  # noqa: E402
from cert_manager import SOFTHSM, Order, World  # noqa: E402
from kill9 import Failure  # noqa: E402


class Unplugged(World):
    """Without the shim: nothing is wrong with the token."""

    def __init__(self, binary, folder):
        super().__init__(binary, SOFTHSM, folder)
        self.server.env.pop("CHANCERY_SHIM_CONTROL")


def one_round(world, client, number, threads, rng):
    # Several for each thread, so that whenever the kill comes, some are in the middle.
    orders = [Order(world, client, f"r{number}-{at}.kill.test", 0) for at in range(3 * threads)]
    moment = rng.uniform(0.0, 0.5)

    def kill():
        time.sleep(moment)
        world.server.kill()
        world.start()

    killing = threading.Thread(target=kill)
    killing.start()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(Order.run, orders))
    killing.join()
    if lost := [order for order in done if order.errored]:
        raise Failure(f"round {number}, killed after {moment:.3f} s: {lost[0].names[0]}: {lost[0].errored}")
    return done


def check(world, client, orders):
    """The books: orders, certificates and serial numbers belong together."""
    account = client.account.rsplit("/", 1)[-1]
    serials = {}
    for order in orders:
        serial = leaf(order.certificate).serial_number
        if serial in serials:
            raise Failure(f"the serial number {serial:x} is there twice")
        serials[serial] = order
    listed = set(pages(world, "pki/certs"))
    roots = {serial for serial in listed if int(serial.replace(":", ""), 16) not in serials}
    if len(roots) != 1:
        raise Failure(f"{len(roots) - 1} certificates in the inventory have no order")
    if missing := [serial for serial in serials if not any(int(known.replace(":", ""), 16) == serial for known in listed)]:
        raise Failure(f"{len(missing)} certificates were handed out and are not in the inventory")
    known = {}
    for identifier in pages(world, f"pki/acme/orders/{account}"):
        order = world.server.must("GET", f"pki/acme/orders/{account}/{identifier}")["data"]
        if order["status"] in ("processing", "invalid", "ready"):
            raise Failure(f"the order {identifier} for {order['identifiers']} is {order['status']}: {order.get('error')}")
        if order["status"] == "valid":
            serial = int(order["serial_number"].replace(":", ""), 16)
            if serial in known:
                raise Failure(f"two orders have the serial number {order['serial_number']}")
            known[serial] = identifier
    if set(known) != set(serials):
        raise Failure(f"{len(known)} valid orders, {len(serials)} certificates handed out")


def pages(world, path):
    after = ""
    while True:
        status, answer = world.server.call("LIST", f"{path}?limit=500" + (f"&after={after}" if after else ""))
        keys = answer["data"]["keys"] if status == 200 else []
        yield from keys
        if len(keys) < 500:
            return
        after = keys[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chancery")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    if SOFTHSM is None:
        sys.exit("acme_kill9: libsofthsm2.so not found; run ./x setup")
    rng, orders = random.Random(options.seed), []
    print(f"acme_kill9: {options.rounds} rounds, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chancery-acme-kill9-") as folder:
        world = Unplugged(os.path.abspath(options.chancery), folder)
        try:
            world.start()
            world.setup()
            client = Client(f"{world.base}/acme/directory")
            client.discover()
            client.register()
            for number in range(1, options.rounds + 1):
                orders += one_round(world, client, number, options.threads, rng)
                if number % 10 == 0:
                    check(world, client, orders)
                    print(f"acme_kill9: round {number}: {len(orders)} orders valid", flush=True)
            check(world, client, orders)
            verdict = subprocess.run([options.chancery, "audit", "verify", str(world.server.audit)], env=world.server.env,
                                     capture_output=True, text=True, check=False)
            if verdict.returncode:
                raise Failure(f"audit verify: {verdict.stdout}{verdict.stderr}")
            requeued = sum(order.requeued for order in orders)
            print(f"acme_kill9: passed: {options.rounds} kills, {len(orders)} orders valid, {requeued} times back to the queue, 0 lost")
        except Failure as failure:
            print(f"acme_kill9: FAILED (seed {options.seed}): {failure}", file=sys.stderr)
            print((pathlib.Path(folder) / "server.log").read_text(errors="replace")[-3000:], file=sys.stderr)
            return 1
        finally:
            world.server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
