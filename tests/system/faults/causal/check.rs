//! The checker: does a recorded run keep what sessions promise? Pure.
//!
//! An operation that sends a token comes after the operation whose answer brought it, and after all
//! that that one came after: this is the causal order, whoever carried the token. The stamps in the
//! answers are the total order of a key's versions. The promises are then:
//!
//! - **read your writes, monotonic reads**: a read shows, of its key, no version older than one
//!   that was written or read before it in the causal order;
//! - **monotonic writes, writes follow reads**: a write's stamp is above every stamp that was
//!   written or read before it in the causal order;
//! - **no value out of thin air**: what is read was written, under the stamp that it is read with.
//!
//! A write without an answer may or may not have been applied: it promises nothing, and may be
//! read.

use std::collections::BTreeMap;

use gaggle::model::Stamp;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A write of a value that no other operation writes.
    Put(String),
    Delete,
    Get,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A write was acknowledged under this stamp; a deletion does not tell its own.
    Written(Option<Stamp>),
    /// A read showed this version, or none.
    Read(Option<(Stamp, String)>),
    /// It was refused, and nothing was done or shown.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// One operation of one client.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// Who asked, and whom, by their numbers.
    pub(super) client: usize,
    pub(super) member: usize,
    pub(super) key: String,
    pub(super) act: Act,
    pub(super) outcome: Outcome,
    /// Microseconds since the run began.
    pub(super) begin: u64,
    pub(super) end: u64,
    /// The token that was sent, and the one that came back.
    pub(super) sent: Option<String>,
    pub(super) got: Option<String>,
}

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Promise {
    ReadYourWrites,
    MonotonicReads,
    MonotonicWrites,
    WritesFollowReads,
    NoThinAir,
    OneValuePerStamp,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) promise: Promise,
    /// The operation that breaks it, and the one that it comes after.
    pub(super) operation: usize,
    pub(super) after: usize,
}

/// The newest that is known of a key, from the operation of that number.
#[derive(Clone, Copy)]
struct Known {
    stamp: Stamp,
    from: usize,
    wrote: bool,
}

/// What was written or read before an operation: the newest of each key.
type Past = BTreeMap<String, Known>;

/// Every promise that the run breaks. Operations may be in any order.
pub(super) fn check(run: &[Operation]) -> Vec<Violation> {
    let mut broken = Vec::new();
    let mut values: BTreeMap<(String, Stamp), usize> = BTreeMap::new();
    let pasts = pasts(run);
    for (number, operation) in run.iter().enumerate() {
        let past = &pasts[number];
        let mut found = |promise, after| {
            broken.push(Violation {
                promise,
                operation: number,
                after,
            });
        };
        match &operation.outcome {
            Outcome::Read(shown) => {
                let known = past.get(&operation.key);
                let stale = known.filter(|known| is_older(run, operation, shown.as_ref(), known));
                if let Some(known) = stale {
                    found(
                        if known.wrote {
                            Promise::ReadYourWrites
                        } else {
                            Promise::MonotonicReads
                        },
                        known.from,
                    );
                }
                if let Some((_, value)) = shown
                    && !was_written(run, operation, value)
                {
                    found(Promise::NoThinAir, number);
                }
            }
            Outcome::Written(Some(stamp)) => {
                let above = past.values().filter(|known| known.stamp >= *stamp);
                for known in above {
                    found(
                        if known.wrote {
                            Promise::MonotonicWrites
                        } else {
                            Promise::WritesFollowReads
                        },
                        known.from,
                    );
                }
            }
            Outcome::Written(None) | Outcome::Refused | Outcome::Unknown => {}
        }
        if let Some((stamp, value)) = version(operation) {
            let first = *values
                .entry((operation.key.clone(), stamp))
                .or_insert(number);
            if version(&run[first]).is_some_and(|(_, other)| other != value) {
                found(Promise::OneValuePerStamp, first);
            }
        }
    }
    broken
}

/// A stamp with what stands under it, if the operation tells.
fn version(operation: &Operation) -> Option<(Stamp, Option<&str>)> {
    match (&operation.outcome, &operation.act) {
        (Outcome::Read(Some((stamp, value))), _)
        | (Outcome::Written(Some(stamp)), Act::Put(value)) => Some((*stamp, Some(value))),
        (Outcome::Written(Some(stamp)), Act::Delete | Act::Get) => Some((*stamp, None)),
        (Outcome::Read(None) | Outcome::Written(None) | Outcome::Refused | Outcome::Unknown, _) => {
            None
        }
    }
}

