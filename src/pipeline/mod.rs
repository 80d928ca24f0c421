//! A call's way through the gateway, first stage to last. Read this file first.
//!
//! The way has one cut. An edge walks the first half itself and lets the region walk the second
//! half through the tunnel; a region serving its own clients walks both. Each stage takes what the
//! stages before it proved and returns what it proved itself, so the compiler keeps the order.
//!
//! AWS: the order is that of API Gateway Developer Guide, "Control and manage access to REST APIs"
//! and "Cache settings for REST APIs": route, throttle, authorize, usage plan, validate, cache,
//! integration.

use std::sync::Arc;
use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, Method};
use http_body::Body as _;
use tokio::time::Instant;

use crate::auth::{Auth, Caller, Verdict};
use crate::cache::fill::Lookup;
use crate::cache::tiers::ResponseCache;
use crate::call::{Body, Call, Door, Reply};
use crate::deployment::Deployments;
use crate::deployment::snapshot::{CacheRules, ResolveError, Resolved};
use crate::limits::Limits;
use crate::model::stage::UnauthorizedCacheControl;
use crate::net::clock::Clock;
use crate::net::tasks::Tasks;

mod customise;
pub mod deliver;
pub mod door;
pub mod execution_log;
mod fill;
pub mod integrate;
mod lambda_proxy;
pub mod origin;
pub mod record;
pub mod refusal;
mod stage_log;
pub mod validate;
mod viewer;

pub use origin::Origin;
use record::Meant;
use refusal::{Refusal, Type};

/// The parts a call passes. `node::edge` and `node::region` fill it differently, nothing else does.
#[derive(Debug)]
pub struct Gateway {
    pub deployments: Arc<Deployments>,
    pub auth: Auth,
    pub limits: Limits,
    pub cache: ResponseCache,
    pub origin: Origin,
    pub telemetry: record::Telemetry,
    pub clock: Clock,
    pub tasks: Tasks,
}

/// A call on its way past the cut: all that the rest of the line needs, owned, so that a cache
/// fill can outlive the client that asked first.
#[derive(Debug)]
pub struct Errand {
    pub call: Arc<Call>,
    pub body: Body,
    pub resolved: Resolved,
    pub caller: Caller,
    pub named: Named,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// Which of the headers the pipeline itself looks for a client has sent; mostly none. Found out in
/// one pass over the few there are, because each look-up hashes the name it looks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named {
    cache_control: bool,
    content_length: bool,
    method_override: bool,
    request_id: bool,
}

impl Named {
    pub fn in_headers(headers: &HeaderMap) -> Self {
        let mut named = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "cache-control" => named.cache_control = true,
                "content-length" => named.content_length = true,
                "x-http-method-override" => named.method_override = true,
                "x-amzn-requestid" => named.request_id = true,
                _ => {}
            }
        }
        named
    }
}

/// Time an edge grants on top of the integration's, for the way to the region and back.
const WAY_TO_REGION: Duration = Duration::from_millis(1_000);

/// The stages before the cut. What a refused call meant is told with the refusal, for its record.
fn first_half(gateway: &Gateway, call: &Call) -> Result<(Resolved, Caller), (Meant, Refusal)> {
    let resolved = match gateway.deployments.resolve(call) {
        Ok(resolved) => resolved,
        Err(err) => {
            let meant = match &err {
                ResolveError::NoRoute { stage, matched } => {
                    Meant::Stage(Arc::clone(stage), matched.clone())
                }
                _ => Meant::Nothing,
            };
            return Err((meant, refusal::unresolved(err, call)));
        }
    };
    let route = resolved.route();
    if let Err(err) = gateway.limits.throttle(route.throttle) {
        return Err((Meant::Route(resolved), err.into()));
    }
    let Verdict::Admitted(caller) = gateway.auth.admit(route.authorizer);
    Ok((resolved, caller))
}

/// When the caller of a route stops waiting, from now on.
fn deadline(resolved: &Resolved) -> Instant {
    let time = Duration::from_millis(u64::from(resolved.route().timeout_ms));
    Instant::now() + time + WAY_TO_REGION
}

impl Errand {
    /// The errand of a client's call, from now on.
    fn new(
        call: Arc<Call>,
        named: Named,
        body: Body,
        (resolved, caller): (Resolved, Caller),
    ) -> Self {
        let deadline = deadline(&resolved);
        Self { call, body, resolved, caller, named, deadline }
    }

