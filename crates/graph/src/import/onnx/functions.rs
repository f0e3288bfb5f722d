//! Functions: operations that a file defines itself, as PyTorch's older exporters write modules. A call is replaced by what
//! the function consists of.

use std::borrow::Cow;
use std::collections::HashMap;

use prost::Message;

use super::call::name;
use super::proto::{AttributeProto, FunctionProto, ModelProto, NodeProto, OperatorSetIdProto};
use crate::import::ImportError;

/// How deep functions may call functions. Modules nest less than ten deep.
const MAX_DEPTH: usize = 24;

/// The most bytes of operations that are written out, as the file would have them.
const MAX_BYTES: usize = 64 << 20;

/// An operation, and the versions of domains that it is written in.
pub(super) struct Placed<'a> {
    pub(super) node: Cow<'a, NodeProto>,
    pub(super) opsets: &'a [OperatorSetIdProto],
}

/// The model's operations, none of them a function's.
pub(super) fn written_out(model: &ModelProto) -> Result<Vec<Placed<'_>>, ImportError> {
    let key = |function: &FunctionProto| (function.domain.clone().unwrap_or_default(), function.name.clone());
    let functions = model.functions.iter().map(|function| (key(function), function)).collect();
    let mut writer = Writer { functions, placed: Vec::new(), bytes: 0 };
    for node in model.graph.iter().flat_map(|graph| &graph.node) {
        writer.place(Cow::Borrowed(node), &model.opset_import, 0)?;
    }
    Ok(writer.placed)
}

struct Writer<'a> {
    functions: HashMap<(String, Option<String>), &'a FunctionProto>,
    placed: Vec<Placed<'a>>,
    bytes: usize,
}

impl<'a> Writer<'a> {
    fn place(
        &mut self,
        node: Cow<'a, NodeProto>,
        opsets: &'a [OperatorSetIdProto],
        depth: usize,
    ) -> Result<(), ImportError> {
        let key = (node.domain.clone().unwrap_or_default(), node.op_type.clone());
        let Some(&function) = self.functions.get(&key) else {
            self.placed.push(Placed { node, opsets });
            return Ok(());
        };
        let fault = |what: String| ImportError::Node {
            node: name(&node),
            op_type: node.op_type.clone().unwrap_or_default(),
            what,
        };
        if depth == MAX_DEPTH {
            return Err(fault(format!("functions call functions more than {MAX_DEPTH} deep")));
        }
        let names = Names::new(&node, function, self.placed.len());
        for inner in &function.node {
            let inner = NodeProto {
                input: inner.input.iter().map(|tensor| names.of(tensor)).collect(),
                output: inner.output.iter().map(|tensor| names.of(tensor)).collect(),
                name: Some(format!("{}/{}", name(&node), name(inner))),
                op_type: inner.op_type.clone(),
                attribute: inner.attribute.iter().filter_map(|attr| resolved(attr, &node, function)).collect(),
                ..inner.clone()
            };
            self.bytes += inner.encoded_len();
            if self.bytes > MAX_BYTES {
                return Err(fault(format!("the model's functions come to more than {MAX_BYTES} bytes written out")));
            }
            self.place(Cow::Owned(inner), &function.opset_import, depth + 1)?;
        }
        Ok(())
    }
}

/// What a function's names of tensors are at the place of a call.
struct Names {
    /// An output of the call, which nothing else is called.
    prefix: String,
    outer: HashMap<String, String>,
}

impl Names {
    fn new(node: &NodeProto, function: &FunctionProto, place: usize) -> Self {
        let used = |tensors: &[String], index: usize| tensors.get(index).cloned().unwrap_or_default();
        let inputs = function.input.iter().enumerate().map(|(index, tensor)| (tensor, used(&node.input, index)));
        let outputs = function.output.iter().enumerate().map(|(index, tensor)| (tensor, used(&node.output, index)));
        let outputs = outputs.filter(|(_, outer)| !outer.is_empty());
        let prefix = node.output.iter().find(|output| !output.is_empty()).cloned();
        Self {
            prefix: prefix.unwrap_or_else(|| format!("call {place}")),
            outer: inputs.chain(outputs).map(|(tensor, outer)| (tensor.clone(), outer)).collect(),
        }
    }

    fn of(&self, tensor: &str) -> String {
        match self.outer.get(tensor) {
            Some(outer) => outer.clone(),
            None if tensor.is_empty() => String::new(),
            None => format!("{}/{tensor}", self.prefix),
        }
    }
}

/// An attribute, or the one of the caller that it stands for, or its default; `None` if that is left out.
fn resolved(attr: &AttributeProto, node: &NodeProto, function: &FunctionProto) -> Option<AttributeProto> {
    let Some(meant) = attr.ref_attr_name.as_deref().filter(|meant| !meant.is_empty()) else {
        return Some(attr.clone());
    };
    let find = |attrs: &[AttributeProto]| attrs.iter().find(|attr| attr.name.as_deref() == Some(meant)).cloned();
    let found = find(&node.attribute).or_else(|| find(&function.attribute_proto))?;
    Some(AttributeProto { name: attr.name.clone(), ..found })
}
