//! Histories of whole hosts that differed once, as the shrinker left them, each with what was wrong.

use lotbook_core::id::TradeHash;
use lotbook_tests::naive::actions::{Action, Kind};
use lotbook_tests::naive::amend::{ActionChanges, Amendment, Changes};
use lotbook_tests::naive::holding::{day, end_of};
use lotbook_tests::naive::in_force::{Contract, Rules, Wash};
use lotbook_tests::naive::leading::Terms;
use lotbook_tests::naive::numbers::ONE;
use lotbook_tests::naive::words::{Day, Instrument, Name, Side, Trade, TradeType};

use super::steps::Step;
use super::whole::{Pace, agree};

fn hash(id: &str) -> u128 {
    TradeHash::new(b"test", id.as_bytes()).0
}

/// One unit at one, of the first account in the first instrument, on a day of 2024's February.
fn trade(id: &str, side: Side, of_month: i32) -> Trade {
    let date: Day = day(2024, 2, of_month);
    Trade {
        id: id.into(),
        hash: hash(id),
        account: 0,
        instrument: 0,
        contract: None,
        side,
        trade_type: TradeType::Any,
        acquired: None,
        to_account: None,
        quantity: ONE,
        price: Some(ONE),
        consideration: None,
        fees: 0,
        currency: None,
        fx_to_base: ONE,
        sub_account: None,
        date,
        executed_at: end_of(date),
        source_order: 0,
        lot: None,
    }
}

/// One unit, to the second account.
fn transfer(id: &str, from: Name, of_month: i32) -> Trade {
    let to_account = Some(1 - from);
    Trade { account: from, to_account, price: None, ..trade(id, Side::Sell, of_month) }
}

fn action(id: &str, kind: Kind, of_month: i32) -> Action {
    Action { id: id.into(), hash: hash(id), instrument: 0, kind, date: day(2024, 2, of_month), fx_to_base: ONE }
}

fn correct(id: &str, target: &str, changes: Changes) -> Step {
    Step::Amend(Amendment {
        id: id.into(),
        hash: hash(id),
        target: target.into(),
        changes: Some(changes),
        executed_at: None,
        source_order: 0,
        account: None,
        instrument: None,
    })
}

fn shorts_for(contract: Name, account: Option<Name>) -> Step {
    let rules = Rules { allow_short: true, ..Rules::DEFAULT };
    Step::Contract(Contract { id: contract, account, instrument: None, from: day(2000, 1, 1), rules })
}

fn check(steps: &[Step]) {
    for pace in [Pace::Settled, Pace::Hasty] {
        let seen = agree(steps, pace, None).unwrap_or_else(|what| panic!("{pace:?}: {what}"));
        assert!(seen.contains_key("compared") && !seen.contains_key("over"), "{pace:?}: {seen:?}");
    }
}

/// A correct moved a transfer to an earlier place: its lot came again under its identity, and then the old one of that
/// identity was withdrawn.
#[test]
fn a_transfer_that_moves_in_history() {
    let earlier = Changes { executed_at: Some(1), ..Changes::default() };
    check(&[Step::Trade(trade("b1", Side::Buy, 5)), Step::Trade(transfer("x", 0, 6)), correct("c", "x", earlier)]);
}

/// What had come to a position was withdrawn, and its source forgot that it ever had sent something: the position
/// was shown PROVISIONAL for ever.
#[test]
fn what_came_back_to_nothing() {
    check(&[
        Step::Trade(trade("b", Side::Buy, 9)),
        Step::Trade(transfer("x", 0, 5)),
        Step::Trade(transfer("y", 1, 12)),
    ]);
}

/// Fees and a consideration in a correct of a transfer were booked.
#[test]
fn a_transfer_has_no_price() {
    let paid = Changes { fees: Some(2 * ONE), consideration: Some(3 * ONE), price: Some(5), ..Changes::default() };
    check(&[Step::Trade(trade("b", Side::Buy, 5)), Step::Trade(transfer("x", 0, 6)), correct("c", "x", paid)]);
}

