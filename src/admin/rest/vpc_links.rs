//! VPC links of REST APIs: a name for a network load balancer that an integration may call.
//!
//! What the ARN leads to is the topology's business: a link to what the topology does not know has
//! failed, until it does. Any other is ready at once.
//! AWS: API Gateway API Reference, "VpcLink".

use serde_json::{Value, json};

use super::support::{self, ID_LENGTH};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page::page;
use crate::admin::protocol::patch::{self, Apply, Op, PatchOperation, Rule, Wording};
use crate::store::control::{Body, Kind};

pub const OPERATIONS: Operations = &[
    ("CreateVpcLink", create_vpc_link),
    ("GetVpcLink", get_vpc_link),
    ("GetVpcLinks", get_vpc_links),
    ("UpdateVpcLink", update_vpc_link),
    ("DeleteVpcLink", delete_vpc_link),
];

/// Recorded.
const READY: &str = "Your vpc link is ready for use";

const PATCH: &[Rule] = &[
    Rule { path: "/name", ops: &[Op::Replace], apply: Apply::Custom(rename) },
    Rule { path: "/description", ops: &[Op::Replace], apply: Apply::TextOrNothing },
];

fn create_vpc_link(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let name = input.text("name").filter(|name| !name.is_empty()).ok_or_else(no_name)?;
    let targets = support::texts(&input.body, "targetArns");
    if targets.is_empty() {
        return Err(ApiError::bad_request("Target ARNs cannot be empty"));
    }
    for arn in &targets {
        if !support::is_arn(arn) {
            return Err(ApiError::bad_request(format!(
                "Invalid ARN. ARN is not well formed {arn}"
            )));
        }
    }
    if targets.len() > 1 {
        return Err(ApiError::bad_request("Only one target ARN can be specified for a vpc link"));
    }
    let id = support::new_id(context, Kind::VpcLink, "", ID_LENGTH);
    let mut link = Body::new();
    link.insert("id".to_owned(), Value::from(id.as_str()));
    link.insert("name".to_owned(), Value::from(name));
    support::copy_texts(&mut link, input, &["description"]);
    link.insert("targetArns".to_owned(), json!(targets));
    support::keep_tags(&mut link, input)?;
    // Recorded: the answer to a create is always the pending one.
    let mut answer = support::shown(&link);
    answer.insert("status".to_owned(), Value::from("PENDING"));
    context.txn.put(Kind::VpcLink, "", &id, link);
    Ok(Outcome::Body(answer))
}

fn get_vpc_link(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let link = with_status(context, find(context, input)?);
    Ok(Outcome::Body(support::shown_with_tags(&link)))
}

fn get_vpc_links(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let links = context.txn.list(Kind::VpcLink, "").into_iter();
    let links = links.map(|(id, link)| (id, with_status(context, Body::clone(&link))));
    Ok(page(input, links.map(|(id, link)| (id, support::shown(&link)))))
}

/// The status is not kept: the topology may know the load balancer after the next start.
fn with_status(context: &Context<'_>, mut link: Body) -> Body {
    let known = &context.site.installation.load_balancers;
    let targets = support::texts(&link, "targetArns");
    let unknown =
        targets.iter().find(|arn| !known.is_empty() && !known.iter().any(|other| other == **arn));
    let (status, message) = match unknown {
        None => ("AVAILABLE", READY.to_owned()),
        Some(arn) => (
            "FAILED",
            format!(
                "There is no load balancer {arn}. Add it to the topology as \
                 [[region.load_balancer]]."
            ),
        ),
    };
    link.insert("status".to_owned(), Value::from(status));
    link.insert("statusMessage".to_owned(), Value::from(message));
    link
}

fn update_vpc_link(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut link = find(context, input)?;
    patch::apply(&mut link, &patch::read(input)?, PATCH, Wording::Listing)?;
    let answer = support::shown_with_tags(&with_status(context, link.clone()));
    context.txn.put(Kind::VpcLink, "", input.label("vpclink_id"), link);
    Ok(Outcome::Body(answer))
}

fn delete_vpc_link(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    find(context, input)?;
    let id = input.label("vpclink_id");
    let users = users(context, id);
    if !users.is_empty() {
        return Err(ApiError::bad_request(format!(
            "Cannot delete vpc link. Vpc link '{id}', is referenced in [{}] in format of \
             [Method:Resource:Stage].",
            users.join(", ")
        )));
    }
    context.txn.delete(Kind::VpcLink, "", id);
    support::nothing()
}

/// Deployed methods that call through this link, `Method:Resource:Stage`.
fn users(context: &Context<'_>, link: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (api, _) in context.txn.list(Kind::RestApi, "") {
        for (stage, settings) in context.txn.list(Kind::Stage, &api) {
            let deployment = support::text(&settings, "deploymentId");
            let frozen = context.txn.get(Kind::DeploymentDefinition, &api, deployment);
            let Some(frozen) = frozen else { continue };
            let definition = support::text(&frozen, "definition");
            // Most definitions do not know the link, and need not be read to see that.
            if !definition.contains(link) {
                continue;
            }
            let definition: Value = serde_json::from_str(definition).unwrap_or_default();
            let resources = definition["resources"].as_array().map(Vec::as_slice);
            for resource in resources.unwrap_or_default() {
                let methods = resource["resourceMethods"].as_object();
                for (verb, method) in methods.into_iter().flatten() {
                    if method["methodIntegration"]["connectionId"] == link {
                        let id = resource["id"].as_str().unwrap_or_default();
                        found.push(format!("{verb}:{id}:{stage}"));
                    }
                }
            }
        }
    }
    found
}

