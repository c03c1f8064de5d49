//! The order flow: what a market's close looks like from the book's side, made from a seed.
//!
//! The flow is made whole before the first byte is sent, so neither the machine's speed nor the host's answers can change it. Prices walk in
//! cents, quantities are mostly round lots, positions tend back to zero. The maker keeps the quantity of each position, so that it knows when a
//! sell short or a closing trade is legal; quantities do not depend on the order of booking, so that knowledge holds for backdated trades too.

use crate::invalid::InvalidClass;
use crate::ledger::{Entry, FORM_CAPTURE, FORM_CLOSE, FORM_CORRELATED, Kind, Ledger, NO_LINK, Side};
use crate::limits;
use crate::plan::{BurstPlan, PlanError};
use crate::profile::Mood;
use crate::rng::Rng;
use crate::schedule::Schedule;
use crate::tape::Row;
use crate::universe::Universe;

const ONE_E8: i64 = 100_000_000;
const CENT_E8: i64 = 1_000_000;
/// Prices stay between 1.00 and 5,000.00.
const PRICE_CENTS_MIN: i64 = 100;
const PRICE_CENTS_MAX: i64 = 500_000;
/// Beyond this a position is mostly brought back.
const LEANING_E8: i64 = 5_000 * ONE_E8;
/// How many earlier messages a duplicate may go back.
const DUPLICATE_REACH: u64 = 50_000;
/// Tries to draw what a special message needs (a position without qualifiers, an original not yet repeated) before a plain trade is made.
const DRAWS_MAX: u32 = 64;

/// The whole flow of `plan`: a ledger in which nothing is sent yet.
pub fn generate(plan: &BurstPlan) -> Result<Ledger, PlanError> {
    plan.checked()?;
    let schedule = Schedule::of(plan);
    let universe = Universe::of(plan);
    let mut maker = Maker::new(plan, Ledger::new(plan, universe));
    maker.ledger.entries.reserve_exact(schedule.messages() as usize);
    for index in 0..schedule.messages() {
        let ms = u64::from(plan.opens_at_ms) + schedule.due_ns(index) / 1_000_000;
        maker.mood = schedule.segments()[schedule.segment_of(index)].mood;
        maker.row = plan.tape.as_ref().map(|tape| tape.rows[index as usize]);
        let entry = maker.next(ms.min(limits::MS_OF_DAY_MAX) as u32);
        maker.ledger.entries.push(entry);
    }
    Ok(maker.ledger)
}

struct Maker<'a> {
    plan: &'a BurstPlan,
    ledger: Ledger,
    rng: Rng,
    /// Last price of each instrument.
    cents: Vec<i64>,
    /// Quantity of each pair after everything made so far.
    held_e8: Vec<i64>,
    classes: usize,
    /// What is traded now.
    mood: Mood,
    /// What the next trade is, where it is recorded.
    row: Option<Row>,
}

impl<'a> Maker<'a> {
    fn new(plan: &'a BurstPlan, ledger: Ledger) -> Self {
        let mut rng = Rng::new(plan.seed, 2);
        let cents = (0..plan.instruments)
            .map(|_| match rng.below(10) {
                0 => rng.between(200, 1_000),
                1..=6 => rng.between(1_000, 15_000),
                _ => rng.between(15_000, 80_000),
            })
            .collect();
        let held_e8 = vec![0; ledger.universe.pairs().len()];
        Self { plan, ledger, rng, cents, held_e8, classes: 0, mood: Mood::Ordinary, row: None }
    }

