//! Thin shells around the world: each is short, and has a simulated twin or a test at its door.

pub mod addresses;
pub mod clock;
pub mod disk;
pub mod dns;
pub mod host;
pub mod http_client;
pub mod random;
pub mod recent;
pub mod serve;
pub mod snapshot;
pub mod supervisor;
pub mod tasks;
#[cfg(feature = "test-clock")]
mod test_clock;
pub mod tls;
pub mod udp;
