//! Who gets in: credentials, the same answer to all who have none, and no other site's pages.

use gaggle::api::auth::{Users, hash_password};

use crate::member::{USER, basic, member};

const PATHS: [&str; 12] = [
    "/v1/store",
    "/v1/store/web",
    "/v1/store/web/a",
    "/v1/store/%ff",
    "/v1/nodes",
    "/v1/nodes/web",
    "/v1/members",
    "/v1/status",
    "/metrics",
    "/readyz?verbose",
    "/nothing",
    "/v1/users",
];

#[tokio::test]
async fn who_has_no_credentials_learns_nothing() {
    let member = member();
    member.put("/v1/store/web/a", "secret").await.is(201);
    let mut seen = Vec::new();
    for path in PATHS {
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "POST", "BREW"] {
            let answer = member.ask_as_is(method, path, &[], "{}").await;
            assert_eq!(
                answer.header("www-authenticate"),
                r#"Basic realm="gaggle", charset="UTF-8""#
            );
            answer.is_problem(401, "unauthorized");
            seen.push(answer.body.clone());
        }
        member.ask_as_is("HEAD", path, &[], "").await.is(401);
    }
    let wrong = basic(USER, "wrong");
    seen.push(
        member
            .ask_as_is("GET", "/v1/store", &[("authorization", &wrong)], "")
            .await
            .body,
    );
    let unknown = basic("nobody", "wrong");
    seen.push(
        member
            .ask_as_is("GET", "/v1/store", &[("authorization", &unknown)], "")
            .await
            .body,
    );
    seen.dedup();
    assert_eq!(seen.len(), 1, "one answer for all: {seen:?}");
    assert_eq!(
        member.get("/v1/store/web/a").await.text(),
        "secret",
        "nothing was done"
    );
}

#[tokio::test]
async fn only_the_two_probes_are_open() {
    let member = member();
    for path in ["/livez", "/readyz"] {
        member.ask_as_is("GET", path, &[], "").await.is(200);
        member.ask_as_is("HEAD", path, &[], "").await.is(200);
        let options = member.ask_as_is("OPTIONS", path, &[], "").await;
        options.is(204);
        assert_eq!(options.header("allow"), "GET, HEAD, OPTIONS");
        for method in ["PUT", "POST", "DELETE"] {
            let refused = member.ask_as_is(method, path, &[], "").await;
            refused.is_problem(405, "method-not-allowed");
            assert_eq!(refused.header("allow"), "GET, HEAD, OPTIONS");
        }
    }
}

#[tokio::test]
async fn headers_that_cannot_be_read_are_refused() {
    let member = member();
    let good = basic(USER, "päss:wörd");
    let long = format!("Basic {}", "A".repeat(100_000));
    for (headers, status) in [
        (vec![&*good], 200),
        (vec![&*good, &*good], 400),
        (vec!["Basic"], 401),
        (vec![""], 401),
        (vec!["Bearer abc"], 401),
        (vec!["Digest username=\"ann\""], 401),
        (vec!["Basic ???"], 400),
        (vec!["Basic YWJj"], 400),
        (vec!["Basic YTr/"], 400),
        (vec!["Basic YQA6Yg=="], 400),
        (vec![&*long], 400),
    ] {
        let headers: Vec<_> = headers
            .into_iter()
            .map(|value| ("authorization", value))
            .collect();
        let answer = member.ask_as_is("GET", "/v1/store", &headers, "").await;
        assert_eq!(answer.status, status, "{:?}", headers[0].1.get(..20));
    }
}

#[tokio::test]
async fn a_changed_password_counts_from_the_next_request_on() {
    let member = member();
    member.get("/v1/store").await.is(200);
    member
        .auth
        .replace_users(Users::one("bob", hash_password("other").unwrap()).unwrap());
    member
        .get("/v1/store")
        .await
        .is_problem(401, "unauthorized");
    let bob = basic("bob", "other");
    let headers = [("authorization", &*bob)];
    member
        .ask_as_is("PUT", "/v1/store/web/a", &headers, "1")
        .await
        .is(201);
    let accept = [("authorization", &*bob), ("accept", "application/json")];
    let got = member
        .ask_as_is("GET", "/v1/store/web/a", &accept, "")
        .await;
    assert_eq!(got.json()["author"], "bob");
}

#[tokio::test]
async fn guesses_are_refused_after_some_and_known_clients_are_not() {
    let member = member();
    member.get("/v1/store").await.is(200);
    let mut limited = None;
    for guess in 0..500 {
        let wrong = basic(USER, &guess.to_string());
        let answer = member
            .ask_as_is("GET", "/v1/store", &[("authorization", &wrong)], "")
            .await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
        answer.is(401);
    }
    let limited = limited.expect("500 guesses are too many");
    limited.is_problem(429, "too-many-attempts");
    assert!(limited.header("retry-after").parse::<u32>().unwrap() >= 1);
    member.get("/v1/store").await.is(200);
}

#[tokio::test]
async fn pages_of_other_sites_do_not_write() {
    let member = member();
    for (headers, passes) in [
        (&[][..], true),
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "same-site")], false),
        (
            &[("host", "gaggle:8000"), ("origin", "https://gaggle:8000")],
            true,
        ),
        (
            &[("host", "gaggle:8000"), ("origin", "https://evil.example")],
            false,
        ),
        (&[("origin", "null")], false),
    ] {
        for (method, path) in [
            ("PUT", "/v1/store/web/a"),
            ("PATCH", "/v1/store/web"),
            ("PUT", "/v1/nodes/web"),
        ] {
            let answer = member.ask(method, path, headers, "{}").await;
            if passes {
                assert!(answer.status.is_success(), "{answer:?}");
            } else {
                answer.is_problem(403, "cross-site");
            }
        }
        member
            .ask("GET", "/v1/store/web/a", headers, "")
            .await
            .is(200);
    }
}
