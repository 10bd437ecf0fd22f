//! `gaggle set`: writes a value, or several at once.

use std::fs;
use std::io::{self, IsTerminal, Read};

use anyhow::Context;
use http::header::{CONTENT_TYPE, ETAG};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::ack::AckFlag;
use super::class::{self, Class};
use super::exit::{Exit, Failure};
use super::fence::Fence;
use super::names::{key_name, node_name};
use super::output::{self, Printer, Rows, Tone};
use super::session::{in_query, key_path, node_path, wait_for};
use crate::config::{Flags, Output};
use crate::io::http_client::{ApiAnswer, ApiRequest};
use crate::model::NodeName;

/// Write a value, or several at once
///
///   gaggle set web colour blue          the value blue
///   gaggle set web page @page.html      the content of a file
///   gaggle set web page - < page.html   what comes in on stdin
///   gaggle set web --pairs colour=blue size=4
///                                       both at once, or none
///   gaggle set --class strong deploy colour blue
///                                       in a strong node, which is made if it is not there
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
#[command(
    override_usage = "gaggle set [OPTIONS] <NODE> <KEY> <VALUE|@FILE|->\n       \
                            gaggle set [OPTIONS] <NODE> --pairs <KEY=VALUE>..."
)]
pub(super) struct Set {
    /// The node; it is made if it is not there
    node: String,
    /// The key and its value; or pairs of them with --pairs
    #[arg(value_name = "KEY", required = true, num_args = 1..)]
    #[arg(allow_negative_numbers = true)]
    words: Vec<String>,
    /// Take the words as key=value pairs, written all at once
    #[arg(
        long,
        conflicts_with_all = ["content_type", "literal", "create", "if_match", "if_none_match"]
    )]
    pairs: bool,
    /// Take VALUE as it is, even if it is - or begins with @
    #[arg(long)]
    literal: bool,
    /// The value's content type [text/plain, or application/octet-stream if it is no UTF-8]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Write only if the key is not there yet
    #[arg(long, conflicts_with_all = ["if_match", "if_none_match"])]
    create: bool,
    /// Write only if the value's `ETag` is this one; * for any
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
    /// Write only if the value's `ETag` is another one; * for: only if the key is not there
    #[arg(long, value_name = "ETAG")]
    if_none_match: Option<String>,
    /// Write to a node of this class; a node keeps the class that it was made with
    #[arg(long, value_enum)]
    class: Option<Class>,
    #[command(flatten)]
    fence: Fence,
    #[command(flatten)]
    ack: AckFlag,
}

impl Set {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let node = node_name(&self.node)?;
        let mut request = if self.pairs {
            self.patch(&node)?
        } else {
            self.put(&node)?
        };
        request = self.fence.on(request);
        let config = super::client_config(flags)?;
        request.path = class::on(self.class, self.ack.on(request.path, config.timeout)?);
        let session = self.ack.session(&config)?;
        let answer = match wait_for(session.send(request.clone())) {
            // No write makes a strong node: its class would depend on who knows of the node.
            Err(why) if self.class == Some(Class::Strong) && why.exit == Exit::NotFound => {
                wait_for(session.send(make_strong(&node)))?;
                wait_for(session.send(request))?
            }
            answer => answer?,
        };
        self.report(&answer, Printer::new(config.output))?;
        Ok(Exit::Ok)
    }

    fn put(&self, node: &NodeName) -> Result<ApiRequest, Failure> {
        let (key, value) =
            match self.words.as_slice() {
                [key] => (key, None),
                [key, value] => (key, Some(value.as_str())),
                [_, _, more, ..] => {
                    return Err(Failure::usage(format!("{more:?} is one word too many")).hint(
                    "quote a value that has blanks; with --pairs the words are key=value pairs",
                ));
                }
                [] => return Err(Failure::usage("the key is missing")),
            };
        let path = key_path(node, &key_name(key)?);
        let mut request =
            ApiRequest::new(Method::PUT, path).with_body(octets(value, self.literal)?);
        if let Some(content_type) = &self.content_type {
            let value = content_type.parse().map_err(|_| {
                Failure::usage(format!("{content_type:?} is no content type"))
                    .hint("for example application/json")
            })?;
            request.headers.insert(CONTENT_TYPE, value);
        }
        if self.create {
            request = request.with_header("if-none-match", "*");
        }
        if let Some(tag) = &self.if_match {
            request = request.with_header("if-match", &quoted(tag)?);
        }
        if let Some(tag) = &self.if_none_match {
            request = request.with_header("if-none-match", &quoted(tag)?);
        }
        Ok(request)
    }

    fn patch(&self, node: &NodeName) -> Result<ApiRequest, Failure> {
        let mut pairs = Map::new();
        for word in &self.words {
            let (key, value) = word.split_once('=').ok_or_else(|| {
                Failure::usage(format!("{word:?} is no pair")).hint("for example colour=blue")
            })?;
            let key = key_name(key)?;
            pairs.insert(key.as_str().to_owned(), Value::from(value));
        }
        let body = Value::Object(pairs).to_string();
        let request = ApiRequest::new(Method::PATCH, node_path(node)).with_body(body);
        Ok(request.with_header("content-type", "application/merge-patch+json"))
    }

    /// Programs get the outcome; people see a word on stderr.
    fn report(&self, answer: &ApiAnswer, printer: Printer) -> Result<(), Failure> {
        let outcome = if answer.status == StatusCode::CREATED {
            "created"
        } else {
            "replaced"
        };
        let key = self.words.first().filter(|_| !self.pairs);
        if matches!(printer.output(), None | Some(Output::Raw)) {
            if io::stderr().is_terminal() {
                let place = key.map_or(String::new(), |key| format!("/{key}"));
                output::message(outcome, Tone::Good, &format!("{}{place}", self.node));
            }
            return Ok(());
        }
        let etag = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        let value = json!({"node": self.node, "key": key, "outcome": outcome, "etag": etag});
        printer.show(&value, || {
            let mut rows = Rows::new(["NODE", "KEY", "OUTCOME", "ETAG"]);
            let key = key.map_or("", String::as_str);
            rows.push([&self.node, key, outcome, etag.unwrap_or("")], Tone::Plain);
            rows
        })
    }
}

