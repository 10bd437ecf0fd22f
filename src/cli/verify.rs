//! `gaggle verify`: is a data directory what its member left there?

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::output::{self, Printer, Progress, Report, Rows, Tone};
use crate::config::Flags;
use crate::io::disk::{DirError, Fault, Verified, verify};
use crate::io::snapshot::SnapshotFile;

/// Check a data directory while no member runs in it
///
/// Reads the whole database past all caches and checks its checksums, hashes and sums, the mark
/// beside it, and whether store.json is as the member wrote it. Changes nothing. Prints what is
/// there, then one row for each thing that is not as the member left it, then one line that sums it
/// up. Exit code 0 if all is as the member left it; 1 if something is damaged, if store.json was
/// edited, or if the directory cannot be read.
#[derive(clap::Args)]
pub(super) struct Verify {
    /// The data directory; without it the one of --data
    dir: Option<PathBuf>,
}

impl Verify {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let config = super::client_config(flags)?;
        let dir = self.dir.unwrap_or_else(|| config.data.path().to_owned());
        let mut progress = Progress::new("verifying");
        let found = verify(&dir, &mut |done, all| progress.at(done, all));
        drop(progress);
        let mut found = found.map_err(refused)?;
        let copy = Copy::of(&dir);
        let judged = Judged {
            damaged: found.fault_count,
            copy: copy.clone(),
        };
        found.note(copy.fault());
        let report = Report {
            facts: facts(&dir, &found, &judged.copy),
            list: faults(&found),
            summary: judged.summary(),
        };
        Printer::new(config.output).report(&value(&dir, &found, &judged), &report)?;
        for hint in judged.hints() {
            output::message("hint", Tone::Warning, hint);
        }
        Ok(if found.fault_count == 0 {
            Exit::Ok
        } else {
            Exit::Error
        })
    }
}

/// What was found in all.
struct Judged {
    /// Faults of the database and of what belongs to it.
    damaged: u64,
    copy: Copy,
}

impl Judged {
    /// The one line that says it.
    fn summary(&self) -> (String, Tone) {
        let faults = |count| output::counted(count, "fault", "faults");
        match (self.damaged, &self.copy) {
            (0, Copy::AsWritten) => ("sound: all is as the member left it".into(), Tone::Good),
            (0, Copy::Changed) => (
                "the database is sound; store.json is not as the member wrote it".into(),
                Tone::Warning,
            ),
            (0, Copy::Unreadable(_)) => (
                "the database is sound; store.json cannot be read".into(),
                Tone::Warning,
            ),
            (count, Copy::AsWritten) => (
                format!("damaged: {} in the database", faults(count)),
                Tone::Bad,
            ),
            (count, Copy::Changed | Copy::Unreadable(_)) => (
                format!("damaged: {} in the database, and store.json", faults(count)),
                Tone::Bad,
            ),
        }
    }

    /// What to do about it, for each kind of thing that was found.
    fn hints(&self) -> impl Iterator<Item = &'static str> {
        let database = (self.damaged > 0).then_some(REPAIR);
        let copy = match self.copy {
            Copy::AsWritten => None,
            Copy::Changed => Some(EDITED),
            Copy::Unreadable(_) => Some(UNREADABLE),
        };
        database.into_iter().chain(copy)
    }
}

const REPAIR: &str = "`gaggle serve --repair` sets a damaged database aside, keeps what is sound \
                      and takes the rest from the other members";
const EDITED: &str = "if you edited store.json: the next start writes what differs, there is \
                      nothing to repair. If you did not: delete it before the start, the member \
                      writes it again from the database";
const UNREADABLE: &str = "move store.json away before the start: the member writes it again from \
                          the database";

fn refused(why: DirError) -> Failure {
    match why {
        DirError::InUse { .. } => Failure::message(Exit::Error, why)
            .hint("a running member verifies itself, see --scrub-every and /readyz?verbose"),
        _ => Failure::new(Exit::Error, why).hint("`gaggle verify DIR` names another directory"),
    }
}

