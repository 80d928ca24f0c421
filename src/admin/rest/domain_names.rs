//! Custom domain names, in v1's shape; v2 shows the same objects in its own.
//!
//! A public domain's id is its name. Private domains may repeat a name, so theirs is
//! `{name}+{domainNameId}`, as in their ARNs; mappings use the same text as their scope.
//! What a certificate's ARN leads to is the topology's business; an uploaded certificate is checked
//! here and kept in members of ours.
//! AWS: API Gateway Developer Guide, "Custom domain name for REST APIs"; API Reference,
//! "DomainName".

use std::sync::Arc;

use serde_json::{Value, json};

use super::domain_name_patch::{self, POLICIES};
use super::{domain_certificate, support};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page::page;
use crate::admin::protocol::patch;
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateDomainName", create_domain_name),
    ("GetDomainName", get_domain_name),
    ("GetDomainNames", get_domain_names),
    ("UpdateDomainName", update_domain_name),
    ("DeleteDomainName", delete_domain_name),
];

/// Members of a stored domain name that hold an uploaded certificate: leaf and chain, and the key.
pub const CERTIFICATES: &str = "tidegateCertificates";
pub const PRIVATE_KEY: &str = "tidegatePrivateKey";

/// The zone id of every edge-optimized name (the service model says so).
const EDGE_ZONE: &str = "Z2FDTNDATAQYW2";

/// Regional zone ids differ by region on AWS and mean something to Route 53 alone; this one stands
/// in for all of them and is not verified.
const REGIONAL_ZONE: &str = "Z1UJRXOUMOOFQ8";

/// AWS: API Gateway API Reference, "RestApi" and "DomainName", `securityPolicy`.
pub(crate) const SECURITY_POLICIES: &[&str] = &[
    "TLS_1_0",
    "TLS_1_2",
    "SecurityPolicy_TLS13_1_3_2025_09",
    "SecurityPolicy_TLS13_1_3_FIPS_2025_09",
    "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09",
    "SecurityPolicy_TLS13_1_2_FIPS_PQ_2025_09",
    "SecurityPolicy_TLS13_1_2_FIPS_PFS_PQ_2025_09",
    "SecurityPolicy_TLS13_1_2_Ext2_PQ_2025_09",
    "SecurityPolicy_TLS13_1_2_Ext2_FIPS_PQ_2025_09",
    "SecurityPolicy_TLS13_1_2_PQ_2025_09",
    "SecurityPolicy_TLS13_1_2_2021_06",
    "SecurityPolicy_TLS13_2025_EDGE",
    "SecurityPolicy_TLS12_PFS_2025_EDGE",
    "SecurityPolicy_TLS12_2018_EDGE",
];

/// RFC 1035 section 2.3.4.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

fn create_domain_name(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let name = input.text("domainName").unwrap_or_default().to_ascii_lowercase();
    check_name(context, &name)?;
    let mut domain = Body::new();
    domain.insert("domainName".to_owned(), Value::from(name.as_str()));
    let sent = input.body.get("endpointConfiguration").and_then(Value::as_object);
    let mut endpoint = sent.cloned().unwrap_or_default();
    if support::texts(&endpoint, "types").is_empty() {
        endpoint.insert("types".to_owned(), json!(["EDGE"]));
    }
    domain.insert("endpointConfiguration".to_owned(), Value::Object(endpoint));
    support::copy_texts(&mut domain, input, COPIED);
    if let Some(trust) = input.body.get("mutualTlsAuthentication").and_then(Value::as_object) {
        domain.insert("mutualTlsAuthentication".to_owned(), Value::Object(trust.clone()));
    }
    let key = if is_private(&domain) {
        let id = context
            .new_id(10, |id| context.txn.contains(Kind::DomainName, "", &format!("{name}+{id}")));
        domain.insert("domainNameId".to_owned(), Value::from(id.as_str()));
        format!("{name}+{id}")
    } else {
        name.clone()
    };
    if context.txn.contains(Kind::DomainName, "", &key) {
        return Err(ApiError::bad_request("The domain name you provided already exists."));
    }
    keep_upload(context, input, &mut domain)?;
    support::keep_tags(&mut domain, input)?;
    complete(context, &key, &mut domain)?;
    let answer = support::shown(&domain);
    context.txn.put(Kind::DomainName, "", &key, domain);
    Ok(Outcome::Body(answer))
}

