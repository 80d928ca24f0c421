#!/usr/bin/env python3
"""Custom domains and logs as teams use them: versions side by side, wildcards, routing rules, execution logs.

usage: domains.py --admin URL --edge URL --region URL --host-suffix SUFFIX --ca FILE --data FOLDER

Credentials of an administrator come from the environment. Answers are asked for at an edge and at the region's own
door; logs are read where the nodes write them. Prints a line per step and ends with 1 at the first thing that is not
so.
"""
import argparse
import http.client
import pathlib
import socket
import ssl
import subprocess
import tempfile
import time
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

parser = argparse.ArgumentParser()
for name in ("admin", "edge", "region", "host-suffix", "ca", "data"):
    parser.add_argument(f"--{name}", required=True)
ARGS = parser.parse_args()
NO_RETRIES = Config(retries={"total_max_attempts": 1})
V1 = boto3.client("apigateway", endpoint_url=ARGS.admin, config=NO_RETRIES)
V2 = boto3.client("apigatewayv2", endpoint_url=ARGS.admin, config=NO_RETRIES)
TLS = ssl.create_default_context(cafile=ARGS.ca)
TLS.check_hostname = False  # connected to by address, asked for by name
ARRIVES_WITHIN = 10.0  # seconds; far less is usual
DATA = pathlib.Path(ARGS.data)
FORBIDDEN = (403, '{"message":"Forbidden"}')
NOT_FOUND = (404, '{"message":"Not Found"}')


def same(found, wanted, where):
    assert found == wanted, f"{where}: {found!r} instead of {wanted!r}"


def connection(url):
    place = urlsplit(url)
    return http.client.HTTPSConnection(place.hostname, place.port, context=TLS, timeout=10)


DOORS = {"EDGE": connection(ARGS.edge), "REGIONAL": connection(ARGS.region)}


