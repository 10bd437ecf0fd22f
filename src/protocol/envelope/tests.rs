//! What a sealed datagram promises, and what becomes of everything else.

use proptest::prelude::*;

use super::*;
use crate::model::ClusterId;

const NOW: WallTime = WallTime::from_millis(1_790_000_000_000);

fn key(byte: u8) -> DatagramKey {
    DatagramKey::from_bytes([byte; 32])
}

fn cluster(name: &str) -> ClusterId {
    name.parse().unwrap()
}

fn boot(byte: u8) -> BootId {
    BootId::from_bytes([byte; 16])
}

fn stamp(sent_at: u64) -> Stamp {
    Stamp {
        generation: 7,
        sent_at: WallTime::from_millis(sent_at),
        root: 1 << 100,
    }
}

fn sealer(secret: u8, boot_byte: u8) -> Sealer {
    Sealer::new(
        &key(secret),
        boot(boot_byte),
        cluster("gaggle"),
        MemberId::from_u64(1),
    )
}

fn opener(secrets: &[u8]) -> Opener {
    let keys = secrets.iter().map(|byte| key(*byte)).collect();
    Opener::new(boot(99), cluster("gaggle"), keys)
}

fn accepted(opening: &Opening) -> bool {
    matches!(opening, Opening::Accepted(_))
}

#[test]
fn what_was_sealed_is_opened_unchanged() {
    let datagram = sealer(1, 2)
        .seal(stamp(NOW.millis()), Kind::Swim, b"hello")
        .unwrap();
    let mut opener = opener(&[1]);
    let letter = Letter {
        boot: boot(2),
        sender: MemberId::from_u64(1),
        generation: 7,
        sent_at: NOW,
        root: 1 << 100,
        kind: Kind::Swim,
        payload: b"hello".to_vec(),
    };
    assert_eq!(opener.open(NOW, &datagram), Opening::Accepted(letter));
    assert_eq!(opener.drops().accepted, 1);
}

#[test]
fn the_greatest_payload_fits_with_the_longest_cluster_name() {
    let name = cluster(&"x".repeat(63));
    let member = MemberId::from_u64(u64::MAX);
    let mut sealer = Sealer::new(&key(1), boot(2), name, member);
    let stamp = Stamp {
        generation: u64::MAX,
        sent_at: WallTime::from_millis(u64::MAX),
        root: u128::MAX,
    };
    let payload = [0; PAYLOAD_LIMIT];
    assert!(sealer.seal(stamp, Kind::Swim, &payload).unwrap().len() <= DATAGRAM_LIMIT);
    let payload = [0; DATAGRAM_LIMIT];
    let refused = sealer.seal(stamp, Kind::Swim, &payload);
    assert!(matches!(refused, Err(SealError::TooLong(_))));
}

#[test]
fn each_stranger_is_dropped_and_counted_by_its_reason() {
    let good = sealer(1, 2)
        .seal(stamp(NOW.millis()), Kind::Beacon, b"")
        .unwrap();
    let other_secret = sealer(9, 2)
        .seal(stamp(NOW.millis()), Kind::Beacon, b"")
        .unwrap();
    let other_cluster = Sealer::new(&key(1), boot(2), cluster("other"), MemberId::from_u64(1))
        .seal(stamp(NOW.millis()), Kind::Beacon, b"")
        .unwrap();
    let own = sealer(1, 99)
        .seal(stamp(NOW.millis()), Kind::Beacon, b"")
        .unwrap();
    let mut other_version = good.clone();
    other_version[2] = 2;
    let mut other_mark = good.clone();
    other_mark[0] = b'x';
    let mut opener = opener(&[1]);
    for datagram in [
        &other_secret,
        &other_cluster,
        &own,
        &other_version,
        &other_mark,
        &good[..HEADER + TAG - 1].to_vec(),
        &vec![],
        &vec![b'g'; DATAGRAM_LIMIT + 1],
    ] {
        assert_eq!(opener.open(NOW, datagram), Opening::Dropped);
    }
    let expected = Drops {
        own: 1,
        foreign: 4,
        other_version: 1,
        undecipherable: 1,
        other_cluster: 1,
        ..Drops::default()
    };
    assert_eq!(opener.drops(), expected);
    assert!(accepted(&opener.open(NOW, &good)));
}

#[test]
fn a_datagram_counts_once_by_however_many_ways_it_comes() {
    let mut sealer = sealer(1, 2);
    let mut opener = opener(&[1]);
    let datagrams: Vec<_> = (0..80)
        .map(|_| sealer.seal(stamp(NOW.millis()), Kind::Root, b"").unwrap())
        .collect();
    assert!(accepted(&opener.open(NOW, &datagrams[70])));
    assert_eq!(opener.open(NOW, &datagrams[70]), Opening::Dropped);
    assert!(accepted(&opener.open(NOW, &datagrams[7])), "63 behind");
    assert_eq!(opener.open(NOW, &datagrams[6]), Opening::Dropped);
    assert!(accepted(&opener.open(NOW, &datagrams[79])));
    let drops = opener.drops();
    assert_eq!((drops.duplicate, drops.too_old, drops.accepted), (1, 1, 3));
}

