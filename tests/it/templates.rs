//! Bodies that templates make: constant ones, which need no template language.
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
            assert_eq!(answer.header("content-type"), Some("text/html"));
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
            for (accept, media_type, body) in
                [("*/*", "application/json", r#"{"told":1}"#), ("text/xml", "text/xml", "<told/>")]
            {
                let answer = post(&cluster, door, &[("accept", accept)]).await;
                assert_eq!((answer.status.as_u16(), answer.text()), (201, body), "{door}");
                assert_eq!(answer.header("content-type"), Some(media_type), "{door}");
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
