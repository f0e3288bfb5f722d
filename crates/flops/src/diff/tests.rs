use super::*;
use crate::{Attrs, Kind, Param, SCHEMA};

fn conv(path: &str, size: usize, [out, cin, kernel]: [usize; 3], stride: usize, bias: bool) -> Op {
    let mut params = vec![Param::named("weight", &[out, cin, kernel, kernel])];
    params.extend(bias.then(|| Param::named("bias", &[out])));
    let attrs = Attrs { stride: Some([stride; 2]), ..Attrs::default() };
    let (input, output) = (vec![1, cin, size, size], vec![1, out, size / stride, size / stride]);
    Op { params, attrs, ..Op::new(path.into(), Kind::Conv2d, "", vec![input], output) }
}

fn linear(path: &str, rows: usize, input: usize, output: usize) -> Op {
    let params = vec![Param::named("weight", &[output, input]), Param::named("bias", &[output])];
    Op { params, ..Op::new(path.into(), Kind::Linear, "", vec![vec![1, rows, input]], vec![1, rows, output]) }
}

fn map(path: &str, kind: Kind, shape: &[usize]) -> Op {
    Op::new(path.into(), kind, "", vec![shape.to_vec()], shape.to_vec())
}

fn trace(ops: Vec<Op>) -> Trace {
    Trace { schema: SCHEMA, ops, ..Trace::default() }
}

/// The same operations as a graph file has them: other names, every one an operation of the program.
fn imported(ops: Vec<Op>) -> Trace {
    let rename = |(at, op): (usize, Op)| Op {
        path: format!("node_{at}"),
        program: op.program.or(Some(Program { op: "Node".into(), part_of: None })),
        ..op
    };
    trace(ops.into_iter().enumerate().map(rename).collect())
}

fn compared<'a>(here: &'a Trace, there: &'a Trace) -> Diff<'a> {
    diff(here, there, &conventions::FULL).expect("counts")
}

fn verdicts<'a>(diff: &'a Diff<'_>) -> Vec<(&'a str, Agreement, Option<Reason>)> {
    let path = |row: &'a DiffRow<'_>| row.here.first().or(row.there.first()).map_or("", |call| call.op.path.as_str());
    diff.differing().map(|row| (path(row), row.verdict, row.reason)).collect()
}

fn network() -> Vec<Op> {
    vec![
        conv("stem", 8, [4, 3, 3], 2, false),
        map("norm", Kind::BatchNorm, &[1, 4, 4, 4]),
        map("act", Kind::Relu, &[1, 4, 4, 4]),
        linear("head", 16, 4, 6),
        linear("head", 16, 4, 6),
    ]
}

#[test]
fn a_trace_is_the_same_as_itself() {
    let one = trace(network());
    let diff = compared(&one, &one);
    assert_eq!((diff.joined, diff.rows.len(), diff.differing().count()), (Joined::Names, 5, 0));
    assert!(!diff.is_over(0.0) && diff.explained().is_empty());
}

#[test]
fn every_verdict_by_name() {
    let here = trace(network());
    let mut ops = network();
    ops[0].attrs.stride = Some([3, 3]);
    ops[1].role = "inverse_sigmoid".into();
    ops[1].kind = Kind::Sigmoid;
    ops[3].params[0].shape = vec![6, 5];
    ops[4].path = "tail".into();
    let there = trace(ops);
    use Agreement::{OnlyHere, OnlyThere, OtherParams, OtherShape};
    let wanted = [
        ("stem", OtherShape, None),
        ("norm", OnlyHere, None),
        ("head", OtherParams, None),
        ("head", OnlyHere, None),
        ("norm", OnlyThere, None),
        ("tail", OnlyThere, None),
    ];
    let found = compared(&here, &there);
    assert_eq!(verdicts(&found), wanted);
    // A second call is the second call of its name, and is missing as such.
    let missing = found.differing().nth(3).expect("a row");
    assert_eq!(missing.here[0].nth, 1);

    let mut ops = network();
    ops[2].kind = Kind::Sigmoid;
    let (plain, mut other) = (trace(ops.clone()), ops);
    other[2].role = "inverse_sigmoid".into();
    let other = trace(other);
    assert_eq!(verdicts(&compared(&plain, &other)), [("act", Agreement::OtherCount, None)]);
}

