//! Files in, lines out: the readers behind `lotbook replay`.
//!
//! The way of the bytes: `source` opens, decompresses and frames; `jsonl`, `csv` and
//! `fix_stream` find the fields; `fields` checks them and makes a [`Line`]. `reader` walks the
//! files. Nothing here knows the engine: a line holds names as text and numbers as exact integers.
//!
//! What is refused here is a *form*: what cannot be read at all. A quantity of zero or a negative
//! price is readable; it passes, and the gate answers it with a reason, so that it is counted.
//! The formats are documented in `docs/replay.md`.

mod actions;
mod csv;
mod error;
mod fields;
mod fix_stream;
mod jsonl;
mod map;
mod reader;
mod source;
pub mod text;
pub mod time;

use std::sync::Arc;

use lotbook_core::amend::AmendKind;
use lotbook_core::command::{MarkKind, Side, TradeKind, TradeType};
use lotbook_core::date::Date;
use lotbook_core::rules::{FeesRule, LockedChanges, LotMethod, LotScope, ShortRank, TaxRates, WashSale};

pub use actions::{ActionLine, LockLine};

use crate::rates::Pair;

pub(crate) use csv::CsvRows;
pub use error::{Code, LineError, quoted};
pub use fix_stream::FixDecoder;
pub use jsonl::parse_line;
pub use map::{FORMS, Filter, MapError, Mapping, PRESETS};
pub use reader::{InputOptions, Reader, Stats, read_rules};
pub use source::LINE_BYTES_MAX;

/// Format of an input file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated trades with a header row.
    Csv,
    /// Raw FIX messages, one a line or back to back.
    Fix,
}

/// One thing that a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one line at a time, and nearly all of them are trades")]
pub enum Line {
    /// A trade.
    Trade(TradeLine),
    /// A cancel or correct.
    Amend(AmendLine),
    /// An operator resolves the breaks of a position.
    Resolve(ResolveLine),
    /// A contract's rules from a date on.
    Contract(ContractLine),
    /// An instrument's terms.
    Instrument(InstrumentLine),
    /// The business date moves on.
    BusinessDate(Date),
    /// A price for valuation.
    Mark(MarkLine),
    /// A rate between two currencies.
    Fx(FxLine),
    /// A corporate action or a reset.
    Action(Box<ActionLine>),
    /// History is to be closed.
    PeriodLock(LockLine),
}

/// A trade as a file gives it; what is missing is stamped by the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeLine {
    /// Unique within its namespace.
    pub trade_id: String,
    /// Namespace of the id; `None`: the one that all JSON lines and CSV rows share.
    pub namespace: Option<String>,
    /// Account.
    pub account: String,
    /// Instrument.
    pub instrument: String,
    /// A trade, an opening lot or a transfer.
    pub kind: TradeKind,
    /// Account that a transfer goes to.
    pub to_account: Option<String>,
    /// Side.
    pub side: Side,
    /// What the sender says that it does; [`TradeType::Any`] where nothing is said.
    pub trade_type: TradeType,
    /// Quantity at 10^-8; any sign, for the gate judges it.
    pub quantity_e8: i64,
    /// Price at 10^-8; any sign, for the book judges it.
    pub price_e8: Option<i64>,
    /// Gross amount, or cost of an opening lot, at 10^-8; any sign, for the book judges it.
    pub consideration_e8: Option<i64>,
    /// Currency.
    pub currency: Option<String>,
    /// Units of base currency for one of the trade's, at 10^-8; stamped by the door where absent.
    pub fx_to_base_e8: Option<i64>,
    /// Sub-account.
    pub sub_account: Option<String>,
    /// When an opening lot was acquired.
    pub acquired: Option<Date>,
    /// Fees at 10^-8, 0 where none are given; any sign, for the gate judges them.
    pub fees_e8: i64,
    /// Date on which it takes effect.
    pub effective_date: Date,
    /// Execution time, UTC nanoseconds.
    pub executed_at_ns: Option<i64>,
    /// Order within the source; the line number where absent.
    pub source_order: Option<u64>,
    /// Id of the trade that opened the lot to use.
    pub lot: Option<String>,
    /// Contract whose rules apply.
    pub contract_id: Option<String>,
    /// Correlation id.
    pub correlation_id: Option<String>,
    /// User.
    pub user_id: Option<String>,
}

