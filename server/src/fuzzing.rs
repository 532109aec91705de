//! What the fuzz targets and their corpus tests reach of the private parsers. No part of the interface.

use crate::{http::body, sys};
use chancery_engine::{Body, Fault, Limits, SecretString};

/// The body of a POST, PUT or PATCH.
///
/// # Errors
/// What the caller is told.
pub fn body(bytes: Vec<u8>, content_type: &str, limits: &Limits) -> Result<Body, Fault> {
    body::parse(bytes, content_type, limits)
}

/// The query string of a GET, LIST, SCAN or DELETE.
///
/// # Errors
/// What the caller is told.
pub fn query(query: &str) -> Result<Body, Fault> {
    body::from_query(query)
}

/// A key share as `sys/unseal` takes it; `None` where it is refused.
#[must_use]
pub fn share(text: &str) -> Option<Vec<u8>> {
    sys::share(&SecretString::new(text.to_owned()))
}
