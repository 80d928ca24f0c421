//! A row of the database: an object on its way between the picture and the disk.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::store::control::error::ControlError;
use crate::store::control::seal::{OVERHEAD_BYTES, Sealer};
use crate::store::control::state::{Body, Change, Kind, ObjectKey};

/// Text of one object. An imported definition has at most 6 MB (AWS: "Amazon API Gateway quotas"),
/// and a deployment's frozen one is escaped once more.
pub(super) const BODY_BYTES_MAX: usize = 32 << 20;
/// Scope and id together. PostgreSQL's index takes 2,704 bytes of a key ("B-Tree Indexes"); the
/// longest of ours, a base path under a domain name, has some 600.
const NAME_BYTES_MAX: usize = 2_000;
/// Values within values. serde_json reads no more than 127 back.
const DEPTH_MAX: usize = 100;
/// Objects that one call may change; deleting the largest API that AWS allows takes some thousands.
const CHANGES_MAX: usize = 100_000;
/// Text of all objects that one call changes.
const CHANGES_BYTES_MAX: usize = 256 << 20;

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) kind: String,
    pub(super) scope: String,
    pub(super) id: String,
    pub(super) revision: u64,
    /// Sealed; `None` is a tombstone.
    pub(super) body: Option<Vec<u8>>,
}

/// An object as it is in the picture.
pub(super) type Opened = (ObjectKey, u64, Option<Arc<Body>>);

/// The rows of a call's changes.
pub(super) fn seal(
    sealer: &Sealer,
    changes: &[Change],
    revision: u64,
) -> Result<Vec<Row>, ControlError> {
    let bounded = |size: usize, limit: usize, what: &'static str| {
        if size > limit { Err(ControlError::TooLarge { what, limit }) } else { Ok(()) }
    };
    bounded(changes.len(), CHANGES_MAX, "the number of changed objects")?;
    let mut all = 0;
    let mut rows = Vec::with_capacity(changes.len());
    for (key, body) in changes {
        bounded(key.scope.len() + key.id.len(), NAME_BYTES_MAX, "the name of an object")?;
        // PostgreSQL has no such text.
        if key.scope.contains('\0') || key.id.contains('\0') {
            return Err(ControlError::Invalid("a name holds the character U+0000"));
        }
        let body = match body {
            None => None,
            Some(body) => {
                if !body.values().all(|value| is_within(value, DEPTH_MAX)) {
                    let what = "the depth of an object";
                    return Err(ControlError::TooLarge { what, limit: DEPTH_MAX });
                }
                let text = serde_json::to_vec(&**body).map(Zeroizing::new);
                let text = text.map_err(|_| ControlError::Invalid("a body is no JSON"))?;
                bounded(text.len(), BODY_BYTES_MAX, "an object")?;
                all += text.len();
                bounded(all, CHANGES_BYTES_MAX, "the change")?;
                let sealed = sealer.seal(key, revision, &text);
                Some(sealed.ok_or(ControlError::Invalid("the machine gives no random bytes"))?)
            }
        };
        rows.push(Row {
            kind: key.kind.as_str().to_owned(),
            scope: key.scope.as_ref().to_owned(),
            id: key.id.as_ref().to_owned(),
            revision,
            body,
        });
    }
    Ok(rows)
}

fn is_within(value: &Value, depth: usize) -> bool {
    match value {
        _ if depth == 0 => false,
        Value::Array(items) => items.iter().all(|item| is_within(item, depth - 1)),
        Value::Object(members) => members.values().all(|member| is_within(member, depth - 1)),
        _ => true,
    }
}

/// What rows of the database mean.
pub(super) fn open(
    sealer: &Sealer,
    rows: Vec<Row>,
    place: &str,
) -> Result<Vec<Opened>, ControlError> {
    // Rows of a scope share its text.
    let mut scopes: HashMap<String, Arc<str>> = HashMap::new();
    rows.into_iter()
        .map(|row| {
            let Row { kind, scope, id, revision, body } = row;
            let kind = Kind::from_name(&kind).ok_or_else(|| ControlError::Newer {
                place: place.to_owned(),
                cause: format!("it holds a `{}`", kind.escape_debug()),
            })?;
            let scope = match scopes.get(&scope) {
                Some(known) => Arc::clone(known),
                None => {
                    let shared: Arc<str> = scope.as_str().into();
                    scopes.insert(scope, Arc::clone(&shared));
                    shared
                }
            };
            let key = ObjectKey { kind, scope, id: id.into() };
            let body = match body {
                None => None,
                Some(sealed) => match body_of(sealer, &key, revision, sealed) {
                    Ok(body) => Some(Arc::new(body)),
                    Err(cause) => {
                        return Err(ControlError::Sealed {
                            place: place.to_owned(),
                            object: key,
                            cause,
                        });
                    }
                },
            };
            Ok((key, revision, body))
        })
        .collect()
}

fn body_of(
    sealer: &Sealer,
    key: &ObjectKey,
    revision: u64,
    sealed: Vec<u8>,
) -> Result<Body, &'static str> {
    if sealed.len() > BODY_BYTES_MAX + OVERHEAD_BYTES {
        return Err("it is too long");
    }
    let text = sealer.open(key, revision, sealed)?;
    serde_json::from_slice(&text).map_err(|_| "its text is no JSON object")
}
