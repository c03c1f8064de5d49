//! Contract rules: lot method and permission to go short, by account, instrument and effective date.
//!
//! Which contract is in force for a trade: the one it names; else the most specific that covers it:
//! (account, instrument), (account, any), (any, instrument), (any, any); else [`Rules::DEFAULT`].
//! Of that contract, the version with the greatest effective date not after the trade's. Of two
//! versions with one date the later event wins.

use alloc::vec::Vec;

use crate::action_input::{ActionInput, ActionKind};
use crate::date::Date;
use crate::event::Reason;
use crate::id::{NO_NAME, NameId};

/// How lots are chosen when a position is reduced; rule 5 of `docs/rules.md`. Ties are broken by the lot order, earlier
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LotMethod {
    /// First in, first out. *Source: 26 CFR 1.1012-1(c)(1).*
    Fifo = 0,
    /// Last in, first out.
    Lifo = 1,
    /// Highest price first.
    Hifo = 2,
    /// Lowest price first.
    Lofo = 3,
    /// In lot order, at the average cost of all lots in scope. *Source: 26 CFR 1.1012-1(e), moving.*
    Average = 4,
    /// Losses first, then long-term gains, then short-term gains; or by tax a unit where rates are given.
    MinTax = 5,
}

impl LotMethod {
    /// All methods.
    pub const ALL: [Self; 6] = [Self::Fifo, Self::Lifo, Self::Hifo, Self::Lofo, Self::Average, Self::MinTax];

    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fifo => "FIFO",
            Self::Lifo => "LIFO",
            Self::Hifo => "HIFO",
            Self::Lofo => "LOFO",
            Self::Average => "AVERAGE",
            Self::MinTax => "MIN_TAX",
        }
    }

    /// From the wire name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }

    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|method| *method as u8 == value)
    }
}

/// Declares an enum of contract terms with its wire names and its numbers in records.
macro_rules! terms {
    ($(#[doc = $what:literal])+ $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $what])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl $name {
            /// All values, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The wire name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// From the wire name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }

            pub(crate) fn from_u8(value: u8) -> Option<Self> {
                Self::ALL.get(usize::from(value)).copied()
            }
        }
    };
}

terms! {
    /// What `HIFO` and `LOFO` look at where the lots are short.
    ShortRank {
        /// The price, as for long lots.
        Price = "PRICE",
        /// What they do to the result: on short lots the ranks are the other way round.
        Result = "RESULT",
    }
}

terms! {
    /// Whose lots a closing trade takes.
    LotScope {
        /// All lots of the position.
        Position = "POSITION",
        /// The lots of the trade's own sub-account.
        SubAccount = "SUB_ACCOUNT",
    }
}

terms! {
    /// What fees do beside being summed.
    FeesRule {
        /// Nothing: cost and realized amounts are without them.
        Apart = "APART",
        /// They enter the cost of what opens and the realized amount of what closes.
        InBasis = "IN_BASIS",
    }
}

terms! {
    /// Where replacements of a wash sale are looked for.
    WashSale {
        /// Nowhere: no loss is disallowed.
        None = "NONE",
        /// In the same account.
        Account = "ACCOUNT",
        /// In every account of the same taxpayer.
        Taxpayer = "TAXPAYER",
    }
}

terms! {
    /// What becomes of a change to history that is closed by a period lock.
    LockedChanges {
        /// It is refused.
        Refuse = "REFUSE",
        /// It is accepted, and what it changes is reported as an adjustment.
        Adjust = "ADJUST",
    }
}

/// Tax rates for `MIN_TAX`, at 10^-8, from zero to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaxRates {
    /// On short-term gains.
    pub short_e8: u32,
    /// On long-term gains.
    pub long_e8: u32,
}

/// Largest rate: all of the gain.
pub const TAX_RATE_E8_MAX: u32 = 100_000_000;
/// Longest holding period that a contract may name, in days.
pub const LONG_TERM_DAYS_MAX: u16 = 36_500;
/// Longest window of wash sales to either side, in days.
pub const WASH_WINDOW_DAYS_MAX: u16 = 366;

