//! The URIs of AWS integrations, taken apart.
//!
//! `arn:{partition}:apigateway:{region}:{[subdomain.]service}:{path|action}/{service_api}`.
//! AWS: API Gateway REST API Reference, "PutIntegration", `uri`.

use std::sync::Arc;

/// A URI's parts, stage variables put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AwsUri {
    pub(crate) aws_region: String,
    /// Before the service's name, such as a bucket's.
    pub(crate) subdomain: Option<String>,
    /// Such as `dynamodb`.
    pub(crate) service: String,
    pub(crate) api: Api,
}

/// What is asked of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// Path and query, which may hold `{name}`; begins with a slash.
    Path(String),
    /// An action by name, and what follows it as a query.
    Action { name: String, query: String },
}

/// A Lambda function that a URI invokes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its ARN as it stands there, or its name.
    pub(crate) name: Arc<str>,
    /// `InvokeWithResponseStream` is meant.
    pub(crate) is_streamed: bool,
}

impl AwsUri {
    /// # Errors
    /// What is wrong with the URI.
    pub(crate) fn parse(uri: &str) -> Result<Self, Arc<str>> {
        let wrong = |why: &str| Arc::from(format!("{uri}: {why}"));
        let parts: Vec<&str> = uri.splitn(6, ':').collect();
        let ["arn", _, "apigateway", aws_region, host, api] = parts[..] else {
            return Err(wrong("it is no ARN of an integration"));
        };
        let api = if let Some(path) = api.strip_prefix("path/") {
            // Recorded: an extra slash is no mistake.
            Api::Path(format!("/{}", path.trim_start_matches('/')))
        } else if let Some(action) = api.strip_prefix("action/") {
            let (name, query) = action.split_once(['&', '?']).unwrap_or((action, ""));
            Api::Action { name: name.to_owned(), query: query.to_owned() }
        } else {
            return Err(wrong("it has neither a path nor an action"));
        };
        let (subdomain, service) = match host.rsplit_once('.') {
            Some((subdomain, service)) => (Some(subdomain.to_owned()), service),
            None => (None, host),
        };
        let is_name = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        if !is_name(service) || !subdomain.as_deref().is_none_or(is_name) || !is_name(aws_region) {
            return Err(wrong("its region or its service is no name"));
        }
        Ok(Self { aws_region: aws_region.to_owned(), subdomain, service: service.to_owned(), api })
    }

    /// The function, where the URI is one that invokes a function.
    pub(crate) fn function(&self) -> Option<Function> {
        let Api::Path(path) = &self.api else { return None };
        if self.service != "lambda" {
            return None;
        }
        let (rest, is_streamed) = match path.strip_prefix("/2015-03-31/functions/") {
            Some(rest) => (rest.strip_suffix("/invocations")?, false),
            None => {
                let rest = path.strip_prefix("/2021-11-15/functions/")?;
                (rest.strip_suffix("/response-streaming-invocations")?, true)
            }
        };
        let is_whole = !rest.is_empty() && !rest.contains(['/', '?', '#', '{', '}']);
        is_whole.then(|| Function { name: Arc::from(rest), is_streamed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// rest-data-plane 7.10.
    #[test]
    fn the_forms_of_uris() {
        let cases = [
            (
                "arn:aws:apigateway:eu-west-1:dynamodb:action/PutItem",
                "eu-west-1",
                None,
                "dynamodb",
                Api::Action { name: "PutItem".to_owned(), query: String::new() },
            ),
            (
                "arn:aws:apigateway:us-east-1:sqs:path//123/queue",
                "us-east-1",
                None,
                "sqs",
                Api::Path("/123/queue".to_owned()),
            ),
            (
                "arn:aws-cn:apigateway:cn-north-1:pictures.s3:path/{key}?x=1",
                "cn-north-1",
                Some("pictures"),
                "s3",
                Api::Path("/{key}?x=1".to_owned()),
            ),
            (
                "arn:aws:apigateway:us-east-1:sns:action/Publish&TopicArn=a",
                "us-east-1",
                None,
                "sns",
                Api::Action { name: "Publish".to_owned(), query: "TopicArn=a".to_owned() },
            ),
        ];
        for (uri, aws_region, subdomain, service, api) in cases {
            let subdomain = subdomain.map(ToOwned::to_owned);
            let (aws_region, service) = (aws_region.to_owned(), service.to_owned());
            let expected = AwsUri { aws_region, subdomain, service, api };
            assert_eq!(AwsUri::parse(uri), Ok(expected), "{uri}");
        }
        for wrong in
            ["http://h", "arn:aws:s3:us-east-1:x:path/a", "arn:aws:apigateway:us-east-1:s3:a"]
        {
            assert!(AwsUri::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// rest-data-plane 7.10, 7.14: functions by ARN or name, with alias or version, of other
    /// accounts, buffered or streamed.
    #[test]
    fn functions() {
        let of = |path: &str| {
            let uri = format!("arn:aws:apigateway:us-east-1:lambda:path/{path}");
            AwsUri::parse(&uri).unwrap().function().map(|f| (f.name.to_string(), f.is_streamed))
        };
        let arn = "arn:aws:lambda:eu-west-1:999999999999:function:f:prod";
        let path = format!("2015-03-31/functions/{arn}/invocations");
        assert_eq!(of(&path), Some((arn.to_owned(), false)));
        let path = format!("/2021-11-15/functions/{arn}/response-streaming-invocations");
        assert_eq!(of(&path), Some((arn.to_owned(), true)));
        assert_eq!(of("2015-03-31/functions/f/invocations"), Some(("f".to_owned(), false)));
        for other in [
            "2015-03-31/functions//invocations",
            "2015-03-31/functions/f/response-streaming-invocations",
            "2014-11-13/functions/f/invoke-async/",
            "2015-03-31/functions/a/b/invocations",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
