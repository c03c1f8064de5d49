//! Health: is the process alive, may it be given work, and what a person wants to know.
//!
//! Ready means: trades are taken in and acknowledged. A latched log, a disk without room, an engine
//! that stopped, and a host on its way down are not ready. Reads go on in all of these.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lotbook_engine::{Host, HostError};
use lotbook_wal::{Log, OpenReport, RetentionReport, SpaceAlert};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::HttpState;
use crate::archive;
use crate::redis;

/// What only the owner of the host knows.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Why the engine does not work any more.
    pub error: Option<String>,
    /// What works but wants an operator: a checkpoint that could not be written.
    pub warnings: Vec<String>,
    /// The host is on its way down.
    pub stopping: bool,
    /// More for `/health/detailed`, by name: the sessions of the doors, for one.
    pub details: Map<String, Value>,
}

impl Health {
    /// What a host says of itself. A checkpoint that was not written is a warning: the log goes on.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        match host.error() {
            None => Self::default(),
            Some(error @ HostError::Checkpoint(_)) => Self { warnings: vec![error.to_string()], ..Self::default() },
            Some(error) => Self { error: Some(error.to_string()), ..Self::default() },
        }
    }
}

/// One word for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    /// Ready, nothing to tell.
    Ok,
    /// Ready, and an operator should look.
    Degraded,
    /// Ready, and without an operator it will not stay so.
    Critical,
    /// Not ready.
    Failing,
}

/// The verdict and its reasons.
#[derive(Debug)]
struct Verdict {
    ready: bool,
    problems: Vec<String>,
    critical: Vec<String>,
    warnings: Vec<String>,
}

impl Verdict {
    fn of(state: &HttpState, health: &Health) -> Self {
        let mut problems: Vec<String> = health.error.iter().cloned().collect();
        for (name, log) in [("log", &state.log), ("side log", &state.side)] {
            let latched = log.latched().map(|error| format!("the {name} is latched: {error}"));
            problems.extend(latched);
            if log.out_of_space() {
                problems.push(format!("the {name} has no room for its next segment"));
            }
        }
        if health.stopping {
            problems.push("the host is stopping".into());
        }
        if state.office.as_ref().is_some_and(|office| office.controls().is_draining()) {
            problems.push("the host drains, by an operator's order".into());
        }
        let mut warnings = health.warnings.clone();
        for (name, report) in [("log", &state.report.log), ("side log", &state.report.side)] {
            let lost = report.lost_from_sequence;
            warnings.extend(lost.map(|from| {
                format!("the tail of the {name} was lost: answers \"applied\" from sequence {from} on may be lost")
            }));
        }
        warnings.extend(super::coldpath::warnings(&state.coldpath.status()));
        let reports: Vec<_> = state.logs().iter().map(|(name, log)| (*name, log.retention())).collect();
        let (critical, wanting) = space(&reports);
        warnings.extend(wanting);
        warnings.extend(state.outlook.warnings());
        warnings.extend(super::dead_letters::warning(state));
        warnings.extend(state.redis.iter().flat_map(|redis| redis.warnings()));
        warnings.extend(state.archive.iter().flat_map(archive::Seen::warnings));
        Self { ready: problems.is_empty(), problems, critical, warnings }
    }

    fn word(&self) -> Word {
        match (self.ready, self.critical.is_empty(), self.warnings.is_empty()) {
            (false, ..) => Word::Failing,
            (true, false, _) => Word::Critical,
            (true, true, false) => Word::Degraded,
            (true, true, true) => Word::Ok,
        }
    }

    fn status(&self) -> StatusCode {
        if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    }
}

