//! `paddle-static` against the tables that Paddle 2.6.2 printed of the same programs.

use std::path::{Path, PathBuf};

use detrace_flops::{Count, CustomOps, Trace, Verdict, conventions, count};
use detrace_graph::import;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// The total that Paddle returned, and the rows of its table: type, name of a convolution's weight, count.
fn golden(name: &str) -> (u64, Vec<(String, String, u64)>) {
    let path = fixtures().join("paddle/static").join(name).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let golden: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let lines = golden["printed"].as_array().expect("lines").iter().map(|line| line.as_str().expect("a line"));
    let rows = lines.filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let &[_, op, weight, flops, _] = cells.as_slice() else { return None };
        // NumPy's product of no dimensions is 1.0, which Paddle prints as it is.
        let flops: f64 = flops.parse().ok()?;
        Some((op.to_owned(), weight.to_owned(), flops as u64))
    });
    (golden["return"].as_f64().expect("a number") as u64, rows.collect())
}

fn imported(file: &str) -> Trace {
    import::open(&fixtures().join("graphs").join(file), None).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The same of a count: type, layer of a convolution, count.
fn rows(trace: &Trace, counted: &Count) -> Vec<(String, String, u64)> {
    let rows = counted.rows.iter().filter(|row| row.count > 0).map(|row| {
        let op = trace.ops.iter().find(|op| op.path == row.path && op.program.is_some()).expect("the row's operation");
        let program = op.program.as_ref().expect("a program's");
        // A convolution with a bias beside it is a part of the layer, which has the weight's name.
        let layer = program.part_of.as_ref().unwrap_or(&op.path).clone();
        let layer = if program.op.ends_with("conv2d") { layer } else { String::new() };
        (program.op.clone(), layer, row.count)
    });
    rows.collect()
}

#[test]
fn tables_are_paddles_row_by_row() {
    for name in ["rtdetr_r18vd", "rtdetr_r18vd_deploy", "rtdetr_hgnetv2_l_6x_coco"] {
        let trace = imported(&format!("{name}.pdmodel"));
        let counted = count(&trace, &conventions::PADDLE_STATIC, &CustomOps::new()).expect("counts");
        let (total, golden) = golden(name);
        assert_eq!(counted.total, total, "{name}");
        let rows = rows(&trace, &counted);
        assert_eq!(rows.len(), golden.len(), "{name}");
        for (row, (op, weight, flops)) in rows.into_iter().zip(golden) {
            assert_eq!(row, (op, weight.replacen(".w_0", "", 1), flops), "{name}");
        }
    }
}

#[test]
fn a_program_of_paddle_3_is_counted_by_the_same_rules() {
    let trace = imported("rtdetr_r18vd.pir.json");
    let counted = count(&trace, &conventions::PADDLE_STATIC, &CustomOps::new()).expect("counts");
    assert_eq!(counted.total, 25_293_596_803);
    // It is the program that Paddle's exporter makes of the same model in 2.6.2, and there Paddle can count.
    let (total, golden) = golden("rtdetr_r18vd_6x_coco");
    assert_eq!(counted.total, total);
    let rows = rows(&trace, &counted).into_iter().map(|(op, _, flops)| (op, flops));
    let golden = golden.into_iter().map(|(op, _, flops)| (op, flops));
    assert!(rows.eq(golden), "the rows are others");
    // What Paddle 3 calls `matmul` is `matmul_v2`, which is not counted.
    let products = trace.ops.iter().filter(|op| op.program.as_ref().is_some_and(|program| program.op == "matmul_v2"));
    let mut seen = 0;
    for product in products {
        let row = counted.rows.iter().find(|row| row.path == product.path).expect("a row");
        assert_eq!(row.verdict, Verdict::Invisible, "{}", row.path);
        seen += 1;
    }
    assert_eq!(seen, 65);
}
