//! `lotbook archive restore`: a data directory from what was shipped of its logs.
//!
//! The side log comes first: a correction whose body did not come back cannot be applied, so the main log ends before the first such
//! one. Everything is made beside its place and renamed when it is whole.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lotbook_core::codec::{Decoder, kind};
use lotbook_core::event::Event;
use lotbook_wal::{ArchiveTarget, Behind, RecordHeader, RestoreError, Restored, ShippedLog, restore, shipped_logs};
use serde_json::{Value, json};

use super::ArchiveToolError;
use crate::cli::{ExitCode, RestoreArgs};
use crate::config::Config;
use crate::exit;

/// The main log's folder in a data directory, and the side log's.
const MAIN: &str = "log";
const SIDE: &str = "side";

/// Why a data directory was not brought back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreFailure {
    /// Nothing says where segments were shipped to.
    #[error(
        "no place that segments were shipped to: set archive.objects.url or retention.archive_dir, or give --archive-dir"
    )]
    NoPlace,
    /// Nothing was shipped there, or nothing of that.
    #[error("{place}: no data directory was shipped there{of}; --list shows what was")]
    Nothing {
        /// Where.
        place: String,
        /// Which was wanted.
        of: String,
    },
    /// Several data directories were shipped there.
    #[error("{place}: several data directories were shipped there, choose one with --of: {}", known.join(", "))]
    Several {
        /// Where.
        place: String,
        /// Them.
        known: Vec<String>,
    },
    /// A directory held several logs of one name, one after the other.
    #[error("{of}: several logs were its {name:?}, choose with --log: {}", ids.join(", "))]
    Twice {
        /// The data directory.
        of: String,
        /// The log's folder.
        name: String,
        /// The logs' ids.
        ids: Vec<String>,
    },
    /// Something is in the place.
    #[error("{}: is not empty; nothing was touched", dir.display())]
    Occupied {
        /// The place.
        dir: PathBuf,
    },
    /// A log did not come back.
    #[error("{name}: {source}{}", missing(source))]
    Log {
        /// Its folder.
        name: String,
        /// Why.
        source: RestoreError,
    },
    /// What was shipped cannot be listed.
    #[error(transparent)]
    Listing(RestoreError),
    /// A directory cannot be made or renamed.
    #[error("{}: {source}", dir.display())]
    Io {
        /// It.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Each segment that is wanting, on a line of its own.
fn missing(error: &RestoreError) -> String {
    let RestoreError::Segments { bad, .. } = error else { return String::new() };
    bad.iter().map(|place| format!("\n  {}: {}", place.segment.display(), place.what)).collect()
}

impl RestoreFailure {
    /// How the command ends.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoPlace => ExitCode::BadConfig,
            Self::Io { source, .. } => exit::of_io(source),
            Self::Log { source: RestoreError::Disk(disk), .. } | Self::Listing(RestoreError::Disk(disk)) => {
                match disk.source.kind() {
                    io::ErrorKind::StorageFull => ExitCode::NoSpace,
                    _ => ExitCode::Unreadable,
                }
            }
            _ => ExitCode::Unreadable,
        }
    }
}

/// The logs of one data directory.
struct House {
    /// `host:directory`.
    of: String,
    /// Each with its folder.
    logs: Vec<(String, ShippedLog)>,
}

pub(super) fn run(
    config: &Config,
    args: &RestoreArgs,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<ExitCode, ArchiveToolError> {
    let target = config.archive_target(args.archive_dir.clone())?.ok_or(RestoreFailure::NoPlace)?;
    let houses = houses(&*target, &args.log)?;
    if args.list {
        return list(&houses, as_json, out);
    }
    let house = choose(houses, &*target, args)?;
    let into = args.into.as_ref().unwrap_or(&config.data.dir);
    let done = bring_back(&house, &target, into)?;
    let complete = done.iter().all(|(_, restored)| restored.known_durable <= restored.last_sequence);
    if as_json {
        let logs: Vec<Value> = done.iter().map(|(name, restored)| row(name, restored)).collect();
        let document = json!({ "of": house.of, "into": into, "complete": complete, "logs": logs });
        serde_json::to_writer_pretty(&mut *out, &document).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&house, into, &done, out)?;
    }
    Ok(if complete { ExitCode::Ok } else { ExitCode::Broken })
}

