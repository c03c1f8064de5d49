//! Random histories through the real replay: every method, scope and action, and what it tells fits its own lots.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::history::{Ground, splits, tell};
use super::naive_tests::Random;
use super::tests::rig::own;
use super::{Step, What, walk};
use crate::Scratch;
use crate::action_input::{ActionInput, ActionKind};
use crate::amount::{Money, ONE_E8};
use crate::apply::Place;
use crate::closed::PeriodFigures;
use crate::command::{Side, TradeInput, TradeKind, TradeType};
use crate::date::Date;
use crate::history::{Addition, History};
use crate::id::{ChronoKey, NO_NAME, NameId, TradeHash, TradeId};
use crate::outcome::Outcome;
use crate::rules::{ContractBook, ContractTerms, FeesRule, LotMethod, LotScope, Rules, WashSale};

pub(super) const INSTRUMENT: NameId = 7;
const DAYS: u64 = 90;

pub(super) fn id(text: &str) -> (TradeId, TradeHash) {
    (TradeId::new(text.as_bytes()).expect("short"), TradeHash::new(b"test", text.as_bytes()))
}

pub(super) fn contracts(random: &mut Random) -> ContractBook {
    let mut book = ContractBook::new(8);
    for version in 0..4 {
        let account = if version == 0 { NO_NAME } else { random.below(3) as NameId };
        let rules = Rules {
            method: LotMethod::ALL[random.below(6) as usize],
            allow_short: true,
            lot_scope: LotScope::ALL[random.below(2) as usize],
            fees_rule: FeesRule::ALL[random.below(2) as usize],
            wash_sale: WashSale::ALL[random.below(3) as usize],
            wash_window_days: [0, 10, 30][random.below(3) as usize],
            taxpayer: if random.chance(70) { 2 } else { NO_NAME },
            ..Rules::DEFAULT
        };
        let effective_date = Date(18_000 + if version == 0 { -900 } else { random.below(DAYS) as i32 });
        let (contract, instrument) = (version, NO_NAME);
        book.insert(ContractTerms { contract, account, instrument, rules, effective_date });
    }
    book
}

pub(super) fn trade(random: &mut Random, number: u64, account: NameId) -> TradeInput {
    let (trade_id, hash) = id(&format!("t{number}"));
    let effective_date = Date(18_000 + random.below(DAYS) as i32);
    let buys = random.chance(55);
    let is_lot = random.chance(8);
    let named = if random.chance(25) { id(&format!("t{}", random.below(number + 1))).1 } else { TradeHash::NONE };
    let quantity_e8 = (1 + random.below(900) as i64) * ONE_E8 / [1, 7, 3][random.below(3) as usize];
    let price_e8 = random.below(2_000) as i64 * (ONE_E8 / 100);
    TradeInput {
        trade_id,
        hash,
        account,
        instrument: INSTRUMENT,
        side: if buys { Side::Buy } else { Side::Sell },
        trade_type: TradeType::Any,
        kind: if is_lot { TradeKind::OpenLot } else { TradeKind::Trade },
        quantity_e8,
        price_e8,
        consideration_e8: if is_lot { price_e8 } else { TradeInput::EMPTY.consideration_e8 },
        fees_e8: if is_lot { 0 } else { random.below(500) as i64 * 10_000 },
        sub_account: [NO_NAME, 3, 4][random.below(3) as usize],
        acquired: if is_lot { effective_date.days_before(random.below(60) as i32) } else { Date::NONE },
        effective_date,
        executed_at_ns: random.below(3) as i64,
        lot: if is_lot { TradeHash::NONE } else { named },
        ..TradeInput::EMPTY
    }
}

fn action(random: &mut Random, number: u64) -> ActionInput {
    let (action_id, hash) = id(&format!("a{number}"));
    let kind = [
        ActionKind::Split,
        ActionKind::Split,
        ActionKind::ReturnOfCapital,
        ActionKind::Reset,
        ActionKind::CashDividend,
        ActionKind::Merger,
    ][random.below(6) as usize];
    let (numerator, denominator) = [(2, 1), (3, 2), (1, 3), (7, 5)][random.below(4) as usize];
    ActionInput {
        action_id,
        hash,
        kind,
        instrument: INSTRUMENT,
        numerator,
        denominator,
        cash_e8: random.below(900) as i64 * (ONE_E8 / 100),
        cash_in_lieu_e8: if random.chance(50) { 5 * ONE_E8 } else { ActionInput::EMPTY.cash_in_lieu_e8 },
        effective_date: Date(18_000 + random.below(DAYS) as i32),
        ..ActionInput::EMPTY
    }
}

