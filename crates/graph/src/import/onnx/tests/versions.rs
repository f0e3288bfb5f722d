//! What differs between versions of an operation or an exporter, and is the same graph.

use super::*;
use crate::import::ir::{DType, Origin, Padding, Pool, Prim, Reduce, Unary};

/// What was an attribute once and is an input now is the same graph.
#[test]
fn attributes_become_inputs() {
    let cases: Vec<(NodeProto, NodeProto, usize, &[i64])> = vec![
        (
            node("Unsqueeze", &["x"], &["y"], vec![ints("axes", &[0, 3])]),
            node("Unsqueeze", &["x", "c"], &["y"], vec![]),
            1,
            &[0, 3],
        ),
        (
            node("Squeeze", &["x"], &["y"], vec![ints("axes", &[0])]),
            node("Squeeze", &["x", "c"], &["y"], vec![]),
            1,
            &[0],
        ),
        (
            node("ReduceSum", &["x"], &["y"], vec![ints("axes", &[-1]), int("keepdims", 0)]),
            node("ReduceSum", &["x", "c"], &["y"], vec![int("keepdims", 0)]),
            1,
            &[-1],
        ),
        (
            node("Pad", &["x"], &["y"], vec![ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1])]),
            node("Pad", &["x", "c"], &["y"], vec![]),
            1,
            &[0, 0, 1, 1, 0, 0, 1, 1],
        ),
        (node("TopK", &["x"], &["y"], vec![int("k", 5)]), node("TopK", &["x", "c"], &["y"], vec![]), 1, &[5]),
        (
            node("Split", &["x"], &["y", "z"], vec![int("axis", 1), ints("split", &[2, 6])]),
            node("Split", &["x", "c"], &["y", "z"], vec![int("axis", 1)]),
            1,
            &[2, 6],
        ),
        (
            node("Slice", &["x"], &["y"], vec![ints("starts", &[1]), ints("ends", &[4]), ints("axes", &[2])]),
            node("Slice", &["x", "one", "four", "c"], &["y"], vec![]),
            3,
            &[2],
        ),
    ];
    for (old, new, input, expected) in cases {
        let op = old.op_type.clone().expect("has a type");
        let old = one(9, old, vec![]);
        let constants = vec![numbers("c", expected), numbers("one", &[1]), numbers("four", &[4])];
        let new = one(18, new, constants);
        assert_eq!(old.nodes[0].prim, new.nodes[0].prim, "{op}");
        assert_eq!(ints_at(&old, 0, input), expected, "{op}");
        assert_eq!(ints_at(&new, 0, input), expected, "{op}");
    }
}

#[test]
fn clips_have_bounds() {
    let old = one(7, node("Clip", &["x"], &["y"], vec![float("min", 0.0), float("max", 6.0)]), vec![]);
    assert_eq!((floats_at(&old, 0, 1), floats_at(&old, 0, 2)), (vec![0.0], vec![6.0]));
    let bound = TensorProto { float_data: vec![6.0], ..weight("six", &[]) };
    let new = one(13, node("Clip", &["x", "", "six"], &["y"], vec![]), vec![bound]);
    assert_eq!(new.nodes[0].inputs[1], None);
    assert_eq!(floats_at(&new, 0, 2), [6.0]);
}