/// What was shipped there, by data directories.
fn houses(target: &dyn ArchiveTarget, only: &[String]) -> Result<Vec<House>, RestoreFailure> {
    let mut houses: Vec<House> = Vec::new();
    for log in shipped_logs(target).map_err(RestoreFailure::Listing)? {
        if !only.is_empty() && !only.iter().any(|id| *id == id_of(&log)) {
            continue;
        }
        let dir = log.dir();
        let name = dir.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let of = format!("{}:{}", log.host(), dir.parent().unwrap_or(dir).display());
        match houses.iter_mut().find(|house| house.of == of) {
            Some(house) => house.logs.push((name, log)),
            None => houses.push(House { of, logs: vec![(name, log)] }),
        }
    }
    Ok(houses)
}

fn id_of(log: &ShippedLog) -> String {
    format!("{:016x}", log.log_id)
}

fn choose(mut houses: Vec<House>, target: &dyn ArchiveTarget, args: &RestoreArgs) -> Result<House, RestoreFailure> {
    if let Some(wanted) = &args.of {
        houses.retain(|house| house.of == *wanted);
    }
    let place = target.describe();
    let Some(mut house) = houses.pop() else {
        let of = args.of.as_ref().map(|of| format!(" from {of}")).unwrap_or_default();
        return Err(RestoreFailure::Nothing { place, of });
    };
    if !houses.is_empty() {
        let mut known: Vec<String> = houses.into_iter().map(|house| house.of).collect();
        known.push(house.of);
        return Err(RestoreFailure::Several { place, known });
    }
    // The side log first.
    house.logs.sort_by_key(|(name, _)| (name != SIDE, name.clone()));
    for (name, _) in &house.logs {
        let ids: Vec<String> =
            house.logs.iter().filter(|(other, _)| other == name).map(|(_, log)| id_of(log)).collect();
        if ids.len() > 1 {
            return Err(RestoreFailure::Twice { of: house.of.clone(), name: name.clone(), ids });
        }
    }
    if !house.logs.iter().any(|(name, _)| name == MAIN) {
        return Err(RestoreFailure::Nothing { place, of: format!(" with a main log ({MAIN})") });
    }
    Ok(house)
}

fn failed(dir: &Path) -> impl Fn(io::Error) -> RestoreFailure {
    let dir = dir.to_path_buf();
    move |source| RestoreFailure::Io { dir: dir.clone(), source }
}

/// Nothing is in the place, or an empty directory.
fn check_empty(dir: &Path) -> Result<(), RestoreFailure> {
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(RestoreFailure::Occupied { dir: dir.to_path_buf() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(dir)(error)),
    }
}

fn bring_back(
    house: &House,
    target: &Arc<dyn ArchiveTarget>,
    into: &Path,
) -> Result<Vec<(String, Restored)>, RestoreFailure> {
    check_empty(into)?;
    let mut staging = into.as_os_str().to_os_string();
    staging.push(".restoring");
    let staging = PathBuf::from(staging);
    let mut side_end = 0;
    let mut done = Vec::new();
    for (name, log) in &house.logs {
        let dir = staging.join(name);
        let log_failed = |source| RestoreFailure::Log { name: name.clone(), source };
        // A log that an earlier try finished is made again around its segments, which stay: it may have gone on meanwhile.
        reopen(&dir)?;
        let bar = bar(name);
        let mut progress = |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        };
        let mut decoder = Decoder::new();
        let is_main = name == MAIN;
        let mut wanted =
            |header: &RecordHeader, payload: &[u8]| !is_main || has_body(&mut decoder, header, payload, side_end);
        let behind = Behind { more: None, wanted: &mut wanted };
        let restored = restore(log, &**target, &dir, behind, &mut progress).map_err(log_failed)?;
        bar.finish_and_clear();
        if name == SIDE {
            side_end = restored.last_sequence;
        }
        done.push((name.clone(), restored));
    }
    let parent = staging.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync(&staging)?;
    check_empty(into)?;
    if into.exists() {
        fs::remove_dir(into).map_err(failed(into))?;
    }
    fs::rename(&staging, into).map_err(failed(into))?;
    sync(parent)?;
    Ok(done)
}

