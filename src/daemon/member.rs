//! One running member: its start and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::api::auth::Auth;
use crate::api::metrics::Metrics;
use crate::api::peer::PeerParts;
use crate::api::{About, ApiParts, Desk, ZgossipDirectory};
use crate::app::{BlockList, Strong};
use crate::config::{Config, MemberFile};
use crate::io::clock::{mono, wall};
use crate::io::http_client::{PeerClient, PeerLimits};
use crate::io::recent::Recent;
use crate::io::supervisor::{self, Word};
use crate::io::tasks::Tasks;
use crate::io::tls::Keyring;
use crate::model::MemberId;
use crate::protocol::membership::{Alarm, MemberTable};
use crate::strong::engine::{LogDisk, Seen};

use super::access::{self, Access};
use super::contact::{self, Contact};
use super::directory::Directory;
use super::faces::{Behind, Doors};
use super::logging::Logging;
use super::membership::MembershipHandle;
use super::peers::Peers;
use super::replication::{self, Replication, UpkeepOf};
use super::scrub::{Scrub, ScrubCounters};
use super::serving::{self, Certificates};
use super::signals::{Asked, Signals};
use super::snapshot::Keeper;
use super::store::{self, OpenStore};
use super::strong::{self, StrongParts};
use super::{
    DaemonError, Reread, Started, VERSION, backlog, clocks, forgotten, import, metrics, sync,
    zgossip,
};

/// How long a stop waits for peers to take what was written last.
const LAST_PUSH: Duration = Duration::from_secs(1);

/// A member that serves.
pub(super) struct Running {
    listen: SocketAddr,
    config: Config,
    store: OpenStore,
    auth: Arc<Auth>,
    certificates: Certificates,
    opened: Opened,
    logging: Logging,
    groups: Groups,
}

/// The tasks, in the order in which they are stopped.
#[derive(Default)]
struct Groups {
    /// The accept loop and its connections.
    front: Tasks,
    /// Discovery: says goodbye when it is stopped, after the requests have ended.
    contact: Tasks,
    /// Everything else.
    back: Tasks,
}

/// What a member is started with.
pub(super) struct Beginning {
    pub(super) config: Config,
    pub(super) logging: Logging,
    /// Where the strong side keeps its log; none: in the data directory.
    pub(super) log: Option<Arc<dyn LogDisk>>,
}

/// Starts a member and runs it until it is asked to stop.
pub(super) async fn run(
    config: Config,
    reread: &Reread,
    logging: Logging,
    started: impl Fn(&Started),
) -> Result<(), DaemonError> {
    let system = |why| DaemonError::System {
        what: "a signal handler",
        why,
    };
    let mut signals = Signals::listen().map_err(system)?;
    let beginning = Beginning {
        config,
        logging,
        log: None,
    };
    // Nothing is acknowledged before the start is over: a stop may come at any point of it.
    let mut running = tokio::select! {
        running = start(beginning, started) => running?,
        () = signals.stop() => return Ok(()),
    };
    supervisor::tell(&Word::Ready(&told_ready(&running)));
    running
        .groups
        .back
        .spawn_until_stop(supervisor::keep_alive());
    let ended = running.wait(&mut signals, reread).await;
    supervisor::tell(&Word::Stopping);
    tokio::select! {
        () = running.stop_in_time() => {}
        () = signals.stop() => tracing::warn!("a second signal: ending at once"),
    }
    ended
}

/// The line that `systemctl status` shows.
fn told_ready(running: &Running) -> String {
    format!("{} serves at {}", running.config.name, running.listen)
}

