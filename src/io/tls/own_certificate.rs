//! The operator's own certificate, shown to clients instead of the cluster's: read from files,
//! checked before it is used, read again when they change. Peers never see it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, InconsistentKeys, RootCertStore};
use zeroize::Zeroizing;

use super::provider::{provider, unix_time};
use super::refusal::wall;
use crate::model::WallTime;

/// A certificate chain or a key that is longer than this is not read: a bound on memory.
const MOST_BYTES: u64 = 1024 * 1024;

/// Where the operator's certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the server's certificate first, then those that lead to its authority.
    pub certificate: PathBuf,
    /// PEM: the private key, PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// Why the operator's certificate cannot be used. Happens when files are half replaced, mistyped or
/// out of date; a certificate that is in use stays in use.
#[derive(Debug, thiserror::Error)]
pub enum OwnCertificateError {
    /// A file cannot be read.
    #[error("{} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// A file does not hold what it should, in PEM.
    #[error("{} holds no {what} in PEM: {why}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
        /// What was found wrong.
        why: String,
    },
    /// The key belongs to another certificate.
    #[error(
        "the key in {} does not belong to the certificate in {}: replace both together",
        files.key.display(), files.certificate.display()
    )]
    Mismatch {
        /// The two files.
        files: CertificateFiles,
    },
    /// The certificate's time is over.
    #[error(
        "the certificate in {} expired at {not_after}; the clock here says {now}: renew it, or set \
         the clock if that is what is wrong",
        path.display()
    )]
    Expired {
        /// The file.
        path: PathBuf,
        /// When it ceased to be valid.
        not_after: WallTime,
        /// What the clock says.
        now: WallTime,
    },
    /// The certificate's time has not begun.
    #[error(
        "the certificate in {} is valid only from {not_before}; the clock here says {now}: set the \
         clock if that is what is wrong",
        path.display()
    )]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// When it begins to be valid.
        not_before: WallTime,
        /// What the clock says.
        now: WallTime,
    },
    /// The certificate or the key is of a kind that cannot be used.
    #[error("the certificate in {} cannot be used: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        why: String,
    },
}

/// What the files looked like: enough to notice that they were replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileMarks([Option<(SystemTime, u64)>; 2]);

impl CertificateFiles {
    /// How the files look now; a file that is missing differs from one that is there.
    pub(super) fn marks(&self) -> FileMarks {
        let mark = |path: &Path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        };
        FileMarks([mark(&self.certificate), mark(&self.key)])
    }

    /// Reads and checks the certificate: key and certificate belong together, the time is right.
    pub(super) fn load(&self, now: WallTime) -> Result<CertifiedKey, OwnCertificateError> {
        let chain = CertificateDer::pem_slice_iter(&read(&self.certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| empty(&self.certificate, "certificate", &why))?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|why| empty(&self.key, "private key", &why))?;
        let Some(leaf) = chain.first() else {
            let none = rustls::pki_types::pem::Error::NoItemsFound;
            return Err(empty(&self.certificate, "certificate", &none));
        };
        self.check_time(leaf, now)?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|why| match why {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                OwnCertificateError::Mismatch {
                    files: self.clone(),
                }
            }
            why => self.unusable(&why),
        })
    }

    /// Whether `now` lies in the certificate's time. The verifier looks at the time before it looks
    /// for the issuer, so with nobody to trust it answers either the one or the other.
    fn check_time(
        &self,
        leaf: &CertificateDer<'_>,
        now: WallTime,
    ) -> Result<(), OwnCertificateError> {
        let parsed = ParsedCertificate::try_from(leaf).map_err(|why| self.unusable(&why))?;
        let nobody = RootCertStore::empty();
        let algorithms = provider().signature_verification_algorithms.all;
        let verdict = rustls::client::verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &nobody,
            &[],
            unix_time(now),
            algorithms,
        );
        let path = self.certificate.clone();
        match verdict {
            Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after,
                ..
            })) => Err(OwnCertificateError::Expired {
                path,
                not_after: wall(not_after),
                now,
            }),
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
                not_before,
                ..
            })) => Err(OwnCertificateError::NotYetValid {
                path,
                not_before: wall(not_before),
                now,
            }),
            _ => Ok(()),
        }
    }

    fn unusable(&self, why: &rustls::Error) -> OwnCertificateError {
        OwnCertificateError::Unusable {
            path: self.certificate.clone(),
            why: why.to_string(),
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, OwnCertificateError> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
        .map_err(|why| OwnCertificateError::Unreadable {
            path: path.to_owned(),
            why,
        })?;
    Ok(bytes)
}

fn empty(
    path: &Path,
    what: &'static str,
    why: &rustls::pki_types::pem::Error,
) -> OwnCertificateError {
    OwnCertificateError::Empty {
        path: path.to_owned(),
        what,
        why: why.to_string(),
    }
}