/// Members that are kept as they are sent.
const COPIED: &[&str] = &[
    "certificateName",
    "certificateArn",
    "regionalCertificateName",
    "regionalCertificateArn",
    "ownershipVerificationCertificateArn",
    "securityPolicy",
    "endpointAccessMode",
    "policy",
    "routingMode",
];

fn get_domain_name(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (_, domain) = find(context.txn, input)?;
    Ok(Outcome::Body(support::shown(&domain)))
}

/// Domain names of other accounts are shared by AWS RAM, which is not here.
fn get_domain_names(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut domains = context.txn.list(Kind::DomainName, "");
    if input.query_text("resourceOwner") == Some("OTHER_ACCOUNTS") {
        domains.clear();
    }
    Ok(page(input, domains.into_iter().map(|(id, body)| (id, support::shown(&body)))))
}

fn update_domain_name(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (key, stored) = find(context.txn, input)?;
    let mut domain = Body::clone(&stored);
    domain_name_patch::apply(&mut domain, &patch::read(input)?)?;
    if is_private(&domain) != is_private(&stored) {
        return Err(ApiError::bad_request(
            "The endpoint type of a domain name cannot change from or to PRIVATE",
        ));
    }
    if edge_certificate(&domain) != edge_certificate(&stored) {
        domain.shift_remove("certificateUploadDate");
    }
    complete(context, &key, &mut domain)?;
    let answer = support::shown(&domain);
    context.txn.put(Kind::DomainName, "", &key, domain);
    Ok(Outcome::Body(answer))
}

fn delete_domain_name(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (key, domain) = find(context.txn, input)?;
    let arn = support::text(&domain, "domainNameArn");
    for (id, association) in context.txn.list(Kind::DomainNameAccessAssociation, "") {
        if support::text(&association, "domainNameArn") == arn {
            context.txn.delete(Kind::DomainNameAccessAssociation, "", &id);
        }
    }
    context.txn.delete_all(Kind::BasePathMapping, &key);
    context.txn.delete_all(Kind::RoutingRule, &key);
    context.txn.delete(Kind::DomainName, "", &key);
    support::nothing()
}

/// The domain name a call names, by `domain_name` and for private ones `domainNameId`: its id in
/// the store and its body.
pub(super) fn find(txn: &Txn, input: &Input) -> Result<(String, Arc<Body>), ApiError> {
    let name = input.label("domain_name");
    let key = match input.query_text("domainNameId") {
        Some(id) if !id.is_empty() => format!("{name}+{id}"),
        _ => name.to_owned(),
    };
    [key.to_ascii_lowercase(), key]
        .into_iter()
        .find_map(|key| Some((txn.get(Kind::DomainName, "", &key)?, key)))
        .map(|(domain, key)| (key, domain))
        .ok_or_else(|| ApiError::not_found("Invalid domain name identifier specified"))
}

pub(super) fn is_private(domain: &Body) -> bool {
    types(domain).contains(&"PRIVATE")
}

fn types(domain: &Body) -> Vec<&str> {
    let endpoint = domain.get("endpointConfiguration").and_then(Value::as_object);
    endpoint.map(|endpoint| support::texts(endpoint, "types")).unwrap_or_default()
}

fn edge_certificate(domain: &Body) -> [&str; 2] {
    ["certificateName", "certificateArn"].map(|name| support::text(domain, name))
}

