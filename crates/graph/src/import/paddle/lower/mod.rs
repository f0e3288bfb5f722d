//! A Paddle program as a [`Graph`]: one file per family of operations, and what all of them need here.

mod elementwise;
mod layout;
mod source;
mod window;

use std::collections::HashMap;

use super::program::{Call, Program, Var};
use crate::import::ImportError;
use crate::import::ir::{DType, Dim, Graph, Node, Origin, Prim, Tensor, TensorId, Unary, Value};

/// The program's graph.
pub(super) fn graph(program: &Program) -> Result<Graph> {
    let mut lowering = Lowering::default();
    lowering.graph.producer.clone_from(&program.producer);
    for var in &program.vars {
        lowering.declare(var)?;
    }
    for call in &program.calls {
        let known = source::lower(&mut lowering, call)?
            || window::lower(&mut lowering, call)?
            || elementwise::lower(&mut lowering, call)?
            || layout::lower(&mut lowering, call)?;
        if !known {
            return Err(ImportError::Unsupported { node: call.name.clone(), op_type: call.op.clone() });
        }
    }
    Ok(lowering.graph)
}

type Result<T> = std::result::Result<T, ImportError>;

/// The graph so far, and which tensor each variable is at this point: a program may write one again.
#[derive(Default)]
struct Lowering {
    graph: Graph,
    current: HashMap<String, TensorId>,
    declared: HashMap<String, Var>,
}

impl Lowering {
    fn declare(&mut self, var: &Var) -> Result<()> {
        if var.stored {
            let fault = || ImportError::Tensor {
                name: var.name.clone(),
                what: format!("a stored tensor has the shape {:?}", var.shape),
            };
            let shape = var
                .shape
                .iter()
                .map(|&dim| usize::try_from(dim).map(Dim::Known))
                .collect::<std::result::Result<Vec<Dim>, _>>()
                .map_err(|_| fault())?;
            let id = self.graph.add(Tensor {
                name: var.name.clone(),
                dtype: var.dtype,
                origin: Origin::Stored,
                declared: Some(shape),
                value: None,
            });
            self.current.insert(var.name.clone(), id);
        }
        self.declared.insert(var.name.clone(), var.clone());
        Ok(())
    }

    /// What a variable is now.
    fn read(&self, call: &Call, name: &str) -> Result<TensorId> {
        self.current.get(name).copied().ok_or_else(|| {
            let what = match self.declared.contains_key(name) {
                true => "which no operation before it has written",
                false => "which the program does not declare",
            };
            call.fault(format!("it reads {name:?}, {what}"))
        })
    }

    /// The tensor in a slot that may be empty.
    fn maybe(&self, call: &Call, slot: &str) -> Result<Option<TensorId>> {
        call.input(slot).map(|name| self.read(call, name)).transpose()
    }

    /// The tensor in a slot.
    fn input(&self, call: &Call, slot: &str) -> Result<TensorId> {
        self.maybe(call, slot)?.ok_or_else(|| call.fault(format!("its input {slot} is missing")))
    }

    /// All tensors in a slot.
    fn inputs(&self, call: &Call, slot: &str) -> Result<Vec<TensorId>> {
        let inputs: Vec<TensorId> =
            call.inputs(slot).iter().map(|name| self.read(call, name)).collect::<Result<_>>()?;
        if inputs.is_empty() {
            return Err(call.fault(format!("its input {slot} is missing")));
        }
        Ok(inputs)
    }

    /// New tensors for what the call writes into a slot.
    fn outputs(&mut self, call: &Call, slot: &str) -> Result<Vec<TensorId>> {
        let names = call.outputs(slot);
        if names.is_empty() {
            return Err(call.fault(format!("its output {slot} is missing")));
        }
        Ok(names
            .iter()
            .map(|name| {
                let id = match self.graph.find(name) {
                    Some(_) => self.graph.temporary(name, "rewritten"),
                    None => self.graph.named(name),
                };
                self.current.insert(name.clone(), id);
                id
            })
            .collect())
    }

    /// A new tensor for what the call writes into a slot.
    fn output(&mut self, call: &Call, slot: &str) -> Result<TensorId> {
        Ok(self.outputs(call, slot)?[0])
    }

    /// The operation itself.
    fn push(&mut self, call: &Call, prim: Prim, inputs: Vec<Option<TensorId>>, outputs: Vec<TensorId>) {
        self.graph.nodes.push(Node { name: call.name.clone(), op_type: call.op.clone(), prim, inputs, outputs });
    }

