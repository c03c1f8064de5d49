//! The edges of the exact ranges: what leaves them is refused by name and changes nothing; what stays
//! inside is the oracle's figure to the last unit.

use std::panic::catch_unwind;

use lotbook_core::amount::MONEY_E16_MAX;
use lotbook_core::command::{Command, Mark, MarkKind, Side};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Reason};
use lotbook_core::mark::flash;
use lotbook_core::position::Reconciliation;
use lotbook_core::rules::{LotMethod, Rules};
use lotbook_perf::oracle;
use lotbook_perf::rng::Rng;

use crate::support::{BookRig, E8, LIMITS, ORACLE_METHODS, Spec, hold, long_form, oracle_method};

const EDGES: [i64; 12] =
    [1, 2, 3, E8, E8 + 1, i64::MAX, i64::MAX - 1, i64::MAX - 2, i64::MAX / 2, i64::MAX / 2 + 1, i64::MAX / 3, 1 << 32];

fn edge(rng: &mut Rng) -> i64 {
    let edge = EDGES[rng.below(EDGES.len() as u64) as usize];
    if rng.below(4) == 0 { edge.saturating_sub(rng.between(0, 9)).max(1) } else { edge }
}

fn edges(seed: u64, len: u32) -> Vec<Spec> {
    let mut rng = Rng::new(seed, 4);
    (0..len)
        .map(|id| {
            let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
            let mut spec = Spec::new(id, side, edge(&mut rng), edge(&mut rng), 1);
            spec.order = u64::from(id);
            if rng.below(3) == 0 {
                spec.price_e8 = 0;
            }
            if rng.below(4) == 0 {
                spec.fees_e8 = edge(&mut rng);
            }
            spec
        })
        .collect()
}

fn fits(book: &oracle::Book) -> bool {
    let cost: Option<i128> = book.lots.iter().try_fold(0i128, |sum, lot| sum.checked_add(lot.cost_e16));
    let quantity: i128 = book.lots.iter().map(|lot| i128::from(lot.quantity_e8)).sum();
    let fees = book.fees_e8.checked_mul(i128::from(E8));
    let in_column = |money: Option<i128>| money.is_some_and(|m| m.unsigned_abs() <= MONEY_E16_MAX as u128);
    quantity <= i128::from(i64::MAX) && in_column(cost) && in_column(fees) && in_column(Some(book.realized_e16))
}

/// Each trade is accepted exactly when the oracle's figures after it fit their columns. The oracle's own sums
/// are checked: where they leave 128 bits it panics, and then they fit no column either.
fn at_the_edge(arrived: &[Spec], method: LotMethod) -> Result<(), String> {
    let mut rig = BookRig::new(Rules { method, allow_short: true, ..Rules::DEFAULT }, 1, false, LIMITS);
    for spec in arrived {
        let mut with: Vec<_> = rig.accepted.iter().map(Spec::oracle).collect();
        with.push(spec.oracle());
        let wanted = if catch_unwind(|| fits(&oracle::book(with, oracle_method(method)))).unwrap_or(false) {
            (Class::Applied, Reason::None)
        } else {
            (Class::Rejected, Reason::Overflow)
        };
        // The rig compares images around a refusal and conservation around an acceptance.
        let said = rig.trade(spec);
        if said != wanted {
            return Err(format!("t{}: {said:?}, the columns say {wanted:?}", spec.id));
        }
        if let Some(p) = rig.find(0, 0) {
            for price_e8 in EDGES {
                // Typed, never a panic.
                let _ = flash(p.quantity_e8, p.cost_e16, E8, price_e8);
            }
        }
    }
    rig.agrees(method)?;
    rig.images_agree()
}

#[test]
fn trades_at_the_edges() {
    let seeds = if long_form() { 20_000 } else { 400 };
    let mut seen = [false; 2];
    for seed in 0..seeds {
        let arrived = edges(seed, 24);
        for method in ORACLE_METHODS {
            hold(&format!("{method:?} seed {seed}"), &arrived, |arrived| at_the_edge(arrived, method));
        }
    }
    let mut rig =
        BookRig::new(Rules { method: LotMethod::Fifo, allow_short: true, ..Rules::DEFAULT }, 1, false, LIMITS);
    for spec in edges(0, 400) {
        seen[usize::from(rig.trade(&spec).1 == Reason::Overflow)] = true;
    }
    assert_eq!(seen, [true, true], "both sides of the edge were met");
}

/// Multipliers with and without decimals: no panic, a refusal leaves the image, cost and quantity conserved.
#[test]
fn multipliers_at_the_edges() {
    let multipliers = [1, 3, E8 / 2, E8 - 1, E8, E8 + 1, 50 * E8, 50 * E8 + E8 / 2, i64::MAX, i64::MAX - 1];
    let mut refused = 0;
    for (number, multiplier_e8) in multipliers.into_iter().enumerate() {
        for method in LotMethod::ALL {
            for seed in 0..20 {
                let mut rig = BookRig::new(Rules { method, allow_short: true, ..Rules::DEFAULT }, 1, false, LIMITS);
                rig.set_multiplier(0, multiplier_e8);
                for spec in edges(seed * 100 + number as u64, 30) {
                    let (_, reason) = rig.trade(&spec);
                    assert!(matches!(reason, Reason::None | Reason::Overflow), "{reason:?}");
                    refused += u32::from(reason == Reason::Overflow);
                }
                rig.images_agree().expect("equal images");
            }
        }
    }
    assert!(refused > 0);
}

