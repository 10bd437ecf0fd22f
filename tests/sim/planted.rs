//! Each planted bug must be found: at the seed that the table says, by an invariant that it is
//! expected to break; and the same run must be clean without the bug.
//!
//! Seeds grow stale as the code changes, for each draw moves all that come after it. So some seeds
//! that follow are tried, too, before a bug counts as missed. What whole runs meet too seldom
//! breaks a law of one member instead ([`laws`]).

mod laws;

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use gaggle::io::clock::mono;
use gaggle::model::planted::{self, Bug};

use crate::options::Options;
use crate::run;

/// Where a bug is found.
struct Plant {
    bug: Bug,
    seed: u64,
    members: usize,
    hours: f64,
    /// The invariants that it breaks.
    breaks: &'static [&'static str],
}

const fn plant(
    bug: Bug,
    (seed, members, hours): (u64, usize, f64),
    breaks: &'static [&'static str],
) -> Plant {
    Plant {
        bug,
        seed,
        members,
        hours,
        breaks,
    }
}

/// Where each bug is found: `cargo sim --planted --search` finds places anew.
const TABLE: &[Plant] = &[
    plant(Bug::NoTombstone, (1, 3, 0.1), &["resurrection"]),
    plant(Bug::NoSync, (1, 4, 0.2), &["durable"]),
    plant(Bug::AckUnwritten, (1, 4, 0.2), &["vector", "durable"]),
    plant(Bug::StaleDigest, (1, 3, 0.2), &["vector", "convergence"]),
    plant(Bug::LostDirtySet, (6, 3, 0.2), &["vector"]),
    plant(Bug::ClaimIgnoresBase, (2, 3, 0.2), &["vector"]),
    plant(Bug::RawClock, (4, 3, 0.2), &["later_wins", "durable"]),
    plant(Bug::CollectByAge, (2, 5, 0.4), &["resurrection"]),
    plant(Bug::AheadMergedAtOnce, (1, 5, 0.4), &["ahead"]),
    plant(
        Bug::HistoryByArrival,
        (1, 3, 0.1),
        &["conflicts", "convergence"],
    ),
    plant(
        Bug::ClearedForgotten,
        (1, 4, 0.2),
        &["watch", "resurrection"],
    ),
    plant(Bug::MergeByArrival, (1, 3, 0.1), &["resurrection"]),
    plant(Bug::WalkClaimsEarly, (1, 5, 0.4), &["vector"]),
    plant(Bug::GoneReturns, (2, 3, 0.1), &["resurrection"]),
    plant(Bug::PruneKeepsSum, (2, 3, 0.1), &["convergence", "audit"]),
    plant(Bug::FeedSkipsSync, (2, 3, 0.1), &["vector", "watch"]),
    plant(Bug::NeverSilent, (1, 3, 0.1), &["silent"]),
    plant(Bug::HeadsOnly, (1, 3, 0.1), &["convergence"]),
    plant(Bug::HeldInMemory, (4, 3, 0.1), &["vector", "durable"]),
    plant(Bug::AckOfReceived, (1, 3, 0.1), &["vector"]),
    plant(Bug::FeedSkipsHeld, (1, 5, 0.4), &["watch", "vector"]),
    plant(Bug::LosersUncounted, (1, 3, 0.1), &["conflicts"]),
    plant(Bug::QueueUnbounded, (14, 3, 0.4), &["bounded"]),
    plant(Bug::DroppedYetClaimed, (22, 3, 0.4), &["vector"]),
    plant(Bug::ClearBelowKeys, (32, 3, 0.4), &["later_wins"]),
];

/// How many seeds are tried for a bug, the one in the table first.
const TRIES: u64 = 12;
/// How many seeds a search looks at, and after how many finds it stops.
const SEARCHED: u64 = 150;
const FINDS: usize = 4;
/// The shapes of run that a search tries, one with each seed.
const SHAPES: [(usize, f64); 4] = [(3, 0.1), (3, 0.2), (4, 0.2), (5, 0.4)];

