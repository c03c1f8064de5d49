//! How an action is booked on one position: the figures first, then the lots by the same steps.
//!
//! [`take`] decides and changes nothing; [`settle_taken`] repeats the rewriting of the lots, takes the runs that were
//! chosen and holds the sums against the figures. The hot thread, the coldpath and everyone who applies events use
//! the same two.

use alloc::vec::Vec;

use crate::action::{Gains, Holding, closing, concerned, dividend, rewrite, rewrites, split};
use crate::action_input::{ActionInput, ActionKind};
use crate::amount::{Money, Overflow, add, sub};
use crate::apply::{Misfit, settle};
use crate::arrival::as_event;
use crate::decide::{Booked, Ground, Legality, Scratch};
use crate::digest;
use crate::event::{Reason, Run};
use crate::leaving::{as_arriving, empties, unpriced};
use crate::limits::{LOT_BLOCK_SLOTS_MIN, LOTS_PER_POSITION_MAX};
use crate::lots::{Lot, LotArena, LotBlock};
use crate::names::Names;
use crate::outcome::Allocation;
use crate::position::Position;
use crate::replay::{SeenAction, allocations};
use crate::rules::{LotScope, Rules};

/// Room for one decision about an action, owned by the caller and reused.
#[derive(Debug)]
pub struct ActionRoom {
    lots: Vec<Lot>,
    /// New lots of another instrument.
    spun: Vec<Lot>,
    /// The lots as the action rewrites them, for choosing which of them its closing takes.
    arena: LotArena,
    block: LotBlock,
}

impl ActionRoom {
    /// Reserves for positions of a book with so many lots; touches none of it.
    #[must_use]
    pub fn new(lots_max: usize) -> Self {
        let most = lots_max.min(LOTS_PER_POSITION_MAX);
        let lots = || Vec::with_capacity(most);
        Self { lots: lots(), spun: lots(), arena: LotArena::new(most * 2), block: LotBlock::EMPTY }
    }
}

/// Figures of an action on one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Took {
    /// Net quantity after it, signed.
    pub quantity_e8: i64,
    /// Remaining cost of the open lots after it.
    pub cost_e16: Money,
    /// The same in base currency.
    pub base_cost_e16: Money,
    /// What the rewriting of lots realized.
    pub gains: Gains,
    /// Dividend received, negative where a short paid it.
    pub dividends_e16: Money,
    /// What its closing closed and realized; it opens nothing.
    pub closed: Booked,
}

impl Took {
    /// What the action leaves of a position that it does not move.
    #[must_use]
    pub fn nothing(position: &Position) -> Self {
        Self {
            quantity_e8: position.quantity_e8,
            cost_e16: position.cost_e16,
            base_cost_e16: position.base_cost_e16,
            gains: Gains::default(),
            dividends_e16: 0,
            closed: Booked::NOTHING,
        }
    }

    /// Everything that it realized.
    ///
    /// # Errors
    /// [`Overflow`]: never for an action that was decided.
    pub fn realized(&self) -> Result<Gains, Overflow> {
        let Booked { realized_e16, realized_long_e16: long_e16, realized_base_e16: base_e16, .. } = self.closed;
        self.gains.plus(&Gains { realized_e16, long_e16, base_e16 })
    }
}

/// The position that an action is booked on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub position: &'a Position,
    pub lots: &'a LotArena,
    pub multiplier_e8: i64,
}

/// What is left after the lots were rewritten.
#[derive(Clone, Copy)]
struct Rewritten {
    quantity_e8: i64,
    cost_e16: Money,
    base_cost_e16: Money,
}

fn sums(lots: &[Lot], is_long: bool) -> Result<Rewritten, Overflow> {
    let mut sums = Rewritten { quantity_e8: 0, cost_e16: 0, base_cost_e16: 0 };
    for lot in lots {
        sums.quantity_e8 = sums.quantity_e8.checked_add(lot.quantity_e8).ok_or(Overflow)?;
        sums.cost_e16 = add(sums.cost_e16, lot.cost_e16)?;
        sums.base_cost_e16 = add(sums.base_cost_e16, lot.base_cost_e16)?;
    }
    if !is_long {
        sums.quantity_e8 = -sums.quantity_e8;
    }
    Ok(sums)
}

