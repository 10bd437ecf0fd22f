//! Crashes: at every point of the reference run, whatever the disk kept of what was not synced.

use super::script::{BATCHES, open, reopened, run, states};
use super::sim::{Operation, Replay, SimDisk, crashed};

/// A sequence of coin tosses that a number decides.
pub(super) fn tosses(mut seed: u64) -> impl FnMut() -> bool {
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed & 8 == 0
    }
}

#[test]
fn a_crash_at_any_point_loses_nothing_acknowledged_and_leaves_whole_batches() {
    let states = states();
    let sim = SimDisk::new();
    let (mut disk, loaded) = open(&sim).unwrap();
    let created = sim.trace().len() as u64;
    let mut store = loaded.store;
    assert_eq!(run(&mut disk, &mut store, 1, &sim), BATCHES);
    let (mut acknowledged, mut replay) = (0, Replay::default());
    for (point, operation) in (1u64..).zip(&sim.trace()) {
        replay.push(operation);
        acknowledged += u64::from(matches!(operation, Operation::Acknowledged));
        if point <= created {
            continue;
        }
        for disk in [
            replay.crash(|| false),
            replay.crash(tosses(point * 0x9E37_79B9)),
            replay.crash(tosses(point * 0x85EB_CA6B)),
        ] {
            let number = reopened(&disk, &states);
            let possible = acknowledged..=acknowledged + 1;
            assert!(
                possible.contains(&number),
                "{number} after a crash at {point}"
            );
        }
    }
    assert_eq!(acknowledged, BATCHES);
}

#[test]
fn a_crash_while_the_database_is_made_or_recovers_is_harmless() {
    let states = states();
    let sim = SimDisk::new();
    drop(open(&sim).unwrap());
    let making = sim.trace();
    let mut replay = Replay::default();
    let mut installed = false;
    for (point, operation) in (1..).zip(&making) {
        replay.push(operation);
        installed |= matches!(operation, Operation::Install);
        let disk = if installed {
            replay.crash(tosses(point))
        } else {
            SimDisk::new()
        };
        assert_eq!(reopened(&disk, &states), 0, "at {point}");
    }
    let killed = killed();
    drop(open(&killed).unwrap());
    let mut replay = Replay::holding(self::killed().bytes());
    for (point, operation) in (1..).zip(&killed.trace()) {
        replay.push(operation);
        assert_eq!(
            reopened(&replay.crash(tosses(point)), &states),
            BATCHES,
            "at {point}"
        );
    }
}

/// A disk whose daemon was killed after the last batch.
fn killed() -> SimDisk {
    let sim = SimDisk::new();
    let (mut disk, loaded) = open(&sim).unwrap();
    let mut store = loaded.store;
    run(&mut disk, &mut store, 1, &sim);
    crashed(&sim.trace(), || true)
}
