//! Every odd name goes in and comes out, in every form; every wrong one is refused.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::member::{Member, member};

/// A name in a path, each byte that could mean something encoded.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// Puts a value under these names by `path`, and reads and deletes it in every form.
async fn check(member: &Member, node: &str, key: &str, path: &str) {
    let value = format!("{node} {key}");
    let put = member.put(path, value.clone()).await;
    assert_eq!(
        (put.status.as_u16(), put.header("location")),
        (201, path),
        "{put:?}"
    );
    member.put(path, value.clone()).await.is(204);

    let raw = member.get(path).await;
    assert_eq!(raw.is(200).text(), value, "{path}");
    let described = member
        .ask("GET", path, &[("accept", "application/json")], "")
        .await;
    let described = described.is(200).json();
    assert_eq!(
        [&described["node"], &described["key"], &described["value"]],
        [node, key, &value]
    );

    let whole = member.get(&format!("/v1/store/{}", encoded(node))).await;
    assert_eq!(whole.is(200).json()[key], *value, "{path}");
    let store = member.get("/v1/store").await;
    assert_eq!(store.is(200).json()[node][key], *value, "{path}");
    let listed = member.get("/v1/nodes").await.json();
    let is_listed = |one: &Value| one["name"] == node;
    assert!(
        listed["nodes"].as_array().unwrap().iter().any(is_listed),
        "{listed}"
    );

    member.delete(path).await.is(204);
    member.get(path).await.is_problem(404, "key-not-found");
    member.delete(path).await.is_problem(404, "key-not-found");
}

#[tokio::test]
async fn names_that_mean_something_elsewhere_are_only_names_here() {
    let member = member();
    let long = "x".repeat(255);
    let swans = "🦢".repeat(63) + "abc";
    for name in [
        "toString",
        "__proto__",
        "constructor",
        "$where",
        "$base64",
        "hasOwnProperty",
        "status",
        "store",
        "nodes",
        "null",
        "true",
        "0",
        "-",
        " ",
        "  a  ",
        "a b",
        "%",
        "%2e",
        "%2f",
        "100%",
        "a+b",
        "a&b=c",
        "a?b",
        "a#b",
        "a;b",
        "a\\b",
        "..a",
        "...",
        "~",
        "\"",
        "'",
        "<b>",
        "{}",
        "[]",
        "ä",
        "a\u{308}",
        "🦢",
        "\u{202e}x",
        "\u{2028}",
        "\u{200b}",
        &long,
        &swans,
    ] {
        let path = format!("/v1/store/{0}/{0}", encoded(name));
        check(&member, name, name, &path).await;
    }
}

#[tokio::test]
async fn the_rest_of_the_path_is_the_key() {
    let member = member();
    for (path, key) in [
        ("a/b", "a/b"),
        ("a//b", "a//b"),
        ("/x", "/x"),
        ("//", "//"),
        ("a/", "a/"),
        ("inproc://alpha-1", "inproc://alpha-1"),
        ("a%2Fb%2F%2Fc", "a/b//c"),
        ("%252e", "%2e"),
        ("%252e%252e/x", "%2e%2e/x"),
        ("%2525", "%25"),
        ("a%20b", "a b"),
        ("toString", "toString"),
        ("v1/store/web", "v1/store/web"),
        ("%41", "A"),
        ("!$&'()*+,;=:@-._~", "!$&'()*+,;=:@-._~"),
    ] {
        check(&member, "web", key, &format!("/v1/store/web/{path}")).await;
    }
}

#[tokio::test]
async fn names_that_differ_in_a_byte_are_different() {
    let member = member();
    for (place, name) in ["a", "A", "é", "e\u{301}", "а", "a ", "a/", "/a"]
        .iter()
        .enumerate()
    {
        let path = format!("/v1/store/web/{}", encoded(name));
        member.put(&path, place.to_string()).await.is(201);
    }
    let whole = member.get("/v1/store/web").await.json();
    assert_eq!(whole.as_object().unwrap().len(), 8, "{whole}");
}

