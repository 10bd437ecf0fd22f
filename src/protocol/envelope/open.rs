//! Opening: what comes from the network is checked in the order of rising cost, and counted.

use std::collections::BTreeMap;

use aws_lc_rs::aead::{Aad, LessSafeKey};

use super::window::{Seen, Window};
use super::{
    Body, BootId, CLOCK_WINDOW_MS, DATAGRAM_LIMIT, DatagramKey, HEADER, Kind, Letter, MAGIC, TAG,
    VERSION, nonce,
};
use crate::model::{ClusterId, WallTime};

/// How many boots are remembered with their windows; the one longest unheard makes room.
pub const REMEMBERED_BOOTS: usize = 4_096;

/// What became of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It is genuine and new.
    Accepted(Letter),
    /// It is sealed by a member, but may be a recording: its sender may be dialled over HTTPS.
    Hint(Letter),
    /// It was dropped and counted.
    Dropped,
}

/// How many datagrams were opened, and how many dropped for which reason, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Opened and accepted.
    pub accepted: u64,
    /// Our own, heard back from a group.
    pub own: u64,
    /// Too short, too long or without our mark.
    pub foreign: u64,
    /// Of another version of the envelope.
    pub other_version: u64,
    /// Sealed with another secret, or damaged.
    pub undecipherable: u64,
    /// Of another cluster with the same secret.
    pub other_cluster: u64,
    /// Seen before: it came by several interfaces, or was repeated.
    pub duplicate: u64,
    /// Too far behind the newest of its boot.
    pub too_old: u64,
    /// Of a boot that nobody vouched for, with a clock too far from ours.
    pub hints: u64,
    /// Opened, but its body makes no sense.
    pub malformed: u64,
    /// Of a kind that we do not know.
    pub unknown_kind: u64,
}

struct Boot {
    key: LessSafeKey,
    window: Window,
    heard: u64,
}

/// Opens datagrams under all secrets in force, and remembers what it has seen.
pub struct Opener {
    own: BootId,
    cluster: ClusterId,
    keys: Vec<DatagramKey>,
    boots: BTreeMap<BootId, Boot>,
    trusted: BTreeMap<BootId, u64>,
    clock: u64,
    drops: Drops,
}

impl Opener {
    /// An opener for a member whose own boot is `own`, that accepts datagrams under any of `keys`.
    pub fn new(own: BootId, cluster: ClusterId, keys: Vec<DatagramKey>) -> Self {
        Self {
            own,
            cluster,
            keys,
            boots: BTreeMap::new(),
            trusted: BTreeMap::new(),
            clock: 0,
            drops: Drops::default(),
        }
    }

    /// The counters.
    pub const fn drops(&self) -> Drops {
        self.drops
    }

