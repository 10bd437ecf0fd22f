//! A session kept in a file (`--session`): what this client has seen so far, so that the next
//! command, on whichever member, sees at least as much.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::exit::{Exit, Failure};
use super::output::{self, Tone};

/// The header that carries it, both ways.
pub(super) const HEADER: HeaderName = HeaderName::from_static("gaggle-session");

/// The file with the token, and the token as it is now.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    token: RefCell<Option<HeaderValue>>,
}

impl TokenFile {
    /// Reads the file; one that is not there yet is the beginning of a session.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(why) if why.kind() == io::ErrorKind::NotFound => String::new(),
            Err(why) => {
                let what = format!("the session {} cannot be read", path.display());
                return Err(Failure::new(
                    Exit::Usage,
                    anyhow::Error::new(why).context(what),
                ));
            }
        };
        let text = text.trim();
        let token = if text.is_empty() {
            None
        } else {
            let value = text.parse().map_err(|_| {
                Failure::usage(format!("{} holds no session", path.display()))
                    .hint("another file, or none, begins a new session")
            })?;
            Some(value)
        };
        Ok(Self {
            path: path.to_owned(),
            token: RefCell::new(token),
        })
    }

    /// The token for the next request.
    pub(super) fn token(&self) -> Option<HeaderValue> {
        self.token.borrow().clone()
    }

    /// Takes the token of an answer and keeps it. If it cannot be kept, the command was done all
    /// the same, so that is told and no failure.
    pub(super) fn take(&self, headers: &HeaderMap) {
        let Some(token) = headers.get(HEADER) else {
            return;
        };
        if self.token.replace(Some(token.clone())).as_ref() != Some(token)
            && let Err(why) = self.keep(token)
        {
            let text = format!("{:#}; the next command may see less", why.error);
            output::message("warning", Tone::Warning, &text);
        }
    }

    /// Written beside and renamed, so that the file is always whole.
    fn keep(&self, token: &HeaderValue) -> Result<(), Failure> {
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(".new");
        let mut text = token.as_bytes().to_vec();
        text.push(b'\n');
        let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &self.path));
        let what = || format!("the session {} cannot be written", self.path.display());
        written.with_context(what)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_on_in_the_next_command() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session");
        let first = TokenFile::open(&path).unwrap();
        assert_eq!(first.token(), None);
        first.take(&HeaderMap::new());
        assert!(!path.exists());
        first.take(&HeaderMap::from_iter([(
            HEADER,
            HeaderValue::from_static("a1"),
        )]));
        assert_eq!(first.token().unwrap(), "a1");
        let second = TokenFile::open(&path).unwrap();
        assert_eq!(second.token().unwrap(), "a1");
        fs::write(&path, "a\u{1}b").unwrap();
        assert_eq!(TokenFile::open(&path).unwrap_err().exit, Exit::Usage);
    }
}
