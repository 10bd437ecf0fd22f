//! Basic authentication: who asks.
//!
//! The problem: a password hash that is worth its name takes 30 ms, a GET takes 10 µs, and whoever
//! sends wrong passwords must not be able to spend our processor. So, in this order:
//!
//! 1. A credential that was verified minutes ago is found by the MAC of its header ([`cache`]): no
//!    hash, no limit, no wait.
//! 2. All who bring the same unverified credential share one verification ([`turns`]).
//! 3. An address that had too many is refused before anything is hashed ([`attempts`]).
//! 4. One hash runs at a time, on a thread that may block; an unknown user costs one as well.

mod attempts;
mod basic;
mod cache;
mod turns;
mod users;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use blake3::Hash;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;

use crate::io::clock;
use crate::io::tasks::Tasks;

use super::problem::{Code, Outcome, Problem};
use attempts::Attempts;
use cache::Cache;
use turns::{Lead, Turn, Turns};

pub use users::{PasswordHash, Principal, UserError, Users, hash_password};

/// How many hashes run at once: a flood of guesses gets one processor at most.
const HASHES_AT_ONCE: usize = 1;

/// Verifies credentials.
pub struct Auth {
    users: ArcSwap<Users>,
    generation: AtomicU64,
    cache: Cache,
    turns: Turns<Verdict>,
    attempts: Attempts,
    hashes: Arc<Semaphore>,
    tasks: Tasks,
    failures: AtomicU64,
    refused: AtomicU64,
}

type Verdict = Result<Principal, Problem>;

impl Auth {
    /// Verifies against these users; hashes run on the pool of `tasks`.
    pub fn new(users: Users, tasks: Tasks) -> Self {
        Self {
            users: ArcSwap::from_pointee(users),
            generation: AtomicU64::new(0),
            cache: Cache::new(),
            turns: Turns::new(),
            attempts: Attempts::new(),
            hashes: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            tasks,
            failures: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// From now on these users count; what was verified against others is forgotten.
    pub fn replace_users(&self, users: Users) {
        self.users.store(Arc::new(users));
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.cache.clear();
    }

    /// Who sent these headers from this address.
    ///
    /// # Errors
    /// 401 without credentials or with wrong ones, 400 if they cannot be read, 429 if the address
    /// (or everybody together) had too many unverified ones.
    pub async fn check(&self, headers: &HeaderMap, from: IpAddr) -> Result<Principal, Problem> {
        let header = basic::header(headers)?;
        let mac = self.cache.mac(header.as_bytes());
        let generation = self.generation.load(Ordering::Acquire);
        match self.cache.find(&mac, generation, clock::mono()) {
            Some(principal) => Ok(principal),
            None => self.verify(header, mac, from).await,
        }
    }

    /// How many credentials were verified and found wrong.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How many were refused with 429, unverified.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    async fn verify(&self, header: &HeaderValue, mac: Hash, from: IpAddr) -> Verdict {
        loop {
            match self.turns.join(&mac) {
                Turn::Lead(lead) => return self.lead(lead, header, mac, from).await,
                Turn::Follow(mut verdict) => {
                    if let Ok(verdict) = verdict.wait_for(Option::is_some).await
                        && let Some(verdict) = verdict.clone()
                    {
                        return verdict;
                    }
                }
                Turn::Full => return Err(self.too_many(1)),
            }
        }
    }

    async fn lead(
        &self,
        lead: Lead<Verdict>,
        header: &HeaderValue,
        mac: Hash,
        from: IpAddr,
    ) -> Verdict {
        let verdict = self.verdict(header, mac, from).await;
        // That this address had too many says nothing to those who wait at other addresses.
        let is_about_address =
            matches!(&verdict, Err(problem) if problem.code == Code::TooManyAttempts);
        if !is_about_address {
            lead.tell(verdict.clone());
        }
        verdict
    }

    async fn verdict(&self, header: &HeaderValue, mac: Hash, from: IpAddr) -> Verdict {
        let credentials = basic::credentials(header)?;
        // The generation is read before the users: an entry can only be older than its users.
        let generation = self.generation.load(Ordering::Acquire);
        if let Some(principal) = self.cache.find(&mac, generation, clock::mono()) {
            return Ok(principal);
        }
        self.attempts
            .take(from)
            .map_err(|seconds| self.too_many(seconds))?;
        let (principal, hash) = {
            let users = self.users.load();
            let (principal, hash) = users.find(credentials.name());
            (principal, hash.clone())
        };
        // The permit goes along: a client that leaves lets no second hash run beside its own.
        let permit = self.hashes.clone().acquire_owned().await;
        let work = move || {
            let _permit = permit;
            hash.verify(credentials.password())
        };
        match (self.tasks.blocking(work).await, principal) {
            (Some(true), Some(principal)) => {
                self.cache
                    .insert(mac, principal.clone(), generation, clock::mono());
                Ok(principal)
            }
            (Some(_), _) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(target: "gaggle::audit", %from, "wrong credentials");
                Err(Problem::unauthorized())
            }
            (None, _) => Err(Problem::internal().outcome(Outcome::NotApplied)),
        }
    }

    fn too_many(&self, seconds: u32) -> Problem {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Problem::new(
            Code::TooManyAttempts,
            "too many credentials from this address are waiting to be verified",
        )
        .retry_after(seconds)
    }
}

#[cfg(test)]
mod tests;
