"""Who judges the certificates. Each judge takes the directory and the leaves by issuer, and answers how many it judged and
what it complained of."""

import concurrent.futures
import pathlib
import re
import subprocess
import datetime

from cryptography import x509
from cryptography.x509 import verification

HERE = pathlib.Path(__file__).parent


# ------------------------------------------------------------------------------------------------------------ pkilint

# The library that pkilint asks knows neither wildcards, nor hosts of one label, nor schemes besides http. What it then
# calls wrong is measured once more by these, taken from RFC 1034 §3.5, RFC 6125 §6.4.3 and RFC 3986.
LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST = re.compile(rf"({LABEL}|\*|\*{LABEL}|{LABEL}\*|{LABEL}\*{LABEL})(\.{LABEL})*")
URI = re.compile(r"[a-z][a-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
MAILBOX = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{LABEL}(\.{LABEL})*")
SECOND_LOOK = {
    "pkix.invalid_domain_name_syntax": HOST,
    "pkix.invalid_uri_syntax": URI,
    "pkix.invalid_email_address_syntax": MAILBOX,
}


def linter():
    from pkilint.pkix import certificate, extension, name

    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def lint(validator, path):
    from pkilint import loader, validation

    pem = path.read_text()
    document = loader.RFC5280CertificateDocumentLoader().load_pem_document(pem, path.name)
    for result in validator.validate(document.root):
        for found in result.finding_descriptions:
            if found.finding.severity > validation.ValidationFindingSeverity.ERROR:
                continue
            pattern = SECOND_LOOK.get(found.finding.code)
            if pattern and pattern.fullmatch(str(result.node.pdu)):
                continue
            yield f"{path.name}: {found.finding.code} {found.message or ''} ({result.node.path})"


def lint_all(paths):
    validator = linter()
    return [complaint for path in paths for complaint in lint(validator, path)]


def pkilint(place, leaves):
    paths = sorted(place.glob("*.pem")) + [path for those in leaves.values() for path in those]
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        found = pool.map(lint_all, [paths[at::2] for at in range(2)])
        return len(paths), [complaint for part in found for complaint in part]


# ------------------------------------------------------------------------------------------------------------ openssl


def openssl(place, leaves):
    judged, complaints = 0, []
    for issuer, paths in leaves.items():
        for at in range(0, len(paths), 1000):
            part = [str(path) for path in paths[at : at + 1000]]
            command = ["openssl", "verify", "-x509_strict", "-CAfile", place / "root.pem", "-untrusted", place / f"{issuer}.pem"]
            done = subprocess.run(command + part, capture_output=True, text=True)
            good = sum(line.endswith(": OK") for line in done.stdout.splitlines())
            judged += len(part)
            if good != len(part):
                complaints += [line for line in (done.stdout + done.stderr).splitlines() if not line.endswith(": OK")]
    return judged, complaints


# ------------------------------------------------------------------------------------------------------------ GnuTLS


def gnutls(place, leaves):
    def verify(job):
        issuer, path = job
        chain = path.read_text() + (place / f"{issuer}.pem").read_text()
        command = ["certtool", "--verify", "--load-ca-certificate", place / "root.pem"]
        done = subprocess.run(command, input=chain, capture_output=True, text=True)
        trusted = "Chain verification output: Verified. The certificate is trusted." in done.stdout
        return None if done.returncode == 0 and trusted else f"{path.name} ({issuer}): {done.stdout[-300:]}{done.stderr[-300:]}"

    jobs = [(issuer, path) for issuer, paths in leaves.items() for path in paths]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return len(jobs), [complaint for complaint in pool.map(verify, jobs) if complaint]


# ------------------------------------------------------------------------------------------------------------ Python


def cryptography(place, leaves):
    """Its verifier is made for the Web PKI, so leaves are held to the rules of RFC 5280 alone."""
    root = x509.load_pem_x509_certificate((place / "root.pem").read_bytes())
    builder = (
        verification.PolicyBuilder()
        .store(verification.Store([root]))
        .time(datetime.datetime.now(datetime.timezone.utc))
        .extension_policies(
            ca_policy=verification.ExtensionPolicy.webpki_defaults_ca(),
            ee_policy=verification.ExtensionPolicy.permit_all(),
        )
    )
    verifier = builder.build_client_verifier()
    judged, complaints = 0, []
    for issuer, paths in leaves.items():
        above = x509.load_pem_x509_certificate((place / f"{issuer}.pem").read_bytes())
        for path in paths:
            judged += 1
            leaf = x509.load_pem_x509_certificate(path.read_bytes())
            try:
                verifier.verify(leaf, [above])
            except verification.VerificationError as error:
                complaints.append(f"{path.name} ({issuer}): {error}")
    return judged, complaints


# ------------------------------------------------------------------------------------------------------------ Java


def java(place, leaves):
    """One program, one process: `Verify.java` prints a line for each certificate it refuses, and how many it judged."""
    classes = place / "classes"
    subprocess.run(["javac", "-d", classes, HERE / "Verify.java"], check=True)
    judged, complaints = 0, []
    for issuer, paths in leaves.items():
        (place / "list").write_text("".join(f"{path}\n" for path in paths))
        command = ["java", "-cp", classes, "Verify", place / "root.pem", place / f"{issuer}.pem", place / "list"]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = done.stdout.splitlines()
        if done.returncode != 0 or not lines:
            complaints.append(f"java: {done.stderr[-500:]}")
            continue
        judged += int(lines.pop())
        complaints += lines
    return judged, complaints
