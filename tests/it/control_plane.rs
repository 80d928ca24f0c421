//! The control plane as its clients have it: the program runs as a user starts it, with the key
//! that its first start printed, and the aws CLI, boto3 and botocore do the asking.
//!
//! The scripts are in `tests/clients`; each says what it proves. Skipped, loudly, only where pip
//! cannot reach a package index or, for the recorded cases, where those are not beside the
//! repository.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::clients::{clients, installed};
use crate::functions::python_client;
use crate::private_backends::{free, nginx};
use crate::process::{Running, port_base, program, run};
use crate::world::certs::TestCa;

/// Not the default region and account, so that a client's settings count.
const TOPOLOGY: &str = r#"
[cluster]
name = "clients"
[region]
name = "region"
aws_region = "eu-central-1"
account_id = "123456789012"
[[edge]]
name = "edge-a"
[[edge]]
name = "edge-b"
[[api]]
document = "bundled:petstore"
name = "petstore"
"#;
const REGION: &str = "eu-central-1";

/// What the recorded cases were recorded with; see their README.
const RECORDED: &str = r#"
[cluster]
name = "recorded"
[region]
name = "region"
aws_region = "us-east-1"
account_id = "000000000000"
listeners = { public = "127.0.0.1:8440", admin = "127.0.0.1:4700", tunnel = "off", gossip = "127.0.0.1:4702" }
[lambda]
endpoint = "http://LAMBDA"
"#;
/// Services of AWS's, which moto plays, and what signs for them; the names are put in.
const SERVICES: &str = r#"
[cluster]
name = "services"
[region]
name = "region"
aws_region = "us-east-1"
account_id = "123456789012"
listeners = { public = "127.0.0.1:8440", admin = "127.0.0.1:4700", tunnel = "off", gossip = "127.0.0.1:4702" }
[lambda]
endpoint = "http://LAMBDA"
[[credentials]]
role = "*"
access_key_id = "test"
secret_key_file = "key.secret"
"#;
/// Ports of a base that no node of [`RECORDED`] takes.
const BACKEND_PORT: u16 = 30;
const LAMBDA_PORT: u16 = 31;
const SERVICES_PORT: u16 = 32;
/// How a case begins to fail whose data plane is not there yet.
const NOT_BUILT: &str = "not built yet";

/// Longer than any of the scripts takes, on a machine that does something else besides.
const SCRIPT_MAX: Duration = Duration::from_secs(240);
/// Acknowledgements before something is done to the writers' region.
const LOAD: usize = 100;

/// A region and its edges in one process, and where its clients are.
struct Up {
    running: Running,
    folder: TempDir,
    base: u16,
    clients: String,
    /// Key id and secret of the administrator.
    key: (String, String),
}

impl Up {
    /// `None` when the clients cannot be had.
    fn start(topology: &str, more: &[&str]) -> Option<Self> {
        let clients = clients()?;
        let folder = tempfile::tempdir().unwrap();
        let base = port_base();
        let lambda = format!("127.0.0.1:{}", base + LAMBDA_PORT);
        let services = format!("127.0.0.1:{}", base + SERVICES_PORT);
        let topology = topology.replace("LAMBDA", &lambda).replace("SERVICES", &services);
        fs::write(folder.path().join("t.toml"), topology).unwrap();
        fs::write(folder.path().join("key.secret"), "test\n").unwrap();
        let running = up(folder.path(), base, more);
        let out = running.out();
        let said = |name: &str| {
            let line = out.lines().find_map(|line| line.trim().strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {out}")).to_owned()
        };
        let key = (said("export AWS_ACCESS_KEY_ID="), said("export AWS_SECRET_ACCESS_KEY="));
        Some(Self { running, folder, base, clients, key })
    }

    /// The same again, with what is in its folder.
    fn start_again(&mut self) {
        self.running = up(self.folder.path(), self.base, &[]);
        assert!(!self.running.out().contains("SECRET"), "a key is shown once");
    }

    fn admin(&self) -> String {
        format!("http://127.0.0.1:{}", self.base)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A script of `tests/clients`, with credentials and nothing of the machine's own set-up.
    fn script(&self, name: &str, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name);
        let mut command = self.python(&script);
        command.args(arguments).args(["--admin", &self.admin()]);
        command
    }

    fn python(&self, script: &Path) -> Command {
        // Told to stop by itself: nothing here waits for a script for ever.
        let mut command = Command::new("timeout");
        command
            .args([&SCRIPT_MAX.as_secs().to_string(), "python3"])
            .arg(script)
            .current_dir(self.folder.path())
            .env("PYTHONPATH", &self.clients)
            .env("AWS_CLI", Path::new(&self.clients).join("bin/aws"))
            .env("AWS_ACCESS_KEY_ID", &self.key.0)
            .env("AWS_SECRET_ACCESS_KEY", &self.key.1)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("TMPDIR", self.folder.path())
            .env("NO_PROXY", "127.0.0.1,localhost");
        for set in ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL"] {
            command.env_remove(set);
        }
        command
    }

