//! The laws of the state, for arbitrary histories.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::samples::{applied, bytes, entry, fenced, history, place, set};
use super::super::{LockEvent, Millis, Restore};
use crate::model::WallTime;

use super::*;

fn tick() -> Entry {
    entry(Command::Tick)
}

fn restored(state: &State) -> State {
    let mut restore = Restore::default();
    for piece in state.pieces() {
        restore.take(&piece).unwrap();
    }
    restore.finish().unwrap()
}

proptest! {
    #[test]
    fn the_same_log_gives_the_same_state_bytes_answers_and_events(
        history in history(), cut in 0usize..60
    ) {
        let mut one = State::default();
        let said = applied(&mut one, &history);
        // The other reads its entries from bytes, and goes on from a snapshot after some of them.
        let read: Vec<_> = history
            .iter()
            .map(|(at, entry)| (*at, Entry::decode(&entry.encode()).unwrap()))
            .collect();
        let (before, after) = read.split_at(cut.min(read.len()));
        let mut other = State::default();
        let mut heard = applied(&mut other, before);
        let mut other = restored(&other);
        heard.extend(applied(&mut other, after));
        prop_assert_eq!(&said, &heard);
        prop_assert_eq!(bytes(&one), bytes(&other));
        // Sums and deadlines, which are not in the bytes, are the same as well.
        prop_assert_eq!(one, other);
    }

    #[test]
    fn what_is_refused_or_repeated_changes_nothing_but_what_the_time_changes(history in history()) {
        let mut state = State::default();
        for (at, entry) in &history {
            let mut idle = state.clone();
            let tick = Entry { time: entry.time, ..tick() };
            let ticked = idle.apply(*at, &tick).unwrap();
            let done = state.apply(*at, entry).unwrap();
            if done.answer.is_err() || done.is_repeated {
                prop_assert_eq!(&done.events, &ticked.events);
                // What was refused is remembered under its key; nothing else is different.
                let mut compared = state.clone();
                if !done.is_repeated {
                    compared.requests = idle.requests.clone();
                }
                prop_assert_eq!(compared, idle);
            }
        }
    }

    #[test]
    fn a_retry_at_once_has_the_same_answer_and_does_nothing(history in history()) {
        let mut state = State::default();
        let mut index = 0;
        for (at, entry) in &history {
            index += 1;
            let first = state.apply(Place { index, ..*at }, entry).unwrap();
            if entry.request.is_none() {
                continue;
            }
            index += 1;
            let mut before = state.clone();
            let at = Place { index, ..*at };
            let again = state.apply(at, entry).unwrap();
            prop_assert!(again.is_repeated);
            prop_assert_eq!(&again.answer, &first.answer);
            let is_news = |event: &Event| match event {
                Event::Lock { what, .. } => !matches!(what, LockEvent::Asked { .. }),
                _ => true,
            };
            prop_assert!(!again.events.iter().any(is_news), "{:?}", again.events);
            before.clock = state.clock.clone();
            prop_assert_eq!(&before, &state);
        }
    }

    #[test]
    fn indexes_of_a_log_are_consecutive_and_positions_grow(history in history()) {
        let mut state = State::default();
        let mut next: BTreeMap<String, u64> = BTreeMap::new();
        let mut last = 0;
        for (at, entry) in &history {
            for event in state.apply(*at, entry).unwrap().events {
                let Event::Appended { name, index, item } = event else {
                    continue;
                };
                let expected = next.entry(name.to_string()).or_insert(1);
                prop_assert_eq!(index, *expected);
                *expected += 1;
                prop_assert_eq!(item.position, at.index);
                prop_assert!(item.position >= last);
                last = item.position;
            }
        }
        for (name, log) in state.logs().iter() {
            let kept: Vec<u64> = log.items().map(|(index, _)| *index).collect();
            let expected: Vec<u64> = (log.first()..log.next()).collect();
            prop_assert_eq!(kept, expected);
            prop_assert_eq!(log.next(), next.get(name.as_str()).copied().unwrap_or(1));
        }
    }

    #[test]
    fn a_write_under_a_token_is_refused_once_a_newer_one_was_granted(history in history()) {
        let mut state = State::default();
        // Every token that was granted, by lock, in order. A deleted lock takes its tokens along.
        let mut granted: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut newest = 0;
        for (at, entry) in &history {
            for event in state.apply(*at, entry).unwrap().events {
                let Event::Lock { name, what } = event else {
                    continue;
                };
                if let LockEvent::Granted { token, .. } = what {
                    prop_assert!(token > newest, "tokens only grow");
                    newest = token;
                    granted.entry(name.to_string()).or_default().push(token);
                }
            }
            for (name, tokens) in &granted {
                let lock = state.locks().lock(name);
                for token in tokens {
                    let is_newest = tokens.last() == Some(token);
                    let may = lock.is_some_and(|lock| is_newest || lock.is_held_with(*token));
                    let write = fenced(name, *token, Command::Op(set("f", "k", "v").into()));
                    let write = Entry { time: entry.time, ..write };
                    let next = Place { index: at.index + 1, ..*at };
                    let tried = state.clone().apply(next, &write).unwrap().answer;
                    prop_assert_eq!(tried.is_ok(), may, "{} {}: {:?}", name, token, tried);
                }
            }
        }
    }

    #[test]
    fn nothing_is_over_before_the_deadline_and_all_of_it_is_at_it(history in history()) {
        let mut state = State::default();
        applied(&mut state, &history);
        let Some(deadline) = state.next_deadline() else {
            return Ok(());
        };
        let now = state.clock().now();
        prop_assert!(deadline > now);
        let ticked = |by: Millis| {
            let (at, _) = history.last().unwrap();
            let mut state = state.clone();
            let time = WallTime::from_millis(state.clock().wall(now).millis() + by.0);
            let tick = Entry { time, ..tick() };
            let at = Place { index: at.index + 1, ..*at };
            let done = state.apply(at, &tick).unwrap();
            (done.events, state)
        };
        let left = deadline.since(now).0;
        let (early, _) = ticked(Millis(left - 1));
        prop_assert_eq!(early, vec![]);
        let (due, after) = ticked(Millis(left));
        prop_assert!(after.next_deadline().is_none_or(|next| next > deadline));
        prop_assert!(!due.is_empty());
    }
}

#[test]
fn an_entry_that_is_not_next_is_refused() {
    let mut state = State::default();
    let tick = tick();
    state.apply(place(5, 1), &tick).unwrap();
    let before = state.clone();
    let wrong = |index| OutOfOrder { index, last: 5 };
    assert_eq!(state.apply(place(5, 1), &tick).unwrap_err(), wrong(5));
    assert_eq!(state.pass(place(4, 2)).unwrap_err(), wrong(4));
    assert_eq!(state, before);
    state.apply(place(6, 1), &tick).unwrap();
}
