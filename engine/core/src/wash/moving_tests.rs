//! Lots that move: random histories of six positions through the real replay, told in one order and walked; and histories
//! that have no order.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::history::{Ground, splits, tell};
use super::history_tests::{INSTRUMENT, contracts, id, trade};
use super::merge::{Told, merge};
use super::naive_tests::Random;
use super::tests::rig::first;
use super::{ArrivedLot, Home, LeftLot, LotName, Step, WashError, What, walk};
use crate::Scratch;
use crate::action_input::{ActionInput, ActionKind};
use crate::amount::{Money, ONE_E8};
use crate::apply::Place;
use crate::closed::PeriodFigures;
use crate::command::{TradeInput, TradeKind};
use crate::date::Date;
use crate::digest;
use crate::history::{Addition, History};
use crate::id::{ChronoKey, NameId, TradeHash};
use crate::legs::{Due, Sending};
use crate::position::Position;

const ACCOUNTS: [&str; 3] = ["A", "B", "C"];
const INSTRUMENTS: [&str; 2] = ["X", "Y"];
const NONE: PeriodFigures = PeriodFigures { realized_e16: 0, long_e16: 0, base_e16: 0, fees_e16: 0, dividends_e16: 0 };

/// One that leads to the other instrument, or a split of either.
fn action(random: &mut Random, number: u64) -> ActionInput {
    let (action_id, hash) = id(&format!("a{number}"));
    let leads_on = [ActionKind::SymbolChange, ActionKind::Merger, ActionKind::SpinOff, ActionKind::SpinOff];
    let kind = if random.chance(30) { ActionKind::Split } else { leads_on[random.below(4) as usize] };
    let (numerator, denominator) = [(2, 1), (3, 2), (1, 3), (7, 5), (1, 1_000_000_000)][random.below(5) as usize];
    let is_split = kind == ActionKind::Split;
    ActionInput {
        action_id,
        hash,
        kind,
        instrument: INSTRUMENT + if is_split { random.below(2) as NameId } else { 0 },
        to_instrument: if is_split { ActionInput::EMPTY.to_instrument } else { INSTRUMENT + 1 },
        numerator,
        denominator,
        basis_fraction_e8: random.below(ONE_E8 as u64 + 1) as i64,
        cash_e8: if kind == ActionKind::Merger { random.below(300) as i64 * (ONE_E8 / 100) } else { 0 },
        cash_in_lieu_e8: if random.chance(50) { 5 * ONE_E8 } else { ActionInput::EMPTY.cash_in_lieu_e8 },
        effective_date: Date(18_000 + random.below(90) as i32),
        ..ActionInput::EMPTY
    }
}

