//! How SWIM's messages go over the wire.
//!
//! The engine (`foca`) writes the whole identity of sender and receiver into each message. Two who
//! know each other need neither: whose datagram it is says its seal, down to the generation and the
//! boot, and the receiver knows itself. Probes and their answers are all that a calm cluster sends,
//! so these are abridged; everything else goes as the engine wrote it.
//!
//! ```text
//! 0   sender, its incarnation, receiver, message, news
//! 1   receiver's digest (8), sender's incarnation, probe or answer, news
//! 2   nothing: who are you?
//! ```
//!
//! Who is probed by somebody it does not know asks who that is, and the probe comes again whole. An
//! answer is for somebody who probed, and so knows us.

use foca::{Header, Message};
use serde::Serialize;

use super::{Generation, Identity};
use crate::model::MemberId;
use crate::protocol::envelope::BootId;

/// How much longer than the engine wrote it a message can be, in bytes.
pub(super) const FORM: usize = 1;
const WHOLE: u8 = 0;
const ABRIDGED: u8 = 1;
const WHO: u8 = 2;

/// What a datagram's seal says of its sender: which of the identities of a member.
pub(super) type Sender = (MemberId, Generation, BootId);

/// What a message turns out to be.
#[derive(Debug)]
pub(super) enum Heard {
    /// This, as the engine wrote it.
    Message(Vec<u8>),
    /// Meant for somebody else, for instance for who we were.
    NotOurs,
    /// A probe by somebody whom we do not know: to be told this.
    Stranger(&'static [u8]),
    /// Our probe was one: send it so.
    Again(Identity, Vec<u8>),
}

/// A message that makes no sense.
#[derive(Debug)]
pub(super) struct Unreadable;

/// The wire's form of what the engine wrote, and back.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// The latest probe, as the engine wrote it.
    probe: Option<(Identity, Vec<u8>)>,
}

impl Wire {
    /// The wire's form of a message, and whether it is a probe that wants an answer.
    pub(super) fn abridge(&mut self, message: &[u8]) -> (Vec<u8>, bool) {
        if let Ok((header, news)) = postcard::take_from_bytes::<Header<Identity>>(message)
            && is_probe(&header.message)
        {
            let mut bytes = vec![ABRIDGED];
            bytes.extend(digest(&header.dst));
            bytes.extend(encode(&(header.src_incarnation, &header.message)));
            bytes.extend(news);
            let wants_answer = matches!(header.message, Message::Ping(_));
            if wants_answer {
                self.probe = Some((header.dst, message.to_vec()));
            }
            return (bytes, wants_answer);
        }
        (whole(message), false)
    }

    /// `me` is who we are, `known` whom we know under the sender's member id.
    pub(super) fn restore(
        &mut self,
        me: &Identity,
        sender: Sender,
        known: Option<&Identity>,
        bytes: &[u8],
    ) -> Result<Heard, Unreadable> {
        match bytes.split_first().ok_or(Unreadable)? {
            (&WHOLE, message) => Ok(Heard::Message(message.to_vec())),
            (&ABRIDGED, bytes) => {
                let (receiver, bytes) = bytes.split_first_chunk().ok_or(Unreadable)?;
                let ((src_incarnation, message), news) =
                    postcard::take_from_bytes(bytes).map_err(|_| Unreadable)?;
                if !is_probe(&message) {
                    return Err(Unreadable);
                }
                if *receiver != digest(me) {
                    return Ok(Heard::NotOurs);
                }
                let is_it =
                    |known: &&Identity| (known.member, known.generation, known.boot) == sender;
                let Some(src) = known.filter(is_it).cloned() else {
                    return Ok(Heard::Stranger(&[WHO]));
                };
                let header = Header {
                    src,
                    src_incarnation,
                    dst: me.clone(),
                    message,
                };
                let mut bytes = encode(&header);
                bytes.extend(news);
                Ok(Heard::Message(bytes))
            }
            (&WHO, []) => {
                let asked = self.probe.take_if(|(to, _)| to.member == sender.0);
                Ok(asked.map_or(Heard::NotOurs, |(to, probe)| {
                    Heard::Again(to, whole(&probe))
                }))
            }
            _ => Err(Unreadable),
        }
    }
}

const fn is_probe(message: &Message<Identity>) -> bool {
    matches!(message, Message::Ping(_) | Message::Ack(_))
}

fn whole(message: &[u8]) -> Vec<u8> {
    [&[WHOLE], message].concat()
}

