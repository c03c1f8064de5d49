//! Inputs of trades and amendments as plain bytes, for images and bodies: every field, in one place.

use crate::amend::{AmendInput, AmendKind, Changes};
use crate::bytes::{Reader, Truncated, Writer};
use crate::command::{Side, TradeInput, TradeKind, TradeType};
use crate::date::Date;
use crate::id::{ChronoKey, DayPart, TradeHash, TradeId};
use crate::limits::{CORRELATION_BYTES_MAX, TRADE_ID_BYTES_MAX};

/// Bytes of a trade's input without its texts, with their lengths.
const TRADE_INPUT_BYTES: usize = 2 * 4 + 2 * 16 + 8 * 4 + 2 * 4 + 4 + 6 * 8 + 8;
/// The same with the longest texts.
pub(crate) const TRADE_INPUT_BYTES_MAX: usize = TRADE_INPUT_BYTES + TRADE_ID_BYTES_MAX + CORRELATION_BYTES_MAX;

/// Bytes that [`Writer::trade_input`] writes.
pub(crate) fn trade_input_bytes(input: &TradeInput) -> usize {
    TRADE_INPUT_BYTES + input.trade_id.as_bytes().len() + input.correlation.as_bytes().len()
}

/// Bytes that are no input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadInput;

impl From<Truncated> for BadInput {
    fn from(_: Truncated) -> Self {
        Self
    }
}

impl Writer {
    pub(crate) fn key(&mut self, key: &ChronoKey) {
        self.u32(key.date.0 as u32);
        self.u32(key.part as u32);
        self.i64(key.executed_at_ns);
        self.u64(key.source_order);
        self.text(key.trade_id.as_bytes());
        self.u128(key.hash.0);
    }

    pub(crate) fn text(&mut self, text: &[u8]) {
        self.u32(text.len() as u32);
        self.slice(text);
    }

    pub(crate) fn amend_input(&mut self, i: &AmendInput) {
        for text in [&i.amend_id, &i.target_id, &i.correlation] {
            self.text(text.as_bytes());
        }
        self.u128(i.hash.0);
        self.u128(i.target.0);
        self.i64(i.executed_at_ns);
        self.u64(i.source_order);
        for id in [i.namespace, i.account, i.instrument, i.user, i.kind as u32] {
            self.u32(id);
        }
        let c = &i.changes;
        self.u128(c.lot.0);
        for value in [c.quantity_e8, c.price_e8, c.fees_e8, c.consideration_e8, c.fx_to_base_e8, c.executed_at_ns] {
            self.i64(value);
        }
        for id in [c.contract, c.currency, c.sub_account, c.effective_date.0 as u32, c.fields] {
            self.u32(id);
        }
        for id in [c.numerator, c.denominator, c.record_date.0 as u32] {
            self.u32(id);
        }
        self.i64(c.cash_e8);
        self.i64(c.cash_in_lieu_e8);
        self.slice(&[c.side as u8, c.trade_type as u8]);
    }

    pub(crate) fn trade_input(&mut self, i: &TradeInput) {
        self.text(i.trade_id.as_bytes());
        self.text(i.correlation.as_bytes());
        self.u128(i.hash.0);
        self.u128(i.lot.0);
        for id in [i.namespace, i.account, i.instrument, i.contract, i.user, i.currency, i.sub_account, i.to_account] {
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

    pub(crate) fn key(&mut self) -> Result<ChronoKey, BadInput> {
        Ok(ChronoKey {
            date: Date(self.u32()? as i32),
            part: u8::try_from(self.u32()?).ok().and_then(DayPart::from_u8).ok_or(BadInput)?,
            executed_at_ns: self.i64()?,
            source_order: self.u64()?,
            trade_id: self.id()?,
            hash: TradeHash(self.u128()?),
        })
    }

    pub(crate) fn amend_input(&mut self) -> Result<AmendInput, BadInput> {
        let (amend_id, target_id, correlation) = (self.id()?, self.id()?, self.id()?);
        let (hash, target) = (TradeHash(self.u128()?), TradeHash(self.u128()?));
        let (executed_at_ns, source_order) = (self.i64()?, self.u64()?);
        let (namespace, account, instrument, user) = (self.u32()?, self.u32()?, self.u32()?, self.u32()?);
        let kind = u8::try_from(self.u32()?).ok().and_then(AmendKind::from_u8).ok_or(BadInput)?;
        let lot = TradeHash(self.u128()?);
        let (quantity_e8, price_e8, fees_e8) = (self.i64()?, self.i64()?, self.i64()?);
        let (consideration_e8, fx_to_base_e8, changed_ns) = (self.i64()?, self.i64()?, self.i64()?);
        let (contract, currency, sub_account) = (self.u32()?, self.u32()?, self.u32()?);
        let (effective_date, fields) = (Date(self.u32()? as i32), self.u32()?);
        let (numerator, denominator, record_date) = (self.u32()?, self.u32()?, Date(self.u32()? as i32));
        let (cash_e8, cash_in_lieu_e8) = (self.i64()?, self.i64()?);
        let [side, trade_type] = self.array()?;
        let changes = Changes {
            fields,
            side: Side::from_u8(side).ok_or(BadInput)?,
            trade_type: TradeType::from_u8(trade_type).ok_or(BadInput)?,
            quantity_e8,
            price_e8,
            fees_e8,
            consideration_e8,
            fx_to_base_e8,
            effective_date,
            executed_at_ns: changed_ns,
            lot,
            contract,
            currency,
            sub_account,
            numerator,
            denominator,
            cash_e8,
            cash_in_lieu_e8,
            record_date,
        };
        let changes = changes.is_canonical().then_some(changes).ok_or(BadInput)?;
        Ok(AmendInput {
            amend_id,
            hash,
            namespace,
            kind,
            target_id,
            target,
            executed_at_ns,
            source_order,
            account,
            instrument,
            changes,
            user,
            correlation,
        })
    }

    pub(crate) fn trade_input(&mut self) -> Result<TradeInput, BadInput> {
        let (trade_id, correlation) = (self.id()?, self.id()?);
        let (hash, lot) = (TradeHash(self.u128()?), TradeHash(self.u128()?));
        let (namespace, account, instrument) = (self.u32()?, self.u32()?, self.u32()?);
        let (contract, user, currency, sub_account) = (self.u32()?, self.u32()?, self.u32()?, self.u32()?);
        let to_account = self.u32()?;
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
            to_account,
            user,
            correlation,
        })
    }
}
