//! The only place that asks the kernel for randomness.
#![expect(
    clippy::disallowed_methods,
    reason = "this module is the one that may ask for randomness"
)]

/// Fills `bytes` from the kernel's generator.
///
/// # Panics
/// If the kernel has no randomness to give: nothing in this program could go on safely.
pub fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel's random generator answers");
}

/// Sixteen random bytes.
pub fn bytes16() -> [u8; 16] {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    bytes
}

/// A random number; used as a seed for the pure rooms and for identities.
pub fn seed() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
