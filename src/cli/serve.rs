//! `gaggle serve`: runs a member.

use std::io::Read;

use serde_json::json;

use super::exit::{Exit, Failure};
use super::output::{self, Tone};
use crate::config::{Config, Flags, LogFormat};
use crate::daemon::{self, Started};
use crate::io::tasks::Tasks;

/// Run a member
///
/// Without a secret it makes one at its first start and prints the line that joins a second host;
/// without a password it makes one and prints it once. SIGTERM or SIGINT stops it cleanly, a second
/// one at once; SIGHUP reloads certificates, credentials and the log's level.
#[derive(clap::Args)]
pub(super) struct Serve {
    /// Stop when stdin is closed: so members of a demonstration never outlive it
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

impl Serve {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let config = config(flags.clone())?;
        if self.stop_with_stdin {
            Tasks::thread("stdin", stop_at_end_of_stdin)?;
        }
        let format = config.log_format;
        let reread: daemon::Reread = Box::new(move || config_text(flags.clone()));
        daemon::run(&config, &reread, move |started| tell(started, format))?;
        Ok(Exit::Ok)
    }
}

fn config(flags: Flags) -> Result<Config, Failure> {
    let layers = super::layers(flags)?;
    let (config, _) = Config::check(&layers).map_err(|why| Failure::new(Exit::Usage, why))?;
    Ok(config)
}

fn config_text(flags: Flags) -> Result<Config, String> {
    config(flags).map_err(|failure| failure.to_string())
}

/// Tells the operator what the log must not hold: a secret and a password that were made just now.
fn tell(started: &Started, format: LogFormat) {
    let lines = [
        started.new_password.as_ref().map(|password| {
            format!(
                "the password of {} is {password} (told this once; kept beside the data)",
                started.user
            )
        }),
        started.new_secret.as_ref().map(|secret| {
            format!(
                "to join from another host, with the same password: GAGGLE_SECRET={secret} \
                 GAGGLE_PASSWORD=... gaggle serve --cluster {} --discovery-port {}",
                started.cluster, started.discovery_port
            )
        }),
        Some(format!(
            "to try it: curl --cacert {} -u {} https://localhost:{}/v1/store",
            started.ca.display(),
            started.user,
            started.listen.port()
        ))
        .filter(|_| !started.own_certificate),
    ];
    for line in lines.into_iter().flatten() {
        match format {
            LogFormat::Text => output::message("note", Tone::Good, &line),
            LogFormat::Json => output::plain_message(&json!({"note": line}).to_string()),
        }
    }
}

/// Reads stdin to its end, then asks this process to stop as `kill` would.
fn stop_at_end_of_stdin() {
    let mut rest = [0; 256];
    let mut stdin = std::io::stdin();
    while matches!(stdin.read(&mut rest), Ok(1..)) {}
    // It fails only for a process that is not there.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM);
}
