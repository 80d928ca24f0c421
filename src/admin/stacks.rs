//! What did a template make? The region's memory of `tidegate import`, one record per resource.
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /_tidegate/stacks/{stack}` | the region's account and names, and all records by logical id |
//! | `PUT /_tidegate/stacks/{stack}/{id}` | keeps a record: any JSON object |
//! | `DELETE /_tidegate/stacks/{stack}/{id}` | forgets it; one that is not there is forgotten already |
//!
//! The records stand in the control plane's store, so they are sealed, backed up and seen by every
//! process of the region. Callers are admitted as everywhere, by `apigateway:PUT` (to read as well:
//! records hold what parameters did, secrets included) and `apigateway:DELETE` on
//! `arn:aws:apigateway:{region}::/_tidegate/stacks/{stack}`. AWS has no such operations: there
//! CloudFormation remembers.

use http::Method;
use serde_json::{Map, Value, json};

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::operation::Site;
use crate::store::control::{Body, Kind, Txn};

/// Where stacks are.
pub const STACKS_PATH: &str = "/_tidegate/stacks/";

/// A record has a resource's properties without its definition.
const RECORD_BYTES_MAX: usize = 256 * 1024;
/// Resources of a template and those that wait for their deletion.
const RECORDS_MAX: usize = 2_000;
/// AWS: "CreateStack", `StackName`.
const STACK_CHARACTERS_MAX: usize = 128;
/// AWS: logical ids have 255 at most; ours have an ending at times.
const ID_CHARACTERS_MAX: usize = 300;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) stack: String,
    pub(super) id: Option<String>,
}

/// The place of a path below [`STACKS_PATH`]; `None` for other paths.
pub(super) fn place(path: &str) -> Option<Result<Place, ApiError>> {
    let rest = path.strip_prefix(STACKS_PATH)?;
    let (stack, id) = match rest.split_once('/') {
        Some((stack, id)) => (stack, Some(id)),
        None => (rest, None),
    };
    let known = |text: &str, most: usize| {
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        !text.is_empty() && text.len() <= most && text.bytes().all(in_name)
    };
    let sound =
        known(stack, STACK_CHARACTERS_MAX) && id.is_none_or(|id| known(id, ID_CHARACTERS_MAX));
    if !sound {
        return Some(Err(ApiError::bad_request(
            "A stack's name has letters, digits and hyphens, as have its resources' ids.",
        )));
    }
    Some(Ok(Place { stack: stack.to_owned(), id: id.map(str::to_owned) }))
}

/// Answers one request that was admitted.
pub(super) fn answer(
    txn: &mut Txn,
    site: &Site,
    method: &Method,
    place: &Place,
    body: &[u8],
) -> Result<Value, ApiError> {
    match (method, &place.id) {
        (&Method::GET, None) => Ok(all(txn, site, &place.stack)),
        (&Method::PUT, Some(id)) => {
            let record = record(body)?;
            let scope = scope(&place.stack);
            let records = txn.list(Kind::StackResource, &scope).len();
            if records >= RECORDS_MAX && !txn.contains(Kind::StackResource, &scope, id) {
                let message = format!("A stack has {RECORDS_MAX} resources at most.");
                return Err(ApiError::new(ErrorKind::LimitExceeded, message));
            }
            txn.put(Kind::StackResource, &scope, id, record);
            Ok(json!({}))
        }
        (&Method::DELETE, Some(id)) => {
            txn.delete(Kind::StackResource, &scope(&place.stack), id);
            Ok(json!({}))
        }
        _ => Err(ApiError::bad_request("Stacks are read, their resources put and deleted.")),
    }
}

/// No API's id has a slash, so no API's deletion reaches a stack.
fn scope(stack: &str) -> String {
    format!("stack/{stack}")
}

fn record(body: &[u8]) -> Result<Body, ApiError> {
    if body.len() > RECORD_BYTES_MAX {
        let message = format!("A record has {RECORD_BYTES_MAX} bytes at most.");
        return Err(ApiError::new(ErrorKind::RequestTooLarge, message));
    }
    serde_json::from_slice(body).map_err(|_| ApiError::bad_request("A record is a JSON object."))
}

fn all(txn: &Txn, site: &Site, stack: &str) -> Value {
    let records: Map<String, Value> = txn
        .list(Kind::StackResource, &scope(stack))
        .into_iter()
        .map(|(id, record)| (id.to_string(), Value::Object((*record).clone())))
        .collect();
    json!({
        "partition": site.partition,
        "awsRegion": site.aws_region,
        "accountId": site.account_id,
        "resources": records,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::control::State;

    fn site() -> Site {
        Site {
            partition: "aws".to_owned(),
            aws_region: "eu-central-1".to_owned(),
            account_id: "123456789012".to_owned(),
            domain: "gateway.localhost".to_owned(),
            port: String::new(),
            installation: Default::default(),
        }
    }

    #[test]
    fn records_are_kept_told_and_forgotten() {
        let mut txn = Txn::new(Arc::new(State::default()));
        let at = |path: &str| place(path).unwrap().unwrap();
        let one = at("/_tidegate/stacks/shop/Api");
        let put = answer(&mut txn, &site(), &Method::PUT, &one, br#"{"id":"x"}"#);
        assert_eq!(put.unwrap(), json!({}));
        let whole = at("/_tidegate/stacks/shop");
        let told = answer(&mut txn, &site(), &Method::GET, &whole, b"").unwrap();
        assert_eq!(told["resources"], json!({"Api": {"id": "x"}}));
        assert_eq!(told["accountId"], "123456789012");
        for _ in 0..2 {
            assert!(answer(&mut txn, &site(), &Method::DELETE, &one, b"").is_ok());
        }
        let told = answer(&mut txn, &site(), &Method::GET, &whole, b"").unwrap();
        assert_eq!(told["resources"], json!({}));
    }

    #[test]
    fn what_is_no_stack_or_record_is_refused() {
        assert_eq!(place("/restapis"), None);
        for path in ["", "a/", "a/b/c", "a%20b", "ä"] {
            assert!(place(&format!("{STACKS_PATH}{path}")).unwrap().is_err(), "{path}");
        }
        let mut txn = Txn::new(Arc::new(State::default()));
        let one = Place { stack: "s".to_owned(), id: Some("i".to_owned()) };
        for body in ["", "[]", "nothing"] {
            let put = answer(&mut txn, &site(), &Method::PUT, &one, body.as_bytes());
            assert!(put.is_err(), "{body}");
        }
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(RECORD_BYTES_MAX));
        assert!(answer(&mut txn, &site(), &Method::PUT, &one, long.as_bytes()).is_err());
        assert!(answer(&mut txn, &site(), &Method::POST, &one, b"{}").is_err());
    }
}
