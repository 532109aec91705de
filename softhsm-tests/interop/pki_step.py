"""What all families of the X.509 engine share: shorter steps, certificates made comparable, keys and requests."""

import base64
import datetime
import functools
import hashlib
import re

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from openbao_step import Step

# Members that hold certificates, requests or keys: what they say is compared, not their bytes.
DOCUMENTS = ("certificate", "issuing_ca", "ca_chain", "csr", "private_key")
TIMES = ("expiration", "not_before", "revocation_time")
SERIALS = ("serial_number", "subject_key_id")
MERGE = {"Content-Type": "application/merge-patch+json"}

# Warnings that only we give: what a key outside of an HSM costs (docs/deviations.md, key-warnings).
OUR_WARNINGS = re.compile(r"kept in software, sealed in storage")

PEM_LABEL = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")


def step(method, name, path, body=None, opaque=(), **more):
    return Step(f"pki-{name}", method, path, body, opaque=(*TIMES, *SERIALS, *opaque), described=DOCUMENTS, without=OUR_WARNINGS, **more)


def write(name, path, body=None, mount="pki", **more):
    return step("POST", name, f"{mount}/{path}", {} if body is None and "raw" not in more else body, **more)


def read(name, path, mount="pki", **more):
    return step("GET", name, f"{mount}/{path}", **more)


def remove(name, path, mount="pki", **more):
    return step("DELETE", name, f"{mount}/{path}", **more)


def lists(name, path, mount="pki", **more):
    return step("LIST", name, f"{mount}/{path}", **more)


def patch(name, path, body, mount="pki", **more):
    return step("PATCH", name, f"{mount}/{path}", body, headers=MERGE, **more)


def mounted(name, mount):
    return Step(f"pki-{name}", "POST", f"sys/mounts/{mount}", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})


def described(text):
    """What a document says, in a form that is the same for any two that say the same."""
    if not isinstance(text, str):
        return f"<{type(text).__name__}>"
    labels = PEM_LABEL.findall(text)
    if not labels:
        return described_der(text)
    blocks = re.findall(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----\n?", text, re.DOTALL)
    whole = [block_described(label, block) for label, block in zip(labels, blocks, strict=True)]
    newline = "" if text.endswith("-") else "+newline"
    return [*whole, newline] if len(whole) > 1 or newline else whole[0]


def described_der(text):
    try:
        der = base64.b64decode(text, validate=True)
    except ValueError:
        return text
    for load, describe in ((x509.load_der_x509_certificate, certificate_described), (x509.load_der_x509_csr, request_described)):
        try:
            return {"der": describe(load(der))}
        except ValueError:
            continue
    # EC keys have a fixed size, RSA keys vary by a few bytes.
    return f"<{len(der) // 50 * 50}+ bytes>" if der else text


def block_described(label, block):
    if label == "CERTIFICATE":
        return certificate_described(x509.load_pem_x509_certificate(block.encode()))
    if label == "CERTIFICATE REQUEST":
        return request_described(x509.load_pem_x509_csr(block.encode()))
    return label


def certificate_described(certificate):
    lives = (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds()
    described_ = {
        "subject": name_described(certificate.subject),
        "issuer": name_described(certificate.issuer),
        "key": key_described(certificate),
        "signature": certificate.signature_algorithm_oid.dotted_string,
        # notAfter is the last second here and the first one after it there: the tens agree.
        "lives": -(-int(lives) // 10) * 10,
        "extensions": extensions_described(certificate.extensions),
    }
    for member, moment in (("from", certificate.not_valid_before_utc), ("until", certificate.not_valid_after_utc)):
        if moment.hour == moment.minute == moment.second == 0:
            described_[member] = moment.isoformat()
            # Where one end is stated, the length depends on the moment of the request.
            described_["lives"] = "as stated"
    return described_


def request_described(request):
    return {
        "subject": name_described(request.subject),
        "key": key_described(request),
        "signature": request.signature_algorithm_oid.dotted_string,
        "extensions": extensions_described(request.extensions),
    }


def name_described(name):
    return [[f"{attribute.oid.dotted_string}={attribute.value}" for attribute in rdn] for rdn in name.rdns]


def key_described(holder):
    try:
        key = holder.public_key()
    except Exception:  # noqa: BLE001 - a kind of key this library does not know
        return "unknown"
    return f"{type(key).__name__.lstrip('_')}-{getattr(key, 'key_size', '')}"


def extensions_described(extensions):
    found = {}
    for extension in extensions:
        value = extension.value
        if isinstance(value, (x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)):
            text = "id"
        elif isinstance(value, x509.SubjectAlternativeName):
            text = [f"{type(name).__name__}:{name_text(name)}" for name in value]
        elif isinstance(value, x509.KeyUsage):
            text = sorted(bit for bit in USAGES if getattr(value, bit, False))
        elif isinstance(value, x509.ExtendedKeyUsage):
            text = [oid.dotted_string for oid in value]
        elif isinstance(value, x509.UnrecognizedExtension):
            text = value.value.hex()
        else:
            text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<id>", repr(value))
        found[extension.oid.dotted_string] = {"critical": extension.critical, "value": text}
    return found


def name_text(name):
    return f"{name.type_id.dotted_string};{name.value.hex()}" if isinstance(name, x509.OtherName) else str(name.value)


USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
)  # fmt: skip


@functools.cache
def private_key(kind):
    """The run's private key of a kind."""
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"pki ed25519").digest())
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))
    curves = {"p224": ec.SECP224R1, "p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1, "p256k": ec.SECP256K1}
    scalar = int.from_bytes(hashlib.sha256(kind.encode()).digest()[:24], "big")
    return ec.derive_private_key(scalar, curves[kind]())


def pem_key(kind, form=serialization.PrivateFormat.PKCS8):
    key = private_key(kind)
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def hash_for(kind):
    return None if kind == "ed25519" else hashes.SHA256()


def subject(**names):
    known = {
        "cn": NameOID.COMMON_NAME, "o": NameOID.ORGANIZATION_NAME, "ou": NameOID.ORGANIZATIONAL_UNIT_NAME, "c": NameOID.COUNTRY_NAME,
        "serial": NameOID.SERIAL_NUMBER, "uid": NameOID.USER_ID, "email": NameOID.EMAIL_ADDRESS,
    }  # fmt: skip
    return x509.Name([x509.NameAttribute(known[name], value) for name, value in names.items()])


def csr(kind="p256", names=(), extensions=(), algorithm=None, **subject_names):
    """A request in PEM. `names` are general names, `extensions` pairs of value and criticality."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject(**subject_names))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    request = builder.sign(private_key(kind), algorithm or hash_for(kind))
    return request.public_bytes(serialization.Encoding.PEM).decode()


def authority(kind="p256", common_name="Elsewhere", is_ca=True, path_length=None, days=3650):
    """A self-signed certificate in PEM."""
    key = private_key(kind)
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject(cn=common_name))
        .issuer_name(subject(cn=common_name))
        .public_key(key.public_key())
        .serial_number(int.from_bytes(hashlib.sha256(common_name.encode()).digest()[:16], "big") >> 1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(is_ca, path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if is_ca:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(key, hash_for(kind)).public_bytes(serialization.Encoding.PEM).decode()