/// Decides what an action does to a position that is not flat. The runs of its closing are left in the scratch, by
/// index into the lots as it rewrote them.
///
/// # Errors
/// `OVERFLOW` where a range is left; `TOO_MANY_LOTS` where the scratch has too little room for the runs.
pub(crate) fn take(
    site: &Site<'_>,
    input: &ActionInput,
    rules: &Rules,
    room: &mut ActionRoom,
    scratch: &mut Scratch,
) -> Result<Took, Reason> {
    let position = site.position;
    assert!(position.quantity_e8 != 0);
    let is_long = position.quantity_e8 > 0;
    let mut took = Took::nothing(position);
    scratch.runs.clear();
    room.lots.clear();
    room.spun.clear();
    room.lots.extend(site.lots.iter(&position.block));
    let touched = concerned(input, &room.lots);
    let concerned_e8: i64 = room.lots[..touched].iter().map(|lot| lot.quantity_e8).sum();
    let (mut lots, mut block) = (site.lots, &position.block);
    if rewrites(input) {
        let holding = Holding { is_long, multiplier_e8: site.multiplier_e8, rules };
        took.gains = rewrite(input, &holding, &mut room.lots, &mut room.spun)?;
        let after = sums(&room.lots, is_long)?;
        (took.quantity_e8, took.cost_e16, took.base_cost_e16) =
            (after.quantity_e8, after.cost_e16, after.base_cost_e16);
    }
    if let Some(trade) = closing(input, took.quantity_e8, concerned_e8) {
        if rewrites(input) {
            let averaged = position.block.is_averaged();
            room.arena.replace(&mut room.block, averaged, room.lots.iter().copied(), |_| 0);
            (lots, block) = (&room.arena, &room.block);
        }
        let ground = Ground {
            quantity_e8: took.quantity_e8,
            lots,
            block,
            cost: (took.cost_e16, took.base_cost_e16),
            oldest: position.oldest,
            multiplier_e8: site.multiplier_e8,
        };
        // What is closed for everyone is closed over all lots.
        let rules = Rules { lot_scope: LotScope::Position, ..*rules };
        took.closed = ground.book(&rules, &trade, Legality::Carried, scratch)?;
        took.quantity_e8 += trade.signed_quantity_e8();
        took.cost_e16 = sub(took.cost_e16, took.closed.closed_cost_e16)?;
        took.base_cost_e16 = sub(took.base_cost_e16, took.closed.closed_base_e16)?;
    }
    if empties(input) {
        (took.quantity_e8, took.cost_e16, took.base_cost_e16) = (0, 0, 0);
    }
    took.dividends_e16 = dividend(input, if is_long { concerned_e8 } else { -concerned_e8 })?;
    fits(position, &took)?;
    Ok(took)
}

/// Whether a position's sums stay in range.
fn fits(position: &Position, took: &Took) -> Result<(), Overflow> {
    let gains = took.realized()?;
    let realized = add(position.realized_e16, gains.realized_e16)?;
    let long = add(position.realized_long_e16, gains.long_e16)?;
    // The short-term part is shown as the difference.
    sub(realized, long)?;
    add(position.realized_base_e16, gains.base_e16)?;
    add(position.dividends_e16, took.dividends_e16)?;
    Ok(())
}

macro_rules! same {
    ($is:expr, $says:expr, $what:literal) => {
        if $is != $says {
            return Err(Misfit($what));
        }
    };
}

