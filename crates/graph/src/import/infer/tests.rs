//! Shapes of real files, and of small graphs that say what they should not.

use super::*;
use crate::import::ir::Binary;
use crate::import::paddle::{read_pdmodel, read_pir};

fn fixture(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/graphs").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn graph(name: &str) -> Graph {
    let bytes = fixture(name);
    match name.ends_with("json") {
        true => read_pir(std::str::from_utf8(&bytes).expect("UTF-8")).expect("reads"),
        false => read_pdmodel(&bytes).expect("reads"),
    }
}

/// Boxes of all images one after the other, and how many each has.
#[test]
fn the_outputs_of_real_programs_have_the_shapes_that_the_exporter_promises() {
    for (name, image, boxes, images) in [
        ("rtdetr_r18vd.pdmodel", None, 300, 1),
        ("rtdetr_r18vd_deploy.pdmodel", None, 300, 1),
        ("rtdetr_r18vd.pir.json", None, 300, 1),
        ("rtdetr_hgnetv2_l_6x_coco.pdmodel", Some([3, 3, 640, 640]), 900, 3),
    ] {
        let graph = graph(name);
        let facts = infer(&graph, image).unwrap_or_else(|error| panic!("{name} {image:?}: {error}"));
        let outputs: Vec<&[usize]> = graph.outputs.iter().map(|&id| facts.shape(id)).collect();
        assert_eq!(outputs, [&[boxes, 6][..], &[images]], "{name}");
    }
}

/// A graph of an image `x`, and the node that reads it.
fn image(dims: Vec<Dim>) -> Graph {
    let mut graph = Graph::default();
    let declared = Some(dims);
    let x = Tensor { name: "x".into(), dtype: DType::Float, origin: Origin::Input, declared, value: None };
    let id = graph.add(x);
    graph.inputs.push(id);
    graph
}

/// Adds a node and gives what it makes.
fn push(graph: &mut Graph, name: &str, prim: Prim, inputs: &[TensorId]) -> TensorId {
    let output = graph.named(&format!("{name}.out"));
    let inputs = inputs.iter().copied().map(Some).collect();
    graph.nodes.push(Node { name: name.into(), op_type: "test".into(), prim, inputs, outputs: vec![output] });
    output
}

const MAP: [Dim; 4] = [Dim::Known(1), Dim::Known(3), Dim::Known(8), Dim::Known(8)];

#[test]
fn nodes_may_stand_in_any_order_but_not_in_a_circle() {
    let mut graph = image(MAP.to_vec());
    let (x, between) = (TensorId(0), graph.named("first.out"));
    let last = push(&mut graph, "second", Prim::Transpose(None), &[between]);
    push(&mut graph, "first", Prim::Unary(Unary::Relu), &[x]);
    let facts = infer(&graph, None).expect("has an order");
    assert_eq!((facts.shape(last), facts.order.as_slice()), (&[8, 8, 3, 1][..], &[1, 0][..]));

    let mut circle = image(MAP.to_vec());
    let behind = circle.named("b.out");
    let a = push(&mut circle, "a", Prim::Unary(Unary::Relu), &[behind]);
    push(&mut circle, "b", Prim::Unary(Unary::Relu), &[a]);
    let error = infer(&circle, None).expect_err("a circle").to_string();
    assert!(error.contains("\"a\"") && error.contains("cycle"), "{error}");
}

#[test]
fn tensors_come_from_one_place() {
    let mut missing = image(MAP.to_vec());
    let nowhere = missing.named("nowhere");
    push(&mut missing, "a", Prim::Unary(Unary::Relu), &[nowhere]);
    let error = infer(&missing, None).expect_err("missing").to_string();
    assert!(error.contains("\"a\"") && error.contains("\"nowhere\", which nothing makes"), "{error}");

    let mut twice = image(MAP.to_vec());
    push(&mut twice, "a", Prim::Unary(Unary::Relu), &[TensorId(0)]);
    push(&mut twice, "a", Prim::Unary(Unary::Relu), &[TensorId(0)]);
    let error = infer(&twice, None).expect_err("twice").to_string();
    assert!(error.contains("\"a.out\""), "{error}");

    let mut short = image(MAP.to_vec());
    let value = Some(Value::Ints(vec![1, 2, 3]));
    let declared = Some(vec![Dim::Known(4)]);
    short.add(Tensor { name: "c".into(), dtype: DType::Int, origin: Origin::Stored, declared, value });
    let error = infer(&short, None).expect_err("contradicts itself").to_string();
    assert!(error.contains("\"c\": it has 3 elements and the shape [4]"), "{error}");
}

#[test]
fn open_sizes_are_bound_to_the_image() {
    let named = |name: &str| Dim::Named(name.into());
    let mut graph = image(vec![named("n"), Dim::Known(3), named("h"), Dim::Unknown]);
    let other = |name: &str, dims: Vec<Dim>| Tensor {
        name: name.into(),
        dtype: DType::Int,
        origin: Origin::Input,
        declared: Some(dims),
        value: None,
    };
    for tensor in [other("sizes", vec![Dim::Unknown, Dim::Known(2)]), other("mask", vec![named("n"), named("h")])] {
        let id = graph.add(tensor);
        graph.inputs.push(id);
    }
    let shapes = |image| -> Vec<Shape> {
        let facts = infer(&graph, image).expect("binds");
        graph.inputs.iter().map(|&id| facts.shape(id).to_vec()).collect()
    };
    assert_eq!(shapes(None), [vec![1, 3, 640, 640], vec![1, 2], vec![1, 640]]);
    assert_eq!(shapes(Some([2, 3, 480, 320])), [vec![2, 3, 480, 320], vec![2, 2], vec![2, 480]]);
    let error = infer(&graph, Some([1, 4, 64, 64])).expect_err("has three channels").to_string();
    assert!(error.contains("fixes dimension 1 of its input \"x\" at 3, and 4"), "{error}");

    let mut open = image(MAP.to_vec());
    let id = open.add(other("y", vec![Dim::Known(1), named("k")]));
    open.inputs.push(id);
    assert!(infer(&open, None).expect_err("k is open").to_string().contains("dimension 1 of its input \"y\" open"));
}

