//! What a cluster of memberships does where UDP does not pass, or only one way.

use std::time::Duration;

use super::relay::Parcel;
use super::simulation::{World, id};
use super::*;
use crate::protocol::envelope::Kind;

const SECOND: Duration = Duration::from_secs(1);

/// Members that know each other, at peace.
fn settled(size: usize, seed: u64) -> World {
    let mut world = World::of(size, seed, 0.0, Duration::from_millis(300));
    world.wait(30 * SECOND, "all join", |world| world.all_see(size - 1));
    world.run(12 * SECOND);
    world
}

fn block_udp(world: &mut World) {
    (world.unicast, world.multicast) = (false, false);
}

fn unblock_udp(world: &mut World) {
    (world.unicast, world.multicast) = (true, true);
}

/// How many members each running process sees over HTTPS only.
fn over_https(world: &World) -> Vec<usize> {
    let running = world.nodes.iter().filter(|node| node.running);
    let count = |node: &super::simulation::Node| {
        let table = node.membership.table();
        table.live().filter(|row| row.https_only).count()
    };
    running.map(count).collect()
}

fn assert_nobody_was_taken_for_dead(world: &World) {
    for node in &world.nodes {
        let gone = node.seen.iter().filter(|(_, state)| !state.is_live());
        assert_eq!(gone.count(), 0, "{:?}", node.seen);
        let me = node.membership.me();
        assert_eq!(me.generation, me.started, "nobody told it that it was dead");
    }
}

#[test]
fn nobody_dies_when_udp_is_blocked_and_it_is_said() {
    for (size, seeds) in [(2, 3), (3, 3), (8, 2), (20, 1)] {
        for seed in 0..seeds {
            let mut world = settled(size, seed);
            assert_eq!(world.relays, 0, "nothing is relayed while datagrams pass");
            block_udp(&mut world);
            let all = vec![size - 1; size];
            world.wait(60 * SECOND, "it is said", |world| over_https(world) == all);
            world.run(100 * SECOND);
            assert_nobody_was_taken_for_dead(&world);
            assert!(world.all_see(size - 1));
        }
    }
}

#[test]
fn a_crash_is_known_soon_where_udp_is_blocked() {
    let mut worst = Duration::ZERO;
    for size in [2, 3, 5, 8, 16] {
        for seed in 0..3 {
            let mut world = settled(size, seed);
            block_udp(&mut world);
            world.run(20 * SECOND);
            world.crash(1);
            let dead = |world: &World| world.all_say(id(1), MemberState::Dead);
            worst = worst.max(world.wait(8 * SECOND, "the crash is known", dead));
        }
    }
    println!("{worst:?}");
}

#[test]
fn members_that_only_reach_each_other_over_https_join_and_stay() {
    let mut world = World::new(1, 0.0);
    block_udp(&mut world);
    for number in 0..3 {
        let start = world.usual(number);
        world.start(start);
        let seeds = (0..3).map(|other| {
            let mut https = super::simulation::address(other);
            https.set_port(8_000);
            https
        });
        world.tell(number, Event::Seeds(seeds.collect()));
    }
    world.wait(5 * SECOND, "all join", |world| world.all_see(2));
    world.run(120 * SECOND);
    assert_nobody_was_taken_for_dead(&world);
    assert_eq!(over_https(&world), [2, 2, 2]);
    world.tell(0, Event::Leave);
    let left = |world: &World| world.all_say(id(0), MemberState::Left);
    world.wait(2 * SECOND, "the goodbye is known", left);
}

#[test]
fn datagrams_take_the_straight_way_again_when_it_is_free() {
    for size in [2, 3, 10] {
        let mut world = settled(size, 4);
        block_udp(&mut world);
        world.run(60 * SECOND);
        unblock_udp(&mut world);
        let straight = vec![0; size];
        world.wait(20 * SECOND, "it is straight", |world| {
            over_https(world) == straight
        });
        world.run(20 * SECOND);
        let before = world.relays;
        world.run(60 * SECOND);
        assert_eq!(world.relays, before, "nothing is relayed any more");
        assert_nobody_was_taken_for_dead(&world);
    }
}

#[test]
fn a_link_that_passes_datagrams_one_way_only_is_relayed_that_way() {
    for seed in 0..3 {
        let mut world = settled(2, seed);
        world.deaf.insert((0, 1));
        world.run(60 * SECOND);
        assert_nobody_was_taken_for_dead(&world);
        let sees = |place: usize, other: usize| {
            let table = world.nodes[place].membership.table();
            table.find(id(other)).unwrap().https_only
        };
        assert!(sees(0, 1), "what the first sends does not arrive");
        assert!(!sees(1, 0), "what the second sends does");
    }
}

