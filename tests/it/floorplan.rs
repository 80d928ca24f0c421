//! The floor plan of `src/`: a module may use only modules on lower floors; neighbours on one
//! floor are strangers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Ground floor first; modules on one line are strangers to each other.
const FLOORS: [&[&str]; 10] = [
    &["model", "net"],
    &["call"],
    &["gossip", "listener", "store", "telemetry", "tunnel"],
    &["auth", "cache", "integration", "limits", "mapping"],
    &["deployment"],
    &["pipeline"],
    &["admin"],
    &["node"],
    &["cli", "topology"],
    &["lib", "main"],
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The room a file belongs to: the first part of its path below `src/`.
fn module_of(file: &Path, src: &Path) -> String {
    let first = file.strip_prefix(src).unwrap().components().next().unwrap();
    let name = first.as_os_str().to_str().unwrap();
    name.strip_suffix(".rs").unwrap_or(name).to_owned()
}

/// Every `crate::x` and, in a grouped import, every `crate::{x, y}` of a file.
fn uses(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for rest in line.split("crate::").skip(1) {
            let names = rest.strip_prefix('{').unwrap_or(rest);
            for part in names.split(',') {
                let name: String = part
                    .trim()
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                if !name.is_empty() {
                    used.insert(name);
                }
                if !rest.starts_with('{') {
                    break;
                }
            }
        }
    }
    used
}

#[test]
fn modules_use_only_lower_floors() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for file in files {
        let module = module_of(&file, &src);
        let Some(own) = floor(&module) else {
            wrong.push(format!("{}: module `{module}` stands on no floor", file.display()));
            continue;
        };
        for used in uses(&fs::read_to_string(&file).unwrap()) {
            if used == module {
                continue;
            }
            if let Some(other) = floor(&used)
                && other >= own
            {
                wrong.push(format!("{}: {module} may not use {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_use_of_a_higher_floor_is_seen() {
    let found = uses("use crate::{pipeline, node};\nuse crate::admin::x;\n// crate::cli\n");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["admin", "node", "pipeline"]);
}
