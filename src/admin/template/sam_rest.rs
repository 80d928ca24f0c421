//! `AWS::Serverless::Api` and `AWS::Serverless::HttpApi`, each as the resources it stands for.
//!
//! The definitions are [`super::sam_body`]'s business; here are the resources around them: API,
//! deployment, stage, custom domain, usage plan. Properties that say something about other services
//! (Route 53 records) are named as skipped.

use serde_json::{Value as Json, json};

use super::apply::hash;
use super::document::{Resource, Skipped};
use super::functions::plain_text;
use super::sam::{Event, Expanding, Expansion};
use super::sam_body::Definition;
use super::{Fault, Object, text};

/// Characters of a hash in a logical id, as SAM has them.
const HASH_CHARACTERS: usize = 10;
/// Properties of a `Serverless::Api` that a RestApi has under the same name.
const REST_PROPERTIES: [&str; 13] = [
    "ApiKeySourceType",
    "Description",
    "DisableExecuteApiEndpoint",
    "EndpointAccessMode",
    "FailOnWarnings",
    "MinimumCompressionSize",
    "Mode",
    "Name",
    "Parameters",
    "Policy",
    "SecurityPolicy",
    "BinaryMediaTypes",
    "CloneFrom",
];
/// Those that its stage has.
const STAGE_PROPERTIES: [&str; 7] = [
    "AccessLogSetting",
    "CacheClusterEnabled",
    "CacheClusterSize",
    "CanarySetting",
    "MethodSettings",
    "TracingEnabled",
    "Variables",
];
/// Those that make the definition.
const DEFINITION_PROPERTIES: [&str; 16] = [
    "AlwaysDeploy",
    "Auth",
    "Cors",
    "CorsConfiguration",
    "DefaultRouteSettings",
    "DefinitionBody",
    "DefinitionUri",
    "Domain",
    "EndpointConfiguration",
    "GatewayResponses",
    "MergeDefinitions",
    "Models",
    "OpenApiVersion",
    "PropagateTags",
    "StageName",
    "Tags",
];
/// Those of a `Serverless::HttpApi` besides.
const HTTP_PROPERTIES: [&str; 7] = [
    "AccessLogSettings",
    "Description",
    "DisableExecuteApiEndpoint",
    "FailOnWarnings",
    "Name",
    "RouteSettings",
    "StageVariables",
];

fn resource(id: &str, kind: &str, properties: Json) -> Resource {
    Resource {
        kind: kind.to_owned(),
        properties: properties.as_object().cloned().unwrap_or_default(),
        depends_on: Vec::new(),
        origin: id.to_owned(),
        is_kept: false,
    }
}

fn reference(id: &str) -> Json {
    json!({ "Ref": id })
}

fn short_hash(text: &str) -> String {
    hash(text).chars().take(HASH_CHARACTERS).collect()
}