#[test]
fn slow_https_keeps_members_alive_where_udp_is_blocked() {
    for size in [2, 3, 6] {
        let mut world = settled(size, 7);
        world.slow_https = Duration::from_millis(400);
        block_udp(&mut world);
        world.run(200 * SECOND);
        for node in &world.nodes {
            let dead = node.seen.iter().filter(|(_, state)| !state.is_live());
            assert_eq!(dead.count(), 0, "{:?}", node.seen);
        }
        assert!(world.all_see(size - 1));
    }
}

#[test]
fn relays_are_bounded_at_any_size() {
    let mut world = settled(30, 3);
    block_udp(&mut world);
    world.run(30 * SECOND);
    let before = world.relays;
    world.run(60 * SECOND);
    let each = f64::from(world.relays - before) / 60.0 / 30.0;
    assert!(each < 16.0, "{each} requests a second of each member");
    assert_nobody_was_taken_for_dead(&world);
}

#[test]
fn lost_datagrams_make_few_relays_and_no_talk_of_a_blocked_network() {
    let mut world = World::of(5, 2, 0.05, Duration::from_millis(300));
    world.wait(30 * SECOND, "all join", |world| world.all_see(4));
    world.run(600 * SECOND);
    assert_eq!(over_https(&world), [0; 5]);
    assert_nobody_was_taken_for_dead(&world);
    let each = f64::from(world.relays) / 600.0 / 5.0;
    assert!(each < 3.0, "{each} requests a second of each member");
}

#[test]
fn what_is_no_parcel_is_refused() {
    let mut world = settled(2, 1);
    let now = world.now;
    let membership = &mut world.nodes[0].membership;
    for bytes in [&b""[..], b"x", b"\x01", b"\x02\0\0\0", &[0xff; 200]] {
        let answer = membership.relayed(now, id(1), bytes, &mut vec![]);
        assert!(answer.is_err(), "{bytes:?}");
    }
    let large = vec![0; PARCEL_LIMIT + 1];
    assert!(membership.relayed(now, id(1), &large, &mut vec![]).is_err());
}

#[test]
fn a_member_can_relay_no_datagrams_of_another() {
    let mut world = settled(3, 1);
    let now = world.now;
    let third = &mut world.nodes[2].membership;
    let leaving = Identity {
        leaving: true,
        ..third.me().renewed(third.me().generation.next())
    };
    let goodbye = |third: &mut Membership| {
        let payload = beacon::encode(&leaving);
        let datagram = third.seal(now, Kind::Goodbye, &payload).unwrap();
        Parcel {
            datagrams: vec![datagram],
            ..Parcel::default()
        }
    };
    let (stolen, own) = (goodbye(third).encode(), goodbye(third).encode());
    let state = |world: &World| world.nodes[0].membership.swim.find(id(2)).unwrap().state();
    let mut out = vec![];
    let first = &mut world.nodes[0].membership;
    first.relayed(now, id(1), &stolen, &mut out).unwrap();
    assert_eq!(state(&world), foca::State::Alive);
    let first = &mut world.nodes[0].membership;
    first.relayed(now, id(2), &own, &mut out).unwrap();
    assert_eq!(state(&world), foca::State::Down);
}

#[test]
fn a_peer_that_does_not_answer_gets_one_request_at_a_time_and_few_datagrams_wait() {
    let mut world = settled(2, 1);
    let now = world.now;
    let membership = &mut world.nodes[0].membership;
    let mut out = vec![];
    let deaf = Parcel {
        deaf: true,
        ..Parcel::default()
    };
    membership
        .relayed(now, id(1), &deaf.encode(), &mut out)
        .unwrap();
    for _ in 0..200 {
        let to = membership.me().udp;
        membership.post(now, id(1), to, (Kind::Root, b""), &mut out);
        membership.flush(now, &mut out);
    }
    let relays = |out: &[Effect]| {
        let all = out
            .iter()
            .filter(|effect| matches!(effect, Effect::Relay { .. }));
        all.count()
    };
    assert_eq!(relays(&out), 1);
    let answer = Some(Parcel::default().encode());
    let later = now.plus(SECOND);
    membership.on_event(
        later,
        Event::Relayed {
            member: id(1),
            answer,
        },
        &mut out,
    );
    let parcels = out.iter().filter_map(|effect| match effect {
        Effect::Relay { body, .. } => Some(Parcel::decode(body).unwrap().datagrams.len()),
        _ => None,
    });
    let parcels: Vec<usize> = parcels.collect();
    assert_eq!(
        parcels,
        [1, 32],
        "the next goes when the first has ended, with the newest"
    );
}

#[test]
fn beacons_that_pass_do_not_hide_that_datagrams_to_single_members_do_not() {
    let mut world = settled(3, 5);
    world.unicast = false;
    world.wait(20 * SECOND, "it is said", |world| {
        over_https(world) == [2; 3]
    });
    for _ in 0..30 {
        world.run(SECOND);
        assert_eq!(over_https(&world), [2; 3]);
    }
    assert_nobody_was_taken_for_dead(&world);
}
