//! `GET /v1/log/{name}/follow`: the entries of a log as they are committed, and who leads, in one
//! order.
//!
//! What is told is read from the state, page by page as the client takes it, so nothing is buffered
//! for slow clients. Entries and changes of the leader have positions in the same order, which is
//! how they are merged: a leader stands before what it committed. The id of an entry is its index;
//! that of a change of the leader is the index before it and its own position, so a client that
//! comes again with `Last-Event-ID` is told of nothing twice.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use tokio::sync::watch;

use super::{parse, write_item};
use crate::api::events::{self, Feed};
use crate::api::followers::LogSeat;
use crate::api::problem::{Code, Problem};
use crate::api::query::Query;
use crate::api::server::{Answer, Call};
use crate::strong::engine::{Engine, View};
use crate::strong::{LogName, Place};

/// How many entries are read at once.
const PAGE: usize = 256;
/// How many bytes are read at once, unless one entry alone has more.
const PAGE_BYTES: usize = 256 << 10;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Streams a log. A log that is not there yet is waited for.
pub(in crate::api::v1) async fn follow(call: &Call<'_>, name: &str) -> Answer {
    let query = Query::of(&call.head.uri, &["consistency", "timeout", "from"])?;
    let name = parse(name)?;
    let from = query.parsed("from")?.unwrap_or(0);
    let last = last_event(&call.head.headers)?;
    let place = call.api.streams.enter()?;
    let (seat, changes) = call.api.followers.log(name.clone());
    let fresh = call.fresh(&query).await?;
    let follower = Follower {
        engine: call.engine()?.clone(),
        changes,
        reader: Reader::new(&fresh.view, name, from, last),
        _seat: seat,
    };
    Ok(events::answer(call, place, follower))
}

/// What a client was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastEvent {
    /// The index of the last entry.
    index: u64,
    /// The position of a change of the leader after it.
    leader: Option<u64>,
}

fn last_event(headers: &HeaderMap) -> Result<Option<LastEvent>, Problem> {
    let mut all = headers.get_all(LAST_EVENT_ID).iter();
    let Some(first) = all.next().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let text = first.to_str().ok().filter(|_| all.next().is_none());
    let read = |text: &str| {
        let (index, leader) = match text.split_once('-') {
            None => (text, None),
            Some((index, leader)) => (index, Some(leader.parse().ok()?)),
        };
        let index = index.parse().ok()?;
        Some(LastEvent { index, leader })
    };
    let last = text.and_then(read).ok_or_else(|| {
        Problem::new(
            Code::InvalidHeader,
            "Last-Event-ID is the id of an event of this stream",
        )
    });
    last.map(Some)
}

struct Follower {
    engine: Engine,
    changes: watch::Receiver<u64>,
    reader: Reader,
    _seat: LogSeat,
}

impl Feed for Follower {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.changes.mark_unchanged();
            let (view, _) = self.engine.view();
            let out = self.reader.read(&view);
            if !out.is_empty() {
                return Some(out.into());
            }
            drop(view);
            self.changes.changed().await.ok()?;
        }
    }

    fn sign_of_life(&self) -> String {
        events::age(&self.engine)
    }
}

/// Where a client stands.
struct Reader {
    name: LogName,
    /// The index of the entry that is to be told next; 0: the first that is kept.
    next: u64,
    /// The position of the last change of the leader that was told.
    told: u64,
}

impl Reader {
    /// Begins at an index, or after what a client was told last. It tells who led when the first
    /// entry was committed, and each change after that.
    fn new(view: &View, name: LogName, from: u64, last: Option<LastEvent>) -> Self {
        let next = last.map_or(from, |last| last.index.saturating_add(1));
        let log = view.state.logs().log(name.as_str());
        let position = |index: u64| Some(log?.item(index)?.position);
        let known = last.and_then(|last| last.leader.or_else(|| position(last.index)));
        let told = known.unwrap_or_else(|| {
            let first = log.map_or(next, |log| next.max(log.first()));
            let begin = position(first).unwrap_or_else(|| view.position());
            let led = view.leaders.iter().rev().find(|at| at.index <= begin);
            led.map_or(0, |at| at.index.saturating_sub(1))
        });
        Self { name, next, told }
    }

