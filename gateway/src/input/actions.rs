//! Lines that reach into many positions: corporate actions, resets, period locks.

use lotbook_core::action_input::ActionKind;
use lotbook_core::date::Date;
use lotbook_core::limits::NAME_BYTES_MAX;

use super::error::{Code, LineError};
use super::fields::{Field, Fields, Raw, missing};
use super::text::{check_id, check_name};

/// A corporate action or a reset as a file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionLine {
    /// Id: as given, else made of action, instrument and date.
    pub action_id: String,
    /// Kind.
    pub kind: ActionKind,
    /// Instrument.
    pub instrument: String,
    /// Instrument that it leads to.
    pub to_instrument: Option<String>,
    /// Of a reset: the contract whose positions it strikes; `None`: all.
    pub contract_id: Option<String>,
    /// New units of a split, 0 where there are none.
    pub numerator: u32,
    /// Old units of a split, 0 where there are none.
    pub denominator: u32,
    /// Cash a unit, or the reset's price, at 10^-8; any sign, for the book judges it.
    pub cash_e8: i64,
    /// Price at which fractions are paid out, at 10^-8.
    pub cash_in_lieu_e8: Option<i64>,
    /// Of a spin-off: the part of the basis that goes with it, at 10^-8.
    pub basis_fraction_e8: i64,
    /// Rate to the base currency at 10^-8; one where absent.
    pub fx_to_base_e8: Option<i64>,
    /// Date on which it takes effect.
    pub effective_date: Date,
    /// Of a cash dividend: the date on which the position counts; `None`: the effective date.
    pub record_date: Option<Date>,
    /// Correlation id.
    pub correlation_id: Option<String>,
    /// User.
    pub user_id: Option<String>,
}

/// A wish to close history up to and with a date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockLine {
    /// Account, `None` for all.
    pub account: Option<String>,
    /// Up to and with this date.
    pub through: Date,
}

pub(super) const ACTION_FIELDS: &[Field] = &[
    Field::ActionId,
    Field::Action,
    Field::Instrument,
    Field::ToInstrument,
    Field::Numerator,
    Field::Denominator,
    Field::CashPerUnit,
    Field::CashInLieuPrice,
    Field::BasisFraction,
    Field::FxToBase,
    Field::RecordDate,
    Field::EffectiveDate,
    Field::CorrelationId,
    Field::UserId,
];

pub(super) const RESET_FIELDS: &[Field] = &[
    Field::ActionId,
    Field::ContractId,
    Field::Instrument,
    Field::Price,
    Field::FxToBase,
    Field::EffectiveDate,
    Field::CorrelationId,
    Field::UserId,
];

pub(super) const LOCK_FIELDS: &[Field] = &[Field::Account, Field::Through];

/// What an action of a kind must say, and what it may say beside that; the rest says nothing about it.
fn terms_of(kind: ActionKind, leads_on: bool) -> (&'static [Field], &'static [Field]) {
    use Field::{BasisFraction, CashInLieuPrice, CashPerUnit, Denominator, Numerator, RecordDate, ToInstrument};
    match kind {
        ActionKind::Split => (&[Numerator, Denominator], &[CashInLieuPrice]),
        ActionKind::ReturnOfCapital => (&[CashPerUnit], &[]),
        ActionKind::CashDividend => (&[CashPerUnit], &[RecordDate]),
        ActionKind::Merger if leads_on => (&[ToInstrument, Numerator, Denominator], &[CashPerUnit, CashInLieuPrice]),
        ActionKind::Merger => (&[CashPerUnit], &[]),
        ActionKind::SymbolChange => (&[ToInstrument], &[]),
        ActionKind::SpinOff => (&[ToInstrument, Numerator, Denominator, BasisFraction], &[CashInLieuPrice]),
        ActionKind::Reset => (&[], &[]),
    }
}

