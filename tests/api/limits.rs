//! What is too large or too much is refused, and says that nothing was done.

use axum::body::Body;
use futures_util::stream;
use gaggle::app::Limits;
use serde_json::json;

use crate::member::{Answer, member, member_with};

fn small() -> Limits {
    Limits {
        name_bytes: 8,
        value_bytes: 100,
        keys: 3,
    }
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    answer.is_problem(status, code);
    assert_eq!(answer.json()["outcome"], "not-applied");
}

fn chunked(length: usize) -> Body {
    let pieces = vec![Ok::<_, std::convert::Infallible>("x"); length];
    Body::from_stream(stream::iter(pieces))
}

#[tokio::test]
async fn a_value_has_its_limit_to_the_byte() {
    let member = member();
    member
        .put("/v1/store/web/a", vec![b'x'; 1 << 20])
        .await
        .is(201);
    let larger = member
        .put("/v1/store/web/a", vec![b'x'; (1 << 20) + 1])
        .await;
    refused(&larger, 413, "value-too-large");
    assert_eq!(member.get("/v1/store/web/a").await.body.len(), 1 << 20);
}

#[tokio::test]
async fn values_and_bodies_are_bounded_in_every_form() {
    let member = member_with(small(), 300);
    let text = |length: usize| "x".repeat(length);
    member.put("/v1/store/web/a", text(100)).await.is(201);
    member.put("/v1/store/web/a", chunked(100)).await.is(204);
    for body in [Body::from(text(101)), chunked(101)] {
        refused(
            &member.put("/v1/store/web/a", body).await,
            413,
            "value-too-large",
        );
    }
    for body in [Body::from(text(301)), Body::from(text(100_000))] {
        refused(
            &member.put("/v1/store/web/a", body).await,
            413,
            "body-too-large",
        );
    }
    for method in ["PUT", "PATCH"] {
        let value = json!({ "a": text(101) }).to_string();
        refused(
            &member.ask(method, "/v1/store/web", &[], value).await,
            413,
            "value-too-large",
        );
        let body = json!({ "a": text(99), "b": text(99), "c": text(99) }).to_string();
        refused(
            &member.ask(method, "/v1/store/web", &[], body).await,
            413,
            "body-too-large",
        );
        refused(
            &member.ask(method, "/v1/nodes/web", &[], chunked(301)).await,
            413,
            "body-too-large",
        );
    }
    assert_eq!(member.get("/v1/store/web/a").await.text(), text(100));
}

#[tokio::test]
async fn names_are_bounded_by_this_members_limit() {
    let member = member_with(small(), 300);
    member.put("/v1/store/12345678/12345678", "x").await.is(201);
    refused(
        &member.put("/v1/store/123456789/k", "x").await,
        400,
        "invalid-name",
    );
    refused(
        &member.put("/v1/store/web/123456789", "x").await,
        400,
        "invalid-name",
    );
    refused(
        &member.put("/v1/nodes/123456789", "").await,
        400,
        "invalid-name",
    );
}

#[tokio::test]
async fn a_full_store_takes_no_new_keys_but_all_else() {
    let member = member_with(small(), 300);
    for key in ["a", "b", "c"] {
        member
            .put(&format!("/v1/store/web/{key}"), "1")
            .await
            .is(201);
    }
    refused(
        &member.put("/v1/store/web/d", "1").await,
        507,
        "too-many-keys",
    );
    let patch = member
        .ask("PATCH", "/v1/store/web", &[], r#"{"d":"1"}"#)
        .await;
    refused(&patch, 507, "too-many-keys");
    member.put("/v1/store/web/a", "2").await.is(204);
    member.delete("/v1/store/web/b").await.is(204);
    member.put("/v1/store/web/d", "1").await.is(201);
}

#[tokio::test]
async fn a_member_that_stops_takes_no_writes_and_says_so() {
    let member = member();
    member.put("/v1/store/web/a", "1").await.is(201);
    member.app.health().stop();
    let answer = member.put("/v1/store/web/a", "2").await;
    refused(&answer, 503, "shutting-down");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(member.get("/v1/store/web/a").await.text(), "1");
}
