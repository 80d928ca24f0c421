//! What stands behind a logical id? For resources of API Gateway's what the control plane answered,
//! for those of other services what AWS would form of their names.
//!
//! Nothing of another service is made here. Its references become names and ARNs all the same, so
//! that an integration keeps the target it has in AWS.
//!
//! AWS: CloudFormation Template Reference, "Return values" of each type; IAM User Guide, "Amazon
//! Resource Names".

use serde_json::Value as Json;

use super::document::Site;
use super::{Object, text};

/// What `Ref` and `Fn::GetAtt` say of a resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Made {
    /// The answer to `Ref`.
    pub(super) id: String,
    pub(super) attributes: Object,
    /// Of another service, or not made yet: unknown attributes get a name of their own.
    pub(super) is_imagined: bool,
}

impl Made {
    pub(super) fn attribute(&self, name: &str) -> Option<Json> {
        let known = self.attributes.get(name).cloned();
        known.or_else(|| self.is_imagined.then(|| Json::from(format!("{}.{name}", self.id))))
    }

    /// A resource of ours in a plan that nobody carries out.
    pub(super) fn planned(logical: &str) -> Self {
        let id = format!("<{logical}>");
        Self { id, attributes: Object::new(), is_imagined: true }
    }
}

/// A resource of another service.
pub(super) fn imagine(site: &Site, stack: &str, logical: &str, kind: &str, of: &Object) -> Made {
    let Site { partition, aws_region: region, account_id: account, url_suffix } = site;
    let named = |property: &str| text(of, property).map(str::to_owned);
    let own = || format!("{stack}-{logical}");
    let arn = |service: &str, rest: String| {
        format!("arn:{partition}:{service}:{region}:{account}:{rest}")
    };
    let simple = |name: String, arn: String| made(name, vec![("Arn", arn)]);
    match kind {
        "AWS::Lambda::Function" | "AWS::Serverless::Function" => {
            let name = named("FunctionName").unwrap_or_else(own);
            let arn = arn("lambda", format!("function:{name}"));
            simple(name, arn)
        }
        "AWS::Lambda::Version" | "AWS::Lambda::Alias" => {
            let function = named("FunctionName").unwrap_or_else(own);
            let function = match function.starts_with("arn:") {
                true => function,
                false => arn("lambda", format!("function:{function}")),
            };
            let version = named("Name").unwrap_or_else(|| "1".to_owned());
            let id = format!("{function}:{version}");
            made(id.clone(), vec![("Arn", id), ("Version", version)])
        }
        "AWS::IAM::Role" => {
            let name = named("RoleName").unwrap_or_else(own);
            let path = named("Path").unwrap_or_else(|| "/".to_owned());
            let arn = format!("arn:{partition}:iam::{account}:role{path}{name}");
            simple(name, arn)
        }
        "AWS::Logs::LogGroup" => {
            let name = named("LogGroupName").unwrap_or_else(own);
            let arn = arn("logs", format!("log-group:{name}:*"));
            simple(name, arn)
        }
        "AWS::DynamoDB::Table" | "AWS::Serverless::SimpleTable" => {
            let name = named("TableName").unwrap_or_else(own);
            let arn = arn("dynamodb", format!("table/{name}"));
            simple(name, arn)
        }
        "AWS::S3::Bucket" => {
            let name = named("BucketName").unwrap_or_else(|| own().to_lowercase());
            let arn = format!("arn:{partition}:s3:::{name}");
            simple(name, arn)
        }
        "AWS::SNS::Topic" => {
            let name = named("TopicName").unwrap_or_else(own);
            let arn = arn("sns", name.clone());
            made(arn.clone(), vec![("TopicArn", arn), ("TopicName", name)])
        }
        "AWS::SQS::Queue" => {
            let name = named("QueueName").unwrap_or_else(own);
            let url = format!("https://sqs.{region}.{url_suffix}/{account}/{name}");
            let arn = arn("sqs", name.clone());
            made(url.clone(), vec![("Arn", arn), ("QueueName", name), ("QueueUrl", url)])
        }
        "AWS::StepFunctions::StateMachine" | "AWS::Serverless::StateMachine" => {
            let name = named("StateMachineName").or_else(|| named("Name")).unwrap_or_else(own);
            let arn = arn("states", format!("stateMachine:{name}"));
            made(arn.clone(), vec![("Arn", arn), ("Name", name)])
        }
        "AWS::Cognito::UserPool" => {
            let id = format!("{region}_{logical}");
            let arn = arn("cognito-idp", format!("userpool/{id}"));
            let provider = format!("cognito-idp.{region}.{url_suffix}/{id}");
            let url = format!("https://{provider}");
            made(id, vec![("Arn", arn), ("ProviderName", provider), ("ProviderURL", url)])
        }
        "AWS::CertificateManager::Certificate" => {
            let id = arn("acm", format!("certificate/{logical}"));
            made(id, vec![])
        }
        "AWS::KinesisFirehose::DeliveryStream" => {
            let name = named("DeliveryStreamName").unwrap_or_else(own);
            let arn = arn("firehose", format!("deliverystream/{name}"));
            simple(name, arn)
        }
        "AWS::Kinesis::Stream" => {
            let name = named("Name").unwrap_or_else(own);
            let arn = arn("kinesis", format!("stream/{name}"));
            simple(name, arn)
        }
        "AWS::Events::EventBus" => {
            let name = named("Name").unwrap_or_else(own);
            let arn = arn("events", format!("event-bus/{name}"));
            simple(name, arn)
        }
        _ => {
            // The parts of `AWS::Service::Thing`.
            let mut parts = kind.split("::").skip(1);
            let service = parts.next().unwrap_or_default().to_lowercase();
            let thing = parts.next().unwrap_or_default().to_lowercase();
            let name = named("Name").unwrap_or_else(own);
            let arn = arn(&service, format!("{thing}/{name}"));
            simple(name, arn)
        }
    }
}

fn made(id: String, attributes: Vec<(&str, String)>) -> Made {
    let attributes =
        attributes.into_iter().map(|(name, value)| (name.to_owned(), Json::from(value))).collect();
    Made { id, attributes, is_imagined: true }
}
