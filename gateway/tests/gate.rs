//! The gate over generated inputs: nothing valid is refused, nothing that breaks one rule comes in, and the code is the same
//! through each door.
//!
//! CI form: 400 inputs of each kind; `LOTBOOK_LONG=1`: 20,000. The seed is fixed: every run sees the same.

mod support;

use std::collections::BTreeMap;

use lotbook_core::command::{Command, InstrumentTerms, NameClass, Origin};
use lotbook_core::date::Date;
use lotbook_core::event::Class;
use lotbook_core::gate::GateTerms;
use lotbook_core::id::NO_NAME;
use lotbook_core::rules::{ContractTerms, Rules};
use lotbook_engine::{Answer, Host, Request, Status};
use lotbook_gateway::fix::frame::{self, Framed};
use lotbook_gateway::fix::message::Message;
use lotbook_gateway::fix::trade::amend::FixItem;
use lotbook_gateway::gate::{Judge, RULES};
use lotbook_gateway::input::{Line, parse_line};
use lotbook_gateway::resolver::{Resolver, Stamps};
use serde_json::{Value, json};
use support::{DAY, E8, config};

const WINDOW: GateTerms = GateTerms { days_ahead_max: 30, days_back_max: 400 };

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// Printable names up to the length that every door takes.
fn name(random: &mut Random, prefix: &str) -> String {
    const BYTES: &[u8] = b"ABCXYZabcxyz0189 !#$%&()*+,-./:;<=>?@[]^_{|}~'\"\\";
    let length = random.below(20);
    let inner: String = (0..length).map(|_| char::from(*random.one_of(BYTES))).collect();
    format!("{prefix}{inner}.")
}

fn decimal(e8: i64) -> String {
    format!("{}.{:08}", e8 / E8, e8 % E8)
}

/// A valid trade, as JSON fields; the same as FIX is made from them.
fn valid(random: &mut Random, number: u64) -> BTreeMap<&'static str, String> {
    let side = *random.one_of(&["buy", "sell", "sell_short"]);
    let date = DAY + random.below(u64::from(WINDOW.days_ahead_max + WINDOW.days_back_max) + 1) as i32
        - WINDOW.days_back_max as i32;
    // On the tick of 0.05, from 1 to 1,000.
    let price_e8 = E8 + random.below(999 * 20 + 1) as i64 * (E8 / 20);
    BTreeMap::from([
        ("trade_id", format!("{}{number}", name(random, "t"))),
        ("account", format!("{}{number}", name(random, "a"))),
        ("instrument", "X".to_owned()),
        ("side", side.to_owned()),
        ("quantity", decimal(1 + random.below(1_000_000 * E8 as u64) as i64)),
        ("price", decimal(price_e8)),
        ("fees", decimal(random.below(10 * E8 as u64) as i64)),
        ("currency", "USD".to_owned()),
        ("effective_date", Date(date).to_string()),
    ])
}

/// What breaks a rule, and with which code. `None` for the value leaves the field out.
struct Fault {
    code: &'static str,
    field: &'static str,
    value: fn(&mut Random) -> Option<String>,
    /// FIX has no such field, or no such fault of it.
    json_only: bool,
}

const fn fault(code: &'static str, field: &'static str, value: fn(&mut Random) -> Option<String>) -> Fault {
    Fault { code, field, value, json_only: false }
}

