//! Books one trade on the lots of one position: which rule it breaks, which lots it takes, what it realizes.

use super::*;

/// Figures of a booking; each is what the field of its name in [`TradeEvent`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Lot method used.
    pub method: LotMethod,
    /// Quantity that closes lots.
    pub closed_quantity_e8: i64,
    /// Quantity of the lot that opens.
    pub opened_quantity_e8: i64,
    /// Cost of that quantity.
    pub opened_cost_e16: Money,
    /// Base cost of that quantity.
    pub opened_base_e16: Money,
    /// Price of the lot that opens or is enlarged.
    pub lot_price_e8: i64,
    /// The named lot is enlarged.
    pub enlarges: bool,
    /// Where the cost of the closed lots and parts comes from.
    pub averaged: Averaged,
    /// Cost of the closed lots and parts.
    pub closed_cost_e16: Money,
    /// Base cost of the closed lots and parts.
    pub closed_base_e16: Money,
    /// Realized.
    pub realized_e16: Money,
    /// The long-term part.
    pub realized_long_e16: Money,
    /// Realized in base currency.
    pub realized_base_e16: Money,
    /// The rule that a carried trade breaks.
    pub broke: Reason,
}

impl Booked {
    /// Nothing was booked.
    pub const NOTHING: Self = Self {
        method: LotMethod::Fifo,
        closed_quantity_e8: 0,
        opened_quantity_e8: 0,
        opened_cost_e16: 0,
        opened_base_e16: 0,
        lot_price_e8: 0,
        enlarges: false,
        averaged: Averaged::No,
        closed_cost_e16: 0,
        closed_base_e16: 0,
        realized_e16: 0,
        realized_long_e16: 0,
        realized_base_e16: 0,
        broke: Reason::None,
    };
}

/// How strictly a trade is held against the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Legality {
    /// A trade at the frontier: every rule.
    Checked,
    /// A late trade: what it would do at its own place is not known yet, so side qualifier, trade type
    /// and named lot are left to the replay; the quantity is held against the position as it stands.
    Late,
    /// An accepted trade: booked exactly, whatever rule it breaks; the rule is named.
    Carried,
}

/// What a trade would do to a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Opens,
    Increases,
    Decreases,
    Flips,
}

/// The ground on which a trade is booked: one position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    pub quantity_e8: i64,
    pub lots: &'a LotArena,
    pub block: &'a LotBlock,
    /// Cost and base cost of all lots.
    pub cost: (Money, Money),
    /// No lot is held for longer than since this date.
    pub oldest: Date,
    pub multiplier_e8: i64,
}

