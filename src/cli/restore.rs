//! `gaggle restore`: writes an older version of a key again.

use http::Method;
use http::header::ETAG;
use serde_json::{Value, json};

use super::ack::AckFlag;
use super::escape::{Lines, for_terminal};
use super::exit::{Exit, Failure};
use super::names::place;
use super::output::{self, Printer, Rows, Tone};
use super::session::{history_path, wait_for};
use super::set::quoted;
use super::versions::{Versions, field, is_deleted, stamp, what};
use crate::config::{Flags, Output};
use crate::io::http_client::ApiRequest;
use crate::model::{KeyName, NodeName};

/// So many characters of a value are shown.
const SHOWN: usize = 60;

/// Write an older version of a key again, or choose one of a conflict
///
///   gaggle restore web/colour -1        the version before the current one
///   gaggle restore web/colour 01a1fc69  the version whose stamp begins so
///
/// It is a new write: the history keeps what was there, and nothing is lost. All versions of the
/// key that are in conflict count as settled by it. Restoring a deletion deletes.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
#[command(override_usage = "gaggle restore [OPTIONS] <NODE/KEY> <STAMP>")]
pub(super) struct Restore {
    /// The node and the key, and the version: a stamp, its beginning, or -1, -2 … for so many
    /// versions back
    #[arg(value_name = "NODE/KEY STAMP", required = true, num_args = 2..=3)]
    #[arg(allow_negative_numbers = true)]
    words: Vec<String>,
    /// Restore only if the current value's `ETag` is this one; * for any
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
    #[command(flatten)]
    ack: AckFlag,
}

impl Restore {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let (node, key, rest) = place(&self.words)?;
        let word = match rest {
            [word] => word,
            [] => return Err(Failure::usage("the version is missing").hint("for example -1")),
            [_, more, ..] => {
                return Err(Failure::usage(format!("{more:?} is one word too many")));
            }
        };
        let tag = self.if_match.as_deref().map(quoted).transpose()?;
        let config = super::client_config(flags)?;
        let session = self.ack.session(&config)?;
        let (version, answer) = wait_for(async {
            let versions = Versions::read(&session, &node, &key).await?;
            let version = versions.find(word)?.clone();
            let path = format!("{}/restore", history_path(&node, &key));
            let path = self.ack.on(path, config.timeout)?;
            let body = json!({ "stamp": stamp(&version) }).to_string();
            let mut request = ApiRequest::new(Method::POST, path)
                .with_body(body)
                .with_header("content-type", "application/json");
            if let Some(tag) = &tag {
                request = request.with_header("if-match", tag);
            }
            Ok((version, session.send(request).await?))
        })?;
        let outcome = if is_deleted(&version) {
            "deleted"
        } else {
            "restored"
        };
        if matches!(config.output, None | Some(Output::Raw)) {
            output::message(outcome, Tone::Good, &told(&node, &key, &version));
            return Ok(Exit::Ok);
        }
        let etag = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        let value = json!({
            "node": node.as_str(), "key": key.as_str(), "outcome": outcome,
            "restored": stamp(&version), "etag": etag,
        });
        Printer::new(config.output).show(&value, || {
            let mut rows = Rows::new(["NODE", "KEY", "OUTCOME", "RESTORED", "ETAG"]);
            let etag = etag.unwrap_or_default();
            let cells = [node.as_str(), key.as_str(), outcome, stamp(&version), etag];
            rows.push(cells, Tone::Plain);
            rows
        })?;
        Ok(Exit::Ok)
    }
}

/// What was written again, in one line: which value, as of when.
fn told(node: &NodeName, key: &KeyName, version: &Value) -> String {
    let mut shown = for_terminal(what(version).as_bytes(), Lines::Escape);
    if let Some((end, _)) = shown.char_indices().nth(SHOWN) {
        shown.truncate(end);
        shown.push('…');
    }
    let (written, stamp) = (field(version, "written"), stamp(version));
    format!("{node}/{key} is again what it was at {written} ({stamp}): {shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_restored_is_told_in_one_short_line() {
        let (node, key) = ("web".parse().unwrap(), "a/b".parse().unwrap());
        let check = |version: Value, expected: &str| {
            assert_eq!(told(&node, &key, &version), expected);
        };
        let version = |value: &str| json!({"stamp": "03-7-1", "written": "then", "value": value});
        let begin = "web/a/b is again what it was at then (03-7-1): ";
        check(version("a\nb"), &format!("{begin}a\\nb"));
        let long = format!("{begin}{}…", "x".repeat(SHOWN));
        check(version(&"x".repeat(500)), &long);
        let gone = json!({"stamp": "03-7-1", "written": "then", "deleted": true});
        check(gone, &format!("{begin}(deleted)"));
    }
}
