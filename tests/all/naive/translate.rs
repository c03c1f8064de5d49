//! The naive model's words in the engine's.

use lotbook_core::action_input::{ActionInput, ActionKind};
use lotbook_core::amend::{AmendInput, AmendKind, Changes, NO_TIME};
use lotbook_core::command::{
    InstrumentTerms, NO_CONSIDERATION, NO_PRICE, NameClass, Side, TradeInput, TradeKind, TradeType,
};
use lotbook_core::date::Date;
use lotbook_core::id::{NO_NAME, TradeHash, TradeId};
use lotbook_core::rules::{
    ContractTerms, FeesRule, LockedChanges, LotMethod, LotScope, Rules, ShortRank, TaxRates, WashSale,
};
use lotbook_tests::naive::actions::{Action, Kind};
use lotbook_tests::naive::amend::Amendment;
use lotbook_tests::naive::in_force::{self, Contract, Method, Wash};
use lotbook_tests::naive::leading::Terms;
use lotbook_tests::naive::words::{Instrument, Name, Side as NaiveSide, Trade, TradeType as NaiveType};

use super::draw::{CONTRACTS, NAMES};

pub(crate) fn name(given: Option<Name>) -> u32 {
    given.unwrap_or(NO_NAME)
}

pub(crate) fn hash(id: &str) -> TradeHash {
    TradeHash::new(b"test", id.as_bytes())
}

pub(crate) fn e8(value: i128) -> i64 {
    i64::try_from(value).expect("drawn within 64 bits")
}

/// A version of a contract in the engine's words.
pub(super) fn contract_terms(contract: &Contract) -> ContractTerms {
    ContractTerms {
        contract: contract.id,
        account: name(contract.account),
        instrument: name(contract.instrument),
        rules: rules(&contract.rules),
        effective_date: Date(contract.from),
    }
}

/// Terms of an instrument in the engine's words.
pub(super) fn instrument_terms(number: Name, terms: &Instrument) -> InstrumentTerms {
    InstrumentTerms {
        instrument: number,
        currency: name(terms.currency),
        multiplier_e8: e8(terms.multiplier),
        tick_e8: 0,
        price_min_e8: 0,
        price_max_e8: 0,
        isin: [0; 12],
        cusip: [0; 9],
    }
}

/// Names, numbered as in the model: a letter and a number each.
pub(super) fn names(accounts: Name, instruments: Name) -> impl Iterator<Item = (NameClass, Name, String)> {
    let classes = [
        (NameClass::Account, 'A', accounts),
        (NameClass::Instrument, 'I', instruments),
        (NameClass::SubAccount, 'S', NAMES),
        (NameClass::Currency, 'C', NAMES),
        (NameClass::Contract, 'K', CONTRACTS + 1),
    ];
    classes
        .into_iter()
        .flat_map(|(class, letter, count)| (0..count).map(move |number| (class, number, format!("{letter}{number}"))))
}

/// The rules in the engine's words.
pub(crate) fn rules(rules: &in_force::Rules) -> Rules {
    Rules {
        method: match rules.method {
            Method::Fifo => LotMethod::Fifo,
            Method::Lifo => LotMethod::Lifo,
            Method::Hifo => LotMethod::Hifo,
            Method::Lofo => LotMethod::Lofo,
            Method::Average => LotMethod::Average,
            Method::MinTax => LotMethod::MinTax,
        },
        allow_short: rules.allow_short,
        short_rank: if rules.short_rank_is_result { ShortRank::Result } else { ShortRank::Price },
        lot_scope: if rules.scope_is_sub_account { LotScope::SubAccount } else { LotScope::Position },
        fees_rule: if rules.fees_in_basis { FeesRule::InBasis } else { FeesRule::Apart },
        tax_rates: rules.tax_rates.map(|(short, long)| TaxRates { short_e8: short as u32, long_e8: long as u32 }),
        long_term_days: rules.long_term_days.unwrap_or(0) as u16,
        wash_sale: match rules.wash {
            Wash::None => WashSale::None,
            Wash::Account => WashSale::Account,
            Wash::Taxpayer => WashSale::Taxpayer,
        },
        wash_window_days: rules.wash_window as u16,
        taxpayer: name(rules.taxpayer),
        locked_changes: if rules.locked_changes_adjust { LockedChanges::Adjust } else { LockedChanges::Refuse },
    }
}

/// The trade in the engine's words.
pub(crate) fn input(trade: &Trade) -> TradeInput {
    TradeInput {
        trade_id: TradeId::new(trade.id.as_bytes()).expect("short"),
        hash: hash(&trade.id),
        namespace: 0,
        account: trade.account,
        instrument: trade.instrument,
        contract: name(trade.contract),
        side: side(trade.side),
        trade_type: trade_type(trade.trade_type),
        kind: match trade.to_account {
            Some(_) => TradeKind::Transfer,
            None if trade.opens_a_lot() => TradeKind::OpenLot,
            None => TradeKind::Trade,
        },
        quantity_e8: e8(trade.quantity),
        price_e8: trade.price.map_or(NO_PRICE, e8),
        consideration_e8: trade.consideration.map_or(NO_CONSIDERATION, e8),
        fees_e8: e8(trade.fees),
        currency: name(trade.currency),
        fx_to_base_e8: e8(trade.fx_to_base),
        sub_account: name(trade.sub_account),
        acquired: trade.acquired.map_or(Date::NONE, Date),
        effective_date: Date(trade.date),
        executed_at_ns: trade.executed_at,
        source_order: trade.source_order,
        lot: trade.lot.as_ref().map_or(TradeHash::NONE, |id| hash(id)),
        to_account: name(trade.to_account),
        user: NO_NAME,
        correlation: TradeId::EMPTY,
    }
}

