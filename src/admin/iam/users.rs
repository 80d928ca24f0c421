//! Users, access keys and policies as objects of the store.
//!
//! AWS: IAM API Reference, "CreateUser", "CreateAccessKey", "PutUserPolicy"; IAM User Guide, "IAM
//! and AWS STS quotas".

use serde_json::{Value, json};

use crate::model::policy::{Policy, PolicyError};
use crate::net::clock::Timestamp;
use crate::store::control::{Body, Kind, Txn};

/// Access keys of one user: two, so that a key can be replaced without a gap.
pub const KEYS_PER_USER_MAX: usize = 2;
/// Policies of one user.
pub const POLICIES_PER_USER_MAX: usize = 10;
const NAME_CHARACTERS_MAX: usize = 64;
const ACCESS_KEY_ID_CHARACTERS: std::ops::RangeInclusive<usize> = 4..=128;
const SECRET_CHARACTERS: std::ops::RangeInclusive<usize> = 4..=128;
/// Characters of a secret we make; as AWS's.
const SECRET_LENGTH: usize = 40;

/// The user that the first start makes.
pub const ADMINISTRATOR: &str = "admin";
/// Policies that need no document, under AWS's names.
pub const PREDEFINED: [(&str, &str); 2] = [
    (
        "AdministratorAccess",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
    ),
    (
        "ReadOnlyAccess",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["apigateway:GET","sts:GetCallerIdentity"],"Resource":"*"}]}"#,
    ),
];

/// Why a change of users was refused.
#[derive(Debug, thiserror::Error)]
pub enum IamError {
    #[error("there is no user `{0}`; `tidegate iam list` shows those there are")]
    UnknownUser(String),
    #[error("there is no access key `{0}`")]
    UnknownKey(String),
    #[error("user `{user}` has no policy `{policy}`")]
    UnknownPolicy { user: String, policy: String },
    #[error("there is a user `{0}` already")]
    UserExists(String),
    #[error("there is an access key `{0}` already")]
    KeyExists(String),
    #[error("`{0}` is no name: letters, digits and `+=,.@_-`, at most 64")]
    BadName(String),
    #[error("an access key id has 4 to 128 letters, digits and `_`")]
    BadKeyId,
    #[error("a secret has 4 to 128 printable characters")]
    BadSecret,
    #[error("user `{user}` has {most} {what} already; delete one first")]
    TooMany { user: String, what: &'static str, most: usize },
    #[error("policy: {0}")]
    Policy(#[from] PolicyError),
}

/// A key pair, as it is shown once.
#[derive(Clone)]
pub struct NewKey {
    pub user: String,
    pub access_key_id: String,
    pub secret_access_key: zeroize::Zeroizing<String>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "NewKey({} of {})", self.access_key_id, self.user)
    }
}

/// The administrator, where there is no user yet.
pub fn bootstrap(txn: &mut Txn, now: Timestamp) -> Result<Option<NewKey>, IamError> {
    if !txn.list(Kind::IamUser, "").is_empty() {
        return Ok(None);
    }
    create_user(txn, ADMINISTRATOR, now)?;
    attach_policy(txn, ADMINISTRATOR, "AdministratorAccess", None)?;
    create_key(txn, ADMINISTRATOR, now).map(Some)
}

pub fn create_user(txn: &mut Txn, name: &str, now: Timestamp) -> Result<(), IamError> {
    check_name(name)?;
    if txn.contains(Kind::IamUser, "", name) {
        return Err(IamError::UserExists(name.to_owned()));
    }
    let mut body = Body::new();
    body.insert("userName".to_owned(), Value::from(name));
    body.insert("createdDate".to_owned(), Value::from(now.as_seconds()));
    txn.put(Kind::IamUser, "", name, body);
    Ok(())
}

/// Deletes a user with its keys and policies.
pub fn delete_user(txn: &mut Txn, name: &str) -> Result<(), IamError> {
    require_user(txn, name)?;
    for id in keys_of(txn, name) {
        txn.delete(Kind::AccessKey, "", &id);
    }
    txn.delete_all(Kind::IamPolicy, name);
    txn.delete(Kind::IamUser, "", name);
    Ok(())
}

