//! A REST API as one document: what a deployment freezes, an import brings and an export shows.
//!
//! ```json
//! { "restApi": {…}, "resources": [{…, "path": "/pets", "resourceMethods": {"GET": {…}}}],
//!   "models": […], "requestValidators": […], "authorizers": […], "gatewayResponses": […] }
//! ```
//! Every entry is the object's body as the store keeps it, so ids stay what they were.

use serde_json::{Map, Value};

use crate::store::control::{Body, Kind, Txn};

/// What belongs to a REST API and is frozen with it, under its name in the document.
pub const PARTS: [(&str, Kind); 5] = [
    ("resources", Kind::Resource),
    ("models", Kind::Model),
    ("requestValidators", Kind::RequestValidator),
    ("authorizers", Kind::Authorizer),
    ("gatewayResponses", Kind::GatewayResponse),
];

/// The whole API as it is now; `None` when there is no such API.
pub fn freeze(txn: &Txn, api: &str) -> Option<Value> {
    let rest_api = txn.get(Kind::RestApi, "", api)?;
    let mut definition = Map::new();
    definition.insert("restApi".to_owned(), Value::Object(Body::clone(&rest_api)));
    for (name, kind) in PARTS {
        let found =
            txn.list(kind, api).into_iter().map(|(_, body)| Value::Object(Body::clone(&body)));
        definition.insert(name.to_owned(), Value::Array(found.collect()));
    }
    Some(Value::Object(definition))
}
