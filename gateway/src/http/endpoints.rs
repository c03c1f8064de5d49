//! Every endpoint, as one table: the router, the rights, the OpenAPI document, and the security tests come from it.
//!
//! What is served stands here or is not served.

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};

use super::{
    HttpState, amendments, audit, coldpath, commands, control, dead_letters, health, metrics, openapi, operator,
    positions, retention, stream, trail,
};
use crate::access::Privilege;

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, as the router reads it.
    pub path: &'static str,
    /// What a caller needs.
    pub privilege: Privilege,
    /// In one line.
    pub summary: &'static str,
    /// In the path and in the query.
    pub parameters: &'static [Parameter],
    /// What is sent.
    pub body: Body,
    /// What is answered with 200.
    pub answer: Answer,
    /// Statuses of problems, beside those that any endpoint may answer.
    pub problems: &'static [u16],
    serve: fn() -> MethodRouter<Arc<HttpState>>,
}

/// A parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What it may be.
    pub kind: Kind,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A part of the path: a name.
    Path,
    /// A part of the path: a number.
    Count,
    /// A part of the path: one of these.
    Word(&'static [&'static str]),
    /// A name in the query.
    Name,
    /// A whole number from the first to the second.
    Number(u64, u64),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A date such as 2026-03-31.
    Date,
    /// A time such as `2026-03-05T14:30:00Z`.
    Time,
    /// A sequence, or a time.
    Moment,
    /// Any text.
    Text,
    /// A header with a sequence.
    Header,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// JSON of this schema.
    Json(&'static str),
    /// A line as JSON, or many as JSON lines.
    Lines,
}

/// What is answered with 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// JSON of this schema.
    Json(&'static str),
    /// Text.
    Text,
    /// Server-sent events.
    Events,
}

impl Endpoint {
    /// Largest body that is read, in bytes.
    #[must_use]
    pub fn body_bytes_max(&self) -> usize {
        match self.body {
            Body::Lines => commands::COMMANDS_BYTES_MAX,
            // A whole input in place of the one that came.
            Body::Json("LetterDeed") => dead_letters::DEED_BYTES_MAX,
            _ => operator::BODY_BYTES_MAX,
        }
    }

    /// The handler.
    pub(super) fn serve(&self) -> MethodRouter<Arc<HttpState>> {
        (self.serve)()
    }
}

const fn parameter(name: &'static str, kind: Kind, meaning: &'static str) -> Parameter {
    Parameter { name, meaning, kind }
}

/// Of the list of positions.
const POSITIONS: &[Parameter] = &[
    parameter("account", Kind::Name, "Only positions of this account."),
    parameter("instrument", Kind::Name, "Only positions of this instrument."),
    parameter("status", Kind::OneOf(&["OPEN", "CLOSED"]), "Only open, or only closed ones."),
    parameter(
        "reconciliation",
        Kind::OneOf(&["RECONCILED", "PROVISIONAL", "PENDING"]),
        "Only those of this reconciliation status.",
    ),
    parameter("lots", Kind::OneOf(&["true", "false"]), "Whether lots are shown."),
    parameter("limit", Kind::Number(1, 1_000), "Positions on a page."),
    parameter("after", Kind::Text, "The `next` of the page before."),
];

/// Of a position.
const POSITION: &[Parameter] = &[
    parameter("account", Kind::Path, "The account."),
    parameter("instrument", Kind::Path, "The instrument; it may have slashes."),
    parameter("as_of", Kind::Date, "The book of this business date."),
    parameter("known_at", Kind::Moment, "Everything that came later is left out."),
    parameter("since", Kind::Moment, "What was corrected after it is listed."),
];

const STREAM: &[Parameter] = &[
    parameter("topic", Kind::OneOf(&["corrections", "events"]), "Corrections, or everything."),
    parameter("account", Kind::Name, "Only events of its positions."),
    parameter("instrument", Kind::Name, "Only events of its positions."),
    parameter("after", Kind::Number(0, i64::MAX as u64), "Begin behind this sequence."),
    parameter("Last-Event-ID", Kind::Header, "The last event that a client had: it goes on behind it."),
];

const AUDIT: &[Parameter] = &[
    parameter("account", Kind::Name, "Events of its positions."),
    parameter("instrument", Kind::Name, "Events of its positions."),
    parameter("trade_id", Kind::Text, "The trade, action or amendment of this id, and amendments of it."),
    parameter("correlation_id", Kind::Text, "With this correlation id."),
    parameter("user_id", Kind::Text, "Sent by this user."),
    parameter("kind", Kind::OneOf(&crate::cli::EVENT_KINDS), "Of this kind."),
    parameter("causation", Kind::Number(0, i64::MAX as u64), "Caused by the event of this sequence."),
    parameter("from", Kind::Time, "Decided at this time or later."),
    parameter("to", Kind::Time, "Decided before this time."),
    parameter("after", Kind::Number(0, i64::MAX as u64), "Behind this sequence."),
    parameter("limit", Kind::Number(1, 1_000), "Events on a page."),
];

