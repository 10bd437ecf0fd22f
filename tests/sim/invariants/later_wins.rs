//! A later write wins over one that was seen: what a member writes for its clients is above
//! everything that this member showed of the same key before, whatever its clock says.

use gaggle::model::{Change, Slot, Source};

use super::{Held, Step, Violation, newest};

/// Looks at the writes of the member's own clients.
pub(crate) fn check(step: &Step<'_>) -> Held {
    for (index, applied) in step.applied.iter().enumerate() {
        if applied.source != Source::Own {
            continue;
        }
        let change = &applied.change;
        let slot = change.slot();
        let Some(stamp) = change.stamp() else {
            continue;
        };
        if matches!(slot, Slot::Member(_)) {
            continue;
        }
        let lost = |what: &str, other| {
            Err(Violation {
                invariant: "later_wins",
                what: format!(
                    "[{}] wrote {slot} as {stamp}, which is below {what} {other}",
                    step.host,
                ),
            })
        };
        if let Some(seen) = newest(step.before, &slot).filter(|seen| *seen >= stamp) {
            return lost("what it replaced:", seen);
        }
        let earlier = step.applied[..index].iter().map(|applied| &applied.change);
        let earlier = earlier
            .filter(|other| other.slot() == slot)
            .filter_map(Change::stamp);
        if let Some(seen) = earlier.max().filter(|seen| *seen >= stamp) {
            return lost("what came before it:", seen);
        }
        if let Change::Key { node, version, .. } = change
            && version.value().is_some()
        {
            let register = step.before.register(node.as_str());
            let cleared = register.and_then(|register| register.cleared);
            if let Some(cleared) = cleared.filter(|cleared| *cleared >= stamp) {
                return lost("the deletion of its node", cleared);
            }
        }
        if let Change::Node { node, register } = change
            && register.cleared == Some(stamp)
            && let Some(at) = step.before.node(node.as_str())
            && let Some(kept) = at.entries().map(|(_, entry)| entry.head.stamp).max()
            && kept >= stamp
        {
            return lost("a key of the node that it deletes:", kept);
        }
    }
    Ok(())
}
