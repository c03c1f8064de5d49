//! The arena and every method of choosing beside plain lists and plain sorting, over seeded walks.

use alloc::vec::Vec;

use super::*;
use crate::event::{Averaged, Reason};
use crate::id::NO_NAME;
use crate::rules::{LotMethod, Rules, ShortRank, TaxRates};
use crate::select::{Choice, Scratch, Wanted, Whose, select};

const E8: i64 = 100_000_000;

/// One position: in the arena, and as a list in lot order.
struct Twin {
    block: LotBlock,
    lots: Vec<Lot>,
    is_long: bool,
    /// Costs were averaged since it was flat.
    averaged: bool,
}

struct Walk {
    arena: LotArena,
    scratch: Scratch,
    state: u64,
    opened: u128,
    /// Choices of each method that were compared.
    compared: [usize; 6],
    largest: usize,
}

fn tag(lot: &Lot) -> u64 {
    digest::mix(lot.origin.0 as u64, lot.price_e8 as u64 ^ u64::from(lot.sub_account) << 32)
}

impl Twin {
    fn quantity(&self) -> i64 {
        self.lots.iter().map(|lot| lot.quantity_e8).sum()
    }

    fn cost(&self) -> (Money, Money) {
        (self.lots.iter().map(|lot| lot.cost_e16).sum(), self.lots.iter().map(|lot| lot.base_cost_e16).sum())
    }
}

