//! Regular expressions of models: those of ECMA 262 as Rhino reads them.
//!
//! There is no Unicode flag, so what Annex B of ECMA 262 allows is allowed: an escape without a
//! meaning is the letter itself, a brace that counts nothing is a brace. An expression is
//! translated into ranges of characters that our engine cannot misread, and run by it with a bound
//! on its steps back. Characters are those of Unicode, not halves of UTF-16: two halves that stand
//! one behind the other, alone or as classes, are the characters they make.
//!
//! ECMA 262 5.1, sections 15.10.1 and B.1.2; AWS: Developer Guide, "Data models for REST APIs". Of
//! later editions nothing is taken: flags, names of groups and looking behind are refused.

use std::fmt::Write;

use fancy_regex::{Regex, RegexBuilder};

use super::pattern::Pattern;

/// Steps back of one search. Rhino has no bound; an expression that needs more on a value counts as
/// not found in it.
const STEPS_BACK_MAX: usize = 100_000;
/// Groups in one another; our engine's parser is recursive.
const GROUPS_MAX: usize = 40;
/// Ranges that halves of characters may make in one place.
const RANGES_MAX: usize = 4_096;
const LAST: u32 = 0x10_ffff;
const HIGH_HALVES: (u32, u32) = (0xd800, 0xdbff);
const LOW_HALVES: (u32, u32) = (0xdc00, 0xdfff);
const DIGITS: &[Range] = &[(0x30, 0x39)];
const WORD: &[Range] = &[(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)];
/// ECMA 262 section 15.10.2.12: white space and ends of lines.
const SPACE: &[Range] = &[
    (0x09, 0x0d),
    (0x20, 0x20),
    (0xa0, 0xa0),
    (0x1680, 0x1680),
    (0x180e, 0x180e),
    (0x2000, 0x200a),
    (0x2028, 0x2029),
    (0x202f, 0x202f),
    (0x205f, 0x205f),
    (0x3000, 0x3000),
    (0xfeff, 0xfeff),
];
const LINE_ENDS: &[Range] = &[(0x0a, 0x0a), (0x0d, 0x0d), (0x2028, 0x2029)];

/// From a first to a last code point, or half of one.
type Range = (u32, u32);
type Translated<T> = Result<T, &'static str>;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(super) struct EcmaRegex {
    pattern: Box<str>,
    regex: Regex,
}

impl EcmaRegex {
    /// `compiled_bytes_max` bounds what the expression may take in memory.
    ///
    /// # Errors
    /// Why it is no expression, or one that takes too much.
    pub(super) fn compile(pattern: &str, compiled_bytes_max: usize) -> Result<Self, String> {
        let translated = translate(pattern)?;
        let regex = RegexBuilder::new(&translated)
            .backtrack_limit(STEPS_BACK_MAX)
            .delegate_size_limit(compiled_bytes_max)
            .build()
            .map_err(|_| "it takes too much memory".to_owned())?;
        Ok(Self { pattern: pattern.into(), regex })
    }

    /// The expression as it was given.
    pub(super) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the text has a match anywhere.
    pub(super) fn is_found_in(&self, text: &str) -> bool {
        self.regex.is_match(text).unwrap_or(false)
    }
}

/// Whether it is an expression at all.
///
/// # Errors
/// Why not.
pub(super) fn check(pattern: &str) -> Result<(), &'static str> {
    translate(pattern).map(drop)
}

fn translate(pattern: &str) -> Translated<String> {
    let chars: Vec<char> = pattern.chars().collect();
    let groups = count_groups(&chars);
    let mut translator = Translator {
        text: Pattern::new(&chars),
        out: String::new(),
        depth: 0,
        consuming: 0,
        groups,
        closed: vec![false],
    };
    translator.alternatives()?;
    match translator.text.at == chars.len() {
        true => Ok(translator.out),
        false => Err("`)` without `(`"),
    }
}

/// Groups that can be referred to, wherever they stand: only then is `\1` a reference.
fn count_groups(chars: &[char]) -> usize {
    let mut groups = 0;
    let mut in_class = false;
    let mut rest = chars.iter().copied().peekable();
    while let Some(next) = rest.next() {
        match next {
            '\\' => {
                rest.next();
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class && rest.peek() != Some(&'?') => groups += 1,
            _ => {}
        }
    }
    groups
}

struct Translator<'p> {
    text: Pattern<'p>,
    out: String,
    /// Groups that are open.
    depth: usize,
    /// How many parts so far may take a character.
    consuming: usize,
    /// Of the whole expression.
    groups: usize,
    /// Whether the group of a number has been closed; the first is none.
    closed: Vec<bool>,
}

