//! The command line: one file per command, exit codes, output formats.
//!
//! | file | what lives there |
//! |---|---|
//! | `args` | the command line as a whole; the word that stands for the cluster's id |
//! | `exit` | exit codes, and what a failed command says |
//! | `output`, `escape`, `yaml` | results on stdout, messages on stderr |
//! | `versions` | a key's versions: all pages, found by a word |
//! | `coordination` | what the commands of the strong side have in common |
//! | `ack`, `token` | what a write waits for; what a session has seen |
//! | `session` | asks a member on behalf of a command, and the next one if it is away |
//! | all others | one command each |
//!
//! Invariants: stdout carries results only; what a store holds never commands the terminal; a
//! confidential value is printed by `secret` alone.

mod ack;
mod args;
mod ca;
mod class;
mod completion;
mod config;
mod conflicts;
mod coordination;
mod counter;
mod demo;
mod diff;
mod doctor;
mod escape;
mod exit;
mod fence;
mod get;
mod health;
mod hints;
mod history;
mod lock;
mod log;
mod ls;
mod members;
mod names;
mod output;
mod pinned;
mod quorum;
mod restore;
mod rm;
mod secret;
mod serve;
mod service;
mod session;
mod set;
mod status;
mod token;
mod txn;
mod verify;
mod version;
mod versions;
mod yaml;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Command, Parsed};
pub use exit::{Exit, Failure};
use output::Tone;

use crate::config::{ClientConfig, Flags, Layers};

/// Runs the program with its arguments (the first is the program's name); gives its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match args::parse(args.into_iter().collect()) {
        Ok(parsed) => match dispatch(parsed) {
            Ok(code) => code,
            Err(failure) => {
                output::message("error", Tone::Bad, &failure.said());
                if let Some(hint) = &failure.hint {
                    output::message("hint", Tone::Warning, hint);
                }
                failure.exit.into()
            }
        },
        Err(shown) => {
            // Help and version are no errors and go to stdout; that nobody reads is no error, too.
            let _ = shown.print();
            if shown.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Ok.into()
            }
        }
    }
}

fn dispatch(parsed: Parsed) -> Result<ExitCode, Failure> {
    let flags = parsed.flags;
    let exit = match parsed.command {
        // Its exit code may be that of the command that it runs.
        Command::Lock(command) => return command.run(flags),
        Command::Serve(command) => command.run(flags),
        Command::Demo(command) => command.run(),
        Command::Service(command) => command.run(&flags),
        Command::Get(command) => command.run(flags),
        Command::Set(command) => command.run(flags),
        Command::Rm(command) => command.run(flags),
        Command::Ls(command) => command.run(flags),
        Command::History(command) => command.run(flags),
        Command::Diff(command) => command.run(flags),
        Command::Restore(command) => command.run(flags),
        Command::Conflicts(command) => command.run(flags),
        Command::Members(command) => command.run(flags),
        Command::Status(command) => command.run(flags),
        Command::Health(command) => command.run(flags),
        Command::Doctor(command) => command.run(flags),
        Command::Verify(command) => command.run(flags),
        Command::Config(command) => command.run(flags),
        Command::Secret(command) => command.run(),
        Command::Ca(command) => command.run(flags),
        Command::Completion(command) => command.run(),
        Command::Version(command) => command.run(),
        Command::Counter(command) => command.run(flags),
        Command::Log(command) => command.run(flags),
        Command::Txn(command) => command.run(flags),
        Command::Quorum(command) => command.run(flags),
    };
    Ok(exit?.into())
}

/// Everything that was given, from all layers.
fn layers(flags: Flags) -> Result<Layers, Failure> {
    Layers::new(flags, &|name| std::env::var_os(name)).map_err(|why| Failure::new(Exit::Usage, why))
}

/// The configuration of a command that asks a member.
fn client_config(flags: Flags) -> Result<ClientConfig, Failure> {
    let layers = layers(flags)?;
    let (config, _) = ClientConfig::check(&layers).map_err(|why| Failure::new(Exit::Usage, why))?;
    Ok(config)
}
