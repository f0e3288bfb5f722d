//! Graphs that say what cannot be: an error that names the fault, or a trace that counts, never worse.

mod common;

use common::Random;
use std::path::PathBuf;

use detrace_flops::{CustomOps, conventions, count};
use detrace_graph::import;

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/graphs").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Wrapped around operations `ops`, a program of PIR with an image of `shape` in `%1`.
fn program(shape: &str, ops: &[String]) -> String {
    let image = format!(
        r##"{{"#":"1.data","A":[{{"AT":{{"#":"0.a_str","D":"image"}},"N":"name"}}],"I":[],
        "O":[{{"%":1,"TT":{{"#":"0.t_dtensor","D":[{{"#":"0.t_f32"}},{shape},"NCHW",[],0]}}}}]}}"##
    );
    let ops = std::iter::once(&image).chain(ops).cloned().collect::<Vec<_>>().join(",");
    format!(
        r##"{{"base_code":{{"magic":"pir","version":4}},"program":{{"regions":[{{"#":"region_0","blocks":[{{"#":"block_0",
        "args":[],"ops":[{ops}]}}]}}]}}}}"##
    )
}

/// An operation with whole numbers as attributes.
fn op(kind: &str, attrs: &[(&str, &str, &str)], inputs: &[i64], output: i64) -> String {
    let attrs: Vec<String> = attrs
        .iter()
        .map(|(name, kind, value)| format!(r##"{{"AT":{{"#":"0.a_{kind}","D":{value}}},"N":"{name}"}}"##))
        .collect();
    let inputs: Vec<String> = inputs.iter().map(|id| format!(r##"{{"%":{id}}}"##)).collect();
    format!(r##"{{"#":"1.{kind}","A":[{}],"I":[{}],"O":[{{"%":{output}}}]}}"##, attrs.join(","), inputs.join(","))
}

/// A parameter in `%id`.
fn parameter(id: i64, shape: &str) -> String {
    format!(
        r##"{{"#":"p","A":[0,1,1,"w{id}"],"O":{{"%":{id},"TT":{{"#":"0.t_dtensor","D":[{{"#":"0.t_f32"}},{shape},"NCHW",[],0]}}}}}}"##
    )
}

fn shape_of(shape: &str, id: i64) -> String {
    let list = format!(
        "[{}]",
        shape.split(',').map(|dim| format!(r##"{{"#":"0.a_i64","D":{dim}}}"##)).collect::<Vec<_>>().join(",")
    );
    op("full_int_array", &[("value", "array", &list)], &[], id)
}

fn error(shape: &str, ops: &[String]) -> String {
    import::read("bad.json", program(shape, ops).into_bytes(), None).expect_err("contradicts itself").to_string()
}

#[test]
fn contradictions_name_their_operation() {
    let image = "[-1,3,-1,-1]";
    let conv = |strides: &str| {
        let attrs = [("strides", "i32array", strides), ("groups", "i32", "1")];
        let strides = format!(
            "[{}]",
            strides.split(',').map(|size| format!(r##"{{"#":"0.a_i32","D":{size}}}"##)).collect::<Vec<_>>().join(",")
        );
        op("conv2d", &[("strides", "array", &strides), (attrs[1].0, attrs[1].1, attrs[1].2)], &[1, 2], 3)
    };
    let cases: [(&str, Vec<String>, &str, &str); 8] = [
        (image, vec![parameter(2, "[8,4,3,3]"), conv("1,1")], "conv2d_3", "3 channels do not go into 1 groups"),
        (image, vec![parameter(2, "[8,3,3,3]"), conv("0,0")], "conv2d_3", "stride 0x0"),
        ("[1,3,2,2]", vec![parameter(2, "[8,3,3,3]"), conv("1,1")], "conv2d_3", "does not go into 2x2"),
        (image, vec![parameter(2, "[7]"), op("add", &[], &[1, 2], 3)], "add_3", "do not fit together"),
        (image, vec![parameter(2, "[5,6]"), op("matmul", &[], &[1, 2], 3)], "matmul_3", "a product of"),
        (
            image,
            vec![shape_of("1,3,5", 2), op("reshape", &[], &[1, 2], 3)],
            "reshape_3",
            "cannot be reshaped to [1, 3, 5]",
        ),
        (
            image,
            vec![parameter(2, "[9999999999,9999999999]"), op("relu", &[], &[2], 3)],
            "w2",
            "too large to be worked with",
        ),
        (
            image,
            vec![shape_of("4294967296,4294967296,3,640,640", 2), op("expand", &[], &[1, 2], 3)],
            "expand_3",
            "too large to be worked with",
        ),
    ];
    for (shape, ops, node, fault) in cases {
        let error = error(shape, &ops);
        assert!(error.contains(node) && error.contains(fault), "{error}");
    }
}

/// A size that only the weights' data would tell is an error that names who wants to know, never a zero.
#[test]
fn a_shape_that_does_not_follow_is_an_error() {
    let error = error("[1,3,640,640]", &[parameter(2, "[4]"), op("reshape", &[], &[1, 2], 3)]);
    assert!(error.contains("reshape_3") && error.contains("\"w2\" decides the result's shape"), "{error}");
}

/// A small file may not ask for much: dimensions, elements of constants.
#[test]
fn small_files_stay_small() {
    let deep = |rank: usize| vec!["1"; rank].join(",");
    let many =
        error("[1,3,640,640]", &[shape_of(&format!("{},3,640,640", deep(20)), 2), op("expand", &[], &[1, 2], 3)]);
    assert!(many.contains("more than 16 are not supported"), "{many}");
    let start = shape_of(&deep(1000), 2);
    let doubled: Vec<String> = (0..3000).map(|index| op("add", &[], &[2, 2], 3 + index)).collect();
    let folded = error("[1,3,640,640]", &[vec![start], doubled].concat());
    assert!(folded.contains("elements of small constants"), "{folded}");
}

/// One of each format and exporter.
const FILES: [&str; 4] = [
    "rtdetr_r18vd_deploy.pdmodel",
    "rtdetr_r18vd.pir.json",
    "rtdetr_r18vd.torch.onnx",
    "rtdetr_r18vd.paddle2onnx.onnx",
];

/// Numbers of real programs changed: every result is an error or can be counted by every convention.
#[test]
fn mutated_programs_are_refused_or_counted() {
    let mut random = Random(11);
    let files = FILES.map(|name| (name, fixture(name)));
    let (mut refused, mut counted) = (0, 0);
    for round in 0..400 {
        let (name, bytes) = &files[round % files.len()];
        let mut bytes = bytes.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(2) {
                // A digit of a number in JSON becomes another one, so that the file can still be read.
                _ if name.ends_with("json") => {
                    if let Some(digit) = (at..bytes.len()).find(|&at| bytes[at].is_ascii_digit()) {
                        bytes[digit] = b'0' + random.below(10) as u8;
                    }
                }
                0 => bytes[at] ^= 1 << random.below(8),
                _ => bytes[at] = random.below(256) as u8,
            }
        }
        match import::read(name, bytes, None) {
            Err(_) => refused += 1,
            Ok(trace) => {
                trace.check().unwrap_or_else(|error| panic!("round {round} {name}: {error}"));
                for convention in conventions::ALL {
                    // A total may be over 2^64; that is an error as well.
                    let _ = count(&trace, convention, &CustomOps::new());
                }
                counted += 1;
            }
        }
    }
    assert!(refused > 30 && counted > 30, "{refused} refused, {counted} counted");
}

#[test]
fn cut_programs_are_refused() {
    for name in FILES {
        let bytes = fixture(name);
        for part in 0..16 {
            let cut = &bytes[..bytes.len() * part / 16];
            assert!(import::read(name, cut.to_vec(), None).is_err(), "{name}: {} of {} bytes", cut.len(), bytes.len());
        }
    }
}
