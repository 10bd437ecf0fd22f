//! A data directory that is older than what its member once said: put back from a backup. What the
//! member had told its peers comes back to it, and nothing that was deleted does.

use crate::harness::{Cluster, Lan, Member, agree, run};

fn put(member: &Member, key: &str, value: &str) {
    let reply = member.client().put(&format!("/v1/store/web/{key}"), value);
    assert!(matches!(reply.status, 201 | 204), "{key}: {reply:?}");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    run(&["rm", "-rf", &to.to_string_lossy()]);
    run(&["cp", "-a", &from.to_string_lossy(), &to.to_string_lossy()]);
}

/// Starts again with the backup; `meets` says whether its peer is there when it starts.
fn check(meets: bool) {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<2>();
    let mut members = cluster.start_on(&hosts);
    for key in ["kept", "changed", "deleted"] {
        put(&members[0], key, "at the time of the backup");
    }
    agree(&members);
    members[0].stop();
    let (data, backup) = (cluster.data("a"), cluster.data("backup"));
    copy(&data, &backup);
    members[0] = cluster.member(&hosts[0], "a").start();
    put(&members[0], "changed", "after the backup");
    put(&members[0], "new", "after the backup");
    assert_eq!(
        members[0].client().delete("/v1/store/web/deleted").status,
        204
    );
    agree(&members);
    members[0].crash();
    copy(&backup, &data);
    if !meets {
        lan.cut(&[&hosts[0]], &[&hosts[1]]);
    }
    members[0] = cluster.member(&hosts[0], "a").start();
    // It writes before it has learned what it once knew.
    put(&members[0], "own", "of the copy");
    lan.heal();
    for member in &members {
        member.wait_alive(2);
    }
    agree(&members);
    let store = members[0].client().store_json();
    assert_eq!(store["web"]["kept"], "at the time of the backup", "{store}");
    assert_eq!(store["web"]["changed"], "after the backup", "{store}");
    assert_eq!(store["web"]["new"], "after the backup", "{store}");
    assert_eq!(store["web"]["own"], "of the copy", "{store}");
    assert_eq!(store["web"].get("deleted"), None, "{store}");
    put(&members[0], "changed", "again");
    agree(&members);
    assert_eq!(
        members[1].client().get("/v1/store/web/changed").body,
        "again"
    );
}

#[test]
fn a_member_put_back_from_a_backup_gets_back_what_it_had_told_its_peers() {
    check(true);
}

#[test]
fn a_member_put_back_while_cut_off_writes_and_still_gets_all_of_it_back() {
    check(false);
}
