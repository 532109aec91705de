"""The requests of the differential harness, in order. `<<name>>` stands for a value captured from the same server.

Each family is a function that yields steps. The families of `sys`, `auth` and `kv` stand here, those of transit in
`transit_*.py`, those of the X.509 engine in `pki_*.py`; each part begins with initialisation, so that it can be sent
alone.
"""

import base64

from openbao_step import Step, delete, get, listing, post, put, wrapped
from pki_stream import pki_families
from ssh_stream import ssh_families
from transit_stream import transit_families

# Places of what both dialects of root generation and rekey answer when they begin.
STARTED = {"nonce": ("nonce", "data.nonce"), "otp": ("otp", "data.otp")}


def steps(part=None):
    """The requests of one part, `system`, `transit`, `pki` or `ssh`, or of all."""
    begin = (before_init, init_and_unseal)
    system = (
        shell_of_the_api, status, mounts, mount_tuning, remounting, auth_mounts, policies, kv_one, kv_two, tokens, token_errors,
        token_tree, token_roles, capabilities, userpass, approle, wrapping, leases, tools, audit, internals, configuration,
        keyring, root_generation, rekeying,
    )  # fmt: skip
    parts = {"system": system, "transit": transit_families(), "pki": pki_families(), "ssh": ssh_families()}
    chosen = parts[part] if part else [family for families in parts.values() for family in families]
    for family in (*begin, *chosen, *((sealing,) if part in ("system", None) else ())):
        yield from family()


def before_init():
    for path in ("health", "seal-status", "init", "leader", "ha-status", "mounts", "key-status", "generate-root/attempt",
                 "rekey/init", "internal/ui/mounts", "nonsense"):  # fmt: skip
        yield get(f"uninit/{path}", f"sys/{path}", token=None)
    yield Step("uninit/health-head", "HEAD", "sys/health", token=None)
    yield get("uninit/health-code", "sys/health?uninitcode=299", token=None)
    yield get("uninit/health-code-wrong", "sys/health?uninitcode=abc", token=None)
    yield put("uninit/unseal", "sys/unseal", {"key": "aa"}, token=None)
    yield put("uninit/unseal-nokey", "sys/unseal", {}, token=None)
    yield put("uninit/seal", "sys/seal", token=None)
    yield delete("init/delete", "sys/init", token=None)
    for name, body in (
        ("empty", {}),
        ("threshold-above-shares", {"secret_shares": 3, "secret_threshold": 5}),
        ("no-threshold", {"secret_shares": 1}),
        ("threshold-one-of-many", {"secret_shares": 3, "secret_threshold": 1}),
        ("negative", {"secret_shares": -1, "secret_threshold": -1}),
        ("too-many", {"secret_shares": 256, "secret_threshold": 2}),
        ("shares-text", {"secret_shares": "x", "secret_threshold": 2}),
        ("pgp-count", {"secret_shares": 3, "secret_threshold": 2, "pgp_keys": ["a"]}),
        ("pgp-duplicate", {"secret_shares": 2, "secret_threshold": 2, "pgp_keys": ["a", "a"]}),
        ("recovery", {"secret_shares": 1, "secret_threshold": 1, "recovery_shares": 1, "recovery_threshold": 1}),
    ):
        yield put(f"init/{name}", "sys/init", body, token=None)
    yield put("init/not-json", "sys/init", raw="{", token=None)


def init_and_unseal():
    yield put(
        "init/done", "sys/init", {"secret_shares": 3, "secret_threshold": 2}, token=None, opaque=("keys", "keys_base64"),
        save={"root": "root_token", "key0": "keys.0", "key1": "keys.1", "key2": "keys.2", "key64": "keys_base64.1"},
    )  # fmt: skip
    yield put("init/again", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token=None)
    for path in ("health", "seal-status", "init", "leader", "mounts", "rekey/init", "nonsense", "internal/ui/mounts"):
        yield get(f"sealed/{path}", f"sys/{path}", token=None)
    yield get("sealed/health-code", "sys/health?sealedcode=299", token=None)
    yield Step("sealed/health-head", "HEAD", "sys/health?sealedcode=204", token=None)
    yield get("sealed/lookup-self", "auth/token/lookup-self")
    yield get("sealed/unknown-mount", "nowhere/a")
    yield put("unseal/wrong-encoding", "sys/unseal", {"key": "not a key"}, token=None)
    yield put("unseal/short", "sys/unseal", {"key": "aabb"}, token=None)
    yield put("unseal/empty", "sys/unseal", {"key": ""}, token=None)
    yield put("unseal/number", "sys/unseal", {"key": 5}, token=None)
    yield Step("unseal/get", "GET", "sys/unseal", token=None)
    yield put("unseal/first", "sys/unseal", {"key": "<<key0>>"}, token=None)
    yield put("unseal/duplicate", "sys/unseal", {"key": "<<key0>>"}, token=None)
    yield get("unseal/progress", "sys/seal-status", token=None)
    yield put("unseal/reset", "sys/unseal", {"reset": True}, token=None)
    yield put("unseal/wrong-one", "sys/unseal", {"key": "<<key0>>"}, token=None)
    yield put("unseal/wrong-two", "sys/unseal", {"key": "11" * 33}, token=None)
    yield get("unseal/after-wrong", "sys/seal-status", token=None)
    yield put("unseal/reset-again", "sys/unseal", {"reset": True}, token=None)
    yield put("unseal/one", "sys/unseal", {"key": "<<key0>>", "migrate": False}, token=None)
    yield put("unseal/two-base64", "sys/unseal", {"key": "<<key64>>"}, token=None)
    yield put("unseal/already", "sys/unseal", {"key": "<<key2>>"}, token=None)
    yield get("unseal/ready", "auth/token/lookup-self", wait=0.5)


def shell_of_the_api():
    """What the pipeline answers before any engine is asked."""
    yield get("shell/no-token", "sys/mounts", token=None)
    yield get("shell/bad-token", "sys/mounts", token="unknown")
    yield get("shell/unknown-mount", "nowhere/a")
    yield get("shell/unknown-mount-no-token", "nowhere/a", token=None)
    yield get("shell/unknown-path", "sys/nonsense")
    yield get("shell/unknown-path-no-token", "sys/nonsense", token=None)
    yield put("shell/unknown-path-put", "sys/nonsense", {"a": 1})
    yield delete("shell/wrong-verb", "sys/mounts")
    yield post("shell/not-json", "sys/policies/acl/shell", raw="{")
    yield post("shell/json-array", "sys/policies/acl/shell", raw="[1]")
    yield post("shell/json-scalar", "sys/policies/acl/shell", raw="5")
    yield post("shell/wrong-type", "sys/policies/acl/shell", {"policy": {"a": 1}})
    yield get("shell/dot-segment", "sys/../sys/mounts", body_compared=False)
    yield get("shell/list-and-scan", "sys/policies/acl?list=true&scan=true")
    yield Step("shell/patch-without-type", "PATCH", "sys/mounts/secret", {"a": 1})
    yield get("shell/trailing-slash", "sys/mounts/", body_compared=False)
    yield get("shell/double-slash", "sys//key-status", body_compared=False)
    yield get("shell/bearer", "sys/key-status", token=None, headers={"Authorization": "Bearer <<root>>"}, opaque=("encryptions",))
    yield put("shell/trailing-slash-write", "sys/policies/acl/x/", {"policy": ""})
    yield get("shell/root-path", "", token="root")
    yield get("shell/wrap-ttl-wrong", "sys/mounts", headers={"X-Vault-Wrap-TTL": "abc"})


def status():
    yield get("status/health", "sys/health", token=None)
    yield Step("status/health-head", "HEAD", "sys/health", token=None)
    yield get("status/health-code", "sys/health?activecode=299", token=None)
    yield get("status/health-code-wrong", "sys/health?activecode=x", token=None)
    yield get("status/health-standbyok", "sys/health?standbyok=true&perfstandbyok=true", token=None)
    yield put("status/health-put", "sys/health", {}, token=None)
    yield get("status/seal-status", "sys/seal-status", token=None)
    yield get("status/init", "sys/init", token=None)
    yield get("status/leader", "sys/leader", token=None)
    yield get("status/ha-status", "sys/ha-status", skip=("hostname", "api_address", "cluster_address", "upgrade_version"))
    yield get("status/ha-status-no-token", "sys/ha-status", token=None)
    yield get("status/host-info", "sys/host-info", body_compared=False)
    yield get("status/version-history", "sys/version-history", skip=("keys", "key_info"))
    yield listing("status/version-history-list", "sys/version-history", skip=("keys", "key_info"))
    yield get("status/metrics", "sys/metrics?format=prometheus", body_compared=False)
    yield get("status/metrics-wrong", "sys/metrics?format=xml", body_compared=False)
    yield get("status/in-flight", "sys/in-flight-req", body_compared=False)
    yield get("status/loggers", "sys/loggers", body_compared=False)
    yield get("status/sanitized", "sys/config/state/sanitized", body_compared=False)
    yield put("status/step-down", "sys/step-down")


