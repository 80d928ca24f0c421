//! Our template engine against Apache Velocity 1.7 itself, as Debian packages it.
//!
//! `tests/clients/velocity/Oracle.java` renders; it makes references that come to nothing the empty
//! text, which is AWS's one change to the language. What AWS has switched off (macros, evaluation,
//! ranges of references) is not compared. Skipped, loudly, where Java or Velocity is missing:
//! `tests/needs` installs both.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indexmap::IndexMap;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tidegate::mapping::template::{Input, Limits, ListedParameters, Overrides, Scope, Template};

const JARS: [&str; 3] = ["velocity", "commons-lang", "commons-collections3"];
/// Names that every template has.
const BEGINNING: &str = "#set($text=\"Hello World\")#set($number=42)\
    #set($long=$number.longValue())#set($real=2.5)#set($yes=true)#set($no=false)\
    #set($list=['a','b','c'])#set($map={'name':'rex','age':7,'list':['a','b','c']})#set($e='')";
/// Templates made up anew; the seed is printed with what differs.
const MADE_UP: usize = 3_000;
const SEED: u64 = 4;

/// `None` is an error.
fn ours(template: &str) -> Option<String> {
    let compiled = Template::compile(template).ok()?;
    let parameters = ListedParameters::default();
    let mut scope = Scope {
        input: Input { body: "", parameters: &parameters },
        context: &Value::Null,
        stage_variables: &IndexMap::new(),
        overrides: Overrides::default(),
        limits: Limits::default(),
    };
    compiled.render(&mut scope).ok()
}

/// The same of Velocity, or nothing where it is not installed.
fn velocitys(templates: &[String]) -> Option<Vec<Option<String>>> {
    let jars: Vec<String> = JARS.iter().map(|jar| format!("/usr/share/java/{jar}.jar")).collect();
    let missing = jars.iter().find(|jar| !Path::new(jar).exists());
    let has_java = Command::new("javac").arg("-version").output().is_ok();
    if missing.is_some() || !has_java {
        eprintln!("SKIPPED: no Apache Velocity here; `tests/needs` installs it");
        return None;
    }
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/velocity/Oracle.java");
    let mut java = Command::new("java")
        .args(["-cp", &jars.join(":")])
        .arg(oracle)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = java.stdin.take().unwrap();
    let lines: String = templates.iter().map(|template| STANDARD.encode(template) + "\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = java.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let answers: Vec<Option<String>> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let text = line.strip_prefix('=')?;
            Some(String::from_utf8(STANDARD.decode(text).unwrap()).unwrap())
        })
        .collect();
    assert_eq!(answers.len(), templates.len(), "Velocity ended early");
    Some(answers)
}

