//! The messages of zgossip: `zgossip_msg`, version 1, as czmq 4 speaks it.
//!
//! Each is one frame: `AA A0`, the message's number, the version, then its fields with numbers in
//! network order. What follows the last field is ignored, as czmq does.

use bytes::{Buf, BufMut, Bytes, BytesMut};

const SIGNATURE: [u8; 2] = [0xaa, 0xa0];
const VERSION: u8 = 1;
const HELLO: u8 = 1;
const PUBLISH: u8 = 2;
const PING: u8 = 3;
const PONG: u8 = 4;
const INVALID: u8 = 5;
/// Signature, number and version.
const HEAD: usize = 4;
/// The most bytes that a PUBLISH has beside its value: head, lengths, the longest key, TTL.
pub const OVERHEAD: usize = HEAD + 1 + 255 + 4 + 4;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A client asks for all tuples.
    Hello,
    /// Here is a tuple.
    Publish(Tuple),
    /// A client shows that it lives.
    Ping,
    /// The answer to it.
    Pong,
    /// A server did not expect what the client said: it is to say HELLO.
    Invalid,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// The key: at most 255 octets, by itself of any kind.
    pub key: Bytes,
    /// The value: any octets.
    pub value: Bytes,
    /// For how many milliseconds it holds; zero: without an end.
    pub ttl: u32,
}

/// Why octets are no message. Happens only when the other end is broken, or no zgossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Another protocol.
    #[error("it does not begin with AA A0")]
    Signature,
    /// Another version of this one.
    #[error("version {0} of zgossip is not known, only version 1")]
    Version(u8),
    /// No message has this number.
    #[error("there is no message number {0}")]
    Number(u8),
    /// A length goes beyond the end of the frame.
    #[error("it ends within a field")]
    Short,
}

impl Message {
    /// Reads a message; the key and the value of a tuple are slices of the frame.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn decode(frame: &Bytes) -> Result<Self, MessageError> {
        let head = frame.first_chunk().ok_or(MessageError::Short)?;
        let [first, second, number, version] = *head;
        if [first, second] != SIGNATURE {
            return Err(MessageError::Signature);
        }
        if version != VERSION {
            return Err(MessageError::Version(version));
        }
        match number {
            HELLO => Ok(Self::Hello),
            PUBLISH => tuple(frame.slice(HEAD..)).map(Self::Publish),
            PING => Ok(Self::Ping),
            PONG => Ok(Self::Pong),
            INVALID => Ok(Self::Invalid),
            other => Err(MessageError::Number(other)),
        }
    }

    /// The message as octets.
    ///
    /// # Panics
    /// If a key has more than 255 octets or a value more than 4 GiB: names and values of the store
    /// do not.
    pub fn encode(&self) -> Bytes {
        let number = match self {
            Self::Hello => HELLO,
            Self::Publish(_) => PUBLISH,
            Self::Ping => PING,
            Self::Pong => PONG,
            Self::Invalid => INVALID,
        };
        let mut out = BytesMut::with_capacity(HEAD);
        out.put_slice(&SIGNATURE);
        out.put_slice(&[number, VERSION]);
        if let Self::Publish(Tuple { key, value, ttl }) = self {
            let key_length = u8::try_from(key.len()).expect("a key has at most 255 octets");
            let length = u32::try_from(value.len()).expect("a value is smaller than 4 GiB");
            out.reserve(1 + key.len() + 4 + value.len() + 4);
            out.put_u8(key_length);
            out.put_slice(key);
            out.put_u32(length);
            out.put_slice(value);
            out.put_u32(*ttl);
        }
        out.freeze()
    }
}

fn tuple(mut rest: Bytes) -> Result<Tuple, MessageError> {
    let [length] = take(&mut rest)?;
    let key = slice(&mut rest, usize::from(length))?;
    let length = u32::from_be_bytes(take(&mut rest)?);
    let length = usize::try_from(length).map_err(|_| MessageError::Short)?;
    let value = slice(&mut rest, length)?;
    let ttl = u32::from_be_bytes(take(&mut rest)?);
    Ok(Tuple { key, value, ttl })
}

