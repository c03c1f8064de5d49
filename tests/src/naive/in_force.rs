//! Rules in force of the naive model (rule 3).

use super::words::{CONTRACT_NOT_IN_FORCE, Day, Name, Reason, UNKNOWN_CONTRACT};

/// Which lots a closing trade takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// First in, first out.
    Fifo,
    /// Last in, first out.
    Lifo,
    /// Highest price first.
    Hifo,
    /// Lowest price first.
    Lofo,
    /// At the average cost.
    Average,
    /// Least tax first.
    MinTax,
}

/// Where replacements of a wash sale are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wash {
    /// Nowhere.
    None,
    /// In the same account.
    Account,
    /// In all accounts of the same taxpayer.
    Taxpayer,
}

/// The rules for one trade, action or reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `lot_method`.
    pub method: Method,
    /// `allow_short`.
    pub allow_short: bool,
    /// `short_rank` is `RESULT`.
    pub short_rank_is_result: bool,
    /// `lot_scope` is `SUB_ACCOUNT`.
    pub scope_is_sub_account: bool,
    /// `fees_rule` is `IN_BASIS`.
    pub fees_in_basis: bool,
    /// `tax_rate_short` and `tax_rate_long`, at 10^-8.
    pub tax_rates: Option<(i128, i128)>,
    /// `long_term_days`; else one calendar year.
    pub long_term_days: Option<i32>,
    /// `wash_sale`.
    pub wash: Wash,
    /// `wash_window_days`.
    pub wash_window: i32,
    /// `taxpayer`; else the account's own name.
    pub taxpayer: Option<Name>,
    /// `locked_changes` is `ADJUST`.
    pub locked_changes_adjust: bool,
}

impl Rules {
    /// Without a contract.
    pub const DEFAULT: Self = Self {
        method: Method::Fifo,
        allow_short: false,
        short_rank_is_result: false,
        scope_is_sub_account: false,
        fees_in_basis: false,
        tax_rates: None,
        long_term_days: None,
        wash: Wash::None,
        wash_window: 30,
        taxpayer: None,
        locked_changes_adjust: false,
    };
}

/// A version of a contract, in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Its id.
    pub id: Name,
    /// For one account; else for all.
    pub account: Option<Name>,
    /// For one instrument; else for all.
    pub instrument: Option<Name>,
    /// From this date on.
    pub from: Day,
    /// What holds.
    pub rules: Rules,
}

impl Contract {
    /// Whether it is for this account and instrument.
    #[must_use]
    pub fn covers(&self, account: Name, instrument: Name) -> bool {
        self.account.is_none_or(|name| name == account) && self.instrument.is_none_or(|name| name == instrument)
    }

    /// The more, the more specific: account and instrument, account, instrument, all.
    fn rank(&self) -> u8 {
        match (self.account, self.instrument) {
            (Some(_), Some(_)) => 3,
            (Some(_), None) => 2,
            (None, Some(_)) => 1,
            (None, None) => 0,
        }
    }
}

/// The rules for a position on a date; `versions` in the order of their events.
///
/// # Errors
/// `UNKNOWN_CONTRACT` and `CONTRACT_NOT_IN_FORCE`, of a contract that is named.
pub fn in_force(
    versions: &[Contract],
    account: Name,
    instrument: Name,
    named: Option<Name>,
    date: Day,
) -> Result<Rules, Reason> {
    if named.is_some_and(|name| versions.iter().all(|version| version.id != name)) {
        return Err(UNKNOWN_CONTRACT);
    }
    let best = versions
        .iter()
        .enumerate()
        .filter(|(_, version)| named.is_none_or(|name| version.id == name))
        .filter(|(_, version)| version.covers(account, instrument) && version.from <= date)
        .max_by_key(|(event, version)| (if named.is_some() { 0 } else { version.rank() }, version.from, *event));
    match (best, named) {
        (Some((_, version)), _) => Ok(version.rules),
        (None, Some(_)) => Err(CONTRACT_NOT_IN_FORCE),
        (None, None) => Ok(Rules::DEFAULT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(id: Name, account: Option<Name>, instrument: Option<Name>, from: Day, method: Method) -> Contract {
        Contract { id, account, instrument, from, rules: Rules { method, ..Rules::DEFAULT } }
    }

    #[test]
    fn the_most_specific_then_the_latest_then_the_last() {
        let versions = [
            contract(1, None, None, 0, Method::Lifo),
            contract(2, None, Some(7), 0, Method::Hifo),
            contract(3, Some(5), None, 10, Method::Lofo),
            contract(4, Some(5), Some(7), 20, Method::Average),
            contract(4, Some(5), Some(7), 30, Method::MinTax),
            contract(4, Some(5), Some(7), 30, Method::Fifo),
        ];
        let method = |account, instrument, date| in_force(&versions, account, instrument, None, date).unwrap().method;
        assert_eq!(method(1, 1, -1), Method::Fifo, "the default");
        assert_eq!(method(1, 1, 0), Method::Lifo);
        assert_eq!(method(1, 7, 0), Method::Hifo);
        assert_eq!(method(5, 7, 9), Method::Hifo);
        assert_eq!(method(5, 7, 10), Method::Lofo, "the account before the instrument");
        assert_eq!(method(5, 7, 20), Method::Average);
        assert_eq!(method(5, 7, 30), Method::Fifo, "of two versions with one date the later event");
    }

    #[test]
    fn a_named_contract_holds_whatever_is_more_specific() {
        let versions = [contract(1, None, None, 5, Method::Lifo), contract(2, Some(5), Some(7), 0, Method::Average)];
        let named = |name, account, date| in_force(&versions, account, 7, Some(name), date).map(|rules| rules.method);
        assert_eq!(named(1, 5, 5), Ok(Method::Lifo));
        assert_eq!(named(1, 5, 4), Err(CONTRACT_NOT_IN_FORCE));
        assert_eq!(named(2, 6, 5), Err(CONTRACT_NOT_IN_FORCE));
        assert_eq!(named(3, 5, 5), Err(UNKNOWN_CONTRACT));
    }
}
