//! A new secret, one member after another, while the cluster goes on: first the members learn to
//! accept the new one, then to use it, then to forget the old one.

use std::fs;

use crate::harness::{Cluster, Host, Lan, Member, agree, seconds, until};

fn put(member: &Member, key: &str) {
    let reply = member.client().put(&format!("/v1/store/web/{key}"), "x");
    assert_eq!(reply.status, 201, "{key}: {reply:?}");
}

/// Restarts the members one after another with this value of the secret; after each the cluster is
/// whole and takes writes everywhere.
fn roll(cluster: &Cluster, hosts: &[Host; 3], members: &mut [Member], secret: &str, round: &str) {
    let names = ["a", "b", "c"];
    for number in 0..members.len() {
        members[number].stop();
        let again = cluster.member(&hosts[number], names[number]);
        members[number] = again.setting("GAGGLE_SECRET", secret).start();
        for member in members.iter() {
            member.wait_alive(3);
        }
        for (at, member) in members.iter().enumerate() {
            put(member, &format!("{round}-{number}-{at}"));
        }
        agree(members);
    }
}

#[test]
fn a_secret_is_changed_on_a_running_cluster_without_a_gap() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut members = cluster.start_on(&hosts);
    put(&members[0], "before");
    let (old, new) = (cluster.secret().to_owned(), Cluster::new());
    // Clients trust both while it lasts.
    let both = [cluster.ca(), new.ca()].map(|path| fs::read_to_string(path).expect("a file"));
    fs::write(cluster.ca(), both.concat()).expect("an own file");
    let new = new.secret();
    roll(
        &cluster,
        &hosts,
        &mut members,
        &format!("{old},{new}"),
        "accepts",
    );
    roll(
        &cluster,
        &hosts,
        &mut members,
        &format!("{new},{old}"),
        "uses",
    );
    roll(&cluster, &hosts, &mut members, new, "forgets");
    // Who still has only the old one is a stranger now.
    let late = cluster.member(&lan.host(), "late").start();
    let seen = || late.client().dropped() + members[0].client().dropped();
    until("they heard of each other", seconds(30), seen, |count| {
        *count > 0.0
    });
    assert_eq!((late.client().alive(), members[0].client().alive()), (1, 3));
    assert_eq!(late.client().get("/v1/store/web/before").status, 404);
    assert_eq!(members[1].client().get("/v1/store/web/before").status, 200);
}
