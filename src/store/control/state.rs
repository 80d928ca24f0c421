//! Everything the control plane was told, in memory: what the handlers of admin operations read.
//!
//! A [`State`] is an immutable picture under one revision; readers hold an `Arc` of it and wait for
//! nobody. A [`Txn`] is a picture with the changes of one call laid over it. Handlers are plain
//! functions over a `Txn`: they do not wait, and they may be run again on a newer picture when
//! another writer was faster, so they must have no effect besides their changes.
//!
//! Objects are JSON in AWS's own shape, under the names that travel on the wire: the control plane
//! echoes what it was told, and a shape of our own would be a second truth.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// JSON object in AWS's shape.
pub type Body = Map<String, Value>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What an object is. The text names are kept in databases: never change one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            /// The name in databases.
            pub fn as_str(self) -> &'static str {
                match self { $(Kind::$kind => $name,)* }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Kind::$kind),)* _ => None }
            }
        }
    };
}

kinds! {
    // REST APIs. The scope of what belongs to an API is the API's id; of the rest it is empty.
    RestApi = "rest-api",
    /// With its methods, their responses and integrations inside, as GetResources embeds them.
    Resource = "resource",
    Model = "model",
    RequestValidator = "request-validator",
    Authorizer = "authorizer",
    /// Only customised ones; the id is the response type.
    GatewayResponse = "gateway-response",
    DocumentationPart = "documentation-part",
    DocumentationVersion = "documentation-version",
    Deployment = "deployment",
    /// What a deployment froze: `{"definition": "JSON text"}`, text so that it costs little memory.
    DeploymentDefinition = "deployment-definition",
    /// The id is the stage's name.
    Stage = "stage",
    ApiKey = "api-key",
    UsagePlan = "usage-plan",
    /// Scope: the usage plan's id.
    UsagePlanKey = "usage-plan-key",
    /// Remaining quota granted by UpdateUsage. Scope: the usage plan's id.
    Usage = "usage",
    /// One object for v1 and v2, in v1's shape. The id is the name.
    DomainName = "domain-name",
    /// Scope: the domain name. The id is the base path; `(none)` for the empty one.
    BasePathMapping = "base-path-mapping",
    DomainNameAccessAssociation = "domain-name-access-association",
    VpcLink = "vpc-link",
    /// With the private key inside.
    ClientCertificate = "client-certificate",
    /// One object, id `account`.
    Account = "account",
    // HTTP and WebSocket APIs.
    HttpApi = "http-api",
    Route = "route",
    HttpIntegration = "http-integration",
    /// Scope: `{api}/{integration}`.
    HttpIntegrationResponse = "http-integration-response",
    /// Scope: `{api}/{route}`.
    RouteResponse = "route-response",
    HttpAuthorizer = "http-authorizer",
    HttpModel = "http-model",
    HttpDeployment = "http-deployment",
    HttpStage = "http-stage",
    VpcLinkV2 = "vpc-link-v2",
    /// Scope: the domain name.
    RoutingRule = "routing-rule",
    // Who may use the control plane.
    IamUser = "iam-user",
    /// The id is the access key id; with the secret inside.
    AccessKey = "access-key",
    IamPolicy = "iam-policy",
    /// What a template made. Scope: `stack/{name}`; the id is the logical one.
    StackResource = "stack-resource",
}

/// Where an object stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    pub kind: Kind,
    pub scope: Arc<str>,
    pub id: Arc<str>,
}

impl ObjectKey {
    pub fn new(kind: Kind, scope: &str, id: &str) -> Self {
        Self { kind, scope: scope.into(), id: id.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}/{}", self.kind.as_str(), self.scope, self.id)
    }
}

/// An object as it was at its last change.
#[derive(Clone, Debug)]
pub struct Object {
    pub body: Arc<Body>,
    /// Revision of the store that wrote it.
    pub revision: u64,
}

/// All objects of one kind and scope, by id.
pub type Collection = BTreeMap<Arc<str>, Object>;

/// An immutable picture of the store.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Counts committed changes; also the config epoch.
    pub revision: u64,
    collections: HashMap<(Kind, Arc<str>), Arc<Collection>>,
}

/// One object's new content; `None` deletes it.
pub type Change = (ObjectKey, Option<Arc<Body>>);

impl State {
    pub fn get(&self, kind: Kind, scope: &str, id: &str) -> Option<&Object> {
        self.collection(kind, scope)?.get(id)
    }

    pub fn collection(&self, kind: Kind, scope: &str) -> Option<&Arc<Collection>> {
        self.collections.get(&(kind, scope.into()))
    }

