//! The walk over what was told of wash sales of the naive model: losses, what replaces them, and what units carry
//! (rule 11).

use std::collections::{BTreeMap, VecDeque};

use super::told::{Arrival, Closed, Step, Told, What};
use super::units::{Held, cumulated, scale};
use super::{Came, Loss, Replacement, Run, Totals, View};
use crate::naive::holding::is_long_term;
use crate::naive::in_force::Wash;
use crate::naive::numbers::{add, convert, sub};
use crate::naive::words::{Day, Id, Reason};
use crate::naive::world::Place;

/// Units that have left, and what they realized.
struct Piece {
    lot: Id,
    acquired: Day,
    realized: i128,
    run: Run,
}

/// Where units that may replace others are.
#[derive(Clone, Copy)]
enum Where {
    /// They are still to be opened.
    ToCome,
    /// In this run of this lot of a position.
    At(Place, usize, usize),
}

/// Units that replace others, of an opening, with how many units sold they stand for.
struct Found {
    opening: usize,
    place: Where,
    units: i128,
    sold: i128,
}

struct Walk<'a> {
    told: &'a Told,
    /// By position, in its lot order.
    lots: BTreeMap<Place, Vec<Held>>,
    /// Of openings that are still to come: units that have replaced others already.
    promised: Vec<Vec<Run>>,
    /// Units on their way, by the position where they arrive.
    under_way: BTreeMap<Place, VecDeque<Vec<Run>>>,
    matches: usize,
    arrivals: usize,
    view: View,
}

/// The view of all that was told.
pub(super) fn over(told: &Told) -> Result<View, Reason> {
    let mut walk = Walk {
        told,
        lots: BTreeMap::new(),
        promised: vec![Vec::new(); told.openings.len()],
        under_way: BTreeMap::new(),
        matches: 0,
        arrivals: 0,
        view: View::default(),
    };
    for at in 0..told.steps.len() {
        walk.step(at)?;
    }
    for (place, lots) in walk.lots {
        let plain = &told.open[&place];
        assert_eq!(lots.len(), plain.len(), "the lots of {place:?}");
        for (at, (lot, plain)) in lots.into_iter().zip(plain).enumerate() {
            assert_eq!((&lot.origin, lot.units()), (&plain.origin, plain.quantity), "the units of {place:?}");
            let totals = walk.view.totals.entry(place).or_default();
            for run in &lot.runs {
                totals.carried = add(totals.carried, run.addition)?;
            }
            walk.view.lots.insert((place, at, lot.origin), lot.runs);
        }
    }
    Ok(walk.view)
}

