//! Services of AWS behind a method: addresses, credentials, signed requests.
//!
//! A service lives where the topology says, else at AWS itself. Requests are signed with the keys of
//! the integration's role: stored ones, or temporary ones that a Security Token Service gives for
//! it. What a service answers goes through `mapping::responses` like any backend's answer.
//!
//! Not here: the caller's own credentials (`arn:aws:iam::*:user/*`), since no authorizer brings any
//! yet. AWS: "AWS integrations for REST APIs in API Gateway"; API Gateway REST API Reference,
//! "PutIntegration".

mod base;
mod credentials;
pub(crate) mod service;
pub(crate) mod ssm_query;
mod uri;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use indexmap::IndexMap;

use crate::net::aws::{Scope, Secret, Signer};
use crate::net::client::{HttpClient, Scheme, Target};
use crate::net::clock::Clock;

pub(crate) use base::Base;
pub(crate) use credentials::Keyring;
pub(crate) use service::Service;
pub(crate) use uri::{Api, AwsUri, Function};

/// AWS's own services, where the topology names no other.
const DOMAIN: &str = "amazonaws.com";

/// What an operator says of services and keys.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub lambda: LambdaConfig,
    /// By the service's name in integration URIs.
    pub services: IndexMap<String, ServiceConfig>,
    /// By the role's ARN; `*` is every role that has none of its own.
    pub roles: IndexMap<String, Keys>,
    /// Where roles without stored keys are assumed, and with whose keys.
    pub sts: Option<StsConfig>,
}

/// Where functions are invoked that this node does not run itself.
#[derive(Clone, Debug, Default)]
pub struct LambdaConfig {
    /// `http://host:port`; `None` is AWS, where there are keys, and nowhere without.
    pub endpoint: Option<String>,
    /// By the function's name: an address of its own.
    pub functions: IndexMap<String, String>,
    /// `None`: requests are not signed, unless the integration names a role.
    pub keys: Option<Keys>,
    /// `None`: the one in the integration's URI.
    pub aws_region: Option<String>,
}

#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// `http://host:port`.
    pub endpoint: String,
    /// The name in the signature's scope, where it is not the URI's.
    pub signing_name: Option<String>,
}

#[derive(Clone, Debug)]
pub struct StsConfig {
    /// `http://host:port`; `None` is AWS.
    pub endpoint: Option<String>,
    pub keys: Keys,
    pub aws_region: String,
}

/// A key pair.
#[derive(Clone, Debug)]
pub struct Keys {
    pub access_key_id: String,
    pub secret: Secret,
}

impl Keys {
    pub(crate) fn signer(&self, aws_region: &str, service: &str) -> Signer {
        Signer {
            access_key_id: self.access_key_id.clone(),
            secret: self.secret.clone(),
            scope: Scope { aws_region: aws_region.to_owned(), service: service.to_owned() },
        }
    }
}

/// What all AWS integrations of a node share.
#[derive(Debug)]
pub struct Aws {
    pub(crate) client: HttpClient,
    pub(crate) clock: Clock,
    pub(crate) keyring: Keyring,
    services: IndexMap<String, (Base, Option<String>)>,
}

impl Aws {
    /// # Errors
    /// What is wrong with an address.
    pub fn new(config: Config, client: HttpClient, clock: Clock) -> Result<Self, Arc<str>> {
        let Config { lambda: _, services, roles, sts } = config;
        let keyring = Keyring::new(roles, sts, client.clone(), clock.clone())?;
        let services = services
            .into_iter()
            .map(|(name, service)| {
                Ok((name, (Base::parse(&service.endpoint)?, service.signing_name)))
            })
            .collect::<Result<_, Arc<str>>>()?;
        Ok(Self { client, clock, keyring, services })
    }

    /// The configured address of a service, and its name in signatures.
    fn service(&self, name: &str) -> Option<&(Base, Option<String>)> {
        self.services.get(name)
    }
}

/// AWS's own address of a service in a region.
pub(crate) fn public(service: &str, aws_region: &str) -> Base {
    let china = if aws_region.starts_with("cn-") { ".cn" } else { "" };
    let host = Arc::from(format!("{service}.{aws_region}.{DOMAIN}{china}"));
    Base { target: Target { scheme: Scheme::Https, host, port: 443 }, prefix: String::new() }
}