fn take<const N: usize>(rest: &mut Bytes) -> Result<[u8; N], MessageError> {
    let head = *rest.first_chunk().ok_or(MessageError::Short)?;
    rest.advance(N);
    Ok(head)
}

fn slice(rest: &mut Bytes, length: usize) -> Result<Bytes, MessageError> {
    if length > rest.len() {
        return Err(MessageError::Short);
    }
    Ok(rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn octets(hex: &str) -> Bytes {
        let digits: Vec<u8> = hex.bytes().filter(|b| *b != b' ').collect();
        let pair = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).unwrap();
            u8::from_str_radix(text, 16).unwrap()
        };
        digits.chunks(2).map(pair).collect()
    }

    fn publish(key: &str, value: &str, ttl: u32) -> Message {
        let (key, value) = (key.to_owned().into(), value.to_owned().into());
        Message::Publish(Tuple { key, value, ttl })
    }

    #[test]
    fn messages_have_the_octets_of_czmq() {
        let cases = [
            ("aa a0 01 01", Message::Hello),
            ("aa a0 03 01", Message::Ping),
            ("aa a0 04 01", Message::Pong),
            ("aa a0 05 01", Message::Invalid),
            (
                "aa a0 02 01 09 61 6c 70 68 61 2d 70 72 65 00 00 00 02 76 30 00 00 00 00",
                publish("alpha-pre", "v0", 0),
            ),
            (
                "aa a0 02 01 08 62 61 73 65 2d 6b 65 79 00 00 00 08 62 61 73 65 2d 76 61 6c \
                 00 00 00 00",
                publish("base-key", "base-val", 0),
            ),
            (
                "aa a0 02 01 02 6b 31 00 00 00 09 76 61 6c 75 65 20 6f 6e 65 01 02 03 04",
                publish("k1", "value one", 0x0102_0304),
            ),
        ];
        for (hex, message) in cases {
            assert_eq!(message.encode(), octets(hex), "{message:?}");
            assert_eq!(
                Message::decode(&octets(hex)).as_ref(),
                Ok(&message),
                "{hex}"
            );
        }
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_reason() {
        let cases = [
            ("", MessageError::Short),
            ("aa a0 01", MessageError::Short),
            ("aa a1 01 01", MessageError::Signature),
            ("ab a0 01 01", MessageError::Signature),
            ("aa a0 01 02", MessageError::Version(2)),
            ("aa a0 00 01", MessageError::Number(0)),
            ("aa a0 06 01", MessageError::Number(6)),
            ("aa a0 02 01", MessageError::Short),
            ("aa a0 02 01 02 61", MessageError::Short),
            ("aa a0 02 01 01 61 00 00 00", MessageError::Short),
            (
                "aa a0 02 01 01 61 ff ff ff ff 00 00 00 00",
                MessageError::Short,
            ),
            (
                "aa a0 02 01 01 61 00 00 00 01 62 00 00 00",
                MessageError::Short,
            ),
        ];
        for (hex, why) in cases {
            assert_eq!(Message::decode(&octets(hex)), Err(why), "{hex}");
        }
    }

    #[test]
    fn what_follows_the_last_field_is_ignored() {
        let longer = [&publish("k", "v", 7).encode()[..], b"more"].concat();
        assert_eq!(Message::decode(&longer.into()), Ok(publish("k", "v", 7)));
        assert_eq!(
            Message::decode(&octets("aa a0 01 01 00")),
            Ok(Message::Hello)
        );
    }

    proptest! {
        #[test]
        fn decoding_what_was_encoded_is_the_identity(
            key in prop::collection::vec(any::<u8>(), 0..=255),
            value in prop::collection::vec(any::<u8>(), 0..600),
            ttl in any::<u32>(),
        ) {
            let (key, value) = (key.into(), value.into());
            let message = Message::Publish(Tuple { key, value, ttl });
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }

        #[test]
        fn octets_from_outside_never_panic(rest in prop::collection::vec(any::<u8>(), 0..40)) {
            let frame = [&[0xaa, 0xa0, 2, 1], &rest[..]].concat();
            let _ = Message::decode(&frame.into());
        }
    }
}