impl Walk<'_> {
    fn step(&mut self, at: usize) -> Result<(), Reason> {
        let step = &self.told.steps[at];
        match &step.what {
            What::Ratio(..) => {}
            What::Closes { parts, by_a_trade, opening } => {
                let pieces = self.close(step, parts)?;
                if *by_a_trade && step.rules.wash != Wash::None {
                    for piece in pieces.iter().filter(|piece| piece.realized < piece.run.addition) {
                        self.lose(at, step, piece)?;
                    }
                }
                if let Some(opening) = opening {
                    self.open(*opening);
                }
            }
            What::Scales(new) => scale(self.lots.entry(step.place).or_default(), new)?,
            What::Strikes { parts, are_gone } => self.strike(step, parts, *are_gone)?,
            What::Leaves { to, parts } => {
                let lots = self.lots.entry(step.place).or_default();
                for (at, units) in parts {
                    let gone = lots[*at].give(*units)?;
                    self.under_way.entry(*to).or_default().push_back(gone);
                    self.view.moved.insert((step.place, *to));
                }
                lots.retain(|lot| !lot.runs.is_empty());
            }
            What::SpinsOff { to, fraction, units, paid } => self.spin_off(step, *to, *fraction, units, paid)?,
            What::Arrives(arrival) => self.arrive(step, arrival)?,
        }
        if let Some(plain) = &step.plain {
            let units: Vec<i128> = self.lots.entry(step.place).or_default().iter().map(Held::units).collect();
            assert_eq!(units, *plain, "units in {:?} behind {}", step.place, step.cause);
        }
        Ok(())
    }

    fn totals(&mut self, place: Place) -> &mut Totals {
        self.view.totals.entry(place).or_default()
    }

    /// What is realized counts as long-term or short-term by how long the units count as held.
    fn realize(&mut self, step: &Step, acquired: Day, was_long: bool, realized: i128, run: &Run) -> Result<(), Reason> {
        let is_long = is_long(step, acquired, run);
        let totals = self.totals(step.place);
        totals.left = add(totals.left, run.addition)?;
        let adjusted = if is_long { sub(realized, run.addition)? } else { 0 };
        let plain = if was_long { realized } else { 0 };
        totals.long_shift = add(totals.long_shift, sub(adjusted, plain)?)?;
        Ok(())
    }

    /// What a part of a lot realized is its runs' by cumulated units.
    fn realize_all(&mut self, step: &Step, part: &Closed, gone: Vec<Run>) -> Result<Vec<Piece>, Reason> {
        let (mut units, mut before, mut pieces) = (0, 0, Vec::new());
        for run in gone {
            units += run.units;
            let until = cumulated(part.realized, units, part.units)?;
            let realized = sub(until, before)?;
            before = until;
            self.realize(step, part.acquired, part.is_long_term, realized, &run)?;
            pieces.push(Piece { lot: part.lot.clone(), acquired: part.acquired, realized, run });
        }
        Ok(pieces)
    }

    /// Units leave their lots.
    fn close(&mut self, step: &Step, parts: &[Closed]) -> Result<Vec<Piece>, Reason> {
        let mut pieces = Vec::new();
        for part in parts {
            let gone = self.lots.get_mut(&step.place).expect("open lots")[part.at].give(part.units)?;
            pieces.extend(self.realize_all(step, part, gone)?);
        }
        self.lots.entry(step.place).or_default().retain(|lot| !lot.runs.is_empty());
        Ok(pieces)
    }

    /// All units realize what they carry, and what their lots do.
    fn strike(&mut self, step: &Step, parts: &[Closed], are_gone: bool) -> Result<(), Reason> {
        for part in parts {
            let runs = self.lots[&step.place][part.at].runs.clone();
            self.realize_all(step, part, runs)?;
        }
        let lots = self.lots.get_mut(&step.place).expect("open lots");
        match are_gone {
            true => lots.clear(),
            false => lots.iter_mut().flat_map(|lot| &mut lot.runs).for_each(|run| run.addition = 0),
        }
        Ok(())
    }

    /// A lot is opened or enlarged.
    fn open(&mut self, number: usize) {
        let opening = &self.told.openings[number];
        let promised = std::mem::take(&mut self.promised[number]);
        let units = opening.units - promised.iter().map(|run| run.units).sum::<i128>();
        let lots = self.lots.entry(opening.place).or_default();
        if !opening.enlarges {
            lots.insert(opening.at, Held { origin: opening.lot.clone(), runs: Vec::new() });
        }
        let lot = &mut lots[opening.at];
        lot.runs.extend(promised);
        lot.runs.push(Run {
            opening: number,
            matched: None,
            came: None,
            is_spent: false,
            units,
            addition: 0,
            tacked: 0,
        });
        lot.in_order_of_leaving();
    }

    /// Each piece gives a part of what it carries to the same piece of the new lot; the fraction of these is paid out.
    fn spin_off(
        &mut self,
        step: &Step,
        to: Place,
        fraction: i128,
        units: &[i128],
        paid: &[Closed],
    ) -> Result<(), Reason> {
        let held = self.lots.get_mut(&step.place).expect("open lots");
        let mut new = held.clone();
        for (held, new) in held.iter_mut().zip(&mut new) {
            for (run, new) in held.runs.iter_mut().zip(&mut new.runs) {
                new.addition = convert(run.addition, fraction)?;
                run.addition = sub(run.addition, new.addition)?;
            }
        }
        scale(&mut new, units)?;
        for part in paid {
            let gone = new[part.at].give(part.units)?;
            self.realize_all(step, part, gone)?;
        }
        for lot in new.into_iter().filter(|lot| !lot.runs.is_empty()) {
            self.under_way.entry(to).or_default().push_back(lot.runs);
            self.view.moved.insert((step.place, to));
        }
        Ok(())
    }

    /// A lot arrives: as it was, or, as far as it closes what is on the other side, what it carries is gone.
    fn arrive(&mut self, step: &Step, arrival: &Arrival) -> Result<(), Reason> {
        let runs = self.under_way.get_mut(&step.place).and_then(VecDeque::pop_front).expect("it left");
        let mut lot = Held { origin: arrival.origin.clone(), runs };
        self.close(step, &arrival.parts)?;
        let there = Step { is_short: arrival.is_short, ..step.clone() };
        for run in lot.give(arrival.lost)? {
            // They realize nothing but what they carry.
            self.realize(&there, arrival.acquired, false, 0, &run)?;
        }
        let came = Came { number: self.arrivals, taxpayer: arrival.taxpayer };
        self.arrivals += 1;
        for run in &mut lot.runs {
            (run.came, run.is_spent) = (Some(came), run.is_spent || arrival.is_spent);
        }
        match arrival.at {
            Some(at) => self.lots.entry(step.place).or_default().insert(at, lot),
            None => assert!(lot.runs.is_empty(), "all units are somewhere"),
        }
        Ok(())
    }

    /// Splits of the security between two steps.
    fn ratios(&self, security: u32, from: usize, to: usize) -> Vec<(i128, i128)> {
        let ratio = |step: &Step| match step.what {
            What::Ratio(numerator, denominator) if self.told.security(step.place.1) == security => {
                Some((numerator, denominator))
            }
            _ => None,
        };
        self.told.steps[from..to].iter().filter_map(ratio).collect()
    }

    /// Free units of an opening that may replace what this step lost, in their order.
    fn candidates(&self, at: usize, number: usize) -> Vec<(Where, i128)> {
        let (step, opening) = (&self.told.steps[at], &self.told.openings[number]);
        let own = step.rules.taxpayer.unwrap_or(step.place.0);
        let is_mine =
            |account, taxpayer| account == step.place.0 || (step.rules.wash == Wash::Taxpayer && taxpayer == own);
        if opening.step > at {
            let promised: i128 = self.promised[number].iter().map(|run| run.units).sum();
            let free = opening.units - promised;
            return if is_mine(opening.place.0, opening.taxpayer) { vec![(Where::ToCome, free)] } else { vec![] };
        }
        let mut found = Vec::new();
        for (place, lots) in &self.lots {
            for (lot_at, lot) in lots.iter().enumerate() {
                for (run_at, run) in lot.runs.iter().enumerate() {
                    let taxpayer = run.came.map_or(opening.taxpayer, |came| came.taxpayer);
                    let is_free = run.opening == number && run.matched.is_none() && !run.is_spent;
                    if is_free && is_mine(place.0, taxpayer) {
                        found.push((run.came, Where::At(*place, lot_at, run_at), run.units));
                    }
                }
            }
        }
        // Those that never moved first, then in the order of their arrivals.
        found.sort_by_key(|candidate| candidate.0);
        found.into_iter().map(|(_, place, units)| (place, units)).collect()
    }

    /// What replaces the units of a piece that is lost, and how many of these are left.
    fn replacements(&self, at: usize, step: &Step, piece: &Piece) -> (Vec<Found>, i128) {
        let security = self.told.security(step.place.1);
        let mut openings: Vec<usize> = (0..self.told.openings.len())
            .filter(|number| {
                let opening = &self.told.openings[*number];
                *number != piece.run.opening
                    && self.told.security(opening.place.1) == security
                    && opening.is_short == step.is_short
                    && (opening.date - step.date).abs() <= step.rules.wash_window
            })
            .collect();
        openings.sort_by_key(|number| self.told.openings[*number].date);
        let (mut left, mut found) = (piece.run.units, Vec::new());
        for opening in openings {
            let of = &self.told.openings[opening];
            let ratios = if of.step > at { self.ratios(security, at, of.step) } else { vec![] };
            for (place, free) in self.candidates(at, opening) {
                let wanted =
                    ratios.iter().fold(left, |units, (numerator, denominator)| units * numerator / denominator);
                let units = wanted.min(free);
                let sold = match units == wanted {
                    true => left,
                    false => ratios.iter().rev().fold(units, |units, (new, old)| units * old / new),
                };
                if units == 0 || sold == 0 {
                    // They stand for no unit.
                    continue;
                }
                left -= sold;
                found.push(Found { opening, place, units, sold });
                if left == 0 {
                    return (found, 0);
                }
            }
        }
        (found, left)
    }

    /// Looks for what replaces the units of a piece that is lost, and gives it the loss.
    fn lose(&mut self, at: usize, step: &Step, piece: &Piece) -> Result<(), Reason> {
        let (found, left) = self.replacements(at, step, piece);
        if found.is_empty() {
            return Ok(());
        }
        let (sold, matched) = (piece.run.units, piece.run.units - left);
        let disallowed = cumulated(sub(piece.run.addition, piece.realized)?, matched, sold)?;
        let tacked = step.date - piece.acquired + piece.run.tacked;
        let (mut until, mut given, mut replacements) = (0, 0, Vec::new());
        let mut touched = Vec::new();
        for Found { opening, place, units, sold } in found {
            until += sold;
            let before = given;
            given = cumulated(disallowed, until, matched)?;
            let addition = sub(given, before)?;
            let by = &self.told.openings[opening];
            let matched = Some(self.matches);
            self.matches += 1;
            let (where_now, lot) = match place {
                Where::ToCome => {
                    let run = Run { opening, matched, came: None, is_spent: false, units, addition, tacked };
                    self.promised[opening].push(run);
                    (by.place, by.lot.clone())
                }
                Where::At(place, lot_at, run_at) => {
                    let lot = &mut self.lots.get_mut(&place).expect("open lots")[lot_at];
                    // What free units carry since others vanished goes along.
                    let along = lot.runs[run_at].give(units)?;
                    let addition = add(addition, along.addition)?;
                    lot.runs.push(Run { matched, addition, tacked, ..along });
                    touched.push((place, lot_at));
                    (place, lot.origin.clone())
                }
            };
            replacements.push(Replacement { place: where_now, trade: by.trade.clone(), lot, units, addition, tacked });
        }
        for (place, lot_at) in touched {
            self.lots.get_mut(&place).expect("open lots")[lot_at].in_order_of_leaving();
        }
        let is_long = is_long(step, piece.acquired, &piece.run);
        let totals = self.totals(step.place);
        totals.disallowed = add(totals.disallowed, disallowed)?;
        totals.long_shift = add(totals.long_shift, if is_long { disallowed } else { 0 })?;
        self.view.losses.push(Loss {
            place: step.place,
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
}

fn is_long(step: &Step, acquired: Day, run: &Run) -> bool {
    is_long_term(acquired - run.tacked, step.date, step.is_short, &step.rules)
}
