//! What a user notices of locks.

use super::super::samples::{
    Run, acquire, delete_lock, entry, fenced, keyed, nonce, release, renew, renew_for, set,
    with_nonce,
};
use super::super::{Command, Op};
use super::*;

fn token(answer: Answer) -> u64 {
    match answer {
        Ok(Outcome::Granted { token, .. }) => token,
        other => panic!("not granted: {other:?}"),
    }
}

fn code(answer: Answer) -> &'static str {
    answer.unwrap_err().code()
}

fn write() -> Command {
    Command::Op(Op::Node(set("n", "k", "v")))
}

/// Who was granted a lock by the last entry.
fn granted(run: &Run) -> Vec<Nonce> {
    let granted = run.events.iter().filter_map(|event| match event {
        Event::Lock {
            what: LockEvent::Granted { nonce, .. },
            ..
        } => Some(*nonce),
        _ => None,
    });
    granted.collect()
}

#[test]
fn a_lock_goes_from_one_to_the_next() {
    let mut run = Run::default();
    let first = token(run.command(acquire("l", 1, 1_000, 0, 1)));
    assert_eq!(first, run.index());
    assert_eq!(code(run.command(acquire("l", 2, 1_000, 0, 1))), "lock-held");
    let waiting = run.command(acquire("l", 2, 1_000, 500, 1)).unwrap();
    let until = LogTime::from_millis(500);
    let expected = Outcome::Waiting {
        nonce: nonce(2),
        ahead: 0,
        until,
    };
    assert_eq!(waiting, expected);
    assert_eq!(run.command(release("l", 1)), Ok(Outcome::Released));
    assert_eq!(granted(&run), [nonce(2)]);
    let lock = run.state.locks().lock("l").unwrap();
    let (second, holder) = lock.holders().next().unwrap();
    assert!(*second > first);
    assert_eq!(holder.value.as_deref(), Some("v2"));
}

#[test]
fn a_wrong_nonce_fails_at_once_and_changes_nothing() {
    let mut run = Run::default();
    assert_eq!(code(run.command(release("l", 1))), "lock-not-found");
    run.command(acquire("l", 1, 1_000, 0, 1)).unwrap();
    run.command(acquire("l", 3, 1_000, 500, 1)).unwrap();
    let before = run.state.locks().clone();
    assert_eq!(code(run.command(release("l", 2))), "wrong-nonce");
    assert_eq!(code(run.command(renew("l", 2))), "wrong-nonce");
    assert_eq!(code(run.command(renew("l", 3))), "wrong-nonce", "it waits");
    assert_eq!(*run.state.locks(), before);
}

#[test]
fn an_expired_lock_is_free_at_once_and_its_holder_is_told() {
    let mut run = Run::default();
    run.command(acquire("l", 1, 100, 0, 1)).unwrap();
    run.command(acquire("l", 2, 100, 1_000, 1)).unwrap();
    run.wait(99).tick();
    assert_eq!(granted(&run), []);
    run.wait(1).tick();
    assert_eq!(granted(&run), [nonce(2)]);
    let (nonce, token, why) = (nonce(1), 1, End::TimeOut);
    let what = LockEvent::Ended { nonce, token, why };
    assert_eq!(run.events[0], event(&"l".parse().unwrap(), what));
    assert_eq!(code(run.command(renew("l", 1))), "wrong-nonce");
    // The next lease is a whole one, from when it was granted.
    run.wait(99).tick();
    assert!(run.command(renew("l", 2)).is_ok());
}

#[test]
fn a_renewed_lease_lasts_its_whole_length_and_can_publish_another_value() {
    let mut run = Run::default();
    run.command(acquire("l", 1, 100, 0, 1)).unwrap();
    let proclaim = Command::Lock(LockCommand::Renew {
        name: "l".parse().unwrap(),
        nonce: nonce(1),
        ttl: None,
        value: Some("elsewhere".into()),
    });
    let renewed = run.wait(60).command(proclaim).unwrap();
    let expires = LogTime::from_millis(160);
    assert!(matches!(renewed, Outcome::Granted { token: 1, expires: at, .. } if at == expires));
    assert_eq!(run.events.len(), 1);
    run.wait(99).tick();
    let lock = run.state.locks().lock("l").unwrap();
    let (_, holder) = lock.holders().next().unwrap();
    assert_eq!(holder.value.as_deref(), Some("elsewhere"));
    assert_eq!(holder.since, LogTime::MIN);
    run.wait(1).tick();
    assert_eq!(run.state.locks().lock("l").unwrap().holders().len(), 0);
}

