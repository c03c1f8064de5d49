//! Recorded trades as a load: times, symbols, prices, quantities and, where the file tells them, sides.
//!
//! Three forms of comma-separated files are known by their first line, plain or compressed by gzip: exchange prints (`TIME_UTC`, `SYMBOL`, `SIZE`,
//! `PRICE`, `CORR`; corrected prints are passed over), trades of a crypto exchange (`timestamp`, `price`, `quantity`, `buyer_maker`), and fills of
//! an account (`amount` with its sign, `price`, `symbol`, a date in the first column). No field of these files holds a comma or a quote.

use crate::limits;
use jiff::Timestamp;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// One recorded trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// From the first trade.
    pub offset_ns: u64,
    /// Quantity at 10^-8, above zero.
    pub quantity_e8: i64,
    /// Price at 10^-8, above zero; what has more decimals is rounded half up.
    pub price_e8: i64,
    /// Index of the symbol.
    pub symbol: u16,
    /// Whether it bought, where the file tells.
    pub buy: Option<bool>,
}

/// A recorded file, in the order of its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tape {
    /// The file's name, without its folder.
    pub name: String,
    /// Its symbols, in the order of their first trade.
    pub symbols: Vec<String>,
    /// Its trades.
    pub rows: Vec<Row>,
}

