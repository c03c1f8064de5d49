//! Draws histories in which ties, flips, oversells, equal keys and late arrivals happen all the time.

use lotbook_core::id::TradeHash;
use lotbook_perf::rng::Rng;
use lotbook_tests::naive::actions::{Action, Kind};
use lotbook_tests::naive::amend::{Amendment, Changes};
use lotbook_tests::naive::holding::day;
use lotbook_tests::naive::in_force::{Contract, Method, Rules, Wash};
use lotbook_tests::naive::numbers::{ONE, SMALL_MAX};
use lotbook_tests::naive::words::{Day, Id, Instrument, Name, Side, Trade, TradeType};

use super::steps::Step;

/// Accounts, instruments, contracts, sub-accounts and currencies, by number from zero.
pub(crate) const NAMES: Name = 2;
/// Contracts that are named; one more is never said.
pub(crate) const CONTRACTS: Name = 4;

/// How numbers are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Whole numbers, few prices.
    Plain,
    /// Eight decimals; multipliers and rates that do not divide.
    Fractions,
    /// Magnitudes up to the ends of the ranges.
    Edges,
}

pub(crate) const FLAVOURS: [Flavour; 3] = [Flavour::Plain, Flavour::Fractions, Flavour::Edges];

/// What one history is drawn with.
pub(crate) struct Draw {
    pub(crate) rng: Rng,
    pub(crate) flavour: Flavour,
    /// Trades arrive in chronological order.
    pub(crate) in_order: bool,
    pub(super) next: u32,
    clock: u64,
    /// Ids that were said so far.
    pub(super) said: Vec<(Name, Name, Id)>,
    /// Opening lots among them.
    opening_lots: Vec<Id>,
    /// Ids of amendments.
    pub(super) amendments: Vec<Id>,
}

/// One in `n`.
pub(super) fn one_in(rng: &mut Rng, n: u64) -> bool {
    rng.below(n) == 0
}

pub(super) fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize]
}

/// The days on which things happen: around the end of February, and a year later.
pub(crate) fn days() -> Vec<Day> {
    let (first, second) = (day(2023, 2, 26), day(2024, 2, 26));
    (0..5).map(|n| first + n).chain((0..6).map(|n| second + n)).collect()
}

/// A number whose length in bits is drawn.
fn bits(rng: &mut Rng, most: u64) -> i128 {
    let length = 1 + rng.below(most);
    i128::from(rng.bits() >> (64 - length))
}

impl Draw {
    pub(crate) fn new(rng: Rng, flavour: Flavour, in_order: bool) -> Self {
        Self {
            rng,
            flavour,
            in_order,
            next: 0,
            clock: 0,
            said: Vec::new(),
            opening_lots: Vec::new(),
            amendments: Vec::new(),
        }
    }

    pub(super) fn rules(&mut self, method: Method) -> Rules {
        let rng = &mut self.rng;
        let both = [(37_000_000, 20_000_000), (0, 100_000_000), (33_333_333, 33_333_333), (40_000_000, 0)];
        Rules {
            method: if one_in(rng, 8) {
                pick(rng, &[Method::Fifo, Method::Lifo, Method::Hifo, Method::Lofo, Method::Average, Method::MinTax])
            } else {
                method
            },
            allow_short: !one_in(rng, 3),
            short_rank_is_result: one_in(rng, 2),
            scope_is_sub_account: one_in(rng, 3),
            fees_in_basis: one_in(rng, 2),
            tax_rates: if one_in(rng, 2) { Some(pick(rng, &both)) } else { None },
            long_term_days: if one_in(rng, 2) { Some(pick(rng, &[1, 2, 365, 366, 36_500])) } else { None },
            wash: Wash::None,
            wash_window: 30,
            taxpayer: None,
            locked_changes_adjust: false,
        }
    }

