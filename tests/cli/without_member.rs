//! What needs no member: secrets, settings, completions, and command lines that are wrong.

use std::fs;

use crate::harness::{program, run};

#[test]
fn a_command_line_that_is_wrong_has_exit_code_2_and_says_why() {
    let cases: [(&[&str], &str); 15] = [
        (&[], "Usage: gaggle <COMMAND>"),
        (&["get"], "<NODE>"),
        (&["get", "a", "b", "c"], "unexpected argument 'c'"),
        (&["get", "a", "--nonsense"], "--nonsense"),
        (&["get", "a/b"], "\"a/b\" is no name of a node"),
        (&["get", "a", ".."], "\"..\" is no name of a key"),
        (&["set", "a", "b", "c", "d"], "one word too many"),
        (&["set", "a", "--pairs", "b"], "\"b\" is no pair"),
        (
            &["set", "a", "b", "c", "--create", "--if-match", "x"],
            "cannot be used with",
        ),
        (&["ls", "--server", "http://a"], "only https://"),
        (&["ls", "--timeout", "10"], "a unit is missing"),
        (&["ls"], "neither --ca nor a secret"),
        (&["serve", "--fanout", "0"], "--fanout is \"0\": too small"),
        (&["watch"], "comes later"),
        (&["not a cluster"], "no cluster id"),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (args, part) in cases {
        let output = program().args(args).current_dir(dir.path()).output();
        let output = output.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(part), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing half made"
    );
}

#[test]
fn help_and_version_go_to_stdout() {
    for args in [["--help"], ["-h"], ["--version"], ["version"]] {
        assert!(run(args).text().contains("gaggle"), "{args:?}");
    }
    let help = run(["serve", "--help"]).text();
    for part in [
        "Cluster:",
        "Network:",
        "Limits:",
        "GAGGLE_FANOUT",
        "from 1 to 64",
    ] {
        assert!(help.contains(part), "{part}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn each_secret_is_another_and_would_be_taken() {
    let (one, other) = (run(["secret"]).text(), run(["secret"]).text());
    assert_ne!(one, other);
    let ca = run(["ca", "--secret", one.trim()]).text();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"));
    let typo = one.trim().to_owned() + "x";
    run(["ca", "--secret", &typo]).failed(2, "checksum is wrong");
}

#[test]
fn config_shows_each_value_and_its_source() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("g.toml"), "fanout = 3\nname = 'file'\n").unwrap();
    let output = program()
        .args([
            "config",
            "--config",
            "g.toml",
            "--max-keys",
            "9",
            "-o",
            "json",
        ])
        .env("GAGGLE_NAME", "variable")
        .env("GAGGLE_PASSWORD", "marker-77")
        .current_dir(dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("marker-77"), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of = |name: &str| {
        let entry = &value[name];
        let text = |field: &str| entry[field].as_str().unwrap().to_owned();
        (text("value"), text("source"))
    };
    let expected = [
        ("fanout", "3", "file g.toml"),
        ("name", "variable", "variable GAGGLE_NAME"),
        ("max-keys", "9", "flag --max-keys"),
        ("password", "(hidden)", "variable GAGGLE_PASSWORD"),
        ("cluster", "gaggle", "default"),
    ];
    for (name, value, source) in expected {
        assert_eq!(of(name), (value.to_owned(), source.to_owned()));
    }
    let table = run(["config"]).text();
    assert!(table.starts_with("SETTING"), "{table}");
    assert!(
        run(["config", "-o", "yaml"])
            .text()
            .contains("fanout:\n  value: \"8\"\n")
    );
}

#[test]
fn there_are_completions_for_three_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(["completion", shell]).text();
        assert!(
            script.contains("gaggle") && script.contains("doctor"),
            "{shell}"
        );
        assert!(script.contains("discovery-port"), "{shell}");
    }
    run(["completion", "tcsh"]).failed(2, "tcsh");
}