const FAULTS: &[Fault] = &[
    fault("MISSING_FIELD", "trade_id", |_| None),
    fault("MISSING_FIELD", "account", |_| None),
    fault("MISSING_FIELD", "instrument", |_| None),
    fault("MISSING_FIELD", "side", |_| None),
    fault("MISSING_FIELD", "quantity", |_| None),
    fault("TOO_LONG", "trade_id", |r| Some("x".repeat(65 + r.below(20) as usize))),
    fault("TOO_LONG", "account", |r| Some("x".repeat(65 + r.below(20) as usize))),
    fault("TOO_LONG", "instrument", |r| Some("x".repeat(65 + r.below(20) as usize))),
    fault("BAD_TEXT", "trade_id", |r| Some(r.one_of(&[" t", "t ", "t\u{7f}", "t\u{e9}"]).to_string())),
    fault("BAD_TEXT", "account", |r| Some(r.one_of(&[" a", "a ", "*", "a\u{7f}", "a\u{e9}"]).to_string())),
    fault("BAD_TEXT", "instrument", |r| Some(r.one_of(&[" i", "i ", "*", "i\u{7f}"]).to_string())),
    fault("BAD_ENUM", "side", |r| Some(r.one_of(&["up", "BOUGHT", "0"]).to_string())),
    fault("BAD_DECIMAL", "quantity", |r| Some(r.one_of(&["1e3", "ten", "1,000", "--1", "1.2.3"]).to_string())),
    fault("BAD_DECIMAL", "price", |r| Some(r.one_of(&["1e3", "NaN", "+-1"]).to_string())),
    fault("TOO_MANY_DECIMALS", "quantity", |r| Some(format!("{}.000000001", r.below(100)))),
    fault("TOO_MANY_DECIMALS", "price", |r| Some(format!("{}.000000001", 1 + r.below(100)))),
    fault("OUT_OF_RANGE", "quantity", |r| Some(format!("{}", 92_233_720_369_u64 + r.below(1 << 40)))),
    fault("OUT_OF_RANGE", "price", |r| Some(format!("{}", 92_233_720_369_u64 + r.below(1 << 40)))),
    fault("BAD_DATE", "effective_date", |r| Some(r.one_of(&["2020-13-01", "2020-02-30", "tomorrow"]).to_string())),
    fault("BAD_QUANTITY", "quantity", |r| Some(r.one_of(&["0", "0.00000000", "-1", "-0.00000001"]).to_string())),
    fault("BAD_PRICE", "price", |r| Some(format!("-{}", decimal(1 + r.below(1 << 40) as i64)))),
    fault("PRICE_OUT_OF_BOUNDS", "price", |r| {
        Some(r.one_of(&["0", "0.95", "0.99999999", "1000.05", "1000.00000001", "50000"]).to_string())
    }),
    fault("PRICE_OFF_TICK", "price", |r| Some(decimal(E8 + r.below(900) as i64 * E8 + 1 + r.below(4_999_999) as i64))),
    fault("DATE_TOO_FAR_AHEAD", "effective_date", |r| {
        Some(Date(DAY + WINDOW.days_ahead_max as i32 + 1 + r.below(2_000) as i32).to_string())
    }),
    fault("DATE_TOO_FAR_BACK", "effective_date", |r| {
        Some(Date(DAY - WINDOW.days_back_max as i32 - 1 - r.below(2_000) as i32).to_string())
    }),
    fault("BAD_FEES", "fees", |r| Some(format!("-{}", decimal(1 + r.below(1 << 40) as i64)))),
    fault("CURRENCY_MISMATCH", "currency", |r| Some(r.one_of(&["EUR", "usd", "XXX"]).to_string())),
    Fault {
        code: "UNKNOWN_CONTRACT",
        field: "contract_id",
        value: |r| Some(format!("none{}", r.below(1_000))),
        json_only: true,
    },
    Fault { code: "CONTRACT_NOT_IN_FORCE", field: "contract_id", value: |_| Some("LATER".to_owned()), json_only: true },
];

fn as_line(fields: &BTreeMap<&'static str, String>) -> String {
    let mut object = json!({"type": "trade"});
    for (field, value) in fields {
        object[*field] = Value::String(value.clone());
    }
    object.to_string()
}

/// The same as an ExecutionReport.
fn as_fix(fields: &BTreeMap<&'static str, String>, seq: u64) -> Vec<u8> {
    let mut body = format!("35=8\u{1}49=DESK\u{1}56=LOTBOOK\u{1}34={seq}\u{1}52=20200305-14:30:00\u{1}150=F\u{1}");
    for (field, value) in fields {
        let (tag, value) = match (*field, value.as_str()) {
            ("trade_id", _) => ("17", value.clone()),
            ("account", _) => ("1", value.clone()),
            ("instrument", _) => ("55", value.clone()),
            ("side", "buy") => ("54", "1".to_owned()),
            ("side", "sell") => ("54", "2".to_owned()),
            ("side", "sell_short") => ("54", "5".to_owned()),
            ("side", _) => ("54", "9".to_owned()),
            ("quantity", _) => ("32", value.clone()),
            ("price", _) => ("31", value.clone()),
            ("fees", _) => ("12", value.clone()),
            ("currency", _) => ("15", value.clone()),
            ("effective_date", _) => ("75", value.replace('-', "")),
            (other, _) => panic!("{other} has no tag"),
        };
        body.push_str(&format!("{tag}={value}\u{1}"));
    }
    let mut bytes = format!("8=FIX.4.4\u{1}9={}\u{1}{body}", body.len()).into_bytes();
    let sum = frame::check_sum(&bytes);
    bytes.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
    bytes
}