/// Starts a member. `started` is called once it serves.
pub(super) async fn start(
    beginning: Beginning,
    started: impl Fn(&Started),
) -> Result<Running, DaemonError> {
    let Beginning {
        config,
        logging,
        log,
    } = beginning;
    let begun = mono();
    for notice in &config.notices {
        tracing::warn!("{notice}");
    }
    let mut store = store::load(&config).await?;
    if let Some(log) = log {
        store.log = log;
    }
    let Access {
        keyring,
        users,
        new_secret,
        new_password,
    } = access::open(&config)?;
    let member = store.identity.member;
    let certificates = Certificates::open(&config, &keyring, member)?;
    let imported = import::edits(&config, &store).await?;
    let block_list = Arc::new(block_list(&config)?);
    let doors = Doors::open(&config).await?;
    let (listen, map) = (doors.listen, doors.map.as_ref().map(|door| door.listen));
    let groups = Groups::default();
    let auth = Arc::new(Auth::new(users, groups.back.clone()));
    let parts = Parts {
        config: &config,
        store: &store,
        certificates: &certificates,
        auth: &auth,
        block_list: &block_list,
        recent: &logging.recent,
    };
    let opened = parts.open(&groups, &keyring, doors).await?;
    let notice = Started {
        member,
        name: config.name.clone(),
        cluster: config.cluster.clone(),
        listen,
        map,
        ca: config.data.ca_file(),
        own_certificate: config.certificate.is_some(),
        user: config.user.clone(),
        new_password,
        new_secret,
        discovery_port: config.discovery_port,
        imported,
        keys: store.app.view().store.counts().keys,
    };
    tell_host(&config, &notice, &keyring.ca_pem())?;
    tracing::info!(
        %member, name = %notice.name, cluster = %notice.cluster, %listen, keys = notice.keys,
        took_ms = u64::try_from(mono().since(begun).as_millis()).unwrap_or(u64::MAX),
        "serving",
    );
    started(&notice);
    Ok(Running {
        listen,
        config,
        store,
        auth,
        certificates,
        opened,
        logging,
        groups,
    })
}

/// What there is once the doors are open.
struct Opened {
    contacts: MembershipHandle,
    replication: Replication,
    forgotten: mpsc::Receiver<()>,
    strong: Strong,
}

/// What a member that opens its doors is made of.
struct Parts<'a> {
    config: &'a Config,
    store: &'a OpenStore,
    certificates: &'a Certificates,
    auth: &'a Arc<Auth>,
    block_list: &'a Arc<BlockList>,
    recent: &'a Recent,
}

