//! Tags by ARN.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::admin::protocol::error::ErrorKind::{BadRequest, NotFound};
use crate::admin::rest::harness::{Plane, with};
use crate::store::control::{Kind, Txn};

fn arn(path: &str) -> Value {
    json!({"resourceArn": format!("arn:aws:apigateway:us-east-1::{path}")})
}

fn put(plane: &mut Plane, kind: Kind, scope: &str, id: &str, body: Value) {
    let mut txn = Txn::new(Arc::clone(&plane.state));
    txn.put(kind, scope, id, body.as_object().unwrap().clone());
    plane.state = Arc::new(plane.state.with(plane.state.revision + 1, txn.into_changes()));
}

#[test]
fn every_kind_that_has_tags_is_found_by_its_arn() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    let association = "/domainnameaccessassociations/domainname/a.example+x/vpcesource/vpce-1";
    put(&mut plane, Kind::Stage, &api, "dev", json!({}));
    put(&mut plane, Kind::ApiKey, "", "key", json!({}));
    put(&mut plane, Kind::UsagePlan, "", "plan", json!({}));
    put(&mut plane, Kind::VpcLink, "", "link", json!({}));
    put(&mut plane, Kind::ClientCertificate, "", "cert", json!({}));
    put(&mut plane, Kind::DomainName, "", "a.example", json!({}));
    let whole = arn(association)["resourceArn"].clone();
    let body = json!({"domainNameAccessAssociationArn": whole});
    put(&mut plane, Kind::DomainNameAccessAssociation, "", "x", body);
    for path in [
        &*format!("/restapis/{api}"),
        &*format!("/restapis/{api}/stages/dev"),
        "/apikeys/key",
        "/usageplans/plan",
        "/vpclinks/link",
        "/clientcertificates/cert",
        "/domainnames/a.example",
        association,
    ] {
        let place = arn(path);
        assert_eq!(plane.ok("GetTags", place.clone()), json!({"tags": {}}), "{path}");
        plane.ok("TagResource", with(&place, json!({"tags": {"a": "1", "b": "2"}})));
        plane.ok("TagResource", with(&place, json!({"tags": {"b": "3"}})));
        assert_eq!(plane.ok("GetTags", place.clone()), json!({"tags": {"a": "1", "b": "3"}}));
        plane.ok("UntagResource", with(&place, json!({"tagKeys": ["a", "c"]})));
        assert_eq!(plane.ok("GetTags", place.clone()), json!({"tags": {"b": "3"}}), "{path}");
        plane.ok("UntagResource", with(&place, json!({"tagKeys": ["b"]})));
    }
    let left = plane.state.get(Kind::ApiKey, "", "key").unwrap();
    assert_eq!(left.body.get("tags"), None);
}

#[test]
fn what_is_refused() {
    let mut plane = Plane::new();
    let (api, _) = plane.api();
    for (path, message) in [
        ("/restapis/nope", "Invalid API identifier specified 000000000000:nope"),
        (&*format!("/restapis/{api}/stages/nope"), "Invalid stage identifier specified"),
        ("/usageplans/nope", "Invalid Usage Plan ID specified"),
        ("/vpclinks/nope", "Invalid Vpc Link identifier specified"),
        ("/apikeys/nope", "Invalid API Key identifier specified"),
    ] {
        plane.refused("GetTags", arn(path), NotFound, message);
    }
    for wrong in [
        "nope",
        "arn:aws:apigateway:us-east-1:999999999999:/apikeys/key",
        "arn:aws:apigateway:eu-west-1::/apikeys/key",
        "arn:aws:lambda:us-east-1::/apikeys/key",
        "arn:aws:apigateway:us-east-1::/account",
    ] {
        let message = "Invalid ARN specified in the request";
        plane.refused("GetTags", json!({"resourceArn": wrong}), BadRequest, message);
    }
    let place = arn(&format!("/restapis/{api}"));
    let many: Value =
        (0..51).map(|n| (n.to_string(), json!(""))).collect::<serde_json::Map<_, _>>().into();
    for tags in [
        many,
        json!({"aws:x": "1"}),
        json!({"": "1"}),
        json!({"k".repeat(129): "1"}),
        json!({"k": "v".repeat(257)}),
    ] {
        let error = plane.call("TagResource", with(&place, json!({"tags": tags}))).unwrap_err();
        assert_eq!(error.kind, BadRequest);
    }
}
