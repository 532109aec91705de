#!/usr/bin/env python3
"""Programs in the field that use transit, against ours: SOPS, a Python application, cosign, a Kubernetes KMS provider, OpenBao.

usage, with the server's address and token in VAULT_ADDR and VAULT_TOKEN:
    chancery dev --port 0 -- transit_clients.py --sops PATH --bao PATH

SOPS, hvac and OpenBao are the real programs. cosign and the KMS provider cannot be installed from a package registry: their
HTTP calls, read in their sources, are sent as they send them (paths with doubled slashes, numbers as texts).
"""

import argparse
import base64
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

import hvac
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "interop"))
from peers import Api, Facts, Refused, environment, free_port, process  # noqa: E402
from transit_blobs import b64  # noqa: E402

ADDRESS, TOKEN = os.environ["VAULT_ADDR"], os.environ["VAULT_TOKEN"]


# ------------------------------------------------------------------------------------------------- a Python application


def application(facts, home):
    """Envelope encryption of a file with hvac, and a small file as one ciphertext."""
    client = hvac.Client(url=ADDRESS, token=TOKEN)
    client.sys.enable_secrets_engine("transit", path="app")
    transit = client.secrets.transit
    transit.create_key("files", mount_point="app")
    content = os.urandom(3_000_000)
    made = transit.generate_data_key("files", key_type="plaintext", mount_point="app")["data"]
    key, nonce = base64.b64decode(made["plaintext"]), os.urandom(12)
    sealed = home / "file.sealed"
    sealed.write_text(json.dumps({"key": made["ciphertext"], "nonce": b64(nonce), "body": b64(AESGCM(key).encrypt(nonce, content, None))}))
    del key
    transit.rotate_key("files", mount_point="app")
    read = json.loads(sealed.read_text())
    key = base64.b64decode(transit.decrypt_data("files", read["key"], mount_point="app")["data"]["plaintext"])
    opened = AESGCM(key).decrypt(base64.b64decode(read["nonce"]), base64.b64decode(read["body"]), None)
    facts.hold(opened == content, "a file sealed with a data key opens after the key was rotated")
    small = transit.encrypt_data("files", plaintext=b64(content[:60_000]), mount_point="app")["data"]["ciphertext"]
    newer = transit.rewrap_data("files", small, mount_point="app")["data"]["ciphertext"]
    back = base64.b64decode(transit.decrypt_data("files", newer, mount_point="app")["data"]["plaintext"])
    facts.hold(back == content[:60_000], "60,000 bytes round-trip in one ciphertext and through rewrap")
    chunks = [{"plaintext": b64(content[at : at + 4096])} for at in range(0, 400_000, 4096)]
    texts = transit.encrypt_data("files", plaintext=None, batch_input=chunks, mount_point="app")["data"]["batch_results"]
    opened = transit.decrypt_data("files", ciphertext=None, mount_point="app",
                                  batch_input=[{"ciphertext": text["ciphertext"]} for text in texts])["data"]["batch_results"]  # fmt: skip
    facts.hold([item["plaintext"] for item in opened] == [chunk["plaintext"] for chunk in chunks], "a file in a batch keeps its order")
    facts.section("a Python application with hvac")


# ---------------------------------------------------------------------------------------------------------------- SOPS


