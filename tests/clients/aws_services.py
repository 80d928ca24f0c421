#!/usr/bin/env python3
"""Services of AWS's behind methods: moto's server plays them, boto3 looks at what came of the calls.

usage: aws_services.py --admin URL --public PORT --services PORT --moto FOLDER --example FILE

Starts moto on the port, which the region's topology names for every service. Prints a line per service and ends with
1 at the first thing that is not so.
"""
import argparse
import base64
import json
import ssl
import urllib.error
import urllib.request

import boto3
from botocore.config import Config

from moto_server import moto

parser = argparse.ArgumentParser()
for name in ("admin", "public", "services", "moto", "example"):
    parser.add_argument(f"--{name}", required=True)
ARGS = parser.parse_args()
REGION, ACCOUNT = "us-east-1", "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/api"
ENDPOINT = f"http://127.0.0.1:{ARGS.services}"
TRUST = ssl.create_default_context()
TRUST.check_hostname, TRUST.verify_mode = False, ssl.CERT_NONE
FORM = {"integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"}


def service(name):
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.Session(region_name=REGION, **keys).client(name, endpoint_url=ENDPOINT)


def same(found, wanted, where):
    assert found == wanted, f"{where}: {found!r} instead of {wanted!r}"


def integration(uri, method="POST", request=None, parameters=None, response=None, binary=None, passthrough=None):
    made = {"type": "aws", "httpMethod": method, "uri": f"arn:aws:apigateway:{REGION}:{uri}", "credentials": ROLE}
    if request is not None:
        made["requestTemplates"] = {"application/json": request}
    if parameters:
        made["requestParameters"] = parameters
    if passthrough:
        made["passthroughBehavior"] = passthrough
    default = {"statusCode": "200"}
    if response is not None:
        default["responseTemplates"] = {"application/json": response}
    made["responses"] = {"default": default, r"4\d{2}": {"statusCode": "400"}}
    return {"responses": {"200": {"description": "ok"}, "400": {"description": "bad"}},
            "x-amazon-apigateway-integration": made}


class Api:
    def __init__(self, paths):
        for path, methods in paths.items():
            names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
            parameters = [{"name": name, "in": "path", "required": True, "type": "string"} for name in names]
            for method in methods.values():
                method["parameters"] = parameters
        definition = {"swagger": "2.0", "info": {"title": "services", "version": "1"}, "paths": paths}
        definition["x-amazon-apigateway-binary-media-types"] = ["image/png"]
        self.put(json.dumps(definition).encode())

    @classmethod
    def imported(cls, document):
        api = cls.__new__(cls)
        api.put(document)
        return api

    def put(self, document):
        admin = boto3.client("apigateway", endpoint_url=ARGS.admin, region_name=REGION,
                             config=Config(retries={"total_max_attempts": 1}))
        self.id = admin.import_rest_api(body=document, parameters={"endpointConfigurationTypes": "REGIONAL"})["id"]
        admin.create_deployment(restApiId=self.id, stageName="dev")

    def call(self, method, path, body=None, headers=None):
        """Status and body, as JSON where it is JSON."""
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        headers = dict({"Host": f"{self.id}.execute-api.{REGION}.gateway.localhost",
                        "Content-Type": "application/json"}, **(headers or {}))
        url = f"https://127.0.0.1:{ARGS.public}/dev{path}"
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, context=TRUST, timeout=30) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text