const CHAIN: &[Parameter] = &[parameter("sequence", Kind::Number(1, i64::MAX as u64), "The event that is asked for.")];

const TRAIL: &[Parameter] = &[
    parameter("after", Kind::Number(0, i64::MAX as u64), "Behind this line."),
    parameter("limit", Kind::Number(1, 1_000), "Lines on a page."),
];

const LETTERS: &[Parameter] = &[
    parameter("state", Kind::OneOf(&["open", "resubmitted", "discarded", "all"]), "What has become of them."),
    parameter("class", Kind::Text, "Why, by class."),
    parameter("code", Kind::Text, "Why, by code."),
    parameter("source", Kind::Text, "From where."),
    parameter("trade_id", Kind::Text, "Of this trade."),
    parameter("account", Kind::Text, "Of this account."),
    parameter("instrument", Kind::Text, "Of this instrument."),
    parameter("correlation_id", Kind::Text, "With this correlation id."),
    parameter("after", Kind::Number(0, i64::MAX as u64), "Behind this letter."),
    parameter("limit", Kind::Number(1, 1_000), "Letters on a page."),
];

const LETTER: &[Parameter] = &[parameter("letter", Kind::Count, "The number of the letter.")];

const DEED: &[Parameter] = &[
    parameter("letter", Kind::Count, "The number of the letter."),
    parameter("deed", Kind::Word(&["resubmit", "discard"]), "What is done about it."),
];

