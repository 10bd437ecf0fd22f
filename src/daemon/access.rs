//! The cluster's secret and the first user's password: as given, or made at the first start.
//!
//! What a member makes itself is kept in the data directory, readable by its owner only, and told
//! once.

use crate::api::auth::{Users, hash_password};
use crate::config::Config;
use crate::io::random;
use crate::io::tls::{Keyring, Secret, Secrets};

use super::DaemonError;

/// What opens this member.
pub(super) struct Access {
    /// The keys of the cluster's secret.
    pub(super) keyring: Keyring,
    /// The users who may come in.
    pub(super) users: Users,
    /// A secret that was made just now, to be told.
    pub(super) new_secret: Option<String>,
    /// A password that was made just now, to be told.
    pub(super) new_password: Option<String>,
}

/// Reads or makes the secret and the password.
pub(super) fn open(config: &Config) -> Result<Access, DaemonError> {
    let (secrets, new_secret) = secrets(config)?;
    let keyring = secrets.keys(&config.cluster)?;
    same_cluster(config, &keyring)?;
    warn_if_open(config);
    let (password, new_password) = password(config)?;
    let users = users(&config.user, &password)?;
    Ok(Access {
        keyring,
        users,
        new_secret,
        new_password,
    })
}

/// The users after a reload: the password may have changed.
pub(super) fn reload(config: &Config) -> Result<Users, DaemonError> {
    warn_if_open(config);
    match config.password.clone().or_else(|| config.data.password()) {
        Some(password) => users(&config.user, password.reveal()),
        None => Err(DaemonError::User(
            "no password is given, and the file of the one that was made is gone".to_owned(),
        )),
    }
}

fn warn_if_open(config: &Config) {
    if config.credentials_open {
        let file = config.data.credentials_file();
        tracing::warn!(
            file = %file.display(),
            "others on this host can read the password: chmod 600 the file"
        );
    }
}

fn users(name: &str, password: &str) -> Result<Users, DaemonError> {
    let hash = hash_password(password).map_err(|why| DaemonError::User(why.to_string()))?;
    Users::one(name, hash).map_err(|why| DaemonError::User(why.to_string()))
}

fn secrets(config: &Config) -> Result<(Secrets, Option<String>), DaemonError> {
    if let Some(given) = config.secret.clone() {
        return Ok((Secrets::parse(given.reveal())?, None));
    }
    if let Some(kept) = config.data.secret() {
        return Ok((Secrets::parse(kept.reveal())?, None));
    }
    if config.data.ca_file().exists() {
        return Err(DaemonError::SecretMissing(config.data.path().to_owned()));
    }
    let made = Secret::generate();
    let write = config.data.write_secret(made.reveal());
    write.map_err(|why| DaemonError::File {
        what: "secret",
        why,
    })?;
    Ok((
        Secrets::parse(made.reveal())?,
        Some(made.reveal().to_owned()),
    ))
}

/// The data directory remembers the authority of its cluster: data of one cluster must not begin
/// another by a forgotten or mistyped secret. During a rotation one of the secrets is known.
fn same_cluster(config: &Config, keyring: &Keyring) -> Result<(), DaemonError> {
    let Ok(kept) = std::fs::read_to_string(config.data.ca_file()) else {
        return Ok(());
    };
    let known = keyring
        .authorities()
        .iter()
        .any(|one| kept.contains(one.ca_pem().trim()));
    if known || kept.trim().is_empty() {
        return Ok(());
    }
    Err(DaemonError::OtherSecret(config.data.path().to_owned()))
}

/// The password in force, and whether it was made just now.
fn password(config: &Config) -> Result<(String, Option<String>), DaemonError> {
    let given = config.password.clone().or_else(|| config.data.password());
    if let Some(password) = given {
        return Ok((password.reveal().to_owned(), None));
    }
    let made = new_password();
    let write = config.data.write_password(&made);
    write.map_err(|why| DaemonError::File {
        what: "password",
        why,
    })?;
    Ok((made.clone(), Some(made)))
}

