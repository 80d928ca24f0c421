//! Names, runtimes, environments.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::integration::lambda::local::config::{
    FunctionConfig, Package, Runtime, RuntimeKind, Runtimes,
};
use crate::integration::lambda::local::environment::{self, Launch, Place};
use crate::integration::lambda::local::names::{self, Reference};

/// Lambda API Reference, "Invoke", `FunctionName`.
#[test]
fn functions_are_named_in_three_ways() {
    for (text, expected) in [
        ("f", Some(("f", None))),
        ("f:live", Some(("f", Some("live")))),
        ("f:$LATEST", Some(("f", Some("$LATEST")))),
        ("function:f:1", Some(("f", Some("1")))),
        ("123456789012:function:f", Some(("f", None))),
        ("123456789012:function:f:7", Some(("f", Some("7")))),
        ("arn:aws:lambda:eu-central-1:123456789012:function:my-f_2", Some(("my-f_2", None))),
        ("arn:aws-cn:lambda:cn-north-1:1:function:f:live", Some(("f", Some("live")))),
        ("arn:aws:lambda:eu-central-1:123456789012:function:f:live:x", None),
        ("arn:aws:lambda:eu-central-1:123456789012:layer:f", None),
        ("arn:aws:s3:eu-central-1:123456789012:function:f", None),
        ("arn:aws:lambda:eu-central-1", None),
        ("1234:function:f", None),
        ("", None),
        (":live", None),
        ("f:", None),
        ("../f", None),
        ("a b", None),
    ] {
        let expected = expected.map(|(name, qualifier)| Reference { name, qualifier });
        assert_eq!(names::parse(text), expected, "{text}");
    }
    assert!(names::is_name(&"f".repeat(64)) && !names::is_name(&"f".repeat(65)));
}

/// Lambda Developer Guide, "Lambda runtimes".
#[test]
fn runtimes_are_known_by_kind() {
    for (text, kind) in [
        ("python3.9", Some(RuntimeKind::Python)),
        ("python3.14", Some(RuntimeKind::Python)),
        ("nodejs22.x", Some(RuntimeKind::NodeJs)),
        ("provided", Some(RuntimeKind::Provided)),
        ("provided.al2023", Some(RuntimeKind::Provided)),
        ("python2.7", None),
        ("python3.", None),
        ("nodejs.x", None),
        ("nodejs22", None),
        ("provided.", None),
        ("java21", None),
        ("", None),
    ] {
        assert_eq!(Runtime::parse(text).map(|runtime| runtime.kind), kind, "{text}");
    }
}

fn launched(runtime: &str, command: Option<&[&str]>) -> Launch {
    let runtime = Runtime::parse(runtime).unwrap();
    let package = Package::Folder("/code".into());
    let mut function = FunctionConfig::new("f", runtime, Some("app.handler"), package);
    function.command = command.map(|words| words.iter().map(|&word| word.to_owned()).collect());
    function.environment.insert("PATH".to_owned(), "/mine".to_owned());
    let runtimes = Runtimes {
        python_client: Some("/clients/python".into()),
        node_client: Some("/clients/node".into()),
        ..Runtimes::default()
    };
    let place = Place {
        aws_region: "eu-central-1",
        root: Path::new("/code"),
        runtime_api: "127.0.0.1:9001".parse().unwrap(),
        log_stream: "stream",
    };
    environment::launch(&function, &runtimes, place)
}

#[test]
fn each_runtime_has_its_program() {
    let line = |launch: &Launch| {
        let mut line = vec![launch.program.clone().into_os_string()];
        line.extend(launch.arguments.clone());
        line
    };
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let python = launched("python3.12", None);
    assert_eq!(line(&python), words(&["python3", "-m", "awslambdaric", "app.handler"]));
    let node = launched("nodejs22.x", None);
    assert_eq!(line(&node), words(&["node", "/clients/node/index.mjs", "app.handler"]));
    assert_eq!(line(&launched("provided", None)), words(&["/code/bootstrap"]));
    for (command, expected) in [
        (&["./server", "-v"][..], &["/code/./server", "-v"][..]),
        (&["server"], &["server"]),
        (&["/bin/server"], &["/bin/server"]),
    ] {
        assert_eq!(line(&launched("provided", Some(command))), words(expected));
    }
}

#[test]
fn the_last_word_on_a_variable_is_lambdas() {
    let value = |launch: &Launch, name: &str| {
        let found = launch.environment.iter().rfind(|(key, _)| key == name);
        found.map(|(_, value)| PathBuf::from(value).display().to_string())
    };
    let launch = launched("python3.12", None);
    assert_eq!(value(&launch, "PATH").as_deref(), Some("/mine"));
    assert_eq!(value(&launch, "PYTHONPATH").as_deref(), Some("/clients/python"));
    assert_eq!(value(&launch, "AWS_LAMBDA_RUNTIME_API").as_deref(), Some("127.0.0.1:9001"));
    assert_eq!(value(&launch, "LD_LIBRARY_PATH").as_deref(), Some("/code:/code/lib"));
    assert_eq!(value(&launched("provided", None), "AWS_EXECUTION_ENV"), None);
    for (name, may) in [
        ("TABLE", true),
        ("AWS_ACCESS_KEY_ID", true),
        ("_private", true),
        ("AWS_REGION", false),
        ("_HANDLER", false),
        ("AWS_LAMBDA_RUNTIME_API", false),
        ("1A", false),
        ("A=B", false),
        ("", false),
    ] {
        assert_eq!(environment::may_set(name), may, "{name}");
    }
}
