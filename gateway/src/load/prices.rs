//! Prices beside a load: the feed runs on a thread of its own, through the HTTP door, from the first message to the last answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use lotbook_perf::feed::{Feed, FeedReport};
use lotbook_perf::http::HttpTarget;
use lotbook_perf::plan::BurstPlan;
use lotbook_perf::universe::Universe;

use super::LoadFailure;

/// The feed of a plan: so many ticks a second for its instruments, as long as it lasts.
#[must_use]
pub fn feed_of(plan: &BurstPlan, universe: &Universe, rate: u64) -> Feed {
    Feed {
        rate,
        seconds: plan.seconds,
        seed: plan.seed,
        instruments: universe.instruments().to_vec(),
        days: plan.business_date_days,
        opens_at_ms: plan.opens_at_ms,
    }
}

/// Does `work`, and sends `feed` to the HTTP door meanwhile. Blocks until both have ended.
///
/// # Errors
/// Those of the work, else those of the feed.
pub fn with_prices<T>(
    feed: &Feed,
    http: SocketAddr,
    work: impl FnOnce() -> Result<T, LoadFailure>,
) -> Result<(T, FeedReport), LoadFailure> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("load-prices".into());
        let sending = thread.spawn_scoped(scope, || feed.run(&HttpTarget::new(http), &stop));
        let sending = sending.map_err(|error| LoadFailure::Door(error.into()))?;
        let done = work();
        stop.store(true, Ordering::Relaxed);
        // A feed that panicked has a defect of its crate; it ends this thread as well.
        let sent = sending.join().expect("a feed ends");
        Ok((done?, sent?))
    })
}
