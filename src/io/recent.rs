//! The last lines of the log, for those who cannot see where it goes.
//!
//! It is fed by what is logged anyway, by the level that is set, and by nothing below `info`. What
//! must not be in the log (secrets, values) is therefore not here.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::clock;
use crate::model::WallTime;

/// How many lines are kept.
const LINES: usize = 21;
/// The longest text of a line, in bytes; the rest is left out.
const LINE_BYTES: usize = 1024;

/// The last lines. All clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<VecDeque<Line>>>);

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was logged.
    pub at: WallTime,
    /// How bad it is.
    pub level: Level,
    /// The message, with its fields as `name=value`.
    pub text: String,
}

/// How bad a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `info`
    Info,
    /// `warn`
    Warning,
    /// `error`
    Error,
}

impl Level {
    /// Three letters for it.
    pub fn short(self) -> &'static str {
        match self {
            Self::Info => "NFO",
            Self::Warning => "WAR",
            Self::Error => "ERR",
        }
    }

    fn of(level: tracing::Level) -> Option<Self> {
        match level {
            tracing::Level::ERROR => Some(Self::Error),
            tracing::Level::WARN => Some(Self::Warning),
            tracing::Level::INFO => Some(Self::Info),
            _ => None,
        }
    }
}

impl Recent {
    /// The lines, oldest first: at most 21.
    pub fn lines(&self) -> Vec<Line> {
        self.0.lock().iter().cloned().collect()
    }

    fn push(&self, line: Line) {
        let mut lines = self.0.lock();
        if lines.len() >= LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(level) = Level::of(*event.metadata().level()) else {
            return;
        };
        let mut gathered = Gathered::default();
        event.record(&mut gathered);
        self.push(Line {
            at: clock::wall(),
            level,
            text: gathered.finish(),
        });
    }
}

/// The parts of a line.
#[derive(Default)]
struct Gathered {
    message: String,
    fields: String,
}

impl Gathered {
    fn finish(mut self) -> String {
        self.message.push_str(&self.fields);
        let fits = self.message.floor_char_boundary(LINE_BYTES);
        self.message.truncate(fits);
        self.message
    }

    fn take(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // A String takes everything.
        let _ = match field.name() {
            "message" => self.message.write_fmt(value),
            name => self.fields.write_fmt(format_args!(" {name}={value}")),
        };
    }
}

impl Visit for Gathered {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.take(field, format_args!("{value}")),
            _ => self.take(field, format_args!("{value:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_with_their_fields_and_none_below_info() {
        let recent = Recent::default();
        let subscriber = tracing_subscriber::registry().with(recent.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("nobody sees this");
            tracing::trace!("nor this");
            for count in 0..30 {
                tracing::info!(count, name = "a b", "line");
            }
            tracing::warn!("odd");
            tracing::error!(why = %"x\ny", "{}", "é".repeat(2000));
        });
        let lines = recent.lines();
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[0].text, "line count=11 name=\"a b\"");
        assert_eq!(lines[0].level.short(), "NFO");
        assert_eq!((lines[19].level, &*lines[19].text), (Level::Warning, "odd"));
        assert_eq!(lines[20].level.short(), "ERR");
        assert_eq!(lines[20].text.len(), LINE_BYTES);
        assert!(lines[0].at <= lines[20].at);
    }
}
