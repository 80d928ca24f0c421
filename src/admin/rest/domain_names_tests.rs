use super::super::trial::{Call, World, call, object};
use super::*;
use crate::admin::protocol::error::ErrorKind;

const ACM: &str = "arn:aws:acm:us-east-1:000000000000:certificate/11111111-2222";
const OTHER: &str = "arn:tidegate:file:us-east-1:000000000000:certificates/other";

fn at(name: &str) -> Call {
    call().uri("domain_name", name)
}

fn edge() -> Call {
    call().body(json!({"domainName": "a.example", "certificateArn": ACM}))
}

fn regional(name: &str) -> Call {
    call().body(json!({
        "domainName": name, "regionalCertificateArn": ACM,
        "endpointConfiguration": {"types": ["REGIONAL"]},
    }))
}

#[test]
fn an_edge_domain_gets_a_distribution_in_our_zone() {
    let mut world = World::new(&[OPERATIONS]);
    let made = world.ok("CreateDomainName", edge());
    let target = made["distributionDomainName"].as_str().unwrap();
    assert!(target.ends_with(".execute-api.us-east-1.gateway.test"), "{target}");
    assert_eq!(made["distributionHostedZoneId"], "Z2FDTNDATAQYW2");
    assert_eq!(made["domainNameStatus"], "AVAILABLE");
    assert_eq!(made["securityPolicy"], "TLS_1_2");
    assert_eq!(made["routingMode"], "BASE_PATH_MAPPING_ONLY");
    assert_eq!(made["certificateUploadDate"], world.now);
    assert_eq!(made["endpointConfiguration"], json!({"types": ["EDGE"], "ipAddressType": "ipv4"}));
    assert_eq!(made["domainNameArn"], "arn:aws:apigateway:us-east-1::/domainnames/a.example");
    assert!(made.get("regionalDomainName").is_none() && made.get("domainNameId").is_none());
    assert_eq!(world.ok("GetDomainName", at("A.example")), made);
    assert_eq!(world.ok("GetDomainNames", call()), json!({"item": [made]}));
    let (kind, message) = world.refused("CreateDomainName", edge());
    assert_eq!(kind, ErrorKind::BadRequest);
    assert_eq!(message, "The domain name you provided already exists.");
}

#[test]
fn a_regional_domain_gets_a_regional_name() {
    let mut world = World::new(&[OPERATIONS]);
    let made = world.ok("CreateDomainName", regional("r.example"));
    let target = made["regionalDomainName"].as_str().unwrap();
    assert!(target.starts_with("d-"), "{target}");
    assert_eq!(target.split('.').next().unwrap().len(), 12);
    assert!(made.get("distributionDomainName").is_none());
    assert!(made.get("certificateUploadDate").is_none());
}

#[test]
fn private_domains_of_one_name_live_side_by_side() {
    let mut world = World::new(&[OPERATIONS]);
    let private = || {
        call().body(json!({
            "domainName": "p.example", "certificateArn": ACM, "policy": "{\"Statement\": []}",
            "endpointConfiguration": {"types": ["PRIVATE"]},
        }))
    };
    let first = world.ok("CreateDomainName", private());
    let second = world.ok("CreateDomainName", private());
    let id = first["domainNameId"].as_str().unwrap();
    assert_ne!(first["domainNameId"], second["domainNameId"]);
    assert_eq!(
        first["domainNameArn"],
        format!("arn:aws:apigateway:us-east-1:000000000000:/domainnames/p.example+{id}")
    );
    assert_eq!(first["endpointConfiguration"]["ipAddressType"], "dualstack");
    let one = at("p.example").query("domainNameId", id);
    assert_eq!(world.ok("GetDomainName", one.clone()), first);
    assert_eq!(
        world.refused("GetDomainName", at("p.example")),
        (ErrorKind::NotFound, "Invalid domain name identifier specified".to_owned())
    );
    let policy = one.clone().patch(&[("replace", "/policy", json!("{\"Statement\": [1]}"))]);
    assert_eq!(world.ok("UpdateDomainName", policy)["policy"], "{\"Statement\": [1]}");
    let public = one.patch(&[("replace", "/endpointConfiguration/types/0", json!("EDGE"))]);
    world.refused("UpdateDomainName", public);
}

