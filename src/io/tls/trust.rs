//! Whom a client trusts: certificates of authorities, given as PEM or derived from the secret.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::authority::Authority;

/// Why a text names nobody to trust. Happens when the wrong file is given; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// No certificate in the text.
    #[error("there is no certificate in PEM in it: `gaggle ca` prints the cluster's")]
    Empty,
    /// Something in it is no certificate.
    #[error("it is no list of certificates in PEM: {0}")]
    Broken(String),
}

/// A set of authorities to trust, and nobody else: never the system's.
#[derive(Clone, Debug)]
pub struct Trust(Arc<RootCertStore>);

impl Trust {
    /// Reads one certificate or several, as PEM.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|why| TrustError::Broken(why.to_string()))?;
            roots
                .add(certificate)
                .map_err(|why| TrustError::Broken(why.to_string()))?;
        }
        if roots.is_empty() {
            return Err(TrustError::Empty);
        }
        Ok(Self(Arc::new(roots)))
    }

    /// Trusts the cluster's authorities.
    pub fn authorities(authorities: &[Arc<Authority>]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().map(|a| a.ca_der().clone()));
        Self(Arc::new(roots))
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::tls::Secrets;

    #[test]
    fn the_authorities_of_a_rotation_are_read_back_from_pem() {
        let secrets = Secrets::parse("sixteen bytes or more,another sixteen bytes").unwrap();
        let keyring = secrets.keys(&"c".parse().unwrap()).unwrap();
        let trust = Trust::from_pem(keyring.ca_pem().as_bytes()).unwrap();
        assert_eq!(trust.0.len(), 2);
        assert_eq!(Trust::authorities(&keyring.authorities()).0.len(), 2);
    }

    #[test]
    fn what_holds_no_certificate_is_refused() {
        assert_eq!(Trust::from_pem(b"").err(), Some(TrustError::Empty));
        assert_eq!(Trust::from_pem(b"hello\n").err(), Some(TrustError::Empty));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            Trust::from_pem(broken),
            Err(TrustError::Broken(_))
        ));
    }
}
