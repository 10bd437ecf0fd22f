//! What a user notices of ordered logs.

use super::super::samples::{Run, append};
use super::super::{Command, Op, Txn};
use super::*;

fn configure(count: u64, age: Option<u64>) -> LogOp {
    let age = age.map(Millis);
    LogOp::Configure {
        name: "x".parse().unwrap(),
        retention: Retention { count, age },
    }
}

fn trim(before: u64) -> LogOp {
    let name = "x".parse().unwrap();
    LogOp::Trim { name, before }
}

fn indexes(page: &Page) -> Vec<u64> {
    page.items.iter().map(|(index, _)| *index).collect()
}

fn read(run: &Run, from: u64, limit: usize, bytes: usize) -> Result<Page, Refused> {
    run.state.logs().log("x").unwrap().read(from, limit, bytes)
}

#[test]
fn mary_had_a_little_lamb() {
    let mut run = Run::default();
    for (at, word) in (1..).zip(["mary", "had", "a", "little", "lamb"]) {
        let (index, position) = (at, at);
        let appended = run.op(append("x", &format!("\"{word}\"")));
        assert_eq!(appended, Ok(Outcome::Appended { index, position }));
    }
    let page = read(&run, 0, 10, 10_000).unwrap();
    let words: Vec<&str> = page
        .items
        .iter()
        .map(|(_, item)| item.json.as_str())
        .collect();
    assert_eq!(
        words,
        [
            r#""mary""#,
            r#""had""#,
            r#""a""#,
            r#""little""#,
            r#""lamb""#
        ]
    );
    assert_eq!((page.first, page.resume), (1, 6));
}

#[test]
fn each_log_counts_for_itself_and_positions_order_them_all() {
    let mut run = Run::default();
    let ops: Vec<Op> = ["x", "y", "x"].map(|name| append(name, "1").into()).into();
    let txn = Txn {
        then: ops,
        ..Txn::default()
    };
    run.op(append("y", "0")).unwrap();
    run.command(Command::Txn(txn)).unwrap();
    let of = |name| {
        let log = run.state.logs().log(name).unwrap();
        let items = log.items().map(|(index, item)| (*index, item.position));
        items.collect::<Vec<_>>()
    };
    assert_eq!(of("x"), [(1, 2), (2, 2)]);
    assert_eq!(of("y"), [(1, 1), (2, 2)]);
}

#[test]
fn a_page_is_bounded_by_number_and_bytes_and_says_where_to_go_on() {
    let mut run = Run::default();
    for _ in 0..5 {
        run.op(append("x", "1")).unwrap();
    }
    let page = read(&run, 2, 2, 10_000).unwrap();
    assert_eq!((indexes(&page), page.resume), (vec![2, 3], 4));
    let two = 2 * (ITEM_BYTES + 1);
    let page = read(&run, 1, 10, two).unwrap();
    assert_eq!((indexes(&page), page.resume), (vec![1, 2], 3));
    let page = read(&run, 1, 10, two - 1).unwrap();
    assert_eq!(indexes(&page), [1]);
    let page = read(&run, 4, 10, 0).unwrap();
    assert_eq!(indexes(&page), [4], "one in any case");
    let page = read(&run, 6, 10, 10_000).unwrap();
    assert_eq!((indexes(&page), page.resume), (vec![], 6));
    let page = read(&run, 9, 10, 10_000).unwrap();
    assert_eq!((indexes(&page), page.resume), (vec![], 9));
}

#[test]
fn a_log_keeps_the_newest_and_a_late_reader_is_told() {
    let mut run = Run::default();
    run.op(configure(3, None)).unwrap();
    for _ in 0..5 {
        run.op(append("x", "1")).unwrap();
    }
    let (name, first) = ("x".parse().unwrap(), 3);
    assert_eq!(run.events[1], Event::Trimmed { name, first });
    assert_eq!(read(&run, 2, 10, 10_000), Err(Refused::Trimmed { first }));
    assert_eq!(indexes(&read(&run, 0, 10, 10_000).unwrap()), [3, 4, 5]);
    assert_eq!(indexes(&read(&run, 3, 10, 10_000).unwrap()), [3, 4, 5]);
    assert_eq!(run.op(configure(1, None)), Ok(Outcome::Kept { first: 5 }));
    assert_eq!(run.state.logs().bytes(), ITEM_BYTES + 1);
}

