//! `kill -9` at any moment: no acknowledged change is lost, and none is half there.
//!
//! The writer is this test binary, run again with [`child`] as its only test. It counts in several
//! tasks and says each number after the store acknowledged it; the parent kills it while it writes,
//! and compares what it said with what the database holds.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::json;
use tidegate::store::control::{Body, Config, DatabaseConfig, KeySource, Kind, PostgresUrl, State};
use tokio::task::JoinSet;

use crate::process::PATIENCE;
use crate::store_place::{Place, Server, open, runtime};

const ROUNDS: usize = 12;
const COUNTERS: usize = 4;
/// Says to the child where to write; without it the child's test has nothing to do.
const WHERE: &str = "TIDEGATE_TEST_STORE";

fn body(count: u64) -> Body {
    json!({ "count": count, "padding": "x".repeat(700) }).as_object().cloned().unwrap()
}

fn count(state: &State, scope: &str, id: &str) -> u64 {
    state.get(Kind::Model, scope, id).map_or(0, |found| found.body["count"].as_u64().unwrap())
}

/// No test by itself: what the tests below kill.
#[test]
fn child() {
    let Ok(place) = env::var(WHERE) else { return };
    let (key, url) = place.split_once(' ').unwrap();
    let database = match url.strip_prefix("sqlite:") {
        Some(path) => DatabaseConfig::Sqlite { path: path.into() },
        None => {
            DatabaseConfig::Postgres { url: PostgresUrl::new(url).unwrap(), password_file: None }
        }
    };
    let config = Config { database, key: KeySource::File(key.into()) };
    runtime().block_on(async {
        let opened = open(config).await.unwrap();
        let mut counters = JoinSet::new();
        for counter in 0..COUNTERS {
            let store = opened.store.clone();
            counters.spawn(async move {
                loop {
                    let done = store.transact(|txn| {
                        let id = counter.to_string();
                        let before = txn.get(Kind::Model, "left", &id);
                        let next = before.map_or(0, |body| body["count"].as_u64().unwrap()) + 1;
                        txn.put(Kind::Model, "left", &id, body(next));
                        txn.put(Kind::Model, "right", &id, body(next));
                        Ok::<_, ()>(next)
                    });
                    match done.await {
                        Ok(done) => {
                            let done = done.unwrap();
                            let line =
                                format!("\nack {counter} {} {}\n", done.value, done.revision);
                            std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                        }
                        // The server was killed; so will this process be.
                        Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                    }
                }
            });
        }
        counters.join_next().await;
    });
}

/// A writer at work.
struct Writer {
    child: Child,
    /// Lines of acknowledgements; ends with the process.
    lines: mpsc::Receiver<(usize, u64, u64)>,
}

impl Writer {
    fn start(place: &Place, url: &str) -> Self {
        let key = place.key_file();
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "store_kill::child", "--nocapture", "--test-threads=1"])
            .env(WHERE, format!("{} {url}", key.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let (said, lines) = mpsc::channel();
        thread::spawn(move || listen(out, &said));
        Self { child, lines }
    }

    /// The first acknowledgement: from here on it is at work.
    fn works(&self) -> (usize, u64, u64) {
        self.lines.recv_timeout(PATIENCE).expect("the writer writes")
    }

    /// `kill -9`, and all that it said before.
    fn kill(mut self) -> Vec<(usize, u64, u64)> {
        // SIGKILL.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.lines.iter().collect()
    }
}

fn listen(out: ChildStdout, said: &mpsc::Sender<(usize, u64, u64)>) {
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        let Some(rest) = line.strip_prefix("ack ") else { continue };
        let numbers: Vec<u64> = rest.split(' ').map_while(|word| word.parse().ok()).collect();
        // A line that was cut off by the kill acknowledged nothing.
        if let [counter, count, revision] = numbers[..]
            && said.send((usize::try_from(counter).unwrap(), count, revision)).is_err()
        {
            return;
        }
    }
}

/// What was acknowledged is there; at most the one call in flight of each counter is there besides.
async fn check(place: &Place, acknowledged: &BTreeMap<usize, u64>, revision: u64) {
    let opened = place.open().await;
    let state = opened.current();
    assert!(state.revision >= revision, "{} < {revision}", state.revision);
    let mut all = 0;
    for counter in 0..COUNTERS {
        let id = counter.to_string();
        let (left, right) = (count(&state, "left", &id), count(&state, "right", &id));
        assert_eq!(left, right, "half a change of counter {counter}");
        let said = acknowledged.get(&counter).copied().unwrap_or(0);
        assert!(left >= said, "counter {counter}: {said} was acknowledged, {left} is there");
        all += left;
    }
    assert_eq!(all, state.revision, "each change has its revision");
    opened.close().await;
}

fn kills(place: &Place, url: &str) {
    let mut acknowledged: BTreeMap<usize, u64> = BTreeMap::new();
    let mut last = 0;
    for _ in 0..ROUNDS {
        let writer = Writer::start(place, url);
        let first = writer.works();
        thread::sleep(Duration::from_millis(u64::from(rand::random_range(0..150_u32))));
        let mut said = vec![first];
        said.extend(writer.kill());
        for (counter, count, revision) in said {
            let before = acknowledged.entry(counter).or_default();
            *before = count.max(*before);
            last = revision.max(last);
        }
        runtime().block_on(check(place, &acknowledged, last));
    }
    assert!(last >= ROUNDS as u64, "there was load");
}

#[test]
fn sqlite_keeps_every_acknowledged_change() {
    let place = Place::sqlite();
    let DatabaseConfig::Sqlite { path } = &place.config.database else { panic!() };
    kills(&place, &format!("sqlite:{}", path.display()));
}

#[test]
fn postgres_keeps_every_acknowledged_change() {
    let server = Server::shared();
    let place = Place::on(server);
    let DatabaseConfig::Postgres { url, .. } = &place.config.database else { panic!() };
    let name = url.to_string().rsplit_once('/').unwrap().1.to_owned();
    kills(&place, &server.url(&name));
}

/// The server itself is killed under load: what it told us is committed, is.
#[test]
fn a_killed_postgres_keeps_every_acknowledged_change() {
    let mut server = Server::start();
    let place = Place::on(&server);
    let DatabaseConfig::Postgres { url, .. } = &place.config.database else { panic!() };
    let name = url.to_string().rsplit_once('/').unwrap().1.to_owned();
    let mut acknowledged: BTreeMap<usize, u64> = BTreeMap::new();
    let mut last = 0;
    for _ in 0..2 {
        let writer = Writer::start(&place, &server.url(&name));
        let first = writer.works();
        thread::sleep(Duration::from_millis(300));
        server.crash();
        thread::sleep(Duration::from_millis(100));
        let mut said = vec![first];
        said.extend(writer.kill());
        for (counter, count, revision) in said {
            let before = acknowledged.entry(counter).or_default();
            *before = count.max(*before);
            last = revision.max(last);
        }
        server.start_again();
        runtime().block_on(check(&place, &acknowledged, last));
    }
    assert!(last > 2, "there was load");
}