/// All of them.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/health",
        privilege: Privilege::Open,
        summary: "One word of status, with reasons",
        parameters: &[],
        body: Body::None,
        answer: Answer::Json("Health"),
        problems: &[],
        serve: || get(health::summary),
    },
    Endpoint {
        method: "GET",
        path: "/health/liveness",
        privilege: Privilege::Open,
        summary: "Whether the process serves",
        parameters: &[],
        body: Body::None,
        answer: Answer::Json("Liveness"),
        problems: &[],
        serve: || get(health::liveness),
    },
    Endpoint {
        method: "GET",
        path: "/health/readiness",
        privilege: Privilege::Open,
        summary: "Whether trades are taken",
        parameters: &[],
        body: Body::None,
        answer: Answer::Json("Readiness"),
        problems: &[],
        serve: || get(health::readiness),
    },
    Endpoint {
        method: "GET",
        path: "/health/detailed",
        privilege: Privilege::Read,
        summary: "Log, read model, coldpath, sinks, recovery",
        parameters: &[],
        body: Body::None,
        answer: Answer::Json("Details"),
        problems: &[],
        serve: || get(health::detailed),
    },
    Endpoint {
        method: "GET",
        path: "/metrics",
        privilege: Privilege::Read,
        summary: "Counters in the text format of Prometheus",
        parameters: &[],
        body: Body::None,
        answer: Answer::Text,
        problems: &[],
        serve: || get(metrics::scrape),
    },
    Endpoint {
        method: "GET",
        path: "/openapi.json",
        privilege: Privilege::Open,
        summary: "This document",
        parameters: &[],
        body: Body::None,
        answer: Answer::Json("Object"),
        problems: &[],
        serve: || get(openapi::show),
    },
    Endpoint {
        method: "GET",
        path: "/v1/positions",
        privilege: Privilege::Read,
        summary: "A page of positions, by account, then instrument",
        parameters: POSITIONS,
        body: Body::None,
        answer: Answer::Json("Positions"),
        problems: &[400],
        serve: || get(positions::list),
    },
    Endpoint {
        method: "GET",
        path: "/v1/positions/{account}/{*instrument}",
        privilege: Privilege::Read,
        summary: "One position with its lots, now or in the past",
        parameters: POSITION,
        body: Body::None,
        answer: Answer::Json("Object"),
        problems: &[400, 404, 409, 503],
        serve: || get(positions::one),
    },
    Endpoint {
        method: "GET",
        path: "/v1/stream",
        privilege: Privilege::Read,
        summary: "Events as they become durable",
        parameters: STREAM,
        body: Body::None,
        answer: Answer::Events,
        problems: &[400, 409, 503],
        serve: || get(stream::open),
    },
    Endpoint {
        method: "GET",
        path: "/v1/audit",
        privilege: Privilege::Audit,
        summary: "Events by position, trade, user, correlation, time",
        parameters: AUDIT,
        body: Body::None,
        answer: Answer::Json("Events"),
        problems: &[400, 409, 503],
        serve: || get(audit::page),
    },
    Endpoint {
        method: "GET",
        path: "/v1/audit/chain",
        privilege: Privilege::Audit,
        summary: "What caused what",
        parameters: CHAIN,
        body: Body::None,
        answer: Answer::Json("Object"),
        problems: &[400, 404, 409, 503],
        serve: || get(audit::chain),
    },
    Endpoint {
        method: "GET",
        path: "/v1/access",
        privilege: Privilege::Audit,
        summary: "Who did what at this door that the book does not record",
        parameters: TRAIL,
        body: Body::None,
        answer: Answer::Json("Trail"),
        problems: &[400, 503],
        serve: || get(trail::page),
    },
    Endpoint {
        method: "GET",
        path: "/v1/retention",
        privilege: Privilege::Read,
        summary: "Who holds which segment, and when the disk is full",
        parameters: &[],
        body: Body::None,
        answer: Answer::Json("Object"),
        problems: &[],
        serve: || get(retention::show),
    },
    Endpoint {
        method: "GET",
        path: "/v1/coldpath",
        privilege: Privilege::Read,
        summary: "Who reconciles late trades, and what waits",
        parameters: &[],
        body: Body::None,
        answer: Answer::Json("Object"),
        problems: &[],
        serve: || get(coldpath::show),
    },
    Endpoint {
        method: "POST",
        path: "/v1/coldpath",
        privilege: Privilege::Operate,
        summary: "Pause, resume, resize, retry",
        parameters: &[],
        body: Body::Json("ColdpathWish"),
        answer: Answer::Json("Object"),
        problems: &[400, 404, 408, 413, 415, 503],
        serve: || post(coldpath::command),
    },
    Endpoint {
        method: "GET",
        path: "/v1/control",
        privilege: Privilege::Read,
        summary: "What operators have stopped, and their last orders",
        parameters: &[],
        body: Body::None,
        answer: Answer::Json("Object"),
        problems: &[503],
        serve: || get(control::show),
    },
    Endpoint {
        method: "POST",
        path: "/v1/control",
        privilege: Privilege::Operate,
        summary: "Halt and resume, read-only, drain",
        parameters: &[],
        body: Body::Json("ControlOrder"),
        answer: Answer::Json("Object"),
        problems: &[400, 408, 409, 413, 415, 503],
        serve: || post(control::order),
    },
    Endpoint {
        method: "GET",
        path: "/v1/dead-letters",
        privilege: Privilege::Read,
        summary: "Inputs that did not come in",
        parameters: LETTERS,
        body: Body::None,
        answer: Answer::Json("Letters"),
        problems: &[400, 503],
        serve: || get(dead_letters::list),
    },
    Endpoint {
        method: "GET",
        path: "/v1/dead-letters/{letter}",
        privilege: Privilege::Read,
        summary: "One of them, with its bytes and what was done about it",
        parameters: LETTER,
        body: Body::None,
        answer: Answer::Json("Object"),
        problems: &[400, 404, 503],
        serve: || get(dead_letters::one),
    },
    Endpoint {
        method: "POST",
        path: "/v1/dead-letters/{letter}/{deed}",
        privilege: Privilege::Operate,
        summary: "Send one again, or give it up",
        parameters: DEED,
        body: Body::Json("LetterDeed"),
        answer: Answer::Json("Object"),
        problems: &[400, 404, 408, 409, 413, 415, 503],
        serve: || post(dead_letters::act),
    },
    Endpoint {
        method: "GET",
        path: "/v1/amendments/held",
        privilege: Privilege::Read,
        summary: "Cancels and corrects whose target has not come",
        parameters: &[],
        body: Body::None,
        answer: Answer::Json("Held"),
        problems: &[],
        serve: || get(amendments::held),
    },
    Endpoint {
        method: "POST",
        path: "/v1/resolutions",
        privilege: Privilege::Operate,
        summary: "Resolve the breaks of a position",
        parameters: &[],
        body: Body::Json("Resolution"),
        answer: Answer::Json("Resolved"),
        problems: &[400, 404, 408, 409, 413, 415, 503],
        serve: || post(amendments::resolution),
    },
    Endpoint {
        method: "POST",
        path: "/v1/commands",
        privilege: Privilege::Trade,
        summary: "Trades, amendments, marks, contracts: one, or up to 1,000",
        parameters: &[],
        body: Body::Lines,
        answer: Answer::Json("Done"),
        problems: &[400, 408, 409, 413, 415, 503],
        serve: || post(commands::post),
    },
];

/// Endpoints with what they need, as a table for the documentation.
#[must_use]
pub fn endpoints_as_markdown() -> String {
    let mut text = String::from("| endpoint | privilege | what it gives |\n|---|---|---|\n");
    for Endpoint { method, path, privilege, summary, .. } in ENDPOINTS {
        text.push_str(&format!("| `{method} {}` | {} | {summary} |\n", plain(path), privilege.as_str()));
    }
    text
}

/// A path without what only the router needs.
pub(super) fn plain(path: &str) -> String {
    path.replace("{*", "{")
}
