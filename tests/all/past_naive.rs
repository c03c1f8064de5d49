//! Answers about the past beside a naive model that keeps everything that was accepted with the sequence of its arrival and its date:
//! asked at random while a run goes on, given again to the last field after every kind of restart.
//!
//! CI form: 400 answers. `LOTBOOK_LONG=1`: 10,000.

use std::path::Path;

use lotbook_core::Date;
use lotbook_core::action_input::ActionInput;
use lotbook_core::amend::AmendInput;
use lotbook_core::command::{Command, NameClass, TradeInput};
use lotbook_core::event::Class;
use lotbook_core::id::{NO_NAME, NameId};
use lotbook_core::position::Reconciliation;
use lotbook_core::rules::{ContractTerms, LotMethod};
use lotbook_engine::past::{Answer, Moment, PastError, Question};
use lotbook_engine::{EngineConfig, Host, PositionView, Status};
use lotbook_perf::rng::Rng;
use lotbook_tests::naive::actions::{Action, Kind};
use lotbook_tests::naive::amend::{Amendment, Changes, counts, counts_action};
use lotbook_tests::naive::history::{Item, book_all};
use lotbook_tests::naive::holding::end_of;
use lotbook_tests::naive::in_force::{Contract, Method, Rules};
use lotbook_tests::naive::numbers::ONE;
use lotbook_tests::naive::words::{Day, Id, Instrument, Side, Trade, TradeType};
use lotbook_tests::rig::{Naming, PATIENCE, Rig};

use crate::naive::translate;
use crate::retention::{dropped, shelved, small};
use crate::support::long_form;

const FIRST_DAY: Day = 19_700;
const METHODS: [Method; 6] = [Method::Fifo, Method::Lifo, Method::Hifo, Method::Lofo, Method::Average, Method::MinTax];

/// What was accepted.
#[derive(Clone, Debug)]
enum Said {
    Trade(Trade),
    Amendment(Box<Amendment>),
    Contract(Contract),
    Action(Action),
    Today(Day),
}

/// Everything that was accepted, each with the sequence of its event: the naive memory.
#[derive(Default)]
struct Memory(Vec<(u64, Said)>);

impl Memory {
    fn known<T>(&self, known_at: u64, what: impl Fn(&Said) -> Option<T>) -> Vec<T> {
        self.0.iter().filter(|(sequence, _)| *sequence <= known_at).filter_map(|(_, said)| what(said)).collect()
    }

    fn today(&self, known_at: u64) -> Option<Day> {
        let days = |said: &Said| if let Said::Today(day) = said { Some(*day) } else { None };
        self.known(known_at, days).last().copied()
    }