impl Walk {
    fn new(seed: u64) -> Self {
        Self {
            arena: LotArena::new(1 << 14),
            scratch: Scratch::unbounded(),
            state: seed,
            opened: 0,
            compared: [0; 6],
            largest: 0,
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % below
    }

    fn open(&mut self, twin: &mut Twin, late_in: usize, subs: usize) {
        self.opened += 1;
        // Dates go up by one every forty openings; late ones fall anywhere before.
        let today = 1_000 + (self.opened / 40) as i32;
        let acquired = if self.draw(100) < late_in { today - self.draw(30) as i32 } else { today };
        let quantity_e8 = 1 + self.draw(5 * E8 as usize) as i64;
        let price_e8 = 10 * E8 + self.draw(6) as i64 * E8;
        let cost_e16 = Money::from(quantity_e8) * Money::from(price_e8) - if self.draw(9) == 0 { 1 << 62 } else { 0 };
        let base_cost_e16 = if self.draw(3) == 0 { cost_e16 / 7 } else { cost_e16 };
        let sub_account = if subs == 0 || self.draw(3) == 0 { NO_NAME } else { self.draw(subs) as NameId };
        let origin = TradeHash((self.opened << 64) | (self.opened * 0x9e37_79b9));
        let lot = Lot { origin, quantity_e8, cost_e16, base_cost_e16, price_e8, acquired: Date(acquired), sub_account };
        assert!(self.arena.can_open(&twin.block));
        self.arena.open(&mut twin.block, &lot, tag(&lot));
        let at = twin.lots.partition_point(|held| held.acquired <= lot.acquired);
        twin.lots.insert(at, lot);
    }

    fn enlarge(&mut self, twin: &mut Twin) {
        let index = self.draw(twin.lots.len());
        let lot = &mut twin.lots[index];
        assert_eq!(self.arena.find(&twin.block, lot.origin), Some(index));
        let (quantity_e8, cost_e16) = (1 + self.state as i64 % 1_000_000, 77_777_777 * E8 as Money);
        let more = Gone { quantity_e8: quantity_e8.abs(), cost_e16, base_cost_e16: cost_e16 / 3 };
        lot.quantity_e8 += more.quantity_e8;
        lot.cost_e16 += more.cost_e16;
        lot.base_cost_e16 += more.base_cost_e16;
        lot.price_e8 += 3;
        let price_e8 = lot.price_e8;
        self.arena.enlarge(&mut twin.block, index, &more, price_e8, tag);
    }

    fn rules(&mut self) -> Rules {
        let method = LotMethod::ALL[self.draw(6)];
        let rate = |draw: usize| [0, 0, 10_000_000, 37_000_000, 100_000_000][draw];
        let (with_rates, short_e8, long_e8) = (self.draw(2) == 0, rate(self.draw(5)), rate(self.draw(5)));
        Rules {
            method,
            short_rank: if self.draw(2) == 0 { ShortRank::Price } else { ShortRank::Result },
            tax_rates: with_rates.then_some(TaxRates { short_e8, long_e8 }),
            long_term_days: 1 + self.draw(25) as u16,
            ..Rules::DEFAULT
        }
    }

    fn reduce(&mut self, twin: &mut Twin, subs: usize, keep_rules: Option<Rules>) {
        let rules = keep_rules.unwrap_or_else(|| self.rules());
        let held_e8 = twin.quantity();
        let most = match self.draw(10) {
            0 => held_e8,
            1..4 => held_e8 / 3,
            _ => twin.lots[0].quantity_e8 + 2 * E8,
        };
        let quantity_e8 = (1 + self.draw(most.max(1) as usize) as i64).min(held_e8);
        let quantity_e8 = if self.draw(60) == 0 { held_e8 } else { quantity_e8 };
        let sub_account = if self.draw(2) == 0 { NO_NAME } else { self.draw(subs.max(1)) as NameId };
        let lot = if self.draw(8) == 0 { twin.lots[self.draw(twin.lots.len())].origin } else { TradeHash::NONE };
        let wanted = Wanted {
            rules: &rules,
            lot,
            whose: match self.draw(if subs == 0 { 2 } else { 6 }) {
                0 | 1 => Whose::Position,
                2 | 3 => Whose::SubAccount(sub_account),
                _ => Whose::SubAccountFirst(sub_account),
            },
            quantity_e8,
            is_long: twin.is_long,
            price_e8: 9 * E8 + self.draw(8) as i64 * E8,
            date: Date(1_000 + (self.opened / 40) as i32 + self.draw(12) as i32),
            held_e8,
            cost: twin.cost(),
        };
        // Only a sub-account that holds too little comes first and not alone.
        let own = own_quantity(twin, &wanted);
        if matches!(wanted.whose, Whose::SubAccountFirst(_)) && own >= quantity_e8 {
            return;
        }
        let expected = naive::choose(twin, &wanted);
        let chosen = select(&self.arena, &twin.block, &wanted, &mut self.scratch);
        let (parts, choice) = match (expected, chosen) {
            (Err(reason), chosen) => {
                assert_eq!(chosen, Err(reason));
                return;
            }
            (Ok((parts, choice)), Ok(chosen)) => {
                assert_eq!(chosen, choice, "{wanted:?}");
                (parts, choice)
            }
            (Ok(_), Err(reason)) => panic!("{reason:?}"),
        };
        self.compared[rules.method as usize] += 1;
        assert_eq!(self.expand(twin), parts, "{wanted:?}");
        let runs = &self.scratch.runs;
        if choice.averaged == Averaged::No {
            let gone = self.arena.take(&mut twin.block, runs);
            let Choice { cost_e16, base_cost_e16, .. } = choice;
            assert_eq!(gone, Ok(Gone { quantity_e8, cost_e16, base_cost_e16 }));
        } else {
            let scope = (choice.averaged == Averaged::SubAccount).then_some(sub_account);
            let left = (wanted.cost.0 - choice.cost_e16, wanted.cost.1 - choice.base_cost_e16);
            let taken = (choice.cost_e16, choice.base_cost_e16);
            let gone = self.arena.take_averaged(&mut twin.block, runs, scope, taken, left);
            assert_eq!(gone, Ok(quantity_e8));
            twin.averaged = true;
        }
        naive::take(twin, &parts, &wanted, &choice);
        twin.averaged &= !twin.lots.is_empty();
    }

    /// The runs of the last choice, lot by lot.
    fn expand(&self, twin: &Twin) -> Vec<(usize, i64)> {
        let mut parts = Vec::new();
        for run in &self.scratch.runs {
            for index in run.from as usize..(run.from + run.count) as usize {
                let part = if run.part_quantity_e8 > 0 { run.part_quantity_e8 } else { twin.lots[index].quantity_e8 };
                parts.push((index, part));
            }
        }
        parts
    }

    fn check(&mut self, twin: &Twin) {
        assert_eq!(twin.block.len(), twin.lots.len());
        let mut shown = self.arena.iter(&twin.block);
        for (index, lot) in twin.lots.iter().enumerate() {
            assert_eq!(shown.next().as_ref(), Some(lot), "lot {index}");
        }
        assert_eq!(shown.next(), None);
        assert_eq!(self.arena.digests_anew(&twin.block), twin.block.digests());
        assert_eq!(twin.block.is_averaged(), twin.averaged);
        self.largest = self.largest.max(twin.lots.len());
        if twin.lots.is_empty() {
            assert_eq!(twin.block, LotBlock::EMPTY);
            return;
        }
        for _ in 0..3 {
            let index = self.draw(twin.lots.len());
            assert_eq!(self.arena.get(&twin.block, index), twin.lots[index]);
            assert_eq!(self.arena.find(&twin.block, twin.lots[index].origin), Some(index));
            let count = self.draw(twin.lots.len() - index);
            assert!(self.arena.range(&twin.block, index, count).eq(twin.lots[index..index + count].iter().copied()));
        }
        assert_eq!(self.arena.find(&twin.block, TradeHash(1)), None);
    }
}

fn own_quantity(twin: &Twin, wanted: &Wanted<'_>) -> i64 {
    let (Whose::SubAccount(own) | Whose::SubAccountFirst(own)) = wanted.whose else { return twin.quantity() };
    twin.lots.iter().filter(|lot| lot.sub_account == own).map(|lot| lot.quantity_e8).sum()
}

/// Rule 5 and 6 by plain sorting.
mod naive {
    use super::*;

