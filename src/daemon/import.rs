//! Edits of `store.json` made while the daemon was down, taken at the start as new writes.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::app::{App, Condition, Edit, EditError, Request};
use crate::config::Config;
use crate::io::clock;
use crate::io::snapshot::{self, Aside, Import, Limits, set_aside};
use crate::model::{KeyName, NodeName, Value};

use super::DaemonError;
use super::store::OpenStore;

/// How many nodes are written at a time, to share commits.
const WINDOW: usize = 512;
/// How many nodes are named in a message.
const NAMED: usize = 10;
/// The author of imported edits.
const AUTHOR: &str = "store.json";

/// Takes the edits; gives how many there were. A broken file is set aside if the database knows
/// better, and fatal if it is all there is.
pub(super) async fn edits(config: &Config, store: &OpenStore) -> Result<usize, DaemonError> {
    let Import {
        edits,
        kept,
        strong,
    } = read(config, store)?;
    if kept > 0 {
        tracing::warn!(
            kept,
            "some keys were written after the edited store.json was; they stay as they are",
        );
    }
    if !strong.is_empty() {
        let nodes: Vec<&str> = strong.iter().take(NAMED).map(NodeName::as_str).collect();
        tracing::warn!(
            ?nodes,
            count = strong.len(),
            "the edited store.json changes strong nodes: that is not taken over, for only the \
             majority writes them; the edited file is set aside, write them through the API",
        );
    }
    let count = edits.len();
    stream::iter(by_node(edits))
        .map(|edit| apply(&store.app, edit))
        .buffer_unordered(WINDOW)
        .try_collect::<()>()
        .await?;
    if count > 0 {
        tracing::info!(edits = count, "took the edits of store.json");
    }
    Ok(count)
}

fn read(config: &Config, store: &OpenStore) -> Result<Import, DaemonError> {
    let mut file = store.file.lock();
    let limits = Limits {
        name: config.limits.name_bytes,
        value: config.limits.value_bytes,
    };
    let error = match file.read_edits(&store.app.view().store, clock::wall(), limits) {
        Ok(import) => return Ok(import),
        Err(error) => error,
    };
    if store.created {
        let (file, why) = (file.path().display().to_string(), error.to_string());
        return Err(DaemonError::BrokenImport { file, why });
    }
    let moved = set_aside(&file.path(), Aside::Broken, clock::wall());
    let moved = moved.map_err(|why| DaemonError::File {
        what: "store.json",
        why,
    })?;
    tracing::warn!(
        %error, set_aside = %moved.display(),
        "store.json is broken; the database is sound and goes on, the file is written again",
    );
    Ok(Import::default())
}

async fn apply(app: &App, edit: Edit) -> Result<(), DaemonError> {
    let node = edit.node().clone();
    let request = Request {
        edit,
        author: AUTHOR.into(),
        condition: Condition::default(),
    };
    match app.write(request).await {
        // The file was compared with this very store: a node that is gone meanwhile is as wanted.
        Ok(_) | Err(EditError::NodeNotFound) => Ok(()),
        Err(why) => Err(DaemonError::Import { node, why }),
    }
}

/// One write per node: all of its edits, or none.
fn by_node(edits: Vec<snapshot::Edit>) -> Vec<Edit> {
    let mut patches: BTreeMap<NodeName, BTreeMap<KeyName, Option<Value>>> = BTreeMap::new();
    let mut writes = Vec::new();
    for edit in edits {
        match edit {
            snapshot::Edit::AddNode(node) => drop(patches.entry(node).or_default()),
            snapshot::Edit::RemoveNode(node) => writes.push(Edit::DeleteNode { node }),
            snapshot::Edit::Set { node, key, value } => {
                patches.entry(node).or_default().insert(key, Some(value));
            }
            snapshot::Edit::Remove { node, key } => {
                patches.entry(node).or_default().insert(key, None);
            }
        }
    }
    writes.extend(
        patches
            .into_iter()
            .map(|(node, keys)| Edit::PatchNode { node, keys }),
    );
    writes
}
