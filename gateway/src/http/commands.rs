//! `POST /v1/commands`: lines of `replay`, one as JSON or many as JSON lines, answered when they survive power loss.
//!
//! All lines are read before the first is sent, so a body that cannot be read sends nothing. Then they are sent in their
//! order, and each has a result of its own. What is refused becomes a dead letter before it is answered. `docs/http.md`.

mod rights;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lotbook_archiver::retry::{Retry, RetryTerms};
use lotbook_core::action_input::ActionKind;
use lotbook_core::amend::AmendKind;
use lotbook_core::command::{Command, NameClass, Origin, TradeKind};
use lotbook_core::event::{Class, Reason};
use lotbook_core::id::NO_NAME;
use lotbook_engine::{Answer, NameError, Status};
use serde::Serialize;

use super::HttpState;
use super::guard::Caller;
use super::operator::{ANSWER_PATIENCE, End, body_type, now_ns};
use super::problem::Problem;
use crate::gate;
use crate::input::{FxLine, Line, LineError, parse_line};
use crate::office::Refused;
use crate::office::controls::Wish;
use crate::office::letter::Form;
use crate::output::E16;
use crate::resolver::{Resolver, Stamps};

/// Largest body of commands, in bytes.
pub(super) const COMMANDS_BYTES_MAX: usize = 1 << 20;
/// Most lines of a body: below what a door has in flight.
pub(super) const COMMANDS_MAX: usize = 1_000;
/// Namespace of ids that name none.
pub(super) const NAMESPACE: &str = "HTTP";
/// Source of what comes in here.
const SOURCE: &str = "http";
/// What the log had no room for is tried again, so soon and so often, before its sender is told.
const RETRIES: RetryTerms = RetryTerms {
    base: Duration::from_millis(50),
    max: Duration::from_secs(1),
    breaks_after: 5,
    open_for: Duration::from_secs(1),
};

const _: () = assert!(COMMANDS_MAX < lotbook_engine::limits::DOOR_SLOTS);

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Applied,
    Provisional,
    Held,
    Duplicate,
    Rejected,
    /// Nothing was recorded: the disk has no room, or the host takes nothing more.
    NotTaken,
    /// Whether it was recorded is not known.
    Unknown,
}

impl Outcome {
    /// The word of answers.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Provisional => "provisional",
            Self::Held => "held",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
            Self::NotTaken => "not_taken",
            Self::Unknown => "unknown",
        }
    }
}

/// A line's result.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Done {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Its own id, of a line that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    pub(super) outcome: Outcome,
    /// The book's reason, where it is rejected; what stops it, where it is not taken by an operator's order.
    pub(super) reason: Option<&'static str>,
    /// Of a duplicate: what became of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_outcome: Option<Outcome>,
    /// Log sequence of its event, of a duplicate that of the first; 0 where there is none.
    pub(super) sequence: u64,
    /// The position's version after it, of a trade or an amendment that changes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// What it realized; of what is provisional an estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    realized_pnl: Option<E16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    /// The dead letter that it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<u64>,
}

#[derive(Serialize)]
struct Results {
    results: Vec<Done>,
}

impl Done {
    fn of(line: &Line) -> Self {
        let id = match line {
            Line::Trade(line) => Some(line.trade_id.clone()),
            Line::Amend(line) => Some(line.amend_id.clone()),
            Line::Action(line) => Some(line.action_id.clone()),
            _ => None,
        };
        Self {
            kind: kind(line),
            id,
            outcome: Outcome::NotTaken,
            reason: None,
            first_outcome: None,
            sequence: 0,
            version: None,
            realized_pnl: None,
            correlation_id: None,
            dead_letter: None,
        }
    }

    fn reject(&mut self, reason: Reason) {
        (self.outcome, self.reason) = (Outcome::Rejected, Some(reason.code()));
    }

    fn take(&mut self, answer: &Answer) {
        self.sequence = answer.sequence;
        match answer.status {
            Status::Trade(class) | Status::Action(class) => self.decided(answer, class),
            Status::Done => self.outcome = Outcome::Applied,
            Status::Refused => self.reject(answer.reason),
            Status::OutOfSpace => self.outcome = Outcome::NotTaken,
            Status::Unknown => self.outcome = Outcome::Unknown,
        }
    }

