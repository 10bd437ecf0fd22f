//! A crash at every system call by which the data directory changes: a short script of writes runs
//! again and again, each time with `kill -9` at another call. After each crash a restart finds
//! every acknowledged write, and of the write that was on its way all or nothing.
//!
//! One run in a row takes a sample of the points; `GAGGLE_CRASH_POINTS=all` takes each.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::harness::{
    Cluster, Host, Lan, Member, Script, Trace, acknowledged, calls, scratch, seconds,
};

/// Every so many points one is tried, unless all are asked for.
const STRIDE: usize = 9;

/// From when on calls are counted. Threads that come into being at the start make the first calls
/// on some files, and the writer later again, so each phase has numbers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    TheFirstCall,
    Readiness,
}

/// A call at which the member is killed.
#[derive(Clone, Debug)]
struct Point {
    from: From,
    /// The file that the call has to do with, inside the data directory.
    file: PathBuf,
    call: String,
    /// Which of these calls, from 1.
    number: usize,
}

/// What came of one run.
struct Run {
    member: Member,
    /// Steps that were acknowledged.
    acknowledged: usize,
    killed: bool,
}

/// The script on a new member, which is asked to stop at the end.
struct Runner<'a> {
    cluster: &'a Cluster,
    host: &'a Host,
    name: &'a str,
}

impl Runner<'_> {
    /// With the member killed at this point.
    fn kill_at(&self, point: &Point) -> Run {
        let data = self.cluster.data(self.name);
        // A path with a slash at its end would not be the directory's own.
        let file: PathBuf = data.join(&point.file).components().collect();
        let trace = Trace::kill(&point.call, point.number).on(&file);
        self.run(point.from, &trace, Path::new("/dev/null"), |_| ())
    }

    /// All points that there are.
    fn points(&self) -> Vec<Point> {
        let (folder, data) = (scratch(), self.cluster.data(self.name));
        let log = folder.path().join("trace");
        let mut points = Vec::new();
        let mut take = |from, log: &Path| {
            for ((file, call), count) in calls(log, &data) {
                let file = file.strip_prefix(&data).expect("a file inside").to_owned();
                points.extend((1..=count).map(|number| Point {
                    from,
                    file: file.clone(),
                    call: call.clone(),
                    number,
                }));
            }
        };
        for from in [From::TheFirstCall, From::Readiness] {
            let run = self.run(from, &Trace::watch(), &log, |log| take(from, log));
            assert!(!run.killed);
            drop(run);
            take(from, &log);
            let _ = std::fs::remove_file(&log);
            std::fs::remove_dir_all(&data).expect("an own directory");
        }
        points
    }

    fn run(&self, from: From, trace: &Trace, log: &Path, seen: impl FnMut(&Path)) -> Run {
        let mut seen = seen;
        let serve = self.cluster.member(self.host, self.name);
        let mut member = match from {
            From::TheFirstCall => serve.under(trace.start(log)).spawn(),
            From::Readiness => serve.spawn(),
        };
        let ready = member.ready_or_ended();
        let tracing = (ready && from == From::Readiness).then(|| trace.attach(&member));
        let told = if ready {
            Script::reference().run(member.client())
        } else {
            Vec::new()
        };
        if !member.has_ended() {
            member.signal(Signal::TERM);
        }
        let status = member.wait_end(seconds(20));
        let killed = status.signal() == Some(9);
        assert!(killed || status.success(), "{status}");
        let refused = told.iter().find(|status| !(200..300).contains(*status));
        assert_eq!(refused, None, "a crash refuses nothing");
        if let Some(tracing) = tracing {
            seen(tracing.log());
        }
        Run {
            member,
            acknowledged: acknowledged(&told),
            killed,
        }
    }
}

#[test]
fn a_crash_at_any_call_loses_no_acknowledged_write_and_leaves_none_by_half() {
    let all = std::env::var("GAGGLE_CRASH_POINTS").is_ok_and(|text| text == "all");
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let script = Script::reference();
    let runner = Runner {
        cluster: &cluster,
        host: &host,
        name: "a",
    };
    let points = runner.points();
    assert!(points.len() > 100, "only {points:?}");
    let (mut tried, mut crashes) = (0, 0);
    for point in points.iter().step_by(if all { 1 } else { STRIDE }) {
        let when = format!("{point:?}");
        let run = runner.kill_at(point);
        drop(run.member);
        let mut again = cluster.member(&host, "a").start();
        script.check(again.client(), run.acknowledged, &when);
        again.crash();
        std::fs::remove_dir_all(cluster.data("a")).expect("an own directory");
        tried += 1;
        crashes += usize::from(run.killed);
        if !run.killed {
            println!("not met: {when}");
            assert_eq!(
                run.acknowledged,
                script.len(),
                "{when}: a run without a crash"
            );
        }
    }
    println!("{crashes} crashes at {tried} of {} points", points.len());
    // Group commit and the pace of the readable copy may save a call or two.
    assert!(
        crashes * 10 >= tried * 9,
        "only {crashes} of {tried} points were met"
    );
}

#[test]
fn a_recovery_that_crashes_again_and_again_ends_where_one_that_does_not() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let script = Script::reference();
    let runner = Runner {
        cluster: &cluster,
        host: &host,
        name: "a",
    };
    let middle = Point {
        from: From::Readiness,
        file: "gaggle.redb".into(),
        call: "pwrite64".to_owned(),
        number: 40,
    };
    let first = runner.kill_at(&middle);
    assert!(first.killed, "the script makes more than 40 writes");
    drop(first.member);
    let database = cluster.data("a").join("gaggle.redb");
    let mut crashes = 0;
    for call in ["ftruncate", "fdatasync", "pwrite64"] {
        for number in 1.. {
            let trace = Trace::kill(call, number).on(&database);
            let words = trace.start(Path::new("/dev/null"));
            let mut member = cluster.member(&host, "a").under(words).spawn();
            let recovered = member.ready_or_ended();
            member.crash();
            if recovered {
                break;
            }
            crashes += 1;
        }
    }
    assert!(crashes > 2, "a recovery writes");
    let again = cluster.member(&host, "a").start();
    script.check(
        again.client(),
        first.acknowledged,
        "after the last recovery",
    );
}
