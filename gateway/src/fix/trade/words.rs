//! A FIX trade or amendment in a door's words: the FIX door and `replay` take the same from the same message.

use lotbook_core::command::{TradeKind, TradeType};
use lotbook_core::date::Date;

use super::amend::FixAmend;
use super::{FixTrade, FixTradeType};
use crate::input::ChangeWords;
use crate::resolver::{AmendWords, TradeWords};

impl FixTrade<'_> {
    /// The trade's words, with what the message leaves to the door. `base`: the base currency, to which the message may
    /// bring a rate.
    #[must_use]
    pub fn words<'w>(
        &'w self,
        namespace: &'w str,
        effective_date: Date,
        executed_at_ns: i64,
        base: Option<&str>,
    ) -> TradeWords<'w> {
        TradeWords {
            trade_id: self.trade_id,
            namespace,
            account: self.account,
            instrument: self.instrument,
            contract: None,
            user: None,
            correlation: self.correlation_id,
            lot: None,
            sub_account: None,
            currency: self.currency,
            kind: TradeKind::Trade,
            to_account: None,
            side: self.side.of_book(),
            trade_type: match self.trade_type {
                Some(FixTradeType::Decrease) => TradeType::Decrease,
                None => TradeType::Any,
            },
            quantity_e8: self.quantity_e8,
            price_e8: Some(self.price_e8),
            consideration_e8: self.consideration_e8,
            fx_to_base_e8: self.settlement.and_then(|settlement| settlement.to(base)),
            acquired: None,
            fees_e8: self.fees_e8,
            effective_date,
            executed_at_ns,
            source_order: self.seq,
        }
    }
}

impl FixAmend<'_> {
    /// What it changes, with a rate to the base currency where it brings one.
    #[must_use]
    pub fn change_words(&self, base: Option<&str>) -> ChangeWords {
        let fx_to_base_e8 = self.settlement.and_then(|settlement| settlement.to(base));
        ChangeWords { fx_to_base_e8, ..self.changes() }
    }

    /// The amendment's words.
    #[must_use]
    pub fn words<'w>(&'w self, namespace: &'w str, changes: &'w ChangeWords) -> AmendWords<'w> {
        AmendWords {
            amend_id: self.amend_id,
            namespace,
            kind: self.kind,
            target_id: self.target_id,
            account: self.account,
            instrument: Some(self.instrument),
            changes,
            executed_at_ns: self.executed_at_ns,
            source_order: self.seq,
            user: None,
            correlation: self.correlation_id,
        }
    }
}
