//! When the copy is written: soon after a change, and never more than a tenth of the time.

use std::time::Duration;

use crate::protocol::Mono;

/// Changes that come within this time after the first one share a copy.
const GATHER: Duration = Duration::from_millis(500);
/// How much longer than the writing itself the pause after it is.
const PAUSE: u32 = 10;

/// Decides when the next copy is due. Holds no file and reads no clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SnapshotWriter {
    changed: Option<Mono>,
    rest_until: Mono,
}

impl SnapshotWriter {
    /// The store changed at `now`.
    pub fn changed(&mut self, now: Mono) {
        self.changed.get_or_insert(now);
    }

    /// When the copy must be written next; none while it is up to date.
    pub fn due(&self) -> Option<Mono> {
        let changed = self.changed?;
        Some(changed.plus(GATHER).max(self.rest_until))
    }

    /// The copy is about to be written: changes from here on need another one.
    pub fn begin(&mut self) {
        self.changed = None;
    }

    /// Writing took from `began` until `now`; a failed try counts as well.
    pub fn finished(&mut self, began: Mono, now: Mono) {
        self.rest_until = now.plus(now.since(began) * PAUSE);
    }

    /// The last try failed at `now`: the copy is as old as before.
    pub fn failed(&mut self, began: Mono, now: Mono) {
        self.finished(began, now);
        self.rest_until = self.rest_until.max(now.plus(Duration::from_secs(1)));
        self.changed(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono(Duration::from_millis(millis))
    }

    #[test]
    fn a_change_is_written_within_a_second_and_many_share_one_copy() {
        let mut writer = SnapshotWriter::default();
        assert_eq!(writer.due(), None);
        writer.changed(at(100));
        writer.changed(at(550));
        let due = writer.due().unwrap();
        assert!(due > at(100) && due <= at(1100), "{due:?}");
        writer.begin();
        assert_eq!(writer.due(), None);
    }

    #[test]
    fn a_change_during_the_writing_needs_another_copy() {
        let mut writer = SnapshotWriter::default();
        writer.changed(at(0));
        writer.begin();
        writer.changed(at(700));
        writer.finished(at(600), at(800));
        assert!(writer.due().is_some());
    }

    #[test]
    fn at_most_a_tenth_of_the_time_is_spent_on_it() {
        let mut writer = SnapshotWriter::default();
        let (mut now, mut busy) = (0, 0);
        writer.changed(at(0));
        while now < 1_000_000 {
            now = u64::try_from(writer.due().unwrap().0.as_millis()).unwrap();
            writer.begin();
            let took = 3000;
            writer.changed(at(now + 1));
            writer.finished(at(now), at(now + took));
            now += took;
            busy += took;
        }
        assert!(busy * 10 <= now, "{busy} of {now} ms");
    }

    #[test]
    fn a_failed_try_is_repeated_but_not_at_once() {
        let mut writer = SnapshotWriter::default();
        writer.changed(at(0));
        writer.begin();
        writer.failed(at(500), at(501));
        assert_eq!(writer.due(), Some(at(1501)));
    }
}