    /// From now on `boot` is accepted whatever its clock says: a member vouched for it over HTTPS.
    pub fn trust(&mut self, boot: BootId) {
        self.clock += 1;
        self.trusted.insert(boot, self.clock);
        if self.trusted.len() > REMEMBERED_BOOTS {
            let oldest = self.trusted.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(boot, _)| *boot) {
                self.trusted.remove(&oldest);
            }
        }
    }

    /// From now on `boot` needs a clock near ours again: it is said to be gone.
    pub fn distrust(&mut self, boot: BootId) {
        self.trusted.remove(&boot);
    }

    /// Opens a datagram that arrived at `now`, and counts what became of it.
    pub fn open(&mut self, now: WallTime, datagram: &[u8]) -> Opening {
        let mut drops = self.drops;
        let opening = match self.try_open(now, datagram) {
            Ok(letter) => {
                drops.accepted += 1;
                Opening::Accepted(letter)
            }
            Err(Refusal::Hint(letter)) => {
                drops.hints += 1;
                Opening::Hint(letter)
            }
            Err(Refusal::Drop(count)) => {
                *count(&mut drops) += 1;
                Opening::Dropped
            }
        };
        self.drops = drops;
        opening
    }

    fn try_open(&mut self, now: WallTime, datagram: &[u8]) -> Result<Letter, Refusal> {
        let parts = Parts::of(datagram)?;
        if parts.boot == self.own {
            return Err(Refusal::Drop(|drops| &mut drops.own));
        }
        if let Some(boot) = self.boots.get(&parts.boot) {
            match boot.window.check(parts.counter) {
                Seen::New => {}
                Seen::Before => return Err(Refusal::Drop(|drops| &mut drops.duplicate)),
                Seen::TooOld => return Err(Refusal::Drop(|drops| &mut drops.too_old)),
            }
        }
        let (plain, key) = self.decipher(&parts)?;
        let letter = self.read(&parts, &plain)?;
        let apart = now.millis().abs_diff(letter.sent_at.millis());
        if apart > CLOCK_WINDOW_MS && !self.trusted.contains_key(&parts.boot) {
            return Err(Refusal::Hint(letter));
        }
        self.note(&parts, key);
        Ok(letter)
    }

    /// The plain text, and the boot's key if it was not remembered yet.
    fn decipher(&self, parts: &Parts<'_>) -> Result<(Vec<u8>, Option<LessSafeKey>), Refusal> {
        let wrong = Refusal::Drop(|drops| &mut drops.undecipherable);
        if let Some(boot) = self.boots.get(&parts.boot) {
            return parts
                .decipher(&boot.key)
                .map(|plain| (plain, None))
                .ok_or(wrong);
        }
        self.keys
            .iter()
            .map(|key| key.of_boot(parts.boot))
            .find_map(|key| parts.decipher(&key).map(|plain| (plain, Some(key))))
            .ok_or(wrong)
    }

    fn read(&self, parts: &Parts<'_>, plain: &[u8]) -> Result<Letter, Refusal> {
        let (body, _newer) = postcard::take_from_bytes::<Body<'_>>(plain)
            .map_err(|_| Refusal::Drop(|drops| &mut drops.malformed))?;
        if body.cluster != self.cluster.as_str() {
            return Err(Refusal::Drop(|drops| &mut drops.other_cluster));
        }
        let kind =
            Kind::from_code(body.kind).ok_or(Refusal::Drop(|drops| &mut drops.unknown_kind))?;
        Ok(Letter {
            boot: parts.boot,
            sender: body.member,
            generation: body.generation,
            sent_at: body.sent_at,
            root: u128::from_le_bytes(body.root),
            kind,
            payload: body.payload.to_vec(),
        })
    }

    fn note(&mut self, parts: &Parts<'_>, key: Option<LessSafeKey>) {
        self.clock += 1;
        if let Some(key) = key {
            self.make_room();
            let window = Window::default();
            let heard = 0;
            self.boots.insert(parts.boot, Boot { key, window, heard });
        }
        if let Some(boot) = self.boots.get_mut(&parts.boot) {
            boot.window.note(parts.counter);
            boot.heard = self.clock;
        }
    }

    /// How many boots have a window, and how many are trusted.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> (usize, usize) {
        (self.boots.len(), self.trusted.len())
    }

    fn make_room(&mut self) {
        if self.boots.len() < REMEMBERED_BOOTS {
            return;
        }
        let oldest = self.boots.iter().min_by_key(|(_, boot)| boot.heard);
        if let Some(oldest) = oldest.map(|(id, _)| *id) {
            self.boots.remove(&oldest);
        }
    }
}

enum Refusal {
    Hint(Letter),
    Drop(fn(&mut Drops) -> &mut u64),
}

/// A datagram taken apart, nothing of it believed yet.
struct Parts<'a> {
    boot: BootId,
    counter: u64,
    header: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(datagram: &'a [u8]) -> Result<Self, Refusal> {
        let foreign = Refusal::Drop(|drops| &mut drops.foreign);
        if datagram.len() > DATAGRAM_LIMIT || datagram.len() < HEADER + TAG {
            return Err(foreign);
        }
        let Some((header, sealed)) = datagram.split_first_chunk::<HEADER>() else {
            return Err(foreign);
        };
        let [m0, m1, version, rest @ ..] = header;
        if [*m0, *m1] != MAGIC {
            return Err(foreign);
        }
        if *version != VERSION {
            return Err(Refusal::Drop(|drops| &mut drops.other_version));
        }
        let (Some(boot), Some(counter)) = (rest.first_chunk(), rest.last_chunk()) else {
            return Err(foreign);
        };
        Ok(Self {
            boot: BootId::from_bytes(*boot),
            counter: u64::from_be_bytes(*counter),
            header,
            sealed,
        })
    }

    fn decipher(&self, key: &LessSafeKey) -> Option<Vec<u8>> {
        let mut plain = self.sealed.to_vec();
        let length = key
            .open_in_place(nonce(self.counter), Aad::from(self.header), &mut plain)
            .ok()?
            .len();
        plain.truncate(length);
        Some(plain)
    }
}
