//! Lines that amend: cancels, corrects, and an operator's resolution.

use std::fmt::Write as _;

use lotbook_core::amend::AmendKind;
use lotbook_core::id::TradeHash;
use lotbook_core::limits::NOTE_BYTES_MAX;

use super::{Field, Fields, Raw, missing};
use crate::input::error::{Code, LineError};
use crate::input::text::{check_id, check_name};
use crate::input::{AmendLine, ChangeWords, ResolveLine};

/// What a correct may change, and what it may repeat of its target.
pub(super) const CORRECT_FIELDS: &[Field] = &[
    Field::TradeId,
    Field::Corrects,
    Field::Account,
    Field::Instrument,
    Field::Side,
    Field::TradeType,
    Field::Quantity,
    Field::Price,
    Field::Consideration,
    Field::Currency,
    Field::FxToBase,
    Field::SubAccount,
    Field::Numerator,
    Field::Denominator,
    Field::CashPerUnit,
    Field::CashInLieuPrice,
    Field::RecordDate,
    Field::Fees,
    Field::EffectiveDate,
    Field::ExecutedAt,
    Field::Lot,
    Field::ContractId,
    Field::At,
    Field::SourceOrder,
    Field::CorrelationId,
    Field::UserId,
];

pub(super) const CANCEL_FIELDS: &[Field] = &[
    Field::TradeId,
    Field::Cancels,
    Field::Account,
    Field::Instrument,
    Field::ExecutedAt,
    Field::At,
    Field::SourceOrder,
    Field::CorrelationId,
    Field::UserId,
];

pub(super) const RESOLVE_FIELDS: &[Field] =
    &[Field::Account, Field::Instrument, Field::UserId, Field::Reason, Field::Version, Field::CorrelationId];

