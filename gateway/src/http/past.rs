//! `GET /v1/positions/{account}/{instrument}` with `as_of`, `known_at` or `since`: what was known when.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use lotbook_core::command::NameClass;
use lotbook_engine::past::{Answer, Moment, PastError, Question};
use serde::Serialize;

use super::HttpState;
use super::problem::Problem;
use crate::cli::{parse_date, parse_moment};
use crate::past::{PastRow, row};

/// What the query says of the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    as_of: Option<lotbook_core::Date>,
    known_at: Option<Moment>,
    since: Option<Moment>,
}

impl Wanted {
    /// A parameter that is unknown, given twice, or not understood is refused by name.
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut wanted = Self::default();
        for (index, (key, value)) in pairs.iter().enumerate() {
            let bad = |detail: String| Problem::bad_parameter(key.clone(), detail);
            if pairs[..index].iter().any(|(other, _)| other == key) {
                return Err(bad("it is given twice".into()));
            }
            match key.as_str() {
                "as_of" => wanted.as_of = Some(parse_date(value).map_err(bad)?),
                "known_at" => wanted.known_at = Some(parse_moment(value).map_err(bad)?),
                "since" => wanted.since = Some(parse_moment(value).map_err(bad)?),
                _ => return Err(bad("no such parameter; as_of, known_at and since are known".into())),
            }
        }
        Ok(wanted)
    }

    /// Whether it asks for what is published now, and for nothing else.
    pub(super) fn is_now(self) -> bool {
        self == Self::default()
    }
}

#[derive(Serialize)]
struct Body {
    #[serde(flatten)]
    row: PastRow,
    /// As `known_at`: where the other answers say up to which sequence they are complete.
    as_of_sequence: u64,
    /// Only what survives power loss is told of the past.
    durable: bool,
}

/// The answer. The log is read on a thread for long answers.
pub(super) async fn answer(
    state: Arc<HttpState>,
    account: String,
    instrument: String,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let names = [(NameClass::Account, &account), (NameClass::Instrument, &instrument)];
    let [Some(of_account), Some(of_instrument)] = names.map(|(class, name)| state.directory.find(class, name)) else {
        return Err(Problem::unknown_position(&account, &instrument));
    };
    let question = Question {
        account: of_account,
        instrument: of_instrument,
        as_of: wanted.as_of,
        known_at: wanted.known_at.unwrap_or(Moment::Now),
        since: wanted.since,
    };
    let asked = state.clone();
    let answer = tokio::task::spawn_blocking(move || asked.past.ask(&question)).await;
    let answer = answer.map_err(|error| Problem::internal(error.to_string()))?;
    let answer = answer.map_err(|error| problem(error, &account, &instrument))?;
    Ok(Json(body(&state, &answer, wanted.since.is_some())).into_response())
}

fn body(state: &HttpState, answer: &Answer, with_corrections: bool) -> Body {
    Body { row: row(answer, &state.model, with_corrections), as_of_sequence: answer.known_at, durable: true }
}

fn problem(error: PastError, account: &str, instrument: &str) -> Problem {
    let detail = error.to_string();
    match error {
        PastError::Unknown { .. } => Problem::unknown_position(account, instrument),
        PastError::Beyond { .. } => Problem::conflict("NOT_COMPLETE", detail),
        PastError::Order { .. } => Problem::bad_parameter("since", detail),
        // What only an archive has is read from there; this is what nothing within reach has, or what is damaged.
        PastError::Read(_) | PastError::Body(_) => Problem::out_of_reach(detail),
        PastError::Codec { .. } | PastError::Misfit { .. } | PastError::Replay(_) => Problem::internal(detail),
    }
}
