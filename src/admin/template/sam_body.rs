//! The definition behind a `Serverless::Api` or `Serverless::HttpApi`: given, from a file, or
//! generated, and completed with what events, `Auth`, `Cors` and the like ask for.
//!
//! Generated ones are Swagger 2.0 unless `OpenApiVersion` says 3; HTTP APIs are always OpenAPI 3.
//! What a definition says itself is left alone.
//!
//! AWS: Serverless Application Model, "AWS::Serverless::Api", "ApiAuth", "CorsConfiguration",
//! "ApiFunctionAuth", "RequestModel", "RequestParameter", "HttpApiAuth".

use serde_json::{Map, Value as Json, json};

use super::document::Skipped;
use super::functions::plain_text;
use super::sam::{Event, Expanding};
use super::{Fault, Object, single, text};

const VERBS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", ANY];
const ANY: &str = "x-amazon-apigateway-any-method";
const INTEGRATION: &str = "x-amazon-apigateway-integration";
const AUTHORIZER: &str = "x-amazon-apigateway-authorizer";
const AUTH_TYPE: &str = "x-amazon-apigateway-authtype";

/// An OpenAPI document on its way.
#[derive(Debug)]
pub(super) struct Definition {
    root: Object,
    is_swagger: bool,
}

impl Definition {
    pub(super) fn of_rest(
        expanding: &Expanding<'_>,
        id: &str,
        given: &Object,
    ) -> Result<Self, Fault> {
        let version = given.get("OpenApiVersion").and_then(plain_text).unwrap_or_default();
        let generated = match version.starts_with('3') {
            true => json!({"openapi": version, "info": info(expanding, given), "paths": {}}),
            false => json!({"swagger": "2.0", "info": info(expanding, given), "paths": {}}),
        };
        Self::given(expanding, id, given, generated)
    }

    pub(super) fn of_http(
        expanding: &Expanding<'_>,
        id: &str,
        given: &Object,
    ) -> Result<Self, Fault> {
        let info = info(expanding, given);
        let generated = json!({"openapi": "3.0.1", "info": info, "paths": {}});
        Self::given(expanding, id, given, generated)
    }

    fn given(
        expanding: &Expanding<'_>,
        id: &str,
        given: &Object,
        generated: Json,
    ) -> Result<Self, Fault> {
        let found = match (given.get("DefinitionBody"), given.get("DefinitionUri")) {
            (Some(body), _) => body.clone(),
            (None, Some(Json::String(place))) => {
                let wrong = |why| Fault::of_resource(id, Some("DefinitionUri"), why);
                expanding.includes.load(place).map_err(wrong)?
            }
            (None, Some(_)) => {
                let message = "only a file beside the template is read";
                return Err(Fault::of_resource(id, Some("DefinitionUri"), message));
            }
            (None, None) => generated,
        };
        let Json::Object(mut root) = found else {
            return Err(Fault::of_resource(id, Some("DefinitionBody"), "a definition is a table"));
        };
        let is_swagger = root.contains_key("swagger");
        if !is_swagger && !root.contains_key("openapi") {
            let message = "a definition begins with `openapi` or `swagger`";
            return Err(Fault::of_resource(id, Some("DefinitionBody"), message));
        }
        table(&mut root, "paths");
        Ok(Self { root, is_swagger })
    }

    pub(super) fn into_json(self) -> Json {
        Json::Object(self.root)
    }

    /// Everything that a REST API's other properties say of its definition.
    pub(super) fn complete_rest(
        &mut self,
        id: &str,
        given: &Object,
        events: &[Event],
        skipped: &mut Vec<Skipped>,
    ) -> Result<(), Fault> {
        if let Some(Json::Object(models)) = given.get("Models") {
            let schemas = self.schemas();
            for (name, schema) in models {
                schemas.insert(name.to_lowercase(), schema.clone());
            }
        }
        for event in events {
            self.rest_event(event)?;
        }
        if let Some(Json::Object(responses)) = given.get("GatewayResponses") {
            let known = table(&mut self.root, "x-amazon-apigateway-gateway-responses");
            for (kind, response) in responses {
                known.insert(kind.clone(), gateway_response(response));
            }
        }
        let empty = Object::new();
        let auth = given.get("Auth").and_then(Json::as_object).unwrap_or(&empty);
        self.rest_authorizers(auth);
        if auth.get("AddDefaultAuthorizerToCorsPreflight") == Some(&json!(false)) {
            self.default_security(auth, events);
            self.cors(given.get("Cors"));
        } else {
            self.cors(given.get("Cors"));
            self.default_security(auth, events);
        }
        self.policy(id, auth, skipped);
        Ok(())
    }

