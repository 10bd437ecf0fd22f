//! `credentials.json` in the data directory: the user and the password as the daemon of the name
//! gaggle, version 0.7, kept them.
//!
//! It counts if neither a user nor a password is given in any other way, and before a password that
//! the member made itself.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Deserialize;

use super::hidden::Hidden;
use super::layers::hidden_file;
use super::member::{password, user};

/// What the file holds. Other members of it are passed over.
#[derive(Deserialize)]
struct File {
    user: String,
    password: String,
}

/// A user with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    /// The user's name.
    pub(super) user: String,
    /// The password.
    pub(super) password: Hidden,
    /// Whether other users of this host may read the file.
    pub(super) is_open: bool,
}

/// What the file holds; none: it is not there.
///
/// # Errors
/// Why it cannot be taken. The text ends the sentence "`<file>`: …" and shows nothing of it.
pub(super) fn read(path: &Path) -> Result<Option<Credentials>, String> {
    let Ok(metadata) = std::fs::metadata(path) else {
        return Ok(None);
    };
    let text = hidden_file(path)?;
    let File {
        user: name,
        password: secret,
    } = serde_json::from_str(text.reveal()).map_err(|why| {
        let place = format!("line {}, column {}", why.line(), why.column());
        format!("at {place} it is no {{\"user\":\"NAME\",\"password\":\"TEXT\"}}")
    })?;
    let user = user(&name).map_err(|why| format!("the user: {why}"))?;
    password(&secret).map_err(|why| format!("the password: {why}"))?;
    Ok(Some(Credentials {
        user,
        password: Hidden::new(secret),
        is_open: metadata.permissions().mode() & 0o077 != 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: u32) -> Result<Option<Credentials>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        read(&path)
    }

    #[test]
    fn a_file_of_the_original_is_read() {
        let read = file(r#"{"user":"ann","password":"p:w \"x\""}"#, 0o600);
        let read = read.unwrap().unwrap();
        assert_eq!((&*read.user, read.password.reveal()), ("ann", "p:w \"x\""));
        assert!(!read.is_open);
        let open = file("{\"user\":\"ann\",\"password\":\"pw\",\"more\":1}\n", 0o644);
        assert!(open.unwrap().unwrap().is_open);
        assert_eq!(
            super::read(Path::new("/nowhere/credentials.json")),
            Ok(None)
        );
    }

    #[test]
    fn a_broken_file_says_where_and_shows_nothing() {
        for (text, why) in [
            ("", "line 1, column 0"),
            (
                "{\"user\":\"ann\",\n\"password\":hunter2}",
                "line 2, column 12",
            ),
            ("[]", "it is no {\"user\":\"NAME\""),
            ("{\"user\":\"ann\"}", "it is no"),
            (
                "{\"user\":\"a:b\",\"password\":\"hunter2\"}",
                "the user: a colon",
            ),
            (
                "{\"user\":\"ann\",\"password\":\"\"}",
                "the password: there is nothing",
            ),
            ("{\"user\":\"ann\",\"password\":5}", "it is no"),
        ] {
            let told = file(text, 0o600).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
