//! In front of every endpoint: who asks, whether they may, how often, and how large their bodies are.
//!
//! | what is wrong | status | `type` |
//! |---|---|---|
//! | a page of another origin asks a host without logins by another name | 421 | `/problems/foreign-host` |
//! | no credential, an unknown or an expired one | 401 | `/problems/unauthorized` |
//! | a credential whose role may not | 403 | `/problems/forbidden` |
//! | too often | 429 | `/problems/too-often` |
//! | a body that is too long | 413 | `/problems/too-large` |
//! | a body that does not come | 408 | `/problems/too-slow` |

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::HttpState;
use super::door::Peer;
use super::endpoints::Endpoint;
use super::problem::Problem;
use super::throttle::{Asker, source};
use crate::access::{Deed, Principal, Privilege};

/// Who asks, as endpoints see it.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// `None`: there are no logins here, or the endpoint is for everybody.
    pub(super) who: Option<Principal>,
    /// From where.
    pub(super) source: IpAddr,
}

impl Caller {
    /// Whether the caller may. Where there are no logins, whoever reaches the door may.
    pub(super) fn may(&self, privilege: Privilege) -> bool {
        self.who.as_ref().is_none_or(|who| who.role.may(privilege))
    }

    /// The user of what is recorded: the credential's, and what a body says must agree.
    pub(super) fn user(&self, said: Option<&str>) -> Result<Option<String>, Problem> {
        match (&self.who, said) {
            (Some(who), Some(said)) if who.user != said => Err(Problem::forbidden(
                format!("user_id is \"{said}\", and the credential is of \"{}\"; leave it out", who.user),
                Some("user_id".into()),
            )),
            (Some(who), _) => Ok(Some(who.user.clone())),
            (None, said) => Ok(said.map(str::to_owned)),
        }
    }

    /// Writes down what is about to be done; it survives power loss when this returns. Blocks.
    pub(super) fn records(&self, state: &HttpState, action: &str, detail: &Value) -> Result<(), Problem> {
        let Some(trail) = &state.trail else { return Ok(()) };
        let deed = Deed { who: self.who.as_ref(), source: &self.source.to_string(), action, detail };
        trail.write(&deed).map(drop).map_err(|error| {
            tracing::error!(%error, "the trail cannot be written; nothing that must stand in it is done");
            Problem::unavailable("what is done here must be recorded, and it cannot be; nothing was done")
        })
    }
}

/// Refusals since the start, by why.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    unauthorized: AtomicU64,
    forbidden: AtomicU64,
    too_often: AtomicU64,
}

impl Refusals {
    /// With labels, for the metrics.
    pub(super) fn counts(&self) -> [(&'static str, u64); 3] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("why=\"unauthorized\"", of(&self.unauthorized)),
            ("why=\"forbidden\"", of(&self.forbidden)),
            ("why=\"too_often\"", of(&self.too_often)),
        ]
    }
}

/// Lets a request through to an endpoint, or answers it.
pub(super) async fn pass(
    State((state, endpoint)): State<(Arc<HttpState>, &'static Endpoint)>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().cloned();
    let Some(peer) = peer else { return Problem::internal("a request without a connection").into_response() };
    let caller = match admit(&state, endpoint, &peer, request.uri(), request.headers()) {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let (parts, body) = request.into_parts();
    let body = match read(body, endpoint.body_bytes_max(), &state).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn admit(
    state: &HttpState,
    endpoint: &Endpoint,
    peer: &Peer,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    let (from, now) = (source(peer.source), Instant::now());
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    if state.only_for_this_machine {
        own_name(uri, headers)?;
    }
    let who = match &state.access {
        Some(_) if endpoint.privilege != Privilege::Open => {
            let failures = Asker::Failures(from);
            if !state.throttle.has(&failures, state.terms.failures_per_second, now) {
                count(&state.refusals.too_often);
                return Err(Problem::too_often());
            }
            let who = who(state, peer, headers).inspect_err(|_| {
                count(&state.refusals.unauthorized);
                state.throttle.take(&failures, state.terms.failures_per_second, now);
            })?;
            Some(who)
        }
        _ => None,
    };
    let asker = who.as_ref().map_or(Asker::Source(from), |who| Asker::Credential(who.credential.clone()));
    let per_second = state.terms.requests_per_second;
    if per_second > 0 && !state.throttle.take(&asker, per_second, now) {
        count(&state.refusals.too_often);
        return Err(Problem::too_often());
    }
    let caller = Caller { who, source: peer.source };
    if !caller.may(endpoint.privilege) {
        count(&state.refusals.forbidden);
        let role = caller.who.as_ref().map_or("", |who| who.role.as_str());
        let words = format!("the role {role} has not the privilege {}", endpoint.privilege.as_str());
        return Err(Problem::forbidden(words, None));
    }
    Ok(caller)
}

/// By the header, else by the certificate. A header that is wrong is not made good by a certificate.
fn who(state: &HttpState, peer: &Peer, headers: &HeaderMap) -> Result<Principal, Problem> {
    let Some(access) = &state.access else { return Err(Problem::internal("there are no logins")) };
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let found = match (given.next(), given.next()) {
        (None, _) if peer.names.is_empty() => return Err(Problem::unauthorized("a credential is wanted")),
        (None, _) => access.certificate(&peer.names),
        (Some(header), None) => {
            let bearer = header.to_str().ok().and_then(|header| header.split_once(' '));
            match bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
                Some((_, token)) => access.bearer(token.trim()),
                None => return Err(Problem::unauthorized("Authorization: Bearer and a token are wanted")),
            }
        }
        (Some(_), Some(_)) => return Err(Problem::unauthorized("one Authorization is wanted")),
    };
    found.map_err(|refusal| Problem::unauthorized(&refusal.to_string()))
}

/// A page of another origin can make a name of its own point to this machine and then read what is served here. It cannot choose
/// what its browser says which host it wants.
fn own_name(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let host = uri.host().or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok())).unwrap_or("localhost");
    let name = match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    let is_own = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if is_own { Ok(()) } else { Err(Problem::foreign_host(host)) }
}

async fn read(body: Body, bytes_max: usize, state: &HttpState) -> Result<Bytes, Problem> {
    let whole = axum::body::to_bytes(body, bytes_max);
    match tokio::time::timeout(state.terms.body_patience, whole).await {
        Ok(Ok(body)) => Ok(body),
        // A body that breaks off has nobody to answer; any other error is the length.
        Ok(Err(_)) => Err(Problem::too_large(bytes_max)),
        Err(_) => Err(Problem::too_slow()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine() {
        for (host, fine) in [
            ("localhost", true),
            ("LOCALHOST:8787", true),
            ("127.0.0.1:8787", true),
            ("127.8.8.8", true),
            ("[::1]:8787", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:8787", false),
            ("10.0.0.1", false),
            ("[::2]", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().expect("a value"));
            assert_eq!(own_name(&Uri::from_static("/health"), &headers).is_ok(), fine, "{host}");
        }
        assert!(own_name(&Uri::from_static("/health"), &HeaderMap::new()).is_ok(), "HTTP/1.0 says no host");
        assert!(own_name(&Uri::from_static("http://evil.example/health"), &HeaderMap::new()).is_err());
    }
}