    /// Runs a script to its end, which has to be a good one.
    #[track_caller]
    fn passes(&self, name: &str, arguments: &[&str]) {
        let ended = self.script(name, arguments).output().unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        let log = self.running.err();
        assert!(ended.status.success(), "{name}: {}\n{out}{err}\n{log}", ended.status);
        assert!(out.contains("ok "), "{name} did something: {out}");
        no_errors(&log);
    }

    #[track_caller]
    fn streams(&self, public: u16, region: &str, endpoint_type: &str) {
        let (public, lambda) = (public.to_string(), (self.base + LAMBDA_PORT).to_string());
        let ports = ["--public", &public, "--lambda", &lambda];
        let api = ["--region", region, "--type", endpoint_type];
        self.passes("lambda_stream.py", &[ports, api].concat());
    }

    /// What is acknowledged is there.
    #[track_caller]
    fn has(&self, acknowledged: &str) {
        let mut check = self.script("acknowledged.py", &["check"]);
        let mut check = check.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        check.stdin.take().unwrap().write_all(acknowledged.as_bytes()).unwrap();
        let ended = check.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{said}{}", self.running.err());
    }

    /// The bundled pet store, as its API's stage names it.
    fn petstore(&self) -> String {
        let code = "import botocore.session, sys\n\
             v1 = botocore.session.get_session().create_client('apigateway', endpoint_url=sys.argv[1])\n\
             api = v1.get_rest_apis()['items'][0]['id']\n\
             print(v1.get_stage(restApiId=api, stageName='prod')['variables']['petstore'])\n";
        let script = self.folder.path().join("petstore.py");
        fs::write(&script, code).unwrap();
        let ended = self.python(&script).arg(self.admin()).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        format!("http://{}", String::from_utf8(ended.stdout).unwrap().trim())
    }
}

fn up(folder: &Path, base: u16, more: &[&str]) -> Running {
    let base = base.to_string();
    let mut arguments = vec!["up", "--topology", "t.toml", "--data", "data", "--port-base", &base];
    arguments.extend(more);
    let mut running = Running::start(folder, &arguments);
    let topology = fs::read_to_string(folder.join("t.toml")).unwrap();
    let nodes = 1 + topology.matches("[[edge]]").count();
    let apis = topology.matches("[[api]]").count();
    running.until("the ready lines", |up| {
        up.out().matches(": ready").count() == nodes
            // Printed last, one for each API at each edge.
            && up.out().matches("  curl ").count() >= apis
            && (apis > 0 || up.out().contains("SECRET"))
    });
    running
}

