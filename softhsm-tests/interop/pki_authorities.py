"""Roots, intermediates, keys, import and configuration."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import PrivateFormat
from pki_step import authority, csr, lists, mounted, patch, pem_key, read, remove, write


def empty_mount():
    yield mounted("empty/enable", "pki-empty")
    for path in ("issuers", "keys", "roles", "certs", "cel/roles"):
        yield lists(f"empty/list-{path}", path, mount="pki-empty")
    for path in ("issuer/default", "key/default", "config/issuers", "config/keys", "config/urls", "config/cluster", "config/ca", "ca",
                 "ca/pem", "ca_chain", "cert/ca", "cert/ca_chain", "issuer/absent", "issuer/absent/json", "issuer/absent/pem",
                 "issuer/absent/der", "key/absent", "roles/absent", "roles", "nonsense", "root", "root/generate/internal"):  # fmt: skip
        yield read(f"empty/read-{path}", path, mount="pki-empty")
    for path in ("issuer/absent", "key/absent", "roles/absent", "issuer/default", "key/default"):
        yield remove(f"empty/delete-{path}", path, mount="pki-empty")
    for path, body in (
        ("issuer/absent", {}), ("key/absent", {}), ("issue/absent", {"common_name": "a.b"}), ("sign/absent", {"csr": csr(cn="a.b")}),
        ("sign-verbatim", {"csr": csr(cn="a.b")}), ("sign-verbatim/absent", {"csr": csr(cn="a.b")}), ("config/issuers", {"default": "x"}),
        ("config/issuers", {}), ("config/keys", {"default": "x"}), ("config/keys", {}), ("root/replace", {}),
        ("root/sign-intermediate", {"csr": csr(cn="a.b"), "common_name": "I"}), ("root/sign-self-issued", {"certificate": authority()}),
        ("intermediate/set-signed", {"certificate": ""}), ("issuers/import/bundle", {"pem_bundle": ""}), ("config/ca", {"pem_bundle": "x"}),
        ("keys/import", {"pem_bundle": ""}), ("keys/generate/existing", {}), ("keys/generate/nonsense", {}),
        ("root/generate/nonsense", {"common_name": "R"}), ("intermediate/generate/nonsense", {"common_name": "R"}),
        ("intermediate/cross-sign", {"common_name": "R"}), ("roles/r", {"allow_any_name": True}),
    ):  # fmt: skip
        yield write(f"empty/write-{path}", path, body, mount="pki-empty")
    yield write("empty/issue", "issue/r", {"common_name": "a.b"}, mount="pki-empty")


def mount():
    yield mounted("mount/enable", "pki")
    yield write("mount/root", "root/generate/internal", {"common_name": "Root", "key_type": "ec", "issuer_name": "root", "ttl": "8760h"},
                save={"root_id": "data.issuer_id", "root_key": "data.key_id", "root_pem": "data.certificate"})  # fmt: skip


MAKERS = ("root/generate", "issuers/generate/root", "intermediate/generate", "issuers/generate/intermediate", "root/rotate")
KEYS = (
    ("ec", 0), ("ec", 256), ("ec", 384), ("ec", 521), ("ec", 123), ("rsa", 0), ("rsa", 2048), ("rsa", 1024), ("rsa", 2049),
    ("ed25519", 0), ("ed25519", 7), ("mldsa", 0), ("mldsa", 65), ("mldsa", 7), ("zork", 0), ("", 0),
)  # fmt: skip


def generation():
    yield mounted("make/enable", "pki-make")
    at = {"mount": "pki-make"}
    for maker in MAKERS:
        for kind, bits in KEYS:
            if kind == "rsa" and not maker.startswith("root/g"):
                continue
            for way in ("internal", "exported"):
                yield write(f"make/{maker}-{way}-{kind}-{bits}", f"{maker}/{way}",
                            {"common_name": "R", "key_type": kind, "key_bits": bits}, **at)  # fmt: skip
        for way, body in (
            ("existing", {"key_type": "ec"}), ("existing", {"key_ref": "absent"}), ("kms", {}), ("kms", {"key_bits": 0}),
            ("internal", {"key_type": "ec", "key_name": "default"}), ("internal", {"key_type": "ec", "key_name": "a b"}),
            ("internal", {"key_type": "ec", "issuer_name": "default"}), ("internal", {"key_type": "ec", "format": "zip"}),
        ):  # fmt: skip
            yield write(f"make/{maker}-{way}-{'-'.join(body)}-{'-'.join(map(str, body.values()))}", f"{maker}/{way}", {"common_name": "R", **body}, **at)
        for form in ("pem", "der", "pem_bundle"):
            for key_form in ("", "der", "pkcs8"):
                yield write(f"make/{maker}-{form}-{key_form or 'plain'}", f"{maker}/exported",
                            {"common_name": "R", "key_type": "ec", "format": form, "private_key_format": key_form}, **at)  # fmt: skip
    for name, body in SUBJECTS:
        yield write(f"make/subject-{name}", "root/generate/internal", {"common_name": "R", "key_type": "ec", **body}, **at)
        yield write(f"make/request-{name}", "intermediate/generate/internal", {"common_name": "R", "key_type": "ec", **body}, **at)
    yield lists("make/issuers", "issuers?limit=1", skip=("keys", "key_info"), **at)
    yield lists("make/issuers-after", "issuers?after=zzzz", **at)
    yield lists("make/keys", "keys?limit=1", skip=("keys", "key_info"), **at)
    yield remove("make/root-delete", "root", **at)
    yield lists("make/gone", "issuers", **at)


SUBJECTS = (
    ("all", {"ou": "A,B", "organization": ["O"], "country": "DE", "locality": "L", "province": "P", "street_address": "S",
             "postal_code": "1", "serial_number": "N"}),
    ("names", {"alt_names": "x.example.com,a@b.c", "ip_sans": "10.0.0.1,::1", "uri_sans": "spiffe://x/y", "other_sans": "1.2.3;UTF8:t"}),
    ("exclude", {"exclude_cn_from_sans": True}), ("no-name", {"common_name": ""}), ("bad-ip", {"ip_sans": "x"}),
    ("bad-other", {"other_sans": "x"}), ("bad-other-type", {"other_sans": "1.2.3;INT:1"}), ("bad-uri", {"uri_sans": "x"}),
    ("path-zero", {"max_path_length": 0}), ("path-two", {"max_path_length": 2}), ("path-negative", {"max_path_length": -2}),
    ("dns", {"permitted_dns_domains": "example.com,.example.org"}), ("usage", {"key_usage": "DigitalSignature,Zork"}),
    ("ttl", {"ttl": "48h"}), ("ttl-days", {"ttl": "2d"}), ("ttl-negative", {"ttl": -1}), ("ttl-word", {"ttl": "soon"}),
    ("ttl-long", {"ttl": "200000h"}), ("both-ends", {"ttl": "1h", "not_after": "2030-01-01T00:00:00Z"}),
    ("not-after", {"not_after": "2030-01-01T00:00:00Z"}), ("not-after-word", {"not_after": "soon"}),
    ("signature-384", {"signature_bits": 384}), ("signature-odd", {"signature_bits": 7}), ("pss", {"use_pss": True}),
    ("add-basic", {"add_basic_constraints": True}), ("umlaut", {"common_name": "Bücher"}), ("utf8", {"organization": "Ä,é"}),
)  # fmt: skip


def keys():
    yield mounted("keys/enable", "pki-keys")
    at = {"mount": "pki-keys"}
    for kind, bits in KEYS:
        for way in ("internal", "exported"):
            yield write(f"keys/{way}-{kind}-{bits}", f"keys/generate/{way}", {"key_type": kind, "key_bits": bits}, **at)
    yield write("keys/kms", "keys/generate/kms", {}, **at)
    yield write("keys/named", "keys/generate/internal", {"key_type": "ec", "key_name": "one"}, **at)
    yield write("keys/named-again", "keys/generate/internal", {"key_type": "ec", "key_name": "one"}, **at)
    yield read("keys/read", "key/one", **at)
    for name in ("two", "default", "a b", ""):
        yield write(f"keys/rename-{name}", "key/one", {"key_name": name}, **at)
        yield read(f"keys/rename-{name}-read", "key/two", **at)
    yield patch("keys/patch", "key/two", {"key_name": "x"}, **at)
    yield read("keys/config", "config/keys", **at)
    yield write("keys/config-set", "config/keys", {"default": "absent"}, **at)
    yield write("keys/config-default", "config/keys", {"default": "default"}, **at)
    yield remove("keys/delete-absent", "key/absent", **at)
    for kind in ("p256", "p384", "p521", "ed25519", "rsa2048", "p224", "p256k"):
        for form, label in ((PrivateFormat.PKCS8, "pkcs8"), (PrivateFormat.TraditionalOpenSSL, "traditional")):
            if kind != "ed25519" or form == PrivateFormat.PKCS8:
                yield write(f"keys/import-{kind}-{label}", "keys/import", {"pem_bundle": pem_key(kind, form), "key_name": f"in-{kind}"}, **at)
    for name, text in (
        ("two", pem_key("p256") + pem_key("p384")), ("certificate", authority()), ("junk", "x" * 100), ("short", "x"),
        ("broken", "-----BEGIN PRIVATE KEY-----\n" + "A" * 80 + "\n-----END PRIVATE KEY-----\n"),
    ):  # fmt: skip
        yield write(f"keys/import-{name}", "keys/import", {"pem_bundle": text}, **at)
    yield lists("keys/list", "keys", **at)


def import_and_configuration():
    yield mounted("import/enable", "pki-import")
    at = {"mount": "pki-import"}
    elsewhere, leaf = authority("p384"), authority("p256", "Leaf", is_ca=False)
    yield write("import/certificate", "issuers/import/cert", {"pem_bundle": elsewhere}, **at)
    yield read("import/waits", "config/issuers", **at)
    yield write("import/key-refused", "issuers/import/cert", {"pem_bundle": pem_key("p384")}, **at)
    yield write("import/key", "issuers/import/bundle", {"pem_bundle": pem_key("p384")}, **at)
    yield read("import/default", "issuer/default", **at)
    yield write("import/again", "config/ca", {"pem_bundle": elsewhere + pem_key("p384")}, **at)
    yield write("import/both", "config/ca", {"pem_bundle": authority("ed25519", "Second") + pem_key("ed25519")}, **at)
    yield write("import/leaf", "issuers/import/cert", {"pem_bundle": leaf}, **at)
    yield write("import/set-signed-key", "intermediate/set-signed", {"certificate": elsewhere + pem_key("p384")}, **at)
    yield write("import/set-signed", "intermediate/set-signed", {"certificate": elsewhere}, **at)
    yield lists("import/list", "issuers", **at)
    yield write("import/role", "roles/r", {"allow_any_name": True, "key_type": "ec", "ttl": "1h"}, **at)
    yield write("import/issue", "issue/r", {"common_name": "a.example.com"}, **at)
    yield write("import/usage", "issuer/default", {"usage": "read-only"}, **at)
    yield write("import/no-usage", "issue/r", {"common_name": "a.example.com"}, **at)
    for name, body in ISSUER_SETTINGS:
        yield write(f"import/issuer-{name}", "issuer/default", body, **at)
        yield read(f"import/issuer-{name}-read", "issuer/default", **at)
        yield patch(f"import/issuer-{name}-patch", "issuer/default", body, **at)
    for path in ("config/cluster", "config/urls", "config/issuers", "config/keys"):
        yield read(f"import/read-{path}", path, **at)
        yield patch(f"import/patch-{path}", path, {}, **at)
    for name, body in (
        ("both", {"path": "https://a/v1/pki", "aia_path": "http://b/v1/pki"}), ("path-word", {"path": "zork"}), ("aia-word", {"aia_path": "zork"}),
        ("path-empty", {"path": ""}), ("aia-empty", {"aia_path": ""}), ("nothing", {}),
    ):  # fmt: skip
        yield write(f"import/cluster-{name}", "config/cluster", body, **at)
        yield read(f"import/cluster-{name}-read", "config/cluster", **at)
    for name, body in (
        ("urls", {"issuing_certificates": "http://x/ca", "crl_distribution_points": ["http://x/crl"], "ocsp_servers": "http://x/ocsp,http://y"}),
        ("word", {"ocsp_servers": "zork"}), ("empty", {"ocsp_servers": ""}), ("templates", {"enable_templating": True, "ocsp_servers": "{{cluster_path}}/ocsp"}),
        ("aia", {"enable_templating": True, "issuing_certificates": "{{cluster_aia_path}}/issuer/{{issuer_id}}/der"}),
    ):  # fmt: skip
        yield write(f"import/urls-{name}", "config/urls", body, **at)
        yield read(f"import/urls-{name}-read", "config/urls", **at)
        yield write(f"import/urls-{name}-issue", "issue/r", {"common_name": "a.example.com"}, **at)
    for name, body in (("follows", {"default": "<<absent>>", "default_follows_latest_issuer": True}), ("absent", {"default": "absent"})):
        yield write(f"import/issuers-{name}", "config/issuers", body, **at)


ISSUER_SETTINGS = (
    ("name", {"issuer_name": "named"}), ("name-default", {"issuer_name": "default"}), ("name-blank", {"issuer_name": "a b"}),
    ("name-none", {"issuer_name": ""}), ("truncate", {"leaf_not_after_behavior": "truncate"}), ("permit", {"leaf_not_after_behavior": "permit"}),
    ("behavior-word", {"leaf_not_after_behavior": "zork"}), ("usage", {"usage": "issuing-certificates,crl-signing"}),
    ("usage-word", {"usage": "zork"}), ("usage-all", {"usage": ["read-only", "issuing-certificates", "crl-signing", "ocsp-signing"]}),
    ("chain-self", {"manual_chain": "default"}), ("chain-absent", {"manual_chain": "absent"}), ("algorithm", {"revocation_signature_algorithm": "ECDSAWithSHA256"}),
    ("algorithm-word", {"revocation_signature_algorithm": "zork"}), ("algorithm-rsa", {"revocation_signature_algorithm": "SHA256WithRSA"}),
    ("urls", {"issuing_certificates": "http://a/ca", "crl_distribution_points": "http://a/crl", "ocsp_servers": "http://a/ocsp"}),
    ("urls-word", {"ocsp_servers": "zork"}), ("templates", {"enable_aia_url_templating": True, "ocsp_servers": "{{cluster_path}}/o"}), ("nothing", {}),
)  # fmt: skip


def hierarchy():
    """An intermediate of one mount signed by another, roots cross-signed, rotated and replaced."""
    yield mounted("tree/enable", "pki-tree")
    lower = {"mount": "pki-tree"}
    yield write("tree/request", "intermediate/generate/internal", {"common_name": "Inter", "key_type": "ec", "add_basic_constraints": True},
                save={"request": "data.csr"}, **lower)  # fmt: skip
    for name, body in (
        ("plain", {}), ("named", {"common_name": "Inter", "ttl": "24h"}), ("csr-values", {"use_csr_values": True, "ttl": "24h"}),
        ("bundle", {"common_name": "I", "ttl": "24h", "format": "pem_bundle"}), ("der", {"common_name": "I", "ttl": "24h", "format": "der"}),
        ("zip", {"common_name": "I", "format": "zip"}), ("usage", {"common_name": "I", "ttl": "24h", "key_usage": "DigitalSignature", "ext_key_usage": "ServerAuth"}),
        ("skid", {"common_name": "I", "ttl": "24h", "skid": "01:02:03"}), ("skid-word", {"common_name": "I", "skid": "zork"}),
        ("path", {"common_name": "I", "ttl": "24h", "max_path_length": 0}), ("beyond", {"common_name": "I", "not_after": "2099-01-01T00:00:00Z"}),
        ("issuer-absent", {"common_name": "I", "issuer_ref": "absent"}), ("issuer-name", {"common_name": "I", "ttl": "24h", "issuer_ref": "root"}),
        ("dns", {"common_name": "I", "ttl": "24h", "permitted_dns_domains": "example.com"}),
    ):  # fmt: skip
        yield write(f"tree/sign-{name}", "root/sign-intermediate", {"csr": "<<request>>", **body})
    for name, text in (("none", None), ("junk", "x"), ("leaf", csr(cn="csr.example.com", names=[x509.DNSName("csr.example.com")])), ("certificate", authority())):
        yield write(f"tree/sign-csr-{name}", "root/sign-intermediate", {"common_name": "I", "ttl": "24h", **({"csr": text} if text else {})})
    yield write("tree/signed", "issuer/root/sign-intermediate", {"csr": "<<request>>", "common_name": "Inter", "ttl": "240h"},
                save={"signed": "data.certificate"})  # fmt: skip
    yield write("tree/set-signed", "intermediate/set-signed", {"certificate": "<<signed>>\n<<root_pem>>"}, **lower)
    yield lists("tree/issuers", "issuers", skip=("keys",), **lower)
    yield write("tree/role", "roles/r", {"allow_any_name": True, "key_type": "ec", "ttl": "1h"}, **lower)
    for name, body in (("leaf", {}), ("without-roots", {"remove_roots_from_chain": True}), ("bundle", {"format": "pem_bundle"}), ("long", {"ttl": "400h"})):
        yield write(f"tree/{name}", "issue/r", {"common_name": "a.example.com", **body}, **lower)
    yield write("tree/cross-sign", "intermediate/cross-sign", {"common_name": "Inter", "key_ref": "default"}, **lower)
    yield write("tree/cross-sign-type", "intermediate/cross-sign", {"common_name": "Inter", "key_type": "ec"}, **lower)
    for path in ("root", "issuer/root"):
        for name, text in (
            ("good", authority("p384", "Other")), ("none", ""), ("junk", "x"), ("leaf", authority("p256", "Leaf", is_ca=False)),
            ("lower", "<<signed>>"), ("path", authority("p521", "Path", path_length=1)), ("request", csr(cn="x")),
        ):  # fmt: skip
            yield write(f"tree/{path}-self-issued-{name}", f"{path}/sign-self-issued", {"certificate": text})
    yield write("tree/self-issued-match", "root/sign-self-issued", {"certificate": authority("rsa2048", "R"), "require_matching_certificate_algorithms": True})
    yield write("tree/rotate", "root/rotate/internal", {"common_name": "Next", "key_type": "ec"}, **lower)
    yield write("tree/rotate-again", "root/rotate/internal", {"common_name": "Next", "key_type": "ec", "issuer_name": "next"}, **lower)
    for name, body in (("next", {}), ("absent", {"default": "absent"}), ("default", {"default": "default"}), ("empty", {"default": ""})):
        yield write(f"tree/replace-{name}", "root/replace", body, **lower)
    yield read("tree/default", "config/issuers", **lower)
    yield remove("tree/key-in-use", "key/default", **lower)
    yield remove("tree/issuer-delete", "issuer/next", **lower)
    yield remove("tree/issuer-delete-again", "issuer/next", **lower)


FAMILIES = (empty_mount, mount, generation, keys, import_and_configuration, hierarchy)
