//! What we keep of each member besides what SWIM knows, and the table made of both.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use foca::{Member, State};

use super::{BootId, Effect, HeardRoot, Identity, MemberRow, MemberState, MemberTable, Membership};
use crate::model::{MemberId, WallTime};
use crate::protocol::clocks::{Reading, Way, is_plausible};
use crate::protocol::{Mono, Protocol, dialer};

/// How long somebody who answered over HTTPS counts as alive though datagrams do not get through.
const HTTPS_ALIVE: Duration = Duration::from_secs(30);
/// The most dead and left members remembered; beyond that the ones longest gone are forgotten.
pub(super) const GONE_LIMIT: usize = 1_024;
/// How long a sender that never became a member is remembered.
const STRANGER: Duration = Duration::from_mins(1);

/// What we keep of a member ourselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    /// The greatest generation heard, and under which boot and from where its datagrams come.
    pub(super) generation: u64,
    pub(super) source: Option<(BootId, SocketAddr)>,
    /// When a datagram of its own last came, straight or relayed.
    pub(super) heard: Option<Mono>,
    /// How many came straight, in its present boot.
    pub(super) direct: u64,
    /// Whether a beacon of its was heard.
    pub(super) beaconed: bool,
    pub(super) root: Option<HeardRoot>,
    pub(super) exchanged: Option<Mono>,
    /// What its clock said.
    pub(super) clock: Option<Reading>,
    pub(super) up: Option<Mono>,
    pub(super) down: Option<Mono>,
    /// Whether it answered over HTTPS when SWIM took it for dead, and no datagram has come since.
    pub(super) mute: bool,
    /// Since when it is gone, as others say.
    pub(super) gone_since: Option<WallTime>,
    /// Whether the dialer knows how it is now: `Some(true)` settled, `Some(false)` dead.
    pub(super) dialer_told: Option<bool>,
}

impl Record {
    /// Whether it is alive though SWIM, for want of datagrams, says that it is down: it answered
    /// over HTTPS lately, and since it went down, or it is known to be mute.
    fn alive_over_https(&self, now: Mono) -> bool {
        let lately = |at: Mono| now.since(at) < HTTPS_ALIVE;
        self.exchanged
            .is_some_and(|at| lately(at) && (self.mute || Some(at) > self.down))
    }
}

/// Our own row.
pub(super) fn own_row(me: &Identity, since: WallTime, root: Option<HeardRoot>) -> MemberRow {
    MemberRow {
        id: me.member,
        name: me.name.clone(),
        https: me.https,
        udp: me.udp,
        state: MemberState::Alive,
        generation: me.generation,
        incarnation: 0,
        boot: me.boot,
        version: me.version.clone(),
        protocols: me.protocols,
        since,
        root,
        exchanged: None,
        clock: None,
        https_only: false,
        beaconed: false,
    }
}

impl Membership {
    pub(super) fn came_up(&mut self, now: Mono, id: &Identity) {
        let record = self.records.entry(id.member).or_default();
        record.up = Some(now);
        record.gone_since = None;
        self.courting.remove(&id.member);
        let soon = now.plus(super::EXCHANGE_SOON.mul_f64(0.2));
        if self.swim.live() == 1 && self.table.live().count() == 0 {
            self.due.exchange = self.due.exchange.min(soon);
        }
    }

    pub(super) fn went_down(&mut self, now: Mono, id: &Identity) {
        let record = self.records.entry(id.member).or_default();
        record.down = Some(now);
        self.drop_path(id.member);
        self.opener.distrust(id.boot);
        if !id.leaving {
            self.counts.deaths += 1;
        }
    }

    /// Where a member receives datagrams: where its own last came from, or as it says itself.
    pub(super) fn udp_of(&self, id: &Identity) -> SocketAddr {
        udp_at(id, self.records.get(&id.member))
    }

    /// Where a member answers over HTTPS: as it advertises, or at the address its datagrams come
    /// from, which unlike its own idea of it is one that reaches us.
    pub(super) fn https_of(&self, id: &Identity) -> SocketAddr {
        https_at(id, self.udp_of(id))
    }

