//! Nothing is lost in silence: as many versions of a key count as lost as there are in its set that
//! neither are current nor were replaced by one that knew them. Counted anew from the disk.

use gaggle::app::App;
use gaggle::model::{Entry, KeyName, NodeName, Stamp, Version};

use super::{Held, Violation};

/// Looks at every key of a member.
pub(crate) fn check(host: usize, app: &App) -> Held {
    let view = app.view();
    for (node, at) in view.store.all_nodes() {
        for (key, entry) in at.entries() {
            check_key((host, app), node, key, entry)?;
        }
    }
    Ok(())
}

fn check_key((host, app): (usize, &App), node: &NodeName, key: &KeyName, entry: &Entry) -> Held {
    let broken = |what: String| {
        let invariant = "conflicts";
        let what = format!("[{host}] {node}/{key}: {what}");
        Err(Violation { invariant, what })
    };
    let older = match app.disk().versions(node, key) {
        Ok(older) => older,
        Err(error) => return broken(format!("its history cannot be read: {error}")),
    };
    let all = || older.iter().chain([&entry.head]);
    let replaced = |stamp: Stamp| all().any(|by| by.replaces.has(stamp));
    let lost = |version: &&Version| !replaced(version.stamp);
    let lost = older.iter().map(AsRef::as_ref).filter(lost).count();
    if lost == usize::from(entry.losers) {
        return Ok(());
    }
    let losers = entry.losers;
    broken(format!(
        "{losers} versions count as lost, by the disk it is {lost}"
    ))
}
