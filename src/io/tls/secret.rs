//! The cluster's secret as text: made, read, checked, never shown by accident.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize, Zeroizing};

use crate::io::random;

/// The fewest bytes that a secret may have.
pub const SECRET_LEAST: usize = 16;
/// The most bytes that a secret may have: far beyond any need, a bound on what is read.
pub const SECRET_MOST: usize = 1024;

const PREFIX: &str = "gaggle-";
const RANDOM: usize = 32;
const CHECKSUM: usize = 4;
const CHECKSUM_LABEL: &[u8] = b"gaggle secret checksum v1";

/// Why a text is no secret. Happens when an operator mistypes it; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is no text, or only blanks.
    #[error("the secret is empty: `gaggle secret` makes one")]
    Empty,
    /// Fewer than [`SECRET_LEAST`] bytes.
    #[error("the secret has {0} bytes and needs at least 16: `gaggle secret` makes a good one")]
    Short(usize),
    /// More than [`SECRET_MOST`] bytes.
    #[error("the secret has {0} bytes, the most is 1024: `gaggle secret` makes a good one")]
    Long(usize),
    /// It begins like a secret made by `gaggle secret`, but its checksum is wrong.
    #[error(
        "the secret begins with \"gaggle-\" but its checksum is wrong: a character is missing or \
         mistyped; copy it again from where `gaggle secret` printed it"
    )]
    Typo,
    /// More than two secrets in a comma-separated list.
    #[error("at most two secrets, comma separated: the new one and the old one of a rotation")]
    TooMany,
}

/// What every member of a cluster knows. Wiped from memory when dropped; shows nothing when
/// printed. Text form of one that we made: `gaggle-` and the base64url of 32 random bytes and a
/// 4-byte checksum, so that a typo is noticed and that we know it needs no stretching.
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<String>,
    random: Option<Zeroizing<[u8; RANDOM]>>,
}

impl Secret {
    /// A new secret of 32 random bytes.
    pub fn generate() -> Self {
        let mut random = Zeroizing::new([0; RANDOM]);
        random::fill(random.as_mut_slice());
        Self::from_random(random)
    }

    /// Reads a secret; blanks around it (such as the line feed at the end of a file) are ignored.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if let Some(body) = text.strip_prefix(PREFIX) {
            let random = decode(body).ok_or(SecretError::Typo)?;
            return Ok(Self::from_random(random));
        }
        match text.len() {
            short @ ..SECRET_LEAST => Err(SecretError::Short(short)),
            SECRET_LEAST..=SECRET_MOST => Ok(Self {
                text: Zeroizing::new(text.to_owned()),
                random: None,
            }),
            long => Err(SecretError::Long(long)),
        }
    }

    /// The secret as text, to be printed or stored on purpose.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Whether `gaggle secret` made it: 256 bits of randomness, so no stretching is needed.
    pub fn is_generated(&self) -> bool {
        self.random.is_some()
    }

    /// The bytes that keys are derived from: the random ones, or the text.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.random {
            Some(random) => random.as_slice(),
            None => self.text.as_bytes(),
        }
    }

    pub(super) fn from_random(random: Zeroizing<[u8; RANDOM]>) -> Self {
        let mut octets = Zeroizing::new([0; RANDOM + CHECKSUM]);
        let (front, back) = octets.split_at_mut(RANDOM);
        front.copy_from_slice(random.as_slice());
        back.copy_from_slice(&checksum(&random));
        let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(octets.as_slice()));
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + body.len()));
        text.push_str(PREFIX);
        text.push_str(&body);
        let random = Some(random);
        Self { text, random }
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Debug for Secret {
    /// Shows that there is a secret, and not one bit of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The secrets in force: one, or two during a rotation.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// The one that is used: our datagrams are sealed and our leaf is issued with it.
    pub first: Secret,
    /// Another one that is accepted as well.
    pub also: Option<Secret>,
}

