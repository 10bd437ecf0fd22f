//! Datagrams where UDP does not pass: the same sealed bytes, carried over HTTPS.
//!
//! **When.** A probe that is not answered within 200 ms is sent once more over HTTPS (as memberlist
//! falls back to TCP). If that is answered and still nothing came straight, all datagrams for that
//! member take the same way from then on. So there is one state machine, SWIM, whatever carries it,
//! and a crash is known as soon as with UDP.
//!
//! **The way back.** A path is one direction, and only who receives can tell that it works: each
//! parcel says how many datagrams of the other came straight. On a relayed path a datagram is sent
//! straight now and then, to knock; as soon as the other has counted one, the path is straight
//! again.
//!
//! **Nobody is taken for dead who answers.** A member that we ourselves accuse is told so over
//! HTTPS, at once; while it answers there, its time does not run out.
//!
//! **Bounds.** One request under way for each member, [`IN_FLIGHT`] in all, [`SPACING`] between two
//! for one member, [`QUEUE`] datagrams that wait (the oldest goes), [`PARCEL_LIMIT`] for each.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::{Effect, Identity, Membership, Phase, StateError};
use crate::model::MemberId;
use crate::protocol::Mono;
use crate::protocol::beacon::jittered;
use crate::protocol::envelope::{Kind, Opening};

/// How long a straight answer to a probe may take; SWIM asks others for help then, too.
const PROBE_RTT: Duration = Duration::from_millis(200);
/// The most requests under way.
const IN_FLIGHT: usize = 32;
/// The least time between two requests to one member.
const SPACING: Duration = Duration::from_millis(50);
/// How long a member is not asked that did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// The most datagrams that wait for one member, and the most in one parcel.
const QUEUE: usize = 32;
/// The largest parcel, in bytes.
pub const PARCEL_LIMIT: usize = 64 * 1024;
/// The form of a parcel, its first byte.
const FORM: u8 = 1;
/// How soon after a path is relayed it is knocked at, and how often from then on; less often if
/// there are many such paths, so that all together make five requests a second at most.
const FIRST_KNOCK: Duration = Duration::from_secs(1);
const KNOCK: Duration = Duration::from_secs(3);
const KNOCK_SHARE: Duration = Duration::from_millis(200);
/// How long after a knock the other is asked whether it heard it.
const ASK_AFTER: Duration = Duration::from_millis(300);
/// How long a path is relayed before it is spoken of: a lost datagram is no blocked network.
const SPOKEN_OF: Duration = Duration::from_secs(5);
/// Who answered over HTTPS within this time is not taken for dead.
const SPARED: Duration = Duration::from_secs(2);
/// How often a member that we accuse is told so.
const TELL_ACCUSED: Duration = Duration::from_millis(400);
/// The most accused that are told at once.
const ACCUSED: usize = 8;
/// How long a path that is straight again is remembered.
const REMEMBERED: Duration = Duration::from_secs(30);

/// What goes over HTTPS, both as question and as answer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Parcel {
    /// Whether its sender waits in vain for datagrams of its receiver.
    pub(super) deaf: bool,
    /// How many datagrams of its receiver came straight to its sender.
    pub(super) heard: u64,
    /// Sealed datagrams.
    pub(super) datagrams: Vec<Bytes>,
}

impl Parcel {
    pub(super) fn encode(&self) -> Bytes {
        let bytes = postcard::to_extend(self, vec![FORM]);
        let bytes = bytes.expect("a parcel has nothing that cannot be encoded");
        bytes.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let Some((&FORM, parcel)) = bytes.split_first() else {
            return Err(StateError::Malformed);
        };
        if bytes.len() > PARCEL_LIMIT {
            return Err(StateError::Malformed);
        }
        let parcel: Self = postcard::from_bytes(parcel).map_err(|_| StateError::Malformed)?;
        let fits = parcel.datagrams.len() <= QUEUE;
        fits.then_some(parcel).ok_or(StateError::Malformed)
    }
}

/// How our datagrams reach one member.
#[derive(Debug, Default)]
struct Path {
    /// Since when they are relayed, if they are.
    relayed: Option<Mono>,
    /// Whether we wait in vain for its own.
    deaf: bool,
    /// Whether a probe was relayed because its straight answer did not come.
    doubted: bool,
    /// How many of ours it has heard, as it said last.
    told: Option<u64>,
    queue: VecDeque<Bytes>,
    under_way: bool,
    /// When the next request may go out.
    free: Mono,
    /// When it last answered a request.
    answered: Option<Mono>,
    /// When to knock, and when to ask whether that was heard.
    knock: Option<Mono>,
    ask_at: Option<Mono>,
    used: Mono,
}

