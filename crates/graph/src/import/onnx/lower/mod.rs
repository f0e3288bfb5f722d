//! An ONNX model as a [`Graph`]: one file per family of operations, and what all of them need here.

mod elementwise;
mod layout;
mod microsoft;
mod product;
mod source;
mod window;

use std::collections::HashSet;

use super::call::Call;
use super::functions::written_out;
use super::proto::{ModelProto, OperatorSetIdProto};
use super::tensor;
use crate::import::ImportError;
use crate::import::ir::{Graph, Node, Prim, Tensor, TensorId, Unary, Value};

type Result<T> = std::result::Result<T, ImportError>;

/// The first version of the standard operations whose elementwise operations broadcast as they do now.
const OLDEST: i64 = 7;

/// The model's graph.
pub(super) fn graph(model: &ModelProto) -> Result<Graph> {
    let Some(proto) = &model.graph else {
        return Err(ImportError::NotAGraph("not an ONNX model: it has no graph".into()));
    };
    if !proto.sparse_initializer.is_empty() {
        return Err(ImportError::NotAGraph("the ONNX model has sparse initializers, which are not supported".into()));
    }
    let mut lowering = Lowering::default();
    lowering.graph.producer = producer(model);
    source::stored(&mut lowering, proto)?;
    source::inputs(&mut lowering, proto)?;
    let placed = written_out(model)?;
    let mut calls = Vec::new();
    for placed in &placed {
        let domain = placed.node.domain.as_deref().unwrap_or_default();
        let call = Call::new(&placed.node, version(placed.opsets, domain));
        match domain {
            "" | "ai.onnx" if call.opset < OLDEST => return Err(too_old(call.opset)),
            // A constant may stand after what reads it.
            "" | "ai.onnx" if call.op() == "Constant" => source::constant(&mut lowering, &call)?,
            _ => calls.push((domain, call)),
        }
    }
    // The names of the file are its own: none of those made up here is like one of them.
    for name in calls.iter().flat_map(|(_, call)| call.inputs().iter().chain(call.outputs())) {
        if !name.is_empty() {
            lowering.graph.named(name);
        }
    }
    lowering.read = calls.iter().flat_map(|(_, call)| call.inputs()).map(String::as_str).collect();
    lowering.read.extend(proto.output.iter().filter_map(|output| output.name.as_deref()));
    for (domain, call) in &calls {
        let known = match *domain {
            "" | "ai.onnx" => standard(&mut lowering, call)?,
            "com.microsoft" => microsoft::lower(&mut lowering, call)?,
            _ => false,
        };
        if !known {
            let op_type = if domain.is_empty() { call.op().to_owned() } else { format!("{domain}.{}", call.op()) };
            return Err(ImportError::Unsupported { node: call.name().to_owned(), op_type });
        }
    }
    source::outputs(&mut lowering, proto)?;
    Ok(lowering.graph)
}

/// Adds an operation of the standard domain if it is known.
fn standard(to: &mut Lowering, call: &Call) -> Result<bool> {
    refuse(call)?;
    Ok(source::lower(to, call)?
        || window::lower(to, call)?
        || product::lower(to, call)?
        || elementwise::lower(to, call)?
        || layout::lower(to, call)?)
}

/// Operations that cannot be counted on paper, with what to do about it.
fn refuse(call: &Call) -> Result<()> {
    Err(call.fault(match call.op() {
        "If" | "Loop" | "Scan" => {
            "control flow is not supported; export with a fixed input size, or fold constants with onnxsim"
        }
        "NonZero" | "Unique" | "Compress" | "NonMaxSuppression" => {
            "the size of its output depends on data, so that no shape after it is known; export for opset 11 or later, \
             without post-processing"
        }
        "QuantizeLinear"
        | "DequantizeLinear"
        | "DynamicQuantizeLinear"
        | "QLinearConv"
        | "QLinearMatMul"
        | "ConvInteger"
        | "MatMulInteger" => "quantised graphs are not supported; count the model from before its quantisation",
        _ => return Ok(()),
    }))
}

fn producer(model: &ModelProto) -> String {
    let parts = [&model.producer_name, &model.producer_version].map(|part| part.as_deref().unwrap_or_default());
    match parts.join(" ").trim() {
        "" => format!("onnx IR {}", model.ir_version.unwrap_or_default()),
        producer => producer.to_owned(),
    }
}

/// The version of a domain's operations; 1 for other domains than the standard one, which few files declare.
fn version(opsets: &[OperatorSetIdProto], domain: &str) -> i64 {
    let standard = |domain: &str| matches!(domain, "" | "ai.onnx");
    let found = opsets.iter().find(|opset| {
        let own = opset.domain.as_deref().unwrap_or_default();
        own == domain || (standard(own) && standard(domain))
    });
    found.and_then(|opset| opset.version).unwrap_or(1)
}

fn too_old(opset: i64) -> ImportError {
    ImportError::NotAGraph(format!(
        "the ONNX model is of opset {opset}; opset {OLDEST} and later are supported (convert it with onnx.version_converter)"
    ))
}

