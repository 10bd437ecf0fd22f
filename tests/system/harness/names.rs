//! A name server of the test's own: what it answers can be changed at any time.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::lan::Host;
use super::program::scratch;
use super::wait::seconds;

/// Record types (RFC 1035, RFC 2782).
const A: u16 = 1;
const SRV: u16 = 33;
/// Response codes.
const WELL: u8 = 0;
const SERVER_FAILED: u8 = 2;
const NO_SUCH_NAME: u8 = 3;
/// How long each answer holds, in seconds: the least that members ask again after is longer.
const HOLDS: u32 = 1;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As its records say.
    Well,
    /// That it cannot (SERVFAIL).
    Failing,
    /// Not at all.
    Silent,
}

/// One name's records.
#[derive(Clone, Debug, Default)]
struct Records {
    addresses: Vec<Ipv4Addr>,
    services: Vec<(u16, String)>,
}

#[derive(Debug)]
struct Zone {
    mood: Mood,
    names: BTreeMap<String, Records>,
}

/// The server; it ends when dropped.
pub(crate) struct NameServer {
    zone: Arc<Mutex<Zone>>,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl NameServer {
    /// A server on port 53 of `host`, which knows no name yet.
    pub(crate) fn on(host: &Host) -> Self {
        let at = (host.address(), 53);
        let socket = host.enter(move || UdpSocket::bind(at).expect("a free port"));
        let tick = std::time::Duration::from_millis(100);
        socket.set_read_timeout(Some(tick)).expect("a time-out");
        let zone = Arc::new(Mutex::new(Zone {
            mood: Mood::Well,
            names: BTreeMap::new(),
        }));
        let (asked, stop) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let shared = (zone.clone(), asked.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name("name server".to_owned())
            .spawn(move || serve(&socket, &shared.0, &shared.1, &shared.2))
            .expect("a thread");
        let folder = scratch();
        let list = format!("nameserver {}\n", host.address());
        std::fs::write(folder.path().join("resolv.conf"), list).expect("a file");
        Self {
            zone,
            asked,
            stop,
            thread: Some(thread),
            folder,
        }
    }

    /// The words before a program that is to ask this server: for it alone, and not for the rest
    /// of this machine, `/etc/resolv.conf` names it.
    pub(crate) fn wrapper(&self) -> Vec<String> {
        let file: PathBuf = self.folder.path().join("resolv.conf");
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        let words = ["unshare", "--mount", "sh", "-c", script];
        let mut words: Vec<String> = words.map(str::to_owned).to_vec();
        words.push(file.to_string_lossy().into_owned());
        words
    }

    /// From now on `name` has these addresses.
    pub(crate) fn addresses(&self, name: &str, addresses: &[Ipv4Addr]) {
        self.change(name, |records| records.addresses = addresses.to_vec());
    }

    /// From now on `name` is a service at these ports and hosts.
    pub(crate) fn service(&self, name: &str, at: &[(u16, &str)]) {
        let at = at.iter().map(|(port, host)| (*port, (*host).to_owned()));
        self.change(name, |records| records.services = at.collect());
    }

    /// From now on there is no such name.
    pub(crate) fn forget(&self, name: &str) {
        self.zone.lock().expect("no panic").names.remove(name);
    }

    /// From now on it answers in this way.
    pub(crate) fn mood(&self, mood: Mood) {
        self.zone.lock().expect("no panic").mood = mood;
    }

    /// How many questions it was asked so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits until it was asked so many more questions.
    pub(crate) fn wait_asked(&self, more: usize) {
        let wanted = self.asked() + more;
        super::wait::until(
            "it is asked again",
            seconds(60),
            || self.asked(),
            |asked| *asked >= wanted,
        );
    }

    fn change(&self, name: &str, how: impl FnOnce(&mut Records)) {
        let mut zone = self.zone.lock().expect("no panic");
        how(zone.names.entry(name.to_owned()).or_default());
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, zone: &Mutex<Zone>, asked: &AtomicUsize, stop: &AtomicBool) {
    let mut buffer = [0; 1500];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        asked.fetch_add(1, Ordering::Relaxed);
        let answer = answer(&buffer[..length], &zone.lock().expect("no panic"));
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// The answer to a question with one name, as RFC 1035 §4.1 draws it.
fn answer(question: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    if zone.mood == Mood::Silent {
        return None;
    }
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = question.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*question.get(at)?, *question.get(at + 1)?]);
    let asked = question.get(12..at + 4)?;
    let records = zone.names.get(&labels.join("."));
    let data: Vec<Vec<u8>> = match (records, kind) {
        (Some(records), A) => records
            .addresses
            .iter()
            .map(|at| at.octets().to_vec())
            .collect(),
        (Some(records), SRV) => records.services.iter().map(service).collect(),
        _ => Vec::new(),
    };
    let (code, data) = match (zone.mood, records) {
        (Mood::Failing, _) => (SERVER_FAILED, Vec::new()),
        (_, None) => (NO_SUCH_NAME, data),
        (_, Some(_)) => (WELL, data),
    };
    let count = u16::try_from(data.len()).expect("few records");
    // The id; an answer, authoritative, recursion desired and available; the counts.
    let mut bytes = question[..2].to_vec();
    bytes.extend([0x85, 0x80 | code]);
    bytes.extend([0, 1]);
    bytes.extend(count.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(asked);
    for data in data {
        // The name that was asked for, its type, class IN, how long it holds.
        bytes.extend([0xc0, 12]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(HOLDS.to_be_bytes());
        bytes.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        bytes.extend(data);
    }
    Some(bytes)
}

/// Priority, weight, port, and the host's name in labels.
fn service((port, host): &(u16, String)) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 0];
    data.extend(port.to_be_bytes());
    for label in host.split('.') {
        data.push(u8::try_from(label.len()).expect("a short label"));
        data.extend(label.as_bytes());
    }
    data.push(0);
    data
}