fn compare(templates: &[String]) {
    let Some(expected) = velocitys(templates) else { return };
    let mut wrong = Vec::new();
    for (template, expected) in templates.iter().zip(expected) {
        let found = ours(template);
        if found != expected {
            let template = template.strip_prefix(BEGINNING).unwrap_or(template);
            wrong.push(format!("{template:?}\n  is {found:?}\n  in Velocity {expected:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        templates.len(),
        wrong.join("\n")
    );
}

#[test]
fn cases_agree_with_velocity() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vtl/velocity.case");
    let text = std::fs::read_to_string(path).unwrap();
    let templates: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("//"))
        .map(|line| BEGINNING.to_owned() + &serde_json::from_str::<String>(line).unwrap())
        .collect();
    assert!(templates.len() > 300);
    compare(&templates);
}

/// Templates drawn from a small grammar, so that most of them are templates. Left out are quirks of
/// Velocity's lexer that nobody can want: `$a{b}` prints `{` only, `$ #set(…)` swallows the `$`, and
/// `\#define(…)` escapes its block as well.
#[test]
fn made_up_templates_agree_with_velocity() {
    let mut draw = Draw { random: StdRng::seed_from_u64(SEED) };
    let templates: Vec<String> =
        (0..MADE_UP).map(|_| BEGINNING.to_owned() + &draw.block(3)).collect();
    compare(&templates);
}

struct Draw {
    random: StdRng,
}

impl Draw {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.random_range(0..of.len())]
    }

    fn block(&mut self, depth: usize) -> String {
        let count = self.random.random_range(1..5);
        (0..count).map(|_| self.node(depth)).collect()
    }

    fn node(&mut self, depth: usize) -> String {
        let kind = self.random.random_range(0..if depth == 0 { 5 } else { 9 });
        match kind {
            0 | 1 => self.one(&["x", " ", "\n", "  \n", ", ", "a b", "}", "|"]).into(),
            2 | 3 => self.reference(depth),
            4 => {
                let name = self.one(&["$a", "$b", "$map.k", "$list[1]", "$map['k']"]);
                let (value, end) = (self.expression(2), self.one(&["", "\n", " \n", " "]));
                format!("#set({name} = {value}){end}")
            }
            5 | 6 => {
                let (condition, yes) = (self.condition(2), self.block(depth - 1));
                let end = self.one(&["#end", "#end\n", "#{end}", "#end \n"]);
                match self.random.random_bool(0.5) {
                    true => format!("#if({condition}){yes}{end}"),
                    false => {
                        format!("#if({condition})\n{yes}#else\n{}{end}", self.block(depth - 1))
                    }
                }
            }
            7 => {
                let over = self.one(&["['p', 'q']", "[1..3]", "[]", "$nope", "{'k': $text}"]);
                format!("#foreach($i in {over}){}#end", self.block(depth - 1))
            }
            _ => format!("#define($d){}#end$d", self.block(depth - 1)),
        }
    }

    fn reference(&mut self, depth: usize) -> String {
        let base =
            self.one(&["text", "number", "list", "map", "real", "yes", "a", "b", "i", "nope", "e"]);
        let steps = [
            "",
            "",
            ".name",
            ".size()",
            ".length()",
            ".get(1)",
            "[0]",
            ".list",
            "['name']",
            ".toString()",
            ".substring(1)",
            ".indexOf('l')",
            ".contains('a')",
            ".isEmpty()",
            ".toUpperCase()",
            ".replaceAll('[aeiou]', '<$0>')",
            ".keySet()",
            ".values()",
            ".intValue()",
            ".put('k', 1)",
            ".add('z')",
            ".equals('rex')",
            ".split('o').size()",
            ".trim()",
        ];
        let mut reference = format!("{base}{}", self.one(&steps));
        if depth > 1 {
            reference.push_str(self.one(&["", "", ".length()", ".toString()", ".x"]));
        }
        match self.random.random_range(0..4) {
            0 => format!("${{{reference}}}"),
            1 => format!("$!{reference}"),
            _ => format!("${reference}"),
        }
    }

    /// Literals are no conditions: AWS and Velocity differ on them (rest-data-plane 5.1).
    fn condition(&mut self, depth: usize) -> String {
        match self.random.random_range(0..if depth == 0 { 4 } else { 7 }) {
            0 => self.reference(1),
            1 => format!("!{}", self.reference(1)),
            2 => self.one(&["true", "false", "$no"]).into(),
            3 => {
                let operator = self.one(&["==", "!=", "<", ">=", "eq", "gt"]);
                format!("{} {operator} {}", self.operand(), self.operand())
            }
            4 => format!("({})", self.condition(depth - 1)),
            _ => {
                let operator = self.one(&["&&", "||", "and", "or"]);
                format!("{} {operator} {}", self.condition(depth - 1), self.condition(depth - 1))
            }
        }
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.operand();
        }
        match self.random.random_range(0..6) {
            0 => {
                let operator = self.one(&["+", "*", "/", "%", " - "]);
                format!("{} {operator} {}", self.operand(), self.operand())
            }
            1 => format!("({})", self.expression(depth - 1)),
            2 => self.condition(depth - 1),
            _ => self.operand(),
        }
    }

    fn operand(&mut self) -> String {
        match self.random.random_range(0..4) {
            0 => self.reference(1),
            1 => self.one(&["1", "-2", "2.5", "0.001", "2147483647", "100000000000", "7"]).into(),
            2 => {
                let reference = self.reference(0);
                let quoted = reference.replace('"', "\"\"");
                match self.random.random_bool(0.5) {
                    true => format!("\"<{quoted}>\""),
                    false => self.one(&["'x'", "\"\"", "'a''b'", "\"rex\""]).into(),
                }
            }
            _ => self
                .one(&[
                    "[1, 'a']",
                    "{'k': 1}",
                    "[]",
                    "{}",
                    "[1..3]",
                    "['b', $number]",
                    "yes",
                    "true",
                ])
                .into(),
        }
    }
}
