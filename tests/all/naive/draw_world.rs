//! Draws histories of several positions between which lots move: transfers, symbol changes, spin-offs, stock mergers,
//! in any order of arrival, amended, and rules that change.

use std::collections::BTreeMap;

use lotbook_tests::naive::actions::{Action, Kind};
use lotbook_tests::naive::amend::{ActionChanges, Amendment, Changes};
use lotbook_tests::naive::in_force::{Contract, Method};
use lotbook_tests::naive::leading::Terms;
use lotbook_tests::naive::numbers::ONE;
use lotbook_tests::naive::words::{Day, Id, Name, Side, Trade, TradeType};

use super::draw::{CONTRACTS, Draw, Flavour, NAMES, days, one_in, pick};
use super::steps::Step;

/// Instruments between which lots move.
pub(crate) const INSTRUMENTS: Name = 3;

/// A history of a whole world.
pub(crate) struct DrawWorld {
    draw: Draw,
    kinds: BTreeMap<Id, Kind>,
    /// Contracts say something of wash sales.
    washes: bool,
}

impl DrawWorld {
    pub(crate) fn new(draw: Draw) -> Self {
        Self { draw, kinds: BTreeMap::new(), washes: false }
    }

    /// With contracts under which losses are washed.
    pub(crate) fn washing(draw: Draw) -> Self {
        Self { washes: true, ..Self::new(draw) }
    }

    fn trade(&mut self, dates: &[Day]) -> Trade {
        let mut trade = self.draw.trade(dates);
        trade.instrument = self.draw.rng.below(u64::from(INSTRUMENTS)) as Name;
        if let Some(said) = self.draw.said.last_mut() {
            said.1 = trade.instrument;
        }
        trade
    }

    fn transfer(&mut self, dates: &[Day]) -> Trade {
        let of = self.trade(dates);
        let rng = &mut self.draw.rng;
        Trade {
            to_account: Some(if one_in(rng, 40) { of.account } else { 1 - of.account }),
            side: if one_in(rng, 4) { Side::Buy } else { Side::Sell },
            trade_type: TradeType::Any,
            acquired: None,
            price: None,
            consideration: None,
            fees: 0,
            currency: None,
            fx_to_base: ONE,
            ..of
        }
    }

    fn terms(&mut self) -> Terms {
        let cash = self.draw.price();
        let rng = &mut self.draw.rng;
        let (numerator, denominator) = match self.draw.flavour {
            Flavour::Plain => pick(rng, &[(1, 1), (2, 1), (1, 2), (3, 2), (2, 3)]),
            _ => pick(rng, &[(3, 7), (7, 3), (1, 1_000_000_000), (1, 1), (1, 100_000_000)]),
        };
        Terms { numerator, denominator, cash_in_lieu: one_in(rng, 2).then_some(cash) }
    }

    fn action(&mut self, dates: &[Day]) -> Action {
        let mut action = self.draw.action(dates);
        let (terms, cash) = (self.terms(), self.draw.price());
        let rng = &mut self.draw.rng;
        action.instrument = rng.below(u64::from(INSTRUMENTS)) as Name;
        let to = (action.instrument + 1 + rng.below(2) as Name) % INSTRUMENTS;
        let fraction = pick(rng, &[0, 1, 25_000_000, 33_333_333, 99_999_999, ONE]);
        match rng.below(6) {
            0 | 1 => action.kind = Kind::SpinOff { to, terms, fraction },
            2 => {
                let cash = if one_in(rng, 3) { 0 } else { cash / pick(rng, &[1, 3, 20]) };
                action.kind = Kind::StockMerger { to, terms, cash };
            }
            3 => action.kind = Kind::SymbolChange { to },
            _ => {}
        }
        self.kinds.insert(action.id.clone(), action.kind);
        self.draw.said.push((NAMES, NAMES, action.id.clone()));
        action
    }

