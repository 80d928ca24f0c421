//! Security schemes: authorizers, and what a `security` list asks of a caller.
//!
//! AWS makes an authorizer of every scheme that describes one, used or not. Of a list of
//! requirements the first with an authorizer holds; an API key and IAM come besides.
//!
//! AWS: API Gateway Developer Guide, "x-amazon-apigateway-authorizer object",
//! "x-amazon-apigateway-authtype property".

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use crate::admin::openapi::import::{Dialect, Reader, Written};
use crate::model::document::{At, Value};

/// AWS: API Gateway API Reference, "Authorizer", `authorizerResultTtlInSeconds`.
const TTL_MAX_SECONDS: i64 = 3_600;
const AUTHORIZER_KEYS: [&str; 10] = [
    "type",
    "authorizerUri",
    "authorizerCredentials",
    "identitySource",
    "identityValidationExpression",
    "authorizerResultTtlInSeconds",
    "providerARNs",
    "authorizerPayloadFormatVersion",
    "enableSimpleResponses",
    "jwtConfiguration",
];

/// The document's security schemes.
#[derive(Debug, Default)]
pub(super) struct Schemes {
    /// In the order of the document.
    pub(super) authorizers: Vec<Json>,
    by_name: HashMap<String, Scheme>,
}

#[derive(Clone, Debug)]
enum Scheme {
    /// With the authorization type of methods that use it.
    Authorizer(&'static str),
    ApiKey,
    Iam,
    /// Nothing that API Gateway would enforce.
    Other,
}

/// What a list of requirements comes to.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    pub(super) authorizer: Option<Required>,
    pub(super) is_iam: bool,
    pub(super) is_key_required: bool,
    /// What asks for the authorizer or for IAM.
    pub(super) authorization_from: Option<Written>,
    /// What asks for the key.
    pub(super) key_from: Option<Written>,
}

/// An authorizer and the scopes it is asked for.
#[derive(Clone, Debug)]
pub(super) struct Required {
    pub(super) name: String,
    pub(super) authorization_type: &'static str,
    pub(super) scopes: Vec<String>,
}

impl Required {
    pub(super) fn bytes(&self) -> usize {
        self.scopes.iter().map(String::len).sum()
    }
}

/// Reads all schemes.
pub(super) fn read(reader: &Reader<'_>) -> Schemes {
    let all = match reader.dialect {
        Dialect::Swagger2 => reader.root.get("securityDefinitions"),
        _ => reader.root.get("components").and_then(|at| at.get("securitySchemes")),
    };
    let mut schemes = Schemes::default();
    for (name, at) in all.map(|all| all.entries()).unwrap_or_default() {
        let Some(at) = reader.resolve(&at) else { continue };
        let scheme = reader.scheme(name, &at, &mut schemes.authorizers);
        schemes.by_name.insert(reader.own(name), scheme);
    }
    schemes
}

impl<'a> Reader<'a> {
    fn scheme(&self, name: &str, at: &At<'a>, authorizers: &mut Vec<Json>) -> Scheme {
        let auth_type = self
            .claim(at, "x-amazon-apigateway-authtype")
            .and_then(|at| at.text().map(|text| self.own(text)));
        if let Some(extension) = self.claim(at, "x-amazon-apigateway-authorizer") {
            self.place(&format!("authorizer {name}"), &extension);
            return match self.authorizer(name, at, &extension, auth_type) {
                Some((body, authorization_type)) => {
                    authorizers.push(Json::Object(body));
                    Scheme::Authorizer(authorization_type)
                }
                None => Scheme::Other,
            };
        }
        let word = |key: &str| match at.get(key).map(|at| &at.node.value) {
            Some(Value::Text(text)) => text.as_str(),
            _ => "",
        };
        if auth_type.is_some_and(|kind| kind.eq_ignore_ascii_case("awsSigv4")) {
            Scheme::Iam
        } else if word("type") == "apiKey" && word("name").eq_ignore_ascii_case("x-api-key") {
            Scheme::ApiKey
        } else {
            Scheme::Other
        }
    }

