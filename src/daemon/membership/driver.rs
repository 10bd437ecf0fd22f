//! The loop: whatever happens goes into the membership, whatever comes out of it is done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::{Asked, Doors, Exchange, MembershipConfig};
use crate::io::clock;
use crate::io::tasks::Tasks;
use crate::io::udp::{Packet, Place, Sockets, SocketsConfig, interfaces};
use crate::model::MemberId;
use crate::protocol::membership::{
    Alarm, Effect, Event, Generation, Identity, MemberTable, Membership,
};
use crate::protocol::{Mono, Protocol};

/// How many datagrams wait; more are dropped and counted.
const INBOX: usize = 1_024;
/// How many datagrams are taken in one go, between two looks at everything else.
const BATCH: usize = 64;
/// How often the interfaces are looked at.
const LOOK_AT_INTERFACES: Duration = Duration::from_secs(3);
/// How long an exchange may take.
const EXCHANGE_PATIENCE: Duration = Duration::from_secs(10);
/// How many exchanges may have ended without having been looked at.
const EXCHANGES: usize = 64;

/// Where news goes.
pub(super) struct Outlets {
    pub(super) table: watch::Sender<Arc<MemberTable>>,
    pub(super) alarms: mpsc::Sender<Alarm>,
    pub(super) generations: watch::Sender<Generation>,
}

/// An exchange that has ended.
struct Ended {
    target: SocketAddr,
    answer: Option<Bytes>,
}

pub(super) struct Driver {
    tasks: Tasks,
    config: MembershipConfig,
    membership: Membership,
    sockets: Sockets,
    outlets: Outlets,
    places: Vec<Place>,
    missing: Vec<String>,
}

/// What woke the loop.
enum Woken {
    Stop,
    Packet(Packet),
    Asked(Asked),
    Ended(Ended),
    Seeds(Vec<SocketAddr>),
    Root,
    Interfaces,
    Deadline,
}

/// Opens the sockets.
pub(super) fn sockets(
    tasks: &Tasks,
    config: &MembershipConfig,
) -> (Sockets, mpsc::Receiver<Packet>) {
    let (inbox, packets) = mpsc::channel(INBOX);
    let how = SocketsConfig {
        port: config.udp_port,
        multicast: config.multicast,
    };
    let mut sockets = Sockets::new(how, tasks, inbox);
    match interfaces(&config.interfaces) {
        Ok(chosen) => sockets.arrange(&chosen.places),
        Err(error) => tracing::warn!("cannot list the network interfaces: {error}"),
    }
    (sockets, packets)
}

/// `me` where it is reachable when its first socket is at `primary`.
pub(super) fn placed(
    me: Identity,
    config: &MembershipConfig,
    primary: Option<SocketAddr>,
) -> Identity {
    let (udp, https) = addresses(config, primary, &me);
    Identity { udp, https, ..me }
}

fn addresses(
    config: &MembershipConfig,
    primary: Option<SocketAddr>,
    me: &Identity,
) -> (SocketAddr, SocketAddr) {
    let mut udp = primary.unwrap_or(me.udp);
    let https = config.advertise.unwrap_or_else(|| {
        let mut https = udp;
        https.set_port(config.https_port);
        https
    });
    if let Some(advertised) = config.advertise {
        udp.set_ip(advertised.ip());
    }
    (udp, https)
}

impl Driver {
    pub(super) fn new(
        tasks: &Tasks,
        config: MembershipConfig,
        membership: Membership,
        sockets: Sockets,
        outlets: Outlets,
    ) -> Self {
        Self {
            tasks: tasks.clone(),
            config,
            membership,
            sockets,
            outlets,
            places: vec![],
            missing: vec![],
        }
    }

