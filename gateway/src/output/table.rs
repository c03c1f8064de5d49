//! Tables for people: positions with their lots, what was refused, counts.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use super::{LotSide, Outcome, PositionRow, Reconciliation, ReplayDocument};

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// Plain text.
    Off,
    /// ANSI colours.
    On,
}

impl Colours {
    /// On when the output is a terminal and `NO_COLOR` is unset or empty (no-color.org).
    #[must_use]
    pub fn for_output(out: &impl IsTerminal) -> Self {
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if out.is_terminal() && !is_refused { Self::On } else { Self::Off }
    }

    fn paint(self, colour: &str, text: &str) -> String {
        match self {
            Self::On if !text.is_empty() => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const DIM: &str = "2";
const BOLD: &str = "1";

/// Most rows of a kind that are listed one by one.
const LISTED_MAX: usize = 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// A cell and its colour, which takes no width.
type Cell = (String, Option<&'static str>);

struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    fn write(&self, out: &mut impl Write, colours: Colours) -> io::Result<()> {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|i| self.rows.iter().map(|row| row[i].0.len()).chain([self.columns[i].0.len()]).max().unwrap_or(0))
            .collect();
        let header: Vec<Cell> = self.columns.iter().map(|(name, _)| ((*name).to_owned(), Some(BOLD))).collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for (i, (text, colour)) in row.iter().enumerate() {
                let padding = " ".repeat(widths[i] - text.len());
                let shown = colour.map_or_else(|| text.clone(), |colour| colours.paint(colour, text));
                line.push_str(if i == 0 { "" } else { "  " });
                match self.columns[i].1 {
                    Align::Left => line.extend([&*shown, &*padding]),
                    Align::Right => line.extend([&*padding, &*shown]),
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes the book as aligned text. Names are printable ASCII by the doors' rules, so widths are bytes.
///
/// # Errors
/// Those of the writer.
pub fn write_table(document: &ReplayDocument, colours: Colours, out: impl Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    if !document.positions.is_empty() {
        positions(document).write(&mut out, colours)?;
        writeln!(out)?;
    }
    for row in document.wash.iter().take(LISTED_MAX) {
        let (account, instrument) = (&row.account, &row.instrument);
        let (disallowed, carried, realized) = (row.disallowed, row.carried, row.realized_pnl);
        writeln!(
            out,
            "wash sales of {account} {instrument}: {disallowed} disallowed, {carried} carried; realized as adjusted {realized}"
        )?;
    }
    more(document.wash.len(), "positions with wash sales", &mut out)?;
    refused(document, colours, &mut out)?;
    for row in document.skipped.iter().take(LISTED_MAX) {
        let field = row.field.as_ref().map_or_else(String::new, |field| format!("{field}: "));
        let code = colours.paint(YELLOW, row.code);
        writeln!(out, "skipped {}:{}: {code}: {field}{}", row.file, row.line, row.message)?;
    }
    more(document.skipped.len(), "skipped lines", &mut out)?;
    counts(document, &mut out)?;
    out.flush()
}

fn positions(document: &ReplayDocument) -> Table {
    let columns = vec![
        ("account", Align::Left),
        ("instrument", Align::Left),
        ("quantity", Align::Right),
        ("average cost", Align::Right),
        ("realized", Align::Right),
        ("unrealized", Align::Right),
        ("mark", Align::Right),
        ("status", Align::Left),
    ];
    let mut rows = Vec::new();
    for position in &document.positions {
        rows.push(position_cells(position));
        for lot in &position.lots {
            let sign = if lot.side == LotSide::Short { "-" } else { "" };
            let cells = [
                String::new(),
                format!("  lot {}", lot.trade_id),
                format!("{sign}{}", lot.quantity),
                lot.price.to_string(),
                String::new(),
                String::new(),
                String::new(),
                format!("cost {} of {}", lot.cost, lot.acquired),
            ];
            rows.push(cells.map(|text| (text, Some(DIM))).into());
        }
    }
    Table { columns, rows }
}

fn position_cells(position: &PositionRow) -> Vec<Cell> {
    let (status, colour) = match position.reconciliation_status {
        Reconciliation::Reconciled if position.resolution.is_some() => {
            (format!("reconciled ({} breaks resolved)", position.breaks.len()), Some(YELLOW))
        }
        Reconciliation::Reconciled => ("reconciled".to_owned(), None),
        Reconciliation::Provisional => {
            (format!("PROVISIONAL ({} late)", position.provisional_trade_ids.len()), Some(YELLOW))
        }
        Reconciliation::Pending => (format!("PENDING ({} breaks)", position.breaks.len()), Some(RED)),
    };
    let signed = |text: String| {
        let colour = if text.starts_with('-') { RED } else { GREEN };
        let is_zero = text == "0";
        (text, (!is_zero).then_some(colour))
    };
    let mark = position.mark.as_ref().map_or_else(|| "-".to_owned(), |m| format!("{} {}", m.price, m.source));
    vec![
        (position.account.clone(), None),
        (position.instrument.clone(), None),
        (position.quantity.to_string(), None),
        (position.average_cost.to_string(), None),
        signed(position.realized_pnl.to_string()),
        position.unrealized_pnl.map_or_else(|| ("?".to_owned(), None), |pnl| signed(pnl.to_string())),
        (mark, None),
        (status, colour),
    ]
}

/// Refusals by reason: a thousand of one kind are one line.
fn refused(document: &ReplayDocument, colours: Colours, out: &mut impl Write) -> io::Result<()> {
    let mut by_reason: BTreeMap<&str, (u64, String)> = BTreeMap::new();
    for trade in document.trades.iter().filter(|t| t.outcome == Outcome::Rejected) {
        let first = || (0, format!("{} at {}:{}", trade.trade_id, trade.file, trade.line));
        by_reason.entry(trade.reason.unwrap_or("")).or_insert_with(first).0 += 1;
    }
    for (reason, (count, first)) in by_reason {
        writeln!(out, "rejected {count} {}, the first {first}", colours.paint(RED, reason))?;
    }
    Ok(())
}

fn more(len: usize, what: &str, out: &mut impl Write) -> io::Result<()> {
    if len > LISTED_MAX {
        writeln!(out, "... and {} more {what}; --json lists all", len - LISTED_MAX)?;
    }
    Ok(())
}

fn counts(document: &ReplayDocument, out: &mut impl Write) -> io::Result<()> {
    let c = &document.counts;
    let amendments = if c.amendments == 0 { String::new() } else { format!(" ({} amendments)", c.amendments) };
    write!(
        out,
        "{} trades{amendments}: {} applied, {} provisional, {} duplicate",
        c.trades, c.applied, c.provisional, c.duplicate
    )?;
    writeln!(out, ", {} rejected, {} held", c.rejected, c.held)?;
    writeln!(
        out,
        "{} lines read, {} skipped, {} filtered; {} positions, {} lots, {} corrections",
        c.lines, c.skipped, c.filtered, c.positions, c.lots, c.corrections
    )
}