fn rename(link: &mut Body, operation: &PatchOperation) -> Result<(), ApiError> {
    if operation.value().is_empty() {
        return Err(no_name());
    }
    link.insert("name".to_owned(), Value::from(operation.value()));
    Ok(())
}

fn find(context: &Context<'_>, input: &Input) -> Result<Body, ApiError> {
    let found = context.txn.get(Kind::VpcLink, "", input.label("vpclink_id"));
    let found =
        found.ok_or_else(|| ApiError::not_found("Invalid Vpc Link identifier specified"))?;
    Ok(Body::clone(&found))
}

fn no_name() -> ApiError {
    ApiError::bad_request("Name cannot be empty")
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Call, World, call, object};
    use super::*;
    use crate::admin::protocol::error::ErrorKind;

    const NLB: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/net/n/1";

    fn create() -> Call {
        call().body(json!({"name": "v", "targetArns": [NLB]}))
    }

    #[test]
    fn a_link_answers_pending_and_is_ready_at_once() {
        let mut world = World::new(&[OPERATIONS]);
        let made = world.ok("CreateVpcLink", create());
        assert_eq!(made["status"], "PENDING");
        assert!(made.get("tags").is_none());
        let id = made["id"].as_str().unwrap();
        let got = world.ok("GetVpcLink", call().uri("vpclink_id", id));
        assert_eq!(
            got,
            json!({
                "id": id, "name": "v", "targetArns": [NLB], "status": "AVAILABLE",
                "statusMessage": "Your vpc link is ready for use", "tags": {},
            })
        );
    }

    /// Ours: on AWS a load balancer exists or it does not; here the topology has to name it.
    #[test]
    fn a_link_to_what_the_topology_does_not_know_has_failed() {
        let mut world = World::new(&[OPERATIONS]);
        let id = world.id("CreateVpcLink", create(), "id");
        for (known, status) in [(NLB.replace('n', "m"), "FAILED"), (NLB.to_owned(), "AVAILABLE")] {
            world.site.installation.load_balancers = vec![known];
            let got = world.ok("GetVpcLink", call().uri("vpclink_id", &id));
            assert_eq!(got["status"], status);
            let said = got["statusMessage"].as_str().unwrap();
            assert_eq!(said.contains("[[region.load_balancer]]"), status == "FAILED", "{said}");
            assert_eq!(world.ok("GetVpcLinks", call())["item"][0]["status"], status);
        }
    }

    #[test]
    fn refusals_of_create_and_get() {
        let mut world = World::new(&[OPERATIONS]);
        let bad = |message: &str| (ErrorKind::BadRequest, message.to_owned());
        let arn = call().body(json!({"name": "v", "targetArns": ["invalid-arn"]}));
        assert_eq!(
            world.refused("CreateVpcLink", arn),
            bad("Invalid ARN. ARN is not well formed invalid-arn")
        );
        let name = call().body(json!({"name": "", "targetArns": [NLB]}));
        assert_eq!(world.refused("CreateVpcLink", name), bad("Name cannot be empty"));
        for operation in ["GetVpcLink", "DeleteVpcLink", "UpdateVpcLink"] {
            assert_eq!(
                world.refused(operation, call().uri("vpclink_id", "abc123")),
                (ErrorKind::NotFound, "Invalid Vpc Link identifier specified".to_owned())
            );
        }
    }

    #[test]
    fn name_and_description_can_be_replaced_and_nothing_else() {
        let mut world = World::new(&[OPERATIONS]);
        let id = world.id("CreateVpcLink", create(), "id");
        let at = || call().uri("vpclink_id", &id);
        let changed = world.ok(
            "UpdateVpcLink",
            at().patch(&[
                ("replace", "/name", json!("w")),
                ("replace", "/description", json!("d")),
            ]),
        );
        assert_eq!((&changed["name"], &changed["description"]), (&json!("w"), &json!("d")));
        let (_, message) =
            world.refused("UpdateVpcLink", at().patch(&[("replace", "/targetArns", json!("x"))]));
        assert_eq!(
            message,
            "Invalid patch path  '/targetArns' specified for op 'replace'. \
             Must be one of: [/name, /description]"
        );
        let (_, message) =
            world.refused("UpdateVpcLink", at().patch(&[("replace", "/name", json!(""))]));
        assert_eq!(message, "Name cannot be empty");
    }

    #[test]
    fn a_link_that_a_deployed_method_uses_cannot_be_deleted() {
        let mut world = World::new(&[OPERATIONS]);
        let id = world.id("CreateVpcLink", create(), "id");
        let definition = json!({"resources": [{"id": "r00000", "resourceMethods": {
            "ANY": {"methodIntegration": {"connectionId": id}}
        }}]});
        world.txn.put(
            Kind::DeploymentDefinition,
            "api1234567",
            "d00000",
            object(json!({"definition": definition.to_string()})),
        );
        let stage = object(json!({"stageName": "dev", "deploymentId": "d00000"}));
        world.txn.put(Kind::Stage, "api1234567", "dev", stage);
        let (_, message) = world.refused("DeleteVpcLink", call().uri("vpclink_id", &id));
        assert_eq!(
            message,
            format!(
                "Cannot delete vpc link. Vpc link '{id}', is referenced in [ANY:r00000:dev] \
                 in format of [Method:Resource:Stage]."
            )
        );
        world.txn.delete(Kind::Stage, "api1234567", "dev");
        world.ok("DeleteVpcLink", call().uri("vpclink_id", &id));
        assert_eq!(world.ok("GetVpcLinks", call())["item"], json!([]));
    }
}
