//! A ledger's messages as lines of a host's HTTP door, and the positions that it shows as the oracle takes them.

use crate::ledger::{FORM_CLOSE, FORM_CORRELATED, Ledger, Side};
use crate::oracle::{LotMethod, LotSide, SeenLot, SeenPosition};
use crate::prices::Quote;
use crate::text::{self, date_of_days};
use serde::Deserialize;

/// Appends message `index` as one line, without its end.
pub fn trade_line(ledger: &Ledger, index: u32, out: &mut Vec<u8>) {
    let entry = &ledger.entries[index as usize];
    let universe = &ledger.universe;
    let close = entry.form & FORM_CLOSE != 0;
    out.extend_from_slice(b"{\"type\":\"trade\",\"trade_id\":\"");
    ledger.push_trade_id(out, index);
    // Names of a universe are letters, digits and dashes; those of a file are escaped.
    word(out, "account", universe.account(entry.account));
    word(out, "instrument", universe.instrument(entry.instrument));
    word(
        out,
        "side",
        match entry.side {
            Side::Buy if close => "buy_to_cover",
            Side::Buy => "buy",
            Side::Sell => "sell",
            Side::SellShort => "sell_short",
        },
    );
    if close && entry.side == Side::Sell {
        word(out, "trade_type", "DECREASE");
    }
    amount(out, "quantity", entry.quantity_e8);
    amount(out, "price", entry.price_e8);
    if entry.fees_cents != 0 {
        amount(out, "fees", i64::from(entry.fees_cents) * 1_000_000);
    }
    let date = date_of_days(ledger.effective_days(ledger.original(index))).to_string();
    word(out, "effective_date", &date);
    out.extend_from_slice(b"\",\"executed_at\":\"");
    out.extend_from_slice(date.as_bytes());
    out.push(b'T');
    text::push_time_of_day(out, entry.executed_ms_of_day);
    out.push(b'Z');
    if entry.form & FORM_CORRELATED != 0 {
        out.extend_from_slice(b"\",\"correlation_id\":\"c");
        ledger.push_trade_id(out, index);
    }
    out.extend_from_slice(b"\",\"source_order\":");
    text::push_u64(out, u64::from(ledger.entries[ledger.original(index) as usize].source_order));
    out.push(b'}');
}

/// The line that gives an account its lot method, shorts allowed, from the beginning of time.
pub fn contract_line(account: &str, method: LotMethod) -> String {
    let method = match method {
        LotMethod::Fifo => "FIFO",
        LotMethod::Lifo => "LIFO",
        LotMethod::Hifo => "HIFO",
    };
    serde_json::json!({
        "type": "contract", "contract_id": account, "account": account, "lot_method": method, "allow_short": true,
        "effective_date": "1970-01-01",
    })
    .to_string()
}

const CENT_E8: i64 = 1_000_000;

/// The line of a price: at that time of the day, an official close at its end.
pub fn mark_line(instrument: &str, quote: &Quote, days: i32, ms_of_day: u32) -> String {
    let mut out = b"{\"type\":\"mark".to_vec();
    word(&mut out, "instrument", instrument);
    let kind = match quote {
        Quote::Last(_) => "last",
        Quote::BidAsk(..) => "bid_ask",
        Quote::OfficialClose(_) => "official_close",
    };
    word(&mut out, "kind", kind);
    match *quote {
        Quote::Last(cents) | Quote::OfficialClose(cents) => amount(&mut out, "price", cents * CENT_E8),
        Quote::BidAsk(bid, ask) => {
            amount(&mut out, "bid", bid * CENT_E8);
            amount(&mut out, "ask", ask * CENT_E8);
        }
    }
    word(&mut out, "at", &date_of_days(days).to_string());
    if !matches!(quote, Quote::OfficialClose(_)) {
        out.push(b'T');
        text::push_time_of_day(&mut out, ms_of_day);
        out.push(b'Z');
    }
    out.extend_from_slice(b"\"}");
    String::from_utf8_lossy(&out).into_owned()
}

/// Ends the value before, and adds a field and its value without the end.
fn word(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b"\",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if value.bytes().all(plain) {
        out.extend_from_slice(value.as_bytes());
    } else {
        let quoted = serde_json::Value::from(value).to_string();
        out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
    }
}

fn amount(out: &mut Vec<u8>, name: &str, value_e8: i64) {
    word(out, name, "");
    text::push_e8(out, value_e8);
}

/// A parameter of a path.
pub(super) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A page of positions.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) positions: Vec<Shown>,
    pub(super) next: Option<String>,
}

/// What is read of a position.
#[derive(Deserialize)]
pub(super) struct Shown {
    pub(super) account: String,
    instrument: String,
    quantity: String,
    realized_pnl: String,
    lots: Vec<ShownLot>,
}

