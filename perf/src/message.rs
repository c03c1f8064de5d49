//! A ledger entry as the body of a FIX message. The same entry always gives the same bytes, so a resend needs no copy of what was sent.

use crate::invalid::InvalidClass;
use crate::ledger::{Entry, FORM_CAPTURE, FORM_CLOSE, FORM_CORRELATED, Kind, Ledger, Side};
use crate::limits::TRADE_ID_BYTES;
use crate::text;
use crate::wire::{SOH, push};

/// How the fix client gets at the messages it is asked to send, or to send again.
pub trait Bodies {
    /// MsgType of message `index`.
    fn msg_type(&self, index: u32) -> &'static [u8];
    /// Whether it goes out as a possible resend (97=Y).
    fn poss_resend(&self, index: u32) -> bool;
    /// Appends everything between header and trailer.
    fn push_body(&self, index: u32, out: &mut Vec<u8>);
}

impl Bodies for Ledger {
    fn msg_type(&self, index: u32) -> &'static [u8] {
        let entry = &self.entries[index as usize];
        match entry.kind() {
            Kind::Invalid(InvalidClass::UnsupportedType) => b"D",
            _ if entry.form & FORM_CAPTURE != 0 => b"AE",
            _ => b"8",
        }
    }

    fn poss_resend(&self, index: u32) -> bool {
        self.entries[index as usize].kind() == Kind::Duplicate
    }

    fn push_body(&self, index: u32, out: &mut Vec<u8>) {
        let entry = &self.entries[index as usize];
        match self.msg_type(index) {
            b"AE" => push_capture(self, index, entry, out),
            b"D" => push_order(self, index, entry, out),
            _ => push_execution(self, index, entry, out),
        }
    }
}

/// The correlation id that a correlated message carries: `c` and the trade id, which an answer must bring back.
pub fn is_correlation_of(correlation: &[u8], trade_id: &[u8]) -> bool {
    correlation.split_first() == Some((&b'c', trade_id))
}

fn push_execution(ledger: &Ledger, index: u32, entry: &Entry, out: &mut Vec<u8>) {
    let wrong = match entry.kind() {
        Kind::Invalid(class) => Some(class),
        _ => None,
    };
    push_order_id(ledger, index, out);
    if wrong != Some(InvalidClass::MissingTradeId) {
        push_id(ledger, index, b"17=", out);
    }
    out.extend_from_slice(b"150=F\x0139=2\x01");
    if wrong != Some(InvalidClass::MissingAccount) {
        push(out, b"1", ledger.universe.account(entry.account).as_bytes());
    }
    match wrong {
        Some(InvalidClass::MissingSymbol) => {}
        Some(InvalidClass::EmptyValue) => out.extend_from_slice(b"55=\x01"),
        _ => push(out, b"55", ledger.universe.instrument(entry.instrument).as_bytes()),
    }
    match wrong {
        Some(InvalidClass::BadSide) => out.extend_from_slice(b"54=Z\x01"),
        _ => push_side(entry.side, out),
    }
    push_close(entry, out);
    push_amount(b"32=", entry.quantity_e8, out);
    match wrong {
        Some(InvalidClass::NotANumber) => out.extend_from_slice(b"31=12a.5\x01"),
        Some(InvalidClass::NineDecimals) => out.extend_from_slice(b"31=12.123456789\x01"),
        _ => push_amount(b"31=", entry.price_e8, out),
    }
    out.extend_from_slice(b"151=0\x01");
    push_amount(b"14=", entry.quantity_e8, out);
    push_amount(b"6=", entry.price_e8, out);
    match wrong {
        Some(InvalidClass::BadDate) => out.extend_from_slice(b"75=20261341\x01"),
        _ => push_trade_date(ledger, entry, out),
    }
    push_transact_time(ledger, entry, out);
    push_fees(entry, out);
    push_correlation(ledger, index, entry, b"527=c", out);
}

