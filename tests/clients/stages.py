#!/usr/bin/env python3
"""Stages as teams use them: a canary beside a stage, its own variables and cache, promotion, roll-back.

usage: stages.py --admin URL --edge URL --host-suffix SUFFIX --ca FILE

Credentials of an administrator come from the environment. Answers are asked for at an edge. Prints a line per step
and ends with 1 at the first thing that is not so.
"""
import argparse
import http.client
import json
import ssl
import time
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

parser = argparse.ArgumentParser()
for name in ("admin", "edge", "host-suffix", "ca"):
    parser.add_argument(f"--{name}", required=True)
ARGS = parser.parse_args()
ADMIN = boto3.client("apigateway", endpoint_url=ARGS.admin, config=Config(retries={"total_max_attempts": 1}))
TLS = ssl.create_default_context(cafile=ARGS.ca)
TLS.check_hostname = False  # connected to by address, asked for by name
ARRIVES_WITHIN = 10.0  # seconds; far less is usual
DRAWS = 400  # at 50 percent: fewer than 120 or more than 280 happen once in 10^15 runs


def same(found, wanted, where):
    assert found == wanted, f"{where}: {found!r} instead of {wanted!r}"


PLACE = urlsplit(ARGS.edge)
CONNECTION = http.client.HTTPSConnection(PLACE.hostname, PLACE.port, context=TLS, timeout=10)


def ask(api, path="/color", stage="prod", headers=(), sent=None):
    """The headers and the body of an answer. One connection for all: an edge counts new ones."""
    headers = {"Host": f"{api}.{ARGS.host_suffix}", **dict(headers)}
    CONNECTION.request("GET" if sent is None else "POST", f"/{stage}{path}", body=sent, headers=headers)
    answer = CONNECTION.getresponse()
    body = answer.read().decode()
    if answer.status != 200:
        raise OSError(f"{answer.status} {body}")
    return answer.headers, body


def until(what, seen):
    """What a change brings reaches the edge soon, not at once."""
    end = time.monotonic() + ARRIVES_WITHIN
    while True:
        try:
            found = seen()
        except OSError as error:
            found = str(error)
        if found is True:
            return
        assert time.monotonic() < end, f"{what}: still {found!r}"
        time.sleep(0.05)


def define(api, number):
    """From the next deployment on the method answers with this version and the stage's colour."""
    resource = [it for it in ADMIN.get_resources(restApiId=api)["items"] if it["path"] == "/color"][0]["id"]
    where = {"restApiId": api, "resourceId": resource, "httpMethod": "GET"}
    ADMIN.put_integration_response(
        statusCode="200", selectionPattern="",
        responseParameters={"method.response.header.x-color": "stageVariables.color",
                            "method.response.header.x-new": "stageVariables.new",
                            "method.response.header.x-version": f"'{number}'"}, **where)


def version(api, number):
    """A deployment that answers with this version."""
    define(api, number)
    return ADMIN.create_deployment(restApiId=api)["id"]


