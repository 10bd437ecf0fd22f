//! Every resource with every method; HEAD, OPTIONS, and the problems that answer the rest.

use crate::member::member;

const METHODS: [&str; 9] = [
    "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "POST", "TRACE", "BREW",
];

/// Each resource with the methods that it knows.
const RESOURCES: [(&str, &str); 15] = [
    ("/v1/store", "GET, HEAD, OPTIONS"),
    ("/v1/store/web", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
    ("/v1/store/web/a", "GET, HEAD, PUT, DELETE, OPTIONS"),
    ("/v1/store/web/a//b/", "GET, HEAD, PUT, DELETE, OPTIONS"),
    ("/v1/nodes", "GET, HEAD, OPTIONS"),
    ("/v1/nodes/web", "GET, HEAD, PUT, PATCH, OPTIONS"),
    ("/v1/history/web/a", "GET, HEAD, OPTIONS"),
    ("/v1/history/web/a/restore", "GET, HEAD, POST, OPTIONS"),
    ("/v1/conflicts", "GET, HEAD, OPTIONS"),
    ("/v1/members", "GET, HEAD, OPTIONS"),
    ("/v1/members/nobody", "DELETE, OPTIONS"),
    ("/v1/status", "GET, HEAD, OPTIONS"),
    ("/livez", "GET, HEAD, OPTIONS"),
    ("/readyz", "GET, HEAD, OPTIONS"),
    ("/metrics", "GET, HEAD, OPTIONS"),
];

#[tokio::test]
async fn every_resource_knows_its_methods_and_says_which() {
    let member = member();
    for (path, allow) in RESOURCES {
        for method in METHODS {
            let answer = member.ask(method, path, &[], "").await;
            let known = allow.split(", ").any(|one| one == method);
            if !known {
                answer.is(405);
                if method != "HEAD" {
                    answer.is_problem(405, "method-not-allowed");
                }
                assert_eq!(answer.header("allow"), allow, "{method} {path}");
            } else if method == "OPTIONS" {
                answer.is(204);
                assert_eq!(
                    (answer.header("allow"), &answer.body[..]),
                    (allow, &b""[..]),
                    "{path}"
                );
            } else {
                let status = answer.status.as_u16();
                assert!(
                    matches!(status, 200 | 201 | 204 | 404)
                        || (method == "POST" && answer.code() == "invalid-body"),
                    "{method} {path}: {answer:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn there_is_nothing_at_other_paths() {
    let member = member();
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/store",
        "/v1/stor",
        "/v1/storex",
        "/v1/members/",
        "/v1/status/x",
        "/v1/nodes/a/b",
        "/livez/",
        "/metrics/x",
        "/apis/v1/store",
        "//v1/store",
        "/V1/store",
        "/v1/../v1/store",
    ] {
        for method in ["GET", "PUT", "DELETE", "OPTIONS", "POST"] {
            member
                .ask(method, path, &[], "")
                .await
                .is_problem(404, "not-found");
        }
        let head = member.ask("HEAD", path, &[], "").await;
        assert_eq!(head.header("content-type"), "application/problem+json");
        head.is(404);
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let member = member();
    let large = "x".repeat(200_000);
    member.put("/v1/store/web/a", "blue").await.is(201);
    member.put("/v1/store/web/large", large).await.is(201);
    for path in [
        "/v1/store",
        "/v1/store/web",
        "/v1/store/web/a",
        "/v1/store/web/large",
        "/v1/store/web/no",
        "/v1/store/no",
        "/v1/nodes",
        "/v1/nodes/web",
        "/v1/members",
        "/livez",
        "/readyz",
        "/nothing",
    ] {
        let get = member.get(path).await;
        let head = member.ask("HEAD", path, &[], "").await;
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.headers, get.headers, "{path}");
    }
}

#[tokio::test]
async fn no_query_parameter_is_passed_over() {
    let member = member();
    for (path, _) in RESOURCES {
        let path = format!("{path}?pretty=1");
        let method = if path.contains("nobody") {
            "DELETE"
        } else {
            "GET"
        };
        let answer = member.ask(method, &path, &[], "").await;
        answer.is_problem(400, "invalid-query");
    }
    member
        .put("/v1/store/web/a?ttl=5s", "x")
        .await
        .is_problem(400, "invalid-query");
    member
        .delete("/v1/store/web?force")
        .await
        .is_problem(400, "invalid-query");
    member.get("/v1/store?").await.is(200);
}

#[tokio::test]
async fn problems_are_written_as_promised() {
    let member = member();
    member.put("/v1/store/web", "{}").await.is(201);
    let check = async |method: &str, path: &str, body: &'static str, expected: &str| {
        let answer = member.ask(method, path, &[], body).await;
        assert_eq!(answer.text(), expected);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("cache-control"), "no-store");
    };
    check(
        "GET",
        "/v1/store/no/key",
        "",
        concat!(
            r#"{"type":"about:blank","title":"There is no such node","#,
            r#""status":404,"code":"node-not-found","#,
            r#""detail":"there is no such node","#,
            r#""outcome":"not-applied"}"#,
        ),
    )
    .await;
    check(
        "DELETE",
        "/v1/store/web/no",
        "",
        concat!(
            r#"{"type":"about:blank","title":"There is no such key","#,
            r#""status":404,"code":"key-not-found","#,
            r#""detail":"there is no such key in this node","#,
            r#""outcome":"not-applied"}"#,
        ),
    )
    .await;
    check(
        "POST",
        "/v1/store",
        "",
        concat!(
            r#"{"type":"about:blank","title":"The method is not allowed here","#,
            r#""status":405,"code":"method-not-allowed","#,
            r#""detail":"this path knows only GET, HEAD, OPTIONS","#,
            r#""outcome":"not-applied"}"#,
        ),
    )
    .await;
    check(
        "PUT",
        "/v1/store/web/%2e%2e",
        "x",
        concat!(
            r#"{"type":"about:blank","title":"The name is not valid","#,
            r#""status":400,"code":"invalid-name","#,
            r#""detail":"a name has no segment \".\" or \"..\", which clients would rewrite","#,
            r#""outcome":"not-applied"}"#,
        ),
    )
    .await;
    check(
        "PUT",
        "/v1/store/web",
        r#"{"a":1,"a":2}"#,
        concat!(
            r#"{"type":"about:blank","title":"The body is not valid","#,
            r#""status":400,"code":"invalid-body","#,
            r#""detail":"the body is no JSON object of values: "#,
            r#"\"a\" comes twice at line 1 column 13","#,
            r#""outcome":"not-applied"}"#,
        ),
    )
    .await;
}
