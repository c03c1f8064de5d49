//! A position as a host publishes it, beside the second book's.

use std::fmt::Debug;

use lotbook_core::Date;
use lotbook_engine::PositionView;
use lotbook_engine::read_model::LotView;

use crate::naive::history::Booked;
use crate::naive::locks::Closed;
use crate::naive::lots::Lot;
use crate::naive::words::{Day, Id};

/// An error that names both where the engine and the model differ.
///
/// # Errors
/// They do.
pub fn same<T: PartialEq + Debug>(what: &str, engine: T, model: T) -> Result<(), String> {
    if engine == model { Ok(()) } else { Err(format!("{what}: engine {engine:?}, model {model:?}")) }
}

/// Everything that is published of a reconciled position but its status and adjustments. `waiting`: the signed quantity of its forward-dated trades.
///
/// # Errors
/// What differs first.
pub fn position(view: &PositionView, booked: &Booked, waiting: i128) -> Result<(), String> {
    let book = &booked.book;
    same("quantity", i128::from(view.quantity_e8), book.quantity())?;
    lots(&view.lots, &book.lots)?;
    same("cost", view.cost_e16, book.cost())?;
    same("base cost", view.base_cost_e16, book.base_cost())?;
    same("realized", view.realized_e16, book.realized)?;
    same("realized long-term", view.realized_long_e16, book.realized_long)?;
    same("realized in base", view.realized_base_e16, book.realized_base)?;
    same("fees", view.fees_e16, book.fees)?;
    same("dividends", view.dividends_e16, book.dividends)?;
    let mut is: Vec<(Id, &str)> = view.breaks.iter().map(|b| ((&*b.trade_id).into(), b.reason.code())).collect();
    let mut wanted: Vec<(Id, &str)> = booked.breaks.clone();
    is.sort();
    wanted.sort();
    same("breaks", is, wanted)?;
    same("provisional", view.provisional_trade_ids.len(), 0)?;
    same("waiting", i128::from(view.forward_quantity_e8), waiting)?;
    same("last date", view.last_effective_date, booked.frontier.as_ref().map(|key| Date(key.date)))
}

/// What the open period of the position's account carries for it: the closed date, and the figures; `None` where all of them are zero.
#[must_use]
pub fn adjustment(view: &PositionView) -> Option<(Day, Closed)> {
    let adjusted = view.adjusted.filter(|adjusted| !adjusted.figures.are_zero())?;
    let of = adjusted.figures;
    Some((adjusted.through.0, [of.realized_e16, of.long_e16, of.base_e16, of.fees_e16, of.dividends_e16]))
}

fn lots(views: &[LotView], wanted: &[Lot]) -> Result<(), String> {
    let is: Vec<Lot> = views.iter().map(lot).collect();
    match is.iter().zip(wanted).find(|(is, wanted)| is != wanted) {
        Some((is, wanted)) => Err(format!("lot: engine {is:?}, model {wanted:?}")),
        None => same("lots", is.len(), wanted.len()),
    }
}

fn lot(view: &LotView) -> Lot {
    Lot {
        origin: (&*view.trade_id).into(),
        quantity: i128::from(view.quantity_e8),
        cost: view.cost_e16,
        base_cost: view.base_cost_e16,
        price: i128::from(view.price_e8),
        acquired: view.acquired.0,
        sub_account: view.sub_account.as_deref().map(number),
    }
}

/// The number in a name that is a letter and a number.
#[must_use]
pub fn number(name: &str) -> u32 {
    name[1..].parse().expect("a letter and a number")
}
