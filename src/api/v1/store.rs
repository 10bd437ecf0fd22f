//! `/v1/store`: everything, in the seed's format.

use http::StatusCode;

use super::node::write_node;
use crate::api::conditions;
use crate::api::json::write_text;
use crate::api::pages;
use crate::api::reply;
use crate::api::server::{Answer, Call};
use crate::app::store_tag;

/// All nodes with their keys and values: one state of the store, written as the client reads.
pub(super) fn get(call: &Call<'_>) -> Answer {
    let (view, now) = (call.view(), call.now());
    let tag = store_tag(&view.store);
    let mut response = if conditions::unchanged(&call.head.headers, &tag)? {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        reply::json_body(pages::body(|mut pages| async move {
            pages.page.push(b'{');
            for (place, (name, node)) in view.store.nodes().enumerate() {
                if place > 0 {
                    pages.page.push(b',');
                }
                write_text(&mut pages.page, name.as_str());
                pages.page.push(b':');
                write_node(&mut pages, node, now).await;
                pages.turn().await;
            }
            pages.page.push(b'}');
            pages
        }))
    };
    reply::tag_stored(response.headers_mut(), reply::tag(&tag));
    Ok(response)
}