MOUNT = "sys/mounts"


def mounts():
    yield get("mounts/list", MOUNT)
    yield post("mounts/enable-kv", f"{MOUNT}/kv", {"type": "kv", "description": "first"})
    yield get("mounts/read", f"{MOUNT}/kv")
    yield get("mounts/read-absent", f"{MOUNT}/absent")
    yield post("mounts/enable-again", f"{MOUNT}/kv", {"type": "kv"})
    yield post("mounts/enable-below", f"{MOUNT}/kv/below", {"type": "kv"})
    yield post("mounts/enable-above", f"{MOUNT}/deep/er", {"type": "kv"})
    yield post("mounts/enable-above-2", f"{MOUNT}/deep", {"type": "kv"})
    yield delete("mounts/disable-deep", f"{MOUNT}/deep/er")
    for name, path, body in (
        ("no-type", "a", {}),
        ("unknown-type", "a", {"type": "nonsense"}),
        ("system-type", "a", {"type": "system"}),
        ("protected", "sys", {"type": "kv"}),
        ("protected-below", "sys/a", {"type": "kv"}),
        ("protected-auth", "auth/a", {"type": "kv"}),
        ("protected-cubbyhole", "cubbyhole", {"type": "kv"}),
        ("bad-default-ttl", "a", {"type": "kv", "config": {"default_lease_ttl": "abc"}}),
        ("bad-max-ttl", "a", {"type": "kv", "config": {"max_lease_ttl": "abc"}}),
        ("default-above-max", "a", {"type": "kv", "config": {"default_lease_ttl": "2h", "max_lease_ttl": "1h"}}),
        ("default-above-system", "a", {"type": "kv", "config": {"default_lease_ttl": "9999h"}}),
        ("bad-visibility", "a", {"type": "kv", "config": {"listing_visibility": "maybe"}}),
        ("bad-config", "a", {"type": "kv", "config": "abc"}),
        ("bad-options", "a", {"type": "kv", "options": "abc"}),
        ("bad-kv-version", "a", {"type": "kv", "options": {"version": "9"}}),
        ("bad-plugin-version", "a", {"type": "kv", "plugin_version": "abc"}),
        ("token-type", "a", {"type": "kv", "config": {"token_type": "service"}}),
    ):
        yield post(f"mounts/{name}", f"{MOUNT}/{path}", body)
        yield delete(f"mounts/{name}-cleanup", f"{MOUNT}/{path}")
    yield post(
        "mounts/enable-full", f"{MOUNT}/full/path",
        {"type": "kv", "description": "all", "local": True, "seal_wrap": True, "options": {"version": "2"},
         "config": {"default_lease_ttl": "1h", "max_lease_ttl": 7200, "force_no_cache": True,
                    "audit_non_hmac_request_keys": "a,b", "audit_non_hmac_response_keys": ["c"],
                    "listing_visibility": "unauth", "passthrough_request_headers": ["X-A"],
                    "allowed_response_headers": ["X-B"]}},
    )  # fmt: skip
    yield get("mounts/read-full", f"{MOUNT}/full/path")
    yield post("mounts/enable-kv2", f"{MOUNT}/kv2", {"type": "kv-v2"})
    yield get("mounts/read-kv2", f"{MOUNT}/kv2")
    yield post("mounts/enable-generic", f"{MOUNT}/generic", {"type": "generic"})
    yield get("mounts/read-generic", f"{MOUNT}/generic")
    yield delete("mounts/disable-generic", f"{MOUNT}/generic")
    yield post("mounts/enable-transit", f"{MOUNT}/transit", {"type": "transit"})
    yield post("mounts/enable-unknown-member", f"{MOUNT}/odd", {"type": "kv", "nonsense": 1})
    yield delete("mounts/disable-odd", f"{MOUNT}/odd")
    yield get("mounts/list-more", MOUNT)
    yield delete("mounts/disable-absent", f"{MOUNT}/absent")
    yield delete("mounts/disable-sys", f"{MOUNT}/sys")
    yield delete("mounts/disable-cubbyhole", f"{MOUNT}/cubbyhole")
    yield delete("mounts/disable", f"{MOUNT}/transit")
    yield get("mounts/gone", "transit/keys/a")


def mount_tuning():
    yield get("tune/read", f"{MOUNT}/kv/tune")
    yield get("tune/read-full", f"{MOUNT}/full/path/tune")
    yield get("tune/read-sys", f"{MOUNT}/sys/tune")
    yield get("tune/read-absent", f"{MOUNT}/absent/tune")
    yield post("tune/absent", f"{MOUNT}/absent/tune", {"default_lease_ttl": "1h"})
    yield post("tune/ttls", f"{MOUNT}/kv/tune", {"default_lease_ttl": "3600s", "max_lease_ttl": "8600s"})
    yield get("tune/ttls-read", f"{MOUNT}/kv/tune")
    for name, body in (
        ("bad-ttl", {"default_lease_ttl": "abc"}),
        ("default-above-max", {"default_lease_ttl": "5h"}),
        ("bad-visibility", {"listing_visibility": "x"}),
        ("token-type", {"token_type": "batch"}),
        ("bad-options", {"options": {"version": "7"}}),
        ("unknown-member", {"nonsense": 1}),
        ("nothing", {}),
        ("system-default", {"default_lease_ttl": "system"}),
        ("description", {"description": "second"}),
        ("visibility", {"listing_visibility": "hidden"}),
        ("keys", {"audit_non_hmac_request_keys": ["x"], "audit_non_hmac_response_keys": "y,z"}),
        ("headers", {"passthrough_request_headers": ["X-C"], "allowed_response_headers": ["X-D"]}),
        ("max-zero", {"max_lease_ttl": "0"}),
        ("negative", {"default_lease_ttl": "-5"}),
    ):
        yield post(f"tune/{name}", f"{MOUNT}/kv/tune", body)
        yield get(f"tune/{name}-read", f"{MOUNT}/kv/tune")
    yield post("tune/upgrade", f"{MOUNT}/kv/tune", {"options": {"version": "1"}})
    yield post("tune/sys", f"{MOUNT}/sys/tune", {"description": "x"})
    yield post("tune/seal", f"{MOUNT}/kv/tune", {"max_lease_ttl": "system", "default_lease_ttl": "system"})
    yield get("tune/final", f"{MOUNT}/kv")


def remounting():
    yield post("remount/enable", f"{MOUNT}/old", {"type": "kv"})
    yield put("remount/write", "old/a", {"x": "1"})
    for name, body in (
        ("empty", {}),
        ("no-target", {"from": "old"}),
        ("no-source", {"to": "new"}),
        ("absent", {"from": "absent", "to": "new"}),
        ("taken", {"from": "old", "to": "kv"}),
        ("protected-source", {"from": "sys", "to": "new"}),
        ("protected-target", {"from": "old", "to": "sys"}),
        ("across", {"from": "old", "to": "auth/new"}),
        ("same", {"from": "old", "to": "old"}),
    ):
        yield post(f"remount/{name}", "sys/remount", body)
    yield post("remount/done", "sys/remount", {"from": "old", "to": "new/er"}, save={"migration": "data.migration_id"})
    yield get("remount/status", "sys/remount/status/<<migration>>", wait=0.5)
    yield get("remount/status-absent", "sys/remount/status/absent")
    yield get("remount/read", "new/er/a")
    yield get("remount/old", "old/a")
    yield delete("remount/cleanup", f"{MOUNT}/new/er")


def auth_mounts():
    yield get("auth/list", "sys/auth")
    yield post("auth/enable-approle", "sys/auth/approle", {"type": "approle", "description": "machines"})
    yield post("auth/enable-userpass", "sys/auth/userpass", {"type": "userpass", "config": {"default_lease_ttl": "1h"}})
    yield get("auth/list-more", "sys/auth")
    yield get("auth/read", "sys/auth/approle")
    yield get("auth/read-absent", "sys/auth/absent")
    yield get("auth/tune-read", "sys/auth/approle/tune")
    yield get("auth/tune-read-token", "sys/auth/token/tune")
    yield get("auth/tune-read-absent", "sys/auth/absent/tune")
    yield post("auth/tune", "sys/auth/approle/tune", {"max_lease_ttl": 12345, "default_lease_ttl": "10m",
                                                      "token_type": "default-service"})  # fmt: skip
    yield get("auth/tune-read-again", "sys/auth/approle/tune")
    yield post("auth/tune-bad-type", "sys/auth/approle/tune", {"token_type": "nonsense"})
    yield post("auth/tune-back", "sys/auth/approle/tune", {"max_lease_ttl": "system", "default_lease_ttl": "system"})
    yield post("auth/tune-absent", "sys/auth/absent/tune", {"description": "x"})
    yield get("auth/mounts-tune-read", f"{MOUNT}/auth/approle/tune")
    yield post("auth/mounts-tune", f"{MOUNT}/auth/approle/tune", {"description": "again"})
    for name, path, body in (
        ("again", "approle", {"type": "approle"}),
        ("no-type", "a", {}),
        ("unknown", "a", {"type": "nonsense"}),
        ("token", "a", {"type": "token"}),
        ("secrets-type", "a", {"type": "kv"}),
        ("below", "approle/below", {"type": "approle"}),
        ("bad-ttl", "a", {"type": "approle", "config": {"max_lease_ttl": "x"}}),
        ("bad-token-type", "a", {"type": "approle", "config": {"token_type": "x"}}),
        ("batch", "b", {"type": "userpass", "config": {"token_type": "batch"}}),
    ):
        yield post(f"auth/enable-{name}", f"sys/auth/{path}", body)
    yield get("auth/read-batch", "sys/auth/b")
    yield delete("auth/disable", "sys/auth/b")
    yield delete("auth/disable-absent", "sys/auth/absent")
    yield delete("auth/disable-token", "sys/auth/token")
    yield post("auth/enable-move", "sys/auth/move", {"type": "approle"})
    yield post("auth/remount", "sys/remount", {"from": "auth/move", "to": "auth/moved"})
    yield get("auth/remounted", "sys/auth/moved", wait=0.5)
    yield delete("auth/disable-moved", "sys/auth/moved")


