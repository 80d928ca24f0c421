//! From Java's expressions to those of our engine.
//!
//! Only the differences are rewritten: classes that mean ASCII in Java, `.`, `^` and `$` with
//! Java's line ends, quoting, escapes of characters. Literals are written as code points where they
//! could mean something, so that our engine's own extensions never come into play.

use std::fmt::Write;

use crate::mapping::pattern::Pattern;

/// Groups in one another; our engine's parser is recursive.
const GROUPS_MAX: usize = 40;
/// Characters that end a line in Java, for use in a class.
const LINE_ENDS: &str = r"\n\r\x{85}\x{2028}\x{2029}";
const HORIZONTAL: &str = r" \t\x{a0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}";
const VERTICAL: &str = r"\n\x0b\f\r\x{85}\x{2028}\x{2029}";

type Translated<T> = Result<T, &'static str>;

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    dot_all: bool,
    multiline: bool,
    unix_lines: bool,
    comments: bool,
    unicode: bool,
}

pub(super) fn translate(pattern: &str) -> Translated<String> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut translator = Translator { text: Pattern::new(&chars), out: String::new(), groups: 0 };
    translator.alternatives(Flags::default())?;
    match translator.text.at == chars.len() {
        true => Ok(translator.out),
        false => Err("`)` without `(`"),
    }
}

struct Translator<'p> {
    text: Pattern<'p>,
    out: String,
    groups: usize,
}

