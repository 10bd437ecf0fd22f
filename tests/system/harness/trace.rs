//! `strace` on a member: system calls that fail, that take long, or that are the member's last.
//!
//! strace counts the calls of each kind in each thread on its own. So that every call of a run has
//! a number of its own, tests look at one kind of call on one file ([`Trace::on`]); [`calls`] tells
//! which there are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::member::Member;
use super::program::{command, scratch};
use super::wait::{seconds, until};

/// The calls by which a file or a folder changes or reaches the disk.
const CHANGES: &str = "openat,write,pwrite64,writev,fdatasync,fsync,rename,renameat,\
                                  renameat2,ftruncate,fallocate,unlink,unlinkat,mkdir,chmod,fchmod";

/// What is done to which calls.
pub(crate) struct Trace {
    /// What strace is asked for: `inject=…` or `trace=…`.
    asked: String,
    path: Option<PathBuf>,
}

impl Trace {
    /// The process ends at its `number`th call of this kind (from 1), as by `kill -9`, and the call
    /// is not made.
    pub(crate) fn kill(call: &str, number: usize) -> Self {
        Self::asking(format!("inject={call}:signal=KILL:when={number}"))
    }

    /// The `number`th call of this kind (from 1), and no other, fails and does nothing.
    pub(crate) fn fail(call: &str, error: &str, number: usize) -> Self {
        Self::asking(format!("inject={call}:error={error}:when={number}"))
    }

    /// Calls of this kind do nothing and say that they did.
    pub(crate) fn claim(call: &str) -> Self {
        Self::asking(format!("inject={call}:retval=0"))
    }

    /// Each call of this kind takes that much longer.
    pub(crate) fn slow(call: &str, by: Duration) -> Self {
        Self::asking(format!("inject={call}:delay_enter={}", by.as_micros()))
    }

    /// Calls are written down, for [`calls`].
    pub(crate) fn watch() -> Self {
        Self::asking(format!("trace={CHANGES}"))
    }

    fn asking(asked: String) -> Self {
        let path = None;
        Self { asked, path }
    }

    /// Only calls that have to do with this file.
    pub(crate) fn on(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    fn words(&self, how: &[&str], log: &Path) -> Vec<String> {
        let path = self.path.as_ref().map(|path| path.to_string_lossy());
        let path = path
            .as_ref()
            .map_or(vec![], |path| vec!["-P", path.as_ref()]);
        let log = log.to_string_lossy();
        let fixed = [
            "strace",
            "-f",
            "-y",
            "-qq",
            "-s",
            "4096",
            "-o",
            &log,
            "-e",
            &self.asked,
        ];
        let words = [&fixed[..], &path, how].concat();
        words.into_iter().map(str::to_owned).collect()
    }

    /// The words before those of a program that runs traced from its first call on, as a child of
    /// whoever starts it.
    pub(crate) fn start(&self, log: &Path) -> Vec<String> {
        self.words(&["-D", "--"], log)
    }

    /// Traces a member from now on.
    pub(crate) fn attach(&self, member: &Member) -> Tracing {
        let folder = scratch();
        let log = folder.path().join("trace");
        let process = member.id().to_string();
        let words = self.words(&["-p", &process], &log);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let tracer = command(&words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace runs");
        let tracing = Tracing {
            tracer,
            log,
            _folder: folder,
        };
        let untraced = || untraced_threads(&process);
        until("strace holds all threads", seconds(10), untraced, |n| {
            *n == 0
        });
        tracing
    }
}

/// A tracer at work on a member; lets go of it when dropped.
pub(crate) struct Tracing {
    tracer: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Tracing {
    /// How many calls were tampered with so far.
    pub(crate) fn injected(&self) -> usize {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let marks = ["(INJECTED", "(DELAYED"];
        let hit = |line: &&str| marks.iter().any(|mark| line.contains(mark));
        log.lines().filter(hit).count()
    }

    /// What strace wrote so far.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }
}

/// Every kind of call that a log of [`Trace::watch`] has on a file below `folder` or on itself,
/// with the greatest number that a thread made of them: (file, call) to number.
pub(crate) fn calls(log: &Path, folder: &Path) -> BTreeMap<(PathBuf, String), usize> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut made: BTreeMap<(PathBuf, String, &str), usize> = BTreeMap::new();
    for line in text.lines() {
        let Some((thread, (call, rest))) = line
            .split_once(' ')
            .and_then(|(thread, rest)| Some((thread, rest.trim_start().split_once('(')?)))
        else {
            continue;
        };
        // A call of two paths counts for the former, by which strace finds it. Paths stand in
        // quotes or behind a descriptor.
        let mut paths = rest
            .split(['"', '<', '>'])
            .filter(|part| Path::new(part).starts_with(folder));
        if let Some(path) = paths.next()
            && CHANGES.split(',').any(|known| known == call)
        {
            *made
                .entry((path.into(), call.to_owned(), thread))
                .or_default() += 1;
        }
    }
    let mut greatest = BTreeMap::new();
    for ((path, call, _), number) in made {
        let most: &mut usize = greatest.entry((path, call)).or_default();
        *most = number.max(*most);
    }
    greatest
}

impl Drop for Tracing {
    fn drop(&mut self) {
        let tracer = i32::try_from(self.tracer.id()).ok().and_then(Pid::from_raw);
        // TERM: strace lets its tracees go on before it ends.
        if let Some(tracer) = tracer {
            let _ = kill_process(tracer, Signal::TERM);
        }
        let _ = self.tracer.wait();
    }
}

/// How many threads of a process nobody traces; none if the process is gone.
fn untraced_threads(process: &str) -> usize {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let status = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    status
        .filter(|text| text.contains("TracerPid:\t0\n"))
        .count()
}
