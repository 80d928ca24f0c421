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

        impl Default for $name {
            /// The empty name, which nothing has.
            fn default() -> Self {
                Self::new("")
            }
        }

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

impl ApiId {
    /// The id an API gets when nobody chose one: always the same for the same name, so that URLs
    /// survive a restart and a re-read.
    pub fn derived(name: &str) -> Self {
        Self::new(&derived("api", name))
    }
}

/// Ten of `[a-z0-9]`, the length AWS gives to API ids: 36^10 of them, so that two names of one
/// cluster do not meet by chance.
fn derived(scope: &str, name: &str) -> String {
    const LENGTH: usize = 10;
    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let text = format!("{scope}\0{name}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let mut rest =
        digest.as_ref().iter().take(8).fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let mut id = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        id.push(char::from(ALPHABET[(rest % 36) as usize]));
        rest /= 36;
    }
    id
}
