//! Members that hold the same.

use std::time::Duration;

use super::member::Member;
use super::wait::{seconds, until};

/// Waits until all members hold the same: equal digests and byte-equal stores.
pub(crate) fn agree(members: &[Member]) {
    agree_within(members, seconds(40));
}

/// As [`agree`], with another limit.
pub(crate) fn agree_within(members: &[Member], limit: Duration) {
    let digests = || {
        members
            .iter()
            .map(|member| member.client().digest())
            .collect::<Vec<_>>()
    };
    let equal = |all: &Vec<String>| !all[0].is_empty() && all.iter().all(|one| *one == all[0]);
    until("all digests are equal", limit, digests, equal);
    let stores: Vec<String> = members
        .iter()
        .map(|member| member.client().store())
        .collect();
    assert!(
        stores.iter().all(|store| *store == stores[0]),
        "equal digests, other stores: {stores:?}"
    );
}
