//! `tidegate cors enable`: what the console's button "Enable CORS" does, by the same calls.
//!
//! For each resource an OPTIONS method that a MOCK answers; on its other methods the header that
//! lets a page read the answer; on the gateway's own refusals as well, so that a page learns why it
//! was refused. A proxy integration hands on what its backend says, so its backend has to say it:
//! such methods are named, not changed.
//!
//! One origin, or `*`, is a constant. Among several the caller's is looked for by a template, since
//! the header holds a single origin (Fetch Standard, "HTTP responses"); a cached answer then is one
//! origin's, so that the origin becomes part of the method's cache key.
//!
//! AWS: API Gateway Developer Guide, "Enable CORS on a resource using the API Gateway console",
//! "Enable CORS for a REST API".

use std::fmt::Write as _;

use bytes::Bytes;
use http::Method;
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value, json};

use super::template::calls::{Answer, Door, UNRESERVED};

/// What the console suggests.
pub const HEADERS: &str = "Content-Type,X-Amz-Date,Authorization,X-Api-Key,X-Amz-Security-Token";
const ALLOW_HEADERS: &str = "Access-Control-Allow-Headers";
const ALLOW_METHODS: &str = "Access-Control-Allow-Methods";
const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";
const ALLOW_CREDENTIALS: &str = "Access-Control-Allow-Credentials";
const MAX_AGE: &str = "Access-Control-Max-Age";
const REQUEST_ORIGIN: &str = "method.request.header.Origin";
const REFUSALS: [&str; 2] = ["DEFAULT_4XX", "DEFAULT_5XX"];
/// Entries of a page: the most that AWS gives.
const PAGE: usize = 500;
/// Pages asked for: many times AWS's 300 resources of an API.
const PAGES_MAX: usize = 100;
/// Frames what we put before an author's template, so that the next run finds it.
const BEGIN: &str = "#* tidegate cors *#";
const END: &str = "#* end of tidegate cors *#";

/// What is wished for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The API's id, or its name where only one has it.
    pub api: String,
    /// Such as `https://shop.example`, or `*`.
    pub origins: Vec<String>,
    /// Resource paths; empty is all that have methods.
    pub paths: Vec<String>,
    /// Value of `Access-Control-Allow-Headers`.
    pub headers: String,
    pub credentials: bool,
    pub max_age_seconds: Option<u32>,
    /// The stage that gets a deployment of it.
    pub deploy: Option<String>,
}

/// What was done, a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub done: Vec<String>,
    /// What its owner has to do.
    pub left: Vec<String>,
}

/// Why it was not done, or not all of it; what was done stays and a repeated run completes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorsError {
    #[error("`{0}` is no origin: give a scheme and a host, such as https://shop.example, or *")]
    Origin(String),
    #[error("`*` allows every origin: name it alone, and without --credentials (Fetch Standard)")]
    Everyone,
    #[error("a header's text cannot hold quotes or line breaks: `{0}`")]
    Text(String),
    #[error("there is no REST API `{0}`")]
    NoApi(String),
    #[error("{0} REST APIs are called `{1}`: give the id")]
    Ambiguous(usize, String),
    #[error("API {api} has no resource `{path}`")]
    NoResource { api: String, path: String },
    #[error("{what}: {status} {message}")]
    Refused { what: String, status: u16, message: String },
    #[error("{0}")]
    Unreachable(String),
}

/// Sets CORS up.
///
/// # Errors
/// The first thing that could not be done, with its place.
pub async fn enable(door: &dyn Door, wish: &Wish) -> Result<Report, CorsError> {
    check(wish)?;
    let calls = Calls { door };
    let api = calls.api(&wish.api).await?;
    let at = format!("/restapis/{api}");
    let mut report = Report::default();
    let resources = calls.pages(&format!("{at}/resources?embed=methods")).await?;
    let path = |resource: &Value| text(resource, "path").to_owned();
    for wanted in &wish.paths {
        if !resources.iter().any(|resource| path(resource) == *wanted) {
            return Err(CorsError::NoResource { api, path: wanted.clone() });
        }
    }
    for resource in &resources {
        let methods = resource.get("resourceMethods").and_then(Value::as_object);
        let Some(methods) = methods.filter(|methods| methods.keys().any(|verb| verb != "OPTIONS"))
        else {
            continue;
        };
        if wish.paths.is_empty() || wish.paths.contains(&path(resource)) {
            let place = Place {
                at: format!("{at}/resources/{}/methods", text(resource, "id")),
                path: path(resource),
            };
            preflight(&calls, wish, &place, methods, &mut report).await?;
            for (verb, method) in methods.iter().filter(|(verb, _)| *verb != "OPTIONS") {
                answers(&calls, wish, &place, verb, method, &mut report).await?;
            }
        }
    }
    refusals(&calls, wish, &at, &mut report).await?;
    if let Some(stage) = &wish.deploy {
        calls.made(Method::POST, &format!("{at}/deployments"), json!({"stageName": stage})).await?;
        report.done.push(format!("deployed to stage {stage}"));
    } else {
        report.left.push("deploy the API: create-deployment, or --deploy STAGE".to_owned());
    }
    Ok(report)
}

