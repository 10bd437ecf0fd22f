//! A server that runs as long as its owner wants it, and what the kernel knows about it.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gaggle::io::clock;
use rustix::process::{Pid, Signal, kill_process};

use super::elapsed;

/// How long a server may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(15);

/// A process that this program started; it ends with this value.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a command; what it prints goes into `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> io::Result<Self> {
        let file = std::fs::File::create(log)?;
        let errors = file.try_clone()?;
        let command = command.stdin(Stdio::null()).stdout(file).stderr(errors);
        Ok(Self {
            child: command.spawn()?,
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end (SIGTERM) and waits; kills it if that takes too long. Gives the time taken.
    pub(crate) fn stop(&mut self) -> Duration {
        let begin = clock::mono();
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (false, Some(pid)) = (self.ended(), pid) {
            let _ = kill_process(pid, Signal::TERM);
        }
        while !self.ended() && elapsed(begin) < STOP {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        elapsed(begin)
    }

    /// Kills it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A free TCP port on loopback.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

/// Whether a program can be started from here.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path)
        .chain(extra)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Resident memory in bytes: all of it, and the part that is no file.
pub(crate) fn resident(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some((kib("VmRSS:")? << 10, kib("RssAnon:")? << 10))
}

/// Processor time of a process and its children, in seconds (the kernel counts in hundredths).
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let own = stat(pid).map_or(0.0, |stat| stat.1);
    let Ok(all) = std::fs::read_dir("/proc") else {
        return own;
    };
    let children = all
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(stat)
        .filter(|(parent, _)| *parent == pid)
        .map(|(_, time)| time);
    own + children.sum::<f64>()
}

/// The parent and the processor time of a process (proc(5): fields 4, 14 and 15).
fn stat(pid: u32) -> Option<(u32, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |at: usize| -> Option<f64> { fields.get(at)?.parse().ok() };
    Some((
        fields.get(1)?.parse().ok()?,
        (ticks(11)? + ticks(12)?) / 100.0,
    ))
}