fn check_name(context: &Context<'_>, name: &str) -> Result<(), ApiError> {
    if name.is_empty() {
        return Err(ApiError::bad_request("No Domain Name specified"));
    }
    let labels: Vec<&str> = name.strip_prefix("*.").unwrap_or(name).split('.').collect();
    let is_label = |label: &&str| {
        (1..=LABEL_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() > NAME_MAX || labels.len() < 2 || !labels.iter().all(is_label) {
        return Err(ApiError::bad_request(format!("Invalid domain name specified: {name}")));
    }
    // A name in the zone of the APIs themselves would take an API's own name away from it.
    let zone = zone(context);
    if name == zone || name.ends_with(&format!(".{zone}")) {
        return Err(ApiError::bad_request(format!(
            "The domain name {name} belongs to the default endpoints of APIs"
        )));
    }
    Ok(())
}

/// Where the default endpoints of APIs and the targets of domain names are.
fn zone(context: &Context<'_>) -> String {
    format!("execute-api.{}.{}", context.site.aws_region, context.site.domain).to_ascii_lowercase()
}

/// An uploaded certificate needs a name, under which AWS would keep it.
fn keep_upload(context: &Context<'_>, input: &Input, domain: &mut Body) -> Result<(), ApiError> {
    let texts = ["certificateBody", "certificatePrivateKey", "certificateChain"]
        .map(|name| input.text(name).unwrap_or_default());
    if texts.iter().all(|text| text.is_empty()) {
        return Ok(());
    }
    let has = |name: &str| !support::text(domain, name).is_empty();
    if has("certificateArn") || has("regionalCertificateArn") {
        return Err(ApiError::bad_request(
            "A certificate can be uploaded or named by its ARN, but not both",
        ));
    }
    if !has("certificateName") && !has("regionalCertificateName") {
        return Err(ApiError::bad_request("An uploaded certificate needs a certificateName"));
    }
    let uploaded =
        domain_certificate::check(support::text(domain, "domainName"), texts, context.now)?;
    domain.insert(CERTIFICATES.to_owned(), Value::from(uploaded.certificates));
    domain.insert(PRIVATE_KEY.to_owned(), Value::from(uploaded.private_key));
    Ok(())
}

/// Checks a domain name as a whole, and fills in what follows from what it was told.
fn complete(context: &Context<'_>, key: &str, domain: &mut Body) -> Result<(), ApiError> {
    check(domain)?;
    fill_in(context, key, domain);
    Ok(())
}

/// A regional domain name of which nothing but the name is known; [`fill_in`] adds the rest.
pub(crate) fn regional(name: &str) -> Body {
    let mut domain = Body::new();
    domain.insert("domainName".to_owned(), Value::from(name));
    domain.insert("endpointConfiguration".to_owned(), json!({ "types": ["REGIONAL"] }));
    domain
}

/// Fills in what follows from a domain name's endpoint types, and defaults. `key` is its id in the
/// store.
pub(crate) fn fill_in(context: &Context<'_>, key: &str, domain: &mut Body) {
    let is_private = is_private(domain);
    let is_edge = types(domain).contains(&"EDGE");
    let is_regional = types(domain).contains(&"REGIONAL");
    let endpoint = patch::object(domain, "endpointConfiguration");
    if is_private {
        endpoint.insert("ipAddressType".to_owned(), Value::from("dualstack"));
    } else {
        endpoint.entry("ipAddressType").or_insert_with(|| Value::from("ipv4"));
    }
    let default = |domain: &mut Body, name: &str, value: &str| {
        domain.entry(name).or_insert_with(|| Value::from(value));
    };
    default(domain, "securityPolicy", "TLS_1_2");
    default(domain, "routingMode", "BASE_PATH_MAPPING_ONLY");
    default(domain, "domainNameStatus", "AVAILABLE");
    let site = context.site;
    // Only private domain names carry the account in their ARN.
    let account = if is_private { site.account_id.as_str() } else { "" };
    let (partition, region) = (&site.partition, &site.aws_region);
    let arn = format!("arn:{partition}:apigateway:{region}:{account}:/domainnames/{key}");
    domain.insert("domainNameArn".to_owned(), Value::from(arn));
    if is_edge || is_private {
        domain.entry("certificateUploadDate").or_insert_with(|| context.seconds());
    } else {
        domain.shift_remove("certificateUploadDate");
    }

    let zone = zone(context);
    let random = |length: usize| context.new_id(length, |_| false);
    if is_edge {
        let target = || Value::from(format!("d{}.{zone}", random(13)));
        domain.entry("distributionDomainName").or_insert_with(target);
        default(domain, "distributionHostedZoneId", EDGE_ZONE);
    } else {
        domain.shift_remove("distributionDomainName");
        domain.shift_remove("distributionHostedZoneId");
    }
    if is_regional {
        let target = || Value::from(format!("d-{}.{zone}", random(10)));
        domain.entry("regionalDomainName").or_insert_with(target);
        default(domain, "regionalHostedZoneId", REGIONAL_ZONE);
    } else {
        domain.shift_remove("regionalDomainName");
        domain.shift_remove("regionalHostedZoneId");
    }
}

/// What must hold of a domain name, however it came to be.
fn check(domain: &Body) -> Result<(), ApiError> {
    let types = types(domain);
    let known = |kind: &&str| matches!(*kind, "EDGE" | "REGIONAL" | "PRIVATE");
    if types.is_empty() || !types.iter().all(known) {
        return Err(domain_name_patch::wrong_types());
    }
    let is_private = types.contains(&"PRIVATE");
    if is_private && types.len() > 1 {
        return Err(ApiError::bad_request(
            "Cannot create a domain name with PRIVATE and another endpoint type.",
        ));
    }
    let has = |name: &str| !support::text(domain, name).is_empty();
    for (kind, arn, name) in [
        ("EDGE", "certificateArn", "certificateName"),
        ("PRIVATE", "certificateArn", "certificateArn"),
        ("REGIONAL", "regionalCertificateArn", "regionalCertificateName"),
    ] {
        if types.contains(&kind) && !has(arn) && !has(name) {
            return Err(ApiError::bad_request(format!(
                "{arn} must be provided for {kind} domain names"
            )));
        }
    }
    for name in ["certificateArn", "regionalCertificateArn", "ownershipVerificationCertificateArn"]
    {
        if has(name) && !support::is_arn(support::text(domain, name)) {
            return Err(ApiError::bad_request(format!(
                "Invalid certificate ARN specified: {name}"
            )));
        }
    }
    // A name alone is that of a certificate in IAM, which is not here.
    let is_named = has("certificateName") || has("regionalCertificateName");
    let has_arn = has("certificateArn") || has("regionalCertificateArn");
    if is_named && !has_arn && !domain.contains_key(CERTIFICATES) {
        return Err(ApiError::bad_request(
            "A certificateName needs the certificate itself: certificateBody and \
             certificatePrivateKey",
        ));
    }
    for (member, values) in POLICIES {
        if has(member) && !values.contains(&support::text(domain, member)) {
            return Err(ApiError::bad_request(format!(
                "Invalid {member} specified. Valid options are {}",
                values.join(",")
            )));
        }
    }
    if !is_private && (has("policy") || has("managementPolicy")) {
        return Err(ApiError::bad_request("A policy is only supported for PRIVATE domain names"));
    }
    for name in ["policy", "managementPolicy"] {
        if has(name) && serde_json::from_str::<Body>(support::text(domain, name)).is_err() {
            return Err(ApiError::bad_request(
                "Invalid policy document. Please check the policy syntax and ensure that \
                 Principals are valid.",
            ));
        }
    }
    let endpoint = domain.get("endpointConfiguration").and_then(Value::as_object);
    let address = endpoint.map(|endpoint| support::text(endpoint, "ipAddressType"));
    match address.unwrap_or_default() {
        "ipv4" if is_private => Err(ApiError::bad_request(
            "Only dualstack ipAddressType is supported for Private domain names.",
        )),
        "" | "ipv4" | "dualstack" => check_trust(domain, &types),
        _ => Err(ApiError::bad_request("ipAddressType must be either ipv4 or dualstack.")),
    }
}

/// "How to turn on mutual TLS authentication for your REST APIs": regional names, S3 objects.
fn check_trust(domain: &Body, types: &[&str]) -> Result<(), ApiError> {
    let trust = domain.get("mutualTlsAuthentication").and_then(Value::as_object);
    let Some(trust) = trust else { return Ok(()) };
    if types != ["REGIONAL"] {
        return Err(ApiError::bad_request(
            "Mutual TLS authentication is only supported for REGIONAL domain names",
        ));
    }
    let object = support::text(trust, "truststoreUri").strip_prefix("s3://");
    let object = object.and_then(|object| object.split_once('/'));
    if object.is_none_or(|(bucket, key)| bucket.is_empty() || key.is_empty()) {
        return Err(ApiError::bad_request(
            "Invalid truststoreUri specified. It must be of the form s3://bucket/key",
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "domain_names_tests.rs"]
mod tests;
