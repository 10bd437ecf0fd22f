//! Whether the member is fit to serve, and if not, why.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

/// One thing that must be well for the member to be ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// A stable kebab-case code, such as `disk`.
    pub code: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// What is the matter, for people with credentials.
    pub detail: String,
}

/// What is known of the member's health. Checks are set by whoever knows.
#[derive(Debug, Default)]
pub struct Health {
    leaving: AtomicBool,
    stopping: AtomicBool,
    checks: RwLock<Vec<Check>>,
}

impl Health {
    /// Sets or replaces the check with this code.
    pub fn set(&self, code: &'static str, ok: bool, detail: impl Into<String>) {
        let check = Check {
            code,
            ok,
            detail: detail.into(),
        };
        let mut checks = self.checks.write();
        match checks.iter_mut().find(|old| old.code == code) {
            Some(old) => *old = check,
            None => checks.push(check),
        }
    }

    /// From now on the member is not ready: clients should go elsewhere. What comes is still done.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
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
        let stopping = self.is_stopping() || self.leaving.load(Ordering::Acquire);
        let detail = if stopping {
            "the member is stopping"
        } else {
            "the member is serving"
        };
        checks.push(Check {
            code: "stopping",
            ok: !stopping,
            detail: detail.into(),
        });
        checks
    }

    /// The code of the first check that is not well; none: the member is ready.
    pub fn first_failure(&self) -> Option<&'static str> {
        self.checks()
            .into_iter()
            .find(|check| !check.ok)
            .map(|check| check.code)
    }
}