def ask(door, host, path, **headers):
    """Status and body of an answer. One connection for each door: an edge counts new ones."""
    sent = {"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    DOORS[door].request("GET", path, headers=sent)
    answer = DOORS[door].getresponse()
    return answer.status, answer.read().decode()


def until(what, seen, wanted):
    """What a change brings reaches the edge soon, not at once."""
    end = time.monotonic() + ARRIVES_WITHIN
    while (found := seen()) != wanted:
        assert time.monotonic() < end, f"{what}: still {found!r} instead of {wanted!r}"
        time.sleep(0.05)


def lines_of(node, name, wanted):
    """Lines of a log that hold a text; they are written soon, not at once."""
    path, end = DATA / node / name, time.monotonic() + ARRIVES_WITHIN
    while True:
        text = path.read_text() if path.exists() else ""
        found = [line for line in text.splitlines() if wanted in line]
        if found:
            return found
        assert time.monotonic() < end, f"{path} has no line with {wanted!r}: {text!r}"
        time.sleep(0.05)


def make(door, name, uri=None):
    """An API whose greedy resource answers with its name and the path it got; `/down` asks a backend."""
    api = V1.create_rest_api(name=name, endpointConfiguration={"types": [door]})["id"]
    root = V1.get_resources(restApiId=api)["items"][0]["id"]
    for part in ["{proxy+}", *(["down"] if uri else [])]:
        resource = V1.create_resource(restApiId=api, parentId=root, pathPart=part)["id"]
        where = {"restApiId": api, "resourceId": resource, "httpMethod": "GET"}
        parameters = {} if part == "down" else {"method.request.path.proxy": True}
        V1.put_method(authorizationType="NONE", requestParameters=parameters, **where)
        if part == "down":
            V1.put_integration(type="HTTP_PROXY", integrationHttpMethod="GET", uri=uri, **where)
            continue
        V1.put_integration(type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'},
                           cacheKeyParameters=list(parameters), **where)
        V1.put_method_response(statusCode="200", **where)
        body = f"{name} $context.stage $context.path $input.params('proxy')"
        V1.put_integration_response(statusCode="200", selectionPattern="",
                                    responseTemplates={"application/json": body}, **where)
    return api


def stage(api, name, **more):
    V1.create_stage(restApiId=api, stageName=name, deploymentId=V1.create_deployment(restApiId=api)["id"], **more)


def domain(name, door, **more):
    # Served with the node's own certificate, unless one is uploaded.
    if "certificateBody" not in more:
        arn = "arn:aws:acm:eu-central-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef"
        more["certificateArn" if door == "EDGE" else "regionalCertificateArn"] = arn
    V1.create_domain_name(domainName=name, endpointConfiguration={"types": [door]}, **more)


def maps(domain_name, key, api, stage_name):
    return V2.create_api_mapping(DomainName=domain_name, ApiMappingKey=key, ApiId=api, Stage=stage_name)["ApiMappingId"]


def versions(door):
    """rest-data-plane 1.2: the longest base path, in whole segments."""
    host = f"{door.lower()}.shop.example"
    one, two, items = (make(door, name) for name in ("one", "two", "items"))
    for api in (one, two, items):
        stage(api, "prod")
    stage(two, "beta")
    domain(host, door)
    maps(host, "v1", one, "prod")
    maps(host, "v2", two, "prod")
    maps(host, "orders", two, "prod")
    maps(host, "orders/v1/items", items, "prod")
    V1.create_base_path_mapping(domainName=host, basePath="open", restApiId=two)
    until("the last mapping", lambda: ask(door, host, "/open/beta/x"), (200, "two beta /open/beta/x x"))
    for path, wanted in [
            ("/v1/pets", (200, "one prod /v1/pets pets")),
            ("/v2/pets/7", (200, "two prod /v2/pets/7 pets/7")),
            ("/orders/v1/items/9", (200, "items prod /orders/v1/items/9 9")),
            ("/orders/v1/item", (200, "two prod /orders/v1/item v1/item")),
            ("/open/prod/x", (200, "two prod /open/prod/x x")),
            ("/open/nine/x", FORBIDDEN),
            ("/v11/pets", FORBIDDEN),
            ("/", FORBIDDEN),
            ("/ping", (200, "healthy")),
            ("/sping", (200, "healthy"))]:
        same(ask(door, host, path), wanted, f"{door} {path}")
    print(f"ok {door}: versions side by side")
    return one, two


def wildcard(door, api):
    """rest-data-plane 1.2: an exact name goes first, and one label is what a wildcard stands for."""
    wild = f"{door.lower()}.wild.example"
    with tempfile.TemporaryDirectory() as folder:
        chain, key = pathlib.Path(folder, "chain.pem"), pathlib.Path(folder, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", f"/CN=*.{wild}", "-addext", f"subjectAltName=DNS:*.{wild}",
                        "-keyout", key, "-out", chain], check=True, capture_output=True)
        uploaded = chain.read_text()
        named = "certificateName" if door == "EDGE" else "regionalCertificateName"
        domain(f"*.{wild}", door, certificateBody=uploaded, certificatePrivateKey=key.read_text(), **{named: "wild"})
    domain(f"exact.{wild}", door)
    maps(f"*.{wild}", "wide", api, "prod")
    maps(f"exact.{wild}", "exact", api, "prod")
    answer = (200, "one prod /exact/x x")
    until("the exact name", lambda: ask(door, f"exact.{wild}", "/exact/x"), answer)
    same(ask(door, f"any.{wild}", "/wide/x"), (200, "one prod /wide/x x"), "one label")
    same(ask(door, f"exact.{wild}", "/wide/x"), FORBIDDEN, "the exact name has no such path")
    same(ask(door, f"a.b.{wild}", "/wide/x"), FORBIDDEN, "two labels")
    same(ask(door, wild, "/wide/x"), FORBIDDEN, "no label")
    place = DOORS[door]
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    shown = {}
    for name in (f"any.{wild}", f"a.b.{wild}"):
        with socket.create_connection((place.host, place.port), timeout=10) as tcp, \
                anyone.wrap_socket(tcp, server_hostname=name) as tls:
            shown[name] = tls.getpeercert(binary_form=True)
    uploaded = ssl.PEM_cert_to_DER_cert(uploaded)
    same([it == uploaded for it in shown.values()], [True, False], "who gets the wildcard's certificate")
    print(f"ok {door}: a wildcard and its certificate")