/// The amendment in the engine's words.
pub(crate) fn amend_input(amendment: &Amendment) -> AmendInput {
    let mut changes = Changes::NONE;
    if let Some(said) = &amendment.changes {
        changes.set_side(said.side.map(side));
        changes.set_trade_type(said.trade_type.map(trade_type));
        changes.set_quantity(said.quantity.map(e8));
        changes.set_price(said.price.map(e8));
        changes.set_fees(said.fees.map(e8));
        changes.set_consideration(said.consideration.map(e8));
        changes.set_effective_date(said.date.map(Date));
        changes.set_executed_at(said.executed_at);
        changes.set_lot(said.lot.as_ref().map(|id| hash(id)));
        changes.set_sub_account(said.sub_account);
        changes.set_contract(said.contract);
        changes.set_fx_to_base(said.fx_to_base.map(e8));
        let terms = said.of_actions.unwrap_or_default();
        changes.set_numerator(terms.numerator.map(|term| term as u32));
        changes.set_denominator(terms.denominator.map(|term| term as u32));
        changes.set_cash(terms.cash.map(e8));
        changes.set_cash_in_lieu(terms.cash_in_lieu.map(e8));
        changes.set_record_date(terms.record_date.map(Date));
    }
    AmendInput {
        amend_id: TradeId::new(amendment.id.as_bytes()).expect("short"),
        hash: hash(&amendment.id),
        namespace: 0,
        kind: if amendment.changes.is_some() { AmendKind::Correct } else { AmendKind::Cancel },
        target_id: TradeId::new(amendment.target.as_bytes()).expect("short"),
        target: hash(&amendment.target),
        executed_at_ns: amendment.executed_at.unwrap_or(NO_TIME),
        source_order: amendment.source_order,
        account: name(amendment.account),
        instrument: name(amendment.instrument),
        changes,
        user: NO_NAME,
        correlation: TradeId::EMPTY,
    }
}

pub(crate) fn side(side: NaiveSide) -> Side {
    match side {
        NaiveSide::Buy => Side::Buy,
        NaiveSide::Sell => Side::Sell,
        NaiveSide::SellShort => Side::SellShort,
        NaiveSide::BuyToCover => Side::BuyToCover,
    }
}

pub(crate) fn trade_type(trade_type: NaiveType) -> TradeType {
    match trade_type {
        NaiveType::Any => TradeType::Any,
        NaiveType::NewTrade => TradeType::NewTrade,
        NaiveType::Increase => TradeType::Increase,
        NaiveType::Decrease => TradeType::Decrease,
    }
}

/// The action in the engine's words.
pub(crate) fn action_input(action: &Action) -> ActionInput {
    let plain = ActionInput {
        action_id: TradeId::new(action.id.as_bytes()).expect("short"),
        hash: hash(&action.id),
        namespace: 0,
        instrument: action.instrument,
        fx_to_base_e8: e8(action.fx_to_base),
        effective_date: Date(action.date),
        ..ActionInput::EMPTY
    };
    match action.kind {
        Kind::Split { numerator, denominator, cash_in_lieu } => ActionInput {
            kind: ActionKind::Split,
            numerator: numerator as u32,
            denominator: denominator as u32,
            cash_in_lieu_e8: cash_in_lieu.map_or(NO_PRICE, e8),
            ..plain
        },
        Kind::ReturnOfCapital { cash } => ActionInput { kind: ActionKind::ReturnOfCapital, cash_e8: e8(cash), ..plain },
        Kind::Merger { cash } => ActionInput { kind: ActionKind::Merger, cash_e8: e8(cash), ..plain },
        Kind::StockMerger { to, terms, cash } => {
            ActionInput { kind: ActionKind::Merger, to_instrument: to, cash_e8: e8(cash), ..with_terms(plain, &terms) }
        }
        Kind::SpinOff { to, terms, fraction } => ActionInput {
            kind: ActionKind::SpinOff,
            to_instrument: to,
            basis_fraction_e8: e8(fraction),
            ..with_terms(plain, &terms)
        },
        Kind::SymbolChange { to } => ActionInput { kind: ActionKind::SymbolChange, to_instrument: to, ..plain },
        Kind::Dividend { cash, record_date } => ActionInput {
            kind: ActionKind::CashDividend,
            cash_e8: e8(cash),
            record_date: record_date.map_or(Date::NONE, Date),
            ..plain
        },
        Kind::Reset { price, contract } => {
            ActionInput { kind: ActionKind::Reset, cash_e8: e8(price), contract: name(contract), ..plain }
        }
    }
}

fn with_terms(plain: ActionInput, terms: &Terms) -> ActionInput {
    ActionInput {
        numerator: terms.numerator as u32,
        denominator: terms.denominator as u32,
        cash_in_lieu_e8: terms.cash_in_lieu.map_or(NO_PRICE, e8),
        ..plain
    }
}
