//! What is news and what is told; and whole networks of nodes that fall silent.

use super::*;

const START: Mono = Mono(Duration::from_secs(100));

fn key() -> KeyName {
    "k".parse().unwrap()
}

fn print(value: &str) -> Print {
    Print::of(value.as_bytes())
}

fn live(value: &str) -> Held {
    Held::Live {
        print: print(value),
        expires: None,
    }
}

fn at(seconds: f64) -> Mono {
    START.plus(Duration::from_secs_f64(seconds))
}

fn says(link: &mut Link, seconds: f64, value: &str, held: Held) -> Verdict {
    let said = Said {
        print: print(value),
        expires: None,
        wall: WallTime::default(),
    };
    link.said(at(seconds), &key(), said, held)
}

fn tells(link: &mut Link, seconds: f64, value: &str) -> bool {
    link.tells(at(seconds), &key(), print(value))
}

fn link() -> Link {
    let mut link = Link::default();
    link.begin(START);
    link
}

#[test]
fn a_key_that_never_was_is_news_and_not_told_back() {
    let mut link = link();
    assert_eq!(says(&mut link, 0.0, "a", Held::Never), Verdict::Write);
    assert!(!tells(&mut link, 0.1, "a"));
    assert_eq!(says(&mut link, 0.2, "a", live("a")), Verdict::Nothing);
    assert_eq!(says(&mut link, 0.3, "b", live("a")), Verdict::Write);
    assert!(!tells(&mut link, 0.4, "b"));
    assert!(tells(&mut link, 0.5, "c"));
    assert!(!tells(&mut link, 0.6, "c"), "once");
}

#[test]
fn an_echo_is_no_news_and_is_answered_if_the_store_has_moved_on() {
    let mut link = link();
    assert!(tells(&mut link, 0.0, "a"));
    assert_eq!(says(&mut link, 0.1, "a", live("a")), Verdict::Nothing);
    assert!(tells(&mut link, 0.2, "b"));
    assert!(tells(&mut link, 0.3, "c"));
    // Both on their way: the echo of the first says nothing yet.
    assert_eq!(says(&mut link, 0.4, "b", live("c")), Verdict::Nothing);
    assert_eq!(says(&mut link, 0.5, "c", live("c")), Verdict::Nothing);
    assert!(tells(&mut link, 0.6, "d"));
    assert_eq!(says(&mut link, 0.7, "d", live("e")), Verdict::Answer);
    assert!(tells(&mut link, 0.8, "e"));
}

#[test]
fn a_value_set_back_by_the_other_end_is_news() {
    let mut link = link();
    assert_eq!(says(&mut link, 0.0, "on", Held::Never), Verdict::Write);
    assert_eq!(says(&mut link, 0.1, "off", live("on")), Verdict::Write);
    assert_eq!(says(&mut link, 0.2, "on", live("off")), Verdict::Write);
    // Also if it was told by us in between, and echoed.
    assert!(tells(&mut link, 0.3, "off"));
    assert_eq!(says(&mut link, 0.4, "off", live("off")), Verdict::Nothing);
    assert_eq!(says(&mut link, 0.5, "on", live("off")), Verdict::Write);
}

#[test]
fn one_that_never_echoes_may_soon_say_what_it_was_told() {
    let mut link = link();
    assert!(tells(&mut link, 0.0, "a"));
    assert!(tells(&mut link, 0.1, "b"));
    assert_eq!(says(&mut link, 1.5, "a", live("b")), Verdict::Write);
}

#[test]
fn one_that_echoes_has_longer_for_it() {
    let mut link = link();
    assert!(tells(&mut link, 0.0, "a"));
    assert_eq!(says(&mut link, 0.1, "a", live("a")), Verdict::Nothing);
    assert!(tells(&mut link, 0.2, "b"));
    assert_eq!(says(&mut link, 20.0, "b", live("c")), Verdict::Answer);
}

#[test]
fn what_is_said_again_is_no_news_whatever_the_store_has_now() {
    let mut link = link();
    assert_eq!(says(&mut link, 0.0, "a", Held::Never), Verdict::Write);
    for held in [Held::Deleted, live("b"), Held::Expired(print("a"))] {
        assert_eq!(
            says(&mut link, 5.0, "a", held),
            Verdict::Nothing,
            "{held:?}"
        );
    }
    // A change is news, also of what was deleted.
    assert_eq!(says(&mut link, 6.0, "b", Held::Deleted), Verdict::Write);
}

