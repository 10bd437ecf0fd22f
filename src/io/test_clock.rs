//! A switch that lets a test turn the wall clock of a running member: an offset in a file.
//!
//! Only in builds with the feature `test-clock`, which no release has. The variable
//! `GAGGLE_TEST_CLOCK_FILE` names a file that holds the offset in milliseconds, such as `-3600000`;
//! without the variable, without the file, or with anything else in it the clock goes right.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::WallTime;
use crate::protocol::Mono;

/// How old what was read of the file may be.
const FRESH: Duration = Duration::from_millis(50);

static SWITCH: OnceLock<Option<Switch>> = OnceLock::new();

/// The file, and what was last read from it.
struct Switch {
    path: PathBuf,
    read: Mutex<Read>,
}

#[derive(Clone, Copy, Default)]
struct Read {
    at: Option<Mono>,
    offset_ms: i64,
}

impl Switch {
    fn offset_ms(&self, now: Mono) -> i64 {
        let mut read = self.read.lock();
        if read.at.is_none_or(|at| now.since(at) >= FRESH) {
            let text = std::fs::read_to_string(&self.path).unwrap_or_default();
            *read = Read {
                at: Some(now),
                offset_ms: text.trim().parse().unwrap_or_default(),
            };
        }
        read.offset_ms
    }
}

/// The wall time that a clock turned by the offset shows; never before 1970.
pub(super) fn turned(right: WallTime, now: Mono) -> WallTime {
    let switch = SWITCH.get_or_init(|| {
        let path = std::env::var_os("GAGGLE_TEST_CLOCK_FILE")?;
        Some(Switch {
            path: path.into(),
            read: Mutex::default(),
        })
    });
    let offset_ms = switch.as_ref().map_or(0, |switch| switch.offset_ms(now));
    WallTime::from_millis(right.millis().saturating_add_signed(offset_ms))
}
