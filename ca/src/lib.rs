//! The X.509 engine: issuers, roles, issuance, revocation and CRLs.
