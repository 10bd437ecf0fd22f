//! How a member is found out that was set back to an older copy of its data.
//!
//! Such a member has forgotten what it promised: whom it voted for, which entries it acknowledged.
//! If it took part under its id, a majority could be counted that is none. Three things together
//! find it out, before it takes part (ADR 12):
//!
//! - Each voter draws a *seal* when it starts and, while things change, from time to time. It
//!   writes it down and has the others note it. Who comes with an older seal than was noted of it
//!   was set back.
//! - The seal holds the *place* of the data: a directory that was copied is at another place than
//!   it says.
//! - What was promised in a majority is known to one of any majority of the others: to the highest
//!   vote and the last entry that they have. Who keeps to those has forgotten nothing that counts.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::types::{LogId, StoredMembership, Vote, VoterId};

/// What a voter's peers note of it, so that it cannot come back as it was before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    /// Goes up by one with each. 0: none was drawn yet.
    number: u64,
    /// Drawn at random: two copies of one voter draw different ones.
    mark: u64,
}

impl Seal {
    /// Whether it is the first.
    pub(super) fn is_none(self) -> bool {
        self.number == 0
    }

    /// The next one.
    pub(super) fn next(self, random: [u8; 16]) -> Self {
        let mark = random[..8].try_into().unwrap_or_default();
        Self {
            number: self.number + 1,
            mark: u64::from_le_bytes(mark),
        }
    }

    /// Whether a voter that had the other one must have forgotten this one.
    pub(super) fn is_forgotten_by(self, other: Self) -> bool {
        self.number > other.number || (self.number == other.number && self.mark != other.mark)
    }
}

/// A member's own seal, as it is on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Own {
    pub(super) seal: Seal,
    /// Where the data was when it was drawn; none if the disk cannot tell.
    pub(super) place: Option<Bytes>,
    /// It was found out that this is an older copy: this id takes no part any more.
    pub(super) is_older: bool,
}

impl Own {
    /// Whether the data was moved or copied to this place since.
    pub(super) fn is_elsewhere(&self, place: Option<&Bytes>) -> bool {
        self.place
            .as_ref()
            .zip(place)
            .is_some_and(|(was, is)| was != is)
    }
}

/// What a member has that others count on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Stand {
    /// The vote that it gave last.
    pub(super) vote: Option<Vote>,
    /// The last entry of its log.
    pub(super) last: Option<LogId>,
    /// The newest voters that it knows.
    pub(super) membership: StoredMembership,
}

/// What a member tells another one that starts again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Under which id it takes part.
    pub(super) voter: VoterId,
    /// What it has itself.
    pub(super) stand: Stand,
    /// The seal that it noted last of who asks.
    pub(super) seal: Option<Seal>,
    /// What who asks has acknowledged to it as the leader of that vote.
    pub(super) acknowledged: Option<(Vote, LogId)>,
}

/// Why a member that has this must have had more; none if nothing says so.
pub(super) fn lost(me: VoterId, seal: Seal, has: &Stand, told: &Memory) -> Option<&'static str> {
    if told.seal.is_some_and(|noted| noted.is_forgotten_by(seal)) {
        return Some("it was started again since this copy was made");
    }
    let led = has.vote.map(|vote| vote.leader_id).unwrap_or_default();
    if let Some((vote, upto)) = told.acknowledged
        && (vote.leader_id > led || (vote.leader_id == led && Some(upto) > has.last))
    {
        return Some("it acknowledged entries that it does not have");
    }
    let voted = told.stand.vote.map(|vote| vote.leader_id);
    if voted.is_some_and(|voted| voted.node_id == me && voted > led) {
        return Some("it stood for election in a term that it does not know");
    }
    if let Some(last) = told.stand.last
        && last.leader_id.node_id == me
        && (last.leader_id > led || (last.leader_id == led && told.stand.last > has.last))
    {
        return Some("it led, and others have entries of it that it does not have");
    }
    None
}

/// How much the answers of other voters are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Heard {
    /// Not even a majority together with the member itself.
    Few,
    /// A majority together with it.
    Majority,
    /// One of every majority that the member can have been counted for.
    Enough,
}

