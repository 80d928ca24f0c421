#!/usr/bin/env python3
"""What does a call cost at Tidegate, LocalStack's API Gateway, SAM's local API and serverless-offline, side by side?

    python3 -m venv /tmp/v && /tmp/v/bin/pip install botocore==1.44.5
    /tmp/v/bin/pip install --target /tmp/ric awslambdaric==4.2.2      # with the Python version of /usr/bin/python3
    python3.13 -m venv /tmp/localstack                                # 3.12 or later
    /tmp/localstack/bin/pip install 'localstack-core[runtime]==2026.3.0' 'cbor2<5.9' 'pyopenssl<26' 'cryptography<47' \\
        service_identity
    python3 -m venv /tmp/sam && /tmp/sam/bin/pip install aws-sam-cli==1.170.0
    apt-get install -y --no-install-recommends podman runc            # for SAM
    npm install --prefix /tmp/sls --legacy-peer-deps osls@4.3.1 serverless-offline@14.8.2

    cargo build --release
    /tmp/v/bin/python benches/local_apis.py --tidegate target/release/tidegate --functions /tmp/ric \\
        --localstack /tmp/localstack --sam /tmp/sam --serverless /tmp/sls

As root, because everything runs in namespaces of its own (`unshare`): its ports are its own, it reaches nothing but
itself, and whatever it started ends with it, after three minutes at the latest. A peer whose argument is left out is
named as skipped; so is the function without --functions.

One OpenAPI document is served by Tidegate and LocalStack: MOCK, HTTP_PROXY to a backend with a constant answer of
1 KiB, the same with a model, a required parameter and two mapped headers, HTTP with a request template of 2 KB, and a
warm Python function behind AWS_PROXY. SAM and serverless-offline serve functions only. Every case is first asked once
of each peer: status and body have to be the same, and the backend answers 1 KiB only to what it should be sent. Then
the peers take turns, one client with one connection, and each turn gives a median latency and the CPU time of all the
peer's processes by the number of calls, the function's process apart. The table shows the medians of the turns.

What is not alike:
* Tidegate speaks HTTPS only, its peers are asked over plain HTTP. SAM closes every connection.
* LocalStack starts functions in Docker, through a program that is not on PyPI. An executor of this file's, made
  LocalStack's own way (a plugin), starts the function as a process in its place; that process does that program's work
  too, so that it counts as the function's. All else of the way to the function is LocalStack's own.
* serverless-offline runs functions, in JavaScript here, within its own process: their CPU time is in its own.
* SAM runs functions in a container, by podman, in an image made of this machine's Python. Podman and Lambda's runtime
  interface emulator count as SAM's. Podman at times breaks its log off, and SAM then waits a second for the log's end.
* Throughput is not measured: a client in Python would be measured with it. The CPU time bounds it.
"""
import argparse
import contextlib
import dataclasses
import glob
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

LIMIT = 175  # seconds for everything
ROUNDS, TURN, CALLS = 5, 1.0, 2000  # a turn ends after so many seconds or calls
GOAL = 150  # microseconds of the gateway's CPU for a call of a warm function
BACKEND, TIDEGATE, LOCALSTACK, SAM, SERVERLESS = 9001, 9100, 4566, 3000, 3900  # the first of each one's ports
API, STAGE = "localapis1", "prod"
FUNCTION_MARKS = (b"awslambdaric", b"function_process.py")  # of command lines of functions
PYTHON = "/usr/bin/python3"  # runs the function, at every peer
KIB = b"0123456789abcdef" * 64
HANDLER = """def handler(event, context):
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"},
            "body": '{"path": "' + event["path"] + '", "pet": "' + event["queryStringParameters"]["pet"] + '"}'}
"""
JAVASCRIPT_HANDLER = """exports.handler = async (event) => ({
    statusCode: 200, headers: { "Content-Type": "application/json" },
    body: '{"path": "' + event.path + '", "pet": "' + event.queryStringParameters.pet + '"}' });
"""


@dataclasses.dataclass
class Case:
    name: str
    method: str
    path: str
    body: bytes = b""

    def request(self, peer):
        head = f"{self.method} {peer.prefix}{self.path}?pet=rex HTTP/1.1\r\nHost: 127.0.0.1:{peer.port}\r\n"
        if self.body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n"
        return head.encode() + b"\r\n" + self.body


