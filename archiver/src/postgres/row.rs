//! A record of the log as one row of `event_store`.
//!
//! A function of the record and of the names defined before it, and of nothing else: so the same record gives the same bytes when the
//! archive is verified. What identifies a row is said in `docs/decisions/0024-the-postgres-archive.md`.

use lotbook_core::codec::{CodecError, Decoder};
use lotbook_core::command::{NO_PRICE, NameClass, Side};
use lotbook_core::date::Date;
use lotbook_core::event::{Event, Reason};
use lotbook_core::id::{NO_NAME, NameId, TradeHash, TradeId};
use lotbook_wal::{Group, NO_ADDRESS, RecordHeader};

use super::binary::RowWriter;
use crate::event::{occurred_at_ns, position_of, version_of};
use crate::json::{Content, Line, Payload, kind_name};
use crate::names::{LearnedNames, Names as _};

/// Columns of `event_store` in the order of the rows.
pub const COLUMNS: [&str; 40] = [
    "position_key",
    "event_ver",
    "shard",
    "sequence",
    "epoch",
    "address",
    "previous_address",
    "log_partition",
    "group_place",
    "durable_sequence",
    "checksum",
    "kind",
    "event_type",
    "schema_version",
    "account",
    "instrument",
    "contract_id",
    "namespace",
    "trade_id",
    "trade_hash",
    "correlation_id",
    "causation",
    "user_id",
    "source",
    "source_offset",
    "trace_id",
    "raw_hash",
    "effective_date",
    "executed_at_ns",
    "received_at_ns",
    "occurred_at_ns",
    "occurred_at",
    "outcome",
    "reason",
    "side",
    "quantity",
    "price",
    "fees",
    "realized_pnl",
    "payload",
];

/// The column whose text the server writes anew: it is compared by what it says, not by its bytes.
pub const PAYLOAD_COLUMN: usize = COLUMNS.len() - 1;

/// Decimals of quantities and prices.
const SCALE_E8: u16 = 8;
/// Decimals of money.
const SCALE_E16: u16 = 16;

/// Why a record is no row. The archive has nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Its payload cannot be read.
    #[error("its payload cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// A name that was never defined.
    #[error("{class:?} {id} was not defined before it")]
    UnknownName {
        /// Class of the name.
        class: NameClass,
        /// Its number.
        id: NameId,
    },
    /// A number beyond 63 bits, where no log comes to.
    #[error("{column} is {value}, which no column holds")]
    Range {
        /// The column.
        column: &'static str,
        /// The number.
        value: u64,
    },
}

/// What most events have, each in its own field.
struct Facts {
    account: NameId,
    instrument: NameId,
    contract: NameId,
    namespace: NameId,
    user: NameId,
    id: TradeId,
    hash: TradeHash,
    correlation: TradeId,
    effective_date: Date,
    executed_at_ns: Option<i64>,
    outcome: Option<&'static str>,
    reason: Reason,
    side: Option<Side>,
    quantity_e8: Option<i64>,
    price_e8: Option<i64>,
    fees_e8: Option<i64>,
    realized_e16: Option<i128>,
}

impl Facts {
    const NONE: Self = Self {
        account: NO_NAME,
        instrument: NO_NAME,
        contract: NO_NAME,
        namespace: NO_NAME,
        user: NO_NAME,
        id: TradeId::EMPTY,
        hash: TradeHash::NONE,
        correlation: TradeId::EMPTY,
        effective_date: Date::NONE,
        executed_at_ns: None,
        outcome: None,
        reason: Reason::None,
        side: None,
        quantity_e8: None,
        price_e8: None,
        fees_e8: None,
        realized_e16: None,
    };