/// No ERROR in the log: what a caller did wrong is none of ours.
#[track_caller]
fn no_errors(log: &str) {
    let found: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_aws_cli_walks_its_tutorial() {
    let Some(up) = Up::start(TOPOLOGY, &[]) else { return };
    let edge = format!("https://127.0.0.1:{}", up.base + 10);
    let suffix = format!("execute-api.{REGION}.gateway.localhost");
    let ca = up.data().join("ca/public-ca.pem");
    let ca = ca.to_str().unwrap();
    let backend = up.petstore();
    let arguments = ["--edge", &edge, "--host-suffix", &suffix, "--ca", ca, "--backend", &backend];
    up.passes("aws_cli.py", &arguments);
}

#[test]
fn a_canary_beside_its_stage() {
    let Some(up) = Up::start(TOPOLOGY, &[]) else { return };
    let edge = format!("https://127.0.0.1:{}", up.base + 10);
    let suffix = format!("execute-api.{REGION}.gateway.localhost");
    let ca = up.data().join("ca/public-ca.pem");
    let ca = ca.to_str().unwrap();
    up.passes("stages.py", &["--edge", &edge, "--host-suffix", &suffix, "--ca", ca]);
}

#[test]
fn web_pages_may_call_after_one_command() {
    let Some(up) = Up::start(TOPOLOGY, &[]) else { return };
    let edge = format!("https://127.0.0.1:{}", up.base + 10);
    let suffix = format!("execute-api.{REGION}.gateway.localhost");
    let (ca, backend) = (up.data().join("ca/public-ca.pem"), up.petstore());
    let arguments = ["--edge", &edge, "--host-suffix", &suffix, "--ca", ca.to_str().unwrap()];
    let more = ["--tidegate", program(), "--backend", &backend];
    up.passes("cors.py", &[&arguments[..], &more[..]].concat());
}

#[test]
fn custom_domains_and_logs_at_both_doors() {
    let Some(up) = Up::start(TOPOLOGY, &[]) else { return };
    let edge = format!("https://127.0.0.1:{}", up.base + 10);
    let region = format!("https://127.0.0.1:{}", up.base + 3);
    let suffix = format!("execute-api.{REGION}.gateway.localhost");
    let (data, ca) = (up.data(), up.data().join("ca/public-ca.pem"));
    let (data, ca) = (data.to_str().unwrap(), ca.to_str().unwrap());
    let doors = ["--edge", &edge, "--region", &region];
    let rest = ["--host-suffix", &suffix, "--ca", ca, "--data", data];
    up.passes("domains.py", &[doors.as_slice(), rest.as_slice()].concat());
}

#[test]
fn terraforms_calls_read_what_they_wrote() {
    let Some(up) = Up::start(TOPOLOGY, &[]) else { return };
    up.passes("terraform_calls.py", &[]);
}

#[test]
fn boto3_sees_every_page_and_keys_and_policies_count_at_once() {
    let Some(up) = Up::start(TOPOLOGY, &[]) else { return };
    let data = up.data();
    let data = data.to_str().unwrap();
    up.passes("boto3_calls.py", &["--tidegate", program(), "--topology", "t.toml", "--data", data]);
}

#[test]
fn no_update_of_32_clients_at_once_is_lost() {
    let Some(up) = Up::start(TOPOLOGY, &[]) else { return };
    up.passes("many_clients.py", &[]);
}

#[test]
fn kill_9_under_load_keeps_every_acknowledged_resource() {
    let Some(mut up) = Up::start(TOPOLOGY, &[]) else { return };
    let mut writers = Writers::start(&up);
    writers.acknowledge(LOAD);
    up.running.signal("-KILL");
    up.running.end();
    let acknowledged = writers.end();
    up.start_again();
    up.has(&acknowledged);
    no_errors(&up.running.err());
}

#[test]
fn a_backup_made_under_load_has_what_was_acknowledged_before() {
    let Some(mut up) = Up::start(TOPOLOGY, &[]) else { return };
    let mut writers = Writers::start(&up);
    writers.acknowledge(LOAD);
    let before = writers.said.clone();
    let backup =
        run(up.folder.path(), &["backup", "b.db", "--topology", "t.toml", "--data", "data"]);
    assert_eq!(backup.code, Some(0), "{backup:?}");
    // The load goes on.
    writers.acknowledge(LOAD);
    up.running.signal("-TERM");
    assert_eq!(up.running.end().code(), Some(0), "{}", up.running.err());
    writers.end();

    // Back to the copy, as `tidegate backup --help` says.
    let own = up.data().join("region");
    fs::rename(up.folder.path().join("b.db"), own.join("control.db")).unwrap();
    for file in ["control.db-wal", "control.db-shm"] {
        // Gone already after a clean end.
        fs::remove_file(own.join(file)).ok();
    }
    up.start_again();
    up.has(&before);
    no_errors(&up.running.err());
}

const BALANCER: &str =
    "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/o/1";

/// nginx behind a VPC link lets in whoever shows a stage's client certificate, and nobody else.
#[test]
fn a_private_backend_lets_in_only_the_stage_with_its_certificate() {
    let Some(nginx) = nginx() else { return };
    let folder = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let (cert, key) = ca.issue_pem(&["orders.internal"]);
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (root, cert, key) =
        (file("ca.pem", ca.root_pem()), file("cert.pem", &cert), file("key.pem", &key));
    let listen = free(Ipv4Addr::new(127, 0, 0, 4)).to_string();
    let topology = TOPOLOGY.replace(
        "[[edge]]\nname = \"edge-a\"",
        &format!(
            "[[region.load_balancer]]\narn = \"{BALANCER}\"\ntls_roots = [\"{root}\"]\n\
             [[region.load_balancer.listener]]\nport = 443\ntargets = [\"{listen}\"]\n\
             [[edge]]\nname = \"edge-a\""
        ),
    );
    let Some(up) = Up::start(&topology, &[]) else { return };
    let edge = format!("https://127.0.0.1:{}", up.base + 10);
    let suffix = format!("execute-api.{REGION}.gateway.localhost");
    let public = up.data().join("ca/public-ca.pem").display().to_string();
    let nginx = nginx.display().to_string();
    let arguments = [
        ["--edge", &edge],
        ["--host-suffix", &suffix],
        ["--ca", &public],
        ["--nginx", &nginx],
        ["--balancer", BALANCER],
        ["--listen", &listen],
        ["--cert", &cert],
        ["--key", &key],
    ];
    up.passes("private_backends.py", &arguments.concat());
}

/// Clients that create resources until their region is gone.
struct Writers {
    child: Child,
    out: BufReader<ChildStdout>,
    /// A line for each resource that was acknowledged.
    said: String,
}

impl Writers {
    fn start(up: &Up) -> Self {
        let mut child = up.script("acknowledged.py", &["write"]);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out, said: String::new() }
    }

    /// Waits for so many more acknowledgements.
    #[track_caller]
    fn acknowledge(&mut self, lines: usize) {
        for _ in 0..lines {
            assert!(self.out.read_line(&mut self.said).unwrap() > 0, "they ended: {}", self.said);
        }
    }

    /// Waits for their end, which is that of the region, and returns all that was acknowledged.
    #[track_caller]
    fn end(mut self) -> String {
        self.out.read_to_string(&mut self.said).unwrap();
        let ended = self.child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{}{err}", self.said);
        self.said
    }
}

