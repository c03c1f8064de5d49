//! A trade's input as plain bytes, for images and bodies: every field, in one place.

use crate::bytes::{Reader, Truncated, Writer};
use crate::command::{Side, TradeInput, TradeType};
use crate::date::Date;
use crate::id::{TradeHash, TradeId};

/// Bytes that are no input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadInput;

impl From<Truncated> for BadInput {
    fn from(_: Truncated) -> Self {
        Self
    }
}

impl Writer {
    pub(crate) fn text(&mut self, text: &[u8]) {
        self.u32(text.len() as u32);
        self.slice(text);
    }

    pub(crate) fn trade_input(&mut self, i: &TradeInput) {
        self.text(i.trade_id.as_bytes());
        self.text(i.correlation.as_bytes());
        self.u128(i.hash.0);
        self.u128(i.lot.0);
        for id in [i.namespace, i.account, i.instrument, i.contract, i.user, i.effective_date.0 as u32] {
            self.u32(id);
        }
        self.u32(u32::from(i.side as u8) | u32::from(i.trade_type as u8) << 8);
        for value in [i.quantity_e8, i.price_e8, i.fees_e8, i.executed_at_ns] {
            self.i64(value);
        }
        self.u64(i.source_order);
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn text(&mut self) -> Result<&'a [u8], Truncated> {
        let len = self.u32()? as usize;
        self.slice(len)
    }

    pub(crate) fn id(&mut self) -> Result<TradeId, BadInput> {
        TradeId::new(self.text()?).ok_or(BadInput)
    }

    pub(crate) fn trade_input(&mut self) -> Result<TradeInput, BadInput> {
        let (trade_id, correlation) = (self.id()?, self.id()?);
        let (hash, lot) = (TradeHash(self.u128()?), TradeHash(self.u128()?));
        let (namespace, account, instrument) = (self.u32()?, self.u32()?, self.u32()?);
        let (contract, user, date) = (self.u32()?, self.u32()?, self.u32()?);
        let codes = self.u32()?;
        Ok(TradeInput {
            trade_id,
            hash,
            namespace,
            account,
            instrument,
            contract,
            side: Side::from_u8(codes as u8).ok_or(BadInput)?,
            trade_type: TradeType::from_u8((codes >> 8) as u8).ok_or(BadInput)?,
            quantity_e8: self.i64()?,
            price_e8: self.i64()?,
            fees_e8: self.i64()?,
            executed_at_ns: self.i64()?,
            source_order: self.u64()?,
            effective_date: Date(date as i32),
            lot,
            user,
            correlation,
        })
    }
}
