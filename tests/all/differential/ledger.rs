//! Random ledgers: what each of the other books can book, written as the lines that `lotbook replay` reads.

use lotbook_core::date::Date;
use lotbook_perf::rng::Rng;
use serde_json::{Value, json};

use crate::support::{E8, shuffle};

/// 2015-01-01: ledgers begin within two years of it, and meet leap years.
const FIRST_DAY: i32 = 16_436;
/// Seconds between one trade of a ledger and the next.
const STEP_S: u32 = 37;

/// What fees the trades of a ledger have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fees {
    None,
    /// Any amount on buys.
    OnBuys,
    /// Any amount on buys and sells.
    OnAll,
    /// On buys one amount a unit for the whole ledger, and whole units: fees change no order of prices.
    SameRate,
    /// On buys an amount a unit, another for each trade, and whole units: unit costs have eight decimals.
    OwnRate,
}

/// What a ledger may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) method: &'static str,
    pub(crate) fees: Fees,
    /// Closing trades name their lot.
    pub(crate) named: bool,
    /// Short positions and flips, the latter only where no lot is named.
    pub(crate) shorts: bool,
    /// Trades have execution times; else only dates, and the source's order.
    pub(crate) timed: bool,
    /// No two lots of a date.
    pub(crate) one_opening_a_day: bool,
    /// Prices of zero, now and then.
    pub(crate) free_lots: bool,
}

impl Kind {
    /// Long only, with times, without fees.
    pub(crate) const fn new(method: &'static str) -> Self {
        Self {
            method,
            fees: Fees::None,
            named: false,
            shorts: false,
            timed: true,
            one_opening_a_day: false,
            free_lots: false,
        }
    }
}

/// One trade by plain numbers.
#[derive(Clone, Debug)]
pub(crate) struct Trade {
    pub(crate) id: String,
    pub(crate) buys: bool,
    pub(crate) quantity_e8: i64,
    pub(crate) price_e8: i64,
    pub(crate) fees_e8: i64,
    pub(crate) day: i32,
    /// Seconds of the day. Later in the day for each later trade of a random ledger, so that the whole days between
    /// two times are the days between their dates.
    pub(crate) second: Option<u32>,
    pub(crate) lot: Option<String>,
}

impl Trade {
    /// Its execution time as the lines say it.
    pub(crate) fn at(&self) -> Option<String> {
        let second = self.second?;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        Some(format!("{}T{hour:02}:{minute:02}:{second:02}Z", Date(self.day)))
    }
}

/// Trades of one account in chronological order.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) account: String,
    pub(crate) kind: Kind,
    /// Trades arrive in any order. The other books read them in theirs.
    pub(crate) shuffled: bool,
    /// Some trades arrive wrong and are corrected, and some that never were arrive and are cancelled; the other books see what is
    /// left of it. Only where they arrive in any order, amendments before their targets too.
    pub(crate) amended: bool,
    /// Days after which a lot is long-term, as the contract says it; none for a calendar year.
    pub(crate) long_term_days: Option<u32>,
    pub(crate) trades: Vec<Trade>,
}

/// A lot that may still be open.
struct Open {
    id: String,
    day: i32,
    /// Kept where lots are named.
    rest_e8: i64,
}

/// How large the numbers of one ledger are.
#[derive(Clone, Copy)]
enum Size {
    /// Whole units and few prices: ties everywhere.
    Whole,
    /// Units of 10^-8.
    Dust,
    /// Eight decimals.
    Fine,
}

impl Size {
    fn quantity(self, rng: &mut Rng) -> i64 {
        match self {
            Self::Whole => rng.between(1, 500) * E8,
            Self::Dust => rng.between(1, 1_000),
            // Below 10,000 units: sums and products of what a ledger holds stay within the 28 digits of the others.
            Self::Fine => rng.between(1, 999_999_999_999),
        }
    }

    fn price(self, rng: &mut Rng) -> i64 {
        match self {
            Self::Whole => rng.between(8, 14) * E8 + rng.between(0, 3) * E8 / 4,
            Self::Dust | Self::Fine => rng.between(1, 999_999_999_999),
        }
    }
}

