//! `lotbook archive reference`: reads a file of reference data, judges every row of it, and loads all or none.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;

use lotbook_archiver::postgres::reference::{self, Reference, ReferenceRow};
use lotbook_core::date::Date;
use serde_json::{Value, json};

use super::{ArchiveToolError, Job};
use crate::cli::{ExitCode, Table};
use crate::input::{CsvRows, quoted, text};

/// Cells of a row by their column; what is empty is not there.
type Cells = BTreeMap<String, String>;

/// Parts of an identifier that has a CUSIP in it: US and Canada. *Source*: ISO 6166.
const CUSIP_COUNTRIES: [&str; 2] = ["US", "CA"];

impl Job<'_> {
    pub(super) async fn reference(
        &self,
        table: Table,
        file: &Path,
        out: &mut dyn Write,
    ) -> Result<ExitCode, ArchiveToolError> {
        let reference = match table {
            Table::Traders => Reference::Traders,
            Table::Strategies => Reference::Strategies,
            Table::Accounts => Reference::Accounts,
            Table::Securities => Reference::Securities,
        };
        let rows = read(file).and_then(|lines| rows(reference, lines));
        let rows = rows.map_err(|what| ArchiveToolError::Reference { file: file.to_owned(), what })?;
        let mut link = self.checked_link().await?;
        let loaded = reference::load(&mut link, reference, &rows).await.map_err(|source| self.failed(source))?;
        let (place, what) = (self.target.place(), reference.as_str());
        if self.args.json {
            writeln!(out, "{}", json!({ "place": place, "table": what, "rows": loaded }))?;
        } else {
            writeln!(out, "{place}: {loaded} {what}")?;
        }
        Ok(ExitCode::Ok)
    }
}

/// The rows of a file with their lines.
fn read(file: &Path) -> Result<Vec<(u64, Cells)>, String> {
    let reader = BufReader::new(File::open(file).map_err(|error| error.to_string())?);
    if file.extension().is_some_and(|ending| ending == "jsonl") { json_lines(reader) } else { csv(reader) }
}

fn csv(reader: BufReader<File>) -> Result<Vec<(u64, Cells)>, String> {
    let mut rows = CsvRows::new(Box::new(reader));
    let mut header: Vec<String> = Vec::new();
    let mut found = Vec::new();
    while let Some((line, cells)) = rows.next().map_err(|(line, error)| format!("line {line}: {error}"))? {
        if header.is_empty() {
            header = cells.into_iter().map(str::to_owned).collect();
            continue;
        }
        if cells.len() != header.len() {
            return Err(format!("line {line}: {} cells, but the header has {} columns", cells.len(), header.len()));
        }
        let named = header.iter().cloned().zip(cells.into_iter().map(str::to_owned));
        found.push((line, named.filter(|(_, cell)| !cell.is_empty()).collect()));
    }
    Ok(found)
}

fn json_lines(reader: BufReader<File>) -> Result<Vec<(u64, Cells)>, String> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(reader.lines()) {
        let text = text.map_err(|error| format!("line {line}: {error}"))?;
        if text.trim().is_empty() {
            continue;
        }
        let fields: BTreeMap<String, Value> =
            serde_json::from_str(&text).map_err(|error| format!("line {line}: {error}"))?;
        let mut cells = Cells::new();
        for (name, value) in fields {
            match value {
                Value::Null => {}
                Value::String(text) if text.is_empty() => {}
                Value::String(text) => drop(cells.insert(name, text)),
                Value::Bool(is) => drop(cells.insert(name, is.to_string())),
                _ => return Err(format!("line {line}: {name} is no text")),
            }
        }
        found.push((line, cells));
    }
    Ok(found)
}