    /// Everything that an HTTP API's other properties say of its definition.
    pub(super) fn complete_http(
        &mut self,
        id: &str,
        given: &Object,
        events: &[Event],
    ) -> Result<(), Fault> {
        let empty = Object::new();
        let auth = given.get("Auth").and_then(Json::as_object).unwrap_or(&empty);
        for event in events {
            self.http_event(id, event, auth)?;
        }
        if let Some(Json::Object(authorizers)) = auth.get("Authorizers") {
            for (name, authorizer) in authorizers {
                let scheme = http_authorizer(authorizer);
                self.schemes().insert(name.clone(), scheme);
            }
        }
        match given.get("CorsConfiguration") {
            Some(Json::Bool(true)) => {
                let all = json!({"allowOrigins": ["*"]});
                self.root.insert("x-amazon-apigateway-cors".to_owned(), all);
            }
            Some(Json::Object(cors)) => {
                let cors = cors.iter().map(|(name, value)| (lower_first(name), value.clone()));
                let cors = Json::Object(cors.collect());
                self.root.insert("x-amazon-apigateway-cors".to_owned(), cors);
            }
            _ => {}
        }
        Ok(())
    }

    fn schemas(&mut self) -> &mut Object {
        match self.is_swagger {
            true => table(&mut self.root, "definitions"),
            false => table(table(&mut self.root, "components"), "schemas"),
        }
    }

    fn schemes(&mut self) -> &mut Object {
        match self.is_swagger {
            true => table(&mut self.root, "securityDefinitions"),
            false => table(table(&mut self.root, "components"), "securitySchemes"),
        }
    }

    /// The place of a method; an error when it is there already.
    fn method(&mut self, event: &Event, path: &str, verb: &str) -> Result<&mut Object, Fault> {
        let verb = match verb.to_lowercase().as_str() {
            "any" | "*" => ANY.to_owned(),
            verb => verb.to_owned(),
        };
        let methods = table(table(&mut self.root, "paths"), path);
        if methods.get(&verb).is_some_and(|method| method.get(INTEGRATION).is_some()) {
            let message = format!("{}: {verb} {path} has an integration already", event.name);
            return Err(Fault::of_resource(&event.function, Some("Events"), message));
        }
        Ok(table(methods, &verb))
    }

