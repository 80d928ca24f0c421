//! Create, get, list, update, delete: once for all resources of v2.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Outcome};
use crate::admin::v2::deployments;
use crate::store::control::{Body, Kind};

/// `maxResults` when nobody says it, and at most; ours, as AWS does not tell its default.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 500;

/// Maps whose entries an update sets one by one; an empty text or map removes an entry (recorded
/// from what Terraform sends).
const MERGED: [&str; 6] = [
    "requestParameters",
    "responseParameters",
    "requestTemplates",
    "stageVariables",
    "routeSettings",
    "responseTemplates",
];

/// One resource of v2.
pub(super) struct Family {
    pub(super) kind: Kind,
    /// The id's name as a member and as a URI label, such as `routeId`.
    pub(super) id: &'static str,
    /// In messages, such as `Route`.
    pub(super) noun: &'static str,
    /// Characters of a new id.
    pub(super) id_length: usize,
    pub(super) owner: Owner,
    /// Fills what a new body does not say and checks it.
    pub(super) prepare: Prepare,
}

/// Looks at a body before it is kept; `before` is `None` for a new one.
pub(super) type Prepare =
    fn(&mut Context<'_>, &Place, Option<&Body>, &mut Body) -> Result<(), ApiError>;

/// What a resource belongs to.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    Nobody,
    Api,
    /// A resource of an API, by its kind, label and noun.
    PartOfApi(Kind, &'static str, &'static str),
    Domain,
}

/// Where a body stands.
pub(super) struct Place {
    /// Empty when the resource belongs to no API.
    pub(super) api: String,
    pub(super) scope: String,
    pub(super) id: String,
}

pub(super) fn unknown(noun: &str, id: &str) -> ApiError {
    ApiError::not_found(format!("Invalid {noun} identifier specified {id}"))
}

/// The API a request names, which must be there.
pub(super) fn require_api(cx: &Context<'_>, input: &Input) -> Result<Arc<Body>, ApiError> {
    let api = input.label("apiId");
    cx.txn.get(Kind::HttpApi, "", api).ok_or_else(|| unknown("API", api))
}

impl Family {
    /// The scope a request names, whose owner must be there.
    pub(super) fn scope(
        &self,
        cx: &Context<'_>,
        input: &Input,
    ) -> Result<(String, String), ApiError> {
        match self.owner {
            Owner::Nobody => Ok((String::new(), String::new())),
            Owner::Api => {
                require_api(cx, input)?;
                Ok((input.label("apiId").to_owned(), input.label("apiId").to_owned()))
            }
            Owner::PartOfApi(kind, label, noun) => {
                require_api(cx, input)?;
                let (api, part) = (input.label("apiId"), input.label(label));
                if !cx.txn.contains(kind, api, part) {
                    return Err(unknown(noun, part));
                }
                Ok((api.to_owned(), format!("{api}/{part}")))
            }
            Owner::Domain => {
                let domain = input.label("domainName").to_ascii_lowercase();
                if !cx.txn.contains(Kind::DomainName, "", &domain) {
                    return Err(no_domain());
                }
                Ok((String::new(), domain))
            }
        }
    }

    fn place(&self, cx: &Context<'_>, input: &Input) -> Result<Place, ApiError> {
        let (api, scope) = self.scope(cx, input)?;
        Ok(Place { api, scope, id: input.label(self.id).to_owned() })
    }

    fn require(&self, cx: &Context<'_>, place: &Place) -> Result<Arc<Body>, ApiError> {
        let found = cx.txn.get(self.kind, &place.scope, &place.id);
        found.ok_or_else(|| unknown(self.noun, &place.id))
    }

    pub(super) fn create(&self, cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
        let (api, scope) = self.scope(cx, input)?;
        let id = cx.new_id(self.id_length, |id| cx.txn.contains(self.kind, &scope, id));
        self.create_as(cx, Place { api, scope, id }, &input.body)
    }

    /// Creates with an id that is known already.
    pub(super) fn create_as(
        &self,
        cx: &mut Context<'_>,
        place: Place,
        given: &Body,
    ) -> Result<Outcome, ApiError> {
        let mut body = Body::new();
        body.insert(self.id.to_owned(), Value::from(place.id.as_str()));
        for (name, value) in given {
            if !value.is_null() {
                body.insert(name.clone(), value.clone());
            }
        }
        (self.prepare)(cx, &place, None, &mut body)?;
        cx.txn.put(self.kind, &place.scope, &place.id, body.clone());
        deployments::api_changed(cx, &place.api)?;
        Ok(Outcome::Body(body))
    }

    pub(super) fn get(&self, cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
        let place = self.place(cx, input)?;
        let body = self.require(cx, &place)?;
        Ok(Outcome::Body(Body::clone(&body)))
    }

