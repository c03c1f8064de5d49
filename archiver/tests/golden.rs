//! One event of every kind, as bytes and as a line, against files that were written once.
//!
//! `golden/events_v1.hex` is the guard of the format: today's encoder must still produce these bytes, and today's decoder must still
//! read them. It is never rewritten: a change in layout is a new schema version with a file of its own. `golden/events.jsonl` may be
//! written anew with `LOTBOOK_GOLDEN=write`, which must only ever add keys.

#[path = "golden/amend.rs"]
mod amend;
#[path = "golden/arrive.rs"]
mod arrive;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use amend::{AMEND_CLASSES, amendment, resolved};
use lotbook_archiver::LearnedNames;
use lotbook_archiver::json::{Content, KIND_OUTCOME_BODY, Line, to_line};
use lotbook_core::action::Gains;
use lotbook_core::action_input::{ActionInput, ActionKind};
use lotbook_core::actions::NO_ACTION;
use lotbook_core::amount::ONE_E16;
use lotbook_core::codec::{self, Decoder, SCHEMA_VERSION, kind};
use lotbook_core::command::{
    InstrumentTerms, Mark, MarkKind, NO_PRICE, NameClass, Origin, Side, TradeInput, TradeKind, TradeType,
};
use lotbook_core::date::Date;
use lotbook_core::decide::Booked;
use lotbook_core::event::{Averaged, Class, CorrectedEvent, Event, Figures, Reason, Run, TradeEvent};
use lotbook_core::forward::Forward;
use lotbook_core::history::Standing;
use lotbook_core::id::{NO_NAME, TradeHash, TradeId};
use lotbook_core::mark::Valued;
use lotbook_core::outcome::{ActionFigures, Allocation, Outcome, TradeFigures};
use lotbook_core::rules::{
    ContractTerms, FeesRule, LockedChanges, LotMethod, LotScope, Rules, ShortRank, TaxRates, WashSale,
};
use lotbook_core::taking::Took;
use lotbook_core::wide_event::{ActionEvent, LockEvent, LockInput, SettledEvent, TakenEvent};
use lotbook_wal::{EpochStart, Group, KIND_CLOSE, KIND_EPOCH_START, NO_ADDRESS, RecordHeader};

const E8: i64 = 100_000_000;
const AT_NS: i64 = 1_583_418_600_000_000_001;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn origin() -> Origin {
    Origin {
        source: 0,
        source_offset: 42,
        received_at_ns: AT_NS,
        occurred_at_ns: AT_NS + 1_500,
        raw_hash: 0x0123_4567_89ab_cdef,
        trace_id: 0xfeed_face,
        causation: 0,
    }
}

fn input() -> TradeInput {
    TradeInput {
        trade_id: TradeId::new(b"t-1001").expect("short"),
        hash: TradeHash::new(b"desk", b"t-1001"),
        namespace: 0,
        account: 0,
        instrument: 0,
        contract: 0,
        side: Side::Sell,
        trade_type: TradeType::Decrease,
        quantity_e8: 150 * E8 + 1,
        price_e8: 167 * E8 + 63_000_000,
        fees_e8: E8 / 4,
        effective_date: Date(18_326),
        executed_at_ns: AT_NS,
        source_order: 17,
        lot: TradeHash::new(b"desk", b"t-1000"),
        user: 0,
        correlation: TradeId::new(b"0198c1c5-7a3e-7000-8000-000000000001@desk").expect("short"),
        ..TradeInput::EMPTY
    }
}

const RUNS: [Run; 2] = [
    Run { from: 0, count: 2, part_quantity_e8: 0, part_cost_e16: 0 },
    Run { from: 2, count: 1, part_quantity_e8: 25 * E8 + 1, part_cost_e16: 4_000 * ONE_E16 + 7 },
];

/// For as long as the test runs: events borrow their input.
fn kept(input: TradeInput) -> &'static TradeInput {
    Box::leak(Box::new(input))
}

