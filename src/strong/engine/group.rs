//! Which group a member belongs to, and what it wrote down on the way there.
//!
//! A group is founded by a *charter*: the member with the lowest id names the founders, each of
//! them promises itself to that charter, on disk and for good, and only with all promises the group
//! is there. So two groups can only come to be of members that did not see each other at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{MemberId, WallTime};

use super::types::{Voter, VoterId};
use super::world::Seen;

/// How a group is to be founded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plan {
    /// By the first so many members that see each other.
    Size(usize),
    /// By the members of these names, all of which were given the same list.
    Names(BTreeSet<String>),
}

impl Plan {
    /// How many found it.
    pub fn founders(&self) -> usize {
        match self {
            Self::Size(size) => *size,
            Self::Names(names) => names.len(),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => write!(f, "--cluster-size {size}"),
            Self::Names(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                write!(f, "--voters {}", names.join(","))
            }
        }
    }
}

/// The name of a group, drawn at random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub u128);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A group that is being founded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charter {
    /// The name that it will have.
    pub group: GroupId,
    /// By which plan.
    pub plan: Plan,
    /// Who founds it, and their names.
    pub founders: BTreeMap<MemberId, String>,
    /// Who asks for the promises: one of the founders.
    pub proposer: MemberId,
}

/// A group that was founded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub id: GroupId,
    /// When it was founded, by the founder's clock.
    pub founded: WallTime,
    /// How many times it was recovered from a lost majority.
    pub epoch: u64,
    /// The names that it had before it was recovered, oldest first.
    pub was: Vec<GroupId>,
    /// Its first voters.
    pub founders: BTreeMap<VoterId, Voter>,
}

impl Group {
    /// Which of two groups goes on where both meet: the one that was founded first.
    pub fn is_before(&self, other: &Self) -> bool {
        (self.founded, self.id) < (other.founded, other.id)
    }
}

/// How far a member is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It looks for others.
    Looking,
    /// It asks for promises; these it has.
    Proposing(Charter, BTreeMap<MemberId, VoterId>),
    /// It promised itself.
    Promised(Charter),
    /// It is in a group.
    In(Group),
    /// It is in a group that must not go on, for another one was founded before.
    Fenced(Group, Group),
}

/// What a member writes down about itself and its group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belonging {
    /// The id under which it votes.
    pub voter: VoterId,
    /// How far it is.
    pub stage: Stage,
}

impl Belonging {
    /// The name of the group whose messages it takes.
    pub fn group(&self) -> Option<GroupId> {
        match &self.stage {
            Stage::Looking | Stage::Fenced(..) => None,
            Stage::Proposing(charter, _) | Stage::Promised(charter) => Some(charter.group),
            Stage::In(group) => Some(group.id),
        }
    }

    /// The group that it is in, be it fenced.
    pub fn in_group(&self) -> Option<&Group> {
        match &self.stage {
            Stage::In(group) | Stage::Fenced(group, _) => Some(group),
            Stage::Looking | Stage::Proposing(..) | Stage::Promised(_) => None,
        }
    }
}

/// What a member tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// How it was told to found a group.
    pub plan: Plan,
    /// How far it is.
    pub belonging: Belonging,
}

/// Who should found a group now, seen by a member that looks for one; none if somebody is missing
/// or another member is to propose it.
pub(super) fn charter(
    plan: &Plan,
    me: &Seen,
    told: &[(Seen, Told)],
    random: u128,
) -> Result<Charter, String> {
    let same = told.iter().filter(|(_, told)| told.plan == *plan);
    let free = same.filter(|(_, told)| matches!(told.belonging.stage, Stage::Looking));
    let mut free: Vec<&Seen> = free.map(|(seen, _)| seen).chain([me]).collect();
    free.sort_by_key(|seen| seen.member);
    if let Plan::Names(names) = plan {
        free.retain(|seen| names.contains(&*seen.name));
        let found: BTreeSet<&str> = free.iter().map(|seen| &*seen.name).collect();
        if found.len() < free.len() {
            return Err("two members have the same name".to_owned());
        }
        let missing: Vec<&str> = names.iter().map(String::as_str).collect();
        let missing: Vec<&str> = missing
            .into_iter()
            .filter(|it| !found.contains(it))
            .collect();
        if !missing.is_empty() {
            return Err(format!("waiting for {}", missing.join(", ")));
        }
    }
    let wanted = plan.founders();
    if free.len() < wanted {
        return Err(format!("waiting for {} more members", wanted - free.len()));
    }
    free.truncate(wanted);
    let first = free.first().map(|seen| seen.member);
    if first != Some(me.member) {
        return Err("another member founds the group".to_owned());
    }
    let founders = free.iter();
    Ok(Charter {
        group: GroupId(random),
        plan: plan.clone(),
        founders: founders
            .map(|seen| (seen.member, seen.name.to_string()))
            .collect(),
        proposer: me.member,
    })
}

/// Whether a member that stands so promises itself to a charter.
pub(super) fn promises(
    me: MemberId,
    plan: &Plan,
    stage: &Stage,
    charter: &Charter,
) -> Result<(), String> {
    if charter.plan != *plan {
        return Err(format!(
            "this member was started with {plan}, the proposer with {}",
            charter.plan
        ));
    }
    if !charter.founders.contains_key(&me) {
        return Err("this member is no founder of that group".to_owned());
    }
    match stage {
        Stage::Looking => Ok(()),
        Stage::Promised(mine) if mine.group == charter.group => Ok(()),
        Stage::Proposing(mine, _) if mine.group == charter.group => Ok(()),
        Stage::Promised(mine) => Err(format!("it has promised itself to group {}", mine.group)),
        Stage::Proposing(..) => Err("it proposes a group itself".to_owned()),
        Stage::In(group) | Stage::Fenced(group, _) => Err(format!("it is in group {}", group.id)),
    }
}
