//! AWS's control-plane protocol: restJson1 for `apigateway` (2015-07-09) and `apigatewayv2`
//! (2018-11-29) on one listener.
//!
//! The service models are data: `apigateway.json` and `apigatewayv2.json` are the models botocore
//! ships (Apache-2.0), without their documentation. They say how a request is read and checked and
//! how an answer is written, so that no member can be forgotten; handlers see JSON under the names
//! that travel on the wire.
//!
//! A request's way: [`route`] finds the operation, [`decode`] reads what was sent and lets [`check`] collect what AWS's framework would refuse, a handler runs, [`encode`]
//! writes its outcome or its error. [`ledger`] names what is not built.

pub mod check;
pub mod decode;
pub mod encode;
pub mod error;
mod json;
pub mod ledger;
pub mod model;
pub mod operation;
pub mod page;
pub mod patch;
pub mod route;

#[cfg(test)]
mod tests;
