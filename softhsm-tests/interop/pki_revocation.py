"""Revocation and upkeep: revoke, CRLs and their settings, lists of certificates, OCSP's refusals, tidy."""

from pki_step import lists, mounted, read, write

MOUNT = "pki-revocation"
ISSUED = {"serial": "data.serial_number", "certificate": "data.certificate", "key": "data.private_key"}

CRL_SETTINGS = (
    {}, {"expiry": "48h"}, {"expiry": "x"}, {"expiry": "5"}, {"ocsp_expiry": "1h"}, {"ocsp_expiry": "x"}, {"ocsp_expiry": "-5s"},
    {"ocsp_expiry": "0s"}, {"enable_delta": True}, {"auto_rebuild": True, "auto_rebuild_grace_period": "96h"}, {"auto_rebuild": "x"},
    {"auto_rebuild": True, "auto_rebuild_grace_period": "12h"}, {"enable_delta": True, "delta_rebuild_interval": "96h"},
    {"enable_delta": True, "delta_rebuild_interval": "x"}, {"enable_delta": True, "delta_rebuild_interval": "15m"},
    {"auto_rebuild": False}, {"auto_rebuild": False, "enable_delta": False}, {"disable": True}, {"disable": False},
    {"allow_expired_cert_revocation": True}, {"ocsp_disable": True}, {"ocsp_disable": False}, {"nonsense": 1},
)  # fmt: skip
TIDY = (
    {}, {"tidy_cert_store": True, "safety_buffer": 0}, {"tidy_cert_store": True, "safety_buffer": "-5s"},
    {"tidy_cert_store": True, "safety_buffer": "x"}, {"tidy_cert_store": True, "issuer_safety_buffer": 0},
    {"tidy_cert_store": True, "revoked_safety_buffer": 0}, {"tidy_cert_store": True, "acme_account_safety_buffer": 0},
    {"tidy_cert_store": True, "pause_duration": "x"}, {"tidy_cert_store": "x"},
)  # fmt: skip
AUTO_TIDY = (
    {"enabled": True}, {"enabled": True, "tidy_cert_store": True, "interval_duration": "1h"}, {"safety_buffer": "10s"},
    {"revoked_safety_buffer": "20s"}, {"issuer_safety_buffer": 0}, {"pause_duration": "1s"}, {"pause_duration": "x"},
    {"publish_stored_certificate_count_metrics": True}, {"maintain_stored_certificate_counts": True}, {"page_size": 5},
    {"tidy_cert_store": False}, {"enabled": False}, {"tidy_revocation_list": True}, {"nonsense": 1},
)  # fmt: skip


def w(name, path, body=None, **more):
    return write(f"revocation/{name}", path, body, mount=MOUNT, **more)


def r(name, path, **more):
    return read(f"revocation/{name}", path, mount=MOUNT, **more)


def ls(name, path, **more):
    return lists(f"revocation/{name}", path, mount=MOUNT, **more)


def begin():
    yield mounted("revocation/mount", MOUNT)
    for path in ("crl", "crl/pem", "crl/delta", "crl/delta/pem", "cert/crl", "cert/delta-crl", "issuer/default/crl", "crl/rotate",
                 "config/crl", "config/auto-tidy", "tidy-status"):  # fmt: skip
        yield r(f"empty/{path}", path, body_compared=not path.startswith("crl"))
    for path in ("certs", "certs/revoked", "certs/detailed"):
        yield ls(f"empty/{path}", path)
    yield w("empty/revoke", "revoke", {"serial_number": "00:11"})
    yield w("root", "root/generate/internal", {"common_name": "Root", "key_type": "ec", "issuer_name": "root", "ttl": "720h"})
    yield w("role", "roles/r", {"allow_any_name": True, "key_type": "ec", "ttl": "1h"})
    yield w("issue", "issue/r", {"common_name": "a.example"}, save=ISSUED)
    yield w("issue-other", "issue/r", {"common_name": "b.example"}, save={"other": "data.serial_number", "other_key": "data.private_key"})


def revoking():
    for name, body in (
        ("nothing", {}), ("both", {"serial_number": "<<serial>>", "certificate": "<<certificate>>"}), ("absent", {"serial_number": "00:11"}),
        ("no-number", {"serial_number": "zz"}), ("short", {"certificate": "x"}), ("not-pem", {"certificate": "x" * 100}),
    ):  # fmt: skip
        yield w(f"revoke/{name}", "revoke", body)
    yield w("key/nothing", "revoke-with-key", {})
    yield w("key/short", "revoke-with-key", {"certificate": "<<certificate>>", "private_key": "x"})
    yield w("key/wrong", "revoke-with-key", {"serial_number": "<<serial>>", "private_key": "<<other_key>>"})
    yield w("key/right", "revoke-with-key", {"certificate": "<<certificate>>", "private_key": "<<key>>"})
    yield w("revoke/again", "revoke", {"serial_number": "<<serial>>"})
    yield w("revoke/other", "revoke", {"serial_number": "<<other>>"})
    yield r("revoke/read", "cert/<<serial>>")
    yield r("revoke/read-raw", "cert/<<serial>>/raw", body_compared=False)