impl Ledger {
    /// A random one; the same seed gives the same.
    pub(crate) fn random(account: String, kind: Kind, rng: &mut Rng) -> Self {
        let whole = matches!(kind.fees, Fees::SameRate | Fees::OwnRate);
        let size = if whole { Size::Whole } else { [Size::Whole, Size::Dust, Size::Fine][rng.below(3) as usize] };
        let rate_e8 = rng.between(1, 5_000_000);
        let mut day = FIRST_DAY + rng.below(700) as i32;
        let (mut held_e8, mut opened_on) = (0i64, i32::MIN);
        let (mut lots, mut trades) = (Vec::<Open>::new(), Vec::<Trade>::new());
        for number in 0..rng.between(4, 30) as u32 {
            day = next_day(rng, day, &lots);
            let closes = held_e8 != 0 && rng.below(100) < 48;
            let buys = if held_e8 == 0 { !kind.shorts || rng.below(2) == 0 } else { (held_e8 > 0) != closes };
            let mut quantity_e8 = size.quantity(rng);
            let mut lot = None;
            if closes {
                quantity_e8 = match rng.below(6) {
                    0 => held_e8.abs(),
                    1 => 1,
                    2 => quantity_e8,
                    _ => rng.between(1, held_e8.abs()),
                };
                if !kind.shorts || kind.named {
                    quantity_e8 = quantity_e8.min(held_e8.abs());
                }
                if kind.named {
                    let chosen = rng.below(lots.len() as u64) as usize;
                    let open = &mut lots[chosen];
                    quantity_e8 = quantity_e8.min(open.rest_e8);
                    open.rest_e8 -= quantity_e8;
                    lot = Some(open.id.clone());
                    if open.rest_e8 == 0 {
                        lots.remove(chosen);
                    }
                }
            }
            let id = format!("{account}-{number}");
            if !closes || quantity_e8 > held_e8.abs() {
                if kind.one_opening_a_day && day <= opened_on {
                    day = opened_on + 1;
                }
                opened_on = day;
                lots.push(Open { id: id.clone(), day, rest_e8: quantity_e8 });
            }
            let units = quantity_e8 / E8;
            let fees_e8 = match kind.fees {
                Fees::OnBuys if buys => rng.between(0, 2_000_000_000),
                Fees::OnAll => rng.between(0, 2_000_000_000),
                Fees::SameRate if buys => rate_e8 * units,
                Fees::OwnRate if buys => rng.between(0, 50_000_000) * units,
                _ => 0,
            };
            let price_e8 = if kind.free_lots && rng.below(40) == 0 { 0 } else { size.price(rng) };
            // Ties of time among buys, or among sells.
            let tie = trades
                .last()
                .filter(|last| last.buys == buys && last.day == day && rng.below(3) == 0)
                .and_then(|last| last.second);
            let second = kind.timed.then(|| tie.unwrap_or(number * STEP_S));
            held_e8 += if buys { quantity_e8 } else { -quantity_e8 };
            trades.push(Trade { id, buys, quantity_e8, price_e8, fees_e8, day, second, lot });
        }
        // The trade that opens a named lot must come before the one that names it.
        let shuffled = !kind.named && rng.below(2) == 0;
        let amended = shuffled && rng.below(2) == 0;
        // Both tools that tell terms count days: their long term begins with the 365th day.
        Self { account, kind, shuffled, amended, long_term_days: Some(364), trades }
    }

    /// Whether it is still one that its kind allows, now that trades were left out.
    pub(crate) fn allowed(&self) -> bool {
        let mut held_e8 = 0;
        let mut rests: Vec<(&str, i64)> = Vec::new();
        for trade in &self.trades {
            let named = trade.lot.as_deref();
            if let Some(name) = named {
                let Some((_, rest_e8)) = rests.iter_mut().find(|(id, _)| *id == name) else { return false };
                *rest_e8 -= trade.quantity_e8;
                if *rest_e8 < 0 {
                    return false;
                }
            } else {
                rests.push((&trade.id, trade.quantity_e8));
            }
            held_e8 += if trade.buys { trade.quantity_e8 } else { -trade.quantity_e8 };
            if held_e8 < 0 && !self.kind.shorts {
                return false;
            }
        }
        !self.trades.is_empty()
    }

    fn contract(&self) -> Value {
        let fees_rule = if self.kind.fees == Fees::None { "APART" } else { "IN_BASIS" };
        json!({
            "type": "contract", "contract_id": format!("K-{}", self.account), "account": self.account, "instrument": "*",
            "lot_method": self.kind.method, "allow_short": true, "fees_rule": fees_rule,
            "long_term_days": self.long_term_days, "effective_date": "2000-01-01",
        })
    }

