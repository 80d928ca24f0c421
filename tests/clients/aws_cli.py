#!/usr/bin/env python3
"""The aws CLI builds, deploys, changes and removes a pet store, as AWS's own tutorial does.

usage: aws_cli.py --admin URL --edge URL --host-suffix TEXT --ca PEM --backend URL

Walks "Tutorial: Create a REST API using AWS SDKs or the AWS CLI" of the API Gateway Developer Guide with the
real `aws` program: every answer is one it parsed. Credentials come from the environment. Prints a line per step
and ends with 1 at the first thing that is not as it should be.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time


def parse():
    parser = argparse.ArgumentParser()
    for name in ("admin", "edge", "host-suffix", "ca", "backend"):
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_args()


ARGS = parse()
AWS = os.environ.get("AWS_CLI") or shutil.which("aws") or "aws"
SERVED_WITHIN = 20  # seconds from create-deployment to the edge; far more than it takes


def step(text):
    print("ok", text, flush=True)


def aws(*words, fails=None):
    """Runs `aws apigateway …` and returns its JSON; `fails` is what its complaint must hold."""
    command = [AWS, "--endpoint-url", ARGS.admin, "--output", "json", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if fails:
        assert done.returncode != 0 and fails in done.stderr, f"{words}: {done.stdout}{done.stderr}"
        return None
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else {}


def rest(*words, **named):
    return aws("apigateway", *words, **named)


def get(api, path, stage="test"):
    """What a client gets through the edge: status and body."""
    host = f"{api}.{ARGS.host_suffix}"
    port = ARGS.edge.rsplit(":", 1)[1]
    command = ["curl", "-s", "--cacert", ARGS.ca, "--connect-to", f"::127.0.0.1:{port}",
               "-w", "\n%{http_code}", f"https://{host}:{port}/{stage}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), body


def until(what, check):
    """Waits for something that is brought about by a push to the edge."""
    end = time.monotonic() + SERVED_WITHIN
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, what
        time.sleep(0.05)


def main():
    api = rest("create-rest-api", "--name", "PetStore", "--description", "pets")["id"]
    found = rest("get-rest-api", "--rest-api-id", api)
    assert found["name"] == "PetStore" and found["apiKeySource"] == "HEADER", found
    root = rest("get-resources", "--rest-api-id", api)["items"][0]["id"]
    assert root == found["rootResourceId"]
    step("create-rest-api, get-resources")

    pets = rest("create-resource", "--rest-api-id", api, "--parent-id", root, "--path-part", "pets")["id"]
    pet = rest("create-resource", "--rest-api-id", api, "--parent-id", pets, "--path-part", "{petId}")
    assert pet["path"] == "/pets/{petId}", pet
    pet = pet["id"]
    rest("create-resource", "--rest-api-id", api, "--parent-id", root, "--path-part", "pets",
         fails="Another resource with the same parent already has this name: pets")
    step("create-resource")

    for resource, parameters in ((pets, None), (pet, "method.request.path.petId=true")):
        extra = ["--request-parameters", parameters] if parameters else []
        rest("put-method", "--rest-api-id", api, "--resource-id", resource, "--http-method", "GET",
             "--authorization-type", "NONE", *extra)
        rest("put-method-response", "--rest-api-id", api, "--resource-id", resource, "--http-method", "GET",
             "--status-code", "200")
    rest("put-integration", "--rest-api-id", api, "--resource-id", pets, "--http-method", "GET", "--type", "HTTP",
         "--integration-http-method", "GET", "--uri", f"{ARGS.backend}/pets")
    rest("put-integration", "--rest-api-id", api, "--resource-id", pet, "--http-method", "GET", "--type", "HTTP",
         "--integration-http-method", "GET", "--uri", f"{ARGS.backend}/pets/{{id}}",
         "--request-parameters", '{"integration.request.path.id":"method.request.path.petId"}')
    for resource in (pets, pet):
        rest("put-integration-response", "--rest-api-id", api, "--resource-id", resource, "--http-method", "GET",
             "--status-code", "200", "--selection-pattern", "")
    method = rest("get-method", "--rest-api-id", api, "--resource-id", pet, "--http-method", "GET")
    assert method["methodIntegration"]["timeoutInMillis"] == 29000, method
    step("put-method, put-integration and their responses")

    tried = rest("test-invoke-method", "--rest-api-id", api, "--resource-id", pet, "--http-method", "GET",
                 "--path-with-query-string", "/pets/1")
    assert tried["status"] == 200 and "Method completed with status: 200" in tried["log"], tried
    step("test-invoke-method, before any deployment")

    first = rest("create-deployment", "--rest-api-id", api, "--stage-name", "test")["id"]
    status, body = until("the edge serves the new stage",
                         lambda: (found := get(api, "/pets/1"))[0] == 200 and found)
    assert json.loads(body)["id"] == 1, body
    assert get(api, "/nothing")[0] == 403
    step("create-deployment; the edge answers")

    rest("update-stage", "--rest-api-id", api, "--stage-name", "test", "--patch-operations",
         "op=replace,path=/cacheClusterEnabled,value=true", "op=replace,path=/cacheClusterSize,value=0.5",
         # A setting for all methods that leaves `enabled` out switches caching off.
         "op=replace,path=/*/*/caching/ttlInSeconds,value=60", "op=replace,path=/*/*/caching/enabled,value=true")
    until("answers come from the cache", lambda: hit(api, "/pets/2"))
    rest("flush-stage-cache", "--rest-api-id", api, "--stage-name", "test")
    assert not hit(api, "/pets/2"), "the flush left the answer at the edge"
    step("update-stage and flush-stage-cache reach the edge")

    rest("delete-method", "--rest-api-id", api, "--resource-id", pets, "--http-method", "GET")
    second = rest("create-deployment", "--rest-api-id", api, "--stage-name", "test")["id"]
    until("the second deployment is served", lambda: get(api, "/pets")[0] == 403)
    rest("update-stage", "--rest-api-id", api, "--stage-name", "test", "--patch-operations",
         f"op=replace,path=/deploymentId,value={first}")
    until("the first deployment is served again", lambda: get(api, "/pets")[0] == 200)
    rest("delete-deployment", "--rest-api-id", api, "--deployment-id", first,
         fails="Active stages pointing to this deployment must be moved or deleted")
    rest("delete-deployment", "--rest-api-id", api, "--deployment-id", second)
    step("a roll-back is one call")

    exported = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"tidegate-export-{os.getpid()}.json")
    rest("get-export", "--rest-api-id", api, "--stage-name", "test", "--export-type", "oas30",
         "--parameters", "extensions=apigateway", exported)
    copy = rest("import-rest-api", "--body", f"fileb://{exported}")["id"]
    os.remove(exported)
    paths = sorted(item["path"] for item in rest("get-resources", "--rest-api-id", copy)["items"])
    assert paths == ["/", "/pets", "/pets/{petId}"], paths
    rest("delete-rest-api", "--rest-api-id", copy)
    step("get-export, import-rest-api")

    key = rest("create-api-key", "--name", "mobile", "--enabled")
    plan = rest("create-usage-plan", "--name", "basic", "--api-stages", f"apiId={api},stage=test",
                "--throttle", "burstLimit=5,rateLimit=10")
    rest("create-usage-plan-key", "--usage-plan-id", plan["id"], "--key-id", key["id"], "--key-type", "API_KEY")
    shown = rest("get-api-keys", "--include-values")["items"]
    assert [k["value"] for k in shown if k["id"] == key["id"]] == [key["value"]]
    rest("update-usage-plan", "--usage-plan-id", plan["id"], "--patch-operations",
         f"op=remove,path=/apiStages,value={api}:test")
    rest("delete-usage-plan", "--usage-plan-id", plan["id"])
    rest("delete-api-key", "--api-key", key["id"])
    step("api keys and usage plans")

    arn = f"arn:aws:apigateway:{REGION}::/restapis/{api}"
    rest("tag-resource", "--resource-arn", arn, "--tags", "team=pets")
    assert rest("get-tags", "--resource-arn", arn)["tags"] == {"team": "pets"}
    step("tags")

    http = aws("apigatewayv2", "create-api", "--name", "quick", "--protocol-type", "HTTP",
               "--target", "https://example.com")
    assert http["CreatedDate"].startswith("20"), http
    routes = aws("apigatewayv2", "get-routes", "--api-id", http["ApiId"])["Items"]
    assert routes[0]["RouteKey"] == "$default", routes
    aws("apigatewayv2", "delete-api", "--api-id", http["ApiId"])
    step("apigatewayv2: quick create")

    rest("delete-rest-api", "--rest-api-id", api)
    rest("get-rest-api", "--rest-api-id", api, fails="Invalid API identifier specified")
    until("the deleted API is not served", lambda: get(api, "/pets/1")[0] == 403)
    step("delete-rest-api")


def hit(api, path):
    """Whether a call is answered by the edge's cache."""
    host = f"{api}.{ARGS.host_suffix}"
    port = ARGS.edge.rsplit(":", 1)[1]
    done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-D", "-", "--cacert", ARGS.ca, "--connect-to",
                           f"::127.0.0.1:{port}", f"https://{host}:{port}/test{path}"],
                          capture_output=True, text=True, timeout=60)
    return "hit from" in done.stdout.lower()


REGION = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")

if __name__ == "__main__":
    try:
        main()
    except AssertionError as wrong:
        print("FAILED", wrong, flush=True)
        sys.exit(1)
