//! A client that writes and reads bytes, so that nothing is made right on the way.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::harness::Member;

/// How long an answer may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A member with a map face, alone.
pub(crate) fn car(flags: &[&str]) -> Member {
    let mut all = vec!["--map-listen", "127.0.0.1:0"];
    all.extend_from_slice(flags);
    Member::start_with(&["serve"], &all)
}

/// Where a member's map face listens.
pub(crate) fn place(member: &Member) -> SocketAddr {
    let text = std::fs::read_to_string(member.data().join("member.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    file["map"].as_str().unwrap().parse().unwrap()
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        let found = pairs.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(
            self.status,
            status,
            "{} {}",
            self.head,
            String::from_utf8_lossy(&self.body)
        );
        self
    }
}

/// A connection.
pub(crate) struct Line {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Line {
    pub(crate) fn to(member: &Member) -> Self {
        let stream = TcpStream::connect(place(member)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            rest: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads one answer; `to` is the method that it answers.
    pub(crate) fn answer(&mut self, to: &str) -> Answer {
        let end = loop {
            let end = self.rest.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => assert!(self.more(), "no answer: {:?}", self.rest),
            }
        };
        let head = String::from_utf8(self.rest.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        let has_body = to != "HEAD" && ![204, 304].contains(&status);
        if has_body {
            let length: usize = answer.header("content-length").parse().unwrap();
            while self.rest.len() < length {
                assert!(self.more(), "the body ends after {} bytes", self.rest.len());
            }
            answer.body = self.rest.drain(..length).collect();
        }
        answer
    }

    /// Whether the other side has closed, and sent nothing more.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.rest.is_empty() && !self.more()
    }

    /// Whether a request is answered here at all.
    pub(crate) fn is_open(&mut self) -> bool {
        let asked = self
            .stream
            .write_all(b"OPTIONS /map HTTP/1.1\r\nHost: localhost\r\n\r\n");
        if asked.is_err() || !self.more() {
            return false;
        }
        self.answer("OPTIONS").status == 204
    }

    fn more(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(count) => {
                self.rest.extend_from_slice(&piece[..count]);
                true
            }
            Err(why) if why.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(why) => panic!("{why}"),
        }
    }

    /// Asks on this connection.
    pub(crate) fn ask(&mut self, method: &str, target: &str, body: &[u8]) -> Answer {
        self.ask_with(method, target, "", body)
    }

    /// The same with further header lines, each with its line end.
    pub(crate) fn ask_with(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        body: &[u8],
    ) -> Answer {
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\
             \r\n\r\n"
        );
        self.send(&[head.as_bytes(), body].concat());
        self.answer(method)
    }
}

/// Asks on a connection of its own.
pub(crate) fn ask(member: &Member, method: &str, target: &str, body: &[u8]) -> Answer {
    Line::to(member).ask(method, target, body)
}