/// The readable copy against what was written down about it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Copy {
    /// To the bit, or not there.
    AsWritten,
    /// Edited or damaged: nobody can tell one from the other.
    Changed,
    /// The system does not give it out.
    Unreadable(String),
}

impl Copy {
    fn of(dir: &Path) -> Self {
        match SnapshotFile::open(dir).is_as_written() {
            Ok(true) => Self::AsWritten,
            Ok(false) => Self::Changed,
            Err(why) => Self::Unreadable(why.to_string()),
        }
    }

    /// What it is, in a few words.
    fn in_short(&self) -> String {
        match self {
            Self::AsWritten => "as the member wrote it".to_owned(),
            Self::Changed => "not as the member wrote it".to_owned(),
            Self::Unreadable(_) => "cannot be read".to_owned(),
        }
    }

    /// What is wrong with it.
    fn words(&self) -> Option<String> {
        Some(match self {
            Self::AsWritten => return None,
            Self::Changed => {
                "it is not as the member wrote it: edited by hand, which the next start takes \
                 over, or damaged"
                    .to_owned()
            }
            Self::Unreadable(why) => format!("it cannot be read: {why}"),
        })
    }

    fn fault(&self) -> Option<Fault> {
        let what = self.words()?;
        Some(Fault {
            table: "store.json".to_owned(),
            node: None,
            key: None,
            stamp: None,
            offset: None,
            what,
        })
    }
}

fn value(dir: &Path, found: &Verified, judged: &Judged) -> Value {
    let faults: Vec<Value> = found.faults.iter().map(fault).collect();
    json!({
        "directory": dir.display().to_string(),
        "sound": found.fault_count == 0,
        "summary": judged.summary().0,
        "member": found.identity.as_ref().map(|of| of.member.to_string()),
        "cluster": found.identity.as_ref().map(|of| of.cluster.to_string()),
        "keys": found.entries,
        "older_versions": found.older,
        "nodes": found.nodes,
        "bytes_read": found.bytes,
        "fault_count": found.fault_count,
        "faults": faults,
    })
}

/// What is there, whatever it is worth.
fn facts(dir: &Path, found: &Verified, copy: &Copy) -> Rows {
    let member = found.identity.as_ref().map_or_else(
        || "cannot be read".to_owned(),
        |of| format!("{} of the cluster {}", of.member, of.cluster),
    );
    let read = format!(
        "{}, {}, {}; {} read",
        output::counted(found.entries, "key", "keys"),
        output::counted(found.older, "older version", "older versions"),
        output::counted(found.nodes, "node", "nodes"),
        output::counted(found.bytes, "byte", "bytes"),
    );
    let mut rows = Rows::new([]);
    for (name, what) in [
        ("directory", dir.display().to_string()),
        ("member", member),
        ("database", read),
        ("store.json", copy.in_short()),
    ] {
        rows.push([name, &what], Tone::Plain);
    }
    rows
}

fn fault(fault: &Fault) -> Value {
    json!({
        "table": fault.table,
        "node": fault.node,
        "key": fault.key,
        "version": fault.stamp.map(|stamp| stamp.to_string()),
        "offset": fault.offset,
        "what": fault.what,
    })
}

/// One row for each thing that is not as it was left.
fn faults(found: &Verified) -> Rows {
    let mut rows = Rows::new(["WHERE", "NODE", "KEY", "WHAT"]);
    for fault in &found.faults {
        let place = match (fault.stamp, fault.offset) {
            (Some(stamp), _) => format!("{} {stamp}", fault.table),
            (None, Some(offset)) => format!("{}, byte {offset}", fault.table),
            (None, None) => fault.table.clone(),
        };
        let (node, key) = (fault.node.as_deref(), fault.key.as_deref());
        let cells = [
            place.as_str(),
            node.unwrap_or_default(),
            key.unwrap_or_default(),
            &fault.what,
        ];
        rows.push(cells, Tone::Bad);
    }
    let untold = found.fault_count - found.faults.len() as u64;
    if untold > 0 {
        rows.push(["", "", "", &format!("and {untold} more")], Tone::Bad);
    }
    rows
}