/// A correct of a spin-off's or a stock merger's terms was refused.
#[test]
fn actions_that_lead_on_are_corrected() {
    let terms = Terms { numerator: 1, denominator: 2, cash_in_lieu: None };
    let ratio = ActionChanges { denominator: Some(3), cash_in_lieu: Some(7 * ONE), ..ActionChanges::default() };
    let changes = Changes { of_actions: Some(ratio), ..Changes::default() };
    for kind in [Kind::SpinOff { to: 1, terms, fraction: ONE / 3 }, Kind::StockMerger { to: 1, terms, cash: ONE / 4 }] {
        check(&[
            Step::Trade(trade("b", Side::Buy, 5)),
            Step::Action(action("a", kind, 6)),
            correct("c", "a", changes.clone()),
        ]);
    }
}

/// A new lot of a spin-off was held to the range of prices at a price that nobody asks for, and the spin-off passed over.
#[test]
fn a_new_lot_has_no_price_before_it_arrives() {
    let terms = Terms { numerator: 1, denominator: 100_000_000, cash_in_lieu: None };
    let dear = Trade { price: Some(1_000 * ONE), ..trade("b", Side::Buy, 5) };
    check(&[Step::Trade(dear), Step::Action(action("a", Kind::SpinOff { to: 1, terms, fraction: ONE / 4 }, 6))]);
}

/// The break of a trade whose contract is unknown changed its name when a contract of that name came for another
/// account, or did not, by what was replayed in between.
#[test]
fn a_contract_that_comes_for_somebody_else() {
    let named = Changes { contract: Some(1), ..Changes::default() };
    check(&[Step::Trade(trade("b", Side::Buy, 5)), correct("c", "b", named), shorts_for(1, Some(1))]);
}

/// The cash of a stock merger leaves the prices alone by which its fraction is chosen.
#[test]
fn the_fraction_of_a_merger_is_chosen_by_prices_before_the_cash() {
    use lotbook_tests::naive::in_force::Method;
    let rules = Rules { method: Method::Hifo, ..Rules::DEFAULT };
    let hifo = Contract { id: 0, account: None, instrument: None, from: day(2000, 1, 1), rules };
    let terms = Terms { numerator: 1, denominator: 2, cash_in_lieu: Some(11 * ONE) };
    let of = |id, units, of_month| {
        let price = Some(units * ONE);
        Step::Trade(Trade { quantity: ONE + ONE / 2, price, ..trade(id, Side::Buy, of_month) })
    };
    check(&[
        Step::Contract(hifo),
        of("b1", 10, 1),
        of("b2", 12, 2),
        Step::Action(action("a", Kind::StockMerger { to: 1, terms, cash: 4 * ONE }, 6)),
    ]);
}

/// Of a contract unit that is worth next to nothing prices are large: both books pass over what leaves the range.
#[test]
fn small_multipliers() {
    let tiny = Instrument { multiplier: 5, currency: None };
    let terms = Terms { numerator: 1, denominator: 3, cash_in_lieu: Some(ONE) };
    check(&[
        Step::Instrument(0, tiny),
        Step::Trade(trade("b", Side::Buy, 5)),
        Step::Action(action("a", Kind::SpinOff { to: 1, terms, fraction: ONE }, 6)),
        Step::Action(action("m", Kind::StockMerger { to: 2, terms, cash: 0 }, 7)),
    ]);
}

/// A lot that arrived on the other side was passed over because of a price by which no lot is chosen.
#[test]
fn the_price_of_what_closes_on_arrival_matters_to_least_tax_alone() {
    let dear = |consideration| move |of: Trade| Trade { price: None, consideration: Some(consideration), ..of };
    let in_other = Trade { instrument: 1, ..dear(ONE)(trade("b", Side::Buy, 1)) };
    let short = Trade { quantity: 3, ..dear(ONE)(trade("s", Side::SellShort, 2)) };
    check(&[
        shorts_for(0, None),
        Step::Instrument(1, Instrument { multiplier: 5, currency: None }),
        Step::Trade(in_other),
        Step::Trade(short),
        Step::Action(action("a", Kind::SymbolChange { to: 1 }, 6)),
    ]);
}

