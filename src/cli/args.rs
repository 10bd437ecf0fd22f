//! The command line as clap sees it, made from the commands and the table of settings.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::exit::EXIT_HELP;
use super::{
    ca, completion, config, conflicts, counter, demo, diff, doctor, get, health, history, lock,
    log, ls, members, quorum, restore, rm, secret, serve, service, set, status, txn, verify,
    version,
};
use crate::config::settings::SETTINGS;
use crate::config::{Flags, Kind, Setting};

/// Commands that later versions have: never taken for a cluster's id.
const LATER: [&str; 11] = [
    "edit", "spawn", "watch", "find", "export", "import", "backup", "render", "exec", "env", "user",
];

/// A replicated configuration store: members find each other, keep the same store, and answer
/// over HTTPS.
///
/// A bare first word that is no command is taken for the cluster's id: `gaggle prod` is
/// `gaggle serve --cluster prod`.
#[derive(Parser)]
#[command(name = "gaggle", version, after_help = EXIT_HELP, max_term_width = 100)]
#[command(subcommand_required = true, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(super) enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    Service(service::Service),
    Get(get::Get),
    Set(set::Set),
    Rm(rm::Rm),
    Ls(ls::Ls),
    History(history::History),
    Diff(diff::Diff),
    Restore(restore::Restore),
    Conflicts(conflicts::Conflicts),
    Lock(lock::Lock),
    Counter(counter::Counter),
    Log(log::Log),
    Txn(txn::Txn),
    Quorum(quorum::Quorum),
    Members(members::Members),
    Status(status::Status),
    Health(health::Health),
    Doctor(doctor::Doctor),
    Verify(verify::Verify),
    Config(config::ShowConfig),
    Secret(secret::MakeSecret),
    Ca(ca::Ca),
    Completion(completion::Completion),
    Version(version::Version),
}

/// Which settings each command takes as flags.
fn takes(command: &str, setting: &Setting) -> bool {
    match command {
        "serve" | "service" => setting.is_of_member(),
        "config" | "doctor" => true,
        "members" | "status" | "health" | "conflicts" | "lock" | "counter" | "log" | "txn"
        | "quorum" => setting.is_of_client() && setting.name != "session",
        "get" | "set" | "rm" | "ls" | "history" | "diff" | "restore" => setting.is_of_client(),
        "verify" => ["data", "output", "config"].contains(&setting.name),
        "ca" => ["cluster", "data", "secret", "config"].contains(&setting.name),
        _ => false,
    }
}

/// The whole command line's description.
pub(super) fn description() -> clap::Command {
    let mut line = Line::command();
    let names: Vec<String> = line
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    for name in names {
        line = line.mut_subcommand(&name, |command| {
            let of_command = SETTINGS.into_iter().filter(|setting| takes(&name, setting));
            let settings: Vec<Arg> = of_command.flat_map(flags).collect();
            let inner: Vec<String> = command
                .get_subcommands()
                .map(|inner| inner.get_name().to_owned())
                .collect();
            inner
                .iter()
                .fold(command.args(&settings), |command, inner| {
                    command.mut_subcommand(inner, |inner| inner.args(&settings))
                })
        });
    }
    line
}

/// The flag of a setting; a confidential one has two.
fn flags(setting: &'static Setting) -> Vec<Arg> {
    let words = setting.preset.words();
    let mut arg = Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value)
        .help(format!("{} [{}]", first_sentence(setting.help), words))
        .long_help(format!(
            "{}\nAllowed: {}.\nDefault: {words}. Variable: {}.",
            setting.help,
            setting.kind.allowed(),
            setting.env
        ))
        .help_heading(setting.section.heading());
    arg = match setting.name {
        "cluster" => arg.short('c'),
        "output" => arg.short('o'),
        _ => arg,
    };
    arg = match &setting.kind {
        Kind::List(_) => arg.action(ArgAction::Append),
        Kind::Hidden { .. } => arg.hide_short_help(true),
        _ if setting.is_switch() => {
            let arg = arg.num_args(0..=1).require_equals(true);
            arg.default_missing_value("yes")
        }
        _ => arg,
    };
    let Some(name) = setting.file() else {
        return vec![arg];
    };
    let file = Arg::new(name)
        .long(name)
        .value_name("FILE")
        .help(format!("A file that holds the {}", setting.name))
        .long_help(format!(
            "A file that holds the {}; the line feed at its end does not belong to it.\n\
             Variable: {}_FILE.",
            setting.name, setting.env
        ))
        .help_heading(setting.section.heading());
    vec![arg, file]
}

fn first_sentence(text: &str) -> &str {
    let ends = [": ", "; ", ". ", " ("];
    let end = ends.iter().filter_map(|end| text.find(end)).min();
    text.get(..end.unwrap_or(text.len()))
        .unwrap_or(text)
        .trim_end_matches('.')
}