fn trade(class: Class) -> TradeEvent<'static> {
    let base = TradeEvent {
        input: kept(input()),
        origin: origin(),
        class,
        reason: Reason::None,
        position: 3,
        version: 12,
        method: LotMethod::Fifo,
        on_provisional: false,
        late: false,
        backdated: false,
        adjusts: false,
        closed_quantity_e8: 150 * E8 + 1,
        opened_quantity_e8: 0,
        opened_cost_e16: 0,
        opened_base_e16: 0,
        lot_price_e8: 0,
        enlarges: false,
        averaged: Averaged::No,
        closed_cost_e16: 24_000 * ONE_E16 + 7,
        closed_base_e16: 24_000 * ONE_E16 + 7,
        realized_e16: 1_144 * ONE_E16 + 5_000_000_000_000_000,
        realized_long_e16: 0,
        realized_base_e16: 1_144 * ONE_E16 + 5_000_000_000_000_000,
        first_class: class,
        first_sequence: 0,
        first_address: u64::MAX,
        runs: &RUNS,
    };
    let nothing = TradeEvent {
        closed_quantity_e8: 0,
        closed_cost_e16: 0,
        closed_base_e16: 0,
        realized_e16: 0,
        realized_base_e16: 0,
        runs: &[],
        ..base
    };
    match class {
        Class::Applied => base,
        Class::Provisional => {
            TradeEvent { on_provisional: true, late: true, backdated: true, method: LotMethod::Hifo, ..base }
        }
        Class::Forward => nothing,
        Class::Matured => TradeEvent {
            reason: Reason::Oversell,
            first_sequence: 7,
            first_address: 4_096,
            averaged: Averaged::SubAccount,
            opened_quantity_e8: 10 * E8,
            opened_cost_e16: 1_676 * ONE_E16,
            opened_base_e16: 1_843 * ONE_E16,
            lot_price_e8: 167 * E8,
            realized_long_e16: -ONE_E16,
            realized_base_e16: 1_200 * ONE_E16,
            closed_base_e16: 25_000 * ONE_E16,
            input: kept(TradeInput {
                price_e8: NO_PRICE,
                consideration_e8: 26_700 * E8,
                currency: 0,
                fx_to_base_e8: E8 + E8 / 10,
                sub_account: 0,
                ..input()
            }),
            method: LotMethod::Lifo,
            ..base
        },
        Class::Rejected => {
            let input = TradeInput {
                lot: TradeHash::NONE,
                contract: NO_NAME,
                user: NO_NAME,
                trade_type: TradeType::Any,
                side: Side::SellShort,
                correlation: TradeId::EMPTY,
                kind: TradeKind::OpenLot,
                acquired: Date(18_327),
                ..input()
            };
            TradeEvent {
                input: kept(input),
                reason: Reason::TradeTypeMismatch,
                position: u32::MAX,
                version: 0,
                ..nothing
            }
        }
        Class::Duplicate => {
            TradeEvent { first_class: Class::Applied, first_sequence: 9, first_address: 8_192, ..nothing }
        }
        Class::Rebooked => TradeEvent { on_provisional: true, late: true, first_sequence: 11, ..base },
        Class::Held | Class::Lapsed => unreachable!("classes of amendments"),
    }
}

