//! Identifiers: trade ids inline, their 128-bit hash, interned names, the chronological key.

use core::fmt;
use core::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::date::Date;
use crate::limits::TRADE_ID_BYTES_MAX;

/// An interned name of some class; dense from 0 in the order of definition. Part of the state.
pub type NameId = u32;
/// "No name".
pub const NO_NAME: NameId = u32::MAX;

/// Text of at most 64 bytes, stored inline: trade ids and correlation ids.
///
/// Compares as bytes, which is the last step of the chronological key.
#[derive(Clone, Copy)]
pub struct TradeId {
    bytes: [u8; TRADE_ID_BYTES_MAX],
    len: u8,
}

impl TradeId {
    /// No text.
    pub const EMPTY: Self = Self { bytes: [0; TRADE_ID_BYTES_MAX], len: 0 };

    /// Takes the text, or `None` when it is longer than the limit.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        if text.len() > TRADE_ID_BYTES_MAX {
            return None;
        }
        let mut bytes = [0; TRADE_ID_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Some(Self { bytes, len: text.len() as u8 })
    }

    /// The bytes as given.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The text; the doors admit printable ASCII only, so this is what the sender gave.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or("<not text>")
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl PartialEq for TradeId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for TradeId {}
impl PartialOrd for TradeId {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for TradeId {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
impl fmt::Debug for TradeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}
impl fmt::Display for TradeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// 128-bit hash of (namespace, trade id): the identity of a trade in lots and indexes.
///
/// SipHash-1-3 with a fixed public key, so that it is the same everywhere and may stand in digests.
/// Indexes that refuse or accept by it also compare the id itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TradeHash(pub u128);

impl TradeHash {
    /// "No trade": no id hashes to it in practice, and the doors refuse empty ids.
    pub const NONE: Self = Self(0);

    /// Hashes a trade id inside its namespace (the name itself, not its interned number).
    #[must_use]
    pub fn new(namespace: &[u8], trade_id: &[u8]) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0x4c6f_7462_6f6f_6b31, 0x7472_6164_6520_6964);
        hasher.write(namespace);
        hasher.write_u8(0xff); // no name holds this byte, so the pair is unambiguous
        hasher.write(trade_id);
        Self(hasher.finish128().as_u128())
    }
}

/// Which part of its date an item belongs to (rule 2 of `docs/rules.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DayPart {
    /// Before the date's trades: splits, returns of capital, mergers.
    Opening = 0,
    /// Trades and opening lots.
    Trading = 1,
    /// After the trades: cash dividends of this record date.
    Record = 2,
    /// At the end: resets.
    Closing = 3,
}

impl DayPart {
    /// All parts, in order.
    pub const ALL: [Self; 4] = [Self::Opening, Self::Trading, Self::Record, Self::Closing];

    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.get(usize::from(value)).copied()
    }
}

/// The chronological key: arrival never orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
pub struct ChronoKey {
    /// Effective date.
    pub date: Date,
    /// Part of the date.
    pub part: DayPart,
    /// Execution time, UTC nanoseconds; for what is no trade its rank within the part of the date.
    pub executed_at_ns: i64,
    /// Order within the source: file line, FIX MsgSeqNum, Kafka offset.
    pub source_order: u64,
    /// Trade id, compared as bytes.
    pub trade_id: TradeId,
    /// Tells ids of different namespaces apart when all else is equal, by their hash.
    pub hash: TradeHash,
}

impl ChronoKey {
    /// Below every real key.
    pub const MIN: Self = Self {
        date: Date::NONE,
        part: DayPart::Opening,
        executed_at_ns: i64::MIN,
        source_order: 0,
        trade_id: TradeId::EMPTY,
        hash: TradeHash::NONE,
    };
}
