//! Real processes, hosts and containers: the release binary as its users run it.
//!
//! Needs root, Debian's tools and docker; `tests/run` brings them and asks for the feature
//! `system-tests`, without which this file is not built. Every member runs in a network namespace
//! behind a bridge that the test made, so nothing leaves the machine.

mod containers;
mod faults;
mod harness;
mod hosts;
mod processes;
mod strong;
mod zgossip;
