//! gaggle: a replicated configuration store, one static binary per host.
//!
//! The map of the house. A room names only rooms that stand above it here:
//!
//! | room | what lives there |
//! |---|---|
//! | [`model`] | pure data and its laws: names, stamps, versions, the store, its digest, its feed |
//! | [`config`] | flags, environment and file become one checked configuration |
//! | [`protocol`] | pure state machines: sealed datagrams, beacon, membership, push, sync |
//! | [`strong`] | pure: what the Raft log means: commands, strong nodes, counters, locks, ordered logs |
//! | [`io`] | thin shells around the world: clock, randomness, tasks, UDP, TLS, disk, HTTP client |
//! | [`app`] | what a member can do, whoever asks: one handle, used by every face |
//! | [`api`] | the HTTPS face: `/v1`, the peers' door, authentication, problems |
//! | [`faces`] | the other listeners: zgossip |
//! | [`daemon`] | the composition root: builds the parts, owns every task, stops them in order |
//! | [`cli`] | one file per command |
//!
//! `docs/ARCHITECTURE.md` walks a request through these rooms.

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod faces;
pub mod io;
pub mod model;
pub mod protocol;
pub mod strong;
