//! The book of one position, out of its own events and the few that reach into all: what is shown of the past.
//!
//! Such a book never decides. It holds one position, number 0, applies the events of that position as they were logged,
//! and so comes to what the whole book held of it, without the events of all others.

use crate::arrival::ArrivedEvent;
use crate::book::Book;
use crate::command::NameClass;
use crate::event::{Class, CorrectedEvent, Event, Reason, TradeEvent};
use crate::legs::{Due, Leg};
use crate::limits::Limits;
use crate::names::Names;
use crate::wide_event::TakenEvent;

/// Whether an event says something that every position's history may depend on: terms, contracts, the business date,
/// locks, actions and their amendments. The host chains these as it chains the events of a position.
#[must_use]
pub fn is_fact(event: &Event<'_>) -> bool {
    match event {
        Event::Instrument { reason, .. } | Event::Contract { reason, .. } | Event::BusinessDate { reason, .. } => {
            *reason == Reason::None
        }
        Event::PeriodLock(lock) => lock.reason == Reason::None,
        Event::Action(action) => matches!(action.class, Class::Applied | Class::Forward),
        Event::Amended(amend) => amend.class == Class::Applied,
        _ => false,
    }
}

impl Book {
    /// A book for one position, which knows these names. `events`: of the position, no fewer than will be applied, with
    /// the lots that a correction brings counted like events; `facts`: of the other kind.
    ///
    /// Defines every name: linear in their number.
    #[must_use]
    pub fn of_one(names: &Names, events: usize, facts: usize) -> Self {
        let most = NameClass::ALL.into_iter().map(|class| names.len(class)).max().unwrap_or(0);
        let mut book = Self::new(Limits {
            positions_max: 1,
            // A block moves to one of twice its size.
            lots_max: events * 4 + 64,
            names_max: most + 1,
            forwards_max: events + 1,
            amendments_max: events * 2 + 1,
            held_max: 1,
            contracts_max: facts + 1,
            // An amended action may change history twice.
            actions_max: facts * 2 + 1,
            legs_max: usize::MAX,
        });
        for class in NameClass::ALL {
            for id in 0..names.len(class) as u32 {
                book.name(class, names.text(class, id).unwrap_or_default());
            }
        }
        book
    }

    /// An event as the book of one position takes it; `None` where it takes nothing of it. Where a lot arrives, the book
    /// expects it from here on.
    pub fn alone<'a>(&mut self, event: &Event<'a>) -> Option<Event<'a>> {
        // Ordinals of changes are about the whole book; here nobody asks for them.
        let seen = self.actions.changes();
        Some(match *event {
            Event::Trade(trade) if trade.class.is_a_version() => Event::Trade(TradeEvent { position: 0, ..trade }),
            Event::Taken(taken) => Event::Taken(TakenEvent { position: 0, seen, ..taken }),
            Event::Arrived(arrived) => {
                let due = elsewhere(&arrived.due);
                self.legs.expect(due, &self.names);
                Event::Arrived(ArrivedEvent { position: 0, due, ..arrived })
            }
            Event::Corrected(corrected) => Event::Corrected(CorrectedEvent { position: 0, seen, ..corrected }),
            // Whether it was held before is told by events that are not this position's.
            Event::Amended(mut amend) if matches!(amend.class, Class::Provisional | Class::Applied) => {
                amend.first_sequence = 0;
                if amend.class == Class::Provisional {
                    amend.position = 0;
                }
                Event::Amended(amend)
            }
            Event::Resolved(mut resolved) if resolved.reason == Reason::None => {
                resolved.position = 0;
                Event::Resolved(resolved)
            }
            event if is_fact(&event) => event,
            _ => return None,
        })
    }
}

/// The same leg from a position that is never this one.
fn elsewhere(due: &Due) -> Due {
    Due { leg: Leg { source: due.leg.source.saturating_add(1), ..due.leg }, ..*due }
}
