//! Each runtime client does what its function asks: answers, errors, streams, logs.

use http_body_util::BodyExt;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn python_answers_and_knows_where_it_is() {
    let Some(mut function) = python("hello") else { return };
    function.aliases = vec!["live".to_owned()];
    function.memory_mb = 256;
    let lambda = Lambda::of([function]);
    let first = lambda.good("hello", json!({ "name": "Ada" })).await;
    assert_eq!(first["hello"], "Ada");
    assert_eq!(first["arn"], "arn:aws:lambda:eu-central-1:123456789012:function:hello");
    assert_eq!(first["memory"], "256");
    assert_eq!(first["trace"], "Root=1-5759e988-bd862e3fe1be46a994272793");
    let left = first["left"].as_u64().unwrap();
    assert!((1..=60_000).contains(&left), "{left}");

    let arn = "arn:aws:lambda:us-east-1:000000000000:function:hello:live";
    let mut second = invocation(arn, json!({}), InvocationKind::RequestResponse);
    // {"custom": {"k": "v"}}
    second.client_context = Some(HeaderValue::from_static("eyJjdXN0b20iOiB7ImsiOiAidiJ9fQ=="));
    let second = lambda.functions.invoke(second).await.unwrap();
    let second = second.body.collect().await.unwrap().to_bytes();
    let second: Value = serde_json::from_slice(&second).unwrap();
    assert_eq!(second["arn"], "arn:aws:lambda:eu-central-1:123456789012:function:hello:live");
    assert_eq!(second["custom"], json!({ "k": "v" }));
    // The same process, warm, and another request.
    assert_eq!((&second["pid"], &second["calls"]), (&first["pid"], &json!(2)));
    assert_ne!(second["requestId"], first["requestId"]);

    let id = text(&first, "requestId");
    for line in [
        "module is loaded".to_owned(),
        format!("START RequestId: {id} Version: $LATEST"),
        format!("END RequestId: {id}"),
        format!("REPORT RequestId: {id}\tDuration: "),
    ] {
        lambda.logged("hello", &line).await;
    }
    let log = lambda.log("hello");
    let reports: Vec<_> = log.lines().filter(|line| line.contains("REPORT")).collect();
    assert!(reports[0].contains("\tMemory Size: 256 MB\tMax Memory Used: "), "{log}");
    assert!(reports[0].contains("\tInit Duration: "), "{log}");
    lambda.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_is_a_function_error() {
    let Some(function) = python("raise") else { return };
    let lambda = Lambda::of([function].into_iter().chain(node("node", "app.handler")));
    let (error, answer) = lambda.call("raise", json!({ "do": "raise" })).await;
    assert_eq!(error.as_deref(), Some("Unhandled"));
    assert_eq!(
        (text(&answer, "errorType"), text(&answer, "errorMessage")),
        ("ValueError", "no luck")
    );
    assert!(answer["stackTrace"].is_array(), "{answer}");
    // The process lives on.
    assert_eq!(lambda.good("raise", json!({})).await["calls"], 2);
    if clients().node.is_some() {
        let (error, answer) = lambda.call("node", json!({ "do": "raise" })).await;
        assert_eq!(error.as_deref(), Some("Unhandled"));
        assert_eq!(text(&answer, "errorType"), "RangeError");
    }
    lambda.stop().await;
}

/// Lambda Developer Guide, "Working with Lambda environment variables".
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_lambdas_and_the_functions_own() {
    let Some(mut function) = python("env") else { return };
    function.environment.insert("TABLE".to_owned(), "orders".to_owned());
    let lambda = Lambda::of([function]);
    let answer = lambda.good("env", json!({ "do": "environment" })).await;
    let variables = &answer["variables"];
    let root = sources().join("python").canonicalize().unwrap();
    assert_eq!(answer["cwd"], json!(root));
    for (name, value) in [
        ("TABLE", "orders"),
        ("AWS_LAMBDA_FUNCTION_NAME", "env"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/env"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_python3.12"),
        ("LAMBDA_TASK_ROOT", root.to_str().unwrap()),
        ("_HANDLER", "app.handler"),
        ("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793"),
        ("TZ", ":UTC"),
        ("LANG", "en_US.UTF-8"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
    ] {
        assert_eq!(text(variables, name), value, "{name}");
    }
    // cargo gives the test a home and more; none of it arrives.
    for name in ["HOME", "CARGO_MANIFEST_DIR", "USER"] {
        assert_eq!(variables[name], Value::Null, "{name}");
    }
    lambda.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_answers_and_logs() {
    let Some(function) = node("node", "app.handler") else { return };
    let lambda = Lambda::of([function]);
    let answer = lambda.good("node", json!({ "name": "Grace" })).await;
    assert_eq!(answer["hello"], "Grace");
    lambda.good("node", json!({ "do": "print", "line": "printed by node" })).await;
    lambda.logged("node", "printed by node").await;
    let (error, answer) = lambda.call("node", json!({ "do": "exit" })).await;
    assert_eq!(error.as_deref(), Some("Unhandled"));
    assert_eq!(text(&answer, "errorType"), "Runtime.ExitError");
    lambda.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_answers_and_crashes() {
    let Some(function) = rust("rust") else { return };
    let lambda = Lambda::of([function]);
    let answer = lambda.good("rust", json!({ "name": "Barbara" })).await;
    assert_eq!(answer["hello"], "Barbara");
    let (error, answer) = lambda.call("rust", json!({ "do": "fail" })).await;
    assert_eq!((error.as_deref(), text(&answer, "errorMessage")), (Some("Unhandled"), "no luck"));
    let (_, answer) = lambda.call("rust", json!({ "do": "exit" })).await;
    let message = text(&answer, "errorMessage");
    assert!(message.ends_with("Error: Runtime exited with error: exit status 3"), "{message}");
    assert_eq!(lambda.good("rust", json!({ "name": "again" })).await["hello"], "again");
    lambda.stop().await;
}

/// The function makes the last part only when the test has read the first.
async fn first_byte_first(lambda: &Lambda, function: &str, prelude: bool) {
    let signal = lambda.folder.path().join("go");
    let event = json!({ "do": "stream", "until": signal });
    let invoked = lambda.invoke(function, event, InvocationKind::Stream).await.unwrap();
    assert_eq!(invoked.function_error, None);
    let mut body = invoked.body;
    let mut read = Vec::new();
    while !read.ends_with(b"first,") {
        let frame = body.frame().await.unwrap().unwrap();
        read.extend_from_slice(&frame.into_data().unwrap());
    }
    std::fs::write(&signal, "").unwrap();
    read.extend_from_slice(&body.collect().await.unwrap().to_bytes());
    let read = String::from_utf8(read).unwrap();
    assert!(read.ends_with("first,last"), "{read}");
    if prelude {
        let (metadata, payload) = read.split_once("\0\0\0\0\0\0\0\0").unwrap();
        let metadata: Value = serde_json::from_str(metadata).unwrap();
        assert_eq!((&metadata["statusCode"], payload), (&json!(201), "first,last"));
    }
    std::fs::remove_file(&signal).unwrap();
    // Whoever asks for it whole gets it whole.
    std::fs::write(&signal, "").unwrap();
    let event = json!({ "do": "stream", "until": signal });
    let (error, whole) = lambda.raw(function, event).await.unwrap();
    assert_eq!(error, None);
    assert!(whole.ends_with(b"first,last"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_stream_arrives_while_it_is_made() {
    let Some(function) = node("stream", "app.streaming") else { return };
    let lambda = Lambda::of([function]);
    first_byte_first(&lambda, "stream", true).await;
    lambda.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_stream_arrives_while_it_is_made() {
    let Some(function) = rust("stream") else { return };
    let lambda = Lambda::of([function]);
    first_byte_first(&lambda, "stream", false).await;
    lambda.stop().await;
}

/// A stream that breaks off has no proper end: Node's client says so in trailers, in Rust the process
/// is gone (its client writes the trailers into the body, so that nobody can tell).
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_no_whole_one() {
    let streams = [node("node", "app.streaming"), rust("rust")];
    let names: Vec<_> = streams.iter().flatten().map(|function| function.name.clone()).collect();
    let lambda = Lambda::of(streams.into_iter().flatten());
    for name in names {
        let signal = lambda.folder.path().join(format!("{name}-goes-on"));
        let event = json!({ "do": "stream", "until": signal, "breaks": true });
        let mut invoked = lambda.invoke(&name, event, InvocationKind::Stream).await.unwrap();
        assert!(invoked.body.frame().await.unwrap().is_ok(), "{name} has begun");
        std::fs::write(&signal, "").unwrap();
        assert!(invoked.body.collect().await.is_err(), "{name}");
    }
    lambda.stop().await;
}
