//! Period locks over random histories whose closed days change: what was reported and the adjustments since are the closed
//! figures by the history as it is, at every moment at which a position is reconciled, over locks that move on.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::amend::{AmendKind, Changes};
use crate::amount::ONE_E8;
use crate::closed::{Adjusted, PeriodFigures};
use crate::command::{Command, NameClass, Side, TradeInput};
use crate::date::Date;
use crate::event::Reason;
use crate::id::{NO_NAME, TradeHash, TradeId};
use crate::position::Reconciliation;
use crate::rules::{LockedChanges, LotMethod, Rules};
use crate::wide_event::LockInput;

use super::rig::*;

fn adjusting() -> Rules {
    Rules { locked_changes: LockedChanges::Adjust, ..free() }
}

/// What was reported when the position's account was closed, and up to which date.
type Reported = BTreeMap<u32, (Date, PeriodFigures)>;

fn check(rig: &Rig, reported: &Reported, seed: u64) -> u32 {
    let mut adjusted = 0;
    for number in 0..rig.book.positions().len() as u32 {
        let position = &rig.book.positions()[number as usize];
        if position.provisional > 0 {
            continue;
        }
        let through = rig.book.locks().through(position.account);
        let held = rig.book.adjustments().of(number).copied();
        if through == Date::NONE {
            assert_eq!(held, None, "seed {seed}");
            continue;
        }
        // A position that came after the lock had nothing to report.
        let (closed, figures) = reported.get(&number).copied().unwrap_or((through, PeriodFigures::default()));
        assert_eq!(closed, through, "seed {seed}");
        let held = held.unwrap_or(Adjusted { through, figures: PeriodFigures::default() });
        assert_eq!(held.through, through, "seed {seed}");
        assert_eq!(figures.plus(&held.figures), rig.closed_figures(number, through), "seed {seed}, position {number}");
        adjusted += u32::from(!held.figures.are_zero());
    }
    adjusted
}

/// Asks for a lock and, where it is granted, writes down what is reported then.
fn lock(rig: &mut Rig, rng: &mut Rng, reported: &mut Reported) -> bool {
    let today = rig.book.business_date().map_or(0, |today| today.0);
    let account = [NO_NAME, 0, 1, 2][rng.below(4) as usize];
    let through = Date(today - rng.below(9) as i32);
    let before: Vec<Date> = (0..ACCOUNTS).map(|account| rig.book.locks().through(account)).collect();
    if rig.send(&Command::PeriodLock(LockInput { account, through })) != Reason::None {
        return false;
    }
    for number in 0..rig.book.positions().len() as u32 {
        let account = rig.book.positions()[number as usize].account;
        let closed = rig.book.locks().through(account);
        if closed != before[account as usize] {
            assert_eq!(rig.book.adjustments().of(number), None, "what is closed anew carries nothing");
            reported.insert(number, (closed, rig.closed_figures(number, closed)));
        }
    }
    true
}

fn changes(rng: &mut Rng, today: i32) -> Changes {
    let mut changes = Changes::NONE;
    match rng.below(4) {
        0 => changes.set_quantity(Some(1 + rng.below(90 * ONE_E8 as u64) as i64)),
        1 => changes.set_price(Some(1 + rng.below(50 * ONE_E8 as u64) as i64)),
        2 => changes.set_fees(Some(rng.below(ONE_E8 as u64) as i64)),
        _ => changes.set_effective_date(Some(Date(today - rng.below(25) as i32))),
    }
    changes
}

#[test]
fn what_was_reported_and_the_adjustments_are_the_closed_days() {
    let (mut adjusted, mut granted) = (0, 0);
    for seed in 0..200 {
        let mut rng = Rng(seed);
        let method = LotMethod::ALL[rng.below(LotMethod::ALL.len() as u64) as usize];
        let mut rig = Rig::new(Rules { method, ..adjusting() });
        let mut reported = Reported::new();
        let mut today = 0;
        let mut sent: Vec<(TradeId, TradeHash)> = Vec::new();
        for number in 0..60 {
            if rng.below(6) == 0 {
                today += rng.below(6) as i32;
                rig.send(&Command::BusinessDate(Date(today)));
                rig.settle();
            }
            let day = today - 20 + rng.below(24) as i32;
            match rng.below(12) {
                0 | 1 if !sent.is_empty() => {
                    let target = sent[rng.below(sent.len() as u64) as usize];
                    let (kind, changes) = match rng.below(2) {
                        0 => (AmendKind::Cancel, Changes::NONE),
                        _ => (AmendKind::Correct, changes(&mut rng, today)),
                    };
                    let input = amend(number, kind, target, changes);
                    rig.send(&Command::Amend(input));
                    if kind == AmendKind::Cancel {
                        sent.push((input.amend_id, input.hash));
                    }
                }
                2 => {
                    let terms = [(2, 1), (1, 3), (3, 2)][rng.below(3) as usize];
                    let mut input = split(number, terms.0, terms.1, day);
                    input.cash_in_lieu_e8 = 1 + rng.below(60 * ONE_E8 as u64) as i64;
                    rig.send(&Command::Action(input));
                }
                3 => {
                    let mut input = action(number, crate::action_input::ActionKind::CashDividend, day);
                    input.cash_e8 = 1 + rng.below(3 * ONE_E8 as u64) as i64;
                    rig.send(&Command::Action(input));
                }
                4 => {
                    let method = LotMethod::ALL[rng.below(LotMethod::ALL.len() as u64) as usize];
                    rig.send(&Command::Contract(contract(1, Rules { method, ..adjusting() }, day)));
                }
                _ => {
                    let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
                    let quantity = 1 + rng.below(90 * ONE_E8 as u64) as i64;
                    let price = 1 + rng.below(50 * ONE_E8 as u64) as i64;
                    let account = rng.below(u64::from(ACCOUNTS)) as u32;
                    let input = TradeInput {
                        executed_at_ns: rng.below(3) as i64,
                        fees_e8: rng.below(ONE_E8 as u64) as i64,
                        fx_to_base_e8: ONE_E8 + rng.below(2) as i64 * 7_654_321,
                        ..trade(number, account, side, quantity, price, day)
                    };
                    sent.push((input.trade_id, input.hash));
                    rig.trade(&input);
                }
            }
            if rng.below(4) == 0 {
                rig.settle();
                rig.reconcile_all();
                rig.settle();
                granted += u32::from(rng.below(2) == 0 && lock(&mut rig, &mut rng, &mut reported));
                adjusted += check(&rig, &reported, seed);
            }
            if rng.below(9) == 0 {
                rig.restart();
            }
        }
        rig.settle();
        rig.reconcile_all();
        rig.settle();
        adjusted += check(&rig, &reported, seed);
        let waits = |n: &u32| rig.book.positions()[*n as usize].reconciliation() == Reconciliation::Provisional;
        assert_eq!((0..rig.book.positions().len() as u32).filter(waits).count(), 0, "seed {seed}");
        assert_eq!(rig.book.names().len(NameClass::Account), ACCOUNTS as usize);
    }
    assert!(granted > 200 && adjusted > 500, "too tame: {granted} locks, {adjusted} adjusted positions");
}
