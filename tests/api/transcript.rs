//! Transcripts of curl: a file of commands with the answers that they must get, to the letter.
//!
//! A line that begins with `$ ` is a command. Below it stand the status, the headers that matter
//! and the body, up to the next empty line. A line that begins with `# ` is a remark. `A=` before
//! `curl` says which member is asked, where there are several.

use std::fmt::Write;

use crate::member::{Answer, Member, PASSWORD, USER, basic};

/// The headers that are part of a transcript.
const HEADERS: [&str; 5] = [
    "content-type",
    "allow",
    "www-authenticate",
    "retry-after",
    "gaggle-problem",
];

/// Sends the commands of a transcript to `member`, and compares what comes back with its text.
pub(crate) async fn replay(member: &Member, transcript: &str) {
    let mut played = String::new();
    for block in transcript.trim_end().split("\n\n") {
        if !played.is_empty() {
            played.push_str("\n\n");
        }
        let lines: Vec<&str> = block.lines().collect();
        let remarks = lines.iter().take_while(|line| line.starts_with("# "));
        let remarks: Vec<&str> = remarks.copied().collect();
        let command = lines.get(remarks.len()).copied();
        let asked = command.and_then(|line| line.strip_prefix("$ curl "));
        let mut shown = remarks;
        let answer = match asked {
            Some(words) => shown_answer(&Curl::read(words).ask(member).await),
            None => String::new(),
        };
        shown.extend(command);
        played.push_str(&shown.join("\n"));
        played.push_str(&answer);
    }
    assert_eq!(
        played,
        transcript.trim_end(),
        "what was played is not what the transcript says; played:\n{played}\n"
    );
}

fn shown_answer(answer: &Answer) -> String {
    let mut text = format!("\n< {}", answer.status);
    for name in HEADERS {
        if answer.headers.contains_key(name) {
            let _ = write!(text, "\n< {name}: {}", answer.header(name));
        }
    }
    if !answer.body.is_empty() {
        text.push('\n');
        text.push_str(answer.text());
    }
    text
}

/// What a command of curl sends.
#[derive(Debug)]
struct Curl {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Curl {
    /// Reads the words behind `curl`: `-X`, `-I`, `-H`, `-d`, `--anonymous`, and a path.
    fn read(line: &str) -> Self {
        let (mut method, mut path, mut body) = (None, None, None);
        let mut headers = Vec::new();
        let mut anonymous = false;
        let mut words = words(line).into_iter();
        while let Some(word) = words.next() {
            let mut next = || words.next().expect("a word behind a flag");
            match word.as_str() {
                "-X" => method = Some(next()),
                "-I" => method = Some("HEAD".to_owned()),
                "-H" => {
                    let header = next();
                    let (name, value) = header.split_once(": ").expect("a header");
                    headers.push((name.to_lowercase(), value.to_owned()));
                }
                "-d" => body = Some(next()),
                "--anonymous" => anonymous = true,
                _ => path = Some(word),
            }
        }
        if !anonymous && !headers.iter().any(|(name, _)| name == "authorization") {
            headers.push(("authorization".to_owned(), basic(USER, PASSWORD)));
        }
        if body.is_some() && !headers.iter().any(|(name, _)| name == "content-type") {
            let form = "application/x-www-form-urlencoded";
            headers.push(("content-type".to_owned(), form.to_owned()));
        }
        let usual = if body.is_some() { "POST" } else { "GET" };
        Self {
            method: method.unwrap_or_else(|| usual.to_owned()),
            path: path.expect("a path"),
            headers,
            body: body.unwrap_or_default(),
        }
    }

    async fn ask(&self, member: &Member) -> Answer {
        let headers = self.headers.iter();
        let headers: Vec<(&str, &str)> = headers
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let body = self.body.clone();
        member
            .ask_as_is(&self.method, &self.path, &headers, body)
            .await
    }
}

/// The words of a line, where single quotes hold a word together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    assert!(!quoted, "a quote is open: {line}");
    words.extend(word);
    words
}

#[test]
fn words_are_read_as_a_shell_would() {
    let read = words("-X PUT -d '{\"value\": \"a b\"}'  '' x");
    assert_eq!(read, ["-X", "PUT", "-d", "{\"value\": \"a b\"}", "", "x"]);
}
