//! Arbitrary members of the model for property tests: few names, few stamps, so that they meet.

use std::sync::Arc;

use proptest::prelude::*;

use super::{
    Content, HybridTime, KeyName, MemberId, NodeName, NodeRegister, NodeState, Settings, Stamp,
    Standing, Value, Version, WallTime,
};

/// One node and one key.
pub(crate) fn names() -> (NodeName, KeyName) {
    ("web".parse().unwrap(), "colour".parse().unwrap())
}

/// Stamps of four members in sixteen milliseconds. The same (member, sequence) always carries the
/// same time, as in life.
pub(crate) fn stamp() -> impl Strategy<Value = Stamp> {
    (1u64..5, 1u64..16).prop_map(|(member, sequence)| Stamp {
        time: HybridTime::from_bits((sequence + member % 3) << 14),
        member: MemberId::from_u64(member),
        sequence,
    })
}

/// A version whose content follows from its stamp, as in life: one stamp is one write.
pub(crate) fn version() -> impl Strategy<Value = Version> {
    stamp().prop_map(|stamp| Version {
        stamp,
        replaces: (stamp.sequence.saturating_sub(stamp.sequence % 4)..stamp.sequence)
            .map(|sequence| Stamp { sequence, ..stamp })
            .collect(),
        author: if stamp.sequence % 2 == 0 {
            "ann".into()
        } else {
            Arc::from("bob")
        },
        written: WallTime::from_millis(stamp.sequence * 1000),
        expires: (stamp.sequence == 7).then(|| WallTime::from_millis(9)),
        content: if stamp.sequence % 4 == 0 {
            Content::Tombstone
        } else {
            Content::Value(Value::untyped(format!("v{stamp}").into_bytes()))
        },
    })
}

/// A member's standing: known or forgotten, as the stamp tells.
pub(crate) fn standing() -> impl Strategy<Value = Standing> {
    (stamp(), any::<bool>()).prop_map(|(stamp, known)| {
        if known {
            return Standing::Known {
                since: WallTime::from_millis(stamp.sequence),
                name: format!("m{}", stamp.member).into(),
            };
        }
        Standing::Forgotten {
            stamp,
            author: "ann".into(),
            written: WallTime::from_millis(stamp.sequence),
            name: "m".into(),
        }
    })
}

/// A node's register: present or deleted, as the stamp tells; always with the default history.
pub(crate) fn register() -> impl Strategy<Value = NodeRegister> {
    register_with(|_| Settings::default().history)
}

/// The same with a history that follows from the stamp.
pub(crate) fn register_with(history: fn(Stamp) -> u16) -> impl Strategy<Value = NodeRegister> {
    (version(), prop::option::of(stamp())).prop_map(move |(version, cleared)| {
        let state = match version.content {
            Content::Value(_) => NodeState::Present(Settings {
                description: version.stamp.to_string().into(),
                history: history(version.stamp),
            }),
            Content::Tombstone => NodeState::Deleted,
        };
        let own = matches!(state, NodeState::Deleted).then_some(version.stamp);
        NodeRegister {
            stamp: version.stamp,
            replaces: version.replaces.stamps().first().copied(),
            author: version.author,
            written: version.written,
            state,
            cleared: own.max(cleared.filter(|at| *at <= version.stamp)),
        }
    })
}