    /// Looks at the body where the method wants that. Time spent on waiting for a client's body is
    /// not taken from the integration's.
    async fn validate_body(&mut self) -> Result<(), Refusal> {
        if self.resolved.route().validation.is_none() || self.body.is_end_stream() {
            return Ok(());
        }
        self.body = validate::body(&self.call, self.body.take(), &self.resolved).await?;
        self.deadline = deadline(&self.resolved);
        Ok(())
    }
}

/// What of the second half needs no waiting, for a client's call: an answer in memory. It stands
/// alone because most calls end here, and should not carry the room for waiting.
fn at_once(
    gateway: &Gateway,
    call: &Call,
    named: Named,
    body: &Body,
    resolved: &Resolved,
) -> Option<Reply> {
    // A body has to be read first.
    let rules = cached(call, body, resolved).filter(|_| body.is_end_stream())?;
    let wants_fresh = named.cache_control && asks_for_fresh(call);
    if wants_fresh && (!rules.require_authorization || fails(rules)) {
        return None;
    }
    let entry = fill::in_memory(gateway, call, resolved, rules)?;
    // The call came in at this node and this very moment.
    let mut reply = fill::reply_from(&entry, call.received_at);
    if wants_fresh && warns(rules) {
        deliver::warn_of_ignored_cache_control(&mut reply);
    }
    Some(reply)
}

/// The rules by which this very call may be answered from the cache. A body is no part of the key
/// (rest-data-plane 10): who has a POST cached says that its answer does not depend on it. Of a GET
/// nobody has said so, and whoever sends one with a body must not choose what others get.
fn cached<'r>(call: &Call, body: &Body, resolved: &'r Resolved) -> Option<&'r CacheRules> {
    let rules = resolved.route().cache.as_ref()?;
    let fits =
        call.head.method == rules.verb && (rules.verb != Method::GET || body.is_end_stream());
    fits.then_some(rules)
}

/// The stages after the cut: look up, answer, keep.
async fn second_half(gateway: &Arc<Gateway>, mut errand: Errand) -> Result<Reply, Refusal> {
    let is_cached = cached(&errand.call, &errand.body, &errand.resolved).is_some();
    if is_cached && !errand.body.is_end_stream() {
        // Whoever fetches does so for all who ask, and must not depend on one client's upload.
        errand.body = Body::from(Box::pin(integrate::collected(errand.body.take())).await?);
    }
    let Some(rules) = cached(&errand.call, &errand.body, &errand.resolved) else {
        return Box::pin(gateway.origin.answer(gateway, errand)).await;
    };
    let wants_fresh = errand.named.cache_control && asks_for_fresh(&errand.call);
    let refused = wants_fresh && rules.require_authorization;
    if refused && fails(rules) {
        // Neither text nor error type were recorded.
        return Err(Refusal::because(Type::Forbidden, "the caller may not bypass the cache"));
    }
    // Said to the client by its own door alone: what crosses the tunnel may be kept there.
    let warn =
        refused && warns(rules) && !matches!(errand.call.connection.door, Door::Tunnel { .. });
    let (call, resolved) = (&*errand.call, &errand.resolved);
    let lookup = fill::look_up(gateway, call, resolved, rules, wants_fresh && !refused).await;
    let mut reply = match lookup {
        Lookup::Hit(entry) => Ok(fill::reply_from(&entry, gateway.clock.now())),
        Lookup::Pass => Box::pin(gateway.origin.answer(gateway, errand)).await,
        Lookup::Miss(place) => fill::fill(gateway, errand, place).await,
        Lookup::Wait(waiter) => Box::pin(fill::wait(gateway, errand, waiter)).await,
        Lookup::Crowded => {
            Err(Refusal::because(Type::ServiceUnavailable, "too many wait for one answer"))
        }
    }?;
    if warn {
        deliver::warn_of_ignored_cache_control(&mut reply);
    }
    Ok(reply)
}

/// Whether a caller who may not bypass the cache and tries is refused.
fn fails(rules: &CacheRules) -> bool {
    rules.unauthorized == UnauthorizedCacheControl::FailWith403
}

/// Whether such a caller is told so, with the cached answer.
fn warns(rules: &CacheRules) -> bool {
    rules.unauthorized == UnauthorizedCacheControl::SucceedWithResponseHeader
}

/// `Cache-Control: max-age=0` is the one client directive the stage cache knows.
/// AWS: "Cache settings for REST APIs", section "Invalidate an API Gateway cache entry".
fn asks_for_fresh(call: &Call) -> bool {
    call.head.headers.get_all(CACHE_CONTROL).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"max-age=0"))
    })
}
