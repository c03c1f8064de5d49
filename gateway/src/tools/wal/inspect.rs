//! `lotbook wal inspect`: segments in their forms, who holds them, cursors, watermarks, sizes, room, tail, checkpoints.

use std::io::Write;
use std::path::Path;

use lotbook_archiver::text::{Hex64, Nanos};
use lotbook_wal::{
    CursorClass, CursorFinding, CursorReport, SegmentForm, SegmentInfo, SpaceAlert, SpaceOutlook, VerifyReport,
};
use serde::Serialize;

use super::{Target, WalError, bar, bytes, checkpoints_dir, failed, open, targets};
use crate::cli::{ExitCode, WalDirArgs};

#[derive(Serialize)]
struct Document {
    logs: Vec<LogRow>,
    checkpoints: Vec<CheckpointRow>,
}

#[derive(Serialize)]
struct LogRow {
    name: &'static str,
    dir: String,
    log_id: Hex64,
    created_at: Option<Nanos>,
    segment_bytes: u64,
    /// What its files take.
    bytes: u64,
    records: u64,
    first_sequence: u64,
    last_sequence: u64,
    watermark_sequence: u64,
    epoch: u32,
    closed: bool,
    tail: &'static str,
    tail_records: u64,
    /// Archived segments, here or shipped.
    archives: u64,
    /// Bytes of the archives here.
    packed_bytes: u64,
    space: SpaceRow,
    segments: Vec<SegmentRow>,
    cursors: Vec<CursorRow>,
}

#[derive(Serialize)]
struct SpaceRow {
    /// What the file system has for the log.
    room_bytes: u64,
    /// Pace of the newest segments, 0 where there are too few to say.
    bytes_a_second: u64,
    over_segments: u32,
    full_in_seconds: Option<u64>,
    /// `none`, `within_24_hours` or `within_4_hours`.
    alert: &'static str,
}

#[derive(Serialize)]
pub(super) struct CursorRow {
    name: String,
    /// `required` or `rebuildable`; null for a damaged one.
    class: Option<&'static str>,
    released: bool,
    sequence: Option<u64>,
    epoch: Option<u32>,
    /// Durable records that it has not taken.
    lag_records: u64,
    /// `in_log`, `nothing`, `not_compared`, `damaged` or `not_in_log`.
    finding: &'static str,
    /// What the log has in its place.
    log_sequence: Option<u64>,
}

impl CursorRow {
    pub(super) fn of(cursor: &CursorReport, durable_sequence: u64) -> Self {
        let taken = cursor.position.map_or(0, |position| position.sequence);
        let (finding, log_sequence) = match cursor.finding {
            CursorFinding::InLog => ("in_log", None),
            CursorFinding::Nothing => ("nothing", None),
            CursorFinding::NotCompared => ("not_compared", None),
            CursorFinding::Damaged => ("damaged", None),
            CursorFinding::NotInLog { log } => ("not_in_log", Some(log.sequence)),
        };
        Self {
            name: cursor.name.clone(),
            class: cursor.class.map(|class| match class {
                CursorClass::Required => "required",
                CursorClass::Rebuildable => "rebuildable",
            }),
            released: cursor.released,
            sequence: cursor.position.map(|position| position.sequence),
            epoch: cursor.position.map(|position| position.epoch),
            lag_records: durable_sequence.saturating_sub(taken),
            finding,
            log_sequence,
        }
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        let class = self.class.unwrap_or("damaged");
        let at = self.sequence.map_or("nothing taken".into(), |sequence| format!("sequence {sequence}"));
        let what = match (self.finding, self.log_sequence) {
            _ if self.released => "released".into(),
            ("not_in_log", Some(found)) => {
                format!("NOT IN THE LOG, which has sequence {found} there: it was cut or replaced")
            }
            ("damaged", _) => "DAMAGED: it holds everything until its file is removed".into(),
            ("not_compared", _) => "its record is out of reach and was not compared".into(),
            _ => format!("{} records behind", self.lag_records),
        };
        format!("cursor {} ({class}): {at}, {what}", self.name)
    }
}

