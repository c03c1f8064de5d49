//! The oracle: what the log has accepted, in the order of the log, booked by the naive model; and every position compared with it.

use std::collections::{BTreeMap, BTreeSet};

use lotbook_core::amend_event::break_digest;
use lotbook_core::command::{Mark, MarkKind};
use lotbook_core::event::{Class, Reason};
use lotbook_core::position::Reconciliation;
use lotbook_engine::checkpoint::State;
use lotbook_engine::{Host, PositionView};
use lotbook_tests::beside::{self, number, same};
use lotbook_tests::naive::desk::Amended;
use lotbook_tests::naive::history::Booked;
use lotbook_tests::naive::words::{Id, OPPOSITE_SIDE, OVERFLOW, PERIOD_LOCKED, Trade};
use lotbook_tests::naive::world::{Place, World};

use crate::audit::{Outcome, Seen};
use crate::client::Ask;
use crate::naive::hash;
use crate::naive::steps::Step;

/// What the log has accepted, in the naive model's words.
#[derive(Debug, Default)]
pub(crate) struct Model {
    world: World,
    /// Digests of the sets of breaks that were ever resolved.
    resolved: BTreeMap<Place, BTreeSet<u64>>,
    /// Official closes of the business date, by instrument: time and price.
    closes: BTreeMap<u32, (i64, i64)>,
    /// Instruments of which an action was asked for: it may restate their marks.
    restated: BTreeSet<u32>,
}

