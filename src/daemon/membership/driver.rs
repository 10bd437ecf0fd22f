//! The loop: whatever happens goes into the membership, whatever comes out of it is done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::ways::{News, Ways};
use super::{Asked, Exchange, Matter, MembershipConfig};
use crate::io::clock;
use crate::io::tasks::Tasks;
use crate::io::udp::{Packet, Place, Sockets, SocketsConfig, interfaces};
use crate::model::MemberId;
use crate::protocol::membership::{Alarm, Effect, Event, Generation, MemberTable, Membership};
use crate::protocol::{Mono, Protocol};

/// How many datagrams wait; more are dropped and counted.
const INBOX: usize = 1_024;
/// How many datagrams are taken in one go, between two looks at everything else.
const BATCH: usize = 64;
/// How often the interfaces are looked at.
const LOOK_AT_INTERFACES: Duration = Duration::from_secs(3);
/// How long an exchange may take.
const EXCHANGE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a relay may take: while we run, and when we say goodbye.
const RELAY_PATIENCE: Duration = Duration::from_secs(2);
const GOODBYE_PATIENCE: Duration = Duration::from_millis(500);
/// How many exchanges may have ended without having been looked at.
const EXCHANGES: usize = 64;

/// Where news and questions go.
pub(super) struct Outlets {
    pub(super) exchange: Arc<dyn Exchange>,
    pub(super) ended: mpsc::Sender<Ended>,
    pub(super) table: watch::Sender<Arc<MemberTable>>,
    pub(super) alarms: mpsc::Sender<Alarm>,
    pub(super) generations: watch::Sender<Generation>,
}

/// A request that has ended.
pub(super) enum Ended {
    Exchange {
        target: SocketAddr,
        answer: Result<Bytes, String>,
    },
    Relay {
        member: MemberId,
        answer: Option<Bytes>,
    },
}

pub(super) struct Driver {
    tasks: Tasks,
    config: MembershipConfig,
    membership: Membership,
    sockets: Sockets,
    outlets: Outlets,
    ways: Ways,
    places: Vec<Place>,
    missing: Vec<String>,
    leaving: bool,
}

/// What woke the loop.
enum Woken {
    Stop,
    Packet(Packet),
    Asked(Asked),
    Ended(Ended),
    News(News),
    Root(u128),
    Interfaces,
    Deadline,
}

/// Opens the sockets; the second is where what arrives comes out.
pub(super) fn sockets(
    tasks: &Tasks,
    config: &MembershipConfig,
) -> (Sockets, mpsc::Receiver<Packet>) {
    let (inbox, packets) = mpsc::channel(INBOX);
    let how = SocketsConfig {
        port: config.udp_port,
        multicast: config.discover.multicast,
    };
    let mut sockets = Sockets::new(how, tasks, inbox);
    match interfaces(&config.interfaces) {
        Ok(chosen) => sockets.arrange(&chosen.places),
        Err(error) => tracing::warn!("cannot list the network interfaces: {error}"),
    }
    (sockets, packets)
}

/// Where we are reached, by datagram and over HTTPS, if our first socket is at `primary`.
pub(super) fn addresses(
    config: &MembershipConfig,
    primary: SocketAddr,
) -> (SocketAddr, SocketAddr) {
    let at = |port| {
        let mut address = primary;
        address.set_port(port);
        address
    };
    let Some(advertised) = config.advertise else {
        return (primary, at(config.https_port));
    };
    let udp = SocketAddr::new(advertised.ip(), primary.port());
    (udp, advertised)
}

/// What comes in.
pub(super) struct Inlets {
    packets: mpsc::Receiver<Packet>,
    news: mpsc::Receiver<News>,
    asked: mpsc::Receiver<Asked>,
    root: Option<watch::Receiver<u128>>,
    ended: mpsc::Receiver<Ended>,
    interfaces_at: Mono,
}

impl Inlets {
    /// All that can come in; the second is where exchanges that have ended go.
    pub(super) fn new(
        packets: mpsc::Receiver<Packet>,
        news: mpsc::Receiver<News>,
        asked: mpsc::Receiver<Asked>,
        mut root: watch::Receiver<u128>,
    ) -> (Self, mpsc::Sender<Ended>) {
        root.mark_changed();
        let (sender, ended) = mpsc::channel(EXCHANGES);
        let inlets = Self {
            packets,
            news,
            asked,
            root: Some(root),
            ended,
            interfaces_at: clock::mono(),
        };
        (inlets, sender)
    }

