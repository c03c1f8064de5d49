//! Cancels and corrects against the naive reading of the rules: in any order of arrival, before and after their
//! targets, of each other, of trades that wait, with the business date moving between.
//!
//! CI form: 20,000 arrivals and more. `LOTBOOK_LONG=1`: two million.

mod fix;
pub(crate) mod host;
mod rig;
mod workers;

use std::collections::BTreeMap;

use lotbook_core::command::{Side, TradeType};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Reason};
use lotbook_core::limits::HELD_DATES_MAX;
use lotbook_core::position::Reconciliation;
use lotbook_core::rules::{LotMethod, Rules};
use lotbook_perf::rng::Rng;

use crate::support::{E8, Spec, compare, hold, long_form, oracle_books, shuffle, sort_chronologically};
use rig::{Amend, AmendRig, Arrival, Of, effective, is_live};

const NAMES: u32 = 2;
const TRADES: u32 = 24;
const AMENDS: u32 = 16;

fn rounds() -> u64 {
    if long_form() { 8_000 } else { 60 }
}

fn rules(method: LotMethod, allow_short: bool) -> Rules {
    Rules { method, allow_short, ..Rules::DEFAULT }
}

/// Trades of two accounts and instruments, and amendments of them, of each other and of nothing. Days from 100 on.
fn arrivals(rng: &mut Rng, days: i32, dated: bool) -> Vec<Arrival> {
    let mut list: Vec<Arrival> = (0..TRADES)
        .map(|id| {
            let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
            let day = 100 + rng.below(days as u64) as i32;
            let mut spec =
                Spec::new(id, side, rng.between(1, 9) * E8 + rng.between(0, 2), rng.between(10, 14) * E8, day);
            (spec.account, spec.instrument) = (rng.below(NAMES.into()) as u32, rng.below(NAMES.into()) as u32);
            (spec.at_ns, spec.order) = (rng.between(0, 3), rng.below(4));
            spec.fees_e8 = rng.between(0, 3);
            Arrival::Trade(spec)
        })
        .collect();
    for id in 0..AMENDS {
        let of = match rng.below(10) {
            0..=6 => Of::Trade(rng.below(TRADES.into()) as u32),
            7..=8 => Of::Amend(rng.below(AMENDS.into()) as u32),
            _ => Of::Nothing(rng.below(3) as u32),
        };
        let mut amend = if rng.below(2) == 0 { Amend::cancel(id, of) } else { Amend::correct(id, of) };
        (amend.at_ns, amend.order) = (rng.between(0, 2), rng.below(3));
        if !amend.is_cancel {
            let mut some = |share: u32| rng.permille(share);
            let (side, quantity, price, fees, day, at) =
                (some(300), some(600), some(500), some(200), some(300), some(200));
            amend.side = side.then(|| if rng.below(2) == 0 { Side::Buy } else { Side::Sell });
            amend.quantity_e8 = quantity.then(|| rng.between(1, 9) * E8);
            amend.price_e8 = price.then(|| rng.between(10, 14) * E8);
            amend.fees_e8 = fees.then(|| rng.between(0, 3));
            amend.day = day.then(|| 100 + rng.below(days as u64) as i32);
            amend.executed_ns = at.then(|| rng.between(0, 3));
        }
        list.push(Arrival::Amend(amend));
    }
    shuffle(&mut list, rng);
    if dated {
        let moves = (0..days).map(|day| Arrival::Date(100 + day));
        let mut at = 0;
        for arrival in moves {
            at += rng.below(list.len() as u64 / days as u64 + 1) as usize;
            at = at.min(list.len());
            list.insert(at, arrival);
            at += 1;
        }
    }
    for _ in 0..rng.below(4) {
        list.insert(rng.below(list.len() as u64 + 1) as usize, Arrival::Reconcile);
    }
    list
}