def policies():
    reader = 'path "kv/*" { capabilities = ["read", "list"] }\npath "secret/deny" { capabilities = ["deny"] }\n'
    for spelling in ("policy", "policies/acl"):
        tag = spelling.split("/")[0]
        yield get(f"policy/{tag}-list", f"sys/{spelling}")
        yield listing(f"policy/{tag}-LIST", f"sys/{spelling}")
        yield get(f"policy/{tag}-list-query", f"sys/{spelling}?list=true")
        yield put(f"policy/{tag}-write", f"sys/{spelling}/Reader", {"policy": reader})
        yield get(f"policy/{tag}-read", f"sys/{spelling}/reader")
        yield get(f"policy/{tag}-read-upper", f"sys/{spelling}/READER")
        yield get(f"policy/{tag}-read-root", f"sys/{spelling}/root")
        yield get(f"policy/{tag}-read-default", f"sys/{spelling}/default", opaque=("policy", "rules"))
        yield get(f"policy/{tag}-read-absent", f"sys/{spelling}/absent")
        yield put(f"policy/{tag}-write-root", f"sys/{spelling}/root", {"policy": reader})
        yield delete(f"policy/{tag}-delete-root", f"sys/{spelling}/root")
        yield delete(f"policy/{tag}-delete-default", f"sys/{spelling}/default")
        yield delete(f"policy/{tag}-delete-absent", f"sys/{spelling}/absent")
        for name, body in (
            ("empty", {}),
            ("empty-text", {"policy": ""}),
            ("bad-hcl", {"policy": 'path "a" {'}),
            ("bad-capability", {"policy": 'path "a" { capabilities = ["fly"] }'}),
            ("bad-member", {"policy": 'path "a" { nonsense = 1 }'}),
            ("bad-top", {"policy": 'nonsense "a" {}'}),
            ("bad-glob", {"policy": 'path "a/+*" { capabilities = ["read"] }'}),
            ("json", {"policy": '{"path": {"a": {"capabilities": ["read"]}}}'}),
            ("base64", {"policy": base64.b64encode(reader.encode()).decode()}),
            ("legacy-rules", {"rules": reader}),
            ("legacy-word", {"policy": 'path "a" { policy = "write" }'}),
            ("number", {"policy": 5}),
            ("parameters", {"policy": 'path "a" { capabilities = ["update"]\n required_parameters = ["x"]\n'
                                      'allowed_parameters = { "x" = ["1", "2"] }\n min_wrapping_ttl = "10s" }'}),
            ("bad-wrapping", {"policy": 'path "a" { capabilities = ["read"]\n min_wrapping_ttl = "2h"\n max_wrapping_ttl = "1h" }'}),
        ):  # fmt: skip
            yield put(f"policy/{tag}-{name}", f"sys/{spelling}/wrong", body)
            yield get(f"policy/{tag}-{name}-read", f"sys/{spelling}/wrong")
            yield delete(f"policy/{tag}-{name}-delete", f"sys/{spelling}/wrong")
        yield get(f"policy/{tag}-list-after", f"sys/{spelling}")
    yield listing("policy/password-list", "sys/policies/password")
    yield get("policy/password-absent", "sys/policies/password/absent")


def kv_one():
    yield put("kv1/write", "kv/a", {"x": "1", "n": 5})
    yield get("kv1/read", "kv/a")
    yield put("kv1/write-deep", "kv/d/e/f", {"ttl": "1h", "x": 1})
    yield get("kv1/read-deep", "kv/d/e/f")
    yield get("kv1/read-absent", "kv/absent")
    yield listing("kv1/list", "kv/")
    yield listing("kv1/list-deep", "kv/d")
    yield listing("kv1/list-absent", "kv/absent")
    yield get("kv1/list-query", "kv/?list=true")
    yield put("kv1/write-empty", "kv/a", {})
    yield put("kv1/write-none", "kv/a")
    yield delete("kv1/delete", "kv/a")
    yield delete("kv1/delete-absent", "kv/a")
    yield get("kv1/bad-ttl-read", "kv/t")
    yield put("kv1/bad-ttl", "kv/t", {"ttl": "abc"})
    yield get("kv1/bad-ttl-answer", "kv/t")
    yield put("kv1/lease", "kv/l", {"lease": "90s"})
    yield get("kv1/lease-answer", "kv/l")
    yield Step("kv1/patch", "PATCH", "kv/a", {"x": 1}, headers={"Content-Type": "application/merge-patch+json"})
    yield put("kv1/write-slash", "kv/a/", {"x": 1})


def kv_two():
    merge = {"Content-Type": "application/merge-patch+json"}
    yield get("kv2/config", "kv2/config")
    yield post("kv2/config-write", "kv2/config", {"max_versions": 3, "delete_version_after": "30m"})
    yield get("kv2/config-read", "kv2/config")
    yield post("kv2/config-bad", "kv2/config", {"max_versions": "abc"})
    yield post("kv2/config-bad-duration", "kv2/config", {"delete_version_after": "abc"})
    yield post("kv2/config-off", "kv2/config", {"max_versions": 0, "delete_version_after": "0s"})
    yield get("kv2/config-off-read", "kv2/config")
    yield get("kv2/absent", "kv2/data/absent")
    yield post("kv2/write", "kv2/data/a", {"data": {"x": "1"}})
    yield get("kv2/read", "kv2/data/a")
    yield post("kv2/write-no-data", "kv2/data/a", {})
    yield post("kv2/write-data-null", "kv2/data/nul", {"data": None})
    yield post("kv2/write-data-text", "kv2/data/a", {"data": "x"})
    yield post("kv2/write-options-text", "kv2/data/a", {"data": {}, "options": "x"})
    yield post("kv2/cas-zero", "kv2/data/a", {"data": {"x": "2"}, "options": {"cas": 0}})
    yield post("kv2/cas-wrong", "kv2/data/a", {"data": {"x": "2"}, "options": {"cas": 9}})
    yield post("kv2/cas-text", "kv2/data/a", {"data": {"x": "2"}, "options": {"cas": "x"}})
    yield post("kv2/cas-right", "kv2/data/a", {"data": {"x": "2"}, "options": {"cas": 1}})
    yield post("kv2/unknown-member", "kv2/data/a", {"data": {"x": "3"}, "nonsense": 1})
    yield get("kv2/read-version", "kv2/data/a?version=1")
    yield get("kv2/read-version-absent", "kv2/data/a?version=9")
    yield get("kv2/read-version-wrong", "kv2/data/a?version=x")
    yield Step("kv2/patch", "PATCH", "kv2/data/a", {"data": {"y": "1", "x": None}}, headers=merge)
    yield Step("kv2/patch-absent", "PATCH", "kv2/data/absent", {"data": {"y": "1"}}, headers=merge)
    yield Step("kv2/patch-no-data", "PATCH", "kv2/data/a", {}, headers=merge)
    yield Step("kv2/patch-cas", "PATCH", "kv2/data/a", {"data": {}, "options": {"cas": 1}}, headers=merge)
    yield get("kv2/patched", "kv2/data/a")
    yield get("kv2/subkeys", "kv2/subkeys/a")
    yield get("kv2/subkeys-absent", "kv2/subkeys/absent")
    yield delete("kv2/delete", "kv2/data/a")
    yield delete("kv2/delete-absent", "kv2/data/absent")
    yield get("kv2/deleted", "kv2/data/a")
    yield post("kv2/undelete", "kv2/undelete/a", {"versions": [4]})
    yield post("kv2/undelete-none", "kv2/undelete/a", {})
    yield post("kv2/undelete-absent", "kv2/undelete/absent", {"versions": [1]})
    yield get("kv2/undeleted", "kv2/data/a")
    yield post("kv2/delete-versions", "kv2/delete/a", {"versions": "1,2"})
    yield post("kv2/delete-versions-none", "kv2/delete/a", {})
    yield post("kv2/delete-versions-absent", "kv2/delete/absent", {"versions": [1]})
    yield put("kv2/destroy", "kv2/destroy/a", {"versions": [1]})
    yield put("kv2/destroy-none", "kv2/destroy/a", {})
    yield put("kv2/destroy-absent", "kv2/destroy/absent", {"versions": [1]})
    yield get("kv2/destroyed", "kv2/data/a?version=1")
    yield get("kv2/metadata", "kv2/metadata/a")
    yield get("kv2/metadata-absent", "kv2/metadata/absent")
    yield post("kv2/metadata-write", "kv2/metadata/a", {"max_versions": 2, "cas_required": True,
                                                         "delete_version_after": "1h", "custom_metadata": {"k": "v"}})  # fmt: skip
    yield get("kv2/metadata-read", "kv2/metadata/a")
    yield post("kv2/metadata-bad", "kv2/metadata/a", {"max_versions": "x"})
    yield post("kv2/metadata-custom-bad", "kv2/metadata/a", {"custom_metadata": {"k": 5}})
    yield post("kv2/metadata-custom-long", "kv2/metadata/a", {"custom_metadata": {"k" * 200: "v"}})
    yield Step("kv2/metadata-patch", "PATCH", "kv2/metadata/a", {"custom_metadata": {"k2": "v2"}}, headers=merge)
    yield get("kv2/metadata-patched", "kv2/metadata/a")
    yield Step("kv2/metadata-patch-absent", "PATCH", "kv2/metadata/absent", {"max_versions": 2}, headers=merge)
    yield post("kv2/cas-required", "kv2/data/a", {"data": {"x": "9"}})
    yield post("kv2/cas-given", "kv2/data/a", {"data": {"x": "9"}, "options": {"cas": 4}})
    yield get("kv2/trimmed", "kv2/metadata/a")
    yield post("kv2/metadata-new", "kv2/metadata/new", {"max_versions": 2})
    yield get("kv2/metadata-new-read", "kv2/metadata/new")
    yield get("kv2/metadata-new-data", "kv2/data/new")
    yield listing("kv2/list", "kv2/metadata")
    yield listing("kv2/list-slash", "kv2/metadata/")
    yield listing("kv2/list-absent", "kv2/metadata/none")
    yield listing("kv2/list-data", "kv2/data")
    yield post("kv2/deep", "kv2/data/d/e", {"data": {"x": "1"}})
    yield listing("kv2/list-deep", "kv2/metadata/d")
    yield delete("kv2/metadata-delete", "kv2/metadata/a")
    yield delete("kv2/metadata-delete-absent", "kv2/metadata/a")
    yield get("kv2/metadata-gone", "kv2/metadata/a")
    yield get("kv2/raw-path", "kv2/a")
    yield post("kv2/raw-write", "kv2/a", {"x": 1})
    yield get("kv2/root", "kv2")