/// Whether a read shows something older than what is known. Nothing is shown rightly if a newer
/// deletion may have been applied by then.
fn is_older(
    run: &[Operation],
    read: &Operation,
    shown: Option<&(Stamp, String)>,
    known: &Known,
) -> bool {
    if let Some((stamp, _)) = shown {
        return *stamp < known.stamp;
    }
    let may_explain = |other: &&Operation| {
        let newer = match other.outcome {
            Outcome::Written(Some(stamp)) => stamp >= known.stamp,
            // It may be newer, unless it was over before that began.
            Outcome::Written(None) => other.end >= run[known.from].begin,
            Outcome::Unknown => true,
            Outcome::Read(_) | Outcome::Refused => false,
        };
        other.act == Act::Delete && other.key == read.key && other.begin < read.end && newer
    };
    !run.iter().any(|other| may_explain(&other))
}

/// Whether somebody had begun to write this value to this key before the read ended.
fn was_written(run: &[Operation], read: &Operation, value: &str) -> bool {
    run.iter().any(|other| {
        matches!(&other.act, Act::Put(written) if written == value)
            && other.key == read.key
            && other.begin < read.end
            && other.outcome != Outcome::Refused
    })
}

/// What each operation comes after.
fn pasts(run: &[Operation]) -> Vec<Past> {
    let mut by_end: Vec<usize> = (0..run.len()).collect();
    by_end.sort_by_key(|number| (run[*number].end, run[*number].begin));
    let mut behind_token: BTreeMap<&str, Past> = BTreeMap::new();
    let mut pasts = vec![Past::new(); run.len()];
    for number in by_end {
        let operation = &run[number];
        // Whoever brought the token had ended before it was sent.
        let past = operation
            .sent
            .as_deref()
            .and_then(|token| behind_token.get(token));
        pasts[number] = past.cloned().unwrap_or_default();
        let mut after = pasts[number].clone();
        learn(&mut after, operation, number);
        if let Some(token) = operation.got.as_deref() {
            // Two operations may bring the same token: it stands for all that both promise.
            let behind = behind_token.entry(token).or_default();
            for (key, known) in after {
                keep_newer(behind, key, known);
            }
        }
    }
    pasts
}

fn learn(past: &mut Past, operation: &Operation, from: usize) {
    let (stamp, wrote) = match &operation.outcome {
        Outcome::Written(Some(stamp)) => (*stamp, true),
        Outcome::Read(Some((stamp, _))) => (*stamp, false),
        Outcome::Written(None) | Outcome::Read(None) | Outcome::Refused | Outcome::Unknown => {
            return;
        }
    };
    keep_newer(past, operation.key.clone(), Known { stamp, from, wrote });
}

fn keep_newer(past: &mut Past, key: String, known: Known) {
    let held = past.entry(key).or_insert(known);
    if held.stamp < known.stamp {
        *held = known;
    }
}

#[cfg(test)]
mod tests {
    use gaggle::model::{HybridTime, MemberId};

    use super::*;

    fn stamp(time: u64) -> Stamp {
        Stamp {
            time: HybridTime::from_bits(time),
            member: MemberId::from_u64(1),
            sequence: time,
        }
    }

    /// A run in which operation n begins at 10 n and ends 5 later; tokens are named by the writer.
    #[derive(Default)]
    struct Run(Vec<Operation>);

    impl Run {
        fn add(mut self, key: &str, act: Act, outcome: Outcome, tokens: [&str; 2]) -> Self {
            let begin = 10 * u64::try_from(self.0.len()).unwrap();
            let token = |name: &str| (!name.is_empty()).then(|| name.to_owned());
            self.0.push(Operation {
                client: 0,
                member: 0,
                key: key.to_owned(),
                act,
                outcome,
                begin,
                end: begin + 5,
                sent: token(tokens[0]),
                got: token(tokens[1]),
            });
            self
        }

        fn put(self, key: &str, time: u64, tokens: [&str; 2]) -> Self {
            let act = Act::Put(format!("{key}{time}"));
            self.add(key, act, Outcome::Written(Some(stamp(time))), tokens)
        }

        /// A read that shows the version of that time; none for 0.
        fn get(self, key: &str, time: u64, tokens: [&str; 2]) -> Self {
            let shown = (time > 0).then(|| (stamp(time), format!("{key}{time}")));
            self.add(key, Act::Get, Outcome::Read(shown), tokens)
        }

        fn delete(self, key: &str, outcome: Outcome) -> Self {
            self.add(key, Act::Delete, outcome, ["", ""])
        }

        fn breaks(&self, promise: Promise, operation: usize, after: usize) {
            let expected = Violation {
                promise,
                operation,
                after,
            };
            assert_eq!(check(&self.0), [expected]);
        }

        fn is_sound(&self) {
            assert_eq!(check(&self.0), []);
        }
    }

