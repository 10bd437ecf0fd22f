//! The power is cut right after acknowledgements, under load: what the kernel had not yet written
//! is gone, and every acknowledged write is there when the power is back.
//!
//! The cut is real as far as a file system can tell: ext4 on a loop device is shut down by its own
//! ioctl without another byte written, then mounted again with its journal replayed. Between the
//! moment when the kernel says that nothing more is written and the one when it stops the journal a
//! sync can still succeed whose data is lost (the conversion of a fresh extent fails unseen; a
//! plain program of pwrite and fdatasync meets it, too), which no disk does. So only what was
//! acknowledged before the cut began is judged. Where the kernel refuses the ioctl, or with
//! `GAGGLE_POWER_CUT=copy`, the member is frozen and the device copied as it is: the same to the
//! data, only the disk's own moment is less sharp.
//! `GAGGLE_POWER_CUTS` says how many cuts there are.

use std::path::Path;

use crate::harness::{Cluster, Lan, Load, PowerCut, SmallDisk, Trace, seconds, until};

/// Cuts in one run, unless `GAGGLE_POWER_CUTS` says otherwise.
const CUTS: u64 = 12;

#[test]
fn acknowledged_writes_survive_a_power_cut_under_load() {
    let cuts = std::env::var("GAGGLE_POWER_CUTS").ok();
    let cuts = cuts.and_then(|text| text.parse().ok()).unwrap_or(CUTS);
    let wish = std::env::var("GAGGLE_POWER_CUT").unwrap_or_default();
    let (lan, cluster, mut disk) = (Lan::new(), Cluster::new(), SmallDisk::new(64));
    let host = lan.host();
    let data = disk.path().join("data");
    let mut load = Load::new(4);
    let mut how = match wish.as_str() {
        "copy" => PowerCut::Copy,
        _ => PowerCut::Shutdown,
    };
    let mut acknowledged = 0;
    for cut in 0..cuts {
        let mut member = cluster.member(&host, "a").data(&data).start();
        let client = member.client().clone();
        load.check(&client);
        let mut running = load.start(&client, 4000);
        let enough = usize::try_from(1 + cut * 61 % 300).expect("a small number");
        let answered = || running.answered();
        until("writes are answered", seconds(30), answered, |n| {
            *n >= enough
        });
        running.about_to_cut();
        if how == PowerCut::Shutdown && !disk.shut_down() {
            println!("the kernel refuses to shut ext4 down: copies of the device instead");
            how = PowerCut::Copy;
        }
        if how == PowerCut::Copy {
            member.signal(rustix::process::Signal::STOP);
            disk.keep_as_it_is();
        }
        member.crash();
        acknowledged += running.finish().acknowledged;
        disk.power_up(how);
    }
    let again = cluster.member(&host, "a").data(&data).start();
    load.check(again.client());
    println!("{cuts} power cuts ({how:?}), {acknowledged} writes acknowledged");
    drop(again);
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out_by_the_check() {
    // Syncs that do nothing: a member that acknowledged too early would look like this.
    let (lan, cluster, mut disk) = (Lan::new(), Cluster::new(), SmallDisk::new(64));
    let host = lan.host();
    let data = disk.path().join("data");
    let lying = Trace::claim("fdatasync").start(Path::new("/dev/null"));
    let mut load = Load::new(4);
    let mut member = cluster.member(&host, "a").data(&data).under(lying).start();
    let running = load.start(member.client(), 4000);
    let answered = || running.answered();
    until("writes are answered", seconds(30), answered, |n| *n > 200);
    if !disk.shut_down() {
        println!("the kernel refuses to shut ext4 down: nothing to find out");
        return;
    }
    member.crash();
    assert!(running.finish().acknowledged > 200);
    disk.power_up(PowerCut::Shutdown);
    let again = cluster.member(&host, "a").data(&data).spawn();
    let lost = !again.ready_or_ended() || !load.wrong(again.client()).is_empty();
    assert!(lost, "nothing is lost where nothing was synced");
}

#[test]
fn a_power_cut_does_cut() {
    for how in [PowerCut::Shutdown, PowerCut::Copy] {
        let mut disk = SmallDisk::new(16);
        let (synced, lost) = (disk.path().join("synced"), disk.path().join("lost"));
        std::fs::write(&synced, "kept").expect("a file");
        let file = std::fs::File::open(&synced).expect("a file");
        file.sync_all().expect("a sync");
        std::fs::write(&lost, "never synced").expect("a file");
        match how {
            PowerCut::Shutdown if !disk.shut_down() => continue,
            PowerCut::Shutdown => {}
            PowerCut::Copy => disk.keep_as_it_is(),
        }
        drop(file);
        disk.power_up(how);
        assert_eq!(
            std::fs::read(&synced).ok().as_deref(),
            Some(&b"kept"[..]),
            "{how:?}"
        );
        let left = std::fs::read(&lost).unwrap_or_default();
        assert_ne!(left, b"never synced", "{how:?}");
    }
}