#[test]
fn an_uploaded_certificate_is_kept_and_never_shown() {
    let mut world = World::new(&[OPERATIONS]);
    let made = rcgen::generate_simple_self_signed(["u.example".to_owned()]).unwrap();
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let upload = |name: &str| {
        call().body(json!({
            "domainName": name, "certificateName": "mine",
            "certificateBody": pem, "certificatePrivateKey": key,
        }))
    };
    let answer = world.ok("CreateDomainName", upload("u.example"));
    assert_eq!(answer["certificateName"], "mine");
    assert_eq!(
        world.refused("CreateDomainName", upload("v.example")).1,
        "The domain name to be created is not covered by the provided certificate"
    );
    let kept = world.txn.get(Kind::DomainName, "", "u.example").unwrap();
    assert_eq!(support::text(&kept, PRIVATE_KEY), key);
    assert_eq!(support::text(&kept, CERTIFICATES).trim(), pem.trim());
    let got = world.ok("GetDomainName", at("u.example"));
    let all = world.ok("GetDomainNames", call());
    for answer in [&answer, &got, &all] {
        let text = answer.to_string();
        assert!(!text.contains("PRIVATE KEY") && !text.contains("tidegate"), "{text}");
    }
    // An ARN takes its place, and nothing of the upload is left.
    let arn = at("u.example").patch(&[("replace", "/certificateArn", json!(OTHER))]);
    let changed = world.ok("UpdateDomainName", arn);
    assert_eq!(changed["certificateArn"], OTHER);
    assert!(changed.get("certificateName").is_none());
    let kept = world.txn.get(Kind::DomainName, "", "u.example").unwrap();
    assert!(!kept.contains_key(PRIVATE_KEY) && !kept.contains_key(CERTIFICATES));
}

#[test]
fn a_domain_moves_from_edge_to_regional() {
    let mut world = World::new(&[OPERATIONS]);
    world.ok("CreateDomainName", edge());
    let patch = |operations: &[(&str, &str, Value)]| at("a.example").patch(operations);
    let both = world.ok(
        "UpdateDomainName",
        patch(&[
            ("add", "/endpointConfiguration/types", json!("REGIONAL")),
            ("add", "/regionalCertificateArn", json!(OTHER)),
        ]),
    );
    assert_eq!(both["endpointConfiguration"]["types"], json!(["EDGE", "REGIONAL"]));
    assert!(both.get("distributionDomainName").is_some());
    let moved = world.ok(
        "UpdateDomainName",
        patch(&[
            ("remove", "/endpointConfiguration/types", json!("EDGE")),
            ("remove", "/certificateArn", Value::Null),
        ]),
    );
    assert_eq!(moved["endpointConfiguration"]["types"], json!(["REGIONAL"]));
    assert_eq!(moved["regionalDomainName"], both["regionalDomainName"]);
    assert!(moved.get("distributionDomainName").is_none());
    // As Terraform does it, in one step and back.
    let back = world.ok(
        "UpdateDomainName",
        patch(&[
            ("replace", "/endpointConfiguration/types/0", json!("EDGE")),
            ("replace", "/certificateArn", json!(ACM)),
        ]),
    );
    assert_eq!(back["endpointConfiguration"]["types"], json!(["EDGE"]));
    let named = patch(&[("replace", "/endpointConfiguration/types/EDGE", json!("REGIONAL"))]);
    assert_eq!(
        world.ok("UpdateDomainName", named)["endpointConfiguration"]["types"][0],
        "REGIONAL"
    );
}

#[test]
fn mutual_tls_comes_and_goes() {
    let mut world = World::new(&[OPERATIONS]);
    world.ok("CreateDomainName", regional("r.example"));
    let patch = |path: &str, value: &str| at("r.example").patch(&[("replace", path, json!(value))]);
    let uri = "/mutualTlsAuthentication/truststoreUri";
    let on = world.ok("UpdateDomainName", patch(uri, "s3://bucket/store.pem"));
    assert_eq!(on["mutualTlsAuthentication"], json!({"truststoreUri": "s3://bucket/store.pem"}));
    let version = patch("/mutualTlsAuthentication/truststoreVersion", "v2");
    let versioned = world.ok("UpdateDomainName", version);
    assert_eq!(versioned["mutualTlsAuthentication"]["truststoreVersion"], "v2");
    world.refused("UpdateDomainName", patch(uri, "https://bucket/store.pem"));
    let off = world.ok("UpdateDomainName", patch(uri, ""));
    assert!(off.get("mutualTlsAuthentication").is_none());
}