#[test]
fn what_is_remembered_is_looked_up_before_it_is_news() {
    let mut first = link();
    assert_eq!(says(&mut first, 0.1, "a", live("b")), Verdict::Recall);
    assert_eq!(Link::was_former(live("b")), Verdict::Answer);
    assert_eq!(Link::was_former(Held::Deleted), Verdict::Nothing);
    // Each word prolongs the time for it.
    let other: KeyName = "other".parse().unwrap();
    let said = Said {
        print: print("x"),
        expires: None,
        wall: WallTime::default(),
    };
    assert_eq!(
        first.said(at(0.55), &other, said, live("y")),
        Verdict::Recall
    );
    let mut before_hello = Link::default();
    assert_eq!(
        says(&mut before_hello, 9.0, "a", live("b")),
        Verdict::Recall
    );
    let mut later = link();
    assert_eq!(says(&mut later, 0.6, "a", live("b")), Verdict::Write);
    // What was deleted is looked up however late it is said for the first time.
    let mut deleted = link();
    assert_eq!(says(&mut deleted, 9.0, "a", Held::Deleted), Verdict::Recall);
}

#[test]
fn after_a_new_beginning_everything_is_told_again() {
    let mut link = link();
    assert!(tells(&mut link, 0.0, "a"));
    link.begin(at(1.0));
    assert!(tells(&mut link, 1.1, "a"));
}

#[test]
fn an_expiry_is_renewed_but_not_given_to_what_has_none() {
    let said = |ttl: Option<u64>| Said {
        print: print("a"),
        expires: ttl.map(|ttl| WallTime::from_millis(10_000 + ttl)),
        wall: WallTime::from_millis(10_000),
    };
    let held = |left: Option<u64>| Held::Live {
        print: print("a"),
        expires: left.map(|left| WallTime::from_millis(10_000 + left)),
    };
    let cases = [
        (Some(5000), Some(1000), Verdict::Write),
        (Some(5000), Some(4600), Verdict::Nothing),
        (Some(1000), Some(5000), Verdict::Nothing),
        (None, Some(1000), Verdict::Nothing),
        (Some(1000), None, Verdict::Nothing),
    ];
    for (ttl, left, verdict) in cases {
        let mut link = link();
        let found = link.said(at(0.0), &key(), said(ttl), held(left));
        assert_eq!(found, verdict, "{ttl:?} {left:?}");
    }
    // Past its end it begins again, also if it was said before.
    let mut link = link();
    let expired = Held::Expired(print("a"));
    for _ in 0..2 {
        let found = link.said(at(0.0), &key(), said(Some(9)), expired);
        assert_eq!(found, Verdict::Write);
    }
    assert_eq!(
        link.said(at(0.1), &key(), said(None), expired),
        Verdict::Nothing
    );
}

#[test]
fn a_key_that_goes_back_and_forth_is_damped_and_new_values_are_not() {
    let mut link = link();
    says(&mut link, 0.0, "0", Held::Never);
    let (mut held, mut written) = ("0", 0);
    for round in 0_u32..60_000 {
        let value = ["a", "b"][round as usize % 2];
        let seconds = f64::from(round) / 1000.0;
        while link.calm(at(seconds)).is_some() {
            written += 1;
            held = value;
        }
        match says(&mut link, seconds, value, live(held)) {
            Verdict::Write => (held, written) = (value, written + 1),
            Verdict::Damp | Verdict::Nothing => {}
            other => panic!("{other:?}"),
        }
    }
    assert!((50..90).contains(&written), "{written} writes in a minute");
    let mut steady = self::link();
    for round in 0..1000 {
        let value = format!("{round}");
        let found = says(
            &mut steady,
            1.0 + f64::from(round) / 1000.0,
            &value,
            live("x"),
        );
        assert_eq!(found, Verdict::Write, "{round}");
    }
}

#[test]
fn nothing_is_kept_of_a_key_that_the_store_refused() {
    let mut link = link();
    assert_eq!(says(&mut link, 0.0, "a", Held::Never), Verdict::Write);
    assert_eq!(link.known(), 1);
    link.forget(&key());
    assert_eq!(link.known(), 0);
    assert_eq!(says(&mut link, 0.1, "a", Held::Never), Verdict::Write);
}

mod network;
