//! Custom domain names as v2 shows them. v1 and v2 are two views of one object, kept in v1's shape.
//!
//! AWS: API Gateway Version 2 API Reference, "DomainNames"; REST API Reference, "DomainName".

use serde_json::{Value, json};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::rest::domain_names;
use crate::admin::v2::family::{self, no_domain, text};
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations = &[
    ("CreateDomainName", create),
    ("GetDomainName", get),
    ("GetDomainNames", list),
    ("UpdateDomainName", update),
    ("DeleteDomainName", delete),
];

/// v2's word and v1's word for how a domain finds its API.
const ROUTING_MODES: [(&str, &str); 3] = [
    ("API_MAPPING_ONLY", "BASE_PATH_MAPPING_ONLY"),
    ("ROUTING_RULE_ONLY", "ROUTING_RULE_ONLY"),
    ("ROUTING_RULE_THEN_API_MAPPING", "ROUTING_RULE_THEN_BASE_PATH_MAPPING"),
];

fn require(cx: &Context<'_>, input: &Input) -> Result<(String, Body), ApiError> {
    let name = input.label("domainName").to_ascii_lowercase();
    let found = cx.txn.get(Kind::DomainName, "", &name).ok_or_else(no_domain)?;
    Ok((name, Body::clone(&found)))
}

fn create(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let name = input.text("domainName").unwrap_or_default().to_ascii_lowercase();
    if !is_host_name(&name) {
        return Err(ApiError::bad_request(format!("Invalid domain name specified: {name}")));
    }
    if cx.txn.contains(Kind::DomainName, "", &name) {
        return Err(ApiError::conflict("The domain name you provided already exists."));
    }
    let mut body = domain_names::regional(&name);
    if let Some(tags) = input.body.get("tags").filter(|tags| !tags.is_null()) {
        body.insert("tags".to_owned(), tags.clone());
    }
    configure(&mut body, input)?;
    domain_names::fill_in(cx, &name, &mut body);
    cx.txn.put(Kind::DomainName, "", &name, body.clone());
    Ok(Outcome::Body(shown(&body)))
}

/// Takes over what v2 says into v1's members.
fn configure(body: &mut Body, input: &Input) -> Result<(), ApiError> {
    let configurations = input.body.get("domainNameConfigurations").and_then(Value::as_array);
    if let Some(configurations) = configurations {
        let [configuration] = configurations.as_slice() else {
            return Err(ApiError::bad_request("A domain name has exactly one configuration"));
        };
        let configuration = configuration.as_object().cloned().unwrap_or_default();
        if text(&configuration, "endpointType") == "EDGE" {
            return Err(ApiError::bad_request(
                "Edge-optimized domain names are made with the REST API (v1): create-domain-name \
                 of `aws apigateway`",
            ));
        }
        for (v2, v1) in [
            ("certificateArn", "regionalCertificateArn"),
            ("certificateName", "regionalCertificateName"),
            ("ownershipVerificationCertificateArn", "ownershipVerificationCertificateArn"),
            ("securityPolicy", "securityPolicy"),
        ] {
            if let Some(value) = configuration.get(v2).filter(|value| !value.is_null()) {
                body.insert(v1.to_owned(), value.clone());
            }
        }
        if let Some(kind) = configuration.get("ipAddressType").filter(|kind| !kind.is_null()) {
            body.insert(
                "endpointConfiguration".to_owned(),
                json!({ "types": ["REGIONAL"], "ipAddressType": kind }),
            );
        }
    }
    if text(body, "regionalCertificateArn").is_empty() && text(body, "certificateArn").is_empty() {
        return Err(ApiError::bad_request("DomainNameConfigurations must have a certificateArn"));
    }
    match input.body.get("mutualTlsAuthentication") {
        Some(Value::Object(mutual)) if text(mutual, "truststoreUri").is_empty() => {
            body.shift_remove("mutualTlsAuthentication");
        }
        Some(Value::Object(mutual)) => {
            body.insert("mutualTlsAuthentication".to_owned(), Value::Object(mutual.clone()));
        }
        _ => {}
    }
    if let Some(mode) = input.text("routingMode") {
        let known = ROUTING_MODES.iter().find(|(v2, _)| *v2 == mode);
        let known = known.ok_or_else(|| ApiError::bad_request("Invalid routing mode specified"))?;
        body.insert("routingMode".to_owned(), Value::from(known.1));
    }
    Ok(())
}

/// v2's view.
fn shown(body: &Body) -> Body {
    let edge = text(body, "distributionDomainName");
    let is_edge = !edge.is_empty();
    let prefix = if is_edge { "certificate" } else { "regionalCertificate" };
    let mut configuration = Body::new();
    let mut put = |name: &str, value: Option<&Value>| {
        if let Some(value) = value {
            configuration.insert(name.to_owned(), value.clone());
        }
    };
    let host = if is_edge { "distributionDomainName" } else { "regionalDomainName" };
    let zone = if is_edge { "distributionHostedZoneId" } else { "regionalHostedZoneId" };
    put("apiGatewayDomainName", body.get(host));
    put("certificateArn", body.get(&format!("{prefix}Arn")));
    put("certificateName", body.get(&format!("{prefix}Name")));
    put("certificateUploadDate", body.get("certificateUploadDate"));
    put("domainNameStatus", body.get("domainNameStatus"));
    put("domainNameStatusMessage", body.get("domainNameStatusMessage"));
    let endpoint = body.get("endpointConfiguration");
    put("endpointType", endpoint.and_then(|endpoint| endpoint.pointer("/types/0")));
    put("ipAddressType", endpoint.and_then(|endpoint| endpoint.get("ipAddressType")));
    put("hostedZoneId", body.get(zone));
    put("securityPolicy", body.get("securityPolicy"));
    put("ownershipVerificationCertificateArn", body.get("ownershipVerificationCertificateArn"));
    let mut view = Body::new();
    view.insert("apiMappingSelectionExpression".to_owned(), Value::from("$request.basepath"));
    for name in ["domainName", "domainNameArn", "mutualTlsAuthentication"] {
        if let Some(value) = body.get(name) {
            view.insert(name.to_owned(), value.clone());
        }
    }
    view.insert("domainNameConfigurations".to_owned(), json!([configuration]));
    let mode = text(body, "routingMode");
    let mode = ROUTING_MODES.iter().find(|(_, v1)| *v1 == mode).map_or("API_MAPPING_ONLY", |m| m.0);
    view.insert("routingMode".to_owned(), Value::from(mode));
    view.insert("tags".to_owned(), body.get("tags").cloned().unwrap_or_else(|| json!({})));
    view
}

fn get(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (_, body) = require(cx, input)?;
    Ok(Outcome::Body(shown(&body)))
}

fn list(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let found = cx.txn.list(Kind::DomainName, "");
    family::page(input, "items", found.into_iter().map(|(id, body)| (id, shown(&body))))
}

fn update(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (name, mut body) = require(cx, input)?;
    configure(&mut body, input)?;
    cx.txn.put(Kind::DomainName, "", &name, body.clone());
    Ok(Outcome::Body(shown(&body)))
}

fn delete(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (name, _) = require(cx, input)?;
    cx.txn.delete_all(Kind::BasePathMapping, &name);
    cx.txn.delete_all(Kind::RoutingRule, &name);
    cx.txn.delete(Kind::DomainName, "", &name);
    Ok(Outcome::Body(Body::new()))
}

/// RFC 1123 section 2.1; the first label may be `*`.
fn is_host_name(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(label)
}
