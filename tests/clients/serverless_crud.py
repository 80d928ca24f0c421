#!/usr/bin/env python3
"""topology/serverless-crud at its edge: items are made, listed, read, changed and deleted; moto plays DynamoDB.

usage: serverless_crud.py --admin URL --public PORT --services PORT --moto FOLDER
"""
import argparse
import json
import ssl
import urllib.error
import urllib.request

import boto3

from moto_server import moto

parser = argparse.ArgumentParser()
for name in ("admin", "public", "services", "moto"):
    parser.add_argument(f"--{name}", required=True)
ARGS = parser.parse_args()
REGION, ACCOUNT = "us-east-1", "123456789012"
TRUST = ssl.create_default_context()
TRUST.check_hostname, TRUST.verify_mode = False, ssl.CERT_NONE


def call(method, path, body=None, media_type="application/json"):
    """Status and body, as JSON where there is one."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"https://127.0.0.1:{ARGS.public}/_api/itemscrud1/prod{path}", data=data,
                                     method=method, headers={"Content-Type": media_type})
    try:
        with urllib.request.urlopen(request, context=TRUST, timeout=30) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    return status, json.loads(text) if text else None


def same(found, wanted, where):
    assert found == wanted, f"{where}: {found!r} instead of {wanted!r}"


def walk(table):
    gone = (404, {"message": "no such item"})
    same(call("GET", "/items"), (200, []), "no items")
    status, lamp = call("POST", "/items", {"name": "lamp", "price": 12.5})
    same((status, lamp["name"], lamp["price"]), (201, "lamp", 12.5), "a new item")
    path = f"/items/{lamp['id']}"
    row = table.get_item(TableName="items", Key={"id": {"S": lamp["id"]}})["Item"]
    same(json.loads(row["item"]["S"]), {"name": "lamp", "price": 12.5}, "its row in the table")
    same(call("GET", path), (200, lamp), "the item")
    status, desk = call("POST", "/items", {"name": "d\u00e9sk \"x\""})
    same((status, desk["name"]), (201, "d\u00e9sk \"x\""), "another item")
    status, items = call("GET", "/items")
    same((status, items), (200, sorted([lamp, desk], key=lambda item: item["id"])), "all items")
    changed = {"id": lamp["id"], "name": "torch"}
    same(call("PUT", path, {"name": "torch"}), (200, changed), "a changed item")
    same(call("GET", path), (200, changed), "the item as it is now")
    same(call("PUT", "/items/none", {"name": "torch"}), gone, "a change of what is not there")
    same(call("POST", "/items", {"price": 1}), (400, {"message": "Invalid request body"}), "an item without a name")
    # What does not call itself JSON is the function's to refuse.
    for body in (b"no JSON", b"[1]", b'{"price": 1}', b"\xff", b""):
        for method, to in (("POST", "/items"), ("PUT", path)):
            same(call(method, to, body, "text/plain"), (400, {"message": "no item"}), f"{method} of {body!r}")
    same(call("PUT", path, b'{"name": "torch"}', "text/plain"), (200, changed), "JSON by another name")
    same(call("DELETE", path), (204, None), "an item goes")
    same(call("GET", path), gone, "the item that is gone")
    same(call("GET", "/items"), (200, [desk]), "what is left")


with moto(ARGS.moto, ARGS.services, ACCOUNT, REGION):
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    dynamodb = boto3.Session(region_name=REGION, **keys).client("dynamodb",
                                                                endpoint_url=f"http://127.0.0.1:{ARGS.services}")
    dynamodb.create_table(TableName="items", BillingMode="PAY_PER_REQUEST",
                          KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                          AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
    walk(dynamodb)
    print("ok items")
