//! Tables of the reference, section by section; each test names its own.

mod compression;
mod content;
mod context;
mod parameters;
mod request;
mod responses;

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use indexmap::IndexMap;
use uuid::Uuid;

use super::context::{CallContext, CallerFacts, PathParameters, RouteFacts};
use crate::net::clock::Timestamp;

pub(super) fn table(pairs: &[(&str, &str)]) -> IndexMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(super) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

pub(super) fn with_route<T>(work: impl FnOnce(&RouteFacts<'_>) -> T) -> T {
    let variables = table(&[("version", "v 2"), ("empty", "")]);
    work(&RouteFacts {
        api_id: "abcdefghij",
        account_id: "000000000000",
        stage: "prod",
        deployment_id: "dep123",
        resource_id: "res123",
        resource_path: "/pets/{id}",
        operation_name: "",
        stage_variables: &variables,
        is_canary: None,
    })
}

/// A call that has a bit of everything.
pub(super) fn with_call<T>(
    caller: Option<&CallerFacts>,
    work: impl FnOnce(&CallContext<'_>) -> T,
) -> T {
    let headers = headers(&[
        ("x-one", "1"),
        ("x-two", "a"),
        ("x-two", "b"),
        ("user-agent", "curl/8"),
        ("expect", "100-continue"),
        ("via", "1.1 someone"),
    ]);
    let names = ["id".to_owned()];
    with_route(|route| {
        work(&CallContext {
            facts: *route,
            method: &Method::GET,
            headers: &headers,
            spelling: None,
            query: Some("q=1&q=x%20y&plus=a+b&none"),
            path_parameters: PathParameters {
                names: &names,
                path: "/pets/a%2Fb",
                ranges: std::slice::from_ref(&(6..11)),
            },
            request_id: &Uuid::from_u128(7),
            extended_request_id: "cXNV7F7iPHcFoDA=",
            aws_endpoint_request_id: None,
            source_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
            path: "/prod/pets/a%2Fb",
            protocol: "HTTP/1.1",
            domain_name: "abcdefghij.execute-api.eu-west-1.gateway.localhost",
            received_at: Timestamp::from_millis(1_428_582_896_000),
            caller,
            error: None,
        })
    })
}
