//! Random histories through the bare book, against an oracle that shares no code with it.
//!
//! CI form: at least 100,000 events a method. `LOTBOOK_LONG=1`: ten million in all.

use lotbook_core::command::{Side, TradeType};
use lotbook_core::event::{Class, Reason};
use lotbook_core::id::TradeHash;
use lotbook_core::rules::{LotMethod, Rules};
use lotbook_perf::oracle::part_of_cost;
use lotbook_perf::rng::Rng;

use crate::support::{
    BookRig, FLAVOURS, LIMITS, ORACLE_METHODS, Spec, compare, history, hold, long_form, oracle_books, shuffle,
    sort_chronologically,
};

const NAMES: u32 = 3;
const EVENTS: u32 = 400;

/// Histories of [`EVENTS`] trades for each method, shorts allowed and not, flavour and order of arrival.
fn rounds() -> u64 {
    if long_form() { 850 } else { 20 }
}

/// What the rules say about a trade at the frontier, written from the documents alone.
fn expected(held_e8: i64, spec: &Spec, allow_short: bool) -> Reason {
    let moved = spec.side.sign() * spec.quantity_e8;
    let (opens, same) = (held_e8 == 0, (held_e8 > 0) == (moved > 0));
    let increases = !opens && same;
    let decreases = !opens && !same && moved.abs() <= held_e8.abs();
    let kind_fits = match spec.trade_type {
        TradeType::Any => true,
        TradeType::NewTrade => opens || increases,
        TradeType::Increase => increases,
        TradeType::Decrease => decreases,
    };
    let side_fits = match spec.side {
        Side::SellShort => held_e8 <= 0,
        Side::BuyToCover => decreases,
        Side::Buy | Side::Sell => true,
    };
    if !kind_fits || !side_fits {
        Reason::TradeTypeMismatch
    } else if !allow_short && held_e8 + moved < 0 && moved < 0 {
        Reason::Oversell
    } else {
        Reason::None
    }
}

/// In chronological arrival every verdict is the rules', nothing is late, and the book is the oracle's.
fn chronological(arrived: &[Spec], rules: Rules) -> Result<(), String> {
    let mut rig = BookRig::new(rules, NAMES, false, LIMITS);
    for (at, spec) in arrived.iter().enumerate() {
        let held = rig.find(spec.account, spec.instrument).map_or(0, |p| p.quantity_e8);
        let wanted = match expected(held, spec, rules.allow_short) {
            Reason::None => (Class::Applied, Reason::None),
            reason => (Class::Rejected, reason),
        };
        let said = rig.trade(spec);
        if said != wanted {
            return Err(format!("event {at}: {said:?}, the rules say {wanted:?}"));
        }
        if at % 64 == 63 {
            rig.agrees(rules.method)?;
        }
        if at % 128 == 100 {
            rig.images_agree()?;
        }
    }
    rig.agrees(rules.method)?;
    rig.images_agree()?;
    // Numbers of names leave no trace in the economic digest.
    let mut other = BookRig::new(rules, NAMES, true, LIMITS);
    for spec in arrived {
        other.trade(spec);
    }
    if other.book.economic_digest() != rig.book.economic_digest() {
        return Err("the order in which names were defined is in the economic digest".into());
    }
    Ok(())
}

/// In any arrival the replay of what was accepted is the oracle's book; a second replay of the result is
/// the same; quantities never wait for a replay.
fn shuffled(arrived: &[Spec], rules: Rules) -> Result<(), String> {
    let mut rig = BookRig::new(rules, NAMES, false, LIMITS);
    for spec in arrived {
        rig.trade(spec);
    }
    rig.images_agree()?;
    for ((account, instrument), wanted) in oracle_books(&rig.accepted, rules.method) {
        let outcome = rig.replayed(account, instrument);
        let after = outcome.after;
        compare(&wanted, after.quantity_e8, after.realized_e16, outcome.lots.iter().copied())
            .map_err(|what| format!("A{account}/I{instrument} replayed: {what}"))?;
        let p = rig.find(account, instrument).ok_or("a position is missing")?;
        if p.quantity_e8 != after.quantity_e8 {
            return Err(format!("estimated quantity {}, replayed {}", p.quantity_e8, after.quantity_e8));
        }
        let realized: i128 = outcome.trades.iter().map(|t| t.realized_e16).sum();
        if realized != after.realized_e16 {
            return Err("the trades' realized does not sum to the position's".into());
        }
        if outcome.breaks.len() != outcome.trades.iter().filter(|t| t.reason != Reason::None).count() {
            return Err("breaks are not the trades with a reason".into());
        }
        // The broken trades are those that the rules refuse at their place.
        let mut mine: Vec<Spec> =
            rig.accepted.iter().filter(|s| s.position() == (account, instrument)).copied().collect();
        sort_chronologically(&mut mine);
        let mut held = 0;
        for (spec, figures) in mine.iter().zip(&outcome.trades) {
            if figures.reason != expected(held, spec, rules.allow_short) {
                return Err(format!("break of t{}: {:?}", spec.id, figures.reason));
            }
            held += spec.side.sign() * spec.quantity_e8;
        }
        if lotbook_core::outcome::Outcome::decode(&outcome.encode()) != Ok(outcome) {
            return Err("a body that was read differs".into());
        }
    }
    Ok(())
}