/// Lots go from the first accounts to the last ones and from the first instrument to the second, so a position's sources
/// are replayed before it.
#[test]
fn what_moves_is_conserved() {
    let (mut moved, mut breaks, mut losses, mut twice) = (0, 0, 0, 0);
    let mut scratch = Scratch::unbounded();
    for seed in 0..400 {
        let mut random = Random(seed ^ 0x0a7d);
        let contracts = contracts(&mut random);
        let actions: Vec<ActionInput> = (0..random.below(4)).map(|number| action(&mut random, number)).collect();
        let mut histories = vec![History::default(); 6];
        for number in 0..30 + seed % 60 {
            let position = random.below(6);
            let mut input = trade(&mut random, number, position as NameId % 3);
            input.instrument = INSTRUMENT + position as NameId / 3;
            if random.chance(25) && position % 3 < 2 {
                let to_account = position as NameId % 3 + 1;
                let (kind, trade_type) = (TradeKind::Transfer, TradeInput::EMPTY.trade_type);
                input = TradeInput { kind, trade_type, to_account, acquired: Date::NONE, ..input };
            }
            let place = Place { sequence: number, address: number };
            let addition = Addition::Trade { input, place, waits: false, late: false, figures: NONE };
            histories[position as usize].add(&addition);
        }
        let mut told: Vec<Told> = Vec::new();
        let mut realized = 0;
        let mut outcomes = Vec::new();
        for position in 0..6 {
            let (account, instrument) = (position % 3, position / 3);
            let names = (ACCOUNTS[account], INSTRUMENTS[instrument]);
            let here = INSTRUMENT + instrument as NameId;
            let own: Vec<ActionInput> = actions.iter().copied().filter(|action| action.instrument == here).collect();
            let ground = Ground { today: None, actions: &own, contracts: &contracts, multiplier_e8: ONE_E8, names };
            let (outcome, steps) = tell(position as u32, &histories[position], &ground, &mut scratch)
                .unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
            let key_hash = digest::mix(digest::bytes(names.0.as_bytes()), digest::bytes(names.1.as_bytes()));
            let source = Position::new(account as NameId, here, key_hash);
            for leaving in &outcome.leaving {
                let leg = leaving.from(&source, position as u32);
                let to = leg.account as usize + 3 * (leg.instrument - INSTRUMENT) as usize;
                let due = Due { sending: Sending::New, leg };
                histories[to].add(&Addition::Arrived { due, late: false, figures: NONE });
                moved += 1;
            }
            breaks += outcome.breaks.len();
            realized += outcome.after.realized_e16;
            told.push(steps);
            outcomes.push(outcome);
        }
        let is_one = actions.iter().any(|action| action.kind == ActionKind::SymbolChange);
        let security = |instrument: u32| if is_one { 0 } else { instrument };
        let split = |at: u32| {
            let own: Vec<ActionInput> =
                actions.iter().copied().filter(|action| action.instrument == INSTRUMENT + at).collect();
            splits(security(at), &own).collect::<Told>()
        };
        let steps = merge(vec![split(0), split(1)], told).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let view = walk(&steps, |position| Home { account: position % 3, security: security(position / 3) })
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let sum = |of: fn(&super::Totals) -> Money| view.totals.values().map(of).sum::<Money>();
        let (disallowed, recognized) = (sum(|totals| totals.disallowed_e16), sum(|totals| totals.recognized_e16));
        let carried = sum(|totals| totals.carried_e16);
        assert_eq!(realized + disallowed - recognized - carried, realized, "seed {seed}: conserved");
        // Every lot that the view speaks of is one of the plain book, with its units.
        for (at, outcome) in outcomes.iter().enumerate() {
            let mut seen: BTreeMap<TradeHash, u32> = BTreeMap::new();
            for lot in &outcome.lots {
                let nth = seen.entry(lot.origin).and_modify(|nth| *nth += 1).or_default();
                twice += usize::from(*nth > 0);
                let Some(pieces) = view.lots.get(&(at as u32, LotName { origin: lot.origin, nth: *nth })) else {
                    continue;
                };
                let units: i64 = pieces.iter().map(|piece| piece.quantity_e8).sum();
                assert_eq!(units, lot.quantity_e8, "seed {seed}: units of a lot");
            }
        }
        losses += view.losses.len();
    }
    let counted = format!("{moved} moves, {breaks} breaks, {losses} losses, {twice} lots of one identity");
    assert!(moved > 2_000 && losses > 1_000 && twice > 20, "{counted}");
}

fn step(position: u32, order: u64, what: What) -> (ChronoKey, Step) {
    let date = Date(18_000);
    (ChronoKey { date, source_order: order, ..ChronoKey::MIN }, Step { position, date, what })
}

fn left(parcel: u128) -> What {
    let (lot, parcel) = (first(TradeHash(1)), TradeHash(parcel));
    What::Left(vec![LeftLot { lot, quantity_e8: 1, parcel, is_spent: false }])
}

fn arrived(parcel: u128) -> What {
    What::Arrived(ArrivedLot {
        parcel: TradeHash(parcel),
        origin: TradeHash(1),
        quantity_e8: 1,
        is_long: true,
        acquired: Date(18_000),
        taxpayer: 0,
        long_term_until: Date(0),
        closed: vec![],
        opened_e8: 1,
    })
}

#[test]
fn nothing_arrives_before_it_left() {
    let places = |told: Vec<Told>| {
        let steps = merge(vec![], told)?;
        Ok::<_, WashError>(steps.iter().map(|step| step.position).collect::<Vec<_>>())
    };
    let struck = || What::Struck { long_term_until: Date(0), lots: vec![] };
    // What arrives has the key of its cause, whatever tells it apart, and stands behind what has that key too.
    let told =
        vec![vec![step(0, 5, arrived(9)), step(0, 6, struck())], vec![step(1, 5, left(9))], vec![step(2, 5, struck())]];
    assert_eq!(places(told), Ok(vec![1, 2, 0, 0]));
    let told = vec![vec![step(0, 1, struck())], vec![step(1, 2, arrived(9))]];
    assert_eq!(places(told), Err(WashError::Misfit), "it never left");
    let told =
        vec![vec![step(0, 1, arrived(8)), step(0, 1, left(9))], vec![step(1, 1, arrived(9)), step(1, 1, left(8))]];
    assert_eq!(places(told), Err(WashError::Misfit), "each waits for the other");
    let told = vec![vec![step(0, 1, left(9))]];
    let steps = merge(vec![], told).expect("an order");
    assert_eq!(walk(&steps, |_| Home { account: 0, security: 0 }), Err(WashError::Misfit), "a lot that is not there");
}
