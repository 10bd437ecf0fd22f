//! What a user notices of the whole state.

use super::super::samples::{Run, acquire, append, entry, place, set};
use super::super::{CounterOp, LockEvent, Millis};
use super::*;

#[test]
fn the_first_entry_of_a_leader_is_told_before_what_it_does() {
    let mut run = Run::default();
    run.op(set("n", "k", "v")).unwrap();
    assert_eq!(run.events[0], Event::Leader(place(1, 0)));
    run.op(set("n", "k", "v")).unwrap();
    assert!(!run.events.contains(&Event::Leader(place(2, 0))));
    run.lead(0).op(set("n", "k", "v")).unwrap();
    assert_eq!(run.events[0], Event::Leader(place(3, 1)));
    // A leader that begins with an entry without a command is told there, and only there.
    let told = run.state.pass(place(4, 2)).unwrap();
    assert_eq!(told, [Event::Leader(place(4, 2))]);
    let tick = entry(Command::Tick);
    assert_eq!(run.state.apply(place(5, 2), &tick).unwrap().events, []);
}

#[test]
fn a_lease_outlives_its_leader_whatever_the_next_ones_clock_says() {
    let held = |run: &Run| run.state.locks().lock("l").unwrap().holders().len();
    for clock in [0, 500, 50_000_000] {
        let mut run = Run::default();
        run.command(acquire("l", 1, 1_000, 0, 1)).unwrap();
        run.wait(900).tick();
        run.lead(clock).tick();
        assert_eq!(held(&run), 1, "not ended early");
        run.wait(99).tick();
        assert_eq!(held(&run), 1);
        run.wait(1).tick();
        assert_eq!(held(&run), 0, "and not late");
    }
}

#[test]
fn the_next_deadline_is_the_first_of_all() {
    let mut run = Run::default();
    assert_eq!(run.state.next_deadline(), None);
    run.tick();
    assert_eq!(run.state.next_deadline(), None);
    run.command(acquire("l", 1, 1_000, 0, 1)).unwrap();
    let at = |millis| Some(LogTime::from_millis(millis));
    assert_eq!(run.state.next_deadline(), at(1_000));
    run.command(acquire("l", 2, 1_000, 300, 1)).unwrap();
    assert_eq!(run.state.next_deadline(), at(300));
    let mut short = set("n", "k", "v");
    if let super::super::NodeOp::SetKey { ttl, .. } = &mut short {
        *ttl = Some(Millis(200));
    }
    run.op(short).unwrap();
    assert_eq!(run.state.next_deadline(), at(200));
}

#[test]
fn what_the_time_brings_comes_before_what_the_command_does() {
    let mut run = Run::default();
    run.command(acquire("l", 1, 100, 0, 1)).unwrap();
    run.wait(100);
    // The lease is over by the time that this very request brings.
    let granted = run.command(acquire("l", 2, 100, 0, 1)).unwrap();
    assert!(matches!(granted, Outcome::Granted { token: 2, .. }));
    let what: Vec<_> = run.events.iter().collect();
    assert!(matches!(
        what[..],
        [
            Event::Lock {
                what: LockEvent::Ended { token: 1, .. },
                ..
            },
            Event::Lock {
                what: LockEvent::Granted { token: 2, .. },
                ..
            }
        ]
    ));
}

#[test]
fn a_snapshot_does_not_move_when_the_state_goes_on() {
    let mut run = Run::default();
    run.op(append("x", "1")).unwrap();
    let snapshot = run.state.clone();
    let bytes: Vec<_> = snapshot.pieces().collect();
    let by = 1;
    let name = "c".parse().unwrap();
    run.op(CounterOp::Add { name, by }).unwrap();
    run.op(append("x", "2")).unwrap();
    assert_eq!(snapshot.pieces().collect::<Vec<_>>(), bytes);
    assert_ne!(run.state.pieces().collect::<Vec<_>>(), bytes);
}
