//! The recorder: several clients, each with a session, write and read a few keys at random members
//! and take down what they asked, when, and what they were told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use gaggle::io::clock::mono;
use gaggle::model::Stamp;

use super::check::{Act, Operation, Outcome};
use crate::harness::Client;

/// The header that carries a session's token.
pub(super) const TOKEN: &str = "Gaggle-Session";
/// Keys that all clients share; few, so that they meet.
const KEYS: u64 = 4;

/// A run.
pub(super) struct Recorder<'a> {
    /// One way to each member.
    pub(super) members: &'a [Client],
    /// How many clients work at once.
    pub(super) clients: usize,
}

impl Recorder<'_> {
    /// Has the clients work while `work` goes on; gives what they took down.
    pub(super) fn during(&self, work: impl FnOnce()) -> Vec<Operation> {
        let stop = AtomicBool::new(false);
        let handed = Mutex::new(None);
        let mut run = Vec::new();
        std::thread::scope(|scope| {
            let users: Vec<_> = (0..self.clients)
                .map(|number| {
                    let user = User {
                        number,
                        dice: Dice(0x9e37_79b9 + u64::try_from(number).expect("a small number")),
                        token: None,
                        members: self.members,
                    };
                    let (stop, handed) = (&stop, &handed);
                    scope.spawn(move || user.work(stop, handed))
                })
                .collect();
            work();
            stop.store(true, Ordering::Release);
            for user in users {
                run.extend(user.join().expect("a client that ends"));
            }
        });
        run
    }
}

/// One client.
struct User<'a> {
    number: usize,
    dice: Dice,
    token: Option<String>,
    members: &'a [Client],
}

impl User<'_> {
    fn work(mut self, stop: &AtomicBool, handed: &Mutex<Option<String>>) -> Vec<Operation> {
        let mut run = Vec::new();
        while !stop.load(Ordering::Acquire) {
            // Now and then one client tells another what it saw.
            let mut slot = handed.lock().unwrap_or_else(PoisonError::into_inner);
            match self.dice.below(12) {
                0 => *slot = self.token.clone().or(slot.take()),
                1 => self.token = slot.clone().or(self.token),
                _ => {}
            }
            drop(slot);
            let operation = self.operate(run.len());
            self.token = operation.got.clone().or(self.token);
            run.push(operation);
        }
        run
    }

    fn operate(&mut self, count: usize) -> Operation {
        let member = self.dice.pick(self.members.len());
        let key = format!("key-{}", self.dice.below(KEYS));
        let act = match self.dice.below(10) {
            0 => Act::Delete,
            1..=4 => Act::Put(format!("client {} value {count}", self.number)),
            _ => Act::Get,
        };
        let path = format!("/v1/store/causal/{key}");
        let header = self.token.as_ref().map(|token| format!("{TOKEN}: {token}"));
        let mut options = vec!["--include", "--max-time", "5"];
        if let Some(header) = &header {
            options.extend(["--header", header]);
        }
        match &act {
            Act::Put(value) => {
                let kind = "Content-Type: text/plain";
                options.extend(["-X", "PUT", "--header", kind, "--data-raw", value]);
            }
            Act::Delete => options.extend(["-X", "DELETE"]),
            Act::Get => {}
        }
        let begin = micros();
        let reply = self.members[member].ask(&options, &path);
        let end = micros();
        let answer = Answer::read(reply.status, &reply.body);
        Operation {
            client: self.number,
            member,
            key,
            outcome: answer.outcome(&act),
            act,
            begin,
            end,
            sent: self.token.clone(),
            got: answer.token,
        }
    }
}

fn micros() -> u64 {
    u64::try_from(mono().0.as_micros()).expect("a short run")
}

/// What a member said.
struct Answer {
    status: u16,
    stamp: Option<Stamp>,
    token: Option<String>,
    body: String,
}

impl Answer {
    fn read(status: u16, text: &str) -> Self {
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let header = |name: &str| {
            let values = head.lines().filter_map(|line| line.split_once(':'));
            let mut values = values.filter(|(found, _)| found.eq_ignore_ascii_case(name));
            values.next().map(|(_, value)| value.trim().to_owned())
        };
        let tag = header("etag").unwrap_or_default();
        Self {
            status,
            stamp: tag.trim_matches('"').parse().ok(),
            token: header(TOKEN).filter(|_| status > 0),
            body: body.to_owned(),
        }
    }

    fn outcome(&self, act: &Act) -> Outcome {
        let refused = self.body.contains("\"outcome\":\"not-applied\"");
        match (act, self.status) {
            (Act::Get, 200) => {
                let stamp = self.stamp.expect("a value has a stamp");
                Outcome::Read(Some((stamp, self.body.clone())))
            }
            (Act::Get, 404) => Outcome::Read(None),
            (Act::Put(_) | Act::Delete, 200..=299) => Outcome::Written(self.stamp),
            (Act::Delete, 404) | (Act::Get, _) => Outcome::Refused,
            (Act::Put(_) | Act::Delete, 1..) if refused => Outcome::Refused,
            (Act::Put(_) | Act::Delete, _) => Outcome::Unknown,
        }
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        // Xorshift (Marsaglia, 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn pick(&mut self, count: usize) -> usize {
        let limit = u64::try_from(count).expect("a small number");
        usize::try_from(self.below(limit)).expect("a small number")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_its_stamp_and_its_token() {
        let text = "HTTP/2 200 \r\netag: \"0199f3a2c4d50000-1f3a2b4c5d6e7f80-42\"\r\n\
                    Gaggle-Session: abc\r\n\r\nblue";
        let answer = Answer::read(200, text);
        assert_eq!(answer.token.as_deref(), Some("abc"));
        let Outcome::Read(Some((stamp, value))) = answer.outcome(&Act::Get) else {
            panic!("a read of a value");
        };
        assert_eq!((stamp.sequence, value.as_str()), (42, "blue"));
    }

    #[test]
    fn what_was_not_applied_is_told_from_what_nobody_knows() {
        let put = Act::Put("x".to_owned());
        let problem = "HTTP/2 503 \r\n\r\n{\"code\":\"x\",\"outcome\":\"not-applied\"}";
        assert_eq!(Answer::read(503, problem).outcome(&put), Outcome::Refused);
        let unknown = "HTTP/2 503 \r\n\r\n{\"code\":\"x\",\"outcome\":\"unknown\"}";
        assert_eq!(Answer::read(503, unknown).outcome(&put), Outcome::Unknown);
        assert_eq!(Answer::read(0, "no route").outcome(&put), Outcome::Unknown);
        assert_eq!(
            Answer::read(0, "no route").outcome(&Act::Get),
            Outcome::Refused
        );
        let missing = Answer::read(404, "HTTP/2 404 \r\n\r\n{}");
        assert_eq!(missing.outcome(&Act::Delete), Outcome::Refused);
    }
}
