//! What a cluster keeps of each member that ever wrote: known, or forgotten for good.
//!
//! Tombstones are collected when every *known* member has them, so who is known must itself be
//! replicated, and must never shrink by accident. A member makes its own register when it starts;
//! it is forgotten by a decision (of the operator, or of the members after a long absence), and
//! then for good: a member that returns from being forgotten takes a new id.
//!
//! The law of merging: forgotten wins over known, and of two such decisions the earlier one; of two
//! states of a known member the later one. That is a maximum, so the merge is commutative,
//! associative and idempotent.
//!
//! Two halves that were cut off from each other may each forget the other. Decisions count in the
//! order of their stamps, and one made by a member that an earlier one forgot is void; so both
//! halves agree who stays, without talking.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::version::{field, first_half};
use super::{Bucket, MemberId, Stamp, WallTime};

/// What is kept of a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Standing {
    /// It belongs to the cluster, alive or not.
    Known {
        /// When it said so last, by its own clock.
        since: WallTime,
        /// Its name then.
        name: Arc<str>,
    },
    /// It does not belong to it any more, and its copy of the store counts for nothing.
    Forgotten {
        /// When it was decided, and by whom.
        stamp: Stamp,
        /// The user who decided it, or `forget-after`.
        author: Arc<str>,
        /// The wall clock of the member that took the decision; for people.
        written: WallTime,
        /// The name that it had; for people.
        name: Arc<str>,
    },
}

/// The author of a decision that the members took by themselves.
pub const FORGET_AFTER: &str = "forget-after";

impl Standing {
    /// Takes what `other` knows; says whether anything changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        let wins = match (&*self, other) {
            (Self::Known { .. }, Self::Known { .. }) => other > self,
            (Self::Known { .. }, Self::Forgotten { .. }) => true,
            (Self::Forgotten { .. }, Self::Known { .. }) => false,
            (Self::Forgotten { .. }, Self::Forgotten { .. }) => other < self,
        };
        if wins {
            *self = other.clone();
        }
        wins
    }

    /// The name that the member had last.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Known { name, .. } | Self::Forgotten { name, .. } => name,
        }
    }

    /// The stamp of the decision to forget it; none if it is known.
    pub fn forgotten(&self) -> Option<Stamp> {
        match self {
            Self::Known { .. } => None,
            Self::Forgotten { stamp, .. } => Some(*stamp),
        }
    }

    /// Its hash within the digest.
    pub fn hash(&self, member: MemberId) -> u128 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"member");
        hasher.update(&member.as_u64().to_le_bytes());
        match self {
            Self::Known { since, name } => {
                hasher.update(&since.millis().to_le_bytes());
                field(&mut hasher, name.as_bytes());
            }
            Self::Forgotten {
                stamp,
                author,
                written,
                name,
            } => {
                hasher.update(&stamp.to_bytes());
                hasher.update(&written.millis().to_le_bytes());
                field(&mut hasher, author.as_bytes());
                field(&mut hasher, name.as_bytes());
            }
        }
        first_half(&hasher)
    }
}

/// The members whose forgetting is in force: decisions by who was forgotten earlier are void.
pub(super) fn forgotten<'a>(
    members: impl Iterator<Item = (&'a MemberId, &'a Arc<Standing>)>,
) -> BTreeSet<MemberId> {
    let decided = |(member, standing): (&MemberId, &Arc<Standing>)| {
        standing.forgotten().map(|stamp| (stamp, *member))
    };
    let mut decisions: Vec<(Stamp, MemberId)> = members.filter_map(decided).collect();
    decisions.sort_unstable();
    let mut gone = BTreeSet::new();
    for (stamp, member) in decisions {
        if !gone.contains(&stamp.member) {
            gone.insert(member);
        }
    }
    gone
}

impl Bucket {
    /// The bucket of a member's register.
    pub fn of_member(member: MemberId) -> Self {
        let hash = blake3::hash(&member.as_u64().to_le_bytes());
        let [high, low, ..] = hash.as_bytes();
        Self(u16::from_be_bytes([*high, *low]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::{stamp, standing};
    use super::*;

    fn merged(a: &Standing, b: &Standing) -> Standing {
        let mut both = a.clone();
        both.merge(b);
        both
    }

    fn by(time: u64, member: u64) -> Arc<Standing> {
        Arc::new(Standing::Forgotten {
            stamp: Stamp {
                time: super::super::HybridTime::from_bits(time),
                member: MemberId::from_u64(member),
                sequence: 1,
            },
            author: "ann".into(),
            written: WallTime::from_millis(1),
            name: "a".into(),
        })
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_idempotent(
            a in standing(), b in standing(), c in standing()
        ) {
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            let mut again = merged(&a, &b);
            prop_assert!(!again.merge(&b) && !again.merge(&a));
        }

        #[test]
        fn standings_that_differ_hash_differently(a in standing(), b in standing()) {
            let member = MemberId::from_u64(1);
            prop_assert_eq!(a == b, a.hash(member) == b.hash(member));
        }

        #[test]
        fn who_forgot_first_stays(first in stamp()) {
            let earlier = by(first.time.bits(), 1);
            let later = by(first.time.bits() + 1, 2);
            let [one, two] = [1, 2].map(MemberId::from_u64);
            let both = [(&one, &later), (&two, &earlier)];
            prop_assert_eq!(forgotten(both.into_iter()), BTreeSet::from([two]));
        }
    }

    #[test]
    fn a_decision_stays_void_only_while_its_author_is_forgotten_by_an_earlier_one() {
        let ids = [1, 2, 3].map(MemberId::from_u64);
        // 1 forgets 2 first; 2 forgets 3 later, which is void; 3 forgets nobody.
        let (two, three) = (by(1, 1), by(2, 2));
        let all = [(&ids[1], &two), (&ids[2], &three)];
        assert_eq!(forgotten(all.into_iter()), BTreeSet::from([ids[1]]));
    }
}
