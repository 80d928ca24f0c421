//! Tags of everything in v1 that can have some, by ARN.
//!
//! AWS: API Gateway API Reference, "TagResource"; Developer Guide, "Tagging your API Gateway
//! resources", "Amazon Resource Names (ARNs) for API Gateway resources".

use std::sync::Arc;

use serde_json::json;

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::patch;
use crate::admin::rest::shared::{drop_empty, each, member, nothing, text, texts, unknown_api};
use crate::model::quotas;
use crate::store::control::{Body, Kind};

pub const OPERATIONS: Operations =
    &[("TagResource", tag_resource), ("UntagResource", untag_resource), ("GetTags", get_tags)];

/// Whether these may be tags: AWS's limits, and no key of AWS's own.
pub(crate) fn check(tags: &Body) -> Result<(), ApiError> {
    if tags.len() > quotas::TAGS_MAX {
        return Err(ApiError::bad_request(format!(
            "A resource can have at most {} tags",
            quotas::TAGS_MAX
        )));
    }
    for (key, value) in tags {
        let length = key.chars().count();
        if length == 0 || length > quotas::TAG_KEY_MAX {
            return Err(ApiError::bad_request(format!(
                "Tag keys must have between 1 and {} characters: {key}",
                quotas::TAG_KEY_MAX
            )));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(ApiError::bad_request(format!(
                "Tag keys beginning with aws: are reserved: {key}"
            )));
        }
        if value.as_str().is_some_and(|value| value.chars().count() > quotas::TAG_VALUE_MAX) {
            return Err(ApiError::bad_request(format!(
                "Tag values can have at most {} characters: {key}",
                quotas::TAG_VALUE_MAX
            )));
        }
    }
    Ok(())
}

fn tag_resource(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut found = Tagged::find(context, input)?;
    let sent = member(&input.body, "tags").cloned().unwrap_or_default();
    let tags = patch::object(&mut found.body, "tags");
    tags.extend(sent.into_iter().filter(|(_, value)| !value.is_null()));
    check(tags)?;
    found.save(context);
    Ok(nothing())
}

fn untag_resource(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let mut found = Tagged::find(context, input)?;
    let tags = patch::object(&mut found.body, "tags");
    for key in texts(&input.query, "tagKeys").chain(input.query_text("tagKeys")) {
        tags.shift_remove(key);
    }
    found.save(context);
    Ok(nothing())
}

fn get_tags(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let found = Tagged::find(context, input)?;
    let mut answer = Body::new();
    let tags = found.body.get("tags").cloned().unwrap_or_else(|| json!({}));
    answer.insert("tags".to_owned(), tags);
    Ok(Outcome::Body(answer))
}

/// An object that has tags, or could have.
struct Tagged {
    kind: Kind,
    scope: String,
    id: Arc<str>,
    body: Body,
}

impl Tagged {
    fn find(context: &Context<'_>, input: &Input) -> Result<Self, ApiError> {
        let arn = input.label("resource_arn");
        let path = path_of(context, arn)
            .ok_or_else(|| ApiError::bad_request("Invalid ARN specified in the request"))?;
        let segments: Vec<&str> = path.split('/').collect();
        match segments.as_slice() {
            ["restapis", api] => {
                Self::get(context, Kind::RestApi, "", api).ok_or_else(|| unknown_api(context, api))
            }
            ["restapis", api, "stages", stage] => {
                if !context.txn.contains(Kind::RestApi, "", api) {
                    return Err(unknown_api(context, api));
                }
                Self::get(context, Kind::Stage, api, stage)
                    .ok_or_else(|| ApiError::not_found("Invalid stage identifier specified"))
            }
            ["apikeys", id] => Self::get(context, Kind::ApiKey, "", id)
                .ok_or_else(|| ApiError::not_found("Invalid API Key identifier specified")),
            ["usageplans", id] => Self::get(context, Kind::UsagePlan, "", id)
                .ok_or_else(|| ApiError::not_found("Invalid Usage Plan ID specified")),
            ["vpclinks", id] => Self::get(context, Kind::VpcLink, "", id)
                .ok_or_else(|| ApiError::not_found("Invalid Vpc Link identifier specified")),
            ["clientcertificates", id] => Self::get(context, Kind::ClientCertificate, "", id)
                .ok_or_else(|| {
                    ApiError::not_found("Invalid Client Certificate identifier specified")
                }),
            ["domainnames", name] => Self::get(context, Kind::DomainName, "", name)
                .or_else(|| Self::by_arn(context, Kind::DomainName, "domainNameArn", arn))
                .ok_or_else(|| ApiError::not_found("Invalid domain name identifier specified")),
            ["domainnameaccessassociations", ..] => {
                let kind = Kind::DomainNameAccessAssociation;
                Self::by_arn(context, kind, "domainNameAccessAssociationArn", arn).ok_or_else(
                    || {
                        ApiError::not_found(
                            "Invalid domain name access association identifier specified",
                        )
                    },
                )
            }
            _ => Err(ApiError::bad_request("Invalid ARN specified in the request")),
        }
    }

    fn get(context: &Context<'_>, kind: Kind, scope: &str, id: &str) -> Option<Self> {
        let body = context.txn.get(kind, scope, id)?;
        Some(Self { kind, scope: scope.to_owned(), id: id.into(), body: Body::clone(&body) })
    }

    /// Private domains and their associations have more in their ARN than their id.
    fn by_arn(context: &Context<'_>, kind: Kind, name: &str, arn: &str) -> Option<Self> {
        let mut found = None;
        each(context.txn, kind, "", |id, body| {
            if text(body, name) == Some(arn) {
                found = Some(Arc::clone(id));
            }
        });
        Self::get(context, kind, "", &found?)
    }

    fn save(mut self, context: &mut Context<'_>) {
        drop_empty(&mut self.body, "tags");
        context.txn.put(self.kind, &self.scope, &self.id, self.body);
    }
}

/// What stands after `arn:{partition}:apigateway:{region}:{account}:/` of an ARN of ours. The
/// account is empty in most, ours in those of private domains.
fn path_of<'a>(context: &Context<'_>, arn: &'a str) -> Option<&'a str> {
    let site = context.site;
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "apigateway", region, account, path]
            if *partition == site.partition
                && *region == site.aws_region
                && (account.is_empty() || *account == site.account_id) =>
        {
            path.strip_prefix('/')
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "tags_tests.rs"]
mod tests;
