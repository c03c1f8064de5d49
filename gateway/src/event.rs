//! What tools and streams ask of an event, whichever it is: when, whose, which position.

use lotbook_core::codec::kind;
use lotbook_core::event::{Class, Event, Reason};
use lotbook_core::id::NameId;

/// When the shard decided it, UTC nanoseconds; 0 where no door stamped it.
pub(crate) fn occurred_at_ns(event: &Event<'_>) -> i64 {
    event.origin().occurred_at_ns
}

/// Account and instrument of the position that it is about.
pub(crate) fn position_of(event: &Event<'_>) -> Option<(NameId, NameId)> {
    match event {
        Event::Trade(trade) => Some((trade.input.account, trade.input.instrument)),
        Event::Taken(taken) => Some((taken.account, taken.instrument)),
        Event::Arrived(arrived) => Some((arrived.due.leg.account, arrived.due.leg.instrument)),
        Event::Received(received) => Some((received.due.leg.account, received.due.leg.instrument)),
        Event::Corrected(corrected) => Some((corrected.account, corrected.instrument)),
        Event::Amended(amend) => Some((amend.account, amend.instrument)),
        Event::Resolved(resolved) => Some((resolved.input.account, resolved.input.instrument)),
        _ => None,
    }
}

/// Number of the position in whose chain it is a link: the next event of that position names it. `None` for what changes no position.
pub(crate) fn moved_position(event: &Event<'_>) -> Option<u32> {
    match event {
        Event::Trade(trade) => trade.class.is_a_version().then_some(trade.position),
        Event::Amended(amend) => (amend.class == Class::Provisional).then_some(amend.position),
        Event::Resolved(resolved) => (resolved.reason == Reason::None).then_some(resolved.position),
        Event::Taken(taken) => Some(taken.position),
        Event::Arrived(arrived) => Some(arrived.position),
        Event::Corrected(corrected) => Some(corrected.position),
        _ => None,
    }
}

/// The sender's correlation id.
pub(crate) fn correlation_of<'a>(event: &'a Event<'_>) -> Option<&'a [u8]> {
    match event {
        Event::Trade(trade) => Some(trade.input.correlation.as_bytes()),
        Event::Amended(amend) => Some(amend.input.correlation.as_bytes()),
        Event::Resolved(resolved) => Some(resolved.input.correlation.as_bytes()),
        Event::Action(action) => Some(action.input.correlation.as_bytes()),
        _ => None,
    }
}

/// The word of `--kind` for a kind.
pub(crate) fn kind_word(kind: u16) -> &'static str {
    match kind {
        kind::DEFINED => "defined",
        kind::INSTRUMENT => "instrument",
        kind::CONTRACT => "contract",
        kind::BUSINESS_DATE => "business_date",
        kind::MARK => "mark",
        kind::TRADE_APPLIED..=kind::TRADE_DUPLICATE | kind::TRADE_REBOOKED => "trade",
        kind::AMEND_APPLIED..=kind::AMEND_DUPLICATE => "amendment",
        kind::RESOLVED => "resolved",
        kind::ACTION => "action",
        kind::TAKEN => "taken",
        kind::ARRIVED => "arrived",
        kind::RECEIVED => "received",
        kind::DELIVERED => "delivered",
        kind::SETTLED => "settled",
        kind::PERIOD_LOCK => "period_lock",
        kind::CORRECTED => "corrected",
        kind::DIGESTS => "digests",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::EVENT_KINDS;

    #[test]
    fn every_kind_has_a_word_that_the_command_line_takes() {
        for (kind, name) in kind::ALL {
            assert!(EVENT_KINDS.contains(&kind_word(kind)), "{name}");
        }
        for word in EVENT_KINDS {
            assert!(kind::ALL.iter().any(|(kind, _)| kind_word(*kind) == word), "{word}");
        }
    }
}
