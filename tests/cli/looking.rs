//! `members`, `status`, `health`, `doctor`, `ca`, and how a member is found on its host.

use std::fs;

use serde_json::Value;

use crate::harness::{Member, Ran, closed_port, program};

#[test]
fn the_member_tells_who_is_there_and_how_it_is() {
    let member = Member::start();
    let members = member.run(["members", "-o", "json"]).json();
    assert_eq!(members[0]["name"], "solo");
    assert_eq!(members[0]["state"], "alive");
    assert_eq!(members[0]["self"], true);
    let table = member.run(["members"]).text();
    assert!(
        table.starts_with("NAME") && table.contains("\nsolo*"),
        "{table}"
    );
    let status = member.run(["status", "-o", "json"]).json();
    assert_eq!(status["name"], "solo");
    assert_eq!(status["members"]["alive"], 1);
    assert_eq!(status["ready"], true);
    let table = member.run(["status"]).text();
    assert!(
        table.contains("members.alive") && table.contains("solo"),
        "{table}"
    );
    let yaml = member.run(["status", "-o", "yaml"]).text();
    assert!(yaml.contains("\nname: solo\n"), "{yaml}");
}

#[test]
fn health_needs_no_password_and_takes_one_line() {
    let member = Member::start();
    let password = member.data().join("password");
    fs::rename(&password, member.dir().join("elsewhere")).unwrap();
    assert_eq!(member.run(["health"]).text(), "ready\n");
    assert_eq!(member.run(["health", "-o", "json"]).json()["ready"], true);
    let nobody = format!("https://127.0.0.1:{}", closed_port());
    let ran = member.run(["health", "--server", &nobody]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(String::from_utf8_lossy(&ran.stdout).lines().count(), 1);
}

#[test]
fn a_member_with_an_own_certificate_is_healthy_by_that_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let names = vec!["gaggle.example".to_owned()];
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
    fs::write(&certificate, own.cert.pem()).unwrap();
    fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let flags = [
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let member = Member::start_with(&["serve"], &flags);
    assert_eq!(member.run(["health"]).text(), "ready\n");
    // It is not the member's any more: whoever shows the old one is somebody else.
    let other = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap();
    fs::write(&certificate, other.cert.pem()).unwrap();
    fs::remove_file(&key).unwrap();
    let ran = member.run(["health"]);
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn the_certificate_follows_from_the_secret() {
    let member = Member::start();
    let here = member.run(["ca"]).text();
    assert!(here.starts_with("-----BEGIN CERTIFICATE-----"), "{here}");
    let elsewhere = program()
        .arg("ca")
        .arg("--secret-file")
        .arg(member.data().join("secret"))
        .current_dir(member.dir())
        .output()
        .unwrap();
    assert_eq!(Ran::of(elsewhere).text(), here);
    let other_cluster = program()
        .args(["ca", "--cluster", "other", "--secret-file"])
        .arg(member.data().join("secret"))
        .current_dir(member.dir())
        .output()
        .unwrap();
    assert_ne!(Ran::of(other_cluster).text(), here);
}

#[test]
fn the_doctor_looks_at_everything() {
    let member = Member::start();
    let findings = member
        .run(["doctor", "--interface", "lo", "-o", "json"])
        .json();
    let verdict = |check: &str| -> Value {
        let found = findings.as_array().unwrap().iter();
        let mut found = found.filter(|finding| finding["check"] == check);
        found
            .next()
            .map_or(Value::Null, |finding| finding["verdict"].clone())
    };
    for check in [
        "configuration",
        "data directory",
        "secret",
        "interface",
        "port",
        "certificate",
        "credentials",
        "clock",
        "disk",
        "readiness",
        "agreement",
    ] {
        assert_eq!(verdict(check), "ok", "{check}: {findings:#}");
    }
    assert_eq!(verdict("members"), "warn", "it is alone: {findings:#}");
    let text = findings.to_string();
    assert!(text.contains("valid until 20"), "{text}");

    let ran = member.run(["doctor", "--interface", "none7", "--password", "wrong"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let table = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(table.contains("none7 is not there"), "{table}");
    assert!(table.contains("credentials     fail"), "{table}");
}

#[test]
fn a_bare_first_word_is_the_clusters_id() {
    let member = Member::start_with(&["prod"], &[]);
    let status = member.run(["status", "-o", "json"]).json();
    assert_eq!(status["cluster"], "prod");
    assert!(!member.log().contains("did you mean"), "{}", member.log());
}

#[test]
fn a_slip_of_the_finger_starts_no_member() {
    let member = Member::start();
    for (word, meant) in [("stauts", "status"), ("mebers", "members"), ("list", "ls")] {
        let ran = member.run([word]);
        assert_eq!(ran.code, 2, "{ran:?}");
        let advice = format!("did you mean \"{meant}\"?");
        assert!(ran.stderr.contains(&advice), "{ran:?}");
    }
    assert!(member.run(["help"]).text().contains("Usage"));
    assert!(member.run(["help", "get"]).text().contains("gaggle get"));
}

#[test]
fn a_first_start_tells_password_secret_and_a_line_to_try() {
    let member = Member::start();
    let log = member.log();
    for file in ["password", "secret"] {
        let made = fs::read_to_string(member.data().join(file)).unwrap();
        assert_eq!(log.matches(made.trim()).count(), 1, "{file}: {log}");
    }
    assert!(log.contains("curl --cacert"), "{log}");
}
