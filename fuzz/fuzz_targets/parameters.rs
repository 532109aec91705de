//! Request bodies into the weakly typed field types: refused with a text that quotes nothing of a value, or parsed.
#![no_main]

use chancery_engine::wire::{Base64Bytes, CommaList, Count, DurationSeconds, Flag, KeyValues, Text, parse_body};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Parameters {
    duration: DurationSeconds,
    list: CommaList,
    flag: Flag,
    count: Count,
    bytes: Base64Bytes,
    text: Text,
    pairs: KeyValues,
}

fuzz_target!(|json: &[u8]| {
    let mut ignored = 0_usize;
    if let Ok(parameters) = parse_body::<Parameters>(json, |_| ignored += 1) {
        let _ = parameters.duration.as_u64();
        assert!(parameters.list.0.iter().all(|item| !item.is_empty()));
        let _ = (parameters.flag, parameters.count, parameters.bytes, parameters.text, parameters.pairs);
    }
});