fn check(wish: &Wish) -> Result<(), CorsError> {
    for origin in &wish.origins {
        let is_sound = |rest: &str| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
        };
        let known = origin == "*"
            || origin.split_once("://").is_some_and(|(scheme, rest)| {
                !scheme.is_empty()
                    && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                    && is_sound(rest)
            });
        if !known {
            return Err(CorsError::Origin(origin.clone()));
        }
    }
    let everyone = wish.origins.iter().any(|origin| origin == "*");
    if everyone && (wish.origins.len() > 1 || wish.credentials) {
        return Err(CorsError::Everyone);
    }
    match wish.headers.contains(['\'', '"', '\r', '\n']) {
        true => Err(CorsError::Text(wish.headers.clone())),
        false => Ok(()),
    }
}

struct Place {
    /// Address of the resource's methods.
    at: String,
    path: String,
}

/// The OPTIONS method. One that is a MOCK is made anew; another is somebody's own.
async fn preflight(
    calls: &Calls<'_>,
    wish: &Wish,
    place: &Place,
    methods: &Map<String, Value>,
    report: &mut Report,
) -> Result<(), CorsError> {
    let at = format!("{}/OPTIONS", place.at);
    if let Some(own) = methods.get("OPTIONS") {
        let integration = own.get("methodIntegration").unwrap_or(&Value::Null);
        if !integration.is_null() && text(integration, "type") != "MOCK" {
            let kind = text(integration, "type");
            report.left.push(format!(
                "{} OPTIONS is answered by {kind}: it has to answer preflights itself",
                place.path
            ));
            return Ok(());
        }
        calls.made(Method::DELETE, &at, Value::Null).await?;
    }
    let verbs = match methods.contains_key("ANY") {
        true => "DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT".to_owned(),
        false => methods
            .keys()
            .map(String::as_str)
            .filter(|verb| *verb != "OPTIONS")
            .fold("OPTIONS".to_owned(), |list, verb| list + "," + verb),
    };
    let mut headers = vec![(ALLOW_HEADERS, wish.headers.clone()), (ALLOW_METHODS, verbs)];
    headers.extend(wish.max_age_seconds.map(|seconds| (MAX_AGE, seconds.to_string())));
    headers.extend(wish.of_every_answer());
    let named = |value: &dyn Fn(&str) -> Value| -> Value {
        headers
            .iter()
            .map(|(name, text)| (format!("method.response.header.{name}"), value(text)))
            .collect::<Map<_, _>>()
            .into()
    };
    calls.made(Method::PUT, &at, json!({"authorizationType": "NONE"})).await?;
    let mut declared = named(&|_| json!(false));
    if let (true, Some(declared)) = (wish.has_several(), declared.as_object_mut()) {
        declared.insert(format!("method.response.header.{ALLOW_ORIGIN}"), json!(false));
    }
    calls.made(Method::PUT, &format!("{at}/responses/200"), json!({"responseParameters": declared, "responseModels": {"application/json": "Empty"}})).await?;
    calls
        .made(
            Method::PUT,
            &format!("{at}/integration"),
            json!({
                "type": "MOCK",
                // With every type binary the template would otherwise see bytes instead of text.
                "contentHandling": "CONVERT_TO_TEXT",
                "requestTemplates": {"application/json": "{\"statusCode\": 200}"},
            }),
        )
        .await?;
    let mut response = json!({"responseParameters": named(&|text| json!(format!("'{text}'")))});
    if let Some(template) = wish.template() {
        response["responseTemplates"] = json!({"application/json": template});
    }
    calls.made(Method::PUT, &format!("{at}/integration/responses/200"), response).await?;
    report.done.push(format!("{} OPTIONS answers preflights", place.path));
    Ok(())
}

