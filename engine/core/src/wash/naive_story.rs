//! Random histories of wash sales, told twice: for the walk, and for the model that knows only shares.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::naive_tests::{Lot, NaiveStep, Random, Share};
use super::*;
use crate::amount::{ONE_E8, ONE_E16};

/// A random history, for the walk and for the model.
pub(super) struct Story {
    pub steps: Vec<Step>,
    pub naive: Vec<NaiveStep>,
    pub shares: Vec<Share>,
    pub realized: Money,
}

/// A lot of the plain book: identity, a number of its own, shares and acquired date.
#[derive(Clone, Debug)]
struct PlainLot {
    name: TradeHash,
    number: usize,
    shares: usize,
    acquired: i32,
}

impl PlainLot {
    fn naive(&self) -> Lot {
        (self.name, self.number)
    }
}

/// Each lot of a position as the walk calls it.
fn names(lots: &[PlainLot]) -> Vec<LotName> {
    let nth = |at: usize| lots[..at].iter().filter(|lot| lot.name == lots[at].name).count() as u32;
    (0..lots.len()).map(|at| LotName { origin: lots[at].name, nth: nth(at) }).collect()
}

pub(super) struct Teller {
    random: Random,
    /// Lots move between positions.
    moves: bool,
    story: Story,
    lots: BTreeMap<u32, (bool, Vec<PlainLot>)>,
    date: i32,
    names: u128,
    openings: usize,
    /// Units of today for a share of the first day, at 10^-8.
    share_e8: i64,
}

/// Three accounts, two securities.
const POSITIONS: u64 = 6;

impl Teller {
    pub(super) fn tell(seed: u64, steps: usize, moves: bool) -> Story {
        let mut teller = Self {
            random: Random(seed),
            moves,
            story: Story { steps: Vec::new(), naive: Vec::new(), shares: Vec::new(), realized: 0 },
            lots: BTreeMap::new(),
            date: 18_000,
            names: 0,
            openings: 0,
            share_e8: ONE_E8,
        };
        while teller.story.steps.len() < steps {
            teller.step();
        }
        teller.story
    }

    fn step(&mut self) {
        self.date += [0, 0, 1, 3, 12, 40][self.random.below(6) as usize];
        let position = match self.moves && self.random.chance(25) {
            true => 3 + self.random.below(3) as u32,
            false => self.random.below(3) as u32,
        };
        match self.random.below(100) {
            0..3 => self.split(),
            3..6 => self.reset(position),
            6..14 if self.moves => self.move_lots(position),
            6..50 => self.open(position),
            _ => self.close(position),
        }
    }

    fn name(&mut self) -> TradeHash {
        self.names += 1;
        TradeHash(self.names)
    }

    /// Two of the three accounts are mostly of one taxpayer.
    fn taxpayer(&mut self, position: u32) -> NameId {
        if position % 3 < 2 && self.random.chance(90) { 77 } else { position }
    }

    fn washes(&mut self) -> Option<Washes> {
        let window_days = [0, 1, 5, 30, 30, 366][self.random.below(6) as usize];
        let across_accounts = self.random.chance(60);
        self.random.chance(90).then_some(Washes { across_accounts, window_days })
    }

    fn until(&mut self) -> i32 {
        self.date - 366
    }

    fn open(&mut self, position: u32) {
        let (cause, taxpayer) = (self.name(), self.taxpayer(position));
        let side = self.random.chance(80);
        let opened = if self.random.chance(10) { self.date - self.random.below(60) as i32 } else { self.date };
        let count = 1 + self.random.below(6) as usize;
        let (is_long, lots) = self.lots.entry(position).or_insert((side, Vec::new()));
        if lots.is_empty() {
            *is_long = side;
        }
        let is_long = *is_long;
        let enlarged = (!lots.is_empty() && self.random.chance(20)).then(|| {
            // Whoever names a lot means the first of its identity.
            let name = lots[self.random.below(lots.len() as u64) as usize].name;
            lots.iter().position(|lot| lot.name == name).expect("it is there")
        });
        let (lot, opened, acquired) = match enlarged {
            Some(at) => {
                let held = &mut lots[at];
                held.shares += count;
                (held.naive(), self.date, held.acquired)
            }
            None => {
                let number = self.openings;
                lots.push(PlainLot { name: cause, number, shares: count, acquired: opened });
                lots.sort_by_key(|lot| lot.acquired);
                ((cause, number), opened, opened)
            }
        };
        let place = self.story.steps.len();
        let opening = self.openings;
        self.openings += 1;
        self.story.shares.extend((0..count).map(|_| Share {
            position,
            taxpayer,
            is_long,
            lot,
            opening,
            place,
            opened,
            acquired,
            moved: 0,
            is_spent: false,
            is_gone: false,
            matched: None,
            addition: 0,
            tacked: 0,
        }));
        let quantity_e8 = count as i64 * self.share_e8;
        let opened = Some(Opened { lot: lot.0, quantity_e8, is_long, opened: Date(opened) });
        let washes = self.washes();
        let long_term_until = Date(self.until());
        let booked = Booked { cause, taxpayer, washes, long_term_until, closed: Vec::new(), opened };
        self.push(position, What::Booked(booked), NaiveStep::Nothing);
    }

