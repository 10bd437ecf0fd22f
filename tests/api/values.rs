//! Every odd value comes out as it went in: raw, as JSON, within its node, within the store.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use serde_json::json;

use crate::member::{Headers, USER, member};

const TEXT: &str = "text/plain; charset=utf-8";
const OCTETS: &str = "application/octet-stream";
const FORM: Headers<'static> = &[("content-type", "application/x-www-form-urlencoded")];

#[tokio::test]
async fn values_come_out_as_they_went_in() {
    let member = member();
    let large = "x".repeat(1 << 20);
    let page = "é\n".repeat(50_000);
    for value in [
        "",
        "0",
        "5",
        "200",
        "-0",
        "false",
        "null",
        "1e400",
        "9007199254740993",
        "{\"statusCode\":418}",
        "[1,2",
        "two\nlines\r\n",
        "a=b&c=d",
        "\u{0}\u{1}\u{7f}",
        "\"quoted\"",
        "\\u0041",
        "\u{feff}bom",
        "🦢",
        " ",
        &page,
        &large,
    ] {
        let short: String = value.chars().take(30).collect();
        let path = "/v1/store/web/odd";
        let put = member.ask("PUT", path, FORM, value.to_owned()).await;
        assert!(put.status.is_success(), "{short}: {:?}", put.status);
        let raw = member.get(path).await;
        assert_eq!(
            (raw.status.as_u16(), raw.header("content-type")),
            (200, TEXT),
            "{short}"
        );
        assert!(raw.body == value, "{short}");
        let described = member
            .ask("GET", path, &[("accept", "application/json")], "")
            .await;
        assert_eq!(described.header("content-type"), "application/json");
        assert!(described.json()["value"] == *value, "{short}");
        assert!(
            member.get("/v1/store/web").await.json()["odd"] == *value,
            "{short}"
        );
        assert!(
            member.get("/v1/store").await.json()["web"]["odd"] == *value,
            "{short}"
        );
    }
}

#[tokio::test]
async fn octets_that_are_no_text_come_out_as_they_went_in() {
    let member = member();
    for octets in [
        &b"\xff"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"a\xffb",
        b"\x00\xfe",
    ] {
        let path = "/v1/store/web/odd";
        member.put(path, octets).await;
        let raw = member.get(path).await;
        assert_eq!(
            (&raw.body[..], raw.header("content-type")),
            (octets, OCTETS)
        );
        let form = json!({ "$base64": STANDARD.encode(octets) });
        let described = member
            .ask("GET", path, &[("accept", "application/json")], "")
            .await;
        assert_eq!(described.json()["value"], form);
        let whole = member.get("/v1/store/web").await;
        assert_eq!(whole.json(), json!({ "odd": form }));
        member.put("/v1/store/copy", whole.body.clone()).await;
        let copy = member.get("/v1/store/copy/odd").await;
        assert_eq!(
            (&copy.body[..], copy.header("content-type")),
            (octets, OCTETS)
        );
    }
}

#[tokio::test]
async fn a_value_keeps_its_content_type() {
    let member = member();
    let path = "/v1/store/web/typed";
    for (sent, kept) in [
        (Some("text/css"), "text/css"),
        (Some("application/json"), "application/json"),
        (
            Some("application/json; charset=utf-8"),
            "application/json; charset=utf-8",
        ),
        (Some("Image/PNG"), "Image/PNG"),
        (Some("application/x-www-form-urlencoded"), TEXT),
        (
            Some("APPLICATION/x-www-form-urlencoded; charset=utf-8"),
            TEXT,
        ),
        (None, TEXT),
    ] {
        let headers: Vec<_> = sent.iter().map(|sent| ("content-type", *sent)).collect();
        member.ask("PUT", path, &headers, "{}").await;
        let got = member.get(path).await;
        assert_eq!(
            (got.header("content-type"), got.text()),
            (kept, "{}"),
            "{sent:?}"
        );
        let described = member
            .ask("GET", path, &[("accept", "application/json")], "")
            .await;
        assert_eq!(described.json()["content_type"], kept);
    }
    for bad in ["text", "a b/c", "text/plän"] {
        let refused = member.ask("PUT", path, &[("content-type", bad)], "x").await;
        refused.is_problem(400, "invalid-header");
    }
}

#[tokio::test]
async fn a_value_can_be_had_with_all_that_is_known_about_it() {
    let member = member();
    let put = member.put("/v1/store/web/colour", "blue").await;
    let stamp = put.header("etag").trim_matches('"').to_owned();
    let accept = [("accept", "application/json;q=0.9, text/html")];
    let described = member.ask("GET", "/v1/store/web/colour", &accept, "").await;
    let tag = format!("\"{stamp};json\"");
    assert_eq!(
        described.header("etag"),
        tag,
        "another form has another tag"
    );
    let raw_tag = [accept[0], ("if-none-match", put.header("etag"))];
    member
        .ask("GET", "/v1/store/web/colour", &raw_tag, "")
        .await
        .is(200);
    let own_tag = [accept[0], ("if-none-match", &*tag)];
    member
        .ask("GET", "/v1/store/web/colour", &own_tag, "")
        .await
        .is(304);
    let got = described.json();
    let written = got["written"].as_str().unwrap().to_owned();
    assert!(written.ends_with('Z') && written.contains('T'), "{written}");
    assert_eq!(
        got,
        json!({
            "node": "web", "key": "colour", "value": "blue", "stamp": stamp, "author": USER,
            "member": "0000000000000007", "written": written, "content_type": TEXT,
        })
    );
    for raw in [
        "*/*",
        "text/plain",
        "application/json;q=0.1, */*",
        "*/*, application/json",
    ] {
        let got = member
            .ask("GET", "/v1/store/web/colour", &[("accept", raw)], "")
            .await;
        assert_eq!(
            (got.text(), got.header("vary")),
            ("blue", "accept"),
            "{raw}"
        );
    }
}

#[tokio::test]
async fn a_stored_page_does_nothing_in_a_browser() {
    let member = member();
    let html = [("content-type", "text/html")];
    member
        .ask(
            "PUT",
            "/v1/store/web/page",
            &html,
            "<script>alert(1)</script>",
        )
        .await
        .is(201);
    let got = member.get("/v1/store/web/page").await;
    assert_eq!(got.header("content-type"), "text/html");
    assert_eq!(got.header("x-content-type-options"), "nosniff");
    let policy = got.header("content-security-policy");
    assert_eq!(policy, "default-src 'none'; frame-ancestors 'none'");
    assert_eq!(got.header("cache-control"), "no-cache");
}

#[tokio::test]
async fn bodies_in_many_pieces_are_taken_whole() {
    let member = member();
    for pieces in [1, 2, 7, 100] {
        let piece = "0123456789abcdef".repeat(300);
        let whole = piece.repeat(pieces);
        let pieces = vec![Ok::<_, std::convert::Infallible>(piece); pieces];
        member
            .put("/v1/store/web/big", Body::from_stream(stream::iter(pieces)))
            .await;
        assert!(member.get("/v1/store/web/big").await.body == whole);
    }
}

#[tokio::test]
async fn a_coded_body_is_not_taken() {
    let member = member();
    for path in ["/v1/store/web/key", "/v1/store/web", "/v1/nodes/web"] {
        let gzip = [("content-encoding", "gzip")];
        let refused = member.ask("PUT", path, &gzip, "{}").await;
        refused.is_problem(415, "unsupported-media-type");
        let plain = [("content-encoding", "identity")];
        assert!(
            member
                .ask("PUT", path, &plain, "{}")
                .await
                .status
                .is_success()
        );
    }
}