/// A map of tags as the list that v1 types want.
fn tag_list(tags: &Json) -> Json {
    let pairs = tags.as_object().into_iter().flatten();
    pairs.map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

impl Expanding<'_> {
    pub(super) fn rest_api(
        &self,
        id: &str,
        api: &Resource,
        events: &[Event],
        expansion: &mut Expansion,
        skipped: &mut Vec<Skipped>,
    ) -> Result<(), Fault> {
        let given = &api.properties;
        for name in given.keys() {
            let name = name.as_str();
            let known = [&REST_PROPERTIES[..], &STAGE_PROPERTIES, &DEFINITION_PROPERTIES];
            if !known.iter().any(|names| names.contains(&name)) {
                let message = format!("`{name}` is no property of AWS::Serverless::Api");
                return Err(Fault::of_resource(&api.origin, Some(name), message));
            }
        }
        let mut definition = Definition::of_rest(self, id, given)?;
        definition.complete_rest(id, given, events, skipped)?;
        let body = definition.into_json();

        let mut properties = picked(given, &REST_PROPERTIES);
        if let Some(types) = properties.get_mut("BinaryMediaTypes").and_then(Json::as_array_mut) {
            for kind in types {
                // SAM's spelling of a slash.
                *kind = kind
                    .as_str()
                    .map_or_else(|| kind.clone(), |kind| kind.replace("~1", "/").into());
            }
        }
        if let Some(endpoint) = given.get("EndpointConfiguration") {
            let endpoint = endpoint_configuration(endpoint);
            properties.insert("EndpointConfiguration".to_owned(), endpoint);
        }
        if let Some(tags) = given.get("Tags") {
            properties.insert("Tags".to_owned(), tag_list(tags));
        }
        let deployment = format!("{id}Deployment{}", short_hash(&body.to_string()));
        properties.insert("Body".to_owned(), body);
        let mut made = resource(id, "AWS::ApiGateway::RestApi", Json::Object(properties));
        made.depends_on.clone_from(&api.depends_on);
        made.is_kept = api.is_kept;
        expansion.resources.insert(id.to_owned(), made);

        let about = format!("RestApi deployment id: {deployment}");
        let properties = json!({"RestApiId": reference(id), "Description": about});
        let made = resource(id, "AWS::ApiGateway::Deployment", properties);
        expansion.resources.insert(deployment.clone(), made);

        let Some(name) = given.get("StageName") else {
            let message = "AWS::Serverless::Api needs a StageName";
            return Err(Fault::of_resource(&api.origin, None, message));
        };
        let stage = format!("{id}{}Stage", letters(name));
        let mut properties = picked(given, &STAGE_PROPERTIES);
        properties.insert("RestApiId".to_owned(), reference(id));
        properties.insert("DeploymentId".to_owned(), reference(&deployment));
        properties.insert("StageName".to_owned(), name.clone());
        if let Some(tags) = given.get("Tags") {
            properties.insert("Tags".to_owned(), tag_list(tags));
        }
        let made = resource(id, "AWS::ApiGateway::Stage", Json::Object(properties));
        expansion.resources.insert(stage.clone(), made);
        expansion.aliases.insert(format!("{id}.Stage"), stage.clone());
        expansion.aliases.insert(format!("{id}.Deployment"), deployment);
        usage_plan(id, given, &stage, expansion);
        domain(id, given, &stage, true, expansion, skipped)
    }

    pub(super) fn http_api(
        &self,
        id: &str,
        api: &Resource,
        events: &[Event],
        expansion: &mut Expansion,
        skipped: &mut Vec<Skipped>,
    ) -> Result<(), Fault> {
        let given = &api.properties;
        for name in given.keys() {
            let name = name.as_str();
            if !HTTP_PROPERTIES.contains(&name) && !DEFINITION_PROPERTIES.contains(&name) {
                let message = format!("`{name}` is no property of AWS::Serverless::HttpApi");
                return Err(Fault::of_resource(&api.origin, Some(name), message));
            }
        }
        let mut definition = Definition::of_http(self, id, given)?;
        definition.complete_http(id, given, events)?;
        let picks = ["Description", "DisableExecuteApiEndpoint", "FailOnWarnings", "Name", "Tags"];
        let mut properties = picked(given, &picks);
        properties.insert("Body".to_owned(), definition.into_json());
        let mut made = resource(id, "AWS::ApiGatewayV2::Api", Json::Object(properties));
        made.depends_on.clone_from(&api.depends_on);
        made.is_kept = api.is_kept;
        expansion.resources.insert(id.to_owned(), made);

        let name = given.get("StageName").cloned().unwrap_or_else(|| json!("$default"));
        let stage = match name.as_str() {
            Some("$default") => format!("{id}ApiGatewayDefaultStage"),
            _ => format!("{id}{}Stage", letters(&name)),
        };
        let picks = [
            "AccessLogSettings",
            "DefaultRouteSettings",
            "RouteSettings",
            "StageVariables",
            "Tags",
        ];
        let mut properties = picked(given, &picks);
        properties.insert("ApiId".to_owned(), reference(id));
        properties.insert("StageName".to_owned(), name);
        properties.insert("AutoDeploy".to_owned(), json!(true));
        let made = resource(id, "AWS::ApiGatewayV2::Stage", Json::Object(properties));
        expansion.resources.insert(stage.clone(), made);
        expansion.aliases.insert(format!("{id}.Stage"), stage.clone());
        domain(id, given, &stage, false, expansion, skipped)
    }
}

