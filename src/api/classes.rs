//! Which class a node has: whether a request for it goes to the eventual or to the strong side.
//!
//! The name alone does not tell. A node that this member knows on one side is of that side, and if
//! it is known on both, the strong one is shown. That is one look at memory, without waiting, and
//! nothing more happens to requests for nodes that are known.
//!
//! A name that is known on neither side may be that of a strong node which was made a moment ago,
//! or while this member was away. So "there is no such node" is only said once the majority was
//! asked, and before an eventual node is made the majority is asked too, if it is at hand. If it
//! is not, the eventual node is made without it, for such writes need no majority: then, and only
//! then, one name can become that of two nodes. `class=` says which side is meant and saves asking.

use std::str::FromStr;
use std::time::Duration;

use http::HeaderMap;

use crate::app::Tags;
use crate::model::NodeName;
use crate::strong;

use super::acking::Acking;
use super::conditions;
use super::coordination::{self, Consistency, Fresh};
use super::problem::{Code, Problem};
use super::query::{Query, refused};
use super::server::Call;

/// The query parameters that a read of a node or key knows.
pub(super) const READ: [&str; 3] = ["class", "consistency", "timeout"];
/// The query parameters that a write to a node or key knows, on one side or the other.
const WRITE: [&str; 4] = ["ack", "class", "timeout", "ttl"];
/// How long "there is no such node" may wait for the majority, unless the request says otherwise.
const ABSENT: Duration = Duration::from_secs(2);
/// How long making a node waits: an eventual one for the majority, if it is at hand, a strong one
/// until this member has it.
const NEW: Duration = Duration::from_secs(1);

/// What promises hold for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Any member takes writes, the last writer wins.
    Eventual,
    /// Writes need a majority and stand in one order.
    Strong,
}

impl Class {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::Strong => "strong",
        }
    }
}

impl FromStr for Class {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Eventual, Self::Strong]
            .into_iter()
            .find(|class| class.word() == word)
            .ok_or("the class is \"eventual\" or \"strong\"")
    }
}

/// Where a read finds a node, or would find it.
pub(super) enum Found {
    /// In the store of this member.
    Eventual,
    /// In this state of the strong side.
    Strong(Fresh),
}

/// What a write does where the node is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfMissing {
    /// It makes the node.
    Make,
    /// It fails.
    Fail,
}

/// Where a write goes.
pub(super) enum Target {
    /// To the store of this member.
    Eventual,
    /// To the strong side, with what its query asks.
    Strong(Query),
}

