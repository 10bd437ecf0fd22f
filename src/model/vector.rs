//! Version vectors: how much of each origin's writes a store includes.
//!
//! A member's clock only goes on, so "everything that member A wrote up to its clock's position t"
//! is a well-defined set, and one number tells whether a store includes it. A store includes a
//! write also if it has something that superseded it. Two stores that exchanged all that differed
//! include what either did: the pointwise greater vector.
//!
//! What it is good for: a reader that carries a vector can be told whether this store is as new
//! (session tokens); a writer learns who has its write (`ack`); and a version that a store includes
//! and yet does not have was seen and let go, so that it never comes back after its tombstone was
//! collected.
//!
//! Reading: Parker et al., "Detection of Mutual Inconsistency" (1983); Bieniusa et al., "An
//! Optimized Conflict-free Replicated Set" (2012), for telling "seen and removed" from "never
//! seen".

use imbl::OrdMap;

use super::{HybridTime, MemberId, Stamp};

/// For each origin, up to which position of its clock its writes are included. Copies share their
/// structure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionVector(OrdMap<MemberId, HybridTime>);

impl VersionVector {
    /// A vector that includes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Up to where an origin's writes are included; the least time if none is.
    pub fn get(&self, origin: MemberId) -> HybridTime {
        self.0.get(&origin).copied().unwrap_or_default()
    }

    /// Whether a write is included for sure.
    pub fn covers(&self, stamp: Stamp) -> bool {
        stamp.time <= self.get(stamp.member)
    }

    /// Whether it includes all that `other` does.
    pub fn includes(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|(origin, upto)| self.get(*origin) >= *upto)
    }

    /// Includes an origin's writes up to a position; says whether that is new.
    pub fn raise(&mut self, origin: MemberId, upto: HybridTime) -> bool {
        let new = upto > self.get(origin);
        if new {
            self.0.insert(origin, upto);
        }
        new
    }

    /// Sets a position, also to a smaller one: an origin found that it lost writes of its own.
    pub fn reset(&mut self, origin: MemberId, upto: HybridTime) {
        self.0.insert(origin, upto);
    }

    /// Includes all that `other` does.
    pub fn merge(&mut self, other: &Self) {
        for (origin, upto) in &other.0 {
            self.raise(*origin, *upto);
        }
    }

    /// The origins with their positions, by id.
    pub fn iter(&self) -> impl Iterator<Item = (MemberId, HybridTime)> {
        self.0.iter().map(|(origin, upto)| (*origin, *upto))
    }

    /// The position up to which the writes of all these origins are included.
    pub fn least(&self, origins: impl IntoIterator<Item = MemberId>) -> HybridTime {
        let all = origins.into_iter().map(|origin| self.get(origin));
        all.min().unwrap_or_default()
    }
}

impl FromIterator<(MemberId, HybridTime)> for VersionVector {
    fn from_iter<I: IntoIterator<Item = (MemberId, HybridTime)>>(pairs: I) -> Self {
        let mut vector = Self::new();
        for (origin, upto) in pairs {
            vector.raise(origin, upto);
        }
        vector
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector() -> impl Strategy<Value = VersionVector> {
        prop::collection::vec((0u64..4, 0u64..9), 0..6).prop_map(|pairs| {
            let pair = |(member, time)| (MemberId::from_u64(member), HybridTime::from_bits(time));
            pairs.into_iter().map(pair).collect()
        })
    }

    proptest! {
        #[test]
        fn merging_is_the_least_vector_that_includes_both(a in vector(), b in vector()) {
            let mut both = a.clone();
            both.merge(&b);
            prop_assert!(both.includes(&a) && both.includes(&b));
            for (origin, upto) in both.iter() {
                prop_assert_eq!(upto, a.get(origin).max(b.get(origin)));
            }
            prop_assert_eq!(a.includes(&b), both.iter().all(|(o, upto)| a.get(o) >= upto));
        }
    }

    #[test]
    fn a_write_is_covered_up_to_the_position_of_its_own_origin() {
        let [a, b] = [1, 2].map(MemberId::from_u64);
        let vector = VersionVector::from_iter([(a, HybridTime::from_bits(5))]);
        let stamp = |member, time| Stamp {
            time: HybridTime::from_bits(time),
            member,
            sequence: 1,
        };
        assert!(vector.covers(stamp(a, 5)) && !vector.covers(stamp(a, 6)));
        assert!(!vector.covers(stamp(b, 1)));
        assert_eq!(vector.least([a, b]), HybridTime::default());
        assert_eq!(vector.least([a]), HybridTime::from_bits(5));
    }
}