/// Why a file is no tape.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// It cannot be read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// Its first line names none of the known forms.
    #[error("{file}: the first line names none of the known forms: {header}")]
    Form {
        /// The file.
        file: String,
        /// Its first line.
        header: String,
    },
    /// A line cannot be read.
    #[error("{file}, line {line}: {what}")]
    Line {
        /// The file.
        file: String,
        /// Number, from 1.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// It has no trade, or more of something than fits.
    #[error("{file}: {what}")]
    Size {
        /// The file.
        file: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// Where the fields of a form are: column names.
struct Form {
    time: &'static str,
    symbol: Option<&'static str>,
    quantity: &'static str,
    price: &'static str,
    /// `true` where the buyer was there first, so that the trade was a sale.
    maker: Option<&'static str>,
    /// The quantity's sign is the side.
    signed: bool,
    /// Taken only where this column is 0.
    correction: Option<&'static str>,
}

const FORMS: [Form; 3] = [
    Form {
        time: "TIME_UTC",
        symbol: Some("SYMBOL"),
        quantity: "SIZE",
        price: "PRICE",
        maker: None,
        signed: false,
        correction: Some("CORR"),
    },
    Form {
        time: "timestamp",
        symbol: None,
        quantity: "quantity",
        price: "price",
        maker: Some("buyer_maker"),
        signed: false,
        correction: None,
    },
    Form {
        time: "",
        symbol: Some("symbol"),
        quantity: "amount",
        price: "price",
        maker: None,
        signed: true,
        correction: None,
    },
];

/// The symbol where a file has one only and does not name it.
const SOLE_SYMBOL: &str = "SOLE";

impl Tape {
    /// Reads a file, decompressing it where its name ends in `.gz`. Blocks.
    pub fn read(path: &Path) -> Result<Self, TapeError> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let failed = |source| TapeError::Io { file: path.display().to_string(), source };
        let open = File::open(path).map_err(failed)?;
        let bytes: Box<dyn Read> = match path.extension().is_some_and(|ending| ending == "gz") {
            true => Box::new(flate2::read::GzDecoder::new(open)),
            false => Box::new(open),
        };
        Self::parse(&file, BufReader::new(bytes))
    }

    /// Reads the lines of a file called `file`.
    pub fn parse(file: &str, lines: impl BufRead) -> Result<Self, TapeError> {
        let failed = |source| TapeError::Io { file: file.to_owned(), source };
        let mut lines = lines.lines();
        let header = lines.next().transpose().map_err(failed)?.unwrap_or_default();
        let columns: Vec<&str> = header.split(',').collect();
        let unknown = || TapeError::Form { file: file.to_owned(), header: header.clone() };
        let (form, places) =
            FORMS.iter().find_map(|form| Some((form, Places::find(form, &columns)?))).ok_or_else(unknown)?;
        let mut tape = Self { name: file.to_owned(), symbols: Vec::new(), rows: Vec::new() };
        let mut numbers = HashMap::new();
        let mut times = Vec::new();
        for (number, line) in (2..).zip(lines) {
            let line = line.map_err(failed)?;
            let wrong = |what| TapeError::Line { file: file.to_owned(), line: number, what };
            let Some((at_ns, symbol, row)) = places.row(form, &line).map_err(wrong)? else { continue };
            let next = numbers.len() as u16;
            let size = |what| TapeError::Size { file: file.to_owned(), what };
            let index = *numbers.entry(symbol.to_owned()).or_insert_with(|| {
                tape.symbols.push(symbol.to_owned());
                next
            });
            if numbers.len() > limits::INSTRUMENTS_MAX as usize {
                return Err(size("too many symbols"));
            }
            if times.len() as u64 == limits::MESSAGES_MAX {
                return Err(size("too many trades"));
            }
            times.push((at_ns, Row { symbol: index, ..row }));
        }
        // Stable: what has the same time keeps the file's order.
        times.sort_by_key(|(at_ns, _)| *at_ns);
        let Some(&(first, _)) = times.first() else {
            return Err(TapeError::Size { file: file.to_owned(), what: "it has no trade" });
        };
        tape.rows = times.into_iter().map(|(at_ns, row)| Row { offset_ns: (at_ns - first) as u64, ..row }).collect();
        Ok(tape)
    }

    /// When trade `index` is due in a run of this length: its place in the file, stretched.
    pub fn due_ns(&self, index: u64, length_ns: u64) -> u64 {
        let last = self.rows.last().map_or(0, |row| row.offset_ns);
        let offset = self.rows[index as usize].offset_ns;
        // The last trade lies inside the run.
        (u128::from(offset) * u128::from(length_ns.saturating_sub(1)) / u128::from(last.max(1))) as u64
    }
}

struct Places {
    time: usize,
    symbol: Option<usize>,
    quantity: usize,
    price: usize,
    maker: Option<usize>,
    correction: Option<usize>,
}

impl Places {
    fn find(form: &Form, columns: &[&str]) -> Option<Self> {
        let at = |name: &str| columns.iter().position(|column| column.trim() == name);
        let optional = |name: Option<&str>| name.map_or(Some(None), |name| at(name).map(Some));
        Some(Self {
            time: at(form.time)?,
            symbol: optional(form.symbol)?,
            quantity: at(form.quantity)?,
            price: at(form.price)?,
            maker: optional(form.maker)?,
            correction: optional(form.correction)?,
        })
    }

    /// Time, symbol and trade of a line; none where it is to be passed over.
    fn row<'a>(&self, form: &Form, line: &'a str) -> Result<Option<(i64, &'a str, Row)>, &'static str> {
        let fields: Vec<&str> = line.split(',').collect();
        let field = |at: usize| fields.get(at).map(|field| field.trim()).ok_or("a column is missing");
        if let Some(at) = self.correction
            && field(at)? != "0"
        {
            return Ok(None);
        }
        let at: Timestamp = field(self.time)?.parse().map_err(|_| "the time cannot be read")?;
        let at_ns = i64::try_from(at.as_nanosecond()).map_err(|_| "the time is out of range")?;
        let quantity = amount_e8(field(self.quantity)?).ok_or("the quantity cannot be read")?;
        let price_e8 = amount_e8(field(self.price)?).ok_or("the price cannot be read")?;
        if quantity == 0 || price_e8 <= 0 {
            return Ok(None);
        }
        let buy = match (form.signed, self.maker) {
            (true, _) => Some(quantity > 0),
            (false, Some(at)) => Some(!field(at)?.eq_ignore_ascii_case("true")),
            (false, None) => None,
        };
        let symbol = self.symbol.map_or(Ok(SOLE_SYMBOL), field)?;
        Ok(Some((at_ns, symbol, Row { offset_ns: 0, quantity_e8: quantity.abs(), price_e8, symbol: 0, buy })))
    }
}

/// A decimal number at 10^-8; half of the last place goes up.
fn amount_e8(text: &str) -> Option<i64> {
    // Small ones are written as `2e-06`.
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0i128;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    let places = 8 - i32::try_from(fraction.len()).ok()? + exponent;
    let power = 10i128.checked_pow(places.unsigned_abs());
    let value = if places >= 0 {
        value.checked_mul(power?)?
    } else {
        // Half away from zero; what is divided by more than any number is nothing.
        power.map_or(0, |power| (value + power / 2) / power)
    };
    i64::try_from(if negative { -value } else { value }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn tape(text: &str) -> Tape {
        Tape::parse("t.csv", text.as_bytes()).unwrap()
    }

    #[test]
    fn exchange_prints() {
        let tape = tape(
            "TIME_UTC,EX,SYMBOL,COND,SIZE,PRICE,CORR\n\
             2018-01-02T10:01:21.479000Z,P,XXX,FTI,2,157.8,0\n\
             2018-01-02T10:01:20Z,P,YYY,T,130,158.05,0\n\
             2018-01-02T12:11:54.066000Z,P,XXX,T,130,158.0,1\n",
        );
        let row =
            |offset_ns, symbol, quantity_e8, price_e8| Row { offset_ns, quantity_e8, price_e8, symbol, buy: None };
        assert_eq!(tape.symbols, ["XXX", "YYY"]);
        // In the order of their times; the corrected print is not there.
        assert_eq!(
            tape.rows,
            [row(0, 1, 13_000_000_000, 15_805_000_000), row(1_479_000_000, 0, 200_000_000, 15_780_000_000)]
        );
        assert_eq!((tape.due_ns(0, 1_000), tape.due_ns(1, 1_000)), (0, 999));
    }

    #[test]
    fn trades_with_a_maker_and_fills_with_a_sign() {
        let maker = tape(
            "timestamp,trade_id,price,quantity,buyer_maker\n2021-01-08 00:00:00.278+00:00,5,39432.48,0.000263,True\n",
        );
        assert_eq!((maker.rows[0].quantity_e8, maker.rows[0].buy), (26_300, Some(false)));
        assert_eq!(maker.symbols, [SOLE_SYMBOL]);
        let fills = tape(
            ",amount,price,sid,symbol,txn_dollars\n2004-01-09 00:00:00+00:00,-4357,4.823750000051,1,CERN,-21017\n",
        );
        assert_eq!((fills.rows[0].quantity_e8, fills.rows[0].buy), (435_700_000_000, Some(false)));
        assert_eq!(fills.rows[0].price_e8, 482_375_000);
    }

    #[test]
    fn what_is_wrong_is_named_by_line() {
        let wrong = |text: &str| Tape::parse("t.csv", text.as_bytes()).unwrap_err().to_string();
        assert_eq!(wrong("a,b\n"), "t.csv: the first line names none of the known forms: a,b");
        let header = "timestamp,trade_id,price,quantity,buyer_maker\n";
        assert_eq!(wrong(header), "t.csv: it has no trade");
        assert_eq!(wrong(&format!("{header}now,1,2,3,True\n")), "t.csv, line 2: the time cannot be read");
        assert_eq!(
            wrong(&format!("{header}2021-01-08T00:00:00Z,1,x,3,True\n")),
            "t.csv, line 2: the price cannot be read"
        );
        assert_eq!(wrong(&format!("{header}2021-01-08T00:00:00Z,1\n")), "t.csv, line 2: a column is missing");
    }

    #[test]
    fn amounts() {
        for (text, value) in [
            ("2e-06", Some(200)),
            ("1.25E+2", Some(12_500_000_000)),
            ("-5e-9", Some(-1)),
            ("4e-9", Some(0)),
            ("1e-90", Some(0)),
            ("1e90", None),
            ("1e", None),
            ("1", Some(100_000_000)),
            ("-0.5", Some(-50_000_000)),
            (".25", Some(25_000_000)),
            ("0.000000005", Some(1)),
            ("1e5", Some(10_000_000_000_000)),
            ("", None),
            ("1.2x", None),
            ("99999999999999", None),
        ] {
            assert_eq!(amount_e8(text), value, "{text}");
        }
    }
}
