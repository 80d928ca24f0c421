//! Which directives and texts does a template consist of?
//!
//! Velocity's lexer changes its mind about blanks and backslashes by what stands around them; the
//! rules here were found by asking it (`tests/clients/velocity`): the rest of the line after a
//! directive is swallowed when it is blank, blanks before `#set` are when nothing but them stands
//! before it, and a backslash before something that could be evaluated is taken away with it.
//!
//! Apache Velocity 1.7, "Velocity User Guide"; differences of AWS's, rest-data-plane 5.1.

use super::TemplateError;
use super::compile::Names;
use super::cursor::{Cursor, is_name, is_name_start};
use super::meter::DEPTH_MAX;
use super::tree::{Block, Expr, Foreach, Node, Tree};
use super::value::Builtin;

/// Directives that AWS knows, and `macro`, whose definition it drops.
const DIRECTIVES: [&str; 10] =
    ["set", "if", "elseif", "else", "end", "foreach", "define", "stop", "break", "macro"];

/// Parses a whole template.
pub(super) fn parse(text: &str) -> Result<Tree, TemplateError> {
    let mut names = Names::new();
    let mut parser = Parser::new(text, &mut names, false, 0, 1);
    let nodes = parser.all()?;
    let slots = names.slots();
    Ok(Tree { nodes, slots, uses_overrides: names.uses_overrides, blocks: names.blocks })
}

/// What a block ended at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    EndOfText,
    End,
    Else,
    ElseIf,
}

pub(super) struct Parser<'t, 'n> {
    pub(super) cursor: Cursor<'t>,
    pub(super) names: &'n mut Names,
    /// The text is that of a string: a lone `$` at its end is no error.
    in_string: bool,
    depth: usize,
    /// A place whose line is known, so that lines are counted only once.
    counted: Cursor<'t>,
    line: usize,
}

/// Nodes of one block, and the text that is not a node yet.
#[derive(Default)]
struct Nodes {
    done: Vec<Node>,
    text: String,
    /// Where the text since the last token begins.
    fresh: usize,
}

impl Nodes {
    fn push(&mut self, node: Node) {
        self.flush();
        self.done.push(node);
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.done.push(Node::Text(std::mem::take(&mut self.text).into()));
        }
        self.fresh = 0;
    }

    fn token(&mut self) {
        self.fresh = self.text.len();
    }

    /// Blanks before `#set` belong to it where nothing else stands before it.
    fn drop_indent(&mut self) {
        if self.text.bytes().skip(self.fresh).all(|byte| byte == b' ' || byte == b'\t') {
            self.text.truncate(self.fresh);
        }
    }

    fn finish(mut self) -> Block {
        self.flush();
        self.done.into()
    }
}

impl<'t, 'n> Parser<'t, 'n> {
    pub(super) fn new(
        text: &'t str,
        names: &'n mut Names,
        in_string: bool,
        depth: usize,
        line: usize,
    ) -> Self {
        let cursor = Cursor::new(text);
        Self { cursor, names, in_string, depth, counted: cursor, line }
    }

