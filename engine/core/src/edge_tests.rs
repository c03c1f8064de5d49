//! Trades at the edges of every range: booked exactly, or refused by name with nothing changed.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::amount::ONE_E8;
use crate::command::{Command, TradeKind};
use crate::date::Date;
use crate::id::TradeHash;
use crate::lots::Lot;
use crate::rules::{FeesRule, LotMethod, Rules};
use crate::tests::{Rig, trade};
use crate::trade_tests::{SHORTS, conserved, replay_agrees, rig};

struct Draw(u64);

impl Draw {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// Small, ordinary, and the edges of the range.
    fn amount(&mut self) -> i64 {
        let small = self.below(50) as i64;
        match self.below(9) {
            0 => small,
            1 => i64::MAX - small,
            2 => i64::MAX / (1 + small),
            3 => 1 << self.below(63),
            4 => (self.below(1 << 31) as i64) << self.below(31),
            _ => small * ONE_E8 + self.below(3) as i64,
        }
    }
}

/// At the edges of every range: a trade is booked exactly and stays conserved, or is refused and changes nothing.
#[test]
fn what_leaves_a_range_is_refused_and_changes_nothing() {
    let (mut refused, mut booked) = (0, 0);
    for seed in 0..30 {
        let mut draw = Draw(seed);
        let multiplier = [ONE_E8, ONE_E8, 50 * ONE_E8, 1, i64::MAX, 12_345_678][draw.below(6) as usize];
        let rules = Rules {
            fees_rule: if draw.below(2) == 0 { FeesRule::Apart } else { FeesRule::InBasis },
            method: LotMethod::ALL[draw.below(6) as usize],
            long_term_days: [0, 1, 36_500][draw.below(3) as usize],
            ..SHORTS
        };
        let mut rig = rig(rules, multiplier);
        for n in 0..60 {
            let side = if draw.below(2) == 0 { "buy" } else { "sell" };
            let mut input = trade(&format!("t{n}"), side, 1, 1, n * 9);
            input.quantity_e8 = draw.amount();
            input.price_e8 = draw.amount();
            if draw.below(3) == 0 {
                input.consideration_e8 = draw.amount();
            }
            if draw.below(3) == 0 {
                input.fees_e8 = draw.amount();
            }
            if draw.below(3) == 0 {
                input.fx_to_base_e8 = draw.amount();
            }
            if draw.below(4) == 0 && n > 0 {
                input.lot = TradeHash::new(b"n", format!("t{}", draw.below(n as u64)).as_bytes());
            }
            if draw.below(6) == 0 {
                input.kind = TradeKind::OpenLot;
                input.acquired = Date(n * 9 - draw.below(900) as i32);
                input.fees_e8 = 0;
                input.lot = TradeHash::NONE;
            }
            let before = state(&rig);
            let said = rig.send(&Command::Trade(input));
            if said.starts_with("applied") {
                booked += 1;
                conserved(&rig);
            } else {
                refused += usize::from(said == "OVERFLOW");
                assert_eq!(state(&rig), before, "seed {seed} {n}: {said}");
            }
        }
        if !rig.accepted.is_empty() {
            replay_agrees(&rig, multiplier);
        }
    }
    assert!(refused > 100, "{refused} overflows");
    assert!(booked > 200, "{booked} booked");
}

/// The second book found it: the reason was `OVERFLOW` although the named lot was unknown, which is an earlier step.
#[test]
fn the_lot_is_checked_before_the_ranges() {
    let mut rig = rig(SHORTS, 50 * ONE_E8);
    let mut beyond = |id: &str, side: &str, quantity_e8, lot: &str| {
        let mut input = trade(id, side, 1, 1, 0);
        (input.quantity_e8, input.price_e8) = (quantity_e8, i64::MAX);
        input.lot = if lot.is_empty() { TradeHash::NONE } else { TradeHash::new(b"n", lot.as_bytes()) };
        rig.send(&Command::Trade(input))
    };
    assert_eq!(beyond("a", "buy", i64::MAX, ""), "OVERFLOW");
    assert_eq!(beyond("a", "buy", i64::MAX, "z"), "UNKNOWN_LOT", "opens");
    assert!(beyond("a", "buy", 1, "").starts_with("applied"));
    assert!(beyond("b", "buy", 1, "").starts_with("applied"));
    assert_eq!(beyond("c", "buy", i64::MAX - 9, "z"), "UNKNOWN_LOT", "increases");
    assert_eq!(beyond("c", "buy", i64::MAX - 9, "a"), "OVERFLOW", "enlarges");
    assert_eq!(beyond("c", "sell", i64::MAX - 9, "a"), "LOT_TOO_SMALL", "flips");
    assert_eq!(beyond("c", "sell", i64::MAX - 9, ""), "OVERFLOW", "flips");
}

/// Every number of the book's positions and lots.
pub(crate) fn state(rig: &Rig) -> String {
    let positions = rig.book.positions();
    let lots: Vec<Lot> = positions.iter().flat_map(|position| rig.book.lots().iter(&position.block)).collect();
    format!("{positions:?} {lots:?} {} {}", rig.book.economic_digest(), rig.book.full_digest())
}
