//! Cancels and corrects of the naive model (rule 9): which trades are in the history, and as what.

use super::actions::{Action, Kind, TERM_MAX};
use super::holding::end_of;
use super::leading::Terms;
use super::words::{
    BAD_CONSIDERATION, BAD_FEES, BAD_PRICE, BAD_QUANTITY, BAD_RATE, BAD_TERMS, Day, Id, Name, Reason, Side, Trade,
    TradeType,
};

/// A trade may have so many amendments, those of its amendments included.
pub const AMENDMENTS_OF_A_TRADE: usize = 256;
/// So often the business date moves before a held amendment is given up.
pub const MOVES_HELD: usize = 30;

/// The terms of an action that a correct names, beside what trades have too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActionChanges {
    /// New units.
    pub numerator: Option<i128>,
    /// Old units.
    pub denominator: Option<i128>,
    /// Cash a unit.
    pub cash: Option<i128>,
    /// Price at which the fraction is paid out.
    pub cash_in_lieu: Option<i128>,
    /// Record date.
    pub record_date: Option<Day>,
}

/// The fields of a trade or an action that a correct names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Side.
    pub side: Option<Side>,
    /// What it says that it does.
    pub trade_type: Option<TradeType>,
    /// Quantity.
    pub quantity: Option<i128>,
    /// Price.
    pub price: Option<i128>,
    /// Fees.
    pub fees: Option<i128>,
    /// Gross amount.
    pub consideration: Option<i128>,
    /// Effective date.
    pub date: Option<Day>,
    /// Execution time.
    pub executed_at: Option<i64>,
    /// The lot that it names.
    pub lot: Option<Id>,
    /// Sub-account.
    pub sub_account: Option<Name>,
    /// The contract that it names.
    pub contract: Option<Name>,
    /// Rate to the base currency.
    pub fx_to_base: Option<i128>,
    /// Terms that actions alone have.
    pub of_actions: Option<ActionChanges>,
}

impl Changes {
    /// The first value that no trade, and no action, may have.
    ///
    /// # Errors
    /// As for a trade's form.
    pub fn form(&self) -> Result<(), Reason> {
        let below = |value: Option<i128>, least: i128| value.is_some_and(|value| value < least);
        let terms = self.of_actions.unwrap_or_default();
        let no_term = |value: Option<i128>| value.is_some_and(|term| !(1..=TERM_MAX).contains(&term));
        let checks = [
            (below(self.quantity, 1), BAD_QUANTITY),
            (below(self.price, 0), BAD_PRICE),
            (below(self.fees, 0), BAD_FEES),
            (below(self.consideration, 0), BAD_CONSIDERATION),
            (below(self.fx_to_base, 1), BAD_RATE),
            (no_term(terms.numerator) || no_term(terms.denominator), BAD_TERMS),
            (below(terms.cash, 0) || below(terms.cash_in_lieu, 0), BAD_PRICE),
        ];
        checks.into_iter().find(|check| check.0).map_or(Ok(()), |check| Err(check.1))
    }

    /// Whether an action has all these fields.
    #[must_use]
    pub fn fits(&self, action: &Action) -> bool {
        let terms = self.of_actions.unwrap_or_default();
        let shared = Self {
            date: self.date,
            fx_to_base: self.fx_to_base,
            of_actions: self.of_actions,
            price: self.price,
            contract: self.contract,
            ..Self::default()
        };
        let is_reset = matches!(action.kind, Kind::Reset { .. });
        let (ratio, cash, lieu, record) = match action.kind {
            Kind::Split { .. } => (true, false, true, false),
            Kind::ReturnOfCapital { .. } | Kind::Merger { .. } => (false, true, false, false),
            Kind::StockMerger { .. } => (true, true, true, false),
            Kind::SpinOff { .. } => (true, false, true, false),
            Kind::SymbolChange { .. } | Kind::Reset { .. } => (false, false, false, false),
            Kind::Dividend { .. } => (false, true, false, true),
        };
        shared == *self
            && (is_reset || (self.price.is_none() && self.contract.is_none()))
            && (ratio || (terms.numerator.is_none() && terms.denominator.is_none()))
            && (cash || terms.cash.is_none())
            && (lieu || terms.cash_in_lieu.is_none())
            && (record || terms.record_date.is_none())
    }

