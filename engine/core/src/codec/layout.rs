//! The frozen structs: each is the fixed part of one (kind, version), as it is on disk.

use rkyv::{Archive, Serialize};

use crate::closed::PeriodFigures;
use crate::command::Origin;
use crate::event::Figures;

#[derive(Archive, Serialize, Clone, Copy)]
pub(super) struct OriginV1 {
    pub(super) trace_id: u128,
    pub(super) received_at_ns: i64,
    pub(super) occurred_at_ns: i64,
    pub(super) source_offset: u64,
    pub(super) raw_hash: u64,
    pub(super) causation: u64,
    pub(super) source: u32,
    pub(super) reserved: u32,
}

#[derive(Archive, Serialize)]
pub(super) struct TradeV1 {
    pub(super) origin: OriginV1,
    pub(super) hash: u128,
    pub(super) lot: u128,
    pub(super) realized_e16: i128,
    pub(super) closed_cost_e16: i128,
    pub(super) opened_cost_e16: i128,
    pub(super) quantity_e8: i64,
    pub(super) price_e8: i64,
    pub(super) fees_e8: i64,
    pub(super) executed_at_ns: i64,
    pub(super) source_order: u64,
    pub(super) version: u64,
    pub(super) closed_quantity_e8: i64,
    pub(super) opened_quantity_e8: i64,
    pub(super) first_sequence: u64,
    pub(super) first_address: u64,
    pub(super) effective_date: i32,
    pub(super) namespace: u32,
    pub(super) account: u32,
    pub(super) instrument: u32,
    pub(super) contract: u32,
    pub(super) user: u32,
    pub(super) position: u32,
    pub(super) reason: u16,
    pub(super) runs: u16,
    pub(super) side: u8,
    pub(super) trade_type: u8,
    pub(super) class: u8,
    pub(super) first_class: u8,
    pub(super) method: u8,
    pub(super) flags: u8,
    pub(super) trade_id_bytes: u8,
    pub(super) correlation_bytes: u8,
    pub(super) currency: u32,
    pub(super) sub_account: u32,
}

/// What a plain trade leaves out; it follows the fixed part where a flag says so.
#[derive(Archive, Serialize)]
pub(super) struct TradeExtraV1 {
    pub(super) opened_base_e16: i128,
    pub(super) closed_base_e16: i128,
    pub(super) realized_base_e16: i128,
    pub(super) realized_long_e16: i128,
    pub(super) consideration_e8: i64,
    pub(super) fx_to_base_e8: i64,
    pub(super) lot_price_e8: i64,
    pub(super) acquired: i32,
    pub(super) to_account: u32,
    pub(super) kind: u8,
    pub(super) reserved: [u8; 15],
}

#[derive(Archive, Serialize)]
pub(super) struct FiguresV1 {
    pub(super) realized_e16: i128,
    pub(super) realized_long_e16: i128,
    pub(super) realized_base_e16: i128,
    pub(super) cost_e16: i128,
    pub(super) base_cost_e16: i128,
    pub(super) fees_e16: i128,
    pub(super) dividends_e16: i128,
    pub(super) quantity_e8: i64,
    pub(super) lot_count: u32,
    pub(super) reserved: u32,
}

#[derive(Archive, Serialize)]
pub(super) struct PeriodV1 {
    pub(super) realized_e16: i128,
    pub(super) long_e16: i128,
    pub(super) base_e16: i128,
    pub(super) fees_e16: i128,
    pub(super) dividends_e16: i128,
}

#[derive(Archive, Serialize)]
pub(super) struct CorrectedV1 {
    pub(super) origin: OriginV1,
    pub(super) cause: u128,
    pub(super) before: FiguresV1,
    pub(super) after: FiguresV1,
    pub(super) version: u64,
    pub(super) base_version: u64,
    pub(super) cause_sequence: u64,
    pub(super) body_log_id: u64,
    pub(super) body_address: u64,
    pub(super) body_sequence: u64,
    pub(super) body_digest: u64,
    /// Of the mark; without one the multiplier is zero.
    pub(super) mark_price_e8: i64,
    pub(super) multiplier_e8: i64,
    pub(super) body_bytes: u32,
    pub(super) position: u32,
    pub(super) account: u32,
    pub(super) instrument: u32,
    pub(super) late_trades: u32,
    pub(super) breaks: u32,
    pub(super) seen: u32,
    pub(super) closed_through: i32,
    pub(super) tail: u32,
    pub(super) left: u32,
    pub(super) reserved: [u32; 2],
    pub(super) adjusted: PeriodV1,
}

#[derive(Archive, Serialize)]
pub(super) struct DefinedV1 {
    pub(super) origin: OriginV1,
    pub(super) id: u32,
    pub(super) reason: u16,
    pub(super) class: u8,
    pub(super) text_bytes: u8,
    pub(super) reserved: [u8; 8],
}

#[derive(Archive, Serialize)]
pub(super) struct InstrumentV1 {
    pub(super) origin: OriginV1,
    pub(super) multiplier_e8: i64,
    pub(super) tick_e8: i64,
    pub(super) price_min_e8: i64,
    pub(super) price_max_e8: i64,
    pub(super) instrument: u32,
    pub(super) currency: u32,
    pub(super) reason: u16,
    pub(super) isin: [u8; 12],
    pub(super) cusip: [u8; 9],
    pub(super) reserved: [u8; 1],
}

