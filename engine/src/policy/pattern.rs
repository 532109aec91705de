//! Matching of policy paths: exact, prefix, and `+` segments, by Vault's order of precedence.
