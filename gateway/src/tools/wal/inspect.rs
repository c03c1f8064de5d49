//! `lotbook wal inspect`: segments, sequences, watermarks, sizes, tail, checkpoints.

use std::io::Write;
use std::path::Path;

use lotbook_archiver::text::{Hex64, Nanos};
use lotbook_wal::{SegmentInfo, VerifyReport};
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
    segments: Vec<SegmentRow>,
}

#[derive(Serialize)]
struct SegmentRow {
    file: String,
    bytes: u64,
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
        segments,
    })
}

fn rows(infos: &[SegmentInfo], report: &VerifyReport) -> Vec<SegmentRow> {
    let mut rows = Vec::with_capacity(infos.len());
    for (index, info) in infos.iter().enumerate() {
        let next = infos.get(index + 1).and_then(|next| next.first_sequence);
        let last = next.map_or(report.last_sequence, |next| next - 1);
        rows.push(SegmentRow {
            file: info.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: std::fs::metadata(&info.path).map_or(0, |meta| meta.len()),
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
        writeln!(out, "  {:<31} {:<7} {:>12} {:>12} {:>12}", "segment", "state", "first", "last", "watermark")?;
        for segment in &log.segments {
            let number = |sequence: Option<u64>| sequence.map_or("-".into(), |sequence| sequence.to_string());
            let (first, last) = (number(segment.first_sequence), number(segment.last_sequence));
            let SegmentRow { file, state, watermark_sequence, .. } = segment;
            writeln!(out, "  {file:<31} {state:<7} {first:>12} {last:>12} {watermark_sequence:>12}")?;
        }
    }
    for checkpoint in &document.checkpoints {
        let CheckpointRow { file, sequence, bytes: size } = checkpoint;
        writeln!(out, "checkpoint {file}: sequence {sequence}, {}", bytes(*size))?;
    }
    Ok(())
}
