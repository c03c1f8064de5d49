//! Real files: fills of one account over five years, and two days of an exchange's prints. They are not
//! part of the project; where they are not at hand the tests say so and pass.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use lotbook_core::Date;
use lotbook_core::amount::parse_e8;
use lotbook_core::command::Side;
use lotbook_core::event::{Class, Reason};
use lotbook_core::mark::flash;
use lotbook_core::rules::{LotMethod, Rules};
use lotbook_perf::oracle;
use lotbook_perf::rng::{Rng, splitmix64};
use lotbook_tests::rig::{Rig, config};

use crate::coldpath::{accepted, equals_oracle, input};
use crate::support::{BookRig, E8, LIMITS, ORACLE_METHODS, Spec, long_form, oracle_books, shuffle};

fn read(name: &str) -> Option<String> {
    let dir = std::env::var_os("LOTBOOK_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = dir.join(name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => {
            println!("skipped: {name} is not at hand ({error}); LOTBOOK_DATA names the directory");
            return None;
        }
    };
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("a gzip of text");
    Some(text)
}

/// Signed fills: the sign is the side; 67 prices have more than eight decimals and are rounded half-even.
fn fills(text: &str) -> (Vec<Spec>, Vec<String>, usize) {
    let mut symbols: Vec<String> = Vec::new();
    let mut rounded = 0;
    let list = text
        .lines()
        .skip(1)
        .enumerate()
        .map(|(line, row)| {
            let cells: Vec<&str> = row.split(',').collect();
            let (date, amount, price, symbol) = (cells[0], cells[1], cells[2], cells[4]);
            let known = symbols.iter().position(|other| other == symbol);
            let instrument = known.unwrap_or_else(|| {
                symbols.push(symbol.into());
                symbols.len() - 1
            });
            rounded += usize::from(parse_e8(price, false).is_err());
            let quantity_e8 = parse_e8(amount, false).expect("a whole number");
            let side = if quantity_e8 > 0 { Side::Buy } else { Side::Sell };
            let day = Date::parse(&date[..10]).expect("a date").0;
            let price_e8 = parse_e8(price, true).expect("a price");
            let mut spec = Spec::new(line as u32, side, quantity_e8.abs(), price_e8, day);
            (spec.instrument, spec.order) = (instrument as u32, line as u64);
            spec
        })
        .collect();
    (list, symbols, rounded)
}

#[test]
fn real_fills_give_one_profit_under_every_method() {
    let Some(text) = read("fills_pyfolio.csv.gz") else { return };
    let (list, symbols, rounded) = fills(&text);
    assert_eq!((list.len(), symbols.len(), rounded), (9_367, 7, 67));
    let mut last_e8: BTreeMap<u32, i64> = BTreeMap::new();
    for spec in &list {
        last_e8.insert(spec.instrument, spec.price_e8);
    }
    let mut crossings = 0;
    let totals = ORACLE_METHODS.map(|method| {
        let mut rig = BookRig::new(Rules { method, allow_short: true, ..Rules::DEFAULT }, 7, false, LIMITS);
        for spec in &list {
            let before = rig.find(0, spec.instrument).map_or(0, |p| p.quantity_e8);
            assert_eq!(rig.trade(spec), (Class::Applied, Reason::None), "line {}", spec.id + 2);
            let after = rig.find(0, spec.instrument).map_or(0, |p| p.quantity_e8);
            crossings += u32::from(before.signum() * after.signum() < 0);
        }
        rig.agrees(method).unwrap_or_else(|what| panic!("{method:?}: {what}"));
        rig.images_agree().unwrap_or_else(|what| panic!("{method:?}: {what}"));
        last_e8
            .iter()
            .map(|(&instrument, &mark_e8)| {
                let p = rig.find(0, instrument).expect("traded");
                let open = flash(p.quantity_e8, p.cost_e16, E8, mark_e8).expect("in range").unrealized_e16;
                p.realized_e16 + open
            })
            .sum::<i128>()
    });
    assert_eq!(crossings, 3 * 1_306, "crossings of zero");
    assert_eq!(totals[0], totals[1]);
    assert_eq!(totals[0], totals[2]);
    // From the cash alone, without any lot.
    let cash: i128 = list
        .iter()
        .map(|s| i128::from(s.side.sign() * s.quantity_e8) * i128::from(last_e8[&s.instrument] - s.price_e8))
        .sum();
    assert_eq!(totals[0], cash);
}

/// Prints carry no side and no account: a hash of the line gives both.
fn prints(text: &str) -> Vec<Spec> {
    text.lines()
        .skip(1)
        .enumerate()
        .map(|(line, row)| {
            let cells: Vec<&str> = row.split(',').collect();
            let (time, size, price) = (cells[0], cells[4], cells[5]);
            let mut hash = row.bytes().fold(line as u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
            let bits = splitmix64(&mut hash);
            let side = if bits & 1 == 0 { Side::Buy } else { Side::Sell };
            let day = Date::parse(&time[..10]).expect("a date").0;
            let number = |range: std::ops::Range<usize>| time[range].parse::<i64>().expect("digits");
            let of_day_us = ((number(11..13) * 60 + number(14..16)) * 60 + number(17..19)) * 1_000_000 + number(20..26);
            let quantity_e8 = parse_e8(size, false).expect("a size");
            let price_e8 = parse_e8(price, false).expect("a price");
            let mut spec = Spec::new(line as u32, side, quantity_e8, price_e8, day);
            spec.account = ((bits >> 8) % 250) as u32;
            spec.at_ns = i64::from(day) * 86_400_000_000_000 + of_day_us * 1_000;
            spec.order = line as u64 + 2;
            spec
        })
        .collect()
}

/// The reconciled economic digest of the prints in this order of arrival; compared with the oracle.
fn book_of(arrived: &[Spec], method: LotMethod, most_late: bool) -> (u64, Vec<oracle::Book>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(dir.path());
    config.segment_bytes = 16 << 20;
    let mut rig = Rig::start(&config);
    rig.rules(method, true, 0);
    let inputs: Vec<_> = arrived.iter().map(|spec| input(&rig.host, spec)).collect();
    let answers = rig.ask_all(inputs);
    let accepted = accepted(arrived, &answers);
    assert_eq!(accepted.len(), arrived.len(), "a print was refused");
    equals_oracle(&rig.host, &accepted, method);
    let late = rig.host.counters().trades(Class::Provisional) as usize;
    assert_eq!(late > arrived.len() / 2, most_late, "{late} of {} were late", arrived.len());
    let digest = rig.host.model().economic_digest();
    (digest, oracle_books(&accepted, method).into_values().collect())
}

#[test]
fn real_prints_in_any_order_are_the_chronological_book() {
    let Some(text) = read("taq_trades.csv.gz") else { return };
    let list = prints(&text);
    assert_eq!(list.len(), 77_263);
    for (seed, method) in ORACLE_METHODS.into_iter().enumerate() {
        // CI: the whole file once, a third of it for the other seeds.
        let part = if seed == 0 || long_form() { list.len() } else { list.len() / 3 };
        let chronological = &list[..part];
        let mut shuffled = chronological.to_vec();
        shuffle(&mut shuffled, &mut Rng::new(seed as u64, 5));
        let began = std::time::Instant::now();
        let wanted = book_of(chronological, method, false);
        let got = book_of(&shuffled, method, true);
        println!("{part} prints, {method:?}: {:?}", began.elapsed());
        assert_eq!(got.0, wanted.0, "{method:?}: economic digest");
        assert_eq!(got.1, wanted.1, "{method:?}");
    }
}