    type Parts = Vec<(usize, i64)>;

    pub(super) fn choose(twin: &Twin, wanted: &Wanted<'_>) -> Result<(Parts, Choice), Reason> {
        let (first, second) = candidates(twin, wanted);
        let no_lot = wanted.lot == TradeHash::NONE;
        if !no_lot {
            let index = twin.lots.iter().position(|lot| lot.origin == wanted.lot).ok_or(Reason::UnknownLot)?;
            let is_other = matches!(wanted.whose, Whose::SubAccount(own) if twin.lots[index].sub_account != own);
            if is_other {
                return Err(Reason::UnknownLot);
            }
            if twin.lots[index].quantity_e8 < wanted.quantity_e8 {
                return Err(Reason::LotTooSmall);
            }
            let parts = alloc::vec![(index, wanted.quantity_e8)];
            let choice = cost_of(twin, &parts);
            return Ok((parts, choice));
        }
        if matches!(wanted.whose, Whose::SubAccount(_)) && own_quantity(twin, wanted) < wanted.quantity_e8 {
            return Err(Reason::SubAccountOversell);
        }
        let mut parts = Parts::new();
        let mut rest = wanted.quantity_e8;
        for index in ranked(twin, wanted, first).into_iter().chain(ranked(twin, wanted, second)) {
            let part = twin.lots[index].quantity_e8.min(rest);
            rest -= part;
            if part > 0 {
                parts.push((index, part));
            }
        }
        assert_eq!(rest, 0);
        parts.sort_unstable();
        let choice = match (wanted.rules.method, wanted.whose) {
            (LotMethod::Average, Whose::SubAccount(own)) => {
                let own: Vec<&Lot> = twin.lots.iter().filter(|lot| lot.sub_account == own).collect();
                average(&own, wanted, Averaged::SubAccount)
            }
            (LotMethod::Average, _) => average(&twin.lots.iter().collect::<Vec<_>>(), wanted, Averaged::Position),
            _ => cost_of(twin, &parts),
        };
        Ok((parts, choice))
    }

