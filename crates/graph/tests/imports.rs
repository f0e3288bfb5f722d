//! Graph files against the network on paper: the same work, whoever wrote it down.

use std::path::PathBuf;

use detrace_flops::{Count, CustomOps, Kind, Program, Structure, Trace, conventions, count};
use detrace_graph::{import, plan};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/graphs").join(name)
}

fn imported(name: &str) -> Trace {
    let trace = import::open(&fixture(name), None).unwrap_or_else(|error| panic!("{name}: {error}"));
    trace.check().unwrap_or_else(|error| panic!("{name}: {error}"));
    trace
}

fn planned(model: &str, structure: Structure) -> Trace {
    let config = detrace_config::zoo::get(model).expect("a variant").expect("it is whole");
    plan(&config, structure, [1, 3, 640, 640]).expect("it takes that size")
}

fn full(trace: &Trace) -> Count {
    count(trace, &conventions::FULL, &CustomOps::new()).expect("counts")
}

/// Graph files of every exporter, and what of the zoo they are.
const PROGRAMS: [(&str, &str, Structure); 6] = [
    ("rtdetr_r18vd.pdmodel", "rtdetr_r18vd", Structure::Train),
    ("rtdetr_r18vd_deploy.pdmodel", "rtdetr_r18vd", Structure::Deploy),
    ("rtdetr_r18vd.pir.json", "rtdetr_r18vd", Structure::Deploy),
    ("rtdetr_hgnetv2_l_6x_coco.pdmodel", "rtdetr_hgnetv2_l", Structure::Deploy),
    ("rtdetr_r18vd.torch.onnx", "rtdetr_r18vd", Structure::Deploy),
    ("rtdetr_r18vd.paddle2onnx.onnx", "rtdetr_r18vd", Structure::Deploy),
];

/// Every operation of a kind with its window, its result and its MACs, in any order.
fn of_kind(trace: &Trace, kind: &Kind) -> Vec<(String, u64)> {
    let ops = trace.ops.iter().filter(|op| op.kind == *kind && !op.is_part());
    let mut found: Vec<(String, u64)> = ops
        .map(|op| {
            let weight = op.params.first().map(|weight| &weight.shape);
            let window = (&op.attrs.stride, &op.attrs.padding, &op.attrs.groups);
            let alone = Trace { ops: vec![op.clone()], ..Trace::default() };
            // Tokens may be arranged differently: PyTorch's attention has the batch after them.
            let shapes = (*kind == Kind::Conv2d).then_some((op.input(), &op.output));
            (format!("{shapes:?} {weight:?} {window:?}"), full(&alone).macs)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn programs_have_the_convolutions_and_products_of_the_network_on_paper() {
    for (name, model, structure) in PROGRAMS {
        let (graph, plan) = (imported(name), planned(model, structure));
        for kind in [Kind::Conv2d, Kind::Linear, Kind::Matmul] {
            assert_eq!(of_kind(&graph, &kind), of_kind(&plan, &kind), "{name}: {kind}");
        }
        let (graph, plan) = (full(&graph), full(&plan));
        assert_eq!(graph.macs, plan.macs, "{name}");
        assert!(graph.audit.unknown.is_empty() && graph.audit.uncalled.is_empty(), "{name}: {:?}", graph.audit);
        // What a program writes as several operations is one again.
        let flops = |count: &Count, kind: Kind| -> u64 {
            count.rows.iter().filter(|row| row.kind == kind).map(|row| row.flops).sum()
        };
        for kind in [
            Kind::Linear,
            Kind::GridSample,
            Kind::LayerNorm,
            Kind::Silu,
            Kind::Gelu,
            Kind::Relu,
            Kind::Softmax,
            Kind::MaxPool2d,
            Kind::AvgPool2d,
        ] {
            assert_eq!(flops(&graph, kind.clone()), flops(&plan, kind.clone()), "{name}: {kind}");
        }
    }
}

#[test]
fn a_program_has_the_parameters_that_the_network_calls() {
    let (graph, plan) = (full(&imported("rtdetr_r18vd.pdmodel")), full(&planned("rtdetr_r18vd", Structure::Train)));
    let uncalled: u64 = plan.audit.uncalled.iter().map(|module| module.params).sum();
    assert_eq!(graph.params, plan.params - uncalled);
}

#[test]
fn inverse_sigmoids_are_recognised() {
    for (name, times) in [("rtdetr_r18vd.pdmodel", 3), ("rtdetr_hgnetv2_l_6x_coco.pdmodel", 6)] {
        let trace = imported(name);
        let found: Vec<_> = trace.ops.iter().filter(|op| op.role == "inverse_sigmoid").collect();
        assert_eq!(found.len(), times, "{name}");
        for op in found {
            let parts = trace
                .ops
                .iter()
                .filter(|part| part.program.as_ref().is_some_and(|program| program.part_of.as_ref() == Some(&op.path)));
            let mut words: Vec<&str> = parts.map(|part| part.program.as_ref().expect("a part").op.as_str()).collect();
            words.sort_unstable();
            assert_eq!(words, ["clip", "clip", "clip", "elementwise_div", "log", "scale"], "{name}");
        }
    }
}

#[test]
fn what_decides_shapes_and_constants_is_no_work_of_the_network() {
    let trace = imported("rtdetr_r18vd.pdmodel");
    let parts_of = |what: &str| {
        trace.ops.iter().filter(|op| op.program.as_ref().is_some_and(|it| it.part_of.as_deref() == Some(what))).count()
    };
    assert!(parts_of(Program::INTEGER) > 0 && parts_of(Program::CONSTANT) > 0);
    let full = full(&trace);
    assert!(full.rows.iter().all(|row| row.kind != Kind::custom("mod")), "indices are computed with");
}

#[test]
fn other_files_are_refused() {
    let refused = |name: &str, bytes: &[u8]| import::read(name, bytes.to_vec(), None).expect_err(name).to_string();
    assert!(refused("model.pdiparams", b"").contains("expected an ONNX file (.onnx), a Paddle program (.pdmodel)"));
    assert!(refused("model.json", b"{}").contains("base_code"));
    assert!(refused("model.json", b"\xff{}").contains("at byte 0: not UTF-8"));
    assert!(refused("model.pdmodel", b"\xff\xff").contains("not a Paddle program"));
    let error = import::open(&fixture("nothing.pdmodel"), None).expect_err("is not there");
    assert!(error.to_string().contains("cannot be read"), "{error}");
    assert!(import::is_graph(&fixture("rtdetr_r18vd.pir.json")));
    assert!(!import::is_graph(&fixture("../configs/hf/rtdetr_r34vd.json")));
}

#[test]
fn a_size_that_the_file_fixes_cannot_be_asked_for_differently() {
    let error = import::open(&fixture("rtdetr_r18vd.pdmodel"), Some([1, 3, 480, 640])).expect_err("fixed");
    assert!(error.to_string().contains("fixes dimension 2 of its input \"image\" at 640, and 480"), "{error}");
}
