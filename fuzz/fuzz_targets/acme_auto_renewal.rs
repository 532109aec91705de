//! See `chancery_fuzz`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::acme_auto_renewal(data));
