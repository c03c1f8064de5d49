//! Both ends of what numbers can be, through the real columns: what the book can say the archive can hold, exactly.

use lotbook_archiver::LearnedNames;
use lotbook_archiver::postgres::binary::{FILE_HEADER, FILE_TRAILER};
use lotbook_archiver::postgres::migrate::MIGRATIONS;
use lotbook_archiver::postgres::row::{COLUMNS, RowError, Rows};
use lotbook_core::amount::format_scaled;
use lotbook_core::codec;
use lotbook_core::command::{NameClass, Origin, TradeInput};
use lotbook_core::date::Date;
use lotbook_core::event::{Averaged, Class, Event, Reason, TradeEvent};
use lotbook_core::id::{TradeHash, TradeId};
use lotbook_core::rules::LotMethod;
use lotbook_tests::postgres::Postgres;
use lotbook_wal::{NO_ADDRESS, RecordHeader};

use crate::drive::DATABASE;

/// Numbers of one row, all at one end.
#[derive(Clone, Copy, Debug)]
struct Edge {
    e8: i64,
    e16: i128,
    unsigned: u64,
    place: u64,
    ns: i64,
    date: Date,
    hash: u128,
}

fn edges() -> Vec<Edge> {
    let date = |text| Date::parse(text).expect("a date");
    let top = Edge {
        e8: i64::MAX,
        e16: i128::MAX,
        unsigned: u64::MAX,
        place: i64::MAX as u64,
        ns: i64::MAX,
        date: date("9999-12-31"),
        hash: u128::MAX,
    };
    let bottom = Edge {
        e8: i64::MIN + 1,
        e16: i128::MIN,
        unsigned: 0,
        place: 1,
        ns: i64::MIN,
        date: date("0001-01-01"),
        hash: 1,
    };
    let small = |sign: i64| Edge { e8: sign, e16: sign.into(), unsigned: 1, ns: sign, place: 2, ..top };
    // Where digits to the base 10,000 begin and end.
    let middle = [9_999, 10_000, 10_001, 99_999_999, 100_000_000, 100_000_001, 999_999_999_999, 1_000_000_000_000];
    let middle = middle.iter().enumerate().flat_map(|(index, number)| {
        [1i64, -1].map(|sign| Edge {
            e8: sign * number,
            e16: i128::from(sign * number) * 1_0000_0000,
            unsigned: number.unsigned_abs(),
            place: 10 + 2 * index as u64 + u64::from(sign < 0),
            ns: sign * number,
            ..top
        })
    });
    [top, bottom, small(1), Edge { place: 3, ..small(-1) }].into_iter().chain(middle).collect()
}

/// The payload of a trade whose every number is at that end, aligned as readers hand it out.
fn record(edge: &Edge) -> (RecordHeader, Vec<u128>) {
    let input = TradeInput {
        trade_id: TradeId::new(b"t").expect("short"),
        hash: TradeHash(edge.hash),
        namespace: 0,
        account: 0,
        instrument: 0,
        quantity_e8: edge.e8,
        price_e8: edge.e8,
        fees_e8: edge.e8,
        effective_date: edge.date,
        executed_at_ns: edge.ns,
        ..TradeInput::EMPTY
    };
    let origin = Origin {
        source_offset: edge.unsigned,
        received_at_ns: edge.ns,
        occurred_at_ns: edge.ns,
        raw_hash: edge.unsigned,
        trace_id: edge.hash,
        causation: edge.place,
        ..Origin::INTERNAL
    };
    let event = Event::Trade(TradeEvent {
        input: &input,
        origin,
        class: Class::Applied,
        reason: Reason::None,
        position: 0,
        version: edge.place,
        method: LotMethod::Fifo,
        on_provisional: false,
        late: false,
        backdated: false,
        adjusts: false,
        closed_quantity_e8: 0,
        opened_quantity_e8: 0,
        opened_cost_e16: edge.e16,
        opened_base_e16: edge.e16,
        lot_price_e8: 0,
        enlarges: false,
        averaged: Averaged::No,
        closed_cost_e16: edge.e16,
        closed_base_e16: edge.e16,
        realized_e16: edge.e16,
        realized_long_e16: 0,
        realized_base_e16: edge.e16,
        first_class: Class::Applied,
        first_sequence: 0,
        first_address: u64::MAX,
        runs: &[],
    });
    let bytes = codec::payload_bytes(&event);
    let mut payload = vec![0u8; bytes];
    codec::encode(&event, &mut payload);
    payload.resize(bytes.next_multiple_of(16), 0);
    let words = payload.chunks(16).map(|chunk| u128::from_ne_bytes(chunk.try_into().expect("16 bytes"))).collect();
    let header = RecordHeader {
        checksum: u32::MAX,
        length: 64 + bytes as u32,
        log_id: u64::MAX,
        sequence: edge.place,
        address: edge.place,
        previous: if edge.place > 1 { edge.place - 1 } else { NO_ADDRESS },
        durable_sequence: edge.place,
        epoch: u32::MAX,
        previous_checksum: 0,
        kind: codec::kind_of(&event),
        partition: u16::MAX,
        version: 1,
        flags: 0,
    };
    (header, words)
}

