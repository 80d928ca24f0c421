//! What do the admin server's answers look like? JSON or text, never cached, and a refusal says
//! both what was wrong and what to do about it.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

pub(super) type Answer = Response<Full<Bytes>>;

/// An answer that says what was wrong and what to do about it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    hint: &'static str,
    allow: Option<&'static str>,
}

#[derive(Serialize)]
struct RefusalBody<'a> {
    message: &'a str,
    hint: &'a str,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>, hint: &'static str) -> Self {
        Self { status, message: message.into(), hint, allow: None }
    }

    pub(super) fn method(allow: &'static str) -> Self {
        let refusal = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not take that method",
            "the Allow header lists those it takes",
        );
        Self { allow: Some(allow), ..refusal }
    }

    pub(super) fn into_answer(self) -> Answer {
        let body = RefusalBody { message: &self.message, hint: self.hint };
        let body = serde_json::to_string(&body).expect("two strings are always JSON");
        let mut answer = answer(self.status, "application/json", body);
        if let Some(allow) = self.allow {
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        answer
    }
}

pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Answer, Refusal> {
    let body = serde_json::to_string(value).map_err(|error| {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the answer could not be written: {error}"),
            "this is a defect; please report it",
        )
    })?;
    Ok(answer(status, "application/json", body))
}

pub(super) fn text(status: StatusCode, body: String) -> Answer {
    answer(status, "text/plain; charset=utf-8", body)
}

pub(super) fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
