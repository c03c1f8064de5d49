//! CSV by RFC 4180: a header row, then one trade a row.

use std::io::BufRead;

use csv_core::ReadRecordResult;

use super::Line;
use super::error::{Code, LineError};
use super::map::{Filter, Mapping, Plan, Row};
use super::source::{Framed, LINE_BYTES_MAX, as_text, next_line, read_error};

/// One row of a file.
#[allow(clippy::large_enum_variant, reason = "one at a time, taken apart at once")]
pub(super) enum Next {
    /// A row, at its first line, with the hash of its cells.
    Row { line: u64, raw_hash: u64, result: Result<Line, LineError> },
    /// A row that `--where` passes over.
    Filtered,
    /// Nothing follows.
    End,
}

/// Reads the rows of one file.
pub(super) struct CsvFile {
    records: Records,
    columns: usize,
    plan: Plan,
    filters: Vec<(usize, String)>,
    file_number: u32,
    round: bool,
}

impl CsvFile {
    /// Reads the header and finds the columns of the mapping. Errors come with their line.
    pub(super) fn open(
        reader: Box<dyn BufRead + Send>,
        mapping: &Mapping,
        filters: &[Filter],
        file_number: u32,
        round: bool,
    ) -> Result<Self, (u64, LineError)> {
        let mut records = Records::new(reader);
        match records.next() {
            Ok(true) => {}
            Ok(false) => return Err((0, LineError::line(Code::NoHeader, "is empty; a header row is wanted"))),
            Err(error) => return Err((records.line, error.fatal())),
        }
        let line = records.line;
        let header: Vec<String> =
            records.cells().map_err(|e| (line, e.fatal()))?.into_iter().map(str::to_owned).collect();
        let plan = mapping.plan(&header).map_err(|e| (line, e))?;
        let filters = filters
            .iter()
            .map(|filter| filter.find(&header).map(|(column, value)| (column, value.to_owned())))
            .collect::<Result<_, _>>()
            .map_err(|e| (line, e))?;
        Ok(Self { records, columns: header.len(), plan, filters, file_number, round })
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Next {
        let found = self.records.next();
        let line = self.records.line;
        match found {
            Ok(false) => return Next::End,
            Err(error) => return Next::Row { line, raw_hash: 0, result: Err(error) },
            Ok(true) => {}
        }
        let raw_hash = super::reader::raw_hash(self.records.bytes());
        let cells = match self.records.cells() {
            Ok(cells) if cells.len() == self.columns => cells,
            Ok(cells) => {
                let message = format!("{} cells, but the header has {} columns", cells.len(), self.columns);
                return Next::Row { line, raw_hash, result: Err(LineError::line(Code::MalformedCsv, message)) };
            }
            Err(error) => return Next::Row { line, raw_hash, result: Err(error) },
        };
        if self.filters.iter().any(|(column, value)| cells[*column] != value) {
            return Next::Filtered;
        }
        let row = Row { cells: &cells, line, file_number: self.file_number };
        let result = self.plan.object(&row).and_then(|object| object.into_line(self.round));
        Next::Row { line, raw_hash, result }
    }
}

/// Something, or what is wrong with the line of that number.
pub(crate) type Numbered<T> = Result<T, (u64, LineError)>;

/// The rows of a file as they are, the header among them.
pub(crate) struct CsvRows(Records);

impl CsvRows {
    /// Of a file.
    #[must_use]
    pub(crate) fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self(Records::new(reader))
    }

    /// The next row with its first line; `None` at the end.
    ///
    /// # Errors
    /// What is wrong, with its line.
    #[allow(clippy::should_implement_trait, reason = "a row is lent until the next one is read")]
    pub(crate) fn next(&mut self) -> Numbered<Option<(u64, Vec<&str>)>> {
        let found = self.0.next();
        let line = self.0.line;
        match found {
            Ok(false) => Ok(None),
            Ok(true) => self.0.cells().map(|cells| Some((line, cells))).map_err(|error| (line, error)),
            Err(error) => Err((line, error)),
        }
    }
}

/// Splits bounded lines into records: a quoted cell may span lines.
///
/// `csv_core` is fed line by line instead of letting `csv` read ahead: so the line numbers are those of
/// an editor, also after blank lines, and a quote that is never closed cannot fill the memory.
struct Records {
    reader: Box<dyn BufRead + Send>,
    parser: csv_core::Reader,
    physical: Vec<u8>,
    cells: Vec<u8>,
    ends: Vec<usize>,
    ends_len: usize,
    /// First line of the current record.
    line: u64,
    lines_read: u64,
}

impl Records {
    fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self {
            reader,
            parser: csv_core::Reader::new(),
            physical: Vec::new(),
            cells: Vec::new(),
            ends: vec![0; 64],
            ends_len: 0,
            line: 0,
            lines_read: 0,
        }
    }

    fn next(&mut self) -> Result<bool, LineError> {
        self.parser.reset();
        self.ends_len = 0;
        let mut cells_len = 0;
        let mut record_bytes = 0;
        loop {
            let framed = next_line(&mut *self.reader, &mut self.physical).map_err(|e| {
                self.line = self.lines_read + 1;
                read_error(&e)
            })?;
            let is_first = record_bytes == 0;
            if framed == Framed::End {
                if is_first {
                    return Ok(false);
                }
                return Err(unclosed());
            }
            self.lines_read += 1;
            if is_first {
                self.line = self.lines_read;
                if framed == Framed::Line && self.physical.is_empty() {
                    continue;
                }
            }
            record_bytes += self.physical.len() + 1;
            if framed == Framed::TooLong {
                let error = LineError::line(Code::LineTooLong, format!("has more than {LINE_BYTES_MAX} bytes"));
                return Err(if is_first { error } else { error.fatal() });
            }
            if record_bytes > LINE_BYTES_MAX {
                return Err(unclosed());
            }
            self.physical.push(b'\n');
            if self.cells.len() < record_bytes {
                self.cells.resize(record_bytes, 0);
            }
            let mut fed = 0;
            loop {
                let (result, read, wrote, ended) = self.parser.read_record(
                    &self.physical[fed..],
                    &mut self.cells[cells_len..],
                    &mut self.ends[self.ends_len..],
                );
                fed += read;
                cells_len += wrote;
                self.ends_len += ended;
                match result {
                    ReadRecordResult::Record => return Ok(true),
                    ReadRecordResult::InputEmpty | ReadRecordResult::End => break,
                    ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                    ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2, 0),
                }
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.cells[..self.ends[..self.ends_len].last().copied().unwrap_or(0)]
    }

    fn cells(&self) -> Result<Vec<&str>, LineError> {
        let mut start = 0;
        self.ends[..self.ends_len]
            .iter()
            .map(|end| {
                let cell = as_text(&self.cells[start..*end]);
                start = *end;
                cell
            })
            .collect()
    }
}

/// Fatal: what follows cannot be told apart from the cell.
fn unclosed() -> LineError {
    LineError::line(Code::MalformedCsv, "opens a quote that is never closed").fatal()
}
