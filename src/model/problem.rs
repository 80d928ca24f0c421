//! What is wrong with a file somebody wrote, told so that they can mend it.
//!
//! A reader of API documents or of topology files does not stop at the first mistake: it notes
//! each one in a [`Findings`] and goes on, so that one run shows the whole list. Every problem says
//! where it is (file, line, column, key), what is wrong and, where we know it, what to do.
//!
//! Texts from the file are shown without control characters: a document must not be able to move
//! the cursor of the terminal that reads the complaint.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

/// Problems listed for one file; further ones are only counted. A file with more is the wrong file.
pub const PROBLEMS_MAX: usize = 200;

/// One mistake in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name as the user gave it.
    pub file: String,
    /// Counted from 1; 0 when the problem belongs to the file as a whole.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// The way to the place, such as `paths./pets.get.parameters[0].in`; may be empty.
    pub key: String,
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of the file as a whole, such as not being readable.
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            key: String::new(),
            message: message.into(),
            hint: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:", Plain(&self.file))?;
        if self.line > 0 {
            write!(out, "{}:{}:", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(out, " {}:", Plain(&self.key))?;
        }
        write!(out, " {}", Plain(&self.message))?;
        if let Some(hint) = &self.hint {
            write!(out, " ({})", Plain(hint))?;
        }
        Ok(())
    }
}

/// Text of a stranger, printed without control characters.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(char::is_control) {
            let mut chars = part.chars();
            match chars.next_back() {
                Some(last) if last.is_control() => {
                    write!(out, "{}{}", chars.as_str(), last.escape_default())?;
                }
                _ => out.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// All problems found, in the order of the files; never empty as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(found, *more))]
pub struct Problems {
    pub found: Vec<Problem>,
    /// Problems beyond [`PROBLEMS_MAX`], not listed.
    pub more: usize,
}

impl Problems {
    /// Those of one more file. A file that is named twice has each of its problems once.
    pub fn extend(&mut self, other: Problems) {
        for problem in other.found {
            if !self.found.contains(&problem) {
                self.found.push(problem);
            }
        }
        self.more = self.more.saturating_add(other.more);
    }

    /// `Ok` when nothing was found.
    ///
    /// # Errors
    /// The problems themselves.
    pub fn into_result(self) -> Result<(), Self> {
        if self.found.is_empty() && self.more == 0 { Ok(()) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { found: vec![problem], more: 0 }
    }
}

fn list(found: &[Problem], more: usize) -> String {
    let mut lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    lines.join("\n")
}

/// Collects the problems of one file while it is being read.
#[derive(Debug)]
pub struct Findings {
    file: String,
    found: RefCell<Vec<Problem>>,
    more: Cell<usize>,
}

impl Findings {
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), found: RefCell::default(), more: Cell::new(0) }
    }

    /// Notes one problem at a place in the file.
    pub fn add(
        &self,
        (line, column): (u32, u32),
        key: &str,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        if self.is_full() {
            self.more.set(self.more.get().saturating_add(1));
            return;
        }
        self.found.borrow_mut().push(Problem {
            file: self.file.clone(),
            line,
            column,
            key: key.to_owned(),
            message: shortened(message.into()),
            hint: hint.into().map(shortened),
        });
    }

    /// The places of which something was said so far.
    pub fn marks(&self) -> HashSet<(u32, u32)> {
        self.found.borrow().iter().map(|problem| (problem.line, problem.column)).collect()
    }

    /// Whether further problems are only counted, so that a costly hint is not worth forming.
    pub fn is_full(&self) -> bool {
        self.found.borrow().len() >= PROBLEMS_MAX
    }

    pub fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// Sorted by place, each said once. `Ok` when nothing was found.
    pub fn into_result(self) -> Result<(), Problems> {
        let mut all = self.found.into_inner();
        if all.is_empty() {
            return Ok(());
        }
        all.sort_by_key(|problem| (problem.line, problem.column));
        let mut found: Vec<Problem> = Vec::with_capacity(all.len());
        for problem in all {
            // The list is short, and what is equal stands at one place.
            if !found.contains(&problem) {
                found.push(problem);
            }
        }
        Err(Problems { found, more: self.more.get() })
    }
}

/// A message may quote the document, and the document may hold one word of a megabyte.
fn shortened(text: String) -> String {
    const CHARS_MAX: usize = 500;
    match text.char_indices().nth(CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// `did you mean …?` when one of the known words is near; else the list of known words if short.
pub fn nearest(word: &str, known: &[&str]) -> Option<String> {
    /// Below this likeness (Jaro–Winkler) a suggestion confuses more than it helps.
    const ALIKE: f64 = 0.8;
    /// Words of the list that still read well in one line.
    const LISTED_MAX: usize = 24;
    /// The comparison costs the product of both lengths.
    const WORD_MAX: usize = 128;

    let near = known
        .iter()
        .filter(|_| word.len() <= WORD_MAX)
        .map(|candidate| {
            let likeness = strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase());
            (likeness, candidate)
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match near {
        Some((_, candidate)) => Some(format!("did you mean `{candidate}`?")),
        None if known.is_empty() || known.len() > LISTED_MAX => None,
        None => Some(format!("known here: {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_place_cause_and_remedy() {
        let findings = Findings::new("api.yaml");
        findings.add((3, 5), "info.titel", "unknown key", Some("did you mean `title`?".to_owned()));
        findings.add((1, 1), "", "first", None);
        let problems = findings.into_result().unwrap_err();
        assert_eq!(
            problems.to_string(),
            "api.yaml:1:1: first\n\
             api.yaml:3:5: info.titel: unknown key (did you mean `title`?)"
        );
    }

    #[test]
    fn control_characters_are_escaped() {
        let problem = Problem::of_file("a\u{1b}[2Jb\n", "x\ry");
        assert_eq!(problem.to_string(), "a\\u{1b}[2Jb\\n: x\\ry");
    }

    #[test]
    fn the_list_is_bounded() {
        let findings = Findings::new("f");
        for line in 1..=PROBLEMS_MAX as u32 + 7 {
            findings.add((line, 1), "", "no", None);
        }
        let problems = findings.into_result().unwrap_err();
        assert_eq!((problems.found.len(), problems.more), (PROBLEMS_MAX, 7));
        assert!(problems.to_string().ends_with("… and 7 more"));
    }

    #[test]
    fn the_nearest_key_is_named() {
        assert_eq!(nearest("tittle", &["title", "version"]).unwrap(), "did you mean `title`?");
        assert_eq!(nearest("pet/GET", &["pets/GET"]).unwrap(), "did you mean `pets/GET`?");
        assert_eq!(nearest("zzz", &["a", "b"]).unwrap(), "known here: a, b");
        assert_eq!(nearest("zzz", &[]), None);
    }
}