    fn rest_event(&mut self, event: &Event) -> Result<(), Fault> {
        let given = &event.properties;
        let path = text(given, "Path").unwrap_or("/").to_owned();
        let verb = text(given, "Method").unwrap_or("any").to_owned();
        let is_swagger = self.is_swagger;
        let mut integration = json!({
            "type": "aws_proxy",
            "httpMethod": "POST",
            "uri": {"Fn::Sub": format!(
                "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/\
                 functions/{}/invocations", event.arn
            )},
        });
        for (name, member) in [
            ("TimeoutInMillis", "timeoutInMillis"),
            ("ResponseTransferMode", "responseTransferMode"),
        ] {
            if let Some(value) = given.get(name) {
                integration[member] = value.clone();
            }
        }
        if let Some(role) = given.get("Auth").and_then(|auth| auth.get("InvokeRole")) {
            integration["credentials"] = role.clone();
        }
        let mut parameters = Vec::new();
        let mut keys = Vec::new();
        for parameter in
            given.get("RequestParameters").and_then(Json::as_array).into_iter().flatten()
        {
            let (name, about) = match parameter {
                Json::String(name) => (name.clone(), Json::Null),
                Json::Object(one) => match one.iter().next() {
                    Some((name, about)) => (name.clone(), about.clone()),
                    None => continue,
                },
                _ => continue,
            };
            let mut parts = name.splitn(4, '.').skip(2);
            let place = parts.next().unwrap_or_default();
            let place = if place == "querystring" { "query" } else { place };
            let own = parts.next().unwrap_or_default();
            let required = about.get("Required") == Some(&json!(true)) || place == "path";
            let mut one = json!({"name": own, "in": place, "required": required});
            match is_swagger {
                true => one["type"] = json!("string"),
                false => one["schema"] = json!({"type": "string"}),
            }
            parameters.push(one);
            if about.get("Caching") == Some(&json!(true)) {
                keys.push(Json::from(name));
            }
        }
        if !keys.is_empty() {
            integration["cacheKeyParameters"] = Json::Array(keys);
        }
        let mut validator = None;
        let mut body = None;
        if let Some(model) = given.get("RequestModel").and_then(Json::as_object) {
            let name = text(model, "Model").unwrap_or_default().to_lowercase();
            let required = model.get("Required").cloned().unwrap_or(json!(false));
            let flag = |name: &str| model.get(name) == Some(&json!(true));
            validator = match (flag("ValidateBody"), flag("ValidateParameters")) {
                (true, true) => Some("body-and-params"),
                (true, false) => Some("body-only"),
                (false, true) => Some("params-only"),
                (false, false) => None,
            };
            match is_swagger {
                true => parameters.push(json!({
                    "in": "body", "name": name, "required": required,
                    "schema": {"$ref": format!("#/definitions/{name}")},
                })),
                false => {
                    body = Some(json!({
                        "required": required,
                        "content": {"application/json": {
                            "schema": {"$ref": format!("#/components/schemas/{name}")},
                        }},
                    }));
                }
            }
        }
        if let Some(name) = validator {
            let known = table(&mut self.root, "x-amazon-apigateway-request-validators");
            known.insert(
                name.to_owned(),
                json!({
                    "validateRequestBody": name.contains("body"),
                    "validateRequestParameters": name.contains("params"),
                }),
            );
        }
        let auth = given.get("Auth").and_then(Json::as_object).cloned().unwrap_or_default();
        let method = self.method(event, &path, &verb)?;
        method.insert(INTEGRATION.to_owned(), integration);
        method.entry("responses").or_insert_with(|| json!({}));
        if !parameters.is_empty() {
            let known = method.entry("parameters").or_insert_with(|| json!([]));
            known.as_array_mut().into_iter().for_each(|known| known.extend(parameters.clone()));
        }
        if let Some(body) = body {
            method.insert("requestBody".to_owned(), body);
        }
        if let Some(name) = validator {
            method.insert("x-amazon-apigateway-request-validator".to_owned(), Json::from(name));
        }
        if let Some(name) = text(&auth, "Authorizer") {
            let scopes = auth.get("AuthorizationScopes").cloned().unwrap_or_else(|| json!([]));
            let security = if name == "NONE" { json!([]) } else { json!([{ name: scopes }]) };
            method.insert("security".to_owned(), security);
            if name == "AWS_IAM" {
                self.schemes().insert("AWS_IAM".to_owned(), iam_scheme());
            }
        }
        Ok(())
    }

    fn http_event(&mut self, id: &str, event: &Event, auth: &Object) -> Result<(), Fault> {
        let given = &event.properties;
        let path = text(given, "Path").unwrap_or("$default").to_owned();
        let verb = text(given, "Method").unwrap_or("any").to_owned();
        let version = given.get("PayloadFormatVersion").and_then(plain_text);
        let mut integration = json!({
            "type": "aws_proxy",
            "httpMethod": "POST",
            "payloadFormatVersion": version.unwrap_or_else(|| "2.0".to_owned()),
            "uri": {"Fn::Sub": format!(
                "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/\
                 functions/{}/invocations", event.arn
            )},
        });
        if let Some(time) = given.get("TimeoutInMillis") {
            integration["timeoutInMillis"] = time.clone();
        }
        let own = given.get("Auth").and_then(Json::as_object).cloned().unwrap_or_default();
        let name = text(&own, "Authorizer").or_else(|| text(auth, "DefaultAuthorizer"));
        let name = name.map(str::to_owned);
        let scopes = own.get("AuthorizationScopes").cloned().unwrap_or_else(|| json!([]));
        let authorizers = auth.get("Authorizers").and_then(Json::as_object);
        let method = self.method(event, &path, &verb)?;
        method.insert(INTEGRATION.to_owned(), integration);
        method.entry("responses").or_insert_with(|| json!({}));
        match name.as_deref() {
            None | Some("NONE") => {}
            Some("AWS_IAM") => {
                method.insert("security".to_owned(), json!([{"AWS_IAM": scopes}]));
                self.schemes().insert("AWS_IAM".to_owned(), iam_scheme());
            }
            Some(name) if authorizers.is_some_and(|known| known.contains_key(name)) => {
                method.insert("security".to_owned(), json!([{ name: scopes }]));
            }
            Some(name) => {
                let message = format!("{}: `{id}` has no authorizer `{name}`", event.name);
                return Err(Fault::of_resource(&event.function, Some("Events"), message));
            }
        }
        Ok(())
    }

