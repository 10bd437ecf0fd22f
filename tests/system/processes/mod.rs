//! One process and its directory: crashes, stops, hand edits, full and forbidden disks.

mod directory;
mod full_disk;
mod hand_edits;
mod kill_nine;
mod stopping;
