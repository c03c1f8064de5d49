//! What a trade says with its live corrects laid over it (rule 9 of `docs/rules.md`), in the words of the archive.

use std::collections::HashMap;

use lotbook_core::date::Date;
use serde_json::{Map, Value};

/// Fields of a trade that a correct may change, and that a version of it shows.
const FIELDS: [&str; 12] = [
    "side",
    "trade_type",
    "quantity",
    "price",
    "consideration",
    "fees",
    "currency",
    "fx_to_base",
    "effective_date",
    "contract_id",
    "sub_account",
    "executed_at",
];

/// An accepted amendment.
#[derive(Clone, Debug)]
pub(super) struct Amendment {
    /// Its own id.
    pub id: String,
    /// Hash of that.
    pub hash: String,
    /// Hash of what it amends.
    pub target: String,
    /// Its event.
    pub event: Value,
}

/// A trade by its amendments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Amended {
    /// A live cancel targets it.
    pub cancelled: bool,
    /// Its fields as columns of `trades`: those of [`FIELDS`], with account and instrument, `business_date` and `executed_at_ns`.
    pub fields: Map<String, Value>,
}

/// Lays the live ones of `amendments` over a trade, which is `event`, a record's payload, with its account and instrument; all as accepted,
/// in the order of the log. `None` where a date or time is none, which no event has.
pub(super) fn amend(event: &Value, account: &str, instrument: &str, amendments: &[Amendment]) -> Option<Amended> {
    let live = live(amendments);
    let of_trade = event["hash"].as_str()?.to_owned();
    let is = |amendment: &Amendment, kind: &str| amendment.event["type"] == kind;
    let on_trade = |amendment: &Amendment| plain(&amendment.target) == plain(&of_trade);
    let mut corrects: Vec<&Amendment> = Vec::new();
    let mut cancelled = false;
    for (amendment, live) in amendments.iter().zip(live) {
        cancelled |= live && is(amendment, "cancel") && on_trade(amendment);
        if live && is(amendment, "correct") && on_trade(amendment) {
            corrects.push(amendment);
        }
    }
    let mut keyed = corrects.into_iter().map(|correct| Some((key(correct)?, correct))).collect::<Option<Vec<_>>>()?;
    keyed.sort_by(|(left, _), (right, _)| left.cmp(right));
    let mut fields: Map<String, Value> = FIELDS.iter().map(|name| ((*name).to_owned(), event[*name].clone())).collect();
    fields.insert("account".into(), account.into());
    fields.insert("instrument".into(), instrument.into());
    fields.insert("executed_at_ns".into(), nanoseconds(event["executed_at"].as_str()?)?.into());
    for (_, correct) in keyed {
        let changes = &correct.event["changes"];
        for name in FIELDS {
            if let Some(value) = changes.get(name) {
                fields.insert(name.to_owned(), value.clone());
            }
        }
        for (name, given) in [("account", "given_account"), ("instrument", "given_instrument")] {
            if let Some(value) = correct.event[given].as_str() {
                fields.insert(name.to_owned(), value.into());
            }
        }
        // A date without a time brings the end of that date with it.
        let at_ns = match (changes["executed_at"].as_str(), changes["effective_date"].as_str()) {
            (Some(at), _) => Some(nanoseconds(at)?),
            (None, Some(date)) => Some(Date::parse(date)?.end_ns()),
            (None, None) => None,
        };
        if let Some(at_ns) = at_ns {
            fields.insert("executed_at_ns".into(), at_ns.into());
        }
    }
    fields.remove("executed_at");
    let date = fields.remove("effective_date")?;
    fields.insert("business_date".into(), date);
    Some(Amended { cancelled, fields })
}

/// Which amendments are live: those that no live cancel targets. A target is accepted before what amends it, so later ones are known first.
fn live(amendments: &[Amendment]) -> Vec<bool> {
    let mut cancelled: HashMap<String, bool> = HashMap::new();
    let mut live = vec![false; amendments.len()];
    for (index, amendment) in amendments.iter().enumerate().rev() {
        let is_live = !cancelled.get(&plain(&amendment.hash)).copied().unwrap_or(false);
        live[index] = is_live;
        if is_live && amendment.event["type"] == "cancel" {
            cancelled.insert(plain(&amendment.target), true);
        }
    }
    live
}

/// Hexadecimal digits alone: the server writes groups of them.
fn plain(hash: &str) -> String {
    hash.chars().filter(char::is_ascii_hexdigit).collect()
}

