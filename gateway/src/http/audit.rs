//! `GET /v1/audit` and `GET /v1/audit/chain`: what was recorded about a position, trade, user or correlation, and what caused what.
//!
//! Read from the log, up to what is durable, by the readers that slow nobody. A page reads so many records and no more, whatever it finds:
//! it says up to where it has read, and where the next one goes on. Each event is the line that `lotbook wal dump` prints of it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use lotbook_archiver::json::{Content, Line, to_line};
use lotbook_core::codec::Decoder;
use lotbook_core::command::NameClass;
use lotbook_core::event::Event;
use lotbook_core::id::{NO_NAME, NameId};
use lotbook_engine::past::Moment;
use lotbook_engine::side_log;
use lotbook_wal::{From, Limit, ReadError, Reader, Record, RecordHeader};
use serde_json::{Value, json};

use super::HttpState;
use super::problem::Problem;
use super::stream::{Known, sequence};
use crate::cli::parse_moment;
use crate::event::{correlation_of, kind_word, occurred_at_ns, position_of};

/// Events on a page unless the request says otherwise, and at most.
const LIMITS: (usize, usize) = (100, 1_000);
/// Records that a page reads.
const PAGE_RECORDS: u64 = 200_000;
/// Records that the search for what an event caused reads.
const CHAIN_RECORDS: u64 = 2_000_000;
/// Events of a chain, and how deep it goes back to its root.
const CHAIN_EVENTS_MAX: usize = 1_000;

/// What is asked for: all of it must hold.
#[derive(Clone, Debug, PartialEq)]
struct Wanted {
    account: Option<String>,
    instrument: Option<String>,
    trade: Option<String>,
    correlation: Option<String>,
    user: Option<String>,
    kind: Option<String>,
    causation: Option<u64>,
    /// Nanoseconds since 1970: from the first on, before the second.
    times: (i64, i64),
    after: u64,
    limit: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            account: None,
            instrument: None,
            trade: None,
            correlation: None,
            user: None,
            kind: None,
            causation: None,
            times: (i64::MIN, i64::MAX),
            after: 0,
            limit: LIMITS.0,
        }
    }
}

impl Wanted {
    /// A parameter that is unknown, given twice, or not understood is refused by name.
    fn parse(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut wanted = Self::default();
        for (index, (key, value)) in pairs.iter().enumerate() {
            let bad = |detail: &str| Problem::bad_parameter(key.clone(), detail);
            if pairs[..index].iter().any(|(other, _)| other == key) {
                return Err(bad("it is given twice"));
            }
            let number = || sequence(value).ok_or_else(|| bad("a sequence is wanted"));
            let time = || match parse_moment(value) {
                Ok(Moment::Time(at_ns)) => Ok(at_ns),
                _ => Err(bad("a time such as 2026-03-05T14:30:00Z is wanted")),
            };
            let text = Some(value.clone());
            match key.as_str() {
                "account" => wanted.account = text,
                "instrument" => wanted.instrument = text,
                "trade_id" => wanted.trade = text,
                "correlation_id" => wanted.correlation = text,
                "user_id" => wanted.user = text,
                "kind" if crate::cli::EVENT_KINDS.contains(&value.as_str()) => wanted.kind = text,
                "kind" => return Err(bad(&format!("one of {} is wanted", crate::cli::EVENT_KINDS.join(", ")))),
                "causation" => wanted.causation = Some(number()?),
                "from" => wanted.times.0 = time()?,
                "to" => wanted.times.1 = time()?,
                "after" => wanted.after = number()?,
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMITS.1).contains(limit));
                    wanted.limit = limit.ok_or_else(|| bad(&format!("a number from 1 to {} is wanted", LIMITS.1)))?;
                }
                _ => {
                    let known = "account, instrument, trade_id, correlation_id, user_id, kind, causation, from, to, after and limit are known";
                    return Err(bad(&format!("no such parameter; {known}")));
                }
            }
        }
        Ok(wanted)
    }

    fn has(&self, header: &RecordHeader, event: &Event<'_>, ids: &Ids) -> bool {
        let position = position_of(event);
        let is = |wanted: Option<NameId>, held: Option<NameId>| wanted.is_none_or(|wanted| held == Some(wanted));
        let words = |wanted: &Option<String>, held: Option<&[u8]>| {
            wanted.as_ref().is_none_or(|wanted| held == Some(wanted.as_bytes()))
        };
        is(ids.account, position.map(|(account, _)| account))
            && is(ids.instrument, position.map(|(_, instrument)| instrument))
            && is(ids.user, user_of(event))
            && words(&self.correlation, correlation_of(event))
            && self.trade.as_ref().is_none_or(|wanted| trades_of(event).contains(&Some(wanted.as_bytes())))
            && self.kind.as_ref().is_none_or(|kind| kind == kind_word(header.kind))
            && self.causation.is_none_or(|causation| event.origin().causation == causation)
            && (self.times == (i64::MIN, i64::MAX) || (self.times.0..self.times.1).contains(&occurred_at_ns(event)))
    }
}

