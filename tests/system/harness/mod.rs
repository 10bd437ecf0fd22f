//! What the tests stand on: programs to run, hosts on a bridge, members, clients, small disks.

mod client;
mod container;
mod disk;
mod image;
mod impostor;
mod lan;
mod load;
mod member;
mod program;
mod wait;
mod wire;

pub(crate) use client::Client;
pub(crate) use container::Container;
pub(crate) use disk::SmallDisk;
pub(crate) use image::{Image, Said, ask_docker, docker, try_docker};
pub(crate) use impostor::{Impostor, certificate};
pub(crate) use lan::{Host, Lan};
pub(crate) use load::Load;
pub(crate) use member::{Cluster, Ended, Member, PASSWORD};
pub(crate) use program::{run, scratch};
pub(crate) use wait::{seconds, until, within};
pub(crate) use wire::{Datagram, Forger, overhear};
