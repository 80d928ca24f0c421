//! What stands behind AWS integrations, with the secrets read from their files.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::integration::aws;
use crate::net::aws::Secret;
use crate::node::StartError;
use crate::node::config::{AwsConfig, KeysConfig};

/// A secret key has 40 characters, a session token about a thousand.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// The integrations' configuration.
///
/// # Errors
/// A file that cannot be read or holds no secret.
pub(super) fn config(config: AwsConfig, aws_region: &str) -> Result<aws::Config, StartError> {
    let AwsConfig { lambda, services, credentials, sts } = config;
    let service = |service: crate::node::config::ServiceConfig| {
        let (endpoint, signing_name) = (service.endpoint, service.signing_name);
        (service.name, aws::ServiceConfig { endpoint, signing_name })
    };
    Ok(aws::Config {
        lambda: aws::LambdaConfig {
            endpoint: lambda.endpoint,
            functions: lambda.functions.into_iter().map(|one| (one.name, one.endpoint)).collect(),
            keys: lambda.keys.map(keys).transpose()?,
            aws_region: lambda.aws_region,
        },
        services: services.into_iter().map(service).collect(),
        roles: credentials
            .into_iter()
            .map(|credentials| Ok((credentials.role, keys(credentials.keys)?)))
            .collect::<Result<_, StartError>>()?,
        sts: match sts {
            None => None,
            Some(sts) => Some(aws::StsConfig {
                endpoint: sts.endpoint,
                keys: keys(sts.keys)?,
                aws_region: sts.aws_region.unwrap_or_else(|| aws_region.to_owned()),
            }),
        },
    })
}

fn keys(config: KeysConfig) -> Result<aws::Keys, StartError> {
    let session_token = config.session_token_file.as_deref().map(secret).transpose()?;
    Ok(aws::Keys {
        access_key_id: config.access_key_id,
        secret: Secret { secret_access_key: secret(&config.secret_key_file)?, session_token },
    })
}

/// The text of a file, without the line end that editors put there.
fn secret(path: &Path) -> Result<Zeroizing<String>, StartError> {
    let failed = |cause: &dyn std::fmt::Display| {
        StartError::Services(format!("{}: {cause}", path.display()))
    };
    let mut text = Zeroizing::new(String::new());
    File::open(path)
        .and_then(|open| open.take(SECRET_BYTES_MAX).read_to_string(&mut text))
        .map_err(|err| failed(&err))?;
    let secret = text.trim();
    if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(failed(&"it holds no secret"));
    }
    Ok(Zeroizing::new(secret.to_owned()))
}
