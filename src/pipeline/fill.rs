//! Look up and keep: how a cached method's answer is found, fetched once, and shared.
//!
//! A fill is owned by a task, not by the client that asked first: when that client goes away the
//! others still get their answer. The answer is collected before it is given out, as AWS collects
//! it, up to the size the cache may keep; a longer one streams to the first asker and the waiters
//! fetch for themselves.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{DATE, HeaderName};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::cache::entry::{Answer, Entry, SharedReply};
use crate::cache::fill::{Lookup, Place, Waited, Waiter};
use crate::call::{Body, CacheStatus, Call, Freshness, Reply};
use crate::deployment::snapshot::{CacheRules, Resolved};
use crate::integration::body::{Collected, collect};
use crate::net::clock::Timestamp;
use crate::pipeline::refusal::{Refusal, Type};
use crate::pipeline::{Errand, Gateway};

/// Set per call, never kept.
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
/// Room a key usually needs; the buffer is reused by all calls of a thread.
const KEY_BYTES: usize = 256;

thread_local! {
    static KEY: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(KEY_BYTES));
}

/// A fresh answer that is in memory.
pub(super) fn in_memory(
    gateway: &Gateway,
    call: &Call,
    resolved: &Resolved,
    rules: &CacheRules,
) -> Option<Arc<Entry>> {
    let key = rendered(call, resolved, rules);
    let found = gateway.cache.find_in_memory(&key, call.received_at);
    KEY.set(key);
    found
}

/// For a call that `in_memory` had nothing for: the right to fetch it, or what another fetched.
pub(super) async fn look_up(
    gateway: &Gateway,
    call: &Call,
    resolved: &Resolved,
    rules: &CacheRules,
    replace: bool,
) -> Lookup {
    let key = rendered(call, resolved, rules);
    let path = resolved.path(call);
    let lookup = if replace {
        gateway.cache.look_up_replacing(&rules.key, &key, path)
    } else {
        gateway.cache.look_further(&rules.key, &key, path).await
    };
    KEY.set(key);
    lookup
}

/// The call's key, in the thread's buffer.
fn rendered(call: &Call, resolved: &Resolved, rules: &CacheRules) -> Vec<u8> {
    let mut key = KEY.take();
    let head = &call.head;
    let parameter = |name: &str| resolved.parameter(call, name);
    rules.key.render(&mut key, parameter, head.uri.query(), &head.headers);
    key
}

/// The reply a stored entry gives at `now`.
pub(super) fn reply_from(entry: &Entry, now: Timestamp) -> Reply {
    let age_seconds = entry.age_seconds(now);
    // The entry's map has places for the headers still to come, and so has its clone.
    let headers = entry.headers.clone();
    let mut reply = Reply::new(entry.status, headers, Body::from(entry.body.clone()));
    reply.cache = CacheStatus::Hit { age_seconds };
    reply.freshness = Some(Freshness {
        // Rounded down: what is kept on the strength of this must not outlive the entry.
        ttl_seconds: u32::try_from(entry.ttl_left(now).as_secs()).unwrap_or(u32::MAX),
        age_seconds,
        as_of_seq: entry.as_of_seq,
    });
    reply
}

/// Waits for another's fill; goes alone when that one gives nothing to share.
///
/// It waits as long as it may: going alone after a shorter wait would send everybody who waits to
/// a backend at the very moment it is slow. The fill itself ends by its own deadline, which is
/// earlier, so nobody waits in vain.
pub(super) async fn wait(
    gateway: &Arc<Gateway>,
    errand: Errand,
    waiter: Waiter,
) -> Result<Reply, Refusal> {
    let left = errand.deadline.saturating_duration_since(Instant::now());
    match waiter.wait(left).await {
        Waited::Hit(entry) => Ok(reply_from(&entry, gateway.clock.now())),
        Waited::Failed(shared) => Ok(SharedReply::clone(&shared).into_reply()),
        // The filler left before it began; this happens between two polls, so asking once is fine.
        Waited::Alone | Waited::Again => gateway.origin.answer(gateway, errand).await,
        Waited::Abandoned => Err(Refusal::because(Type::Internal, "the fill was abandoned")),
    }
}

/// Fetches the answer in a task of its own and gives it to everyone who waits.
pub(super) async fn fill(
    gateway: &Arc<Gateway>,
    errand: Errand,
    place: Place,
) -> Result<Reply, Refusal> {
    let (done, answer) = oneshot::channel();
    let filler = Arc::clone(gateway);
    // On the runtime of the call, so that the backend's connection stays on its own core.
    let tasks = gateway.tasks.on(tokio::runtime::Handle::current());
    tasks.spawn(async move {
        // Nobody may be left to take it; that is what the entry is for.
        drop(done.send(fetch(&filler, errand, place).await));
    });
    match answer.await {
        Ok(outcome) => outcome,
        Err(_) => Err(Refusal::because(Type::Internal, "the fill ended without an answer")),
    }
}

