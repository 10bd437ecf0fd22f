//! How a member finds its group, and stays in it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::model::MemberId;

use super::disk::LogDiskError;
use super::encoding::{EncodingError, decode, encode};
use super::engine::{Engine, Now};
use super::group::{Belonging, GroupId, Stage, Told};
use super::message::{GroupAsk, GroupReply};
use super::running::on_thread;
use super::world::{Matter, Seen};

/// How often a member without a group looks for one.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// How often a member in a group looks whether all is well.
const CHECK: Duration = Duration::from_secs(2);
/// How long a peer may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(3);
/// A member that hears nothing of a leader for so long asks whether it still belongs to the group.
const DEAF: Duration = Duration::from_secs(10);

/// Looks after this member's part in a group for as long as the member runs.
pub(super) async fn live(engine: Engine) {
    let mut seen = engine.0.seen.clone();
    loop {
        seen.mark_unchanged();
        let wait = engine.step().await;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = engine.0.wake.notified() => {}
            Ok(()) = seen.changed() => {}
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
        let stands = self.stands();
        let is_sure = self.is_sure(stands.voter);
        let result = match stands.stage {
            Stage::Looking => self.look(&told).await,
            Stage::Proposing(charter, _) => self.gather(&charter).await,
            Stage::Promised(charter) => self.await_founding(&charter, &told).await,
            Stage::In(group) => match self.meet_others(&group, &told).await {
                Ok(true) => Ok(Duration::ZERO),
                Ok(false) if is_sure => self.belong(&group, &told).await.map(|()| CHECK),
                Ok(false) => self.prove(&group).await.inspect_err(|error| {
                    let failed = Now::Failed(error.to_string());
                    self.0.now.send_replace(failed);
                }),
                Err(error) => Err(error),
            },
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
            let is_known = matches!(self.now(), Now::Fenced(..));
            if !is_known {
                let before = self
                    .0
                    .now
                    .send_replace(Now::Fenced(mine.clone(), other.clone()));
                end(before).await;
                // Nothing is taken any more, but what is there can be read.
                if let Err(error) = self.recall_all().await {
                    tracing::error!(%error, "what the fenced group holds cannot be read");
                }
            }
            return Ok(());
        }
        let mut wanted = belonging.group().map(|group| (group, belonging.voter));
        if !self.is_sure(belonging.voter) {
            wanted = None;
        }
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
        // Held, so that nothing is opened under an id that is given up meanwhile.
        let held = self.0.belonging.lock().await;
        if *held != belonging {
            return Ok(());
        }
        // A disk that takes nothing would end the engine again at once.
        self.write_again(&held)
            .await
            .map_err(|error| error.to_string())?;
        let parts = self.open(&held).await?;
        self.0.now.send_replace(Now::Working(parts));
        drop(held);
        if self.0.stops.load(Ordering::Acquire) {
            // It was told to stop while they were started.
            self.stop().await;
        }
        Ok(())
    }

    async fn write_again(&self, same: &Belonging) -> Result<(), LogDiskError> {
        let disk = self.0.disk.clone();
        let change = super::log::set(super::disk::Cell::Group, same);
        let written = on_thread(self.0.world.as_ref(), move || disk.commit(&[change])).await;
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

    pub(super) async fn ask_group(&self, to: MemberId, ask: &GroupAsk) -> Option<GroupReply> {
        let asked = self.0.world.ask(to, Matter::Group, encode(ask), ANSWER);
        decode(&asked.await.ok()?).ok()
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.parts().is_ok_and(|parts| {
            let leads = parts.lead() == super::leading::Lead::Me;
            !leads && parts.running.heard().is_none_or(|ago| ago > DEAF)
        })
    }

    pub(super) fn forming(&self, why: String) {
        self.0.now.send_if_modified(|now| match now {
            Now::Forming(before) if *before == why => false,
            Now::Working(_) | Now::Fenced(..) => false,
            Now::Forming(_) | Now::Failed(_) => {
                *now = Now::Forming(why);
                true
            }
        });
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
            GroupAsk::Recall(group, voter) => self.remember(group, voter).await,
            GroupAsk::Note(group, voter, seal) => self.note(group, voter, seal).await,
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

    async fn elect(&self, group: GroupId) -> GroupReply {
        match self.parts() {
            Ok(parts) if parts.running.group == group => {
                if !parts.running.has_all() {
                    return GroupReply::No("it does not have all that it must have".to_owned());
                }
                match parts.running.raft.trigger().elect().await {
                    Ok(()) => GroupReply::Done,
                    Err(error) => GroupReply::No(error.to_string()),
                }
            }
            _ => GroupReply::No("it is not in that group".to_owned()),
        }
    }
}

pub(super) async fn end(now: Now) {
    if let Now::Working(parts) = now {
        parts.running.stop().await;
    }
}
