#!/usr/bin/env python3
"""The hook of every client: puts an answer where validation looks, and takes it away. Which client calls is in $STYLE."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from stub import order  # noqa: E402

PORT, WEB = os.environ["ORDERS_PORT"], pathlib.Path(os.environ["WEB_FOLDER"])


def text(name, value, present):
    order(PORT, "add" if present else "clear", name=name, **({"text": value} if present else {}))


def certbot():
    name = f"_acme-challenge.{os.environ['CERTBOT_DOMAIN']}"
    text(name, os.environ["CERTBOT_VALIDATION"], "CERTBOT_AUTH_OUTPUT" not in os.environ)


def lego(what, name, value, *_):
    text(name, value, what == "present")


def uacme(what, kind, name, token, value):
    """Exit status 0 takes a challenge, 1 declines it."""
    if kind != os.environ["CHALLENGE"]:
        return 1
    if kind == "http-01":
        (WEB / token).write_text(value) if what == "begin" else (WEB / token).unlink(missing_ok=True)
    elif kind == "tls-alpn-01":
        said = f"auth {name} {value}" if what == "begin" else f"unauth {name}"
        done = subprocess.run(["ualpn", "-s", os.environ["UALPN_SOCKET"]], input=said + "\n", capture_output=True, text=True, check=False)
        return 0 if done.stdout.strip() == "OK" else 1
    elif kind == "dns-01":
        text(f"_acme-challenge.{name}", value, what == "begin")
    return 0


def dehydrated(what, *rest):
    if what in ("deploy_challenge", "clean_challenge") and os.environ["CHALLENGE"] == "dns-01":
        text(f"_acme-challenge.{rest[0]}", rest[2], what == "deploy_challenge")


if __name__ == "__main__":
    sys.exit({"certbot": certbot, "lego": lego, "uacme": uacme, "dehydrated": dehydrated}[os.environ["STYLE"]](*sys.argv[1:]) or 0)
