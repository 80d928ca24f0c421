//! Customise: what an API's author made of the gateway's own answers is put in, once, at the door
//! the client came in.
//!
//! A refusal travels as the type has it: through the tunnel, and to everybody who waited for the
//! same answer. Each client's door then makes that client's answer of it, because the author's
//! text may name the call.
//!
//! AWS: Developer Guide, "Gateway responses for REST APIs in API Gateway". 413 and 414 are never
//! customised (rest-data-plane 3.1).

use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::call::{Body, Call, Reply};
use crate::mapping::context::{CallContext, ErrorFacts};
use crate::pipeline::integrate;
use crate::pipeline::record::Meant;

/// The reply as the author of the API wants it, if it is the gateway's own.
pub(super) fn customise(call: &Call, meant: &Meant, mut reply: Reply) -> Reply {
    let (Some(report), Some(stage)) = (&reply.refusal, meant.stage()) else { return reply };
    if matches!(reply.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::URI_TOO_LONG) {
        return reply;
    }
    let entry = stage.gateway_responses.of(&report.response_type, reply.status);
    let Some(entry) = entry else { return reply };
    let context = match meant.route() {
        Some(resolved) => integrate::context(call, resolved),
        None => integrate::context_of(call, stage.facts()),
    };
    let made = entry.make(&CallContext {
        error: Some(ErrorFacts {
            message: Some(&*report.message).filter(|message| !message.is_empty()),
            response_type: &report.response_type,
            validation_error: report.validation_error.as_deref().unwrap_or_default(),
        }),
        ..context
    });
    if let Some(status) = made.status {
        reply.status = status;
    }
    if let Some((media_type, body)) = made.body {
        reply.headers.insert(CONTENT_TYPE, media_type);
        reply.body = Body::from(body);
    }
    for (name, value) in made.headers {
        reply.headers.insert(name, value);
    }
    reply
}
