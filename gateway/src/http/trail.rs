//! `GET /v1/access`: the trail, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::HttpState;
use super::problem::Problem;

/// Lines on a page unless the request says otherwise.
const LIMIT_DEFAULT: usize = 100;
/// Most lines on a page.
const LIMIT_MAX: usize = 1_000;

fn wanted(pairs: &[(String, String)]) -> Result<(u64, usize), Problem> {
    let (mut after, mut limit) = (0, LIMIT_DEFAULT);
    for (index, (key, value)) in pairs.iter().enumerate() {
        let bad = |detail: &str| Problem::bad_parameter(key.clone(), detail);
        if pairs[..index].iter().any(|(other, _)| other == key) {
            return Err(bad("it is given twice"));
        }
        match key.as_str() {
            "after" => after = value.parse().map_err(|_| bad("the number of a line is wanted"))?,
            "limit" => {
                let number = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                limit = number.ok_or_else(|| bad("a number from 1 to 1000 is wanted"))?;
            }
            _ => return Err(bad("no such parameter; after and limit are known")),
        }
    }
    Ok((after, limit))
}

/// A page of it.
pub(super) async fn page(
    State(state): State<Arc<HttpState>>,
    query: Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(pairs) = query.map_err(|error| Problem::bad_parameter("query", error.body_text()))?;
    let (after, limit) = wanted(&pairs)?;
    let Some(trail) = state.trail.clone() else { return Err(Problem::unavailable("this host keeps no trail")) };
    let broken_at = trail.broken_at();
    let read = tokio::task::spawn_blocking(move || trail.page(after, limit)).await;
    let read = read.map_err(|error| Problem::internal(error.to_string()))?;
    let (lines, has_more) = read.map_err(|error| Problem::internal(error.to_string()))?;
    let next = has_more.then_some(after + lines.len() as u64);
    Ok(Json(json!({ "lines": lines, "next": next, "broken_at": broken_at })).into_response())
}