/// The doors' ways over one host, without their sockets.
struct Doors {
    host: Host,
    door: lotbook_engine::Door,
    resolver: Resolver,
    token: u64,
}

impl Doors {
    fn open(dir: &std::path::Path) -> Self {
        let mut config = config(dir);
        config.gate = WINDOW;
        // What is tried here is the gate: nothing is to be replayed, and the book is to have room.
        config.coldpath = false;
        config.trade_ids_max = 1 << 17;
        config.limits = lotbook_core::Limits {
            positions_max: 1 << 17,
            lots_max: 1 << 18,
            forwards_max: 1 << 17,
            names_max: 1 << 17,
            ..config.limits
        };
        let mut host = Host::start(&config).expect("a start");
        let door = host.open_door().expect("a door");
        let resolver = Resolver::new(host.directory().clone(), "lotbook");
        let mut doors = Self { host, door, resolver, token: 0 };
        doors.lay_the_table();
        doors
    }

    fn lay_the_table(&mut self) {
        let mut name = |class, text: &str| self.resolver.name(class, text).expect("a name");
        let (instrument, currency) = (name(NameClass::Instrument, "X"), name(NameClass::Currency, "USD"));
        let (all, later) = (name(NameClass::Contract, "ALL"), name(NameClass::Contract, "LATER"));
        let contract = |contract, effective_date| ContractTerms {
            contract,
            account: NO_NAME,
            instrument: NO_NAME,
            rules: Rules { allow_short: true, ..Rules::DEFAULT },
            effective_date,
        };
        let terms = InstrumentTerms {
            instrument,
            currency,
            multiplier_e8: E8,
            tick_e8: E8 / 20,
            price_min_e8: E8,
            price_max_e8: 1_000 * E8,
            isin: [0; 12],
            cusip: [0; 9],
        };
        for command in [
            Command::Instrument(terms),
            Command::Contract(contract(all, Date(0))),
            Command::Contract(contract(later, Date(DAY + 1_000))),
            Command::BusinessDate(Date(DAY)),
        ] {
            assert_eq!(self.ask(command).status, Status::Done);
        }
    }

    fn ask(&mut self, command: Command) -> Answer {
        self.token += 1;
        let origin = Origin { source_offset: self.token, ..Origin::INTERNAL };
        assert!(self.door.submit(Request { token: self.token, origin, command }).is_ok(), "room in an idle door");
        loop {
            if let Some(answer) = self.door.poll() {
                return answer;
            }
            assert!(!self.door.is_abandoned(), "{:?}", self.host.error());
            lotbook_engine::wait::nap();
        }
    }