/// What is no amount is refused by name, and changes nothing.
#[test]
fn what_is_no_amount() {
    let mut rig =
        BookRig::new(Rules { method: LotMethod::Fifo, allow_short: true, ..Rules::DEFAULT }, 1, false, LIMITS);
    let spec = Spec::new(0, Side::Buy, E8, E8, 1);
    let with = |change: fn(&mut Spec)| {
        let mut other = spec;
        change(&mut other);
        other
    };
    for (input, reason) in [
        (with(|s| s.quantity_e8 = 0), Reason::BadQuantity),
        (with(|s| s.quantity_e8 = -1), Reason::BadQuantity),
        (with(|s| s.quantity_e8 = i64::MIN), Reason::BadQuantity),
        (with(|s| s.price_e8 = -1), Reason::BadPrice),
        (with(|s| s.price_e8 = i64::MIN), Reason::BadPrice),
        (with(|s| s.fees_e8 = -1), Reason::BadFees),
        (with(|s| s.fees_e8 = i64::MIN), Reason::BadFees),
        (with(|s| s.day = i32::MIN), Reason::BadDate),
    ] {
        assert_eq!(rig.trade(&input), (Class::Rejected, reason), "{input:?}");
    }
    for (day, at_ns, order) in [(i32::MIN + 1, i64::MIN, 0), (i32::MAX, i64::MAX, u64::MAX)] {
        let mut spec = Spec::new(order as u32, Side::Buy, E8, E8, day);
        (spec.at_ns, spec.order) = (at_ns, order);
        assert_eq!(rig.trade(&spec), (Class::Applied, Reason::None));
    }
    rig.images_agree().expect("equal images");
}

/// Forward-dated sums at the edge, and marks at the edge.
#[test]
fn forwards_and_marks_at_the_edges() {
    let mut rig =
        BookRig::new(Rules { method: LotMethod::Fifo, allow_short: true, ..Rules::DEFAULT }, 1, false, LIMITS);
    rig.other(&Command::BusinessDate(Date(10)));
    let trade = |rig: &mut BookRig, id, side, quantity, day| rig.trade(&Spec::new(id, side, quantity, i64::MAX, day));
    assert_eq!(trade(&mut rig, 0, Side::Buy, i64::MAX, 11), (Class::Forward, Reason::None));
    assert_eq!(trade(&mut rig, 1, Side::Buy, 1, 11), (Class::Rejected, Reason::Overflow));
    // The magnitudes are bounded, not the sum: they mature by date and not in the order of arrival.
    assert_eq!(trade(&mut rig, 2, Side::Sell, i64::MAX, 12), (Class::Rejected, Reason::Overflow));
    rig.images_agree().expect("equal images");
    for (kind, price_e8, ask_e8, reason) in [
        (MarkKind::BidAsk, i64::MAX, i64::MAX, Reason::None),
        (MarkKind::BidAsk, i64::MAX - 1, i64::MAX, Reason::None),
        (MarkKind::BidAsk, i64::MAX, 0, Reason::BadPrice),
        (MarkKind::Last, -1, 0, Reason::BadPrice),
        (MarkKind::Last, i64::MAX, 0, Reason::None),
        (MarkKind::OfficialClose, 0, 0, Reason::None),
    ] {
        let mark = Mark { instrument: 0, kind, price_e8, ask_e8, at_ns: i64::MAX };
        assert_eq!(rig.try_other(&Command::Mark(mark)), reason, "{mark:?}");
    }
    rig.images_agree().expect("equal images");
    for (day, matured) in [(11, 1), (12, 0)] {
        rig.other(&Command::BusinessDate(Date(day)));
        assert_eq!(rig.mature().len(), matured, "day {day}");
    }
    assert_eq!(rig.find(0, 0).map(|p| (p.quantity_e8, p.forward_quantity_e8)), Some((i64::MAX, 0)));
    rig.images_agree().expect("equal images");
}

/// A waiting trade that would leave a range at its date is passed over: a named break. Those behind it are booked.
#[test]
fn what_cannot_be_booked_at_its_date_is_a_break_and_blocks_nobody() {
    let mut rig =
        BookRig::new(Rules { method: LotMethod::Fifo, allow_short: true, ..Rules::DEFAULT }, 1, false, LIMITS);
    rig.other(&Command::BusinessDate(Date(10)));
    let spec = |id, side, quantity, day| Spec::new(id, side, quantity, 1, day);
    assert_eq!(rig.trade(&spec(0, Side::Buy, i64::MAX - 5, 11)), (Class::Forward, Reason::None));
    assert_eq!(rig.trade(&spec(1, Side::Sell, 3, 12)), (Class::Forward, Reason::None));
    assert_eq!(rig.trade(&spec(2, Side::Buy, 9, 10)), (Class::Applied, Reason::None));
    rig.other(&Command::BusinessDate(Date(12)));
    let matured: Vec<Reason> = rig.mature().into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(matured, [Reason::Overflow, Reason::None]);
    let position = *rig.find(0, 0).expect("a position");
    assert_eq!((position.quantity_e8, position.forwards, position.breaks), (6, 0, 1));
    assert_eq!(position.reconciliation(), Reconciliation::Pending);
    assert_eq!(position.frontier.date, Date(12));
    rig.images_agree().expect("equal images");
    // The replay finds the same.
    let replayed = rig.replayed(0, 0);
    assert_eq!((replayed.after, replayed.frontier), (position.figures(), position.frontier));
    assert_eq!(replayed.breaks.len(), 1);
    assert_eq!(replayed.breaks[0].1, Reason::Overflow);
}
