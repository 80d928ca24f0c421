//! Running a template for one call.
//!
//! Nothing is parsed here. Output goes into one text; a text in double quotes and a `#define` write
//! into a text of their own. The machine keeps every list and map that a container was put into,
//! and empties them at the end: cycles of values would otherwise never be freed.

use std::cell::OnceCell;
use std::collections::HashSet;

use indexmap::IndexMap;

use super::meter::{Meter, RenderError};
use super::print::{self, Printer};
use super::scope::{Input, Overrides, Scope, Variables};
use super::tree::{
    Block, Comparison, Expr, Foreach, Known, Node, Reference, Step, Tree, VELOCITY_COUNT,
    VELOCITY_HAS_NEXT,
};
use super::value::{Builtin, Entries, ITEM_BYTES, Key, List, Map, Text, Value, check_depth};
use super::{number, overrides};

/// Of a parameter's name, in an error: clients may choose it.
const PARAMETER_CHARS_SHOWN: usize = 100;

/// What happens after a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Stop,
}

/// One running loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loop {
    pub(super) index: usize,
    pub(super) length: usize,
}

pub(super) struct Machine<'r> {
    tree: &'r Tree,
    pub(super) input: Input<'r>,
    pub(super) variables: &'r dyn Variables,
    pub(super) stage_variables: &'r IndexMap<String, String>,
    pub(super) meter: Meter,
    slots: Vec<Value<'r>>,
    out: String,
    depth: usize,
    pub(super) loops: Vec<Loop>,
    is_stopped: bool,
    pub(super) body: OnceCell<Option<Value<'r>>>,
    pub(super) overlay: Map<'r>,
    /// Parameters that this rendering has overridden.
    overridden: HashSet<String>,
    touched: Vec<Value<'r>>,
}

/// Renders a tree. The overrides in the scope are read and written.
pub(super) fn render(tree: &Tree, scope: &mut Scope<'_>) -> Result<String, RenderError> {
    let before = std::mem::take(&mut scope.overrides);
    let overlay = match tree.uses_overrides {
        true => overrides::open(&before),
        false => Map::new(Entries::default()),
    };
    let mut machine = Machine {
        tree,
        input: scope.input,
        variables: scope.context,
        stage_variables: scope.stage_variables,
        meter: Meter::new(scope.limits),
        slots: vec![Value::Null; tree.slots],
        out: String::with_capacity(tree.text_bytes()),
        depth: 0,
        loops: Vec::new(),
        is_stopped: false,
        body: OnceCell::new(),
        overlay,
        overridden: HashSet::new(),
        touched: Vec::new(),
    };
    machine.run(&tree.nodes)?;
    scope.overrides = match tree.uses_overrides {
        true => machine.close_overrides()?,
        false => before,
    };
    Ok(std::mem::take(&mut machine.out))
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        for value in &self.touched {
            match value {
                Value::List(list) => drop(list.change(std::mem::take)),
                Value::Map(map) => drop(map.change(std::mem::take)),
                _ => {}
            }
        }
    }
}

impl<'r> Machine<'r> {
    fn close_overrides(&self) -> Result<Overrides, RenderError> {
        overrides::close(&self.overlay, &self.meter)
    }

