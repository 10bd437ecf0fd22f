//! `gaggle health`: whether the member here is ready, for health checks.
//!
//! Needs no password. The member is found in the data directory, and so is the certificate to
//! verify it with. A member that shows an own certificate is verified by that very certificate: it
//! need not be valid for `localhost`, and its authority need not be known here.

use std::time::Duration;

use serde_json::json;

use super::exit::{Exit, Failure};
use super::output::{self, Printer, Rows, Tone};
use super::pinned;
use super::session::{Session, wait_for};
use crate::config::{ClientConfig, Flags, MemberFile};

/// The longest time that a health check takes: what runs them gives up after 5 s.
const LONGEST: Duration = Duration::from_secs(4);

/// Check whether the member on this host is ready
///
/// Prints one line; exit code 0 if it is ready, 1 if it is not or cannot be asked.
#[derive(clap::Args)]
pub(super) struct Health {}

impl Health {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let mut config = super::client_config(flags)?;
        config.timeout = config.timeout.min(LONGEST);
        config.password = None;
        let (exit, word) = match ask(&config) {
            Ok(word) => (Exit::Ok, word),
            Err(failure) => (Exit::Error, failure.said()),
        };
        match config.output {
            None => output::text(&format!("{word}\n"))?,
            Some(_) => show(&config, exit, &word)?,
        }
        Ok(exit)
    }
}

fn show(config: &ClientConfig, exit: Exit, word: &str) -> Result<(), Failure> {
    let is_ready = exit == Exit::Ok;
    let value = json!({"ready": is_ready, "detail": word});
    Printer::new(config.output).show(&value, || {
        let mut rows = Rows::new(["READY", "DETAIL"]);
        let (ready, tone) = if is_ready {
            ("yes", Tone::Good)
        } else {
            ("no", Tone::Bad)
        };
        rows.push([ready, word], tone);
        rows
    })
}

fn ask(config: &ClientConfig) -> Result<String, Failure> {
    let member = config
        .data
        .member()
        .filter(|member| is_asked(config, member));
    if let Some(member) = member
        && let Some(certificate) = &member.own_certificate
    {
        let place = member.local();
        let answer = pinned::get("/readyz", &place, certificate, config.timeout);
        return wait_for(answer);
    }
    let session = Session::open(config)?;
    let answer = wait_for(session.send(http_get("/readyz")))?;
    Ok(String::from_utf8_lossy(&answer.body).trim().to_owned())
}

fn http_get(path: &str) -> crate::io::http_client::ApiRequest {
    crate::io::http_client::ApiRequest::new(http::Method::GET, path)
}

/// Whether it is the member of the data directory that is asked.
fn is_asked(config: &ClientConfig, member: &MemberFile) -> bool {
    let (host, port) = member.local();
    config
        .servers
        .iter()
        .all(|server| server.host == host && server.port == port)
}
