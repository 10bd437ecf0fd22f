//! What goes into a membership and what comes out of it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::{Generation, MemberTable};
use crate::model::MemberId;

/// What may happen to a membership.
#[derive(Clone, Debug)]
pub enum Event {
    /// A datagram arrived.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// The bytes, nothing of them believed yet.
        bytes: Bytes,
    },
    /// The addresses that the ways of `--discover` lead to now.
    Seeds(Vec<SocketAddr>),
    /// An exchange that was asked for has ended.
    Exchanged {
        /// With whom.
        target: SocketAddr,
        /// The answer; `None` if it failed.
        answer: Option<Bytes>,
    },
    /// A relay that was asked for has ended.
    Relayed {
        /// With whom.
        member: MemberId,
        /// The answer; `None` if it failed.
        answer: Option<Bytes>,
    },
    /// The digest root of our store is now this.
    Root(u128),
    /// We are reachable elsewhere.
    Moved {
        /// Where we receive datagrams.
        udp: SocketAddr,
        /// Where we answer over HTTPS.
        https: SocketAddr,
    },
    /// Say goodbye. Afterwards nothing more comes out, see [`super::Membership::is_over`].
    Leave,
}

/// What a membership wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Remember on disk that this generation was used.
    Persist(Generation),
    /// Send a datagram to one member.
    Send {
        /// Where to.
        to: SocketAddr,
        /// The sealed bytes.
        datagram: Bytes,
    },
    /// Send a datagram to the group on every interface.
    Multicast(Bytes),
    /// Exchange state over HTTPS; ends with [`Event::Exchanged`].
    Exchange {
        /// With whom.
        target: SocketAddr,
        /// Who should answer; `None`: any member of the cluster.
        expected: Option<MemberId>,
        /// Our state.
        body: Bytes,
    },
    /// Carry datagrams to a member over HTTPS; ends with [`Event::Relayed`].
    Relay {
        /// Where it answers.
        target: SocketAddr,
        /// Who it must be.
        member: MemberId,
        /// The datagrams.
        body: Bytes,
    },
    /// The table has changed.
    Publish(Arc<MemberTable>),
    /// Another process is alive under our member id.
    Alarm(Alarm),
}

/// Another process is alive under our member id: a cloned data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Alarm {
    /// We were here first and go on; the other one is refused.
    #[error(
        "another process at {theirs} runs under our member id {member} ({ours} is us): its data \
         directory is a copy of ours; it started later and is refused"
    )]
    Duplicate {
        /// The id that both have.
        member: MemberId,
        /// Where we are.
        ours: SocketAddr,
        /// Where the other is.
        theirs: SocketAddr,
    },
    /// The other was here first: we must stop.
    #[error(
        "the process at {theirs} already runs under this member id {member} ({ours} is us): this \
         data directory is a copy of its; remove the copy's identity or start with an empty one"
    )]
    RefusedAsDuplicate {
        /// The id that both have.
        member: MemberId,
        /// Where we are.
        ours: SocketAddr,
        /// Where the other is.
        theirs: SocketAddr,
    },
}