/// What was found in a run: an invariant, and in words.
type Found = Option<(&'static str, String)>;

/// A find of a search: how long it took, seed, members, hours, and what broke.
type Find = (Duration, u64, usize, f64, String);

/// A run: seed, members, and minutes.
type Place = (u64, usize, u64);

/// Runs that were made without a bug, and what was found in them.
#[derive(Default)]
struct Clean(HashMap<Place, Found>);

impl Clean {
    fn is(&mut self, seed: u64, members: usize, hours: f64) -> bool {
        let minutes = Duration::from_secs_f64(hours * 3600.0).as_secs() / 60;
        let found = self.0.entry((seed, members, minutes));
        let found = found.or_insert_with(|| found_in(None, seed, members, hours));
        found.is_none()
    }
}

fn wanted(options: &Options) -> Result<Vec<Bug>, String> {
    let named = |bug: &Bug| {
        options
            .bug
            .as_ref()
            .is_none_or(|name| *name == format!("{bug:?}"))
    };
    let bugs: Vec<Bug> = planted::ALL.into_iter().filter(named).collect();
    if bugs.is_empty() {
        return Err(format!("there is no planted bug {:?}", options.bug));
    }
    Ok(bugs)
}

/// Looks for each bug where the table says; says whether all were found.
///
/// # Errors
/// When there is no such bug, or the table lacks one.
pub(crate) fn all_are_found(options: &Options) -> Result<bool, String> {
    let (bugs, mut clean, mut found) = (wanted(options)?, Clean::default(), 0);
    for bug in &bugs {
        if let Some(plant) = TABLE.iter().find(|plant| plant.bug == *bug) {
            found += usize::from(is_found(plant, &mut clean));
            continue;
        }
        let law = laws::of(*bug).ok_or(format!(
            "{bug:?} is neither in the table of tests/sim/planted.rs nor breaks a law"
        ))?;
        let caught = laws::is_caught(*bug, law);
        let how = if caught {
            "breaks its law"
        } else {
            "NOT FOUND"
        };
        println!("{bug:?}: {how}");
        found += usize::from(caught);
    }
    println!("{found} of {} planted bugs found", bugs.len());
    Ok(found == bugs.len())
}

fn is_found(plant: &Plant, clean: &mut Clean) -> bool {
    let Plant {
        bug,
        seed,
        members,
        hours,
        breaks,
    } = plant;
    let started = mono();
    let mut tried = Vec::new();
    for seed in *seed..seed + TRIES {
        let why = match found_in(Some(*bug), seed, *members, *hours) {
            None => "not found".to_owned(),
            Some((invariant, what)) if !breaks.contains(&invariant) => {
                format!(
                    "it breaks {invariant} and not {}: {what}",
                    breaks.join(" or ")
                )
            }
            Some(_) if !clean.is(seed, *members, *hours) => {
                "something is found without it, too".to_owned()
            }
            Some((_, what)) => {
                let spent = mono().since(started).as_secs_f64();
                println!("{bug:?}: {spent:.1} s, seed {seed}: {what}");
                return true;
            }
        };
        tried.push(format!("  seed {seed}: {why}"));
    }
    println!(
        "{bug:?}: NOT FOUND in {TRIES} runs with {members} members of {hours} hours:\n{}\n  Where \
         is it found now? cargo sim --planted --search --bug {bug:?}\n  gives lines for the table \
         in tests/sim/planted.rs.",
        tried.join("\n")
    );
    false
}

/// Looks for places where each bug is found, and prints the quickest of each invariant.
///
/// # Errors
/// When there is no such bug.
pub(crate) fn search(options: &Options) -> Result<bool, String> {
    let (mut clean, mut all) = (Clean::default(), true);
    let shapes = match options.members {
        0 => SHAPES.to_vec(),
        members => vec![(members, options.hours)],
    };
    for bug in wanted(options)? {
        let mut finds: BTreeMap<&str, Vec<Find>> = BTreeMap::new();
        let mut runs = 0;
        for seed in options.seed..options.seed + SEARCHED {
            for (members, hours) in shapes.clone() {
                runs += 1;
                let began = mono();
                let Some((invariant, what)) = found_in(Some(bug), seed, members, hours) else {
                    continue;
                };
                if clean.is(seed, members, hours) {
                    let spent = mono().since(began);
                    let found = (spent, seed, members, hours, what);
                    finds.entry(invariant).or_default().push(found);
                }
            }
            if finds.values().map(Vec::len).sum::<usize>() >= FINDS {
                break;
            }
        }
        if finds.is_empty() {
            println!(
                "// {bug:?}: not found in {runs} runs from seed {}",
                options.seed
            );
            all = false;
        }
        for (invariant, mut finds) in finds {
            finds.sort_by_key(|(spent, ..)| *spent);
            let (spent, seed, members, hours, what) = &finds[0];
            println!(
                "    plant(Bug::{bug:?}, ({seed}, {members}, {hours}), &[{invariant:?}]), \
                 // {} of {runs} runs, {:.1} s, {what}",
                finds.len(),
                spent.as_secs_f64()
            );
        }
    }
    Ok(all)
}

fn found_in(bug: Option<Bug>, seed: u64, members: usize, hours: f64) -> Found {
    let options = Options {
        seed,
        members,
        hours,
        ..Options::default()
    };
    planted::plant(bug);
    let outcome = catch_unwind(AssertUnwindSafe(|| run::run(&options)));
    planted::plant(None);
    match outcome {
        Ok((_, Ok(()))) => None,
        Ok((_, Err(violation))) => Some((violation.invariant, violation.to_string())),
        Err(_) => Some(("panic", "a panic".to_owned())),
    }
}