    fn next(&mut self, ms_of_day: u32) -> Entry {
        let drawn = self.rng.below(1000) as u32;
        let (mut from, plan) = (0, self.plan);
        let mut within = |share: u32| {
            from += share;
            drawn < from
        };
        if within(plan.duplicate_permille)
            && let Some(entry) = self.duplicate()
        {
            return entry;
        }
        if within(plan.invalid_permille)
            && let Some(entry) = self.invalid(ms_of_day)
        {
            return entry;
        }
        if within(plan.backdated_permille)
            && let Some(entry) = self.dated(-5, -1)
        {
            return entry;
        }
        if within(plan.forward_permille)
            && let Some(entry) = self.dated(1, 3)
        {
            return entry;
        }
        let universe = &self.ledger.universe;
        let at = match self.row {
            Some(row) => universe.draw_of(usize::from(row.symbol), &mut self.rng),
            None => universe.draw(&mut self.rng),
        };
        let mut entry = self.trade(at);
        entry.executed_ms_of_day = ms_of_day;
        self.held_e8[at] += entry.signed_e8();
        entry
    }

    /// A trade on pair `at`, not yet counted into what is held.
    fn trade(&mut self, at: usize) -> Entry {
        let universe = &self.ledger.universe;
        let pair = universe.pairs()[at];
        let mut entry = Entry::blank(pair, universe.session(pair.account));
        // A recorded trade keeps its side and its quantity, so it promises nothing about the position.
        let qualified = universe.qualified(pair) && self.row.is_none();
        let held_e8 = self.held_e8[at];
        entry.price_e8 = self.row.map_or_else(|| self.price(pair.instrument) * CENT_E8, |row| row.price_e8);
        entry.quantity_e8 = self.row.map_or_else(|| self.quantity(held_e8), |row| row.quantity_e8);
        let rng = &mut self.rng;
        let drawn_buy = match held_e8 {
            1.. if self.mood == Mood::Liquidation => false,
            ..0 if self.mood == Mood::Liquidation => true,
            0 => rng.permille(750),
            1.. => rng.permille(if held_e8 > LEANING_E8 { 250 } else { 470 }),
            _ => rng.permille(if held_e8 < -LEANING_E8 { 750 } else { 530 }),
        };
        let buy = self.row.and_then(|row| row.buy).unwrap_or(drawn_buy);
        entry.side = if buy { Side::Buy } else { Side::Sell };
        let closing = held_e8 != 0 && (held_e8 > 0) != buy && self.row.is_none();
        if closing {
            let open_e8 = held_e8.abs();
            // Some close the position to the last unit; without qualifiers a few more flip it.
            let whole = rng.permille(150);
            let may_flip = !qualified && rng.permille(300);
            if whole || (entry.quantity_e8 > open_e8 && !may_flip) {
                entry.quantity_e8 = open_e8;
            }
            if qualified && rng.permille(500) {
                entry.form |= FORM_CLOSE;
            }
        } else if qualified && !buy {
            entry.side = Side::SellShort;
        }
        entry.form |= if rng.permille(200) { FORM_CAPTURE } else { 0 };
        entry.form |= if rng.permille(500) { FORM_CORRELATED } else { 0 };
        if rng.permille(300) {
            entry.fees_cents = rng.between(1, 2_500) as u16;
        }
        entry
    }

    /// A trade of another date, at any time of that day.
    fn dated(&mut self, low: i64, high: i64) -> Option<Entry> {
        let at = self.draw_where(|maker, at| !maker.ledger.universe.qualified(maker.ledger.universe.pairs()[at]))?;
        let mut entry = self.trade(at);
        entry.date_offset = self.rng.between(low, high) as i8;
        entry.executed_ms_of_day = self.rng.between(8 * 3_600_000, 17 * 3_600_000) as u32;
        // A forward trade does not move the position of today.
        if entry.date_offset < 0 {
            self.held_e8[at] += entry.signed_e8();
        }
        Some(entry)
    }

    /// An earlier trade again, at most once each.
    fn duplicate(&mut self) -> Option<Entry> {
        let made = self.ledger.entries.len() as u64;
        for _ in 0..DRAWS_MAX {
            let reach = made.min(DUPLICATE_REACH);
            if reach == 0 {
                return None;
            }
            let at = (made - 1 - self.rng.below(reach)) as usize;
            let original = &mut self.ledger.entries[at];
            if original.kind() == Kind::Trade && original.link == NO_LINK {
                original.link = made as u32;
                let mut entry = original.clone();
                entry.set_kind(Kind::Duplicate);
                entry.link = at as u32;
                return Some(entry);
            }
        }
        None
    }

