//! Packages: what may be unpacked, and when code counts as changed.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Handle;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::integration::lambda::local::code;
use crate::integration::lambda::local::unpack::{UnpackError, unpack};
use crate::integration::lambda::local::{
    Config, FunctionConfig, LocalFunctions, Package, Runtime, Runtimes,
};
use crate::net::clock::Clock;
use crate::net::tasks::Tasks;

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        // The same name twice is refused by the writer.
        if zip.start_file(*name, SimpleFileOptions::default()).is_ok() {
            zip.write_all(bytes).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

/// Unpacks into `inner` of a new folder, beside which nothing may appear.
fn unpacked(zip: &[u8]) -> (tempfile::TempDir, Result<(), UnpackError>) {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b/inner");
    fs::create_dir_all(&inner).unwrap();
    let outcome = unpack(Cursor::new(zip), &inner);
    for level in ["", "a", "a/b"] {
        let entries = fs::read_dir(folder.path().join(level)).unwrap().count();
        assert_eq!(entries, 1, "something lies in `{level}`");
    }
    (folder, outcome)
}

proptest! {
    #[test]
    fn nothing_escapes(
        names in prop::collection::vec("(\\.\\./|/|[a-c]{1,2}/|\\./|\\\\|\\.\\.|[a-c]{1,2}){1,5}", 1..6)
    ) {
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b"x"[..])).collect();
        let (_folder, _outcome) = unpacked(&zipped(&files));
    }

    #[test]
    fn damaged_files_are_refused_or_unpacked(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)
    ) {
        let mut zip = zipped(&[("app.py", b"print(1)"), ("lib/a.txt", &[7; 500]), ("d/", b"")]);
        for (place, byte) in changes {
            let place = place.index(zip.len());
            zip[place] = byte;
        }
        let (_folder, _outcome) = unpacked(&zip);
    }
}

#[test]
fn files_folders_and_modes_come_out() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let runs = SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bootstrap", runs).unwrap();
    zip.write_all(b"#!/bin/sh\n").unwrap();
    zip.add_directory("data", SimpleFileOptions::default()).unwrap();
    zip.start_file("data/a.txt", SimpleFileOptions::default().unix_permissions(0o600)).unwrap();
    let (folder, outcome) = unpacked(&zip.finish().unwrap().into_inner());
    outcome.unwrap();
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join("a/b/inner").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o111
    };
    assert_eq!((mode("bootstrap"), mode("data/a.txt")), (0o111, 0));
}

#[test]
fn links_and_names_that_go_up_are_refused() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let (_folder, outcome) = unpacked(&zip.finish().unwrap().into_inner());
    assert!(matches!(outcome, Err(UnpackError::Link(_))), "{outcome:?}");
    for name in ["../up", "/etc/cron.d/x", "a/../../x", "a\\..\\x"] {
        let (_folder, outcome) = unpacked(&zipped(&[(name, b"x")]));
        assert!(matches!(outcome, Err(UnpackError::Escapes(_))), "{name}: {outcome:?}");
    }
    let (_folder, outcome) = unpacked(b"PK no zip file at all");
    assert!(matches!(outcome, Err(UnpackError::Zip(_))), "{outcome:?}");
}

#[test]
fn what_a_person_changes_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let package = Package::Folder(folder.path().to_owned());
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("app.py", "one");
    let mut before = code::fingerprint(&package).unwrap();
    for (name, text, counts) in [
        ("app.py", "other", true),
        ("lib/deep/a.py", "new", true),
        ("__pycache__/app.pyc", "compiled", false),
        (".git/index", "staged", false),
        ("lib/__pycache__/a.pyc", "compiled", false),
    ] {
        write(name, text);
        let after = code::fingerprint(&package).unwrap();
        assert_eq!(after != before, counts, "{name}");
        before = after;
    }
    fs::remove_file(folder.path().join("app.py")).unwrap();
    assert_ne!(code::fingerprint(&package).unwrap(), before);
    assert!(code::fingerprint(&Package::Zip("/nowhere.zip".into())).is_err());
}

#[test]
fn a_zip_file_is_unpacked_once_and_removed_when_nobody_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (file, store) = (folder.path().join("f.zip"), folder.path().join("code"));
    fs::write(&file, zipped(&[("app.py", b"one")])).unwrap();
    let package = Package::Zip(file.clone());
    let first = code::unfold(&package, &store).unwrap();
    assert_eq!(fs::read(first.join("app.py")).unwrap(), b"one");
    fs::write(first.join("mark"), "").unwrap();
    assert_eq!(code::unfold(&package, &store).unwrap(), first);
    assert!(first.join("mark").exists());

    fs::write(&file, zipped(&[("app.py", b"two")])).unwrap();
    let second = code::unfold(&package, &store).unwrap();
    assert_ne!(first, second);
    fs::create_dir(store.join("not-ours")).unwrap();
    code::tidy(&store, &[&package]);
    assert!(!first.exists() && second.exists() && store.join("not-ours").exists());
    // A broken file leaves nothing half done.
    fs::write(&file, "PK").unwrap();
    assert!(code::unfold(&package, &store).is_err());
    let halves = |store: &Path| {
        let entries = fs::read_dir(store).unwrap().flatten();
        entries.filter(|entry| entry.path().extension().is_some()).count()
    };
    assert_eq!(halves(&store), 0);
}

/// Unpacking may cost seconds, and it fails alike until the file is another.
#[tokio::test]
async fn a_package_that_cannot_be_used_is_not_tried_again_until_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.zip");
    let good = zipped(&[("bootstrap", b"#!/bin/sh")]);
    fs::write(&file, vec![b'x'; good.len()]).unwrap();
    let runtime = Runtime::parse("provided").unwrap();
    let one = FunctionConfig::new("f", runtime, None, Package::Zip(file.clone()));
    let config = Config {
        functions: vec![one],
        aws_region: "eu-central-1".to_owned(),
        account_id: "123456789012".to_owned(),
        folder: folder.path().join("data"),
        runtimes: Runtimes::default(),
        event_retry_waits: [Duration::ZERO; 2],
    };
    let tasks = Tasks::new(Handle::current());
    let functions = LocalFunctions::new(config, &tasks, &Clock::system()).unwrap();
    let function = &functions.functions["f"];
    let first = function.look().await.unwrap_err().to_string();
    assert!(first.contains("no zip file"), "{first}");
    // Another package in a file that looks as before: only who reads it would know.
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, &good).unwrap();
    let opened = fs::File::options().write(true).open(&file).unwrap();
    opened.set_modified(modified).unwrap();
    assert_eq!(function.look().await.unwrap_err().to_string(), first);
    opened.set_modified(modified + Duration::from_secs(1)).unwrap();
    function.look().await.unwrap();
    assert!(function.pool.has_code());
}