    /// Lots that are asked first, and those that are asked then.
    fn candidates(twin: &Twin, wanted: &Wanted<'_>) -> (Vec<usize>, Vec<usize>) {
        let all = 0..twin.lots.len();
        match wanted.whose {
            Whose::Position => (all.collect(), Vec::new()),
            Whose::SubAccount(own) => (all.filter(|&at| twin.lots[at].sub_account == own).collect(), Vec::new()),
            Whose::SubAccountFirst(own) => all.partition(|&at| twin.lots[at].sub_account == own),
        }
    }

    fn ranked(twin: &Twin, wanted: &Wanted<'_>, mut lots: Vec<usize>) -> Vec<usize> {
        let rules = wanted.rules;
        let turned = !twin.is_long && rules.short_rank == ShortRank::Result;
        let price = |at: &usize| i128::from(twin.lots[*at].price_e8);
        match rules.method {
            LotMethod::Fifo | LotMethod::Average => {}
            LotMethod::Lifo => lots.reverse(),
            LotMethod::Hifo if turned => lots.sort_by_key(price),
            LotMethod::Lofo if turned => lots.sort_by_key(|at| -price(at)),
            LotMethod::Hifo => lots.sort_by_key(|at| -price(at)),
            LotMethod::Lofo => lots.sort_by_key(price),
            LotMethod::MinTax => lots.sort_by_key(|at| {
                let lot = &twin.lots[*at];
                let apart = i128::from(wanted.price_e8) - i128::from(lot.price_e8);
                let gain = if twin.is_long { apart } else { -apart };
                let days = i32::from(rules.long_term_days);
                let is_long_term = twin.is_long && wanted.date.0 > lot.acquired.0 + days;
                match rules.tax_rates {
                    Some(rates) => (0, gain * i128::from(if is_long_term { rates.long_e8 } else { rates.short_e8 })),
                    None if gain < 0 => (0, gain),
                    None => (if is_long_term { 1 } else { 2 }, gain),
                }
            }),
        }
        lots
    }

    fn cost_of(twin: &Twin, parts: &Parts) -> Choice {
        let mut choice = Choice { cost_e16: 0, base_cost_e16: 0, averaged: Averaged::No };
        for &(index, part) in parts {
            let lot = &twin.lots[index];
            choice.cost_e16 += share(lot.cost_e16, part, lot.quantity_e8);
            choice.base_cost_e16 += share(lot.base_cost_e16, part, lot.quantity_e8);
        }
        choice
    }

    fn average(lots: &[&Lot], wanted: &Wanted<'_>, averaged: Averaged) -> Choice {
        let quantity = lots.iter().map(|lot| lot.quantity_e8).sum();
        Choice {
            cost_e16: share(lots.iter().map(|lot| lot.cost_e16).sum(), wanted.quantity_e8, quantity),
            base_cost_e16: share(lots.iter().map(|lot| lot.base_cost_e16).sum(), wanted.quantity_e8, quantity),
            averaged,
        }
    }