#[tokio::test]
async fn wrong_names_are_refused_wherever_they_stand() {
    let member = member();
    let long = "x".repeat(256);
    let mut paths = vec![
        "/v1/store/".to_owned(),
        "/v1/store//x".to_owned(),
        "/v1/store/web/".to_owned(),
        "/v1/store/a%2Fb".to_owned(),
        "/v1/store/a%2Fb/key".to_owned(),
        "/v1/nodes/".to_owned(),
        "/v1/nodes/a%2fb".to_owned(),
        format!("/v1/store/{long}"),
        format!("/v1/store/{long}/key"),
        format!("/v1/store/web/{long}"),
        format!("/v1/nodes/{long}"),
    ];
    for bad in [
        ".",
        "..",
        "%2e",
        "%2E%2e",
        "%00",
        "a%0Ab",
        "%0d",
        "%1b",
        "%7f",
        "%c2%80",
        "%",
        "%2",
        "%zz",
        "a%",
        "%ff",
        "%c0%ae",
        "%ed%a0%80",
        "%f4%90%80%80",
    ] {
        paths.push(format!("/v1/store/{bad}"));
        paths.push(format!("/v1/store/{bad}/key"));
        paths.push(format!("/v1/store/web/{bad}"));
        paths.push(format!("/v1/nodes/{bad}"));
    }
    for bad in [
        "a/../b",
        "../web",
        "a/.",
        "./a",
        "a/%2e%2e",
        "%2e%2e%2fweb",
        "a/%2e/b",
    ] {
        paths.push(format!("/v1/store/web/{bad}"));
    }
    for path in &paths {
        member.get(path).await.is_problem(400, "invalid-name");
        member.put(path, "{}").await.is_problem(400, "invalid-name");
        if path.starts_with("/v1/store/") {
            member.delete(path).await.is_problem(400, "invalid-name");
        }
    }
    assert_eq!(
        member.get("/v1/store").await.text(),
        "{}",
        "nothing came of all this"
    );
}

#[tokio::test]
async fn wrong_names_are_refused_in_bodies_too() {
    let member = member();
    let long = "x".repeat(256);
    for bad in ["", ".", "a/../b", "a\nb", "\u{0}", "\u{7f}", &long] {
        let body = json!({ bad: "x" }).to_string();
        member
            .put("/v1/store/web", body.clone())
            .await
            .is_problem(400, "invalid-name");
        member
            .ask("PATCH", "/v1/store/web", &[], body)
            .await
            .is_problem(400, "invalid-name");
    }
    assert_eq!(
        member.get("/v1/store").await.text(),
        "{}",
        "nothing came of all this"
    );
}

/// Names of every script, with the characters in them that paths and JSON make much of.
fn name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<char>().prop_filter("no control", |c| !c.is_control()).prop_map(String::from),
        2 => prop::sample::select(vec![
            "%", "/", "//", "%2F", "\\", "\"", "?", "#", "+", " ", ".", "..", "🦢",
        ])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

fn is_name(name: &str) -> bool {
    !name
        .split('/')
        .any(|segment| segment == "." || segment == "..")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_name_and_any_value_come_back(
        node in name().prop_filter("a node", |name| is_name(name) && !name.contains('/')),
        key in name().prop_filter("a key", |name| is_name(name)),
        value in prop::collection::vec(any::<u8>(), 0..200),
        slashes in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (back, described) = runtime.block_on(async {
            let member = member();
            let mut path = format!("/v1/store/{}/{}", encoded(&node), encoded(&key));
            if slashes {
                path = path.replace("%2F", "/");
            }
            member.put(&path, value.clone()).await.is(201);
            let accept = [("accept", "application/json")];
            (member.get(&path).await, member.ask("GET", &path, &accept, "").await.json())
        });
        prop_assert_eq!(back.body, value);
        prop_assert_eq!(&described["node"], &json!(node));
        prop_assert_eq!(&described["key"], &json!(key));
    }
}