fn picked(given: &Object, names: &[&str]) -> Object {
    let wanted = given.iter().filter(|(name, _)| names.contains(&name.as_str()));
    wanted.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A stage's name within a logical id; nothing when it is not known yet.
fn letters(name: &Json) -> String {
    let name = plain_text(name).unwrap_or_default();
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// `REGIONAL`, or `{Type, VPCEndpointIds, IpAddressType}`.
fn endpoint_configuration(given: &Json) -> Json {
    if plain_text(given).is_some() || given.get("Ref").is_some() {
        return json!({"Types": [given]});
    }
    let mut configuration = Object::new();
    if let Some(kind) = given.get("Type") {
        configuration.insert("Types".to_owned(), json!([kind]));
    }
    for (name, member) in [("VPCEndpointIds", "VpcEndpointIds"), ("IpAddressType", "IpAddressType")]
    {
        if let Some(value) = given.get(name) {
            configuration.insert(member.to_owned(), value.clone());
        }
    }
    Json::Object(configuration)
}

/// `Auth.UsagePlan`: a plan and a key of the API's own, or shared by all that say so.
fn usage_plan(id: &str, given: &Object, stage: &str, expansion: &mut Expansion) {
    let plan = given.get("Auth").and_then(|auth| auth.get("UsagePlan")).and_then(Json::as_object);
    let Some(plan) = plan else { return };
    let base = match text(plan, "CreateUsagePlan") {
        Some("PER_API") => id.to_owned(),
        Some("SHARED") => "Serverless".to_owned(),
        _ => return,
    };
    let (plan_id, key_id) = (format!("{base}UsagePlan"), format!("{base}ApiKey"));
    let served = json!({"ApiId": reference(id), "Stage": reference(stage)});
    let key_of = json!({"RestApiId": reference(id), "StageName": reference(stage)});
    let mut add = |logical: &str, list: &str, item: Json, fresh: Resource| {
        let known = expansion.resources.entry(logical.to_owned()).or_insert(fresh);
        let items = known.properties.entry(list).or_insert_with(|| json!([]));
        items.as_array_mut().into_iter().for_each(|items| items.push(item.clone()));
    };
    let properties = picked(plan, &["Description", "Quota", "Throttle", "UsagePlanName", "Tags"]);
    let fresh = resource(id, "AWS::ApiGateway::UsagePlan", Json::Object(properties));
    add(&plan_id, "ApiStages", served, fresh);
    let fresh = resource(id, "AWS::ApiGateway::ApiKey", json!({"Enabled": true}));
    add(&key_id, "StageKeys", key_of, fresh);
    let properties = json!({
        "KeyId": reference(&key_id), "KeyType": "API_KEY", "UsagePlanId": reference(&plan_id)
    });
    let made = resource(id, "AWS::ApiGateway::UsagePlanKey", properties);
    expansion.resources.insert(format!("{base}UsagePlanKey"), made);
}

/// `Domain`: a custom domain name, shared by the APIs that name it, and mappings to the stage.
fn domain(
    id: &str,
    given: &Object,
    stage: &str,
    is_rest: bool,
    expansion: &mut Expansion,
    skipped: &mut Vec<Skipped>,
) -> Result<(), Fault> {
    let Some(domain) = given.get("Domain").and_then(Json::as_object) else { return Ok(()) };
    let (Some(name), Some(certificate)) = (domain.get("DomainName"), domain.get("CertificateArn"))
    else {
        let message = "Domain needs DomainName and CertificateArn";
        return Err(Fault::of_resource(id, Some("Domain"), message));
    };
    if domain.contains_key("Route53") {
        skipped.push(Skipped {
            id: format!("{id}.Domain.Route53"),
            kind: "AWS::Route53::RecordSetGroup".to_owned(),
            why: "not API Gateway's".to_owned(),
        });
    }
    let endpoint = domain.get("EndpointConfiguration").cloned();
    let endpoint = endpoint.unwrap_or_else(|| json!("REGIONAL"));
    let kind =
        if is_rest { "AWS::ApiGateway::DomainName" } else { "AWS::ApiGatewayV2::DomainName" };
    let logical = match is_rest {
        true => format!("ApiGatewayDomainName{}", short_hash(&name.to_string())),
        false => format!("ApiGatewayDomainNameV2{}", short_hash(&name.to_string())),
    };
    let mut properties = picked(
        domain,
        match is_rest {
            true => &[
                "DomainName",
                "MutualTlsAuthentication",
                "SecurityPolicy",
                "OwnershipVerificationCertificateArn",
            ],
            false => &["DomainName", "MutualTlsAuthentication"],
        },
    );
    if is_rest {
        let member = match endpoint.as_str() {
            Some("EDGE") => "CertificateArn",
            _ => "RegionalCertificateArn",
        };
        properties.insert(member.to_owned(), certificate.clone());
        properties.insert("EndpointConfiguration".to_owned(), json!({"Types": [endpoint]}));
    } else {
        let mut one = Object::new();
        one.insert("CertificateArn".to_owned(), certificate.clone());
        one.insert("EndpointType".to_owned(), endpoint);
        one.extend(picked(domain, &["SecurityPolicy", "OwnershipVerificationCertificateArn"]));
        properties.insert("DomainNameConfigurations".to_owned(), json!([one]));
    }
    let made = resource(id, kind, Json::Object(properties));
    expansion.resources.entry(logical.clone()).or_insert(made);
    let bases = match domain.get("BasePath") {
        Some(Json::Array(bases)) => bases.clone(),
        Some(one) => vec![one.clone()],
        None => vec![Json::Null],
    };
    for base in bases {
        let path = plain_text(&base).unwrap_or_default();
        let path = path.trim_start_matches('/');
        let shown: String = path.chars().filter(char::is_ascii_alphanumeric).collect();
        let (kind, own) = match is_rest {
            true => ("AWS::ApiGateway::BasePathMapping", ["RestApiId", "BasePath"]),
            false => ("AWS::ApiGatewayV2::ApiMapping", ["ApiId", "ApiMappingKey"]),
        };
        let mut properties = json!({"DomainName": reference(&logical), "Stage": reference(stage)});
        properties[own[0]] = reference(id);
        if !path.is_empty() {
            properties[own[1]] = Json::from(path);
        }
        let made = resource(id, kind, properties);
        let ending = if is_rest { "BasePathMapping" } else { "ApiMapping" };
        expansion.resources.insert(format!("{id}{shown}{ending}"), made);
    }
    Ok(())
}
