//! `lotbook wal repair`: what can be mended, and with `--write` the mending.

use std::io::Write;

use lotbook_archiver::text::Hex32;
use lotbook_wal::{Corrupt, RepairPlaces, RepairPlan, RepairStep, VerifyOutcome, VerifyReport, open_for_repair};
use serde::Serialize;

use super::{Target, WalError, bar, bytes, targets};
use crate::cli::{ExitCode, WalRepairArgs};

/// What became of a log, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// There is nothing to do.
    Whole,
    /// There was, and it is done.
    Repaired,
    /// There is, and with it done the log is whole.
    Repairable,
    /// Something stays damaged.
    Damaged,
}

#[derive(Serialize)]
struct Document {
    state: State,
    written: bool,
    logs: Vec<LogRow>,
}

#[derive(Serialize)]
struct LogRow {
    name: &'static str,
    dir: String,
    state: State,
    steps: Vec<StepRow>,
    /// Damage without a whole copy.
    unrepaired: Vec<PlaceRow>,
    /// Copies that were looked at and do not count.
    rejected: Vec<PlaceRow>,
    /// A tail that a start refuses.
    refused: Option<RefusedRow>,
    /// Cursors that the log does not bear out; a repair leaves them alone.
    broken_cursors: Vec<String>,
}

/// One step. What a step does not have is null.
#[derive(Serialize)]
struct StepRow {
    /// `restore_segment`, `restore_archive` or `cut_tail`.
    action: &'static str,
    file: String,
    /// Bytes of the file that are written.
    from_offset: u64,
    to_offset: u64,
    first_sequence: Option<u64>,
    last_sequence: u64,
    first_address: u64,
    end_address: u64,
    /// Where the bytes come from.
    copy: Option<String>,
    /// CRC32C of them.
    checksum: Option<Hex32>,
    damage: Option<PlaceRow>,
    lost_from_sequence: Option<u64>,
}

#[derive(Serialize)]
struct PlaceRow {
    file: String,
    offset: u64,
    address: u64,
    sequence: u64,
    what: String,
}

#[derive(Serialize)]
struct RefusedRow {
    row: char,
    reason: &'static str,
    tail: String,
}

pub(super) fn run(args: &WalRepairArgs, out: &mut dyn Write) -> Result<ExitCode, WalError> {
    let logs = targets(&args.log.dir).iter().map(|target| repair(args, target)).collect::<Result<Vec<_>, _>>()?;
    let state = logs.iter().map(|log| log.state).max().unwrap_or(State::Whole);
    let document = Document { state, written: args.write, logs };
    if args.log.json {
        serde_json::to_writer_pretty(&mut *out, &document).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&document, out)?;
    }
    Ok(match state {
        State::Whole | State::Repaired => ExitCode::Ok,
        State::Repairable => ExitCode::Broken,
        State::Damaged => ExitCode::Unreadable,
    })
}

fn repair(args: &WalRepairArgs, target: &Target) -> Result<LogRow, WalError> {
    let places = RepairPlaces {
        tail_dir: args.log.tail_dir.clone(),
        archive_dir: None,
        archive_target: super::shipped(&args.log)?,
    };
    let failed = |source| WalError::Repair { dir: target.dir.clone(), source };
    let repairer = open_for_repair(&target.dir, places).map_err(failed)?;
    let progress = bar("checking", target);
    let mut tell = |done, all| {
        progress.set_length(all);
        progress.set_position(done);
    };
    let plan = repairer.plan(&mut tell).map_err(failed)?;
    let mut state = match (plan.makes_whole(), plan.steps.is_empty()) {
        (true, true) => State::Whole,
        (true, false) => State::Repairable,
        (false, _) => State::Damaged,
    };
    if args.write && !plan.steps.is_empty() {
        progress.set_message(format!("repairing {}", target.dir.display()));
        let after = repairer.run(&plan, &mut tell).map_err(failed)?;
        state = match state {
            State::Repairable if stands(&after) => State::Repaired,
            _ => State::Damaged,
        };
    }
    progress.finish_and_clear();
    Ok(row(target, &plan, state))
}

/// A start goes on from here.
fn stands(report: &VerifyReport) -> bool {
    match report.outcome {
        VerifyOutcome::Whole => true,
        VerifyOutcome::TornTail { .. } => report.tail_records > 0,
        VerifyOutcome::Damaged(_) => false,
    }
}

fn row(target: &Target, plan: &RepairPlan, state: State) -> LogRow {
    let cursors = plan.report.iter().flat_map(|report| &report.cursors);
    LogRow {
        name: target.name,
        dir: target.dir.display().to_string(),
        state,
        steps: plan.steps.iter().map(step).collect(),
        unrepaired: plan.unrepaired.iter().map(place).collect(),
        rejected: plan.rejected.iter().map(place).collect(),
        refused: plan.refused.as_ref().map(|refused| RefusedRow {
            row: refused.row,
            reason: refused.reason,
            tail: refused.path.display().to_string(),
        }),
        broken_cursors: cursors.filter(|cursor| cursor.is_broken()).map(|cursor| cursor.name.clone()).collect(),
    }
}

