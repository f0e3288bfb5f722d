//! The pickle machine: a stack, a memo, and one step per instruction.

use std::collections::HashMap;

use super::cursor::Cursor;
use super::globals::{self, Global};
use super::value::{Node, Object, Pickle, Span, Value};
use super::{MAX_DEPTH, MAX_EXPANDED, MAX_INSTRUCTIONS};
use crate::error::{Checked, Fault};

/// Reads the pickle that starts at `at`.
pub(crate) fn read(bytes: &[u8], at: usize) -> Checked<Pickle<'_>> {
    let mut machine = Machine {
        from: Cursor { bytes, at },
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        nodes: Vec::new(),
        weights: Vec::new(),
    };
    for _ in 0..MAX_INSTRUCTIONS {
        if machine.step()? {
            let root = machine.pop()?;
            return Ok(Pickle { bytes, nodes: machine.nodes, root, end: machine.from.at });
        }
    }
    Err(Fault::new(format!("the pickle has more than {MAX_INSTRUCTIONS} instructions, which no checkpoint needs")))
}

/// How deep a container's contents go, and how many values are reachable from it, counted as often as they are reached.
#[derive(Clone, Copy, Debug)]
struct Weight {
    depth: u32,
    expanded: u32,
}

const EMPTY: Weight = Weight { depth: 1, expanded: 1 };

struct Machine<'a> {
    from: Cursor<'a>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    nodes: Vec<Node>,
    weights: Vec<Weight>,
}