/// A cancel or correct as a file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmendLine {
    /// Its own id; made from what it says where none was given.
    pub amend_id: String,
    /// Namespace of both ids; `None`: the one that all JSON lines share.
    pub namespace: Option<String>,
    /// Cancel or correct.
    pub kind: AmendKind,
    /// Id of the trade or amendment that it amends.
    pub target_id: String,
    /// Account of the target, where the sender repeats it.
    pub account: Option<String>,
    /// Instrument of the target, where the sender repeats it.
    pub instrument: Option<String>,
    /// What a correct changes.
    pub changes: ChangeWords,
    /// Its own execution time, UTC nanoseconds.
    pub executed_at_ns: Option<i64>,
    /// Order within the source; the line number where absent.
    pub source_order: Option<u64>,
    /// Correlation id.
    pub correlation_id: Option<String>,
    /// User.
    pub user_id: Option<String>,
}

/// What a correct changes, in a door's words; numbers of any sign, for the shard judges them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeWords {
    /// Side.
    pub side: Option<Side>,
    /// What the sender says that the trade does.
    pub trade_type: Option<TradeType>,
    /// Quantity.
    pub quantity_e8: Option<i64>,
    /// Price.
    pub price_e8: Option<i64>,
    /// Gross amount.
    pub consideration_e8: Option<i64>,
    /// Fees.
    pub fees_e8: Option<i64>,
    /// Units of base currency for one of the trade's.
    pub fx_to_base_e8: Option<i64>,
    /// Effective date.
    pub effective_date: Option<Date>,
    /// Execution time, UTC nanoseconds.
    pub executed_at_ns: Option<i64>,
    /// Id of the trade that opened the lot to use.
    pub lot: Option<String>,
    /// Contract.
    pub contract_id: Option<String>,
    /// Currency.
    pub currency: Option<String>,
    /// Sub-account.
    pub sub_account: Option<String>,
    /// New units of a split.
    pub numerator: Option<u32>,
    /// Old units of a split.
    pub denominator: Option<u32>,
    /// Cash a unit, of an action.
    pub cash_e8: Option<i64>,
    /// Price at which the fraction of a split is paid out.
    pub cash_in_lieu_e8: Option<i64>,
    /// Record date of a cash dividend.
    pub record_date: Option<Date>,
}

impl ChangeWords {
    /// What is changed to what, as one text that is the same in every release.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = String::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.push_str(&format!("{name}={value};"));
            }
        };
        put("side", self.side.map(|side| side.as_str().to_owned()));
        put("trade_type", self.trade_type.map(|kind| kind.as_str().to_owned()));
        for (name, value) in [
            ("quantity", self.quantity_e8),
            ("price", self.price_e8),
            ("consideration", self.consideration_e8),
            ("fees", self.fees_e8),
            ("fx_to_base", self.fx_to_base_e8),
            ("executed_at", self.executed_at_ns),
            ("numerator", self.numerator.map(i64::from)),
            ("denominator", self.denominator.map(i64::from)),
            ("cash_per_unit", self.cash_e8),
            ("cash_in_lieu_price", self.cash_in_lieu_e8),
        ] {
            put(name, value.map(|value| value.to_string()));
        }
        put("effective_date", self.effective_date.map(|date| date.to_string()));
        put("record_date", self.record_date.map(|date| date.to_string()));
        for (name, value) in [
            ("lot", &self.lot),
            ("contract_id", &self.contract_id),
            ("currency", &self.currency),
            ("sub_account", &self.sub_account),
        ] {
            put(name, value.clone());
        }
        words
    }
}

