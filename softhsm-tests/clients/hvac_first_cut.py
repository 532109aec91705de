#!/usr/bin/env python3
"""The unmodified Python client hvac against a server whose keys are in SoftHSM: what an application does first.

Run it as `chancery dev -- python hvac_first_cut.py`; it takes VAULT_ADDR and VAULT_TOKEN from there. Covers policies,
AppRole, tokens, transit (software and HSM keys) and X.509 with root and intermediate keys in the token; certificates are
judged by openssl. Every line printed was asserted.
"""

import base64
import os
import subprocess
import tempfile

import hvac
from hvac.exceptions import Forbidden, InvalidRequest

client = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"])
done = 0


def fact(text, truth):
    global done
    assert truth, f"not so: {text}"
    done += 1
    print(f"  ok  {text}")


def refused(kind, call):
    try:
        call()
    except kind:
        return True
    return False


def b64(data):
    return base64.b64encode(data).decode()


def policies_and_logins():
    client.sys.create_or_update_policy("app", 'path "transit/encrypt/first" { capabilities = ["update"] }')
    fact("a policy reads back", "transit/encrypt/first" in client.sys.read_policy("app")["rules"])
    client.sys.enable_auth_method("approle")
    client.auth.approle.create_or_update_approle("web", token_policies=["app"], token_ttl="1h")
    role_id = client.auth.approle.read_role_id("web")["data"]["role_id"]
    secret_id = client.auth.approle.generate_secret_id("web")["data"]["secret_id"]
    login = client.auth.approle.login(role_id, secret_id, use_token=False)["auth"]
    fact("AppRole logs in with the role's policies", sorted(login["policies"]) == ["app", "default"])
    app = hvac.Client(url=client.url, token=login["client_token"])
    child = client.auth.token.create(policies=["app"], ttl="30m", num_uses=5)["auth"]
    fact("a token can be looked up by its accessor",
         client.auth.token.lookup_accessor(child["accessor"])["data"]["num_uses"] == 5)
    client.auth.token.revoke_accessor(child["accessor"])
    fact("a revoked token is refused", not hvac.Client(url=client.url, token=child["client_token"]).is_authenticated())
    return app


def transit(app):
    for name, extra in (("first", {}), ("in-token", {"protection": "hsm"})):
        client.write_data(f"transit/keys/{name}", data={"type": "aes256-gcm96", **extra}) if extra else \
            client.secrets.transit.create_key(name)
        sealed = client.secrets.transit.encrypt_data(name, plaintext=b64(b"hello"))["data"]["ciphertext"]
        fact(f"{name}: a ciphertext names version 1", sealed.startswith("vault:v1:"))
        client.secrets.transit.rotate_key(name)
        newer = client.secrets.transit.rewrap_data(name, ciphertext=sealed)["data"]["ciphertext"]
        fact(f"{name}: rewrap moves to version 2", newer.startswith("vault:v2:"))
        plain = client.secrets.transit.decrypt_data(name, ciphertext=newer)["data"]["plaintext"]
        fact(f"{name}: decrypts to what was encrypted", base64.b64decode(plain) == b"hello")
        fact(f"{name}: a changed ciphertext is refused",
             refused(InvalidRequest, lambda: client.secrets.transit.decrypt_data(name, ciphertext=newer[:-6] + "AAAA==")))
    client.secrets.transit.create_key("signer", key_type="ecdsa-p256")
    signature = client.secrets.transit.sign_data("signer", hash_input=b64(b"text"))["data"]["signature"]
    verdict = client.secrets.transit.verify_signed_data("signer", hash_input=b64(b"text"), signature=signature)
    fact("a signature verifies", verdict["data"]["valid"] is True)
    fact("a policy allows encrypting", app.secrets.transit.encrypt_data("first", plaintext=b64(b"x"))["data"]["ciphertext"])
    fact("and nothing else", refused(Forbidden, lambda: app.secrets.transit.decrypt_data("first", ciphertext=signature)))


def certificates():
    for path in ("root-ca", "int-ca"):
        client.sys.enable_secrets_engine("pki", path=path, config={"max_lease_ttl": "87600h"})
    pki = client.secrets.pki
    root = pki.generate_root("internal", "hvac Root", extra_params={"key_type": "ec", "key_bits": 256, "ttl": "8760h"},
                             mount_point="root-ca")["data"]
    request = pki.generate_intermediate("internal", "hvac Intermediate", extra_params={"key_type": "ec", "key_bits": 256},
                                        mount_point="int-ca")["data"]["csr"]
    middle = pki.sign_intermediate(request, "hvac Intermediate", extra_params={"ttl": "4380h"}, mount_point="root-ca")["data"]
    pki.set_signed_intermediate(middle["certificate"], mount_point="int-ca")
    pki.create_or_update_role("web", {"allowed_domains": "app.test", "allow_subdomains": True, "key_type": "ec",
                                      "key_bits": 256, "max_ttl": "72h"}, mount_point="int-ca")
    leaf = pki.generate_certificate("web", "www.app.test", extra_params={"ttl": "24h"}, mount_point="int-ca")["data"]
    fact("a name outside the role is refused", refused(
        InvalidRequest, lambda: pki.generate_certificate("web", "www.other.test", mount_point="int-ca")))
    with tempfile.TemporaryDirectory() as folder:
        for name, pem in (("root", root["certificate"]), ("middle", middle["certificate"]), ("leaf", leaf["certificate"])):
            with open(f"{folder}/{name}.pem", "w", encoding="utf-8") as file:
                file.write(pem + "\n")
        verify = ["openssl", "verify", "-x509_strict", "-CAfile", f"{folder}/root.pem", "-untrusted", f"{folder}/middle.pem"]
        fact("openssl accepts leaf, intermediate and root",
             subprocess.run([*verify, f"{folder}/leaf.pem"], stdout=subprocess.DEVNULL).returncode == 0)
        pki.revoke_certificate(leaf["serial_number"], mount_point="int-ca")
        with open(f"{folder}/crl.pem", "w", encoding="utf-8") as file:
            file.write(pki.read_crl(mount_point="int-ca"))
        checked = subprocess.run([*verify, "-crl_check", "-CRLfile", f"{folder}/crl.pem", f"{folder}/leaf.pem"],
                                 capture_output=True, text=True)
        fact("openssl finds the revoked certificate in the CRL", "certificate revoked" in checked.stdout + checked.stderr)
    serials = pki.list_certificates(mount_point="int-ca")["data"]["keys"]
    fact("the inventory lists it", leaf["serial_number"] in serials)


transit(policies_and_logins())
certificates()
print(f"hvac first cut: {done} facts hold")
