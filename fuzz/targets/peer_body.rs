//! Bodies that peers send: a question, an answer, or a member's state. Whatever they hold, nobody
//! panics, what is read is written back the same, and answers stay bounded.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use gaggle::model::{
    Change, Content, HybridTime, KeyName, MemberId, NodeName, Older, Row, Slot, Stamp, Store, TEXT,
    Value, Version, WallTime,
};
use gaggle::protocol::Mono;
use gaggle::protocol::message::{About, Ask, Claim, Have, Item, Reply, Taken, decode, encode};
use gaggle::protocol::sync::{History, Walk, WalkStep, answer};

use super::datagram::membership;
use super::{Shape, shape_of};

/// Bytes that an answer to one question may have: a message, and a change larger than that.
const ANSWER: usize = 16 << 20;
/// Steps of a walk that one answer may cause before the next question.
const STEPS: usize = 64;

/// A store with its history, as a member has it.
#[derive(Default)]
struct Shelf {
    store: Store,
    older: BTreeMap<(NodeName, KeyName), Vec<Kept>>,
}

/// An older version with its hash.
type Kept = (Arc<Version>, u128);

impl Shelf {
    fn merge(&mut self, change: &Change) {
        let mut rows = Vec::new();
        let older = &self.older;
        let list = |node: &NodeName, key: &KeyName| {
            let kept = older
                .get(&(node.clone(), key.clone()))
                .into_iter()
                .flatten();
            let list = kept.map(|(version, hash)| Older::of(version, *hash));
            Ok::<_, Infallible>(list.collect())
        };
        let Ok(_) = self.store.merge(change, list, &mut rows);
        for row in rows {
            match row {
                Row::Older {
                    node,
                    key,
                    version,
                    hash,
                } => {
                    self.older
                        .entry((node, key))
                        .or_default()
                        .push((version, hash));
                }
                Row::Drop { node, key, stamp } => {
                    self.older
                        .entry((node, key))
                        .or_default()
                        .retain(|(v, _)| v.stamp != stamp);
                }
                _ => {}
            }
        }
    }

    fn kept(&self, node: &NodeName, key: &KeyName) -> impl Iterator<Item = &Arc<Version>> {
        let kept = self
            .older
            .get(&(node.clone(), key.clone()))
            .into_iter()
            .flatten();
        kept.map(|(version, _)| version)
    }
}

impl History for Shelf {
    type Error = Infallible;

    fn older_stamps(&self, node: &NodeName, key: &KeyName) -> Result<Vec<Stamp>, Infallible> {
        Ok(self.kept(node, key).map(|version| version.stamp).collect())
    }

    fn older_versions(
        &self,
        node: &NodeName,
        key: &KeyName,
        stamps: &[Stamp],
    ) -> Result<Vec<Change>, Infallible> {
        let wanted = self
            .kept(node, key)
            .filter(|version| stamps.contains(&version.stamp));
        let change = |version: &Arc<Version>| Change::Key {
            node: node.clone(),
            key: key.clone(),
            version: version.clone(),
        };
        Ok(wanted.map(change).collect())
    }
}

fn stamp(number: u64) -> Stamp {
    Stamp {
        time: HybridTime::from_wall(WallTime::from_millis(1_700_000_000_000 + number)),
        member: MemberId::from_u64(number % 3),
        sequence: number,
    }
}

/// The `number`th of a row of changes: values and tombstones of a few keys.
fn change(number: u64) -> Option<Change> {
    let value = Value::new(TEXT, number.to_string().into_bytes());
    let content = if number % 5 == 4 {
        Content::Tombstone
    } else {
        Content::Value(value)
    };
    Some(Change::Key {
        node: "web".parse().ok()?,
        key: format!("key-{}", number % 4).parse().ok()?,
        version: Arc::new(Version {
            stamp: stamp(number),
            replaces: gaggle::model::Replaces::Nothing,
            author: "admin".into(),
            written: WallTime::from_millis(1_700_000_000_000),
            expires: None,
            content,
        }),
    })
}

fn shelf() -> Shelf {
    let mut shelf = Shelf::default();
    for change in (0..20).filter_map(change) {
        shelf.merge(&change);
    }
    shelf
}

fn about() -> About {
    About {
        vector: vec![(stamp(1).member, stamp(1).time)],
        watermarks: vec![(stamp(1).member, stamp(1).time)],
        horizon: stamp(1).time,
        wanted: stamp(2).time,
    }
}

