//! Each rule finds the violation that is planted for it, and lets its innocent neighbour pass.

use super::rules::{
    COLUMNS, LINES, MAIN_LINES, Rule, a_file_has_a_bounded_length,
    a_file_is_named_after_what_is_in_it, a_file_opens_with_its_purpose, a_line_fits_its_width,
    a_look_is_not_held, nothing_is_left_for_later, pure_rooms_are_pure,
    rooms_name_only_rooms_that_they_may,
};

fn finds(rule: Rule, place: &str, text: &str, expected: usize) {
    let found = rule(place, text);
    assert_eq!(found.len(), expected, "{place}: {text:?} gave {found:?}");
}

#[test]
fn a_room_that_names_a_room_below_it_is_found() {
    let rule = rooms_name_only_rooms_that_they_may;
    let planted = [
        ("src/model/store.rs", "use crate::io::clock;"),
        ("src/model/store.rs", "use crate::{io, model::Stamp};"),
        (
            "src/model/a/b.rs",
            "fn f() { super::super::io::clock::wall() }",
        ),
        (
            "src/config.rs",
            "use crate::{model::X, protocol::{beacon, push}};",
        ),
        (
            "src/io/disk/mod.rs",
            "fn f() { let x = crate::app::Handle::new(); }",
        ),
        ("src/app/mod.rs", "use crate::api;"),
        ("src/api/v1/store.rs", "use crate::daemon::Daemon;"),
        ("src/daemon/mod.rs", "use crate::cli;"),
        ("src/main.rs", "use gaggle::daemon;"),
    ];
    for (place, text) in planted {
        let found = rule(place, text);
        assert!(!found.is_empty(), "{place}: {text}");
    }
}

#[test]
fn a_room_may_name_itself_and_the_rooms_above_it() {
    let rule = rooms_name_only_rooms_that_they_may;
    finds(
        rule,
        "src/model/store.rs",
        "use crate::model::Stamp; use super::name;",
        0,
    );
    finds(
        rule,
        "src/io/disk.rs",
        "use crate::{config::Config, model, protocol::Mono};",
        0,
    );
    finds(
        rule,
        "src/cli/serve.rs",
        "use crate::daemon; use crate::api::problem;",
        0,
    );
    finds(rule, "src/main.rs", "gaggle::cli::run(x)", 0);
    finds(rule, "src/lib.rs", "pub mod api; use crate::cli::run;", 0);
    finds(
        rule,
        "src/model/a.rs",
        "//! See crate::io.\nlet x = \"crate::io\"; // crate::app",
        0,
    );
}

#[test]
fn impurity_in_a_pure_room_is_found() {
    let planted = [
        "async fn f() {}",
        "use tokio::time;",
        "use std::{collections::BTreeMap, fs};",
        "use std::net::{SocketAddr, UdpSocket};",
        "let t = std::time::Instant::now();",
        "use std::time::{Duration, SystemTime};",
        "let x = rand::random::<u64>();",
        "getrandom::fill(&mut x);",
    ];
    for text in planted {
        for place in [
            "src/model/x.rs",
            "src/protocol/push.rs",
            "src/strong/state.rs",
        ] {
            finds(pure_rooms_are_pure, place, text, 1);
        }
        finds(pure_rooms_are_pure, "src/io/x.rs", text, 0);
        finds(pure_rooms_are_pure, "src/strong/engine/store.rs", text, 0);
    }
}

#[test]
fn what_only_looks_impure_is_let_pass() {
    let innocent = [
        "use std::net::SocketAddr; use std::time::Duration;",
        "// async tokio std::fs\n/* Instant */ let x = \"SystemTime\";",
        "let x = r#\"std::fs \"# ; let c = '\"'; let asynchronous = 1;",
        "let rng = rand::rngs::StdRng::seed_from_u64(seed);",
    ];
    for text in innocent {
        finds(pure_rooms_are_pure, "src/protocol/x.rs", text, 0);
    }
    // A string must not swallow the code behind it.
    finds(
        pure_rooms_are_pure,
        "src/model/x.rs",
        "let a = \"\\\"\"; use std::fs;",
        1,
    );
    finds(
        pure_rooms_are_pure,
        "src/model/x.rs",
        "let a: &'static str; use std::fs;",
        1,
    );
    finds(
        pure_rooms_are_pure,
        "src/model/x.rs",
        "let a = '\\''; use std::fs;",
        1,
    );
}

#[test]
fn a_file_without_a_purpose_is_found() {
    finds(
        a_file_opens_with_its_purpose,
        "src/x.rs",
        "use std::fmt;\n",
        1,
    );
    finds(a_file_opens_with_its_purpose, "src/x.rs", "//!\n", 1);
    finds(a_file_opens_with_its_purpose, "src/x.rs", "", 1);
    finds(
        a_file_opens_with_its_purpose,
        "src/x.rs",
        "//! What this file is for.\n",
        0,
    );
}

#[test]
fn a_file_or_line_beyond_its_size_is_found() {
    let lines = |count: usize| "x\n".repeat(count);
    finds(a_file_has_a_bounded_length, "src/x.rs", &lines(LINES), 0);
    finds(
        a_file_has_a_bounded_length,
        "src/x.rs",
        &lines(LINES + 1),
        1,
    );
    finds(
        a_file_has_a_bounded_length,
        "src/main.rs",
        &lines(MAIN_LINES + 1),
        1,
    );
    finds(a_line_fits_its_width, "src/x.rs", &"ü".repeat(COLUMNS), 0);
    finds(
        a_line_fits_its_width,
        "src/x.rs",
        &"x".repeat(COLUMNS + 1),
        1,
    );
}

#[test]
fn work_left_for_later_is_found() {
    let rule = nothing_is_left_for_later;
    finds(rule, "tests/x.rs", concat!("#[ig", "nore]"), 1);
    finds(rule, "tests/x.rs", concat!("#[ig", "nore = \"slow\"]"), 1);
    finds(rule, "src/x.rs", concat!("// TO", "DO: more"), 1);
    finds(rule, "src/x.rs", concat!("// FIX", "ME"), 1);
    finds(rule, "src/x.rs", concat!("fn f() { to", "do!() }"), 1);
    finds(rule, "src/x.rs", "fn ignored() {}", 0);
}

#[test]
fn a_look_that_is_held_is_found() {
    let rule = a_look_is_not_held;
    finds(rule, "src/x.rs", "    let seen = self.0.seen.borrow();", 1);
    finds(rule, "src/x.rs", "match &*self.now.borrow() {", 1);
    finds(
        rule,
        "src/x.rs",
        "let seen = self.seen.borrow().clone();",
        0,
    );
    finds(rule, "tests/x.rs", "let seen = self.0.seen.borrow();", 0);
}

#[test]
fn a_name_that_says_nothing_is_found() {
    finds(
        a_file_is_named_after_what_is_in_it,
        "src/api/utils.rs",
        "",
        1,
    );
    finds(
        a_file_is_named_after_what_is_in_it,
        "src/common/mod.rs",
        "",
        1,
    );
    finds(
        a_file_is_named_after_what_is_in_it,
        "src/api/problem.rs",
        "",
        0,
    );
}
