//! What a cluster of memberships does: joins, crashes, cuts, clones, in simulated worlds.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::idle_tests::digest_asked;
use super::simulation::{Start, World, address, id};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Members that know each other and have calmed down.
fn settled(size: usize, seed: u64, loss: f64) -> World {
    let mut world = World::of(size, seed, loss, Duration::from_millis(300));
    world.wait(30 * SECOND, "all join", |world| world.all_see(size - 1));
    world.run(12 * SECOND);
    world
}

#[test]
fn members_that_start_together_know_each_other_within_two_seconds() {
    for size in [2, 3, 5, 16] {
        for seed in 0..5 {
            let mut world = World::of(size, seed, 0.0, Duration::from_millis(300));
            world.wait(2 * SECOND, "all join", |world| world.all_see(size - 1));
        }
        let mut world = World::of(size, 9, 0.05, Duration::from_millis(300));
        world.wait(4 * SECOND, "all join", |world| world.all_see(size - 1));
    }
}

#[test]
fn a_hundred_members_that_start_together_all_know_each_other() {
    let mut world = World::of(100, 1, 0.01, SECOND);
    let took = world.wait(20 * SECOND, "all join", |world| world.all_see(99));
    println!("{took:?}");
}

#[test]
fn a_crash_is_known_to_all_within_five_seconds() {
    let mut worst = Duration::ZERO;
    for size in [3, 4, 5, 8, 16] {
        for (seed, loss) in [(1, 0.0), (2, 0.0), (3, 0.05), (4, 0.05)] {
            let mut world = settled(size, seed, loss);
            world.crash(1);
            let dead = |world: &World| world.all_say(id(1), MemberState::Dead);
            let took = world.wait(5 * SECOND, "the crash is known", dead);
            worst = worst.max(took);
        }
    }
    println!("{worst:?}");
}

#[test]
fn nobody_is_taken_for_dead_who_is_not() {
    for (size, loss) in [(2, 0.05), (3, 0.05), (8, 0.05), (5, 0.0)] {
        let mut world = settled(size, 5, loss);
        world.run(600 * SECOND);
        for node in &world.nodes {
            let dead = node.seen.iter().filter(|(_, state)| !state.is_live());
            assert_eq!(dead.count(), 0, "{:?}", node.seen);
            let me = node.membership.me();
            assert_eq!(me.generation, me.started, "nobody told it that it was");
        }
        assert!(world.all_see(size - 1));
    }
}

#[test]
fn a_member_that_says_goodbye_has_left_at_once() {
    for (size, loss) in [(3, 0.0), (16, 0.05)] {
        let mut world = settled(size, 1, loss);
        world.tell(0, Event::Leave);
        let left = |world: &World| world.all_say(id(0), MemberState::Left);
        world.wait(SECOND, "the goodbye is known", left);
        world.run(20 * SECOND);
        assert!(left(&world), "it is not taken for dead later");
        assert!(!world.nodes[0].running);
        assert_eq!(
            world.nodes[0].persisted,
            world.nodes[0].membership.me().generation
        );
    }
}

#[test]
fn a_restarted_member_is_back_at_once_and_nobody_raises_an_alarm() {
    for seed in 0..5 {
        let mut world = settled(3, seed, 0.02);
        for round in 0..5 {
            let place = if round == 0 { 0 } else { world.nodes.len() - 1 };
            world.crash(place);
            world.run(Duration::from_millis(50));
            let again = world.usual(0);
            world.start(again);
            let alive = |world: &World| {
                let newest = world.nodes.last().unwrap().membership.me().generation;
                let mut others = world.nodes.iter().filter(|node| node.running);
                others.all(|node| {
                    let table = node.membership.table();
                    let row = table.find(id(0)).unwrap();
                    row.state == MemberState::Alive && row.generation >= newest
                })
            };
            world.wait(2 * SECOND, "the new boot is known", alive);
        }
        world.run(30 * SECOND);
        assert!(world.all_see(2));
        assert!(world.nodes.iter().all(|node| node.alarms.is_empty()));
    }
}

