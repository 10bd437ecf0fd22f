//! Sealing: one [`Sealer`] per boot counts its datagrams and never uses a nonce twice.

use aws_lc_rs::aead::{Aad, LessSafeKey};

use super::{Body, BootId, DATAGRAM_LIMIT, DatagramKey, HEADER, Kind, MAGIC, TAG, VERSION, nonce};
use crate::model::{ClusterId, MemberId, WallTime};

/// What changes from datagram to datagram, besides kind and payload.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Our generation.
    pub generation: u64,
    /// Our wall clock.
    pub sent_at: WallTime,
    /// The digest root of our store.
    pub root: u128,
}

/// Why a datagram could not be sealed. Nothing was sent and no counter was used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The payload does not fit. Does not happen while senders keep to
    /// [`super::PAYLOAD_LIMIT`].
    #[error("the datagram would have {0} bytes, the limit is {DATAGRAM_LIMIT}")]
    TooLong(usize),
    /// This boot has sent 2^64 datagrams. Does not happen.
    #[error("this boot has used up its counters")]
    Exhausted,
    /// The body could not be encoded or sealed. Does not happen.
    #[error("the datagram could not be sealed")]
    Failed,
}

/// Seals our datagrams under the first secret's key.
pub struct Sealer {
    key: LessSafeKey,
    boot: BootId,
    cluster: ClusterId,
    member: MemberId,
    counter: u64,
}

impl Sealer {
    /// The sealer of one boot of a member. Two sealers must never share a boot id.
    pub fn new(key: &DatagramKey, boot: BootId, cluster: ClusterId, member: MemberId) -> Self {
        Self {
            key: key.of_boot(boot),
            boot,
            cluster,
            member,
            counter: 0,
        }
    }

    /// Seals `payload`, at most [`super::PAYLOAD_LIMIT`] bytes.
    pub fn seal(&mut self, stamp: Stamp, kind: Kind, payload: &[u8]) -> Result<Vec<u8>, SealError> {
        let body = Body {
            cluster: self.cluster.as_str(),
            member: self.member,
            generation: stamp.generation,
            sent_at: stamp.sent_at,
            root: stamp.root.to_le_bytes(),
            kind: kind.code(),
            payload,
        };
        let mut body = postcard::to_allocvec(&body).map_err(|_| SealError::Failed)?;
        let length = HEADER + body.len() + TAG;
        if length > DATAGRAM_LIMIT {
            return Err(SealError::TooLong(length));
        }
        let counter = self.counter.checked_add(1).ok_or(SealError::Exhausted)?;
        let mut datagram = Vec::with_capacity(length);
        datagram.extend_from_slice(&MAGIC);
        datagram.push(VERSION);
        datagram.extend_from_slice(self.boot.as_bytes());
        datagram.extend_from_slice(&counter.to_be_bytes());
        self.key
            .seal_in_place_append_tag(nonce(counter), Aad::from(&datagram), &mut body)
            .map_err(|_| SealError::Failed)?;
        self.counter = counter;
        datagram.append(&mut body);
        Ok(datagram)
    }
}
