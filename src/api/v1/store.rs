//! `/v1/store`: everything, in the seed's format.

use std::sync::Arc;

use http::StatusCode;

use super::node::{LARGE, write_node};
use super::strong_node;
use crate::api::conditions;
use crate::api::json::write_text;
use crate::api::pages;
use crate::api::problem::Problem;
use crate::api::reply;
use crate::api::server::{Answer, Call};
use crate::app::{View, store_tag};
use crate::strong::{Listed, engine, listing};

/// All nodes with their keys and values: one state of the store, written as the client reads. Of
/// the strong nodes it is what this member has, with how old that may be.
pub(super) async fn get(call: &Call<'_>) -> Answer {
    let (view, now) = (call.view(), call.now());
    let local = call.stale().ok();
    let strong = local.as_ref().map(|local| local.view.clone());
    let strong = strong.unwrap_or_default();
    let tag = tag(call, &view, &strong).await?;
    let mut response = if conditions::unchanged(&call.head.headers, &tag)? {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        reply::json_body(pages::body(|mut pages| async move {
            pages.page.push(b'{');
            let all = listing(&view.store, strong.state.nodes());
            for (place, (name, listed)) in all.enumerate() {
                if place > 0 {
                    pages.page.push(b',');
                }
                write_text(&mut pages.page, name.as_str());
                pages.page.push(b':');
                match listed {
                    Listed::Eventual(node) => write_node(&mut pages, node, now).await,
                    Listed::Strong { node, .. } => strong_node::write_node(&mut pages, node).await,
                }
                pages.turn().await;
            }
            pages.page.push(b'}');
            pages
        }))
    };
    reply::tag_stored(response.headers_mut(), reply::tag(&tag));
    if let Some(local) = local {
        local.mark(&mut response);
    }
    Ok(response)
}

async fn tag(
    call: &Call<'_>,
    view: &Arc<View>,
    strong: &Arc<engine::View>,
) -> Result<String, Problem> {
    if strong.state.nodes().count() < LARGE {
        return Ok(store_tag(&view.store, strong.state.nodes()));
    }
    let (view, strong) = (view.clone(), strong.clone());
    call.blocking(move || store_tag(&view.store, strong.state.nodes()))
        .await
}
