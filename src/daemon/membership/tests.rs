//! Real sockets, real multicast, on the loopback interface and a port of our own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::*;
use crate::protocol::membership::MemberState;

/// Exchanges within this process: HTTPS ports and who answers there.
#[derive(Clone, Default)]
struct Switchboard(Arc<Mutex<BTreeMap<u16, mpsc::Sender<Asked>>>>);

struct Line {
    board: Switchboard,
    caller: MemberId,
}

impl Exchange for Line {
    fn exchange(
        &self,
        target: SocketAddr,
        _expected: Option<MemberId>,
        body: Bytes,
    ) -> BoxFuture<'_, Result<Bytes, String>> {
        self.call(target, Matter::State, body)
    }

    fn relay(
        &self,
        target: SocketAddr,
        _member: MemberId,
        body: Bytes,
    ) -> BoxFuture<'_, Result<Bytes, String>> {
        self.call(target, Matter::Datagrams, body)
    }
}

impl Line {
    fn call(
        &self,
        target: SocketAddr,
        matter: Matter,
        body: Bytes,
    ) -> BoxFuture<'_, Result<Bytes, String>> {
        Box::pin(async move {
            let door = self.board.0.lock().get(&target.port()).cloned();
            let door = door.ok_or("nobody there")?;
            let (reply, answer) = oneshot::channel();
            let asked = Asked {
                member: self.caller,
                matter,
                body,
                reply,
            };
            door.send(asked).await.map_err(|_| "gone")?;
            let answer = answer.await.map_err(|_| "no answer")?;
            answer.map_err(|error| error.to_string())
        })
    }
}

struct Member {
    tasks: Tasks,
    handle: MembershipHandle,
    root: watch::Sender<u128>,
    https_port: u16,
}

/// A UDP port that nobody uses now.
fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

fn config(number: u64, udp_port: u16) -> MembershipConfig {
    MembershipConfig {
        cluster: ClusterId::default(),
        member: MemberId::from_u64(number),
        generation: Generation::default(),
        boot: BootId::from_bytes(random::bytes16()),
        name: format!("member-{number}"),
        version: "0.1.0".to_owned(),
        https_port: 50_000 + u16::try_from(number).unwrap(),
        advertise: None,
        interfaces: InterfaceChoice::Only(vec!["127.0.0.1".to_owned()]),
        udp_port,
        discover: "multicast".parse().unwrap(),
        keys: vec![DatagramKey::from_bytes([7; 32])],
        forget_after: Duration::from_mins(10),
    }
}

fn launch(config: MembershipConfig, board: &Switchboard) -> Member {
    let tasks = Tasks::new();
    let (door, asked) = mpsc::channel(8);
    let (root, root_in) = watch::channel(0);
    let https_port = config.https_port;
    board.0.lock().insert(https_port, door);
    let exchange = Arc::new(Line {
        board: board.clone(),
        caller: config.member,
    });
    let doors = Doors {
        exchange,
        asked,
        root: root_in,
    };
    let handle = start(&tasks, config, doors).unwrap();
    Member {
        tasks,
        handle,
        root,
        https_port,
    }
}

/// Waits until the member's table is as wanted.
async fn wait(member: &mut Member, what: &str, wanted: impl Fn(&MemberTable) -> bool) {
    let table = &mut member.handle.table;
    let waiting = table.wait_for(|table| wanted(table));
    let limit = Duration::from_secs(20);
    let done = tokio::time::timeout(limit, waiting).await;
    assert!(
        done.is_ok_and(|seen| seen.is_ok()),
        "{what}: {:?}",
        *member.handle.table.borrow()
    );
}

fn state_of(table: &MemberTable, number: u64) -> Option<MemberState> {
    table.find(MemberId::from_u64(number)).map(|row| row.state)
}

#[tokio::test]
async fn three_members_on_one_host_find_each_other_by_multicast() {
    let board = Switchboard::default();
    let port = free_port();
    let mut members: Vec<Member> = (1..=3)
        .map(|number| launch(config(number, port), &board))
        .collect();
    for member in &mut members {
        let https_port = member.https_port;
        wait(member, "all are found", |t| t.live().count() == 2).await;
        let table = Arc::clone(&member.handle.table.borrow());
        assert_eq!(table.me.https.port(), https_port);
        for row in table.live() {
            assert_eq!(
                row.https.port(),
                50_000 + u16::try_from(row.id.as_u64()).unwrap()
            );
        }
    }
    let mut udp: Vec<_> = members
        .iter()
        .map(|m| m.handle.table.borrow().me.udp)
        .collect();
    udp.sort_unstable();
    udp.dedup();
    assert_eq!(udp.len(), 3, "each has its own address for datagrams");

    members[0].root.send_replace(42);
    let told = |table: &MemberTable| {
        let row = table.find(MemberId::from_u64(1));
        row.is_some_and(|row| row.root.is_some_and(|heard| heard.root == 42))
    };
    wait(&mut members[1], "the root is told", told).await;

    let first = members.remove(0);
    assert!(first.tasks.stop(Duration::from_secs(10)).await);
    for member in &mut members {
        let left = |t: &MemberTable| state_of(t, 1) == Some(MemberState::Left);
        wait(member, "the goodbye is heard", left).await;
    }
    board.0.lock().remove(&first.https_port);
    members.push(launch(config(1, port), &board));
    for member in &mut members {
        wait(member, "it is back", |t| t.live().count() == 2).await;
    }
}

#[tokio::test]
async fn seeds_find_each_other_without_multicast() {
    let board = Switchboard::default();
    let port = free_port();
    let quiet = |number| MembershipConfig {
        discover: "static:127.0.0.1:50001".parse().unwrap(),
        ..config(number, port)
    };
    let mut members: Vec<Member> = (1..=3).map(|n| launch(quiet(n), &board)).collect();
    for member in &mut members {
        wait(member, "all are found", |t| t.live().count() == 2).await;
    }
}

#[tokio::test]
async fn a_second_process_under_one_id_is_refused() {
    let board = Switchboard::default();
    let port = free_port();
    let mut first = launch(config(1, port), &board);
    let mut other = launch(config(2, port), &board);
    wait(&mut first, "they know each other", |t| {
        t.live().count() == 1
    })
    .await;
    let copy = MembershipConfig {
        https_port: 50_009,
        ..config(1, port)
    };
    let mut copy = launch(copy, &board);
    let alarm = |member: &mut Member| {
        let alarms = std::mem::replace(&mut member.handle.alarms, mpsc::channel(1).1);
        async move {
            let mut alarms = alarms;
            let limit = Duration::from_secs(20);
            tokio::time::timeout(limit, alarms.recv())
                .await
                .unwrap()
                .unwrap()
        }
    };
    let refused = alarm(&mut copy).await;
    assert!(
        matches!(refused, Alarm::RefusedAsDuplicate { .. }),
        "{refused}"
    );
    let noticed = alarm(&mut first).await;
    assert!(matches!(noticed, Alarm::Duplicate { .. }), "{noticed}");
    let kept = |t: &MemberTable| {
        let row = t.find(MemberId::from_u64(1));
        row.is_some_and(|row| row.state == MemberState::Alive && row.https.port() == 50_001)
    };
    wait(&mut other, "the first one stays", kept).await;
}
