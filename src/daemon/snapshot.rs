//! Keeps `store.json` up to date: soon after a change, at most a tenth of the time, and once more
//! at the end. Whoever does that sees both classes of nodes, so here it is noticed, too, if one
//! name has become that of two nodes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::app::{App, Strong, View};
use crate::io::clock::{mono, sleep_until, wall};
use crate::io::snapshot::SnapshotWriter;
use crate::io::tasks::Tasks;
use crate::strong::{Listed, engine, listing};

use super::store::SharedFile;

/// How long the first copy waits for the strong nodes, if there were any.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many nodes are named in a message.
const NAMED: usize = 10;

/// Who keeps the copy.
pub(super) struct Keeper {
    pub(super) app: App,
    pub(super) strong: Strong,
    pub(super) file: SharedFile,
    pub(super) tasks: Tasks,
}

/// What a copy shows.
#[derive(Clone)]
struct Both {
    view: Arc<View>,
    strong: Arc<engine::View>,
}

impl Both {
    /// Whether a copy of the other would be the same.
    fn is_same(&self, other: &Self) -> bool {
        self.view.revision == other.view.revision
            && self
                .strong
                .state
                .nodes()
                .is_same(other.strong.state.nodes())
    }
}

impl Keeper {
    /// Writes until the group of tasks stops, and then what is still missing.
    pub(super) async fn run(self) {
        let mut revisions = self.app.revisions();
        let engine = self.strong.engine().ok();
        let mut positions = engine.map(engine::Engine::changes);
        self.wait_for_strong(positions.clone()).await;
        let mut pace = SnapshotWriter::default();
        let mut written = None;
        pace.changed(mono());
        loop {
            let due = pace.due();
            let wait = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let position = async {
                let changed = match &mut positions {
                    Some(positions) => positions.changed().await.is_ok(),
                    None => false,
                };
                if !changed {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = self.tasks.stopping() => break,
                changed = revisions.changed() => match changed {
                    Ok(()) => pace.changed(mono()),
                    Err(_) => break,
                },
                // Most of what the strong side does is not about nodes.
                () = position => if !self.is_written(written.as_ref()) {
                    pace.changed(mono());
                },
                () = wait => {
                    pace.begin();
                    let began = mono();
                    match self.write().await {
                        Some(both) => {
                            written = Some(both);
                            pace.finished(began, mono());
                        }
                        None => pace.failed(began, mono()),
                    }
                }
            }
        }
        if !self.is_written(written.as_ref()) {
            self.write().await;
        }
    }

    /// After a start the strong nodes come from the log, some of them only from the leader: a copy
    /// that shows fewer than the one before it is not made at once.
    async fn wait_for_strong(&self, positions: Option<watch::Receiver<u64>>) {
        let Some(mut positions) = positions else {
            return;
        };
        if !self.file.lock().has_strong_nodes() {
            return;
        }
        tokio::select! {
            () = self.tasks.stopping() => {}
            _ = positions.wait_for(|position| *position > 0) => {}
            () = tokio::time::sleep(PATIENCE) => {}
        }
    }

    fn both(&self) -> Both {
        Both {
            view: self.app.view(),
            strong: self.strong.local().unwrap_or_default(),
        }
    }

    fn is_written(&self, written: Option<&Both>) -> bool {
        written.is_some_and(|written| written.is_same(&self.both()))
    }

    /// Writes the copy; gives what it shows, or nothing if it could not be written.
    async fn write(&self) -> Option<Both> {
        let (both, file) = (self.both(), self.file.clone());
        let shown = both.clone();
        let is_on = self.strong.engine().is_ok();
        let written = self.tasks.blocking(move || {
            let nodes = shown.strong.state.nodes();
            let twins = if is_on { twins(&shown) } else { Vec::new() };
            (file.lock().write(&shown.view.store, nodes, wall()), twins)
        });
        let (written, twins) = written.await?;
        if is_on {
            self.report(&twins);
        }
        match written {
            Ok(None) => Some(both),
            Ok(Some(aside)) => {
                tracing::warn!(
                    set_aside = %aside.display(),
                    "store.json held edits that were not all taken (made while the member runs, \
                     older than what was written since, or of strong nodes); they were set aside",
                );
                Some(both)
            }
            Err(error) => {
                // The truth is the database: the member stays ready.
                tracing::warn!(%error, "store.json could not be written; it is tried again");
                None
            }
        }
    }

    /// Tells of names that are those of two nodes.
    fn report(&self, twins: &[String]) {
        let detail = match twins {
            [] => "no name is that of two nodes".to_owned(),
            twins => {
                let named = twins.iter().take(NAMED).map(String::as_str);
                let more = if twins.len() > NAMED { ", …" } else { "" };
                format!(
                    "{} strong nodes hide eventual ones of the same name, made where the majority \
                     was out of reach: {}{more}; read those with class=eventual, then delete them \
                     with it",
                    twins.len(),
                    named.collect::<Vec<_>>().join(", "),
                )
            }
        };
        self.app
            .health()
            .warn("node-classes", twins.is_empty(), detail);
    }
}

/// The names of two nodes each.
fn twins(both: &Both) -> Vec<String> {
    let all = listing(&both.view.store, both.strong.state.nodes());
    all.filter_map(|(name, listed)| match listed {
        Listed::Strong { hides: Some(_), .. } => Some(name.to_string()),
        Listed::Strong { hides: None, .. } | Listed::Eventual(_) => None,
    })
    .collect()
}
