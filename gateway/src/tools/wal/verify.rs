//! `lotbook wal verify`: is every byte what was written, and does every reference lead somewhere.
//!
//! First the log itself: checksums, chain, watermarks, archives in every copy within reach, tail, cursors. Then what the records say of each other:
//! each payload decodes, each event of a position names the one before, and each correction names a
//! body in the side log that is whole and has the digest.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use lotbook_archiver::json::KIND_OUTCOME_BODY;
use lotbook_core::codec::Decoder;
use lotbook_core::digest;
use lotbook_core::event::Event;
use lotbook_core::outcome::Outcome;
use lotbook_core::past::is_fact;
use lotbook_wal::{
    ArchiveReport, Corrupt, CursorReport, NO_ADDRESS, ReadOnlyLog, RecordHeader, VerifyOutcome, VerifyReport,
};
use serde::Serialize;

use super::inspect::CursorRow;
use super::{Target, WalError, bar, bytes, failed, open, targets};
use crate::cli::{ExitCode, WalDirArgs};
use crate::event::moved_position;

/// Findings that are listed; the rest is counted.
const LISTED_MAX: usize = 20;
/// Looks at a log whose end moves.
const LOOKS_MAX: u32 = 10;
/// Between two looks; longer than an idle log takes to write its watermark.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Whole,
    Torn,
    Damaged,
}

#[derive(Serialize)]
struct LogRow {
    name: &'static str,
    dir: String,
    verdict: Verdict,
    damage: Option<DamageRow>,
    torn: Option<TornRow>,
    records: u64,
    bytes: u64,
    first_sequence: u64,
    last_sequence: u64,
    watermark_sequence: u64,
    epoch: u32,
    closed: bool,
    tail: &'static str,
    /// What is wrong with the tail.
    tail_problem: Option<&'static str>,
    tail_records: u64,
    /// Every damaged file once, with the first place in it.
    damaged: Vec<DamageRow>,
    archives: ArchivesRow,
    cursors: Vec<CursorRow>,
    /// Events whose references were followed.
    references: u64,
    /// References that lead nowhere, and payloads that cannot be read: the first few of them.
    findings: Vec<Finding>,
    findings_count: u64,
}

/// Archived segments.
#[derive(Serialize)]
struct ArchivesRow {
    segments: u64,
    /// Copies that were read and are whole.
    whole_copies: u64,
    damaged_copies: u64,
    /// Segments of which no copy is within reach; `--archive-dir` brings more.
    out_of_reach: u64,
}

#[derive(Clone, Serialize)]
struct DamageRow {
    segment: String,
    offset: u64,
    address: u64,
    sequence: u64,
    what: String,
}

#[derive(Serialize)]
struct TornRow {
    address: u64,
    bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    sequence: u64,
    address: u64,
    what: String,
}

#[derive(Serialize)]
struct Document<'a> {
    verdict: Verdict,
    logs: &'a [LogRow],
}

pub(super) fn run(args: &WalDirArgs, out: &mut dyn Write) -> Result<ExitCode, WalError> {
    let mut rows = Vec::new();
    let mut references = References::default();
    for target in targets(&args.dir) {
        let (mut log, report) = settled(args, &target)?;
        // Behind damage nothing can be followed; the place is named already.
        if !matches!(report.outcome, VerifyOutcome::Damaged(_)) {
            references.follow(&mut log, &target, &report)?;
        }
        rows.push(row(&target, report));
    }
    references.settle(rows.len() > 1 && rows.iter().all(|row| row.verdict != Verdict::Damaged));
    for row in &mut rows {
        let found = if row.name == "side" { &references.side } else { &references.main };
        row.references = found.followed;
        row.findings_count = found.count;
        row.findings.clone_from(&found.listed);
        if found.count > 0 {
            row.verdict = Verdict::Damaged;
        }
    }
    let verdict = rows.iter().map(|row| row.verdict).max().unwrap_or(Verdict::Whole);
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &Document { verdict, logs: &rows }).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        rows.iter().try_for_each(|row| print(row, out))?;
    }
    Ok(match verdict {
        Verdict::Whole => ExitCode::Ok,
        Verdict::Torn => ExitCode::Broken,
        Verdict::Damaged => ExitCode::Unreadable,
    })
}

