//! Whole files: formats, line numbers, damage, and the two real ones.

use std::io::Write as _;

use super::*;
use crate::input::TradeLine;
use lotbook_core::command::Side;
use tempfile::TempDir;

const HEADER: &str = "trade_id,account,instrument,side,quantity,price,effective_date";

fn json(id: &str) -> String {
    format!(
        r#"{{"type":"trade","trade_id":"{id}","account":"A","instrument":"I","side":"buy","quantity":"1","price":"1","effective_date":"2020-03-05"}}"#
    )
}

fn files(contents: &[(&str, &[u8])]) -> (TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().expect("a directory");
    let paths = contents
        .iter()
        .map(|(name, bytes)| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).expect("writes");
            path
        })
        .collect();
    (dir, paths)
}

/// One item as `file:line what`: a trade id, a type, or a code.
fn read(paths: Vec<PathBuf>, options: InputOptions, decoder: Option<FixDecoder>) -> Vec<String> {
    Reader::new(paths, options, decoder)
        .map(|located| {
            let what = match &located.line_result {
                Ok(Line::Trade(trade)) => trade.trade_id.clone(),
                Ok(_) => "other".to_owned(),
                Err(error) => error.code.to_string(),
            };
            format!("{}:{} {what}", located.file_index, located.line)
        })
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("compresses");
    encoder.finish().expect("compresses")
}

#[test]
fn formats_are_told_from_name_or_content() {
    let (a, b) = (json("a"), json("b"));
    let lines = format!("\u{feff}{a}\r\n\r\n  \t\n{b}");
    let csv = format!("{HEADER}\nc,A,I,buy,1,1,2020-03-05\n");
    let (_dir, paths) = files(&[
        ("0.jsonl", lines.as_bytes()),
        ("1.JSONL.GZ", &gzip(lines.as_bytes())),
        ("2", a.as_bytes()),
        ("3.csv", csv.as_bytes()),
        ("4.csv.gz", &gzip(csv.as_bytes())),
        ("5", csv.as_bytes()),
        ("6.txt", b""),
        ("7.csv", b""),
        ("8.ndjson", &gzip(b"")),
    ]);
    let want = ["0:1 a", "0:4 b", "1:1 a", "1:4 b", "2:1 a", "3:2 c", "4:2 c", "5:0 UNKNOWN_FORMAT", "7:0 NO_HEADER"];
    assert_eq!(read(paths, InputOptions::default(), None), want);
}

#[test]
fn unreadable_lines_do_not_end_the_file_and_unreadable_files_do() {
    let (a, b) = (json("a"), json("b"));
    let long = "x".repeat(LINE_BYTES_MAX + 1);
    let lines = [a.as_bytes(), b"\n{}\n\xff\n", long.as_bytes(), b"\n", b.as_bytes()].concat();
    let mut cut = gzip(&lines);
    cut.truncate(cut.len() - 9);
    let (dir, mut paths) = files(&[("0.jsonl", &lines), ("1.jsonl", &cut), ("3.jsonl", a.as_bytes())]);
    paths.insert(2, dir.path().join("none.jsonl"));
    let found = read(paths, InputOptions::default(), None);
    let want = ["0:1 a", "0:2 MISSING_FIELD", "0:3 NOT_UTF8", "0:4 LINE_TOO_LONG", "0:5 b", "1:1 a"];
    assert_eq!(found[..want.len()], want);
    assert!(found.iter().any(|item| item.starts_with("1:") && item.ends_with("BAD_GZIP")), "{found:?}");
    assert_eq!(found[found.len() - 2..], ["2:0 CANNOT_OPEN", "3:1 a"]);
}

