#!/usr/bin/env python3
"""Response streaming of functions: this script plays Lambda and the client.

usage: lambda_stream.py --admin URL --public PORT --lambda PORT --region NAME --type EDGE|REGIONAL

The stand-in for Lambda sends a chunk and waits until the client says that it has it, before it sends the next one: what
is held back anywhere on the way ends in a time-out here. Prints a line per case and ends with 1 at the first thing that
is not so.
"""
import argparse
import http.client
import http.server
import json
import re
import ssl
import struct
import threading
import urllib.parse
import zlib

import boto3
from botocore.config import Config

parser = argparse.ArgumentParser()
for name in ("admin", "public", "lambda", "region", "type"):
    parser.add_argument(f"--{name}", required=True)
ARGS = parser.parse_args()
REGION = ARGS.region
NUL = bytes(8)
PATIENCE = 20  # seconds
HAS_CHUNK = threading.Semaphore(0)
SEEN = {}


def frame(event, payload=b""):
    headers = b""
    for key, value in ((":message-type", "event"), (":event-type", event),
                       (":content-type", "application/octet-stream")):
        headers += bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    message = prelude + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


HEAD = json.dumps({"statusCode": 201, "headers": {"Content-Type": "text/plain"}, "cookies": ["a=1"]}).encode()
# Chunks of a function's answer; `None` waits for the client.
FUNCTIONS = {
    "chunks": [HEAD + NUL + b"one ", None, b"two ", None, b"three"],
    "split": [HEAD[:5], HEAD[5:], NUL[:3], NUL[3:], b"body"],
    "plain": [b"no metadata"],
    "late": [b" " * (17 * 1024), NUL, b"body"],
    "fails": [HEAD + NUL + b"one", None, {"ErrorCode": "Unhandled", "ErrorDetails": "boom"}],
}


class Lambda(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        event = self.rfile.read(int(self.headers["Content-Length"]))
        path = re.fullmatch(r"/2021-11-15/functions/([^/]+)/response-streaming-invocations", self.path)
        name = urllib.parse.unquote(path.group(1)).split(":")[-1]
        SEEN[name] = json.loads(event)
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.amazon.eventstream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        end = {}
        for chunk in FUNCTIONS[name]:
            if chunk is None:
                assert HAS_CHUNK.acquire(timeout=PATIENCE), "the client has no chunk"
            elif isinstance(chunk, dict):
                end = chunk
            else:
                self.chunk(frame("PayloadChunk", chunk))
        self.chunk(frame("InvokeComplete", json.dumps(end).encode()))
        self.chunk(b"")

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


def same(found, wanted, where):
    assert found == wanted, f"{where}: {found!r} instead of {wanted!r}"


def api():
    admin = boto3.client("apigateway", endpoint_url=ARGS.admin, region_name=REGION,
                         config=Config(retries={"total_max_attempts": 1}))
    paths = {}
    for name in FUNCTIONS:
        arn = f"arn:aws:lambda:{REGION}:000000000000:function:{name}"
        uri = f"arn:aws:apigateway:{REGION}:lambda:path/2021-11-15/functions/{arn}/response-streaming-invocations"
        paths[f"/{name}"] = {"get": {"x-amazon-apigateway-integration": {
            "type": "aws_proxy", "httpMethod": "POST", "uri": uri, "responseTransferMode": "STREAM",
            "timeoutInMillis": 60000}}}
    definition = {"swagger": "2.0", "info": {"title": "streams", "version": "1"}, "paths": paths}
    made = admin.import_rest_api(body=json.dumps(definition).encode(),
                                 parameters={"endpointConfigurationTypes": ARGS.type})["id"]
    admin.create_deployment(restApiId=made, stageName="dev")
    return made


def ask(made, name):
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", int(ARGS.public), context=trust, timeout=PATIENCE)
    connection.request("GET", f"/dev/{name}", headers={"Host": f"{made}.execute-api.{REGION}.gateway.localhost"})
    return connection.getresponse()


def main():
    stand_in = http.server.ThreadingHTTPServer(("127.0.0.1", int(getattr(ARGS, "lambda"))), Lambda)
    stand_in.daemon_threads = True
    threading.Thread(target=stand_in.serve_forever, daemon=True).start()
    made = api()

    answer = ask(made, "chunks")
    same((answer.status, answer.getheader("Content-Type")), (201, "text/plain"), "the head")
    same((answer.getheader("Set-Cookie"), answer.getheader("Transfer-Encoding")), ("a=1", "chunked"), "the head")
    for expected in (b"one ", b"two ", b"three"):
        got = b""
        while len(got) < len(expected):
            got += answer.read1(len(expected) - len(got))
        same(got, expected, "a chunk")
        if expected != b"three":
            HAS_CHUNK.release()
    same(answer.read(), b"", "the end")
    same(SEEN["chunks"]["path"], "/chunks", "the event's path")
    print("ok chunks")

    answer = ask(made, "split")
    same((answer.status, answer.read()), (201, b"body"), "metadata in pieces")
    print("ok split")
    for name in ("plain", "late"):
        answer = ask(made, name)
        same((answer.status, json.loads(answer.read())), (500, {"message": "Internal server error"}), name)
        print(f"ok {name}")
    answer = ask(made, "fails")
    same((answer.status, answer.read1(3)), (201, b"one"), "the beginning of a stream that fails")
    HAS_CHUNK.release()
    try:
        answer.read()
    except (http.client.IncompleteRead, ConnectionError):
        print("ok fails")
    else:
        raise AssertionError("a stream that failed ended like one that did not")


main()