/// What is said of space: first what cannot wait (full within 4 hours), then what should not (within 24 hours).
fn space(reports: &[(&'static str, RetentionReport)]) -> (Vec<String>, Vec<String>) {
    let (mut critical, mut warnings) = (Vec::new(), Vec::new());
    for (name, report) in reports {
        let left = report.full_in.map_or(0, |left| left.as_secs() / 60);
        let words = format!(
            "the disk of the {name} log is full in {} h {} min at the pace of the last ten minutes",
            left / 60,
            left % 60
        );
        match report.alert {
            SpaceAlert::Within4Hours => critical.push(words),
            SpaceAlert::Within24Hours => warnings.push(words),
            SpaceAlert::None => {}
        }
    }
    (critical, warnings)
}

/// The process answers: that is all. A process that is alive and not ready wants a person, or its
/// supervisor, and the answers of `readiness` say why.
pub(super) async fn liveness() -> Json<Value> {
    Json(json!({ "alive": true }))
}

pub(super) async fn readiness(State(state): State<Arc<HttpState>>) -> Response {
    let verdict = Verdict::of(&state, &(state.health)());
    (verdict.status(), Json(json!({ "ready": verdict.ready, "problems": verdict.problems }))).into_response()
}

pub(super) async fn summary(State(state): State<Arc<HttpState>>) -> Response {
    let verdict = Verdict::of(&state, &(state.health)());
    let body = json!({
        "status": verdict.word(),
        "ready": verdict.ready,
        "problems": verdict.problems,
        "critical": verdict.critical,
        "warnings": verdict.warnings,
        "version": env!("CARGO_PKG_VERSION"),
    });
    (verdict.status(), Json(body)).into_response()
}

pub(super) async fn detailed(State(state): State<Arc<HttpState>>) -> Response {
    let health = (state.health)();
    let verdict = Verdict::of(&state, &health);
    let model = &state.model;
    // Read in the order in which they grow, so that no lag comes out negative.
    let (published, applied) = (model.published_sequence(), model.sequence());
    let in_log = state.log.published_sequence();
    let mut body = json!({
        "status": verdict.word(),
        "ready": verdict.ready,
        "problems": verdict.problems,
        "critical": verdict.critical,
        "warnings": verdict.warnings,
        "version": env!("CARGO_PKG_VERSION"),
        "log": log_details(&state.log),
        "side_log": log_details(&state.side),
        "read_model": {
            "applied_sequence": applied,
            "published_sequence": published,
            "lag_records": in_log.saturating_sub(published),
            "positions": model.len(),
            "provisional_positions": model.provisional_positions(),
            "business_date": model.business_date().map(|date| date.to_string()),
            "economic_digest": format!("{:016x}", model.economic_digest()),
        },
        "checkpoint": {
            "sequence": model.checkpoint_sequence(),
            "records_since": applied.saturating_sub(model.checkpoint_sequence()),
        },
        "coldpath": super::coldpath::document(&state),
        "redis": redis::document(state.redis.as_ref(), model.published_sequence()),
        "archive": { "postgres": archive::document(state.archive.as_ref(), &state.log) },
        "recovery": {
            "took_ms": u64::try_from(state.report.took.as_millis()).unwrap_or(u64::MAX),
            "checkpoint_sequence": state.report.checkpoint_sequence,
            "records": state.report.records,
            "notes": state.report.notes,
            "log": opened(&state.report.log),
            "side_log": opened(&state.report.side),
        },
    });
    if let Value::Object(body) = &mut body {
        for (name, value) in health.details {
            // The door's own keys stand.
            body.entry(name).or_insert(value);
        }
    }
    (verdict.status(), Json(body)).into_response()
}

fn log_details(log: &Log) -> Value {
    // Durable first: it never passes what is published.
    let durable = log.durable_sequence();
    let published = log.published_sequence();
    let stats = log.stats();
    json!({
        "log_id": format!("{:016x}", log.log_id()),
        "epoch": log.epoch(),
        "dir": log.dir().display().to_string(),
        "tail": log.tail_path().display().to_string(),
        "durable_sequence": durable,
        "published_sequence": published,
        "lag_records": published.saturating_sub(durable),
        "lag_bytes": stats.pending_bytes,
        "segments": stats.segments,
        "out_of_space": log.out_of_space(),
        "latched": log.latched().map(|error| error.to_string()),
    })
}

fn opened(report: &OpenReport) -> Value {
    json!({
        "epoch": report.epoch,
        "created": report.created,
        "clean": report.clean,
        "row": report.row.to_string(),
        "reason": report.reason,
        "next_sequence": report.next_sequence,
        "cut_bytes": report.cut_bytes,
        "from_tail_records": report.from_tail_records,
        "lost_from_sequence": report.lost_from_sequence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lotbook_wal::BytesByClass;
    use std::time::Duration;

    fn report(hours_left: Option<u64>) -> RetentionReport {
        let full_in = hours_left.map(|hours| Duration::from_secs(hours * 3_600 - 60));
        RetentionReport {
            segments: Vec::new(),
            cursors: Vec::new(),
            bytes: BytesByClass::default(),
            room_bytes: 1,
            reclaimable_bytes: 0,
            bytes_per_second: 1,
            full_in,
            alert: SpaceAlert::of(full_in),
            short: false,
            closed: false,
            last_step: None,
            archived: 0,
            shipped: 0,
            dropped: 0,
            problems: Vec::new(),
        }
    }

    /// Degraded within 24 hours, critical within 4, and ready all the time: closing admission is the ladder's.
    #[test]
    fn time_to_full_decides_the_word() {
        for (main, side, wanted) in [
            (None, None, Word::Ok),
            (Some(25), Some(1_000), Word::Ok),
            (Some(24), None, Word::Degraded),
            (Some(5), Some(30), Word::Degraded),
            (None, Some(4), Word::Critical),
            (Some(4), Some(20), Word::Critical),
        ] {
            let (critical, warnings) = space(&[("main", report(main)), ("side", report(side))]);
            let verdict = Verdict { ready: true, problems: Vec::new(), critical, warnings };
            assert_eq!(verdict.word(), wanted, "{verdict:?}");
            assert_eq!(verdict.status(), StatusCode::OK);
        }
        let (critical, _) = space(&[("side", report(Some(4)))]);
        assert_eq!(critical, ["the disk of the side log is full in 3 h 59 min at the pace of the last ten minutes"]);
    }
}
