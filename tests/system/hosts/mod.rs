//! Several hosts on one network: finding each other, cuts, moves, and those who do not belong.

mod absent;
mod addresses;
mod cuts;
mod discovery;
mod gaggle07;
mod names;
mod network;
mod strangers;
mod without_udp;
