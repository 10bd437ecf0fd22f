//! Drives [`Push`]: what is written here goes to every living peer at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::app::{App, Fed, Upkeep};
use crate::io::clock::{mono, sleep_until};
use crate::io::tasks::Tasks;
use crate::model::{Change, HybridTime, MemberId, Source};
use crate::protocol::Protocol;
use crate::protocol::message::{Ask, Claim, Reply, Taken};
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
    /// The revision of the feed that the push goes on from: that of its position.
    pub since: u64,
    /// Who owns the requests.
    pub tasks: Tasks,
}

/// Pushes until the group of tasks stops.
pub(super) async fn run(parts: PushParts) {
    let (done, results) = mpsc::channel(256);
    let since = parts.since;
    let mut driver = Driver {
        parts,
        done,
        since,
        gaps: 0,
        addresses: BTreeMap::new(),
    };
    driver.drive(results).await;
}

/// A request that has ended.
struct Answered {
    peer: MemberId,
    request: u64,
    /// Up to where the peer has our writes; none if it failed.
    has: Option<HybridTime>,
}

struct Driver {
    parts: PushParts,
    done: mpsc::Sender<Answered>,
    since: u64,
    gaps: u64,
    addresses: BTreeMap<MemberId, PeerAddress>,
}

impl Driver {
    async fn drive(&mut self, mut results: mpsc::Receiver<Answered>) {
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
                Some(Answered { peer, request, has }) = results.recv() => {
                    if let Some(has) = has {
                        self.parts.app.acks().tell(peer, has);
                    }
                    self.event(PushEvent::Done { peer, request, has });
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

    /// Takes what is new in the feed: this member's own writes, and what peers pushed.
    fn take_changes(&mut self) {
        loop {
            let taken = self.parts.app.changes_upto(self.since, FEED_CHANGES);
            let Fed {
                changes,
                upto,
                gaps,
            } = match taken {
                Ok(taken) => taken,
                Err(gone) => {
                    self.since = gone.last;
                    // None if something was written meanwhile: then nothing is claimed from here.
                    let all = self.parts.app.changes_upto(gone.last, 0);
                    let upto = all.ok().and_then(|all| all.upto);
                    self.event(PushEvent::Missed { upto });
                    return;
                }
            };
            if gaps > self.gaps {
                self.gaps = gaps;
                self.event(PushEvent::Gap);
            }
            let Some(last) = changes.last() else { return };
            self.since = last.revision;
            let mut own = Vec::new();
            let mut learned: BTreeMap<MemberId, Vec<Change>> = BTreeMap::new();
            for applied in &changes {
                let change = applied.change.clone();
                match applied.source {
                    Source::Own => own.push(change),
                    Source::Push(peer) => learned.entry(peer).or_default().push(change),
                    Source::Sync(_) => {}
                }
            }
            let changes = own;
            self.event(PushEvent::Changes { changes, upto });
            for (from, changes) in learned {
                self.event(PushEvent::Learned { from, changes });
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
                PushEffect::Send {
                    peer,
                    request,
                    changes,
                    claim,
                } => self.send((peer, request), changes, claim),
                // A full queue means that a sync with somebody is wanted already: the digests will
                // tell about this one.
                PushEffect::Sync(peer) => self.parts.wanted.try_send(peer).unwrap_or_default(),
            }
        }
    }

    fn send(&self, (peer, request): (MemberId, u64), changes: Vec<Change>, claim: Option<Claim>) {
        let (peers, done) = (self.parts.peers.clone(), self.done.clone());
        let (app, address) = (self.parts.app.clone(), self.addresses.get(&peer).copied());
        self.parts.tasks.spawn_until_stop(async move {
            let changes = changes.into();
            let answered = |has| Answered { peer, request, has };
            let Some(address) = address else {
                return done.send(answered(None)).await.unwrap_or_default();
            };
            if claim.is_some() && !ask_position(&app, &peers, address).await {
                return done.send(answered(None)).await.unwrap_or_default();
            }
            let taken = peers.ask(address, Ask::Push { changes, claim }).await;
            let has = match taken {
                Ok(Reply::Taken(taken)) => {
                    refused(peer, &taken.refused);
                    Some(taken.has)
                }
                Ok(_) => None,
                Err(error) => {
                    tracing::debug!(%peer, %error, "a push failed; it will be tried again");
                    None
                }
            };
            done.send(answered(has)).await.unwrap_or_default();
        });
    }
}

/// Before the first claim to a peer in this run: up to where does it include our own writes? A
/// claim would cover up that it has some which this member, an older copy, has lost. Says whether
/// it is known now.
async fn ask_position(app: &App, peers: &Peers, peer: PeerAddress) -> bool {
    let told = app.acks().of(HybridTime::default());
    if told.contains(&peer.member) {
        return true;
    }
    match peers.ask(peer, Ask::Position).await {
        Ok(Reply::Taken(Taken { has, .. })) => {
            // A disk that takes nothing is no reason to keep from others what it took before.
            if app.upkeep(Upkeep::Lift(has)).await.is_ok() {
                app.acks().tell(peer.member, has);
            }
            true
        }
        Ok(_) | Err(_) => false,
    }
}

/// Names changes that a peer refused: they are no changes, and are not sent again.
pub(super) fn refused(peer: MemberId, refused: &[String]) {
    for why in refused {
        tracing::error!(%peer, %why, "a change was refused by a peer and is left out");
    }
}
