//! What may happen in a drawn history, and its JSON lines for `lotbook replay`.

use lotbook_tests::naive::actions::{Action, Kind};
use lotbook_tests::naive::amend::{Amendment, Changes};
use lotbook_tests::naive::holding::date;
use lotbook_tests::naive::in_force::{Contract, Method, Rules, Wash};
use lotbook_tests::naive::leading::Terms;
use lotbook_tests::naive::numbers::ONE;
use lotbook_tests::naive::words::{Day, Instrument, Name, Side, Trade, TradeType};
use serde_json::{Map, Value, json};

/// One step of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a history has a few hundred")]
pub(crate) enum Step {
    /// A version of a contract.
    Contract(Contract),
    /// Terms of an instrument.
    Instrument(Name, Instrument),
    /// The business date moves on.
    Today(Day),
    /// A trade or an opening lot.
    Trade(Trade),
    /// The coldpath replays a position, where it has one.
    Replay(Name, Name),
    /// A cancel or a correct.
    Amend(Amendment),
    /// An operator resolves the breaks of a position, where it is PENDING.
    Resolve(Name, Name),
    /// A corporate action or a reset.
    Action(Action),
    /// An account, or all of them, is closed up to and with a date.
    Lock(Option<Name>, Day),
}

/// The decimal text of a number at 10^-8.
pub(crate) fn decimal(value: i128) -> String {
    let (whole, part) = (value.unsigned_abs() / ONE as u128, value.unsigned_abs() % ONE as u128);
    let sign = if value < 0 { "-" } else { "" };
    if part == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{part:08}").trim_end_matches('0').to_owned()
}

/// `YYYY-MM-DD`.
pub(crate) fn ymd(day: Day) -> String {
    let (year, month, of_month) = date(day);
    format!("{year:04}-{month:02}-{of_month:02}")
}

/// An RFC 3339 time stamp.
fn stamp(ns: i64) -> String {
    const SECOND: i64 = 1_000_000_000;
    let (day, rest) = (ns.div_euclid(86_400 * SECOND), ns.rem_euclid(86_400 * SECOND));
    let (second, part) = (rest / SECOND, rest % SECOND);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{}T{h:02}:{m:02}:{s:02}.{part:09}Z", ymd(day as Day))
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Fifo => "FIFO",
        Method::Lifo => "LIFO",
        Method::Hifo => "HIFO",
        Method::Lofo => "LOFO",
        Method::Average => "AVERAGE",
        Method::MinTax => "MIN_TAX",
    }
}

fn rules(line: &mut Map<String, Value>, rules: &Rules) {
    let mut put = |name: &str, value: Value| line.insert(name.into(), value);
    put("lot_method", json!(method(rules.method)));
    put("allow_short", json!(rules.allow_short));
    put("short_rank", json!(if rules.short_rank_is_result { "RESULT" } else { "PRICE" }));
    put("lot_scope", json!(if rules.scope_is_sub_account { "SUB_ACCOUNT" } else { "POSITION" }));
    put("fees_rule", json!(if rules.fees_in_basis { "IN_BASIS" } else { "APART" }));
    if let Some((short, long)) = rules.tax_rates {
        put("tax_rate_short", json!(decimal(short)));
        put("tax_rate_long", json!(decimal(long)));
    }
    if let Some(days) = rules.long_term_days {
        put("long_term_days", json!(days));
    }
    let wash = match rules.wash {
        Wash::None => "NONE",
        Wash::Account => "ACCOUNT",
        Wash::Taxpayer => "TAXPAYER",
    };
    put("wash_sale", json!(wash));
    put("wash_window_days", json!(rules.wash_window));
    if let Some(name) = rules.taxpayer {
        put("taxpayer", json!(format!("A{name}")));
    }
    put("locked_changes", json!(if rules.locked_changes_adjust { "ADJUST" } else { "REFUSE" }));
}

