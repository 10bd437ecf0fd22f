//! The program as its users see it: command lines, exit codes, what is on stdout and on stderr.
//!
//! Every member here is a real one, alone on the loopback, with its own data directory and a port
//! that the system chose.

mod asking;
mod demo;
mod harness;
mod looking;
mod past;
mod quorum;
mod refusing;
mod strong;
mod terminal;
mod verifying;
mod waiting;
mod without_member;
mod writing;
