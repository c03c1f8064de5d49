//! HTTP connections to the object store: hyper's client over TCP or TLS, kept open for the next request.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::terms::ObjectsError;

/// Idle connections that are kept.
const IDLE_MAX: usize = 4;

/// Makes clients for the object store; each shares the connections.
#[derive(Clone, Debug)]
pub(super) struct Connector(Arc<Connections>);

struct Connections {
    /// `None`: plain connections alone.
    tls: Option<TlsConnector>,
    idle: Mutex<Vec<SendRequest<HttpRequestBody>>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connections(tls: {})", self.tls.is_some())
    }
}

impl Connector {
    /// Trusts those certificates; without any there is no TLS. All requests go to one server.
    pub(super) fn new(certificates: Option<&[u8]>) -> Result<Self, ObjectsError> {
        let tls = match certificates {
            None => None,
            Some(pem) => Some(TlsConnector::from(Arc::new(client_config(pem)?))),
        };
        Ok(Self(Arc::new(Connections { tls, idle: Mutex::default() })))
    }
}

fn client_config(pem: &[u8]) -> Result<ClientConfig, ObjectsError> {
    let failed = |error: &dyn std::fmt::Display| ObjectsError::Client(format!("ca_file: {error}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|e| failed(&e))?).map_err(|e| failed(&e))?;
    }
    if roots.is_empty() {
        return Err(failed(&"no certificate in it"));
    }
    // Named, and not taken from the process: whoever calls first must not decide.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(versions.map_err(|e| failed(&e))?.with_root_certificates(roots).with_no_client_auth())
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

type Calling<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Connector {
    // As the trait's macro has it.
    fn call<'life0, 'async_trait>(&'life0 self, request: HttpRequest) -> Calling<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.0.call(request))
    }
}

fn failed(kind: HttpErrorKind) -> impl Fn(io::Error) -> HttpError {
    move |error| HttpError::new(kind, error)
}

/// What the client knows of an error decides whether it asks again.
fn of_hyper(error: hyper::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_parse() {
        HttpErrorKind::Decode
    } else if error.is_canceled() || error.is_closed() {
        HttpErrorKind::Request
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error)
}

impl Connections {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (https, host, port) = address_of(&request).map_err(failed(HttpErrorKind::Unknown))?;
        let mut sender = match self.ready().await {
            Some(sender) => sender,
            None => self.open(https, &host, port).await?,
        };
        let authority = request.uri().authority().map(|a| a.as_str().to_owned()).unwrap_or_default();
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let bad = |error: &dyn std::fmt::Display| failed(HttpErrorKind::Unknown)(io::Error::other(error.to_string()));
        *request.uri_mut() = path.parse().map_err(|e| bad(&e))?;
        if !request.headers().contains_key(hyper::header::HOST) {
            let host = authority.parse().map_err(|e| bad(&e))?;
            request.headers_mut().insert(hyper::header::HOST, host);
        }
        let response = sender.send_request(request).await.map_err(of_hyper)?;
        let (parts, body) = response.into_parts();
        // Whole before it is given on: objects are read in parts of a bounded size, and then the connection is free.
        let body = body.collect().await.map_err(of_hyper)?.to_bytes();
        self.keep(sender);
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)))
    }

    /// One that is open and has nothing to do.
    async fn ready(&self) -> Option<SendRequest<HttpRequestBody>> {
        loop {
            let mut sender = self.idle.lock().pop()?;
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    fn keep(&self, sender: SendRequest<HttpRequestBody>) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX && !sender.is_closed() {
            idle.push(sender);
        }
    }

    async fn open(&self, https: bool, host: &str, port: u16) -> Result<SendRequest<HttpRequestBody>, HttpError> {
        let refused = failed(HttpErrorKind::Connect);
        let stream = TcpStream::connect((host, port)).await.map_err(&refused)?;
        stream.set_nodelay(true).map_err(&refused)?;
        if !https {
            return shake_hands(stream).await;
        }
        let Some(tls) = &self.tls else { return Err(refused(io::Error::other("no TLS was asked for"))) };
        let name = ServerName::try_from(host.to_owned()).map_err(|e| refused(io::Error::other(e)))?;
        shake_hands(tls.connect(name, stream).await.map_err(&refused)?).await
    }
}

async fn shake_hands<S>(stream: S) -> Result<SendRequest<HttpRequestBody>, HttpError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(of_hyper)?;
    // It ends with the connection; what went wrong on it, the request is told.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

fn address_of(request: &HttpRequest) -> io::Result<(bool, String, u16)> {
    let uri = request.uri();
    let https = uri.scheme_str() == Some("https");
    let host = uri.host().ok_or_else(|| io::Error::other("an address without a host"))?;
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    Ok((https, host.trim_matches(['[', ']']).to_owned(), port))
}