/// What the steps say was realized, and what returns of capital realized, which are none.
fn realized(steps: &[(ChronoKey, Step)], outcome: &Outcome, actions: &[ActionInput]) -> (Money, Money) {
    let closed = |step: &Step| -> Money {
        match &step.what {
            What::Booked(booked) => booked.closed.iter().map(|closed| closed.realized_e16).sum(),
            What::Struck { lots, .. } => lots.iter().map(|closed| closed.realized_e16).sum(),
            What::Split { .. } | What::Scaled(_) | What::Left(_) | What::Spun(_) | What::Arrived(_) => 0,
        }
    };
    let is_return = |hash: TradeHash| {
        actions.iter().any(|action| action.hash == hash && action.kind == ActionKind::ReturnOfCapital)
    };
    let returned = outcome.actions.iter().filter(|action| is_return(action.hash));
    (steps.iter().map(|(_, step)| closed(step)).sum(), returned.map(|action| action.gains.realized_e16).sum())
}

#[test]
fn what_a_replay_tells_fits_its_lots() {
    let (mut losses, mut acted, mut lots) = (0, 0, 0);
    let mut scratch = Scratch::unbounded();
    for seed in 0..300 {
        let mut random = Random(seed ^ 0x5eed);
        let contracts = contracts(&mut random);
        let mut histories = vec![History::default(); 3];
        for number in 0..30 + seed % 60 {
            let account = random.below(3) as NameId;
            let input = trade(&mut random, number, account);
            let place = Place { sequence: number, address: number };
            histories[account as usize].add(&Addition::Trade {
                input,
                place,
                waits: false,
                late: false,
                figures: PeriodFigures::default(),
            });
        }
        let actions: Vec<ActionInput> = (0..random.below(6)).map(|number| action(&mut random, number)).collect();
        let ground =
            Ground { today: None, actions: &actions, contracts: &contracts, multiplier_e8: ONE_E8, names: ("A", "X") };
        let mut steps: Vec<(ChronoKey, u32, Step)> = splits(0, &actions).map(|(key, step)| (key, 0, step)).collect();
        let mut outcomes = Vec::new();
        for (position, history) in (0..).zip(&histories) {
            let (outcome, told) =
                tell(position, history, &ground, &mut scratch).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
            let (closed, returned) = realized(&told, &outcome, &actions);
            assert_eq!(closed + returned, outcome.after.realized_e16, "seed {seed}: realized of {position}");
            acted += outcome.actions.len();
            outcomes.push(outcome);
            steps.extend(told.into_iter().map(|(key, step)| (key, position + 1, step)));
        }
        steps.sort_by_key(|(key, rank, _)| (*key, *rank));
        let steps: Vec<Step> = steps.into_iter().map(|(_, _, step)| step).collect();
        let view = walk(&steps, own).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for ((position, name), pieces) in &view.lots {
            let held = outcomes[*position as usize].lots.iter().find(|lot| lot.origin == name.origin);
            let units: i64 = pieces.iter().map(|piece| piece.quantity_e8).sum();
            assert_eq!(held.map(|lot| lot.quantity_e8), Some(units), "seed {seed}: units of a lot");
        }
        let sum = |of: fn(&super::Totals) -> Money| view.totals.values().map(of).sum::<Money>();
        let carried = sum(|totals| totals.carried_e16);
        assert_eq!(sum(|totals| totals.disallowed_e16) - sum(|totals| totals.recognized_e16), carried, "seed {seed}");
        losses += view.losses.len();
        lots += view.lots.len();
    }
    assert!(losses > 1_000 && acted > 500 && lots > 100, "{losses} losses, {acted} actions, {lots} lots");
}
