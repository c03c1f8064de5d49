//! Replays from kept states on random histories that grow: late and forward-dated trades, their cancels and corrects,
//! actions, contract changes and dates between replays. The comparison is in [`super::told`], at each replay.

use alloc::vec::Vec;

use crate::action_input::ActionKind;
use crate::amend::{AmendKind, Changes};
use crate::amount::ONE_E8;
use crate::command::{Command, Side};
use crate::date::Date;
use crate::event::Reason;
use crate::id::{TradeHash, TradeId};
use crate::rules::{LotMethod, Rules};

use super::rig::*;

const FIRST_DAY: u64 = 902;

/// One history of one position; gives what was counted of it.
fn grow(seed: u64) -> [usize; 3] {
    let mut rng = Rng(seed);
    let mut rig = Rig::new(Rules { allow_short: !seed.is_multiple_of(3), ..Rules::DEFAULT });
    let mut today = FIRST_DAY as i32;
    assert_eq!(rig.send(&Command::BusinessDate(Date(today))), Reason::None);
    let mut ids: Vec<(TradeId, TradeHash)> = Vec::new();
    let mut actions: Vec<(TradeId, TradeHash)> = Vec::new();
    let mut refused = 0;
    for number in 0..150 {
        let reason = match rng.below(40) {
            0..24 => {
                let side = if rng.below(5) < 3 { Side::Buy } else { Side::Sell };
                let quantity_e8 = (1 + rng.below(9) as i64) * ONE_E8 / 2;
                // Recent, old, or to come.
                let day = match rng.below(10) {
                    0..6 => today,
                    6..9 => FIRST_DAY as i32 + rng.below((today + 1) as u64 - FIRST_DAY) as i32,
                    _ => today + 1 + rng.below(3) as i32,
                };
                let mut input = trade(number, 0, side, quantity_e8, (1 + rng.below(99) as i64) * ONE_E8, day);
                input.executed_at_ns = if rng.below(4) > 0 { number as i64 } else { rng.below(150) as i64 };
                let reason = rig.send(&Command::Trade(input));
                if reason == Reason::None {
                    ids.push((input.trade_id, input.hash));
                }
                reason
            }
            24..31 if !ids.is_empty() => {
                let target = ids[ids.len() - 1 - rng.below(ids.len().min(30) as u64) as usize];
                let mut changes = Changes::NONE;
                let kind = if rng.below(2) == 0 { AmendKind::Cancel } else { AmendKind::Correct };
                if kind == AmendKind::Correct {
                    let what = 1 + rng.below(7);
                    changes.set_quantity((what & 1 != 0).then(|| (1 + rng.below(9) as i64) * ONE_E8));
                    changes.set_price((what & 2 != 0).then(|| (1 + rng.below(99) as i64) * ONE_E8));
                    let day = FIRST_DAY as i32 + rng.below((today + 3) as u64 - FIRST_DAY) as i32;
                    changes.set_effective_date((what & 4 != 0).then_some(Date(day)));
                }
                let input = amend(number, kind, target, changes);
                let reason = rig.send(&Command::Amend(input));
                if reason == Reason::None {
                    ids.push((input.amend_id, input.hash));
                }
                reason
            }
            31 => {
                let mut input = match rng.below(3) {
                    0 => split(number, 1 + rng.below(3) as u32, 1 + rng.below(2) as u32, 0),
                    1 => action(number, ActionKind::CashDividend, 0),
                    _ => action(number, ActionKind::Reset, 0),
                };
                input.effective_date = Date(FIRST_DAY as i32 + rng.below((today + 3) as u64 - FIRST_DAY) as i32);
                if input.kind == ActionKind::CashDividend {
                    (input.cash_e8, input.fx_to_base_e8) = (ONE_E8, ONE_E8);
                }
                let reason = rig.send(&Command::Action(input));
                if reason == Reason::None {
                    actions.push((input.action_id, input.hash));
                }
                reason
            }
            32 if !actions.is_empty() => {
                let target = actions[rng.below(actions.len() as u64) as usize];
                rig.send(&Command::Amend(amend(number, AmendKind::Cancel, target, Changes::NONE)))
            }
            33 => {
                let method =
                    [LotMethod::Fifo, LotMethod::Lifo, LotMethod::Hifo, LotMethod::Average][rng.below(4) as usize];
                let rules = Rules { method, allow_short: rng.below(3) > 0, ..Rules::DEFAULT };
                let day = FIRST_DAY as i32 + rng.below((today + 2) as u64 - FIRST_DAY) as i32;
                rig.send(&Command::Contract(contract(0, rules, day)))
            }
            34 => {
                today += 1;
                rig.send(&Command::BusinessDate(Date(today)))
            }
            35 => {
                rig.slice(2);
                Reason::None
            }
            _ => {
                if !rig.book.positions().is_empty() {
                    rig.reconcile(0);
                }
                Reason::None
            }
        };
        refused += usize::from(reason != Reason::None);
    }
    rig.settle();
    rig.reconcile_all();
    let (booked, items) = rig.booked();
    assert!(booked <= items);
    [refused, booked, items]
}

#[test]
fn replays_from_kept_states_say_what_replays_of_everything_say() {
    let mut sums = [0; 3];
    for seed in 0..150 {
        let counts = grow(seed);
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let [refused, booked, items] = sums;

    assert!(booked * 4 < items * 3, "{booked} of {items}: the histories begin anew too often");
    assert!(refused < 150 * 150 / 5, "{refused} refused: the histories are too tame");
}
