//! `GET /v1/positions` and `GET /v1/positions/{account}/{instrument}`.
//!
//! `as_of`, `known_at` and `since` ask one position's past (`past.rs`). `?reconciliation=PENDING` lists the positions that await a person, with their breaks by name. The fields are those of `replay --json`. Each answer says up to which log sequence it is
//! complete (`as_of_sequence`), and each position whether all of it survives power loss (`durable`).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use lotbook_core::command::NameClass;
use lotbook_core::position::Reconciliation;
use lotbook_engine::PositionView;
use serde::Serialize;

use super::problem::Problem;
use super::{HttpState, past};
use crate::input::text::check_name;
use crate::output::{LotRow, PositionRow, PositionStatus};
use crate::view;

/// Positions on a page unless the request says otherwise.
const LIMIT_DEFAULT: usize = 100;
/// Most positions on a page.
const LIMIT_MAX: usize = 1_000;

/// A position in an answer: its row, and how far it can be relied on.
#[derive(Serialize)]
struct Position {
    #[serde(flatten)]
    row: Row,
    /// How many accepted trades break a rule at their place in history; with any the status is PENDING.
    break_count: usize,
    lot_count: usize,
    /// Log sequence up to which it is complete.
    as_of_sequence: u64,
    /// Whether all that it shows survives power loss.
    durable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lots: Option<Vec<LotRow>>,
}

/// The row without what the read model does not hold or a list leaves out.
#[derive(Serialize)]
#[serde(transparent)]
struct Row(serde_json::Map<String, serde_json::Value>);

impl Row {
    fn of(row: &PositionRow) -> Result<Self, Problem> {
        match serde_json::to_value(row) {
            Ok(serde_json::Value::Object(mut row)) => {
                row.shift_remove("lots");
                Ok(Self(row))
            }
            Ok(_) => Err(Problem::internal("a position is no object")),
            Err(error) => Err(Problem::internal(error.to_string())),
        }
    }
}

#[derive(Serialize)]
struct Page {
    positions: Vec<Position>,
    /// The value of `after` for the next page; null on the last one.
    next: Option<String>,
    as_of_sequence: u64,
    durable_sequence: u64,
}

/// How far the answer can be relied on, read before any position is.
#[derive(Clone, Copy)]
struct AsOf {
    published: u64,
    durable: u64,
    now_ns: i64,
}

impl AsOf {
    fn now(state: &HttpState) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            published: state.model.published_sequence(),
            durable: state.log.durable_sequence(),
            now_ns: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        }
    }

    fn position(self, state: &HttpState, view: &PositionView, with_lots: bool) -> Result<Position, Problem> {
        let mut row = view::position_row(view, &state.model, self.now_ns);
        let lots = std::mem::take(&mut row.lots);
        Ok(Position {
            row: Row::of(&row)?,
            break_count: view.breaks.len(),
            lot_count: lots.len(),
            // The view may be newer than the sequence that was read first; it is complete up to its own.
            as_of_sequence: self.published.max(view.sequence),
            durable: view.sequence <= self.durable,
            lots: with_lots.then_some(lots),
        })
    }
}

/// One position, its lots among it.
pub(super) async fn one(
    State(state): State<Arc<HttpState>>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    query: Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Path((account, instrument)) = path.map_err(|error| Problem::bad_parameter("path", error.body_text()))?;
    for (parameter, name) in [("account", &account), ("instrument", &instrument)] {
        check_name(name.as_bytes()).map_err(|error| Problem::bad_parameter(parameter, error.to_string()))?;
    }
    let Query(pairs) = query.map_err(|error| Problem::bad_parameter("query", error.body_text()))?;
    let wanted = past::Wanted::parse(&pairs)?;
    if !wanted.is_now() {
        return past::answer(state, account, instrument, wanted).await;
    }
    let as_of = AsOf::now(&state);
    let view = find(&state, &account, &instrument).ok_or_else(|| Problem::unknown_position(&account, &instrument))?;
    Ok(Json(as_of.position(&state, &view, true)?).into_response())
}

fn find(state: &HttpState, account: &str, instrument: &str) -> Option<Arc<PositionView>> {
    let account = state.directory.find(NameClass::Account, account)?;
    let instrument = state.directory.find(NameClass::Instrument, instrument)?;
    state.model.position(account, instrument)
}

/// What a list is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    account: Option<String>,
    instrument: Option<String>,
    status: Option<PositionStatus>,
    reconciliation: Option<Reconciliation>,
    limit: usize,
    after: Option<(Vec<u8>, Vec<u8>)>,
    lots: bool,
}

