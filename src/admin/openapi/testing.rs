//! What the tests of import, store and export have in common: one API at one site, and documents
//! that ask for everything.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::admin::openapi::apply::{DOCUMENTATION_PARTS, Mode, apply};
use crate::admin::openapi::export::{Deployed, Extensions, Form, export, to_yaml};
use crate::admin::openapi::import::{Import, ImportError, Options, read};
use crate::admin::protocol::operation::{Context, Site};
use crate::admin::rest::definition;
use crate::net::clock::Timestamp;
use crate::store::control::{Body, Kind, State, Txn};

pub(in crate::admin) const API: &str = "a1b2c3d4e5";

pub(in crate::admin) fn site() -> Site {
    Site {
        partition: "aws".to_owned(),
        aws_region: "us-east-1".to_owned(),
        account_id: "000000000000".to_owned(),
        domain: "tidegate.test".to_owned(),
        port: String::new(),
        installation: Default::default(),
    }
}

pub(in crate::admin) fn context<'a>(txn: &'a mut Txn, site: &'a Site) -> Context<'a> {
    Context { txn, site, now: Timestamp::from_seconds(1_763_467_200), effects: Vec::new() }
}

pub(in crate::admin) fn try_import(text: &str) -> Result<Import, ImportError> {
    read("api", text.as_bytes(), &Options::new(API, &site()))
}

#[track_caller]
pub(in crate::admin) fn import(text: &str) -> Import {
    match try_import(text) {
        Ok(import) => import,
        Err(err) => panic!("{err}\n{text}"),
    }
}

/// A store that holds the definition as [`API`].
pub(in crate::admin) fn stored(definition: &Map<String, Value>) -> Txn {
    let mut txn = Txn::new(Arc::new(State::default()));
    let mut api = Body::new();
    api.insert("id".to_owned(), json!(API));
    txn.put(Kind::RestApi, "", API, api);
    apply(&mut context(&mut txn, &site()), API, definition, Mode::Overwrite).unwrap();
    txn
}

/// The document of what the store holds, with everything in it.
pub(in crate::admin) fn exported(txn: &Txn, form: Form) -> Map<String, Value> {
    let definition = definition::freeze(txn, API).unwrap();
    let versions = txn.list(Kind::DocumentationVersion, API);
    let documentation = match versions.first() {
        Some((version, body)) => json!({
            "version": &**version,
            "description": body.get("description"),
            "documentationParts": body[DOCUMENTATION_PARTS],
        }),
        None => {
            let parts = txn.list(Kind::DocumentationPart, API);
            let parts: Vec<Value> =
                parts.into_iter().map(|(_, part)| Value::Object(Body::clone(&part))).collect();
            json!({ "documentationParts": parts })
        }
    };
    let deployed = Deployed {
        definition: &definition,
        documentation: Some(&documentation),
        stage_name: "dev",
        host: "a1b2c3d4e5.execute-api.us-east-1.tidegate.test",
        version: "none",
    };
    let all = Extensions { integrations: true, authorizers: true };
    export(&deployed, form, all).unwrap()
}

/// Imports, stores, exports in every form and notation, imports again: always the same API.
#[track_caller]
pub(in crate::admin) fn assert_round_trips(text: &str) {
    let first = import(text);
    let txn = stored(&first.definition);
    for form in [Form::Swagger2, Form::OpenApi30] {
        let document = exported(&txn, form);
        let json = Value::Object(document.clone()).to_string();
        for text in [json, to_yaml(&document)] {
            let second = import(&text);
            let (first, second) = (normal(&first.definition), normal(&second.definition));
            assert_eq!(first, second, "{form:?}\n{text}");
        }
    }
}

/// A definition in which what means the same is the same: AWS's defaults left out, lists that are
/// sets sorted.
pub(in crate::admin) fn normal(definition: &Map<String, Value>) -> Value {
    let mut definition = definition.clone();
    if let Some(Value::Object(api)) = definition.get_mut("restApi") {
        for (key, usual) in
            [("apiKeySource", json!("HEADER")), ("disableExecuteApiEndpoint", json!(false))]
        {
            if api.get(key) == Some(&usual) {
                api.remove(key);
            }
        }
        // An API without a version is exported with a date for one.
        if api.get("version") == Some(&json!("none")) {
            api.remove("version");
        }
        if let Some(Value::Object(endpoint)) = api.get_mut("endpointConfiguration") {
            // AWS exports no endpoint type.
            endpoint.remove("types");
            if endpoint.get("ipAddressType") == Some(&json!("ipv4")) {
                endpoint.remove("ipAddressType");
            }
            if endpoint.is_empty() {
                api.remove("endpointConfiguration");
            }
        }
    }
    for list in definition.values_mut().filter_map(Value::as_array_mut) {
        list.sort_by_key(|item| {
            let name = ["path", "name", "responseType", "location"].iter();
            name.filter_map(|key| item.get(*key)).next().map(ToString::to_string)
        });
    }
    Value::Object(definition)
}

