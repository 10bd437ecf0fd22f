//! What happens in a run, for people: one line each, with the virtual time and the host.

use std::fmt::Arguments;

use gaggle::protocol::Mono;

/// Where the lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trace {
    Off,
    Print,
}

impl Trace {
    /// Tells what happened on a host.
    pub(crate) fn host(self, now: Mono, host: usize, what: Arguments<'_>) {
        if self == Self::Print {
            println!("{} [{host}] {what}", shown(now));
        }
    }

    /// Tells what happened to the world.
    pub(crate) fn world(self, now: Mono, what: Arguments<'_>) {
        if self == Self::Print {
            println!("{} === {what}", shown(now));
        }
    }
}

/// A virtual time as hours, minutes, seconds and milliseconds.
pub(crate) fn shown(now: Mono) -> String {
    let (seconds, millis) = (now.0.as_secs(), now.0.subsec_millis());
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours}:{minutes:02}:{:02}.{millis:03}", seconds % 60)
}
