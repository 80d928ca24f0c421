//! With whose keys is a request signed?
//!
//! An integration names a role. Its keys are stored ones, or temporary ones from a Security Token
//! Service, which are kept until shortly before they end; calls that come while they are fetched
//! wait for the same answer.
//!
//! AWS: Security Token Service API Reference, "AssumeRole".

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::{BodyExt, Limited};
use indexmap::IndexMap;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{Base, Keys, StsConfig, public};
use crate::net::aws::{Secret, Unsigned};
use crate::net::client::{HttpClient, Outgoing, RequestBody, ResponseBody};
use crate::net::clock::{Clock, Timestamp};
use crate::net::query;

/// The role that stands for all.
const ANY_ROLE: &str = "*";
/// The caller's own credentials.
const CALLERS_OWN: &str = "arn:aws:iam::*:user/*";
/// Roles whose temporary keys are kept; one per integration of a large API.
const ASSUMED_MAX: usize = 1_024;
/// Temporary keys are fetched anew this long before they end, as AWS's SDKs do.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// How long temporary keys live where the answer does not say: AssumeRole's default.
const LIFE: Duration = Duration::from_secs(3_600);
/// An answer of AssumeRole has about 1 kB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// All keys of a node.
pub(crate) struct Keyring {
    roles: IndexMap<String, Keys>,
    sts: Option<Sts>,
    assumed: Mutex<HashMap<Arc<str>, Arc<Slot>>>,
    client: HttpClient,
    clock: Clock,
}

/// Held across the request that fills it, so that one is sent for all who wait.
type Slot = tokio::sync::Mutex<Option<(Keys, Timestamp)>>;

struct Sts {
    base: Base,
    keys: Keys,
    aws_region: String,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Keyring").field("roles", &self.roles.keys()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// # Errors
    /// What is wrong with the address.
    pub(super) fn new(
        roles: IndexMap<String, Keys>,
        sts: Option<StsConfig>,
        client: HttpClient,
        clock: Clock,
    ) -> Result<Self, Arc<str>> {
        let sts = match sts {
            None => None,
            Some(StsConfig { endpoint, keys, aws_region }) => Some(Sts {
                base: match endpoint {
                    Some(endpoint) => Base::parse(&endpoint)?,
                    None => public("sts", &aws_region),
                },
                keys,
                aws_region,
            }),
        };
        Ok(Self { roles, sts, assumed: Mutex::default(), client, clock })
    }

    /// The keys of a role.
    ///
    /// # Errors
    /// What is missing, in words for the log.
    pub(crate) async fn keys(&self, role: &str, deadline: Instant) -> Result<Keys, Arc<str>> {
        if role == CALLERS_OWN {
            return Err(Arc::from("the caller has brought no credentials of its own"));
        }
        if let Some(keys) = self.roles.get(role) {
            return Ok(keys.clone());
        }
        if let Some(sts) = &self.sts {
            return self.assume(sts, role, deadline).await;
        }
        self.roles.get(ANY_ROLE).cloned().ok_or_else(|| {
            Arc::from(format!(
                "there are no credentials for {role}: add [[credentials]] with this role"
            ))
        })
    }

    async fn assume(&self, sts: &Sts, role: &str, deadline: Instant) -> Result<Keys, Arc<str>> {
        let slot = {
            let mut assumed = self.assumed.lock().unwrap_or_else(PoisonError::into_inner);
            if assumed.len() >= ASSUMED_MAX && !assumed.contains_key(role) {
                assumed.clear();
            }
            Arc::clone(assumed.entry(Arc::from(role)).or_default())
        };
        let locked = tokio::time::timeout_at(deadline, slot.lock()).await;
        let mut kept = locked.map_err(|_| Arc::from("assuming the role took too long"))?;
        if let Some((keys, until)) = &*kept
            && self.clock.now() < *until
        {
            return Ok(keys.clone());
        }
        let (keys, until) = self.fetch(sts, role, deadline).await?;
        *kept = Some((keys.clone(), until));
        Ok(keys)
    }

    async fn fetch(
        &self,
        sts: &Sts,
        role: &str,
        deadline: Instant,
    ) -> Result<(Keys, Timestamp), Arc<str>> {
        let failed = |why: &dyn fmt::Display| Arc::from(format!("{role} was not assumed: {why}"));
        let mut form =
            String::from("Action=AssumeRole&Version=2011-06-15&RoleSessionName=tidegate&RoleArn=");
        query::encode(role.as_bytes(), &mut form);
        let path = format!("{}/", sts.base.prefix);
        let mut headers = HeaderMap::with_capacity(8);
        let host = HeaderValue::from_str(&sts.base.authority()).map_err(|err| failed(&err))?;
        headers.insert(HOST, host);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("text/xml"));
        let unsigned =
            Unsigned { method: &Method::POST, path: &path, query: "", body: form.as_bytes() };
        let now = self.clock.now();
        let signer = sts.keys.signer(&sts.aws_region, "sts");
        signer.sign(unsigned, &mut headers, now).map_err(|err| failed(&err))?;
        let outgoing = Outgoing {
            method: Method::POST,
            path_and_query: PathAndQuery::try_from(path).map_err(|err| failed(&err))?,
            headers,
            body: RequestBody::Full(Bytes::from(form)),
        };
        let host = self.client.host(&sts.base.target);
        let response = self.client.send(&host, outgoing, deadline).await;
        let response = response.map_err(|err| failed(&err))?;
        let status = response.status();
        let body = tokio::time::timeout_at(deadline, read(response.into_body())).await;
        let body = body.map_err(|_| failed(&"no answer in time"))?.map_err(|err| failed(&err))?;
        let text = Zeroizing::new(String::from_utf8_lossy(&body).into_owned());
        if !status.is_success() {
            let code = element(&text, "Code").unwrap_or_default();
            return Err(failed(&format!("{status} {code}")));
        }
        assumed(&text, now).ok_or_else(|| failed(&"the answer cannot be read"))
    }
}

async fn read(body: ResponseBody) -> Result<Bytes, Arc<str>> {
    let body = match body {
        ResponseBody::Empty => return Ok(Bytes::new()),
        ResponseBody::Full(bytes) => return Ok(bytes),
        ResponseBody::Stream(stream) => stream,
    };
    let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    Ok(collected.map_err(|err| Arc::from(err.to_string()))?.to_bytes())
}

/// The keys in an answer of AssumeRole, and until when they are used.
fn assumed(xml: &str, now: Timestamp) -> Option<(Keys, Timestamp)> {
    let secret = |name| Some(Zeroizing::new(element(xml, name)?));
    let keys = Keys {
        access_key_id: element(xml, "AccessKeyId")?,
        secret: Secret {
            secret_access_key: secret("SecretAccessKey")?,
            session_token: Some(secret("SessionToken")?),
        },
    };
    let ends = element(xml, "Expiration").and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let ends = ends.and_then(|at| u64::try_from(at.as_second()).ok());
    let ends = ends.map_or_else(|| now.plus(LIFE), Timestamp::from_seconds);
    let life = ends.since(now).saturating_sub(RENEW_BEFORE);
    Some((keys, now.plus(life)))
}

/// The text of the first element of a name. Keys, tokens and times hold no markup.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once('<')?;
    Some(text.trim().to_owned())
}
