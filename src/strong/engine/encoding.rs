//! What the engine keeps and sends, as bytes: one byte of version, then postcard.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of what the engine writes.
const VERSION: u8 = 1;

/// Bytes that are not what the engine wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// There are none.
    #[error("it is empty")]
    Empty,
    /// Another release wrote them.
    #[error("it has version {0}, this member knows {VERSION}")]
    Version(u8),
    /// They do not read.
    #[error("it does not read: {0}")]
    Content(String),
}

/// A value as bytes.
pub(super) fn encode(value: &(impl Serialize + ?Sized)) -> Bytes {
    postcard::to_extend(value, vec![VERSION])
        .expect("writing to memory does not fail")
        .into()
}

/// Reads what [`encode`] wrote.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EncodingError> {
    let (version, content) = bytes.split_first().ok_or(EncodingError::Empty)?;
    if *version != VERSION {
        return Err(EncodingError::Version(*version));
    }
    match postcard::take_from_bytes(content) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(EncodingError::Content(
            "there are bytes behind it".to_owned(),
        )),
        Err(error) => Err(EncodingError::Content(error.to_string())),
    }
}
