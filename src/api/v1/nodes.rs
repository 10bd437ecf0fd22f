//! `/v1/nodes`: the nodes and their settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use serde::{Deserialize, Deserializer, Serialize};

use super::key::{answer, done};
use super::node::tag;
use super::strong_node;
use crate::api::body::Purpose;
use crate::api::classes::{
    self, Class, Found, IfMissing, Target, check_strong, conflict, strong_condition,
};
use crate::api::conditions;
use crate::api::json;
use crate::api::media;
use crate::api::pages;
use crate::api::problem::{Code, Problem};
use crate::api::query::Query;
use crate::api::reply;
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::app::{Edit, EditError, Tags};
use crate::model::{DESCRIPTION_LIMIT, HISTORY_LIMIT, Node, NodeName, NodeRegister, Settings};
use crate::strong::{self, Command, Listed, NodeOp, Op, Outcome, listing};

/// A node as this resource shows it.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    keys: usize,
    class: &'static str,
    description: &'a str,
    history: u16,
    /// When the node was made; none if its settings were written again since.
    created: Option<String>,
    /// When its settings were written, and by whom.
    written: Option<String>,
    author: Option<&'a str>,
    stamp: Option<String>,
}

/// Writes one node as JSON.
fn write_shown(out: &mut Vec<u8>, name: &NodeName, node: &Node) {
    let settings = node.settings();
    let register = node.register();
    let is_first = |at: &&Arc<NodeRegister>| at.replaces.is_none() || at.replaces == at.cleared;
    let shown = Shown {
        name: name.as_str(),
        keys: node.live(),
        class: Class::Eventual.word(),
        description: &settings.description,
        history: settings.history,
        created: register.filter(is_first).map(|at| at.written.to_string()),
        written: register.map(|at| at.written.to_string()),
        author: register.map(|at| &*at.author),
        stamp: register.map(|at| at.stamp.to_string()),
    };
    serde_json::to_writer(out, &shown).expect("a Vec takes everything, the members are text");
}

/// A strong node as this resource shows it.
#[derive(Serialize)]
struct ShownStrong<'a> {
    name: &'a str,
    keys: usize,
    class: &'static str,
    /// A strong node has none.
    description: &'static str,
    /// Only the current versions of its keys are kept.
    history: u16,
    /// Where in the log the node or one of its keys was written last.
    version: u64,
    /// The eventual node of the same name, which this one hides.
    #[serde(skip_serializing_if = "Option::is_none")]
    hides: Option<Hidden>,
}

#[derive(Serialize)]
struct Hidden {
    class: &'static str,
    keys: usize,
}

/// Writes one strong node as JSON.
fn write_strong(out: &mut Vec<u8>, name: &NodeName, node: &strong::Node, hides: Option<&Node>) {
    let shown = ShownStrong {
        name: name.as_str(),
        keys: node.count(),
        class: Class::Strong.word(),
        description: "",
        history: 1,
        version: node.version(),
        hides: hides.map(|node| Hidden {
            class: Class::Eventual.word(),
            keys: node.live(),
        }),
    };
    serde_json::to_writer(out, &shown).expect("a Vec takes everything, the members are text");
}