/// After the coldpath every position is the chronological book of the effective set: what is dated up to the business
/// date is booked, the rest waits.
fn agrees(rig: &AmendRig, method: LotMethod) -> Result<(), String> {
    let counts = effective(&rig.trades, &rig.amends);
    let today = rig.book.business_date();
    let waits = |spec: &&Spec| today.is_some_and(|today| Date(spec.day) > today);
    let booked: Vec<Spec> = counts.iter().filter(|spec| !waits(spec)).copied().collect();
    let books = oracle_books(&booked, method);
    for p in rig.book.positions() {
        let key = (p.account, p.instrument);
        let name = format!("A{}/I{}", key.0, key.1);
        let nothing = lotbook_perf::oracle::book(Vec::new(), crate::support::oracle_method(method));
        let wanted = books.get(&key).unwrap_or(&nothing);
        compare(wanted, p.quantity_e8, p.realized_e16, rig.book.lots().iter(&p.block))
            .map_err(|what| format!("{name}: {what}"))?;
        if wanted.fees_e8 * i128::from(E8) != p.fees_e16 {
            return Err(format!("{name}: fees {}", p.fees_e16));
        }
        let mine = |spec: &&Spec| spec.position() == key;
        let forward: i64 = counts.iter().filter(mine).filter(waits).map(|s| s.side.sign() * s.quantity_e8).sum();
        let gross: i64 = counts.iter().filter(mine).filter(waits).map(|s| s.quantity_e8).sum();
        if (forward, gross) != (p.forward_quantity_e8, p.forward_gross_e8) {
            return Err(format!("{name}: {} wait, the rules say {forward}", p.forward_quantity_e8));
        }
        let mut last: Vec<Spec> = booked.iter().filter(mine).copied().collect();
        sort_chronologically(&mut last);
        let frontier = last.last().map_or(Date::NONE, |spec| Date(spec.day));
        if p.frontier.date != frontier {
            return Err(format!("{name}: frontier {:?}, the rules say {frontier:?}", p.frontier));
        }
    }
    rig.images_agree()
}

/// Whether an amendment of this list is accepted once all has come: its chain ends at an accepted trade.
fn comes_home(rig: &AmendRig, sent: &BTreeMap<u32, Amend>, amend: &Amend) -> bool {
    let (mut at, mut steps) = (amend.of, 0);
    loop {
        steps += 1;
        match at {
            Of::Trade(id) => return rig.trades.iter().any(|spec| spec.id == id),
            Of::Nothing(_) => return false,
            // A correct of an amendment is refused, and with it whatever targets it.
            Of::Amend(id) => match sent.get(&id) {
                Some(next) if steps <= AMENDS && (next.is_cancel || matches!(next.of, Of::Trade(_))) => at = next.of,
                _ => return false,
            },
        }
    }
}

/// Shorts allowed and no business date: every trade is accepted in any order, so the outcome is a function of the set.
fn any_order(list: &[Arrival], method: LotMethod) -> Result<(), String> {
    let mut rig = AmendRig::new(rules(method, true), NAMES);
    let mut sent = BTreeMap::new();
    for arrival in list {
        let said = rig.arrive(arrival);
        match arrival {
            Arrival::Trade(_) if !said.0.is_accepted() => return Err(format!("{arrival:?}: {said:?}")),
            Arrival::Amend(amend) => {
                sent.insert(amend.id, *amend);
            }
            _ => {}
        }
        quantities_are_right(&rig)?;
    }
    rig.reconcile();
    for amend in sent.values() {
        let is_correct_of_amendment = !amend.is_cancel && matches!(amend.of, Of::Amend(_));
        let accepted = rig.amends.iter().any(|other| other.id == amend.id);
        let wanted = comes_home(&rig, &sent, amend) && !is_correct_of_amendment;
        if accepted != wanted {
            return Err(format!("a{} accepted: {accepted}, the rules say {wanted}", amend.id));
        }
    }
    agrees(&rig, method)
}

