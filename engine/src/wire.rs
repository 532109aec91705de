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
mod parse;

pub use duration::{DurationSeconds, format_go_duration, parse_duration};
pub use fields::{Base64Bytes, CommaList, Count, Flag, KeyValues, Text};
pub use parse::parse_body;
