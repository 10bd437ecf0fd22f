//! A key's past: its versions as faces show them, and what restoring one of them needs to know.

use std::sync::Arc;

use super::edit::Edit;
use crate::io::disk::{Batch, DiskError, DiskReader, Kept};
use crate::model::{KeyName, NodeName, Stamp, Store, Version, lost};

/// The bytes of values after which a page of versions ends.
const PAGE_BYTES: usize = 1 << 20;

/// Versions of one key.
#[derive(Clone, Debug)]
pub struct Past {
    /// The versions that were asked for, as far as they fit.
    pub versions: Vec<Shown>,
    /// The greatest stamp of those that were asked for and did not fit.
    pub next: Option<Stamp>,
    /// How many versions are kept in all, the current one included.
    pub count: usize,
    /// Different for every set of versions, equal on every member that has the same set.
    pub tag: u128,
}

/// A version with its standing among the others.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The version.
    pub version: Arc<Version>,
    /// Its standing.
    pub standing: Standing,
}

/// How a version stands to the others of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The key's value, or its absence.
    Current,
    /// A later writer knew it and wrote something else.
    Replaced,
    /// It lost against a version whose writer did not know it: a conflict.
    Lost,
}

/// Which versions of a key are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// At most `limit` versions, newest first, all older than `before`.
    Page {
        /// Where the page before ended.
        before: Option<Stamp>,
        /// How many at most.
        limit: usize,
    },
    /// One version.
    One(Stamp),
    /// The current version and those that lost a conflict.
    Conflict,
}

impl Choice {
    /// Every stamp that is asked for, newest first, whatever the limit.
    fn of(self, kept: &Kept) -> Vec<Stamp> {
        let all = std::iter::once(kept.head.stamp).chain(kept.older.iter().map(|o| o.stamp));
        match self {
            Self::Page { before, .. } => all
                .filter(|stamp| before.is_none_or(|at| *stamp < at))
                .collect(),
            Self::One(one) => all.filter(|stamp| *stamp == one).collect(),
            Self::Conflict => {
                let lost = lost(&kept.head, &kept.older);
                all.filter(|stamp| *stamp == kept.head.stamp || lost.contains(stamp))
                    .collect()
            }
        }
    }

    fn limit(self) -> usize {
        match self {
            Self::Page { limit, .. } => limit,
            Self::One(_) | Self::Conflict => usize::MAX,
        }
    }
}

impl Past {
    /// Reads versions of a key; none if nothing is kept of it. It blocks.
    pub fn read(
        disk: &DiskReader,
        node: &NodeName,
        key: &KeyName,
        choice: Choice,
    ) -> Result<Option<Self>, DiskError> {
        let choose = |kept: &Kept| {
            let mut stamps = choice.of(kept);
            stamps.truncate(choice.limit());
            stamps
        };
        let Some(kept) = disk.kept(node, key, choose, PAGE_BYTES)? else {
            return Ok(None);
        };
        let next = choice.of(&kept).get(kept.chosen.len()).copied();
        let lost = lost(&kept.head, &kept.older);
        let shown = |version: Arc<Version>| {
            let standing = if version.stamp == kept.head.stamp {
                Standing::Current
            } else if lost.contains(&version.stamp) {
                Standing::Lost
            } else {
                Standing::Replaced
            };
            Shown { version, standing }
        };
        Ok(Some(Self {
            versions: kept.chosen.iter().cloned().map(shown).collect(),
            next,
            count: 1 + kept.older.len(),
            tag: kept.sum,
        }))
    }
}

/// What the disk knows that an edit needs. Empty for all but a restore.
#[derive(Clone, Debug, Default)]
pub(super) struct Recalled {
    /// The version to restore, if it is kept.
    pub(super) version: Option<Arc<Version>>,
    /// The versions of the key that lost a conflict, which the restore settles.
    pub(super) lost: Vec<Stamp>,
}

impl Recalled {
    /// Recalls what `edit` needs, with the rows of `batch`.
    pub(super) fn of(edit: &Edit, store: &Store, batch: &Batch<'_>) -> Result<Self, DiskError> {
        let Edit::Restore { node, key, stamp } = edit else {
            return Ok(Self::default());
        };
        let Some(entry) = store.entry(node.as_str(), key.as_str()) else {
            return Ok(Self::default());
        };
        let version = if entry.head.stamp == *stamp {
            Some(entry.head.clone())
        } else {
            batch.version(node, key, *stamp)?
        };
        let lost = if entry.losers == 0 {
            Vec::new()
        } else {
            lost(&entry.head, &batch.older(node, key)?)
        };
        Ok(Self { version, lost })
    }
}