#[derive(Deserialize)]
struct ShownLot {
    trade_id: String,
    side: String,
    quantity: String,
    price: String,
    cost: String,
    acquired: String,
}

impl Shown {
    /// As the oracle compares it; none where a figure cannot be read.
    pub(super) fn seen(self) -> Option<SeenPosition> {
        let lots = self.lots.into_iter().map(ShownLot::seen).collect::<Option<_>>()?;
        Some(SeenPosition {
            account: self.account,
            instrument: self.instrument,
            quantity_e8: i64::try_from(decimal(&self.quantity, 8)?).ok()?,
            realized_e16: decimal(&self.realized_pnl, 16)?,
            lots,
        })
    }
}

impl ShownLot {
    fn seen(self) -> Option<SeenLot> {
        let e8 = |text: &str| i64::try_from(decimal(text, 8)?).ok();
        Some(SeenLot {
            side: if self.side == "long" { LotSide::Long } else { LotSide::Short },
            quantity_e8: e8(&self.quantity)?.abs(),
            price_e8: e8(&self.price)?,
            cost_e16: decimal(&self.cost, 16)?,
            acquired_days: text::days_of_date(self.acquired.parse().ok()?),
            trade_id: self.trade_id,
        })
    }
}

/// A decimal number at so many places; none where it has more.
fn decimal(text: &str, places: usize) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > places || digits.is_empty() {
        return None;
    }
    let value: i128 = format!("{whole}{fraction:0<places$}").parse().ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow;
    use crate::plan::BurstPlan;

    #[test]
    fn every_price_is_a_line_of_json() {
        for (quote, line) in [
            (
                Quote::Last(12_345),
                r#"{"type":"mark","instrument":"A-1","kind":"last","price":"123.45","at":"2020-03-05T09:30:00.007Z"}"#,
            ),
            (
                Quote::BidAsk(10_000, 10_001),
                r#"{"type":"mark","instrument":"A-1","kind":"bid_ask","bid":"100","ask":"100.01","at":"2020-03-05T09:30:00.007Z"}"#,
            ),
            (
                Quote::OfficialClose(150),
                r#"{"type":"mark","instrument":"A-1","kind":"official_close","price":"1.5","at":"2020-03-05"}"#,
            ),
        ] {
            assert_eq!(mark_line("A-1", &quote, 18_326, 34_200_007), line);
        }
    }

    #[test]
    fn every_message_is_a_line_of_json() {
        let plan = BurstPlan {
            rate: 2_000,
            seconds: 1,
            burst_multiplier: 1,
            business_date_days: 18_326,
            ..BurstPlan::default()
        };
        let plan = BurstPlan { invalid_classes: vec![crate::invalid::InvalidClass::ShortOnLong], ..plan };
        let mut ledger = flow::generate(&plan).unwrap();
        (1..).zip(&mut ledger.entries).for_each(|(order, entry)| entry.source_order = order);
        let mut kinds = std::collections::HashSet::new();
        for index in 0..ledger.entries.len() as u32 {
            let mut line = Vec::new();
            trade_line(&ledger, index, &mut line);
            let value: serde_json::Value = serde_json::from_slice(&line).unwrap_or_else(|error| {
                panic!("{error}: {}", String::from_utf8_lossy(&line));
            });
            assert_eq!(value["trade_id"].as_str(), Some(ledger.trade_id(index).as_str()));
            assert!(value["executed_at"].as_str().unwrap().starts_with(value["effective_date"].as_str().unwrap()));
            let entry = &ledger.entries[index as usize];
            assert_eq!(decimal(value["quantity"].as_str().unwrap(), 8), Some(i128::from(entry.quantity_e8)));
            kinds.insert((value["side"].to_string(), value["trade_type"].to_string()));
        }
        assert!(kinds.len() >= 5, "{kinds:?}");
        let contract: serde_json::Value = serde_json::from_str(&contract_line("A", LotMethod::Hifo)).unwrap();
        assert_eq!(contract["lot_method"], "HIFO");
    }

    #[test]
    fn names_are_escaped() {
        let mut out = Vec::new();
        word(&mut out, "a", "b\"c\\");
        assert_eq!(out, br#"","a":"b\"c\\"#);
        assert_eq!(escaped("A 1/ü"), "A%201%2F%C3%BC");
    }

    #[test]
    fn decimals_are_exact() {
        for (text, places, value) in [
            ("1.5", 8, Some(150_000_000)),
            ("-0.0000000000000001", 16, Some(-1)),
            ("0.000000001", 8, None),
            ("", 8, None),
            ("x", 8, None),
        ] {
            assert_eq!(decimal(text, places), value, "{text}");
        }
    }
}
