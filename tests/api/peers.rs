//! Writes of members that are not there: what a peer would have sent.

use std::sync::Arc;

use gaggle::app::Arrival;
use gaggle::model::{
    Change, Content, HybridTime, MemberId, Replaces, Source, Stamp, Value, Version, WallTime,
};

use crate::member::Member;

/// When the peers write, in milliseconds since 1970.
const THEN: u64 = 1_700_000_000_000;

/// The stamp of the write of peer `member` at `second`.
pub(crate) fn stamp(member: u64, second: u64) -> Stamp {
    Stamp {
        time: HybridTime::from_wall(WallTime::from_millis(THEN + second * 1000)),
        member: MemberId::from_u64(member),
        sequence: second,
    }
}

/// A write of `web/colour` by peer `member` at `second` over `replaces`; no value: a deletion.
pub(crate) fn write(member: u64, second: u64, replaces: &[Stamp], value: Option<&[u8]>) -> Change {
    let content = match value {
        Some(octets) => Content::Value(Value::untyped(octets)),
        None => Content::Tombstone,
    };
    let version = Version {
        stamp: stamp(member, second),
        replaces: replaces.iter().copied().collect::<Replaces>(),
        author: format!("user {member}").into(),
        written: WallTime::from_millis(THEN + second * 1000),
        expires: None,
        content,
    };
    Change::Key {
        node: "web".parse().expect("a name"),
        key: "colour".parse().expect("a name"),
        version: Arc::new(version),
    }
}

/// Two peers that wrote without knowing of each other over `red`: `green` at 2 s, `blue` at 3 s.
pub(crate) fn conflict() -> [Change; 3] {
    let red = stamp(1, 1);
    [
        write(1, 1, &[], Some(b"red")),
        write(2, 2, &[red], Some(b"green")),
        write(3, 3, &[red], Some(b"blue")),
    ]
}

impl Member {
    /// Takes these changes as if a peer had sent them, one batch each.
    pub(crate) async fn hears(&self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            let from = change.stamp().expect("a write").member;
            let arrival = Arrival {
                source: Source::Push(from),
                changes: vec![change],
                claims: Vec::new(),
            };
            self.app.merge(arrival).await.expect("it is taken");
        }
    }
}
