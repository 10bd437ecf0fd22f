//! Whether the member is fit to serve, and if not, why.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::model::WallTime;
use crate::protocol::Mono;
use crate::protocol::clocks::PeerClocks;

/// What it means for the member if a check is not well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// It is not ready: clients should go elsewhere.
    #[default]
    Failure,
    /// It serves as before, but somebody should look.
    Warning,
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Warning => "warning",
        }
    }
}

/// One thing that should be well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// A stable kebab-case code, such as `disk`.
    pub code: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// What it means if it is not.
    pub severity: Severity,
    /// What is the matter, for people with credentials.
    pub detail: String,
}

impl Check {
    /// Whether it keeps the member from being ready.
    pub fn is_failure(&self) -> bool {
        !self.ok && self.severity == Severity::Failure
    }
}

/// What is known of the member's health. Checks are set by whoever knows.
#[derive(Debug, Default)]
pub struct Health {
    leaving: CancellationToken,
    stopping: AtomicBool,
    checks: RwLock<Vec<Check>>,
    peers: RwLock<PeerClocks>,
}

impl Health {
    /// Sets or replaces the check with this code; if it is not well, the member is not ready.
    pub fn set(&self, code: &'static str, ok: bool, detail: impl Into<String>) {
        self.put(code, ok, Severity::Failure, detail.into());
    }

    /// Sets or replaces the check with this code; the member is ready whether it is well or not.
    pub fn warn(&self, code: &'static str, ok: bool, detail: impl Into<String>) {
        self.put(code, ok, Severity::Warning, detail.into());
    }

    fn put(&self, code: &'static str, ok: bool, severity: Severity, detail: String) {
        let check = Check {
            code,
            ok,
            severity,
            detail,
        };
        let mut checks = self.checks.write();
        match checks.iter_mut().find(|old| old.code == code) {
            Some(old) => *old = check,
            None => checks.push(check),
        }
    }

    /// Sets what is known of the peers' clocks.
    pub fn set_peer_clocks(&self, peers: PeerClocks) {
        *self.peers.write() = peers;
    }

    /// What the live peers' clocks say now, in the median; none if no peer has told.
    pub fn peers_time(&self, now: Mono) -> Option<WallTime> {
        self.peers.read().median(now)
    }

    /// From now on the member is not ready: clients should go elsewhere. What comes is still done.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// Completes when [`Health::leave`] was called: answers that have no end of their own end now.
    pub async fn leaving(&self) {
        self.leaving.cancelled().await;
    }

    /// From now on nothing new is taken.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the member is stopping.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// All checks, `stopping` among them.
    pub fn checks(&self) -> Vec<Check> {
        let mut checks = self.checks.read().clone();
        let stopping = self.is_stopping() || self.leaving.is_cancelled();
        let detail = if stopping {
            "the member is stopping"
        } else {
            "the member is serving"
        };
        checks.push(Check {
            code: "stopping",
            ok: !stopping,
            severity: Severity::Failure,
            detail: detail.into(),
        });
        checks
    }

    /// The code of the first check that keeps the member from being ready; none: it is ready.
    pub fn first_failure(&self) -> Option<&'static str> {
        self.checks()
            .into_iter()
            .find(Check::is_failure)
            .map(|check| check.code)
    }
}