    /// The same rules with what a contract says of wash sales.
    pub(super) fn washing(&mut self, rules: Rules) -> Rules {
        let rng = &mut self.rng;
        Rules {
            wash: pick(rng, &[Wash::None, Wash::Account, Wash::Taxpayer, Wash::Taxpayer]),
            wash_window: pick(rng, &[0, 1, 5, 30, 30, 366]),
            taxpayer: pick(rng, &[None, None, Some(0), Some(1), Some(1)]),
            long_term_days: if one_in(rng, 2) { Some(pick(rng, &[1, 2, 10, 40])) } else { rules.long_term_days },
            ..rules
        }
    }

    /// Contracts and instruments, before anything else.
    pub(crate) fn terms(&mut self, method: Method) -> Vec<Step> {
        let (first, all) = (day(2000, 1, 1), days());
        let mut steps = Vec::new();
        for id in 0..CONTRACTS {
            let (account, instrument) = match id {
                0 => (None, None),
                1 => (Some(1), None),
                2 => (None, Some(1)),
                _ => (Some(1), Some(1)),
            };
            for version in 0..self.rng.between(i64::from(id == 0), 2) {
                let from = if id == 0 && version == 0 { first } else { pick(&mut self.rng, &all) };
                let rules = self.rules(method);
                steps.push(Step::Contract(Contract { id, account, instrument, from, rules }));
            }
        }
        for name in 0..NAMES {
            if one_in(&mut self.rng, 3) {
                continue;
            }
            let multiplier = match self.flavour {
                Flavour::Plain => pick(&mut self.rng, &[ONE, 50 * ONE]),
                Flavour::Fractions => pick(&mut self.rng, &[ONE, 33_333_333, 5, 250 * ONE + 1]),
                Flavour::Edges => pick(&mut self.rng, &[ONE, 1, 1000 * ONE, SMALL_MAX]),
            };
            let currency = if one_in(&mut self.rng, 2) { Some(0) } else { None };
            steps.push(Step::Instrument(name, Instrument { multiplier, currency }));
        }
        steps
    }

    pub(super) fn quantity(&mut self) -> i128 {
        let rng = &mut self.rng;
        match self.flavour {
            Flavour::Plain => i128::from(pick(rng, &[1i64, 1, 2, 3, 5, 8, 13])) * ONE,
            Flavour::Fractions => {
                i128::from(pick(rng, &[1i64, 2, 3, 33_333_333, 100_000_000, 150_000_001, 299_999_999]))
            }
            Flavour::Edges if one_in(rng, 12) => SMALL_MAX - i128::from(rng.below(3)),
            Flavour::Edges => bits(rng, 62) + 1,
        }
    }

    pub(super) fn price(&mut self) -> i128 {
        let rng = &mut self.rng;
        match self.flavour {
            Flavour::Plain => i128::from(rng.between(10, 14)) * ONE,
            Flavour::Fractions => {
                i128::from(pick(rng, &[0, 1, 3, 99_999_999, 100_000_000, 100_000_001, 1_234_567_891, 333_333_333]))
            }
            Flavour::Edges if one_in(rng, 12) => SMALL_MAX - i128::from(rng.below(3)),
            Flavour::Edges => bits(rng, 62),
        }
    }

    pub(super) fn small_amount(&mut self) -> i128 {
        let rng = &mut self.rng;
        match self.flavour {
            Flavour::Plain => i128::from(rng.below(4)) * ONE,
            Flavour::Fractions => i128::from(pick(rng, &[0i64, 1, 7, 33_333_333, 5 * ONE as i64])),
            Flavour::Edges => bits(rng, 63),
        }
    }

    pub(super) fn rate(&mut self) -> i128 {
        let rng = &mut self.rng;
        match self.flavour {
            _ if one_in(rng, 2) => ONE,
            Flavour::Plain => pick(rng, &[2 * ONE, ONE / 2]),
            Flavour::Fractions => pick(rng, &[111_350_001, 66_666_667, 1]),
            Flavour::Edges => bits(rng, 40) + 1,
        }
    }