def sops(facts, home, binary, api):
    """The real binary: encrypt, look, edit, rotate, decrypt; a second key; a token without the right."""
    api.call("POST", "sys/mounts/sops", {"type": "transit"})
    key = f"{ADDRESS}/v1/sops/keys/team"
    run = lambda *arguments, token=TOKEN, fails=False: sops_run(facts, home, binary, token, fails, arguments)  # noqa: E731
    plain = home / "secrets.yaml"
    plain.write_text("database:\n  password: correct horse\n  port: 5432\nlist:\n  - one\n  - two\n")
    encrypted = run("encrypt", "--hc-vault-transit", key, str(plain))
    facts.hold("correct horse" not in encrypted and "vault:v1:" in encrypted, "SOPS wraps its key with transit")
    secret = home / "secrets.enc.yaml"
    secret.write_text(encrypted)
    facts.hold("password: correct horse" in run("decrypt", str(secret)), "SOPS opens its file")
    facts.hold(run("decrypt", "--extract", '["database"]["port"]', str(secret)).strip() == "5432", "SOPS reads one value")
    run("set", str(secret), '["database"]["password"]', '"battery staple"')
    facts.hold("battery staple" in run("decrypt", str(secret)), "SOPS changes a value")
    api.call("POST", "sops/keys/team/rotate", {})
    facts.hold("battery staple" in run("decrypt", str(secret)), "SOPS opens its file after the transit key was rotated")
    run("rotate", "--in-place", str(secret))
    facts.hold("vault:v2:" in secret.read_text(), "SOPS wraps a new data key with the newest version")
    run("rotate", "--in-place", "--add-hc-vault-transit", f"{ADDRESS}/v1/sops/keys/other", str(secret))
    facts.hold(secret.read_text().count("vault:v") == 2, "SOPS wraps its key for a second transit key")
    for name, text in (("settings.json", '{"a": {"b": "c"}}'), ("settings.env", "A=b\n"), ("blob.bin", "\x00\x01binary")):
        (home / name).write_text(text)
        (home / f"enc-{name}").write_text(run("encrypt", "--hc-vault-transit", key, str(home / name)))
        facts.hold("vault:v" in (home / f"enc-{name}").read_text(), f"SOPS seals {name}")
    facts.hold(json.loads(run("decrypt", str(home / "enc-settings.json"))) == {"a": {"b": "c"}}, "SOPS opens JSON")
    policy = 'path "sops/encrypt/team" { capabilities = ["update"] }'
    api.call("PUT", "sys/policies/acl/sealer", {"policy": policy})
    sealer = api.call("POST", "auth/token/create", {"policies": ["sealer"]})["auth"]["client_token"]
    run("encrypt", "--hc-vault-transit", key, str(plain), token=sealer)
    run("decrypt", str(home / "enc-settings.json"), token=sealer, fails=True)
    facts.section("SOPS")


def sops_run(facts, home, binary, token, fails, arguments):
    extra = {"VAULT_ADDR": ADDRESS, "VAULT_TOKEN": token, "SOPS_DISABLE_VERSION_CHECK": "1"}
    done = subprocess.run([binary, *arguments], env={**environment(str(home)), **extra}, capture_output=True, text=True, cwd=home, timeout=60)
    facts.hold((done.returncode != 0) == fails, f"sops {arguments[0]} ends with {done.returncode}: {done.stderr}")
    return done.stdout


# -------------------------------------------------------------------------------------------------------------- cosign


