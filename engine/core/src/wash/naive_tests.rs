//! Wash sales once more, share by share and without shame: every share is a thing of its own and every loss looks at all
//! of them. Random histories must give the same view, to the last unit; and properties that no example shows.
//!
//! The model counts in the units of the first day. A split changes nothing for it: the history that the walk gets is
//! in new units, so a view that differs would have scaled wrongly.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::amount::{ONE_E8, ONE_E16};

/// A small generator with a seed that is printed.
pub(super) struct Random(pub u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A share.
#[derive(Clone, Debug)]
struct Share {
    position: u32,
    taxpayer: NameId,
    is_long: bool,
    lot: TradeHash,
    opening: usize,
    /// Step that opens it.
    place: usize,
    opened: i32,
    /// Of its lot, as the plain book has it.
    acquired: i32,
    is_gone: bool,
    /// In which match it replaced another.
    matched: Option<u64>,
    addition: Money,
    tacked: i32,
}

/// The same step in shares of the first day: `realized` and its term a share.
#[derive(Clone, Debug)]
enum NaiveStep {
    Trade {
        position: u32,
        date: i32,
        washes: Option<Washes>,
        taxpayer: NameId,
        until: i32,
        closed: Vec<(TradeHash, usize, Money, bool)>,
    },
    Struck {
        position: u32,
        until: i32,
        lots: Vec<(TradeHash, Money, bool)>,
    },
    Nothing,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct NaiveView {
    totals: BTreeMap<u32, Totals>,
    /// Units of the first day, addition and days, by position and lot, in the order of leaving.
    lots: BTreeMap<(u32, TradeHash), Vec<(Money, i32)>>,
    disallowed: Vec<(u32, Money)>,
}

fn naive(shares: &mut [Share], steps: &[NaiveStep]) -> NaiveView {
    let mut view = NaiveView::default();
    let mut matches = 0;
    for (place, step) in steps.iter().enumerate() {
        match step {
            NaiveStep::Nothing => {}
            NaiveStep::Trade { position, date, washes, taxpayer, until, closed } => {
                let mut sold = Vec::new();
                for (lot, count, realized, was_long) in closed {
                    let mut held = in_leaving_order(shares, *position, *lot, place);
                    held.truncate(*count);
                    assert_eq!(held.len(), *count, "the lot holds as many");
                    for at in held {
                        shares[at].is_gone = true;
                        sold.push((at, *realized, *was_long));
                    }
                }
                for (at, realized, was_long) in sold {
                    let share = shares[at].clone();
                    let result = realized - share.addition;
                    let mut disallowed = 0;
                    if let Some(washes) = washes
                        && result < 0
                    {
                        let window = i32::from(washes.window_days);
                        let fits = |other: &Share| {
                            other.is_long == share.is_long
                                && other.opening != share.opening
                                && !other.is_gone
                                && other.matched.is_none()
                                && (other.position == *position
                                    || washes.across_accounts && other.taxpayer == *taxpayer)
                                && (other.opened - date).abs() <= window
                        };
                        let found = (0..shares.len())
                            .filter(|at| fits(&shares[*at]))
                            .min_by_key(|at| (shares[*at].opened, shares[*at].place));
                        if let Some(found) = found {
                            matches += 1;
                            disallowed = -result;
                            shares[found].matched = Some(matches);
                            shares[found].addition = disallowed;
                            shares[found].tacked = date - share.acquired + share.tacked;
                            view.disallowed.push((*position, disallowed));
                        }
                    }
                    let is_long = share.is_long && share.acquired - share.tacked <= *until;
                    sum(&mut view, *position, &share, realized, disallowed, (was_long, is_long));
                }
            }
            NaiveStep::Struck { position, until, lots } => {
                for (lot, realized, was_long) in lots {
                    for at in in_leaving_order(shares, *position, *lot, place) {
                        let share = shares[at].clone();
                        let is_long = share.is_long && share.acquired - share.tacked <= *until;
                        sum(&mut view, *position, &share, *realized, 0, (*was_long, is_long));
                        shares[at].addition = 0;
                    }
                }
            }
        }
    }
    let open: BTreeSet<(u32, TradeHash)> =
        shares.iter().filter(|share| !share.is_gone).map(|share| (share.position, share.lot)).collect();
    for (position, lot) in open {
        let held = in_leaving_order(shares, position, lot, usize::MAX);
        if held.iter().all(|at| shares[*at].addition == 0 && shares[*at].tacked == 0) {
            continue;
        }
        for at in &held {
            view.totals.entry(position).or_default().carried_e16 += shares[*at].addition;
        }
        view.lots.insert((position, lot), held.iter().map(|at| (shares[*at].addition, shares[*at].tacked)).collect());
    }
    view.totals.retain(|_, totals| *totals != Totals::default());
    view
}

fn sum(
    view: &mut NaiveView,
    position: u32,
    share: &Share,
    realized: Money,
    disallowed: Money,
    (was_long, is_long): (bool, bool),
) {
    let totals = view.totals.entry(position).or_default();
    totals.disallowed_e16 += disallowed;
    totals.recognized_e16 += share.addition;
    if was_long {
        totals.long_shift_e16 -= realized;
    }
    if is_long {
        totals.long_shift_e16 += realized - share.addition + disallowed;
    }
}

/// The lot's open shares: those that replaced others by their match, then the others by their opening.
fn in_leaving_order(shares: &[Share], position: u32, lot: TradeHash, place: usize) -> Vec<usize> {
    let is_there =
        |share: &Share| (share.position, share.lot) == (position, lot) && !share.is_gone && share.place < place;
    let mut held: Vec<usize> = (0..shares.len()).filter(|at| is_there(&shares[*at])).collect();
    held.sort_by_key(|at| (shares[*at].matched.unwrap_or(u64::MAX), shares[*at].place, *at));
    held
}

/// A random history, for the walk and for the model.
struct Story {
    steps: Vec<Step>,
    naive: Vec<NaiveStep>,
    shares: Vec<Share>,
    realized: Money,
}

/// A lot of the plain book: name, shares and acquired date.
#[derive(Clone, Debug)]
struct PlainLot {
    name: TradeHash,
    shares: usize,
    acquired: i32,
}

struct Teller {
    random: Random,
    story: Story,
    lots: BTreeMap<u32, (bool, Vec<PlainLot>)>,
    date: i32,
    names: u128,
    openings: usize,
    /// Units of today for a share of the first day, at 10^-8.
    share_e8: i64,
}

const ACCOUNTS: u64 = 3;

impl Teller {
    fn tell(seed: u64, steps: usize) -> Story {
        let mut teller = Self {
            random: Random(seed),
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
        let position = self.random.below(ACCOUNTS) as u32;
        match self.random.below(100) {
            0..3 => self.split(),
            3..6 => self.reset(position),
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
        if position < 2 && self.random.chance(90) { 77 } else { position }
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
        let enlarged = (!lots.is_empty() && self.random.chance(20)).then(|| self.random.below(lots.len() as u64));
        let (lot, opened, acquired) = match enlarged {
            Some(at) => {
                let held = &mut lots[at as usize];
                held.shares += count;
                (held.name, self.date, held.acquired)
            }
            None => {
                lots.push(PlainLot { name: cause, shares: count, acquired: opened });
                lots.sort_by_key(|lot| lot.acquired);
                (cause, opened, opened)
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
            is_gone: false,
            matched: None,
            addition: 0,
            tacked: 0,
        }));
        let quantity_e8 = count as i64 * self.share_e8;
        let opened = Some(Opened { lot, quantity_e8, is_long, opened: Date(opened) });
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
        for lot in lots.iter_mut() {
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
                lot: lot.name,
                quantity_e8: count as i64 * self.share_e8,
                realized_e16,
                is_long_term: was_long,
            });
            naive.push((lot.name, count, a_share, was_long));
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
        for lot in lots {
            let a_share = (self.random.below(11) as i128 - 5) * ONE_E16;
            let was_long = *is_long && lot.acquired <= until;
            let realized_e16 = a_share * lot.shares as i128;
            self.story.realized += realized_e16;
            struck.push(Closed {
                lot: lot.name,
                quantity_e8: lot.shares as i64 * self.share_e8,
                realized_e16,
                is_long_term: was_long,
            });
            naive.push((lot.name, a_share, was_long));
        }
        let naive = NaiveStep::Struck { position, until, lots: naive };
        self.push(position, What::Struck { long_term_until: Date(until), lots: struck }, naive);
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
        self.push(0, What::Split { numerator, denominator }, NaiveStep::Nothing);
        for position in 0..ACCOUNTS as u32 {
            let Some((_, lots)) = self.lots.get(&position) else { continue };
            let lots = lots.iter().map(|lot| (lot.name, lot.shares as i64 * self.share_e8)).collect();
            self.push(position, What::Scaled(lots), NaiveStep::Nothing);
        }
    }

    fn push(&mut self, position: u32, what: What, naive: NaiveStep) {
        self.story.steps.push(Step { position, date: Date(self.date), what });
        self.story.naive.push(naive);
    }
}

/// Units of the last day for a share of the first one.
fn last_share_e8(steps: &[Step]) -> i64 {
    steps.iter().fold(ONE_E8, |share_e8, step| match step.what {
        What::Split { numerator, denominator } => {
            (i128::from(share_e8) * i128::from(numerator) / i128::from(denominator)) as i64
        }
        _ => share_e8,
    })
}

fn compare(seed: u64, story: &mut Story) -> (usize, usize) {
    let view = walk(&story.steps).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let wanted = naive(&mut story.shares, &story.naive);
    assert_eq!(view.totals, wanted.totals, "seed {seed}: totals");
    let share_e8 = last_share_e8(&story.steps);
    let by_share = |pieces: &Vec<Piece>| {
        let mut shares = Vec::new();
        for piece in pieces {
            let count = piece.quantity_e8 / share_e8;
            assert_eq!((piece.quantity_e8 % share_e8, piece.addition_e16 % i128::from(count)), (0, 0), "seed {seed}");
            shares.extend((0..count).map(|_| (piece.addition_e16 / i128::from(count), piece.tacked_days)));
        }
        shares
    };
    let lots: BTreeMap<_, _> = view.lots.iter().map(|(key, pieces)| (*key, by_share(pieces))).collect();
    assert_eq!(lots, wanted.lots, "seed {seed}: open lots");
    let disallowed: Money = wanted.disallowed.iter().map(|(_, money)| money).sum();
    assert_eq!(view.losses.iter().map(|loss| loss.disallowed_e16).sum::<Money>(), disallowed, "seed {seed}: losses");
    conserves(seed, &view, story);
    let chained = view.losses.iter().filter(|loss| loss.addition_e16 != 0).count();
    (view.losses.len(), chained)
}

/// What is disallowed is realized with other units or still carried: to the last unit.
fn conserves(seed: u64, view: &View, story: &Story) {
    let sum = |of: fn(&Totals) -> Money| view.totals.values().map(of).sum::<Money>();
    let (disallowed, recognized) = (sum(|totals| totals.disallowed_e16), sum(|totals| totals.recognized_e16));
    let carried = sum(|totals| totals.carried_e16);
    let adjusted = story.realized + disallowed - recognized;
    assert_eq!(adjusted - carried, story.realized, "seed {seed}: conserved");
    for loss in &view.losses {
        let handed_on: Money = loss.replacements.iter().map(|by| by.addition_e16).sum();
        assert_eq!(handed_on, loss.disallowed_e16, "seed {seed}: a loss is handed on whole");
        assert!(loss.disallowed_e16 > 0 && loss.matched_e8 <= loss.quantity_e8, "seed {seed}");
    }
}

#[test]
fn share_by_share() {
    let (mut losses, mut chained, mut steps) = (0, 0, 0);
    for seed in 0..1_500 {
        let mut story = Teller::tell(seed, 8 + (seed as usize % 60));
        steps += story.steps.len();
        let counted = compare(seed, &mut story);
        losses += counted.0;
        chained += counted.1;
    }
    assert!(losses > 5_000 && chained > 1_000, "{steps} steps, {losses} losses, {chained} of them chained");
}

/// Odd quantities and amounts: what rounding leaves is nowhere lost, and no unit replaces twice.
#[test]
fn odd_units_are_conserved() {
    let mut losses = 0;
    for seed in 0..1_500 {
        let mut random = Random(seed ^ 0xdead);
        let mut story = Teller::tell(seed, 8 + (seed as usize % 60));
        // Other quantities and amounts, whatever they were; splits in thirds that round everywhere.
        let mut lots: BTreeMap<(u32, TradeHash), i64> = BTreeMap::new();
        let mut order: BTreeMap<u32, Vec<TradeHash>> = BTreeMap::new();
        let mut served: BTreeMap<TradeHash, i64> = BTreeMap::new();
        story.realized = 0;
        let mut ratio = (1, 1);
        for step in &mut story.steps {
            let position = step.position;
            let mut realize = |random: &mut Random, closed: &mut Closed| {
                closed.realized_e16 = i128::from(random.next() as i64) * 1_000_003;
                story.realized += closed.realized_e16;
            };
            match &mut step.what {
                What::Booked(booked) => {
                    booked.closed.retain_mut(|closed| {
                        let Some(held) = lots.get_mut(&(position, closed.lot)) else { return false };
                        closed.quantity_e8 =
                            if random.chance(30) { *held } else { 1 + random.below(*held as u64) as i64 };
                        *held -= closed.quantity_e8;
                        if *held == 0 {
                            lots.remove(&(position, closed.lot));
                            order.entry(position).or_default().retain(|lot| *lot != closed.lot);
                        }
                        realize(&mut random, closed);
                        true
                    });
                    if let Some(opened) = &mut booked.opened {
                        opened.quantity_e8 = 1 + random.below(900) as i64 * if random.chance(50) { 1 } else { ONE_E8 };
                        let held = lots.entry((position, opened.lot)).or_insert(0);
                        if *held == 0 {
                            order.entry(position).or_default().push(opened.lot);
                        }
                        *held += opened.quantity_e8;
                        served.insert(booked.cause, opened.quantity_e8);
                    }
                }
                What::Split { numerator, denominator } => {
                    ratio = [(2, 3), (3, 2), (7, 1), (1, 7)][random.below(4) as usize];
                    (*numerator, *denominator) = ratio;
                }
                What::Scaled(scaled) => {
                    let mut now = Vec::new();
                    let (mut until, mut reached) = (0i128, 0);
                    for lot in order.entry(position).or_default().iter() {
                        let Some(held) = lots.get_mut(&(position, *lot)) else { continue };
                        until += i128::from(*held);
                        let to = (until * i128::from(ratio.0) / i128::from(ratio.1)) as i64;
                        *held = to - reached;
                        reached = to;
                        now.push((*lot, *held));
                    }
                    lots.retain(|_, held| *held != 0);
                    order.entry(position).or_default().retain(|lot| lots.contains_key(&(position, *lot)));
                    *scaled = now;
                }
                What::Struck { lots: struck, .. } => struck.retain_mut(|closed| {
                    let Some(held) = lots.get(&(position, closed.lot)) else { return false };
                    closed.quantity_e8 = *held;
                    realize(&mut random, closed);
                    true
                }),
            }
        }
        let view = walk(&story.steps).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        conserves(seed, &view, &story);
        let splits = story.steps.iter().any(|step| matches!(step.what, What::Split { .. }));
        for by in view.losses.iter().flat_map(|loss| &loss.replacements) {
            let left = served.get_mut(&by.opening).expect("an opening");
            *left -= by.quantity_e8;
            assert!(*left >= 0 || splits, "seed {seed}: no unit replaces twice");
        }
        losses += view.losses.len();
    }
    assert!(losses > 4_000, "{losses} losses");
}

/// A window full of openings that have served their turn costs nothing: the work does not grow with its square.
#[test]
fn many_losses_in_one_window() {
    let mut steps = vec![];
    let rounds = 60_000u32;
    let booked = |cause: u128, closed, opened| {
        What::Booked(Booked {
            cause: TradeHash(cause),
            taxpayer: 1,
            washes: Some(Washes { across_accounts: true, window_days: 30 }),
            long_term_until: Date(0),
            closed,
            opened,
        })
    };
    for round in 0..rounds {
        let (position, date) = (round % 7, Date(18_000 + (round / 10_000) as i32));
        let lot = TradeHash(u128::from(round) * 2 + 1);
        let opened = Opened { lot, quantity_e8: 1, is_long: true, opened: date };
        steps.push(Step { position, date, what: booked(lot.0, vec![], Some(opened)) });
        let closed = Closed { lot, quantity_e8: 1, realized_e16: -1, is_long_term: false };
        steps.push(Step { position, date, what: booked(lot.0 + 1, vec![closed], None) });
    }
    let view = walk(&steps).expect("a view");
    // Each loss goes to the next round's lot, and the last one has none.
    assert_eq!(view.losses.len() as u32, rounds - 1);
    let last = view.losses.last().expect("a loss");
    assert_eq!(last.disallowed_e16, i128::from(rounds) - 1, "the chain carries every loss so far");
}
