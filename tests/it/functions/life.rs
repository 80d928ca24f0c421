//! How processes live and end: late, dead, too large, too many.

use std::collections::HashSet;

use futures_util::future::join_all;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_crashes_is_replaced() {
    let Some(function) = python("crash") else { return };
    let lambda = Lambda::of([function]);
    let first = lambda.good("crash", json!({})).await;
    let (error, answer) = lambda.call("crash", json!({ "do": "exit", "code": 7 })).await;
    assert_eq!(error.as_deref(), Some("Unhandled"));
    assert_eq!(text(&answer, "errorType"), "Runtime.ExitError");
    let message = text(&answer, "errorMessage");
    assert!(message.starts_with("RequestId: "), "{message}");
    assert!(message.ends_with(" Error: Runtime exited with error: exit status 7"), "{message}");
    let (_, clean) = lambda.call("crash", json!({ "do": "exit", "code": 0 })).await;
    let message = text(&clean, "errorMessage");
    assert!(message.ends_with(" Error: Runtime exited without providing a reason"), "{message}");
    let second = lambda.good("crash", json!({})).await;
    assert_ne!(first["pid"], second["pid"]);
    assert_eq!(second["calls"], 1);
    lambda.logged("crash", "Status: error\tError Type: Runtime.ExitError").await;
    lambda.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_late_is_killed() {
    let Some(mut function) = python("late") else { return };
    function.timeout = Duration::from_secs(1);
    let lambda = Lambda::of([function]);
    let (error, answer) = lambda.call("late", json!({ "do": "sleep", "seconds": 600 })).await;
    assert_eq!(error.as_deref(), Some("Unhandled"));
    assert_eq!(text(&answer, "errorType"), "Sandbox.Timedout");
    let message = text(&answer, "errorMessage");
    assert!(message.ends_with(" Task timed out after 1.00 seconds"), "{message}");
    lambda.logged("late", "Status: timeout").await;
    lambda.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_be_less_patient_than_the_function() {
    let Some(function) = python("slow") else { return };
    let lambda = Lambda::of([function]);
    let pid = lambda.good("slow", json!({})).await["pid"].clone();
    let mut call =
        invocation("slow", json!({ "do": "sleep", "seconds": 0.5 }), InvocationKind::RequestResponse);
    call.deadline = Instant::now() + Duration::from_millis(100);
    let error = lambda.functions.invoke(call).await.unwrap_err();
    assert!(matches!(error, InvokeError::TimedOut), "{error}");
    // As on AWS the function runs on, and its process goes on with the next call or beside it.
    until("its report", || lambda.log("slow").matches("REPORT").count() == 2).await;
    assert_eq!(lambda.good("slow", json!({})).await["pid"], pid);
    lambda.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_has_its_limit() {
    let Some(function) = python("memory") else { return };
    let lambda = Lambda::of([function]);
    lambda.good("memory", json!({ "do": "hold", "mb": 20 })).await;
    let event = json!({ "do": "hold", "mb": 300, "seconds": 600 });
    let (error, answer) = lambda.call("memory", event).await;
    assert_eq!(error.as_deref(), Some("Unhandled"));
    assert_eq!(text(&answer, "errorType"), "Runtime.OutOfMemory");
    lambda.good("memory", json!({})).await;
    lambda.stop().await;
}

/// "Lambda quotas": 6 MB each way.
#[tokio::test(flavor = "multi_thread")]
async fn answers_have_a_limit() {
    let Some(mut function) = python("large") else { return };
    function.memory_mb = 1024;
    let lambda = Lambda::of([function]);
    // The quotes are part of it.
    let most = 6_291_556 - 2;
    let answer = lambda.good("large", json!({ "do": "answer", "bytes": most })).await;
    assert_eq!(answer.as_str().unwrap().len(), most);
    for bytes in [most + 1, 20 << 20] {
        let (error, answer) = lambda.call("large", json!({ "do": "answer", "bytes": bytes })).await;
        assert_eq!(error.as_deref(), Some("Unhandled"));
        assert_eq!(text(&answer, "errorType"), "Function.ResponseSizeTooLarge");
        let message = text(&answer, "errorMessage");
        assert!(message.contains("maximum allowed payload size (6291556 bytes)"), "{message}");
    }
    lambda.good("large", json!({})).await;
    let event = json!("x".repeat(6 << 20));
    let error = lambda.raw("large", event.clone()).await.unwrap_err();
    assert!(matches!(error, InvokeError::PayloadTooLarge { limit: 6_291_456 }), "{error}");
    let error = lambda.invoke("large", event, InvocationKind::Event).await.unwrap_err();
    assert!(matches!(error, InvokeError::PayloadTooLarge { limit: 1_048_576 }), "{error}");
    lambda.stop().await;
}

/// All are at work at the same time, each in a process of its own.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_calls_at_once_have_two_hundred_processes() {
    const ALL: usize = 200;
    let Some(mut function) = rust("burst") else { return };
    function.concurrency = ALL;
    let lambda = Lambda::of([function]);
    let meeting = tempfile::tempdir().unwrap();
    let event = |number: usize| {
        json!({ "do": "wait", "folder": meeting.path(), "number": number.to_string(), "all": ALL })
    };
    let answers = join_all((0..ALL).map(|number| lambda.good("burst", event(number)))).await;
    assert!(answers.iter().all(|met| *met == true), "{answers:?}");
    lambda.stop().await;
}

/// Two hundred calls, four processes: all are answered, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_calls_at_once_wait_for_four_processes() {
    let Some(mut function) = python("queue") else { return };
    function.concurrency = 4;
    let lambda = Lambda::of([function]);
    let calls = (0..200).map(|number| lambda.good("queue", json!({ "name": number })));
    let answers = join_all(calls).await;
    let names: Vec<_> = answers.iter().map(|answer| answer["hello"].as_u64().unwrap()).collect();
    assert_eq!(names, (0..200).collect::<Vec<u64>>());
    let processes: HashSet<_> = answers.iter().map(|answer| answer["pid"].as_u64()).collect();
    assert!((1..=4).contains(&processes.len()), "{processes:?}");
    lambda.stop().await;
}

/// As AWS: with all processes busy and no queue the call is throttled.
#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_calls_are_throttled_where_that_is_wished() {
    let Some(function) = python("strict") else { return };
    let strict = FunctionConfig { concurrency: 1, queue: Some(Duration::ZERO), ..function };
    let patient = FunctionConfig {
        name: "patient".to_owned(),
        queue: Some(Duration::from_millis(50)),
        ..strict.clone()
    };
    let lambda = Lambda::of([strict, patient]);
    for name in ["strict", "patient"] {
        let busy = lambda.folder.path().join(name);
        std::fs::create_dir(&busy).unwrap();
        let wait = json!({ "do": "wait", "folder": busy, "number": 0, "all": 2 });
        let first = lambda.good(name, wait);
        let second = async {
            until("the first call", || busy.join("0").exists()).await;
            let error = lambda.raw(name, json!({})).await.unwrap_err();
            std::fs::write(busy.join("1"), "").unwrap();
            error
        };
        let (met, error) = tokio::join!(first, second);
        assert_eq!(met, true);
        assert!(matches!(error, InvokeError::Throttled(_)), "{name}: {error}");
        // The process is free when it asks for more, which is a moment after its answer.
        let end = Instant::now() + PATIENCE;
        while let Err(error) = lambda.raw(name, json!({})).await {
            assert!(matches!(error, InvokeError::Throttled(_)) && Instant::now() < end, "{error}");
        }
    }
    lambda.stop().await;
}