    /// The action with these fields instead of its own.
    #[must_use]
    pub fn over_action(&self, action: &Action) -> Action {
        let new = self.of_actions.unwrap_or_default();
        let ratio = |terms: Terms| Terms {
            numerator: new.numerator.unwrap_or(terms.numerator),
            denominator: new.denominator.unwrap_or(terms.denominator),
            cash_in_lieu: new.cash_in_lieu.or(terms.cash_in_lieu),
        };
        let cash = |own: i128| new.cash.unwrap_or(own);
        let kind = match action.kind {
            Kind::Split { numerator, denominator, cash_in_lieu } => {
                let terms = ratio(Terms { numerator, denominator, cash_in_lieu });
                Kind::Split {
                    numerator: terms.numerator,
                    denominator: terms.denominator,
                    cash_in_lieu: terms.cash_in_lieu,
                }
            }
            Kind::ReturnOfCapital { cash: own } => Kind::ReturnOfCapital { cash: cash(own) },
            Kind::Merger { cash: own } => Kind::Merger { cash: cash(own) },
            Kind::StockMerger { to, terms, cash: own } => {
                Kind::StockMerger { to, terms: ratio(terms), cash: cash(own) }
            }
            Kind::SpinOff { to, terms, fraction } => Kind::SpinOff { to, terms: ratio(terms), fraction },
            Kind::SymbolChange { to } => Kind::SymbolChange { to },
            Kind::Dividend { cash: own, record_date } => {
                Kind::Dividend { cash: cash(own), record_date: new.record_date.or(record_date) }
            }
            Kind::Reset { price, contract } => {
                Kind::Reset { price: self.price.unwrap_or(price), contract: self.contract.or(contract) }
            }
        };
        Action {
            kind,
            date: self.date.unwrap_or(action.date),
            fx_to_base: self.fx_to_base.unwrap_or(action.fx_to_base),
            ..action.clone()
        }
    }

    /// The trade with these fields instead of its own.
    #[must_use]
    pub fn over(&self, trade: &Trade) -> Trade {
        let lots_own = if trade.moves() { self.of_a_transfer() } else { self.clone() };
        lots_own.over_all(trade)
    }

    /// What of it a transfer has: the rest is passed over.
    fn of_a_transfer(&self) -> Self {
        Self {
            side: self.side,
            quantity: self.quantity,
            date: self.date,
            executed_at: self.executed_at,
            lot: self.lot.clone(),
            sub_account: self.sub_account,
            contract: self.contract,
            ..Self::default()
        }
    }

    fn over_all(&self, trade: &Trade) -> Trade {
        Trade {
            side: self.side.unwrap_or(trade.side),
            trade_type: self.trade_type.unwrap_or(trade.trade_type),
            quantity: self.quantity.unwrap_or(trade.quantity),
            price: self.price.or(trade.price),
            fees: self.fees.unwrap_or(trade.fees),
            consideration: self.consideration.or(trade.consideration),
            date: self.date.unwrap_or(trade.date),
            // A date without a time names the end of that date.
            executed_at: self.executed_at.or(self.date.map(end_of)).unwrap_or(trade.executed_at),
            lot: self.lot.clone().or(trade.lot.clone()),
            sub_account: self.sub_account.or(trade.sub_account),
            contract: self.contract.or(trade.contract),
            fx_to_base: self.fx_to_base.unwrap_or(trade.fx_to_base),
            ..trade.clone()
        }
    }
}

/// A cancel or a correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// Its own id.
    pub id: Id,
    /// The hash of namespace and own id.
    pub hash: u128,
    /// What it amends.
    pub target: Id,
    /// What a correct changes; a cancel has none.
    pub changes: Option<Changes>,
    /// Execution time; one without comes after those that have one.
    pub executed_at: Option<i64>,
    /// Source order.
    pub source_order: u64,
    /// The account that it names.
    pub account: Option<Name>,
    /// The instrument that it names.
    pub instrument: Option<Name>,
}

impl Amendment {
    /// The trade as a correct leaves it. A trade with another account or instrument is moved; a transfer never is.
    fn over(&self, trade: &Trade) -> Trade {
        let changed = self.changes.as_ref().map_or_else(|| trade.clone(), |changes| changes.over(trade));
        if trade.moves() {
            return changed;
        }
        Trade {
            account: self.account.unwrap_or(trade.account),
            instrument: self.instrument.unwrap_or(trade.instrument),
            ..changed
        }
    }

    /// The order in which corrects of one trade are laid over it.
    #[must_use]
    pub fn key(&self) -> (bool, i64, u64, Id, u128) {
        let at = self.executed_at;
        (at.is_none(), at.unwrap_or(0), self.source_order, self.id.clone(), self.hash)
    }
}

/// Whether an amendment targets itself, by way of held ones or not.
#[must_use]
pub fn goes_round(new: &Amendment, held: &[(Amendment, usize)]) -> bool {
    let mut target = &new.target;
    loop {
        if *target == new.id {
            return true;
        }
        match held.iter().find(|(held, _)| held.id == *target) {
            Some((held, _)) => target = &held.target,
            None => return false,
        }
    }
}

/// Whether no live cancel targets this id.
#[must_use]
pub fn is_live(id: &Id, amendments: &[Amendment]) -> bool {
    !amendments.iter().any(|other| other.changes.is_none() && other.target == *id && is_live(&other.id, amendments))
}

/// Whether anything was ever accepted that amends this trade, by way of others or not.
#[must_use]
pub fn root(id: &Id, amendments: &[Amendment]) -> Id {
    match amendments.iter().find(|amendment| amendment.id == *id) {
        Some(amendment) => root(&amendment.target, amendments),
        None => id.clone(),
    }
}

