//! Mixed inputs, everything that a shard meets: each kind is counted, so that none can be missing unseen.

use std::time::Instant;

use lotbook_core::amend::{AmendInput, AmendKind, Changes};
use lotbook_core::amend_event::ResolveInput;
use lotbook_core::command::{
    Command, Mark, MarkKind, NO_PRICE, NameClass, Origin, Side, TradeInput, TradeKind, TradeType,
};
use lotbook_core::date::Date;
use lotbook_core::event::Class;
use lotbook_core::id::{NO_NAME, NameId, TradeHash, TradeId};
use lotbook_core::note::Note;
use lotbook_core::rules::{ContractTerms, LotMethod, Rules};
use lotbook_engine::{Answer, EngineConfig, Request, Status};
use lotbook_perf::rng::Rng;
use lotbook_tests::rig::{Naming, PATIENCE, Rig};

const E8: i64 = 100_000_000;
const ACCOUNTS: u64 = 200;
const INSTRUMENTS: u64 = 200;
/// Positions of the first account take the late trades: few, so that their replays stay short.
const LATE_ACCOUNT: usize = 0;
/// Positions of so many instruments have lots that came from another account: every trade on them asks whether those may
/// still change.
const MOVED: usize = 50;
const IN_FLIGHT: usize = 4_096;

/// The state of the generator.
#[derive(Debug)]
pub(crate) struct Load {
    rng: Rng,
    accounts: Vec<NameId>,
    instruments: Vec<NameId>,
    namespace: NameId,
    contract: NameId,
    next_id: u64,
    clock_ns: i64,
    today: i32,
    names: u64,
    terms: i32,
    held_e8: Vec<i64>,
    recent: Vec<TradeInput>,
    /// Ids of late trades, the newest last; and ids that amendments have named and no trade has had yet.
    late: Vec<TradeId>,
    owed: std::collections::VecDeque<TradeId>,
    amends: u64,
    growing: u64,
    in_flight: std::collections::VecDeque<Option<(usize, i64)>>,
    pub(crate) lots_most: u64,
    pub(crate) flips: u64,
    pub(crate) contracts: u64,
    pub(crate) marks: u64,
    pub(crate) dates: u64,
    pub(crate) resolutions: u64,
}

/// How much of each kind there was.
#[derive(Debug)]
pub(crate) struct Seen([u64; 16]);

impl Seen {
    pub(crate) fn now(rig: &Rig, load: &Load) -> Self {
        let counters = rig.host.counters();
        let of = |class| counters.trades(class);
        Self([
            rig.host.model().len() as u64,
            load.flips,
            of(Class::Rejected),
            of(Class::Duplicate),
            of(Class::Provisional),
            of(Class::Matured),
            counters.corrections().0,
            load.contracts,
            load.marks,
            load.dates,
            load.names,
            counters.amendments(Class::Provisional),
            counters.amendments(Class::Held),
            counters.amendments(Class::Lapsed),
            counters.amendments(Class::Rejected),
            load.resolutions,
        ])
    }

