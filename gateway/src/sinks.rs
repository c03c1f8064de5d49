//! What health and metrics say of every sink alike: state, breaker, failures, how far it is behind.

use std::time::{SystemTime, UNIX_EPOCH};

use lotbook_archiver::retry::Breaker;
use lotbook_archiver::status::{SinkState, SinkStatus};
use serde_json::{Map, Value, json};

use crate::http::metrics::{Page, seconds};

/// UTC nanoseconds.
fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Nothing configured, nothing shown.
pub(crate) fn off() -> Value {
    json!({ "state": "off" })
}

/// For `/health/detailed`: the fields of every sink, and then its own. It is to have everything up to the sequence `through`.
pub(crate) fn document(status: &SinkStatus, through: u64, own: Value) -> Value {
    let mut fields = Map::new();
    for part in [
        json!({
            "state": status.state.as_str(),
            "problem": status.problem,
            "breaker": status.breaker.as_str(),
            "breaker_opened": status.breaker_opened,
            "failures": status.failures,
            "complete_through": status.sequence,
            "lag_records": status.lag_records(through),
            "lag_ms": status.lag_ns(through, now_ns()) / 1_000_000,
        }),
        own,
    ] {
        if let Value::Object(part) = part {
            fields.extend(part);
        }
    }
    fields.into()
}

/// What fails, and why; `None` while nothing does.
pub(crate) fn problem(status: &SinkStatus) -> Option<&str> {
    let fails = matches!(status.state, SinkState::Failing | SinkState::Refused);
    status.problem.as_deref().filter(|_| fails)
}

/// How a sink is named in its metrics and their helps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    /// Behind `lotbook_` in the names of its families.
    pub prefix: &'a str,
    /// As in "What ... does".
    pub who: &'a str,
    /// Of its lag in seconds.
    pub lag: &'a str,
}

/// For `/metrics`: state, breaker and lag.
pub(crate) fn gauges(page: &mut Page, named: Named<'_>, status: &SinkStatus, through: u64) {
    let Named { prefix, who, lag } = named;
    let states =
        [SinkState::Connecting, SinkState::Following, SinkState::Failing, SinkState::Refused, SinkState::Stopped];
    let help = format!("What {who} does: 1 for one of them.");
    let is = states.map(|state| (state.as_str(), state == status.state));
    one_of(page, &format!("lotbook_{prefix}_state"), "state", &help, &is);
    let breakers = [Breaker::Closed, Breaker::Open, Breaker::HalfOpen];
    let is = breakers.map(|breaker| (breaker.as_str(), breaker == status.breaker));
    one_of(
        page,
        &format!("lotbook_{prefix}_breaker"),
        "breaker",
        "Whether tries are let through: 1 for one of them.",
        &is,
    );
    let behind = seconds(status.lag_ns(through, now_ns()));
    page.family(&format!("lotbook_{prefix}_lag_seconds"), "gauge", lag, &[("", behind)]);
}

fn one_of(page: &mut Page, name: &str, label: &str, help: &str, is: &[(&str, bool)]) {
    let labels: Vec<String> = is.iter().map(|(word, _)| format!("{label}=\"{word}\"")).collect();
    let samples: Vec<(&str, u8)> =
        labels.iter().zip(is).map(|(label, (_, is))| (label.as_str(), (*is).into())).collect();
    page.family(name, "gauge", help, &samples);
}
