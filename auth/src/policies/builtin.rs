//! The policies every installation has.

/// Name of the policy of wrapping tokens.
pub(crate) const RESPONSE_WRAPPING: &str = "response-wrapping";

/// Name and text of each.
pub(super) const ALL: [(&str, &str); 2] = [("default", DEFAULT), (RESPONSE_WRAPPING, WRAPPING)];

/// Whether the policy can neither be changed nor deleted.
pub(super) fn is_immutable(name: &str) -> bool {
    name == "root" || name == RESPONSE_WRAPPING
}

/// Whether lists leave it out.
pub(super) fn is_hidden(name: &str) -> bool {
    name == RESPONSE_WRAPPING
}

const WRAPPING: &str = r#"
path "cubbyhole/response" {
    capabilities = ["create", "read"]
}

path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}

path "auth/token/revoke-self" {
    capabilities = ["update"]
}
"#;

const DEFAULT: &str = r#"
# What every token may do with itself.
path "auth/token/lookup-self" {
    capabilities = ["read"]
}

path "auth/token/renew-self" {
    capabilities = ["update"]
}

path "auth/token/revoke-self" {
    capabilities = ["update"]
}

path "sys/capabilities-self" {
    capabilities = ["update"]
}

path "identity/entity/id/{{identity.entity.id}}" {
    capabilities = ["read"]
}

path "identity/entity/name/{{identity.entity.name}}" {
    capabilities = ["read"]
}

path "sys/internal/ui/resultant-acl" {
    capabilities = ["read"]
}

# Leases: to renew or look one up, its id must be known.
path "sys/renew" {
    capabilities = ["update"]
}

path "sys/leases/renew" {
    capabilities = ["update"]
}

path "sys/leases/lookup" {
    capabilities = ["update"]
}

# Private storage and response wrapping.
path "cubbyhole/*" {
    capabilities = ["create", "read", "update", "delete", "list"]
}

path "sys/wrapping/wrap" {
    capabilities = ["update"]
}

path "sys/wrapping/lookup" {
    capabilities = ["update"]
}

path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}

# Tools without secrets.
path "sys/tools/hash" {
    capabilities = ["update"]
}

path "sys/tools/hash/*" {
    capabilities = ["update"]
}

path "identity/oidc/provider/+/authorize" {
    capabilities = ["read", "update"]
}
"#;