/// Names that are asked for, as numbers.
struct Ids {
    account: Option<NameId>,
    instrument: Option<NameId>,
    user: Option<NameId>,
}

impl Ids {
    /// A name that nobody has is that of no event: no number stands for it.
    fn of(state: &HttpState, wanted: &Wanted) -> Self {
        let find = |class, name: &Option<String>| {
            name.as_ref().map(|name| state.directory.find(class, name).unwrap_or(NO_NAME))
        };
        Self {
            account: find(NameClass::Account, &wanted.account),
            instrument: find(NameClass::Instrument, &wanted.instrument),
            user: find(NameClass::User, &wanted.user),
        }
    }
}

/// Who sent it.
fn user_of(event: &Event<'_>) -> Option<NameId> {
    let user = match event {
        Event::Trade(trade) => trade.input.user,
        Event::Amended(amend) => amend.input.user,
        Event::Resolved(resolved) => resolved.input.user,
        Event::Action(action) => action.input.user,
        _ => NO_NAME,
    };
    (user != NO_NAME).then_some(user)
}

/// Ids that it has, and the id that it names.
fn trades_of<'a>(event: &'a Event<'_>) -> [Option<&'a [u8]>; 2] {
    match event {
        Event::Trade(trade) => [Some(trade.input.trade_id.as_bytes()), None],
        Event::Amended(amend) => [Some(amend.input.amend_id.as_bytes()), Some(amend.input.target_id.as_bytes())],
        Event::Action(action) => [Some(action.input.action_id.as_bytes()), None],
        _ => [None, None],
    }
}

/// An event as a JSON document.
fn document(state: &HttpState, header: &RecordHeader, event: &Event<'_>, names: &Known) -> Result<Value, Problem> {
    // A body that retention has dropped leaves the correction without its lots.
    let body = match event {
        Event::Corrected(corrected) => side_log::read(&state.side, corrected).ok(),
        _ => None,
    };
    let content = body.as_ref().map_or(Content::Event(event), |body| Content::Correction(event, body));
    let mut line = Vec::new();
    let internal = |error: &dyn std::fmt::Display| Problem::internal(error.to_string());
    to_line(&Line { header, content, names }, &mut line).map_err(|error| internal(&error))?;
    serde_json::from_slice(&line).map_err(|error| internal(&error))
}

fn unread(error: &ReadError) -> Problem {
    Problem::out_of_reach(error.to_string())
}

type Pairs = Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>;

/// A page of events, in the order of the log.
pub(super) async fn page(State(state): State<Arc<HttpState>>, query: Pairs) -> Result<Response, Problem> {
    let Query(pairs) = query.map_err(|error| Problem::bad_parameter("query", error.body_text()))?;
    let wanted = Wanted::parse(&pairs)?;
    let page = tokio::task::spawn_blocking(move || read_page(&state, &wanted)).await;
    Ok(Json(page.map_err(|error| Problem::internal(error.to_string()))??).into_response())
}

fn read_page(state: &HttpState, wanted: &Wanted) -> Result<Value, Problem> {
    let complete = state.log.durable_sequence();
    if wanted.after > complete {
        let detail = format!("sequence {} is not durable yet; {complete} is", wanted.after);
        return Err(Problem::conflict("NOT_COMPLETE", detail));
    }
    let (ids, names) = (Ids::of(state, wanted), Known::new(&state.directory));
    let mut reader = state.log.reader(From::Sequence(wanted.after + 1)).map_err(|error| unread(&error))?;
    let through = complete.min(wanted.after + PAGE_RECORDS);
    let (mut events, mut read, mut decoder) = (Vec::new(), wanted.after, Decoder::new());
    while read < through && events.len() < wanted.limit {
        let Some(record) = next(&mut reader)? else { break };
        read = record.header.sequence;
        if let Some(event) = event_of(&record, &mut decoder)?
            && wanted.has(&record.header, &event, &ids)
        {
            events.push(document(state, &record.header, &event, &names)?);
        }
    }
    Ok(json!({
        "events": events,
        "next": (read < complete).then_some(read),
        "complete_through": read,
        "durable_sequence": complete,
    }))
}

fn next(reader: &mut Reader) -> Result<Option<Record<'_>>, Problem> {
    reader.next(Limit::Durable).map_err(|error| unread(&error))
}

/// The event of a record; `None` for the log's own.
fn event_of<'a>(record: &Record<'a>, decoder: &'a mut Decoder) -> Result<Option<Event<'a>>, Problem> {
    let header = &record.header;
    if header.is_internal() {
        return Ok(None);
    }
    let event = decoder.decode(header.kind, header.version, record.payload);
    event.map(Some).map_err(|error| Problem::internal(format!("sequence {}: {error}", header.sequence)))
}

/// The tree of what an event was caused by and what came of it.
pub(super) async fn chain(State(state): State<Arc<HttpState>>, query: Pairs) -> Result<Response, Problem> {
    let Query(pairs) = query.map_err(|error| Problem::bad_parameter("query", error.body_text()))?;
    let wanted = match &pairs[..] {
        [(key, value)] if key == "sequence" => sequence(value).filter(|sequence| *sequence > 0),
        _ => None,
    };
    let wanted = wanted.ok_or_else(|| Problem::bad_parameter("sequence", "the sequence of one event is wanted"))?;
    let tree = tokio::task::spawn_blocking(move || read_chain(&state, wanted)).await;
    Ok(Json(tree.map_err(|error| Problem::internal(error.to_string()))??).into_response())
}

