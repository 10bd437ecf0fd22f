//! The members that a store knows, and how much of their writes it includes.

use std::sync::Arc;

use super::Store;
use crate::model::planted::{self, Bug};
use crate::model::standing::forgotten;
use crate::model::{Bucket, HybridTime, MemberId, Row, Standing, VersionVector};

impl Store {
    /// Every member of which anything is known, also forgotten ones, by id.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, &Arc<Standing>)> {
        self.members
            .iter()
            .map(|(member, standing)| (*member, standing))
    }

    /// What is known of a member.
    pub fn standing(&self, member: MemberId) -> Option<&Arc<Standing>> {
        self.members.get(&member)
    }

    /// Whether a member was forgotten, by a decision that is in force.
    pub fn is_forgotten(&self, member: MemberId) -> bool {
        self.forgotten.contains(&member) && !planted::is(Bug::ForgottenMayMerge)
    }

    /// The members that belong to the cluster, alive or not.
    pub fn known(&self) -> impl Iterator<Item = MemberId> {
        let known = |member: &MemberId| !self.forgotten.contains(member);
        self.members.keys().copied().filter(known)
    }

    /// Puts a member's standing, as read from disk or merged.
    pub fn set_standing(&mut self, member: MemberId, standing: Arc<Standing>) {
        let old = self.members.get(&member).map_or(0, |old| old.hash(member));
        let bucket = Bucket::of_member(member);
        self.digest.change(bucket, old, standing.hash(member));
        self.members.insert(member, standing);
        self.forgotten = Arc::new(forgotten(self.members.iter()));
    }

    /// How much of each origin's writes is included.
    pub fn vector(&self) -> &VersionVector {
        &self.vector
    }

    /// Includes an origin's writes up to a position, without a row: as read from disk, or of this
    /// member's own, whose position is written with every batch.
    pub fn set_vector(&mut self, origin: MemberId, upto: HybridTime) {
        self.vector.reset(origin, upto);
    }

    /// Includes an origin's writes up to a position.
    pub fn raise(&mut self, origin: MemberId, upto: HybridTime, rows: &mut Vec<Row>) {
        if self.vector.raise(origin, upto) {
            rows.push(self.member_row(origin));
        }
    }

    /// The time up to which the writes of all known members are included. No write that is still to
    /// come has a smaller one, unless it comes from a member that is not known here yet.
    pub fn watermark(&self) -> HybridTime {
        self.vector.least(self.known())
    }

    pub(super) fn member_row(&self, member: MemberId) -> Row {
        Row::Member {
            member,
            standing: self.members.get(&member).cloned(),
            upto: self.vector.get(member),
        }
    }
}