fn place(place: &Corrupt) -> PlaceRow {
    PlaceRow {
        file: place.segment.display().to_string(),
        offset: place.offset,
        address: place.address,
        sequence: place.sequence,
        what: place.what.to_string(),
    }
}

fn step(step: &RepairStep) -> StepRow {
    match step {
        RepairStep::RestoreSegment { path, damage, from, entry } => StepRow {
            action: "restore_segment",
            file: path.display().to_string(),
            from_offset: 0,
            to_offset: entry.file_bytes,
            first_sequence: Some(entry.first_sequence),
            last_sequence: entry.last_sequence,
            first_address: entry.first_address,
            end_address: entry.end_address,
            copy: Some(from.display().to_string()),
            checksum: Some(Hex32(entry.file_checksum)),
            damage: Some(place(damage)),
            lost_from_sequence: None,
        },
        RepairStep::RestoreArchive { path, damage, from, entry } => StepRow {
            action: "restore_archive",
            file: path.display().to_string(),
            from_offset: 0,
            to_offset: entry.packed_bytes,
            first_sequence: Some(entry.first_sequence),
            last_sequence: entry.last_sequence,
            first_address: entry.first_address,
            end_address: entry.end_address,
            copy: Some(from.display().to_string()),
            checksum: Some(Hex32(entry.packed_checksum)),
            damage: Some(place(damage)),
            lost_from_sequence: None,
        },
        RepairStep::CutTail { path, offset, address, bytes, last_sequence, lost_from_sequence } => StepRow {
            action: "cut_tail",
            file: path.display().to_string(),
            from_offset: *offset,
            to_offset: offset + bytes,
            first_sequence: None,
            last_sequence: *last_sequence,
            first_address: *address,
            end_address: address + bytes,
            copy: None,
            checksum: None,
            damage: None,
            lost_from_sequence: *lost_from_sequence,
        },
    }
}

fn print(document: &Document, out: &mut dyn Write) -> Result<(), WalError> {
    for log in &document.logs {
        let verdict = match log.state {
            State::Whole => "whole, nothing to do",
            State::Repaired => "repaired: it is whole now",
            State::Repairable => "the steps below would make it whole; nothing was written, --write does them",
            State::Damaged if document.written => "DAMAGED: what could be mended is mended, the rest is named below",
            State::Damaged => "DAMAGED: nothing was written; what the steps below do not mend is named",
        };
        writeln!(out, "{} {}: {verdict}", log.name, log.dir)?;
        for step in &log.steps {
            print_step(step, out)?;
        }
        for PlaceRow { file, offset, what, .. } in &log.unrepaired {
            writeln!(out, "  no whole copy: {file}: {what} at offset {offset}")?;
        }
        for PlaceRow { file, what, .. } in &log.rejected {
            writeln!(out, "  does not count as a copy: {file}: {what}")?;
        }
        if let Some(RefusedRow { row, reason, tail }) = &log.refused {
            writeln!(out, "  a start refuses the tail {tail} (row {row}): {reason}")?;
        }
        for name in &log.broken_cursors {
            writeln!(out, "  cursor {name} names what the log does not hold, or is damaged; it is left alone")?;
        }
    }
    Ok(())
}

fn print_step(step: &StepRow, out: &mut dyn Write) -> Result<(), WalError> {
    let StepRow { file, from_offset, to_offset, last_sequence, first_address, end_address, .. } = step;
    let size = bytes(to_offset - from_offset);
    let addresses = format!("addresses {first_address:#x} to {end_address:#x}");
    let Some(copy) = &step.copy else {
        writeln!(out, "  cut the torn end of {file}: bytes {from_offset} to {to_offset} ({size}) become zeros")?;
        writeln!(out, "    {addresses}, behind sequence {last_sequence}")?;
        if let Some(from) = step.lost_from_sequence {
            writeln!(
                out,
                "    answers from sequence {from} on that were only applied may be lost; a start says so too"
            )?;
        }
        return Ok(());
    };
    writeln!(out, "  restore {file}: bytes {from_offset} to {to_offset} ({size}) from {copy}")?;
    let first = step.first_sequence.unwrap_or(0);
    let checksum = step.checksum.map_or(0, |Hex32(checksum)| checksum);
    writeln!(out, "    sequences {first} to {last_sequence}, {addresses}, CRC32C {checksum:08x}")?;
    if let Some(PlaceRow { offset, what, .. }) = &step.damage {
        writeln!(out, "    because of: {what} at offset {offset}; what is there is kept beside it as .damaged-N")?;
    }
    Ok(())
}
