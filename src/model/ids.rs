//! Newtypes for names that must never be mixed up.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: &str) -> Self {
                Self(Arc::from(text))
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{:?}", &*self.0)
            }
        }
    };
}

id!(
    /// A REST API's id: ten lower-case letters and digits.
    ApiId
);
id!(
    /// A stage's name: letters, digits, `-` and `_`, at most 128 characters.
    StageName
);
id!(
    /// A resource's id within its API.
    ResourceId
);
id!(
    /// A deployment's id within its API.
    DeploymentId
);
id!(
    /// A node's name in the topology, as its certificate states it.
    NodeName
);
