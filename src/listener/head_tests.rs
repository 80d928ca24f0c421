use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { uri_bytes: 200, header_bytes: 400, body_bytes: 1_000 };

/// Reads a whole connection at once.
fn read(bytes: &[u8]) -> (usize, u32, Option<Verdict>) {
    let mut scanner = Scanner::new(LIMITS);
    let (good, verdict) = scanner.scan(bytes);
    (good, scanner.heads(), verdict)
}

/// Reads it in pieces, giving back what was not taken, as the guard does.
fn read_in_pieces(bytes: &[u8], cuts: &[usize]) -> (usize, u32, Option<Verdict>) {
    let mut scanner = Scanner::new(LIMITS);
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let mut good = 0;
    for cut in cuts {
        if cut <= good {
            continue;
        }
        let (more, verdict) = scanner.scan(&bytes[good..cut]);
        good += more;
        if verdict.is_some() {
            return (good, scanner.heads(), verdict);
        }
    }
    (good, scanner.heads(), None)
}

/// Names are kept as they were spelled, head by head, but for those that nobody sees so.
#[test]
fn spellings_are_kept_by_head() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nx-lower: c\r\n\r\n\
        POST / HTTP/1.1\r\nHost: a\r\ntEsT-One: b\r\nX-Two: c\r\nContent-Length: 3\r\n\r\n\
        A-BGET / HTTP/1.1\r\nhost: a\r\nX-Three: c\r\n\r\n";
    let expected =
        [(2, Bytes::from_static(b"tEsT-One\nX-Two\n")), (3, Bytes::from_static(b"X-Three\n"))];
    for piece in [1, 7, 50, bytes.len()] {
        let mut scanner = Scanner::new(LIMITS);
        let (mut good, mut kept) = (0, Vec::new());
        for end in (0..=bytes.len()).step_by(piece).chain([bytes.len()]) {
            good += scanner.scan(&bytes[good..end.max(good)]).0;
            kept.extend(scanner.take_spellings());
        }
        assert_eq!(kept, expected, "in pieces of {piece}");
    }
}

#[test]
fn good_messages_pass_whole() {
    for message in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET /a%20b?c={d}&e=[1] HTTP/1.1\r\nhOSt:\ta:8443 \r\nX:\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET http://a/b HTTP/1.1\r\nHost: A\r\n\r\n",
        "GET https://a?b HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00a\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
    ] {
        let (good, heads, verdict) = read(message.as_bytes());
        assert_eq!((good, heads, verdict), (message.len(), 1, None), "{message:?}");
        let twice = message.repeat(2);
        assert_eq!(read(twice.as_bytes()), (twice.len(), 2, None), "{twice:?}");
    }
}

