//! Names of headers as the client wrote them, in events and templates: at the region, and the same
//! through an edge and the tunnel.
//!
//! rest-data-plane 7.7 and 12.5; recorded in test_lambda_aws_proxy_integration.

use http::Request;
use serde_json::{Value, json};
use tidegate::net::socket::{Network, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::client::{Protocol, empty};
use crate::world::cluster::{Cluster, STAGE, Shape};
use crate::world::simulate;

/// Clusters, by edges, and the door that is theirs.
const DOORS: [(u8, &str); 2] = [(0, "region"), (1, "edge-1")];

const DOCUMENT: &str = r##"
openapi: 3.0.1
info: { title: names, version: "1" }
paths:
  /function:
    get:
      x-amazon-apigateway-integration:
        type: aws_proxy
        httpMethod: POST
        uri: "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:echo/invocations"
  /template:
    get:
      responses: { "200": { description: said } }
      x-amazon-apigateway-integration:
        type: mock
        requestTemplates: { application/json: '{"statusCode": 200}' }
        responses:
          default:
            statusCode: "200"
            responseTemplates:
              application/json: >-
                #set($all = $input.params().header){"params": "$input.params('x-oNE')",
                "written": "$input.params('X-One')",
                "exact": "$!all.get('X-One')", "other": "$!all.get('x-one')",
                "headers": {#foreach($n in $all.keySet())"$n": "$all.get($n)"#if($foreach.hasNext),#end#end}}
"##;

fn shape(edges: u8) -> Shape {
    let more = "[lambda]\nendpoint = \"http://10.0.4.1:8000\"\n".to_owned();
    Shape { document: DOCUMENT.to_owned(), more, ..Shape::edges(edges) }
}

/// Lambda: each function answers with the headers of its event.
async fn echo(mut stream: Stream) {
    let mut read = Vec::new();
    loop {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
        // The event is the end of the request, and the only JSON in it.
        let Some(at) = read.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let Ok(event) = serde_json::from_slice::<Value>(&read[at + 4..]) else { continue };
        let body = json!({"statusCode": 200, "body": event["headers"].to_string()}).to_string();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.ok();
        read.clear();
    }
}

/// A call by a client whose spelling is ours to choose.
async fn plainly(cluster: &Cluster<'_>, door: &str, path: &str) -> Value {
    let host = cluster.host_name();
    let mut stream = cluster.client.tls(&[b"http/1.1"], cluster.door(door), &host).await.unwrap();
    let request = format!(
        "GET /{STAGE}/{path} HTTP/1.1\r\nHost: {host}\r\ntEsT-HEADeR: aValUE\r\n\
         authorization: secret\r\nX-One: 1\r\nlower: x\r\nUser-Agent: plain\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{door} {path}: {text}");
    serde_json::from_str(body).unwrap_or_else(|err| panic!("{door} {path}: {err}: {text}"))
}

/// The names of an object without those that only an edge adds.
fn names(headers: &Value) -> Vec<&str> {
    let names = headers.as_object().unwrap().keys().map(String::as_str);
    let of_edge =
        |name: &str| name.starts_with("CloudFront-") || ["Via", "X-Amz-Cf-Id"].contains(&name);
    let mut names: Vec<&str> = names.filter(|name| !of_edge(name)).collect();
    names.sort_unstable();
    names
}

#[test]
fn names_are_those_the_client_wrote_at_every_door() {
    let expected = [
        "Authorization",
        "Host",
        "User-Agent",
        "X-Amzn-Trace-Id",
        "X-Forwarded-For",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
        "X-One",
        "lower",
        "tEsT-HEADeR",
    ];
    for (edges, door) in DOORS {
        simulate(&[1], async |world| {
            let inside = world.host("lambda", "10.0.4.1");
            let mut listener = inside.listen(inside.at(8000), false).unwrap();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(echo(stream));
                }
            });
            let cluster = Cluster::start(world, &shape(edges)).await;
            assert_eq!(names(&plainly(&cluster, door, "function").await), expected, "{door}");
            let said = plainly(&cluster, door, "template").await;
            let seen = written(&said["headers"]);
            assert_eq!(seen, ["Authorization", "X-One", "lower", "tEsT-HEADeR"], "{door}");
            assert_eq!((&said["written"], &said["exact"]), (&json!("1"), &json!("1")), "{door}");
            assert_eq!((&said["params"], &said["other"]), (&json!(""), &json!("")), "{door}: case");
        });
    }
}

/// Those of the names that the client of these tests writes in a way of its own.
fn written(headers: &Value) -> Vec<&str> {
    let own = ["authorization", "x-one", "lower", "test-header"];
    let mut names = names(headers);
    names.retain(|name| own.contains(&name.to_ascii_lowercase().as_str()));
    names
}

/// HTTP/2 and HTTP/3 have no case.
#[test]
fn names_without_case_are_lower() {
    for (edges, door) in DOORS {
        simulate(&[1], async |world| {
            let cluster = Cluster::start(world, &shape(edges)).await;
            for protocol in [Protocol::Http2, Protocol::Http3] {
                let mut client = cluster.connect(protocol, door).await;
                let request = Request::get("/prod/template").header("X-One", "1");
                let answer = client.send(request.body(empty()).unwrap()).await.unwrap();
                let answer = answer.whole().await.unwrap();
                let said: Value = serde_json::from_str(answer.text()).unwrap();
                assert_eq!(written(&said["headers"]), ["x-one"], "{door} {protocol:?}: {said}");
                assert_eq!(said["params"], "1", "{door} {protocol:?}");
            }
        });
    }
}
