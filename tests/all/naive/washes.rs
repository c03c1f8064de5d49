//! Wash sales of a host, compared with those of the naive model to the last unit: losses, what replaced them, units of
//! each lot, sums of each position, of all instruments, with what moved between them.

use std::collections::{BTreeMap, BTreeSet};

use lotbook_core::id::TradeHash;
use lotbook_core::wash::{Loss, LotName, Piece, Totals};
use lotbook_engine::Host;
use lotbook_engine::wash::{LinkedWash, wash_sales as of_host};
use lotbook_tests::naive::wash::{self, LotAt, Shown, View, wash_sales};
use lotbook_tests::naive::words::{Id, Name};
use lotbook_tests::naive::world::{Place, World};

use super::Seen;
use super::compare::same;
use super::draw_world::INSTRUMENTS;
use super::translate::{e8, hash};

/// The number in a name.
pub(super) fn number(name: &str) -> Name {
    name[1..].parse().expect("a letter and a number")
}

/// Both views of all instruments. Those between which something moved the host must have found together; of those that
/// it says nothing of there must be nothing to say.
pub(super) fn compare(host: &Host, world: &World, seen: &mut Seen) -> Result<(), String> {
    let mut silent: BTreeSet<Name> = (0..INSTRUMENTS).collect();
    for found in of_host(host).map_err(|error| error.to_string())? {
        let linked: BTreeSet<Name> = found.instruments.iter().map(|name| number(name)).collect();
        for name in &linked {
            same(&format!("I{name} stands in one view"), silent.remove(name), true)?;
        }
        match (found.wash, wash_sales(world, &linked)) {
            (Err(_), Err(_)) => *seen.entry("no wash sales").or_default() += 1,
            (Err(error), Ok(_)) => return Err(format!("no view of {linked:?}: {error}")),
            (Ok(_), Err(reason)) => return Err(format!("a view of {linked:?}: {reason}")),
            (Ok(wash), Ok(view)) => {
                one(&wash, &view, seen).map_err(|what| format!("wash of {linked:?}: {what}"))?;
                let apart = view.moved.iter().find(|(from, to)| linked.contains(&from.1) != linked.contains(&to.1));
                same("moved to what has another view", apart, None)?;
            }
        }
    }
    match wash_sales(world, &silent) {
        Ok(view) => same(&format!("nothing to say of {silent:?}"), true, view.is_plain()),
        Err(_) => Ok(()),
    }
}

/// A position by its numbers.
fn place(wash: &LinkedWash, position: u32) -> Place {
    let washed = &wash.positions[position as usize];
    (number(&washed.account), number(&washed.instrument))
}

/// Lots of the model as the host names them: the so manieth of its position with this identity.
pub(super) fn named(view: &View) -> BTreeMap<(Place, Id, u32), Vec<Shown>> {
    let shown = view.shown();
    let mut count: BTreeMap<(Place, &Id), u32> = BTreeMap::new();
    let mut named = BTreeMap::new();
    for key in view.lots.keys() {
        let (place, _, origin): &LotAt = key;
        let nth = count.entry((*place, origin)).or_default();
        if let Some(pieces) = shown.get(key) {
            named.insert((*place, origin.clone(), *nth), pieces.clone());
        }
        *nth += 1;
    }
    named
}

/// A loss by names.
fn loss(engine: &Loss, wash: &LinkedWash, id: impl Fn(TradeHash) -> Id) -> wash::Loss {
    let place = |position: u32| place(wash, position);
    wash::Loss {
        place: place(engine.position),
        trade: id(engine.cause),
        date: engine.date.0,
        lot: id(engine.lot),
        units: engine.quantity_e8.into(),
        realized: engine.realized_e16,
        addition: engine.addition_e16,
        matched: engine.matched_e8.into(),
        disallowed: engine.disallowed_e16,
        replacements: engine
            .replacements
            .iter()
            .map(|by| wash::Replacement {
                place: place(by.position),
                trade: id(by.opening),
                lot: id(by.lot),
                units: by.quantity_e8.into(),
                addition: by.addition_e16,
                tacked: by.tacked_days,
            })
            .collect(),
    }
}

fn one(engine: &LinkedWash, model: &View, seen: &mut Seen) -> Result<(), String> {
    let ids: Vec<&Id> = model
        .losses
        .iter()
        .flat_map(|loss| {
            [&loss.trade, &loss.lot].into_iter().chain(loss.replacements.iter().flat_map(|r| [&r.trade, &r.lot]))
        })
        .collect();
    let id = |of: TradeHash| ids.iter().find(|id| hash(id) == of).map_or_else(|| "unknown".into(), |id| (*id).clone());
    let is: Vec<wash::Loss> = engine.view.losses.iter().map(|engine_loss| loss(engine_loss, engine, id)).collect();
    if let Some((is, wanted)) = is.iter().zip(&model.losses).find(|(is, wanted)| is != wanted) {
        return Err(format!("loss: engine {is:#?}, model {wanted:#?}"));
    }
    same("losses", is.len(), model.losses.len())?;
    let shown = named(model);
    for ((place_of_lot, lot, nth), pieces) in &shown {
        let at = (0..).zip(&engine.positions).find(|(at, _)| place(engine, *at) == *place_of_lot);
        let name = LotName { origin: hash(lot), nth: *nth };
        let is = engine.view.lots.get(&(at.ok_or("no position")?.0, name));
        let wanted: Vec<Piece> = pieces
            .iter()
            .map(|&(units, addition_e16, tacked_days)| Piece { quantity_e8: e8(units), addition_e16, tacked_days })
            .collect();
        same(&format!("units of {lot} ({nth}) in {place_of_lot:?}"), is, Some(&wanted))?;
    }
    same("lots that carry something", engine.view.lots.len(), shown.len())?;
    for (at, washed) in (0..).zip(&engine.positions) {
        let is = engine.view.totals.get(&at).copied().unwrap_or_default();
        let wanted = model.totals.get(&place(engine, at)).copied().unwrap_or_default();
        let wanted = Totals {
            disallowed_e16: wanted.disallowed,
            recognized_e16: wanted.left,
            carried_e16: wanted.carried,
            long_shift_e16: wanted.long_shift,
        };
        same(&format!("sums of {} in {}", washed.account, washed.instrument), is, wanted)?;
    }
    // What is disallowed is carried, or has left.
    let rest = model.totals.values().map(|sums| sums.disallowed - sums.left - sums.carried).sum::<i128>();
    same("disallowed, neither carried nor gone", rest, 0)?;
    let mut count = |what, more| *seen.entry(what).or_default() += more;
    count("wash: losses", model.losses.len());
    count("wash: losses in part", model.losses.iter().filter(|loss| loss.matched < loss.units).count());
    count("wash: chains", model.losses.iter().filter(|loss| loss.addition != 0).count());
    let elsewhere = |loss: &&wash::Loss| loss.replacements.iter().any(|by| by.place.0 != loss.place.0);
    count("wash: replaced elsewhere", model.losses.iter().filter(elsewhere).count());
    let renamed = |loss: &&wash::Loss| loss.replacements.iter().any(|by| by.place.1 != loss.place.1);
    count("wash: replaced under another symbol", model.losses.iter().filter(renamed).count());
    count("wash: lots that carry", shown.len());
    count("wash: moves", model.moved.len());
    let carried = |place: &Place| model.totals.get(place).is_some_and(|sums| sums.carried != 0);
    let arrived = |place: &Place| model.moved.iter().any(|(_, to)| to == place);
    count("wash: carried where something arrived", model.totals.keys().filter(|p| arrived(p) && carried(p)).count());
    Ok(())
}
