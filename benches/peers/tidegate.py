"""Tidegate: a region that serves its clients itself, one process, HTTPS only (see README.md of the harness for the contract).

Access log and metrics are on, as shipped; TIDEGATE_BENCH_LOG=off switches the access log off. The contract's plain port exists
only for the harness's readiness probe: it answers once and closes, so that a plain case fails instead of measuring something else.
"""
import json, os, socket, threading
import harness as h

WORKLOADS = {"W1", "W2", "W3", "W5", "W6", "W10"}
TLS, H2, H3 = True, True, True
NOTE = "HTTPS only: run without the cases named *-plain; one stage, REGIONAL, no edges"
HERE = os.path.dirname(os.path.abspath(__file__))


def available():
    return h.which(os.environ.get("TIDEGATE_BIN"), os.path.join(HERE, "../../target/release/tidegate"), "tidegate")


def version():
    import subprocess
    return subprocess.run([available(), "--version"], stdout=subprocess.PIPE, text=True).stdout.strip().split()[-1]


def _proxy(origin, path, ttl=False):
    integration = {"type": "http_proxy", "httpMethod": "ANY", "uri": f"http://{origin}/{path}/{{proxy}}", "timeoutInMillis": 29000,
                   "requestParameters": {"integration.request.path.proxy": "method.request.path.proxy"}}
    if ttl:
        integration["cacheKeyParameters"] = ["method.request.path.proxy"]
    return {"parameters": [{"name": "proxy", "in": "path", "required": True, "schema": {"type": "string"}}],
            "responses": {}, "x-amazon-apigateway-integration": integration}


def _constant():
    return {"responses": {"200": {"description": "ok"}}, "x-amazon-apigateway-integration": {
        "type": "mock", "requestTemplates": {"application/json": '{"statusCode": 200}'},
        "responses": {"default": {"statusCode": "200"}}}}


def _api(c):
    paths = {"/c/{proxy+}": {"get": _proxy(c.origin, "c", True)}}
    for path in ("p", "d"):
        paths[f"/{path}/{{proxy+}}"] = {"x-amazon-apigateway-any-method": _proxy(c.origin, path)}
    for i in range(c.opts.get("routes", 0)):
        paths[f"/r/{i}/{{id}}"] = {"get": _constant()}
    if c.opts.get("ratelimit"):
        paths["/l/{proxy+}"] = {"get": _constant()}
    return {"openapi": "3.0.1", "info": {"title": "bench", "version": "1"}, "paths": paths}


def _answer_once(port):
    """The harness wants one plain answer before it calls a peer ready."""
    door = socket.create_server(("127.0.0.1", port))

    def serve():
        try:
            door.settimeout(30)
            client, _ = door.accept()
            door.close()
            with client:
                client.settimeout(3)
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        except OSError:
            door.close()
    threading.Thread(target=serve, daemon=True).start()


def start(c):
    o = c.opts
    c.write("api.json", json.dumps(_api(c)))
    log = "" if os.environ.get("TIDEGATE_BENCH_LOG") == "off" else 'access_log = { format = "CLF", destination = "access.log" }'
    topology = f"""
[cluster]
name = "bench"
[region]
name = "region"
cache = {{ memory_bytes = {o.get("cache_mem", 256 << 20)}, disk_bytes = {o.get("cache_disk", 0)} }}
listeners = {{ public = "127.0.0.1:{c.tls}", admin = "127.0.0.1:{c.aux}", gossip = "127.0.0.1:{c.aux + 1}" }}
[[certificate]]
names = ["localhost"]
cert = {json.dumps(c.cert)}
key = {json.dumps(c.key)}
[[api]]
document = "api.json"
name = "bench"
stage = "prod"
endpoint_type = "REGIONAL"
domains = ["localhost", "127.0.0.1"]
cache = {{ enabled = true, ttl_seconds = 3600 }}
{log}
[limits]
connections_per_address = 1000000
handshakes_per_address_per_second = 1000000
streams_per_connection = 256
[timeouts]
idle = "600s"
[workers]
count = {o.get("workers", 1)}
"""
    _answer_once(c.plain)
    c.spawn([available(), "up", "--topology", c.write("topology.toml", topology), "--data", os.path.join(c.dir, "data")])
