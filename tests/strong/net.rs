//! Members in one process whose messages go through memory, where they can be cut off, delayed and
//! lost.
#![expect(
    clippy::disallowed_methods,
    reason = "here is the world that the engine is given"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gaggle::model::{MemberId, WallTime};
use gaggle::protocol::Mono;
use gaggle::strong::engine::{
    AskError, Engine, LogDisk, Matter, MemoryDisk, Plan, Seen, Settings, World,
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The network, and whoever is on it.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<Wires>>);

#[derive(Default)]
struct Wires {
    members: BTreeMap<MemberId, Placed>,
    /// From whom to whom nothing gets through.
    cut: BTreeSet<(MemberId, MemberId)>,
    /// Who is stopped: what it is asked stays without an answer.
    frozen: BTreeSet<MemberId>,
    delay: Duration,
    /// From whom to whom it takes longer, and by how much.
    far: BTreeMap<(MemberId, MemberId), Duration>,
    /// Of a thousand messages so many get lost, and as many answers.
    loss: u32,
    /// Each so-manieth piece of a snapshot does not get there; 0: all do.
    break_at: u32,
    /// Pieces of snapshots that were sent, and of these how many did not get there.
    pieces: (u32, u32),
    /// Only messages about this get lost; none: all do.
    lost: Option<Matter>,
}

/// A member's engine, whom it is told that it sees, and how others see it.
type Placed = (Engine, watch::Sender<Arc<Vec<Seen>>>, Seen);

/// A member: its engine, its disk, and the switch that kills it.
pub(crate) struct Member {
    pub(crate) engine: Engine,
    pub(crate) disk: Arc<MemoryDisk>,
    pub(crate) id: MemberId,
    kill: CancellationToken,
}

/// The id of the member with this number.
pub(crate) fn id(number: u64) -> MemberId {
    MemberId::from_u64(number)
}

impl Net {
    /// Starts a member on a disk, and lets it be seen.
    pub(crate) async fn start(&self, number: u64, plan: Plan, disk: Arc<MemoryDisk>) -> Member {
        self.start_with(number, plan, disk, None).await
    }

    /// The same, with a time after which absent voters are replaced.
    pub(crate) async fn start_with(
        &self,
        number: u64,
        plan: Plan,
        disk: Arc<MemoryDisk>,
        promote_after: Option<Duration>,
    ) -> Member {
        let on: Arc<dyn LogDisk> = disk.clone();
        self.start_on(number, plan, (disk, on), promote_after).await
    }

    /// The same, with something between the member and its disk.
    pub(crate) async fn start_on(
        &self,
        number: u64,
        plan: Plan,
        (disk, on): (Arc<MemoryDisk>, Arc<dyn LogDisk>),
        promote_after: Option<Duration>,
    ) -> Member {
        let kill = CancellationToken::new();
        let world = Arc::new(TestWorld {
            net: self.clone(),
            me: id(number),
            begun: Instant::now(),
            kill: kill.clone(),
        });
        let me = Seen {
            member: id(number),
            name: format!("m{number}").into(),
            generation: u64::from(rand::random::<u32>()),
        };
        let settings = Settings {
            me: me.clone(),
            plan,
            promote_after,
        };
        let (sender, seen) = watch::channel(Arc::default());
        let engine = Engine::start(settings, on, world, seen).await.unwrap();
        let placed = (engine.clone(), sender, me);
        self.0.lock().members.insert(id(number), placed);
        self.look();
        Member {
            engine,
            disk,
            id: id(number),
            kill,
        }
    }

    /// Ends a member without a word.
    pub(crate) fn kill(&self, member: Member) -> Arc<MemoryDisk> {
        self.0.lock().members.remove(&member.id);
        member.kill.cancel();
        self.look();
        member.disk
    }

    /// Cuts these off from all others, both ways.
    pub(crate) fn cut(&self, off: &[u64]) {
        let mut wires = self.0.lock();
        let all: Vec<MemberId> = wires.members.keys().copied().collect();
        let off: Vec<MemberId> = off.iter().map(|number| id(*number)).collect();
        for one in &all {
            for other in &all {
                if off.contains(one) != off.contains(other) {
                    wires.cut.insert((*one, *other));
                }
            }
        }
        drop(wires);
        self.look();
    }

    /// What one sends to another gets lost, but not the other way.
    pub(crate) fn cut_one_way(&self, from: u64, to: u64) {
        self.0.lock().cut.insert((id(from), id(to)));
    }

    /// What one sends to another takes that much longer.
    pub(crate) fn far(&self, from: u64, to: u64, delay: Duration) {
        self.0.lock().far.insert((id(from), id(to)), delay);
    }

    /// What is sent to it or by it waits, as if it were stopped, until all is well again.
    pub(crate) fn freeze(&self, member: u64) {
        self.0.lock().frozen.insert(id(member));
    }

