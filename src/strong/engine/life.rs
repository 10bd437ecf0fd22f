//! How a member finds its group, and stays in it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use openraft::error::{InitializeError, RaftError};

use crate::model::{MemberId, WallTime};

use super::disk::{LogChange, LogDiskError};
use super::encoding::{EncodingError, decode, encode};
use super::engine::{Engine, Now, Parts};
use super::group::{Belonging, Charter, Group, GroupId, Plan, Stage, Told, charter, promises};
use super::message::{GroupAsk, GroupReply, RequestAsk, RequestReply};
use super::running::on_thread;
use super::types::{Voter, VoterId};
use super::world::{Matter, Seen};

/// How often a member without a group looks for one.
const LOOK: Duration = Duration::from_millis(500);
/// How often a member in a group looks whether all is well.
const CHECK: Duration = Duration::from_secs(2);
/// How long a peer may take to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// A member that hears nothing of a leader for so long asks whether it still belongs to the group.
const DEAF: Duration = Duration::from_secs(10);

/// Looks after this member's part in a group for as long as the member runs.
pub(super) async fn live(engine: Engine) {
    loop {
        let wait = engine.step().await;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = engine.0.wake.notified() => {}
        }
    }
}

impl Engine {
    /// One look around; gives the time until the next.
    async fn step(&self) -> Duration {
        if let Err(error) = self.run_as_it_stands().await {
            self.0.now.send_replace(Now::Failed(error));
            return CHECK;
        }
        let told = self.greet().await;
        let result = match self.stands().stage {
            Stage::Looking => self.look(&told).await,
            Stage::Proposing(charter, _) => self.gather(&charter).await,
            Stage::Promised(charter) => self.await_founding(&charter, &told).await,
            Stage::In(group) => {
                let result = self.belong(&group, &told).await;
                result.map(|()| CHECK)
            }
            Stage::Fenced(..) => Ok(CHECK),
        };
        result.unwrap_or_else(|error| {
            tracing::error!(%error, "how this member stands cannot be written down");
            CHECK
        })
    }

    /// Starts, ends or restarts the parts, so that they are what this member stands for.
    async fn run_as_it_stands(&self) -> Result<(), String> {
        let belonging = self.stands();
        if let Stage::Fenced(mine, other) = &belonging.stage {
            let is_known = matches!(&*self.0.now.borrow(), Now::Fenced(..));
            if !is_known {
                let before = self
                    .0
                    .now
                    .send_replace(Now::Fenced(mine.clone(), other.clone()));
                end(before).await;
            }
            return Ok(());
        }
        let wanted = belonging.group().map(|group| (group, belonging.voter));
        let working = self.parts().ok();
        let has = working.as_ref().map(|parts| {
            let running = &parts.running;
            (running.group, running.voter)
        });
        let broken = working.as_ref().and_then(|parts| parts.broken());
        if wanted == has && broken.is_none() {
            return Ok(());
        }
        if let Some(why) = &broken {
            tracing::error!(%why, "the strong side broke off");
        }
        if working.is_some() {
            let begins = || Now::Forming("it begins".to_owned());
            let ended = broken.map_or_else(begins, Now::Failed);
            end(self.0.now.send_replace(ended)).await;
        }
        if wanted.is_none() || self.0.stops.load(Ordering::Acquire) {
            return Ok(());
        }
        if let Some(why) = self.0.shown.stopped() {
            return Err(why);
        }
        // A disk that takes nothing would end the engine again at once.
        self.write_again()
            .await
            .map_err(|error| error.to_string())?;
        let parts = self.open(&belonging).await?;
        self.0.now.send_replace(Now::Working(parts));
        if self.0.stops.load(Ordering::Acquire) {
            // It was told to stop while they were started.
            self.stop().await;
        }
        Ok(())
    }

    async fn write_again(&self) -> Result<(), LogDiskError> {
        let mut belonging = self.0.belonging.lock().await;
        let same = belonging.clone();
        let disk = self.0.disk.clone();
        let change = super::log::set(super::disk::Cell::Group, &same);
        let written = on_thread(self.0.world.as_ref(), move || disk.commit(&[change])).await;
        *belonging = same;
        written.unwrap_or_else(|| Err(LogDiskError::Failed("writing broke off".to_owned())))
    }