/// A probe whose answer is awaited.
#[derive(Debug)]
struct Awaited {
    to: Identity,
    message: Bytes,
    until: Mono,
}

/// All paths that are, or lately were, not straight.
#[derive(Debug)]
pub(super) struct Relay {
    rng: StdRng,
    paths: BTreeMap<MemberId, Path>,
    awaited: Option<Awaited>,
    /// Whose question is being answered, and what is to go into the answer.
    answering: Option<(MemberId, Vec<Bytes>)>,
    accused_told: Mono,
}

impl Relay {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            paths: BTreeMap::new(),
            awaited: None,
            answering: None,
            accused_told: Mono::default(),
        }
    }

    /// Whether this member answered over HTTPS just now.
    pub(super) fn answered_lately(&self, now: Mono, member: MemberId) -> bool {
        let path = self.paths.get(&member);
        let answered = path.and_then(|path| path.answered);
        answered.is_some_and(|at| now.since(at) < SPARED)
    }

    fn is_relayed(&self, member: MemberId) -> bool {
        let path = self.paths.get(&member);
        path.is_some_and(|path| path.relayed.is_some())
    }

    /// The path to a member, remembered from now on.
    fn path(&mut self, now: Mono, member: MemberId) -> &mut Path {
        let path = self.paths.entry(member).or_default();
        path.used = now;
        path
    }

    /// Puts a datagram into the answer that is being written, or into the queue.
    fn put(&mut self, now: Mono, member: MemberId, datagram: Bytes) {
        if let Some((asker, answer)) = &mut self.answering
            && *asker == member
            && answer.len() < QUEUE
        {
            answer.push(datagram);
            return;
        }
        let path = self.path(now, member);
        if path.queue.len() == QUEUE {
            path.queue.pop_front();
        }
        path.queue.push_back(datagram);
    }

    /// From now on our datagrams for this member are relayed.
    fn turn(&mut self, now: Mono, member: MemberId) {
        let path = self.path(now, member);
        if path.relayed.is_none() {
            path.relayed = Some(now);
            path.knock = Some(now.plus(FIRST_KNOCK));
        }
    }

    /// A member told how many of our datagrams it has heard; gives whether it has heard more of
    /// them since, so that the straight way works.
    fn told(&mut self, now: Mono, member: MemberId, heard: u64) -> bool {
        let path = self.path(now, member);
        let works = path.told.is_some_and(|before| heard > before);
        if works {
            path.straight();
        }
        path.told = Some(heard);
        works
    }

    fn under_way(&self) -> usize {
        self.paths.values().filter(|path| path.under_way).count()
    }

    /// How long until the next knock at one path.
    fn knock_pause(&mut self) -> Duration {
        let relayed = self.paths.values().filter(|path| path.relayed.is_some());
        let share = KNOCK_SHARE * u32::try_from(relayed.count()).unwrap_or(u32::MAX);
        jittered(KNOCK.max(share), &mut self.rng)
    }

    fn deadline(&self, accuses: bool) -> Option<Mono> {
        let room = self.under_way() < IN_FLIGHT;
        let awaited = self.awaited.iter().map(|awaited| awaited.until);
        let ready = self.paths.values().filter(|_| room);
        let ready = ready.filter_map(Path::ready_at);
        let knocks = self.paths.values().filter_map(|path| path.knock);
        let accused = accuses.then(|| self.accused_told.plus(TELL_ACCUSED));
        let all = awaited.chain(ready).chain(knocks);
        all.chain(accused).min()
    }
}

impl Path {
    fn straight(&mut self) {
        (self.relayed, self.knock, self.ask_at) = (None, None, None);
    }

    /// When a request may go out, if there is anything to tell or to ask.
    fn ready_at(&self) -> Option<Mono> {
        let wanted = if self.queue.is_empty() {
            self.ask_at?
        } else {
            self.free
        };
        (!self.under_way).then(|| wanted.max(self.free))
    }
}

