//! VPC links of the second kind: a network's inside, named by subnets and security groups.
//!
//! AWS: API Gateway Version 2 API Reference, "VpcLinks".

use serde_json::{Value, json};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::v2::family::{Family, Owner, Place, default, handlers, text};
use crate::store::control::{Body, Kind};

pub(super) const OPERATIONS: Operations = &[
    ("CreateVpcLink", create),
    ("GetVpcLink", get),
    ("GetVpcLinks", list),
    ("UpdateVpcLink", update),
    ("DeleteVpcLink", delete),
];

const VPC_LINKS: Family = Family {
    kind: Kind::VpcLinkV2,
    id: "vpcLinkId",
    noun: "VPC link",
    id_length: 6,
    owner: Owner::Nobody,
    prepare,
};

handlers!(VPC_LINKS: create = create, get = get, list = list, update = update);

fn prepare(
    cx: &mut Context<'_>,
    _place: &Place,
    before: Option<&Body>,
    body: &mut Body,
) -> Result<(), ApiError> {
    if text(body, "name").is_empty() {
        return Err(ApiError::bad_request("Name must be specified"));
    }
    if before.is_none() {
        let subnets = body.get("subnetIds").and_then(Value::as_array);
        if subnets.is_none_or(Vec::is_empty) {
            return Err(ApiError::bad_request("SubnetIds must not be empty"));
        }
        default(body, "securityGroupIds", json!([]));
        default(body, "tags", json!({}));
        body.insert("createdDate".to_owned(), cx.seconds());
        // There is no network interface to wait for.
        body.insert("vpcLinkStatus".to_owned(), Value::from("AVAILABLE"));
        body.insert(
            "vpcLinkStatusMessage".to_owned(),
            Value::from("VPC link is ready to route traffic"),
        );
        body.insert("vpcLinkVersion".to_owned(), Value::from("V2"));
    }
    Ok(())
}

fn delete(cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let id = input.label("vpcLinkId");
    for (_, api, integration) in used_integrations(cx) {
        if text(&integration, "connectionId") == id {
            return Err(ApiError::bad_request(format!(
                "VPC link {id} is used by an integration of API {api}"
            )));
        }
    }
    VPC_LINKS.delete(cx, input)
}

fn used_integrations(cx: &Context<'_>) -> Vec<(String, String, Body)> {
    let apis = cx.txn.list(Kind::HttpApi, "");
    apis.into_iter()
        .flat_map(|(api, _)| {
            let found = cx.txn.list(Kind::HttpIntegration, &api).into_iter();
            found
                .map(|(id, body)| (id.to_string(), api.to_string(), Body::clone(&body)))
                .collect::<Vec<_>>()
        })
        .collect()
}
