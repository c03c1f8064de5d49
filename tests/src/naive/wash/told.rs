//! The histories of all positions as the walk over wash sales of the naive model sees them: steps, and openings (rule 11).

use std::collections::{BTreeMap, BTreeSet};

use crate::naive::actions::Kind;
use crate::naive::history::Item;
use crate::naive::holding::is_long_term;
use crate::naive::in_force::{Contract, Rules, in_force};
use crate::naive::lots::{Allocation, Book, Figures, Leaving, Lot, Scaled};
use crate::naive::words::{Day, Id, Name, OVERFLOW, Reason};
use crate::naive::world::{Place, Seen, World};

/// A trade that opens a lot, or enlarges one.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    pub(super) place: Place,
    pub(super) trade: Id,
    /// The lot, by the trade that opened it.
    pub(super) lot: Id,
    /// Its place in lot order.
    pub(super) at: usize,
    pub(super) enlarges: bool,
    pub(super) is_short: bool,
    pub(super) units: i128,
    pub(super) date: Day,
    pub(super) taxpayer: Name,
    /// The step at which it takes place.
    pub(super) step: usize,
}

/// A part of a lot that is closed, or a whole one.
#[derive(Clone, Debug)]
pub(super) struct Closed {
    /// The lot's place in lot order.
    pub(super) at: usize,
    pub(super) lot: Id,
    pub(super) acquired: Day,
    pub(super) units: i128,
    pub(super) realized: i128,
    pub(super) is_long_term: bool,
}

/// A lot that arrives.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) origin: Id,
    pub(super) acquired: Day,
    pub(super) is_short: bool,
    /// What it closes on the other side.
    pub(super) parts: Vec<Closed>,
    /// How many of its units do not stay: they close others, or it is passed over.
    pub(super) lost: i128,
    /// Where the rest is in lot order.
    pub(super) at: Option<usize>,
    /// It was bought as another security.
    pub(super) is_spent: bool,
    pub(super) taxpayer: Name,
}

/// What takes place.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// New units for old ones, wherever there are any in the instrument.
    Ratio(i128, i128),
    /// Parts of lots are closed. By a trade, what they lose may be a wash sale; the trade may open, too.
    Closes { parts: Vec<Closed>, by_a_trade: bool, opening: Option<usize> },
    /// The units of the lots become so many, in lot order; zero: gone.
    Scales(Vec<i128>),
    /// All lots are struck anew, or lost: each realizes this.
    Strikes { parts: Vec<Closed>, are_gone: bool },
    /// So many units of the lots at these places leave for another position.
    Leaves { to: Place, parts: Vec<(usize, i128)> },
    /// Lots give a part of what they carry to new ones of so many units, of which some are paid out; the rest leaves.
    SpinsOff { to: Place, fraction: i128, units: Vec<i128>, paid: Vec<Closed> },
    /// A lot arrives from another position.
    Arrives(Arrival),
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) place: Place,
    pub(super) cause: Id,
    pub(super) date: Day,
    /// Of the lots before it.
    pub(super) is_short: bool,
    pub(super) rules: Rules,
    pub(super) what: What,
    /// What the plain book's lots have behind it, in lot order; `None`: more follows.
    pub(super) plain: Option<Vec<i128>>,
}

/// The histories of instruments.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) steps: Vec<Step>,
    pub(super) openings: Vec<Opening>,
    /// Arrivals of the cause at hand: they stand behind all else of it.
    arrivals: Vec<Step>,
    /// What is the same security, by the least instrument of it.
    pub(super) security: BTreeMap<Name, Name>,
    /// The lots in the end.
    pub(super) open: BTreeMap<Place, Vec<Lot>>,
}

/// Tells the history of these instruments.
pub(super) fn tell(world: &World, instruments: &BTreeSet<Name>) -> Result<Told, Reason> {
    let mut told = Told::default();
    let mut books = BTreeMap::new();
    world
        .book_before(&mut |seen| match seen {
            Seen::Cause(cause) => {
                told.end_cause();
                if let Item::Action(_, action) = cause {
                    match action.kind {
                        Kind::Split { numerator, denominator, .. } if instruments.contains(&action.instrument) => {
                            told.ratio(&action.id, action.instrument, action.place(), numerator, denominator);
                        }
                        Kind::SymbolChange { to } => told.is_one_security(action.instrument, to),
                        _ => {}
                    }
                }
            }
            Seen::Did { place, cause, arrival, before, after, figures } => {
                books.insert(place, after.lots.clone());
                if instruments.contains(&place.1) {
                    match arrival {
                        Some(arrival) => told.arrived(&world.contracts, place, cause, arrival, before, after, figures),
                        None => told.did(&world.contracts, place, cause, before, after, figures),
                    }
                }
            }
        })
        .map_err(|(_, reason)| reason)?;
    told.end_cause();
    books.retain(|place, _| instruments.contains(&place.1));
    told.open = books;
    Ok(told)
}

