//! A member that starts again takes no part before it knows that it has forgotten nothing that
//! counts. [`super::seal`] says how that is found out; here the others are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::model::MemberId;
use crate::protocol::Mono;

use super::disk::{Cell, LogChange, LogDiskError};
use super::encoding::{decode, encode};
use super::engine::{Engine, Parts};
use super::group::{Belonging, Group, GroupId};
use super::log::set;
use super::message::{GroupAsk, GroupReply, RequestAsk, RequestReply};
use super::recalling::Recalled;
use super::running::on_thread;
use super::seal::{Heard, Memory, Own, Seal, Stand, heard, lost};
use super::types::{LogId, StoredMembership, Vote, Voter, VoterId};
use super::world::Matter;

/// How often the others are asked.
const ASK: Duration = Duration::from_millis(100);
/// How long one may take to answer.
const ANSWER: Duration = Duration::from_secs(1);
/// How long it is waited for the answers of the others once a majority is there.
const OTHERS: Duration = Duration::from_millis(500);
/// A voter whose log goes on draws a new seal so often.
const RENEW: Duration = Duration::from_secs(10);

/// What is known of this member's own memory.
#[derive(Default)]
pub(super) struct Proof {
    /// The id under which nothing is forgotten.
    sure: Option<VoterId>,
    /// What was on the disk at the start, until the engine begins with it.
    recalled: Option<Arc<Recalled>>,
    /// Since when a majority has answered.
    majority: Option<Mono>,
    /// The last entry that another voter had: what this member forgot, if anything, ends there.
    target: Option<LogId>,
}

impl Proof {
    /// Of an id that was drawn just now.
    pub(super) fn of(voter: VoterId) -> Self {
        Self {
            sure: Some(voter),
            ..Self::default()
        }
    }
}

/// The seals: of this member, and those of others that it noted.
pub(super) struct Seals {
    own: Own,
    noted: BTreeMap<VoterId, Seal>,
    /// Who has noted this member's.
    noted_by: BTreeSet<VoterId>,
    /// When it was drawn, and what the log was then.
    drawn: Mono,
    at: (Option<Vote>, Option<LogId>),
}

impl Seals {
    /// As they are on the disk.
    pub(super) fn new(own: Own, noted: BTreeMap<VoterId, Seal>, now: Mono) -> Self {
        Self {
            own,
            noted,
            noted_by: BTreeSet::new(),
            drawn: now,
            at: (None, None),
        }
    }

    /// Forgets all: the member takes part under another id.
    fn clear(&mut self) {
        (self.own, self.noted) = (Own::default(), BTreeMap::new());
        self.noted_by.clear();
    }
}

impl Engine {
    /// Whether this member may take part under that id.
    pub(super) fn is_sure(&self, voter: VoterId) -> bool {
        self.0.proof.lock().sure == Some(voter)
    }

    /// Writes down that this member goes on under an id on which nobody has ever counted.
    pub(super) async fn stand_anew(
        &self,
        belonging: &mut Belonging,
        next: Belonging,
        changes: Vec<LogChange>,
    ) -> Result<(), LogDiskError> {
        let mut seals = self.0.seals.lock().await;
        *self.0.proof.lock() = Proof::of(next.voter);
        self.stand_as(belonging, next, changes).await?;
        seals.clear();
        Ok(())
    }

    /// What the engine begins with: what was recalled, and the entry that it must have before it
    /// votes.
    pub(super) fn take_proof(&self) -> (Option<Arc<Recalled>>, Option<LogId>) {
        let mut proof = self.0.proof.lock();
        (proof.recalled.take(), proof.target)
    }

    /// What was on the disk at the start, while the engine does not run yet.
    pub(super) fn recalled(&self) -> Option<Arc<Recalled>> {
        self.0.proof.lock().recalled.clone()
    }