impl Secrets {
    /// Reads `a` or `a,b`. Twice the same counts once.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let mut parts = text.split(',');
        let first = Secret::parse(parts.next().unwrap_or_default())?;
        let also = parts.next().map(Secret::parse).transpose()?;
        if parts.next().is_some() {
            return Err(SecretError::TooMany);
        }
        let also = also.filter(|other| other.reveal() != first.reveal());
        Ok(Self { first, also })
    }
}

impl From<Secret> for Secrets {
    fn from(first: Secret) -> Self {
        Self { first, also: None }
    }
}

fn checksum(random: &[u8; RANDOM]) -> [u8; CHECKSUM] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(CHECKSUM_LABEL);
    context.update(random);
    let mut sum = [0; CHECKSUM];
    for (to, from) in sum.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    sum
}

fn decode(body: &str) -> Option<Zeroizing<[u8; RANDOM]>> {
    let octets = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).ok()?);
    let mut random = Zeroizing::new([0; RANDOM]);
    let (front, back) = octets.split_at_checked(RANDOM)?;
    random.copy_from_slice(front);
    if back == checksum(&random) {
        return Some(random);
    }
    random.zeroize();
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_generated_secret_reads_back_and_is_known_as_ours() {
        let secret = Secret::generate();
        assert_eq!(secret.reveal().len(), 55);
        let again = Secret::parse(&format!(" {}\n", secret.reveal())).unwrap();
        assert!(again.is_generated());
        assert_eq!(again.reveal(), secret.reveal());
        assert_eq!(again.bytes(), secret.bytes());
        assert_ne!(Secret::generate().reveal(), secret.reveal());
    }

    #[test]
    fn any_single_typo_in_a_generated_secret_is_noticed() {
        let text = Secret::generate().reveal().to_owned();
        for at in PREFIX.len()..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[at] = if typo[at] == b'A' { b'B' } else { b'A' };
            let typo = String::from_utf8(typo).unwrap();
            assert_eq!(Secret::parse(&typo).err(), Some(SecretError::Typo));
            let missing = format!("{}{}", &text[..at], &text[at + 1..]);
            assert_eq!(Secret::parse(&missing).err(), Some(SecretError::Typo));
        }
        assert_eq!(Secret::parse("gaggle-").err(), Some(SecretError::Typo));
    }

    #[test]
    fn empty_and_short_secrets_are_refused_with_the_way_out() {
        for bad in ["", " \n", "hunter2", "fifteen bytes..", &"x".repeat(1025)] {
            let why = Secret::parse(bad).expect_err(bad).to_string();
            assert!(why.contains("`gaggle secret`"), "{why}");
        }
        let own = Secret::parse("sixteen bytes...").unwrap();
        assert!(!own.is_generated());
    }

    #[test]
    fn a_rotation_has_two_secrets_and_no_more() {
        let (a, b) = (Secret::generate(), Secret::generate());
        let both = Secrets::parse(&format!("{}, {}", a.reveal(), b.reveal())).unwrap();
        assert_eq!(both.first.reveal(), a.reveal());
        assert_eq!(both.also.unwrap().reveal(), b.reveal());
        let same = Secrets::parse(&format!("{0},{0}", a.reveal())).unwrap();
        assert!(same.also.is_none());
        let three = format!("{0},{0},{0}", a.reveal());
        assert_eq!(Secrets::parse(&three).err(), Some(SecretError::TooMany));
        let half = format!("{},", a.reveal());
        assert_eq!(Secrets::parse(&half).err(), Some(SecretError::Empty));
    }

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        let secrets = Secrets::parse("correct horse battery,staple and more so").unwrap();
        assert_eq!(format!("{:?}", secrets.first), "Secret(…)");
        let shown = format!("{secrets:?}");
        assert!(
            !shown.contains("horse") && !shown.contains("staple"),
            "{shown}"
        );
        assert!(!format!("{:?}", SecretError::Short(3)).contains('x'));
    }

    proptest! {
        #[test]
        fn any_text_is_a_secret_or_an_error_and_reads_back(text in "(gaggle-)?\\PC{0,80}") {
            if let Ok(secret) = Secret::parse(&text) {
                prop_assert_eq!(secret.reveal(), text.trim());
            }
            let _ = Secrets::parse(&text);
        }
    }
}
