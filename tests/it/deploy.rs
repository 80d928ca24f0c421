//! The examples in `deploy/` are read by machines that are not here. This keeps them valid: units
//! by systemd's own checker where there is one, and always by a strict reader of our own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tidegate::telemetry::metrics::names::{ALL, Kind};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    let path = root().join("deploy").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const UNITS: [&str; 2] = ["tidegate-region.service", "tidegate-edge@.service"];

/// What our units may say, by section: systemd.unit(5), systemd.service(5), systemd.exec(5),
/// systemd.kill(5). systemd only warns of a key it does not know, and then runs without it.
const UNIT_KEYS: [(&str, &[&str]); 3] = [
    (
        "Unit",
        &[
            "Description",
            "Documentation",
            "Wants",
            "After",
            "StartLimitIntervalSec",
            "StartLimitBurst",
        ],
    ),
    (
        "Service",
        &[
            "Type",
            "NotifyAccess",
            "ExecStart",
            "User",
            "Group",
            "UMask",
            "StateDirectory",
            "StateDirectoryMode",
            "Restart",
            "RestartSec",
            "RestartPreventExitStatus",
            "KillSignal",
            "TimeoutStopSec",
            "TimeoutStartSec",
            "LimitNOFILE",
            "LimitCORE",
            "AmbientCapabilities",
            "CapabilityBoundingSet",
            "NoNewPrivileges",
            "ProtectSystem",
            "ProtectHome",
            "ProtectProc",
            "PrivateTmp",
            "PrivateDevices",
            "ProtectClock",
            "ProtectHostname",
            "ProtectControlGroups",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "RestrictRealtime",
            "RestrictSUIDSGID",
            "RemoveIPC",
            "LockPersonality",
            "MemoryDenyWriteExecute",
            "SystemCallArchitectures",
            "SystemCallFilter",
            "SystemCallErrorNumber",
        ],
    ),
    ("Install", &["WantedBy"]),
];

/// (section, key, value) of each assignment, or what is wrong and where.
fn parse_unit(text: &str) -> Result<Vec<(&'static str, String, String)>, String> {
    let mut section = None;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| Err(format!("line {}: {what}: {line}", number + 1));
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = UNIT_KEYS.iter().find(|(known, _)| *known == name);
            if section.is_none() {
                return wrong("unknown section");
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { return wrong("no assignment") };
        let Some((name, keys)) = section else { return wrong("outside any section") };
        if !keys.contains(&key) {
            return wrong("unknown key");
        }
        if value.is_empty() || value != value.trim() {
            return wrong("empty or padded value");
        }
        found.push((*name, key.to_owned(), value.to_owned()));
    }
    Ok(found)
}

#[test]
fn units_say_what_they_must() {
    for unit in UNITS {
        let found = parse_unit(&read(unit)).unwrap_or_else(|wrong| panic!("{unit}: {wrong}"));
        let value = |key: &str| {
            let found = found.iter().find(|(_, found, _)| found == key);
            found.unwrap_or_else(|| panic!("{unit}: no {key}")).2.as_str()
        };
        assert_eq!(value("Type"), "notify");
        assert_eq!(value("User"), "tidegate");
        assert_eq!(value("ProtectSystem"), "strict");
        assert_eq!(value("NoNewPrivileges"), "true");
        assert_eq!(value("RestartPreventExitStatus"), "64 78");
        assert!(value("LimitNOFILE").parse::<u64>().unwrap() >= 65_536);
        // Longer than the grace of 30 s, or systemd would cut the drain short.
        assert!(value("TimeoutStopSec").parse::<u64>().unwrap() > 30);
        // The data folder, and the node's own below it, are ones that systemd makes for the unit's
        // user; `--data DIR` is the parent.
        let words: Vec<_> = value("ExecStart").split(' ').collect();
        let after = |word| words[words.iter().position(|found| *found == word).unwrap() + 1];
        let data = after("--data").strip_prefix("/var/lib/").unwrap();
        for folder in [data.to_owned(), format!("{data}/{}", after("node"))] {
            assert!(value("StateDirectory").split(' ').any(|made| made == folder), "{unit}");
        }
    }
}

#[test]
fn the_unit_reader_is_strict() {
    for wrong in [
        "[Servce]\n",
        "Type=notify\n",
        "[Unit]\nProtectSystm=strict\n",
        "[Unit]\nWants\n",
        "[Unit]\nWants=\n",
    ] {
        assert!(parse_unit(wrong).is_err(), "{wrong}");
    }
}

/// systemd's own opinion, where systemd is installed; it reports most mistakes as mere warnings.
#[test]
fn systemd_accepts_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("systemd-analyze is not installed: the units were checked by our reader only");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_tidegate");
    for unit in UNITS {
        let text = read(unit).replace("/usr/local/bin/tidegate", program);
        let path = folder.path().join(unit.replace("@.", "@fra."));
        fs::write(&path, text).unwrap();
        let verdict = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&path)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&verdict.stderr);
        // Other units of the machine are read along and may have faults of their own.
        let ours: Vec<_> = words.lines().filter(|line| line.contains("tidegate")).collect();
        assert!(ours.is_empty(), "{unit}: {words}");
    }
}

