//! What is in `deploy/`, and what it rests on: the unit of systemd, and what a member tells its
//! service manager. (The manifests for Kubernetes are checked by `kubernetes.py` beside this file.)
//!
//! | file | what it asks |
//! |---|---|
//! | `notify` | ready, reloading, stopping, signs of life, over the manager's socket |
//! | `service` | `gaggle service`: the unit that it writes, as systemd reads it; what it refuses |

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where by its backtrace"
)]

#[expect(dead_code, reason = "some of it is for the tests of the command line")]
#[path = "../cli/harness.rs"]
mod harness;
mod notify;
mod service;
