//! ONNX models of real exporters: what is read from them, and what becomes of broken ones. The figures are the `onnx`
//! package's own view of the same files.

mod common;

use common::{Random, mutate};
use std::collections::BTreeMap;
use std::path::PathBuf;

use detrace_graph::import::ImportError;
use detrace_graph::import::ir::{DType, Dim, Graph, Origin, Tensor, Value};
use detrace_graph::import::onnx::read;

const TORCH: &str = "rtdetr_r18vd.torch.onnx";
const PADDLE: &str = "rtdetr_r18vd.paddle2onnx.onnx";

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/graphs").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn graph(name: &str) -> Graph {
    read(fixture(name).into()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `Counter(node.op_type for node in model.graph.node)`, without the constants, which are tensors here.
#[test]
#[rustfmt::skip]
fn every_operation_is_there() {
    let torch: &[(&str, usize)] = &[
        ("Add", 117), ("AveragePool", 3), ("Cast", 11), ("Clip", 9), ("Concat", 21), ("ConstantOfShape", 4), ("Conv", 57),
        ("Div", 21), ("Erf", 1), ("Expand", 4), ("Flatten", 1), ("Gather", 2), ("GatherElements", 3), ("Gemm", 4),
        ("GridSample", 9), ("Identity", 78), ("Log", 3), ("MatMul", 61), ("MaxPool", 1), ("Mul", 70), ("Pow", 12),
        ("ReduceMax", 1), ("ReduceMean", 24), ("ReduceSum", 3), ("Relu", 33), ("Reshape", 70), ("Resize", 2),
        ("Shape", 14), ("Sigmoid", 33), ("Slice", 35), ("Softmax", 7), ("Split", 4), ("Sqrt", 24), ("Squeeze", 4),
        ("Sub", 21), ("Tile", 4), ("TopK", 2), ("Transpose", 49), ("Unsqueeze", 15),
    ];
    let paddle: &[(&str, usize)] = &[
        ("Add", 132), ("AveragePool", 3), ("BatchNormalization", 45), ("Cast", 158), ("Clip", 9), ("Concat", 68),
        ("Conv", 57), ("Div", 18), ("Erf", 1), ("Expand", 1), ("Floor", 2), ("GatherND", 3), ("GridSample", 9),
        ("Log", 3), ("MatMul", 65), ("MaxPool", 1), ("Mod", 1), ("Mul", 79), ("Pow", 12), ("Range", 2), ("ReduceMax", 1),
        ("ReduceMean", 24), ("ReduceSum", 3), ("Relu", 33), ("Reshape", 99), ("Resize", 2), ("Shape", 36),
        ("Sigmoid", 33), ("Slice", 76), ("Softmax", 7), ("Split", 5), ("Sqrt", 12), ("Squeeze", 24), ("Sub", 13),
        ("Tile", 4), ("TopK", 2), ("Transpose", 45), ("Unsqueeze", 30), ("Where", 1),
    ];
    for (name, expected) in [(TORCH, torch), (PADDLE, paddle)] {
        let graph = graph(name);
        let mut counts = BTreeMap::new();
        for node in graph.nodes.iter().filter(|node| !node.op_type.is_empty()) {
            *counts.entry(node.op_type.as_str()).or_default() += 1;
        }
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected, "{name}");
    }
}

/// The stored tensors that the file itself has, not the constants that a reader makes of attributes.
fn stored(graph: &Graph) -> Vec<&Tensor> {
    let own = graph.tensors.iter().filter(|tensor| tensor.origin == Origin::Stored);
    let of_reader = |tensor: &Tensor| graph.nodes.iter().any(|node| tensor.name == format!("{}.axes", node.name));
    own.filter(|tensor| !of_reader(tensor)).collect()
}

fn elements(tensor: &Tensor) -> usize {
    let size = |dim: &Dim| match dim {
        Dim::Known(size) => *size,
        other => panic!("{}: {other:?}", tensor.name),
    };
    tensor.declared.as_ref().expect("a stored tensor has a shape").iter().map(size).product()
}