/// A report that stands. Segments and tail are read one after the other, so of a log that is being
/// written their ends may not fit each other; such an end is believed only when a second look finds
/// it at the same place. Damage below the watermark is believed at once: those bytes never change.
fn settled(args: &WalDirArgs, target: &Target) -> Result<(ReadOnlyLog, VerifyReport), WalError> {
    let mut before: Option<VerifyReport> = None;
    for look in 1.. {
        let log = open(args, target)?;
        let progress = bar("checking", target);
        let report = log.verify(&mut |done, all| {
            progress.set_length(all);
            progress.set_position(done);
        });
        progress.finish_and_clear();
        let mut report = report.map_err(|source| failed(target, source))?;
        let stands = match report.outcome {
            VerifyOutcome::Damaged(_) => true,
            VerifyOutcome::TornTail { .. } => report.tail == "extends",
            VerifyOutcome::Whole => tail_problem(report.tail).is_none(),
        };
        if stands || before.as_ref() == Some(&report) {
            return Ok((log, report));
        }
        if look == LOOKS_MAX {
            // Each look found another end, so what one found torn the next found whole: it is being written.
            if !matches!(report.outcome, VerifyOutcome::Damaged(_)) {
                report.outcome = VerifyOutcome::Whole;
                report.tail = "moving";
            }
            return Ok((log, report));
        }
        before = Some(report);
        std::thread::sleep(LOOK_PAUSE);
    }
    unreachable!("the last look returns")
}

/// What a start would refuse, or cut with a loss.
fn tail_problem(tail: &str) -> Option<(Verdict, &'static str)> {
    match tail {
        "foreign" => Some((Verdict::Damaged, "the tail is another log's")),
        "differs" => Some((Verdict::Damaged, "the tail and the segments hold different bytes for the same addresses")),
        "gap" => Some((Verdict::Damaged, "records between the end of the segments and the tail are missing")),
        "damaged" => Some((Verdict::Torn, "the tail stops before what was published: applied answers may be lost")),
        _ => None,
    }
}

fn row(target: &Target, report: VerifyReport) -> LogRow {
    let (verdict, damage, torn) = match report.outcome {
        VerifyOutcome::Whole => (Verdict::Whole, None, None),
        // The tail goes on where the segments end in the middle of a record: nothing is torn.
        VerifyOutcome::TornTail { .. } if report.tail == "extends" => (Verdict::Whole, None, None),
        VerifyOutcome::TornTail { address, bytes } => (Verdict::Torn, None, Some(TornRow { address, bytes })),
        VerifyOutcome::Damaged(place) => (Verdict::Damaged, Some(damage_row(&place)), None),
    };
    let tail_problem = tail_problem(report.tail);
    // A cursor that the log does not bear out keeps the log from starting; a damaged one is damage.
    let broken_cursor = report.cursors.iter().any(CursorReport::is_broken);
    let verdict = if broken_cursor { Verdict::Damaged } else { verdict };
    let copies = |count: fn(&ArchiveReport) -> u64| report.archives.iter().map(count).sum();
    let plain_from = report.plain_from_address;
    let unread = |archive: &&ArchiveReport| {
        archive.whole == 0 && archive.damaged.is_empty() && archive.entry.first_address < plain_from
    };
    let archives = ArchivesRow {
        segments: report.archives.len() as u64,
        whole_copies: copies(|archive| archive.whole.into()),
        damaged_copies: copies(|archive| archive.damaged.len() as u64),
        out_of_reach: report.archives.iter().filter(unread).count() as u64,
    };
    LogRow {
        name: target.name,
        dir: target.dir.display().to_string(),
        verdict: tail_problem.map_or(verdict, |(worse, _)| worse.max(verdict)),
        damage,
        torn,
        records: report.records,
        bytes: report.bytes,
        first_sequence: report.first_sequence,
        last_sequence: report.last_sequence,
        watermark_sequence: report.watermark_sequence,
        epoch: report.epoch,
        closed: report.closed,
        tail: report.tail,
        tail_problem: tail_problem.map(|(_, what)| what),
        tail_records: report.tail_records,
        damaged: report.damaged.iter().map(damage_row).collect(),
        archives,
        cursors: report.cursors.iter().map(|cursor| CursorRow::of(cursor, report.watermark_sequence)).collect(),
        references: 0,
        findings: Vec::new(),
        findings_count: 0,
    }
}

