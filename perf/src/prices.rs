//! Prices from a seed: last trades, quotes and official closes of every instrument, the same on every machine.
//!
//! Each instrument's middle walks in cents, by up to three a tick, and never leaves 1.00 to 5,000.00. One tick in four is a last price, the others
//! are quotes around the middle.

use crate::rng::Rng;

const CENTS_MIN: i64 = 100;
const CENTS_MAX: i64 = 500_000;
/// Furthest step of a tick.
const STEP_CENTS_MAX: i64 = 3;
/// Widest distance of bid and ask from the middle.
const HALF_SPREAD_CENTS_MAX: i64 = 4;
const LAST_ONE_IN: u64 = 4;
/// Of the seed's streams: others make the flow and the universe.
const STREAM: u64 = 11;

/// What a tick says; prices in cents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// What was last paid.
    Last(i64),
    /// What is bid and asked; the bid is below the ask.
    BidAsk(i64, i64),
    /// The exchange's close of the day.
    OfficialClose(i64),
}

/// A price of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Index of the instrument.
    pub instrument: usize,
    /// What is said of it.
    pub quote: Quote,
}

/// The walk of all instruments.
#[derive(Clone, Debug)]
pub struct Prices {
    rng: Rng,
    middle_cents: Vec<i64>,
}

impl Prices {
    /// Prices of so many instruments, at least one.
    pub fn new(seed: u64, instruments: usize) -> Self {
        let mut rng = Rng::new(seed, STREAM);
        let middle_cents = (0..instruments.max(1)).map(|_| rng.between(1_000, 80_000)).collect();
        Self { rng, middle_cents }
    }

    /// The next tick of an instrument that is drawn.
    pub fn tick(&mut self) -> Tick {
        let rng = &mut self.rng;
        let instrument = rng.below(self.middle_cents.len() as u64) as usize;
        let middle = &mut self.middle_cents[instrument];
        *middle = (*middle + rng.between(-STEP_CENTS_MAX, STEP_CENTS_MAX)).clamp(CENTS_MIN, CENTS_MAX);
        let half = rng.between(1, HALF_SPREAD_CENTS_MAX);
        let quote = match rng.below(LAST_ONE_IN) {
            0 => Quote::Last(*middle),
            _ => Quote::BidAsk(*middle - half, *middle + half),
        };
        Tick { instrument, quote }
    }

    /// The official close of every instrument, where it stands now.
    pub fn closes(&self) -> impl Iterator<Item = Tick> {
        let close = |(instrument, cents): (usize, &i64)| Tick { instrument, quote: Quote::OfficialClose(*cents) };
        self.middle_cents.iter().enumerate().map(close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_prices() {
        let ticks = |seed| {
            let mut prices = Prices::new(seed, 7);
            let mut ticks: Vec<Tick> = (0..1_000).map(|_| prices.tick()).collect();
            ticks.extend(prices.closes());
            ticks
        };
        assert_eq!(ticks(1), ticks(1));
        assert_ne!(ticks(1), ticks(2));
    }

    #[test]
    fn prices_stay_in_bounds_and_every_kind_and_instrument_comes() {
        let mut prices = Prices::new(3, 5);
        let (mut lasts, mut seen) = (0, [0; 5]);
        for _ in 0..20_000 {
            let tick = prices.tick();
            seen[tick.instrument] += 1;
            let (low, high) = match tick.quote {
                Quote::Last(cents) => {
                    lasts += 1;
                    (cents, cents)
                }
                Quote::BidAsk(bid, ask) => {
                    assert!(bid < ask);
                    (bid, ask)
                }
                Quote::OfficialClose(_) => panic!("a close is none of the ticks"),
            };
            assert!(low >= CENTS_MIN - HALF_SPREAD_CENTS_MAX && high <= CENTS_MAX + HALF_SPREAD_CENTS_MAX);
        }
        assert!((4_000..6_000).contains(&lasts), "{lasts}");
        assert!(seen.iter().all(|count| *count > 3_000), "{seen:?}");
        assert_eq!(prices.closes().count(), 5);
    }
}