    /// A correct of an action names what it has, mostly.
    fn amendment(&mut self, dates: &[Day]) -> Amendment {
        let mut amendment = self.draw.amendment(dates);
        let rng = &mut self.draw.rng;
        if amendment.changes.is_some() && one_in(rng, 4) {
            amendment.account = one_in(rng, 2).then(|| rng.below(u64::from(NAMES)) as Name);
            amendment.instrument = one_in(rng, 2).then(|| rng.below(u64::from(INSTRUMENTS)) as Name);
        }
        let Some(kind) = self.kinds.get(&amendment.target).copied() else { return amendment };
        if amendment.changes.is_none() || one_in(&mut self.draw.rng, 12) {
            return amendment;
        }
        let (price, terms) = (self.draw.price(), self.terms());
        let rate = self.draw.rate();
        let rng = &mut self.draw.rng;
        let date = pick(rng, dates);
        let mut of = ActionChanges::default();
        let mut changes = Changes::default();
        match kind {
            Kind::Split { .. } | Kind::StockMerger { .. } | Kind::SpinOff { .. } => {
                of.numerator = one_in(rng, 2).then_some(terms.numerator);
                of.denominator = one_in(rng, 2).then_some(terms.denominator);
                of.cash_in_lieu = one_in(rng, 3).then_some(price);
            }
            Kind::ReturnOfCapital { .. } | Kind::Merger { .. } => of.cash = Some(price),
            Kind::Dividend { .. } => {
                of.cash = one_in(rng, 2).then_some(price);
                of.record_date = one_in(rng, 2).then_some(date);
            }
            Kind::Reset { .. } => changes.price = Some(price),
            Kind::SymbolChange { .. } => changes.date = Some(date),
        }
        if one_in(rng, 16) {
            match rng.below(3) {
                0 => of.denominator = Some(0),
                1 => of.cash = Some(-1),
                _ => of.cash_in_lieu = Some(-2),
            }
        }
        changes.date = if one_in(rng, 3) { Some(date) } else { changes.date };
        changes.fx_to_base = one_in(rng, 4).then_some(rate);
        changes.of_actions = (of != ActionChanges::default()).then_some(of);
        if changes == Changes::default() {
            changes.date = Some(date);
        }
        amendment.changes = Some(changes);
        amendment
    }

    /// A version of a contract that comes while there are trades already.
    fn contract(&mut self, method: Method, dates: &[Day]) -> Contract {
        let mut rules = self.draw.rules(method);
        if self.washes {
            rules = self.draw.washing(rules);
        }
        let rng = &mut self.draw.rng;
        rules.locked_changes_adjust = one_in(rng, 2);
        let id = rng.below(u64::from(CONTRACTS)) as Name;
        let scope = |covers: bool| covers.then_some(1);
        Contract {
            id,
            account: scope(id == 1 || id == 3),
            instrument: scope(id == 2 || id == 3),
            from: pick(rng, dates),
            rules,
        }
    }

    /// Mostly of days that are over.
    fn lock(&mut self, dates: &[Day], today: Option<usize>) -> Step {
        let rng = &mut self.draw.rng;
        let most = today.map_or(dates.len(), |today| today + 1 + usize::from(one_in(rng, 8)));
        let account = if one_in(rng, 2) { None } else { Some(rng.below(u64::from(NAMES)) as Name) };
        Step::Lock(account, pick(rng, &dates[..most.min(dates.len())]))
    }

    /// A whole history of so many steps.
    pub(crate) fn history(&mut self, method: Method, len: usize) -> Vec<Step> {
        let mut steps = self.draw.terms(method);
        for step in &mut steps {
            if let Step::Contract(contract) = step {
                contract.rules.locked_changes_adjust = one_in(&mut self.draw.rng, 2);
                if self.washes {
                    contract.rules = self.draw.washing(contract.rules);
                }
            }
        }
        let all = days();
        let mut today = if one_in(&mut self.draw.rng, 2) { None } else { Some(6) };
        steps.extend(today.map(|at: usize| Step::Today(all[at])));
        while steps.len() < len {
            let step = match self.draw.rng.below(40) {
                0 if today.is_some_and(|today| today + 1 < all.len()) => {
                    let next = today.expect("seen above") + 1;
                    today = Some(next);
                    Step::Today(all[next])
                }
                1..=5 => Step::Amend(self.amendment(&all)),
                6 if today.is_some() && one_in(&mut self.draw.rng, 3) => {
                    // What is PENDING cannot be closed.
                    let places = (0..NAMES).flat_map(|account| (0..INSTRUMENTS).map(move |name| (account, name)));
                    steps.extend(places.map(|(account, instrument)| Step::Resolve(account, instrument)));
                    self.lock(&all, today)
                }
                6 if one_in(&mut self.draw.rng, 2) => Step::Contract(self.contract(method, &all)),
                7..=10 => Step::Action(self.action(&all)),
                11..=16 => Step::Trade(self.transfer(&all)),
                _ => Step::Trade(self.trade(&all)),
            };
            steps.push(step);
        }
        steps
    }
}
