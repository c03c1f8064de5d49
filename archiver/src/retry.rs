//! When a sink tries again: backoff with jitter, and a breaker that spares a peer which keeps failing.
//!
//! A state machine with the time passed in; it neither sleeps nor reads a clock, so a test walks hours in no time and a sink can still look
//! at its stop between two tries. (Of the crates there are, `failsafe` reads the clock itself, and `backon` has no breaker.)
//!
//! How a sink uses it: ask [`Retry::wait`] before each try and sleep that long in steps that end when it is told to stop; then call
//! [`Retry::succeeded`] or [`Retry::failed`]. A sink of which only the newest state counts may drop what came while the breaker was open.
//!
//! ```
//! use std::time::Duration;
//! use lotbook_archiver::retry::{Retry, RetryTerms};
//!
//! let mut retry = Retry::new(RetryTerms::default(), 7);
//! let mut now = Duration::ZERO;
//! assert_eq!(retry.wait(now), Duration::ZERO, "nothing has failed");
//! retry.failed(now);
//! now += retry.wait(now);
//! retry.succeeded();
//! assert_eq!(retry.failures(), 0);
//! ```

use std::time::Duration;

/// How often and how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryTerms {
    /// What the first retry waits for; twice as long each further time.
    pub base: Duration,
    /// No retry waits for longer while the breaker is closed.
    pub max: Duration,
    /// Failures in a row that open the breaker; at least 1.
    pub breaks_after: u32,
    /// An open breaker lets nothing through for so long; then one try decides.
    pub open_for: Duration,
}

impl Default for RetryTerms {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            max: Duration::from_secs(5),
            breaks_after: 5,
            open_for: Duration::from_secs(15),
        }
    }
}

/// What the breaker does with the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// Lets it through.
    Closed,
    /// Lets none through yet.
    Open,
    /// Lets one through, which closes it or opens it again.
    HalfOpen,
}

impl Breaker {
    /// The word of metrics and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Failures in a row, and when the next try is due. Times are durations since any moment that stays the same.
#[derive(Clone, Debug)]
pub struct Retry {
    terms: RetryTerms,
    failures: u32,
    due: Duration,
    opened: u64,
    random: u64,
}

impl Retry {
    /// Nothing has failed. The seed decides the jitter: another for each sink and process, so that they do not come back at one time.
    #[must_use]
    pub fn new(terms: RetryTerms, seed: u64) -> Self {
        Self { terms, failures: 0, due: Duration::ZERO, opened: 0, random: seed }
    }

    /// How long until the next try; zero for now.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.due.saturating_sub(now)
    }

    /// A try went well.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.due = Duration::ZERO;
    }

    /// A try failed.
    pub fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        let breaks = self.failures >= self.terms.breaks_after;
        // A failed try of a half-open breaker opens it anew; that is one incident, not another.
        self.opened += u64::from(self.failures == self.terms.breaks_after);
        let step = if breaks {
            self.terms.open_for
        } else {
            let doubled = self.terms.base.saturating_mul(1u32 << (self.failures - 1).min(20));
            doubled.min(self.terms.max)
        };
        self.due = now + self.jittered(step);
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How often the breaker opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// What the breaker does with the next try.
    #[must_use]
    pub fn breaker(&self, now: Duration) -> Breaker {
        match (self.failures >= self.terms.breaks_after, self.wait(now).is_zero()) {
            (false, _) => Breaker::Closed,
            (true, false) => Breaker::Open,
            (true, true) => Breaker::HalfOpen,
        }
    }

    /// Between four fifths and all of it.
    fn jittered(&mut self, step: Duration) -> Duration {
        self.random = lotbook_core::digest::mix(self.random, 0x9e37_79b9_7f4a_7c15);
        let fifth = step / 5;
        step - fifth.mul_f64((self.random >> 11) as f64 / (1u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: RetryTerms = RetryTerms {
        base: Duration::from_millis(100),
        max: Duration::from_secs(1),
        breaks_after: 6,
        open_for: Duration::from_secs(15),
    };

    #[test]
    fn waits_double_up_to_the_most_and_the_breaker_opens() {
        let mut retry = Retry::new(TERMS, 1);
        let now = Duration::from_secs(1_000);
        for (failure, step_ms) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1_000), (6, 15_000), (7, 15_000)] {
            retry.failed(now);
            let step = Duration::from_millis(step_ms);
            let wait = retry.wait(now);
            assert!(wait <= step && wait >= step * 4 / 5, "failure {failure}: {wait:?} of {step:?}");
            assert_eq!(retry.breaker(now), if failure < 6 { Breaker::Closed } else { Breaker::Open });
        }
        assert_eq!(retry.breaker(now + TERMS.open_for), Breaker::HalfOpen);
        assert_eq!(retry.opened(), 1, "failing on is no new incident");
        retry.succeeded();
        assert_eq!((retry.breaker(now), retry.wait(now), retry.failures()), (Breaker::Closed, Duration::ZERO, 0));
    }

    #[test]
    fn sinks_do_not_come_back_at_one_time() {
        let waits: std::collections::HashSet<Duration> = (0..100)
            .map(|seed| {
                let mut retry = Retry::new(TERMS, seed);
                retry.failed(Duration::ZERO);
                retry.wait(Duration::ZERO)
            })
            .collect();
        assert!(waits.len() > 90, "{} of 100", waits.len());
    }

    #[test]
    fn counts_saturate() {
        let mut retry = Retry::new(TERMS, 1);
        retry.failures = u32::MAX;
        retry.failed(Duration::MAX / 2);
        assert_eq!(retry.failures(), u32::MAX);
    }
}