/// Instructions of a container file, continuation lines joined, comments left out.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    lines
        .join("\n")
        .replace("\\\n", " ")
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let (instruction, rest) = line.split_once(' ').unwrap_or((line, ""));
            (instruction.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

#[test]
fn the_container_file_can_be_built_from_here() {
    const KNOWN: [&str; 12] = [
        "FROM",
        "ENV",
        "WORKDIR",
        "COPY",
        "RUN",
        "USER",
        "VOLUME",
        "EXPOSE",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
        "LABEL",
    ];
    let found = instructions(&read("Containerfile"));
    assert_eq!(found[0].0, "FROM");
    let mut stages = BTreeSet::new();
    for (instruction, rest) in &found {
        assert!(KNOWN.contains(&instruction.as_str()), "{instruction} {rest}");
        let words: Vec<_> = rest.split(' ').collect();
        match instruction.as_str() {
            "FROM" => {
                if let [_, "AS", name] = words[..] {
                    stages.insert(name);
                }
                // A floating tag would build something else tomorrow.
                assert!(words[0].contains(':') && !words[0].ends_with(":latest"), "{rest}");
            }
            "COPY" => match words[0].strip_prefix("--from=") {
                Some(stage) => assert!(stages.contains(stage), "{rest}"),
                None => {
                    for source in &words[..words.len() - 1] {
                        assert!(root().join(source).exists(), "COPY {source}: not there");
                    }
                }
            },
            "ENTRYPOINT" | "CMD" => {
                assert!(serde_json::from_str::<Vec<String>>(rest).is_ok(), "{rest}");
            }
            _ => {}
        }
    }
    let last = found.iter().rposition(|(instruction, _)| instruction == "FROM").unwrap();
    let user = found[last..].iter().rfind(|(instruction, _)| instruction == "USER");
    let user = &user.expect("the last stage names a user").1;
    assert!(!user.starts_with('0') && !user.starts_with("root"), "runs as root");
}

#[test]
fn the_container_builds_with_our_toolchain() {
    let toolchain = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let toolchain: toml::Value = toml::from_str(&toolchain).unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let file = read("Containerfile");
    assert!(file.contains(&format!("/library/rust:{channel}-")), "image");
    assert!(file.contains(&format!("RUSTUP_TOOLCHAIN={channel}\n")), "environment");
}

/// Names of series a scrape can return.
fn series() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for family in ALL {
        match family.kind {
            Kind::Counter | Kind::Gauge => {
                names.insert(family.name.to_owned());
            }
            Kind::Histogram => {
                names.extend(
                    ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", family.name)),
                );
            }
        }
    }
    names
}

/// Every `tidegate_…` word of a text.
fn metric_names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("tidegate_"))
        .map(str::to_owned)
        .collect()
}

fn assert_metrics_exist(what: &str, text: &str) {
    let (used, known) = (metric_names(text), series());
    assert!(!used.is_empty(), "{what} uses no metric");
    let missing: Vec<_> = used.difference(&known).collect();
    assert!(missing.is_empty(), "{what} uses metrics that do not exist: {missing:?}");
}

#[test]
fn the_dashboard_shows_metrics_that_exist() {
    let text = read("dashboard.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert_metrics_exist("dashboard.json", &text);
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut queries = 0;
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "panel id twice: {}", panel["id"]);
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24);
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            assert!(is_balanced(query), "{query}");
            queries += 1;
        }
    }
    assert!(queries >= 10);
}

#[test]
fn alerts_and_scrapes_are_yaml_and_use_metrics_that_exist() {
    let alerts = read("alerts.yml");
    assert_metrics_exist("alerts.yml", &alerts);
    let alerts: Value = serde_saphyr::from_str(&alerts).unwrap();
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    let mut names = BTreeSet::new();
    for rule in rules {
        assert!(names.insert(rule["alert"].as_str().unwrap()), "alert twice: {rule}");
        assert!(is_balanced(rule["expr"].as_str().unwrap()), "{rule}");
        assert!(rule["annotations"]["summary"].is_string(), "{rule}");
    }
    let scrapes: Value = serde_saphyr::from_str(&read("prometheus.yml")).unwrap();
    for job in scrapes["scrape_configs"].as_array().unwrap() {
        assert_eq!(job["metrics_path"], "/metrics");
    }
    for file in scrapes["rule_files"].as_array().unwrap() {
        assert!(root().join("deploy").join(file.as_str().unwrap()).exists());
    }
}

/// Queries on the reference page are meant to be pasted.
#[test]
fn the_reference_page_uses_metrics_that_exist() {
    let page = read("metrics.md");
    let queries: Vec<_> = page.lines().filter(|line| line.contains("rate(")).collect();
    assert_metrics_exist("metrics.md", &queries.join("\n"));
}

fn is_balanced(query: &str) -> bool {
    let mut open = Vec::new();
    for c in query.chars() {
        match c {
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(c) => return false,
            _ => {}
        }
    }
    open.is_empty()
}

/// The readme of the folder names every file in it.
#[test]
fn the_folder_is_described() {
    let readme = read("README.md");
    for entry in fs::read_dir(Path::new(&root()).join("deploy")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || readme.contains(&format!("`{name}`")), "{name}");
    }
}
