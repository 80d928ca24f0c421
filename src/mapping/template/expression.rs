//! References, literals and operators of a template.
//!
//! As Velocity 1.7 reads them: `-` before a digit is always its sign (`5-3` is an error, `5 - 3` is
//! not), names may hold `-`, arguments and items of lists are operands, never computed in place. A
//! bare word is null where a method takes it and an error everywhere else.

use super::TemplateError;
use super::compile;
use super::cursor::{Cursor, is_name, is_name_start};
use super::number::Operator;
use super::syntax::Parser;
use super::tree::{Comparison, Constant, Expr, Reference, Step};
use super::value::Value;

impl<'t> Parser<'t, '_> {
    /// A reference that begins here, or nothing, and then the place stays.
    pub(super) fn reference(&mut self) -> Result<Option<Reference>, TemplateError> {
        let start = self.cursor;
        self.cursor.skip(1);
        self.cursor.eat(b'!');
        let braces = self.cursor.eat(b'{');
        let name = self.name();
        if start.peek() != Some(b'$') || name.is_empty() {
            self.cursor = start;
            return Ok(None);
        }
        let steps = self.deeper(Self::steps)?;
        if braces && !self.cursor.eat(b'}') {
            return Err(self.error("`${` without `}`"));
        }
        Ok(Some(self.names.reference(name, steps)))
    }

    fn name(&mut self) -> &'t str {
        match self.cursor.peek() {
            Some(first) if is_name_start(first) => {
                self.cursor.take_while(|byte| is_name(byte) || byte == b'-')
            }
            _ => "",
        }
    }

    fn steps(&mut self) -> Result<Vec<Step>, TemplateError> {
        let mut steps = Vec::new();
        loop {
            if self.cursor.eat(b'[') {
                let index = self.argument()?;
                self.cursor.skip_space();
                if !self.cursor.eat(b']') {
                    return Err(self.error("`[` without `]`"));
                }
                steps.push(Step::Index(index));
                continue;
            }
            if self.cursor.peek() != Some(b'.')
                || !self.cursor.peek_at(1).is_some_and(is_name_start)
            {
                return Ok(steps);
            }
            self.cursor.skip(1);
            let name = self.name();
            if self.cursor.eat(b'(') {
                let arguments = self.arguments(b')', Self::method_argument)?;
                steps.push(Step::Method(Box::new(compile::call(name, arguments))));
            } else {
                steps.push(Step::Property(name.into()));
            }
        }
    }

    /// Operands with commas between them, to a closing mark. `()` and `[]` may hold no blank.
    fn arguments(
        &mut self,
        closing: u8,
        argument: fn(&mut Self) -> Result<Expr, TemplateError>,
    ) -> Result<Vec<Expr>, TemplateError> {
        let mut arguments = Vec::new();
        if self.cursor.eat(closing) {
            return Ok(arguments);
        }
        loop {
            arguments.push(argument(self)?);
            self.cursor.skip_space();
            if self.cursor.eat(closing) {
                return Ok(arguments);
            }
            if !self.cursor.eat(b',') {
                return Err(self.error("expected `,` or the end of a list"));
            }
        }
    }

    /// An operand, or a bare word: `put('k', null)` and `contains(foo)` pass null (recorded).
    fn method_argument(&mut self) -> Result<Expr, TemplateError> {
        self.cursor.skip_space();
        let start = self.cursor;
        match self.name() {
            "" | "true" | "false" => {
                self.cursor = start;
                self.argument()
            }
            _ => Ok(Expr::Constant(Constant::Null)),
        }
    }

    /// An operand without operators.
    pub(super) fn argument(&mut self) -> Result<Expr, TemplateError> {
        self.cursor.skip_space();
        self.deeper(|parser| match parser.cursor.peek() {
            Some(b'"') => parser.double_quoted(),
            Some(b'\'') => {
                let text = parser.quoted(b'\'')?;
                Ok(Expr::Constant(Constant::Text(text.into())))
            }
            Some(b'$') => match parser.reference()? {
                Some(reference) => Ok(Expr::Reference(Box::new(reference))),
                None => Err(parser.error("`$` is no reference")),
            },
            Some(b'[') => parser.list(),
            Some(b'{') => parser.map(),
            Some(b'0'..=b'9' | b'-' | b'.') => Ok(Expr::Constant(parser.number()?)),
            _ => match parser.cursor.take_while(is_name) {
                "true" => Ok(Expr::Constant(Constant::Bool(true))),
                "false" => Ok(Expr::Constant(Constant::Bool(false))),
                _ => Err(parser.error("expected a value")),
            },
        })
    }

    /// The text between quotes; a quote is written twice.
    fn quoted(&mut self, quote: u8) -> Result<String, TemplateError> {
        self.cursor.skip(1);
        let mut text = String::new();
        loop {
            text.push_str(self.cursor.take_while(|byte| byte != quote));
            if self.cursor.is_at_end() {
                return Err(self.error("a text without its closing quote"));
            }
            self.cursor.skip(1);
            if !self.cursor.eat(quote) {
                return Ok(text);
            }
            text.push(char::from(quote));
        }
    }

    fn double_quoted(&mut self) -> Result<Expr, TemplateError> {
        let text = self.quoted(b'"')?;
        if !text.contains(['$', '#']) {
            return Ok(Expr::Constant(Constant::Text(text.into())));
        }
        let block = self.nested(&text)?;
        Ok(match &*block {
            [] => Expr::Constant(Constant::Text("".into())),
            [super::tree::Node::Text(text)] => Expr::Constant(Constant::Text(text.clone())),
            _ => Expr::Interpolated(block),
        })
    }

    fn list(&mut self) -> Result<Expr, TemplateError> {
        self.cursor.skip(1);
        if let Some(range) = self.range()? {
            return Ok(range);
        }
        Ok(Expr::List(self.arguments(b']', Self::argument)?.into()))
    }

    /// `[1..5]`; AWS knows no other operands of a range (rest-data-plane 5.1).
    fn range(&mut self) -> Result<Option<Expr>, TemplateError> {
        let start = self.cursor;
        self.cursor.skip_space();
        let first = self.whole_number();
        self.cursor.skip_space();
        let Some(first) = first.filter(|_| self.cursor.eat_text("..")) else {
            self.cursor = start;
            return Ok(None);
        };
        self.cursor.skip_space();
        let last = self.whole_number();
        self.cursor.skip_space();
        match last {
            Some(last) if self.cursor.eat(b']') => Ok(Some(Expr::Range(first, last))),
            _ => Err(self.error("a range is of two whole numbers")),
        }
    }

    fn whole_number(&mut self) -> Option<i32> {
        let start = self.cursor;
        self.cursor.eat(b'-');
        self.cursor.take_while(|byte| byte.is_ascii_digit());
        self.cursor.since(start).parse().ok()
    }

    fn map(&mut self) -> Result<Expr, TemplateError> {
        self.cursor.skip(1);
        let mut entries = Vec::new();
        self.cursor.skip_space();
        if self.cursor.eat(b'}') {
            return Ok(Expr::Map(entries.into()));
        }
        loop {
            let key = self.argument()?;
            self.cursor.skip_space();
            if !self.cursor.eat(b':') {
                return Err(self.error("expected `:` in a map"));
            }
            entries.push((key, self.argument()?));
            self.cursor.skip_space();
            if self.cursor.eat(b'}') {
                return Ok(Expr::Map(entries.into()));
            }
            if !self.cursor.eat(b',') {
                return Err(self.error("expected `,` or `}` in a map"));
            }
        }
    }

    fn number(&mut self) -> Result<Constant, TemplateError> {
        let start = self.cursor;
        let digits =
            |cursor: &mut Cursor<'_>| !cursor.take_while(|byte| byte.is_ascii_digit()).is_empty();
        self.cursor.eat(b'-');
        let before = digits(&mut self.cursor);
        let mut whole = true;
        if self.cursor.peek() == Some(b'.') && self.cursor.peek_at(1) != Some(b'.') {
            self.cursor.skip(1);
            whole = false;
            if !digits(&mut self.cursor) && !before {
                return Err(self.error("`.` is no number"));
            }
        }
        let mantissa = self.cursor;
        if self.cursor.eat(b'e') || self.cursor.eat(b'E') {
            let _signed = self.cursor.eat(b'-') || self.cursor.eat(b'+');
            match digits(&mut self.cursor) {
                true => whole = false,
                false => self.cursor = mantissa,
            }
        }
        let text = self.cursor.since(start);
        let number = match whole {
            true => text.parse().ok().map(|number| match Value::integer(number) {
                Value::Int(number) => Constant::Int(number),
                Value::Long(number) => Constant::Long(number),
                _ => Constant::Big(number),
            }),
            false => text.parse().ok().map(Constant::Double),
        };
        number.ok_or_else(|| self.error("expected a number"))
    }

    /// An expression with all operators.
    pub(super) fn expression(&mut self) -> Result<Expr, TemplateError> {
        self.deeper(Self::any)
    }

    fn any(&mut self) -> Result<Expr, TemplateError> {
        let first = self.all_of()?;
        let mut operands = vec![first];
        while self.operator(&[("||", true), ("or", true)]).is_some() {
            operands.push(self.all_of()?);
        }
        Ok(one_or(operands, Expr::Any))
    }

    fn all_of(&mut self) -> Result<Expr, TemplateError> {
        let first = self.equality()?;
        let mut operands = vec![first];
        while self.operator(&[("&&", true), ("and", true)]).is_some() {
            operands.push(self.equality()?);
        }
        Ok(one_or(operands, Expr::All))
    }

    fn equality(&mut self) -> Result<Expr, TemplateError> {
        use Comparison::{Equal, NotEqual};
        let operators = [("==", Equal), ("eq", Equal), ("!=", NotEqual), ("ne", NotEqual)];
        self.chain(&operators, Self::relation, Expr::Compare)
    }

    fn relation(&mut self) -> Result<Expr, TemplateError> {
        use Comparison::{Greater, GreaterOrEqual, Less, LessOrEqual};
        let operators = [
            ("<=", LessOrEqual),
            ("le", LessOrEqual),
            ("<", Less),
            ("lt", Less),
            (">=", GreaterOrEqual),
            ("ge", GreaterOrEqual),
            (">", Greater),
            ("gt", Greater),
        ];
        self.chain(&operators, Self::sum, Expr::Compare)
    }

    fn sum(&mut self) -> Result<Expr, TemplateError> {
        let operators = [("+", Operator::Add), ("-", Operator::Subtract)];
        self.chain(&operators, Self::product, Expr::Compute)
    }

    fn product(&mut self) -> Result<Expr, TemplateError> {
        let operators =
            [("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Modulo)];
        self.chain(&operators, Self::unary, Expr::Compute)
    }

    fn unary(&mut self) -> Result<Expr, TemplateError> {
        self.cursor.skip_space();
        let not = self.cursor.peek() == Some(b'!') && self.cursor.peek_at(1) != Some(b'=');
        if not {
            self.cursor.skip(1);
        }
        if not || self.operator(&[("not", ())]).is_some() {
            return Ok(Expr::Not(Box::new(self.deeper(Self::unary)?)));
        }
        if self.cursor.eat(b'(') {
            let inner = self.expression()?;
            self.cursor.skip_space();
            return match self.cursor.eat(b')') {
                true => Ok(inner),
                false => Err(self.error("`(` without `)`")),
            };
        }
        self.argument()
    }

    /// Operands of one precedence. A chain is one node, so that long ones are not deep.
    fn chain<O: Copy>(
        &mut self,
        operators: &[(&str, O)],
        operand: fn(&mut Self) -> Result<Expr, TemplateError>,
        make: Chain<O>,
    ) -> Result<Expr, TemplateError> {
        let first = operand(self)?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator(operators) {
            rest.push((operator, operand(self)?));
        }
        Ok(match rest.is_empty() {
            true => first,
            false => make(Box::new(first), rest.into()),
        })
    }

    /// One of the operators, if it stands here. Words end where no letter follows.
    fn operator<O: Copy>(&mut self, operators: &[(&str, O)]) -> Option<O> {
        let start = self.cursor;
        self.cursor.skip_space();
        for &(text, operator) in operators {
            let place = self.cursor;
            if self.cursor.eat_text(text) {
                let word = text.bytes().all(is_name);
                let sign = text == "-" && self.cursor.peek().is_some_and(|b| b.is_ascii_digit());
                let goes_on = word && self.cursor.peek().is_some_and(is_name);
                if !goes_on && !sign {
                    return Some(operator);
                }
            }
            self.cursor = place;
        }
        self.cursor = start;
        None
    }
}

/// Makes the node of a chain: its first operand, then operators with theirs.
type Chain<O> = fn(Box<Expr>, Box<[(O, Expr)]>) -> Expr;

fn one_or(mut operands: Vec<Expr>, make: fn(Box<[Expr]>) -> Expr) -> Expr {
    match operands.pop() {
        Some(only) if operands.is_empty() => only,
        Some(last) => {
            operands.push(last);
            make(operands.into())
        }
        None => make(operands.into()),
    }
}
