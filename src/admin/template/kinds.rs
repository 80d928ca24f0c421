//! Which calls make, change and delete a resource of each type? One table.
//!
//! Everything else about a type follows from AWS's service model: a property of a template is the
//! member of the operation's input with the same name, first letters aside.
//!
//! AWS: CloudFormation Template Reference, "Amazon API Gateway" and "Amazon API Gateway V2", each
//! type's "Update requires"; API Gateway REST API Reference, V2 API Reference.

use crate::admin::protocol::model::Service;

/// A type of resource.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) service: Service,
    pub(super) create: &'static str,
    /// Empty where nothing can be asked.
    pub(super) read: &'static str,
    pub(super) update: Update,
    /// Empty where nothing is deleted.
    pub(super) delete: &'static str,
    /// Labels of the operations' paths, with the property that fills each; `ID` is the answer's id.
    pub(super) labels: &'static [(&'static str, &'static str)],
    pub(super) id: Id,
    /// Properties whose change asks for another resource.
    pub(super) fixed: &'static [&'static str],
    /// Properties with another name than their member's.
    pub(super) renamed: &'static [(&'static str, &'static str)],
    /// Properties that travel in a way of their own.
    pub(super) apart: &'static [&'static str],
}

/// How a resource is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Update {
    /// v1: patch operations.
    Patch(&'static str),
    /// v2: members that replace those there are.
    Members(&'static str),
    /// The operation that makes it also replaces it.
    Again,
    /// Deleted and made again in the same place.
    Remake,
    /// Always another resource.
    Never,
}

/// What `Ref` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    /// A member of the answer to its creation.
    Answer(&'static str),
    /// A property.
    Property(&'static str),
    /// Values of labels, joined.
    Labels(&'static str),
}

/// Filled by the resource's own id.
pub(super) const ID: &str = "";
/// Every v1 resource below an API.
const API: (&str, &str) = ("restapi_id", "RestApiId");
/// Every v2 resource below an API.
const HTTP_API: (&str, &str) = ("apiId", "ApiId");

/// Types by name.
pub(super) fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// What most types are like.
const V1: Kind = Kind {
    name: "",
    service: Service::V1,
    create: "",
    read: "",
    update: Update::Never,
    delete: "",
    labels: &[],
    id: Id::Answer("id"),
    fixed: &["RestApiId"],
    renamed: &[],
    apart: &[],
};
const V2: Kind = Kind { service: Service::V2, fixed: &["ApiId"], ..V1 };

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "AWS::ApiGateway::Account",
        create: "UpdateAccount",
        read: "GetAccount",
        update: Update::Again,
        id: Id::Labels("account"),
        fixed: &[],
        apart: &["CloudWatchRoleArn"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::ApiKey",
        create: "CreateApiKey",
        read: "GetApiKey",
        update: Update::Patch("UpdateApiKey"),
        delete: "DeleteApiKey",
        labels: &[("api_Key", ID)],
        fixed: &["Value", "GenerateDistinctId"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::Authorizer",
        create: "CreateAuthorizer",
        read: "GetAuthorizer",
        update: Update::Patch("UpdateAuthorizer"),
        delete: "DeleteAuthorizer",
        labels: &[API, ("authorizer_id", ID)],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::BasePathMapping",
        create: "CreateBasePathMapping",
        read: "GetBasePathMapping",
        update: Update::Patch("UpdateBasePathMapping"),
        delete: "DeleteBasePathMapping",
        labels: &[("domain_name", "DomainName"), ("base_path", "BasePath")],
        id: Id::Labels("|"),
        fixed: &["DomainName", "BasePath"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::BasePathMappingV2",
        create: "CreateBasePathMapping",
        read: "GetBasePathMapping",
        update: Update::Patch("UpdateBasePathMapping"),
        delete: "DeleteBasePathMapping",
        labels: &[("domain_name", "DomainNameArn"), ("base_path", "BasePath")],
        id: Id::Labels("|"),
        fixed: &["DomainNameArn", "BasePath"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::ClientCertificate",
        create: "GenerateClientCertificate",
        read: "GetClientCertificate",
        update: Update::Patch("UpdateClientCertificate"),
        delete: "DeleteClientCertificate",
        labels: &[("clientcertificate_id", ID)],
        id: Id::Answer("clientCertificateId"),
        fixed: &[],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::Deployment",
        create: "CreateDeployment",
        read: "GetDeployment",
        update: Update::Patch("UpdateDeployment"),
        delete: "DeleteDeployment",
        labels: &[API, ("deployment_id", ID)],
        fixed: &["RestApiId", "StageName", "StageDescription", "DeploymentCanarySettings"],
        renamed: &[("DeploymentCanarySettings", "canarySettings")],
        apart: &["StageDescription"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::DocumentationPart",
        create: "CreateDocumentationPart",
        read: "GetDocumentationPart",
        update: Update::Patch("UpdateDocumentationPart"),
        delete: "DeleteDocumentationPart",
        labels: &[API, ("part_id", ID)],
        fixed: &["RestApiId", "Location"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::DocumentationVersion",
        create: "CreateDocumentationVersion",
        read: "GetDocumentationVersion",
        update: Update::Patch("UpdateDocumentationVersion"),
        delete: "DeleteDocumentationVersion",
        labels: &[API, ("doc_version", "DocumentationVersion")],
        id: Id::Property("DocumentationVersion"),
        fixed: &["RestApiId", "DocumentationVersion"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::DomainName",
        create: "CreateDomainName",
        read: "GetDomainName",
        update: Update::Patch("UpdateDomainName"),
        delete: "DeleteDomainName",
        labels: &[("domain_name", "DomainName")],
        id: Id::Property("DomainName"),
        fixed: &["DomainName"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::DomainNameV2",
        create: "CreateDomainName",
        read: "GetDomainName",
        update: Update::Patch("UpdateDomainName"),
        delete: "DeleteDomainName",
        labels: &[("domain_name", "DomainName")],
        id: Id::Answer("domainNameArn"),
        fixed: &["DomainName"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::DomainNameAccessAssociation",
        create: "CreateDomainNameAccessAssociation",
        delete: "DeleteDomainNameAccessAssociation",
        labels: &[("domain_name_access_association_arn", ID)],
        id: Id::Answer("domainNameAccessAssociationArn"),
        fixed: &[],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::GatewayResponse",
        create: "PutGatewayResponse",
        read: "GetGatewayResponse",
        update: Update::Again,
        delete: "DeleteGatewayResponse",
        labels: &[API, ("response_type", "ResponseType")],
        id: Id::Property("ResponseType"),
        fixed: &["RestApiId", "ResponseType"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::Method",
        create: "PutMethod",
        read: "GetMethod",
        update: Update::Remake,
        delete: "DeleteMethod",
        labels: &[API, ("resource_id", "ResourceId"), ("http_method", "HttpMethod")],
        id: Id::Labels("|"),
        fixed: &["RestApiId", "ResourceId", "HttpMethod"],
        apart: &["Integration", "MethodResponses"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::Model",
        create: "CreateModel",
        read: "GetModel",
        update: Update::Patch("UpdateModel"),
        delete: "DeleteModel",
        labels: &[API, ("model_name", "Name")],
        id: Id::Property("Name"),
        fixed: &["RestApiId", "Name", "ContentType"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::RequestValidator",
        create: "CreateRequestValidator",
        read: "GetRequestValidator",
        update: Update::Patch("UpdateRequestValidator"),
        delete: "DeleteRequestValidator",
        labels: &[API, ("requestvalidator_id", ID)],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::Resource",
        create: "CreateResource",
        read: "GetResource",
        delete: "DeleteResource",
        labels: &[API, ("parent_id", "ParentId"), ("resource_id", ID)],
        fixed: &["RestApiId", "ParentId", "PathPart"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::RestApi",
        create: "CreateRestApi",
        read: "GetRestApi",
        update: Update::Patch("UpdateRestApi"),
        delete: "DeleteRestApi",
        labels: &[("restapi_id", ID)],
        fixed: &["CloneFrom"],
        renamed: &[("ApiKeySourceType", "apiKeySource")],
        apart: &["Body", "FailOnWarnings", "Mode", "Parameters"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::Stage",
        create: "CreateStage",
        read: "GetStage",
        update: Update::Patch("UpdateStage"),
        delete: "DeleteStage",
        labels: &[API, ("stage_name", "StageName")],
        id: Id::Property("StageName"),
        fixed: &["RestApiId", "StageName"],
        renamed: &[("CanarySetting", "canarySettings")],
        apart: &["MethodSettings", "AccessLogSetting", "ClientCertificateId"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::UsagePlan",
        create: "CreateUsagePlan",
        read: "GetUsagePlan",
        update: Update::Patch("UpdateUsagePlan"),
        delete: "DeleteUsagePlan",
        labels: &[("usageplanId", ID)],
        fixed: &[],
        renamed: &[("UsagePlanName", "name")],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::UsagePlanKey",
        create: "CreateUsagePlanKey",
        read: "GetUsagePlanKey",
        delete: "DeleteUsagePlanKey",
        labels: &[("keyId", "KeyId"), ("usageplanId", "UsagePlanId")],
        id: Id::Labels(":"),
        fixed: &["KeyId", "KeyType", "UsagePlanId"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGateway::VpcLink",
        create: "CreateVpcLink",
        read: "GetVpcLink",
        update: Update::Patch("UpdateVpcLink"),
        delete: "DeleteVpcLink",
        labels: &[("vpclink_id", ID)],
        fixed: &["TargetArns"],
        ..V1
    },
    Kind {
        name: "AWS::ApiGatewayV2::Api",
        create: "CreateApi",
        read: "GetApi",
        update: Update::Members("UpdateApi"),
        delete: "DeleteApi",
        labels: &[("apiId", ID)],
        id: Id::Answer("apiId"),
        fixed: &["ProtocolType"],
        apart: &["Body", "FailOnWarnings", "BasePath"],
        ..V2
    },
    Kind {
        name: "AWS::ApiGatewayV2::ApiMapping",
        create: "CreateApiMapping",
        read: "GetApiMapping",
        update: Update::Members("UpdateApiMapping"),
        delete: "DeleteApiMapping",
        labels: &[("domainName", "DomainName"), ("apiMappingId", ID)],
        id: Id::Answer("apiMappingId"),
        fixed: &["DomainName"],
        ..V2
    },
    Kind {
        name: "AWS::ApiGatewayV2::Authorizer",
        create: "CreateAuthorizer",
        read: "GetAuthorizer",
        update: Update::Members("UpdateAuthorizer"),
        delete: "DeleteAuthorizer",
        labels: &[HTTP_API, ("authorizerId", ID)],
        id: Id::Answer("authorizerId"),
        ..V2
    },
    Kind {
        name: "AWS::ApiGatewayV2::Deployment",
        create: "CreateDeployment",
        read: "GetDeployment",
        update: Update::Members("UpdateDeployment"),
        delete: "DeleteDeployment",
        labels: &[HTTP_API, ("deploymentId", ID)],
        id: Id::Answer("deploymentId"),
        fixed: &["ApiId", "StageName"],
        ..V2
    },
    Kind {
        name: "AWS::ApiGatewayV2::DomainName",
        create: "CreateDomainName",
        read: "GetDomainName",
        update: Update::Members("UpdateDomainName"),
        delete: "DeleteDomainName",
        labels: &[("domainName", "DomainName")],
        id: Id::Property("DomainName"),
        fixed: &["DomainName"],
        ..V2
    },
    Kind {
        name: "AWS::ApiGatewayV2::Integration",
        create: "CreateIntegration",
        read: "GetIntegration",
        update: Update::Members("UpdateIntegration"),
        delete: "DeleteIntegration",
        labels: &[HTTP_API, ("integrationId", ID)],
        id: Id::Answer("integrationId"),
        ..V2
    },
    Kind {
        name: "AWS::ApiGatewayV2::IntegrationResponse",
        create: "CreateIntegrationResponse",
        read: "GetIntegrationResponse",
        update: Update::Members("UpdateIntegrationResponse"),
        delete: "DeleteIntegrationResponse",
        labels: &[HTTP_API, ("integrationId", "IntegrationId"), ("integrationResponseId", ID)],
        id: Id::Answer("integrationResponseId"),
        fixed: &["ApiId", "IntegrationId"],
        ..V2
    },
    Kind {
        name: "AWS::ApiGatewayV2::Model",
        create: "CreateModel",
        read: "GetModel",
        update: Update::Members("UpdateModel"),
        delete: "DeleteModel",
        labels: &[HTTP_API, ("modelId", ID)],
        id: Id::Answer("modelId"),
        ..V2
    },
    Kind {
        name: "AWS::ApiGatewayV2::Route",
        create: "CreateRoute",
        read: "GetRoute",
        update: Update::Members("UpdateRoute"),
        delete: "DeleteRoute",
        labels: &[HTTP_API, ("routeId", ID)],
        id: Id::Answer("routeId"),
        ..V2
    },
    Kind {
        name: "AWS::ApiGatewayV2::RouteResponse",
        create: "CreateRouteResponse",
        read: "GetRouteResponse",
        update: Update::Members("UpdateRouteResponse"),
        delete: "DeleteRouteResponse",
        labels: &[HTTP_API, ("routeId", "RouteId"), ("routeResponseId", ID)],
        id: Id::Answer("routeResponseId"),
        fixed: &["ApiId", "RouteId"],
        ..V2
    },
    Kind {
        name: "AWS::ApiGatewayV2::RoutingRule",
        create: "CreateRoutingRule",
        read: "GetRoutingRule",
        update: Update::Never,
        delete: "DeleteRoutingRule",
        labels: &[("domainName", "DomainNameArn"), ("routingRuleId", ID)],
        id: Id::Answer("routingRuleId"),
        fixed: &[],
        ..V2
    },
    Kind {
        name: "AWS::ApiGatewayV2::Stage",
        create: "CreateStage",
        read: "GetStage",
        update: Update::Members("UpdateStage"),
        delete: "DeleteStage",
        labels: &[HTTP_API, ("stageName", "StageName")],
        id: Id::Property("StageName"),
        fixed: &["ApiId", "StageName"],
        ..V2
    },
    Kind {
        name: "AWS::ApiGatewayV2::VpcLink",
        create: "CreateVpcLink",
        read: "GetVpcLink",
        update: Update::Members("UpdateVpcLink"),
        delete: "DeleteVpcLink",
        labels: &[("vpcLinkId", ID)],
        id: Id::Answer("vpcLinkId"),
        fixed: &["SecurityGroupIds", "SubnetIds"],
        ..V2
    },
];
