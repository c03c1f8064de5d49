//! What `replay` reads: JSON lines, rows of a CSV, FIX messages, compressed or not. The first byte says which.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use lotbook_gateway::input::{Format, InputOptions, Mapping, Reader, parse_line};

use crate::bytes::Bytes;

thread_local! {
    /// One file for all inputs of a thread.
    static INPUT: RefCell<Option<(tempfile::NamedTempFile, File)>> = const { RefCell::new(None) };
}

/// Reads the input as a file of the format that its first byte says, and its lines one by one.
///
/// # Panics
/// More items than bytes, or an error that a terminal would act on.
pub fn run(bytes: &[u8]) {
    let mut input = Bytes(bytes);
    let format = input.pick(&[None, Some(Format::Jsonl), Some(Format::Csv), Some(Format::Fix)]);
    let round = input.byte().unwrap_or(0) & 1 == 1;
    for line in input.0.split(|byte| *byte == b'\n') {
        if let Err(error) = parse_line(line, round) {
            printable(&error.to_string());
        }
    }
    let path = put(input.0);
    let options = InputOptions { format, round, mapping: Mapping::default(), filters: Vec::new() };
    let items = Reader::new(vec![path], options, None).inspect(|located| {
        if let Err(error) = &located.line_result {
            printable(&error.to_string());
        }
    });
    // A compressed file may hold more than its own size: a line needs a byte, and a byte of zstd stands for few thousand.
    assert!(items.count() <= 1 + bytes.len() * 8_192);
}

fn put(bytes: &[u8]) -> PathBuf {
    INPUT.with_borrow_mut(|input| {
        let (named, file) = input.get_or_insert_with(|| {
            let named = tempfile::NamedTempFile::new().expect("a temporary file");
            let file = named.reopen().expect("the same file");
            (named, file)
        });
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.set_len(0))
            .and_then(|()| file.write_all(bytes))
            .expect("written");
        named.path().to_owned()
    })
}

fn printable(words: &str) {
    assert!(!words.is_empty() && words.chars().all(|c| !c.is_control()), "{words:?}");
}
