//! Groups of members in one process: founding, leading, reading, losing and coming back.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where by its backtrace"
)]

mod changing;
mod embedding;
mod forming;
mod handing_over;
mod linearizable;
mod model;
mod net;
mod older;
mod resetting;
mod snapshots;
mod steps;
mod surviving;
