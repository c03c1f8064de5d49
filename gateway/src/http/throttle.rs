//! How often somebody may ask: a bucket for each credential, for each source without one, and for failed logins of a source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use parking_lot::Mutex;

/// Buckets at a time. Where there are more askers, those that nobody remembers share one.
const BUCKETS_MAX: usize = 4_096;

/// Whose bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    /// A credential, by its public name.
    Credential(String),
    /// An address, or a network of 64 bits: a client of IPv6 has that many to choose from.
    Source(IpAddr),
    /// Failed logins from there.
    Failures(IpAddr),
    /// All that there was no bucket for.
    Rest,
}

/// A source as it is counted.
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6((u128::from(six) & !u128::from(u64::MAX)).into()),
        four => four,
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// What may be taken, in billionths.
    level: u128,
    at: Instant,
}

const WHOLE: u128 = 1_000_000_000;

/// All buckets.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<Asker, Bucket>>);

impl Throttle {
    /// Takes one from a bucket that gets `per_second` and holds as many. `false`: it is empty.
    pub(super) fn take(&self, asker: &Asker, per_second: u32, now: Instant) -> bool {
        self.pour(asker, per_second, now, true)
    }

    /// Whether there is something to take; nothing is taken.
    pub(super) fn has(&self, asker: &Asker, per_second: u32, now: Instant) -> bool {
        self.pour(asker, per_second, now, false)
    }

    fn pour(&self, asker: &Asker, per_second: u32, now: Instant, takes: bool) -> bool {
        let full = u128::from(per_second) * WHOLE;
        let fresh = Bucket { level: full, at: now };
        let level = |bucket: &Bucket| {
            let passed_ns = now.saturating_duration_since(bucket.at).as_nanos();
            (bucket.level + passed_ns * u128::from(per_second)).min(full)
        };
        let mut buckets = self.0.lock();
        let asker = if buckets.contains_key(asker) || buckets.len() < BUCKETS_MAX {
            asker
        } else {
            // A full bucket says nothing that a new one would not. Only those of one rate can be told so here; others stay.
            buckets.retain(|_, bucket| level(bucket) < full);
            if buckets.len() < BUCKETS_MAX { asker } else { &Asker::Rest }
        };
        let bucket = buckets.entry(asker.clone()).or_insert(fresh);
        *bucket = Bucket { level: level(bucket), at: now };
        if bucket.level < WHOLE {
            return false;
        }
        if takes {
            bucket.level -= WHOLE;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn asker(number: u32) -> Asker {
        Asker::Source(IpAddr::V4(number.into()))
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        for _ in 0..5 {
            assert!(throttle.take(&asker(1), 5, at(0)));
        }
        assert!(!throttle.take(&asker(1), 5, at(0)) && !throttle.has(&asker(1), 5, at(199)));
        assert!(throttle.take(&asker(2), 5, at(0)), "another one's bucket");
        assert!(throttle.has(&asker(1), 5, at(200)) && throttle.take(&asker(1), 5, at(200)));
        assert!(!throttle.take(&asker(1), 5, at(200)));
        let taken = (0..100).filter(|_| throttle.take(&asker(1), 5, at(60_000))).count();
        assert_eq!(taken, 5, "no more than a burst is saved up");
        assert!(!throttle.take(&asker(1), 5, at(0)), "a clock that goes back fills nothing");
    }

    #[test]
    fn there_are_never_more_buckets_than_there_may_be() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let strangers = u32::try_from(BUCKETS_MAX).expect("small") + 10;
        let taken = (0..strangers).filter(|number| throttle.take(&asker(*number), 3, now)).count();
        assert_eq!(taken, BUCKETS_MAX + 3, "the last ones share a bucket");
        assert_eq!(throttle.0.lock().len(), BUCKETS_MAX + 1);
        let later = now + Duration::from_secs(1);
        assert!(throttle.take(&asker(strangers), 3, later), "buckets that are full again make room");
        assert_eq!(throttle.0.lock().len(), 1);
    }

    #[test]
    fn a_network_counts_as_one_source() {
        let six = |text: &str| source(text.parse().expect("an address"));
        assert_eq!(six("2001:db8::1"), six("2001:db8::ffff:2"));
        assert_ne!(six("2001:db8::1"), six("2001:db8:0:1::1"));
        assert_eq!(six("::ffff:10.0.0.1"), six("10.0.0.1"));
        assert_ne!(six("10.0.0.1"), six("10.0.0.2"));
    }
}
