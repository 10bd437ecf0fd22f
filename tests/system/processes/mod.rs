//! One process and its directory: crashes, stops, hand edits, full and forbidden disks, and
//! what it writes to its log.

mod directory;
mod full_disk;
mod hand_edits;
mod kill_nine;
mod quiet_logs;
mod stopping;
