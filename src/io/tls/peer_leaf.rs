//! The leaf that a peer has shown, verified by the handshake against the cluster's authorities.

use std::sync::{Arc, OnceLock};

use rustls::client::verify_server_name;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use super::names::server_name;
use crate::model::MemberId;

/// A peer's verified leaf. A peer says who it is in the header `gaggle-member`; whether that is
/// true, its leaf tells. Cloning is cheap and shares the answer that was found.
#[derive(Clone, Debug)]
pub struct PeerLeaf(Arc<Shown>);

#[derive(Debug)]
struct Shown {
    certificate: CertificateDer<'static>,
    known: OnceLock<MemberId>,
}

impl PeerLeaf {
    /// Wraps a leaf that a handshake has verified; nothing is verified here.
    pub(crate) fn verified(certificate: CertificateDer<'static>) -> Self {
        Self(Arc::new(Shown {
            certificate,
            known: OnceLock::new(),
        }))
    }

    /// Whether the leaf was issued to this member. The first positive answer is remembered, so that
    /// asking with each request of a connection costs a comparison.
    pub fn is(&self, member: MemberId) -> bool {
        if self.0.known.get() == Some(&member) {
            return true;
        }
        let valid = ParsedCertificate::try_from(&self.0.certificate)
            .and_then(|leaf| verify_server_name(&leaf, &server_name(Some(member))))
            .is_ok();
        if valid {
            let _ = self.0.known.set(member);
        }
        valid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::tls::{LeafNames, Secret};
    use crate::model::WallTime;

    #[test]
    fn a_leaf_is_of_the_member_that_it_was_issued_to_and_of_no_other() {
        let keys = Secret::generate().keys(&"c".parse().unwrap()).unwrap();
        let member = MemberId::from_u64(0x1234_5678_9abc_def0);
        let other = MemberId::from_u64(0x1234_5678_9abc_def1);
        let names = LeafNames::new([format!("{other}.member.gaggle.internal")]);
        let now = WallTime::from_millis(1_790_000_000_000);
        let leaf = keys.authority.issue(member, &names, now).unwrap();
        let shown = PeerLeaf::verified(leaf.certificate().clone());
        for _ in 0..2 {
            assert!(!shown.is(other));
            assert!(shown.is(member));
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_are_nobody() {
        let shown = PeerLeaf::verified(CertificateDer::from(vec![0x30, 0x80, 1]));
        assert!(!shown.is(MemberId::from_u64(0)));
    }
}
