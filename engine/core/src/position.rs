//! A position: account and instrument, its figures, its place in history, its status.

use crate::amount::Money;
use crate::book::NO_POSITION;
use crate::date::Date;
use crate::event::Figures;
use crate::id::{ChronoKey, NameId};
use crate::lots::LotBlock;
use crate::sums::Counted;

/// Whether the figures are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconciliation {
    /// Equals the chronological replay of the accepted set.
    Reconciled,
    /// An estimate that awaits the coldpath.
    Provisional,
    /// Replayed, exact, and with a break that needs a person.
    Pending,
}

impl Reconciliation {
    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reconciled => "RECONCILED",
            Self::Provisional => "PROVISIONAL",
            Self::Pending => "PENDING",
        }
    }
}

/// A position of the book.
///
/// Laid out by who reads it: what every trade reads lies in the first four lines, the key of the newest trade goes on into the
/// fifth, what few trades touch is in the rest.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Position {
    /// Interned account.
    pub account: NameId,
    /// Interned instrument.
    pub instrument: NameId,
    /// Net quantity; the sign is the side of the lots.
    pub quantity_e8: i64,
    /// The open lots.
    pub block: LotBlock,
    /// No open lot is held for longer than since this date; a bound that rises only when the position is flat, so
    /// that most reductions need not read when their lots were acquired. In no digest.
    pub(crate) oldest: Date,
    /// Ordinal of the newest change of history that is in its figures, or concerns it not.
    pub seen: u32,
    /// Hash of the two names.
    pub key_hash: u64,
    /// Number of the last event that changed the position; contiguous from 1.
    pub version: u64,
    /// Late trades and amendments since the last correction.
    pub provisional: u32,
    /// Accepted trades that the last replay or maturity found illegal.
    pub breaks: u32,
    /// What the position adds to the book's sums.
    pub(crate) counted: Counted,
    /// Signed quantity of forward-dated trades that wait.
    pub forward_quantity_e8: i64,
    /// Address of the position's last event; kept by the host, in no digest.
    pub last_address: u64,
    /// Realized since inception; fees enter it where the contract says so.
    pub realized_e16: Money,
    /// The long-term part of it; the rest is short-term.
    pub realized_long_e16: Money,
    /// Realized since inception, in base currency.
    pub realized_base_e16: Money,
    /// Remaining cost of the open lots.
    pub cost_e16: Money,
    /// Remaining base cost of the open lots.
    pub base_cost_e16: Money,
    /// Fees since inception.
    pub fees_e16: Money,
    /// Greatest applied key.
    pub frontier: ChronoKey,
    /// Dividends since inception, apart from what was realized; negative where shorts paid more.
    pub dividends_e16: Money,
    /// Digest of the set of the breaks.
    pub break_set: u64,
    /// Sum of the magnitudes of the forward-dated quantities: bounded, so that they may mature in any order.
    pub forward_gross_e8: i64,
    /// Number of forward-dated trades that wait.
    pub forwards: u32,
    /// Next position of the same instrument, or `NO_POSITION`; kept by the book, in no digest.
    pub(crate) next_of_instrument: u32,
    /// An operator resolved this very set.
    pub(crate) resolved: bool,
}

const _: () = assert!(size_of::<Position>() == 6 * 64);
const _: () = assert!(core::mem::offset_of!(Position, key_hash) == 64);
const _: () = assert!(core::mem::offset_of!(Position, frontier) + core::mem::offset_of!(ChronoKey, trade_id) <= 4 * 64);

impl Position {
    /// A position before its first event.
    #[must_use]
    pub fn new(account: NameId, instrument: NameId, key_hash: u64) -> Self {
        Self {
            account,
            instrument,
            key_hash,
            quantity_e8: 0,
            realized_e16: 0,
            realized_long_e16: 0,
            realized_base_e16: 0,
            cost_e16: 0,
            base_cost_e16: 0,
            fees_e16: 0,
            dividends_e16: 0,
            block: LotBlock::EMPTY,
            oldest: Date::NONE,
            version: 0,
            provisional: 0,
            breaks: 0,
            break_set: 0,
            resolved: false,
            frontier: ChronoKey::MIN,
            seen: 0,
            next_of_instrument: NO_POSITION,
            forward_quantity_e8: 0,
            forward_gross_e8: 0,
            forwards: 0,
            counted: Counted::NOTHING,
            last_address: u64::MAX,
        }
    }

    /// Takes the set of breaks that was found: a resolution holds for the very set that it resolved.
    pub(crate) fn found_breaks(&mut self, break_set: u64) {
        self.resolved &= self.break_set == break_set;
        self.break_set = break_set;
    }

    /// Whether an operator has resolved the breaks that there are.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.breaks > 0 && self.resolved
    }

    /// Whether the figures are final.
    #[must_use]
    pub fn reconciliation(&self) -> Reconciliation {
        if self.provisional > 0 {
            Reconciliation::Provisional
        } else if self.breaks > 0 && !self.is_resolved() {
            Reconciliation::Pending
        } else {
            Reconciliation::Reconciled
        }
    }

    /// The figures that corrections compare.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            quantity_e8: self.quantity_e8,
            realized_e16: self.realized_e16,
            realized_long_e16: self.realized_long_e16,
            realized_base_e16: self.realized_base_e16,
            cost_e16: self.cost_e16,
            base_cost_e16: self.base_cost_e16,
            fees_e16: self.fees_e16,
            dividends_e16: self.dividends_e16,
            lot_count: self.block.len() as u32,
        }
    }
}
