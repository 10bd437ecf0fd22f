//! `gaggle completion`: what a shell needs to complete command lines.

use clap_complete::Shell;

use super::exit::{Exit, Failure};
use super::{args, output};

/// Print the completions for a shell
///
/// bash: source <(gaggle completion bash)
/// zsh: source <(gaggle completion zsh)
/// fish: gaggle completion fish | source
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Completion {
    /// The shell
    shell: Kind,
}

/// The shells that we know.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let shell = match self.shell {
            Kind::Bash => Shell::Bash,
            Kind::Zsh => Shell::Zsh,
            Kind::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut args::description(), "gaggle", &mut script);
        output::octets(&script)?;
        Ok(Exit::Ok)
    }
}