    /// Runs until the goodbye is said, or until refused as a duplicate.
    pub(super) async fn run(
        mut self,
        mut packets: mpsc::Receiver<Packet>,
        mut seeds: mpsc::Receiver<Vec<SocketAddr>>,
        doors: Doors,
    ) {
        let Doors {
            exchange,
            mut asked,
            mut root,
        } = doors;
        let (ended, mut exchanges) = mpsc::channel(EXCHANGES);
        let first_root = *root.borrow_and_update();
        self.tell(Event::Root(first_root), &exchange, &ended).await;
        let mut interfaces_at = clock::mono();
        let (mut leaving, mut root_open) = (false, true);
        while !self.membership.is_over() {
            let deadline = self.membership.deadline();
            let woken = tokio::select! {
                biased;
                () = self.tasks.stopping(), if !leaving => Woken::Stop,
                Some(packet) = packets.recv() => Woken::Packet(packet),
                Some(asked) = asked.recv() => Woken::Asked(asked),
                Some(ended) = exchanges.recv() => Woken::Ended(ended),
                Some(seeds) = seeds.recv() => Woken::Seeds(seeds),
                changed = root.changed(), if root_open => {
                    root_open = changed.is_ok();
                    Woken::Root
                }
                () = clock::sleep_until(interfaces_at) => Woken::Interfaces,
                () = until(deadline) => Woken::Deadline,
            };
            match woken {
                Woken::Stop => {
                    leaving = true;
                    self.tell(Event::Leave, &exchange, &ended).await;
                }
                Woken::Packet(packet) => {
                    self.datagram(packet, &exchange, &ended).await;
                    for _ in 1..BATCH {
                        let Ok(packet) = packets.try_recv() else {
                            break;
                        };
                        self.datagram(packet, &exchange, &ended).await;
                    }
                }
                Woken::Asked(asked) => self.answer(asked, &exchange, &ended).await,
                Woken::Ended(Ended { target, answer }) => {
                    let event = Event::Exchanged { target, answer };
                    self.tell(event, &exchange, &ended).await;
                }
                Woken::Seeds(seeds) => self.tell(Event::Seeds(seeds), &exchange, &ended).await,
                Woken::Root => {
                    let root = *root.borrow_and_update();
                    self.tell(Event::Root(root), &exchange, &ended).await;
                }
                Woken::Interfaces => {
                    interfaces_at = clock::mono().plus(LOOK_AT_INTERFACES);
                    self.look_at_interfaces(&exchange, &ended).await;
                }
                Woken::Deadline => {}
            }
            self.run_due(&exchange, &ended).await;
        }
    }

    async fn datagram(
        &mut self,
        Packet { from, bytes }: Packet,
        exchange: &Arc<dyn Exchange>,
        ended: &mpsc::Sender<Ended>,
    ) {
        let event = Event::Datagram { from, bytes };
        self.tell(event, exchange, ended).await;
    }

    async fn tell(
        &mut self,
        event: Event,
        exchange: &Arc<dyn Exchange>,
        ended: &mpsc::Sender<Ended>,
    ) {
        let now = self.now();
        let mut effects = vec![];
        self.membership.on_event(now, event, &mut effects);
        self.perform(effects, exchange, ended).await;
    }

    /// Datagrams that wait are looked at before the time: they may clear somebody.
    async fn run_due(&mut self, exchange: &Arc<dyn Exchange>, ended: &mpsc::Sender<Ended>) {
        let now = self.now();
        if self.membership.deadline().is_some_and(|due| due <= now) {
            let mut effects = vec![];
            self.membership.on_deadline(now, &mut effects);
            self.perform(effects, exchange, ended).await;
        }
    }

    async fn answer(
        &mut self,
        asked: Asked,
        exchange: &Arc<dyn Exchange>,
        ended: &mpsc::Sender<Ended>,
    ) {
        let now = self.now();
        let mut effects = vec![];
        let answer = self
            .membership
            .answer(now, asked.member, &asked.body, &mut effects);
        if let Err(error) = &answer {
            tracing::warn!("refused a member state from {}: {error}", asked.member);
        }
        // Whoever asked may have gone away; then nobody needs the answer.
        drop(asked.reply.send(answer));
        self.perform(effects, exchange, ended).await;
    }

    fn now(&mut self) -> Mono {
        let now = clock::mono();
        self.membership.set_wall(now, clock::wall());
        now
    }

    async fn look_at_interfaces(
        &mut self,
        exchange: &Arc<dyn Exchange>,
        ended: &mpsc::Sender<Ended>,
    ) {
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
            let me = self.membership.me();
            let (udp, https) = addresses(&self.config, Some(primary), me);
            self.tell(Event::Moved { udp, https }, exchange, ended)
                .await;
        }
    }

    async fn perform(
        &mut self,
        effects: Vec<Effect>,
        exchange: &Arc<dyn Exchange>,
        ended: &mpsc::Sender<Ended>,
    ) {
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
                    let exchange = Arc::clone(exchange);
                    let asking = ask(exchange, target, expected, body, ended.clone());
                    self.tasks.spawn_until_stop(asking);
                }
                Effect::Publish(table) => {
                    let before = self.outlets.table.send_replace(Arc::clone(&table));
                    log_changes(&before, &table);
                }
                Effect::Alarm(alarm) => {
                    tracing::error!("{alarm}");
                    // A full queue holds alarms that say the same.
                    drop(self.outlets.alarms.try_send(alarm));
                }
            }
        }
    }
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
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!("no exchange with {target}: {error}");
            None
        }
        Err(_late) => {
            tracing::debug!("no exchange with {target}: no answer in time");
            None
        }
    };
    // The driver may have stopped; then nobody needs the answer.
    drop(ended.send(Ended { target, answer }).await);
}

fn log_changes(before: &MemberTable, after: &MemberTable) {
    for row in after.others.values() {
        let old = before.others.get(&row.id).map(|row| row.state);
        if old != Some(row.state) {
            let (id, name, state, https) = (row.id, &row.name, row.state, row.https);
            tracing::info!("member {id} ({name}) at {https} is {state}");
        }
    }
}
