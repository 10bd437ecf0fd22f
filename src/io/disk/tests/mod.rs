//! Tests of the disk: what is written is there again, whatever happens in between.

mod audit;
mod crash;
mod damage;
mod directory;
mod faults;
mod member;
mod reload;
mod rescue;
mod script;
mod sim;
mod strong;
mod strong_damage;
mod strong_faults;
mod strong_model;

use super::Opening;
use crate::model::{MemberId, WallTime};

/// An opening of the cluster "test" at second `second`.
fn opening(second: u64) -> Opening {
    Opening {
        cluster: "test".parse().unwrap(),
        member: MemberId::from_u64(7),
        now: WallTime::from_millis(second * 1000),
        cache: 1 << 20,
    }
}
