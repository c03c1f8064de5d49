//! `/v1/dead-letters`: what did not come in, and what an operator does about it: show, correct and send again, give up.
//!
//! Who does something says who they are and why; both are in the office's log before anything is done (`docs/gate.md`).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HttpState;
use super::commands::{Done, Given, NAMESPACE, Outcome, send_one};
use super::guard::Caller;
use super::metrics::Page;
use super::operator::{ANSWER_PATIENCE, now_ns, wants_json};
use super::problem::Problem;
use crate::input::text::check_id;
use crate::input::time::format_timestamp;
use crate::input::{Line, parse_line};
use crate::office::letter::{Deed, Form, Kept, Letter, State as LetterState};
use crate::office::{DeedError, OPEN_ALERT, Office, RAW_BYTES_MAX};
use crate::replay::{decode_fix, fix_namespace_of};

/// Largest body of a deed: a whole input in place of the one that came, and room for escapes.
pub(super) const DEED_BYTES_MAX: usize = 2 * RAW_BYTES_MAX + 4096;
/// Longest reason.
const REASON_BYTES_MAX: usize = 200;
/// Letters on a page unless the request says otherwise, and at most.
const LIMITS: (usize, usize) = (100, 1_000);

pub(super) fn office(state: &HttpState) -> Result<&Arc<Office>, Problem> {
    state.office.as_ref().ok_or_else(|| Problem::unavailable("this host keeps no dead letters"))
}

/// What an operator is to look at.
pub(super) fn warning(state: &HttpState) -> Option<String> {
    let open = state.office.as_ref()?.tally().open;
    (open >= OPEN_ALERT).then(|| format!("{open} inputs that did not come in wait for an operator: lotbook dlq list"))
}

/// Counters for the scraper.
pub(super) fn metrics(page: &mut Page, state: &HttpState) {
    let Some(office) = &state.office else { return };
    let tally = office.tally();
    let help = "Inputs that did not come in and wait for an operator.";
    page.gauge("lotbook_input_dead_letters_open", help, tally.open as u64);
    let help = "Bytes of the dead letters of inputs in memory, about.";
    page.gauge("lotbook_input_dead_letters_bytes", help, tally.bytes as u64);
    let help = "Inputs that did not come in and were kept, repetitions too; of the whole log.";
    page.counter("lotbook_input_dead_letters_total", help, tally.put);
    let help = "Dead letters of inputs that gave way to newer ones while they waited; of the whole log.";
    page.counter("lotbook_input_dead_letters_gave_way_total", help, tally.gave_way);
}

/// A letter in an answer.
#[derive(Serialize)]
struct Shown {
    dead_letter: u64,
    state: LetterState,
    tries: u32,
    #[serde(flatten)]
    letter: Letter,
    at: String,
    /// The bytes as they came, where they are text.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    /// The bytes as they came, in hexadecimal, where they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deeds: Option<Vec<Deed>>,
}

impl Shown {
    fn head((number, kept): (u64, Kept)) -> Self {
        let at = format_timestamp(kept.letter.at_ns);
        let Kept { letter, state, tries, .. } = kept;
        Self { dead_letter: number, state, tries, letter, at, raw: None, raw_hex: None, deeds: None }
    }

    fn whole((number, kept): (u64, Kept)) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (raw, raw_hex) = match std::str::from_utf8(&kept.raw) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(hex(&kept.raw))),
        };
        let deeds = Some(kept.deeds.iter().cloned().collect());
        Self { raw, raw_hex, deeds, ..Self::head((number, kept)) }
    }
}

#[derive(Serialize)]
struct Letters {
    dead_letters: Vec<Shown>,
    /// The value of `after` for the next page.
    next: Option<u64>,
    open: usize,
    /// As many wait as is an alarm.
    alert: bool,
}

/// What is asked for: all of it must hold.
#[derive(Debug)]
struct Wanted {
    state: Option<LetterState>,
    /// A field of the letter and its value.
    fields: Vec<(String, String)>,
    after: u64,
    limit: usize,
}