/// Also before the replay the quantity is that of the amended history: rule 4 is held against it.
fn quantities_are_right(rig: &AmendRig) -> Result<(), String> {
    let mut wanted: BTreeMap<(u32, u32), i64> = BTreeMap::new();
    for spec in effective(&rig.trades, &rig.amends) {
        *wanted.entry(spec.position()).or_default() += spec.side.sign() * spec.quantity_e8;
    }
    for p in rig.book.positions() {
        let want = wanted.get(&(p.account, p.instrument)).copied().unwrap_or(0);
        if p.quantity_e8 != want {
            return Err(format!("A{}/I{}: estimated {}, effective {want}", p.account, p.instrument, p.quantity_e8));
        }
    }
    Ok(())
}

/// What is booked and what waits are together the amended history, whatever the dates did meanwhile.
fn all_is_counted(rig: &AmendRig) -> Result<(), String> {
    let mut wanted: BTreeMap<(u32, u32), i64> = BTreeMap::new();
    for spec in effective(&rig.trades, &rig.amends) {
        *wanted.entry(spec.position()).or_default() += spec.side.sign() * spec.quantity_e8;
    }
    for p in rig.book.positions() {
        let (counted, want) = (p.quantity_e8 + p.forward_quantity_e8, wanted.get(&(p.account, p.instrument)));
        if counted != want.copied().unwrap_or(0) {
            return Err(format!("A{}/I{}: {counted} is counted, the history has {want:?}", p.account, p.instrument));
        }
    }
    Ok(())
}

#[test]
fn any_order_of_arrival_is_the_chronological_book_of_the_effective_set() {
    let mut count = 0;
    for method in [LotMethod::Fifo, LotMethod::Lifo, LotMethod::Hifo] {
        for seed in 0..rounds() {
            let mut rng = Rng::new(seed, 900 + method as u64);
            let list = arrivals(&mut rng, 5, false);
            count += list.len();
            hold(&format!("{method:?} seed {seed}"), &list, |list| any_order(list, method));
        }
    }
    println!("{count} arrivals in any order");
}

/// Dates that move: trades and amended trades wait for theirs, and come when it does. Without a first date nothing waits
/// but what is amended later, so only the sums are held to the rules before the last date has come.
fn with_dates(list: &[Arrival], method: LotMethod, first: bool) -> Result<(), String> {
    let mut rig = AmendRig::new(rules(method, true), NAMES);
    if first {
        rig.arrive(&Arrival::Date(99));
    }
    for arrival in list {
        rig.arrive(arrival);
        all_is_counted(&rig)?;
        if first && *arrival == Arrival::Reconcile {
            agrees(&rig, method)?;
        }
    }
    if !first {
        rig.arrive(&Arrival::Date(999));
        all_is_counted(&rig)?;
    }
    rig.reconcile();
    agrees(&rig, method)
}

#[test]
fn business_dates_move_between() {
    let mut count = 0;
    for method in [LotMethod::Fifo, LotMethod::Hifo] {
        for seed in 0..rounds() {
            let mut rng = Rng::new(seed, 920 + method as u64);
            let list = arrivals(&mut rng, 6, true);
            count += list.len();
            for first in [true, false] {
                let name = format!("{method:?} seed {seed} first date {first}");
                hold(&name, &list, |list| with_dates(list, method, first));
            }
        }
    }
    println!("{count} arrivals with dates that move");
}

/// Where shorts are forbidden, what is accepted depends on arrival; the book is that of the accepted set all the same,
/// and its breaks are the trades that the rules refuse at their place.
fn with_refusals(list: &[Arrival], method: LotMethod) -> Result<(), String> {
    let mut rig = AmendRig::new(rules(method, false), NAMES);
    for arrival in list {
        rig.arrive(arrival);
        quantities_are_right(&rig)?;
    }
    rig.reconcile();
    agrees(&rig, method)?;
    let counts = effective(&rig.trades, &rig.amends);
    for p in rig.book.positions() {
        let mut mine: Vec<Spec> =
            counts.iter().filter(|s| s.position() == (p.account, p.instrument)).copied().collect();
        sort_chronologically(&mut mine);
        let (mut held, mut breaks) = (0i64, 0);
        for spec in &mine {
            let sells = spec.side.sign() < 0;
            held += spec.side.sign() * spec.quantity_e8;
            breaks += u32::from(sells && held < 0);
        }
        let status = if breaks > 0 { Reconciliation::Pending } else { Reconciliation::Reconciled };
        if (p.breaks, p.reconciliation()) != (breaks, status) {
            return Err(format!("A{}/I{}: {} breaks, the rules say {breaks}", p.account, p.instrument, p.breaks));
        }
    }
    Ok(())
}