def tokens():
    yield post("token/create", "auth/token/create", {"policies": ["reader"], "ttl": "1h", "meta": {"a": "b"},
                                                     "display_name": "tool one"},
               save={"reader": "auth.client_token", "reader_accessor": "auth.accessor"})  # fmt: skip
    yield get("token/lookup-self", "auth/token/lookup-self", token="reader", opaque=("ttl",))
    yield post("token/lookup", "auth/token/lookup", {"token": "<<reader>>"}, opaque=("ttl",))
    yield get("token/lookup-get", "auth/token/lookup?token=<<reader>>", opaque=("ttl",))
    yield post("token/lookup-accessor", "auth/token/lookup-accessor", {"accessor": "<<reader_accessor>>"}, opaque=("ttl",))
    yield get("token/lookup-root", "auth/token/lookup-self", opaque=("ttl",))
    yield get("token/may-read", "kv/d/e/f", token="reader")
    yield get("token/may-not-read", "kv2/data/a", token="reader")
    yield get("token/may-not-sys", "sys/mounts", token="reader")
    yield put("token/may-not-write", "kv/a", {"x": 1}, token="reader")
    yield post("token/renew-self", "auth/token/renew-self", {"increment": "30m"}, token="reader")
    yield post("token/renew", "auth/token/renew", {"token": "<<reader>>", "increment": 600})
    yield post("token/renew-accessor", "auth/token/renew-accessor", {"accessor": "<<reader_accessor>>"})
    yield post("token/child-of-limited", "auth/token/create", {"policies": ["reader"]}, token="reader")
    yield post("token/orphan", "auth/token/create-orphan", {"policies": ["reader"], "ttl": "1h"},
               save={"orphan": "auth.client_token"})  # fmt: skip
    yield get("token/orphan-lookup", "auth/token/lookup-self", token="orphan", opaque=("ttl",))
    yield post("token/no-default", "auth/token/create", {"policies": ["reader"], "no_default_policy": True},
               save={"bare": "auth.client_token"})  # fmt: skip
    yield get("token/no-default-lookup", "auth/token/lookup-self", token="bare")
    yield post("token/uses", "auth/token/create", {"policies": ["reader"], "num_uses": 2, "ttl": "1h"},
               save={"twice": "auth.client_token"})  # fmt: skip
    for turn in ("first", "second", "third"):
        yield get(f"token/uses-{turn}", "auth/token/lookup-self", token="twice", opaque=("ttl",))
    yield post("token/periodic", "auth/token/create", {"policies": ["reader"], "period": "1h"},
               save={"periodic": "auth.client_token"})  # fmt: skip
    yield get("token/periodic-lookup", "auth/token/lookup-self", token="periodic", opaque=("ttl",))
    yield post("token/explicit", "auth/token/create", {"policies": ["reader"], "explicit_max_ttl": "1h", "ttl": "10m"},
               save={"explicit": "auth.client_token"})  # fmt: skip
    yield get("token/explicit-lookup", "auth/token/lookup-self", token="explicit", opaque=("ttl",))
    yield post("token/not-renewable", "auth/token/create", {"policies": ["reader"], "renewable": False, "ttl": "1h"},
               save={"fixed": "auth.client_token"})  # fmt: skip
    yield post("token/not-renewable-renew", "auth/token/renew", {"token": "<<fixed>>"})
    yield post("token/chosen-id", "auth/token/create", {"id": "my-own-token", "policies": ["default"]},
               save={"chosen": "auth.client_token"})  # fmt: skip
    yield get("token/chosen-id-lookup", "auth/token/lookup-self", token="chosen", opaque=("ttl",))
    yield post("token/chosen-id-again", "auth/token/create", {"id": "my-own-token", "policies": ["default"]})
    yield post("token/batch", "auth/token/create", {"type": "batch", "policies": ["reader"], "ttl": "1h"},
               save={"batch": "auth.client_token"})  # fmt: skip
    yield get("token/batch-lookup", "auth/token/lookup-self", token="batch", opaque=("ttl",))
    yield post("token/batch-renew", "auth/token/renew-self", {}, token="batch")
    yield post("token/batch-revoke", "auth/token/revoke", {"token": "<<batch>>"})
    yield listing("token/accessors", "auth/token/accessors", opaque=("keys",))


def token_errors():
    yield post("token-errors/lookup-none", "auth/token/lookup", {})
    yield post("token-errors/lookup-bad", "auth/token/lookup", {"token": "absent"})
    yield post("token-errors/accessor-none", "auth/token/lookup-accessor", {})
    yield post("token-errors/accessor-bad", "auth/token/lookup-accessor", {"accessor": "absent"})
    yield post("token-errors/renew-none", "auth/token/renew", {})
    yield post("token-errors/renew-bad", "auth/token/renew", {"token": "absent"})
    yield post("token-errors/renew-accessor-bad", "auth/token/renew-accessor", {"accessor": "absent"})
    yield post("token-errors/revoke-none", "auth/token/revoke", {})
    yield post("token-errors/revoke-bad", "auth/token/revoke", {"token": "absent"})
    yield post("token-errors/revoke-accessor-bad", "auth/token/revoke-accessor", {"accessor": "absent"})
    yield post("token-errors/revoke-orphan-bad", "auth/token/revoke-orphan", {"token": "absent"})
    yield post("token-errors/wrong-ttl", "auth/token/create", {"ttl": "abc"})
    yield post("token-errors/negative-ttl", "auth/token/create", {"ttl": "-5s"})
    yield post("token-errors/wrong-type", "auth/token/create", {"type": "nonsense"})
    yield post("token-errors/policies-number", "auth/token/create", {"policies": 5})
    yield post("token-errors/uses-negative", "auth/token/create", {"num_uses": -1})
    yield post("token-errors/root-with-other", "auth/token/create", {"policies": ["root", "reader"]})
    yield post("token-errors/absent-policy", "auth/token/create", {"policies": ["nowhere"], "ttl": "1m"})
    yield post("token-errors/period-and-explicit", "auth/token/create", {"period": "1h", "explicit_max_ttl": "10m", "ttl": "5m"})
    yield post("token-errors/ttl-above-max", "auth/token/create", {"policies": ["default"], "ttl": "9999h"})
    yield post("token-errors/batch-uses", "auth/token/create", {"type": "batch", "num_uses": 5})
    yield post("token-errors/bad-id", "auth/token/create", {"id": "s.abc"})
    yield post("token-errors/unknown-member", "auth/token/create", {"ttl": "1m", "nonsense": 1})
    yield post("token-errors/unknown-role", "auth/token/create/absent", {})