/// Every line of the smuggling handbook, each with the way two parsers would differ.
#[test]
fn smuggling_is_refused() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    for (what, message) in [
        ("both lengths", format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")),
        (
            "both, reversed",
            format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
        ),
        ("two lengths", format!("{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\n")),
        ("same length twice", format!("{post}Content-Length: 5\r\nContent-Length: 5\r\n\r\n")),
        ("list of lengths", format!("{post}Content-Length: 5, 5\r\n\r\n")),
        ("signed length", format!("{post}Content-Length: +5\r\n\r\n")),
        ("negative length", format!("{post}Content-Length: -1\r\n\r\n")),
        ("hex length", format!("{post}Content-Length: 0x5\r\n\r\n")),
        ("empty length", format!("{post}Content-Length:\r\n\r\n")),
        ("identity", format!("{post}Transfer-Encoding: identity\r\n\r\n")),
        ("gzip, chunked", format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n")),
        ("xchunked", format!("{post}Transfer-Encoding: xchunked\r\n\r\n")),
        ("quoted", format!("{post}Transfer-Encoding: \"chunked\"\r\n\r\n")),
        (
            "two encodings",
            format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"),
        ),
        ("vertical tab", format!("{post}Transfer-Encoding: \x0bchunked\r\n\r\n")),
        ("space before colon", format!("{post}Transfer-Encoding : chunked\r\n\r\n")),
        ("tab before colon", format!("{post}Content-Length\t: 5\r\n\r\n")),
        ("folded", format!("{post}X: y\r\n Content-Length: 5\r\n\r\n")),
        ("folded encoding", format!("{post}Transfer-Encoding:\r\n chunked\r\n\r\n")),
        ("space first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_owned()),
        ("bare LF", "GET / HTTP/1.1\nHost: a\n\n".to_owned()),
        ("bare LF inside", format!("{post}X: y\nContent-Length: 5\r\n\r\n")),
        ("bare CR", format!("{post}X: y\rContent-Length: 5\r\n\r\n")),
        ("double CR", format!("{post}X: y\r\r\n\r\n")),
        ("NUL in value", format!("{post}X: y\0z\r\n\r\n")),
        ("NUL in name", format!("{post}X\0: z\r\n\r\n")),
        ("no colon", format!("{post}nonsense\r\n\r\n")),
        ("empty name", format!("{post}: z\r\n\r\n")),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned()),
        ("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned()),
        ("host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".to_owned()),
        ("host with user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n".to_owned()),
        ("host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned()),
        ("absolute, other host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("absolute with user", "GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n".to_owned()),
        ("1.0 chunked", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()),
        ("version", "GET / HTTP/1.2\r\nHost: a\r\n\r\n".to_owned()),
        ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("HTTP/0.9", "GET /\r\n".to_owned()),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("tab", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("space in target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("no slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("star", "GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("connect", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".to_owned()),
        ("stand-in", format!("{REFUSED_METHOD} / HTTP/1.1\r\nHost: a\r\n\r\n")),
        ("many blanks", "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n".to_owned()),
    ] {
        let (good, heads, verdict) = read(message.as_bytes());
        assert!(matches!(verdict, Some(Verdict::Head(_))), "{what}: {verdict:?}");
        assert_eq!((good, heads), (0, 0), "{what}: nothing of it may pass");
    }
}

#[test]
fn broken_chunks_are_refused_in_the_body() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "\r\n",
        "x\r\n",
        "0x5\r\nhello\r\n",
        "-1\r\n",
        " 5\r\nhello",
        "5 \r\nhello",
        "5\nhello",
        "5\rhello",
        "5;a\nb\r\nhello",
        "5;a\0\r\nhello",
        "5\r\nhelloX",
        "5\r\nhello\n",
        "1000000000000000\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nHost: b\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\n folded\r\n\r\n",
    ] {
        let (good, heads, verdict) = read(format!("{post}{body}").as_bytes());
        assert!(matches!(verdict, Some(Verdict::Body(_))), "{body:?}: {verdict:?}");
        assert_eq!(heads, 1);
        assert!(good >= post.len());
    }
    let extensions = format!("{post}1;{}\r\n", "x".repeat(CHUNK_EXTENSION_BYTES_MAX + 1));
    assert!(matches!(read(extensions.as_bytes()).2, Some(Verdict::Body(_))));
}

#[test]
fn limits_are_exact() {
    let get = |uri: usize, value: usize| {
        let head = format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n",
            "u".repeat(uri - 1),
            "v".repeat(value)
        );
        read(head.as_bytes()).2
    };
    let rest = "Hostax".len();
    assert_eq!(get(200, 400 - rest), None);
    assert_eq!(get(201, 1), Some(Verdict::Head(Refused::UriTooLong { limit: 200 })));
    assert_eq!(get(90_000, 1), Some(Verdict::Head(Refused::UriTooLong { limit: 200 })));
    let too_large = Some(Verdict::Head(Refused::HeadersTooLarge { limit: 400 }));
    assert_eq!(get(2, 401 - rest), too_large);
    assert_eq!(get(2, 90_000), too_large);
    // Without an end in sight.
    assert_eq!(read(&[b'a'; 500]).2, Some(Verdict::Head(Refused::UriTooLong { limit: 200 })));

    let post = |length: &str| {
        read(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").as_bytes()).2
    };
    assert_eq!(post("1000"), None);
    let too_large = Some(Verdict::Head(Refused::BodyTooLarge { limit: 1_000 }));
    assert_eq!(post("1001"), too_large);
    assert_eq!(post("99999999999999999999999999"), too_large);

    let fields = |count: usize| {
        read(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a:\r\n".repeat(count - 1)).as_bytes())
            .2
    };
    assert_eq!(fields(FIELDS_MAX), None);
    let too_many = Refused::TooManyHeaders { limit: FIELDS_MAX };
    assert_eq!(fields(FIELDS_MAX + 1), Some(Verdict::Head(too_many)));
}

/// hyper never has to refuse a target by itself: its answer would have no body of ours.
#[test]
fn hyper_takes_every_target_that_passes() {
    let mut passed = 0;
    for byte in 0..=255 {
        for before in ["/", "/?", "http://h/", "http://h?", "*"] {
            let target = [before.as_bytes(), &[byte], b"x"].concat();
            let head = [b"GET ", &target[..], b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
            if read(&head).2.is_none() {
                passed += 1;
                assert_eq!(parses_like_hyper(&head), Ok(head.len()), "{}", head.escape_ascii());
            }
        }
    }
    assert!(passed > 4 * 80, "{passed}");
}

/// Pieces from which connections are put together: mostly well-formed, some not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let text = |text: &'static str| Just(text.as_bytes().to_vec());
    prop_oneof![
        4 => text("GET /a?b HTTP/1.1\r\n"),
        2 => text("POST / HTTP/1.1\r\n"),
        1 => text("PUT http://h/x HTTP/1.1\r\n"),
        1 => text("GET / HTTP/1.0\r\n"),
        6 => text("Host: h\r\n"),
        3 => text("X-A: b c\t\r\n"),
        2 => text("Content-Length: 3\r\n"),
        2 => text("Transfer-Encoding: chunked\r\n"),
        6 => text("\r\n"),
        2 => text("abc"),
        2 => text("3\r\nabc\r\n"),
        2 => text("0\r\n\r\n"),
        1 => text("\n"),
        1 => text(" "),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ]
}

fn connection() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(piece(), 0..24).prop_map(|pieces| pieces.concat())
}

/// What httparse and http, hyper's parsers, make of an approved head.
fn parses_like_hyper(bytes: &[u8]) -> Result<usize, String> {
    let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            let target = request.path.unwrap();
            http::Uri::try_from(target).map_err(|err| format!("{target:?}: {err}"))?;
            http::Method::from_bytes(request.method.unwrap().as_bytes())
                .map_err(|e| e.to_string())?;
            for header in request.headers {
                http::HeaderName::from_bytes(header.name.as_bytes()).map_err(|e| e.to_string())?;
                http::HeaderValue::from_bytes(header.value).map_err(|e| e.to_string())?;
            }
            Ok(length)
        }
        other => Err(format!("{other:?}")),
    }
}

/// Walks approved bytes with hyper's parser for heads and finds the same heads.
fn same_heads(bytes: &[u8]) -> Result<u32, String> {
    let mut heads = 0;
    let mut scanner = Scanner::new(LIMITS);
    let mut at = 0;
    while at < bytes.len() {
        // One head at a time: find its end with hyper's parser, then let the scanner take the
        // head and its body.
        let length = parses_like_hyper(&bytes[at..])?;
        let (good, verdict) = scanner.scan(&bytes[at..at + length]);
        if good != length || verdict.is_some() {
            return Err(format!("head of {length} bytes, but {good} {verdict:?}"));
        }
        heads += 1;
        at += length;
        while at < bytes.len() && scanner.in_body() {
            let (good, _) = scanner.scan(&bytes[at..=at]);
            if good == 0 {
                // Trailers are taken whole.
                let mut end = at + 2;
                while scanner.scan(&bytes[at..end]).0 == 0 {
                    end += 1;
                    if end > bytes.len() {
                        return Ok(heads);
                    }
                }
                at = end;
            } else {
                at += good;
            }
        }
    }
    Ok(heads)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// However the bytes are cut, the verdict and what passes before it are the same.
    #[test]
    fn cuts_do_not_matter(bytes in connection(), cuts in proptest::collection::vec(any::<usize>(), 0..8)) {
        prop_assert_eq!(read(&bytes), read_in_pieces(&bytes, &cuts));
    }

    #[test]
    fn single_bytes_do_not_matter(bytes in connection()) {
        let cuts: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(read(&bytes), read_in_pieces(&bytes, &cuts));
    }

    #[test]
    fn garbage_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (good, _, _) = read(&bytes);
        prop_assert!(good <= bytes.len());
    }

    /// What passes is, head for head, what hyper will see.
    #[test]
    fn hyper_sees_the_same_heads(bytes in connection()) {
        let (good, heads, _) = read(&bytes);
        prop_assert_eq!(same_heads(&bytes[..good]), Ok(heads));
    }
}
