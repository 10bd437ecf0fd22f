//! What the measuring programs share: a client that costs little, the servers to compare with, and
//! small tables. Everything stays on loopback and in temporary directories.
#![allow(dead_code, reason = "each program uses a part of the kit")]

pub(crate) mod client;
pub(crate) mod foreign;
pub(crate) mod load;
pub(crate) mod member;
pub(crate) mod process;
pub(crate) mod stats;
pub(crate) mod table;

use std::time::Duration;

use gaggle::io::clock;
use gaggle::protocol::Mono;

/// The arguments of a measuring program without the `--bench` that `cargo bench` adds; none if it
/// was not `cargo bench` that started us (`cargo test --all-targets` does, and must stay quick).
pub(crate) fn arguments() -> Option<Vec<String>> {
    let all: Vec<String> = std::env::args().collect();
    let asked = all.iter().any(|argument| argument == "--bench");
    if !asked {
        eprintln!("nothing measured: start me with `cargo bench --bench NAME`");
    }
    asked.then(|| {
        all.into_iter()
            .filter(|argument| argument != "--bench")
            .collect()
    })
}

/// A runtime with as many workers as there are cores, for the client.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores())
        .enable_all()
        .build()
}

/// The cores of this machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A temporary directory on the disk that the build is on (`/tmp` may be memory, where a sync costs
/// nothing and would flatter everybody).
pub(crate) fn directory() -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
}

/// How long ago `since` was.
pub(crate) fn elapsed(since: Mono) -> Duration {
    clock::mono().since(since)
}

/// Prints where and when the figures were taken: a figure without its machine says nothing.
pub(crate) fn introduce(program: &str) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy: Vec<&str> = load.split(' ').take(3).collect();
    println!(
        "{program}: gaggle {}, {} cores, load average before the start {}",
        env!("CARGO_PKG_VERSION"),
        cores(),
        busy.join(" ")
    );
}
