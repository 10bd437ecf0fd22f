//! One verification at a time for the same credentials: a hundred connections that open with the
//! same password cost one hash, and a wrong one that comes a hundred times at once as well.

use std::collections::HashMap;
use std::sync::Arc;

use blake3::Hash;
use parking_lot::Mutex;
use tokio::sync::watch;

/// The most different credentials that wait for their verification at once.
const MOST: usize = 64;

type Waiting<T> = Arc<Mutex<HashMap<[u8; 32], watch::Receiver<Option<T>>>>>;

/// Who verifies what at present. `T` is the verdict, shared by all who wait for it.
pub(super) struct Turns<T> {
    waiting: Waiting<T>,
}

/// What somebody who needs a verdict does.
pub(super) enum Turn<T> {
    /// Find it, and tell the others.
    Lead(Lead<T>),
    /// Wait for it. A closed channel means that the one who led gave up: ask again.
    Follow(watch::Receiver<Option<T>>),
    /// Too many wait already.
    Full,
}

/// The duty to find a verdict. Dropping it without one lets another lead.
pub(super) struct Lead<T> {
    mac: [u8; 32],
    verdict: watch::Sender<Option<T>>,
    waiting: Waiting<T>,
}

impl<T> Turns<T> {
    pub(super) fn new() -> Self {
        Self {
            waiting: Waiting::default(),
        }
    }

    /// Takes part in the verification of these credentials.
    pub(super) fn join(&self, mac: &Hash) -> Turn<T> {
        let mut waiting = self.waiting.lock();
        if let Some(verdict) = waiting.get(mac.as_bytes()) {
            return Turn::Follow(verdict.clone());
        }
        if waiting.len() >= MOST {
            return Turn::Full;
        }
        let (verdict, follow) = watch::channel(None);
        waiting.insert(*mac.as_bytes(), follow);
        Turn::Lead(Lead {
            mac: *mac.as_bytes(),
            verdict,
            waiting: self.waiting.clone(),
        })
    }
}

impl<T> Lead<T> {
    /// Tells all who wait.
    pub(super) fn tell(self, verdict: T) {
        self.verdict.send_replace(Some(verdict));
    }
}

impl<T> Drop for Lead<T> {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.mac);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(number: usize) -> Hash {
        blake3::hash(&number.to_le_bytes())
    }

    #[tokio::test]
    async fn followers_get_the_verdict_of_the_one_who_leads() {
        let turns = Turns::new();
        let Turn::Lead(lead) = turns.join(&mac(1)) else {
            panic!("the first leads");
        };
        let Turn::Follow(mut follow) = turns.join(&mac(1)) else {
            panic!("the second follows");
        };
        lead.tell(7);
        assert_eq!(*follow.wait_for(Option::is_some).await.unwrap(), Some(7));
        assert!(matches!(turns.join(&mac(1)), Turn::Lead(_)), "a new turn");
    }

    #[tokio::test]
    async fn one_who_gives_up_lets_another_lead() {
        let turns = Turns::<u8>::new();
        let lead = turns.join(&mac(1));
        let Turn::Follow(mut follow) = turns.join(&mac(1)) else {
            panic!("the second follows");
        };
        drop(lead);
        assert!(follow.wait_for(Option::is_some).await.is_err());
        assert!(matches!(turns.join(&mac(1)), Turn::Lead(_)));
    }

    #[test]
    fn only_so_many_wait() {
        let turns = Turns::<u8>::new();
        let leads: Vec<_> = (0..MOST).map(|number| turns.join(&mac(number))).collect();
        assert!(matches!(turns.join(&mac(MOST)), Turn::Full));
        assert!(matches!(turns.join(&mac(0)), Turn::Follow(_)));
        drop(leads);
        assert!(matches!(turns.join(&mac(MOST)), Turn::Lead(_)));
    }
}
