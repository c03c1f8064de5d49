//! Wash sales of the naive model (rule 11): a view over the history of one instrument in all accounts.
//!
//! First the history is told as steps, with all openings; then one walk over it. Units of a lot are runs, in the order
//! in which they leave: matched ones in the order of their matches, then free ones in the order in which they came.

use std::collections::BTreeMap;

use super::actions::Kind;
use super::history::Item;
use super::holding::is_long_term;
use super::in_force::{Contract, Rules, Wash, in_force};
use super::lots::{Book, Figures};
use super::numbers::{add, share, sub};
use super::words::{Day, Id, Name, Reason};
use super::world::{Seen, World};

/// Units of a lot that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which opening they came by, by its place in [`Told::openings`].
    opening: usize,
    /// They have replaced others, as the so manieth match; else they are free.
    matched: Option<usize>,
    /// How many.
    pub units: i128,
    /// What they carry.
    pub addition: i128,
    /// By how many days they count as held longer.
    pub tacked: Day,
}

/// A trade that opens a lot, or enlarges one.
#[derive(Clone, Debug)]
struct Opening {
    account: Name,
    trade: Id,
    lot: Id,
    is_short: bool,
    units: i128,
    date: Day,
    taxpayer: Name,
    /// The step at which it takes place.
    step: usize,
}

/// A part of a lot that is closed, or a whole one.
#[derive(Clone, Debug)]
struct Closed {
    lot: Id,
    acquired: Day,
    units: i128,
    realized: i128,
    is_long_term: bool,
}

/// What takes place in the instrument.
#[derive(Clone, Debug)]
enum What {
    /// New units for old ones, wherever there are any.
    Ratio(i128, i128),
    /// Parts of lots are closed. By a trade, what they lose may be a wash sale; the trade may open, too.
    Closes { parts: Vec<Closed>, by_a_trade: bool, opening: Option<usize> },
    /// The units of the lots become so many, by lot in lot order; zero: gone.
    Scales(Vec<(Id, i128)>),
    /// All lots are struck anew, or lost: each realizes this.
    Strikes { parts: Vec<Closed>, are_gone: bool },
}

#[derive(Clone, Debug)]
struct Step {
    account: Name,
    cause: Id,
    date: Day,
    is_short: bool,
    rules: Rules,
    what: What,
}

/// The history of an instrument.
#[derive(Clone, Debug, Default)]
struct Told {
    steps: Vec<Step>,
    openings: Vec<Opening>,
}

/// Units that replace others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// In this account.
    pub account: Name,
    /// The trade that opened them.
    pub trade: Id,
    /// The trade that opened their lot.
    pub lot: Id,
    /// How many.
    pub units: i128,
    /// What they carry from this loss.
    pub addition: i128,
    /// Days by which their holding period is longer.
    pub tacked: Day,
}

/// A loss of which at least a part is disallowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Account.
    pub account: Name,
    /// The closing trade.
    pub trade: Id,
    /// Its date.
    pub date: Day,
    /// The trade that opened the lot.
    pub lot: Id,
    /// Units sold.
    pub units: i128,
    /// What they realized in the plain book.
    pub realized: i128,
    /// What they carried.
    pub addition: i128,
    /// How many of them are replaced.
    pub matched: i128,
    /// What is disallowed.
    pub disallowed: i128,
    /// By what.
    pub replacements: Vec<Replacement>,
}

/// Sums of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Disallowed.
    pub disallowed: i128,
    /// Additions that left with their units.
    pub left: i128,
    /// Additions that open units carry.
    pub carried: i128,
    /// The long-term part as adjusted, less the plain one.
    pub long_shift: i128,
}

/// Units as they are shown, what they carry, and by how many days they count as held longer.
pub type Shown = (i128, i128, Day);

/// The view of an instrument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// In chronological order.
    pub losses: Vec<Loss>,
    /// By account and the trade that opened the lot: its units as they would leave.
    pub lots: BTreeMap<(Name, Id), Vec<Run>>,
    /// By account.
    pub totals: BTreeMap<Name, Totals>,
}

