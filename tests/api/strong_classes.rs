//! Which class a node has: on one member, on one without a majority, on three.

use std::sync::Arc;
use std::time::Duration;

use gaggle::app::Strong;
use gaggle::model::MemberId;
use gaggle::strong::engine::{MemoryDisk, Plan};

use crate::member::{Headers, Member, member, member_beside, strong_member};
use crate::net::Net;

const STRONG: &str = r#"{"class":"strong"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_keeps_its_class() {
    let member = strong_member().await;
    member.put("/v1/store/eventual/k", "1").await.is(201);
    member.put("/v1/nodes/strong", STRONG).await.is(201);
    member.put("/v1/nodes/strong", STRONG).await.is(204);
    for method in ["PUT", "PATCH"] {
        let change = member.ask(method, "/v1/nodes/eventual", &[], STRONG).await;
        change.is_problem(409, "class-conflict");
        assert!(change.text().contains("copy the values"));
        for body in [r#"{"class":"eventual"}"#, r#"{"class":null}"#] {
            let change = member.ask(method, "/v1/nodes/strong", &[], body).await;
            change.is_problem(409, "class-conflict");
        }
        for body in ["{}", STRONG, r#"{"description":"","history":1}"#] {
            member
                .ask(method, "/v1/nodes/strong", &[], body)
                .await
                .is(204);
        }
        for body in [
            r#"{"description":"x"}"#,
            r#"{"class":"strong","history":3}"#,
        ] {
            let refused = member.ask(method, "/v1/nodes/strong", &[], body).await;
            refused.is_problem(400, "invalid-body");
        }
        let odd = member
            .ask(method, "/v1/nodes/strong", &[], r#"{"class":"weak"}"#)
            .await;
        odd.is_problem(400, "invalid-body");
    }
    let missing = member.ask("PATCH", "/v1/nodes/none", &[], STRONG).await;
    missing.is_problem(404, "node-not-found");
    let only_new: Headers<'_> = &[("if-none-match", "*")];
    member
        .ask("PUT", "/v1/nodes/strong", only_new, STRONG)
        .await
        .is(412);
    assert_eq!(
        member.get("/v1/nodes/eventual").await.json()["class"],
        "eventual"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_class_can_be_named() {
    let member = strong_member().await;
    member.put("/v1/nodes/s", STRONG).await.is(201);
    member.put("/v1/store/e/k", "1").await.is(201);
    member.put("/v1/store/s/k?class=strong", "1").await.is(201);
    member
        .put("/v1/store/e/k?class=eventual&ack=1", "2")
        .await
        .is(204);
    let second = member.put("/v1/store/s/k?class=eventual", "x").await;
    second.is_problem(409, "class-conflict");
    let none = member.put("/v1/store/n/k?class=strong", "x").await;
    none.is_problem(404, "node-not-found");
    assert!(none.text().contains("/v1/nodes/{node}"));
    member
        .get("/v1/store/e/k?class=strong")
        .await
        .is_problem(404, "node-not-found");
    member
        .get("/v1/store/s/k?class=eventual")
        .await
        .is_problem(404, "node-not-found");
    member
        .delete("/v1/store/e?class=strong")
        .await
        .is_problem(404, "node-not-found");
    member
        .delete("/v1/store/s?class=eventual")
        .await
        .is_problem(404, "node-not-found");
    let linear = member.get("/v1/store/e/k?consistency=linearizable").await;
    linear.is_problem(400, "invalid-query");
    assert_eq!(
        member
            .get("/v1/store/e/k?consistency=stale&timeout=1s")
            .await
            .text(),
        "2"
    );
    assert_eq!(member.get("/v1/store/s/k?class=strong").await.text(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promises_of_the_strong_side_are_not_asked_of_an_eventual_node_in_vain() {
    let member = strong_member().await;
    member.put("/v1/store/e/k", "1").await.is(201);
    for header in [("if-fence", "deploy=1"), ("idempotency-key", "k")] {
        for (method, path, body) in [
            ("PUT", "/v1/store/e/k", "x"),
            ("PUT", "/v1/store/new/k", "x"),
            ("PATCH", "/v1/store/e", "{}"),
            ("DELETE", "/v1/store/e/k", ""),
            ("PUT", "/v1/nodes/e", "{}"),
        ] {
            let refused = member.ask(method, path, &[header], body).await;
            refused.is_problem(400, "invalid-header");
        }
    }
    assert_eq!(member.get("/v1/store/e/k").await.text(), "1");
    member.get("/v1/store/new/k").await.is(404);
}

#[tokio::test]
async fn without_a_strong_side_all_is_as_it_was() {
    let member = member();
    member
        .put("/v1/nodes/s", STRONG)
        .await
        .is_problem(503, "strong-side-off");
    let patch = member.ask("PATCH", "/v1/nodes/s", &[], STRONG).await;
    patch.is_problem(503, "strong-side-off");
    member
        .get("/v1/store/s/k")
        .await
        .is_problem(404, "node-not-found");
    member
        .get("/v1/store/s/k?class=strong")
        .await
        .is_problem(503, "strong-side-off");
    member
        .put("/v1/store/s/k?class=strong", "x")
        .await
        .is_problem(503, "strong-side-off");
    member
        .put("/v1/store/s/k?class=eventual", "x")
        .await
        .is(201);
    assert_eq!(
        member.get("/v1/store/s/k").await.header("gaggle-age-ms"),
        ""
    );
}

/// Lets something be done, but not for longer than that.
pub(crate) async fn within<T>(seconds: u64, what: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(seconds);
    tokio::time::timeout(limit, what).await.unwrap()
}

/// Three members of one group; their eventual sides do not know of each other.
pub(crate) struct Three {
    pub(crate) net: Net,
    pub(crate) members: Vec<Member>,
    pub(crate) disks: Vec<Arc<MemoryDisk>>,
}

impl Three {
    pub(crate) async fn start() -> Self {
        let net = Net::default();
        let (mut members, mut disks) = (Vec::new(), Vec::new());
        for number in 1..=3 {
            let disk = Arc::new(MemoryDisk::new());
            disks.push(disk.clone());
            let engine = net.start(number, Plan::Size(3), disk).await.engine;
            members.push(member_beside(
                MemberId::from_u64(number),
                Strong::on(engine),
            ));
        }
        within(30, async {
            let make = "/v1/nodes/first?timeout=5s";
            while members[0].put(make, STRONG).await.status != 201 {}
        })
        .await;
        Self {
            net,
            members,
            disks,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_made_strong_on_one_member_is_strong_on_the_others_at_once() {
    let three = Three::start().await;
    let [one, two, three] = &three.members[..] else {
        panic!("there are three");
    };
    for round in 0..20 {
        let (node, key) = (
            format!("/v1/nodes/n{round}"),
            format!("/v1/store/n{round}/k"),
        );
        one.put(&node, STRONG).await.is(201);
        let listed = one.get("/v1/store").await.json();
        assert!(listed.get(format!("n{round}")).is_some(), "{listed}");
        two.get(&key).await.is_problem(404, "key-not-found");
        three.put(&key, "x").await.is(201);
        let store = format!("/v1/store/n{round}");
        assert_eq!(two.get(&store).await.text(), r#"{"k":"x"}"#);
        for member in [one, two, three] {
            let name = format!("n{round}");
            assert!(
                member.app.view().store.node(&name).is_none(),
                "{name} is eventual too"
            );
        }
        two.delete(&store).await.is(204);
        for member in [one, two, three] {
            member.get(&key).await.is_problem(404, "node-not-found");
        }
        one.put(&key, "x").await.is(201);
        assert!(one.app.view().store.node(&format!("n{round}")).is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_eventual_writes_go_on_and_nothing_is_denied_that_may_be_there() {
    let three = Three::start().await;
    let member = &three.members[2];
    member.put("/v1/store/old/k", "1").await.is(201);
    three.net.cut(&[3]);
    within(10, async {
        let write = "/v1/store/first/k?timeout=300ms";
        while member.put(write, "x").await.code() != "no-quorum" {}
    })
    .await;
    member.put("/v1/store/old/k", "2").await.is(204);
    assert_eq!(member.get("/v1/store/old/k").await.text(), "2");
    member
        .get("/v1/store/old/none")
        .await
        .is_problem(404, "key-not-found");
    member.put("/v1/store/new/k", "3").await.is(201);
    within(2, async {
        for number in 0..20 {
            let path = format!("/v1/store/new{number}/k");
            member.put(&path, "new nodes wait for nobody").await.is(201);
        }
    })
    .await;
    let denied = member.get("/v1/store/none/k?timeout=300ms").await;
    denied.is_problem(503, "no-quorum");
    assert!(denied.text().contains("class=eventual"));
    let denied = member.delete("/v1/store/none?timeout=300ms").await;
    denied.is_problem(503, "no-quorum");
    member.get("/v1/store/none/k?class=eventual").await.is(404);
    member
        .get("/v1/store/none/k?consistency=stale")
        .await
        .is(404);
    member
        .get("/v1/store/first/k?timeout=300ms")
        .await
        .is_problem(503, "no-quorum");
    let stale = member.get("/v1/store/first?consistency=stale").await;
    assert_eq!(stale.is(200).text(), "{}");
    let age: u64 = stale.header("gaggle-age-ms").parse().unwrap();
    assert!(age > 0, "{age}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_with_one_name_the_strong_one_is_shown_and_the_other_reported() {
    let three = Three::start().await;
    let (one, cut) = (&three.members[0], &three.members[2]);
    three.net.cut(&[3]);
    // The leader may be the one that is cut off: the key lets the write be tried again.
    let again: Headers<'_> = &[("idempotency-key", "a")];
    let made = one.ask("PUT", "/v1/nodes/twin", again, STRONG).await;
    made.is(201);
    let again: Headers<'_> = &[("idempotency-key", "b")];
    let made = one.ask("PUT", "/v1/store/twin/k", again, "strong").await;
    made.is(201);
    cut.put("/v1/store/twin/k", "eventual").await.is(201);
    assert_eq!(cut.get("/v1/store/twin/k").await.text(), "eventual");
    three.net.heal();
    within(20, async {
        while cut.get("/v1/store/twin/k").await.text() != "strong" {}
    })
    .await;
    let shown = cut.get("/v1/nodes/twin").await.json();
    assert_eq!(
        (&shown["class"], &shown["keys"]),
        (&"strong".into(), &1.into())
    );
    assert_eq!(
        shown["hides"],
        serde_json::json!({"class": "eventual", "keys": 1})
    );
    assert_eq!(cut.get("/v1/nodes").await.json()["nodes"][1], shown);
    let store = cut.get("/v1/store").await;
    assert_eq!(store.text(), r#"{"first":{},"twin":{"k":"strong"}}"#);
    let hidden = cut.get("/v1/store/twin?class=eventual").await;
    assert_eq!(hidden.text(), r#"{"k":"eventual"}"#);
    let write = cut.put("/v1/store/twin/k?class=eventual", "x").await;
    write.is_problem(409, "class-conflict");
    cut.delete("/v1/store/twin?class=eventual").await.is(204);
    let shown = cut.get("/v1/nodes/twin").await.json();
    assert_eq!(shown.get("hides"), None);
    assert_eq!(cut.get("/v1/store/twin/k").await.text(), "strong");
}
