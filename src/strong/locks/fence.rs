//! Fencing: which tokens may still write (`If-Fence`).
//!
//! A lock alone cannot stop a holder that slept through its lease. A write that shows its token is
//! refused once a newer one was granted. Of a semaphore, a newer token does not make an older one
//! stale as long as its holder holds it: they hold it together.

use super::super::command::Fence;
use super::super::refused::Refused;
use super::Locks;

impl Locks {
    /// Whether a token may write: its holder holds the lock, or nobody got it since. A lock that is
    /// not known any more (deleted, idle for long) lets nobody through: what was granted since
    /// cannot be told.
    pub fn check_fence(&self, fence: &Fence) -> Result<(), Refused> {
        let token = fence.token;
        let Some(lock) = self.lock(fence.lock.as_str()) else {
            return Err(Refused::StaleFence {
                token,
                newest: None,
            });
        };
        let newest = lock.newest;
        if token > newest {
            return Err(Refused::UnknownFence { token, newest });
        }
        if token == newest || lock.is_held_with(token) {
            return Ok(());
        }
        Err(Refused::StaleFence {
            token,
            newest: Some(newest),
        })
    }
}
