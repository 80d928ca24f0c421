//! The way to a backend: its own host, or the targets behind a VPC link; and as whom we go there.
//!
//! Both are the stage's business as much as the integration's: a link's id may stand in a stage
//! variable, and the certificate a backend asks for is the stage's. They are decided when the stage
//! is compiled. An integration that names a link never goes another way, also where the link leads
//! nowhere: what stands behind it may not be what the same name means elsewhere.
//!
//! AWS: "Set up a private integration", "Generate and configure an SSL certificate for backend
//! authentication".

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;

use super::endpoint::{self, Endpoint, Place};
use super::{
    Backend, CompiledIntegration, IntegrationError, IntegrationRequest, Integrations, Kind,
};
use crate::model::rest_api;
use crate::model::stage::DomainCertificate;
use crate::net::client::{ClientIdentity, Host, Manner, Target};

/// How a stage reaches its backends.
#[derive(Clone, Copy, Debug)]
pub struct Access<'s> {
    pub stage_variables: &'s IndexMap<String, String>,
    /// Id of each VPC link → ARNs of the load balancers behind it; none where the integration says.
    pub vpc_links: &'s IndexMap<String, Vec<String>>,
    /// What is presented to a backend that asks for a certificate.
    pub client_certificate: Option<&'s DomainCertificate>,
}

#[derive(Debug)]
pub(super) enum Way {
    /// To the URI's host; looked up by the first call.
    Host(OnceLock<Arc<Host>>),
    /// To whatever stands behind the ARN, or behind a link of this id that only the topology knows;
    /// or why there is nothing.
    Link(Result<Arc<str>, Arc<str>>),
}

impl Way {
    /// Before the stage is known: an integration behind a link is nowhere.
    pub(super) fn of(integration: &rest_api::Integration) -> Self {
        match &integration.vpc_link {
            None => Way::Host(OnceLock::new()),
            Some(_) => Way::Link(Err(Arc::from("the VPC link is not known here"))),
        }
    }
}

/// The manner of an integration before the stage is known.
pub(super) fn manner(integration: &rest_api::Integration) -> Manner {
    Manner {
        server_name: integration.server_name_to_verify.as_deref().map(Arc::from),
        ..Manner::default()
    }
}

impl CompiledIntegration {
    /// The same with what its stage adds. `integration` is what it was compiled from.
    pub fn reached(mut self, integration: &rest_api::Integration, access: Access<'_>) -> Self {
        let (Kind::Http(backend) | Kind::HttpProxy(backend)) = &mut self.kind else { return self };
        if let Some(link) = &integration.vpc_link {
            backend.way = Way::Link(linked(link, integration, access));
        }
        if let Some(certificate) = access.client_certificate {
            match ClientIdentity::from_pem(&certificate.chain, &certificate.key) {
                Ok(identity) => backend.manner.identity = Some(Arc::new(identity)),
                Err(err) => {
                    let why = format!("the stage's client certificate cannot be used: {err}");
                    backend.endpoint = Err(Arc::from(why));
                }
            }
        }
        self
    }
}

/// The ARN that a link leads to; the link itself where the control plane has none of that id.
fn linked(
    link: &str,
    integration: &rest_api::Integration,
    access: Access<'_>,
) -> Result<Arc<str>, Arc<str>> {
    let id = endpoint::with_stage_variables(link, access.stage_variables);
    let target = integration.integration_target.as_deref();
    let target =
        target.map(|target| endpoint::with_stage_variables(target, access.stage_variables));
    let Some(targets) = access.vpc_links.get(&id) else { return Ok(Arc::from(id)) };
    let arn = target.as_deref().or_else(|| targets.first().map(String::as_str));
    arn.map(Arc::from).ok_or_else(|| {
        let why =
            format!("VPC link `{id}` leads nowhere: the integration has no integrationTarget");
        Arc::from(why)
    })
}

impl Integrations {
    /// The connections to the URI's host, kept where every call means the same one.
    pub(super) fn host<'b>(
        &self,
        backend: &'b Backend,
        known: &'b OnceLock<Arc<Host>>,
        endpoint: &Endpoint,
        request: &IntegrationRequest<'_>,
    ) -> Result<Cow<'b, Arc<Host>>, IntegrationError> {
        let target = match &endpoint.place {
            Place::Fixed(target) => target,
            Place::Open { .. } => {
                let target = named(endpoint, request)?;
                let host = self.client.host_if_room(&target, &backend.manner);
                let full = || IntegrationError::Network(Arc::from("calls name too many hosts"));
                return host.map(Cow::Owned).ok_or_else(full);
            }
        };
        let known = known.get_or_init(|| self.client.host_as(target, &backend.manner));
        Ok(match self.client.owns(known) {
            true => Cow::Borrowed(known),
            false => Cow::Owned(self.client.host_as(target, &backend.manner)),
        })
    }
}

/// The host that the URI names for this call.
pub(super) fn named<'e>(
    endpoint: &'e Endpoint,
    request: &IntegrationRequest<'_>,
) -> Result<Cow<'e, Target>, IntegrationError> {
    endpoint.target(&request.mapped.path).map_err(IntegrationError::BadEndpoint)
}
