//! History of the naive model: items in chronological order, booked from the beginning (rule 2).

use super::actions::{self, Action};
use super::in_force::{Contract, in_force};
use super::lots::{Book, Figures};
use super::moving;
use super::trade;
use super::words::{CONTRACT_NOT_IN_FORCE, Day, Id, Instrument, Name, OVERFLOW, Reason, Trade};

/// A place in history. Compares in chronological order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Effective date.
    pub date: Day,
    /// Part of the date: before its trades, its trades, after them, at its end.
    pub part: u8,
    /// Of a trade: the execution time. Else the rank of its kind within the part of the date.
    pub at: i64,
    /// Of a trade: the source order. Else zero.
    pub order: u64,
    /// The id, compared as bytes.
    pub id: Id,
    /// The hash of namespace and id.
    pub hash: u128,
}

/// The part of a date in which its trades stand.
pub const TRADING: u8 = 1;

/// Something in the history of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A trade or an opening lot.
    Trade(Trade),
    /// A corporate action or a reset, on the position of an account.
    Action(Name, Action),
}

impl Item {
    /// Its place.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Trade(trade) => Key {
                date: trade.date,
                part: TRADING,
                at: trade.executed_at,
                order: trade.source_order,
                id: trade.id.clone(),
                hash: trade.hash,
            },
            Self::Action(_, action) => {
                let (part, at) = action.rank();
                Key { date: action.place(), part, at, order: 0, id: action.id.clone(), hash: action.hash }
            }
        }
    }
}

/// What booking a history gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Booked {
    /// The position.
    pub book: Book,
    /// What each item did, in chronological order.
    pub items: Vec<(Id, Figures)>,
    /// Accepted items that break a rule at their place.
    pub breaks: Vec<(Id, Reason)>,
    /// The greatest key that was booked.
    pub frontier: Option<Key>,
}

/// Books one item at its place, whatever rule it breaks there. `None`: an action that is passed over on a flat position.
///
/// # Errors
/// `OVERFLOW`.
pub fn book_item(
    before: &Book,
    item: &Item,
    contracts: &[Contract],
    instrument: &Instrument,
) -> Result<Option<(Book, Figures)>, Reason> {
    match item {
        Item::Action(..) if before.lots.is_empty() => Ok(None),
        Item::Action(account, action) => {
            let rules = in_force(contracts, *account, action.instrument, None, action.place())?;
            match actions::book(before, *account, action, &rules, instrument) {
                Ok(booked) => Ok(Some(booked)),
                // Nothing changes, and it is a break.
                Err(OVERFLOW) => Ok(Some((before.clone(), Figures { broken: Some(OVERFLOW), ..Figures::default() }))),
                Err(reason) => Err(reason),
            }
        }
        Item::Trade(trade) => {
            let named = in_force(contracts, trade.account, trade.instrument, trade.contract, trade.date);
            // A named contract that does not hold is a break; then the rules in force without it are used.
            let (rules, broken) = match named {
                Ok(rules) => (rules, None),
                Err(_) => {
                    let rules = in_force(contracts, trade.account, trade.instrument, None, trade.date)?;
                    (rules, Some(CONTRACT_NOT_IN_FORCE))
                }
            };
            let booked = if trade.moves() {
                moving::transfer(before, trade, &rules)
            } else {
                trade::book(before, trade, &rules, instrument)
            };
            match booked {
                Ok((book, figures)) => Ok(Some((book, Figures { broken: broken.or(figures.broken), ..figures }))),
                // As for actions.
                Err(OVERFLOW) => Ok(Some((before.clone(), Figures { broken: Some(OVERFLOW), ..Figures::default() }))),
                Err(reason) => Err(reason),
            }
        }
    }
}

/// Books all items of a position in chronological order; what breaks a rule is booked and named.
///
/// # Errors
/// Why an item cannot be booked at all.
pub fn book_all(mut items: Vec<Item>, contracts: &[Contract], instrument: &Instrument) -> Result<Booked, Reason> {
    items.sort_by_cached_key(Item::key);
    let mut booked = Booked::default();
    for item in items {
        let Some((book, mut figures)) = book_item(&booked.book, &item, contracts, instrument)? else { continue };
        let key = item.key();
        figures.date = key.date;
        let id = key.id.clone();
        booked.frontier = Some(key);
        booked.breaks.extend(figures.broken.map(|reason| (id.clone(), reason)));
        booked.items.push((id, figures));
        booked.book = book;
    }
    Ok(booked)
}