fn push_capture(ledger: &Ledger, index: u32, entry: &Entry, out: &mut Vec<u8>) {
    push_id(ledger, index, b"571=", out);
    out.extend_from_slice(b"487=0\x01");
    push_correlation(ledger, index, entry, b"818=c", out);
    out.extend_from_slice(b"150=F\x01570=N\x01");
    push(out, b"55", ledger.universe.instrument(entry.instrument).as_bytes());
    push_amount(b"32=", entry.quantity_e8, out);
    push_amount(b"31=", entry.price_e8, out);
    push_trade_date(ledger, entry, out);
    push_transact_time(ledger, entry, out);
    out.extend_from_slice(b"552=1\x01");
    push_side(entry.side, out);
    push_order_id(ledger, index, out);
    push(out, b"1", ledger.universe.account(entry.account).as_bytes());
    push_fees(entry, out);
    push_close(entry, out);
}

/// A NewOrderSingle, well-formed and none of our business.
fn push_order(ledger: &Ledger, index: u32, entry: &Entry, out: &mut Vec<u8>) {
    push_id(ledger, index, b"11=", out);
    push(out, b"1", ledger.universe.account(entry.account).as_bytes());
    push(out, b"55", ledger.universe.instrument(entry.instrument).as_bytes());
    push_side(entry.side, out);
    push_transact_time(ledger, entry, out);
    push_amount(b"38=", entry.quantity_e8, out);
    out.extend_from_slice(b"40=1\x01");
}

fn push_id(ledger: &Ledger, index: u32, tag: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(tag);
    ledger.push_trade_id(out, index);
    out.push(SOH);
}

fn push_order_id(ledger: &Ledger, index: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"37=O");
    text::push_u64(out, u64::from(ledger.original(index)));
    out.push(SOH);
}

fn push_side(side: Side, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'5', b'4', b'=', side as u8, SOH]);
}

fn push_close(entry: &Entry, out: &mut Vec<u8>) {
    if entry.form & FORM_CLOSE != 0 {
        out.extend_from_slice(b"77=C\x01");
    }
}

fn push_amount(tag: &[u8], value_e8: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(tag);
    text::push_e8(out, value_e8);
    out.push(SOH);
}

fn push_trade_date(ledger: &Ledger, entry: &Entry, out: &mut Vec<u8>) {
    push(out, b"75", ledger.date_text(entry.date_offset));
}

fn push_transact_time(ledger: &Ledger, entry: &Entry, out: &mut Vec<u8>) {
    out.extend_from_slice(b"60=");
    out.extend_from_slice(ledger.date_text(entry.date_offset));
    out.push(b'-');
    text::push_time_of_day(out, entry.executed_ms_of_day);
    out.push(SOH);
}

fn push_fees(entry: &Entry, out: &mut Vec<u8>) {
    if entry.fees_cents != 0 {
        push_amount(b"12=", i64::from(entry.fees_cents) * 1_000_000, out);
        out.extend_from_slice(b"13=3\x01");
    }
}

