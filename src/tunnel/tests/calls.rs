//! Calls, their bodies, and what becomes of both when someone gives up.

use bytes::BytesMut;
use futures_util::StreamExt;
use http_body::{Body as HttpBody, Frame};
use http_body_util::StreamBody;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::call::Freshness;
use crate::tunnel::frame::{self, Kind};
use crate::tunnel::stream::{Receiver, Sender, length_of};

/// Ten megabytes, AWS's bound, in pieces of odd size; each byte tells its place.
fn ten_megabytes() -> Bytes {
    (0..10 * 1024 * 1024u32).map(|at| (at % 251) as u8).collect::<Vec<_>>().into()
}

fn streamed(whole: Bytes, trailers: Option<HeaderMap>) -> Body {
    let pieces = (0..whole.len().div_ceil(70_001)).map(move |index| {
        let from = index * 70_001;
        Ok(Frame::data(whole.slice(from..whole.len().min(from + 70_001))))
    });
    let all = pieces.chain(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
    Body::stream(StreamBody::new(futures_util::stream::iter(all.collect::<Vec<_>>())))
}

#[tokio::test]
async fn a_head_arrives_as_it_was_sent_and_knows_its_edge() {
    struct Mirror;
    impl Handler for Mirror {
        async fn call(&self, edge: NodeName, head: CallHead, body: Body) -> CallOutcome {
            assert_eq!(edge.as_str(), "edge-1");
            assert!(matches!(body, Body::Empty));
            let sent = call(Method::GET, "/prod/pets?x=1");
            assert!(head.time_left_ms <= sent.time_left_ms);
            assert_eq!(CallHead { time_left_ms: sent.time_left_ms, ..head }, sent);
            let freshness = Freshness { ttl_seconds: 300, age_seconds: 2, as_of_seq: 17 };
            CallOutcome::Reply(
                Box::new(ReplyHead {
                    freshness: Some(freshness),
                    ..*reply(StatusCode::IM_A_TEAPOT)
                }),
                Body::Empty,
            )
        }
        async fn document(&self, _: NodeName, _: Request) -> Result<Bytes, String> {
            Err(String::new())
        }
    }
    let (_edges, tunnel, _events) = pair(Mirror).await;
    let sent = tunnel.forward(call(Method::GET, "/prod/pets?x=1"), Body::Empty);
    let (head, body) = soon(sent).await.unwrap();
    assert_eq!(head.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(head.freshness.unwrap().as_of_seq, 17);
    assert!(matches!(body, Body::Empty));
}

#[tokio::test]
async fn ten_megabytes_go_both_ways_at_once() {
    let (edges, tunnel, _events) = pair(Deeds::default()).await;
    let whole = ten_megabytes();
    for body in [streamed(whole.clone(), None), Body::Full(whole.clone())] {
        let (head, reply) = soon(tunnel.forward(call(Method::POST, "/echo"), body)).await.unwrap();
        assert_eq!(head.status, StatusCode::OK);
        let back = soon(reply.collect()).await.unwrap().to_bytes();
        assert!(back == whole);
    }
    let sent = edges.gauges().bytes_sent.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(sent, 2 * whole.len() as u64);
    let open = tunnel.gauges().calls_open.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(open, 0);
}

#[tokio::test]
async fn a_known_length_is_told_and_trailers_follow_the_body() {
    let (_edges, tunnel, _events) = pair(Deeds::default()).await;
    let full = Body::Full(Bytes::from_static(b"exactly so"));
    let (_, reply) = soon(tunnel.forward(call(Method::POST, "/echo"), full)).await.unwrap();
    assert_eq!(reply.size_hint().exact(), Some(10));
    assert_eq!(text(reply).await, "exactly so");

    let mut trailers = HeaderMap::new();
    trailers.append("checksum", "17".parse().unwrap());
    let body = streamed(Bytes::from_static(b"data"), Some(trailers.clone()));
    let (_, reply) = soon(tunnel.forward(call(Method::POST, "/echo"), body)).await.unwrap();
    let whole = soon(reply.collect()).await.unwrap();
    assert_eq!(whole.trailers(), Some(&trailers));
    assert_eq!(whole.to_bytes(), "data");
}

/// A body of which half comes, then this error.
fn broken(error: BodyError) -> Body {
    let pieces = [Ok(Frame::data(Bytes::from_static(b"half"))), Err(error)];
    Body::stream(StreamBody::new(futures_util::stream::iter(pieces)))
}

/// On the stream itself, because the edge does not wait for what the region says to it.
#[tokio::test]
async fn a_request_body_that_breaks_off_is_an_error_at_the_region() {
    let (_edges, tunnel, _events) = pair(Deeds::default()).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let (send, recv) = soon(tunnel.open(deadline)).await.unwrap();
    let (mut sender, mut receiver) = (Sender::new(send), Receiver::new(recv));
    let body = broken(BodyError::aborted("client went away"));
    let mut head = BytesMut::new();
    let length = length_of(&body);
    let called = call(Method::POST, "/count");
    frame::put_frame(&mut head, Kind::Call, |out| called.put(5_000, length, out)).unwrap();
    soon(sender.message(head, body, tunnel.gauges())).await.unwrap_err();
    let (kind, payload) = soon(receiver.expect_frame()).await.unwrap();
    assert_eq!(kind, Kind::Reply);
    assert_eq!(ReplyHead::get(payload).unwrap().0.status, StatusCode::BAD_REQUEST);
}

/// The region only sees a body break off; why, the edge knows, and answers its client accordingly.
#[tokio::test]
async fn a_request_bodys_own_error_is_handed_back() {
    let (_edges, tunnel, _events) = pair(Deeds::default()).await;
    let mut own = Vec::new();
    for error in [BodyError::aborted("client went away"), BodyError::TooLarge { limit: 7 }] {
        let sent = tunnel.forward(call(Method::POST, "/count"), broken(error));
        own.push(soon(sent).await.map(drop));
    }
    assert!(matches!(own[0], Err(TunnelError::RequestBody(BodyError::Aborted(_)))), "{own:?}");
    let too_large = Err(TunnelError::RequestBody(BodyError::TooLarge { limit: 7 }));
    assert_eq!(format!("{:?}", own[1]), format!("{:?}", too_large as Result<(), _>));
}

#[tokio::test]
async fn a_reply_body_that_breaks_off_is_an_error_at_the_edge() {
    let (_edges, tunnel, _events) = pair(Deeds::default()).await;
    let sent = tunnel.forward(call(Method::GET, "/break"), Body::Empty);
    let (head, body) = soon(sent).await.unwrap();
    assert_eq!(head.status, StatusCode::OK);
    assert!(matches!(soon(body.collect()).await, Err(BodyError::Aborted(_))));
}

#[tokio::test]
async fn giving_up_a_call_drops_the_regions_future() {
    let (dropped, mut told) = mpsc::unbounded_channel();
    let (_edges, tunnel, _events) = pair(Deeds { dropped: Some(dropped) }).await;
    let call_ = call(Method::GET, "/hang");
    let waiting =
        tokio::time::timeout(Duration::from_millis(300), tunnel.forward(call_, Body::Empty));
    assert!(waiting.await.is_err());
    soon(told.recv()).await.unwrap();

    let sent = tunnel.forward(call(Method::GET, "/endless"), Body::Empty);
    let (_, mut body) = soon(sent).await.unwrap();
    soon(body.frame()).await.unwrap().unwrap();
    assert!(told.try_recv().is_err(), "still running");
    drop(body);
    soon(told.recv()).await.unwrap();
}

#[tokio::test]
async fn a_call_ends_with_its_time() {
    let (dropped, mut told) = mpsc::unbounded_channel();
    let (_edges, tunnel, _events) = pair(Deeds { dropped: Some(dropped) }).await;
    let head = CallHead { time_left_ms: 200, ..call(Method::GET, "/hang") };
    let answer = soon(tunnel.forward(head, Body::Empty)).await;
    assert!(matches!(answer, Err(TunnelError::Timeout)));
    soon(told.recv()).await.unwrap();
}

#[tokio::test]
async fn a_panic_costs_one_call() {
    let (edges, tunnel, _events) = pair(Deeds::default()).await;
    let answer = soon(tunnel.forward(call(Method::GET, "/panic"), Body::Empty)).await;
    assert!(matches!(answer, Err(TunnelError::Reset(ResetReason::Panicked))));
    let sent = tunnel.forward(call(Method::GET, "/name"), Body::Empty);
    assert_eq!(text(soon(sent).await.unwrap().1).await, "edge-1");
    assert_eq!(edges.gauges().panics.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_stale_part_is_told_apart_from_a_reply() {
    let (_edges, tunnel, _events) = pair(Deeds::default()).await;
    let answer = soon(tunnel.forward(call(Method::GET, "/stale"), Body::Empty)).await;
    assert!(matches!(answer, Err(TunnelError::Stale)));
}

#[tokio::test]
async fn a_reply_that_comes_before_the_request_ends_is_not_held_up() {
    let (_edges, tunnel, _events) = pair(Deeds::default()).await;
    let go_on = CancellationToken::new();
    let wait = go_on.clone();
    let pieces = futures_util::stream::once(async { Ok(Frame::data(Bytes::from_static(b"a"))) })
        .chain(futures_util::stream::once(async move {
            wait.cancelled().await;
            Ok(Frame::data(Bytes::from_static(b"b")))
        }));
    let body = Body::stream(StreamBody::new(pieces));
    let (_, mut reply) = soon(tunnel.forward(call(Method::POST, "/echo"), body)).await.unwrap();
    let first = soon(reply.frame()).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "a");
    go_on.cancel();
    assert_eq!(text(reply).await, "b");
}

#[tokio::test]
async fn a_thousand_calls_share_a_connection() {
    let (edges, tunnel, _events) = pair(Deeds::default()).await;
    let calls = (0..1_000).map(|index: usize| {
        let tunnel = tunnel.clone();
        async move {
            let body = Body::Full(Bytes::from(vec![1; index * 7]));
            let answer = tunnel.forward(call(Method::POST, "/count"), body).await;
            assert_eq!(text(answer.unwrap().1).await, (index * 7).to_string());
        }
    });
    soon(futures_util::future::join_all(calls)).await;
    assert_eq!(edges.gauges().calls.load(std::sync::atomic::Ordering::Relaxed), 1_000);
    assert_eq!(edges.list().len(), 1);
}

/// Readers that stall hold their own streams only.
#[tokio::test]
async fn slow_readers_do_not_stop_the_others() {
    let (_edges, tunnel, _events) = pair(Deeds::default()).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let sent = tunnel.forward(call(Method::GET, "/endless"), Body::Empty);
        stalled.push(soon(sent).await.unwrap().1);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = tunnel.forward(call(Method::GET, "/name"), Body::Empty);
    assert_eq!(text(soon(sent).await.unwrap().1).await, "edge-1");
}

#[tokio::test]
async fn documents_are_fetched_whole() {
    let (_edges, tunnel, _events) = pair(Deeds::default()).await;
    assert_eq!(soon(tunnel.request(Request::Manifest)).await.unwrap(), "manifest");
    let part = soon(tunnel.request(Request::Part { hash: [5; 32] })).await.unwrap();
    assert_eq!(part, vec![5; 3_000_000]);
    let purges = Request::PurgesSince { log_id: Uuid::nil(), seq: 1 };
    let answer = soon(tunnel.request(purges)).await;
    assert!(matches!(answer, Err(TunnelError::NoDocument(text)) if &*text == "no such log"));
}