/// Makes a key of our own.
pub fn create_key(txn: &mut Txn, user: &str, now: Timestamp) -> Result<NewKey, IamError> {
    let mut id = String::from("AKIA");
    id.push_str(&random(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16));
    let secret =
        random(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", SECRET_LENGTH);
    take_key(txn, user, &id, &secret, now)
}

/// Takes a key that exists elsewhere, so that clients keep their settings.
pub fn take_key(
    txn: &mut Txn,
    user: &str,
    access_key_id: &str,
    secret: &str,
    now: Timestamp,
) -> Result<NewKey, IamError> {
    require_user(txn, user)?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !ACCESS_KEY_ID_CHARACTERS.contains(&access_key_id.len()) || !access_key_id.bytes().all(known)
    {
        return Err(IamError::BadKeyId);
    }
    if !SECRET_CHARACTERS.contains(&secret.len()) || !secret.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(IamError::BadSecret);
    }
    if txn.contains(Kind::AccessKey, "", access_key_id) {
        return Err(IamError::KeyExists(access_key_id.to_owned()));
    }
    if keys_of(txn, user).len() >= KEYS_PER_USER_MAX {
        let user = user.to_owned();
        return Err(IamError::TooMany { user, what: "access keys", most: KEYS_PER_USER_MAX });
    }
    let body = json!({
        "accessKeyId": access_key_id,
        "userName": user,
        "secretAccessKey": secret,
        "createdDate": now.as_seconds(),
    });
    if let Value::Object(body) = body {
        txn.put(Kind::AccessKey, "", access_key_id, body);
    }
    Ok(NewKey {
        user: user.to_owned(),
        access_key_id: access_key_id.to_owned(),
        secret_access_key: secret.to_owned().into(),
    })
}

pub fn delete_key(txn: &mut Txn, access_key_id: &str) -> Result<(), IamError> {
    match txn.delete(Kind::AccessKey, "", access_key_id) {
        true => Ok(()),
        false => Err(IamError::UnknownKey(access_key_id.to_owned())),
    }
}

/// Attaches a predefined policy, or a document under a name. The same name again replaces it.
pub fn attach_policy(
    txn: &mut Txn,
    user: &str,
    name: &str,
    document: Option<&str>,
) -> Result<(), IamError> {
    require_user(txn, user)?;
    check_name(name)?;
    let predefined = PREDEFINED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    let Some(document) = document.or(predefined) else {
        let user = user.to_owned();
        return Err(IamError::UnknownPolicy { user, policy: name.to_owned() });
    };
    Policy::parse(document)?;
    let is_new = !txn.contains(Kind::IamPolicy, user, name);
    if is_new && txn.list(Kind::IamPolicy, user).len() >= POLICIES_PER_USER_MAX {
        let user = user.to_owned();
        return Err(IamError::TooMany { user, what: "policies", most: POLICIES_PER_USER_MAX });
    }
    let mut body = Body::new();
    body.insert("policyName".to_owned(), Value::from(name));
    body.insert("policyDocument".to_owned(), Value::from(document));
    txn.put(Kind::IamPolicy, user, name, body);
    Ok(())
}

pub fn detach_policy(txn: &mut Txn, user: &str, name: &str) -> Result<(), IamError> {
    require_user(txn, user)?;
    match txn.delete(Kind::IamPolicy, user, name) {
        true => Ok(()),
        false => Err(IamError::UnknownPolicy { user: user.to_owned(), policy: name.to_owned() }),
    }
}

/// Users with the ids of their keys and the names of their policies; no secrets.
pub fn list(txn: &Txn) -> Value {
    let users = txn.list(Kind::IamUser, "").into_iter().map(|(name, body)| {
        let policies: Vec<String> = txn
            .list(Kind::IamPolicy, &name)
            .into_iter()
            .map(|(name, _)| name.to_string())
            .collect();
        json!({
            "userName": &*name,
            "createdDate": body.get("createdDate"),
            "accessKeys": keys_of(txn, &name),
            "policies": policies,
        })
    });
    json!({ "users": users.collect::<Vec<_>>() })
}

/// The same for people: a line per user, key and policy.
pub fn table(list: &Value) -> String {
    let mut text = String::new();
    for user in list["users"].as_array().into_iter().flatten() {
        text.push_str(&format!("{}\n", user["userName"].as_str().unwrap_or_default()));
        for (what, member) in [("key", "accessKeys"), ("policy", "policies")] {
            for name in user[member].as_array().into_iter().flatten().filter_map(Value::as_str) {
                text.push_str(&format!("  {what} {name}\n"));
            }
        }
    }
    if text.is_empty() {
        "no users yet; the region's first start makes one\n".to_owned()
    } else {
        text
    }
}

fn keys_of(txn: &Txn, user: &str) -> Vec<String> {
    txn.list(Kind::AccessKey, "")
        .into_iter()
        .filter(|(_, body)| body.get("userName").and_then(Value::as_str) == Some(user))
        .map(|(id, _)| id.to_string())
        .collect()
}

fn require_user(txn: &Txn, name: &str) -> Result<(), IamError> {
    match txn.contains(Kind::IamUser, "", name) {
        true => Ok(()),
        false => Err(IamError::UnknownUser(name.to_owned())),
    }
}

fn check_name(name: &str) -> Result<(), IamError> {
    let good = (1..=NAME_CHARACTERS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte));
    if good { Ok(()) } else { Err(IamError::BadName(name.chars().take(80).collect())) }
}

fn random(alphabet: &[u8], length: usize) -> String {
    (0..length).map(|_| char::from(alphabet[rand::random_range(0..alphabet.len())])).collect()
}
