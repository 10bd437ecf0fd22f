//! Load: some connections, each asking as soon as it was answered, for a bounded time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gaggle::io::clock;
use gaggle::io::tasks::Tasks;
use tokio::sync::mpsc;

use super::client::{Address, Connection};
use super::process::Process;
use super::stats::{median, quantile, ratio};
use super::{elapsed, table};

/// Writes the request number `1` of connection `0` into the buffer.
pub(crate) type Asks = Arc<dyn Fn(usize, u64, &mut Vec<u8>) + Send + Sync>;

/// The name of the contender that the ratios are about.
pub(crate) const OURS: &str = "gaggle";

/// The languages that the client speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// HTTP/1.1; any 2xx answer is a success.
    Http,
    /// The protocol of redis.
    Resp,
}

/// One server under load, with its connections open from round to round.
pub(crate) struct Contender {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// The ratio of ours to it that is asked for.
    pub(crate) bar: Option<f64>,
    language: Language,
    pids: Vec<u32>,
    asks: Asks,
    connections: Vec<Connection>,
    rounds: Vec<Round>,
}

/// What one round brought.
struct Round {
    per_second: f64,
    /// Microseconds per answer.
    latencies: Vec<f64>,
    /// Microseconds of processor time that the server took per answer.
    cpu: f64,
}

impl Contender {
    /// Opens `connections` to a server, which may be several processes.
    pub(crate) async fn open<'a>(
        name: &'static str,
        bar: Option<f64>,
        (processes, address): (impl IntoIterator<Item = &'a Process>, &Address),
        (language, asks): (Language, Asks),
        connections: usize,
    ) -> io::Result<Self> {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(address.connect().await?);
        }
        Ok(Self {
            name,
            bar,
            language,
            pids: processes.into_iter().map(Process::pid).collect(),
            asks,
            connections: open,
            rounds: Vec::new(),
        })
    }

    /// Asks for `time` on all connections.
    #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
    async fn round(&mut self, time: Duration) -> io::Result<Round> {
        let cpu_before = self.cpu_seconds();
        let begin = clock::mono();
        let tasks = Tasks::new();
        let count = self.connections.len();
        let (done, mut results) = mpsc::channel(count.max(1));
        for (number, connection) in std::mem::take(&mut self.connections)
            .into_iter()
            .enumerate()
        {
            let (done, asks, language) = (done.clone(), self.asks.clone(), self.language);
            tasks.spawn(async move {
                let result = keep_asking(connection, number, language, asks, time).await;
                let _ = done.send(result).await;
            });
        }
        drop(done);
        let mut latencies = Vec::new();
        while let Some(result) = results.recv().await {
            let (connection, mut own) = result?;
            self.connections.push(connection);
            latencies.append(&mut own);
        }
        let seconds = elapsed(begin).as_secs_f64();
        let cpu = self.cpu_seconds() - cpu_before;
        let answers = latencies.len() as f64;
        Ok(Round {
            per_second: answers / seconds,
            cpu: cpu * 1e6 / answers,
            latencies,
        })
    }

    /// The processor time of all of its processes so far, in seconds.
    fn cpu_seconds(&self) -> f64 {
        let each = self
            .pids
            .iter()
            .map(|pid| super::process::cpu_seconds(*pid));
        each.sum()
    }

    fn each(&self, figure: impl Fn(&Round) -> f64) -> Vec<f64> {
        self.rounds.iter().map(figure).collect()
    }
}

async fn keep_asking(
    mut connection: Connection,
    number: usize,
    language: Language,
    asks: Asks,
    time: Duration,
) -> io::Result<(Connection, Vec<f64>)> {
    let begin = clock::mono();
    let (mut request, mut latencies) = (Vec::new(), Vec::new());
    loop {
        request.clear();
        asks(number, latencies.len() as u64, &mut request);
        let sent = clock::mono();
        let answer = match language {
            Language::Http => connection.http(&request).await?,
            Language::Resp => connection.resp(&request).await?,
        };
        if !(200..300).contains(&answer.status) {
            let body = String::from_utf8_lossy(connection.body(&answer)).into_owned();
            return Err(io::Error::other(format!("{}: {body}", answer.status)));
        }
        latencies.push(elapsed(sent).as_secs_f64() * 1e6);
        if elapsed(begin) >= time {
            return Ok((connection, latencies));
        }
    }
}

/// Lets all contenders take turns, first a short turn to get warm, and prints the table; the
/// ratios are ours to each of the others.
pub(crate) async fn compare(
    title: &str,
    contenders: &mut [Contender],
    rounds: usize,
    time: Duration,
) -> io::Result<()> {
    for contender in contenders.iter_mut() {
        contender
            .round(time / 4)
            .await
            .map_err(|error| named(contender, &error))?;
    }
    for round in 0..rounds {
        let count = contenders.len();
        for turn in 0..count {
            let contender = &mut contenders[(turn + round) % count];
            let result = contender.round(time).await;
            let result = result.map_err(|error| named(contender, &error))?;
            contender.rounds.push(result);
        }
    }
    report(title, contenders, time);
    Ok(())
}

fn named(contender: &Contender, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {error}", contender.name))
}

fn report(title: &str, contenders: &[Contender], time: Duration) {
    let rounds = contenders.first().map_or(0, |ours| ours.rounds.len());
    println!(
        "\n{title} ({rounds} rounds of {} s in turn, medians)",
        time.as_secs_f64()
    );
    let mut shown = table::Table::new(&[
        "server",
        "answers/s",
        "p50 us",
        "p99 us",
        "server cpu us/answer",
        "ours/it",
        "cpu it/ours",
        "bar",
    ]);
    let ours = contenders.iter().find(|contender| contender.name == OURS);
    for contender in contenders {
        let speed = contender.each(|round| round.per_second);
        let cpu = contender.each(|round| round.cpu);
        let at = |share: f64| median(&contender.each(|round| quantile(&round.latencies, share)));
        let mut row = vec![
            contender.name.to_owned(),
            format!("{:.0}", median(&speed)),
            format!("{:.0}", at(0.5)),
            format!("{:.0}", at(0.99)),
            format!("{:.1}", median(&cpu)),
        ];
        if let Some(ours) = ours.filter(|ours| ours.name != contender.name) {
            let quotient = ratio(&ours.each(|round| round.per_second), &speed);
            row.push(format!("{quotient:.2}"));
            row.push(format!("{:.2}", ratio(&cpu, &ours.each(|round| round.cpu))));
            row.extend(contender.bar.map(|bar| table::at_least(quotient, bar)));
        }
        shown.row(row);
    }
    shown.print();
}