/// Throws that a property test can shrink: each takes a byte, and after the last all are 0.
pub(in crate::admin) struct Dice<'a>(pub(in crate::admin) &'a [u8]);

impl Dice<'_> {
    fn below(&mut self, count: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % count
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// Texts that a careless writer of YAML would spoil.
    fn text(&mut self) -> String {
        let long = "long ".repeat(300);
        self.one(&[
            "x",
            "é€𐍈",
            "a: b",
            "# no comment",
            "'quoted'",
            "\"doubly\" \\ quoted",
            "line\nbreak\r\n\tand tab ",
            " \u{85}\u{2028}\u{feff}\u{7f}\u{1}",
            "yes",
            "1.0",
            "null",
            "~",
            "- item",
            "{}",
            "2026-01-01",
            "#set($a = $input.path('$'))\n{\"a\": \"$a\"}",
            &long,
        ])
        .to_owned()
    }

    fn schema(&mut self, reference: &str, depth: usize) -> Value {
        let kind = if depth == 0 { self.below(3) } else { self.below(6) };
        match kind {
            0 => json!({ "type": "string", "description": self.text() }),
            1 => json!({ "type": "number", "minimum": self.one(&[0.5, -1e20, 3.0]) }),
            2 => json!({ "$ref": format!("{reference}{}", self.one(&["A", "B"])) }),
            3 => json!({ "type": "array", "items": self.schema(reference, depth - 1) }),
            4 => json!({
                "type": "object",
                "required": ["a"],
                "properties": {
                    "a": self.schema(reference, depth - 1),
                    "$ref": self.schema(reference, depth - 1),
                    "yes": { "enum": [true, null, "no", 1, { "$ref": "kept" }] },
                },
            }),
            _ => json!({
                "oneOf": [self.schema(reference, depth - 1), { "type": "null" }],
                "additionalProperties": false,
            }),
        }
    }
}

/// A document that AWS would take, made of throws.
pub(in crate::admin) fn document(dice: &mut Dice<'_>) -> Value {
    let is_swagger = dice.yes();
    let reference = if is_swagger { "#/definitions/" } else { "#/components/schemas/" };
    let mut models = Map::new();
    for name in ["A", "B"] {
        models.insert(name.to_owned(), dice.schema(reference, 2));
    }
    let mut paths = Map::new();
    for path in ["/", "/pets", "/pets/{id}", "/pets/{id}/x.y", "/f/{proxy+}", "/empty"] {
        if dice.below(3) > 0 {
            paths.insert(path.to_owned(), item(dice, path, is_swagger, reference));
        }
    }
    let mut document = json!({
        "info": { "title": dice.text(), "version": dice.text() },
        "paths": paths,
        "security": dice.one(&[json!([]), json!([{ "key": [] }]), json!([{ "token": [] }])]),
        "x-amazon-apigateway-request-validators": {
            "all": { "validateRequestBody": true, "validateRequestParameters": true },
            "none at all": {},
        },
    });
    let schemes = schemes(dice);
    if is_swagger {
        document["swagger"] = json!("2.0");
        document["definitions"] = Value::Object(models);
        document["securityDefinitions"] = schemes;
    } else {
        document["openapi"] = dice.one(&[json!("3.0.1"), json!("3.1.0")]);
        document["components"] = json!({ "schemas": models, "securitySchemes": schemes });
    }
    root_extensions(dice, &mut document);
    document
}

