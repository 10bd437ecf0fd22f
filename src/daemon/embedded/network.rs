//! Whole members in this process, connected over the network: what `gaggle serve` runs, without its
//! signals and its log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::config::{self, Config, Flags, Layers};
use crate::io::random;
use crate::io::tasks::Tasks;
use crate::io::tls::Secret;
use crate::strong::engine::MemoryDisk;

use super::super::logging::Logging;
use super::super::member::{self, Beginning, Running};
use super::{EmbedError, Embedded, Keep, Life};

/// Starts whole members in this process: each finds the others of its cluster by itself, wherever
/// they run, talks to them over mutual TLS, and serves the HTTPS API. Their settings are those of
/// `gaggle serve`; environment and configuration file are not looked at. Cloning gives another
/// handle to the same network.
///
/// ```
/// # async fn doc() -> Result<(), gaggle::daemon::embedded::EmbedError> {
/// use gaggle::daemon::embedded::{Keep, Network};
///
/// let network = Network::on_loopback();
/// let alone = network.start("a", 1, Keep::InMemory).await?;
/// assert_eq!(alone.add("hits", 1).await?, 1);
/// alone.stop().await;
///
/// // Members on several hosts, each with its own data directory.
/// let network = Network::of_cluster("the secret of all of them, of gaggle secret")
///     .with("listen", "[::]:8000")
///     .with("discover", "static:a.example,b.example,c.example");
/// # drop(network);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Network {
    settings: Flags,
    /// Where members of this network answer that were started before; none: they are not told.
    started: Option<Arc<Mutex<Vec<SocketAddr>>>>,
}

impl Network {
    /// Members that others reach, with the settings of `gaggle serve` in force unless
    /// [`Network::with`] says otherwise: the API at port 8000, discovery by multicast.
    pub fn of_cluster(secret: &str) -> Self {
        let network = Self {
            settings: Flags::new(),
            started: None,
        };
        network.with("secret", secret)
    }

    /// Members of this process alone, under a secret of their own: they listen at any free port of
    /// the loopback, and each is told where those are that were started before it.
    pub fn on_loopback() -> Self {
        let network = Self {
            started: Some(Arc::default()),
            ..Self::of_cluster(Secret::generate().reveal())
        };
        network
            .with("listen", "127.0.0.1:0")
            .with("interface", "lo")
    }

    /// With a setting of `gaggle serve`, by the name of its flag. `voters` takes the place of the
    /// number of members that is given to [`Network::start`].
    #[must_use]
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.settings.insert(setting.to_owned(), value.to_owned());
        self
    }

    /// Starts a member of a group that the first `size` members found. In a directory that was used
    /// before it is the member that it was. One that keeps everything in memory has a directory for
    /// temporary files as long as it lives.
    ///
    /// # Errors
    /// See [`EmbedError`]; a directory can be used by one member at a time.
    pub async fn start(&self, name: &str, size: usize, keep: Keep) -> Result<Embedded, EmbedError> {
        let (path, scratch, log) = match keep {
            Keep::OnDisk(path) => (path, None, None),
            Keep::InMemory => {
                let name = format!("gaggle-{:016x}", random::seed());
                let path = std::env::temp_dir().join(name);
                let log = Arc::new(MemoryDisk::new());
                (path.clone(), Some(Scratch(path)), Some(log as _))
            }
        };
        let config = self.config(name, size, &path)?;
        let beginning = Beginning {
            config,
            logging: Logging::of_others(),
            log,
        };
        let running = member::start(beginning, |_| {}).await?;
        let engine = running.strong().engine();
        let engine = engine.map_err(|off| EmbedError::Setting(off.to_string()))?;
        let (engine, id, listen) = (engine.clone(), running.id(), running.listen());
        if let Some(started) = &self.started {
            started.lock().push(listen);
        }
        Ok(Embedded {
            engine,
            id,
            name: name.into(),
            life: Life::Whole(Whole::begin(running, listen, scratch)),
        })
    }

    fn config(
        &self,
        name: &str,
        size: usize,
        data: &std::path::Path,
    ) -> Result<Config, EmbedError> {
        let mut flags = self.settings.clone();
        if let Some(unknown) = flags
            .keys()
            .find(|name| config::settings::named(name).is_none())
        {
            let told = format!("there is no setting \"{unknown}\"");
            return Err(EmbedError::Setting(told));
        }
        let mut set = |name: &str, value: String| flags.insert(name.to_owned(), value);
        set("name", name.to_owned());
        set("data", data.to_string_lossy().into_owned());
        if !self.settings.contains_key("voters") {
            set("cluster-size", size.to_string());
        }
        if let Some(started) = &self.started
            && !self.settings.contains_key("discover")
        {
            let known = started.lock();
            let known: Vec<String> = known.iter().map(SocketAddr::to_string).collect();
            set(
                "discover",
                match known.as_slice() {
                    [] => "none".to_owned(),
                    known => format!("static:{}", known.join(",")),
                },
            );
        }
        let refused = |why: String| EmbedError::Setting(why);
        let layers = Layers::new(flags, &|_| None).map_err(|why| refused(why.to_string()))?;
        let (config, _) = Config::check(&layers).map_err(|why| refused(why.to_string()))?;
        Ok(config)
    }
}

/// A whole member; it stops when this is dropped, too.
pub(super) struct Whole {
    listen: SocketAddr,
    /// Dropped to have it stop.
    stop: oneshot::Sender<()>,
    tasks: Tasks,
}

impl Whole {
    fn begin(mut running: Running, listen: SocketAddr, scratch: Option<Scratch>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let tasks = Tasks::new();
        tasks.spawn(async move {
            tokio::select! {
                // It is only ever dropped.
                _ = stopped => {}
                why = running.trouble() => tracing::error!(%why, "the member must stop"),
            }
            running.stop_in_time().await;
            drop(scratch);
        });
        Self {
            listen,
            stop,
            tasks,
        }
    }

    /// Where it answers over HTTPS.
    pub(super) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Stops it and waits until it has ended.
    pub(super) async fn stop(self) {
        drop(self.stop);
        self.tasks.stop(std::time::Duration::MAX).await;
    }
}

/// A directory that goes with its member.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a temporary directory is left over");
        }
    }
}