#[test]
fn refused_trades_stay_refused_and_accepted_ones_accepted() {
    let mut count = 0;
    for seed in 0..rounds() {
        let mut rng = Rng::new(seed, 940);
        let list = arrivals(&mut rng, 5, false);
        count += list.len();
        hold(&format!("seed {seed}"), &list, |list| with_refusals(list, LotMethod::Fifo));
    }
    println!("{count} arrivals with refusals");
}

/// Cancel of x after any history equals the history without x, and cancelling the cancel brings it back.
#[test]
fn cancel_of_a_trade_is_the_history_without_it() {
    for seed in 0..rounds() * 2 {
        let mut rng = Rng::new(seed, 960);
        let trades: Vec<Arrival> =
            arrivals(&mut rng, 5, false).into_iter().filter(|a| matches!(a, Arrival::Trade(_))).collect();
        let x = rng.below(TRADES.into()) as u32;
        let figures = |list: &[Arrival]| {
            let mut rig = AmendRig::new(rules(LotMethod::Hifo, true), NAMES);
            list.iter().for_each(|arrival| {
                rig.arrive(arrival);
            });
            rig.reconcile();
            let of = |p: &lotbook_core::position::Position| {
                let lots: Vec<_> = rig.book.lots().iter(&p.block).collect();
                ((p.account, p.instrument), p.figures(), p.frontier, lots)
            };
            let mut all: Vec<_> = rig.book.positions().iter().map(of).filter(|p| p.2.date != Date::NONE).collect();
            all.sort_by_key(|p| p.0);
            all
        };
        let is_x = |arrival: &Arrival| matches!(arrival, Arrival::Trade(spec) if spec.id == x);
        let without: Vec<Arrival> = trades.iter().filter(|arrival| !is_x(arrival)).copied().collect();
        let with = |amends: &[Amend]| {
            let mut list = trades.clone();
            for amend in amends {
                let at = rng.clone().below(list.len() as u64 + 1) as usize;
                list.insert(at, Arrival::Amend(*amend));
            }
            figures(&list)
        };
        let cancel = Amend::cancel(1, Of::Trade(x));
        assert_eq!(with(&[cancel]), figures(&without), "seed {seed} t{x}");
        assert_eq!(with(&[cancel, Amend::cancel(2, Of::Amend(1))]), figures(&trades), "seed {seed} t{x}");
    }
}

/// Corrections are the difference: what events moved and what corrections changed sum to the book.
#[test]
fn held_amendments_lapse_when_their_time_is_over() {
    let mut rig = AmendRig::new(rules(LotMethod::Fifo, true), 1);
    let held = Amend::cancel(1, Of::Trade(1));
    assert_eq!(rig.arrive(&Arrival::Date(100)), (Class::Applied, Reason::None));
    assert_eq!(rig.amend(&held), (Class::Held, Reason::None));
    assert_eq!(rig.amend(&held).0, Class::Duplicate);
    let other = Amend { price_e8: Some(E8), ..Amend::correct(1, Of::Trade(1)) };
    assert_eq!(rig.amend(&other), (Class::Rejected, Reason::IdConflict));
    for day in 1..HELD_DATES_MAX as i32 {
        rig.arrive(&Arrival::Date(100 + day));
        // The same date again is no other date.
        rig.arrive(&Arrival::Date(100 + day));
        assert_eq!(rig.book.held().len(), 1, "day {day}");
    }
    rig.arrive(&Arrival::Date(100 + HELD_DATES_MAX as i32));
    assert!(rig.book.held().is_empty());
    // The target comes too late to be cancelled, and the id may be used again.
    let trade = Spec::new(1, Side::Buy, E8, 5 * E8, 100);
    assert_eq!(rig.trade(&trade).0, Class::Applied);
    assert_eq!(rig.find(0, 0).map(|p| (p.quantity_e8, p.reconciliation())), Some((E8, Reconciliation::Reconciled)));
    assert_eq!(rig.amend(&other), (Class::Provisional, Reason::None));
    rig.reconcile();
    agrees(&rig, LotMethod::Fifo).expect("the corrected trade");
    rig.images_agree().expect("equal images");
}