async fn fetch(gateway: &Arc<Gateway>, errand: Errand, place: Place) -> Result<Reply, Refusal> {
    let deadline = errand.deadline;
    let resolved = errand.resolved.clone();
    let began = place.as_of_seq();
    let mut reply = match gateway.origin.answer(gateway, errand).await {
        Ok(reply) => reply,
        Err(refusal) => {
            share_failure(place, &refusal);
            return Err(refusal);
        }
    };
    let Some(freshness) = lifetime(gateway, &resolved, &reply, began) else {
        return share_unkept(place, reply, deadline).await;
    };
    let limit = gateway.cache.entry_bytes_max();
    let collected = timeout_at(deadline, collect(reply.body.take(), limit)).await;
    let refusal = match collected {
        Ok(Ok(Collected::Whole(body))) => {
            reply.cache = CacheStatus::Miss;
            reply.headers.remove(DATE);
            let mut kept = reply.headers.clone();
            kept.remove(TRACE_ID);
            place.keep(Answer {
                status: reply.status,
                headers: kept,
                body: body.clone(),
                ttl: Duration::from_secs(u64::from(freshness.ttl_seconds)),
                age_seconds: freshness.age_seconds,
                as_of_seq: freshness.as_of_seq,
                is_memory_only: resolved.route().cache.as_ref().is_some_and(|c| c.is_memory_only),
            });
            reply.freshness = Some(freshness);
            reply.body = Body::from(body);
            return Ok(reply);
        }
        Ok(Ok(Collected::Longer(body))) => {
            place.pass();
            reply.cache = CacheStatus::Miss;
            reply.freshness = None;
            reply.body = body;
            return Ok(reply);
        }
        Ok(Err(err)) => Refusal::because(Type::IntegrationFailure, err),
        Err(_) => Refusal::because(Type::IntegrationTimeout, "the answer's body came too slowly"),
    };
    share_failure(place, &refusal);
    Err(refusal)
}

/// How long the answer may be kept, if it may be kept at all. Where a cache further down vouches
/// for it, that cache's word counts; a partial answer is never kept as the whole.
fn lifetime(
    gateway: &Gateway,
    resolved: &Resolved,
    reply: &Reply,
    began: u64,
) -> Option<Freshness> {
    let rules = resolved.route().cache.as_ref()?;
    let storable = reply.refusal.is_none()
        && reply.status.is_success()
        && reply.status != StatusCode::PARTIAL_CONTENT;
    if !storable {
        return None;
    }
    match gateway.origin.is_vouched_for() {
        true => reply.freshness.filter(|freshness| freshness.ttl_seconds > 0),
        false => {
            Some(Freshness { ttl_seconds: rules.ttl_seconds, age_seconds: 0, as_of_seq: began })
        }
    }
}

/// A failure is everybody's who waited: asking a failing backend once per waiter helps nobody.
fn share_failure(place: Place, refusal: &Refusal) {
    place.fail(shared(&refusal.clone().into_reply()));
}

/// What is not kept may still be everybody's who waited: an error is, whether the region refused
/// on our behalf or the backend said so itself. Anything else is the asker's alone.
async fn share_unkept(place: Place, mut reply: Reply, deadline: Instant) -> Result<Reply, Refusal> {
    if reply.status.is_success() {
        // A part of an answer, or one whose time is up: the next may well be kept.
        place.leave();
        return Ok(reply);
    }
    let refusal = match timeout_at(deadline, collect(reply.body.take(), ERROR_BYTES_MAX)).await {
        Ok(Ok(Collected::Whole(body))) => {
            reply.body = Body::from(body);
            place.fail(shared(&reply));
            return Ok(reply);
        }
        Ok(Ok(Collected::Longer(body))) => {
            place.leave();
            reply.body = body;
            return Ok(reply);
        }
        Ok(Err(err)) => Refusal::because(Type::IntegrationFailure, err),
        Err(_) => Refusal::because(Type::IntegrationTimeout, "the answer's body came too slowly"),
    };
    share_failure(place, &refusal);
    Err(refusal)
}

/// The reply's parts that can be given out many times; its body must be known whole.
fn shared(reply: &Reply) -> SharedReply {
    let mut headers = reply.headers.clone();
    headers.remove(TRACE_ID);
    SharedReply {
        status: reply.status,
        headers,
        body: match &reply.body {
            Body::Full(bytes) => bytes.clone(),
            _ => Bytes::new(),
        },
        integration: reply.integration.clone(),
        refusal: reply.refusal.clone(),
    }
}

/// A gateway response is a line of JSON; a backend's own error may be a page.
const ERROR_BYTES_MAX: usize = 64 * 1024;
