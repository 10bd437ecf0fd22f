//! What is derived from the secret: the key for datagrams and the certificate authority, and
//! nothing else.
//!
//! The public key of the authority, and every sealed datagram, lets an attacker try guesses of the
//! secret offline. A secret that `gaggle secret` made has 256 bits and cannot be guessed; any other
//! is stretched with Argon2id first (64 MiB, three passes: about 0.13 s, once at start). The
//! cluster's id is part of the salt, so that the same secret gives unrelated keys to another
//! cluster. Labels carry a version, so that a later scheme never meets an older one's keys.

use std::fmt;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use super::authority::{Authority, AuthorityError};
use super::secret::{Secret, Secrets};
use super::trust::Trust;
use crate::model::ClusterId;

const SALT: &[u8] = b"gaggle keys v1 ";
const DATAGRAM: &[u8] = b"datagram v1";
const AUTHORITY: &[u8] = b"authority p256 v1";
const STRETCH_SALT: &str = "gaggle stretch v1 ";
const STRETCH_KIB: u32 = 64 * 1024;
const STRETCH_PASSES: u32 = 3;

/// The keys that one secret gives to one cluster.
#[derive(Clone)]
pub struct ClusterKeys {
    /// The root key for sealed datagrams, 32 bytes.
    pub datagram: Zeroizing<[u8; 32]>,
    /// The cluster's certificate authority.
    pub authority: Arc<Authority>,
}

impl fmt::Debug for ClusterKeys {
    /// Shows the authority's fingerprint, which is public, and no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterKeys")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

/// The keys of all secrets in force.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// What we seal and issue with.
    pub first: ClusterKeys,
    /// What we accept as well, during a rotation.
    pub also: Option<ClusterKeys>,
}

impl Keyring {
    /// The authorities to trust, the one in use first.
    pub fn authorities(&self) -> Vec<Arc<Authority>> {
        let also = self.also.iter().map(|keys| keys.authority.clone());
        std::iter::once(self.first.authority.clone())
            .chain(also)
            .collect()
    }

    /// Trust in these authorities and nobody else.
    pub fn trust(&self) -> Trust {
        Trust::authorities(&self.authorities())
    }

    /// The authorities' certificates as PEM, the one in use first: what clients trust.
    pub fn ca_pem(&self) -> String {
        self.authorities()
            .iter()
            .map(|authority| authority.ca_pem())
            .collect()
    }
}

impl Secret {
    /// Derives the keys. Takes 0.1 s and 64 MiB for a secret that we did not make: call it once,
    /// away from the tasks that serve.
    ///
    /// # Errors
    /// When there is no memory to stretch the secret in, or the certificate cannot be built.
    pub fn keys(&self, cluster: &ClusterId) -> Result<ClusterKeys, AuthorityError> {
        let material = if self.is_generated() {
            Zeroizing::new(self.bytes().to_vec())
        } else {
            stretch(self.bytes(), cluster)?
        };
        let salt = [SALT, cluster.as_str().as_bytes()].concat();
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(&material);
        Ok(ClusterKeys {
            datagram: expand(&root, &[DATAGRAM]),
            authority: Arc::new(Authority::derive(cluster, |attempt| {
                expand(&root, &[AUTHORITY, &[attempt]])
            })?),
        })
    }
}

impl Secrets {
    /// Derives the keys of each secret; see [`Secret::keys`].
    ///
    /// # Errors
    /// As [`Secret::keys`].
    pub fn keys(&self, cluster: &ClusterId) -> Result<Keyring, AuthorityError> {
        Ok(Keyring {
            first: self.first.keys(cluster)?,
            also: self.also.as_ref().map(|s| s.keys(cluster)).transpose()?,
        })
    }
}

fn expand(root: &hkdf::Prk, label: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    root.expand(label, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(key.as_mut_slice()))
        .expect("32 bytes are the length of one SHA-256 block, which HKDF always gives");
    key
}

fn stretch(secret: &[u8], cluster: &ClusterId) -> Result<Zeroizing<Vec<u8>>, AuthorityError> {
    let failed = |why: argon2::Error| AuthorityError::Stretch(why.to_string());
    let params = Params::new(STRETCH_KIB, STRETCH_PASSES, 1, Some(32)).map_err(failed)?;
    let salt = format!("{STRETCH_SALT}{cluster}");
    let mut out = Zeroizing::new(vec![0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(secret, salt.as_bytes(), &mut out)
        .map_err(failed)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str) -> ClusterId {
        name.parse().unwrap()
    }

    #[test]
    fn the_same_secret_and_cluster_give_the_same_keys_byte_for_byte() {
        for text in [Secret::generate().reveal(), "a secret of our own making"] {
            let one = Secret::parse(text).unwrap().keys(&cluster("a")).unwrap();
            let two = Secret::parse(text).unwrap().keys(&cluster("a")).unwrap();
            assert_eq!(one.datagram, two.datagram);
            assert_eq!(one.authority.ca_pem(), two.authority.ca_pem());
            assert_eq!(one.authority.ca_der(), two.authority.ca_der());
        }
    }

    #[test]
    fn another_secret_or_another_cluster_gives_other_keys() {
        let secret = Secret::generate();
        let here = secret.keys(&cluster("a")).unwrap();
        let there = secret.keys(&cluster("b")).unwrap();
        let other = Secret::generate().keys(&cluster("a")).unwrap();
        for keys in [&there, &other] {
            assert_ne!(here.datagram, keys.datagram);
            assert_ne!(here.authority.ca_der(), keys.authority.ca_der());
        }
    }

    /// Pins the derivation: members of different releases must agree on it for ever. If this
    /// fails, a cluster could not be upgraded member by member.
    #[test]
    fn the_derivation_is_the_one_that_older_releases_used() {
        let made = Secret::from_random(Zeroizing::new([7; 32]));
        let own = Secret::parse("sixteen bytes, or more").unwrap();
        let shown = |secret: &Secret| {
            let keys = secret.keys(&cluster("gaggle")).unwrap();
            let datagram = u64::from_be_bytes(*keys.datagram.first_chunk().unwrap());
            format!("{datagram:016x} {}", &keys.authority.fingerprint()[..16])
        };
        let expected = [
            "b5e8a7cce64fc8c8 c210c1de645c2cbd",
            "0e25fd7646743a74 bdf58ede25125e63",
        ];
        assert_eq!([shown(&made), shown(&own)], expected);
    }

    #[test]
    fn debug_shows_no_key() {
        let keys = Secret::generate().keys(&cluster("a")).unwrap();
        let shown = format!("{keys:?}");
        assert!(shown.contains(&keys.authority.fingerprint()), "{shown}");
        assert!(!shown.contains(&format!("{:?}", keys.datagram[0..4].to_vec())));
        assert!(!shown.contains("datagram"), "{shown}");
    }
}
