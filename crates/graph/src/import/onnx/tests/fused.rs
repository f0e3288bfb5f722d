//! Operations that stand for several: ONNX Runtime's, and functions of the model itself.

use detrace_flops::{CustomOps, Kind, conventions, count};

use super::*;
use crate::import::ir::{Node, Prim, Unary};

fn microsoft(op: &str, inputs: &[&str], outputs: &[&str], attrs: Vec<AttributeProto>) -> NodeProto {
    NodeProto { domain: text("com.microsoft"), ..node(op, inputs, outputs, attrs) }
}

/// Which primitives an operation becomes; `!` marks the one that keeps the operation's type.
fn parts(graph: &Graph) -> Vec<String> {
    let part = |node: &Node| {
        let prim = format!("{:?}", node.prim);
        let prim = prim.split([' ', '{']).next().unwrap_or_default().to_owned();
        if node.op_type.is_empty() { prim } else { format!("!{prim}") }
    };
    graph.nodes.iter().map(part).collect()
}

#[test]
fn fused_operations_are_what_they_consist_of() {
    let weights = || vec![weight("w", &[8, 8, 3, 3]), weight("b", &[8]), weight("m", &[16, 48]), weight("m3", &[48])];
    let relu = || word("activation", "Relu");
    let cases: Vec<(NodeProto, &[&str])> = vec![
        (microsoft("FusedConv", &["x", "w", "b"], &["y"], vec![relu()]), &["!Conv(Conv", "Unary(Relu)"]),
        (
            microsoft("FusedConv", &["x", "w", "b", "x"], &["y"], vec![relu()]),
            &["!Conv(Conv", "Binary(Add,", "Unary(Relu)"],
        ),
        (microsoft("FusedMatMul", &["x", "x"], &["y"], vec![int("transB", 1)]), &["!MatMul"]),
        (microsoft("FusedMatMul", &["x", "x"], &["y"], vec![float("alpha", 0.5)]), &["!MatMul", "Unary(Affine"]),
        (microsoft("FusedMatMul", &["x", "x"], &["y"], vec![int("transBatchB", 1)]), &["MoveAxis", "!MatMul"]),
        (microsoft("FusedGemm", &["x", "m"], &["y"], vec![relu()]), &["!Gemm", "Unary(Relu)"]),
        (microsoft("BiasGelu", &["x", "b"], &["y"], vec![]), &["Binary(Add,", "!Unary(Gelu)"]),
        (microsoft("QuickGelu", &["x"], &["y"], vec![float("alpha", 1.0)]), &["!Unary(Silu)"]),
        (microsoft("QuickGelu", &["x"], &["y"], vec![]), &["!Unary(Other(\"quick_gelu\"))"]),
        (
            microsoft("SkipLayerNormalization", &["x", "x", "b", "b", "b"], &["y"], vec![]),
            &["Binary(Add,", "Binary(Add,", "!LayerNorm"],
        ),
        (
            microsoft("Attention", &["x", "m", "m3"], &["y"], vec![int("num_heads", 2)]),
            &["MatMul", "Binary(Add,", "Split", "!Attention"],
        ),
        (
            microsoft("MultiHeadAttention", &["x", "x", "x", "m3"], &["y"], vec![int("num_heads", 2)]),
            &["Split", "Binary(Add,", "Binary(Add,", "Binary(Add,", "!Attention"],
        ),
        (microsoft("GridSample", &["x", "x"], &["y"], vec![]), &["!GridSample"]),
        (node("LayerNormalization", &["x", "b", "b"], &["y"], vec![]), &["!LayerNorm"]),
        (node("Sum", &["x", "x", "x"], &["y"], vec![]), &["Binary(Add,", "!Binary(Add,"]),
        (node("Max", &["x"], &["y"], vec![]), &["!Unary(Identity)"]),
    ];
    for (node, expected) in cases {
        let op = node.op_type.clone();
        assert_eq!(parts(&one(17, node, weights())), expected, "{op:?}");
    }
    let sum = microsoft("SkipLayerNormalization", &["x", "x", "b"], &["z", "", "", "y"], vec![]);
    assert_eq!(parts(&one(17, sum, weights())), ["Binary(Add,", "!LayerNorm"]);
    let clip = vec![word("activation", "Clip"), floats("activation_params", &[0.0, 6.0])];
    let clip = one(17, microsoft("FusedConv", &["x", "w"], &["y"], clip), weights());
    assert_eq!(floats_at(&clip, 1, 2), [6.0]);
    let earlier = microsoft("MultiHeadAttention", &["x", "x", "x", "", "", "", "x"], &["y"], vec![int("num_heads", 2)]);
    assert!(error(17, vec![earlier], vec![]).contains("earlier calls"));
}

/// A function is written out at each call, with the call's attributes or its own defaults, in its own version.
#[test]
fn functions_are_written_out() {
    let axis = AttributeProto { ref_attr_name: text("axis"), ..int("axis", 0) };
    let body = vec![node("Relu", &["a"], &["t"], vec![]), node("Softmax", &["t"], &["r"], vec![axis])];
    let mut model =
        model(18, vec![calls("Act", "x", "m", vec![int("axis", 3)]), calls("Act", "m", "y", vec![])], vec![]);
    model.functions = vec![function("Act", body, 11)];
    let graph = read_model(&model).expect("is a graph");
    let prims: Vec<Prim> = graph.nodes.iter().map(|node| node.prim.clone()).collect();
    let (relu, softmax) = (Prim::Unary(Unary::Relu), |axis| Prim::Softmax { axis });
    assert_eq!(prims, [relu.clone(), softmax(3), relu, softmax(2)]);
    assert_eq!(graph.nodes[3].name, "the Act/the Softmax");
    assert_eq!(graph.nodes[2].inputs, [graph.find("m")]);
    assert_eq!(graph.nodes[1].inputs, [graph.find("m/t")]);
}

/// The products of an attention in one operation: of 128 tokens with a weight 16×48, then of 2 heads of 8 twice.
#[test]
fn fused_attention_has_the_work_of_its_parts() {
    let tokens = node("Reshape", &["x", "shape"], &["t"], vec![]);
    let attention = microsoft("Attention", &["t", "m", "b"], &["y"], vec![int("num_heads", 2)]);
    let stored = vec![numbers("shape", &[1, 128, 16]), weight("m", &[16, 48]), weight("b", &[48])];
    let bytes = model(17, vec![tokens, attention], stored).encode_to_vec();
    let trace = crate::import::read("m.onnx", bytes, None).expect("is a graph");
    let count = count(&trace, &conventions::FULL, &CustomOps::new()).expect("counts");
    assert_eq!(count.macs, 128 * 16 * 48 + 2 * (2 * 128 * 128 * 8));
    let program: Vec<&str> = trace.ops.iter().filter_map(|op| Some(op.program.as_ref()?.op.as_str())).collect();
    assert_eq!(program, ["Attention"]);
}

/// With `transBatchA` the first dimension, 1, is the matrices' rows, and 8 and 16 are the batch.
#[test]
fn fused_products_may_have_their_batch_behind() {
    let product = microsoft("FusedMatMul", &["x", "w"], &["y"], vec![int("transBatchA", 1)]);
    let bytes = model(17, vec![product], vec![weight("w", &[16, 6])]).encode_to_vec();
    let trace = crate::import::read("m.onnx", bytes, None).expect("is a graph");
    let product = trace.ops.iter().find(|op| op.kind == Kind::Linear).expect("is there");
    assert_eq!(product.output, [8, 16, 1, 6]);
}