def dynamodb():
    table = service("dynamodb")
    table.create_table(TableName="pets", BillingMode="PAY_PER_REQUEST",
                       KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                       AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
    put = """#set($pet = $input.path('$'))
{"TableName": "pets", "Item": {"id": {"S": "$input.params('id')"}, "name": {"S": "$pet.name"}}}"""
    get = '{"TableName": "pets", "Key": {"id": {"S": "$input.params(\'id\')"}}}'
    got = """#set($item = $input.path('$.Item'))
{"id": "$item.id.S", "name": "$item.name.S"}"""
    api = Api({"/pets/{id}": {
        "put": integration("dynamodb:action/PutItem", request=put, response="{}"),
        "get": integration("dynamodb:action/GetItem", request=get, response=got),
        "delete": integration("dynamodb:action/DeleteItem", request=get, response="{}")}})
    same(api.call("PUT", "/pets/7", {"name": "Rex"}), (200, {}), "PutItem")
    same(table.get_item(TableName="pets", Key={"id": {"S": "7"}})["Item"]["name"], {"S": "Rex"}, "the item")
    same(api.call("GET", "/pets/7"), (200, {"id": "7", "name": "Rex"}), "GetItem")
    same(api.call("DELETE", "/pets/7"), (200, {}), "DeleteItem")
    same("Item" in table.get_item(TableName="pets", Key={"id": {"S": "7"}}), False, "the item that is gone")


def table_example():
    """topology/dynamodb-table.yaml, on the table that is there already."""
    with open(ARGS.example, "rb") as document:
        api = Api.imported(document.read())
    same(api.call("PUT", "/pets/8", {"name": 'R"e\\x\'s'}), (200, {}), "a pet is kept")
    same(api.call("GET", "/pets/8"), (200, {"id": "8", "name": 'R"e\\x\'s'}), "the pet")
    same(api.call("PUT", "/pets/9", {"name": "Rex"}), (200, {}), "another pet is kept")
    status, pets = api.call("GET", "/pets")
    same((status, sorted(pet["id"] for pet in pets)), (200, ["8", "9"]), "all pets")
    same(api.call("DELETE", "/pets/8"), (200, {}), "the pet goes")
    same(api.call("GET", "/pets/8"), (404, {"message": "no such pet"}), "the pet that is gone")
    same(api.call("PUT", "/pets/8", b"<x/>", {"Content-Type": "text/xml"})[0], 415, "a body that is no JSON")


def sqs():
    queues = service("sqs")
    url = queues.create_queue(QueueName="orders")["QueueUrl"]
    send = "Action=SendMessage&MessageBody=$util.urlEncode($input.body)"
    api = Api({"/orders": {
        "post": integration(f"sqs:path/{ACCOUNT}/orders", request=send, parameters=FORM)}})
    status, answer = api.call("POST", "/orders", {"text": "a b&c"})
    same(status, 200, f"SendMessage: {answer}")
    got = queues.receive_message(QueueUrl=url)["Messages"]
    same(json.loads(got[0]["Body"]), {"text": "a b&c"}, "the message")


def sns():
    topics, queues = service("sns"), service("sqs")
    topic = topics.create_topic(Name="news")["TopicArn"]
    queue = queues.create_queue(QueueName="news")["QueueUrl"]
    topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:news")
    parameters = {"integration.request.querystring.TopicArn": f"'{topic}'",
                  "integration.request.querystring.Message": "method.request.querystring.text"}
    form = f"Action=Publish&TopicArn=$util.urlEncode('{topic}')&Message=$util.urlEncode($input.path('$.text'))"
    api = Api({"/news": {"get": integration("sns:action/Publish", parameters=parameters),
                         "post": integration("sns:path//", request=form, parameters=FORM)}})
    for call in (("GET", "/news?text=a%20b%26c"), ("POST", "/news", {"text": "a b&c"})):
        same(api.call(*call)[0], 200, f"Publish by {call[0]}")
        got = queues.receive_message(QueueUrl=queue).get("Messages", [])
        same([json.loads(one["Body"])["Message"] for one in got], ["a b&c"], f"the message by {call[0]}")


def kinesis():
    streams = service("kinesis")
    streams.create_stream(StreamName="clicks", ShardCount=1)
    put = """{"StreamName": "clicks", "PartitionKey": "$input.path('$.who')",
 "Data": "$util.base64Encode($input.json('$'))"}"""
    api = Api({"/clicks": {"post": integration("kinesis:action/PutRecord", request=put)}})
    status, answer = api.call("POST", "/clicks", {"who": "ann"})
    same((status, "SequenceNumber" in answer), (200, True), f"PutRecord: {answer}")
    shard = streams.describe_stream(StreamName="clicks")["StreamDescription"]["Shards"][0]["ShardId"]
    at = streams.get_shard_iterator(StreamName="clicks", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    records = streams.get_records(ShardIterator=at["ShardIterator"])["Records"]
    same(json.loads(records[0]["Data"]), {"who": "ann"}, "the record")


def firehose():
    """As a proxy: the client's body is the action's, the service's answer the client's."""
    buckets, streams = service("s3"), service("firehose")
    buckets.create_bucket(Bucket="lake")
    streams.create_delivery_stream(DeliveryStreamName="clicks", ExtendedS3DestinationConfiguration={
        "RoleARN": ROLE, "BucketARN": "arn:aws:s3:::lake"})
    method = {"x-amazon-apigateway-integration": {
        "type": "aws_proxy", "httpMethod": "POST", "credentials": ROLE,
        "uri": f"arn:aws:apigateway:{REGION}:firehose:action/PutRecord"}}
    api = Api({"/clicks": {"post": method}})
    record = {"DeliveryStreamName": "clicks", "Record": {"Data": base64.b64encode(b"a click").decode()}}
    status, answer = api.call("POST", "/clicks", record)
    same((status, "RecordId" in answer), (200, True), f"PutRecord: {answer}")
    key = buckets.list_objects_v2(Bucket="lake")["Contents"][0]["Key"]
    same(buckets.get_object(Bucket="lake", Key=key)["Body"].read(), b"a click", "the record")
    status, answer = api.call("POST", "/clicks", {**record, "DeliveryStreamName": "none"})
    same((status, answer["__type"].split("#")[-1]), (400, "ResourceNotFoundException"), "a stream that is not there")


def s3():
    buckets = service("s3")
    buckets.create_bucket(Bucket="pictures")
    key = {"integration.request.path.key": "method.request.path.key"}
    api = Api({"/files/{key}": {
        "put": integration("s3:path/pictures/{key}", "PUT", parameters=key),
        "get": integration("s3:path/pictures/{key}", "GET", parameters=key)},
        "/host/{key}": {"get": integration("pictures.s3:path/{key}", "GET", parameters=key)}})
    same(api.call("PUT", "/files/a.txt", b"hello", {"Content-Type": "text/plain"})[0], 200, "PutObject")
    same(buckets.get_object(Bucket="pictures", Key="a.txt")["Body"].read(), b"hello", "the object")
    same(api.call("GET", "/files/a.txt"), (200, b"hello"), "GetObject")
    same(api.call("GET", "/host/a.txt"), (200, b"hello"), "GetObject, bucket in the host's name")
    same(api.call("GET", "/files/none")[0], 400, "an object that is not there")


def ssm():
    service("ssm").put_parameter(Name="colour", Value="red", Type="String")
    service("ssm").put_parameter(Name="secret", Value="5", Type="SecureString")
    name = {"integration.request.querystring.Name": "'colour'"}
    value = "$.GetParameterResponse.GetParameterResult.Parameter.Value"
    several = {"integration.request.querystring.Names.member.1": "'secret'",
               "integration.request.querystring.Names.member.2": "'colour'",
               "integration.request.querystring.WithDecryption": "'true'"}
    get = "ssm:action/GetParameter"
    api = Api({"/colour": {"get": integration(get, parameters=name, request='{"Name": "no effect"}',
                                              response="{\"colour\": \"$input.path('%s')\"}" % value)},
               "/raw": {"get": integration(get, "GET", parameters=name)},
               "/several": {"get": integration("ssm:action/GetParameters", parameters=several)},
               "/none": {"get": integration(get, parameters={
                   "integration.request.querystring.Name": "'none'"})}})
    same(api.call("GET", "/colour"), (200, {"colour": "red"}), "GetParameter")
    status, answer = api.call("GET", "/raw")
    same((status, list(answer)), (200, ["GetParameterResponse"]), f"the whole answer: {answer}")
    parts = answer["GetParameterResponse"]
    same(parts["GetParameterResult"]["Parameter"]["Value"], "red", "the parameter")
    same(list(parts["ResponseMetadata"]), ["RequestId"], "what is said of the request")
    status, answer = api.call("GET", "/several")
    found = answer["GetParametersResponse"]["GetParametersResult"]["Parameters"]
    same((status, sorted(one["Value"] for one in found)), (200, ["5", "red"]), "GetParameters")
    status, answer = api.call("GET", "/none")
    same((status, answer["__type"].split("#")[-1]), (400, "ParameterNotFound"), "a parameter that is not there")


def states():
    machines = service("stepfunctions")
    definition = {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}}
    arn = machines.create_state_machine(name="order", definition=json.dumps(definition), roleArn=ROLE)["stateMachineArn"]
    start = '{"stateMachineArn": "%s", "input": "$util.escapeJavaScript($input.json(\'$\'))"}' % arn
    api = Api({"/start": {"post": integration("states:action/StartExecution", request=start)}})
    status, answer = api.call("POST", "/start", {"order": 1})
    same((status, "executionArn" in answer), (200, True), f"StartExecution: {answer}")
    run = machines.describe_execution(executionArn=answer["executionArn"])
    same(json.loads(run["input"]), {"order": 1}, "the execution's input")


def events():
    bus, queues = service("events"), service("sqs")
    queue = queues.create_queue(QueueName="events")["QueueUrl"]
    bus.put_rule(Name="all", EventPattern=json.dumps({"source": ["shop"]}))
    bus.put_targets(Rule="all", Targets=[{"Id": "q", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:events"}])
    put = """{"Entries": [{"Source": "shop", "DetailType": "order",
 "Detail": "$util.escapeJavaScript($input.json('$'))"}]}"""
    api = Api({"/events": {"post": integration("events:action/PutEvents", request=put)}})
    status, answer = api.call("POST", "/events", {"order": 1})
    same((status, answer.get("FailedEntryCount")), (200, 0), f"PutEvents: {answer}")
    got = queues.receive_message(QueueUrl=queue).get("Messages", [])
    same([json.loads(one["Body"])["detail"] for one in got], [{"order": 1}], "the event")


with moto(ARGS.moto, ARGS.services, ACCOUNT, REGION):
    for part in (dynamodb, table_example, sqs, sns, kinesis, firehose, s3, ssm, states, events):
        part()
        print(f"ok {part.__name__}", flush=True)