    /// The authorizer's body, and the authorization type of methods that use it.
    fn authorizer(
        &self,
        name: &str,
        scheme: &At<'a>,
        at: &At<'a>,
        auth_type: Option<String>,
    ) -> Option<(Map<String, Json>, &'static str)> {
        self.warn_unknown(at, &AUTHORIZER_KEYS);
        let Some(kind) = at.get("type") else {
            at.problem("`type` is missing", None);
            return None;
        };
        let kind = self.one_of(&kind, &["TOKEN", "REQUEST", "COGNITO_USER_POOLS", "JWT"])?;
        let mut body = Map::new();
        body.insert("name".to_owned(), Json::from(self.own(name)));
        body.insert("type".to_owned(), Json::from(kind));
        let derived = if kind == "COGNITO_USER_POOLS" { "cognito_user_pools" } else { "custom" };
        let auth_type = auth_type.unwrap_or_else(|| derived.to_owned());
        body.insert("authType".to_owned(), Json::from(auth_type));
        if let Some(arns) = at.get("providerARNs") {
            let arns: Vec<Json> = arns.texts().iter().map(|arn| self.own(arn).into()).collect();
            body.insert("providerARNs".to_owned(), Json::Array(arns));
        }
        self.copy_text(at, "authorizerUri", &mut body);
        self.copy_text(at, "authorizerCredentials", &mut body);
        if let Some(source) = self.identity_source(kind, scheme, at) {
            body.insert("identitySource".to_owned(), Json::from(source));
        }
        self.copy_text(at, "identityValidationExpression", &mut body);
        if let Some(ttl) =
            at.get("authorizerResultTtlInSeconds").and_then(|at| at.integer(0, TTL_MAX_SECONDS))
        {
            body.insert("authorizerResultTtlInSeconds".to_owned(), Json::from(ttl));
        }
        if let Some(configuration) = at.get("jwtConfiguration") {
            body.insert("jwtConfiguration".to_owned(), self.json(&configuration));
        }
        let mut kept = Map::new();
        for key in ["authorizerPayloadFormatVersion", "enableSimpleResponses"] {
            if let Some(value) = at.get(key) {
                self.warn(&value, format!("`{key}` is an HTTP API's: a REST API ignores it"));
                kept.insert(key.to_owned(), self.json(&value));
            }
        }
        if !kept.is_empty() {
            body.insert("tidegateExtensions".to_owned(), Json::Object(kept));
        }
        self.check_authorizer(kind, at, &body);
        let authorization_type = match kind {
            "COGNITO_USER_POOLS" => "COGNITO_USER_POOLS",
            "JWT" => "JWT",
            _ => "CUSTOM",
        };
        Some((body, authorization_type))
    }

    /// Where an authorizer finds who calls: recorded as the scheme's header for TOKEN and
    /// COGNITO_USER_POOLS, and as the extension says for the others.
    fn identity_source(&self, kind: &str, scheme: &At<'a>, at: &At<'a>) -> Option<String> {
        let own = at.get("identitySource").and_then(|at| at.text());
        let is_header = scheme
            .get("in")
            .is_some_and(|at| matches!(&at.node.value, Value::Text(place) if place == "header"));
        let header = scheme.get("name").filter(|_| is_header).and_then(|at| at.text());
        let header = header.map(|name| format!("method.request.header.{}", self.own(name)));
        let own = own.map(|own| self.own(own));
        match kind {
            "TOKEN" | "COGNITO_USER_POOLS" => header.or(own),
            "JWT" => own.or(header),
            _ => own,
        }
    }

    fn check_authorizer(&self, kind: &str, at: &At<'a>, body: &Map<String, Json>) {
        let missing = match kind {
            "TOKEN" | "REQUEST" => "authorizerUri",
            "COGNITO_USER_POOLS" => "providerARNs",
            _ => "jwtConfiguration",
        };
        if !body.contains_key(missing) {
            at.problem(format!("`{missing}` is missing"), None);
        }
        if matches!(kind, "TOKEN" | "COGNITO_USER_POOLS") && !body.contains_key("identitySource") {
            at.problem(
                "Authorizer identity source is missing",
                Some("the scheme needs `in: header` and `name`".to_owned()),
            );
        }
    }

    /// What a `security` list asks for.
    pub(super) fn access(&self, list: &At<'a>) -> Access {
        let mut access = Access::default();
        for requirement in list.items() {
            for (name, scopes) in requirement.entries() {
                if !self.spend(0) {
                    return access;
                }
                match self.security.by_name.get(name) {
                    Some(Scheme::Authorizer(kind)) if access.authorizer.is_none() => {
                        access.authorization_from = Some(Written::from(&scopes));
                        access.authorizer = Some(Required {
                            name: name.to_owned(),
                            authorization_type: kind,
                            scopes: scopes.texts().iter().map(|scope| self.own(scope)).collect(),
                        });
                    }
                    Some(Scheme::Authorizer(_)) => {
                        self.warn(&scopes, "A method has one authorizer; this one is ignored");
                    }
                    Some(Scheme::ApiKey) => {
                        access.key_from = Some(Written::from(&scopes));
                        access.is_key_required = true;
                    }
                    Some(Scheme::Iam) => {
                        access.authorization_from.get_or_insert_with(|| Written::from(&scopes));
                        access.is_iam = true;
                    }
                    Some(Scheme::Other) => self.warn(
                        &scopes,
                        format!("Nothing enforces `{name}`: the scheme names no authorizer"),
                    ),
                    None => scopes.problem(
                        format!("no security scheme is named `{name}`"),
                        Some("define it, or take the requirement out".to_owned()),
                    ),
                }
            }
        }
        if access.authorizer.is_some() && access.is_iam {
            self.warn(list, "A method has one authorizer; IAM is ignored");
            access.is_iam = false;
        }
        access
    }
}
