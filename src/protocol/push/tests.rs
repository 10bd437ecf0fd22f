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
        replaces: None,
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
            push: Push::new(limits, 7),
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
        self.at(millis, PushEvent::Changes(vec![change(key, sequence)]))
    }

    fn done(&mut self, millis: u64, taken: bool) -> &mut Self {
        self.at(millis, PushEvent::Done { peer: B, taken })
    }

    /// The sequences of each request sent since the last look.
    fn sent(&mut self) -> Vec<Vec<u64>> {
        let sequences = |changes: Vec<Change>| changes.iter().map(|c| c.stamp().sequence).collect();
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
        story.push.on_event(
            now,
            PushEvent::Done {
                peer: B,
                taken: false,
            },
            &mut story.out,
        );
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
    story
        .at(1, PushEvent::Peers(vec![A, B]))
        .at(2, PushEvent::Missed);
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
