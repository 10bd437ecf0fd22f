//! Our own standing among the others: generations, and whoever else claims our id.

use std::net::SocketAddr;
use std::time::Duration;

use super::rivals::{Finding, Sign};
use super::{Alarm, Effect, Generation, Identity, Membership, Phase, REJOIN_SPACING};
use crate::model::MemberId;
use crate::protocol::{Mono, Protocol, beacon, dialer};

/// The least time between two questions about a rival that the others speak of.
const RUMOUR_SPACING: Duration = Duration::from_secs(2);

impl Membership {
    pub(super) fn rejoin(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.rivals.yields(now) {
            self.due.rejoin = Some(now.plus(REJOIN_SPACING));
            return;
        }
        self.counts.rejoins += 1;
        self.rejoined = Some(now);
        let me = self.me.renewed(self.next_generation(now));
        self.become_identity(now, me, out);
    }

    /// Greater than all that the others can know of us.
    pub(super) fn next_generation(&self, now: Mono) -> Generation {
        let seen = self.swim.find(self.me.member);
        let seen = seen.map_or(Generation::default(), |own| own.id().generation.next());
        let clock = Generation::new(self.wall(now).millis());
        self.me.generation.next().max(seen).max(clock)
    }

    pub(super) fn become_identity(&mut self, now: Mono, me: Identity, out: &mut Vec<Effect>) {
        out.push(Effect::Persist(me.generation));
        self.me = me.clone();
        let mut outputs = vec![];
        self.swim.become_identity(now, me, &mut outputs);
        self.perform(now, outputs, out);
        self.changed(now);
    }

    pub(super) fn changed(&mut self, now: Mono) {
        let changed = beacon::Event::Changed;
        self.beacon.on_event(now, changed, &mut vec![]);
        self.show_at(now);
    }

    pub(super) fn moved(
        &mut self,
        now: Mono,
        udp: SocketAddr,
        https: SocketAddr,
        out: &mut Vec<Effect>,
    ) {
        if (self.me.udp, self.me.https) == (udp, https) {
            return;
        }
        let mut me = self.me.renewed(self.next_generation(now));
        me.udp = udp;
        me.https = https;
        self.become_identity(now, me, out);
    }

    pub(super) fn found(&mut self, now: Mono, finding: Finding, out: &mut Vec<Effect>) {
        match finding {
            Finding::Wait => {}
            Finding::Greet(address) => self.send_beacon_to(now, address, out),
            Finding::Proven {
                address,
                we_are_later,
            } => {
                self.send_beacon_to(now, address, out);
                let (member, ours, theirs) = (self.me.member, self.me.https, address);
                out.push(Effect::Alarm(if we_are_later {
                    self.phase = Phase::Over;
                    Alarm::RefusedAsDuplicate {
                        member,
                        ours,
                        theirs,
                    }
                } else {
                    Alarm::Duplicate {
                        member,
                        ours,
                        theirs,
                    }
                }));
            }
        }
    }

    /// The others speak of our member id under another boot, as newer than us: go and ask there.
    pub(super) fn follow_rumour(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let asked = self
            .rumour_at
            .is_some_and(|at| now.since(at) < RUMOUR_SPACING);
        let rumour = self.swim.find(self.me.member).map(foca::Member::id);
        let rumour = rumour.filter(|id| !asked && id.boot != self.me.boot && !id.leaving);
        let Some(rumour) = rumour
            .filter(|id| id.generation > self.me.generation)
            .cloned()
        else {
            return;
        };
        self.rumour_at = Some(now);
        self.send_beacon_to(now, rumour.udp, out);
        self.hint(now, rumour.https, rumour.member, Duration::ZERO);
    }

    pub(super) fn hint(
        &mut self,
        now: Mono,
        address: SocketAddr,
        member: MemberId,
        patience: Duration,
    ) {
        let hint = dialer::Event::Hint {
            address,
            member,
            patience,
        };
        self.dialer.on_event(now, hint, &mut vec![]);
    }

    pub(super) fn rival_sign(&mut self, now: Mono, sign: Sign, out: &mut Vec<Effect>) {
        let finding = self.rivals.sign(now, sign);
        self.found(now, finding, out);
    }
}