/// Units of the lots of a book.
fn units(book: &Book) -> Vec<i128> {
    book.lots.iter().map(|lot| lot.quantity).collect()
}

fn closed(parts: &[Allocation]) -> Vec<Closed> {
    let of = |part: &Allocation| Closed {
        at: part.at,
        lot: part.lot.origin.clone(),
        acquired: part.lot.acquired,
        units: part.quantity,
        realized: part.realized,
        is_long_term: part.is_long_term,
    };
    parts.iter().map(of).collect()
}

impl Told {
    fn ratio(&mut self, cause: &Id, instrument: Name, date: Day, numerator: i128, denominator: i128) {
        let (place, what) = ((0, instrument), What::Ratio(numerator, denominator));
        let rules = Rules::DEFAULT;
        self.steps.push(Step { place, cause: cause.clone(), date, is_short: false, rules, what, plain: None });
    }

    /// Two instruments are one security.
    fn is_one_security(&mut self, a: Name, b: Name) {
        let (a, b) = (self.security(a), self.security(b));
        for name in self.security.values_mut().filter(|name| **name == a.max(b)) {
            *name = a.min(b);
        }
        self.security.insert(a.max(b), a.min(b));
    }

    /// The least instrument of the same security.
    pub(super) fn security(&self, instrument: Name) -> Name {
        self.security.get(&instrument).copied().unwrap_or(instrument)
    }

    /// What arrived by a cause stands behind all else of it, by account, instrument and number.
    fn end_cause(&mut self) {
        self.arrivals.sort_by_key(|step| step.place);
        self.steps.append(&mut self.arrivals);
    }

    /// What an item did to the position for which it came.
    fn did(
        &mut self,
        contracts: &[Contract],
        place: Place,
        cause: &Item,
        before: &Book,
        after: &Book,
        figures: &Figures,
    ) {
        let key = cause.key();
        let named = match cause {
            Item::Trade(trade) => trade.contract,
            Item::Action(..) => None,
        };
        let rules = in_force(contracts, place.0, place.1, named, key.date)
            .or_else(|_| in_force(contracts, place.0, place.1, None, key.date))
            .expect("no contract is named");
        let is_short = before.is_short;
        let parts = closed(&figures.allocations);
        let whats = match cause {
            Item::Trade(trade) if trade.moves() => left_by_transfer(figures),
            Item::Trade(_) => {
                let opening = self.opening(place, cause, before, after, figures, &rules);
                vec![What::Closes { parts, by_a_trade: true, opening }]
            }
            _ if figures.broken.is_some() => vec![],
            Item::Action(_, action) => {
                // What every lot realizes by an action that says it lot by lot.
                let each = |lots: &[Lot], realized: &dyn Fn(usize) -> i128| -> Vec<Closed> {
                    let of = |(at, lot): (usize, &Lot)| Closed {
                        at,
                        lot: lot.origin.clone(),
                        acquired: lot.acquired,
                        units: lot.quantity,
                        realized: realized(at),
                        is_long_term: is_long_term(lot.acquired, key.date, is_short, &rules),
                    };
                    lots.iter().enumerate().map(of).collect()
                };
                let sign = if is_short { -1 } else { 1 };
                let new: Vec<i128> = figures.scaled.iter().map(|scaled| scaled.units).collect();
                let paid = What::Closes { parts: parts.clone(), by_a_trade: false, opening: None };
                match action.kind {
                    Kind::Split { .. } | Kind::StockMerger { .. } if new.iter().all(|units| *units == 0) => {
                        let lots: Vec<Lot> = figures.scaled.iter().map(|Scaled { lot, .. }| lot.clone()).collect();
                        vec![What::Strikes { parts: each(&lots, &|at| -sign * lots[at].cost), are_gone: true }]
                    }
                    Kind::Split { .. } => vec![What::Scales(new), paid],
                    Kind::StockMerger { to, .. } => {
                        vec![What::Scales(new), paid, all_leave((place.0, to), &figures.leaves)]
                    }
                    Kind::SymbolChange { to } => vec![all_leave((place.0, to), &figures.leaves)],
                    Kind::SpinOff { .. } if figures.scaled.is_empty() => vec![],
                    Kind::SpinOff { to, fraction, .. } => {
                        let paid = closed(&figures.paid);
                        vec![What::SpinsOff { to: (place.0, to), fraction, units: new, paid }]
                    }
                    Kind::Reset { .. } => {
                        let realized = |at: usize| sign * (after.lots[at].cost - before.lots[at].cost);
                        vec![What::Strikes { parts: each(&before.lots, &realized), are_gone: false }]
                    }
                    Kind::Merger { .. } => vec![paid],
                    Kind::ReturnOfCapital { .. } | Kind::Dividend { .. } => vec![],
                }
            }
        };
        for what in whats {
            self.steps.push(Step { place, cause: key.id.clone(), date: key.date, is_short, rules, what, plain: None });
        }
        if let Some(last) = self.steps.last_mut().filter(|last| last.place == place && last.cause == key.id) {
            last.plain = Some(units(after));
        }
    }