    /// Makes the table anew; publishes it if it says anything new.
    pub(super) fn refresh(&mut self, now: Mono, ticked: bool, out: &mut Vec<Effect>) {
        (self.due.look, self.stale, self.made) = (None, false, now);
        self.shown = self.swim.fingerprint();
        self.tell_dialer(now);
        let wall = self.wall(now);
        let mut others = BTreeMap::new();
        for member in self.swim.known() {
            let mut row = self.row(now, member);
            if let Some(old) = self.table.others.get(&row.id) {
                if old.state == row.state {
                    row.since = old.since;
                } else if row.state.is_live() {
                    row.since = wall;
                }
                if !ticked {
                    keep_times(old, &mut row);
                }
            }
            others.insert(row.id, row);
        }
        let root = HeardRoot {
            root: self.root,
            at: now,
        };
        let mut me = own_row(&self.me, self.table.me.since, Some(root));
        let mut counts = self.counts;
        if !ticked {
            keep_times(&self.table.me, &mut me);
            counts = self.table.counts;
        }
        self.counts.drops = self.opener.drops();
        self.counts.refused_messages = self.swim.refused;
        self.counts.dialling = self.dialer.waiting() as u64;
        let table = MemberTable {
            me,
            others,
            counts,
            hinted: self.hinted,
        };
        if table != *self.table {
            self.table = Arc::new(table);
            out.push(Effect::Publish(Arc::clone(&self.table)));
        }
    }

    fn row(&self, now: Mono, member: &Member<Identity>) -> MemberRow {
        let id = member.id();
        let record = self.records.get(&id.member);
        let over_https = record.is_some_and(|record| record.alive_over_https(now));
        let revived = member.state() == State::Down && !id.leaving && over_https;
        let state = match member.state() {
            State::Alive => MemberState::Alive,
            State::Suspect => MemberState::Suspect,
            State::Down if id.leaving => MemberState::Left,
            State::Down if revived => MemberState::Alive,
            State::Down => MemberState::Dead,
        };
        let gone_since = record.and_then(|record| record.gone_since);
        let udp = udp_at(id, record);
        MemberRow {
            id: id.member,
            name: id.name.clone(),
            https: https_at(id, udp),
            udp,
            state,
            generation: id.generation,
            incarnation: member.incarnation(),
            boot: id.boot,
            version: id.version.clone(),
            protocols: id.protocols,
            since: gone_since.unwrap_or_else(|| self.wall(now)),
            root: record.and_then(|record| record.root),
            exchanged: record.and_then(|record| record.exchanged),
            clock: record.and_then(|record| record.clock),
            https_only: revived || (state.is_live() && self.is_long_relayed(now, id.member)),
            beaconed: record.is_some_and(|record| record.beaconed),
        }
    }

    /// Tells the dialer whom to look for, and whom not any more.
    fn tell_dialer(&mut self, now: Mono) {
        let mut news = vec![];
        for member in self.swim.known() {
            let id = member.id();
            let record = self.records.entry(id.member).or_default();
            let told = match member.state() {
                State::Down if !id.leaving => Some(false),
                State::Down => Some(true),
                // SWIM's word alone is not enough: its datagrams must get through to us.
                State::Alive | State::Suspect if record.heard >= record.up => Some(true),
                State::Alive | State::Suspect => continue,
            };
            if record.dialer_told == told {
                continue;
            }
            record.dialer_told = told;
            news.push((id.clone(), told == Some(true)));
        }
        for (id, settled) in news {
            let event = if settled {
                dialer::Event::Settled(id.member)
            } else {
                dialer::Event::Dead {
                    address: self.https_of(&id),
                    member: id.member,
                }
            };
            self.dialer.on_event(now, event, &mut vec![]);
        }
    }

