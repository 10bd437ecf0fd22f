//! Stories of a push, told to the state machine alone.

use std::sync::Arc;

use super::*;
use crate::model::{Content, HybridTime, Stamp, Value, Version, WallTime};

const A: MemberId = MemberId::from_u64(1);
const B: MemberId = MemberId::from_u64(2);

fn change(key: &str, sequence: u64) -> Change {
    let stamp = Stamp {
        time: HybridTime::from_bits(sequence),
        member: A,
        sequence,
    };
    let version = Version {
        stamp,
        replaces: crate::model::Replaces::Nothing,
        author: "a".into(),
        written: WallTime::default(),
        expires: None,
        content: Content::Value(Value::untyped(vec![b'x'; 100])),
    };
    Change::Key {
        node: "n".parse().unwrap(),
        key: key.parse().unwrap(),
        version: Arc::new(version),
    }
}

fn ms(millis: u64) -> Mono {
    Mono(Duration::from_millis(millis))
}

struct Story {
    push: Push,
    out: Vec<PushEffect>,
}

impl Story {
    fn with(limits: PushLimits) -> Self {
        let mut story = Self {
            push: Push::new(limits, HybridTime::default(), 7),
            out: Vec::new(),
        };
        story.at(0, PushEvent::Peers(vec![B]));
        story
    }

    fn at(&mut self, millis: u64, event: PushEvent) -> &mut Self {
        self.push.on_event(ms(millis), event, &mut self.out);
        self
    }

    fn write(&mut self, millis: u64, key: &str, sequence: u64) -> &mut Self {
        let changes = vec![change(key, sequence)];
        let upto = Some(HybridTime::from_bits(sequence));
        self.at(millis, PushEvent::Changes { changes, upto })
    }

    fn answered(&mut self, millis: u64, has: Option<HybridTime>) -> &mut Self {
        let (peer, request) = (B, self.push.request);
        self.at(millis, PushEvent::Done { peer, request, has })
    }

    fn done(&mut self, millis: u64, taken: bool) -> &mut Self {
        let has = taken.then(|| HybridTime::from_bits(u64::MAX));
        self.answered(millis, has)
    }

    /// The sequences of each request sent since the last look.
    fn sent(&mut self) -> Vec<Vec<u64>> {
        let sequences = |changes: Vec<Change>| {
            changes
                .iter()
                .filter_map(Change::stamp)
                .map(|stamp| stamp.sequence)
                .collect()
        };
        let taken = std::mem::take(&mut self.out).into_iter();
        taken
            .filter_map(|effect| match effect {
                PushEffect::Send { changes, .. } => Some(sequences(changes)),
                PushEffect::Sync(_) => None,
            })
            .collect()
    }
}

#[test]
fn a_change_goes_out_at_once_and_the_next_wait_for_the_answer() {
    let mut story = Story::with(PushLimits::default());
    story
        .write(1, "k", 1)
        .write(2, "k", 2)
        .write(3, "l", 3)
        .write(4, "k", 4);
    assert_eq!(story.sent(), vec![vec![1]]);
    story.done(5, true);
    assert_eq!(
        story.sent(),
        vec![vec![2, 4, 3]],
        "grouped by key, in one request"
    );
    story.done(6, true);
    assert!(story.sent().is_empty());
    assert_eq!(story.push.deadline(), None, "nothing left to do");
}

#[test]
fn a_failure_waits_and_sends_everything_again() {
    let mut story = Story::with(PushLimits::default());
    story.write(1, "k", 1).write(2, "l", 2).done(3, false);
    assert_eq!(story.sent(), vec![vec![1]]);
    let at = story.push.deadline().unwrap();
    assert!(at > ms(3) && at <= ms(103), "{at:?}");
    story.write(4, "m", 3);
    assert!(story.sent().is_empty(), "not before the wait is over");
    story.push.on_deadline(at, &mut story.out);
    assert_eq!(story.sent(), vec![vec![1, 2, 3]]);
    assert_eq!(
        story.push.lags(ms(101))[&B],
        PushLag {
            waiting: 3,
            oldest: Duration::from_millis(100)
        }
    );
}

#[test]
fn waits_grow_up_to_a_bound() {
    let mut story = Story::with(PushLimits::default());
    story.write(0, "k", 1);
    let mut now = Mono::default();
    for _ in 0..30 {
        let (peer, request, has) = (B, story.push.request, None);
        let done = PushEvent::Done { peer, request, has };
        story.push.on_event(now, done, &mut story.out);
        let next = story.push.deadline().unwrap();
        assert!(next.since(now) <= WAIT_LONGEST);
        now = next;
        story.push.on_deadline(now, &mut story.out);
    }
    assert!(now > ms(60_000), "the waits did grow: {now:?}");
}

