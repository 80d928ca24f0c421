#!/usr/bin/env python3
"""boto3 against a running region: pages, keys, users and policies.

usage: boto3_calls.py --admin URL --tidegate PROGRAM --topology FILE --data FOLDER

Credentials of an administrator come from the environment. `tidegate iam` is run beside the region, whose store it
changes; the region has to follow. Prints a line per step and ends with 1 at the first thing that is not so.
"""
import argparse
import re
import subprocess
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

parser = argparse.ArgumentParser()
for name in ("admin", "tidegate", "topology", "data"):
    parser.add_argument(f"--{name}", required=True)
ARGS = parser.parse_args()
APIS = 60  # more than the two pages of 25 that AWS gives by default
FOLLOWS_WITHIN = 2.0  # seconds; the command line promises one, the rest is for a busy machine
ONCE = Config(retries={"total_max_attempts": 1})


def client(service="apigateway", **keys):
    return boto3.Session(**keys).client(service, endpoint_url=ARGS.admin, config=ONCE)


def code(call, **named):
    """The error's code and status; `("ok", 200)` when there is none."""
    try:
        call(**named)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    return "ok", 200


def same(found, wanted, where):
    assert found == wanted, f"{where}: {found!r} instead of {wanted!r}"


def pages(admin):
    made = {admin.create_rest_api(name=f"many-{i}")["id"] for i in range(APIS)}
    same(len(made), APIS, "ids")
    everything = {api["id"] for page in admin.get_paginator("get_rest_apis").paginate() for api in page["items"]}
    assert made <= everything, "an API is on no page"
    for size in (1, 7, 25, 500):
        found, lengths = [], []
        for page in admin.get_paginator("get_rest_apis").paginate(PaginationConfig={"PageSize": size}):
            found += [api["id"] for api in page["items"]]
            lengths.append(len(page["items"]))
        same(len(found), len(set(found)), f"an API twice in pages of {size}")
        same(set(found), everything, f"pages of {size}")
        assert all(length == size for length in lengths[:-1]) and lengths[-1] <= size, lengths
    # Stopped in the middle and resumed, as a program does that keeps the token.
    pager = admin.get_paginator("get_rest_apis")
    first = pager.paginate(PaginationConfig={"MaxItems": 31, "PageSize": 10}).build_full_result()
    rest = pager.paginate(PaginationConfig={"PageSize": 10, "StartingToken": first["NextToken"]}).build_full_result()
    both = [api["id"] for api in first["items"] + rest["items"]]
    same((len(both), set(both)), (len(everything), everything), "resumed pages")
    for api in made:
        admin.delete_rest_api(restApiId=api)
    left = {api["id"] for page in admin.get_paginator("get_rest_apis").paginate() for api in page["items"]}
    same(left, everything - made, "what is left")


def http_pages():
    """apigatewayv2's pages are asked for by token only."""
    v2 = client("apigatewayv2")
    made = {v2.create_api(Name=f"many-{i}", ProtocolType="HTTP")["ApiId"] for i in range(7)}
    found = [api["ApiId"] for page in v2.get_paginator("get_apis").paginate(PaginationConfig={"PageSize": 3})
             for api in page["Items"]]
    same(len(found), len(set(found)), "an API twice")
    assert made <= set(found), "an API is on no page"
    for api in made:
        v2.delete_api(ApiId=api)


def wrong_keys():
    unknown = client(aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x" * 40)
    same(code(unknown.get_rest_apis), ("UnrecognizedClientException", 403), "unknown key")
    own = boto3.Session().get_credentials()
    wrong = client(aws_access_key_id=own.access_key, aws_secret_access_key="x" * 40)
    same(code(wrong.get_rest_apis), ("InvalidSignatureException", 403), "wrong secret")
    same(code(wrong.create_rest_api, name="nobody's"), ("InvalidSignatureException", 403), "wrong secret, a body")
    elsewhere = client(region_name="mars-north-1")
    status = code(elsewhere.get_rest_apis)[1]
    same(status, 403, "a signature for another region")


def iam(*words):
    done = subprocess.run([ARGS.tidegate, "iam", *words, "--topology", ARGS.topology, "--data", ARGS.data],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def new_key(user):
    said = iam("create-key", user)
    found = dict(re.findall(r"(AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY)=(\S+)", said))
    return {"aws_access_key_id": found["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": found["AWS_SECRET_ACCESS_KEY"]}


def becomes(wanted, where, call, **named):
    """Waits until a call is answered so; the clock runs from the end of the command that brings it about."""
    end = time.monotonic() + FOLLOWS_WITHIN
    while True:
        # A call is judged by when it was sent.
        late = time.monotonic() > end
        found = code(call, **named)
        if found == wanted:
            return
        assert not late, f"{where}: still {found!r} instead of {wanted!r} after {FOLLOWS_WITHIN} s"
        time.sleep(0.05)


def users():
    denied, ok = ("AccessDeniedException", 403), ("ok", 200)
    iam("create-user", "reader")
    key = new_key("reader")
    reader = client(**key)
    becomes(denied, "a user without a policy", reader.get_rest_apis)
    same(client("sts", **key).get_caller_identity()["Arn"].rpartition("/")[2], "reader", "who it is")
    iam("attach-policy", "reader", "--policy", "ReadOnlyAccess")
    becomes(ok, "ReadOnlyAccess", reader.get_rest_apis)
    same(code(reader.create_rest_api, name="no"), denied, "a reader creates")
    api = client().create_rest_api(name="guarded")["id"]
    same(code(reader.get_rest_api, restApiId=api), ok, "a reader reads")
    same(code(reader.delete_rest_api, restApiId=api), denied, "a reader deletes")
    patch = [{"op": "replace", "path": "/name", "value": "mine"}]
    same(code(reader.update_rest_api, restApiId=api, patchOperations=patch), denied, "a reader updates")
    iam("attach-policy", "reader", "--policy", "AdministratorAccess")
    becomes(ok, "AdministratorAccess", reader.update_rest_api, restApiId=api, patchOperations=patch)
    iam("detach-policy", "reader", "--policy", "AdministratorAccess")
    becomes(denied, "after detach-policy", reader.update_rest_api, restApiId=api, patchOperations=patch)
    iam("delete-key", key["aws_access_key_id"])
    becomes(("UnrecognizedClientException", 403), "after delete-key", reader.get_rest_apis)
    again = client(**new_key("reader"))
    becomes(ok, "a second key", again.get_rest_apis)
    iam("delete-user", "reader")
    becomes(("UnrecognizedClientException", 403), "after delete-user", again.get_rest_apis)
    same(client().get_rest_api(restApiId=api)["name"], "mine", "the name")
    client().delete_rest_api(restApiId=api)


def main():
    pages(client())
    print("ok pages of 60 APIs", flush=True)
    http_pages()
    print("ok pages of apigatewayv2", flush=True)
    wrong_keys()
    print("ok wrong keys", flush=True)
    users()
    print("ok users, keys and policies while the region runs", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, ClientError) as wrong:
        print("FAILED", wrong, flush=True)
        sys.exit(1)