/// The rules that decide about one trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Lot method.
    pub method: LotMethod,
    /// Whether the position may be short.
    pub allow_short: bool,
    /// What `HIFO` and `LOFO` look at where the lots are short.
    pub short_rank: ShortRank,
    /// Whose lots a closing trade takes.
    pub lot_scope: LotScope,
    /// What fees do beside being summed.
    pub fees_rule: FeesRule,
    /// Rates for `MIN_TAX`; without them it ranks by the kind of gain alone.
    pub tax_rates: Option<TaxRates>,
    /// Days of holding after which a long lot is long-term; zero is one calendar year.
    pub long_term_days: u16,
    /// Where replacements of a wash sale are looked for.
    pub wash_sale: WashSale,
    /// Days of the window of wash sales, to either side.
    pub wash_window_days: u16,
    /// Interned account name that stands for the taxpayer; `NO_NAME`: the account's own.
    pub taxpayer: NameId,
    /// What becomes of a change to closed history.
    pub locked_changes: LockedChanges,
}

impl Rules {
    /// With no contract in force.
    pub const DEFAULT: Self = Self {
        method: LotMethod::Fifo,
        allow_short: false,
        short_rank: ShortRank::Price,
        lot_scope: LotScope::Position,
        fees_rule: FeesRule::Apart,
        tax_rates: None,
        long_term_days: 0,
        wash_sale: WashSale::None,
        wash_window_days: 30,
        taxpayer: NO_NAME,
        locked_changes: LockedChanges::Refuse,
    };

    /// Whether the numbers are in their ranges.
    #[must_use]
    pub fn are_valid(&self) -> bool {
        let rates = self.tax_rates.unwrap_or(TaxRates { short_e8: 0, long_e8: 0 });
        rates.short_e8 <= TAX_RATE_E8_MAX
            && rates.long_e8 <= TAX_RATE_E8_MAX
            && self.long_term_days <= LONG_TERM_DAYS_MAX
            && self.wash_window_days <= WASH_WINDOW_DAYS_MAX
    }

    /// The last acquisition date of long lots that are long-term on `date`: from acquired + 1 day + 1 year on, or
    /// from acquired + n + 1 days on where the contract names days. *Source: Publication 550, "Holding period";
    /// Rev. Rul. 66-7.*
    ///
    /// The other way round: [`Self::long_term_from`].
    #[must_use]
    pub fn long_term_until(&self, date: Date) -> Date {
        match self.long_term_days {
            0 => date.a_year_before().days_before(1),
            days => date.days_before(i32::from(days) + 1),
        }
    }

    /// The first date on which a long lot that is held since `acquired` is long-term.
    #[must_use]
    pub fn long_term_from(&self, acquired: Date) -> Date {
        match self.long_term_days {
            0 => acquired.days_after(1).a_year_after(),
            days => acquired.days_after(i32::from(days) + 1),
        }
    }
}

/// A contract's rules from a date on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContractTerms {
    /// Interned contract id.
    pub contract: NameId,
    /// Interned account, or `NO_NAME` for all.
    pub account: NameId,
    /// Interned instrument, or `NO_NAME` for all.
    pub instrument: NameId,
    /// The rules.
    pub rules: Rules,
    /// From this date on.
    pub effective_date: Date,
}

impl ContractTerms {
    pub(crate) fn covers(&self, account: NameId, instrument: NameId) -> bool {
        (self.account == NO_NAME || self.account == account)
            && (self.instrument == NO_NAME || self.instrument == instrument)
    }

    fn scope(&self) -> Scope {
        (self.account, self.instrument)
    }
}

type Scope = (NameId, NameId);

/// The scopes that a position is in, the narrowest first.
fn widths(account: NameId, instrument: NameId) -> [Scope; 4] {
    [(account, instrument), (account, NO_NAME), (NO_NAME, instrument), (NO_NAME, NO_NAME)]
}

/// All contract versions that were accepted, in the order of their events.
///
/// Lookups walk a short sorted list: contracts are few, and a position caches its scope.
#[derive(Clone, Debug, Default)]
pub struct ContractBook {
    /// Sorted by (account, instrument, effective date, arrival).
    by_scope: Vec<ContractTerms>,
    /// Sorted by (contract, effective date, arrival).
    by_id: Vec<ContractTerms>,
    /// In the order of arrival, for images.
    arrived: Vec<ContractTerms>,
    capacity: usize,
    /// Which widths of scope any version has: account and instrument, account, instrument, all. Nothing else is looked for.
    widths: [bool; 4],
}

