//! How a command ends: its exit code, and what it says when it failed.

use std::fmt;
use std::process::ExitCode;

/// The exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was done.
    Ok = 0,
    /// It failed for a reason that has no code of its own.
    Error = 1,
    /// The command line, a variable or the configuration file is wrong; nothing was tried.
    Usage = 2,
    /// There is no such node, key or thing.
    NotFound = 3,
    /// User or password is missing or wrong.
    Auth = 4,
    /// A condition did not hold, or it exists already.
    Conflict = 5,
    /// There is no majority of voters.
    NoQuorum = 6,
    /// No answer in time; what was asked may have been done or not.
    TimeOut = 7,
    /// No member that answers has seen yet what the session (`--session`) has; nothing was done.
    Behind = 8,
}

/// What `--help` says about the exit codes.
pub(super) const EXIT_HELP: &str = "\
Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 not authorized, 5 conflict, 6 no quorum,
7 time-out (it may have been done or not), 8 no member has seen yet what the session has.";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed: what happened and why, what to do next, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened and why.
    pub error: anyhow::Error,
    /// What to do next, where the error does not say.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with its own exit code.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
            hint: None,
        }
    }

    /// A failure that is no more than a message.
    pub fn message(exit: Exit, message: impl fmt::Display) -> Self {
        Self::new(exit, anyhow::anyhow!("{message}"))
    }

    /// The command line is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::message(Exit::Usage, message)
    }

    /// `what happened: because of this: and that`. A cause that an error names itself is said once.
    pub fn said(&self) -> String {
        let mut said = self.error.to_string();
        for cause in self.error.chain().skip(1).map(ToString::to_string) {
            if !said.ends_with(&cause) {
                said = format!("{said}: {cause}");
            }
        }
        said
    }

    /// The same with a word on what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Exit::Error, error)
    }
}

impl fmt::Display for Failure {
    /// `what happened: because of this: and that`, and a line with the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said())?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let error = Err::<(), _>(std::io::Error::other("disk on fire"))
            .context("ca.pem cannot be read")
            .unwrap_err();
        let failure = Failure::new(Exit::Error, error).hint("put it out");
        let expected = "ca.pem cannot be read: disk on fire\nhint: put it out";
        assert_eq!(failure.to_string(), expected);
        assert_eq!(Failure::usage("x").exit, Exit::Usage);
    }

    #[test]
    fn a_cause_that_an_error_names_itself_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("the file does not read: {0}")]
        struct Unread(#[source] std::io::Error);
        let failure = Failure::from(Unread(std::io::Error::other("disk on fire")));
        let said = "the file does not read: disk on fire";
        assert_eq!(failure.to_string(), said);
    }

    #[test]
    fn each_code_is_told_in_the_help() {
        for code in [
            Exit::Ok,
            Exit::Error,
            Exit::Usage,
            Exit::NotFound,
            Exit::Auth,
            Exit::Conflict,
            Exit::NoQuorum,
            Exit::TimeOut,
            Exit::Behind,
        ] {
            let number = format!("{} ", code as u8);
            assert!(EXIT_HELP.contains(&number), "{code:?}");
        }
    }
}