/// An operator resolves the breaks of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveLine {
    /// Account.
    pub account: String,
    /// Instrument.
    pub instrument: String,
    /// Who.
    pub user_id: String,
    /// Why, at most 200 bytes.
    pub reason: String,
    /// The version that was looked at; whichever it is where absent.
    pub version: Option<u64>,
    /// Correlation id.
    pub correlation_id: Option<String>,
}

/// A contract's rules from a date on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractLine {
    /// Contract.
    pub contract_id: String,
    /// Account, `None` for all.
    pub account: Option<String>,
    /// Instrument, `None` for all.
    pub instrument: Option<String>,
    /// Lot method; `None`: what holds without a contract.
    pub lot_method: Option<LotMethod>,
    /// Whether the position may be short; `None`: what holds without a contract.
    pub allow_short: Option<bool>,
    /// What ranks short lots.
    pub short_rank: Option<ShortRank>,
    /// Whose lots a closing trade takes.
    pub lot_scope: Option<LotScope>,
    /// What fees do.
    pub fees_rule: Option<FeesRule>,
    /// Both tax rates, or neither.
    pub tax_rates: Option<TaxRates>,
    /// Days of holding after which a lot is long-term; `None`: a calendar year.
    pub long_term_days: Option<u16>,
    /// Where replacements of a wash sale are looked for.
    pub wash_sale: Option<WashSale>,
    /// Days of the window of wash sales.
    pub wash_window_days: Option<u16>,
    /// Taxpayer; `None`: the account's own name.
    pub taxpayer: Option<String>,
    /// What becomes of a change to closed history.
    pub locked_changes: Option<LockedChanges>,
    /// From this date on.
    pub effective_date: Date,
}

/// An instrument's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentLine {
    /// Instrument.
    pub instrument: String,
    /// Currency.
    pub currency: Option<String>,
    /// Money per unit of price and quantity at 10^-8; one where absent.
    pub multiplier_e8: Option<i64>,
    /// Smallest price step at 10^-8.
    pub tick_e8: Option<i64>,
    /// ISIN, form checked.
    pub isin: Option<[u8; 12]>,
    /// CUSIP, form checked.
    pub cusip: Option<[u8; 9]>,
    /// Lowest admissible price at 10^-8.
    pub price_min_e8: Option<i64>,
    /// Highest admissible price at 10^-8.
    pub price_max_e8: Option<i64>,
}

/// A price for valuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkLine {
    /// Instrument.
    pub instrument: String,
    /// Kind.
    pub kind: MarkKind,
    /// The price, or the bid, at 10^-8.
    pub price_e8: i64,
    /// The ask for [`MarkKind::BidAsk`], else 0, at 10^-8.
    pub ask_e8: i64,
    /// Time of the price, UTC nanoseconds.
    pub at_ns: i64,
}

/// A rate between two currencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FxLine {
    /// The pair.
    pub pair: Pair,
    /// Units of the second for one of the first, at 10^-8; any sign, for the door judges it.
    pub rate_e8: i64,
    /// From when it holds, UTC nanoseconds.
    pub at_ns: i64,
}

/// A line and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The file as named by the user; `-` for standard input.
    pub file: Arc<str>,
    /// Which file of the list, from 0.
    pub file_index: u32,
    /// Line in the file from 1; for FIX the number of the message. 0 where the file as a whole is meant.
    pub line: u64,
    /// Hash of the raw bytes of the line (for CSV of its cells), 0 where there are none.
    pub raw_hash: u64,
    /// What it says, or why it cannot be read.
    pub line_result: Result<Line, LineError>,
}

impl Located {
    /// `FILE:LINE`, or `FILE` where the file as a whole is meant.
    #[must_use]
    pub fn place(&self) -> String {
        if self.line == 0 { self.file.to_string() } else { format!("{}:{}", self.file, self.line) }
    }
}

#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile_tests;
