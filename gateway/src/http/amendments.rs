//! `GET /v1/amendments/held` and `POST /v1/resolutions`: what waits for its target, and an operator's word on breaks.
//!
//! A resolution goes through the operator's door to the shard, and is
//! answered when its event survives power loss: it is an audited decision of a person, and they are rare.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lotbook_core::command::{Command, NameClass, Origin};
use lotbook_core::event::Reason;
use lotbook_engine::read_model::HeldView;
use lotbook_engine::{NameError, Status};
use serde::Serialize;
use serde_json::{Value, json};

use super::HttpState;
use super::guard::Caller;
use super::operator::{ANSWER_PATIENCE, now_ns, wants_json};
use super::problem::Problem;
use crate::input::{Line, ResolveLine, parse_line};

/// A held amendment in an answer.
#[derive(Serialize)]
struct Held<'a> {
    trade_id: &'a str,
    namespace: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Id that has not come.
    target_id: &'a str,
    /// Business dates that it is held for yet, this one included.
    dates_left: u32,
    user_id: Option<&'a str>,
    correlation_id: &'a str,
    sequence: u64,
}

#[derive(Serialize)]
struct HeldList<'a> {
    held: Vec<Held<'a>>,
    as_of_sequence: u64,
}

impl<'a> Held<'a> {
    fn of(view: &'a HeldView) -> Self {
        Self {
            trade_id: &view.amend_id,
            namespace: &view.namespace,
            kind: view.kind.as_str(),
            target_id: &view.target_id,
            dates_left: view.dates_left,
            user_id: (!view.user.is_empty()).then_some(&view.user),
            correlation_id: &view.correlation,
            sequence: view.sequence,
        }
    }
}

/// All held amendments, in the order of arrival.
pub(super) async fn held(State(state): State<Arc<HttpState>>) -> Response {
    let as_of_sequence = state.model.published_sequence();
    let views = state.model.held();
    Json(HeldList { held: views.iter().map(Held::of).collect(), as_of_sequence }).into_response()
}

/// What became of a resolution.
#[derive(Debug, Serialize)]
struct Resolved {
    account: String,
    instrument: String,
    /// The position's version after it.
    version: u64,
    /// Log sequence of its event, which survives power loss.
    sequence: u64,
}

/// Resolves the breaks of a position. Blocks until the event is durable.
fn resolve(state: &HttpState, line: ResolveLine) -> Result<Resolved, Problem> {
    let Some(operator) = &state.operator else { return Err(Problem::unavailable("this host takes no commands here")) };
    let unknown = || Problem::unknown_position(&line.account, &line.instrument);
    // Only a position that is there: a name that nobody knows is not defined by asking for it.
    let ids = (
        state.directory.find(NameClass::Account, &line.account).ok_or_else(unknown)?,
        state.directory.find(NameClass::Instrument, &line.instrument).ok_or_else(unknown)?,
    );
    state.model.position(ids.0, ids.1).ok_or_else(unknown)?;
    let deadline = Instant::now() + ANSWER_PATIENCE;
    let now_ns = now_ns();
    let mut end = operator.lock();
    let input = end.resolver.resolve(&line, now_ns).map_err(|error| match error {
        NameError::Length => Problem::bad_parameter("user_id", "it is too long"),
        NameError::Full => Problem::unavailable("no more names can be defined"),
        NameError::Unavailable => Problem::unavailable("the host takes no new names now"),
    })?;
    let origin = Origin { received_at_ns: now_ns, ..Origin::INTERNAL };
    let answer = end.ask(origin, Command::Resolve(input), deadline);
    drop(end);
    let answer = answer.ok_or_else(Problem::unknown_fate)?;
    match answer.status {
        Status::Done => {}
        Status::Refused => return Err(refused(&line, answer.reason)),
        Status::OutOfSpace => return Err(Problem::unavailable("the disk has no room; nothing was recorded")),
        Status::Unknown | Status::Trade(_) | Status::Action(_) => return Err(Problem::unknown_fate()),
    }
    let left = deadline.saturating_duration_since(Instant::now());
    match state.log.wait_durable(answer.sequence, left) {
        Ok(true) => {}
        Ok(false) | Err(_) => return Err(Problem::unknown_fate()),
    }
    let ResolveLine { account, instrument, .. } = line;
    Ok(Resolved { account, instrument, version: answer.version, sequence: answer.sequence })
}

fn refused(line: &ResolveLine, reason: Reason) -> Problem {
    let detail = match reason {
        Reason::VersionMoved => "the position has another version by now; look at it again".to_owned(),
        _ => format!(
            "account \"{}\", instrument \"{}\" has no breaks that await a person",
            line.account, line.instrument
        ),
    };
    Problem::conflict(reason.code(), detail)
}

/// A body that names no user has the caller's. What is no object is left to the parser, which says so.
fn signed(body: Bytes, caller: &Caller) -> Bytes {
    let Some(who) = &caller.who else { return body };
    match serde_json::from_slice(&body) {
        Ok(Value::Object(mut fields)) if !fields.contains_key("user_id") => {
            fields.insert("user_id".into(), who.user.clone().into());
            Value::Object(fields).to_string().into()
        }
        _ => body,
    }
}

/// An operator resolves the breaks of a position.
pub(super) async fn resolution(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Problem> {
    wants_json(&headers)?;
    let body = body.map_err(|error| Problem::bad_parameter("body", error.body_text()))?;
    let line = match parse_line(&signed(body, &caller), false) {
        Ok(Line::Resolve(mut line)) => {
            line.user_id = caller.user(Some(&line.user_id))?.unwrap_or(line.user_id);
            line
        }
        Ok(_) => return Err(Problem::bad_parameter("type", "\"resolve\" is wanted")),
        Err(error) => return Err(Problem::bad_parameter(error.field.clone().unwrap_or("body".into()), error.message)),
    };
    let resolved = tokio::task::spawn_blocking(move || {
        let (account, instrument, reason) = (&line.account, &line.instrument, &line.reason);
        let detail = json!({"account": account, "instrument": instrument, "reason": reason, "user_id": line.user_id});
        caller.records(&state, "POST /v1/resolutions", &detail)?;
        resolve(&state, line)
    });
    let resolved = resolved.await;
    let resolved = resolved.map_err(|error| Problem::internal(error.to_string()))??;
    Ok((StatusCode::OK, Json(resolved)).into_response())
}