/// Scales or sizes, in every version's place for them; what is empty is not there.
#[test]
fn a_resize_has_sizes_or_scales() {
    let scales = || TensorProto { float_data: vec![1.0, 1.0, 2.0, 2.0], ..weight("scales", &[4]) };
    let sizes = || numbers("sizes", &[1, 8, 32, 32]);
    let none = || weight("none", &[0]);
    let by_scales = [
        (9, node("Upsample", &["x", "scales"], &["y"], vec![])),
        (8, node("Upsample", &["x"], &["y"], vec![floats("scales", &[1.0, 1.0, 2.0, 2.0])])),
        (10, node("Resize", &["x", "scales"], &["y"], vec![])),
        (11, node("Resize", &["x", "none", "scales"], &["y"], vec![])),
        (18, node("Resize", &["x", "", "scales", "none"], &["y"], vec![])),
    ];
    for (opset, node) in by_scales {
        let graph = one(opset, node, vec![scales(), sizes(), none()]);
        assert_eq!(graph.nodes[0].inputs[1], None, "{opset}");
        assert_eq!(floats_at(&graph, 0, 2), [1.0, 1.0, 2.0, 2.0], "{opset}");
    }
    let by_sizes = node("Resize", &["x", "none", "none", "sizes"], &["y"], vec![]);
    let graph = one(11, by_sizes, vec![scales(), sizes(), none()]);
    assert_eq!(ints_at(&graph, 0, 1), [1, 8, 32, 32]);
    assert_eq!(graph.nodes[0].inputs[2], None);
    let neither = node("Resize", &["x", "none", "none"], &["y"], vec![]);
    assert!(error(11, vec![neither], vec![none()]).contains("either sizes or scales"));
}

#[test]
fn windows_have_pads_of_either_kind() {
    let pool = |attrs: Vec<AttributeProto>| {
        let attrs = [vec![ints("kernel_shape", &[3, 2]), ints("strides", &[2, 1])], attrs].concat();
        one(11, node("MaxPool", &["x"], &["y"], attrs), vec![]).nodes[0].prim.clone()
    };
    let with = |padding, ceil| {
        Prim::MaxPool(Pool::Window { kernel: [3, 2], stride: [2, 1], padding, dilation: [1, 1], ceil, clip_last: true })
    };
    let explicit = Padding::Explicit([1, 2], [3, 4]);
    assert_eq!(pool(vec![ints("pads", &[1, 2, 3, 4]), int("ceil_mode", 1)]), with(explicit, true));
    assert_eq!(pool(vec![word("auto_pad", "SAME_UPPER")]), with(Padding::Same, false));
    assert_eq!(pool(vec![word("auto_pad", "VALID")]), with(Padding::Valid, false));
    assert_eq!(pool(vec![]), with(Padding::Explicit([0, 0], [0, 0]), false));
}

/// Files of IR version 3 list their initializers as inputs as well.
#[test]
fn initializers_are_no_inputs() {
    let mut model = model(9, vec![node("Conv", &["x", "w"], &["y"], vec![])], vec![weight("w", &[8, 8, 3, 3])]);
    model.graph.as_mut().expect("has a graph").input.push(value("w", &[8, 8, 3, 3]));
    let graph = read_model(&model).expect("is a graph");
    assert_eq!(graph.inputs.len(), 1);
    assert_eq!(graph.tensor(graph.inputs[0]).name, "x");
}

#[test]
fn names_say_the_module_where_the_exporter_does() {
    let note = StringStringEntryProto {
        key: text("namespace"),
        value: text(": Net/stem: torch.nn.Sequential/stem.0: torch.nn.Conv2d/conv2d: aten.conv2d.default"),
    };
    let conv = NodeProto { metadata_props: vec![note], ..node("Relu", &["x"], &["y"], vec![]) };
    assert_eq!(one(18, conv, vec![]).nodes[0].name, "stem.0/the Relu");
    let unnamed = NodeProto { name: None, ..node("Relu", &["x"], &["y"], vec![]) };
    assert_eq!(one(18, unnamed, vec![]).nodes[0].name, "y");
}

/// A tensor of the file may be called what a reader would call one of its own.
#[test]
fn names_of_the_file_come_first() {
    let unsqueeze = node("Unsqueeze", &["x"], &["z"], vec![ints("axes", &[0])]);
    let other = node("Relu", &["z"], &["the Unsqueeze.axes"], vec![]);
    let last = node("Relu", &["the Unsqueeze.axes"], &["y"], vec![]);
    let graph = read_model(&model(9, vec![unsqueeze, other, last], vec![])).expect("is a graph");
    assert_eq!(ints_at(&graph, 0, 1), [0]);
    let named = graph.nodes[2].inputs[0].expect("is given");
    assert_eq!(graph.tensor(named).origin, Origin::Node);
}