fn histories(method: LotMethod) {
    let mut events = 0;
    for (number, flavour) in FLAVOURS.into_iter().enumerate() {
        for round in 0..rounds() {
            for allow_short in [true, false] {
                let rules = Rules { method, allow_short, ..Rules::DEFAULT };
                let mut rng = Rng::new(round, number as u64 * 2 + u64::from(allow_short));
                let mut arrived = history(&mut rng, flavour, EVENTS, NAMES);
                let name = format!("{method:?} {flavour:?} seed {round} shorts {allow_short}");
                shuffle(&mut arrived, &mut rng);
                hold(&format!("{name} shuffled"), &arrived, |arrived| shuffled(arrived, rules));
                sort_chronologically(&mut arrived);
                hold(&format!("{name} chronological"), &arrived, |arrived| chronological(arrived, rules));
                events += arrived.len() * 2;
            }
        }
    }
    assert!(events >= 100_000, "{events}");
}

#[test]
fn random_histories_equal_the_oracle_fifo() {
    histories(LotMethod::Fifo);
}

#[test]
fn random_histories_equal_the_oracle_lifo() {
    histories(LotMethod::Lifo);
}

#[test]
fn random_histories_equal_the_oracle_hifo() {
    histories(LotMethod::Hifo);
}

/// Realized and unrealized at one mark do not depend on which lots were taken.
#[test]
fn total_profit_is_the_same_for_every_method() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed, 77);
        let mut arrived = history(&mut rng, FLAVOURS[1], 300, NAMES);
        sort_chronologically(&mut arrived);
        for spec in &mut arrived {
            (spec.trade_type, spec.side) = (TradeType::Any, if spec.side.sign() > 0 { Side::Buy } else { Side::Sell });
        }
        let totals = LotMethod::ALL.map(|method| {
            let mut rig = BookRig::new(Rules { method, allow_short: true, ..Rules::DEFAULT }, NAMES, false, LIMITS);
            for spec in &arrived {
                assert_eq!(rig.trade(spec).0, Class::Applied);
            }
            let mark_e8 = 12_345_678_901;
            rig.book
                .positions()
                .iter()
                .map(|p| {
                    let flash = lotbook_core::mark::flash(p.quantity_e8, p.cost_e16, crate::support::E8, mark_e8);
                    p.realized_e16 + flash.expect("in range").unrealized_e16
                })
                .collect::<Vec<_>>()
        });
        assert!(totals.iter().all(|other| *other == totals[0]), "seed {seed}");
    }
}

/// One position that grows to thousands of lots and shrinks again, several times.
#[test]
fn thousands_of_lots_in_one_position() {
    for method in ORACLE_METHODS {
        let rules = Rules { method, allow_short: true, ..Rules::DEFAULT };
        let mut rig = BookRig::new(rules, 1, false, LIMITS);
        let mut rng = Rng::new(5, method as u64);
        for id in 0..9_000u32 {
            let growing = id % 3_000 < 2_500;
            let side = if growing { Side::Sell } else { Side::Buy };
            let quantity_e8 = if growing { rng.between(1, 1_000_000) } else { rng.between(1, 5_000_000) };
            let mut spec = Spec::new(id, side, quantity_e8, rng.between(0, 400), 1 + (id / 100) as i32);
            spec.order = u64::from(id);
            assert_eq!(rig.trade(&spec), (Class::Applied, Reason::None));
            if id % 1_500 == 1_499 {
                rig.agrees(method).unwrap_or_else(|what| panic!("{method:?} after {id}: {what}"));
            }
        }
        rig.images_agree().expect("equal images");
    }
}

