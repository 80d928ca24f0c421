//! The doors: where a request becomes a call, and a call's outcome a response.
//!
//! Door 1 is a client at a listener; it walks the whole line and is recorded here, once. Door 2 is
//! an edge that sends a call on through the tunnel: the edge's certificate proved its role, so what
//! it resolved and whom it admitted is taken as proved.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Method, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use rand::Rng;
use tokio::time::Instant;
use uuid::Uuid;

use crate::auth::Caller;
use crate::call::{Body, BodyError, Call, Connection, Door, ExtendedId, Reply};
use crate::integration::body::Chained;
use crate::integration::streaming;
use crate::listener::{Answer, Handler, Refused};
use crate::mapping::compression::compress_reply;
use crate::model::ids::NodeName;
use crate::pipeline::customise::customise;
use crate::pipeline::deliver::IdText;
use crate::pipeline::integrate::proto;
use crate::pipeline::record::{Meant, Told};
use crate::pipeline::refusal::{Refusal, Type};
use crate::pipeline::{
    Errand, Gateway, Named, at_once, deliver, first_half, record, refusal, second_half, stage_log,
    validate, viewer,
};

/// Door 1: a client's request.
#[derive(Clone, Debug)]
pub struct Clients {
    pub gateway: Arc<Gateway>,
}

impl Handler for Clients {
    fn handle(&self, connection: Arc<Connection>, request: http::Request<Body>) -> Answer {
        let gateway = &self.gateway;
        let (mut head, body) = request.into_parts();
        let named = Named::in_headers(&head.headers);
        if named.method_override
            && let Some(method) = overridden(&head)
        {
            head.method = method;
        }
        let call = new_call(gateway, connection, head, named);
        let (resolved, caller) = match first_half(gateway, &call) {
            Ok(proved) => proved,
            Err((meant, refusal)) => return refused(gateway, call, named, meant, refusal),
        };
        if let Err(refusal) = validate::head(&call, &body, &resolved) {
            return refused(gateway, call, named, Meant::Route(resolved), refusal);
        }
        let minimum = resolved.stage.minimum_compression_size;
        if minimum.is_none()
            && let Some(reply) = at_once(gateway, &call, named, &body, &resolved)
        {
            return Answer::Now(leave(gateway, call, named, Meant::Route(resolved), reply));
        }
        let errand = Errand::new(Arc::clone(&call), named, body, (resolved, caller));
        let gateway = Arc::clone(gateway);
        Answer::Later(Box::pin(async move {
            let meant = Meant::Route(errand.resolved.clone());
            let outcome = with_known_body(&gateway, errand).await;
            let is_streamed = meant.route().is_some_and(|own| own.route().is_streamed);
            let mut reply = customise(&call, &meant, outcome.unwrap_or_else(Refusal::into_reply));
            if is_streamed {
                reply.body = streamed(reply.body, &call.connection.door);
            } else if let Some(minimum) = minimum {
                reply = compress_reply(reply, &call.head.headers, u64::from(minimum)).await;
            }
            leave(&gateway, call, named, meant, reply)
        }))
    }

    fn refuse(&self, connection: &Connection, reason: Refused) -> Response<Body> {
        let gateway = &self.gateway;
        let (head, ()) = http::Request::new(()).into_parts();
        let named = Named::default();
        let call = new_call(gateway, Arc::new(connection.clone()), head, named);
        leave(gateway, call, named, Meant::Nothing, refusal::from_listener(reason).into_reply())
    }
}

/// The end of the line for a call that got no further than the door.
fn refused(
    gateway: &Arc<Gateway>,
    call: Arc<Call>,
    named: Named,
    meant: Meant,
    refusal: Refusal,
) -> Answer {
    let reply = customise(&call, &meant, refusal.into_reply());
    Answer::Now(leave(gateway, call, named, meant, reply))
}

/// An answer that is streamed reaches the client as it comes, in no coding of ours, and a long one
/// no faster than AWS sends it. At an edge it may pause less long.
fn streamed(body: Body, door: &Door) -> Body {
    let body = match door {
        Door::Edge => streaming::bounded(body, streaming::IDLE_MAX_EDGE),
        // The integration bounds it.
        Door::Region | Door::Private | Door::Tunnel { .. } => body,
    };
    streaming::paced(body)
}

/// The end of the line: deliver and record.
fn leave(
    gateway: &Arc<Gateway>,
    call: Arc<Call>,
    named: Named,
    meant: Meant,
    mut reply: Reply,
) -> Response<Body> {
    let id = IdText::of(&call);
    deliver::finish(&call, &id, meant.route(), &mut reply);
    if let Some(resolved) = meant.route()
        && let Some(to) = &resolved.route().execution_log
    {
        stage_log::unless_logged(&gateway.clock, &call, resolved, to, &reply);
    }
    record::deliver(gateway, Told { call, id, named, meant }, reply)
}

/// The second half, once it is known whether there is a body.
///
/// HTTP/2 and HTTP/3 may say that a request is over some time after its head, in a packet that can
/// be late or lost. A method that usually has no body is not passed on with an empty stream: that
/// would keep it from the cache, and the backend would see a chunked GET.
async fn with_known_body(gateway: &Arc<Gateway>, mut errand: Errand) -> Result<Reply, Refusal> {
    let head = &errand.call.head;
    let usually_without =
        matches!(head.method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS);
    if usually_without && !errand.body.is_end_stream() && !head.headers.contains_key(CONTENT_LENGTH)
    {
        errand.body = begun(errand.body).await.map_err(refusal::of_request_body)?;
        if errand.body.is_end_stream() {
            validate::head(&errand.call, &errand.body, &errand.resolved)?;
        }
    }
    errand.validate_body().await?;
    second_half(gateway, errand).await
}

