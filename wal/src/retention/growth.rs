//! How fast a log grows, and when the disk is full at that pace.

use std::collections::VecDeque;
use std::time::Duration;

/// Time that the pace is taken over.
const WINDOW_NS: u64 = 600_000_000_000;
/// Samples are at least so far apart.
const SAMPLE_NS: u64 = 5_000_000_000;
/// A pace over less than this says nothing: a burst of seconds, taken for a day, would cry wolf.
const LEAST_NS: u64 = 60_000_000_000;

/// How near the end is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpaceAlert {
    /// More than a day, or nothing is written.
    #[default]
    None,
    /// Within 24 hours.
    Within24Hours,
    /// Within 4 hours.
    Within4Hours,
}

impl SpaceAlert {
    /// Of the time that is left.
    pub fn of(left: Option<Duration>) -> Self {
        const HOUR: u64 = 3_600;
        match left.map(|left| left.as_secs()) {
            Some(seconds) if seconds < 4 * HOUR => SpaceAlert::Within4Hours,
            Some(seconds) if seconds < 24 * HOUR => SpaceAlert::Within24Hours,
            _ => SpaceAlert::None,
        }
    }
}

/// Samples of (time, stream address), the oldest within the window first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growth {
    samples: VecDeque<(u64, u64)>,
    newest: (u64, u64),
}

impl Growth {
    /// `now_ns` rises.
    pub(crate) fn sample(&mut self, now_ns: u64, address: u64) {
        self.newest = (now_ns, address);
        if self.samples.back().is_none_or(|(at, _)| now_ns - at >= SAMPLE_NS) {
            self.samples.push_back((now_ns, address));
        }
        // The one before the window stays, so that the window is covered.
        while self.samples.get(1).is_some_and(|(at, _)| now_ns - at >= WINDOW_NS) {
            self.samples.pop_front();
        }
    }

    /// Stream bytes a second, over the last ten minutes.
    pub(crate) fn bytes_per_second(&self) -> u64 {
        let Some((from, first)) = self.samples.front() else { return 0 };
        let (to, last) = self.newest;
        let took = to - from;
        if took < LEAST_NS {
            return 0;
        }
        (u128::from(last - first) * 1_000_000_000 / u128::from(took)) as u64
    }
}

/// When so much room is used up at that pace; `None` while nothing is written.
pub(crate) fn time_to_full(room_bytes: u64, bytes_per_second: u64) -> Option<Duration> {
    (bytes_per_second > 0).then(|| Duration::from_secs(room_bytes / bytes_per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_ten_minutes() {
        let second = 1_000_000_000;
        let mut growth = Growth::default();
        assert_eq!(growth.bytes_per_second(), 0);
        for t in 0..1_000 {
            growth.sample(t * second, t * 100);
        }
        assert_eq!(growth.bytes_per_second(), 100);
        for t in 0..1_000 {
            growth.sample((1_000 + t) * second, 100_000 + t * 7);
        }
        assert_eq!(growth.bytes_per_second(), 7);
        assert!(growth.samples.len() < 130, "{}", growth.samples.len());
    }

    #[test]
    fn alerts_come_at_a_day_and_at_four_hours() {
        let hour = 3_600;
        for (room, pace, want) in [
            (u64::MAX, 0, SpaceAlert::None),
            (25 * hour, 1, SpaceAlert::None),
            (24 * hour - 1, 1, SpaceAlert::Within24Hours),
            (4 * hour * 1_000, 1_000, SpaceAlert::Within24Hours),
            (4 * hour * 1_000 - 1, 1_000, SpaceAlert::Within4Hours),
            (0, 1, SpaceAlert::Within4Hours),
        ] {
            assert_eq!(SpaceAlert::of(time_to_full(room, pace)), want, "{room} at {pace}");
        }
    }
}
