//! The control plane's store on real databases: the same promises on SQLite and on PostgreSQL.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tidegate::store::control::{
    Body, Config, ControlError, ControlStore, DatabaseConfig, KeySource, Kind, PostgresUrl, State,
    Txn, backup,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::process::{PATIENCE, run};
use crate::store_place::{Place, Server, open, runtime};

/// Each test once per engine.
macro_rules! on_both {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        mod sqlite {
            use super::*;
            $($(#[$doc])* #[test] fn $name() { runtime().block_on(super::$name(Place::sqlite())); })*
        }
        mod postgres {
            use super::*;
            $($(#[$doc])* #[test] fn $name() { runtime().block_on(super::$name(Place::postgres())); })*
        }
    };
}

on_both! {
    a_change_is_there_for_all_and_after_a_restart;
    a_refused_or_empty_call_writes_nothing;
    no_update_is_lost_among_32_writers_of_two_processes;
    first_starts_at_once_agree;
    others_hear_of_a_change;
    a_call_that_is_dropped_is_committed_or_not_but_whole;
    who_missed_pruned_deletions_reads_all;
    the_wrong_key_is_named;
    a_missing_key_file_is_not_made_anew;
    nothing_is_kept_in_the_clear;
    tampered_rows_are_refused;
    a_newer_schema_is_refused;
    pictures_are_what_the_database_holds;
}

fn body(value: u64) -> Body {
    json!({ "value": value }).as_object().cloned().unwrap()
}

fn value(state: &State, id: &str) -> Option<u64> {
    state.get(Kind::Model, "api", id).and_then(|object| object.body["value"].as_u64())
}

async fn put(store: &ControlStore, id: &str, value: u64) -> u64 {
    let done = store
        .transact(|txn| {
            txn.put(Kind::Model, "api", id, body(value));
            Ok::<_, ()>(())
        })
        .await;
    done.unwrap().unwrap().revision
}

async fn delete(store: &ControlStore, id: &str) -> u64 {
    let work = |txn: &mut Txn| Ok::<_, ()>(txn.delete(Kind::Model, "api", id));
    let done = store.transact(work).await.unwrap().unwrap();
    assert!(done.value, "it was there");
    done.revision
}

/// Waits until the follower has a revision.
async fn reaches(store: &ControlStore, revision: u64) {
    let mut changes = store.changes();
    let reached = changes.wait_for(|now| *now >= revision);
    timeout(PATIENCE, reached).await.expect("the follower follows").unwrap();
}

fn everything(state: &State) -> BTreeMap<(Kind, String, String), (u64, String)> {
    let mut all = BTreeMap::new();
    for kind in Kind::ALL {
        for (scope, id, object) in state.all(*kind) {
            let text = serde_json::to_string(&*object.body).unwrap();
            all.insert((*kind, scope.to_string(), id.to_string()), (object.revision, text));
        }
    }
    all
}

/// Changes the database behind the store's back.
async fn meddle(place: &Place, statement: &'static str) {
    match &place.config.database {
        DatabaseConfig::Sqlite { path } => {
            let mut open = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
            sqlx::raw_sql(statement).execute(&mut open).await.unwrap();
            open.close().await.unwrap();
        }
        DatabaseConfig::Postgres { url, .. } => {
            let url = url.to_string();
            Server::shared().tell(url.rsplit_once('/').unwrap().1, statement);
        }
    }
}

async fn a_change_is_there_for_all_and_after_a_restart(place: Place) {
    let opened = place.open().await;
    assert_eq!(opened.current().revision, 0);
    assert_eq!(put(&opened, "m", 1).await, 1);
    assert_eq!(value(&opened.current(), "m"), Some(1), "at once");
    assert_eq!(*opened.changes().borrow(), 1);
    put(&opened, "gone", 1).await;
    assert_eq!(delete(&opened, "gone").await, 3);
    let before = everything(&opened.current());
    opened.close().await;

    let again = place.open().await;
    assert_eq!(again.current().revision, 3);
    assert_eq!(everything(&again.current()), before);
    assert_eq!(before.len(), 1);
    again.close().await;
}

async fn a_refused_or_empty_call_writes_nothing(place: Place) {
    let opened = place.open().await;
    put(&opened, "m", 1).await;
    let before = opened.current();
    let refused = opened
        .transact(|txn| {
            txn.put(Kind::Model, "api", "m", body(9));
            txn.delete(Kind::Model, "api", "m");
            Err::<(), _>("no")
        })
        .await;
    assert_eq!(refused.unwrap().unwrap_err(), "no");
    let same = put(&opened, "m", 1).await;
    assert_eq!(same, before.revision, "the same body again is no change");
    let read = opened.transact(|txn| Ok::<_, ()>(txn.contains(Kind::Model, "api", "m"))).await;
    assert!(read.unwrap().unwrap().value);
    assert!(Arc::ptr_eq(&before, &opened.current()));

    // What is larger than any row may be is refused whole.
    let huge = opened
        .transact(|txn| {
            txn.put(Kind::Model, "api", "first", body(1));
            let text = json!({ "x": "x".repeat(40 << 20) });
            txn.put(Kind::Model, "api", "huge", text.as_object().cloned().unwrap());
            Ok::<_, ()>(())
        })
        .await;
    assert!(matches!(huge, Err(ControlError::TooLarge { .. })), "{huge:?}");
    assert!(Arc::ptr_eq(&before, &opened.current()));
    opened.close().await;
}

async fn no_update_is_lost_among_32_writers_of_two_processes(place: Place) {
    const WRITERS: usize = 32;
    const CALLS: u64 = 10;
    // Two stores share nothing but the database.
    let (one, two) = (place.open().await, place.open().await);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = if writer % 2 == 0 { one.store.clone() } else { two.store.clone() };
        writers.spawn(async move {
            for _ in 0..CALLS {
                let done = store.transact(|txn| {
                    let counter = txn.get(Kind::Model, "api", "counter");
                    let count = counter.map_or(0, |body| body["value"].as_u64().unwrap());
                    txn.put(Kind::Model, "api", "counter", body(count + 1));
                    txn.put(Kind::Model, "api", &format!("w{writer}"), body(count + 1));
                    Ok::<_, ()>(())
                });
                done.await.unwrap().unwrap();
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    let all = WRITERS as u64 * CALLS;
    for opened in [&one, &two] {
        reaches(opened, all).await;
        assert_eq!(opened.current().revision, all, "one revision each");
        assert_eq!(value(&opened.current(), "counter"), Some(all));
    }
    assert_eq!(everything(&one.current()), everything(&two.current()));
    one.close().await;
    two.close().await;
}

async fn first_starts_at_once_agree(place: Place) {
    // In tasks of their own, so that they do meet.
    let starts: Vec<_> = (0..6).map(|_| tokio::spawn(open(place.config.clone()))).collect();
    let mut opened = Vec::new();
    for start in starts {
        opened.push(start.await.unwrap().unwrap());
    }
    let mut last = 0;
    for (index, one) in opened.iter().enumerate() {
        let revision = put(one, &format!("m{index}"), 1).await;
        assert_eq!(revision, last + 1);
        last = revision;
    }
    for one in opened {
        reaches(&one, last).await;
        assert_eq!(one.current().all(Kind::Model).count(), 6);
        one.close().await;
    }
}

async fn others_hear_of_a_change(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    for round in 1..=3 {
        let revision = put(&one, "m", round).await;
        reaches(&two, revision).await;
        assert_eq!(value(&two.current(), "m"), Some(round));
    }
    let revision = delete(&one, "m").await;
    reaches(&two, revision).await;
    assert_eq!(value(&two.current(), "m"), None);
    // A handler that would refuse because of an old picture gets the new one first.
    put(&one, "fresh", 1).await;
    let found =
        two.transact(|txn| txn.get(Kind::Model, "api", "fresh").ok_or("it does not exist")).await;
    assert!(found.unwrap().is_ok());
    assert!(two.heard_at().as_millis() > 0);
    one.close().await;
    two.close().await;
}

async fn a_call_that_is_dropped_is_committed_or_not_but_whole(place: Place) {
    let opened = place.open().await;
    for round in 0..40_u64 {
        let store = opened.store.clone();
        let call = async move {
            let done = store.transact(|txn| {
                txn.put(Kind::Model, "api", "left", body(round));
                txn.put(Kind::Model, "api", "right", body(round));
                Ok::<_, ()>(())
            });
            done.await.unwrap().unwrap();
        };
        // Dropped somewhere on its way, or too late.
        timeout(Duration::from_micros(round * 150), call).await.ok();
    }
    let last = put(&opened, "last", 1).await;
    let state = opened.current();
    assert_eq!(state.revision, last);
    assert_eq!(value(&state, "left"), value(&state, "right"));
    let before = everything(&state);
    opened.close().await;
    let again = place.open().await;
    assert_eq!(everything(&again.current()), before, "the picture went with the database");
    again.close().await;
}

async fn who_missed_pruned_deletions_reads_all(place: Place) {
    let one = place.open().await;
    put(&one, "gone", 1).await;
    put(&one, "stays", 2).await;
    let two = place.open().await;
    let picture = two.current();
    assert_eq!(one.prune(0).await.unwrap(), 0, "nothing was deleted");
    // The second one may hear of a deletion before it is pruned, or only of the absence.
    for round in 0..5 {
        put(&one, "brief", round).await;
        delete(&one, "brief").await;
        delete(&one, "gone").await;
        assert_eq!(one.prune(1).await.unwrap(), 1, "the last revision's stays");
        assert_eq!(one.prune(0).await.unwrap(), 1);
        put(&one, "gone", 1).await;
    }
    delete(&one, "gone").await;
    assert_eq!(one.prune(0).await.unwrap(), 1);
    let revision = put(&one, "late", 3).await;
    reaches(&two, revision).await;
    assert_eq!(value(&picture, "gone"), Some(1), "pictures never change");
    assert_eq!(everything(&two.current()), everything(&one.current()));
    assert_eq!(value(&two.current(), "gone"), None);
    one.close().await;
    two.close().await;
}

async fn the_wrong_key_is_named(place: Place) {
    let opened = place.open().await;
    put(&opened, "m", 1).await;
    opened.close().await;
    let right = fs::read_to_string(place.key_file()).unwrap();
    fs::write(place.key_file(), "0".repeat(64)).unwrap();
    let error = place.try_open().await.unwrap_err();
    assert!(matches!(error, ControlError::WrongKey { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("control.key") && said.contains("another key"), "{said}");
    assert!(!said.contains(right.trim()) && !said.contains("0000000"), "{said}");

    // The same key from a command is the same key.
    fs::write(place.key_file(), &right).unwrap();
    let words = ["cat", place.key_file().to_str().unwrap()].map(str::to_owned).to_vec();
    let config = Config { key: KeySource::Command(words), ..place.config.clone() };
    let opened = open(config).await.unwrap();
    assert_eq!(value(&opened.current(), "m"), Some(1));
    opened.close().await;
}

async fn a_missing_key_file_is_not_made_anew(place: Place) {
    place.open().await.close().await;
    let mode = fs::metadata(place.key_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::remove_file(place.key_file()).unwrap();
    let error = place.try_open().await.unwrap_err();
    assert!(error.to_string().contains("control.key is missing"), "{error}");
    assert!(!place.key_file().exists());
}

async fn nothing_is_kept_in_the_clear(place: Place) {
    const SECRET: &str = "correct-horse-battery-staple";
    let opened = place.open().await;
    let done = opened
        .transact(|txn| {
            let body = json!({ "value": SECRET }).as_object().cloned().unwrap();
            txn.put(Kind::ApiKey, "", "k", body);
            Ok::<_, ()>(())
        })
        .await;
    done.unwrap().unwrap();
    let mut files = Vec::new();
    if let DatabaseConfig::Sqlite { path } = &place.config.database {
        for end in ["", "-wal"] {
            let path = format!("{}{end}", path.display());
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{path}");
            files.push(fs::read(&path).unwrap());
        }
        let found = |bytes: &[u8], what: &str| {
            bytes.windows(what.len()).any(|window| window == what.as_bytes())
        };
        assert!(files.iter().any(|bytes| found(bytes, "api-key")), "this is where it is");
        assert!(!files.iter().any(|bytes| found(bytes, SECRET)));
    } else {
        // Fails with a division by zero if the text is in any row.
        meddle(
            &place,
            "SELECT 1 / (CASE WHEN COUNT(*) = 0 THEN 1 ELSE 0 END) FROM objects \
             WHERE position('correct-horse-battery-staple'::bytea IN body) > 0; \
             SELECT 1 / COUNT(*) FROM objects WHERE kind = 'api-key'",
        )
        .await;
    }
    opened.close().await;
}

async fn tampered_rows_are_refused(place: Place) {
    let opened = place.open().await;
    put(&opened, "a", 1).await;
    put(&opened, "b", 2).await;
    opened.close().await;
    meddle(
        &place,
        "UPDATE objects SET body = (SELECT body FROM objects WHERE id = 'b') WHERE id = 'a'",
    )
    .await;
    let error = place.try_open().await.unwrap_err();
    assert!(matches!(error, ControlError::Sealed { .. }), "{error}");
    assert!(error.to_string().contains("model api/a cannot be opened"), "{error}");
}

async fn a_newer_schema_is_refused(place: Place) {
    place.open().await.close().await;
    meddle(
        &place,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'later', TRUE, '', 0)",
    )
    .await;
    for _ in 0..2 {
        let error = place.try_open().await.unwrap_err();
        assert!(matches!(error, ControlError::Newer { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("newer Tidegate") && said.contains("form 999"), "{said}");
    }
    // So are rows that only a newer one writes.
    meddle(&place, "DELETE FROM _sqlx_migrations WHERE version = 999").await;
    meddle(&place, "INSERT INTO objects VALUES ('hologram', '', 'x', 1, '')").await;
    let error = place.try_open().await.unwrap_err();
    assert!(error.to_string().contains("it holds a `hologram`"), "{error}");
}

/// A picture made change by change, one that followed them, and one read from the database.
async fn pictures_are_what_the_database_holds(place: Place) {
    let step = (0..3_u8, 0..4_u8, proptest::option::weighted(0.6, 0..3_u64));
    let calls = proptest::collection::vec(proptest::collection::vec(step, 0..5), 1..8);
    let mut cases = TestRunner::deterministic();
    let (writer, follower) = (place.open().await, place.open().await);
    let mut model: BTreeMap<(String, String), u64> = BTreeMap::new();
    for _ in 0..12 {
        let calls = calls.new_tree(&mut cases).unwrap().current();
        for call in calls {
            let done = writer
                .transact(|txn| {
                    for (scope, id, value) in &call {
                        let (scope, id) = (scope.to_string(), id.to_string());
                        match value {
                            Some(value) => txn.put(Kind::Model, &scope, &id, body(*value)),
                            None => {
                                txn.delete(Kind::Model, &scope, &id);
                            }
                        }
                    }
                    Ok::<_, ()>(())
                })
                .await;
            done.unwrap().unwrap();
            for (scope, id, value) in &call {
                let key = (scope.to_string(), id.to_string());
                match value {
                    Some(value) => model.insert(key, *value),
                    None => model.remove(&key),
                };
            }
        }
        let state = writer.current();
        let held: BTreeMap<_, _> = state
            .all(Kind::Model)
            .map(|(scope, id, object)| {
                ((scope.to_string(), id.to_string()), object.body["value"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(held, model);
        reaches(&follower, state.revision).await;
        assert_eq!(everything(&follower.current()), everything(&state));
        let reader = place.open().await;
        assert_eq!(reader.current().revision, state.revision);
        assert_eq!(everything(&reader.current()), everything(&state));
        reader.close().await;
    }
    writer.close().await;
    follower.close().await;
}

// ---- SQLite only

#[test]
fn a_damaged_file_is_named_with_the_way_back() {
    runtime().block_on(async {
        let place = Place::sqlite();
        let DatabaseConfig::Sqlite { path } = &place.config.database else { panic!() };
        let opened = place.open().await;
        for index in 0..200 {
            put(&opened, &format!("m{index}"), index).await;
        }
        opened.close().await;
        let whole = fs::read(path).unwrap();
        assert!(whole.len() > 4 * 4096);

        let mut torn = whole.clone();
        for byte in &mut torn[2 * 4096..3 * 4096] {
            *byte = 0x55;
        }
        for damaged in [&b"this is no database, but long enough to be taken for one"[..], &torn] {
            fs::write(path, damaged).unwrap();
            let error = place.try_open().await.unwrap_err();
            assert!(matches!(error, ControlError::Damaged { .. }), "{error}");
            let said = error.to_string();
            assert!(said.contains("control.db") && said.contains("tidegate backup"), "{said}");
        }
        fs::write(path, whole).unwrap();
        assert_eq!(value(&place.open().await.current(), "m199"), Some(199));
    });
}

#[test]
fn a_backup_under_load_is_one_consistent_picture() {
    runtime().block_on(async {
        let place = Place::sqlite();
        let opened = place.open().await;
        put(&opened, "left", 0).await;
        let stop = Arc::new(AtomicUsize::new(0));
        let writing = {
            let (store, stop) = (opened.store.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut count = 0;
                while stop.load(Ordering::Relaxed) == 0 {
                    count += 1;
                    let done = store.transact(|txn| {
                        txn.put(Kind::Model, "api", "left", body(count));
                        txn.put(Kind::Model, "api", "right", body(count));
                        Ok::<_, ()>(())
                    });
                    done.await.unwrap().unwrap();
                }
                count
            })
        };
        let mut last = 0;
        for round in 0..5 {
            reaches(&opened, last + 5).await;
            let file = place.folder.path().join(format!("copy-{round}.db"));
            let made = backup(&place.config.database, &file).await.unwrap();
            assert!(made.revision > last && made.objects >= 1 && made.bytes > 0);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            let copy = Config {
                database: DatabaseConfig::Sqlite { path: file.clone() },
                ..place.config.clone()
            };
            let restored = open(copy).await.unwrap();
            let state = restored.current();
            assert_eq!(state.revision, made.revision);
            assert_eq!(value(&state, "left"), value(&state, "right"));
            restored.close().await;
            let again = backup(&place.config.database, &file).await.unwrap_err();
            assert!(again.to_string().contains("never overwrite"), "{again}");
            last = made.revision;
        }
        stop.store(1, Ordering::Relaxed);
        assert!(writing.await.unwrap() > 5);
        opened.close().await;
        let names = fs::read_dir(place.folder.path()).unwrap();
        let left: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".new"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn the_command_backs_up_beside_a_running_region() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data/region");
    let database = DatabaseConfig::Sqlite { path: data.join("control.db") };
    let key = KeySource::File(data.join("control.key"));
    let none = run(folder.path(), &["backup", "copy.db", "--data", "data"]);
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.err.contains("data/region/control.db"), "{none:?}");
    assert!(!folder.path().join("copy.db").exists());

    runtime().block_on(async {
        let opened = open(Config { database, key }).await.unwrap();
        put(&opened, "m", 5).await;
        let ended = run(folder.path(), &["backup", "copy.db", "--data", "data"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out.contains("backed up 1 objects at revision 1 to copy.db"), "{ended:?}");
        assert!(ended.out.contains("key file data/region/control.key"), "{ended:?}");
        put(&opened, "m", 6).await;
        opened.close().await;
    });
    let again = run(folder.path(), &["backup", "copy.db", "--data", "data"]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("never overwrite"), "{again:?}");

    let topology = "[region]\n[region.store]\nurl = \"postgres://gate:secret@db/control\"\n\
                    password_file = \"/etc/gate's.pw\"\n";
    fs::write(folder.path().join("t.toml"), topology).unwrap();
    let told = run(folder.path(), &["backup", "x.dump", "--topology", "t.toml"]);
    assert_eq!(told.code, Some(1));
    let command = r#"PGPASSWORD="$(cat '/etc/gate'\''s.pw')" pg_dump --format=custom --file='x.dump' 'postgres://gate@db:5432/control'"#;
    assert!(told.err.contains(command), "{told:?}");
    assert!(!told.err.contains("secret"));
}

/// Tests pause tokio's clock, which then jumps to the next timer whenever nobody is at work. A disk
/// at work is somebody.
#[test]
fn paused_time_stands_while_the_disk_works() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let place = Place::sqlite();
        let begin = tokio::time::Instant::now();
        let opened = place.open().await;
        for round in 0..50 {
            put(&opened, "m", round).await;
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
        opened.close().await;
    });
}

// ---- PostgreSQL only

/// By polling alone each of these would take up to two seconds.
#[test]
fn changes_are_told_at_once() {
    const CHANGES: u32 = 15;
    runtime().block_on(async {
        let place = Place::postgres();
        let (one, two) = (place.open().await, place.open().await);
        // From here on it listens.
        let revision = put(&one, "m", 0).await;
        reaches(&two, revision).await;
        let begin = std::time::Instant::now();
        for round in 1..=CHANGES {
            let revision = put(&one, "m", round.into()).await;
            reaches(&two, revision).await;
        }
        let each = begin.elapsed() / CHANGES;
        eprintln!("a change is committed and heard of by another process in {each:?}");
        assert!(each < Duration::from_secs(1), "{each:?}");
        one.close().await;
        two.close().await;
    });
}

#[test]
fn unreachable_servers_and_wrong_passwords_are_named() {
    runtime().block_on(async {
        let server = Server::shared();
        server.tell("postgres", "CREATE ROLE locked LOGIN PASSWORD 'open sesame'");
        let database = server.new_database();
        let name = database.rsplit_once('/').unwrap().1;
        server.tell(name, "GRANT ALL ON SCHEMA public TO locked");
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        let config = |url: &str, password_file: Option<&Path>| Config {
            database: DatabaseConfig::Postgres {
                url: PostgresUrl::new(url).unwrap(),
                password_file: password_file.map(Path::to_owned),
            },
            key: KeySource::File(folder.path().join("control.key")),
        };
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = server.url_of("locked", name);
        fs::write(&password, "guess\n").unwrap();
        for (config, says) in [
            (config(&format!("postgres://u:hidden@{free}/d"), None), "Connection refused"),
            (config(&server.url("nowhere"), None), "\"nowhere\" does not exist"),
            (config(&url, Some(&password)), "password authentication failed"),
        ] {
            let error = open(config).await.unwrap_err();
            assert!(matches!(error, ControlError::Unreachable { .. }), "{error}");
            let said = error.to_string();
            assert!(said.contains(says) && said.contains("postgres://"), "{said}");
            assert!(!said.contains("hidden") && !said.contains("guess"), "{said}");
        }
        let gone = folder.path().join("gone");
        let error = open(config(&url, Some(&gone))).await.unwrap_err();
        assert!(error.to_string().contains("gone: is missing"), "{error}");
        assert!(!folder.path().join("control.key").exists(), "no key without a database");

        fs::write(&password, "open sesame\n").unwrap();
        let opened = open(config(&url, Some(&password))).await.unwrap();
        assert_eq!(put(&opened, "m", 1).await, 1);
        opened.close().await;
    });
}

/// Connections that the server cuts, the listening one included, are made again.
#[test]
fn a_cut_connection_is_made_again() {
    runtime().block_on(async {
        let place = Place::postgres();
        let (one, two) = (place.open().await, place.open().await);
        let revision = put(&one, "m", 1).await;
        reaches(&two, revision).await;
        meddle(
            &place,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
        for round in 2..5 {
            let done = loop {
                let done = one
                    .transact(|txn| {
                        txn.put(Kind::Model, "api", "m", body(round));
                        Ok::<_, ()>(())
                    })
                    .await;
                match done {
                    Ok(done) => break done.unwrap(),
                    Err(error) => assert!(error.is_temporary(), "{error}"),
                }
            };
            reaches(&two, done.revision).await;
            assert_eq!(value(&two.current(), "m"), Some(round));
        }
        one.close().await;
        two.close().await;
    });
}
