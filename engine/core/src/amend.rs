//! Amendments: what a cancel or a correct says, and how corrects are laid over a trade (rule 9 of `docs/rules.md`).
//!
//! A cancel or correct is an item with an id of its own. It is *live* unless a live cancel targets it. A trade
//! is in the history unless a live cancel targets it; its live corrects are laid over it in the order of
//! their keys, so that the later one wins field by field.

use crate::action_input::{ActionInput, ActionKind};
use crate::command::{Side, TradeInput, TradeKind, TradeType};
use crate::date::Date;
use crate::digest;
use crate::event::Reason;
use crate::id::{NO_NAME, NameId, TradeHash, TradeId};
use crate::limits::SPLIT_TERM_MAX;

/// Execution time of an amendment that gave none: after all that have one.
pub const NO_TIME: i64 = i64::MAX;

/// What an amendment does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AmendKind {
    /// Takes its target out of the history.
    Cancel = 1,
    /// Changes fields of its target, a trade.
    Correct = 2,
}

impl AmendKind {
    /// The type of the input line that brings one.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Correct => "correct",
        }
    }

    /// From the number in records and checkpoints.
    #[must_use]
    pub fn from_u8(value: u8) -> Option<Self> {
        [Self::Cancel, Self::Correct].into_iter().find(|kind| *kind as u8 == value)
    }
}