    /// What happens next, or that `deadline` has passed.
    async fn next(&mut self, stopping: impl Future<Output = ()>, deadline: Option<Mono>) -> Woken {
        tokio::select! {
            biased;
            () = stopping => Woken::Stop,
            Some(packet) = self.packets.recv() => Woken::Packet(packet),
            Some(asked) = self.asked.recv() => Woken::Asked(asked),
            Some(ended) = self.ended.recv() => Woken::Ended(ended),
            Some(news) = self.news.recv() => Woken::News(news),
            root = changed(&mut self.root) => Woken::Root(root),
            () = clock::sleep_until(self.interfaces_at) => {
                self.interfaces_at = clock::mono().plus(LOOK_AT_INTERFACES);
                Woken::Interfaces
            }
            () = until(deadline) => Woken::Deadline,
        }
    }
}

impl Driver {
    pub(super) fn new(
        tasks: &Tasks,
        config: MembershipConfig,
        membership: Membership,
        sockets: Sockets,
        outlets: Outlets,
        ways: Ways,
    ) -> Self {
        Self {
            tasks: tasks.clone(),
            config,
            membership,
            sockets,
            outlets,
            ways,
            places: vec![],
            missing: vec![],
            leaving: false,
        }
    }

    /// Runs until the goodbye is said, or until refused as a duplicate.
    pub(super) async fn run(mut self, mut inlets: Inlets) {
        while !self.membership.is_over() {
            let (tasks, leaving) = (self.tasks.clone(), self.leaving);
            let stopping = async move {
                if leaving {
                    std::future::pending::<()>().await;
                } else {
                    tasks.stopping().await;
                }
            };
            match inlets.next(stopping, self.membership.deadline()).await {
                Woken::Stop => {
                    self.leaving = true;
                    self.tell(Event::Leave).await;
                }
                Woken::Packet(packet) => self.datagrams(packet, &mut inlets.packets).await,
                Woken::Asked(asked) => self.answer(asked).await,
                Woken::Ended(ended) => self.ended(ended).await,
                Woken::News(news) => {
                    if let Some(seeds) = self.ways.take(news) {
                        self.tell(Event::Seeds(seeds)).await;
                    }
                }
                Woken::Root(root) => self.tell(Event::Root(root)).await,
                Woken::Interfaces => self.look_at_interfaces().await,
                Woken::Deadline => {}
            }
            self.run_due().await;
        }
    }

    async fn datagrams(&mut self, first: Packet, more: &mut mpsc::Receiver<Packet>) {
        let mut next = Some(first);
        for _ in 0..BATCH {
            let Some(Packet { from, bytes }) = next else {
                break;
            };
            self.tell(Event::Datagram { from, bytes }).await;
            next = more.try_recv().ok();
        }
    }

