//! The member table: what a member knows of all, for everybody inside it to read.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use super::{Generation, Label};
use crate::model::{MemberId, WallTime};
use crate::protocol::Mono;
use crate::protocol::clocks::Reading;
use crate::protocol::envelope::{BootId, Drops};

/// What is known of a member's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberState {
    /// It answers.
    Alive,
    /// It did not answer a probe and may still refute (SWIM §4.2).
    Suspect,
    /// It stopped answering without a word.
    Dead,
    /// It said goodbye.
    Left,
}

impl MemberState {
    /// Whether requests may be sent to it.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        })
    }
}

/// The digest root of a member's store, as last heard from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardRoot {
    /// The root.
    pub root: u128,
    /// When it was heard.
    pub at: Mono,
}

/// What is known of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// Its id.
    pub id: MemberId,
    /// Its name, for people.
    pub name: Label,
    /// Where it answers over HTTPS: as it advertises, or where its datagrams come from.
    pub https: SocketAddr,
    /// Where it receives datagrams.
    pub udp: SocketAddr,
    /// Its health.
    pub state: MemberState,
    /// Its generation.
    pub generation: Generation,
    /// How often it refuted a suspicion in this generation.
    pub incarnation: u16,
    /// Its boot.
    pub boot: BootId,
    /// Its software version.
    pub version: Label,
    /// The oldest and the newest peer protocol that it speaks.
    pub protocols: (u8, u8),
    /// Since when it is in that state, by our wall clock.
    pub since: WallTime,
    /// Its digest root, once heard.
    pub root: Option<HeardRoot>,
    /// When it last answered over HTTPS, or asked us, if ever.
    pub exchanged: Option<Mono>,
    /// What its clock said last, if anything.
    pub clock: Option<Reading>,
    /// Whether it is seen over HTTPS only: datagrams do not get through.
    pub https_only: bool,
    /// Whether a beacon of its was heard since we started.
    pub beaconed: bool,
}

/// Counts since the start; for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams opened, and dropped by reason.
    pub drops: Drops,
    /// Datagrams dropped unopened, because they came faster than they could be taken.
    pub overflow: u64,
    /// Datagrams sent to single members.
    pub sent: u64,
    /// Beacons sent to the group.
    pub beacons: u64,
    /// SWIM messages that made no sense.
    pub refused_messages: u64,
    /// Exchanges of state that succeeded, asked by us or by others.
    pub exchanges: u64,
    /// Exchanges of state that failed.
    pub failed_exchanges: u64,
    /// Requests that carried datagrams over HTTPS, because they do not get through otherwise.
    pub relays: u64,
    /// Such requests that had no answer.
    pub failed_relays: u64,
    /// How often we had to raise our generation because others took us for dead.
    pub rejoins: u64,
    /// Members declared dead.
    pub deaths: u64,
    /// Addresses waiting to be dialled.
    pub dialling: u64,
}

/// All members, ourselves included. A new one is published whenever something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberTable {
    /// Ourselves.
    pub me: MemberRow,
    /// The others, by id.
    pub others: BTreeMap<MemberId, MemberRow>,
    /// Counts since the start.
    pub counts: Counts,
    /// The latest time that members of the cluster told whose clock is far from ours, or ours from
    /// theirs: for a member whose own clock cannot be right. At the earliest it is so late.
    pub hinted: Option<Reading>,
}

impl MemberTable {
    /// The row of a member, ours included.
    pub fn find(&self, id: MemberId) -> Option<&MemberRow> {
        if id == self.me.id {
            Some(&self.me)
        } else {
            self.others.get(&id)
        }
    }

    /// The others that requests may be sent to.
    pub fn live(&self) -> impl Iterator<Item = &MemberRow> {
        self.others.values().filter(|row| row.state.is_live())
    }

    /// All rows in the order of their ids, ours included.
    pub fn rows(&self) -> impl Iterator<Item = &MemberRow> {
        let before = self.others.range(..self.me.id).map(|(_, row)| row);
        let after = self.others.range(self.me.id..).map(|(_, row)| row);
        before.chain([&self.me]).chain(after)
    }
}
