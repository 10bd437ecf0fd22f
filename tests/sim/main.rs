//! The simulator: whole clusters of the real rooms and the real storage code in one thread, in
//! virtual time, from one seed. `docs/SIMULATION.md` tells how to use and to read it.

mod client;
mod invariants;
mod member;
mod options;
#[cfg(feature = "planted-bugs")]
mod planted;
mod run;
mod scale;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use options::{Options, Task};

/// The name of the only test under `cargo nextest`: a few runs with fixed seeds.
const TEST: &str = "members_keep_their_promises_whatever_happens";
/// The first seed of that test.
const SEED_OF_TEST: u64 = 1;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = as_a_test(&arguments) {
        return code;
    }
    match Options::read(&arguments) {
        Ok(options) => match options.task {
            Task::Run => many(&options),
            Task::Planted | Task::Search => planted(&options),
            Task::Scale => scale::tell(options.seed),
        },
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(feature = "planted-bugs")]
fn planted(options: &Options) -> ExitCode {
    let done = match options.task {
        Task::Search => planted::search(options),
        _ => planted::all_are_found(options),
    };
    match done {
        Ok(well) => ExitCode::from(u8::from(!well)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(not(feature = "planted-bugs"))]
fn planted(_: &Options) -> ExitCode {
    eprintln!("the planted bugs are not built in: add --features planted-bugs");
    ExitCode::from(2)
}

/// What `cargo nextest` asks of a program of tests: to list them, and to run one.
fn as_a_test(arguments: &[String]) -> Option<ExitCode> {
    let given = |word: &str| arguments.iter().any(|argument| argument == word);
    if given("--list") {
        if !given("--ignored") {
            println!("{TEST}: test");
        }
        return Some(ExitCode::SUCCESS);
    }
    given("--exact").then(|| {
        let few = Options {
            seed: SEED_OF_TEST,
            members: 3,
            hours: 0.2,
            runs: 4,
            ..Options::default()
        };
        many(&few)
    })
}

/// Makes all runs that are asked for, up to the first that breaks.
fn many(options: &Options) -> ExitCode {
    let started = gaggle::io::clock::mono();
    let mut hours = 0.0;
    let mut run = 0;
    loop {
        let one = options.of_run(options.seed + run);
        let took = gaggle::io::clock::mono();
        if !single(&one, took) {
            return ExitCode::FAILURE;
        }
        hours += one.hours;
        run += 1;
        let spent = gaggle::io::clock::mono().since(started);
        let more = match options.seconds {
            Some(seconds) => spent.as_secs() < seconds,
            None => run < options.runs,
        };
        if !more {
            println!(
                "{run} runs, {hours} cluster-hours, {:.1} s, no violation",
                spent.as_secs_f64()
            );
            return ExitCode::SUCCESS;
        }
    }
}

fn single(options: &Options, started: gaggle::protocol::Mono) -> bool {
    let outcome = catch_unwind(AssertUnwindSafe(|| run::run(options)));
    let spent = gaggle::io::clock::mono().since(started).as_secs_f64();
    match outcome {
        Ok((figures, Ok(()))) => {
            println!(
                "seed {} members {}: {spent:.1} s, {figures:?}",
                options.seed, options.members
            );
            true
        }
        Ok((figures, Err(violation))) => {
            println!(
                "VIOLATION of {violation}\n{figures:?}\nrepeat: {}",
                options.command()
            );
            false
        }
        Err(_) => {
            println!("VIOLATION: a panic\nrepeat: {}", options.command());
            false
        }
    }
}
