//! Two sets of positions side by side, with the differences in words.

use crate::oracle::{LotSide, SeenLot, SeenPosition};
use crate::text::{date_of_days, e8, e16};
use std::collections::BTreeMap;

/// One position that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Account.
    pub account: String,
    /// Instrument.
    pub instrument: String,
    /// What differs, expected first.
    pub what: String,
}

impl core::fmt::Display for Difference {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}: {}", self.account, self.instrument, self.what)
    }
}

/// Compares `seen` with `expected`: every quantity, realized amount and lot. A seen position that was never expected counts unless it is
/// empty: a host may know a position on which every trade was refused.
pub fn compare(expected: &[SeenPosition], seen: &[SeenPosition]) -> Vec<Difference> {
    let key = |position: &SeenPosition| (position.account.clone(), position.instrument.clone());
    let mut sides: BTreeMap<_, (Vec<&SeenPosition>, Vec<&SeenPosition>)> = BTreeMap::new();
    for position in expected {
        sides.entry(key(position)).or_default().0.push(position);
    }
    for position in seen {
        sides.entry(key(position)).or_default().1.push(position);
    }
    let mut differences = Vec::new();
    for ((account, instrument), (expected, seen)) in sides {
        let what = match (expected.as_slice(), seen.as_slice()) {
            ([expected], [seen]) => difference(expected, seen),
            ([expected], []) => Some(format!("not there; expected {}", summary(expected))),
            ([], [seen]) if seen.quantity_e8 == 0 && seen.realized_e16 == 0 && seen.lots.is_empty() => None,
            ([], [seen]) => Some(format!("nothing expected; there is {}", summary(seen))),
            (_, seen) => Some(format!("there {} times", seen.len())),
        };
        if let Some(what) = what {
            differences.push(Difference { account, instrument, what });
        }
    }
    differences
}

fn summary(position: &SeenPosition) -> String {
    format!(
        "quantity {}, realized {}, {} lots",
        e8(position.quantity_e8),
        e16(position.realized_e16),
        position.lots.len()
    )
}

fn difference(expected: &SeenPosition, seen: &SeenPosition) -> Option<String> {
    let mut words = Vec::new();
    if expected.quantity_e8 != seen.quantity_e8 {
        words.push(format!("quantity {} not {}", e8(expected.quantity_e8), e8(seen.quantity_e8)));
    }
    if expected.realized_e16 != seen.realized_e16 {
        words.push(format!("realized {} not {}", e16(expected.realized_e16), e16(seen.realized_e16)));
    }
    if expected.lots.len() != seen.lots.len() {
        words.push(format!("{} lots not {}", expected.lots.len(), seen.lots.len()));
    }
    // The first lot that differs tells most; the others follow from it as a rule.
    let pair = expected.lots.iter().zip(&seen.lots).enumerate().find(|(_, (expected, seen))| expected != seen);
    if let Some((at, (expected, seen))) = pair {
        words.push(format!("lot {at}: {} not {}", lot(expected), lot(seen)));
    }
    (!words.is_empty()).then(|| words.join("; "))
}

fn lot(lot: &SeenLot) -> String {
    let side = match lot.side {
        LotSide::Long => "long",
        LotSide::Short => "short",
    };
    format!(
        "{} {side} {} at {} costing {} of {}",
        lot.trade_id,
        e8(lot.quantity_e8),
        e8(lot.price_e8),
        e16(lot.cost_e16),
        date_of_days(lot.acquired_days)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(account: &str, quantity: i64) -> SeenPosition {
        let lot = SeenLot {
            trade_id: "t1".into(),
            side: LotSide::Long,
            quantity_e8: quantity,
            price_e8: 200_000_000,
            cost_e16: i128::from(quantity) * 200_000_000,
            acquired_days: 0,
        };
        let lots = if quantity == 0 { vec![] } else { vec![lot] };
        SeenPosition { account: account.into(), instrument: "I".into(), quantity_e8: quantity, realized_e16: 0, lots }
    }

    #[track_caller]
    fn check(expected: &[SeenPosition], seen: &[SeenPosition], words: &[&str]) {
        let differences: Vec<String> = compare(expected, seen).iter().map(Difference::to_string).collect();
        assert_eq!(differences, words);
    }

    #[test]
    fn equal_sets_in_any_order() {
        let (a, b) = (position("A", 100_000_000), position("B", 0));
        check(&[a.clone(), b.clone()], &[b.clone(), a.clone()], &[]);
        // An empty position that nobody traded successfully.
        check(std::slice::from_ref(&a), &[a.clone(), position("C", 0)], &[]);
    }

    #[test]
    fn differences_in_words() {
        let a = position("A", 100_000_000);
        let mut other = position("A", 150_000_000);
        check(
            std::slice::from_ref(&a),
            std::slice::from_ref(&other),
            &[
                "A/I: quantity 1 not 1.5; lot 0: t1 long 1 at 2 costing 2 of 1970-01-01 not t1 long 1.5 at 2 costing 3 of 1970-01-01",
            ],
        );
        check(std::slice::from_ref(&a), &[], &["A/I: not there; expected quantity 1, realized 0, 1 lots"]);
        check(&[], std::slice::from_ref(&a), &["A/I: nothing expected; there is quantity 1, realized 0, 1 lots"]);
        check(std::slice::from_ref(&a), &[a.clone(), a.clone()], &["A/I: there 2 times"]);
        other = a.clone();
        other.realized_e16 = 1;
        check(std::slice::from_ref(&a), &[other], &["A/I: realized 0 not 0.0000000000000001"]);
    }
}
