"""botocore against Tidegate's protocol: every operation of both service models, there and back.

For each operation this draws valid parameters from botocore's own model, tells the server what to
answer, makes the call with a real client, and compares what the server has read and what botocore has
parsed with what was meant. Standard input and output are the line to the server's test: one JSON
document per line, question and answer.

    roundtrip.py ENDPOINT SEED ROUNDS

What both sides should see is computed here from botocore's model and not with the server's code.
"""
import base64
import datetime
import io
import json
import random
import re
import string
import sys

import botocore.config
import botocore.handlers
import botocore.session

ENDPOINT, SEED, ROUNDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
DICE = random.Random(SEED)
# Whatever may go wrong on the way: encodings, separators, text beyond ASCII and beyond 16 bits.
ALPHABET = string.ascii_letters + string.digits + " /%+&=?#;:@!$'()*,[]{}|\\\"<>^`~-_.äß語😀\t\n\x7f"


def ask(question):
    print(json.dumps(question), flush=True)
    return json.loads(sys.stdin.readline())


def text(shape, enum=None):
    enum = enum or getattr(shape, "enum", None)
    if enum:
        return DICE.choice(enum)
    low = shape.metadata.get("min", 0)
    high = min(shape.metadata.get("max", 12), low + 12)
    length = DICE.randint(low, high)
    if shape.metadata.get("pattern"):
        pattern = shape.metadata["pattern"]
        found = "".join(DICE.choice(string.ascii_lowercase) for _ in range(max(length, 1)))
        if not re.fullmatch(pattern, found):
            found = DICE.choice(["200", "404", "599"])
        assert re.fullmatch(pattern, found), pattern
        return found
    return "".join(DICE.choice(ALPHABET) for _ in range(length))


def value(shape, required=False):
    """A value of the shape, as botocore's callers have it."""
    kind = shape.type_name
    if kind == "structure":
        return {
            name: value(member)
            for name, member in shape.members.items()
            if name in shape.required_members or DICE.random() < 0.7
        }
    if kind == "list":
        return [value(shape.member) for _ in range(DICE.randint(1 if required else 0, 3))]
    if kind == "map":
        return {text(shape.key) + str(at): value(shape.value) for at in range(DICE.randint(0, 3))}
    if kind == "string":
        return text(shape)
    if kind in ("integer", "long"):
        low = shape.metadata.get("min", -(2**31))
        return DICE.randint(low, shape.metadata.get("max", 2**31 - 1))
    if kind == "double":
        return DICE.choice([0.0, 10.0, -0.5, 1e-7, 12345.678])
    if kind == "boolean":
        return DICE.random() < 0.5
    if kind == "blob":
        return DICE.randbytes(DICE.randint(0, 300))
    if kind == "timestamp":
        seconds = DICE.randint(0, 2**32)
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    raise AssertionError(kind)


def member_value(shape, name, member):
    """A member of an input, which may travel in the address."""
    location = member.serialization.get("location")
    if location == "uri":
        # A name of dots alone is not a name to any URL library.
        return text(member) if getattr(member, "enum", None) or member.metadata else "x" + text(member)
    if location == "querystring" and member.type_name == "map":
        return {"p." + text(member.key): text(member.value) for _ in range(DICE.randint(0, 3))}
    if location == "header":
        return DICE.choice(["application/yaml", "application/json"])
    return value(member, required=name in shape.required_members)


def wire(shape, given):
    """The value under the names that travel, dates as seconds: what handlers see and give."""
    kind = shape.type_name
    if kind == "structure":
        return {
            shape.members[name].serialization.get("name", name): wire(shape.members[name], inner)
            for name, inner in given.items()
        }
    if kind == "list":
        return [wire(shape.member, inner) for inner in given]
    if kind == "map":
        return {key: wire(shape.value, inner) for key, inner in given.items()}
    if kind == "timestamp":
        return int(given.timestamp())
    return given


def with_secrets(shape, given):
    """The wire form with a member that no model knows in each structure."""
    kind = shape.type_name
    if kind == "structure":
        by_wire = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        known = {name: with_secrets(by_wire[name], inner) for name, inner in given.items()}
        return {"tidegateSecret": {"deep": ["secret"]}, **known}
    if kind == "list":
        return [with_secrets(shape.member, inner) for inner in given]
    if kind == "map":
        return {key: with_secrets(shape.value, inner) for key, inner in given.items()}
    return given


def expected_input(shape, params):
    """What the server should have read."""
    seen = {"uri": {}, "query": {}, "parameters": {}, "body": {}, "payload": ""}
    payload = shape.serialization.get("payload")
    for name, given in params.items():
        member = shape.members[name]
        location = member.serialization.get("location")
        key = member.serialization.get("name", name)
        if name == payload:
            seen["payload"] = base64.b64encode(given).decode()
        elif location == "uri":
            seen["uri"][key] = given
        elif location == "querystring" and member.type_name == "map":
            seen["parameters"].update(given)
        elif location == "querystring":
            # An empty list is not in the address at all.
            if given != []:
                seen["query"][key] = given
        elif location != "header":
            seen["body"][key] = wire(member, given)
    return seen


