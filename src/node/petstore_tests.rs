use http::Uri;
use http::uri::PathAndQuery;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::*;
use crate::net::client::{self, HttpClient, Outgoing, RequestBody, Scheme, Target};
use crate::net::socket::Machine;

#[tokio::test]
async fn the_pet_store_answers() {
    let network: Arc<dyn Network> = Arc::new(Machine);
    let tasks = Tasks::new(Handle::current());
    let address = start(&network, &tasks, None).unwrap();
    let http = HttpClient::new(client::Config::default(), network, tasks.clone());
    let host = Arc::from(address.ip().to_string());
    let host = http.host(&Target { scheme: Scheme::Http, host, port: address.port() });
    for (method, target, body, status, expected) in [
        (
            "GET",
            "/pets?page=2",
            "",
            200,
            r#"[{"id":4,"type":"dog","price":0.99},{"id":5,"type":"cat","price":125.99},{"id":6,"type":"fish","price":250.99}]"#,
        ),
        ("GET", "/pets/1", "", 200, r#"{"id":1,"type":"dog","price":125.99}"#),
        ("GET", "/pets/10", "", 404, "no such pet"),
        ("GET", "/pets/x", "", 400, "A pet's id is a number."),
        ("GET", "/pets?type=bird&page=99", "", 200, r#"{"id":7,"type":"bird","price":375.99}"#),
        (
            "POST",
            "/pets",
            r#"{"type":"cat"}"#,
            200,
            r#"{"pet":{"type":"cat"},"message":"success"}"#,
        ),
        ("POST", "/pets", "cat", 400, "A pet is a JSON object."),
        ("DELETE", "/pets", "", 405, "does not do that"),
        ("GET", "/", "", 404, "nothing here"),
        (
            "PATCH",
            "/echo/a%2Fb?c=d",
            "12345",
            200,
            r#""method":"PATCH","path":"/echo/a%2Fb","query":"c=d""#,
        ),
        ("PATCH", "/echo", "12345", 200, r#""bodyBytes":5"#),
    ] {
        let uri: Uri = target.parse().unwrap();
        let request = Outgoing {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            path_and_query: uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")),
            headers: HeaderMap::new(),
            body: RequestBody::Full(Bytes::from(body)),
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        let response = http.send(&host, request, deadline).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {target}");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains(expected), "{method} {target}: {text}");
    }
    assert_eq!(host.open(), 1);
    tasks.stopped().cancel();
    tasks.ended().await;
}

#[tokio::test]
async fn the_port_it_had_is_taken_again_while_it_is_free() {
    let network: Arc<dyn Network> = Arc::new(Machine);
    let first = Tasks::new(Handle::current());
    let address = start(&network, &first, None).unwrap();
    let second = Tasks::new(Handle::current());
    let other = start(&network, &second, Some(address.port())).unwrap();
    assert_ne!(other, address, "two cannot listen on one port");
    for tasks in [first, second] {
        tasks.stopped().cancel();
        tasks.ended().await;
    }
    let third = Tasks::new(Handle::current());
    assert_eq!(start(&network, &third, Some(address.port())).unwrap(), address);
    third.stopped().cancel();
    third.ended().await;
}