def token_tree():
    maker = 'path "auth/token/*" { capabilities = ["create", "read", "update", "delete", "list"] }'
    yield put("tree/policy", "sys/policies/acl/maker", {"policy": maker})
    yield post("tree/parent", "auth/token/create", {"policies": ["maker"], "ttl": "1h"}, save={"parent": "auth.client_token"})
    yield post("tree/child", "auth/token/create", {"ttl": "30m"}, token="parent",
               save={"child": "auth.client_token", "child_accessor": "auth.accessor"})  # fmt: skip
    yield get("tree/child-lookup", "auth/token/lookup-self", token="child", opaque=("ttl",))
    yield post("tree/escalate", "auth/token/create", {"policies": ["reader"]}, token="parent")
    yield post("tree/escalate-root", "auth/token/create", {"policies": ["root"]}, token="parent")
    yield post("tree/no-parent", "auth/token/create", {"no_parent": True}, token="parent")
    yield post("tree/own-id", "auth/token/create", {"id": "x-y-z"}, token="parent")
    yield post("tree/revoke", "auth/token/revoke", {"token": "<<parent>>"})
    yield get("tree/child-gone", "auth/token/lookup-self", token="child", wait=0.5)
    yield post("tree/child-accessor-gone", "auth/token/lookup-accessor", {"accessor": "<<child_accessor>>"})
    yield post("tree/self", "auth/token/create", {"policies": ["reader"]}, save={"brief": "auth.client_token"})
    yield post("tree/revoke-self", "auth/token/revoke-self", token="brief")
    yield get("tree/revoked-self", "auth/token/lookup-self", token="brief")
    yield post("tree/by-accessor", "auth/token/create", {"policies": ["reader"]}, save={"brief_accessor": "auth.accessor"})
    yield post("tree/revoke-accessor", "auth/token/revoke-accessor", {"accessor": "<<brief_accessor>>"})
    yield post("tree/limited", "auth/token/create", {"policies": ["maker"], "num_uses": 5, "ttl": "1h"},
               save={"limited": "auth.client_token"})  # fmt: skip
    yield post("tree/limited-child", "auth/token/create", {}, token="limited")
    yield post("tree/tidy", "auth/token/tidy")


def token_roles():
    roles = "auth/token/roles"
    yield listing("token-roles/list-empty", roles)
    yield post("token-roles/write", f"{roles}/ci", {"allowed_policies": "reader,default", "orphan": True, "token_period": "1h",
                                                    "renewable": True})  # fmt: skip
    yield get("token-roles/read", f"{roles}/ci")
    yield get("token-roles/read-absent", f"{roles}/absent")
    yield listing("token-roles/list", roles)
    yield post("token-roles/create", "auth/token/create/ci", {"policies": ["reader"]}, save={"ci": "auth.client_token"})
    yield get("token-roles/lookup", "auth/token/lookup-self", token="ci", opaque=("ttl",))
    yield post("token-roles/create-denied", "auth/token/create/ci", {"policies": ["maker"]})
    yield post("token-roles/bad-type", f"{roles}/bad", {"token_type": "nonsense"})
    yield post("token-roles/bad-period", f"{roles}/bad", {"token_period": "-1s"})
    yield post("token-roles/bad-suffix", f"{roles}/bad", {"path_suffix": "a//b$"})
    yield delete("token-roles/delete", f"{roles}/ci")
    yield delete("token-roles/delete-absent", f"{roles}/ci")


def capabilities():
    yield post("capabilities/self", "sys/capabilities-self", {"paths": ["kv/a", "sys/mounts"]}, token="reader")
    yield post("capabilities/self-one", "sys/capabilities-self", {"path": "kv/a"}, token="reader")
    yield post("capabilities/self-none", "sys/capabilities-self", {}, token="reader")
    yield post("capabilities/self-csv", "sys/capabilities-self", {"paths": "kv/a,kv2/data/a"}, token="reader")
    yield post("capabilities/root", "sys/capabilities-self", {"paths": ["kv/a"]})
    yield post("capabilities/token", "sys/capabilities", {"token": "<<reader>>", "paths": ["kv/a"]})
    yield post("capabilities/token-bad", "sys/capabilities", {"token": "absent", "paths": ["kv/a"]})
    yield post("capabilities/token-none", "sys/capabilities", {"paths": ["kv/a"]})
    yield post("capabilities/accessor", "sys/capabilities-accessor", {"accessor": "<<reader_accessor>>", "paths": ["kv/a"]})
    yield post("capabilities/accessor-bad", "sys/capabilities-accessor", {"accessor": "absent", "paths": ["kv/a"]})
    yield post("capabilities/accessor-none", "sys/capabilities-accessor", {"paths": ["kv/a"]})
    yield get("capabilities/resultant", "sys/internal/ui/resultant-acl", token="reader", body_compared=False)
    yield get("capabilities/resultant-root", "sys/internal/ui/resultant-acl")


def userpass():
    users = "auth/userpass/users"
    yield listing("userpass/list-empty", users)
    yield post("userpass/write", f"{users}/mitch", {"password": "foo", "token_policies": "reader", "token_ttl": "20m"})
    yield get("userpass/read", f"{users}/mitch")
    yield get("userpass/read-absent", f"{users}/absent")
    yield post("userpass/write-no-password", f"{users}/empty", {"token_policies": "reader"})
    yield post("userpass/write-wrong-ttl", f"{users}/wrong", {"password": "x", "token_ttl": "abc"})
    yield post("userpass/write-wrong-type", f"{users}/wrong", {"password": "x", "token_type": "abc"})
    yield post("userpass/write-cidrs", f"{users}/wrong", {"password": "x", "token_bound_cidrs": "not-a-cidr"})
    yield listing("userpass/list", users)
    yield post("userpass/login", "auth/userpass/login/mitch", {"password": "foo"}, token=None,
               save={"mitch": "auth.client_token"})  # fmt: skip
    yield get("userpass/lookup", "auth/token/lookup-self", token="mitch", opaque=("ttl",))
    yield post("userpass/login-upper", "auth/userpass/login/MITCH", {"password": "foo"}, token=None)
    yield post("userpass/login-wrong", "auth/userpass/login/mitch", {"password": "bar"}, token=None)
    yield post("userpass/login-unknown", "auth/userpass/login/absent", {"password": "bar"}, token=None)
    yield post("userpass/login-no-password", "auth/userpass/login/mitch", {}, token=None)
    yield get("userpass/login-get", "auth/userpass/login/mitch", token=None)
    yield post("userpass/password", f"{users}/mitch/password", {"password": "bar"})
    yield post("userpass/password-none", f"{users}/mitch/password", {})
    yield post("userpass/password-absent", f"{users}/absent/password", {"password": "bar"})
    yield post("userpass/policies", f"{users}/mitch/policies", {"token_policies": "default,maker"})
    yield get("userpass/policies-read", f"{users}/mitch")
    yield post("userpass/login-new", "auth/userpass/login/mitch", {"password": "bar"}, token=None)
    yield delete("userpass/delete", f"{users}/mitch")
    yield delete("userpass/delete-absent", f"{users}/mitch")
    yield post("userpass/login-deleted", "auth/userpass/login/mitch", {"password": "bar"}, token=None)
    yield post("userpass/unmounted-login", "auth/nowhere/login/mitch", {"password": "bar"}, token=None)


