//! One run: turmoil, then quiet, then a look at everything; again and again.

use std::time::Duration;

use crate::invariants::{Held, audit, conflicts, convergence, durable, resurrection, silent};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::member::Rules;
use crate::options::Options;
use crate::world::{Figures, Shape, Trace, World};

/// How long turmoil lasts.
const TURMOIL: Duration = Duration::from_mins(12);
/// How long members may take to agree once all is well.
const QUIET: Duration = Duration::from_mins(4);
/// How often they are looked at meanwhile.
const LOOK: Duration = Duration::from_secs(5);
/// How long something may still be under way that was sent before: it may bring an old root.
const LATE: Duration = Duration::from_mins(1);
/// How long they are watched doing nothing.
const IDLE: Duration = Duration::from_secs(40);

/// Runs a world; gives its figures.
pub(crate) fn run(options: &Options) -> (Figures, Held) {
    let mut random = StdRng::seed_from_u64(options.seed);
    // What came later is drawn apart, so that the rest of a seed's run stays what it was.
    let mut more = StdRng::seed_from_u64(options.seed ^ 0x5eed);
    let forget_after = Duration::from_mins([5, 20, 10_000][random.random_range(0..3)]);
    let rules = Rules {
        keep_deleted: Duration::from_secs([10, 120, 900][random.random_range(0..3)]),
        forget_after,
        // With less than everybody, what is learned is passed on.
        fanout: [1, 2, 8][random.random_range(0..3)],
        waiting: [24, 16_384][more.random_range(0..2)],
        compares: more.random_bool(0.5),
    };
    let mut world = World::new(Shape {
        seed: options.seed,
        rules,
        members: options.members,
        trace: if options.trace {
            Trace::Print
        } else {
            Trace::Off
        },
    });
    let held = live(&mut world, options.hours);
    let figures = world.figures;
    (figures, held)
}

fn live(world: &mut World, hours: f64) -> Held {
    world.begin();
    let whole = Duration::from_secs_f64(hours * 3600.0);
    while world.now.0 < whole {
        world.turmoil = true;
        let left = whole.saturating_sub(world.now.0);
        world.run_until(world.now.plus(TURMOIL.min(left)))?;
        world.turmoil = false;
        quiet(world)?;
    }
    Ok(())
}

/// Everything is well again: the members must come to agree, keep what was promised, and be still.
fn quiet(world: &mut World) -> Held {
    world.heal();
    let end = world.now.plus(QUIET);
    loop {
        world.run_until(world.now.plus(LOOK))?;
        let agreed = world.all_run() && convergence::check_roots(&world.roots()).is_ok();
        if agreed && world.is_idle() {
            break;
        }
        if world.now >= end {
            convergence::check_roots(&world.roots())?;
            return world.not_idle();
        }
    }
    world.figures.convergences += 1;
    world.check_agreed()?;
    world.run_until(world.now.plus(LATE))?;
    world.falls_silent()?;
    world.reload()
}

impl World {
    /// Whether every member's process runs.
    fn all_run(&self) -> bool {
        let members = &self.hosts[..self.shape.members];
        members.iter().all(|host| host.process.is_some())
    }

    /// The digest root of each running member.
    fn roots(&self) -> Vec<(usize, u128)> {
        let running = self.hosts.iter().enumerate();
        running
            .filter_map(|(number, host)| {
                let process = host.process.as_ref()?;
                Some((number, process.app.view().store.root()))
            })
            .collect()
    }

    /// Waits for a time without pushes and walks: what was deleted lately may still be collected.
    fn falls_silent(&mut self) -> Held {
        let last = self.now.plus(self.shape.rules.keep_deleted + QUIET);
        loop {
            let before = self.activity();
            self.run_until(self.now.plus(IDLE))?;
            let silent = silent::check(&before, &self.activity());
            if silent.is_ok() || self.now > last {
                return silent;
            }
        }
    }

    /// Whether nobody has anything left to push, and all see each other.
    fn is_idle(&self) -> bool {
        let others = self.shape.members - 1;
        self.hosts
            .iter()
            .filter_map(|host| host.process.as_ref())
            .all(|process| {
                let lags = process.push.lags(self.now);
                let sees = process.membership.table().live().count();
                let held = process.app.view().store.held_count();
                lags.values().all(|lag| lag.waiting == 0) && sees == others && held == 0
            })
    }

    fn not_idle(&self) -> Held {
        let shown: Vec<String> = self
            .hosts
            .iter()
            .enumerate()
            .map(|(number, host)| match &host.process {
                None => format!("[{number}] does not run"),
                Some(process) => format!(
                    "[{number}] sees {} others, {} changes wait",
                    process.membership.table().live().count(),
                    process
                        .push
                        .lags(self.now)
                        .values()
                        .map(|lag| lag.waiting)
                        .sum::<usize>(),
                ),
            })
            .collect();
        Err(crate::invariants::Violation {
            invariant: "convergence",
            what: format!("no rest: {}", shown.join(", ")),
        })
    }

    /// How many pushes and walks each process began.
    fn activity(&self) -> Vec<(u64, u64)> {
        let each = self.hosts.iter().map(|host| host.process.as_ref());
        each.map(|process| process.map_or((0, 0), |at| (at.pushes, at.walks)))
            .collect()
    }

    fn check_agreed(&self) -> Held {
        let promised = self.promised();
        let running: Vec<_> = self
            .hosts
            .iter()
            .enumerate()
            .filter_map(|(number, host)| Some((number, host.process.as_ref()?)))
            .map(|(number, process)| (number, process.app.view(), process.app.disk().clone()))
            .collect();
        let Some((first, rest)) = running.split_first() else {
            return Ok(());
        };
        for (number, view, _) in &running {
            self.watched(*number, &view.store)?;
        }
        for (number, host) in self.hosts.iter().enumerate() {
            if let Some(process) = &host.process {
                audit::check(number, &process.app)?;
                conflicts::check(number, &process.app)?;
            }
        }
        durable::check_converged(first.0, &first.1.store, &promised)?;
        resurrection::check_whole(first.0, &first.1.store, &promised)?;
        for other in rest {
            let a = (first.0, &first.1.store, &first.2);
            convergence::check_rows(a, (other.0, &other.1.store, &other.2))?;
        }
        Ok(())
    }
}
