//! Parts of payloads read back: a contract's rules, a correction.

use super::*;
use crate::closed::Adjusted;
use crate::mark::Valued;

pub(super) fn contract_rules(v: &ArchivedContractV1) -> Option<Rules> {
    let rates = TaxRates { short_e8: v.tax_rate_short_e8.to_native(), long_e8: v.tax_rate_long_e8.to_native() };
    Some(Rules {
        method: LotMethod::from_u8(v.method)?,
        allow_short: v.allow_short != 0,
        short_rank: ShortRank::from_u8(v.short_rank)?,
        lot_scope: LotScope::from_u8(v.lot_scope)?,
        fees_rule: FeesRule::from_u8(v.fees_rule)?,
        tax_rates: (v.has_tax_rates != 0).then_some(rates),
        long_term_days: v.long_term_days.to_native(),
        wash_sale: WashSale::from_u8(v.wash_sale)?,
        wash_window_days: v.wash_window_days.to_native(),
        taxpayer: v.taxpayer.to_native(),
        locked_changes: LockedChanges::from_u8(v.locked_changes)?,
    })
}

fn valued(v: &ArchivedCorrectedV1) -> Option<Valued> {
    let (price_e8, multiplier_e8) = (v.mark_price_e8.to_native(), v.multiplier_e8.to_native());
    (multiplier_e8 > 0).then_some(Valued { price_e8, multiplier_e8 })
}

pub(super) fn corrected(v: &ArchivedCorrectedV1) -> CorrectedEvent {
    CorrectedEvent {
        origin: (&v.origin).into(),
        position: v.position.to_native(),
        account: v.account.to_native(),
        instrument: v.instrument.to_native(),
        version: v.version.to_native(),
        base_version: v.base_version.to_native(),
        cause: TradeHash(v.cause.to_native()),
        cause_sequence: v.cause_sequence.to_native(),
        late_trades: v.late_trades.to_native(),
        breaks: v.breaks.to_native(),
        seen: v.seen.to_native(),
        tail: v.tail.to_native(),
        left: v.left.to_native(),
        before: (&v.before).into(),
        after: (&v.after).into(),
        body_log_id: v.body_log_id.to_native(),
        body_address: v.body_address.to_native(),
        body_sequence: v.body_sequence.to_native(),
        body_bytes: v.body_bytes.to_native(),
        body_digest: v.body_digest.to_native(),
        adjusted: Adjusted { through: Date(v.closed_through.to_native()), figures: (&v.adjusted).into() },
        valued: valued(v),
    }
}
