//! Policy documents in HCL or JSON: refused, or compiled; a compiled one answers for any path without a panic.
#![no_main]

use chancery_engine::policy::{Acl, Policy};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|text: &str| {
    if let Ok(policy) = Policy::parse("fuzzed", text) {
        let paths: Vec<String> = policy.rules.iter().map(|rule| rule.path.clone()).collect();
        let acl = Acl::compile(&[Arc::new(policy)]);
        assert!(!acl.is_root(), "a document must not make a root policy");
        for path in &paths {
            assert!(!acl.capabilities(path).is_empty());
            let _ = acl.capabilities(&format!("{path}/x"));
        }
    }
});
