#!/usr/bin/env python3
"""Many clients edit one API at the same time: every change that was acknowledged is there, and none failed.

usage: many_clients.py --admin URL

Each client adds to objects of its own and to objects that all of them change: a lost update is a missing entry.
Nothing is retried but 409 and 429, which mean that nothing was changed.
"""
import argparse
import sys
import threading
import time

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

parser = argparse.ArgumentParser()
parser.add_argument("--admin", required=True)
ARGS = parser.parse_args()
CLIENTS = 32
ROUNDS = 3
RETRIES_MAX = 200
v1 = botocore.session.get_session().create_client(
    "apigateway", endpoint_url=ARGS.admin,
    config=Config(retries={"total_max_attempts": 1}, max_pool_connections=CLIENTS, read_timeout=60))
retried, wrong = [], []


def call(name, **named):
    for _ in range(RETRIES_MAX):
        try:
            return getattr(v1, name)(**named)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status not in (409, 429):
                raise
            retried.append(status)
            time.sleep(0.02)
    raise AssertionError(f"{name} was refused {RETRIES_MAX} times")


def edit(number, api, root, shared):
    at = {"restApiId": api, "resourceId": shared, "httpMethod": "GET"}
    for turn in range(ROUNDS):
        name = f"c{number}-{turn}"
        # One object that all change: the API itself, and a method that lives in its resource.
        call("update_rest_api", restApiId=api,
             patchOperations=[{"op": "add", "path": f"/binaryMediaTypes/x~1{name}"}])
        call("update_method", **at, patchOperations=[
            {"op": "add", "path": f"/requestParameters/method.request.querystring.{name}", "value": "false"}])
        # An object of its own below a parent that all have.
        own = call("create_resource", restApiId=api, parentId=root, pathPart=name)["id"]
        call("put_method", restApiId=api, resourceId=own, httpMethod="GET", authorizationType="NONE")
        call("put_integration", restApiId=api, resourceId=own, httpMethod="GET", type="HTTP_PROXY",
             integrationHttpMethod="GET", uri="http://127.0.0.1:1/")


def run(number, *api):
    try:
        edit(number, *api)
    except Exception as error:  # pylint: disable=broad-except
        wrong.append(f"client {number}: {error!r}")


def main():
    api = v1.create_rest_api(name="busy")
    api, root = api["id"], api["rootResourceId"]
    shared = v1.create_resource(restApiId=api, parentId=root, pathPart="shared")["id"]
    v1.put_method(restApiId=api, resourceId=shared, httpMethod="GET", authorizationType="NONE")
    v1.put_integration(restApiId=api, resourceId=shared, httpMethod="GET", type="HTTP_PROXY",
                       integrationHttpMethod="GET", uri="http://127.0.0.1:1/")
    clients = [threading.Thread(target=run, args=(number, api, root, shared)) for number in range(CLIENTS)]
    began = time.monotonic()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    took = time.monotonic() - began
    assert not wrong, "\n".join(wrong)

    names = {f"c{number}-{turn}" for number in range(CLIENTS) for turn in range(ROUNDS)}
    found = v1.get_rest_api(restApiId=api)["binaryMediaTypes"]
    assert sorted(found) == sorted(f"x/{name}" for name in names), f"binaryMediaTypes: {len(found)} of {len(names)}"
    found = v1.get_method(restApiId=api, resourceId=shared, httpMethod="GET")["requestParameters"]
    lost = {f"method.request.querystring.{name}" for name in names} ^ set(found)
    assert not lost, f"requestParameters differ: {lost}"
    resources = [item for page in v1.get_paginator("get_resources").paginate(restApiId=api, embed=["methods"])
                 for item in page["items"]]
    found = sorted(item.get("pathPart", "") for item in resources)
    assert found == sorted(names | {"", "shared"}), f"resources: {len(found)} of {len(names) + 2}"
    for item in resources:
        if item.get("pathPart") in names:
            assert item["resourceMethods"]["GET"]["methodIntegration"]["type"] == "HTTP_PROXY", item
    deployed = v1.create_deployment(restApiId=api, stageName="live")["id"]
    assert v1.get_stage(restApiId=api, stageName="live")["deploymentId"] == deployed
    v1.delete_rest_api(restApiId=api)
    calls = CLIENTS * ROUNDS * 5
    print(f"ok {calls} changes by {CLIENTS} clients in {took:.1f} s, {len(retried)} of them retried", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, ClientError) as error:
        print("FAILED", error, flush=True)
        sys.exit(1)
