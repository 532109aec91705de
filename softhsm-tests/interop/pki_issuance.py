"""Certificates: formats, times, requests that lie, roles' rules on keys and subjects."""

import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from pki_step import csr, lists, read, write

DNS = x509.DNSName


def roles():
    for name, body in (
        ("any", {"allow_any_name": True}), ("below", {"allowed_domains": "example.com", "allow_subdomains": True}),
        ("rsa", {"allow_any_name": True, "key_type": "rsa"}), ("ed25519", {"allow_any_name": True, "key_type": "ed25519"}),
        ("anykey", {"allow_any_name": True, "key_type": "any"}), ("mldsa", {"allow_any_name": True, "key_type": "mldsa"}),
        ("big", {"allow_any_name": True, "key_bits": 384}), ("unstored", {"allow_any_name": True, "no_store": True}),
        ("leased", {"allow_any_name": True, "generate_lease": True}), ("subject", {"allow_any_name": True, "ou": "A,B", "organization": "O",
            "country": "DE", "locality": "L", "province": "P", "street_address": "S", "postal_code": "1"}),
        ("policies", {"allow_any_name": True, "policy_identifiers": ["1.2.3", '{"oid":"1.2.4","notice":"n","cps":"http://x"}']}),
        ("usages", {"allow_any_name": True, "key_usage": "DigitalSignature", "server_flag": False, "client_flag": False,
            "code_signing_flag": True, "ext_key_usage": "TimeStamping", "ext_key_usage_oids": "1.2.3.4"}),
        ("nousage", {"allow_any_name": True, "key_usage": "", "server_flag": False, "client_flag": False}),
        ("basic", {"allow_any_name": True, "basic_constraints_valid_for_non_ca": True}),
        ("nocn", {"allow_any_name": True, "require_cn": False}), ("noip", {"allow_any_name": True, "allow_ip_sans": False}),
        ("cidr", {"allow_any_name": True, "allowed_ip_sans_cidr": "10.0.0.0/8,2001:db8::/32"}),
        ("uris", {"allow_any_name": True, "allowed_uri_sans": "spiffe://a/*,https://x"}),
        ("others", {"allow_any_name": True, "allowed_other_sans": "1.2.3;UTF8:a*,1.2.4;UTF8:*"}),
        ("anyother", {"allow_any_name": True, "allowed_other_sans": "*"}),
        ("serials", {"allow_any_name": True, "allowed_serial_numbers": "S*,exact"}), ("users", {"allow_any_name": True, "allowed_user_ids": "u*"}),
        ("fields", {"allow_any_name": True, "use_csr_common_name": False, "use_csr_sans": False}),
        ("short", {"allow_any_name": True, "ttl": "10m", "max_ttl": "30m"}), ("ends", {"allow_any_name": True, "ttl": 0, "not_after": "2027-06-01T00:00:00Z"}),
        ("begins", {"allow_any_name": True, "not_before": "2026-12-31T00:00:00Z", "not_after": "2027-06-01T00:00:00Z", "ttl": 0}),
        ("forbid", {"allow_any_name": True, "not_before_bound": "forbid", "not_after_bound": "forbid"}),
        ("limited", {"allow_any_name": True, "not_before_bound": "duration", "not_after_bound": "ttl-limited"}),
        ("stamp", {"allow_any_name": True, "not_after_bound": "2027-01-01T00:00:00Z"}), ("early", {"allow_any_name": True, "not_before_duration": "1h"}),
        ("emails", {"allowed_domains": "example.com", "allow_bare_domains": True, "allow_subdomains": True}),
        ("hostcn", {"allow_any_name": True, "cn_validations": "hostname"}), ("mailcn", {"allow_any_name": True, "cn_validations": "email"}),
        ("freecn", {"allowed_domains": "example.com", "cn_validations": "disabled"}), ("loose", {"allow_any_name": True, "enforce_hostnames": False}),
        ("root", {"allow_any_name": True, "issuer_ref": "root"}), ("lost", {"allow_any_name": True, "issuer_ref": "absent"}),
    ):  # fmt: skip
        yield write(f"issue-role/{name}", f"roles/{name}", {"key_type": "ec", "ttl": "1h", **body})


