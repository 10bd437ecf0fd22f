//! What a gossipcar answered, request by request; with the statuses of its README where it did not
//! keep to them.

use crate::client::{Line, ask, car};

#[test]
fn what_a_gossipcar_answered_is_answered() {
    let member = car(&[]);
    let mut line = Line::to(&member);
    let mut check = |request: &str, body: &str, status: u16, answer: Option<&str>| {
        let (method, target) = request.split_once(' ').unwrap();
        let got = line.ask(method, target, body.as_bytes());
        got.is(status);
        if let Some(answer) = answer {
            assert_eq!(got.text(), answer, "{request}");
        }
    };
    check("GET /map?k=a", "", 404, None);
    check("PUT /map?k=a", "one", 201, Some(""));
    check("PUT /map?k=a", "two", 204, Some(""));
    check("GET /map?k=a", "", 200, Some("a=two\n"));
    check("PUT /map?k=b", "2", 201, Some(""));
    check("GET /map?k=b&k=none&k=a", "", 200, Some("b=2\na=two\n"));
    check("GET /map?k=none&k=gone", "", 404, None);
    check("PUT /map", "x", 422, None);
    check("PUT /map?", "x", 422, None);
    check("PUT /map?k=c&x=1", "x", 422, None);
    check("PUT /map?j=1", "x", 422, None);
    check("GET /map?k=c&k=x&k=j", "", 404, None);
    check("PUT /map?k=d&k=e", "first wins", 201, Some(""));
    check("GET /map?k=d&k=e", "", 200, Some("d=first wins\n"));
    check("GET /map", "", 422, None);
    check("GET /map?j=a", "", 422, None);
    check("POST /map?k=a", "x", 405, None);
    check("GET /", "", 404, None);
    check("GET /mapx?k=a", "", 404, None);
    check("PUT /other", "x", 404, None);
}

#[test]
fn what_it_could_not_do_is_done() {
    let member = car(&[]);
    let mut line = Line::to(&member);
    line.ask("PUT", "/map?k=a", b"1").is(201);
    let gone = line.ask("DELETE", "/map?k=a", b"");
    assert_eq!((gone.status, gone.header("content-length")), (204, ""));
    line.ask("DELETE", "/map?k=a", b"").is(404);
    line.ask("GET", "/map?k=a", b"").is(404);
    line.ask("DELETE", "/map", b"").is(422);
    line.ask("DELETE", "/map?k=a&k=b", b"").is(422);
    line.ask("PUT", "/map?k=a", b"again").is(201);
    let head = line.ask("HEAD", "/map?k=a", b"");
    assert_eq!((head.status, head.header("content-length")), (200, "8"));
    let head = line.ask("HEAD", "/map/a", b"");
    assert_eq!((head.status, head.header("content-length")), (200, "5"));
    line.ask("HEAD", "/map/none", b"").is(404);
}

#[test]
fn headers_say_what_clients_go_by() {
    let member = car(&[]);
    let mut line = Line::to(&member);
    let created = line.ask("PUT", "/map?k=a%2Fb+c", b"1");
    created.is(201);
    assert_eq!(created.header("content-length"), "0");
    assert_eq!(created.header("location"), "/map/a%2Fb%20c");
    let found = line.ask("GET", "/map?k=a%2Fb+c", b"");
    assert_eq!(found.header("content-type"), "application/octet-stream");
    assert_eq!(found.text(), "a/b c=1\n");
    line.ask("GET", "/map/a%2Fb%20c", b"").is(200);
    line.ask("GET", "/map/a/b%20c", b"").is(200);
    for (method, target, allow) in [
        ("POST", "/map", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("PATCH", "/map?k=a", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("PUT", "/map/a", "GET, HEAD, OPTIONS"),
        ("DELETE", "/stats", "GET, HEAD, OPTIONS"),
    ] {
        let refused = line.ask(method, target, b"");
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, allow),
            "{method} {target}"
        );
        let options = line.ask("OPTIONS", target, b"");
        assert_eq!(
            (options.status, options.header("allow")),
            (204, allow),
            "{target}"
        );
    }
    let problem = line.ask("PUT", "/map", b"");
    assert_eq!(problem.header("content-type"), "application/problem+json");
    let problem: serde_json::Value = serde_json::from_slice(&problem.body).unwrap();
    assert_eq!(problem["code"], "key-needed");
    assert_eq!(problem["status"], 422);
}

#[test]
fn stats_are_lines_of_numbers_that_grow() {
    let member = car(&[]);
    let before = stats(&member);
    let names: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "upTimeSecs",
        "upSince",
        "nOutSyncs",
        "nInSyncs",
        "nBadHttpReqs",
        "nGoodHttpReqs",
    ];
    assert_eq!(names, expected);
    let value = |stats: &[(String, String)], name: &str| {
        let found = stats.iter().find(|(known, _)| known == name);
        found.unwrap().1.clone()
    };
    for name in expected.into_iter().filter(|name| *name != "upSince") {
        assert!(value(&before, name).parse::<u64>().is_ok(), "{name}");
    }
    assert!(value(&before, "upSince").starts_with("20"), "{before:?}");
    assert_eq!(value(&before, "nGoodHttpReqs"), "0");
    ask(&member, "PUT", "/map?k=a", b"1").is(201);
    ask(&member, "GET", "/map?k=b", b"").is(404);
    ask(&member, "GET", "/map", b"").is(422);
    let after = stats(&member);
    assert_eq!(
        value(&after, "nGoodHttpReqs"),
        "2",
        "the first stats and the PUT"
    );
    assert_eq!(value(&after, "nBadHttpReqs"), "2");
    assert_eq!(value(&after, "nOutSyncs"), "0", "it is alone");
}

fn stats(member: &crate::harness::Member) -> Vec<(String, String)> {
    let answer = ask(member, "GET", "/stats", b"");
    answer.is(200);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    let lines = answer.text().lines();
    let pairs = lines.map(|line| line.split_once('=').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
