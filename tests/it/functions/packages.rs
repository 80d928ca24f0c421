//! Where code comes from: folders, zip files, changes, and what cannot begin.

use std::io::Write;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

fn answering(word: &str) -> String {
    format!("def handler(event, context):\n    return '{word}'\n")
}

fn zip(path: &Path, files: &[(&str, &str)]) {
    // Replaced at once, as tools do.
    let new = path.with_extension("new");
    let mut zip = ZipWriter::new(std::fs::File::create(&new).unwrap());
    for (name, text) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Calls until the answer is this: a change is looked for twice a second.
async fn becomes(lambda: &Lambda, function: &str, wanted: &str) {
    let end = Instant::now() + PATIENCE;
    while lambda.good(function, json!({})).await != wanted {
        assert!(Instant::now() < end, "the change was not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_code_is_noticed_in_folders_and_zips() {
    let Some(function) = python("folder") else { return };
    let packages = tempfile::tempdir().unwrap();
    let (folder, file) = (packages.path().join("code"), packages.path().join("code.zip"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("app.py"), answering("one")).unwrap();
    zip(&file, &[("app.py", &answering("one")), ("data/", ""), ("data/a.txt", "a")]);
    let in_folder = FunctionConfig { package: Package::Folder(folder.clone()), ..function };
    let in_zip = FunctionConfig {
        name: "zip".to_owned(),
        package: Package::Zip(file.clone()),
        ..in_folder.clone()
    };
    let lambda = Lambda::of([in_folder, in_zip]);
    for name in ["folder", "zip"] {
        assert_eq!(lambda.good(name, json!({})).await, "one");
    }
    std::fs::write(folder.join("app.py"), answering("two, now")).unwrap();
    zip(&file, &[("app.py", &answering("two, now"))]);
    for name in ["folder", "zip"] {
        becomes(&lambda, name, "two, now").await;
    }
    // What cannot be used leaves the old code at work.
    std::fs::write(&file, "no zip file").unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(lambda.good("zip", json!({})).await, "two, now");
    lambda.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_begin_says_why() {
    let Some(function) = python("missing") else { return };
    let packages = tempfile::tempdir().unwrap();
    std::fs::write(packages.path().join("dies.py"), "import os\nos._exit(4)\n").unwrap();
    std::fs::write(packages.path().join("bad.zip"), "PK no").unwrap();
    let missing = FunctionConfig { handler: Some("nowhere.handler".to_owned()), ..function };
    let dies = FunctionConfig {
        name: "dies".to_owned(),
        handler: Some("dies.handler".to_owned()),
        package: Package::Folder(packages.path().to_owned()),
        ..missing.clone()
    };
    let no_program = FunctionConfig {
        name: "no-program".to_owned(),
        runtime: Runtime::parse("provided").unwrap(),
        ..dies.clone()
    };
    let no_zip = FunctionConfig {
        name: "no-zip".to_owned(),
        package: Package::Zip(packages.path().join("bad.zip")),
        ..dies.clone()
    };
    let lambda = Lambda::of([missing, dies, no_program, no_zip]);
    for (name, kind) in [
        ("missing", "Runtime.ImportModuleError"),
        ("dies", "Runtime.ExitError"),
        ("no-program", "Runtime.InvalidEntrypoint"),
    ] {
        // The second time it is started anew, and the third time after a pause.
        for _ in 0..3 {
            let (error, answer) = lambda.call(name, json!({})).await;
            assert_eq!(error.as_deref(), Some("Unhandled"), "{name}: {answer}");
            assert_eq!(text(&answer, "errorType"), kind, "{name}: {answer}");
        }
    }
    for _ in 0..2 {
        let error = lambda.raw("no-zip", json!({})).await.unwrap_err();
        assert!(matches!(error, InvokeError::Service { status: 502, .. }), "{error}");
    }
    let error = lambda.raw("nobody", json!({})).await.unwrap_err();
    assert!(matches!(error, InvokeError::NotFound(_)), "{error}");
    let error = lambda.raw("dies:unknown", json!({})).await.unwrap_err();
    assert!(matches!(error, InvokeError::NotFound(_)), "{error}");
    assert!(lambda.functions.find("dies").is_some());
    assert!(lambda.functions.find("dies:unknown").is_none());
    lambda.logged("dies", "INIT_REPORT Init Duration: ").await;
    lambda.stop().await;
}
