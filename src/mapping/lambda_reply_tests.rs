use http_body::Frame;
use http_body_util::StreamBody;
use proptest::prelude::*;

use super::*;

/// Status, headers but the default type, body; or `malformed`.
async fn answered(returned: &str) -> String {
    match read(returned.as_bytes(), false) {
        Ok(answer) => shown(answer).await,
        Err(err) => err.to_string(),
    }
}

async fn shown(answer: Answer) -> String {
    let Answer { status, headers, body } = answer;
    let mut lines = vec![status.as_u16().to_string()];
    for (name, value) in &headers {
        if !(*name == header::CONTENT_TYPE && value == "application/json") {
            lines.push(format!("{name}: {}", value.to_str().unwrap()));
        }
    }
    let body = body.collect().await.unwrap().to_bytes();
    lines.push(String::from_utf8(body.to_vec()).unwrap());
    lines.join("|")
}

/// rest-data-plane 7.8, the table.
#[tokio::test]
async fn what_a_function_returns_and_what_the_client_gets() {
    const BAD: &str = "Malformed Lambda proxy response";
    let cases = [
        ("{}", "200|"),
        (r#"{"statusCode":200}"#, "200|"),
        (r#"{"headers":{"a":"b"}}"#, "200|a: b|"),
        (r#"{"statusCode":200,"other":1}"#, BAD),
        (r#"{"statusCode":201,"body":"x"}"#, "201|x"),
        (r#"{"statusCode":"201","body":"x"}"#, "201|x"),
        (r#"{"statusCode":"two"}"#, BAD),
        (r#"{"statusCode":null}"#, BAD),
        (r#"{"statusCode":99}"#, BAD),
        (r#"{"statusCode":204.0}"#, "204|"),
        (r#"{"headers":{"a":true,"b":false}}"#, "200|a: true|b: false|"),
        (r#"{"headers":null,"multiValueHeaders":null,"body":null}"#, "200|"),
        (r#"{"headers":{"a":1}}"#, BAD),
        (r#"{"headers":{"a":null}}"#, BAD),
        (r#"{"headers":["a"]}"#, BAD),
        (r#"{"multiValueHeaders":{"a":"b"}}"#, BAD),
        (r#"{"multiValueHeaders":{"a":["b","c"]}}"#, "200|a: b|a: c|"),
        (r#"{"body":{"a":1}}"#, BAD),
        (r#"{"body":1}"#, BAD),
        (r#""text""#, BAD),
        ("null", BAD),
        ("[]", BAD),
        ("", BAD),
        ("{not json", BAD),
        (r#"{"isBase64Encoded":true,"body":"aGk="}"#, "200|aGk="),
        (r#"{"isBase64Encoded":null,"body":"x"}"#, "200|x"),
        (
            r#"{"headers":{"x-multi":"solo"},"multiValueHeaders":{"X-mULTI":["many"]}}"#,
            "200|x-multi: many|x-multi: solo|",
        ),
        (
            r#"{"headers":{"x-multi":"same"},"multiValueHeaders":{"x-multi":["same"]}}"#,
            "200|x-multi: same|",
        ),
        (r#"{"headers":{"content-type":"text/plain"}}"#, "200|content-type: text/plain|"),
        (r#"{"headers":{"a b":"c"}}"#, BAD),
        (r#"{"headers":{"a":"b\r\nset-cookie: c"}}"#, BAD),
        (r#"{"body":"\u00e9\n"}"#, "200|\u{e9}\n"),
        // Half a surrogate pair, as Node and Python print it; a pair and an escaped backslash stay.
        (r#"{"body":"a\ud800b\udc00"}"#, "200|a\u{fffd}b\u{fffd}"),
        (r#"{"body":"\ud83d\ude00 \ud83d \\ud800"}"#, "200|\u{1f600} \u{fffd} \\ud800"),
        (r#"{"headers":{"a":"b\ud800"},"body":{}}"#, BAD),
    ];
    for (returned, expected) in cases {
        assert_eq!(answered(returned).await, expected, "{returned}");
    }
}

/// rest-data-plane 7.5, row AWS_PROXY.
#[tokio::test]
async fn headers_that_are_the_gateways_own_get_another_name() {
    let returned = r#"{"headers":{"Connection":"1","Content-Length":"2","Date":"3","Server":"4",
        "Transfer-Encoding":"5","Via":"6","WWW-Authenticate":"7"}}"#;
    assert_eq!(
        answered(returned).await,
        "200|x-amzn-remapped-connection: 1|x-amzn-remapped-content-length: 2|\
         x-amzn-remapped-date: 3|x-amzn-remapped-server: 4|via: 6|www-authenticate: 7|"
    );
}

/// rest-data-plane 7.8, "Binary out".
#[test]
fn a_body_is_decoded_for_who_wants_bytes() {
    let body = |answer: Answer| match answer.body {
        Body::Full(bytes) => bytes,
        _ => Bytes::new(),
    };
    let encoded = br#"{"isBase64Encoded":true,"body":"aGk="}"#;
    assert_eq!(body(read(encoded, true).unwrap()), "hi");
    assert_eq!(body(read(encoded, false).unwrap()), "aGk=");
    assert_eq!(body(read(br#"{"body":"aGk="}"#, true).unwrap()), "aGk=");
    let spoiled = r#"{"isBase64Encoded":true,"body":"èé+à)("}"#;
    assert!(matches!(read(spoiled.as_bytes(), true), Err(ReplyError::NotBase64)));
}

async fn streamed(pieces: &[&[u8]]) -> Result<String, ReplyError> {
    let pieces: Vec<Result<Frame<Bytes>, BodyError>> =
        pieces.iter().map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    let body = Body::stream(StreamBody::new(futures_util::stream::iter(pieces)));
    Ok(shown(read_stream(body).await?).await)
}

/// rest-data-plane 7.14.
#[tokio::test]
async fn a_stream_begins_with_metadata() {
    let head = br#"{"statusCode":201,"headers":{"a":"b"},"cookies":["c=1","d=2"]}"#;
    let expected = "201|a: b|set-cookie: c=1|set-cookie: d=2|body";
    let nul = [0; 8];
    assert_eq!(streamed(&[head, &nul, b"body"]).await.unwrap(), expected);
    let whole = [&head[..], &nul, b"body"].concat();
    assert_eq!(streamed(&[&whole]).await.unwrap(), expected);
    let bytes: Vec<&[u8]> = whole.chunks(1).collect();
    assert_eq!(streamed(&bytes).await.unwrap(), expected);
    assert_eq!(streamed(&[b"{}", &nul]).await.unwrap(), "200|");
}

#[tokio::test]
async fn a_stream_without_metadata_is_malformed() {
    let nul = [0; 8];
    let long = vec![b' '; quotas::STREAMING_METADATA_BYTES_MAX + 1];
    let late = [&long[..], &nul].concat();
    for bad in [
        &b"hello"[..],
        b"",
        b"not json\0\0\0\0\0\0\0\0body",
        b"{\"body\":\"x\"}\0\0\0\0\0\0\0\0",
        b"{\"isBase64Encoded\":true}\0\0\0\0\0\0\0\0",
        b"{}\0\0\0\0\0\0\0",
        &late,
    ] {
        let err = streamed(&[bad]).await.unwrap_err();
        assert!(matches!(err, ReplyError::BadStream(_)), "{err}");
    }
}

proptest! {
    #[test]
    fn nothing_a_function_returns_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        drop(read(&bytes, true));
    }

    #[test]
    fn what_has_the_form_is_read(code in 200_u16..600, name in "[a-zA-Z-]{1,9}", value in "[ -~]{0,9}", body in ".{0,20}") {
        let object = serde_json::json!({"statusCode": code, "headers": {name: value}, "body": body});
        let answer = read(object.to_string().as_bytes(), false).unwrap();
        prop_assert_eq!(answer.status.as_u16(), code);
        let expected = Body::from(Bytes::from(body));
        prop_assert_eq!(format!("{:?}", answer.body), format!("{expected:?}"));
    }
}