fn push_correlation(ledger: &Ledger, index: u32, entry: &Entry, tag: &[u8], out: &mut Vec<u8>) {
    if entry.form & FORM_CORRELATED != 0 {
        out.extend_from_slice(tag);
        let start = out.len();
        ledger.push_trade_id(out, index);
        // A long trade id is there to be refused for itself, not for its correlation id.
        out.truncate(start + TRADE_ID_BYTES);
        out.push(SOH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow;
    use crate::plan::BurstPlan;
    use crate::wire::{self, Header, Incoming};
    use std::collections::HashMap;

    fn read_all(message: &[u8]) -> HashMap<u32, String> {
        wire::fields(message)
            .map(|field| field.unwrap())
            .map(|(tag, value)| (tag, String::from_utf8(value.to_vec()).unwrap()))
            .collect()
    }

    fn decimal_e8(text: &str) -> i64 {
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = format!("{fraction:0<8}");
        sign * (whole.parse::<i64>().unwrap() * 100_000_000 + fraction.parse::<i64>().unwrap())
    }

    #[test]
    fn every_trade_reads_back_as_the_ledger_has_it() {
        let plan = BurstPlan {
            seconds: 1,
            rate: 5_000,
            burst_multiplier: 1,
            business_date_days: 20_000,
            ..BurstPlan::default()
        };
        let ledger = flow::generate(&plan).unwrap();
        let mut captures = 0;
        for (index, entry) in (0u32..).zip(&ledger.entries) {
            let header = Header {
                msg_type: ledger.msg_type(index),
                seq: u64::from(index) + 1,
                sender: b"S",
                target: b"T",
                sending_time: b"20241004-09:30:00.000",
                poss_dup: false,
                poss_resend: ledger.poss_resend(index),
            };
            let mut out = Vec::new();
            wire::write(&mut out, &header, |out| ledger.push_body(index, out));
            assert_eq!(wire::frame(&out), Ok(Some(out.len())));
            let fields = read_all(&out);
            if matches!(entry.kind(), Kind::Invalid(_)) {
                continue;
            }
            captures += u32::from(fields[&35] == "AE");
            let id = fields.get(&571).unwrap_or_else(|| &fields[&17]);
            assert_eq!(*id, ledger.trade_id(index));
            assert_eq!(fields[&1], ledger.universe.account(entry.account));
            assert_eq!(fields[&55], ledger.universe.instrument(entry.instrument));
            assert_eq!(decimal_e8(&fields[&32]), entry.quantity_e8);
            assert_eq!(decimal_e8(&fields[&31]), entry.price_e8);
            assert_eq!(fields[&75], text::fix_date(ledger.effective_days(index)));
            assert_eq!(fields[&54].as_bytes(), [entry.side as u8]);
            assert_eq!(fields.get(&97).map(String::as_str) == Some("Y"), entry.kind() == Kind::Duplicate);
            assert_eq!(fields.get(&12).map_or(0, |fee| decimal_e8(fee)), ledger.oracle_trade(index).fees_e8);
            let correlation = fields.get(&818).or_else(|| fields.get(&527));
            assert_eq!(correlation.is_some(), entry.form & FORM_CORRELATED != 0);
            assert!(correlation.is_none_or(|sent| is_correlation_of(sent.as_bytes(), id.as_bytes())));
        }
        assert!(captures > 500);
    }

    #[test]
    fn each_invalid_class_is_wrong_in_its_own_way_only() {
        let plan =
            BurstPlan { seconds: 1, rate: 5_000, burst_multiplier: 1, invalid_permille: 200, ..BurstPlan::default() };
        let ledger = flow::generate(&plan).unwrap();
        for (index, entry) in (0u32..).zip(&ledger.entries) {
            let Kind::Invalid(class) = entry.kind() else { continue };
            let mut body = Vec::new();
            ledger.push_body(index, &mut body);
            let fields = read_all(&body);
            let has = |tag: u32| fields.contains_key(&tag);
            assert_eq!(has(1), class != InvalidClass::MissingAccount);
            assert_eq!(has(55), class != InvalidClass::MissingSymbol);
            assert_eq!(fields.get(&54).map(String::as_str) == Some("Z"), class == InvalidClass::BadSide);
            assert_eq!(fields.get(&32).map(String::as_str) == Some("0"), class == InvalidClass::ZeroQuantity);
            assert_eq!(ledger.trade_id(index).len() > 64, class == InvalidClass::LongTradeId);
            assert_eq!(ledger.msg_type(index) == b"D", class == InvalidClass::UnsupportedType);
        }
    }

    #[test]
    fn reading_takes_571_before_17() {
        let seen = Incoming::read(b"35=AR\x0134=3\x0117=b\x01571=a\x01").unwrap();
        assert_eq!(seen.trade_id, b"a");
    }
}
