//! Snapshots that are large, cut, mixed or damaged; that whole ones are the state is a law of
//! `state`.

use proptest::prelude::*;

use super::super::Entry;
use super::super::samples::{Run, acquire, append, bytes, every_kind, keyed, set};
use super::*;

/// A state with something of everything in it.
fn full() -> State {
    let mut run = Run::default();
    for (number, entry) in every_kind().into_iter().enumerate() {
        let key = format!("kind {number}").parse().unwrap();
        let request = Some(key);
        let _ = run.entry(Entry { request, ..entry });
    }
    run.entry(keyed("lock", acquire("l", 1, 1_000, 0, 1)))
        .unwrap();
    run.entry(keyed("wait", acquire("l", 2, 1_000, 500, 1)))
        .unwrap();
    run.op(set("n", "k", "v")).unwrap();
    run.op(append("x", "1")).unwrap();
    run.state
}

fn restored(pieces: &[Vec<u8>]) -> Result<State, SnapshotError> {
    let mut restore = Restore::default();
    for piece in pieces {
        restore.take(piece)?;
    }
    restore.finish()
}

#[test]
fn the_bytes_of_a_snapshot_stay_what_they_are() {
    let pieces = bytes(&full());
    assert_eq!(pieces.len(), 1);
    // A change here means that snapshots on disk no longer read: raise PIECE_VERSION.
    let hash = blake3::hash(&pieces[0]).to_hex();
    assert_eq!(&hash[..16], "623f8ec98674c23c");
}

#[test]
fn pieces_are_bounded_and_the_same_on_every_member() {
    let mut run = Run::default();
    for number in 0..40 {
        let value = "x".repeat(100_000);
        run.op(set("n", &format!("k{number}"), &value)).unwrap();
    }
    run.op(set("n", "large", &"x".repeat(1 << 20))).unwrap();
    let pieces = bytes(&run.state);
    assert!(pieces.len() > 4);
    for piece in &pieces {
        assert!(piece.len() <= PIECE_BYTES + 200, "{}", piece.len());
    }
    // A follower that was cut off after two pieces goes on with the third, of another member.
    let other = restored(&pieces).unwrap();
    let rest: Vec<_> = other.pieces().skip(2).collect();
    let mixed = [&pieces[..2], &rest].concat();
    assert_eq!(restored(&mixed), Ok(run.state));
}

#[test]
fn a_snapshot_that_is_not_whole_makes_no_state() {
    let mut run = Run::default();
    for number in 0..30 {
        let value = "x".repeat(100_000);
        run.op(set("n", &format!("k{number}"), &value)).unwrap();
    }
    let pieces = bytes(&run.state);
    assert_eq!(pieces.len(), 3);
    let short = restored(&pieces[..2]);
    assert_eq!(short, Err(SnapshotError::Short));
    assert_eq!(restored(&[]), Err(SnapshotError::Short));
    let missing = [pieces[0].clone(), pieces[2].clone()];
    assert!(restored(&missing).is_err());
    let doubled = [pieces[0].clone(), pieces[1].clone(), pieces[1].clone()];
    let doubled = [&doubled[..], &pieces[2..]].concat();
    assert!(restored(&doubled).is_err());
    let behind = [&pieces[..], &pieces[2..]].concat();
    assert!(restored(&behind).is_err());
    // Pieces of two states do not mix.
    run.op(set("n", "k0", "other")).unwrap();
    let newer = bytes(&run.state);
    let mixed = [&pieces[..1], &newer[1..]].concat();
    assert!(restored(&mixed).is_err());
    assert_eq!(restored(&newer), Ok(run.state));
}

#[test]
fn a_snapshot_of_another_release_is_refused_with_a_reason() {
    let mut pieces = bytes(&State::default());
    for version in [PIECE_VERSION - 1, PIECE_VERSION + 1] {
        pieces[0][0] = version;
        assert_eq!(restored(&pieces), Err(SnapshotError::Version(version)));
    }
}

#[test]
fn every_damaged_byte_is_noticed() {
    let state = full();
    let piece = bytes(&state).remove(0);
    for at in 0..piece.len() {
        let mut damaged = piece.clone();
        damaged[at] ^= 1;
        assert!(restored(&[damaged]).is_err(), "byte {at}");
        assert!(restored(&[piece[..at].to_vec()]).is_err(), "cut at {at}");
    }
    assert_eq!(restored(&[piece]), Ok(state));
}

proptest! {
    #[test]
    fn bytes_from_outside_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut restore = Restore::default();
        let mut piece = vec![PIECE_VERSION];
        piece.extend(bytes);
        let _ = restore.take(&piece);
        prop_assert!(restore.finish().is_err());
    }
}
