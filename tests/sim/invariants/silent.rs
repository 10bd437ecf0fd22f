//! An idle cluster falls silent: once all agree and nobody writes, no push and no sync walk begins;
//! only the membership's own traffic goes on.

use super::{Held, Violation};

/// Compares how many pushes and walks each process began, before and after a quiet time.
pub(crate) fn check(before: &[(u64, u64)], after: &[(u64, u64)]) -> Held {
    for (host, (before, after)) in before.iter().zip(after).enumerate() {
        if before != after {
            let (pushes, walks) = (after.0 - before.0, after.1 - before.1);
            return Err(Violation {
                invariant: "silent",
                what: format!(
                    "[{host}] began {pushes} pushes and {walks} walks with nothing to do"
                ),
            });
        }
    }
    Ok(())
}
