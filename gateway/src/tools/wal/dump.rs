//! `lotbook wal dump`: records as JSON lines, with filters.
//!
//! The lines are those of [`lotbook_archiver::json`]; they are JSON with and without `--json`. Names
//! are learned from the definitions in the log, so filters by name need the log's start; what
//! retention has removed shows as numbers. A position's history is walked along its back-links where
//! a checkpoint says where it ends.

use std::io::Write;

use lotbook_archiver::LearnedNames;
use lotbook_archiver::json::{Content, KIND_OUTCOME_BODY, Line, to_line};
use lotbook_archiver::names::Names;
use lotbook_core::codec::Decoder;
use lotbook_core::command::NameClass;
use lotbook_core::event::Event;
use lotbook_core::outcome::Outcome;
use lotbook_wal::{ReadOnlyLog, RecordBuffer, RecordHeader};

use super::history::{self, History};
use super::{Steps, Target, WalError, failed, open, targets};
use crate::cli::{ExitCode, PositionName, WalDumpArgs};
use crate::event::{correlation_of, kind_word, occurred_at_ns, position_of};

pub(super) fn run(args: &WalDumpArgs, out: &mut dyn Write) -> Result<ExitCode, WalError> {
    // Of a data directory the main log; the side log is a directory of its own to ask for.
    let Some(target) = targets(&args.log.dir).into_iter().next() else { return Ok(ExitCode::Ok) };
    let mut log = open(&args.log, &target)?;
    let filter = Filter::of(args);
    if let Some(position) = args.position.as_ref().filter(|_| !args.scan) {
        if let Some(history) = history::of(&mut log, &target, args, position)? {
            return print_history(&mut log, &target, &filter, &history, out);
        }
        tracing::info!("no checkpoint can be used: every record is read to find those of the position");
        log.rewind();
    }
    scan(&mut log, &target, &filter, out)
}

/// Oldest first, as a scan would print them.
fn print_history(
    log: &mut ReadOnlyLog,
    target: &Target,
    filter: &Filter<'_>,
    history: &History,
    out: &mut dyn Write,
) -> Result<ExitCode, WalError> {
    let mut buffer = RecordBuffer::new();
    let mut decoder = Decoder::new();
    for address in history.addresses.iter().rev() {
        log.read_at(*address, &mut buffer).map_err(|source| WalError::Record { dir: target.dir.clone(), source })?;
        let record = buffer.record();
        match decoder.decode(record.header.kind, record.header.version, record.payload) {
            Ok(event) if filter.takes_event(&record.header, &event) => {
                line(&record.header, Content::Event(&event), &history.names, out)?;
            }
            Ok(_) => {}
            Err(error) => {
                let content = Content::Unreadable(record.payload, &error.to_string());
                line(&record.header, content, &history.names, out)?;
            }
        }
    }
    Ok(ExitCode::Ok)
}

fn line<N: Names>(header: &RecordHeader, content: Content<'_>, names: &N, out: &mut dyn Write) -> Result<(), WalError> {
    Ok(to_line(&Line { header, content, names }, out)?)
}

fn scan(
    log: &mut ReadOnlyLog,
    target: &Target,
    filter: &Filter<'_>,
    out: &mut dyn Write,
) -> Result<ExitCode, WalError> {
    let mut steps = Steps::over(log, "reading", target)?;
    let mut names = LearnedNames::new();
    let mut decoder = Decoder::new();
    let mut bodies = Bodies::default();
    while let Some(record) = log.next().map_err(|source| failed(target, source))? {
        let header = record.header;
        if header.sequence > filter.to {
            return Ok(ExitCode::Ok);
        }
        steps.at(&header);
        if header.is_internal() {
            if filter.takes_others(&header) {
                line(&header, Content::Internal(record.payload), &names, out)?;
            }
            continue;
        }
        if header.kind == KIND_OUTCOME_BODY {
            let Some((first, body)) = bodies.add(header, record.payload) else { continue };
            if !filter.takes_others(&first) {
                continue;
            }
            let outcome = Outcome::decode(&body);
            let content = match &outcome {
                Ok(outcome) => Content::Outcome(outcome),
                Err(_) => Content::Unreadable(&body, "not a body of an outcome"),
            };
            line(&first, content, &names, out)?;
            continue;
        }
        match decoder.decode(header.kind, header.version, record.payload) {
            Ok(event) => {
                names.learn(&event);
                if filter.takes(&header, &event, &names) {
                    line(&header, Content::Event(&event), &names, out)?;
                }
            }
            Err(error) if filter.takes_others(&header) => {
                let content = Content::Unreadable(record.payload, &error.to_string());
                line(&header, content, &names, out)?;
            }
            Err(_) => {}
        }
    }
    out.flush()?;
    // Asked for no more than there is, a log that ends early has given everything.
    match steps.finish() {
        Err(WalError::EndsEarly { last, .. }) if last >= filter.to => Ok(ExitCode::Ok),
        other => other.map(|()| ExitCode::Ok),
    }
}

/// Puts bodies together from their records.
#[derive(Default)]
struct Bodies {
    open: Option<(RecordHeader, Vec<u8>)>,
}

impl Bodies {
    /// The body that this record completes, with the header of its first record.
    fn add(&mut self, header: RecordHeader, payload: &[u8]) -> Option<(RecordHeader, Vec<u8>)> {
        let (first, mut bytes) = self.open.take().unwrap_or((header, Vec::new()));
        bytes.extend_from_slice(payload);
        if header.group().continues() {
            self.open = Some((first, bytes));
            return None;
        }
        Some((first, bytes))
    }
}

/// What is printed: all conditions hold.
struct Filter<'a> {
    from: u64,
    to: u64,
    /// Nanoseconds since 1970: from the first on, before the second.
    times: Option<(i64, i64)>,
    kinds: &'a [String],
    position: Option<&'a PositionName>,
    correlation: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn of(args: &'a WalDumpArgs) -> Self {
        let timed = args.from_time.is_some() || args.to_time.is_some();
        Self {
            from: args.from_sequence.unwrap_or(0),
            to: args.to_sequence.unwrap_or(u64::MAX),
            times: timed.then(|| (args.from_time.unwrap_or(i64::MIN), args.to_time.unwrap_or(i64::MAX))),
            kinds: &args.kind,
            position: args.position.as_ref(),
            correlation: args.correlation.as_deref().map(str::as_bytes),
        }
    }

    /// Records without an event: only where nothing but sequences is asked for.
    fn takes_others(&self, header: &RecordHeader) -> bool {
        let only_sequences =
            self.kinds.is_empty() && self.position.is_none() && self.correlation.is_none() && self.times.is_none();
        only_sequences && header.sequence >= self.from
    }

    /// All but the position.
    fn takes_event(&self, header: &RecordHeader, event: &Event<'_>) -> bool {
        (self.from..=self.to).contains(&header.sequence)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == kind_word(header.kind)))
            && self.times.is_none_or(|(from, to)| (from..to).contains(&occurred_at_ns(event)))
            && self.correlation.is_none_or(|wanted| correlation_of(event) == Some(wanted))
    }

    fn takes(&self, header: &RecordHeader, event: &Event<'_>, names: &LearnedNames) -> bool {
        self.takes_event(header, event)
            && self.position.is_none_or(|wanted| {
                position_of(event).is_some_and(|(account, instrument)| {
                    names.is(NameClass::Account, account, &wanted.account)
                        && names.is(NameClass::Instrument, instrument, &wanted.instrument)
                })
            })
    }
}
