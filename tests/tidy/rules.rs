//! The rules: each is a function from a file's place and text to what is wrong with it.

use super::source::{code_only, paths, tokens};

/// Lines that a file may have.
pub(crate) const LINES: usize = 600;
/// Characters that a line may have.
pub(crate) const COLUMNS: usize = 100;
/// Lines that `src/main.rs` may have.
pub(crate) const MAIN_LINES: usize = 40;

/// Each room with the rooms that it may name; the order of DESIGN.md, section 9.
const ROOMS: [(&str, &[&str]); 10] = [
    ("model", &[]),
    ("config", &["model"]),
    ("protocol", &["model"]),
    ("strong", &["model", "protocol"]),
    ("io", &["model", "protocol", "config", "strong"]),
    ("app", &["model", "config", "protocol", "strong", "io"]),
    (
        "api",
        &["model", "config", "protocol", "strong", "io", "app"],
    ),
    (
        "faces",
        &["model", "config", "protocol", "strong", "io", "app", "api"],
    ),
    (
        "daemon",
        &[
            "model", "config", "protocol", "strong", "io", "app", "api", "faces",
        ],
    ),
    (
        "cli",
        &[
            "model", "config", "protocol", "strong", "io", "app", "api", "faces", "daemon",
        ],
    ),
];

/// Rooms without async, sockets, files, clock or randomness; `strong/engine/` is glue, thus not.
const PURE: [&str; 3] = ["model", "protocol", "strong"];

/// Words that make a room impure wherever they stand in a path.
const IMPURE_WORDS: [(&str, &str); 22] = [
    ("async", "async"),
    ("await", "async"),
    ("tokio", "async"),
    ("tokio_util", "async"),
    ("futures_util", "async"),
    ("TcpStream", "a socket"),
    ("TcpListener", "a socket"),
    ("UdpSocket", "a socket"),
    ("UnixStream", "a socket"),
    ("UnixDatagram", "a socket"),
    ("ToSocketAddrs", "a look-up of names"),
    ("socket2", "a socket"),
    ("redb", "a file"),
    ("rustix", "the operating system"),
    ("Instant", "a clock"),
    ("SystemTime", "a clock"),
    ("now_utc", "a clock"),
    ("getrandom", "randomness"),
    ("thread_rng", "randomness"),
    ("OsRng", "randomness"),
    ("SysRng", "randomness"),
    ("ThreadRng", "randomness"),
];

/// Neighbours in a path that make a room impure.
const IMPURE_PAIRS: [(&str, &str, &str); 7] = [
    ("std", "fs", "a file"),
    ("std", "env", "the environment"),
    ("std", "process", "the operating system"),
    ("std", "thread", "a thread"),
    ("rand", "rng", "randomness"),
    ("rand", "random", "randomness"),
    ("rand", "make_rng", "randomness"),
];

/// File names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 5] = ["utils", "util", "helpers", "common", "manager"];

/// The room that a file under `src/` belongs to; `None` for `main.rs` and `lib.rs`.
fn room(place: &str) -> Option<&str> {
    let inside = place.strip_prefix("src/")?;
    let first = inside.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    ROOMS.iter().any(|(room, _)| *room == name).then_some(name)
}

/// The room that a path names, if it names one.
fn named_room<'a>(path: &[&'a str]) -> Option<&'a str> {
    let supers = path.iter().take_while(|word| **word == "super").count();
    let word = match path.first()? {
        &"crate" | &"gaggle" => path.get(1)?,
        _ if supers >= 2 => path.get(supers)?,
        _ => return None,
    };
    ROOMS.iter().any(|(room, _)| room == word).then_some(*word)
}

pub(crate) fn rooms_name_only_rooms_that_they_may(place: &str, text: &str) -> Vec<String> {
    let allowed: &[&str] = match room(place) {
        Some(room) => ROOMS
            .iter()
            .find(|(name, _)| *name == room)
            .map_or(&[], |(_, may)| may),
        None if place == "src/main.rs" => &["cli"],
        None => return Vec::new(),
    };
    let code = code_only(text);
    paths(&tokens(&code))
        .iter()
        .filter_map(|path| named_room(path))
        .filter(|named| room(place) != Some(*named) && !allowed.contains(named))
        .map(|named| format!("names the room `{named}`, which it may not know"))
        .collect()
}

