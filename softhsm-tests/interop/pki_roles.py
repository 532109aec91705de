"""Roles: every member with good and bad values, shown and patched."""

from pki_step import lists, patch, read, remove, write

FLAGS = (
    "allow_any_name", "allow_bare_domains", "allow_glob_domains", "allow_globs_in_identity_templates", "allow_ip_sans", "allow_localhost",
    "allow_subdomains", "allow_token_displayname", "allow_wildcard_certificates", "allowed_domains_template", "allowed_uri_sans_template",
    "basic_constraints_valid_for_non_ca", "client_flag", "code_signing_flag", "email_protection_flag", "enforce_hostnames", "generate_lease",
    "no_store", "require_cn", "server_flag", "use_csr_common_name", "use_csr_sans", "use_pss",
)  # fmt: skip
LISTS = (
    "allowed_domains", "allowed_ip_sans_cidr", "allowed_other_sans", "allowed_serial_numbers", "allowed_uri_sans", "allowed_user_ids",
    "cn_validations", "country", "ext_key_usage", "ext_key_usage_oids", "key_usage", "locality", "organization", "ou", "policy_identifiers",
    "postal_code", "province", "street_address",
)  # fmt: skip
VALUES = {
    "allowed_ip_sans_cidr": ("10.0.0.0/8", "10.0.0.1/8,2001:db8::/32", "10.0.0.0", "10.0.0.0/33", "zork"),
    "allowed_other_sans": ("*", "1.2.3;UTF8:a*", "1.2.3;utf-8:x", "zork", "1.2.3;INT:5", "zork;UTF8:x"),
    "cn_validations": ("email", "hostname", "email,hostname", "disabled", "disabled,email", "zork"),
    "ext_key_usage": ("ServerAuth", "ExtKeyUsageTimeStamping", "zork"),
    "ext_key_usage_oids": ("1.2.3.4", "zork", "1.3.6.1.5.5.7.3.1"),
    "key_usage": ("DigitalSignature", "CertSign,CRLSign", "zork"),
    "policy_identifiers": ("1.2.3", '{"oid":"1.2.3","notice":"n","cps":"http://x"}', "zork", '{"oid":"zork"}'),
    "country": ("DE", "Germany"),
}
SCALARS = {
    "ttl": (0, 60, "1h", "2d", "-1", -5, "soon", 1.5, "1h30m"),
    "max_ttl": (0, "1h", -1, "soon"),
    "not_before_duration": (0, "1m", "-1m", "soon"),
    "not_before": ("2020-01-01T00:00:00Z", "soon"),
    "not_before_bound": ("permit", "duration", "forbid", "zork", ""),
    "not_after": ("2030-01-01T00:00:00Z", "soon"),
    "not_after_bound": ("permit", "ttl-limited", "forbid", "2030-01-01T00:00:00Z", "zork", ""),
    "issuer_ref": ("default", "root", "absent", ""),
    "signature_bits": (0, 256, 384, 512, 7, -1),
    "key_bits": (0, 2048, 3072, 1024, -1, "4096", "x"),
    "key_type": ("rsa", "ec", "ed25519", "mldsa", "any", "zork", ""),
}
PAIRS = (
    {"ttl": "2h", "max_ttl": "1h"}, {"no_store": True, "generate_lease": True}, {"key_type": "ec", "key_bits": 224},
    {"key_type": "ec", "key_bits": 2048}, {"key_type": "mldsa", "key_bits": 65}, {"key_type": "any", "key_bits": 3},
    {"key_type": "ed25519", "key_bits": 5}, {"lease": "1h", "lease_max": "2h"}, {"nonsense": 1}, {"key_type": "rsa", "key_bits": 8192},
)  # fmt: skip


def defaults():
    yield write("roles/defaults", "roles/defaults", {})
    yield read("roles/defaults-read", "roles/defaults")
    yield patch("roles/patch", "roles/defaults", {"ttl": "1h"})
    yield patch("roles/patch-bad", "roles/defaults", {"key_type": "zork"})
    yield patch("roles/patch-absent", "roles/absent", {"ttl": "1h"})
    yield write("roles/overwrite", "roles/defaults", {"ou": "X"})
    yield read("roles/overwritten", "roles/defaults")
    for name in ("With.Dots", "with-dash", "under_score", "UPPER", "1", "a b", "ä", "-", "a:b", "x" * 200):
        yield write(f"roles/name-{name[:20]}", f"roles/{name}", {})
        yield read(f"roles/name-{name[:20]}-read", f"roles/{name}")
    for path in ("roles", "roles?limit=2", "roles?after=With.Dots", "roles?after=zzzz", "roles?limit=-1", "roles?limit=x"):
        yield lists(f"roles/list-{path}", path)
    yield remove("roles/delete", "roles/defaults")
    yield remove("roles/delete-again", "roles/defaults")


def members():
    cases = [({flag: value}, value) for flag in FLAGS for value in (True, False, "true", "1", "maybe", 1)]
    cases += [({member: value}, value) for member in LISTS for value in ("a,b", ["a", "b"], "", *VALUES.get(member, ()))]
    cases += [({member: value}, value) for member, values in SCALARS.items() for value in values]
    cases += [(pair, "pair") for pair in PAIRS]
    for body, value in cases:
        name = f"{'-'.join(body)}-{str(value)[:24]}-{type(value).__name__}"
        yield write(f"member/{name}", "roles/member", body)
        yield remove("member/none", "roles/member")


FAMILIES = (defaults, members)