def raw(method, path, body=None):
    """A request whose path goes out exactly as it stands: no library cleans the doubled slash away."""
    parts = urllib.parse.urlsplit(ADDRESS)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    headers = {"X-Vault-Token": TOKEN, "X-Vault-Request": "true", "User-Agent": "Go-http-client/1.1"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    payload = answer.read()
    connection.close()
    return answer.status, json.loads(payload) if payload else None


def cosign(facts, api):
    """What sigstore's `hashivault` sends to make a key, show it, sign and verify; the signatures are judged by `cryptography`."""
    api.call("POST", "sys/mounts/signing", {"type": "transit"})
    payload = b'{"critical":{"type":"cosign container image signature"}}'
    digest = hashes.Hash(hashes.SHA256())
    digest.update(payload)
    digest = digest.finalize()
    for kind in ("ecdsa-p256", "rsa-2048", "ed25519"):
        status, _ = raw("PUT", f"/v1/signing/keys/cosign-{kind}", {"type": kind})
        facts.hold(status == 200, f"cosign makes a key of type {kind}: {status}")
        status, shown = raw("GET", f"/v1/signing/keys/cosign-{kind}")
        facts.hold(status == 200 and shown["data"]["latest_version"] == 1, f"cosign reads {kind}")
        version = shown["data"]["keys"]["1"]
        facts.hold(isinstance(version["public_key"], str) and isinstance(version["name"], str), f"cosign finds the public key of {kind}")
        hashed = kind != "ed25519"
        suffix = "/sha2-256" if hashed else ""
        request = {"input": b64(digest if hashed else payload), "prehashed": hashed, "key_version": "0", "signature_algorithm": "pkcs1v15"}
        status, signed = raw("PUT", f"/v1/signing/sign/cosign-{kind}{suffix}", request)
        facts.hold(status == 200 and signed["data"]["signature"].startswith("vault:v1:"), f"cosign signs with {kind}: {signed}")
        signature = base64.b64decode(signed["data"]["signature"].split(":")[2])
        judged(version, signature, payload, digest)
        facts.hold(True, f"`cryptography` accepts the signature of {kind}")
        # sigstore joins a slash with "/sha2-256". HashiCorp's Go client cleans that up, others send the two slashes: both work.
        trial = {"input": request["input"], "prehashed": hashed, "signature": f"vault:v1:{b64(signature)}"}
        trial |= {"signature_algorithm": "pkcs1v15"} if kind == "rsa-2048" else {}
        for slashes in ("", "/") if suffix else ("",):
            status, verdict = raw("PUT", f"/v1/signing/verify/cosign-{kind}{slashes}{suffix}", trial)
            facts.hold(status == 200 and verdict["data"]["valid"] is True, f"cosign verifies {kind}: {status} {verdict}")
        spoiled = bytes([signature[0], signature[1], signature[2] ^ 1, *signature[3:-1], signature[-1] ^ 1])
        status, verdict = raw("PUT", f"/v1/signing/verify/cosign-{kind}{suffix}", {**trial, "signature": f"vault:v1:{b64(spoiled)}"})
        facts.hold(status == 400 or verdict["data"]["valid"] is False, f"cosign refuses a spoiled signature of {kind}: {status}")
    facts.section("cosign's requests")


def judged(version, signature, payload, digest):
    """Raises where the signature is not the key's."""
    if version["name"] == "ed25519":
        ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(version["public_key"])).verify(signature, payload)
        return
    public = serialization.load_pem_public_key(version["public_key"].encode())
    hashed = utils.Prehashed(hashes.SHA256())
    if version["name"].startswith("rsa"):
        public.verify(signature, digest, padding.PKCS1v15(), hashed)
    else:
        public.verify(signature, digest, ec.ECDSA(hashed))


# -------------------------------------------------------------------------------------------- a Kubernetes KMS provider


def kubernetes(facts, api):
    """vault-kubernetes-kms: a periodic token that renews itself, the key's latest version as its id, encrypt and decrypt."""
    api.call("POST", "sys/mounts/kms", {"type": "transit"})
    api.call("POST", "kms/keys/cluster", {})
    policy = "\n".join((
        'path "kms/encrypt/cluster" { capabilities = ["update"] }', 'path "kms/decrypt/cluster" { capabilities = ["update"] }',
        'path "kms/keys/cluster" { capabilities = ["read"] }',
    ))  # fmt: skip
    api.call("PUT", "sys/policies/acl/kms", {"policy": policy})
    made = api.call("POST", "auth/token/create-orphan", {"policies": ["kms"], "period": "1h", "renewable": True})["auth"]
    provider = Api("provider", ADDRESS, made["client_token"], "kms")
    looked = provider.call("GET", "auth/token/lookup-self")["data"]
    facts.hold(looked["renewable"] is True and isinstance(looked["ttl"], int), "the provider looks its token up")
    facts.hold(provider.call("PUT", "auth/token/renew-self", {})["auth"]["lease_duration"] == 3600, "it renews it")
    sealed = {}
    for round_number in (1, 2):
        identity = provider.read("keys/cluster")["latest_version"]
        facts.hold(identity == round_number, f"the key's id is {round_number}")
        secret = os.urandom(32)
        sealed[identity] = (provider.write("encrypt/cluster", {"plaintext": b64(secret)})["ciphertext"], secret)
        facts.hold(sealed[identity][0].startswith(f"vault:v{identity}:"), "the ciphertext names that version")
        api.call("POST", "kms/keys/cluster/rotate", {})
    for text, secret in sealed.values():
        opened = provider.write("decrypt/cluster", {"ciphertext": text})["plaintext"]
        facts.hold(base64.b64decode(opened) == secret, "the seed opens, rotated or not")
    with contextlib.suppress(Refused):
        provider.write("keys/cluster/rotate")
        raise SystemExit("the provider's token rotated the key")
    facts.section("a Kubernetes KMS provider's requests")


