//! The command line as scripts and people use it: what it prints, and what it ends with.
//!
//! Exit codes: 0 a clean stop, 64 bad usage, 78 bad configuration (sysexits.h), 1 anything else.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Ended, PATIENCE, Running, port_base, run, shell};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// `up` with all nodes of the default topology ready.
fn up(folder: &Path, base: u16, more: &[&str]) -> Running {
    let base = base.to_string();
    let mut arguments = vec!["up", "--data", "data", "--port-base", &base];
    arguments.extend(more);
    let mut running = Running::start(folder, &arguments);
    // An API's curl lines come last, one per edge.
    running.until("the ready lines", |up| up.out().matches("  curl ").count() >= 2);
    running
}

fn curl_lines(out: &str) -> Vec<&str> {
    out.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect()
}

#[track_caller]
fn ends(ended: &Ended, code: i32, says: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for text in says {
        assert!(ended.err.contains(text) || ended.out.contains(text), "`{text}`? {ended:?}");
    }
}

const DEFINITION: &str = r"openapi: 3.0.1
info: { title: shop, version: '1' }
paths:
  /greet:
    get:
      responses: { '200': { description: hello } }
      x-amazon-apigateway-integration:
        type: http_proxy
        httpMethod: GET
        uri: http://BACKEND/greet
";

fn definition(backend: SocketAddr) -> String {
    DEFINITION.replace("BACKEND", &backend.to_string())
}

