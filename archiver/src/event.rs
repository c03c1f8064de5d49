//! What tools, streams and sinks ask of an event, whichever it is: when, whose, which position, which version.

use lotbook_core::event::{Class, Event, Reason};
use lotbook_core::id::NameId;

/// When the shard decided it, UTC nanoseconds; 0 where no door stamped it.
#[must_use]
pub fn occurred_at_ns(event: &Event<'_>) -> i64 {
    event.origin().occurred_at_ns
}

/// Account and instrument of the position that it is about.
#[must_use]
pub fn position_of(event: &Event<'_>) -> Option<(NameId, NameId)> {
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
#[must_use]
pub fn moved_position(event: &Event<'_>) -> Option<u32> {
    link(event).map(|(position, _)| position)
}

/// The version that its position has by it. `None` for what changes no position: refusals, duplicates, what reaches into all.
#[must_use]
pub fn version_of(event: &Event<'_>) -> Option<u64> {
    link(event).map(|(_, version)| version)
}

/// Position and version of what is a link in a position's chain.
fn link(event: &Event<'_>) -> Option<(u32, u64)> {
    match event {
        Event::Trade(trade) => trade.class.is_a_version().then_some((trade.position, trade.version)),
        Event::Amended(amend) => (amend.class == Class::Provisional).then_some((amend.position, amend.version)),
        Event::Resolved(resolved) => (resolved.reason == Reason::None).then_some((resolved.position, resolved.version)),
        Event::Taken(taken) => Some((taken.position, taken.version)),
        Event::Arrived(arrived) => Some((arrived.position, arrived.version)),
        Event::Corrected(corrected) => Some((corrected.position, corrected.version)),
        _ => None,
    }
}

/// The sender's correlation id.
#[must_use]
pub fn correlation_of<'a>(event: &'a Event<'_>) -> Option<&'a [u8]> {
    match event {
        Event::Trade(trade) => Some(trade.input.correlation.as_bytes()),
        Event::Amended(amend) => Some(amend.input.correlation.as_bytes()),
        Event::Resolved(resolved) => Some(resolved.input.correlation.as_bytes()),
        Event::Action(action) => Some(action.input.correlation.as_bytes()),
        _ => None,
    }
}