# -------------------------------------------------------------------------------------------- transit as OpenBao's seal

BAO_CONFIG = """
storage "raft" {{
  path = "{home}/data"
  node_id = "one"
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_disable = true
}}
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{cluster_port}"
seal "transit" {{
  address = "{address}"
  token = "{token}"
  key_name = "autounseal"
  mount_path = "unseal/"
  disable_renewal = "false"
}}
"""


def auto_unseal(facts, home, binary, api):
    """A real OpenBao sealed by our transit: init, restart, a rotated key, and a wait for the right to decrypt."""
    api.call("POST", "sys/mounts/unseal", {"type": "transit"})
    api.call("POST", "unseal/keys/autounseal", {})
    paths = ('path "unseal/encrypt/autounseal" { capabilities = ["update"] }', 'path "unseal/decrypt/autounseal" { capabilities = ["update"] }')
    api.call("PUT", "sys/policies/acl/autounseal", {"policy": "\n".join(paths)})
    token = api.call("POST", "auth/token/create-orphan", {"policies": ["autounseal"], "period": "24h"})["auth"]["client_token"]
    directory = home / "bao"
    (directory / "data").mkdir(parents=True)
    port = free_port()
    config = directory / "server.hcl"
    config.write_text(BAO_CONFIG.format(home=directory, port=port, cluster_port=port + 1, address=ADDRESS, token=token))
    command = [binary, "server", f"-config={config}"]
    bao = Api("OpenBao", f"http://127.0.0.1:{port}", "")
    with process(command, str(directory), port):
        made = bao.call("PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
        bao.token = made["root_token"]
        waited(lambda: bao.call("GET", "sys/leader")["is_self"])
        status = bao.call("GET", "sys/seal-status")
        facts.hold(status["type"] == "transit" and not status["sealed"], f"OpenBao initialises itself with our transit as its seal: {status}")
        bao.call("POST", "sys/mounts/kv", {"type": "kv"})
        bao.call("PUT", "kv/kept", {"a": "b"})
    for round_number in (1, 2):
        with process(command, str(directory), port):
            waited(lambda: bao.call("GET", "sys/leader")["is_self"])
            facts.hold(bao.call("GET", "kv/kept")["data"] == {"a": "b"}, f"it unseals itself at start {round_number} and has kept its data")
        api.call("POST", "unseal/keys/autounseal/rotate", {})
    api.call("PUT", "sys/policies/acl/autounseal", {"policy": paths[0]})
    with process(command, str(directory), port):
        time.sleep(2)
        facts.hold(bao.call("GET", "sys/seal-status")["sealed"], "it stays sealed while its token may not decrypt")
        api.call("PUT", "sys/policies/acl/autounseal", {"policy": "\n".join(paths)})
        waited(lambda: bao.call("GET", "sys/leader")["is_self"])
        facts.hold(bao.call("GET", "kv/kept")["data"] == {"a": "b"}, "it unseals itself as soon as the token may again")
    facts.section("OpenBao sealed by transit")


def waited(condition):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(Refused, OSError):
            if condition():
                return
        time.sleep(0.1)
    raise SystemExit("OpenBao did not become active within 30 s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sops", required=True, help="SOPS binary")
    parser.add_argument("--bao", required=True, help="OpenBao binary")
    arguments = parser.parse_args()
    facts, api = Facts("transit clients"), Api("Chancery", ADDRESS, TOKEN)
    with tempfile.TemporaryDirectory(prefix="transit-clients-") as directory:
        home = Path(directory)
        application(facts, home)
        sops(facts, home, arguments.sops, api)
        cosign(facts, api)
        kubernetes(facts, api)
        auto_unseal(facts, home, arguments.bao, api)
    facts.close()


if __name__ == "__main__":
    main()
