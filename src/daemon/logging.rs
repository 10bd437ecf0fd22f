//! Where log lines go: stderr, as text or JSON, with a level that can be changed while running. The
//! last ones are kept for `/api/log`.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{Config, LogFormat};
use crate::io::recent::Recent;

/// A way to change what is logged, and its last lines.
#[derive(Clone)]
pub(super) struct Logging {
    handle: Option<Handle<EnvFilter, Registry>>,
    /// Nothing comes in where the log is somebody else's.
    pub(super) recent: Recent,
}

impl Logging {
    /// Begins to log as the configuration says. In a process that logs already (a test, a program
    /// that embeds members) it leaves things as they are.
    pub(super) fn start(config: &Config) -> Self {
        let (filter, handle) = reload::Layer::new(filter(&config.log));
        let recent = Recent::default();
        let started = match config.log_format {
            LogFormat::Json => tracing_subscriber::registry()
                .with(filter)
                .with(recent.clone())
                .with(fmt::layer().json().with_writer(std::io::stderr))
                .try_init(),
            LogFormat::Text => tracing_subscriber::registry()
                .with(filter)
                .with(recent.clone())
                .with(
                    fmt::layer()
                        .with_writer(std::io::stderr)
                        .with_target(false)
                        .with_ansi(std::io::stderr().is_terminal() && wants_colour()),
                )
                .try_init(),
        };
        Self {
            handle: started.is_ok().then_some(handle),
            recent,
        }
    }

    /// The log is somebody else's: a program's that members run in.
    pub(super) fn of_others() -> Self {
        Self {
            handle: None,
            recent: Recent::default(),
        }
    }

    /// Logs by these directives from now on.
    pub(super) fn change(&self, directives: &str) {
        if let Some(handle) = &self.handle
            && let Err(error) = handle.reload(filter(directives))
        {
            tracing::warn!(%error, "the log level stays as it is");
        }
    }
}

/// What the engine of the strong side says at length is left out unless it is asked for.
fn filter(directives: &str) -> EnvFilter {
    EnvFilter::new(format!("openraft=off,{directives}"))
}

/// <https://no-color.org>: set and not empty means no colour.
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
