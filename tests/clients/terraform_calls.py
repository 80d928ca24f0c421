#!/usr/bin/env python3
"""What Terraform's AWS provider asks of API Gateway, call by call, with botocore.

usage: terraform_calls.py --admin URL

The provider itself cannot be had from package registries, so its call sequences (create, read, plan without
changes, update, destroy) are made here as its source makes them: every read after a change must show what was
set, or the real provider would plan a change for ever. botocore checks each answer against the service model.
"""
import argparse
import sys

import botocore.session
from botocore.exceptions import ClientError

parser = argparse.ArgumentParser()
parser.add_argument("--admin", required=True)
ARGS = parser.parse_args()
SESSION = botocore.session.get_session()


def client(service):
    return SESSION.create_client(service, endpoint_url=ARGS.admin)


v1, v2, sts = client("apigateway"), client("apigatewayv2"), client("sts")


def same(found, wanted, where):
    assert found == wanted, f"{where}: {found!r} instead of {wanted!r}"


def gone(call, **named):
    try:
        call(**named)
    except ClientError as error:
        same(error.response["Error"]["Code"], "NotFoundException", "read after destroy")
        return
    raise AssertionError(f"{call.__name__} still finds {named}")


def replace(path, value):
    operation = {"op": "replace", "path": path}
    if value is not None:
        operation["value"] = value
    return operation


def account():
    identity = sts.get_caller_identity()
    same(len(identity["Account"]), 12, "account")
    v1.get_account()
    return identity["Account"]


def rest_api():
    """aws_api_gateway_rest_api, _resource, _method, _integration, _method_response, _integration_response."""
    api = v1.create_rest_api(name="tf", endpointConfiguration={"types": ["REGIONAL"]}, tags={"a": "b"})["id"]
    read = v1.get_rest_api(restApiId=api)
    same(read["endpointConfiguration"]["types"], ["REGIONAL"], "endpoint type")
    same(read["tags"], {"a": "b"}, "tags")
    root = next(item["id"] for page in v1.get_paginator("get_resources").paginate(restApiId=api)
                for item in page["items"] if item["path"] == "/")
    v1.update_rest_api(restApiId=api, patchOperations=[
        {"op": "add", "path": "/binaryMediaTypes/image~1png"},
        replace("/minimumCompressionSize", "1024"), replace("/description", "by terraform")])
    read = v1.get_rest_api(restApiId=api)
    same((read["binaryMediaTypes"], read["minimumCompressionSize"], read["description"]),
         (["image/png"], 1024, "by terraform"), "update")
    v1.update_rest_api(restApiId=api, patchOperations=[
        {"op": "remove", "path": "/binaryMediaTypes/image~1png"}, replace("/minimumCompressionSize", None)])
    read = v1.get_rest_api(restApiId=api)
    assert not read.get("binaryMediaTypes") and "minimumCompressionSize" not in read, read

    resource = v1.create_resource(restApiId=api, parentId=root, pathPart="items")["id"]
    at = {"restApiId": api, "resourceId": resource, "httpMethod": "GET"}
    model = v1.create_model(restApiId=api, name="Item", contentType="application/json",
                            schema='{"type":"object","properties":{"id":{"type":"string"}}}')
    same(v1.get_model(restApiId=api, modelName="Item")["schema"], model["schema"], "model")
    validator = v1.create_request_validator(restApiId=api, name="body", validateRequestBody=True)["id"]
    v1.put_method(**at, authorizationType="NONE", apiKeyRequired=False, requestValidatorId=validator,
                  requestParameters={"method.request.querystring.page": False})
    same(v1.get_method(**at)["requestParameters"], {"method.request.querystring.page": False}, "method")
    v1.update_method(**at, patchOperations=[replace("/requestValidatorId", None), replace("/operationName", "ls"),
                                            replace("/requestParameters/method.request.querystring.page", "true")])
    read = v1.get_method(**at)
    assert "requestValidatorId" not in read, read
    same((read["operationName"], read["requestParameters"]),
         ("ls", {"method.request.querystring.page": True}), "method update")
    v1.put_integration(**at, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'},
                       passthroughBehavior="NEVER", cacheKeyParameters=["method.request.querystring.page"])
    v1.update_integration(**at, patchOperations=[
        {"op": "remove", "path": "/cacheKeyParameters/method.request.querystring.page", "value": ""},
        {"op": "replace", "path": "/requestTemplates/application~1json", "value": '{"statusCode": 201}'},
        replace("/timeoutInMillis", "5000")])
    read = v1.get_integration(**at)
    same((read["cacheKeyParameters"], read["requestTemplates"], read["timeoutInMillis"]),
         ([], {"application/json": '{"statusCode": 201}'}, 5000), "integration update")
    v1.put_method_response(**at, statusCode="200", responseModels={"application/json": "Item"},
                           responseParameters={"method.response.header.X-A": True})
    v1.put_integration_response(**at, statusCode="200", responseParameters={"method.response.header.X-A": "'1'"},
                                responseTemplates={"application/json": ""})
    same(v1.get_method_response(**at, statusCode="200")["responseParameters"],
         {"method.response.header.X-A": True}, "method response")
    v1.put_gateway_response(restApiId=api, responseType="UNAUTHORIZED", statusCode="401",
                            responseParameters={"gatewayresponse.header.X": "'y'"},
                            responseTemplates={"application/json": "{}"})
    same(v1.get_gateway_response(restApiId=api, responseType="UNAUTHORIZED")["defaultResponse"], False, "response")
    return api, resource, at, validator