fn damage_row(place: &Corrupt) -> DamageRow {
    DamageRow {
        segment: place.segment.display().to_string(),
        offset: place.offset,
        address: place.address,
        sequence: place.sequence,
        what: place.what.to_string(),
    }
}

#[derive(Debug, Default)]
struct Findings {
    followed: u64,
    count: u64,
    listed: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, header: &RecordHeader, what: impl Into<String>) {
        self.count += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(Finding { sequence: header.sequence, address: header.address, what: what.into() });
        }
    }
}

/// A body that a correction names, or one that the side log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BodyKey {
    log_id: u64,
    address: u64,
    sequence: u64,
    bytes: u32,
    digest: u64,
}

/// Events that name the one before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Chained {
    /// Those of a position.
    Position(u32),
    /// Those that every position's history may depend on.
    Facts,
}

impl std::fmt::Display for Chained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Position(number) => write!(f, "position {number}"),
            Self::Facts => f.write_str("facts"),
        }
    }
}

/// What the records say of each other.
#[derive(Debug, Default)]
struct References {
    main: Findings,
    side: Findings,
    /// Address of each chain's newest event.
    heads: HashMap<Chained, u64>,
    wanted: Vec<(RecordHeader, BodyKey)>,
    /// Bodies by their address.
    bodies: HashMap<u64, BodyKey>,
}

