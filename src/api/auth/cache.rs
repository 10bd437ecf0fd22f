//! Credentials that were verified a short time ago, so that a password is hashed once and not with
//! every request.
//!
//! What is kept is no credential: a MAC of the header's raw value under a key that lives and dies
//! with this process. Looking up by a keyed MAC tells a stranger's clock nothing; the whole MAC is
//! then compared in constant time. Readers take a pointer; only a new credential writes.
//!
//! Invariant: an entry counts only while the users it was verified against are in force
//! ([`Generation`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use blake3::Hash;
use parking_lot::Mutex;

use crate::io::random;
use crate::protocol::Mono;

use super::users::Principal;

/// How long a credential counts after it was last used.
const LIFE: Duration = Duration::from_mins(10);
/// The most credentials that are remembered; beyond it the one used longest ago goes.
const MOST: usize = 1024;

/// Which users are in force: counts up whenever they change.
pub(super) type Generation = u64;

/// The cache.
pub(super) struct Cache {
    key: [u8; blake3::KEY_LEN],
    entries: ArcSwap<Entries>,
    writing: Mutex<()>,
}

/// By the first eight bytes of the MAC.
type Entries = HashMap<u64, Arc<Entry>>;

struct Entry {
    mac: Hash,
    principal: Principal,
    generation: Generation,
    /// Milliseconds of monotonic time.
    used: AtomicU64,
}

impl Entry {
    fn is_fresh(&self, generation: Generation, now: Mono) -> bool {
        let used = Mono(Duration::from_millis(self.used.load(Ordering::Relaxed)));
        self.generation == generation && now.since(used) < LIFE
    }
}

impl Cache {
    /// An empty cache with a fresh key.
    pub(super) fn new() -> Self {
        let mut key = [0; blake3::KEY_LEN];
        random::fill(&mut key);
        Self {
            key,
            entries: ArcSwap::default(),
            writing: Mutex::new(()),
        }
    }

    /// The MAC of a header's value: the name of these credentials within this process.
    pub(super) fn mac(&self, header: &[u8]) -> Hash {
        blake3::keyed_hash(&self.key, header)
    }

    /// Who these credentials were verified to be, if that still counts.
    pub(super) fn find(&self, mac: &Hash, generation: Generation, now: Mono) -> Option<Principal> {
        let entries = self.entries.load();
        let entry = entries.get(&short(mac))?;
        // Comparing two `blake3::Hash`es takes constant time.
        if entry.mac != *mac || !entry.is_fresh(generation, now) {
            return None;
        }
        entry.used.store(millis(now), Ordering::Relaxed);
        Some(entry.principal.clone())
    }

    /// Remembers credentials that were verified.
    pub(super) fn insert(
        &self,
        mac: Hash,
        principal: Principal,
        generation: Generation,
        now: Mono,
    ) {
        let _writing = self.writing.lock();
        let mut entries = Entries::clone(&self.entries.load());
        entries.retain(|_, entry| entry.is_fresh(generation, now));
        if entries.len() >= MOST {
            let used = |entry: &Arc<Entry>| entry.used.load(Ordering::Relaxed);
            let oldest = entries.iter().min_by_key(|(_, entry)| used(entry));
            if let Some(oldest) = oldest.map(|(short, _)| *short) {
                entries.remove(&oldest);
            }
        }
        let entry = Entry {
            mac,
            principal,
            generation,
            used: AtomicU64::new(millis(now)),
        };
        entries.insert(short(&mac), Arc::new(entry));
        self.entries.store(Arc::new(entries));
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        let _writing = self.writing.lock();
        self.entries.store(Arc::default());
    }
}

fn short(mac: &Hash) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&mac.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

fn millis(at: Mono) -> u64 {
    u64::try_from(at.0.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Principal {
        Principal { name: "ann".into() }
    }

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    #[test]
    fn credentials_count_while_they_are_used_and_the_users_stay() {
        let cache = Cache::new();
        let mac = cache.mac(b"Basic one");
        assert_eq!(cache.find(&mac, 1, at(0)), None);
        cache.insert(mac, ann(), 1, at(0));
        assert_eq!(cache.find(&mac, 1, at(599)), Some(ann()));
        assert_eq!(cache.find(&mac, 1, at(1198)), Some(ann()), "used since");
        assert_eq!(cache.find(&mac, 2, at(1199)), None, "other users");
        assert_eq!(cache.find(&cache.mac(b"Basic two"), 1, at(1199)), None);
        assert_eq!(cache.find(&mac, 1, at(1798)), None, "too long unused");
        cache.insert(mac, ann(), 1, at(1800));
        cache.clear();
        assert_eq!(cache.find(&mac, 1, at(1800)), None);
    }

    #[test]
    fn a_full_cache_forgets_what_was_used_longest_ago() {
        let cache = Cache::new();
        let mac = |number: usize| cache.mac(&number.to_le_bytes());
        for number in 0..MOST {
            cache.insert(mac(number), ann(), 1, at(1));
        }
        assert!(cache.find(&mac(0), 1, at(2)).is_some());
        for number in MOST..MOST + 10 {
            cache.insert(mac(number), ann(), 1, at(2));
        }
        assert_eq!(cache.entries.load().len(), MOST);
        assert!(cache.find(&mac(0), 1, at(2)).is_some());
        assert!(cache.find(&mac(MOST + 9), 1, at(2)).is_some());
    }

    #[test]
    fn another_process_names_the_same_credentials_otherwise() {
        assert_ne!(Cache::new().mac(b"Basic x"), Cache::new().mac(b"Basic x"));
    }
}
