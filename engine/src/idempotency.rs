//! Ids of trades and amendments, one space, of the recent window: exact, bounded, nothing allocated after `new`.
//!
//! Looked up by the 128-bit hash of (namespace, id); the stored id decides. What was refused is not
//! in it: it does not consume its id. It also says which position an id belongs to, and so routes amendments.

use std::hint::black_box;

use hashbrown::HashTable;
use lotbook_core::action_input::ActionInput;
use lotbook_core::actions::content as action_content;
use lotbook_core::amend::AmendInput;
use lotbook_core::amend_event::AmendEvent;
use lotbook_core::command::TradeInput;
use lotbook_core::date::Date;
use lotbook_core::decide_amend::Target;
use lotbook_core::digest;
use lotbook_core::event::{Class, TradeEvent};
use lotbook_core::id::{NO_NAME, NameId, TradeHash};
use lotbook_core::wide_event::ActionEvent;

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IdKind {
    /// A trade or opening lot.
    Trade = 1,
    /// A cancel or correct.
    Amendment = 2,
    /// A corporate action or a reset: of no position.
    Action = 3,
}

impl IdKind {
    /// From the number in checkpoints.
    #[must_use]
    pub fn from_u8(value: u8) -> Option<Self> {
        [Self::Trade, Self::Amendment, Self::Action].into_iter().find(|kind| *kind as u8 == value)
    }
}

/// The first result of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// Hash of (namespace, id).
    pub hash: TradeHash,
    /// Sequence of the event.
    pub sequence: u64,
    /// Address of the event.
    pub address: u64,
    /// Digest of what it says economically: the same id with another content is a conflict.
    pub content: u64,
    /// Position; `u32::MAX` for an amendment that is held.
    pub position: u32,
    /// Version of the position after it.
    pub version: u64,
    /// What became of it.
    pub class: Class,
    /// What it names.
    pub kind: IdKind,
    text_at: u32,
    text_len: u8,
}

const _: () = assert!(size_of::<First>() == 64);

/// What an id is.
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

/// Mean length of an id that the reserved text allows, with what stands behind it.
const TEXT_BYTES_MEAN: usize = 32 + EXTRA_BYTES;
/// Bytes behind each id: what a trade's amendments need of it. They lie where the id was just written, for a larger
/// entry would cost every lookup.
const EXTRA_BYTES: usize = 16;

/// What amendments of a trade need to know of it; of no meaning for other ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extra {
    /// Its quantity, with the sign of its side.
    pub quantity_e8: i64,
    /// Its effective date.
    pub date: Date,
    /// Of a transfer: the account that its lots go to. Else `NO_NAME`.
    pub to_account: NameId,
}

fn extra(extra: &Extra) -> [u8; EXTRA_BYTES] {
    let mut bytes = [0; EXTRA_BYTES];
    bytes[..8].copy_from_slice(&extra.quantity_e8.to_le_bytes());
    bytes[8..12].copy_from_slice(&extra.date.0.to_le_bytes());
    bytes[12..].copy_from_slice(&extra.to_account.to_le_bytes());
    bytes
}

/// Digest of what an amendment says, by the same rule.
#[must_use]
pub fn amend_content(input: &AmendInput) -> u64 {
    let changes = &input.changes;
    let hash = digest::mix(input.target.0 as u64, (input.target.0 >> 64) as u64);
    let hash = digest::mix(hash, u64::from(input.account) << 32 | u64::from(input.instrument));
    let hash = digest::mix(hash, changes.digest());
    digest::mix(hash, input.kind as u64)
}

