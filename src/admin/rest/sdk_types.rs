//! Which SDKs could be generated, and with what parameters. Data; the generator comes later.
//!
//! AWS: API Gateway Developer Guide, "Generate SDKs for REST APIs".

use std::sync::Arc;

use serde_json::{Value, json};

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page::page;
use crate::store::control::Body;

pub const OPERATIONS: Operations = &[("GetSdkTypes", get_sdk_types), ("GetSdkType", get_sdk_type)];

struct SdkType {
    id: &'static str,
    friendly_name: &'static str,
    description: &'static str,
    properties: &'static [Property],
}

struct Property {
    name: &'static str,
    friendly_name: &'static str,
    description: &'static str,
    required: bool,
    default: Option<&'static str>,
}

const fn required(
    name: &'static str,
    friendly_name: &'static str,
    description: &'static str,
) -> Property {
    Property { name, friendly_name, description, required: true, default: None }
}

const fn optional(
    name: &'static str,
    friendly_name: &'static str,
    description: &'static str,
    default: Option<&'static str>,
) -> Property {
    Property { name, friendly_name, description, required: false, default }
}

const CLASS_PREFIX: &[Property] =
    &[required("classPrefix", "Prefix", "Stands before the name of every generated class")];

/// In the order of their ids, which is the order of pages.
const TYPES: &[SdkType] = &[
    SdkType {
        id: "android",
        friendly_name: "Android",
        description: "Android SDK generator for API Gateway APIs",
        properties: &[
            required("groupId", "Group ID", "Maven group of the generated project"),
            required("invokerPackage", "Invoker package", "Java package of the generated client"),
            required("artifactId", "Artifact ID", "Maven artifact of the generated project"),
            required("artifactVersion", "Artifact version", "Maven version of the project"),
        ],
    },
    SdkType {
        id: "java",
        friendly_name: "Java",
        description: "Java SDK generator for API Gateway APIs",
        properties: &[
            required("service.name", "Service Name", "Name of the generated client interface"),
            required("java.package-name", "Java Package Name", "Java package of the client"),
            optional("java.build-system", "Java Build System", "gradle or maven", Some("maven")),
            optional("java.group-id", "Java Group Id", "Group of the generated project", None),
            optional("java.artifact-id", "Java Artifact Id", "Artifact of the project", None),
            optional(
                "java.artifact-version",
                "Java Artifact Version",
                "Version of the generated project",
                Some("1.0-SNAPSHOT"),
            ),
            optional("java.license-text", "Source Code License Text", "Goes into each file", None),
        ],
    },
    SdkType {
        id: "javascript",
        friendly_name: "JavaScript",
        description: "JavaScript SDK generator for API Gateway APIs",
        properties: &[],
    },
    SdkType {
        id: "objectivec",
        friendly_name: "iOS (Objective-C)",
        description: "Objective-C SDK generator for API Gateway APIs",
        properties: CLASS_PREFIX,
    },
    SdkType {
        id: "ruby",
        friendly_name: "Ruby",
        description: "Ruby SDK generator for API Gateway APIs",
        properties: &[
            required("service.name", "Service Name", "Letters only; the generated module's name"),
            optional("ruby.gem-name", "Ruby Gem Name", "By default the service with -sdk", None),
            optional("ruby.gem-version", "Ruby Gem Version", "Version of the gem", Some("1.0.0")),
        ],
    },
    SdkType {
        id: "swift",
        friendly_name: "iOS (Swift)",
        description: "Swift SDK generator for API Gateway APIs",
        properties: CLASS_PREFIX,
    },
];

fn get_sdk_types(_context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    Ok(page(input, TYPES.iter().map(|sdk| (Arc::from(sdk.id), body(sdk)))))
}

fn get_sdk_type(_context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    Ok(Outcome::Body(body(find(input.label("sdktype_id"))?)))
}

fn find(id: &str) -> Result<&'static SdkType, ApiError> {
    TYPES
        .iter()
        .find(|sdk| sdk.id == id)
        .ok_or_else(|| ApiError::not_found("Invalid SDK type identifier specified"))
}

fn body(sdk: &SdkType) -> Body {
    let properties: Vec<Value> = sdk
        .properties
        .iter()
        .map(|property| {
            let mut shown = Body::new();
            shown.insert("name".to_owned(), Value::from(property.name));
            shown.insert("friendlyName".to_owned(), Value::from(property.friendly_name));
            shown.insert("description".to_owned(), Value::from(property.description));
            shown.insert("required".to_owned(), Value::from(property.required));
            if let Some(default) = property.default {
                shown.insert("defaultValue".to_owned(), Value::from(default));
            }
            Value::Object(shown)
        })
        .collect();
    let mut shown = Body::new();
    shown.insert("id".to_owned(), Value::from(sdk.id));
    shown.insert("friendlyName".to_owned(), Value::from(sdk.friendly_name));
    shown.insert("description".to_owned(), Value::from(sdk.description));
    shown.insert("configurationProperties".to_owned(), json!(properties));
    shown
}

#[cfg(test)]
mod tests {
    use super::super::trial::{World, call};
    use super::*;
    use crate::admin::protocol::error::ErrorKind;

    #[test]
    fn six_types_in_the_order_of_pages() {
        let mut world = World::new(&[OPERATIONS]);
        let first = world.ok("GetSdkTypes", call().query("limit", 4));
        let second = world.ok("GetSdkTypes", call().query("position", first["position"].clone()));
        let ids = |page: &Value| -> Vec<String> {
            let items = page["item"].as_array().unwrap();
            items.iter().map(|sdk| sdk["id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(ids(&first), ["android", "java", "javascript", "objectivec"]);
        assert_eq!(ids(&second), ["ruby", "swift"]);
    }

    #[test]
    fn android_requires_all_four_parameters() {
        let mut world = World::new(&[OPERATIONS]);
        let android = world.ok("GetSdkType", call().uri("sdktype_id", "android"));
        let properties = android["configurationProperties"].as_array().unwrap();
        assert_eq!(properties.len(), 4);
        assert!(properties.iter().all(|property| property["required"] == true));
        assert_eq!(
            world.refused("GetSdkType", call().uri("sdktype_id", "cobol")).0,
            ErrorKind::NotFound
        );
    }
}
