//! The README's tour, walked: every command of its `console` blocks is run, in order, and what it
//! prints is compared with what the page shows.
//!
//! Lines that begin with `$ ` are commands, `> ` goes on with the one before; the rest is output,
//! of which a last line `…` stands for more.
//! The page shows real output. What differs from run to run (times, ids of requests, folders) is
//! made equal on both sides by [`plain`].
//!
//! Two things are not as on the page. `cargo run --release -- up` starts the program that these
//! tests were built with: a `cargo` and a `tidegate` of our own stand first in the PATH. And where
//! one of the default ports is taken, all of them are moved, on both sides.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use regex::Regex;

use crate::process::{PATIENCE, Running, is_free, port_base, program, run};

/// Of the README's default topology, with the place each gets behind `--port-base`.
const PORTS: [(u16, u16); 8] =
    [(4700, 0), (4701, 1), (4702, 2), (8440, 3), (8443, 10), (4710, 12), (8444, 20), (4720, 22)];
/// Gossip's ports, which no page mentions.
const OTHER_PORTS: [u16; 2] = [4711, 4721];

const UP: &str = "cargo run --release -- up";

#[derive(Debug)]
struct Step {
    command: String,
    output: Vec<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if !inside {
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), output: Vec::new() });
        } else {
            let step = steps.last_mut().expect("a block begins with a command");
            match line.strip_prefix("> ") {
                Some(more) if step.output.is_empty() => {
                    step.command.push('\n');
                    step.command.push_str(more);
                }
                _ => step.output.push(line.to_owned()),
            }
        }
    }
    steps
}

/// Text without what differs from run to run.
fn plain(text: &str) -> String {
    let rules = [
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
        (r"(?m)^(x-amz-apigw-id: ).*$", "${1}ID"),
        (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "DATE"),
        (r"(?m)^(age: )\d+", "${1}SECONDS"),
        (r"\S*/tidegate-data/", "tidegate-data/"),
        (r"(AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY)=\S+", "${1}=KEY"),
        // Of `tidegate status`: fill and uptime.
        (r"\d+(\.\d)? (B|KiB|MiB) +\d+ +\d+(\.\d)? (B|KiB|MiB) +(\d+m )?\d+s", "FILL UPTIME"),
        (r"[ \t\r]+", " "),
    ];
    let text = rules.iter().fold(text.to_owned(), |text, (pattern, with)| {
        Regex::new(pattern).unwrap().replace_all(&text, *with).into_owned()
    });
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

#[test]
fn the_tour_of_the_readme_is_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let steps = steps(&fs::read_to_string(root.join("README.md")).unwrap());
    assert!(steps.len() >= 8, "the tour is gone: {steps:?}");
    assert_eq!(steps[0].command, UP);

    let free = PORTS.iter().map(|(port, _)| *port).chain(OTHER_PORTS).all(is_free);
    let mut tour = Tour::new(root, (!free).then(port_base));
    for step in &steps {
        tour.take(step);
    }
    if let Some(mut up) = tour.up.take() {
        interrupt(&mut up);
    }
}

struct Tour {
    folder: tempfile::TempDir,
    /// Where the ports are moved to, if they are.
    base: Option<u16>,
    path: String,
    up: Option<Running>,
    /// Variables of the reader's shell.
    assigned: Vec<String>,
}

impl Tour {
    fn new(root: &Path, base: Option<u16>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        symlink(root.join("topology"), folder.path().join("topology")).unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let (moved, admin) = match base {
            Some(base) => {
                (format!("--port-base {base}"), format!("--admin http://127.0.0.1:{base}"))
            }
            None => (String::new(), String::new()),
        };
        let tidegate = format!(
            "#!/bin/bash\ncase \"$1\" in\n  up) exec '{0}' \"$@\" {moved} ;;\n  \
             status|purge) exec '{0}' \"$@\" {admin} ;;\n  *) exec '{0}' \"$@\" ;;\nesac\n",
            program()
        );
        script(&bin.join("tidegate"), &tidegate);
        let cargo = "#!/bin/bash\n[ \"$1 $2 $3\" = 'run --release --' ] || exit 64\n\
                     shift 3\nexec tidegate \"$@\"\n";
        script(&bin.join("cargo"), cargo);
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        Self { folder, base, path, up: None, assigned: Vec::new() }
    }

    fn take(&mut self, step: &Step) {
        let command = self.moved(&step.command);
        let expected = plain(&self.moved(&step.output.join("\n")));
        let is_as_shown = |said: &str| match expected.strip_suffix('…') {
            Some(beginning) => plain(said).starts_with(beginning),
            None => plain(said) == expected,
        };
        if step.command.starts_with(UP) {
            if let Some(mut up) = self.up.take() {
                interrupt(&mut up);
            }
            let mut up = Running::command(self.shell(&format!("exec {command}")));
            up.until("what the page shows", |up| is_as_shown(&up.out()));
            self.up = Some(up);
            return;
        }
        if Regex::new(r"^[A-Z]+=").unwrap().is_match(&command) {
            assert_eq!(expected, "", "an assignment prints nothing");
            self.assigned.push(command);
            return;
        }
        // Gossip needs a moment; only a question may be asked again.
        let end = Instant::now() + PATIENCE;
        loop {
            let line = [self.assigned.join("\n"), command.clone()].join("\n");
            let output = self.shell(&line).output().unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            if is_as_shown(&said) {
                return;
            }
            let again = command.starts_with("tidegate status") && Instant::now() < end;
            assert!(again, "`{command}` printed\n{said}\nwhich is not what the page shows");
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", line]).env("PATH", &self.path).current_dir(self.folder.path());
        command
    }

    fn moved(&self, text: &str) -> String {
        let Some(base) = self.base else { return text.to_owned() };
        let ports = Regex::new(r":(\d{4})\b").unwrap();
        let place = |port: u16| PORTS.iter().find(|(own, _)| *own == port).map(|(_, place)| *place);
        ports
            .replace_all(text, |found: &regex::Captures<'_>| {
                match found[1].parse().ok().and_then(place) {
                    Some(place) => format!(":{}", base + place),
                    None => found[0].to_owned(),
                }
            })
            .into_owned()
    }
}

/// Ctrl-C.
fn interrupt(up: &mut Running) {
    up.signal("-INT");
    assert_eq!(up.end().code(), Some(0), "{}", up.err());
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The topology for three machines is one that `tidegate check` accepts.
#[test]
fn the_topology_of_the_readme_is_sound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("README.md")).unwrap();
    let text = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cluster.toml"), text).unwrap();
    fs::copy(root.join("topology/petstore.yaml"), folder.path().join("shop.yaml")).unwrap();
    let ended = run(folder.path(), &["check", "cluster.toml"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "cluster.toml: ok\n"), "{ended:?}");
}

#[test]
fn a_page_is_read_as_it_is_meant() {
    let page = "```console\n$ one <<END\n> more\n> END\nsays\n> this\n```\n```\n$ not\n```\n";
    let steps = steps(page);
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].command, "one <<END\nmore\nEND");
    assert_eq!(steps[0].output, ["says", "> this"]);
}

#[test]
fn only_what_varies_is_made_equal() {
    assert_eq!(plain("age: 7\r\nx-cache: Hit\r\n"), plain("age: 12\nx-cache: Hit"));
    assert_ne!(plain("x-cache: Hit"), plain("x-cache: Miss"));
    assert_ne!(plain("HTTP/2 200"), plain("HTTP/2 403"));
}