/// One of each message that members send.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let (Ok(node), Ok(key)) = ("web".parse::<NodeName>(), "key-1".parse::<KeyName>()) else {
        return Vec::new();
    };
    let changes: Vec<Change> = (10..24).filter_map(change).collect();
    let have = vec![
        Have {
            slot: Slot::Key(node.clone(), key.clone()),
            stamps: vec![stamp(1), stamp(5)],
        },
        Have {
            slot: Slot::Node(node.clone()),
            stamps: Vec::new(),
        },
    ];
    let item = Item {
        slot: Slot::Key(node, key),
        sum: 7,
    };
    let asks = [
        Ask::Push {
            changes: changes.clone().into(),
            claim: Some(Claim {
                base: stamp(1).time,
                upto: stamp(2).time,
            }),
        },
        Ask::Meet(about()),
        Ask::Include(about().vector),
        Ask::Position,
        Ask::Sums {
            level: 0,
            prefixes: vec![0],
        },
        Ask::Sums {
            level: 3,
            prefixes: vec![0x1230, 0xfff0],
        },
        Ask::Items((0..40).collect()),
        Ask::Fetch(have.clone()),
    ];
    let replies = [
        Reply::Taken(Taken {
            new: 3,
            has: stamp(1).time,
            refused: vec!["web/key-1: no".into()],
        }),
        Reply::Met {
            about: Box::new(about()),
            root: 1,
            below: Box::new([3; 16]),
        },
        Reply::Sums(vec![[3; 16]]),
        Reply::Items(vec![item]),
        Reply::Versions {
            changes: changes.into(),
            lacking: have,
            whole: true,
        },
    ];
    let asks = asks.iter().map(|ask| [&[0], &encode(ask)[..]].concat());
    let replies = replies
        .iter()
        .map(|reply| [&[1], &encode(reply)[..]].concat());
    let state = membership(2).state(Mono::default());
    asks.chain(replies)
        .chain([[&[2], &state[..]].concat()])
        .collect()
}

/// Hands `data` to a member as a body of the peers' door: the first byte says which.
///
/// # Panics
/// If the member breaks its promise.
pub(crate) fn run(data: &[u8]) -> Shape {
    match data.split_first() {
        None => "empty".to_owned(),
        Some((0, body)) => asked(body),
        Some((1, body)) => told(body),
        Some((_, body)) => introduced(body),
    }
}

fn asked(body: &[u8]) -> Shape {
    let ask = match decode::<Ask>(body) {
        Ok(ask) => ask,
        Err(error) => return shape_of(&error),
    };
    let again = decode::<Ask>(&encode(&ask)).map(|again| encode(&again));
    assert_eq!(again, Ok(encode(&ask)), "written and read again");
    let mut shelf = shelf();
    match &ask {
        Ask::Push { changes, .. } => return merged(&mut shelf, &changes.changes),
        Ask::Include(_) | Ask::Position | Ask::Standings(_) => return "for the writer".to_owned(),
        Ask::Meet(_) | Ask::Sums { .. } | Ask::Items(_) | Ask::Fetch(_) => {}
    }
    let Ok(reply) = answer(&shelf.store, &shelf, about, ask);
    let size = reply.map(|reply| encode(&reply).len());
    assert!(
        size.is_some_and(|size| size <= ANSWER),
        "an answer of {size:?} bytes"
    );
    format!("answered with 2^{} bytes", size.unwrap_or(0).max(1).ilog2())
}

/// Merging twice is merging once, and in any order gives the same digest.
fn merged(shelf: &mut Shelf, changes: &[Change]) -> Shape {
    let mut backwards = self::shelf();
    for change in changes {
        shelf.merge(change);
    }
    let root = shelf.store.digest().root();
    for change in changes.iter().rev() {
        backwards.merge(change);
        shelf.merge(change);
    }
    assert_eq!(
        shelf.store.digest().root(),
        root,
        "merging again changed something"
    );
    // Two changes of one stamp with other contents come from no honest member; the order decides.
    let mut seen = BTreeMap::new();
    let honest = changes
        .iter()
        .chain(&(0..20).filter_map(change).collect::<Vec<_>>())
        .filter(|change| change.stamp().is_some())
        .all(|change| *seen.entry(change.stamp()).or_insert_with(|| change.clone()) == *change);
    let equal = backwards.store.digest().root() == root;
    assert!(equal || !honest, "the order of {changes:?} decides");
    format!(
        "merged {} changes, {} keys",
        changes.len().min(8),
        shelf.store.counts().keys.min(8)
    )
}

fn told(body: &[u8]) -> Shape {
    let reply = match decode::<Reply>(body) {
        Ok(reply) => reply,
        Err(error) => return shape_of(&error),
    };
    let again = decode::<Reply>(&encode(&reply)).map(|again| encode(&again));
    assert_eq!(again, Ok(encode(&reply)), "written and read again");
    let mut shelf = shelf();
    let mut walk = Walk::new(about());
    let Ok(_) = walk.next(&shelf.store, &shelf);
    let Ok(mut step) = walk.on_reply(&shelf.store, &shelf, reply);
    for _ in 0..STEPS {
        match step {
            WalkStep::Ask(ask) => return format!("then asks {:.12}", format!("{ask:?}")),
            WalkStep::Done => return "then done".to_owned(),
            WalkStep::Include(_) | WalkStep::LetGo { .. } => {
                let Ok(next) = walk.next(&shelf.store, &shelf);
                step = next;
            }
            WalkStep::Merge(changes) => {
                for change in &changes {
                    shelf.merge(change);
                }
                let Ok(next) = walk.next(&shelf.store, &shelf);
                step = next;
            }
        }
    }
    panic!("the walk goes on and on after one answer");
}

fn introduced(body: &[u8]) -> Shape {
    let mut member = membership(1);
    let mut effects = Vec::new();
    match member.answer(Mono::default(), MemberId::from_u64(2), body, &mut effects) {
        Ok(ours) => format!(
            "known: {}, {} effects, {}",
            member.table().others.len(),
            effects.len(),
            ours.len() / 64
        ),
        Err(error) => shape_of(&error),
    }
}
