//! What is fuzzed: each parser of bytes that come from outside, as a function that must hold for
//! any bytes. Shared by the coverage-guided fuzzer (`fuzz_targets`) and the one in tests/fuzz/.

pub(crate) mod datagram;
pub(crate) mod names;
pub(crate) mod peer_body;
pub(crate) mod store_json;
pub(crate) mod zgossip;

/// What came of an input, coarsely: inputs of a new shape are worth keeping to mutate further.
pub(crate) type Shape = String;

/// The shape of an error: its words without the figures and quoted parts that differ each time.
#[must_use]
pub(crate) fn shape_of(outcome: &impl std::fmt::Display) -> Shape {
    let mut quoted = false;
    let keep = |c: &char| {
        if matches!(c, '"' | '`' | '\'') {
            quoted = !quoted;
        }
        !quoted && !c.is_ascii_digit()
    };
    outcome.to_string().chars().filter(keep).take(80).collect()
}