impl Machine<'_> {
    /// One instruction; true when it was the last.
    fn step(&mut self) -> Checked<bool> {
        let started = self.from.at;
        let code = self.from.byte()?;
        match code {
            b'.' => return Ok(true),
            0x80 => match self.from.byte()? {
                2..=5 => {}
                other => return Err(Fault::new(format!("pickle protocol {other} is not read; 2 to 5 are"))),
            },
            0x95 => {
                let frame = self.from.length(8)?;
                if frame > self.from.bytes.len() - self.from.at {
                    return Err(self.from.cut_short("a frame"));
                }
            }
            // constants
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => {
                let value = self.from.byte()?;
                self.push(Value::Int(i64::from(value)));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.from.array()?);
                self.push(Value::Int(i64::from(value)));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.from.array()?);
                self.push(Value::Int(i64::from(value)));
            }
            0x8a => self.integer(1)?,
            0x8b => self.integer(4)?,
            b'G' => {
                self.from.array::<8>()?;
                self.push(Value::Float);
            }
            // text and bytes
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b'C' | b'U' => self.raw(1)?,
            b'B' | b'T' => self.raw(4)?,
            0x8e | 0x96 => self.raw(8)?,
            // containers
            b')' => self.tuple(Vec::new())?,
            0x85 => self.tuple_of(1)?,
            0x86 => self.tuple_of(2)?,
            0x87 => self.tuple_of(3)?,
            b't' => {
                let values = self.pop_mark()?;
                self.tuple(values)?;
            }
            b']' | 0x8f => self.node(Node::List(Vec::new()), EMPTY),
            b'}' => self.node(Node::Dict(Vec::new()), EMPTY),
            b'l' | 0x91 => {
                let values = self.pop_mark()?;
                let weight = self.weigh(EMPTY, &values)?;
                self.node(Node::List(values), weight);
            }
            b'd' => {
                let values = self.pop_mark()?;
                self.node(Node::Dict(Vec::new()), EMPTY);
                self.add_pairs(&values)?;
            }
            b'a' => {
                let value = self.pop()?;
                self.add_values(&[value])?;
            }
            b'e' | 0x90 => {
                let values = self.pop_mark()?;
                self.add_values(&values)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.add_pairs(&[key, value])?;
            }
            b'u' => {
                let values = self.pop_mark()?;
                self.add_pairs(&values)?;
            }
            // stack and memo
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_mark()?;
            }
            b'2' => {
                let value = self.top()?;
                self.push(value);
            }
            b'q' => {
                let slot = u32::from(self.from.byte()?);
                self.remember(slot)?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.from.array()?);
                self.remember(slot)?;
            }
            0x94 => {
                let slot = u32::try_from(self.memo.len()).unwrap_or(u32::MAX);
                self.remember(slot)?;
            }
            b'h' => {
                let slot = u32::from(self.from.byte()?);
                self.recall(slot)?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.from.array()?);
                self.recall(slot)?;
            }
            // names and calls
            b'c' => {
                let module = self.from.line()?;
                let name = self.from.line()?;
                self.global(module, name)?;
            }
            0x93 => {
                let name = self.pop_text()?;
                let module = self.pop_text()?;
                self.global(module, name)?;
            }
            b'R' | 0x81 => self.call()?,
            b'b' => self.build()?,
            b'Q' => {
                let identity = self.pop()?;
                let weight = self.weigh(EMPTY, &[identity])?;
                self.node(Node::Persistent(identity), weight);
            }
            other => {
                return Err(Fault::new(format!(
                    "byte {started} is 0x{other:02x}, which is no instruction that pickles of protocol 2 to 5 hold for \
                     a checkpoint"
                )));
            }
        }
        Ok(false)
    }

    fn integer(&mut self, bytes: usize) -> Checked<()> {
        let span = self.from.counted(bytes)?;
        let digits = self.from.slice(span);
        let value = if digits.len() <= 8 {
            let fill = if digits.last().is_some_and(|last| *last >= 0x80) { 0xFF } else { 0 };
            let mut value = [fill; 8];
            value[..digits.len()].copy_from_slice(digits);
            Value::Int(i64::from_le_bytes(value))
        } else {
            Value::Big(span)
        };
        self.push(value);
        Ok(())
    }

    fn text(&mut self, bytes: usize) -> Checked<()> {
        let span = self.from.counted(bytes)?;
        if std::str::from_utf8(self.from.slice(span)).is_err() {
            return Err(Fault::new(format!("the text at byte {} is not UTF-8", span.start)));
        }
        self.push(Value::Text(span));
        Ok(())
    }

    fn raw(&mut self, bytes: usize) -> Checked<()> {
        let span = self.from.counted(bytes)?;
        self.push(Value::Bytes(span));
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    /// Takes the top of the stack, which must lie above the last mark.
    fn pop(&mut self) -> Checked<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(Fault::new(format!("the pickle takes a value at byte {} where there is none", self.from.at)));
        }
        self.stack.pop().ok_or_else(|| self.from.cut_short("its instructions"))
    }

    fn top(&mut self) -> Checked<Value> {
        let value = self.pop()?;
        self.push(value);
        Ok(value)
    }

    fn pop_text(&mut self) -> Checked<Span> {
        match self.pop()? {
            Value::Text(span) => Ok(span),
            _ => Err(Fault::new(format!("the pickle names something at byte {} with what is no text", self.from.at))),
        }
    }

    fn pop_mark(&mut self) -> Checked<Vec<Value>> {
        let mark = self.marks.pop();
        let mark =
            mark.ok_or_else(|| Fault::new(format!("the pickle closes what was not opened, at byte {}", self.from.at)))?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, slot: u32) -> Checked<()> {
        if usize::try_from(slot).is_ok_and(|slot| slot >= MAX_INSTRUCTIONS) {
            return Err(Fault::new(format!(
                "the pickle numbers a value {slot}, which is more than the {MAX_INSTRUCTIONS} that a checkpoint needs"
            )));
        }
        let value = self.top()?;
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Checked<()> {
        let value = self.memo.get(&slot).copied();
        self.push(value.ok_or_else(|| Fault::new(format!("the pickle recalls value {slot}, which it never stored")))?);
        Ok(())
    }

    fn global(&mut self, module: Span, name: Span) -> Checked<()> {
        let text = |span: Span| {
            let bytes = self.from.slice(span);
            String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes))
        };
        let (module, name) = (text(module), text(name));
        let global = globals::find(&module, &name).ok_or_else(|| {
            let printable = |text: &str| text.escape_debug().collect::<String>();
            Fault::Forbidden(format!("{}.{}", printable(&module), printable(&name)))
        })?;
        self.push(Value::Global(global));
        Ok(())
    }

    fn tuple_of(&mut self, len: usize) -> Checked<()> {
        let mut values = Vec::with_capacity(len);
        for _ in 0..len {
            values.push(self.pop()?);
        }
        values.reverse();
        self.tuple(values)
    }

    fn tuple(&mut self, values: Vec<Value>) -> Checked<()> {
        let weight = self.weigh(EMPTY, &values)?;
        self.node(Node::Tuple(values), weight);
        Ok(())
    }

    /// Makes a container and pushes it.
    fn node(&mut self, node: Node, weight: Weight) {
        self.push(Value::Node(self.nodes.len()));
        self.nodes.push(node);
        self.weights.push(weight);
    }

    /// The weight of a container with more contents.
    fn weigh(&self, mut weight: Weight, contents: &[Value]) -> Checked<Weight> {
        for value in contents {
            let inner = match value {
                Value::Node(inner) => self.weights[*inner],
                _ => Weight { depth: 0, expanded: 1 },
            };
            weight.depth = weight.depth.max(inner.depth + 1);
            weight.expanded = weight.expanded.saturating_add(inner.expanded);
        }
        if weight.depth > MAX_DEPTH {
            return Err(Fault::new(format!("the pickle nests containers more than {MAX_DEPTH} deep")));
        }
        if weight.expanded > MAX_EXPANDED {
            return Err(Fault::new(format!(
                "the pickle repeats its values until there are more than {MAX_EXPANDED} of them, which no checkpoint needs"
            )));
        }
        Ok(weight)
    }

    /// The container on top of the stack.
    fn container(&mut self) -> Checked<usize> {
        match self.top()? {
            Value::Node(index) => Ok(index),
            _ => Err(self.no_container()),
        }
    }

    fn no_container(&self) -> Fault {
        Fault::new(format!("the pickle adds to something at byte {} that takes no elements", self.from.at))
    }

    fn add_values(&mut self, values: &[Value]) -> Checked<()> {
        let index = self.container()?;
        self.weights[index] = self.weigh(self.weights[index], values)?;
        match &mut self.nodes[index] {
            Node::List(list) => list.extend_from_slice(values),
            _ => return Err(self.no_container()),
        }
        Ok(())
    }

    fn add_pairs(&mut self, values: &[Value]) -> Checked<()> {
        let index = self.container()?;
        self.weights[index] = self.weigh(self.weights[index], values)?;
        let (pairs, odd) = values.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(Fault::new(format!("the pickle has a key without a value at byte {}", self.from.at)));
        }
        let pairs = pairs.iter().map(|[key, value]| (*key, *value));
        match &mut self.nodes[index] {
            Node::Dict(items) => items.extend(pairs),
            Node::Object(object) => object.items.extend(pairs),
            _ => return Err(self.no_container()),
        }
        Ok(())
    }

    /// Notes a call of a listed name.
    fn call(&mut self) -> Checked<()> {
        let arguments = self.pop()?;
        let Value::Global(class) = self.pop()? else {
            return Err(Fault::new(format!(
                "the pickle calls something at byte {} that is no listed name",
                self.from.at
            )));
        };
        let values = match arguments {
            Value::Node(index) => match &self.nodes[index] {
                Node::Tuple(values) => values.as_slice(),
                _ => &[],
            },
            _ => {
                return Err(Fault::new(format!(
                    "the pickle calls {class:?} without arguments at byte {}",
                    self.from.at
                )));
            }
        };
        match (class, values) {
            (Global::Encode, [Value::Text(text), ..]) => {
                let value = Value::Latin1(*text);
                self.push(value);
            }
            (Global::Bytes, []) => {
                let empty = Span { start: self.from.at, end: self.from.at };
                self.push(Value::Bytes(empty));
            }
            (Global::Encode | Global::Bytes, _) => {
                return Err(Fault::new(format!(
                    "the pickle makes bytes at byte {} out of what is no text",
                    self.from.at
                )));
            }
            _ => {
                let object = Object { class, arguments, state: Value::None, items: Vec::new() };
                let weight = self.weigh(EMPTY, &[arguments])?;
                self.node(Node::Object(Box::new(object)), weight);
            }
        }
        Ok(())
    }

    /// Gives a noted call's result a state.
    fn build(&mut self) -> Checked<()> {
        let state = self.pop()?;
        let index = self.container()?;
        self.weights[index] = self.weigh(self.weights[index], &[state])?;
        match &mut self.nodes[index] {
            Node::Object(object) => object.state = state,
            _ => {
                return Err(Fault::new(format!("the pickle gives a state to what has none, at byte {}", self.from.at)));
            }
        }
        Ok(())
    }
}
