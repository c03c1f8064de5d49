//! Walks the files of a run and gives out their lines.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lotbook_core::id::TradeHash;

use super::csv::{CsvFile, Next};
use super::error::{Code, LineError, quoted};
use super::fix_stream::{FixDecoder, Frames};
use super::map::{Filter, Mapping};
use super::source::{self, Framed, LINE_BYTES_MAX, Source};
use super::{Format, Line, Located, jsonl};

/// How files are read.
#[derive(Clone, Debug, Default)]
pub struct InputOptions {
    /// Format of all files; told from name and content where absent.
    pub format: Option<Format>,
    /// More than eight decimals round half to even.
    pub round: bool,
    /// What CSV columns mean.
    pub mapping: Mapping,
    /// CSV rows to take; all must hold.
    pub filters: Vec<Filter>,
}

/// What was read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Files opened.
    pub files: u64,
    /// Lines, rows or messages given out, readable or not.
    pub lines: u64,
    /// CSV rows passed over by `--where`.
    pub filtered: u64,
    /// FIX session messages passed over.
    pub session_messages: u64,
}

/// Iterates over the lines of files, in the order of files and lines.
///
/// Unreadable lines are items too; the caller stops there or goes on (`--skip-bad`). After an error with
/// [`LineError::is_fatal`] nothing more comes from that file. Blocks on the file, and only there.
pub struct Reader {
    files: std::vec::IntoIter<PathBuf>,
    options: InputOptions,
    decoder: Option<FixDecoder>,
    current: Option<Current>,
    file: Arc<str>,
    file_number: u32,
    stats: Stats,
}

enum Current {
    Jsonl(LineFile),
    Csv(Box<CsvFile>),
    Fix(Frames),
}

struct LineFile {
    reader: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
    line: u64,
}

impl Reader {
    /// Takes the files; each is opened when its turn comes. `decoder` reads the messages of FIX files.
    #[must_use]
    pub fn new(files: Vec<PathBuf>, options: InputOptions, decoder: Option<FixDecoder>) -> Self {
        Self {
            files: files.into_iter(),
            options,
            decoder,
            current: None,
            file: Arc::from(""),
            file_number: 0,
            stats: Stats::default(),
        }
    }

    /// What was read so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn located(&self, line: u64, raw_hash: u64, line_result: Result<Line, LineError>) -> Located {
        Located { file: self.file.clone(), file_index: self.file_number - 1, line, raw_hash, line_result }
    }

    /// Opens the next file; an error is given out as an item.
    fn open(&mut self, path: &Path) -> Result<(), (u64, LineError)> {
        self.file = Arc::from(path.to_string_lossy());
        self.file_number += 1;
        self.stats.files += 1;
        let source = source::open(path).map_err(|error| (0, error))?;
        let format = match self.options.format {
            Some(format) => format,
            None => detect(path, &source).map_err(|error| (0, error))?,
        };
        self.current = Some(match format {
            Format::Jsonl => Current::Jsonl(LineFile { reader: source.reader, buffer: Vec::new(), line: 0 }),
            Format::Csv => Current::Csv(Box::new(CsvFile::open(
                source.reader,
                &self.options.mapping,
                &self.options.filters,
                self.file_number,
                self.options.round,
            )?)),
            Format::Fix => Current::Fix(Frames::new(source.reader)),
        });
        Ok(())
    }

    /// One step in the open file: an item, or nothing when the file has ended or a row was passed over.
    fn step(&mut self) -> Option<Located> {
        let (line, raw, result) = match self.current.as_mut()? {
            Current::Jsonl(file) => match file.step(self.options.round) {
                Some(found) => found,
                None => {
                    self.current = None;
                    return None;
                }
            },
            Current::Csv(file) => match file.next() {
                Next::Row { line, raw_hash, result } => (line, raw_hash, result),
                Next::Filtered => {
                    self.stats.filtered += 1;
                    return None;
                }
                Next::End => {
                    self.current = None;
                    return None;
                }
            },
            Current::Fix(frames) => {
                let next = frames.next().map(|frame| {
                    frame.map(|frame| {
                        let raw = frame.as_ref().map_or(0, |bytes| raw_hash(bytes));
                        (raw, frame.map(|bytes| self.decoder.as_mut().and_then(|decode| decode(bytes))))
                    })
                });
                let number = frames.number;
                match next {
                    Ok(None) => {
                        self.current = None;
                        return None;
                    }
                    Ok(Some((_, Ok(None)))) => {
                        self.stats.session_messages += 1;
                        return None;
                    }
                    Ok(Some((raw, Ok(Some(result))))) => (number, raw, result),
                    Ok(Some((raw, Err(error)))) => (number, raw, Err(error)),
                    Err(error) => (number + 1, 0, Err(source::read_error(&error))),
                }
            }
        };
        if matches!(&result, Err(error) if error.is_fatal) {
            self.current = None;
        }
        Some(self.located(line, raw, result))
    }
}

