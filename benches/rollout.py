#!/usr/bin/env python3
"""How long after the control plane's answer does the last of five edges serve what was changed?

    python3 -m venv /tmp/v && /tmp/v/bin/pip install botocore==1.44.5
    /tmp/v/bin/python benches/rollout.py target/release/tidegate [CHANGES]

Starts a region and five edges on loopback, and lets `update-stage` move a stage between two deployments. `/one` is in
the first only and `/two` in the second only; while it is there an edge answers from its cache, and what a change took
away it answers 403: no question goes further than the edge. After the control plane's answer the edges are asked in
turn until each has refused once; the time to the last refusal is the figure. It includes the questions themselves (one
for each edge at least), whose price is printed beside: an upper bound. The edges share the machine and, as `tidegate
up` has it, one process.
"""
import http.client
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

import botocore.session

EDGES = 5
BASE = 31_900  # of the ports; below those the kernel gives to outgoing connections
WARM_UP = 10
PATIENCE = 30  # seconds for a single change
TOPOLOGY = """[cluster]
name = "rollout"
[region]
name = "region"
cache = { memory_bytes = "16MiB", disk_bytes = 0 }
[log]
filter = "warn"
[[api]]
document = "bundled:petstore"
name = "petstore"
""" + "".join(f'[[edge]]\nname = "edge-{i}"\ncache = {{ memory_bytes = "16MiB", disk_bytes = 0 }}\n'
              for i in range(EDGES))


def main():
    program, changes = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "t.toml"), "w", encoding="utf-8") as file:
            file.write(TOPOLOGY)
        command = [program, "up", "--topology", "t.toml", "--data", "data", "--port-base", str(BASE), "--open-admin"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as node:
            try:
                said = ""
                while said.count("  curl ") < EDGES:
                    line = node.stdout.readline()
                    assert line, f"it did not start: {said}"
                    said += line
                measure(changes)
            finally:
                node.terminate()


def measure(changes):
    v1 = botocore.session.get_session().create_client(
        "apigateway", endpoint_url=f"http://127.0.0.1:{BASE}", region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test")
    pets = v1.get_rest_apis()["items"][0]["id"]
    pets = v1.get_stage(restApiId=pets, stageName="prod")["variables"]["petstore"]
    api = v1.create_rest_api(name="rollout", endpointConfiguration={"types": ["EDGE"]})
    api, root = api["id"], api["rootResourceId"]
    deployments = []
    for part in ("one", "two"):
        resource = v1.create_resource(restApiId=api, parentId=root, pathPart=part)["id"]
        at = {"restApiId": api, "resourceId": resource, "httpMethod": "GET"}
        v1.put_method(**at, authorizationType="NONE")
        v1.put_integration(**at, type="HTTP_PROXY", integrationHttpMethod="GET", uri=f"http://{pets}/pets/1")
        named = {"stageName": "live"} if part == "one" else {}
        deployments.append(v1.create_deployment(restApiId=api, **named)["id"])
        v1.delete_resource(restApiId=api, resourceId=resource)
    v1.update_stage(restApiId=api, stageName="live", patchOperations=[
        {"op": "replace", "path": f"/{path}", "value": value} for path, value in (
            ("cacheClusterEnabled", "true"), ("cacheClusterSize", "0.5"), ("*/*/caching/enabled", "true"),
            ("*/*/caching/ttlInSeconds", "3600"))])
    edges = [Edge(api, BASE + 10 * (i + 1)) for i in range(EDGES)]
    await_all(edges, "/two")

    figures, answers, questions = [], [], []
    for change in range(WARM_UP + changes):
        to = (change + 1) % 2
        began = time.perf_counter()
        v1.update_stage(restApiId=api, stageName="live", patchOperations=[
            {"op": "replace", "path": "/deploymentId", "value": deployments[to]}])
        answered = time.perf_counter()
        await_all(edges, "/two" if to == 0 else "/one")
        served = time.perf_counter()
        for edge in edges:
            assert edge.refuses("/two" if to == 0 else "/one"), "an edge went back"
        asked = time.perf_counter()
        for edge in edges:
            # Into the cache, before the next change takes it away.
            edge.refuses("/one" if to == 0 else "/two")
        if change >= WARM_UP:
            figures.append(served - answered)
            answers.append(answered - began)
            questions.append(asked - served)
    for name, values in (("from the answer to the last edge", figures), ("update-stage itself", answers),
                         (f"of it {EDGES} questions, at least", questions)):
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        print(f"{name}: p50 {cuts[49] * 1e3:.1f} ms, p99 {cuts[98] * 1e3:.1f} ms, max {max(values) * 1e3:.1f} ms"
              f" ({len(values)} changes)")


def await_all(edges, path):
    end = time.monotonic() + PATIENCE
    for edge in edges:
        while not edge.refuses(path):
            assert time.monotonic() < end, f"{edge.port} does not serve the change"


class Edge:
    """A kept connection to an edge."""

    def __init__(self, api, port):
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        self.api, self.port = api, port
        self.connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting, timeout=PATIENCE)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def refuses(self, path):
        self.connection.request("GET", f"/_api/{self.api}/live{path}")
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status in (200, 403), f"{answer.status} {body}"
        return answer.status == 403


if __name__ == "__main__":
    main()