impl Membership {
    /// Sends a datagram to a member on whichever way reaches it.
    pub(super) fn post(
        &mut self,
        now: Mono,
        member: MemberId,
        to: SocketAddr,
        (kind, payload): (Kind, &[u8]),
        out: &mut Vec<Effect>,
    ) {
        let asker = self.relay.answering.as_ref().map(|(asker, _)| *asker);
        if asker != Some(member) && !self.relay.is_relayed(member) {
            self.send(now, to, kind, payload, out);
        } else if let Some(datagram) = self.seal(now, kind, payload) {
            self.relay.put(now, member, datagram);
        }
    }

    /// Sends a probe. If it goes straight and is not answered soon, it is relayed.
    pub(super) fn send_probe(
        &mut self,
        now: Mono,
        to: Identity,
        message: Bytes,
        out: &mut Vec<Effect>,
    ) {
        self.send_swim(now, &to, &message, out);
        let until = now.plus(PROBE_RTT);
        let straight = !self.relay.is_relayed(to.member);
        self.relay.awaited = straight.then_some(Awaited { to, message, until });
    }

    /// A datagram of that member came, straight or relayed.
    pub(super) fn note_sign(&mut self, member: MemberId, is_straight: bool) {
        let relay = &mut self.relay;
        relay.awaited.take_if(|awaited| awaited.to.member == member);
        if !is_straight {
            return;
        }
        if let Some(path) = relay.paths.get_mut(&member) {
            (path.deaf, path.doubted) = (false, false);
        }
        let record = self.records.entry(member).or_default();
        record.direct = record.direct.saturating_add(1);
    }

    /// Forgets how a member was reached: it is gone, or another process.
    pub(super) fn drop_path(&mut self, member: MemberId) {
        self.relay.paths.remove(&member);
    }

    /// Whether datagrams to a member are relayed for so long that it is no chance.
    pub(super) fn is_long_relayed(&self, now: Mono, member: MemberId) -> bool {
        let path = self.relay.paths.get(&member);
        let since = path.and_then(|path| path.relayed);
        since.is_some_and(|since| now.since(since) >= SPOKEN_OF)
    }

    pub(super) fn relay_deadline(&self) -> Option<Mono> {
        self.relay.deadline(self.swim.accused().next().is_some())
    }

    pub(super) fn run_relay(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if let Some(probe) = self.relay.awaited.take_if(|awaited| awaited.until <= now) {
            self.relay_probe(now, &probe);
        }
        if now >= self.relay.accused_told.plus(TELL_ACCUSED) {
            self.tell_accused(now, out);
        }
        self.knock(now, out);
        let old = |path: &Path| path.relayed.is_none() && now.since(path.used) > REMEMBERED;
        self.relay
            .paths
            .retain(|_, path| path.under_way || !old(path));
        self.flush(now, out);
    }

    /// A probe was not answered straight: asks over HTTPS.
    fn relay_probe(&mut self, now: Mono, probe: &Awaited) {
        let member = probe.to.member;
        let path = self.relay.path(now, member);
        (path.deaf, path.doubted) = (true, true);
        // Sealed anew, for the other may have the first one, and only its answer was lost.
        if let Some(datagram) = self.seal(now, Kind::Swim, &probe.message) {
            self.relay.put(now, member, datagram);
        }
    }

    /// Tells those whom we accuse that we do: first by all that we know, so that they can refute,
    /// then by a message to which they answer.
    fn tell_accused(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let accused: Vec<Identity> = self.swim.accused().take(ACCUSED).cloned().collect();
        if accused.is_empty() {
            return;
        }
        self.relay.accused_told = now;
        for id in accused {
            let member = id.member;
            let path = self.relay.path(now, member);
            if path.under_way || path.free > now {
                continue;
            }
            let answers = path.answered.is_some();
            let record = self.records.get(&member);
            let exchanged = record.and_then(|record| record.exchanged);
            let lately = exchanged.is_some_and(|at| now.since(at) < SPARED);
            if answers && !lately {
                let target = self.https_of(&id);
                self.ask(now, target, Some(member), out);
            }
            let mut outputs = vec![];
            self.swim.announce(now, id, &mut outputs);
            for output in outputs {
                if let super::swim::Output::Send(_, message) = output
                    && let Some(datagram) = self.seal(now, Kind::Swim, &message)
                {
                    self.relay.put(now, member, datagram);
                }
            }
        }
    }