/// Declares the fields once: each takes its plain room, and one bit says whether it is named. Options would
/// take half as much again, and commands travel in ring slots of one size.
macro_rules! changes {
    ($($(#[doc = $meaning:literal])+ $bit:literal $name:ident $set:ident: $type:ty = $empty:expr,)+) => {
        /// The fields of a trade or an action that a correct changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Changes {
            pub(crate) fields: u32,
            $(pub(crate) $name: $type,)+
        }

        impl Changes {
            /// No field.
            pub const NONE: Self = Self { fields: 0, $($name: $empty,)+ };

            $(
                $(#[doc = $meaning])+
                #[inline]
                #[must_use]
                pub fn $name(&self) -> Option<$type> {
                    (self.fields & 1 << $bit != 0).then_some(self.$name)
                }

                /// Names the field, or leaves it as it is.
                pub fn $set(&mut self, value: Option<$type>) {
                    self.fields = self.fields & !(1 << $bit) | u32::from(value.is_some()) << $bit;
                    self.$name = value.unwrap_or($empty);
                }
            )+

            /// Whether the bits are fields and the values of fields that are not named are at rest: what
            /// anything but the setters may have made.
            pub(crate) fn is_canonical(&self) -> bool {
                let mut again = Self::NONE;
                $(again.$set(self.$name());)+
                again == *self
            }
        }
    };
}

changes! {
    /// Side.
    0 side set_side: Side = Side::Buy,
    /// What the sender says that the trade does.
    1 trade_type set_trade_type: TradeType = TradeType::Any,
    /// Quantity, positive.
    2 quantity_e8 set_quantity: i64 = 0,
    /// Price, zero or more.
    3 price_e8 set_price: i64 = 0,
    /// Fees, zero or more.
    4 fees_e8 set_fees: i64 = 0,
    /// Effective date.
    5 effective_date set_effective_date: Date = Date::NONE,
    /// Execution time, UTC nanoseconds.
    6 executed_at_ns set_executed_at: i64 = 0,
    /// The opening trade of the lot to use.
    7 lot set_lot: TradeHash = TradeHash::NONE,
    /// Interned contract.
    8 contract set_contract: NameId = NO_NAME,
    /// Gross amount of the whole trade, zero or more.
    9 consideration_e8 set_consideration: i64 = 0,
    /// Units of the base currency for one of the trade's, positive.
    10 fx_to_base_e8 set_fx_to_base: i64 = 0,
    /// Interned currency.
    11 currency set_currency: NameId = NO_NAME,
    /// Interned sub-account.
    12 sub_account set_sub_account: NameId = NO_NAME,
    /// Of a split: new units.
    13 numerator set_numerator: u32 = 0,
    /// Of a split: old units.
    14 denominator set_denominator: u32 = 0,
    /// Of an action: cash a unit, zero or more.
    15 cash_e8 set_cash: i64 = 0,
    /// Of a split: the price at which its fraction is paid out, zero or more.
    16 cash_in_lieu_e8 set_cash_in_lieu: i64 = 0,
    /// Of a cash dividend: its place in history.
    17 record_date set_record_date: Date = Date::NONE,
}

const fn bits(fields: &[u32]) -> u32 {
    let (mut mask, mut at) = (0, 0);
    while at < fields.len() {
        mask |= 1 << fields[at];
        at += 1;
    }
    mask
}

/// Fields that only actions have.
const OF_ACTIONS: u32 = bits(&[13, 14, 15, 16, 17]);

impl Changes {
    /// The first value that no trade may have (rule 4, form).
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self) -> Result<(), Reason> {
        let below = |value: Option<i64>, least: i64| value.is_some_and(|value| value < least);
        if below(self.quantity_e8(), 1) {
            return Err(Reason::BadQuantity);
        }
        if below(self.price_e8(), 0) {
            return Err(Reason::BadPrice);
        }
        if below(self.fees_e8(), 0) {
            return Err(Reason::BadFees);
        }
        if below(self.consideration_e8(), 0) {
            return Err(Reason::BadConsideration);
        }
        if below(self.fx_to_base_e8(), 1) {
            return Err(Reason::BadRate);
        }
        // Each by itself, for a later correct may hide it until that is cancelled.
        let no_term = |value: Option<u32>| value.is_some_and(|term| !(1..=SPLIT_TERM_MAX).contains(&term));
        if no_term(self.numerator()) || no_term(self.denominator()) {
            return Err(Reason::BadTerms);
        }
        if below(self.cash_e8(), 0) || below(self.cash_in_lieu_e8(), 0) {
            return Err(Reason::BadPrice);
        }
        if self.effective_date() == Some(Date::NONE) {
            return Err(Reason::BadDate);
        }
        Ok(())
    }

    /// Digest of which fields are changed to what.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let amounts = [self.quantity_e8, self.price_e8, self.fees_e8, self.consideration_e8];
        let wide = amounts.into_iter().chain([self.fx_to_base_e8, self.executed_at_ns]);
        let hash = wide.fold(u64::from(self.fields), |hash, value| digest::mix(hash, value as u64));
        let of_actions = [
            u64::from(self.numerator) << 32 | u64::from(self.denominator),
            self.cash_e8 as u64,
            self.cash_in_lieu_e8 as u64,
            u64::from(self.record_date.0 as u32),
        ];
        let is_of_action = self.fields & OF_ACTIONS != 0;
        let hash = of_actions.into_iter().filter(|_| is_of_action).fold(hash, digest::mix);
        let hash = digest::mix(hash, self.lot.0 as u64);
        let hash = digest::mix(hash, u64::from(self.currency) << 32 | u64::from(self.sub_account));
        let hash = digest::mix(hash, u64::from(self.contract) << 32 | u64::from(self.effective_date.0 as u32));
        digest::mix(hash, (self.side as u64) << 8 | self.trade_type as u64)
    }

    /// Whether a trade has all that is changed.
    #[must_use]
    pub fn fits_trade(&self) -> bool {
        self.fields & OF_ACTIONS == 0
    }

    /// Whether an action like this one has all that is changed.
    #[must_use]
    pub fn fits_action(&self, action: &ActionInput) -> bool {
        // Effective date and rate, and ...
        let fields = bits(&[5, 10])
            | match action.kind {
                ActionKind::Split | ActionKind::SpinOff => bits(&[13, 14, 16]),
                ActionKind::Merger if action.to_instrument != NO_NAME => bits(&[13, 14, 15, 16]),
                ActionKind::CashDividend => bits(&[15, 17]),
                ActionKind::ReturnOfCapital | ActionKind::Merger => bits(&[15]),
                ActionKind::Reset => bits(&[3, 8]),
                ActionKind::SymbolChange => 0,
            };
        self.fields & !fields == 0
    }

    /// Lays the changes over an action that has them.
    pub fn lay_over_action(&self, input: &mut ActionInput) {
        fn put<T>(field: &mut T, change: Option<T>) {
            if let Some(value) = change {
                *field = value;
            }
        }
        put(&mut input.numerator, self.numerator());
        put(&mut input.denominator, self.denominator());
        put(&mut input.cash_e8, self.cash_e8().or(self.price_e8()));
        put(&mut input.cash_in_lieu_e8, self.cash_in_lieu_e8());
        put(&mut input.record_date, self.record_date());
        put(&mut input.effective_date, self.effective_date());
        put(&mut input.contract, self.contract());
        put(&mut input.fx_to_base_e8, self.fx_to_base_e8());
    }

    /// Lays the changes over a trade. A date without a time brings the end of that date with it.
    pub fn lay_over(&self, input: &mut TradeInput) {
        fn put<T>(field: &mut T, change: Option<T>) {
            if let Some(value) = change {
                *field = value;
            }
        }
        put(&mut input.side, self.side());
        put(&mut input.quantity_e8, self.quantity_e8());
        put(&mut input.effective_date, self.effective_date());
        put(&mut input.executed_at_ns, self.executed_at_ns().or(self.effective_date().map(Date::end_ns)));
        put(&mut input.lot, self.lot());
        put(&mut input.contract, self.contract());
        put(&mut input.sub_account, self.sub_account());
        if input.kind == TradeKind::Transfer {
            // It moves lots as they are, at no price and in no currency (rule 16).
            return;
        }
        put(&mut input.trade_type, self.trade_type());
        put(&mut input.price_e8, self.price_e8());
        put(&mut input.fees_e8, self.fees_e8());
        put(&mut input.consideration_e8, self.consideration_e8());
        put(&mut input.fx_to_base_e8, self.fx_to_base_e8());
        put(&mut input.currency, self.currency());
    }
}