/// Waits for the first bytes, or for the end.
async fn begun(mut body: Body) -> Result<Body, BodyError> {
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            // HTTP/2 says the end in an empty frame.
            Ok(first) if first.is_empty() => {}
            Ok(first) => return Ok(Body::stream(Chained::new([first], body))),
            // Trailers are the end.
            Err(_) => return Ok(Body::Empty),
        }
    }
    Ok(Body::Empty)
}

fn new_call(
    gateway: &Gateway,
    connection: Arc<Connection>,
    head: http::request::Parts,
    named: Named,
) -> Arc<Call> {
    let mut random = rand::rng();
    let (mut id, mut extended) = ([0; 16], [0; EXTENDED_RANDOM]);
    random.fill_bytes(&mut id);
    random.fill_bytes(&mut extended);
    let own = uuid::Builder::from_random_bytes(id).into_uuid();
    let wished = match named.request_id {
        true => head.headers.get(deliver::REQUEST_ID).and_then(clients_id),
        false => None,
    };
    Arc::new(Call {
        id: wished.unwrap_or(own),
        extended_id: extended_id(&extended),
        received_at: gateway.clock.now(),
        connection,
        head,
    })
}

/// A client may name its request, as long as the name is a UUID.
/// AWS: API Gateway Developer Guide, "Variables for access logging for API Gateway" (`requestId`).
pub(super) fn clients_id(value: &HeaderValue) -> Option<Uuid> {
    let bytes = value.as_bytes();
    // The other forms that the parser knows (braces, without hyphens) are not AWS's.
    if bytes.len() != uuid::fmt::Hyphenated::LENGTH {
        return None;
    }
    Uuid::try_parse_ascii(bytes).ok()
}

/// Clients that cannot send every verb name it in a header, and AWS resolves the method it names.
/// AWS: API Gateway Developer Guide, "Amazon API Gateway important notes".
fn overridden(head: &http::request::Parts) -> Option<Method> {
    const NAME: HeaderName = HeaderName::from_static("x-http-method-override");
    Method::from_bytes(head.headers.get(&NAME)?.as_bytes()).ok()
}

/// Random bytes of an extended id.
const EXTENDED_RANDOM: usize = 11;

/// 15 characters of URL-safe base64 and a `=`, as recorded: `cXNV7F7iPHcFoDA=`.
fn extended_id(random: &[u8; EXTENDED_RANDOM]) -> ExtendedId {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // The last character has four random bits, as eleven bytes are less than fifteen times six.
    let bits = random.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte)) << 2;
    let mut text = *b"AAAAAAAAAAAAAAA=";
    for (index, place) in text.iter_mut().take(15).enumerate() {
        *place = ALPHABET[(bits >> (6 * (14 - index)) & 63) as usize];
    }
    ExtendedId(text)
}

/// What an edge sends of a call; the tunnel's frame in the pipeline's words.
#[derive(Debug)]
pub struct Forwarded {
    pub edge: NodeName,
    pub id: Uuid,
    pub extended_id: ExtendedId,
    pub received_at_ms: u64,
    pub head: http::request::Parts,
    pub client: Connection,
    pub api: String,
    pub stage: String,
    pub part: [u8; 32],
    pub time_left: Duration,
}

/// Door 2: the second half for an edge. `None`: this region does not know that configuration
/// (any more); nothing has been done.
pub async fn answer_edge(
    gateway: &Arc<Gateway>,
    mut forwarded: Forwarded,
    body: Body,
) -> Option<Reply> {
    let Forwarded { head, edge, client, id, .. } = &mut forwarded;
    viewer::tell(head, edge.as_str(), proto(client), id);
    let call = Arc::new(Call {
        id: forwarded.id,
        extended_id: forwarded.extended_id,
        received_at: crate::net::clock::Timestamp::from_millis(forwarded.received_at_ms),
        connection: Arc::new(Connection {
            door: Door::Tunnel { edge: forwarded.edge },
            ..forwarded.client
        }),
        head: forwarded.head,
    });
    let resolved = gateway.deployments.resolve_for_edge(
        &forwarded.api,
        &forwarded.stage,
        &forwarded.part,
        &call,
    )?;
    let deadline = Instant::now() + forwarded.time_left;
    let named = Named::in_headers(&call.head.headers);
    let logged = resolved.route().execution_log.is_some();
    let logged = logged.then(|| (Arc::clone(&call), resolved.clone()));
    let errand = Errand { call, body, resolved, caller: Caller::Anonymous, named, deadline };
    let reply = match tokio::time::timeout_at(deadline, second_half(gateway, errand)).await {
        Ok(outcome) => outcome.unwrap_or_else(Refusal::into_reply),
        Err(_) => Refusal::new(Type::IntegrationTimeout).into_reply(),
    };
    if let Some((call, resolved)) = &logged
        && let Some(to) = &resolved.route().execution_log
    {
        stage_log::unless_logged(&gateway.clock, call, resolved, to, &reply);
    }
    Some(reply)
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
