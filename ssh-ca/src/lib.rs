//! The SSH certificate engine. Nothing is here yet: this release signs no SSH certificates.