/// The folder of recorded cases, which stands beside the repository or its worktrees.
fn recorded_cases() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(1);
    let mut found = beside.map(|folder| folder.join("shared/conformance"));
    found.find(|folder| folder.join("run_cases.py").is_file())
}

/// moto's server and what it needs; `None` when they cannot be had.
fn moto() -> Option<String> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR"));
    installed(Some(&requirements.join("tests/clients/services/requirements.txt")))
}

/// `topology/serverless-crud` as it is shipped, with the test's own places of what it names.
#[test]
fn the_serverless_example_keeps_items() {
    let (Some(moto), Some(client)) = (moto(), python_client()) else { return };
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("topology/serverless-crud");
    let mut topology = fs::read_to_string(shipped.join("topology.toml")).unwrap();
    let places = [
        ("\"openapi.yaml\"", format!("\"{}\"", shipped.join("openapi.yaml").display())),
        ("\"function\"", format!("\"{}\"", shipped.join("function").display())),
        ("\"runtime\"", format!("\"{}\"", client.display())),
        ("\"http://127.0.0.1:8000\"", "\"http://SERVICES\"".to_owned()),
    ];
    for (shown, own) in places {
        assert_eq!(topology.matches(shown).count(), 1, "{shown}");
        topology = topology.replace(shown, &own);
    }
    let Some(up) = Up::start(&topology, &[]) else { return };
    let (edge, services) = ((up.base + 10).to_string(), (up.base + SERVICES_PORT).to_string());
    let ports = ["--public", &edge, "--services", &services];
    up.passes("serverless_crud.py", &[&ports[..], &["--moto", &moto]].concat());
}

/// DynamoDB, SQS, SNS, Kinesis, Firehose, S3, SSM, Step Functions and EventBridge, as moto has them.
#[test]
fn services_answer_as_integrations() {
    let Some(moto) = moto() else { return };
    let mut topology = SERVICES.to_owned();
    for name in ["dynamodb", "sqs", "sns", "kinesis", "firehose", "s3", "ssm", "states", "events"] {
        let endpoint = "http://SERVICES";
        topology.push_str(&format!("[[service]]\nname = \"{name}\"\nendpoint = \"{endpoint}\"\n"));
    }
    let Some(up) = Up::start(&topology, &["--open-admin"]) else { return };
    let (public, services) = (up.base + 3, up.base + SERVICES_PORT);
    let (public, services) = (public.to_string(), services.to_string());
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/topology/dynamodb-table.yaml");
    let ports = ["--public", &public, "--services", &services];
    up.passes("aws_services.py", &[&ports[..], &["--moto", &moto, "--example", example]].concat());
}

