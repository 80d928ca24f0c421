use http::Method;

use super::*;

/// Method, target, headers, body, signature.
type Case<'c> = (Method, &'c str, &'c [(&'c str, &'c str)], &'c str, &'c str);

fn signer(id: &str, secret: &str, service: &str) -> Signer {
    Signer {
        access_key_id: id.to_owned(),
        secret: Secret {
            secret_access_key: Zeroizing::new(secret.to_owned()),
            session_token: None,
        },
        scope: Scope { aws_region: "us-east-1".to_owned(), service: service.to_owned() },
    }
}

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, value.parse().unwrap());
    }
    headers
}

/// The signature made of a request.
fn signature_of(
    signer: &Signer,
    (method, target): (Method, &str),
    list: &[(&str, &str)],
    body: &str,
    seconds: u64,
) -> String {
    let mut headers = headers(list);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Unsigned { method: &method, path, query, body: body.as_bytes() };
    signer.sign(request, &mut headers, Timestamp::from_seconds(seconds)).unwrap();
    let header = headers[AUTHORIZATION].to_str().unwrap().to_owned();
    header.split_once("Signature=").unwrap().1.to_owned()
}

/// AWS's test suite for Signature Version 4 ("aws-sig-v4-test-suite"): 30 August 2015, 12:36 UTC.
#[test]
fn the_test_suites_signatures() {
    let signer = signer("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "service");
    let host = ("host", "example.amazonaws.com");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let cases: [Case<'_>; 7] = [
        (
            Method::GET,
            "/",
            &[host],
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            Method::GET,
            "/?Param2=value2&Param1=value1",
            &[host],
            "",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            Method::GET,
            "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            &[host],
            "",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        (
            Method::GET,
            "/\u{1234}",
            &[host],
            "",
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
        ),
        (
            Method::GET,
            "/./example/../",
            &[host],
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            Method::POST,
            "/",
            &[host],
            "",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            Method::POST,
            "/",
            &[host, form],
            "Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ];
    for (method, target, list, body, expected) in cases {
        let found = signature_of(&signer, (method, target), list, body, 1_440_938_160);
        assert_eq!(found, expected, "{target}");
    }
}

/// Amazon S3 API Reference, "Signature Calculations for the Authorization Header", its examples:
/// 24 May 2013, 0:00 UTC.
#[test]
fn the_examples_of_s3() {
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let signer = signer("AKIAIOSFODNN7EXAMPLE", secret, "s3");
    let host = ("host", "examplebucket.s3.amazonaws.com");
    let cases: [Case<'_>; 3] = [
        (
            Method::GET,
            "/test.txt",
            &[host, ("range", "bytes=0-9")],
            "",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            Method::PUT,
            "/test$file.text",
            &[
                host,
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            "Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            Method::GET,
            "/?lifecycle",
            &[host],
            "",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
    ];
    for (method, target, list, body, expected) in cases {
        let found = signature_of(&signer, (method, target), list, body, 1_369_353_600);
        assert_eq!(found, expected, "{target}");
    }
}

#[test]
fn a_session_token_is_sent_and_signed() {
    let mut signer = signer("ASIA", "s", "sqs");
    signer.secret.session_token = Some(Zeroizing::new("t/o+k=".to_owned()));
    let mut headers = headers(&[("host", "h")]);
    let request = Unsigned { method: &Method::GET, path: "/", query: "", body: b"" };
    signer.sign(request, &mut headers, Timestamp::from_seconds(0)).unwrap();
    assert_eq!(headers[SECURITY_TOKEN], "t/o+k=");
    let header = headers[AUTHORIZATION].to_str().unwrap();
    assert!(header.contains("SignedHeaders=host;x-amz-date;x-amz-security-token,"), "{header}");
}

#[test]
fn without_a_host_nothing_is_signed() {
    let request = Unsigned { method: &Method::GET, path: "/", query: "", body: b"" };
    let signed =
        signer("A", "s", "sqs").sign(request, &mut HeaderMap::new(), Timestamp::from_seconds(0));
    assert_eq!(signed, Err(Unsignable));
}

#[test]
fn secrets_are_not_shown() {
    assert!(!format!("{:?}", signer("A", "hidden", "sqs")).contains("hidden"));
}
