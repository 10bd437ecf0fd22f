//! Founding a group: one member names the founders, each promises itself, and with all promises the
//! group is there.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use crate::model::{MemberId, WallTime};

use super::disk::LogDiskError;
use super::engine::Engine;
use super::group::{Belonging, Charter, Group, Plan, Stage, Told, charter, promises};
use super::life::LOOK;
use super::message::{GroupAsk, GroupReply};
use super::types::{Voter, VoterId};
use super::world::Seen;

impl Engine {
    /// Joins a group that is there, or founds one.
    pub(super) async fn look(&self, told: &[(Seen, Told)]) -> Result<Duration, LogDiskError> {
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

    /// Asks the founders for their promises; founds the group when it has all.
    pub(super) async fn gather(&self, charter: &Charter) -> Result<Duration, LogDiskError> {
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
    pub(super) async fn await_founding(
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

    pub(super) async fn founded(&self, group: Group) -> Result<(), LogDiskError> {
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

    pub(super) async fn promise(&self, from: MemberId, charter: Charter) -> GroupReply {
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

/// How the group is to be founded, from the two flags that say it.
pub fn plan(size: Option<usize>, voters: &[String]) -> Option<Plan> {
    match size {
        Some(size) => Some(Plan::Size(size)),
        None if voters.is_empty() => None,
        None => Some(Plan::Names(voters.iter().cloned().collect())),
    }
}