    /// All is well again.
    pub(crate) fn heal(&self) {
        {
            let mut wires = self.0.lock();
            wires.cut.clear();
            wires.frozen.clear();
            wires.far.clear();
            (wires.delay, wires.loss, wires.lost) = (Duration::ZERO, 0, None);
        }
        self.look();
    }

    /// Nobody is cut off any more.
    pub(crate) fn heal_cuts(&self) {
        self.0.lock().cut.clear();
        self.look();
    }

    /// From now on each so-manieth piece of a snapshot does not get there.
    pub(crate) fn break_snapshots(&self, at: u32) {
        self.0.lock().break_at = at;
    }

    /// How many pieces of snapshots were sent, and how many of them did not get there.
    pub(crate) fn pieces(&self) -> (u32, u32) {
        self.0.lock().pieces
    }

    /// Messages take so long, and of a thousand so many get lost.
    pub(crate) fn slow(&self, delay: Duration, loss: u32) {
        let mut wires = self.0.lock();
        (wires.delay, wires.loss) = (delay, loss);
    }

    /// The same, but only messages about this get lost.
    pub(crate) fn slow_about(&self, matter: Matter, delay: Duration, loss: u32) {
        self.slow(delay, loss);
        self.0.lock().lost = Some(matter);
    }

    /// Counts a piece; says whether it does not get there.
    fn breaks_off(&self) -> bool {
        let mut wires = self.0.lock();
        wires.pieces.0 += 1;
        let breaks = wires.break_at > 0 && wires.pieces.0.is_multiple_of(wires.break_at);
        wires.pieces.1 += u32::from(breaks);
        breaks
    }

    async fn thaw(&self, one: MemberId, other: MemberId) {
        loop {
            let is_frozen = {
                let frozen = &self.0.lock().frozen;
                frozen.contains(&one) || frozen.contains(&other)
            };
            if !is_frozen {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Tells everybody whom it sees.
    pub(crate) fn look(&self) {
        let wires = self.0.lock();
        for (me, (_, sender, _)) in &wires.members {
            let others = wires.members.iter().filter(|(it, _)| *it != me);
            let seen = others.filter(|(it, _)| {
                !wires.cut.contains(&(*me, **it)) && !wires.cut.contains(&(**it, *me))
            });
            let seen: Vec<Seen> = seen.map(|(_, (_, _, seen))| seen.clone()).collect();
            sender.send_replace(Arc::new(seen));
        }
    }
}

struct TestWorld {
    net: Net,
    me: MemberId,
    begun: Instant,
    kill: CancellationToken,
}

impl World for TestWorld {
    fn mono(&self) -> Mono {
        Mono(self.begun.elapsed())
    }

    fn wall(&self) -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        WallTime::from_millis(u64::try_from(since.as_millis()).unwrap())
    }

    fn random(&self) -> [u8; 16] {
        rand::random()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let kill = self.kill.clone();
        tokio::spawn(async move {
            tokio::select! { () = kill.cancelled() => {}, () = task => {} }
        });
    }

    fn block(&self, work: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(work);
    }

    fn ask(
        &self,
        to: MemberId,
        about: Matter,
        body: Bytes,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Bytes, AskError>> {
        let (net, me, kill) = (self.net.clone(), self.me, self.kill.clone());
        let asked = async move {
            // Whoever still has a handle to it keeps a killed engine going.
            if kill.is_cancelled() {
                return Err(AskError::NotReached("this member is gone".to_owned()));
            }
            let (there, back, far, delay, target) = {
                let wires = net.0.lock();
                let may = wires.lost.is_none_or(|matter| matter == about);
                let lost = || may && rand::random_range(0..1_000) < wires.loss;
                let there = !wires.cut.contains(&(me, to)) && !lost();
                let back = !wires.cut.contains(&(to, me)) && !lost();
                let target = wires.members.get(&to).map(|(engine, ..)| engine.clone());
                let far = wires.far.get(&(me, to)).copied().unwrap_or_default();
                (there, back, far, wires.delay, target)
            };
            let Some(target) = target else {
                return Err(AskError::NotReached("nobody is there".to_owned()));
            };
            if about == Matter::Snapshot && net.breaks_off() {
                return Err(AskError::NotReached("the connection broke off".to_owned()));
            }
            net.thaw(me, to).await;
            tokio::time::sleep(far + delay).await;
            // What is still in its buffers dies with it.
            if !there || kill.is_cancelled() {
                std::future::pending::<()>().await;
            }
            let answer = target.take(me, about, &body).await;
            tokio::time::sleep(delay).await;
            if !back || kill.is_cancelled() {
                std::future::pending::<()>().await;
            }
            answer.map_err(|error| AskError::NoAnswer(error.to_string()))
        };
        async move {
            let silence = |_| AskError::NoAnswer("no answer in time".to_owned());
            tokio::time::timeout(limit, asked).await.map_err(silence)?
        }
        .boxed()
    }
}
