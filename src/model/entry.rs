//! A key with its versions: the newest N of all that were ever seen.
//!
//! The law: merging two sets of versions is *the newest N of the union*. Taking the greatest N of a
//! union is commutative, associative and idempotent, so the value (the greatest), the history (the
//! rest) and the digest over both come out equal everywhere, in whatever order versions arrive.
//!
//! In memory a key keeps its current version and, of the older ones, only their number and the sum
//! of their hashes; the older ones themselves are on disk. [`place`] decides what a version does to
//! a set, and asks for the older stamps only when it must.

use std::sync::Arc;

use super::planted::{self, Bug};
use super::{Bucket, Replaces, Stamp, Version};

/// What memory holds of one key.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The current version: the greatest.
    pub head: Arc<Version>,
    /// The sum of the hashes of all versions kept, the current one included.
    pub sum: u128,
    /// How many older versions are kept on disk.
    pub older: u16,
    /// How many of them lost against a version whose writer did not know them, see [`losers`].
    pub losers: u16,
    /// Where the key falls in the digest.
    pub bucket: Bucket,
}

/// An older version as the disk knows it, without what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Older {
    /// Its stamp.
    pub stamp: Stamp,
    /// Its hash within the digest.
    pub hash: u128,
    /// What it was written over.
    pub replaces: Replaces,
}

impl Older {
    /// A version with this hash.
    pub fn of(version: &Version, hash: u128) -> Self {
        Self {
            stamp: version.stamp,
            hash,
            replaces: version.replaces.clone(),
        }
    }
}

/// What becomes of a version that meets a key's set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The set has it already.
    Known,
    /// The set is full of greater ones.
    Stale,
    /// It becomes the current version; these older ones leave the set.
    Head(Vec<Older>),
    /// It joins the older versions; these leave the set.
    Older(Vec<Older>),
}

/// Decides where a version with `stamp` goes in a set whose current version is `head` (with its
/// hash), with `count` older ones, when `depth` versions (at least 1) may be kept.
///
/// `older` lists the older versions; it is called only if the answer depends on them.
pub fn place<E>(
    head: Older,
    count: usize,
    depth: usize,
    stamp: Stamp,
    older: impl FnOnce() -> Result<Vec<Older>, E>,
) -> Result<Place, E> {
    if stamp == head.stamp {
        return Ok(Place::Known);
    }
    if stamp > head.stamp || planted::is(Bug::MergeByArrival) {
        if count + 2 <= depth {
            return Ok(Place::Head(Vec::new()));
        }
        let mut rest = older()?;
        rest.push(head);
        return Ok(Place::Head(beyond(&mut rest, depth.saturating_sub(1))));
    }
    let mut rest = older()?;
    if rest.iter().any(|known| known.stamp == stamp) {
        return Ok(Place::Known);
    }
    rest.push(Older {
        stamp,
        hash: 0,
        replaces: Replaces::Nothing,
    });
    let dropped = beyond(&mut rest, depth.saturating_sub(1));
    if dropped.iter().any(|gone| gone.stamp == stamp) {
        return Ok(Place::Stale);
    }
    Ok(Place::Older(dropped))
}

/// The versions of a set (its current one, and the older ones) that lost: neither current nor
/// replaced by another one. Their writers and the winner's did not know of each other.
///
/// A version is always smaller than the one that replaces it, so what the newest N of a set tell
/// about each other does not depend on what fell out of it; so this is the same on every member
/// that has the set, and settles by itself when a version that was late arrives.
pub(super) fn losers<'a>(
    head: (Stamp, &'a Replaces),
    older: &(impl Iterator<Item = (Stamp, &'a Replaces)> + Clone),
) -> Vec<Stamp> {
    let replaced =
        |stamp: Stamp| head.1.has(stamp) || older.clone().any(|(_, replaces)| replaces.has(stamp));
    older
        .clone()
        .map(|(stamp, _)| stamp)
        .filter(|stamp| *stamp != head.0 && !replaced(*stamp))
        .collect()
}

/// The same for a key as the disk knows it.
pub fn lost(head: &Version, older: &[Older]) -> Vec<Stamp> {
    let seen = older.iter().map(|older| (older.stamp, &older.replaces));
    losers((head.stamp, &head.replaces), &seen)
}

/// Takes out of `all` what remains after its newest `keep`.
pub(super) fn beyond(all: &mut Vec<Older>, keep: usize) -> Vec<Older> {
    if planted::is(Bug::HistoryByArrival) {
        all.reverse();
    } else {
        all.sort_unstable_by_key(|older| std::cmp::Reverse(older.stamp));
    }
    all.split_off(keep.min(all.len()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::super::samples::stamp;
    use super::*;

    /// Feeds stamps through `place`, as the store does.
    fn fed(stamps: &[Stamp], depth: usize) -> BTreeSet<Stamp> {
        let mut set: BTreeSet<Stamp> = BTreeSet::new();
        for new in stamps {
            let Some(head) = set.last().copied() else {
                set.insert(*new);
                continue;
            };
            let of = |stamp| Older {
                stamp,
                hash: 1,
                replaces: Replaces::Nothing,
            };
            let older: Vec<_> = set
                .iter()
                .filter(|s| **s != head)
                .copied()
                .map(of)
                .collect();
            let count = older.len();
            let placed = place(of(head), count, depth, *new, || Ok::<_, Infallible>(older));
            match placed.unwrap() {
                Place::Known | Place::Stale => {}
                Place::Head(dropped) | Place::Older(dropped) => {
                    set.insert(*new);
                    for gone in dropped {
                        assert!(set.remove(&gone.stamp));
                    }
                }
            }
        }
        set
    }

    proptest! {
        #[test]
        fn whatever_the_order_the_newest_n_of_the_union_remain(
            mut stamps in prop::collection::vec(stamp(), 1..30),
            depth in 1usize..6,
            turn in 0usize..30,
        ) {
            let all: BTreeSet<Stamp> = stamps.iter().copied().collect();
            let newest: BTreeSet<Stamp> = all.iter().rev().take(depth).copied().collect();
            prop_assert_eq!(&fed(&stamps, depth), &newest);
            let by = turn % stamps.len();
            stamps.rotate_left(by);
            prop_assert_eq!(&fed(&stamps, depth), &newest);
            stamps.extend(stamps.clone());
            prop_assert_eq!(&fed(&stamps, depth), &newest);
        }

        #[test]
        fn a_smaller_depth_prunes_at_the_next_version(
            stamps in prop::collection::vec(stamp(), 2..30),
        ) {
            let wide = fed(&stamps, 8);
            let mut again: Vec<Stamp> = wide.iter().copied().collect();
            let last = again.pop().unwrap();
            again.push(Stamp { sequence: last.sequence + 100, ..last });
            prop_assert!(fed(&again, 3).len() <= 3);
        }
    }
}
