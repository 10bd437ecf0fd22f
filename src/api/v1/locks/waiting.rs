//! Waiting for a lock: what becomes of a request is told by the member's own state, as it is
//! applied here, whoever leads.

use std::time::Duration;

use tokio::sync::watch;

use super::Grant;
use super::acquiring::Claim;
use crate::api::coordination::timeout;
use crate::api::followers::Fate;
use crate::api::log_clock::Clocks;
use crate::api::problem::{Code, Outcome as Became, Problem};
use crate::api::query::Query;
use crate::api::server::Call;
use crate::io::clock;
use crate::protocol::Mono;
use crate::strong::{
    Acquire, Command, End, Holder, Lock, LockCommand, Millis, Nonce, Outcome, Refused,
};

/// How long it is waited before something is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a look at the state may take.
const LOOK: Duration = Duration::from_secs(2);
/// So many holders of a semaphore are named.
const NAMED: usize = 3;

/// A request for a lock, on its way.
pub(super) struct Asking<'a> {
    call: &'a Call<'a>,
    query: &'a Query,
    acquire: &'a Acquire,
    /// Until when its client is kept waiting: `max_wait` runs by the log's time, which stands still
    /// while the leader changes, so a little longer than that.
    until: Mono,
}

impl<'a> Asking<'a> {
    pub(super) fn new(
        call: &'a Call<'a>,
        query: &'a Query,
        acquire: &'a Acquire,
    ) -> Result<Self, Problem> {
        let wait = Duration::from_millis(acquire.max_wait.0);
        Ok(Self {
            call,
            query,
            acquire,
            until: clock::mono().plus(wait).plus(timeout(query)?),
        })
    }

    /// The grant, once there is one.
    pub(super) async fn grant(&self, claim: &mut Claim) -> Result<Grant, Problem> {
        let nonce = self.acquire.nonce;
        let followers = &self.call.api.followers;
        let (_seat, mut fate) = followers.request(nonce);
        let outcome = self.ask(claim).await?;
        match outcome {
            Outcome::Granted {
                nonce: known,
                token,
                expires,
            } if known == nonce => Ok(Grant {
                nonce,
                token,
                expires,
                left: self.acquire.ttl,
            }),
            Outcome::Waiting { nonce: known, .. } if known == nonce => {
                self.wait(nonce, &mut fate, Fate::Open, claim).await
            }
            // What follows is for retries: the first try drew another nonce.
            Outcome::Granted { nonce, token, .. } => match self.look(nonce).await? {
                Seen::Holds(grant) => {
                    claim.is_of(nonce);
                    Ok(grant)
                }
                Seen::Waits | Seen::Gone(_) => {
                    claim.close();
                    Err(over(token))
                }
            },
            Outcome::Waiting { nonce, .. } => {
                claim.is_of(nonce);
                let (_seat, mut fate) = followers.request(nonce);
                self.wait(nonce, &mut fate, Fate::Unsure(0), claim).await
            }
            _ => Err(Problem::internal()),
        }
    }

