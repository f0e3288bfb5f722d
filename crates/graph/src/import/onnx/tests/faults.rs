//! What is refused, and how it is said.

use super::*;
use crate::import::onnx::records;

#[test]
fn faults_name_their_operation() {
    let relu = |from: &str, to: &str| node("Relu", &[from], &[to], vec![]);
    let cases: Vec<(Vec<NodeProto>, &str)> = vec![
        (vec![node("WarpDrive", &["x"], &["y"], vec![])], "`WarpDrive` is not supported"),
        (vec![NodeProto { domain: text("acme"), ..relu("x", "y") }], "`acme.Relu` is not supported"),
        (vec![relu("z", "y")], "it reads \"z\", which nothing makes"),
        (vec![node("Relu", &[], &["y"], vec![])], "its input 0 is missing"),
        (vec![node("Relu", &["x"], &[], vec![])], "it has no output"),
        (vec![relu("x", "y"), relu("x", "y")], "\"y\": a node writes it, and it comes from elsewhere as well"),
        (vec![relu("x", "x"), relu("x", "y")], "\"x\": a node writes it, and it comes from elsewhere as well"),
        (vec![relu("x", "z")], "\"y\": it is an output of the graph, and nothing makes it"),
        (vec![relu("z", "y"), relu("y", "z")], "it waits for itself: the graph has a cycle"),
        (vec![node("If", &["x"], &["y"], vec![])], "control flow is not supported"),
        (vec![node("NonZero", &["x"], &["y"], vec![])], "depends on data"),
        (vec![node("QLinearConv", &["x"], &["y"], vec![])], "count the model from before its quantisation"),
        (vec![node("MaxPool", &["x"], &["y"], vec![])], "it has no `kernel_shape`"),
        (vec![node("MaxPool", &["x"], &["y"], vec![ints("kernel_shape", &[3])])], "[3]; two sizes are supported"),
        (vec![node("MaxPool", &["x"], &["y"], vec![int("kernel_shape", 3)])], "is of type 2 instead of 7"),
        (
            vec![node("MaxPool", &["x"], &["z", "y"], vec![ints("kernel_shape", &[3, 3])])],
            "its output \"y\" is not supported",
        ),
        (vec![node("Conv", &["x", "x"], &["y"], vec![int("group", 0)])], "`group` is not a positive number"),
        (vec![node("Conv", &["x", "x"], &["y"], vec![ints("kernel_shape", &[3, 3])])], "its weight's is another"),
        (vec![node("Cast", &["x"], &["y"], vec![int("to", 8)])], "is 8, no type of numbers"),
        (vec![node("Transpose", &["x"], &["y"], vec![ints("perm", &[0, -1])])], "no order of dimensions"),
        (vec![node("Einsum", &["x"], &["y"], vec![word("equation", "...ij->...ji")])], "an ellipsis"),
        (vec![node("Split", &["x"], &["y"], vec![int("num_outputs", 3)])], "`num_outputs` is 3, and it has 1"),
        (vec![node("Constant", &[], &["y"], vec![word("value_string", "a")])], "no value that is a dense tensor"),
    ];
    for (nodes, fault) in cases {
        let name = nodes[0].name.clone().expect("has a name");
        let error = error(18, nodes, vec![]);
        assert!(error.contains(fault), "{error}");
        assert!(error.contains(&name) || error.starts_with("tensor \""), "{error} does not name {name}");
    }
}

#[test]
fn what_is_no_graph_is_refused() {
    let relu = || vec![node("Relu", &["x"], &["y"], vec![])];
    assert!(error(6, relu(), vec![]).contains("opset 6; opset 7 and later"));
    let untyped = |change: fn(&mut ValueInfoProto)| {
        let mut model = model(13, relu(), vec![]);
        change(&mut model.graph.as_mut().expect("has a graph").input[0]);
        read_model(&model).expect_err("has no input").to_string()
    };
    assert!(untyped(|input| input.kind = None).contains("not a dense tensor"));
    let no_shape = |input: &mut ValueInfoProto| {
        input.kind = Some(TypeProto { tensor_type: Some(TensorType { elem_type: Some(1), shape: None }) });
    };
    assert!(untyped(no_shape).contains("no number of dimensions"));
}

#[test]
fn functions_do_not_multiply() {
    let mut endless = model(18, vec![calls("F", "x", "y", vec![])], vec![]);
    endless.functions = vec![function("F", vec![calls("F", "a", "r", vec![])], 18)];
    assert!(read_model(&endless).expect_err("has no end").to_string().contains("deep"));

    // Each function calls the next one twenty times: twenty functions are 20²⁰ operations.
    let mut many = model(18, vec![calls("F0", "x", "y", vec![])], vec![]);
    let body = |level: usize| (0..20).map(move |k| calls(&format!("F{}", level + 1), "a", &format!("t{k}"), vec![]));
    many.functions = (0..20).map(|level| function(&format!("F{level}"), body(level).collect(), 18)).collect();
    assert!(read_model(&many).expect_err("is too much").to_string().contains("bytes written out"));
}

/// Two bytes a record in the file would be hundreds in memory.
#[test]
fn records_are_counted_before_they_are_read() {
    let records = records::MAX + 1;
    let mut graph = Vec::with_capacity(2 * records);
    (0..records).for_each(|_| graph.extend([0x0a, 0]));
    let mut bytes = vec![0x3a];
    prost::encode_length_delimiter(graph.len(), &mut bytes).expect("fits");
    bytes.extend(graph);
    let error = read(bytes.into()).expect_err("is too much").to_string();
    assert!(error.contains("nodes, attributes, names and tensors"), "{error}");
}