impl Parts<'_> {
    /// Looks for others, begins to replicate, and serves.
    async fn open(
        &self,
        groups: &Groups,
        keyring: &Keyring,
        doors: Doors,
    ) -> Result<Opened, DaemonError> {
        let Self {
            config,
            store,
            certificates,
            ..
        } = self;
        let (app, back) = (&store.app, &groups.back);
        let client = Arc::new(self.client(back)?);
        let contact = Contact {
            config,
            keyring,
            member: store.identity.member,
            generation: store.generation,
            listen: doors.listen,
            app,
            client: client.clone(),
            tasks: &groups.contact,
        };
        let (contacts, entrances) = contact::start(contact).await?;
        let peers = Peers::new(client.clone(), config.timeouts.peer);
        let replication = replication::start(
            app,
            &peers,
            (contacts.table.clone(), self.block_list.watch()),
            config.fanout,
            UpkeepOf::of(config, &store.dir, store.was),
            back,
        );
        let (serving, counters) = serving::serving(config, certificates, &groups.front);
        let scrub = Arc::new(ScrubCounters::default());
        let directory = self.directory(&contacts, &replication);
        let (table, of) = (&contacts.table, &directory);
        let metrics = metrics::registry(table, of, &replication, &peers, &counters);
        metrics::scrub(&metrics, &scrub);
        let strong = self.strong(client, contacts.table.clone(), back).await?;
        let zgossip = self.zgossip(&metrics, &strong, &groups.front).await?;
        let door = PeerParts {
            app: app.clone(),
            strong: strong.clone(),
            tasks: back.clone(),
            exchange: entrances.exchange,
            relay: entrances.relay,
            met: sync::meeter(app, back),
            taken: Arc::default(),
        };
        self.keep_copy(&strong, back);
        let api = self.api(back, directory, metrics.clone(), strong.clone(), zgossip);
        let behind = Behind {
            config,
            desk: Desk::new(api),
            metrics,
            replication: &replication,
            tasks: &groups.front,
        };
        doors.serve(serving, door, &behind);
        let forgotten = self.keep(back, &contacts, peers, scrub);
        Ok(Opened {
            contacts,
            replication,
            forgotten,
            strong,
        })
    }

    /// What clients are told about the members.
    fn directory(&self, contacts: &MembershipHandle, replication: &Replication) -> Arc<Directory> {
        Arc::new(Directory {
            app: self.store.app.clone(),
            table: contacts.table.clone(),
            ways: contacts.ways.clone(),
            multicast: self.config.discover.multicast,
            push: replication.push.clone(),
        })
    }

    /// Starts the zgossip face, if it is on.
    async fn zgossip(
        &self,
        metrics: &Metrics,
        strong: &Strong,
        tasks: &Tasks,
    ) -> Result<Option<Arc<dyn ZgossipDirectory>>, DaemonError> {
        let face = zgossip::start(self.config, &self.store.app, strong, tasks).await?;
        zgossip::metrics(metrics, face.as_ref());
        Ok(zgossip::directory(face.as_ref()))
    }

    /// Keeps `store.json` up to date.
    fn keep_copy(&self, strong: &Strong, tasks: &Tasks) {
        let keeper = Keeper {
            app: self.store.app.clone(),
            strong: strong.clone(),
            file: self.store.file.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(keeper.run());
    }

    /// The way to the peers.
    fn client(&self, tasks: &Tasks) -> Result<PeerClient, DaemonError> {
        let limits = PeerLimits {
            answer_bytes: 128 << 20,
            ..PeerLimits::default()
        };
        let Certificates {
            identity, trust, ..
        } = self.certificates;
        Ok(PeerClient::new(
            identity.clone(),
            trust,
            limits,
            tasks.clone(),
        )?)
    }

    /// Starts the strong side, if it is on.
    async fn strong(
        &self,
        client: Arc<PeerClient>,
        table: watch::Receiver<Arc<MemberTable>>,
        tasks: &Tasks,
    ) -> Result<Strong, DaemonError> {
        let Self { config, store, .. } = self;
        let me = Seen {
            member: store.identity.member,
            name: config.name.as_str().into(),
            generation: store.generation,
        };
        let parts = StrongParts {
            config: config.strong.as_ref(),
            me,
            disk: store.log.clone(),
            client,
            table,
            tasks,
        };
        strong::start(parts).await
    }

    /// Starts what looks after things while the member runs. Tells when the cluster is found to
    /// have forgotten it.
    fn keep(
        &self,
        back: &Tasks,
        contacts: &MembershipHandle,
        peers: Peers,
        scrub: Arc<ScrubCounters>,
    ) -> mpsc::Receiver<()> {
        let Self {
            config,
            store,
            certificates,
            ..
        } = self;
        let app = &store.app;
        back.spawn_until_stop((*certificates).clone().keep());
        back.spawn_until_stop(store::keep_disk(app.clone()));
        if let Some(every) = config.scrub_every {
            let scrub = Scrub {
                app: app.clone(),
                counters: scrub,
                every,
                tasks: back.clone(),
            };
            back.spawn_until_stop(scrub.run());
        }
        let table = contacts.table.clone();
        back.spawn_until_stop(clocks::keep(
            app.clone(),
            config.max_clock_skew,
            table.clone(),
        ));
        let (keep_deleted, tasks) = (config.keep_deleted, back.clone());
        back.spawn_until_stop(backlog::keep(app.clone(), keep_deleted, table, tasks));
        let (dir, generation) = (store.dir.clone(), contacts.generation.clone());
        back.spawn_until_stop(store::keep_generations(dir, generation));
        let (out, forgotten) = mpsc::channel(1);
        let (app, table) = (app.clone(), contacts.table.clone());
        back.spawn_until_stop(async move {
            forgotten::certain(app, peers, table).await;
            out.send(()).await.unwrap_or_default();
        });
        forgotten
    }

    fn api(
        &self,
        tasks: &Tasks,
        members: Arc<Directory>,
        metrics: Arc<Metrics>,
        strong: Strong,
        zgossip: Option<Arc<dyn ZgossipDirectory>>,
    ) -> ApiParts {
        let Self {
            config,
            store,
            auth,
            block_list,
            recent,
            ..
        } = self;
        ApiParts {
            app: store.app.clone(),
            strong,
            auth: (*auth).clone(),
            members,
            zgossip,
            metrics,
            tasks: tasks.clone(),
            body_limit: config.limits.body_bytes,
            block_list: (*block_list).clone(),
            recent: (*recent).clone(),
            about: About {
                member: store.identity.member,
                name: config.name.as_str().into(),
                cluster: config.cluster.clone(),
                version: VERSION,
                started: wall(),
            },
        }
    }
}

/// The block list that the operator keeps on this member.
fn block_list(config: &Config) -> Result<BlockList, DaemonError> {
    BlockList::open(&config.data).map_err(|why| DaemonError::File {
        what: "blocklist.json",
        why,
    })
}