/// Makes a strong node; one that is there stays as it is.
fn make_strong(node: &NodeName) -> ApiRequest {
    let path = format!("/v1/nodes/{}", in_query(node.as_str()));
    let body = json!({"class": Class::Strong.word()}).to_string();
    ApiRequest::new(Method::PUT, path)
        .with_header("content-type", "application/json")
        .with_body(body)
}

/// The value's bytes: the word itself, a file's content, or stdin.
fn octets(value: Option<&str>, is_literal: bool) -> Result<Vec<u8>, Failure> {
    match value {
        Some(text) if is_literal => Ok(text.as_bytes().to_vec()),
        None => Err(Failure::usage("the value is missing")
            .hint("give it as a word, as @FILE, or as - for stdin; with --pairs as key=value")),
        Some("-") => stdin(),
        Some(text) => match text.strip_prefix('@') {
            Some(path) => fs::read(path)
                .with_context(|| format!("the file {path} cannot be read"))
                .map_err(|why| {
                    Failure::new(Exit::Error, why)
                        .hint("a value that begins with @ needs --literal")
                }),
            None => Ok(text.as_bytes().to_vec()),
        },
    }
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    io::stdin()
        .read_to_end(&mut octets)
        .context("stdin cannot be read")?;
    Ok(octets)
}

/// An `ETag` as HTTP wants it: in quotes, unless it is `*`.
pub(super) fn quoted(tag: &str) -> Result<String, Failure> {
    if tag.chars().any(|c| c.is_control() || c == ' ') || tag.is_empty() {
        return Err(Failure::usage(format!("{tag:?} is no ETag"))
            .hint("`gaggle get NODE KEY -o json` shows it as the stamp"));
    }
    if tag == "*" || tag.ends_with('"') {
        Ok(tag.to_owned())
    } else {
        Ok(format!("\"{tag}\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_word_or_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("v");
        fs::write(&file, [0, 255]).unwrap();
        let at_file = format!("@{}", file.display());
        assert_eq!(octets(Some("blue"), false).unwrap(), b"blue");
        assert_eq!(octets(Some(""), false).unwrap(), b"");
        assert_eq!(octets(Some(&at_file), false).unwrap(), [0, 255]);
        assert_eq!(octets(Some(&at_file), true).unwrap(), at_file.as_bytes());
        assert_eq!(octets(Some("-"), true).unwrap(), b"-");
        let missing = octets(Some("@/nowhere"), false).unwrap_err().to_string();
        assert!(missing.contains("/nowhere") && missing.contains("--literal"));
    }

    #[test]
    fn etags_get_their_quotes() {
        for (tag, expected) in [("*", "*"), ("a-1", "\"a-1\""), ("\"a\"", "\"a\"")] {
            assert_eq!(quoted(tag).unwrap(), expected);
        }
        assert!(quoted("").is_err() && quoted("a\nb").is_err());
    }
}