/// A position whose breaks had been resolved stayed RECONCILED when a lot arrived there that was a break itself.
#[test]
fn a_break_on_arrival_is_one_that_nobody_resolved() {
    let increase = Trade { trade_type: TradeType::Increase, ..trade("b0", Side::Buy, 4) };
    let short = Trade { account: 1, ..trade("s", Side::SellShort, 6) };
    check(&[
        shorts_for(0, None),
        Step::Trade(trade("b1", Side::Buy, 5)),
        Step::Trade(increase),
        Step::Resolve(0, 0),
        Step::Trade(short),
        Step::Trade(Trade { side: Side::Buy, ..transfer("x", 1, 7) }),
    ]);
}

/// A correct moved a spin-off to a later date, where its position took it once more before it was replayed: what had left
/// was withdrawn under the identity of both, and the other instrument had nothing.
#[test]
fn a_spin_off_that_moves_to_a_later_date() {
    let terms = Terms { numerator: 2, denominator: 3, cash_in_lieu: None };
    let later = Changes { date: Some(day(2024, 2, 20)), ..Changes::default() };
    check(&[
        Step::Action(action("a", Kind::SpinOff { to: 1, terms, fraction: 0 }, 6)),
        Step::Trade(Trade { quantity: 3 * ONE, ..trade("b", Side::Buy, 5) }),
        correct("c", "a", later),
    ]);
}

/// Where a split leaves nothing the cost is lost by how long the units count as held, with the days of what they replaced:
/// it was left where the plain book has it, and what they carried was short-term.
#[test]
fn a_split_that_leaves_nothing_behind_a_wash_sale() {
    for long_term_days in [2, 9, 400] {
        let rules =
            Rules { wash: Wash::Account, wash_window: 5, long_term_days: Some(long_term_days), ..Rules::DEFAULT };
        let washes = Contract { id: 0, account: None, instrument: None, from: day(2000, 1, 1), rules };
        let cheap = Trade { price: Some(3), ..trade("s", Side::Sell, 6) };
        let kind = Kind::Split { numerator: 1, denominator: 1_000_000_000, cash_in_lieu: None };
        check(&[
            Step::Contract(washes),
            Step::Trade(trade("b1", Side::Buy, 1)),
            Step::Trade(cheap),
            Step::Trade(trade("b2", Side::Buy, 7)),
            Step::Action(action("a", kind, 10)),
        ]);
    }
}

/// A spin-off that gives no unit at all does nothing, whatever the price of the lot that is held would be behind it: the
/// second book named it passed over.
#[test]
fn a_spin_off_of_nothing() {
    let terms = Terms { numerator: 1, denominator: 2, cash_in_lieu: None };
    let priced = Trade { consideration: Some(1_000 * ONE), quantity: 1, ..trade("o", Side::Buy, 5) };
    check(&[
        Step::Instrument(0, Instrument { multiplier: 5, currency: None }),
        Step::Trade(Trade { acquired: Some(day(2020, 1, 1)), ..priced }),
        Step::Action(action("a", Kind::SpinOff { to: 1, terms, fraction: 0 }, 6)),
    ]);
}

/// A correct that stands before another one was held to a form in which it had the last word: its date lay before the
/// record date of the other, and it was refused.
#[test]
fn a_correct_of_an_action_below_another_one() {
    let dividend = Kind::Dividend { cash: ONE, record_date: None };
    let record = ActionChanges { record_date: Some(day(2024, 2, 12)), ..ActionChanges::default() };
    let both = Changes { date: Some(day(2024, 2, 20)), of_actions: Some(record), ..Changes::default() };
    let earlier = Changes { date: Some(day(2024, 2, 7)), ..Changes::default() };
    let Step::Amend(first) = correct("c1", "a", earlier) else { unreachable!("an amendment") };
    check(&[
        Step::Trade(trade("b", Side::Buy, 5)),
        Step::Action(action("a", dividend, 10)),
        correct("c2", "a", both),
        Step::Amend(Amendment { executed_at: Some(1), ..first }),
    ]);
}

