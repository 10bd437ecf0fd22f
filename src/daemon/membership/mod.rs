//! The driver of the membership: one task that owns the sockets and the protocol, and what it
//! needs of the world: ways to find members, exchanges over HTTPS, a clock.

mod driver;
mod ways;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::Discover;
use crate::io::dns::RESOLV_CONF;
use crate::io::tasks::Tasks;
use crate::io::udp::InterfaceChoice;
use crate::io::{clock, random};
use crate::model::{ClusterId, MemberId};
use crate::protocol::envelope::{BootId, DatagramKey};
use crate::protocol::membership::{
    Alarm, Generation, Identity, Label, MemberTable, Membership, NoKey, Settings, StateError,
};

pub use ways::{Tried, WayReport};

/// The peer protocols that this version speaks: the oldest and the newest.
pub const PEER_PROTOCOLS: (u8, u8) = (1, 1);
/// How many alarms wait for somebody to take them; more are dropped, for they say the same.
const ALARMS: usize = 16;

/// How a member takes part.
#[derive(Clone, Debug)]
pub struct MembershipConfig {
    /// Our cluster.
    pub cluster: ClusterId,
    /// Our id.
    pub member: MemberId,
    /// The least generation to use: one more than the last that
    /// [`MembershipHandle::generation`] said in an earlier run. The wall clock in milliseconds is
    /// used if that is greater.
    pub generation: Generation,
    /// This start of us; random.
    pub boot: BootId,
    /// Our name, for people.
    pub name: String,
    /// Our software version.
    pub version: String,
    /// The port where we answer over HTTPS.
    pub https_port: u16,
    /// Where others are to reach us over HTTPS, if the interfaces' addresses are not it.
    pub advertise: Option<SocketAddr>,
    /// Which interfaces to use.
    pub interfaces: InterfaceChoice,
    /// The port of the groups, and of ours if it is free. Usually
    /// [`crate::io::udp::DEFAULT_PORT`].
    pub udp_port: u16,
    /// In which ways to look for members.
    pub discover: Discover,
    /// The keys of the secrets in force; the first seals, all open.
    pub keys: Vec<DatagramKey>,
    /// How long a dead or left member is remembered; default 7 days.
    pub forget_after: Duration,
}

/// How states are exchanged over HTTPS with mutual TLS.
pub trait Exchange: Send + Sync + 'static {
    /// Sends `body` to the member that answers at `target` and gives its answer. If `expected` is
    /// given, the answering certificate must be that member's. Errors are for the log.
    fn exchange(
        &self,
        target: SocketAddr,
        expected: Option<MemberId>,
        body: Bytes,
    ) -> BoxFuture<'_, Result<Bytes, String>>;

    /// Carries datagrams to `member`, which answers at `target`, and gives its answer. Errors are
    /// for the log.
    fn relay(
        &self,
        target: SocketAddr,
        member: MemberId,
        body: Bytes,
    ) -> BoxFuture<'_, Result<Bytes, String>>;
}

/// What a peer sends over HTTPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    /// What it knows of the members.
    State,
    /// Datagrams that do not get through otherwise.
    Datagrams,
}

/// Something that arrived over HTTPS, and wants an answer.
#[derive(Debug)]
pub struct Asked {
    /// Who sent it, by its certificate.
    pub member: MemberId,
    /// What it is.
    pub matter: Matter,
    /// The bytes.
    pub body: Bytes,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Bytes, StateError>>,
}

/// The driver's doors to the rest of the member.
pub struct Doors {
    /// How to exchange states.
    pub exchange: Arc<dyn Exchange>,
    /// What arrives over HTTPS.
    pub asked: mpsc::Receiver<Asked>,
    /// The digest root of our store.
    pub root: watch::Receiver<u128>,
}

/// What the driver tells the rest of the member.
#[derive(Debug)]
pub struct MembershipHandle {
    /// All members.
    pub table: watch::Receiver<Arc<MemberTable>>,
    /// Other processes under our id. After [`Alarm::RefusedAsDuplicate`] the member must stop.
    pub alarms: mpsc::Receiver<Alarm>,
    /// The greatest generation that we used: to be kept on disk whenever it changes.
    pub generation: watch::Receiver<Generation>,
    /// The ways to find members besides multicast, as they went lately.
    pub ways: watch::Receiver<Arc<Vec<WayReport>>>,
}

/// Starts the driver. It says goodbye when `tasks` are told to stop, and ends.
///
/// # Errors
/// If there is no key. Missing interfaces and taken ports are no errors: the driver logs them and
/// tries again.
pub fn start(
    tasks: &Tasks,
    config: MembershipConfig,
    doors: Doors,
) -> Result<MembershipHandle, NoKey> {
    let now = clock::mono();
    let wall = clock::wall();
    let generation = config.generation.max(Generation::new(wall.millis()));
    let (sockets, packets) = driver::sockets(tasks, &config);
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let (udp, https) = driver::addresses(&config, sockets.primary().unwrap_or(nowhere));
    let me = Identity {
        member: config.member,
        generation,
        started: generation,
        boot: config.boot,
        udp,
        https,
        advertised: config.advertise.is_some(),
        name: Label::lossy(&config.name),
        version: Label::lossy(&config.version),
        protocols: PEER_PROTOCOLS,
        leaving: false,
    };
    let settings = Settings {
        cluster: config.cluster.clone(),
        me,
        keys: config.keys.clone(),
        forget_after: config.forget_after,
        seed: random::seed(),
    };
    let membership = Membership::new(now, wall, settings)?;
    let resolv_conf = std::path::Path::new(RESOLV_CONF);
    let (news, ways, reports) = ways::start(tasks, &config.discover, resolv_conf);
    let (inlets, ended) = driver::Inlets::new(packets, news, doors.asked, doors.root);
    let (table, table_out) = watch::channel(membership.table());
    let (alarms, alarms_out) = mpsc::channel(ALARMS);
    let (generations, generation_out) = watch::channel(generation);
    let outlets = driver::Outlets {
        exchange: doors.exchange,
        ended,
        table,
        alarms,
        generations,
    };
    let driver = driver::Driver::new(tasks, config, membership, sockets, outlets, ways);
    tasks.spawn(driver.run(inlets));
    Ok(MembershipHandle {
        table: table_out,
        alarms: alarms_out,
        generation: generation_out,
        ways: reports,
    })
}