/// The header on a method's own answers.
async fn answers(
    calls: &Calls<'_>,
    wish: &Wish,
    place: &Place,
    verb: &str,
    method: &Value,
    report: &mut Report,
) -> Result<(), CorsError> {
    let at = format!("{}/{verb}", place.at);
    let integration = method.get("methodIntegration").unwrap_or(&Value::Null);
    let kind = text(integration, "type");
    if kind.is_empty() {
        return Ok(());
    }
    if kind.ends_with("_PROXY") {
        report.left.push(format!(
            "{} {verb} is a proxy ({kind}): its backend has to send {ALLOW_ORIGIN} itself",
            place.path
        ));
        return Ok(());
    }
    if wish.has_several() {
        keyed_by_origin(calls, &at, method, integration).await?;
    }
    let responses = integration.get("integrationResponses").and_then(Value::as_object);
    for (status, response) in responses.into_iter().flatten() {
        let parameters = |own: &Value| {
            own.get("responseParameters")
                .cloned()
                .filter(Value::is_object)
                .unwrap_or_else(|| json!({}))
        };
        let known =
            method.get("methodResponses").and_then(|all| all.get(status)).unwrap_or(&Value::Null);
        let (mut declared, mut mapped) = (parameters(known), parameters(response));
        forget_earlier("method.response", &mut declared);
        forget_earlier("method.response", &mut mapped);
        for (name, value) in wish.of_every_answer() {
            declared[format!("method.response.header.{name}")] = json!(false);
            mapped[format!("method.response.header.{name}")] = json!(format!("'{value}'"));
        }
        if wish.has_several() {
            declared[format!("method.response.header.{ALLOW_ORIGIN}")] = json!(false);
        }
        if !known.is_null() {
            calls.made(Method::DELETE, &format!("{at}/responses/{status}"), Value::Null).await?;
        }
        let models = known.get("responseModels").cloned().unwrap_or_else(|| json!({}));
        calls
            .made(
                Method::PUT,
                &format!("{at}/responses/{status}"),
                json!({"responseParameters": declared, "responseModels": models}),
            )
            .await?;
        let mut put = response.as_object().cloned().unwrap_or_default();
        put.retain(|name, value| name != "statusCode" && !value.is_null());
        put.insert("responseParameters".to_owned(), mapped);
        put.insert(
            "responseTemplates".to_owned(),
            wish.templates(response.get("responseTemplates")),
        );
        calls
            .made(Method::PUT, &format!("{at}/integration/responses/{status}"), put.into())
            .await?;
    }
    report.done.push(format!("{} {verb} tells pages that they may read its answers", place.path));
    Ok(())
}

/// A page must not get what the cache keeps for a page of another origin.
async fn keyed_by_origin(
    calls: &Calls<'_>,
    at: &str,
    method: &Value,
    integration: &Value,
) -> Result<(), CorsError> {
    let add = |list: &str, value: Value| {
        let path = format!("/{list}/{REQUEST_ORIGIN}");
        json!({"patchOperations": [{"op": "add", "path": path, "value": value}]})
    };
    let declared = method.get("requestParameters").and_then(|all| all.get(REQUEST_ORIGIN));
    if declared.is_none() {
        let patch = add("requestParameters", json!("false"));
        calls.made(Method::PATCH, at, patch).await?;
    }
    let keys = integration.get("cacheKeyParameters").and_then(Value::as_array);
    if !keys.is_some_and(|keys| keys.contains(&json!(REQUEST_ORIGIN))) {
        let patch = add("cacheKeyParameters", json!(""));
        calls.made(Method::PATCH, &format!("{at}/integration"), patch).await?;
    }
    Ok(())
}

/// The header on the gateway's refusals, beside what their author has put there.
async fn refusals(
    calls: &Calls<'_>,
    wish: &Wish,
    at: &str,
    report: &mut Report,
) -> Result<(), CorsError> {
    for kind in REFUSALS {
        let target = format!("{at}/gatewayresponses/{kind}");
        let own = calls.made(Method::GET, &target, Value::Null).await?;
        let mut parameters = own
            .get("responseParameters")
            .cloned()
            .filter(Value::is_object)
            .unwrap_or_else(|| json!({}));
        forget_earlier("gatewayresponse", &mut parameters);
        for (name, value) in wish.of_every_answer() {
            parameters[format!("gatewayresponse.header.{name}")] = json!(format!("'{value}'"));
        }
        parameters[format!("gatewayresponse.header.{ALLOW_HEADERS}")] =
            json!(format!("'{}'", wish.headers));
        let mut put = json!({"responseParameters": parameters});
        for name in ["statusCode", "responseTemplates"] {
            if let Some(value) = own.get(name).filter(|value| !value.is_null()) {
                put[name] = value.clone();
            }
        }
        calls.made(Method::PUT, &target, put).await?;
        if !wish.has_several() {
            report.done.push(format!("{kind} refusals can be read by pages"));
        }
    }
    if wish.has_several() {
        // Their texts are no templates: nothing can choose among origins there.
        report.left.push(
            "refusals of the gateway itself name no origin: they cannot choose among several"
                .to_owned(),
        );
    }
    Ok(())
}

