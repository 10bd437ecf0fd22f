//! A digest over everything in the store, kept up to date with each write.
//!
//! Two members must find out what differs between them at a cost that follows the difference. Every
//! name falls into one of 65,536 buckets by its hash; a bucket's sum is the wrapping sum of the
//! 128-bit hashes of what is in it, and sixteen sums add up to the one above them, four levels in
//! all. Sums can be added to and taken from in any order, so one write costs four additions and the
//! root is equal exactly if (up to chance in 2^128) the contents are.
//!
//! The tree shares its structure: a copy is a pointer, and a write after a copy copies one path.
//! Branches without content take no memory.

use std::sync::Arc;

use super::planted::{self, Bug};
use super::version::{field, first_half};
use super::{KeyName, NodeName};

/// The number of levels below the root.
pub const LEVELS: u8 = 4;
/// The number of children of an inner sum.
pub const FAN: usize = 16;

/// The bucket of a name: a path of four hexadecimal digits through the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(pub u16);

impl Bucket {
    /// The bucket of a key.
    pub fn of_key(node: &NodeName, key: &KeyName) -> Self {
        Self::of(node, key.as_str())
    }

    /// The bucket of a node's own register (no key is named "").
    pub fn of_node(node: &NodeName) -> Self {
        Self::of(node, "")
    }

    fn of(node: &NodeName, key: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        field(&mut hasher, node.as_str().as_bytes());
        field(&mut hasher, key.as_bytes());
        Self((first_half(&hasher) >> 112) as u16)
    }
}

/// The digest: the sum at this place of the tree and what is below it.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    sum: u128,
    below: Option<Arc<[Digest; FAN]>>,
}

impl Digest {
    /// The sum over everything below.
    pub fn root(&self) -> u128 {
        self.sum
    }

    /// Takes `old` out of a bucket and puts `new` in (each a wrapping sum of hashes).
    pub fn change(&mut self, bucket: Bucket, old: u128, new: u128) {
        let difference = new.wrapping_sub(old);
        let stale = planted::is(Bug::StaleDigest) && bucket.0.is_multiple_of(4);
        if difference != 0 && !stale {
            self.add(bucket.0, LEVELS, difference);
        }
    }

    fn add(&mut self, bucket: u16, levels: u8, difference: u128) {
        self.sum = self.sum.wrapping_add(difference);
        let Some(left) = levels.checked_sub(1) else {
            return;
        };
        let below = Arc::make_mut(self.below.get_or_insert_with(Arc::default));
        below[digit(bucket, left)].add(bucket, left, difference);
    }

    /// The sixteen sums below the place that the first `level` digits of `prefix` lead to; zeros
    /// where nothing is. `level` is 0 (below the root) to 3 (the buckets); beyond that, zeros.
    pub fn children(&self, level: u8, prefix: u16) -> [u128; FAN] {
        let mut at = self;
        for step in 0..level.min(LEVELS) {
            let Some(below) = &at.below else {
                return [0; FAN];
            };
            at = &below[digit(prefix, LEVELS - 1 - step)];
        }
        at.below
            .as_ref()
            .map_or([0; FAN], |below| std::array::from_fn(|i| below[i].sum))
    }
}

fn digit(bucket: u16, place: u8) -> usize {
    usize::from(bucket >> (4 * place)) % FAN
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn total(digest: &Digest, level: u8, prefix: u16) -> u128 {
        digest
            .children(level, prefix)
            .iter()
            .fold(0, |sum, child| sum.wrapping_add(*child))
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_sums_and_taking_out_undoes_putting_in(
            mut items in prop::collection::vec(any::<(u16, u128)>(), 1..40)
        ) {
            let mut forth = Digest::default();
            for (bucket, hash) in &items {
                forth.change(Bucket(*bucket), 0, *hash);
            }
            items.reverse();
            let mut back = Digest::default();
            for (bucket, hash) in &items {
                back.change(Bucket(*bucket), 0, *hash);
            }
            prop_assert_eq!(forth.root(), back.root());
            for (bucket, _) in &items {
                for level in 0..LEVELS {
                    prop_assert_eq!(forth.children(level, *bucket), back.children(level, *bucket));
                }
            }
            for (bucket, hash) in &items {
                back.change(Bucket(*bucket), *hash, 0);
            }
            prop_assert_eq!(back.root(), 0);
            prop_assert_eq!(total(&forth, 0, 0), forth.root());
        }
    }

    #[test]
    fn the_path_of_a_bucket_holds_its_sum_on_every_level() {
        let mut digest = Digest::default();
        digest.change(Bucket(0xabcd), 0, 5);
        assert_eq!(digest.children(0, 0)[0xa], 5);
        assert_eq!(digest.children(1, 0xa000)[0xb], 5);
        assert_eq!(digest.children(2, 0xab00)[0xc], 5);
        assert_eq!(digest.children(3, 0xabc0)[0xd], 5);
        assert_eq!(digest.children(3, 0xabd0), [0; FAN]);
        assert_eq!(digest.children(200, 0xabcd), [0; FAN]);
    }

    #[test]
    fn a_copy_stays_as_it_was() {
        let mut digest = Digest::default();
        digest.change(Bucket(1), 0, 5);
        let copy = digest.clone();
        digest.change(Bucket(1), 5, 9);
        assert_eq!((copy.root(), digest.root()), (5, 9));
        assert_eq!(copy.children(3, 0)[1], 5);
    }
}
