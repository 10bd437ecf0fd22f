//! `store.json`: the readable copy of the store, and the way in for edits made by hand.
//!
//! The file is exactly what the first gaggle wrote: pretty JSON, four spaces, node → key → value,
//! values as strings. It is never the truth (that is the database); it is written soon after a
//! change and read at the start, when what somebody changed in it becomes writes.
//!
//! Beside it, `store.json.sum` tells what we wrote last, so that an edit is recognised. It names
//! the new content before the file is replaced and the old one until then, so whatever moment a
//! crash chooses, our own file is never taken for an edit. Strong nodes are in the file too, but an
//! edit of one is not taken over: only the majority writes them.

mod date;
mod edits;
mod file;
mod json;
mod pace;
mod record;
mod text;

pub use date::compact_date;
pub use edits::{Edit, Import};
pub use file::{Aside, SnapshotFile, set_aside};
pub use json::{Document, Limits, SnapshotError, parse};
pub use pace::SnapshotWriter;

#[cfg(test)]
mod tests;
