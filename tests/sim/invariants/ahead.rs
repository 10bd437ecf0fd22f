//! Bad clocks stay alone: what comes from others is not merged while it is stamped further ahead of
//! the member's own wall clock than `--max-clock-skew`, unless something newer is here already.

use gaggle::model::{Change, Source, WallTime};

use super::{Held, Step, Violation};
use crate::member::MAX_CLOCK_SKEW;

/// Looks at what came from others.
pub(crate) fn check(step: &Step<'_>) -> Held {
    let reach = u64::try_from(MAX_CLOCK_SKEW.as_millis()).unwrap_or(u64::MAX);
    let farthest = WallTime::from_millis(step.wall.millis().saturating_add(reach));
    for applied in step.applied {
        let stamp = applied.change.stamp();
        let own = applied.source == Source::Own;
        if !applied.current {
            continue;
        }
        // What is let go is told as a deletion under the stamp that it had.
        let gone = match &applied.change {
            Change::Key { node, key, .. } => {
                step.after.entry(node.as_str(), key.as_str()).is_none()
            }
            Change::Node { node, .. } => step.after.register(node.as_str()).is_none(),
            Change::Member { .. } => false,
        };
        if gone {
            continue;
        }
        if let Some(stamp) = stamp.filter(|stamp| !own && stamp.time.wall() > farthest) {
            return Err(Violation {
                invariant: "ahead",
                what: format!(
                    "[{}] merged {stamp} when its clock said {:?}",
                    step.host, step.wall
                ),
            });
        }
    }
    Ok(())
}