/// A password of 24 letters and digits that are hard to mistake for each other: 120 bits.
fn new_password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let mut bytes = [0; 24];
    random::fill(&mut bytes);
    bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use super::*;
    use crate::config::{Flags, Layers};

    #[test]
    fn passwords_are_long_and_never_the_same() {
        let made: HashSet<String> = (0..100).map(|_| new_password()).collect();
        assert_eq!(made.len(), 100);
        assert!(made.iter().all(|password| password.len() == 24));
    }

    /// The configuration of a member in this directory with these variables.
    fn config(dir: &Path, variables: &[(&str, &str)]) -> Config {
        let look_up = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            let here = (name == "GAGGLE_DATA").then(|| dir.as_os_str().to_owned());
            here.or_else(|| found.map(|(_, value)| value.into()))
        };
        let layers = Layers::new(Flags::new(), &look_up).unwrap();
        Config::check(&layers).unwrap().0
    }

    #[test]
    fn a_directory_takes_only_a_secret_of_its_own_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let alone = config(dir.path(), &[]);
        let first = open(&alone).unwrap();
        let secret = first.new_secret.expect("an empty directory makes a secret");
        alone.data.write_ca(&first.keyring.ca_pem()).unwrap();
        assert!(open(&alone).unwrap().new_secret.is_none(), "it was kept");

        let other = Secret::generate().reveal().to_owned();
        let with = |secret: &str| config(dir.path(), &[("GAGGLE_SECRET", secret)]);
        let refused = open(&with(&other)).err();
        assert!(
            matches!(refused, Some(DaemonError::OtherSecret(_))),
            "{refused:?}"
        );
        open(&with(&format!("{other},{secret}"))).expect("a rotation is no other cluster");

        std::fs::remove_file(alone.data.secret_file()).unwrap();
        let refused = open(&alone).err();
        assert!(
            matches!(refused, Some(DaemonError::SecretMissing(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn credentials_of_the_original_open_the_member_and_are_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials.json");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let opens = |users: &Users, name: &str, password: &str| {
            let (principal, hash) = users.find(name);
            principal.is_some() && hash.verify(password.as_bytes())
        };
        // The member's own password, made before, counts less.
        assert!(
            open(&config(dir.path(), &[]))
                .unwrap()
                .new_password
                .is_some()
        );
        write(r#"{"user":"ann","password":"first"}"#);
        let access = open(&config(dir.path(), &[])).unwrap();
        assert!(access.new_password.is_none());
        assert!(opens(&access.users, "ann", "first"));
        assert!(!opens(&access.users, "admin", "first"));
        write(r#"{"user":"bob","password":"second"}"#);
        let users = reload(&config(dir.path(), &[])).unwrap();
        assert!(opens(&users, "bob", "second") && !opens(&users, "ann", "first"));
        // What is given counts more.
        let given = config(dir.path(), &[("GAGGLE_PASSWORD", "third")]);
        let users = reload(&given).unwrap();
        assert!(opens(&users, "admin", "third"));
        write("{\"user\":");
        let layers =
            |name: &str| (name == "GAGGLE_DATA").then(|| dir.path().as_os_str().to_owned());
        let layers = Layers::new(Flags::new(), &layers).unwrap();
        let refused = Config::check(&layers).unwrap_err().to_string();
        assert!(refused.contains("credentials.json: at line 1"), "{refused}");
    }

    #[test]
    fn a_reload_makes_no_password() {
        let dir = tempfile::tempdir().unwrap();
        let alone = config(dir.path(), &[]);
        assert!(open(&alone).unwrap().new_password.is_some());
        reload(&alone).expect("the password is kept");
        std::fs::remove_file(alone.data.password_file()).unwrap();
        assert!(reload(&alone).is_err());
        assert!(!alone.data.password_file().exists());
    }
}
