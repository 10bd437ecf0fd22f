//! Clients against a real server.
mod api;
mod peer;
