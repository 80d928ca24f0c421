//! Health checks: every target of a load balancer is looked at from time to time, by one task.

use std::sync::Arc;

use futures_util::future::join_all;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, header};
use tokio::time::Instant;

use super::pool::Pool;
use super::{Check, HealthConfig};
use crate::net::client::{HttpClient, Manner, Outgoing, RequestBody, Scheme, Target};
use crate::net::tasks::Tasks;

/// So that a backend's log tells checks from calls.
const USER_AGENT: &str = "tidegate-health-check";

/// Starts the task; it ends when `tasks` are stopped.
pub(super) fn watch(
    pools: &[Arc<Pool>],
    config: &HealthConfig,
    client: &HttpClient,
    tasks: &Tasks,
) {
    let pools: Vec<Arc<Pool>> = pools.to_vec();
    let (config, client) = (config.clone(), client.clone());
    let stopped = tasks.stopped().clone();
    tasks.spawn(async move {
        let round = async {
            loop {
                look(&pools, &config, &client).await;
                tokio::time::sleep(config.interval).await;
            }
        };
        tokio::select! {
            () = stopped.cancelled() => {}
            () = round => {}
        }
    });
}

/// One round: all targets at once, each within its time.
async fn look(pools: &[Arc<Pool>], config: &HealthConfig, client: &HttpClient) {
    let targets = pools.iter().flat_map(|pool| (0..pool.len()).map(move |index| (pool, index)));
    let checks = targets.map(|(pool, index)| async move {
        let passed = passes(&pool.target(index), config, client).await;
        pool.checked(index, passed, config);
    });
    join_all(checks).await;
}

async fn passes(target: &Target, config: &HealthConfig, client: &HttpClient) -> bool {
    let (path, scheme) = match &config.check {
        Check::Tcp => return client.reach(target, config.timeout).await.is_ok(),
        Check::Http { path } => (path, Scheme::Http),
        Check::Https { path } => (path, Scheme::HttpsUnverified),
    };
    let manner = Manner { is_balanced: true, ..Manner::default() };
    let host = client.host_as(&Target { scheme, ..target.clone() }, &manner);
    let answer = client.send(&host, request(path), Instant::now() + config.timeout).await;
    answer.is_ok_and(|answer| matches!(answer.status().as_u16(), 200..=399))
}

fn request(path: &PathAndQuery) -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    let path_and_query = path.clone();
    Outgoing { method: Method::GET, path_and_query, headers, body: RequestBody::Empty }
}