#[test]
fn what_cannot_be_a_domain_name_is_refused() {
    let mut world = World::new(&[OPERATIONS]);
    let long = format!("{}.example", "a".repeat(64));
    let names = [
        "",
        "example",
        "a..b",
        "-a.example",
        "a b.example",
        "a.*.example",
        "*.*.example",
        &long,
        "execute-api.us-east-1.gateway.test",
        "x.execute-api.us-east-1.gateway.test",
    ];
    for name in names {
        let (kind, _) = world.refused("CreateDomainName", regional(name));
        assert_eq!(kind, ErrorKind::BadRequest, "{name}");
    }
    world.ok("CreateDomainName", regional("*.wild.example"));
    let base = json!({"domainName": "b.example", "certificateArn": ACM});
    for (member, value) in [
        ("certificateArn", json!("not an arn")),
        ("certificateArn", Value::Null),
        ("endpointConfiguration", json!({"types": ["REGIONAL"]})),
        ("endpointConfiguration", json!({"types": ["GLOBAL"]})),
        ("endpointConfiguration", json!({"types": ["EDGE", "PRIVATE"]})),
        ("endpointConfiguration", json!({"types": ["PRIVATE"], "ipAddressType": "ipv4"})),
        ("endpointConfiguration", json!({"types": ["EDGE"], "ipAddressType": "ipv6"})),
        ("securityPolicy", json!("TLS_9")),
        ("policy", json!("{}")),
        ("mutualTlsAuthentication", json!({"truststoreUri": "s3://b/k"})),
        ("certificateBody", json!("x")),
    ] {
        let mut body = base.clone();
        body[member] = value.clone();
        let (kind, _) = world.refused("CreateDomainName", call().body(body));
        assert_eq!(kind, ErrorKind::BadRequest, "{member} {value}");
    }
    let named = json!({"domainName": "b.example", "certificateName": "in IAM"});
    world.refused("CreateDomainName", call().body(named));
}

#[test]
fn patches_are_all_or_nothing_and_certificates_move_one_way() {
    let mut world = World::new(&[OPERATIONS]);
    let made = world.ok("CreateDomainName", edge());
    let patches: [&[(&str, &str, Value)]; 6] = [
        &[
            ("add", "/regionalCertificateArn", json!(ACM)),
            ("remove", "/certificateArn", Value::Null),
        ],
        &[("replace", "/securityPolicy", json!("TLS_1_0")), ("replace", "/nothing", json!("x"))],
        &[("remove", "/certificateArn", Value::Null)],
        &[("remove", "/endpointConfiguration/types", json!("EDGE"))],
        &[("replace", "/routingMode", json!("ANYWHERE"))],
        &[("replace", "/endpointConfiguration/types/5", json!("REGIONAL"))],
    ];
    for operations in patches {
        world.refused("UpdateDomainName", at("a.example").patch(operations));
        assert_eq!(world.ok("GetDomainName", at("a.example")), made);
    }
}

#[test]
fn a_domain_takes_its_mappings_with_it() {
    let mut world = World::new(&[OPERATIONS]);
    world.ok("CreateDomainName", edge());
    world.txn.put(Kind::BasePathMapping, "a.example", "(none)", object(json!({})));
    world.txn.put(Kind::RoutingRule, "a.example", "rule00", object(json!({})));
    world.ok("DeleteDomainName", at("a.example"));
    assert!(!world.txn.contains(Kind::BasePathMapping, "a.example", "(none)"));
    assert!(!world.txn.contains(Kind::RoutingRule, "a.example", "rule00"));
    assert_eq!(world.refused("DeleteDomainName", at("a.example")).0, ErrorKind::NotFound);
}