pub(crate) fn pure_rooms_are_pure(place: &str, text: &str) -> Vec<String> {
    if !room(place).is_some_and(|room| PURE.contains(&room)) || place.contains("/engine/") {
        return Vec::new();
    }
    let code = code_only(text);
    let mut found = Vec::new();
    for path in paths(&tokens(&code)) {
        for (word, what) in IMPURE_WORDS {
            if path.contains(&word) {
                found.push(format!("holds {what} (`{word}`), but its room is pure"));
            }
        }
        for (first, second, what) in IMPURE_PAIRS {
            if path.windows(2).any(|pair| pair == [first, second]) {
                found.push(format!(
                    "holds {what} (`{first}::{second}`), but its room is pure"
                ));
            }
        }
    }
    found
}

pub(crate) fn a_file_opens_with_its_purpose(_place: &str, text: &str) -> Vec<String> {
    let first = text.lines().next().unwrap_or("");
    if first
        .strip_prefix("//!")
        .is_some_and(|purpose| purpose.trim().len() > 10)
    {
        return Vec::new();
    }
    vec!["does not open with a `//!` line that says its purpose".to_owned()]
}

pub(crate) fn a_file_has_a_bounded_length(place: &str, text: &str) -> Vec<String> {
    let limit = if place == "src/main.rs" {
        MAIN_LINES
    } else {
        LINES
    };
    let lines = text.lines().count();
    let long = || format!("has {lines} lines, the limit is {limit}");
    if lines > limit {
        vec![long()]
    } else {
        Vec::new()
    }
}

pub(crate) fn a_line_fits_its_width(_place: &str, text: &str) -> Vec<String> {
    // A row of a table in the documentation cannot be broken.
    let is_row = |line: &str| line.trim_start().starts_with("//! |");
    let wide = |(_, line): &(usize, &str)| line.chars().count() > COLUMNS && !is_row(line);
    text.lines()
        .enumerate()
        .filter(wide)
        .map(|(number, _)| format!("line {} is wider than {COLUMNS} columns", number + 1))
        .collect()
}

pub(crate) fn nothing_is_left_for_later(_place: &str, text: &str) -> Vec<String> {
    // Written in halves, so that this file does not find itself.
    let banned = [
        concat!("#[ig", "nore"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
    ];
    banned
        .iter()
        .filter(|word| text.contains(**word))
        .map(|word| format!("holds `{word}`"))
        .collect()
}

pub(crate) fn a_file_is_named_after_what_is_in_it(place: &str, _text: &str) -> Vec<String> {
    place
        .split('/')
        .map(|part| part.strip_suffix(".rs").unwrap_or(part))
        .filter(|part| EMPTY_NAMES.contains(part))
        .map(|part| format!("`{part}` says nothing about what is inside"))
        .collect()
}

/// A look into a watch channel that is held while the same one is looked into again stops both, and
/// the writer with them, if the writer comes in between. So what is seen is copied out at once.
pub(crate) fn a_look_is_not_held(place: &str, text: &str) -> Vec<String> {
    let held = |line: &str| {
        let line = line.trim();
        let is_kept = line.starts_with("let ") && line.ends_with(".borrow();");
        let is_kept = is_kept && !line.contains("= *");
        is_kept || (line.contains("&*") && line.contains(".borrow()"))
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| place.starts_with("src/") && held(line))
        .map(|(number, _)| format!("line {} holds a look: copy what it sees", number + 1))
        .collect()
}

/// A rule: from a file's place in the repository and its text to what is wrong with it.
pub(crate) type Rule = fn(&str, &str) -> Vec<String>;

/// Every rule of the house.
pub(crate) const RULES: [Rule; 8] = [
    a_look_is_not_held,
    rooms_name_only_rooms_that_they_may,
    pure_rooms_are_pure,
    a_file_opens_with_its_purpose,
    a_file_has_a_bounded_length,
    a_line_fits_its_width,
    nothing_is_left_for_later,
    a_file_is_named_after_what_is_in_it,
];
