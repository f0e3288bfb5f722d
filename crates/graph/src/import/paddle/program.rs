//! A Paddle program in the words of 2.x, whichever format it was read from.

use std::collections::HashMap;

use super::super::{ImportError, ir::DType};

/// A variable.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Var {
    /// Its name, unique.
    pub(super) name: String,
    /// Its declared shape; -1 is a size that is not known before the program runs.
    pub(super) shape: Vec<i64>,
    /// Its elements' type.
    pub(super) dtype: DType,
    /// Whether the program needs its data, which lie in the `.pdiparams` file.
    pub(super) stored: bool,
}

/// An attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Attr {
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
}

/// One operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Call {
    /// Its type in Paddle 2.x, for instance `elementwise_add`.
    pub(super) op: String,
    /// Its name for people: the first output's, or its place.
    pub(super) name: String,
    /// The variables in each input slot.
    pub(super) inputs: HashMap<String, Vec<String>>,
    /// The variables in each output slot.
    pub(super) outputs: HashMap<String, Vec<String>>,
    /// Attributes.
    pub(super) attrs: HashMap<String, Attr>,
}

/// A program.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Program {
    /// What made it, for instance `paddle 2.6.2`.
    pub(super) producer: String,
    /// Variables.
    pub(super) vars: Vec<Var>,
    /// Operations in the order in which they run.
    pub(super) calls: Vec<Call>,
}

impl Call {
    /// A fault of this operation.
    pub(super) fn fault(&self, what: impl Into<String>) -> ImportError {
        ImportError::Node { node: self.name.clone(), op_type: self.op.clone(), what: what.into() }
    }

    /// The only variable in an input slot, if there is one.
    pub(super) fn input(&self, slot: &str) -> Option<&str> {
        self.inputs.get(slot).and_then(|names| names.first()).map(String::as_str)
    }

    /// The variables in an input slot.
    pub(super) fn inputs(&self, slot: &str) -> &[String] {
        self.inputs.get(slot).map_or(&[], Vec::as_slice)
    }

    /// The variables in an output slot.
    pub(super) fn outputs(&self, slot: &str) -> &[String] {
        self.outputs.get(slot).map_or(&[], Vec::as_slice)
    }

    /// A whole number.
    pub(super) fn int(&self, name: &str) -> Option<i64> {
        match self.attrs.get(name)? {
            Attr::Int(value) => Some(*value),
            Attr::Bool(value) => Some(i64::from(*value)),
            Attr::Ints(values) if values.len() == 1 => Some(values[0]),
            _ => None,
        }
    }

    /// Whole numbers.
    pub(super) fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attrs.get(name)? {
            Attr::Ints(values) => Some(values),
            Attr::Int(value) => Some(std::slice::from_ref(value)),
            _ => None,
        }
    }

    /// A yes or no; missing is no.
    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.attrs.get(name), Some(Attr::Bool(true)))
    }

    /// A number.
    pub(super) fn float(&self, name: &str) -> Option<f64> {
        match self.attrs.get(name)? {
            Attr::Float(value) => Some(*value),
            Attr::Int(value) => Some(*value as f64),
            Attr::Floats(values) if values.len() == 1 => Some(values[0]),
            _ => None,
        }
    }

    /// Numbers, whole or not.
    pub(super) fn floats(&self, name: &str) -> Option<Vec<f64>> {
        match self.attrs.get(name)? {
            Attr::Floats(values) => Some(values.clone()),
            Attr::Ints(values) => Some(values.iter().map(|&value| value as f64).collect()),
            _ => self.float(name).map(|value| vec![value]),
        }
    }

    /// A word.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        match self.attrs.get(name)? {
            Attr::Str(value) => Some(value),
            _ => None,
        }
    }
}