    fn rest_authorizers(&mut self, auth: &Object) {
        if let Some(Json::Object(authorizers)) = auth.get("Authorizers") {
            for (name, authorizer) in authorizers {
                let scheme = rest_authorizer(authorizer);
                self.schemes().insert(name.clone(), scheme);
            }
        }
        if text(auth, "DefaultAuthorizer") == Some("AWS_IAM") {
            self.schemes().insert("AWS_IAM".to_owned(), iam_scheme());
        }
    }

    /// `DefaultAuthorizer` for methods that name none, `ApiKeyRequired` for all.
    fn default_security(&mut self, auth: &Object, events: &[Event]) {
        let default = text(auth, "DefaultAuthorizer").filter(|name| *name != "NONE");
        let all_keys = auth.get("ApiKeyRequired") == Some(&json!(true));
        let mut needs_key = false;
        let Some(Json::Object(paths)) = self.root.get_mut("paths") else { return };
        for (path, methods) in paths {
            let Json::Object(methods) = methods else { continue };
            for (verb, method) in methods {
                let Json::Object(method) = method else { continue };
                if !VERBS.contains(&verb.as_str()) {
                    continue;
                }
                if let Some(name) = default {
                    method.entry("security").or_insert_with(|| json!([{ name: [] }]));
                }
                let own = events.iter().find(|event| {
                    let asked = text(&event.properties, "Method").unwrap_or("any");
                    let asked = if asked.eq_ignore_ascii_case("any") { ANY } else { asked };
                    text(&event.properties, "Path") == Some(path)
                        && asked.eq_ignore_ascii_case(verb)
                });
                let own = own.and_then(|event| event.properties.get("Auth"));
                let own = own.and_then(|auth| auth.get("ApiKeyRequired")).and_then(Json::as_bool);
                let preflight = verb == "options" && own.is_none();
                if own.unwrap_or(all_keys && !preflight) {
                    needs_key = true;
                    let known = method.entry("security").or_insert_with(|| json!([]));
                    // One requirement with both names: both are needed.
                    match known.as_array_mut().map(|known| (known.first_mut().is_some(), known)) {
                        Some((true, known)) => {
                            if let Some(Json::Object(first)) = known.first_mut() {
                                first.insert("api_key".to_owned(), json!([]));
                            }
                        }
                        _ => *known = json!([{"api_key": []}]),
                    }
                }
            }
        }
        if needs_key {
            let scheme = json!({"type": "apiKey", "name": "x-api-key", "in": "header"});
            self.schemes().insert("api_key".to_owned(), scheme);
        }
    }

    /// A preflight answer for every path that has none.
    fn cors(&mut self, cors: Option<&Json>) {
        let Some(cors) = cors else { return };
        let of = |name: &str| cors.get(name).cloned();
        let plain = plain_text(cors).is_some() || cors.get("Ref").is_some();
        let origin = if plain { Some(cors.clone()) } else { of("AllowOrigin") };
        let is_swagger = self.is_swagger;
        let Some(Json::Object(paths)) = self.root.get_mut("paths") else { return };
        for (_, methods) in paths {
            let Json::Object(methods) = methods else { continue };
            if methods.contains_key("options") || methods.contains_key("Fn::If") {
                continue;
            }
            let mut headers = Map::new();
            let mut put = |name: &str, value: Option<Json>| {
                let name = format!("method.response.header.Access-Control-{name}");
                headers.extend(value.map(|value| (name, value)));
            };
            put("Allow-Headers", of("AllowHeaders"));
            put("Allow-Methods", of("AllowMethods").or_else(|| Some(verbs_of(methods))));
            put("Allow-Origin", origin.clone());
            put("Max-Age", of("MaxAge"));
            if of("AllowCredentials") == Some(json!(true)) {
                put("Allow-Credentials", Some(json!("'true'")));
            }
            let declared: Map<String, Json> = headers
                .keys()
                .map(|name| {
                    let name = name.replace("method.response.header.", "");
                    let kind = json!({"type": "string"});
                    (name, if is_swagger { kind } else { single("schema", kind) })
                })
                .collect();
            methods.insert(
                "options".to_owned(),
                json!({
                    "summary": "CORS support",
                    "responses": {"200": {"description": "Default response", "headers": declared}},
                    (INTEGRATION): {
                        "type": "mock",
                        "requestTemplates": {"application/json": "{\n  \"statusCode\" : 200\n}\n"},
                        "responses": {"default": {
                            "statusCode": "200",
                            "responseParameters": headers,
                            "responseTemplates": {"application/json": "{}\n"},
                        }},
                    },
                }),
            );
        }
    }

