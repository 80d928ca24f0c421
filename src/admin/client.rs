//! How does the command line reach a running node? One request, one connection, one clear error.
//!
//! It speaks plain HTTP/1.1 or HTTPS with the TLS configuration it is given (roots, and a client
//! certificate where the far side wants one). It follows no redirects and no proxies: an admin
//! listener is never behind one.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::uri::Scheme;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::admin::http::{PURGES_PATH, PurgeOutcome, PurgeRequest, STATUS_PATH};
use crate::admin::status::ClusterStatus;
use crate::net::aws::{Signer, Unsigned};
use crate::net::clock::Timestamp;
use crate::net::socket::{Network, Stream};

/// A status of thousands of stages is a few MiB.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Somebody is waiting at a terminal.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A little more than the server allows itself.
const EXCHANGE_MAX: Duration = Duration::from_secs(65);
/// How much of an answer that is no JSON is shown.
const EXCERPT_CHARACTERS: usize = 200;

/// Why there is no answer to show.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("`{url}` is not an admin address: {reason}; an example is http://127.0.0.1:4700")]
    Url { url: String, reason: &'static str },
    #[error(
        "nobody answers at {url}: is the node running, and is this its admin address? ({source})"
    )]
    Unreachable { url: String, source: io::Error },
    #[error("the TLS handshake with {url} failed: {source}")]
    Tls { url: String, source: io::Error },
    #[error("{url} is HTTPS, but no certificate authority to trust was given")]
    NoRoots { url: String },
    #[error("{url} did not answer within {} seconds", .limit.as_secs())]
    TimedOut { url: String, limit: Duration },
    #[error(
        "{url} broke off its answer or does not speak HTTP ({reason}); is this an admin address?"
    )]
    Broken { url: String, reason: String },
    #[error("{message}\n  {hint}")]
    Refused { status: StatusCode, message: String, hint: String },
    #[error("{url} answered {status} with something else than Tidegate's JSON: {excerpt}")]
    NotTidegate { url: String, status: StatusCode, excerpt: String },
}

/// A node's admin listener, seen from outside.
pub struct Client {
    network: Arc<dyn Network>,
    tls: Option<Arc<rustls::ClientConfig>>,
    /// As given, without a slash at its end; for messages.
    url: String,
    host: String,
    port: u16,
    is_https: bool,
}

impl Client {
    /// For the listener at `url`, such as `http://127.0.0.1:4700`. `tls` is needed for `https`.
    pub fn new(
        url: &str,
        tls: Option<Arc<rustls::ClientConfig>>,
        network: Arc<dyn Network>,
    ) -> Result<Self, ClientError> {
        let wrong = |reason| ClientError::Url { url: url.to_owned(), reason };
        let uri: Uri = url.parse().map_err(|_| wrong("it is not a URL"))?;
        let is_https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(wrong("it must begin with http:// or https://")),
        };
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(wrong("it must not have a path"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it must not hold a user name or password"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        let url = url.trim_end_matches('/').to_owned();
        if is_https && tls.is_none() {
            return Err(ClientError::NoRoots { url });
        }
        let port = authority.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        Ok(Self { network, tls, url, host, port, is_https })
    }

    /// How the cluster looks from that node.
    pub async fn status(&self) -> Result<ClusterStatus, ClientError> {
        self.ask(Method::GET, STATUS_PATH, Bytes::new()).await
    }

    /// Drops cached answers on all nodes; tells which of them confirmed it.
    pub async fn purge(&self, request: &PurgeRequest) -> Result<PurgeOutcome, ClientError> {
        let body = serde_json::to_vec(request).expect("names and a pattern are always JSON");
        self.ask(Method::POST, PURGES_PATH, body.into()).await
    }

    /// One request of AWS's control plane, signed where there is a key pair. `target` is path and
    /// query. The answer comes as it is, refusals too.
    pub async fn control(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
        signer: Option<(&Signer, Timestamp)>,
    ) -> Result<Response<Bytes>, ClientError> {
        let mut request = self.request(method, target, body.clone())?;
        if let Some((signer, now)) = signer {
            let (mut parts, full) = request.into_parts();
            let unsigned = Unsigned {
                method: &parts.method,
                path: parts.uri.path(),
                query: parts.uri.query().unwrap_or_default(),
                body: &body,
            };
            signer.sign(unsigned, &mut parts.headers, now).map_err(|error| {
                ClientError::Broken { url: self.url.clone(), reason: error.to_string() }
            })?;
            request = Request::from_parts(parts, full);
        }
        self.send(request).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &'static str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let response = self.send(self.request(method, path, body)?).await?;
        self.read(&response)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ClientError> {
        let stream = self.connect().await?;
        let exchange = async {
            match (&self.tls, self.is_https) {
                (Some(tls), true) => {
                    let name =
                        ServerName::try_from(self.host.clone()).map_err(|_| ClientError::Url {
                            url: self.url.clone(),
                            reason: "its host can be in no certificate",
                        })?;
                    let stream = TlsConnector::from(tls.clone())
                        .connect(name, stream)
                        .await
                        .map_err(|source| ClientError::Tls { url: self.url.clone(), source })?;
                    self.exchange(stream, request).await
                }
                _ => self.exchange(stream, request).await,
            }
        };
        tokio::time::timeout(EXCHANGE_MAX, exchange)
            .await
            .map_err(|_| ClientError::TimedOut { url: self.url.clone(), limit: EXCHANGE_MAX })?
    }

    async fn connect(&self) -> Result<Stream, ClientError> {
        let unreachable = |source| ClientError::Unreachable { url: self.url.clone(), source };
        let attempt = async {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in self.network.resolve(&self.host, self.port).await? {
                match self.network.connect(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        tokio::time::timeout(CONNECT_MAX, attempt)
            .await
            .map_err(|_| ClientError::TimedOut { url: self.url.clone(), limit: CONNECT_MAX })?
            .map_err(unreachable)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, format!("{host}:{}", self.port))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(body))
            .map_err(|_| ClientError::Url {
                url: self.url.clone(),
                reason: "its host cannot be sent in a header",
            })
    }

    /// Sends and reads while driving the connection, which needs no task of its own that way.
    async fn exchange<S>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |reason: &dyn fmt::Display| ClientError::Broken {
            url: self.url.clone(),
            reason: reason.to_string(),
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        let talk = async {
            let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX)
                .collect()
                .await
                .map_err(|error| broken(&error))?
                .to_bytes();
            Ok(Response::from_parts(head, body))
        };
        tokio::pin!(talk, connection);
        tokio::select! {
            biased;
            response = &mut talk => response,
            // The connection may end first, with all its data read; the talk then ends at once.
            _ = &mut connection => talk.await,
        }
    }

    fn read<T: DeserializeOwned>(&self, response: &Response<Bytes>) -> Result<T, ClientError> {
        #[derive(Deserialize)]
        struct Refused {
            message: String,
            #[serde(default)]
            hint: String,
        }
        let status = response.status();
        if status.is_success() {
            if let Ok(value) = serde_json::from_slice(response.body()) {
                return Ok(value);
            }
        } else if let Ok(Refused { message, hint }) = serde_json::from_slice(response.body()) {
            let (message, hint) = (printable(&message), printable(&hint));
            return Err(ClientError::Refused { status, message, hint });
        }
        let excerpt = printable(&String::from_utf8_lossy(response.body()));
        let excerpt = excerpt.chars().take(EXCERPT_CHARACTERS).collect();
        Err(ClientError::NotTidegate { url: self.url.clone(), status, excerpt })
    }
}

/// The far side may be anybody; it must not speak to the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}