impl Wanted {
    fn parse(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut wanted = Self { state: Some(LetterState::Open), fields: Vec::new(), after: 0, limit: LIMITS.0 };
        for (index, (key, value)) in pairs.iter().enumerate() {
            let bad = |detail: &str| Problem::bad_parameter(key.clone(), detail);
            if pairs[..index].iter().any(|(other, _)| other == key) {
                return Err(bad("it is given twice"));
            }
            match key.as_str() {
                "state" => {
                    wanted.state = match value.as_str() {
                        "open" => Some(LetterState::Open),
                        "resubmitted" => Some(LetterState::Resubmitted),
                        "discarded" => Some(LetterState::Discarded),
                        "all" => None,
                        _ => return Err(bad("one of open, resubmitted, discarded and all is wanted")),
                    };
                }
                "class" | "code" | "source" | "trade_id" | "account" | "instrument" | "correlation_id" => {
                    wanted.fields.push((key.clone(), value.clone()));
                }
                "after" => wanted.after = value.parse().map_err(|_| bad("a number is wanted"))?,
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMITS.1).contains(limit));
                    wanted.limit = limit.ok_or_else(|| bad(&format!("a number from 1 to {} is wanted", LIMITS.1)))?;
                }
                _ => {
                    let known = "state, class, code, source, trade_id, account, instrument, correlation_id, after and limit are known";
                    return Err(bad(&format!("no such parameter; {known}")));
                }
            }
        }
        Ok(wanted)
    }

    fn has(&self, kept: &Kept) -> bool {
        let letter = &kept.letter;
        self.state.is_none_or(|state| kept.state == state)
            && self.fields.iter().all(|(field, value)| {
                let held = match field.as_str() {
                    "class" => Some(letter.class.as_str()),
                    "code" => Some(letter.code.as_str()),
                    "source" => Some(letter.source.as_str()),
                    "trade_id" => letter.trade_id.as_deref(),
                    "account" => letter.account.as_deref(),
                    "instrument" => letter.instrument.as_deref(),
                    _ => Some(letter.correlation_id.as_str()),
                };
                held == Some(value)
            })
    }
}

/// A page of letters, the oldest first, without their bytes.
pub(super) async fn list(
    State(state): State<Arc<HttpState>>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let wanted = Wanted::parse(&pairs)?;
    let office = office(&state)?;
    let (page, has_more) = office.list(wanted.after, wanted.limit, |kept| wanted.has(kept));
    let next = page.last().map(|(number, _)| *number).filter(|_| has_more);
    let open = office.tally().open;
    let dead_letters = page.into_iter().map(Shown::head).collect();
    Ok(Json(Letters { dead_letters, next, open, alert: open >= OPEN_ALERT }).into_response())
}

fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::bad_parameter("letter", "the number of a dead letter is wanted"))
}

fn no_such(letter: u64) -> Problem {
    Problem::not_found(format!("there is no dead letter {letter}, or none any more"))
}

/// One letter, with its bytes and what was done about it.
pub(super) async fn one(State(state): State<Arc<HttpState>>, Path(letter): Path<String>) -> Result<Response, Problem> {
    let letter = number(&letter)?;
    let kept = office(&state)?.get(letter).ok_or_else(|| no_such(letter))?;
    Ok(Json(Shown::whole((letter, kept))).into_response())
}

/// What an operator says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// With logins the credential's, and left out.
    #[serde(default)]
    user_id: String,
    reason: String,
    /// What is sent in place of what came.
    #[serde(default)]
    line: Option<Value>,
}

impl Said {
    fn parse(body: &[u8], caller: &Caller) -> Result<Self, Problem> {
        let mut said: Self =
            serde_json::from_slice(body).map_err(|error| Problem::bad_parameter("body", error.to_string()))?;
        said.user_id = caller.user(Some(said.user_id.as_str()).filter(|user| !user.is_empty()))?.unwrap_or_default();
        check_by(&said.user_id, &said.reason)?;
        Ok(said)
    }
}

