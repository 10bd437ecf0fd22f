//! What goes wrong with a member or without one, in exit codes and words.

use std::fs;

use crate::harness::{Member, closed_port};

#[test]
fn a_wrong_password_has_exit_code_4_and_a_hint() {
    let member = Member::start();
    let ran = member.run(["get", "web", "k", "--password", "wrong"]);
    ran.failed(4, "unauthorized");
    assert!(ran.stderr.contains("hint:"), "{}", ran.stderr);
}

#[test]
fn no_password_has_exit_code_4_and_says_where_to_put_one() {
    let member = Member::start();
    let password = member.data().join("password");
    fs::rename(&password, member.dir().join("elsewhere")).unwrap();
    let ran = member.run(["ls"]);
    ran.failed(4, "unauthorized");
    assert!(ran.stderr.contains("GAGGLE_PASSWORD"), "{}", ran.stderr);
}

#[test]
fn nobody_there_has_exit_code_1_and_says_what_to_do() {
    let member = Member::start();
    let nobody = format!("https://127.0.0.1:{}", closed_port());
    let ran = member.run(["ls", "--server", &nobody]);
    ran.failed(1, "nobody answers at https://127.0.0.1:");
    assert!(ran.stderr.contains("gaggle serve"), "{}", ran.stderr);
    let ran = member.run(["ls", "--server", "https://no-such-host.invalid"]);
    ran.failed(1, "no-such-host.invalid");
}

#[test]
fn the_next_server_is_asked_if_one_is_away() {
    let member = Member::start();
    let nobody = format!("https://127.0.0.1:{}", closed_port());
    let servers = format!("{nobody},{}", member.url());
    let set = ["set", "web", "k", "v", "--server", &servers];
    let ran = member.run(set);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(
        member.run(["get", "web", "k", "--server", &servers]).text(),
        "v"
    );
    let ran = member.run(["ls", "--server", &format!("{nobody},{nobody}")]);
    assert_eq!(ran.stderr.matches("nobody answers").count(), 2, "{ran:?}");
}

#[test]
fn a_member_of_another_cluster_is_not_trusted() {
    let member = Member::start();
    let other = Member::start();
    let ran = member.run(["ls", "--server", &other.url()]);
    ran.failed(1, "not signed by an authority that we trust");
    assert!(ran.stderr.contains("gaggle ca"), "{}", ran.stderr);
}

#[test]
fn a_second_daemon_on_the_directory_is_refused_in_words() {
    let member = Member::start();
    let ran = member.run(["serve", "--listen", "127.0.0.1:0", "--interface", "lo"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let message = ran.stderr.lines().find(|line| line.starts_with("error:"));
    assert!(message.is_some(), "{}", ran.stderr);
}

#[test]
fn a_port_in_use_is_refused_in_words() {
    let member = Member::start();
    let data = member.dir().join("other").display().to_string();
    let listen = member.url().replace("https://", "");
    let serve = [
        "serve",
        "--data",
        &data,
        "--listen",
        &listen,
        "--interface",
        "lo",
    ];
    let ran = member.run(serve);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains(&format!("cannot listen on {listen}")),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("--listen"), "{ran:?}");
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time_and_the_next_one_asked() {
    let member = Member::start();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("https://{}", silent.local_addr().unwrap());
    let ran = member.run(["ls", "--server", &silent, "--timeout", "300ms"]);
    ran.failed(1, "no connection within");
    let servers = format!("{silent},{}", member.url());
    let ran = member.run(["ls", "--server", &servers, "--timeout", "8s"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}
