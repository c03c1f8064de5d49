//! Actions, resets, contract changes and trades in any order of arrival: after the reconciliation all books are the one
//! in which everything came in its own order and nothing was ever replayed.

use alloc::vec::Vec;

use crate::action_input::{ActionInput, ActionKind};
use crate::amend::{AmendInput, AmendKind, Changes};
use crate::amount::ONE_E8;
use crate::command::{Command, Side, TradeInput};
use crate::date::Date;
use crate::event::Reason;
use crate::rules::{ContractTerms, LotMethod, Rules};

use super::rig::*;
/// One thing that may come in any order.
#[derive(Clone, Copy)]
#[allow(clippy::large_enum_variant, reason = "a test's list")]
enum Sent {
    Trade(TradeInput),
    Action(ActionInput),
    Rules(ContractTerms),
    Amend(AmendInput),
}

impl Sent {
    fn command(&self) -> Command {
        match self {
            Self::Trade(input) => Command::Trade(*input),
            Self::Action(input) => Command::Action(*input),
            Self::Rules(terms) => Command::Contract(*terms),
            Self::Amend(input) => Command::Amend(*input),
        }
    }
}

fn history(rng: &mut Rng, size: usize) -> Vec<Sent> {
    let mut sent = Vec::new();
    for number in 0..size {
        let day = rng.below(30) as i32;
        let amount = |rng: &mut Rng, most: u64| 1 + rng.below(most) as i64;
        match rng.below(12) {
            0..=7 => {
                let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
                let (quantity, price) = (amount(rng, 90 * ONE_E8 as u64), amount(rng, 50 * ONE_E8 as u64));
                let mut input = trade(number, rng.below(u64::from(ACCOUNTS)) as u32, side, quantity, price, day);
                input.instrument = rng.below(u64::from(INSTRUMENTS)) as u32;
                input.executed_at_ns = rng.below(3) as i64;
                input.fx_to_base_e8 = ONE_E8 + rng.below(2) as i64 * 7_654_321;
                sent.push(Sent::Trade(input));
            }
            8 | 9 => {
                let terms = [(2, 1), (1, 2), (3, 2), (1, 7), (105, 100)][rng.below(5) as usize];
                let mut input = split(number, terms.0, terms.1, day);
                input.instrument = rng.below(u64::from(INSTRUMENTS)) as u32;
                if rng.below(2) == 0 {
                    input.cash_in_lieu_e8 = amount(rng, 60 * ONE_E8 as u64);
                }
                sent.push(Sent::Action(input));
            }
            10 => {
                let kinds =
                    [ActionKind::ReturnOfCapital, ActionKind::CashDividend, ActionKind::Merger, ActionKind::Reset];
                let mut input = action(number, kinds[rng.below(4) as usize], day);
                input.instrument = rng.below(u64::from(INSTRUMENTS)) as u32;
                input.cash_e8 = amount(rng, 3 * ONE_E8 as u64);
                input.fx_to_base_e8 = ONE_E8 + rng.below(2) as i64 * 1_234_567;
                if input.kind == ActionKind::CashDividend && rng.below(2) == 0 {
                    input.record_date = Date(day - 2);
                }
                if input.kind == ActionKind::Reset && rng.below(2) == 0 {
                    input.contract = 1;
                }
                sent.push(Sent::Action(input));
            }
            _ => {
                let method = LotMethod::ALL[rng.below(LotMethod::ALL.len() as u64) as usize];
                let rules = Rules { method, allow_short: true, ..Rules::DEFAULT };
                // Of two versions with one date the later event wins: each date once.
                if !sent.iter().any(|s| matches!(s, Sent::Rules(terms) if terms.effective_date == Date(day))) {
                    sent.push(Sent::Rules(contract(1 + rng.below(2) as u32, rules, day)));
                }
            }
        }
    }
    amend_some(rng, &mut sent);
    sent
}

/// Cancels and corrects of some actions, and cancels of these.
fn amend_some(rng: &mut Rng, sent: &mut Vec<Sent>) {
    let actions: Vec<ActionInput> =
        sent.iter().filter_map(|sent| if let Sent::Action(input) = sent { Some(*input) } else { None }).collect();
    let mut amends: Vec<AmendInput> = Vec::new();
    for number in 0..rng.below(9) as usize {
        let target = &actions[rng.below(actions.len() as u64) as usize];
        let mut changes = Changes::NONE;
        let of = (target.action_id, target.hash);
        let input = match rng.below(5) {
            0 => amend(number, AmendKind::Cancel, of, changes),
            1 if !amends.is_empty() => {
                let other = &amends[rng.below(amends.len() as u64) as usize];
                amend(number, AmendKind::Cancel, (other.amend_id, other.hash), changes)
            }
            2 if target.kind == ActionKind::Split => {
                changes.set_numerator(Some(1 + rng.below(4) as u32));
                amend(number, AmendKind::Correct, of, changes)
            }
            3 if matches!(target.kind, ActionKind::CashDividend | ActionKind::ReturnOfCapital | ActionKind::Merger) => {
                changes.set_cash(Some(rng.below(3 * ONE_E8 as u64) as i64));
                amend(number, AmendKind::Correct, of, changes)
            }
            _ => {
                changes.set_effective_date(Some(Date(rng.below(30) as i32)));
                if target.record_date != Date::NONE {
                    changes.set_record_date(Some(Date(0)));
                }
                amend(number, AmendKind::Correct, of, changes)
            }
        };
        amends.push(input);
    }
    sent.extend(amends.into_iter().map(Sent::Amend));
}