#[test]
fn the_threshold_is_in_macs_of_products() {
    let here = trace(network());
    let missing = |at: usize| {
        let mut ops = network();
        ops.remove(at);
        trace(ops)
    };
    let head: u64 = 16 * 4 * 6;
    let stem: u64 = 4 * 4 * 4 * 3 * 9;
    let there = missing(4);
    let diff = compared(&here, &there);
    assert_eq!((diff.unexplained_macs(), diff.here.product_macs), (head, stem + 2 * head));
    let percent = 100.0 * head as f64 / (stem + 2 * head) as f64;
    assert!((diff.percent() - percent).abs() < 1e-12);
    assert!(diff.is_over(0.0) && diff.is_over(percent - 1e-9) && !diff.is_over(percent));
    // An activation has no MACs: a difference, but none that the threshold knows.
    let there = missing(2);
    let diff = compared(&here, &there);
    assert_eq!((diff.unexplained().count(), diff.is_over(0.0)), (1, false));
    // Other shapes of equal cost are over 0 %, and 0 % of the MACs.
    let mut ops = network();
    ops[3].inputs = vec![vec![1, 4, 4, 4]];
    let there = trace(ops);
    let diff = compared(&here, &there);
    assert_eq!((diff.unexplained_macs(), diff.is_over(0.0), diff.is_over(0.001)), (0, true, false));
    let (none, some) = (trace(vec![]), trace(network()));
    let diff = compared(&none, &some);
    assert!(diff.percent().is_infinite() && diff.is_over(100.0));
}

#[test]
fn a_missing_operation_of_a_graph_shifts_nothing() {
    let sizes = [[4, 3, 3], [4, 4, 3], [8, 4, 1], [4, 8, 3], [4, 4, 1], [2, 4, 3], [4, 2, 3]];
    let ops: Vec<Op> = sizes.iter().enumerate().map(|(at, &size)| conv(&format!("c{at}"), 8, size, 1, false)).collect();
    let here = trace(ops.clone());
    for (at, &[out, cin, kernel]) in sizes.iter().enumerate() {
        let mut fewer = ops.clone();
        fewer.remove(at);
        let there = imported(fewer);
        let diff = compared(&here, &there);
        assert_eq!((diff.joined, diff.tally(Agreement::Same)), (Joined::Shapes, 6));
        let found: Vec<(Agreement, u64)> = diff.differing().map(|row| (row.verdict, row.macs_apart())).collect();
        assert_eq!(found, [(Agreement::OnlyHere, (64 * out * cin * kernel * kernel) as u64)]);
    }
    // Another order is no difference, another stride is, from there on.
    let mut reversed = ops.clone();
    reversed.reverse();
    let there = imported(reversed);
    assert_eq!(compared(&here, &there).differing().count(), 0);
    let mut strided = ops;
    strided[2] = conv("c2", 8, [8, 4, 1], 2, false);
    strided[3] = conv("c3", 4, [4, 8, 3], 1, false);
    for (at, op) in strided.iter_mut().enumerate().skip(4) {
        *op = conv("", 4, sizes[at], 1, false);
    }
    let there = imported(strided);
    let diff = compared(&here, &there);
    let found: Vec<(&str, &str, Agreement)> = diff
        .differing()
        .map(|row| (row.here[0].op.path.as_str(), row.there[0].op.path.as_str(), row.verdict))
        .collect();
    let wanted = [("c2", "node_2"), ("c3", "node_3"), ("c4", "node_4"), ("c5", "node_5"), ("c6", "node_6")];
    let wanted = wanted.map(|(here, there)| (here, there, Agreement::OtherShape));
    assert_eq!(found, wanted);
    assert!(diff.is_over(0.0));
}

