//! Fuzzing on stable Rust: each parser of outside bytes meets some thousand mutated inputs.
//!
//! `GAGGLE_FUZZ_RUNS` sets how many, `GAGGLE_FUZZ_SEED` repeats a run. An input that breaks its
//! target is kept in fuzz/artifacts, and the failure says how to run it again. The targets are
//! those of the coverage-guided fuzzer; see fuzz/README.md.

mod driver;
#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use driver::fuzz;
use targets::{datagram, names, peer_body, store_json, zgossip};

#[test]
fn names_in_paths_hold_for_any_bytes() {
    fuzz("names", &[], names::run);
}

#[test]
fn datagrams_hold_for_any_bytes() {
    fuzz("datagram", &datagram::seeds(), datagram::run);
}

#[test]
fn bodies_of_peers_hold_for_any_bytes() {
    fuzz("peer_body", &peer_body::seeds(), peer_body::run);
}

#[test]
fn a_store_json_holds_for_any_bytes() {
    fuzz("store_json", &store_json::seeds(), store_json::run);
}

#[test]
fn connections_of_zgossip_hold_for_any_bytes() {
    fuzz("zgossip", &zgossip::seeds(), zgossip::run);
}

#[test]
#[should_panic(expected = "broke on execution")]
fn a_planted_fault_is_found() {
    // Three bytes in a row that the seed lacks: found only if the mutations really wander.
    fuzz("planted", &[b"a/%b".to_vec()], |data| {
        assert!(!data.windows(3).any(|window| window == b"/%%"), "planted");
        let depth = data.windows(2).filter(|window| *window == b"/%").count();
        format!("{depth}")
    });
}