    /// `Auth.ResourcePolicy`, as far as it is about addresses and statements.
    fn policy(&mut self, id: &str, auth: &Object, skipped: &mut Vec<Skipped>) {
        let Some(Json::Object(policy)) = auth.get("ResourcePolicy") else { return };
        let mut statements = Vec::new();
        let everything = json!("execute-api:/*");
        for (name, value) in policy {
            let operator = match name.as_str() {
                "CustomStatements" => {
                    match value {
                        Json::Array(own) => statements.extend(own.iter().cloned()),
                        own => statements.push(own.clone()),
                    }
                    continue;
                }
                "IpRangeWhitelist" => "NotIpAddress",
                "IpRangeBlacklist" => "IpAddress",
                _ => {
                    skipped.push(Skipped {
                        id: format!("{id}.Auth.ResourcePolicy.{name}"),
                        kind: "resource policy".to_owned(),
                        why: "write it as CustomStatements".to_owned(),
                    });
                    continue;
                }
            };
            statements.push(json!({
                "Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke",
                "Resource": everything, "Condition": {operator: {"aws:SourceIp": value}},
            }));
        }
        if statements.iter().any(|one| one["Effect"] == "Deny")
            && !statements.iter().any(|one| one["Effect"] == "Allow")
        {
            statements.insert(
                0,
                json!({
                    "Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke",
                    "Resource": everything,
                }),
            );
        }
        if !statements.is_empty() {
            let policy = json!({"Version": "2012-10-17", "Statement": statements});
            self.root.insert("x-amazon-apigateway-policy".to_owned(), policy);
        }
    }
}

fn info(expanding: &Expanding<'_>, given: &Object) -> Json {
    let name = given.get("Name").cloned().unwrap_or_else(|| Json::from(expanding.stack));
    json!({"title": name, "version": "1.0"})
}

/// The table under a name, made where there is none.
fn table<'a>(object: &'a mut Object, name: &str) -> &'a mut Object {
    let slot = object.entry(name.to_owned()).or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("made a table just above")
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

fn verbs_of(methods: &Object) -> Json {
    let mut verbs: Vec<String> = match methods.contains_key(ANY) {
        true => ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"].map(str::to_owned).to_vec(),
        false => methods
            .keys()
            .filter(|verb| VERBS.contains(&verb.as_str()))
            .map(|verb| verb.to_uppercase())
            .collect(),
    };
    verbs.push("OPTIONS".to_owned());
    verbs.sort();
    Json::from(format!("'{}'", verbs.join(",")))
}

fn gateway_response(given: &Json) -> Json {
    let mut response = Object::new();
    if let Some(status) = given.get("StatusCode").and_then(plain_text) {
        response.insert("statusCode".to_owned(), Json::from(status));
    }
    if let Some(templates) = given.get("ResponseTemplates") {
        response.insert("responseTemplates".to_owned(), templates.clone());
    }
    let mut parameters = Object::new();
    for (name, place) in [("Headers", "header"), ("Paths", "path"), ("QueryStrings", "querystring")]
    {
        let own = given.get("ResponseParameters").and_then(|all| all.get(name));
        for (name, value) in own.and_then(Json::as_object).into_iter().flatten() {
            parameters.insert(format!("gatewayresponse.{place}.{name}"), value.clone());
        }
    }
    if !parameters.is_empty() {
        response.insert("responseParameters".to_owned(), Json::Object(parameters));
    }
    Json::Object(response)
}