#[test]
fn what_exporters_fold_split_and_add_has_a_name() {
    let matmul = |path: &str, batch: &[usize]| {
        let shape = |dims: [usize; 2]| [batch, &dims].concat();
        Op::new(path.into(), Kind::Matmul, "", vec![shape([5, 3]), shape([3, 7])], shape([5, 7]))
    };
    let sample = |path: &str, points: usize| {
        let output = vec![1, 9, 2, points, 4];
        Op::new(path.into(), Kind::GridSample, "", vec![vec![1, 20, 8], vec![1, 9, 2, points, 2]], output)
    };
    let here = Trace {
        params: ["0", "1"].map(|layer| Param::named(&format!("dec_score_head.{layer}.weight"), &[11, 6])).to_vec(),
        ..trace(vec![
            conv("stem", 8, [4, 3, 3], 2, false),
            map("norm", Kind::BatchNorm, &[1, 4, 4, 4]),
            linear("q", 16, 4, 6),
            linear("k", 16, 4, 6),
            matmul("scores", &[2, 4]),
            sample("sampling", 6),
            linear("dec_score_head.1", 9, 6, 11),
        ])
    };
    let constant = Some(Program { op: "Mul".into(), part_of: Some(Program::CONSTANT.into()) });
    let there = imported(vec![
        Op { program: constant, ..map("anchors", Kind::Mul, &[1, 20, 4]) },
        conv("", 8, [4, 3, 3], 2, true),
        linear("", 16, 4, 12),
        matmul("", &[8]),
        sample("", 1),
        sample("", 2),
        sample("", 3),
        map("", Kind::Add, &[1, 9, 8]),
        linear("", 9, 6, 11),
        linear("", 9, 6, 11),
        map("", Kind::Sigmoid, &[1, 9, 11]),
    ]);
    use Agreement::{OnlyHere, OnlyThere, OtherParams, OtherShape};
    let diff = compared(&here, &there);
    let wanted = [
        ("stem", OtherParams, Some(Reason::Biases)),
        ("norm", OnlyHere, Some(Reason::Norms)),
        ("q", OtherShape, Some(Reason::Split)),
        ("sampling", OtherShape, Some(Reason::Split)),
        ("node_7", OnlyThere, Some(Reason::Elementwise)),
        ("node_8", OnlyThere, Some(Reason::UncalledHead)),
        ("node_10", OnlyThere, Some(Reason::PostProcessing)),
    ];
    assert_eq!(verdicts(&diff), wanted);
    assert_eq!((diff.unexplained().count(), diff.is_over(0.0)), (0, false));
    assert!(diff.rows.iter().any(|row| row.note == "dec_score_head.0"));
    let tally = |ops, macs, flops| Tally { ops, macs, flops };
    let none = Tally::default();
    let groups: Vec<(Reason, Tally, Tally)> =
        diff.explained().iter().map(|group| (group.reason, group.here, group.there)).collect();
    let head = tally(1, 9 * 6 * 11, 2 * 9 * 6 * 11 + 9 * 11);
    let qk = 16 * 4 * 12;
    let points = 9 * 2 * 6;
    let (macs, flops) = (qk + 4 * 4 * points, 2 * qk + 16 * 12 + (8 * 4 + 14) * points);
    let wanted = [
        (Reason::Norms, tally(1, 0, 128), none),
        (Reason::Biases, none, tally(1, 0, 64)),
        (Reason::Split, tally(3, macs, flops), tally(4, macs, flops)),
        (Reason::UncalledHead, none, head),
        (Reason::Elementwise, none, tally(1, 0, 72)),
        (Reason::PostProcessing, none, tally(1, 0, 4 * 99)),
        (Reason::Constants, none, tally(1, 0, 80)),
    ];
    assert_eq!(groups, wanted);

    // Both directions.
    let back = super::diff(&there, &here, &conventions::FULL).expect("counts");
    let turned: Vec<(Reason, Tally, Tally)> =
        back.explained().iter().map(|group| (group.reason, group.there, group.here)).collect();
    assert_eq!(turned, wanted);
    assert!(!back.is_over(0.0));
}