    #[test]
    fn a_sound_run_breaks_nothing() {
        let run = Run::default()
            .put("x", 1, ["", "a"])
            .get("x", 1, ["a", "b"])
            .put("y", 2, ["b", "c"])
            .put("x", 3, ["", "other"])
            .get("x", 3, ["c", "d"])
            .get("y", 2, ["d", "e"]);
        run.is_sound();
    }

    #[test]
    fn a_read_that_misses_an_own_write_is_found() {
        let run = Run::default().put("x", 1, ["", ""]).put("x", 2, ["", "a"]);
        run.get("x", 1, ["a", "b"])
            .breaks(Promise::ReadYourWrites, 2, 1);
    }

    #[test]
    fn a_read_of_nothing_after_an_own_write_is_found() {
        let run = Run::default().put("x", 2, ["", "a"]);
        run.get("x", 0, ["a", "b"])
            .breaks(Promise::ReadYourWrites, 1, 0);
    }

    #[test]
    fn a_deletion_by_somebody_explains_a_read_of_nothing_if_it_can_be_newer() {
        for (outcome, explains) in [
            (Outcome::Written(Some(stamp(3))), true),
            (Outcome::Written(Some(stamp(1))), false),
            (Outcome::Written(None), true),
            (Outcome::Unknown, true),
            (Outcome::Refused, false),
        ] {
            let run = Run::default().put("x", 2, ["", "a"]).delete("x", outcome);
            let run = run.get("x", 0, ["a", "b"]);
            assert_eq!(check(&run.0).is_empty(), explains, "{run:?}", run = run.0);
        }
    }

    #[test]
    fn a_deletion_that_was_over_before_the_write_explains_nothing() {
        let run = Run::default().delete("x", Outcome::Written(None));
        let run = run.put("x", 2, ["", "a"]).get("x", 0, ["a", "b"]);
        run.breaks(Promise::ReadYourWrites, 2, 1);
    }

    #[test]
    fn a_deletion_that_came_later_explains_nothing() {
        let run = Run::default()
            .put("x", 2, ["", "a"])
            .get("x", 0, ["a", "b"]);
        let run = run.delete("x", Outcome::Written(Some(stamp(3))));
        run.breaks(Promise::ReadYourWrites, 1, 0);
    }

    #[test]
    fn a_read_that_goes_back_behind_an_earlier_read_is_found() {
        let run = Run::default().put("x", 1, ["", ""]).put("x", 2, ["", ""]);
        let run = run.get("x", 2, ["", "a"]).get("x", 1, ["a", "b"]);
        run.breaks(Promise::MonotonicReads, 3, 2);
    }

    #[test]
    fn a_write_below_an_own_earlier_one_is_found_even_of_another_key() {
        let run = Run::default()
            .put("x", 5, ["", "a"])
            .put("y", 4, ["a", "b"]);
        run.breaks(Promise::MonotonicWrites, 1, 0);
    }

    #[test]
    fn a_write_below_what_its_session_had_read_is_found() {
        let run = Run::default().put("x", 5, ["", ""]).get("x", 5, ["", "a"]);
        run.put("y", 4, ["a", "b"])
            .breaks(Promise::WritesFollowReads, 2, 1);
    }

    #[test]
    fn a_token_that_another_client_carries_on_counts_as_well() {
        let run = Run::default()
            .put("x", 1, ["", ""])
            .put("x", 2, ["", "a"])
            .get("y", 0, ["a", "b"])
            .get("x", 1, ["b", "c"]);
        run.breaks(Promise::ReadYourWrites, 3, 1);
    }

    #[test]
    fn without_the_token_nothing_is_promised() {
        let run = Run::default().put("x", 1, ["", ""]).put("x", 2, ["", "a"]);
        run.get("x", 1, ["", "b"]).is_sound();
    }

    #[test]
    fn a_value_that_nobody_wrote_is_found() {
        Run::default()
            .get("x", 7, ["", ""])
            .breaks(Promise::NoThinAir, 0, 0);
        let refused = Act::Put("x7".to_owned());
        let run = Run::default().add("x", refused, Outcome::Refused, ["", ""]);
        run.get("x", 7, ["", ""]).breaks(Promise::NoThinAir, 1, 1);
        let unknown = Act::Put("x7".to_owned());
        let run = Run::default().add("x", unknown, Outcome::Unknown, ["", ""]);
        run.get("x", 7, ["", ""]).is_sound();
    }

    #[test]
    fn two_values_under_one_stamp_are_found() {
        let other = Outcome::Read(Some((stamp(1), "x2".to_owned())));
        let run = Run::default().put("x", 1, ["", ""]).put("x", 2, ["", ""]);
        let run = run.add("x", Act::Get, other, ["", ""]);
        run.breaks(Promise::OneValuePerStamp, 2, 0);
    }
}
