//! The HTTPS face: `/v1`, authentication, metrics, and the one type of problem that clients see.
//!
//! A request's way: `server` asks `auth` who it is from, `route` which resource its raw path names,
//! and hands it to that resource's file in `v1`, or in `gaggle07` for the interface that older
//! clients know; whatever goes wrong comes back as a [`Problem`].
//!
//! [`Problem`]: problem::Problem

mod accept;
mod acking;
pub mod auth;
mod body;
mod classes;
mod conditions;
mod coordination;
mod events;
mod followers;
mod gaggle07;
mod guard;
mod inside;
mod json;
mod log_clock;
mod media;
pub mod metrics;
mod pages;
pub mod peer;
pub mod problem;
mod query;
mod reply;
mod route;
mod server;
mod session;
mod strong_problem;
mod v1;

pub use inside::{Asked, Inside, encoded};
pub use route::decode;
pub use server::{About, ApiParts, Desk, finish, front};
pub use v1::{
    FoundView, MemberDirectory, MemberState, MemberView, Outcome, WayView, ZgossipBound,
    ZgossipDirectory, ZgossipServer, ZgossipView,
};