    fn decided(&mut self, answer: &Answer, class: Class) {
        self.outcome = outcome(class);
        match class {
            Class::Rejected | Class::Lapsed => self.reason = Some(answer.reason.code()),
            Class::Duplicate => {
                self.first_outcome = Some(outcome(answer.first_class));
                self.sequence = answer.first_sequence;
            }
            _ => {}
        }
        if class.is_accepted() && answer.position != u32::MAX {
            self.version = Some(answer.version);
            self.realized_pnl = matches!(answer.status, Status::Trade(_)).then_some(E16(answer.realized_e16));
        }
    }
}

fn outcome(class: Class) -> Outcome {
    match class {
        Class::Applied | Class::Matured | Class::Rebooked => Outcome::Applied,
        Class::Provisional => Outcome::Provisional,
        Class::Forward | Class::Held => Outcome::Held,
        Class::Rejected | Class::Lapsed => Outcome::Rejected,
        Class::Duplicate => Outcome::Duplicate,
    }
}

/// The type of a line as its sender wrote it.
fn kind(line: &Line) -> &'static str {
    match line {
        Line::Trade(line) => match line.kind {
            TradeKind::Trade => "trade",
            TradeKind::OpenLot => "open_lot",
            TradeKind::Transfer => "transfer",
        },
        Line::Amend(line) => match line.kind {
            AmendKind::Cancel => "cancel",
            AmendKind::Correct => "correct",
        },
        Line::Action(line) if line.kind == ActionKind::Reset => "reset",
        Line::Action(_) => "corporate_action",
        Line::Resolve(_) => "resolve",
        Line::Contract(_) => "contract",
        Line::Instrument(_) => "instrument",
        Line::BusinessDate(_) => "business_date",
        Line::Mark(_) => "mark",
        Line::Fx(_) => "fx",
        Line::PeriodLock(_) => "period_lock",
    }
}

/// A line with its bytes as they came.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) line: Line,
    /// Its place in the body, from 1.
    number: u64,
    raw: Bytes,
}

impl Given {
    /// A line that stands alone.
    pub(super) fn alone(line: Line, raw: Bytes) -> Self {
        Self { line, number: 1, raw }
    }
}

/// What a line asks of the shard. `None`: it is the door's own affair, and done.
fn command(
    end: &mut End,
    state: &HttpState,
    line: &Line,
    namespace: &str,
    done: &mut Done,
) -> Result<Option<Command>, NameError> {
    let now_ns = now_ns();
    let source_order = end.next_order(now_ns);
    let stamps = |executed_at_ns| Stamps { namespace, executed_at_ns, source_order, now_ns };
    Ok(Some(match line {
        Line::Trade(line) => {
            let stamp = Resolver::stamp(line.effective_date, state.model.business_date(), now_ns);
            let mut input = end.resolver.trade_line(line, &stamps(stamp))?;
            if line.fx_to_base_e8.is_none() {
                input.fx_to_base_e8 = end.rates.of_trade(&input);
            }
            done.correlation_id = Some(input.correlation.as_str().to_owned());
            Command::Trade(input)
        }
        Line::Amend(line) => {
            let input = end.resolver.amend_line(line, &stamps(0))?;
            done.correlation_id = Some(input.correlation.as_str().to_owned());
            Command::Amend(input)
        }
        Line::Action(line) => {
            let input = end.resolver.action_line(line, &stamps(0))?;
            done.correlation_id = Some(input.correlation.as_str().to_owned());
            Command::Action(input)
        }
        Line::Contract(line) => {
            let defaults = end.defaults;
            Command::Contract(end.resolver.contract_line(line, &defaults)?)
        }
        Line::Instrument(line) => Command::Instrument(end.resolver.instrument_line(line)?),
        Line::Mark(line) => Command::Mark(end.resolver.mark_line(line)?),
        Line::PeriodLock(line) => Command::PeriodLock(end.resolver.lock_line(line)?),
        Line::BusinessDate(date) => Command::BusinessDate(*date),
        Line::Fx(line) => {
            rate(end, line, done)?;
            return Ok(None);
        }
        // Refused before.
        Line::Resolve(line) => Command::Resolve(end.resolver.resolve(line, now_ns)?),
    }))
}

