//! Paths and the conditions of their filters, from text.

use super::filter::{Condition, Operand, Operator};
use super::{Function, JsonPath, Segment};
use crate::mapping::java_regex::JavaRegex;
use crate::mapping::template::cursor::Cursor;
use crate::mapping::template::meter::DEPTH_MAX;

type Parsed<T> = Result<T, &'static str>;

/// A whole path.
pub(super) fn path(text: &str) -> Parsed<Vec<Segment>> {
    let text = text.trim();
    if text.is_empty() {
        return Err("empty");
    }
    let with_root;
    let text = match text.starts_with(['$', '@']) {
        true => text,
        false => {
            with_root = format!("$.{text}");
            &with_root
        }
    };
    let mut parser = Parser { cursor: Cursor::new(text), depth: 0 };
    parser.cursor.skip(1);
    let segments = parser.segments()?;
    match parser.cursor.is_at_end() {
        true => Ok(segments),
        false => Err("something stands behind the path"),
    }
}

struct Parser<'t> {
    cursor: Cursor<'t>,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEPTH_MAX {
            return Err("too deep");
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// Segments up to what cannot be one.
    fn segments(&mut self) -> Parsed<Vec<Segment>> {
        let mut segments = Vec::new();
        loop {
            match self.cursor.peek() {
                Some(b'.') => {
                    self.cursor.skip(1);
                    if self.cursor.eat(b'.') {
                        segments.push(Segment::Deep);
                    }
                    // `$..[0]`, and also `$.a.[0]`.
                    if self.cursor.peek() == Some(b'[') {
                        continue;
                    }
                    segments.push(self.member()?);
                }
                Some(b'[') => {
                    self.cursor.skip(1);
                    let segment = self.deeper(Self::bracket)?;
                    segments.push(segment);
                }
                _ => return Ok(segments),
            }
        }
    }

    /// What stands behind a dot.
    fn member(&mut self) -> Parsed<Segment> {
        if self.cursor.eat(b'*') {
            return Ok(Segment::Every);
        }
        let name = self.cursor.take_while(|byte| !b".[]() \t\n=!<>&|,".contains(&byte));
        if name.is_empty() {
            return Err("a dot without a name");
        }
        if !self.cursor.eat(b'(') {
            return Ok(Segment::Member(name.into()));
        }
        self.cursor.skip_space();
        if !self.cursor.eat(b')') {
            return Err("functions with arguments are not supported");
        }
        Ok(Segment::Function(match name {
            "length" => Function::Length,
            "size" => Function::Size,
            "min" => Function::Min,
            "max" => Function::Max,
            "avg" => Function::Avg,
            "sum" => Function::Sum,
            "stddev" => Function::StdDev,
            "keys" => Function::Keys,
            "first" => Function::First,
            "last" => Function::Last,
            _ => return Err("no such function"),
        }))
    }

    fn bracket(&mut self) -> Parsed<Segment> {
        self.cursor.skip_space();
        let segment = match self.cursor.peek() {
            Some(b'*') => {
                self.cursor.skip(1);
                Segment::Every
            }
            Some(b'?') => {
                self.cursor.skip(1);
                self.cursor.skip_space();
                if self.cursor.peek() != Some(b'(') {
                    return Err("a filter without parentheses");
                }
                Segment::Filter(self.any()?)
            }
            Some(b'\'' | b'"') => self.names()?,
            Some(b'0'..=b'9' | b'-' | b':') => self.indexes()?,
            _ => return Err("neither a name nor an index in brackets"),
        };
        self.cursor.skip_space();
        match self.cursor.eat(b']') {
            true => Ok(segment),
            false => Err("`[` without `]`"),
        }
    }

    fn names(&mut self) -> Parsed<Segment> {
        let first = self.quoted()?;
        let mut names: Vec<Box<str>> = Vec::new();
        loop {
            self.cursor.skip_space();
            if !self.cursor.eat(b',') {
                break;
            }
            self.cursor.skip_space();
            names.push(self.quoted()?.into());
        }
        if names.is_empty() {
            return Ok(Segment::Member(first.into()));
        }
        names.insert(0, first.into());
        Ok(Segment::Members(names.into()))
    }

    fn quoted(&mut self) -> Parsed<String> {
        let quote = match self.cursor.peek() {
            Some(quote @ (b'\'' | b'"')) => quote,
            _ => return Err("expected a text in quotes"),
        };
        self.cursor.skip(1);
        let mut text = String::new();
        loop {
            text.push_str(self.cursor.take_while(|byte| byte != quote && byte != b'\\'));
            match self.cursor.peek() {
                None => return Err("a text without its closing quote"),
                Some(b'\\') => {
                    self.cursor.skip(1);
                    let escaped = self.cursor.rest().chars().next();
                    let escaped = escaped.ok_or("a text without its closing quote")?;
                    self.cursor.skip(escaped.len_utf8());
                    text.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        other => other,
                    });
                }
                Some(_) => {
                    self.cursor.skip(1);
                    return Ok(text);
                }
            }
        }
    }

    fn index(&mut self) -> Parsed<Option<i64>> {
        self.cursor.skip_space();
        let start = self.cursor;
        self.cursor.eat(b'-');
        self.cursor.take_while(|byte| byte.is_ascii_digit());
        match self.cursor.since(start) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| "an index is a whole number"),
        }
    }

    fn indexes(&mut self) -> Parsed<Segment> {
        let first = self.index()?;
        self.cursor.skip_space();
        if self.cursor.eat(b':') {
            return Ok(Segment::Slice(first, self.index()?));
        }
        let first = first.ok_or("expected an index")?;
        let mut all = vec![first];
        while self.cursor.eat(b',') {
            all.push(self.index()?.ok_or("expected an index")?);
            self.cursor.skip_space();
        }
        Ok(if all.len() == 1 { Segment::Index(first) } else { Segment::Indexes(all.into()) })
    }

    fn any(&mut self) -> Parsed<Condition> {
        let mut operands = vec![self.all()?];
        loop {
            self.cursor.skip_space();
            if !self.cursor.eat_text("||") {
                break;
            }
            operands.push(self.all()?);
        }
        Ok(Condition::Any(operands))
    }

    fn all(&mut self) -> Parsed<Condition> {
        let mut operands = vec![self.not()?];
        loop {
            self.cursor.skip_space();
            if !self.cursor.eat_text("&&") {
                break;
            }
            operands.push(self.not()?);
        }
        Ok(Condition::All(operands))
    }

    fn not(&mut self) -> Parsed<Condition> {
        self.cursor.skip_space();
        if self.cursor.eat(b'!') {
            return Ok(Condition::Not(Box::new(self.deeper(Self::not)?)));
        }
        if self.cursor.eat(b'(') {
            let inner = self.deeper(Self::any)?;
            self.cursor.skip_space();
            return if self.cursor.eat(b')') { Ok(inner) } else { Err("`(` without `)`") };
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parsed<Condition> {
        let left = self.operand()?;
        self.cursor.skip_space();
        let Some(operator) = self.operator() else {
            return match left {
                Operand::Path { .. } => Ok(Condition::Exists(left)),
                _ => Err("a condition without an operator"),
            };
        };
        self.cursor.skip_space();
        if operator == Operator::Matches {
            return Ok(Condition::Matches(left, Box::new(self.regex()?)));
        }
        Ok(Condition::Compare(left, operator, self.operand()?))
    }

    fn operator(&mut self) -> Option<Operator> {
        const SIGNS: [(&str, Operator); 9] = [
            ("===", Operator::TypedEqual),
            ("!==", Operator::TypedNotEqual),
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("=~", Operator::Matches),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        for (sign, operator) in SIGNS {
            if self.cursor.eat_text(sign) {
                return Some(operator);
            }
        }
        let start = self.cursor;
        let word = self.cursor.take_while(|byte| byte.is_ascii_alphabetic());
        let operator = match word.to_ascii_lowercase().as_str() {
            "in" => Some(Operator::In),
            "nin" => Some(Operator::NotIn),
            "subsetof" => Some(Operator::SubsetOf),
            "anyof" => Some(Operator::AnyOf),
            "noneof" => Some(Operator::NoneOf),
            "contains" => Some(Operator::Contains),
            "all" => Some(Operator::All),
            "size" => Some(Operator::Size),
            "empty" => Some(Operator::Empty),
            _ => None,
        };
        if operator.is_none() {
            self.cursor = start;
        }
        operator
    }

    fn operand(&mut self) -> Parsed<Operand> {
        self.cursor.skip_space();
        match self.cursor.peek() {
            Some(root @ (b'@' | b'$')) => {
                self.cursor.skip(1);
                let segments = self.deeper(Self::segments)?.into();
                Ok(Operand::Path { from_root: root == b'$', path: JsonPath { segments } })
            }
            Some(b'\'' | b'"') => self.quoted().map(|text| Operand::Text(text.into())),
            Some(b'[') => self.deeper(Self::array),
            Some(b'-' | b'0'..=b'9') => {
                let text = self.cursor.take_while(|byte| {
                    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
                });
                text.parse().map(Operand::Number).map_err(|_| "expected a number")
            }
            _ => match self.cursor.take_while(|byte| byte.is_ascii_alphabetic()) {
                "true" => Ok(Operand::Bool(true)),
                "false" => Ok(Operand::Bool(false)),
                "null" => Ok(Operand::Null),
                _ => Err("expected a value in a filter"),
            },
        }
    }

    fn array(&mut self) -> Parsed<Operand> {
        self.cursor.skip(1);
        let mut items = Vec::new();
        loop {
            self.cursor.skip_space();
            if self.cursor.eat(b']') {
                return Ok(Operand::List(items));
            }
            items.push(self.operand()?);
            self.cursor.skip_space();
            if !self.cursor.eat(b',') && self.cursor.peek() != Some(b']') {
                return Err("`[` without `]`");
            }
        }
    }

    /// `/…/` and flags.
    fn regex(&mut self) -> Parsed<JavaRegex> {
        if !self.cursor.eat(b'/') {
            return Err("`=~` without `/`");
        }
        let mut pattern = String::new();
        loop {
            pattern.push_str(self.cursor.take_while(|byte| byte != b'/' && byte != b'\\'));
            match self.cursor.peek() {
                None => return Err("`/` without its end"),
                Some(b'/') => break,
                Some(_) => {
                    self.cursor.skip(1);
                    if self.cursor.peek() != Some(b'/') {
                        pattern.push('\\');
                    }
                    let escaped = self.cursor.rest().chars().next().ok_or("`/` without its end")?;
                    self.cursor.skip(escaped.len_utf8());
                    pattern.push(escaped);
                }
            }
        }
        self.cursor.skip(1);
        let flags = self.cursor.take_while(|byte| byte.is_ascii_alphabetic());
        if !flags.is_empty() {
            pattern = format!("(?{flags}){pattern}");
        }
        JavaRegex::compile(&pattern).map_err(|_| "the expression behind `=~` is not usable")
    }
}
