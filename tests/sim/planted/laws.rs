//! Planted bugs that whole runs meet too seldom: each breaks a law that one member alone, or two
//! stores, must keep. A bug counts as found if its law holds without it and not with it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use gaggle::app::{
    App, Arrival, Command, EditError, Health, Ledger, LedgerParts, Limits, Published, Upkeep,
};
use gaggle::io::disk::{Disk, Opening};
use gaggle::model::planted::{self, Bug};
use gaggle::model::{
    Change, Content, HybridClock, HybridTime, KeyName, MemberId, NodeName, Replaces, Source, Stamp,
    Standing, Store, Value, Version, WallTime,
};
use gaggle::protocol::collect::{CollectEffect, CollectEvent, Collector, Looked};
use gaggle::protocol::message::{About, Ask};
use gaggle::protocol::sync::{History, Walk, WalkStep, answer};
use gaggle::protocol::{Mono, Protocol};
use tokio::sync::oneshot;

use crate::world::medium::SimMedium;

const ME: MemberId = MemberId::from_u64(1);
const PEER: MemberId = MemberId::from_u64(2);
const NOW: WallTime = WallTime::from_millis(1_800_000_000_000);
const EARLIER: WallTime = WallTime::from_millis(1_799_999_000_000);
const LATER: WallTime = WallTime::from_millis(1_800_000_005_000);
const REACH: Duration = Duration::from_secs(10);

/// The law that a bug breaks.
pub(super) fn of(bug: Bug) -> Option<fn() -> bool> {
    Some(match bug {
        Bug::ClockForgotten => a_restart_goes_on_where_the_clock_was,
        Bug::OldCopyUnnoticed => an_older_copy_claims_nothing_that_it_lacks,
        Bug::ForgottenMayMerge => a_forgotten_member_gets_nothing_in,
        Bug::GaveWayUnseen => what_took_the_place_of_a_version_stands_for_it,
        Bug::HorizonForgotten => a_restart_remembers_what_was_collected,
        Bug::HorizonOfLive => what_a_member_that_is_away_lacks_is_not_collected,
        Bug::StampBelowSeen => a_stamp_is_above_what_its_writer_saw,
        _ => return None,
    })
}

/// Whether a law holds without its bug and breaks with it.
pub(super) fn is_caught(bug: Bug, law: fn() -> bool) -> bool {
    planted::plant(None);
    let holds = law();
    planted::plant(Some(bug));
    let broken = !law();
    planted::plant(None);
    holds && broken
}

fn a_stamp_is_above_what_its_writer_saw() -> bool {
    let mut clock = HybridClock::new(ME, HybridTime::default(), 0, REACH);
    let seen = HybridTime::from_wall(LATER);
    clock.stamp(NOW, Some(seen)).time > seen
}

fn what_a_member_that_is_away_lacks_is_not_collected() -> bool {
    let (time, mut effects) = (HybridTime::from_wall, Vec::new());
    let mut collector = Collector::new(ME, 1);
    let looked = Looked {
        known: vec![ME, PEER],
        watermark: time(NOW),
        position: time(NOW),
        horizon: HybridTime::default(),
        first_dead: Some(time(EARLIER)),
        old: time(NOW),
        now: time(NOW),
    };
    collector.on_event(Mono::default(), CollectEvent::Looked(looked), &mut effects);
    let collects = |effect: &CollectEffect| matches!(effect, CollectEffect::Collect(_));
    !effects.iter().any(collects)
}

/// A member on a simulated disk.
fn member(medium: &SimMedium, now: WallTime) -> (App, Ledger) {
    let opening = Opening {
        cluster: "laws".parse().expect("a fit name"),
        member: ME,
        now,
        cache: 1 << 20,
    };
    let (disk, loaded) = Disk::open_on(Arc::new(medium.clone()), &opening).expect("a sound disk");
    let published = Arc::new(Published::new(loaded.store.clone(), ME));
    let health = Arc::new(Health::default());
    let (reader, (time, sequence)) = (disk.reader(), loaded.clock);
    let ledger = Ledger::new(LedgerParts {
        disk,
        store: loaded.store,
        gap: loaded.gap,
        clock: HybridClock::new(ME, time, sequence, REACH),
        published: published.clone(),
        health: health.clone(),
        limits: Limits::default(),
    });
    let (queue, _nobody) = tokio::sync::mpsc::channel(1);
    let app = App::new(published, queue, reader, health, Limits::default());
    (app, ledger)
}

fn upkeep(ledger: &mut Ledger, now: WallTime, upkeep: Upkeep) {
    let (reply, mut done) = oneshot::channel();
    ledger.commit(now, vec![Command::Upkeep { upkeep, reply }]);
    done.try_recv().expect("an answer").expect("it is done");
}