    /// The operation itself, from some inputs to one output.
    fn simple(&mut self, call: &Call, prim: Prim, inputs: &[TensorId], slot: &str) -> Result<()> {
        let output = self.output(call, slot)?;
        self.push(call, prim, inputs.iter().copied().map(Some).collect(), vec![output]);
        Ok(())
    }

    /// A step that prepares for an operation, or finishes it.
    fn helper(&mut self, prim: Prim, inputs: Vec<Option<TensorId>>, output: TensorId) {
        let name = self.graph.tensor(output).name.clone();
        self.graph.nodes.push(Node { name, op_type: String::new(), prim, inputs, outputs: vec![output] });
    }

    /// Another name for a tensor.
    fn copy(&mut self, call: &Call, input: &str, output: &str) -> Result<()> {
        let input = self.input(call, input)?;
        self.simple(call, Prim::Unary(Unary::Identity), &[input], output)
    }

    /// Whole numbers that are a tensor, a list of single numbers in tensors, or an attribute: as a tensor.
    fn ints(&mut self, call: &Call, attr: &str, tensor: &str, list: &str) -> Result<Option<TensorId>> {
        match call.inputs(tensor).len() {
            0 => {}
            // What is one tensor in 2.x is a list of tensors in 3 where the program computes some of the numbers.
            1 => return self.maybe(call, tensor),
            _ => return self.joined(call, tensor).map(Some),
        }
        if !call.inputs(list).is_empty() {
            return self.joined(call, list).map(Some);
        }
        Ok(call.ints(attr).map(|values| self.graph.ints(&call.name, attr, values)))
    }

    /// The same where one of the three is needed.
    fn needed_ints(&mut self, call: &Call, attr: &str, tensor: &str, list: &str) -> Result<TensorId> {
        self.ints(call, attr, tensor, list)?.ok_or_else(|| call.fault(format!("its attribute `{attr}` is missing")))
    }

    /// Single numbers as one tensor.
    fn joined(&mut self, call: &Call, slot: &str) -> Result<TensorId> {
        let one = self.graph.ints(&call.name, "one", &[1]);
        let mut parts = Vec::new();
        for part in self.inputs(call, slot)? {
            let flat = self.graph.temporary(&call.name, slot);
            self.helper(Prim::Reshape { zero: false }, vec![Some(part), Some(one)], flat);
            parts.push(Some(flat));
        }
        let joined = self.graph.temporary(&call.name, slot);
        self.helper(Prim::Concat { axis: 0 }, parts, joined);
        Ok(joined)
    }

    /// The elements of a constant.
    fn constant(&self, call: &Call, id: TensorId) -> Result<Vec<f64>> {
        let tensor = self.graph.tensor(id);
        match &tensor.value {
            Some(Value::Floats(values)) => Ok(values.clone()),
            Some(Value::Ints(values)) => Ok(values.iter().map(|&value| value as f64).collect()),
            None => Err(call.fault(format!("its input {:?} has to be a constant", tensor.name))),
        }
    }

    /// The elements of a constant, or else the attribute's: whole numbers that decide what the operation is.
    fn fixed_ints(&self, call: &Call, attr: &str, slot: &str) -> Result<Option<Vec<i64>>> {
        match self.maybe(call, slot)? {
            Some(id) => Ok(Some(self.constant(call, id)?.into_iter().map(|value| value as i64).collect())),
            None => Ok(call.ints(attr).map(<[i64]>::to_vec)),
        }
    }

    /// An axis, from a constant or an attribute.
    fn axis(&self, call: &Call, attr: &str, slot: &str, default: i64) -> Result<i64> {
        match self.fixed_ints(call, attr, slot)?.as_deref() {
            None | Some([]) => Ok(default),
            Some([axis]) => Ok(*axis),
            Some(axes) => Err(call.fault(format!("its attribute `{attr}` is {axes:?} instead of one axis"))),
        }
    }

    /// A type that is a number in `.pdmodel` files and a word in PIR.
    fn dtype(call: &Call, attr: &str) -> DType {
        match (call.int(attr), call.word(attr)) {
            (Some(number), _) => super::pdmodel::dtype(number),
            (None, Some(word)) => super::pir::dtype(word),
            (None, None) => DType::Float,
        }
    }
}