#[test]
fn what_gathers_for_a_silent_peer_is_bounded_and_ends_in_a_sync() {
    let limits = PushLimits {
        changes: 10,
        bytes: 1 << 20,
        fanout: 8,
    };
    let mut story = Story::with(limits);
    for sequence in 1..1000 {
        story.write(sequence, &format!("k{sequence}"), sequence);
        assert!(story.push.lags(ms(sequence))[&B].waiting <= 11);
    }
    assert!(story.push.counters().overflows > 0);
    story.out.clear();
    story.done(2000, true);
    assert!(story.out.contains(&PushEffect::Sync(B)));
}

#[test]
fn a_key_written_without_end_keeps_its_newest_versions_only() {
    let mut story = Story::with(PushLimits::default());
    for sequence in 1..=100 {
        story.write(sequence, "k", sequence);
    }
    story.out.clear();
    story.done(200, true);
    assert_eq!(story.sent(), vec![(85..=100).collect::<Vec<_>>()]);
}

#[test]
fn a_peer_that_left_gets_nothing_and_a_late_answer_does_no_harm() {
    let mut story = Story::with(PushLimits::default());
    story
        .write(1, "k", 1)
        .at(2, PushEvent::Peers(vec![]))
        .done(3, false)
        .write(4, "k", 2);
    assert_eq!(story.sent(), vec![vec![1]]);
    assert_eq!(story.push.deadline(), None);
}

#[test]
fn missed_changes_mark_every_peer_for_sync() {
    let mut story = Story::with(PushLimits::default());
    story.at(1, PushEvent::Peers(vec![A, B])).at(
        2,
        PushEvent::Missed {
            upto: Some(HybridTime::default()),
        },
    );
    assert_eq!(story.out, vec![PushEffect::Sync(A), PushEffect::Sync(B)]);
}

#[test]
fn a_change_goes_to_no_more_peers_than_the_fan_out() {
    let mut story = Story::with(PushLimits {
        fanout: 3,
        ..PushLimits::default()
    });
    let ids = |range: std::ops::Range<u64>| range.map(MemberId::from_u64).collect::<Vec<_>>();
    story.at(1, PushEvent::Peers(ids(2..20))).write(2, "k", 1);
    assert_eq!(
        story.sent(),
        vec![vec![1]; 3],
        "B, who was chosen before, and two others"
    );
    assert!(story.push.lags(ms(3)).contains_key(&B));
    story.at(4, PushEvent::Peers(ids(3..20)));
    assert_eq!(
        story.push.lags(ms(5)).len(),
        3,
        "another takes the place of one that left"
    );
}

impl Story {
    /// The claims of the requests sent since the last look, as numbers.
    fn claims(&mut self) -> Vec<Option<(u64, u64)>> {
        let sent = std::mem::take(&mut self.out).into_iter();
        sent.filter_map(|effect| match effect {
            PushEffect::Send { claim, .. } => {
                Some(claim.map(|claim| (claim.base.bits(), claim.upto.bits())))
            }
            PushEffect::Sync(_) => None,
        })
        .collect()
    }
}

#[test]
fn what_was_sent_whole_is_claimed_and_what_was_dropped_never_is() {
    let limits = PushLimits {
        changes: 3,
        ..PushLimits::default()
    };
    let mut story = Story::with(limits);
    story.write(1, "k", 1);
    assert_eq!(story.claims(), vec![Some((0, 1))]);
    story.write(2, "l", 2).write(3, "m", 3).done(4, true);
    assert_eq!(story.claims(), vec![Some((1, 3))], "both that gathered");
    for sequence in 4..9 {
        story.write(sequence, &format!("k{sequence}"), sequence);
    }
    story.done(10, true);
    assert!(
        story.out.contains(&PushEffect::Sync(B)),
        "some were dropped"
    );
    assert_eq!(
        story.claims(),
        vec![Some((7, 8))],
        "those up to 7 are not claimed"
    );
    story.done(11, true).write(12, "n", 12);
    assert_eq!(story.claims(), vec![Some((8, 12))]);
}

