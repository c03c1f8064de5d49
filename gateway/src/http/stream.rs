//! `GET /v1/stream`: events as they become durable, as server-sent events that can be resumed anywhere in the log.
//!
//! Each stream has a thread that reads the log for it, through the readers that never slow the writer, and holds at most [`AHEAD`]
//! events for a client that is slower. Only what survives power loss is told, so no number is ever told twice with another content.

use std::borrow::Cow;
use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event as Told, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::poll_fn;
use lotbook_archiver::json::{Content, Line, kind_name, to_line};
use lotbook_archiver::names::Names;
use lotbook_core::codec::{Decoder, kind};
use lotbook_core::command::NameClass;
use lotbook_core::event::Event;
use lotbook_core::id::NameId;
use lotbook_engine::{Directory, side_log};
use lotbook_wal::{From, Limit, Log, ReadError, Reader, Record};
use tokio::sync::mpsc;

use super::HttpState;
use super::problem::Problem;
use crate::event::position_of;

/// Streams at a time: each has a thread and a reader's buffers.
pub(super) const STREAMS_MAX: usize = 16;
/// Events that are ready for a client that has not taken them.
const AHEAD: usize = 256;
/// How long a stream waits for the log before it looks whether anybody listens.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A comment goes out when nothing else did for so long, so that a dead connection is found.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The kinds of the topic `corrections`: what makes a position PROVISIONAL, and what makes it exact again.
const CORRECTIONS: [u16; 5] =
    [kind::TRADE_PROVISIONAL, kind::TRADE_REBOOKED, kind::AMEND_APPLIED, kind::CORRECTED, kind::RESOLVED];

/// The streams of a door.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: AtomicUsize,
    stops: AtomicBool,
}

impl Streams {
    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Ends them all, within [`LOOK_EVERY`].
    pub(super) fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    fn take(self: &Arc<Self>) -> Option<Seat> {
        let seat = Seat(self.clone());
        // Counted before it is looked at: of two that come at once, one may be refused that had found room.
        (self.open.fetch_add(1, Ordering::Relaxed) < STREAMS_MAX).then_some(seat)
    }
}

/// One of the streams that may be; given back when dropped.
struct Seat(Arc<Streams>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a client wants to hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    everything: bool,
    account: Option<String>,
    instrument: Option<String>,
    after: Option<u64>,
}

impl Wanted {
    /// A parameter that is unknown, given twice, or not understood is refused by name.
    fn parse(pairs: &[(String, String)], last_event_id: Option<&str>) -> Result<Self, Problem> {
        let mut wanted = Self::default();
        for (index, (key, value)) in pairs.iter().enumerate() {
            let bad = |detail: &str| Problem::bad_parameter(key.clone(), detail);
            if pairs[..index].iter().any(|(other, _)| other == key) {
                return Err(bad("it is given twice"));
            }
            match (key.as_str(), value.as_str()) {
                ("topic", "corrections") => {}
                ("topic", "events") => wanted.everything = true,
                ("topic", _) => return Err(bad("corrections or events is wanted")),
                ("account", name) => wanted.account = Some(name.into()),
                ("instrument", name) => wanted.instrument = Some(name.into()),
                ("after", text) => wanted.after = Some(sequence(text).ok_or_else(|| bad("a sequence is wanted"))?),
                _ => return Err(bad("no such parameter; topic, account, instrument and after are known")),
            }
        }
        // What a client has had is where it goes on, wherever it began.
        if let Some(id) = last_event_id {
            let bad = || Problem::bad_parameter("Last-Event-ID", "the id of an event of this stream is wanted");
            wanted.after = Some(sequence(id).ok_or_else(bad)?);
        }
        Ok(wanted)
    }

    fn has(&self, kind: u16) -> bool {
        CORRECTIONS.contains(&kind) || (self.everything && kind::ALL.iter().any(|(known, _)| *known == kind))
    }

    fn has_position(&self, position: Option<(NameId, NameId)>, names: &impl Names) -> bool {
        let is = |wanted: &Option<String>, class, id| {
            wanted.as_ref().is_none_or(|wanted| names.text(class, id).is_some_and(|text| text == *wanted))
        };
        match position {
            Some((account, instrument)) => {
                is(&self.account, NameClass::Account, account)
                    && is(&self.instrument, NameClass::Instrument, instrument)
            }
            None => self.account.is_none() && self.instrument.is_none(),
        }
    }
}

/// A sequence, as parameters give it.
pub(super) fn sequence(text: &str) -> Option<u64> {
    text.parse().ok().filter(|sequence| *sequence < u64::MAX)
}

/// The directory's names by number, as far as they were asked for.
pub(super) struct Known {
    directory: Arc<Directory>,
    texts: RefCell<[Vec<Box<str>>; NameClass::ALL.len()]>,
}

impl Known {
    /// None asked for yet.
    pub(super) fn new(directory: &Arc<Directory>) -> Self {
        Self { directory: directory.clone(), texts: RefCell::default() }
    }
}

impl Names for Known {
    fn text(&self, class: NameClass, id: NameId) -> Option<Cow<'_, str>> {
        let mut texts = self.texts.borrow_mut();
        let of_class = &mut texts[class as usize];
        if of_class.len() <= id as usize && of_class.len() < self.directory.len(class) {
            *of_class = self.directory.texts(class);
        }
        of_class.get(id as usize).map(|text| Cow::Owned(text.clone().into()))
    }
}

