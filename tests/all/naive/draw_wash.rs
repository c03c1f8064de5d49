//! Draws histories of one instrument in several accounts in which losses and purchases lie close to one another.

use lotbook_tests::naive::actions::{Action, Kind};
use lotbook_tests::naive::holding::day;
use lotbook_tests::naive::in_force::Method;
use lotbook_tests::naive::words::{Day, Name, Trade, TradeType};

use super::draw::{Draw, one_in, pick};
use super::steps::Step;

/// Accounts among which replacements are looked for.
pub(crate) const ACCOUNTS: Name = 3;

/// Days on both sides of the usual windows, and one a year before.
fn close_days() -> Vec<Day> {
    let first = day(2024, 1, 20);
    [-366, 0, 1, 2, 5, 6, 29, 30, 31, 32, 60, 61].into_iter().map(|n| first + n).collect()
}

/// A history of so many steps.
pub(crate) fn wash_history(draw: &mut Draw, method: Method, len: usize) -> Vec<Step> {
    let mut steps = draw.terms(method);
    for step in &mut steps {
        if let Step::Contract(contract) = step {
            contract.rules = draw.washing(contract.rules);
        }
    }
    let all = close_days();
    while steps.len() < len {
        let step = match draw.rng.below(24) {
            0 | 1 => Step::Action(action(draw, &all)),
            2 => Step::Amend(draw.amendment(&all)),
            _ => Step::Trade(trade(draw, &all)),
        };
        steps.push(step);
    }
    steps
}

/// Of the instrument; of two, one opens.
fn trade(draw: &mut Draw, dates: &[Day]) -> Trade {
    let mut trade = draw.trade(dates);
    (trade.account, trade.instrument) = (draw.rng.below(u64::from(ACCOUNTS)) as Name, 0);
    if one_in(&mut draw.rng, 8) {
        // An enlargement, mostly of a lot that is open.
        trade.trade_type = TradeType::Increase;
        trade.lot = draw.said.iter().rev().nth(1 + draw.rng.below(6) as usize).map(|said| said.2.clone());
    }
    if let Some(said) = draw.said.last_mut() {
        (said.0, said.1) = (trade.account, 0);
    }
    trade
}

/// Splits mostly.
fn action(draw: &mut Draw, dates: &[Day]) -> Action {
    let mut action = draw.action(dates);
    let rng = &mut draw.rng;
    if let (Kind::Merger { .. }, false) = (action.kind, one_in(rng, 3)) {
        let (numerator, denominator) = pick(rng, &[(2, 1), (1, 2), (3, 2), (2, 3), (7, 3)]);
        action.kind = Kind::Split { numerator, denominator, cash_in_lieu: None };
    }
    action
}
