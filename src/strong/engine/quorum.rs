//! What an operator sees of the group, and can do about it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ServerState;

use crate::model::MemberId;

use super::disk::{Cell, Kept, LogChange, LogDisk, LogDiskError};
use super::encoding::encode;
use super::engine::{Engine, Now, Parts, StrongError};
use super::group::{Belonging, Group, GroupId, Plan, Stage};
use super::leading::{AGAIN, Lead, PATIENCE};
use super::log::{Log, set};
use super::machine::{Machine, Shown};
use super::message::{GroupAsk, GroupReply, RequestAsk};
use super::portraits::{Current, Portraits};
use super::running::on_thread;
use super::scribe::Scribe;
use super::types::{LogId, SnapshotMeta, StoredMembership, Vote, Voter, VoterId};
use super::world::Seen;

/// Who has not answered its leader for so long is silent: many times the time between two signs of
/// life.
const SILENT: Duration = Duration::from_secs(3);

/// How a member's strong side stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// How the group is to be founded.
    pub plan: Plan,
    /// In one word: `forming`, `working`, `fenced` or `failed`.
    pub state: &'static str,
    /// Why it does not work, if it does not.
    pub why: Option<String>,
    /// The group, if there is one.
    pub group: Option<Group>,
    /// The id under which this member takes part.
    pub voter: VoterId,
    /// Who leads, as far as this member knows.
    pub leader: Option<MemberId>,
    /// The term.
    pub term: u64,
    /// The index of the last entry in the log of this member.
    pub last: u64,
    /// The index of the last entry that it applied.
    pub applied: u64,
    /// Up to where its snapshot reaches.
    pub snapshot: u64,
    /// For how long nobody has confirmed what is here.
    pub age: Option<Duration>,
    /// Who takes part, voters first.
    pub members: Vec<Part>,
    /// What this member does in the group.
    pub role: Role,
    /// The index of the last entry that this member knows to be committed.
    pub committed: u64,
    /// How many entries are in the log of this member, on the disk.
    pub entries: u64,
    /// How often this member has seen somebody begin to lead, since it started.
    pub leads: u64,
    /// Whether more than half of the voters are there, as far as this member knows.
    pub majority: bool,
    /// Whether a change of the voters is not finished: those before and those after must agree.
    pub changing: bool,
    /// Members of another group that this one has met, by name, and that group.
    pub strangers: Vec<(String, GroupId)>,
}

/// What a member does in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads, with a majority behind it.
    Leader,
    /// It led, and has no majority behind it any more.
    Isolated,
    /// It votes, and follows whoever leads.
    Follower,
    /// It stands for election.
    Candidate,
    /// It does not vote.
    Learner,
    /// It takes no part yet, or not any more.
    Nothing,
}

impl Role {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Isolated => "isolated",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Nothing => "none",
        }
    }

    fn of(state: ServerState, lead: Lead) -> Self {
        match state {
            ServerState::Leader if lead == Lead::Me => Self::Leader,
            ServerState::Leader => Self::Isolated,
            ServerState::Follower => Self::Follower,
            ServerState::Candidate => Self::Candidate,
            ServerState::Learner => Self::Learner,
            ServerState::Shutdown => Self::Nothing,
        }
    }
}

/// A member's part in the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The id under which it takes part.
    pub voter: VoterId,
    /// The member.
    pub member: MemberId,
    /// Its name when it joined.
    pub name: String,
    /// Whether it votes.
    pub votes: bool,
    /// How many entries it lacks; known to the leader only.
    pub lacks: Option<u64>,
    /// Whether this member sees it alive.
    pub alive: bool,
    /// Whether its engine says nothing, though this member leads it for some time.
    pub silent: bool,
}

impl Status {
    /// The voters.
    pub fn voters(&self) -> impl Iterator<Item = &Part> {
        self.members.iter().filter(|part| part.votes)
    }

    /// The voters that this member does not see alive, or that do not answer their leader.
    pub fn missing(&self) -> impl Iterator<Item = &Part> {
        self.voters().filter(|part| !part.alive || part.silent)
    }

    /// Who leads.
    pub fn leading(&self) -> Option<&Part> {
        let mut members = self.members.iter();
        members.find(|part| Some(part.member) == self.leader)
    }
}