    fn telling(&self) -> Told {
        Told {
            plan: self.0.settings.plan.clone(),
            belonging: self.stands(),
        }
    }

    /// Asks all peers how they stand that have not told since they started, and all while this
    /// member has no group.
    async fn greet(&self) -> Vec<(Seen, Told)> {
        let seen = self.0.seen.borrow().clone();
        let is_in = matches!(self.stands().stage, Stage::In(_) | Stage::Fenced(..));
        let is_deaf = self.is_deaf();
        let known = |peer: &Seen| {
            let told = self.0.told.lock();
            let told = told.get(&peer.member);
            told.is_some_and(|(generation, told)| {
                *generation == peer.generation && matches!(told.belonging.stage, Stage::In(_))
            })
        };
        let asked = seen.iter().filter(|peer| !is_in || is_deaf || !known(peer));
        let asks = asked.map(|peer| self.hello(peer));
        join_all(asks).await;
        let mut told = self.0.told.lock();
        told.retain(|member, _| seen.iter().any(|peer| peer.member == *member));
        let with = |peer: &Seen| told.get(&peer.member).map(|(_, told)| told.clone());
        seen.iter()
            .filter_map(|peer| Some((peer.clone(), with(peer)?)))
            .collect()
    }

    async fn hello(&self, peer: &Seen) {
        let hello = GroupAsk::Hello(self.telling());
        if let Some(GroupReply::Told(told)) = self.ask_group(peer.member, &hello).await {
            let mut all = self.0.told.lock();
            all.insert(peer.member, (peer.generation, told));
        }
    }

    async fn ask_group(&self, to: MemberId, ask: &GroupAsk) -> Option<GroupReply> {
        let asked = self.0.world.ask(to, Matter::Group, encode(ask), ANSWER);
        decode(&asked.await.ok()?).ok()
    }

    fn is_deaf(&self) -> bool {
        self.parts().is_ok_and(|parts| {
            let leads = parts.lead() == super::leading::Lead::Me;
            !leads && parts.running.heard().is_none_or(|ago| ago > DEAF)
        })
    }

    fn forming(&self, why: String) {
        self.0.now.send_if_modified(|now| match now {
            Now::Forming(before) if *before == why => false,
            Now::Working(_) | Now::Fenced(..) => false,
            Now::Forming(_) | Now::Failed(_) => {
                *now = Now::Forming(why);
                true
            }
        });
    }

    /// Joins a group that is there, or founds one.
    async fn look(&self, told: &[(Seen, Told)]) -> Result<Duration, LogDiskError> {
        for (seen, told) in told {
            if let Stage::In(group) = &told.belonging.stage
                && self.join(seen.member, group).await
            {
                let mut belonging = self.0.belonging.lock().await;
                let next = Belonging {
                    stage: Stage::In(group.clone()),
                    ..belonging.clone()
                };
                if belonging.stage == Stage::Looking {
                    tracing::info!(group = %group.id, "this member is in the group, as a learner");
                    self.stand_as(&mut belonging, next, Vec::new()).await?;
                }
                return Ok(Duration::ZERO);
            }
        }
        if told
            .iter()
            .any(|(_, told)| matches!(told.belonging.stage, Stage::In(_)))
        {
            self.forming("waiting to be taken into the group".to_owned());
            return Ok(LOOK);
        }
        let random = u128::from_le_bytes(self.0.world.random());
        let settings = &self.0.settings;
        match charter(&settings.plan, &settings.me, told, random) {
            Ok(charter) => {
                let mut belonging = self.0.belonging.lock().await;
                if belonging.stage == Stage::Looking {
                    let mine = (settings.me.member, belonging.voter);
                    let next = Belonging {
                        stage: Stage::Proposing(charter, [mine].into()),
                        ..belonging.clone()
                    };
                    self.stand_as(&mut belonging, next, Vec::new()).await?;
                }
                Ok(Duration::ZERO)
            }
            Err(why) => {
                self.forming(format!("{}: {why}", settings.plan));
                Ok(LOOK)
            }
        }
    }