    /// Asks the others what they know of this member; gives the time until it is asked again.
    pub(super) async fn prove(&self, group: &Group) -> Result<Duration, LogDiskError> {
        let known = self.recalled();
        let recalled = if let Some(known) = known {
            known
        } else {
            let recalled = Arc::new(self.recall().await?);
            self.0.proof.lock().recalled = Some(recalled.clone());
            recalled
        };
        let (own, me) = (self.0.seals.lock().await.own.clone(), self.stands().voter);
        if own.is_older {
            return self.find_way_back(group).await;
        }
        let (told, voters) = self.ask_voters(group, me, &recalled.stand).await;
        let why = told
            .iter()
            .find_map(|told| lost(me, own.seal, &recalled.stand, told));
        if let Some(why) = why {
            self.give_up(why).await?;
            return Ok(Duration::ZERO);
        }
        let others: BTreeSet<VoterId> = told.iter().map(|told| told.voter).collect();
        let is_elsewhere = own.is_elsewhere(self.0.disk.place().as_ref());
        let is_enough = match heard(me, &voters, &others) {
            Heard::Few => {
                self.0.proof.lock().majority = None;
                false
            }
            Heard::Majority => !is_elsewhere && self.has_waited(),
            Heard::Enough => true,
        };
        if is_enough {
            return self
                .settle(group, me, &recalled.stand, &told, &voters)
                .await;
        }
        let count = others.len();
        self.forming(if is_elsewhere {
            format!(
                "its data was moved or copied here; before it votes, more of the other voters must \
                 say that it has forgotten nothing ({count} did)"
            )
        } else {
            format!("it asks the other voters what it must have ({count} answered)")
        });
        Ok(ASK)
    }

    /// Whether a majority has been there for long enough that the rest may be left out.
    fn has_waited(&self) -> bool {
        let now = self.0.world.mono();
        let mut proof = self.0.proof.lock();
        now.since(*proof.majority.get_or_insert(now)) >= OTHERS
    }

    /// What the other voters know, and who the voters are, by the newest that any of them knows.
    async fn ask_voters(
        &self,
        group: &Group,
        me: VoterId,
        stand: &Stand,
    ) -> (Vec<Memory>, Vec<BTreeSet<VoterId>>) {
        let mut newest = stand.membership.clone();
        let (mut told, mut asked) = (Vec::<Memory>::new(), BTreeSet::new());
        loop {
            let (sets, members) = voters(&newest, group);
            let seen = self.0.seen.borrow().clone();
            let next = seen.iter().map(|peer| peer.member);
            let next: Vec<MemberId> = next
                .filter(|member| members.contains(member) && asked.insert(*member))
                .collect();
            if next.is_empty() {
                return (told, sets);
            }
            let ask = GroupAsk::Recall(group.id, me);
            let asks = next.iter().map(|member| self.ask_soon(*member, &ask));
            for reply in join_all(asks).await {
                if let Some(GroupReply::Recalled(memory)) = reply {
                    if memory.stand.membership.log_id() > newest.log_id() {
                        newest = memory.stand.membership.clone();
                    }
                    told.push(*memory);
                }
            }
        }
    }

    async fn ask_soon(&self, to: MemberId, ask: &GroupAsk) -> Option<GroupReply> {
        let asked = self.0.world.ask(to, Matter::Group, encode(ask), ANSWER);
        decode(&asked.await.ok()?).ok()
    }

    /// Nothing that counts is forgotten: takes on what the others have seen it promise at most,
    /// draws a new seal, and begins once a majority has noted it.
    async fn settle(
        &self,
        group: &Group,
        me: VoterId,
        has: &Stand,
        told: &[Memory],
        voters: &[BTreeSet<VoterId>],
    ) -> Result<Duration, LogDiskError> {
        let votes = told.iter().filter_map(|told| told.stand.vote);
        let highest = votes.map(|vote| vote.leader_id).max();
        let mut changes = Vec::new();
        if let Some(highest) = highest
            && has.vote.is_none_or(|vote| vote.leader_id < highest)
        {
            changes.push(set(Cell::Vote, &Vote::new(highest.term, highest.node_id)));
        }
        let seal = self.draw(changes, (has.vote, has.last)).await?;
        let nodes = told.iter().map(|told| told.voter).collect();
        let noted = self.tell_seal(group.id, me, seal, &nodes).await?;
        let mut proof = self.0.proof.lock();
        if heard(me, voters, &noted) == Heard::Few {
            // It has another vote on the disk now.
            proof.recalled = None;
            return Ok(ASK);
        }
        proof.sure = Some(me);
        proof.target = told.iter().filter_map(|told| told.stand.last).max();
        Ok(Duration::ZERO)
    }

