//! Faults of the world below and around a member: crashes, power cuts, disks that fail or crawl,
//! clocks that lie, peers that stop, links that lose.

mod ahead;
mod back_pressure;
mod causal;
mod clocks;
mod copies;
mod crash_points;
mod descriptors;
mod failing_disk;
mod hand_made;
mod links;
mod order;
mod power_cut;
mod rotation;
mod stops;
