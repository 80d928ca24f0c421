//! The cache alone: time by a manual clock, no sockets.

mod disk;
mod fill;
mod key;
mod purge;
mod record;
mod tiers;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::cache::entry::{Answer, Entry};
use crate::cache::fill::{Lookup, Place, Waiter};
use crate::cache::key::{KeySource, KeyTemplate};
use crate::cache::purge::Purges;
use crate::cache::tiers::{Config, ResponseCache};
use crate::model::ids::{ApiId, StageName};
use crate::net::clock::Clock;
use crate::net::tasks::Tasks;
use crate::store::purge_log::{PurgeRecord, PurgeScope};

const LOG: Uuid = Uuid::from_u128(7);

/// A cache with all that it stands on.
struct World {
    cache: ResponseCache,
    purges: Purges,
    clock: Clock,
    tasks: Tasks,
}

fn world() -> World {
    world_with(Config::default())
}

fn world_with(config: Config) -> World {
    let (clock, purges) = (Clock::manual(1_000_000), Purges::new());
    purges.adopt(LOG, 0, &[]);
    let tasks = Tasks::new(Handle::current());
    let cache = ResponseCache::start(config, clock.clone(), purges.clone(), &tasks);
    World { cache, purges, clock, tasks }
}

impl World {
    async fn look(&self, path: &str) -> Lookup {
        self.cache.look_up(&template(), &key(path), path).await
    }

    async fn place(&self, path: &str) -> Place {
        match self.look(path).await {
            Lookup::Miss(place) => place,
            other => panic!("{path}: expected a place, not {other:?}"),
        }
    }

    async fn waiter(&self, path: &str) -> Waiter {
        match self.look(path).await {
            Lookup::Wait(waiter) => waiter,
            other => panic!("{path}: expected to wait, not {other:?}"),
        }
    }

    async fn hit(&self, path: &str) -> Option<Arc<Entry>> {
        match self.look(path).await {
            Lookup::Hit(entry) => Some(entry),
            _ => None,
        }
    }

    async fn keep(&self, path: &str, body: &str, ttl_seconds: u64) -> Arc<Entry> {
        let place = self.place(path).await;
        let answer = answer(&place, body, ttl_seconds);
        place.keep(answer)
    }

    fn purge(&self, scope: PurgeScope) {
        let seq = self.purges.newest_seq() + 1;
        self.purges.apply(&PurgeRecord { seq, at_ms: 0, scope });
    }
}

/// `GET /{proxy+}`, so that every path has a key of its own.
fn template() -> KeyTemplate {
    KeyTemplate::compile(&KeySource {
        canary: None,
        api: &api(),
        stage: &stage(),
        namespace: "res1",
        namespace_is_shared: false,
        http_method: "GET",
        resource_path: "/{proxy+}",
        parameters: &["method.request.path.proxy".to_owned()],
    })
    .unwrap()
}

fn key(path: &str) -> Vec<u8> {
    let mut key = Vec::new();
    let proxy = path.trim_matches('/');
    template().render(&mut key, |_| Some(proxy), None, &HeaderMap::new());
    key
}

fn answer(place: &Place, body: &str, ttl_seconds: u64) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/plain"));
    Answer {
        status: StatusCode::OK,
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
        ttl: Duration::from_secs(ttl_seconds),
        age_seconds: 0,
        as_of_seq: place.as_of_seq(),
        is_memory_only: false,
    }
}

fn api() -> ApiId {
    ApiId::new("api1234567")
}

fn stage() -> StageName {
    StageName::new("prod")
}

fn flush() -> PurgeScope {
    PurgeScope::Stage { api: api(), stage: stage() }
}

fn glob(pattern: &str) -> PurgeScope {
    PurgeScope::Path { api: api(), stage: stage(), glob: pattern.to_owned() }
}
