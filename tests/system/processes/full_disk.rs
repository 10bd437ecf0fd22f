//! A full disk: writes are refused with 507, reads go on, deletions stay possible, and it heals
//! by itself when there is space again.

use std::fs;

use crate::harness::{Cluster, Lan, SmallDisk, seconds, until};

#[test]
fn a_full_disk_refuses_writes_and_heals_by_itself() {
    let (lan, cluster, disk) = (Lan::new(), Cluster::new(), SmallDisk::new(48));
    let host = lan.host();
    let data = disk.path().join("data");
    let mut member = cluster.member(&host, "a").data(&data).start();
    let client = member.client().clone();
    let value = "x".repeat(64 << 10);
    for n in 0..20 {
        assert_eq!(
            client.put(&format!("/v1/store/web/key-{n}"), &value).status,
            201
        );
    }
    for round in 0..2 {
        let ballast = disk.fill();
        let mut accepted = 0;
        let put = || {
            accepted += 1;
            client.put(&format!("/v1/store/full/key-{round}-{accepted}"), &value)
        };
        let refused = until("a write is refused", seconds(60), put, |reply| {
            reply.status != 201
        });
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (507, "disk-full"),
            "{refused:?}"
        );
        assert_eq!(refused.json()["outcome"], "not-applied");
        let last = client.get(&format!("/v1/store/full/key-{round}-{accepted}"));
        assert_eq!(last.status, 404, "what was refused is not there");
        assert_eq!(client.get("/v1/store/web/key-5").body, value, "reads go on");
        assert_eq!(client.get("/v1/status").json()["disk"]["state"], "full");
        let deleted = client.delete(&format!("/v1/store/web/key-{round}"));
        assert_eq!(deleted.status, 204, "deletions stay possible: {deleted:?}");
        fs::remove_file(ballast).expect("root may remove it");
        let write = || client.put(&format!("/v1/store/web/after-{round}"), "there is space");
        until("it heals by itself", seconds(10), write, |reply| {
            matches!(reply.status, 201 | 204)
        });
        assert_eq!(client.get("/v1/status").json()["disk"]["state"], "ok");
    }
    let before = client.store();
    member.crash();
    let again = cluster.member(&host, "a").data(&data).start();
    assert_eq!(
        again.client().store(),
        before,
        "all that was told before is there after a crash"
    );
}
