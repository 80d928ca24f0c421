//! SAM and CloudFormation templates: the API Gateway resources in them become calls of the control
//! plane, again and again the same ones.
//!
//! One template goes one way. `syntax` reads YAML with short forms or JSON into a tree that knows
//! its lines; [`document`] reads the sections, decides conditions and answers what can be answered
//! without asking anybody; `sam` turns `AWS::Serverless::*` into plain resources; `order` sorts
//! them by what they need; [`apply`] compares them with what an earlier run made and calls the
//! control plane of a running region, one resource after the other.
//!
//! What an earlier run made is not guessed by names: the region keeps a record for each resource of
//! a stack ([`crate::admin::stacks`]), written as soon as the resource is there. A resource whose
//! properties are as they were is left alone, one that is gone from the template is deleted, one
//! that somebody deleted meanwhile is made again.
//!
//! [`local`] names the template's functions for a region that runs them by itself.
//!
//! What is not API Gateway's (functions, roles, tables) is named as skipped, and references to it
//! become the ARN that AWS would form, so that integrations keep their target.
//!
//! AWS: CloudFormation Template Reference, "Amazon API Gateway", "Amazon API Gateway V2",
//! "Intrinsic function reference"; Serverless Application Model, "AWS SAM template anatomy",
//! "Generated CloudFormation resources".

pub mod apply;
pub mod calls;
mod changes;
pub mod document;
pub mod door;
mod foreign;
mod functions;
mod kinds;
pub mod local;
mod order;
mod sam;
mod sam_body;
mod sam_rest;
mod shape;
pub(in crate::admin) mod syntax;

use std::fmt;

use serde_json::{Map, Value as Json};

/// Resources of one template. AWS: CloudFormation quotas, "Resources", 500 in a template.
const RESOURCES_MAX: usize = 500;
/// A resource's values once its functions are answered: a definition of 6 MB, as many imports take,
/// and room for the rest. It bounds what `Fn::Sub` within `Fn::Sub` can blow up.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Files that one template may include; ours.
const INCLUDES_MAX: usize = 64;

/// What is wrong, and the way to it from the template's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub path: Vec<String>,
    pub message: String,
}

impl Fault {
    fn new(path: &[String], message: impl Into<String>) -> Self {
        Self { path: path.to_vec(), message: message.into() }
    }

    /// About a resource, or a property of it.
    fn of_resource(id: &str, property: Option<&str>, message: impl Into<String>) -> Self {
        let mut path = vec!["Resources".to_owned(), id.to_owned()];
        if let Some(property) = property {
            path.extend(["Properties".to_owned(), property.to_owned()]);
        }
        Self { path, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path.join("."), self.message)
    }
}

type Object = Map<String, Json>;

/// A text member.
fn text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Json::as_str)
}

/// An object with one member.
fn single(name: &str, value: impl Into<Json>) -> Json {
    Json::Object(Map::from_iter([(name.to_owned(), value.into())]))
}

#[cfg(test)]
mod tests;