    fn deeper<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, RenderError>,
    ) -> Result<T, RenderError> {
        self.meter.depth(self.depth)?;
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    fn run(&mut self, block: &'r Block) -> Result<Flow, RenderError> {
        self.deeper(|machine| {
            for node in block {
                machine.meter.step()?;
                let flow = machine.node(node)?;
                if machine.is_stopped {
                    return Ok(Flow::Stop);
                }
                if flow != Flow::On {
                    return Ok(flow);
                }
            }
            Ok(Flow::On)
        })
    }

    fn node(&mut self, node: &'r Node) -> Result<Flow, RenderError> {
        match node {
            Node::Text(text) => {
                self.meter.read(text.len())?;
                self.out.push_str(text);
                self.check_output()?;
            }
            Node::Print(reference) => {
                let value = self.reference(reference)?;
                self.print(&value)?;
            }
            Node::Set(set) => self.set(&set.0, &set.1)?,
            Node::If { arms, otherwise } => {
                for (condition, block) in arms {
                    if self.truth(condition)? {
                        return self.run(block);
                    }
                }
                return self.run(otherwise);
            }
            Node::Foreach(each) => return self.foreach(each),
            Node::Define { slot, block } => self.put(*slot, Value::Block(*block)),
            Node::Break => return Ok(Flow::Break),
            Node::Stop => self.is_stopped = true,
        }
        Ok(Flow::On)
    }

    fn check_output(&self) -> Result<(), RenderError> {
        let limit = self.meter.limits().output_bytes;
        match self.out.len() > limit {
            true => Err(RenderError::OutputTooLong { limit }),
            false => Ok(()),
        }
    }

    fn print(&mut self, value: &Value<'r>) -> Result<(), RenderError> {
        match value {
            Value::Null => {}
            Value::Text(text) => {
                self.meter.read(text.len())?;
                self.out.push_str(text);
            }
            Value::Block(block) => {
                if let Some(block) = self.tree.blocks.get(*block) {
                    self.run(block)?;
                }
            }
            Value::Builtin(builtin) => {
                let whole = self.whole(*builtin);
                if !matches!(whole, Value::Builtin(_)) {
                    self.print(&whole)?;
                }
            }
            other => {
                let before = self.out.len();
                let bound = self.meter.limits().output_bytes;
                let mut printer = Printer { out: &mut self.out, meter: &self.meter, bound };
                printer.value(other, 0)?;
                self.meter.read(self.out.len() - before)?;
            }
        }
        self.check_output()
    }

    fn put(&mut self, slot: usize, value: Value<'r>) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = value;
        }
    }

    fn foreach(&mut self, each: &'r Foreach) -> Result<Flow, RenderError> {
        let items = match self.value(&each.over)? {
            Value::List(list) => list.items().clone(),
            Value::Map(map) => map.entries().values().cloned().collect(),
            Value::Builtin(builtin) => match self.whole(builtin) {
                Value::Map(map) => map.entries().values().cloned().collect(),
                _ => return Ok(Flow::On),
            },
            _ => return Ok(Flow::On),
        };
        self.meter.read(items.len() * ITEM_BYTES)?;
        let slots = [each.slot, VELOCITY_COUNT, VELOCITY_HAS_NEXT];
        let before = slots.map(|slot| self.slots.get(slot).cloned().unwrap_or(Value::Null));
        let length = items.len();
        let most = usize::try_from(self.meter.limits().foreach_iterations).unwrap_or(usize::MAX);
        self.loops.push(Loop { index: 0, length });
        for (index, item) in items.into_iter().take(most).enumerate() {
            self.meter.step()?;
            if let Some(own) = self.loops.last_mut() {
                own.index = index;
            }
            self.put(each.slot, item);
            self.put(VELOCITY_COUNT, Value::integer(index as i128 + 1));
            self.put(VELOCITY_HAS_NEXT, Value::Bool(index + 1 < length));
            match self.run(&each.body)? {
                Flow::On => {}
                Flow::Break => break,
                Flow::Stop => return Ok(Flow::Stop),
            }
        }
        self.loops.pop();
        for (slot, value) in slots.into_iter().zip(before) {
            self.put(slot, value);
        }
        Ok(Flow::On)
    }

    /// Text of a block that does not go to the output.
    fn aside(&mut self, block: &'r Block) -> Result<Text<'r>, RenderError> {
        let out = std::mem::take(&mut self.out);
        let result = self.run(block);
        let text = std::mem::replace(&mut self.out, out);
        result?;
        self.meter.make(text.len())?;
        Ok(Text::from(text))
    }

    fn truth(&mut self, expr: &'r Expr) -> Result<bool, RenderError> {
        Ok(!matches!(self.value(expr)?, Value::Bool(false)))
    }

    /// The value of an expression. A reference that comes to nothing is the empty text (recorded);
    /// null comes from computing only.
    pub(super) fn value(&mut self, expr: &'r Expr) -> Result<Value<'r>, RenderError> {
        self.meter.step()?;
        match expr {
            Expr::Constant(constant) => Ok(constant.value()),
            Expr::Reference(reference) => match self.reference(reference)? {
                Value::Null => Ok(Value::text("")),
                Value::Block(block) => match self.tree.blocks.get(block) {
                    Some(block) => self.aside(block).map(Value::Text),
                    None => Ok(Value::text("")),
                },
                value => Ok(value),
            },
            other => self.deeper(|machine| machine.made(other)),
        }
    }

    fn made(&mut self, expr: &'r Expr) -> Result<Value<'r>, RenderError> {
        Ok(match expr {
            Expr::Constant(_) | Expr::Reference(_) => return self.value(expr),
            Expr::Interpolated(block) => Value::Text(self.aside(block)?),
            Expr::List(exprs) => {
                self.meter.make(exprs.len() * ITEM_BYTES)?;
                let items: Result<Vec<_>, _> = exprs.iter().map(|e| self.contained(e)).collect();
                Value::List(List::new(items?))
            }
            Expr::Range(from, to) => {
                let length = usize::try_from(from.abs_diff(*to)).unwrap_or(usize::MAX);
                self.meter.make(length.saturating_add(1).saturating_mul(ITEM_BYTES))?;
                let items = match from <= to {
                    true => (*from..=*to).map(Value::Int).collect(),
                    false => (*to..=*from).rev().map(Value::Int).collect(),
                };
                Value::List(List::new(items))
            }
            Expr::Map(exprs) => {
                self.meter.make(exprs.len() * ITEM_BYTES)?;
                let mut entries = Entries::default();
                entries.reserve(exprs.len());
                for (key, value) in exprs {
                    let key = self.value(key)?;
                    entries.insert(self.key(key)?, self.contained(value)?);
                }
                Value::Map(Map::new(entries))
            }
            Expr::Not(expr) => Value::Bool(!self.truth(expr)?),
            Expr::All(exprs) => {
                for expr in exprs {
                    if !self.truth(expr)? {
                        return Ok(Value::Bool(false));
                    }
                }
                Value::Bool(true)
            }
            Expr::Any(exprs) => {
                for expr in exprs {
                    if self.truth(expr)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Value::Bool(false)
            }
            Expr::Compare(first, rest) => {
                let mut left = self.value(first)?;
                for (comparison, right) in rest {
                    let right = self.value(right)?;
                    left = Value::Bool(self.compare(&left, *comparison, &right)?);
                }
                left
            }
            Expr::Compute(first, rest) => {
                let mut left = self.value(first)?;
                for (operator, right) in rest {
                    let right = self.value(right)?;
                    left = self.compute(left, *operator, right)?;
                }
                left
            }
        })
    }

    fn contained(&mut self, expr: &'r Expr) -> Result<Value<'r>, RenderError> {
        let value = self.value(expr)?;
        check_depth(&value, &self.meter)?;
        Ok(value)
    }

    fn compute(
        &mut self,
        left: Value<'r>,
        operator: number::Operator,
        right: Value<'r>,
    ) -> Result<Value<'r>, RenderError> {
        let texts = left.as_str().is_some() || right.as_str().is_some();
        if operator == number::Operator::Add && texts {
            let (left, right) = (self.text(&left)?, self.text(&right)?);
            self.meter.make(left.len() + right.len())?;
            return Ok(Value::owned(format!("{}{}", &*left, &*right)));
        }
        Ok(number::compute(operator, &left, &right).unwrap_or(Value::Null))
    }

    fn compare(
        &mut self,
        left: &Value<'r>,
        comparison: Comparison,
        right: &Value<'r>,
    ) -> Result<bool, RenderError> {
        use std::cmp::Ordering::{Greater, Less};
        let order = || number::compare(left, right);
        Ok(match comparison {
            Comparison::Equal => self.equal(left, right)?,
            Comparison::NotEqual => !self.equal(left, right)?,
            Comparison::Less => order() == Some(Less),
            Comparison::LessOrEqual => order().is_some_and(|order| order != Greater),
            Comparison::Greater => order() == Some(Greater),
            Comparison::GreaterOrEqual => order().is_some_and(|order| order != Less),
        })
    }

    /// Numbers by their value; values of other types that differ by their texts.
    fn equal(&mut self, left: &Value<'r>, right: &Value<'r>) -> Result<bool, RenderError> {
        if let (Value::Text(left), Value::Text(right)) = (left, right) {
            self.meter.read(left.len().min(right.len()))?;
            return Ok(**left == **right);
        }
        if left.is_null() || right.is_null() {
            return Ok(left.is_null() && right.is_null());
        }
        if left.as_double().is_some() && right.as_double().is_some() {
            return Ok(number::compare(left, right) == Some(std::cmp::Ordering::Equal));
        }
        if std::mem::discriminant(left) == std::mem::discriminant(right) {
            return left.same(right, &self.meter);
        }
        let (left, right) = (self.text(left)?, self.text(right)?);
        Ok(*left == *right)
    }

    pub(super) fn text(&self, value: &Value<'r>) -> Result<Text<'r>, RenderError> {
        if let Value::Builtin(builtin) = value
            && let whole @ Value::Map(_) = self.whole(*builtin)
        {
            return print::to_text(&whole, &self.meter);
        }
        print::to_text(value, &self.meter)
    }

    /// Containers are compared and found by their texts when they are keys.
    pub(super) fn key(&self, value: Value<'r>) -> Result<Key<'r>, RenderError> {
        Ok(match value {
            Value::Text(text) => Key::Text(text),
            Value::Null => Key::Null,
            Value::Bool(flag) => Key::Bool(flag),
            Value::Int(number) => Key::Int(number),
            Value::Long(number) => Key::Long(number),
            Value::Big(number) => Key::Big(number),
            Value::Double(number) => Key::Double(number.to_bits()),
            other => Key::Text(self.text(&other)?),
        })
    }

    /// What a reference stands for.
    pub(super) fn reference(&mut self, reference: &'r Reference) -> Result<Value<'r>, RenderError> {
        let slot = self.slots.get(reference.slot).cloned().unwrap_or(Value::Null);
        let mut steps = &*reference.steps;
        let mut value = match (slot, reference.builtin) {
            (Value::Null, Some(Builtin::Context)) => match &reference.known {
                Known::Context { first, path, steps: known }
                    if self.overlay.get(first).is_none() =>
                {
                    steps = steps.get(*known..).unwrap_or_default();
                    self.variables.get(path).unwrap_or(Value::Null)
                }
                _ => Value::Builtin(Builtin::Context),
            },
            (Value::Null, Some(Builtin::Foreach)) if self.loops.is_empty() => Value::Null,
            (Value::Null, Some(builtin)) => Value::Builtin(builtin),
            (slot, _) => slot,
        };
        for step in steps {
            if value.is_null() {
                return Ok(Value::Null);
            }
            self.meter.step()?;
            value = self.step(&value, step)?;
        }
        Ok(value)
    }

    fn step(&mut self, value: &Value<'r>, step: &'r Step) -> Result<Value<'r>, RenderError> {
        match step {
            Step::Property(name) => Ok(self.property(value, name)),
            Step::Index(index) => {
                let index = self.value(index)?;
                self.index(value, index)
            }
            Step::Method(call) => {
                let arguments: Result<Vec<_>, _> =
                    call.arguments.iter().map(|argument| self.value(argument)).collect();
                self.deeper(|machine| machine.call(value, call, &arguments?))
            }
        }
    }

    fn index(&mut self, value: &Value<'r>, index: Value<'r>) -> Result<Value<'r>, RenderError> {
        match value {
            Value::List(list) => match index.as_index() {
                Some(index) => {
                    let items = list.items();
                    let at = place(index, items.len())?;
                    Ok(items.get(at).cloned().unwrap_or(Value::Null))
                }
                None => Ok(Value::Null),
            },
            Value::Map(map) => {
                let key = self.key(index)?;
                Ok(map.entries().get(&key).cloned().unwrap_or(Value::Null))
            }
            Value::Builtin(_) => {
                let name = self.text(&index)?;
                Ok(self.property(value, &name))
            }
            _ => Ok(Value::Null),
        }
    }

    fn set(&mut self, target: &'r Reference, expr: &'r Expr) -> Result<(), RenderError> {
        let value = self.value(expr)?;
        // Computing failed: the name keeps what it had.
        if value.is_null() {
            return Ok(());
        }
        let Some((last, before)) = target.steps.split_last() else {
            self.put(target.slot, value);
            return Ok(());
        };
        let slot = self.slots.get(target.slot).cloned().unwrap_or(Value::Null);
        let mut holder = match (slot, target.builtin) {
            (Value::Null, Some(builtin)) => Value::Builtin(builtin),
            (slot, _) => slot,
        };
        for step in before {
            holder = self.step(&holder, step)?;
        }
        let key = match last {
            Step::Property(name) => Value::text(name),
            Step::Index(index) => self.value(index)?,
            Step::Method(_) => return Ok(()),
        };
        match holder {
            Value::List(list) => match key.as_index() {
                Some(index) => {
                    let at = place(index, list.items().len())?;
                    self.put_item(&list, at, value).map(|_| ())
                }
                None => Ok(()),
            },
            Value::Map(map) => self.put_entry(&map, key, value).map(|_| ()),
            Value::Builtin(Builtin::Context) => {
                let overlay = self.overlay.clone();
                self.put_entry(&overlay, key, value).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Puts an entry into a map; the value that was there.
    pub(super) fn put_entry(
        &mut self,
        map: &Map<'r>,
        key: Value<'r>,
        value: Value<'r>,
    ) -> Result<Value<'r>, RenderError> {
        let key = self.key(key)?;
        self.meter.make(ITEM_BYTES)?;
        self.check_override(map, &key)?;
        map.deepen(&value, &self.meter)?;
        if value.is_container() {
            self.touched.push(Value::Map(map.clone()));
        }
        Ok(map.change(|entries| entries.insert(key, value)).unwrap_or(Value::Null))
    }

    fn check_override(&mut self, map: &Map<'r>, key: &Key<'r>) -> Result<(), RenderError> {
        let Key::Text(name) = key else { return Ok(()) };
        if !self.tree.uses_overrides {
            return Ok(());
        }
        let Some(parameter) = overrides::parameter(&self.overlay, map, name) else { return Ok(()) };
        self.meter.make(parameter.len())?;
        match self.overridden.contains(&parameter) {
            true => Err(RenderError::OverriddenTwice {
                parameter: parameter.chars().take(PARAMETER_CHARS_SHOWN).collect(),
            }),
            false => {
                self.overridden.insert(parameter);
                Ok(())
            }
        }
    }

    pub(super) fn put_item(
        &mut self,
        list: &List<'r>,
        at: usize,
        value: Value<'r>,
    ) -> Result<Value<'r>, RenderError> {
        self.touch_list(list, &value)?;
        let old =
            list.change(|items| items.get_mut(at).map(|place| std::mem::replace(place, value)));
        Ok(old.unwrap_or(Value::Null))
    }

    /// Before a value goes into a list.
    pub(super) fn touch_list(
        &mut self,
        list: &List<'r>,
        value: &Value<'r>,
    ) -> Result<(), RenderError> {
        self.meter.make(ITEM_BYTES)?;
        list.deepen(value, &self.meter)?;
        if value.is_container() {
            self.touched.push(Value::List(list.clone()));
        }
        Ok(())
    }
}

/// The place of an index; from the end where it is negative.
pub(super) fn place(index: i32, length: usize) -> Result<usize, RenderError> {
    let out = RenderError::OutOfBounds { index: index.into(), length };
    let at = match usize::try_from(index) {
        Ok(at) => at,
        Err(_) => {
            let back = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
            length.checked_sub(back).ok_or_else(|| out.clone())?
        }
    };
    if at < length { Ok(at) } else { Err(out) }
}

impl Tree {
    /// What the output holds of the template's own text, loops and branches aside.
    fn text_bytes(&self) -> usize {
        let text = |node: &Node| if let Node::Text(text) = node { text.len() } else { 0 };
        self.nodes.iter().map(text).sum()
    }

    /// A template that is only text.
    pub(super) fn constant(&self) -> Option<&str> {
        match &*self.nodes {
            [] => Some(""),
            [Node::Text(text)] => Some(text),
            _ => None,
        }
    }
}
