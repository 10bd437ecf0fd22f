//! `--ack`: how many members must have a write on disk before it counts as done.

use std::time::Duration;

use super::exit::Failure;
use super::session::{CONNECT, Session};
use crate::app::Ack;
use crate::config::{ClientConfig, show_duration};

/// The longest time that a member lets a write wait for others.
const LONGEST: Duration = Duration::from_mins(10);
/// What the way there and back, the check of a password and the disk may take of a client's time,
/// on top of what the write waits for others.
const MARGIN: Duration = Duration::from_secs(5);

/// The flag, for every command that writes.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct AckFlag {
    /// Wait until so many members have it on disk: a number, quorum, or all; 1 if not given
    ///
    /// The member that answers counts as one. It waits for the others for as long as --timeout
    /// says, 10 minutes at most; the command waits a little longer, for the answer. If it takes
    /// longer, the exit code is 7 and the members that have not acknowledged are named: the write
    /// is done, and goes on to them by itself.
    #[arg(long, value_name = "LEVEL")]
    ack: Option<String>,
}

impl AckFlag {
    /// The path with what the member must know.
    pub(super) fn on(&self, path: String, timeout: Duration) -> Result<String, Failure> {
        let Some(word) = &self.ack else {
            return Ok(path);
        };
        word.parse::<Ack>()
            .map_err(|why| Failure::usage(format!("--ack {word:?}: {why}")))?;
        let within = show_duration(timeout.min(LONGEST));
        Ok(format!("{path}?ack={word}&timeout={within}"))
    }

    /// A session that does not give up before the member has.
    pub(super) fn session(&self, config: &ClientConfig) -> Result<Session, Failure> {
        Session::open_within(config, self.limit(config.timeout, config.servers.len()))
    }

    /// Servers that do not answer take some of the time, too, before the one that does.
    fn limit(&self, timeout: Duration, servers: usize) -> Duration {
        if self.ack.is_none() {
            return timeout;
        }
        let before = u32::try_from(servers.saturating_sub(1)).unwrap_or(u32::MAX);
        timeout.min(LONGEST) + MARGIN + CONNECT.saturating_mul(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_goes_into_the_query() {
        let on = |ack: Option<&str>| {
            let ack = ack.map(str::to_owned);
            AckFlag { ack }
                .on("/x".into(), Duration::from_secs(10))
                .ok()
        };
        assert_eq!(on(None).as_deref(), Some("/x"));
        assert_eq!(on(Some("2")).as_deref(), Some("/x?ack=2&timeout=10s"));
        assert_eq!(
            on(Some("quorum")).as_deref(),
            Some("/x?ack=quorum&timeout=10s")
        );
        assert_eq!(on(Some("0")), None);
        assert_eq!(on(Some("many")), None);
    }

    #[test]
    fn the_client_waits_longer_than_the_member_however_many_servers_are_away() {
        let flag = |ack: Option<&str>| AckFlag {
            ack: ack.map(str::to_owned),
        };
        let seconds = Duration::from_secs;
        assert_eq!(flag(None).limit(seconds(10), 3), seconds(10));
        let away = CONNECT * 2;
        let left = flag(Some("2")).limit(seconds(10), 3).saturating_sub(away);
        assert!(left > seconds(10), "{left:?}");
        let path = flag(Some("all")).on("/x".into(), seconds(3600));
        assert_eq!(
            path.unwrap(),
            "/x?ack=all&timeout=10m",
            "no member takes more"
        );
        assert!(flag(Some("all")).limit(seconds(3600), 1) < seconds(700));
    }
}