    fn of(event: &Event<'_>) -> Self {
        let (account, instrument) = position_of(event).unwrap_or((NO_NAME, NO_NAME));
        let base = Self { account, instrument, ..Self::NONE };
        match event {
            Event::Trade(trade) => Self {
                contract: trade.input.contract,
                namespace: trade.input.namespace,
                user: trade.input.user,
                id: trade.input.trade_id,
                hash: trade.input.hash,
                correlation: trade.input.correlation,
                effective_date: trade.input.effective_date,
                executed_at_ns: Some(trade.input.executed_at_ns),
                outcome: Some(trade.class.as_str()),
                reason: trade.reason,
                side: Some(trade.input.side),
                quantity_e8: Some(trade.input.quantity_e8),
                price_e8: trade.input.price(),
                fees_e8: Some(trade.input.fees_e8),
                realized_e16: Some(trade.realized_e16),
                ..base
            },
            Event::Amended(amend) => Self {
                namespace: amend.input.namespace,
                user: amend.input.user,
                id: amend.input.amend_id,
                hash: amend.input.hash,
                correlation: amend.input.correlation,
                outcome: Some(amend.class.as_str()),
                reason: amend.reason,
                ..base
            },
            Event::Action(action) => Self {
                instrument: action.input.instrument,
                contract: action.input.contract,
                namespace: action.input.namespace,
                user: action.input.user,
                id: action.input.action_id,
                hash: action.input.hash,
                correlation: action.input.correlation,
                effective_date: action.input.effective_date,
                outcome: Some(action.class.as_str()),
                reason: action.reason,
                ..base
            },
            Event::Resolved(resolved) => Self {
                user: resolved.input.user,
                correlation: resolved.input.correlation,
                reason: resolved.reason,
                ..base
            },
            Event::Taken(taken) => {
                Self { id: taken.cause_id, hash: taken.cause, effective_date: taken.date, reason: taken.reason, ..base }
            }
            Event::Arrived(arrived) => Self {
                hash: arrived.due.leg.key.hash,
                effective_date: arrived.due.leg.key.date,
                reason: arrived.reason,
                realized_e16: arrived.books.then_some(arrived.booked.realized_e16),
                ..base
            },
            Event::Received(received) => {
                Self { hash: received.due.leg.key.hash, effective_date: received.due.leg.key.date, ..base }
            }
            Event::Corrected(corrected) => Self { hash: corrected.cause, ..base },
            Event::Contract { reason, terms, .. } => Self {
                account: terms.account,
                instrument: terms.instrument,
                contract: terms.contract,
                effective_date: terms.effective_date,
                reason: *reason,
                ..base
            },
            Event::Instrument { reason, terms, .. } => Self { instrument: terms.instrument, reason: *reason, ..base },
            Event::Mark { reason, mark, .. } => Self {
                instrument: mark.instrument,
                reason: *reason,
                price_e8: (mark.price_e8 != NO_PRICE).then_some(mark.price_e8),
                ..base
            },
            Event::BusinessDate { reason, date, .. } => Self { effective_date: *date, reason: *reason, ..base },
            Event::PeriodLock(lock) => {
                Self { account: lock.input.account, effective_date: lock.input.through, reason: lock.reason, ..base }
            }
            Event::Defined { reason, .. } => Self { reason: *reason, ..base },
            Event::Delivered(_) | Event::Settled(_) | Event::Digests { .. } => base,
        }
    }
}

/// Makes rows of the records of one log, in its order.
#[derive(Debug)]
pub struct Rows {
    shard: i16,
    names: LearnedNames,
    decoder: Decoder,
    key: String,
}

impl Rows {
    /// For a shard's log. The names are those defined before the first record that will come.
    #[must_use]
    pub fn new(shard: i16, names: LearnedNames) -> Self {
        Self { shard, names, decoder: Decoder::new(), key: String::new() }
    }

    /// Appends the row of a record. When the shard decided it, UTC nanoseconds; 0 where nothing says so.
    ///
    /// # Errors
    /// [`RowError`]; what was appended is then no row.
    pub fn append(&mut self, header: &RecordHeader, payload: &[u8], out: &mut Vec<u8>) -> Result<i64, RowError> {
        if header.is_internal() {
            let content = Content::Internal(payload);
            return write(self.shard, &self.names, &mut self.key, header, None, content, out);
        }
        let event = self.decoder.decode(header.kind, header.version, payload)?;
        self.names.learn(&event);
        write(self.shard, &self.names, &mut self.key, header, Some(&event), Content::Event(&event), out)
    }

    /// Takes the names of a record that is not made a row.
    ///
    /// # Errors
    /// [`RowError::Codec`].
    pub fn learn(&mut self, header: &RecordHeader, payload: &[u8]) -> Result<(), RowError> {
        if !header.is_internal() {
            let event = self.decoder.decode(header.kind, header.version, payload)?;
            self.names.learn(&event);
        }
        Ok(())
    }
}

