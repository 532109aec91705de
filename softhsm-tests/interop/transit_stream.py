"""The transit part of the stream: which families, in which order."""

import transit_encryption
import transit_keys
import transit_lifecycle
import transit_material
import transit_signatures
from openbao_step import post


def mount():
    yield post("transit-mount/enable", "sys/mounts/transit", {"type": "transit"})


def transit_families():
    return (mount, *(family for module in (
        transit_keys, transit_encryption, transit_signatures, transit_lifecycle, transit_material,
    ) for family in module.FAMILIES))  # fmt: skip