fn rows() -> Rows {
    let mut names = LearnedNames::new();
    for class in [NameClass::Account, NameClass::Instrument, NameClass::Namespace] {
        names.insert(class, 0, "n".repeat(64).into());
    }
    Rows::new(i16::MAX, names)
}

fn append(rows: &mut Rows, header: &RecordHeader, words: &[u128], out: &mut Vec<u8>) -> Result<i64, RowError> {
    // SAFETY: a slice of plain numbers, seen as the bytes that they are, and no longer than the slice is.
    let payload = unsafe { std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), header.payload_bytes()) };
    rows.append(header, payload, out)
}

#[test]
fn numbers_at_both_ends_fit_their_columns() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = Postgres::start();
    server.run("postgres", &format!("CREATE DATABASE {DATABASE}"));
    server.run(DATABASE, "CREATE ROLE lotbook_reader; CREATE ROLE lotbook_writer; CREATE SCHEMA lotbook");
    for migration in MIGRATIONS {
        server.run(DATABASE, migration.sql);
    }
    let mut file = FILE_HEADER.to_vec();
    let mut rows = rows();
    let edges = edges();
    for edge in &edges {
        let (header, words) = record(edge);
        append(&mut rows, &header, &words, &mut file).expect("a row");
    }
    file.extend_from_slice(&FILE_TRAILER);
    let place = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(place.path(), &file).expect("written");
    let copy = format!(
        "\\copy lotbook.event_store ({}) FROM '{}' WITH (FORMAT binary)",
        COLUMNS.join(", "),
        place.path().display()
    );
    server.run(DATABASE, &copy);
    for edge in &edges {
        let found = server.run(
            DATABASE,
            &format!(
                "SELECT quantity, price, fees, realized_pnl, source_offset, raw_hash, event_ver, address, causation, executed_at_ns, \
                 received_at_ns, occurred_at_ns, effective_date, epoch, checksum, log_partition, shard, trade_hash, \
                 payload ->> 'quantity', payload ->> 'realized_pnl' FROM lotbook.event_store WHERE sequence = {}",
                edge.place
            ),
        );
        let e8 = format_fixed(edge.e8.into(), 8);
        let hash = format!("{:032x}", edge.hash);
        let hash = format!("{}-{}-{}-{}-{}", &hash[..8], &hash[8..12], &hash[12..16], &hash[16..20], &hash[20..]);
        let wanted = [
            e8.clone(),
            e8.clone(),
            e8,
            format_fixed(edge.e16, 16),
            edge.unsigned.to_string(),
            if edge.unsigned == 0 { String::new() } else { edge.unsigned.to_string() },
            edge.place.to_string(),
            edge.place.to_string(),
            edge.place.to_string(),
            edge.ns.to_string(),
            edge.ns.to_string(),
            edge.ns.to_string(),
            edge.date.to_string(),
            u32::MAX.to_string(),
            u32::MAX.to_string(),
            u16::MAX.to_string(),
            i16::MAX.to_string(),
            hash,
            format_scaled(edge.e8.into(), 8),
            format_scaled(edge.e16, 16),
        ];
        assert_eq!(found, wanted.join("|"), "{edge:?}");
    }
    println!("{} rows of numbers at their ends", edges.len());
}

/// With all decimals, as a column of that scale shows it.
fn format_fixed(value: i128, decimals: usize) -> String {
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" })
}

#[test]
fn beyond_the_ends_there_is_no_row() {
    let edge = Edge { place: i64::MAX as u64 + 1, ..edges()[0] };
    let (header, words) = record(&edge);
    let refused = append(&mut rows(), &header, &words, &mut Vec::new());
    assert_eq!(refused, Err(RowError::Range { column: "event_ver", value: edge.place }));
    let unknown =
        append(&mut Rows::new(0, LearnedNames::new()), &record(&edges()[0]).0, &record(&edges()[0]).1, &mut Vec::new());
    assert_eq!(unknown, Err(RowError::UnknownName { class: NameClass::Account, id: 0 }), "a number is no name");
}
