//! Why a TLS handshake failed, in words that say what to do about it.

use std::io;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use crate::io::clock;
use crate::model::WallTime;

/// Why a certificate or a connection was refused, by us or by the other side. Nothing was sent
/// before the refusal, so nothing was changed. The message names the clock where a wrong clock can
/// be the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsRefusal {
    /// The certificate's time is over.
    #[error(
        "its certificate expired at {not_after} and the clock here says {now}: look at the clock \
         of both machines first"
    )]
    Expired {
        /// When it ceased to be valid.
        not_after: WallTime,
        /// What our clock says.
        now: WallTime,
    },
    /// The certificate's time has not begun.
    #[error(
        "its certificate is valid only from {not_before} and the clock here says {now}: look at \
         the clock of both machines first"
    )]
    NotYetValid {
        /// When it begins to be valid.
        not_before: WallTime,
        /// What our clock says.
        now: WallTime,
    },
    /// No authority that we trust has signed the certificate.
    #[error("its certificate is not signed by an authority that we trust")]
    UnknownAuthority,
    /// The certificate is sound but for somebody else.
    #[error("its certificate is not for {expected} but for {presented}")]
    OtherName {
        /// The name that we asked for.
        expected: String,
        /// The names that the certificate has.
        presented: String,
    },
    /// The other side found our certificate out of its time.
    #[error(
        "it refused our certificate as expired or not yet valid: look at the clock of both \
         machines first"
    )]
    OursExpired,
    /// The other side does not trust the authority of our certificate.
    #[error("it does not trust our certificate: are secret and cluster id the same there?")]
    OursUnknown,
    /// The other side finds our certificate sound and wanted somebody else's.
    #[error(
        "it looks for another member at this address: one that had it before, under another id"
    )]
    OursOther,
    /// The other side wants a certificate and we showed none.
    #[error("it wants a certificate from us, as only members have")]
    OursMissing,
    /// The other side does not speak TLS.
    #[error("it does not speak TLS")]
    NotTls,
    /// Anything else, in rustls' words.
    #[error("{0}")]
    Other(String),
}

impl TlsRefusal {
    /// Finds the reason in an input/output error; `None` if TLS is not what failed.
    pub fn find(error: &io::Error) -> Option<Self> {
        let mut cause = error.get_ref().map(|inner| {
            let inner: &(dyn std::error::Error + 'static) = inner;
            inner
        });
        while let Some(error) = cause {
            if let Some(why) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::from(why));
            }
            cause = match error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
            {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }
}

impl From<&rustls::Error> for TlsRefusal {
    fn from(why: &rustls::Error) -> Self {
        match why {
            rustls::Error::InvalidCertificate(why) => from_certificate(why),
            rustls::Error::AlertReceived(alert) => from_alert(*alert),
            rustls::Error::NoCertificatesPresented => {
                Self::Other("it showed no certificate, as only members have".to_owned())
            }
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Other(other.to_string()),
        }
    }
}

fn from_certificate(why: &CertificateError) -> TlsRefusal {
    let now = clock::wall();
    match why {
        CertificateError::ExpiredContext { not_after, .. } => TlsRefusal::Expired {
            not_after: wall(*not_after),
            now,
        },
        CertificateError::NotValidYetContext { not_before, .. } => TlsRefusal::NotYetValid {
            not_before: wall(*not_before),
            now,
        },
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            TlsRefusal::UnknownAuthority
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => TlsRefusal::OtherName {
            expected: expected.to_str().into_owned(),
            presented: presented.join(", "),
        },
        other => TlsRefusal::Other(other.to_string()),
    }
}

fn from_alert(alert: AlertDescription) -> TlsRefusal {
    match alert {
        AlertDescription::CertificateExpired => TlsRefusal::OursExpired,
        AlertDescription::UnknownCA | AlertDescription::DecryptError => TlsRefusal::OursUnknown,
        // As rustls tells a certificate that is not valid for the name.
        AlertDescription::BadCertificate => TlsRefusal::OursOther,
        AlertDescription::CertificateRequired => TlsRefusal::OursMissing,
        other => TlsRefusal::Other(format!("it ended the handshake: {other:?}")),
    }
}

/// A time of a certificate as wall time.
pub(super) fn wall(at: UnixTime) -> WallTime {
    let since = Duration::from_secs(at.as_secs());
    WallTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_the_other_side_refused_us_is_told_as_it_told_us() {
        let cases = [
            (CertificateError::NotValidForName, TlsRefusal::OursOther),
            (CertificateError::UnknownIssuer, TlsRefusal::OursUnknown),
            (CertificateError::BadSignature, TlsRefusal::OursUnknown),
            (CertificateError::Expired, TlsRefusal::OursExpired),
        ];
        for (theirs, expected) in cases {
            // As the other side, rustls as well, tells its reason by an alert.
            let alert = AlertDescription::from(theirs.clone());
            assert_eq!(from_alert(alert), expected, "{theirs:?}");
        }
    }
}