/// A rate is this door's own: no command. One against another currency than the base is never asked for.
fn rate(end: &mut End, line: &FxLine, done: &mut Done) -> Result<(), NameError> {
    if line.rate_e8 <= 0 {
        done.reject(Reason::BadRate);
        return Ok(());
    }
    let base = end.resolver.name(NameClass::Currency, &line.pair.base)?;
    if end.rates.base() == Some(base) {
        let currency = end.resolver.name(NameClass::Currency, &line.pair.currency)?;
        end.rates.set(currency, line.at_ns, line.rate_e8);
    }
    done.outcome = Outcome::Applied;
    Ok(())
}

/// Sends lines in their order and waits until all that was answered survives power loss. What is refused is a dead letter
/// then. Blocks.
fn send(state: &HttpState, lines: &[Given]) -> Result<Vec<Done>, Problem> {
    let (mut results, last) = carry(state, lines, NAMESPACE)?;
    let mut filed = 0;
    for (given, done) in lines.iter().zip(&mut results) {
        filed = filed.max(file(state, given, done));
    }
    settle(state, last, filed)?;
    Ok(results)
}

/// Sends one line with a namespace for its ids, and waits as above; it does not become a dead letter. Blocks.
pub(super) fn send_one(state: &HttpState, given: Given, namespace: &str) -> Result<Done, Problem> {
    let (mut results, last) = carry(state, &[given], namespace)?;
    settle(state, last, 0)?;
    results.pop().ok_or_else(|| Problem::internal("a line without a result"))
}

/// Waits until the log is durable up to a sequence, and the office up to another; 0 is none.
fn settle(state: &HttpState, last: u64, filed: u64) -> Result<(), Problem> {
    let deadline = Instant::now() + ANSWER_PATIENCE;
    if last > 0 && !matches!(state.log.wait_durable(last, ANSWER_PATIENCE), Ok(true)) {
        return Err(Problem::unknown_fate());
    }
    match &state.office {
        Some(office) if filed > 0 && !office.is_durable(filed, deadline.saturating_duration_since(Instant::now())) => {
            Err(Problem::unknown_fate())
        }
        _ => Ok(()),
    }
}

/// Makes a dead letter of a line that has an id and did not come in. Gives the sequence that is to be durable, or 0.
fn file(state: &HttpState, given: &Given, done: &mut Done) -> u64 {
    let (Some(office), Some(id)) = (&state.office, &done.id) else { return 0 };
    let (code, error) = match (done.outcome, done.reason) {
        (Outcome::Rejected, Some(reason)) => (reason, "the book or the gate refuses it"),
        // Its sender is to come again: there is nothing to look at.
        (Outcome::NotTaken, Some(_)) => return 0,
        (Outcome::NotTaken, None) => {
            (gate::OUT_OF_SPACE, "nothing was recorded: there was no room, or the host takes nothing")
        }
        (Outcome::Unknown, _) => (gate::TIMEOUT, "no answer came in time; sent again it is a duplicate if it came in"),
        _ => return 0,
    };
    let (account, instrument) = match &given.line {
        Line::Trade(line) => (Some(line.account.as_str()), Some(line.instrument.as_str())),
        Line::Amend(line) => (line.account.as_deref(), line.instrument.as_deref()),
        Line::Action(line) => (None, Some(line.instrument.as_str())),
        _ => (None, None),
    };
    let refused = Refused {
        code,
        error,
        field: None,
        source: SOURCE,
        source_offset: given.number,
        form: Form::Line,
        namespace: Some(NAMESPACE),
        trade_id: Some(id),
        account,
        instrument,
        correlation_id: done.correlation_id.as_deref(),
        at_ns: now_ns(),
        sequence: done.sequence,
        raw: &given.raw,
    };
    match office.put(&refused) {
        Ok(filed) => {
            done.dead_letter = Some(filed.letter);
            filed.sequence
        }
        Err(error) => {
            // Its sender is told all the same: the answer names no letter then.
            tracing::error!(%error, trade_id = id, code, "a refused input could not be kept");
            0
        }
    }
}