def normal(parsed):
    """Dates without their time zone object, streams as bytes."""
    if isinstance(parsed, dict):
        return {key: normal(inner) for key, inner in parsed.items()}
    if isinstance(parsed, list):
        return [normal(inner) for inner in parsed]
    if isinstance(parsed, datetime.datetime):
        return int(parsed.timestamp())
    if hasattr(parsed, "read"):
        return parsed.read()
    return parsed


def same(what, operation, meant, got):
    if meant != got:
        raise SystemExit(f"seed {SEED}, {operation}: {what}\n  meant {meant!r}\n  got   {got!r}")


def method_of(client, operation):
    names = {api: name for name, api in client.meta.method_to_api_mapping.items()}
    return getattr(client, names[operation])


def round_trip(client, service, operation):
    model = client.meta.service_model.operation_model(operation)
    params, meant = {}, None
    if model.input_shape is not None:
        for name, member in model.input_shape.members.items():
            if name in model.input_shape.required_members or DICE.random() < 0.7:
                params[name] = member_value(model.input_shape, name, member)
        meant = expected_input(model.input_shape, params)
    output, script = {}, {"body": {}}
    shape = model.output_shape
    if shape is not None:
        payload = shape.serialization.get("payload")
        if payload:
            output = {payload: value(shape.members[payload])}
            script = {
                "payload": base64.b64encode(output[payload]).decode(),
                "content_type": "application/octet-stream",
                "disposition": 'attachment; filename="a.json"',
            }
            if "contentType" in shape.members:
                output["contentType"] = script["content_type"]
                output["contentDisposition"] = script["disposition"]
        else:
            output = value(shape)
            script = {"body": with_secrets(shape, wire(shape, output))}
    ask({"answer": script})
    got = method_of(client, operation)(**params)
    seen = ask({"seen": True})
    same("the operation found", operation, [service, operation], seen["operation"])
    if meant is not None:
        for part, there in meant.items():
            same(f"the {part} read", operation, there, seen["input"][part])
    if "accepts" in params:
        same("Accept", operation, params["accepts"], seen["input"]["accept"])
    about = got.pop("ResponseMetadata")
    same("the status", operation, model.http.get("responseCode", 200), about["HTTPStatusCode"])
    assert about["RequestId"], operation
    same("the answer parsed", operation, normal(output), normal(got))


def errors(client, service):
    """Every modelled error arrives as its own exception with its message."""
    operation = {"apigateway": "CreateRestApi", "apigatewayv2": "CreateApi"}[service]
    params = {"apigateway": {"name": "a"}, "apigatewayv2": {"Name": "a", "ProtocolType": "HTTP"}}[service]
    shapes = {
        shape.name: shape
        for name in client.meta.service_model.operation_names
        for shape in client.meta.service_model.operation_model(name).error_shapes
    }
    count = 0
    for name, shape in sorted(shapes.items()):
        ask({"answer": {"error": name, "message": f"Because of {name} ä"}})
        try:
            method_of(client, operation)(**params)
        except getattr(client.exceptions, name) as error:
            about = error.response
            same("the message", name, f"Because of {name} ä", about["Error"]["Message"])
            status = shape.metadata.get("error", {}).get("httpStatusCode")
            same("the status", name, status, about["ResponseMetadata"]["HTTPStatusCode"])
            if "retryAfterSeconds" in shape.members:
                same("Retry-After", name, "1", about["retryAfterSeconds"])
            count += 1
        else:
            raise SystemExit(f"{service}: no {name} was raised")
    return count


def large_file(client):
    """A file is sent after `100 Continue`, which botocore asks for with S3 and others may with us."""
    client.meta.events.register("before-call.apigateway.PutRestApi", botocore.handlers.add_expect_header)
    body = b"x" * (5 * 1024 * 1024)
    ask({"answer": {"body": {}}})
    client.put_rest_api(restApiId="a", body=io.BytesIO(body))
    seen = ask({"seen": True})
    same("the length of a file", "PutRestApi", len(body), len(base64.b64decode(seen["input"]["payload"])))
    assert seen["expected_continue"], "botocore did not wait for 100 Continue"


def main():
    session = botocore.session.Session()
    session.set_credentials("test", "test")
    config = botocore.config.Config(retries={"total_max_attempts": 1}, region_name="us-east-1")
    calls = exceptions = 0
    for service in ("apigateway", "apigatewayv2"):
        client = session.create_client(service, endpoint_url=ENDPOINT, config=config)
        for operation in client.meta.service_model.operation_names:
            for _ in range(ROUNDS):
                round_trip(client, service, operation)
                calls += 1
        exceptions += errors(client, service)
        if service == "apigateway":
            large_file(client)
    ask({"done": {"calls": calls, "exceptions": exceptions}})


main()
