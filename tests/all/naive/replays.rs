//! Whole histories of one position, corporate actions and resets among them, through the engine's replay alone.
//!
//! Nothing is refused here: what is booked at its place is compared, whatever it breaks there.

use lotbook_core::Scratch;
use lotbook_core::history::Item;
use lotbook_core::id::ChronoKey;
use lotbook_core::outcome::Outcome;
use lotbook_core::replay::replay;
use lotbook_core::rules::ContractBook;
use lotbook_tests::naive::history::{self, book_all, book_item};
use lotbook_tests::naive::in_force::Contract;
use lotbook_tests::naive::lots::Book as NaiveBook;
use lotbook_tests::naive::numbers::ONE;
use lotbook_tests::naive::trade::form;
use lotbook_tests::naive::words::Instrument;

use super::Seen;
use super::compare::{alike, lots, same, totals};
use super::steps::Step;
use super::translate::{action_input, contract_terms, e8, hash, input};

/// Both replays of the history of one position.
pub(crate) fn agree(steps: &[Step]) -> Result<Seen, String> {
    let (mut contracts, mut instrument) = (Vec::<Contract>::new(), Instrument { multiplier: ONE, currency: None });
    let mut items = Vec::new();
    for step in steps {
        match step {
            Step::Contract(contract) => contracts.push(*contract),
            Step::Instrument(0, terms) => instrument = Instrument { currency: None, ..*terms },
            Step::Trade(trade) if form(trade, &instrument).is_ok() => items.push(history::Item::Trade(trade.clone())),
            Step::Action(action) if action.form().is_ok() && action.concerns(0, &contracts) => {
                items.push(history::Item::Action(0, action.clone()));
            }
            _ => {}
        }
    }
    let mut book = ContractBook::new(64);
    for contract in &contracts {
        book.insert(contract_terms(contract));
    }
    // What cannot be booked at its place is left out: it would end the replay.
    items.sort_by_cached_key(history::Item::key);
    let (mut so_far, mut left_out) = (NaiveBook::default(), 0);
    items.retain(|item| match book_item(&so_far, item, &contracts, &instrument) {
        Ok(Some((book, _))) => {
            so_far = book;
            true
        }
        Ok(None) => true,
        Err(_) => {
            left_out += 1;
            false
        }
    });
    let mut inputs: Vec<Item> = items
        .iter()
        .map(|item| match item {
            history::Item::Trade(trade) => Item::Trade(input(trade)),
            history::Item::Action(_, action) => Item::Action(action_input(action)),
        })
        .collect();
    let mut seen = Seen::from([("left out", left_out)]);
    let outcome = replay(&mut inputs, &book, e8(instrument.multiplier), &mut Scratch::new());
    let (outcome, wanted) = match (outcome, book_all(items.clone(), &contracts, &instrument)) {
        (Ok(outcome), Ok(wanted)) => (outcome, wanted),
        (outcome, wanted) => return Err(format!("replay: engine {:?}, model {:?}", outcome.err(), wanted.err())),
    };
    let is_action = |id: &str| items.iter().any(|item| matches!(item, history::Item::Action(_, a) if *a.id == *id));
    let (mut trades, mut actions) = (outcome.trades.iter(), outcome.actions.iter());
    for (id, figures) in &wanted.items {
        let differs = |what: String| format!("{id}: {what}");
        if is_action(id) {
            if figures.broken.is_some() {
                *seen.entry("passed over").or_default() += 1;
                continue;
            }
            let action = actions.next().ok_or("an action is missing")?;
            same("action", action.hash, hash(id)).map_err(differs)?;
            same("realized", action.gains.realized_e16, figures.realized).map_err(differs)?;
            same("long-term", action.gains.long_e16, figures.realized_long).map_err(differs)?;
            same("in base", action.gains.base_e16, figures.realized_base).map_err(differs)?;
            same("dividends", action.dividends_e16, figures.dividends).map_err(differs)?;
            *seen.entry("actions").or_default() += 1;
            *seen.entry("actions that realize").or_default() += usize::from(figures.realized != 0);
            continue;
        }
        let trade = trades.next().ok_or("a trade is missing")?;
        same("trade", trade.hash, hash(id)).map_err(differs)?;
        same("breaks", trade.reason.code(), figures.broken.unwrap_or("")).map_err(differs)?;
        same("realized", trade.realized_e16, figures.realized).map_err(differs)?;
        same("long-term", trade.realized_long_e16, figures.realized_long).map_err(differs)?;
        same("in base", trade.realized_base_e16, figures.realized_base).map_err(differs)?;
        same("market part", trade.realized_market_e16, figures.realized_market).map_err(differs)?;
        alike(&trade.allocations, figures).map_err(differs)?;
        *seen.entry("trades").or_default() += 1;
    }
    same("left over", (trades.count(), actions.count()), (0, 0))?;
    let breaks: Vec<_> = wanted.breaks.iter().map(|(id, reason)| (hash(id), *reason)).collect();
    same("breaks", outcome.breaks.iter().map(|(id, reason)| (*id, reason.code())).collect(), breaks)?;
    lots(outcome.lots.iter().copied(), &wanted.book.lots)?;
    totals(&outcome.after, &wanted.book)?;
    same("dividends", outcome.after.dividends_e16, wanted.book.dividends)?;
    let frontier = wanted.frontier.as_ref().map(|key| (key.date, key.id.as_bytes()));
    if outcome.frontier != ChronoKey::MIN || frontier.is_some() {
        same("frontier", Some((outcome.frontier.date.0, outcome.frontier.trade_id.as_bytes())), frontier)?;
    }
    match Outcome::decode(&outcome.encode()) == Ok(outcome) {
        true => Ok(seen),
        false => Err("a body that was read back differs".into()),
    }
}