    /// An id that was said before: mostly one of the same position.
    fn an_id(&mut self, account: Name, instrument: Name) -> Option<Id> {
        let of_position: Vec<Id> = self
            .said
            .iter()
            .rev()
            .filter(|(a, i, _)| (*a, *i) == (account, instrument))
            .take(6)
            .map(|s| s.2.clone())
            .collect();
        if of_position.is_empty() || one_in(&mut self.rng, 10) {
            let any = self.rng.below(self.said.len() as u64 + 1) as usize;
            return self.said.get(any).map(|said| said.2.clone());
        }
        Some(of_position[self.rng.below(of_position.len() as u64) as usize].clone())
    }

    /// A trade or an opening lot.
    pub(crate) fn trade(&mut self, dates: &[Day]) -> Trade {
        let (account, instrument) =
            (self.rng.below(u64::from(NAMES)) as Name, self.rng.below(u64::from(NAMES)) as Name);
        self.next += 1;
        self.clock += 1;
        let id: Id = format!("t{}", self.next).into();
        let rng = &mut self.rng;
        let mut date = pick(rng, dates);
        if self.in_order {
            // Days pass one after the other.
            date = dates[(self.clock as usize * dates.len() / 400).min(dates.len() - 1)];
        }
        let side = match rng.below(24) {
            0 => Side::SellShort,
            1 => Side::BuyToCover,
            n if n % 2 == 0 => Side::Buy,
            _ => Side::Sell,
        };
        let trade_type = match rng.below(24) {
            0 => TradeType::NewTrade,
            1 => TradeType::Increase,
            2 => TradeType::Decrease,
            _ => TradeType::Any,
        };
        let is_lot = one_in(rng, 12);
        let consideration = is_lot || one_in(rng, 5);
        let price = !consideration || one_in(rng, 2);
        let with_currency = one_in(rng, 20);
        let contract = if one_in(rng, 12) { Some(rng.below(u64::from(CONTRACTS)) as Name) } else { None };
        let contract = if one_in(rng, 60) { Some(CONTRACTS) } else { contract };
        let sub_account = if one_in(rng, 2) { Some(rng.below(u64::from(NAMES)) as Name) } else { None };
        let end = (i64::from(date) + 1) * 86_400_000_000_000 - 1;
        let executed_at = match rng.below(4) {
            _ if self.in_order => end - 1_000_000 + self.clock as i64,
            0 => end,
            n => end - 100 + n as i64,
        };
        let (source_order, acquired) = (rng.below(3), date - pick(rng, &[0, 0, 1, 365, 366, 367, 4000]));
        let names_a_lot = one_in(rng, 5);
        let malformed = one_in(rng, 60);
        let mut trade = Trade {
            hash: TradeHash::new(b"test", id.as_bytes()).0,
            lot: if names_a_lot { self.an_id(account, instrument) } else { None },
            id: id.clone(),
            account,
            instrument,
            contract,
            side,
            trade_type,
            acquired: None,
            to_account: None,
            quantity: self.quantity(),
            price: if price { Some(self.price()) } else { None },
            consideration: None,
            fees: self.small_amount(),
            currency: if with_currency { Some(self.rng.below(u64::from(NAMES)) as Name) } else { None },
            fx_to_base: self.rate(),
            sub_account,
            date,
            executed_at,
            source_order,
        };
        if consideration {
            // Mostly near price x quantity, as it is in life.
            let near = (self.price() / 1_000 * (trade.quantity / 1_000) / 100).min(SMALL_MAX);
            trade.consideration = Some(if one_in(&mut self.rng, 2) { near } else { self.small_amount() });
        }
        if is_lot {
            (trade.side, trade.trade_type) =
                (if trade.side.buys() { Side::Buy } else { Side::SellShort }, TradeType::Any);
            (trade.acquired, trade.fees, trade.lot) = (Some(acquired), 0, None);
        }
        if malformed {
            match self.rng.below(7) {
                0 => trade.quantity = 0,
                1 => trade.price = Some(-1),
                2 if !is_lot => trade.fees = -1,
                3 => trade.consideration = Some(-1),
                4 => (trade.price, trade.consideration) = (None, None),
                5 => trade.fx_to_base = 0,
                6 if is_lot => trade.acquired = Some(date + 1),
                _ => {}
            }
        }
        if trade.opens_a_lot() {
            self.opening_lots.push(id.clone());
        }
        self.said.push((account, instrument, id));
        trade
    }

