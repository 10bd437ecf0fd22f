//! Datagrams: what no member sealed changes nothing and is not answered; what a member sealed,
//! however mad, makes nobody panic and costs a bounded number of datagrams.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use gaggle::model::{ClusterId, MemberId, WallTime};
use gaggle::protocol::envelope::{BootId, DatagramKey, Kind, Opener, Opening, Sealer, Stamp};
use gaggle::protocol::membership::{
    Effect, Event, Generation, Identity, Label, Membership, Settings,
};
use gaggle::protocol::{Mono, Protocol};

use super::Shape;

/// The most datagrams that one datagram may cause in the quarter of a second after it.
const ANSWERS: usize = 32;
const NOW: WallTime = WallTime::from_millis(1_800_000_000_000);
const KEY: DatagramKey = DatagramKey::from_bytes([7; 32]);
/// The first byte of an input says how the rest is sent: as it stands, or sealed as a kind.
const KINDS: [Option<Kind>; 5] = [
    None,
    Some(Kind::Beacon),
    Some(Kind::Swim),
    Some(Kind::Root),
    Some(Kind::Goodbye),
];

/// A member as it introduces itself.
pub(crate) fn identity(number: u64) -> Identity {
    let octet = u8::try_from(number % 200).unwrap_or(0);
    let generation = Generation::new(NOW.millis() - 1000 * number);
    Identity {
        member: MemberId::from_u64(number),
        generation,
        started: generation,
        boot: BootId::from_bytes([octet; 16]),
        udp: SocketAddr::from(([10, 0, 0, octet], 2900)),
        https: SocketAddr::from(([10, 0, 0, octet], 8000)),
        advertised: false,
        name: Label::lossy("member"),
        version: Label::lossy("0.1.0"),
        protocols: (1, 1),
        leaving: false,
    }
}

/// A membership that has just started.
///
/// # Panics
/// Never: it has a key.
pub(crate) fn membership(number: u64) -> Membership {
    let settings = Settings {
        cluster: ClusterId::default(),
        me: identity(number),
        keys: vec![KEY],
        forget_after: Duration::from_mins(10),
        seed: number,
    };
    Membership::new(Mono::default(), NOW, settings).expect("it has a key")
}

/// Two members that know each other.
fn acquainted() -> (Membership, Membership) {
    let (mut one, mut two) = (membership(1), membership(2));
    let mut unseen = Vec::new();
    let now = Mono::default();
    let told = one.answer(now, MemberId::from_u64(2), &two.state(now), &mut unseen);
    assert!(told.is_ok_and(|told| two.merge_state(now, &told, &mut unseen).is_ok()));
    (one, two)
}

/// What a real member says in its first seconds: as it goes over the wire, and opened.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![b"\x00{\r\n\"service\":\"gaggle\",\r\n\"host\":\"vm\"\r\n}".to_vec()];
    let (_, mut speaker) = acquainted();
    let mut effects = Vec::new();
    for second in 1..4_u32 {
        speaker.on_event(Mono::default(), Event::Root(second.into()), &mut effects);
        speaker.on_deadline(Mono(Duration::from_secs(second.into())), &mut effects);
    }
    speaker.on_event(Mono(Duration::from_secs(4)), Event::Leave, &mut effects);
    let mut ear = Opener::new(identity(1).boot, ClusterId::default(), vec![KEY]);
    for effect in effects {
        let (Effect::Send { datagram, .. } | Effect::Multicast(datagram)) = effect else {
            continue;
        };
        seeds.push([&[0], &datagram[..]].concat());
        if let Opening::Accepted(letter) = ear.open(NOW, &datagram) {
            let how = KINDS.iter().position(|kind| *kind == Some(letter.kind));
            let how = how.and_then(|how| u8::try_from(how).ok()).unwrap_or(0);
            seeds.push([&[how], &letter.payload[..]].concat());
        }
    }
    seeds
}

/// Hands `data` to a member as a datagram.
///
/// # Panics
/// If the member breaks its promise.
pub(crate) fn run(data: &[u8]) -> Shape {
    let Some((how, rest)) = data.split_first() else {
        return "empty".to_owned();
    };
    let kind = KINDS[usize::from(*how) % KINDS.len()];
    let sealed = kind.map(|kind| seal(kind, rest));
    let Some(bytes) = sealed.clone().unwrap_or_else(|| Some(rest.to_vec())) else {
        return "does not fit".to_owned();
    };
    let genuine = kind.is_some() || seeds_hold(rest);
    let (mut member, _) = acquainted();
    let from = SocketAddr::from(([10, 0, 0, 2], 2900));
    let event = Event::Datagram {
        from,
        bytes: Bytes::from(bytes),
    };
    let mut effects = Vec::new();
    member.on_event(Mono::default(), event, &mut effects);
    assert!(
        genuine || effects.is_empty(),
        "a stranger was answered: {effects:?}"
    );
    let known = member.table().others.len();
    assert!(genuine || known == 1, "a stranger is a member now");
    if !genuine {
        return "thrown away".to_owned();
    }
    let later = Mono(Duration::from_millis(250));
    while let Some(due) = member.deadline().filter(|due| *due <= later) {
        member.on_deadline(due, &mut effects);
        assert!(
            sent(&effects) <= ANSWERS,
            "{} datagrams for one",
            sent(&effects)
        );
    }
    let names: Vec<String> = effects.iter().map(word).collect();
    format!("{kind:?}: {known} known, {}", names.join(" "))
}

fn seal(kind: Kind, payload: &[u8]) -> Option<Vec<u8>> {
    let them = identity(2);
    let stamp = Stamp {
        generation: them.generation.number(),
        sent_at: NOW,
        root: 1,
    };
    Sealer::new(&KEY, them.boot, ClusterId::default(), them.member)
        .seal(stamp, kind, payload)
        .ok()
}

/// Whether a raw input is one of the genuine datagrams, unchanged.
fn seeds_hold(rest: &[u8]) -> bool {
    static SEEDS: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    SEEDS
        .get_or_init(seeds)
        .iter()
        .any(|seed| seed.get(1..) == Some(rest))
}

fn sent(effects: &[Effect]) -> usize {
    let goes_out = |effect: &&Effect| matches!(effect, Effect::Send { .. } | Effect::Multicast(_));
    effects.iter().filter(goes_out).count()
}

fn word(effect: &Effect) -> String {
    let text = format!("{effect:?}");
    text.chars().take_while(|c| c.is_alphanumeric()).collect()
}
