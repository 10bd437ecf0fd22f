//! `gaggle verify`: sound, damaged, in use.

use std::fs;
use std::os::unix::fs::FileExt;

use crate::harness::{Member, Ran, program, run, wait_for};

fn verify(dir: &std::path::Path) -> Ran {
    let words = ["verify", "-o", "json"];
    let output = program().args(words).arg(dir).output();
    Ran::of(output.expect("the program runs"))
}

#[test]
fn a_directory_is_sound_until_a_bit_of_it_is_flipped_and_is_never_changed() {
    let mut member = Member::start();
    for number in 0..20 {
        let value = format!("the value of key {number}");
        member
            .run(["set", "web", &format!("k{number}"), &value])
            .text();
        member.run(["set", "web", "hot", &value]).text();
    }
    let ran = member.run(["verify"]);
    ran.failed(1, "is in use by another gaggle");
    member.stop();
    let sound = verify(&member.data()).json();
    assert_eq!(sound["sound"], true, "{sound}");
    assert_eq!(sound["keys"], 21, "{sound}");
    assert_eq!(sound["faults"], serde_json::json!([]));
    let table = member.run(["verify"]).text();
    assert!(table.contains("21 keys"), "{table}");
    assert!(!table.contains("WHERE"), "no fault, no row: {table}");
    let last = table.lines().last();
    assert_eq!(last, Some("sound: all is as the member left it"));

    let database = member.data().join("gaggle.redb");
    let mut bytes = fs::read(&database).unwrap();
    let value = b"the value of key 7";
    let places = bytes.windows(value.len()).enumerate();
    let places: Vec<usize> = places
        .filter(|(_, part)| part == value)
        .map(|(at, _)| at)
        .collect();
    for at in places {
        bytes[at] ^= 1;
    }
    fs::write(&database, &bytes).unwrap();
    let damaged = verify(&member.data());
    assert_eq!(damaged.code, 1, "{damaged:?}");
    assert!(damaged.stderr.contains("--repair"), "{damaged:?}");
    let told: serde_json::Value = serde_json::from_slice(&damaged.stdout).unwrap();
    let is_named = |fault: &serde_json::Value| fault["node"] == "web" && fault["key"] == "k7";
    assert!(
        told["faults"].as_array().unwrap().iter().any(is_named),
        "{told}"
    );
    assert!(fs::read(&database).unwrap() == bytes, "left alone");
    let doctor = member.run(["doctor", "-o", "json"]);
    let found: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let found = found.as_array().unwrap().iter();
    let found = found
        .clone()
        .find(|at| at["check"] == "data directory")
        .unwrap();
    assert_eq!(found["verdict"], "fail", "{found}");
}

