//! The way of a request to an integration that is no proxy: content handling, template, parameters,
//! overrides.
//!
//! Which of them a call needs is planned from its head alone: a body that a template replaces unseen
//! is not read. One that goes on is, since text has to be text (rest-data-plane 7.9) and its length
//! known (7.4).
//!
//! AWS: "Data transformations for REST APIs in API Gateway".

use bytes::Bytes;
use http::HeaderMap;

use super::content::{BinaryTypes, Conversion};
use super::context::{CallContext, RouteFacts};
use super::parameters::{RequestMapping, override_request};
use super::template::Overrides;
use super::templates::{RequestTemplates, Text};
use super::{CompileError, MappingError, Side};
use crate::call::MappedParameters;
use crate::model::rest_api::{ContentHandling, Integration, IntegrationKind};

/// The request's side of one integration.
#[derive(Debug)]
pub struct RequestSide {
    kind: IntegrationKind,
    mapping: RequestMapping,
    templates: RequestTemplates,
    handling: Option<ContentHandling>,
}

/// What is to be done with one call.
#[derive(Debug)]
pub struct RequestPlan<'s> {
    side: &'s RequestSide,
    template: Option<&'s Text>,
    conversion: Conversion,
}

/// What was made of one call.
#[derive(Debug)]
pub struct MappedRequest {
    pub parameters: MappedParameters,
    /// `None`: the client's body goes on as it is.
    pub body: Option<Bytes>,
    /// For the response's template.
    pub overrides: Overrides,
}

impl RequestSide {
    /// # Errors
    /// What of the integration cannot be compiled.
    pub fn compile(
        integration: &Integration,
        route: &RouteFacts<'_>,
    ) -> Result<Self, CompileError> {
        let Integration { kind, request_parameters, request_templates, passthrough, .. } =
            integration;
        Ok(Self {
            kind: *kind,
            mapping: RequestMapping::compile(request_parameters, *kind, route)?,
            templates: RequestTemplates::compile(request_templates, *passthrough)?,
            handling: integration.content_handling,
        })
    }

    /// # Errors
    /// No template fits and nothing may pass without one; a template for a body it cannot read.
    pub fn plan(
        &self,
        clients: &HeaderMap,
        binary: &BinaryTypes,
    ) -> Result<RequestPlan<'_>, MappingError> {
        let template = self.templates.choose(clients)?;
        let conversion = Conversion::of_request(binary.is_body(clients), self.handling);
        if template.is_some_and(Text::makes_body) && !conversion.makes_text() {
            return Err(MappingError::BinaryTemplate(Side::Request));
        }
        Ok(RequestPlan { side: self, template, conversion })
    }
}

impl RequestPlan<'_> {
    /// Whether [`RequestPlan::run`] needs the body.
    pub fn needs_body(&self) -> bool {
        let passes = !self.template.is_some_and(Text::makes_body);
        self.template.is_some_and(Text::reads_body) || self.side.mapping.reads_body() || passes
    }

    /// # Errors
    /// See [`MappingError`].
    pub fn run(
        &self,
        call: &CallContext<'_>,
        body: Option<Bytes>,
    ) -> Result<MappedRequest, MappingError> {
        let body = body.map(|body| self.conversion.apply(body)).transpose()?;
        let bytes = body.as_deref().unwrap_or_default();
        let text = String::from_utf8_lossy(bytes);
        let mut overrides = Overrides::default();
        let rendered = match self.template {
            Some(template) => template.render(Side::Request, call, &text, &mut overrides)?,
            None => None,
        };
        let mut parameters = self.side.mapping.apply(call, &text)?;
        override_request(&mut parameters, &overrides, self.side.kind)?;
        drop(text);
        Ok(MappedRequest { parameters, body: rendered.or(body), overrides })
    }
}
