//! In a group: beginning its log, being taken into it, and meeting another one.

use openraft::error::{InitializeError, RaftError};

use crate::model::MemberId;

use super::disk::{LogChange, LogDiskError};
use super::encoding::{decode, encode};
use super::engine::{Engine, Now, Parts};
use super::group::{Belonging, Group, Stage, Told};
use super::life::{ANSWER, end};
use super::message::{RequestAsk, RequestReply};
use super::types::{Voter, VoterId};
use super::world::{Matter, Seen};

impl Engine {
    /// Begins the log of a group that was just founded, and sees to it that the group knows this
    /// member.
    pub(super) async fn belong(
        &self,
        group: &Group,
        told: &[(Seen, Told)],
    ) -> Result<(), LogDiskError> {
        if let Ok(parts) = self.parts() {
            self.begin(&parts, group).await;
            self.keep_seal(group, &parts).await?;
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

    /// Has the leader take this member in. Any member of the group is asked; only the leader does
    /// it.
    pub(super) async fn join(&self, member: MemberId, group: &Group) -> bool {
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

    /// Looks whether another group is met; says whether this member left its own for it.
    pub(super) async fn meet_others(
        &self,
        group: &Group,
        told: &[(Seen, Told)],
    ) -> Result<bool, LogDiskError> {
        for (seen, told) in told {
            if let Stage::In(other) = &told.belonging.stage
                && other.id != group.id
            {
                self.meet(&seen.name, group, other).await?;
                break;
            }
        }
        Ok(!matches!(self.stands().stage, Stage::In(mine) if mine.id == group.id))
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
             what you need (?consistency=stale, or store.json), then run \"gaggle quorum reset\" \
             here"
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
            voter: VoterId::drawn(random),
            stage: Stage::Looking,
        };
        self.0.told.lock().clear();
        self.stand_anew(&mut belonging, next, vec![LogChange::Wipe])
            .await
    }
}