fn digest(identity: &Identity) -> [u8; 8] {
    let mut first = [0; 8];
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&encode(identity))
        .finalize_xof()
        .fill(&mut first);
    first
}

fn encode(what: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(what).expect("a message has nothing that cannot be encoded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::membership::Label;

    fn identity(number: u8) -> Identity {
        let generation = Generation::new(1_790_000_000_000);
        Identity {
            member: MemberId::from_u64(number.into()),
            generation,
            started: generation,
            boot: BootId::from_bytes([number; 16]),
            udp: ([10, 0, 0, number], 2_900).into(),
            https: ([10, 0, 0, number], 8_000).into(),
            advertised: false,
            name: Label::lossy("a-name"),
            version: Label::lossy("0.1.0"),
            protocols: (1, 1),
            leaving: false,
        }
    }

    fn sender(identity: &Identity) -> Sender {
        (identity.member, identity.generation, identity.boot)
    }

    /// What the engine of member 1 writes to member 2.
    fn written(message: Message<Identity>) -> Vec<u8> {
        let header = Header {
            src: identity(1),
            src_incarnation: 3,
            dst: identity(2),
            message,
        };
        [&encode(&header)[..], b"\0\x02news"].concat()
    }

    /// What member 2 makes of it, that knows `known` under the id of member 1.
    fn heard(bytes: &[u8], known: Option<&Identity>) -> Heard {
        let mut wire = Wire::default();
        let heard = wire.restore(&identity(2), sender(&identity(1)), known, bytes);
        heard.expect("readable")
    }

    #[test]
    fn a_probe_and_its_answer_are_short_and_come_out_as_they_went_in() {
        for message in [Message::Ping(7), Message::Ack(7)] {
            let written = written(message);
            let (bytes, _) = Wire::default().abridge(&written);
            assert!(bytes.len() <= 12 + 6, "{} bytes", bytes.len());
            let heard = heard(&bytes, Some(&identity(1)));
            assert!(matches!(heard, Heard::Message(read) if read == written));
        }
    }

    #[test]
    fn everything_else_goes_whole() {
        for message in [Message::Announce, Message::Gossip, Message::TurnUndead] {
            let written = written(message);
            let (bytes, _) = Wire::default().abridge(&written);
            assert_eq!(bytes.len(), written.len() + FORM);
            let heard = heard(&bytes, None);
            assert!(matches!(heard, Heard::Message(read) if read == written));
        }
    }

    #[test]
    fn who_is_probed_by_a_stranger_asks_who_it_is_and_is_probed_again_whole() {
        let renewed = identity(1).renewed(Generation::new(1));
        for known in [None, Some(&renewed)] {
            let mut wire = Wire::default();
            let written = written(Message::Ping(7));
            let (bytes, _) = wire.abridge(&written);
            let Heard::Stranger(reply) = heard(&bytes, known) else {
                panic!("it knows it");
            };
            let mut replied = |number| {
                let from = sender(&identity(number));
                wire.restore(&identity(1), from, None, reply).unwrap()
            };
            assert!(matches!(replied(3), Heard::NotOurs), "not whom we probed");
            let Heard::Again(to, again) = replied(2) else {
                panic!("nothing comes again");
            };
            assert_eq!(to, identity(2));
            assert!(matches!(heard(&again, known), Heard::Message(read) if read == written));
            assert!(matches!(replied(2), Heard::NotOurs), "but once");
        }
    }

    #[test]
    fn a_probe_of_who_we_were_is_not_ours() {
        let (bytes, wants_answer) = Wire::default().abridge(&written(Message::Ping(7)));
        assert!(wants_answer);
        let me = identity(2).renewed(identity(2).generation.next());
        let from = sender(&identity(1));
        let heard = Wire::default().restore(&me, from, Some(&identity(1)), &bytes);
        assert!(matches!(heard, Ok(Heard::NotOurs)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let (probe, _) = Wire::default().abridge(&written(Message::Ping(7)));
        let cut = &probe[..10];
        let gossip = [&probe[..9], &encode(&(0_u16, Message::<Identity>::Gossip))].concat();
        for bytes in [b"", &[9][..], cut, &gossip, &[WHO, 0]] {
            let (me, from) = (identity(2), sender(&identity(1)));
            let heard = Wire::default().restore(&me, from, Some(&identity(1)), bytes);
            assert!(matches!(heard, Err(Unreadable)), "{bytes:?}");
        }
    }
}
