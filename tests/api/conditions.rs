//! Entity tags, and what is done or left because of them.

use crate::member::{Member, member};

async fn tag(member: &Member, path: &str) -> String {
    let answer = member.get(path).await;
    let tag = answer.is(200).header("etag").to_owned();
    assert!(
        tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10,
        "{tag}"
    );
    tag
}

#[tokio::test]
async fn a_reader_that_has_it_already_is_told_so() {
    let member = member();
    member.put("/v1/store/web/a", "1").await.is(201);
    for path in [
        "/v1/store",
        "/v1/store/web",
        "/v1/store/web/a",
        "/v1/nodes/web",
    ] {
        let tag = tag(&member, path).await;
        let check = async |header: (&str, &str), status: u16| {
            let got = member.ask("GET", path, &[header], "").await;
            got.is(status);
            let head = member.ask("HEAD", path, &[header], "").await;
            head.is(status);
            if status == 304 {
                assert_eq!(
                    (got.header("etag"), &got.body[..]),
                    (&*tag, &b""[..]),
                    "{path}"
                );
            }
        };
        let weak = format!("W/{tag}");
        let list = format!("\"x\", {tag}");
        check(("if-none-match", &tag), 304).await;
        check(("if-none-match", &weak), 304).await;
        check(("if-none-match", &list), 304).await;
        check(("if-none-match", "*"), 304).await;
        check(("if-none-match", "\"x\""), 200).await;
        check(("if-match", &tag), 200).await;
        check(("if-match", "*"), 200).await;
        check(("if-match", &list), 200).await;
        check(("if-match", &weak), 412).await;
        check(("if-match", "\"x\""), 412).await;
        check(("if-none-match", "x"), 400).await;
        check(("if-match", ""), 400).await;
    }
    let gone = member
        .ask("GET", "/v1/store/web/no", &[("if-none-match", "*")], "")
        .await;
    gone.is_problem(404, "key-not-found");
}

#[tokio::test]
async fn every_write_gives_new_tags() {
    let member = member();
    let paths = ["/v1/store", "/v1/store/web", "/v1/store/web/a"];
    member.put("/v1/store/web/a", "1").await.is(201);
    let put = member.put("/v1/store/web/a", "1").await;
    let mut before = Vec::new();
    for path in paths {
        before.push(tag(&member, path).await);
    }
    assert_eq!(
        put.header("etag"),
        before[2],
        "the answer to a PUT tells the tag"
    );
    member.put("/v1/store/web/a", "1").await.is(204);
    for (path, old) in paths.iter().zip(&before) {
        assert_ne!(tag(&member, path).await, *old, "{path}");
    }
}

#[tokio::test]
async fn a_write_is_done_only_if_its_condition_holds() {
    let member = member();
    let path = "/v1/store/web/a";
    let put = async |header: (&str, &str), status: u16| {
        member.ask("PUT", path, &[header], "x").await.is(status);
    };
    put(("if-match", "*"), 412).await;
    put(("if-match", "\"x\""), 412).await;
    member.get(path).await.is_problem(404, "node-not-found");
    put(("if-none-match", "*"), 201).await;
    put(("if-none-match", "*"), 412).await;
    let first = tag(&member, path).await;
    put(("if-match", &first), 204).await;
    let refused = member.ask("PUT", path, &[("if-match", &*first)], "y").await;
    refused.is_problem(412, "precondition-failed");
    let second = tag(&member, path).await;
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains(second.trim_matches('"'))
    );
    put(("if-match", &format!("W/{second}")), 412).await;
    put(("if-none-match", &second), 412).await;
    put(("if-none-match", &format!("W/{second}")), 412).await;
    put(("if-match", "unquoted"), 400).await;
    put(
        ("if-unmodified-since", "Sat, 29 Oct 1994 19:43:31 GMT"),
        400,
    )
    .await;
    assert_eq!(tag(&member, path).await, second, "nothing was written");
    member
        .ask("DELETE", path, &[("if-match", &*first)], "")
        .await
        .is(412);
    member
        .ask("DELETE", path, &[("if-match", &*second)], "")
        .await
        .is(204);
}

#[tokio::test]
async fn conditions_hold_for_nodes_too() {
    let member = member();
    let path = "/v1/store/web";
    member
        .ask("PUT", path, &[("if-match", "*")], "{}")
        .await
        .is(412);
    member
        .ask("PUT", path, &[("if-none-match", "*")], r#"{"a":"1"}"#)
        .await
        .is(201);
    member
        .ask("PUT", path, &[("if-none-match", "*")], "{}")
        .await
        .is(412);
    let old = tag(&member, path).await;
    member
        .ask("PATCH", path, &[("if-match", &*old)], r#"{"a":"2"}"#)
        .await
        .is(204);
    for method in ["PUT", "PATCH", "DELETE"] {
        let refused = member.ask(method, path, &[("if-match", &*old)], "{}").await;
        refused.is_problem(412, "precondition-failed");
    }
    let settings = member
        .ask("PUT", "/v1/nodes/web", &[("if-match", &*old)], "{}")
        .await;
    settings.is_problem(412, "precondition-failed");
    assert_eq!(member.get(path).await.text(), r#"{"a":"2"}"#);
    let new = tag(&member, path).await;
    member
        .ask("DELETE", path, &[("if-match", &*new)], "")
        .await
        .is(204);
}

#[tokio::test]
async fn of_many_writers_with_one_tag_exactly_one_wins() {
    let member = member();
    member.put("/v1/store/web/a", "0").await.is(201);
    for _ in 0..10 {
        let tag = tag(&member, "/v1/store/web/a").await;
        let writes = (0..8).map(|number| {
            let (member, tag) = (&member, tag.clone());
            async move {
                let condition = [("if-match", &*tag)];
                let answer = member.ask("PUT", "/v1/store/web/a", &condition, number.to_string());
                answer.await.status.as_u16()
            }
        });
        let mut statuses = futures_util::future::join_all(writes).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 412, 412, 412, 412, 412, 412, 412]);
    }
}