    pub(super) fn list(&self, cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
        let (_, scope) = self.scope(cx, input)?;
        let found = cx.txn.list(self.kind, &scope);
        page(input, "items", found.into_iter().map(|(id, body)| (id, Body::clone(&body))))
    }

    pub(super) fn update(&self, cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
        let place = self.place(cx, input)?;
        let before = self.require(cx, &place)?;
        let mut body = Body::clone(&before);
        merge(&mut body, &input.body);
        (self.prepare)(cx, &place, Some(&before), &mut body)?;
        cx.txn.put(self.kind, &place.scope, &place.id, body.clone());
        deployments::api_changed(cx, &place.api)?;
        Ok(Outcome::Body(body))
    }

    pub(super) fn delete(&self, cx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
        let place = self.place(cx, input)?;
        let body = self.require(cx, &place)?;
        if body.get("apiGatewayManaged") == Some(&Value::Bool(true)) {
            return Err(ApiError::bad_request(format!(
                "{} {} is managed by API Gateway and cannot be deleted by itself",
                self.noun, place.id
            )));
        }
        cx.txn.delete(self.kind, &place.scope, &place.id);
        deployments::api_changed(cx, &place.api)?;
        Ok(Outcome::Body(Body::new()))
    }
}

pub(super) fn no_domain() -> ApiError {
    ApiError::not_found("The domain name resource specified in the request was not found.")
}

/// Replaces the members that are given; an empty text takes a member away.
pub(super) fn merge(body: &mut Body, given: &Body) {
    for (name, value) in given {
        match value {
            Value::Null => {}
            Value::String(text) if text.is_empty() => {
                body.shift_remove(name);
            }
            Value::Object(entries) if MERGED.contains(&name.as_str()) => {
                merge_entries(body, name, entries);
            }
            value => {
                body.insert(name.clone(), value.clone());
            }
        }
    }
}

fn merge_entries(body: &mut Body, name: &str, entries: &Map<String, Value>) {
    let slot = body.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(known) = slot else { return };
    for (key, value) in entries {
        let removes = match value {
            Value::String(text) => text.is_empty(),
            Value::Object(inner) => inner.is_empty(),
            _ => false,
        };
        if removes {
            known.shift_remove(key);
        } else {
            known.insert(key.clone(), value.clone());
        }
    }
    if known.is_empty() {
        body.shift_remove(name);
    }
}

/// The page that `maxResults` and `nextToken` ask for. The token is the last id of the page before.
pub(super) fn page(
    input: &Input,
    member: &str,
    found: impl IntoIterator<Item = (Arc<str>, Body)>,
) -> Result<Outcome, ApiError> {
    let most = match input.query.get("maxResults") {
        None => PAGE_DEFAULT,
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(number) => number.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
    };
    if most == 0 {
        return Err(ApiError::bad_request(
            "Invalid value for maxResults, must be a positive number",
        ));
    }
    let after = input.query_text("nextToken").unwrap_or_default();
    let mut rest = found.into_iter().skip_while(|(id, _)| !after.is_empty() && **id <= *after);
    let taken: Vec<(Arc<str>, Body)> = rest.by_ref().take(most.min(PAGE_MAX)).collect();
    let next = rest.next().and_then(|_| taken.last().map(|(id, _)| id.to_string()));
    let mut body = Body::new();
    let items = taken.into_iter().map(|(_, body)| Value::Object(body)).collect();
    body.insert(member.to_owned(), Value::Array(items));
    if let Some(next) = next {
        body.insert("nextToken".to_owned(), Value::from(next));
    }
    Ok(Outcome::Body(body))
}

/// Whether another resource beside the one at `place` is like this.
pub(super) fn another(
    cx: &Context<'_>,
    kind: Kind,
    place: &Place,
    is_like: impl Fn(&Body) -> bool,
) -> bool {
    let all = cx.txn.list(kind, &place.scope);
    all.iter().any(|(id, body)| **id != *place.id && is_like(body))
}

/// Sets a member that was not given.
pub(super) fn default(body: &mut Body, name: &str, value: impl Into<Value>) {
    if !body.contains_key(name) {
        body.insert(name.to_owned(), value.into());
    }
}

pub(super) fn text<'b>(body: &'b Body, name: &str) -> &'b str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn is_websocket(api: &Body) -> bool {
    text(api, "protocolType") == "WEBSOCKET"
}

/// The five handlers of a family, as functions.
macro_rules! handlers {
    ($family:ident: $($name:ident = $method:ident),* $(,)?) => {
        $(fn $name(
            cx: &mut crate::admin::protocol::operation::Context<'_>,
            input: &crate::admin::protocol::operation::Input,
        ) -> Result<
            crate::admin::protocol::operation::Outcome,
            crate::admin::protocol::error::ApiError,
        > {
            $family.$method(cx, input)
        })*
    };
}
pub(super) use handlers;