#[test]
fn csv_rows() {
    let text = format!(
        "\n{HEADER},source_order,fees\r\n\
         a,A,I,buy,1,1,2020-03-05,,\r\n\
         \r\n\
         b,A,\"I \"\"x\"\"\",sell,-1,1,2020-03-05,9,0.5\n\
         c,\"A\nB\",I,buy,1,1,2020-03-05,,\n\
         d,A,I,buy,1,1\n\
         e,A,I,buy,1,1,2020-03-05,x,\n\
         ,A,I,buy,1,1,2020-03-05,,\n\
         f,A,5\"x,buy,1,1,2020-03-05,,\n\
         g,A,I,buy,1,\0,2020-03-05,,\n\
         h,A,I,buy,1,1,2020-03-05,,"
    );
    let (_dir, paths) = files(&[("0.csv", text.as_bytes())]);
    let want = [
        "0:3 a",
        "0:5 b",
        "0:6 BAD_TEXT",
        "0:8 MALFORMED_CSV",
        "0:9 BAD_INTEGER",
        "0:10 MISSING_FIELD",
        "0:11 f",
        "0:12 NUL_BYTE",
        "0:13 h",
    ];
    assert_eq!(read(paths.clone(), InputOptions::default(), None), want);
    let trades: Vec<TradeLine> = Reader::new(paths, InputOptions::default(), None)
        .filter_map(|located| match located.line_result {
            Ok(Line::Trade(trade)) => Some(trade),
            _ => None,
        })
        .collect();
    assert_eq!(trades[1].instrument, "I \"x\"");
    assert_eq!((trades[1].source_order, trades[1].fees_e8, trades[1].quantity_e8), (Some(9), 50_000_000, -100_000_000));
    assert_eq!(trades[2].instrument, "5\"x");
}

#[test]
fn csv_damage() {
    let endless = format!("{HEADER}\na,A,\"I,{}", "x,\n".repeat(LINE_BYTES_MAX / 2));
    for (text, want) in [
        ("trade_id,acount\n", &["0:1 BAD_COLUMN"][..]),
        ("trade_id,trade_id\n", &["0:1 BAD_COLUMN"]),
        ("\"trade_id\n", &["0:1 MALFORMED_CSV"]),
        (&format!("{HEADER}\na,A,\"I,\nx\n"), &["0:2 MALFORMED_CSV"]),
        (&endless, &["0:2 MALFORMED_CSV"]),
        (
            &format!("type,{HEADER}\ntrade,a,A,I,buy,1,1,2020-03-05\nmark,a,A,I,buy,1,1,2020-03-05\n"),
            &["0:2 a", "0:3 UNKNOWN_TYPE"],
        ),
    ] {
        let (_dir, paths) = files(&[("0.csv", text.as_bytes())]);
        assert_eq!(read(paths, InputOptions::default(), None), want, "{:.80}", text);
    }
}

#[test]
fn filters_count_what_they_pass_over() {
    let text = format!("{HEADER},CORR\na,A,I,buy,1,1,2020-03-05,0\nb,A,I,buy,1,1,2020-03-05,8\n");
    let (_dir, paths) = files(&[("0.csv", text.as_bytes())]);
    let options = |filter: &str| InputOptions {
        mapping: Mapping::parse(&["account=const:X"]).expect("understood"),
        filters: vec![filter.parse().expect("understood")],
        ..InputOptions::default()
    };
    let mut reader = Reader::new(paths.clone(), options("CORR=0"), None);
    assert_eq!(reader.by_ref().count(), 1);
    assert_eq!(reader.stats(), Stats { files: 1, lines: 1, filtered: 1, session_messages: 0 });
    assert_eq!(read(paths, options("COR=0"), None), ["0:1 BAD_COLUMN"]);
}

#[test]
fn fix_messages_go_through_the_decoder() {
    let message = |body: &str| {
        let head = format!("8=FIX.4.4|9={}|{body}", body.len()).replace('|', "\u{1}");
        let sum = head.bytes().fold(0u8, u8::wrapping_add);
        format!("{head}10={sum:03}\u{1}")
    };
    let stream = format!("{}{}\n{}", message("35=0|"), message("35=8|"), message("35=8|").replace("35=8", "35=9"));
    let (_dir, paths) = files(&[("0.fix", stream.as_bytes()), ("1", stream.as_bytes())]);
    let decoder: FixDecoder = Box::new(|bytes| {
        if memchr::memmem::find(bytes, b"35=8").is_some() {
            Some(jsonl::parse_line(json("f").as_bytes(), false))
        } else {
            None
        }
    });
    let want = ["0:2 f", "0:3 MALFORMED_FIX", "1:2 f", "1:3 MALFORMED_FIX"];
    assert_eq!(read(paths, InputOptions::default(), Some(decoder)), want);
}