def published():
    for path in ("crl", "crl/pem", "crl/delta", "crl/delta/pem", "issuer/root/crl/der", "issuer/root/crl/pem",
                 "issuer/root/crl/delta/der", "issuer/root/crl/delta/pem"):  # fmt: skip
        yield r(f"list/{path}", path, token=None, body_compared=False)
    for path in ("cert/crl", "cert/delta-crl", "issuer/root/crl", "issuer/root/crl/delta", "issuer/nope/crl"):
        yield r(f"list/{path}", path, token=None, opaque=("crl",))
    yield r("rotate", "crl/rotate")
    yield r("rotate-delta", "crl/rotate-delta")
    yield r("rotate-stranger", "crl/rotate", token=None)


def inventory():
    for path in ("certs", "certs/revoked", "certs/detailed"):
        # The serial numbers are each server's own.
        yield ls(f"inventory/{path}", path, opaque=("keys", "key_info"))
        yield ls(f"inventory/{path}-page", f"{path}?limit=1", opaque=("keys", "key_info"))
        yield ls(f"inventory/{path}-beyond", f"{path}?after=ff:ff", opaque=("keys", "key_info"))
    yield r("inventory/absent", "cert/00:11")
    yield r("inventory/no-number", "cert/zz")


def settings():
    for number, body in enumerate(CRL_SETTINGS):
        yield w(f"config/{number}", "config/crl", body)
        yield r(f"config/{number}-read", "config/crl")
    yield r("config/rotate-delta", "crl/rotate-delta")


def freshest():
    places = {"delta_crl_distribution_points": ["http://x.example/delta", "http://y.example/delta"], "crl_distribution_points": "http://x.example/crl"}
    yield w("freshest/urls", "config/urls", places)
    yield w("freshest/issue", "issue/r", {"common_name": "a.example"})
    yield w("freshest/none", "config/urls", {"delta_crl_distribution_points": [], "crl_distribution_points": []})


def signing_lists():
    yield w("resign/empty", "issuer/root/resign-crls", {}, opaque=("crl",))
    yield w("resign/not-pem", "issuer/root/resign-crls", {"crls": ["zork"]})
    yield w("resign/absent", "issuer/nope/resign-crls", {})
    yield w("resign/base-above", "issuer/root/resign-crls", {"crls": [], "crl_number": 1, "delta_crl_base_number": 1})
    yield w("resign/negative", "issuer/root/resign-crls", {"crls": [], "crl_number": -1})
    yield w("resign/next-update", "issuer/root/resign-crls", {"crls": [], "next_update": "x"})
    yield w("resign/format", "issuer/root/resign-crls", {"crls": [], "format": "zork"})
    yield w("sign/empty", "issuer/root/sign-revocation-list", {}, opaque=("crl",))
    one = {"serial_number": "11", "revocation_time": "2026-11-01T10:00:00Z"}
    yield w("sign/one", "issuer/root/sign-revocation-list", {"revoked_certs": [one], "crl_number": 4}, opaque=("crl",))
    for name, entry in (("number", {**one, "serial_number": "zz"}), ("time", {**one, "revocation_time": "x"})):
        yield w(f"sign/bad-{name}", "issuer/root/sign-revocation-list", {"revoked_certs": [entry]})


def tidying():
    for number, body in enumerate(TIDY):
        yield w(f"tidy/{number}", "tidy", body)
    yield w("tidy/run", "tidy", {"tidy_cert_store": True, "tidy_revoked_certs": True})
    yield r("tidy/status", "tidy-status", wait=1, opaque=("last_auto_tidy_finished", "time_started", "time_finished", "internal_backend_uuid"))
    yield w("tidy/cancel", "tidy-cancel")
    for number, body in enumerate(AUTO_TIDY):
        yield w(f"auto-tidy/{number}", "config/auto-tidy", body)
        yield r(f"auto-tidy/{number}-read", "config/auto-tidy")


def revoking_issuers():
    yield w("issuer/absent", "issuer/nope/revoke")
    yield w("issuer/root", "issuer/root/revoke")
    yield w("issuer/again", "issuer/root/revoke")
    yield w("issuer/issue", "issue/r", {"common_name": "a.example"})


FAMILIES = (begin, revoking, published, inventory, settings, freshest, signing_lists, tidying, revoking_issuers)