/// The naive model of everything that the log has accepted; `None` where an estimate or a replay left its range, of which the model
/// knows nothing.
pub(crate) fn accepted(asks: &[Ask], records: &[Seen], state: &State) -> Result<Option<Model>, String> {
    let (mut model, mut met) = (Model::default(), BTreeSet::new());
    let places: Vec<Place> =
        state.book.positions().iter().map(|position| (position.account, position.instrument)).collect();
    for (sequence, seen) in (1..).zip(records) {
        let Some((index, Outcome { class, reason })) = seen.of else { continue };
        let step = match &asks[index] {
            Ask::Step(step) => step,
            Ask::Mark(mark) if reason == Reason::None => {
                model.mark(mark);
                continue;
            }
            _ => continue,
        };
        // Positions that had an item by then.
        let known: BTreeSet<Place> = places[..seen.positions as usize].iter().copied().collect();
        if let Some((position, break_set)) = seen.resolved {
            model.resolved.entry(places[position as usize]).or_default().insert(break_set);
        }
        let closed = is_closed(&model.world, step, &known);
        if let Step::Action(action) = &**step {
            model.restated.insert(action.instrument);
        }
        let world = &mut model.world;
        let wrong = |what: String| format!("record {sequence}, {step:?}: {what}");
        let is_new = matches!(class, Some(Class::Applied | Class::Provisional | Class::Forward));
        if (closed && is_new) || (!closed && class == Some(Class::Rejected) && reason == Reason::PeriodLocked) {
            let is_amendment = matches!(&**step, Step::Amend(_));
            // Of an amendment the model says it below.
            if !is_amendment {
                return Err(wrong(format!("is {class:?} {reason:?} while its day is closed: {closed}")));
            }
        }
        match &**step {
            Step::Contract(contract) if reason == Reason::None => world.contracts.push(*contract),
            Step::Instrument(number, terms) if reason == Reason::None => {
                world.instruments.insert(*number, *terms);
            }
            Step::Today(day) if reason == Reason::None => {
                if world.today != Some(*day) {
                    model.closes.clear();
                }
                world.move_date(*day);
            }
            Step::Lock(account, through) if reason == Reason::None => {
                let Ok(books) = world.book() else { return Ok(None) };
                world.locks.form(*account, *through, world.today).map_err(|code| wrong(code.into()))?;
                for (place, booked) in books.iter().filter(|(place, _)| account.is_none_or(|of| of == place.0)) {
                    if !model.is_settled(*place, &booked.breaks) {
                        return Err(wrong(format!("{place:?} has breaks that nobody resolved: {:?}", booked.breaks)));
                    }
                }
                model.world.locks.close(*account, *through, &books);
            }
            Step::Lock(account, through) if reason != Reason::NotReconciled => {
                same("lock", reason.code(), world.locks.form(*account, *through, world.today).err().unwrap_or(""))
                    .map_err(wrong)?;
            }
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
    Ok(Some(model))
}

/// Whether the model refuses a trade or an action for a day that is closed.
fn is_closed(world: &World, step: &Step, known: &BTreeSet<Place>) -> bool {
    match step {
        Step::Trade(trade) => world.is_closed(trade),
        Step::Action(action) => world.answer_action(action, known) == Err(PERIOD_LOCKED),
        _ => false,
    }
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

impl Model {
    /// Every position as it is published is the model's. Says how many were compared.
    pub(crate) fn compare(&self, host: &Host) -> Result<usize, String> {
        let world = &self.world;
        let Ok(mut left) = world.book() else { return Ok(0) };
        for trade in world.counting() {
            left.entry((trade.account, trade.instrument)).or_default();
        }
        let views = host.model().positions();
        for view in &views {
            let place = (number(&view.account), number(&view.instrument));
            let booked = left.remove(&place).unwrap_or_default();
            self.position(place, view, &booked).map_err(|what| format!("A{}/I{}: {what}", place.0, place.1))?;
        }
        missing(world, &left)?;
        for (instrument, (_, price_e8)) in self.closes.iter().filter(|(of, _)| !self.restated.contains(of)) {
            let shown = host.model().instrument(*instrument).and_then(|view| view.mark);
            let shown = shown.map(|mark| (mark.source, mark.price_e8));
            same(&format!("mark of I{instrument}"), shown, Some((MarkKind::OfficialClose, *price_e8)))?;
        }
        let mut held: Vec<String> = host.model().held().iter().map(|held| held.amend_id.to_string()).collect();
        let mut wanted: Vec<String> = world.held.iter().map(|(held, _)| held.id.to_string()).collect();
        held.sort_unstable();
        wanted.sort_unstable();
        same("held", held, wanted)?;
        Ok(views.len())
    }

    /// An official close of the business date stands before all other marks; the newest of them, and of one time the last that came.
    fn mark(&mut self, mark: &Mark) {
        if mark.kind == MarkKind::OfficialClose
            && self.closes.get(&mark.instrument).is_none_or(|was| was.0 <= mark.at_ns)
        {
            self.closes.insert(mark.instrument, (mark.at_ns, mark.price_e8));
        }
    }

    /// Whether these breaks, if any, were resolved at some time. Of what arrived from elsewhere the set's digest has the lot and not its
    /// cause: there it is enough that anything was.
    fn is_settled(&self, place: Place, breaks: &[(Id, &str)]) -> bool {
        if breaks.iter().any(|(_, code)| [OPPOSITE_SIDE, OVERFLOW].contains(code)) {
            return self.resolved.contains_key(&place);
        }
        let digest = |(id, code): &(Id, &str)| {
            let reason = Reason::ALL.iter().find(|reason| reason.code() == *code)?;
            Some(break_digest(hash(id), *reason))
        };
        let set = breaks.iter().map(digest).try_fold(0_u64, |sum, digest| Some(sum.wrapping_add(digest?)));
        breaks.is_empty() || set.zip(self.resolved.get(&place)).is_some_and(|(set, resolved)| resolved.contains(&set))
    }

    fn position(&self, place: Place, view: &PositionView, booked: &Booked) -> Result<(), String> {
        let waiting = self.world.waiting(place).iter().map(Trade::signed).sum();
        beside::position(view, booked, waiting)?;
        // A replay on the way may have found another set of breaks: then a resolution is gone.
        let status = match view.reconciliation {
            Reconciliation::Pending if !booked.breaks.is_empty() => Reconciliation::Pending,
            _ if self.is_settled(place, &booked.breaks) => Reconciliation::Reconciled,
            _ => Reconciliation::Pending,
        };
        same("status", view.reconciliation, status)?;
        same("adjustment", beside::adjustment(view), self.world.locks.adjustment(place, booked))
    }
}

fn missing(world: &World, left: &BTreeMap<Place, Booked>) -> Result<(), String> {
    for (place, booked) in left {
        same(&format!("{place:?} is missing"), &Booked::default().book, &booked.book)?;
        same(&format!("{place:?} is missing"), 0, world.waiting(*place).len())?;
    }
    Ok(())
}
