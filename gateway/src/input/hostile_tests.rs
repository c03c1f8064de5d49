//! Bytes that mean no good: whatever comes in, the readers answer with lines or errors, never a panic,
//! and never with more items than there are bytes.

use std::io::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::config::Config;

const LINES: &str = concat!(
    r#"{"type":"trade","trade_id":"t1","account":"A1","instrument":"AAPL","side":"buy","quantity":"100","price":"167.63","#,
    r#""effective_date":"2020-03-05","executed_at":"2020-03-05T14:30:00.123Z","source_order":17,"fees":null}"#,
    "\n",
    r#"{"type":"mark","instrument":"AAPL","kind":"bid_ask","bid":"1","ask":"2","at":"2020-03-05"}"#,
    "\n",
);
const ROWS: &str = "trade_id,account,instrument,side,quantity,price,effective_date,CORR\n\
                    t1,A1,\"A \"\"B\"\"\",buy,1,1.5,2020-03-05,0\n\
                    t2,A1,AAPL,sell,-1,1.5,2020-03-05 00:00:00Z,0\n";
const MESSAGES: &str = "8=FIX.4.4|9=5|35=8|10=171|\n8=FIX.4.4|9=5|35=0|10=163|8=FIX.4.4|9=5|35=8|10=171|";
const CONFIG: &str = "[data]\ndir = \"d\"\nsegment_mib = 64\n[engine]\ncore = 1\n[[fix.session]]\ncomp_id = \"A\"\n";

/// Valid text with a few bytes replaced, inserted, removed or cut off.
fn damaged(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let hostile =
        prop_oneof![any::<u8>(), prop::sample::select(&b"\"\\{}[],:|=\n\r\0\x01 -+.0eE#\xff\xef\xbb\xbf\x1f\x8b"[..])];
    prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, hostile), 0..6).prop_map(|damages| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, how, byte) in damages {
            let at = at.index(bytes.len() + 1);
            match how {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                2 if at < bytes.len() => {
                    bytes.remove(at);
                }
                3 if byte < 32 => bytes.truncate(at),
                _ => {}
            }
        }
        bytes
    })
}

fn read_all(format: Option<Format>, bytes: &[u8]) -> usize {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("writes");
    let options = InputOptions {
        format,
        round: true,
        mapping: Mapping::parse(&["effective_date=date:effective_date"]).expect("understood"),
        filters: vec!["CORR=0".parse().expect("understood")],
    };
    let decoder: FixDecoder =
        Box::new(|bytes| Some(parse_line(bytes, false)).filter(|_| bytes.windows(4).any(|w| w == b"35=8")));
    let paths: Vec<PathBuf> = vec![file.path().to_owned()];
    Reader::new(paths, options, Some(decoder))
        .inspect(|located| {
            if let Err(error) = &located.line_result {
                assert!(error.to_string().chars().all(|c| !c.is_control()), "{error}");
            }
        })
        .count()
}

#[test]
fn the_undamaged_is_read() {
    assert_eq!(read_all(Some(Format::Jsonl), LINES.as_bytes()), 2);
    assert_eq!(read_all(Some(Format::Csv), ROWS.as_bytes()), 2);
    assert_eq!(read_all(Some(Format::Fix), MESSAGES.as_bytes()), 2, "one of three is a session message");
    assert!(Config::parse("c", CONFIG).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn damaged_lines(bytes in damaged(LINES)) {
        prop_assert!(read_all(Some(Format::Jsonl), &bytes) <= bytes.len() + 1);
    }

    #[test]
    fn damaged_rows(bytes in damaged(ROWS)) {
        prop_assert!(read_all(Some(Format::Csv), &bytes) <= bytes.len() + 1);
    }

    #[test]
    fn damaged_messages(bytes in damaged(MESSAGES)) {
        prop_assert!(read_all(Some(Format::Fix), &bytes) <= bytes.len() + 1);
    }

    #[test]
    fn anything_at_all(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in [None, Some(Format::Jsonl), Some(Format::Csv), Some(Format::Fix)] {
            prop_assert!(read_all(format, &bytes) <= bytes.len() + 1);
        }
    }

    #[test]
    fn damaged_configurations(bytes in damaged(CONFIG)) {
        if let Err(error) = Config::parse("c", &String::from_utf8_lossy(&bytes)) {
            prop_assert!(error.to_string().starts_with("c:"), "{error}");
        }
    }

    #[test]
    fn options(text in "[a-z_]{0,8}=?[a-z]{0,8}:?[^\\x00]{0,20}") {
        let _ = Mapping::parse(&[&text]);
        let _ = text.parse::<Filter>();
    }

    /// What is printed reads back as the same moment.
    #[test]
    fn stamps_read_back(ns in -9_214_560_000_000_000_000i64..=9_214_646_399_999_999_999) {
        let text = time::format_timestamp(ns);
        prop_assert_eq!(time::parse_timestamp(&text), Some(ns), "{}", text);
    }
}