fn root_extensions(dice: &mut Dice<'_>, document: &mut Value) {
    let text = dice.text();
    let optional = [
        ("binary-media-types", json!(["image/png", "*/*"])),
        ("minimum-compression-size", json!(0)),
        ("api-key-source", dice.one(&[json!("HEADER"), json!("AUTHORIZER")])),
        (
            "policy",
            json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Principal": "*",
                    "Action": "execute-api:Invoke",
                    "Resource": ["execute-api:/*", "execute-api:/dev/GET/pets"],
                }],
            }),
        ),
        (
            "gateway-responses",
            json!({
                "DEFAULT_4XX": {
                    "responseParameters": { "gatewayresponse.header.x": "'y'" },
                    "responseTemplates": { "application/json": text },
                },
                "THROTTLED": { "statusCode": 420 },
            }),
        ),
        ("endpoint-configuration", json!({ "disableExecuteApiEndpoint": true })),
        (
            "documentation",
            json!({
                "version": "7",
                "documentationParts": [
                    { "location": { "type": "API" }, "properties": { "description": text } },
                    {
                        "location": { "type": "METHOD", "path": "/pets", "method": "GET" },
                        "properties": { "summary": "s", "tags": ["a"] },
                    },
                ],
            }),
        ),
        ("cors", json!({ "allowOrigins": ["*"] })),
        ("importexport-version", json!("1.0")),
    ];
    for (key, value) in optional {
        if dice.yes() {
            document[format!("x-amazon-apigateway-{key}")] = value;
        }
    }
    if dice.yes() {
        document["tags"] = json!([{ "name": "team", "x-amazon-apigateway-tag-value": "sea" }]);
    }
}

fn schemes(dice: &mut Dice<'_>) -> Value {
    const URI: &str = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/\
                       arn:aws:lambda:us-east-1:000000000000:function:f/invocations";
    let mut token = json!({ "type": "token", "authorizerUri": URI });
    if dice.yes() {
        token["authorizerResultTtlInSeconds"] = json!(0);
        token["identityValidationExpression"] = json!(dice.text());
        token["authorizerCredentials"] = json!("arn:aws:iam::000000000000:role/r");
    }
    json!({
        "key": { "type": "apiKey", "name": "x-api-key", "in": "header" },
        "iam": {
            "type": "apiKey",
            "name": "Authorization",
            "in": "header",
            "x-amazon-apigateway-authtype": "awsSigv4",
        },
        "token": {
            "type": "apiKey",
            "name": "X-Token",
            "in": "header",
            "x-amazon-apigateway-authtype": dice.one(&["custom", "oauth2"]),
            "x-amazon-apigateway-authorizer": token,
        },
        // The name that an export gives to keys of its own.
        "api_key": {
            "type": "apiKey",
            "name": "Unused",
            "in": "header",
            "x-amazon-apigateway-authorizer": {
                "type": "request",
                "authorizerUri": URI,
                "identitySource": "method.request.header.A, method.request.querystring.b",
            },
        },
        "pool": {
            "type": "apiKey",
            "name": "Authorization",
            "in": "header",
            "x-amazon-apigateway-authtype": "cognito_user_pools",
            "x-amazon-apigateway-authorizer": {
                "type": "cognito_user_pools",
                "providerARNs": ["arn:aws:cognito-idp:us-east-1:000000000000:userpool/p"],
            },
        },
        "jwt": {
            "type": "apiKey",
            "name": "Authorization",
            "in": "header",
            "x-amazon-apigateway-authorizer": {
                "type": "jwt",
                "identitySource": "method.request.header.Authorization",
                "jwtConfiguration": {
                    "issuers": [{ "issuer": "https://i.test", "audiences": ["a"] }],
                    "defaultAlgorithms": ["RS256"],
                },
            },
        },
    })
}

fn item(dice: &mut Dice<'_>, path: &str, is_swagger: bool, reference: &str) -> Value {
    let mut item = Map::new();
    if path == "/empty" {
        return Value::Object(item);
    }
    for verb in ["get", "post", "options", "x-amazon-apigateway-any-method"] {
        if dice.yes() {
            item.insert(verb.to_owned(), operation(dice, path, is_swagger, reference));
        }
    }
    if dice.yes() {
        let schema = if is_swagger { ("type", json!("string")) } else { ("schema", json!({})) };
        let mut parameter = json!({ "name": "shared", "in": "query", "required": dice.yes() });
        parameter[schema.0] = schema.1;
        item.insert("parameters".to_owned(), json!([parameter]));
    }
    Value::Object(item)
}

