//! The HTTPS face: `/v1`, authentication, metrics, and the one type of problem that clients see.
//!
//! A request's way: `server` asks `auth` who it is from, `route` which resource its raw path names,
//! and hands it to that resource's file in `v1`; whatever goes wrong comes back as a [`Problem`].
//!
//! [`Problem`]: problem::Problem

mod accept;
pub mod auth;
mod body;
mod conditions;
mod guard;
mod json;
mod media;
pub mod metrics;
mod pages;
pub mod peer;
pub mod problem;
mod reply;
mod route;
mod server;
mod v1;

pub use server::{About, ApiParts, front};
pub use v1::{MemberDirectory, MemberState, MemberView};
