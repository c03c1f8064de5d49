//! The directory of names: text to interned number, shared by all doors.
//!
//! A name is defined by a record of its own before its first use. The first door that meets a new
//! name sends the definition and waits for the shard's answer; all others find it in the map.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use lotbook_core::command::{Command, NameClass, Origin};
use lotbook_core::event::Reason;
use lotbook_core::id::{NO_NAME, NameId, TradeId};
use lotbook_core::names::Names;
use parking_lot::Mutex;

use crate::door::{Door, Request, Status};

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
    asking: Mutex<Asking>,
}

/// The way to ask the shard for a number.
#[derive(Debug)]
struct Asking {
    door: Door,
    /// Token of the last definition asked for. An answer that comes after its asker has given up carries an older one: it must not
    /// pass for the answer of the next name.
    token: u64,
}

impl Directory {
    pub(crate) fn new(names: &Names, door: Door) -> Self {
        let maps: [DashMap<Box<str>, NameId>; NameClass::COUNT] = std::array::from_fn(|_| DashMap::new());
        for class in NameClass::ALL {
            for id in 0..names.len(class) as NameId {
                maps[class as usize].insert(names.str(class, id).into(), id);
            }
        }
        Self { maps, asking: Mutex::new(Asking { door, token: 0 }) }
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

    #[cold]
    fn define(&self, class: NameClass, text: &str) -> Result<NameId, NameError> {
        let name = TradeId::new(text.as_bytes()).filter(|name| !name.is_empty()).ok_or(NameError::Length)?;
        let mut asking = self.asking.lock();
        if let Some(id) = self.find(class, text) {
            return Ok(id);
        }
        asking.token += 1;
        let token = asking.token;
        let door = &mut asking.door;
        let request = Request { token, origin: Origin::INTERNAL, command: Command::Define { class, text: name } };
        if door.submit(request).is_err() {
            return Err(NameError::Unavailable);
        }
        let deadline = Instant::now() + DEFINE_TIMEOUT;
        let mut spins = 0u32;
        let answer = loop {
            if let Some(answer) = door.poll() {
                if answer.token == token {
                    break answer;
                }
                continue;
            }
            if door.is_abandoned() || Instant::now() > deadline {
                return Err(NameError::Unavailable);
            }
            spins += 1;
            if spins < 1000 { std::thread::yield_now() } else { std::thread::sleep(Duration::from_micros(50)) }
        };
        match (answer.status, answer.reason) {
            (Status::Done, _) => {
                self.maps[class as usize].insert(text.into(), answer.name);
                Ok(answer.name)
            }
            (Status::Refused, Reason::NameCapacity) => Err(NameError::Full),
            (Status::Refused, _) => Err(NameError::Length),
            _ => Err(NameError::Unavailable),
        }
    }
}
