//! Roles as programs (OpenBao's CEL roles): an operator's expressions look at the request and say what the certificate
//! shall say, or why not.
//!
//! A program sees `request` (the body as it came), `parsed_csr` (of `cel/sign`), `now` and `identity`, and ends with a
//! `ValidationOutput` whose `template` is a `CertTemplate`, or with a text or `false`, which refuse. What it asks for goes
//! the same road as everything else: its names are checked for form, the linter reads the bytes, and it cannot make a CA.

mod output;
mod program;
mod values;

pub use output::Output;
pub use program::{CelRole, CelVariable, Inputs};

/// Longest program, all expressions together.
const LONGEST: usize = 64 << 10;

/// Names a program finds declared.
const DECLARED: [&str; 4] = ["request", "parsed_csr", "now", "identity"];
