//! The order in which files reach the disk: a file that takes another's place was synced before,
//! and the directory after. Without that a power cut leaves an empty file under the name of a whole
//! one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Cluster, Lan, Script, Trace, scratch};

/// A call with the paths inside the data directory that it names.
struct Call {
    name: String,
    paths: Vec<PathBuf>,
}

fn calls(log: &Path, data: &Path) -> Vec<Call> {
    let text = fs::read_to_string(log).expect("a log");
    let call = |line: &str| {
        let (name, rest) = line.split_once(' ')?.1.trim_start().split_once('(')?;
        let paths = rest
            .split(['"', '<', '>'])
            .filter(|part| Path::new(part).starts_with(data));
        let paths: Vec<PathBuf> = paths.map(PathBuf::from).collect();
        (!paths.is_empty()).then(|| Call {
            name: name.to_owned(),
            paths,
        })
    };
    text.lines().filter_map(call).collect()
}

fn is_sync(call: &Call) -> bool {
    ["fsync", "fdatasync"].contains(&call.name.as_str())
}

#[test]
fn every_file_that_takes_anothers_place_is_synced_before_and_its_directory_after() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let (host, folder) = (lan.host(), scratch());
    let (data, log) = (cluster.data("a"), folder.path().join("trace"));
    let mut member = cluster
        .member(&host, "a")
        .under(Trace::watch().start(&log))
        .start();
    Script::reference().run(member.client());
    member.stop();
    let calls = calls(&log, &data);
    let mut renamed = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        if !call.name.starts_with("rename") {
            continue;
        }
        let (from, to) = (&call.paths[0], &call.paths[1]);
        // Since its last write.
        let before = calls[..at]
            .iter()
            .rev()
            .find(|call| call.paths[0] == *from && (is_sync(call) || call.name.contains("write")));
        assert!(
            before.is_some_and(is_sync),
            "{} is not synced",
            from.display()
        );
        let after = calls[at..]
            .iter()
            .any(|call| is_sync(call) && call.paths[0] == data);
        assert!(after, "the directory is not synced after {}", to.display());
        renamed.push(to.clone());
    }
    for name in [
        "gaggle.redb",
        "store.json",
        "store.json.sum",
        "member.json",
        "generation",
    ] {
        assert!(
            renamed.contains(&data.join(name)),
            "{name} was not written: {renamed:?}"
        );
    }
}