#[test]
fn a_member_whose_clock_fell_back_over_a_restart_comes_back() {
    let mut world = settled(3, 1, 0.0);
    world.crash(0);
    world.wait(6 * SECOND, "dead", |w| w.all_say(id(0), MemberState::Dead));
    let start = Start {
        generation: world.wall_ms() - 50_000,
        skew_ms: -50_000,
        ..world.usual(0)
    };
    world.start(start);
    world.wait(10 * SECOND, "back", |world| world.all_see(2));
}

#[test]
fn a_member_with_a_wrong_clock_joins_by_way_of_https() {
    for skew_ms in [-3_600_000, 3_600_000] {
        let mut world = settled(3, 1, 0.0);
        let start = Start {
            skew_ms,
            ..world.usual(3)
        };
        world.start(start);
        world.wait(15 * SECOND, "joined", |world| world.all_see(3));
        world.run(60 * SECOND);
        assert!(world.all_see(3), "and stays");
    }
}

#[test]
fn all_addresses_may_change_at_once() {
    for loss in [0.0, 0.05] {
        let mut world = settled(5, 1, loss);
        for place in 0..5 {
            let udp = address(1_000 + place);
            let mut https = udp;
            https.set_port(8_000);
            world.tell(place, Event::Moved { udp, https });
        }
        let moved = |world: &World| {
            world.nodes.iter().all(|node| {
                let table = node.membership.table();
                let port = |row: &MemberRow| row.udp.ip() == row.https.ip();
                table.live().filter(|row| port(row)).count() == 4
                    && table.live().all(|row| row.udp >= address(1_000))
            })
        };
        world.wait(5 * SECOND, "the new addresses are known", moved);
    }
}

#[test]
fn all_members_down_and_up_again_elsewhere_find_each_other() {
    let mut world = settled(3, 1, 0.0);
    for place in 0..3 {
        world.tell(place, Event::Leave);
    }
    world.run(SECOND);
    for place in 0..3 {
        let start = Start {
            address: address(10 + (place + 1) % 3),
            ..world.usual(place)
        };
        world.start(start);
    }
    world.wait(3 * SECOND, "they are back", |world| world.all_see(2));
}

/// Cuts a settled cluster of six in two for `time`, heals it, and waits.
fn cut_and_heal(time: Duration, prepare: impl Fn(&mut World), limit: Duration) -> World {
    let mut world = settled(6, 3, 0.0);
    for place in 0..3 {
        world.nodes[place].part = 1;
    }
    world.run(time);
    assert!(world.all_see(2), "each half sees itself");
    prepare(&mut world);
    for place in 0..3 {
        world.nodes[place].part = 0;
    }
    world.wait(limit, "the halves have met", |world| world.all_see(5));
    world.run(30 * SECOND);
    assert!(world.all_see(5));
    world
}

#[test]
fn two_halves_meet_again_after_a_cut_far_longer_than_the_dead_time_out() {
    cut_and_heal(900 * SECOND, |_| {}, 10 * SECOND);
}

#[test]
fn two_halves_meet_again_without_multicast() {
    let silent = |world: &mut World| world.multicast = false;
    cut_and_heal(600 * SECOND, silent, 90 * SECOND);
}

#[test]
fn seeds_are_enough_where_there_is_no_multicast() {
    let mut world = World::new(1, 0.02);
    world.multicast = false;
    for number in 0..5 {
        let start = world.usual(number);
        let place = world.start(start);
        let mut seed = address(0);
        seed.set_port(8_000);
        world.tell(place, Event::Seeds(vec![seed]));
    }
    world.wait(5 * SECOND, "all join", |world| world.all_see(4));
}

#[test]
fn members_are_seen_over_https_where_no_datagram_gets_through() {
    let mut world = World::new(1, 0.0);
    world.multicast = false;
    world.unicast = false;
    let seeds: Vec<_> = (0..3)
        .map(|number| SocketAddr::new(address(number).ip(), 8_000))
        .collect();
    for number in 0..3 {
        let start = world.usual(number);
        let place = world.start(start);
        world.tell(place, Event::Seeds(seeds.clone()));
    }
    world.wait(20 * SECOND, "all are seen", |world| world.all_see(2));
    world.run(20 * SECOND);
    for _ in 0..120 {
        world.run(SECOND);
        assert!(world.all_see(2), "and stay so");
    }
    world.crash(0);
    let dead = |world: &World| world.all_say(id(0), MemberState::Dead);
    world.wait(60 * SECOND, "a crash is known in the end", dead);
}