/// The code blocks of a section of `topology/INTEGRATIONS.md`, in one language.
fn examples(section: &str, language: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("topology/INTEGRATIONS.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let begins = format!("```{language}\n");
    let blocks = section.split(&begins).skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned() + "\n").collect()
}

#[test]
fn the_pages_examples_of_functions_and_services_run() {
    let documents = tempfile::tempdir().unwrap();
    let mut topology = SERVICES.split("[lambda]").next().unwrap().to_owned();
    let sections =
        [("mocks00001", "MOCK"), ("functions1", "Lambda"), ("services01", "AWS services")];
    for (id, section) in sections {
        let document = documents.path().join(format!("{id}.yaml"));
        fs::write(&document, examples(section, "yaml")).unwrap();
        topology.push_str(&examples(section, "toml"));
        let document = document.display();
        topology.push_str(&format!("[[api]]\ndocument = \"{document}\"\nid = \"{id}\"\n"));
    }
    let topology = topology.replace("pets.secret", "key.secret");
    let topology = ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:8000"]
        .iter()
        .fold(topology, |topology, address| topology.replace(address, "LAMBDA"));
    let Some(up) = Up::start(&topology, &[]) else { return };
    let (public, behind) = ((up.base + 3).to_string(), (up.base + LAMBDA_PORT).to_string());
    up.passes("integrations_page.py", &["--public", &public, "--behind", &behind]);
}

/// Streamed answers of a function: the client has each chunk before the next one is made.
#[test]
fn a_functions_answer_streams() {
    let Some(up) = Up::start(RECORDED, &["--open-admin"]) else { return };
    up.streams(up.base + 3, "us-east-1", "REGIONAL");
}

/// The same over an edge and the tunnel.
#[test]
fn a_functions_answer_streams_through_an_edge() {
    let topology = format!("{TOPOLOGY}[lambda]\nendpoint = \"http://LAMBDA\"\n");
    let Some(up) = Up::start(&topology, &[]) else { return };
    up.streams(up.base + 10, REGION, "EDGE");
}

#[test]
fn recorded_cases_that_passed_still_pass() {
    let Some(cases) = recorded_cases() else {
        // Not `eprintln!`, which is shown only when a test fails.
        let said = b"SKIPPED: no ../shared/conformance, so no recorded cases were run\n";
        std::io::stderr().write_all(said).unwrap();
        return;
    };
    let Some(up) = Up::start(RECORDED, &["--open-admin"]) else { return };
    let results = up.folder.path().join("results.json");
    let mut command = up.python(&cases.join("run_cases.py"));
    let invoke = format!(
        "https://{{api_id}}.execute-api.us-east-1.gateway.localhost:{}/{{stage}}{{path}}",
        up.base + 3
    );
    command.args(["--control", &up.admin(), "--invoke", &invoke, "--retry-sleep", "0.2"]);
    command.args(["--http-port", &(up.base + BACKEND_PORT).to_string()]);
    command.args(["--lambda-port", &(up.base + LAMBDA_PORT).to_string()]);
    command.arg("--json").arg(&results).arg(cases.join("cases"));
    let ended = command.output().unwrap();
    let out = String::from_utf8_lossy(&ended.stdout);
    let err = String::from_utf8_lossy(&ended.stderr);
    let results = fs::read(&results).unwrap_or_else(|gone| panic!("{gone}: {out}{err}"));
    let results: Map<String, Value> = serde_json::from_slice(&results).unwrap();

    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conformance/passing.txt");
    let wanted = fs::read_to_string(&list).unwrap();
    let wanted: BTreeSet<&str> =
        wanted.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let (passing, failing): (Vec<_>, Vec<_>) =
        results.iter().partition(|(_, verdict)| *verdict == "pass");
    let passing: BTreeSet<&str> = passing.iter().map(|(name, _)| name.as_str()).collect();
    let (unbuilt, wrong): (Vec<_>, Vec<_>) = failing
        .iter()
        .map(|(name, verdict)| (name.as_str(), verdict.as_str().unwrap_or_default()))
        .partition(|(_, verdict)| verdict.contains(NOT_BUILT));
    let mut said = format!(
        "recorded cases: {} of {} pass; {} need a data plane that is not built yet; {} others fail\n",
        passing.len(),
        results.len(),
        unbuilt.len(),
        wrong.len()
    );
    for (class, cases) in [("not built yet", &unbuilt), ("fails", &wrong)] {
        for (name, verdict) in cases {
            said += &format!("  {class}: {name}: {verdict}\n");
        }
    }
    std::io::stderr().write_all(said.as_bytes()).unwrap();

    let lost: Vec<_> = wanted
        .difference(&passing)
        .map(|name| format!("{name}: {}", results.get(*name).unwrap_or(&Value::Null)))
        .collect();
    assert!(lost.is_empty(), "these passed before:\n{}", lost.join("\n"));
    let new: Vec<_> = passing.difference(&wanted).copied().collect();
    assert!(new.is_empty(), "these pass now, add them to {}:\n{}", list.display(), new.join("\n"));
    no_errors(&up.running.err());
}