fn defined(class: NameClass, text: &'static [u8]) -> Event<'static> {
    Event::Defined { origin: origin(), class, id: 0, reason: Reason::None, text }
}

/// One of every kind, and the definitions that give them their names first.
fn events() -> Vec<Event<'static>> {
    let mut events = vec![
        defined(NameClass::Account, b"A1"),
        defined(NameClass::Instrument, b"EUR/USD"),
        defined(NameClass::Contract, b"C-7"),
        defined(NameClass::SubAccount, b"ALPHA"),
        defined(NameClass::User, b"jo"),
        defined(NameClass::Source, b"FIX:DESK->LOTBOOK"),
        defined(NameClass::Namespace, b"desk"),
        defined(NameClass::Currency, b"USD"),
        Event::Instrument {
            origin: origin(),
            reason: Reason::None,
            terms: InstrumentTerms {
                instrument: 0,
                currency: 0,
                multiplier_e8: 50 * E8,
                tick_e8: E8 / 4,
                price_min_e8: 0,
                price_max_e8: 9_999 * E8,
                isin: *b"US0378331005",
                cusip: *b"037833100",
            },
        },
        Event::Contract {
            origin: origin(),
            reason: Reason::PeriodLocked,
            terms: ContractTerms {
                contract: 0,
                account: 0,
                instrument: NO_NAME,
                rules: Rules {
                    method: LotMethod::Hifo,
                    allow_short: true,
                    short_rank: ShortRank::Result,
                    lot_scope: LotScope::SubAccount,
                    fees_rule: FeesRule::InBasis,
                    tax_rates: Some(TaxRates { short_e8: 37_000_000, long_e8: 20_000_000 }),
                    long_term_days: 365,
                    wash_sale: WashSale::Taxpayer,
                    wash_window_days: 31,
                    taxpayer: 0,
                    locked_changes: LockedChanges::Adjust,
                },
                effective_date: Date(18_000),
            },
        },
        Event::BusinessDate { origin: origin(), reason: Reason::None, date: Date(18_326) },
        Event::Mark {
            origin: origin(),
            reason: Reason::None,
            mark: Mark { instrument: 0, kind: MarkKind::BidAsk, price_e8: 167 * E8, ask_e8: 168 * E8, at_ns: AT_NS },
        },
    ];
    events.extend(Class::ALL[..6].iter().chain(&Class::ALL[8..]).map(|&class| Event::Trade(trade(class))));
    events.extend(AMEND_CLASSES.map(|class| Event::Amended(amendment(class))));
    events.push(Event::Resolved(resolved()));
    let before = Figures {
        quantity_e8: -5 * E8,
        realized_e16: -ONE_E16,
        realized_long_e16: 0,
        realized_base_e16: -2 * ONE_E16,
        cost_e16: 500 * ONE_E16,
        base_cost_e16: 550 * ONE_E16,
        fees_e16: ONE_E16 / 4,
        dividends_e16: 0,
        lot_count: 3,
    };
    events.extend(wide_events());
    events.push(Event::Corrected(CorrectedEvent {
        origin: Origin::INTERNAL,
        position: 3,
        account: 0,
        instrument: 0,
        version: 14,
        base_version: 13,
        cause: TradeHash::new(b"desk", b"t-1001"),
        cause_sequence: 12,
        late_trades: 2,
        tail: 3,
        left: 1,
        breaks: 1,
        seen: 7,
        before,
        after: after(),
        body_log_id: 0xabcd,
        body_address: 65_536,
        body_sequence: 2,
        body_bytes: 640,
        body_digest: 0x1122_3344_5566_7788,
        adjusted: arrive::adjusted(),
        valued: Some(Valued { price_e8: 168 * E8, multiplier_e8: E8 }),
    }));
    events.push(Event::Digests { origin: Origin::INTERNAL, economic: 1, full: u64::MAX });
    events
}

/// A split for which a position's fraction was paid out, a late contract change, and a lock that had to wait.
fn wide_events() -> [Event<'static>; 8] {
    let input = ActionInput {
        action_id: TradeId::new(b"split:EUR/USD:2020-03-05").expect("short"),
        hash: TradeHash::new(b"desk", b"split:EUR/USD:2020-03-05"),
        namespace: 0,
        kind: ActionKind::Split,
        instrument: 0,
        numerator: 3,
        denominator: 2,
        cash_in_lieu_e8: 110 * E8,
        effective_date: Date(18_326),
        user: 0,
        correlation: TradeId::new(b"corr-9").expect("short"),
        ..ActionInput::EMPTY
    };
    let action = ActionEvent {
        origin: origin(),
        input,
        class: Class::Applied,
        reason: Reason::None,
        first_class: Class::Applied,
        first_sequence: 0,
    };
    let closed = Booked {
        closed_quantity_e8: E8 / 2,
        closed_cost_e16: 50 * ONE_E16,
        closed_base_e16: 50 * ONE_E16,
        realized_e16: 5 * ONE_E16,
        realized_base_e16: 5 * ONE_E16,
        ..Booked::NOTHING
    };
    let took = Took {
        quantity_e8: 7 * E8,
        cost_e16: 700 * ONE_E16,
        base_cost_e16: 700 * ONE_E16,
        gains: Gains::default(),
        dividends_e16: 0,
        closed,
    };
    let taken = TakenEvent {
        origin: Origin::INTERNAL,
        position: 3,
        account: 0,
        instrument: 0,
        version: 13,
        action: 0,
        cause: input.hash,
        cause_id: input.action_id,
        date: input.date(),
        seen: 1,
        ahead: true,
        late: false,
        on_provisional: false,
        reason: Reason::None,
        books: true,
        adjusts: true,
        took,
        runs: &[Run { from: 0, count: 1, part_quantity_e8: E8 / 2, part_cost_e16: 50 * ONE_E16 }],
    };
    let touched = TakenEvent {
        version: 14,
        action: NO_ACTION,
        cause: TradeHash::NONE,
        cause_id: TradeId::EMPTY,
        date: Date::NONE,
        seen: 2,
        ahead: false,
        late: true,
        on_provisional: true,
        books: false,
        adjusts: false,
        took: Took { closed: Booked::NOTHING, ..took },
        runs: &[],
        ..taken
    };
    let input = LockInput { account: 0, through: Date(18_325) };
    [
        Event::Action(action),
        Event::Taken(taken),
        Event::Taken(touched),
        arrive::arrived(),
        arrive::received(),
        arrive::delivered(),
        Event::Settled(SettledEvent { origin: Origin::INTERNAL, ordinal: 2, positions: 100_000 }),
        Event::PeriodLock(LockEvent { origin: origin(), reason: Reason::NotReconciled, input }),
    ]
}

