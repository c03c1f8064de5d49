//! `GET /v1/retention`: who holds which segment, what the logs take, when the disk is full; and the same as metrics.

use std::fmt::Display;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use lotbook_archiver::text::{Hex64, Nanos};
use lotbook_wal::{CursorHold, Log, RetentionReport, SegmentForm, SegmentHold, SpaceAlert};
use serde_json::{Value, json};

use super::HttpState;
use super::metrics::Page;

/// Segments that an answer shows of a log: the oldest, which are those that someone holds.
const SEGMENTS_SHOWN: usize = 1_000;

pub(super) async fn show(State(state): State<Arc<HttpState>>) -> Json<Value> {
    let logs: Vec<Value> = state.logs().iter().map(|(name, log)| document(name, log)).collect();
    Json(json!({ "logs": logs, "warnings": state.outlook.warnings() }))
}

fn document(name: &str, log: &Log) -> Value {
    let report = log.retention();
    let shown = &report.segments[..report.segments.len().min(SEGMENTS_SHOWN)];
    json!({
        "log": name,
        "log_id": Hex64(log.log_id()),
        "dir": log.dir().display().to_string(),
        "archive": log.archive_place(),
        "segment_count": report.segments.len(),
        "bytes": {
            "open": report.bytes.open,
            "sealed": report.bytes.sealed,
            "packed": report.bytes.packed,
            "shipped": report.bytes.shipped,
        },
        "room_bytes": report.room_bytes,
        "reclaimable_bytes": report.reclaimable_bytes,
        "bytes_per_second": report.bytes_per_second,
        "full_in_seconds": report.full_in.map(|left| left.as_secs()),
        "alert": alert(report.alert),
        "short": report.short,
        "closed": report.closed,
        "last_step": report.last_step.map(|(row, reason)| json!({ "row": row, "reason": reason })),
        "archived": report.archived,
        "shipped": report.shipped,
        "dropped": report.dropped,
        "problems": report.problems.iter().map(|(what, why)| json!({ "what": what, "why": why })).collect::<Vec<_>>(),
        "cursors": report.cursors.iter().map(cursor).collect::<Vec<_>>(),
        "segments": shown.iter().map(segment).collect::<Vec<_>>(),
    })
}

fn alert(alert: SpaceAlert) -> &'static str {
    match alert {
        SpaceAlert::None => "none",
        SpaceAlert::Within24Hours => "within_24_hours",
        SpaceAlert::Within4Hours => "within_4_hours",
    }
}

fn cursor(cursor: &CursorHold) -> Value {
    json!({
        "name": cursor.name,
        "class": cursor.class.to_string(),
        "sequence": cursor.position.map(|position| position.sequence),
        "lag_records": cursor.lag_records,
        "segments": cursor.segments,
        "released": cursor.released,
        "damaged": cursor.damaged,
        "moved_at": i64::try_from(cursor.moved_ns).ok().map(Nanos),
    })
}

fn segment(segment: &SegmentHold) -> Value {
    json!({
        "first_address": segment.first_address,
        "first_sequence": segment.first_sequence,
        "sealed": segment.sealed,
        "form": form(segment.form),
        "shipped": segment.shipped,
        "bytes": segment.file_bytes,
        "held_by": segment.held_by,
    })
}

fn form(form: SegmentForm) -> &'static str {
    match form {
        SegmentForm::Plain => "plain",
        SegmentForm::Packed => "packed",
        SegmentForm::Both => "both",
        SegmentForm::Shipped => "shipped",
    }
}

/// One sample a log, or a cursor of a log.
struct Samples(Vec<(String, u64)>);

impl Samples {
    fn add(&mut self, labels: impl Display, value: u64) {
        self.0.push((labels.to_string(), value));
    }

    fn show(self, page: &mut Page, name: &str, kind: &str, help: &str) {
        let samples: Vec<(&str, u64)> = self.0.iter().map(|(labels, value)| (labels.as_str(), *value)).collect();
        page.family(name, kind, help, &samples);
    }
}

/// The families of retention.
pub(super) fn metrics(page: &mut Page, logs: &[(&'static str, &Arc<Log>)]) {
    let reports: Vec<(&str, RetentionReport)> = logs.iter().map(|(name, log)| (*name, log.retention())).collect();
    let mut bytes = Samples(Vec::new());
    for (log, report) in &reports {
        let classes = report.bytes;
        for (class, count) in [
            ("open", classes.open),
            ("sealed", classes.sealed),
            ("packed", classes.packed),
            ("shipped", classes.shipped),
        ] {
            bytes.add(format_args!("log=\"{log}\",class=\"{class}\""), count);
        }
    }
    let help = "Bytes of segments: being written or ready, sealed, compressed here, and in the archive.";
    bytes.show(page, "lotbook_log_bytes", "gauge", help);
    let mut of_logs = |name: &str, kind: &str, help: &str, value: fn(&RetentionReport) -> Option<u64>| {
        let mut samples = Samples(Vec::new());
        for (log, report) in &reports {
            if let Some(value) = value(report) {
                samples.add(format_args!("log=\"{log}\""), value);
            }
        }
        samples.show(page, name, kind, help);
    };
    let gauge = "gauge";
    let help = "Bytes that the log's files can still take here.";
    of_logs("lotbook_log_room_bytes", gauge, help, |r| Some(r.room_bytes));
    let help = "Bytes here that go before anyone is refused.";
    of_logs("lotbook_log_reclaimable_bytes", gauge, help, |r| Some(r.reclaimable_bytes));
    let help = "Bytes a second that the log grew by over the last ten minutes.";
    of_logs("lotbook_log_growth_bytes_per_second", gauge, help, |r| Some(r.bytes_per_second));
    let help = "Seconds until the log's disk is full at that pace; absent while nothing is written.";
    of_logs("lotbook_log_full_in_seconds", gauge, help, |r| r.full_in.map(|left| left.as_secs()));
    let help = "1 while space is short and the ladder is climbed.";
    of_logs("lotbook_log_space_short", gauge, help, |r| Some(r.short.into()));
    let help = "Kinds of work of retention that failed and have not succeeded since.";
    of_logs("lotbook_log_retention_problems", gauge, help, |r| Some(r.problems.len() as u64));
    let counter = "counter";
    let help = "Segments archived since the start.";
    of_logs("lotbook_log_segments_archived_total", counter, help, |r| Some(r.archived));
    let help = "Archives put into the archive, or found there whole, since the start.";
    of_logs("lotbook_log_segments_shipped_total", counter, help, |r| Some(r.shipped));
    let help = "Archives dropped here since the start; the archive has them.";
    of_logs("lotbook_log_segments_dropped_total", counter, help, |r| Some(r.dropped));
    let mut of_cursors = |name: &str, help: &str, value: fn(&CursorHold) -> u64| {
        let mut samples = Samples(Vec::new());
        for (log, report) in &reports {
            for cursor in &report.cursors {
                let (name, class) = (&cursor.name, cursor.class);
                samples.add(format_args!("log=\"{log}\",cursor=\"{name}\",class=\"{class}\""), value(cursor));
            }
        }
        samples.show(page, name, gauge, help);
    };
    let help = "Durable records that a cursor has not taken.";
    of_cursors("lotbook_log_cursor_lag_records", help, |cursor| cursor.lag_records);
    let help = "Segments here that a cursor needs.";
    of_cursors("lotbook_log_cursor_segments", help, |cursor| cursor.segments);
    let help = "1 for a cursor that was released when space ran short: its owner begins anew.";
    of_cursors("lotbook_log_cursor_released", help, |cursor| cursor.released.into());
}