ORDER = json.dumps({"owner": {f"field{i}": f"value {i} of the owner" for i in range(20)},
                    "tags": [f"tag-{i}" for i in range(10)], "count": 3}).encode()
CASES = [
    Case("MOCK", "GET", "/mock"),
    Case("HTTP_PROXY, 1 KiB", "GET", "/proxy"),
    Case("HTTP_PROXY, validated, mapped", "POST", "/checked", ORDER),
    Case("HTTP, 2 KB template", "POST", "/template", ORDER),
    Case("AWS_PROXY, warm function", "GET", "/function"),
]
MOCK, CHECKED, FUNCTION = CASES[0], CASES[2], CASES[-1]


def template():
    """2 KB, 20 references and a loop."""
    fields = "".join(f'"field{i}": "a text of fifty characters around what follows it: '
                     f"""$util.escapeJavaScript($input.path('$.owner.field{i}'))",\n""" for i in range(17))
    return ("{\n" + fields + """"pet": "$input.params('pet')", "stage": "$context.stage",\n"""
            """"count": $input.path('$.count'), "tags": ["""
            """#foreach($tag in $input.path('$.tags'))"$tag"#if($foreach.hasNext), #end#end]\n}""")


def document():
    backend = f"http://127.0.0.1:{BACKEND}"
    pet = [{"name": "pet", "in": "query", "required": True, "schema": {"type": "string"}}]
    answers = {"200": {"description": "an answer"}}
    model = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}}
    text = {"type": "string"}
    order = {"type": "object", "required": ["owner", "tags", "count"], "properties": {
        "owner": {"type": "object", "required": ["field0"], "properties": {f"field{i}": text for i in range(20)}},
        "tags": {"type": "array", "items": text}, "count": {"type": "integer", "minimum": 1}}}

    def method(verb, integration, **more):
        return {verb: {"parameters": pet, "responses": answers, "x-amazon-apigateway-integration": integration, **more}}

    function = f"arn:aws:lambda:us-east-1:000000000000:function:{API}"
    return json.dumps({
        "openapi": "3.0.1", "info": {"title": API, "version": "1"}, "components": {"schemas": {"Order": order}},
        "x-amazon-apigateway-request-validators": {
            "all": {"validateRequestBody": True, "validateRequestParameters": True}},
        "paths": {
            "/mock": method("get", {
                "type": "mock", "requestTemplates": {"application/json": '{"statusCode": 200}'},
                "responses": {"default": {"statusCode": "200", "responseTemplates": {
                    "application/json": '{"stage": "$context.stage", "pet": "$input.params(\'pet\')"}'}}}}),
            "/proxy": method("get", {"type": "http_proxy", "httpMethod": "GET", "uri": backend + "/proxy"}),
            "/checked": method("post", {
                "type": "http_proxy", "httpMethod": "POST", "uri": backend + "/checked", "requestParameters": {
                    "integration.request.header.X-Pet": "method.request.querystring.pet",
                    "integration.request.header.X-Stage": "context.stage"}},
                requestBody=model, **{"x-amazon-apigateway-request-validator": "all"}),
            "/template": method("post", {
                "type": "http", "httpMethod": "POST", "uri": backend + "/template",
                "requestTemplates": {"application/json": template()},
                "responses": {"default": {"statusCode": "200"}}}),
            "/function": method("get", {
                "type": "aws_proxy", "httpMethod": "POST",
                "uri": f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function}/invocations"}),
        }})


# The backend, a process of its own.

def backend_answer(path, head, body):
    """1 KiB; after a template with the digest of what it made. 400 if a mapped header is missing."""
    if path == "/template":
        made = json.dumps(json.loads(body), sort_keys=True).encode()
        return b"200 OK", hashlib.sha256(made).hexdigest().encode() + KIB[64:]
    mapped = b"\r\nx-pet: rex\r\n" in head and b"\r\nx-stage: prod\r\n" in head
    if path == "/checked" and not (mapped and body == ORDER):
        return b"400 Bad Request", b"the mapped headers or the body are not as they should be"
    return b"200 OK", KIB


def backend():
    import asyncio

    class Connection(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport, self.data = transport, b""

        def data_received(self, data):
            self.data += data
            head, end, rest = self.data.partition(b"\r\n\r\n")
            if not end:
                return
            path = head.split(b" ", 2)[1].split(b"?")[0].decode()
            head = head.lower() + b"\r\n"
            length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            self.data = rest[length:]
            status, body = backend_answer(path, head, rest[:length])
            head = b"HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
            self.transport.write(head % (status, len(body)) + body)

    async def serve():
        server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", BACKEND)
        await server.serve_forever()

    asyncio.run(serve())


# The client.

class Client:
    """One connection, opened again when the peer closes it."""

    def __init__(self, peer):
        self.peer, self.socket = peer, None

    def open(self):
        plain = socket.create_connection(("127.0.0.1", self.peer.port), timeout=30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = self.peer.tls.wrap_socket(plain, server_hostname="localhost") if self.peer.tls else plain

    def call(self, request):
        if not self.socket:
            self.open()
        self.socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.more()
        head, _, body = data.partition(b"\r\n\r\n")
        head = head.lower() + b"\r\n"
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self.more()
        if b"\r\nconnection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1]), body

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            self.close()
            raise ConnectionError("closed before the answer was whole")
        return data

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None


# The peers.

@dataclasses.dataclass
class Peer:
    name: str
    version: str
    port: int
    prefix: str
    cases: list
    pids: list  # the processes it was started as; their children count too
    log: str
    tls: ssl.SSLContext | None = None

    def until(self, case, seconds):
        """Its answer to the case, as soon as it is 200."""
        deadline, said = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            client = Client(self)
            try:
                said = client.call(case.request(self))
                if said[0] == 200:
                    return said
            except OSError as error:
                said = error
            finally:
                client.close()
            time.sleep(0.2)
        sys.exit(f"{self.name}: {case.name}: {said}\n{tail(self.log)}")


def tail(log):
    with open(log, encoding="utf-8", errors="replace") as file:
        return f"the end of {log}:\n" + "".join(file.readlines()[-20:])


def start(command, folder, log, **environment):
    """A process with its output in a file, in its own session so that no Ctrl-C reaches it before its turn."""
    with open(log, "wb") as file:
        return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                env={**os.environ, **environment}, start_new_session=True)


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def end(process, sign=signal.SIGTERM):
    process.send_signal(sign)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


@contextlib.contextmanager
def tidegate(options, work):
    folder = os.path.join(work, "tidegate")
    functions = "" if not options.functions else f"""
[[function]]
name = "{API}"
runtime = "python3.11"
handler = "app.handler"
code = "function"
concurrency = 1
[runtimes]
python = "{PYTHON}"
python_client = "{options.functions}"
"""
    write(f"{folder}/function/app.py", HANDLER)
    write(f"{folder}/api.json", document())
    write(f"{folder}/topology.toml", f"""
[cluster]
name = "local-apis"
[region]
name = "region"
listeners = {{ public = "127.0.0.1:{TIDEGATE}", admin = "127.0.0.1:{TIDEGATE + 1}", gossip = "127.0.0.1:{TIDEGATE + 2}" }}
[[api]]
document = "api.json"
id = "{API}"
stage = "{STAGE}"
endpoint_type = "REGIONAL"
access_log = {{ format = "CLF", destination = "access.log" }}
{functions}""")
    version = output(options.tidegate, "--version").split()[-1]
    process = start([options.tidegate, "up", "--topology", "topology.toml", "--data", "data"], folder, f"{folder}/log")
    try:
        peer = Peer("Tidegate", version, TIDEGATE, f"/_api/{API}/{STAGE}",
                    CASES if options.functions else CASES[:-1], [process.pid], f"{folder}/log")
        wait_for_port(peer)
        peer.tls = ssl.create_default_context(cafile=f"{folder}/data/ca/public-ca.pem")
        yield peer
    finally:
        end(process)


def wait_for_port(peer):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", peer.port), timeout=1):
            return
        time.sleep(0.1)
    sys.exit(f"{peer.name} does not listen on port {peer.port}\n{tail(peer.log)}")


# A plugin of LocalStack's: functions as processes. `function_process.py` is what LocalStack expects in a container.
EXECUTOR = '''import os, subprocess
from localstack import config
from localstack.services.lambda_.invocation.executor_endpoint import ExecutorEndpoint
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor
from localstack.utils.net import get_free_tcp_port


class ProcessExecutor(RuntimeExecutor):
    def __init__(self, id, function_version):
        super().__init__(id, function_version)
        self.endpoint, self.process = ExecutorEndpoint(id, "127.0.0.1", get_free_tcp_port()), None

    def start(self, env_vars):
        self.endpoint.start()
        code = self.function_version.config.code.get_unzipped_code_location()
        program = os.path.join(os.path.dirname(__file__), "function_process.py")
        variables = {name: str(value) for name, value in env_vars.items()}
        self.process = subprocess.Popen(["%s", program, str(self.endpoint.container_port)], cwd=code,
                                        env={**variables, "PYTHONPATH": str(code)})
        self.endpoint.wait_for_startup()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.endpoint.shutdown()

    def get_address(self):
        return "127.0.0.1"

    def get_endpoint_from_executor(self):
        return "127.0.0.1"

    def get_runtime_endpoint(self):
        return f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}{self.endpoint.get_endpoint_prefix()}"

    def invoke(self, payload):
        return self.endpoint.invoke(payload)

    def get_logs(self):
        return ""

    @classmethod
    def prepare_version(cls, function_version):
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version):
        pass


class ProcessExecutorPlugin(RuntimeExecutorPlugin):
    name = "process"

    def load(self, *args, **kwargs):
        return ProcessExecutor
''' % PYTHON
FUNCTION_PROCESS = '''import http.client, http.server, importlib, json, os, sys, urllib.parse
home = urllib.parse.urlsplit(os.environ["LOCALSTACK_RUNTIME_ENDPOINT"])
module, name = os.environ["_HANDLER"].rsplit(".", 1)
handler = getattr(importlib.import_module(module), name)


def tell(path, what):
    connection = http.client.HTTPConnection(home.hostname, home.port)
    connection.request("POST", home.path + path, json.dumps(what), {"Content-Type": "application/json"})
    connection.getresponse().read()
    connection.close()


class Door(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = handler(json.loads(call["payload"]), None)
        tell(f"/invocations/{call['invoke-id']}/logs", {"logs": ""})
        tell(f"/invocations/{call['invoke-id']}/response", answer)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *what):
        pass


server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Door)
tell(f"/status/{os.environ['LOCALSTACK_RUNTIME_ID']}/ready", {})
server.serve_forever()
'''


@contextlib.contextmanager
def localstack(options, work):
    folder = os.path.join(work, "localstack")
    write(f"{folder}/plugin/process_executor.py", EXECUTOR)
    write(f"{folder}/plugin/function_process.py", FUNCTION_PROCESS)
    facts = f"{folder}/plugin/process_executor-1.dist-info"
    write(f"{facts}/METADATA", "Metadata-Version: 2.1\nName: process-executor\nVersion: 1\n")
    write(f"{facts}/entry_points.txt",
          "[localstack.lambda.runtime_executor]\nprocess = process_executor:ProcessExecutorPlugin\n")
    process = start(
        [f"{options.localstack}/bin/python", "-m", "localstack.runtime.main"], folder, f"{folder}/log",
        GATEWAY_LISTEN=f"127.0.0.1:{LOCALSTACK}", SERVICES="apigateway,lambda,iam,sts,s3,sqs,logs,cloudwatch",
        PYTHONPATH=f"{folder}/plugin", LAMBDA_RUNTIME_EXECUTOR="process", EAGER_SERVICE_LOADING="0",
        OVERRIDE_IN_DOCKER="0", DNS_ADDRESS="0", DISABLE_EVENTS="1", SKIP_SSL_CERT_DOWNLOAD="1",
        FILESYSTEM_ROOT=folder, TMPDIR=folder, XDG_CACHE_HOME=f"{folder}/cache")
    try:
        peer = Peer("LocalStack", installed(options.localstack, "localstack-core"), LOCALSTACK, "",
                    CASES if options.functions else CASES[:-1], [process.pid], f"{folder}/log")
        wait_for_port(peer)
        peer.prefix = f"/_aws/execute-api/{make_localstack_api(options.functions)}/{STAGE}"
        yield peer
    finally:
        end(process)


def make_localstack_api(functions):
    import botocore.session
    session = botocore.session.get_session()
    session.set_credentials("test", "test")

    def client(service):
        return session.create_client(service, region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{LOCALSTACK}")

    if functions:
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as file:
            file.writestr("app.py", HANDLER)
        client("lambda").create_function(
            FunctionName=API, Runtime="python3.11", Handler="app.handler", Code={"ZipFile": package.getvalue()},
            Role="arn:aws:iam::000000000000:role/function")
        client("lambda").get_waiter("function_active_v2").wait(FunctionName=API)
    gateway = client("apigateway")
    api = gateway.import_rest_api(body=document())["id"]
    gateway.create_deployment(restApiId=api, stageName=STAGE)
    return api


def installed(venv, package):
    return output(f"{venv}/bin/python", "-c", f"import importlib.metadata as m; print(m.version({package!r}))")


@contextlib.contextmanager
def sam(options, work):
    folder = os.path.join(work, "sam")
    write(f"{folder}/function/app.py", HANDLER)  # its own: SAM starts anew when another peer leaves bytecode there
    write(f"{folder}/template.yaml", f"""
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: function
      Handler: app.handler
      Runtime: python3.11
      Events: {{ Call: {{ Type: Api, Properties: {{ Path: {FUNCTION.path}, Method: get }} }} }}
""")
    # Limits that need no right to raise them, which a virtual machine's root may lack.
    write(f"{folder}/containers.conf", '[containers]\ndefault_ulimits = ["nofile=10000:10000", "nproc=10000:10000"]\n'
                                       '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
    os.environ["CONTAINERS_CONF"] = f"{folder}/containers.conf"
    podman = ["podman", "--root", f"{folder}/images", "--runroot", f"{folder}/run", "--storage-driver", "overlay",
              "--runtime", "runc"]
    make_image(options, folder, podman)
    service = [*podman, "system", "service", "--time", "0", f"unix://{folder}/socket"]
    engine = start(service, folder, f"{folder}/podman.log")
    process = start(
        [f"{options.sam}/bin/sam", "local", "start-api", "--skip-pull-image", "--warm-containers", "EAGER",
         "--port", str(SAM)], folder, f"{folder}/log", DOCKER_HOST=f"unix://{folder}/socket",
        SAM_CLI_TELEMETRY="0", HOME=folder, AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    try:
        peer = Peer("SAM", installed(options.sam, "aws-sam-cli"), SAM, "", [FUNCTION], [process.pid, engine.pid],
                    f"{folder}/log")
        wait_for_port(peer)
        containers = output(*podman, "ps", "--quiet").split()
        peer.pids += map(int, output(*podman, "inspect", "--format", "{{.State.ConmonPid}}", *containers).split())
        yield peer
    finally:
        end(process, signal.SIGINT)
        subprocess.run([*podman, "rm", "--all", "--force", "--time", "1"], stdout=subprocess.DEVNULL, check=False)
        end(engine)
        for group in sorted(glob.glob("/sys/fs/cgroup/**/libpod_parent/**/", recursive=True), key=len, reverse=True):
            with contextlib.suppress(OSError):  # others' containers may be in it
                os.rmdir(group)


def make_image(options, folder, podman):
    """The image that SAM wants: this machine's Python with its libraries, awslambdaric, and SAM's own emulator."""
    root = f"{folder}/root"
    for part in ("bin", "dev", "etc", "lib64", "opt", "proc", "sys", "tmp", "usr/bin", "usr/lib", "var/rapid", "var/task"):
        os.makedirs(f"{root}/{part}")
    python = os.path.realpath(PYTHON)
    library = f"/usr/lib/{os.path.basename(python)}"
    left_out = shutil.ignore_patterns("__pycache__", "test", "config-*")
    shutil.copy(python, root + python)
    shutil.copy("/bin/dash", f"{root}/bin/sh")
    shutil.copytree(library, root + library, symlinks=True, ignore=left_out)
    shutil.copytree(options.functions, f"{root}/var/runtime")
    binaries = [python, "/bin/dash"]
    binaries += [os.path.join(at, name) for at, _, names in os.walk(root) for name in names if ".so" in name]
    listed = subprocess.run(["ldd", *binaries], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    for word in set(listed.stdout.split()):
        if word.startswith("/") and not word.endswith(":") and root not in word:
            os.makedirs(os.path.dirname(root + word), exist_ok=True)
            shutil.copy(word, root + word)
    samcli = output(f"{options.sam}/bin/python", "-c", "import samcli.local as at; print(at.__path__[0])")
    shutil.copy(f"{samcli}/rapid/aws-lambda-rie-x86_64", f"{root}/var/rapid/aws-lambda-rie")
    write(f"{root}/var/runtime/bootstrap", "#!/bin/sh\nexport PYTHONPATH=/var/task:/var/runtime\n"
                                           f'exec {python} -m awslambdaric "$_HANDLER"\n')
    write(f"{root}/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    for program in ("rapid/aws-lambda-rie", "runtime/bootstrap"):
        os.chmod(f"{root}/var/{program}", 0o755)
    subprocess.run(["tar", "--create", "--file", f"{folder}/image.tar", "--directory", root, "."], check=True)
    output(*podman, "import", "--quiet", f"{folder}/image.tar", "public.ecr.aws/lambda/python:3.11-rapid-x86_64")


@contextlib.contextmanager
def serverless(options, work):
    folder = os.path.join(work, "serverless")
    write(f"{folder}/app.js", JAVASCRIPT_HANDLER)
    os.symlink(f"{options.serverless}/node_modules", f"{folder}/node_modules")
    with open(f"{folder}/node_modules/serverless-offline/package.json", encoding="utf-8") as file:
        version = json.load(file)["version"]
    write(f"{folder}/serverless.yml", f"""
service: {API}
provider: {{ name: aws, runtime: nodejs20.x, region: us-east-1 }}
plugins: [serverless-offline]
custom:
  serverless-offline:
    host: 127.0.0.1
    httpPort: {SERVERLESS}
    lambdaPort: {SERVERLESS + 1}
    websocketPort: {SERVERLESS + 2}
    noPrependStageInUrl: true
functions:
  function: {{ handler: app.handler, events: [{{ http: {{ path: {FUNCTION.path}, method: get }} }}] }}
""")
    process = start(["node", "node_modules/.bin/osls", "offline", "start"], folder, f"{folder}/log", HOME=folder,
                    SLS_TELEMETRY_DISABLED="1", AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    try:
        peer = Peer("serverless-offline", version, SERVERLESS, "", [FUNCTION], [process.pid], f"{folder}/log")
        wait_for_port(peer)
        yield peer
    finally:
        end(process)


# Measuring.

def cpu(peer):
    """Seconds of CPU that the peer has used, and those of its functions: all processes, threads, and ended children."""
    parents, ended, tick = {}, {}, os.sysconf("SC_CLK_TCK")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
            parents[int(pid)], ended[int(pid)] = int(fields[1]), (int(fields[13]) + int(fields[14])) / tick
    total = [0.0, 0.0]
    for pid in parents:
        line = pid
        while line in parents and line not in peer.pids:
            line = parents[line]
        if line in peer.pids:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read()
                # The clock of a process by its id, as clock_getcpuclockid(3) makes it: nanoseconds, where stat has ticks.
                total[any(mark in command for mark in FUNCTION_MARKS)] += time.clock_gettime((~pid << 3) | 2) + ended[pid]
    return total


def turn(peer, case, seconds, calls):
    """Median latency, the gateway's CPU and the function's, all in microseconds a call, and the number of calls."""
    request, latencies = case.request(peer), []
    with contextlib.closing(Client(peer)) as client:
        client.call(request)
        before, deadline = cpu(peer), time.monotonic() + seconds
        while len(latencies) < calls and time.monotonic() < deadline:
            began = time.perf_counter_ns()
            status, _ = client.call(request)
            latencies.append(time.perf_counter_ns() - began)
            if status != 200:
                sys.exit(f"{peer.name}: {case.name}: {status} while it was measured\n{tail(peer.log)}")
        after = cpu(peer)
    used = [(late - early) * 1e6 / len(latencies) for early, late in zip(before, after)]
    return statistics.median(latencies) / 1e3, *used, len(latencies)


def compare(peers):
    """Every peer gives the same answer to a call, and refuses what does not fit the model or lacks the parameter."""
    for case in CASES:
        answers = {peer.name: peer.until(case, 60) for peer in peers if case in peer.cases}
        if len(set(answers.values())) > 1:
            sys.exit(f"{case.name}: the peers do not answer alike: {answers}")
    for peer in peers:
        if CHECKED in peer.cases:
            request = CHECKED.request(peer)
            for bad in (request.replace(b"?pet=rex", b""), request.replace(b'"count": 3', b'"count": 0')):
                with contextlib.closing(Client(peer)) as client:
                    if client.call(bad)[0] != 400:
                        sys.exit(f"{peer.name} takes what it should refuse: {bad}")


def measure(peers, deadline):
    turns = {(case.name, peer.name): [] for case in CASES for peer in peers if case in peer.cases}
    for case in CASES:
        for peer in peers:
            if case in peer.cases:
                turn(peer, case, TURN, CALLS)
    longest = 0.0
    for _ in range(ROUNDS):
        began = time.monotonic()
        if began + longest * 1.2 > deadline:
            break
        for case in CASES:
            for peer in peers:
                if case in peer.cases:
                    turns[case.name, peer.name].append(turn(peer, case, TURN, CALLS))
        longest = time.monotonic() - began
    return turns


def report(peers, turns):
    ours = peers[0]
    middle = {key: [statistics.median(column) for column in zip(*all_turns)] for key, all_turns in turns.items()}
    print(", ".join(f"{peer.name} {peer.version}" for peer in peers) + "; Tidegate over HTTPS, the others over plain HTTP.")
    rounds = max(map(len, turns.values()))
    print(f"Microseconds a call, one client, one connection: medians of {rounds} turns of at most {TURN:.0f} s"
          f" and {CALLS} calls. {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.\n")
    print("| Case | Peer | Latency | × Tidegate | CPU | Smallest to largest turn | × Tidegate | Function's CPU | Calls a turn |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (case, name), (latency, gateway, function, calls) in middle.items():
        base = middle[case, ours.name]
        used = [one[1] for one in turns[case, name]]
        print(f"| {case} | {name} | {latency:,.0f} | **{latency / base[0]:.1f}** | {gateway:,.0f} "
              f"| {min(used):,.0f} to {max(used):,.0f} | **{gateway / base[1]:.1f}** "
              f"| {format(function, ',.0f') if case == FUNCTION.name and function else ''} | {calls:.0f} |")
    if FUNCTION in ours.cases:
        whole, mock = middle[FUNCTION.name, ours.name][1], middle[MOCK.name, ours.name][1]
        print("\nTidegate's CPU for a call of the warm function, Runtime API included, the function's process not:"
              f" {whole:.0f} µs (goal: at most {GOAL}, {'met' if whole <= GOAL else 'NOT met'});"
              f" {whole - mock:.0f} µs more than MOCK.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tidegate", required=True, metavar="PROGRAM", type=os.path.abspath)
    parser.add_argument("--functions", metavar="FOLDER", type=os.path.abspath, help="where the Python package awslambdaric is")
    parser.add_argument("--localstack", metavar="VENV", type=os.path.abspath)
    parser.add_argument("--sam", metavar="VENV", type=os.path.abspath)
    parser.add_argument("--serverless", metavar="FOLDER", type=os.path.abspath, help="where npm installed serverless-offline")
    options = parser.parse_args()
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        spaces = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
        os.execvp("unshare", [*spaces, sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    served = multiprocessing.Process(target=backend, daemon=True)
    served.start()
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done after {LIMIT} seconds"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    signal.alarm(LIMIT)
    deadline = time.monotonic() + LIMIT - 25  # what ending everything may take
    with contextlib.ExitStack() as stack:
        stack.callback(served.terminate)
        work = stack.enter_context(tempfile.TemporaryDirectory(prefix="local-apis-"))
        peers = [stack.enter_context(tidegate(options, work))]
        if options.localstack:
            peers.append(stack.enter_context(localstack(options, work)))
        else:
            print("SKIPPED: LocalStack, without --localstack")
        if options.sam and options.functions:
            peers.append(stack.enter_context(sam(options, work)))
        else:
            print("SKIPPED: SAM, without --sam and --functions")
        if options.serverless and options.functions:
            peers.append(stack.enter_context(serverless(options, work)))
        else:
            print("SKIPPED: serverless-offline, without --serverless and --functions")
        if not options.functions:
            print(f"SKIPPED: {FUNCTION.name}, without --functions")
        compare(peers)
        report(peers, measure(peers, deadline))


if __name__ == "__main__":
    main()
