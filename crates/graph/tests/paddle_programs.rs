//! Paddle's programs: what is read from real ones, and what becomes of bad ones.

mod common;

use common::{Random, mutate};
use std::collections::BTreeMap;
use std::path::PathBuf;

use detrace_graph::import::ImportError;
use detrace_graph::import::ir::Graph;
use detrace_graph::import::paddle::{read_pdmodel, read_pir};

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/graphs").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pir_text() -> String {
    String::from_utf8(fixture("rtdetr_r18vd.pir.json")).expect("UTF-8")
}

fn by_type(graph: &Graph) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for node in graph.nodes.iter().filter(|node| !node.op_type.is_empty()) {
        *counts.entry(node.op_type.as_str()).or_default() += 1;
    }
    counts
}

/// The numbers are those of the table that Paddle itself printed of the `.pdmodel`, and of the operations in the JSON.
#[test]
fn both_formats_say_the_same_network() {
    let trained = read_pdmodel(&fixture("rtdetr_r18vd.pdmodel")).expect("reads");
    assert_eq!(trained.producer, "paddle 2.6.2");
    let trained = by_type(&trained);
    for (op, count) in [("conv2d", 69), ("batch_norm", 69), ("pool2d", 4), ("elementwise_add", 112), ("matmul_v2", 65)]
    {
        assert_eq!(trained[op], count, "{op}");
    }

    let deployed = read_pdmodel(&fixture("rtdetr_r18vd_deploy.pdmodel")).expect("reads");
    let pir = read_pir(&pir_text()).expect("reads");
    assert_eq!(pir.producer, "paddle 3 (PIR version 4)");
    let (deployed, mut pir) = (by_type(&deployed), by_type(&pir));
    // One exporter writes the SiLU of a RepVGG block as one operation, the other as two.
    let silus = deployed["silu"];
    for op in ["sigmoid", "elementwise_mul"] {
        *pir.get_mut(op).expect("is there") -= silus;
    }
    let moves = ["slice", "shape", "assign", "silu", "stack", "scale", "fill_constant"];
    let arithmetic = |counts: BTreeMap<&str, usize>| -> BTreeMap<String, usize> {
        counts.into_iter().filter(|(op, _)| !moves.contains(op)).map(|(op, count)| (op.to_owned(), count)).collect()
    };
    assert_eq!(arithmetic(pir), arithmetic(deployed));
}

#[test]
fn inputs_are_bound_by_name() {
    let graph = read_pir(&pir_text()).expect("reads");
    let names: Vec<&str> = graph.inputs.iter().map(|&id| graph.tensor(id).name.as_str()).collect();
    assert_eq!(names, ["im_shape", "image", "scale_factor"]);
    assert_eq!(graph.outputs.len(), 2);
}

fn pdmodel_error(bytes: &[u8]) -> ImportError {
    read_pdmodel(bytes).expect_err("is no program")
}

fn pir_error(text: &str) -> String {
    read_pir(text).expect_err("is no program").to_string()
}

#[test]
fn a_cut_program_is_refused_with_its_place() {
    let bytes = fixture("rtdetr_r18vd.pdmodel");
    for length in [1, 100, bytes.len() / 2, bytes.len() - 1] {
        match pdmodel_error(&bytes[..length]) {
            ImportError::Bytes { offset, .. } => assert!(offset <= length),
            other => panic!("cut to {length}: {other}"),
        }
    }
    assert!(pdmodel_error(b"").to_string().contains("without a block"));
    let text = pir_text();
    assert!(pir_error(&text[..text.len() / 2]).contains("line 1 column"));
}

/// Wrapped around operations `ops`, a program of PIR.
fn program(ops: &str) -> String {
    format!(
        r##"{{"base_code":{{"magic":"pir","version":4}},"program":{{"regions":[{{"#":"region_0","blocks":[{{"#":"block_0",
        "args":[],"ops":[{ops}]}}]}}]}}}}"##
    )
}

const IMAGE: &str = r##"{"#":"1.data","A":[{"AT":{"#":"0.a_str","D":"image"},"N":"name"}],"I":[],
    "O":[{"%":1,"TT":{"#":"0.t_dtensor","D":[{"#":"0.t_f32"},[-1,3,8,8],"NCHW",[],0]}}]}"##;

