//! What a person sees: commands in values are shown, colours are used, a whole node is asked for.
//!
//! `script` (of Debian's essential bsdutils) gives the program a terminal.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::harness::{Member, Ran};

/// Runs a command line of the shell on a terminal, on the member's host; `typed` is typed.
fn on_terminal(member: &Member, line: &str, typed: &str) -> Ran {
    let program = member.program();
    let line = line.replace("gaggle", &program.get_program().to_string_lossy());
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("GAGGLE_DATA", member.data())
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .current_dir(member.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script runs");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(typed.as_bytes()).expect("script reads");
    let output = child.wait_with_output();
    drop(stdin);
    Ran::of(output.expect("script ends"))
}

#[test]
fn a_value_cannot_command_the_terminal() {
    let member = Member::start();
    let ran = member.run_with_stdin(["set", "web", "evil", "-"], b"\x1b[31mred\x07\nline");
    assert_eq!(ran.code, 0, "{ran:?}");
    let seen = on_terminal(&member, "gaggle get web evil", "").text();
    assert_eq!(seen, "\\x1b[31mred\\x07\r\nline\r\n");
    let seen = on_terminal(&member, "NO_COLOR=1 gaggle get web", "").text();
    assert!(
        seen.contains("\\x1b[31mred") && !seen.contains('\x1b'),
        "{seen:?}"
    );
}

#[test]
fn a_terminal_gets_colours_unless_no_color_says_otherwise() {
    let member = Member::start();
    let seen = on_terminal(&member, "gaggle members", "").text();
    assert!(seen.contains("\x1b[1mNAME"), "{seen:?}");
    let seen = on_terminal(&member, "NO_COLOR=1 gaggle members", "").text();
    assert!(!seen.contains('\x1b'), "{seen:?}");
}

#[test]
fn a_whole_node_goes_only_after_yes() {
    let member = Member::start();
    assert_eq!(member.run(["set", "web", "k", "v"]).code, 0);
    let ran = on_terminal(&member, "gaggle rm web", "n\n");
    assert_eq!(ran.code, 1, "{ran:?}");
    let seen = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(seen.contains("with all its keys?"), "{seen}");
    assert!(seen.contains("nothing was deleted"), "{seen}");
    assert_eq!(member.run(["get", "web", "k"]).text(), "v");
    assert_eq!(on_terminal(&member, "gaggle rm web --yes", "").code, 0);
    member.run(["get", "web"]).failed(3, "node-not-found");
}
