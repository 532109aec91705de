//! The ACME (RFC 8555) door in front of the X.509 engine. Nothing is here yet: this release speaks no ACME.