    /// The objects of a kind and scope in the order of their ids.
    pub fn list(&self, kind: Kind, scope: &str) -> impl Iterator<Item = (&Arc<str>, &Object)> {
        self.collection(kind, scope).into_iter().flat_map(|collection| collection.iter())
    }

    /// Every object of a kind with its scope, in no order.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (&Arc<str>, &Arc<str>, &Object)> {
        self.collections.iter().filter(move |((of, _), _)| *of == kind).flat_map(
            |((_, scope), found)| found.iter().map(move |(id, object)| (scope, id, object)),
        )
    }

    /// The picture after these changes. Collections that did not change are shared.
    pub fn with(&self, revision: u64, changes: impl IntoIterator<Item = Change>) -> Self {
        self.with_objects(revision, changes.into_iter().map(|(key, body)| (key, revision, body)))
    }

    /// The picture at `revision`, after objects that were last changed by revisions of their own.
    pub fn with_objects(
        &self,
        revision: u64,
        objects: impl IntoIterator<Item = (ObjectKey, u64, Option<Arc<Body>>)>,
    ) -> Self {
        let mut next = self.clone();
        next.revision = revision;
        for (key, revision, body) in objects {
            let place = (key.kind, key.scope);
            let collection = next.collections.entry(place.clone()).or_default();
            let objects = Arc::make_mut(collection);
            match body {
                Some(body) => {
                    objects.insert(key.id, Object { body, revision });
                }
                None => {
                    objects.remove(&key.id);
                }
            }
            if objects.is_empty() {
                next.collections.remove(&place);
            }
        }
        next
    }
}

/// A picture with one call's changes laid over it.
#[derive(Clone, Debug)]
pub struct Txn {
    base: Arc<State>,
    changes: BTreeMap<ObjectKey, Option<Arc<Body>>>,
}

impl Txn {
    pub fn new(base: Arc<State>) -> Self {
        Self { base, changes: BTreeMap::new() }
    }

    /// The picture underneath.
    pub fn base(&self) -> &Arc<State> {
        &self.base
    }

    pub fn get(&self, kind: Kind, scope: &str, id: &str) -> Option<Arc<Body>> {
        if !self.changes.is_empty()
            && let Some(changed) = self.changes.get(&ObjectKey::new(kind, scope, id))
        {
            return changed.clone();
        }
        self.base.get(kind, scope, id).map(|object| Arc::clone(&object.body))
    }

    pub fn contains(&self, kind: Kind, scope: &str, id: &str) -> bool {
        self.get(kind, scope, id).is_some()
    }

    /// The objects of a kind and scope in the order of their ids.
    pub fn list(&self, kind: Kind, scope: &str) -> Vec<(Arc<str>, Arc<Body>)> {
        let mut found: BTreeMap<Arc<str>, Arc<Body>> = self
            .base
            .list(kind, scope)
            .map(|(id, object)| (Arc::clone(id), Arc::clone(&object.body)))
            .collect();
        for (key, body) in &self.changes {
            if key.kind == kind && *key.scope == *scope {
                match body {
                    Some(body) => found.insert(Arc::clone(&key.id), Arc::clone(body)),
                    None => found.remove(&key.id),
                };
            }
        }
        found.into_iter().collect()
    }

    pub fn put(&mut self, kind: Kind, scope: &str, id: &str, body: Body) {
        self.changes.insert(ObjectKey::new(kind, scope, id), Some(Arc::new(body)));
    }

    /// Whether it was there.
    pub fn delete(&mut self, kind: Kind, scope: &str, id: &str) -> bool {
        let was_there = self.contains(kind, scope, id);
        if was_there {
            self.changes.insert(ObjectKey::new(kind, scope, id), None);
        }
        was_there
    }

    /// Deletes all objects of a kind and scope.
    pub fn delete_all(&mut self, kind: Kind, scope: &str) {
        for (id, _) in self.list(kind, scope) {
            self.delete(kind, scope, &id);
        }
    }

    pub fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }

    /// What to commit: what differs from the picture underneath. A deletion of what was never
    /// there, or a body that is the same again, is no change.
    pub fn into_changes(self) -> Vec<Change> {
        let Self { base, changes } = self;
        let is_change = |(key, body): &Change| match (base.get(key.kind, &key.scope, &key.id), body)
        {
            (None, None) => false,
            (Some(before), Some(body)) => !is_same(&before.body, body),
            _ => true,
        };
        changes.into_iter().filter(is_change).collect()
    }
}

/// Also in the order of members, which is echoed.
fn is_same(one: &Arc<Body>, other: &Arc<Body>) -> bool {
    Arc::ptr_eq(one, other)
        || (one == other
            && matches!(
                (serde_json::to_string(&**one), serde_json::to_string(&**other)),
                (Ok(one), Ok(other)) if one == other
            ))
}
