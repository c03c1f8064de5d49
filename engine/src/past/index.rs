//! Where the chains of the log end: kept by the follower, read by whoever asks about the past.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lotbook_core::Book;
use lotbook_core::command::NameClass;
use lotbook_core::id::NameId;
use lotbook_core::names::Names;
use lotbook_wal::NO_ADDRESS;
use parking_lot::{Mutex, RwLock};

use crate::checkpoint::State;
use crate::waymarks::{Raw, Waymarks};

/// Heads of the chains, names, and the facts that were read.
#[derive(Debug)]
pub(crate) struct Index {
    pub(super) names: RwLock<Names>,
    positions: RwLock<Positions>,
    last_fact: AtomicU64,
    pub(super) waymarks: Arc<Waymarks>,
    /// Facts in the order of the log, as far as somebody has read them.
    pub(super) facts: Mutex<Vec<Raw>>,
}

#[derive(Debug, Default)]
struct Positions {
    numbers: HashMap<(NameId, NameId), u32>,
    /// Address of the newest event, by number.
    heads: Vec<u64>,
}

impl Index {
    /// What the follower begins with.
    pub(crate) fn of(state: &State) -> Self {
        let book = &state.book;
        let mut names = Names::new(book.limits().names_max);
        for class in NameClass::ALL {
            for id in 0..book.names().len(class) as u32 {
                names.define(class, book.names().text(class, id).unwrap_or_default());
            }
        }
        let index = Self {
            names: RwLock::new(names),
            positions: RwLock::default(),
            last_fact: AtomicU64::new(book.last_fact()),
            waymarks: state.waymarks.clone(),
            facts: Mutex::default(),
        };
        index.moved(book, 0..book.positions().len() as u32);
        index
    }

    /// A name was defined.
    pub(crate) fn defined(&self, class: NameClass, id: NameId, text: &[u8]) {
        let mut names = self.names.write();
        if names.len(class) == id as usize {
            names.define(class, text);
        }
    }

    /// These positions have new events. Told before their sequence is published.
    pub(crate) fn moved(&self, book: &Book, numbers: impl Iterator<Item = u32>) {
        let mut positions = self.positions.write();
        for number in numbers {
            let position = &book.positions()[number as usize];
            if positions.heads.len() <= number as usize {
                positions.heads.resize(number as usize + 1, NO_ADDRESS);
            }
            positions.heads[number as usize] = position.last_address;
            positions.numbers.insert((position.account, position.instrument), number);
        }
    }

    /// Events were applied. Told before their sequence is published.
    pub(crate) fn advance(&self, book: &Book) {
        // ORDERING: release pairs with the acquire in `last_fact`; the sequence that covers it is published later still.
        self.last_fact.store(book.last_fact(), Ordering::Release);
    }

    /// Number of a position.
    pub(super) fn number(&self, account: NameId, instrument: NameId) -> Option<u32> {
        self.positions.read().numbers.get(&(account, instrument)).copied()
    }

    /// Address of a position's newest event.
    pub(super) fn head(&self, number: u32) -> u64 {
        self.positions.read().heads.get(number as usize).copied().unwrap_or(NO_ADDRESS)
    }

    /// Address of the newest fact.
    pub(super) fn last_fact(&self) -> u64 {
        self.last_fact.load(Ordering::Acquire)
    }
}
