//! Templates and mappings on a call's whole way: constant texts, and such that compute.
//!
//! Developer Guide, "Mapping template transformations for REST APIs", "Method request behavior for
//! payloads without mapping templates".

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::time::sleep;

use crate::world::client::{Answer, Protocol, whole};
use crate::world::cluster::{Cluster, STAGE, Shape};
use crate::world::play::Play;
use crate::world::simulate;

const SECOND: Duration = Duration::from_secs(1);

fn shape(edges: u8) -> Shape {
    let mut shape = Shape::edges(edges).ttl_seconds(60);
    shape.document.push_str(
        r##"
  /cached/mock:
    get:
      responses: { "200": { description: said } }
      x-amazon-apigateway-integration:
        type: mock
        requestTemplates: { application/json: '{"statusCode": 200}' }
        responses:
          default:
            statusCode: "200"
            responseTemplates: { text/html: "<p>said</p>" }
  /http:
    post:
      responses: { "201": { description: told } }
      x-amazon-apigateway-integration:
        type: http
        httpMethod: POST
        uri: http://10.0.2.1:8000/backend
        passthroughBehavior: when_no_templates
        requestTemplates: { application/json: '{"asked":1}' }
        responses:
          default:
            statusCode: "201"
            responseTemplates: { application/json: '{"told":1}', text/xml: <told/> }
  /computed/{id}:
    post:
      parameters: [ { name: id, in: path, required: true, schema: { type: string } } ]
      responses:
        "200": { description: told, headers: { x-code: { schema: { type: string } } } }
        "404": { description: gone }
      x-amazon-apigateway-integration:
        type: http
        httpMethod: POST
        uri: http://10.0.2.1:8000/{id}
        requestParameters:
          integration.request.path.id: method.request.path.id
          integration.request.header.x-name: method.request.body.pet.name
          integration.request.querystring.from: context.identity.sourceIp
        requestTemplates:
          application/json: |-
            #set($context.requestOverride.header.x-over = $input.params('tag'))
            {"name":$input.json('$.pet.name'),"path":"$context.resourcePath"}
        responses:
          default:
            statusCode: "200"
            responseParameters:
              method.response.header.x-code: integration.response.body.code
            responseTemplates:
              application/json: '#foreach($n in $input.path("$.list"))<$n>#end $input.params("id")'
          "4..":
            statusCode: "404"
            responseTemplates:
              application/json: '#set($context.responseOverride.status = 410)gone'
  /said/{status}:
    get:
      parameters: [ { name: status, in: path, required: true, schema: { type: string } } ]
      responses: { "200": { description: said } }
      x-amazon-apigateway-integration:
        type: mock
        cacheKeyParameters: [ method.request.path.status ]
        requestTemplates:
          application/json: |-
            #set($context.responseOverride.header.x-said = "$input.params('status')")
            {statusCode: $input.params('status')}
        responses:
          default:
            statusCode: "200"
            responseTemplates: { application/json: "$context.httpMethod $context.stage" }
"##,
    );
    shape
}

async fn post(cluster: &Cluster<'_>, node: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::post(format!("/{STAGE}/http"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut connection = cluster.connect(Protocol::Http2, node).await;
    let request = request.body(whole(Bytes::from_static(b"the client's"))).unwrap();
    connection.send(request).await.unwrap().whole().await.unwrap()
}

#[test]
fn a_mock_says_its_template_also_from_the_cache() {
    simulate(&[1], async |world| {
        let cluster = Cluster::start(world, &shape(2)).await;
        for (edge, shown) in [
            ("edge-1", "Miss from tidegate"),
            ("edge-1", "Hit from tidegate"),
            ("edge-2", "Miss from tidegate"),
            ("edge-2", "Hit from tidegate"),
        ] {
            let answer = cluster.get(edge, "/cached/mock").await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, "<p>said</p>"));
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("content-length"), Some("11"));
            assert_eq!(answer.header("x-cache"), Some(shown));
            sleep(SECOND).await;
        }
        assert_eq!(cluster.backend.calls_of_all(), 0);
    });
}