/// A command with the settings that were given as flags.
pub(super) struct Parsed {
    pub(super) command: Command,
    pub(super) flags: Flags,
}

/// Reads the command line.
///
/// # Errors
/// What is wrong with it, or that help or the version was asked for; clap shows either.
pub(super) fn parse(args: Vec<OsString>) -> Result<Parsed, clap::Error> {
    let description = description();
    let args = in_order(args, &description)?;
    let matches = description.try_get_matches_from(args)?;
    let command = Line::from_arg_matches(&matches)?.command;
    let mut flags = Flags::new();
    let mut level = matches.subcommand();
    while let Some((_, inner)) = level {
        flags.extend(flags_of(inner));
        level = inner.subcommand();
    }
    Ok(Parsed { command, flags })
}

fn flags_of(matches: &ArgMatches) -> Flags {
    let mut flags = Flags::new();
    for setting in SETTINGS {
        let names = std::iter::once(setting.name).chain(setting.file());
        for name in names {
            let given = matches.try_get_many::<String>(name).ok().flatten();
            if let Some(texts) = given {
                let texts: Vec<&str> = texts.map(String::as_str).collect();
                flags.insert(name.to_owned(), texts.join(","));
            }
        }
    }
    flags
}

/// Puts the command first: settings may stand before it, a bare word that is no command means
/// `serve --cluster WORD`, and settings alone mean `serve`. (The seed's image worked so.)
fn in_order(
    args: Vec<OsString>,
    description: &clap::Command,
) -> Result<Vec<OsString>, clap::Error> {
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_else(|| OsString::from("gaggle"));
    let args: Vec<OsString> = args.collect();
    let at = leading_settings(&args);
    let (before, rest) = args.split_at_checked(at).unwrap_or((&args, &[]));
    let word = rest.first().and_then(|word| word.to_str());
    let mut ordered = vec![program];
    let after = match word {
        None if before.is_empty() => rest,
        None => {
            ordered.push("serve".into());
            rest
        }
        Some(word) if word.starts_with('-') || is_command(description, word) => {
            ordered.push(word.into());
            rest.get(1..).unwrap_or_default()
        }
        Some(word) if LATER.contains(&word) => return Err(later(description, word)),
        Some("help") => {
            ordered.extend(rest.get(1..).unwrap_or_default().iter().cloned());
            ordered.push("--help".into());
            &[]
        }
        Some(word) if is_a_slip(word) => return Err(slip(description, word)),
        Some(word) => {
            ordered.extend(["serve", "--cluster", word].map(OsString::from));
            rest.get(1..).unwrap_or_default()
        }
    };
    ordered.extend(before.iter().chain(after).cloned());
    Ok(ordered)
}

fn is_command(description: &clap::Command, word: &str) -> bool {
    description.find_subcommand(word).is_some()
}

/// How many arguments at the front are settings with their values.
fn leading_settings(args: &[OsString]) -> usize {
    let mut at = 0;
    while let Some(width) = args.get(at).and_then(|arg| setting_width(arg)) {
        at += width;
    }
    at.min(args.len())
}

/// 2 for `--name value` and `-o value`, 1 for `--name=value` and `-ovalue`; nothing for what is no
/// setting.
fn setting_width(arg: &OsStr) -> Option<usize> {
    let arg = arg.to_str()?;
    if let Some(long) = arg.strip_prefix("--") {
        let (name, value) = long
            .split_once('=')
            .map_or((long, None), |(n, v)| (n, Some(v)));
        let mut all = SETTINGS.into_iter();
        let setting = all.find(|at| at.name == name || at.file() == Some(name))?;
        let is_whole = value.is_some() || setting.is_switch();
        return Some(if is_whole { 1 } else { 2 });
    }
    match arg {
        "-c" | "-o" => Some(2),
        _ if arg.starts_with("-c") || arg.starts_with("-o") => Some(1),
        _ => None,
    }
}

/// Words that other programs have for commands of ours; nobody calls a cluster so by intent.
const FOREIGN: [(&str, &str); 10] = [
    ("list", "ls"),
    ("put", "set"),
    ("delete", "rm"),
    ("del", "rm"),
    ("remove", "rm"),
    ("start", "serve"),
    ("run", "serve"),
    ("server", "serve"),
    ("stat", "status"),
    ("nodes", "ls"),
];

/// Whether a word was meant for a command: a member must not start by a slip of the finger.
fn is_a_slip(word: &str) -> bool {
    likely_command(word).is_some()
}

fn slip(description: &clap::Command, word: &str) -> clap::Error {
    let meant = likely_command(word).unwrap_or_default();
    let message = format!(
        "there is no command \"{word}\"; did you mean \"{meant}\"?\n\n\
         For a member of a cluster with this id: gaggle serve --cluster {word}\n"
    );
    clap::Error::raw(clap::error::ErrorKind::InvalidSubcommand, message).with_cmd(description)
}

