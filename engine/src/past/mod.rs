//! The past: a position as it was known at a moment, and as it stood on a date by that knowledge.
//!
//! Two times meet here. *Known at* a moment means by the events up to one sequence of the log, whatever came later. *As of* a date
//! means by what happened up to that business date, whenever it came. The events of one position are read along their back-links,
//! and those that speak to all positions along a chain of their own, from wherever the log has them: tail, segment, archive. The
//! shard, the follower's book and other positions are not asked, but for those that sent lots to this one.
//!
//! Only what is durable and published can be asked for, so that an answer once given is given again.

mod chain;
pub(crate) mod fact;
mod index;
mod moment;
mod one;
mod story;

use std::sync::Arc;

use lotbook_core::Date;
use lotbook_core::Scratch;
use lotbook_core::amount::Money;
use lotbook_core::codec::CodecError;
use lotbook_core::event::Figures;
use lotbook_core::history::Item;
use lotbook_core::id::{ChronoKey, NameId};
use lotbook_core::lots::Lot;
use lotbook_core::outcome::Outcome;
use lotbook_core::replay::{ReplayError, replay};
use lotbook_wal::{Log, ReadError};

use crate::read_model::{PositionView, ReadModel};
use crate::side_log::BodyError;

pub(crate) use index::Index;
use story::Story;

/// A moment of knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Everything that is known now: published and durable.
    Now,
    /// The events up to this log sequence.
    Sequence(u64),
    /// The events that were decided up to this time, UTC nanoseconds. The shard's clock may be set back; of several places in the
    /// log that fit, one is taken, and the answer names its sequence.
    Time(i64),
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Interned account.
    pub account: NameId,
    /// Interned instrument.
    pub instrument: NameId,
    /// The book of this business date. `None`, or a date that is not before the business date of that moment: as it stood then.
    pub as_of: Option<Date>,
    /// What was known.
    pub known_at: Moment,
    /// Corrections after this moment and up to the other are wanted.
    pub since: Option<Moment>,
}

/// What was known.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The position. Of a date before the moment's business date: without those that only today knows (`provisional_trade_ids`
    /// and `resolution` are the moment's), and `forward_quantity_e8` is what was known and is dated later.
    pub view: PositionView,
    /// The sequence that was asked for, or found for a time.
    pub known_at: u64,
    /// The business date at that moment, once there was one.
    pub business_date: Option<Date>,
    /// The date that the figures are of; `None`: as the position stood.
    pub as_of: Option<Date>,
    /// What was corrected between the two moments, oldest first.
    pub corrections: Vec<Correction>,
}

/// A correction of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Log sequence of its event.
    pub sequence: u64,
    /// When it was accepted, UTC nanoseconds.
    pub at_ns: i64,
    /// The position's version by it.
    pub version: u64,
    /// The version that it replaces: what was shown before it.
    pub base_version: u64,
    /// The first late change in it, empty for a contract's.
    pub cause: Box<str>,
    /// Log sequence of that change's event.
    pub cause_sequence: u64,
    /// Late changes that it reconciles.
    pub late: u32,
    /// Accepted trades that break a rule by it.
    pub breaks: u32,
    /// Figures before.
    pub before: Figures,
    /// Figures after.
    pub after: Figures,
    /// Exposure before and after, at the mark when it was accepted; `None` where there was none.
    pub exposures_e16: [Option<Money>; 2],
    /// The lots that it opens, changes and closes.
    pub lots: Vec<LotDifference>,
}

/// A lot around a correction. At least one of the two is there, and they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotDifference {
    /// The trade that opened it.
    pub trade_id: Box<str>,
    /// Before; `None`: the correction opens it.
    pub before: Option<Lot>,
    /// After; `None`: the correction closes it.
    pub after: Option<Lot>,
}