impl View {
    /// Open lots that are not as in the plain book, as they are shown: units next to each other that carry nothing, and
    /// are held for as long, as one.
    #[must_use]
    pub fn shown(&self) -> BTreeMap<&(Name, Id), Vec<Shown>> {
        let mut all = BTreeMap::new();
        for (key, runs) in &self.lots {
            let mut shown: Vec<Shown> = Vec::new();
            for run in runs {
                match shown.last_mut() {
                    Some(last) if last.1 == 0 && run.addition == 0 && last.2 == run.tacked => last.0 += run.units,
                    _ => shown.push((run.units, run.addition, run.tacked)),
                }
            }
            if shown.iter().any(|piece| (piece.1, piece.2) != (0, 0)) {
                all.insert(key, shown);
            }
        }
        all
    }
}

/// The wash sales of an instrument; `None` where lots of it left for other positions or arrived.
///
/// # Errors
/// A sum that leaves its range, or a history that cannot be booked.
pub fn wash_sales(world: &World, instrument: Name) -> Result<Option<View>, Reason> {
    let (mut told, mut moved) = (Told::default(), false);
    world
        .book_before(&mut |seen| match seen {
            Seen::Cause(Item::Action(_, action)) if action.instrument == instrument => {
                if let Kind::Split { numerator, denominator, .. } = action.kind {
                    told.ratio(&action.id, action.place(), numerator, denominator);
                }
            }
            Seen::Cause(_) => {}
            Seen::Did { place, cause, arrival, before, after, figures } if place.1 == instrument => {
                moved |= arrival.is_some() || !figures.leaves.is_empty();
                told.did(&world.contracts, place.0, cause, before, after, figures);
            }
            Seen::Did { .. } => {}
        })
        .map_err(|(_, reason)| reason)?;
    if moved { Ok(None) } else { Walk::over(&told).map(Some) }
}

impl Told {
    fn ratio(&mut self, cause: &Id, date: Day, numerator: i128, denominator: i128) {
        let what = What::Ratio(numerator, denominator);
        self.steps.push(Step { account: 0, cause: cause.clone(), date, is_short: false, rules: Rules::DEFAULT, what });
    }

    /// What an item did to the position of an account.
    fn did(
        &mut self,
        contracts: &[Contract],
        account: Name,
        cause: &Item,
        before: &Book,
        after: &Book,
        figures: &Figures,
    ) {
        let key = cause.key();
        let (date, is_short) = (key.date, before.is_short);
        let (instrument, named) = match cause {
            Item::Trade(trade) => (trade.instrument, trade.contract),
            Item::Action(_, action) => (action.instrument, None),
        };
        let rules = in_force(contracts, account, instrument, named, date)
            .or_else(|_| in_force(contracts, account, instrument, None, date))
            .expect("no contract is named");
        let mut push = |what| {
            self.steps.push(Step { account, cause: key.id.clone(), date, is_short, rules, what });
        };
        let parts: Vec<Closed> = figures
            .allocations
            .iter()
            .map(|part| Closed {
                lot: part.lot.origin.clone(),
                acquired: part.lot.acquired,
                units: part.quantity,
                realized: part.realized,
                is_long_term: part.is_long_term,
            })
            .collect();
        // What every lot realizes by an action that says it lot by lot.
        let each = |realized: &dyn Fn(usize) -> i128| -> Vec<Closed> {
            let of = |(at, lot): (usize, &super::lots::Lot)| Closed {
                lot: lot.origin.clone(),
                acquired: lot.acquired,
                units: lot.quantity,
                realized: realized(at),
                is_long_term: is_long_term(lot.acquired, date, is_short, &rules),
            };
            before.lots.iter().enumerate().map(of).collect()
        };
        let sign = if is_short { -1 } else { 1 };
        match cause {
            Item::Trade(trade) => {
                let opening = (figures.opened > 0).then_some(self.openings.len());
                if opening.is_some() {
                    let date = if figures.enlarges { trade.date } else { trade.acquired.unwrap_or(trade.date) };
                    self.openings.push(Opening {
                        account,
                        trade: trade.id.clone(),
                        lot: trade.lot.clone().filter(|_| figures.enlarges).unwrap_or_else(|| trade.id.clone()),
                        is_short: after.is_short,
                        units: figures.opened,
                        date,
                        taxpayer: rules.taxpayer.unwrap_or(account),
                        step: self.steps.len(),
                    });
                }
                let what = What::Closes { parts, by_a_trade: true, opening };
                self.steps.push(Step { account, cause: key.id.clone(), date, is_short, rules, what });
            }
            _ if figures.broken.is_some() => {}
            Item::Action(_, action) => match action.kind {
                Kind::Split { .. } if after.lots.is_empty() && parts.is_empty() => {
                    let parts = each(&|at| -sign * before.lots[at].cost);
                    push(What::Strikes { parts, are_gone: true });
                }
                Kind::Split { .. } => {
                    // What is paid out is taken from the new units.
                    let units = |origin: &Id| -> i128 {
                        let held: i128 =
                            after.lots.iter().filter(|lot| lot.origin == *origin).map(|lot| lot.quantity).sum();
                        let paid: i128 = parts.iter().filter(|part| part.lot == *origin).map(|part| part.units).sum();
                        held + paid
                    };
                    let new = before.lots.iter().map(|lot| (lot.origin.clone(), units(&lot.origin))).collect();
                    push(What::Scales(new));
                    push(What::Closes { parts, by_a_trade: false, opening: None });
                }
                Kind::Reset { .. } => {
                    let parts = each(&|at| sign * (after.lots[at].cost - before.lots[at].cost));
                    push(What::Strikes { parts, are_gone: false });
                }
                Kind::Merger { .. } => push(What::Closes { parts, by_a_trade: false, opening: None }),
                _ => {}
            },
        }
    }
}