    /// What a trade opens or enlarges.
    fn opening(
        &mut self,
        place: Place,
        cause: &Item,
        before: &Book,
        after: &Book,
        figures: &Figures,
        rules: &Rules,
    ) -> Option<usize> {
        let Item::Trade(trade) = cause else { unreachable!("a trade opens") };
        if figures.opened == 0 {
            return None;
        }
        let (lot, at, date) = match &trade.lot {
            Some(lot) if figures.enlarges => {
                let at = before.lots.iter().position(|open| open.origin == *lot).expect("it is enlarged");
                (lot.clone(), at, trade.date)
            }
            _ => {
                let date = trade.acquired.map_or(trade.date, |acquired| acquired.min(trade.date));
                (trade.id.clone(), newest(after, date), date)
            }
        };
        self.openings.push(Opening {
            place,
            trade: trade.id.clone(),
            lot,
            at,
            enlarges: figures.enlarges,
            is_short: after.is_short,
            units: figures.opened,
            date,
            taxpayer: rules.taxpayer.unwrap_or(place.0),
            step: self.steps.len(),
        });
        Some(self.openings.len() - 1)
    }

    /// What a lot that came from another position did.
    #[allow(clippy::too_many_arguments, reason = "what arrives where, and what the plain book made of it")]
    fn arrived(
        &mut self,
        contracts: &[Contract],
        place: Place,
        cause: &Item,
        arrival: &Leaving,
        before: &Book,
        after: &Book,
        figures: &Figures,
    ) {
        let key = cause.key();
        let rules = in_force(contracts, place.0, place.1, None, key.date).expect("no contract is named");
        let Leaving { lot, is_short, .. } = arrival;
        let is_passed_over = figures.broken == Some(OVERFLOW);
        let another = |kind: &Kind| matches!(kind, Kind::StockMerger { .. } | Kind::SpinOff { .. });
        let what = What::Arrives(Arrival {
            origin: lot.origin.clone(),
            acquired: lot.acquired,
            is_short: *is_short,
            parts: closed(&figures.allocations),
            lost: if is_passed_over { lot.quantity } else { figures.closed },
            at: (figures.opened > 0).then(|| newest(after, lot.acquired)),
            is_spent: matches!(cause, Item::Action(_, action) if another(&action.kind)),
            taxpayer: rules.taxpayer.unwrap_or(place.0),
        });
        let plain = Some(units(after));
        let (cause, date, is_short) = (key.id, key.date, before.is_short);
        self.arrivals.push(Step { place, cause, date, is_short, rules, what, plain });
    }
}

/// The place of the lot that was opened last among those of its date: behind the others.
fn newest(after: &Book, acquired: Day) -> usize {
    after.lots.iter().filter(|lot| lot.acquired <= acquired).count() - 1
}

/// All lots leave.
fn all_leave(to: Place, leaves: &[Leaving]) -> What {
    What::Leaves { to, parts: leaves.iter().map(|leaving| leaving.lot.quantity).enumerate().collect() }
}

/// Parts of lots leave for another account.
fn left_by_transfer(figures: &Figures) -> Vec<What> {
    let parts: Vec<(usize, i128)> = figures.leaves.iter().map(|leaving| (leaving.at, leaving.lot.quantity)).collect();
    figures.leaves.first().map(|first| What::Leaves { to: first.to, parts }).into_iter().collect()
}