/// What stands in one place of the text.
struct Set {
    ranges: Vec<Range>,
    is_negated: bool,
}

impl Translator<'_> {
    /// To the end of the group or of the expression.
    fn alternatives(&mut self) -> Translated<()> {
        let mut can_repeat = false;
        // Of what a repetition is about: where its translation begins, and what was read before.
        let mut last = (0, 0);
        while let Some(next) = self.text.peek() {
            let begins = (self.out.len(), self.consuming);
            can_repeat = match next {
                ')' => return Ok(()),
                '|' => self.as_it_is("|"),
                '^' => self.as_it_is(r"\A"),
                '$' => self.as_it_is(r"\z"),
                '*' | '+' | '?' if !can_repeat => return Err("a repetition of nothing"),
                '*' | '+' | '?' => {
                    self.text.at += 1;
                    self.repetition(&next.to_string(), last)
                }
                '{' if can_repeat && let Some(count) = self.count()? => {
                    self.repetition(&count, last)
                }
                '(' => self.group()?,
                '\\' if self.boundary() => false,
                '\\' if self.reference() => true,
                _ => {
                    let set = self.set()?;
                    let set = self.joined(set)?;
                    self.push(&set);
                    true
                }
            };
            last = begins;
        }
        match self.depth {
            0 => Ok(()),
            _ => Err("`(` without `)`"),
        }
    }

    /// Whether that can be repeated: it cannot.
    fn as_it_is(&mut self, translated: &str) -> bool {
        self.text.at += 1;
        self.out.push_str(translated);
        false
    }

    /// What takes no character, such as `(?=a)`, may be repeated here and not in our engine. Once is
    /// as good as often, and none as good as once or none.
    fn repetition(&mut self, sign: &str, (start, consuming): (usize, usize)) -> bool {
        let is_lazy = self.text.eat("?");
        if consuming == self.consuming {
            if sign.starts_with(['*', '?']) || sign.starts_with("{0") {
                self.out.insert_str(start, "(?:");
                self.out.push_str("|)");
            }
            return false;
        }
        self.out.push_str(sign);
        if is_lazy {
            self.out.push('?');
        }
        false
    }

    /// `{2}`, `{2,}` or `{2,3}`; a brace that begins nothing such is itself, and not read here.
    fn count(&mut self) -> Translated<Option<String>> {
        let rest = self.text.chars.get(self.text.at + 1..).unwrap_or_default();
        let Some(length) = rest.iter().position(|next| *next == '}') else { return Ok(None) };
        let inner: String = rest.iter().take(length).collect();
        let (least, most) = match inner.split_once(',') {
            Some((least, "")) => (least, None),
            Some((least, most)) => (least, Some(most)),
            None => (inner.as_str(), None),
        };
        let is_count = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_count(least) || !most.is_none_or(is_count) {
            return Ok(None);
        }
        let number = |text: &str| text.parse::<u16>().map_err(|_| "a count above 65535");
        let least = number(least)?;
        if let Some(most) = most
            && number(most)? < least
        {
            return Err("a count from more to less");
        }
        self.text.at += length + 2;
        Ok(Some(format!("{{{inner}}}")))
    }

    /// A group can be repeated, and so can one that only looks ahead.
    fn group(&mut self) -> Translated<bool> {
        self.text.at += 1;
        let looks = ["?=", "?!"].into_iter().find(|start| self.text.eat(start));
        let number = self.closed.len();
        match looks {
            Some(start) => write!(self.out, "(?:({start}").expect("a String"),
            None if self.text.eat("?:") => self.out.push_str("(?:"),
            None => {
                self.closed.push(false);
                self.out.push('(');
            }
        }
        let captures = self.closed.len() > number;
        let consuming = self.consuming;
        self.depth += 1;
        if self.depth > GROUPS_MAX {
            return Err("too many groups in one another");
        }
        self.alternatives()?;
        self.depth -= 1;
        self.text.at += 1;
        self.out.push_str(if looks.is_some() { "))" } else { ")" });
        if looks.is_some() {
            self.consuming = consuming;
        }
        if let Some(closed) = self.closed.get_mut(number).filter(|_| captures) {
            *closed = true;
        }
        Ok(true)
    }

    /// `\b` and `\B`, of ASCII's words.
    fn boundary(&mut self) -> bool {
        const WORD: &str = "[0-9A-Z_a-z]";
        if self.text.eat(r"\b") {
            write!(self.out, "(?:(?<={WORD})(?!{WORD})|(?<!{WORD})(?={WORD}))").expect("a String");
        } else if self.text.eat(r"\B") {
            write!(self.out, "(?:(?<={WORD})(?={WORD})|(?<!{WORD})(?!{WORD}))").expect("a String");
        } else {
            return false;
        }
        true
    }

    /// `\1`, where there is such a group. One that has matched nothing yet matches nothing.
    fn reference(&mut self) -> bool {
        let rest = self.text.chars.get(self.text.at + 1..).unwrap_or_default();
        let digits: String = rest.iter().take_while(|next| next.is_ascii_digit()).collect();
        let number = digits.parse().unwrap_or(0);
        if digits.starts_with('0') || !(1..=self.groups).contains(&number) {
            return false;
        }
        self.text.at += 1 + digits.len();
        match self.closed.get(number) {
            Some(true) => {
                self.consuming += 1;
                write!(self.out, r"(?:(?({number})\{number}|))").expect("a String");
            }
            _ => self.out.push_str("(?:)"),
        }
        true
    }

    /// A character, an escape, `.` or a class.
    fn set(&mut self) -> Translated<Set> {
        let plain = |ranges: Vec<Range>| Ok(Set { ranges, is_negated: false });
        match self.text.next() {
            Some('.') => Ok(Set { ranges: LINE_ENDS.to_vec(), is_negated: true }),
            Some('[') => self.class(),
            Some('\\') => {
                let ranges = self.escape(false)?;
                plain(ranges)
            }
            Some(other) => plain(vec![one(u32::from(other))]),
            None => Err("the expression ends too early"),
        }
    }

    /// Behind its `[`. The first `]` ends it: `[]` has nothing, `[^]` everything.
    fn class(&mut self) -> Translated<Set> {
        let is_negated = self.text.eat("^");
        let mut ranges = Vec::new();
        loop {
            let from = match self.text.next().ok_or("`[` without `]`")? {
                ']' => return Ok(Set { ranges, is_negated }),
                first => self.member(first)?,
            };
            let after = self.text.chars.get(self.text.at + 1).copied();
            if self.text.peek() != Some('-') || matches!(after, None | Some(']')) {
                ranges.extend(from);
                continue;
            }
            self.text.at += 1;
            let first = self.text.next().ok_or("`[` without `]`")?;
            let to = self.member(first)?;
            match (single(&from), single(&to)) {
                (Some(from), Some(to)) if from <= to => ranges.push((from, to)),
                (Some(_), Some(_)) => return Err("a range from more to less"),
                // Beside an escape that means many characters the sign is itself.
                _ => {
                    ranges.extend(from);
                    ranges.push(one(u32::from('-')));
                    ranges.extend(to);
                }
            }
        }
    }

    fn member(&mut self, first: char) -> Translated<Vec<Range>> {
        match first {
            '\\' => self.escape(true),
            other => Ok(vec![one(u32::from(other))]),
        }
    }

    /// Behind a backslash.
    fn escape(&mut self, in_class: bool) -> Translated<Vec<Range>> {
        let escaped = self.text.next().ok_or(r"`\` at the end")?;
        let code = match escaped {
            'd' => return Ok(DIGITS.to_vec()),
            'D' => return Ok(others(DIGITS)),
            'w' => return Ok(WORD.to_vec()),
            'W' => return Ok(others(WORD)),
            's' => return Ok(SPACE.to_vec()),
            'S' => return Ok(others(SPACE)),
            'b' if in_class => 0x08,
            't' => 0x09,
            'n' => 0x0a,
            'v' => 0x0b,
            'f' => 0x0c,
            'r' => 0x0d,
            '0'..='7' => self.octal(escaped),
            'c' => match self.text.peek().filter(char::is_ascii_alphabetic) {
                Some(letter) => {
                    self.text.at += 1;
                    u32::from(letter) % 32
                }
                // The backslash is itself then, and the letter follows it.
                None => {
                    self.text.at -= 1;
                    u32::from('\\')
                }
            },
            'x' => self.hexadecimal(2).unwrap_or_else(|| u32::from('x')),
            'u' => self.unit(),
            other => u32::from(other),
        };
        Ok(vec![one(code)])
    }

    /// Up to three digits, at most 377.
    fn octal(&mut self, first: char) -> u32 {
        let mut value = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit) = self.text.peek().and_then(|next| next.to_digit(8)) else { break };
            if value * 8 + digit > 0o377 {
                break;
            }
            value = value * 8 + digit;
            self.text.at += 1;
        }
        value
    }

    fn hexadecimal(&mut self, count: usize) -> Option<u32> {
        let digits = self.text.chars.get(self.text.at..self.text.at + count)?;
        let value =
            digits.iter().try_fold(0, |value, digit| Some(value * 16 + digit.to_digit(16)?))?;
        self.text.at += count;
        Some(value)
    }

    /// `\u` and four digits, and the second half of a character if it follows.
    fn unit(&mut self) -> u32 {
        let Some(first) = self.hexadecimal(4) else { return u32::from('u') };
        let after = self.text.at;
        if is_within(first, HIGH_HALVES)
            && self.text.eat(r"\u")
            && let Some(second) = self.hexadecimal(4)
            && is_within(second, LOW_HALVES)
        {
            return whole(first, second);
        }
        self.text.at = after;
        first
    }

    /// First halves with the second halves that follow are characters:
    /// `[\uD83C-\uDBFF][\uDC00-\uDFFF]`.
    fn joined(&mut self, first: Set) -> Translated<Set> {
        let are = |set: &Set, halves: Range| {
            let within = |range: &Range| is_within(range.0, halves) && is_within(range.1, halves);
            !set.is_negated && !set.ranges.is_empty() && set.ranges.iter().all(within)
        };
        let before = self.text.at;
        if !are(&first, HIGH_HALVES) || !matches!(self.text.peek(), Some('[' | '\\')) {
            return Ok(first);
        }
        let second = self.set()?;
        if !are(&second, LOW_HALVES) {
            self.text.at = before;
            return Ok(first);
        }
        let mut ranges = Vec::new();
        for high in first.ranges {
            for low in &second.ranges {
                match *low == LOW_HALVES {
                    true => ranges.push((whole(high.0, low.0), whole(high.1, low.1))),
                    false => ranges.extend(
                        (high.0..=high.1).map(|high| (whole(high, low.0), whole(high, low.1))),
                    ),
                }
                if ranges.len() > RANGES_MAX {
                    return Err("too many halves of characters");
                }
            }
        }
        Ok(Set { ranges, is_negated: false })
    }

    /// Halves of characters are left out: a text has none that stand alone.
    fn push(&mut self, set: &Set) {
        self.consuming += 1;
        self.out.push('[');
        let mut is_empty = true;
        for (from, to) in &set.ranges {
            for (from, to) in [(*from, (*to).min(0xd7ff)), ((*from).max(0xe000), *to)] {
                if from > to {
                    continue;
                }
                if is_empty && set.is_negated {
                    self.out.push('^');
                }
                is_empty = false;
                write!(self.out, r"\x{{{from:x}}}-\x{{{to:x}}}").expect("a String");
            }
        }
        match (is_empty, set.is_negated) {
            (false, _) => {}
            (true, false) => write!(self.out, r"^\x{{0}}-\x{{{LAST:x}}}").expect("a String"),
            (true, true) => write!(self.out, r"\x{{0}}-\x{{{LAST:x}}}").expect("a String"),
        }
        self.out.push(']');
    }
}

fn one(code: u32) -> Range {
    (code, code)
}

fn single(ranges: &[Range]) -> Option<u32> {
    match ranges {
        [(from, to)] if from == to => Some(*from),
        _ => None,
    }
}

fn is_within(code: u32, range: Range) -> bool {
    (range.0..=range.1).contains(&code)
}

/// The character that two halves make.
fn whole(high: u32, low: u32) -> u32 {
    0x1_0000 + ((high - HIGH_HALVES.0) << 10) + (low - LOW_HALVES.0)
}

/// All characters that are in none of these ranges, which are sorted.
fn others(ranges: &[Range]) -> Vec<Range> {
    let mut others = Vec::with_capacity(ranges.len() + 1);
    let mut next = 0;
    for (from, to) in ranges {
        if next < *from {
            others.push((next, from - 1));
        }
        next = to + 1;
    }
    others.push((next, LAST));
    others
}

#[cfg(test)]
#[path = "ecma_regex_tests.rs"]
mod tests;
