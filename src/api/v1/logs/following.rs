//! `GET /v1/log/{name}/follow`: the entries of a log as they are committed, and who leads, in one
//! order.
//!
//! What is told is read from the state, page by page as the client takes it, so nothing is buffered
//! for slow clients. Entries and changes of the leader have positions in the same order, which is
//! how they are merged: a leader stands before what it committed. The id of an event is the index
//! of the last entry and the position up to which all is told, so a client that comes again with it
//! as `Last-Event-ID` is told of nothing twice, on whichever member.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use tokio::sync::watch;

use super::{parse, write_item};
use crate::api::coordination::Fresh;
use crate::api::events::{self, Feed};
use crate::api::followers::LogSeat;
use crate::api::problem::{Code, Problem};
use crate::api::query::Query;
use crate::api::server::{Answer, Call};
use crate::strong::LogName;
use crate::strong::engine::{Engine, View};

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
    check_history(&fresh, last)?;
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
    /// The position up to which all was told; a client that knows only an index lacks it.
    position: Option<u64>,
}

fn last_event(headers: &HeaderMap) -> Result<Option<LastEvent>, Problem> {
    let mut all = headers.get_all(LAST_EVENT_ID).iter();
    let Some(first) = all.next().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let text = first.to_str().ok().filter(|_| all.next().is_none());
    let read = |text: &str| {
        let (index, position) = match text.split_once('-') {
            None => (text, None),
            Some((index, position)) => (index, Some(position.parse().ok()?)),
        };
        let index = index.parse().ok()?;
        Some(LastEvent { index, position })
    };
    let last = text.and_then(read).ok_or_else(|| {
        Problem::new(
            Code::InvalidHeader,
            "Last-Event-ID is the id of an event of this stream",
        )
    });
    last.map(Some)
}

/// A state with everything in it that is behind what the client was told is another one's: the
/// group was founded anew, or recovered from a member that had less.
fn check_history(fresh: &Fresh, last: Option<LastEvent>) -> Result<(), Problem> {
    let told = last.and_then(|last| last.position);
    let end = fresh.view.position();
    match told.filter(|told| fresh.has_all() && *told > end) {
        None => Ok(()),
        Some(told) => Err(Problem::new(
            Code::OtherHistory,
            format!("Last-Event-ID is of position {told}, and all there is ends at {end}"),
        )
        .hint("the group began anew since, or was recovered: follow the log from its beginning")),
    }
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
    /// The position up to which all is told.
    told: u64,
}