fn after() -> Figures {
    Figures {
        quantity_e8: 5 * E8,
        realized_e16: ONE_E16 / 2,
        realized_long_e16: ONE_E16 / 4,
        realized_base_e16: ONE_E16 / 2,
        cost_e16: 0,
        base_cost_e16: 1,
        fees_e16: ONE_E16,
        dividends_e16: -ONE_E16,
        lot_count: 1,
    }
}

fn outcome() -> Outcome {
    let hash = |id: &[u8]| TradeHash::new(b"desk", id);
    let taken = Allocation {
        lot: hash(b"t-1000"),
        quantity_e8: 2 * E8,
        price_e8: 100 * E8,
        cost_e16: 200 * ONE_E16,
        base_cost_e16: 220 * ONE_E16,
        realized_e16: -3 * ONE_E16 / 4,
        acquired: Date(17_000),
        is_long_term: true,
    };
    let sold = TradeFigures {
        hash: hash(b"t-1001"),
        realized_e16: -3 * ONE_E16 / 4,
        realized_long_e16: -3 * ONE_E16 / 4,
        realized_base_e16: -ONE_E16,
        realized_market_e16: -2 * ONE_E16,
        date: Date(18_327),
        reason: Reason::Oversell,
        allocations: vec![taken],
    };
    let paid = ActionFigures {
        hash: hash(b"cash_dividend:EUR/USD:2020-03-06"),
        date: Date(18_327),
        gains: Gains { realized_e16: 0, long_e16: 0, base_e16: 0 },
        dividends_e16: -ONE_E16,
    };
    Outcome {
        after: after(),
        averaged: true,
        trades: vec![sold],
        actions: vec![paid],
        breaks: vec![(hash(b"t-1001"), Reason::Oversell)],
        frontier: input().key(),
        waiting: vec![Forward { input: input(), position: u32::MAX, sequence: 12, address: 12_288 }],
        amended: vec![(hash(b"t-1001"), Standing::Corrected), (hash(b"t-1002"), Standing::Cancelled)],
        forwards: 1,
        forward_quantity_e8: -150 * E8 - 1,
        forward_gross_e8: 150 * E8 + 1,
        ..arrive::outcome()
    }
}

fn encode(event: &Event<'_>) -> Vec<u8> {
    let mut payload = vec![0; codec::payload_bytes(event)];
    codec::encode(event, &mut payload);
    payload
}

/// Bytes whose first one lies at a multiple of sixteen, as readers of a log hand them out.
struct Aligned {
    room: Vec<u8>,
    range: std::ops::Range<usize>,
}

impl Aligned {
    fn new(bytes: &[u8]) -> Self {
        let mut room = vec![0; bytes.len() + 16];
        let start = room.as_ptr().align_offset(16);
        room[start..start + bytes.len()].copy_from_slice(bytes);
        Self { room, range: start..start + bytes.len() }
    }

    fn bytes(&self) -> &[u8] {
        &self.room[self.range.clone()]
    }
}

fn header(sequence: u64, kind: u16, payload_bytes: usize, previous: u64) -> RecordHeader {
    RecordHeader {
        checksum: 0xc0ff_ee00 + sequence as u32,
        length: 64 + payload_bytes as u32,
        log_id: 0xabcd,
        sequence,
        address: sequence * 1_024,
        previous,
        durable_sequence: sequence.saturating_sub(4),
        epoch: 2,
        previous_checksum: 0,
        kind,
        partition: (sequence % 16) as u16,
        version: SCHEMA_VERSION,
        flags: Group::Single.flags(),
    }
}

