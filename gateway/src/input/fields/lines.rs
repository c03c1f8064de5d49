//! From checked fields to lines: one function a type.

use super::*;

impl Fields<'_> {
    pub(super) fn trade(&mut self) -> Result<TradeLine, LineError> {
        Ok(TradeLine {
            trade_id: self.required_text(Field::TradeId, check_id)?,
            namespace: None,
            account: self.required_text(Field::Account, check_name)?,
            instrument: self.required_text(Field::Instrument, check_name)?,
            kind: TradeKind::Trade,
            to_account: None,
            side: self.side()?,
            trade_type: self.trade_type()?,
            quantity_e8: self.required_decimal(Field::Quantity)?,
            price_e8: self.decimal(Field::Price)?,
            consideration_e8: self.decimal(Field::Consideration)?,
            currency: self.text(Field::Currency, check_id)?,
            fx_to_base_e8: self.decimal(Field::FxToBase)?,
            sub_account: self.text(Field::SubAccount, check_id)?,
            acquired: None,
            fees_e8: self.decimal(Field::Fees)?.unwrap_or(0),
            effective_date: self.date(Field::EffectiveDate)?,
            executed_at_ns: self.timestamp(Field::ExecutedAt)?,
            source_order: self.integer(Field::SourceOrder)?,
            lot: self.text(Field::Lot, check_id)?,
            contract_id: self.text(Field::ContractId, check_id)?,
            correlation_id: self.text(Field::CorrelationId, check_id)?,
            user_id: self.text(Field::UserId, check_id)?,
        })
    }

    /// A lot from elsewhere: a trade that buys, or sells short where the quantity is negative.
    pub(super) fn open_lot(&mut self) -> Result<TradeLine, LineError> {
        let signed_e8 = self.required_decimal(Field::Quantity)?;
        Ok(TradeLine {
            trade_id: self.required_text(Field::TradeId, check_id)?,
            namespace: None,
            account: self.required_text(Field::Account, check_name)?,
            instrument: self.required_text(Field::Instrument, check_name)?,
            kind: TradeKind::OpenLot,
            to_account: None,
            side: if signed_e8 < 0 { Side::SellShort } else { Side::Buy },
            trade_type: TradeType::Any,
            quantity_e8: signed_e8.abs(),
            price_e8: self.decimal(Field::Price)?,
            consideration_e8: Some(self.required_decimal(Field::Consideration)?),
            currency: self.text(Field::Currency, check_id)?,
            fx_to_base_e8: self.decimal(Field::FxToBase)?,
            sub_account: self.text(Field::SubAccount, check_id)?,
            acquired: Some(self.date(Field::Acquired)?),
            fees_e8: 0,
            effective_date: self.date(Field::EffectiveDate)?,
            executed_at_ns: self.timestamp(Field::ExecutedAt)?,
            source_order: self.integer(Field::SourceOrder)?,
            lot: None,
            contract_id: self.text(Field::ContractId, check_id)?,
            correlation_id: self.text(Field::CorrelationId, check_id)?,
            user_id: self.text(Field::UserId, check_id)?,
        })
    }

    /// Lots go to another account: long ones, or short ones where the quantity is negative.
    pub(super) fn transfer(&mut self) -> Result<TradeLine, LineError> {
        let signed_e8 = self.required_decimal(Field::Quantity)?;
        Ok(TradeLine {
            trade_id: self.required_text(Field::TradeId, check_id)?,
            namespace: None,
            account: self.required_text(Field::Account, check_name)?,
            instrument: self.required_text(Field::Instrument, check_name)?,
            kind: TradeKind::Transfer,
            to_account: Some(self.required_text(Field::ToAccount, check_name)?),
            side: if signed_e8 < 0 { Side::Buy } else { Side::Sell },
            trade_type: TradeType::Any,
            quantity_e8: signed_e8.abs(),
            price_e8: None,
            consideration_e8: None,
            currency: None,
            fx_to_base_e8: None,
            sub_account: self.text(Field::SubAccount, check_id)?,
            acquired: None,
            fees_e8: 0,
            effective_date: self.date(Field::EffectiveDate)?,
            executed_at_ns: self.timestamp(Field::ExecutedAt)?,
            source_order: self.integer(Field::SourceOrder)?,
            lot: self.text(Field::Lot, check_id)?,
            contract_id: self.text(Field::ContractId, check_id)?,
            correlation_id: self.text(Field::CorrelationId, check_id)?,
            user_id: self.text(Field::UserId, check_id)?,
        })
    }

    pub(super) fn contract(&mut self) -> Result<ContractLine, LineError> {
        Ok(ContractLine {
            contract_id: self.required_text(Field::ContractId, check_id)?,
            account: self.scope(Field::Account)?,
            instrument: self.scope(Field::Instrument)?,
            lot_method: self.choice(Field::LotMethod, LotMethod::parse, &LotMethod::ALL.map(LotMethod::as_str))?,
            allow_short: self.boolean(Field::AllowShort)?,
            short_rank: self.term(Field::ShortRank, ShortRank::parse, ShortRank::ALL, ShortRank::as_str)?,
            lot_scope: self.term(Field::LotScope, LotScope::parse, LotScope::ALL, LotScope::as_str)?,
            fees_rule: self.term(Field::FeesRule, FeesRule::parse, FeesRule::ALL, FeesRule::as_str)?,
            tax_rates: self.tax_rates()?,
            long_term_days: self.days(Field::LongTermDays, 1..=LONG_TERM_DAYS_MAX)?,
            wash_sale: self.term(Field::WashSale, WashSale::parse, WashSale::ALL, WashSale::as_str)?,
            wash_window_days: self.days(Field::WashWindowDays, 0..=WASH_WINDOW_DAYS_MAX)?,
            taxpayer: self.text(Field::Taxpayer, check_name)?,
            locked_changes: self.term(
                Field::LockedChanges,
                LockedChanges::parse,
                LockedChanges::ALL,
                LockedChanges::as_str,
            )?,
            effective_date: self.date(Field::EffectiveDate)?,
        })
    }

    pub(super) fn instrument(&mut self) -> Result<InstrumentLine, LineError> {
        Ok(InstrumentLine {
            instrument: self.required_text(Field::Instrument, check_name)?,
            currency: self.text(Field::Currency, check_id)?,
            multiplier_e8: self.decimal(Field::Multiplier)?,
            tick_e8: self.decimal(Field::Tick)?,
            isin: self.security_id(Field::Isin, text::isin, "an ISIN such as US0378331005")?,
            cusip: self.security_id(Field::Cusip, text::cusip, "a CUSIP such as 037833100")?,
            price_min_e8: self.decimal(Field::PriceMin)?,
            price_max_e8: self.decimal(Field::PriceMax)?,
        })
    }

    pub(super) fn mark(&mut self) -> Result<MarkLine, LineError> {
        let kinds = [MarkKind::OfficialClose, MarkKind::Last, MarkKind::BidAsk, MarkKind::PreviousClose];
        let instrument = self.required_text(Field::Instrument, check_name)?;
        let kind = self
            .choice(Field::Kind, MarkKind::parse, &kinds.map(MarkKind::as_str))?
            .ok_or_else(|| missing(Field::Kind))?;
        let (wanted, unwanted): (&[Field], &[Field]) = match kind {
            MarkKind::BidAsk => (&[Field::Bid, Field::Ask], &[Field::Price]),
            _ => (&[Field::Price], &[Field::Bid, Field::Ask]),
        };
        if let Some(field) = unwanted.iter().find(|f| self.object.values[**f as usize] != Raw::Absent) {
            let names: Vec<&str> = wanted.iter().map(|f| f.name()).collect();
            let message = format!("a mark of kind {} has {} instead", kind.as_str(), names.join(" and "));
            return Err(LineError::of(field.name(), Code::ConflictingFields, message));
        }
        let price_e8 = self.required_decimal(wanted[0])?;
        let ask_e8 = match wanted.get(1) {
            Some(ask) => self.required_decimal(*ask)?,
            None => 0,
        };
        Ok(MarkLine { instrument, kind, price_e8, ask_e8, at_ns: self.mark_time()? })
    }

    pub(super) fn fx(&mut self) -> Result<FxLine, LineError> {
        let given = self.string(Field::Pair)?.ok_or_else(|| missing(Field::Pair))?;
        let pair = Pair::parse(&given).ok_or_else(|| {
            let message = format!("{} is no pair of currencies such as EUR/USD", quoted(&given));
            LineError::of(Field::Pair.name(), Code::BadText, message)
        })?;
        Ok(FxLine { pair, rate_e8: self.required_decimal(Field::Rate)?, at_ns: self.mark_time()? })
    }
}
