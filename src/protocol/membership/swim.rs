//! SWIM itself: the `foca` engine with its timers, as a pure value.
//!
//! Tuned so that a crash is known to all within 5 s in a cluster of up to some thirty members: a
//! member is probed every 500 ms, a suspect has 2 s to refute (growing with the logarithm of the
//! cluster's size beyond that). foca's own defaults need 6 s for five members and 11 s for fifty.
//!
//! **A member that slept accuses nobody.** When our own timers are late (a starved or frozen
//! process), all of them are put off by as much: the answers that would clear the others wait
//! unread in our sockets. (The aim of Lifeguard, arXiv 1707.00788, by simpler means.)

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::Bytes;
use foca::{
    AccumulatingRuntime, Config, Foca, Member, NoCustomBroadcast, OwnedNotification,
    PeriodicParams, PostcardCodec, State, Timer,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::Identity;
use super::brief::{FORM, Heard, Sender, Unreadable, Wire};
use crate::model::MemberId;
use crate::protocol::Mono;
use crate::protocol::envelope::PAYLOAD_LIMIT;

/// How often one other member is probed.
const PROBE_PERIOD: Duration = Duration::from_millis(500);
/// How long a direct answer may take before others are asked to probe.
const PROBE_RTT: Duration = Duration::from_millis(200);
/// How long a suspect may take to refute, in a small cluster.
const SUSPICION: Duration = Duration::from_secs(2);
/// How long somebody is left alone who is spared.
const RESPITE: Duration = Duration::from_secs(1);
/// Up to this size a cluster is small.
const SMALL: u32 = 32;
/// Timers later than this were not late by chance: we slept.
const SLEPT: Duration = Duration::from_millis(400);

/// What SWIM wants done, or tells.
#[derive(Debug)]
pub(super) enum Output {
    /// Send this message to that member.
    Send(Identity, Bytes),
    /// Send this probe to that member, which is to answer it at once.
    Probe(Identity, Bytes),
    /// This member is alive.
    Up(Identity),
    /// This member, alive so far, is not any more.
    Down(Identity),
    /// The first identity was replaced by the second.
    Renamed(Identity, Identity),
    /// The others think that we are dead: we must speak up with a greater generation.
    Defunct,
}

/// The engine and its timers.
pub(super) struct Swim {
    foca: Foca<Identity, PostcardCodec, StdRng, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<Identity>,
    wire: Wire,
    timers: BinaryHeap<Reverse<Due>>,
    order: u64,
    size: u32,
    /// Messages that made no sense to the engine.
    pub(super) refused: u64,
}

impl Swim {
    pub(super) fn new(me: Identity, seed: u64) -> Self {
        Self {
            foca: Foca::new(me, config(2), StdRng::seed_from_u64(seed), PostcardCodec),
            runtime: AccumulatingRuntime::new(),
            wire: Wire::default(),
            timers: BinaryHeap::new(),
            order: 0,
            size: 2,
            refused: 0,
        }
    }

    /// All members known besides ourselves, the dead included.
    pub(super) fn known(&self) -> impl Iterator<Item = &Member<Identity>> {
        let me = self.foca.identity().member;
        let all = self.foca.iter_membership_state();
        all.filter(move |member| member.id().member != me)
    }

    /// What is known of one member.
    pub(super) fn find(&self, id: MemberId) -> Option<&Member<Identity>> {
        self.foca
            .iter_membership_state()
            .find(|member| member.id().member == id)
    }

    /// How many others are alive or suspect.
    pub(super) fn live(&self) -> usize {
        self.foca.num_members()
    }

    /// How many members there is news of that is still passed on.
    pub(super) fn news(&self) -> usize {
        self.foca.updates_backlog()
    }

    /// Equal as long as nothing changes in what is known; far cheaper than to look at all of it.
    pub(super) fn fingerprint(&self) -> u64 {
        let sum = |sum: u64, member: &Member<Identity>| {
            let mut hasher = DefaultHasher::new();
            let id = member.id();
            (id.member, id.generation, id.boot).hash(&mut hasher);
            (member.incarnation(), member.state() as u8).hash(&mut hasher);
            sum.wrapping_add(hasher.finish())
        };
        self.foca.iter_membership_state().fold(1, sum)
    }

    /// A message arrived, in a datagram of `sender`; gives what to reply to a stranger.
    pub(super) fn heard(
        &mut self,
        now: Mono,
        sender: Sender,
        bytes: &[u8],
        out: &mut Vec<Output>,
    ) -> Option<&'static [u8]> {
        let me = self.foca.identity();
        let known = self.find(sender.0).map(|known| known.id().clone());
        match self.wire.restore(me, sender, known.as_ref(), bytes) {
            Ok(Heard::Message(message)) => {
                let result = self.foca.handle_data(&message, &mut self.runtime);
                self.after(now, &result, out);
            }
            Ok(Heard::Again(to, probe)) => out.push(Output::Send(to, probe.into())),
            Ok(Heard::Stranger(reply)) => return Some(reply),
            Ok(Heard::NotOurs) => {}
            Err(Unreadable) => self.refused += 1,
        }
        None
    }

    /// Takes in what others know; passes on by gossip what of it is new, if `gossip` says so.
    pub(super) fn apply(
        &mut self,
        now: Mono,
        members: Vec<Member<Identity>>,
        gossip: bool,
        out: &mut Vec<Output>,
    ) {
        let members = members.into_iter();
        let result = self.foca.apply_many(members, gossip, &mut self.runtime);
        self.after(now, &result, out);
    }

    /// Asks a member to let us join.
    pub(super) fn announce(&mut self, now: Mono, to: Identity, out: &mut Vec<Output>) {
        let result = self.foca.announce(to, &mut self.runtime);
        self.after(now, &result, out);
    }

    /// Speaks up as `me`, whose generation is greater than the one so far.
    pub(super) fn become_identity(&mut self, now: Mono, me: Identity, out: &mut Vec<Output>) {
        let result = self.foca.change_identity(me, &mut self.runtime);
        self.after(now, &result, out);
    }

    /// Forgets a member that is down; does nothing to one that is not.
    pub(super) fn forget(&mut self, now: Mono, id: MemberId, out: &mut Vec<Output>) {
        if let Some(identity) = self.find(id).map(|member| member.id().clone()) {
            let timer = Timer::RemoveDown(identity);
            let result = self.foca.handle_timer(timer, &mut self.runtime);
            self.after(now, &result, out);
        }
    }

    /// Whom we ourselves did not get an answer from, and shall take for dead if nothing is heard.
    pub(super) fn accused(&self) -> impl Iterator<Item = &Identity> {
        let timers = self.timers.iter().map(|Reverse(due)| &due.timer);
        timers.filter_map(|timer| match timer {
            Timer::ChangeSuspectToDown { member_id, .. } if !self.is_refuted(timer) => {
                Some(member_id)
            }
            _ => None,
        })
    }

    /// Runs the timers that are due. Nobody is taken for dead whom `spared` names: it is looked at
    /// again a little later.
    pub(super) fn on_deadline(
        &mut self,
        now: Mono,
        spared: impl Fn(MemberId) -> bool,
        out: &mut Vec<Output>,
    ) {
        if self.deadline().is_some_and(|due| now.since(due) > SLEPT) {
            self.put_off(now);
        }
        while self.deadline().is_some_and(|due| due <= now) {
            let Some(Reverse(due)) = self.timers.pop() else {
                break;
            };
            if self.is_refuted(&due.timer) {
                continue;
            }
            if let Timer::ChangeSuspectToDown { member_id, .. } = &due.timer
                && spared(member_id.member)
            {
                let at = now.plus(RESPITE);
                self.timers.push(Reverse(Due { at, ..due }));
                continue;
            }
            let result = self.foca.handle_timer(due.timer, &mut self.runtime);
            self.after(now, &result, out);
        }
    }

    /// Whether a suspicion whose time is up was refuted. The engine (foca 2.0) would not declare
    /// the member dead, but tell it so all the same, and cost it its generation.
    fn is_refuted(&self, timer: &Timer<Identity>) -> bool {
        let Timer::ChangeSuspectToDown {
            member_id,
            incarnation,
            ..
        } = timer
        else {
            return false;
        };
        let suspect = Member::new(member_id.clone(), *incarnation, State::Suspect);
        !self.foca.iter_membership_state().any(|m| *m == suspect)
    }

    /// When the next timer is due.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.timers.peek().map(|Reverse(due)| due.at)
    }

    fn put_off(&mut self, now: Mono) {
        let late = self.deadline().map_or(Duration::ZERO, |due| now.since(due));
        let timers = std::mem::take(&mut self.timers);
        self.timers = timers
            .into_iter()
            .map(|Reverse(mut due)| {
                due.at = due.at.plus(late);
                Reverse(due)
            })
            .collect();
    }

    fn after(&mut self, now: Mono, result: &Result<(), foca::Error>, out: &mut Vec<Output>) {
        if result.is_err() {
            self.refused += 1;
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.order += 1;
            let at = now.plus(after);
            let order = self.order;
            self.timers.push(Reverse(Due { at, timer, order }));
        }
        while let Some((to, message)) = self.runtime.to_send() {
            let (message, wants_answer) = self.wire.abridge(&message);
            let send = if wants_answer {
                Output::Probe
            } else {
                Output::Send
            };
            out.push(send(to, message.into()));
        }
        while let Some(told) = self.runtime.to_notify() {
            out.extend(match told {
                OwnedNotification::MemberUp(id) => Some(Output::Up(id)),
                OwnedNotification::MemberDown(id) => Some(Output::Down(id)),
                OwnedNotification::Rename(old, new) => Some(Output::Renamed(old, new)),
                OwnedNotification::Defunct => Some(Output::Defunct),
                OwnedNotification::Active
                | OwnedNotification::Idle
                | OwnedNotification::Rejoin(_) => None,
            });
        }
        self.tune();
    }

    /// Follows the size of the cluster, in steps so that a single member changes nothing.
    fn tune(&mut self) {
        let live = u32::try_from(self.foca.num_members()).unwrap_or(u32::MAX);
        let size = live.saturating_add(1).max(2).checked_next_power_of_two();
        let size = size.unwrap_or(1 << 31);
        if size != self.size && self.foca.set_config(config(size)).is_ok() {
            self.size = size;
        }
    }
}