impl Iterator for Reader {
    type Item = Located;

    fn next(&mut self) -> Option<Located> {
        loop {
            let found = if self.current.is_some() {
                self.step()
            } else {
                let path = self.files.next()?;
                self.open(&path).err().map(|(line, error)| {
                    self.current = None;
                    self.located(line, 0, Err(error))
                })
            };
            if found.is_some() {
                self.stats.lines += 1;
                return found;
            }
        }
    }
}

impl LineFile {
    fn step(&mut self, round: bool) -> Option<(u64, u64, Result<Line, LineError>)> {
        loop {
            let framed = source::next_line(&mut *self.reader, &mut self.buffer);
            self.line += 1;
            match framed {
                Err(error) => return Some((self.line, 0, Err(source::read_error(&error)))),
                Ok(Framed::End) => return None,
                Ok(Framed::TooLong) => {
                    let message = format!("has more than {LINE_BYTES_MAX} bytes");
                    return Some((self.line, 0, Err(LineError::line(Code::LineTooLong, message))));
                }
                Ok(Framed::Line) if self.buffer.iter().all(u8::is_ascii_whitespace) => {}
                Ok(Framed::Line) => {
                    let result = jsonl::parse_line(&self.buffer, round);
                    return Some((self.line, raw_hash(&self.buffer), result));
                }
            }
        }
    }
}

/// Hash of raw bytes, for the audit trail: SipHash-1-3 with the product's public key, lower half.
pub(super) fn raw_hash(bytes: &[u8]) -> u64 {
    TradeHash::new(b"", bytes).0 as u64
}

/// Tells the format from the name without `.gz`, else from the first bytes.
fn detect(path: &Path, source: &Source) -> Result<Format, LineError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("jsonl" | "ndjson" | "json") => return Ok(Format::Jsonl),
        Some("csv") => return Ok(Format::Csv),
        Some("fix") => return Ok(Format::Fix),
        _ => {}
    }
    let head = source.head.trim_ascii_start();
    match head {
        // Nothing in it is nothing to read, in any format.
        [] | [b'{', ..] => Ok(Format::Jsonl),
        head if head.starts_with(b"8=FIX") => Ok(Format::Fix),
        _ => Err(LineError::line(
            Code::UnknownFormat,
            "neither the name (.jsonl, .ndjson, .json, .csv, .fix, each also .gz) nor the first bytes tell the \
             format; give --input-format",
        )),
    }
}

/// Reads a rules file: JSON lines of types contract, instrument, business_date and fx only.
///
/// # Errors
/// The first line that cannot be read or has another type.
pub fn read_rules(path: &Path) -> Result<Vec<Located>, Box<Located>> {
    let options = InputOptions { format: Some(Format::Jsonl), ..InputOptions::default() };
    let mut rules = Vec::new();
    for mut located in Reader::new(vec![path.to_owned()], options, None) {
        let other = match &located.line_result {
            Ok(Line::Contract(_) | Line::Instrument(_) | Line::BusinessDate(_) | Line::Fx(_)) => None,
            Ok(Line::Trade(_)) => Some("trade"),
            Ok(Line::Mark(_)) => Some("mark"),
            Ok(Line::Amend(amend)) => Some(amend.kind.as_str()),
            Ok(Line::Resolve(_)) => Some("resolve"),
            Ok(Line::Action(_)) => Some("corporate_action"),
            Ok(Line::PeriodLock(_)) => Some("period_lock"),
            Err(_) => return Err(Box::new(located)),
        };
        if let Some(other) = other {
            let message =
                format!("{} has no place among rules; contract, instrument, business_date and fx have", quoted(other));
            located.line_result = Err(LineError::of("type", Code::UnknownType, message));
            return Err(Box::new(located));
        }
        rules.push(located);
    }
    Ok(rules)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
