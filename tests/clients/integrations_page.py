#!/usr/bin/env python3
"""The page's examples of mocks, functions and services, asked as its readers would ask them; this script plays what stands behind.

usage: integrations_page.py --admin URL --public PORT --behind PORT
"""
import argparse
import http.server
import json
import ssl
import threading
import urllib.error
import urllib.request

parser = argparse.ArgumentParser()
for name in ("admin", "public", "behind"):
    parser.add_argument(f"--{name}", required=True)
ARGS = parser.parse_args()
SEEN = []


class Behind(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
        SEEN.append((self.path, dict(self.headers.items()), body))
        status, answer = 200, b""
        if "orders" in self.path:
            answer = json.dumps({"statusCode": 200, "body": "order " + body["pathParameters"]["id"]}).encode()
        elif "events" in self.path:
            # Without frames, as a stand-in may send it.
            answer = b'{"headers": {"Content-Type": "text/event-stream"}}' + bytes(8) + b"data: 1\n\n"
        elif "reports" in self.path:
            status = 202
        else:
            answer = json.dumps({"Item": {"id": {"S": "7"}, "name": {"S": "Rex"}}}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def call(path, body=None, method=None, content_type="application/json"):
    answer = whole(path, body, method, content_type)
    return answer.status, answer.read()


def whole(path, body, method, content_type):
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(f"https://127.0.0.1:{ARGS.public}/_api/{path}", data=body, method=method,
                                     headers={"Content-Type": content_type})
    try:
        return urllib.request.urlopen(request, context=trust, timeout=20)
    except urllib.error.HTTPError as error:
        return error


def same(found, wanted, where):
    assert found == wanted, f"{where}: {found!r} instead of {wanted!r}"


behind = http.server.ThreadingHTTPServer(("127.0.0.1", int(ARGS.behind)), Behind)
behind.daemon_threads = True
threading.Thread(target=behind.serve_forever, daemon=True).start()
same(call("mocks00001/prod/health"), (200, b'{"status": "ok", "stage": "prod"}'), "a mock")
same(call("mocks00001/prod/pets/7"), (200, b'{"id": 7, "name": "Rex"}'), "a mock's first answer")
same(call("mocks00001/prod/pets/8"), (404, b'{"message": "no such pet"}'), "a mock's other answer")
same(call("mocks00001/prod/health", content_type="text/xml")[0], 500, "a type without a template")
preflight = whole("mocks00001/prod/pets/7", None, "OPTIONS", "application/json")
same((preflight.status, preflight.headers["Access-Control-Allow-Origin"]), (204, "https://shop.example"), "a preflight")
same(call("functions1/prod/orders/7"), (200, b"order 7"), "a function as a proxy")
same(call("functions1/prod/events"), (200, b"data: 1\n\n"), "a function that streams")
same(call("functions1/prod/reports", b'{"a": 1}'), (202, b""), "a function that is not waited for")
same((SEEN[-1][1]["x-amz-invocation-type"], SEEN[-1][2]), ("Event", {"a": 1}), "its invocation")
same(call("services01/prod/pets/7"), (200, b'{"name": "Rex"}'), "a service")
path, headers, body = SEEN[-1]
same((path, headers["x-amz-target"]), ("/", "DynamoDB_20120810.GetItem"), "its action")
same(body, {"TableName": "pets", "Key": {"id": {"S": "7"}}}, "its request")
assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=test/"), headers
print("ok page")
