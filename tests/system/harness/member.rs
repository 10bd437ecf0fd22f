//! Members: the release binary, started as a user would start it.

use std::fs;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::client::{Client, Reply};
use super::clock::Clock;
use super::lan::Host;
use super::program::{binary, command, scratch};
use super::wait::{seconds, until, within};

/// The password of every test's user.
pub(crate) const PASSWORD: &str = "seven-geese-in-a-row";
/// How long a member may take until it is ready; generous, as the tests share two cores.
const START: Duration = Duration::from_secs(20);

/// What the members of one cluster share: a secret, an id, and where their data is.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    secret: String,
    id: String,
}

impl Cluster {
    /// A new cluster with a secret of its own.
    pub(crate) fn new() -> Self {
        let made = ask_binary(&["secret"], &[]);
        Self::with_secret_and_id(made.trim(), "test")
    }

    /// A cluster with this secret and this id.
    pub(crate) fn with_secret_and_id(secret: &str, id: &str) -> Self {
        let cluster = Self {
            folder: scratch(),
            secret: secret.to_owned(),
            id: id.to_owned(),
        };
        let pem = ask_binary(&["ca"], &cluster.environment());
        assert!(
            pem.contains("BEGIN CERTIFICATE"),
            "gaggle ca printed {pem:?}"
        );
        fs::write(cluster.ca(), pem).expect("a file");
        cluster
    }

