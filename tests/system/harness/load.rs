//! A write load with a log of what was acknowledged, and the check that no acknowledgement lied.
//!
//! Each writer is one `curl` that sends its writes one after another over one connection and says
//! of each how it was answered. From that follows, per key, what the store may hold: the last
//! acknowledged write, or one sent after it whose outcome nobody was told.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use super::client::Client;
use super::program::scratch;

/// Keys of one writer; it comes back to each again and again.
const KEYS: u64 = 40;
/// Every so many writes of a writer one is a deletion.
const DELETION: u64 = 7;
/// The node that is written to.
const NODE: &str = "load";

/// What a key may hold: one of these; `None` is no such key.
type May = Vec<Option<String>>;

/// All writers, and what they know.
pub(crate) struct Load {
    writers: u64,
    /// Octets of a value, at least.
    size: usize,
    sent: u64,
    may: BTreeMap<String, May>,
    folder: tempfile::TempDir,
}

struct Sent {
    key: String,
    value: Option<String>,
}

struct Writer {
    child: Child,
    log: PathBuf,
    writes: Vec<Sent>,
    /// Answers that came before [`Running::about_to_cut`]; later ones promise nothing.
    before_cut: Option<usize>,
}

/// Writers at work.
pub(crate) struct Running<'a> {
    load: &'a mut Load,
    writers: Vec<Writer>,
}

/// How many writes were answered, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// With 2xx, or 404 for a deletion.
    pub(crate) acknowledged: usize,
    /// With anything else.
    pub(crate) refused: usize,
}

impl Load {
    pub(crate) fn new(writers: u64) -> Self {
        Self::of_size(writers, 0)
    }

    /// With values of that many octets.
    pub(crate) fn of_size(writers: u64, size: usize) -> Self {
        Self {
            writers,
            size,
            sent: 0,
            may: BTreeMap::new(),
            folder: scratch(),
        }
    }

    /// Sets the writers to work, each on `count` writes; they end early when the member goes.
    pub(crate) fn start(&mut self, client: &Client, count: u64) -> Running<'_> {
        let round = self.sent;
        self.sent += count;
        let writers = (0..self.writers)
            .map(|writer| {
                let writes = (round..round + count)
                    .map(|n| nth(writer, n, self.size))
                    .collect();
                self.spawn(client, writer, writes)
            })
            .collect();
        Running {
            load: self,
            writers,
        }
    }

    fn spawn(&self, client: &Client, number: u64, writes: Vec<Sent>) -> Writer {
        let script = self.folder.path().join(format!("writer-{number}"));
        let log = self.folder.path().join(format!("log-{number}"));
        fs::write(&script, script_of(client, &writes)).expect("a script for curl");
        let answers = fs::File::create(&log).expect("a log");
        let script = script.to_string_lossy();
        let child = client
            .command(&["curl", "--silent", "--fail-early", "--config", &script])
            .stdout(Stdio::null())
            .stderr(answers)
            .spawn()
            .expect("curl runs");
        Writer {
            child,
            log,
            writes,
            before_cut: None,
        }
    }

    /// Every key holds what it may hold; and from now on that is what it holds.
    pub(crate) fn check(&mut self, client: &Client) {
        let wrong = self.wrong(client);
        assert!(
            wrong.is_empty(),
            "acknowledged writes are lost:\n{}",
            wrong.join("\n")
        );
    }

    /// The keys that hold what they may not hold.
    pub(crate) fn wrong(&mut self, client: &Client) -> Vec<String> {
        let reply = client.get(&format!("/v1/store/{NODE}"));
        assert!(matches!(reply.status, 200 | 404), "{reply:?}");
        let held = reply.json();
        let mut wrong = Vec::new();
        for (key, may) in &mut self.may {
            let value = held
                .get(key)
                .and_then(|value| value.as_str())
                .map(str::to_owned);
            if !may.contains(&value) {
                wrong.push(format!("{key} is {value:?} and may be {may:?}"));
            }
            *may = vec![value];
        }
        wrong
    }

    /// How many keys have a value, as far as the writers know.
    pub(crate) fn keys(&self) -> usize {
        self.may
            .values()
            .filter(|may| may.iter().any(Option::is_some))
            .count()
    }
}

impl Running<'_> {
    /// Writes that were answered so far.
    pub(crate) fn answered(&self) -> usize {
        self.writers
            .iter()
            .map(|writer| answers(writer).len())
            .sum()
    }

    /// To be said right before the power is cut: an answer that comes while it is being cut is
    /// taken for one that nobody got.
    pub(crate) fn about_to_cut(&mut self) {
        for writer in &mut self.writers {
            writer.before_cut = Some(answers(writer).len());
        }
    }

    /// Waits until the writers have ended and takes down what they were told.
    pub(crate) fn finish(self) -> Tally {
        let mut tally = Tally::default();
        for mut writer in self.writers {
            writer.child.wait().expect("curl ends");
            let told = answers(&writer);
            let judged = writer.before_cut.unwrap_or(usize::MAX);
            for (at, write) in writer.writes.into_iter().enumerate() {
                let may = self.load.may.entry(write.key).or_insert_with(|| vec![None]);
                match told.get(at) {
                    Some(200..=299 | 404) if at < judged => {
                        tally.acknowledged += 1;
                        *may = vec![write.value];
                    }
                    answer => {
                        let refused = |status: &u16| !matches!(status, 0 | 200..=299 | 404);
                        tally.refused += usize::from(answer.is_some_and(refused));
                        may.push(write.value);
                    }
                }
                // The first one without an answer may have been applied; none after it was sent.
                if told.get(at).is_none_or(|status| *status == 0) {
                    break;
                }
            }
        }
        tally
    }
}

/// The statuses in a writer's log, in the order of its writes; a half-written line is none.
fn answers(writer: &Writer) -> Vec<u16> {
    let text = fs::read_to_string(&writer.log).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(|line| line.parse().ok()).collect()
}

fn nth(writer: u64, n: u64, size: usize) -> Sent {
    Sent {
        key: format!("writer-{writer}/key-{}", n % KEYS),
        value: (n % DELETION != 3).then(|| format!("{:x<size$}", format!("value {n} "))),
    }
}

/// What curl is told: a section per write.
fn script_of(client: &Client, writes: &[Sent]) -> String {
    let section = |write: &Sent| {
        let path = format!("/v1/store/{NODE}/{}", write.key);
        match &write.value {
            Some(value) => client.section("PUT", &path, Some(("text/plain", value))),
            None => client.section("DELETE", &path, None),
        }
    };
    writes.iter().map(section).collect()
}