def make():
    api = ADMIN.create_rest_api(name="canaries")["id"]
    root = ADMIN.get_resources(restApiId=api)["items"][0]["id"]
    resource = ADMIN.create_resource(restApiId=api, parentId=root, pathPart="color")["id"]
    where = {"restApiId": api, "resourceId": resource, "httpMethod": "GET"}
    ADMIN.put_method(authorizationType="NONE", **where)
    ADMIN.put_integration(type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'}, **where)
    headers = {f"method.response.header.{name}": False for name in ("x-color", "x-new", "x-version")}
    ADMIN.put_method_response(statusCode="200", responseParameters=headers, **where)
    return api


def seen(api):
    headers, _ = ask(api)
    return headers["x-version"], headers["x-color"], headers["x-new"]


def patch(api, *operations):
    listed = [dict(zip(("op", "path", "value"), it)) if it[0] != "copy" else dict(zip(("op", "from", "path"), it))
              for it in operations]
    return ADMIN.update_stage(restApiId=api, stageName="prod", patchOperations=listed)


def canary(api):
    first = version(api, 1)
    ADMIN.create_stage(restApiId=api, stageName="prod", deploymentId=first, variables={"color": "blue"})
    until("the stage", lambda: seen(api) == ("1", "blue", None) or seen(api))
    define(api, 2)
    overrides = {"color": "green", "new": "yes"}
    second = ADMIN.create_deployment(
        restApiId=api, stageName="prod",
        canarySettings={"percentTraffic": 100.0, "stageVariableOverrides": overrides, "useStageCache": False})["id"]
    until("all calls go to the canary", lambda: seen(api) == ("2", "green", "yes") or seen(api))
    stage = ADMIN.get_stage(restApiId=api, stageName="prod")
    same(stage["deploymentId"], first, "the stage keeps its deployment")
    same(stage["canarySettings"]["deploymentId"], second, "the canary's deployment")

    patch(api, ("replace", "/canarySettings/percentTraffic", "0"))
    until("no call goes to the canary", lambda: seen(api) == ("1", "blue", None) or seen(api))
    patch(api, ("replace", "/canarySettings/percentTraffic", "50"))
    until("some calls go to the canary", lambda: len({seen(api) for _ in range(40)}) == 2 or "one side")
    drawn = [seen(api) for _ in range(DRAWS)]
    same(set(drawn), {("1", "blue", None), ("2", "green", "yes")}, "both sides, and nothing between")
    share = drawn.count(("2", "green", "yes"))
    assert 0.3 * DRAWS < share < 0.7 * DRAWS, f"{share} of {DRAWS} at 50 percent"
    print("ok the canary gets its share, its deployment and its variables")

    patch(api, ("copy", "/canarySettings/deploymentId", "/deploymentId"),
          ("copy", "/canarySettings/stageVariableOverrides", "/variables"),
          ("replace", "/canarySettings/percentTraffic", "0"))
    until("promoted", lambda: seen(api) == ("2", "green", "yes") or seen(api))
    patch(api, ("remove", "/canarySettings", ""))
    same("canarySettings" in ADMIN.get_stage(restApiId=api, stageName="prod"), False, "a canary that was removed")
    same(seen(api), ("2", "green", "yes"), "after the promotion")
    patch(api, ("replace", "/deploymentId", first))
    until("rolled back", lambda: seen(api)[0] == "1" or seen(api))
    print("ok promoted and rolled back")


def caches(api):
    """A canary's answers are its own unless it shares the stage's cache."""
    for shared in (False, True):
        name = f"cached-{shared}".lower()
        first = version(api, f"{name}-1")
        ADMIN.create_stage(restApiId=api, stageName=name, deploymentId=first, cacheClusterEnabled=True,
                           cacheClusterSize="0.5", variables={"color": "blue"})
        until("the stage", lambda: ask(api, stage=name)[0]["x-version"] == f"{name}-1")
        latest = version(api, f"{name}-2")
        operations = [("/canarySettings/deploymentId", latest), ("/canarySettings/percentTraffic", "100"),
                      ("/canarySettings/useStageCache", json.dumps(shared))]
        ADMIN.update_stage(restApiId=api, stageName=name, patchOperations=[
            {"op": "replace", "path": path, "value": value} for path, value in operations])
        patched = ADMIN.get_stage(restApiId=api, stageName=name)["canarySettings"]
        same(patched["useStageCache"], shared, "useStageCache")
        if shared:
            # Long enough for the change to be there, and the cached answer still is the stage's.
            time.sleep(1)
            same(ask(api, stage=name)[0]["x-version"], f"{name}-1", "a shared cache")
        else:
            until("a cache of the canary's own", lambda: ask(api, stage=name)[0]["x-version"] == f"{name}-2")
            # One of the stage's own deployment gives the stage's answers, and none of an earlier canary's.
            ADMIN.update_stage(restApiId=api, stageName=name, patchOperations=[
                {"op": "replace", "path": "/canarySettings/deploymentId", "value": first}])
            until("a canary that differs in nothing", lambda: ask(api, stage=name)[0]["x-version"] == f"{name}-1")
    print("ok a canary's cache is its own unless it is shared")


def posts(api):
    """rest-data-plane 10: a verb other than GET is cached where a setting of its own says so, whatever the body."""
    root = [it for it in ADMIN.get_resources(restApiId=api)["items"] if it["path"] == "/"][0]["id"]
    where = {"restApiId": api, "httpMethod": "POST",
             "resourceId": ADMIN.create_resource(restApiId=api, parentId=root, pathPart="search")["id"]}
    ADMIN.put_method(authorizationType="NONE", **where)
    ADMIN.put_integration(type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'}, **where)
    ADMIN.put_method_response(statusCode="200", responseParameters={"method.response.header.x-made-for": False}, **where)
    ADMIN.put_integration_response(
        statusCode="200", responseParameters={"method.response.header.x-made-for": "context.requestId"}, **where)
    ADMIN.create_stage(restApiId=api, stageName="posts", deploymentId=version(api, "p1"), cacheClusterEnabled=True,
                       cacheClusterSize="0.5", variables={"color": "blue"})

    def made():
        return [ask(api, "/search", "posts", sent=body)[0]["x-made-for"] for body in (b"a", b"b", b"", b"a")]

    until("each its own", lambda: len(set(made())) == 4)
    ADMIN.update_stage(restApiId=api, stageName="posts", patchOperations=[
        {"op": "replace", "path": "/~1search/POST/caching/enabled", "value": "true"}])
    until("one for all", lambda: len(set(made())) == 1)
    print("ok a POST is cached where that is wished")


def strategies(api):
    """Who may not bypass the cache and tries: three ways to be told so, or to be let through."""
    ADMIN.create_stage(restApiId=api, stageName="fresh", deploymentId=version(api, "f1"), cacheClusterEnabled=True,
                       cacheClusterSize="0.5", variables={"color": "blue"})
    until("the stage", lambda: ask(api, stage="fresh")[0]["x-version"] == "f1")
    # A setting for all methods begins as a copy of the defaults, in which nothing is cached.
    ADMIN.update_stage(restApiId=api, stageName="fresh", patchOperations=[
        {"op": "replace", "path": "/*/*/caching/enabled", "value": "true"}])
    wish = {"Cache-Control": "max-age=0"}
    warning = "199 Cache-control headers were ignored because the caller was unauthorized."

    def told():
        headers, body = ask(api, stage="fresh", headers=wish)
        return headers["x-version"], headers["Warning"]

    def refused():
        try:
            return told()
        except OSError as error:
            return str(error)

    for strategy, wanted in [("SUCCEED_WITHOUT_RESPONSE_HEADER", ("f1", None)),
                             ("FAIL_WITH_403", '403 {"message":"Forbidden"}'),
                             ("SUCCEED_WITH_RESPONSE_HEADER", ("f1", warning))]:
        ADMIN.update_stage(restApiId=api, stageName="fresh", patchOperations=[
            {"op": "replace", "path": "/*/*/caching/unauthorizedCacheControlHeaderStrategy", "value": strategy}])
        until(strategy, lambda: refused() == wanted or refused())
    print("ok callers who may not bypass the cache are told so")


API = make()
canary(API)
caches(API)
posts(API)
strategies(API)
ADMIN.delete_rest_api(restApiId=API)
