//! This member's own leaf: issued by itself at start, and again when its names change or two thirds
//! of its life are over. Connections made before keep the leaf that they were made with.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::authority::{Authority, AuthorityError, LEAF_LIFE};
use super::names::LeafNames;
use crate::model::{MemberId, WallTime};

/// What [`TlsIdentity::renew`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The leaf is as good as new.
    Kept,
    /// A new leaf is in force for every handshake from now on.
    Issued,
}

/// Who this member is, to clients and to peers.
#[derive(Debug)]
pub struct TlsIdentity {
    member: MemberId,
    authority: Arc<Authority>,
    current: ArcSwap<Current>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    names: LeafNames,
    issued: WallTime,
    not_after: WallTime,
    generation: u64,
}

impl TlsIdentity {
    /// Issues the first leaf.
    ///
    /// # Errors
    /// When it cannot be built; not expected.
    pub fn new(
        authority: Arc<Authority>,
        member: MemberId,
        names: LeafNames,
        now: WallTime,
    ) -> Result<Self, AuthorityError> {
        let first = issue(&authority, member, names, now, 0)?;
        Ok(Self {
            member,
            authority,
            current: ArcSwap::from_pointee(first),
        })
    }

    /// Whose identity this is.
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// When the leaf in force ceases to be valid.
    pub fn not_after(&self) -> WallTime {
        self.current.load().not_after
    }

    /// Issues a new leaf if `names` are not those in the present one, if two thirds of its life are
    /// over at `now`, or if the clock was set back to before its beginning. The daemon calls this
    /// when addresses change and every few minutes; it costs nothing when there is nothing to do.
    ///
    /// # Errors
    /// When the leaf cannot be built, which is not expected; the present one stays in force.
    pub fn renew(&self, names: &LeafNames, now: WallTime) -> Result<Renewal, AuthorityError> {
        let current = self.current.load();
        if current.names == *names && !current.is_due(now) {
            return Ok(Renewal::Kept);
        }
        let next = current.generation + 1;
        let leaf = issue(&self.authority, self.member, names.clone(), now, next)?;
        self.current.store(Arc::new(leaf));
        Ok(Renewal::Issued)
    }

    /// Counts the leaves issued: a connection made under an earlier number shows an older leaf.
    pub(crate) fn generation(&self) -> u64 {
        self.current.load().generation
    }

    fn key(&self) -> Arc<CertifiedKey> {
        self.current.load().key.clone()
    }
}

impl Current {
    fn is_due(&self, now: WallTime) -> bool {
        let life = u64::try_from(LEAF_LIFE.as_millis()).unwrap_or(u64::MAX);
        now < self.issued || now.millis() - self.issued.millis() >= life / 3 * 2
    }
}

impl ResolvesServerCert for TlsIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }
}

impl ResolvesClientCert for TlsIdentity {
    fn resolve(
        &self,
        _authorities: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn issue(
    authority: &Authority,
    member: MemberId,
    names: LeafNames,
    now: WallTime,
    generation: u64,
) -> Result<Current, AuthorityError> {
    let leaf = authority.issue(member, &names, now)?;
    Ok(Current {
        key: Arc::new(leaf.certified_key()?),
        names,
        issued: now,
        not_after: leaf.not_after(),
        generation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::tls::Secret;

    const DAY: u64 = 24 * 3600 * 1000;
    const NOW: u64 = 1_790_000_000_000;

    fn at(days: u64) -> WallTime {
        WallTime::from_millis(NOW + days * DAY)
    }

    fn identity() -> TlsIdentity {
        let keys = Secret::generate().keys(&"c".parse().unwrap()).unwrap();
        let names = LeafNames::new(["a"]);
        TlsIdentity::new(keys.authority, MemberId::from_u64(1), names, at(0)).unwrap()
    }

    #[test]
    fn a_leaf_is_renewed_after_two_thirds_of_its_life() {
        let identity = identity();
        let names = LeafNames::new(["a"]);
        let first = identity.key();
        assert_eq!(identity.not_after(), at(90));
        assert_eq!(identity.renew(&names, at(59)), Ok(Renewal::Kept));
        assert!(Arc::ptr_eq(&first, &identity.key()));
        assert_eq!(identity.renew(&names, at(60)), Ok(Renewal::Issued));
        assert_eq!(identity.not_after(), at(150));
        assert_ne!(first.cert, identity.key().cert);
        assert_eq!(identity.generation(), 1);
    }

    #[test]
    fn a_leaf_is_renewed_when_names_change_or_the_clock_was_set_back() {
        let identity = identity();
        let names = LeafNames::new(["a", "10.0.0.7"]);
        assert_eq!(identity.renew(&names, at(1)), Ok(Renewal::Issued));
        assert_eq!(identity.renew(&names, at(1)), Ok(Renewal::Kept));
        assert_eq!(identity.renew(&names, at(0)), Ok(Renewal::Issued));
    }
}