/// What an attribute is where it is left out, and which input or side each is for.
#[test]
fn attributes_have_the_defaults_of_the_standard() {
    let reduce = |op, keep_dims| Prim::Reduce { op, keep_dims, noop_if_empty: false };
    let cases: Vec<(i64, NodeProto, Prim)> = vec![
        (12, node("Softmax", &["x"], &["y"], vec![]), Prim::Softmax { axis: 1 }),
        (13, node("Softmax", &["x"], &["y"], vec![]), Prim::Softmax { axis: -1 }),
        (13, node("Gather", &["x", "x"], &["y"], vec![]), Prim::Gather { axis: 0 }),
        (13, node("GatherElements", &["x", "x"], &["y"], vec![]), Prim::GatherElements { axis: 0 }),
        (13, node("GatherND", &["x", "x"], &["y"], vec![]), Prim::GatherNd { batch_dims: 0 }),
        (13, node("Flatten", &["x"], &["y"], vec![]), Prim::FlattenTo2d { axis: 1 }),
        (13, node("Split", &["x"], &["y"], vec![]), Prim::Split { axis: 0 }),
        (13, node("TopK", &["x", "x"], &["y"], vec![]), Prim::TopK { axis: -1 }),
        (13, node("OneHot", &["x", "x", "x"], &["y"], vec![]), Prim::OneHot { axis: -1, dtype: DType::Float }),
        (13, node("Transpose", &["x"], &["y"], vec![]), Prim::Transpose(None)),
        (17, node("LayerNormalization", &["x", "x"], &["y"], vec![]), Prim::LayerNorm { axis: -1 }),
        (13, node("ReduceMean", &["x"], &["y"], vec![]), reduce(Reduce::Mean, true)),
        (13, node("ReduceMax", &["x"], &["y"], vec![int("keepdims", 0)]), reduce(Reduce::Max, false)),
        (13, node("ArgMax", &["x"], &["y"], vec![]), reduce(Reduce::ArgMax, true)),
        (13, node("Shape", &["x"], &["y"], vec![]), Prim::Shape { start: 0, end: None }),
        (
            15,
            node("Shape", &["x"], &["y"], vec![int("start", 1), int("end", 3)]),
            Prim::Shape { start: 1, end: Some(3) },
        ),
        (13, node("Reshape", &["x", "x"], &["y"], vec![]), Prim::Reshape { zero: false }),
        (14, node("Reshape", &["x", "x"], &["y"], vec![int("allowzero", 1)]), Prim::Reshape { zero: true }),
        (13, node("Gemm", &["x", "x"], &["y"], vec![]), Prim::Gemm { trans_a: false, trans_b: false }),
        (13, node("Gemm", &["x", "x"], &["y"], vec![int("transA", 1)]), Prim::Gemm { trans_a: true, trans_b: false }),
        (13, node("Gemm", &["x", "x"], &["y"], vec![int("transB", 1)]), Prim::Gemm { trans_a: false, trans_b: true }),
        (13, node("ConstantOfShape", &["x"], &["y"], vec![]), Prim::Fill { dtype: DType::Float, value: 0.0 }),
        (
            13,
            node("ConstantOfShape", &["x"], &["y"], vec![held("value", numbers("", &[7]))]),
            Prim::Fill { dtype: DType::Int, value: 7.0 },
        ),
        (13, node("Cast", &["x"], &["y"], vec![int("to", 7)]), Prim::Unary(Unary::Cast(DType::Int))),
        (13, node("Cast", &["x"], &["y"], vec![int("to", 9)]), Prim::Unary(Unary::Cast(DType::Bool))),
        (15, node("CastLike", &["x", "x"], &["y"], vec![]), Prim::Unary(Unary::Cast(DType::Float))),
    ];
    for (opset, node, expected) in cases {
        let graph = one(opset, node.clone(), vec![]);
        assert_eq!(graph.nodes[0].prim, expected, "{node:?}");
    }
}
