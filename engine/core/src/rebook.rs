//! Trades that came behind what a replay has seen, booked again on the corrected lots.
//!
//! A position that trades on while it is replayed has moved when the outcome is there. The few trades since need no replay of their own:
//! they stand above everything that was replayed, so booking them in their order on the replayed lots is what the replay would do. That
//! holds for trades alone, and only where nothing else hangs on them; [`Book::can_rebook`] says so. A late one among them is an
//! estimate on the corrected lots, as it was one on the others, and awaits the next replay.

use crate::amend_event::break_digest;
use crate::amount::{MONEY_E16_MAX, Money, convert};
use crate::apply::{Misfit, Place, settle};
use crate::book::Book;
use crate::command::{TradeInput, TradeKind};
use crate::decide::{Decision, Legality, Scratch, carried_rules};
use crate::event::{Class, Reason, TradeEvent};
use crate::id::TradeHash;
use crate::outcome::Outcome;
use crate::values::{fees_e16, values};

/// A trade that came behind what a replay has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// As accepted.
    pub input: TradeInput,
    /// Below the frontier: it awaits the next replay.
    pub late: bool,
    /// Version of the position after it.
    pub version: u64,
    /// Where its event lies.
    pub place: Place,
}

impl Since {
    /// Of a trade's event; `None` where booking it again is not simply booking it on other lots.
    #[must_use]
    pub fn of(event: &TradeEvent<'_>, place: Place) -> Option<Self> {
        let input = event.input;
        let is_plain = input.kind == TradeKind::Trade && input.lot == TradeHash::NONE && !event.adjusts;
        let is_booked = matches!(event.class, Class::Applied | Class::Provisional);
        (is_plain && is_booked).then_some(Self { input: *input, late: event.late, version: event.version, place })
    }
}

/// Sums beyond this share of the range of money are left to a replay, which says what leaves it: what is booked again here never does.
const HEADROOM: Money = MONEY_E16_MAX / 8;

impl Book {
    /// Whether a replay of this position's version before `tail` may be accepted now, and the trades since booked again behind it.
    ///
    /// They must be all that came, in the order of their versions. True means that [`Self::decide_rebooked`] books each of them: the
    /// quantity goes the way that it went, each stands above what was replayed, and all sums stay in range.
    #[must_use]
    pub fn can_rebook(&self, number: u32, outcome: &Outcome, tail: &[Since]) -> bool {
        let position = &self.positions[number as usize];
        let moved: i128 = tail.iter().map(|since| i128::from(since.input.signed_quantity_e8())).sum();
        let same_way = i128::from(outcome.after.quantity_e8) + moved == i128::from(position.quantity_e8);
        let alone = position.forwards == 0
            && outcome.forwards == 0
            && outcome.leaving.is_empty()
            && self.legs.sent_by(number).is_empty();
        let in_order = tail.iter().find(|since| !since.late).is_none_or(|s| s.input.key() > outcome.frontier);
        let is_open = |since: &Since| since.input.effective_date > self.locks.latest();
        same_way
            && alone
            && in_order
            && tail.iter().all(is_open)
            && self.lots.can_hold(&position.block, outcome.lots.len() + tail.len())
            && self.has_headroom(number, outcome, tail)
    }

    fn has_headroom(&self, number: u32, outcome: &Outcome, tail: &[Since]) -> bool {
        let position = &self.positions[number as usize];
        let multiplier_e8 = self.instruments[position.instrument as usize].terms.multiplier_e8;
        let after = &outcome.after;
        let figures = [
            after.realized_e16,
            after.realized_long_e16,
            after.realized_base_e16,
            after.cost_e16,
            after.base_cost_e16,
            after.fees_e16,
        ];
        let mut sum = figures.iter().fold(0, |sum: Money, figure| sum.saturating_add(figure.saturating_abs()));
        for since in tail {
            let input = &since.input;
            let Ok(parts) = values(input, 0, multiplier_e8) else { return false };
            let value = parts.opened.saturating_add(fees_e16(input));
            let Ok(base) = convert(value, input.fx_to_base_e8) else { return false };
            sum = sum.saturating_add(value).saturating_add(base.saturating_abs());
        }
        sum < HEADROOM
    }

    /// Books a trade again that came behind a replay which was applied a moment ago. The caller has asked [`Self::can_rebook`].
    ///
    /// # Errors
    /// None where [`Self::can_rebook`] was true: a reason is a defect.
    pub fn decide_rebooked(&self, number: u32, since: &Since, scratch: &mut Scratch) -> Result<Decision, Reason> {
        let position = &self.positions[number as usize];
        let input = &since.input;
        let (rules, broke) = carried_rules(&self.contracts, input);
        let mut booked = self.ground(position).book(rules, input, Legality::Carried, scratch)?;
        if broke != Reason::None {
            booked.broke = broke;
        }
        if since.late {
            // What a late trade breaks at its place, the replay says.
            booked.broke = Reason::None;
        }
        Ok(Decision {
            class: Class::Rebooked,
            reason: booked.broke,
            position: number,
            version: position.version + 1,
            on_provisional: position.provisional > 0,
            late: since.late,
            backdated: false,
            adjusts: false,
            booked,
            first: Some((since.place.sequence, since.place.address)),
        })
    }

    pub(crate) fn apply_rebooked(&mut self, event: &TradeEvent<'_>) -> Result<(), Misfit> {
        let position = self
            .positions
            .get_mut(event.position as usize)
            .ok_or(Misfit("a trade of an unknown position is rebooked"))?;
        if event.version != position.version + 1 {
            return Err(Misfit("version is not the next one"));
        }
        let names = (event.input.account, event.input.instrument);
        if names != (position.account, position.instrument) {
            return Err(Misfit("position number names another position"));
        }
        position.version = event.version;
        settle(&mut self.lots, &self.names, position, event)?;
        if event.reason != Reason::None {
            position.breaks += 1;
            let digest = break_digest(event.input.hash, event.reason);
            position.found_breaks(position.break_set.wrapping_add(digest));
        }
        self.sums.refresh(position);
        Ok(())
    }
}
