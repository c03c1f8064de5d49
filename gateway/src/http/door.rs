//! The door itself: connections, TLS, and limits on how many there are and how long they may say nothing.
//!
//! A connection that has no request under way is idle. Where one more comes than may be, the one that has been idle for longest is
//! closed: whoever opens ten thousand and says nothing closes their own, and keeps nobody out.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use crate::access::Tls;
use crate::access::tls::names_of;

/// A handshake takes no longer.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// After a failed accept, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Largest head of a request, in bytes: a bearer token and a cursor, and much to spare.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Most headers of a request.
const HEADERS_MAX: usize = 64;

/// Bounds of a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorTerms {
    /// Connections at a time.
    pub connections_max: usize,
    /// Requests a second of one asker; 0: any number.
    pub requests_per_second: u32,
    /// Failed logins of one source a second; more are answered 429 before they are looked at.
    pub failures_per_second: u32,
    /// A head is sent within this time, and the next one within it after an answer.
    pub head_patience: Duration,
    /// A body is sent within this time.
    pub body_patience: Duration,
}

impl Default for DoorTerms {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            requests_per_second: 10_000,
            failures_per_second: 10,
            head_patience: Duration::from_secs(30),
            body_patience: Duration::from_secs(10),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) source: IpAddr,
    /// Names of a certificate that was verified; none without one.
    pub(super) names: Arc<[String]>,
}

/// Connections that are open.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// Idle ones by when they became so, as a count; busy ones are in none of it.
    open: Mutex<Open>,
    refused: AtomicU64,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    clock: u64,
    idle: BTreeMap<u64, Arc<Notify>>,
}

/// One connection's place among them; given back when dropped.
struct Place {
    connections: Arc<Connections>,
    cut: Arc<Notify>,
    /// Where it stands among the idle ones, and its requests under way.
    state: Mutex<(Option<u64>, u32)>,
}

impl Connections {
    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.lock().count
    }

    /// How many were closed for others, and how many found no place at all, since the start.
    pub(super) fn turned_away(&self) -> (u64, u64) {
        (self.evicted.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// `None`: there is no place, for all are busy.
    fn enter(self: &Arc<Self>, max: usize) -> Option<Arc<Place>> {
        let mut open = self.open.lock();
        if open.count >= max {
            // It gives its place back by itself, later: for a moment there may be one more for each that comes.
            let Some((_, oldest)) = open.idle.pop_first() else {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            };
            oldest.notify_one();
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        open.count += 1;
        open.clock += 1;
        let (at, cut) = (open.clock, Arc::new(Notify::new()));
        open.idle.insert(at, cut.clone());
        drop(open);
        Some(Arc::new(Place { connections: self.clone(), cut, state: Mutex::new((Some(at), 0)) }))
    }
}

impl Place {
    fn begins(&self) {
        let mut state = self.state.lock();
        state.1 += 1;
        if let Some(at) = state.0.take() {
            self.connections.open.lock().idle.remove(&at);
        }
    }

    fn ends(&self) {
        let mut state = self.state.lock();
        state.1 -= 1;
        if state.1 == 0 {
            let mut open = self.connections.open.lock();
            open.clock += 1;
            let at = open.clock;
            open.idle.insert(at, self.cut.clone());
            state.0 = Some(at);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        open.count -= 1;
        if let Some(at) = self.state.get_mut().0 {
            open.idle.remove(&at);
        }
    }
}

/// A request under way, until its answer has been taken.
struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ends();
    }
}

/// The body of an answer: its connection is busy until it ends.
struct Held {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) terms: DoorTerms,
    pub(super) connections: Arc<Connections>,
}

/// Takes connections until it is told to stop, then waits for those with a request under way.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stops| *stops) => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, address)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(place) = shared.connections.enter(shared.terms.connections_max) else { continue };
        // An answer is written at once; to wait for more to send helps nobody.
        let _ = stream.set_nodelay(true);
        tasks.spawn(connection(stream, address.ip(), place, shared.clone(), stop.clone()));
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    source: IpAddr,
    place: Arc<Place>,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let Some(tls) = &shared.tls else {
        let peer = Peer { source, names: Arc::new([]) };
        return serve(stream, peer, &place, &shared, stop).await;
    };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HANDSHAKE_PATIENCE, TlsAcceptor::from(tls.config()).accept(stream)) => shaken,
        () = place.cut.notified() => return,
        _ = stop.wait_for(|stops| *stops) => return,
    };
    let Ok(Ok(stream)) = shaken else { return };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let names = certificate.map(names_of).unwrap_or_default().into();
    serve(stream, Peer { source, names }, &place, &shared, stop).await;
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: Peer,
    place: &Arc<Place>,
    shared: &Shared,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        place.begins();
        let busy = Busy(place.clone());
        let mut router = shared.router.clone();
        async move {
            match router.call(request).await {
                Ok(answer) => Ok::<_, Infallible>(answer.map(|body| Held { body, _busy: busy })),
                Err(never) => match never {},
            }
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(shared.terms.head_patience);
    http.max_header_size(HEAD_BYTES_MAX).max_buf_size(2 * HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    let serving = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    // How it ended is the client's affair: a broken connection is nothing to tell an operator.
    tokio::select! {
        _ = serving.as_mut() => return,
        () = place.cut.notified() => return,
        _ = stop.wait_for(|stops| *stops) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}
