//! Who may use the control plane: users, access keys and policies, and the gate that asks.
//!
//! A request is signed with an access key (SigV4); the key belongs to a user; the user's policies
//! say which `apigateway:*` actions it may use on which `arn:…:apigateway:…` resources. The
//! first start makes one administrator and prints its key once.
//!
//! AWS: API Gateway Developer Guide, "Control access to a REST API with IAM permissions"; Service
//! Authorization Reference, "Actions, resources, and condition keys for Amazon API Gateway
//! Management".

pub mod gate;
pub mod sts;
pub mod users;

#[cfg(test)]
mod tests;