/// All nodes, by name; the strong ones as this member has them.
pub(super) fn list(call: &Call<'_>) -> Response<Body> {
    let view = call.view();
    let local = call.stale().ok();
    let strong = local.as_ref().map(|local| local.view.clone());
    let strong = strong.unwrap_or_default();
    let mut response = reply::json_body(pages::body(|mut pages| async move {
        pages.page.extend_from_slice(br#"{"nodes":["#);
        let all = listing(&view.store, strong.state.nodes());
        for (place, (name, listed)) in all.enumerate() {
            if place > 0 {
                pages.page.push(b',');
            }
            match listed {
                Listed::Eventual(node) => write_shown(&mut pages.page, name, node),
                Listed::Strong { node, hides } => {
                    write_strong(&mut pages.page, name, node, hides);
                }
            }
            pages.turn().await;
        }
        pages.page.extend_from_slice(b"]}");
        pages
    }));
    reply::no_store(response.headers_mut());
    if let Some(local) = local {
        local.mark(&mut response);
    }
    response
}

/// One node's settings.
pub(super) async fn get(call: &Call<'_>, node: &str) -> Answer {
    let name: NodeName = decode(node)?.parse()?;
    let query = Query::of(&call.head.uri, &classes::READ)?;
    let view = call.view();
    let mut out = Vec::new();
    let (tag, fresh) = match call.found(name.as_str(), &query).await? {
        Found::Eventual => {
            let tag = tag(call, &view, &name).await?;
            if let Some(node) = view.store.node(name.as_str()) {
                write_shown(&mut out, &name, node);
            }
            (tag, None)
        }
        Found::Strong(fresh) => {
            let node = fresh.node(name.as_str()).ok_or(EditError::NodeNotFound)?;
            write_strong(&mut out, &name, node, view.store.node(name.as_str()));
            (node.version().to_string(), Some(fresh))
        }
    };
    let mut response = if conditions::unchanged(&call.head.headers, &tag)? {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        reply::json_body(Body::from(out))
    };
    reply::tag_stored(response.headers_mut(), reply::tag(&tag));
    if let Some(fresh) = fresh {
        fresh.mark(&mut response);
    }
    Ok(response)
}

/// Settings as a client sends them.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    class: Field<String>,
    description: Field<String>,
    history: Field<u16>,
}

/// One of them. `null` means the default.
#[derive(Default)]
enum Field<T> {
    #[default]
    Absent,
    Null,
    Given(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(from)?.map_or(Self::Null, Self::Given))
    }
}

impl<T> Field<T> {
    /// What is to be set, if anything.
    fn or_default<U: From<T>>(self, default: U) -> Option<U> {
        match self {
            Self::Absent => None,
            Self::Null => Some(default),
            Self::Given(value) => Some(value.into()),
        }
    }
}

impl Wanted {
    /// The edit that sets what was sent, and leaves the rest.
    ///
    /// # Errors
    /// `invalid-body` for a value out of its range.
    fn edit(self, node: NodeName) -> Result<Edit, Problem> {
        let default = Settings::default();
        let description: Option<Arc<str>> = self.description.or_default(default.description);
        let history = self.history.or_default(default.history);
        if description
            .as_ref()
            .is_some_and(|text| text.len() > DESCRIPTION_LIMIT)
        {
            let detail = format!("a description has at most {DESCRIPTION_LIMIT} bytes");
            return Err(Problem::new(Code::InvalidBody, detail));
        }
        if history.is_some_and(|history| !(1..=HISTORY_LIMIT).contains(&history)) {
            let detail = format!("the history keeps 1 to {HISTORY_LIMIT} versions");
            return Err(Problem::new(Code::InvalidBody, detail));
        }
        Ok(Edit::Configure {
            node,
            description,
            history,
        })
    }

    /// The class that is asked for, if one is.
    fn class(&self) -> Result<Option<Class>, Problem> {
        match &self.class {
            Field::Absent => Ok(None),
            Field::Null => Ok(Some(Class::Eventual)),
            Field::Given(word) => word.parse().map(Some).map_err(|why: &str| {
                let detail = format!("there is no class {word:?} of nodes");
                Problem::new(Code::InvalidBody, detail).hint(why)
            }),
        }
    }

    /// Refuses what a strong node cannot have.
    fn check_strong(self) -> Result<(), Problem> {
        let description = matches!(self.description, Field::Given(text) if !text.is_empty());
        let history = matches!(self.history, Field::Given(kept) if kept != 1);
        if description || history {
            return Err(Problem::new(
                Code::InvalidBody,
                "a strong node has no description, and keeps only the current versions",
            ));
        }
        Ok(())
    }