    /// The book of a date by what was known: quantity, realized, fees, cost, and the lots.
    fn book(&self, (account, instrument): (NameId, NameId), known_at: u64, date: Day) -> Figures {
        let amendments =
            self.known(known_at, |said| if let Said::Amendment(it) = said { Some((**it).clone()) } else { None });
        let contracts = self.known(known_at, |said| if let Said::Contract(it) = said { Some(*it) } else { None });
        let mut items = self.known(known_at, |said| match said {
            Said::Trade(trade) if (trade.account, trade.instrument) == (account, instrument) => {
                counts(trade, &amendments).map(Item::Trade)
            }
            Said::Action(action) if action.instrument == instrument => {
                counts_action(action, &amendments).map(|action| Item::Action(account, action))
            }
            _ => None,
        });
        items.retain(|item| item.key().date <= date);
        let terms = Instrument { multiplier: ONE, currency: None };
        let booked = book_all(items, &contracts, &terms).expect("drawn far from every range");
        let book = &booked.book;
        let sign = if book.is_short { -1 } else { 1 };
        Figures {
            quantity: sign * book.lots.iter().map(|lot| lot.quantity).sum::<i128>(),
            realized: book.realized,
            fees: book.fees,
            breaks: booked.breaks.len(),
            lots: book.lots.iter().map(|lot| (lot.origin.to_string(), lot.quantity, lot.cost, lot.acquired)).collect(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Figures {
    quantity: i128,
    realized: i128,
    fees: i128,
    breaks: usize,
    lots: Vec<(String, i128, i128, Day)>,
}

impl Figures {
    fn of(view: &PositionView) -> Self {
        let lot = |lot: &lotbook_engine::read_model::LotView| {
            (lot.trade_id.to_string(), lot.quantity_e8.into(), lot.cost_e16, lot.acquired.0)
        };
        Self {
            quantity: view.quantity_e8.into(),
            realized: view.realized_e16,
            fees: view.fees_e16,
            breaks: view.breaks.len(),
            lots: view.lots.iter().map(lot).collect(),
        }
    }
}

struct Run {
    rig: Rig,
    rng: Rng,
    today: Day,
    next: u64,
    targets: Vec<Id>,
    memory: Memory,
    positions: Vec<(NameId, NameId)>,
    names: Names,
    /// Each with the answer that was given, `None` where the position was not known.
    answers: Vec<(Question, Option<Answer>)>,
    /// Moments at which nothing waited for anything.
    settled: Vec<u64>,
}

#[derive(Clone, Copy)]
struct Names {
    namespace: NameId,
    contract: NameId,
}

impl Run {
    fn new(config: &EngineConfig, seed: u64) -> Self {
        let rig = Rig::start(config);
        let directory = rig.host.directory();
        let accounts = ["A1", "A2"].map(|name| directory.name(NameClass::Account, name));
        let instruments = ["X", "Y"].map(|name| directory.name(NameClass::Instrument, name));
        let names = Names {
            namespace: directory.name(NameClass::Namespace, "test"),
            contract: directory.name(NameClass::Contract, "default"),
        };
        let mut run = Self {
            rig,
            rng: Rng::new(seed, 31),
            today: FIRST_DAY,
            next: 0,
            targets: Vec::new(),
            memory: Memory::default(),
            positions: accounts.iter().flat_map(|a| instruments.map(|i| (*a, i))).collect(),
            names,
            answers: Vec::new(),
            settled: Vec::new(),
        };
        run.contract(0, Method::Fifo);
        run.send(Command::BusinessDate(Date(FIRST_DAY)), Said::Today(FIRST_DAY));
        run
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    fn id(&mut self) -> Id {
        self.next += 1;
        format!("t{}", self.next).into()
    }

    fn send(&mut self, command: Command, said: Said) {
        let answer = self.rig.ask(command);
        let is_in = match answer.status {
            Status::Trade(class) | Status::Action(class) => {
                matches!(class, Class::Applied | Class::Provisional | Class::Forward)
            }
            status => status == Status::Done,
        };
        if !is_in {
            return;
        }
        match &said {
            Said::Trade(Trade { id, .. }) | Said::Action(Action { id, .. }) => self.targets.push(id.clone()),
            Said::Amendment(amendment) => self.targets.push(amendment.id.clone()),
            Said::Contract(_) | Said::Today(_) => {}
        }
        self.memory.0.push((answer.sequence, said));
    }

    fn trade(&mut self) {
        let id = self.id();
        let (account, instrument) = self.positions[self.rng.below(4) as usize];
        let date = match self.below(10) {
            0 | 1 => self.today - self.below(6) as Day,
            2 => self.today + 1 + self.below(3) as Day,
            _ => self.today,
        };
        let trade = Trade {
            hash: translate::hash(&id).0,
            id,
            account,
            instrument,
            contract: None,
            side: if self.below(5) < 3 { Side::Buy } else { Side::Sell },
            trade_type: TradeType::Any,
            acquired: None,
            to_account: None,
            quantity: i128::from(1 + self.below(30)) * ONE,
            price: Some(i128::from(500 + self.below(100)) * ONE / 10),
            consideration: None,
            fees: self.below(3).into(),
            currency: None,
            fx_to_base: ONE,
            sub_account: None,
            date,
            executed_at: end_of(date - 1) + 1 + self.below(1_000) as i64,
            source_order: self.next,
            lot: None,
        };
        let input = TradeInput { namespace: self.names.namespace, ..translate::input(&trade) };
        self.send(Command::Trade(input), Said::Trade(trade));
    }

    fn amend(&mut self) {
        let at = self.rng.below(self.targets.len().max(1) as u64) as usize;
        let Some(target) = self.targets.get(at).cloned() else { return };
        let id = self.id();
        let changes = match self.below(4) {
            0 | 1 => None,
            2 => Some(Changes { price: Some(i128::from(500 + self.below(100)) * ONE / 10), ..Changes::default() }),
            _ => Some(Changes { date: Some(self.today - self.below(4) as Day), ..Changes::default() }),
        };
        let amendment = Amendment {
            hash: translate::hash(&id).0,
            id,
            target,
            changes,
            executed_at: Some(self.next as i64),
            source_order: self.next,
            account: None,
            instrument: None,
        };
        let input = AmendInput { namespace: self.names.namespace, ..translate::amend_input(&amendment) };
        self.send(Command::Amend(input), Said::Amendment(Box::new(amendment)));
    }

    fn contract(&mut self, from: Day, method: Method) {
        let rules = Rules { method, allow_short: true, ..Rules::DEFAULT };
        let contract = Contract { id: self.names.contract, account: None, instrument: None, from, rules };
        let terms = ContractTerms {
            contract: contract.id,
            account: NO_NAME,
            instrument: NO_NAME,
            rules: translate::rules(&rules),
            effective_date: Date(from),
        };
        self.send(Command::Contract(terms), Said::Contract(contract));
    }

    fn split(&mut self) {
        let id = self.id();
        let numerator = 2 + i128::from(self.below(2));
        let action = Action {
            hash: translate::hash(&id).0,
            id,
            instrument: self.positions[0].1,
            kind: Kind::Split { numerator, denominator: 1, cash_in_lieu: None },
            date: self.today + 1 - self.below(4) as Day,
            fx_to_base: ONE,
        };
        let input = ActionInput { namespace: self.names.namespace, ..translate::action_input(&action) };
        self.send(Command::Action(input), Said::Action(action));
    }

    /// A random question about what is complete, and its answer.
    fn ask(&mut self) {
        let complete = self.rig.host.past().complete();
        let (account, instrument) = self.positions[self.rng.below(4) as usize];
        let known_at = if self.below(3) == 0 { complete } else { 1 + self.below(complete) };
        let back = self.below((self.today - FIRST_DAY + 4) as u64) as Day;
        let as_of = (self.below(4) > 0).then(|| Date(self.today - back));
        let question = Question { account, instrument, as_of, known_at: Moment::Sequence(known_at), since: None };
        let answer = answer(&self.rig.host, &question);
        self.answers.push((question, answer));
    }

    fn step(&mut self) {
        match self.below(40) {
            0..27 => self.trade(),
            27..31 => self.amend(),
            31 => {
                let (from, method) = (self.today - self.below(5) as Day, METHODS[self.rng.below(6) as usize]);
                self.contract(from, method);
            }
            32 => self.split(),
            33 => self.rig.host.coldpath().pause(),
            34 => self.rig.host.coldpath().resume(),
            35..38 => {
                self.rig.host.coldpath().resume();
                assert!(self.rig.host.wait_reconciled(PATIENCE), "{:?}", self.rig.host.error());
                self.settled.push(self.rig.host.model().published_sequence());
            }
            _ => {
                self.today += 1;
                self.send(Command::BusinessDate(Date(self.today)), Said::Today(self.today));
            }
        }
    }
}

fn answer(host: &Host, question: &Question) -> Option<Answer> {
    match host.past().ask(question) {
        Ok(answer) => Some(answer),
        Err(PastError::Unknown { .. }) => None,
        Err(error) => panic!("{question:?}: {error}"),
    }
}

#[track_caller]
fn check(host: &Host, answers: &[(Question, Option<Answer>)]) {
    assert!(host.wait_published(PATIENCE));
    assert!(host.log().wait_durable(host.log().published_sequence(), PATIENCE).expect("a log that goes on"));
    for (question, wanted) in answers {
        assert_eq!(answer(host, question), *wanted, "{question:?}");
    }
}

fn own_tail(config: EngineConfig, dir: &Path) -> EngineConfig {
    EngineConfig { tail_dir: Some(dir.join("tail")), ..config }
}

#[test]
fn recorded_answers_are_given_again_and_are_the_naive_ones() {
    let (runs, wanted) = if long_form() { (20, 500) } else { (2, 200) };
    let (mut total, mut dated, mut stood, mut open, mut unknown) = (0, 0, 0, 0, 0);
    for seed in 0..runs {
        let dir = tempfile::tempdir().expect("a directory");
        let config = own_tail(small(dir.path()), dir.path());
        let mut run = Run::new(&config, seed);
        while run.answers.len() < wanted {
            run.step();
            run.step();
            run.ask();
        }
        run.rig.host.coldpath().resume();
        assert!(run.rig.host.wait_reconciled(PATIENCE), "{:?}", run.rig.host.error());
        let Run { rig, answers, memory, positions, settled, .. } = run;
        for (question, answer) in &answers {
            let Some(answer) = answer else {
                unknown += 1;
                continue;
            };
            let Some(Date(date)) = answer.as_of else {
                open += usize::from(answer.view.reconciliation == Reconciliation::Provisional);
                continue;
            };
            let wanted = memory.book((question.account, question.instrument), answer.known_at, date);
            assert_eq!(Figures::of(&answer.view), wanted, "seed {seed}: {question:?}");
            dated += 1;
        }
        // Where nothing waited, what stood is the chronological book as well.
        for (known_at, position) in settled.iter().flat_map(|known_at| positions.iter().map(move |it| (*known_at, *it)))
        {
            let (account, instrument) = position;
            let question =
                Question { account, instrument, as_of: None, known_at: Moment::Sequence(known_at), since: None };
            let (Some(answer), Some(today)) = (answer(&rig.host, &question), memory.today(known_at)) else { continue };
            let wanted = memory.book(position, known_at, today);
            assert_eq!(Figures::of(&answer.view), wanted, "seed {seed}: {question:?}");
            assert_ne!(answer.view.reconciliation, Reconciliation::Provisional, "seed {seed}: {question:?}");
            stood += 1;
        }
        total += answers.len();
        check(&rig.host, &answers);
        // Killed; stopped, and started from a checkpoint; without any checkpoint, from the log alone.
        rig.host.crash();
        let rig = Rig::start(&config);
        check(&rig.host, &answers);
        rig.host.stop().expect("a clean end");
        let rig = Rig::start(&config);
        check(&rig.host, &answers);
        rig.host.stop().expect("a clean end");
        std::fs::remove_dir_all(config.data_dir.join("checkpoints")).expect("checkpoints of ours");
        let rig = Rig::start(&config);
        check(&rig.host, &answers);
        rig.host.stop().expect("a clean end");
        // The oldest segments move to the archive.
        let rig = Rig::start(&own_tail(shelved(dir.path()), dir.path()));
        dropped(&rig.host, 1);
        check(&rig.host, &answers);
        let beyond = Moment::Sequence(rig.host.log().published_sequence() + 1_000_000);
        let asked = rig.host.past().ask(&Question { known_at: beyond, ..answers[0].0 });
        assert!(matches!(asked, Err(PastError::Beyond { .. })), "{asked:?}");
        rig.host.stop().expect("a clean end");
    }
    println!(
        "{total} answers, {dated} of a date equal to the naive book, {open} PROVISIONAL as they stood, {unknown} of nothing yet; \
         {stood} settled positions equal; all given again five times"
    );
    assert!(dated * 4 > total && open > runs as usize && stood > 10);
    assert_eq!(LotMethod::ALL.len(), METHODS.len(), "every method is drawn");
}