impl Ground<'_> {
    fn effect(&self, input: &TradeInput) -> Effect {
        let (held, moved) = (self.quantity_e8, input.signed_quantity_e8());
        if held == 0 {
            Effect::Opens
        } else if (held > 0) == (moved > 0) {
            Effect::Increases
        } else if moved.unsigned_abs() <= held.unsigned_abs() {
            Effect::Decreases
        } else {
            Effect::Flips
        }
    }

    /// The first rule that the trade breaks here.
    fn illegality(&self, effect: Effect, rules: &Rules, input: &TradeInput) -> Reason {
        if input.kind == TradeKind::OpenLot && matches!(effect, Effect::Decreases | Effect::Flips) {
            return Reason::OppositeSide;
        }
        let kind_fits = match input.trade_type {
            TradeType::Any => true,
            TradeType::NewTrade => matches!(effect, Effect::Opens | Effect::Increases),
            TradeType::Increase => effect == Effect::Increases,
            TradeType::Decrease => effect == Effect::Decreases,
        };
        let side_fits = match input.side {
            Side::Buy | Side::Sell => true,
            Side::SellShort => self.quantity_e8 <= 0,
            Side::BuyToCover => effect == Effect::Decreases,
        };
        if !kind_fits || !side_fits {
            return Reason::TradeTypeMismatch;
        }
        self.oversell(effect, rules, input)
    }

    fn oversell(&self, effect: Effect, rules: &Rules, input: &TradeInput) -> Reason {
        let opens_short = effect != Effect::Decreases && input.side.sign() < 0;
        if opens_short && !rules.allow_short { Reason::Oversell } else { Reason::None }
    }

    /// Books a trade on this ground. The runs are left in the scratch.
    pub(crate) fn book(
        &self,
        rules: &Rules,
        input: &TradeInput,
        legality: Legality,
        scratch: &mut Scratch,
    ) -> Result<Booked, Reason> {
        let mut booked = Booked::NOTHING;
        self.book_into(&mut booked, rules, input, legality, scratch).map(|()| booked)
    }

    /// As [`Self::book`], over [`Booked::NOTHING`] where it will be kept: the figures of each trade of the hot thread are copied
    /// once less.
    #[inline]
    pub(crate) fn book_into(
        &self,
        booked: &mut Booked,
        rules: &Rules,
        input: &TradeInput,
        legality: Legality,
        scratch: &mut Scratch,
    ) -> Result<(), Reason> {
        match self.book_in_range(booked, rules, input, legality, scratch) {
            Err(Reason::Overflow) if legality == Legality::Checked => Err(self.lot_rule(rules, input, scratch)),
            done => done,
        }
    }

    /// Ranges are the last step of rule 4: where the lot or the sub-account is wrong as well, that is the reason.
    #[cold]
    fn lot_rule(&self, rules: &Rules, input: &TradeInput, scratch: &mut Scratch) -> Reason {
        let is_named = input.lot != TradeHash::NONE;
        let broken = match self.effect(input) {
            Effect::Opens => is_named.then_some(Reason::UnknownLot),
            Effect::Increases => {
                let enlarges =
                    input.trade_type != TradeType::NewTrade && self.lots.find(self.block, input.lot).is_some();
                (is_named && !enlarges).then_some(Reason::UnknownLot)
            }
            Effect::Flips if is_named => Some(Reason::LotTooSmall),
            Effect::Decreases | Effect::Flips => {
                let held_e8 = self.quantity_e8.saturating_abs();
                let wanted = self.wanted(rules, input, input.quantity_e8.min(held_e8), 0);
                select(self.lots, self.block, &wanted, scratch).err()
            }
        };
        broken.unwrap_or(Reason::Overflow)
    }

    /// What is asked of the lots.
    fn wanted<'a>(&self, rules: &'a Rules, input: &TradeInput, quantity_e8: i64, price_e8: i64) -> Wanted<'a> {
        Wanted {
            rules,
            lot: input.lot,
            whose: match rules.lot_scope {
                LotScope::Position => Whose::Position,
                LotScope::SubAccount => Whose::SubAccount(input.sub_account),
            },
            quantity_e8,
            is_long: self.quantity_e8 > 0,
            price_e8,
            date: input.effective_date,
            held_e8: self.quantity_e8.saturating_abs(),
            cost: self.cost,
        }
    }

    fn book_in_range(
        &self,
        booked: &mut Booked,
        rules: &Rules,
        input: &TradeInput,
        legality: Legality,
        scratch: &mut Scratch,
    ) -> Result<(), Reason> {
        scratch.runs.clear();
        let effect = self.effect(input);
        if input.kind == TradeKind::Transfer {
            *booked = self.book_transfer(rules, input, effect, legality, scratch)?;
            return Ok(());
        }
        let broke = match legality {
            Legality::Late => self.oversell(effect, rules, input),
            Legality::Checked | Legality::Carried => self.illegality(effect, rules, input),
        };
        if broke != Reason::None && legality != Legality::Carried {
            return Err(broke);
        }
        let closes = matches!(effect, Effect::Decreases | Effect::Flips);
        let closed_quantity_e8 =
            if closes { input.quantity_e8.min(self.quantity_e8.checked_abs().ok_or(Reason::Overflow)?) } else { 0 };
        let opened_quantity_e8 = input.quantity_e8 - closed_quantity_e8;
        booked.method = rules.method;
        booked.closed_quantity_e8 = closed_quantity_e8;
        booked.opened_quantity_e8 = opened_quantity_e8;
        booked.broke = broke;
        let value = values::values(input, closed_quantity_e8, self.multiplier_e8)?;
        let fees = values::fees(input, rules, closed_quantity_e8);
        if closes {
            self.close(rules, input, legality, (value.closed, fees.closed), booked, scratch)?;
        }
        if opened_quantity_e8 > 0 {
            let cost =
                if input.side.sign() > 0 { add(value.opened, fees.opened)? } else { sub(value.opened, fees.opened)? };
            booked.opened_cost_e16 = cost;
            booked.opened_base_e16 = convert(cost, input.fx_to_base_e8)?;
            self.open(rules, input, effect, legality, booked)?;
        }
        Ok(())
    }

    /// A transfer takes lots as a closing trade does, at their cost, and realizes nothing. What it would move beyond
    /// what is there stays.
    fn book_transfer(
        &self,
        rules: &Rules,
        input: &TradeInput,
        effect: Effect,
        legality: Legality,
        scratch: &mut Scratch,
    ) -> Result<Booked, Reason> {
        let broke = if effect == Effect::Decreases { Reason::None } else { Reason::NotHeld };
        if broke != Reason::None && legality != Legality::Carried {
            return Err(broke);
        }
        let is_other_side = matches!(effect, Effect::Decreases | Effect::Flips);
        let held_e8 = self.quantity_e8.checked_abs().ok_or(Reason::Overflow)?;
        let closed_quantity_e8 = if is_other_side { input.quantity_e8.min(held_e8) } else { 0 };
        let mut booked = Booked { method: rules.method, closed_quantity_e8, broke, ..Booked::NOTHING };
        if closed_quantity_e8 > 0 {
            // Without a price nothing is a loss or a gain.
            let method = if rules.method == LotMethod::MinTax { LotMethod::Fifo } else { rules.method };
            let choice = self.choose(&Rules { method, ..*rules }, input, legality, &mut booked, scratch)?;
            booked.averaged = choice.averaged;
            (booked.closed_cost_e16, booked.closed_base_e16) = (choice.cost_e16, choice.base_cost_e16);
        }
        Ok(booked)
    }

    /// The closed part: which lots, at what cost, and what it realizes.
    fn close(
        &self,
        rules: &Rules,
        input: &TradeInput,
        legality: Legality,
        (value_e16, fees_e16): (Money, Money),
        booked: &mut Booked,
        scratch: &mut Scratch,
    ) -> Result<(), Reason> {
        let choice = self.choose(rules, input, legality, booked, scratch)?;
        booked.averaged = choice.averaged;
        booked.closed_cost_e16 = choice.cost_e16;
        booked.closed_base_e16 = choice.base_cost_e16;
        let is_long = self.quantity_e8 > 0;
        let cost = booked.closed_cost_e16;
        let gross = if is_long { sub(value_e16, cost)? } else { sub(cost, value_e16)? };
        booked.realized_e16 = sub(gross, fees_e16)?;
        let rate = input.fx_to_base_e8;
        if rate == ONE_E8 && booked.closed_base_e16 == cost {
            // The same steps on the same numbers, and no FX part.
            booked.realized_base_e16 = booked.realized_e16;
        } else {
            let base_cost = booked.closed_base_e16;
            booked.realized_base_e16 = values::realized_base(rate, is_long, value_e16, fees_e16, base_cost)?;
            // The FX part is shown as the difference.
            sub(booked.realized_base_e16, values::market_part(booked.realized_e16, rate)?)?;
        }
        if is_long && values::may_be_long_term(rules, self.oldest, input.effective_date) {
            booked.realized_long_e16 = self.long_term(rules, input, value_e16, booked, scratch)?;
            // The short-term part is shown as the difference.
            sub(booked.realized_e16, booked.realized_long_e16)?;
        }
        Ok(())
    }

    /// What the lots that are long-term on the trade's date realize.
    #[cold]
    pub(crate) fn long_term(
        &self,
        rules: &Rules,
        input: &TradeInput,
        value_e16: Money,
        booked: &Booked,
        scratch: &Scratch,
    ) -> Result<Money, Overflow> {
        let until = rules.long_term_until(input.effective_date);
        let closing = Closing {
            input,
            multiplier_e8: self.multiplier_e8,
            is_long: true,
            quantity_e8: booked.closed_quantity_e8,
            value_e16,
            realized_e16: booked.realized_e16,
        };
        let mut long = 0;
        let average =
            Average::of(booked.averaged, booked.closed_quantity_e8, booked.closed_cost_e16, booked.closed_base_e16);
        closing.allocate(values::taken(self.lots, self.block, &scratch.runs, average), |part, realized| {
            if part.lot.acquired <= until {
                long += realized;
            }
        })?;
        add(long, 0)
    }

    /// The opened part: a lot of its own, or more of the one that is named.
    fn open(
        &self,
        rules: &Rules,
        input: &TradeInput,
        effect: Effect,
        legality: Legality,
        booked: &mut Booked,
    ) -> Result<(), Reason> {
        if input.lot != TradeHash::NONE && effect != Effect::Flips {
            match self.enlarge(input, effect, booked)? {
                Some(price_e8) => {
                    booked.lot_price_e8 = price_e8;
                    booked.enlarges = true;
                    return Ok(());
                }
                None => match legality {
                    Legality::Checked => return Err(Reason::UnknownLot),
                    // At its own place the lot may be open: the estimate opens another one.
                    Legality::Late => {}
                    Legality::Carried if booked.broke == Reason::None => booked.broke = Reason::UnknownLot,
                    Legality::Carried => {}
                },
            }
        }
        let (cost, quantity) = (booked.opened_cost_e16, booked.opened_quantity_e8);
        booked.lot_price_e8 = values::lot_price(input, rules, cost, quantity, self.multiplier_e8)?;
        Ok(())
    }

    /// The price that the named lot has after it was enlarged; `None` where it is not to be had.
    fn enlarge(&self, input: &TradeInput, effect: Effect, booked: &Booked) -> Result<Option<i64>, Reason> {
        if effect != Effect::Increases || input.trade_type == TradeType::NewTrade {
            return Ok(None);
        }
        let Some(index) = self.lots.find(self.block, input.lot) else { return Ok(None) };
        let lot = self.lots.get(self.block, index);
        let quantity_e8 = lot.quantity_e8.checked_add(booked.opened_quantity_e8).ok_or(Reason::Overflow)?;
        let cost_e16 = add(lot.cost_e16, booked.opened_cost_e16)?;
        add(lot.base_cost_e16, booked.opened_base_e16)?;
        Ok(Some(unit(cost_e16, quantity_e8, self.multiplier_e8)?))
    }

    /// Which lots close, and what they take with them.
    pub(crate) fn choose(
        &self,
        rules: &Rules,
        input: &TradeInput,
        legality: Legality,
        booked: &mut Booked,
        scratch: &mut Scratch,
    ) -> Result<Choice, Reason> {
        let price_e8 = match (rules.method, input.consideration()) {
            (LotMethod::MinTax, Some(amount_e8)) => {
                unit(values::money(amount_e8), input.quantity_e8, self.multiplier_e8)?
            }
            _ => input.price_e8,
        };
        self.quantity_e8.checked_abs().ok_or(Reason::Overflow)?;
        let mut wanted = self.wanted(rules, input, booked.closed_quantity_e8, price_e8);
        let flips_by_lot = input.lot != TradeHash::NONE && booked.opened_quantity_e8 > 0;
        let mut chosen =
            if flips_by_lot { Err(Reason::LotTooSmall) } else { select(self.lots, self.block, &wanted, scratch) };
        // A late trade's lot may be used up by now and open at its place: the estimate takes others.
        while let Err(reason) = chosen
            && legality != Legality::Checked
        {
            match reason {
                Reason::UnknownLot | Reason::LotTooSmall => wanted.lot = TradeHash::NONE,
                Reason::SubAccountOversell => wanted.whose = Whose::SubAccountFirst(input.sub_account),
                _ => break,
            }
            if booked.broke == Reason::None {
                booked.broke = reason;
            }
            chosen = select(self.lots, self.block, &wanted, scratch);
        }
        chosen
    }
}

