//! How does an operator's tool talk to a node? A small HTTP/1.1 server on the admin listener.
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /healthz` | 200 `ok` while the process lives |
//! | `GET /readyz` | 200 `ready`, or 503 with the reasons, one per line; 503 while draining |
//! | `GET /metrics` | OpenMetrics text |
//! | `GET /_tidegate/status` | [`ClusterStatus`] |
//! | `POST /_tidegate/purges` | [`PurgeRequest`] in, [`PurgeOutcome`] out |
//! | `/_tidegate/stacks/…`, in the region | what templates made: [`crate::admin::stacks`] |
//! | anything else, in the region | AWS's control plane: [`ControlPlane`] |
//!
//! A web page open on the operator's machine can reach a loopback listener too. Three rules keep
//! it out: a change needs `Content-Type: application/json` (which a page cannot send elsewhere
//! without asking first), a request with an `Origin` is refused, and so is a `Host` that is neither
//! an address nor a name of ours (a page's own name may resolve to 127.0.0.1). A change from
//! another machine needs a client certificate, which the TLS configuration must have verified.
//!
//! For requests to AWS's control plane a signature stands in for these rules: it covers `Host`, so
//! any name will do, and `Content-Type` may be what AWS's clients send. An `Origin` is refused as
//! well. Where signatures are not verified, `Host` must be known and the visitor may change things.
//!
//! It is not built for load: some hundred connections, one answer at a time on each. Bodies are held
//! whole, since a signature covers them; only a few large ones are at the same time.
//!
//! RFC 9110 and 9112; RFC 6454 section 7 (`Origin`).

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::admin::answer::{Answer, Refusal, answer, json, text};
use crate::admin::guard::{
    Visitor, check_change, check_host, check_origin, check_purge, is_signed,
};
use crate::admin::operations::ControlPlane;
use crate::admin::protocol::encode::refuse;
use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::stacks::STACKS_PATH;
use crate::admin::status::ClusterStatus;
use crate::model::ids::{ApiId, StageName};
use crate::net::socket::{Listener, Stream};
use crate::net::tasks::Tasks;
use crate::telemetry::metrics;

/// The path that answers with the cluster's status.
pub const STATUS_PATH: &str = "/_tidegate/status";
/// The path that takes purges.
pub const PURGES_PATH: &str = "/_tidegate/purges";

/// A purge request is a few hundred bytes; ours, generous.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// A request to AWS's control plane: a definition of 6 MB as text within JSON, with its escapes.
/// AWS: "Quotas for configuring and running a REST API", payload size.
const CONTROL_BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Bodies beyond this wait for room; most are far below.
const SMALL_BODY_BYTES: usize = 64 * 1024;
/// Large bodies that are held at the same time: 160 MiB at most.
const LARGE_BODIES_MAX: usize = 16;
/// Head of a request: a presigned address may be 8 KiB, a session token 4 KiB more.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const HEADERS_MAX: usize = 100;
/// A tool sends its head at once. A connection may also rest that long between two requests: AWS's
/// clients keep some open, and one that is closed too soon costs them a failed call.
const HEAD_READ_MAX: Duration = Duration::from_secs(60);
const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Reading the body and answering; a purge waits for far nodes to confirm.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// After this a connection ends with the answer it is at.
const CONNECTION_MAX: Duration = Duration::from_secs(300);
/// However slowly a client reads, its connection ends.
const CONNECTION_END_MAX: Duration = Duration::from_secs(90);
/// Monitoring, a few people, and tools that keep ten connections per thread.
const CONNECTIONS_MAX: usize = 512;
/// Wait after a failed accept: without file descriptors the next one fails too.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);
/// What a node lets its operator see and do.
#[async_trait]
pub trait Admin: Send + Sync + 'static {
    /// Whether calls would be answered now; otherwise everything that is missing.
    fn ready(&self) -> Result<(), Vec<String>>;
    fn status(&self) -> ClusterStatus;
    /// OpenMetrics text.
    fn metrics(&self) -> String;
    /// Drops cached answers on all nodes and waits, within bounds, for their confirmation.
    async fn purge(&self, request: PurgeRequest) -> Result<PurgeOutcome, AdminError>;
    /// AWS's control plane; only the region has one.
    fn control_plane(&self) -> Option<Arc<ControlPlane>> {
        None
    }
}

/// Which cached answers to drop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeRequest {
    pub api: ApiId,
    pub stage: StageName,
    /// Pattern over the path behind the stage, `*` for any text; `None` is the whole stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Who has dropped them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeOutcome {
    /// The purge's place in the order of all purges.
    pub seq: u64,
    pub nodes: Vec<Confirmation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    pub name: String,
    /// False: the node did not answer in time. It drops the answers before it serves anything
    /// else as soon as it is reachable.
    pub confirmed: bool,
}

/// Why the node did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("there is no stage `{stage}` of an API `{api}`")]
    UnknownStage { api: ApiId, stage: StageName },
    #[error("the request is not valid: {0}")]
    Invalid(String),
    #[error("this node cannot do that; ask the region's admin listener")]
    NotHere,
    #[error("not possible at the moment: {0}")]
    Unavailable(String),
}

/// How the admin listener judges its visitors.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Names that `Host` may carry besides addresses and `localhost`; without port.
    pub names: Vec<String>,
    /// Lets other machines change things without a client certificate, for a network that is
    /// closed by other means. Loopback never needs one.
    pub changes_without_certificate: bool,
}

/// Serves the admin surface on `listener` until `tasks` are stopped, also while the node drains: an
/// operator wants to see that. Without `tls` it speaks plain HTTP, which is meant for loopback.
pub fn serve(
    config: Config,
    listener: Listener,
    tls: Option<Arc<rustls::ServerConfig>>,
    admin: Arc<dyn Admin>,
    tasks: &Tasks,
) {
    serve_some(config, listener, tls, admin, tasks, CONNECTIONS_MAX);
}

/// [`serve`] with a bound of the caller's on connections.
pub(super) fn serve_some(
    config: Config,
    mut listener: Listener,
    tls: Option<Arc<rustls::ServerConfig>>,
    admin: Arc<dyn Admin>,
    tasks: &Tasks,
    connections_max: usize,
) {
    let large_bodies = Semaphore::new(LARGE_BODIES_MAX);
    let draining = tasks.draining().clone();
    let server = Arc::new(Server { config, admin, draining, large_bodies });
    let acceptor = tls.map(TlsAcceptor::from);
    let room = Arc::new(Semaphore::new(connections_max));
    let own_tasks = tasks.clone();
    tasks.spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = own_tasks.stopped().cancelled() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "The admin listener could not accept a connection.");
                    tokio::time::sleep(ACCEPT_BACK_OFF).await;
                    continue;
                }
            };
            let Ok(permit) = room.clone().try_acquire_owned() else {
                tracing::warn!(%peer, "The admin listener is full; a connection was closed.");
                continue;
            };
            let (server, acceptor, tasks) = (server.clone(), acceptor.clone(), own_tasks.clone());
            own_tasks.spawn(async move {
                server.connection(stream, peer, acceptor, &tasks).await;
                drop(permit);
            });
        }
    });
}

struct Server {
    config: Config,
    admin: Arc<dyn Admin>,
    draining: CancellationToken,
    /// Room for large bodies.
    large_bodies: Semaphore,
}

impl Server {
    async fn connection(
        self: Arc<Self>,
        stream: Stream,
        peer: SocketAddr,
        acceptor: Option<TlsAcceptor>,
        tasks: &Tasks,
    ) {
        let ip = peer.ip().to_canonical();
        let trusted = ip.is_loopback() || self.config.changes_without_certificate;
        let Some(acceptor) = acceptor else {
            self.http(stream, Visitor { ip, may_change: trusted }, tasks).await;
            return;
        };
        match tokio::time::timeout(TLS_HANDSHAKE_MAX, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let certified = stream.get_ref().1.peer_certificates().is_some();
                self.http(stream, Visitor { ip, may_change: trusted || certified }, tasks).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "An admin TLS handshake failed."),
            Err(_) => tracing::debug!(%peer, "An admin TLS handshake took too long."),
        }
    }

    async fn http<S>(self: Arc<Self>, stream: S, visitor: Visitor, tasks: &Tasks)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request, visitor).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_READ_MAX)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = tokio::time::sleep(CONNECTION_MAX) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = tokio::time::sleep(CONNECTION_END_MAX) => {
                        tracing::debug!("An admin connection reached its greatest age.");
                        return;
                    }
                    () = tasks.stopped().cancelled() => return,
                }
            }
            () = tasks.stopped().cancelled() => return,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "An admin connection ended early.");
        }
    }

    async fn answer(&self, request: Request<Incoming>, visitor: Visitor) -> Answer {
        let is_head = request.method() == Method::HEAD;
        let answer = match tokio::time::timeout(ANSWER_MAX, self.route(request, visitor)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(refusal)) => refusal.into_answer(),
            Err(_) => Refusal::new(
                StatusCode::GATEWAY_TIMEOUT,
                "the answer took too long",
                "see `tidegate status` for nodes that do not respond, then try again",
            )
            .into_answer(),
        };
        if is_head { answer.map(|_| Full::default()) } else { answer }
    }

    async fn route(&self, request: Request<Incoming>, visitor: Visitor) -> Result<Answer, Refusal> {
        if !is_ours(request.uri().path())
            && let Some(control) = self.admin.control_plane()
        {
            return self.control(request, visitor, &control).await;
        }
        check_host(&self.config.names, request.headers())?;
        let method = request.method().clone();
        let reads = method == Method::GET || method == Method::HEAD;
        match request.uri().path() {
            "/healthz" if reads => Ok(text(StatusCode::OK, "ok\n".to_owned())),
            "/readyz" if reads => Ok(self.readiness()),
            "/metrics" if reads => {
                Ok(answer(StatusCode::OK, metrics::CONTENT_TYPE, self.admin.metrics()))
            }
            STATUS_PATH if reads => json(StatusCode::OK, &self.admin.status()),
            PURGES_PATH if method == Method::POST => self.purge(request, visitor).await,
            "/healthz" | "/readyz" | "/metrics" | STATUS_PATH => Err(Refusal::method("GET, HEAD")),
            PURGES_PATH => Err(Refusal::method("POST")),
            _ => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "there is nothing at this path",
                "known are /healthz, /readyz, /metrics, /_tidegate/status and /_tidegate/purges",
            )),
        }
    }

    /// AWS's control plane.
    async fn control(
        &self,
        request: Request<Incoming>,
        visitor: Visitor,
        control: &ControlPlane,
    ) -> Result<Answer, Refusal> {
        check_origin(request.headers(), "send it from a program with AWS's SDK")?;
        if !control.verifies() && !visitor.may_change {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "this listener verifies no signatures and serves only its own machine",
                "run the command on the node itself, or start the region without `--open-admin`",
            ));
        }
        // A signature covers `Host`, so no other page's name can be behind it.
        if !(control.verifies() && is_signed(&request)) {
            check_host(&self.config.names, request.headers())?;
        }
        let (parts, body) = request.into_parts();
        let Some((body, _room)) = self.read_large_body(body).await? else {
            let message = format!("The body is longer than {CONTROL_BODY_BYTES_MAX} bytes.");
            let error = ApiError::new(ErrorKind::RequestTooLarge, message);
            return Ok(refuse(None, error).map(Full::new));
        };
        Ok(control.answer(&parts, body, visitor.ip).await.map(Full::new))
    }

    /// The body with the room it takes; `None` when it is too long. What is announced as too long is
    /// not even asked for (`Expect: 100-continue`).
    async fn read_large_body(
        &self,
        mut body: Incoming,
    ) -> Result<Option<(Bytes, Option<SemaphorePermit<'_>>)>, Refusal> {
        if body.size_hint().lower() > CONTROL_BODY_BYTES_MAX as u64 {
            return Ok(None);
        }
        let (mut read, mut room) = (BytesMut::new(), None);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(broken_off)?.into_data() else { continue };
            if read.len() + data.len() > CONTROL_BODY_BYTES_MAX {
                return Ok(None);
            }
            if room.is_none() && read.len() + data.len() > SMALL_BODY_BYTES {
                room = self.large_bodies.acquire().await.ok();
            }
            read.extend_from_slice(&data);
        }
        Ok(Some((read.freeze(), room)))
    }

    fn readiness(&self) -> Answer {
        let ready = match self.draining.is_cancelled() {
            true => Err(vec!["the node is shutting down".to_owned()]),
            false => self.admin.ready(),
        };
        match ready {
            Ok(()) => text(StatusCode::OK, "ready\n".to_owned()),
            Err(reasons) => {
                let mut lines = reasons.join("\n");
                lines.push('\n');
                text(StatusCode::SERVICE_UNAVAILABLE, lines)
            }
        }
    }

    async fn purge(&self, request: Request<Incoming>, visitor: Visitor) -> Result<Answer, Refusal> {
        check_change(request.headers(), visitor)?;
        let body = read_body(request.into_body()).await?;
        let request: PurgeRequest = serde_json::from_slice(&body).map_err(|error| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                format!("the body is not a purge request: {error}"),
                r#"send {"api": "ID", "stage": "NAME"}, with "path": "/GLOB" for a part of it"#,
            )
        })?;
        check_purge(&request)?;
        let outcome = self.admin.purge(request).await.map_err(Refusal::from)?;
        json(StatusCode::OK, &outcome)
    }
}

/// The paths that are Tidegate's and not AWS's.
fn is_ours(path: &str) -> bool {
    // What templates made is the control plane's.
    let is_stack = path.starts_with(STACKS_PATH);
    matches!(path, "/healthz" | "/readyz" | "/metrics")
        || path.starts_with("/_tidegate/") && !is_stack
}

async fn read_body(body: Incoming) -> Result<Bytes, Refusal> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {BODY_BYTES_MAX} bytes"),
            "purge a whole stage, or send one pattern per request",
        )),
        Err(error) => Err(broken_off(error)),
    }
}

fn broken_off(error: impl fmt::Display) -> Refusal {
    let message = format!("the body broke off: {error}");
    Refusal::new(StatusCode::BAD_REQUEST, message, "send the request again")
}

impl From<AdminError> for Refusal {
    fn from(error: AdminError) -> Self {
        let (status, hint) = match &error {
            AdminError::UnknownStage { .. } => {
                (StatusCode::NOT_FOUND, "`tidegate status` lists the APIs and their stages")
            }
            AdminError::Invalid(_) => (StatusCode::BAD_REQUEST, "correct the request"),
            AdminError::NotHere => (
                StatusCode::MISDIRECTED_REQUEST,
                "give `--admin URL` of the region, or `--topology FILE`",
            ),
            AdminError::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "try again; `tidegate status` shows the nodes")
            }
        };
        Self::new(status, error.to_string(), hint)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Server").field("config", &self.config).finish_non_exhaustive()
    }
}
