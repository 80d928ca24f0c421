//! What a client's own door adds to an answer, whoever made it: lengths, codings, names, warnings.

use std::time::Duration;

use http::Request;

use crate::world::client::{Answer, Protocol, empty};
use crate::world::cluster::{API, Cluster, STAGE, Shape};
use crate::world::play::Play;
use crate::world::simulate;

/// The default API, with a method that needs no backend and a size above which it compresses.
fn shape() -> Shape {
    let mut shape = Shape::edges(2);
    shape.document = shape.document.replace(
        "paths:\n",
        "x-amazon-apigateway-minimum-compression-size: 100\n\
         paths:\n\
         \x20 /mock:\n\
         \x20   x-amazon-apigateway-any-method:\n\
         \x20     responses: { \"200\": { description: nothing } }\n\
         \x20     x-amazon-apigateway-integration:\n\
         \x20       type: mock\n\
         \x20       requestTemplates: { application/json: '{\"statusCode\": 200}' }\n\
         \x20       responses: { default: { statusCode: \"200\" } }\n",
    );
    shape.apis += "access_log = { format = \"$context.requestId $context.path\", \
                   destination = \"access.log\" }\n";
    shape
}

async fn ask(
    cluster: &Cluster<'_>,
    protocol: Protocol,
    method: &str,
    below: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("/{STAGE}{below}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut connection = cluster.connect(protocol, "edge-1").await;
    let received = connection.send(request.body(empty()).unwrap()).await.unwrap();
    received.whole().await.unwrap()
}

/// AWS says `Content-Length: 0`; the protocols but HTTP/1.1 would not by themselves.
#[test]
fn an_empty_answer_says_so_in_every_protocol() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &shape()).await;
        cluster.backend.on("/open/none", Play::text("").status(204));
        for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Http3] {
            let length = async |method, below| {
                let answer = ask(&cluster, protocol, method, below, &[]).await;
                answer.header("content-length").map(str::to_owned)
            };
            assert_eq!(length("GET", "/mock").await.as_deref(), Some("0"), "{protocol:?}");
            assert_eq!(length("HEAD", "/mock").await, None, "{protocol:?}");
            assert_eq!(length("GET", "/open/none").await, None, "{protocol:?}");
        }
    });
}

/// AWS: "Content encoding for REST APIs": from the minimum on, for clients that ask for it.
#[test]
fn long_answers_are_compressed_for_those_who_ask() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &shape()).await;
        let long = "tide ".repeat(100);
        cluster.backend.on("/cached/long", Play::text(&long));
        cluster.backend.on("/open/long", Play::text(&long));
        cluster.backend.on("/open/short", Play::text("short"));
        cluster.backend.on("/open/part", Play::text(&long).status(206));
        let gzip = [("accept-encoding", "gzip")];
        // The first is a miss, the second a hit: the cache holds the plain body.
        for below in ["/cached/long", "/cached/long", "/open/long"] {
            let answer = ask(&cluster, Protocol::Http2, "GET", below, &gzip).await;
            assert_eq!(answer.header("content-encoding"), Some("gzip"), "{below}");
            assert!(answer.body.starts_with(&[0x1f, 0x8b]) && answer.body.len() < long.len());
            let plain = ask(&cluster, Protocol::Http2, "GET", below, &[]).await;
            assert_eq!((plain.header("content-encoding"), plain.text()), (None, long.as_str()));
        }
        for below in ["/open/short", "/open/part"] {
            let answer = ask(&cluster, Protocol::Http2, "GET", below, &gzip).await;
            assert_eq!(answer.header("content-encoding"), None, "{below}");
        }
        assert_eq!(cluster.backend.calls("/cached/long"), 1);
    });
}

/// The warning is for the client that asked, once, and for nobody who gets the kept answer.
#[test]
fn a_warning_of_ignored_cache_control_is_never_kept() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &shape()).await;
        let warnings = async |headers: &[(&str, &str)]| {
            let answer = ask(&cluster, Protocol::Http1, "GET", "/cached/w", headers).await;
            answer.headers.get_all("warning").iter().count()
        };
        let fresh = [("cache-control", "max-age=0")];
        assert_eq!(warnings(&fresh).await, 1, "a miss on both sides of the tunnel");
        assert_eq!(warnings(&[]).await, 0, "a hit");
        assert_eq!(warnings(&fresh).await, 1, "a hit");
        let other = cluster.get("edge-2", "/cached/w").await;
        assert_eq!(other.header("warning"), None);
        assert_eq!(cluster.backend.calls("/cached/w"), 1);
    });
}