impl Engine {
    /// How this member's strong side stands.
    pub fn status(&self) -> Status {
        let stands = self.stands();
        let (state, why) = match self.now() {
            Now::Working(parts) if parts.broken().is_some() => ("failed", parts.broken()),
            Now::Forming(why) => ("forming", Some(why.clone())),
            Now::Working(_) if !matches!(stands.stage, Stage::In(_)) => {
                ("forming", Some("the group is being founded".to_owned()))
            }
            Now::Working(_) => ("working", None),
            Now::Fenced(_, other) => (
                "fenced",
                Some(format!("group {} was founded before", other.id)),
            ),
            Now::Failed(why) => ("failed", Some(why.clone())),
        };
        let (view, age) = self.view();
        let mut status = Status {
            plan: self.0.settings.plan.clone(),
            state,
            why,
            strangers: self.strangers(stands.in_group()),
            group: stands.in_group().cloned(),
            voter: stands.voter,
            leader: None,
            term: 0,
            last: 0,
            applied: 0,
            snapshot: 0,
            age,
            members: Vec::new(),
            role: Role::Nothing,
            committed: 0,
            entries: 0,
            leads: self.0.leads.lock().0,
            majority: false,
            changing: false,
        };
        if let Some(recalled) = self.recalled() {
            let stand = &recalled.stand;
            status.term = stand.vote.map_or(0, |vote| vote.leader_id.term);
            status.last = stand.last.map_or(0, |last| last.index);
            status.applied = recalled.view.applied.map_or(0, |id| id.index);
        }
        let Ok(parts) = self.parts() else {
            self.list(&mut status, view.membership.membership(), None);
            return status;
        };
        let lead = parts.lead();
        status.leader = match lead {
            Lead::Me => Some(self.0.settings.me.member),
            Lead::Other(_, member) => Some(member),
            Lead::Nobody => None,
        };
        let metrics = parts.running.metrics();
        let index = |id: Option<LogId>| id.map_or(0, |id| id.index);
        status.role = Role::of(metrics.state, lead);
        status.term = metrics.current_term;
        status.last = metrics.last_log_index.unwrap_or(0);
        status.applied = index(metrics.last_applied);
        status.committed = index(parts.running.log.committed()).max(status.applied);
        // The first entry has the index 0.
        let end = |index: Option<u64>| index.map_or(0, |index| index + 1);
        let purged = metrics.purged.map(|id| id.index);
        status.entries = end(metrics.last_log_index).saturating_sub(end(purged));
        status.snapshot = index(metrics.snapshot);
        let membership = metrics.membership_config.membership();
        self.list(&mut status, membership, metrics.replication.as_ref());
        if lead == Lead::Me {
            self.mark_silent(&parts, &mut status);
        }
        status
    }

    /// Marks who does not answer this leader: its member may be well, but its strong side is not.
    fn mark_silent(&self, parts: &Parts, status: &mut Status) {
        let now = self.0.world.mono();
        if now.since(self.0.leads.lock().1) <= SILENT {
            return;
        }
        let me = self.0.settings.me.member;
        for part in &mut status.members {
            let answered = parts.running.answered(part.voter);
            part.silent = part.member != me && answered.is_none_or(|ago| ago > SILENT);
        }
    }

    /// Lists who takes part, and says whether more than half of the voters are there.
    fn list(
        &self,
        status: &mut Status,
        membership: &openraft::Membership<VoterId, Voter>,
        replication: Option<&BTreeMap<VoterId, Option<LogId>>>,
    ) {
        let seen = self.0.seen.borrow().clone();
        let me = self.0.settings.me.member;
        let is_alive =
            |member: MemberId| member == me || seen.iter().any(|peer| peer.member == member);
        let voters: Vec<VoterId> = membership.voter_ids().collect();
        let last = status.last;
        let part = |(id, node): (&VoterId, &Voter)| Part {
            voter: *id,
            member: node.member,
            name: node.name.clone(),
            votes: voters.contains(id),
            lacks: replication.and_then(|all| {
                let matched = (*all.get(id)?).map_or(0, |matched| matched.index);
                Some(last.saturating_sub(matched))
            }),
            alive: is_alive(node.member),
            silent: false,
        };
        status.members = membership.nodes().map(part).collect();
        status
            .members
            .sort_by(|a, b| (!a.votes, &a.name, a.member).cmp(&(!b.votes, &b.name, b.member)));
        let is_here = |id: &&VoterId| {
            let node = membership.get_node(id);
            node.is_some_and(|node| is_alive(node.member))
        };
        status.changing = membership.get_joint_config().len() > 1;
        let mut configs = membership.get_joint_config().iter();
        let has =
            |voters: &BTreeSet<VoterId>| voters.iter().filter(is_here).count() * 2 > voters.len();
        let is_led = status.leader == Some(me);
        status.majority = is_led || (!voters.is_empty() && configs.all(has));
    }