#[test]
fn rules_files_hold_rules_only() {
    let contract =
        r#"{"type":"contract","contract_id":"K","lot_method":"LIFO","allow_short":true,"effective_date":"2020-01-01"}"#;
    let (dir, paths) =
        files(&[("0.rules", contract.as_bytes()), ("1", format!("{contract}\n{}", json("a")).as_bytes())]);
    assert_eq!(read_rules(&paths[0]).map(|rules| rules.len()).ok(), Some(1));
    let error = read_rules(&paths[1]).expect_err("a trade is no rule");
    assert_eq!((error.line, error.line_result.as_ref().err().map(|e| e.code)), (2, Some(Code::UnknownType)));
    assert!(error.place().ends_with(":2"));
    assert_eq!(read_rules(&dir.path().join("none")).expect_err("no file").line, 0);
}

#[test]
fn the_hash_is_that_of_the_line() {
    let lines = format!("{}\n{}\r\n{}", json("a"), json("a"), json("b"));
    let (_dir, paths) = files(&[("0.jsonl", lines.as_bytes())]);
    let hashes: Vec<u64> = Reader::new(paths, InputOptions::default(), None).map(|located| located.raw_hash).collect();
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2]);
}

/// The folder of real data: others' data, so not in the repository.
fn real(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("LOTBOOK_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    println!("passed over: {} is not there; LOTBOOK_DATA names the folder", path.display());
    None
}

fn tally(path: &Path, options: InputOptions) -> (Vec<TradeLine>, std::collections::BTreeMap<&'static str, usize>) {
    let (mut trades, mut codes) = (Vec::new(), std::collections::BTreeMap::new());
    for located in Reader::new(vec![path.to_owned()], options, None) {
        match located.line_result {
            Ok(Line::Trade(trade)) => trades.push(trade),
            Ok(_) => {}
            Err(error) => *codes.entry(error.code.as_str()).or_default() += 1,
        }
    }
    (trades, codes)
}

#[test]
fn real_fills() {
    let Some(path) = real("fills_pyfolio.csv.gz") else { return };
    let options = |round| InputOptions {
        round,
        mapping: Mapping::parse(&["preset:pyfolio"]).expect("understood"),
        ..InputOptions::default()
    };
    let (trades, codes) = tally(&path, options(false));
    assert_eq!((trades.len(), codes.into_iter().collect()), (9_300, vec![("TOO_MANY_DECIMALS", 67)]));
    let (trades, codes) = tally(&path, options(true));
    assert_eq!((trades.len(), codes.len()), (9_367, 0));
    let cern = &trades[1];
    assert_eq!((cern.trade_id.as_str(), cern.instrument.as_str(), cern.side), ("F3", "CERN", Side::Buy));
    assert_eq!((cern.quantity_e8, cern.price_e8), (435_700_000_000, Some(482_375_000)));
    assert_eq!(cern.effective_date.to_string(), "2004-01-09");
    assert!(trades.iter().all(|t| t.quantity_e8 > 0 && t.price_e8 > Some(0)));
}

#[test]
fn real_prints() {
    let Some(path) = real("taq_trades.csv.gz") else { return };
    let options = |filters: &[&str]| InputOptions {
        mapping: Mapping::parse(&["preset:taq"]).expect("understood"),
        filters: filters.iter().map(|f| f.parse().expect("understood")).collect(),
        ..InputOptions::default()
    };
    let (trades, codes) = tally(&path, options(&[]));
    assert_eq!((trades.len(), codes.len()), (77_263, 0));
    let accounts: std::collections::HashSet<&str> = trades.iter().map(|t| t.account.as_str()).collect();
    assert_eq!(accounts.len(), 20);
    let buys = trades.iter().filter(|t| t.side == Side::Buy).count();
    assert!((35_000..42_000).contains(&buys), "{buys} buys");
    let (trades, _) = tally(&path, options(&["CORR=0"]));
    assert_eq!(trades.len(), 77_261);
}
