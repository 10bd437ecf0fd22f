//! Drives [`Push`]: what is written here goes to every living peer at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::app::App;
use crate::io::clock::{mono, sleep_until};
use crate::io::tasks::Tasks;
use crate::model::MemberId;
use crate::protocol::Protocol;
use crate::protocol::message::{Ask, Reply};
use crate::protocol::push::{Push, PushEffect, PushEvent};

use super::peers::{PeerAddress, Peers};

/// How many changes are taken from the feed at a time.
const FEED_CHANGES: usize = 1024;

/// What the push needs from others.
pub(super) struct PushParts {
    /// The store whose changes are pushed.
    pub app: App,
    /// The way to peers.
    pub peers: Peers,
    /// The peers that are alive, as they come and go.
    pub alive: watch::Receiver<Arc<Vec<PeerAddress>>>,
    /// Where peers are reported that must be synced with.
    pub wanted: mpsc::Sender<MemberId>,
    /// The state machine, shared with whoever shows its lags and counters.
    pub push: Arc<Mutex<Push>>,
    /// Who owns the requests.
    pub tasks: Tasks,
}

/// Pushes until the group of tasks stops.
pub(super) async fn run(parts: PushParts) {
    let (done, results) = mpsc::channel(256);
    let since = *parts.app.revisions().borrow();
    let mut driver = Driver {
        parts,
        done,
        since,
        addresses: BTreeMap::new(),
    };
    driver.drive(results).await;
}

struct Driver {
    parts: PushParts,
    done: mpsc::Sender<(MemberId, bool)>,
    since: u64,
    addresses: BTreeMap<MemberId, PeerAddress>,
}

impl Driver {
    async fn drive(&mut self, mut results: mpsc::Receiver<(MemberId, bool)>) {
        let mut revisions = self.parts.app.revisions();
        let mut alive = self.parts.alive.clone();
        self.take_peers(&mut alive);
        loop {
            let deadline = self.parts.push.lock().deadline();
            let wait = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.parts.tasks.stopping() => return,
                changed = revisions.changed() => match changed {
                    Ok(()) => self.take_changes(),
                    Err(_) => return,
                },
                changed = alive.changed() => match changed {
                    Ok(()) => self.take_peers(&mut alive),
                    Err(_) => return,
                },
                Some((peer, taken)) = results.recv() => {
                    self.event(PushEvent::Done { peer, taken });
                }
                () = wait => {
                    let mut out = Vec::new();
                    self.parts.push.lock().on_deadline(mono(), &mut out);
                    self.perform(out);
                }
            }
        }
    }

    fn take_peers(&mut self, alive: &mut watch::Receiver<Arc<Vec<PeerAddress>>>) {
        let peers = alive.borrow_and_update().clone();
        self.addresses = peers.iter().map(|peer| (peer.member, *peer)).collect();
        self.event(PushEvent::Peers(self.addresses.keys().copied().collect()));
    }

    /// Takes what is new in the feed; only this member's own writes are pushed.
    fn take_changes(&mut self) {
        loop {
            let changes = match self.parts.app.changes_after(self.since, FEED_CHANGES) {
                Ok(changes) => changes,
                Err(gone) => {
                    self.since = gone.last;
                    self.event(PushEvent::Missed);
                    return;
                }
            };
            let Some(last) = changes.last() else { return };
            self.since = last.revision;
            let own = changes.iter().filter(|applied| applied.from.is_none());
            let own: Vec<_> = own.map(|applied| applied.change.clone()).collect();
            if !own.is_empty() {
                self.event(PushEvent::Changes(own));
            }
        }
    }

    fn event(&mut self, event: PushEvent) {
        let mut out = Vec::new();
        self.parts.push.lock().on_event(mono(), event, &mut out);
        self.perform(out);
    }

    fn perform(&self, effects: Vec<PushEffect>) {
        for effect in effects {
            match effect {
                PushEffect::Send { peer, changes } => self.send(peer, changes),
                // A full queue means that a sync with somebody is wanted already: the digests will
                // tell about this one.
                PushEffect::Sync(peer) => self.parts.wanted.try_send(peer).unwrap_or_default(),
            }
        }
    }

    fn send(&self, peer: MemberId, changes: Vec<crate::model::Change>) {
        let (peers, done) = (self.parts.peers.clone(), self.done.clone());
        let address = self.addresses.get(&peer).copied();
        self.parts.tasks.spawn_until_stop(async move {
            let taken = match address {
                Some(address) => peers.ask(address, Ask::Push(changes)).await,
                None => return done.send((peer, false)).await.unwrap_or_default(),
            };
            if let Err(error) = &taken {
                tracing::debug!(%peer, %error, "a push failed; it will be tried again");
            }
            let taken = matches!(taken, Ok(Reply::Taken(_)));
            done.send((peer, taken)).await.unwrap_or_default();
        });
    }
}
