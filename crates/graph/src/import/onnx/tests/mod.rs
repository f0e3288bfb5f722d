//! Models made by hand: every version of an operation, and every fault.

mod faults;
mod fused;
mod stored;
mod versions;

use prost::Message;

use super::proto::*;
use super::read;
use crate::import::ImportError;
use crate::import::ir::{Graph, TensorId, Value};

fn text(word: &str) -> Option<String> {
    Some(word.to_owned())
}

fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: outputs.iter().map(|&name| name.to_owned()).collect(),
        name: Some(format!("the {op}")),
        op_type: text(op),
        attribute,
        ..NodeProto::default()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: text(name), i: Some(value), kind: Some(2), ..AttributeProto::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: text(name), ints: values.to_vec(), kind: Some(7), ..AttributeProto::default() }
}

fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto { name: text(name), floats: values.to_vec(), kind: Some(6), ..AttributeProto::default() }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: text(name), f: Some(value), kind: Some(1), ..AttributeProto::default() }
}

fn word(name: &str, word: &str) -> AttributeProto {
    let s = Some(word.to_owned().into_bytes().into());
    AttributeProto { name: text(name), s, kind: Some(3), ..AttributeProto::default() }
}

fn held(name: &str, tensor: TensorProto) -> AttributeProto {
    AttributeProto { name: text(name), t: Some(Box::new(tensor)), kind: Some(4), ..AttributeProto::default() }
}

/// A stored tensor without its elements, of 32-bit floats.
fn weight(name: &str, dims: &[i64]) -> TensorProto {
    TensorProto { name: text(name), dims: dims.to_vec(), data_type: Some(1), ..TensorProto::default() }
}

fn numbers(name: &str, values: &[i64]) -> TensorProto {
    let dims = vec![values.len() as i64];
    TensorProto { name: text(name), dims, data_type: Some(7), int64_data: values.to_vec(), ..TensorProto::default() }
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| Dimension { dim_value: Some(size), dim_param: None };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let kind = Some(TypeProto { tensor_type: Some(TensorType { elem_type: Some(1), shape }) });
    ValueInfoProto { name: text(name), kind }
}

/// A model from `x` `[1, 8, 16, 16]` to `y`.
fn model(opset: i64, node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(opset) }],
        graph: Some(GraphProto {
            node,
            initializer,
            input: vec![value("x", &[1, 8, 16, 16])],
            output: vec![value("y", &[])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

fn read_model(model: &ModelProto) -> Result<Graph, ImportError> {
    read(model.encode_to_vec().into())
}

/// The graph of one operation to `y`.
fn one(opset: i64, node: NodeProto, initializer: Vec<TensorProto>) -> Graph {
    read_model(&model(opset, vec![node], initializer)).expect("is a graph")
}

/// What is wrong with a model, found when it is read or when its shapes are inferred.
fn error(opset: i64, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> String {
    let bytes = model(opset, nodes, initializer).encode_to_vec();
    crate::import::read("model.onnx", bytes, None).expect_err("is broken").to_string()
}

fn ints_at(graph: &Graph, node: usize, input: usize) -> Vec<i64> {
    let id: TensorId = graph.nodes[node].inputs[input].expect("is given");
    match &graph.tensor(id).value {
        Some(Value::Ints(values)) => values.clone(),
        other => panic!("{other:?} are no integers"),
    }
}

fn floats_at(graph: &Graph, node: usize, input: usize) -> Vec<f64> {
    let id: TensorId = graph.nodes[node].inputs[input].expect("is given");
    match &graph.tensor(id).value {
        Some(Value::Floats(values)) => values.clone(),
        other => panic!("{other:?} are no floats"),
    }
}

fn function(name: &str, node: Vec<NodeProto>, opset: i64) -> FunctionProto {
    FunctionProto {
        name: text(name),
        domain: text("local"),
        input: vec!["a".to_owned()],
        output: vec!["r".to_owned()],
        node,
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(opset) }],
        attribute_proto: vec![int("axis", 2)],
    }
}

fn calls(name: &str, input: &str, output: &str, attrs: Vec<AttributeProto>) -> NodeProto {
    NodeProto { domain: text("local"), ..node(name, &[input], &[output], attrs) }
}
