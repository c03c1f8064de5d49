//! `GET /metrics`: the counters in the text format of Prometheus, version 0.0.4.
//!
//! Read from atomics that their threads write; a scrape disturbs nobody. Base units are seconds and
//! bytes; counters end in `_total`. Nothing here is a float: seconds are written from nanoseconds.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use lotbook_core::amount::format_scaled;
use lotbook_core::event::Class;
use lotbook_wal::Log;

use super::HttpState;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Buckets of flush latency that are shown: from 2^13 ns (8 us) to 2^33 ns (8.6 s), powers of two.
const SHOWN_BUCKETS: std::ops::RangeInclusive<usize> = 12..=32;

pub(super) async fn scrape(State(state): State<Arc<HttpState>>) -> Response {
    ([(CONTENT_TYPE, TEXT_FORMAT)], render(&state)).into_response()
}

/// Families in the making.
pub(crate) struct Page(String);

impl Page {
    /// A family: its help, its type, then its samples by label.
    pub(crate) fn family<V: Display>(&mut self, name: &str, kind: &str, help: &str, samples: &[(&str, V)]) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = if labels.is_empty() {
                writeln!(self.0, "{name} {value}")
            } else {
                writeln!(self.0, "{name}{{{labels}}} {value}")
            };
        }
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, &[("", value)]);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help, &[("", value)]);
    }

    /// One sample for each log.
    fn of_logs<V: Display>(&mut self, name: &str, kind: &str, help: &str, logs: [&Log; 2], value: impl Fn(&Log) -> V) {
        let [main, side] = logs.map(value);
        self.family(name, kind, help, &[("log=\"main\"", main), ("log=\"side\"", side)]);
    }
}

/// Nanoseconds as seconds.
pub(crate) fn seconds(ns: u64) -> String {
    format_scaled(i128::from(ns), 9)
}

/// The whole page.
#[must_use]
pub fn render(state: &HttpState) -> String {
    let mut page = Page(String::with_capacity(16 << 10));
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    page.family("lotbook_build_info", "gauge", "The release that runs.", &[(&version, 1)]);
    shard(&mut page, state);
    logs(&mut page, [&state.log, &state.side]);
    super::retention::metrics(&mut page, &state.logs());
    followers(&mut page, state);
    if let Some(redis) = &state.redis {
        redis.metrics(&mut page, state.model.published_sequence());
    }
    if let Some(archive) = &state.archive {
        archive.metrics(&mut page, &state.log);
    }
    page.0
}

fn shard(page: &mut Page, state: &HttpState) {
    let counters = &state.counters;
    let trades = [
        ("class=\"applied\"", Class::Applied),
        ("class=\"provisional\"", Class::Provisional),
        ("class=\"forward\"", Class::Forward),
        ("class=\"matured\"", Class::Matured),
        ("class=\"rejected\"", Class::Rejected),
        ("class=\"duplicate\"", Class::Duplicate),
    ]
    .map(|(label, class)| (label, counters.trades(class)));
    page.family("lotbook_trades_total", "counter", "Trades decided since the start, by what became of them.", &trades);
    let amendments = [
        ("class=\"accepted\"", Class::Provisional),
        ("class=\"held\"", Class::Held),
        ("class=\"lapsed\"", Class::Lapsed),
        ("class=\"rejected\"", Class::Rejected),
        ("class=\"duplicate\"", Class::Duplicate),
    ]
    .map(|(label, class)| (label, counters.amendments(class)));
    let help = "Cancels and corrects decided since the start, by what became of them.";
    page.family("lotbook_amendments_total", "counter", help, &amendments);
    let help = "Held amendments whose target came in time, since the start.";
    page.counter("lotbook_held_matched_total", help, counters.matched());
    let help = "Held amendments whose time ran out before their target came, since the start.";
    page.counter("lotbook_held_expired_total", help, counters.expired());
    page.gauge("lotbook_held_amendments", "Amendments that are held for a target that has not come.", counters.held());
    let help = "Commands other than trades and amendments, decided since the start.";
    page.counter("lotbook_commands_total", help, counters.others());
    let (accepted, stale) = counters.corrections();
    let samples = [("result=\"accepted\"", accepted), ("result=\"stale\"", stale)];
    let help = "Proposals of the coldpath; a stale one met a position that had moved on, and is made again.";
    page.family("lotbook_corrections_total", "counter", help, &samples);
    let help = "Commands that were not taken in for want of disk space; their senders were told.";
    page.counter("lotbook_shed_total", help, counters.shed());
    let help = "Times that the shard found the mapped tail full and waited for the log thread.";
    page.counter("lotbook_tail_full_total", help, counters.tail_full());
}