/// A timer of the engine. Ordered by time, then as the engine wants it, then first come.
#[derive(Debug)]
struct Due {
    at: Mono,
    timer: Timer<Identity>,
    order: u64,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at
            .cmp(&other.at)
            .then_with(|| self.timer.cmp(&other.timer))
            .then_with(|| self.order.cmp(&other.order))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

const fn some(number: usize) -> NonZeroUsize {
    match NonZeroUsize::new(number) {
        Some(number) => number,
        None => NonZeroUsize::MIN,
    }
}

const fn every(milliseconds: u64, members: usize) -> PeriodicParams {
    PeriodicParams {
        frequency: Duration::from_millis(milliseconds),
        num_members: some(members),
    }
}

/// The engine's settings for a cluster of about `size` members.
fn config(size: u32) -> Config {
    let digits = f64::from(size).log10();
    let growth = (digits / f64::from(SMALL).log10()).max(1.0);
    let transmissions = if size <= SMALL { 10 } else { 15 };
    Config {
        probe_period: PROBE_PERIOD,
        probe_rtt: PROBE_RTT,
        num_indirect_probes: some(3),
        max_transmissions: NonZeroU8::new(transmissions).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: SUSPICION.mul_f64(growth),
        remove_down_after: None,
        max_packet_size: some(PAYLOAD_LIMIT - FORM),
        notify_down_members: true,
        periodic_announce: Some(every(30_000, 1)),
        periodic_announce_to_down_members: Some(every(30_000, 2)),
        periodic_gossip: Some(every(200, 3)),
    }
}