/// Why the past does not answer.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The position had no event by then.
    #[error("the position had no event by sequence {known_at}")]
    Unknown {
        /// The moment.
        known_at: u64,
    },
    /// The moment is not complete yet: not everything up to it is durable and published.
    #[error("sequence {asked} is beyond what is complete ({complete})")]
    Beyond {
        /// Asked for.
        asked: u64,
        /// The last one that can be asked for.
        complete: u64,
    },
    /// The second moment lies before the first.
    #[error("sequence {since} is not before {known_at}")]
    Order {
        /// The first.
        since: u64,
        /// The second.
        known_at: u64,
    },
    /// The log cannot be read there: retention dropped it and no archive has it, or it is damaged.
    #[error("reading the log: {0}")]
    Read(#[from] ReadError),
    /// A correction's body cannot be read.
    #[error("reading a correction: {0}")]
    Body(#[from] BodyError),
    /// A record that is none.
    #[error("record {sequence}: {error}")]
    Codec {
        /// Its sequence.
        sequence: u64,
        /// What is wrong.
        error: CodecError,
    },
    /// An event does not fit what came before it: the log is damaged, or this is a defect.
    #[error("event {sequence}: {what}")]
    Misfit {
        /// Its sequence.
        sequence: u64,
        /// What is wrong.
        what: String,
    },
    /// What was known cannot be booked in chronological order.
    #[error("replay: {0:?}")]
    Replay(ReplayError),
}

/// Answers for one host. Any number of threads may ask; they read the log side by side.
#[derive(Clone, Debug)]
pub struct Past {
    pub(crate) log: Arc<Log>,
    pub(crate) side: Arc<Log>,
    pub(crate) model: Arc<ReadModel>,
    pub(crate) index: Arc<Index>,
}

impl Past {
    /// The last sequence that can be asked for.
    #[must_use]
    pub fn complete(&self) -> u64 {
        self.model.published_sequence().min(self.log.durable_sequence())
    }

    /// What was known of a position. Blocks on the disk: it reads the position's events up to the moment, and those after it once.
    ///
    /// # Errors
    /// [`PastError`].
    pub fn ask(&self, question: &Question) -> Result<Answer, PastError> {
        let known_at = self.sequence_of(question.known_at)?;
        let since = question.since.map(|since| self.sequence_of(since)).transpose()?;
        if let Some(since) = since.filter(|since| *since > known_at) {
            return Err(PastError::Order { since, known_at });
        }
        let number = self.index.number(question.account, question.instrument);
        let number = number.ok_or(PastError::Unknown { known_at })?;
        let story = Story::read(self, number, known_at, since)?;
        let one = story.told(number);
        let business_date = one.state.book.business_date();
        let is_before = |date: &Date| match business_date {
            Some(today) => *date < today,
            None => *date < one.position().frontier.date,
        };
        let as_of = question.as_of.filter(is_before);
        let view = match as_of {
            None => story.as_it_stood(number),
            Some(date) => story.on(number, date, &replay_to(&story, number, date)?),
        };
        let corrections = match since {
            Some(since) => story.corrections(number, since),
            None => Vec::new(),
        };
        Ok(Answer { view, known_at, business_date, as_of, corrections })
    }
}

/// The book of a date by what was known, booked in chronological order; with it, how much was known and is dated later.
pub(crate) struct OnDate {
    outcome: Outcome,
    later_e8: i64,
}

fn replay_to(story: &Story, number: u32, date: Date) -> Result<OnDate, PastError> {
    let one = story.told(number);
    let (book, position) = (&one.state.book, one.position());
    let effective = one.history.effective(Some(date));
    let mut items = effective.items;
    let is_later = |item: &Item| item.key().date > date;
    let signed = |item: &Item| match item {
        Item::Trade(input) => i128::from(input.signed_quantity_e8()),
        Item::Action(_) | Item::Arrival(_) => 0,
    };
    let later = items.iter().filter(|item| is_later(item)).map(signed).sum::<i128>();
    items.retain(|item| !is_later(item));
    let actions = book.actions().after(position.instrument, &ChronoKey::MIN).map(|(_, input)| *input);
    items.extend(actions.map(Item::Action).filter(|item| !is_later(item)));
    let multiplier_e8 = book.instrument(position.instrument).map_or(0, |instrument| instrument.terms.multiplier_e8);
    let outcome = replay(&mut items, book.contracts(), multiplier_e8, &mut Scratch::unbounded());
    let waiting = effective.forwards.map_or(0, |(_, quantity_e8, _)| i128::from(quantity_e8));
    Ok(OnDate {
        outcome: outcome.map_err(PastError::Replay)?,
        // What waits was bounded when it was accepted, and so was what is booked.
        later_e8: i64::try_from(later + waiting).unwrap_or(0),
    })
}
