//! The document that `lotbook replay` prints of a drawn history: its `wash` block is the naive model's, field by field.

use std::collections::{BTreeMap, BTreeSet};

use lotbook_tests::naive::desk::Amended;
use lotbook_tests::naive::history::Booked;
use lotbook_tests::naive::lots::Lot;
use lotbook_tests::naive::numbers::{add, share, sub};
use lotbook_tests::naive::wash::{Loss, Replacement, Shown, Totals, View, wash_sales};
use lotbook_tests::naive::words::{Id, Reason};
use lotbook_tests::naive::world::{Place, World};
use serde_json::{Value, json};

use super::Seen;
use super::compare::same;
use super::draw_wash::ACCOUNTS;
use super::draw_world::INSTRUMENTS;
use super::steps::{Step, decimal, ymd};
use crate::process::expect;

/// Money as the document writes it: the whole units, and sixteen digits behind them.
fn money(value: i128) -> String {
    const E16: u128 = 10_000_000_000_000_000;
    let (whole, part) = (value.unsigned_abs() / E16, value.unsigned_abs() % E16);
    let text = format!("{}{whole}.{part:016}", if value < 0 { "-" } else { "" });
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The steps that can be said in a file.
fn sayable(history: &[Step]) -> Vec<Step> {
    let (mut world, mut traded, mut said) = (World::default(), false, Vec::new());
    for step in history {
        match step {
            // Both hang on how far the coldpath is.
            Step::Lock(..) | Step::Resolve(..) | Step::Replay(..) => continue,
            // As for whole hosts: what was booked before the first date and amended then hangs on when it is replayed.
            Step::Today(_) if world.today.is_none() && traded => continue,
            Step::Today(day) => world.today = Some(*day),
            Step::Trade(_) => traded = true,
            _ => {}
        }
        said.push(step.clone());
    }
    said
}

/// Runs the history through the binary, books what it accepted, and compares.
pub(crate) fn agree(history: &[Step]) -> Result<Seen, String> {
    let steps = sayable(history);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let lines: Vec<String> = steps.iter().filter_map(Step::line).collect();
    std::fs::write(folder.path().join("history.jsonl"), lines.join("\n")).expect("a file in a temporary directory");
    let (out, _) = expect(folder.path(), &["replay", "--json", "--skip-bad", "history.jsonl"], 0);
    let document: Value = serde_json::from_str(&out).map_err(|error| error.to_string())?;
    let mut seen = Seen::from([("documents", 1)]);
    let Some(world) = accepted(&steps, &document)? else {
        seen.insert("over", 1);
        return Ok(seen);
    };
    let (Ok(books), Ok(view)) = (world.book(), wash_sales(&world, &(0..INSTRUMENTS).collect())) else {
        seen.insert("no wash sales", 1);
        return Ok(seen);
    };
    let Ok(wanted) = rows(&view, &books) else {
        seen.insert("no wash sales", 1);
        return Ok(seen);
    };
    seen.insert("wash: losses", view.losses.len());
    seen.insert("wash: rows", wanted.len());
    seen.insert("wash: moves", view.moved.len());
    let is = document["wash"].as_array().ok_or("no wash block")?;
    for (is, wanted) in is.iter().zip(&wanted) {
        same("row", is, wanted)?;
    }
    same("rows", is.len(), wanted.len())?;
    Ok(seen)
}

/// The model with what the document says was accepted; `None` where an estimate left its range.
fn accepted(steps: &[Step], document: &Value) -> Result<Option<World>, String> {
    let rows = document["trades"].as_array().ok_or("no trades")?;
    let outcomes: BTreeMap<&str, (&str, Option<&str>)> = rows
        .iter()
        .map(|row| {
            (row["trade_id"].as_str().unwrap_or(""), (row["outcome"].as_str().unwrap_or(""), row["reason"].as_str()))
        })
        .collect();
    // What is no line at all (a lot without its cost) has no row: nothing of it reached the book.
    let outcome = |id: &Id| outcomes.get(&**id).copied();
    let (mut world, mut known) = (World::default(), BTreeSet::<Place>::new());
    for step in steps {
        match step {
            Step::Contract(contract) => world.contracts.push(*contract),
            Step::Instrument(name, terms) => drop(world.instruments.insert(*name, *terms)),
            Step::Today(day) => world.move_date(*day),
            Step::Trade(trade) => {
                if outcome(&trade.id).is_some_and(|(is, _)| is != "rejected") {
                    known.insert((trade.account, trade.instrument));
                    world.accept_trade(trade, &known);
                }
            }
            Step::Amend(amendment) => {
                let Some((is, reason)) = outcome(&amendment.id) else { continue };
                let said = world.amend(amendment, &known);
                match said {
                    Amended::Accepted if reason == Some("OVERFLOW") => return Ok(None),
                    Amended::Accepted => world.follow_all(&amendment.id, &known),
                    _ => {}
                }
                // The document has what became of it in the end, and of a held one that is decided when its target comes.
                if said != Amended::Held {
                    let refused = matches!(said, Amended::Refused(_));
                    same(&format!("{} is refused", amendment.id), is == "rejected", refused)?;
                }
            }
            Step::Action(action) => {
                if world.answer_action(action, &known).is_ok() {
                    world.accept_action(action, &known);
                }
            }
            Step::Lock(..) | Step::Resolve(..) | Step::Replay(..) => {}
        }
    }
    Ok(Some(world))
}

/// The rows of all positions of which there is something to say, by account and instrument.
fn rows(view: &View, books: &BTreeMap<Place, Booked>) -> Result<Vec<Value>, Reason> {
    let shown = view.shown();
    let mut rows = Vec::new();
    let places = (0..ACCOUNTS).flat_map(|account| (0..INSTRUMENTS).map(move |instrument| (account, instrument)));
    for place in places {
        let Some(booked) = books.get(&place) else { continue };
        let totals = view.totals.get(&place).copied().unwrap_or_default();
        let losses: Vec<Value> = view.losses.iter().filter(|loss| loss.place == place).map(loss_row).collect();
        let of_it = shown.iter().filter(|(key, _)| key.0 == place);
        let is_short = booked.book.is_short;
        let lots = of_it.map(|(key, pieces)| lot_row(&booked.book.lots[key.1], is_short, pieces));
        let lots: Vec<Value> = lots.collect::<Result<_, _>>()?;
        if totals == Totals::default() && losses.is_empty() && lots.is_empty() {
            continue;
        }
        let realized = sub(add(booked.book.realized, totals.disallowed)?, totals.left)?;
        let long = add(booked.book.realized_long, totals.long_shift)?;
        rows.push(json!({
            "account": format!("A{}", place.0),
            "instrument": format!("I{}", place.1),
            "disallowed": money(totals.disallowed),
            "recognized": money(totals.left),
            "carried": money(totals.carried),
            "realized_pnl": money(realized),
            "realized_long_term": money(long),
            "realized_short_term": money(sub(realized, long)?),
            "losses": losses,
            "lots": lots,
        }));
    }
    Ok(rows)
}

fn loss_row(loss: &Loss) -> Value {
    json!({
        "trade_id": &*loss.trade,
        "date": ymd(loss.date),
        "lot_trade_id": &*loss.lot,
        "quantity": decimal(loss.units),
        "realized_pnl": money(loss.realized),
        "addition": money(loss.addition),
        "replaced_quantity": decimal(loss.matched),
        "disallowed": money(loss.disallowed),
        "replacements": loss.replacements.iter().map(replacement_row).collect::<Vec<_>>(),
    })
}

fn replacement_row(by: &Replacement) -> Value {
    json!({
        "account": format!("A{}", by.place.0),
        "instrument": format!("I{}", by.place.1),
        "trade_id": &*by.trade,
        "lot_trade_id": &*by.lot,
        "quantity": decimal(by.units),
        "addition": money(by.addition),
        "tacked_days": by.tacked,
    })
}

/// Cost by cumulated units, plus the addition for a long lot, less it for a short one.
fn lot_row(lot: &Lot, is_short: bool, pieces: &[Shown]) -> Result<Value, Reason> {
    let (mut units, mut given, mut cost, mut rows) = (0, 0, 0, Vec::new());
    for &(of_piece, addition, tacked) in pieces {
        units += of_piece;
        let until = share(lot.cost, units, lot.quantity)?;
        let plain = until - given;
        given = until;
        let adjusted = if is_short { sub(plain, addition)? } else { add(plain, addition)? };
        cost = add(cost, adjusted)?;
        rows.push(json!({
            "quantity": decimal(of_piece),
            "cost": money(adjusted),
            "addition": money(addition),
            "acquired": ymd(lot.acquired - tacked),
        }));
    }
    Ok(json!({
        "trade_id": &*lot.origin,
        "side": if is_short { "short" } else { "long" },
        "quantity": decimal(lot.quantity),
        "cost": money(cost),
        "pieces": rows,
    }))
}
