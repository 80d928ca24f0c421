//! Who calls, and may they?
//!
//! Today every method that can be deployed has authorization `NONE`: the OpenAPI reader refuses a
//! document that asks for more, so nothing that should be checked is let through. The stage stands
//! in the line so that authorizers find their place; API keys, SigV4 and authorizers join here.
//!
//! AWS: API Gateway Developer Guide, "Control and manage access to REST APIs in API Gateway".

pub mod sigv4;

/// How a method wants its callers proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorizer {
    /// `authorizationType: NONE`.
    None,
}

/// A proved identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    Anonymous,
}

/// What an edge can say about a caller by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Admitted(Caller),
}

/// Decides who is admitted.
#[derive(Debug, Default)]
pub struct Auth;

impl Auth {
    pub fn admit(&self, authorizer: Authorizer) -> Verdict {
        match authorizer {
            Authorizer::None => Verdict::Admitted(Caller::Anonymous),
        }
    }
}
