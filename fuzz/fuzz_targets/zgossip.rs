//! Connections of zgossip, for the coverage-guided fuzzer.
#![no_main]

#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = targets::zgossip::run(data);
});