/// The rules in force for a trade. One that names a contract which does not hold is carried by those that hold
/// without it, and is a break ([`BROKEN_CONTRACT`]); one that is refused has the reason.
pub(crate) fn carried_rules<'a>(contracts: &'a ContractBook, input: &TradeInput) -> (&'a Rules, Reason) {
    let in_force = |contract| contracts.in_force(input.account, input.instrument, contract, input.effective_date);
    match in_force(input.contract) {
        Ok(rules) => (rules, Reason::None),
        Err(reason) => (in_force(NO_NAME).unwrap_or(&Rules::DEFAULT), reason),
    }
}

/// The break of a trade that names a contract which does not hold at its place, known or not (rule 9): that one of this
/// name comes later for somebody else changes nothing there.
pub(crate) const BROKEN_CONTRACT: Reason = Reason::ContractNotInForce;

/// Whether a position's sums stay in range with this booking.
#[inline]
pub(crate) fn sums_fit(position: &Position, input: &TradeInput, booked: &Booked) -> Result<(), Reason> {
    let moved = input.moved_e8(booked.closed_quantity_e8);
    let quantity = position.quantity_e8.checked_add(moved).ok_or(Reason::Overflow)?;
    // The most negative number has no magnitude of its own type.
    quantity.checked_abs().ok_or(Reason::Overflow)?;
    let amounts = [
        position.realized_e16,
        booked.realized_e16,
        position.realized_long_e16,
        booked.realized_long_e16,
        position.realized_base_e16,
        booked.realized_base_e16,
        position.cost_e16,
        booked.closed_cost_e16,
        booked.opened_cost_e16,
        position.base_cost_e16,
        booked.closed_base_e16,
        booked.opened_base_e16,
        position.fees_e16,
        fees_e16(input),
    ];
    if are_far_from_the_end(amounts) { Ok(()) } else { each_sum_fits(position, input, booked) }
}

/// As [`sums_fit`], sum by sum: near the end of the range.
#[cold]
fn each_sum_fits(position: &Position, input: &TradeInput, booked: &Booked) -> Result<(), Reason> {
    let realized = add(position.realized_e16, booked.realized_e16)?;
    let long = add(position.realized_long_e16, booked.realized_long_e16)?;
    // The short-term part is shown as the difference.
    sub(realized, long)?;
    add(position.realized_base_e16, booked.realized_base_e16)?;
    add(sub(position.cost_e16, booked.closed_cost_e16)?, booked.opened_cost_e16)?;
    add(sub(position.base_cost_e16, booked.closed_base_e16)?, booked.opened_base_e16)?;
    add(position.fees_e16, fees_e16(input))?;
    Ok(())
}