impl Fields<'_> {
    pub(super) fn action(&mut self) -> Result<ActionLine, LineError> {
        let kinds: Vec<&str> =
            ActionKind::ALL.iter().filter(|kind| **kind != ActionKind::Reset).map(|kind| kind.as_str()).collect();
        let kind = self.choice(Field::Action, ActionKind::parse, &kinds)?.ok_or_else(|| missing(Field::Action))?;
        self.check_terms(kind)?;
        let instrument = self.required_text(Field::Instrument, check_name)?;
        let effective_date = self.date(Field::EffectiveDate)?;
        let action_id = self.text(Field::ActionId, check_id)?;
        let made = || format!("{}:{instrument}:{effective_date}", kind.as_str());
        Ok(ActionLine {
            action_id: some_id(action_id, made)?,
            kind,
            to_instrument: self.text(Field::ToInstrument, check_name)?,
            contract_id: None,
            numerator: self.split_term(Field::Numerator)?,
            denominator: self.split_term(Field::Denominator)?,
            cash_e8: self.decimal(Field::CashPerUnit)?.unwrap_or(0),
            cash_in_lieu_e8: self.decimal(Field::CashInLieuPrice)?,
            basis_fraction_e8: self.decimal(Field::BasisFraction)?.unwrap_or(0),
            fx_to_base_e8: self.decimal(Field::FxToBase)?,
            record_date: self.optional_date(Field::RecordDate)?,
            correlation_id: self.text(Field::CorrelationId, check_id)?,
            user_id: self.text(Field::UserId, check_id)?,
            instrument,
            effective_date,
        })
    }

    pub(super) fn reset(&mut self) -> Result<ActionLine, LineError> {
        let instrument = self.required_text(Field::Instrument, check_name)?;
        let effective_date = self.date(Field::EffectiveDate)?;
        let contract_id = self.text(Field::ContractId, check_id)?;
        let action_id = self.text(Field::ActionId, check_id)?;
        let made = || match &contract_id {
            Some(contract) => format!("reset:{instrument}:{effective_date}:{contract}"),
            None => format!("reset:{instrument}:{effective_date}"),
        };
        Ok(ActionLine {
            action_id: some_id(action_id, made)?,
            kind: ActionKind::Reset,
            to_instrument: None,
            numerator: 0,
            denominator: 0,
            cash_e8: self.required_decimal(Field::Price)?,
            cash_in_lieu_e8: None,
            basis_fraction_e8: 0,
            fx_to_base_e8: self.decimal(Field::FxToBase)?,
            record_date: None,
            correlation_id: self.text(Field::CorrelationId, check_id)?,
            user_id: self.text(Field::UserId, check_id)?,
            contract_id,
            instrument,
            effective_date,
        })
    }

    pub(super) fn period_lock(&mut self) -> Result<LockLine, LineError> {
        if !self.has(Field::Account) {
            return Err(missing(Field::Account));
        }
        Ok(LockLine { account: self.scope(Field::Account)?, through: self.date(Field::Through)? })
    }

    /// A term that an action does not have would otherwise be taken for one that it does.
    fn check_terms(&self, kind: ActionKind) -> Result<(), LineError> {
        let (required, optional) = terms_of(kind, self.has(Field::ToInstrument));
        if let Some(field) = required.iter().find(|field| !self.has(**field)) {
            return Err(missing(*field));
        }
        const TERMS: [Field; 7] = [
            Field::ToInstrument,
            Field::Numerator,
            Field::Denominator,
            Field::CashPerUnit,
            Field::CashInLieuPrice,
            Field::BasisFraction,
            Field::RecordDate,
        ];
        let said = |field: &&Field| required.contains(field) || optional.contains(field);
        match TERMS.iter().find(|field| self.has(**field) && !said(field)) {
            Some(field) => {
                let message = format!("is nothing that a {} has", kind.as_str());
                Err(LineError::of(field.name(), Code::ConflictingFields, message))
            }
            None => Ok(()),
        }
    }

    pub(super) fn has(&self, field: Field) -> bool {
        *self.value(field) != Raw::Absent
    }

    /// A term of a split: a whole number, with or without quotes.
    pub(super) fn split_term(&mut self, field: Field) -> Result<u32, LineError> {
        let quoted = match self.value(field) {
            Raw::Text(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        };
        let given = match quoted {
            Some(number) => Some(number),
            None => self.integer(field)?,
        };
        u32::try_from(given.unwrap_or(0))
            .map_err(|_| LineError::of(field.name(), Code::OutOfRange, "is beyond 4294967295, the largest term"))
    }

    pub(super) fn optional_date(&mut self, field: Field) -> Result<Option<Date>, LineError> {
        if self.has(field) { self.date(field).map(Some) } else { Ok(None) }
    }
}

fn some_id(given: Option<String>, made: impl Fn() -> String) -> Result<String, LineError> {
    let id = given.unwrap_or_else(made);
    if id.len() <= NAME_BYTES_MAX {
        return Ok(id);
    }
    let message = format!("is missing, and {id} has more than {NAME_BYTES_MAX} characters");
    Err(LineError::of("action_id", Code::TooLong, message))
}