A = {"common_name": "a.example.com"}
ISSUED = (
    ("plain", "any", A), ("der", "any", {**A, "format": "der"}), ("bundle", "any", {**A, "format": "pem_bundle"}), ("zip", "any", {**A, "format": "zip"}),
    ("pkcs8", "any", {**A, "private_key_format": "pkcs8"}), ("key-der", "any", {**A, "private_key_format": "der"}),
    ("der-pkcs8", "any", {**A, "format": "der", "private_key_format": "pkcs8"}), ("key-zip", "any", {**A, "private_key_format": "zip"}),
    ("without-roots", "any", {**A, "remove_roots_from_chain": True}), ("rsa", "rsa", A), ("rsa-pkcs8", "rsa", {**A, "private_key_format": "pkcs8"}),
    ("ed25519", "ed25519", A), ("mldsa", "mldsa", A), ("anykey", "anykey", A), ("anykey-ec", "anykey", {**A, "key_type": "ec", "key_bits": 384}),
    ("anykey-bits", "anykey", {**A, "key_type": "ec", "key_bits": 7}), ("anykey-type", "anykey", {**A, "key_type": "zork"}),
    ("ignored-type", "any", {**A, "key_type": "rsa"}), ("big", "big", A), ("unstored", "unstored", A), ("leased", "leased", A),
    ("subject", "subject", A), ("policies", "policies", A), ("usages", "usages", A), ("nousage", "nousage", A), ("basic", "basic", A),
    ("nocn", "nocn", {"alt_names": "a.example.com"}), ("nocn-nothing", "nocn", {}), ("cn-missing", "any", {}), ("cn-null", "any", {"common_name": None}),
    ("names", "any", {**A, "alt_names": "b.example.com, c.example.com,a.example.com", "ip_sans": "10.0.0.1,10.0.0.1,::1"}),
    ("names-list", "any", {**A, "alt_names": ["b.example.com", "d@example.com"]}), ("exclude", "any", {**A, "exclude_cn_from_sans": True}),
    ("exclude-alone", "any", {**A, "exclude_cn_from_sans": True, "alt_names": "b.example.com"}), ("upper", "any", {"common_name": "A.EXAMPLE.com"}),
    ("idna", "any", {**A, "alt_names": "bücher.example.com"}), ("cn-email", "any", {"common_name": "joe@example.com"}),
    ("ip-cn", "any", {"common_name": "10.0.0.1"}), ("bad-ip", "any", {**A, "ip_sans": "zork"}), ("noip", "noip", {**A, "ip_sans": "10.0.0.1"}),
    ("cidr", "cidr", {**A, "ip_sans": "10.1.2.3"}), ("cidr-outside", "cidr", {**A, "ip_sans": "11.1.2.3"}), ("cidr-six", "cidr", {**A, "ip_sans": "2001:db8::1"}),
    ("cidr-mapped", "cidr", {**A, "ip_sans": "::ffff:10.0.0.1"}), ("uris", "uris", {**A, "uri_sans": "spiffe://a/b"}), ("uris-exact", "uris", {**A, "uri_sans": "https://x"}),
    ("uris-outside", "uris", {**A, "uri_sans": "spiffe://b/b"}), ("uris-none", "any", {**A, "uri_sans": "spiffe://b/b"}),
    ("others", "others", {**A, "other_sans": "1.2.3;UTF8:abc,1.2.4;utf8:x"}), ("others-outside", "others", {**A, "other_sans": "1.2.3;UTF8:bcd"}),
    ("others-type", "others", {**A, "other_sans": "1.2.5;UTF8:abc"}), ("others-none", "any", {**A, "other_sans": "1.2.3;UTF8:x"}),
    ("others-any", "anyother", {**A, "other_sans": "1.2.3;UTF8:ä"}), ("others-bad", "anyother", {**A, "other_sans": "zork"}),
    ("others-bad-oid", "anyother", {**A, "other_sans": "zork;UTF8:x"}), ("others-bad-type", "anyother", {**A, "other_sans": "1.2.3;INT:5"}),
    ("others-colon", "anyother", {**A, "other_sans": "1.2.3;x"}), ("serial", "serials", {**A, "serial_number": "S17"}), ("serial-exact", "serials", {**A, "serial_number": "exact"}),
    ("serial-outside", "serials", {**A, "serial_number": "T"}), ("serial-none", "any", {**A, "serial_number": "T"}),
    ("user", "users", {**A, "user_ids": "u1,u2"}), ("user-outside", "users", {**A, "user_ids": "u1,v"}), ("user-none", "any", {**A, "user_ids": "u"}),
    ("ttl", "any", {**A, "ttl": "30m"}), ("ttl-zero", "any", {**A, "ttl": 0}), ("ttl-negative", "any", {**A, "ttl": "-1m"}), ("ttl-word", "any", {**A, "ttl": "soon"}),
    ("ttl-days", "any", {**A, "ttl": "1d"}), ("ttl-beyond", "any", {**A, "ttl": "80000h"}), ("ttl-max", "short", {**A, "ttl": "1h"}), ("ttl-default", "short", A),
    ("not-after", "any", {**A, "not_after": "2027-03-01T00:00:00Z"}), ("not-after-both", "any", {**A, "ttl": "1h", "not_after": "2027-03-01T00:00:00Z"}),
    ("not-after-word", "any", {**A, "not_after": "soon"}), ("not-after-beyond", "any", {**A, "not_after": "2099-01-01T00:00:00Z"}),
    ("not-after-past", "any", {**A, "not_after": "2020-01-01T00:00:00Z"}), ("ends", "ends", A), ("ends-asked", "ends", {**A, "not_after": "2027-03-01T00:00:00Z"}),
    ("begins", "begins", A), ("begins-asked", "begins", {**A, "not_before": "2027-01-31T00:00:00Z"}), ("not-before-word", "any", {**A, "not_before": "soon"}),
    ("not-before", "any", {**A, "not_before": "2026-12-31T00:00:00Z", "not_after": "2027-06-01T00:00:00Z"}),
    ("not-before-late", "any", {**A, "not_before": "2027-12-31T00:00:00Z", "not_after": "2027-06-01T00:00:00Z"}),
    ("forbid-before", "forbid", {**A, "not_before": "2026-12-31T00:00:00Z"}), ("forbid-after", "forbid", {**A, "not_after": "2027-03-01T00:00:00Z"}), ("forbid", "forbid", A),
    ("limited-before", "limited", {**A, "not_before": "2020-01-01T00:00:00Z"}), ("limited-after", "limited", {**A, "not_after": "2027-03-01T00:00:00Z"}), ("limited", "limited", A),
    ("stamp-beyond", "stamp", {**A, "not_after": "2027-03-01T00:00:00Z"}), ("stamp", "stamp", A), ("early", "early", A),
    ("email", "emails", {**A, "alt_names": "joe@example.com,joe@sub.example.com"}), ("email-outside", "emails", {**A, "alt_names": "joe@example.org"}),
    ("hostcn-email", "hostcn", {"common_name": "joe@example.com"}), ("mailcn-host", "mailcn", A), ("mailcn", "mailcn", {"common_name": "joe@example.com"}),
    ("freecn", "freecn", {"common_name": "Joe Blow", "exclude_cn_from_sans": True}), ("freecn-odd", "freecn", {"common_name": "Joe Blow"}),
    ("loose", "loose", {"common_name": "a_b.example.com"}), ("loose-space", "loose", {"common_name": "a b"}), ("lost", "lost", A), ("role-issuer", "root", A),
    ("issuer-ref", "any", {**A, "issuer_ref": "absent"}), ("cn-number", "any", {"common_name": 5}), ("cn-list", "any", {"common_name": ["a"]}),
    ("unknown-member", "any", {**A, "nonsense": 1}),
)  # fmt: skip