/// "Error handling for asynchronous invocation": two retries, all with the same request id.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_tried_three_times() {
    let Some(function) = python("events") else { return };
    let lambda = Lambda::of([function]);
    for (good, tried) in [(2, 2), (99, 3)] {
        let file = lambda.folder.path().join(format!("tried-{good}"));
        let event = json!({ "do": "count", "file": file, "good": good });
        let invoked = lambda.invoke("events", event, InvocationKind::Event).await.unwrap();
        assert_eq!((invoked.status, invoked.function_error), (202, None));
        let ids = || -> Vec<String> {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        };
        until("the last attempt", || ids().len() == tried).await;
        assert_eq!(ids().into_iter().collect::<HashSet<_>>().len(), 1);
    }
    lambda.logged("events", "failed for good and is dropped").await;
    let dry = lambda.invoke("events", json!({}), InvocationKind::DryRun).await.unwrap();
    assert_eq!(dry.status, 204);
    lambda.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stops_leaves_no_process_behind() {
    let Some(mut function) = python("orphans") else { return };
    function.concurrency = 3;
    let lambda = Lambda::of([function]);
    let mut pids = Vec::new();
    let family = lambda.good("orphans", json!({ "do": "child" })).await;
    pids.extend(family.as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()));
    assert!(pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    // One is at work when the end comes.
    let busy = lambda.functions.invoke(invocation(
        "orphans",
        json!({ "do": "sleep", "seconds": 600 }),
        InvocationKind::RequestResponse,
    ));
    let stop = async {
        until("work", || lambda.log("orphans").matches("START").count() == 2).await;
        lambda.functions.stop().await;
    };
    let (answer, ()) = tokio::join!(busy, stop);
    assert_eq!(answer.unwrap().function_error.as_deref(), Some("Unhandled"));
    until("the end of all", || !pids.iter().any(|pid| is_alive(*pid))).await;
    let error = lambda.raw("orphans", json!({})).await.unwrap_err();
    assert!(matches!(error, InvokeError::Network(_)), "{error}");
    lambda.stop().await;
}