    /// Asks until there is an answer. The same nonce again is the same request.
    async fn ask(&self, claim: &mut Claim) -> Result<Outcome, Problem> {
        let mut in_doubt = false;
        loop {
            let acquire = LockCommand::Acquire(self.acquire.clone());
            let command = Command::Lock(acquire);
            let problem = match self.call.propose(self.query, command).await {
                Ok(outcome) => return Ok(outcome),
                Err(problem) => problem,
            };
            in_doubt |= problem.outcome == Became::Unknown;
            if !in_doubt {
                claim.close();
                return Err(self.told(problem));
            }
            if !is_passing(&problem) {
                return Err(problem);
            }
            if clock::mono() >= self.until {
                return Err(problem.outcome(Became::Unknown));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// The same problem; if the lock is held, with who holds it, as far as this member knows.
    fn told(&self, problem: Problem) -> Problem {
        if problem.code != Code::LockHeld {
            return problem;
        }
        let problem = problem.hint(
            "with max_wait the request waits in the line for it; GET /v1/locks/{name} shows who \
             holds it and who waits",
        );
        let Ok(engine) = self.call.engine() else {
            return problem;
        };
        let view = engine.local();
        let clocks = Clocks::of(engine, &view);
        let lock = view.state.locks().lock(self.acquire.name.as_str());
        let holders = lock.into_iter().flat_map(Lock::holders);
        let mut holders: Vec<String> = holders
            .map(|(token, holder)| held_by(*token, holder, &clocks))
            .collect();
        if holders.len() > NAMED {
            let more = holders.len() - NAMED;
            holders.truncate(NAMED);
            holders.push(format!("{more} more"));
        }
        match holders[..] {
            [] => problem,
            _ => Problem {
                detail: format!("the lock is held by {}", holders.join(" and ")).into(),
                ..problem
            },
        }
    }

    /// Waits for what becomes of a request that is in the line. `known` says whether something can
    /// have been missed before `fate` was there.
    async fn wait(
        &self,
        nonce: Nonce,
        fate: &mut watch::Receiver<Fate>,
        known: Fate,
        claim: &mut Claim,
    ) -> Result<Grant, Problem> {
        let mut seen = Fate::Open;
        let mut must_look = known != Fate::Open;
        loop {
            let told = *fate.borrow_and_update();
            match told {
                Fate::Granted { token, expires } => {
                    return Ok(Grant {
                        nonce,
                        token,
                        expires,
                        left: self.acquire.ttl,
                    });
                }
                Fate::Left(why) => {
                    claim.close();
                    return Err(left(why).into());
                }
                Fate::Ended { token } => {
                    claim.close();
                    return Err(over(token));
                }
                Fate::Open | Fate::Unsure(_) => must_look |= told != seen,
            }
            seen = told;
            if must_look {
                match self.look(nonce).await {
                    Ok(Seen::Holds(grant)) => return Ok(grant),
                    Ok(Seen::Gone(why)) => {
                        claim.close();
                        return Err(why.into());
                    }
                    Ok(Seen::Waits) => must_look = false,
                    Err(problem) if is_passing(&problem) => {}
                    Err(problem) => return Err(problem.outcome(Became::Unknown)),
                }
            }
            tokio::select! {
                // Those who tell are there as long as this member is.
                _ = fate.changed() => {}
                () = self.call.api.parts.app.health().leaving() => {
                    return Err(leaving(claim));
                }
                () = tokio::time::sleep(AGAIN), if must_look => {}
                () = clock::sleep_until(self.until) => return Err(end(claim).await),
            }
        }
    }

    /// Where a request stands by a state that has everything that was answered before.
    async fn look(&self, nonce: Nonce) -> Result<Seen, Problem> {
        let engine = self.call.engine()?;
        let view = engine.fresh(LOOK).await?;
        let lock = view.state.locks().lock(self.acquire.name.as_str());
        let Some(lock) = lock else {
            return Ok(Seen::Gone(Refused::LockDeleted));
        };
        if let Some((token, holder)) = lock.holder(nonce) {
            let left = Clocks::of(engine, &view).until(holder.expires);
            return Ok(Seen::Holds(Grant {
                nonce,
                token,
                expires: holder.expires,
                left: left.min(holder.ttl).max(Millis(1)),
            }));
        }
        Ok(if lock.awaits(nonce) {
            Seen::Waits
        } else {
            Seen::Gone(Refused::WaitOver)
        })
    }
}

/// Who holds a lock, and until when.
fn held_by(token: u64, holder: &Holder, clocks: &Clocks<'_>) -> String {
    let value = holder.value.as_deref();
    let value = value.map_or(String::new(), |value| format!("value {value:?}, "));
    let left = Duration::from_millis(clocks.until(holder.expires).0);
    format!(
        "{} ({value}token {token}) until {}, {:.1} s from now if it is not renewed",
        holder.author,
        clocks.wall(holder.expires),
        left.as_secs_f64()
    )
}

/// Where a request stands.
enum Seen {
    Holds(Grant),
    Waits,
    Gone(Refused),
}

/// Whether it can be well soon.
fn is_passing(problem: &Problem) -> bool {
    matches!(
        problem.code,
        Code::StrongTimeout | Code::NoQuorum | Code::StrongSideDown | Code::Overloaded
    )
}

fn left(why: End) -> Refused {
    match why {
        End::TimeOut => Refused::WaitOver,
        End::Released => Refused::WrongNonce,
        End::Deleted => Refused::LockDeleted,
    }
}

/// The lock was granted, and it is too late for that.
fn over(token: u64) -> Problem {
    let detail = format!("the lock was granted with token {token}, and that lease is over");
    Problem::new(Code::WrongNonce, detail)
        .outcome(Became::Applied)
        .hint("acquire it again, with a new Idempotency-Key")
}

/// The member is about to stop: the client goes on at another one.
fn leaving(claim: &Claim) -> Problem {
    if !claim.is_repeatable() {
        // Its place in the line is given up.
        return Problem::shutting_down();
    }
    Problem::shutting_down()
        .outcome(Became::Unknown)
        .hint("ask another member, with the same Idempotency-Key: the place in the line is kept")
}

/// The client has waited for long enough, and nothing was heard.
async fn end(claim: &mut Claim) -> Problem {
    let unknown = Problem::new(
        Code::StrongTimeout,
        "nothing was heard of the request in time",
    )
    .outcome(Became::Unknown);
    if claim.is_repeatable() {
        return unknown.hint("send the same request with the same Idempotency-Key again");
    }
    match claim.give_up().await {
        Ok(_) => {
            claim.close();
            Refused::WaitOver.into()
        }
        Err(_) => unknown.hint("it is given up as soon as the majority answers"),
    }
}