    /// A parser for the text of a string that is part of this template.
    pub(super) fn nested<'s>(&mut self, text: &'s str) -> Result<Block, TemplateError> {
        let line = self.line();
        (self.counted, self.line) = (self.cursor, line);
        Parser::<'s, '_>::new(text, self.names, true, self.depth + 1, line).all()
    }

    fn all(&mut self) -> Result<Block, TemplateError> {
        match self.block()? {
            (nodes, Closing::EndOfText) => Ok(nodes),
            _ => Err(self.error("`#end` or `#else` without its `#if`")),
        }
    }

    pub(super) fn error(&self, cause: &'static str) -> TemplateError {
        TemplateError::Syntax { line: self.line(), cause }
    }

    pub(super) fn line(&self) -> usize {
        self.line + self.cursor.since(self.counted).matches('\n').count()
    }

    pub(super) fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, TemplateError>,
    ) -> Result<T, TemplateError> {
        if self.depth >= DEPTH_MAX {
            return Err(TemplateError::TooDeep { line: self.line(), limit: DEPTH_MAX });
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn block(&mut self) -> Result<(Block, Closing), TemplateError> {
        self.deeper(|parser| {
            let mut nodes = Nodes::default();
            loop {
                nodes.text.push_str(parser.cursor.until_special());
                let closing = match parser.cursor.peek() {
                    None => Some(Closing::EndOfText),
                    Some(b'\\') => {
                        parser.backslashes(&mut nodes)?;
                        None
                    }
                    Some(b'$') => {
                        parser.dollar(&mut nodes)?;
                        None
                    }
                    _ => parser.hash(&mut nodes)?,
                };
                if let Some(closing) = closing {
                    return Ok((nodes.finish(), closing));
                }
            }
        })
    }

    fn dollar(&mut self, nodes: &mut Nodes) -> Result<(), TemplateError> {
        if let Some(reference) = self.reference()? {
            nodes.push(Node::Print(Box::new(reference)));
            return Ok(());
        }
        self.cursor.skip(1);
        nodes.text.push('$');
        if self.cursor.peek() == Some(b'!') && !matches!(self.cursor.peek_at(1), Some(b'{' | b'$'))
        {
            self.cursor.skip(1);
        }
        match self.cursor.is_at_end() && !self.in_string {
            true => Err(self.error("`$` at the end")),
            false => Ok(()),
        }
    }

    /// Half of the backslashes before something that could be evaluated are printed; one more, and
    /// it is not evaluated.
    fn backslashes(&mut self, nodes: &mut Nodes) -> Result<(), TemplateError> {
        let run = self.cursor.take_while(|byte| byte == b'\\');
        let start = self.cursor;
        let literal = match self.cursor.peek() {
            Some(b'$') => {
                // A quiet mark that the author escaped is part of the text as well.
                self.reference()?.map(|_| self.cursor.since(start))
            }
            Some(b'#') => self.directive_name().map(|_| self.cursor.since(start)),
            _ => None,
        };
        let Some(literal) = literal else {
            self.cursor = start;
            nodes.text.push_str(run);
            return Ok(());
        };
        nodes.text.extend(std::iter::repeat_n('\\', run.len() / 2));
        match run.len() % 2 {
            0 => self.cursor = start,
            _ => nodes.text.push_str(literal),
        }
        Ok(())
    }

    fn hash(&mut self, nodes: &mut Nodes) -> Result<Option<Closing>, TemplateError> {
        let start = self.cursor;
        match self.cursor.peek_at(1) {
            Some(b'#') => {
                self.cursor.skip_line();
                nodes.token();
            }
            Some(b'*') => {
                self.cursor.skip_through("*#");
                nodes.token();
            }
            Some(b'[') if self.cursor.peek_at(2) == Some(b'[') => {
                self.cursor.skip(3);
                let text = self.cursor.take_through("]]#");
                nodes.text.push_str(text.ok_or_else(|| self.error("`#[[` without `]]#`"))?);
                nodes.token();
            }
            None if !self.in_string => return Err(self.error("`#` at the end")),
            _ => match self.directive_name() {
                Some(name) => return self.directive(name, start, nodes),
                None => self.unknown(nodes),
            },
        }
        Ok(None)
    }

    /// The name of a directive that is known, written `#name` or `#{name}`; else stays where it is.
    fn directive_name(&mut self) -> Option<&'static str> {
        let start = self.cursor;
        self.cursor.skip(1);
        let braces = self.cursor.eat(b'{');
        let name = self.cursor.take_while(is_name);
        let known = DIRECTIVES.into_iter().find(|known| *known == name);
        match known {
            Some(_) if !braces || self.cursor.eat(b'}') => known,
            _ => {
                self.cursor = start;
                None
            }
        }
    }

    /// `#anything`, with its arguments if it has some, is text.
    fn unknown(&mut self, nodes: &mut Nodes) {
        let start = self.cursor;
        self.cursor.skip(1);
        let is_named = self.cursor.peek().is_some_and(is_name_start);
        self.cursor.take_while(is_name);
        let after_name = self.cursor;
        self.cursor.skip_blanks();
        let has_arguments = is_named && self.cursor.eat(b'(') && self.is_argument_list();
        if !has_arguments {
            self.cursor = after_name;
        }
        nodes.text.push_str(self.cursor.since(start));
        if is_named {
            nodes.token();
        }
    }

    /// Arguments as a macro's caller writes them, with commas or without.
    fn is_argument_list(&mut self) -> bool {
        loop {
            self.cursor.skip_space();
            if self.cursor.eat(b')') {
                return true;
            }
            if self.cursor.eat(b',') {
                continue;
            }
            if self.argument().is_err() {
                return false;
            }
        }
    }

    fn directive(
        &mut self,
        name: &'static str,
        start: Cursor<'t>,
        nodes: &mut Nodes,
    ) -> Result<Option<Closing>, TemplateError> {
        match name {
            "end" | "else" => {
                self.cursor.skip_rest_of_line();
                return Ok(Some(if name == "end" { Closing::End } else { Closing::Else }));
            }
            "elseif" => return Ok(Some(Closing::ElseIf)),
            "set" => match self.cursor.opens() {
                true => {
                    nodes.drop_indent();
                    let node = self.set()?;
                    nodes.push(node);
                }
                false => {
                    nodes.text.push_str(self.cursor.since(start));
                    nodes.token();
                }
            },
            "if" => {
                let node = self.condition()?;
                nodes.push(node);
            }
            "foreach" => {
                let node = self.foreach()?;
                nodes.push(node);
            }
            "define" => {
                let node = self.define()?;
                nodes.push(node);
            }
            "macro" => {
                self.macro_definition()?;
                nodes.token();
            }
            other => {
                let after = self.cursor;
                if !(self.cursor.opens() && self.cursor.eat(b')')) {
                    self.cursor = after;
                }
                nodes.push(if other == "stop" { Node::Stop } else { Node::Break });
            }
        }
        Ok(None)
    }

    fn set(&mut self) -> Result<Node, TemplateError> {
        self.cursor.skip_space();
        let target = self.reference()?.ok_or_else(|| self.error("`#set` of no reference"))?;
        self.names.uses_overrides |= target.builtin == Some(Builtin::Context);
        self.cursor.skip_space();
        if !self.cursor.eat(b'=') {
            return Err(self.error("`#set` without `=`"));
        }
        let value = self.expression()?;
        self.close()?;
        Ok(Node::Set(Box::new((target, value))))
    }

    fn close(&mut self) -> Result<(), TemplateError> {
        self.cursor.skip_space();
        if !self.cursor.eat(b')') {
            return Err(self.error("expected `)`"));
        }
        self.cursor.skip_rest_of_line();
        Ok(())
    }

    fn open(&mut self) -> Result<(), TemplateError> {
        match self.cursor.opens() {
            true => Ok(()),
            false => Err(self.error("expected `(`")),
        }
    }

    fn condition(&mut self) -> Result<Node, TemplateError> {
        let mut arms = Vec::new();
        loop {
            self.open()?;
            let condition = self.expression()?;
            self.close()?;
            let (block, closing) = self.block()?;
            arms.push((condition, block));
            let otherwise = match closing {
                Closing::ElseIf => continue,
                Closing::End => Block::default(),
                Closing::Else => self.block_to_end()?,
                Closing::EndOfText => return Err(self.error("`#if` without `#end`")),
            };
            return Ok(Node::If { arms: arms.into(), otherwise });
        }
    }

    fn block_to_end(&mut self) -> Result<Block, TemplateError> {
        match self.block()? {
            (block, Closing::End) => Ok(block),
            _ => Err(self.error("expected `#end`")),
        }
    }

    fn foreach(&mut self) -> Result<Node, TemplateError> {
        self.open()?;
        self.cursor.skip_space();
        let item = self.reference()?.ok_or_else(|| self.error("`#foreach` without a variable"))?;
        self.cursor.skip_space();
        if self.cursor.take_while(is_name) != "in" {
            return Err(self.error("`#foreach` without `in`"));
        }
        let over: Expr = self.argument()?;
        self.close()?;
        let body = self.block_to_end()?;
        Ok(Node::Foreach(Box::new(Foreach { slot: item.slot, over, body })))
    }

    fn define(&mut self) -> Result<Node, TemplateError> {
        self.open()?;
        self.cursor.skip_space();
        let name = self.reference()?.ok_or_else(|| self.error("`#define` of no reference"))?;
        self.close()?;
        let body = self.block_to_end()?;
        self.names.blocks.push(body);
        Ok(Node::Define { slot: name.slot, block: self.names.blocks.len() - 1 })
    }

    /// Read and forgotten: AWS drops definitions, and later calls are text.
    fn macro_definition(&mut self) -> Result<(), TemplateError> {
        self.open()?;
        loop {
            self.cursor.skip_space();
            if self.cursor.peek() == Some(b')') {
                break;
            }
            let word = self.cursor.take_while(is_name);
            let found = !word.is_empty() || self.cursor.eat(b',') || self.reference()?.is_some();
            if !found {
                return Err(self.error("parameters of a macro are names"));
            }
        }
        self.close()?;
        self.block_to_end().map(|_| ())
    }
}
