//! Interned names, learned from the log as it is read.
//!
//! Every name is defined by a record of its own before its first use, so a reader from the start of
//! the log knows them all. Where retention has removed the start, a number without a name stays a number.

use std::borrow::Cow;
use std::collections::HashMap;

use lotbook_core::command::NameClass;
use lotbook_core::event::{Event, Reason};
use lotbook_core::id::NameId;

/// Number to text.
pub trait Names {
    /// The text of a number, where it is known.
    fn text(&self, class: NameClass, id: NameId) -> Option<Cow<'_, str>>;
}

impl Names for lotbook_core::names::Names {
    fn text(&self, class: NameClass, id: NameId) -> Option<Cow<'_, str>> {
        self.text(class, id).map(String::from_utf8_lossy)
    }
}

/// The names that a reader of the log has seen defined.
#[derive(Debug, Default)]
pub struct LearnedNames {
    texts: HashMap<(NameClass, NameId), Box<str>>,
}

impl LearnedNames {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the name that an event defines, if it does. Call it for every event, in order.
    pub fn learn(&mut self, event: &Event<'_>) {
        if let Event::Defined { class, id, reason: Reason::None, text, .. } = event {
            self.texts.insert((*class, *id), String::from_utf8_lossy(text).into());
        }
    }

    /// Takes a name from elsewhere: where a reader begins in the middle, its host knows those defined before.
    pub fn insert(&mut self, class: NameClass, id: NameId, text: Box<str>) {
        self.texts.insert((class, id), text);
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether a number stands for this text.
    #[must_use]
    pub fn is(&self, class: NameClass, id: NameId, text: &str) -> bool {
        self.texts.get(&(class, id)).is_some_and(|known| **known == *text)
    }
}

impl Names for LearnedNames {
    fn text(&self, class: NameClass, id: NameId) -> Option<Cow<'_, str>> {
        self.texts.get(&(class, id)).map(|text| Cow::Borrowed(&**text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lotbook_core::command::Origin;
    use lotbook_core::id::NO_NAME;

    #[test]
    fn defined_names_are_known_and_refused_ones_are_not() {
        let mut names = LearnedNames::new();
        let defined = |class, id, reason, text| Event::Defined { origin: Origin::INTERNAL, class, id, reason, text };
        names.learn(&defined(NameClass::Account, 7, Reason::None, b"A1"));
        names.learn(&defined(NameClass::Account, NO_NAME, Reason::NameCapacity, b"A2"));
        assert_eq!(names.len(), 1, "the log may begin in the middle: 7 is the first one seen");
        assert_eq!(names.text(NameClass::Account, 7).as_deref(), Some("A1"));
        assert!(names.is(NameClass::Account, 7, "A1"));
        assert_eq!(names.text(NameClass::Instrument, 7), None);
        assert_eq!(names.text(NameClass::Account, NO_NAME), None);
    }
}
