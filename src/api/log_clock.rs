//! The log's own time as people read it.

use crate::model::WallTime;
use crate::strong::engine::{Engine, View};
use crate::strong::{LogClock, LogTime, Millis};

/// The log's clock beside this member's own. Both clocks go on, but the log's is only told by
/// commands; between them it is this member's clock that tells how late it is, as far as the two
/// members' clocks agree.
pub(super) struct Clocks<'a> {
    log: &'a LogClock,
    own: WallTime,
}

impl<'a> Clocks<'a> {
    /// The clocks of a state.
    pub(super) fn of(engine: &Engine, view: &'a View) -> Self {
        Self {
            log: view.state.clock(),
            own: engine.wall(),
        }
    }

    /// When a point of the log's time is, or was, by the leader's wall clock.
    pub(super) fn wall(&self, at: LogTime) -> WallTime {
        if self.leaders().is_some() {
            return self.log.wall(at);
        }
        let (now, own) = (self.log.now(), self.own.millis());
        let later = own.saturating_add(at.since(now).0);
        WallTime::from_millis(later.saturating_sub(now.since(at).0))
    }

    /// How long ago a point of the log's time was; zero if it is yet to come.
    pub(super) fn since(&self, at: LogTime) -> Millis {
        self.now().since(at)
    }

    /// How long it is until a point of the log's time; zero if it is over.
    pub(super) fn until(&self, at: LogTime) -> Millis {
        at.since(self.now())
    }

    fn now(&self) -> LogTime {
        let since = self
            .leaders()
            .map_or(0, |last| self.own.millis().saturating_sub(last.millis()));
        self.log.now().after(Millis(since))
    }

    /// The leader's wall clock at its last command; none before its first.
    fn leaders(&self) -> Option<WallTime> {
        Some(self.log.wall(self.log.now())).filter(|wall| wall.millis() > 0)
    }
}
