//! What a member does that finds out that the cluster forgot it while it was away: it stops, sets
//! its copy of the store aside under a dated name, and begins again as a new member. What it wrote
//! while it was away is in the copy that was set aside; nothing of it is merged in silence, for it
//! may be older than what was deleted and collected since.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::app::{App, Upkeep};
use crate::config::Config;
use crate::io::clock::wall;
use crate::io::disk::DataDir;
use crate::io::tasks::Tasks;
use crate::model::{MemberId, Standing, Store};
use crate::protocol::membership::MemberTable;
use crate::protocol::message::{Ask, Reply};

use super::DaemonError;
use super::peers::{PeerAddress, Peers};

/// How often a member that is alive and that we forgot is told so.
const AGAIN: Duration = Duration::from_secs(5);

/// Completes when it is certain that the cluster forgot this member.
///
/// A peer that refuses us may be wrong: we may have forgotten it first, when the cluster was in two
/// halves. So both tell each other every such decision; which of them count follows from all of
/// them alone.
pub(super) async fn certain(app: App, peers: Peers, table: watch::Receiver<Arc<MemberTable>>) {
    let told = peers.forgotten();
    let mut revisions = app.revisions();
    loop {
        if app.view().store.is_forgotten(app.member()) {
            return;
        }
        tokio::select! {
            () = told.notified() => compare(&app, &peers, &table).await,
            () = tokio::time::sleep(AGAIN) => {
                // Two halves that forgot each other ask each other nothing: so somebody must begin.
                let view = app.view();
                let both = table.borrow().live().any(|row| view.store.is_forgotten(row.id));
                if both {
                    compare(&app, &peers, &table).await;
                }
            }
            changed = revisions.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
        }
    }
}

async fn compare(app: &App, peers: &Peers, table: &watch::Receiver<Arc<MemberTable>>) {
    let table = table.borrow().clone();
    for row in table.live() {
        let peer = PeerAddress {
            member: row.id,
            address: row.https,
        };
        let ask = Ask::Standings(decisions(&app.view().store));
        let told = match peers.ask(peer, ask).await {
            Ok(Reply::Standings(told)) => told,
            Ok(_) => continue,
            Err(error) => {
                tracing::debug!(peer = %row.id, %error, "could not compare who was forgotten");
                continue;
            }
        };
        if let Err(error) = app.upkeep(Upkeep::Standings(told)).await {
            tracing::debug!(%error, "who was forgotten could not be taken note of");
        }
    }
}

/// The decisions to forget members that a store knows of.
fn decisions(store: &Store) -> Vec<(MemberId, Standing)> {
    let decided = store.members().filter(|(_, at)| at.forgotten().is_some());
    decided
        .map(|(member, at)| (member, (**at).clone()))
        .collect()
}

/// Sets the copy of a member aside that has stopped; gives where it is now.
pub(super) async fn set_aside(config: &Config) -> Result<PathBuf, DaemonError> {
    let path = config.data.path().to_owned();
    let tasks = Tasks::new();
    let moved = tasks.blocking(move || DataDir::open(&path, wall())?.set_aside(wall()));
    let ended = || std::io::Error::other("the thread that sets the copy aside ended");
    match moved.await {
        Some(moved) => Ok(moved?),
        None => Err(DaemonError::Thread(ended())),
    }
}

/// What the operator must know of it: what is lost to the cluster, where it is, how to get it back.
pub(super) fn told(set_aside: &Path) -> String {
    let copy = set_aside.join("store.json");
    format!(
        "the cluster forgot this member while it was away. It begins again as a new member, under \
         a new id, with the cluster's state. Its old copy is set aside in {aside} and not merged: \
         writes that only this member had are NOT in the cluster. They are in {copy}: compare it \
         with GET /v1/store (or `gaggle get NODE`), write again what is missed (`gaggle set`), \
         then delete {aside}. docs/OPERATIONS.md shows how",
        aside = set_aside.display(),
        copy = copy.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_told_what_is_lost_where_it_is_and_how_to_get_it_back() {
        let told = told(Path::new("/data/set-aside-20261121T140853Z"));
        for part in [
            "NOT in the cluster",
            "/data/set-aside-20261121T140853Z/store.json",
            "gaggle set",
            "docs/OPERATIONS.md",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