/// One file has its weights as initializers, the other as constants; both are elsewhere, their shapes are not.
#[test]
fn weights_have_their_shapes() {
    for (name, count, all, four_dims, ints) in [(TORCH, 435, 18_207_201, 57, 200), (PADDLE, 962, 20_093_927, 57, 506)] {
        let graph = graph(name);
        let stored = stored(&graph);
        assert_eq!(stored.len(), count, "{name}");
        assert_eq!(stored.iter().map(|tensor| elements(tensor)).sum::<usize>(), all, "{name}");
        let rank = |tensor: &&&Tensor| tensor.declared.as_ref().is_some_and(|shape| shape.len() == 4);
        assert_eq!(stored.iter().filter(rank).count(), four_dims, "{name}");
        assert_eq!(stored.iter().filter(|tensor| tensor.dtype == DType::Int).count(), ints, "{name}");
    }
    let torch = graph(TORCH);
    let weight = torch.tensor(torch.find("model.backbone.conv1.conv1_1.conv.weight").expect("is there"));
    assert_eq!(weight.declared, Some([32, 3, 3, 3].map(Dim::Known).to_vec()));
    assert_eq!(weight.value, None);
}

/// The sums that numpy gives of the same constants: integers within ±10⁶ (the ends of slices are beyond), floats within ±10.
#[test]
fn small_constants_have_their_elements() {
    for (name, ints, floats) in [(TORCH, 7_115_304, -72.289_696_515_945_02), (PADDLE, 5_079_378, 16_831.320_762_905_37)]
    {
        let graph = graph(name);
        let (mut whole, mut real) = (0, 0.0);
        for tensor in stored(&graph) {
            match &tensor.value {
                Some(Value::Ints(values)) if tensor.dtype == DType::Int => {
                    whole += values.iter().map(|value| value.clamp(&-1_000_000, &1_000_000)).sum::<i64>();
                }
                Some(Value::Floats(values)) => real += values.iter().map(|value| value.clamp(-10.0, 10.0)).sum::<f64>(),
                _ => {}
            }
        }
        assert_eq!(whole, ints, "{name}");
        assert!((real - floats).abs() < 1e-6, "{name}: {real}");
    }
}

#[test]
fn inputs_and_outputs_are_named() {
    let torch = graph(TORCH);
    assert_eq!(torch.producer, "pytorch 2.15.0");
    let names =
        |graph: &Graph, ids: &[_]| -> Vec<String> { ids.iter().map(|&id| graph.tensor(id).name.clone()).collect() };
    assert_eq!(names(&torch, &torch.inputs), ["images", "orig_target_sizes"]);
    assert_eq!(names(&torch, &torch.outputs), ["labels", "boxes", "scores"]);
    let paddle = graph(PADDLE);
    assert_eq!(names(&paddle, &paddle.inputs), ["im_shape", "image", "scale_factor"]);
    let image = paddle.tensor(paddle.inputs[1]);
    let [batch, sizes @ ..] = image.declared.as_deref().expect("has a shape") else { panic!("has four dimensions") };
    assert_eq!(batch, &Dim::Named("DynamicDimension.1".into()));
    assert_eq!(sizes, [3, 640, 640].map(Dim::Known));
}

#[test]
fn a_cut_model_is_refused_with_its_place() {
    for name in [TORCH, PADDLE] {
        let bytes = fixture(name);
        for length in [1, 100, bytes.len() / 2, bytes.len() - 1] {
            match read(bytes[..length].to_vec().into()) {
                Err(ImportError::Bytes { offset, .. }) => assert!(offset <= length, "{offset}"),
                other => panic!("{name} cut to {length}: {other:?}"),
            }
        }
    }
    let error = read(Vec::new().into()).expect_err("nothing is no model");
    assert!(error.to_string().contains("it has no graph"), "{error}");
    read(fixture("rtdetr_r18vd.pdmodel").into()).expect_err("Paddle's is another format");
    read(fixture("rtdetr_r18vd.pir.json").into()).expect_err("JSON is another format");
}

/// Some bytes of a real model changed, removed or doubled, hundreds of times: read or refused, never worse.
#[test]
fn mutated_models_do_no_harm() {
    let mut random = Random(11);
    let files = [fixture(TORCH), fixture(PADDLE)];
    let mut refused = 0;
    for round in 0..400 {
        let mut bytes = files[round % 2].clone();
        mutate(&mut bytes, &mut random);
        refused += usize::from(read(bytes.into()).is_err());
    }
    assert!(refused > 200, "only {refused} of 400 were found to be broken");
}

/// Bytes without any order are refused, and fast: nothing is reserved for what they declare.
#[test]
fn random_bytes_are_refused() {
    let mut random = Random(3);
    for _ in 0..200 {
        let bytes: Vec<u8> = (0..random.below(4096)).map(|_| random.below(256) as u8).collect();
        read(bytes.into()).expect_err("random bytes are no model");
    }
}