/// Units that have left, and what they realized.
struct Piece {
    lot: Id,
    acquired: Day,
    realized: i128,
    run: Run,
}

struct Walk<'a> {
    told: &'a Told,
    /// Of openings that are still to come: units that have replaced others already.
    promised: Vec<Vec<Run>>,
    matches: usize,
    view: View,
}

impl<'a> Walk<'a> {
    fn over(told: &'a Told) -> Result<View, Reason> {
        let promised = vec![Vec::new(); told.openings.len()];
        let mut walk = Self { told, promised, matches: 0, view: View::default() };
        for (at, step) in told.steps.iter().enumerate() {
            match &step.what {
                What::Ratio(..) => {}
                What::Closes { parts, by_a_trade, opening } => {
                    let pieces = walk.close(step, parts)?;
                    if *by_a_trade && step.rules.wash != Wash::None {
                        for piece in pieces.iter().filter(|piece| piece.realized < piece.run.addition) {
                            walk.lose(at, step, piece)?;
                        }
                    }
                    if let Some(opening) = opening {
                        walk.open(*opening);
                    }
                }
                What::Scales(lots) => walk.scale(step.account, lots)?,
                What::Strikes { parts, are_gone } => walk.strike(step, parts, *are_gone)?,
            }
        }
        for ((account, _), runs) in &walk.view.lots {
            for run in runs.iter().filter(|run| run.addition != 0) {
                let totals = walk.view.totals.entry(*account).or_default();
                totals.carried = add(totals.carried, run.addition)?;
            }
        }
        Ok(walk.view)
    }

    fn totals(&mut self, account: Name) -> &mut Totals {
        self.view.totals.entry(account).or_default()
    }

    /// What is realized counts as long-term or short-term by how long the units count as held.
    fn realize(&mut self, step: &Step, acquired: Day, was_long: bool, realized: i128, run: &Run) -> Result<(), Reason> {
        let is_long = self.is_long(step, acquired, run);
        let totals = self.totals(step.account);
        totals.left = add(totals.left, run.addition)?;
        let adjusted = if is_long { sub(realized, run.addition)? } else { 0 };
        let plain = if was_long { realized } else { 0 };
        totals.long_shift = add(totals.long_shift, sub(adjusted, plain)?)?;
        Ok(())
    }

    fn is_long(&self, step: &Step, acquired: Day, run: &Run) -> bool {
        is_long_term(acquired - run.tacked, step.date, step.is_short, &step.rules)
    }

    /// Units leave their lots.
    fn close(&mut self, step: &Step, parts: &[Closed]) -> Result<Vec<Piece>, Reason> {
        let mut pieces = Vec::new();
        for part in parts {
            let (mut wanted, mut before) = (part.units, 0);
            while wanted > 0 {
                let runs = self.view.lots.get_mut(&(step.account, part.lot.clone())).expect("an open lot");
                let first = &mut runs[0];
                let units = first.units.min(wanted);
                let addition = share(first.addition, units, first.units)?;
                let gone = Run { units, addition, ..first.clone() };
                (first.units, first.addition) = (first.units - units, first.addition - addition);
                runs.retain(|run| run.units > 0);
                wanted -= units;
                let until = cumulated(part.realized, part.units - wanted, part.units)?;
                let realized = until - before;
                before = until;
                self.realize(step, part.acquired, part.is_long_term, realized, &gone)?;
                pieces.push(Piece { lot: part.lot.clone(), acquired: part.acquired, realized, run: gone });
            }
            self.view.lots.retain(|_, runs| !runs.is_empty());
        }
        Ok(pieces)
    }

