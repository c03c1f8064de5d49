//! Interned names: dense numbers by class, in the order of definition. Nothing allocates after `new`.

use alloc::vec::Vec;

use hashbrown::HashTable;

use crate::command::NameClass;
use crate::digest;
use crate::id::NameId;
use crate::limits::NAME_BYTES_MAX;

/// All names of a book.
#[derive(Debug)]
pub struct Names {
    classes: [Class; NameClass::COUNT],
}

#[derive(Debug)]
struct Class {
    text: Vec<u8>,
    /// End of each name in `text`.
    ends: Vec<u32>,
    hashes: Vec<u64>,
    index: HashTable<NameId>,
    capacity: usize,
}

impl Class {
    fn new(capacity: usize) -> Self {
        Self {
            text: Vec::with_capacity(capacity * NAME_BYTES_MAX),
            ends: Vec::with_capacity(capacity),
            hashes: Vec::with_capacity(capacity),
            index: HashTable::with_capacity(capacity),
            capacity,
        }
    }

    fn text(&self, id: NameId) -> Option<&[u8]> {
        let end = *self.ends.get(id as usize)? as usize;
        let start = if id == 0 { 0 } else { self.ends[id as usize - 1] as usize };
        Some(&self.text[start..end])
    }

    fn find(&self, text: &[u8]) -> Option<NameId> {
        self.index.find(digest::bytes(text), |&id| self.text(id) == Some(text)).copied()
    }
}

impl Names {
    /// Room for `capacity` names of each class.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { classes: core::array::from_fn(|_| Class::new(capacity)) }
    }

    /// The number of a name, if it is defined.
    #[must_use]
    pub fn find(&self, class: NameClass, text: &[u8]) -> Option<NameId> {
        self.classes[class as usize].find(text)
    }

    /// The text of a number, if it is defined.
    #[must_use]
    pub fn text(&self, class: NameClass, id: NameId) -> Option<&[u8]> {
        self.classes[class as usize].text(id)
    }

    /// The text of a number as a string; empty where it is not defined.
    #[must_use]
    pub fn str(&self, class: NameClass, id: NameId) -> &str {
        self.text(class, id).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or("")
    }

    /// The hash of a defined name.
    #[inline]
    #[must_use]
    pub fn hash(&self, class: NameClass, id: NameId) -> Option<u64> {
        self.classes[class as usize].hashes.get(id as usize).copied()
    }

    /// Number of names of a class.
    #[inline]
    #[must_use]
    pub fn len(&self, class: NameClass) -> usize {
        self.classes[class as usize].ends.len()
    }

    /// Whether another name of the class fits.
    #[must_use]
    pub fn has_room(&self, class: NameClass) -> bool {
        let class = &self.classes[class as usize];
        class.ends.len() < class.capacity
    }

    /// Defines the next name of a class. The caller has checked that it is new, fits, and has its length.
    pub fn define(&mut self, class: NameClass, text: &[u8]) -> NameId {
        assert!(self.has_room(class));
        assert!(text.len() <= NAME_BYTES_MAX);
        let class = &mut self.classes[class as usize];
        let id = class.ends.len() as NameId;
        let hash = digest::bytes(text);
        class.text.extend_from_slice(text);
        class.ends.push(class.text.len() as u32);
        class.hashes.push(hash);
        let hashes = &class.hashes;
        class.index.insert_unique(hash, id, |&id| hashes[id as usize]);
        id
    }
}
