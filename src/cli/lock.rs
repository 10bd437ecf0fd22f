//! `gaggle lock`: runs a command while a lock is held.

use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::coordination::{ask, once, path, post};
use super::exit::{Exit, Failure};
use super::output::{self, Printer, Rows, Tone, cell};
use super::session::{Session, wait_for};
use crate::config::{ClientConfig, Flags, duration};
use crate::io::clock::{mono, sleep_until};
use crate::io::http_client::ApiRequest;
use crate::protocol::Mono;

/// How long a command has to end by itself after it was asked to.
const GRACE: Duration = Duration::from_secs(5);
/// The shortest time for one try to renew the lease, and between two.
const SHORTEST: Duration = Duration::from_millis(50);
/// Beside the time to wait for the lock: for the way there and back, and a change of the leader.
const ON_THE_WAY: Duration = Duration::from_secs(10);

/// Run a command while holding a lock, or show the locks
///
/// Waits for the lock, runs the command with the lock's name in `GAGGLE_LOCK` and its fencing token
/// in `GAGGLE_LOCK_TOKEN`, keeps the lock while the command runs, and gives it back. If the lock is
/// lost, the command is stopped (TERM, KILL after 5s). The exit code is the command's (128 and the
/// signal's number if a signal ended it), 5 if the lock was lost or is held and was not to be
/// waited for, 7 if it was not free in time. Send the token along with what the command writes
/// (--if-fence): a command that was asleep too long must not write any more. With --list the lock
/// is shown with who holds it and who waits; without a name and a command all locks.
#[derive(clap::Args)]
#[command(
    override_usage = "gaggle lock [OPTIONS] <NAME> -- <COMMAND>...\n       \
                            gaggle lock [OPTIONS] --list [NAME]"
)]
pub(super) struct Lock {
    /// The lock
    name: Option<String>,
    /// Show who holds the lock and who waits for it; without a name all locks
    #[arg(long, short, conflicts_with_all = ["ttl", "wait", "limit", "value", "command"])]
    list: bool,
    /// How long the lock outlives this program if that dies
    #[arg(long, default_value = "30s", value_parser = duration)]
    ttl: Duration,
    /// How long to wait for it; 0s: not at all
    #[arg(long, default_value = "0s", value_parser = duration)]
    wait: Duration,
    /// How many may hold it at once; the same for all who use it
    #[arg(long, default_value_t = 1)]
    limit: u32,
    /// What others see of the holder
    #[arg(long)]
    value: Option<String>,
    /// The command and its arguments
    #[arg(last = true)]
    command: Vec<String>,
}

/// Who forgets the command must not take it for done.
fn no_command(name: &str) -> Failure {
    let failure = Failure::usage("there is no command to run while the lock is held");
    failure.hint(format!(
        "`gaggle lock {name} -- COMMAND` runs one; `gaggle lock --list` shows the locks"
    ))
}

impl Lock {
    pub(super) fn run(self, flags: Flags) -> Result<ExitCode, Failure> {
        let config = super::client_config(flags)?;
        let Some(name) = self.name.clone() else {
            if !self.command.is_empty() {
                let why = "the lock is not named: its name stands before the --";
                return Err(Failure::usage(why));
            }
            let all = wait_for(Session::open(&config)?.json("/v1/locks"))?;
            let locks = all.get("locks").cloned().unwrap_or_default();
            Printer::new(config.output).show(&locks, || rows(&locks))?;
            return Ok(Exit::Ok.into());
        };
        let Some((program, args)) = self.command.split_first() else {
            if !self.list {
                return Err(no_command(&name));
            }
            let lock = wait_for(Session::open(&config)?.json(&path("locks", &name)))?;
            let list = Value::Array(vec![lock.clone()]);
            Printer::new(config.output).show(&lock, || rows(&list))?;
            return Ok(Exit::Ok.into());
        };
        let held = self.acquire(&config, &name)?;
        let ended = wait_for(self.hold(&config, &held, program, args));
        held.release(&config);
        match ended? {
            Ended::Child(status) => Ok(code_of(status).into()),
            Ended::Lost(why) => Err(Failure::message(
                Exit::Conflict,
                format!("the lock {name:?} was lost: {why}; the command was stopped"),
            )),
        }
    }

