//! Who is away for so long that the others forget it (`--forget-after`).
//!
//! A tombstone waits for every known member, so a member that never comes back must be forgotten at
//! some time. It is a decision for good, and so it is taken carefully: only while more than half of
//! the known members are here, not counting those that said goodbye. So of two halves that are cut
//! off from each other at most one forgets the other; where neither is greater (two members, one of
//! them dead), the operator decides (`gaggle members forget`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Mono, Protocol};
use crate::model::MemberId;

/// How often a decision that is due is looked at again while it cannot be taken.
const AGAIN: Duration = Duration::from_mins(1);
/// How long somebody is missing in this run before what earlier runs counted may be held against
/// it: after a start nobody is found yet.
const AFRESH: Duration = Duration::from_mins(10);

/// What happens.
#[derive(Clone, Debug)]
pub enum AbsenceEvent {
    /// The members of the cluster as they are now.
    Members {
        /// Those that belong to it, this one included.
        known: BTreeSet<MemberId>,
        /// Those that are alive or suspect, this one included.
        here: BTreeSet<MemberId>,
        /// Those that said goodbye.
        left: BTreeSet<MemberId>,
    },
}

/// Forget this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forget(pub MemberId);

/// How long somebody is away.
#[derive(Clone, Copy, Debug)]
struct Away {
    since: Mono,
    /// For how long it was away in earlier runs of this member.
    before: Duration,
}

impl Away {
    fn long(&self, now: Mono) -> Duration {
        self.before + now.since(self.since)
    }
}

/// Watches who is away, and for how long.
#[derive(Debug)]
pub struct Absences {
    me: MemberId,
    after: Duration,
    away: BTreeMap<MemberId, Away>,
    /// What earlier runs counted, of members that were not looked for yet.
    before: BTreeMap<MemberId, Duration>,
    here: BTreeSet<MemberId>,
    /// Known members that did not say goodbye.
    voters: usize,
    again: Mono,
}

impl Absences {
    /// Forgets members that are away for longer than `after`; `before` is what an earlier run
    /// counted ([`Absences::counted`]). The time when this member itself was away does not count.
    pub fn new(me: MemberId, after: Duration, before: BTreeMap<MemberId, Duration>) -> Self {
        Self {
            me,
            after,
            away: BTreeMap::new(),
            before,
            here: BTreeSet::new(),
            voters: 0,
            again: Mono::default(),
        }
    }

    /// Whether this member takes the decision: the least of those that are here, if they are more
    /// than half.
    fn decides(&self) -> bool {
        self.here.first() == Some(&self.me) && self.here.len() * 2 > self.voters
    }

    /// How long each member that is away is so, for the next run.
    pub fn counted(&self, now: Mono) -> BTreeMap<MemberId, Duration> {
        let here = self
            .away
            .iter()
            .map(|(member, away)| (*member, away.long(now)));
        here.chain(self.before.clone()).collect()
    }

    fn due(&self, now: Mono) -> impl Iterator<Item = MemberId> {
        let long = move |(_, away): &(&MemberId, &Away)| away.long(now) >= self.after;
        self.away.iter().filter(long).map(|(member, _)| *member)
    }
}

impl Protocol for Absences {
    type Event = AbsenceEvent;
    type Effect = Forget;

    fn on_event(&mut self, now: Mono, event: AbsenceEvent, out: &mut Vec<Forget>) {
        let AbsenceEvent::Members { known, here, left } = event;
        self.away
            .retain(|member, _| known.contains(member) && !here.contains(member));
        let most = self.after.saturating_sub(AFRESH.min(self.after / 2));
        for member in known.difference(&here) {
            let before = self.before.remove(member).unwrap_or_default().min(most);
            let (since, before) = (now, before);
            self.away.entry(*member).or_insert(Away { since, before });
        }
        self.before
            .retain(|member, _| known.contains(member) && !here.contains(member));
        let counted = known
            .iter()
            .filter(|member| here.contains(member) || !left.contains(member));
        self.voters = counted.count();
        self.here = here.intersection(&known).copied().collect();
        self.on_deadline(now, out);
    }

    fn on_deadline(&mut self, now: Mono, out: &mut Vec<Forget>) {
        if self.decides() {
            out.extend(self.due(now).map(Forget));
        }
        self.again = now.plus(AGAIN);
    }

