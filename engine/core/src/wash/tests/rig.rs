//! A history of wash sales as text, and a view of it as text.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::super::*;
use crate::amount::{ONE_E8, parse_e8};
use crate::rules::Rules;

fn date(text: &str) -> Date {
    Date::parse(text).expect("a date")
}

fn hash(text: &str) -> TradeHash {
    let mut bytes = [0; 16];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    TradeHash(u128::from_be_bytes(bytes))
}

fn name(hash: TradeHash) -> String {
    let bytes = hash.0.to_be_bytes();
    bytes.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect()
}

fn number(scaled: i128, decimals: usize) -> String {
    let digits = format!("{:0width$}", scaled.unsigned_abs(), width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    let fraction = fraction.trim_end_matches('0');
    let sign = if scaled < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The only lot of its identity.
pub(in super::super) fn first(origin: TradeHash) -> LotName {
    LotName { origin, nth: 0 }
}

/// Each position is an account of its own, and there is one security.
pub(in super::super) fn own(position: u32) -> Home {
    Home { account: position, security: 0 }
}

fn money(text: &str) -> Money {
    i128::from(parse_e8(text, false).expect("a number")) * i128::from(ONE_E8)
}

/// Lots of the plain book of a test: units and cost, by position and name, in lot order.
type Lots = Vec<(u32, TradeHash, i64, Money, Date, bool)>;

/// `WHEN ACCOUNT WHAT ID UNITS MONEY [LOT:UNITS ...] [key=value ...]`, in chronological order. `ACCOUNT` is one letter, and
/// its taxpayer another if it is written `A/T`. `WHAT`: `buy`, `short`, `sell`, `cover`, `enlarge` (the lot is named), `bring`
/// (an opening lot, `on=` its acquired date), `close` (an action's), `split` (units for units, for all), `reset` (units are
/// no matter, money is a price). Contract terms stand first: `wash=`, `days=`.
pub(super) fn steps(history: &str) -> Vec<Step> {
    let mut lots: Lots = Vec::new();
    let mut steps = Vec::new();
    let mut washes = Some(Washes { across_accounts: false, window_days: 30 });
    for line in history.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(scope) = words[0].strip_prefix("wash=") {
            let window_days =
                words.get(1).map_or(30, |days| days.strip_prefix("days=").expect("days").parse().expect("days"));
            washes = (scope != "NONE").then_some(Washes { across_accounts: scope == "TAXPAYER", window_days });
            continue;
        }
        let (when, account, what, id) = (date(words[0]), words[1].as_bytes(), words[2], words[3]);
        let position = u32::from(account[0]);
        let taxpayer = u32::from(*account.get(2).unwrap_or(&account[0]));
        let units = parse_e8(words[4], false).expect("units");
        let amount = words.get(5).map_or(0, |text| money(text));
        let lot_named = |index: usize| words.get(index).map(|word| word.split_once(':').unwrap_or((word, words[4])));
        let until = Rules::DEFAULT.long_term_until(when);
        let mut booked =
            Booked { cause: hash(id), taxpayer, washes, long_term_until: until, closed: Vec::new(), opened: None };
        match what {
            "buy" | "short" | "bring" => {
                let opened = words.get(6).map_or(when, |on| date(on.strip_prefix("on=").expect("a date")));
                let is_long = what != "short";
                lots.push((position, hash(id), units, amount, opened, is_long));
                lots.sort_by_key(|lot| lot.4);
                booked.opened = Some(Opened { lot: hash(id), quantity_e8: units, is_long, opened });
            }
            "enlarge" => {
                let (lot, _) = lot_named(6).expect("a lot");
                let held = lots.iter_mut().find(|held| (held.0, held.1) == (position, hash(lot))).expect("an open lot");
                held.2 += units;
                held.3 += amount;
                booked.opened = Some(Opened { lot: hash(lot), quantity_e8: units, is_long: held.5, opened: when });
            }
            "sell" | "cover" | "close" => {
                if what == "close" {
                    booked.washes = None;
                }
                let (mut left, mut value) = (units, amount);
                for index in 6..words.len() {
                    let (lot, part) = lot_named(index).expect("a lot");
                    let part = parse_e8(part, false).expect("units");
                    let at = lots.iter().position(|held| (held.0, held.1) == (position, hash(lot))).expect("open");
                    let held = &mut lots[at];
                    let (cost, worth) = (share(held.3, part, held.2), share(value, part, left));
                    let realized_e16 = if held.5 { worth - cost } else { cost - worth };
                    let is_long_term = held.5 && held.4 <= until;
                    booked.closed.push(Closed { lot: first(hash(lot)), quantity_e8: part, realized_e16, is_long_term });
                    (held.2, held.3) = (held.2 - part, held.3 - cost);
                    (left, value) = (left - part, value - worth);
                    if held.2 == 0 {
                        lots.remove(at);
                    }
                }
                assert_eq!(left, 0, "{line}");
            }
            "split" => {
                let (numerator, denominator) = (words[3].parse().expect("units"), words[4].parse().expect("units"));
                steps.push(Step { position: 0, date: when, what: What::Split { security: 0, numerator, denominator } });
                let mut positions: Vec<u32> = lots.iter().map(|lot| lot.0).collect();
                positions.dedup();
                for position in positions {
                    let mut scaled = Vec::new();
                    let (mut until, mut reached) = (0i128, 0);
                    for lot in lots.iter_mut().filter(|lot| lot.0 == position) {
                        until += i128::from(lot.2);
                        let now = (until * i128::from(numerator) / i128::from(denominator)) as i64;
                        lot.2 = now - reached;
                        reached = now;
                        scaled.push((first(lot.1), lot.2));
                    }
                    steps.push(Step { position, date: when, what: What::Scaled(scaled) });
                }
                lots.retain(|lot| lot.2 != 0);
                continue;
            }
            "reset" => {
                let mut struck = Vec::new();
                for lot in lots.iter_mut().filter(|lot| lot.0 == position) {
                    let cost = i128::from(lot.2) * (amount / i128::from(ONE_E8));
                    let realized_e16 = if lot.5 { cost - lot.3 } else { lot.3 - cost };
                    let is_long_term = lot.5 && lot.4 <= until;
                    struck.push(Closed { lot: first(lot.1), quantity_e8: lot.2, realized_e16, is_long_term });
                    lot.3 = cost;
                }
                steps.push(Step { position, date: when, what: What::Struck { long_term_until: until, lots: struck } });
                continue;
            }
            other => panic!("what is {other}?"),
        }
        steps.push(Step { position, date: when, what: What::Booked(booked) });
    }
    steps
}

/// The view, a line each: `loss TRADE LOT UNITS: DISALLOWED on MATCHED -> OPENING UNITS +ADDITION DAYS, ...`; then
/// `lot NAME: UNITS +ADDITION DAYS, ...`; then `ACCOUNT: disallowed D recognized R carried C long L`.
fn rendered(view: &View) -> Vec<String> {
    let units = |quantity_e8: i64| number(i128::from(quantity_e8), 8);
    let mut lines = Vec::new();
    for loss in &view.losses {
        let by: Vec<String> = loss
            .replacements
            .iter()
            .map(|by| {
                let days = by.tacked_days;
                format!("{} {} +{} {days}d", name(by.opening), units(by.quantity_e8), number(by.addition_e16, 16))
            })
            .collect();
        let (sold, matched) = (units(loss.quantity_e8), units(loss.matched_e8));
        let disallowed = number(loss.disallowed_e16, 16);
        let (cause, lot) = (name(loss.cause), name(loss.lot));
        lines.push(format!("loss {cause} {lot} {sold}: {disallowed} on {matched} -> {}", by.join(", ")));
    }
    for ((_, lot), pieces) in &view.lots {
        let pieces: Vec<String> = pieces
            .iter()
            .map(|piece| {
                let days = piece.tacked_days;
                format!("{} +{} {days}d", units(piece.quantity_e8), number(piece.addition_e16, 16))
            })
            .collect();
        lines.push(format!("lot {}: {}", name(lot.origin), pieces.join(", ")));
    }
    for (position, totals) in &view.totals {
        let [disallowed, recognized, carried, long] =
            [totals.disallowed_e16, totals.recognized_e16, totals.carried_e16, totals.long_shift_e16]
                .map(|money| number(money, 16));
        let account = char::from_u32(*position).unwrap_or('?');
        lines.push(format!("{account}: disallowed {disallowed} recognized {recognized} carried {carried} long {long}"));
    }
    lines
}

pub(super) fn check(source: &str, history: &str, expected: &str) {
    let view = walk(&steps(history), own).expect("a view");
    let expected: Vec<String> =
        expected.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| line.to_string()).collect();
    assert_eq!(rendered(&view), expected, "{source}\n{history}");
}
