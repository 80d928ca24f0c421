use std::process::Command;
use std::time::Duration;

use http::Request;
use proptest::prelude::*;
use serde_json::Value;
use zeroize::Zeroizing;

use super::*;
use crate::net::aws::{Signer, Unsigned};

/// 30 August 2015, 12:36:00 UTC: the moment of AWS's published examples.
const EXAMPLE_MILLIS: u64 = 1_440_938_160_000;
const EXAMPLE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn secret(text: &str) -> Secret {
    Secret { secret_access_key: Zeroizing::new(text.to_owned()), session_token: None }
}

fn scope(service: &str) -> Scope {
    Scope { aws_region: "us-east-1".to_owned(), service: service.to_owned() }
}

fn parts(request: http::request::Builder) -> Parts {
    request.body(()).unwrap().into_parts().0
}

/// AWS's example: IAM User Guide, "Create a signed AWS API request" (ListUsers).
fn example(signature: &str) -> Parts {
    parts(
        Request::get("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .header("host", "iam.amazonaws.com")
            .header("x-amz-date", "20150830T123600Z")
            .header(
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
                     SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
                ),
            ),
    )
}

/// Signs a request as our own clients do.
fn sign(signer: &Signer, parts: &mut Parts, body: &[u8], clock: &Clock) {
    let uri = parts.uri.clone();
    let request = Unsigned {
        method: &parts.method.clone(),
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
        body,
    };
    signer.sign(request, &mut parts.headers, clock.now()).unwrap();
}

const EXAMPLE_SIGNATURE: &str = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";

fn check(parts: &Parts, clock: &Clock) -> Result<String, Sigv4Error> {
    verify(parts, b"", &scope("iam"), clock, |id| {
        (id == "AKIDEXAMPLE").then(|| secret(EXAMPLE_SECRET))
    })
}

#[test]
fn the_published_example_verifies() {
    let clock = Clock::manual(EXAMPLE_MILLIS);
    assert_eq!(check(&example(EXAMPLE_SIGNATURE), &clock).unwrap(), "AKIDEXAMPLE");
}

#[test]
fn one_changed_digit_of_the_signature_is_a_mismatch() {
    let clock = Clock::manual(EXAMPLE_MILLIS);
    let wrong = EXAMPLE_SIGNATURE.replace("5d672d", "5d672e");
    assert_eq!(check(&example(&wrong), &clock), Err(Sigv4Error::Mismatch));
    assert_eq!(check(&example("short"), &clock), Err(Sigv4Error::Mismatch));
}

#[test]
fn five_minutes_of_skew_are_allowed_and_no_more() {
    let clock = Clock::manual(EXAMPLE_MILLIS);
    clock.advance(Duration::from_secs(300));
    assert!(check(&example(EXAMPLE_SIGNATURE), &clock).is_ok());
    clock.advance(Duration::from_secs(1));
    let expired = check(&example(EXAMPLE_SIGNATURE), &clock).unwrap_err().to_string();
    assert_eq!(
        expired,
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z \
         (20150830T124101Z - 5 min.)"
    );
    let early = Clock::manual(EXAMPLE_MILLIS - 301_000);
    let text = check(&example(EXAMPLE_SIGNATURE), &early).unwrap_err().to_string();
    assert!(text.starts_with("Signature not yet current: 20150830T123600Z"), "{text}");
}

#[test]
fn a_request_without_a_signature_is_told_so() {
    let clock = Clock::manual(EXAMPLE_MILLIS);
    let request = parts(Request::get("/restapis"));
    assert_eq!(check(&request, &clock), Err(Sigv4Error::Missing));
    let request = parts(Request::get("/").header("authorization", "AWS4-HMAC-SHA256 Credential=a"));
    assert_eq!(
        check(&request, &clock).unwrap_err().to_string(),
        "Authorization header requires 'Signature' parameter. Authorization header requires \
         'SignedHeaders' parameter. Authorization header requires existence of either a \
         'X-Amz-Date' or a 'Date' header."
    );
}

#[test]
fn unknown_keys_and_wrong_scopes_have_aws_texts() {
    let clock = Clock::manual(EXAMPLE_MILLIS);
    let request = example(EXAMPLE_SIGNATURE);
    let found = verify(&request, b"", &scope("iam"), &clock, |_| None);
    assert_eq!(found, Err(Sigv4Error::UnknownKey));
    let found = verify(&request, b"", &scope("apigateway"), &clock, |_| None);
    let text = found.unwrap_err().to_string();
    assert_eq!(text, "Credential should be scoped to correct service: 'apigateway'.");
}

#[test]
fn a_session_token_must_be_the_keys_own() {
    let clock = Clock::manual(EXAMPLE_MILLIS);
    let with = |token: &str| Secret {
        session_token: Some(Zeroizing::new(token.to_owned())),
        ..secret("k")
    };
    let signer =
        Signer { access_key_id: "ASIA".to_owned(), secret: with("t"), scope: scope("apigateway") };
    let mut request = parts(Request::get("/apikeys").header("host", "h"));
    sign(&signer, &mut request, b"", &clock);
    let check =
        |known: Secret| verify(&request, b"", &scope("apigateway"), &clock, |_| Some(known));
    assert!(check(with("t")).is_ok());
    assert_eq!(check(with("u")), Err(Sigv4Error::UnknownKey));
    assert_eq!(check(secret("k")), Err(Sigv4Error::UnknownKey));
}