/// Digest of what a trade says economically. Ids, times of sending and sequence numbers are not in it, nor is the
/// rate to the base currency: the door stamps it where the sender gives none.
#[must_use]
pub fn content(input: &TradeInput) -> u64 {
    let hash = digest::mix(u64::from(input.account) << 32 | u64::from(input.instrument), input.quantity_e8 as u64);
    let hash = digest::mix(hash, input.price_e8 as u64);
    let hash = digest::mix(hash, input.fees_e8 as u64);
    let hash = digest::mix(hash, input.consideration_e8 as u64);
    let hash = digest::mix(hash, u64::from(input.currency) << 32 | u64::from(input.sub_account));
    let hash = if input.to_account == NO_NAME { hash } else { digest::mix(hash, u64::from(input.to_account)) };
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
        // The table's own capacity shrinks by what was removed from it.
        self.table.len() < self.capacity.min(self.table.capacity())
            && self.text.len() + id_bytes + EXTRA_BYTES <= self.text.capacity()
    }

    /// Brings near what a lookup will read.
    #[inline]
    pub fn look_ahead(&self, hash: TradeHash) {
        black_box(self.first(hash).is_some());
    }

    /// Looks a trade up.
    #[inline]
    #[must_use]
    pub fn lookup(&self, input: &TradeInput) -> Lookup {
        self.look(input.hash, input.trade_id.as_bytes(), || content(input))
    }

    /// Looks an amendment up by its own id.
    #[must_use]
    pub fn lookup_amend(&self, input: &AmendInput) -> Lookup {
        self.look(input.hash, input.amend_id.as_bytes(), || amend_content(input))
    }

    #[inline]
    fn look(&self, hash: TradeHash, id: &[u8], content: impl FnOnce() -> u64) -> Lookup {
        let Some(first) = self.first(hash) else { return Lookup::New };
        if self.text_of(first) == id && first.content == content() {
            Lookup::Same(*first)
        } else {
            Lookup::Conflict(*first)
        }
    }

    /// What an amendment's target is. An id with the same hash and another text is another id, hence unknown.
    #[must_use]
    pub fn target(&self, target: TradeHash, id: &[u8]) -> Target {
        let Some(first) = self.first(target).filter(|first| self.text_of(first) == id) else { return Target::Unknown };
        let position = first.position;
        match (first.kind, first.class) {
            (IdKind::Amendment, Class::Held) => Target::Held,
            (IdKind::Amendment, _) => Target::Amendment { position },
            (IdKind::Action, _) => Target::Action,
            (IdKind::Trade, _) => {
                let Extra { quantity_e8, date, to_account } = self.extra_of(first);
                Target::Trade { position, quantity_e8, date, to_account }
            }
        }
    }

    /// Looks an action up by its id.
    #[must_use]
    pub fn lookup_action(&self, input: &ActionInput) -> Lookup {
        self.look(input.hash, input.action_id.as_bytes(), || action_content(input))
    }

    /// Remembers an accepted action; others are left out. The caller has asked [`Self::has_room`].
    pub fn note_action(&mut self, event: &ActionEvent, sequence: u64, address: u64) {
        if !matches!(event.class, Class::Applied | Class::Forward) {
            return;
        }
        let input = &event.input;
        let first = First {
            hash: input.hash,
            sequence,
            address,
            content: action_content(input),
            position: u32::MAX,
            version: 0,
            class: event.class,
            kind: IdKind::Action,
            text_at: 0,
            text_len: 0,
        };
        self.put(first, input.action_id.as_bytes(), [0; EXTRA_BYTES]);
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

    fn extra_of(&self, first: &First) -> Extra {
        let bytes = &self.text[first.text_at as usize + usize::from(first.text_len)..][..EXTRA_BYTES];
        let (mut quantity, mut date, mut to_account) = ([0; 8], [0; 4], [0; 4]);
        quantity.copy_from_slice(&bytes[..8]);
        date.copy_from_slice(&bytes[8..12]);
        to_account.copy_from_slice(&bytes[12..]);
        Extra {
            quantity_e8: i64::from_le_bytes(quantity),
            date: Date(i32::from_le_bytes(date)),
            to_account: u32::from_le_bytes(to_account),
        }
    }

    /// Remembers an accepted trade; others are left out, and a matured one is there already.
    /// The caller has asked [`Self::has_room`].
    #[inline]
    pub fn insert(&mut self, event: &TradeEvent<'_>, sequence: u64, address: u64) {
        if !matches!(event.class, Class::Applied | Class::Provisional | Class::Forward) {
            return;
        }
        let input = &event.input;
        let first = First {
            hash: input.hash,
            sequence,
            address,
            content: content(input),
            position: event.position,
            version: event.version,
            class: event.class,
            kind: IdKind::Trade,
            text_at: 0,
            text_len: 0,
        };
        let (quantity_e8, date) = (input.signed_quantity_e8(), input.effective_date);
        let behind = extra(&Extra { quantity_e8, date, to_account: input.to_account });
        self.put(first, input.trade_id.as_bytes(), behind);
    }

    /// Remembers what became of an amendment: accepted or held, booked after it was held, or lapsed, which frees its
    /// id. For one that is new the caller has asked [`Self::has_room`].
    pub fn note_amend(&mut self, event: &AmendEvent<'_>, sequence: u64, address: u64) {
        let input = &event.input;
        match event.class {
            Class::Provisional | Class::Applied | Class::Held => {
                if let Some(first) = self.table.find_mut(input.hash.0 as u64, |first| first.hash == input.hash) {
                    (first.position, first.version, first.class) = (event.position, event.version, event.class);
                    return;
                }
                let first = First {
                    hash: input.hash,
                    sequence,
                    address,
                    content: amend_content(input),
                    position: event.position,
                    version: event.version,
                    class: event.class,
                    kind: IdKind::Amendment,
                    text_at: 0,
                    text_len: 0,
                };
                self.put(first, input.amend_id.as_bytes(), [0; EXTRA_BYTES]);
            }
            Class::Lapsed => {
                if let Ok(entry) = self.table.find_entry(input.hash.0 as u64, |first| first.hash == input.hash) {
                    entry.remove();
                }
            }
            _ => {}
        }
    }

    #[inline]
    fn put(&mut self, mut first: First, id: &[u8], extra: [u8; EXTRA_BYTES]) {
        assert!(self.has_room(id.len()));
        (first.text_at, first.text_len) = (self.text.len() as u32, id.len() as u8);
        self.text.extend_from_slice(id);
        self.text.extend_from_slice(&extra);
        self.table.insert_unique(first.hash.0 as u64, first, |first| first.hash.0 as u64);
    }

    /// Every entry with its id and what stands behind it, in no particular order; for checkpoints.
    pub fn iter(&self) -> impl Iterator<Item = (&First, &[u8], Extra)> {
        self.table.iter().map(|first| (first, self.text_of(first), self.extra_of(first)))
    }

    /// Takes an entry from a checkpoint. `false`: there is no room for it.
    #[must_use]
    pub fn restore(&mut self, first: First, id: &[u8], behind: &Extra) -> bool {
        if !self.has_room(id.len()) {
            return false;
        }
        self.put(first, id, extra(behind));
        true
    }
}

impl First {
    /// An entry for [`TradeIds::restore`].
    #[must_use]
    #[allow(clippy::too_many_arguments, reason = "the fields of an entry, as a checkpoint has them")]
    pub fn restored(
        hash: TradeHash,
        sequence: u64,
        address: u64,
        content: u64,
        position: u32,
        version: u64,
        class: Class,
        kind: IdKind,
    ) -> Self {
        Self { hash, sequence, address, content, position, version, class, kind, text_at: 0, text_len: 0 }
    }
}