impl Translator<'_> {
    fn until(&mut self, end: &str) -> Option<String> {
        let mut text = String::new();
        while !self.text.eat(end) {
            text.push(self.text.next()?);
        }
        Some(text)
    }

    /// A character that means itself.
    fn literal(&mut self, literal: char) {
        match literal.is_alphanumeric() {
            true => self.out.push(literal),
            false => write!(self.out, r"\x{{{:x}}}", u32::from(literal)).expect("a String"),
        }
    }

    /// To the end of the group or of the expression. Flags set in it end with it.
    fn alternatives(&mut self, mut flags: Flags) -> Translated<()> {
        let mut can_repeat = false;
        while let Some(next) = self.text.peek() {
            if next == ')' {
                return Ok(());
            }
            self.text.at += 1;
            match next {
                ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' if flags.comments => continue,
                '#' if flags.comments => {
                    while self.text.next().is_some_and(|next| next != '\n') {}
                    continue;
                }
                '|' => {
                    self.out.push('|');
                    can_repeat = false;
                    continue;
                }
                '*' | '+' | '?' | '{' => {
                    if !can_repeat {
                        return Err("a repetition of nothing");
                    }
                    self.repetition(next)?;
                    can_repeat = false;
                    continue;
                }
                '.' => self.dot(flags),
                '^' => self.out.push_str(&line_start(flags)),
                '$' => self.out.push_str(&line_end(flags)),
                '(' => {
                    can_repeat = self.group(&mut flags)?;
                    continue;
                }
                '[' => {
                    let class = self.class(flags, 0)?;
                    self.out.push_str(&class);
                }
                '\\' => self.escape(flags)?,
                other => self.literal(other),
            }
            can_repeat = true;
        }
        match self.groups {
            0 => Ok(()),
            _ => Err("`(` without `)`"),
        }
    }

    fn dot(&mut self, flags: Flags) {
        match flags {
            Flags { dot_all: true, .. } => self.out.push_str("(?s:.)"),
            Flags { unix_lines: true, .. } => self.out.push_str(r"[^\n]"),
            _ => write!(self.out, "[^{LINE_ENDS}]").expect("a String"),
        }
    }

    fn repetition(&mut self, sign: char) -> Translated<()> {
        self.out.push(sign);
        if sign == '{' {
            let inner = self.until("}").ok_or("`{` without `}`")?;
            let (least, most) = inner.split_once(',').unwrap_or((&inner, "0"));
            let is_number = |text: &str| text.parse::<u16>().is_ok() && !text.starts_with('+');
            if !is_number(least) || !(most.is_empty() || is_number(most)) {
                return Err("`{` without a count");
            }
            self.out.push_str(&inner);
            self.out.push('}');
        }
        // Reluctant or possessive.
        if let Some(manner @ ('?' | '+')) = self.text.peek() {
            self.text.at += 1;
            self.out.push(manner);
        }
        Ok(())
    }

    /// Whether what was read can be repeated.
    fn group(&mut self, flags: &mut Flags) -> Translated<bool> {
        const PLAIN: [&str; 6] = ["?:", "?=", "?!", "?<=", "?<!", "?>"];
        let mut inner = *flags;
        self.out.push('(');
        if let Some(start) = PLAIN.into_iter().find(|start| self.text.eat(start)) {
            self.out.push_str(start);
        } else if self.text.eat("?<") {
            let name = self.until(">").ok_or("`(?<` without `>`")?;
            let usable = name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.chars().all(|next| next.is_ascii_alphanumeric());
            if !usable {
                return Err("a name of a group is letters and digits");
            }
            write!(self.out, "?<{name}>").expect("a String");
        } else if self.text.eat("?") {
            let ignore_case = self.flags(&mut inner)?;
            match self.text.next() {
                Some(')') => {
                    *flags = inner;
                    write!(self.out, "?{ignore_case})").expect("a String");
                    if ignore_case.is_empty() {
                        self.out.truncate(self.out.len() - "(?)".len());
                    }
                    return Ok(false);
                }
                Some(':') => write!(self.out, "?{ignore_case}:").expect("a String"),
                _ => return Err("an unknown kind of group"),
            }
        }
        self.groups += 1;
        if self.groups > GROUPS_MAX {
            return Err("too many groups in one another");
        }
        self.alternatives(inner)?;
        self.groups -= 1;
        self.text.at += 1;
        self.out.push(')');
        Ok(true)
    }

    /// `i` goes on to our engine, the others are settled here.
    fn flags(&mut self, flags: &mut Flags) -> Translated<&'static str> {
        let mut ignore_case = "";
        let mut on = true;
        loop {
            match self.text.peek() {
                Some('i') => ignore_case = if on { "i" } else { "-i" },
                Some('s') => flags.dot_all = on,
                Some('m') => flags.multiline = on,
                Some('d') => flags.unix_lines = on,
                Some('x') => flags.comments = on,
                Some('U') => flags.unicode = on,
                // Our engine folds case by Unicode anyhow.
                Some('u') => {}
                Some('-') if on => on = false,
                _ => return Ok(ignore_case),
            }
            self.text.at += 1;
        }
    }

    /// Behind a backslash, outside of a class.
    fn escape(&mut self, flags: Flags) -> Translated<()> {
        let escaped = self.text.next().ok_or(r"`\` at the end")?;
        match escaped {
            'Q' => {
                let quoted = self.until(r"\E").unwrap_or_default();
                // One group, so that a repetition behind it is of the last character, as in Java.
                for literal in quoted.chars() {
                    self.literal(literal);
                }
            }
            'E' => {}
            'b' | 'B' | 'A' | 'z' | 'G' => {
                if self.text.peek() == Some('{') {
                    return Err(r"`\b{…}` is not supported");
                }
                self.out.push('\\');
                self.out.push(escaped);
            }
            'Z' => self.out.push_str(&line_end(Flags { multiline: false, ..flags })),
            'R' => write!(self.out, r"(?:\r\n|[{VERTICAL}])").expect("a String"),
            '1'..='9' => {
                self.out.push('\\');
                self.out.push(escaped);
                // Not to be read together with a digit that follows.
                if self.text.peek().is_some_and(|next| next.is_ascii_digit()) {
                    self.out.push_str("(?:)");
                }
            }
            'k' => {
                if !self.text.eat("<") {
                    return Err(r"`\k` without a name");
                }
                let name = self.until(">").ok_or(r"`\k<` without `>`")?;
                write!(self.out, r"\k<{name}>").expect("a String");
            }
            'X' | 'N' => return Err(r"`\X` and `\N` are not supported"),
            other => match self.class_escape(other, flags)? {
                Item::Set(set) => write!(self.out, "[{set}]").expect("a String"),
                Item::Character(character) => self.literal(character),
            },
        }
        Ok(())
    }

    /// A class, from behind its `[`.
    fn class(&mut self, flags: Flags, depth: usize) -> Translated<String> {
        if depth > GROUPS_MAX {
            return Err("too many classes in one another");
        }
        let mut class = String::from("[");
        if self.text.eat("^") {
            class.push('^');
        }
        let mut is_empty = true;
        loop {
            let next = self.text.next().ok_or("`[` without `]`")?;
            match next {
                ']' if !is_empty => break,
                '[' => class.push_str(&self.class(flags, depth + 1)?),
                '&' if self.text.eat("&") => {
                    // Operators in a row, or at the end, mean nothing in Java.
                    if !is_empty && self.text.peek() != Some(']') && !class.ends_with("&&") {
                        class.push_str("&&");
                    }
                    continue;
                }
                '\\' if self.text.eat("Q") => {
                    let quoted = self.until(r"\E").ok_or(r"`\Q` without `\E`")?;
                    quoted.chars().for_each(|literal| push_literal(&mut class, literal));
                }
                first => match self.class_item(first, flags)? {
                    Item::Set(set) => class.push_str(&set),
                    Item::Character(from) => self.range(&mut class, from, flags)?,
                },
            }
            is_empty = false;
        }
        class.push(']');
        Ok(class)
    }

    fn class_item(&mut self, first: char, flags: Flags) -> Translated<Item> {
        match first {
            '\\' => {
                let escaped = self.text.next().ok_or(r"`\` at the end")?;
                self.class_escape(escaped, flags)
            }
            other => Ok(Item::Character(other)),
        }
    }

    fn range(&mut self, class: &mut String, from: char, flags: Flags) -> Translated<()> {
        push_literal(class, from);
        let after = self.text.chars.get(self.text.at + 1).copied();
        if self.text.peek() != Some('-') || matches!(after, None | Some(']' | '[')) {
            return Ok(());
        }
        self.text.at += 1;
        let first = self.text.next().ok_or("`[` without `]`")?;
        match self.class_item(first, flags)? {
            Item::Character(to) if to >= from => {
                class.push('-');
                push_literal(class, to);
                Ok(())
            }
            Item::Character(_) => Err("a range from more to less"),
            Item::Set(_) => Err("a range to a class"),
        }
    }

    /// What a backslash means both in and outside of classes.
    fn class_escape(&mut self, escaped: char, flags: Flags) -> Translated<Item> {
        let set = |set: &str| Ok(Item::Set(set.to_owned()));
        match escaped {
            'd' | 'w' | 's' | 'D' | 'W' | 'S' if flags.unicode => set(&format!(r"\{escaped}")),
            'd' => set("0-9"),
            'D' => set("[^0-9]"),
            'w' => set("a-zA-Z_0-9"),
            'W' => set("[^a-zA-Z_0-9]"),
            's' => set(r" \t\n\x0b\f\r"),
            'S' => set(r"[^ \t\n\x0b\f\r]"),
            'h' => set(HORIZONTAL),
            'H' => set(&format!("[^{HORIZONTAL}]")),
            'v' => set(VERTICAL),
            'V' => set(&format!("[^{VERTICAL}]")),
            'p' | 'P' => self.property(escaped == 'P'),
            't' => Ok(Item::Character('\t')),
            'n' => Ok(Item::Character('\n')),
            'r' => Ok(Item::Character('\r')),
            'f' => Ok(Item::Character('\x0c')),
            'a' => Ok(Item::Character('\x07')),
            'e' => Ok(Item::Character('\x1b')),
            'c' => {
                let control = self.text.next().and_then(|next| u8::try_from(next).ok());
                let control = control.filter(u8::is_ascii).ok_or(r"`\c` without a letter")?;
                Ok(Item::Character(char::from(control ^ 0x40)))
            }
            '0' => self.octal(),
            'x' if self.text.eat("{") => {
                let digits = self.until("}").ok_or(r"`\x{` without `}`")?;
                code_point(&digits)
            }
            'x' => self.hexadecimal(2).and_then(|digits| code_point(&digits)),
            'u' => self.utf16_unit(),
            letter if letter.is_ascii_alphabetic() => Err(r"`\` before a letter without a meaning"),
            other => Ok(Item::Character(other)),
        }
    }

    fn hexadecimal(&mut self, count: usize) -> Translated<String> {
        let digits: String = (0..count).map_while(|_| self.text.next()).collect();
        match digits.len() == count && digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
            true => Ok(digits),
            false => Err("expected hexadecimal digits"),
        }
    }

    fn utf16_unit(&mut self) -> Translated<Item> {
        let digits = self.hexadecimal(4)?;
        let unit = u16::from_str_radix(&digits, 16).map_err(|_| "expected hexadecimal digits")?;
        if (0xd800..0xdc00).contains(&unit) && self.text.eat(r"\u") {
            let second = self.hexadecimal(4)?;
            let second =
                u16::from_str_radix(&second, 16).map_err(|_| "expected hexadecimal digits")?;
            if let Some(Ok(both)) = char::decode_utf16([unit, second]).next() {
                return Ok(Item::Character(both));
            }
        }
        code_point(&digits)
    }

    fn octal(&mut self) -> Translated<Item> {
        let mut value: Option<u32> = None;
        for _ in 0..3 {
            let Some(digit) = self.text.peek().and_then(|next| next.to_digit(8)) else { break };
            let next = value.unwrap_or(0) * 8 + digit;
            if next > 0o377 {
                break;
            }
            value = Some(next);
            self.text.at += 1;
        }
        value.and_then(char::from_u32).map(Item::Character).ok_or(r"`\0` without octal digits")
    }

    fn property(&mut self, negated: bool) -> Translated<Item> {
        let name = match self.text.next() {
            Some('{') => self.until("}").ok_or(r"`\p{` without `}`")?,
            Some(letter) => letter.to_string(),
            None => return Err(r"`\p` at the end"),
        };
        let own = match name.as_str() {
            "Lower" => "a-z",
            "Upper" => "A-Z",
            "ASCII" => r"\x00-\x7f",
            "Alpha" => "a-zA-Z",
            "Digit" => "0-9",
            "Alnum" => "a-zA-Z0-9",
            "Punct" => r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
            "Graph" => r"\x21-\x7e",
            "Print" => r"\x20-\x7e",
            "Blank" => r" \t",
            "Cntrl" => r"\x00-\x1f\x7f",
            "XDigit" => "0-9a-fA-F",
            "Space" => r" \t\n\x0b\f\r",
            "javaLowerCase" => r"\p{Lowercase}",
            "javaUpperCase" => r"\p{Uppercase}",
            "javaWhitespace" => r"\s",
            "javaLetter" | "javaAlphabetic" => r"\p{L}",
            "javaDigit" => r"\p{Nd}",
            "javaLetterOrDigit" => r"\p{L}\p{Nd}",
            other if other.starts_with("In") || other.contains(['=', '}', '\\']) => {
                return Err("blocks and named properties are not supported");
            }
            // Categories as they are, scripts and binary properties without `Is`.
            other => {
                let bare = other.strip_prefix("Is").unwrap_or(other);
                let usable = !bare.is_empty()
                    && bare.chars().all(|next| next.is_ascii_alphanumeric() || next == '_');
                if !usable {
                    return Err("an unknown property");
                }
                let sign = if negated { 'P' } else { 'p' };
                return Ok(Item::Set(format!(r"\{sign}{{{bare}}}")));
            }
        };
        Ok(Item::Set(if negated { format!("[^{own}]") } else { own.to_owned() }))
    }
}