/// Leaves in the data directory what other programs on this host need to talk to this member.
fn tell_host(config: &Config, notice: &Started, ca: &str) -> Result<(), DaemonError> {
    let file = MemberFile {
        id: notice.member,
        name: notice.name.clone(),
        cluster: notice.cluster.clone(),
        pid: std::process::id(),
        listen: notice.listen,
        map: notice.map,
        discovery_port: Some(config.discovery_port),
        interfaces: config.interfaces.clone(),
        own_certificate: config.certificate.as_ref().map(|files| {
            let file = &files.certificate;
            std::path::absolute(file).unwrap_or_else(|_| file.clone())
        }),
        version: VERSION.to_owned(),
    };
    let written = config.data.write_member(&file);
    written.map_err(|why| DaemonError::File {
        what: "member.json",
        why,
    })?;
    config.data.write_ca(ca).map_err(|why| DaemonError::File {
        what: "ca.pem",
        why,
    })
}

impl Running {
    /// Waits until the member is to stop, and reloads when asked to.
    async fn wait(&mut self, signals: &mut Signals, reread: &Reread) -> Result<(), DaemonError> {
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop => return Ok(()),
                    Asked::Reload => {
                        supervisor::tell(&Word::Reloading);
                        self.reload(reread);
                        supervisor::tell(&Word::Ready(&told_ready(self)));
                    }
                },
                why = self.trouble() => return Err(why),
            }
        }
    }

    /// Tells alarms; gives why the member must stop, as soon as it must.
    pub(super) async fn trouble(&mut self) -> DaemonError {
        loop {
            tokio::select! {
                Some(()) = self.opened.forgotten.recv() => return DaemonError::Forgotten,
                Some(alarm) = self.opened.contacts.alarms.recv() => {
                    tracing::error!("{alarm}");
                    if let Alarm::RefusedAsDuplicate { member, theirs, .. } = alarm {
                        return DaemonError::Duplicate { member, other: theirs };
                    }
                }
                else => std::future::pending().await,
            }
        }
    }

    /// Its id.
    pub(super) fn id(&self) -> MemberId {
        self.store.identity.member
    }

    /// Where its API listens.
    pub(super) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Its strong side.
    pub(super) fn strong(&self) -> &Strong {
        &self.opened.strong
    }

    /// Stops in order, in the time that the configuration gives for it.
    pub(super) async fn stop_in_time(self) {
        let limit = self.config.stop_timeout;
        if tokio::time::timeout(limit, self.stop()).await.is_err() {
            tracing::warn!("the time to stop is over; store.json may be older than the database");
        }
    }

    /// Certificates, credentials and the log level, read again. What cannot be taken stays as it
    /// is.
    fn reload(&mut self, reread: &Reread) {
        self.certificates.reload();
        let config = match reread() {
            Ok(config) => config,
            Err(why) => return tracing::error!(%why, "the configuration stays as it is"),
        };
        self.logging.change(&config.log);
        match access::reload(&config) {
            Ok(users) => {
                self.auth.replace_users(users);
                tracing::info!("credentials and log level read again");
            }
            Err(error) => tracing::error!(%error, "the credentials stay as they are"),
        }
    }

    /// Stops in order: no new requests, the last pushes, goodbye, drivers, `store.json`, database.
    async fn stop(self) {
        tracing::info!("stopping");
        self.store.app.health().leave();
        let limit = self.config.stop_timeout;
        if !self.groups.front.stop(limit.mul_f64(0.6)).await {
            tracing::warn!("some requests did not end in time");
        }
        self.store.app.health().stop();
        drop(tokio::time::timeout(LAST_PUSH, self.opened.replication.drained()).await);
        self.groups.contact.stop(limit.mul_f64(0.1)).await;
        store::keep_generation(
            &self.store.dir,
            self.opened.contacts.generation.borrow().number(),
        );
        // The readable copy is written here; it may take all the time that is left.
        self.groups.back.stop(limit).await;
        let Self {
            store: OpenStore {
                app, writer, dir, ..
            },
            ..
        } = self;
        drop(app);
        let closed = Tasks::new().blocking(move || writer.join().is_ok()).await;
        drop(dir);
        tracing::info!(clean = closed == Some(true), "stopped");
    }
}