    /// Forgets who is gone for too long, or was never a member.
    pub(super) fn forget(&mut self, now: Mono) {
        let oldest = self.oldest(now);
        let gone = self.table.others.values().filter(|r| !r.state.is_live());
        let mut gone: Vec<_> = gone.map(|row| (row.since, row.id)).collect();
        gone.sort_unstable();
        let surplus = gone.len().saturating_sub(GONE_LIMIT);
        let forgotten = gone
            .iter()
            .enumerate()
            .filter(|(rank, (since, _))| *rank < surplus || *since < oldest);
        for (_, (_, member)) in forgotten {
            self.swim.forget(now, *member, &mut vec![]);
            let settled = dialer::Event::Settled(*member);
            self.dialer.on_event(now, settled, &mut vec![]);
            self.records.remove(member);
        }
        let known: BTreeSet<MemberId> = self.swim.known().map(|m| m.id().member).collect();
        self.records.retain(|member, record| {
            known.contains(member) || record.heard.is_some_and(|at| now.since(at) < STRANGER)
        });
    }

    /// Who is gone since before then is forgotten.
    pub(super) fn oldest(&self, now: Mono) -> WallTime {
        let after = u64::try_from(self.forget_after.as_millis()).unwrap_or(u64::MAX);
        WallTime::from_millis(self.wall(now).millis().saturating_sub(after))
    }

    /// A datagram of a member came, straight `from` there or relayed.
    pub(super) fn note_source(
        &mut self,
        now: Mono,
        from: Option<SocketAddr>,
        (member, generation, boot): (MemberId, u64, BootId),
        root: u128,
    ) {
        let record = self.records.entry(member).or_default();
        if generation < record.generation {
            return;
        }
        let source = from.map_or(record.source, |from| Some((boot, from)));
        let moved = record.source != source || record.mute;
        record.generation = generation;
        record.source = source;
        record.heard = Some(now);
        record.mute = false;
        let differs = record.root.is_none_or(|heard| heard.root != root);
        record.root = Some(HeardRoot { root, at: now });
        if moved || differs || record.dialer_told != Some(true) {
            self.show_at(now.plus(super::LOOK));
        }
    }

    /// A member told what its clock says.
    pub(super) fn note_clock(&mut self, now: Mono, member: MemberId, wall: WallTime, way: Way) {
        let record = self.records.entry(member).or_default();
        Reading::improve(&mut record.clock, Reading { wall, at: now }, way);
    }

    /// Somebody of the cluster told a time that is far from ours, perhaps long ago: it is as late
    /// as that at least.
    pub(super) fn note_hint(&mut self, now: Mono, wall: WallTime) {
        let later = self.hinted.is_none_or(|old| old.now(now) < wall);
        if is_plausible(wall) && later {
            self.hinted = Some(Reading { wall, at: now });
            self.show_at(now);
        }
    }

    /// A state was exchanged with a member.
    pub(super) fn note_exchange(&mut self, now: Mono, sender: &Identity, root: u128) {
        let record = self.records.entry(sender.member).or_default();
        record.exchanged = Some(now);
        record.mute |= record.down > record.up && record.heard <= record.down;
        record.root = Some(HeardRoot { root, at: now });
        self.counts.exchanges += 1;
        self.show_at(now);
    }
}

fn udp_at(id: &Identity, record: Option<&Record>) -> SocketAddr {
    let source = record.and_then(|record| record.source);
    source
        .filter(|(boot, _)| *boot == id.boot)
        .map_or(id.udp, |(_, address)| address)
}

/// Where `id` answers over HTTPS, given where its datagrams come from.
pub(super) fn https_at(id: &Identity, udp: SocketAddr) -> SocketAddr {
    if id.advertised || udp.ip() == id.udp.ip() {
        return id.https;
    }
    let mut https = udp;
    https.set_port(id.https.port());
    https
}

/// Takes over from `old` what changes all the time, where nothing else has changed.
fn keep_times(old: &MemberRow, row: &mut MemberRow) {
    if old.root.map(|heard| heard.root) == row.root.map(|heard| heard.root) {
        row.root = old.root;
    }
    if old.exchanged.is_some() && row.exchanged.is_some() {
        row.exchanged = old.exchanged;
    }
    if old.clock.is_some() && row.clock.is_some() {
        row.clock = old.clock;
    }
}
