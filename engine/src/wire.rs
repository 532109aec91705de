//! Field types that absorb what clients send loosely, so that no handler does it by hand.
//!
//! | type | accepts | source |
//! |---|---|---|
//! | [`DurationSeconds`] | 3600, "3600", "1h30m", "30d" | vault-api §4.7 |
//! | [`CommaList`] | ["a","b"], "a,b", "" | vault-api §4.7 |
//! | [`Flag`] | true, "true", "1", 1 | vault-api §4.7 |
//! | [`Count`] | 5, "5" | vault-api §4.7 |
//! | [`Base64Bytes`] | standard base64 | vault-api §1.5 |
//! | [`Text`] | "a", 5, true | vault-api §4.7 |
//! | [`KeyValues`] | {"a":"b"}, ["a=b"] | vault-api §4.7 |

mod duration;
mod fields;

pub use duration::{DurationSeconds, format_go_duration, parse_duration};
pub use fields::{Base64Bytes, CommaList, Count, Flag, KeyValues, Text};

use crate::fault::Fault;
use serde::Deserialize;

/// Parses a JSON object into `T`; empty bytes are an empty object. `ignored` hears of members `T` does not know.
///
/// # Errors
/// [`Fault::Caller`] that says where and what, never quoting a value.
pub fn parse_body<'a, T: Deserialize<'a>>(json: &'a [u8], mut ignored: impl FnMut(String)) -> Result<T, Fault> {
    let json = if json.is_empty() { b"{}".as_slice() } else { json };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let parsed = serde_ignored::deserialize(&mut deserializer, |path| {
        // Only top-level members are parameters; what lies inside one is the endpoint's own business.
        let path = path.to_string();
        if !path.contains('.') {
            ignored(path);
        }
    });
    parsed.map_err(|error| Fault::Caller(format!("error parsing request body: {error}")))
}