/// Judged rows; no two of one key and date.
fn rows(reference: Reference, lines: Vec<(u64, Cells)>) -> Result<Vec<ReferenceRow>, String> {
    let mut seen = HashSet::new();
    let mut rows = Vec::with_capacity(lines.len());
    for (line, cells) in lines {
        let row = row(reference, cells).map_err(|what| format!("line {line}: {what}"))?;
        if !seen.insert((row.key.clone(), row.valid_from.clone())) {
            let (key, from) = (quoted(&row.key), &row.valid_from);
            return Err(format!("line {line}: {} {key} from {from} is there twice", reference.key()));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn row(reference: Reference, mut cells: Cells) -> Result<ReferenceRow, String> {
    let mut wanted = |name: &str| cells.remove(name).ok_or_else(|| format!("has no {name}"));
    let (key, valid_from) = (wanted(reference.key())?, wanted("valid_from")?);
    if Date::parse(&valid_from).is_none() {
        return Err(format!("valid_from {} is no date, such as 2026-03-05", quoted(&valid_from)));
    }
    let ended = match cells.remove("ended").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(format!("ended is {}, not true or false", quoted(other))),
    };
    let mut values = [const { None }; 3];
    for (value, column) in values.iter_mut().zip(reference.columns()) {
        *value = cells.remove(*column);
        if let Some(value) = &*value {
            judge(column, value)?;
        }
    }
    if let Some(unknown) = cells.keys().next() {
        return Err(format!("{} have no {}", reference.as_str(), quoted(unknown)));
    }
    if reference.columns()[0] == "name" && values[0].is_none() {
        if !ended {
            return Err("has no name".into());
        }
        values[0] = Some(String::new());
    }
    if let (Reference::Securities, [_, Some(cusip), Some(isin)]) = (reference, &values)
        && CUSIP_COUNTRIES.contains(&&isin[..2])
        && isin[2..11] != **cusip
    {
        return Err(format!("ISIN {isin} is not that of CUSIP {cusip}"));
    }
    Ok(ReferenceRow { key, valid_from, values, ended })
}

/// Identifiers have their form and their check digit: reports with a wrong one are refused.
fn judge(column: &str, value: &str) -> Result<(), String> {
    let (what, good) = match column {
        "mpid" => ("MPID: four letters", value.len() == 4 && value.bytes().all(|byte| byte.is_ascii_uppercase())),
        "cusip" => ("CUSIP with its check digit", text::cusip(value).is_some_and(|bytes| cusip_check(&bytes))),
        "isin" => ("ISIN with its check digit", text::isin(value).is_some_and(|bytes| isin_check(&bytes))),
        _ => return Ok(()),
    };
    if good { Ok(()) } else { Err(format!("{} is no {what}", quoted(value))) }
}

/// Value of a character: digits, then letters, then `*@#`.
fn place(byte: u8) -> u32 {
    match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'Z' => u32::from(byte - b'A') + 10,
        b'*' => 36,
        b'@' => 37,
        _ => 38,
    }
}

/// Modulus 10, every second value doubled. *Source*: ANSI X9.6.
fn cusip_check(bytes: &[u8; 9]) -> bool {
    let sum: u32 = bytes[..8]
        .iter()
        .enumerate()
        .map(|(index, byte)| place(*byte) * (1 + index as u32 % 2))
        .map(|value| value / 10 + value % 10)
        .sum();
    (10 - sum % 10) % 10 == place(bytes[8])
}

/// Letters as two digits, then modulus 10, every second digit doubled from the right. *Source*: ISO 6166.
fn isin_check(bytes: &[u8; 12]) -> bool {
    let mut digits = Vec::with_capacity(24);
    for byte in bytes {
        let value = place(*byte);
        if value > 9 {
            digits.push(value / 10);
        }
        digits.push(value % 10);
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| digit * (1 + index as u32 % 2))
        .map(|value| value / 10 + value % 10)
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(reference: Reference, cells: &[(&str, &str)]) -> Result<ReferenceRow, String> {
        row(reference, cells.iter().map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned())).collect())
    }

    #[test]
    fn identifiers_are_judged_by_their_check_digits() {
        for (column, value, good) in [
            ("cusip", "037833100", true),
            ("cusip", "037833101", false),
            ("cusip", "17275R102", true),
            ("cusip", "68389X105", true),
            ("cusip", "68389X15", false),
            ("isin", "US0378331005", true),
            ("isin", "US0378331006", false),
            ("isin", "DE000BAY0017", true),
            ("isin", "GB0002634946", true),
            ("isin", "us0378331005", false),
            ("mpid", "ABCD", true),
            ("mpid", "ABC1", false),
            ("mpid", "ABCDE", false),
            ("name", "", true),
        ] {
            assert_eq!(judge(column, value).is_ok(), good, "{column} {value}");
        }
    }

    #[test]
    fn rows_say_what_is_wrong_with_them() {
        let traders = Reference::Traders;
        let good = [("trader_id", "T1"), ("valid_from", "2026-01-01"), ("name", "Jo"), ("mpid", "ABCD")];
        let row = judged(traders, &good).expect("a row");
        assert_eq!(row.values, [Some("Jo".into()), Some("ABCD".into()), None]);
        let ended = [("trader_id", "T1"), ("valid_from", "2026-01-01"), ("ended", "true")];
        assert!(judged(traders, &ended).expect("a row").ended, "who is gone needs no name");
        for (cells, words) in [
            (&good[1..], "has no trader_id"),
            (&good[..2], "has no name"),
            (&[("trader_id", "T1"), ("valid_from", "2026-02-30"), ("name", "Jo")], "is no date"),
            (&[("trader_id", "T1"), ("valid_from", "2026-02-03"), ("nmae", "Jo")], "traders have no \"nmae\""),
        ] {
            let error = judged(traders, cells).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
        let apart = [("instrument", "AAPL"), ("valid_from", "2026-01-01"), ("name", "Apple"), ("cusip", "037833100")];
        let apart = [&apart[..], &[("isin", "US5949181045")]].concat();
        let error = judged(Reference::Securities, &apart).expect_err("another security's");
        assert!(error.contains("is not that of CUSIP"), "{error}");
        let twice = |line| (line, good.iter().map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned())).collect());
        assert!(rows(traders, vec![twice(2), twice(3)]).expect_err("twice").contains("line 3"));
    }
}
