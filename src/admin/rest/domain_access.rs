//! Access associations: which VPC endpoints may reach a private domain name.
//!
//! One control plane is one account here, so an association is always within it; rejecting one,
//! which is the domain owner's way to end it, is deleting it.
//! AWS: API Gateway API Reference, "DomainNameAccessAssociation".

use std::sync::Arc;

use serde_json::Value;

use super::{domain_names, support};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page::page;
use crate::store::control::{Body, Kind, Txn};

pub const OPERATIONS: Operations = &[
    ("CreateDomainNameAccessAssociation", create_domain_name_access_association),
    ("GetDomainNameAccessAssociations", get_domain_name_access_associations),
    ("DeleteDomainNameAccessAssociation", delete_domain_name_access_association),
    ("RejectDomainNameAccessAssociation", reject_domain_name_access_association),
];

/// The only type of source there is.
const VPC_ENDPOINT: &str = "VPCE";

fn create_domain_name_access_association(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let domain_arn = input.text("domainNameArn").unwrap_or_default();
    let domain = private_domain(context.txn, domain_arn)?;
    if input.text("accessAssociationSourceType") != Some(VPC_ENDPOINT) {
        return Err(ApiError::bad_request(format!(
            "Invalid accessAssociationSourceType specified. Valid options are {VPC_ENDPOINT}"
        )));
    }
    let source = input.text("accessAssociationSource").unwrap_or_default();
    if !is_vpc_endpoint(source) {
        return Err(ApiError::bad_request(format!("Invalid VPC endpoint ID specified: {source}")));
    }
    let site = context.site;
    let arn = format!(
        "arn:{}:apigateway:{}:{}:/domainnameaccessassociations/domainname/{domain}/vpcesource/{source}",
        site.partition, site.aws_region, site.account_id
    );
    if context.txn.contains(Kind::DomainNameAccessAssociation, "", &arn) {
        return Err(ApiError::conflict(
            "A domain name access association of this VPC endpoint already exists",
        ));
    }
    let mut association = Body::new();
    let members = [
        ("domainNameAccessAssociationArn", arn.as_str()),
        ("domainNameArn", domain_arn),
        ("accessAssociationSourceType", VPC_ENDPOINT),
        ("accessAssociationSource", source),
    ];
    for (name, value) in members {
        association.insert(name.to_owned(), Value::from(value));
    }
    support::keep_tags(&mut association, input)?;
    let answer = support::shown(&association);
    context.txn.put(Kind::DomainNameAccessAssociation, "", &arn, association);
    Ok(Outcome::Body(answer))
}

fn get_domain_name_access_associations(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let mut found = context.txn.list(Kind::DomainNameAccessAssociation, "");
    if input.query_text("resourceOwner") == Some("OTHER_ACCOUNTS") {
        found.clear();
    }
    Ok(page(input, found.into_iter().map(|(id, body)| (id, support::shown(&body)))))
}

fn delete_domain_name_access_association(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let arn = input.label("domain_name_access_association_arn");
    find(context.txn, arn)?;
    context.txn.delete(Kind::DomainNameAccessAssociation, "", arn);
    support::nothing()
}

fn reject_domain_name_access_association(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let arn = input.query_text("domainNameAccessAssociationArn").unwrap_or_default();
    let association = find(context.txn, arn)?;
    let domain = input.query_text("domainNameArn").unwrap_or_default();
    if support::text(&association, "domainNameArn") != domain {
        return Err(ApiError::bad_request(
            "The domain name access association is not one of the domain name",
        ));
    }
    context.txn.delete(Kind::DomainNameAccessAssociation, "", arn);
    support::nothing()
}

/// The store's id of the private domain name with this ARN.
fn private_domain(txn: &Txn, arn: &str) -> Result<String, ApiError> {
    let key = arn.split_once(":/domainnames/").map(|(_, key)| key).unwrap_or_default();
    let domain = txn.get(Kind::DomainName, "", key);
    let domain = domain.filter(|domain| support::text(domain, "domainNameArn") == arn);
    let domain =
        domain.ok_or_else(|| ApiError::bad_request("Invalid domain name identifier specified"))?;
    if !domain_names::is_private(&domain) {
        return Err(ApiError::bad_request(
            "Access associations are only supported for PRIVATE domain names",
        ));
    }
    Ok(key.to_owned())
}

fn find(txn: &Txn, arn: &str) -> Result<Arc<Body>, ApiError> {
    txn.get(Kind::DomainNameAccessAssociation, "", arn).ok_or_else(|| {
        ApiError::not_found("Invalid domain name access association identifier specified")
    })
}