/// The actions that are in the history, as corrected: rule 9, read naively.
fn effective(sent: &[Sent]) -> Vec<Sent> {
    let mut amends: Vec<AmendInput> =
        sent.iter().filter_map(|sent| if let Sent::Amend(input) = sent { Some(*input) } else { None }).collect();
    amends.sort_by_key(|amend| amend.source_order);
    let mut live: Vec<AmendInput> = Vec::new();
    for amend in amends.iter().rev() {
        let is_out = live.iter().any(|other| other.kind == AmendKind::Cancel && other.target == amend.hash);
        if !is_out {
            live.push(*amend);
        }
    }
    let of = |action: &ActionInput| {
        let on: Vec<&AmendInput> = live.iter().rev().filter(|amend| amend.target == action.hash).collect();
        let mut input = *action;
        on.iter().for_each(|amend| amend.changes.lay_over_action(&mut input));
        (on.iter().all(|amend| amend.kind != AmendKind::Cancel)).then_some(Sent::Action(input))
    };
    sent.iter()
        .filter_map(|sent| match sent {
            Sent::Action(action) => of(action),
            Sent::Amend(_) => None,
            other => Some(*other),
        })
        .collect()
}

/// Everything in its own order: rules first, then by key; nothing is ever late.
fn in_order(sent: &[Sent]) -> Rig {
    let mut rig = Rig::new(free());
    let key = |sent: &Sent| match sent {
        Sent::Trade(input) => Some(input.key()),
        Sent::Action(input) => Some(input.key()),
        Sent::Rules(_) | Sent::Amend(_) => None,
    };
    let mut sorted = effective(sent);
    sorted.sort_by_key(key);
    for sent in &sorted {
        assert_eq!(rig.send(&sent.command()), Reason::None);
        rig.settle();
    }
    rig.reconcile_all();
    assert_eq!(rig.replays, 0);
    rig
}

/// Amendments stand behind their targets, in the order in which they were made.
fn targets_first(sent: &mut [Sent]) {
    let number = |sent: &Sent| if let Sent::Amend(input) = sent { Some(input.source_order) } else { None };
    let places: Vec<usize> = (0..sent.len()).filter(|&at| number(&sent[at]).is_some()).collect();
    let mut amends: Vec<Sent> = places.iter().map(|&at| sent[at]).collect();
    amends.sort_by_key(number);
    for (&at, amend) in places.iter().zip(&amends) {
        sent[at] = *amend;
    }
    // An action behind an amendment of it changes places with the first of those.
    for at in 0..sent.len() {
        let Sent::Action(action) = sent[at] else { continue };
        let is_of = |sent: &Sent| matches!(sent, Sent::Amend(input) if input.target == action.hash);
        if let Some(first) = sent[..at].iter().position(is_of) {
            sent[first..=at].rotate_right(1);
        }
    }
}

/// In this order, with slices, restarts and reconciliations between.
fn in_any_order(sent: &[Sent], rng: &mut Rng) -> Rig {
    let mut rig = Rig::new(free());
    let dated = rng.below(2) == 0;
    let mut sent = sent.to_vec();
    targets_first(&mut sent);
    for sent in &sent {
        if dated && rng.below(8) == 0 {
            let today = rig.book.business_date().map_or(0, |today| today.0) + rng.below(9) as i32;
            assert_eq!(rig.send(&Command::BusinessDate(Date(today))), Reason::None);
        }
        assert_eq!(rig.send(&sent.command()), Reason::None);
        if rng.below(3) == 0 {
            rig.slice(1 + rng.below(4) as u32);
        }
        if rng.below(10) == 0 && !rig.book.positions().is_empty() {
            rig.reconcile(rng.below(rig.book.positions().len() as u64) as u32);
        }
        if rng.below(12) == 0 {
            rig.restart();
        }
    }
    if dated {
        assert_eq!(rig.send(&Command::BusinessDate(Date(1000))), Reason::None);
    }
    rig.settle();
    rig.reconcile_all();
    rig.settle();
    assert!(rig.book.actions().pending().is_empty());
    assert!(rig.book.forwards().is_empty());
    assert_eq!(rig.book.provisional_positions(), 0);
    rig
}

fn same(one: &Rig, other: &Rig, seed: u64) {
    for account in 0..ACCOUNTS {
        for instrument in 0..INSTRUMENTS {
            let of = |rig: &Rig| rig.book.find(account, instrument).map(|n| rig.book.positions()[n as usize]);
            let (Some(a), Some(b)) = (of(one), of(other)) else {
                assert!(of(one).is_none() && of(other).is_none(), "seed {seed}");
                continue;
            };
            assert_eq!(a.figures(), b.figures(), "seed {seed}, {account}/{instrument}");
            assert_eq!(one.lots_of(account, instrument), other.lots_of(account, instrument), "seed {seed}");
            assert_eq!(a.reconciliation(), b.reconciliation(), "seed {seed}");
        }
    }
    assert_eq!(one.book.economic_digest(), other.book.economic_digest(), "seed {seed}");
}

#[test]
fn any_order_of_arrival_ends_in_the_same_book() {
    let mut replays = 0;
    for seed in 0..300 {
        let mut rng = Rng(seed);
        let mut sent = history(&mut rng, 40);
        let wanted = in_order(&sent);
        for _ in 0..2 {
            rng.shuffle(&mut sent);
            let found = in_any_order(&sent, &mut rng);
            same(&wanted, &found, seed);
            replays += found.replays;
        }
    }
    assert!(replays > 1000, "{replays} replays only: the histories are too tame");
}