def approle():
    role = "auth/approle/role"
    yield listing("approle/list-empty", role)
    yield post("approle/write", f"{role}/web", {"token_policies": ["reader"], "token_ttl": "20m", "token_max_ttl": "30m",
                                                "secret_id_ttl": "10m", "secret_id_num_uses": 3})  # fmt: skip
    yield get("approle/read", f"{role}/web")
    yield get("approle/read-absent", f"{role}/absent")
    yield listing("approle/list", role)
    yield get("approle/role-id", f"{role}/web/role-id", save={"role_id": "data.role_id"})
    yield post("approle/role-id-set", f"{role}/web/role-id", {"role_id": "fixed"})
    yield get("approle/role-id-fixed", f"{role}/web/role-id")
    yield get("approle/role-id-absent", f"{role}/absent/role-id")
    yield post("approle/secret", f"{role}/web/secret-id", {"metadata": '{"k": "v"}'},
               save={"secret": "data.secret_id", "secret_accessor": "data.secret_id_accessor"})  # fmt: skip
    yield post("approle/secret-bad-metadata", f"{role}/web/secret-id", {"metadata": "abc"})
    yield post("approle/secret-absent", f"{role}/absent/secret-id", {})
    yield listing("approle/secrets", f"{role}/web/secret-id", opaque=("keys",))
    yield post("approle/secret-lookup", f"{role}/web/secret-id/lookup", {"secret_id": "<<secret>>"})
    yield post("approle/secret-lookup-bad", f"{role}/web/secret-id/lookup", {"secret_id": "absent"})
    yield post("approle/accessor-lookup", f"{role}/web/secret-id-accessor/lookup", {"secret_id_accessor": "<<secret_accessor>>"})
    yield post("approle/accessor-lookup-bad", f"{role}/web/secret-id-accessor/lookup", {"secret_id_accessor": "absent"})
    login = "auth/approle/login"
    yield post("approle/login", login, {"role_id": "fixed", "secret_id": "<<secret>>"}, token=None, save={"web": "auth.client_token"})
    yield get("approle/lookup", "auth/token/lookup-self", token="web", opaque=("ttl",))
    yield post("approle/login-wrong", login, {"role_id": "fixed", "secret_id": "x"}, token=None)
    yield post("approle/login-unknown", login, {"role_id": "x", "secret_id": "x"}, token=None)
    yield post("approle/login-no-role", login, {"secret_id": "x"}, token=None)
    yield post("approle/login-no-secret", login, {"role_id": "fixed"}, token=None)
    yield post("approle/custom", f"{role}/web/custom-secret-id", {"secret_id": "mine"})
    yield post("approle/custom-again", f"{role}/web/custom-secret-id", {"secret_id": "mine"})
    yield post("approle/custom-login", login, {"role_id": "fixed", "secret_id": "mine"}, token=None)
    yield post("approle/destroy", f"{role}/web/secret-id/destroy", {"secret_id": "mine"})
    yield post("approle/destroy-again", f"{role}/web/secret-id/destroy", {"secret_id": "mine"})
    yield post("approle/accessor-destroy", f"{role}/web/secret-id-accessor/destroy", {"secret_id_accessor": "<<secret_accessor>>"})
    yield post("approle/accessor-destroy-again", f"{role}/web/secret-id-accessor/destroy", {"secret_id_accessor": "<<secret_accessor>>"})
    for field, value in (("policies", "default"), ("secret-id-num-uses", 5), ("secret-id-ttl", "5m"), ("token-ttl", "5m"),
                         ("token-max-ttl", "10m"), ("bind-secret-id", True), ("period", 0), ("token-num-uses", 4),
                         ("secret-id-bound-cidrs", "127.0.0.1/32"), ("token-bound-cidrs", "127.0.0.1/32")):  # fmt: skip
        member = field.replace("-", "_")
        yield get(f"approle/field-{field}", f"{role}/web/{field}")
        yield post(f"approle/field-{field}-set", f"{role}/web/{field}", {member: value})
        yield get(f"approle/field-{field}-read", f"{role}/web/{field}")
        yield delete(f"approle/field-{field}-reset", f"{role}/web/{field}")
        yield get(f"approle/field-{field}-default", f"{role}/web/{field}")
    yield post("approle/wrong-ttl", f"{role}/bad", {"token_ttl": "2h", "token_max_ttl": "1h"})
    yield post("approle/no-constraint", f"{role}/bad", {"bind_secret_id": False})
    yield post("approle/bad-cidr", f"{role}/bad", {"secret_id_bound_cidrs": "abc"})
    yield post("approle/tidy", "auth/approle/tidy/secret-id")
    yield delete("approle/delete", f"{role}/web")
    yield delete("approle/delete-absent", f"{role}/web")


def wrapping():
    yield wrapped("wrapping/wrap", "POST", "sys/wrapping/wrap", "60s", {"a": "b"}, save={"wrapped": "wrap_info.token"})
    yield post("wrapping/wrap-default", "sys/wrapping/wrap", {"a": "b"})
    yield wrapped("wrapping/wrap-empty", "POST", "sys/wrapping/wrap", "60s")
    yield wrapped("wrapping/wrap-number", "POST", "sys/wrapping/wrap", "100", {"a": 1}, save={"number": "wrap_info.token"})
    yield post("wrapping/lookup", "sys/wrapping/lookup", {"token": "<<wrapped>>"}, token=None)
    yield get("wrapping/lookup-get", "sys/wrapping/lookup", token="wrapped")
    yield post("wrapping/lookup-bad", "sys/wrapping/lookup", {"token": "absent"})
    yield post("wrapping/lookup-ordinary", "sys/wrapping/lookup", {"token": "<<reader>>"})
    yield post("wrapping/lookup-none", "sys/wrapping/lookup", {}, token=None)
    yield post("wrapping/rewrap", "sys/wrapping/rewrap", {"token": "<<wrapped>>"}, save={"rewrapped": "wrap_info.token"})
    yield post("wrapping/rewrap-bad", "sys/wrapping/rewrap", {"token": "absent"})
    yield post("wrapping/old", "sys/wrapping/unwrap", {"token": "<<wrapped>>"})
    yield post("wrapping/unwrap", "sys/wrapping/unwrap", {"token": "<<rewrapped>>"}, token=None)
    yield post("wrapping/unwrap-again", "sys/wrapping/unwrap", {"token": "<<rewrapped>>"}, token=None)
    yield post("wrapping/unwrap-header", "sys/wrapping/unwrap", token="number")
    yield post("wrapping/unwrap-bad", "sys/wrapping/unwrap", {"token": "absent"})
    yield post("wrapping/unwrap-ordinary", "sys/wrapping/unwrap", {"token": "<<reader>>"})
    yield post("wrapping/unwrap-no-token", "sys/wrapping/unwrap", {}, token=None)
    yield wrapped("wrapping/read", "GET", "kv/d/e/f", "120s", save={"read": "wrap_info.token"})
    yield post("wrapping/read-lookup", "sys/wrapping/lookup", {"token": "<<read>>"})
    yield post("wrapping/read-unwrap", "sys/wrapping/unwrap", {"token": "<<read>>"})
    yield wrapped("wrapping/login", "POST", "auth/token/create", "2m", {"policies": ["reader"]}, save={"login": "wrap_info.token"})
    yield post("wrapping/login-unwrap", "sys/wrapping/unwrap", {"token": "<<login>>"})
    yield wrapped("wrapping/empty-answer", "DELETE", "kv/absent", "60s", save={"nothing": "wrap_info.token"})
    yield post("wrapping/empty-unwrap", "sys/wrapping/unwrap", {"token": "<<nothing>>"})
    yield wrapped("wrapping/error", "GET", "kv/absent", "60s")
    yield wrapped("wrapping/ttl-wrong", "GET", "kv/d/e/f", "x")
    yield wrapped("wrapping/ttl-zero", "GET", "kv/d/e/f", "0")
    yield wrapped("wrapping/ttl-negative", "GET", "kv/d/e/f", "-5s")
    yield wrapped("wrapping/denied", "GET", "kv2/config", "60s", token="reader")
    yield wrapped("wrapping/of-mounts", "GET", "sys/mounts", "60s", save={"mounts": "wrap_info.token"})
    yield get("wrapping/token-use", "kv/d/e/f", token="mounts")
    yield wrapped("wrapping/of-wrap", "GET", "sys/seal-status", "60s", token=None)


def leases():
    yield put("leases/lookup-none", "sys/leases/lookup", {})
    yield put("leases/lookup-bad", "sys/leases/lookup", {"lease_id": "absent"})
    yield listing("leases/list", "sys/leases/lookup")
    yield listing("leases/list-auth", "sys/leases/lookup/auth/")
    yield listing("leases/list-token", "sys/leases/lookup/auth/token/")
    yield listing("leases/list-absent", "sys/leases/lookup/absent/")
    yield put("leases/renew-none", "sys/leases/renew", {})
    yield put("leases/renew-bad", "sys/leases/renew", {"lease_id": "absent"})
    yield put("leases/renew-path", "sys/leases/renew/absent/x", {})
    yield put("leases/revoke-none", "sys/leases/revoke", {})
    yield put("leases/revoke-bad", "sys/leases/revoke", {"lease_id": "absent"})
    yield put("leases/revoke-path", "sys/leases/revoke/absent/x", {})
    yield put("leases/revoke-sync", "sys/leases/revoke", {"lease_id": "absent", "sync": True})
    yield put("leases/prefix-absent", "sys/leases/revoke-prefix/absent/")
    yield put("leases/prefix-absent-sync", "sys/leases/revoke-prefix/absent/x", {"sync": True})
    yield put("leases/force-absent", "sys/leases/revoke-force/absent/x")
    yield put("leases/tidy", "sys/leases/tidy")
    yield get("leases/count", "sys/leases/count?type=irrevocable")
    yield get("leases/count-none", "sys/leases/count")
    yield get("leases/irrevocable", "sys/leases?type=irrevocable")
    yield put("leases/legacy-renew", "sys/renew", {"lease_id": "absent"})
    yield put("leases/legacy-revoke", "sys/revoke", {"lease_id": "absent"})
    yield put("leases/legacy-prefix", "sys/revoke-prefix/absent")
    yield put("leases/denied", "sys/leases/revoke-prefix/absent", token="reader")
    yield listing("leases/denied-list", "sys/leases/lookup/auth", token="reader")


