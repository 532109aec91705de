//! What each fuzz target does with its input. The targets in `fuzz_targets/` only call these; so does the test that
//! replays `corpus/` with a plain toolchain (`tests/corpus.rs`).
//!
//! Each function returns for any bytes, and asserts what must hold of what it accepted. A past failure becomes a file
//! in `corpus/<target>/`, and a unit test beside the code that failed.
//!
//! To add a target: a function here, a line in [`TARGETS`], a file in `fuzz_targets/`, a `[[bin]]`, a seed.

mod acme;
mod appliance;
mod authorities;
mod engines;
mod envelope;
mod material;
mod requests;
mod ssh;
mod validation;

pub use acme::{acme_auto_renewal, acme_identifier, acme_jws};
pub use appliance::{audit_verify, config_toml, config_vault, shares, store_records};
pub use authorities::{ca_bundle, cel_program};
pub use engines::{
    alternative_names, certificate, certificate_request, ciphertext, ocsp_request, revocation_list, transit_batch,
};
pub use envelope::sealed_file;
pub use material::{backup, import_blob, pkcs8};
pub use requests::{body, form, json_limits, parameters, policy, request_path};
pub use ssh::{ssh_krl, ssh_options, ssh_public_key};
pub use validation::{acme_caa, acme_dns_persist, acme_redirect, acme_tls_alpn};

/// A target's name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 34] = [
    ("acme_auto_renewal", acme_auto_renewal),
    ("acme_caa", acme_caa),
    ("acme_dns_persist", acme_dns_persist),
    ("acme_identifier", acme_identifier),
    ("acme_jws", acme_jws),
    ("acme_redirect", acme_redirect),
    ("acme_tls_alpn", acme_tls_alpn),
    ("alternative_names", alternative_names),
    ("audit_verify", audit_verify),
    ("backup", backup),
    ("body", body),
    ("ca_bundle", ca_bundle),
    ("cel_program", cel_program),
    ("certificate", certificate),
    ("certificate_request", certificate_request),
    ("ciphertext", ciphertext),
    ("config_toml", config_toml),
    ("config_vault", config_vault),
    ("form", form),
    ("import_blob", import_blob),
    ("json_limits", json_limits),
    ("ocsp_request", ocsp_request),
    ("parameters", parameters),
    ("pkcs8", pkcs8),
    ("policy", policy),
    ("request_path", request_path),
    ("revocation_list", revocation_list),
    ("sealed_file", sealed_file),
    ("shares", shares),
    ("ssh_krl", ssh_krl),
    ("ssh_options", ssh_options),
    ("ssh_public_key", ssh_public_key),
    ("store_records", store_records),
    ("transit_batch", transit_batch),
];

/// The input as text, where it is UTF-8.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Two parts of the input, parted at the first line end.
fn lines(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}