/// What is known of the events of a chain, in the order of the log.
struct Link {
    cause: Option<usize>,
    event: Value,
}

fn read_chain(state: &HttpState, wanted: u64) -> Result<Value, Problem> {
    let complete = state.log.durable_sequence();
    if wanted > complete {
        let detail = format!("sequence {wanted} is not durable yet; {complete} is");
        return Err(Problem::conflict("NOT_COMPLETE", detail));
    }
    let root = root_of(state, wanted)?;
    let names = Known::new(&state.directory);
    let mut reader = state.log.reader(From::Sequence(root)).map_err(|error| unread(&error))?;
    let (mut links, mut places): (Vec<Link>, HashMap<u64, usize>) = (Vec::new(), HashMap::new());
    let (mut read, mut decoder) = (root - 1, Decoder::new());
    let through = complete.min(read + CHAIN_RECORDS);
    while read < through && links.len() < CHAIN_EVENTS_MAX {
        let Some(record) = next(&mut reader)? else { break };
        let header = record.header;
        read = header.sequence;
        let Some(event) = event_of(&record, &mut decoder)? else { continue };
        let cause = places.get(&event.origin().causation).copied();
        if cause.is_some() || read == root {
            places.insert(read, links.len());
            links.push(Link { cause, event: document(state, &header, &event, &names)? });
        }
    }
    let is_in = places.contains_key(&wanted);
    Ok(json!({
        "sequence": wanted,
        "root_sequence": root,
        "found": is_in,
        "events": links.len(),
        "chain": tree(links),
        "complete_through": read,
        "durable_sequence": complete,
    }))
}

/// The first event of the chain that leads to this one.
fn root_of(state: &HttpState, wanted: u64) -> Result<u64, Problem> {
    let (mut at, mut decoder) = (wanted, Decoder::new());
    for _ in 0..CHAIN_EVENTS_MAX {
        let mut reader = state.log.reader(From::Sequence(at)).map_err(|error| unread(&error))?;
        let Some(record) = next(&mut reader)? else { break };
        let cause = event_of(&record, &mut decoder)?.map_or(0, |event| event.origin().causation);
        // A cause lies before what it caused, so this ends.
        if cause == 0 || cause >= at {
            return Ok(at);
        }
        at = cause;
    }
    Err(Problem::internal(format!("sequence {wanted} has a chain of more than {CHAIN_EVENTS_MAX} events before it")))
}

/// Each event with those that it caused below it. A cause lies before what it caused, so the last ones are complete first.
fn tree(mut links: Vec<Link>) -> Value {
    while let Some(Link { cause, event }) = links.pop() {
        let Some(cause) = cause else { return event };
        if let Value::Object(fields) = &mut links[cause].event {
            let caused = fields.entry("caused").or_insert_with(|| json!([]));
            if let Value::Array(caused) = caused {
                // Taken from the end of the log: the earlier ones come in front.
                caused.insert(0, event);
            }
        }
    }
    Value::Null
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pairs;

    fn parsed(query: &[(&str, &str)]) -> Result<Wanted, String> {
        Wanted::parse(&pairs(query)).map_err(|problem| serde_json::to_string(&problem).expect("a problem is JSON"))
    }

    #[test]
    fn parameters_are_taken_or_refused_by_name() {
        let wanted = parsed(&[("trade_id", "t1"), ("from", "1970-01-01T00:00:01Z"), ("after", "7"), ("limit", "1000")]);
        let expected = Wanted {
            trade: Some("t1".into()),
            times: (1_000_000_000, i64::MAX),
            after: 7,
            limit: 1_000,
            ..Wanted::default()
        };
        assert_eq!(wanted, Ok(expected));
        for (query, parameter) in [
            (&[("limit", "0")][..], "limit"),
            (&[("limit", "1001")], "limit"),
            (&[("after", "x")], "after"),
            (&[("kind", "everything")], "kind"),
            (&[("from", "yesterday")], "from"),
            (&[("causation", "-1")], "causation"),
            (&[("trade", "t1")], "trade"),
            (&[("user_id", "a"), ("user_id", "b")], "user_id"),
        ] {
            let problem = parsed(query).expect_err(parameter);
            assert!(problem.contains(&format!("\"parameter\":\"{parameter}\"")), "{query:?}: {problem}");
        }
    }

    #[test]
    fn a_chain_is_a_tree_in_the_order_of_the_log() {
        let link = |cause, number: u64| Link { cause, event: json!({"n": number}) };
        let links = vec![link(None, 1), link(Some(0), 2), link(Some(1), 3), link(Some(0), 4), link(Some(1), 5)];
        let below = json!({"n": 2, "caused": [{"n": 3}, {"n": 5}]});
        assert_eq!(tree(links), json!({"n": 1, "caused": [below, {"n": 4}]}));
    }
}
