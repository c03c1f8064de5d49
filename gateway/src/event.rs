//! Words of the command line for kinds of events; what is asked of any event is the archiver's.

pub(crate) use lotbook_archiver::event::{correlation_of, moved_position, occurred_at_ns, position_of};
use lotbook_core::codec::kind;

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