    fn judged(&mut self, command: Command) -> Result<Class, &'static str> {
        match self.ask(command) {
            Answer { status: Status::Trade(Class::Rejected), reason, .. } => Err(reason.code()),
            Answer { status: Status::Trade(class), .. } => Ok(class),
            other => panic!("{other:?}"),
        }
    }

    /// A line of JSON, as HTTP and `replay` take it.
    fn line(&mut self, fields: &BTreeMap<&'static str, String>) -> Result<Class, &'static str> {
        let line = match parse_line(as_line(fields).as_bytes(), false) {
            Ok(Line::Trade(line)) => line,
            Ok(other) => panic!("{other:?}"),
            Err(error) => return Err(error.code.as_str()),
        };
        let stamps = Stamps {
            namespace: "LINES",
            executed_at_ns: line.effective_date.end_ns(),
            source_order: self.token,
            now_ns: 1,
        };
        let input = self.resolver.trade_line(&line, &stamps).expect("room for names");
        self.judged(Command::Trade(input))
    }

    /// A FIX message, as its door takes it.
    fn fix(&mut self, fields: &BTreeMap<&'static str, String>) -> Result<Class, &'static str> {
        let bytes = as_fix(fields, self.token + 1);
        let Framed::Frame(found) = frame::next(&bytes) else { panic!("a frame: {}", String::from_utf8_lossy(&bytes)) };
        let message = Message::parse(&bytes, &found);
        if let Some(fault) = message.fault() {
            panic!("{fault:?} in {}", String::from_utf8_lossy(&bytes));
        }
        let trade = match FixItem::from_message(&message) {
            Ok(FixItem::Trade(trade)) => trade,
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => return Err(refusal.code),
        };
        let date = trade.effective_date.map(Date).expect("a date");
        let words = trade.words("FIX", date, date.end_ns(), None);
        let input = self.resolver.trade(&words, 1).expect("room for names");
        self.judged(Command::Trade(input))
    }
}

#[test]
fn every_rule_refuses_what_breaks_it_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut doors = Doors::open(dir.path());
    let mut random = Random(7);
    let rounds = if std::env::var_os("LOTBOOK_LONG").is_some() { 20_000 } else { 400 };
    let (mut passed, mut refused) = (0, BTreeMap::<&str, u64>::new());
    for round in 0..rounds {
        let fields = valid(&mut random, round);
        // First what is broken: it does not consume its id, so that the valid one comes in under it.
        let fault = &FAULTS[(round % FAULTS.len() as u64) as usize];
        let mut broken = fields.clone();
        match (fault.value)(&mut random) {
            Some(value) => broken.insert(fault.field, value),
            None => broken.remove(fault.field),
        };
        assert_eq!(doors.line(&broken), Err(fault.code), "line {broken:?}");
        *refused.entry(fault.code).or_default() += 1;
        if !fault.json_only {
            assert_eq!(doors.fix(&broken), Err(fault.code), "FIX {broken:?}");
            *refused.entry(fault.code).or_default() += 1;
        }
        for way in [Doors::line, Doors::fix] {
            let first = way(&mut doors, &fields);
            assert!(matches!(first, Ok(Class::Applied | Class::Provisional | Class::Forward)), "{first:?} {fields:?}");
            // Again it is a duplicate; with another content under its id a conflict.
            assert_eq!(way(&mut doors, &fields), Ok(Class::Duplicate), "{fields:?}");
            let mut other = fields.clone();
            other.insert("fees", "11".to_owned());
            assert_eq!(way(&mut doors, &other), Err("ID_CONFLICT"), "{other:?}");
            *refused.entry("ID_CONFLICT").or_default() += 1;
            passed += 1;
        }
    }
    println!("{passed} valid inputs came in; refused: {refused:?}");
    // The table has no rule that was not tried, but those of the readers that a trade's fields cannot break.
    let untried = ["WRONG_TYPE", "BAD_INTEGER", "BAD_BOOLEAN", "BAD_TIMESTAMP", "BAD_CONSIDERATION", "BAD_RATE"];
    for rule in RULES {
        for code in rule.codes {
            let is_tried = refused.contains_key(code);
            assert!(is_tried != untried.contains(code), "{code} ({:?}): tried {is_tried}", rule.judge == Judge::Reader);
        }
    }
    doors.host.stop().expect("a clean stop");
}

/// Terms that change do not make a stranger of what was accepted under others.
#[test]
fn what_was_accepted_is_a_duplicate_whatever_has_changed_since() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut doors = Doors::open(dir.path());
    let fields = valid(&mut Random(11), 0);
    doors.line(&fields).expect("accepted");
    let instrument = doors.resolver.name(NameClass::Instrument, "X").expect("a name");
    let currency = doors.resolver.name(NameClass::Currency, "USD").expect("a name");
    let terms = InstrumentTerms {
        instrument,
        currency,
        multiplier_e8: E8,
        tick_e8: 0,
        price_min_e8: 5_000 * E8,
        price_max_e8: 0,
        isin: [0; 12],
        cusip: [0; 9],
    };
    assert_eq!(doors.ask(Command::Instrument(terms)).status, Status::Done);
    assert_eq!(doors.ask(Command::BusinessDate(Date(DAY + 5_000))).status, Status::Done);
    assert_eq!(doors.line(&fields), Ok(Class::Duplicate));
    let mut other = fields.clone();
    other.insert("trade_id", "another".to_owned());
    assert_eq!(doors.line(&other), Err("DATE_TOO_FAR_BACK"));
    other.insert("effective_date", Date(DAY + 5_000).to_string());
    assert_eq!(doors.line(&other), Err("PRICE_OUT_OF_BOUNDS"));
    doors.host.stop().expect("a clean stop");
}
