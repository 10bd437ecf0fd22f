//! Convergence: some quiet time after the last fault, all members have the same rows, in memory and
//! on disk, byte for byte; and a disk that is read anew gives the same.

use gaggle::io::disk::DiskReader;
use gaggle::model::Store;

use super::{Held, Violation};

fn broken(what: String) -> Held {
    let invariant = "convergence";
    Err(Violation { invariant, what })
}

/// Says which members still differ.
pub(crate) fn check_roots(roots: &[(usize, u128)]) -> Held {
    let Some((_, first)) = roots.first() else {
        return broken("nobody runs".to_owned());
    };
    if roots.iter().all(|(_, root)| root == first) {
        return Ok(());
    }
    let shown: Vec<String> = roots
        .iter()
        .map(|(host, root)| format!("[{host}] {:08x}", root >> 96))
        .collect();
    broken(format!("the members do not agree: {}", shown.join(" ")))
}

/// Compares two members row by row, older versions from the disk included.
pub(crate) fn check_rows(a: (usize, &Store, &DiskReader), b: (usize, &Store, &DiskReader)) -> Held {
    let different = |what: String| broken(format!("[{}] and [{}] differ in {what}", a.0, b.0));
    for (node, at) in a.1.all_nodes() {
        if a.1.register(node.as_str()) != b.1.register(node.as_str()) {
            return different(format!("the register of {node}"));
        }
        for (key, entry) in at.entries() {
            let other = b.1.entry(node.as_str(), key.as_str());
            let same = other.is_some_and(|other| {
                (&other.head, other.older, other.losers, other.sum)
                    == (&entry.head, entry.older, entry.losers, entry.sum)
            });
            if !same {
                return different(format!("{node}/{key}: {entry:?} and {other:?}"));
            }
            if entry.older == 0 {
                continue;
            }
            let (ours, theirs) = (a.2.versions(node, key), b.2.versions(node, key));
            match (ours, theirs) {
                (Ok(ours), Ok(theirs)) if ours == theirs => {}
                (ours, theirs) => {
                    return different(format!("the history of {node}/{key}: {ours:?}, {theirs:?}"));
                }
            }
        }
    }
    if a.1.counts() != b.1.counts() {
        return different(format!("{:?} and {:?}", a.1.counts(), b.1.counts()));
    }
    Ok(())
}