    /// A message that must be refused; the classes take turns.
    fn invalid(&mut self, ms_of_day: u32) -> Option<Entry> {
        let class = self.plan.invalid_classes[self.classes % self.plan.invalid_classes.len()];
        self.classes += 1;
        let at = if class == InvalidClass::ShortOnLong {
            self.draw_where(|maker, at| maker.held_e8[at] > 0)?
        } else {
            self.ledger.universe.draw(&mut self.rng)
        };
        let mut entry = self.trade(at);
        entry.form &= FORM_CORRELATED;
        entry.set_kind(Kind::Invalid(class));
        entry.executed_ms_of_day = ms_of_day;
        match class {
            InvalidClass::ShortOnLong => entry.side = Side::SellShort,
            InvalidClass::ZeroQuantity => entry.quantity_e8 = 0,
            InvalidClass::NegativeQuantity => entry.quantity_e8 = -entry.quantity_e8,
            _ => {}
        }
        Some(entry)
    }

    fn draw_where(&mut self, wanted: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        for _ in 0..DRAWS_MAX {
            let at = self.ledger.universe.draw(&mut self.rng);
            if wanted(self, at) {
                return Some(at);
            }
        }
        None
    }

    /// The next price of an instrument, in cents: steps of up to a twentieth of a percent, never less than a few cents.
    fn walk(&mut self, instrument: u16) -> i64 {
        let cents = &mut self.cents[usize::from(instrument)];
        let step = (*cents / 2_000).max(2);
        *cents = (*cents + self.rng.between(-step, step)).clamp(PRICE_CENTS_MIN, PRICE_CENTS_MAX);
        *cents
    }

    /// The price of the next trade of an instrument, in cents: in the closing cross the last one before it.
    fn price(&mut self, instrument: u16) -> i64 {
        match self.mood {
            Mood::Cross => self.cents[usize::from(instrument)],
            _ => self.walk(instrument),
        }
    }

