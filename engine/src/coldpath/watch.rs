//! What the shard keeps of a position that trades on while it is replayed: the few trades since the worker asked.
//!
//! A worker whose proposal met a position that had moved on asks for a watch: from then on the shard copies the position's
//! trades, up to [`CATCH_UP_MOST`] of them. A proposal of a version since then is accepted with them: they are booked again
//! behind it. Any other event of the position, or one trade too many, spoils the watch, and the worker begins again.

use lotbook_core::apply::Place;
use lotbook_core::event::{Figures, TradeEvent};
use lotbook_core::rebook::Since;

use crate::limits::CATCH_UP_MOST;

/// The watch of one desk.
#[derive(Debug)]
struct Watch {
    position: u32,
    /// The position's version and figures when it began.
    version: u64,
    figures: Figures,
    /// The trades since, versions without a gap.
    trades: Vec<Since>,
    is_on: bool,
}

/// The watches of all desks. Memory is reserved at the start and touched when used.
#[derive(Debug)]
pub(crate) struct Watches {
    list: Vec<Watch>,
    on: u32,
}

impl Watches {
    pub(crate) fn new(desks: usize) -> Self {
        let watch = |_| Watch {
            position: u32::MAX,
            version: 0,
            figures: Figures::default(),
            trades: Vec::with_capacity(CATCH_UP_MOST),
            is_on: false,
        };
        Self { list: (0..desks).map(watch).collect(), on: 0 }
    }

    /// Whether any position is watched.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.on > 0
    }

    /// Watches a position for a desk, from this version on, and nothing else.
    pub(crate) fn begin(&mut self, desk: usize, position: u32, version: u64, figures: Figures) {
        self.end(desk);
        let watch = &mut self.list[desk];
        (watch.position, watch.version, watch.figures, watch.is_on) = (position, version, figures, true);
        watch.trades.clear();
        self.on += 1;
    }

    /// Ends the watch of a desk.
    pub(crate) fn end(&mut self, desk: usize) {
        let watch = &mut self.list[desk];
        self.on -= u32::from(watch.is_on);
        watch.is_on = false;
    }

    /// A trade was booked.
    #[cold]
    pub(crate) fn note(&mut self, event: &TradeEvent<'_>, place: Place) {
        for desk in 0..self.list.len() {
            let watch = &mut self.list[desk];
            if !watch.is_on || watch.position != event.position {
                continue;
            }
            let is_next = event.version == watch.version + watch.trades.len() as u64 + 1;
            match Since::of(event, place) {
                Some(since) if is_next && watch.trades.len() < CATCH_UP_MOST => watch.trades.push(since),
                _ => self.end(desk),
            }
        }
    }

    /// The position's figures at the version at which the watch of a desk began, and all that came since and until `now`; `None` where
    /// that is not known.
    pub(crate) fn since(&self, desk: usize, position: u32, version: u64, now: u64) -> Option<(Figures, &[Since])> {
        let watch = &self.list[desk];
        let is_whole = watch.version + watch.trades.len() as u64 == now;
        (watch.is_on && watch.position == position && watch.version == version && is_whole)
            .then_some((watch.figures, &watch.trades))
    }

    /// Trade number `index` of a watch that is known whole.
    pub(crate) fn at(&self, desk: usize, index: usize) -> Since {
        self.list[desk].trades[index]
    }
}
