//! `GET /v1/control` and `POST /v1/control`: what operators have stopped, and their orders.
//!
//! An order is durable before it is answered, and holds over restarts. It is itself never stopped by one.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;

use super::HttpState;
use super::dead_letters::{check_by, office};
use super::guard::Caller;
use super::operator::{ANSWER_PATIENCE, now_ns, wants_json};
use super::problem::Problem;
use crate::input::text::{check_id, check_name};
use crate::office::OrderError;
use crate::office::controls::{Given, Order, Scope};

/// What is stopped, by whom and why, and the last orders.
pub(super) async fn show(State(state): State<Arc<HttpState>>) -> Result<Response, Problem> {
    Ok(Json(office(&state)?.controls().standing()).into_response())
}

/// What an operator says.
#[derive(Deserialize)]
struct Said {
    /// With logins the credential's, and left out.
    #[serde(default)]
    user_id: String,
    reason: String,
    #[serde(flatten)]
    order: Order,
}

fn parse(body: &[u8], caller: &Caller) -> Result<Said, Problem> {
    let mut said: Said =
        serde_json::from_slice(body).map_err(|error| Problem::bad_parameter("body", error.to_string()))?;
    said.user_id = caller.user(Some(said.user_id.as_str()).filter(|user| !user.is_empty()))?.unwrap_or_default();
    check_by(&said.user_id, &said.reason)?;
    let named = |checked: Result<(), crate::input::text::TextError>| {
        checked.map_err(|error| Problem::bad_parameter("name", error.to_string()))
    };
    match &said.order {
        Order::Halt(scope) | Order::Resume(scope) => match scope {
            Scope::All => {}
            Scope::Account(name) | Scope::Instrument(name) => named(check_name(name.as_bytes()))?,
            Scope::Session(name) => named(check_id(name.as_bytes()))?,
        },
        Order::ReadOnly { .. } | Order::Drain { .. } => {}
    }
    Ok(said)
}

/// Takes an order.
pub(super) async fn order(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    wants_json(&headers)?;
    let body = body.map_err(|error| Problem::bad_parameter("body", error.body_text()))?;
    let Said { user_id, reason, order } = parse(&body, &caller)?;
    let given = Given { order, user_id, reason, at_ns: now_ns() };
    let done = tokio::task::spawn_blocking(move || {
        let detail = json!({"order": given.order, "user_id": given.user_id, "reason": given.reason});
        caller.records(&state, "POST /v1/control", &detail)?;
        take(&state, given)
    });
    let done = done.await;
    done.map_err(|error| Problem::internal(error.to_string()))?
}

fn take(state: &HttpState, given: Given) -> Result<Response, Problem> {
    let office = office(state)?;
    tracing::warn!(order = ?given.order, user_id = given.user_id, reason = given.reason, "an operator's order");
    let sequence = office.order(given).map_err(|error| match error {
        OrderError::Full => Problem::conflict("CONTROL_CAPACITY", error.to_string()),
        OrderError::Log => Problem::unavailable("the order could not be recorded; nothing was done"),
    })?;
    if !office.is_durable(sequence, ANSWER_PATIENCE) {
        return Err(Problem::unknown_fate());
    }
    Ok((StatusCode::OK, Json(office.controls().standing())).into_response())
}