fn operation(dice: &mut Dice<'_>, path: &str, is_swagger: bool, reference: &str) -> Value {
    let mut operation = Map::new();
    if dice.yes() {
        operation.insert("operationId".to_owned(), json!(dice.text()));
    }
    let mut parameters = vec![json!({ "name": "q", "in": "query", "required": dice.yes() })];
    if path.contains("{proxy+}") {
        parameters.push(json!({ "name": "proxy", "in": "path", "required": true }));
    }
    if dice.yes() {
        parameters.push(json!({ "name": "X-A", "in": "header" }));
    }
    if dice.yes() {
        let schema = dice.schema(reference, 1);
        if is_swagger {
            parameters.push(json!({ "name": "b", "in": "body", "schema": schema }));
        } else {
            let body = json!({ "content": { "application/json": { "schema": schema } } });
            operation.insert("requestBody".to_owned(), body);
        }
    }
    operation.insert("parameters".to_owned(), json!(parameters));
    let mut responses = Map::new();
    for code in ["200", "404"] {
        let mut response = json!({ "description": "d", "headers": { "X-H": {} } });
        if dice.yes() {
            let schema = dice.schema(reference, 1);
            if is_swagger {
                response["schema"] = schema;
            } else {
                response["content"] = json!({ "application/json": { "schema": schema } });
            }
        }
        responses.insert(code.to_owned(), response);
    }
    responses.insert("default".to_owned(), json!({ "description": "skipped" }));
    operation.insert("responses".to_owned(), Value::Object(responses));
    let security = dice.one(&[
        None,
        Some(json!([])),
        Some(json!([{ "iam": [] }])),
        Some(json!([{ "key": [], "token": [] }])),
        Some(json!([{ "key": [] }, { "pool": ["email", "profile"] }])),
        Some(json!([{ "api_key": [] }])),
        Some(json!([{ "jwt": ["read"] }])),
    ]);
    if let Some(security) = security {
        operation.insert("security".to_owned(), security);
    }
    if dice.yes() {
        let key = "x-amazon-apigateway-request-validator".to_owned();
        operation.insert(key, dice.one(&[json!("all"), json!("none at all")]));
    }
    if dice.below(8) > 0 {
        operation.insert("x-amazon-apigateway-integration".to_owned(), integration(dice));
    }
    Value::Object(operation)
}

fn integration(dice: &mut Dice<'_>) -> Value {
    let mut integration = match dice.below(5) {
        0 => json!({ "type": "mock" }),
        1 => json!({ "type": "http", "uri": "https://b.test/x", "httpMethod": "post" }),
        2 => json!({ "type": "HTTP_PROXY", "uri": "http://${stageVariables.h}/{proxy}" }),
        3 => json!({
            "type": "aws_proxy",
            "uri": "arn:aws:apigateway:${AWS::Region}:lambda:path/2021-11-15/functions/f/response-streaming-invocations",
            "payloadFormatVersion": "1.0",
            "responseTransferMode": "stream",
            "timeoutInMillis": 900_000,
        }),
        _ => json!({
            "type": "aws",
            "httpMethod": "POST",
            "uri": "arn:aws:apigateway:us-east-1:sqs:action/SendMessage",
            "credentials": "arn:aws:iam::${AWS::AccountId}:role/r",
            "contentHandling": "CONVERT_TO_TEXT",
        }),
    };
    if dice.yes() {
        integration["requestTemplates"] =
            json!({ "application/json": dice.text(), "$default": "" });
        integration["passthroughBehavior"] = json!(dice.one(&["never", "WHEN_NO_TEMPLATES"]));
    }
    if dice.yes() {
        integration["requestParameters"] = json!({
            "integration.request.header.a": "'static: \"text\"'",
            "integration.request.querystring.b": "method.request.querystring.q",
            "integration.request.path.proxy": "method.request.body.a[0]",
        });
        integration["cacheKeyParameters"] = json!(["method.request.querystring.q"]);
        integration["cacheNamespace"] = json!(dice.text());
    }
    if dice.yes() {
        integration["timeoutInMillis"] = json!(dice.one(&[50, 29_000]));
        let over_http = integration["type"]
            .as_str()
            .is_some_and(|kind| kind.len() < 11 && kind.to_ascii_lowercase().starts_with("http"));
        let kinds = if over_http { &["INTERNET", "vpc_link"][..] } else { &["INTERNET"][..] };
        integration["connectionType"] = json!(dice.one(kinds));
        integration["connectionId"] = json!("${stageVariables.link}");
        integration["tlsConfig"] = json!({ "insecureSkipVerification": dice.yes() });
    }
    if dice.yes() {
        integration["responses"] = json!({
            "default": {
                "statusCode": 200,
                "responseParameters": {
                    "method.response.header.X-H": "integration.response.header.Y",
                },
                "responseTemplates": { "application/json": dice.text() },
            },
            dice.one(&["4\\d{2}", ".*\"yes\": no.*", "yes", "404", &"long|".repeat(300)]): {
                "statusCode": "404",
                "responseTemplates": {},
                "contentHandling": "CONVERT_TO_BINARY",
            },
        });
    }
    integration
}