#[test]
fn indexes_go_on_after_everything_was_let_go() {
    let mut run = Run::default();
    assert_eq!(run.op(trim(1)), Err(Refused::LogNotFound));
    run.op(append("x", "1")).unwrap();
    run.op(append("x", "2")).unwrap();
    assert_eq!(run.op(trim(2)), Ok(Outcome::Kept { first: 2 }));
    assert_eq!(run.op(trim(1)), Ok(Outcome::Kept { first: 2 }));
    assert_eq!(run.op(trim(99)), Ok(Outcome::Kept { first: 3 }));
    assert_eq!(run.state.logs().bytes(), 0);
    let appended = run.op(append("x", "3")).unwrap();
    assert!(matches!(appended, Outcome::Appended { index: 3, .. }));
}

#[test]
fn what_is_too_old_goes_within_a_step() {
    let mut run = Run::default();
    run.op(configure(100, Some(90_000))).unwrap();
    run.op(append("x", "1")).unwrap();
    run.wait(60_000).op(append("x", "2")).unwrap();
    assert_eq!(
        run.state.next_deadline(),
        Some(LogTime::from_millis(120_000))
    );
    run.wait(59_999).tick();
    assert_eq!(run.state.logs().log("x").unwrap().first(), 1);
    run.wait(1).tick();
    assert_eq!(run.state.logs().log("x").unwrap().first(), 2);
    assert_eq!(run.events.len(), 1);
    run.wait(60_000).tick();
    assert_eq!(run.state.logs().log("x").unwrap().first(), 3);
    assert_eq!(run.state.next_deadline(), None);
}

#[test]
fn a_shorter_age_holds_at_once() {
    let mut run = Run::default();
    run.op(append("x", "1")).unwrap();
    run.wait(60_000).op(append("x", "2")).unwrap();
    let kept = run.op(configure(100, Some(60_000)));
    assert_eq!(kept, Ok(Outcome::Kept { first: 2 }));
    assert_eq!(
        run.state.next_deadline(),
        Some(LogTime::from_millis(120_000))
    );
}

#[test]
fn a_log_has_its_limits() {
    let mut run = Run::default();
    for (count, code) in [(0, "below-least"), (RETENTION_LIMIT + 1, "over-limit")] {
        assert_eq!(run.op(configure(count, None)).unwrap_err().code(), code);
    }
    for (age, code) in [(0, "below-least"), (AGE_LIMIT.0 + 1, "over-limit")] {
        assert_eq!(run.op(configure(1, Some(age))).unwrap_err().code(), code);
    }
    for number in 0..LOGS_LIMIT {
        run.op(append(&format!("x{number}"), "1")).unwrap();
    }
    let (what, limit) = (Measure::Logs, LOGS_LIMIT as u64);
    let full = Err(Refused::Full { what, limit });
    assert_eq!(run.op(append("more", "1")), full);
    assert!(run.op(append("x7", "1")).is_ok());
}

#[test]
fn a_log_never_keeps_more_bytes_than_its_limit() {
    let mut run = Run::default();
    let json = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    let fit = (LOG_BYTES_LIMIT / ((1 << 20) + ITEM_BYTES)) as u64;
    for _ in 0..=fit {
        run.op(append("x", &json)).unwrap();
    }
    let log = run.state.logs().log("x").unwrap();
    assert_eq!((log.first(), log.next()), (2, fit + 2));
    assert!(run.state.logs().bytes() <= LOG_BYTES_LIMIT);
}
