//! The cluster's certificate authority: the same on every member, byte for byte.
//!
//! Everything in its certificate is fixed or follows from its key, and it is signed with the
//! deterministic ECDSA of RFC 6979; so members that never met show the same certificate. P-256 is
//! what curl, OpenSSL and browsers all accept, for servers and for clients.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::digest;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey as P256Key};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    SerialNumber, SignatureAlgorithm, SigningKey, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::names::{LeafNames, PEER_NAME, member_name};
use super::provider::provider;
use crate::model::{ClusterId, MemberId, WallTime};

/// How long a leaf is valid from its issue on.
pub const LEAF_LIFE: Duration = Duration::from_hours(2160);
/// How long before its issue a leaf's validity begins: peers whose clocks are behind accept it.
const LEAF_HEAD_START: Duration = Duration::from_hours(24);

/// Why an authority could not be made or could not issue. Not expected in normal life, except for
/// want of memory; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The secret could not be stretched, which needs 64 MiB for a moment.
    #[error("the secret could not be stretched (this needs 64 MiB of memory for a moment): {0}")]
    Stretch(String),
    /// A certificate or a key could not be built.
    #[error("the certificate could not be made: {0}")]
    Certificate(String),
}

impl From<rcgen::Error> for AuthorityError {
    fn from(why: rcgen::Error) -> Self {
        Self::Certificate(why.to_string())
    }
}

/// The certificate authority of a cluster.
pub struct Authority {
    issuer: Issuer<'static, DeterministicKey>,
    cluster: ClusterId,
    pem: String,
    der: CertificateDer<'static>,
}

impl fmt::Debug for Authority {
    /// Shows the fingerprint, which is public.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority")
            .field(&self.fingerprint())
            .finish()
    }
}

impl Authority {
    /// Builds the authority from 32 derived bytes; `material` is asked again, with the next number,
    /// in the one case in 2^32 that the bytes are no P-256 key.
    pub(super) fn derive(
        cluster: &ClusterId,
        material: impl Fn(u8) -> Zeroizing<[u8; 32]>,
    ) -> Result<Self, AuthorityError> {
        let key = (0..=u8::MAX)
            .find_map(|attempt| P256Key::from_slice(material(attempt).as_slice()).ok())
            .ok_or_else(|| AuthorityError::Certificate("no key in range".to_owned()))?;
        let key = DeterministicKey::new(key);
        let params = authority_params(cluster, &key);
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            cluster: cluster.clone(),
            pem: certificate.pem(),
            der: certificate.der().clone(),
        })
    }

    /// The authority's certificate as PEM: what `gaggle ca` prints and clients trust.
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }

    /// The authority's certificate as DER.
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// SHA-256 of the certificate, as 64 hexadecimal digits: to compare by eye.
    pub fn fingerprint(&self) -> String {
        hex(digest::digest(&digest::SHA256, &self.der).as_ref())
    }

    /// Issues a leaf with a new random key for this member, valid from one day before `now` for
    /// [`LEAF_LIFE`], for servers and clients, under the given names and the member's own.
    ///
    /// # Errors
    /// When a key or the certificate cannot be built; not expected.
    pub fn issue(
        &self,
        member: MemberId,
        names: &LeafNames,
        now: WallTime,
    ) -> Result<Leaf, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let (params, not_after) = self.leaf_params(member, names, now)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            certificate: certificate.der().clone(),
            key: Zeroizing::new(key.serialize_der()),
            not_after,
        })
    }

    fn leaf_params(
        &self,
        member: MemberId,
        names: &LeafNames,
        now: WallTime,
    ) -> Result<(CertificateParams, WallTime), AuthorityError> {
        let mut sans = vec![
            SanType::DnsName(member_name(member).try_into()?),
            SanType::DnsName(PEER_NAME.try_into()?),
        ];
        for name in names.dns() {
            sans.push(SanType::DnsName(name.as_str().try_into()?));
        }
        sans.extend(names.addresses().iter().copied().map(SanType::IpAddress));

        let from = OffsetDateTime::from_unix_timestamp_nanos(i128::from(now.millis()) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .clamp(date_time_ymd(1971, 1, 1), date_time_ymd(2124, 1, 1));
        let until = from + LEAF_LIFE;
        let mut params = CertificateParams::default();
        params.subject_alt_names = sans;
        params.distinguished_name = distinguished_name(&self.cluster, &member.to_string());
        params.not_before = from - LEAF_HEAD_START;
        params.not_after = until;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let seconds = u64::try_from(until.unix_timestamp()).unwrap_or(0);
        Ok((params, WallTime::from_millis(seconds * 1000)))
    }
}

/// A certificate of this member with its private key, which stays in memory.
pub struct Leaf {
    certificate: CertificateDer<'static>,
    key: Zeroizing<Vec<u8>>,
    not_after: WallTime,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Leaf {
    /// The certificate as DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// When it ceases to be valid.
    pub fn not_after(&self) -> WallTime {
        self.not_after
    }

    /// Certificate and key as rustls uses them.
    pub(super) fn certified_key(&self) -> Result<CertifiedKey, AuthorityError> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.to_vec()));
        CertifiedKey::from_der(vec![self.certificate.clone()], key, &provider())
            .map_err(|why| AuthorityError::Certificate(why.to_string()))
    }
}

/// A P-256 key that signs as RFC 6979 says: the same message gives the same signature.
struct DeterministicKey {
    key: P256Key,
    public: Vec<u8>,
}

impl DeterministicKey {
    fn new(key: P256Key) -> Self {
        let public = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        Self { key, public }
    }
}

impl PublicKeyData for DeterministicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for DeterministicKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: DerSignature = self.key.sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}

fn authority_params(cluster: &ClusterId, key: &DeterministicKey) -> CertificateParams {
    let hash = digest::digest(&digest::SHA256, &key.subject_public_key_info());
    let mut params = CertificateParams::default();
    let name = format!(
        "gaggle CA {}",
        hex(hash.as_ref().get(..4).unwrap_or_default())
    );
    params.distinguished_name = distinguished_name(cluster, &name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2125, 1, 1);
    let mut serial = hash.as_ref().get(..16).unwrap_or_default().to_vec();
    if let Some(first) = serial.first_mut() {
        // Positive and never zero, as RFC 5280 §4.1.2.2 asks.
        *first = *first & 0x3f | 0x40;
    }
    params.serial_number = Some(SerialNumber::from(serial));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.key_identifier_method = KeyIdMethod::Sha256;
    params
}

fn distinguished_name(cluster: &ClusterId, common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, cluster.as_str());
    name.push(DnType::CommonName, common);
    name
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
