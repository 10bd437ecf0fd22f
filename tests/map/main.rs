//! The map face as its clients see it: bytes over a socket on the loopback, a real member behind.
//!
//! | file | what it asks |
//! |---|---|
//! | `transcript` | what a gossipcar answered, request by request, with the statuses of its README |
//! | `octets` | values and keys that its answers could not tell apart, and what a value may hold |
//! | `connections` | keep-alive, pipelining, slow and malformed requests |
//! | `members` | a write at one member is read at another, by both faces |
//! | `doors` | where it listens, whom it refuses, which variables it takes |

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where by its backtrace"
)]

mod client;
mod connections;
mod doors;
#[expect(dead_code, reason = "some of it is for the tests of the command line")]
#[path = "../cli/harness.rs"]
mod harness;
mod members;
mod octets;
mod transcript;
