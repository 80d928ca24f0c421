use std::collections::VecDeque;
use std::task::Waker;

use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { uri_bytes: 200, header_bytes: 400, body_bytes: 1_000 };

/// Gives its pieces one per read, then ends.
struct Pieces(VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What a reader with a buffer of this size sees, until the end, an error or a wait.
fn see(pieces: Vec<Vec<u8>>, room: usize) -> (Vec<u8>, &'static str) {
    let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    let mut guard = Guard::new(Pieces(pieces), LIMITS, Arc::default());
    let mut cx = Context::from_waker(Waker::noop());
    let mut seen = Vec::new();
    loop {
        let mut room = vec![0; room];
        let mut buf = ReadBuf::new(&mut room);
        match Pin::new(&mut guard).poll_read(&mut cx, &mut buf) {
            Poll::Ready(Ok(())) if buf.filled().is_empty() => return (seen, "end"),
            Poll::Ready(Ok(())) => seen.extend_from_slice(buf.filled()),
            Poll::Ready(Err(_)) => return (seen, "error"),
            Poll::Pending => return (seen, "wait"),
        }
    }
}

fn expected(bytes: &[u8]) -> (Vec<u8>, &'static str) {
    let (good, verdict) = Scanner::new(LIMITS).scan(bytes);
    let mut seen = bytes.get(..good).unwrap().to_vec();
    match verdict {
        None => (seen, "end"),
        Some(Verdict::Body(_)) => (seen, "error"),
        Some(Verdict::Head(_)) => {
            seen.extend_from_slice(REFUSED_METHOD.as_bytes());
            seen.extend_from_slice(b" / HTTP/1.1\r\nhost: _\r\nconnection: close\r\n\r\n");
            (seen, "wait")
        }
    }
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let text = |text: &'static str| Just(text.as_bytes().to_vec());
    prop_oneof![
        6 => text("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"),
        3 => text("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nGET / H"),
        3 => text("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\r\n\r\n0\r\nT: x\r\n\r\n"),
        1 => text("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc"),
        1 => text("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"),
        1 => text("GET / HT"),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// However the bytes come and however small hyper's buffer is, hyper sees what was approved,
    /// whole and in order, and then the stand-in, an error or the end.
    #[test]
    fn hyper_sees_what_was_approved(
        messages in proptest::collection::vec(message(), 0..6),
        cuts in proptest::collection::vec(1_usize..60, 1..8),
        room in 1_usize..200,
    ) {
        let bytes = messages.concat();
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, more) = rest.split_at(rest.len().min(*cut));
            pieces.push(piece.to_vec());
            rest = more;
        }
        prop_assert_eq!(see(pieces, room), expected(&bytes));
    }
}