    fn close(&mut self, position: u32) {
        let (cause, taxpayer, until) = (self.name(), self.taxpayer(position), self.until());
        let washes = self.washes();
        let Some((is_long, lots)) = self.lots.get_mut(&position) else { return };
        if lots.is_empty() {
            return;
        }
        // Some of the lots, each whole or in part, in lot order.
        let (mut closed, mut naive) = (Vec::new(), Vec::new());
        for (lot, name) in names(lots).into_iter().enumerate() {
            let lot = &mut lots[lot];
            if !self.random.chance(50) {
                continue;
            }
            let count = 1 + self.random.below(lot.shares as u64) as usize;
            lot.shares -= count;
            let a_share = (self.random.below(11) as i128 - 6) * ONE_E16;
            let was_long = *is_long && lot.acquired <= until;
            let realized_e16 = a_share * count as i128;
            self.story.realized += realized_e16;
            closed.push(Closed {
                lot: name,
                quantity_e8: count as i64 * self.share_e8,
                realized_e16,
                is_long_term: was_long,
            });
            naive.push((lot.naive(), count, a_share, was_long));
        }
        lots.retain(|lot| lot.shares > 0);
        let booked = Booked { cause, taxpayer, washes, long_term_until: Date(until), closed, opened: None };
        let date = self.date;
        let naive = NaiveStep::Trade { position, date, washes, taxpayer, until, closed: naive };
        self.push(position, What::Booked(booked), naive);
    }

    fn reset(&mut self, position: u32) {
        let until = self.until();
        let Some((is_long, lots)) = self.lots.get(&position) else { return };
        let (mut struck, mut naive) = (Vec::new(), Vec::new());
        for (lot, name) in lots.iter().zip(names(lots)) {
            let a_share = (self.random.below(11) as i128 - 5) * ONE_E16;
            let was_long = *is_long && lot.acquired <= until;
            let realized_e16 = a_share * lot.shares as i128;
            self.story.realized += realized_e16;
            struck.push(Closed {
                lot: name,
                quantity_e8: lot.shares as i64 * self.share_e8,
                realized_e16,
                is_long_term: was_long,
            });
            naive.push((lot.naive(), a_share, was_long));
        }
        let naive = NaiveStep::Struck { position, until, lots: naive };
        self.push(position, What::Struck { long_term_until: Date(until), lots: struck }, naive);
    }

    /// Some lots, each whole or in part, go to another account, or as they are to the other security, or back.
    fn move_lots(&mut self, position: u32) {
        let is_spent = self.random.chance(10);
        let to = match is_spent {
            true => (position + 3) % POSITIONS as u32,
            false => position / 3 * 3 + (position + 1 + self.random.below(2) as u32) % 3,
        };
        let cause = self.name();
        let taxpayer = self.taxpayer(to);
        let Some((is_long, from)) = self.lots.get(&position).cloned() else { return };
        let (other, there) = self.lots.get(&to).cloned().unwrap_or((is_long, Vec::new()));
        if from.is_empty() || !there.is_empty() && other != is_long {
            return;
        }
        let (mut from, mut there, mut left, mut arrived) = (from, there, Vec::new(), Vec::new());
        for (at, lot) in names(&from).into_iter().enumerate() {
            if !is_spent && self.random.chance(50) {
                continue;
            }
            let held = &mut from[at];
            let count = if is_spent { held.shares } else { 1 + self.random.below(held.shares as u64) as usize };
            held.shares -= count;
            let number = 1_000_000 + self.names as usize * 1_000 + left.len();
            let new = PlainLot { number, shares: count, ..held.clone() };
            arrived.push((held.naive(), new.naive(), count));
            let parcel = TradeHash(cause.0 << 64 | left.len() as u128);
            left.push(LeftLot { lot, quantity_e8: count as i64 * self.share_e8, parcel, is_spent });
            there.push(new);
        }
        from.retain(|lot| lot.shares > 0);
        let moved = there[there.len() - left.len()..].to_vec();
        there.sort_by_key(|lot| lot.acquired);
        self.lots.insert(position, (is_long, from));
        self.lots.insert(to, (is_long, there));
        let until = Date(self.until());
        let naive = NaiveStep::Moved { position, to, taxpayer, is_spent, lots: arrived };
        self.push(position, What::Left(left.clone()), naive);
        for (left, lot) in left.into_iter().zip(moved) {
            let arrived = ArrivedLot {
                parcel: left.parcel,
                origin: lot.name,
                quantity_e8: left.quantity_e8,
                is_long,
                acquired: Date(lot.acquired),
                taxpayer,
                long_term_until: until,
                closed: Vec::new(),
                opened_e8: left.quantity_e8,
            };
            self.push(to, What::Arrived(arrived), NaiveStep::Nothing);
        }
    }

    /// Shares of the first day stay whole numbers of units.
    fn split(&mut self) {
        let (numerator, denominator) = [(2, 1), (1, 2), (5, 1), (1, 5), (5, 2), (3, 1)][self.random.below(6) as usize];
        let scaled = i128::from(self.share_e8) * i128::from(numerator);
        if scaled % denominator != 0 || scaled / denominator > 1_000 * i128::from(ONE_E8) {
            return;
        }
        self.share_e8 = (scaled / denominator) as i64;
        let (numerator, denominator) = (numerator as u32, denominator as u32);
        for security in 0..2 {
            self.push(0, What::Split { security, numerator, denominator }, NaiveStep::Nothing);
        }
        for position in 0..POSITIONS as u32 {
            let Some((_, lots)) = self.lots.get(&position) else { continue };
            let units = lots.iter().map(|lot| lot.shares as i64 * self.share_e8);
            let lots = names(lots).into_iter().zip(units).collect();
            self.push(position, What::Scaled(lots), NaiveStep::Nothing);
        }
    }

    fn push(&mut self, position: u32, what: What, naive: NaiveStep) {
        self.story.steps.push(Step { position, date: Date(self.date), what });
        self.story.naive.push(naive);
    }
}