    /// Tries the straight way again where it is time to.
    fn knock(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let due = |at: Option<Mono>| at.is_some_and(|at| at <= now);
        let paths = self.relay.paths.iter();
        let those = paths.filter(|(_, path)| due(path.knock));
        let those: Vec<MemberId> = those.map(|(member, _)| *member).collect();
        for member in those {
            let pause = self.relay.knock_pause();
            let path = self.relay.path(now, member);
            path.knock = Some(now.plus(pause));
            path.ask_at = Some(now.plus(ASK_AFTER));
            let to = self.swim.find(member).map(|known| self.udp_of(known.id()));
            if let Some(to) = to {
                self.send(now, to, Kind::Root, b"", out);
            }
        }
    }

    /// Sends off what waits.
    pub(super) fn flush(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let mut room = IN_FLIGHT.saturating_sub(self.relay.under_way());
        let paths = self.relay.paths.iter();
        let due = |path: &Path| path.ready_at().is_some_and(|at| at <= now);
        let ready = paths.filter(|(_, path)| due(path));
        let ready: Vec<MemberId> = ready.map(|(member, _)| *member).collect();
        for member in ready {
            if room == 0 {
                break;
            }
            let target = self
                .swim
                .find(member)
                .map(|known| self.https_of(known.id()));
            let Some(target) = target else {
                self.drop_path(member);
                continue;
            };
            room -= 1;
            let body = self.parcel(now, member).encode();
            let path = self.relay.path(now, member);
            path.under_way = true;
            path.ask_at = None;
            path.free = now.plus(SPACING);
            self.counts.relays += 1;
            out.push(Effect::Relay {
                target,
                member,
                body,
            });
        }
    }

    /// What there is to tell a member now.
    fn parcel(&mut self, now: Mono, member: MemberId) -> Parcel {
        let heard = self.records.get(&member).map_or(0, |record| record.direct);
        let path = self.relay.path(now, member);
        Parcel {
            deaf: path.deaf,
            heard,
            datagrams: path.queue.drain(..).collect(),
        }
    }

    /// A request of ours has ended.
    pub(super) fn relay_ended(
        &mut self,
        now: Mono,
        member: MemberId,
        answer: Option<Bytes>,
        out: &mut Vec<Effect>,
    ) {
        let Some(path) = self.relay.paths.get_mut(&member) else {
            return;
        };
        path.under_way = false;
        let parcel = answer.and_then(|body| Parcel::decode(&body).ok());
        let Some(parcel) = parcel else {
            // Then the straight way is as good; the next probe tries both again.
            path.straight();
            path.queue.clear();
            path.free = now.plus(AFTER_FAILURE);
            self.counts.failed_relays += 1;
            return;
        };
        path.answered = Some(now);
        let doubted = std::mem::take(&mut path.doubted);
        let works = self.relay.told(now, member, parcel.heard);
        if doubted && !works {
            self.relay.turn(now, member);
        }
        self.unpack(now, member, parcel.datagrams, out);
    }

    /// Takes in datagrams that `verified` (by its certificate) sent us over HTTPS, and gives what
    /// there is to answer.
    ///
    /// # Errors
    /// If they cannot be read, or if we have left.
    pub fn relayed(
        &mut self,
        now: Mono,
        verified: MemberId,
        body: &[u8],
        out: &mut Vec<Effect>,
    ) -> Result<Bytes, StateError> {
        if self.phase != Phase::Running {
            return Err(StateError::Left);
        }
        let parcel = Parcel::decode(body)?;
        if self.swim.find(verified).is_none() {
            // It has to exchange states with us first.
            return Ok(Parcel::default().encode());
        }
        let works = self.relay.told(now, verified, parcel.heard);
        if parcel.deaf && !works {
            self.relay.turn(now, verified);
        }
        self.relay.answering = Some((verified, vec![]));
        self.unpack(now, verified, parcel.datagrams, out);
        let answer = self.relay.answering.take();
        let mut parcel = self.parcel(now, verified);
        parcel
            .datagrams
            .extend(answer.into_iter().flat_map(|(_, all)| all));
        let surplus = parcel.datagrams.len().saturating_sub(QUEUE);
        parcel.datagrams.drain(..surplus);
        self.flush(now, out);
        self.look_if_due(now, out);
        Ok(parcel.encode())
    }

    fn unpack(
        &mut self,
        now: Mono,
        member: MemberId,
        datagrams: Vec<Bytes>,
        out: &mut Vec<Effect>,
    ) {
        for bytes in datagrams {
            match self.opener.open(self.wall(now), &bytes) {
                Opening::Accepted(letter) if letter.sender == member => {
                    self.letter(now, None, &letter, out);
                }
                Opening::Accepted(_) | Opening::Hint(_) | Opening::Dropped => {}
            }
        }
    }
}