fn trade(line: &mut Map<String, Value>, trade: &Trade) {
    let mut put = |name: &str, value: Value| line.insert(name.into(), value);
    let is_lot = trade.opens_a_lot();
    put("trade_id", json!(&*trade.id));
    if let Some(to) = trade.to_account {
        transfer(line, trade, to);
        return;
    }
    put("account", json!(format!("A{}", trade.account)));
    put("instrument", json!(format!("I{}", trade.instrument)));
    put("quantity", json!(decimal(if is_lot { trade.signed() } else { trade.quantity })));
    put("effective_date", json!(ymd(trade.date)));
    put("executed_at", json!(stamp(trade.executed_at)));
    put("source_order", json!(trade.source_order));
    put("fx_to_base", json!(decimal(trade.fx_to_base)));
    if let Some(price) = trade.price {
        put("price", json!(decimal(price)));
    }
    if let Some(amount) = trade.consideration {
        put("consideration", json!(decimal(amount)));
    }
    if let Some(name) = trade.contract {
        put("contract_id", json!(format!("K{name}")));
    }
    if let Some(name) = trade.currency {
        put("currency", json!(format!("C{name}")));
    }
    if let Some(name) = trade.sub_account {
        put("sub_account", json!(format!("S{name}")));
    }
    if let Some(acquired) = trade.acquired {
        put("acquired", json!(ymd(acquired)));
        return;
    }
    put("side", json!(side(trade.side)));
    put("fees", json!(decimal(trade.fees)));
    if let Some(trade_type) = trade_type(trade.trade_type) {
        put("trade_type", json!(trade_type));
    }
    if let Some(lot) = &trade.lot {
        put("lot", json!(&**lot));
    }
}

/// The sign says which side's lots leave.
fn transfer(line: &mut Map<String, Value>, transfer: &Trade, to: Name) {
    let mut put = |name: &str, value: Value| line.insert(name.into(), value);
    put("account", json!(format!("A{}", transfer.account)));
    put("to_account", json!(format!("A{to}")));
    put("instrument", json!(format!("I{}", transfer.instrument)));
    put("quantity", json!(decimal(-transfer.signed())));
    put("effective_date", json!(ymd(transfer.date)));
    put("executed_at", json!(stamp(transfer.executed_at)));
    put("source_order", json!(transfer.source_order));
    let mut optional =
        |name: &str, value: Option<String>| drop(value.map(|value| line.insert(name.into(), json!(value))));
    optional("lot", transfer.lot.as_ref().map(|lot| (**lot).into()));
    optional("sub_account", transfer.sub_account.map(|name| format!("S{name}")));
    optional("contract_id", transfer.contract.map(|name| format!("K{name}")));
}

fn changes(line: &mut Map<String, Value>, changes: &Changes) {
    let mut put = |name: &str, value: Option<Value>| drop(value.map(|value| line.insert(name.into(), value)));
    let number = |value: Option<i128>| value.map(|value| json!(decimal(value)));
    put("side", changes.side.map(|value| json!(side(value))));
    put("trade_type", changes.trade_type.and_then(trade_type).map(|value| json!(value)));
    put("quantity", number(changes.quantity));
    put("price", number(changes.price));
    put("fees", number(changes.fees));
    put("consideration", number(changes.consideration));
    put("fx_to_base", number(changes.fx_to_base));
    put("effective_date", changes.date.map(|value| json!(ymd(value))));
    put("executed_at", changes.executed_at.map(|value| json!(stamp(value))));
    put("lot", changes.lot.as_ref().map(|value| json!(&**value)));
    put("sub_account", changes.sub_account.map(|value| json!(format!("S{value}"))));
    put("contract_id", changes.contract.map(|value| json!(format!("K{value}"))));
    let terms = changes.of_actions.unwrap_or_default();
    put("numerator", terms.numerator.map(|value| json!(value as u64)));
    put("denominator", terms.denominator.map(|value| json!(value as u64)));
    put("cash_per_unit", number(terms.cash));
    put("cash_in_lieu_price", number(terms.cash_in_lieu));
    put("record_date", terms.record_date.map(|value| json!(ymd(value))));
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
        Side::SellShort => "sell_short",
        Side::BuyToCover => "buy_to_cover",
    }
}

fn trade_type(trade_type: TradeType) -> Option<&'static str> {
    match trade_type {
        TradeType::Any => None,
        TradeType::NewTrade => Some("NEW_TRADE"),
        TradeType::Increase => Some("INCREASE"),
        TradeType::Decrease => Some("DECREASE"),
    }
}

