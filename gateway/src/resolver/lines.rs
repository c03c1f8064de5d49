//! From a line of input to the command that it is: `replay` and the HTTP door send the same for the same line.

use lotbook_core::action_input::ActionInput;
use lotbook_core::amend::AmendInput;
use lotbook_core::amount::ONE_E8;
use lotbook_core::command::{InstrumentTerms, Mark, NO_PRICE, NameClass, TradeInput};
use lotbook_core::date::Date;
use lotbook_core::id::{TradeHash, TradeId};
use lotbook_core::rules::{ContractTerms, Rules};
use lotbook_core::wide_event::LockInput;
use lotbook_engine::NameError;

use super::{AmendWords, Resolver, TradeWords};
use crate::input::{ActionLine, AmendLine, ContractLine, InstrumentLine, LockLine, MarkLine, TradeLine};

/// What a door stamps on a line that does not say it.
#[derive(Clone, Copy, Debug)]
pub struct Stamps<'a> {
    /// Namespace of ids.
    pub namespace: &'a str,
    /// Execution time of a trade.
    pub executed_at_ns: i64,
    /// Order within the source.
    pub source_order: u64,
    /// Now: in correlation ids that are made.
    pub now_ns: i64,
}

impl Resolver {
    /// The command of a trade, opening lot or transfer.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn trade_line(&mut self, line: &TradeLine, stamps: &Stamps<'_>) -> Result<TradeInput, NameError> {
        let words = TradeWords {
            trade_id: &line.trade_id,
            namespace: line.namespace.as_deref().unwrap_or(stamps.namespace),
            account: &line.account,
            instrument: &line.instrument,
            contract: line.contract_id.as_deref(),
            user: line.user_id.as_deref(),
            correlation: line.correlation_id.as_deref(),
            lot: line.lot.as_deref(),
            sub_account: line.sub_account.as_deref(),
            currency: line.currency.as_deref(),
            kind: line.kind,
            to_account: line.to_account.as_deref(),
            side: line.side,
            trade_type: line.trade_type,
            quantity_e8: line.quantity_e8,
            price_e8: line.price_e8,
            consideration_e8: line.consideration_e8,
            fx_to_base_e8: line.fx_to_base_e8,
            acquired: line.acquired,
            fees_e8: line.fees_e8,
            effective_date: line.effective_date,
            executed_at_ns: line.executed_at_ns.unwrap_or(stamps.executed_at_ns),
            source_order: line.source_order.unwrap_or(stamps.source_order),
        };
        self.trade(&words, stamps.now_ns)
    }

    /// The command of a cancel or correct.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn amend_line(&mut self, line: &AmendLine, stamps: &Stamps<'_>) -> Result<AmendInput, NameError> {
        let words = AmendWords {
            amend_id: &line.amend_id,
            namespace: line.namespace.as_deref().unwrap_or(stamps.namespace),
            kind: line.kind,
            target_id: &line.target_id,
            account: line.account.as_deref(),
            instrument: line.instrument.as_deref(),
            changes: &line.changes,
            executed_at_ns: line.executed_at_ns,
            source_order: line.source_order.unwrap_or(stamps.source_order),
            user: line.user_id.as_deref(),
            correlation: line.correlation_id.as_deref(),
        };
        self.amend(&words, stamps.now_ns)
    }

    /// The command of a corporate action or a reset.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn action_line(&mut self, line: &ActionLine, stamps: &Stamps<'_>) -> Result<ActionInput, NameError> {
        Ok(ActionInput {
            action_id: TradeId::new(line.action_id.as_bytes()).ok_or(NameError::Length)?,
            hash: TradeHash::new(stamps.namespace.as_bytes(), line.action_id.as_bytes()),
            namespace: self.name(NameClass::Namespace, stamps.namespace)?,
            kind: line.kind,
            instrument: self.name(NameClass::Instrument, &line.instrument)?,
            to_instrument: self.optional(NameClass::Instrument, line.to_instrument.as_deref())?,
            contract: self.optional(NameClass::Contract, line.contract_id.as_deref())?,
            numerator: line.numerator,
            denominator: line.denominator,
            cash_e8: line.cash_e8,
            cash_in_lieu_e8: line.cash_in_lieu_e8.unwrap_or(NO_PRICE),
            basis_fraction_e8: line.basis_fraction_e8,
            fx_to_base_e8: line.fx_to_base_e8.unwrap_or(ONE_E8),
            effective_date: line.effective_date,
            record_date: line.record_date.unwrap_or(Date::NONE),
            user: self.optional(NameClass::User, line.user_id.as_deref())?,
            correlation: self.correlation(line.correlation_id.as_deref(), stamps.now_ns)?,
        })
    }

    /// A contract's rules; `defaults` where it says nothing.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn contract_line(&mut self, line: &ContractLine, defaults: &Rules) -> Result<ContractTerms, NameError> {
        let rules = Rules {
            method: line.lot_method.unwrap_or(defaults.method),
            allow_short: line.allow_short.unwrap_or(defaults.allow_short),
            short_rank: line.short_rank.unwrap_or(defaults.short_rank),
            lot_scope: line.lot_scope.unwrap_or(defaults.lot_scope),
            fees_rule: line.fees_rule.unwrap_or(defaults.fees_rule),
            tax_rates: line.tax_rates.or(defaults.tax_rates),
            long_term_days: line.long_term_days.unwrap_or(defaults.long_term_days),
            wash_sale: line.wash_sale.unwrap_or(defaults.wash_sale),
            wash_window_days: line.wash_window_days.unwrap_or(defaults.wash_window_days),
            taxpayer: self.optional(NameClass::Account, line.taxpayer.as_deref())?,
            locked_changes: line.locked_changes.unwrap_or(defaults.locked_changes),
        };
        Ok(ContractTerms {
            contract: self.name(NameClass::Contract, &line.contract_id)?,
            account: self.optional(NameClass::Account, line.account.as_deref())?,
            instrument: self.optional(NameClass::Instrument, line.instrument.as_deref())?,
            rules,
            effective_date: line.effective_date,
        })
    }

    /// An instrument's terms.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn instrument_line(&mut self, line: &InstrumentLine) -> Result<InstrumentTerms, NameError> {
        Ok(InstrumentTerms {
            instrument: self.name(NameClass::Instrument, &line.instrument)?,
            currency: self.optional(NameClass::Currency, line.currency.as_deref())?,
            multiplier_e8: line.multiplier_e8.unwrap_or(ONE_E8),
            tick_e8: line.tick_e8.unwrap_or(0),
            price_min_e8: line.price_min_e8.unwrap_or(0),
            price_max_e8: line.price_max_e8.unwrap_or(0),
            isin: line.isin.unwrap_or_default(),
            cusip: line.cusip.unwrap_or_default(),
        })
    }

    /// A price for valuation.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn mark_line(&mut self, line: &MarkLine) -> Result<Mark, NameError> {
        let instrument = self.name(NameClass::Instrument, &line.instrument)?;
        let MarkLine { kind, price_e8, ask_e8, at_ns, .. } = *line;
        Ok(Mark { instrument, kind, price_e8, ask_e8, at_ns })
    }

    /// A period lock.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn lock_line(&mut self, line: &LockLine) -> Result<LockInput, NameError> {
        let account = self.optional(NameClass::Account, line.account.as_deref())?;
        Ok(LockInput { account, through: line.through })
    }
}