    fn deadline(&self) -> Option<Mono> {
        let due = |away: &Away| away.since.plus(self.after.saturating_sub(away.before));
        let first = self.away.values().map(due).min()?;
        Some(first.max(self.again))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u64]) -> BTreeSet<MemberId> {
        numbers.iter().map(|n| MemberId::from_u64(*n)).collect()
    }

    /// Who is forgotten by member `me` a day after the others went away.
    fn forgotten(me: u64, known: &[u64], here: &[u64], left: &[u64]) -> Vec<u64> {
        let hour = Duration::from_hours(1);
        let mut absences = Absences::new(MemberId::from_u64(me), hour, BTreeMap::new());
        let mut out = Vec::new();
        let event = AbsenceEvent::Members {
            known: ids(known),
            here: ids(here),
            left: ids(left),
        };
        absences.on_event(Mono::default(), event, &mut out);
        assert_eq!(out, vec![], "nobody is forgotten at once");
        if let Some(at) = absences.deadline() {
            assert!(at.0 >= Duration::from_hours(1));
            absences.on_deadline(at, &mut out);
        }
        out.iter().map(|Forget(member)| member.as_u64()).collect()
    }

    #[test]
    fn most_of_the_members_forget_one_that_stays_away_and_the_least_of_them_decides() {
        assert_eq!(forgotten(1, &[1, 2, 3], &[1, 2], &[]), vec![3]);
        assert_eq!(forgotten(2, &[1, 2, 3], &[1, 2], &[]), Vec::<u64>::new());
    }

    #[test]
    fn a_half_forgets_nobody() {
        assert_eq!(forgotten(1, &[1, 2], &[1], &[]), Vec::<u64>::new());
        assert_eq!(forgotten(1, &[1, 2, 3, 4], &[1, 2], &[]), Vec::<u64>::new());
    }

    #[test]
    fn who_said_goodbye_is_not_counted_and_is_forgotten_too() {
        assert_eq!(forgotten(1, &[1, 2], &[1], &[2]), vec![2]);
        assert_eq!(forgotten(1, &[1, 2, 3, 4], &[1, 2], &[4]), vec![3, 4]);
    }

    #[test]
    fn who_comes_back_in_time_is_not_forgotten() {
        let hour = Duration::from_hours(1);
        let mut absences = Absences::new(MemberId::from_u64(1), hour, BTreeMap::new());
        let at = |minutes: u64| Mono(Duration::from_mins(minutes));
        let mut out = Vec::new();
        for (minute, here) in [(0, vec![1, 2]), (50, vec![1, 2, 3]), (55, vec![1, 2])] {
            let event = AbsenceEvent::Members {
                known: ids(&[1, 2, 3]),
                here: ids(&here),
                left: ids(&[]),
            };
            absences.on_event(at(minute), event, &mut out);
        }
        absences.on_deadline(at(70), &mut out);
        assert_eq!(out, vec![]);
        absences.on_deadline(at(116), &mut out);
        assert_eq!(out, vec![Forget(MemberId::from_u64(3))]);
    }

    #[test]
    fn what_earlier_runs_counted_goes_on_but_not_before_the_others_were_looked_for() {
        let (one, hour) = (MemberId::from_u64(1), Duration::from_hours(1));
        let at = |minutes: u64| Mono(Duration::from_mins(minutes));
        let event = |here: &[u64]| AbsenceEvent::Members {
            known: ids(&[1, 2, 3]),
            here: ids(here),
            left: ids(&[]),
        };
        let mut first = Absences::new(one, hour, BTreeMap::new());
        first.on_event(at(0), event(&[1, 2]), &mut Vec::new());
        let counted = first.counted(at(40));
        assert_eq!(
            counted,
            BTreeMap::from([(MemberId::from_u64(3), Duration::from_mins(40))])
        );
        let mut second = Absences::new(one, hour, counted.clone());
        assert_eq!(
            second.counted(at(0)),
            counted,
            "and over a run that sees nobody"
        );
        let mut out = Vec::new();
        second.on_event(at(0), event(&[1, 2]), &mut out);
        second.on_deadline(at(19), &mut out);
        assert_eq!(out, vec![]);
        assert_eq!(second.deadline(), Some(at(20)));
        second.on_deadline(at(20), &mut out);
        assert_eq!(out, vec![Forget(MemberId::from_u64(3))]);
        // A start finds nobody in its first moment, however long they were away before.
        let long = BTreeMap::from([2, 3].map(|id| (MemberId::from_u64(id), hour * 5)));
        let mut third = Absences::new(one, hour, long);
        out.clear();
        third.on_event(at(0), event(&[1, 2]), &mut out);
        third.on_deadline(at(9), &mut out);
        assert_eq!(out, vec![]);
        third.on_event(at(9), event(&[1, 2, 3]), &mut out);
        third.on_deadline(at(30), &mut out);
        assert_eq!(out, vec![], "it came back");
        assert!(third.counted(at(30)).is_empty());
    }
}