fn op(kind: &str, inputs: &[i64], output: i64) -> String {
    let inputs: Vec<String> = inputs.iter().map(|id| format!(r##"{{"%":{id}}}"##)).collect();
    format!(r##"{{"#":"{kind}","A":[],"I":[{}],"O":[{{"%":{output}}}]}}"##, inputs.join(","))
}

#[test]
fn faults_name_their_operation() {
    let cases = [
        (op("1.warp_drive", &[1], 2), "warp_drive_2", "`warp_drive` is not supported"),
        (op("1.relu", &[7], 2), "relu_2", "reads \"%7\", which the program does not declare"),
        (op("1.relu", &[], 2), "relu_2", "its input X is missing"),
        (op("1.conv2d", &[1], 2), "conv2d_2", "its input Filter is missing"),
        (op("1.pool2d", &[1], 2), "pool2d_2", "it has no window"),
        // Each of the two reads what the other makes.
        (format!("{},{}", op("1.relu", &[3], 2), op("1.relu", &[2], 3)), "relu_2", "reads \"%3\""),
        (r##"{"#":"1.if","A":[],"I":[],"O":[],"regions":[{}]}"##.into(), "block_1", "`1.if` is not supported"),
    ];
    for (ops, node, fault) in cases {
        let error = pir_error(&program(&format!("{IMAGE},{ops}")));
        assert!(error.contains(node) && error.contains(fault), "{error}");
    }
}

#[test]
fn what_is_no_program_is_refused() {
    let cases = [
        ("", "EOF"),
        ("[]", "not a Paddle program in JSON"),
        ("{}", "missing field `base_code`"),
        (r#"{"base_code":{"magic":"pdf"},"program":{"regions":[]}}"#, "has the magic \"pdf\""),
        (r#"{"base_code":{"magic":"pir"},"program":{"regions":[]}}"#, "0 regions"),
        (r#"{"base_code":{"magic":"pir"},"program":{"regions":[{"blocks":[]}]}}"#, "0 blocks"),
    ];
    for (text, fault) in cases {
        let error = pir_error(text);
        assert!(error.contains(fault), "{text}: {error}");
    }
    let parameter =
        r##"{"#":"p","A":[0,1,1,"w"],"O":{"%":1,"TT":{"#":"0.t_dtensor","D":[{"#":"0.t_f32"},[-4],"NCHW",[],0]}}}"##;
    assert!(pir_error(&program(parameter)).contains("\"w\""));
    let deep = program(&format!(r##"{{"#":"p","A":{}1{}}}"##, "[".repeat(100_000), "]".repeat(100_000)));
    assert!(pir_error(&deep).contains("recursion limit"));
}

/// A list is written out wherever it is used: a file of a megabyte could ask for gigabytes.
#[test]
fn lists_do_not_multiply() {
    let list = op("0.combine", &vec![1; 20_000], 2);
    let uses: Vec<String> = (0..20_000).map(|index| op("1.add_n", &[2], 3 + index)).collect();
    let error = pir_error(&program(&format!("{IMAGE},{list},{}", uses.join(","))));
    assert!(error.contains("operands"), "{error}");
}

/// Some bytes of a real program changed, removed or doubled, hundreds of times: read or refused, never worse.
#[test]
fn mutated_programs_do_no_harm() {
    let mut random = Random(7);
    let (pdmodel, pir) = (fixture("rtdetr_r18vd_deploy.pdmodel"), fixture("rtdetr_r18vd.pir.json"));
    let mut refused = 0;
    for round in 0..400 {
        let mut bytes = if round % 2 == 0 { pdmodel.clone() } else { pir.clone() };
        mutate(&mut bytes, &mut random);
        let outcome = match round % 2 {
            0 => read_pdmodel(&bytes),
            _ => read_pir(&String::from_utf8_lossy(&bytes)),
        };
        refused += usize::from(outcome.is_err());
    }
    assert!(refused > 200, "only {refused} of 400 were found to be broken");
}