/// A backend that tells of each call and answers it with what it is given.
fn backend() -> (SocketAddr, mpsc::Receiver<mpsc::Sender<&'static str>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (called, calls) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let called = called.clone();
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                loop {
                    line.clear();
                    match stream.read_line(&mut line) {
                        Ok(0) | Err(_) => return,
                        // The end of a head; no call here has a body.
                        Ok(_) if line == "\r\n" => {}
                        Ok(_) => continue,
                    }
                    let (answer, given) = mpsc::channel();
                    if called.send(answer).is_err() {
                        return;
                    }
                    let body: &str = given.recv_timeout(PATIENCE).unwrap_or("nobody answered");
                    let text =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    if stream.get_mut().write_all(text.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, calls)
}

// ---- usage

#[test]
fn bad_usage_ends_with_64_and_says_how() {
    let folder = folder();
    for line in [
        &["upp"][..],
        &["up", "--port-base", "x"],
        &["node", "fra"],
        &["check"],
        &["purge", "--api", "a"],
        &["ca"],
        &["status", "--topology", "t", "--admin", "u"],
        &[],
    ] {
        let ended = run(folder.path(), line);
        ends(&ended, 64, &["--help"]);
        assert_eq!(ended.out, "", "{line:?}");
    }
    // The nearest command is named.
    ends(&run(folder.path(), &["stats"]), 64, &["'status'"]);
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = folder();
    let version = run(folder.path(), &["--version"]);
    ends(&version, 0, &[]);
    assert_eq!(version.out, format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
    let help = run(folder.path(), &["--help"]);
    ends(&help, 0, &["64 bad usage", "78 bad configuration"]);
    for command in ["up", "node", "check", "status", "purge", "backup", "ca"] {
        assert!(help.out.contains(command));
        let ended = run(folder.path(), &[command, "--help"]);
        ends(&ended, 0, &["Usage: tidegate", "Examples:", &format!("  tidegate {command}")]);
    }
    for command in ["init", "issue"] {
        ends(&run(folder.path(), &["ca", command, "--help"]), 0, &["--topology", "--out"]);
    }
}

// ---- configuration

const TOPOLOGY_WITH_MISTAKES: &str = r#"[cluster]
name = "two words"
colour = "green"

[region]
listenrs = { public = "127.0.0.1:8440" }

[[edge]]
pop = "fra1"
"#;

#[test]
fn check_lists_every_problem_with_its_line() {
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("t.toml", TOPOLOGY_WITH_MISTAKES);
    write(
        "shop.yaml",
        &definition("127.0.0.1:9".parse().unwrap())
            .replace("http_proxy", "htp_proxy")
            .replace("    get:", "    get:\n      security: [{ key: [] }]"),
    );
    write("good.yaml", &definition("127.0.0.1:9".parse().unwrap()));
    let ended = run(folder.path(), &["check", "good.yaml", "t.toml", "shop.yaml", "gone.toml"]);
    ends(
        &ended,
        78,
        &[
            "t.toml:2:",
            "t.toml:3:1: cluster.colour: unknown key",
            "t.toml:6:1: region.listenrs: unknown key (did you mean `listeners`?)",
            "t.toml:8:1: edge[0]: `name` is missing",
            "shop.yaml:6:",
            "shop.yaml:9:",
            "htp_proxy",
            "gone.toml: cannot be read",
        ],
    );
    assert_eq!(ended.out, "good.yaml: ok\n");

    // The same file is refused in the same words by whoever reads it.
    let problems: Vec<&str> = ended.err.lines().filter(|line| line.starts_with("t.toml")).collect();
    for command in [
        &["up", "--topology", "t.toml"][..],
        &["node", "x", "--topology", "t.toml"],
        &["ca", "init", "--topology", "t.toml"],
        &["status", "--topology", "t.toml"],
    ] {
        ends(&run(folder.path(), command), 78, &problems);
    }
}

#[test]
fn check_warns_of_what_is_passed_over() {
    let folder = folder();
    let text = definition("127.0.0.1:9".parse().unwrap())
        .replace("    get:", "    get:\n      securty: []");
    fs::write(folder.path().join("shop.yaml"), text).unwrap();
    let ended = run(folder.path(), &["check", "shop.yaml"]);
    let warning = "shop.yaml: warning: Unknown key `securty` is ignored; did you mean `security`? \
                   (paths./greet.get.securty, line 6, column 7)";
    ends(&ended, 0, &[warning]);
    assert_eq!(ended.out, "shop.yaml: ok\n");
}

#[test]
fn shipped_files_pass_the_check() {
    let topology = Path::new(env!("CARGO_MANIFEST_DIR")).join("topology");
    let mut names: Vec<String> = fs::read_dir(&topology)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        // Not the pages about them, whose examples have tests of their own, nor secrets.
        .filter(|name| name.ends_with(".toml") || name.ends_with(".yaml"))
        .collect();
    names.sort();
    let mut arguments = vec!["check"];
    arguments.extend(names.iter().map(String::as_str));
    let ended = run(&topology, &arguments);
    ends(&ended, 0, &[]);
    assert_eq!(ended.out.lines().count(), names.len());
}

#[test]
fn a_bad_document_ends_up_with_78() {
    let folder = folder();
    fs::write(folder.path().join("shop.yaml"), "openapi: 3.0.1\ninfo: {}\npathz: {}\n").unwrap();
    let base = port_base().to_string();
    let ended = run(folder.path(), &["up", "shop.yaml", "--data", "d", "--port-base", &base]);
    ends(&ended, 78, &["shop.yaml:"]);
    assert_eq!(ended.out, "", "nothing is ready");
    ends(&run(folder.path(), &["up", "gone.yaml"]), 78, &["gone.yaml: cannot be read"]);
}

#[test]
fn a_taken_port_is_named() {
    let folder = folder();
    let base = port_base();
    let taken = TcpListener::bind(("127.0.0.1", base + 10)).unwrap();
    let text = base.to_string();
    let ended = run(folder.path(), &["up", "--data", "d", "--port-base", &text]);
    ends(&ended, 1, &[&taken.local_addr().unwrap().to_string(), "already in use"]);
    // The region was there, and its key is shown only once.
    assert!(!ended.out.contains("ready"), "nothing is ready: {}", ended.out);
}

#[test]
fn a_port_base_without_room_is_refused() {
    ends(&run(folder().path(), &["up", "--port-base", "65530"]), 78, &["leaves no room"]);
}

// ---- running

#[test]
fn the_default_cluster_serves_tells_and_purges() {
    let folder = folder();
    let base = port_base();
    let mut running = up(folder.path(), base, &[]);
    let out = running.out();
    for line in [
        format!("region region: ready  public https://127.0.0.1:{}", base + 3),
        format!("edge edge-a: ready  public https://127.0.0.1:{}", base + 10),
        format!("edge edge-b: ready  public https://127.0.0.1:{}", base + 20),
    ] {
        assert!(out.contains(&line), "{line}\n{out}");
    }

    // From any folder, as one who pastes it may be anywhere.
    let elsewhere = tempfile::tempdir().unwrap();
    let lines = curl_lines(&out);
    assert_eq!(lines.len(), 2);
    for line in lines {
        ends(&shell(elsewhere.path(), &format!("{line} -sSf")), 0, &["\"type\":\"dog\""]);
    }

    let admin = format!("http://127.0.0.1:{base}");
    // Gossip tells, and gossip needs a moment.
    let mut status = Value::Null;
    running.until("all nodes", |_| {
        let json = run(folder.path(), &["status", "--json", "--admin", &admin]);
        ends(&json, 0, &[]);
        status = serde_json::from_str(&json.out).unwrap();
        let nodes = status["nodes"].as_array().unwrap();
        nodes.iter().filter(|node| node["alive"] == true).count() == 3
    });
    let names: Vec<&str> =
        status["nodes"].as_array().unwrap().iter().map(|n| n["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["edge-a", "edge-b", "region"]);
    let api = status["apis"][0]["id"].as_str().unwrap();
    ends(&run(folder.path(), &["status", "--admin", &admin]), 0, &["NODE", "edge-b", "UPTIME"]);

    let purge = ["purge", "--api", api, "--stage", "prod", "--admin", &admin];
    let purged = run(folder.path(), &purge);
    ends(&purged, 0, &["purge 1: 3 of 3 nodes confirmed"]);
    let mut glob = purge.to_vec();
    glob.extend(["--path", "/pets/*"]);
    ends(&run(folder.path(), &glob), 0, &["purge 2: 3 of 3 nodes confirmed"]);
    glob[4] = "test";
    ends(&run(folder.path(), &glob), 1, &["there is no stage `test`"]);
    let at_edge = format!("http://127.0.0.1:{}", base + 12);
    let refused =
        run(folder.path(), &["purge", "--api", api, "--stage", "prod", "--admin", &at_edge]);
    ends(&refused, 1, &["ask the region"]);

    let ended = running.stop();
    ends(&ended, 0, &[]);
    assert!(!ended.err.contains("foyer"), "the disk engine talks: {}", ended.err);
    assert!(!ended.err.contains(" WARN ") && !ended.err.contains(" ERROR "), "{}", ended.err);
    ends(&run(folder.path(), &["status", "--admin", &admin]), 1, &["nobody answers at"]);
}

#[test]
fn private_keys_are_their_owners_only() {
    let folder = folder();
    let running = up(folder.path(), port_base(), &[]);
    let mut keys = 0;
    for part in ["ca", "region", "edge-a", "edge-b"] {
        for entry in fs::read_dir(folder.path().join("data").join(part)).unwrap() {
            let entry = entry.unwrap();
            if entry.path().extension().is_some_and(|end| end == "key") {
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
                keys += 1;
            }
        }
    }
    // Two of each folder, and the one that seals the region's store.
    assert_eq!(keys, 9);
    ends(&running.stop(), 0, &[]);
}

#[test]
fn sigterm_lets_the_call_in_flight_finish() {
    let folder = folder();
    let (address, calls) = backend();
    fs::write(folder.path().join("shop.yaml"), definition(address)).unwrap();
    let running = up(folder.path(), port_base(), &["shop.yaml"]);
    let line = curl_lines(&running.out())[0].to_owned();
    let at = folder.path().to_owned();
    let client = thread::spawn(move || shell(&at, &format!("{line} -sS")));
    let answer = calls.recv_timeout(PATIENCE).unwrap();
    running.signal("-TERM");
    let mut running = running;
    running.until("that it stops", |up| up.err().contains("calls in flight may finish"));
    answer.send("late but whole").unwrap();
    ends(&client.join().unwrap(), 0, &["late but whole"]);
    assert_eq!(running.end().code(), Some(0));
}

/// Each start is stopped a little further on, from the moment a door opens: whatever answers calls
/// stops in order, and shows the key it made. Only until then is there nothing to stop.
#[test]
fn sigterm_before_all_is_announced_stops_in_order() {
    /// Ports from the base, in the order in which they open: the region's, then each edge's.
    const DOORS: [u16; 6] = [3, 3, 10, 10, 20, 20];
    for (start, door) in DOORS.into_iter().enumerate() {
        let folder = folder();
        let base = port_base();
        let port = base.to_string();
        let arguments = ["up", "--data", "data", "--port-base", &port];
        let mut running = Running::start(folder.path(), &arguments);
        let is_open = || TcpStream::connect(("127.0.0.1", base + door)).is_ok();
        running.until_soon("an open door", is_open);
        let ended = running.stop();
        ends(&ended, 0, &["calls in flight may finish", "AWS_SECRET_ACCESS_KEY="]);
        assert_eq!(ended.out.matches("AWS_SECRET_ACCESS_KEY=").count(), 1, "{start}: {ended:?}");
    }
}

/// The same with a call that was answered, by whichever edge is the first to have the API.
#[test]
fn sigterm_right_after_the_first_answer_stops_in_order() {
    let folder = folder();
    let base = port_base();
    let first = up(folder.path(), base, &[]);
    let call = format!("{} -sSf", curl_lines(&first.out())[0]);
    ends(&first.stop(), 0, &[]);
    let port = base.to_string();
    for _ in 0..6 {
        let arguments = ["up", "--data", "data", "--port-base", &port];
        let mut running = Running::start(folder.path(), &arguments);
        running.until_soon("an answer", || shell(folder.path(), &call).code == Some(0));
        ends(&running.stop(), 0, &["calls in flight may finish"]);
    }
}

#[test]
fn a_changed_document_is_served_and_a_broken_one_is_not() {
    let folder = folder();
    let (first, first_calls) = backend();
    let (second, second_calls) = backend();
    let document = folder.path().join("shop.yaml");
    let answer = |calls: mpsc::Receiver<mpsc::Sender<&'static str>>, body: &'static str| {
        thread::spawn(move || {
            for call in calls {
                // The client may have gone.
                call.send(body).ok();
            }
        })
    };
    answer(first_calls, "the first");
    answer(second_calls, "the second");

    fs::write(&document, definition(first)).unwrap();
    let mut running = up(folder.path(), port_base(), &["shop.yaml"]);
    let call = format!("{} -sS", curl_lines(&running.out())[0]);
    let at = folder.path().to_owned();
    let says = move |body: &str| shell(&at, &call).out == body;
    assert!(says("the first"));

    fs::write(&document, definition(first).replace("type: http_proxy", "type: htp_proxy")).unwrap();
    running.until("the complaint", |up| {
        let err = up.err();
        err.contains("the APIs stay as they were")
            && err.contains("shop.yaml:8:")
            && err.contains("htp_proxy")
    });
    assert!(says("the first"), "the old one is kept");

    fs::write(&document, definition(second)).unwrap();
    running.until("the new document", |_| says("the second"));
    ends(&running.stop(), 0, &[]);
}

/// An edge starts with the copy it has on disk, but what is printed is what is served from now on.
#[test]
fn the_ready_lines_tell_of_the_new_api() {
    let folder = folder();
    let base = port_base();
    let first = up(folder.path(), base, &[]);
    let before = curl_lines(&first.out()).join("\n");
    ends(&first.stop(), 0, &[]);
    fs::write(folder.path().join("shop.yaml"), definition("127.0.0.1:9".parse().unwrap())).unwrap();
    let second = up(folder.path(), base, &["shop.yaml"]);
    let lines = curl_lines(&second.out()).join("\n");
    assert!(before.ends_with("/prod/pets") && lines.ends_with("/prod/greet"), "{lines}");
    assert_eq!(lines.matches("/prod/greet").count(), 2, "{lines}");
    ends(&second.stop(), 0, &[]);
}

// ---- the cluster's authorities

#[test]
fn ca_makes_files_that_node_starts_with() {
    let folder = folder();
    let base = port_base();
    let text = include_str!("../../topology/regional-only.toml")
        .replace("8440", &(base + 3).to_string())
        .replace("8080", &(base + 5).to_string())
        .replace("4700", &base.to_string())
        .replace("4702", &(base + 2).to_string());
    fs::write(folder.path().join("t.toml"), text).unwrap();
    let at = |name: &str| folder.path().join(name);
    let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
    let node = ["node", "region", "--topology", "t.toml", "--data", "data"];
    let ca = |words: &[&str]| {
        let mut line = vec!["ca"];
        line.extend(words);
        line.extend(["--topology", "t.toml", "--out", "ca"]);
        run(folder.path(), &line)
    };

    ends(
        &run(folder.path(), &node),
        1,
        &["region.pem", "No such file", "tidegate ca issue region"],
    );
    ends(&ca(&["issue", "region"]), 1, &["tidegate ca init"]);
    ends(&ca(&["init"]), 0, &["ca/cluster-ca.pem", "ca/public-ca.pem"]);
    ends(&ca(&["init"]), 1, &["exists already"]);
    ends(&ca(&["issue", "nobody"]), 78, &["`nobody`", "region"]);
    let issued = ca(&["issue", "region"]);
    ends(&issued, 0, &["ca/public-ca.pem"]);
    for (name, expected) in [
        ("ca/cluster-ca.key", 0o600),
        ("ca/cluster-ca.pem", 0o644),
        ("ca/public-ca.key", 0o600),
        ("ca/public-ca.pem", 0o644),
        ("ca/region.key", 0o600),
        ("ca/region-https.key", 0o600),
    ] {
        assert_eq!(mode(name), expected, "{name}");
    }

    fs::create_dir_all(at("data/region")).unwrap();
    let mut brought = 0;
    for file in issued.out.lines().filter_map(|line| line.strip_prefix("  ")) {
        fs::copy(at(file), at("data/region").join(at(file).file_name().unwrap())).unwrap();
        brought += 1;
    }
    assert_eq!(brought, 5, "{}", issued.out);
    fs::copy(at("ca/public-ca.pem"), at("data/region/public-ca.pem")).unwrap();
    let mut running = Running::start(folder.path(), &node);
    running.until("the curl line", |node| node.out().contains("  curl --cacert "));
    let line = format!("{} -sSf", curl_lines(&running.out())[0]);
    ends(&shell(folder.path(), &line), 0, &["\"type\":\"dog\""]);
    ends(&running.stop(), 0, &[]);
    ends(
        &run(folder.path(), &["node", "fra", "--topology", "t.toml"]),
        78,
        &["no node `fra`; it has region"],
    );
}