impl Fields<'_> {
    pub(super) fn cancel(&mut self) -> Result<AmendLine, LineError> {
        // A cancel changes nothing, so a time can only be its own.
        let (at_ns, executed_ns) = (self.timestamp(Field::At)?, self.timestamp(Field::ExecutedAt)?);
        if at_ns.is_some() && executed_ns.is_some() {
            return Err(LineError::of("at", Code::ConflictingFields, "and executed_at say the same of a cancel"));
        }
        let target_id = self.required_text(Field::Cancels, check_id)?;
        let amend_id =
            self.text(Field::TradeId, check_id)?.unwrap_or_else(|| made_id(AmendKind::Cancel, &target_id, ""));
        self.amendment(AmendKind::Cancel, amend_id, target_id, at_ns.or(executed_ns), ChangeWords::default())
    }

    pub(super) fn correct(&mut self) -> Result<AmendLine, LineError> {
        let target_id = self.required_text(Field::Corrects, check_id)?;
        let given = self.text(Field::TradeId, check_id)?;
        let changes = ChangeWords {
            side: match self.object.values[Field::Side as usize] {
                Raw::Absent => None,
                _ => Some(self.side()?),
            },
            trade_type: match self.object.values[Field::TradeType as usize] {
                Raw::Absent => None,
                _ => Some(self.trade_type()?),
            },
            quantity_e8: self.decimal(Field::Quantity)?,
            price_e8: self.decimal(Field::Price)?,
            consideration_e8: self.decimal(Field::Consideration)?,
            fees_e8: self.decimal(Field::Fees)?,
            fx_to_base_e8: self.decimal(Field::FxToBase)?,
            effective_date: match self.object.values[Field::EffectiveDate as usize] {
                Raw::Absent => None,
                _ => Some(self.date(Field::EffectiveDate)?),
            },
            executed_at_ns: self.timestamp(Field::ExecutedAt)?,
            lot: self.text(Field::Lot, check_id)?,
            contract_id: self.text(Field::ContractId, check_id)?,
            currency: self.text(Field::Currency, check_id)?,
            sub_account: self.text(Field::SubAccount, check_id)?,
            numerator: self.has(Field::Numerator).then(|| self.split_term(Field::Numerator)).transpose()?,
            denominator: self.has(Field::Denominator).then(|| self.split_term(Field::Denominator)).transpose()?,
            cash_e8: self.decimal(Field::CashPerUnit)?,
            cash_in_lieu_e8: self.decimal(Field::CashInLieuPrice)?,
            record_date: self.optional_date(Field::RecordDate)?,
        };
        let at_ns = self.timestamp(Field::At)?;
        let line = self.amendment(AmendKind::Correct, String::new(), target_id, at_ns, changes)?;
        if line.changes == ChangeWords::default() && line.account.is_none() && line.instrument.is_none() {
            return Err(LineError::line(Code::MissingField, "a correct names the fields that it changes"));
        }
        let amend_id = given.unwrap_or_else(|| {
            let mut words = line.changes.words();
            for (field, name) in [("account", &line.account), ("instrument", &line.instrument)] {
                if let Some(name) = name {
                    let _ = write!(words, "{field}={name};");
                }
            }
            made_id(AmendKind::Correct, &line.target_id, &words)
        });
        Ok(AmendLine { amend_id, ..line })
    }

    fn amendment(
        &mut self,
        kind: AmendKind,
        amend_id: String,
        target_id: String,
        executed_at_ns: Option<i64>,
        changes: ChangeWords,
    ) -> Result<AmendLine, LineError> {
        Ok(AmendLine {
            amend_id,
            namespace: None,
            kind,
            target_id,
            account: self.text(Field::Account, check_name)?,
            instrument: self.text(Field::Instrument, check_name)?,
            changes,
            executed_at_ns,
            source_order: self.integer(Field::SourceOrder)?,
            correlation_id: self.text(Field::CorrelationId, check_id)?,
            user_id: self.text(Field::UserId, check_id)?,
        })
    }

    pub(super) fn resolve(&mut self) -> Result<ResolveLine, LineError> {
        let account = self.required_text(Field::Account, check_name)?;
        let instrument = self.required_text(Field::Instrument, check_name)?;
        let user_id = self.required_text(Field::UserId, check_id)?;
        let reason = self.string(Field::Reason)?.ok_or_else(|| missing(Field::Reason))?;
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(missing(Field::Reason));
        }
        if reason.len() > NOTE_BYTES_MAX {
            let message = format!("has {} bytes; at most {NOTE_BYTES_MAX} are allowed", reason.len());
            return Err(LineError::of("reason", Code::TooLong, message));
        }
        Ok(ResolveLine {
            account,
            instrument,
            user_id,
            reason: reason.to_owned(),
            version: self.integer(Field::Version)?,
            correlation_id: self.text(Field::CorrelationId, check_id)?,
        })
    }
}

/// The id of an amendment that gave none: the same words give the same id, so a file that is read twice gives duplicates.
/// `CANCEL:<target>`, or `CORRECT:<target>:<hash of the changes>`; a target too long for that stands as `#` and its hash.
fn made_id(kind: AmendKind, target_id: &str, changes: &str) -> String {
    let tail = match kind {
        AmendKind::Cancel => String::new(),
        AmendKind::Correct => format!(":{:016x}", TradeHash::new(target_id.as_bytes(), changes.as_bytes()).0 as u64),
    };
    let head = kind.as_str().to_ascii_uppercase();
    let id = format!("{head}:{target_id}{tail}");
    if check_id(id.as_bytes()).is_ok() {
        return id;
    }
    format!("{head}:#{:032x}{}", TradeHash::new(b"", target_id.as_bytes()).0, &tail[..tail.len().min(12)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_say_what_they_amend_and_fit() {
        assert_eq!(made_id(AmendKind::Cancel, "t1", ""), "CANCEL:t1");
        let one = made_id(AmendKind::Correct, "t1", "price");
        assert!(one.starts_with("CORRECT:t1:"), "{one}");
        assert_ne!(one, made_id(AmendKind::Correct, "t1", "quantity"));
        assert_eq!(one, made_id(AmendKind::Correct, "t1", "price"));
        let long = "x".repeat(64);
        for kind in [AmendKind::Cancel, AmendKind::Correct] {
            let id = made_id(kind, &long, "price");
            assert!(id.len() <= 64, "{id}");
            assert_ne!(id, made_id(kind, &format!("y{}", "x".repeat(63)), "price"));
        }
    }
}
