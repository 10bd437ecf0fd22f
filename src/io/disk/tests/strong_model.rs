//! What a disk for the strong log should hold, told as simply as can be; and changes to drive it.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use crate::strong::engine::{Cell, Kept, LogChange, LogDisk, LogDiskError};

/// Everything on a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) cells: BTreeMap<Cell, Bytes>,
    pub(super) entries: Vec<(u64, Bytes)>,
    pub(super) pieces: BTreeMap<(u64, u32), Bytes>,
}

/// Snapshots and pieces in tests have lesser numbers than this.
pub(super) const PIECES: u32 = 5;

impl Model {
    /// Makes the changes; or none, if one of them does not follow.
    pub(super) fn commit(&mut self, changes: &[LogChange]) -> bool {
        let mut next = self.clone();
        let done = changes.iter().all(|change| next.change(change));
        if done {
            *self = next;
        }
        done
    }

    fn change(&mut self, change: &LogChange) -> bool {
        match change.clone() {
            LogChange::Append { index, entry } => {
                if self
                    .entries
                    .last()
                    .is_some_and(|(last, _)| last + 1 != index)
                {
                    return false;
                }
                self.entries.push((index, entry));
            }
            LogChange::Truncate(from) => self.entries.retain(|(index, _)| *index < from),
            LogChange::Purge(upto) => self.entries.retain(|(index, _)| *index > upto),
            LogChange::Set(cell, bytes) => drop(self.cells.insert(cell, bytes)),
            LogChange::Clear(cell) => drop(self.cells.remove(&cell)),
            LogChange::Piece {
                snapshot,
                piece,
                bytes,
            } => drop(self.pieces.insert((snapshot, piece), bytes)),
            LogChange::DropSnapshot(snapshot) => self.pieces.retain(|(of, _), _| *of != snapshot),
            LogChange::Wipe => *self = Self::default(),
        }
        true
    }

    /// What [`LogDisk::load`] should say.
    pub(super) fn kept(&self) -> Kept {
        let mut snapshots = BTreeMap::new();
        for (snapshot, _) in self.pieces.keys() {
            *snapshots.entry(*snapshot).or_default() += 1;
        }
        let ends = self.entries.first().zip(self.entries.last());
        Kept {
            cells: self.cells.clone(),
            log: ends.map(|((first, _), (last, _))| (*first, *last)),
            snapshots,
        }
    }

    /// What [`LogDisk::entries`] should say.
    pub(super) fn portion(&self, from: u64, to: u64, bytes: usize) -> Vec<(u64, Bytes)> {
        let all = self.entries.iter();
        let all = all.filter(|(index, _)| from <= *index && *index < to);
        let (mut taken, mut sum) = (Vec::new(), 0);
        for (index, entry) in all {
            sum += entry.len();
            if sum > bytes && !taken.is_empty() {
                break;
            }
            taken.push((*index, entry.clone()));
        }
        taken
    }

    /// Reads everything that a disk holds; nothing that it says it has may be missing.
    pub(super) fn of(disk: &dyn LogDisk) -> Result<Self, LogDiskError> {
        let kept = disk.load()?;
        let mut pieces = BTreeMap::new();
        for (snapshot, count) in &kept.snapshots {
            for piece in 0..PIECES {
                let found = disk.piece(*snapshot, piece)?;
                pieces.extend(found.map(|bytes| ((*snapshot, piece), bytes)));
            }
            let found = pieces.keys().filter(|(of, _)| of == snapshot).count();
            assert_eq!(found, *count as usize, "pieces of {snapshot}");
        }
        let found = Self {
            cells: kept.cells.clone(),
            entries: disk.entries(0, u64::MAX, usize::MAX)?,
            pieces,
        };
        assert_eq!(found.kept(), kept);
        Ok(found)
    }
}

/// A change that is not yet held against what is there.
#[derive(Clone, Debug)]
pub(super) enum Move {
    /// So many entries of so many bytes behind the last one, or from here if there is none.
    Append(u64, usize, u64),
    /// An entry so far behind the last one that it does not follow.
    Gap(u64),
    /// Drops so many from the end, or so many from the beginning.
    Truncate(u64),
    Purge(u64),
    Other(LogChange),
}

