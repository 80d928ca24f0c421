#!/usr/bin/env python3
"""`tidegate cors enable` against a running region, and what a browser would see of it at an edge.

usage: cors.py --admin URL --edge URL --host-suffix SUFFIX --ca FILE --tidegate PROGRAM --backend URL

Credentials of an administrator come from the environment. Prints a line per step and ends with 1 at the first thing
that is not so.
"""
import argparse
import http.client
import ssl
import subprocess
import time
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

parser = argparse.ArgumentParser()
for name in ("admin", "edge", "host-suffix", "ca", "tidegate", "backend"):
    parser.add_argument(f"--{name}", required=True)
ARGS = parser.parse_args()
ADMIN = boto3.client("apigateway", endpoint_url=ARGS.admin, config=Config(retries={"total_max_attempts": 1}))
TLS = ssl.create_default_context(cafile=ARGS.ca)
TLS.check_hostname = False  # connected to by address, asked for by name
PLACE = urlsplit(ARGS.edge)
CONNECTION = http.client.HTTPSConnection(PLACE.hostname, PLACE.port, context=TLS, timeout=10)
ARRIVES_WITHIN = 10.0  # seconds; far less is usual
SHOP, OTHER, EVIL = "https://shop.example", "https://other.example", "https://evil.example"


def same(found, wanted, where):
    assert found == wanted, f"{where}: {found!r} instead of {wanted!r}"


def ask(api, method, path, origin=None):
    """Status, the headers that matter to a browser, and the body."""
    headers = {"Host": f"{api}.{ARGS.host_suffix}"}
    if origin:
        headers["Origin"] = origin
    CONNECTION.request(method, f"/dev{path}", headers=headers)
    answer = CONNECTION.getresponse()
    body = answer.read().decode()
    named = {name.lower(): value for name, value in answer.headers.items()}
    return answer.status, {name[21:]: value for name, value in named.items() if name.startswith("access-control-allow-")}, body


def until(what, wanted, seen):
    end = time.monotonic() + ARRIVES_WITHIN
    while True:
        found = seen()
        if found == wanted:
            return
        assert time.monotonic() < end, f"{what}: {found!r} instead of {wanted!r}"
        time.sleep(0.05)


def enable(*words, fails=None):
    command = [ARGS.tidegate, "cors", "enable", "--admin", ARGS.admin, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if fails:
        assert done.returncode != 0 and fails in done.stderr, f"{words}: {done.returncode} {done.stdout}{done.stderr}"
        return ""
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def make():
    api = ADMIN.create_rest_api(name="pages")["id"]
    root = ADMIN.get_resources(restApiId=api)["items"][0]["id"]
    for part, kind in (("own", "MOCK"), ("passed", "HTTP_PROXY")):
        where = {"restApiId": api, "httpMethod": "GET"}
        where["resourceId"] = ADMIN.create_resource(restApiId=api, parentId=root, pathPart=part)["id"]
        ADMIN.put_method(authorizationType="NONE", **where)
        if kind == "MOCK":
            ADMIN.put_method_response(statusCode="200", **where)
            ADMIN.put_integration(type=kind, requestTemplates={"application/json": '{"statusCode": 200}'}, **where)
            ADMIN.put_integration_response(statusCode="200", responseTemplates={"application/json": "own text"}, **where)
        else:
            ADMIN.put_integration(type=kind, integrationHttpMethod="GET", uri=f"{ARGS.backend}/pets", **where)
    ADMIN.create_deployment(restApiId=api, stageName="dev")
    return api


def everyone(api):
    said = enable("--api", "pages", "--origin", "*", "--deploy", "dev")
    for line in ("/own OPTIONS answers preflights", "/passed GET is a proxy", "deployed to stage dev"):
        assert line in said, said
    headers = {"origin": "*", "methods": "OPTIONS,GET",
               "headers": "Content-Type,X-Amz-Date,Authorization,X-Api-Key,X-Amz-Security-Token"}
    for path in ("/own", "/passed"):
        until("a preflight", (200, headers, ""), lambda: ask(api, "OPTIONS", path, SHOP))
    same(ask(api, "GET", "/own", SHOP), (200, {"origin": "*"}, "own text"), "a method's own answer")
    same(ask(api, "GET", "/passed", SHOP)[:2], (200, {}), "a proxy's answer is its backend's")
    status, headers, _ = ask(api, "GET", "/nowhere", SHOP)
    same((status, headers["origin"]), (403, "*"), "a refusal can be read")
    before = ADMIN.get_resources(restApiId=api, embed=["methods"])["items"]
    enable("--api", api, "--origin", "*")
    same(ADMIN.get_resources(restApiId=api, embed=["methods"])["items"], before, "the same again changes nothing")
    print("ok every origin may call")


def several(api):
    words = ["--api", api, "--origin", SHOP, "--origin", OTHER, "--max-age", "600", "--credentials", "--deploy", "dev"]
    enable(*words)
    enable(*words)
    until("an origin of the list", {"origin": SHOP, "credentials": "true"}, lambda: ask(api, "GET", "/own", SHOP)[1])
    same(ask(api, "GET", "/own", OTHER), (200, {"origin": OTHER, "credentials": "true"}, "own text"), "the other")
    same(ask(api, "GET", "/own", EVIL), (200, {"credentials": "true"}, "own text"), "one that is not listed")
    own = [it for it in ADMIN.get_resources(restApiId=api, embed=["methods"])["items"] if it["path"] == "/own"][0]
    same(own["resourceMethods"]["GET"]["methodIntegration"]["cacheKeyParameters"], ["method.request.header.Origin"],
         "a cache keeps the origins apart")
    same(ask(api, "OPTIONS", "/own", OTHER)[1]["origin"], OTHER, "a preflight")
    assert "origin" not in ask(api, "OPTIONS", "/own", EVIL)[1], "a preflight of one that is not listed"
    print("ok listed origins may call")


def mistakes():
    enable("--api", "nobody", "--origin", "*", fails="there is no REST API `nobody`")
    enable("--api", "pages", "--origin", "shop.example", fails="is no origin")
    enable("--api", "pages", "--origin", "*", "--credentials", fails="allows every origin")
    enable("--api", "pages", "--origin", SHOP, "--path", "/none", fails="has no resource `/none`")
    print("ok mistakes are named")


API = make()
everyone(API)
several(API)
mistakes()
ADMIN.delete_rest_api(restApiId=API)