    /// Round lots mostly, some odd lots, a few blocks, and now and then a fraction with all eight decimals. D-orders are blocks, a liquidation
    /// takes what is held or half of it.
    fn quantity(&mut self, held_e8: i64) -> i64 {
        let rng = &mut self.rng;
        match self.mood {
            Mood::Blocks => return rng.between(1, 50) * 1_000 * ONE_E8,
            Mood::Liquidation if held_e8 != 0 => return (held_e8.abs() / rng.between(1, 2)).max(1),
            _ => {}
        }
        match rng.below(100) {
            0..60 => rng.between(1, 20) * 100 * ONE_E8,
            60..90 => rng.between(1, 999) * ONE_E8,
            90..98 => rng.between(1, 50) * 1_000 * ONE_E8,
            _ => rng.between(1, 500 * ONE_E8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn plan() -> BurstPlan {
        BurstPlan { seconds: 4, rate: 25_000, burst_multiplier: 1, business_date_days: 20_000, ..BurstPlan::default() }
    }

    fn key(entry: &Entry) -> impl PartialEq + core::fmt::Debug + use<> {
        (
            (entry.quantity_e8, entry.price_e8, entry.link, entry.executed_ms_of_day, entry.fees_cents),
            (entry.account, entry.instrument, entry.date_offset, entry.form, entry.side as u8, entry.session),
            entry.kind(),
        )
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let one = generate(&plan()).unwrap();
        let two = generate(&plan()).unwrap();
        let other = generate(&BurstPlan { seed: 43, ..plan() }).unwrap();
        assert_eq!(one.entries.len(), 100_000);
        assert!(one.entries.iter().zip(&two.entries).all(|(a, b)| key(a) == key(b)));
        assert!(one.entries.iter().zip(&other.entries).any(|(a, b)| key(a) != key(b)));
        assert_ne!(one.trade_id(5), other.trade_id(5));
    }

    #[test]
    fn shares_are_what_the_plan_says() {
        let ledger = generate(&plan()).unwrap();
        let mut counts = HashMap::new();
        let mut classes = HashMap::new();
        for entry in &ledger.entries {
            let name = match entry.kind() {
                Kind::Trade if entry.date_offset < 0 => "backdated",
                Kind::Trade => "trade",
                Kind::Duplicate => "duplicate",
                Kind::Invalid(class) => {
                    *classes.entry(class).or_insert(0) += 1;
                    "invalid"
                }
            };
            *counts.entry(name).or_insert(0) += 1;
        }
        assert!((1_800..2_200).contains(&counts["backdated"]), "{counts:?}");
        assert!((850..1_150).contains(&counts["duplicate"]), "{counts:?}");
        assert!((400..600).contains(&counts["invalid"]), "{counts:?}");
        assert_eq!(classes.len(), InvalidClass::ALL.len());
        let sides: HashSet<u8> = ledger.entries.iter().map(|entry| entry.side as u8).collect();
        assert_eq!(sides.len(), 3);
        assert!(ledger.entries.iter().any(|entry| entry.quantity_e8 % ONE_E8 != 0));
    }

    #[test]
    fn every_qualifier_is_legal_and_every_planted_short_is_not() {
        let ledger = generate(&plan()).unwrap();
        let mut held: HashMap<_, i64> = HashMap::new();
        let (mut flips, mut shorts, mut closes, mut planted) = (0, 0, 0, 0);
        for entry in &ledger.entries {
            let at = held.entry(entry.pair()).or_default();
            match entry.kind() {
                Kind::Duplicate => continue,
                Kind::Invalid(class) => {
                    if class == InvalidClass::ShortOnLong {
                        assert!(*at > 0);
                        planted += 1;
                    }
                    continue;
                }
                Kind::Trade => assert!(entry.quantity_e8 > 0),
            }
            if entry.side == Side::SellShort {
                assert!(*at <= 0);
                shorts += 1;
            }
            if entry.form & FORM_CLOSE != 0 {
                assert!(entry.quantity_e8 <= at.abs());
                assert!((*at > 0) != (entry.side == Side::Buy));
                closes += 1;
            }
            if ledger.universe.qualified(entry.pair()) {
                assert_eq!(entry.date_offset, 0);
            }
            let before = *at;
            *at += entry.signed_e8();
            flips += u32::from(before.signum() * at.signum() < 0);
        }
        assert!(flips > 100 && shorts > 100 && closes > 100 && planted > 10, "{flips} {shorts} {closes} {planted}");
    }

    #[test]
    fn a_duplicate_follows_its_original_on_the_same_session() {
        let ledger = generate(&plan()).unwrap();
        for (at, entry) in ledger.entries.iter().enumerate() {
            if entry.kind() == Kind::Duplicate {
                let original = &ledger.entries[entry.link as usize];
                assert!((entry.link as usize) < at);
                assert_eq!((original.link as usize, original.session), (at, entry.session));
                assert_eq!(ledger.trade_id(at as u32), ledger.trade_id(entry.link));
            }
        }
    }

    #[test]
    fn ids_lead_back_to_their_message() {
        let ledger = generate(&BurstPlan { seconds: 1, rate: 1000, ..plan() }).unwrap();
        for index in 0..ledger.entries.len() as u32 {
            let id = ledger.trade_id(index);
            assert_eq!(ledger.index_of(id.as_bytes()), Some(ledger.original(index)));
        }
        for foreign in ["", "x", "000000-000000001", &ledger.trade_id(1)[..15], &format!("{}9", ledger.trade_id(1))] {
            assert_eq!(ledger.index_of(foreign.as_bytes()), None);
        }
    }
}