/// Each result beside what numpy gives for the same expression on the shape `[1, 3, 8, 10]` of `x`.
#[test]
fn small_constants_are_computed() {
    let mut graph = image([1, 3, 8, 10].map(Dim::Known).to_vec());
    let shape = push(&mut graph, "shape", Prim::Shape { start: 0, end: None }, &[TensorId(0)]);
    let ints = |graph: &mut Graph, values: &[i64]| graph.ints("c", "ints", values);
    let mut wanted: Vec<(TensorId, Vec<f64>)> = vec![(shape, vec![1., 3., 8., 10.])];
    let [last, pair, two, axis] = [&[-1i64][..], &[2, 3], &[2], &[0]].map(|values| ints(&mut graph, values));
    let mut want = |graph: &mut Graph, name: &str, prim: Prim, inputs: &[TensorId], values: &[f64]| {
        let id = push(graph, name, prim, inputs);
        wanted.push((id, values.to_vec()));
        id
    };
    let hw = want(&mut graph, "gather", Prim::Gather { axis: 0 }, &[shape, pair], &[8., 10.]);
    want(&mut graph, "negative", Prim::Gather { axis: 0 }, &[shape, last], &[10.]);
    let step = Prim::Slice;
    let [start, end, back] = [&[-1i64][..], &[i64::MIN + 1], &[-1]].map(|values| ints(&mut graph, values));
    want(&mut graph, "reversed", step, &[shape, start, end, axis, back], &[10., 8., 3., 1.]);
    let half = want(&mut graph, "half", Prim::Binary(Binary::Div, None), &[hw, two], &[4., 5.]);
    want(&mut graph, "joined", Prim::Concat { axis: 0 }, &[half, last], &[4., 5., -1.]);
    let table = want(&mut graph, "stacked", Prim::Stack { axis: 1 }, &[hw, half], &[8., 4., 10., 5.]);
    want(&mut graph, "turned", Prim::Transpose(None), &[table], &[8., 10., 4., 5.]);
    let sum = Prim::Reduce { op: crate::import::ir::Reduce::Sum, keep_dims: false, noop_if_empty: false };
    want(&mut graph, "summed", sum, &[table, axis], &[18., 9.]);
    let tile = ints(&mut graph, &[2]);
    want(&mut graph, "tiled", Prim::Tile, &[half, tile], &[4., 5., 4., 5.]);
    let less = want(&mut graph, "less", Prim::Binary(Binary::Less, None), &[shape, two], &[1., 0., 0., 0.]);
    want(&mut graph, "where", Prim::Where, &[less, two, shape], &[2., 3., 8., 10.]);
    let (zero, limit, by) = (graph.int("c", "zero", 0), graph.int("c", "limit", 7), graph.int("c", "by", 3));
    want(&mut graph, "range", Prim::Range, &[zero, limit, by], &[0., 3., 6.]);
    let facts = infer(&graph, None).expect("folds");
    for (id, values) in wanted {
        let fact = facts.get(id).expect("inferred");
        let found =
            fact.value.as_deref().map(|value| (0..value.len()).filter_map(|at| fold::number(value, at)).collect());
        assert_eq!(found, Some(values), "{}", graph.tensor(id).name);
        assert!(fact.constant, "{}", graph.tensor(id).name);
    }
}

/// Beside what numpy's `einsum` gives.
#[test]
fn equations_have_the_shapes_of_numpy() {
    for (equation, shapes, wanted) in [
        ("ab,bc->ac", vec![vec![2, 3], vec![3, 4]], Some(vec![2, 4])),
        ("bqc , bchw -> bqhw", vec![vec![1, 5, 6], vec![1, 6, 7, 8]], Some(vec![1, 5, 7, 8])),
        ("ba,cb", vec![vec![2, 3], vec![4, 2]], Some(vec![3, 4])),
        ("ab,bc->ac", vec![vec![2, 3], vec![5, 4]], None),
        ("ab->abz", vec![vec![2, 3]], None),
        ("ab,bc->ac", vec![vec![2, 3]], None),
    ] {
        let mut graph = image(MAP.to_vec());
        let stored = shapes.iter().enumerate().map(|(index, shape): (usize, &Vec<usize>)| {
            let declared = Some(shape.iter().map(|&size| Dim::Known(size)).collect());
            let name = format!("w{index}");
            graph.add(Tensor { name, dtype: DType::Float, origin: Origin::Stored, declared, value: None })
        });
        let inputs: Vec<TensorId> = stored.collect();
        let result = push(&mut graph, "einsum", Prim::Einsum(equation.into()), &inputs);
        let found = infer(&graph, None).ok().map(|facts| facts.shape(result).to_vec());
        assert_eq!(found, wanted, "{equation}");
    }
}