/// The directory is no log any more, and its archived segments are there.
fn reopen(dir: &Path) -> Result<(), RestoreFailure> {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.map_err(failed(dir))?.path();
        if path.extension().is_none_or(|extension| extension != "zst") && path.is_file() {
            fs::remove_file(&path).map_err(failed(&path))?;
        }
    }
    Ok(())
}

fn sync(dir: &Path) -> Result<(), RestoreFailure> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed(dir))
}

/// The side log has what a correction names.
fn has_body(decoder: &mut Decoder, header: &RecordHeader, payload: &[u8], side_end: u64) -> bool {
    header.kind != kind::CORRECTED
        || match decoder.decode(header.kind, header.version, payload) {
            Ok(Event::Corrected(corrected)) => corrected.body_sequence <= side_end,
            _ => true,
        }
}

fn bar(name: &str) -> ProgressBar {
    let bar = if io::stderr().is_terminal() {
        ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
    } else {
        ProgressBar::hidden()
    };
    // The template is constant; were it refused, the default bar would do.
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(format!("restoring {name}"));
    bar
}

fn list(houses: &[House], as_json: bool, out: &mut dyn Write) -> Result<ExitCode, ArchiveToolError> {
    if as_json {
        let shown = |(name, log): &(String, ShippedLog)| {
            json!({
                "name": name,
                "log_id": id_of(log),
                "epoch": log.by.epoch,
                "segments": log.segments.len(),
                "last_sequence": log.segments.last().map_or(0, |entry| entry.last_sequence),
                "packed_bytes": log.segments.iter().map(|entry| entry.packed_bytes).sum::<u64>(),
                "shipped_ns": log.by.written_ns,
            })
        };
        let rows: Vec<Value> = houses
            .iter()
            .map(|house| json!({ "of": house.of, "logs": house.logs.iter().map(shown).collect::<Vec<_>>() }))
            .collect();
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(ExitCode::Ok);
    }
    for house in houses {
        writeln!(out, "{}", house.of)?;
        for (name, log) in &house.logs {
            let last = log.segments.last().map_or(0, |entry| entry.last_sequence);
            let bytes: u64 = log.segments.iter().map(|entry| entry.packed_bytes).sum();
            let (id, epoch, segments) = (id_of(log), log.by.epoch, log.segments.len());
            let bytes = indicatif::BinaryBytes(bytes);
            writeln!(out, "  {name}: log {id}, epoch {epoch}, {segments} segments up to sequence {last}, {bytes}")?;
        }
    }
    Ok(ExitCode::Ok)
}

fn row(name: &str, restored: &Restored) -> Value {
    json!({
        "name": name,
        "segments": restored.segments,
        "segments_found": restored.found,
        "bytes": restored.bytes,
        "last_sequence": restored.last_sequence,
        "tail_records": restored.tail_records,
        "known_durable_sequence": restored.known_durable,
        "tail_problem": restored.tail_problem,
    })
}

fn print(house: &House, into: &Path, done: &[(String, Restored)], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}: brought back into {}", house.of, into.display())?;
    for (name, restored) in done {
        let Restored { segments, found, tail_records, last_sequence, known_durable, .. } = restored;
        writeln!(
            out,
            "  {name}: {segments} segments ({found} were here), {tail_records} records behind them, up to sequence {last_sequence}"
        )?;
        if let Some(problem) = &restored.tail_problem {
            writeln!(out, "    the copy of the tail: {problem}")?;
        }
        if known_durable > last_sequence {
            writeln!(
                out,
                "    LOST: sequences {} to {known_durable} at least were durable and are not here",
                last_sequence + 1
            )?;
        }
    }
    Ok(())
}