fn logs(page: &mut Page, logs: [&Log; 2]) {
    let gauge = "gauge";
    let help = "Everything up to this sequence survives power loss.";
    page.of_logs("lotbook_log_durable_sequence", gauge, help, logs, Log::durable_sequence);
    let help = "Everything up to this sequence survives a killed process.";
    page.of_logs("lotbook_log_published_sequence", gauge, help, logs, Log::published_sequence);
    let help = "Opening of the log; rises with every start.";
    page.of_logs("lotbook_log_epoch", gauge, help, logs, Log::epoch);
    let help = "Bytes that are published and not yet durable.";
    page.of_logs("lotbook_log_pending_bytes", gauge, help, logs, |log| log.stats().pending_bytes);
    page.of_logs("lotbook_log_segments", gauge, "Segment files.", logs, |log| log.stats().segments);
    let help = "1 when a write or sync has failed; nothing more is acknowledged until a restart.";
    page.of_logs("lotbook_log_latched", gauge, help, logs, |log| u8::from(log.latched().is_some()));
    let help = "1 while the next segment cannot be prepared for lack of space.";
    page.of_logs("lotbook_log_out_of_space", gauge, help, logs, |log| u8::from(log.out_of_space()));
    let counter = "counter";
    let help = "Records published since the start.";
    page.of_logs("lotbook_log_records_total", counter, help, logs, |log| log.stats().records);
    let help = "Bytes published since the start.";
    page.of_logs("lotbook_log_published_bytes_total", counter, help, logs, |log| log.stats().published_bytes);
    let help = "Bytes handed to the disk since the start, tail slots included.";
    page.of_logs("lotbook_log_written_bytes_total", counter, help, logs, |log| log.stats().written_bytes);
    let help = "Flushes of the watermark alone, on a quiet log.";
    page.of_logs("lotbook_log_watermark_flushes_total", counter, help, logs, |log| log.stats().watermark_flushes);
    let help = "Segments gone over to since the start.";
    page.of_logs("lotbook_log_rolls_total", counter, help, logs, |log| log.stats().rolls);
    let help = "The longest flush since the start.";
    page.of_logs("lotbook_log_flush_seconds_max", gauge, help, logs, |log| seconds(log.stats().flush_ns_max));
    flush_histogram(page, logs);
}

fn flush_histogram(page: &mut Page, logs: [&Log; 2]) {
    let name = "lotbook_log_flush_seconds";
    let help = "From the start of a flush until its records are durable.";
    page.family::<u64>(name, "histogram", help, &[]);
    for (label, log) in [("main", logs[0]), ("side", logs[1])] {
        let stats = log.stats();
        let buckets = &stats.flush_latency_buckets;
        for last in SHOWN_BUCKETS {
            let below: u64 = buckets[..=last].iter().sum();
            let upper = seconds(1 << (last + 1));
            let _ = writeln!(page.0, "{name}_bucket{{log=\"{label}\",le=\"{upper}\"}} {below}");
        }
        // Of the buckets themselves, so that the page agrees with itself while the log thread goes on.
        let all: u64 = buckets.iter().sum();
        let _ = writeln!(page.0, "{name}_bucket{{log=\"{label}\",le=\"+Inf\"}} {all}");
        let _ = writeln!(page.0, "{name}_sum{{log=\"{label}\"}} {}", seconds(stats.flush_ns_sum));
        let _ = writeln!(page.0, "{name}_count{{log=\"{label}\"}} {all}");
    }
}

fn followers(page: &mut Page, state: &HttpState) {
    let model = &state.model;
    page.gauge("lotbook_positions", "Positions, open or closed.", model.len() as u64);
    let help = "Positions that are an estimate and await the coldpath.";
    page.gauge("lotbook_provisional_positions", help, model.provisional_positions());
    let help = "Positions with breaks that await a person.";
    page.gauge("lotbook_pending_positions", help, model.pending_positions());
    let help = "Accepted trades that break a rule at their place in history, resolved ones included.";
    page.gauge("lotbook_breaks", help, model.breaks());
    let help = "Every event up to this sequence is visible to readers.";
    page.gauge("lotbook_read_model_published_sequence", help, model.published_sequence());
    let help = "Sequence of the newest checkpoint on disk.";
    page.gauge("lotbook_checkpoint_sequence", help, model.checkpoint_sequence());
    let help = "Positions that wait for the coldpath or are served by it.";
    page.gauge("lotbook_coldpath_queue", help, state.coldpath.len() as u64);
    let help = "Positions that cannot be reconciled without a person.";
    page.gauge("lotbook_dead_letters", help, state.coldpath.dead_letters().len() as u64);
    super::coldpath::metrics(page, state);
    super::dead_letters::metrics(page, state);
    page.gauge("lotbook_streams", "Clients that hear events as they become durable.", state.streams.open() as u64);
    page.gauge("lotbook_http_connections", "Connections of the HTTP door.", state.connections.count() as u64);
    let (evicted, refused) = state.connections.turned_away();
    let help = "Connections that were closed because there were too many: idle ones for others, and others while all were busy.";
    let turned_away = [("state=\"idle\"", evicted), ("state=\"new\"", refused)];
    page.family("lotbook_http_connections_closed_total", "counter", help, &turned_away);
    let help = "Requests that were refused before they reached an endpoint.";
    page.family("lotbook_http_refused_total", "counter", help, &state.refusals.counts());
    let help = "Records that the last start applied from the log.";
    page.gauge("lotbook_recovery_records", help, state.report.records);
    let took_ns = u64::try_from(state.report.took.as_nanos()).unwrap_or(u64::MAX);
    page.family("lotbook_recovery_seconds", "gauge", "How long the last start took.", &[("", seconds(took_ns))]);
    let help = "First sequence whose \"applied\" answers may be lost by the last start; 0 for none.";
    let lost = state.report.log.lost_from_sequence.unwrap_or(0);
    page.gauge("lotbook_recovery_lost_from_sequence", help, lost);
}
