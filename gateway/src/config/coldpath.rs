//! `[coldpath]`: the workers that reconcile late trades, and the order in which they take positions.

use std::time::Duration;

use lotbook_engine::coldpath::{ColdConfig, Order};

/// The section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coldpath {
    /// Workers.
    pub workers: u32,
    /// Core of the first worker; `None`: not pinned.
    pub core: Option<u16>,
    /// Which position comes first.
    pub order: Order,
    /// Longest time that a position is to be PROVISIONAL.
    pub service_level_ms: u64,
    /// A worker that has one position for longer is given up.
    pub hung_after_ms: u64,
    /// What a first retry waits for.
    pub retry_base_ms: u64,
}

/// Words of the orders.
pub(super) const ORDERS: [(&str, Order); 2] =
    [("newest_first", Order::NewestFirst), ("oldest_first", Order::OldestFirst)];

impl Default for Coldpath {
    fn default() -> Self {
        let theirs = ColdConfig::default();
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            workers: u32::try_from(theirs.workers).unwrap_or(u32::MAX),
            core: None,
            order: theirs.order,
            service_level_ms: ms(theirs.service_level),
            hung_after_ms: ms(theirs.hung_after),
            retry_base_ms: ms(theirs.retry_base),
        }
    }
}

impl Coldpath {
    /// In the engine's words.
    #[must_use]
    pub fn of_engine(&self) -> ColdConfig {
        ColdConfig {
            workers: self.workers as usize,
            core: self.core.map(usize::from),
            order: self.order,
            service_level: Duration::from_millis(self.service_level_ms),
            hung_after: Duration::from_millis(self.hung_after_ms),
            retry_base: Duration::from_millis(self.retry_base_ms),
            ..ColdConfig::default()
        }
    }

    /// The word of its order.
    pub(super) fn order_word(&self) -> &'static str {
        ORDERS.iter().find(|(_, order)| *order == self.order).map_or("", |(word, _)| word)
    }
}