    /// Draws a new seal and writes it down, together with something else.
    async fn draw(
        &self,
        mut changes: Vec<LogChange>,
        at: (Option<Vote>, Option<LogId>),
    ) -> Result<Seal, LogDiskError> {
        let mut seals = self.0.seals.lock().await;
        let own = Own {
            seal: seals.own.seal.next(self.0.world.random()),
            place: self.0.disk.place(),
            is_older: false,
        };
        changes.push(set(Cell::Seal, &own));
        self.write(changes).await?;
        let seal = own.seal;
        (seals.own, seals.at) = (own, at);
        seals.drawn = self.0.world.mono();
        seals.noted_by.clear();
        Ok(seal)
    }

    /// A member that never took part before draws its first seal.
    pub(super) async fn first_seal(&self) -> Result<(), LogDiskError> {
        let is_none = self.0.seals.lock().await.own.seal.is_none();
        if is_none {
            self.draw(Vec::new(), (None, None)).await?;
        }
        Ok(())
    }

    /// Draws a new seal now and then while the log goes on, and has the voters note it.
    pub(super) async fn keep_seal(&self, group: &Group, parts: &Parts) -> Result<(), LogDiskError> {
        let at = (parts.running.log.vote(), parts.running.log.last());
        let is_due = {
            let seals = self.0.seals.lock().await;
            seals.at != at && self.0.world.mono().since(seals.drawn) >= RENEW
        };
        if is_due {
            self.draw(Vec::new(), at).await?;
        }
        let me = parts.running.voter;
        let (seal, left) = {
            let seals = self.0.seals.lock().await;
            let voters = parts.voters().into_iter().map(|(id, _)| id);
            let left = voters.filter(|id| *id != me && !seals.noted_by.contains(id));
            (seals.own.seal, left.collect::<BTreeSet<_>>())
        };
        if !left.is_empty() {
            self.tell_seal(group.id, me, seal, &left).await?;
        }
        Ok(())
    }

    /// Has these voters note this member's seal; gives who did. One that noted a newer one proves
    /// that this is an older copy.
    async fn tell_seal(
        &self,
        group: GroupId,
        me: VoterId,
        seal: Seal,
        voters: &BTreeSet<VoterId>,
    ) -> Result<BTreeSet<VoterId>, LogDiskError> {
        let known = self.known_members();
        let seen = self.0.seen.borrow().clone();
        let to = voters
            .iter()
            .filter_map(|voter| Some((*voter, *known.get(voter)?)))
            .filter(|(_, member)| seen.iter().any(|peer| peer.member == *member));
        let ask = GroupAsk::Note(group, me, seal);
        let asks = to.map(async |(voter, member)| (voter, self.ask_soon(member, &ask).await));
        let replies = join_all(asks).await;
        let mut noted = BTreeSet::new();
        for (voter, reply) in replies {
            match reply {
                Some(GroupReply::Noted(by, None)) if by == voter => {
                    noted.insert(voter);
                }
                Some(GroupReply::Noted(_, Some(known))) if known.is_forgotten_by(seal) => {
                    self.give_up("it was started again since this copy was made")
                        .await?;
                    return Ok(BTreeSet::new());
                }
                _ => {}
            }
        }
        let mut seals = self.0.seals.lock().await;
        if seals.own.seal == seal {
            seals.noted_by.extend(&noted);
        }
        Ok(noted)
    }

    /// The members behind the ids, as far as this member knows.
    fn known_members(&self) -> BTreeMap<VoterId, MemberId> {
        let told = self.0.told.lock();
        let told = told
            .iter()
            .map(|(member, (_, told))| (told.belonging.voter, *member));
        told.collect()
    }

    /// Notes the seal of another member, durably.
    pub(super) async fn note(&self, group: GroupId, voter: VoterId, seal: Seal) -> GroupReply {
        let stands = self.stands();
        if stands.group() != Some(group) {
            return GroupReply::No("it is not in that group".to_owned());
        }
        let mut seals = self.0.seals.lock().await;
        let before = seals.noted.get(&voter).copied();
        match before {
            Some(known) if known == seal => return GroupReply::Noted(stands.voter, None),
            Some(known) if known.is_forgotten_by(seal) => {
                return GroupReply::Noted(stands.voter, Some(known));
            }
            Some(_) | None => {}
        }
        let mut next = seals.noted.clone();
        next.insert(voter, seal);
        match self.write(vec![set(Cell::Seals, &next)]).await {
            Ok(()) => {
                seals.noted = next;
                GroupReply::Noted(stands.voter, None)
            }
            Err(error) => GroupReply::No(error.to_string()),
        }
    }

