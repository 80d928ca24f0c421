#!/usr/bin/env python3
"""What do reads of the control plane cost among 1,000 APIs and 10,000 resources?

    python3 benches/lists.py target/release/tidegate

Starts a region on loopback, fills it, and prints the process's CPU time (user and system, from /proc) and the wall time
per request over one connection. Nobody is asked for a signature, so none is verified.
"""
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time

PORT = 31_950
BIG, OF_EACH, SMALL = 40, 250, 960
WARM_UP = 20


class Region:
    def __init__(self, program, folder):
        topology = os.path.join(folder, "t.toml")
        with open(topology, "w") as file:
            file.write("[region]\n")
        command = [program, "up", "--topology", topology, "--data", os.path.join(folder, "data")]
        command += ["--port-base", str(PORT), "--open-admin"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert "ready" in self.process.stdout.readline(), "the region did not start"
        self.connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)

    def call(self, method, target, body=None):
        text = json.dumps(body) if body is not None else None
        self.connection.request(method, target, text, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        read = answer.read()
        assert answer.status < 300, (answer.status, read[:300])
        return json.loads(read)

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measure(self, name, target, count):
        for _ in range(WARM_UP):
            self.call("GET", target)
        cpu, wall = self.cpu(), time.perf_counter()
        for _ in range(count):
            self.call("GET", target)
        cpu, wall = self.cpu() - cpu, time.perf_counter() - wall
        print(f"{name}: {cpu / count * 1e3:.3f} ms CPU, {wall / count * 1e3:.2f} ms wall")


def main():
    with tempfile.TemporaryDirectory() as folder:
        region = Region(sys.argv[1], folder)
        try:
            began = time.monotonic()
            get = {"get": {"responses": {"200": {"description": "x"}}}}
            paths = {f"/r{number}": get for number in range(OF_EACH)}
            document = {"openapi": "3.0.1", "info": {"title": "big", "version": "1"}, "paths": paths}
            apis = [region.call("POST", "/restapis?mode=import", document)["id"] for _ in range(BIG)]
            for number in range(SMALL):
                region.call("POST", "/restapis", {"name": f"small-{number}"})
            print(f"{BIG + SMALL} APIs, {BIG * (OF_EACH + 1) + SMALL} resources made in {time.monotonic() - began:.1f} s")
            api = f"/restapis/{apis[0]}"
            resource = region.call("GET", f"{api}/resources?limit=5")["item"][2]["id"]
            region.measure("GetRestApi", api, 2_000)
            region.measure("GetResource", f"{api}/resources/{resource}", 2_000)
            region.measure("GetRestApis, 25", "/restapis?limit=25", 1_000)
            region.measure("GetRestApis, 500", "/restapis?limit=500", 300)
            region.measure("GetResources, 25", f"{api}/resources?limit=25", 1_000)
            region.measure("GetResources, 251", f"{api}/resources?limit=500", 300)
            region.measure("GetResources with methods, 251", f"{api}/resources?limit=500&embed=methods", 200)
        finally:
            region.process.terminate()
            region.process.wait()


main()