/// Its place among the corrects of its trade.
fn key(correct: &Amendment) -> Option<(i64, u64, &[u8], String)> {
    let event = &correct.event;
    let at_ns = match event["executed_at"].as_str() {
        Some(at) => nanoseconds(at)?,
        None => i64::MAX,
    };
    Some((at_ns, event["source_order"].as_u64()?, correct.id.as_bytes(), plain(&correct.hash)))
}

fn nanoseconds(text: &str) -> Option<i64> {
    let stamp: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(stamp.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn amendment(id: &str, target: &str, event: Value) -> Amendment {
        let hash = |name: &str| format!("{:032x}", name.bytes().fold(0u128, |sum, byte| sum << 8 | u128::from(byte)));
        let mut whole = json!({"type": "cancel", "executed_at": null, "source_order": 0, "changes": {},
            "given_account": null, "given_instrument": null});
        for (name, value) in event.as_object().expect("fields") {
            whole[name] = value.clone();
        }
        Amendment { id: id.into(), hash: hash(id), target: hash(target), event: whole }
    }

    fn check(amendments: &[Amendment], wanted: Value) {
        let trade = json!({"hash": amendment("t", "", json!({})).hash, "side": "buy", "trade_type": null, "quantity": "10", "price": "5",
            "consideration": null, "fees": "0", "currency": null, "fx_to_base": "1", "effective_date": "2026-03-02",
            "contract_id": null, "sub_account": null, "executed_at": "2026-03-02T10:00:00.000000001Z"});
        let amended = amend(&trade, "A", "X", amendments).expect("an amended trade");
        let mut found = json!({"cancelled": amended.cancelled});
        for name in wanted.as_object().expect("fields").keys().filter(|name| *name != "cancelled") {
            found[name] = amended.fields[name].clone();
        }
        assert_eq!(found, wanted);
    }

    fn correct(id: &str, target: &str, more: Value) -> Amendment {
        let mut event = json!({"type": "correct"});
        for (name, value) in more.as_object().expect("fields") {
            event[name] = value.clone();
        }
        amendment(id, target, event)
    }

    #[test]
    fn corrects_are_laid_over_in_the_order_of_their_keys() {
        let at = |second: u32| json!(format!("2026-03-03T10:00:{second:02}Z"));
        let later = correct("a", "t", json!({"executed_at": at(2), "changes": {"price": "7", "fees": "1"}}));
        let sooner = correct("b", "t", json!({"executed_at": at(1), "changes": {"price": "6", "quantity": "11"}}));
        check(
            &[later.clone(), sooner.clone()],
            json!({"cancelled": false, "price": "7", "fees": "1", "quantity": "11"}),
        );
        let untimed = correct("0", "t", json!({"changes": {"price": "8"}}));
        check(&[untimed, later, sooner], json!({"cancelled": false, "price": "8", "quantity": "11"}));
        let (first, second) =
            (json!({"source_order": 4, "changes": {"price": "1"}}), json!({"changes": {"price": "2"}}));
        check(&[correct("x", "t", first), correct("y", "t", second)], json!({"cancelled": false, "price": "1"}));
    }

    #[test]
    fn a_date_brings_its_end_and_a_correct_may_move_a_trade() {
        let date = correct("c", "t", json!({"given_account": "B", "changes": {"effective_date": "2026-03-04"}}));
        let end = Date::parse("2026-03-04").expect("a date").end_ns();
        let wanted = json!({"cancelled": false, "account": "B", "instrument": "X", "business_date": "2026-03-04", "executed_at_ns": end});
        check(&[date], wanted);
        check(
            &[],
            json!({"cancelled": false, "executed_at_ns": 1_772_445_600_000_000_001i64, "business_date": "2026-03-02"}),
        );
    }

    #[test]
    fn only_what_no_live_cancel_targets_counts() {
        let cancel = |id: &str, target: &str| amendment(id, target, json!({}));
        let price = correct("p", "t", json!({"changes": {"price": "7"}}));
        check(&[cancel("c", "t")], json!({"cancelled": true, "price": "5"}));
        check(&[cancel("c", "t"), cancel("d", "c")], json!({"cancelled": false}));
        check(&[cancel("c", "t"), cancel("d", "c"), cancel("e", "d")], json!({"cancelled": true}));
        check(&[price.clone(), cancel("c", "p")], json!({"cancelled": false, "price": "5"}));
        check(&[price.clone(), cancel("c", "p"), cancel("d", "c")], json!({"cancelled": false, "price": "7"}));
        check(&[price, cancel("c", "t"), cancel("d", "t")], json!({"cancelled": true, "price": "7"}));
    }
}
