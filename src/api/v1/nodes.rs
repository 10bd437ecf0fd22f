//! `/v1/nodes`: the nodes and their settings.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use serde::{Deserialize, Deserializer, Serialize};

use super::key::done;
use super::node::tag;
use crate::api::body::Purpose;
use crate::api::conditions;
use crate::api::json;
use crate::api::media;
use crate::api::pages;
use crate::api::problem::{Code, Problem};
use crate::api::reply;
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::app::{Edit, EditError, Tags};
use crate::model::{DESCRIPTION_LIMIT, HISTORY_LIMIT, Node, NodeName, NodeRegister, Settings};

/// The one class of node that this member knows.
const EVENTUAL: &str = "eventual";

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
        class: EVENTUAL,
        description: &settings.description,
        history: settings.history,
        created: register.filter(is_first).map(|at| at.written.to_string()),
        written: register.map(|at| at.written.to_string()),
        author: register.map(|at| &*at.author),
        stamp: register.map(|at| at.stamp.to_string()),
    };
    serde_json::to_writer(out, &shown).expect("a Vec takes everything, the members are text");
}

/// All nodes, by name.
pub(super) fn list(call: &Call<'_>) -> Response<Body> {
    let view = call.view();
    let mut response = reply::json_body(pages::body(|mut pages| async move {
        pages.page.extend_from_slice(br#"{"nodes":["#);
        for (place, (name, node)) in view.store.nodes().enumerate() {
            if place > 0 {
                pages.page.push(b',');
            }
            write_shown(&mut pages.page, name, node);
            pages.turn().await;
        }
        pages.page.extend_from_slice(b"]}");
        pages
    }));
    reply::no_store(response.headers_mut());
    response
}

/// One node's settings.
pub(super) async fn get(call: &Call<'_>, node: &str) -> Answer {
    let name: NodeName = decode(node)?.parse()?;
    let view = call.view();
    let tag = tag(call, &view, &name).await?;
    let mut response = if conditions::unchanged(&call.head.headers, &tag)? {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        let mut out = Vec::new();
        if let Some(node) = view.store.node(name.as_str()) {
            write_shown(&mut out, &name, node);
        }
        reply::json_body(Body::from(out))
    };
    reply::tag_stored(response.headers_mut(), reply::tag(&tag));
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
        if let Field::Given(class) = self.class
            && class != EVENTUAL
        {
            let detail = format!("this member knows no class {class:?} of nodes");
            return Err(Problem::new(Code::InvalidBody, detail).hint("the class is \"eventual\""));
        }
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
    let condition = conditions::for_write(&call.head.headers)?;
    let edit = wanted(call, body).await?.or_defaults().edit(node)?;
    let written = call.write(edit, condition).await?;
    Ok(done(call, &written, None))
}

/// Sets some settings of a node that is there.
pub(super) async fn patch(call: &Call<'_>, node: &str, body: Body) -> Answer {
    let node: NodeName = decode(node)?.parse()?;
    let mut condition = conditions::for_write(&call.head.headers)?;
    let wanted = wanted(call, body).await?;
    let view = call.view();
    if view.store.node(node.as_str()).is_none() {
        return Err(EditError::NodeNotFound.into());
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