#[test]
fn nothing_is_claimed_while_more_of_the_same_is_to_come() {
    let mut story = Story::with(PushLimits::default());
    let changes = vec![change("k", 1)];
    story.at(
        1,
        PushEvent::Changes {
            changes,
            upto: None,
        },
    );
    assert_eq!(story.claims(), vec![None]);
    story.write(2, "l", 2).done(3, true);
    assert!(story.out.contains(&PushEffect::Sync(B)), "a sync tells");
    assert_eq!(story.claims(), vec![None], "the first was not claimed");
    story.done(4, true).write(5, "m", 5);
    assert_eq!(story.claims(), vec![Some((2, 5))]);
}

#[test]
fn a_failed_request_takes_its_claim_back() {
    let mut story = Story::with(PushLimits::default());
    story.write(1, "k", 1).done(2, false);
    story.out.clear();
    let at = story.push.deadline().unwrap();
    story.push.on_deadline(at, &mut story.out);
    assert_eq!(story.claims(), vec![Some((0, 1))]);
}

#[test]
fn a_peer_that_lacks_what_was_claimed_is_synced_with() {
    let mut story = Story::with(PushLimits::default());
    story.write(1, "k", 5);
    let has = Some(HybridTime::from_bits(4));
    story.out.clear();
    story.answered(2, has);
    assert_eq!(story.out, vec![PushEffect::Sync(B)]);
}

#[test]
fn what_was_learned_is_passed_on_only_if_there_are_more_than_the_fan_out() {
    let learned = |story: &mut Story| {
        let (from, changes) = (B, vec![change("k", 1)]);
        story.at(1, PushEvent::Learned { from, changes });
        story.sent().len()
    };
    let ids = |range: std::ops::Range<u64>| range.map(MemberId::from_u64).collect::<Vec<_>>();
    let limits = PushLimits {
        fanout: 3,
        ..PushLimits::default()
    };
    let mut few = Story::with(limits);
    few.at(0, PushEvent::Peers(ids(2..5)));
    assert_eq!(learned(&mut few), 0);
    let mut many = Story::with(limits);
    many.at(0, PushEvent::Peers(ids(2..50)));
    assert_eq!(learned(&mut many), 2, "not back to whom it came from");
}

#[test]
fn a_claim_begins_where_the_last_one_ended_so_that_a_gap_is_never_claimed() {
    let mut story = Story::with(PushLimits::default());
    story.write(1, "k", 5);
    // The peer left something out: it does not have what was claimed.
    story.answered(2, Some(HybridTime::from_bits(0)));
    story.write(3, "k", 6);
    assert_eq!(story.claims(), vec![Some((0, 5)), Some((5, 6))]);
}

#[test]
fn an_answer_to_an_older_request_says_nothing() {
    let mut story = Story::with(PushLimits::default());
    story.write(1, "k", 1);
    let old = story.push.request;
    story
        .at(2, PushEvent::Peers(vec![]))
        .at(3, PushEvent::Peers(vec![B]));
    story.write(4, "l", 2);
    assert_eq!(story.sent(), vec![vec![1], vec![2]]);
    let has = Some(HybridTime::from_bits(1));
    story.at(
        5,
        PushEvent::Done {
            peer: B,
            request: old,
            has,
        },
    );
    assert_eq!(story.push.lags(ms(5))[&B].waiting, 1, "still on its way");
}

#[test]
fn after_a_gap_whose_end_is_unknown_nothing_of_it_is_claimed() {
    let mut story = Story::with(PushLimits::default());
    story.at(1, PushEvent::Missed { upto: None });
    story.out.clear();
    story.write(2, "k", 50).done(3, true).write(4, "l", 51);
    let claims = story.claims();
    assert!(
        claims.iter().flatten().all(|(base, _)| *base >= 50),
        "{claims:?}"
    );
}

#[test]
fn what_was_sent_while_own_writes_were_missing_is_not_claimed_when_they_are_back() {
    for written_meanwhile in [true, false] {
        let mut story = Story::with(PushLimits::default());
        story.write(1, "k", 50).done(2, true).at(3, PushEvent::Gap);
        let one = |changes: Vec<Change>, upto| PushEvent::Changes { changes, upto };
        if written_meanwhile {
            story.at(3, one(vec![change("l", 51)], None)).done(4, true);
        }
        story.out.clear();
        // All are there again; a walk brought them, no push did.
        let upto = HybridTime::from_bits(99);
        story.at(5, one(vec![change("m", 99)], Some(upto)));
        assert!(story.out.contains(&PushEffect::Sync(B)), "{:?}", story.out);
        assert_eq!(story.claims(), vec![None]);
        story.done(6, true).write(7, "n", 100);
        let claims = story.claims();
        assert_eq!(claims.len(), 1);
        assert!(
            claims.iter().flatten().all(|(base, _)| *base == 99),
            "{claims:?}"
        );
    }
}
