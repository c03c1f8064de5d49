//! The way of this door's commands to the shard: a door of its own, one sender at a time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use lotbook_core::command::{Command, NameClass, Origin};
use lotbook_core::rules::Rules;
use lotbook_engine::{Answer, Door, NameError, Request};
use parking_lot::{Mutex, MutexGuard};

use super::problem::Problem;
use crate::rates::Rates;
use crate::resolver::Resolver;

/// Largest body of a request, in bytes: names of 64, a reason of 200, and room for escapes.
pub(super) const BODY_BYTES_MAX: usize = 4096;
/// How long a command may take until it is durable. After that its fate is unknown to whoever asked.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// The way of commands to the shard.
pub struct Operator {
    end: Mutex<End>,
    base_currency: Option<String>,
}

/// What one sender at a time has.
pub(super) struct End {
    pub(super) door: Door,
    pub(super) resolver: Resolver,
    /// Rates that came in here: a door's own state.
    pub(super) rates: Rates,
    /// Rules where a contract says nothing.
    pub(super) defaults: Rules,
    token: u64,
    /// Order of the command that came last.
    order: u64,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

impl Operator {
    /// Over a door that nobody else uses. Contracts have the rules of no contract where they say nothing, and there is no
    /// base currency.
    #[must_use]
    pub fn new(door: Door, resolver: Resolver) -> Self {
        let (rates, defaults) = (Rates::default(), Rules::DEFAULT);
        Self { end: Mutex::new(End { door, resolver, rates, defaults, token: 0, order: 0 }), base_currency: None }
    }

    /// With other rules where a contract says nothing, and with the host's base currency.
    ///
    /// # Errors
    /// The currency's name cannot be defined.
    pub fn with(self, defaults: Rules, base_currency: Option<&str>) -> Result<Self, NameError> {
        let mut end = self.end.into_inner();
        let base = base_currency.map(|base| end.resolver.name(NameClass::Currency, base)).transpose()?;
        (end.defaults, end.rates) = (defaults, Rates::new(base));
        Ok(Self { end: Mutex::new(end), base_currency: base_currency.map(str::to_owned) })
    }

    /// The host's base currency.
    pub(super) fn base_currency(&self) -> Option<String> {
        self.base_currency.clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, End> {
        self.end.lock()
    }
}

impl End {
    /// A place in the order of this door: by the clock, and never twice the same.
    pub(super) fn next_order(&mut self, now_ns: i64) -> u64 {
        self.order = (self.order + 1).max(u64::try_from(now_ns).unwrap_or(0));
        self.order
    }

    /// Sends a command. `None`: the host takes nothing more.
    pub(super) fn send(&mut self, origin: Origin, command: Command) -> Option<u64> {
        self.token += 1;
        let token = self.token;
        self.door.submit(Request { token, origin, command }).ok().map(|()| token)
    }

    /// Waits for the answer to a command. `None`: it did not come; the fate of the command is unknown.
    pub(super) fn wait(&mut self, token: u64, deadline: Instant) -> Option<Answer> {
        while Instant::now() < deadline && !self.door.is_abandoned() {
            match self.door.poll() {
                Some(answer) if answer.token == token => return Some(answer),
                // To one that nobody waits for any more.
                Some(_) => {}
                None => std::thread::sleep(Duration::from_micros(200)),
            }
        }
        None
    }

    /// Sends a command and waits for its answer.
    pub(super) fn ask(&mut self, origin: Origin, command: Command, deadline: Instant) -> Option<Answer> {
        let token = self.send(origin, command)?;
        self.wait(token, deadline)
    }
}

/// The wall clock.
pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The type of a body, without its parameters.
pub(super) fn body_type(headers: &HeaderMap) -> &str {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    kind.split(';').next().unwrap_or("").trim()
}

/// Refuses a body that is not JSON: a page of another origin cannot send this type without asking first.
pub(super) fn wants_json(headers: &HeaderMap) -> Result<(), Problem> {
    if body_type(headers) == "application/json" { Ok(()) } else { Err(Problem::wrong_type()) }
}