    /// The same with the default for everything that was not sent.
    fn or_defaults(mut self) -> Self {
        if let Field::Absent = self.description {
            self.description = Field::Null;
        }
        if let Field::Absent = self.history {
            self.history = Field::Null;
        }
        self
    }
}

/// Sets all settings; what is not given is at its default. Makes the node if it is missing.
pub(super) async fn put(call: &Call<'_>, node: &str, body: Body) -> Answer {
    let node: NodeName = decode(node)?.parse()?;
    let wanted = wanted(call, body).await?;
    if wanted.class()? == Some(Class::Strong) {
        wanted.check_strong()?;
        return make_strong(call, node).await;
    }
    if let Target::Strong(query) = call.target(&node, IfMissing::Make).await? {
        return leave_strong(call, &query, node, wanted).await;
    }
    let condition = conditions::for_write(&call.head.headers)?;
    let edit = wanted.or_defaults().edit(node)?;
    let written = call.write(edit, condition).await?;
    Ok(done(call, &written, None))
}

/// Makes a strong node, or leaves the one that is there as it is.
async fn make_strong(call: &Call<'_>, node: NodeName) -> Answer {
    let local = call.engine()?.local();
    let is_strong = local.state.nodes().node(node.as_str()).is_some();
    if !is_strong && call.view().store.node(node.as_str()).is_some() {
        return Err(cannot_change("this node is there already, and eventual"));
    }
    let query = Query::of(&call.head.uri, &["ack", "timeout"])?;
    check_strong(&query)?;
    call.api
        .parts
        .app
        .limits()
        .check_values(&node, std::iter::empty())?;
    let op = NodeOp::Patch {
        node,
        keys: BTreeMap::new(),
        condition: strong_condition(&call.head.headers)?,
    };
    match call.propose(&query, Command::Op(Op::Node(op))).await? {
        Outcome::Written { version, created } => {
            call.have_here(version).await;
            let tag = reply::tag(&version.to_string());
            Ok(answer(call, created, Some(tag)))
        }
        _ => Err(Problem::internal()),
    }
}

/// What is wanted of a strong node must be what it is.
async fn leave_strong(call: &Call<'_>, query: &Query, node: NodeName, wanted: Wanted) -> Answer {
    if wanted.class()? == Some(Class::Eventual) {
        return Err(cannot_change("this node is there already, and strong"));
    }
    wanted.check_strong()?;
    strong_node::patch(call, query, node, BTreeMap::new()).await
}

fn cannot_change(detail: &'static str) -> Problem {
    conflict(detail).hint(
        "a node keeps its class: make one of another name and copy the values, or delete this one \
         and make it anew",
    )
}

/// Sets some settings of a node that is there.
pub(super) async fn patch(call: &Call<'_>, node: &str, body: Body) -> Answer {
    let node: NodeName = decode(node)?.parse()?;
    let wanted = wanted(call, body).await?;
    let class = wanted.class()?;
    if class == Some(Class::Strong) {
        call.engine()?;
    }
    if let Target::Strong(query) = call.target(&node, IfMissing::Fail).await? {
        return leave_strong(call, &query, node, wanted).await;
    }
    let mut condition = conditions::for_write(&call.head.headers)?;
    let view = call.view();
    if view.store.node(node.as_str()).is_none() {
        return Err(EditError::NodeNotFound.into());
    }
    if class == Some(Class::Strong) {
        return Err(cannot_change("this node is there already, and eventual"));
    }
    // Were the node deleted meanwhile, patching must not bring it back.
    condition.if_match.get_or_insert(Tags::Any);
    let written = call.write(wanted.edit(node)?, condition).await?;
    Ok(done(call, &written, None))
}

async fn wanted(call: &Call<'_>, body: Body) -> Result<Wanted, Problem> {
    media::check_json(&call.head.headers, "application/merge-patch+json")?;
    let received = call.take(body, Purpose::Document).await?;
    if received.octets.trim_ascii().is_empty() {
        return Ok(Wanted::default());
    }
    json::document(&received.octets)
}
