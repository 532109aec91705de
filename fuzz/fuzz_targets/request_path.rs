//! Whatever stands in a URL: refused, or a path without dot segments, empty segments and control characters.
#![no_main]

use chancery_engine::RequestPath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(path) = RequestPath::parse(text) {
        let path = path.as_str();
        assert!(!path.starts_with('/') && !path.ends_with('/'));
        assert!(path.is_empty() || path.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
        assert!(!path.chars().any(char::is_control) && !path.contains('\\'));
    }
});
