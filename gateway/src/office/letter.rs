//! A dead letter: an input that did not come in, as it came, with why, and what became of it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::gate::Class;

/// How its bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A line of JSON.
    Line,
    /// A FIX message.
    Fix,
}

/// What is known of an input that did not come in. The bytes lie beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Class of the reason.
    pub class: Class,
    /// The stable code.
    pub code: String,
    /// The reason in words.
    pub error: String,
    /// The field at fault, where there is one.
    pub field: Option<String>,
    /// Who brought it: `http`, or a FIX session.
    pub source: String,
    /// Its place there: the line of a body, MsgSeqNum.
    pub source_offset: u64,
    /// How its bytes are read.
    pub form: Form,
    /// Namespace of its id, where the source has one for all.
    pub namespace: Option<String>,
    /// Its own id, where that could be read.
    pub trade_id: Option<String>,
    /// Account, where that could be read.
    pub account: Option<String>,
    /// Instrument, where that could be read.
    pub instrument: Option<String>,
    /// Correlation id: what comes of it carries the same.
    pub correlation_id: String,
    /// When it was refused, UTC nanoseconds.
    pub at_ns: i64,
    /// Log sequence of the event that refuses it; 0 where no shard saw it.
    pub sequence: u64,
    /// Bytes that came; more than are kept where `is_cut`.
    pub raw_bytes: u64,
    /// Only the first bytes are kept.
    pub is_cut: bool,
}

/// Where a letter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for a person.
    Open,
    /// It came in after all.
    Resubmitted,
    /// Somebody has decided that it shall not come in.
    Discarded,
}

/// Something that was done about a letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Deed {
    /// The same bytes came from the same source again, and were refused again.
    Repeated {
        /// When, UTC nanoseconds.
        at_ns: i64,
    },
    /// Somebody sends it again.
    Sent {
        /// When, UTC nanoseconds.
        at_ns: i64,
        /// Who.
        user_id: String,
        /// Why.
        reason: String,
        /// The line that is sent in place of what came; `None`: as it came.
        corrected: Option<String>,
    },
    /// It came in.
    Taken {
        /// When, UTC nanoseconds.
        at_ns: i64,
        /// What became of it.
        outcome: String,
        /// Log sequence of its event, of a duplicate that of the first.
        sequence: u64,
    },
    /// It was refused again.
    Refused {
        /// When, UTC nanoseconds.
        at_ns: i64,
        /// The stable code.
        code: String,
        /// The reason in words.
        error: String,
    },
    /// Somebody has given it up.
    Discarded {
        /// When, UTC nanoseconds.
        at_ns: i64,
        /// Who.
        user_id: String,
        /// Why.
        reason: String,
    },
    /// It was the oldest, its time was over, and the room was needed.
    GaveWay {
        /// When, UTC nanoseconds.
        at_ns: i64,
    },
}

/// Deeds of a letter that are kept in memory, the newest; all are in the log.
pub const DEEDS_KEPT: usize = 32;

/// A letter with its bytes and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What is known of it.
    pub letter: Letter,
    /// Its bytes as they came.
    pub raw: Vec<u8>,
    /// Where it stands.
    pub state: State,
    /// How often it was tried.
    pub tries: u32,
    /// What was done about it, the oldest first.
    pub deeds: VecDeque<Deed>,
    /// Somebody sends it again right now.
    pub(super) is_busy: bool,
}

impl Kept {
    pub(super) fn new(letter: Letter, raw: Vec<u8>) -> Self {
        Self { letter, raw, state: State::Open, tries: 1, deeds: VecDeque::new(), is_busy: false }
    }

    /// What a deed makes of it.
    pub(super) fn note(&mut self, deed: Deed) {
        match &deed {
            Deed::Repeated { .. } | Deed::Sent { .. } => self.tries = self.tries.saturating_add(1),
            Deed::Taken { .. } => self.state = State::Resubmitted,
            Deed::Refused { code, error, .. } => {
                self.letter.class = Class::of(code);
                self.letter.code.clone_from(code);
                self.letter.error.clone_from(error);
            }
            Deed::Discarded { .. } => self.state = State::Discarded,
            Deed::GaveWay { .. } => {}
        }
        if self.deeds.len() == DEEDS_KEPT {
            self.deeds.pop_front();
        }
        self.deeds.push_back(deed);
    }
}
