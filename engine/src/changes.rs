//! What the coldpath replays by, as the follower has seen it: contracts, the actions in history, the business date, and
//! up to which change.

use std::collections::HashMap;
use std::sync::Arc;

use lotbook_core::Book;
use lotbook_core::action_input::ActionInput;
use lotbook_core::date::Date;
use lotbook_core::id::{ChronoKey, NO_NAME, NameId};
use lotbook_core::rules::ContractBook;
use lotbook_core::trail::By;
use parking_lot::RwLock;

#[derive(Debug, Default)]
struct Seen {
    contracts: Arc<ContractBook>,
    /// Actions in history by instrument.
    actions: HashMap<NameId, Arc<[ActionInput]>>,
    business_date: Option<Date>,
    /// Ordinal of the newest change that is in these.
    changes: u32,
    /// Sequence of the event that brought the newest of all this.
    sequence: u64,
}

/// Shared by the follower, which writes, and the worker.
#[derive(Debug, Default)]
pub(crate) struct Changes(RwLock<Seen>);

/// What one position is replayed by.
#[derive(Clone, Debug)]
pub(crate) struct ReplayRules {
    contracts: Arc<ContractBook>,
    actions: Arc<[ActionInput]>,
    business_date: Option<Date>,
    /// Changes of history that are in it.
    pub changes: u32,
    /// Log sequence up to which it reads: a replay by it leaves no sooner than that is durable.
    pub sequence: u64,
}

impl ReplayRules {
    pub(crate) fn contracts(&self) -> &ContractBook {
        &self.contracts
    }

    /// Actions on the instrument that are in history.
    pub(crate) fn actions(&self) -> &[ActionInput] {
        &self.actions
    }

    pub(crate) fn business_date(&self) -> Option<Date> {
        self.business_date
    }

    /// The same for a replay.
    pub(crate) fn by(&self, multiplier_e8: i64) -> By<'_> {
        By { today: self.business_date, actions: &self.actions, contracts: &self.contracts, multiplier_e8 }
    }
}

impl Changes {
    /// The follower begins with this book.
    pub(crate) fn begin(&self, book: &Book, sequence: u64) {
        let instruments = book.actions().entries().iter().map(|entry| entry.input.instrument);
        let actions = instruments.map(|instrument| (instrument, in_history(book, instrument))).collect();
        let contracts = Arc::new(book.contracts().clone());
        let business_date = book.business_date();
        let changes = book.actions().changes();
        *self.0.write() = Seen { contracts, actions, business_date, changes, sequence };
    }

    /// The follower applied an event that may have been a change: told before the events after it, so that the worker
    /// never replays by less than the position has seen.
    pub(crate) fn advance(&self, book: &Book, sequence: u64) {
        let mut seen = self.0.write();
        if seen.contracts.versions().len() != book.contracts().versions().len() {
            seen.contracts = Arc::new(book.contracts().clone());
        }
        let since = seen.changes;
        for change in book.actions().pending().iter().filter(|change| change.ordinal > since) {
            if change.instrument != NO_NAME {
                seen.actions.insert(change.instrument, in_history(book, change.instrument));
            }
        }
        seen.business_date = book.business_date();
        seen.changes = book.actions().changes();
        seen.sequence = sequence;
    }

    /// Instruments that ever had an action, in no particular order.
    pub(crate) fn acted_on(&self) -> Vec<NameId> {
        self.0.read().actions.keys().copied().collect()
    }

    /// What a position of this instrument is replayed by.
    pub(crate) fn of(&self, instrument: NameId) -> ReplayRules {
        let seen = self.0.read();
        ReplayRules {
            contracts: seen.contracts.clone(),
            actions: seen.actions.get(&instrument).cloned().unwrap_or_default(),
            business_date: seen.business_date,
            changes: seen.changes,
            sequence: seen.sequence,
        }
    }
}

fn in_history(book: &Book, instrument: NameId) -> Arc<[ActionInput]> {
    book.actions().after(instrument, &ChronoKey::MIN).map(|(_, input)| *input).collect()
}
