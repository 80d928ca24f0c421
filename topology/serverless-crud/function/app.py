"""Items in a DynamoDB table: what one function answers to all methods of openapi.yaml.

It speaks DynamoDB's protocol over plain HTTP, so that it needs no package, and signs nothing: stand-ins for
DynamoDB do not check. For AWS's own put boto3 in this folder and in the place of `dynamodb`.
"""
import base64
import json
import os
import urllib.error
import urllib.request
import uuid

ENDPOINT, TABLE = os.environ["DYNAMODB_ENDPOINT"], os.environ["TABLE"]
UNSIGNED = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0"


class NotThere(Exception):
    pass


class NoItem(Exception):
    """Bodies that call themselves JSON are looked at by the gateway; all others come as they are."""


def dynamodb(action, **request):
    headers = {"X-Amz-Target": f"DynamoDB_20120810.{action}", "Content-Type": "application/x-amz-json-1.0",
               "Authorization": UNSIGNED}
    data = json.dumps(dict(request, TableName=TABLE)).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(ENDPOINT, data, headers), timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = error.read().decode()
        if "ConditionalCheckFailed" in said:
            raise NotThere from error
        raise RuntimeError(f"{action}: {error.code} {said}") from error


def answer(status, body=None):
    if body is None:
        return {"statusCode": status}
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}


def read(row):
    return dict(json.loads(row["item"]["S"]), id=row["id"]["S"])


def sent(event):
    """The body, where there is one."""
    body = event["body"]
    if body is None:
        return None
    try:
        item = json.loads(base64.b64decode(body) if event["isBase64Encoded"] else body)
    except ValueError as error:
        raise NoItem from error
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise NoItem
    return item


def keep(name, item, **conditions):
    if item is None:
        raise NoItem
    dynamodb("PutItem", Item={"id": {"S": name}, "item": {"S": json.dumps(item)}}, **conditions)
    return dict(item, id=name)


def list_items(_name, _item):
    rows, more = [], {}
    while more is not None:
        page = dynamodb("Scan", **more)
        rows += page["Items"]
        last = page.get("LastEvaluatedKey")
        more = {"ExclusiveStartKey": last} if last else None
    return answer(200, sorted(map(read, rows), key=lambda item: item["id"]))


def create(_name, item):
    return answer(201, keep(str(uuid.uuid4()), item))


def get(name, _item):
    found = dynamodb("GetItem", Key={"id": {"S": name}}, ConsistentRead=True)
    if "Item" not in found:
        raise NotThere
    return answer(200, read(found["Item"]))


def replace(name, item):
    return answer(200, keep(name, item, ConditionExpression="attribute_exists(id)"))


def delete(name, _item):
    dynamodb("DeleteItem", Key={"id": {"S": name}})
    return answer(204)


ROUTES = {("GET", "/items"): list_items, ("POST", "/items"): create, ("GET", "/items/{id}"): get,
          ("PUT", "/items/{id}"): replace, ("DELETE", "/items/{id}"): delete}


def handler(event, _context):
    route = ROUTES[event["httpMethod"], event["resource"]]
    name = (event["pathParameters"] or {}).get("id")
    try:
        item = sent(event) if event["httpMethod"] in ("POST", "PUT") else None
        return route(name, item)
    except NoItem:
        return answer(400, {"message": "no item"})
    except NotThere:
        return answer(404, {"message": "no such item"})