fn own(app: &App) -> HybridTime {
    app.view().store.vector().get(ME)
}

fn a_restart_goes_on_where_the_clock_was() -> bool {
    let medium = SimMedium::new(1);
    let (app, mut ledger) = member(&medium, NOW);
    upkeep(&mut ledger, NOW, Upkeep::Enlist("one".into()));
    upkeep(&mut ledger, NOW, Upkeep::Advance);
    let before = own(&app);
    drop((app, ledger));
    // The clock was set back meanwhile.
    let (app, mut ledger) = member(&medium, EARLIER);
    upkeep(&mut ledger, EARLIER, Upkeep::Advance);
    before >= HybridTime::from_wall(NOW) && own(&app) >= before
}

fn an_older_copy_claims_nothing_that_it_lacks() -> bool {
    let (app, mut ledger) = member(&SimMedium::new(1), NOW);
    let has = own(&app);
    upkeep(&mut ledger, NOW, Upkeep::Lift(HybridTime::from_wall(LATER)));
    upkeep(&mut ledger, NOW, Upkeep::Advance);
    own(&app) == has
}

fn a_restart_remembers_what_was_collected() -> bool {
    let medium = SimMedium::new(1);
    let (app, mut ledger) = member(&medium, NOW);
    upkeep(&mut ledger, NOW, Upkeep::Enlist("one".into()));
    upkeep(&mut ledger, NOW, Upkeep::Advance);
    let (gone, horizon) = (Vec::new(), HybridTime::from_wall(EARLIER));
    upkeep(&mut ledger, NOW, Upkeep::LetGo { gone, horizon });
    let reached = app.view().store.horizon() == horizon;
    drop((app, ledger));
    let (app, _ledger) = member(&medium, NOW);
    reached && app.view().store.horizon() == horizon
}

fn a_forgotten_member_gets_nothing_in() -> bool {
    let (app, mut ledger) = member(&SimMedium::new(1), NOW);
    upkeep(&mut ledger, NOW, Upkeep::Enlist("one".into()));
    let standing = Standing::Forgotten {
        stamp: stamp(ME, EARLIER),
        author: "test".into(),
        written: EARLIER,
        name: "two".into(),
    };
    let told = vec![(PEER, standing)];
    upkeep(&mut ledger, NOW, Upkeep::Standings(told));
    let arrival = Arrival {
        source: Source::Push(PEER),
        changes: vec![write(stamp(PEER, EARLIER))],
        claims: Vec::new(),
    };
    let (reply, mut done) = oneshot::channel();
    ledger.commit(NOW, vec![Command::Merge { arrival, reply }]);
    let refused = matches!(done.try_recv(), Ok(Err(EditError::Forgotten)));
    refused && app.view().store.counts().keys == 0
}

fn stamp(member: MemberId, at: WallTime) -> Stamp {
    Stamp {
        time: HybridTime::from_wall(at),
        member,
        sequence: 1,
    }
}

fn write(stamp: Stamp) -> Change {
    let (node, key): (NodeName, KeyName) = ("n".parse().expect("fit"), "k".parse().expect("fit"));
    let version = Version {
        stamp,
        replaces: Replaces::Nothing,
        author: "test".into(),
        written: WallTime::default(),
        expires: None,
        content: Content::Value(Value::untyped(*b"v")),
    };
    let version = Arc::new(version);
    Change::Key { node, key, version }
}

/// Only what is current.
struct NoHistory;

impl History for NoHistory {
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

fn store_with(change: &Change) -> Store {
    let mut store = Store::new();
    let older = |_: &NodeName, _: &KeyName| Ok::<_, Infallible>(Vec::new());
    let Ok(_) = store.merge(change, older, &mut Vec::new());
    store
}

fn what_took_the_place_of_a_version_stands_for_it() -> bool {
    let about = |store: &Store| -> About { Collector::new(ME, 1).about(store) };
    let (first, newer) = (write(stamp(ME, EARLIER)), write(stamp(ME, LATER)));
    let (before, after) = (store_with(&first), store_with(&newer));
    let theirs = store_with(&write(stamp(PEER, NOW)));
    let mut walk = Walk::new(about(&before));
    let Ok(mut step) = walk.next(&before, &NoHistory);
    while let WalkStep::Ask(ask) = step {
        let Ok(reply) = answer(&theirs, &NoHistory, || about(&theirs), ask);
        let Ok(next) = walk.on_reply(&before, &NoHistory, reply.expect("a question"));
        step = next;
    }
    // The version that the peer lacks gives way while what the peer sent is merged.
    let Ok(step) = walk.next(&after, &NoHistory);
    match step {
        WalkStep::Ask(Ask::Push { changes, .. }) => changes.changes.contains(&newer),
        _ => false,
    }
}