/// What stands in a class, or alone.
enum Item {
    /// As it is written between brackets.
    Set(String),
    Character(char),
}

fn push_literal(class: &mut String, literal: char) {
    match literal.is_alphanumeric() {
        true => class.push(literal),
        false => write!(class, r"\x{{{:x}}}", u32::from(literal)).expect("a String"),
    }
}

fn code_point(digits: &str) -> Translated<Item> {
    let number = u32::from_str_radix(digits, 16).map_err(|_| "expected hexadecimal digits")?;
    char::from_u32(number).map(Item::Character).ok_or("half a character cannot be matched")
}

fn line_start(flags: Flags) -> String {
    match flags {
        Flags { multiline: false, .. } => r"\A".to_owned(),
        Flags { unix_lines: true, .. } => r"(?:\A|(?<=\n)(?!\z))".to_owned(),
        _ => format!(r"(?:\A|(?:(?<=[{LINE_ENDS}])(?<!\r(?=\n)))(?!\z))"),
    }
}

fn line_end(flags: Flags) -> String {
    match flags {
        Flags { multiline: true, unix_lines: true, .. } => r"(?=\n|\z)".to_owned(),
        Flags { multiline: true, .. } => format!(r"(?:(?=[{LINE_ENDS}]|\z)(?<!\r(?=\n)))"),
        Flags { unix_lines: true, .. } => r"(?=\n?\z)".to_owned(),
        _ => format!(r"(?:(?=(?:\r\n|[{LINE_ENDS}])?\z)(?<!\r(?=\n)))"),
    }
}