#[test]
fn secrets_are_not_shown() {
    assert!(!format!("{:?}", secret("hidden")).contains("hidden"));
}

proptest! {
    /// What was signed verifies; the same with another body, path or secret does not.
    #[test]
    fn signing_and_verifying_agree(
        path in "(/[a-zA-Z0-9%_.~-]{0,6}){1,4}",
        query in "([a-zA-Z]{1,3}=[a-zA-Z0-9+._-]{0,3}&?){0,4}",
        body in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let clock = Clock::manual(EXAMPLE_MILLIS);
        let Ok(uri) = format!("{path}?{query}").parse::<http::Uri>() else { return Ok(()) };
        let signer = Signer {
            access_key_id: "AKIA".to_owned(),
            secret: secret("s"),
            scope: scope("apigateway"),
        };
        let mut request = parts(Request::post(uri).header("host", "localhost:4700"));
        sign(&signer, &mut request, &body, &clock);
        let check = |request: &Parts, body: &[u8], key: &str| {
            verify(request, body, &scope("apigateway"), &clock, |_| Some(secret(key)))
        };
        prop_assert!(check(&request, &body, "s").is_ok());
        prop_assert_eq!(check(&request, &body, "t"), Err(Sigv4Error::Mismatch));
        let mut other = body.clone();
        other.push(1);
        prop_assert_eq!(check(&request, &other, "s"), Err(Sigv4Error::Mismatch));
    }

    /// No header makes the verifier panic.
    #[test]
    fn any_authorization_header_is_survived(header in "AWS4-HMAC-SHA256 [ -~]{0,80}", time in "[ -~]{0,20}") {
        let request = parts(
            Request::get("/?X-Amz-Algorithm=x").header("authorization", header).header("x-amz-date", time),
        );
        prop_assert!(verify(&request, b"", &scope("apigateway"), &Clock::manual(0), |_| None).is_err());
    }
}

/// Real signatures: botocore signs requests with odd paths, queries and headers; each must verify.
/// Skipped, loudly, where botocore is not installed (`tests/needs` installs it).
#[test]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn botocore_signatures_verify() {
    let script = r#"
import json, sys
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
import datetime
plain = Credentials("AKIATEST", "s3cr3t/+=")
token = Credentials("AKIATEST", "s3cr3t/+=", "token/with+chars==")
paths = ["/restapis", "/restapis/", "/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Frestapis%2Fabc",
         "/domainnames/a.example.com/basepathmappings/%28none%29", "/a//b/./c/../d", "/v2/apis/x/routes/GET%20%2Fpets",
         "/%E4%BD%A0%E5%A5%BD", "/a+b", "/~user"]
queries = ["", "?limit=500&position=abc%3D", "?tagKeys=b&tagKeys=a&tagKeys=A", "?name=a%20b%2Bc", "?mode=import&x=", "?z=%E4%BD%A0&a=1"]
out = []
for credentials in (plain, token):
    for path in paths:
        for query in queries:
            for auth in (SigV4Auth, SigV4QueryAuth):
                body = b"" if auth is SigV4QueryAuth else json.dumps({"p": path}).encode()
                request = AWSRequest("POST" if body else "GET", "http://127.0.0.1:4700" + path + query,
                                     data=body, headers={"X-Odd": "  a   b  ", "Accept": "application/json"})
                auth(credentials, "apigateway", "us-east-1").add_auth(request)
                prepared = request.prepare()
                headers = {k: (v.decode() if isinstance(v, bytes) else str(v)) for k, v in prepared.headers.items()}
                headers.setdefault("Host", "127.0.0.1:4700")
                out.append({"method": prepared.method, "url": prepared.url, "headers": headers, "body": body.decode(),
                            "token": credentials.token})
print(json.dumps({"now": int(datetime.datetime.now(datetime.timezone.utc).timestamp()), "requests": out}))
"#;
    let output = Command::new("python3").args(["-c", script]).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        eprintln!("SKIPPED: python3 with botocore is not here, so its signatures are not checked");
        return;
    };
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let clock = Clock::manual(said["now"].as_u64().unwrap() * 1000);
    let requests = said["requests"].as_array().unwrap();
    assert!(requests.len() > 100);
    for sent in requests {
        let url = sent["url"].as_str().unwrap().strip_prefix("http://127.0.0.1:4700").unwrap();
        let mut request = Request::builder().method(sent["method"].as_str().unwrap()).uri(url);
        for (name, value) in sent["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        let request = parts(request);
        let token = sent["token"].as_str().map(|token| Zeroizing::new(token.to_owned()));
        let known = Secret { session_token: token, ..secret("s3cr3t/+=") };
        let body = sent["body"].as_str().unwrap().as_bytes();
        let found = verify(&request, body, &scope("apigateway"), &clock, |_| Some(known));
        assert_eq!(found.as_deref(), Ok("AKIATEST"), "{sent}");
    }
}
