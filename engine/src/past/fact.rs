//! Facts: events that every position's history may depend on, chained in the log like the events of a position.

use lotbook_core::Book;
use lotbook_core::apply::Place;
use lotbook_core::event::Event;
use lotbook_core::past::is_fact;
use lotbook_wal::NO_ADDRESS;

use crate::shard::{Journal, NotLogged, apply};

/// Logs and applies an event of no position, and keeps the back-link of facts.
pub(crate) fn log_chained(journal: &mut Journal, book: &mut Book, event: &Event<'_>) -> Result<Place, NotLogged> {
    let fact = is_fact(event);
    let previous = if fact { book.last_fact() } else { NO_ADDRESS };
    let place = journal.append(event, 0, previous)?;
    apply(book, event, place, None);
    if fact {
        book.set_last_fact(place.address);
    }
    Ok(place)
}
