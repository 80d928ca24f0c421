//! What logs say of functions that fail: rest-data-plane 3.4, 7.14, 11.2.

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;
use crate::mapping::MappingError;
use crate::pipeline::refusal::Refusal;

const BOOM: &str = r#"{"errorType":"E","errorMessage":"boom"}"#;
const LINE: &str = "Lambda execution failed with status 200 due to customer function error: boom. \
                    Lambda request id: r-1";

fn invoked(body: Body, error: Option<&str>) -> Invoked {
    let mut headers = HeaderMap::new();
    headers.insert("x-amzn-requestid", HeaderValue::from_static("r-1"));
    Invoked { status: 200, headers, function_error: error.map(Arc::from), body }
}

fn answered() -> IntegrationReport {
    IntegrationReport {
        status: 200,
        latency_ms: 7,
        request_id: Some("r-1".into()),
        ..IntegrationReport::default()
    }
}

/// A function that throws before its first byte, or within its metadata, has failed like any other;
/// a connection that breaks is none of its doing; metadata without the form is malformed.
#[tokio::test]
async fn a_stream_that_never_begins_says_why() {
    let failed = || Err(BodyError::Failed(BOOM.into()));
    let data = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
    type Piece = Result<Frame<Bytes>, BodyError>;
    let cases: [(Vec<Piece>, u16, &str); 4] = [
        (vec![failed()], 502, LINE),
        (vec![data("{\"statusCode\""), failed()], 502, LINE),
        (
            vec![data("{\"statusCode\""), Err(BodyError::aborted("reset"))],
            504,
            "the function's answer: the other side went away: reset",
        ),
        (
            vec![data("{}")],
            500,
            "Malformed Lambda streaming response: it ended before the delimiter",
        ),
    ];
    for (pieces, status, text) in cases {
        let stream = Body::stream(StreamBody::new(futures_util::stream::iter(pieces)));
        let err = begun(invoked(stream, None)).await.unwrap_err();
        assert_eq!(err.to_string(), text);
        assert_eq!(Refusal::from(err).kind.status(), status, "{text}");
    }
}

#[tokio::test]
async fn a_function_error_is_told_with_its_message_and_the_invocations_id() {
    for (said, message) in [(BOOM, "boom"), ("no JSON", "no JSON"), ("{}", "{}")] {
        let body = Body::from(Bytes::from_static(said.as_bytes()));
        let invoked = invoked(body, Some("Unhandled"));
        let err = whole(invoked, &answered(), false, &mut ExecutionLog::Off).await.unwrap_err();
        assert_eq!(err.to_string(), LINE.replace("boom", message));
    }
}

/// rest-data-plane 11.2: Lambda's status, latency and id are known where the function's answer is
/// none; of an HTTP backend as well, where nothing can be made of its answer.
#[test]
fn what_the_integration_did_is_told_of_a_call_that_failed_after_it() {
    let malformed = "Execution failed due to configuration error: Malformed Lambda proxy response";
    let failed = ReplyError::Failed { message: "boom".into(), request_id: "r-1".into() };
    let no_response = MappingError::ResponseNotJson;
    for (failure, error, function_status) in [
        (Failure::Function(ReplyError::Malformed), Some(malformed), Some(0)),
        (Failure::Function(failed), Some(LINE), Some(0)),
        (Failure::Mapping(no_response), None, None),
    ] {
        let refusal = failure.after(&answered()).into_refusal(Instant::now());
        let report =
            IntegrationReport { error: error.map(Arc::from), function_status, ..answered() };
        assert_eq!(refusal.integration.as_deref(), Some(&report));
    }
    // A body that comes too late is no answer.
    let refusal = timed_out(Duration::ZERO).after(&answered()).into_refusal(Instant::now());
    assert_eq!(refusal.integration.map(|report| report.status), Some(0));
}