impl Step {
    /// The step as a line for `lotbook replay`; replays are not asked for there.
    pub(crate) fn line(&self) -> Option<String> {
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| line.insert(name.into(), value);
        match self {
            Self::Contract(contract) => {
                put("type", json!("contract"));
                put("contract_id", json!(format!("K{}", contract.id)));
                put("account", json!(contract.account.map_or("*".into(), |name| format!("A{name}"))));
                put("instrument", json!(contract.instrument.map_or("*".into(), |name| format!("I{name}"))));
                put("effective_date", json!(ymd(contract.from)));
                rules(&mut line, &contract.rules);
            }
            Self::Instrument(name, terms) => {
                put("type", json!("instrument"));
                put("instrument", json!(format!("I{name}")));
                put("multiplier", json!(decimal(terms.multiplier)));
                if let Some(currency) = terms.currency {
                    put("currency", json!(format!("C{currency}")));
                }
            }
            Self::Today(day) => {
                put("type", json!("business_date"));
                put("date", json!(ymd(*day)));
            }
            Self::Trade(what) => {
                let kinds = if what.opens_a_lot() { "open_lot" } else { "trade" };
                put("type", json!(if what.moves() { "transfer" } else { kinds }));
                trade(&mut line, what);
            }
            Self::Amend(amendment) => {
                put("type", json!(if amendment.changes.is_some() { "correct" } else { "cancel" }));
                put("trade_id", json!(&*amendment.id));
                let target = if amendment.changes.is_some() { "corrects" } else { "cancels" };
                put(target, json!(&*amendment.target));
                put("source_order", json!(amendment.source_order));
                if let Some(at) = amendment.executed_at {
                    put("at", json!(stamp(at)));
                }
                if let Some(name) = amendment.account {
                    put("account", json!(format!("A{name}")));
                }
                if let Some(name) = amendment.instrument {
                    put("instrument", json!(format!("I{name}")));
                }
                if let Some(of_trade) = &amendment.changes {
                    changes(&mut line, of_trade);
                }
            }
            Self::Action(action) => {
                let mut number = |name: &str, value: i128| drop(put(name, json!(decimal(value))));
                number("fx_to_base", action.fx_to_base);
                let kind = match action.kind {
                    Kind::Split { cash_in_lieu, .. } => {
                        cash_in_lieu.into_iter().for_each(|price| number("cash_in_lieu_price", price));
                        "split"
                    }
                    Kind::ReturnOfCapital { cash } => {
                        number("cash_per_unit", cash);
                        "return_of_capital"
                    }
                    Kind::Merger { cash } => {
                        number("cash_per_unit", cash);
                        "merger"
                    }
                    Kind::Dividend { cash, .. } => {
                        number("cash_per_unit", cash);
                        "cash_dividend"
                    }
                    Kind::Reset { price, .. } => {
                        number("price", price);
                        "reset"
                    }
                    Kind::StockMerger { terms, cash, .. } => {
                        number("cash_per_unit", cash);
                        terms.cash_in_lieu.into_iter().for_each(|price| number("cash_in_lieu_price", price));
                        "merger"
                    }
                    Kind::SpinOff { terms, fraction, .. } => {
                        number("basis_fraction", fraction);
                        terms.cash_in_lieu.into_iter().for_each(|price| number("cash_in_lieu_price", price));
                        "spin_off"
                    }
                    Kind::SymbolChange { .. } => "symbol_change",
                };
                if let Some(to) = action.leads_to() {
                    put("to_instrument", json!(format!("I{to}")));
                }
                match action.kind {
                    Kind::StockMerger { terms: Terms { numerator, denominator, .. }, .. }
                    | Kind::SpinOff { terms: Terms { numerator, denominator, .. }, .. }
                    | Kind::Split { numerator, denominator, .. } => {
                        put("numerator", json!(numerator as u64));
                        put("denominator", json!(denominator as u64));
                    }
                    Kind::Dividend { record_date: Some(day), .. } => drop(put("record_date", json!(ymd(day)))),
                    Kind::Reset { contract: Some(name), .. } => drop(put("contract_id", json!(format!("K{name}")))),
                    _ => {}
                }
                put("type", json!(if kind == "reset" { "reset" } else { "corporate_action" }));
                if kind != "reset" {
                    put("action", json!(kind));
                }
                put("action_id", json!(&*action.id));
                put("instrument", json!(format!("I{}", action.instrument)));
                put("effective_date", json!(ymd(action.date)));
            }
            Self::Resolve(account, instrument) => {
                put("type", json!("resolve"));
                put("account", json!(format!("A{account}")));
                put("instrument", json!(format!("I{instrument}")));
                put("reason", json!("drawn"));
            }
            Self::Lock(account, through) => {
                put("type", json!("period_lock"));
                put("account", json!(account.map_or("*".into(), |name| format!("A{name}"))));
                put("through", json!(ymd(*through)));
            }
            Self::Replay(..) => return None,
        }
        Some(Value::Object(line).to_string())
    }
}