#[derive(Archive, Serialize)]
pub(super) struct ContractV1 {
    pub(super) origin: OriginV1,
    pub(super) contract: u32,
    pub(super) account: u32,
    pub(super) instrument: u32,
    pub(super) effective_date: i32,
    pub(super) reason: u16,
    pub(super) long_term_days: u16,
    pub(super) wash_window_days: u16,
    pub(super) method: u8,
    pub(super) allow_short: u8,
    pub(super) short_rank: u8,
    pub(super) lot_scope: u8,
    pub(super) fees_rule: u8,
    pub(super) wash_sale: u8,
    pub(super) locked_changes: u8,
    pub(super) has_tax_rates: u8,
    pub(super) reserved: [u8; 6],
    pub(super) tax_rate_short_e8: u32,
    pub(super) tax_rate_long_e8: u32,
    pub(super) taxpayer: u32,
}

#[derive(Archive, Serialize)]
pub(super) struct BusinessDateV1 {
    pub(super) origin: OriginV1,
    pub(super) date: i32,
    pub(super) reason: u16,
    pub(super) reserved: [u8; 10],
}

#[derive(Archive, Serialize)]
pub(super) struct MarkV1 {
    pub(super) origin: OriginV1,
    pub(super) price_e8: i64,
    pub(super) ask_e8: i64,
    pub(super) at_ns: i64,
    pub(super) instrument: u32,
    pub(super) reason: u16,
    pub(super) kind: u8,
    pub(super) reserved: u8,
}

#[derive(Archive, Serialize)]
pub(super) struct DigestsV1 {
    pub(super) origin: OriginV1,
    pub(super) economic: u64,
    pub(super) full: u64,
}

// Frozen: these sizes are on disk.
const _: () = assert!(size_of::<ArchivedOriginV1>() == 64);
const _: () = assert!(size_of::<ArchivedTradeV1>() == 272);
const _: () = assert!(size_of::<ArchivedTradeExtraV1>() == 112);
const _: () = assert!(size_of::<ArchivedCorrectedV1>() == 544);
const _: () = assert!(size_of::<ArchivedDefinedV1>() == 80);
const _: () = assert!(size_of::<ArchivedInstrumentV1>() == 128);
const _: () = assert!(size_of::<ArchivedContractV1>() == 112);
const _: () = assert!(size_of::<ArchivedBusinessDateV1>() == 80);
const _: () = assert!(size_of::<ArchivedMarkV1>() == 96);
const _: () = assert!(size_of::<ArchivedDigestsV1>() == 80);

impl From<&Origin> for OriginV1 {
    fn from(origin: &Origin) -> Self {
        Self {
            trace_id: origin.trace_id,
            received_at_ns: origin.received_at_ns,
            occurred_at_ns: origin.occurred_at_ns,
            source_offset: origin.source_offset,
            raw_hash: origin.raw_hash,
            causation: origin.causation,
            source: origin.source,
            reserved: 0,
        }
    }
}

impl From<&ArchivedOriginV1> for Origin {
    fn from(v: &ArchivedOriginV1) -> Self {
        Self {
            source: v.source.to_native(),
            source_offset: v.source_offset.to_native(),
            received_at_ns: v.received_at_ns.to_native(),
            occurred_at_ns: v.occurred_at_ns.to_native(),
            raw_hash: v.raw_hash.to_native(),
            trace_id: v.trace_id.to_native(),
            causation: v.causation.to_native(),
        }
    }
}

impl From<&PeriodFigures> for PeriodV1 {
    fn from(figures: &PeriodFigures) -> Self {
        Self {
            realized_e16: figures.realized_e16,
            long_e16: figures.long_e16,
            base_e16: figures.base_e16,
            fees_e16: figures.fees_e16,
            dividends_e16: figures.dividends_e16,
        }
    }
}

impl From<&ArchivedPeriodV1> for PeriodFigures {
    fn from(v: &ArchivedPeriodV1) -> Self {
        Self {
            realized_e16: v.realized_e16.to_native(),
            long_e16: v.long_e16.to_native(),
            base_e16: v.base_e16.to_native(),
            fees_e16: v.fees_e16.to_native(),
            dividends_e16: v.dividends_e16.to_native(),
        }
    }
}

impl From<&Figures> for FiguresV1 {
    fn from(figures: &Figures) -> Self {
        Self {
            realized_e16: figures.realized_e16,
            realized_long_e16: figures.realized_long_e16,
            realized_base_e16: figures.realized_base_e16,
            cost_e16: figures.cost_e16,
            base_cost_e16: figures.base_cost_e16,
            fees_e16: figures.fees_e16,
            dividends_e16: figures.dividends_e16,
            quantity_e8: figures.quantity_e8,
            lot_count: figures.lot_count,
            reserved: 0,
        }
    }
}

impl From<&ArchivedFiguresV1> for Figures {
    fn from(v: &ArchivedFiguresV1) -> Self {
        Self {
            quantity_e8: v.quantity_e8.to_native(),
            realized_e16: v.realized_e16.to_native(),
            realized_long_e16: v.realized_long_e16.to_native(),
            realized_base_e16: v.realized_base_e16.to_native(),
            cost_e16: v.cost_e16.to_native(),
            base_cost_e16: v.base_cost_e16.to_native(),
            fees_e16: v.fees_e16.to_native(),
            dividends_e16: v.dividends_e16.to_native(),
            lot_count: v.lot_count.to_native(),
        }
    }
}