    async fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Relay { member, answer } => self.tell(Event::Relayed { member, answer }).await,
            Ended::Exchange { target, answer } => {
                let answer = match answer {
                    Ok(answer) => Some(answer),
                    Err(why) => {
                        self.ways.failed(target, why);
                        None
                    }
                };
                self.tell(Event::Exchanged { target, answer }).await;
                self.ways.tried(target, self.membership.tried(target));
            }
        }
    }

    async fn tell(&mut self, event: Event) {
        let now = self.now();
        let mut effects = vec![];
        self.membership.on_event(now, event, &mut effects);
        self.perform(effects).await;
    }

    /// Datagrams that wait are looked at before the time: they may clear somebody.
    async fn run_due(&mut self) {
        let now = self.now();
        if self.membership.deadline().is_some_and(|due| due <= now) {
            let mut effects = vec![];
            self.membership.on_deadline(now, &mut effects);
            self.perform(effects).await;
        }
    }

    async fn answer(&mut self, asked: Asked) {
        let now = self.now();
        let mut effects = vec![];
        let membership = &mut self.membership;
        let (from, body) = (asked.member, &asked.body);
        let answer = match asked.matter {
            Matter::State => membership.answer(now, from, body, &mut effects),
            Matter::Datagrams => membership.relayed(now, from, body, &mut effects),
        };
        if let Err(error) = &answer {
            tracing::warn!("refused what {from} said of the members: {error}");
        }
        // Whoever asked may have gone away; then nobody needs the answer.
        drop(asked.reply.send(answer));
        self.perform(effects).await;
    }

    fn now(&mut self) -> Mono {
        let now = clock::mono();
        self.membership.set_wall(now, clock::wall());
        now
    }

    async fn look_at_interfaces(&mut self) {
        self.membership.set_overflow(self.sockets.overflow());
        let chosen = match interfaces(&self.config.interfaces) {
            Ok(chosen) => chosen,
            Err(error) => return tracing::warn!("cannot list the network interfaces: {error}"),
        };
        if chosen.missing != self.missing {
            for name in &chosen.missing {
                tracing::warn!("no interface {name} that is up; waiting for it");
            }
            self.missing = chosen.missing;
        }
        self.sockets.arrange(&chosen.places);
        if chosen.places != self.places {
            self.places = chosen.places;
            let locals: Vec<_> = self.sockets.locals().map(|at| at.to_string()).collect();
            tracing::info!("receiving datagrams at {}", locals.join(", "));
        }
        // Without any socket we stay where we were said to be: it may come back.
        if let Some(primary) = self.sockets.primary() {
            let (udp, https) = addresses(&self.config, primary);
            self.tell(Event::Moved { udp, https }).await;
        }
    }

    async fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(generation) => {
                    self.outlets.generations.send_replace(generation);
                }
                Effect::Send { to, datagram } => self.sockets.send_to(to, &datagram).await,
                Effect::Multicast(datagram) => self.sockets.multicast(&datagram).await,
                Effect::Exchange {
                    target,
                    expected,
                    body,
                } => {
                    let exchange = Arc::clone(&self.outlets.exchange);
                    let ended = self.outlets.ended.clone();
                    let asking = ask(exchange, target, expected, body, ended);
                    self.tasks.spawn_until_stop(asking);
                }
                Effect::Relay {
                    target,
                    member,
                    body,
                } => {
                    let exchange = Arc::clone(&self.outlets.exchange);
                    let ended = self.outlets.ended.clone();
                    let patience = if self.leaving {
                        GOODBYE_PATIENCE
                    } else {
                        RELAY_PATIENCE
                    };
                    // Not until the stop: a goodbye may be among them.
                    self.tasks.spawn(async move {
                        let relaying = exchange.relay(target, member, body);
                        let answer = tokio::time::timeout(patience, relaying).await;
                        let answer = answer.ok().and_then(Result::ok);
                        // The driver may have stopped; then nobody needs the answer.
                        drop(ended.send(Ended::Relay { member, answer }).await);
                    });
                }
                Effect::Publish(table) => {
                    let before = self.outlets.table.send_replace(Arc::clone(&table));
                    log_changes(&before, &table);
                }
                Effect::Alarm(alarm) => {
                    tracing::error!("{alarm}");
                    // A full queue holds alarms that say the same.
                    let _told = self.outlets.alarms.try_send(alarm);
                }
            }
        }
    }
}

/// The next root; waits for ever once nobody can change it any more.
async fn changed(root: &mut Option<watch::Receiver<u128>>) -> u128 {
    if let Some(receiver) = root
        && receiver.changed().await.is_ok()
    {
        return *receiver.borrow_and_update();
    }
    *root = None;
    std::future::pending().await
}

async fn until(deadline: Option<Mono>) {
    match deadline {
        Some(at) => clock::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn ask(
    exchange: Arc<dyn Exchange>,
    target: SocketAddr,
    expected: Option<MemberId>,
    body: Bytes,
    ended: mpsc::Sender<Ended>,
) {
    let asking = exchange.exchange(target, expected, body);
    let answer = match tokio::time::timeout(EXCHANGE_PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_late) => Err("no answer in time".to_owned()),
    };
    if let Err(why) = &answer {
        tracing::debug!("no exchange with {target}: {why}");
    }
    // The driver may have stopped; then nobody needs the answer.
    drop(ended.send(Ended::Exchange { target, answer }).await);
}

fn log_changes(before: &MemberTable, after: &MemberTable) {
    for row in after.others.values() {
        let old = before.others.get(&row.id);
        let (id, name, state, https) = (row.id, &row.name, row.state, row.https);
        if old.map(|old| old.state) != Some(state) {
            tracing::info!("member {id} ({name}) at {https} is {state}");
        }
        let was_https = old.is_some_and(|old| old.https_only);
        let udp = row.udp;
        if row.https_only && !was_https {
            tracing::warn!(
                "datagrams (UDP) to member {id} ({name}) at {udp} do not get through: it is \
                 watched over HTTPS"
            );
        } else if was_https && !row.https_only && state.is_live() {
            tracing::info!("datagrams (UDP) to member {id} ({name}) at {udp} get through again");
        }
    }
}
