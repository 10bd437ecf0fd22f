//! What waits in the store: changes held aside, and deleted things that cannot be collected while a
//! known member is away. Both go into the health checks as warnings.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::app::App;
use crate::io::clock::wall;
use crate::io::tasks::Tasks;
use crate::model::{MemberId, Store, WallTime};
use crate::protocol::membership::MemberTable;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(2);
/// How many looks there are for one at the deleted things, which goes through the whole store.
const DELETED: u32 = 15;
/// How long deleted things may wait for a member that is away before somebody should look.
const PATIENCE: Duration = Duration::from_hours(24);
/// How many of them may.
const MANY: usize = 100_000;

/// Keeps looking.
pub(super) async fn keep(
    app: App,
    keep_deleted: Duration,
    table: watch::Receiver<Arc<MemberTable>>,
    tasks: Tasks,
) {
    let mut looks = 0_u32;
    loop {
        held_aside(&app);
        if looks.is_multiple_of(DELETED) {
            let here: BTreeSet<MemberId> = table.borrow().live().map(|row| row.id).collect();
            let (view, me) = (app.view(), app.member());
            let look = move || waiting(&view.store, me, &here, wall().before(keep_deleted));
            let found = tasks.blocking(look).await.flatten();
            match found {
                Some(text) => app.health().warn("tombstones", false, text),
                None => app
                    .health()
                    .warn("tombstones", true, "nothing waits for a member"),
            }
        }
        looks = looks.wrapping_add(1);
        tokio::time::sleep(LOOK).await;
    }
}

fn held_aside(app: &App) {
    const CHECK: &str = "held-aside";
    let view = app.view();
    match (view.store.held_count(), view.store.held_next()) {
        (count @ 1.., Some(first)) => {
            let changes = if count == 1 {
                "change is"
            } else {
                "changes are"
            };
            let first = first.wall();
            let text = format!(
                "{count} {changes} stamped too far ahead of this member's clock and held aside; \
                 the first is merged when it is {first}"
            );
            app.health().warn(CHECK, false, text);
        }
        _ => app.health().warn(CHECK, true, "nothing is held aside"),
    }
}

/// Who keeps what was deleted before `old` from being collected, in words; none if that is nothing
/// to worry about.
fn waiting(
    store: &Store,
    me: MemberId,
    here: &BTreeSet<MemberId>,
    old: WallTime,
) -> Option<String> {
    let is_away = |member: &MemberId| *member != me && !here.contains(member);
    let away: Vec<MemberId> = store.known().filter(is_away).collect();
    let counts = store.counts();
    let dead = counts.entries - counts.keys;
    if away.is_empty() || dead == 0 {
        return None;
    }
    let first = store.first_dead()?.wall();
    let overdue = Duration::from_millis(old.millis().saturating_sub(first.millis()));
    if overdue < PATIENCE && dead <= MANY {
        return None;
    }
    let named = |member: &MemberId| {
        let name = store
            .standing(*member)
            .map(|standing| standing.name().clone());
        format!("{} ({member})", name.unwrap_or_default())
    };
    let names: Vec<String> = away.iter().map(named).collect();
    let names = names.join(", ");
    Some(format!(
        "{dead} deleted keys, the first of {first}, are kept for members that are away: {names}; \
         start them, or `gaggle members forget` those that do not come back"
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{
        Change, Content, HybridTime, KeyName, NodeName, Older, Replaces, Stamp, Standing, Version,
    };

    const ME: MemberId = MemberId::from_u64(1);
    const B: MemberId = MemberId::from_u64(2);
    const DAY: u64 = 86_400_000;

    fn store() -> Store {
        let mut store = Store::default();
        for (member, name) in [(ME, "a"), (B, "b")] {
            let since = WallTime::default();
            let name = name.into();
            store.set_standing(member, Arc::new(Standing::Known { since, name }));
        }
        let at = WallTime::from_millis(10 * DAY);
        let version = Version {
            stamp: Stamp {
                time: HybridTime::from_wall(at),
                member: ME,
                sequence: 1,
            },
            content: Content::Tombstone,
            author: "ann".into(),
            written: at,
            expires: None,
            replaces: Replaces::Nothing,
        };
        let change = Change::Key {
            node: "web".parse::<NodeName>().unwrap(),
            key: "a".parse::<KeyName>().unwrap(),
            version: Arc::new(version),
        };
        let older = |_: &_, _: &_| Ok::<Vec<Older>, ()>(Vec::new());
        store.merge(&change, older, &mut Vec::new()).unwrap();
        store
    }

    #[test]
    fn a_member_that_blocks_for_more_than_a_day_is_named() {
        let store = store();
        let old = |days: u64| WallTime::from_millis(days * DAY);
        let here = BTreeSet::from([B]);
        assert_eq!(waiting(&store, ME, &here, old(20)), None, "nobody is away");
        let nobody = BTreeSet::new();
        assert_eq!(waiting(&store, ME, &nobody, old(10)), None, "not for long");
        let text = waiting(&store, ME, &nobody, old(12)).unwrap();
        assert!(text.contains("b (0000000000000002)"), "{text}");
        assert!(text.contains("gaggle members forget"), "{text}");
    }
}