/// `vpce-` and letters or digits; looser than AWS's own ids, so that none is refused.
fn is_vpc_endpoint(id: &str) -> bool {
    id.strip_prefix("vpce-").is_some_and(|rest| {
        (1..=32).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::trial::{Call, World, call};
    use super::*;
    use crate::admin::protocol::error::ErrorKind;

    const CERTIFICATE: &str = "arn:aws:acm:us-east-1:000000000000:certificate/c";

    fn world() -> (World, Value) {
        let mut world = World::new(&[OPERATIONS, domain_names::OPERATIONS]);
        let private = json!({
            "domainName": "p.example", "certificateArn": CERTIFICATE,
            "endpointConfiguration": {"types": ["PRIVATE"]}, "policy": "{\"Statement\": []}",
        });
        let domain = world.ok("CreateDomainName", call().body(private));
        (world, domain)
    }

    fn create(domain: &Value) -> Call {
        call().body(json!({
            "domainNameArn": domain["domainNameArn"], "accessAssociationSourceType": "VPCE",
            "accessAssociationSource": "vpce-abcd1234efg",
        }))
    }

    #[test]
    fn an_association_is_named_by_domain_and_endpoint() {
        let (mut world, domain) = world();
        let made = world.ok("CreateDomainNameAccessAssociation", create(&domain));
        let id = domain["domainNameId"].as_str().unwrap();
        let arn = format!(
            "arn:aws:apigateway:us-east-1:000000000000:/domainnameaccessassociations/domainname/\
             p.example+{id}/vpcesource/vpce-abcd1234efg"
        );
        assert_eq!(made["domainNameAccessAssociationArn"], arn.as_str());
        let (kind, _) = world.refused("CreateDomainNameAccessAssociation", create(&domain));
        assert_eq!(kind, ErrorKind::Conflict);
        let listed = |owner: &str| call().query("resourceOwner", owner);
        assert_eq!(
            world.ok("GetDomainNameAccessAssociations", listed("SELF")),
            json!({"item": [made]})
        );
        assert_eq!(
            world.ok("GetDomainNameAccessAssociations", listed("OTHER_ACCOUNTS")),
            json!({"item": []})
        );
        let delete = || call().uri("domain_name_access_association_arn", &arn);
        world.ok("DeleteDomainNameAccessAssociation", delete());
        assert_eq!(
            world.refused("DeleteDomainNameAccessAssociation", delete()).0,
            ErrorKind::NotFound
        );
    }

    #[test]
    fn rejecting_ends_it_and_so_does_the_end_of_the_domain() {
        let (mut world, domain) = world();
        let made = world.ok("CreateDomainNameAccessAssociation", create(&domain));
        let reject = |domain: &str| {
            call()
                .query(
                    "domainNameAccessAssociationArn",
                    made["domainNameAccessAssociationArn"].clone(),
                )
                .query("domainNameArn", domain)
        };
        world.refused("RejectDomainNameAccessAssociation", reject("arn:other"));
        let arn = domain["domainNameArn"].as_str().unwrap();
        world.ok("RejectDomainNameAccessAssociation", reject(arn));
        world.ok("CreateDomainNameAccessAssociation", create(&domain));
        let delete = call().uri("domain_name", "p.example");
        world.ok("DeleteDomainName", delete.query("domainNameId", domain["domainNameId"].clone()));
        assert_eq!(world.ok("GetDomainNameAccessAssociations", call()), json!({"item": []}));
    }

    #[test]
    fn only_private_domains_and_vpc_endpoints_are_associated() {
        let (mut world, domain) = world();
        let public = json!({"domainName": "q.example", "certificateArn": CERTIFICATE});
        let public = world.ok("CreateDomainName", call().body(public));
        let with = |name: &str, value: &str| {
            let mut body = json!({
                "domainNameArn": domain["domainNameArn"], "accessAssociationSourceType": "VPCE",
                "accessAssociationSource": "vpce-1",
            });
            body[name] = json!(value);
            call().body(body)
        };
        for wrong in [
            create(&public),
            with("domainNameArn", "arn:aws:apigateway:us-east-1::/domainnames/none"),
            with("accessAssociationSourceType", "VPC"),
            with("accessAssociationSource", "vpc-1"),
        ] {
            let (kind, _) = world.refused("CreateDomainNameAccessAssociation", wrong);
            assert_eq!(kind, ErrorKind::BadRequest);
        }
    }
}
