//! The server at its door: real sockets on the loopback, a port of the system's choice.

mod drain;
mod faces;
pub(crate) mod fixture;
mod limits;
mod own_certificate;
mod slow;
