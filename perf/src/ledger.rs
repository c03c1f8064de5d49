//! The sender's own book: every message of a run and what was answered, 48 bytes each.
//!
//! Messages are not kept as bytes. Whatever is on the wire follows from the entry, so a resend is encoded again and comes out the same.

use crate::invalid::InvalidClass;
use crate::limits::TRADE_ID_BYTES;
use crate::oracle::OracleTrade;
use crate::plan::BurstPlan;
use crate::rng::splitmix64;
use crate::text;
use crate::universe::{Pair, Universe};

/// No other entry is linked.
pub const NO_LINK: u32 = u32::MAX;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A trade of its own.
    Trade,
    /// An earlier trade sent again; `link` names it.
    Duplicate,
    /// A message that must be refused.
    Invalid(InvalidClass),
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// Not sent yet.
    Unsent,
    /// Sent, no answer yet.
    Sent,
    /// Accepted: applied.
    Applied,
    /// Accepted: applied as an estimate, to be replayed.
    Provisional,
    /// Accepted: kept for a later business date.
    Forward,
    /// Accepted, as a `duplicate` answer to a later copy told.
    Learnt,
    /// Answered as a duplicate of an accepted trade.
    Duplicate,
    /// Refused by the engine.
    Rejected,
    /// Refused by the session layer.
    SessionRejected,
    /// Refused by the application.
    BusinessRejected,
    /// Refused because the host was not taking any (380=4).
    Unavailable,
}

impl Status {
    /// Accepted trades are in the log.
    pub fn accepted(self) -> bool {
        matches!(self, Self::Applied | Self::Provisional | Self::Forward | Self::Learnt)
    }

    /// Refused, in whatever way.
    pub fn refused(self) -> bool {
        matches!(self, Self::Rejected | Self::SessionRejected | Self::BusinessRejected | Self::Unavailable)
    }
}

/// Side of a trade as in tag 54.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Side {
    /// 1.
    Buy = b'1',
    /// 2.
    Sell = b'2',
    /// 5.
    SellShort = b'5',
}

/// Sent as a TradeCaptureReport, else as an ExecutionReport.
pub const FORM_CAPTURE: u8 = 1;
/// Carries a correlation id of the sender's.
pub const FORM_CORRELATED: u8 = 2;
/// Carries PositionEffect close.
pub const FORM_CLOSE: u8 = 4;

/// One message.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Quantity at 10^-8.
    pub quantity_e8: i64,
    /// Price at 10^-8.
    pub price_e8: i64,
    /// Log sequence from the answer; 0 before. Of a duplicate: of its own event.
    pub log_sequence: u64,
    /// MsgSeqNum it was sent with; 0 before.
    pub source_order: u32,
    /// Of a duplicate: the original. Of a trade: its duplicate, if it has one.
    pub link: u32,
    /// Execution time within its date.
    pub executed_ms_of_day: u32,
    /// Fees in cents.
    pub fees_cents: u16,
    /// Index of the account.
    pub account: u16,
    /// Index of the instrument.
    pub instrument: u16,
    /// Effective date less business date.
    pub date_offset: i8,
    kind: u8,
    /// `FORM_*` flags.
    pub form: u8,
    /// Side.
    pub side: Side,
    /// Index of the session.
    pub session: u8,
    /// What was answered.
    pub status: Status,
}

// Ten million of them must fit where a host runs as well.
const _: () = assert!(core::mem::size_of::<Entry>() == 48);

const KIND_TRADE: u8 = 0;
const KIND_DUPLICATE: u8 = 1;
const KIND_INVALID: u8 = 2;

impl Entry {
    /// What the message is.
    pub fn kind(&self) -> Kind {
        match self.kind {
            KIND_TRADE => Kind::Trade,
            KIND_DUPLICATE => Kind::Duplicate,
            class => Kind::Invalid(InvalidClass::from_index(class - KIND_INVALID).expect("set by set_kind")),
        }
    }

    /// Sets what the message is.
    pub fn set_kind(&mut self, kind: Kind) {
        self.kind = match kind {
            Kind::Trade => KIND_TRADE,
            Kind::Duplicate => KIND_DUPLICATE,
            Kind::Invalid(class) => KIND_INVALID + class as u8,
        };
    }

    /// Its position.
    pub fn pair(&self) -> Pair {
        Pair { account: self.account, instrument: self.instrument }
    }

    /// Quantity with the sign of its effect.
    pub fn signed_e8(&self) -> i64 {
        if self.side == Side::Buy { self.quantity_e8 } else { -self.quantity_e8 }
    }