fn write(
    shard: i16,
    names: &LearnedNames,
    key: &mut String,
    header: &RecordHeader,
    event: Option<&Event<'_>>,
    content: Content<'_>,
    out: &mut Vec<u8>,
) -> Result<i64, RowError> {
    let facts = event.map_or(Facts::NONE, Facts::of);
    let text = |class, id| match names.text(class, id) {
        _ if id == NO_NAME => Ok(None),
        Some(text) => Ok(Some(text)),
        None => Err(RowError::UnknownName { class, id }),
    };
    let account = text(NameClass::Account, facts.account)?;
    let instrument = text(NameClass::Instrument, facts.instrument)?;
    let version = event.and_then(version_of);
    let owner = account.as_deref().zip(instrument.as_deref());
    key.clear();
    let event_ver = match (version, owner) {
        (Some(version), Some((account, instrument))) => {
            position_key(account, instrument, key);
            version
        }
        _ => {
            log_key(header, key);
            header.sequence
        }
    };
    let signed = |column, value| i64::try_from(value).map_err(|_| RowError::Range { column, value });
    let mut row = RowWriter::begin(out, COLUMNS.len());
    row.text(key);
    row.i64(signed("event_ver", event_ver)?);
    row.i16(shard);
    row.i64(signed("sequence", header.sequence)?);
    row.i64(header.epoch.into());
    row.i64(signed("address", header.address)?);
    match header.previous {
        NO_ADDRESS => row.null(),
        previous => row.i64(signed("previous_address", previous)?),
    }
    row.i32(header.partition.into());
    row.i16(match header.group() {
        Group::Single => 0,
        Group::First => 1,
        Group::Middle => 2,
        Group::Last => 3,
    });
    row.i64(signed("durable_sequence", header.durable_sequence)?);
    row.i64(header.checksum.into());
    row.i32(header.kind.into());
    row.text(kind_name(header.kind));
    row.i16(header.version.into());
    row.some_text(account.as_deref());
    row.some_text(instrument.as_deref());
    row.some_text(text(NameClass::Contract, facts.contract)?.as_deref());
    row.some_text(text(NameClass::Namespace, facts.namespace)?.as_deref());
    row.some_text(some(&facts.id));
    row.some_uuid((facts.hash != TradeHash::NONE).then_some(facts.hash.0));
    row.some_text(some(&facts.correlation));
    let origin = event.map(Event::origin);
    match origin.map_or(0, |origin| origin.causation) {
        0 => row.null(),
        causation => row.i64(signed("causation", causation)?),
    }
    row.some_text(text(NameClass::User, facts.user)?.as_deref());
    row.some_text(text(NameClass::Source, origin.map_or(NO_NAME, |origin| origin.source))?.as_deref());
    row.some_numeric(origin.map(|origin| origin.source_offset.into()), 0);
    row.some_uuid(origin.map(|origin| origin.trace_id).filter(|id| *id != 0));
    row.some_numeric(origin.map(|origin| origin.raw_hash).filter(|hash| *hash != 0).map(Into::into), 0);
    row.some_date(facts.effective_date);
    row.some_i64(facts.executed_at_ns);
    let stamp = |ns: i64| (ns != 0).then_some(ns);
    row.some_i64(origin.and_then(|origin| stamp(origin.received_at_ns)));
    let occurred_at = event.map_or(0, occurred_at_ns);
    row.some_i64(stamp(occurred_at));
    row.some_timestamp(stamp(occurred_at));
    row.some_text(facts.outcome);
    row.some_text((facts.reason != Reason::None).then(|| facts.reason.code()));
    row.some_text(facts.side.map(Side::as_str));
    row.some_numeric(facts.quantity_e8.map(Into::into), SCALE_E8);
    row.some_numeric(facts.price_e8.map(Into::into), SCALE_E8);
    row.some_numeric(facts.fees_e8.map(Into::into), SCALE_E8);
    row.some_numeric(facts.realized_e16, SCALE_E16);
    // Writing to a Vec cannot fail, and the keys are texts.
    let written = row.jsonb(|out| {
        let at = out.len();
        serde_json::to_writer(&mut *out, &Payload(Line { header, content, names }))?;
        replace_zeros(&mut out[at..]);
        Ok::<_, serde_json::Error>(())
    });
    written.expect("JSON in memory");
    row.end();
    Ok(occurred_at)
}

/// The server's texts have no zero character, and an operator's note may: U+FFFD stands for it. In JSON it is always escaped.
fn replace_zeros(json: &mut [u8]) {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        if let Some(escape) = rest.get_mut(at + 1..at + 6).filter(|escape| **escape == *b"u0000") {
            escape.copy_from_slice(b"ufffd");
        }
        // What is escaped is no escape itself.
        rest = rest.get_mut(at + 2..).unwrap_or_default();
    }
}

fn some(id: &TradeId) -> Option<&str> {
    (!id.is_empty()).then(|| id.as_str())
}

/// Appends the key of a position: no two positions have the same, and no record of the log has it.
pub fn position_key(account: &str, instrument: &str, out: &mut String) {
    for letter in account.chars() {
        match letter {
            '%' => out.push_str("%25"),
            '/' => out.push_str("%2F"),
            other => out.push(other),
        }
    }
    out.push('/');
    out.push_str(instrument);
}

/// Appends the key of what makes no version of a position. It has no slash.
fn log_key(header: &RecordHeader, out: &mut String) {
    use std::fmt::Write as _;
    // Writing to a String cannot fail.
    let _ = write!(out, "#{:016x}.{}", header.log_id, header.partition);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(account: &str, instrument: &str) -> String {
        let mut out = String::new();
        position_key(account, instrument, &mut out);
        out
    }

    #[test]
    fn zero_characters_are_replaced_and_nothing_else() {
        for (json, wanted) in [
            (r#"{"a":"\u0000"}"#, r#"{"a":"\ufffd"}"#),
            (r#"{"a":"\\u0000"}"#, r#"{"a":"\\u0000"}"#),
            (r#"{"a":"\\\u0000\u0001"}"#, r#"{"a":"\\\ufffd\u0001"}"#),
            (r#""\"#, r#""\"#),
        ] {
            let mut bytes = json.as_bytes().to_vec();
            replace_zeros(&mut bytes);
            assert_eq!(bytes, wanted.as_bytes(), "{json}");
        }
    }

    #[test]
    fn no_two_positions_have_one_key() {
        assert_eq!(key("A1", "EUR/USD"), "A1/EUR/USD");
        assert_eq!(key("A1/EUR", "USD"), "A1%2FEUR/USD");
        assert_eq!(key("A1%2FEUR", "USD"), "A1%252FEUR/USD");
        assert_eq!(key("#00.1", "X"), "#00.1/X", "what the log's own records have has no slash");
    }
}
