//! `demo`: it shows what it promises, its lines work, and nothing stays behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::harness::{program, run, wait_for};

/// A demonstration that runs, up to where it waits.
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    text: String,
}

impl Demo {
    fn start() -> Self {
        let mut child = program()
            .args(["demo", "--for", "10m"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demonstration starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut text = String::new();
        while !text.contains("Ctrl-C ends") {
            let read = stdout.read_line(&mut text).expect("text");
            assert_ne!(read, 0, "the demonstration ended: {text}");
        }
        Self {
            child,
            stdout,
            text,
        }
    }

    /// What follows `word` on its line.
    fn after(&self, word: &str) -> &str {
        let line = self.text.lines().find_map(|line| line.strip_prefix(word));
        line.unwrap_or_else(|| panic!("{word}: {}", self.text))
            .trim()
    }

    fn members(&self) -> Vec<u32> {
        let numbers = self.text.split("(process ").skip(1);
        numbers
            .map(|rest| rest.split(')').next().unwrap_or_default())
            .map(|id| id.parse().expect("a process id"))
            .collect()
    }

    fn directory(&self) -> &Path {
        let file = Path::new(self.after("certificate"));
        file.parent().expect("a file in a directory")
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether a process runs (one that has ended and was not waited for does not).
fn runs(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').any(|rest| rest.starts_with(" Z")))
}

#[test]
fn the_demonstration_shows_everything_at_once_and_ends() {
    let text = run(["demo", "--once"]).text();
    for part in [
        "all three see each other",
        "password     ",
        "certificate  /",
        "member a     https://localhost:",
        "strong side  a, b, c vote, ",
        "on a's disk, acknowledged  after ",
        "seen on b                  after ",
        "seen on c                  after ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let directory = text.split("certificate  ").nth(1).unwrap();
    let directory = Path::new(directory.lines().next().unwrap())
        .parent()
        .unwrap();
    assert!(!directory.exists(), "{}", directory.display());
}

#[test]
fn the_lines_to_try_work_as_they_stand_and_ctrl_c_clears_up() {
    let mut demo = Demo::start();
    let lines: Vec<&str> = demo
        .text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert_eq!(lines.len(), 5, "{}", demo.text);
    let answers: Vec<String> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| {
            // The change needs a moment from the first member to the others.
            wait_for(line, || {
                let output = Command::new("sh").args(["-c", line]).output().unwrap();
                assert!(output.status.success(), "{line}: {output:?}");
                let answer = String::from_utf8_lossy(&output.stdout).into_owned();
                (at == 0 || !answer.contains("not-found")).then_some(answer)
            })
        })
        .collect();
    assert_eq!(answers[0], "");
    assert_eq!(answers[1], "blue");
    assert!(answers[2].contains("\"value\":\"blue\""), "{}", answers[2]);
    assert_eq!(answers[3].matches("\"alive\"").count(), 3, "{}", answers[3]);
    assert_eq!(answers[4], "");
    let strong: Vec<&str> = demo
        .text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with(env!("CARGO_BIN_EXE_gaggle")))
        .collect();
    let env = demo.directory().join("env");
    let answers: Vec<String> = strong
        .iter()
        .map(|line| {
            let script = format!(". {}; {line}", env.display());
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert!(output.status.success(), "{line}: {output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
        .collect();
    assert_eq!(answers.len(), 3, "{}", demo.text);
    assert_eq!(answers[0], "1\n");
    assert!(
        answers[1].starts_with("I alone, with token "),
        "{}",
        answers[1]
    );
    assert!(
        answers[2].ends_with("the strong side works\n"),
        "{}",
        answers[2]
    );

    let (members, directory) = (demo.members(), demo.directory().to_owned());
    assert!(members.len() == 3 && members.iter().all(|id| runs(*id)));
    demo.signal("-INT");
    let mut rest = String::new();
    while demo.stdout.read_line(&mut rest).unwrap() > 0 {}
    assert!(rest.contains("stopping the three members"), "{rest}");
    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
    assert!(!members.iter().any(|id| runs(*id)));
    assert!(!directory.exists());
}

#[test]
fn members_do_not_outlive_a_demonstration_that_is_killed() {
    let demo = Demo::start();
    let (members, directory) = (demo.members(), demo.directory().to_owned());
    demo.signal("-KILL");
    wait_for("the members' end", || {
        (!members.iter().any(|id| runs(*id))).then_some(())
    });
    std::fs::remove_dir_all(directory).unwrap();
}
