//! Records of the office's log, and their way to and from bytes.
//!
//! Version 1, little endian: length of the JSON text u32, the text, and behind a letter its bytes as they came. The text
//! holds what people may want to read with nothing but a dump at hand.

use serde::{Deserialize, Serialize};

use super::controls::Given;
use super::letter::{Deed, Letter};

/// Kinds of records. Numbers are never reused.
pub(super) mod kind {
    /// A dead letter; its number is the record's sequence.
    pub(in super::super) const LETTER: u16 = 90;
    /// Something that was done about one.
    pub(in super::super) const DEED: u16 = 91;
    /// What an operator stops, or takes again.
    pub(in super::super) const ORDER: u16 = 92;
}

/// What was done about which letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeedOf {
    /// The letter's number.
    pub(super) letter: u64,
    /// What.
    pub(super) deed: Deed,
}

/// The bytes of a letter's record.
pub(super) fn of_letter(letter: &Letter, raw: &[u8]) -> Vec<u8> {
    framed(letter, raw)
}

/// The bytes of a deed's record.
pub(super) fn of_deed(deed: &DeedOf) -> Vec<u8> {
    framed(deed, &[])
}

/// The bytes of an order's record.
pub(super) fn of_order(given: &Given) -> Vec<u8> {
    framed(given, &[])
}

/// An order.
pub(super) fn order(payload: &[u8]) -> Option<Given> {
    serde_json::from_slice(parts(payload)?.0).ok()
}

fn framed(what: &impl Serialize, raw: &[u8]) -> Vec<u8> {
    // Texts and numbers: they always serialize.
    let text = serde_json::to_vec(what).unwrap_or_default();
    let mut bytes = Vec::with_capacity(4 + text.len() + raw.len());
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&text);
    bytes.extend_from_slice(raw);
    bytes
}

/// A letter and its bytes.
pub(super) fn letter(payload: &[u8]) -> Option<(Letter, Vec<u8>)> {
    let (text, raw) = parts(payload)?;
    Some((serde_json::from_slice(text).ok()?, raw.to_vec()))
}

/// A deed.
pub(super) fn deed(payload: &[u8]) -> Option<DeedOf> {
    serde_json::from_slice(parts(payload)?.0).ok()
}

fn parts(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = payload.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}