impl Move {
    /// The changes that it is for what is there.
    pub(super) fn on(&self, model: &Model) -> Vec<LogChange> {
        let log = model.kept().log;
        let next = |start| log.map_or(start, |(_, last)| last + 1);
        let entry = |index, size: usize| LogChange::Append {
            index,
            entry: Bytes::from(vec![u8::try_from(index % 251).unwrap(); size]),
        };
        match (self, log) {
            (Self::Append(count, size, start), _) => {
                let from = next(*start);
                (from..from + count)
                    .map(|index| entry(index, *size))
                    .collect()
            }
            (Self::Gap(by), _) => vec![entry(next(7), 1), entry(next(7) + 1 + by, 1)],
            (Self::Truncate(count), Some((_, last))) => {
                vec![LogChange::Truncate((last + 1).saturating_sub(*count))]
            }
            (Self::Purge(count), Some((first, _))) => vec![LogChange::Purge(first + count)],
            (Self::Truncate(at), None) => vec![LogChange::Truncate(*at)],
            (Self::Purge(at), None) => vec![LogChange::Purge(*at)],
            (Self::Other(change), _) => vec![change.clone()],
        }
    }
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0usize..300, 1 => 1000usize..9000]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    (size(), any::<u8>()).prop_map(|(size, of)| Bytes::from(vec![of; size]))
}

/// Any change, mostly such as the engine makes.
pub(super) fn any_move() -> impl Strategy<Value = Move> {
    let piece = (0u64..3, 0..PIECES, bytes()).prop_map(|(snapshot, piece, bytes)| {
        Move::Other(LogChange::Piece {
            snapshot,
            piece,
            bytes,
        })
    });
    let set = (prop::sample::select(Cell::ALL.to_vec()), bytes())
        .prop_map(|(cell, bytes)| Move::Other(LogChange::Set(cell, bytes)));
    let clear = prop::sample::select(Cell::ALL.to_vec())
        .prop_map(|cell| Move::Other(LogChange::Clear(cell)));
    prop_oneof![
        12 => (1u64..20, size(), 0u64..50).prop_map(|(n, size, at)| Move::Append(n, size, at)),
        1 => (1u64..9).prop_map(Move::Gap),
        3 => (0u64..12).prop_map(Move::Truncate),
        3 => (0u64..25).prop_map(Move::Purge),
        4 => set,
        1 => clear,
        4 => piece,
        1 => (0u64..3).prop_map(|snapshot| Move::Other(LogChange::DropSnapshot(snapshot))),
        1 => Just(Move::Other(LogChange::Wipe)),
    ]
}

/// The changes of commit `number` (from 1) of a fixed run: what an engine does in its life.
pub(super) fn commit(number: u64, model: &Model) -> Vec<LogChange> {
    let text = |what: &str| Bytes::from(format!("{what} {number}"));
    let mut moves = vec![Move::Append(number % 5 + 1, 40, 1)];
    match number % 6 {
        1 => moves.push(Move::Other(LogChange::Set(Cell::Vote, text("vote")))),
        2 => moves.insert(0, Move::Truncate(3)),
        3 => moves.extend((0..3).map(|piece| {
            Move::Other(LogChange::Piece {
                snapshot: number / 6,
                piece,
                bytes: Bytes::from(vec![7; 3000]),
            })
        })),
        4 => moves.extend([
            Move::Other(LogChange::Set(Cell::Snapshot, text("snapshot"))),
            Move::Purge(4),
            Move::Other(LogChange::Set(Cell::Purged, text("purged"))),
            Move::Other(LogChange::DropSnapshot((number / 6).wrapping_sub(1))),
        ]),
        5 => moves.push(Move::Other(LogChange::Set(Cell::Committed, text("entry")))),
        _ if number.is_multiple_of(12) => moves.insert(0, Move::Other(LogChange::Wipe)),
        _ => {}
    }
    let (mut model, mut changes) = (model.clone(), Vec::new());
    for step in moves {
        let made = step.on(&model);
        assert!(model.commit(&made));
        changes.extend(made);
    }
    changes
}
