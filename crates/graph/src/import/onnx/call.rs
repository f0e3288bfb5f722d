//! One operation, and its attributes as values.

use super::proto::{AttributeProto, NodeProto, TensorProto};
use crate::import::ImportError;

type Result<T> = std::result::Result<T, ImportError>;

/// Numbers of `AttributeProto.AttributeType`. Old files leave them out.
const UNDEFINED: i32 = 0;
const FLOAT: i32 = 1;
const INT: i32 = 2;
const STRING: i32 = 3;
const TENSOR: i32 = 4;
const FLOATS: i32 = 6;
const INTS: i32 = 7;

/// An operation and the version of its domain's operations that is meant.
pub(super) struct Call<'a> {
    node: &'a NodeProto,
    name: String,
    /// The version of its domain.
    pub(super) opset: i64,
}

impl<'a> Call<'a> {
    pub(super) fn new(node: &'a NodeProto, opset: i64) -> Self {
        Call { node, name: name(node), opset }
    }

    /// The file's word for what it does.
    pub(super) fn op(&self) -> &'a str {
        self.node.op_type.as_deref().unwrap_or_default()
    }

    /// Its name for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Names of what it reads; one that is left out is empty.
    pub(super) fn inputs(&self) -> &'a [String] {
        &self.node.input
    }

    /// Names of what it makes; one that is left out is empty.
    pub(super) fn outputs(&self) -> &'a [String] {
        &self.node.output
    }

    /// A fault of this operation.
    pub(super) fn fault(&self, what: impl Into<String>) -> ImportError {
        ImportError::Node { node: self.name().to_owned(), op_type: self.op().to_owned(), what: what.into() }
    }

    /// The attribute, which has to be of that type.
    fn attr(&self, name: &str, kind: i32) -> Result<Option<&'a AttributeProto>> {
        let Some(attr) = self.node.attribute.iter().find(|attr| attr.name.as_deref() == Some(name)) else {
            return Ok(None);
        };
        match attr.kind.unwrap_or(UNDEFINED) {
            UNDEFINED => Ok(Some(attr)),
            found if found == kind => Ok(Some(attr)),
            found => Err(self.fault(format!("its attribute `{name}` is of type {found} instead of {kind}"))),
        }
    }

    /// A whole number. A writer may leave out a zero.
    pub(super) fn int(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.attr(name, INT)?.map(|attr| attr.i.unwrap_or_default()))
    }

    /// A whole number that has a default.
    pub(super) fn int_or(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// A yes or no that has a default.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int(name)?.map_or(default, |value| value != 0))
    }

    /// Whole numbers.
    pub(super) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>> {
        Ok(self.attr(name, INTS)?.map(|attr| attr.ints.as_slice()))
    }

    /// A number.
    pub(super) fn float(&self, name: &str) -> Result<Option<f64>> {
        Ok(self.attr(name, FLOAT)?.map(|attr| attr.f.unwrap_or_default().into()))
    }

    /// Numbers.
    pub(super) fn floats(&self, name: &str) -> Result<Option<Vec<f64>>> {
        Ok(self.attr(name, FLOATS)?.map(|attr| attr.floats.iter().map(|&value| value.into()).collect()))
    }

    /// A word.
    pub(super) fn word(&self, name: &str) -> Result<Option<&'a str>> {
        let Some(attr) = self.attr(name, STRING)? else { return Ok(None) };
        match std::str::from_utf8(attr.s.as_deref().unwrap_or_default()) {
            Ok(word) => Ok(Some(word)),
            Err(_) => Err(self.fault(format!("its attribute `{name}` is not UTF-8"))),
        }
    }

    /// A stored tensor.
    pub(super) fn tensor(&self, name: &str) -> Result<Option<&'a TensorProto>> {
        Ok(self.attr(name, TENSOR)?.and_then(|attr| attr.t.as_deref()))
    }

    /// Fails unless the attribute is missing or that word.
    pub(super) fn only(&self, name: &str, word: &str) -> Result<()> {
        match self.word(name)? {
            Some(other) if other != word => Err(self.fault(format!("`{name}` {other:?} is not supported"))),
            _ => Ok(()),
        }
    }
}

/// A node's name, or else its first output's; behind the path of its module where the exporter notes that.
pub(super) fn name(node: &NodeProto) -> String {
    let own = node.name.as_deref().filter(|name| !name.is_empty());
    let name = own.or_else(|| node.output.iter().map(String::as_str).find(|name| !name.is_empty()));
    let name = name.unwrap_or("without a name");
    match module(node).filter(|path| !path.is_empty()) {
        Some(path) => format!("{path}/{name}"),
        None => name.to_owned(),
    }
}

/// The path of the module that a node belongs to, as PyTorch's exporter since 2.5 writes it: `: Net/conv1: Conv2d/conv2d: aten`.
fn module(node: &NodeProto) -> Option<&str> {
    let entry = node.metadata_props.iter().find(|entry| entry.key.as_deref() == Some("namespace"))?;
    let (modules, _) = entry.value.as_deref()?.rsplit_once('/')?;
    let (_, last) = modules.rsplit_once('/').unwrap_or(("", modules));
    last.split_once(": ").map(|(path, _)| path)
}
