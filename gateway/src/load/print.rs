//! What a load prints and writes: lines for people, JSON, a page, and the files that HdrHistogram's tools read.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use lotbook_perf::burst::BurstOutcome;
use lotbook_perf::report::{Report, duration, grouped};
use lotbook_perf::{hgrm, page};

use super::LoadFailure;

/// Says a line.
pub fn say(out: &mut dyn Write, line: &str) {
    // A closed output is no reason to stop a run.
    let _ = writeln!(out, "{line}");
}

/// Where results are written; what is none is not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files<'a> {
    /// The report as JSON.
    pub json: Option<&'a Path>,
    /// The report as a page.
    pub page: Option<&'a Path>,
    /// The percentile table.
    pub hgrm: Option<&'a Path>,
    /// The interval log.
    pub hlog: Option<&'a Path>,
}

/// Writes a file.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, text: String) -> Result<(), LoadFailure> {
    std::fs::write(path, text).map_err(|source| LoadFailure::Io { what: "writing", path: path.into(), source })
}

/// Writes what is asked for.
///
/// # Errors
/// The first file that cannot be written.
pub fn write_files(
    files: &Files<'_>,
    report: &Report,
    outcome: &BurstOutcome,
    control: Option<&BurstOutcome>,
) -> Result<(), LoadFailure> {
    if let Some(path) = files.json {
        write(path, report.json())?;
    }
    if let Some(path) = files.page {
        let control = control.map(|control| &control.total.latency);
        write(path, page::html(report, &outcome.total.latency, control))?;
    }
    if let Some(path) = files.hgrm {
        write(path, hgrm::text(&outcome.total.latency))?;
    }
    if let Some(path) = files.hlog {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let length_ms = outcome.intervals.last().map_or(0, |interval| interval.at_ms);
        let start_ms = (since.as_millis() as u64).saturating_sub(length_ms);
        write(path, outcome.interval_log.text(&report.target, start_ms))?;
    }
    Ok(())
}

/// Says what came of a run.
pub fn print(out: &mut dyn Write, report: &Report) {
    let counts = &report.counts;
    let latency = &report.latency_ns;
    let mut lines = vec![format!(
        "sent {}, acknowledged {} (of these provisional {}), duplicates {}, rejected {}, unanswered {}",
        grouped(report.sent),
        grouped(report.acknowledged),
        grouped(counts.provisional),
        grouped(report.duplicates),
        grouped(report.rejected),
        grouped(report.unanswered)
    )];
    lines.push(format!(
        "rate   base {}/s of {}/s, burst {}/s of {}/s",
        grouped(report.base.rate_achieved as u64),
        grouped(report.base.rate_offered as u64),
        grouped(report.burst.rate_achieved as u64),
        grouped(report.burst.rate_offered as u64)
    ));
    if report.stretches.len() > 3 {
        lines.extend(report.stretches.iter().map(|stretch| {
            format!(
                "       {:15} {}/s of {}/s, p50 {}, p99 {}",
                stretch.name,
                grouped(stretch.figures.rate_achieved as u64),
                grouped(stretch.figures.rate_offered as u64),
                duration(stretch.figures.latency_ns.p50),
                duration(stretch.figures.latency_ns.p99)
            )
        }));
    }
    lines.push(format!(
        "latency from the scheduled time ({}): p50 {}, p95 {}, p99 {}, p99.9 {}, p99.99 {}, max {}",
        report.ack,
        duration(latency.p50),
        duration(latency.p95),
        duration(latency.p99),
        duration(latency.p999),
        duration(latency.p9999),
        duration(latency.max)
    ));
    let late = &report.lateness_ns;
    lines.push(format!(
        "handed over after that time: p50 {}, p99 {}, max {}",
        duration(late.p50),
        duration(late.p99),
        duration(late.max)
    ));
    lines.push(format!(
        "integrity {}: {} acknowledged, {} in the log; missing {}, extra {}, wrong positions {} of {} ({} lots)",
        report.integrity.verdict,
        grouped(report.integrity.acknowledged),
        grouped(report.integrity.logged),
        report.integrity.missing,
        report.integrity.extra,
        report.integrity.wrong_positions,
        grouped(report.integrity.positions),
        grouped(report.integrity.lots)
    ));
    for line in lines {
        say(out, &line);
    }
    for example in report.integrity.examples.iter().take(5) {
        say(out, &format!("  {example}"));
    }
    for note in &report.notes {
        say(out, &format!("note   {note}"));
    }
    for reason in &report.reasons {
        say(out, &format!("FAILED {reason}"));
    }
    say(out, if report.pass { "PASSED" } else { "FAILED" });
}
