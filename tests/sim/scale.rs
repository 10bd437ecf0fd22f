//! How cost grows with the cluster: rounds and bytes until one write is everywhere, and what an
//! idle cluster sends.
//!
//! For the write, everybody knows everybody and stores stay in memory; push, rumours, walks and
//! their messages are the real ones. A message takes one round; one in a hundred is lost, and its
//! sender finds out after a time-out. Whom no rumour reached walks with a random member, as the
//! digests in the membership's datagrams would have it do within a second. For the idle cluster the
//! real membership runs, sealing and all.

mod idle;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use gaggle::model::{
    Change, Content, HybridTime, KeyName, MemberId, NodeName, Replaces, Stamp, Store, Value,
    Version, WallTime,
};
use gaggle::protocol::message::{About, Ask, Reply, Taken, encode};
use gaggle::protocol::push::{Push, PushEffect, PushEvent, PushLimits};
use gaggle::protocol::sync::{Brought, History, Walk, WalkStep, answer};
use gaggle::protocol::{Mono, Protocol};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::Queue;
use idle::Idle;

/// How long a message takes.
const ROUND: Duration = Duration::from_millis(10);
/// How long a lost one is waited for.
const LOST: Duration = Duration::from_secs(2);
/// When those walk that no rumour reached.
const WALK: Duration = Duration::from_secs(1);
const LOSS: f64 = 0.01;

/// No older versions are kept.
struct Bare;

impl History for Bare {
    type Error = Infallible;

    fn older_stamps(&self, _: &NodeName, _: &KeyName) -> Result<Vec<Stamp>, Infallible> {
        Ok(Vec::new())
    }

    fn older_versions(
        &self,
        _: &NodeName,
        _: &KeyName,
        _: &[Stamp],
    ) -> Result<Vec<Change>, Infallible> {
        Ok(Vec::new())
    }
}

fn merge(store: &mut Store, change: &Change) -> bool {
    let Ok(merged) = store.merge(
        change,
        |_, _| Ok::<_, Infallible>(Vec::new()),
        &mut Vec::new(),
    );
    merged != gaggle::model::Merged::Nothing
}

fn id(number: usize) -> MemberId {
    MemberId::from_u64(number as u64 + 1)
}

fn number(member: MemberId) -> usize {
    usize::try_from(member.as_u64() - 1).expect("a small number")
}

enum Happens {
    Arrives {
        from: usize,
        to: usize,
        request: u64,
        changes: Vec<Change>,
    },
    Done {
        at: usize,
        peer: usize,
        request: u64,
        has: Option<HybridTime>,
    },
    Deadline(usize),
}

struct Member {
    store: Store,
    push: Push,
}

struct Spread {
    now: Mono,
    members: Vec<Member>,
    queue: Queue<Happens>,
    random: StdRng,
    bytes: Vec<usize>,
    messages: Vec<usize>,
    reached: Vec<Option<Mono>>,
}

/// What one write cost.
struct Cost {
    /// Rounds until rumours had reached all whom they did.
    rounds: u128,
    /// How many they missed.
    missed: usize,
    messages: usize,
    most_messages: usize,
    bytes: usize,
}

impl Spread {
    fn new(size: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let everybody: Vec<MemberId> = (0..size).map(id).collect();
        let members = (0..size).map(|at| {
            let limits = PushLimits::default();
            let mut push = Push::new(limits, HybridTime::default(), random.random());
            let mut others = everybody.clone();
            others.swap_remove(at);
            push.on_event(Mono::default(), PushEvent::Peers(others), &mut Vec::new());
            Member {
                store: Store::new(),
                push,
            }
        });
        let members = members.collect();
        Self {
            now: Mono::default(),
            members,
            queue: Queue::new(),
            random,
            bytes: vec![0; size],
            messages: vec![0; size],
            reached: vec![None; size],
        }
    }

    fn event(&mut self, at: usize, event: PushEvent) {
        let mut out = Vec::new();
        self.members[at].push.on_event(self.now, event, &mut out);
        self.perform(at, out);
    }

    fn perform(&mut self, at: usize, effects: Vec<PushEffect>) {
        for effect in effects {
            let PushEffect::Send {
                peer,
                request,
                changes,
                claim,
            } = effect
            else {
                continue;
            };
            let size = encode(&Ask::Push {
                changes: changes.clone().into(),
                claim,
            })
            .len();
            self.bytes[at] += size;
            self.messages[at] += 1;
            let to = number(peer);
            if self.random.random_bool(LOSS) {
                let lost = Happens::Done {
                    at,
                    peer: to,
                    request,
                    has: None,
                };
                self.queue.push(self.now.plus(LOST), lost);
            } else {
                let arrives = Happens::Arrives {
                    from: at,
                    to,
                    request,
                    changes,
                };
                self.queue.push(self.now.plus(ROUND), arrives);
            }
        }
        if let Some(deadline) = self.members[at].push.deadline() {
            self.queue
                .push(deadline.max(self.now), Happens::Deadline(at));
        }
    }

    fn take(&mut self, at: usize, from: Option<usize>, changes: Vec<Change>) {
        let store = &mut self.members[at].store;
        let new: Vec<Change> = changes
            .into_iter()
            .filter(|change| merge(store, change))
            .collect();
        if new.is_empty() {
            return;
        }
        self.reached[at] = Some(self.now);
        let changes = new;
        self.event(
            at,
            match from {
                Some(from) => PushEvent::Learned {
                    from: id(from),
                    changes,
                },
                None => PushEvent::Changes {
                    changes,
                    upto: Some(HybridTime::from_bits(1)),
                },
            },
        );
    }

