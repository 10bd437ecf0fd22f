//! Keeps `store.json` up to date: soon after a change, at most a tenth of the time, and once more
//! at the end.

use crate::app::App;
use crate::io::clock::{mono, sleep_until, wall};
use crate::io::snapshot::SnapshotWriter;
use crate::io::tasks::Tasks;

use super::store::SharedFile;

/// Writes until the group of tasks stops, and then what is still missing.
pub(super) async fn keep(app: App, file: SharedFile, tasks: Tasks) {
    let mut revisions = app.revisions();
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
        tokio::select! {
            () = tasks.stopping() => break,
            changed = revisions.changed() => match changed {
                Ok(()) => pace.changed(mono()),
                Err(_) => break,
            },
            () = wait => {
                pace.begin();
                let began = mono();
                match write(&app, &file, &tasks).await {
                    Some(revision) => {
                        written = Some(revision);
                        pace.finished(began, mono());
                    }
                    None => pace.failed(began, mono()),
                }
            }
        }
    }
    if written != Some(app.view().revision) {
        write(&app, &file, &tasks).await;
    }
}

/// Writes the copy; gives the revision that it shows, or nothing if it could not be written.
async fn write(app: &App, file: &SharedFile, tasks: &Tasks) -> Option<u64> {
    let (view, file) = (app.view(), file.clone());
    let revision = view.revision;
    let written = tasks
        .blocking(move || file.lock().write(&view.store, wall()))
        .await?;
    match written {
        Ok(None) => Some(revision),
        Ok(Some(aside)) => {
            tracing::warn!(
                set_aside = %aside.display(),
                "store.json held edits that were not all taken (made while the member runs, or \
                 older than what was written since); they were set aside",
            );
            Some(revision)
        }
        Err(error) => {
            // The truth is the database: the member stays ready.
            tracing::warn!(%error, "store.json could not be written; it is tried again");
            None
        }
    }
}