    /// Who is in another group than this one, which is neither an earlier nor a later epoch of it.
    fn strangers(&self, mine: Option<&Group>) -> Vec<(String, GroupId)> {
        let Some(mine) = mine else {
            return Vec::new();
        };
        let seen = self.0.seen.borrow().clone();
        let told = self.0.told.lock();
        let other = |peer: &Seen| {
            let other = told.get(&peer.member)?.1.belonging.in_group()?;
            let is_kin =
                other.id == mine.id || other.was.contains(&mine.id) || mine.was.contains(&other.id);
            (!is_kin).then(|| (peer.name.to_string(), other.id))
        };
        seen.iter().filter_map(other).collect()
    }

    /// Makes a learner a voter.
    ///
    /// # Errors
    /// See [`StrongError`]; [`StrongError::Impossible`] says why it cannot vote.
    pub async fn promote(&self, member: MemberId) -> Result<(), StrongError> {
        self.manage(RequestAsk::Promote(member)).await
    }

    /// Makes a voter a learner.
    ///
    /// # Errors
    /// See [`StrongError`].
    pub async fn demote(&self, member: MemberId) -> Result<(), StrongError> {
        self.manage(RequestAsk::Demote(member)).await
    }

    /// Lets a voter lead.
    ///
    /// # Errors
    /// See [`StrongError`].
    pub async fn transfer(&self, member: MemberId) -> Result<(), StrongError> {
        match self.manage(RequestAsk::Transfer(member)).await {
            // The one that was asked leads no more: perhaps because it did it.
            Err(StrongError::Unknown(_)) if self.is_led_by(member).await => Ok(()),
            done => done,
        }
    }