impl Call<'_> {
    /// Where to read a node. `query` may have the parameters in [`READ`].
    ///
    /// # Errors
    /// If it, or that it is missing, cannot be told without the majority.
    pub(super) async fn found(&self, node: &str, query: &Query) -> Result<Found, Problem> {
        let class: Option<Class> = query.parsed("class")?;
        let consistency = Consistency::of(query)?;
        let Some(local) = self.api.parts.strong.local() else {
            return match class {
                Some(Class::Strong) => Err(self.engine().err().unwrap_or_else(Problem::internal)),
                Some(Class::Eventual) | None => self.in_store(node, query),
            };
        };
        match class {
            Some(Class::Eventual) => return self.in_store(node, query),
            Some(Class::Strong) => return Ok(Found::Strong(self.fresh(query).await?)),
            None => {}
        }
        let is_eventual = self.view().store.node(node).is_some();
        if local.state.nodes().node(node).is_some() {
            let fresh = self.fresh(query).await?;
            if fresh.node(node).is_some() || !is_eventual {
                return Ok(Found::Strong(fresh));
            }
        }
        let is_known = is_eventual || node.parse::<NodeName>().is_err();
        if is_known || consistency == Consistency::Stale {
            return self.in_store(node, query);
        }
        let fresh = self.confirm_absence(query).await?;
        Ok(match fresh.node(node) {
            Some(_) => Found::Strong(fresh),
            None => Found::Eventual,
        })
    }

    /// Reads of the store are as this member has it; whoever asks for more is told so.
    fn in_store(&self, node: &str, query: &Query) -> Result<Found, Problem> {
        let is_there = || self.view().store.node(node).is_some();
        if query.text("consistency") == Some("linearizable") && is_there() {
            return Err(refused(
                "consistency=linearizable: this node is eventual".to_owned(),
            ));
        }
        Ok(Found::Eventual)
    }

    /// The strong side as it is, to be sure that a node is not there.
    async fn confirm_absence(&self, query: &Query) -> Result<Fresh, Problem> {
        let limit = match query.text("timeout") {
            Some(_) => coordination::timeout(query)?,
            None => ABSENT,
        };
        let fresh = self.confirmed(limit).await;
        fresh.map_err(|problem| {
            problem.hint(
                "whether this is a strong node only the majority knows; with class=eventual this \
                 member answers for the other nodes alone",
            )
        })
    }

    /// Where to write to a node.
    ///
    /// # Errors
    /// If the query or a header asks for what that side does not have, and if nothing can be told
    /// without the majority.
    pub(super) async fn target(
        &self,
        node: &NodeName,
        if_missing: IfMissing,
    ) -> Result<Target, Problem> {
        let query = Query::of(&self.head.uri, &WRITE)?;
        match self.class_to_write(node, &query, if_missing).await? {
            Class::Eventual => {
                if query.text("ttl").is_some() {
                    let detail = "ttl: so far only keys of strong nodes can have one";
                    return Err(refused(detail.to_owned()));
                }
                Acking::of(&self.head.uri)?;
                coordination::check_eventual(&self.head.headers)?;
                Ok(Target::Eventual)
            }
            Class::Strong => {
                check_strong(&query)?;
                Ok(Target::Strong(query))
            }
        }
    }

    /// The class of a node that is written to.
    pub(super) async fn class_to_write(
        &self,
        node: &NodeName,
        query: &Query,
        if_missing: IfMissing,
    ) -> Result<Class, Problem> {
        let class: Option<Class> = query.parsed("class")?;
        let local = self.api.parts.strong.local();
        let is_strong = local.map(|view| view.state.nodes().node(node.as_str()).is_some());
        match (class, is_strong) {
            (Some(Class::Strong), _) => self.engine().map(|_| Class::Strong),
            (Some(Class::Eventual), _) | (None, None) => Ok(Class::Eventual),
            (None, Some(true)) => Ok(Class::Strong),
            (None, Some(false)) if self.view().store.node(node.as_str()).is_some() => {
                Ok(Class::Eventual)
            }
            (None, Some(false)) => {
                let fresh = match if_missing {
                    IfMissing::Fail => Some(self.confirm_absence(query).await?),
                    IfMissing::Make => self.confirmed_if_near().await,
                };
                let is_strong = fresh.is_some_and(|fresh| fresh.node(node.as_str()).is_some());
                Ok(if is_strong {
                    Class::Strong
                } else {
                    Class::Eventual
                })
            }
        }
    }

    /// The strong side as it is, if the majority was heard lately and answers soon.
    pub(super) async fn confirmed_if_near(&self) -> Option<Fresh> {
        let (_, age) = self.engine().ok()?.view();
        if age.is_none_or(|age| age > NEW) {
            return None;
        }
        self.confirmed(NEW).await.ok()
    }

    /// Waits until this member has what was done at a position, so that its listings show it; but
    /// not for long, as it is done anyway.
    pub(super) async fn have_here(&self, position: u64) {
        if let Ok(engine) = self.engine() {
            let mut positions = engine.changes();
            let here = positions.wait_for(|here| *here >= position);
            let _ = tokio::time::timeout(NEW, here).await;
        }
    }

    /// Refuses what would make a second node, an eventual one, by the name of a strong one.
    pub(super) fn check_no_strong(&self, node: &NodeName) -> Result<(), Problem> {
        let local = self.api.parts.strong.local();
        if local.is_some_and(|view| view.state.nodes().node(node.as_str()).is_some()) {
            return Err(conflict("a strong node has this name")
                .hint("write to it without class=eventual, or take another name"));
        }
        Ok(())
    }
}

/// Refuses what a write to the strong side cannot ask.
pub(super) fn check_strong(query: &Query) -> Result<(), Problem> {
    if query.text("ack").is_some() {
        let detail = "ack: this node is strong, and its writes always have the majority";
        return Err(refused(detail.to_owned()));
    }
    coordination::timeout(query).map(drop)
}

/// A node of another class is there.
pub(super) fn conflict(detail: &'static str) -> Problem {
    Problem::new(Code::ClassConflict, detail)
}

/// `If-Match` and `If-None-Match` of a write to the strong side, where tags are versions.
pub(super) fn strong_condition(headers: &HeaderMap) -> Result<strong::Condition, Problem> {
    let condition = conditions::for_write(headers)?;
    Ok(strong::Condition {
        if_match: condition.if_match.map(versions),
        if_none_match: condition.if_none_match.map(versions),
    })
}

/// A tag that is no version, such as one from before the node was strong, matches nothing.
fn versions(tags: Tags) -> strong::Match {
    let version = |tag: &String| {
        let version: u64 = tag.parse().ok()?;
        (version.to_string() == *tag).then_some(version)
    };
    match tags {
        Tags::Any => strong::Match::Any,
        Tags::OneOf(tags) => strong::Match::OneOf(tags.iter().filter_map(version).collect()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::IF_MATCH;

    use super::*;

    #[test]
    fn a_tag_of_a_strong_key_is_its_version_and_nothing_else() {
        let read = |text: &'static str| {
            let headers = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static(text))]);
            strong_condition(&headers).unwrap().if_match
        };
        let one_of = |versions: &[u64]| Some(strong::Match::OneOf(versions.to_vec()));
        assert_eq!(read("*"), Some(strong::Match::Any));
        assert_eq!(read("\"7\""), one_of(&[7]));
        assert_eq!(read("\"7;json\", \"8\""), one_of(&[7, 8]));
        assert_eq!(read("W/\"7\""), one_of(&[]));
        for other in ["\"07\"", "\"+7\"", "\"\"", "\"7-1\"", "\"-7\""] {
            assert_eq!(read(other), one_of(&[]), "{other}");
        }
    }
}