def rules(door, one, two):
    """rest-data-plane 1.3: rules by priority in three modes, with and without the base path."""
    host = f"{door.lower()}.ruled.example"
    domain(host, door, routingMode="ROUTING_RULE_THEN_BASE_PATH_MAPPING")
    maps(host, "v1", one, "prod")

    def rule(priority, api, stage_name, *conditions, strip=False):
        return V2.create_routing_rule(
            DomainName=host, Priority=priority, Conditions=list(conditions),
            Actions=[{"InvokeApi": {"ApiId": api, "Stage": stage_name, "StripBasePath": strip}}])["RoutingRuleId"]

    def header(name, glob):
        return {"MatchHeaders": {"AnyOf": [{"Header": name, "ValueGlob": glob}]}}

    def base(path):
        return {"MatchBasePaths": {"AnyOf": [path]}}

    rule(30, two, "prod", header("X-Version", "beta*"))
    first = rule(10, two, "beta", header("x-version", "beta*"), header("x-user", "*admin*"))
    rule(40, one, "prod", base("strip"), strip=True)
    rule(50, one, "prod", base("whole"))
    until("the rules", lambda: ask(door, host, "/whole/x"), (200, "one prod /whole/x whole/x"))
    for path, headers, wanted in [
            ("/v1/x", {"X_Version": "beta-2"}, (200, "two prod /v1/x v1/x")),
            ("/v1/x", {"X_Version": "beta-2", "X_User": "an admin"}, (200, "two beta /v1/x v1/x")),
            ("/v1/x", {"X_Version": "Beta"}, (200, "one prod /v1/x x")),
            ("/strip/x", {}, (200, "one prod /strip/x x")),
            ("/stripped/x", {}, FORBIDDEN)]:
        same(ask(door, host, path, **headers), wanted, f"{door} {path} {headers}")

    def mode(name):
        V1.update_domain_name(domainName=host, patchOperations=[
            {"op": "replace", "path": "/routingMode", "value": name}])

    mode("ROUTING_RULE_ONLY")
    until("rules only", lambda: ask(door, host, "/v1/x"), NOT_FOUND)
    same(ask(door, host, "/strip/x"), (200, "one prod /strip/x x"), "a rule, in rules only")
    mode("BASE_PATH_MAPPING_ONLY")
    until("mappings only", lambda: ask(door, host, "/strip/x"), FORBIDDEN)
    same(ask(door, host, "/v1/x", X_Version="beta"), (200, "one prod /v1/x x"), "a mapping, in mappings only")
    mode("ROUTING_RULE_THEN_BASE_PATH_MAPPING")
    admin = {"X_Version": "beta", "X_User": "admin"}
    until("rules again", lambda: ask(door, host, "/x", **admin), (200, "two beta /x x"))
    V2.delete_routing_rule(DomainName=host, RoutingRuleId=first)
    until("one rule less", lambda: ask(door, host, "/x", **admin), (200, "two prod /x x"))
    print(f"ok {door}: routing rules")


