//! What the tests stand on: programs to run, hosts on a bridge, members, clients, small disks.

mod client;
mod disk;
mod lan;
mod load;
mod member;
mod program;
mod wait;

pub(crate) use client::{Client, Reply};
pub(crate) use disk::SmallDisk;
pub(crate) use lan::{Host, Lan};
pub(crate) use load::Load;
pub(crate) use member::{Cluster, Ended, Member, Serve};
pub(crate) use program::{binary, run, run_with, scratch};
pub(crate) use wait::{seconds, until, within};
