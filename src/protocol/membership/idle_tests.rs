//! What a cluster sends that has nothing to do, and what an exchange brings.

use std::time::Duration;

use bytes::Bytes;
use foca::Member;

use super::simulation::{World, address, id};
use super::state::{Says, State};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// The longest digest, or answer to one.
const SHORT: usize = 160;
/// What is said between two who do not know the same.
const WHOLE: [&str; 4] = ["digest", "differs", "members", "members"];

/// Members that know each other and have nothing to tell each other any more. To hear their beacons
/// would be most of the work here, and changes nothing; they are sent and counted.
fn calm(size: usize) -> World {
    let mut world = World::of(size, 1, 0.0, Duration::from_millis(300));
    world.wait(30 * SECOND, "all join", |world| world.all_see(size - 1));
    world.multicast = false;
    world.run(30 * SECOND);
    world.datagrams.clear();
    world.exchanges.clear();
    world
}

#[test]
fn a_calm_cluster_costs_each_member_at_most_512_bytes_per_second_at_any_size() {
    for size in [3, 50] {
        let mut world = calm(size);
        world.run(30 * SECOND);
        let sent: usize = world.datagrams.iter().chain(&world.exchanges).sum();
        let each = sent / size / 30;
        assert!((256..=512).contains(&each), "{size}: {each} bytes");
        let datagrams = world.datagrams.len() / size / 30;
        assert!(
            (3..=5).contains(&datagrams),
            "{size}: {datagrams} datagrams"
        );
    }
}

#[test]
fn members_that_agree_exchange_only_digests() {
    let mut world = calm(16);
    world.run(60 * SECOND);
    assert!(world.exchanges.len() > 16 * 2 * 4, "they do exchange");
    let longest = world.exchanges.iter().max();
    assert!(longest.is_some_and(|bytes| *bytes < SHORT), "{longest:?}");
}

#[test]
fn a_seed_that_is_a_member_is_asked_for_a_digest_only() {
    let mut world = calm(16);
    let seed = world.nodes[1].membership.me().https;
    world.tell(0, Event::Seeds(vec![seed]));
    world.run(Duration::from_millis(10));
    assert!(!world.exchanges.is_empty(), "it is dialled at once");
    let longest = world.exchanges.iter().max();
    assert!(longest.is_some_and(|bytes| *bytes < SHORT), "{longest:?}");
}

/// The question of `one` whether `other` knows the same.
pub(super) fn digest_asked(one: &mut Membership, other: &Identity, now: Mono) -> Bytes {
    let mut out = vec![];
    let expected = Some(other.member);
    one.compare(now, (other.https, expected), other.member, &mut out);
    match &out[..] {
        [Effect::Exchange { body, .. }] => body.clone(),
        _ => panic!("{out:?}"),
    }
}

/// What a question or answer says of the members.
fn says(body: &[u8]) -> &'static str {
    match State::decode(body, "gaggle").unwrap().says {
        Says::Members(_) => "members",
        Says::Digest(_) => "digest",
        Says::Same => "same",
        Says::Differs => "differs",
    }
}

/// An exchange of the first of two with the second, begun with a digest; gives the questions and
/// answers.
fn exchange(world: &mut World) -> Vec<&'static str> {
    let now = world.now;
    let other = world.nodes[1].membership.me().clone();
    let target = other.https;
    let mut bodies = vec![];
    let mut asked = vec![digest_asked(&mut world.nodes[0].membership, &other, now)];
    while let Some(body) = asked.pop() {
        let other = &mut world.nodes[1].membership;
        let answer = other.answer(now, id(0), &body, &mut vec![]).unwrap();
        bodies.extend([says(&body), says(&answer)]);
        let mut out = vec![];
        let answer = Some(answer);
        let event = Event::Exchanged { target, answer };
        world.nodes[0].membership.on_event(now, event, &mut out);
        asked.extend(out.into_iter().filter_map(|effect| match effect {
            Effect::Exchange { body, .. } => Some(body),
            _ => None,
        }));
    }
    bodies
}

