//! `/v1/txn`: tests and operations, all at once or nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::member::{Answer, Headers, Member, USER, member, strong_member};

const STRONG: &str = r#"{"class":"strong"}"#;

async fn txn(member: &Member, body: &Value) -> Answer {
    member.ask("POST", "/v1/txn", &[], body.to_string()).await
}

/// Does operations and gives what they came to.
async fn done(member: &Member, ops: Value) -> Value {
    let answer = txn(member, &json!({ "then": ops })).await;
    answer.is(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let mut answer = answer.json();
    assert_eq!(answer["held"], true);
    answer["results"].take()
}

/// Whether these tests hold.
async fn holds(member: &Member, tests: Value) -> bool {
    let answer = txn(member, &json!({ "if": tests })).await;
    answer.is(200).json()["held"].as_bool().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_done_and_tells_what_it_came_to() {
    let member = strong_member().await;
    let ops = json!([
        {"op": "make", "node": "web"},
        {"op": "set", "node": "web", "key": "a/b", "value": "blue"},
        {"op": "get", "node": "web", "key": "a/b"},
        {"op": "get", "node": "web", "key": "none"},
        {"op": "set", "node": "web", "key": "css", "value": "x", "content_type": "text/css"},
        {"op": "set", "node": "web", "key": "n", "value": {"port": 80}},
        {"op": "set", "node": "web", "key": "raw", "value": {"$base64": "/wA="}, "ttl": "1h"},
        {"op": "patch", "node": "web", "keys": {"p": "1", "a/b": null, "none": null}},
        {"op": "replace", "node": "other", "keys": {"k": 5}},
        {"op": "delete", "node": "web", "key": "p"},
        {"op": "get", "counter": "hits"},
        {"op": "add", "counter": "hits", "by": 5},
        {"op": "set", "counter": "hits", "value": -2, "expect": 5},
        {"op": "append", "log": "events", "entry": {"b": 1, "a": [null]}},
        {"op": "append", "log": "events", "entry": "two"},
        {"op": "configure", "log": "events", "count": 10, "age": "1d"},
        {"op": "trim", "log": "events", "before": 2},
    ]);
    let results = done(&member, ops).await;
    let version = results[0]["version"].clone();
    let got = &results[2];
    assert_eq!(
        *got,
        json!({"version": version, "author": USER, "written": got["written"],
               "content_type": "text/plain; charset=utf-8", "value": "blue"})
    );
    let written = |created| json!({"version": version, "created": created});
    assert_eq!([&results[0], &results[1]], [&written(true), &written(true)]);
    assert_eq!(results[3], json!({"value": null}));
    assert_eq!(
        [&results[7], &results[8]],
        [&written(false), &written(true)]
    );
    assert_eq!(results[9], json!({"deleted": true}));
    assert_eq!(results[10], json!({"value": null}));
    assert_eq!(results[11], json!({"value": 5}));
    assert_eq!(results[12], json!({"value": -2}));
    assert_eq!([&results[13]["index"], &results[14]["index"]], [1, 2]);
    assert_eq!(results[16], json!({"first": 2}));
    assert_eq!(results.as_array().unwrap().len(), 17);

    let store = member.get("/v1/store").await;
    assert_eq!(
        store.text(),
        r#"{"other":{"k":"5"},"web":{"css":"x","n":"{\"port\":80}","raw":{"$base64":"/wA="}}}"#
    );
    let typ = async |key: &str| {
        let answer = member.get(&format!("/v1/store/web/{key}")).await;
        answer.header("content-type").to_owned()
    };
    assert_eq!(typ("css").await, "text/css");
    assert_eq!(typ("n").await, "application/json");
    assert_eq!(typ("raw").await, "application/octet-stream");
    let gone = json!([{"op": "delete", "counter": "hits"}, {"op": "delete", "node": "web"}]);
    assert_eq!(
        done(&member, gone).await,
        json!([{"deleted": true}, {"deleted": true}])
    );
    member.get("/v1/counters/hits").await.is(404);
    member.get("/v1/store/web").await.is(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_test_holds_when_it_should_and_only_then() {
    let member = strong_member().await;
    let ops = json!([
        {"op": "set", "node": "web", "key": "k", "value": "m"},
        {"op": "set", "counter": "c", "value": 5},
    ]);
    let version = done(&member, ops).await[0]["version"].as_u64().unwrap();
    let check = async |test: Value, expected: bool| {
        assert_eq!(holds(&member, json!([test])).await, expected, "{test}");
    };
    for (is, less, equal, greater) in [
        ("=", false, true, false),
        ("!=", true, false, true),
        ("<", true, false, false),
        ("<=", true, true, false),
        (">", false, false, true),
        (">=", false, true, true),
    ] {
        // What is there is less than, equal to and greater than what it is compared with.
        for (by, expected) in [(1, less), (0, equal), (-1, greater)] {
            let version = version.checked_add_signed(by).unwrap();
            check(
                json!({"node": "web", "key": "k", "version": version, "is": is}),
                expected,
            )
            .await;
            check(
                json!({"node": "web", "version": version, "is": is}),
                expected,
            )
            .await;
            check(json!({"counter": "c", "value": 5 + by, "is": is}), expected).await;
        }
        for (value, expected) in [("n", less), ("m", equal), ("l", greater)] {
            check(
                json!({"node": "web", "key": "k", "value": value, "is": is}),
                expected,
            )
            .await;
            check(
                json!({"node": "web", "key": "x", "value": value, "is": is}),
                false,
            )
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_can_be_tested_and_what_a_value_is() {
    let member = strong_member().await;
    let ops = json!([
        {"op": "set", "node": "web", "key": "k", "value": "m"},
        {"op": "set", "node": "web", "key": "j", "value": {"a": 1}},
        {"op": "set", "counter": "c", "value": 5},
    ]);
    done(&member, ops).await;
    let check = async |test: Value, expected: bool| {
        assert_eq!(holds(&member, json!([test])).await, expected, "{test}");
    };
    let octets = json!({"node": "web", "key": "k", "value": {"$base64": "bQ=="}});
    check(octets, true).await;
    check(json!({"node": "web", "key": "j", "value": {"a": 1}}), true).await;
    check(json!({"node": "web", "key": "j", "value": {"a": 2}}), false).await;
    for (subject, is_there) in [
        (json!({"node": "web", "key": "k"}), true),
        (json!({"node": "web", "key": "none"}), false),
        (json!({"node": "none", "key": "k"}), false),
        (json!({"node": "web"}), true),
        (json!({"node": "none"}), false),
        (json!({"counter": "c"}), true),
        (json!({"counter": "none"}), false),
    ] {
        for exists in [true, false] {
            let mut test = subject.clone();
            test["exists"] = exists.into();
            check(test, exists == is_there).await;
        }
    }
    check(json!({"lock": "l", "held": false}), true).await;
    check(json!({"lock": "l", "held": true}), false).await;
    check(json!({"lock": "l", "token": 1}), false).await;
    assert!(holds(&member, json!([])).await);
    let two = json!([{"counter": "c", "value": 5}, {"counter": "c", "value": 6}]);
    assert!(!holds(&member, two).await, "all must hold");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_list_or_the_other_is_done_and_all_of_it_or_nothing() {
    let member = strong_member().await;
    let swap = json!({
        "if": [{"node": "web", "key": "k", "exists": false}],
        "then": [{"op": "set", "node": "web", "key": "k", "value": "first"}],
        "else": [{"op": "get", "node": "web", "key": "k"}],
    });
    let first = txn(&member, &swap).await.json();
    assert_eq!(
        (&first["held"], &first["results"][0]["created"]),
        (&json!(true), &json!(true))
    );
    let second = txn(&member, &swap).await.json();
    assert_eq!(
        (&second["held"], &second["results"][0]["value"]),
        (&json!(false), &json!("first"))
    );

    let broken = json!({"then": [
        {"op": "set", "node": "web", "key": "k", "value": "second"},
        {"op": "add", "counter": "c", "by": 1},
        {"op": "append", "log": "l", "entry": 1},
        {"op": "delete", "node": "web", "key": "none"},
    ]});
    let refused = txn(&member, &broken).await;
    refused.is_problem(404, "key-not-found");
    assert!(refused.text().contains("operation 3"), "{}", refused.text());
    assert_eq!(member.get("/v1/store/web/k").await.text(), "first");
    member.get("/v1/counters/c").await.is(404);
    let over = json!({"then": [
        {"op": "set", "counter": "c", "value": i64::MAX},
        {"op": "add", "counter": "c", "by": 1},
    ]});
    txn(&member, &over)
        .await
        .is_problem(409, "counter-overflow");
    member.get("/v1/counters/c").await.is(404);
    assert_eq!(
        txn(&member, &json!({})).await.json(),
        json!({"held": true, "results": []})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_moves_between_counters_and_none_is_lost() {
    let member = strong_member().await;
    let start = json!([
        {"op": "set", "counter": "a", "value": 20}, {"op": "set", "counter": "b", "value": 0}
    ]);
    done(&member, start).await;
    let movement = json!({
        "if": [{"counter": "a", "value": 1, "is": ">="}],
        "then": [
            {"op": "add", "counter": "a", "by": -1},
            {"op": "add", "counter": "b", "by": 1},
            {"op": "append", "log": "moved", "entry": {"by": 1}},
        ],
    });
    let all = (0..40).map(|_| txn(&member, &movement));
    let answers = futures_util::future::join_all(all).await;
    let held = answers
        .iter()
        .filter(|answer| answer.json()["held"] == true);
    assert_eq!(held.count(), 20);
    let rest = json!([{"op": "get", "counter": "a"}, {"op": "get", "counter": "b"}]);
    assert_eq!(
        done(&member, rest).await,
        json!([{"value": 0}, {"value": 20}])
    );
}

/// What is no operation, with what is told of it.
const OPS: &[(&str, &str)] = &[
    ("{}", r#"then[0]: "op""#),
    ("5", "then[0] is no object"),
    (
        r#"{"op":"set"}"#,
        "then[0]: \"node\", \"counter\" or \"log\"",
    ),
    (r#"{"op":"set","node":"n"}"#, r#""key": is missing"#),
    (
        r#"{"op":"set","node":"n","key":"k"}"#,
        r#""value": is missing"#,
    ),
    (
        r#"{"op":"set","node":"n","key":"k","value":null}"#,
        r#""value": is null"#,
    ),
    (
        r#"{"op":"set","node":"n","key":"k","value":"\ud800"}"#,
        "surrogate",
    ),
    (
        r#"{"op":"set","node":"n","key":"k","value":{"$base64":"!"}}"#,
        "base64",
    ),
    (
        r#"{"op":"set","node":"n","key":"k","value":1,"value":2}"#,
        "comes twice",
    ),
    (
        r#"{"op":"set","node":"n","key":"k","value":1,"more":2}"#,
        r#""more""#,
    ),
    (
        r#"{"op":"set","node":"n","key":"k","value":1,"ttl":5}"#,
        r#""ttl""#,
    ),
    (
        r#"{"op":"set","node":"n","key":"k","value":1,"ttl":"soon"}"#,
        r#""ttl""#,
    ),
    (
        r#"{"op":"set","node":"n","key":"k","value":1,"content_type":"x"}"#,
        "content_type",
    ),
    (
        r#"{"op":"set","node":"n","key":"k","value":1,"content_type":"a/b;\n"}"#,
        "content_type",
    ),
    (
        r#"{"op":"get","node":"n","key":"k","value":1}"#,
        r#""value": has no meaning"#,
    ),
    (r#"{"op":"get","node":"n"}"#, r#""key": is missing"#),
    (
        r#"{"op":"get","node":"n","key":"k","counter":"c"}"#,
        r#""counter": has no meaning"#,
    ),
    (r#"{"op":"add","node":"n"}"#, r#""op": of a node"#),
    (
        r#"{"op":"make","node":"n","key":"k"}"#,
        r#""key": has no meaning"#,
    ),
    (r#"{"op":"patch","node":"n","keys":[]}"#, r#""keys""#),
    (
        r#"{"op":"patch","node":"n","keys":{"a":1,"a":2}}"#,
        "comes twice",
    ),
    (
        r#"{"op":"replace","node":"n","keys":{"a":null}}"#,
        r#""a": is null"#,
    ),
    (r#"{"op":"add","counter":"c"}"#, r#""by": is missing"#),
    (r#"{"op":"add","counter":"c","by":1.5}"#, r#""by""#),
    (r#"{"op":"add","counter":"c","by":"1"}"#, r#""by""#),
    (
        r#"{"op":"set","counter":"c","value":9223372036854775808}"#,
        r#""value""#,
    ),
    (
        r#"{"op":"append","counter":"c","entry":1}"#,
        r#""op": of a counter"#,
    ),
    (r#"{"op":"append","log":"l"}"#, r#""entry": is missing"#),
    (r#"{"op":"trim","log":"l","before":-1}"#, r#""before""#),
    (r#"{"op":"acquire","lock":"l"}"#, "then[0]"),
    (r#"{"op":"SET","node":"n","key":"k","value":1}"#, r#""op""#),
];

/// What is no test, with what is told of it.
const TESTS: &[(&str, &str)] = &[
    ("{}", "if[0]"),
    (r#"{"node":"n"}"#, r#""version": is missing"#),
    (r#"{"node":"n","key":"k"}"#, r#""value": is missing"#),
    (r#"{"node":"n","key":"k","exists":1}"#, r#""exists""#),
    (
        r#"{"node":"n","key":"k","exists":true,"is":"="}"#,
        r#""is": has no meaning"#,
    ),
    (
        r#"{"node":"n","key":"k","exists":true,"version":1}"#,
        r#""version": has no meaning"#,
    ),
    (r#"{"node":"n","key":"k","version":-1}"#, r#""version""#),
    (r#"{"node":"n","key":"k","version":1,"is":"=="}"#, r#""is""#),
    (
        r#"{"node":"n","key":"k","version":1,"value":"x"}"#,
        r#""value": has no meaning"#,
    ),
    (
        r#"{"node":"n","key":"k","value":null}"#,
        r#""value": is null"#,
    ),
    (r#"{"counter":"c","value":"5"}"#, r#""value""#),
    (r#"{"lock":"l"}"#, r#""token": is missing"#),
    (r#"{"log":"l","value":1}"#, "if[0]"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_transaction_is_refused_with_its_place() {
    let member = strong_member().await;
    let check = async |body: &str, place: &str| {
        let refused = member.ask("POST", "/v1/txn", &[], body.to_owned()).await;
        refused.is_problem(400, "invalid-body");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(place), "{body}: {detail}");
    };
    for body in [
        "",
        "[]",
        "5",
        "null",
        "{",
        "{\"then\":[]",
        "\u{feff}{}",
        "{}x",
    ] {
        check(body, "the transaction").await;
    }
    check(r#"{"then":[],"then":[]}"#, "comes twice").await;
    check(r#"{"or":[]}"#, r#""or": has no meaning here"#).await;
    for body in ["{}", "null", "5"] {
        check(&format!(r#"{{"if":{body}}}"#), r#""if""#).await;
    }
    for (op, place) in OPS {
        check(&format!(r#"{{"then":[{op}]}}"#), place).await;
        check(
            &format!(r#"{{"else":[{op}]}}"#),
            &place.replace("then", "else"),
        )
        .await;
    }
    for (test, place) in TESTS {
        check(&format!(r#"{{"if":[{test}]}}"#), place).await;
    }
    for name in [
        r#""""#,
        r#""a/b""#,
        r#""..""#,
        r#""a\nb""#,
        &format!("\"{}\"", "x".repeat(256)),
    ] {
        let body = format!(r#"{{"then":[{{"op":"make","node":{name}}}]}}"#);
        let refused = member.ask("POST", "/v1/txn", &[], body).await;
        refused.is_problem(400, "invalid-name");
    }
    let query = member.ask("POST", "/v1/txn?ack=1", &[], "{}").await;
    query.is_problem(400, "invalid-query");
    let typ: Headers<'_> = &[("content-type", "text/plain")];
    let refused = member.ask("POST", "/v1/txn", typ, "{}").await;
    refused.is_problem(415, "unsupported-media-type");
    assert_eq!(
        member.get("/v1/store").await.text(),
        "{}",
        "nothing was written"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_operations_as_there_may_be_and_no_more() {
    let member = strong_member().await;
    let ops = |count: usize| {
        let op = |number| json!({"op": "set", "node": "n", "key": format!("{number}"), "value": 1});
        (0..count).map(op).collect::<Value>()
    };
    let results = done(&member, ops(1_000)).await;
    assert_eq!(results.as_array().unwrap().len(), 1_000);
    assert_eq!(member.get("/v1/nodes/n").await.json()["keys"], 1_000);
    for name in ["if", "then", "else"] {
        let many = txn(&member, &json!({ name: ops(1_001) })).await;
        many.is_problem(422, "over-limit");
        assert!(many.text().contains("1001"), "{}", many.text());
    }
    let many = format!(r#"{{"then":[{}1]}}"#, "1,".repeat(2_000_000));
    let many = member.ask("POST", "/v1/txn", &[], many).await;
    many.is_problem(422, "over-limit");
    let full = "x".repeat(1 << 20);
    let set = |key: &str| json!({"op": "set", "node": "n", "key": key, "value": full});
    done(&member, json!([set("a"), set("b"), set("c"), set("d")])).await;
    let get = |key: &str| json!({"op": "get", "node": "n", "key": key});
    let read = done(&member, json!([get("a"), get("b"), get("c"), get("d")])).await;
    assert_eq!(read[3]["value"].as_str().unwrap().len(), 1 << 20);
    let more = json!({"then": [get("a"), get("b"), get("c"), get("d"), get("0")]});
    txn(&member, &more).await.is_problem(422, "over-limit");
    let over = json!({"op": "set", "node": "n", "key": "a", "value": format!("{full}x")});
    txn(&member, &json!({ "then": [over] }))
        .await
        .is_problem(413, "value-too-large");
    let large: Vec<Value> = (0..9).map(|number| set(&format!("k{number}"))).collect();
    txn(&member, &json!({ "then": large }))
        .await
        .is_problem(422, "over-limit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_fences_and_classes_hold_for_the_whole_transaction() {
    let member = strong_member().await;
    let add = json!({"then": [{"op": "add", "counter": "c", "by": 1}]}).to_string();
    let once: Headers<'_> = &[("idempotency-key", "k")];
    for _ in 0..3 {
        let answer = member
            .ask("POST", "/v1/txn?timeout=5s", once, add.clone())
            .await;
        assert_eq!(answer.json()["results"], json!([{"value": 1}]));
    }
    let other = json!({"then": []}).to_string();
    let reused = member.ask("POST", "/v1/txn", once, other).await;
    reused.is_problem(422, "idempotency-key-reused");
    let fenced: Headers<'_> = &[("if-fence", "deploy=1")];
    let stale = member.ask("POST", "/v1/txn", fenced, add).await;
    stale.is_problem(412, "stale-fence");
    assert_eq!(member.get("/v1/counters/c").await.json()["value"], 1);

    member.put("/v1/store/eventual/k", "1").await.is(201);
    for op in [
        json!({"op": "set", "node": "eventual", "key": "k", "value": "x"}),
        json!({"op": "make", "node": "eventual"}),
        json!({"op": "replace", "node": "eventual", "keys": {}}),
        json!({"op": "patch", "node": "eventual", "keys": {}}),
    ] {
        for list in ["then", "else"] {
            let refused = txn(&member, &json!({ list: [op] })).await;
            refused.is_problem(409, "class-conflict");
        }
    }
    assert_eq!(
        member.get("/v1/nodes/eventual").await.json()["class"],
        "eventual"
    );
    let reads = json!([{"op": "get", "node": "eventual", "key": "k"}]);
    assert_eq!(done(&member, reads).await, json!([{"value": null}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_set_with_a_time_to_live_goes() {
    let member = strong_member().await;
    member.put("/v1/nodes/n", STRONG).await.is(201);
    let set = json!([{"op": "set", "node": "n", "key": "k", "value": "x", "ttl": "200ms"}]);
    done(&member, set).await;
    while member.get("/v1/store/n/k").await.status == 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    member
        .get("/v1/store/n/k")
        .await
        .is_problem(404, "key-not-found");
}

#[tokio::test]
async fn without_a_strong_side_there_are_none() {
    let refused = txn(&member(), &json!({})).await;
    refused.is_problem(503, "strong-side-off");
}