def stage(api):
    """aws_api_gateway_deployment, _stage, _method_settings."""
    deployment = v1.create_deployment(restApiId=api, description="one")["id"]
    v1.update_deployment(restApiId=api, deploymentId=deployment, patchOperations=[replace("/description", "two")])
    same(v1.get_deployment(restApiId=api, deploymentId=deployment)["description"], "two", "deployment")
    return deployment


def plans():
    """aws_api_gateway_api_key, _usage_plan, _usage_plan_key."""
    key = v1.create_api_key(name="tf", enabled=True, generateDistinctId=True)["id"]
    v1.update_api_key(apiKey=key, patchOperations=[replace("/description", "d"), replace("/enabled", "false")])
    read = v1.get_api_key(apiKey=key, includeValue=True)
    same((read["description"], read["enabled"], len(read["value"])), ("d", False, 40), "key")
    plan = v1.create_usage_plan(name="tf", throttle={"burstLimit": 5, "rateLimit": 10},
                                quota={"limit": 20, "period": "WEEK", "offset": 2})["id"]
    v1.update_usage_plan(usagePlanId=plan, patchOperations=[
        {"op": "add", "path": "/productCode", "value": "MYCODE"}, {"op": "replace", "path": "/throttle/rateLimit",
                                                                    "value": "15.000000"},
        {"op": "remove", "path": "/quota"}])
    read = v1.get_usage_plan(usagePlanId=plan)
    same((read["productCode"], read["throttle"]["rateLimit"]), ("MYCODE", 15.0), "plan")
    assert "quota" not in read, read
    v1.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
    same(v1.get_usage_plan_key(usagePlanId=plan, keyId=key)["type"], "API_KEY", "plan key")
    v1.delete_usage_plan_key(usagePlanId=plan, keyId=key)
    gone(v1.get_usage_plan_key, usagePlanId=plan, keyId=key)
    v1.delete_usage_plan(usagePlanId=plan)
    gone(v1.get_usage_plan, usagePlanId=plan)
    v1.delete_api_key(apiKey=key)
    gone(v1.get_api_key, apiKey=key)