    /// A cancel or a correct: of a trade, of an amendment, of what has not come yet, of itself.
    pub(super) fn amendment(&mut self, dates: &[Day]) -> Amendment {
        let id: Id = format!("c{}", self.amendments.len()).into();
        let rng = &mut self.rng;
        let recent = |rng: &mut Rng, len: usize| len - 1 - (rng.below(len.min(12) as u64) as usize);
        let target: Id = match rng.below(16) {
            0 => id.clone(),
            1 | 2 => format!("t{}", u64::from(self.next) + 1 + rng.below(6)).into(),
            3 => format!("c{}", self.amendments.len() + 1 + rng.below(3) as usize).into(),
            4..=6 if !self.amendments.is_empty() => self.amendments[recent(rng, self.amendments.len())].clone(),
            _ if self.said.is_empty() => "t1".into(),
            7 => self.said[rng.below(self.said.len() as u64) as usize].2.clone(),
            _ => self.said[recent(rng, self.said.len())].2.clone(),
        };
        let changes = if one_in(rng, 2) { Some(self.changes(&target, dates)) } else { None };
        let rng = &mut self.rng;
        self.amendments.push(id.clone());
        // The model does not move trades: corrects name no position.
        let names = changes.is_none();
        Amendment {
            hash: TradeHash::new(b"test", id.as_bytes()).0,
            id,
            target,
            changes,
            executed_at: if one_in(rng, 2) { Some(rng.between(0, 2)) } else { None },
            source_order: rng.below(3),
            account: if names && one_in(rng, 12) { Some(rng.below(u64::from(NAMES)) as Name) } else { None },
            instrument: if names && one_in(rng, 12) { Some(rng.below(u64::from(NAMES)) as Name) } else { None },
        }
    }

    pub(super) fn changes(&mut self, target: &Id, dates: &[Day]) -> Changes {
        let of_lot = self.opening_lots.contains(target);
        let mut some = || one_in(&mut self.rng, 4);
        let chosen: [bool; 12] = std::array::from_fn(|_| some());
        let mut changes = Changes {
            quantity: chosen[0].then(|| self.quantity()),
            price: chosen[1].then(|| self.price()),
            consideration: chosen[2].then(|| self.small_amount()),
            fx_to_base: chosen[3].then(|| self.rate()),
            sub_account: chosen[4].then_some(0),
            contract: chosen[5].then_some(1),
            ..Changes::default()
        };
        // What an opening lot has not, and a date before it was acquired, is not said.
        if !of_lot {
            let rng = &mut self.rng;
            changes.date = if chosen[6] { Some(pick(rng, dates)) } else { None };
            changes.executed_at = if chosen[7] { Some(rng.between(0, 2)) } else { None };
            changes.side = if chosen[8] { Some(pick(rng, &[Side::Buy, Side::Sell, Side::SellShort])) } else { None };
            let types = [TradeType::NewTrade, TradeType::Increase, TradeType::Decrease];
            changes.trade_type = if chosen[9] && one_in(rng, 4) { Some(pick(rng, &types)) } else { None };
            changes.fees = chosen[10].then(|| self.small_amount());
            let any = self.said.len().saturating_sub(1 + self.rng.below(8) as usize);
            changes.lot = if chosen[11] { self.said.get(any).map(|said| said.2.clone()) } else { None };
        }
        if one_in(&mut self.rng, 40) {
            changes.quantity = Some(0);
        }
        changes
    }

