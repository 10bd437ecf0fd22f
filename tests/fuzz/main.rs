//! Fuzzing on stable Rust: each parser of outside bytes meets some hundred thousand mutated inputs.
//!
//! `GAGGLE_FUZZ_RUNS` sets how many, `GAGGLE_FUZZ_SEED` repeats a run. An input that breaks its
//! target is kept in fuzz/artifacts, and the failure says how to run it again. The targets are
//! those of the coverage-guided fuzzer; see fuzz/README.md.

mod driver;
#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use driver::fuzz;

#[test]
fn names_in_paths_hold_for_any_bytes() {
    fuzz("names", targets::names::run);
}

#[test]
#[should_panic(expected = "broke on execution")]
fn a_planted_fault_is_found() {
    // Three bytes in a row that no seed has: found only if the mutations really wander.
    fuzz("planted", |data| {
        assert!(!data.windows(3).any(|window| window == b"/%%"), "planted");
        let depth = data.windows(2).filter(|window| *window == b"/%").count();
        format!("{depth}")
    });
}