    pub(crate) fn named(&self) -> [(&'static str, u64); 16] {
        let names = [
            "new position",
            "flip",
            "rejection",
            "duplicate",
            "late trade",
            "maturity",
            "accepted correction",
            "rule change",
            "mark",
            "business date",
            "new name",
            "amendment",
            "held amendment",
            "lapsed amendment",
            "refused amendment",
            "resolution",
        ];
        std::array::from_fn(|at| (names[at], self.0[at]))
    }
}

/// Segment files of the shard's log.
pub(crate) fn segments(config: &EngineConfig) -> usize {
    let files = std::fs::read_dir(config.data_dir.join("log")).expect("a log directory");
    files.filter(|file| file.as_ref().is_ok_and(|f| f.file_name().to_string_lossy().starts_with("seg-"))).count()
}

impl Load {
    pub(crate) fn new(rig: &mut Rig) -> Self {
        rig.rules(LotMethod::Hifo, true, 0);
        rig.ask(Command::BusinessDate(Date(100)));
        let resolve = |class, text: String| rig.host.directory().name(class, &text);
        let mut load = Self {
            rng: Rng::new(2, 2),
            accounts: (0..ACCOUNTS).map(|n| resolve(NameClass::Account, format!("A{n}"))).collect(),
            instruments: (0..INSTRUMENTS).map(|n| resolve(NameClass::Instrument, format!("I{n}"))).collect(),
            namespace: resolve(NameClass::Namespace, "test".into()),
            contract: resolve(NameClass::Contract, "default".into()),
            next_id: 0,
            clock_ns: 1_000,
            today: 100,
            names: 0,
            terms: 0,
            held_e8: vec![0; (ACCOUNTS * INSTRUMENTS) as usize],
            recent: Vec::new(),
            late: Vec::new(),
            owed: std::collections::VecDeque::new(),
            amends: 0,
            growing: 0,
            in_flight: std::collections::VecDeque::with_capacity(IN_FLIGHT),
            lots_most: 0,
            flips: 0,
            contracts: 0,
            marks: 0,
            dates: 0,
            resolutions: 0,
        };
        for instrument in 0..MOVED {
            // On from account to account: what each asks is asked of those before it, too.
            let (mut bought, place) = load.trade(10, instrument);
            (bought.side, bought.quantity_e8) = (Side::Buy, 9 * E8);
            rig.ask(Command::Trade(bought));
            load.held_e8[place] += bought.quantity_e8;
            for from in 10..13 {
                let (moves, place) = load.transfer(from, from + 1, instrument, (13 - from as i64) * E8);
                assert_eq!(rig.ask(Command::Trade(moves)).status, Status::Trade(Class::Applied));
                load.held_e8[place] -= moves.quantity_e8;
                load.held_e8[place + INSTRUMENTS as usize] += moves.quantity_e8;
                assert!(rig.host.wait_reconciled(PATIENCE), "{:?}", rig.host.error());
            }
        }
        load
    }

    fn transfer(&mut self, from: usize, to: usize, instrument: usize, quantity_e8: i64) -> (TradeInput, usize) {
        let to_account = self.accounts[to];
        let (of, place) = self.trade(from, instrument);
        let (kind, side, price_e8) = (TradeKind::Transfer, Side::Sell, NO_PRICE);
        (TradeInput { kind, side, price_e8, quantity_e8, to_account, ..of }, place)
    }

    /// Sends so many inputs and takes all answers.
    pub(crate) fn run(&mut self, rig: &mut Rig, inputs: u64) {
        for number in 0..inputs {
            self.one(rig, number);
        }
        while rig.door.outstanding() > 0 {
            let answer = rig.await_answer();
            self.answered(&answer);
        }
    }

