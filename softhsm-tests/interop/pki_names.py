"""Which names each role allows: hundreds of combinations, the same in every run."""

import random

from cryptography import x509
from pki_step import csr, write

DOMAINS = ("example.com", "*.example.com", "*example.com", "exam*.com", "sub.example.com", "localhost", "com", "Example.COM", "ex*mple.*", "*")
FLAGS = ("allow_bare_domains", "allow_subdomains", "allow_glob_domains", "allow_localhost", "allow_wildcard_certificates", "enforce_hostnames")
LABELS = ("a", "sub", "example", "*", "a*b", "*a", "-a", "a_b", "", "xn--bcher-kva", "EXAMPLE", "a b", "1", "localhost", "**")
SUFFIXES = ("example.com", "sub.example.com", "example.org", "Example.COM", "localhost", "localdomain", "com", "evilexample.com", "example.com.")
FIXED = (
    "example.com", "a.example.com", "*.example.com", "*.a.example.com", "a*.example.com", "localhost", "a.localhost", "*.localhost", "localdomain",
    "joe@example.com", "joe@a.example.com", "@example.com", "joe@", "a@b@example.com", "10.0.0.1", "*", "*.*.example.com", ".example.com", "example.com.",
    "bücher.example.com", "a..example.com", "EXAMPLE.com", "evilexample.com", "example.com.evil.org", "a/b.example.com",
)  # fmt: skip
# What is compared of an answer: whether it was allowed, and the text if it was not.
SILENT = ("certificate", "issuing_ca", "ca_chain", "private_key")


def chosen(generator):
    labels = [generator.choice(LABELS) for _ in range(generator.randint(0, 2))]
    name = ".".join([*labels, generator.choice(SUFFIXES)])
    return f"{generator.choice(('joe', '*', 'a b'))}@{name}" if generator.random() < 0.15 else name


def names():
    generator = random.Random("names")
    for number in range(24):
        flags = {flag: generator.random() < 0.6 for flag in FLAGS}
        domains = generator.sample(DOMAINS, generator.randint(0, 3))
        role = {"key_type": "ec", "ttl": "1h", "no_store": True, "allowed_domains": domains, "allow_any_name": number % 8 == 7, **flags}
        tag = f"{'+'.join(flag.split('_')[1] for flag, value in flags.items() if value)}-of-{'+'.join(domains)}"
        yield write(f"names/{number}-role", f"roles/n{number}", role)
        asked = [*FIXED, *(chosen(generator) for _ in range(25))]
        for name in asked:
            body = {"common_name": name, "exclude_cn_from_sans": True}
            yield write(f"names/{number}-{tag}-cn-{name}", f"issue/n{number}", body, skip=SILENT)
        for name in asked[::3]:
            yield write(f"names/{number}-{tag}-san-{name}", f"issue/n{number}", {"common_name": name, "alt_names": name}, skip=SILENT)
        for name in asked[1::5]:
            try:
                general = x509.RFC822Name(name) if "@" in name else x509.DNSName(name)
            except ValueError:
                continue
            yield write(f"names/{number}-{tag}-csr-{name}", f"sign/n{number}", {"csr": csr(cn=name, names=[general])}, skip=SILENT)


FAMILIES = (names,)