#[test]
fn a_head_too_many_and_parts_that_do_not_add_up_are_no_excuse() {
    let here = Trace {
        params: vec![Param::named("dec_score_head.0.weight", &[11, 6])],
        ..trace(vec![linear("q", 16, 4, 6), linear("k", 16, 4, 6), linear("dec_score_head.1", 9, 6, 11)])
    };
    let there = imported(vec![
        linear("", 16, 4, 13),
        // As many MACs as both, and not their work.
        linear("", 8, 4, 24),
        linear("", 9, 6, 11),
        linear("", 9, 6, 11),
        linear("", 9, 6, 11),
        linear("", 10, 6, 11),
    ]);
    let diff = compared(&here, &there);
    let heads = diff.rows.iter().filter(|row| row.reason == Some(Reason::UncalledHead)).count();
    assert_eq!((heads, diff.tally(Agreement::Same)), (1, 1));
    assert_eq!(diff.unexplained().count(), 6);
    assert!(diff.is_over(0.0));
}

#[test]
fn merged_branches_are_named_and_count() {
    let branches = trace(vec![
        conv("b.conv1.conv", 8, [4, 4, 3], 1, false),
        conv("b.conv2.conv", 8, [4, 4, 1], 1, false),
        map("b#sum_branches", Kind::Add, &[1, 4, 8, 8]),
        conv("c.conv", 8, [4, 4, 3], 1, false),
    ]);
    let mut merged = trace(vec![conv("b.conv", 8, [4, 4, 3], 1, true), conv("c.conv", 8, [4, 4, 3], 1, true)]);
    merged.meta.structure = "deploy".into();
    let diff = compared(&branches, &merged);
    use Agreement::{OnlyHere, OtherParams};
    let wanted = [
        ("b.conv1.conv", OtherParams, Some(Reason::Biases)),
        ("b.conv2.conv", OnlyHere, Some(Reason::Branches)),
        ("b#sum_branches", OnlyHere, Some(Reason::Branches)),
        ("c.conv", OtherParams, Some(Reason::Biases)),
    ];
    assert_eq!(verdicts(&diff), wanted);
    assert_eq!((diff.unexplained_macs(), diff.is_over(0.0)), (64 * 16, true));

    // The same branches with a bias each, as exporters fold norms.
    let folded = |stride| {
        imported(vec![
            conv("", 8, [4, 4, 3], 1, true),
            conv("", 8, [4, 4, 1], 1, true),
            map("", Kind::Add, &[1, 4, 8, 8]),
            conv("", 8, [4, 4, 3], stride, true),
        ])
    };
    let there = folded(1);
    let diff = compared(&branches, &there);
    assert!(diff.differing().all(|row| row.reason == Some(Reason::Biases)));
    assert_eq!((diff.differing().count(), diff.is_over(0.0)), (3, false));
    // In a graph a branch is known by what stands beside it.
    let diff = compared(&merged, &there);
    let found: Vec<Option<Reason>> = diff.differing().map(|row| row.reason).collect();
    assert_eq!(found, [Some(Reason::Branches), Some(Reason::Elementwise)]);
    assert!(diff.is_over(0.0));
    let there = folded(2);
    assert_eq!(compared(&branches, &there).unexplained_macs(), 64 * 144 - 16 * 144);
}

#[test]
fn parameters_of_uncalled_modules_are_compared() {
    let with = |shape: &[usize]| Trace {
        params: vec![Param::named("stem.weight", &[4, 3, 3, 3]), Param::named("idle.weight", shape)],
        ..trace(network())
    };
    let (here, there) = (with(&[2, 3]), with(&[2, 4]));
    let found = compared(&here, &there).params;
    let wanted = ParamDiff { name: "idle.weight".into(), here: Some(vec![2, 3]), there: Some(vec![2, 4]) };
    assert_eq!(found, [wanted]);
    assert_eq!(compared(&here, &here).params, []);
}