    fn acquire(&self, config: &ClientConfig, name: &str) -> Result<Held, Failure> {
        let session = Session::open_within(config, self.wait + ON_THE_WAY)?;
        let mut body = json!({
            "ttl": text(self.ttl),
            "max_wait": text(self.wait),
            "limit": self.limit,
        });
        if let Some(value) = &self.value {
            body["value"] = value.as_str().into();
        }
        let place = format!("{}/acquire", path("locks", name));
        let asked = mono();
        let answer = ask(&session, once(place, &body))?;
        let field = |name: &str| answer.get(name).map(cell).unwrap_or_default();
        Ok(Held {
            name: name.to_owned(),
            nonce: field("nonce"),
            token: field("token"),
            // The lease began later than it was asked for, but how much later nobody knows who
            // waited: it is renewed at once.
            until: if self.wait.is_zero() {
                asked.plus(self.ttl)
            } else {
                mono().plus(self.ttl)
            },
            first_renewal: if self.wait.is_zero() {
                self.ttl / 3
            } else {
                Duration::ZERO
            },
        })
    }

    /// Runs the command until it ends or the lock is lost.
    async fn hold(
        &self,
        config: &ClientConfig,
        held: &Held,
        program: &str,
        args: &[String],
    ) -> Result<Ended, Failure> {
        let spawned = Command::new(program)
            .args(args)
            .env("GAGGLE_LOCK", &held.name)
            .env("GAGGLE_LOCK_TOKEN", &held.token)
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|why| {
            Failure::message(Exit::Error, format!("{program:?} cannot be started: {why}"))
        })?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let renewing = renew(config, held, self.ttl);
        tokio::pin!(renewing);
        loop {
            tokio::select! {
                ended = child.wait() => return Ok(Ended::Child(ended?)),
                why = &mut renewing => {
                    stop(&mut child).await;
                    return Ok(Ended::Lost(why));
                }
                // A terminal sends Ctrl-C to the command as well; what is sent to us alone is
                // passed on.
                _ = interrupt.recv() => {}
                _ = terminate.recv() => tell(&child),
            }
        }
    }
}

enum Ended {
    Child(ExitStatus),
    Lost(String),
}

struct Held {
    name: String,
    nonce: String,
    token: String,
    /// Until when it is certainly held.
    until: Mono,
    /// After how long it is renewed first.
    first_renewal: Duration,
}

impl Held {
    fn request(&self, action: &str) -> ApiRequest {
        let place = format!("{}/{action}", path("locks", &self.name));
        post(place, &json!({"nonce": self.nonce}))
    }

    /// Gives it back; if that does not succeed, it runs out by itself.
    fn release(&self, config: &ClientConfig) {
        let session = Session::open(config);
        let released = session.and_then(|session| wait_for(session.send(self.request("release"))));
        if let Err(failure) = released
            && failure.exit != Exit::Conflict
        {
            let text = format!("the lock runs out by itself: {:#}", failure.error);
            output::message("warning", Tone::Warning, &text);
        }
    }
}

/// Prolongs the lease again and again; completes with the reason when it is lost.
async fn renew(config: &ClientConfig, held: &Held, ttl: Duration) -> String {
    let (mut until, mut pause) = (held.until, held.first_renewal);
    let mut last = String::from("no member answered in time");
    // Time to stop the command before somebody else gets the lock.
    let margin = GRACE.min(ttl / 4);
    loop {
        let spare = until.since(mono()).saturating_sub(margin);
        sleep_until(mono().plus(pause.min(spare / 2))).await;
        let asked = mono();
        let spare = until.since(asked).saturating_sub(margin);
        if spare.is_zero() {
            return last;
        }
        let limit = spare.min(ttl / 3).max(SHORTEST);
        match renewed(config, held, limit).await {
            Ok(()) => until = asked.plus(ttl),
            Err(failure) if failure.exit == Exit::Conflict || failure.exit == Exit::NotFound => {
                return format!("{:#}", failure.error);
            }
            Err(failure) => {
                last = format!("{:#}", failure.error);
                // It may have failed at once.
                sleep_until(mono().plus(SHORTEST)).await;
            }
        }
        pause = ttl / 3;
    }
}