/// Circles never begin, whichever of their amendments comes first.
#[test]
fn circles_are_refused() {
    for (first, second, third) in [(0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 2, 1)] {
        let mut rig = AmendRig::new(rules(LotMethod::Fifo, true), 1);
        let amend = |id: u32| Amend::cancel(id, Of::Amend((id + 1) % 3));
        assert_eq!(rig.amend(&amend(first)), (Class::Held, Reason::None));
        assert_eq!(rig.amend(&amend(second)), (Class::Held, Reason::None));
        assert_eq!(rig.amend(&amend(third)), (Class::Rejected, Reason::BadTarget));
        assert_eq!(rig.book.held().len(), 2);
        let itself = Amend::cancel(9, Of::Amend(9));
        assert_eq!(rig.amend(&itself), (Class::Rejected, Reason::BadTarget));
        // The refused one's id is free: as a cancel of a trade it brings the others home.
        let home = Amend { of: Of::Trade(7), ..amend(third) };
        assert_eq!(rig.amend(&home), (Class::Held, Reason::None));
        rig.trade(&Spec::new(7, Side::Buy, E8, E8, 1));
        assert!(rig.book.held().is_empty());
        assert_eq!(rig.amends.len(), 3);
        rig.reconcile();
        agrees(&rig, LotMethod::Fifo).expect("three cancels in a chain");
        assert!(!is_live(&rig.amends, Of::Trade(7)));
    }
}

/// What is refused at arrival, and what lapses when its target turns out to be none for it.
#[test]
fn refusals() {
    let mut rig = AmendRig::new(rules(LotMethod::Fifo, true), 2);
    rig.trade(&Spec::new(1, Side::Buy, 10 * E8, 5 * E8, 1));
    assert_eq!(rig.amend(&Amend::cancel(1, Of::Trade(1))).0, Class::Provisional);
    for (amend, reason) in [
        (Amend { quantity_e8: Some(0), ..Amend::correct(2, Of::Trade(1)) }, Reason::BadQuantity),
        (Amend { price_e8: Some(-1), ..Amend::correct(2, Of::Trade(1)) }, Reason::BadPrice),
        (Amend { fees_e8: Some(-1), ..Amend::correct(2, Of::Trade(1)) }, Reason::BadFees),
        (Amend { price_e8: Some(1), ..Amend::correct(2, Of::Amend(1)) }, Reason::NotSupported),
    ] {
        assert_eq!(rig.amend(&amend), (Class::Rejected, reason), "{amend:?}");
    }
    // A held correct whose target turns out to be an amendment.
    assert_eq!(rig.amend(&Amend { price_e8: Some(1), ..Amend::correct(3, Of::Amend(4)) }).0, Class::Held);
    assert_eq!(rig.amend(&Amend::cancel(4, Of::Amend(1))).0, Class::Provisional);
    assert!(rig.book.held().is_empty());
    assert_eq!(rig.target(Of::Amend(3)), lotbook_core::decide_amend::Target::Unknown);
    rig.reconcile();
    agrees(&rig, LotMethod::Fifo).expect("the trade is back");
    let most = lotbook_core::limits::AMENDMENTS_PER_TRADE_MAX as u32;
    for id in 10..10 + most - 2 {
        assert_eq!(rig.amend(&Amend::cancel(id, Of::Trade(1))).0, Class::Provisional);
    }
    assert_eq!(rig.amend(&Amend::cancel(9_999, Of::Trade(1))), (Class::Rejected, Reason::TooManyAmendments));
}

