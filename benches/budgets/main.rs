//! What the parts of a call cost, measured alone; `benches/README.md` has the budgets.
//!
//! `cargo bench` runs them, `cargo bench -- hit` one of them. One binary, because each would link
//! the whole crate with optimisation across all of it.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up should stop")]

mod control;
mod gateway;
mod lambda;
mod plane;
mod template;
mod tunnel;

use divan::{Bencher, black_box};
use gateway::World;
use http::HeaderMap;
use plane::Plane;
use tidegate::cache::key::{KeySource, KeyTemplate};
use tidegate::model::ids::{ApiId, StageName};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A cached answer of 1 KiB: route, key, look-up, headers, metrics, access log.
#[divan::bench]
fn hit(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let world = World::new(&runtime, 0);
    assert_eq!(runtime.block_on(world.ask("/c/1k/hit")).len(), 1024);
    bencher.bench_local(|| runtime.block_on(world.ask(black_box("/c/1k/hit"))));
}

/// An answer of 1 KiB from a backend on the loopback interface, the backend's own work included.
#[divan::bench]
fn miss(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let world = World::new(&runtime, 0);
    bencher.bench_local(|| runtime.block_on(world.ask(black_box("/p/1k/miss"))));
}

/// A body of 58 bytes passed through, to compare `validated` with.
#[divan::bench]
fn told(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let world = World::new(&runtime, 0);
    bencher.bench_local(|| runtime.block_on(world.tell(black_box("/p/1k/told"))));
}

/// The same with a required parameter, a model and two mapped headers.
#[divan::bench]
fn validated(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let world = World::new(&runtime, 0);
    bencher.bench_local(|| runtime.block_on(world.tell(black_box("/v/1k/told"))));
}

/// Host, stage and route of a call, from 10 routes to AWS's most and beyond.
#[divan::bench(args = [10, 1_000, 10_000])]
fn resolve(bencher: Bencher<'_, '_>, routes: usize) {
    let runtime = runtime();
    let world = World::new(&runtime, routes);
    let call = world.call(&format!("/r/{}/x", routes / 2));
    let deployments = &world.clients.gateway.deployments;
    bencher.bench_local(|| deployments.resolve(black_box(&call)).unwrap());
}

/// A key of one path, one query and one header parameter.
#[divan::bench]
fn cache_key(bencher: Bencher<'_, '_>) {
    let template = KeyTemplate::compile(&KeySource {
        canary: None,
        api: &ApiId::new("a1b2c3d4e5"),
        stage: &StageName::new("prod"),
        namespace: "r1",
        namespace_is_shared: false,
        http_method: "GET",
        resource_path: "/pets/{id}",
        parameters: &[
            "method.request.path.id".to_owned(),
            "method.request.querystring.page".to_owned(),
            "method.request.header.accept".to_owned(),
        ],
    })
    .unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("accept", "application/json".parse().unwrap());
    let mut key = Vec::new();
    bencher.bench_local(|| {
        template.render(&mut key, |_| Some(black_box("4711")), Some("type=dog&page=3"), &headers);
        key.len()
    });
}

/// One call from an edge to the region and back, 1 KiB, both ends on this thread.
#[divan::bench]
fn tunnel_round_trip(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let pair = tunnel::Pair::new(&runtime);
    assert_eq!(runtime.block_on(pair.call()).len(), 1024);
    bencher.bench_local(|| runtime.block_on(pair.call()));
}

/// One stage of 1,000 APIs changed: from the state to the snapshot in force.
#[divan::bench(args = [10, 1_000])]
fn publish_one_change(bencher: Bencher<'_, '_>, apis: usize) {
    let runtime = runtime();
    let mut region = control::Region::new(&runtime, apis, 10);
    bencher.bench_local(|| assert_eq!(region.change_one(), 1));
}

/// The only stage changed, with as many resources as we allow an API at the most.
#[divan::bench(args = [300, 10_000], sample_count = 20)]
fn publish_large_api(bencher: Bencher<'_, '_>, resources: usize) {
    let runtime = runtime();
    let mut region = control::Region::new(&runtime, 1, resources);
    bencher.bench_local(|| assert_eq!(region.change_one(), 1));
}

/// The judgement whether a definition can be served, as CreateDeployment asks for it.
#[divan::bench(args = [300, 10_000], sample_count = 20)]
fn read_definition(bencher: Bencher<'_, '_>, resources: usize) {
    let definition = control::definition("api0000000", resources);
    bencher.bench_local(|| control::read(black_box(&definition)));
}

/// A page of 25 resources of an API that has 10,000.
#[divan::bench]
fn list_resources(bencher: Bencher<'_, '_>) {
    let plane = Plane::new(1, 10_000);
    bencher.bench_local(|| plane.get(black_box("/restapis/api0000000/resources")));
}

/// One resource of 10,000.
#[divan::bench]
fn get_resource(bencher: Bencher<'_, '_>) {
    let plane = Plane::new(1, 10_000);
    bencher.bench_local(|| plane.get(black_box("/restapis/api0000000/resources/r05000")));
}

/// A page of 500 of 1,000 APIs.
#[divan::bench]
fn list_apis(bencher: Bencher<'_, '_>) {
    let plane = Plane::new(1_000, 0);
    bencher.bench_local(|| plane.get(black_box("/restapis?limit=500")));
}

/// A mapping template of 2 KB with 20 references and one loop, a body of 300 bytes.
#[divan::bench]
fn render_template(bencher: Bencher<'_, '_>) {
    let world = template::World::new();
    assert!(world.render().contains("\"vip\": true"));
    bencher.bench_local(|| black_box(&world).render());
}