    pub(super) fn take(twin: &mut Twin, parts: &Parts, wanted: &Wanted<'_>, choice: &Choice) {
        let scope = match (choice.averaged, wanted.whose) {
            (Averaged::SubAccount, Whose::SubAccount(own)) => Some(own),
            _ => None,
        };
        let in_scope = |lot: &Lot| scope.is_none_or(|own| lot.sub_account == own);
        let of_scope: Vec<Lot> = twin.lots.iter().copied().filter(in_scope).collect();
        for &(index, part) in parts {
            let lot = &mut twin.lots[index];
            if choice.averaged == Averaged::No {
                let (cost, base) = (lot.cost_e16, lot.base_cost_e16);
                lot.cost_e16 -= share(cost, part, lot.quantity_e8);
                lot.base_cost_e16 -= share(base, part, lot.quantity_e8);
            }
            lot.quantity_e8 -= part;
        }
        twin.lots.retain(|lot| lot.quantity_e8 > 0);
        if choice.averaged == Averaged::No {
            return;
        }
        let left = of_scope.iter().map(|lot| lot.cost_e16).sum::<Money>() - choice.cost_e16;
        let base_left = of_scope.iter().map(|lot| lot.base_cost_e16).sum::<Money>() - choice.base_cost_e16;
        let quantity = twin.lots.iter().filter(|lot| in_scope(lot)).map(|lot| lot.quantity_e8).sum();
        let up_to = |total, part| if part == 0 { 0 } else { share(total, part, quantity) };
        let mut before = 0;
        for lot in twin.lots.iter_mut().filter(|lot| in_scope(lot)) {
            let to = before + lot.quantity_e8;
            lot.cost_e16 = up_to(left, to) - up_to(left, before);
            lot.base_cost_e16 = up_to(base_left, to) - up_to(base_left, before);
            before = to;
        }
    }
}

/// `phases`: for each, how many of a hundred steps open a lot.
fn walk(seed: u64, steps: usize, phases: &[usize], late_in: usize, subs: usize, method: Option<LotMethod>) -> Walk {
    let mut walk = Walk::new(seed);
    let mut twins: [Twin; 2] = core::array::from_fn(|n| Twin {
        block: LotBlock::EMPTY,
        lots: Vec::new(),
        is_long: (n as u64 + seed).is_multiple_of(2),
        averaged: false,
    });
    for phase in phases {
        for step in 0..steps {
            let twin = &mut twins[usize::from(walk.draw(8) == 0)];
            match walk.draw(100) {
                what if what < *phase || twin.lots.is_empty() => walk.open(twin, late_in, subs),
                98 => walk.enlarge(twin),
                _ => {
                    let kept = method.map(|method| Rules { method, ..Rules::DEFAULT });
                    let kept = kept.filter(|_| walk.draw(4) > 0);
                    walk.reduce(twin, subs, kept);
                }
            }
            if step % 8 == 0 || twin.lots.len() < 80 {
                walk.check(twin);
            }
        }
    }
    for twin in &mut twins {
        walk.check(twin);
        walk.arena.replace(&mut twin.block, twin.averaged, twin.lots.iter().copied(), tag);
        walk.check(twin);
        walk.arena.replace(&mut twin.block, false, [].into_iter(), tag);
        assert_eq!(twin.block, LotBlock::EMPTY);
    }
    assert_eq!(walk.arena.pages.taken(), 0, "seed {seed}: a slot is lost");
    assert_eq!(walk.arena.all.taken() + walk.arena.subs.taken(), 0, "seed {seed}: a node is lost");
    walk
}

#[test]
fn positions_with_few_lots() {
    for seed in 0..40 {
        let walk = walk(seed, 500, &[60, 40, 70], (seed as usize % 4) * 8, seed as usize % 3, None);
        assert!(walk.compared.iter().all(|&count| count > 20), "seed {seed}: {:?}", walk.compared);
    }
}

#[test]
fn positions_with_many_lots() {
    for seed in 0..12 {
        let subs = [0, 1, 4][seed as usize % 3];
        let walk = walk(1_000 + seed, 900, &[95, 60, 97, 40], (seed as usize % 4) * 8, subs, None);
        assert!(walk.largest > 200, "seed {seed}: {}", walk.largest);
        assert!(walk.compared.iter().all(|&count| count > 10), "seed {seed}: {:?}", walk.compared);
    }
}

/// Averages all the time, and something else in between: pools with moved lots, and pools that are given up.
#[test]
fn average_costs_among_other_methods() {
    for seed in 0..24 {
        let subs = [0, 0, 3][seed as usize % 3];
        let late_in = [0, 20][seed as usize / 3 % 2];
        walk(2_000 + seed, 500, &[99, 60, 90, 50, 95, 30], late_in, subs, Some(LotMethod::Average));
    }
}