/// Trades that name their lot, FIFO for the other reductions, against a list of lots kept right here.
#[test]
fn named_lots() {
    for seed in 0..60 {
        let rules = Rules { method: LotMethod::Fifo, allow_short: true, ..Rules::DEFAULT };
        let mut rig = BookRig::new(rules, 1, false, LIMITS);
        let mut rng = Rng::new(seed, 61);
        // (trade, quantity, cost), the sign of the position, realized.
        let (mut lots, mut held_e8, mut realized_e16): (Vec<(u32, i64, i128)>, i64, i128) = (Vec::new(), 0, 0);
        for id in 0..400u32 {
            let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
            let mut spec = Spec::new(id, side, rng.between(1, 50_000_003), rng.between(1, 90_000_001), 1);
            spec.order = u64::from(id);
            let named = (rng.below(2) == 0 && id > 0).then(|| match lots.len() as u64 {
                0 => rng.below(u64::from(id)) as u32,
                _ if rng.below(5) == 0 => rng.below(u64::from(id)) as u32,
                open => lots[rng.below(open) as usize].0,
            });
            if let Some((_, whole, _)) = lots.iter().find(|lot| Some(lot.0) == named)
                && rng.below(4) == 0
            {
                spec.quantity_e8 = *whole;
            }
            let moved_e8 = spec.side.sign() * spec.quantity_e8;
            let closes = held_e8 != 0 && (held_e8 > 0) != (moved_e8 > 0);
            let closed_e8 = if closes { spec.quantity_e8.min(held_e8.abs()) } else { 0 };
            let flips = closed_e8 > 0 && closed_e8 < spec.quantity_e8;
            let wanted = match named.map(|name| lots.iter().find(|lot| lot.0 == name)) {
                None => Reason::None,
                Some(_) if flips => Reason::LotTooSmall,
                Some(None) => Reason::UnknownLot,
                Some(Some(lot)) if lot.1 < closed_e8 => Reason::LotTooSmall,
                Some(_) => Reason::None,
            };
            let mut input = rig.input(&spec);
            if let Some(name) = named {
                input.lot = TradeHash::new(b"test", format!("t{name}").as_bytes());
            }
            assert_eq!(rig.trade_input(&input, &spec).1, wanted, "seed {seed} t{id}");
            if wanted != Reason::None {
                continue;
            }
            let mut rest_e8 = closed_e8;
            while rest_e8 > 0 {
                let at = named.map_or(0, |name| lots.iter().position(|lot| lot.0 == name).expect("found above"));
                let (_, quantity_e8, cost_e16) = &mut lots[at];
                let part_e8 = rest_e8.min(*quantity_e8);
                let basis_e16 = part_of_cost(*cost_e16, part_e8, *quantity_e8);
                let value_e16 = i128::from(part_e8) * i128::from(spec.price_e8);
                realized_e16 += if held_e8 > 0 { value_e16 - basis_e16 } else { basis_e16 - value_e16 };
                (*quantity_e8, *cost_e16, rest_e8) = (*quantity_e8 - part_e8, *cost_e16 - basis_e16, rest_e8 - part_e8);
                if *quantity_e8 == 0 {
                    lots.remove(at);
                }
            }
            held_e8 += moved_e8;
            let opened_e8 = spec.quantity_e8 - closed_e8;
            let value_e16 = i128::from(opened_e8) * i128::from(spec.price_e8);
            match named.and_then(|name| lots.iter_mut().find(|lot| lot.0 == name)) {
                Some((_, quantity_e8, cost_e16)) if !closes => {
                    (*quantity_e8, *cost_e16) = (*quantity_e8 + opened_e8, *cost_e16 + value_e16);
                }
                _ if opened_e8 > 0 => lots.push((id, opened_e8, value_e16)),
                _ => {}
            }
            let p = rig.find(0, 0).expect("traded");
            assert_eq!((p.quantity_e8, p.realized_e16), (held_e8, realized_e16), "seed {seed} t{id}");
            let seen: Vec<_> = rig.book.lots().iter(&p.block).map(|l| (l.origin, l.quantity_e8, l.cost_e16)).collect();
            let mine: Vec<_> =
                lots.iter().map(|l| (TradeHash::new(b"test", format!("t{}", l.0).as_bytes()), l.1, l.2)).collect();
            assert_eq!(seen, mine, "seed {seed} t{id}");
        }
        rig.images_agree().expect("equal images");
    }
}