impl Reader {
    /// Begins at an index, or after what a client was told last. It tells who led when the first
    /// entry was committed, and each change after that.
    fn new(view: &View, name: LogName, from: u64, last: Option<LastEvent>) -> Self {
        let next = last.map_or(from, |last| last.index.saturating_add(1));
        let log = view.state.logs().log(name.as_str());
        let position = |index: u64| Some(log?.item(index)?.position);
        // A log that is not there yet begins with 1, whatever it keeps when it is seen first.
        let next = if log.is_none() { next.max(1) } else { next };
        let known = last.and_then(|last| last.position.or_else(|| position(last.index)));
        let told = known.unwrap_or_else(|| {
            let first = log.map_or(next, |log| next.max(log.first()));
            let begin = position(first).unwrap_or_else(|| view.position());
            let led = view.state.leaders().at(begin);
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
            self.next = index + 1;
            self.told = self.told.max(item.position);
            self.write(&mut out, "committed", &text);
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
        self.write(out, "trimmed", &data);
    }

    /// Tells of leaders who took over up to a position.
    fn tell_leaders(&mut self, view: &View, until: u64, out: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Led {
            term: u64,
            leader: String,
            position: u64,
        }
        for at in view.state.leaders().between(self.told, until) {
            let led = Led {
                term: at.term,
                leader: at.leader.to_string(),
                position: at.index,
            };
            let data = serde_json::to_string(&led).expect("numbers are written into a String");
            self.told = at.index;
            self.write(out, "leader", &data);
        }
    }

    /// Writes an event that leads up to here.
    fn write(&self, out: &mut Vec<u8>, name: &str, data: &str) {
        let id = format!("{}-{}", self.next.saturating_sub(1), self.told);
        events::write(out, name, Some(&id), data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strong::samples::{Run, append};
    use crate::strong::{LogOp, Retention};

    /// Somebody who follows the log `l` of a run.
    struct Told {
        reader: Reader,
    }

    fn view(run: &Run) -> View {
        let mut view = View::default();
        view.state = run.state.clone();
        view
    }

    impl Told {
        fn from(run: &Run, from: u64, last: Option<&str>) -> Self {
            let headers = last.map(|last| (LAST_EVENT_ID, last.parse().unwrap()));
            let last = last_event(&HeaderMap::from_iter(headers)).ok().unwrap();
            let reader = Reader::new(&view(run), "l".parse().unwrap(), from, last);
            Self { reader }
        }

        /// The name and id of each event that there is to tell.
        fn next(&mut self, run: &Run) -> Vec<String> {
            let text = String::from_utf8(self.reader.read(&view(run))).unwrap();
            let events = text.split_terminator("\n\n").map(|event| {
                let mut lines = event.lines();
                let mut field = |name| lines.next().unwrap().strip_prefix(name).unwrap().to_owned();
                format!("{} {}", field("event: "), field("id: "))
            });
            events.collect()
        }
    }

    fn told(run: &Run, from: u64, last: Option<&str>) -> Vec<String> {
        Told::from(run, from, last).next(run)
    }

    /// A leader at 1, entries 1 to 3 at 2 to 4, another leader at 5, entries 4 and 5 at 6 and 7.
    fn two_leaders() -> Run {
        let mut run = Run::default();
        run.tick();
        for _ in 0..3 {
            run.op(append("l", "1")).unwrap();
        }
        run.lead(9_000).tick();
        for _ in 0..2 {
            run.op(append("l", "2")).unwrap();
        }
        run
    }

    const ALL: [&str; 7] = [
        "leader 0-1",
        "committed 1-2",
        "committed 2-3",
        "committed 3-4",
        "leader 3-5",
        "committed 4-6",
        "committed 5-7",
    ];

    #[test]
    fn a_leader_stands_before_what_it_committed() {
        let run = two_leaders();
        for from in [0, 1] {
            let mut whole = Told::from(&run, from, None);
            assert_eq!(whole.next(&run), ALL);
            assert_eq!(whole.next(&run), [""; 0], "nothing is told twice");
        }
        assert_eq!(told(&run, 4, None), ALL[4..]);
        assert_eq!(told(&run, 9, None), ["leader 8-5"]);
    }

    #[test]
    fn who_comes_again_is_told_what_it_missed_and_nothing_twice() {
        let mut run = two_leaders();
        for (at, last) in ALL.iter().enumerate() {
            let (_, id) = last.split_once(' ').unwrap();
            assert_eq!(told(&run, 0, Some(id)), ALL[at + 1..], "behind {id}");
        }
        // Who knows only the index of an entry.
        assert_eq!(told(&run, 0, Some("3")), ALL[4..]);
        assert_eq!(told(&run, 0, Some("5")), [""; 0]);
        // Also when its last entry is gone: the leader of the others was told.
        let (name, before) = ("l".parse().unwrap(), 5);
        run.op(LogOp::Trim { name, before }).unwrap();
        assert_eq!(told(&run, 0, Some("4-6")), ALL[6..]);
    }

    #[test]
    fn who_goes_on_at_a_member_with_a_snapshot_hears_no_leader_again() {
        let mut run = two_leaders();
        for _ in 0..3 {
            run.lead(20_000).tick();
        }
        let mut first = Told::from(&run, 0, None);
        let before = first.next(&run);
        run.lead(30_000).op(append("l", "3")).unwrap();
        let mut restore = crate::strong::Restore::default();
        for piece in run.state.pieces() {
            restore.take(&piece).unwrap();
        }
        run.state = restore.finish().unwrap();
        let (_, last) = before.last().unwrap().split_once(' ').unwrap();
        let behind = ["leader 5-11", "committed 6-11"];
        assert_eq!(told(&run, 0, Some(last)), behind);
        assert_eq!(
            told(&run, 0, None),
            [&before[..], &behind.map(str::to_owned)].concat()
        );
    }

    #[test]
    fn who_is_too_late_is_told_so_and_goes_on_behind() {
        let mut run = two_leaders();
        let mut reader = Told::from(&run, 2, None);
        let (name, before) = ("l".parse().unwrap(), 5);
        run.op(LogOp::Trim { name, before }).unwrap();
        let events = reader.next(&run);
        assert_eq!(
            events,
            ["trimmed 4-0", "leader 4-1", "leader 4-5", "committed 5-7"]
        );
    }

    #[test]
    fn a_log_that_began_and_was_trimmed_since_is_no_silent_gap() {
        let mut run = Run::default();
        run.tick();
        let mut reader = Told::from(&run, 0, None);
        assert_eq!(reader.next(&run), ["leader 0-1"]);
        let retention = Retention {
            count: 1,
            age: None,
        };
        let name = "l".parse().unwrap();
        run.op(LogOp::Configure { name, retention }).unwrap();
        for _ in 0..3 {
            run.op(append("l", "1")).unwrap();
        }
        assert_eq!(reader.next(&run), ["trimmed 2-1", "committed 3-5"]);
    }

    #[test]
    fn the_last_event_is_an_entry_or_a_place_behind_one() {
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(LAST_EVENT_ID, text.parse().unwrap())]);
            last_event(&headers).map_err(|problem| problem.code)
        };
        let last = |index, position| Ok(Some(LastEvent { index, position }));
        assert_eq!(read("7"), last(7, None));
        assert_eq!(read("7-91"), last(7, Some(91)));
        assert_eq!(read(""), Ok(None));
        for bad in ["x", "7-", "-7", "7-x", "1.5", "18446744073709551616"] {
            assert_eq!(read(bad), Err(Code::InvalidHeader), "{bad}");
        }
        assert_eq!(last_event(&HeaderMap::new()), Ok(None));
    }
}
