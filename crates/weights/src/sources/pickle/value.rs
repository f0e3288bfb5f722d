//! What a pickle holds. Values are small and copied; containers lie in one list and refer to each other by index, so
//! that neither building nor dropping them recurses, and cycles do no harm.

use super::globals::Global;

/// A piece of the pickle's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn len(self) -> usize {
        self.end - self.start
    }
}

/// A value. Text and bytes stay where they are in the pickle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than eight bytes, little-endian two's complement.
    Big(Span),
    /// A float, which no checkpoint's tensors need.
    Float,
    Text(Span),
    Bytes(Span),
    /// Bytes written as text, one character below 256 for each.
    Latin1(Span),
    Global(Global),
    Node(usize),
}

/// A container.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Tuple(Vec<Value>),
    /// A list or a set.
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// The result of a call that was not made.
    Object(Box<Object>),
    /// Something kept outside the pickle.
    Persistent(Value),
}

/// A call, and what was done to its result.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) class: Global,
    pub(crate) arguments: Value,
    pub(crate) state: Value,
    pub(crate) items: Vec<(Value, Value)>,
}

/// A pickle that was read.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) nodes: Vec<Node>,
    /// The value that the pickle is of.
    pub(crate) root: Value,
    /// Where the pickle ends in the bytes.
    pub(crate) end: usize,
}

impl<'a> Pickle<'a> {
    pub(crate) fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(index) => self.nodes.get(index),
            _ => None,
        }
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    pub(crate) fn bytes(&self, span: Span) -> &'a [u8] {
        self.bytes.get(span.start..span.end).unwrap_or_default()
    }

    pub(crate) fn text(&self, value: Value) -> Option<&'a str> {
        match value {
            Value::Text(span) => std::str::from_utf8(self.bytes(span)).ok(),
            _ => None,
        }
    }

    /// The elements of a tuple or list, or of a `torch.Size`.
    pub(crate) fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::Tuple(values) | Node::List(values) => Some(values),
            Node::Object(object) if object.class == Global::Size => match self.node(object.arguments)? {
                Node::Tuple(arguments) => match self.node(*arguments.first()?)? {
                    Node::Tuple(values) => Some(values),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// A call: what was called, and with what.
    pub(crate) fn call(&self, value: Value) -> Option<(&Object, &[Value])> {
        match self.node(value)? {
            Node::Object(object) => Some((object, self.sequence(object.arguments)?)),
            _ => None,
        }
    }

    /// The pairs of a dictionary.
    pub(crate) fn pairs(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.node(value)? {
            Node::Dict(pairs) => Some(pairs),
            Node::Object(object) if object.class == Global::OrderedDict => Some(&object.items),
            _ => None,
        }
    }

    /// The value of a key in a dictionary; the last one, as in Python, if the key comes twice.
    pub(crate) fn get(&self, value: Value, key: &str) -> Option<Value> {
        self.pairs(value)?.iter().rev().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }

    /// Sizes or strides.
    pub(crate) fn sizes(&self, value: Value) -> Option<Vec<usize>> {
        let values = self.sequence(value)?;
        values.iter().map(|value| size(*value)).collect()
    }
}

/// A number of things.
pub(crate) fn size(value: Value) -> Option<usize> {
    match value {
        Value::Int(value) => usize::try_from(value).ok(),
        _ => None,
    }
}