/// Whether it is said who does something, and why.
pub(super) fn check_by(user_id: &str, reason: &str) -> Result<(), Problem> {
    check_id(user_id.as_bytes()).map_err(|error| Problem::bad_parameter("user_id", error.to_string()))?;
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        let wanted = format!("why, in 1 to {REASON_BYTES_MAX} bytes, is wanted");
        return Err(Problem::bad_parameter("reason", wanted));
    }
    Ok(())
}

/// An operator sends a letter again, or gives it up.
pub(super) async fn act(
    State(state): State<Arc<HttpState>>,
    Path((letter, deed)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    wants_json(&headers)?;
    let body = body.map_err(|error| Problem::bad_parameter("body", error.body_text()))?;
    let letter = number(&letter)?;
    let said = Said::parse(&body, &caller)?;
    let done = match deed.as_str() {
        "resubmit" => tokio::task::spawn_blocking(move || resubmit(&state, letter, &said)).await,
        "discard" => tokio::task::spawn_blocking(move || discard(&state, letter, &said)).await,
        _ => return Err(Problem::not_found("resubmit and discard are what can be done".to_owned())),
    };
    done.map_err(|error| Problem::internal(error.to_string()))?
}

fn refused(letter: u64, error: DeedError) -> Problem {
    match error {
        DeedError::Unknown => no_such(letter),
        DeedError::NotOpen => Problem::conflict("DEAD_LETTER_NOT_OPEN", error.to_string()),
        DeedError::Busy => Problem::conflict("DEAD_LETTER_BUSY", error.to_string()),
        DeedError::Log => Problem::unavailable("the log of dead letters takes nothing; nothing was done"),
    }
}

fn discard(state: &HttpState, letter: u64, said: &Said) -> Result<Response, Problem> {
    let office = office(state)?;
    if said.line.is_some() {
        return Err(Problem::bad_parameter("line", "what is given up is not corrected"));
    }
    let by = (said.user_id.as_str(), said.reason.as_str());
    let sequence = office.discard(letter, by, now_ns()).map_err(|error| refused(letter, error))?;
    if !office.is_durable(sequence, ANSWER_PATIENCE) {
        return Err(Problem::unknown_fate());
    }
    shown(office, letter, None)
}

fn shown(office: &Office, letter: u64, result: Option<Done>) -> Result<Response, Problem> {
    let kept = office.get(letter).ok_or_else(|| no_such(letter))?;
    let mut document =
        serde_json::to_value(Shown::whole((letter, kept))).map_err(|error| Problem::internal(error.to_string()))?;
    if let (Some(result), Value::Object(fields)) = (result, &mut document) {
        fields.insert("result".into(), serde_json::to_value(result).unwrap_or_default());
    }
    Ok((StatusCode::OK, Json(document)).into_response())
}

/// The line that is sent: the corrected one, or what came.
fn line(state: &HttpState, kept: &Kept, corrected: Option<&str>) -> Result<Line, Problem> {
    let unread = |error: crate::input::LineError| {
        let field = error.field.clone().unwrap_or("line".into());
        Problem::bad_parameter(field, error.message).with_code(error.code.as_str())
    };
    let line = match (corrected, kept.letter.form) {
        (Some(text), _) => parse_line(text.as_bytes(), false).map_err(unread)?,
        (None, _) if kept.letter.is_cut => {
            return Err(Problem::bad_parameter("line", "not all of its bytes are kept: a corrected line is wanted"));
        }
        (None, Form::Line) => parse_line(&kept.raw, false).map_err(unread)?,
        (None, Form::Fix) => {
            let base = state.operator.as_ref().and_then(|operator| operator.base_currency());
            decode_fix(&kept.raw, state.model.business_date(), base.as_deref())
                .map_err(unread)?
                .ok_or_else(|| Problem::bad_parameter("line", "the message is no trade: a corrected line is wanted"))?
        }
    };
    match line {
        Line::Trade(_) | Line::Amend(_) | Line::Action(_) => Ok(line),
        _ => Err(Problem::bad_parameter("line", "a trade, an amendment or an action is wanted")),
    }
}

/// Says in a line what the letter knows and the line does not: whose it is, and what it comes of.
fn complete(line: &mut Line, kept: &Kept, user: &str) {
    // The namespace of a session's ids is configured, or made of the trade's date: of the corrected one.
    let date = if let Line::Trade(line) = &*line { Some(line.effective_date) } else { None };
    let of_fix = || (kept.letter.form == Form::Fix).then(|| fix_namespace_of(&kept.raw, date)).flatten();
    let known = kept.letter.namespace.clone().or_else(of_fix);
    let (namespace, correlation, user_id) = match line {
        Line::Trade(line) => (Some(&mut line.namespace), &mut line.correlation_id, &mut line.user_id),
        Line::Amend(line) => (Some(&mut line.namespace), &mut line.correlation_id, &mut line.user_id),
        Line::Action(line) => (None, &mut line.correlation_id, &mut line.user_id),
        _ => return,
    };
    if let (Some(namespace), Some(known)) = (namespace, known) {
        *namespace = Some(known);
    }
    correlation.get_or_insert_with(|| kept.letter.correlation_id.clone());
    user_id.get_or_insert_with(|| user.to_owned());
}

/// Sends a letter again. Who and why are durable before anything is sent; what became of it is a record too, and where that is not
/// known the letter waits: sent once more, what came in is a duplicate.
fn resubmit(state: &HttpState, letter: u64, said: &Said) -> Result<Response, Problem> {
    let office = office(state)?;
    let kept = office.get(letter).ok_or_else(|| no_such(letter))?;
    let corrected = said.line.as_ref().map(Value::to_string);
    let corrected = corrected.as_deref();
    let mut line = line(state, &kept, corrected)?;
    complete(&mut line, &kept, &said.user_id);
    let by = (said.user_id.as_str(), said.reason.as_str());
    let (kept, sequence) = office.send(letter, by, corrected, now_ns()).map_err(|error| refused(letter, error))?;
    if !office.is_durable(sequence, ANSWER_PATIENCE) {
        office.sent(letter, None);
        return Err(Problem::unknown_fate());
    }
    let namespace = kept.letter.namespace.as_deref().unwrap_or(NAMESPACE);
    let raw = Bytes::copy_from_slice(corrected.map_or(kept.raw.as_slice(), str::as_bytes));
    let sent = send_one(state, Given::alone(line, raw), namespace);
    let at_ns = now_ns();
    let deed = match &sent {
        Ok(done) => match (done.outcome, done.reason) {
            (Outcome::Rejected, reason) => {
                let code = reason.unwrap_or_default().to_owned();
                Some(Deed::Refused { at_ns, code, error: "the book or the gate refuses it".into() })
            }
            (Outcome::NotTaken | Outcome::Unknown, _) => None,
            (outcome, _) => Some(Deed::Taken { at_ns, outcome: outcome.word().into(), sequence: done.sequence }),
        },
        Err(_) => None,
    };
    let sequence = office.sent(letter, deed);
    let done = sent?;
    if sequence > 0 && !office.is_durable(sequence, ANSWER_PATIENCE) {
        return Err(Problem::unknown_fate());
    }
    match (done.outcome, done.reason) {
        (Outcome::Rejected, Some(reason)) => {
            Err(Problem::conflict(reason, format!("dead letter {letter} was refused again: {reason}"))
                .with_letter(Some(letter)))
        }
        (Outcome::NotTaken, Some(stopped)) => {
            Err(Problem::unavailable("an operator has stopped this; nothing was recorded").with_code(stopped))
        }
        (Outcome::NotTaken, None) => Err(Problem::unavailable("nothing was recorded; try again later")),
        (Outcome::Unknown, _) => Err(Problem::unknown_fate()),
        _ => shown(office, letter, Some(done)),
    }
}