    /// A blank trade.
    pub fn blank(pair: Pair, session: u8) -> Self {
        Self {
            quantity_e8: 0,
            price_e8: 0,
            log_sequence: 0,
            source_order: 0,
            link: NO_LINK,
            executed_ms_of_day: 0,
            fees_cents: 0,
            account: pair.account,
            instrument: pair.instrument,
            date_offset: 0,
            kind: KIND_TRADE,
            form: 0,
            side: Side::Buy,
            session,
            status: Status::Unsent,
        }
    }
}

/// All messages of a run, in the order of their schedule.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Who trades what.
    pub universe: Universe,
    /// The messages; the index is the message's number in the run.
    pub entries: Vec<Entry>,
    business_date_days: i32,
    /// `YYYYMMDD` of every date an entry can have, so that encoding formats none.
    dates: Vec<String>,
    prefix: [u8; 6],
}

/// Dates run from five days before the business date to three after it.
const DATE_OFFSET_MIN: i8 = -5;
const DATE_OFFSET_MAX: i8 = 3;
const MS_NS: i64 = 1_000_000;
const DAY_NS: i64 = 86_400_000 * MS_NS;

impl Ledger {
    /// An empty ledger for `plan`.
    pub fn new(plan: &BurstPlan, universe: Universe) -> Self {
        let mut mix = plan.seed;
        let prefix: [u8; 6] =
            format!("{:06X}", splitmix64(&mut mix) & 0xFF_FFFF).into_bytes().try_into().expect("six digits");
        let offsets = DATE_OFFSET_MIN..=DATE_OFFSET_MAX;
        let dates = offsets.map(|offset| text::fix_date(plan.business_date_days + i32::from(offset))).collect();
        Self { universe, entries: Vec::new(), business_date_days: plan.business_date_days, dates, prefix }
    }

    /// Messages that the sender has put on the wire (or tried to).
    pub fn sent(&self) -> usize {
        self.entries.iter().filter(|entry| entry.status != Status::Unsent).count()
    }

    /// The host's business date.
    pub fn business_date_days(&self) -> i32 {
        self.business_date_days
    }

    /// The index whose trade id message `index` carries: that of the original where it is a duplicate.
    pub fn original(&self, index: u32) -> u32 {
        let entry = &self.entries[index as usize];
        if entry.kind() == Kind::Duplicate { entry.link } else { index }
    }

    /// Appends the trade id that message `index` carries.
    pub fn push_trade_id(&self, out: &mut Vec<u8>, index: u32) {
        out.extend_from_slice(&self.prefix);
        out.push(b'-');
        text::push_padded(out, u64::from(self.original(index)), TRADE_ID_BYTES - 7);
        if self.entries[index as usize].kind() == Kind::Invalid(InvalidClass::LongTradeId) {
            out.resize(out.len() + 64, b'X');
        }
    }

    /// The trade id that message `index` carries.
    pub fn trade_id(&self, index: u32) -> String {
        let mut out = Vec::with_capacity(TRADE_ID_BYTES);
        self.push_trade_id(&mut out, index);
        String::from_utf8(out).expect("ids are ASCII")
    }

    /// The index of the message that made this trade id; none when the id is not of this ledger.
    pub fn index_of(&self, trade_id: &[u8]) -> Option<u32> {
        if trade_id.len() < TRADE_ID_BYTES || trade_id[..6] != self.prefix || trade_id[6] != b'-' {
            return None;
        }
        let index = text::parse_u64(&trade_id[7..TRADE_ID_BYTES])?;
        let entry = self.entries.get(usize::try_from(index).ok()?)?;
        let long = entry.kind() == Kind::Invalid(InvalidClass::LongTradeId);
        let whole = trade_id.len() == TRADE_ID_BYTES || long;
        (whole && entry.kind() != Kind::Duplicate).then_some(index as u32)
    }

    /// `YYYYMMDD` of the date `offset` days from the business date.
    pub fn date_text(&self, offset: i8) -> &[u8] {
        self.dates[usize::try_from(offset - DATE_OFFSET_MIN).expect("an offset of this flow")].as_bytes()
    }

    /// Effective date of message `index`, days from 1970-01-01.
    pub fn effective_days(&self, index: u32) -> i32 {
        self.business_date_days + i32::from(self.entries[index as usize].date_offset)
    }

    /// Message `index` as the oracle takes it.
    pub fn oracle_trade(&self, index: u32) -> OracleTrade {
        let entry = &self.entries[index as usize];
        let effective_days = self.effective_days(index);
        OracleTrade {
            trade_id: self.trade_id(index),
            buy: entry.side == Side::Buy,
            quantity_e8: entry.quantity_e8,
            price_e8: entry.price_e8,
            fees_e8: i64::from(entry.fees_cents) * 1_000_000,
            effective_days,
            executed_at_ns: i64::from(effective_days) * DAY_NS + i64::from(entry.executed_ms_of_day) * MS_NS,
            source_order: u64::from(entry.source_order),
        }
    }
}