/// What an earlier run said of every answer, with other origins perhaps.
fn forget_earlier(family: &str, parameters: &mut Value) {
    for name in [ALLOW_ORIGIN, ALLOW_CREDENTIALS] {
        if let Some(parameters) = parameters.as_object_mut() {
            parameters.shift_remove(&format!("{family}.header.{name}"));
        }
    }
}

impl Wish {
    fn has_several(&self) -> bool {
        self.origins.len() > 1
    }

    /// Headers that every answer has, where they are constants.
    fn of_every_answer(&self) -> Vec<(&'static str, String)> {
        let origin = (!self.has_several()).then(|| self.origins.first()).flatten();
        let credentials = self.credentials.then(|| (ALLOW_CREDENTIALS, "true".to_owned()));
        origin.map(|origin| (ALLOW_ORIGIN, origin.clone())).into_iter().chain(credentials).collect()
    }

    /// What looks for the caller's origin among several: it stands before a template and prints
    /// nothing. Clients of HTTP/2 write the header's name in lower case.
    fn template(&self) -> Option<String> {
        if !self.has_several() {
            return None;
        }
        let mut text = format!(
            "{BEGIN}#set($origin = $input.params().header.get('Origin'))#if($origin == '')#set($origin = $input.params().header.get('origin'))#end"
        );
        let one_of: Vec<String> =
            self.origins.iter().map(|origin| format!("$origin == '{origin}'")).collect();
        let set = write!(
            text,
            "#set($context.responseOverride.header.Vary = 'Origin')#if({})#set($context.responseOverride.header.{ALLOW_ORIGIN} = $origin)#end{END}",
            one_of.join(" || ")
        );
        set.is_ok().then_some(text)
    }

    /// The author's templates with ours before each; where there are none, one that hands the body
    /// on. What an earlier run put there is taken away.
    fn templates(&self, own: Option<&Value>) -> Value {
        let mut templates = Map::new();
        for (media_type, text) in own.and_then(Value::as_object).into_iter().flatten() {
            let text = text.as_str().unwrap_or_default();
            let bare = match text.split_once(END) {
                Some((before, after)) if before.starts_with(BEGIN) => after,
                _ => text,
            };
            let ours = self.template().unwrap_or_default();
            let passes_on = bare == "$input.body" && ours.is_empty() && bare != text;
            if !passes_on {
                templates.insert(media_type.clone(), json!(ours + bare));
            }
        }
        if templates.is_empty()
            && let Some(ours) = self.template()
        {
            templates.insert("application/json".to_owned(), json!(ours + "$input.body"));
        }
        templates.into()
    }
}

struct Calls<'d> {
    door: &'d dyn Door,
}

impl Calls<'_> {
    /// The API's id.
    async fn api(&self, named: &str) -> Result<String, CorsError> {
        let encoded = utf8_percent_encode(named, UNRESERVED);
        let answer = self.call(Method::GET, &format!("/restapis/{encoded}"), Value::Null).await?;
        if answer.status == 200 {
            return Ok(named.to_owned());
        }
        let apis = self.pages("/restapis?").await?;
        let ids: Vec<&str> = apis
            .iter()
            .filter(|api| text(api, "name") == named)
            .map(|api| text(api, "id"))
            .collect();
        match ids.as_slice() {
            [] => Err(CorsError::NoApi(named.to_owned())),
            [id] => Ok((*id).to_owned()),
            several => Err(CorsError::Ambiguous(several.len(), named.to_owned())),
        }
    }

    /// All entries of a list; `target` has a query.
    async fn pages(&self, target: &str) -> Result<Vec<Value>, CorsError> {
        let (mut found, mut position) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let page = self
                .made(Method::GET, &format!("{target}&limit={PAGE}{position}"), Value::Null)
                .await?;
            found.extend(page.get("item").and_then(Value::as_array).into_iter().flatten().cloned());
            match page.get("position").and_then(Value::as_str) {
                Some(next) => {
                    position = format!("&position={}", utf8_percent_encode(next, UNRESERVED))
                }
                None => break,
            }
        }
        Ok(found)
    }

    /// A call that has to succeed.
    async fn made(&self, method: Method, target: &str, body: Value) -> Result<Value, CorsError> {
        let what = format!("{method} {target}");
        let answer = self.call(method, target, body).await?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        let message = text(&answer.body, "message").to_owned();
        Err(CorsError::Refused { what, status: answer.status, message })
    }

    async fn call(&self, method: Method, target: &str, body: Value) -> Result<Answer, CorsError> {
        let body = match body {
            Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        self.door.call(method, target, body).await.map_err(CorsError::Unreachable)
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
