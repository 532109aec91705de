"""Random roles and requests for them, from one seed: mostly sensible, some hostile, some at the edge of what is allowed."""

import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

DOMAINS = ["example.com", "svc.example.com", "example.org", "b\u00fccher.example", "internal.test"]
LABELS = ["a", "web", "db-1", "x" * 63, "n0", "api", "xn--bcher-kva", "deep.er", "UPPER", "1001"]
HOSTILE = ["a..b", "-a", "a_b", "*.*", "a b", "a\0b", "xn--zzzzzz", "10.0.0.1", "\u202ea", "a@b", "", "y" * 64, "a."]
TEXTS = ["Example", "\u00c4rzte & S\u00f6hne", "O'Neil, Inc.", "x" * 64, "A", "B", "*", "  spaced  ", "\u6771\u4eac"]
USAGES = ["DigitalSignature", "ContentCommitment", "KeyEncipherment", "DataEncipherment", "KeyAgreement", "CertSign",
          "EncipherOnly", "DecipherOnly", "zork"]
PURPOSES = ["ServerAuth", "ClientAuth", "CodeSigning", "EmailProtection", "TimeStamping", "OCSPSigning", "Any"]
POLICIES = ["1.3.6.1.4.1.99999.1", "2.23.140.1.2.1", "1.2.3.4",
            '{"oid":"1.3.6.1.4.1.99999.2","cps":"https://pki.example.com/cps"}',
            '{"oid":"1.3.6.1.4.1.99999.3","notice":"For testing only"}']
CURVES = {256: ec.SECP256R1(), 384: ec.SECP384R1(), 521: ec.SECP521R1()}


def some(dice, items, most):
    return dice.sample(items, dice.randint(0, min(most, len(items))))


def role(dice, issuers):
    key_type = dice.choice(["ec", "ec", "any", "any", "ed25519", "rsa"])
    usual = {"allow_any_name": dice.random() < 0.3, "allow_subdomains": dice.random() < 0.8}
    made = {
        **usual,
        "issuer_ref": dice.choice(issuers),
        "allowed_domains": some(dice, DOMAINS, 4) or ["example.com"],
        "allow_bare_domains": dice.random() < 0.5,
        "allow_glob_domains": dice.random() < 0.2,
        "allow_wildcard_certificates": dice.random() < 0.8,
        "allow_localhost": dice.random() < 0.5,
        "allow_ip_sans": dice.random() < 0.8,
        "allowed_ip_sans_cidr": some(dice, ["10.0.0.0/8", "2001:db8::/32"], 2),
        "allowed_uri_sans": dice.choice([[], ["*"], ["spiffe://trust.example/*", "https://*"]]),
        "allowed_other_sans": dice.choice([[], ["*"], ["1.3.6.1.4.1.311.20.2.3;UTF8:*@example.com"]]),
        "allowed_user_ids": dice.choice([[], ["*"]]),
        "allowed_serial_numbers": dice.choice([[], ["*"]]),
        "enforce_hostnames": dice.random() < 0.9,
        "cn_validations": dice.choice([["email", "hostname"], ["hostname"], ["disabled"]]),
        "key_type": key_type,
        "key_usage": dice.choice([["DigitalSignature", "KeyAgreement", "KeyEncipherment"], some(dice, USAGES, 4)]),
        "server_flag": dice.random() < 0.7,
        "client_flag": dice.random() < 0.7,
        "code_signing_flag": dice.random() < 0.1,
        "email_protection_flag": dice.random() < 0.2,
        "ext_key_usage": some(dice, PURPOSES, 2) if dice.random() < 0.3 else [],
        "ext_key_usage_oids": some(dice, ["1.3.6.1.5.5.7.3.17", "1.3.6.1.4.1.311.20.2.2"], 2),
        "use_csr_common_name": dice.random() < 0.7,
        "use_csr_sans": dice.random() < 0.7,
        "require_cn": dice.random() < 0.7,
        "basic_constraints_valid_for_non_ca": dice.random() < 0.3,
        "not_before_duration": dice.choice(["30s", "0s", "1h"]),
        "ttl": dice.choice(["1h", "720h", "8760h"]),
        "max_ttl": "8760h",
        "policy_identifiers": some(dice, POLICIES, 3),
        "signature_bits": dice.choice([0, 0, 256, 384, 512]),
    }
    if key_type == "ec":
        made["key_bits"] = dice.choice([256, 384, 521])
    for field, count in [("ou", 3), ("organization", 2), ("locality", 1), ("province", 1), ("street_address", 1)]:
        made[field] = some(dice, TEXTS, count)
    made["country"] = some(dice, ["DE", "US", "USA"], 1)
    made["postal_code"] = some(dice, ["10115", "SW1A 1AA"], 1)
    # PSS is the issuer's, and a role that does not say so signs with PKCS#1 v1.5.
    made["use_pss"] = made["issuer_ref"] == "pss" or dice.random() < 0.2
    return made


