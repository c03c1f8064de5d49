//! Wash sales of a host, compared with those of the naive model to the last unit.

use lotbook_core::id::TradeHash;
use lotbook_core::wash::{Loss, LotName, Piece, Totals};
use lotbook_engine::Host;
use lotbook_engine::wash::{LinkedWash, wash_sales as of_host};
use lotbook_tests::naive::wash::{self, View, wash_sales};
use lotbook_tests::naive::words::{Id, Name};
use lotbook_tests::naive::world::World;

use super::Seen;
use super::compare::same;
use super::translate::{e8, hash};

/// The number in a name.
fn number(name: &str) -> Name {
    name[1..].parse().expect("a letter and a number")
}

/// Both views of every instrument that the host has one of.
pub(super) fn compare(host: &Host, world: &World, seen: &mut Seen) -> Result<(), String> {
    for found in of_host(host).map_err(|error| error.to_string())? {
        let [instrument] = found.instruments.as_slice() else {
            *seen.entry("moved, a view that is not compared").or_default() += 1;
            continue;
        };
        let instrument = number(instrument);
        let view = match wash_sales(world, instrument) {
            Ok(view) => view,
            Err(reason) => {
                *seen.entry("no wash sales").or_default() += 1;
                same("wash sales", found.wash.is_err(), true).map_err(|what| format!("{what}: {reason}"))?;
                continue;
            }
        };
        match (found.wash, view) {
            (Ok(wash), Some(view)) => {
                one(&wash, &view, seen).map_err(|what| format!("wash of I{instrument}: {what}"))?
            }
            (Err(error), _) => return Err(format!("no view of I{instrument}: {error}")),
            (Ok(_), None) => *seen.entry("moved, a view that is not compared").or_default() += 1,
        }
    }
    Ok(())
}

/// A loss by names.
fn loss(engine: &Loss, wash: &LinkedWash, id: impl Fn(TradeHash) -> Id) -> wash::Loss {
    let account = |position: u32| number(&wash.positions[position as usize].account);
    wash::Loss {
        account: account(engine.position),
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
                account: account(by.position),
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
    let shown = model.shown();
    for ((account, lot), pieces) in &shown {
        let at = engine.positions.iter().position(|washed| number(&washed.account) == *account).ok_or("no position")?;
        let is = engine
            .view
            .lots
            .get(&(at as u32, LotName { origin: hash(lot), nth: 0 }))
            .ok_or_else(|| format!("lot {lot} carries nothing"))?;
        let wanted: Vec<Piece> = pieces
            .iter()
            .map(|&(units, addition_e16, tacked_days)| Piece { quantity_e8: e8(units), addition_e16, tacked_days })
            .collect();
        same(&format!("units of {lot}"), is, &wanted)?;
    }
    same("lots that carry something", engine.view.lots.len(), shown.len())?;
    for (at, washed) in (0..).zip(&engine.positions) {
        let is = engine.view.totals.get(&at).copied().unwrap_or_default();
        let wanted = model.totals.get(&number(&washed.account)).copied().unwrap_or_default();
        let wanted = Totals {
            disallowed_e16: wanted.disallowed,
            recognized_e16: wanted.left,
            carried_e16: wanted.carried,
            long_shift_e16: wanted.long_shift,
        };
        same(&format!("sums of {}", washed.account), is, wanted)?;
    }
    // What is disallowed is carried, or has left.
    let rest = model.totals.values().map(|sums| sums.disallowed - sums.left - sums.carried).sum::<i128>();
    same("disallowed, neither carried nor gone", rest, 0)?;
    let mut count = |what, more| *seen.entry(what).or_default() += more;
    count("wash: losses", model.losses.len());
    count("wash: losses in part", model.losses.iter().filter(|loss| loss.matched < loss.units).count());
    count("wash: chains", model.losses.iter().filter(|loss| loss.addition != 0).count());
    let elsewhere = |loss: &&wash::Loss| loss.replacements.iter().any(|by| by.account != loss.account);
    count("wash: replaced elsewhere", model.losses.iter().filter(elsewhere).count());
    count("wash: lots that carry", shown.len());
    Ok(())
}
