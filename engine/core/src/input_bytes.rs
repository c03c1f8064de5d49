//! A trade's input as plain bytes, for images and bodies: every field, in one place.

use crate::bytes::{Reader, Truncated, Writer};
use crate::command::{Side, TradeInput, TradeKind, TradeType};
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
        for id in [i.namespace, i.account, i.instrument, i.contract, i.user, i.currency, i.sub_account] {
            self.u32(id);
        }
        for date in [i.effective_date, i.acquired] {
            self.u32(date.0 as u32);
        }
        self.slice(&[i.side as u8, i.trade_type as u8, i.kind as u8, 0]);
        for value in [i.quantity_e8, i.price_e8, i.consideration_e8, i.fees_e8, i.fx_to_base_e8, i.executed_at_ns] {
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
        let (contract, user, currency, sub_account) = (self.u32()?, self.u32()?, self.u32()?, self.u32()?);
        let (effective_date, acquired) = (Date(self.u32()? as i32), Date(self.u32()? as i32));
        let [side, trade_type, kind, _] = self.array()?;
        Ok(TradeInput {
            trade_id,
            hash,
            namespace,
            account,
            instrument,
            contract,
            side: Side::from_u8(side).ok_or(BadInput)?,
            trade_type: TradeType::from_u8(trade_type).ok_or(BadInput)?,
            kind: TradeKind::from_u8(kind).ok_or(BadInput)?,
            quantity_e8: self.i64()?,
            price_e8: self.i64()?,
            consideration_e8: self.i64()?,
            fees_e8: self.i64()?,
            fx_to_base_e8: self.i64()?,
            executed_at_ns: self.i64()?,
            source_order: self.u64()?,
            currency,
            sub_account,
            acquired,
            effective_date,
            lot,
            user,
            correlation,
        })
    }
}
