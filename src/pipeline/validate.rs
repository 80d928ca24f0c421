//! Validate: is the request one that the method takes? Before the cut, at the door the client came
//! in, and also before an answer in memory.
//!
//! A body is read only where there is a model for it. What was read goes on as the client sent it,
//! in its content coding.
//!
//! AWS: order of evaluation, "Request validation for REST APIs in API Gateway"; recorded: missing
//! parameters are told before a body that does not fit.

use bytes::Bytes;
use http_body::Body as _;
use std::sync::Arc;

use crate::call::{Body, Call};
use crate::deployment::snapshot::{self, Resolved};
use crate::mapping::compression::decode_request;
use crate::mapping::schema::{Fit, Model};
use crate::mapping::validation::Parameters;
use crate::model::quotas;
use crate::pipeline::integrate::collected;
use crate::pipeline::refusal::{Refusal, Type, Unfit};

/// A longer body is compared with its model on a thread of its own: reading ten megabytes of JSON
/// takes as long as a thousand other calls.
const BYTES_AT_ONCE: usize = 64 * 1024;

/// The whole of it, for a call whose body is there: a test call's.
///
/// # Errors
/// The refusal the caller gets.
pub async fn request(call: &Call, sent: Body, resolved: &Resolved) -> Result<Body, Refusal> {
    head(call, &sent, resolved)?;
    body(call, sent, resolved).await
}

/// What can be told before a body is read: whether parameters are missing, and, where there is no
/// body, whether the method does without.
pub(super) fn head(call: &Call, body: &Body, resolved: &Resolved) -> Result<(), Refusal> {
    let Some(asked) = &resolved.route().validation else { return Ok(()) };
    let head = &call.head;
    let missing = asked.missing(&Parameters {
        headers: &head.headers,
        query: head.uri.query(),
        path: resolved.parameters(call),
        host: snapshot::host(call),
    });
    if let Some(message) = missing {
        return Err(Refusal::saying(Type::BadRequestParameters, message));
    }
    match asked.model(&head.headers) {
        Some(model) if body.is_end_stream() && !model.takes_no_body() => {
            Err(unfit(resolved, Fit::DoesNotFit, model, &[]))
        }
        _ => Ok(()),
    }
}

/// Reads and compares the body, where there is one and a model for it. What comes back stands in
/// the place of what was read.
pub(super) async fn body(call: &Call, body: Body, resolved: &Resolved) -> Result<Body, Refusal> {
    let asked = resolved.route().validation.as_ref();
    let model = asked.and_then(|asked| asked.model(&call.head.headers));
    let Some(model) = model.filter(|_| !body.is_end_stream()) else { return Ok(body) };
    let sent = collected(body).await?;
    let text = decoded(call, &sent).await?;
    let fit = if text.len() <= BYTES_AT_ONCE {
        model.check(&text)
    } else {
        let permit = Arc::clone(&resolved.stage.long_bodies).acquire_owned().await;
        let (model, text) = (Arc::clone(model), text.clone());
        let compared = tokio::task::spawn_blocking(move || {
            // It ends with the work, which goes on when the client has gone.
            let _permit = permit;
            model.check(&text)
        });
        compared.await.map_err(|err| Refusal::because(Type::Internal, err))?
    };
    match fit {
        Fit::Fits => Ok(Body::from(sent)),
        Fit::DoesNotFit | Fit::NotJson => Err(unfit(resolved, fit, model, &text)),
    }
}

/// The refusal; what is wrong is found out only where somebody will be told.
fn unfit(resolved: &Resolved, fit: Fit, model: &Model, body: &[u8]) -> Refusal {
    let cause = match fit {
        Fit::NotJson => "the body is not JSON",
        Fit::Fits | Fit::DoesNotFit => "the body does not fit its model",
    };
    let mut refusal = Refusal::because(Type::BadRequestBody, cause);
    let log = resolved.route().execution_log.as_ref();
    if resolved.stage.tells_validation_errors || log.is_some() {
        let is_shown = log.is_some_and(|log| log.shows_data);
        let shown = is_shown.then(|| Bytes::copy_from_slice(body));
        refusal.unfit = Some(Box::new(Unfit { report: model.report(body).into(), body: shown }));
    }
    refusal
}

/// Out of its content coding, if it is in one.
async fn decoded(call: &Call, sent: &Bytes) -> Result<Bytes, Refusal> {
    if !call.head.headers.contains_key(http::header::CONTENT_ENCODING) {
        return Ok(sent.clone());
    }
    let body = Body::from(sent.clone());
    let plain = decode_request(&call.head.headers, body, quotas::BODY_BYTES_MAX).await?;
    collected(plain).await
}