#[test]
fn datagrams_alone_are_enough_where_https_is_blocked() {
    let mut world = World::new(1, 0.0);
    world.https = false;
    for number in 0..5 {
        let start = world.usual(number);
        world.start(start);
    }
    world.wait(3 * SECOND, "all join", |world| world.all_see(4));
}

#[test]
fn another_secret_and_another_cluster_are_invisible() {
    let mut world = settled(3, 1, 0.0);
    let secret = Start {
        key: 2,
        ..world.usual(3)
    };
    let cluster = Start {
        cluster: "other",
        ..world.usual(4)
    };
    world.start(secret);
    world.start(cluster);
    world.run(60 * SECOND);
    for (place, others) in [(0, 2), (1, 2), (2, 2), (3, 0), (4, 0)] {
        let table = world.nodes[place].membership.table();
        assert_eq!(table.others.len(), others);
        assert!(table.counts.drops.undecipherable > 0);
    }
    let drops = world.nodes[0].membership.table().counts.drops;
    assert!(drops.other_cluster > 0);
    assert_eq!(world.nodes[3].sent + world.nodes[4].sent, 0);
}

/// Starts a second process under the id of member 0, in a settled cluster; gives its place.
fn clone_of_first(world: &mut World, generation: u64) -> usize {
    let start = Start {
        generation,
        address: address(77),
        ..world.usual(0)
    };
    world.start(start)
}

fn duplicate_is_refused(mut world: World) {
    let generation = world.wall_ms();
    let clone = clone_of_first(&mut world, generation);
    let noticed = |world: &World| !world.nodes[clone].running && !world.nodes[0].alarms.is_empty();
    world.wait(15 * SECOND, "both notice", noticed);
    let refused = &world.nodes[clone].alarms;
    assert!(
        matches!(refused[..], [Alarm::RefusedAsDuplicate { .. }]),
        "{refused:?}"
    );
    let alarm = &world.nodes[0].alarms;
    assert!(matches!(alarm[..], [Alarm::Duplicate { .. }]), "{alarm:?}");
    assert!(world.nodes[0].running);
    world.run(15 * SECOND);
    assert!(world.all_see(2), "the first one is still a member");
    let generation = world.nodes[0].membership.me().generation;
    world.run(30 * SECOND);
    assert_eq!(
        world.nodes[0].membership.me().generation,
        generation,
        "and has peace"
    );
}

#[test]
fn of_two_processes_under_one_id_the_later_one_is_refused_and_both_say_so() {
    for seed in 0..3 {
        duplicate_is_refused(settled(3, seed, 0.02));
    }
}

#[test]
fn a_duplicate_is_found_through_others_without_multicast() {
    let mut world = settled(3, 1, 0.0);
    world.multicast = false;
    let generation = world.wall_ms();
    let clone = clone_of_first(&mut world, generation);
    let seed = SocketAddr::new(address(2).ip(), 8_000);
    world.tell(clone, Event::Seeds(vec![seed]));
    let noticed = |world: &World| !world.nodes[clone].running && !world.nodes[0].alarms.is_empty();
    world.wait(30 * SECOND, "both notice", noticed);
    world.run(30 * SECOND);
    assert!(world.all_see(2), "the first one is still a member");
}

#[test]
fn a_frozen_member_that_thaws_accuses_nobody_and_is_back_at_once() {
    let mut world = settled(4, 1, 0.0);
    let freeze = |world: &mut World, part| world.nodes[0].part = part;
    freeze(&mut world, 9);
    world.nodes[0].running = false;
    world.wait(6 * SECOND, "it is missed", |w| {
        w.all_say(id(0), MemberState::Dead)
    });
    world.nodes[0].running = true;
    let before = world.nodes[0].seen.len();
    freeze(&mut world, 0);
    world.thaw(0);
    world.wait(6 * SECOND, "it is back", |world| world.all_see(3));
    let accused = world.nodes[0].seen.iter().skip(before);
    assert_eq!(accused.filter(|(_, state)| !state.is_live()).count(), 0);
}