    fn line(&self, number: usize) -> Value {
        let trade = &self.trades[number];
        json!({
            "type": "trade", "trade_id": trade.id, "account": self.account, "instrument": "STOCK",
            "side": if trade.buys { "buy" } else { "sell" }, "quantity": decimal(trade.quantity_e8),
            "price": decimal(trade.price_e8), "fees": decimal(trade.fees_e8),
            "effective_date": Date(trade.day).to_string(), "executed_at": trade.at(), "source_order": number,
            "lot": trade.lot,
        })
    }
}

/// The same date often, else days, months, or around the first year of a lot, where its term is decided.
fn next_day(rng: &mut Rng, day: i32, lots: &[Open]) -> i32 {
    let next = match rng.below(10) {
        0..=3 => day,
        4..=6 => day + rng.between(1, 9) as i32,
        7 => day + rng.between(20, 200) as i32,
        _ if lots.is_empty() => day,
        _ => lots[rng.below(lots.len() as u64) as usize].day + rng.between(363, 367) as i32,
    };
    next.max(day)
}

/// The lines of many ledgers: their contracts, then all trades and amendments with those of different ledgers mixed.
pub(crate) fn lines(ledgers: &[Ledger], rng: &mut Rng) -> String {
    let mut text = String::new();
    let mut turns = Vec::new();
    let mut arrivals = Vec::new();
    for (index, ledger) in ledgers.iter().enumerate() {
        text.push_str(&ledger.contract().to_string());
        text.push('\n');
        let mut lines: Vec<Value> = (0..ledger.trades.len()).map(|number| ledger.line(number)).collect();
        if ledger.amended {
            amend(ledger, &mut lines, rng);
        }
        if ledger.shuffled {
            shuffle(&mut lines, rng);
        }
        turns.extend(lines.iter().map(|_| index));
        arrivals.push(lines.into_iter());
    }
    shuffle(&mut turns, rng);
    for index in turns {
        text.push_str(&arrivals[index].next().expect("a turn for each line").to_string());
        text.push('\n');
    }
    text
}

/// Spoils some of the trades and mends them by further lines.
fn amend(ledger: &Ledger, lines: &mut Vec<Value>, rng: &mut Rng) {
    for (number, trade) in ledger.trades.iter().enumerate() {
        let id = &trade.id;
        match rng.below(6) {
            0 => {
                let right = lines[number].clone();
                let mut correct = json!({ "type": "correct", "trade_id": format!("{id}-c"), "corrects": id });
                for field in spoil(ledger, trade, &mut lines[number], rng) {
                    correct[field] = right[field].clone();
                }
                lines.push(correct);
            }
            1 => {
                let mut never = lines[number].clone();
                spoil(ledger, trade, &mut never, rng);
                never["trade_id"] = json!(format!("{id}-n"));
                lines.push(never);
                lines.push(json!({ "type": "cancel", "cancels": format!("{id}-n") }));
            }
            // A correction that was itself wrong.
            2 => {
                let mut wrong = json!({ "type": "correct", "trade_id": format!("{id}-w"), "corrects": id });
                spoil(ledger, trade, &mut wrong, rng);
                lines.push(wrong);
                lines.push(json!({ "type": "cancel", "cancels": format!("{id}-w") }));
            }
            _ => {}
        }
    }
}

/// Gives some fields of a line other values; their names.
fn spoil(ledger: &Ledger, trade: &Trade, line: &mut Value, rng: &mut Rng) -> Vec<&'static str> {
    let mut fields = vec!["price"];
    line["price"] = json!(decimal(rng.between(1, 999_999_999_999)));
    if rng.below(2) == 0 {
        fields.push("quantity");
        line["quantity"] = json!(decimal(rng.between(1, 999_999_999_999)));
    }
    if rng.below(3) == 0 {
        fields.push("side");
        line["side"] = json!(if trade.buys { "sell" } else { "buy" });
    }
    if rng.below(3) == 0 {
        fields.push("effective_date");
        let date = Date(trade.day + rng.between(-40, 40) as i32);
        line["effective_date"] = json!(date.to_string());
        if ledger.kind.timed {
            fields.push("executed_at");
            line["executed_at"] = json!(format!("{date}T12:00:00Z"));
        }
    }
    fields
}

fn decimal(value_e8: i64) -> String {
    format!("{}.{:08}", value_e8 / E8, value_e8 % E8)
}
