//! The one cryptography provider, and the one clock, that every TLS configuration is built with.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::io::clock;
use crate::model::WallTime;

/// The provider: aws-lc-rs, never a process-wide default that somebody else may have set.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .clone()
}

/// Lets rustls read the time where everybody reads it.
#[derive(Debug)]
pub(crate) struct HouseClock;

impl TimeProvider for HouseClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(clock::wall()))
    }
}

/// The wall time in the type that rustls wants.
pub(crate) fn unix_time(at: WallTime) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(at.millis()))
}
