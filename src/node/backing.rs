//! What stands behind a stage and is kept apart from it: the certificate it shows its backends, and
//! what the VPC links of its integrations lead to.
//!
//! Only the region has either. A stage names a certificate by its id, an integration a link by its
//! id or by a stage variable that holds the id; so a stage gets all links there are as soon as one
//! of its integrations names its link by a variable.
//!
//! AWS: API Gateway REST API Reference, "ClientCertificate", "VpcLink"; API Gateway Version 2 API
//! Reference, "VpcLinks".

use indexmap::IndexMap;
use serde_json::Value;

use crate::admin::rest::client_certificates::PRIVATE_KEY;
use crate::model::rest_api::RestApi;
use crate::model::stage::{DomainCertificate, StageDeployment};
use crate::store::control::{Body, Kind, Object, State};

/// Id of each link → ARNs of the load balancers behind it; none where each integration says.
pub(super) type Links = IndexMap<String, Vec<String>>;

/// The connection type of an integration behind a link.
pub(super) const VPC_LINK: &str = "VPC_LINK";

/// All links of both kinds.
pub(super) fn links(state: &State) -> Links {
    let mut links = Links::new();
    for (id, object) in state.list(Kind::VpcLink, "") {
        let targets = object.body.get("targetArns").and_then(Value::as_array).into_iter().flatten();
        let targets = targets.filter_map(Value::as_str).map(ToOwned::to_owned);
        links.insert(id.to_string(), targets.collect());
    }
    for (id, _) in state.list(Kind::VpcLinkV2, "") {
        links.insert(id.to_string(), Vec::new());
    }
    links
}

/// The certificate that a stage names.
pub(super) fn certificate<'s>(state: &'s State, stage: &Body) -> Option<&'s Object> {
    let id = stage.get("clientCertificateId").and_then(Value::as_str)?;
    state.get(Kind::ClientCertificate, "", id)
}

/// Completes a stage; of `stage` only `clientCertificateId` is read.
///
/// # Errors
/// The stage names a certificate that is not there. Going without would be refused by the backend,
/// or worse, be let in as nobody.
pub(super) fn put_in(
    state: &State,
    stage: &Body,
    links: &Links,
    deployment: &mut StageDeployment,
) -> Result<(), String> {
    let named = stage.get("clientCertificateId").and_then(Value::as_str);
    if let Some(id) = named.filter(|id| !id.is_empty()) {
        let found = certificate(state, stage).and_then(|object| identity(&object.body));
        let found = found.ok_or_else(|| format!("there is no client certificate `{id}`"))?;
        deployment.stage.client_certificate = Some(found);
    }
    let canary = deployment.stage.canary.as_ref().map(|canary| &canary.api);
    let named: Vec<&str> =
        [Some(&deployment.api), canary].into_iter().flatten().flat_map(named_links).collect();
    let by_variable = named.iter().any(|link| link.contains("${"));
    let wanted = links.iter().filter(|(id, _)| by_variable || named.contains(&id.as_str()));
    deployment.vpc_links = match named.is_empty() {
        true => Links::new(),
        false => wanted.map(|(id, targets)| (id.clone(), targets.clone())).collect(),
    };
    Ok(())
}

fn identity(body: &Body) -> Option<DomainCertificate> {
    let own = |name: &str| body.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    Some(DomainCertificate { chain: own("pemEncodedCertificate")?, key: own(PRIVATE_KEY)? })
}

fn named_links(api: &RestApi) -> impl Iterator<Item = &str> {
    let methods = api.resources.iter().flat_map(|resource| &resource.methods);
    methods.filter_map(|method| method.integration.vpc_link.as_deref())
}
