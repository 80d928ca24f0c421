//! PATCH of domain names.
//!
//! AWS: API Gateway API Reference, "Patch Operations"; Developer Guide, "Migrate a custom domain
//! name to a different API endpoint type".

use serde_json::{Value, json};

use super::domain_names::{CERTIFICATES, PRIVATE_KEY, SECURITY_POLICIES};
use super::support;
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::patch::{self, Apply, Op, PatchOperation, Rule, Wording};
use crate::store::control::Body;

/// Members that take one of a few words.
pub(super) const POLICIES: &[(&str, &[&str])] = &[
    ("endpointAccessMode", &["BASIC", "STRICT"]),
    (
        "routingMode",
        &["BASE_PATH_MAPPING_ONLY", "ROUTING_RULE_ONLY", "ROUTING_RULE_THEN_BASE_PATH_MAPPING"],
    ),
    ("securityPolicy", SECURITY_POLICIES),
];

const ALL: &[Op] = &[Op::Add, Op::Replace, Op::Remove];

const CERTIFICATE_PATHS: [&str; 4] =
    ["/certificateName", "/certificateArn", "/regionalCertificateName", "/regionalCertificateArn"];

const PATCH: &[Rule] = &[
    Rule { path: CERTIFICATE_PATHS[0], ops: ALL, apply: Apply::Custom(set_certificate) },
    Rule { path: CERTIFICATE_PATHS[1], ops: ALL, apply: Apply::Custom(set_certificate) },
    Rule { path: CERTIFICATE_PATHS[2], ops: ALL, apply: Apply::Custom(set_certificate) },
    Rule { path: CERTIFICATE_PATHS[3], ops: ALL, apply: Apply::Custom(set_certificate) },
    Rule { path: "/ownershipVerificationCertificateArn", ops: ALL, apply: Apply::TextOrNothing },
    Rule {
        path: "/endpointConfiguration/types",
        ops: &[Op::Add, Op::Remove],
        apply: Apply::Custom(change_types),
    },
    Rule {
        path: "/endpointConfiguration/types/{}",
        ops: &[Op::Replace],
        apply: Apply::Custom(replace_type),
    },
    Rule { path: "/endpointConfiguration/ipAddressType", ops: &[Op::Replace], apply: Apply::Text },
    Rule { path: "/endpointAccessMode", ops: &[Op::Replace], apply: Apply::TextOrNothing },
    Rule { path: "/managementPolicy", ops: &[Op::Replace], apply: Apply::TextOrNothing },
    Rule { path: "/policy", ops: &[Op::Replace], apply: Apply::TextOrNothing },
    Rule {
        path: "/mutualTlsAuthentication/truststoreUri",
        ops: ALL,
        apply: Apply::Custom(set_trust),
    },
    Rule {
        path: "/mutualTlsAuthentication/truststoreVersion",
        ops: ALL,
        apply: Apply::TextOrNothing,
    },
    Rule { path: "/routingMode", ops: &[Op::Replace], apply: Apply::Text },
    Rule { path: "/securityPolicy", ops: &[Op::Replace], apply: Apply::Text },
];

/// Applies the operations in order to a stored domain name.
pub(super) fn apply(domain: &mut Body, operations: &[PatchOperation]) -> Result<(), ApiError> {
    let on_certificates = |op: Op| {
        operations.iter().any(|operation| {
            let path = operation.path.as_deref().unwrap_or_default();
            operation.op == op && CERTIFICATE_PATHS.contains(&path)
        })
    };
    if on_certificates(Op::Add) && on_certificates(Op::Remove) {
        return Err(ApiError::bad_request(
            "Certificates cannot be added and removed in the same request",
        ));
    }
    patch::apply(domain, operations, PATCH, Wording::Listing)
}

pub(super) fn wrong_types() -> ApiError {
    ApiError::bad_request(
        "Invalid EndpointTypes specified. Valid options are REGIONAL,EDGE,PRIVATE",
    )
}

/// A certificate named by its ARN takes the place of an uploaded one.
fn set_certificate(domain: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let path = operation.path.as_deref().unwrap_or_default();
    let name = path.trim_start_matches('/');
    if operation.op == Op::Remove || operation.value().is_empty() {
        domain.shift_remove(name);
    } else {
        domain.insert(name.to_owned(), Value::from(operation.value()));
        let label = match name {
            "certificateArn" => Some("certificateName"),
            "regionalCertificateArn" => Some("regionalCertificateName"),
            _ => None,
        };
        label.and_then(|label| domain.shift_remove(label));
    }
    if !domain.contains_key("certificateName") && !domain.contains_key("regionalCertificateName") {
        domain.shift_remove(CERTIFICATES);
        domain.shift_remove(PRIVATE_KEY);
    }
    Ok(())
}

/// A domain name may have two types while it moves from one to the other.
fn change_types(domain: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let kind = known_type(operation.value())?.to_owned();
    let endpoint = patch::object(domain, "endpointConfiguration");
    let mut types: Vec<&str> = support::texts(endpoint, "types");
    types.retain(|known| *known != kind);
    if operation.op == Op::Add {
        types.push(&kind);
    }
    let types = json!(types);
    endpoint.insert("types".to_owned(), types);
    Ok(())
}

/// The last segment is a place in the list (Terraform) or the type that goes (AWS's guide).
fn replace_type(domain: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    let kind = known_type(operation.value())?.to_owned();
    let segments = operation.segments();
    let old = segments.last().map(String::as_str).unwrap_or_default();
    let endpoint = patch::object(domain, "endpointConfiguration");
    let mut types: Vec<&str> = support::texts(endpoint, "types");
    let place = match old.parse::<usize>() {
        Ok(place) => Some(place).filter(|place| *place < types.len()),
        Err(_) => types.iter().position(|known| *known == old),
    };
    let place = place.ok_or_else(wrong_types)?;
    types.remove(place);
    types.retain(|known| *known != kind);
    types.insert(place.min(types.len()), &kind);
    let types = json!(types);
    endpoint.insert("types".to_owned(), types);
    Ok(())
}

fn known_type(kind: &str) -> Result<&str, ApiError> {
    match kind {
        "EDGE" | "REGIONAL" | "PRIVATE" => Ok(kind),
        _ => Err(wrong_types()),
    }
}

/// Without its store of trusted certificates there is no mutual TLS; Terraform ends it with an
/// empty text.
fn set_trust(domain: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    if operation.op == Op::Remove || operation.value().is_empty() {
        domain.shift_remove("mutualTlsAuthentication");
    } else {
        let trust = patch::object(domain, "mutualTlsAuthentication");
        trust.insert("truststoreUri".to_owned(), Value::from(operation.value()));
    }
    Ok(())
}
