//! Trades, actions, resets and rules in any order of arrival, with crashes and everything sent again between: the book is
//! the one in which everything came in its own order.

use lotbook_core::action_input::{ActionInput, ActionKind};
use lotbook_core::command::{Command, NameClass, Side};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Reason};
use lotbook_core::id::{ChronoKey, NO_NAME};
use lotbook_core::rules::{ContractTerms, LotMethod, Rules};
use lotbook_engine::{Host, Status};
use lotbook_perf::rng::Rng;
use lotbook_tests::rig::{Naming, PATIENCE, Rig, config};

use super::action;
use crate::coldpath::input;
use crate::support::{E8, Spec, long_form, shuffle};

const NAMES: u64 = 2;

/// One thing that may come at any time.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Trade(Spec),
    Split { id: u32, instrument: u64, terms: (u32, u32), in_lieu_e8: Option<i64>, day: i32 },
    Cash { id: u32, instrument: u64, kind: ActionKind, cash_e8: i64, day: i32 },
    Rules { method: LotMethod, account: u64, day: i32 },
}

impl Sent {
    fn action(&self, host: &Host) -> Option<ActionInput> {
        let of =
            |id: u32, kind, instrument: u64, day| action(host, &format!("a{id}"), kind, &format!("I{instrument}"), day);
        match *self {
            Self::Split { id, instrument, terms: (numerator, denominator), in_lieu_e8, day } => {
                let plain = of(id, ActionKind::Split, instrument, day);
                let cash_in_lieu_e8 = in_lieu_e8.unwrap_or(plain.cash_in_lieu_e8);
                Some(ActionInput { numerator, denominator, cash_in_lieu_e8, ..plain })
            }
            Self::Cash { id, instrument, kind, cash_e8, day } => {
                Some(ActionInput { cash_e8, ..of(id, kind, instrument, day) })
            }
            Self::Trade(_) | Self::Rules { .. } => None,
        }
    }

    fn command(&self, host: &Host) -> Command {
        match *self {
            Self::Trade(spec) => Command::Trade(input(host, &spec)),
            Self::Rules { method, account, day } => Command::Contract(ContractTerms {
                contract: host.directory().name(NameClass::Contract, "later"),
                account: host.directory().name(NameClass::Account, &format!("A{account}")),
                instrument: NO_NAME,
                rules: Rules { method, allow_short: true, ..Rules::DEFAULT },
                effective_date: Date(day),
            }),
            Self::Split { .. } | Self::Cash { .. } => Command::Action(self.action(host).expect("an action")),
        }
    }

    /// Rules first, then by place in history.
    fn order(&self, host: &Host) -> Option<ChronoKey> {
        match self {
            Self::Trade(spec) => Some(input(host, spec).key()),
            _ => self.action(host).map(|input| input.key()),
        }
    }
}

fn history(rng: &mut Rng, size: u32) -> Vec<Sent> {
    let mut rules: Vec<(u64, i32)> = Vec::new();
    let mut one = |id: u32| {
        let (instrument, day) = (rng.below(NAMES), 100 + rng.below(20) as i32);
        match rng.below(12) {
            0..=7 => {
                let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
                let mut spec =
                    Spec::new(id, side, rng.between(1, 9) * E8 + rng.between(0, 2), rng.between(10, 14) * E8, day);
                (spec.account, spec.instrument) = (rng.below(NAMES) as u32, instrument as u32);
                (spec.at_ns, spec.order) = (rng.between(0, 3), rng.below(4));
                Some(Sent::Trade(spec))
            }
            8 | 9 => {
                let terms = [(2, 1), (1, 2), (3, 2), (1, 7), (105, 100)][rng.below(5) as usize];
                let in_lieu_e8 = (rng.below(2) == 0).then(|| rng.between(1, 40) * E8);
                Some(Sent::Split { id, instrument, terms, in_lieu_e8, day })
            }
            10 => {
                let kinds =
                    [ActionKind::ReturnOfCapital, ActionKind::CashDividend, ActionKind::Merger, ActionKind::Reset];
                let kind = kinds[rng.below(4) as usize];
                Some(Sent::Cash { id, instrument, kind, cash_e8: rng.between(1, 3 * E8), day })
            }
            _ => {
                let method = LotMethod::ALL[rng.below(LotMethod::ALL.len() as u64) as usize];
                let account = rng.below(NAMES);
                // Of two versions with one date the later event wins: each date once.
                if rules.contains(&(account, day)) {
                    return None;
                }
                rules.push((account, day));
                Some(Sent::Rules { method, account, day })
            }
        }
    };
    (0..size).filter_map(&mut one).collect()
}