#[test]
fn a_readable_copy_that_is_not_as_written_is_told() {
    let mut member = Member::start();
    member.run(["set", "web", "colour", "blue"]).text();
    member.stop();
    let copy = member.data().join("store.json");
    let text = fs::read_to_string(&copy).unwrap();
    fs::write(&copy, text.replace("blue", "blua")).unwrap();
    let ran = member.run(["verify"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(
        told.contains("store.json") && told.contains("edited by hand"),
        "{told}"
    );
    let last = told.lines().last();
    let expected = "the database is sound; store.json is not as the member wrote it";
    assert_eq!(last, Some(expected));
    assert!(
        ran.stderr.contains("the next start writes what differs")
            && !ran.stderr.contains("repair`"),
        "what to do about an edit, not about a damaged database: {ran:?}"
    );
}

#[test]
fn a_directory_without_a_database_is_an_error_and_a_wrong_flag_a_usage_error() {
    run(["verify"]).failed(1, "gaggle-data");
    run(["verify", "--nonsense"]).failed(2, "--nonsense");
    run(["verify", "a", "b"]).failed(2, "unexpected argument");
}

#[test]
fn a_damaged_member_repairs_itself_when_it_is_asked_to() {
    let mut member = Member::start();
    member
        .run(["set", "web", "sound", "a value that stays"])
        .text();
    member
        .run(["set", "web", "broken", "a value that goes"])
        .text();
    member.stop();
    let database = member.data().join("gaggle.redb");
    let mut bytes = fs::read(&database).unwrap();
    let value = b"a value that goes";
    let at = bytes.windows(value.len()).position(|part| part == value);
    bytes[at.unwrap()] ^= 1;
    fs::write(&database, &bytes).unwrap();

    let refused = member
        .program()
        .args(["serve", "--interface", "lo", "--listen", "127.0.0.1:0"])
        .output();
    let refused = Ran::of(refused.unwrap());
    refused.failed(1, "--repair");
    member.start_again("none", &["--repair"]);
    let log = member.log();
    assert!(
        log.contains("the database was damaged and is repaired"),
        "{log}"
    );
    assert_eq!(
        member.run(["get", "web", "sound"]).text(),
        "a value that stays"
    );
    member.run(["get", "web", "broken"]).failed(3, "");
    let names = fs::read_dir(member.data()).unwrap();
    let names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let kept = names
        .iter()
        .find(|name| name.starts_with("gaggle.redb.damaged-"));
    let kept = member.data().join(kept.expect("the damaged file is kept"));
    let kept = fs::read(kept).unwrap();
    assert_eq!(kept.len(), bytes.len());
    assert!(
        !kept.windows(value.len()).any(|part| part == value),
        "as it was"
    );
    assert!(
        names
            .iter()
            .any(|name| name.starts_with("store.json.damaged-")),
        "{names:?}"
    );
    member.stop();
    assert_eq!(member.run(["verify"]).code, 0);
}

#[test]
fn a_running_member_finds_and_mends_damage_on_its_disk_and_stays_ready() {
    let mut member = Member::start_with(&["serve"], &["--scrub-every", "1s"]);
    for number in 0..50 {
        let key = format!("k{number:02}");
        let value = format!("the value of {key}");
        member.run(["set", "web", &key, &value]).text();
    }
    let database = member.data().join("gaggle.redb");
    let part = b"the value of k17";
    let bytes = fs::read(&database).unwrap();
    let places = bytes.windows(part.len()).enumerate();
    let file = fs::OpenOptions::new().write(true).open(&database).unwrap();
    for (at, _) in places.filter(|(_, window)| window == part) {
        file.write_all_at(b"T", at as u64).unwrap();
    }
    wait_for("the damage to be mended", || {
        member.log().contains("and is mended").then_some(())
    });
    assert!(member.log().contains("k17"), "{}", member.log());
    assert_eq!(member.run(["health"]).code, 0);
    assert_eq!(member.run(["get", "web", "k17"]).text(), "the value of k17");
    let told = member.run(["doctor", "-o", "json"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(!told.contains("integrity:"), "{told}");
    member.stop();
    assert_eq!(verify(&member.data()).json()["sound"], true);
}

#[test]
fn a_repaired_member_gets_what_it_lost_from_the_others_under_a_new_id() {
    const PASSWORD: &str = "a password for tests";
    let secret = run(["secret"]).text();
    let flags = ["--secret", secret.trim(), "--password", PASSWORD];
    let ask = |member: &Member, args: &[&str]| {
        let mut program = member.program();
        program.env("GAGGLE_PASSWORD", PASSWORD);
        Ran::of(program.args(args).output().unwrap())
    };
    let one = Member::start_with(&["serve"], &flags);
    let mut other = Member::start_among(&one.seed(), &["serve"], &flags);
    for number in 0..10 {
        for turn in ["first", "second"] {
            let (key, value) = (format!("k{number}"), format!("{turn} value of k{number}"));
            assert_eq!(ask(&one, &["set", "web", &key, &value]).code, 0);
        }
    }
    let members = || ask(&one, &["members", "-o", "json"]).json();
    let in_sync = || {
        let members = members();
        let alive = members.as_array().unwrap().iter();
        let mut alive = alive.filter(|member| member["state"] == "alive");
        (alive.clone().count() == 2 && alive.all(|member| member["in_sync"] == true)).then_some(())
    };
    wait_for("both to agree", in_sync);
    other.stop();
    let database = other.data().join("gaggle.redb");
    let mut bytes = fs::read(&database).unwrap();
    for part in [&b"second value of k3"[..], b"first value of k7"] {
        let windows = bytes.windows(part.len()).enumerate();
        let places: Vec<usize> = windows
            .filter(|(_, w)| *w == part)
            .map(|(at, _)| at)
            .collect();
        places.into_iter().for_each(|at| bytes[at] ^= 1);
    }
    fs::write(&database, &bytes).unwrap();
    let again = [&flags[..], &["--repair"]].concat();
    other.start_again(&one.seed(), &again);
    wait_for("both to agree again", in_sync);
    assert_eq!(
        members().as_array().unwrap().len(),
        2,
        "a new id, the old one forgotten"
    );
    let all = ask(&one, &["members", "--all", "-o", "json"]).json();
    assert_eq!(all.as_array().unwrap().len(), 3, "{all}");
    assert_eq!(
        ask(&other, &["get", "web", "k3"]).text(),
        "second value of k3"
    );
    let history = ask(&other, &["history", "web/k7", "-o", "json"]).text();
    assert!(history.contains("first value of k7"), "{history}");
    other.stop();
    assert_eq!(verify(&other.data()).json()["sound"], true);
}