fn later(description: &clap::Command, word: &str) -> clap::Error {
    let message = format!(
        "the command \"{word}\" comes later and is not in this version\n\nFor a cluster with this \
         id: gaggle serve {} {word}\n",
        "--cluster"
    );
    description
        .clone()
        .error(clap::error::ErrorKind::InvalidSubcommand, message)
}

/// A command that a mistyped word may have meant.
fn likely_command(word: &str) -> Option<String> {
    let foreign = FOREIGN.iter().find(|(theirs, _)| *theirs == word);
    if let Some((_, ours)) = foreign {
        return Some((*ours).to_owned());
    }
    let description = description();
    let commands = description.get_subcommands();
    let names: Vec<String> = commands.map(|c| c.get_name().to_owned()).collect();
    names.into_iter().find(|name| is_close(word, name))
}

/// Whether one letter added, left out, changed, or two swapped make one word of the other.
fn is_close(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let rests = a.get(same..).zip(b.get(same..));
    match rests {
        Some(([one, two, rest @ ..], [other, another, end @ ..]))
            if one == another && two == other && rest == end =>
        {
            true
        }
        Some(([_, rest @ ..], [_, end @ ..])) if rest == end => true,
        Some((a, b)) => a.get(1..) == Some(b) || b.get(1..) == Some(a),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(line: &str) -> String {
        let args = line.split_whitespace().map(OsString::from).collect();
        match in_order(args, &description()) {
            Ok(args) => {
                let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
                words.join(" ")
            }
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn the_description_is_sound() {
        description().debug_assert();
    }

    #[test]
    fn a_bare_first_word_that_is_no_command_is_the_clusters_id() {
        let cases = [
            ("gaggle", "gaggle"),
            ("gaggle --help", "gaggle --help"),
            ("gaggle -V", "gaggle -V"),
            ("gaggle status", "gaggle status"),
            ("gaggle prod", "gaggle serve --cluster prod"),
            (
                "gaggle prod --fanout 3",
                "gaggle serve --cluster prod --fanout 3",
            ),
            (
                "gaggle --data /x prod",
                "gaggle serve --cluster prod --data /x",
            ),
            (
                "gaggle --repair prod",
                "gaggle serve --cluster prod --repair",
            ),
            ("gaggle -c prod", "gaggle serve -c prod"),
            (
                "gaggle --cluster=prod --fanout 3",
                "gaggle serve --cluster=prod --fanout 3",
            ),
            ("gaggle -o json status -x", "gaggle status -o json -x"),
            (
                "gaggle -ojson --server a get b",
                "gaggle get -ojson --server a b",
            ),
            ("gaggle get prod", "gaggle get prod"),
            ("gaggle --nonsense prod", "gaggle --nonsense prod"),
        ];
        for (line, expected) in cases {
            assert_eq!(ordered(line), expected, "{line}");
        }
        let later = ordered("gaggle watch");
        assert!(later.contains("comes later") && later.contains("serve --cluster watch"));
    }

    #[test]
    fn settings_reach_the_command_as_flags() {
        let line = "gaggle get web --server a --server b,c -o json --timeout=3s";
        let parsed = parse(line.split(' ').map(OsString::from).collect()).map_err(|_| ());
        let flags = parsed.unwrap().flags;
        assert_eq!(flags["server"], "a,b,c");
        assert_eq!(flags["output"], "json");
        assert_eq!(flags["timeout"], "3s");
        assert_eq!(flags.len(), 3);
    }

    #[test]
    fn a_command_within_a_command_takes_the_same_settings() {
        let line = "gaggle members forget b --force --server a";
        let parsed = parse(line.split(' ').map(OsString::from).collect()).map_err(|_| ());
        let parsed = parsed.unwrap();
        assert_eq!(parsed.flags["server"], "a");
        assert!(matches!(parsed.command, Command::Members(_)));
    }

    #[test]
    fn every_setting_is_taken_by_a_command_and_told_with_its_variable() {
        let mut description = description();
        for setting in SETTINGS {
            let name = if setting.is_of_member() {
                "serve"
            } else {
                "get"
            };
            let command = description.find_subcommand_mut(name).unwrap();
            let help = command.render_long_help().to_string();
            let flag = format!("--{}", setting.name);
            assert!(help.contains(&flag), "{flag}");
            assert!(help.contains(setting.env), "{}", setting.env);
            assert!(takes("config", setting));
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_recognized() {
        for word in ["stauts", "statu", "sttatus", "statud", "sttus", "tatus"] {
            assert_eq!(likely_command(word).as_deref(), Some("status"), "{word}");
        }
        for word in ["prod", "gaggle", "cluster-7", ""] {
            assert_eq!(likely_command(word), None, "{word}");
        }
    }
}