/// Sends lines in their order. Gives their results, and the sequence from which on all of them survive power loss.
fn carry(state: &HttpState, lines: &[Given], namespace: &str) -> Result<(Vec<Done>, u64), Problem> {
    let Some(operator) = &state.operator else { return Err(Problem::unavailable("this host takes no commands here")) };
    let start = Instant::now();
    let deadline = start + ANSWER_PATIENCE;
    let mut results: Vec<Done> = lines.iter().map(|given| Done::of(&given.line)).collect();
    let mut retry = Retry::new(RETRIES, now_ns() as u64);
    let mut last = 0;
    let mut end = operator.lock();
    loop {
        let (sequence, is_short) = turn(&mut end, state, lines, namespace, &mut results, deadline);
        last = last.max(sequence);
        retry.failed(start.elapsed());
        let wait = retry.wait(start.elapsed());
        if !is_short || retry.failures() >= RETRIES.breaks_after || Instant::now() + wait >= deadline {
            return Ok((results, last));
        }
        std::thread::sleep(wait);
    }
}

/// One try for all lines that were not taken yet. Gives the last sequence that they have, and whether the log had no room
/// for some.
fn turn(
    end: &mut End,
    state: &HttpState,
    lines: &[Given],
    namespace: &str,
    results: &mut [Done],
    deadline: Instant,
) -> (u64, bool) {
    let source = end.resolver.name(NameClass::Source, SOURCE).unwrap_or(NO_NAME);
    let mut sent = Vec::with_capacity(lines.len());
    for (at, given) in lines.iter().enumerate() {
        if results[at].outcome != Outcome::NotTaken {
            continue;
        }
        if let Some(office) = &state.office
            && let Err(stopped) = office.controls().check(&wish(&given.line))
        {
            results[at].reason = Some(stopped.code());
            continue;
        }
        results[at].reason = None;
        learn(end, state, &given.line);
        let command = match command(end, state, &given.line, namespace, &mut results[at]) {
            Ok(Some(command)) => command,
            Ok(None) => continue,
            Err(NameError::Unavailable) => break,
            Err(NameError::Length) => {
                results[at].reject(Reason::UnknownName);
                continue;
            }
            Err(NameError::Full) => {
                results[at].reject(Reason::NameCapacity);
                continue;
            }
        };
        let origin = Origin { source, source_offset: at as u64 + 1, received_at_ns: now_ns(), ..Origin::INTERNAL };
        let Some(token) = end.send(origin, command) else { break };
        sent.push((at, token));
        results[at].outcome = Outcome::Unknown;
        if let Command::Instrument(terms) = command {
            end.rates.set_instrument(&terms);
        }
    }
    // A duplicate's own event lies behind the first one's.
    let mut last = 0;
    let mut is_short = false;
    for &(at, token) in &sent {
        let Some(answer) = end.wait(token, deadline) else { break };
        results[at].take(&answer);
        is_short |= answer.status == Status::OutOfSpace;
        last = last.max(answer.sequence);
    }
    (last, is_short)
}

/// What a line is about, for what operators stop.
fn wish(line: &Line) -> Wish<'_> {
    let none = Wish { session: SOURCE, is_trading: true, accounts: [None; 2], instrument: None, is_wide: false };
    match line {
        Line::Trade(line) => Wish {
            accounts: [Some(&line.account), line.to_account.as_deref()],
            instrument: Some(&line.instrument),
            ..none
        },
        Line::Amend(line) => {
            Wish { accounts: [line.account.as_deref(), None], instrument: line.instrument.as_deref(), ..none }
        }
        Line::Action(line) => Wish { instrument: Some(&line.instrument), is_wide: true, ..none },
        _ => Wish { is_trading: false, ..none },
    }
}

/// The currency of a trade's instrument, where rates may be asked for by it.
fn learn(end: &mut End, state: &HttpState, line: &Line) {
    let Line::Trade(trade) = line else { return };
    if end.rates.base().is_none() || trade.fx_to_base_e8.is_some() || trade.currency.is_some() {
        return;
    }
    let known = state.directory.find(NameClass::Instrument, &trade.instrument);
    if let Some(view) = known.and_then(|instrument| state.model.instrument(instrument)) {
        end.rates.learn_instrument(&view.terms);
    }
}

