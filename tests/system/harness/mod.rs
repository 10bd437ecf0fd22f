//! What the tests stand on: programs to run, hosts on a bridge, members, clients, small disks.

mod agree;
mod caller;
mod client;
mod clock;
mod container;
mod disk;
mod image;
mod impostor;
mod lan;
mod load;
mod member;
mod names;
mod program;
mod script;
mod trace;
mod wait;
mod wire;

pub(crate) use agree::{agree, agree_within};
pub(crate) use caller::{Became, Caller, Exchange, post, put};
pub(crate) use client::{Client, Reply};
pub(crate) use clock::Clock;
pub(crate) use container::Container;
pub(crate) use disk::{PowerCut, SmallDisk};
pub(crate) use image::{Image, Said, ask_docker, docker, try_docker};
pub(crate) use impostor::{Impostor, certificate};
pub(crate) use lan::{Host, Lan};
pub(crate) use load::Load;
pub(crate) use member::{Cluster, Ended, Member, PASSWORD};
pub(crate) use names::{Mood, NameServer};
pub(crate) use program::{binary, run, scratch};
pub(crate) use script::{Script, acknowledged};
pub(crate) use trace::{Trace, calls};
pub(crate) use wait::{seconds, throughout, until, within};
pub(crate) use wire::{Datagram, Forger, overhear};