/// A corrected price is one that the instrument can have, also where the correct came before its trade.
#[test]
fn corrected_prices_keep_to_the_instruments_terms() {
    let mut rig = AmendRig::new(rules(LotMethod::Fifo, true), 1);
    rig.bound_prices(0);
    let price = |id, of, price_e8| Amend { price_e8: Some(price_e8), ..Amend::correct(id, of) };
    for (id, price_e8) in [(1, 7 * E8), (2, 10 * E8 + 1), (3, 12 * E8)] {
        assert_eq!(rig.amend(&price(id, Of::Trade(1), price_e8)), (Class::Held, Reason::None));
    }
    rig.trade(&Spec::new(1, Side::Buy, E8, 10 * E8, 1));
    assert!(rig.book.held().is_empty());
    assert_eq!(rig.amends.iter().map(|amend| amend.id).collect::<Vec<_>>(), [3], "the others are gone");
    for (price_e8, reason) in [
        (8 * E8 - 1, Reason::PriceOutOfBounds),
        (12 * E8 + 1, Reason::PriceOutOfBounds),
        (8 * E8 + 1, Reason::PriceOffTick),
        (-1, Reason::BadPrice),
        (0, Reason::PriceOutOfBounds),
    ] {
        assert_eq!(rig.amend(&price(4, Of::Trade(1), price_e8)), (Class::Rejected, reason), "{price_e8}");
    }
    assert_eq!(rig.amend(&price(4, Of::Trade(1), 8 * E8)).0, Class::Provisional);
    rig.reconcile();
    agrees(&rig, LotMethod::Fifo).expect("the later correct wins");
}

/// The cancel of the newest trade lowers the frontier: what would have been late is in time again.
#[test]
fn the_frontier_falls_with_the_newest_trade() {
    let mut rig = AmendRig::new(rules(LotMethod::Fifo, false), 1);
    rig.trade(&Spec::new(1, Side::Buy, 10 * E8, 5 * E8, 10));
    rig.trade(&Spec::new(2, Side::Buy, 10 * E8, 6 * E8, 20));
    rig.amend(&Amend::cancel(1, Of::Trade(2)));
    rig.reconcile();
    assert_eq!(rig.find(0, 0).map(|p| p.frontier.date), Some(Date(10)));
    assert_eq!(rig.trade(&Spec::new(3, Side::Sell, 10 * E8, 7 * E8, 15)), (Class::Applied, Reason::None));
    rig.amend(&Amend::cancel(2, Of::Trade(1)));
    rig.amend(&Amend::cancel(3, Of::Trade(3)));
    rig.reconcile();
    let p = rig.find(0, 0).expect("traded");
    assert_eq!((p.quantity_e8, p.realized_e16, p.fees_e16, p.block.len()), (0, 0, 0, 0));
    assert_eq!(p.frontier, lotbook_core::id::ChronoKey::MIN);
}

