//! How often one address may have credentials verified: hashing a password costs 30 ms and 19 MiB,
//! so whoever guesses is stopped before it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::io::clock;

/// How many attempts an address has at once.
const BURST: NonZeroU32 = NonZeroU32::new(20).expect("20 is not zero");
/// How long it takes until an address has another attempt.
const EVERY: Duration = Duration::from_secs(1);
/// How often addresses that are at rest are forgotten, in milliseconds.
const SWEEP_MILLIS: u64 = 30_000;
/// The number of addresses from which on they are swept with every new attempt in a second.
const CROWD: usize = 100_000;

/// The limiter.
pub(super) struct Attempts {
    limiter: RateLimiter<u128, HashMapStateStore<u128>, AppClock, NoOpMiddleware<Nanos>>,
    swept: AtomicU64,
}

/// Governor's clock, read from ours.
#[derive(Clone)]
struct AppClock;

impl Clock for AppClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        clock::mono().0.into()
    }
}

impl Attempts {
    pub(super) fn new() -> Self {
        let quota = Quota::with_period(EVERY)
            .expect("a second is not zero")
            .allow_burst(BURST);
        Self {
            limiter: RateLimiter::hashmap_with_clock(quota, AppClock),
            swept: AtomicU64::new(0),
        }
    }

    /// Takes one attempt of this address; if it has none left, after how many seconds it has.
    pub(super) fn take(&self, from: IpAddr) -> Result<(), u32> {
        self.sweep();
        self.limiter.check_key(&site(from)).map_err(|until| {
            let wait = until.wait_time_from(AppClock.now());
            u32::try_from(wait.as_millis().div_ceil(1000))
                .unwrap_or(u32::MAX)
                .max(1)
        })
    }

    /// Forgets addresses at rest, so that a flood from many does not stay in memory.
    fn sweep(&self) {
        let now = u64::try_from(clock::mono().0.as_millis()).unwrap_or(u64::MAX);
        let every = if self.limiter.len() > CROWD {
            1000
        } else {
            SWEEP_MILLIS
        };
        let swept = self.swept.load(Ordering::Relaxed);
        let is_due = now.saturating_sub(swept) >= every;
        let exchange = |old| {
            self.swept
                .compare_exchange(old, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        if is_due && exchange(swept).is_ok() {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
    }
}

/// What counts as one address: an IPv4 address, or the 64-bit network that one IPv6 host has.
fn site(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(four) => four.to_ipv6_mapped().to_bits(),
        IpAddr::V6(six) => six.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_burst_and_then_waits_while_others_go_on() {
        let attempts = Attempts::new();
        let bad: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..BURST.get() {
            assert_eq!(attempts.take(bad), Ok(()));
        }
        assert_eq!(attempts.take(bad), Err(1));
        assert_eq!(attempts.take("::ffff:192.0.2.1".parse().unwrap()), Err(1));
        assert_eq!(attempts.take("192.0.2.2".parse().unwrap()), Ok(()));
    }

    #[test]
    fn an_ipv6_host_is_one_address_whatever_it_puts_in_the_last_half() {
        let same = |a: &str, b: &str| site(a.parse().unwrap()) == site(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!same("::", "0.0.0.0"));
    }
}
