"""Roles that are programs (CEL)."""

from cryptography import x509
from pki_step import csr, lists, patch, read, remove, write

TEMPLATE = "CertTemplate{Subject: PKIX.Name{CommonName: request.common_name, Organization: ['O'], Country: ['DE']}, "
TEMPLATE += "DNSNames: [request.common_name], NotBefore: now, NotAfter: now + duration('1h'), KeyUsage: 1, ExtKeyUsage: [1, 2]}"


def output(template=TEMPLATE, more=", key_type: 'ec', key_bits: uint(256)"):
    return f"ValidationOutput{{template: {template}{more}}}"


def program(expression, **variables):
    named = [{"name": name, "expression": text} for name, text in variables.items()]
    return {"cel_program": {**({"variables": named} if named else {}), "expression": expression}}


ROLES = (
    ("none", {}), ("empty", {"cel_program": {}}), ("text", {"cel_program": "x"}), ("syntax", program("zork(")), ("unknown", program("zork")),
    ("reserved", program("'x'", now="1")), ("bad-variable", program("'x'", a="zork(")), ("refuses", program("'refused: ' + request.common_name")),
    ("denies", program("false")), ("agrees", program("true")), ("number", program("5")), ("member", program("request.zork")),
    ("has", program("has(request.zork) ? 'yes' : 'no'")), ("variables", program("b", a="request.common_name", b="a + '!'")),
    ("email", program("check_valid_email(request.common_name) ? 'yes' : 'no'")), ("good", program(output())), ("choice", program(
        "request.common_name.endsWith('.example.com') ? output : 'only example.com'", cert=TEMPLATE, output=output("cert"))),
    ("unstored", program(output(more=", key_type: 'ec', key_bits: uint(256), no_store: true, warnings: ['careful']"))),
    ("issuer", program(output(more=", key_type: 'ec', key_bits: uint(256), issuer_ref: 'absent'"))), ("key", program(output(more=", key_type: 'zork'"))),
    ("bare", program(TEMPLATE)), ("member-unknown", program("ValidationOutput{template: CertTemplate{Zork: 1}}")),
    ("ca", program(output("CertTemplate{Subject: PKIX.Name{CommonName: 'CA'}, NotBefore: now, NotAfter: now + duration('1h'), IsCA: true, BasicConstraintsValid: true}"))),
    ("csr", program(output("CertTemplate{Subject: parsed_csr.Subject, DNSNames: parsed_csr.DNSNames, NotBefore: now, NotAfter: now + duration('1h')}", more=""))),
)  # fmt: skip


def programs():
    for name, body in ROLES:
        yield write(f"cel/role-{name}", f"cel/roles/{name}", body)
        yield read(f"cel/read-{name}", f"cel/roles/{name}")
        for asked in ("a.example.com", "a.example.org"):
            yield write(f"cel/issue-{name}-{asked}", f"cel/issue/{name}", {"common_name": asked})
    request = csr(cn="a.example.com", names=[x509.DNSName("b.example.com")])
    for name in ("csr", "good", "refuses", "absent"):
        yield write(f"cel/sign-{name}", f"cel/sign/{name}", {"csr": request, "common_name": "a.example.com"})
    yield write("cel/sign-none", "cel/sign/csr", {})
    yield write("cel/sign-junk", "cel/sign/csr", {"csr": "x"})
    yield patch("cel/patch", "cel/roles/denies", program("'patched'"))
    yield read("cel/patched", "cel/roles/denies")
    yield lists("cel/list", "cel/roles")
    yield lists("cel/list-page", "cel/roles?limit=2&after=csr")
    yield remove("cel/delete", "cel/roles/denies")
    yield remove("cel/delete-again", "cel/roles/denies")


FAMILIES = (programs,)