    /// Whether this member leads, once somebody does.
    async fn is_led_by(&self, member: MemberId) -> bool {
        let end = self.0.world.mono().plus(PATIENCE);
        loop {
            match self.status().leader {
                Some(leader) => return leader == member,
                None if self.0.world.mono() >= end => return false,
                None => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Gives up the strong side of this member: it begins again, with another id, as a learner of
    /// whatever group it meets, or founds a new one.
    ///
    /// A voter whose group works is refused unless `force` says that it is meant: the group would
    /// be short of a voter, and one whose voters all do it loses what it held.
    ///
    /// # Errors
    /// [`StrongError::Impossible`] for such a voter, or when it cannot be written down.
    pub async fn reset(&self, force: bool) -> Result<(), StrongError> {
        let status = self.status();
        let is_me = |part: &&Part| part.member == self.0.settings.me.member;
        let others = status.voters().filter(|part| !is_me(part)).count();
        let works = status.state == "working" && (status.leader.is_some() || status.majority);
        if !force && works && status.voters().any(|part| is_me(&part)) {
            return Err(StrongError::Impossible(match others {
                0 => "this member is the only voter: what the group holds would be lost".to_owned(),
                _ => "this member votes in a group that works: make it a learner first (demote)"
                    .to_owned(),
            }));
        }
        self.begin_again()
            .await
            .map_err(|error| StrongError::Impossible(error.to_string()))
    }

    /// Goes on alone after the majority was lost for good: this member becomes the only voter of a
    /// group of its own, with everything that is in its log. Whoever is left of the group before
    /// begins again as a learner as soon as it meets this one.
    ///
    /// # Errors
    /// [`StrongError::Impossible`] if there is a leader, or nothing to recover.
    pub async fn recover(&self) -> Result<GroupId, StrongError> {
        let impossible = |why: &str| StrongError::Impossible(why.to_owned());
        let status = self.status();
        if status.leader.is_some() {
            return Err(impossible("the group has a leader: nothing is lost"));
        }
        if let Stage::In(group) = self.stands().stage {
            self.has_most(&group).await?;
        }
        let mut belonging = self.0.belonging.lock().await;
        let before = match belonging.stage.clone() {
            Stage::In(before) => before,
            Stage::Fenced(_, other) => {
                return Err(impossible(&format!(
                    "this member met group {}, which was founded before its own: save what you \
                     need, then give this one up (reset)",
                    other.id
                )));
            }
            Stage::Looking | Stage::Proposing(..) | Stage::Promised(_) => {
                return Err(impossible("this member is in no group"));
            }
        };
        let stopping = Now::Forming("the group is recovered".to_owned());
        if let Now::Working(parts) = self.0.now.send_replace(stopping) {
            parts.running.stop().await;
        }
        let id = GroupId(u128::from_le_bytes(self.0.world.random()));
        let voter = VoterId::drawn(self.0.world.random());
        let me = Voter {
            member: self.0.settings.me.member,
            name: self.0.settings.me.name.to_string(),
        };
        let mut was = before.was.clone();
        was.push(before.id);
        let group = Group {
            id,
            founded: self.0.world.wall(),
            epoch: before.epoch + 1,
            was,
            founders: [(voter, me.clone())].into(),
        };
        let failed = |error: LogDiskError| StrongError::Impossible(error.to_string());
        let changes = self.rewritten(voter, me).await.map_err(failed)?;
        let next = Belonging {
            voter,
            stage: Stage::In(group),
        };
        self.stand_anew(&mut belonging, next, changes)
            .await
            .map_err(failed)?;
        tracing::warn!(group = %id, "the group goes on with this member as its only voter");
        Ok(id)
    }

    /// Asks the survivors that are seen: none may have more than this member.
    async fn has_most(&self, group: &Group) -> Result<(), StrongError> {
        let mine = match (self.parts(), self.recalled()) {
            (Ok(parts), _) => parts.running.log.last(),
            (Err(_), Some(recalled)) => recalled.stand.last,
            (Err(_), None) => return Ok(()),
        };
        let seen = self.0.seen.borrow().clone();
        let ask = GroupAsk::Recall(group.id, self.stands().voter);
        for peer in seen.iter() {
            let Some(GroupReply::Recalled(memory)) = self.ask_group(peer.member, &ask).await else {
                continue;
            };
            if memory.stand.last > mine {
                let index = |last: Option<LogId>| last.map_or(0, |last| last.index);
                return Err(StrongError::Impossible(format!(
                    "{} has entries up to {}, this member only up to {}: recover there, or stop it \
                     first if it is to be given up",
                    peer.name,
                    index(memory.stand.last),
                    index(mine)
                )));
            }
        }
        Ok(())
    }

    /// The changes that put the whole log into a snapshot, in which this member is the only voter.
    async fn rewritten(&self, voter: VoterId, me: Voter) -> Result<Vec<LogChange>, LogDiskError> {
        let (disk, world) = (self.0.disk.clone(), self.0.world.clone());
        let scribe = Scribe::start(disk.clone(), world.as_ref());
        let opening = {
            let (disk, world, scribe) = (disk.clone(), world.clone(), scribe.clone());
            move || {
                let kept: Kept = disk.load()?;
                let (_, view) = Portraits::open(disk.clone(), &kept, scribe.clone())?;
                let log = Log::open(disk, &kept, scribe, world)?;
                Ok::<_, LogDiskError>((view, log))
            }
        };
        let broke_off = || LogDiskError::Failed("reading the strong side broke off".to_owned());
        let opened = on_thread(world.as_ref(), opening).await;
        let (view, log) = opened.ok_or_else(broke_off)??;
        let view = all_applied(view, &log, disk, scribe).await?;
        let term = view.applied.map_or(0, |id| id.leader_id.term);
        let term = term.max(log.vote().map_or(0, |vote| vote.leader_id().term));
        let nodes = BTreeMap::from([(voter, me)]);
        let membership = openraft::Membership::new(vec![[voter].into()], nodes);
        let meta = SnapshotMeta {
            last_log_id: view.applied,
            last_membership: StoredMembership::new(view.applied, membership),
            snapshot_id: format!("recovered-{term}"),
        };
        let mut changes = vec![LogChange::Wipe];
        let mut pieces = 0;
        for bytes in view.state.pieces() {
            changes.push(LogChange::Piece {
                snapshot: 1,
                piece: pieces,
                bytes: bytes.into(),
            });
            pieces += 1;
        }
        changes.push(set(Cell::Vote, &Vote::new(term, voter)));
        changes.extend(
            view.applied
                .map(|id| LogChange::Set(Cell::Purged, encode(&id))),
        );
        changes.push(set(
            Cell::Snapshot,
            &Current {
                number: 1,
                pieces,
                meta,
            },
        ));
        Ok(changes)
    }
}

/// The state after all entries of the log, committed or not: what was acknowledged is among them.
async fn all_applied(
    view: super::View,
    log: &Log,
    disk: std::sync::Arc<dyn LogDisk>,
    scribe: Scribe,
) -> Result<super::View, LogDiskError> {
    use openraft::storage::RaftStateMachine;

    let from = view.applied.map_or(0, |id| id.index + 1);
    let entries = log.all_from(from).await?;
    let kept = Kept::default();
    let (portraits, _) = Portraits::open(disk, &kept, scribe)?;
    let shown = std::sync::Arc::new(Shown::new());
    let mut machine = Machine::new(shown.clone(), portraits.into(), view);
    let applied = machine.apply(entries).await;
    applied.map_err(|error| LogDiskError::Corrupt(error.to_string()))?;
    Ok(shown.view().as_ref().clone())
}