pub(super) async fn open(
    State(state): State<Arc<HttpState>>,
    headers: HeaderMap,
    query: Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(pairs) = query.map_err(|error| Problem::bad_parameter("query", error.body_text()))?;
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap_or("not a number"));
    let wanted = Wanted::parse(&pairs, last)?;
    let seat = state.streams.take().ok_or_else(|| Problem::unavailable("as many streams as there may be are open"))?;
    let log = state.log.clone();
    // Without a place to go on from it begins with what becomes durable from now on.
    let first = wanted.after.unwrap_or_else(|| log.durable_sequence()) + 1;
    let opened = tokio::task::spawn_blocking(move || reader(&log, first)).await;
    let reader = opened.map_err(|error| Problem::internal(error.to_string()))??;
    let (out, mut told) = mpsc::channel(AHEAD);
    let feed = Feed {
        log: state.log.clone(),
        side: state.side.clone(),
        reader,
        wanted,
        names: Known::new(&state.directory),
        out,
        seat,
    };
    std::thread::Builder::new()
        .name("lb-stream".into())
        .spawn(move || feed.run())
        .map_err(|error| Problem::internal(error.to_string()))?;
    let events = poll_fn(move |context| told.poll_recv(context));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn reader(log: &Arc<Log>, first: u64) -> Result<Reader, Problem> {
    let durable = log.durable_sequence();
    if first > durable + 1 {
        let detail = format!("sequence {} is not durable yet; {durable} is", first - 1);
        return Err(Problem::conflict("NOT_COMPLETE", detail));
    }
    log.reader(From::Sequence(first)).map_err(|error| Problem::out_of_reach(error.to_string()))
}

/// One stream's thread.
struct Feed {
    log: Arc<Log>,
    side: Arc<Log>,
    reader: Reader,
    wanted: Wanted,
    names: Known,
    out: mpsc::Sender<Result<Told, Infallible>>,
    seat: Seat,
}

impl Feed {
    fn run(mut self) {
        let mut decoder = Decoder::new();
        while !self.out.is_closed() && !self.seat.0.stops.load(Ordering::Relaxed) {
            let told = match self.reader.next_within(Limit::Durable, LOOK_EVERY) {
                Ok(Some(record)) if self.wanted.has(record.header.kind) => {
                    tell(&record, &mut decoder, &self.side, &self.wanted, &self.names)
                }
                Ok(Some(_)) => continue,
                Ok(None) if self.log.has_ended() => return,
                Ok(None) => continue,
                // It ends here: the log has stopped, or what comes next is damaged or dropped.
                Err(error) => {
                    let _ = self.out.blocking_send(Ok(broken(&error)));
                    return;
                }
            };
            if let Some(told) = told
                && self.out.blocking_send(Ok(told)).is_err()
            {
                return;
            }
        }
    }
}

fn broken(error: &ReadError) -> Told {
    Told::default().event("end").data(error.to_string())
}

fn tell(record: &Record<'_>, decoder: &mut Decoder, side: &Arc<Log>, wanted: &Wanted, names: &Known) -> Option<Told> {
    let header = &record.header;
    let mut line = Vec::new();
    // Writing to a Vec cannot fail.
    match decoder.decode(header.kind, header.version, record.payload) {
        Ok(event) if !wanted.has_position(position_of(&event), names) => return None,
        Ok(event) => {
            // A body that retention has dropped leaves the correction without its lots.
            let body = match &event {
                Event::Corrected(corrected) => side_log::read(side, corrected).ok(),
                _ => None,
            };
            let content = body.as_ref().map_or(Content::Event(&event), |body| Content::Correction(&event, body));
            to_line(&Line { header, content, names }, &mut line).ok()?;
        }
        Err(error) => {
            let content = Content::Unreadable(record.payload, &error.to_string());
            to_line(&Line { header, content, names }, &mut line).ok()?;
        }
    }
    let text = String::from_utf8_lossy(&line);
    let told = Told::default().id(header.sequence.to_string()).event(kind_name(header.kind));
    Some(told.data(text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pairs;

    fn parsed(query: &[(&str, &str)], last: Option<&str>) -> Result<Wanted, String> {
        Wanted::parse(&pairs(query), last).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn a_client_goes_on_where_it_was() {
        let wanted = parsed(&[("topic", "events"), ("after", "7")], None).expect("fine");
        assert_eq!((wanted.everything, wanted.after), (true, Some(7)));
        let wanted = parsed(&[("topic", "corrections"), ("after", "7")], Some("900")).expect("fine");
        assert_eq!((wanted.everything, wanted.after), (false, Some(900)), "what it has had says more");
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (query, last, named) in [
            (&[("topic", "all")][..], None, "topic"),
            (&[("after", "x")], None, "after"),
            (&[("after", "18446744073709551615")], None, "after"),
            (&[("account", "A"), ("account", "B")], None, "account"),
            (&[("colour", "red")], None, "colour"),
            (&[], Some("yesterday"), "Last-Event-ID"),
        ] {
            assert!(parsed(query, last).expect_err("refused").contains(named), "{named}");
        }
    }

    #[test]
    fn corrections_are_some_of_the_events() {
        let corrections = parsed(&[], None).expect("fine");
        let events = parsed(&[("topic", "events")], None).expect("fine");
        assert!(corrections.has(kind::CORRECTED) && events.has(kind::CORRECTED));
        assert!(!corrections.has(kind::TRADE_APPLIED) && events.has(kind::TRADE_APPLIED));
        assert!(!events.has(lotbook_wal::KIND_CLOSE), "what the log writes for itself is no event");
    }
}
