//! What a member does by itself, besides replicating: it says that it belongs to the cluster,
//! merges what was held aside when its time has come, collects tombstones, and forgets members that
//! stay away.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::app::{App, EditError, Upkeep};
use crate::io::clock::{mono, sleep_until, wall};
use crate::io::disk::DataDir;
use crate::io::tasks::Tasks;
use crate::model::{FORGET_AFTER, HybridTime, MemberId, Slot, WallTime};
use crate::protocol::Protocol;
use crate::protocol::absence::{AbsenceEvent, Absences, Forget};
use crate::protocol::collect::{CollectEffect, CollectEvent, Looked};
use crate::protocol::membership::{MemberState, MemberTable};

use super::store::{keep_absences, kept_absences};

/// How many keys are collected in one batch.
const COLLECTED: usize = 1024;
/// How often what is held aside is looked at.
const HELD: Duration = Duration::from_secs(1);
/// How often the collector looks by itself whether something can go.
const LOOK: Duration = Duration::from_mins(1);
/// How soon it looks again at the soonest.
const LOOK_SOONEST: Duration = Duration::from_secs(1);
/// How often it is written down who is away.
const KEEP_ABSENCES: Duration = Duration::from_mins(10);
/// How soon the member's own register is tried again when the disk does not take it.
const AGAIN: Duration = Duration::from_secs(5);

/// Says that this member belongs to the cluster under its name, and that the one does not any more
/// whose place it takes; again and again until it is on disk.
pub(super) async fn enlist(app: App, name: Arc<str>, was: Option<MemberId>) {
    until_done(&app, &Upkeep::Enlist(name)).await;
    if let Some(member) = was {
        let author = Arc::from("repair");
        until_done(&app, &Upkeep::Forget { member, author }).await;
    }
}