#[test]
fn a_new_root_is_told_soon_and_only_once() {
    let mut world = settled(3, 1, 0.0);
    world.tell(0, Event::Root(42));
    let told = |world: &World| {
        let others = world.nodes.iter().skip(1);
        let mut rows = others.map(|node| node.membership.table().find(id(0)).cloned());
        rows.all(|row| row.is_some_and(|row| row.root.is_some_and(|heard| heard.root == 42)))
    };
    world.wait(Duration::from_millis(350), "the root is known", told);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = settled(5, seed, 0.1);
        world.run(20 * SECOND);
        let sent: Vec<u64> = world.nodes.iter().map(|node| node.sent).collect();
        (sent, world.nodes[0].membership.table())
    };
    assert_eq!(run(7), run(7));
}

#[test]
fn who_is_gone_for_too_long_is_forgotten_everywhere() {
    let mut world = settled(3, 1, 0.0);
    world.crash(0);
    world.wait(6 * SECOND, "dead", |w| w.all_say(id(0), MemberState::Dead));
    for node in &mut world.nodes {
        node.membership.forget_after = Duration::from_mins(1);
    }
    let gone = |world: &World| world.nodes[1].membership.table().others.len() == 1;
    world.wait(90 * SECOND, "forgotten", gone);
    world.run(60 * SECOND);
    assert!(gone(&world), "nobody tells of it any more");
}

#[test]
fn a_state_of_another_kind_is_refused_and_changes_nothing() {
    let mut world = settled(2, 1, 0.0);
    let now = world.now;
    let other = world.nodes[1].membership.state(now);
    let node = &mut world.nodes[0];
    let mut answer = |verified, body: &[u8]| {
        let answer = node.membership.answer(now, verified, body, &mut vec![]);
        answer.map(|_| ())
    };
    assert_eq!(answer(id(1), b""), Err(StateError::Malformed));
    assert_eq!(answer(id(1), &[9, 9]), Err(StateError::Version(9)));
    assert_eq!(
        answer(id(1), &other[..other.len() / 2]),
        Err(StateError::Malformed)
    );
    assert_eq!(answer(id(5), &other), Err(StateError::OtherSender));
    let long = vec![1; STATE_LIMIT + 1];
    assert_eq!(
        answer(id(1), &long),
        Err(StateError::TooLong(STATE_LIMIT + 1))
    );
    assert_eq!(answer(id(1), &other), Ok(()));
    let [ref mut one, ref mut other] = world.nodes[..] else {
        panic!("two");
    };
    let (one, other) = (&mut one.membership, &mut other.membership);
    let asked = digest_asked(other, one.me(), now);
    let cut = one.answer(now, id(1), &asked[..asked.len() - 1], &mut vec![]);
    assert_eq!(cut, Err(StateError::Malformed));
    let same = one.answer(now, id(1), &asked, &mut vec![]).unwrap();
    let answer = other.answer(now, id(0), &same, &mut vec![]);
    assert_eq!(answer, Err(StateError::Malformed), "no question");
}

proptest::proptest! {
    #[test]
    fn garbage_in_a_state_or_a_message_never_panics(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600)
    ) {
        let mut world = World::of(2, 1, 0.0, Duration::ZERO);
        let now = world.now;
        let membership = &mut world.nodes[0].membership;
        let versioned = [&[1], &bytes[..]].concat();
        let _ = membership.answer(now, id(1), &versioned, &mut vec![]);
        let sender = (id(1), Generation::new(1), BootId::from_bytes([1; 16]));
        membership.swim.heard(now, sender, &bytes, &mut vec![]);
        for form in [0, 1] {
            let bytes = [&[form], &bytes[..]].concat();
            membership.swim.heard(now, sender, &bytes, &mut vec![]);
        }
        let from = address(1);
        let bytes = Bytes::from(bytes);
        membership.on_event(now, Event::Datagram { from, bytes }, &mut vec![]);
    }
}
