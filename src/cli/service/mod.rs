//! `gaggle service`: a member as a service of systemd.

mod unit;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::exit::{Exit, Failure};
use super::output::{self, Tone};
use crate::config::{Config, Flags, Layers};

/// The unit's name.
const NAME: &str = "gaggle.service";
/// Where an administrator's units are.
const UNIT_DIR: &str = "/etc/systemd/system";
/// There while systemd runs (`sd_booted(3)`).
const BOOTED: &str = "/run/systemd/system";

/// Run a member as a service of systemd
///
/// `install` takes the flags of `serve` and writes them into the unit, with the place of this
/// binary. The unit is hardened: a user of its own, no capabilities, a file system that it cannot
/// write but for /var/lib/gaggle, where the data are.
#[derive(clap::Args)]
pub(super) struct Service {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Write the unit, and have systemd start it at every boot; `start` starts it now
    Install(Install),
    /// Stop the service and remove the unit; the data stay
    Remove(Place),
    /// Start the service
    Start,
    /// Stop the service
    Stop,
    /// Show whether it runs; exit code 3 if it is not installed, 1 if it does not run
    Status(Place),
}

#[derive(clap::Args)]
struct Install {
    #[command(flatten)]
    place: Place,
    /// The binary that is run [this one]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Place {
    /// Write below this directory instead of /, and do not talk to systemd: for packages
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where the unit is
    #[arg(long, value_name = "DIR", default_value = UNIT_DIR)]
    unit_dir: PathBuf,
}

impl Place {
    fn unit(&self) -> PathBuf {
        let dir = match &self.root {
            Some(root) => root.join(self.unit_dir.strip_prefix("/").unwrap_or(&self.unit_dir)),
            None => self.unit_dir.clone(),
        };
        dir.join(NAME)
    }
}

impl Service {
    pub(super) fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        if let (Some(flag), false) = (flags.keys().next(), self.takes_settings()) {
            return Err(Failure::usage(format!(
                "--{flag} is for \"gaggle service install\""
            )));
        }
        match self.action {
            Action::Install(install) => install.run(flags),
            Action::Remove(place) => remove(&place),
            Action::Start => control("start").map(|()| Exit::Ok),
            Action::Stop => control("stop").map(|()| Exit::Ok),
            Action::Status(place) => status(&place),
        }
    }

    fn takes_settings(&self) -> bool {
        matches!(self.action, Action::Install(_))
    }
}

impl Install {
    fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        // The service has its own environment: only what is written into the unit counts.
        let usage = |why| Failure::new(Exit::Usage, why);
        let layers = Layers::new(flags.clone(), &|_| None);
        let layers = layers.map_err(|why| Failure::new(Exit::Usage, why))?;
        Config::check(&layers).map_err(usage)?;
        let binary = match self.binary {
            Some(binary) => std::path::absolute(binary)?,
            None => std::env::current_exe()?,
        };
        let text = unit::unit(&binary, flags).map_err(|why| Failure::new(Exit::Usage, why))?;
        if self.place.root.is_none() {
            systemd_runs()?;
        }
        let path = self.place.unit();
        write(&path, &text)?;
        output::message("note", Tone::Good, &format!("written: {}", path.display()));
        if self.place.root.is_none() {
            systemctl(&["daemon-reload"])?;
            systemctl(&["enable", NAME])?;
            let next = format!(
                "secret and password belong into /etc/gaggle/gaggle.env (owner root, mode 0600); \
                 then: gaggle service start. Commands find it with GAGGLE_DATA={}",
                unit::DATA_DIR
            );
            output::message("note", Tone::Good, &next);
        }
        Ok(Exit::Ok)
    }
}

/// Writes the unit in one step: a reader sees the old one or the new one.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |why: std::io::Error| {
        let failure = Failure::message(Exit::Error, format!("{}: {why}", path.display()));
        match why.kind() {
            ErrorKind::PermissionDenied => failure.hint("run it as root"),
            _ => failure,
        }
    };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    let new = path.with_extension("service.new");
    fs::write(&new, text).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)
}

fn remove(place: &Place) -> Result<Exit, Failure> {
    let path = place.unit();
    if !path.exists() {
        return Err(not_installed(&path));
    }
    if place.root.is_none() {
        systemd_runs()?;
        systemctl(&["disable", "--now", NAME])?;
    }
    fs::remove_file(&path).map_err(|why| {
        Failure::message(Exit::Error, format!("{}: {why}", path.display())).hint("run it as root")
    })?;
    if place.root.is_none() {
        systemctl(&["daemon-reload"])?;
    }
    let kept = format!(
        "removed: {}; the data stay in {}",
        path.display(),
        unit::DATA_DIR
    );
    output::message("note", Tone::Good, &kept);
    Ok(Exit::Ok)
}

fn control(word: &str) -> Result<(), Failure> {
    systemd_runs()?;
    systemctl(&[word, NAME])
}

fn status(place: &Place) -> Result<Exit, Failure> {
    let path = place.unit();
    if !path.exists() {
        return Err(not_installed(&path));
    }
    if place.root.is_some() {
        output::text(&format!("installed: {}\n", path.display()))?;
        return Ok(Exit::Ok);
    }
    systemd_runs()?;
    let shown = Command::new("systemctl")
        .args(["status", "--no-pager", "--lines=5", NAME])
        .stdin(Stdio::null())
        .output()
        .map_err(|why| no_systemctl(&why))?;
    output::text(&String::from_utf8_lossy(&shown.stdout))?;
    Ok(if shown.status.success() {
        Exit::Ok
    } else {
        Exit::Error
    })
}

fn not_installed(path: &Path) -> Failure {
    Failure::message(Exit::NotFound, format!("there is no {}", path.display()))
        .hint("gaggle service install")
}

/// Refuses where systemd is not what runs this host's services.
fn systemd_runs() -> Result<(), Failure> {
    if Path::new(BOOTED).is_dir() {
        return Ok(());
    }
    Err(Failure::message(
        Exit::Error,
        format!("systemd does not run here (there is no {BOOTED})"),
    )
    .hint(
        "in a container run \"gaggle serve\"; for a package write the unit with \
         \"gaggle service install --root DIR\"",
    ))
}

fn systemctl(words: &[&str]) -> Result<(), Failure> {
    let ended = Command::new("systemctl")
        .args(words)
        .stdin(Stdio::null())
        .status()
        .map_err(|why| no_systemctl(&why))?;
    if ended.success() {
        return Ok(());
    }
    let line = words.join(" ");
    Err(
        Failure::message(Exit::Error, format!("systemctl {line} failed ({ended})"))
            .hint("run it as root; \"journalctl -u gaggle\" says why a member does not start"),
    )
}

fn no_systemctl(why: &std::io::Error) -> Failure {
    Failure::message(Exit::Error, format!("systemctl: {why}"))
}
