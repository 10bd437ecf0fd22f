//! A member is its id, never its address: addresses may change under running members.

use super::discovery::agree;
use crate::harness::{Cluster, Lan, Member, seconds, until};

fn knows(witness: &Member, address: &str) {
    let known = || witness.client().members();
    let alive_there = |members: &Vec<(String, String, String)>| {
        members
            .iter()
            .any(|(_, at, state)| at == address && state == "alive")
    };
    until(
        &format!("{address} is known"),
        seconds(60),
        known,
        alive_there,
    );
}

/// A client writes at the member's new address; its certificate is for that address soon.
fn written(member: &Member, key: &str) {
    let write = || member.client().put(&format!("/v1/store/web/{key}"), "x");
    until("a client is served there", seconds(10), write, |reply| {
        reply.status == 201
    });
}

#[test]
fn a_member_whose_address_changes_while_it_runs_is_found_again() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let mut hosts = lan.hosts::<3>();
    let mut members = cluster.start_on(&hosts);
    assert_eq!(
        members[0].client().put("/v1/store/web/before", "x").status,
        201
    );
    agree(&members);
    hosts[1].move_to(2);
    members[1].moved_to(&hosts[1]);
    knows(&members[0], "10.77.1.2:8000");
    knows(&members[2], "10.77.1.2:8000");
    written(&members[0], "to");
    written(&members[1], "fro");
    agree(&members);
    assert_eq!(
        members[0].client().members().len(),
        3,
        "no ghost of the old address stays"
    );
}

#[test]
fn members_find_each_other_again_when_all_addresses_change_at_once() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let mut hosts = lan.hosts::<3>();
    let mut members = cluster.start_on(&hosts);
    assert_eq!(
        members[0].client().put("/v1/store/web/before", "x").status,
        201
    );
    agree(&members);
    // The addresses are dealt out anew, so that each is where another was not.
    for (number, last) in [(0, 30), (1, 10), (2, 20)] {
        hosts[number].move_to(last);
        members[number].moved_to(&hosts[number]);
    }
    for member in &members {
        for address in ["10.77.1.30:8000", "10.77.1.10:8000", "10.77.1.20:8000"] {
            knows(member, address);
        }
    }
    written(&members[2], "after");
    agree(&members);
    assert_eq!(
        members[0].client().members().len(),
        3,
        "no ghosts of the old addresses stay"
    );
}
