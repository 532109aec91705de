"""One request of the differential harness and what of its answer is compared."""

import dataclasses

# Members whose value differs between any two servers; only their type is compared.
OPAQUE_KEYS = {
    "accessor", "build_date", "client_token", "cluster_id", "cluster_name", "commit_date", "creation_time", "encoded_root_token",
    "encoded_token", "expire_time", "id", "install_time", "issue_time", "keys_base64", "last_renewal", "last_renewal_time",
    "nonce", "otp", "request_id", "root_token", "running_plugin_version", "running_sha256", "secret_id", "secret_id_accessor",
    "server_time_utc", "timestamp_installed", "token", "uuid", "version", "wrapped_accessor", "random_bytes", "hash",
    "verification_nonce", "deprecation_status", "plugin_version", "lease_id", "role_id", "timestamp",
}  # fmt: skip


@dataclasses.dataclass
class Step:
    """One request and what of its answer is kept or compared."""

    name: str
    method: str
    path: str
    body: object = None
    token: str = "root"
    headers: dict = dataclasses.field(default_factory=dict)
    save: dict = dataclasses.field(default_factory=dict)
    derive: dict = dataclasses.field(default_factory=dict)
    opaque: tuple = ()
    skip: tuple = ()
    unordered: tuple = ("keys", "policies", "token_policies", "capabilities", "warnings", "errors")
    # Members compared to the last character, and those of which only the length is.
    exact: tuple = ()
    sized: tuple = ()
    # Members that hold certificates, requests or keys: what they say is compared.
    described: tuple = ()
    # Warnings that the candidate alone gives; they are listed as a deviation and not compared.
    without: object = None
    raw: str = None
    body_compared: bool = True
    wait: float = 0


def get(name, path, **more):
    return Step(name, "GET", path, **more)


def put(name, path, body=None, **more):
    return Step(name, "PUT", path, body, **more)


def post(name, path, body=None, **more):
    return Step(name, "POST", path, body, **more)


def delete(name, path, body=None, **more):
    return Step(name, "DELETE", path, body, **more)


def listing(name, path, **more):
    return Step(name, "LIST", path, **more)


def wrapped(name, method, path, ttl, body=None, **more):
    return Step(name, method, path, body, headers={"X-Vault-Wrap-TTL": ttl}, **more)