impl Wanted {
    /// A parameter that is unknown, given twice, or not understood is refused by name: a filter that is
    /// silently passed over shows other people's positions.
    fn parse(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut wanted = Self { limit: LIMIT_DEFAULT, ..Self::default() };
        for (index, (key, value)) in pairs.iter().enumerate() {
            let bad = |detail: &str| Problem::bad_parameter(key.clone(), detail);
            if pairs[..index].iter().any(|(other, _)| other == key) {
                return Err(bad("it is given twice"));
            }
            match key.as_str() {
                "account" | "instrument" => {
                    check_name(value.as_bytes()).map_err(|error| bad(&format!("it {error}")))?;
                    let slot = if key == "account" { &mut wanted.account } else { &mut wanted.instrument };
                    *slot = Some(value.clone());
                }
                "status" => {
                    wanted.status = match value.as_str() {
                        "OPEN" => Some(PositionStatus::Open),
                        "CLOSED" => Some(PositionStatus::Closed),
                        _ => return Err(bad("OPEN or CLOSED is wanted")),
                    };
                }
                "reconciliation" => {
                    wanted.reconciliation = match value.as_str() {
                        "RECONCILED" => Some(Reconciliation::Reconciled),
                        "PROVISIONAL" => Some(Reconciliation::Provisional),
                        "PENDING" => Some(Reconciliation::Pending),
                        _ => return Err(bad("RECONCILED, PROVISIONAL or PENDING is wanted")),
                    };
                }
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    wanted.limit = limit.ok_or_else(|| bad(&format!("a number from 1 to {LIMIT_MAX} is wanted")))?;
                }
                "after" => {
                    let after = read_cursor(value).ok_or_else(|| bad("the value of \"next\" of a page is wanted"))?;
                    wanted.after = Some(after);
                }
                "lots" => {
                    wanted.lots = match value.as_str() {
                        "true" => true,
                        "false" => false,
                        _ => return Err(bad("true or false is wanted")),
                    };
                }
                _ => {
                    let known = "account, instrument, status, reconciliation, limit, after and lots are known";
                    return Err(bad(&format!("no such parameter; {known}")));
                }
            }
        }
        Ok(wanted)
    }

    fn takes(&self, view: &PositionView) -> bool {
        self.account.as_deref().is_none_or(|account| account == &*view.account)
            && self.instrument.as_deref().is_none_or(|instrument| instrument == &*view.instrument)
            && self.status.is_none_or(|status| status == view::status(view))
            && self.reconciliation.is_none_or(|reconciliation| reconciliation == view.reconciliation)
            && self.after.as_ref().is_none_or(|(account, instrument)| key(view) > (account, instrument))
    }
}

fn key(view: &PositionView) -> (&[u8], &[u8]) {
    (view.account.as_bytes(), view.instrument.as_bytes())
}

/// A cursor names the last position of a page: it holds through restarts, and when positions come
/// in between. Hexadecimal, so that no name needs escaping.
fn cursor(view: &PositionView) -> String {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{}.{}", hex(&view.account), hex(&view.instrument))
}

fn read_cursor(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let unhex = |text: &str| {
        let digits = text.as_bytes();
        if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
    };
    let (account, instrument) = text.split_once('.')?;
    Some((unhex(account)?, unhex(instrument)?))
}

/// A page of positions, by account, then instrument, as bytes.
pub(super) async fn list(
    State(state): State<Arc<HttpState>>,
    query: Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(pairs) = query.map_err(|error| Problem::bad_parameter("query", error.body_text()))?;
    let wanted = Wanted::parse(&pairs)?;
    // Sorting a large book takes its time: elsewhere, so that health is answered meanwhile.
    let page = tokio::task::spawn_blocking(move || page(&state, &wanted)).await;
    let page = page.map_err(|error| Problem::internal(error.to_string()))??;
    Ok(Json(page).into_response())
}

fn page(state: &HttpState, wanted: &Wanted) -> Result<Page, Problem> {
    let as_of = AsOf::now(state);
    let all: Cow<'_, [Arc<PositionView>]> = match (&wanted.account, &wanted.instrument) {
        (Some(account), Some(instrument)) => find(state, account, instrument).into_iter().collect(),
        _ => state.model.positions().into(),
    };
    let mut found = all.iter().filter(|view| wanted.takes(view));
    let shown: Vec<_> = found.by_ref().take(wanted.limit).collect();
    let next = found.next().and(shown.last()).map(|view| cursor(view));
    let positions: Result<Vec<_>, _> = shown.iter().map(|view| as_of.position(state, view, wanted.lots)).collect();
    Ok(Page { positions: positions?, next, as_of_sequence: as_of.published, durable_sequence: as_of.durable })
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
        let wanted = parsed(&[("account", "A1"), ("status", "OPEN"), ("limit", "1000"), ("after", "4131.")]);
        assert_eq!(
            wanted,
            Ok(Wanted {
                account: Some("A1".into()),
                status: Some(PositionStatus::Open),
                limit: 1_000,
                after: Some((b"A1".to_vec(), Vec::new())),
                ..Wanted::default()
            })
        );
        for (query, parameter) in [
            (&[("limit", "0")][..], "limit"),
            (&[("limit", "1001")], "limit"),
            (&[("limit", "-1")], "limit"),
            (&[("limit", "")], "limit"),
            (&[("status", "open")], "status"),
            (&[("reconciliation", "pending")], "reconciliation"),
            (&[("after", "A1/AAPL")], "after"),
            (&[("after", "4131")], "after"),
            (&[("after", "413.41")], "after"),
            (&[("after", "\u{e9}\u{e9}.41")], "after"),
            (&[("lots", "1")], "lots"),
            (&[("account", "*")], "account"),
            (&[("account", "")], "account"),
            (&[("acount", "A1")], "acount"),
            (&[("account", "A1"), ("account", "A2")], "account"),
        ] {
            let problem = parsed(query).expect_err(parameter);
            assert!(problem.contains(&format!("\"parameter\":\"{parameter}\"")), "{query:?}: {problem}");
        }
    }
}