fn iam_scheme() -> Json {
    json!({"type": "apiKey", "name": "Authorization", "in": "header", (AUTH_TYPE): "awsSigv4"})
}

/// The URI under which API Gateway calls a function.
fn function_uri(arn: &Json) -> Json {
    json!({"Fn::Sub": [
        "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/\
         ${TidegateFunction}/invocations",
        {"TidegateFunction": arn},
    ]})
}

fn rest_authorizer(given: &Json) -> Json {
    let identity = given.get("Identity").cloned().unwrap_or_else(|| json!({}));
    let header = identity.get("Header").cloned().unwrap_or_else(|| json!("Authorization"));
    if let Some(pool) = given.get("UserPoolArn") {
        let pools = if pool.is_array() { pool.clone() } else { json!([pool]) };
        let mut authorizer = json!({"type": "cognito_user_pools", "providerARNs": pools});
        if let Some(expression) = identity.get("ValidationExpression") {
            authorizer["identityValidationExpression"] = expression.clone();
        }
        return json!({
            "type": "apiKey", "name": header, "in": "header",
            (AUTH_TYPE): "cognito_user_pools", (AUTHORIZER): authorizer,
        });
    }
    let arn = given.get("FunctionArn").cloned().unwrap_or(Json::Null);
    let is_request = given.get("FunctionPayloadType").and_then(Json::as_str) == Some("REQUEST");
    let kind = if is_request { "request" } else { "token" };
    let mut authorizer = json!({"type": kind, "authorizerUri": function_uri(&arn)});
    for (name, member) in [
        ("ValidationExpression", "identityValidationExpression"),
        ("ReauthorizeEvery", "authorizerResultTtlInSeconds"),
    ] {
        if let Some(value) = identity.get(name) {
            authorizer[member] = value.clone();
        }
    }
    if let Some(role) = given.get("FunctionInvokeRole").filter(|role| **role != json!("NONE")) {
        authorizer["authorizerCredentials"] = role.clone();
    }
    if is_request {
        let mut sources = Vec::new();
        for (name, source) in [
            ("Headers", "method.request.header"),
            ("QueryStrings", "method.request.querystring"),
            ("StageVariables", "stageVariables"),
            ("Context", "context"),
        ] {
            let own = identity.get(name).and_then(Json::as_array).into_iter().flatten();
            sources.extend(own.filter_map(plain_text).map(|name| format!("{source}.{name}")));
        }
        if !sources.is_empty() {
            authorizer["identitySource"] = Json::from(sources.join(", "));
        }
    }
    let name = if is_request { json!("Unused") } else { header };
    json!({
        "type": "apiKey", "name": name, "in": "header",
        (AUTH_TYPE): "custom", (AUTHORIZER): authorizer,
    })
}

fn http_authorizer(given: &Json) -> Json {
    if let Some(arn) = given.get("FunctionArn") {
        let version = given.get("AuthorizerPayloadFormatVersion").and_then(plain_text);
        let mut authorizer = json!({
            "type": "request",
            "authorizerUri": function_uri(arn),
            "authorizerPayloadFormatVersion": version.unwrap_or_else(|| "2.0".to_owned()),
            "enableSimpleResponses": given.get("EnableSimpleResponses") == Some(&json!(true)),
        });
        let headers = given.get("Identity").and_then(|identity| identity.get("Headers"));
        let sources: Vec<String> = headers
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(plain_text)
            .map(|name| format!("$request.header.{name}"))
            .collect();
        if !sources.is_empty() {
            authorizer["identitySource"] = Json::from(sources.join(", "));
        }
        return json!({
            "type": "apiKey", "name": "Authorization", "in": "header", (AUTHORIZER): authorizer,
        });
    }
    let jwt = given.get("JwtConfiguration").and_then(Json::as_object).cloned().unwrap_or_default();
    let jwt: Map<String, Json> =
        jwt.into_iter().map(|(name, value)| (lower_first(&name), value)).collect();
    let source = given.get("IdentitySource").cloned();
    json!({
        "type": "oauth2",
        (AUTHORIZER): {
            "type": "jwt",
            "jwtConfiguration": jwt,
            "identitySource": source.unwrap_or_else(|| json!("$request.header.Authorization")),
        },
    })
}