    /// What this member knows of another one that starts again.
    pub(super) async fn remember(&self, group: GroupId, voter: VoterId) -> GroupReply {
        let stands = self.stands();
        if stands.group() != Some(group) {
            return GroupReply::No("it is not in that group".to_owned());
        }
        let seal = self.0.seals.lock().await.noted.get(&voter).copied();
        let (stand, acknowledged) = match self.parts() {
            Ok(parts) if parts.running.group == group => match parts.running.stand().await {
                Ok(stand) => (stand, parts.running.acknowledged(voter)),
                Err(error) => return GroupReply::No(error.to_string()),
            },
            _ => match self.recalled() {
                Some(recalled) => (recalled.stand.clone(), None),
                None => return GroupReply::No("it is just starting".to_owned()),
            },
        };
        GroupReply::Recalled(Box::new(Memory {
            voter: stands.voter,
            stand,
            seal,
            acknowledged,
        }))
    }

    /// This member was set back to an older copy: it takes no part any more under its id.
    async fn give_up(&self, why: &str) -> Result<(), LogDiskError> {
        tracing::error!(
            why,
            "the data of this member is an older copy: its strong side takes no part as it is. It \
             begins again under another id as soon as the others have a leader without it"
        );
        let mut seals = self.0.seals.lock().await;
        let own = Own {
            is_older: true,
            ..seals.own.clone()
        };
        self.write(vec![set(Cell::Seal, &own)]).await?;
        seals.own = own;
        self.0.proof.lock().sure = None;
        self.0.wake.notify_one();
        Ok(())
    }

    /// Begins again under another id once a majority works without this member. Until then its
    /// copy may be the best that there is: it is kept.
    async fn find_way_back(&self, group: &Group) -> Result<Duration, LogDiskError> {
        let seen = self.0.seen.borrow().clone();
        let body = encode(&(group.id, RequestAsk::ReadIndex, ANSWER));
        let asks = seen.iter().map(async |peer| {
            let world = &self.0.world;
            let asked = world.ask(peer.member, Matter::Request, body.clone(), ANSWER);
            let reply = asked.await.ok()?;
            decode::<RequestReply>(&reply).ok()
        });
        let replies = join_all(asks).await;
        let leads =
            |reply: &Option<RequestReply>| matches!(reply, Some(RequestReply::ReadIndex(_)));
        if replies.iter().any(leads) {
            tracing::warn!("the others have a leader: this member begins again as a learner");
            self.begin_again().await?;
            return Ok(Duration::ZERO);
        }
        self.forming(
            "its data is an older copy: it waits for the other voters to elect a leader, and then \
             begins again under another id. If too many of them are lost for good, run \"gaggle \
             quorum recover\" on the member whose last entry is the greatest"
                .to_owned(),
        );
        Ok(ASK)
    }

    async fn write(&self, changes: Vec<LogChange>) -> Result<(), LogDiskError> {
        let disk = self.0.disk.clone();
        let written = on_thread(self.0.world.as_ref(), move || disk.commit(&changes)).await;
        written.unwrap_or_else(|| Err(LogDiskError::Failed("writing broke off".to_owned())))
    }
}

/// The sets of voters, and the members behind them: those of the group's founding as long as
/// nothing else is known.
fn voters(
    membership: &StoredMembership,
    group: &Group,
) -> (Vec<BTreeSet<VoterId>>, BTreeSet<MemberId>) {
    let sets = membership.membership().get_joint_config().clone();
    if sets.is_empty() {
        let founders = group.founders.values().map(|voter| voter.member);
        let ids = group.founders.keys().copied().collect();
        return (vec![ids], founders.collect());
    }
    let ids: BTreeSet<VoterId> = sets.iter().flatten().copied().collect();
    let nodes = ids
        .iter()
        .filter_map(|id| membership.membership().get_node(id));
    let members = nodes.map(|node: &Voter| node.member).collect();
    (sets, members)
}