    /// Has the leader take this member in. Any member of the group is asked; only the leader does
    /// it.
    async fn join(&self, member: MemberId, group: &Group) -> bool {
        let me = &self.0.settings.me;
        let node = Voter {
            member: me.member,
            name: me.name.to_string(),
        };
        let ask = RequestAsk::Join(self.stands().voter, node);
        let body = encode(&(group.id, ask, ANSWER));
        let asked = self.0.world.ask(member, Matter::Request, body, ANSWER);
        let Ok(answer) = asked.await else {
            return false;
        };
        matches!(decode(&answer), Ok(RequestReply::Done))
    }

    /// Asks the founders for their promises; founds the group when it has all.
    async fn gather(&self, charter: &Charter) -> Result<Duration, LogDiskError> {
        let me = self.0.settings.me.member;
        let others = charter.founders.keys().filter(|member| **member != me);
        let asks = others.map(async |member| {
            let promise = GroupAsk::Promise(charter.clone());
            (*member, self.ask_group(*member, &promise).await)
        });
        let replies = join_all(asks).await;
        let mut belonging = self.0.belonging.lock().await;
        let Stage::Proposing(mine, promised) = &belonging.stage else {
            return Ok(Duration::ZERO);
        };
        let (mut promised, mut refused) = (promised.clone(), None);
        let mut missing = Vec::new();
        for (member, reply) in replies {
            let name = || charter.founders.get(&member).cloned().unwrap_or_default();
            match reply {
                Some(GroupReply::Promised(voter)) => {
                    promised.insert(member, voter);
                }
                Some(GroupReply::No(why)) => refused = Some(format!("{}: {why}", name())),
                _ => missing.push(name()),
            }
        }
        let seen = self.0.seen.borrow().clone();
        let is_gone = |member: &&MemberId| {
            let is_here = seen.iter().any(|peer| peer.member == **member);
            **member != me && !promised.contains_key(*member) && !is_here
        };
        if refused.is_none() && charter.founders.keys().any(|member| is_gone(&member)) {
            refused = Some(format!("{} went away", missing.join(", ")));
        }
        if let Some(why) = refused {
            // The others learn it when they ask what became of the charter.
            self.forming(why);
            let next = Belonging {
                stage: Stage::Looking,
                ..belonging.clone()
            };
            self.stand_as(&mut belonging, next, Vec::new()).await?;
            return Ok(LOOK);
        }
        if promised.len() < charter.founders.len() {
            self.forming(format!("waiting for the promise of {}", missing.join(", ")));
            let stage = Stage::Proposing(mine.clone(), promised);
            if stage != belonging.stage {
                let next = Belonging {
                    stage,
                    ..belonging.clone()
                };
                self.stand_as(&mut belonging, next, Vec::new()).await?;
            }
            return Ok(LOOK);
        }
        let group = founded_by(charter, &promised, self.0.world.wall());
        tracing::info!(group = %group.id, voters = group.founders.len(), "the group is founded");
        let next = Belonging {
            stage: Stage::In(group.clone()),
            ..belonging.clone()
        };
        self.stand_as(&mut belonging, next, Vec::new()).await?;
        drop(belonging);
        let tell = GroupAsk::Founded(group);
        let tells = promised.keys().filter(|member| **member != me);
        join_all(tells.map(|member| self.ask_group(*member, &tell))).await;
        Ok(Duration::ZERO)
    }

    /// Waits for the proposer. It alone decides what becomes of its charter, and what it says about
    /// one that it once stood for holds for ever: so it is asked, and hearsay does not count.
    async fn await_founding(
        &self,
        charter: &Charter,
        told: &[(Seen, Told)],
    ) -> Result<Duration, LogDiskError> {
        for (_, told) in told {
            if let Stage::In(group) = &told.belonging.stage
                && group.id == charter.group
            {
                self.founded(group.clone()).await?;
                return Ok(Duration::ZERO);
            }
        }
        let ask = GroupAsk::Proposing(charter.group);
        match self.ask_group(charter.proposer, &ask).await {
            Some(GroupReply::Founded(group)) => {
                self.founded(group).await?;
                Ok(Duration::ZERO)
            }
            Some(GroupReply::No(_)) if self.is_promised(charter) => {
                self.begin_again().await?;
                Ok(Duration::ZERO)
            }
            _ => {
                let name = charter.founders.get(&charter.proposer);
                let name = name.map_or("", String::as_str);
                self.forming(format!("waiting for {name} to found the group"));
                Ok(LOOK)
            }
        }
    }

