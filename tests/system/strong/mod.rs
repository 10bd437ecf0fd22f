//! The strong side on real members: what a majority promises, through crashes, cuts, stopped
//! processes, disks that crawl or fail, and the loss of voters.

#[path = "../../strong/model.rs"]
mod model;

mod disturb;
mod failing_disk;
mod far_behind;
mod fuzzer;
mod history;
mod linearizable;
mod older;
mod pauses;
mod recovery;
mod steps;
mod streams;
mod survives;
mod waiters;