#[derive(Serialize)]
struct SegmentRow {
    file: String,
    /// Of its files here.
    bytes: u64,
    /// `plain`, `both`, `packed` or `shipped`.
    form: &'static str,
    packed_bytes: u64,
    /// Cursors that need it.
    held_by: Vec<String>,
    first_address: u64,
    first_sequence: Option<u64>,
    last_sequence: Option<u64>,
    created_at: Option<Nanos>,
    /// `empty`, `open` or `sealed`.
    state: &'static str,
    watermark_sequence: u64,
    slot_generation: u64,
}

#[derive(Serialize)]
struct CheckpointRow {
    file: String,
    sequence: u64,
    bytes: u64,
}

pub(super) fn run(args: &WalDirArgs, out: &mut dyn Write) -> Result<ExitCode, WalError> {
    let logs = targets(&args.dir).iter().map(|target| inspect(args, target)).collect::<Result<Vec<_>, _>>()?;
    let document = Document { logs, checkpoints: checkpoints(&args.dir)? };
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &document).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&document, out)?;
    }
    Ok(ExitCode::Ok)
}

fn inspect(args: &WalDirArgs, target: &Target) -> Result<LogRow, WalError> {
    let log = open(args, target)?;
    let segments = log.segments().map_err(|source| failed(target, source))?;
    // Where a log ends, only reading it tells.
    let bar = bar("reading", target);
    let report = log.verify(&mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report.map_err(|source| failed(target, source))?;
    let space = log.space().map_err(|source| failed(target, source.into()))?;
    let packed_bytes = segments.iter().filter(|s| s.form != SegmentForm::Shipped).map(|s| s.packed_bytes).sum();
    let segments = rows(&segments, &report);
    Ok(LogRow {
        name: target.name,
        dir: target.dir.display().to_string(),
        log_id: Hex64(log.log_id()),
        created_at: wall(log.created_ns()),
        segment_bytes: log.segment_bytes(),
        bytes: segments.iter().map(|segment| segment.bytes).sum(),
        records: report.records,
        first_sequence: report.first_sequence,
        last_sequence: report.last_sequence,
        watermark_sequence: report.watermark_sequence,
        epoch: report.epoch,
        closed: report.closed,
        tail: report.tail,
        tail_records: report.tail_records,
        archives: report.archives.len() as u64,
        packed_bytes,
        space: space_row(&space),
        segments,
        cursors: report.cursors.iter().map(|cursor| CursorRow::of(cursor, report.watermark_sequence)).collect(),
    })
}

fn space_row(space: &SpaceOutlook) -> SpaceRow {
    SpaceRow {
        room_bytes: space.room_bytes,
        bytes_a_second: space.bytes_per_second,
        over_segments: space.over_segments,
        full_in_seconds: space.full_in.map(|left| left.as_secs()),
        alert: match space.alert {
            SpaceAlert::None => "none",
            SpaceAlert::Within24Hours => "within_24_hours",
            SpaceAlert::Within4Hours => "within_4_hours",
        },
    }
}

fn rows(infos: &[SegmentInfo], report: &VerifyReport) -> Vec<SegmentRow> {
    let mut rows = Vec::with_capacity(infos.len());
    for (index, info) in infos.iter().enumerate() {
        let next = infos.get(index + 1).and_then(|next| next.first_sequence);
        let last = next.map_or(report.last_sequence, |next| next - 1);
        rows.push(SegmentRow {
            file: info.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: info.file_bytes,
            form: match info.form {
                SegmentForm::Plain => "plain",
                SegmentForm::Both => "both",
                SegmentForm::Packed => "packed",
                SegmentForm::Shipped => "shipped",
            },
            packed_bytes: info.packed_bytes,
            held_by: info.held_by.clone(),
            first_address: info.first_address,
            first_sequence: info.first_sequence,
            last_sequence: info.first_sequence.map(|first| last.max(first)),
            created_at: wall(info.created_ns),
            state: match (info.sealed, info.begun) {
                (true, _) => "sealed",
                (false, true) => "open",
                (false, false) => "empty",
            },
            watermark_sequence: info.watermark_sequence,
            slot_generation: info.slot_generation,
        });
    }
    rows
}

fn wall(ns: u64) -> Option<Nanos> {
    i64::try_from(ns).ok().filter(|ns| *ns > 0).map(Nanos)
}

fn checkpoints(dir: &Path) -> Result<Vec<CheckpointRow>, WalError> {
    let Some(dir) = checkpoints_dir(dir) else { return Ok(Vec::new()) };
    let found = lotbook_engine::checkpoint::list(&dir).map_err(|source| WalError::Checkpoints { dir, source })?;
    let row = |found: lotbook_engine::checkpoint::Found| CheckpointRow {
        file: found.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: std::fs::metadata(&found.path).map_or(0, |meta| meta.len()),
        sequence: found.sequence,
    };
    Ok(found.into_iter().map(row).collect())
}

/// Room and pace in words.
fn room(space: &SpaceRow) -> String {
    let SpaceRow { room_bytes, bytes_a_second, over_segments, full_in_seconds, alert } = space;
    let Some(seconds) = full_in_seconds else {
        return format!("{}; too few segments to say how long it lasts", bytes(*room_bytes));
    };
    let (days, hours) = (seconds / 86_400, seconds % 86_400 / 3_600);
    let alert = match *alert {
        "none" => "",
        "within_24_hours" => "; FULL WITHIN A DAY",
        _ => "; FULL WITHIN FOUR HOURS",
    };
    format!(
        "{}, full in {days} d {hours} h at {} a second (the pace of {over_segments} segments){alert}",
        bytes(*room_bytes),
        bytes(*bytes_a_second)
    )
}

fn print(document: &Document, out: &mut dyn Write) -> Result<(), WalError> {
    for log in &document.logs {
        writeln!(out, "{} {}", log.name, log.dir)?;
        writeln!(out, "  log id     {}", log.log_id)?;
        if let Some(created) = log.created_at {
            writeln!(out, "  created    {created}")?;
        }
        let end = if log.closed { "closed" } else { "not closed" };
        writeln!(out, "  records    {} ({} to {})", log.records, log.first_sequence, log.last_sequence)?;
        writeln!(out, "  watermark  {}", log.watermark_sequence)?;
        writeln!(out, "  epoch      {}, {end}", log.epoch)?;
        writeln!(out, "  tail       {}, {} records beyond the segments", log.tail, log.tail_records)?;
        writeln!(
            out,
            "  size       {} in {} segments of {}",
            bytes(log.bytes),
            log.segments.len(),
            bytes(log.segment_bytes)
        )?;
        writeln!(out, "  archives   {}, {} of them here", log.archives, bytes(log.packed_bytes))?;
        writeln!(out, "  room       {}", room(&log.space))?;
        let heads = ("segment", "state", "form", "first", "last", "watermark", "held by");
        let (segment, state, form, first, last, watermark, held_by) = heads;
        writeln!(out, "  {segment:<35} {state:<7} {form:<7} {first:>12} {last:>12} {watermark:>12}  {held_by}")?;
        for segment in &log.segments {
            let number = |sequence: Option<u64>| sequence.map_or("-".into(), |sequence| sequence.to_string());
            let (first, last) = (number(segment.first_sequence), number(segment.last_sequence));
            let SegmentRow { file, state, form, watermark_sequence, .. } = segment;
            let held_by = if segment.held_by.is_empty() { "-".into() } else { segment.held_by.join(" ") };
            writeln!(
                out,
                "  {file:<35} {state:<7} {form:<7} {first:>12} {last:>12} {watermark_sequence:>12}  {held_by}"
            )?;
        }
        for cursor in &log.cursors {
            writeln!(out, "  {}", cursor.text())?;
        }
    }
    for checkpoint in &document.checkpoints {
        let CheckpointRow { file, sequence, bytes: size } = checkpoint;
        writeln!(out, "checkpoint {file}: sequence {sequence}, {}", bytes(*size))?;
    }
    Ok(())
}
