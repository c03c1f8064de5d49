//! Trade ids of the recent window: exact, bounded, nothing allocated after `new`.
//!
//! Looked up by the 128-bit hash of (namespace, id); the stored id decides. A refused trade is not
//! in it: it does not consume its id.

use hashbrown::HashTable;
use lotbook_core::command::TradeInput;
use lotbook_core::digest;
use lotbook_core::event::{Class, TradeEvent};
use lotbook_core::id::TradeHash;
use lotbook_core::wide_event::ActionEvent;

/// The first result of a trade id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// Hash of (namespace, id).
    pub hash: TradeHash,
    /// Sequence of the event.
    pub sequence: u64,
    /// Address of the event.
    pub address: u64,
    /// Digest of what the trade says economically: the same id with another content is a conflict.
    pub content: u64,
    /// Position.
    pub position: u32,
    /// Version of the position after it.
    pub version: u64,
    /// What became of it.
    pub class: Class,
    text_at: u32,
    text_len: u8,
}

/// What a trade id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Not seen in the window.
    New,
    /// Seen, with the same content.
    Same(First),
    /// Seen, with another content; or another id with the same hash.
    Conflict(First),
}

/// The window.
#[derive(Debug)]
pub struct TradeIds {
    table: HashTable<First>,
    /// Ids, one after another.
    text: Vec<u8>,
    capacity: usize,
}

/// Mean length of an id that the reserved text allows.
const TEXT_BYTES_MEAN: usize = 32;

/// Digest of what a trade says economically. Ids, times of sending and sequence numbers are not in it, nor is the
/// rate to the base currency: the door stamps it where the sender gives none.
#[must_use]
pub fn content(input: &TradeInput) -> u64 {
    let hash = digest::mix(u64::from(input.account) << 32 | u64::from(input.instrument), input.quantity_e8 as u64);
    let hash = digest::mix(hash, input.price_e8 as u64);
    let hash = digest::mix(hash, input.fees_e8 as u64);
    let hash = digest::mix(hash, input.consideration_e8 as u64);
    let hash = digest::mix(hash, u64::from(input.currency) << 32 | u64::from(input.sub_account));
    let hash = digest::mix(hash, u64::from(input.acquired.0 as u32) << 8 | input.kind as u64);
    let hash = digest::mix(hash, input.lot.0 as u64);
    let hash = digest::mix(hash, u64::from(input.contract) << 8 | input.trade_type as u64);
    digest::mix(hash, u64::from(input.effective_date.0 as u32) << 8 | input.side as u64)
}

impl TradeIds {
    /// Room for `capacity` ids.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            table: HashTable::with_capacity(capacity),
            text: Vec::with_capacity(capacity.saturating_mul(TEXT_BYTES_MEAN).min(u32::MAX as usize)),
            capacity,
        }
    }

    /// Ids held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether another id of this length fits.
    #[inline]
    #[must_use]
    pub fn has_room(&self, id_bytes: usize) -> bool {
        self.table.len() < self.capacity && self.text.len() + id_bytes <= self.text.capacity()
    }

    /// Looks a trade up.
    #[inline]
    #[must_use]
    pub fn lookup(&self, input: &TradeInput) -> Lookup {
        let Some(first) = self.table.find(input.hash.0 as u64, |first| first.hash == input.hash) else {
            return Lookup::New;
        };
        if self.text_of(first) == input.trade_id.as_bytes() && first.content == content(input) {
            Lookup::Same(*first)
        } else {
            Lookup::Conflict(*first)
        }
    }

    /// Looks an action's id up: one space with the ids of trades.
    #[must_use]
    pub fn lookup_id(&self, hash: TradeHash, id: &[u8], content: u64) -> Lookup {
        match self.first(hash) {
            None => Lookup::New,
            Some(first) if self.text_of(first) == id && first.content == content => Lookup::Same(*first),
            Some(first) => Lookup::Conflict(*first),
        }
    }

    /// Remembers an accepted action; others are left out. The caller has asked [`Self::has_room`].
    pub fn note_action(&mut self, event: &ActionEvent, sequence: u64, address: u64) {
        if !matches!(event.class, Class::Applied | Class::Forward) {
            return;
        }
        let input = &event.input;
        let content = lotbook_core::actions::content(input);
        let entry = Self::entry(input.hash, sequence, address, content, u32::MAX, 0, event.class);
        let kept = self.restore(entry, input.action_id.as_bytes());
        assert!(kept, "the caller has asked for room");
    }

    /// The id behind a hash.
    #[must_use]
    pub fn id(&self, hash: TradeHash) -> Option<&str> {
        let first = self.first(hash)?;
        std::str::from_utf8(self.text_of(first)).ok()
    }

    /// The first result behind a hash.
    #[must_use]
    pub fn first(&self, hash: TradeHash) -> Option<&First> {
        self.table.find(hash.0 as u64, |first| first.hash == hash)
    }

    fn text_of(&self, first: &First) -> &[u8] {
        &self.text[first.text_at as usize..][..usize::from(first.text_len)]
    }

    /// Remembers an accepted trade; others are left out, and a matured one is there already.
    /// The caller has asked [`Self::has_room`].
    #[inline]
    pub fn insert(&mut self, event: &TradeEvent<'_>, sequence: u64, address: u64) {
        if matches!(event.class, Class::Rejected | Class::Duplicate | Class::Matured) {
            return;
        }
        let id = event.input.trade_id.as_bytes();
        assert!(self.has_room(id.len()));
        let (text_at, text_len) = (self.text.len() as u32, id.len() as u8);
        self.text.extend_from_slice(id);
        let first = First {
            hash: event.input.hash,
            sequence,
            address,
            content: content(&event.input),
            position: event.position,
            version: event.version,
            class: event.class,
            text_at,
            text_len,
        };
        self.table.insert_unique(event.input.hash.0 as u64, first, |first| first.hash.0 as u64);
    }

    /// Every entry with its id, in no particular order; for checkpoints.
    pub fn iter(&self) -> impl Iterator<Item = (&First, &[u8])> {
        self.table.iter().map(|first| (first, self.text_of(first)))
    }

    /// Takes an entry from a checkpoint. `false`: there is no room for it.
    #[must_use]
    pub fn restore(&mut self, mut first: First, id: &[u8]) -> bool {
        if !self.has_room(id.len()) {
            return false;
        }
        (first.text_at, first.text_len) = (self.text.len() as u32, id.len() as u8);
        self.text.extend_from_slice(id);
        self.table.insert_unique(first.hash.0 as u64, first, |first| first.hash.0 as u64);
        true
    }

    /// An entry for [`Self::restore`].
    #[must_use]
    pub fn entry(
        hash: TradeHash,
        sequence: u64,
        address: u64,
        content: u64,
        position: u32,
        version: u64,
        class: Class,
    ) -> First {
        First { hash, sequence, address, content, position, version, class, text_at: 0, text_len: 0 }
    }
}