    /// A corporate action or a reset of the first instrument.
    pub(super) fn action(&mut self, dates: &[Day]) -> Action {
        self.next += 1;
        let date = pick(&mut self.rng, dates);
        let (cash, fx_to_base) = (self.price(), self.rate());
        let rng = &mut self.rng;
        let terms = match self.flavour {
            Flavour::Plain => [(2, 1), (1, 2), (3, 2), (1, 3), (1, 10)],
            Flavour::Fractions => [(3, 7), (7, 3), (1, 1_000_000_000), (100_000_001, 3), (1, 1)],
            Flavour::Edges => [(1_000_000_000, 1), (1, 1_000_000_000), (999_999_999, 1_000_000_000), (7, 3), (2, 1)],
        };
        let (numerator, denominator) = pick(rng, &terms);
        let kind = match rng.below(9) {
            0..=2 => Kind::Split { numerator, denominator, cash_in_lieu: one_in(rng, 2).then_some(cash) },
            3 => Kind::ReturnOfCapital { cash },
            // Small ones too: they leave some of the cost.
            4 => Kind::ReturnOfCapital { cash: cash / 7 },
            5 => Kind::Merger { cash },
            6 => Kind::Dividend { cash, record_date: one_in(rng, 2).then_some(date - rng.below(3) as Day) },
            _ => Kind::Reset { price: cash, contract: one_in(rng, 3).then(|| rng.below(u64::from(CONTRACTS)) as Name) },
        };
        let id: Id = format!("x{}", self.next).into();
        Action { hash: TradeHash::new(b"test", id.as_bytes()).0, id, instrument: 0, kind, date, fx_to_base }
    }

    /// A history of one position in which actions happen.
    pub(crate) fn position(&mut self, method: Method, len: usize) -> Vec<Step> {
        let mut steps = self.terms(method);
        let all = days();
        while steps.len() < len {
            if one_in(&mut self.rng, 6) {
                steps.push(Step::Action(self.action(&all)));
            } else {
                let trade = self.trade(&all);
                steps.push(Step::Trade(Trade { account: 0, instrument: 0, ..trade }));
            }
        }
        steps
    }

    /// A history of one position that grows: five purchases for each sale of a little, in sub-accounts.
    pub(crate) fn many(&mut self, method: Method, len: usize) -> Vec<Step> {
        let mut steps = self.terms(method);
        let all = days();
        while steps.len() < len {
            let mut trade = self.trade(&all);
            (trade.account, trade.instrument, trade.contract) = (0, 0, None);
            trade.date = all[steps.len() * all.len() / len];
            trade.executed_at = (i64::from(trade.date) + 1) * 86_400_000_000_000 - 1_000_000 + self.clock as i64;
            trade.acquired = trade.acquired.map(|_| trade.date - 400);
            if trade.side != Side::Buy && !one_in(&mut self.rng, 3) {
                trade.side = Side::Buy;
            }
            steps.push(Step::Trade(trade));
        }
        steps
    }

    /// A whole history of so many steps.
    pub(crate) fn history(&mut self, method: Method, len: usize) -> Vec<Step> {
        let mut steps = self.terms(method);
        let all = days();
        // Where no date is set at the beginning none ever is: what was booked ahead of the first one would wait again
        // once it is amended.
        let mut today = if self.in_order || one_in(&mut self.rng, 3) { None } else { Some(4) };
        steps.extend(today.map(|at: usize| Step::Today(all[at])));
        while steps.len() < len {
            let step = match self.rng.below(40) {
                0 if today.is_some() => {
                    let next = today.expect("seen above") + 1 + self.rng.below(2) as usize;
                    if next >= all.len() {
                        continue;
                    }
                    today = Some(next);
                    Step::Today(all[next])
                }
                3..=6 if !self.in_order => Step::Amend(self.amendment(&all)),
                7 if !self.in_order => {
                    Step::Resolve(self.rng.below(u64::from(NAMES)) as Name, self.rng.below(u64::from(NAMES)) as Name)
                }
                1 | 2 => {
                    Step::Replay(self.rng.below(u64::from(NAMES)) as Name, self.rng.below(u64::from(NAMES)) as Name)
                }
                _ => Step::Trade(self.trade(&all)),
            };
            steps.push(step);
        }
        steps
    }
}