fn strangers(world: &World, count: usize) -> Vec<Identity> {
    let one = world.nodes[0].membership.me();
    let stranger = |number| Identity {
        member: id(100 + number),
        udp: address(100 + number),
        boot: BootId::from_bytes([7; 16]),
        ..one.clone()
    };
    (0..count).map(stranger).collect()
}

/// Two members, of which one knows that many more.
fn two_of_which_one_knows_more(which: usize, count: usize) -> World {
    let mut world = calm(2);
    let members = strangers(&world, count).into_iter().map(Member::alive);
    let (now, members) = (world.now, members.collect());
    let swim = &mut world.nodes[which].membership.swim;
    swim.apply(now, members, false, &mut vec![]);
    world
}

#[test]
fn members_that_differ_by_one_come_to_agree_by_one_exchange() {
    for which in [0, 1] {
        let mut world = two_of_which_one_knows_more(which, 1);
        assert_eq!(exchange(&mut world), WHOLE);
        for node in &world.nodes {
            let known = node.membership.swim.find(id(100));
            assert!(known.is_some_and(|known| known.state() == foca::State::Alive));
        }
        assert_eq!(exchange(&mut world), ["digest", "same"]);
    }
}

#[test]
fn a_suspicion_that_only_one_heard_of_makes_a_difference() {
    let mut world = two_of_which_one_knows_more(0, 1);
    exchange(&mut world);
    let suspect = Member::new(strangers(&world, 1).remove(0), 0, foca::State::Suspect);
    let now = world.now;
    let swim = &mut world.nodes[1].membership.swim;
    swim.apply(now, vec![suspect], false, &mut vec![]);
    assert_eq!(exchange(&mut world), WHOLE);
    let told = world.nodes[0].membership.swim.find(id(100)).unwrap();
    assert_eq!(told.state(), foca::State::Suspect);
    assert_eq!(exchange(&mut world), ["digest", "same"]);
}

#[test]
fn a_peer_that_says_again_and_again_that_it_differs_is_told_all_once() {
    let mut world = two_of_which_one_knows_more(0, 1);
    let now = world.now;
    let [ref mut one, ref mut other] = world.nodes[..] else {
        panic!("two");
    };
    let body = digest_asked(&mut one.membership, other.membership.me(), now);
    let differs = other.membership.answer(now, id(0), &body, &mut vec![]);
    let differs = differs.unwrap();
    let mut exchanges = 0;
    for _ in 0..3 {
        let target = other.membership.me().https;
        let answer = Some(differs.clone());
        let mut out = vec![];
        one.membership
            .on_event(now, Event::Exchanged { target, answer }, &mut out);
        let is_exchange = |effect: &&Effect| matches!(effect, Effect::Exchange { .. });
        exchanges += out.iter().filter(is_exchange).count();
    }
    assert_eq!(exchanges, 1);
}

#[test]
fn much_news_from_one_exchange_is_not_gossiped_but_exchanged_again_soon() {
    for (count, gossiped) in [(10, 10), (200, 0)] {
        let mut world = two_of_which_one_knows_more(1, count);
        assert_eq!(world.nodes[0].membership.news(), 0);
        exchange(&mut world);
        let one = &world.nodes[0].membership;
        assert_eq!(one.swim.live(), count + 1);
        assert_eq!(one.news(), gossiped);
        assert!(one.due.exchange <= world.now.plus(SECOND));
    }
}

#[test]
fn a_large_table_is_not_made_anew_for_each_bit_of_news() {
    let mut world = two_of_which_one_knows_more(0, 1_000);
    let others = strangers(&world, 1_000);
    let one = &mut world.nodes[0].membership;
    let mut now = world.now;
    one.refresh(now, false, &mut vec![]);
    let mut tables = 0;
    for stranger in others.into_iter().take(400) {
        now = now.plus(Duration::from_millis(3));
        let (mut outputs, mut out) = (vec![], vec![]);
        let gone = vec![Member::down(stranger)];
        one.swim.apply(now, gone, true, &mut outputs);
        one.perform(now, outputs, &mut out);
        one.look_if_due(now, &mut out);
        let is_table = |effect: &&Effect| matches!(effect, Effect::Publish(_));
        tables += out.iter().filter(is_table).count();
    }
    assert_eq!(tables, 1, "within 1.2 s");
}