impl References {
    fn follow(&mut self, log: &mut ReadOnlyLog, target: &Target, report: &VerifyReport) -> Result<(), WalError> {
        let bar = bar("following references in", target);
        bar.set_length(report.bytes);
        let from_start = report.first_sequence <= 1;
        let mut decoder = Decoder::new();
        let mut body: Option<(RecordHeader, Vec<u8>)> = None;
        while let Some(record) = log.next().map_err(|source| failed(target, source))? {
            let header = record.header;
            if header.sequence.is_multiple_of(4_096) {
                bar.set_position(header.address);
            }
            if header.is_internal() {
                continue;
            }
            if header.kind == KIND_OUTCOME_BODY {
                let (first, mut bytes) = body.take().unwrap_or((header, Vec::new()));
                bytes.extend_from_slice(record.payload);
                if header.group().continues() {
                    body = Some((first, bytes));
                } else {
                    self.body(&first, &bytes);
                }
                continue;
            }
            match decoder.decode(header.kind, header.version, record.payload) {
                Ok(event) => self.event(&header, &event, from_start),
                Err(error) => self.main.add(&header, error.to_string()),
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn event(&mut self, header: &RecordHeader, event: &Event<'_>, from_start: bool) {
        if let Event::Corrected(corrected) = event {
            let key = BodyKey {
                log_id: corrected.body_log_id,
                address: corrected.body_address,
                sequence: corrected.body_sequence,
                bytes: corrected.body_bytes,
                digest: corrected.body_digest,
            };
            self.wanted.push((*header, key));
        }
        let chain = moved_position(event).map(Chained::Position).or(is_fact(event).then_some(Chained::Facts));
        let Some(chain) = chain else {
            if header.previous != NO_ADDRESS {
                self.main.add(header, "it is in no chain and names an event before it");
            }
            return;
        };
        self.main.followed += 1;
        let before = self.heads.insert(chain, header.address);
        match before {
            // Where retention has removed the start, a chain's first event here is taken on trust.
            None if !from_start => {}
            _ if before.unwrap_or(NO_ADDRESS) == header.previous => {}
            _ => {
                let shown = |address| if address == NO_ADDRESS { "none".into() } else { format!("{address:#x}") };
                let (named, wanted) = (shown(header.previous), shown(before.unwrap_or(NO_ADDRESS)));
                let what = format!("{chain}: the event before is at {wanted}, and {named} is named");
                self.main.add(header, what);
            }
        }
    }

    fn body(&mut self, first: &RecordHeader, bytes: &[u8]) {
        self.side.followed += 1;
        if Outcome::decode(bytes).is_err() {
            self.side.add(first, "it is no body of an outcome");
        }
        let key = BodyKey {
            log_id: first.log_id,
            address: first.address,
            sequence: first.sequence,
            // A body's length was written from 32 bits.
            bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            digest: digest::bytes(bytes),
        };
        self.bodies.insert(first.address, key);
    }

    /// Compares what corrections name with what the side log holds. It was read after the main log, so
    /// whatever that names is in it, also while the host runs.
    fn settle(&mut self, has_side: bool) {
        if !has_side {
            return;
        }
        for (header, wanted) in std::mem::take(&mut self.wanted) {
            match self.bodies.get(&wanted.address) {
                Some(found) if *found == wanted => {}
                Some(_) => self.main.add(&header, format!("the body at {:#x} is another one", wanted.address)),
                None => self.main.add(&header, format!("the side log has no body at {:#x}", wanted.address)),
            }
        }
    }
}

fn print(row: &LogRow, out: &mut dyn Write) -> Result<(), WalError> {
    let verdict = match row.verdict {
        Verdict::Whole => "whole",
        Verdict::Torn => "what was durable is whole; the end behind it is torn",
        Verdict::Damaged => "DAMAGED",
    };
    writeln!(out, "{} {}: {verdict}", row.name, row.dir)?;
    let end = if row.closed { "closed" } else { "not closed" };
    writeln!(
        out,
        "  {} records ({} to {}), {}, durable at least up to {}, epoch {} {end}",
        row.records,
        row.first_sequence,
        row.last_sequence,
        bytes(row.bytes),
        row.watermark_sequence,
        row.epoch
    )?;
    writeln!(out, "  tail: {}, {} records beyond the segments", row.tail, row.tail_records)?;
    if let Some(problem) = row.tail_problem {
        writeln!(out, "  {problem}")?;
    }
    let ArchivesRow { segments, whole_copies, damaged_copies, out_of_reach } = row.archives;
    if segments > 0 {
        writeln!(
            out,
            "  archives: {segments} segments, {whole_copies} whole copies, {damaged_copies} damaged, {out_of_reach} segments \
             out of reach"
        )?;
    }
    for cursor in &row.cursors {
        writeln!(out, "  {}", cursor.text())?;
    }
    writeln!(out, "  {} references followed", row.references)?;
    if let Some(torn) = &row.torn {
        writeln!(
            out,
            "  behind address {:#x} lie {} bytes of a write that never completed; a start cuts them",
            torn.address, torn.bytes
        )?;
    }
    for damage in &row.damaged {
        let DamageRow { segment, offset, address, sequence, what } = damage;
        writeln!(out, "  {segment}: {what} at offset {offset} (address {address:#x}, sequence {sequence})")?;
    }
    for Finding { sequence, address, what } in &row.findings {
        writeln!(out, "  sequence {sequence} (address {address:#x}): {what}")?;
    }
    let unlisted = row.findings_count - row.findings.len() as u64;
    if unlisted > 0 {
        writeln!(out, "  and {unlisted} more")?;
    }
    Ok(())
}
