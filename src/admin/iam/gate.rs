//! Who sends this request, and may they? SigV4 first, then the user's policies.

use std::net::IpAddr;

use http::request::Parts;
use indexmap::IndexMap;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::operation::Site;
use crate::auth::sigv4::{self, Sigv4Error};
use crate::model::policy::{self, Ask, Decision, Policy};
use crate::net::aws::{Scope, Secret};
use crate::net::clock::Clock;
use crate::store::control::{Kind, State};

/// Guards the control plane.
#[derive(Clone, Debug)]
pub struct Gate {
    pub site: Site,
    pub clock: Clock,
    /// Any credentials and none are accepted: for tests on loopback.
    pub open: bool,
}

/// A proved caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub access_key_id: String,
    pub user: String,
    /// `arn:aws:iam::123456789012:user/ann`.
    pub arn: String,
}

/// What a caller wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The service in the credential scope: `apigateway`, `sts`.
    pub service: &'a str,
    /// Such as `apigateway:GET`.
    pub action: &'a str,
    /// ARN.
    pub resource: &'a str,
    pub source_ip: Option<IpAddr>,
}

impl Gate {
    /// Proves the caller and asks its policies.
    ///
    /// # Errors
    /// AWS's 403s: missing, invalid or expired signatures, and what no policy allows.
    pub fn admit(
        &self,
        state: &State,
        parts: &Parts,
        body: &[u8],
        wish: Wish<'_>,
    ) -> Result<Caller, ApiError> {
        if self.open {
            return Ok(self.caller("open", "anybody"));
        }
        let scope =
            Scope { aws_region: self.site.aws_region.clone(), service: wish.service.to_owned() };
        let secret_of = |id: &str| secret(state, id);
        let id = sigv4::verify(parts, body, &scope, &self.clock, secret_of).map_err(refused)?;
        let user = state.get(Kind::AccessKey, "", &id);
        let user = user.and_then(|key| key.body.get("userName")?.as_str().map(str::to_owned));
        let caller = self.caller(&id, &user.ok_or_else(|| refused(Sigv4Error::UnknownKey))?);
        self.allow(state, &caller, wish)?;
        Ok(caller)
    }

    fn caller(&self, access_key_id: &str, user: &str) -> Caller {
        let Site { partition, account_id, .. } = &self.site;
        Caller {
            access_key_id: access_key_id.to_owned(),
            user: user.to_owned(),
            arn: format!("arn:{partition}:iam::{account_id}:user/{user}"),
        }
    }

    fn allow(&self, state: &State, caller: &Caller, wish: Wish<'_>) -> Result<(), ApiError> {
        // AWS: "GetCallerIdentity" needs no permission, and a deny does not touch it.
        if wish.action == "sts:GetCallerIdentity" {
            return Ok(());
        }
        let documents = state.list(Kind::IamPolicy, &caller.user).map(|(_, policy)| {
            let text = policy.body.get("policyDocument").and_then(Value::as_str);
            Policy::parse(text.unwrap_or_default())
        });
        // It was read when it was attached; one that cannot be read now must not open the door.
        let Ok(policies) = documents.collect::<Result<Vec<Policy>, _>>() else {
            return Err(ApiError::new(ErrorKind::Internal, "A policy of the user cannot be read."));
        };
        let now = self.clock.now().as_seconds();
        let mut context = IndexMap::new();
        let mut put = |key: &str, value: String| context.insert(key.to_owned(), vec![value]);
        put("aws:username", caller.user.clone());
        put("aws:principalarn", caller.arn.clone());
        put("aws:principalaccount", self.site.account_id.clone());
        put("aws:principaltype", "User".to_owned());
        put("aws:requestedregion", self.site.aws_region.clone());
        put("aws:currenttime", now.to_string());
        put("aws:epochtime", now.to_string());
        if let Some(ip) = wish.source_ip {
            put("aws:sourceip", ip.to_string());
        }
        let Wish { action, resource, .. } = wish;
        let ask = Ask { principal: &caller.arn, action, resource, context: &context };
        let because = match policy::decide(&policies, ask) {
            Decision::Allow => return Ok(()),
            Decision::ExplicitDeny => {
                "with an explicit deny in an identity-based policy".to_owned()
            }
            Decision::ImplicitDeny => {
                format!("because no identity-based policy allows the {action} action")
            }
        };
        Err(ApiError::new(
            ErrorKind::AccessDenied,
            format!(
                "User: {} is not authorized to perform: {action} on resource: {resource} {because}",
                caller.arn
            ),
        ))
    }
}

fn secret(state: &State, access_key_id: &str) -> Option<Secret> {
    let key = state.get(Kind::AccessKey, "", access_key_id)?;
    let text = |name: &str| {
        key.body.get(name).and_then(Value::as_str).map(|text| Zeroizing::new(text.to_owned()))
    };
    Some(Secret {
        secret_access_key: text("secretAccessKey")?,
        session_token: text("sessionToken"),
    })
}

fn refused(error: Sigv4Error) -> ApiError {
    let kind = match error {
        Sigv4Error::Missing => ErrorKind::MissingAuthenticationToken,
        Sigv4Error::Incomplete(_) => ErrorKind::IncompleteSignature,
        Sigv4Error::UnknownKey => ErrorKind::UnrecognizedClient,
        Sigv4Error::Mismatch | Sigv4Error::Invalid(_) => ErrorKind::InvalidSignature,
    };
    ApiError::new(kind, error.to_string())
}