/// AWS: "Variables for access logging": clients can override `requestId`; "Important notes": one
/// that is no UUID is logged as replaced.
#[test]
fn a_client_may_name_its_request_by_a_uuid() {
    const OWN: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &shape()).await;
        let named = [("x-amzn-requestid", OWN)];
        let answer = ask(&cluster, Protocol::Http1, "GET", "/open/named", &named).await;
        assert_eq!(answer.header("x-amzn-requestid"), Some(OWN));
        for wrong in ["no-uuid", "{0f8fad5b-d9cb-469f-a165-70867728950e}", "$context.status"] {
            let named = [("x-amzn-requestid", wrong)];
            let answer = ask(&cluster, Protocol::Http1, "GET", "/open/wrong", &named).await;
            let id = answer.header("x-amzn-requestid").unwrap();
            assert!(id.len() == OWN.len() && id != wrong && id != OWN, "{id}");
        }
        cluster.stop("edge-1").await;
        let log = std::fs::read_to_string(cluster.folder().join("edge-1/access.log")).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines[0], format!("{OWN} /{STAGE}/open/named"));
        let replaced = format!("UUID_REPLACED_INVALID_REQUEST_ID /{STAGE}/open/wrong");
        assert_eq!(lines[1..], [&*replaced, &*replaced, &*replaced]);
    });
}

/// A call for which a stage has no method is in that stage's log and count, as AWS has it.
#[test]
fn a_stage_knows_of_calls_it_has_no_method_for() {
    simulate(&[1], async |world| {
        let mut shape = shape();
        shape.apis = shape.apis.replace("$context.path", "$context.resourcePath $context.status");
        let cluster = Cluster::start(world, &shape).await;
        for below in ["/mock", "/nothing"] {
            ask(&cluster, Protocol::Http1, "GET", below, &[]).await;
        }
        let missed =
            format!("tidegate_requests_total{{api=\"{API}\",stage=\"{STAGE}\",status=\"403\"");
        let text = cluster.node("edge-1").metrics();
        assert!(
            text.lines().any(|line| line.starts_with(&missed) && line.ends_with(" 1")),
            "{text}"
        );
        cluster.stop("edge-1").await;
        let log = std::fs::read_to_string(cluster.folder().join("edge-1/access.log")).unwrap();
        let ends: Vec<&str> =
            log.lines().filter_map(|line| Some(line.split_once(' ')?.1)).collect();
        assert_eq!(ends, ["/mock 200", "- 403"]);
    });
}

/// People know an API by its name, and need to know where it answers, whatever its type.
#[test]
fn status_names_apis_and_all_their_doors() {
    simulate(&[1], async |world| {
        let mut shape = shape();
        for (id, kind) in [("regional00", "REGIONAL"), ("private000", "PRIVATE")] {
            shape.apis += &format!(
                "[[api]]\ndocument = \"shop.yaml\"\nid = \"{id}\"\nname = \"{kind} shop\"\n\
                 endpoint_type = \"{kind}\"\n"
            );
        }
        let cluster = Cluster::start(world, &shape).await;
        for node in ["region", "edge-2"] {
            cluster
                .until(Duration::from_secs(10), "the doors are known", || {
                    let apis = cluster.node(node).status().apis;
                    apis.iter().map(|api| api.urls.len()).sum::<usize>() == 4
                })
                .await;
            let apis = cluster.node(node).status().apis;
            let urls = |id: &str| {
                let api = apis.iter().find(|api| api.id == id).unwrap();
                let ports = api.urls.iter().map(|url| url.replace(id, "API"));
                (api.name.clone(), ports.collect::<Vec<_>>())
            };
            let url = |port| {
                format!("https://API.execute-api.us-east-1.gateway.localhost:{port}/{STAGE}")
            };
            assert_eq!(urls(API), ("shop".to_owned(), vec![url(8443), url(8443)]), "{node}");
            assert_eq!(urls("regional00"), ("REGIONAL shop".to_owned(), vec![url(8440)]));
            assert_eq!(urls("private000"), ("PRIVATE shop".to_owned(), vec![url(8441)]));
        }
    });
}
