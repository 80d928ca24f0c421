#!/usr/bin/env python3
"""boto3 puts a VPC link and a client certificate before an nginx that lets nobody else in.

usage: private_backends.py --admin URL --edge URL --host-suffix TEXT --ca PEM --nginx PROGRAM --balancer ARN
                           --listen ADDRESS --cert PEM --key PEM

nginx listens at ADDRESS with `ssl_verify_client on`; ARN is the load balancer that the topology puts before it. Its
certificate is for orders.internal. Walks "Set up a private integration" and "Generate and configure an SSL certificate
for backend authentication" of the API Gateway Developer Guide. Prints a line per step and ends with 1 at the first
thing that is not so.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

parser = argparse.ArgumentParser()
for name in ("admin", "edge", "host-suffix", "ca", "nginx", "balancer", "listen", "cert", "key"):
    parser.add_argument(f"--{name}", required=True)
ARGS = parser.parse_args()
SERVED_WITHIN = 20  # seconds from a change to the edge; far more than it takes
ONCE = Config(retries={"total_max_attempts": 1})
V1 = boto3.client("apigateway", endpoint_url=ARGS.admin, config=ONCE)
V2 = boto3.client("apigatewayv2", endpoint_url=ARGS.admin, config=ONCE)


def step(text):
    print("ok", text, flush=True)


def until(what, check):
    end = time.monotonic() + SERVED_WITHIN
    while not check():
        assert time.monotonic() < end, f"{what}: {check()}"
        time.sleep(0.05)


def curl(*words):
    """Status and body."""
    done = subprocess.run(["curl", "-s", "-w", "\n%{http_code}", *words], capture_output=True, text=True, timeout=60)
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), body


def get(api, path):
    """What a client gets through the edge."""
    host, port = f"{api}.{ARGS.host_suffix}", ARGS.edge.rsplit(":", 1)[1]
    return curl("--cacert", ARGS.ca, "--connect-to", f"::127.0.0.1:{port}", f"https://{host}:{port}/prod{path}")


class Nginx:
    """Lets in whoever shows one of the certificates it trusts."""

    def __init__(self, folder):
        self.folder = folder
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(f"{folder}/nginx.conf", "w", encoding="ascii") as file:
            file.write(
                f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
                "events { worker_connections 64; }\n"
                f"http {{ access_log off; {temporary} default_type text/plain;\n"
                f"server {{ listen {ARGS.listen} ssl; ssl_certificate {ARGS.cert}; ssl_certificate_key {ARGS.key};\n"
                f"ssl_client_certificate {folder}/trusted.pem; ssl_verify_client on;\n"
                "location / { return 200 \"$host $request_uri $ssl_client_verify $ssl_client_serial\"; } } }\n"
            )

    def trust(self, pem):
        with open(f"{self.folder}/trusted.pem", "w", encoding="ascii") as file:
            file.write(pem)

    def start(self):
        self.process = subprocess.Popen([ARGS.nginx, "-c", f"{self.folder}/nginx.conf"], stderr=subprocess.DEVNULL)
        until("nginx listens", lambda: curl("-k", f"https://{ARGS.listen}/")[0] == 400)

    def reload(self):
        subprocess.run([ARGS.nginx, "-c", f"{self.folder}/nginx.conf", "-s", "reload"], check=True, capture_output=True)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def api_behind(link):
    """An API with one method through the link, whose id a stage variable has; not deployed."""
    api = V1.create_rest_api(name="orders")["id"]
    root = V1.get_resources(restApiId=api)["items"][0]["id"]
    orders = V1.create_resource(restApiId=api, parentId=root, pathPart="orders")["id"]
    at = {"restApiId": api, "resourceId": orders, "httpMethod": "GET"}
    V1.put_method(**at, authorizationType="NONE")
    V1.put_integration(
        **at, type="HTTP_PROXY", integrationHttpMethod="GET", uri="https://orders.internal/v1/orders",
        connectionType="VPC_LINK", connectionId="${stageVariables.link}",
    )
    V1.create_deployment(restApiId=api, stageName="prod", variables={"link": link})
    return api, at


def set_stage(api, path, value):
    V1.update_stage(restApiId=api, stageName="prod", patchOperations=[{"op": "replace", "path": path, "value": value}])


def links(wrong):
    """Links by what the topology knows."""
    bad = V1.create_vpc_link(name="wrong", targetArns=[wrong])["id"]
    good = V1.create_vpc_link(name="orders", targetArns=[ARGS.balancer])
    assert good["status"] == "PENDING", good
    shown = V1.get_vpc_link(vpcLinkId=bad)
    assert shown["status"] == "FAILED" and "[[region.load_balancer]]" in shown["statusMessage"], shown
    shown = V1.get_vpc_link(vpcLinkId=good["id"])
    assert shown["status"] == "AVAILABLE", shown
    return bad, good["id"]


def main(folder):
    nginx = Nginx(folder)
    first = V1.generate_client_certificate()
    second = V1.generate_client_certificate()
    pem = {each["clientCertificateId"]: V1.get_client_certificate(clientCertificateId=each["clientCertificateId"])[
        "pemEncodedCertificate"] for each in (first, second)}
    first, second = first["clientCertificateId"], second["clientCertificateId"]
    nginx.trust(pem[first])
    nginx.start()
    try:
        assert curl("-k", f"https://{ARGS.listen}/")[0] == 400
        step("nginx refuses a caller without a certificate")
        bad, good = links(ARGS.balancer + "9")
        api, at = api_behind(bad)
        until("a link to nowhere", lambda: get(api, "/orders")[0] == 500)
        step("a link to what the topology does not know has failed, and calls through it answer 500")
        set_stage(api, "/variables/link", good)
        until("the link", lambda: get(api, "/orders")[0] == 400)
        step("the link leads to nginx, which refuses a stage without a certificate")
        set_stage(api, "/clientCertificateId", first)
        until("the certificate", lambda: get(api, "/orders")[0] == 200)
        host, path, verified, serial = get(api, "/orders")[1].split(" ")
        assert (host, path, verified) == ("orders.internal", "/v1/orders", "SUCCESS"), (host, path, verified)
        step("with its certificate the stage is let in")
        set_stage(api, "/clientCertificateId", second)
        until("another certificate", lambda: get(api, "/orders")[0] == 400)
        nginx.trust(pem[second])
        nginx.reload()
        until("the new certificate", lambda: get(api, "/orders")[0] == 200)
        assert get(api, "/orders")[1].split(" ")[3] != serial
        step("a new certificate counts without a restart")
        v2 = V2.create_vpc_link(Name="orders", SubnetIds=["subnet-1"])["VpcLinkId"]
        set_stage(api, "/variables/link", v2)
        until("no target", lambda: get(api, "/orders")[0] == 500)
        V1.update_integration(**at, patchOperations=[
            {"op": "replace", "path": "/integrationTarget", "value": ARGS.balancer}])
        V1.create_deployment(restApiId=api, stageName="prod")
        until("the second version", lambda: get(api, "/orders")[0] == 200)
        step("a link of the second version leads where the integration says")
        try:
            V1.delete_client_certificate(clientCertificateId=second)
            raise AssertionError("a certificate in use was deleted")
        except ClientError as error:
            assert "in use" in str(error), error
        step("a certificate in use stays")
    finally:
        nginx.stop()


with tempfile.TemporaryDirectory() as made:
    os.chmod(made, 0o755)
    main(made)
sys.exit(0)