    fn run(&mut self, end: Mono) {
        while let Some((at, happens)) = self.queue.pop(end) {
            self.now = at.max(self.now);
            match happens {
                Happens::Arrives {
                    from,
                    to,
                    request,
                    changes,
                } => {
                    self.take(to, Some(from), changes);
                    let has = HybridTime::from_bits(u64::MAX);
                    let taken = Taken {
                        has,
                        ..Taken::default()
                    };
                    self.bytes[to] += encode(&Reply::Taken(taken)).len();
                    let done = Happens::Done {
                        at: from,
                        peer: to,
                        request,
                        has: Some(has),
                    };
                    self.queue.push(self.now.plus(ROUND), done);
                }
                Happens::Done {
                    at,
                    peer,
                    request,
                    has,
                } => {
                    let peer = id(peer);
                    self.event(at, PushEvent::Done { peer, request, has });
                }
                Happens::Deadline(at) => {
                    let mut out = Vec::new();
                    self.members[at].push.on_deadline(self.now, &mut out);
                    self.perform(at, out);
                }
            }
        }
        self.now = end;
    }

    /// A member that was missed walks with a random one; gives the bytes.
    fn walk(&mut self, asker: usize) -> usize {
        let peer = self.random.random_range(0..self.members.len());
        let theirs = self.members[peer].store.clone();
        let ours = &mut self.members[asker].store;
        let (mut walk, mut bytes) = (Walk::new(About::default()), 0);
        let Ok(mut step) = walk.next(ours, &Bare);
        loop {
            let next = match step {
                WalkStep::Done => return bytes,
                WalkStep::Merge(changes) => {
                    let new = changes.iter().filter(|change| merge(ours, change)).count();
                    walk.took(Brought { new, whole: true });
                    walk.next(ours, &Bare)
                }
                WalkStep::Include(_) | WalkStep::LetGo { .. } => walk.next(ours, &Bare),
                WalkStep::Ask(ask) => {
                    bytes += encode(&ask).len();
                    let Ok(reply) = answer(&theirs, &Bare, About::default, ask);
                    let reply = reply.unwrap_or(Reply::Taken(Taken::default()));
                    bytes += encode(&reply).len();
                    walk.on_reply(ours, &Bare, reply)
                }
            };
            let Ok(next) = next;
            step = next;
        }
    }

    fn has(&self, at: usize) -> bool {
        self.members[at].store.counts().keys == 1
    }
}

fn write() -> Change {
    let stamp = Stamp {
        time: HybridTime::from_bits(1),
        member: id(0),
        sequence: 1,
    };
    let version = Version {
        stamp,
        replaces: Replaces::Nothing,
        author: "admin".into(),
        written: WallTime::from_millis(1_790_000_000_000),
        expires: None,
        content: Content::Value(Value::untyped(vec![b'v'; 64])),
    };
    Change::Key {
        node: "web".parse().expect("a name"),
        key: "a-key-of-24-bytes-or-so.".parse().expect("a name"),
        version: Arc::new(version),
    }
}

/// One write, in a cluster of this size.
fn one_write(size: usize, seed: u64) -> Cost {
    let mut spread = Spread::new(size, seed);
    spread.take(0, None, vec![write()]);
    spread.run(Mono(WALK));
    let last = spread
        .reached
        .iter()
        .flatten()
        .max()
        .copied()
        .unwrap_or_default();
    let missed: Vec<usize> = (0..size).filter(|at| !spread.has(*at)).collect();
    let mut walked = 0;
    for at in &missed {
        while !spread.has(*at) {
            walked += spread.walk(*at);
        }
    }
    Cost {
        rounds: last.0.as_millis().div_ceil(ROUND.as_millis()),
        missed: missed.len(),
        messages: spread.messages.iter().sum(),
        most_messages: spread.messages.iter().max().copied().unwrap_or_default(),
        bytes: spread.bytes.iter().sum::<usize>() + walked,
    }
}

/// Prints both tables.
pub(crate) fn tell(seed: u64) -> ExitCode {
    println!("one write, fan-out 8, 1 % of the messages lost");
    println!("members  rounds  log2  missed  messages (all, most of one)  bytes per member");
    let mut well = true;
    for size in [10, 100, 1_000, 10_000] {
        let Cost {
            rounds,
            missed,
            messages,
            most_messages,
            bytes,
        } = one_write(size, seed);
        let log2 = size.ilog2() + u32::from(!size.is_power_of_two());
        let each = bytes / size;
        println!(
            "{size:>7}  {rounds:>6}  {log2:>4}  {missed:>6}  \
             {messages:>12}, {most_messages:<13}  {each:>16}"
        );
        well &= rounds <= u128::from(log2) + 2;
    }
    println!("idle, after they found each other");
    println!(
        "members  bytes per member per second  datagrams  exchanged bytes  \
         calm after  bytes per member by then"
    );
    for size in [3, 100, 300, 1_000] {
        let Idle {
            bytes,
            datagrams,
            exchanged,
            calm,
            before,
        } = idle::measure(size, seed);
        let calm = calm.as_secs();
        println!(
            "{size:>7}  {bytes:>27.0}  {datagrams:>9.2}  {exchanged:>15.0}  \
             {calm:>8} s  {before:>24}"
        );
        well &= bytes <= 2048.0;
    }
    ExitCode::from(u8::from(!well))
}