/// A waiting trade broke a rule at its date on a position whose breaks had been resolved, and a late trade mended that:
/// the second book took it for resolved still, though there had been another set of breaks.
#[test]
fn a_resolution_ends_with_another_break() {
    let lot =
        Trade { acquired: Some(day(2024, 2, 7)), consideration: Some(ONE), price: None, ..trade("o", Side::Buy, 9) };
    let history = [
        Step::Today(day(2024, 2, 5)),
        Step::Trade(trade("s", Side::Sell, 7)),
        Step::Today(day(2024, 2, 8)),
        Step::Resolve(0, 0),
        Step::Trade(lot),
        Step::Today(day(2024, 2, 9)),
        Step::Trade(trade("b", Side::Buy, 8)),
        Step::Replay(0, 0),
    ];
    let seen = super::agree(&history).expect("both agree");
    assert_eq!((seen["waits"], seen["resolved"], seen["replayed"]), (2, 1, 1));
}

/// A replay wrote down the totals at the date of an action that found nothing to act on, and what was booked before that date
/// later, in its order, stood behind it: the closed figures that were reported were read without its fees.
#[test]
fn what_is_booked_before_an_action_that_found_nothing_is_reported() {
    let rules = Rules { locked_changes_adjust: true, ..Rules::DEFAULT };
    let adjusts = Contract { id: 0, account: None, instrument: None, from: day(2000, 1, 1), rules };
    let merger = |id, of_month| Step::Action(action(id, Kind::Merger { cash: 13 * ONE }, of_month));
    let paid = Trade { fees: 3 * ONE, ..trade("b2", Side::Buy, 8) };
    for late in [5, 7] {
        check(&[
            Step::Contract(adjusts),
            Step::Today(day(2024, 2, 20)),
            merger("m2", 20),
            Step::Trade(trade("b1", Side::Buy, 5)),
            merger("m1", 6),
            Step::Trade(paid.clone()),
            Step::Lock(Some(0), day(2024, 2, 19)),
            Step::Trade(trade("b3", Side::Buy, late)),
        ]);
    }
}

/// A new lot of a spin-off was held to the range of prices by the view of wash sales, too, and the instrument had none; so
/// was a lot of a stock merger at its price from before the cash.
#[test]
fn wash_sales_where_a_new_lot_would_have_no_price() {
    let rules = Rules { wash: Wash::Account, ..Rules::DEFAULT };
    let washes = Contract { id: 0, account: None, instrument: None, from: day(2000, 1, 1), rules };
    let tiny = Instrument { multiplier: 5, currency: None };
    let terms = |cash_in_lieu| Terms { numerator: 1, denominator: 100_000_000, cash_in_lieu };
    for kind in [
        Kind::SpinOff { to: 1, terms: terms(Some(ONE)), fraction: ONE / 4 },
        Kind::StockMerger { to: 1, terms: terms(None), cash: ONE },
    ] {
        check(&[
            Step::Contract(washes),
            Step::Instrument(0, tiny),
            Step::Trade(Trade { price: None, consideration: Some(ONE), ..trade("b", Side::Buy, 5) }),
            Step::Action(action("a", kind, 6)),
        ]);
    }
}

/// No fault, but nothing drawn came here: a reverse split leaves nothing of the units that replaced a loss, what they carry goes to free
/// units, and these replace another loss.
#[test]
fn what_vanished_in_a_split_is_carried_by_units_that_replace_again() {
    let rules = Rules { wash: Wash::Account, ..Rules::DEFAULT };
    let washes = Contract { id: 0, account: None, instrument: None, from: day(2000, 1, 1), rules };
    let of = |trade: Trade, quantity, price| Step::Trade(Trade { quantity, price: Some(price), ..trade });
    let split = Kind::Split { numerator: 1, denominator: 4, cash_in_lieu: None };
    check(&[
        Step::Contract(washes),
        of(trade("held", Side::Buy, 1), 8 * ONE, 10 * ONE),
        of(trade("loss", Side::Sell, 2), 2, ONE),
        of(trade("bought", Side::Buy, 3), 5, 2 * ONE),
        Step::Action(action("split", split, 4)),
        of(trade("again", Side::Sell, 5), 1, ONE),
    ]);
}