    /// Old units are so many new ones for an opening that comes later.
    fn forward(&self, mut units: i128, from: usize, to: usize) -> i128 {
        for step in &self.told.steps[from..to] {
            if let What::Ratio(numerator, denominator) = step.what {
                units = units * numerator / denominator;
            }
        }
        units
    }

    /// And back.
    fn back(&self, mut units: i128, from: usize, to: usize) -> i128 {
        for step in self.told.steps[from..to].iter().rev() {
            if let What::Ratio(numerator, denominator) = step.what {
                units = units * denominator / numerator;
            }
        }
        units
    }

    /// Looks for what replaces the units of a piece that is lost, and gives it the loss.
    fn lose(&mut self, at: usize, step: &Step, piece: &Piece) -> Result<(), Reason> {
        let own = step.rules.taxpayer.unwrap_or(step.account);
        let window = step.rules.wash_window;
        let mut candidates: Vec<usize> = (0..self.told.openings.len())
            .filter(|number| {
                let opening = &self.told.openings[*number];
                let is_mine =
                    opening.account == step.account || (step.rules.wash == Wash::Taxpayer && opening.taxpayer == own);
                *number != piece.run.opening
                    && is_mine
                    && opening.is_short == step.is_short
                    && (opening.date - step.date).abs() <= window
            })
            .collect();
        candidates.sort_by_key(|number| self.told.openings[*number].date);
        // What replaces, with how many units sold it stands for.
        let (mut left, mut found) = (piece.run.units, Vec::new());
        for number in candidates {
            let opening = &self.told.openings[number];
            let is_to_come = opening.step > at;
            let wanted = if is_to_come { self.forward(left, at, opening.step) } else { left };
            let units = wanted.min(self.free(number, is_to_come));
            if units == 0 {
                continue;
            }
            let sold = match units == wanted {
                true => left,
                false if is_to_come => self.back(units, at, opening.step),
                false => units,
            };
            if sold == 0 {
                // They stand for no unit.
                continue;
            }
            left -= sold;
            found.push((number, is_to_come, units, sold));
            if left == 0 {
                break;
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let (sold, matched) = (piece.run.units, piece.run.units - left);
        let disallowed = cumulated(sub(piece.run.addition, piece.realized)?, matched, sold)?;
        let tacked = step.date - piece.acquired + piece.run.tacked;
        let (mut until, mut given, mut replacements) = (0, 0, Vec::new());
        for (number, is_to_come, units, sold) in found {
            until += sold;
            let before = given;
            given = cumulated(disallowed, until, matched)?;
            let run = Run { opening: number, matched: Some(self.matches), units, addition: given - before, tacked };
            self.matches += 1;
            let opening = &self.told.openings[number];
            replacements.push(Replacement {
                account: opening.account,
                trade: opening.trade.clone(),
                lot: opening.lot.clone(),
                units,
                addition: run.addition,
                tacked,
            });
            self.hand_over(run, is_to_come)?;
        }
        let is_long = self.is_long(step, piece.acquired, &piece.run);
        let totals = self.totals(step.account);
        totals.disallowed = add(totals.disallowed, disallowed)?;
        totals.long_shift = add(totals.long_shift, if is_long { disallowed } else { 0 })?;
        self.view.losses.push(Loss {
            account: step.account,
            trade: step.cause.clone(),
            date: step.date,
            lot: piece.lot.clone(),
            units: piece.run.units,
            realized: piece.realized,
            addition: piece.run.addition,
            matched,
            disallowed,
            replacements,
        });
        Ok(())
    }

    /// Units of an opening that have replaced nothing.
    fn free(&self, number: usize, is_to_come: bool) -> i128 {
        let opening = &self.told.openings[number];
        if is_to_come {
            return opening.units - self.promised[number].iter().map(|run| run.units).sum::<i128>();
        }
        let runs = self.view.lots.values().flatten();
        runs.filter(|run| run.opening == number && run.matched.is_none()).map(|run| run.units).sum()
    }

    /// Free units of an opening become matched ones. What free ones carry since others vanished goes along.
    fn hand_over(&mut self, mut new: Run, is_to_come: bool) -> Result<(), Reason> {
        if is_to_come {
            self.promised[new.opening].push(new);
            return Ok(());
        }
        let is_it = |run: &Run| run.opening == new.opening && run.matched.is_none();
        let runs = self.view.lots.values_mut().find(|runs| runs.iter().any(is_it)).expect("there are free ones");
        let free = runs.iter_mut().find(|run| is_it(run)).expect("there are free ones");
        let along = share(free.addition, new.units, free.units)?;
        (free.units, free.addition) = (free.units - new.units, free.addition - along);
        new.addition = add(new.addition, along)?;
        runs.push(new);
        in_order_of_leaving(runs);
        Ok(())
    }

    /// A lot is opened or enlarged.
    fn open(&mut self, number: usize) {
        let opening = &self.told.openings[number];
        let promised = std::mem::take(&mut self.promised[number]);
        let units = opening.units - promised.iter().map(|run| run.units).sum::<i128>();
        let runs = self.view.lots.entry((opening.account, opening.lot.clone())).or_default();
        runs.extend(promised);
        runs.push(Run { opening: number, matched: None, units, addition: 0, tacked: 0 });
        in_order_of_leaving(runs);
    }

    /// Units of lots become others, by cumulated units; what a run or a lot that vanishes carries goes on.
    fn scale(&mut self, account: Name, lots: &[(Id, i128)]) -> Result<(), Reason> {
        let (mut orphaned, mut last): (i128, Option<Id>) = (0, None);
        for (lot, new) in lots {
            let runs = self.view.lots.get_mut(&(account, lot.clone())).expect("an open lot");
            let old: i128 = runs.iter().map(|run| run.units).sum();
            let (mut until, mut given, mut carried) = (0, 0, std::mem::take(&mut orphaned));
            for run in runs.iter_mut() {
                until += run.units;
                let new_until = super::numbers::floor(until, *new, old)?;
                (run.units, given) = (new_until - given, new_until);
                carried = add(carried, run.addition)?;
                run.addition = 0;
                if run.units > 0 {
                    run.addition = std::mem::take(&mut carried);
                }
            }
            runs.retain(|run| run.units > 0);
            match runs.last_mut() {
                Some(run) => {
                    run.addition = add(run.addition, carried)?;
                    last = Some(lot.clone());
                }
                None => orphaned = carried,
            }
        }
        self.view.lots.retain(|_, runs| !runs.is_empty());
        if let Some(lot) = last.filter(|_| orphaned != 0) {
            let run = &mut self.view.lots.get_mut(&(account, lot)).expect("an open lot")[0];
            run.addition = add(run.addition, orphaned)?;
        }
        Ok(())
    }

    /// All units realize what they carry, and what their lots do.
    fn strike(&mut self, step: &Step, parts: &[Closed], are_gone: bool) -> Result<(), Reason> {
        for part in parts {
            let key = (step.account, part.lot.clone());
            let runs = self.view.lots.get(&key).expect("an open lot").clone();
            let (mut until, mut before) = (0, 0);
            for run in &runs {
                until += run.units;
                let realized = cumulated(part.realized, until, part.units)?;
                self.realize(step, part.acquired, part.is_long_term, realized - before, run)?;
                before = realized;
            }
            match are_gone {
                true => drop(self.view.lots.remove(&key)),
                false => {
                    let runs = self.view.lots.get_mut(&key).expect("an open lot");
                    runs.iter_mut().for_each(|run| run.addition = 0);
                }
            }
        }
        Ok(())
    }
}

/// Matched ones in the order of their matches, then free ones in the order in which they came.
fn in_order_of_leaving(runs: &mut Vec<Run>) {
    runs.retain(|run| run.units > 0);
    runs.sort_by_key(|run| (run.matched.is_none(), run.matched, run.opening));
}

/// The share of so many units of all; nothing for none.
fn cumulated(total: i128, until: i128, whole: i128) -> Result<i128, Reason> {
    if until == 0 { Ok(0) } else { share(total, until, whole) }
}