async fn renewed(config: &ClientConfig, held: &Held, limit: Duration) -> Result<(), Failure> {
    let session = Session::open_within(config, limit)?;
    session.send(held.request("renew")).await.map(drop)
}

fn tell(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
        // It may just have ended by itself.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

async fn stop(child: &mut Child) {
    tell(child);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// As a shell has it.
fn code_of(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn text(span: Duration) -> String {
    format!("{}ms", span.as_millis())
}

/// One row for each who holds or waits, in the order in which they are served; one row for a lock
/// that nobody holds.
fn rows(locks: &Value) -> Rows {
    let mut rows = Rows::new([
        "LOCK", "LIMIT", "STATE", "WHO", "TOKEN", "SINCE", "LEFT", "VALUE",
    ]);
    for lock in locks.as_array().into_iter().flatten() {
        let all = |name: &str| {
            lock.get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        let (name, limit) = (field(lock, "name"), field(lock, "limit"));
        for holder in all("holders") {
            let of = |name: &str| field(holder, name);
            let since = span(holder, "age_ms");
            let left = span(holder, "expires_in_ms");
            let (who, token, value) = (of("author"), of("token"), of("value"));
            let cells = [&*name, &limit, "held", &who, &token, &since, &left, &value];
            rows.push(cells, Tone::Good);
        }
        for waiter in all("waiters") {
            let (who, since) = (field(waiter, "author"), span(waiter, "age_ms"));
            let left = span(waiter, "left_ms");
            let cells = [&*name, &limit, "waits", &who, "", &since, &left, ""];
            rows.push(cells, Tone::Warning);
        }
        if all("holders").next().is_none() {
            let token = field(lock, "token");
            rows.push(
                [&*name, &limit, "free", "", &token, "", "", ""],
                Tone::Plain,
            );
        }
    }
    rows
}

fn field(at: &Value, name: &str) -> String {
    at.get(name).map(cell).unwrap_or_default()
}

/// Milliseconds, as people read them.
fn span(at: &Value, name: &str) -> String {
    let Some(millis) = at.get(name).and_then(Value::as_u64) else {
        return String::new();
    };
    let (seconds, tenths) = (millis / 1000, millis % 1000 / 100);
    match seconds {
        0..60 => format!("{seconds}.{tenths}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_and_waiters_have_a_row_each_and_so_has_a_lock_that_is_free() {
        let locks = json!([
            {"name": "a", "limit": 1, "token": 7,
             "holders": [{"author": "ann", "token": 7, "age_ms": 61_500, "expires_in_ms": 8_250,
                          "value": "h1"}],
             "waiters": [{"author": "bob", "age_ms": 100, "left_ms": 3_600_000}]},
            {"name": "b", "limit": 2, "token": 5, "holders": [], "waiters": []},
        ]);
        let mut expected = Rows::new([
            "LOCK", "LIMIT", "STATE", "WHO", "TOKEN", "SINCE", "LEFT", "VALUE",
        ]);
        let held = ["a", "1", "held", "ann", "7", "1m01s", "8.2s", "h1"];
        expected.push(held, Tone::Good);
        let waits = ["a", "1", "waits", "bob", "", "0.1s", "1h00m", ""];
        expected.push(waits, Tone::Warning);
        expected.push(["b", "2", "free", "", "5", "", "", ""], Tone::Plain);
        assert_eq!(rows(&locks), expected);
    }
}
