//! Compares this member's clock with those of its live peers: what they say goes to the writer
//! (which refuses writes under a clock that is too far ahead) and into the health check `clock`,
//! and in the place of a clock that cannot be right.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::app::App;
use crate::io::clock;
use crate::model::{HybridClock, WallTime};
use crate::protocol::Mono;
use crate::protocol::clocks::{ClockTrouble, PeerClocks, Reading, Span, is_plausible};
use crate::protocol::membership::MemberTable;

/// How often the clocks are compared, besides when a peer told the time.
const LOOK: Duration = Duration::from_secs(1);

/// The clocks at one moment.
struct Clocks {
    now: Mono,
    /// What the host's clock says.
    own: WallTime,
    /// What the member goes by.
    wall: WallTime,
    peers: PeerClocks,
    clock: HybridClock,
}

/// Keeps comparing.
pub(super) async fn keep(app: App, skew: Duration, mut table: watch::Receiver<Arc<MemberTable>>) {
    let mut before = String::new();
    loop {
        let (now, members) = (clock::mono(), table.borrow_and_update().clone());
        let told = members.live().filter_map(|row| {
            let name = Arc::from(row.name.as_str());
            row.clock.map(|reading| (name, reading))
        });
        let peers = PeerClocks::new(now, told);
        let own = clock::own_wall();
        if !is_plausible(own)
            && let Some(wall) = time(&peers, members.hinted, now)
        {
            clock::correct(Reading { wall, at: now });
        }
        app.health().set_peer_clocks(peers.clone());
        let position = app.view().store.vector().get(app.member());
        let clocks = Clocks {
            now,
            own,
            wall: clock::wall(),
            peers,
            clock: HybridClock::new(app.member(), position, 0, skew),
        };
        clocks.report(&app, &mut before);
        tokio::select! {
            changed = table.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// The time by the peers: of those that are alive, else the latest that somebody of the cluster
/// told.
fn time(peers: &PeerClocks, hinted: Option<Reading>, now: Mono) -> Option<WallTime> {
    let hint = hinted.map(|reading| reading.now(now));
    peers.median(now).or(hint)
}

/// What a look at the clocks found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Well(String),
    Odd(String),
    Refuses(String),
}

impl Clocks {
    fn report(&self, app: &App, before: &mut String) {
        const CHECK: &str = "clock";
        let (kind, text) = match self.found() {
            Found::Well(text) => {
                app.health().set(CHECK, true, text);
                ("well", String::new())
            }
            Found::Odd(text) => {
                app.health().warn(CHECK, false, text.clone());
                ("odd", text)
            }
            Found::Refuses(text) => {
                app.health().set(CHECK, false, text.clone());
                ("refuses", text)
            }
        };
        if kind != before {
            match kind {
                "refuses" => tracing::error!("writes are refused: {text}"),
                "odd" => tracing::warn!("{text}"),
                _ if before.is_empty() => {}
                _ => tracing::info!("the clocks agree again"),
            }
            kind.clone_into(before);
        }
    }

    fn found(&self) -> Found {
        let median = self.peers.median(self.now);
        let limit = self.clock.reach();
        if let Some(trouble) = ClockTrouble::of(&self.clock, self.wall, median) {
            let whom = self.peers.far(self.now, self.wall, Duration::ZERO);
            return Found::Refuses(format!("{trouble}{}", listed("; ", &whom)));
        }
        if !is_plausible(self.own) {
            let (own, wall) = (self.own, self.wall);
            return Found::Odd(if is_plausible(wall) {
                format!(
                    "this host's clock says {own}, which cannot be right; by its peers it is \
                         {wall}, and the member goes by that"
                )
            } else {
                format!("this host's clock says {own}, which cannot be right")
            });
        }
        let Some((earlier, later)) = self.peers.middle(self.now) else {
            return Found::Well("no peer has told the time lately".to_owned());
        };
        // Between the two in the middle it is as right as can be told.
        let median = self.wall.clamp(earlier, later);
        let offset = Duration::from_millis(self.wall.millis().abs_diff(median.millis()));
        let count = self.peers.count();
        let is_ahead = self.wall > median;
        if offset > limit {
            return Found::Odd(format!(
                "this member's clock is {} behind the median of {count} live peers, more than \
                 --max-clock-skew {}: what they write is held aside here until then",
                Span(offset),
                Span(limit),
            ));
        }
        let far = self.peers.far(self.now, self.wall, limit);
        if !far.is_empty() {
            return Found::Odd(format!(
                "clocks of peers are further from this member's than --max-clock-skew {}{}",
                Span(limit),
                listed(": ", &far),
            ));
        }
        let word = if is_ahead { "ahead of" } else { "behind" };
        let text = format!("{} {word} the median of {count} live peers", Span(offset));
        if offset > limit / 2 {
            return Found::Odd(format!("this member's clock is {text}"));
        }
        Found::Well(text)
    }
}

/// The first few peers with how far their clocks are from ours.
fn listed(before: &str, peers: &[(Arc<str>, i64)]) -> String {
    const SHOWN: usize = 5;
    let mut text = String::new();
    for (name, offset) in peers.iter().take(SHOWN) {
        let comma = if text.is_empty() { before } else { ", " };
        let word = if *offset < 0 { "behind" } else { "ahead of" };
        let by = Span(Duration::from_millis(offset.unsigned_abs()));
        // Writing into a String does not fail.
        let _ = write!(text, "{comma}{name} is {by} {word} it");
    }
    if peers.len() > SHOWN {
        text.push_str(", and others");
    }
    text.replace("behind it", "behind this member")
        .replace("ahead of it", "ahead of this member")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HybridTime, MemberId};
    use crate::protocol::clocks::FIRST_PLAUSIBLE;

    const NOON: u64 = FIRST_PLAUSIBLE.millis() + 43_200_000;

    fn wall(millis: i64) -> WallTime {
        WallTime::from_millis(NOON.saturating_add_signed(millis))
    }

    fn found(own: WallTime, position: i64, peers: &[(&str, i64)]) -> Found {
        let now = Mono(Duration::from_secs(9));
        let told = peers.iter().map(|(name, offset)| {
            let wall = wall(*offset);
            (Arc::from(*name), Reading { wall, at: now })
        });
        let position = HybridTime::from_wall(wall(position));
        let me = MemberId::from_u64(1);
        let clocks = Clocks {
            now,
            own,
            wall: own,
            peers: PeerClocks::new(now, told),
            clock: HybridClock::new(me, position, 0, Duration::from_secs(2)),
        };
        clocks.found()
    }

    #[test]
    fn the_words_say_which_way_by_how_much_and_against_whom() {
        let said = |found: Found| match found {
            Found::Well(text) | Found::Odd(text) | Found::Refuses(text) => text,
        };
        let ahead = found(wall(12_000), 0, &[("b", 0), ("c", 100)]);
        assert!(matches!(ahead, Found::Refuses(_)), "{ahead:?}");
        let text = said(ahead);
        for part in [
            "11.9 s ahead",
            "skew 2.0 s",
            "b is 12.0 s behind this member",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let jumped = said(found(wall(0), 60_000, &[("b", 0)]));
        assert!(jumped.contains("stamped 60.0 s ahead"), "{jumped}");
        let behind = found(wall(-5_000), -9_000, &[("b", 0)]);
        assert!(matches!(&behind, Found::Odd(text) if text.contains("5.0 s behind")));
        // One of two peers that is ahead does not make us look behind.
        for others in [
            &[("b", 0), ("d", 9_000)][..],
            &[("b", 0), ("c", 0), ("d", 9_000)],
        ] {
            let peer = found(wall(0), 0, others);
            assert!(matches!(&peer, Found::Odd(text) if text.contains("d is 9.0 s ahead of this")));
        }
        let near = found(wall(300), 0, &[("b", 0)]);
        assert_eq!(
            near,
            Found::Well("0.3 s ahead of the median of 1 live peers".into())
        );
        assert!(matches!(found(wall(1_500), 0, &[("b", 0)]), Found::Odd(_)));
        assert!(matches!(found(wall(0), 0, &[]), Found::Well(_)));
    }

    #[test]
    fn a_clock_in_1970_is_told() {
        let old = WallTime::from_millis(1_000);
        assert!(matches!(found(old, 0, &[]), Found::Refuses(text) if text.contains("1970")));
    }
}
