//! Those who do not belong: whatever they say, they get no answer, no credentials, and no data.

use std::fs;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::discovery::agree;
use crate::harness::{
    Cluster, Datagram, Forger, Host, Impostor, Lan, Member, certificate, overhear, scratch,
    seconds, until,
};

/// Two members that know each other and hold something worth having, and a host beside them.
fn two_and_a_stranger(lan: &Lan, cluster: &Cluster) -> (Vec<Host>, Vec<Member>, Host) {
    let hosts = lan.hosts::<2>().to_vec();
    let members = cluster.start_on(&hosts);
    assert_eq!(
        members[0]
            .client()
            .put("/v1/store/web/colour", "ultramarine")
            .status,
        201
    );
    agree(&members);
    (hosts, members, lan.host())
}

/// All is as before: two members, alive, agreeing, and still working together.
fn unharmed(members: &[Member]) {
    for member in members {
        member.wait_alive(2);
        assert_eq!(member.client().members().len(), 2);
    }
    assert!(
        members[1]
            .client()
            .put("/v1/store/web/after", "all well")
            .status
            < 300
    );
    agree(members);
}

fn watch_answers_to(lan: &Lan, stranger: &Host) {
    lan.count(&format!("ether type ip ip daddr {}", stranger.address()));
}

#[test]
fn garbage_and_forged_beacons_are_dropped_without_an_answer() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let (_, members, stranger) = two_and_a_stranger(&lan, &cluster);
    let seed = 0x6a66_1e00;
    let mut rng = StdRng::seed_from_u64(seed);
    let mouth = stranger.enter(|| UdpSocket::bind(SocketAddr::from((stranger.address(), 2900))));
    let mouth = mouth.expect("the stranger's own port");
    watch_answers_to(&lan, &stranger);
    let before = members[0].client().dropped();
    let beacon = "{\r\n\"service\":\"test\",\r\n\"host\":\"vm\"\r\n}";
    for round in 0..4000_usize {
        let mut noise = vec![0; rng.random_range(0..1400)];
        rng.fill_bytes(&mut noise);
        for to in ["224.0.0.1:2900", "10.77.0.1:2900", "10.77.0.2:2900"] {
            let said = if round % 10 == 0 {
                beacon.as_bytes()
            } else {
                &noise
            };
            // A full send buffer drops it, as a network may.
            let _ = mouth.send_to(said, to);
        }
    }
    let thrown_away = || members[0].client().dropped() - before;
    until("the noise was heard", seconds(20), thrown_away, |count| {
        *count >= 500.0
    });
    unharmed(&members);
    assert_eq!(lan.counted(), (0, 0), "the stranger was answered");
}

#[test]
fn datagrams_said_again_by_a_stranger_change_nothing() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let (hosts, mut members, stranger) = two_and_a_stranger(&lan, &cluster);
    let recorded = overhear(&lan, &[&hosts[0], &hosts[1]], 12, seconds(40));
    let forger = Forger::on(&stranger);
    watch_answers_to(&lan, &stranger);
    let before = members[0].client().dropped();
    let own = SocketAddrV4::new("10.77.0.3".parse().expect("an address"), 2900);
    for datagram in &recorded {
        forger.say(datagram);
        let in_own_name = Datagram {
            from: own,
            ..datagram.clone()
        };
        forger.say(&in_own_name);
        for member in ["10.77.0.1:2900", "10.77.0.2:2900"] {
            forger.say(&Datagram {
                to: member.parse().expect("an address"),
                ..in_own_name.clone()
            });
        }
    }
    let thrown_away = || members[0].client().dropped() - before;
    until("the replay was heard", seconds(20), thrown_away, |count| {
        *count >= 12.0
    });
    unharmed(&members);
    assert_eq!(lan.counted(), (0, 0), "the stranger was answered");
    // A member that said goodbye does not come back to life by its own old words.
    members[1].stop();
    let state = || {
        members[0]
            .client()
            .members()
            .into_iter()
            .map(|(_, _, state)| state)
            .collect()
    };
    let left = |states: &Vec<String>| states.iter().any(|state| state == "left");
    until("the goodbye is known", seconds(10), state, left);
    let before = members[0].client().dropped();
    for datagram in recorded
        .iter()
        .filter(|datagram| *datagram.from.ip() == hosts[1].address())
    {
        forger.say(datagram);
    }
    let thrown_away = || members[0].client().dropped() - before;
    until("the replay was heard", seconds(20), thrown_away, |count| {
        *count >= 5.0
    });
    assert!(left(&state()), "{:?}", state());
    assert_eq!(members[0].client().alive(), 1);
}

#[test]
fn a_peer_with_a_certificate_of_its_own_making_gets_no_credentials_and_no_data() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let (hosts, members, mut stranger) = two_and_a_stranger(&lan, &cluster);
    // The stranger sits at the address where the others know a member.
    let own = stranger.address();
    stranger.step_into(&hosts[1]);
    let impostor = Impostor::on(&stranger);
    let mut written = 0;
    let called = || {
        written += 1;
        let path = format!("/v1/store/web/secret-{written}");
        assert_eq!(
            members[0].client().put(&path, "not for strangers").status,
            201
        );
        impostor.connections()
    };
    until("the impostor was called", seconds(40), called, |calls| {
        *calls >= 3
    });
    assert_eq!(impostor.bytes(), 0, "the impostor was told something");
    drop(impostor);
    stranger.step_back(own, &hosts[1]);
    unharmed(&members);
}

#[test]
fn a_client_with_a_certificate_of_its_own_making_is_no_peer() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let (_, members, stranger) = two_and_a_stranger(&lan, &cluster);
    let folder = scratch();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let (cert_pem, key_pem) = certificate(&stranger);
    fs::write(&cert, cert_pem).expect("a file");
    fs::write(&key, key_pem).expect("a file");
    let (cert, key) = (cert.to_string_lossy(), key.to_string_lossy());
    let mut asks = members[0].client().moved_to(&stranger);
    for user in [asks.user.clone(), "admin:wrong".to_owned()] {
        asks.user = user;
        for path in [
            "/v1/peer",
            "/v1/peer/push",
            "/v1/peer/sync",
            "/v1/peer/state",
            "/v1/peer/x",
        ] {
            for method in ["GET", "POST", "PUT"] {
                for with in [&["--cert", &*cert, "--key", &*key][..], &[]] {
                    let options = [&["-X", method, "--data-binary", "{}"], with].concat();
                    let reply = asks.ask(&options, path);
                    assert!(
                        matches!(reply.status, 0 | 401 | 404),
                        "{method} {path}: {reply:?}"
                    );
                    assert!(
                        !reply.body.contains("ultramarine"),
                        "{method} {path}: {reply:?}"
                    );
                }
            }
        }
    }
    let nobody = asks.ask(&["--user", ":"], "/v1/store");
    assert_eq!(nobody.status, 401);
}