/// Everything that must be the same, whatever the order of arrival.
fn book(rig: &Rig) -> (Vec<String>, u64) {
    assert!(rig.host.wait_reconciled(PATIENCE), "{:?} {:?}", rig.host.error(), rig.host.dead_letters());
    let mut positions: Vec<String> = rig
        .host
        .model()
        .positions()
        .iter()
        .map(|v| {
            let realized = (v.realized_e16, v.realized_long_e16, v.realized_base_e16);
            let cost = (v.cost_e16, v.base_cost_e16, v.dividends_e16);
            let names = (&v.account, &v.instrument);
            format!("{names:?} {} {realized:?} {cost:?} {:?} {:?}", v.quantity_e8, v.reconciliation, v.lots)
        })
        .collect();
    positions.sort_unstable();
    (positions, rig.host.model().economic_digest())
}

fn take(rig: &mut Rig, sent: &Sent, name: &str) {
    let command = sent.command(&rig.host);
    let answer = rig.ask(command);
    let taken = match answer.status {
        Status::Trade(class) | Status::Action(class) => answer.reason == Reason::None && is_known(class),
        status => status == Status::Done,
    };
    assert!(taken, "{name}: {sent:?}: {answer:?}");
}

/// It was accepted, now or before.
fn is_known(class: Class) -> bool {
    class.is_accepted() || class == Class::Duplicate
}

#[test]
fn any_order_of_arrival_with_crashes_ends_in_the_same_book() {
    let seeds = if long_form() { 400 } else { 6 };
    let (mut crashes, mut replays) = (0, 0);
    for seed in 0..seeds {
        let name = format!("seed {seed}");
        let mut rng = Rng::new(seed, 1212);
        let mut list = history(&mut rng, 60);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut rig = Rig::start(&config(dir.path()));
        rig.rules(LotMethod::Fifo, true, 0);
        let mut sorted = list.clone();
        sorted.sort_by_key(|sent| sent.order(&rig.host));
        sorted.iter().for_each(|sent| take(&mut rig, sent, &name));
        let wanted = book(&rig);
        assert_eq!(rig.host.counters().corrections().0, 0, "{name}: nothing was late");
        rig.host.crash();

        shuffle(&mut list, &mut rng);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = config(dir.path());
        let mut rig = Rig::start(&config);
        rig.rules(LotMethod::Fifo, true, 0);
        for (at, sent) in list.iter().enumerate() {
            take(&mut rig, sent, &name);
            if rng.below(20) == 0 {
                crashes += 1;
                replays += rig.host.counters().corrections().0;
                rig.host.crash();
                rig = Rig::start(&config);
                // Rules have no id: the last of a date wins, so they are not sent twice.
                let again = list[..=at].iter().filter(|sent| !matches!(sent, Sent::Rules { .. }));
                again.for_each(|sent| take(&mut rig, sent, &name));
            }
        }
        assert_eq!(book(&rig), wanted, "{name}");
        replays += rig.host.counters().corrections().0;
        drop(rig.door);
        rig.host.stop().unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    println!("{seeds} histories, {crashes} crashes, {replays} replays");
    assert!(replays > seeds, "{replays} replays only: the histories are too tame");
}