    /// The secret that its members share.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// The certificate that its clients trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The data directory of the member of that name.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What every program of the cluster finds in its environment.
    fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("GAGGLE_SECRET", self.secret.clone()),
            ("GAGGLE_CLUSTER", self.id.clone()),
            ("GAGGLE_PASSWORD", PASSWORD.to_owned()),
        ]
    }

    /// A member of that name on `host`, not started yet.
    pub(crate) fn member(&self, host: &Host, name: &str) -> Serve<'_> {
        Serve {
            cluster: self,
            host: host.clone(),
            name: name.to_owned(),
            data: self.data(name),
            arguments: Vec::new(),
            user: None,
            port: 8000,
            program: binary(),
            wrapper: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Runs a command of the binary on a host, about the member of that client; gives what it
    /// prints on its standard output.
    pub(crate) fn ask(&self, host: &Host, client: &Client, words: &[&str]) -> String {
        let program = binary();
        let mut all = vec![program.to_string_lossy().into_owned()];
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all.extend(["--server".to_owned(), client.base.clone()]);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let mut command = host.command(&all);
        clean(&mut command).envs(self.environment());
        let output = command.stdin(Stdio::null()).output();
        let output = output.expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gaggle {words:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts one member on each host, named a, b, c and so on, and waits until all know all.
    pub(crate) fn start_on(&self, hosts: &[Host]) -> Vec<Member> {
        self.start_with(hosts, &[])
    }

    /// The same with further flags.
    pub(crate) fn start_with(&self, hosts: &[Host], flags: &[&str]) -> Vec<Member> {
        let names = ["a", "b", "c", "d", "e"];
        let members: Vec<Member> = hosts
            .iter()
            .zip(names)
            .map(|(host, name)| self.member(host, name).with(flags).spawn())
            .collect();
        for member in &members {
            member.wait_ready();
        }
        for member in &members {
            member.wait_alive(hosts.len());
        }
        members
    }
}

/// How to start a member.
pub(crate) struct Serve<'a> {
    cluster: &'a Cluster,
    host: Host,
    name: String,
    data: PathBuf,
    arguments: Vec<String>,
    user: Option<u32>,
    port: u16,
    program: PathBuf,
    wrapper: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

/// How a program ended, and all that it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) said: String,
}

impl Serve<'_> {
    /// With this data directory instead of its own.
    pub(crate) fn data(mut self, data: &Path) -> Self {
        data.clone_into(&mut self.data);
        self
    }

    /// With further flags.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|word| (*word).to_owned()));
        self
    }

    /// At this port instead of 8000, beside others on its host.
    pub(crate) fn at_port(mut self, port: u16) -> Self {
        self.port = port;
        self.with(&["--listen", &format!("[::]:{port}")])
    }

    /// Run by the user of this number instead of root.
    pub(crate) fn run_by(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// With this variable in its environment, in place of the cluster's own if that has it, too.
    pub(crate) fn setting(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// As the last words of another program, which must run it as its own process.
    pub(crate) fn under(mut self, words: Vec<String>) -> Self {
        self.wrapper = words;
        self
    }

    /// With a wall clock that the test turns: a build that can do that, not the release.
    pub(crate) fn by(mut self, clock: &Clock) -> Self {
        self.program = clock.program();
        let file = clock.file().to_string_lossy().into_owned();
        self.setting(Clock::VARIABLE, &file)
    }

    /// Starts the member and waits until it is ready.
    pub(crate) fn start(self) -> Member {
        let member = self.spawn();
        member.wait_ready();
        member
    }

    /// Starts the member with its output in a pipe that nobody reads and that is then closed.
    pub(crate) fn into_pipe_that_closes(self) -> Member {
        let mut member = self.spawn_with(|_| (Stdio::piped(), Stdio::piped()));
        drop((member.child.stdout.take(), member.child.stderr.take()));
        member
    }

    /// Starts the member.
    pub(crate) fn spawn(self) -> Member {
        self.spawn_with(|log| {
            let file = fs::File::create(log).expect("a log file");
            (
                file.try_clone().expect("a second handle").into(),
                file.into(),
            )
        })
    }

    /// Starts the member with the output and error that `outlets` makes for its log.
    fn spawn_with(self, outlets: impl FnOnce(&Path) -> (Stdio, Stdio)) -> Member {
        let logs = self.cluster.folder.path();
        let number = fs::read_dir(logs).expect("an own directory").count();
        let log = logs.join(format!("{}-{number}.log", self.name));
        let (output, error) = outlets(&log);
        let child = self
            .command()
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(error)
            .spawn()
            .expect("the binary runs");
        let client = Client::of_host(
            &self.host,
            format!("https://{}:{}", self.host.address(), self.port),
            self.cluster.ca(),
            format!("admin:{PASSWORD}"),
        );
        Member {
            child,
            host: self.host,
            client,
            data: self.data,
            log,
        }
    }

    /// Runs the member to its own end, which must come soon: for starts that must be refused.
    pub(crate) fn refused(self) -> Ended {
        let mut member = self.spawn();
        let status = member.wait_end(seconds(15));
        Ended {
            status,
            said: member.said(),
        }
    }

    fn command(&self) -> Command {
        let program = self.program.to_string_lossy();
        let user = self.user.map(|id| id.to_string());
        let mut words = Vec::new();
        if let Some(id) = &user {
            words.extend([
                "setpriv",
                "--reuid",
                id,
                "--regid",
                id,
                "--clear-groups",
                "--",
            ]);
        }
        words.extend(self.wrapper.iter().map(String::as_str));
        words.extend([program.as_ref(), "serve"]);
        let mut command = self.host.command(&words);
        clean(&mut command)
            .envs(self.cluster.environment())
            .envs(self.environment.clone());
        command
            .arg("--data")
            .arg(&self.data)
            .args(["--name", &self.name])
            .args(&self.arguments);
        command
    }
}

/// A running member; killed when dropped, and what it said is shown if the test is failing.
pub(crate) struct Member {
    child: Child,
    host: Host,
    client: Client,
    data: PathBuf,
    log: PathBuf,
}

impl Member {
    /// A client on the member's own host.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The host that it runs on.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// All that it wrote to its standard output and error so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it answers that it is ready.
    pub(crate) fn wait_ready(&self) {
        assert!(self.ready_or_ended(), "the member ended:\n{}", self.said());
    }

    /// Waits until it answers that it is ready or has ended; says whether it is ready.
    pub(crate) fn ready_or_ended(&self) -> bool {
        let ask = || (self.has_ended(), self.client.get("/readyz"));
        let settled = |(ended, reply): &(bool, Reply)| *ended || reply.status == 200;
        let (_, reply) = until("the member is ready", START, ask, settled);
        reply.status == 200
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process has ended; its parent, the test, has not looked yet.
    pub(crate) fn has_ended(&self) -> bool {
        let state = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        state.map_or(true, |state| state.contains(") Z "))
    }

    /// Waits until it believes that many members to be alive, itself included.
    pub(crate) fn wait_alive(&self, count: usize) {
        let alive = |members: &Vec<(String, String, String)>| {
            members
                .iter()
                .filter(|(_, _, state)| state == "alive")
                .count()
                == count
        };
        let what = format!("{count} members are alive");
        until(&what, seconds(40), || self.client.members(), alive);
    }

    /// Bytes of memory that it has in use, as the kernel counts them.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("a process that runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        kilobytes.map_or(0, |count: u64| count << 10)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id");
        kill_process(pid, signal).expect("an own process takes a signal");
    }

    /// Ends it at once, as a crash would, and waits until it is gone.
    pub(crate) fn crash(&mut self) {
        self.child.kill().expect("an own process can be killed");
        self.child.wait().expect("a killed process ends");
    }

    /// Waits until it has ended.
    pub(crate) fn wait_end(&mut self, limit: Duration) -> ExitStatus {
        let ended = within(limit, || self.child.try_wait().expect("an own process"));
        ended.unwrap_or_else(|| panic!("the member still runs after {limit:?}"))
    }

    /// Stops it cleanly.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_end(seconds(10));
        assert!(status.success(), "a clean stop ended with {status}");
    }

    /// The address changed under the member: from now on clients use the new one.
    pub(crate) fn moved_to(&mut self, host: &Host) {
        self.client.base = format!("https://{}:8000", host.address());
        self.host = host.clone();
    }

    /// Clients reach it there from now on.
    pub(crate) fn reached_at(mut self, address: Ipv6Addr) -> Self {
        self.client.base = format!("https://[{address}]:8000");
        self
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.said();
            let tail: Vec<&str> = said.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!(
                "--- {} said at last:\n{}\n",
                self.log.display(),
                tail.join("\n")
            );
        }
    }
}

/// Takes away all that tests/run or the user set for gaggle.
fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GAGGLE_") {
            command.env_remove(name);
        }
    }
    command.env("RUST_BACKTRACE", "1")
}

/// Runs a command of the binary that needs no member and gives what it prints.
fn ask_binary(words: &[&str], environment: &[(&'static str, String)]) -> String {
    let folder = scratch();
    let program = binary();
    let mut asked = command(&[&[program.to_string_lossy().as_ref()], words].concat());
    clean(&mut asked).envs(environment.iter().map(|(name, value)| (*name, value)));
    let output = asked
        .current_dir(folder.path())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "gaggle {words:?}: {}: {said}",
        output.status
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