def default_endpoint(door):
    """rest-data-plane 1.1: off with the next deployment, and custom domains do not mind."""
    api = make(door, "hidden")
    stage(api, "prod")
    host, own = f"{door.lower()}.hidden.example", f"{api}.{ARGS.host_suffix}"
    domain(host, door)
    maps(host, "", api, "prod")
    until("the domain", lambda: ask(door, host, "/x"), (200, "hidden prod /x x"))
    same(ask(door, own, "/prod/x"), (200, "hidden prod /prod/x x"), "the default endpoint")
    V1.update_rest_api(restApiId=api, patchOperations=[
        {"op": "replace", "path": "/disableExecuteApiEndpoint", "value": "true"}])
    V1.create_deployment(restApiId=api, stageName="prod")
    until("the default endpoint is off", lambda: ask(door, own, "/prod/x"), FORBIDDEN)
    same(ask(door, host, "/x"), (200, "hidden prod /x x"), "the domain, with the default endpoint off")
    same(ask(door, own, "/ping"), (200, "healthy"), "health")
    print(f"ok {door}: the default endpoint is off")


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def logs(door, node):
    """rest-data-plane 7.13, 11.2, 11.3: what is written of a call, and by which node."""
    api = make(door, "logged", uri=f"http://127.0.0.1:{closed_port()}/")
    names = ("requestId", "status", "integration.status", "integration.error", "integrationErrorMessage",
             "error.responseType", "customDomain.basePathMatched", "customDomain.routingRuleIdMatched")
    format_ = "|".join(f"$context.{name}" for name in names)
    stage(api, "prod", cacheClusterEnabled=True, cacheClusterSize="0.5")
    arn = f"arn:aws:logs:eu-central-1:123456789012:log-group:names-{door}"
    V1.update_stage(restApiId=api, stageName="prod", patchOperations=[
        {"op": "replace", "path": path, "value": value} for path, value in [
            ("/accessLogSettings/destinationArn", arn), ("/accessLogSettings/format", format_),
            ("/*/*/logging/loglevel", "INFO"), ("/*/*/logging/dataTrace", "true"), ("/*/*/caching/enabled", "true"),
            ("/~1down/GET/logging/loglevel", "ERROR"), ("/~1down/GET/logging/dataTrace", "false")]])
    host = f"{door.lower()}.logged.example"
    domain(host, door)
    maps(host, "v1", api, "prod")
    until("the stage", lambda: ask(door, host, "/v1/warm")[0], 200)
    execution, access = f"execution-{api}-prod.log", f"access-names-{door}.log"

    def call(path, **headers):
        request = f"{time.time_ns() % 10**12:012x}"[-12:]
        request = f"00000000-0000-4000-8000-{request}"
        answer = ask(door, host, path, x_amzn_requestid=request, **headers)
        return request, answer

    # Asked of the integration: by the region, whichever the door.
    missed, answer = call("/v1/traced", Authorization="secret-that-nobody-reads", X_Forge="a")
    same(answer, (200, "logged prod /v1/traced traced"), "a miss")
    written = [line.removeprefix(f"({missed}) ") for line in lines_of("region", execution, f"({missed}) ")]
    same(written[1], f"Starting execution for request: {missed}", "the first lines")
    same(written[2], "HTTP Method: GET, Resource Path: /v1/traced", "the first lines")
    same(written[-2:], ["Successfully completed execution", "Method completed with status: 200"], "the last lines")
    assert any(line.startswith("Method request headers: {") and "Authorization=***" in line for line in written), written
    assert "secret-that" not in "".join(written), written
    assert "Method response body after transformations: logged prod /v1/traced traced" in written, written
    # Answered by the door's own cache: by the node of that door.
    hit, answer = call("/v1/traced")
    same(answer, (200, "logged prod /v1/traced traced"), "a hit")
    written = lines_of(node, execution, f"({hit}) ")
    assert any("Answered from the cache" in line for line in written), written
    # A call that fails, where only such are written.
    failed, answer = call("/v1/down")
    same(answer[0] >= 500, True, "a backend that is not there")
    written = [line.removeprefix(f"({failed}) ") for line in lines_of("region", execution, f"({failed}) ")]
    same(written[-1], f"Method completed with status: {answer[0]}", "the last line")
    assert written[-2].startswith("Execution failed due to"), written
    assert not any("headers: {" in line and "request headers" in line for line in written), written
    reason = written[-2]

    [line] = lines_of(node, access, missed)
    same(line.split("|")[1:], ["200", "200", "-", "-", "-", "v1", "-"], "the access log of a miss")
    [line] = lines_of(node, access, failed)
    fields = line.split("|")[1:]
    same(fields[0], str(answer[0]), "status")
    same(fields[1:4], ["-", reason, reason], "the access log of a failure")
    same(fields[5:], ["v1", "-"], "the domain")
    V1.update_stage(restApiId=api, stageName="prod", patchOperations=[
        {"op": "replace", "path": "/*/*/logging/loglevel", "value": "OFF"},
        {"op": "replace", "path": "/~1down/GET/logging/loglevel", "value": "OFF"}])
    # Once the change is there, a call leaves no line; a later one would come after it in the same file.
    time.sleep(1)
    quiet, _ = call("/v1/traced")
    lines_of(node, access, quiet)
    time.sleep(0.5)
    for place in ("region", node):
        path = DATA / place / execution
        assert quiet not in (path.read_text() if path.exists() else ""), "OFF"
    print(f"ok {door}: execution logs and access logs")


for DOOR, NODE in (("EDGE", "edge-a"), ("REGIONAL", "region")):
    ONE, TWO = versions(DOOR)
    wildcard(DOOR, ONE)
    rules(DOOR, ONE, TWO)
    default_endpoint(DOOR)
    logs(DOOR, NODE)