/// A trade as it counts: with its live corrects laid over it; `None` where it is out of the history.
#[must_use]
pub fn counts(trade: &Trade, amendments: &[Amendment]) -> Option<Trade> {
    if !is_live(&trade.id, amendments) {
        return None;
    }
    Some(laid_over(trade, amendments))
}

/// A trade with its live corrects laid over it, cancelled or not.
#[must_use]
pub fn laid_over(trade: &Trade, amendments: &[Amendment]) -> Trade {
    let corrects = live_corrects(&trade.id, amendments);
    corrects.iter().fold(trade.clone(), |trade, correct| correct.over(&trade))
}

/// What the live corrects of an id change, in the order in which they are laid over it.
fn live_corrects<'a>(id: &Id, amendments: &'a [Amendment]) -> Vec<&'a Amendment> {
    let mut corrects: Vec<&Amendment> = amendments
        .iter()
        .filter(|other| other.changes.is_some() && other.target == *id && is_live(&other.id, amendments))
        .collect();
    corrects.sort_by_key(|correct| correct.key());
    corrects
}

/// An action with its live corrects laid over it, cancelled or not.
#[must_use]
pub fn corrected(action: &Action, amendments: &[Amendment]) -> Action {
    let corrects = live_corrects(&action.id, amendments);
    let changes = corrects.into_iter().filter_map(|correct| correct.changes.as_ref());
    changes.fold(action.clone(), |action, changes| changes.over_action(&action))
}

/// An action as it counts; `None` where it is out of the history.
#[must_use]
pub fn counts_action(action: &Action, amendments: &[Amendment]) -> Option<Action> {
    is_live(&action.id, amendments).then(|| corrected(action, amendments))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naive::holding::day;
    use crate::naive::numbers::ONE;

    fn trade(id: &str) -> Trade {
        Trade {
            id: id.into(),
            hash: 0,
            account: 0,
            instrument: 0,
            contract: None,
            side: Side::Buy,
            trade_type: TradeType::Any,
            acquired: None,
            to_account: None,
            quantity: 10 * ONE,
            price: Some(ONE),
            consideration: None,
            fees: 0,
            currency: None,
            fx_to_base: ONE,
            sub_account: None,
            date: day(2024, 3, 1),
            executed_at: 7,
            source_order: 0,
            lot: None,
        }
    }

    fn cancel(id: &str, target: &str) -> Amendment {
        Amendment {
            id: id.into(),
            hash: 0,
            target: target.into(),
            changes: None,
            executed_at: None,
            source_order: 0,
            account: None,
            instrument: None,
        }
    }

    fn correct(id: &str, target: &str, at: Option<i64>, changes: Changes) -> Amendment {
        Amendment { changes: Some(changes), executed_at: at, ..cancel(id, target) }
    }

    #[test]
    fn a_cancel_of_a_cancel_brings_the_trade_back() {
        let mut list = vec![cancel("c1", "t")];
        assert_eq!(counts(&trade("t"), &list), None);
        list.push(cancel("c2", "c1"));
        assert_eq!(counts(&trade("t"), &list), Some(trade("t")));
        list.push(cancel("c3", "c2"));
        assert_eq!(counts(&trade("t"), &list), None);
        list.push(cancel("c4", "t"));
        list.push(cancel("c5", "c3"));
        assert_eq!(counts(&trade("t"), &list), None, "another cancel is live");
        assert_eq!(&*root(&"c5".into(), &list), "t");
    }

    #[test]
    fn later_corrects_win_field_by_field() {
        let price = |price| Changes { price: Some(price), ..Changes::default() };
        let both = Changes { fees: Some(5), ..price(3) };
        let mut list = vec![
            correct("a", "t", None, price(9)),
            correct("b", "t", Some(20), price(2)),
            correct("c", "t", Some(10), both),
        ];
        let counted = counts(&trade("t"), &list).unwrap();
        assert_eq!((counted.price, counted.fees), (Some(9), 5), "one without a time comes last");
        list.push(cancel("x", "a"));
        let counted = counts(&trade("t"), &list).unwrap();
        assert_eq!((counted.price, counted.fees), (Some(2), 5));
        list.push(cancel("y", "t"));
        assert_eq!(counts(&trade("t"), &list), None);
        list.push(cancel("z", "y"));
        assert_eq!(counts(&trade("t"), &list).unwrap().price, Some(2), "a correct waits while the trade is cancelled");
    }

    #[test]
    fn a_date_brings_its_end() {
        let new = day(2024, 3, 4);
        let moved = Changes { date: Some(new), ..Changes::default() }.over(&trade("t"));
        assert_eq!((moved.date, moved.executed_at), (new, (i64::from(new) + 1) * 86_400_000_000_000 - 1));
        let timed = Changes { date: Some(new), executed_at: Some(3), ..Changes::default() }.over(&trade("t"));
        assert_eq!(timed.executed_at, 3);
    }
}