async fn until_done(app: &App, upkeep: &Upkeep) {
    use EditError::{Forgotten, MemberNotFound, Stopping};
    loop {
        match app.upkeep(upkeep.clone()).await {
            Ok(_) | Err(Forgotten | MemberNotFound | Stopping) => return,
            Err(error) => tracing::debug!(%error, "this member could not say yet who it is"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Merges what was held aside and whose time has come.
pub(super) async fn release(app: App) {
    loop {
        tokio::time::sleep(HELD).await;
        if app.view().store.held_count() == 0 {
            continue;
        }
        if let Err(error) = app.upkeep(Upkeep::Release).await {
            tracing::debug!(%error, "what is held aside could not be merged");
        }
    }
}

/// Collects what was deleted more than `keep` ago, when every known member has it.
pub(super) async fn collect(
    app: App,
    keep: Duration,
    wanted: mpsc::Sender<MemberId>,
    tasks: Tasks,
) {
    loop {
        let wanted_now = tokio::select! {
            effects = app.collect_next() => effects,
            () = look_early(keep) => vec![CollectEffect::Look],
        };
        for effect in wanted_now {
            let mut effects = vec![effect];
            while let Some(effect) = effects.pop() {
                match perform(&app, keep, &wanted, &tasks, effect).await {
                    Ok(more) => effects.extend(more.into_iter().rev()),
                    Err(error) => tracing::debug!(%error, "collecting was put off"),
                }
            }
        }
    }
}

/// Completes when it is time to look earlier than the collector does by itself: who keeps what was
/// deleted for a short time only does not want to wait a minute more.
async fn look_early(keep: Duration) {
    match look_period(keep) {
        LOOK => std::future::pending().await,
        period => tokio::time::sleep(period).await,
    }
}

/// A quarter of the time that deleted things are kept, but neither busy nor asleep.
fn look_period(keep: Duration) -> Duration {
    (keep / 4).clamp(LOOK_SOONEST, LOOK)
}

async fn perform(
    app: &App,
    keep: Duration,
    wanted: &mpsc::Sender<MemberId>,
    tasks: &Tasks,
    effect: CollectEffect,
) -> Result<Vec<CollectEffect>, EditError> {
    match effect {
        CollectEffect::Look => {
            let (view, me) = (app.view(), app.member());
            let (now, old) = (time(wall()), time(wall().before(keep)));
            let looked = tasks.blocking(move || Looked::at(&view.store, me, now, old));
            if let Some(looked) = looked.await {
                return Ok(app.collecting(CollectEvent::Looked(looked)));
            }
        }
        CollectEffect::Advance => {
            app.upkeep(Upkeep::Advance).await?;
        }
        // A full queue means that a walk with somebody is wanted already.
        CollectEffect::Sync(peer) => wanted.try_send(peer).unwrap_or_default(),
        CollectEffect::Collect(until) => let_go(app, tasks, until).await?,
    }
    Ok(Vec::new())
}

async fn let_go(app: &App, tasks: &Tasks, until: HybridTime) -> Result<(), EditError> {
    let mut all = 0;
    loop {
        let view = app.view();
        let dead = tasks.blocking(move || view.store.dead(until, COLLECTED));
        let slots: Vec<Slot> = dead.await.unwrap_or_default();
        let found = slots.len();
        let done = app.upkeep(Upkeep::Collect { slots, until }).await?;
        all += done;
        if done == 0 || found == 0 {
            break;
        }
    }
    tracing::info!(
        all,
        "collected what was deleted and is known to be deleted everywhere"
    );
    Ok(())
}

fn time(at: WallTime) -> HybridTime {
    HybridTime::from_wall(at)
}

/// Forgets members that stay away for longer than `after`, and tells the collector who is alive.
pub(super) async fn members(
    app: App,
    after: Duration,
    dir: DataDir,
    mut table: watch::Receiver<Arc<MemberTable>>,
) {
    let (mut absences, mut kept) = {
        let before = kept_absences(&dir);
        let nobody = before.is_empty();
        (Absences::new(app.member(), after, before), nobody)
    };
    let mut keep_next = mono().plus(KEEP_ABSENCES);
    let mut revisions = app.revisions();
    let mut known = app.view().store.known().count();
    loop {
        let now = app.view().store.known().count();
        if now < known {
            app.collecting(CollectEvent::Forgotten);
        }
        known = now;
        let event = who(&app, &table.borrow_and_update());
        let mut out = Vec::new();
        absences.on_event(mono(), event, &mut out);
        for Forget(member) in out {
            let author = Arc::from(FORGET_AFTER);
            let forgotten = app.upkeep(Upkeep::Forget { member, author }).await;
            match forgotten {
                Ok(_) => tracing::warn!(%member, "forgotten: it was away for too long"),
                Err(error) => tracing::debug!(%member, %error, "a member could not be forgotten"),
            }
        }
        if mono() >= keep_next {
            keep_next = mono().plus(KEEP_ABSENCES);
            let away = absences.counted(mono());
            // Nobody is away, and that was written down.
            let settled = away.is_empty() && kept;
            kept = away.is_empty();
            if !settled {
                let dir = dir.clone();
                Tasks::new()
                    .blocking(move || keep_absences(&dir, &away))
                    .await;
            }
        }
        let due = absences.deadline();
        let wait = sleep_until(due.map_or(keep_next, |at| at.min(keep_next)));
        tokio::select! {
            changed = table.changed() => if changed.is_err() { return },
            () = known_changed(&app, known, &mut revisions) => {}
            () = wait => {}
        }
    }
}

/// Completes when another number of members is known.
async fn known_changed(app: &App, before: usize, revisions: &mut watch::Receiver<u64>) {
    while app.view().store.known().count() == before {
        if revisions.changed().await.is_err() {
            break;
        }
    }
    if app.view().store.known().count() != before {
        return;
    }
    std::future::pending::<()>().await;
}

/// Who belongs to the cluster, who is here, who left.
fn who(app: &App, table: &MemberTable) -> AbsenceEvent {
    let view = app.view();
    let known: BTreeSet<MemberId> = view.store.known().collect();
    let mut here: BTreeSet<MemberId> = table.live().map(|row| row.id).collect();
    let alive = here.intersection(&known).copied().collect();
    app.collecting(CollectEvent::Alive(alive));
    here.insert(app.member());
    let gone = table
        .others
        .values()
        .filter(|row| row.state == MemberState::Left);
    let left = gone.map(|row| row.id).collect();
    AbsenceEvent::Members { known, here, left }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_kept_for_a_short_time_is_looked_at_more_often() {
        let seconds = Duration::from_secs;
        for (keep, period) in [(1, 1), (4, 1), (20, 5), (240, 60), (86_400, 60)] {
            assert_eq!(look_period(seconds(keep)), seconds(period), "{keep}");
        }
    }

    #[test]
    fn who_is_away_is_read_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path(), WallTime::from_millis(0)).unwrap();
        assert!(kept_absences(&dir).is_empty());
        let long = Duration::from_hours(30);
        let away = BTreeMap::from([(MemberId::from_u64(u64::MAX - 1), long)]);
        keep_absences(&dir, &away);
        assert_eq!(kept_absences(&dir), away);
        keep_absences(&dir, &BTreeMap::new());
        assert!(kept_absences(&dir).is_empty());
        std::fs::write(folder.path().join("absences.json"), "{\"1\": ").unwrap();
        assert!(
            kept_absences(&dir).is_empty(),
            "what does not read is nothing"
        );
    }
}
