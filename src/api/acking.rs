//! `?ack=` and `timeout=` of a write: for how many members it waits, and how long.

use std::time::Duration;

use http::Uri;

use super::problem::Problem;
use super::query::{Query, refused};
use crate::app::Ack;
use crate::config::{duration, show_duration};

/// How long a write waits for others if it does not say.
const DEFAULT: Duration = Duration::from_secs(10);
/// The longest time that it may wait.
const LONGEST: Duration = Duration::from_mins(10);

/// What a write waits for after it is durable here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acking {
    pub(super) ack: Ack,
    pub(super) within: Duration,
}

impl Acking {
    /// Reads the query of a write; none: it waits for nobody.
    ///
    /// # Errors
    /// `invalid-query` for anything that is neither.
    pub(super) fn of(uri: &Uri) -> Result<Option<Self>, Problem> {
        if uri.query().is_none() {
            return Ok(None);
        }
        let query = Query::of(uri, &["ack", "class", "timeout"])?;
        let within = query.text("timeout").map(limit).transpose()?;
        let Some(ack) = query.parsed("ack")? else {
            return match within {
                Some(_) => Err(refused("timeout says how long to wait for ack=".into())),
                None => Ok(None),
            };
        };
        let within = within.unwrap_or(DEFAULT);
        Ok(Some(Self { ack, within }))
    }
}

fn limit(text: &str) -> Result<Duration, Problem> {
    let within = duration(text).map_err(|why| refused(format!("timeout={text:?}: {why}")))?;
    if within > LONGEST {
        let longest = show_duration(LONGEST);
        return Err(refused(format!("timeout is {longest} at most")));
    }
    Ok(within)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::problem::Code;

    #[test]
    fn a_write_waits_only_for_what_it_names() {
        let of = |query: &str| {
            let acking = Acking::of(&format!("/v1/store/a/b{query}").parse().unwrap());
            acking.map_err(|problem| problem.code)
        };
        let waits = |ack, seconds| {
            let within = Duration::from_secs(seconds);
            Ok(Some(Acking { ack, within }))
        };
        assert_eq!(of(""), Ok(None));
        assert_eq!(of("?"), Ok(None));
        assert_eq!(of("?ack=2"), waits(Ack::Members(2), 10));
        assert_eq!(of("?timeout=2m&ack=all"), waits(Ack::All, 120));
        for bad in [
            "?ack=",
            "?ack=0",
            "?ack=some",
            "?timeout=1s",
            "?ack=1&timeout=",
            "?ack=1&ack=2",
            "?ack=1&timeout=11m",
            "?ack=1&timeout=-1s",
            "?ack=1&timeout=soon",
            "?wait=1",
        ] {
            assert_eq!(of(bad), Err(Code::InvalidQuery), "{bad}");
        }
    }
}