#[test]
fn a_lease_can_be_renewed_with_another_length_but_never_shortened() {
    let mut run = Run::default();
    run.command(acquire("l", 1, 100, 0, 1)).unwrap();
    let mut expires = |ttl: Option<u64>| {
        let renewed = run.wait(10).command(renew_for("l", 1, ttl));
        match renewed {
            Ok(Outcome::Granted { expires, .. }) => expires.millis(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(expires(Some(500)), 510);
    assert_eq!(expires(None), 520, "the new length stays");
    assert_eq!(expires(Some(5)), 520);
    let over = LOCK_TTL_LIMIT.0 + 1;
    assert_eq!(
        code(run.command(renew_for("l", 1, Some(over)))),
        "over-limit"
    );
    assert_eq!(code(run.command(renew_for("l", 1, Some(0)))), "below-least");
}

#[test]
fn who_waited_too_long_leaves_and_is_not_granted_what_becomes_free_with_it() {
    let mut run = Run::default();
    run.command(acquire("l", 1, 100, 0, 1)).unwrap();
    run.command(acquire("l", 2, 100, 100, 1)).unwrap();
    run.command(acquire("l", 3, 100, 101, 1)).unwrap();
    run.wait(100).tick();
    assert_eq!(granted(&run), [nonce(3)]);
    let (nonce, why) = (nonce(2), End::TimeOut);
    let left = LockEvent::Left { nonce, why };
    assert_eq!(run.events[0], event(&"l".parse().unwrap(), left));
}

#[test]
fn a_waiter_can_leave_the_line() {
    let mut run = Run::default();
    run.command(acquire("l", 1, 100, 0, 1)).unwrap();
    run.command(acquire("l", 2, 100, 100, 1)).unwrap();
    run.command(acquire("l", 3, 100, 100, 1)).unwrap();
    run.command(release("l", 2)).unwrap();
    run.command(release("l", 1)).unwrap();
    assert_eq!(granted(&run), [nonce(3)]);
}

#[test]
fn the_same_nonce_again_is_the_same_request() {
    let mut run = Run::default();
    let first = token(run.command(acquire("l", 1, 100, 0, 1)));
    assert_eq!(token(run.command(acquire("l", 1, 100, 0, 1))), first);
    run.command(acquire("l", 2, 100, 100, 1)).unwrap();
    let again = run.command(acquire("l", 2, 100, 100, 1)).unwrap();
    assert!(matches!(again, Outcome::Waiting { ahead: 0, .. }));
    assert_eq!(run.state.locks().lock("l").unwrap().waiters().len(), 1);
}

#[test]
fn a_semaphore_has_as_many_holders_as_its_limit_and_all_may_write() {
    let mut run = Run::default();
    let one = token(run.command(acquire("l", 1, 100, 0, 2)));
    let two = token(run.command(acquire("l", 2, 100, 0, 2)));
    assert_eq!(code(run.command(acquire("l", 3, 100, 0, 2))), "lock-held");
    let other = run.command(acquire("l", 3, 100, 9, 1)).unwrap_err();
    assert_eq!(other, Refused::LimitDiffers { limit: 2 });
    assert!(
        run.entry(fenced("l", one, write())).is_ok(),
        "held together"
    );
    assert!(run.entry(fenced("l", two, write())).is_ok());
    run.command(release("l", 1)).unwrap();
    let stale = run.entry(fenced("l", one, write()));
    let newest = Some(two);
    assert_eq!(stale, Err(Refused::StaleFence { token: one, newest }));
    run.command(release("l", 2)).unwrap();
    assert!(
        run.command(acquire("l", 4, 100, 0, 5)).is_ok(),
        "another limit when it is idle"
    );
}

#[test]
fn one_entry_that_frees_many_places_grants_as_many_different_tokens() {
    let mut run = Run::default();
    for number in 0..3 {
        run.command(acquire("l", number, 100, 0, 3)).unwrap();
    }
    for number in 3..6 {
        run.command(acquire("l", number, 100, 500, 3)).unwrap();
    }
    run.wait(100).tick();
    assert_eq!(granted(&run), [nonce(3), nonce(4), nonce(5)]);
    let lock = run.state.locks().lock("l").unwrap();
    let tokens: Vec<u64> = lock.holders().map(|(token, _)| *token).collect();
    assert_eq!(tokens, [7, 8, 9]);
    // The next entry is 8: its token is above all of them nevertheless.
    assert_eq!(token(run.command(acquire("m", 1, 100, 0, 1))), 10);
}

#[test]
fn a_holder_that_slept_cannot_write_once_the_next_one_has_the_lock() {
    let mut run = Run::default();
    let old = token(run.command(acquire("l", 1, 100, 0, 1)));
    run.wait(100).tick();
    assert!(
        run.entry(fenced("l", old, write())).is_ok(),
        "nobody got it since"
    );
    let new = token(run.command(acquire("l", 2, 100, 0, 1)));
    let stale = run.entry(fenced("l", old, write())).unwrap_err();
    assert_eq!(stale.code(), "stale-fence");
    assert!(run.entry(fenced("l", new, write())).is_ok());
    let (token, newest) = (new + 1, new);
    let unknown = run.entry(fenced("l", token, write()));
    assert_eq!(unknown, Err(Refused::UnknownFence { token, newest }));
}

#[test]
fn a_deleted_lock_lets_nobody_write_and_grants_greater_tokens_later() {
    let mut run = Run::default();
    let old = token(run.command(acquire("l", 1, 100, 0, 1)));
    run.command(acquire("l", 2, 100, 100, 1)).unwrap();
    assert_eq!(run.command(delete_lock("l")), Ok(Outcome::Deleted));
    assert_eq!(run.events.len(), 2, "holder and waiter are told");
    assert_eq!(granted(&run), []);
    assert_eq!(run.state.next_deadline(), None);
    assert_eq!(code(run.entry(fenced("l", old, write()))), "stale-fence");
    let new = token(run.command(acquire("l", 3, 100, 0, 1)));
    assert!(new > old);
    assert_eq!(code(run.entry(fenced("l", old, write()))), "stale-fence");
}

#[test]
fn an_idle_lock_is_forgotten_after_a_day_and_its_tokens_with_it() {
    let mut run = Run::default();
    let old = token(run.command(acquire("l", 1, 100, 0, 1)));
    run.command(release("l", 1)).unwrap();
    run.wait(LOCK_IDLE.0 - 1);
    assert!(run.entry(fenced("l", old, write())).is_ok());
    run.wait(1);
    let newest = None;
    let stale = Refused::StaleFence { token: old, newest };
    assert_eq!(run.entry(fenced("l", old, write())), Err(stale));
    assert_eq!(run.state.locks().iter().count(), 0);
    assert!(token(run.command(acquire("l", 1, 100, 0, 1))) > old);
}

#[test]
fn a_retry_of_a_waiting_request_learns_that_it_was_granted() {
    let mut run = Run::default();
    run.command(acquire("l", 1, 100, 0, 1)).unwrap();
    let ask = |number| {
        let acquire = acquire("l", 2, 100, 1_000, 1);
        keyed("again", with_nonce(acquire, number))
    };
    run.entry(ask(2)).unwrap();
    let again = run.entry(ask(3)).unwrap();
    assert!(matches!(again, Outcome::Waiting { nonce: of, .. } if of == nonce(2)));
    run.command(release("l", 1)).unwrap();
    let third = run.entry(ask(4)).unwrap();
    assert!(matches!(third, Outcome::Granted { nonce: of, token: 4, .. } if of == nonce(2)));
    assert_eq!(run.state.locks().lock("l").unwrap().holders().len(), 1);
}

#[test]
fn a_retry_of_a_request_that_waited_in_vain_learns_that() {
    let mut run = Run::default();
    run.command(acquire("l", 1, 1_000, 0, 1)).unwrap();
    run.entry(keyed("a", acquire("l", 2, 100, 50, 1))).unwrap();
    run.wait(50).tick();
    let again = run.entry(keyed("a", acquire("l", 2, 100, 50, 1)));
    assert_eq!(again, Err(Refused::WaitOver));
    run.entry(keyed("b", acquire("l", 3, 100, 50, 1))).unwrap();
    run.command(delete_lock("l")).unwrap();
    let again = run.entry(keyed("b", acquire("l", 3, 100, 50, 1)));
    assert_eq!(again, Err(Refused::LockDeleted));
}

#[test]
fn what_is_over_a_limit_is_refused_with_its_name() {
    let mut run = Run::default();
    let long = "x".repeat(LOCK_VALUE_LIMIT + 1);
    let mut value = acquire("l", 1, 1, 0, 1);
    if let Command::Lock(LockCommand::Acquire(acquire)) = &mut value {
        acquire.value = Some(long.into());
    }
    for (command, expected) in [
        (acquire("l", 1, 0, 0, 1), "below-least"),
        (acquire("l", 1, LOCK_TTL_LIMIT.0 + 1, 0, 1), "over-limit"),
        (acquire("l", 1, 1, MAX_WAIT_LIMIT.0 + 1, 1), "over-limit"),
        (acquire("l", 1, 1, 0, 0), "below-least"),
        (acquire("l", 1, 1, 0, HOLDERS_LIMIT + 1), "over-limit"),
        (value, "over-limit"),
    ] {
        assert_eq!(entry(command.clone()).check().unwrap_err().code(), expected);
        assert_eq!(code(run.command(command)), expected);
    }
    assert_eq!(run.state.locks().iter().count(), 0);
}

fn numbered(name: &str, number: u64, max_wait: u64) -> Command {
    let mut command = acquire(name, 0, 1_000_000, max_wait, 1);
    if let Command::Lock(LockCommand::Acquire(acquire)) = &mut command {
        acquire.nonce = Nonce::from_bytes((u128::from(number) << 64).to_be_bytes());
        acquire.value = None;
    }
    command
}

#[test]
fn a_line_has_a_limit_and_moves_one_at_a_time() {
    let mut run = Run::default();
    run.command(numbered("l", 0, 0)).unwrap();
    for number in 1..=WAITERS_LIMIT as u64 {
        run.command(numbered("l", number, 1_000)).unwrap();
    }
    let full = run.command(numbered("l", 1 << 40, 1_000)).unwrap_err();
    let (what, limit) = (Measure::Waiters, WAITERS_LIMIT as u64);
    assert_eq!(full, Refused::Full { what, limit });
    let release = Command::Lock(LockCommand::Release {
        name: "l".parse().unwrap(),
        nonce: Nonce::default(),
    });
    run.command(release).unwrap();
    assert_eq!(run.events.len(), 2, "one ends, one is woken");
}

#[test]
fn when_there_are_too_many_locks_the_longest_idle_one_goes() {
    let mut run = Run::default();
    for number in 0..LOCKS_LIMIT as u64 {
        run.command(numbered(&format!("l{number}"), number, 0))
            .unwrap();
    }
    let more = || numbered("more", 1, 0);
    assert_eq!(code(run.command(more())), "strong-side-full");
    for number in [7u64, 3] {
        let nonce = Nonce::from_bytes((u128::from(number) << 64).to_be_bytes());
        let name = format!("l{number}").parse().unwrap();
        let release = LockCommand::Release { name, nonce };
        run.wait(1).command(Command::Lock(release)).unwrap();
    }
    assert!(run.command(more()).is_ok());
    assert!(run.state.locks().lock("l7").is_none());
    assert!(run.state.locks().lock("l3").is_some());
}

#[test]
fn a_nonce_reads_back_what_it_shows_and_keeps_itself_to_itself() {
    let secret = nonce(0xab);
    assert_eq!(Nonce::from_hex(&secret.to_hex()), Some(secret));
    for bad in ["", "xy", &"a".repeat(31), &format!("+{}", "a".repeat(31))] {
        assert_eq!(Nonce::from_hex(bad), None, "{bad}");
    }
    assert!(!format!("{secret:?}").contains("abab"));
}
