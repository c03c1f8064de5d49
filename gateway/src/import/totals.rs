//! Control totals: lots, quantity and cost by instrument, of the files and as they are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lotbook_core::amount::{ONE_E8, parse_e8};
use serde::Serialize;

use crate::cli::ExitCode;
use crate::exit;
use crate::output::E16;

const HEADER: [&str; 4] = ["instrument", "lots", "quantity", "cost"];

/// Why the wanted totals cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TotalsError {
    /// The file.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of it.
    #[error("{}:{line}: {what}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
}

impl TotalsError {
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Io { source, .. } => exit::of_io(source),
            Self::Line { .. } => ExitCode::Unreadable,
        }
    }
}

/// Totals of one instrument. Sums are exact and never leave their range: each term has 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// Opening lots.
    pub lots: u64,
    /// Sum of their quantities with their signs.
    #[serde(serialize_with = "e8")]
    pub quantity_e8: i128,
    /// Sum of their costs.
    #[serde(serialize_with = "e8")]
    pub cost_e8: i128,
}

fn e8<S: serde::Serializer>(value: &i128, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&shown(*value))
}

/// As a decimal.
fn shown(value_e8: i128) -> String {
    // Sums of 64-bit numbers have room for eight more digits.
    E16(value_e8 * i128::from(ONE_E8)).to_string()
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lots, quantity {}, cost {}", self.lots, shown(self.quantity_e8), shown(self.cost_e8))
    }
}

/// Totals by instrument.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals(BTreeMap<String, Total>);

/// An instrument whose totals are not what was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Instrument.
    pub instrument: String,
    /// As it was wanted.
    pub wanted: Total,
    /// As it is in the files.
    pub found: Total,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: wanted {}; found {}", self.instrument, self.wanted, self.found)
    }
}

impl Totals {
    /// Counts one lot in.
    pub fn add(&mut self, instrument: &str, quantity_e8: i64, cost_e8: i64) {
        let total = self.0.entry(instrument.to_owned()).or_default();
        total.lots += 1;
        total.quantity_e8 += i128::from(quantity_e8);
        total.cost_e8 += i128::from(cost_e8);
    }

    /// Reads wanted totals: a CSV file with the header `instrument,lots,quantity,cost`.
    ///
    /// # Errors
    /// [`TotalsError`] names file and line.
    pub fn load(path: &Path) -> Result<Self, TotalsError> {
        let text = fs::read_to_string(path).map_err(|source| TotalsError::Io { path: path.into(), source })?;
        let mut totals = Self::default();
        for (at, row) in text.lines().enumerate() {
            let failed = |what| TotalsError::Line { path: path.into(), line: at + 1, what };
            let cells: Vec<&str> = row.split(',').map(str::trim).collect();
            let &[instrument, lots, quantity, cost] = &cells[..] else {
                if row.trim().is_empty() {
                    continue;
                }
                return Err(failed("four cells are wanted: instrument, lots, quantity, cost"));
            };
            if at == 0 {
                if [instrument, lots, quantity, cost] != HEADER {
                    return Err(failed("the header is not instrument,lots,quantity,cost"));
                }
                continue;
            }
            let number = |text| parse_wide(text).ok_or_else(|| failed("not a decimal with at most eight decimals"));
            let total = Total {
                lots: lots.parse().map_err(|_| failed("lots is not a whole number"))?,
                quantity_e8: number(quantity)?,
                cost_e8: number(cost)?,
            };
            if totals.0.insert(instrument.to_owned(), total).is_some() {
                return Err(failed("an instrument that stands twice"));
            }
        }
        Ok(totals)
    }

    /// Where these differ from what was wanted; an instrument that stands on one side only differs.
    #[must_use]
    pub fn differences(&self, wanted: &Self) -> Vec<Difference> {
        let instruments: BTreeSet<&String> = self.0.keys().chain(wanted.0.keys()).collect();
        let of = |totals: &Self, instrument: &String| totals.0.get(instrument).copied().unwrap_or_default();
        let pairs = instruments.into_iter().map(|instrument| Difference {
            instrument: instrument.clone(),
            wanted: of(wanted, instrument),
            found: of(self, instrument),
        });
        pairs.filter(|pair| pair.wanted != pair.found).collect()
    }

    /// As a table, in the form that [`Self::load`] reads.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", HEADER.join(","))?;
        for (instrument, total) in &self.0 {
            writeln!(out, "{instrument},{},{},{}", total.lots, shown(total.quantity_e8), shown(total.cost_e8))?;
        }
        Ok(())
    }
}

/// A decimal with at most eight decimals, of any size that sums may have.
fn parse_wide(text: &str) -> Option<i128> {
    if let Ok(value) = parse_e8(text, false) {
        return Some(value.into());
    }
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 22 || part.len() > 8 || !all_digits(whole) || !all_digits(part) {
        return None;
    }
    let value: i128 = format!("{whole}{part:0<8}").parse().ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Totals, String> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("totals.csv");
        fs::write(&path, text).expect("a file");
        Totals::load(&path).map_err(|error| error.to_string().rsplit_once("totals.csv").expect("its name").1.to_owned())
    }

    #[test]
    fn what_is_written_is_read() {
        let mut totals = Totals::default();
        totals.add("B", -150_000_000, 700_000_000);
        totals.add("A", i64::MAX, i64::MAX);
        totals.add("A", i64::MAX, 1);
        let mut text = Vec::new();
        totals.write(&mut text).expect("memory");
        let text = String::from_utf8(text).expect("text");
        assert_eq!(text, "instrument,lots,quantity,cost\nA,2,184467440737.09551614,92233720368.54775808\nB,1,-1.5,7\n");
        assert_eq!(load(&text), Ok(totals.clone()));
        assert_eq!(totals.differences(&totals), []);
    }

    #[test]
    fn what_differs_is_named() {
        let mut found = Totals::default();
        found.add("A", 100_000_000, 1_000_000_000);
        found.add("C", 100_000_000, 0);
        let wanted = load("instrument,lots,quantity,cost\nA,1,1,10.5\n\nB, 2, 3, 4\nC,1,1,0\n").expect("totals");
        let told: Vec<String> = found.differences(&wanted).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "A: wanted 1 lots, quantity 1, cost 10.5; found 1 lots, quantity 1, cost 10",
                "B: wanted 2 lots, quantity 3, cost 4; found 0 lots, quantity 0, cost 0",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, want) in [
            ("instrument,lots,quantity\n", ":1: four cells are wanted: instrument, lots, quantity, cost"),
            ("a,b,c,d\n", ":1: the header is not instrument,lots,quantity,cost"),
            ("instrument,lots,quantity,cost\nA,x,1,1\n", ":2: lots is not a whole number"),
            ("instrument,lots,quantity,cost\nA,1,1e5,1\n", ":2: not a decimal with at most eight decimals"),
            ("instrument,lots,quantity,cost\nA,1,1,.\n", ":2: not a decimal with at most eight decimals"),
            ("instrument,lots,quantity,cost\nA,1,1,1\nA,1,1,1\n", ":3: an instrument that stands twice"),
        ] {
            assert_eq!(load(text), Err(want.to_owned()), "{text}");
        }
    }
}
