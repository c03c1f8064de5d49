//! The oracle: what the log has accepted, in the order of the log, booked by the naive model; and every position compared with it.

use std::collections::{BTreeMap, BTreeSet};

use lotbook_core::event::{Class, Reason};
use lotbook_core::position::Reconciliation;
use lotbook_engine::{Host, PositionView};
use lotbook_tests::beside::{self, number, same};
use lotbook_tests::naive::desk::Amended;
use lotbook_tests::naive::history::Booked;
use lotbook_tests::naive::words::{OVERFLOW, Trade};
use lotbook_tests::naive::world::{Place, World};

use crate::audit::{Outcome, Seen};
use crate::client::Ask;
use crate::naive::steps::Step;

/// The naive model of everything that the log has accepted; `None` where an estimate or a replay left its range, of which the model
/// knows nothing.
pub(crate) fn accepted(asks: &[Ask], records: &[Seen]) -> Result<Option<World>, String> {
    let (mut world, mut met, known) = (World::default(), BTreeSet::new(), BTreeSet::new());
    for (sequence, seen) in (1..).zip(records) {
        let Some((index, Outcome { class, reason })) = seen.of else { continue };
        let Ask::Step(step) = &asks[index] else { continue };
        let wrong = |what: String| format!("record {sequence}, {step:?}: {what}");
        let is_new = matches!(class, Some(Class::Applied | Class::Provisional | Class::Forward));
        match &**step {
            Step::Contract(contract) if reason == Reason::None => world.contracts.push(*contract),
            Step::Instrument(number, terms) if reason == Reason::None => {
                world.instruments.insert(*number, *terms);
            }
            Step::Today(day) if reason == Reason::None => world.move_date(*day),
            Step::Trade(trade) if is_new => world.accept_trade(trade, &known),
            Step::Action(action) if is_new => world.accept_action(action, &known),
            // What becomes of a held one later the model finds by itself.
            Step::Amend(amendment) if class != Some(Class::Duplicate) && !met.contains(&amendment.id) => {
                if reason.code() == OVERFLOW {
                    return Ok(None);
                }
                let wanted = world.amend(amendment, &known);
                let fits = match wanted {
                    Amended::Accepted => is_new,
                    Amended::Held => class == Some(Class::Held),
                    Amended::Refused(wanted) => class == Some(Class::Rejected) && reason.code() == wanted,
                };
                if !fits {
                    return Err(wrong(format!("is {class:?} {reason:?}, and {wanted:?} in the model")));
                }
                if wanted == Amended::Accepted {
                    world.follow_all(&amendment.id, &known);
                }
                // A refused one consumes no id.
                if !matches!(wanted, Amended::Refused(_)) {
                    met.insert(amendment.id.clone());
                }
            }
            _ => {}
        }
    }
    Ok(Some(world))
}

/// What the log has of the client's steps, in its order: what became of each, and its line for `lotbook replay`.
pub(crate) fn history(asks: &[Ask], records: &[Seen]) -> Vec<String> {
    let line = |(sequence, seen): (u64, &Seen)| {
        let (index, Outcome { class, reason }) = seen.of?;
        let Ask::Step(step) = &asks[index] else { return None };
        Some(format!("record {sequence} {class:?} {reason:?}\t{}", step.line().unwrap_or_default()))
    };
    (1..).zip(records).filter_map(line).collect()
}

/// Every position as it is published is the model's. Says how many were compared.
pub(crate) fn compare(host: &Host, world: &World) -> Result<usize, String> {
    let Ok(mut left) = world.book() else { return Ok(0) };
    for trade in world.counting() {
        left.entry((trade.account, trade.instrument)).or_default();
    }
    let views = host.model().positions();
    for view in &views {
        let place = (number(&view.account), number(&view.instrument));
        let booked = left.remove(&place).unwrap_or_default();
        position(world, place, view, &booked).map_err(|what| format!("A{}/I{}: {what}", place.0, place.1))?;
    }
    missing(world, &left)?;
    let mut held: Vec<String> = host.model().held().iter().map(|held| held.amend_id.to_string()).collect();
    let mut wanted: Vec<String> = world.held.iter().map(|(held, _)| held.id.to_string()).collect();
    held.sort_unstable();
    wanted.sort_unstable();
    same("held", held, wanted)?;
    Ok(views.len())
}

fn missing(world: &World, left: &BTreeMap<Place, Booked>) -> Result<(), String> {
    for (place, booked) in left {
        same(&format!("{place:?} is missing"), &Booked::default().book, &booked.book)?;
        same(&format!("{place:?} is missing"), 0, world.waiting(*place).len())?;
    }
    Ok(())
}

fn position(world: &World, place: Place, view: &PositionView, booked: &Booked) -> Result<(), String> {
    let waiting = world.waiting(place).iter().map(Trade::signed).sum();
    beside::position(view, booked, waiting)?;
    let status = if booked.breaks.is_empty() { Reconciliation::Reconciled } else { Reconciliation::Pending };
    same("status", view.reconciliation, status)
}