/// A cancel or a correct as accepted by a door: complete, validated in form, every name interned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmendInput {
    /// Its own id, unique among the ids of trades and amendments of its namespace.
    pub amend_id: TradeId,
    /// Hash of (namespace, own id).
    pub hash: TradeHash,
    /// Interned namespace of both ids.
    pub namespace: NameId,
    /// Cancel or correct.
    pub kind: AmendKind,
    /// Id of the trade, action or amendment that it amends.
    pub target_id: TradeId,
    /// Hash of (namespace, target id).
    pub target: TradeHash,
    /// Execution time, UTC nanoseconds; [`NO_TIME`] where the sender gave none.
    pub executed_at_ns: i64,
    /// Order within the source; stamped by the door where the sender gave none.
    pub source_order: u64,
    /// The account that the sender names, or `NO_NAME`. Of a correct of a trade it is the one that the trade has then;
    /// others can only repeat it.
    pub account: NameId,
    /// The instrument that the sender names, or `NO_NAME`; as for the account.
    pub instrument: NameId,
    /// What a correct changes; nothing for a cancel.
    pub changes: Changes,
    /// Interned user, or `NO_NAME`.
    pub user: NameId,
    /// Correlation id; the door makes one where the sender gave none.
    pub correlation: TradeId,
}

/// The order in which corrects of one trade are laid over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AmendKey {
    /// Execution time.
    pub executed_at_ns: i64,
    /// Order within the source.
    pub source_order: u64,
    /// Own id, compared as bytes.
    pub amend_id: TradeId,
    /// Own hash.
    pub hash: TradeHash,
}

impl AmendKey {
    /// Below every other.
    pub const NONE: Self =
        Self { executed_at_ns: i64::MIN, source_order: 0, amend_id: TradeId::EMPTY, hash: TradeHash::NONE };
}

impl AmendInput {
    /// Lays a correct over a trade, with the account and the instrument that it names.
    pub fn lay_over(&self, input: &mut TradeInput) {
        for (name, field) in [(self.account, &mut input.account), (self.instrument, &mut input.instrument)] {
            if name != NO_NAME {
                *field = name;
            }
        }
        self.changes.lay_over(input);
    }

    /// Its place among the corrects of its target.
    #[inline]
    #[must_use]
    pub fn key(&self) -> AmendKey {
        AmendKey {
            executed_at_ns: self.executed_at_ns,
            source_order: self.source_order,
            amend_id: self.amend_id,
            hash: self.hash,
        }
    }
}