/// What the answers of these others are worth to a member, by the voters in force: one set, or two
/// while they change.
pub(super) fn heard(
    me: VoterId,
    voters: &[BTreeSet<VoterId>],
    others: &BTreeSet<VoterId>,
) -> Heard {
    let worth = |set: &BTreeSet<VoterId>| {
        let (mine, count) = (usize::from(set.contains(&me)), set.len());
        let answered = others.intersection(set).filter(|it| **it != me).count();
        let majority = count / 2 + 1;
        let enough = if mine == 1 {
            count - majority + 1
        } else {
            majority
        };
        if answered >= enough || (count == 1 && mine == 1) {
            Heard::Enough
        } else if answered + mine >= majority {
            Heard::Majority
        } else {
            Heard::Few
        }
    };
    voters.iter().map(worth).min().unwrap_or(Heard::Few)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft::{LeaderId, Membership};

    const ME: VoterId = VoterId(1);
    const OTHER: VoterId = VoterId(2);

    fn set(ids: &[u64]) -> BTreeSet<VoterId> {
        ids.iter().copied().map(VoterId).collect()
    }

    fn at(term: u64, leader: VoterId, index: u64) -> LogId {
        LogId::new(LeaderId::new(term, leader), index)
    }

    fn stand(vote: (u64, VoterId), last: LogId) -> Stand {
        Stand {
            vote: Some(Vote::new(vote.0, vote.1)),
            last: Some(last),
            membership: StoredMembership::new(None, Membership::new(vec![], None)),
        }
    }

    fn memory(stand: Stand) -> Memory {
        Memory {
            voter: OTHER,
            stand,
            seal: None,
            acknowledged: None,
        }
    }

    #[test]
    fn answers_are_worth_what_they_have_in_common_with_every_majority() {
        use Heard::{Enough, Few, Majority};
        for (voters, others, worth) in [
            (vec![set(&[1])], set(&[]), Enough),
            (vec![set(&[1, 2])], set(&[]), Few),
            (vec![set(&[1, 2])], set(&[2]), Enough),
            (vec![set(&[1, 2, 3])], set(&[]), Few),
            (vec![set(&[1, 2, 3])], set(&[2]), Majority),
            (vec![set(&[1, 2, 3])], set(&[1, 2]), Majority),
            (vec![set(&[1, 2, 3])], set(&[2, 3]), Enough),
            (vec![set(&[1, 2, 3, 4])], set(&[2]), Few),
            (vec![set(&[1, 2, 3, 4])], set(&[2, 3]), Enough),
            (vec![set(&[1, 2, 3, 4, 5])], set(&[2, 3]), Majority),
            (vec![set(&[1, 2, 3, 4, 5])], set(&[2, 3, 9]), Majority),
            (vec![set(&[1, 2, 3, 4, 5])], set(&[2, 3, 4]), Enough),
            // A learner, and voters that change.
            (vec![set(&[2, 3, 4])], set(&[2]), Few),
            (vec![set(&[2, 3, 4])], set(&[2, 3]), Enough),
            (vec![set(&[1, 2, 3]), set(&[2, 3, 4])], set(&[2]), Few),
            (
                vec![set(&[1, 2, 3]), set(&[1, 2, 4])],
                set(&[2, 3]),
                Majority,
            ),
            (vec![], set(&[2, 3]), Few),
        ] {
            assert_eq!(heard(ME, &voters, &others), worth, "{voters:?} {others:?}");
        }
    }

    #[test]
    fn who_knows_fewer_seals_than_were_noted_was_set_back() {
        let old = Seal::default().next([1; 16]);
        let (new, twin) = (old.next([2; 16]), old.next([3; 16]));
        let has = stand((1, OTHER), at(1, OTHER, 5));
        let told = |seal| Memory {
            seal,
            ..memory(has.clone())
        };
        for (mine, noted, is_lost) in [
            (old, None, false),
            (old, Some(old), false),
            (new, Some(old), false),
            (old, Some(new), true),
            (twin, Some(new), true),
            (Seal::default(), Some(old), true),
        ] {
            let found = lost(ME, mine, &has, &told(noted));
            assert_eq!(found.is_some(), is_lost, "{mine:?} {noted:?}");
        }
    }

    #[test]
    fn who_lacks_what_it_acknowledged_voted_or_led_was_set_back() {
        let has = stand((5, OTHER), at(5, OTHER, 7));
        let acknowledged = |vote: (u64, VoterId), upto| Memory {
            acknowledged: Some((Vote::new_committed(vote.0, vote.1), upto)),
            ..memory(has.clone())
        };
        let cases = [
            (acknowledged((5, OTHER), at(5, OTHER, 7)), false),
            (acknowledged((5, OTHER), at(5, OTHER, 8)), true),
            (acknowledged((6, OTHER), at(5, OTHER, 7)), true),
            // A later leader may have cut off what was acknowledged to an earlier one.
            (acknowledged((4, OTHER), at(4, OTHER, 9)), false),
            (memory(stand((6, OTHER), at(6, OTHER, 9))), false),
            (memory(stand((4, ME), at(4, OTHER, 9))), false),
            (memory(stand((6, ME), at(5, OTHER, 7))), true),
            (memory(stand((7, OTHER), at(6, ME, 8))), true),
            (memory(stand((7, OTHER), at(4, ME, 8))), false),
        ];
        for (told, is_lost) in cases {
            let found = lost(ME, Seal::default(), &has, &told);
            assert_eq!(found.is_some(), is_lost, "{told:?}");
        }
        // It leads, and others have more of it than it has itself.
        let leads = stand((5, ME), at(5, ME, 7));
        for (index, is_lost) in [(7, false), (8, true)] {
            let told = memory(stand((5, ME), at(5, ME, index)));
            let found = lost(ME, Seal::default(), &leads, &told);
            assert_eq!(found.is_some(), is_lost, "{index}");
        }
    }
}