#[test]
fn every_kind_as_a_line() {
    let mut out = Vec::new();
    let mut names = LearnedNames::new();
    let mut decoder = Decoder::new();
    let mut sequence = 0;
    let mut seen = Vec::new();
    let start = EpochStart {
        epoch: 2,
        clean: false,
        end_address: 960,
        end_sequence: 0,
        end_checksum: 0xdead_beef,
        wall_clock_ns: AT_NS as u64,
        boot_id: [9; 16],
        lost_from_sequence: Some(1),
    };
    let close = (AT_NS as u64).to_le_bytes();
    let mut line = |kind, content: Content<'_>, names: &LearnedNames, payload_bytes, previous| {
        sequence += 1;
        let header = header(sequence, kind, payload_bytes, previous);
        to_line(&Line { header: &header, content, names }, &mut out).expect("memory takes everything");
    };
    line(KIND_EPOCH_START, Content::Internal(&start.encode()), &names, 64, NO_ADDRESS);
    for event in events() {
        let payload = Aligned::new(&encode(&event));
        let kind = codec::kind_of(&event);
        let again = decoder.decode(kind, SCHEMA_VERSION, payload.bytes()).expect("today's own bytes");
        assert_eq!(again, event, "encoded and decoded again");
        names.learn(&again);
        seen.push(kind);
        let has_position =
            matches!(event, Event::Trade(_) | Event::Amended(_) | Event::Resolved(_) | Event::Corrected(_));
        let previous = if has_position { 512 } else { NO_ADDRESS };
        line(kind, Content::Event(&again), &names, payload.bytes().len(), previous);
    }
    let (body, nobody) = (outcome(), LearnedNames::new());
    line(KIND_OUTCOME_BODY, Content::Outcome(&body), &names, body.encode().len(), NO_ADDRESS);
    // The start of the log is gone: numbers stay numbers.
    line(kind::TRADE_APPLIED, Content::Event(&Event::Trade(trade(Class::Applied))), &nobody, 272, 512);
    line(99, Content::Unreadable(&[1, 2, 255], "unknown event kind 99"), &names, 3, NO_ADDRESS);
    line(KIND_CLOSE, Content::Internal(&close), &names, 8, NO_ADDRESS);
    for (kind, name) in kind::ALL {
        assert!(seen.contains(&kind), "no golden event of kind {name}");
    }

    let text = String::from_utf8(out).expect("JSON is text");
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("each line is one JSON value");
        assert_no_float(&value, line);
    }
    let path = golden("events.jsonl");
    if std::env::var_os("LOTBOOK_GOLDEN").is_some_and(|how| how == "write") {
        std::fs::write(&path, &text).expect("written");
    }
    let wanted = std::fs::read_to_string(&path).expect("the golden file");
    for (got, wanted) in text.lines().zip(wanted.lines()) {
        assert_eq!(got, wanted);
    }
    assert_eq!(text.lines().count(), wanted.lines().count());
}

fn assert_no_float(value: &serde_json::Value, line: &str) {
    match value {
        serde_json::Value::Number(number) => assert!(number.is_u64() || number.is_i64(), "a float in {line}"),
        serde_json::Value::Array(items) => items.iter().for_each(|item| assert_no_float(item, line)),
        serde_json::Value::Object(map) => map.values().for_each(|item| assert_no_float(item, line)),
        _ => {}
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits");
    (0..text.len()).step_by(2).map(pair).collect()
}

/// Bytes that were written once by a release are read and written by every later one.
#[test]
fn every_kind_as_bytes() {
    let path = golden("events_v1.hex");
    let mut produced = String::from("# kind version payload; written once, never rewritten: see tests/golden.rs\n");
    for event in events() {
        let _ = writeln!(produced, "{} 1 {}", codec::kind_of(&event), hex(&encode(&event)));
    }
    let _ = writeln!(produced, "{KIND_OUTCOME_BODY} 1 {}", hex(&outcome().encode()));
    if !path.exists() && std::env::var_os("LOTBOOK_GOLDEN").is_some_and(|how| how == "first") {
        std::fs::write(&path, &produced).expect("written");
    }
    let kept = std::fs::read_to_string(&path).expect("the golden file");
    let mut events = events().into_iter();
    let mut decoder = Decoder::new();
    let mut lines = 0;
    for line in kept.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split(' ');
        let mut field = || fields.next().expect("three fields");
        let (kind, version) = (field().parse::<u16>().expect("a kind"), field().parse::<u8>().expect("a version"));
        let payload = Aligned::new(&unhex(field()));
        lines += 1;
        match events.next() {
            Some(event) => {
                let read = decoder.decode(kind, version, payload.bytes()).expect("yesterday's bytes");
                assert_eq!(read, event, "kind {kind} reads as it was written");
                assert_eq!(hex(&encode(&event)), hex(payload.bytes()), "kind {kind} is written as it was");
            }
            None => {
                assert_eq!(kind, KIND_OUTCOME_BODY);
                assert_eq!(Outcome::decode(payload.bytes()), Ok(outcome()));
                assert_eq!(hex(&outcome().encode()), hex(payload.bytes()));
            }
        }
    }
    assert_eq!(lines, produced.lines().count() - 1, "every kind has its line");
}
