"""The X.509 part of the stream: which families, in which order."""

import pki_authorities
import pki_cel
import pki_issuance
import pki_names
import pki_revocation
import pki_roles


def pki_families():
    modules = (pki_authorities, pki_roles, pki_issuance, pki_cel, pki_names, pki_revocation)
    return tuple(family for module in modules for family in module.FAMILIES)