    /// Sends at a pace until a moment.
    pub(crate) fn run_until(&mut self, rig: &mut Rig, until: Instant) {
        let mut number = 0;
        while Instant::now() < until {
            for _ in 0..20 {
                self.one(rig, number);
                number += 1;
            }
            while rig.door.outstanding() > 0 {
                let answer = rig.await_answer();
                self.answered(&answer);
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    fn one(&mut self, rig: &mut Rig, number: u64) {
        let (command, place) = self.command(number);
        let deadline = Instant::now() + PATIENCE;
        while rig.door.outstanding() >= IN_FLIGHT {
            match rig.door.poll() {
                Some(answer) => self.answered(&answer),
                None => lotbook_engine::wait::nap(),
            }
            assert!(Instant::now() < deadline, "no answer: {:?}", rig.host.error());
        }
        self.in_flight.push_back(place);
        rig.door.submit(Request { token: number, origin: Origin::INTERNAL, command }).expect("room was made");
    }

    fn answered(&mut self, answer: &Answer) {
        assert!(!matches!(answer.status, Status::Unknown | Status::OutOfSpace), "{answer:?}");
        let place = self.in_flight.pop_front().expect("one for each request");
        if let (Some((place, signed_e8)), Status::Trade(Class::Applied | Class::Provisional)) = (place, answer.status) {
            let before = self.held_e8[place];
            let after = before + signed_e8;
            self.flips += u64::from(before.signum() * after.signum() < 0);
            self.held_e8[place] = after;
        }
    }

    fn command(&mut self, number: u64) -> (Command, Option<(usize, i64)>) {
        if number % 150_000 == 149_999 {
            self.today += 1;
            self.dates += 1;
            self.clock_ns = 1_000;
            return (Command::BusinessDate(Date(self.today)), None);
        }
        if number % 4_001 == 4_000 && self.terms < 900 {
            self.terms += 1;
            self.contracts += 1;
            // In force far in the future: nothing that is booked changes.
            return (Command::Contract(self.rule_change()), None);
        }
        if number % 9_001 == 9_000 && self.names < 3_000 {
            self.names += 1;
            let text = TradeId::new(format!("N{}", self.names).as_bytes()).expect("short");
            return (Command::Define { class: NameClass::User, text }, None);
        }
        match self.rng.below(1_000) {
            0..20 => {
                self.marks += 1;
                let instrument = self.instruments[self.rng.below(INSTRUMENTS) as usize];
                let price_e8 = self.rng.between(E8, 9 * E8);
                let mark = Mark { instrument, kind: MarkKind::Last, price_e8, ask_e8: 0, at_ns: self.clock_ns };
                (Command::Mark(mark), None)
            }
            20..30 if !self.recent.is_empty() => {
                let at = self.rng.below(self.recent.len() as u64) as usize;
                (Command::Trade(self.recent[at]), None)
            }
            30..40 => {
                let (mut bad, _) = self.trade(1, 0);
                bad.quantity_e8 = 0;
                (Command::Trade(bad), None)
            }
            40..50 => {
                let (mut bad, _) = self.trade(1, 1);
                bad.trade_type = TradeType::Increase;
                bad.side = Side::BuyToCover;
                (Command::Trade(bad), None)
            }
            50..52 => {
                let instrument = self.rng.below(4) as usize;
                let (mut late, place) = self.trade(LATE_ACCOUNT, instrument);
                late.executed_at_ns = self.rng.between(0, late.executed_at_ns);
                if let Some(owed) = self.owed.pop_front() {
                    (late.trade_id, late.hash) = (owed, TradeHash::new(b"test", owed.as_bytes()));
                }
                self.late.push(late.trade_id);
                self.with_place(late, place)
            }
            52..54 => {
                let instrument = 10 + self.rng.below(150) as usize;
                let (mut forward, _) = self.trade(5, instrument);
                // Before anything that happens on its day.
                (forward.effective_date, forward.executed_at_ns) = (Date(self.today + 1), 0);
                (Command::Trade(forward), None)
            }
            54 if self.late.len() > 10 => (self.amendment(), None),
            55..254 => self.growing_position(),
            _ => {
                // Positions come into use little by little.
                let open = (100 + self.next_id / 60).min((ACCOUNTS - 10) * INSTRUMENTS);
                let pair = self.rng.below(open);
                let (account, instrument) = (10 + (pair / INSTRUMENTS) as usize, (pair % INSTRUMENTS) as usize);
                let (input, place) = self.trade(account, instrument);
                if self.recent.len() < 5_000 {
                    self.recent.push(input);
                }
                self.with_place(input, place)
            }
        }
    }

    fn with_place(&self, input: TradeInput, place: usize) -> (Command, Option<(usize, i64)>) {
        (Command::Trade(input), Some((place, input.signed_quantity_e8())))
    }

    /// One position buys 1,000 lots and more, then sells all of them in parts, and so on.
    fn growing_position(&mut self) -> (Command, Option<(usize, i64)>) {
        let (mut input, place) = self.trade(2, 2);
        let turn = self.growing % 1_400;
        self.growing += 1;
        self.lots_most = self.lots_most.max(turn.min(1_200));
        if turn < 1_200 {
            (input.side, input.quantity_e8) = (Side::Buy, E8);
        } else {
            (input.side, input.quantity_e8) = (Side::Sell, 6 * E8);
        }
        self.with_place(input, place)
    }

    fn trade(&mut self, account: usize, instrument: usize) -> (TradeInput, usize) {
        self.next_id += 1;
        self.clock_ns += 1;
        let mut text = [b'x'; 12];
        let mut rest = self.next_id;
        for byte in text.iter_mut().rev().take(10) {
            *byte = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let input = TradeInput {
            trade_id: TradeId::new(&text).expect("short"),
            hash: TradeHash::new(b"test", &text),
            namespace: self.namespace,
            account: self.accounts[account],
            instrument: self.instruments[instrument],
            side: if self.rng.below(2) == 0 { Side::Buy } else { Side::Sell },
            quantity_e8: self.rng.between(1, 9 * E8),
            price_e8: self.rng.between(E8, 9 * E8),
            effective_date: Date(self.today),
            executed_at_ns: self.clock_ns,
            source_order: self.next_id,
            correlation: TradeId::new(&text).expect("short"),
            ..TradeInput::EMPTY
        };
        (input, account * INSTRUMENTS as usize + instrument)
    }

    /// Cancels and corrects of late trades, of each other, of what has not come, and of what never comes.
    fn amendment(&mut self) -> Command {
        self.amends += 1;
        let number = self.amends;
        let made = |letter: &str, number: u64| TradeId::new(format!("{letter}{number}").as_bytes()).expect("short");
        let past = self.late[self.late.len() - 1 - self.rng.below(8) as usize];
        let (kind, target) = match number % 10 {
            0 | 1 => (AmendKind::Cancel, past),
            2 => (AmendKind::Correct, past),
            // The amendment before: a correct of it is refused.
            3 => (AmendKind::Cancel, made("a", number - 1)),
            4 => (AmendKind::Correct, made("a", number - 1)),
            5 | 6 => {
                let owed = made("o", number);
                self.owed.push_back(owed);
                (if number % 10 == 5 { AmendKind::Cancel } else { AmendKind::Correct }, owed)
            }
            // Held for the next amendment, and no cancel: it lapses.
            7 => (AmendKind::Correct, made("a", number + 1)),
            8 => (AmendKind::Cancel, past),
            _ => {
                self.resolutions += 1;
                return Command::Resolve(ResolveInput {
                    account: self.accounts[LATE_ACCOUNT],
                    instrument: self.instruments[0],
                    version: 0,
                    user: NO_NAME,
                    note: Note::new(b"nothing to resolve").expect("short"),
                    correlation: TradeId::EMPTY,
                });
            }
        };
        let mut changes = Changes::NONE;
        if kind == AmendKind::Correct {
            changes.set_price(Some(self.rng.between(E8, 9 * E8)));
            changes.set_quantity(Some(self.rng.between(1, 9 * E8)));
        }
        let amend_id = made("a", number);
        Command::Amend(AmendInput {
            amend_id,
            hash: TradeHash::new(b"test", amend_id.as_bytes()),
            namespace: self.namespace,
            kind,
            target_id: target,
            target: TradeHash::new(b"test", target.as_bytes()),
            executed_at_ns: self.clock_ns,
            source_order: number,
            account: NO_NAME,
            instrument: NO_NAME,
            changes,
            user: NO_NAME,
            correlation: amend_id,
        })
    }

    fn rule_change(&self) -> ContractTerms {
        let account = self.accounts[(self.terms as u64 % ACCOUNTS) as usize];
        let rules = Rules { method: LotMethod::Fifo, allow_short: self.terms % 2 == 0, ..Rules::DEFAULT };
        let (contract, instrument, effective_date) = (self.contract, NO_NAME, Date(10_000 + self.terms));
        ContractTerms { contract, account, instrument, rules, effective_date }
    }
}
