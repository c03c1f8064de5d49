//! `lotbook wal dump`: records as JSON lines, with filters.
//!
//! The lines are those of [`lotbook_archiver::json`]; they are JSON with and without `--json`. Names
//! are learned from the definitions in the log, so filters by name need the log's start; what
//! retention has removed shows as numbers.

use std::io::Write;

use lotbook_archiver::LearnedNames;
use lotbook_archiver::json::{Content, KIND_OUTCOME_BODY, Line, to_line};
use lotbook_core::codec::{Decoder, kind};
use lotbook_core::command::NameClass;
use lotbook_core::event::Event;
use lotbook_core::id::NameId;
use lotbook_core::outcome::Outcome;
use lotbook_wal::RecordHeader;

use super::{WalError, failed, open, targets};
use crate::cli::{ExitCode, PositionName, WalDumpArgs};

pub(super) fn run(args: &WalDumpArgs, out: &mut dyn Write) -> Result<ExitCode, WalError> {
    // Of a data directory the main log; the side log is a directory of its own to ask for.
    let Some(target) = targets(&args.log.dir).into_iter().next() else { return Ok(ExitCode::Ok) };
    let mut log = open(&args.log, &target)?;
    let segments = log.segments().map_err(|source| failed(&target, source))?;
    let durable = segments.iter().map(|segment| segment.watermark_sequence).max().unwrap_or(0);
    let filter = Filter::of(args);
    let mut names = LearnedNames::new();
    let mut decoder = Decoder::new();
    let mut bodies = Bodies::default();
    let mut last = 0;
    while let Some(record) = log.next().map_err(|source| failed(&target, source))? {
        let header = record.header;
        last = header.sequence;
        if last > filter.to {
            return Ok(ExitCode::Ok);
        }
        if header.is_internal() {
            if filter.takes_others(&header) {
                to_line(
                    &Line { header: &header, content: Content::Internal(record.payload), names: &names },
                    &mut *out,
                )?;
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
            to_line(&Line { header: &first, content, names: &names }, &mut *out)?;
            continue;
        }
        match decoder.decode(header.kind, header.version, record.payload) {
            Ok(event) => {
                names.learn(&event);
                if filter.takes(&header, &event, &names) {
                    to_line(&Line { header: &header, content: Content::Event(&event), names: &names }, &mut *out)?;
                }
            }
            Err(error) if filter.takes_others(&header) => {
                let content = Content::Unreadable(record.payload, &error.to_string());
                to_line(&Line { header: &header, content, names: &names }, &mut *out)?;
            }
            Err(_) => {}
        }
    }
    if last < durable && last < filter.to {
        out.flush()?;
        return Err(WalError::EndsEarly { dir: target.dir, last, durable });
    }
    Ok(ExitCode::Ok)
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
    kinds: &'a [String],
    position: Option<&'a PositionName>,
    correlation: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn of(args: &'a WalDumpArgs) -> Self {
        Self {
            from: args.from_sequence.unwrap_or(0),
            to: args.to_sequence.unwrap_or(u64::MAX),
            kinds: &args.kind,
            position: args.position.as_ref(),
            correlation: args.correlation.as_deref().map(str::as_bytes),
        }
    }

    /// Records without an event: only where nothing but sequences is asked for.
    fn takes_others(&self, header: &RecordHeader) -> bool {
        let only_sequences = self.kinds.is_empty() && self.position.is_none() && self.correlation.is_none();
        only_sequences && header.sequence >= self.from
    }

    fn takes(&self, header: &RecordHeader, event: &Event<'_>, names: &LearnedNames) -> bool {
        header.sequence >= self.from
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == kind_word(header.kind)))
            && self.position.is_none_or(|wanted| {
                position_of(event).is_some_and(|(account, instrument)| {
                    names.is(NameClass::Account, account, &wanted.account)
                        && names.is(NameClass::Instrument, instrument, &wanted.instrument)
                })
            })
            && self.correlation.is_none_or(|wanted| correlation_of(event) == Some(wanted))
    }
}

/// The word of `--kind` for a kind.
fn kind_word(kind: u16) -> &'static str {
    match kind {
        kind::DEFINED => "defined",
        kind::INSTRUMENT => "instrument",
        kind::CONTRACT => "contract",
        kind::BUSINESS_DATE => "business_date",
        kind::MARK => "mark",
        kind::TRADE_APPLIED..=kind::TRADE_DUPLICATE => "trade",
        kind::AMEND_APPLIED..=kind::AMEND_DUPLICATE => "amendment",
        kind::RESOLVED => "resolved",
        kind::ACTION => "action",
        kind::TAKEN => "taken",
        kind::SETTLED => "settled",
        kind::PERIOD_LOCK => "period_lock",
        kind::CORRECTED => "corrected",
        kind::DIGESTS => "digests",
        _ => "",
    }
}

fn position_of(event: &Event<'_>) -> Option<(NameId, NameId)> {
    match event {
        Event::Trade(trade) => Some((trade.input.account, trade.input.instrument)),
        Event::Taken(taken) => Some((taken.account, taken.instrument)),
        Event::Corrected(corrected) => Some((corrected.account, corrected.instrument)),
        Event::Amended(amend) => Some((amend.account, amend.instrument)),
        Event::Resolved(resolved) => Some((resolved.input.account, resolved.input.instrument)),
        _ => None,
    }
}

fn correlation_of<'a>(event: &'a Event<'_>) -> Option<&'a [u8]> {
    match event {
        Event::Trade(trade) => Some(trade.input.correlation.as_bytes()),
        Event::Amended(amend) => Some(amend.input.correlation.as_bytes()),
        Event::Resolved(resolved) => Some(resolved.input.correlation.as_bytes()),
        Event::Action(action) => Some(action.input.correlation.as_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::EVENT_KINDS;

    #[test]
    fn every_kind_has_a_word_that_the_command_line_takes() {
        for (kind, name) in kind::ALL {
            assert!(EVENT_KINDS.contains(&kind_word(kind)), "{name}");
        }
        for word in EVENT_KINDS {
            assert!(kind::ALL.iter().any(|(kind, _)| kind_word(*kind) == word), "{word}");
        }
    }
}