    /// What there is to tell, a page at most.
    fn read(&mut self, view: &View) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(log) = view.state.logs().log(self.name.as_str()) else {
            self.tell_leaders(view, u64::MAX, &mut out);
            return out;
        };
        if self.next == 0 {
            self.next = log.first();
        }
        let page = log.read(self.next, PAGE, PAGE_BYTES);
        let page = page.or_else(|_| {
            self.skip(log.first(), &mut out);
            log.read(self.next, PAGE, PAGE_BYTES)
        });
        let mut text = String::new();
        for (index, item) in page.map(|page| page.items).unwrap_or_default() {
            self.tell_leaders(view, item.position, &mut out);
            text.clear();
            write_item(&mut text, index, &item);
            events::write(&mut out, "committed", Some(&index), &text);
            self.next = index + 1;
        }
        if self.next >= log.next() {
            self.tell_leaders(view, u64::MAX, &mut out);
        }
        out
    }

    /// Tells that entries were let go before the client took them, and goes on behind.
    fn skip(&mut self, first: u64, out: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Trimmed {
            from: u64,
            first: u64,
        }
        let from = std::mem::replace(&mut self.next, first);
        let trimmed = Trimmed { from, first };
        let data = serde_json::to_string(&trimmed).expect("numbers are written into a String");
        events::write(out, "trimmed", Some(&first.saturating_sub(1)), &data);
    }

    /// Tells of leaders who took over up to a position.
    fn tell_leaders(&mut self, view: &View, until: u64, out: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Led {
            term: u64,
            leader: String,
            position: u64,
        }
        let known = self.told;
        let new = |at: &&Place| known < at.index && at.index <= until;
        for at in view.leaders.iter().filter(new) {
            let led = Led {
                term: at.term,
                leader: at.leader.to_string(),
                position: at.index,
            };
            let data = serde_json::to_string(&led).expect("numbers are written into a String");
            let id = format!("{}-{}", self.next.saturating_sub(1), at.index);
            events::write(out, "leader", Some(&id), &data);
            self.told = at.index;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strong::LogOp;
    use crate::strong::samples::{Run, append};

    /// What a reader tells, as name and id of each event.
    fn told(reader: &mut Reader, run: &Run, leaders: &[Place]) -> Vec<String> {
        let mut view = View::default();
        view.state = run.state.clone();
        view.leaders = leaders.iter().copied().collect();
        let text = String::from_utf8(reader.read(&view)).unwrap();
        let events = text.split_terminator("\n\n").map(|event| {
            let mut lines = event.lines();
            let mut field = |name| lines.next().unwrap().strip_prefix(name).unwrap().to_owned();
            format!("{} {}", field("event: "), field("id: "))
        });
        events.collect()
    }

    fn reader(run: &Run, leaders: &[Place], from: u64, last: Option<LastEvent>) -> Reader {
        let mut view = View::default();
        view.state = run.state.clone();
        view.leaders = leaders.iter().copied().collect();
        Reader::new(&view, "l".parse().unwrap(), from, last)
    }

    /// Entries 1 to 3, then another leader, then 4 and 5.
    fn two_leaders() -> (Run, [Place; 2]) {
        let mut run = Run::default();
        let place = |run: &Run| run.state.clock().place().unwrap();
        run.tick();
        let first = place(&run);
        for _ in 0..3 {
            run.op(append("l", "1")).unwrap();
        }
        run.lead(9_000).tick();
        let second = place(&run);
        for _ in 0..2 {
            run.op(append("l", "2")).unwrap();
        }
        (run, [first, second])
    }

    #[test]
    fn a_leader_stands_before_what_it_committed() {
        let (run, leaders) = two_leaders();
        assert!(leaders[0].term < leaders[1].term);
        let [a, b] = leaders.map(|at| at.index);
        let all = [
            format!("leader 0-{a}"),
            "committed 1".to_owned(),
            "committed 2".to_owned(),
            "committed 3".to_owned(),
            format!("leader 3-{b}"),
            "committed 4".to_owned(),
            "committed 5".to_owned(),
        ];
        for from in [0, 1] {
            let mut whole = reader(&run, &leaders, from, None);
            assert_eq!(told(&mut whole, &run, &leaders), all);
            assert_eq!(
                told(&mut whole, &run, &leaders),
                [""; 0],
                "nothing is told twice"
            );
        }
        let mut late = reader(&run, &leaders, 4, None);
        assert_eq!(told(&mut late, &run, &leaders), all[4..]);
        let mut early = reader(&run, &leaders, 9, None);
        assert_eq!(told(&mut early, &run, &leaders), [format!("leader 8-{b}")]);
    }

    #[test]
    fn who_comes_again_is_told_what_it_missed() {
        let (run, leaders) = two_leaders();
        let again = |index, leader| {
            let mut reader = reader(&run, &leaders, 0, Some(LastEvent { index, leader }));
            told(&mut reader, &run, &leaders)
        };
        let b = leaders[1].index;
        let leader = format!("leader 3-{b}");
        assert_eq!(again(3, None), [&*leader, "committed 4", "committed 5"]);
        assert_eq!(again(3, Some(b)), ["committed 4", "committed 5"]);
        assert_eq!(again(4, None), ["committed 5"]);
        assert_eq!(again(5, None), [""; 0]);
    }

    #[test]
    fn who_is_too_late_is_told_so_and_goes_on_behind() {
        let (mut run, leaders) = two_leaders();
        let mut reader = reader(&run, &leaders, 2, None);
        let (name, before) = ("l".parse().unwrap(), 5);
        run.op(LogOp::Trim { name, before }).unwrap();
        let b = leaders[1].index;
        let events = told(&mut reader, &run, &leaders);
        let [first, rest @ ..] = &events[..] else {
            panic!("nothing was told");
        };
        assert_eq!(first, "trimmed 4");
        assert!(rest.contains(&format!("leader 4-{b}")), "{rest:?}");
        assert_eq!(rest.last().unwrap(), "committed 5");
    }

    #[test]
    fn the_last_event_is_an_entry_or_a_leader() {
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(LAST_EVENT_ID, text.parse().unwrap())]);
            last_event(&headers).map_err(|problem| problem.code)
        };
        let last = |index, leader| Ok(Some(LastEvent { index, leader }));
        assert_eq!(read("7"), last(7, None));
        assert_eq!(read("7-91"), last(7, Some(91)));
        assert_eq!(read(""), Ok(None));
        for bad in ["x", "7-", "-7", "7-x", "1.5", "18446744073709551616"] {
            assert_eq!(read(bad), Err(Code::InvalidHeader), "{bad}");
        }
        assert_eq!(last_event(&HeaderMap::new()), Ok(None));
    }
}
