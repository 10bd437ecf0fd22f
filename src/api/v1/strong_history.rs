//! `/v1/history/{node}/{key}` where the node is strong: the current version, for older ones are not
//! kept (`docs/adr/0010-leases-run-by-the-logs-own-time.md`).

use axum::body::Body;
use http::StatusCode;

use super::strong_key::{begun, find, raw, write_item};
use crate::api::accept::{Form, form};
use crate::api::conditions;
use crate::api::coordination::Fresh;
use crate::api::problem::{Code, Problem};
use crate::api::query::{Query, refused};
use crate::api::reply;
use crate::api::server::{Answer, Call};
use crate::app::EditError;
use crate::model::{HISTORY_LIMIT, KeyName, NodeName};

/// The current version as a list of one, or with `stamp` alone.
pub(super) fn get(
    call: &Call<'_>,
    fresh: &Fresh,
    (node, key): (&NodeName, &KeyName),
    query: &Query,
) -> Answer {
    query.limit(usize::from(HISTORY_LIMIT))?;
    if query.text("before").is_some() {
        return Err(refused(
            "before: of a strong key there is one version".to_owned(),
        ));
    }
    let item = find(fresh, node.as_str(), key.as_str())?;
    let version = item.version.to_string();
    let is_one = match query.text("stamp") {
        None => false,
        Some(stamp) if stamp == version => true,
        Some(_) => {
            return Err(Problem::from(EditError::VersionNotFound)
                .hint("of a strong key only the current version is kept"));
        }
    };
    let headers = &call.head.headers;
    let form = match form(headers, &item.value.content_type) {
        Form::Raw if is_one => Form::Raw,
        Form::Raw | Form::Json => Form::Json,
    };
    let tag = match form {
        Form::Raw => version,
        Form::Json => format!("{version}{}", conditions::JSON_FORM),
    };
    let mut response = match form {
        _ if conditions::unchanged(headers, &tag)? => reply::empty(StatusCode::NOT_MODIFIED),
        Form::Raw => raw(item),
        Form::Json => {
            let mut out = begun(node.as_str(), key.as_str());
            out.extend_from_slice(br#","live":true,"count":1,"older_versions_kept":false,"#);
            if !is_one {
                out.extend_from_slice(br#""versions":[{"#);
            }
            write_item(&mut out, item, &fresh.view, call.now());
            out.extend_from_slice(if is_one {
                br#","current":true}"#
            } else {
                br#","replaces":[],"current":true}]}"#
            });
            reply::json_body(Body::from(out))
        }
    };
    reply::tag_item(response.headers_mut(), item, reply::tag(&tag));
    fresh.mark(&mut response);
    Ok(response)
}

/// There is nothing that could be restored.
pub(super) fn no_history() -> Problem {
    Problem::new(
        Code::NoHistory,
        "of a strong key only the current version is kept",
    )
    .hint("PUT the value that the key should have")
}