/// The estimate moves a trade from where it was counted, not from where the date of the day would count it.
#[test]
fn a_date_that_moves_between_two_amendments_moves_nothing_twice() {
    let counted = |rig: &AmendRig| rig.find(0, 0).map(|p| (p.quantity_e8, p.forward_quantity_e8));
    let price = |id, of| Amend { price_e8: Some(6 * E8), ..Amend::correct(id, of) };
    let mut rig = AmendRig::new(rules(LotMethod::Fifo, false), 1);
    rig.arrive(&Arrival::Date(99));
    rig.trade(&Spec::new(1, Side::Buy, E8, 5 * E8, 103));
    rig.amend(&price(1, Of::Trade(1)));
    assert_eq!(counted(&rig), Some((0, E8)));
    // Its date comes before the replay does: it is counted as waiting until one of the two moves it.
    rig.arrive(&Arrival::Date(104));
    assert_eq!(counted(&rig), Some((0, E8)));
    rig.amend(&Amend::cancel(2, Of::Trade(1)));
    assert_eq!(counted(&rig), Some((0, 0)));
    rig.images_agree().expect("equal images");
    rig.amend(&Amend::cancel(3, Of::Amend(2)));
    assert_eq!(counted(&rig), Some((E8, 0)), "today its date has come");
    rig.reconcile();
    agrees(&rig, LotMethod::Fifo).expect("booked");

    // Booked before there was a date; an amendment asks again.
    let mut rig = AmendRig::new(rules(LotMethod::Fifo, false), 1);
    rig.trade(&Spec::new(1, Side::Buy, E8, 5 * E8, 103));
    rig.arrive(&Arrival::Date(99));
    assert_eq!(counted(&rig), Some((E8, 0)));
    rig.amend(&price(1, Of::Trade(1)));
    assert_eq!(counted(&rig), Some((0, E8)));
    rig.amend(&Amend { quantity_e8: Some(3 * E8), ..price(2, Of::Trade(1)) });
    assert_eq!(counted(&rig), Some((0, 3 * E8)));
    rig.images_agree().expect("equal images");
    rig.reconcile();
    agrees(&rig, LotMethod::Fifo).expect("waiting");
    rig.arrive(&Arrival::Date(103));
    assert_eq!(counted(&rig), Some((3 * E8, 0)));
    agrees(&rig, LotMethod::Fifo).expect("booked");
}

/// An opening buy is cancelled under a sale: the sale stays accepted, the position waits for a person, and what the
/// person decided holds until a replay finds other breaks.
#[test]
fn a_break_is_resolved_until_another_is_found() {
    let mut rig = AmendRig::new(rules(LotMethod::Fifo, false), 1);
    rig.trade(&Spec::new(1, Side::Buy, 10 * E8, 5 * E8, 1));
    rig.trade(&Spec::new(2, Side::Sell, 10 * E8, 6 * E8, 2));
    assert_eq!(rig.resolve(0, 0, 0), Reason::NotPending);
    rig.amend(&Amend::cancel(1, Of::Trade(1)));
    assert_eq!(rig.resolve(0, 0, 0), Reason::NotPending, "an estimate has no breaks yet");
    rig.reconcile();
    let status = |rig: &AmendRig| rig.find(0, 0).map(|p| (p.quantity_e8, p.breaks, p.reconciliation()));
    assert_eq!(status(&rig), Some((-10 * E8, 1, Reconciliation::Pending)));
    let version = rig.find(0, 0).map_or(0, |p| p.version);
    assert_eq!(rig.resolve(0, 0, version + 1), Reason::VersionMoved);
    assert_eq!(rig.resolve(0, 0, version), Reason::None);
    assert_eq!(status(&rig), Some((-10 * E8, 1, Reconciliation::Reconciled)));
    assert_eq!(rig.resolve(0, 0, 0), Reason::NotPending, "once is enough");
    rig.images_agree().expect("equal images");
    // A replay that finds the same set leaves it resolved.
    rig.amend(&Amend { price_e8: Some(7 * E8), ..Amend::correct(2, Of::Trade(2)) });
    assert_eq!(status(&rig).map(|s| s.2), Some(Reconciliation::Provisional));
    rig.reconcile();
    assert_eq!(status(&rig), Some((-10 * E8, 1, Reconciliation::Reconciled)));
    // Another set does not, and the first set again is another one than that.
    rig.trade(&Spec { trade_type: TradeType::Any, ..Spec::new(3, Side::Sell, E8, 6 * E8, 0) });
    assert_eq!(status(&rig).map(|s| s.1), Some(1), "a refusal is no break");
    rig.trade(&Spec::new(4, Side::Buy, 20 * E8, 5 * E8, 3));
    rig.trade(&Spec::new(5, Side::Sell, 10 * E8, 5 * E8, 4));
    rig.amend(&Amend::cancel(3, Of::Trade(4)));
    rig.reconcile();
    assert_eq!(status(&rig), Some((-20 * E8, 2, Reconciliation::Pending)));
    rig.amend(&Amend::cancel(4, Of::Trade(5)));
    rig.reconcile();
    assert_eq!(status(&rig), Some((-10 * E8, 1, Reconciliation::Pending)));
}