/// Moves lots and sums of one position as was decided; frontier and status are the caller's. What leaves for another
/// instrument is left in `leaving`, in lot order.
///
/// # Errors
/// [`Misfit`].
pub(crate) fn settle_taken(
    lots: &mut LotArena,
    names: &Names,
    position: &mut Position,
    action: (&ActionInput, i64),
    (took, runs): (&Took, &[Run]),
    room: &mut Vec<Lot>,
    leaving: &mut Vec<Lot>,
) -> Result<(), Misfit> {
    let (input, multiplier_e8) = action;
    let frontier = position.frontier;
    let is_long = position.quantity_e8 > 0;
    leaving.clear();
    room.clear();
    room.extend(lots.iter(&position.block));
    let concerned_e8: i64 = room[..concerned(input, room)].iter().map(|lot| lot.quantity_e8).sum();
    if rewrites(input) {
        let overflow = |_| Misfit("an action that does not fit its own figures");
        // Costs and quantities are the same under all rules; which part of the gain is long-term is in the event.
        let holding = Holding { is_long, multiplier_e8, rules: &Rules::DEFAULT };
        let gains = rewrite(input, &holding, room, leaving).map_err(overflow)?;
        same!((gains.realized_e16, gains.base_e16), (took.gains.realized_e16, took.gains.base_e16), "other gains");
        let after = sums(room, is_long).map_err(overflow)?;
        position.quantity_e8 = after.quantity_e8;
        position.cost_e16 = after.cost_e16;
        position.base_cost_e16 = after.base_cost_e16;
        position.realized_e16 += took.gains.realized_e16;
        position.realized_long_e16 += took.gains.long_e16;
        position.realized_base_e16 += took.gains.base_e16;
        let (key_hash, averaged) = (position.key_hash, position.block.is_averaged());
        let tag = |lot: &Lot| digest::lot_tag(key_hash, names, lot);
        lots.replace(&mut position.block, averaged, room.iter().copied(), tag);
    }
    if let Some(trade) = closing(input, position.quantity_e8, concerned_e8) {
        same!(trade.quantity_e8, took.closed.closed_quantity_e8, "its closing takes another quantity");
        settle(lots, names, position, &as_event(&trade, &took.closed, runs))?;
    }
    if empties(input) {
        leaving.extend(lots.iter(&position.block));
        lots.replace(&mut position.block, false, core::iter::empty(), |_| 0);
        (position.quantity_e8, position.cost_e16, position.base_cost_e16) = (0, 0, 0);
    }
    for lot in leaving.iter_mut() {
        *lot = as_arriving(input, lot);
    }
    position.dividends_e16 += took.dividends_e16;
    position.frontier = frontier;
    same!(position.quantity_e8, took.quantity_e8, "the action leaves another quantity than its event says");
    same!(position.cost_e16, took.cost_e16, "the action leaves another cost than its event says");
    same!(position.base_cost_e16, took.base_cost_e16, "the action leaves another base cost than its event says");
    Ok(())
}

/// The lots of a position as an action rewrites them (with those that vanish, at a quantity of zero, in their places), and
/// the allocations of its closing, from the lots before.
///
/// # Errors
/// [`Overflow`]: never for an action that was decided.
pub(crate) fn effects(seen: &SeenAction<'_>) -> Result<(Vec<Lot>, Vec<Allocation>), Overflow> {
    let SeenAction { input, rules, multiplier_e8, position, lots, took, runs } = *seen;
    let is_long = position.quantity_e8 > 0;
    let before: Vec<Lot> = lots.iter(&position.block).collect();
    let concerned_e8: i64 = before[..concerned(input, &before)].iter().map(|lot| lot.quantity_e8).sum();
    let mut rewritten = before.clone();
    let mut quantity_e8 = position.quantity_e8;
    if rewrites(input) {
        rewrite(input, &Holding { is_long, multiplier_e8, rules }, &mut rewritten, &mut Vec::new())?;
        quantity_e8 = sums(&rewritten, is_long)?.quantity_e8;
    }
    let mut closed = Vec::new();
    if let Some(trade) = closing(input, quantity_e8, concerned_e8) {
        let mut arena = LotArena::new((rewritten.len() * 4).max(LOT_BLOCK_SLOTS_MIN * 4).next_power_of_two());
        let mut now = Position { quantity_e8, block: LotBlock::EMPTY, ..*position };
        arena.replace(&mut now.block, position.block.is_averaged(), rewritten.iter().copied(), |_| 0);
        closed = allocations(&arena, &now, &as_event(&trade, &took.closed, runs), rules, multiplier_e8)?;
    }
    // What vanishes is known by its place: a position may have two lots of one identity. Prices are left aside: those from
    // before a merger's cash may leave their range in new units though those behind it do not.
    let mut scaled: Vec<Lot> = unpriced(&before).collect();
    if rescales(input) {
        let touched = concerned(input, &scaled);
        split(input, &mut scaled[..touched])?;
    }
    let mut left = rewritten.into_iter();
    let after = before.into_iter().zip(scaled).map(|(lot, scaled)| match scaled.quantity_e8 {
        0 => Lot { quantity_e8: 0, ..lot },
        _ => left.next().unwrap_or(lot),
    });
    Ok((after.collect(), closed))
}

/// Whether the action makes new units of old ones.
fn rescales(input: &ActionInput) -> bool {
    match input.kind {
        ActionKind::Split => true,
        ActionKind::Merger => input.leads_on(),
        _ => false,
    }
}