/// The lines of a body: one object, or an object a line.
fn lines(state: &HttpState, headers: &HeaderMap, body: &Bytes) -> Result<(Vec<Given>, bool), Problem> {
    let is_single = match body_type(headers) {
        "application/json" => true,
        "application/x-ndjson" => false,
        _ => return Err(Problem::wrong_type()),
    };
    let parts: Vec<&[u8]> = match is_single {
        true => vec![body],
        false => body.split(|byte| *byte == b'\n').collect(),
    };
    let mut lines = Vec::new();
    for (number, part) in (1..).zip(parts) {
        if part.trim_ascii().is_empty() && !is_single {
            continue;
        }
        if lines.len() == COMMANDS_MAX {
            return Err(Problem::bad_parameter("body", format!("more than {COMMANDS_MAX} lines")));
        }
        let place = |field: Option<String>| {
            let field = field.unwrap_or_else(|| "body".to_owned());
            if is_single { field } else { format!("line {number}: {field}") }
        };
        let line = parse_line(part, false).map_err(|error| {
            let letter = unreadable(state, number, part, &error);
            let problem = Problem::bad_parameter(place(error.field.as_ref().map(ToString::to_string)), error.message);
            problem.with_code(error.code.as_str()).with_letter(letter)
        })?;
        if matches!(line, Line::Resolve(_)) {
            return Err(Problem::bad_parameter(place(Some("type".to_owned())), "resolutions go to /v1/resolutions"));
        }
        lines.push(Given { line, number, raw: body.slice_ref(part) });
    }
    if lines.is_empty() { Err(Problem::bad_parameter("body", "it has no line")) } else { Ok((lines, is_single)) }
}

/// Makes a dead letter of a line that cannot be read. Blocks until it is durable; gives its number.
fn unreadable(state: &HttpState, number: u64, raw: &[u8], error: &LineError) -> Option<u64> {
    let office = state.office.as_ref()?;
    let filed = office.put(&Refused {
        code: error.code.as_str(),
        error: &error.message,
        field: error.field.as_deref(),
        source: SOURCE,
        source_offset: number,
        form: Form::Line,
        namespace: Some(NAMESPACE),
        trade_id: None,
        account: None,
        instrument: None,
        correlation_id: None,
        at_ns: now_ns(),
        sequence: 0,
        raw,
    });
    let filed = filed.inspect_err(|error| tracing::error!(%error, "an unreadable input could not be kept")).ok()?;
    office.is_durable(filed.sequence, ANSWER_PATIENCE).then_some(filed.letter)
}

/// Takes commands.
pub(super) async fn post(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|error| Problem::bad_parameter("body", error.body_text()))?;
    let sent = tokio::task::spawn_blocking(move || {
        let (mut lines, is_single) = lines(&state, &headers, &body)?;
        rights::sign(&mut lines, &caller)?;
        if let Some(detail) = rights::deed(&lines) {
            caller.records(&state, "POST /v1/commands", &detail)?;
        }
        send(&state, &lines).map(|results| (results, is_single))
    });
    let (mut results, is_single) = sent.await.map_err(|error| Problem::internal(error.to_string()))??;
    let fails = |of: Outcome| results.iter().any(|done| done.outcome == of);
    if !is_single {
        let is_whole = !fails(Outcome::Unknown) && !fails(Outcome::NotTaken);
        let status = if is_whole { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        return Ok((status, Json(Results { results })).into_response());
    }
    let Some(done) = results.pop() else { return Err(Problem::internal("a line without a result")) };
    match (done.outcome, done.reason) {
        (Outcome::Rejected, Some(reason)) => {
            let named = done.id.map_or_else(|| done.kind.to_owned(), |id| format!("{} \"{id}\"", done.kind));
            Err(Problem::conflict(reason, format!("{named} was refused: {reason}")).with_letter(done.dead_letter))
        }
        (Outcome::NotTaken, Some(stopped)) => {
            Err(Problem::unavailable("an operator has stopped this; nothing was recorded").with_code(stopped))
        }
        (Outcome::NotTaken, None) => {
            Err(Problem::unavailable("nothing was recorded; try again later").with_letter(done.dead_letter))
        }
        (Outcome::Unknown, _) => Err(Problem::unknown_fate().with_letter(done.dead_letter)),
        _ => Ok((StatusCode::OK, Json(done)).into_response()),
    }
}
