//! What a Rust function may do, one thing per `do`: the tests ask for it by name.

use std::path::PathBuf;
use std::time::Duration;

use lambda_runtime::streaming::{Body, Response, channel};
use lambda_runtime::{Error, FunctionResponse, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(answer)).await
}

async fn answer(event: LambdaEvent<Value>) -> Result<FunctionResponse<Value, Body>, Error> {
    let (event, context) = event.into_parts();
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let answer = match event["do"].as_str().unwrap_or("hello") {
        "hello" => json!({
            "hello": event["name"], "requestId": context.request_id, "pid": std::process::id(),
        }),
        "fail" => return Err("no luck".into()),
        "exit" => std::process::exit(3),
        "wait" => meet(&text("folder"), &text("number"), event["all"].as_u64().unwrap_or(1)).await,
        "stream" => {
            let parts = parts(text("until").into(), event["breaks"] == true);
            return Ok(FunctionResponse::StreamingResponse(parts));
        }
        other => return Err(format!("cannot {other}").into()),
    };
    Ok(FunctionResponse::BufferedResponse(answer))
}

/// Says that it is here, and waits for the others.
async fn meet(folder: &str, number: &str, all: u64) -> Value {
    let here = |folder: &str| std::fs::read_dir(folder).map_or(0, |list| list.count() as u64);
    let _ = std::fs::write(format!("{folder}/{number}"), "");
    for _ in 0..2_000 {
        if here(folder) >= all {
            return true.into();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false.into()
}

/// Two parts, the second once a file exists.
fn parts(until: PathBuf, breaks: bool) -> Response<Body> {
    let (mut sender, body) = channel();
    tokio::spawn(async move {
        if sender.send_data("first,".into()).await.is_err() {
            return;
        }
        for _ in 0..1_000 {
            if until.exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if breaks {
            sender.abort();
        } else {
            let _ = sender.send_data("last".into()).await;
        }
    });
    Response::from(body)
}
