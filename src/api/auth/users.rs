//! Who may ask: users with their password hashes, as one value that can be replaced at once.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use argon2::password_hash::phc::{Output, PasswordHash as Phc, Salt};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

use crate::io::random;

/// The memory of one hash, in KiB (OWASP's choice for argon2id: 19 MiB, two passes, one lane).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The most memory that a hash from outside may ask for, in KiB.
const MOST_MEMORY_KIB: u32 = 1 << 20;
/// The most passes that a hash from outside may ask for.
const MOST_PASSES: u32 = 16;
/// The longest user name, in bytes.
const NAME_LIMIT: usize = 255;
/// The longest password, in bytes.
const PASSWORD_LIMIT: usize = 1024;

/// A user whose credentials were verified. Roles will join the name here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user's name: the author of what it writes.
    pub name: Arc<str>,
}

/// Why a user or a password is not taken. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A name that Basic authentication could not carry.
    #[error("a user's name has 1 to 255 bytes, no colon and no control character")]
    Name,
    /// A password that is empty, too long, or could not be typed.
    #[error("a password has 1 to 1024 bytes and no control character")]
    Password,
    /// A text that is no argon2id hash in PHC form, or one that would cost too much to verify.
    #[error("a password hash looks like $argon2id$v=19$m=19456,t=2,p=1$…$…")]
    Hash,
}

/// An argon2id hash of a password in PHC form.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Arc<Phc>);

/// Hashes a password with a fresh salt. Takes some 30 ms: for threads that may block.
pub fn hash_password(password: &str) -> Result<PasswordHash, UserError> {
    let fits = (1..=PASSWORD_LIMIT).contains(&password.len());
    if !fits || password.chars().any(char::is_control) {
        return Err(UserError::Password);
    }
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| UserError::Hash)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password.as_bytes(), &random::bytes16())
        .map(|hash| PasswordHash(Arc::new(hash)))
        .map_err(|_| UserError::Password)
}

impl PasswordHash {
    /// Whether this is the hash of `password`. Takes some 30 ms: for threads that may block.
    pub fn verify(&self, password: &[u8]) -> bool {
        Argon2::default()
            .verify_password(password, &*self.0)
            .is_ok()
    }

    /// A hash of nothing that costs as much to verify as this one.
    fn like(&self) -> Self {
        let mut hash = Phc::clone(&self.0);
        let mut output = [0; 32];
        random::fill(&mut output);
        hash.salt = Salt::new(&random::bytes16()).ok();
        hash.hash = Output::new(&output).ok();
        Self(Arc::new(hash))
    }
}

impl FromStr for PasswordHash {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        let hash = Phc::new(text).map_err(|_| UserError::Hash)?;
        let params = Params::try_from(&hash).map_err(|_| UserError::Hash)?;
        let known = hash.algorithm == Algorithm::Argon2id.ident()
            && hash.version == Some(Version::V0x13.into())
            && hash.salt.is_some()
            && hash.hash.is_some();
        let bounded = params.m_cost() <= MOST_MEMORY_KIB && params.t_cost() <= MOST_PASSES;
        if known && bounded {
            Ok(Self(Arc::new(hash)))
        } else {
            Err(UserError::Hash)
        }
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// The users of a cluster.
#[derive(Clone, Debug)]
pub struct Users {
    by_name: BTreeMap<Arc<str>, PasswordHash>,
    nobody: PasswordHash,
}

/// A hash at our own cost, of which nobody knows a password: the template of [`Users::nobody`].
const TEMPLATE: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl Users {
    /// These users. A name that comes twice has the last hash.
    pub fn new(
        users: impl IntoIterator<Item = (Arc<str>, PasswordHash)>,
    ) -> Result<Self, UserError> {
        let mut by_name = BTreeMap::new();
        for (name, hash) in users {
            let fits = (1..=NAME_LIMIT).contains(&name.len());
            if !fits || name.chars().any(|c| c == ':' || c.is_control()) {
                return Err(UserError::Name);
            }
            by_name.insert(name, hash);
        }
        let template = match by_name.values().next() {
            Some(hash) => hash.clone(),
            None => TEMPLATE.parse()?,
        };
        let nobody = template.like();
        Ok(Self { by_name, nobody })
    }

    /// One user.
    pub fn one(name: &str, hash: PasswordHash) -> Result<Self, UserError> {
        Self::new([(name.into(), hash)])
    }

    /// The user's name as kept here and the hash to verify against. For an unknown name a hash that
    /// nothing matches, so that a guess costs and takes the same.
    pub(crate) fn find(&self, name: &str) -> (Option<Principal>, &PasswordHash) {
        match self.by_name.get_key_value(name) {
            Some((name, hash)) => (Some(Principal { name: name.clone() }), hash),
            None => (None, &self.nobody),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_matches_its_hash_and_no_other_does() {
        let hash = hash_password("pässwörd:🦢").unwrap();
        let text = hash.to_string();
        assert!(
            text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{text}"
        );
        assert_eq!(text.parse(), Ok(hash.clone()));
        assert!(hash.verify("pässwörd:🦢".as_bytes()));
        assert!(!hash.verify(b"password"));
        assert_ne!(hash_password("pässwörd:🦢").unwrap(), hash, "salted");
        assert_eq!(format!("{hash:?}"), "PasswordHash(…)");
    }

    #[test]
    fn a_hash_of_another_kind_or_cost_is_refused() {
        let (head, _) = TEMPLATE.rsplit_once('$').unwrap();
        for bad in [
            "",
            "plain",
            "$2b$10$abcdefghijklmnopqrstuv",
            head,
            &TEMPLATE.replace("argon2id", "argon2i"),
            &TEMPLATE.replace("v=19", "v=16"),
            &TEMPLATE.replace("m=19456", "m=4194304"),
            &TEMPLATE.replace("t=2", "t=900"),
        ] {
            assert_eq!(bad.parse::<PasswordHash>(), Err(UserError::Hash), "{bad}");
        }
        assert!(TEMPLATE.parse::<PasswordHash>().is_ok());
    }

    #[test]
    fn names_and_passwords_that_no_client_could_send_are_refused() {
        let hash: PasswordHash = TEMPLATE.parse().unwrap();
        for bad in ["", "a:b", "a\n", &"x".repeat(256)] {
            let users = Users::one(bad, hash.clone());
            assert_eq!(users.map(|_| ()), Err(UserError::Name), "{bad:?}");
        }
        for bad in ["", "a\nb", &"x".repeat(1025)] {
            let hash = hash_password(bad);
            assert_eq!(hash.map(|_| ()), Err(UserError::Password), "{bad:?}");
        }
    }

    #[test]
    fn an_unknown_user_is_verified_against_a_hash_of_the_same_cost() {
        let dear = TEMPLATE.replace("m=19456,t=2", "m=64,t=3");
        let users = Users::one("ann", dear.parse().unwrap()).unwrap();
        let (ann, hash) = users.find("ann");
        assert_eq!(ann.map(|ann| ann.name.to_string()).as_deref(), Some("ann"));
        let (nobody, dummy) = users.find("bob");
        assert_eq!(nobody, None);
        assert_eq!(dummy.0.params, hash.0.params);
        assert_ne!(dummy.0.hash, hash.0.hash);
    }
}