#[test]
fn a_recording_is_only_a_hint_until_somebody_vouches_for_its_boot() {
    let mut sealer = sealer(1, 2);
    let mut opener = opener(&[1]);
    let mut heard = |opener: &mut Opener, sent_at: u64| {
        let datagram = sealer.seal(stamp(sent_at), Kind::Beacon, b"").unwrap();
        opener.open(NOW, &datagram)
    };
    let old = NOW.millis() - CLOCK_WINDOW_MS - 1;
    let ahead = NOW.millis() + CLOCK_WINDOW_MS + 1;
    assert!(matches!(heard(&mut opener, old), Opening::Hint(_)));
    assert!(matches!(heard(&mut opener, ahead), Opening::Hint(_)));
    assert!(accepted(&heard(&mut opener, old + 1)));
    assert!(matches!(heard(&mut opener, old), Opening::Hint(_)));
    opener.trust(boot(2));
    assert!(accepted(&heard(&mut opener, old)));
    opener.distrust(boot(2));
    assert!(matches!(heard(&mut opener, old), Opening::Hint(_)));
    assert_eq!(opener.drops().hints, 4);
}

#[test]
fn during_a_rotation_both_secrets_are_accepted() {
    let mut opener = opener(&[1, 2]);
    for secret in [1, 2] {
        let datagram = sealer(secret, 10 + secret)
            .seal(stamp(NOW.millis()), Kind::Beacon, b"")
            .unwrap();
        assert!(accepted(&opener.open(NOW, &datagram)));
        assert_eq!(opener.open(NOW, &datagram), Opening::Dropped);
    }
}

#[test]
fn a_kind_of_the_future_and_appended_fields_do_no_harm() {
    let seal_raw = |counter: u64, plain: &[u8]| {
        let mut datagram = [&MAGIC[..], &[VERSION], boot(2).as_bytes()].concat();
        datagram.extend_from_slice(&counter.to_be_bytes());
        let mut body = plain.to_vec();
        let aad = aws_lc_rs::aead::Aad::from(&datagram);
        key(1)
            .of_boot(boot(2))
            .seal_in_place_append_tag(nonce(counter), aad, &mut body)
            .unwrap();
        datagram.append(&mut body);
        datagram
    };
    let body = |kind| {
        postcard::to_allocvec(&Body {
            cluster: "gaggle",
            member: MemberId::from_u64(1),
            generation: 7,
            sent_at: NOW,
            root: [0; 16],
            kind,
            payload: b"",
        })
        .unwrap()
    };
    let mut opener = opener(&[1]);
    assert_eq!(opener.open(NOW, &seal_raw(1, &body(200))), Opening::Dropped);
    let longer = [body(1), vec![1, 2, 3]].concat();
    assert!(accepted(&opener.open(NOW, &seal_raw(2, &longer))));
    let cut = &body(1)[..10];
    assert_eq!(opener.open(NOW, &seal_raw(3, cut)), Opening::Dropped);
    let drops = opener.drops();
    assert_eq!((drops.unknown_kind, drops.malformed), (1, 1));
}

#[test]
fn the_number_of_remembered_boots_is_bounded() {
    let mut opener = opener(&[1]);
    for number in 0..=REMEMBERED_BOOTS as u128 + 10 {
        let boot = BootId::from_bytes(number.to_le_bytes());
        opener.trust(boot);
        let mut sealer = Sealer::new(&key(1), boot, cluster("gaggle"), MemberId::from_u64(1));
        let datagram = sealer.seal(stamp(NOW.millis()), Kind::Root, b"").unwrap();
        assert!(accepted(&opener.open(NOW, &datagram)));
    }
    assert_eq!(opener.remembered(), (REMEMBERED_BOOTS, REMEMBERED_BOOTS));
}

proptest! {
    #[test]
    fn garbage_never_panics_and_is_never_accepted(
        bytes in prop::collection::vec(any::<u8>(), 0..1_400)
    ) {
        prop_assert_eq!(opener(&[1, 2]).open(NOW, &bytes), Opening::Dropped);
        let marked = [&MAGIC[..], &[VERSION], &bytes].concat();
        prop_assert_eq!(opener(&[1, 2]).open(NOW, &marked), Opening::Dropped);
    }

    #[test]
    fn a_cut_or_flipped_datagram_is_never_accepted(
        cut in 0usize..80, flip in 0usize..80, bit in 0u8..8
    ) {
        let datagram = sealer(1, 2).seal(stamp(NOW.millis()), Kind::Swim, b"payload").unwrap();
        let cut = &datagram[..cut.min(datagram.len() - 1)];
        prop_assert_eq!(opener(&[1]).open(NOW, cut), Opening::Dropped);
        let mut flipped = datagram.clone();
        let at = flip % flipped.len();
        flipped[at] ^= 1 << bit;
        prop_assert_eq!(opener(&[1]).open(NOW, &flipped), Opening::Dropped);
    }
}
