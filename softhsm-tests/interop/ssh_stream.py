"""The SSH part of the stream: CA keys, roles, certificates, one-time passwords.

What a certificate says is compared too: it is read here, put into the cubbyhole as text, and read back from both.
"""

import base64
import struct

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from openbao_step import Step, get, post


def line_of(private):
    return private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def pem_of(private, form=PrivateFormat.OpenSSH):
    return private.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
P256 = ec.derive_private_key(0x5A5A5A5A, ec.SECP256R1())
P384 = ec.derive_private_key(int.from_bytes(bytes(range(1, 49)), "big"), ec.SECP384R1())
RSA2048 = rsa.generate_private_key(65537, 2048)
USER, USER_EC, USER_RSA = line_of(ED25519), line_of(P256), line_of(RSA2048)
OTHER = line_of(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
OPAQUE = ("public_key", "serial_number", "signed_key", "private_key", "issuer_id", "default", "key", "lease_id")


def step(method, name, path, body=None, **more):
    return Step(f"ssh-{name}", method, f"ssh/{path}", body, opaque=(*OPAQUE, *more.pop("opaque", ())), **more)


def write(name, path, body=None, **more):
    return step("POST", name, path, {} if body is None else body, **more)


def read(name, path, **more):
    return step("GET", name, path, **more)


def remove(name, path, **more):
    return step("DELETE", name, path, **more)


def lists(name, path, **more):
    return step("LIST", name, path, unordered=("keys",), **more)


def string(data):
    length = struct.unpack(">I", data[:4])[0]
    return data[4 : 4 + length], data[4 + length :]


def options(data):
    found = []
    while data:
        name, data = string(data)
        value, data = string(data)
        found.append(f"{name.decode()}={string(value)[0].decode() if value else ''}")
    return found


def decoded(line):
    """What a certificate says, but for what differs between any two: nonce, serial number, times, key ids of the server's making."""
    try:
        kind, text = line.split()
        data = base64.b64decode(text)
        name, data = string(data)
        assert name.decode() == kind
        nonce, data = string(data)
        for _ in range({"ssh-ed25519": 1, "ssh-rsa": 2}.get(kind.split("-cert")[0], 2)):
            _, data = string(data)
        serial, role, data = *struct.unpack(">QI", data[:12]), data[12:]
        key_id, data = string(data)
        principals, data = string(data)
        names = []
        while principals:
            principal, principals = string(principals)
            names.append(principal.decode())
        (after, before), data = struct.unpack(">QQ", data[:16]), data[16:]
        critical, data = string(data)
        extensions, data = string(data)
        chosen = "" if key_id.startswith((b"vault-", b"made-")) else key_id.decode()
        return repr((kind, len(nonce), role, chosen, names, before - after, options(critical), options(extensions)))
    except Exception as error:  # noqa: BLE001 - what cannot be read is what shall be seen
        return f"unreadable: {error}"


def signed(name, role, body=None, key=USER, verb="sign", **more):
    """Signs, and compares what the certificate says."""
    body = {} if body is None else body
    if key is not None and verb == "sign":
        body = {"public_key": key, **body}
    yield write(f"sign/{name}", f"{verb}/{role}", body, save={"signed": "data.signed_key"},
                derive={"said": lambda variables: decoded(variables.pop("signed", "unset"))}, **more)  # fmt: skip
    yield post(f"ssh-said/{name}-put", "cubbyhole/said", {"said": "<<said>>"})
    yield get(f"ssh-said/{name}", "cubbyhole/said", exact=("said",))


def role(name, label="ca", **members):
    return write(f"role/{name}", f"roles/{name}", {"key_type": label, **members})


def mounting():
    yield post("ssh-mount/enable", "sys/mounts/ssh", {"type": "ssh"})


def authorities():
    for path in ("config/ca", "config/issuers", "public_key", "issuer/default", "issuer/nope", "issuer/nope/public_key"):
        yield read(f"ca/before-{path}", path)
    yield lists("ca/before-list", "issuers")
    yield remove("ca/before-delete", "config/ca")
    yield remove("ca/before-delete-issuer", "issuer/nope")
    for name, body in (
        ("ec", {"key_type": "ec", "key_bits": 256}), ("ec384", {"key_type": "ec", "key_bits": 384}), ("ec521", {"key_type": "ec", "key_bits": 521}),
        ("ec111", {"key_type": "ec", "key_bits": 111}), ("nistp256", {"key_type": "ecdsa-sha2-nistp256", "key_bits": 384}),
        ("nistp384", {"key_type": "ecdsa-sha2-nistp384"}), ("ed25519", {"key_type": "ed25519", "key_bits": 12}),
        ("ssh-ed25519", {"key_type": "ssh-ed25519"}), ("rsa", {"key_type": "ssh-rsa", "key_bits": 2048}),
        ("rsa-weak", {"key_type": "ssh-rsa", "key_bits": 1024}), ("zork", {"key_type": "zork"}), ("bits-text", {"key_type": "ec", "key_bits": "256"}),
        ("bits-word", {"key_type": "ec", "key_bits": "many"}), ("neither", {"generate_signing_key": False}),
        ("private-only", {"generate_signing_key": False, "private_key": "x"}), ("public-only", {"generate_signing_key": False, "public_key": USER}),
        ("both-and-generate", {"generate_signing_key": True, "private_key": "x", "public_key": USER}),
        ("bad-public", {"generate_signing_key": False, "private_key": "x", "public_key": "y"}),
        ("bad-private", {"generate_signing_key": False, "private_key": "x", "public_key": USER}),
        ("unknown-member", {"key_type": "ed25519", "nonsense": 1}), ("flag-word", {"generate_signing_key": "maybe"}),
    ):  # fmt: skip
        yield write(f"ca/make-{name}", "config/ca", body)
    for name, private, form in (
        ("ed25519", ED25519, PrivateFormat.OpenSSH), ("p256", P256, PrivateFormat.TraditionalOpenSSL), ("p384", P384, PrivateFormat.OpenSSH),
        ("rsa", RSA2048, PrivateFormat.TraditionalOpenSSL),
    ):  # fmt: skip
        body = {"private_key": pem_of(private, form), "public_key": line_of(private), "generate_signing_key": False}
        yield write(f"ca/bring-{name}", f"issuers/import/brought-{name}", body)
        yield read(f"ca/brought-{name}", f"issuer/brought-{name}/public_key")
    yield read("ca/read", "config/ca")
    yield read("ca/text", "public_key", body_compared=False)
    yield write("ca/name-taken", "issuers/import/brought-rsa", {"key_type": "ed25519"})
    yield write("ca/name-default", "issuers/import/default", {"key_type": "ed25519"})
    yield write("ca/import-nameless", "issuers/import", {"key_type": "ed25519"})
    yield write("ca/import-default", "issuers/import/front", {"key_type": "ed25519", "set_default": True})
    yield read("ca/new-default", "issuer/default")
    yield write("ca/rename", "issuer/front", {"issuer_name": "fore"})
    yield write("ca/rename-taken", "issuer/fore", {"issuer_name": "brought-rsa"})
    yield write("ca/rename-reserved", "issuer/fore", {"issuer_name": "default"})
    yield write("ca/rename-odd", "issuer/fore", {"issuer_name": "a b"})
    yield write("ca/rename-absent", "issuer/nope", {"issuer_name": "x"})
    yield write("ca/rename-away", "issuer/fore", {})
    for name, value in (("absent", "nope"), ("empty", ""), ("reserved", "default"), ("named", "brought-p256")):
        yield write(f"ca/default-{name}", "config/issuers", {"default": value})
    yield write("ca/default-nothing", "config/issuers")
    yield read("ca/default-read", "config/issuers")
    yield remove("ca/delete-named", "issuer/brought-ed25519")
    yield remove("ca/delete-default", "issuer/brought-p256")
    yield read("ca/default-gone", "config/ca")
    yield remove("ca/delete-all", "config/ca", body_compared=False)
    yield lists("ca/list-gone", "issuers")
    yield write("ca/named", "config/ca", {"key_type": "ec", "issuer_name": "named"})
    yield write("ca/again", "issuers/import/main", {"key_type": "ec", "set_default": True})
    yield read("ca/read-again", "config/ca")
    yield step("PATCH", "ca/patch", "config/ca", {}, headers={"Content-Type": "application/merge-patch+json"})


def roles():
    yield lists("role/none", "roles")
    yield read("role/absent", "roles/nope")
    yield remove("role/delete-absent", "roles/nope")
    user = {"key_type": "ca", "allow_user_certificates": True}
    for name, body in (
        ("nothing", {}), ("kind", {"key_type": "zork"}), ("dynamic", {"key_type": "dynamic"}), ("neither", {"key_type": "ca"}),
        ("plain", user), ("host", {"key_type": "ca", "allow_host_certificates": True}), ("upper", {"key_type": "CA", "allow_user_certificates": True}),
        ("ttl-over", {**user, "ttl": 100, "max_ttl": 50}), ("ttl-negative", {**user, "ttl": -5}), ("ttl-word", {**user, "ttl": "soon"}),
        ("ttl-texts", {**user, "ttl": "30m", "max_ttl": "1h", "not_before_duration": "60s"}), ("signer", {**user, "algorithm_signer": "zork"}),
        ("signer-sha2", {**user, "algorithm_signer": "rsa-sha2-512"}), ("signer-sha1", {**user, "algorithm_signer": "ssh-rsa"}),
        ("lengths", {**user, "allowed_user_key_lengths": {"rsa": 2048, "ec": [256, 384], "ed25519": 0}}),
        ("lengths-word", {**user, "allowed_user_key_lengths": {"rsa": "x"}}), ("lengths-odd", {**user, "allowed_user_key_lengths": {"zork": 1}}),
        ("full", {**user, "default_user": "ubuntu", "allowed_users": "a,b", "default_extensions": {"permit-pty": ""}, "allowed_extensions": "permit-pty",
                  "default_critical_options": {"force-command": "/bin/true"}, "allowed_critical_options": "force-command,source-address",
                  "key_id_format": "x-{{role_name}}", "allowed_domains": "example.com", "issuer_ref": "nope", "allow_subdomains": "true",
                  "allow_bare_domains": 1, "allow_user_key_ids": "1", "allow_empty_principals": True, "allow_commas_in_identity_templates": True,
                  "allow_wildcards_in_identity_templates": True, "allowed_users_template": True, "allowed_domains_template": True,
                  "default_user_template": True, "default_extensions_template": True}),
        ("nulls", {**user, "default_extensions": None, "ttl": "", "allowed_user_key_lengths": None, "algorithm_signer": ""}),
        ("otp-nobody", {"key_type": "otp"}), ("otp", {"key_type": "otp", "default_user": "u"}),
        ("otp-cidr", {"key_type": "otp", "default_user": "u", "cidr_list": "10.0.0.0/8,x"}),
        ("otp-full", {"key_type": "otp", "default_user": "u", "cidr_list": "10.0.0.0/8", "exclude_cidr_list": "10.1.0.0/16", "port": 2222, "allowed_users": "v"}),
    ):  # fmt: skip
        yield write(f"role/{name}", f"roles/r-{name}", body)
        yield read(f"role/read-{name}", f"roles/r-{name}")
    yield remove("role/signer-sha1-away", "roles/r-signer-sha1")
    yield lists("role/list", "roles")
    yield lists("role/page", "roles?after=r-host&limit=2")
    yield remove("role/delete", "roles/r-plain")
    yield read("role/deleted", "roles/r-plain")
    yield write("role/odd-name", "roles/a b", user)


def principals():
    yield write("sign/no-role", "sign/nope", {"public_key": USER})
    yield role("any", allow_user_certificates=True, allowed_users="*", default_user="def", allowed_extensions="*")
    for name, key in (
        ("none", None), ("empty", ""), ("word", "zork"), ("short", "ssh-ed25519 AAAA"), ("no-type", USER.split()[1]), ("comment", USER + " a comment"),
        ("ecdsa", USER_EC), ("rsa", USER_RSA), ("other-type", "ssh-rsa " + USER.split()[1]), ("two", USER + "\n" + OTHER),
        ("trailing", "ssh-ed25519 " + base64.b64encode(base64.b64decode(USER.split()[1]) + b"x").decode()),
    ):  # fmt: skip
        yield from signed(f"key-{name}", "any", key=key)
    for name, value in (
        ("one", "a"), ("two", "a,b"), ("spaces", " a , b "), ("twice", "a,a"), ("star", "*"), ("space", "a b"), ("newline", "a\nb"), ("list", ["a"]),
        ("empty", ""), ("comma", ","), ("number", 5),
    ):  # fmt: skip
        yield from signed(f"principal-{name}", "any", {"valid_principals": value})
    yield role("some", allow_user_certificates=True, allowed_users="a,b", default_user="a")
    for name, value in (("allowed", "b"), ("both", "a,b"), ("other", "c"), ("partly", "a,c")):
        yield from signed(f"some-{name}", "some", {"valid_principals": value})
    yield from signed("some-default", "some")
    yield role("outside", allow_user_certificates=True, allowed_users="a", default_user="def")
    yield from signed("default-outside", "outside")
    yield role("nobody", allow_user_certificates=True)
    yield from signed("nobody", "nobody")
    yield from signed("nobody-asked", "nobody", {"valid_principals": "x"})
    yield role("empty", allow_user_certificates=True, allow_empty_principals=True)
    yield from signed("empty-allowed", "empty")
    yield role("template", allow_user_certificates=True, allowed_users="{{identity.entity.name}},plain", allowed_users_template=True)
    yield from signed("template-plain", "template", {"valid_principals": "plain"})
    yield from signed("template-other", "template", {"valid_principals": "x"})


def hosts():
    for name, members in (
        ("sub", {"allow_subdomains": True}), ("bare", {"allow_bare_domains": True}), ("both", {"allow_subdomains": True, "allow_bare_domains": True}),
        ("neither", {}),
    ):  # fmt: skip
        yield role(f"host-{name}", allow_host_certificates=True, allowed_domains="example.com,example.org", **members)
        for host in ("a.example.com", "example.org", "a.b.example.com", "evil.com", "example.com.evil.com", "aexample.com", "*.example.com"):
            yield from signed(f"host-{name}-{host}", f"host-{name}", {"cert_type": "host", "valid_principals": host})
    yield from signed("host-user", "host-sub", {"valid_principals": "a"})
    yield from signed("host-none", "host-sub", {"cert_type": "host"})
    yield role("host-any", allow_host_certificates=True, allowed_domains="*")
    yield from signed("host-any", "host-any", {"cert_type": "host", "valid_principals": "zork"})
    yield role("host-unset", allow_host_certificates=True, allow_subdomains=True)
    yield from signed("host-unset", "host-unset", {"cert_type": "host", "valid_principals": "zork"})


def limits():
    yield role("limits", allow_user_certificates=True, allowed_users="*", default_user="u", ttl="5m", max_ttl="1h", allowed_extensions="permit-pty",
               allowed_critical_options="force-command", default_extensions={"permit-port-forwarding": ""},
               default_critical_options={"source-address": "10.0.0.0/8"})  # fmt: skip
    for name, body in (
        ("usual", {}), ("ttl", {"ttl": "30m"}), ("ttl-number", {"ttl": 60}), ("ttl-over", {"ttl": "2h"}), ("ttl-negative", {"ttl": -1}),
        ("ttl-word", {"ttl": "soon"}), ("ttl-empty", {"ttl": ""}), ("ttl-zero", {"ttl": 0}), ("key-id", {"key_id": "mine"}), ("key-id-empty", {"key_id": ""}),
        ("type", {"cert_type": "zork"}), ("type-host", {"cert_type": "host"}), ("extension", {"extensions": {"permit-pty": ""}}),
        ("extension-other", {"extensions": {"permit-X11-forwarding": "", "permit-pty": ""}}), ("extension-text", {"extensions": "permit-pty"}),
        ("extension-none", {"extensions": {}}), ("option", {"critical_options": {"force-command": "ls"}}),
        ("option-other", {"critical_options": {"source-address": "10.0.0.0/8"}}), ("option-none", {"critical_options": {}}),
        ("unknown-member", {"nonsense": 1}),
    ):  # fmt: skip
        yield from signed(f"limit-{name}", "limits", body)
    yield role("free", allow_user_certificates=True, allowed_users="*", default_user="u", allow_user_key_ids=True, allowed_extensions="*")
    yield from signed("free-key-id", "free", {"key_id": "mine and only mine"})
    yield from signed("free-extension", "free", {"extensions": {"login@example.com": "me", "permit-pty": ""}})
    yield from signed("free-option", "free", {"critical_options": {"force-command": "ls -l", "source-address": "10.0.0.0/8"}})
    yield from signed("free-option-unknown", "free", {"critical_options": {"zork": "x"}})
    yield role("format", allow_user_certificates=True, allowed_users="*", default_user="u", key_id_format="as-{{role_name}}-{{public_key_hash}}-{{zork}}")
    yield from signed("key-id-format", "format")
    for name, lengths in (
        ("rsa4096", {"rsa": 4096}), ("rsa2048", {"rsa": [2048, 4096]}), ("ec", {"ec": 256}), ("ecdsa", {"ecdsa": [384]}),
        ("named", {"ecdsa-sha2-nistp256": 0, "ssh-ed25519": 0}), ("ed25519", {"ed25519": 5}),
    ):  # fmt: skip
        yield role(f"lengths-{name}", allow_user_certificates=True, allowed_users="*", default_user="u", allowed_user_key_lengths=lengths)
        for kind, key in (("ed25519", USER), ("p256", USER_EC), ("rsa2048", USER_RSA)):
            yield from signed(f"lengths-{name}-{kind}", f"lengths-{name}", key=key)
    yield role("issuer", allow_user_certificates=True, allowed_users="*", default_user="u", issuer_ref="nope")
    yield from signed("issuer-absent", "issuer")
    yield role("issuer", allow_user_certificates=True, allowed_users="*", default_user="u", issuer_ref="main")
    yield from signed("issuer-named", "issuer")
    yield role("sha2", allow_user_certificates=True, allowed_users="*", default_user="u", algorithm_signer="rsa-sha2-256")
    yield from signed("signer-of-another-key", "sha2")


def issuing():
    for name, body in (
        ("default", {}), ("ec", {"key_type": "ec"}), ("ec384", {"key_type": "ec", "key_bits": 384}), ("ed25519", {"key_type": "ed25519"}),
        ("rsa3072", {"key_bits": 3072}), ("weak", {"key_bits": 1024}), ("zork", {"key_type": "zork"}), ("ec111", {"key_type": "ec", "key_bits": 111}),
    ):  # fmt: skip
        yield from signed(f"issue-{name}", "any", body, verb="issue")
    yield write("sign/issue-no-role", "issue/nope", {})
    yield read("sign/by-get", "sign/any")
    yield read("sign/issue-by-get", "issue/any")


def passwords():
    yield role("otp", "otp", default_user="u", allowed_users="v", cidr_list="10.0.0.0/8", exclude_cidr_list="10.1.0.0/16", port=2222)
    yield role("otp-any", "otp", default_user="u")
    for name, where, body in (
        ("usual", "otp", {"ip": "10.2.3.4"}), ("user", "otp", {"ip": "10.2.3.4", "username": "v"}), ("default-user", "otp", {"ip": "10.2.3.4", "username": "u"}),
        ("other-user", "otp", {"ip": "10.2.3.4", "username": "w"}), ("no-ip", "otp", {}), ("bad-ip", "otp", {"ip": "zork"}),
        ("excluded", "otp", {"ip": "10.1.3.4"}), ("outside", "otp", {"ip": "11.1.3.4"}), ("no-cidr", "otp-any", {"ip": "10.2.3.4"}),
        ("no-cidr-user", "otp-any", {"ip": "10.2.3.4", "username": "x"}), ("no-role", "nope", {"ip": "10.2.3.4"}), ("ca-role", "any", {"ip": "10.2.3.4"}),
    ):  # fmt: skip
        yield write(f"otp/creds-{name}", f"creds/{where}", body)
    yield write("otp/made", "creds/otp", {"ip": "10.2.3.4"}, save={"otp": "data.key", "otp_lease": "lease_id"})
    yield write("otp/used", "verify", {"otp": "<<otp>>"}, token="")
    yield write("otp/used-again", "verify", {"otp": "<<otp>>"}, token="")
    yield write("otp/made-to-revoke", "creds/otp", {"ip": "10.2.3.4"}, save={"otp": "data.key", "otp_lease": "lease_id"})
    yield post("ssh-otp/revoke", "sys/leases/revoke", {"lease_id": "<<otp_lease>>"})
    yield write("otp/revoked", "verify", {"otp": "<<otp>>"}, token="")
    for name, body in (("echo", {"otp": "verify-echo-request"}), ("unknown", {"otp": "zork"}), ("nothing", {}), ("empty", {"otp": ""})):
        yield write(f"otp/verify-{name}", "verify", body, token="")
    for name, body in (("within", {"ip": "10.2.3.4"}), ("outside", {"ip": "99.1.1.1"}), ("nothing", {}), ("bad", {"ip": "zz"})):
        yield write(f"otp/lookup-{name}", "lookup", body, unordered=("roles",))
    yield read("otp/zero-none", "config/zeroaddress")
    for name, body in (("nothing", {}), ("unknown", {"roles": "nope"}), ("one", {"roles": "otp-any"})):
        yield write(f"otp/zero-{name}", "config/zeroaddress", body)
    yield read("otp/zero-read", "config/zeroaddress")
    yield write("otp/zero-creds", "creds/otp-any", {"ip": "99.1.1.1"})
    yield write("otp/zero-lookup", "lookup", {"ip": "99.1.1.1"})
    yield remove("otp/zero-delete", "config/zeroaddress")
    yield read("otp/zero-gone", "config/zeroaddress")
    yield remove("otp/tidy", "tidy/dynamic-keys")
    yield read("otp/creds-by-get", "creds/otp")
    yield read("otp/unknown-path", "nonsense")


def ssh_families():
    return (mounting, authorities, roles, principals, hosts, limits, issuing, passwords)
