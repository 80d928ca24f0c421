//! The bundled pet store: a small backend, so that a first try gets real HTTP round trips.
//!
//! It speaks HTTP/1.1 without TLS on the loopback address, holds its pets in code and forgets what
//! it is told, so that every run answers the same. AWS: the "PetStore" example API.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::model::quotas;
use crate::net::query;
use crate::net::socket::{Network, Stream};
use crate::net::tasks::Tasks;

/// Connections at once; it serves one machine's gateways.
const CONNECTIONS_MAX: usize = 1_024;
/// Time for the head of a request.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const PETS_PER_PAGE: u64 = 3;
const PAGES: u64 = 3;
const KINDS: [&str; 3] = ["dog", "cat", "fish"];

/// Starts the pet store on the loopback address: on the port that is wished for if it is free, else
/// on any. It ends with `tasks`.
pub fn start(
    network: &Arc<dyn Network>,
    tasks: &Tasks,
    wished: Option<u16>,
) -> io::Result<SocketAddr> {
    let listen = |port| network.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), false);
    let wished = wished.and_then(|port| listen(port).ok());
    let mut listener = wished.map_or_else(|| listen(0), Ok)?;
    let address = listener.local_addr()?;
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let tasks_of_connections = tasks.clone();
    tasks.spawn(async move {
        let stopped = tasks_of_connections.stopped().clone();
        loop {
            let Ok(permit) = connections.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                () = stopped.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _peer)) => {
                    let stopped = stopped.clone();
                    tasks_of_connections.spawn(async move {
                        tokio::select! {
                            () = stopped.cancelled() => {}
                            () = serve(stream) => {}
                        }
                        drop(permit);
                    });
                }
                Err(err) => {
                    tracing::warn!(%err, "The pet store could not accept a connection.");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    Ok(address)
}

async fn serve(stream: Stream) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
    if let Err(err) = served {
        tracing::debug!(%err, "A connection to the pet store ended early.");
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let limit = usize::try_from(quotas::BODY_BYTES_MAX).unwrap_or(usize::MAX);
    let Ok(body) = Limited::new(body, limit).collect().await else {
        return Ok(reply(StatusCode::BAD_REQUEST, &json!({"message": "The body did not arrive."})));
    };
    let body = body.to_bytes();
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or_default();
    let pet = path.strip_prefix("/pets/");
    let echoed = path == "/echo" || path.starts_with("/echo/");
    Ok(match (&head.method, path, pet) {
        _ if echoed => {
            reply(StatusCode::OK, &echo(&head.method, path, query, &head.headers, &body))
        }
        (&Method::GET | &Method::HEAD, "/pets", _) => reply(StatusCode::OK, &pets(query)),
        (&Method::POST, "/pets", _) => create(&body),
        (&Method::GET | &Method::HEAD, _, Some(id)) => match id.parse::<u64>() {
            Ok(id @ 1..=9) => reply(StatusCode::OK, &pet_of(id, None)),
            Ok(_) => reply(
                StatusCode::NOT_FOUND,
                &json!({"errors": [{"message": "There is no such pet."}]}),
            ),
            Err(_) => reply(
                StatusCode::BAD_REQUEST,
                &json!({"errors": [{"key": "petId", "message": "A pet's id is a number."}]}),
            ),
        },
        (_, "/pets", _) | (_, _, Some(_)) => reply(
            StatusCode::METHOD_NOT_ALLOWED,
            &json!({"message": "The pet store does not do that."}),
        ),
        _ => reply(StatusCode::NOT_FOUND, &json!({"message": "There is nothing here."})),
    })
}

/// One page of pets: `type` fixes their kind, `page` counts from 1.
fn pets(query: &str) -> Value {
    let kind = query::last(query, "type").filter(|kind| !kind.is_empty());
    let page = query::last(query, "page").and_then(|page| page.parse::<u64>().ok());
    let page = page.unwrap_or(1).clamp(1, PAGES);
    let first = (page - 1) * PETS_PER_PAGE + 1;
    (first..first + PETS_PER_PAGE).map(|id| pet_of(id, kind.as_deref())).collect()
}

fn pet_of(id: u64, kind: Option<&str>) -> Value {
    let index = usize::try_from(id.wrapping_sub(1)).unwrap_or(0);
    let kind = kind.unwrap_or(KINDS[index % KINDS.len()]);
    // Cents, so that the price prints as it is meant.
    let cents = 99 + 12_500 * (id % 4);
    let price = f64::from(u32::try_from(cents).unwrap_or(0)) / 100.0;
    json!({"id": id, "type": kind, "price": price})
}

fn create(body: &Bytes) -> Response<Full<Bytes>> {
    match serde_json::from_slice::<Value>(body) {
        Ok(pet @ Value::Object(_)) => {
            reply(StatusCode::OK, &json!({"pet": pet, "message": "success"}))
        }
        _ => reply(
            StatusCode::BAD_REQUEST,
            &json!({"errors": [{"key": "Pet", "message": "A pet is a JSON object."}]}),
        ),
    }
}

/// What arrived here, for looking at what a gateway sends.
fn echo(method: &Method, path: &str, query: &str, headers: &HeaderMap, body: &Bytes) -> Value {
    let mut named = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter();
        let values: Vec<String> =
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        named.insert(name.to_string(), Value::String(values.join(", ")));
    }
    json!({
        "method": method.as_str(),
        "path": path,
        "query": query,
        "headers": named,
        "bodyBytes": body.len(),
    })
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
#[path = "petstore_tests.rs"]
mod petstore_tests;