#[test]
fn constant_templates_replace_what_goes_to_a_backend_and_what_comes_from_it() {
    for (edges, door) in [(1, "edge-1"), (0, "region")] {
        simulate(&[1], async |world| {
            let cluster = Cluster::start(world, &shape(edges)).await;
            cluster.backend.on("/backend", Play::text("the backend's").header("x-own", "1"));
            for (accept, body) in [("*/*", r#"{"told":1}"#), ("text/xml", "<told/>")] {
                let answer = post(&cluster, door, &[("accept", accept)]).await;
                assert_eq!((answer.status.as_u16(), answer.text()), (201, body), "{door}");
                // The key of the template says nothing of it (rest-data-plane 6.3.7).
                assert_eq!(answer.header("content-type"), Some("application/json"), "{door}");
                let length = body.len().to_string();
                assert_eq!(answer.header("content-length"), Some(length.as_str()), "{door}");
                assert_eq!(answer.header("x-own"), None, "{door}");
                let seen = cluster.backend.last();
                assert_eq!(seen.body, r#"{"asked":1}"#, "{door}");
                assert_eq!(seen.headers["content-type"], "application/json", "{door}");
            }
        });
    }
}

/// `passthroughBehavior` WHEN_NO_TEMPLATES: there are templates, and none fits.
#[test]
fn a_body_that_no_template_fits_is_an_unsupported_media_type() {
    for (edges, door) in [(1, "edge-1"), (0, "region")] {
        simulate(&[1], async |world| {
            let cluster = Cluster::start(world, &shape(edges)).await;
            let answer = post(&cluster, door, &[("content-type", "text/plain")]).await;
            assert_eq!(answer.status.as_u16(), 415, "{door}");
            assert_eq!(answer.text(), r#"{"message":"Unsupported Media Type"}"#, "{door}");
            assert_eq!(answer.header("x-amzn-errortype"), Some("BadRequestException"), "{door}");
            assert_eq!(cluster.backend.calls_of_all(), 0, "{door}");
        });
    }
}

async fn post_to(cluster: &Cluster<'_>, node: &str, path: &str, body: impl Into<Bytes>) -> Answer {
    let mut connection = cluster.connect(Protocol::Http1, node).await;
    let request = Request::post(format!("/{STAGE}{path}")).body(whole(body.into())).unwrap();
    connection.send(request).await.unwrap().whole().await.unwrap()
}

/// rest-data-plane 5, 5.7, 6.1, 6.3: the same at the region's door and through the tunnel.
#[test]
fn templates_compute_on_either_way() {
    for (edges, door) in [(1, "edge-1"), (0, "region")] {
        simulate(&[1], async |world| {
            let cluster = Cluster::start(world, &shape(edges)).await;
            let told = r#"{"code": 7, "list": [1, "b"]}"#;
            cluster
                .backend
                .on("/a%2Fb", Play::text(told).header("content-type", "application/json"));
            let body = r#"{"pet": {"name": "Rex \"x\""}}"#;
            let answer = post_to(&cluster, door, "/computed/a%2Fb?tag=t%201", body).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, "<1><b> a%2Fb"), "{door}");
            assert_eq!(answer.header("x-code"), Some("7"), "{door}");
            assert!(answer.header("x-amzn-trace-id").is_some(), "{door}");
            let seen = cluster.backend.last();
            let expected = r#"{"name":"Rex \"x\"","path":"/computed/{id}"}"#;
            assert_eq!(seen.body, expected, "{door}");
            assert_eq!(seen.headers["x-name"], "Rex \"x\"", "{door}");
            assert_eq!(seen.headers["x-over"], "t 1", "{door}");
        });
    }
}

/// rest-data-plane 6.1, 6.3, 7.2: what fails, and what it says.
#[test]
fn failures_of_mappings_have_their_answers() {
    for (edges, door) in [(1, "edge-1"), (0, "region")] {
        simulate(&[1], async |world| {
            let cluster = Cluster::start(world, &shape(edges)).await;
            let answer = post_to(&cluster, door, "/computed/x", "\n{wrong").await;
            let invalid = r#"{"message":"Invalid JSON in request body"}"#;
            assert_eq!((answer.status.as_u16(), answer.text()), (400, invalid), "{door}");
            assert_eq!(answer.header("x-amzn-errortype"), Some("BadRequestException"), "{door}");
            assert_eq!(cluster.backend.calls_of_all(), 0, "{door}");
            cluster.backend.on("/x", Play::text("{broken"));
            let answer = post_to(&cluster, door, "/computed/x", "{}").await;
            let internal = r#"{"message": "Internal server error"}"#;
            assert_eq!((answer.status.as_u16(), answer.text()), (500, internal), "{door}");
            let said = format!("GET {STAGE}");
            let answer = cluster.get(door, "/said/201").await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, said.as_str()), "{door}");
            assert_eq!(answer.header("x-said"), Some("201"), "{door}");
            assert_eq!(answer.header("x-amzn-trace-id"), None, "{door}");
            let answer = cluster.get(door, "/said/none").await;
            assert_eq!((answer.status.as_u16(), answer.text()), (500, internal), "{door}");
        });
    }
}
