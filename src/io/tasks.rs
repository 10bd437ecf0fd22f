//! The only place that starts tasks and threads, so that all of them can be stopped in order.
use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of tasks with one stop signal. Cloning gives another handle to the same group.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// A new, empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that should end soon after [`Tasks::stopping`] fires.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(task);
    }

    /// Starts a task that is dropped when the group stops.
    pub fn spawn_until_stop<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! { () = stop.cancelled() => {}, () = task => {} }
        });
    }

    /// Runs `work` on the pool for blocking work and gives its result; `None` if it panicked.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.tracker.spawn_blocking(work).await.ok()
    }

    /// Starts a named operating-system thread that nobody waits for: it ends when its queue closes.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub fn thread(
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
    }

    /// Completes when the group was told to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Tells the group to stop, without waiting.
    pub fn cancel(&self) {
        self.stop.cancel();
    }

    /// Tells the group to stop and waits until all have ended; `false` if `within` ran out first.
    pub async fn stop(&self, within: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(within, self.tracker.wait())
            .await
            .is_ok()
    }
}