def tools():
    text = base64.b64encode(b"abc").decode()
    yield post("tools/hash", "sys/tools/hash", {"input": text})
    for algorithm in ("sha2-224", "sha2-256", "sha2-384", "sha2-512", "sha3-224", "sha3-256", "sha3-384", "sha3-512"):
        yield post(f"tools/hash-{algorithm}", f"sys/tools/hash/{algorithm}", {"input": text, "format": "base64"})
    yield post("tools/hash-format", "sys/tools/hash", {"input": text, "format": "nonsense"})
    yield post("tools/hash-unknown", "sys/tools/hash/md5", {"input": text})
    yield post("tools/hash-no-input", "sys/tools/hash", {})
    yield post("tools/hash-not-base64", "sys/tools/hash", {"input": "???"})
    yield post("tools/hash-member", "sys/tools/hash", {"input": text, "algorithm": "sha2-512"})
    yield post("tools/random", "sys/tools/random")
    yield post("tools/random-16", "sys/tools/random/16", {"format": "hex"})
    yield post("tools/random-body", "sys/tools/random", {"bytes": "8"})
    yield post("tools/random-source", "sys/tools/random/platform/8")
    yield post("tools/random-only-source", "sys/tools/random/platform")
    yield post("tools/random-seal", "sys/tools/random/seal/8")
    yield post("tools/random-all", "sys/tools/random/all/8")
    yield post("tools/random-bad-source", "sys/tools/random/nonsense/8")
    yield post("tools/random-zero", "sys/tools/random/0")
    yield post("tools/random-much", "sys/tools/random/1000000000")
    yield post("tools/random-text", "sys/tools/random", {"bytes": "abc"})
    yield post("tools/random-format", "sys/tools/random", {"format": "nonsense"})


def audit():
    yield get("audit/list-empty", "sys/audit")
    yield put("audit/enable", "sys/audit/file", {"type": "file", "options": {"file_path": "audit.jsonl"}})
    yield put("audit/enable-stdout", "sys/audit/std", {"type": "file", "options": {"file_path": "stdout"}})
    yield get("audit/list", "sys/audit")
    yield put("audit/enable-again", "sys/audit/std", {"type": "file", "options": {"file_path": "stdout"}})
    yield put("audit/no-type", "sys/audit/x", {})
    yield put("audit/unknown-type", "sys/audit/x", {"type": "nonsense"})
    yield put("audit/no-path", "sys/audit/x", {"type": "file"})
    yield put("audit/outside", "sys/audit/x", {"type": "file", "options": {"file_path": "/nonexistent/dir/file"}})
    yield post("audit/hash", "sys/audit-hash/std", {"input": "abc"})
    yield post("audit/hash-none", "sys/audit-hash/std", {})
    yield post("audit/hash-absent", "sys/audit-hash/absent", {"input": "abc"})
    yield delete("audit/disable", "sys/audit/std")
    yield delete("audit/disable-absent", "sys/audit/std")
    yield delete("audit/disable-file", "sys/audit/file")


def internals():
    yield get("internal/mounts", "sys/internal/ui/mounts")
    yield get("internal/mounts-reader", "sys/internal/ui/mounts", token="reader")
    yield get("internal/mounts-stranger", "sys/internal/ui/mounts", token=None)
    yield get("internal/mount", "sys/internal/ui/mounts/kv")
    yield get("internal/mount-slash", "sys/internal/ui/mounts/kv/")
    yield get("internal/mount-deep", "sys/internal/ui/mounts/kv2/data/a")
    yield get("internal/mount-reader", "sys/internal/ui/mounts/kv/a", token="reader")
    yield get("internal/mount-denied", "sys/internal/ui/mounts/kv2/a", token="reader")
    yield get("internal/mount-stranger", "sys/internal/ui/mounts/kv", token=None)
    yield get("internal/mount-absent", "sys/internal/ui/mounts/absent")
    yield get("internal/mount-auth", "sys/internal/ui/mounts/auth/approle")
    yield get("internal/openapi", "sys/internal/specs/openapi", body_compared=False)
    yield get("internal/counters-tokens", "sys/internal/counters/tokens", opaque=("total",))
    yield get("internal/counters-entities", "sys/internal/counters/entities", opaque=("total",))
    yield get("internal/counters-requests", "sys/internal/counters/requests")
    yield get("internal/counters-activity", "sys/internal/counters/activity", body_compared=False)
    yield get("internal/namespaces", "sys/internal/ui/namespaces")
    yield get("internal/feature-flags", "sys/internal/ui/feature-flags", token=None)
    yield get("internal/plugins", "sys/plugins/catalog", body_compared=False)
    yield get("internal/plugins-type", "sys/plugins/catalog/secret", body_compared=False)
    yield listing("internal/quotas", "sys/quotas/rate-limit")
    yield get("internal/quota-config", "sys/quotas/config")


def configuration():
    yield get("config/cors", "sys/config/cors")
    yield put("config/cors-write", "sys/config/cors", {"allowed_origins": "http://a.example", "allowed_headers": "X-A"})
    yield get("config/cors-read", "sys/config/cors")
    yield put("config/cors-none", "sys/config/cors", {})
    yield delete("config/cors-delete", "sys/config/cors")
    yield get("config/cors-deleted", "sys/config/cors")
    headers = "sys/config/auditing/request-headers"
    yield get("config/headers", headers)
    yield put("config/headers-write", f"{headers}/X-Test", {"hmac": True})
    yield get("config/headers-read", f"{headers}/X-Test")
    yield get("config/headers-absent", f"{headers}/X-Absent")
    yield get("config/headers-list", headers)
    yield delete("config/headers-delete", f"{headers}/X-Test")
    yield listing("config/ui-headers", "sys/config/ui/headers")
    yield put("config/ui-headers-write", "sys/config/ui/headers/X-Ui", {"values": ["a"]})
    yield get("config/ui-headers-read", "sys/config/ui/headers/X-Ui")
    yield listing("config/ui-headers-list", "sys/config/ui/headers")
    yield delete("config/ui-headers-delete", "sys/config/ui/headers/X-Ui")
    yield put("config/reload", "sys/config/reload/nonsense")


def keyring():
    yield get("keyring/status", "sys/key-status", opaque=("encryptions",))
    yield put("keyring/rotate", "sys/rotate")
    yield get("keyring/status-after", "sys/key-status", opaque=("encryptions",))
    yield put("keyring/rotate-keyring", "sys/rotate/keyring")
    yield get("keyring/config", "sys/rotate/config")
    yield get("keyring/keyring-config", "sys/rotate/keyring/config")
    yield post("keyring/config-write", "sys/rotate/config", {"max_operations": 2000000, "interval": "48h", "enabled": True})
    yield get("keyring/config-read", "sys/rotate/config")
    yield post("keyring/config-bad-interval", "sys/rotate/config", {"interval": "1h"})
    yield post("keyring/config-bad-operations", "sys/rotate/config", {"max_operations": 5})
    yield post("keyring/config-wrong", "sys/rotate/config", {"interval": "abc"})
    yield post("keyring/config-back", "sys/rotate/config", {"max_operations": 3865470566, "interval": 0})
    yield put("keyring/rotate-denied", "sys/rotate", token="reader")
    yield put("keyring/rotate-stranger", "sys/rotate", token=None)
    yield put("keyring/rotate-root", "sys/rotate/root")


def decoded_root(variables):
    encoded = variables.get("encoded", "")
    raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    otp = str(variables.get("otp", "")).encode()
    return bytes(one ^ other for one, other in zip(raw, otp)).decode("utf-8", "replace")