impl ContractBook {
    /// Room for `capacity` versions.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            by_scope: Vec::with_capacity(capacity),
            by_id: Vec::with_capacity(capacity),
            arrived: Vec::with_capacity(capacity),
            capacity,
            widths: [false; 4],
        }
    }

    /// Whether another version fits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.arrived.len() < self.capacity
    }

    /// Versions in the order of arrival.
    #[must_use]
    pub fn versions(&self) -> &[ContractTerms] {
        &self.arrived
    }

    /// Whether the same version is the one that holds on its date already: accepting it again changes nothing.
    #[must_use]
    pub fn repeats(&self, terms: &ContractTerms) -> bool {
        let after = |list: &[ContractTerms], key: &dyn Fn(&ContractTerms) -> bool| list.partition_point(|t| key(t));
        let scope = (terms.scope(), terms.effective_date);
        let in_scope = after(&self.by_scope, &|t| (t.scope(), t.effective_date) <= scope);
        let by_id = after(&self.by_id, &|t| (t.contract, t.effective_date) <= (terms.contract, terms.effective_date));
        let is_last = |list: &[ContractTerms], end: usize| end > 0 && list[end - 1] == *terms;
        is_last(&self.by_scope, in_scope) && is_last(&self.by_id, by_id)
    }

    /// Takes a version. The caller has checked for room.
    pub fn insert(&mut self, terms: ContractTerms) {
        assert!(self.has_room());
        self.arrived.push(terms);
        let of = widths(terms.account, terms.instrument);
        self.widths = core::array::from_fn(|width| self.widths[width] || of[width] == terms.scope());
        let at =
            self.by_scope.partition_point(|t| (t.scope(), t.effective_date) <= (terms.scope(), terms.effective_date));
        self.by_scope.insert(at, terms);
        let at =
            self.by_id.partition_point(|t| (t.contract, t.effective_date) <= (terms.contract, terms.effective_date));
        self.by_id.insert(at, terms);
    }

    /// The rules in force for a trade on `date`.
    ///
    /// # Errors
    /// A named contract that is unknown, or not in force for this position and date.
    #[inline]
    pub fn in_force(
        &self,
        account: NameId,
        instrument: NameId,
        contract: NameId,
        date: Date,
    ) -> Result<&Rules, Reason> {
        if contract != NO_NAME {
            return self.named(account, instrument, contract, date);
        }
        let found = |width: usize, scope| if self.widths[width] { self.scoped(scope, date) } else { None };
        let [own, of_account, of_instrument, all] = widths(account, instrument);
        let narrow = found(0, own).or_else(|| found(1, of_account)).or_else(|| found(2, of_instrument));
        Ok(narrow.or_else(|| found(3, all)).unwrap_or(&Rules::DEFAULT))
    }

    /// Whether any version of a contract was accepted.
    #[must_use]
    pub fn is_known(&self, contract: NameId) -> bool {
        let first = self.by_id.partition_point(|t| t.contract < contract);
        self.by_id.get(first).is_some_and(|t| t.contract == contract)
    }

    /// Whether an action strikes a position of its instrument: a reset may be for one contract's positions only.
    pub(crate) fn strikes(&self, account: NameId, instrument: NameId, input: &ActionInput) -> bool {
        input.kind != ActionKind::Reset
            || input.contract == NO_NAME
            || self.named(account, instrument, input.contract, input.date()).is_ok()
    }

    #[inline]
    fn scoped(&self, scope: Scope, date: Date) -> Option<&Rules> {
        // What holds for all comes last, and of that the newest: what most trades ask for.
        if let Some(last) = self.by_scope.last()
            && last.effective_date <= date
            && last.scope() == scope
        {
            return Some(&last.rules);
        }
        let after = self.by_scope.partition_point(|t| (t.scope(), t.effective_date) <= (scope, date));
        let found = self.by_scope.get(after.checked_sub(1)?)?;
        (found.scope() == scope).then_some(&found.rules)
    }

    fn named(&self, account: NameId, instrument: NameId, contract: NameId, date: Date) -> Result<&Rules, Reason> {
        let after = self.by_id.partition_point(|t| (t.contract, t.effective_date) <= (contract, date));
        let first = self.by_id.partition_point(|t| t.contract < contract);
        if self.by_id.get(first).is_none_or(|t| t.contract != contract) {
            return Err(Reason::UnknownContract);
        }
        self.by_id[first..after]
            .iter()
            .rev()
            .find(|t| t.covers(account, instrument))
            .map(|t| &t.rules)
            .ok_or(Reason::ContractNotInForce)
    }
}
