//! `GET /v1/coldpath`: what the coldpath does; `POST /v1/coldpath`: pause, resume, resize, and retry of dead letters.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lotbook_core::command::NameClass;
use lotbook_engine::coldpath::{ColdStatus, Level, Stage};
use lotbook_engine::limits::{COLD_WORKERS_MAX, DEAD_LETTERS_ALERT};
use serde::Deserialize;
use serde_json::{Value, json};

use super::HttpState;
use super::guard::Caller;
use super::metrics::Page;
use super::operator::wants_json;
use super::problem::Problem;

/// What is to be done.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
enum Wish {
    Pause,
    Resume,
    Resize {
        workers: usize,
    },
    /// Of one position, or of all.
    Retry {
        account: Option<String>,
        instrument: Option<String>,
    },
}

/// What it does.
pub(super) async fn show(State(state): State<Arc<HttpState>>) -> Response {
    Json(document(&state)).into_response()
}

/// The same, after something was done.
pub(super) async fn command(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Problem> {
    wants_json(&headers)?;
    let body = body.map_err(|error| Problem::bad_parameter("body", error.body_text()))?;
    let wish: Wish =
        serde_json::from_slice(&body).map_err(|error| Problem::bad_parameter("body", error.to_string()))?;
    let (trail, detail) = (state.clone(), serde_json::from_slice(&body).unwrap_or_default());
    let recorded = tokio::task::spawn_blocking(move || caller.records(&trail, "POST /v1/coldpath", &detail)).await;
    recorded.map_err(|error| Problem::internal(error.to_string()))??;
    let mut retried = None;
    match wish {
        Wish::Pause => state.coldpath.pause(),
        Wish::Resume => state.coldpath.resume(),
        Wish::Resize { workers } if (1..=COLD_WORKERS_MAX).contains(&workers) => {
            state.coldpath.resize(workers);
        }
        Wish::Resize { .. } => {
            let detail = format!("a whole number from 1 to {COLD_WORKERS_MAX} is wanted");
            return Err(Problem::bad_parameter("workers", detail));
        }
        Wish::Retry { account: None, instrument: None } => retried = Some(state.coldpath.retry(None)),
        Wish::Retry { account: Some(account), instrument: Some(instrument) } => {
            retried = Some(retry_one(&state, &account, &instrument)?);
        }
        Wish::Retry { .. } => return Err(Problem::bad_parameter("instrument", "account and instrument, or neither")),
    }
    let mut document = document(&state);
    if let (Some(retried), Value::Object(fields)) = (retried, &mut document) {
        fields.insert("retried".into(), retried.into());
    }
    Ok((StatusCode::OK, Json(document)).into_response())
}

fn retry_one(state: &HttpState, account: &str, instrument: &str) -> Result<usize, Problem> {
    let unknown = || Problem::unknown_position(account, instrument);
    let of = (
        state.directory.find(NameClass::Account, account).ok_or_else(unknown)?,
        state.directory.find(NameClass::Instrument, instrument).ok_or_else(unknown)?,
    );
    let letters = state.coldpath.dead_letters();
    let letter = letters.iter().find(|letter| (letter.account, letter.instrument) == of);
    Ok(letter.map_or(0, |letter| state.coldpath.retry(Some(letter.position))))
}

/// The coldpath as a document.
pub(super) fn document(state: &HttpState) -> Value {
    let ColdStatus { queue, level, paused, workers, running, dead_letters } = state.coldpath.status();
    let counters = state.coldpath.counters();
    let (accepted, stale) = state.counters.corrections();
    let letters: Vec<Value> = dead_letters
        .iter()
        .map(|letter| {
            let view = state.model.position(letter.account, letter.instrument);
            json!({
                "position": letter.position,
                "account": view.as_ref().map(|view| &*view.account),
                "instrument": view.as_ref().map(|view| &*view.instrument),
                "version": letter.version,
                "stage": letter.stage.as_str(),
                "error": letter.error,
            })
        })
        .collect();
    json!({
        "paused": paused,
        "workers": workers,
        "running": running,
        "queue": queue.positions,
        "level": word(level),
        "busy": queue.busy,
        "backing_off": queue.backing_off,
        "overdue": queue.overdue,
        "oldest_ms": queue.oldest_us / 1_000,
        "breaches": queue.breaches,
        "aged": queue.aged,
        "corrections": accepted,
        "stale": stale,
        "rebooked_trades": state.counters.rebooked(),
        "replayed_items": counters.items(),
        "panics": counters.panics(),
        "hangs": counters.hangs(),
        "dead_letters": letters,
    })
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Calm => "calm",
        Level::Alert => "alert",
        Level::Critical => "critical",
    }
}