def issue():
    for name, role, body in ISSUED:
        # A lease ends with the certificate: how long it lasts depends on the moment within the second.
        yield write(f"issue/{name}", f"issue/{role}", body, opaque=("lease_duration",))
    for reference in ("root", "<<root_id>>", "default", "absent"):
        yield write(f"issue/at-{reference}", f"issuer/{reference}/issue/any", A)
        yield write(f"issue/sign-at-{reference}", f"issuer/{reference}/sign/any", {"csr": csr(cn="a.example.com")})
        yield write(f"issue/verbatim-at-{reference}", f"issuer/{reference}/sign-verbatim", {"csr": csr(cn="a.example.com")})
    yield write("issue/role-absent", "issue/absent", A)
    yield read("issue/by-get", "issue/any")
    yield lists("issue/by-list", "issue/any")


def requests():
    """CSRs in PEM with what they are called."""
    ip = x509.IPAddress(ipaddress.ip_address("10.0.0.1"))
    text = x509.OtherName(ObjectIdentifier("1.2.3"), bytes([12, 1]) + b"t")
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    all_kinds = [DNS("b.example.com"), x509.RFC822Name("j@example.com"), ip, x509.UniformResourceIdentifier("spiffe://x/y"), text]
    yield "plain", csr(cn="a.example.com")
    yield "names", csr(cn="a.example.com", names=[DNS("b.example.com"), DNS("a.example.com")])
    yield "all-names", csr(cn="a.example.com", names=all_kinds)
    yield "no-cn", csr(names=[DNS("b.example.com")])
    yield "nothing", csr()
    yield "outside", csr(cn="a.example.org", names=[DNS("b.example.org")])
    yield "ip", csr(cn="a.example.com", names=[ip])
    yield "subject", csr(cn="a.example.com", o="Org", ou="Unit", c="DE", serial="S1", uid="u1", email="j@example.com")
    yield "ca", csr(cn="a.example.com", extensions=[(x509.BasicConstraints(True, None), True), (usage, True)])
    yield "usage", csr(cn="a.example.com", extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)])
    yield "odd-extension", csr(cn="a.example.com", extensions=[(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x0c\x01x"), False)])
    yield "wildcard", csr(cn="*.example.com", names=[DNS("*.example.com")])
    yield "space", csr(cn="a b", names=[DNS("a.example.com")])
    for kind in ("p384", "p521", "ed25519", "rsa2048", "rsa3072", "rsa1024", "p224"):
        yield kind, csr(kind, cn="a.example.com")
    yield "p384-sha256", csr("p384", cn="a.example.com", algorithm=hashes.SHA256())
    yield "p256-sha512", csr("p256", cn="a.example.com", algorithm=hashes.SHA512())
    good = csr(cn="a.example.com")
    yield "tampered", good.replace(good.splitlines()[1][20:24], "AAAA")
    yield "empty", ""
    yield "junk", "x"
    yield "not-pem", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
    yield "two", good + csr(cn="second.example.com")
    yield "new-label", good.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")


def sign():
    for name, request in requests():
        for role in ("any", "below", "anykey", "fields", "nocn"):
            yield write(f"sign/{name}-{role}", f"sign/{role}", {"csr": request, **({"common_name": "f.example.com"} if role == "fields" else {})})
        yield write(f"verbatim/{name}", "sign-verbatim", {"csr": request})
        yield write(f"verbatim/{name}-role", "sign-verbatim/below", {"csr": request})
    good = csr(cn="a.example.com", names=[DNS("b.example.com")])
    for name, body in (
        ("alt-names", {"alt_names": "c.example.com"}), ("cn", {"common_name": "c.example.com"}), ("ips", {"ip_sans": "10.0.0.1"}), ("der", {"format": "der"}),
        ("bundle", {"format": "pem_bundle"}), ("exclude", {"exclude_cn_from_sans": True}), ("ttl", {"ttl": "30m"}), ("usage", {"key_usage": "KeyEncipherment"}),
        ("eku", {"ext_key_usage": "CodeSigning", "ext_key_usage_oids": "1.2.3"}), ("pss", {"use_pss": True, "signature_bits": 384}), ("user", {"user_ids": "u"}),
    ):  # fmt: skip
        yield write(f"sign/with-{name}", "sign/any", {"csr": good, **body})
        yield write(f"verbatim/with-{name}", "sign-verbatim", {"csr": good, **body})
        yield write(f"sign/fields-{name}", "sign/fields", {"csr": good, "common_name": "f.example.com", **body})
    yield write("verbatim/role-absent", "sign-verbatim/absent", {"csr": good})
    yield write("sign/csr-missing", "sign/any", {})
    yield write("verbatim/csr-missing", "sign-verbatim", {})


FAMILIES = (roles, issue, sign)
