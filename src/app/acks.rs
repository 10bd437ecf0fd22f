//! Who has this member's writes on disk: what `ack` waits for.
//!
//! Every answer of a peer tells up to which of our positions it includes our writes. A write is at
//! so many members as have told a position at or beyond its own.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::io::clock::{mono, sleep_until};
use crate::model::{HybridTime, MemberId, Store};

use super::App;

/// How long is waited for a push before peers are asked what they have.
const PATIENCE: Duration = Duration::from_millis(100);

/// How many members must have a write on disk before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// So many, this one included.
    Members(usize),
    /// More than half of the members that belong to the cluster, alive or not.
    Quorum,
    /// Every member that belongs to the cluster, alive or not.
    All,
}

/// A text that is no level of acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an acknowledgement is a number from 1 to 1000, quorum or all")]
pub struct AckError;

impl FromStr for Ack {
    type Err = AckError;

    fn from_str(text: &str) -> Result<Self, AckError> {
        match text {
            "quorum" => Ok(Self::Quorum),
            "all" => Ok(Self::All),
            number => match number.parse() {
                Ok(members) if (1..=1000).contains(&members) => Ok(Self::Members(members)),
                _ => Err(AckError),
            },
        }
    }
}

impl Ack {
    /// How many members it takes when so many belong to the cluster.
    pub fn of(self, known: usize) -> usize {
        match self {
            Self::Members(members) => members,
            Self::Quorum => known / 2 + 1,
            Self::All => known.max(1),
        }
    }
}

/// Where a write is, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Members that are known to have it on disk, this one included.
    pub members: usize,
    /// How many were asked for.
    pub wanted: usize,
    /// The members of the cluster that are not known to have it, with their names.
    pub missing: Vec<(MemberId, Arc<str>)>,
}

impl Acknowledged {
    /// Whether it is at as many members as were asked for.
    pub fn is_enough(&self) -> bool {
        self.members >= self.wanted
    }
}

/// Up to where each peer includes this member's own writes.
#[derive(Debug)]
pub struct Acks(watch::Sender<BTreeMap<MemberId, HybridTime>>);

impl Default for Acks {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeMap::new()))
    }
}

impl Acks {
    /// A peer told that it includes our writes up to here. It only grows.
    pub fn tell(&self, peer: MemberId, has: HybridTime) {
        self.0.send_if_modified(|told| {
            let before = told.entry(peer).or_default();
            let news = has > *before;
            *before = has.max(*before);
            news
        });
    }

    /// The peers that include our writes up to a position.
    pub fn of(&self, position: HybridTime) -> Vec<MemberId> {
        let has = |(_, has): &(&MemberId, &HybridTime)| **has >= position;
        let peers = |(peer, _): (&MemberId, &HybridTime)| *peer;
        self.0.borrow().iter().filter(has).map(peers).collect()
    }

    fn changes(&self) -> watch::Receiver<BTreeMap<MemberId, HybridTime>> {
        self.0.subscribe()
    }
}

impl App {
    /// How many members an acknowledgement takes now.
    pub fn wanted(&self, ack: Ack) -> usize {
        ack.of(self.view().store.known().count())
    }

    /// Waits until a write at this position of ours is at as many members as `ack` says, or
    /// `timeout` is over; gives at how many it is known to be then.
    pub async fn acknowledged(
        &self,
        position: HybridTime,
        ack: Ack,
        timeout: Duration,
    ) -> Acknowledged {
        let mut changes = self.acks().changes();
        let end = mono().plus(timeout);
        let mut ask = mono().plus(PATIENCE);
        loop {
            changes.mark_unchanged();
            let view = self.view();
            let known: Vec<MemberId> = view.store.known().collect();
            let have = self.acks().of(position);
            // A member that was forgotten does not count, whatever it told once.
            let others = have.iter().filter(|peer| known.contains(peer)).count();
            let wanted = ack.of(known.len());
            let missing = known
                .into_iter()
                .filter(|peer| *peer != self.member() && !have.contains(peer));
            let missing: Vec<MemberId> = missing.collect();
            let told = || Acknowledged {
                members: others + 1,
                wanted,
                missing: named(&view.store, &missing),
            };
            if others + 1 >= wanted || mono() >= end {
                return told();
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return told() },
                () = sleep_until(ask.min(end)) => {
                    self.want(missing);
                    ask = mono().plus(PATIENCE * 5);
                }
            }
        }
    }
}

/// Members with their names.
fn named(store: &Store, members: &[MemberId]) -> Vec<(MemberId, Arc<str>)> {
    let name = |id: MemberId| store.standing(id).map(|at| at.name().clone());
    let named = members
        .iter()
        .map(|id| (*id, name(*id).unwrap_or_default()));
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_numbers_or_words() {
        assert_eq!("quorum".parse(), Ok(Ack::Quorum));
        assert_eq!("all".parse(), Ok(Ack::All));
        assert_eq!("3".parse(), Ok(Ack::Members(3)));
        for bad in ["", "0", "-1", "1001", "Quorum", "1.5", "most"] {
            assert_eq!(bad.parse::<Ack>(), Err(AckError), "{bad}");
        }
    }

    #[test]
    fn a_quorum_is_more_than_half() {
        let of: Vec<usize> = (1..6).map(|known| Ack::Quorum.of(known)).collect();
        assert_eq!(of, vec![1, 2, 2, 3, 3]);
        assert_eq!(Ack::All.of(4), 4);
    }

    #[test]
    fn what_a_peer_told_only_grows() {
        let acks = Acks::default();
        let (peer, at) = (MemberId::from_u64(1), HybridTime::from_bits);
        acks.tell(peer, at(5));
        acks.tell(peer, at(3));
        assert_eq!(acks.of(at(5)), vec![peer]);
        assert_eq!(acks.of(at(6)), vec![]);
    }
}
