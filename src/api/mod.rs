//! The HTTPS face.

pub mod auth;
pub mod problem;