def host(dice, role):
    domain = dice.choice(role["allowed_domains"])
    draw = dice.random()
    if draw < 0.06:
        return dice.choice(HOSTILE) + dice.choice(["", "." + domain])
    if draw < 0.12:
        return dice.choice(["*.", "w*.", "*.a."]) + domain
    if draw < 0.2:
        return dice.choice(["localhost", domain, domain.upper(), "printer", "elsewhere.net"])
    return f"{dice.choice(LABELS)}.{domain}"


def email(dice, role):
    return dice.choice(["joe", "a.b+c", "root", "o'neil", "us er"]) + "@" + dice.choice(role["allowed_domains"])


def address(dice):
    return dice.choice(["10.1.2.3", "10.255.0.1", "2001:db8::1", "192.0.2.7", "::ffff:10.0.0.9", "fe80::1"])


def uri(dice):
    return dice.choice(["spiffe://trust.example/ns/a", "https://a.example.com/x?y=1", "urn:uuid:f81d4fae-7dec", "no uri"])


def other(dice):
    return dice.choice(["1.3.6.1.4.1.311.20.2.3;UTF8:joe@example.com", "1.2.3.4;UTF8:\u00e4", "1.2.3.4;UTF8:x"])


class Keys:
    """RSA keys take long to make, so a few serve all; the others are fresh."""

    def __init__(self, dice):
        self.dice = dice
        self.rsa = [rsa.generate_private_key(65537, bits) for bits in (2048, 2048, 3072, 4096)]

    def any(self, role):
        kind = role["key_type"] if role["key_type"] != "any" else self.dice.choice(["ec", "ed25519", "rsa"])
        if kind == "rsa":
            return self.dice.choice(self.rsa)
        if kind == "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        return ec.generate_private_key(CURVES[role.get("key_bits") or self.dice.choice([256, 384, 521])])


def names(dice, role):
    """What is asked for, by kind."""
    return {
        "dns": [host(dice, role) for _ in range(dice.choice([0, 1, 1, 2, 5]))],
        "emails": [email(dice, role)] if dice.random() < 0.15 else [],
        "ips": [address(dice)] if dice.random() < 0.2 else [],
        "uris": [uri(dice)] if role["allowed_uri_sans"] and dice.random() < 0.4 else [],
        "others": [other(dice)] if role["allowed_other_sans"] and dice.random() < 0.4 else [],
    }


def request(dice, role, keys):
    """The door and the body."""
    asked = names(dice, role)
    common_name = dice.choice([host(dice, role)] * 6 + [email(dice, role), "", "x" * 70, "10.1.2.3"])
    body = {
        "ttl": dice.choice(["", "10m", "1h", "100000h"]),
        "exclude_cn_from_sans": dice.random() < 0.15,
        "serial_number": dice.choice(["", "", "A-17"]) if role["allowed_serial_numbers"] else "",
        "user_ids": some(dice, ["u1", "u2"], 2) if role["allowed_user_ids"] else [],
    }
    fields = {
        "common_name": common_name,
        "alt_names": asked["dns"] + asked["emails"],
        "ip_sans": asked["ips"],
        "uri_sans": asked["uris"],
        "other_sans": asked["others"],
    }
    # Making RSA keys on the server is slow in a debug build, and no different.
    if role["key_type"] not in ("rsa",) and dice.random() < 0.4:
        if role["key_type"] == "any":
            body.update({"key_type": "ec", "key_bits": dice.choice([256, 384, 521])})
        return "issue", {**body, **fields}
    body["csr"] = csr(dice, keys.any(role), common_name, asked)
    return "sign", {**body, **fields} if dice.random() < 0.5 else body


def csr(dice, key, common_name, asked):
    """A request as a client makes it; what its library refuses to write is left out."""
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    except ValueError:
        subject = x509.Name([])
    general = []
    for made in (
        [lambda name=name: x509.DNSName(name) for name in asked["dns"]]
        + [lambda name=name: x509.RFC822Name(name) for name in asked["emails"]]
        + [lambda ip=ip: x509.IPAddress(ipaddress.ip_address(ip)) for ip in asked["ips"]]
        + [lambda uri=uri: x509.UniformResourceIdentifier(uri) for uri in asked["uris"]]
    ):
        try:
            general.append(made())
        except ValueError:
            pass
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if general:
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    if dice.random() < 0.1:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = None
    else:
        algorithm = dice.choice([hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM).decode()


REASONS = [
    "not allowed by this role", "is not allowed in this role", "idna: invalid label", "role requires", "common_name field is required",
    "not a valid IP address", "not a valid URI", "not valid for this role", "is not a mailbox", "not a DNS name",
    "must not contain the character", "subject:", "key usage:", "none of the role's key usages", "has a character", "are not allowed in this role",
]


def kind_of(reason):
    return next((known for known in REASONS if known in reason), reason[:120])