/// The graph so far.
#[derive(Default)]
struct Lowering<'a> {
    graph: Graph,
    /// Names that some operation reads, or the model.
    read: HashSet<&'a str>,
}

impl Lowering<'_> {
    /// Adds a tensor that no operation makes.
    fn declare(&mut self, tensor: Tensor) -> Result<TensorId> {
        if self.graph.find(&tensor.name).is_some() {
            return Err(ImportError::Tensor { name: tensor.name, what: "it is declared twice".into() });
        }
        Ok(self.graph.add(tensor))
    }

    /// The input at a place, unless it is left out.
    fn maybe(&mut self, call: &Call, index: usize) -> Option<TensorId> {
        let name = call.inputs().get(index).filter(|name| !name.is_empty())?;
        Some(self.graph.named(name))
    }

    /// The input at a place.
    fn input(&mut self, call: &Call, index: usize) -> Result<TensorId> {
        self.maybe(call, index).ok_or_else(|| call.fault(format!("its input {index} is missing")))
    }

    /// All inputs, of which there is at least one and none left out.
    fn inputs(&mut self, call: &Call) -> Result<Vec<TensorId>> {
        (0..call.inputs().len().max(1)).map(|index| self.input(call, index)).collect()
    }

    /// Tensors for the first outputs, at most `most`. Others may be named as long as nobody reads them.
    fn outputs(&mut self, call: &Call, most: usize) -> Result<Vec<TensorId>> {
        let names = call.outputs();
        if let Some(name) = names.iter().skip(most).find(|name| !name.is_empty() && self.read.contains(name.as_str())) {
            return Err(call.fault(format!("its output {name:?} is not supported")));
        }
        let wanted = &names[..names.len().min(most)];
        let length = wanted.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
        if length == 0 {
            return Err(call.fault("it has no output"));
        }
        Ok(wanted[..length].iter().map(|name| self.makes(call, name)).collect())
    }

    /// The tensor that the call makes under a name, or under none.
    fn makes(&mut self, call: &Call, name: &str) -> TensorId {
        if name.is_empty() { self.graph.temporary(call.name(), "output") } else { self.graph.named(name) }
    }

    /// The only output.
    fn output(&mut self, call: &Call) -> Result<TensorId> {
        Ok(self.outputs(call, 1)?[0])
    }

    /// The operation itself.
    fn push(&mut self, call: &Call, prim: Prim, inputs: Vec<Option<TensorId>>, outputs: Vec<TensorId>) {
        let (name, op_type) = (call.name().to_owned(), call.op().to_owned());
        self.graph.nodes.push(Node { name, op_type, prim, inputs, outputs });
    }

    /// The operation itself, to its only output.
    fn single(&mut self, call: &Call, prim: Prim, inputs: Vec<Option<TensorId>>) -> Result<()> {
        let output = self.output(call)?;
        self.push(call, prim, inputs, vec![output]);
        Ok(())
    }

    /// The operation itself, from its first inputs, all of which it needs, to its only output.
    fn simple(&mut self, call: &Call, prim: Prim, inputs: usize) -> Result<()> {
        let inputs = (0..inputs).map(|index| self.input(call, index).map(Some)).collect::<Result<_>>()?;
        self.single(call, prim, inputs)
    }

    /// A step that prepares for an operation, or follows it; to a new tensor.
    fn step(&mut self, call: &Call, what: &str, prim: Prim, inputs: &[TensorId]) -> TensorId {
        let output = self.graph.temporary(call.name(), what);
        self.step_to(prim, inputs, output);
        output
    }

    /// A step to a tensor that there is.
    fn step_to(&mut self, prim: Prim, inputs: &[TensorId], output: TensorId) {
        let name = self.graph.tensor(output).name.clone();
        let inputs = inputs.iter().copied().map(Some).collect();
        self.graph.nodes.push(Node { name, op_type: String::new(), prim, inputs, outputs: vec![output] });
    }

    /// Another name for the first input.
    fn copy(&mut self, call: &Call) -> Result<()> {
        self.simple(call, Prim::Unary(Unary::Identity), 1)
    }

    /// Whole numbers that are an attribute in some versions of the operation and an input in others.
    fn ints(&mut self, call: &Call, attr: &str, index: usize) -> Result<Option<TensorId>> {
        match call.ints(attr)? {
            Some(values) => Ok(Some(self.graph.ints(call.name(), attr, values))),
            None => Ok(self.maybe(call, index)),
        }
    }

    /// The same where they are needed.
    fn needed_ints(&mut self, call: &Call, attr: &str, index: usize) -> Result<TensorId> {
        self.ints(call, attr, index)?.ok_or_else(|| call.fault(format!("its `{attr}` are missing")))
    }

    /// The input at a place, unless it is left out or a constant without elements.
    fn filled(&mut self, call: &Call, index: usize) -> Option<TensorId> {
        let id = self.maybe(call, index)?;
        let empty = self.graph.tensor(id).value.as_ref().is_some_and(Value::is_empty);
        (!empty).then_some(id)
    }
}