def http_api():
    """aws_apigatewayv2_api, _integration, _route, _stage, _deployment."""
    api = v2.create_api(Name="tf", ProtocolType="HTTP", CorsConfiguration={"AllowOrigins": ["*"]})["ApiId"]
    v2.update_api(ApiId=api, Description="d")
    v2.delete_cors_configuration(ApiId=api)
    assert "CorsConfiguration" not in v2.get_api(ApiId=api)
    integration = v2.create_integration(ApiId=api, IntegrationType="HTTP_PROXY", IntegrationMethod="ANY",
                                        IntegrationUri="https://example.com",
                                        RequestParameters={"append:header.a": "1"})["IntegrationId"]
    v2.update_integration(ApiId=api, IntegrationId=integration, RequestParameters={"append:header.a": ""})
    assert not v2.get_integration(ApiId=api, IntegrationId=integration).get("RequestParameters")
    route = v2.create_route(ApiId=api, RouteKey="GET /x", Target=f"integrations/{integration}")["RouteId"]
    same(v2.get_route(ApiId=api, RouteId=route)["AuthorizationType"], "NONE", "route")
    v2.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    v2.update_stage(ApiId=api, StageName="$default", StageVariables={"a": "1", "b": "2"})
    v2.update_stage(ApiId=api, StageName="$default", StageVariables={"a": ""})
    same(v2.get_stage(ApiId=api, StageName="$default")["StageVariables"], {"b": "2"}, "variables")
    deployment = v2.create_deployment(ApiId=api)["DeploymentId"]
    same(v2.get_deployment(ApiId=api, DeploymentId=deployment)["DeploymentStatus"], "DEPLOYED", "poll")
    v2.delete_stage(ApiId=api, StageName="$default")
    v2.delete_route(ApiId=api, RouteId=route)
    v2.delete_integration(ApiId=api, IntegrationId=integration)
    v2.delete_api(ApiId=api)
    gone(v2.get_api, ApiId=api)


def method_settings(api, deployment):
    v1.create_stage(restApiId=api, stageName="tf", deploymentId=deployment, variables={"v": "1"})
    at = {"restApiId": api, "stageName": "tf"}
    v1.update_stage(**at, patchOperations=[replace("/items/GET/throttling/rateLimit", "10.000000"),
                                           replace("/items/GET/caching/ttlInSeconds", "30")])
    read = v1.get_stage(**at)["methodSettings"]["items/GET"]
    same((read["throttlingRateLimit"], read["cacheTtlInSeconds"]), (10.0, 30), "method settings")
    v1.update_stage(**at, patchOperations=[{"op": "remove", "path": "/items/GET"}])
    assert "items/GET" not in v1.get_stage(**at).get("methodSettings", {})
    try:
        v1.update_stage(**at, patchOperations=[{"op": "remove", "path": "/items/GET"}])
        raise AssertionError("removed twice")
    except ClientError as error:
        assert "no method setting for this method" in error.response["Error"]["Message"], error
    v1.update_stage(**at, patchOperations=[{"op": "remove", "path": "/variables/v"}])
    assert not v1.get_stage(**at).get("variables")


def main():
    print("ok account", account())
    api, resource, at, validator = rest_api()
    print("ok rest_api and below")
    deployment = stage(api)
    print("ok deployment")
    plans()
    print("ok keys and plans")
    http_api()
    print("ok apigatewayv2")
    v1.delete_integration_response(**at, statusCode="200")
    v1.delete_method_response(**at, statusCode="200")
    v1.delete_integration(**at)
    gone(v1.get_integration, **at)
    v1.put_integration(**at, type="HTTP_PROXY", integrationHttpMethod="GET", uri="http://127.0.0.1:1/")
    # Stages are made of what the data plane has; it has no gateway responses of one's own.
    v1.delete_gateway_response(restApiId=api, responseType="UNAUTHORIZED")
    same(v1.get_gateway_response(restApiId=api, responseType="UNAUTHORIZED")["defaultResponse"], True, "response")
    served = v1.create_deployment(restApiId=api)["id"]
    method_settings(api, served)
    print("ok stage and method settings")
    v1.delete_stage(restApiId=api, stageName="tf")
    v1.delete_deployment(restApiId=api, deploymentId=served)
    v1.delete_deployment(restApiId=api, deploymentId=deployment)
    v1.delete_method(**at)
    gone(v1.get_method, **at)
    v1.delete_request_validator(restApiId=api, requestValidatorId=validator)
    v1.delete_model(restApiId=api, modelName="Item")
    v1.delete_resource(restApiId=api, resourceId=resource)
    gone(v1.get_resource, restApiId=api, resourceId=resource)
    v1.delete_rest_api(restApiId=api)
    gone(v1.get_rest_api, restApiId=api)
    print("ok destroy")


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, ClientError) as wrong:
        print("FAILED", wrong, flush=True)
        sys.exit(1)