    fn is_promised(&self, charter: &Charter) -> bool {
        self.stands().stage == Stage::Promised(charter.clone())
    }

    async fn founded(&self, group: Group) -> Result<(), LogDiskError> {
        let mut belonging = self.0.belonging.lock().await;
        let is_promised =
            matches!(&belonging.stage, Stage::Promised(charter) if charter.group == group.id);
        if is_promised {
            let next = Belonging {
                stage: Stage::In(group),
                ..belonging.clone()
            };
            self.stand_as(&mut belonging, next, Vec::new()).await?;
        }
        Ok(())
    }

    /// Begins the log of a group that was just founded, and looks whether another group is met.
    async fn belong(&self, group: &Group, told: &[(Seen, Told)]) -> Result<(), LogDiskError> {
        if let Ok(parts) = self.parts() {
            self.begin(&parts, group).await;
        }
        for (seen, told) in told {
            if let Stage::In(other) = &told.belonging.stage
                && other.id != group.id
            {
                return self.meet(&seen.name, group, other).await;
            }
        }
        if self.is_deaf() {
            for (seen, told) in told {
                if let Stage::In(other) = &told.belonging.stage
                    && other.id == group.id
                    && self.join(seen.member, group).await
                {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The founders all begin with the same voters, whoever comes first.
    async fn begin(&self, parts: &Parts, group: &Group) {
        let raft = &parts.running.raft;
        if group.epoch > 1 || !group.founders.contains_key(&parts.running.voter) {
            return;
        }
        if !matches!(raft.is_initialized().await, Ok(false)) {
            return;
        }
        match raft.initialize(group.founders.clone()).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => tracing::error!(%error, "the group cannot begin"),
        }
    }

    async fn meet(&self, name: &str, mine: &Group, other: &Group) -> Result<(), LogDiskError> {
        if mine.was.contains(&other.id) {
            // That one learns it from us.
            return Ok(());
        }
        if other.was.contains(&mine.id) {
            tracing::warn!(
                group = %other.id, from = name,
                "the group was recovered without this member: it begins again as a learner"
            );
            return self.begin_again().await;
        }
        if mine.is_before(other) {
            tracing::error!(
                mine = %mine.id, other = %other.id, member = name,
                "two groups were founded; the other one, which is younger, is fenced: on each of \
                 its members run \"gaggle quorum reset\", which gives its strong side up"
            );
            return Ok(());
        }
        tracing::error!(
            mine = %mine.id, other = %other.id, member = name,
            "two groups were founded, and this one is younger: it takes nothing any more. Save \
             what you need with \"gaggle export\", then run \"gaggle quorum reset\" here"
        );
        let mut belonging = self.0.belonging.lock().await;
        let next = Belonging {
            stage: Stage::Fenced(mine.clone(), other.clone()),
            ..belonging.clone()
        };
        self.stand_as(&mut belonging, next, Vec::new()).await
    }

    /// Drops the strong side of this member, which begins again under another id.
    pub(super) async fn begin_again(&self) -> Result<(), LogDiskError> {
        let mut belonging = self.0.belonging.lock().await;
        let gone = Now::Forming("beginning again".to_owned());
        end(self.0.now.send_replace(gone)).await;
        let random = self.0.world.random();
        let next = Belonging {
            voter: VoterId(u64::from_le_bytes(
                random[..8].try_into().unwrap_or_default(),
            )),
            stage: Stage::Looking,
        };
        self.0.told.lock().clear();
        self.stand_as(&mut belonging, next, vec![LogChange::Wipe])
            .await
    }

    /// Takes what a peer says about who belongs to the group.
    pub(super) async fn take_group(
        &self,
        from: MemberId,
        body: &[u8],
    ) -> Result<Bytes, EncodingError> {
        let reply = match decode(body)? {
            GroupAsk::Hello(told) => {
                let seen = self.0.seen.borrow().clone();
                if let Some(peer) = seen.iter().find(|peer| peer.member == from) {
                    let mut all = self.0.told.lock();
                    all.insert(from, (peer.generation, told));
                    drop(all);
                    self.0.wake.notify_one();
                }
                GroupReply::Told(self.telling())
            }
            GroupAsk::Promise(charter) => self.promise(from, charter).await,
            GroupAsk::Founded(group) => match self.founded(group).await {
                Ok(()) => GroupReply::Done,
                Err(error) => GroupReply::No(error.to_string()),
            },
            GroupAsk::Proposing(group) => {
                // Under the lock, so that it is what is written down.
                let belonging = self.0.belonging.lock().await;
                match &belonging.stage {
                    Stage::In(mine) if mine.id == group => GroupReply::Founded(mine.clone()),
                    Stage::Proposing(charter, _) if charter.group == group => GroupReply::Done,
                    _ => GroupReply::No("it does not stand for that charter".to_owned()),
                }
            }
            GroupAsk::Elect(group) => self.elect(group).await,
            GroupAsk::Lost(group, voter) => {
                let stands = self.stands();
                if stands.group() == Some(group) && stands.voter == voter {
                    tracing::error!(
                        "this member has lost entries that it acknowledged: its data directory is \
                         an older copy. It begins again under another id"
                    );
                    match self.begin_again().await {
                        Ok(()) => GroupReply::Done,
                        Err(error) => GroupReply::No(error.to_string()),
                    }
                } else {
                    GroupReply::Done
                }
            }
        };
        Ok(encode(&reply))
    }

    async fn promise(&self, from: MemberId, charter: Charter) -> GroupReply {
        let (me, plan) = (self.0.settings.me.member, &self.0.settings.plan);
        let mut belonging = self.0.belonging.lock().await;
        if charter.proposer != from {
            return GroupReply::No("only who proposes a group asks for promises".to_owned());
        }
        if let Err(why) = promises(me, plan, &belonging.stage, &charter) {
            return GroupReply::No(why);
        }
        let voter = belonging.voter;
        let next = Belonging {
            stage: Stage::Promised(charter),
            ..belonging.clone()
        };
        if next == *belonging {
            return GroupReply::Promised(voter);
        }
        match self.stand_as(&mut belonging, next, Vec::new()).await {
            Ok(()) => GroupReply::Promised(voter),
            Err(error) => GroupReply::No(error.to_string()),
        }
    }

    async fn elect(&self, group: GroupId) -> GroupReply {
        match self.parts() {
            Ok(parts) if parts.running.group == group => {
                match parts.running.raft.trigger().elect().await {
                    Ok(()) => GroupReply::Done,
                    Err(error) => GroupReply::No(error.to_string()),
                }
            }
            _ => GroupReply::No("it is not in that group".to_owned()),
        }
    }
}

/// The group of a charter, once all have promised.
fn founded_by(
    charter: &Charter,
    promised: &BTreeMap<MemberId, VoterId>,
    founded: WallTime,
) -> Group {
    let founders = promised.iter().map(|(member, voter)| {
        let node = Voter {
            member: *member,
            name: charter.founders.get(member).cloned().unwrap_or_default(),
        };
        (*voter, node)
    });
    Group {
        id: charter.group,
        founded,
        epoch: 1,
        was: Vec::new(),
        founders: founders.collect(),
    }
}

async fn end(now: Now) {
    if let Now::Working(parts) = now {
        parts.running.stop().await;
    }
}

/// How the group is to be founded, from the two flags that say it.
pub fn plan(size: Option<usize>, voters: &[String]) -> Option<Plan> {
    match size {
        Some(size) => Some(Plan::Size(size)),
        None if voters.is_empty() => None,
        None => Some(Plan::Names(voters.iter().cloned().collect())),
    }
}