/// What an operator should look at.
pub(super) fn warnings(status: &ColdStatus) -> Vec<String> {
    let mut found = Vec::new();
    let (dead, waiting) = (status.dead_letters.len(), status.queue.positions);
    if dead > 0 {
        let many = if dead >= DEAD_LETTERS_ALERT { ", which is very many" } else { "" };
        found.push(format!("{dead} positions cannot be reconciled without a person{many}"));
    }
    match status.level {
        Level::Calm => {}
        Level::Alert => found.push(format!("{waiting} positions wait for the coldpath")),
        Level::Critical => found.push(format!("{waiting} positions wait for the coldpath: more workers are wanted")),
    }
    if status.queue.overdue > 0 {
        found.push(format!("{} positions are PROVISIONAL for longer than the service level", status.queue.overdue));
    }
    if status.paused {
        found.push("the coldpath is paused".into());
    }
    found
}

/// Metrics beside those of the queue's length.
pub(super) fn metrics(page: &mut Page, state: &HttpState) {
    let status = state.coldpath.status();
    let counters = state.coldpath.counters();
    let gauge = |page: &mut Page, name: &str, help: &str, value: u64| page.family(name, "gauge", help, &[("", value)]);
    let counter =
        |page: &mut Page, name: &str, help: &str, value: u64| page.family(name, "counter", help, &[("", value)]);
    gauge(page, "lotbook_coldpath_workers", "Workers of the coldpath that run.", status.running as u64);
    gauge(page, "lotbook_coldpath_paused", "1 while the coldpath is paused.", u64::from(status.paused));
    gauge(page, "lotbook_coldpath_busy", "Positions in the hands of workers.", status.queue.busy as u64);
    let help = "Positions that wait for their next try.";
    gauge(page, "lotbook_coldpath_backing_off", help, status.queue.backing_off as u64);
    let help = "Positions that are PROVISIONAL for longer than the service level.";
    gauge(page, "lotbook_coldpath_overdue", help, status.queue.overdue as u64);
    let help = "How often a position has been PROVISIONAL for longer than the service level, since the start.";
    counter(page, "lotbook_coldpath_breaches_total", help, status.queue.breaches);
    let help = "Trades that were booked again behind a correction, since the start.";
    counter(page, "lotbook_rebooked_trades_total", help, state.counters.rebooked());
    let help = "Items of histories that were replayed, since the start.";
    counter(page, "lotbook_replayed_items_total", help, counters.items());
    let help = "Panics of coldpath workers that were caught; their positions were tried again.";
    counter(page, "lotbook_coldpath_panics_total", help, counters.panics());
    let help = "Coldpath workers that were given up because they had one position for too long.";
    counter(page, "lotbook_coldpath_hangs_total", help, counters.hangs());
    let labels = Stage::ALL.map(|stage| (format!("stage=\"{}\"", stage.as_str()), counters.failures(stage)));
    let samples: Vec<(&str, u64)> = labels.iter().map(|(label, value)| (label.as_str(), *value)).collect();
    let help = "Tries of a reconciliation that failed, by stage.";
    page.family("lotbook_coldpath_failures_total", "counter", help, &samples);
}
