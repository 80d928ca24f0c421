//! Which of AWS's operations are built? Every operation of both models is in a handlers' table, or
//! refused here with the reason, or still to come; a test keeps the three apart and complete, and
//! `src/admin/OPERATIONS.md` true.
//!
//! Nothing answers success without effect: what is not built answers 501 and says why. The same
//! holds for single members of a built operation: [`REFUSED_MEMBERS`].

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::model::{Operation, Service};
use crate::admin::protocol::operation::Input;

const PORTALS: &str = "Developer portals are AWS's hosted web pages; this gateway has none.";
const SDKS: &str = "SDKs are not generated yet; export the API and use any OpenAPI generator.";
const PENDING_REASON: &str = "This operation is not built yet.";

/// Operations that are not meant to be built, and why.
pub const REFUSED: &[(Service, &str, &str)] = &[
    (Service::V1, "GetSdk", SDKS),
    (Service::V2, "CreatePortal", PORTALS),
    (Service::V2, "CreatePortalProduct", PORTALS),
    (Service::V2, "CreateProductPage", PORTALS),
    (Service::V2, "CreateProductRestEndpointPage", PORTALS),
    (Service::V2, "DeletePortal", PORTALS),
    (Service::V2, "DeletePortalProduct", PORTALS),
    (Service::V2, "DeletePortalProductSharingPolicy", PORTALS),
    (Service::V2, "DeleteProductPage", PORTALS),
    (Service::V2, "DeleteProductRestEndpointPage", PORTALS),
    (Service::V2, "DisablePortal", PORTALS),
    (Service::V2, "GetPortal", PORTALS),
    (Service::V2, "GetPortalProduct", PORTALS),
    (Service::V2, "GetPortalProductSharingPolicy", PORTALS),
    (Service::V2, "GetProductPage", PORTALS),
    (Service::V2, "GetProductRestEndpointPage", PORTALS),
    (Service::V2, "ListPortalProducts", PORTALS),
    (Service::V2, "ListPortals", PORTALS),
    (Service::V2, "ListProductPages", PORTALS),
    (Service::V2, "ListProductRestEndpointPages", PORTALS),
    (Service::V2, "PreviewPortal", PORTALS),
    (Service::V2, "PublishPortal", PORTALS),
    (Service::V2, "PutPortalProductSharingPolicy", PORTALS),
    (Service::V2, "UpdatePortal", PORTALS),
    (Service::V2, "UpdatePortalProduct", PORTALS),
    (Service::V2, "UpdateProductPage", PORTALS),
    (Service::V2, "UpdateProductRestEndpointPage", PORTALS),
];

/// Operations that are to be built and are not.
pub const PENDING: &[(Service, &str)] = &[];

/// Members of built operations, by their names on the wire at the top of the body, that would have
/// no effect; a request that sets one is refused.
pub const REFUSED_MEMBERS: &[(Service, &str, &str, &str)] = &[];

/// What to answer for an operation without a handler.
pub fn not_built(operation: &Operation) -> ApiError {
    let refused = REFUSED
        .iter()
        .find(|(service, name, _)| *service == operation.service && **name == *operation.name);
    let reason = refused.map_or(PENDING_REASON, |(_, _, reason)| reason);
    ApiError::new(ErrorKind::NotImplemented, format!("{}: {reason}", operation.name))
}

/// Refuses a request that sets a member which would have no effect.
pub fn check_members(operation: &Operation, input: &Input) -> Result<(), ApiError> {
    let set = REFUSED_MEMBERS.iter().find(|(service, name, member, _)| {
        *service == operation.service
            && **name == *operation.name
            && input.body.contains_key(*member)
    });
    match set {
        Some((_, _, member, reason)) => {
            Err(ApiError::new(ErrorKind::NotImplemented, format!("{member}: {reason}")))
        }
        None => Ok(()),
    }
}