def root_generation():
    for tag, start, update, token in (
        ("root", "sys/generate-root/attempt", "sys/generate-root/update", None),
        ("root-token", "sys/generate-root-token/attempt", "sys/generate-root-token/update", "root"),
    ):
        yield get(f"{tag}/status", start, token=token)
        yield put(f"{tag}/bad-otp", start, {"otp": "abc"}, token=token)
        yield put(f"{tag}/bad-pgp", start, {"pgp_key": "abc"}, token=token)
        yield put(f"{tag}/both", start, {"otp": "abc", "pgp_key": "abc"}, token=token)
        yield put(f"{tag}/update-early", update, {"key": "<<key0>>", "nonce": "x"}, token=token)
        yield put(f"{tag}/start", start, {}, token=token, save=STARTED)
        yield put(f"{tag}/start-again", start, {}, token=token)
        yield get(f"{tag}/started", start, token=token)
        yield put(f"{tag}/no-key", update, {"nonce": "<<nonce>>"}, token=token)
        yield put(f"{tag}/no-nonce", update, {"key": "<<key0>>"}, token=token)
        yield put(f"{tag}/wrong-nonce", update, {"key": "<<key0>>", "nonce": "x"}, token=token)
        yield put(f"{tag}/wrong-encoding", update, {"key": "???", "nonce": "<<nonce>>"}, token=token)
        yield put(f"{tag}/short-key", update, {"key": "aabb", "nonce": "<<nonce>>"}, token=token)
        yield put(f"{tag}/first", update, {"key": "<<key0>>", "nonce": "<<nonce>>"}, token=token)
        yield put(f"{tag}/duplicate", update, {"key": "<<key0>>", "nonce": "<<nonce>>"}, token=token)
        yield get(f"{tag}/progress", start, token=token)
        yield delete(f"{tag}/cancel-wrong-nonce", start, {"nonce": "x"}, token=None)
        yield delete(f"{tag}/cancel-stranger", start, token=None)
        yield get(f"{tag}/cancel-refused", start, token=token)
        yield delete(f"{tag}/cancel", start, {"nonce": "<<nonce>>"})
        yield get(f"{tag}/cancelled", start, token=token)
        yield delete(f"{tag}/cancel-again", start, {"nonce": "<<nonce>>"})
        yield put(f"{tag}/for-root", start, {}, token=token)
        yield delete(f"{tag}/cancel-as-root", start)
        yield get(f"{tag}/cancelled-as-root", start, token=token)
        yield put(f"{tag}/restart", start, {}, token=token, save=STARTED)
        yield put(f"{tag}/wrong-share-one", update, {"key": "<<key0>>", "nonce": "<<nonce>>"}, token=token)
        yield put(f"{tag}/wrong-share-two", update, {"key": "11" * 33, "nonce": "<<nonce>>"}, token=token)
        yield get(f"{tag}/after-wrong", start, token=token, save=STARTED)
        yield delete(f"{tag}/reset", start, {"nonce": "<<nonce>>"})
        yield put(f"{tag}/final", start, {}, token=token, save=STARTED)
        yield put(f"{tag}/final-one", update, {"key": "<<key0>>", "nonce": "<<nonce>>"}, token=token)
        yield put(f"{tag}/final-two", update, {"key": "<<key1>>", "nonce": "<<nonce>>"}, token=token,
                  save={"encoded": ("encoded_token", "data.encoded_token")}, derive={"generated": decoded_root})  # fmt: skip
        yield post(f"{tag}/decode", "sys/decode-token", {"encoded_token": "<<encoded>>", "otp": "<<otp>>"}, token=None)
        yield get(f"{tag}/works", "auth/token/lookup-self", token="generated")
        yield get(f"{tag}/done", start, token=token)
    yield post("root/decode-empty", "sys/decode-token", {"encoded_token": "a"}, token=None)
    yield post("root/decode-wrong", "sys/decode-token", {"encoded_token": "??", "otp": "a"}, token=None)
    yield get("root-token/stranger", "sys/generate-root-token/attempt", token=None)


def rekeying():
    for tag, base, token in (("rekey", "sys/rekey", None), ("rotate-root", "sys/rotate/root", "root")):
        yield get(f"{tag}/status", f"{base}/init", token=token)
        yield put(f"{tag}/empty", f"{base}/init", {}, token=token)
        yield delete(f"{tag}/empty-cancel", f"{base}/init", {"nonce": "x"})
        yield put(f"{tag}/threshold", f"{base}/init", {"secret_shares": 2, "secret_threshold": 3}, token=token)
        yield put(f"{tag}/pgp", f"{base}/init", {"secret_shares": 2, "secret_threshold": 2, "pgp_keys": ["a"]}, token=token)
        yield put(f"{tag}/early", f"{base}/update", {"key": "<<key0>>", "nonce": "x"}, token=token)
        yield put(f"{tag}/start", f"{base}/init", {"secret_shares": 3, "secret_threshold": 2}, token=token, save=STARTED)
        yield put(f"{tag}/start-again", f"{base}/init", {"secret_shares": 3, "secret_threshold": 2}, token=token)
        yield get(f"{tag}/started", f"{base}/init", token=token)
        yield put(f"{tag}/wrong-nonce", f"{base}/update", {"key": "<<key0>>", "nonce": "x"}, token=token)
        yield put(f"{tag}/no-key", f"{base}/update", {"nonce": "<<nonce>>"}, token=token)
        yield put(f"{tag}/one", f"{base}/update", {"key": "<<key0>>", "nonce": "<<nonce>>"}, token=token)
        yield put(f"{tag}/duplicate", f"{base}/update", {"key": "<<key0>>", "nonce": "<<nonce>>"}, token=token)
        yield get(f"{tag}/progress", f"{base}/init", token=token)
        yield delete(f"{tag}/cancel-wrong-nonce", f"{base}/init", {"nonce": "x"}, token=None)
        yield delete(f"{tag}/cancel-stranger", f"{base}/init", token=None)
        yield get(f"{tag}/cancel-refused", f"{base}/init", token=token)
        yield delete(f"{tag}/cancel", f"{base}/init", {"nonce": "<<nonce>>"})
        yield get(f"{tag}/cancelled", f"{base}/init", token=token)
        yield put(f"{tag}/for-root", f"{base}/init", {"secret_shares": 1, "secret_threshold": 1}, token=token)
        yield delete(f"{tag}/cancel-as-root", f"{base}/init")
        yield get(f"{tag}/cancelled-as-root", f"{base}/init", token=token)
        yield put(f"{tag}/wrong-start", f"{base}/init", {"secret_shares": 3, "secret_threshold": 2}, token=token, save=STARTED)
        yield put(f"{tag}/wrong-one", f"{base}/update", {"key": "<<key0>>", "nonce": "<<nonce>>"}, token=token)
        yield put(f"{tag}/wrong-two", f"{base}/update", {"key": "11" * 33, "nonce": "<<nonce>>"}, token=token)
        yield get(f"{tag}/wrong-after", f"{base}/init", token=token, save=STARTED)
        yield delete(f"{tag}/wrong-cancel", f"{base}/init", {"nonce": "<<nonce>>"})
        yield put(f"{tag}/again", f"{base}/init", {"secret_shares": 3, "secret_threshold": 2, "require_verification": True},
                  token=token, save=STARTED)  # fmt: skip
        yield get(f"{tag}/verify-early", f"{base}/verify", token=token)
        yield put(f"{tag}/again-one", f"{base}/update", {"key": "<<key0>>", "nonce": "<<nonce>>"}, token=token)
        yield put(f"{tag}/again-two", f"{base}/update", {"key": "<<key1>>", "nonce": "<<nonce>>"}, token=token,
                  opaque=("keys", "keys_base64"),
                  save={"new0": ("keys.0", "data.keys.0"), "new1": ("keys.1", "data.keys.1"), "new2": ("keys.2", "data.keys.2"),
                        "verify": ("verification_nonce", "data.verification_nonce")})  # fmt: skip
        yield get(f"{tag}/verify-status", f"{base}/verify", token=token)
        yield put(f"{tag}/verify-wrong-nonce", f"{base}/verify", {"key": "<<new0>>", "nonce": "x"}, token=token)
        yield put(f"{tag}/verify-one", f"{base}/verify", {"key": "<<new0>>", "nonce": "<<verify>>"}, token=token)
        yield delete(f"{tag}/verify-cancel", f"{base}/verify", {"nonce": "<<verify>>"}, save={"verify": ("nonce", "data.nonce")})
        yield get(f"{tag}/verify-cancelled", f"{base}/verify", token=token, save={"verify": ("nonce", "data.nonce")})
        yield put(f"{tag}/verify-first", f"{base}/verify", {"key": "<<new0>>", "nonce": "<<verify>>"}, token=token)
        yield put(f"{tag}/verify-second", f"{base}/verify", {"key": "<<new1>>", "nonce": "<<verify>>"}, token=token,
                  derive={name: (lambda variables, new=new: variables.get(new)) for name, new in
                          (("key0", "new0"), ("key1", "new1"), ("key2", "new2"))})  # fmt: skip
        yield get(f"{tag}/verify-done", f"{base}/verify", token=token)
        yield get(f"{tag}/done", f"{base}/init", token=token)
        yield get(f"{tag}/backup", f"{base}/backup", token="root")
        yield delete(f"{tag}/backup-delete", f"{base}/backup", token="root")
    yield get("rekey-recovery/status", "sys/rekey-recovery-key/init", token=None)
    yield put("rekey-recovery/start", "sys/rekey-recovery-key/init", {"secret_shares": 1, "secret_threshold": 1}, token=None)
    yield get("rotate-recovery/status", "sys/rotate/recovery/init")
    yield put("rotate-recovery/start", "sys/rotate/recovery/init", {"secret_shares": 1, "secret_threshold": 1})
    yield get("rotate-root/stranger", "sys/rotate/root/init", token=None)


def sealing():
    yield put("seal/denied", "sys/seal", token="reader")
    yield put("seal/stranger", "sys/seal", token=None)
    yield put("seal/done", "sys/seal")
    yield get("seal/status", "sys/seal-status", token=None)
    yield get("seal/health", "sys/health", token=None)
    yield put("seal/again", "sys/seal")
    yield put("seal/unseal-one", "sys/unseal", {"key": "<<key0>>"}, token=None)
    yield put("seal/unseal-two", "sys/unseal", {"key": "<<key1>>"}, token=None)
    yield get("seal/kept", "kv/d/e/f", wait=0.5)
    yield get("seal/token-kept", "auth/token/lookup-self", token="orphan", opaque=("ttl",))
