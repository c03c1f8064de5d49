//! The directory of names: text to interned number, shared by all doors.
//!
//! A name is defined by a record of its own before its first use. The first door that meets a new
//! name sends the definition and waits for the shard's answer; all others find it in the map.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use lotbook_core::command::{Command, NameClass, Origin};
use lotbook_core::digest;
use lotbook_core::event::Reason;
use lotbook_core::id::{NO_NAME, NameId, TradeId};
use lotbook_core::names::Names;
use parking_lot::{Mutex, RwLock};

use crate::door::{Answer, Door, Request, Status};
use crate::house::common::Counter;
use crate::read_model::PositionView;
use crate::wait::{WaitKind, Waiter};

/// Why a name has no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than a name may be, or empty.
    #[error("a name has 1 to 64 bytes")]
    Length,
    /// No room for another name of this class.
    #[error("no room for another name of this class")]
    Full,
    /// The shard takes nothing now.
    #[error("not available now; try again")]
    Unavailable,
}

/// How long a definition may take before the door gives up.
const DEFINE_TIMEOUT: Duration = Duration::from_secs(60);

/// Text to number, for all classes.
#[derive(Debug)]
pub struct Directory {
    maps: [DashMap<Box<str>, NameId>; NameClass::COUNT],
    /// Hashes of the texts, by number.
    hashes: [RwLock<Vec<u64>>; NameClass::COUNT],
    asking: Mutex<Asking>,
}

/// The way to ask for a number.
#[derive(Debug)]
enum Asking {
    /// One shard.
    Shard {
        door: Door,
        /// Token of the last definition asked for. An answer that comes after its asker has given up carries an older one: it must not
        /// pass for the answer of the next name.
        token: u64,
    },
    /// All shards of a house, in one order.
    House(Counter),
}

impl Directory {
    pub(crate) fn new(names: &Names, door: Door) -> Self {
        let directory = Self::empty(Asking::Shard { door, token: 0 });
        for class in NameClass::ALL {
            for id in 0..names.len(class) as NameId {
                directory.insert(class, names.str(class, id), id);
            }
        }
        directory
    }

    fn empty(asking: Asking) -> Self {
        let (maps, hashes) = (std::array::from_fn(|_| DashMap::new()), std::array::from_fn(|_| RwLock::default()));
        Self { maps, hashes, asking: Mutex::new(asking) }
    }

    /// For a house: new names are defined on all of its shards.
    pub(crate) fn of_house(names: &crate::house::Names, counter: Counter) -> Self {
        let directory = Self::empty(Asking::House(counter));
        for class in NameClass::ALL {
            for (id, text) in (0..).zip(&names.0[class as usize]) {
                directory.insert(class, text, id);
            }
        }
        directory
    }

    /// How many names of a class there are.
    #[must_use]
    pub fn len(&self, class: NameClass) -> usize {
        self.hashes[class as usize].read().len()
    }

    /// The names of a class, by number. Sorts them all: not for every use of a name.
    #[must_use]
    pub fn texts(&self, class: NameClass) -> Vec<Box<str>> {
        let mut named: Vec<_> =
            self.maps[class as usize].iter().map(|entry| (*entry.value(), entry.key().clone())).collect();
        named.sort_unstable();
        named.into_iter().map(|(_, text)| text).collect()
    }

    /// The number of a name, if it was used before. Never blocks on the shard.
    #[must_use]
    pub fn find(&self, class: NameClass, text: &str) -> Option<NameId> {
        self.maps[class as usize].get(text).map(|id| *id)
    }

    /// The number of a name; defines it where it is new, which waits for one answer of the shard.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn resolve(&self, class: NameClass, text: &str) -> Result<NameId, NameError> {
        match self.find(class, text) {
            Some(id) => Ok(id),
            None => self.define(class, text),
        }
    }

    /// As [`Self::resolve`]; no text is no name.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn resolve_optional(&self, class: NameClass, text: Option<&str>) -> Result<NameId, NameError> {
        text.map_or(Ok(NO_NAME), |text| self.resolve(class, text))
    }

    /// Extends a list of hashes of a class's texts, by number, by what is known beyond it.
    pub(crate) fn hashes_from(&self, class: NameClass, hashes: &mut Vec<u64>) {
        let known = self.hashes[class as usize].read();
        hashes.extend_from_slice(&known[hashes.len().min(known.len())..]);
    }

    /// Partition of a position; `None`: its names are not defined.
    pub(crate) fn partition(&self, account: NameId, instrument: NameId) -> Option<u16> {
        let hash = |class: NameClass, id: NameId| self.hashes[class as usize].read().get(id as usize).copied();
        let key = digest::mix(hash(NameClass::Account, account)?, hash(NameClass::Instrument, instrument)?);
        Some(digest::partition(key))
    }

    /// The interned names of a published position.
    pub(crate) fn key_of(&self, view: &PositionView) -> Option<(NameId, NameId)> {
        Some((self.find(NameClass::Account, &view.account)?, view.instrument_id))
    }

    fn insert(&self, class: NameClass, text: &str, id: NameId) {
        let mut hashes = self.hashes[class as usize].write();
        if id as usize == hashes.len() {
            hashes.push(digest::bytes(text.as_bytes()));
        }
        drop(hashes);
        self.maps[class as usize].insert(text.into(), id);
    }

    #[cold]
    fn define(&self, class: NameClass, text: &str) -> Result<NameId, NameError> {
        let name = TradeId::new(text.as_bytes()).filter(|name| !name.is_empty()).ok_or(NameError::Length)?;
        let mut asking = self.asking.lock();
        if let Some(id) = self.find(class, text) {
            return Ok(id);
        }
        let answer = asking.define(Command::Define { class, text: name })?;
        match (answer.status, answer.reason) {
            (Status::Done, _) => {
                self.insert(class, text, answer.name);
                Ok(answer.name)
            }
            (Status::Refused, Reason::NameCapacity) => Err(NameError::Full),
            (Status::Refused, _) => Err(NameError::Length),
            _ => Err(NameError::Unavailable),
        }
    }
}

impl Asking {
    fn define(&mut self, command: Command) -> Result<Answer, NameError> {
        let (door, token) = match self {
            Self::House(counter) => {
                let request = Request { token: 0, origin: Origin::INTERNAL, command };
                return counter.serve(request, DEFINE_TIMEOUT).ok_or(NameError::Unavailable);
            }
            Self::Shard { door, token } => (door, token),
        };
        *token += 1;
        let request = Request { token: *token, origin: Origin::INTERNAL, command };
        if door.submit(request).is_err() {
            return Err(NameError::Unavailable);
        }
        let deadline = Instant::now() + DEFINE_TIMEOUT;
        let mut waiter = Waiter::new(WaitKind::Park);
        loop {
            if let Some(answer) = door.poll() {
                if answer.token == *token {
                    return Ok(answer);
                }
                continue;
            }
            if door.is_abandoned() || Instant::now() > deadline {
                return Err(NameError::Unavailable);
            }
            waiter.idle();
        }
    }
}
