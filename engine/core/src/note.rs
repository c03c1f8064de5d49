//! Short text of a person, stored inline: why an operator did what he did.

use core::fmt;

use crate::limits::NOTE_BYTES_MAX;

/// Text of at most [`NOTE_BYTES_MAX`] bytes.
#[derive(Clone, Copy)]
pub struct Note {
    bytes: [u8; NOTE_BYTES_MAX],
    len: u8,
}

impl Note {
    /// Takes the text, or `None` when it is longer than the limit.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; NOTE_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, len: text.len() as u8 })
    }

    /// The bytes as given.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The text; the doors admit UTF-8 only, so this is what the person gave.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or("<not text>")
    }
}

impl PartialEq for Note {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for Note {}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}
